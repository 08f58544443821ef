//! What is remembered of one job between passes: the row as last read, since when it is unchanged, and what stands in for
//! times that can't be used.

use super::{
    Heartbeat, Job, Moment, Observation, Phase, Policy, Timestamp, causes::Causes, names::Label, phase::Signs,
    window::Init,
};
use std::time::Duration;

/// What is remembered of one job that runs, or whose state is in no list.
#[derive(Clone, Debug)]
pub struct Known {
    /// The row as last read.
    pub job: Job,
    /// The database's time at which this process first saw this start of the job.
    pub first_seen: Timestamp,
    /// Our own clock at the end of the pass that first read the row as it is now.
    pub unchanged_since: Moment,
    /// Our own clock at the last beat that this process saw.
    pub beat_seen: Option<Moment>,
    /// Stands in for the start where the row has none, or one that lay ahead when it was first seen.
    pub start_stand_in: Option<Timestamp>,
    /// Counts as the heartbeat where its value lay ahead when it was first seen.
    pub heartbeat_stand_in: Option<Timestamp>,
    /// How the init went, once that is decided.
    pub init: Option<Init>,
    /// Whether this process saw the job while there was still time for its first heartbeat.
    pub seen_starting: bool,
    /// Whether it was reported that the row can't be read.
    pub noted_unreadable: bool,
    /// Whether it was reported that its state is in no list.
    pub noted_unknown: bool,
    /// The phase at the last pass; none for a state in no list, or times that can't be read.
    pub phase: Option<Phase>,
    /// The causes that this incident was counted as withheld for.
    pub causes: Causes,
    /// Number of the attempt that last failed to repair it; those with none go first.
    pub attempt: u64,
    /// What its name is shown under.
    pub(super) label: Label,
    /// Number of the last pass that read it.
    pub(super) read_in: u32,
}

/// A start this far ahead is a clock that is off, not a clock that is a little early.
const START_AHEAD: Duration = Duration::from_secs(2);

impl Known {
    /// A job seen for the first time: at the database's time `now`, by a pass that ended at `finished`.
    pub fn first_sight(job: Job, now: Timestamp, finished: Moment) -> Self {
        let mut known = Self {
            job,
            first_seen: now,
            unchanged_since: finished,
            beat_seen: None,
            start_stand_in: None,
            heartbeat_stand_in: None,
            init: None,
            seen_starting: false,
            noted_unreadable: false,
            noted_unknown: false,
            phase: None,
            causes: Causes::default(),
            attempt: 0,
            label: Label::Nameless,
            read_in: 0,
        };
        known.substitute_start(now);
        known.substitute_heartbeat(now);
        known
    }

    fn substitute_start(&mut self, now: Timestamp) {
        self.start_stand_in = match self.job.started_at.at() {
            Some(start) if start <= now.plus(START_AHEAD) => None,
            _ => Some(now),
        };
    }

    fn substitute_heartbeat(&mut self, now: Timestamp) {
        self.heartbeat_stand_in = self.job.heartbeat_at.at().filter(|beat| *beat > now).map(|_| now);
    }

    /// Takes in the row as it is now; true if a beat was seen.
    pub fn update(&mut self, job: &Job, observation: &Observation, tolerance: Duration) -> bool {
        if self.job == *job {
            return false;
        }
        let beat = self.job.heartbeat_at != job.heartbeat_at && is_beat(&self.job, job, tolerance);
        let heartbeat_changed = self.job.heartbeat_at != job.heartbeat_at;
        self.job.clone_from(job);
        self.unchanged_since = observation.finished;
        if heartbeat_changed {
            self.substitute_heartbeat(observation.snapshot.database_now);
        }
        if beat {
            self.beat_seen = Some(observation.began);
        }
        beat
    }

    /// The start that ages count from.
    pub fn start(&self) -> Timestamp {
        self.start_stand_in
            .or(self.job.started_at.at())
            .unwrap_or(self.first_seen)
    }

    /// What the phase is judged from.
    pub fn signs(&self, observation: &Observation, policy: &Policy) -> Signs {
        let heartbeat = self.job.heartbeat(policy.seed_tolerance);
        let value = match heartbeat {
            Heartbeat::Absent => None,
            Heartbeat::Seeded(at) | Heartbeat::Real(at) => Some(at),
        };
        Signs {
            start: self.start(),
            heartbeat,
            heartbeat_from: value.map(|at| self.heartbeat_stand_in.unwrap_or(at)),
            beat_ago: self.beat_seen.map(|at| observation.began.since(at)),
        }
    }
}

/// Whether the change from `before` to `after` is a beat: from one value to another, or from NULL to a real one.
fn is_beat(before: &Job, after: &Job, tolerance: Duration) -> bool {
    match (before.heartbeat_at.at(), after.heartbeat(tolerance)) {
        (_, Heartbeat::Absent) => false,
        (Some(_), _) => true,
        (None, heartbeat) => matches!(heartbeat, Heartbeat::Real(_)),
    }
}
