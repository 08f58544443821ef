//! All that is remembered between two passes, in one value. What isn't here is forgotten.

use super::{
    Causes, Fuse, Guard, Heartbeat, Incident, Init, InitWindow, Job, JobId, Moment, Observation, Phase, Policy, Repair,
    RepairId, ServerIdentity, Signs, Timestamp,
    aftermath::UnderWatch,
    jobs::Jobs,
    names::{Label, Names},
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

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
    /// Whether the log was told that the row can't be read.
    pub noted_unreadable: bool,
    /// Whether the log was told that its state is in no list.
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
    /// A job seen for the first time.
    pub fn first_sight(job: Job, observation: &Observation) -> Self {
        let mut known = Self {
            job,
            first_seen: observation.snapshot.database_now,
            unchanged_since: observation.finished,
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
        known.substitute_start(observation.snapshot.database_now);
        known.substitute_heartbeat(observation.snapshot.database_now);
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

/// The last good pass.
#[derive(Clone, Debug)]
pub(super) struct LastPass {
    pub began: Moment,
    pub database_now: Timestamp,
    pub server: ServerIdentity,
    /// As [`super::Unknowns`] has it.
    pub connection: Option<u64>,
}

/// So many ended incidents are remembered, so that one that runs again with the same start is no second init.
const ENDED_REMEMBERED: usize = 10_000;

/// Ended incidents, the newest ones. Several of one job, since a failover can bring back an earlier one.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    incidents: HashSet<Incident>,
    order: VecDeque<Incident>,
}

impl Ended {
    /// Remembers that the incident ended; false if that is known already.
    pub(super) fn insert(&mut self, id: &JobId, started_at: Option<Timestamp>) -> bool {
        let incident = Incident {
            job: id.clone(),
            started_at,
        };
        let is_new = self.incidents.insert(incident.clone());
        if is_new {
            self.order.push_back(incident);
            if self.order.len() > ENDED_REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.incidents.remove(&oldest);
            }
        }
        is_new
    }

    /// Whether this start of the job ended before.
    pub(super) fn contains(&self, id: &JobId, started_at: Option<Timestamp>) -> bool {
        let incident = Incident {
            job: id.clone(),
            started_at,
        };
        self.incidents.contains(&incident)
    }
}

/// What a watch remembers between passes.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub(super) jobs: Jobs,
    /// Number of passes so far; it may wrap.
    pub(super) passes: u32,
    pub(super) ended: Ended,
    pub(super) last_pass: Option<LastPass>,
    /// Nothing counts as watched before this.
    pub(super) watching_since: Moment,
    /// The database's time at the first good pass.
    pub(super) first_pass: Option<Timestamp>,
    /// The latest restart or promotion of the server that is known.
    pub(super) restarted_at: Option<Timestamp>,
    pub(super) window: InitWindow,
    pub(super) names: Names,
    pub(super) attempts: u64,
    pub(super) fuse: Fuse,
    /// Running rows without a key at the last pass.
    pub(super) keyless: u64,
    /// The guard at the last pass.
    pub(super) guard: Option<Guard>,
    /// Repairs whose jobs are still looked at.
    pub(super) under_watch: HashMap<RepairId, UnderWatch>,
    /// A repair whose outcome is unknown; nothing else is repaired until it is known.
    pub(super) unresolved: Option<Repair>,
}

impl Memory {
    /// The keys of all jobs that the next pass must read, whatever their state.
    pub fn known_jobs(&self) -> impl Iterator<Item = &JobId> {
        let unlisted = |job: &&JobId| self.jobs.get(job).is_none();
        self.jobs.ids().chain(self.repaired_jobs().filter(unlisted))
    }

    /// Takes back the jobs of a pass. Those that it did not read are forgotten: they ended or were deleted. An undecided init
    /// of such a job is not counted; a decided one is remembered, since a failover that lost the deletion brings the row back.
    /// Returns the stuck ones among those that were not read, with their names.
    pub(super) fn settle(&mut self, mut jobs: Jobs, fresh: Vec<Known>) -> Vec<(JobId, Option<Arc<str>>)> {
        let (pass, ended) = (self.passes, &mut self.ended);
        let mut stuck = Vec::new();
        jobs.settle(fresh, |known| {
            let is_read = known.read_in == pass;
            if !is_read && known.init.is_some() {
                ended.insert(&known.job.id, known.job.started_at.at());
            }
            if !is_read && known.phase.is_some_and(Phase::is_stuck) {
                stuck.push((known.job.id.clone(), known.job.name.clone()));
            }
            is_read
        });
        self.jobs = jobs;
        stuck
    }

    /// How long the row was watched, unchanged and without a gap, up to the observation.
    pub(super) fn watched(&self, known: &Known, observation: &Observation) -> Duration {
        observation.began.since(known.unchanged_since.max(self.watching_since))
    }
}
