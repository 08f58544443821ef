//! The phase of a running job: the one table that judges it.

use super::{Heartbeat, Policy, Timestamp};
use std::time::Duration;

choice! {
    /// Beatwarden's judgement of a running job.
    Phase {
        /// No real heartbeat yet, and still time for it.
        Starting = "starting",
        /// Alive.
        Beating = "beating",
        /// No real heartbeat within `init_deadline` of the start: overdue.
        MissedFirst = "missed_first",
        /// It beat, and stopped.
        Lost = "lost",
        /// Its writer makes no heartbeats, and it may still run.
        Running = "running",
        /// It has run for `max_runtime` or longer, where its writer makes no heartbeats: overdue.
        Overrun = "overrun",
        /// Silent for so long that it counts nowhere else.
        Abandoned = "abandoned",
    }
}

impl Phase {
    /// The phases of jobs whose writer makes heartbeats.
    const WITH_HEARTBEATS: [Self; 5] = [
        Self::Starting,
        Self::Beating,
        Self::MissedFirst,
        Self::Lost,
        Self::Abandoned,
    ];

    /// The phases of the other jobs: their age is all that is known.
    const WITHOUT_HEARTBEATS: [Self; 3] = [Self::Running, Self::Overrun, Self::Abandoned];

    /// Whether the job is stuck.
    pub const fn is_stuck(self) -> bool {
        matches!(self, Self::MissedFirst | Self::Lost | Self::Overrun)
    }

    /// Whether the job is past its deadline, so that the action is for it.
    pub const fn is_overdue(self) -> bool {
        matches!(self, Self::MissedFirst | Self::Overrun)
    }

    /// Whether the job becomes overdue if nothing changes.
    pub const fn has_time_left(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }
}

impl Policy {
    /// The phases that jobs of this watch can have, in the order in which they are shown.
    pub const fn phases(&self) -> &'static [Phase] {
        match self.max_runtime {
            None => &Phase::WITH_HEARTBEATS,
            Some(_) => &Phase::WITHOUT_HEARTBEATS,
        }
    }

    /// The phase of a job that is past its deadline: the reason of a repair.
    pub const fn overdue(&self) -> Phase {
        match self.max_runtime {
            None => Phase::MissedFirst,
            Some(_) => Phase::Overrun,
        }
    }
}

/// What a phase is judged from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// The start, or the time of first sight where the row has no usable one.
    pub start: Timestamp,
    /// The heartbeat as the row has it.
    pub heartbeat: Heartbeat,
    /// The instant that the heartbeat's age counts from; differs from the value where that lies in the future.
    pub heartbeat_from: Option<Timestamp>,
    /// How long ago, by our own clock, this process saw the heartbeat change.
    pub beat_ago: Option<Duration>,
}

impl Signs {
    /// The last sign of life: the heartbeat, else the start.
    pub fn last_sign(&self) -> Timestamp {
        self.heartbeat_from.unwrap_or(self.start)
    }
}

/// Judges a running job at `now`, the database's own time.
///
/// A beat that this process saw itself wins over every value in the row: a writer with a wrong clock or time zone is
/// alive all the same.
pub fn phase_of(signs: &Signs, now: Timestamp, policy: &Policy) -> Phase {
    if signs.beat_ago.is_some_and(|ago| ago < policy.heartbeat_timeout) {
        return Phase::Beating;
    }
    if signs.last_sign().age_at(now) > policy.max_age {
        return Phase::Abandoned;
    }
    if let Some(longest) = policy.max_runtime {
        return match signs.start.age_at(now) < longest {
            true => Phase::Running,
            false => Phase::Overrun,
        };
    }
    match (signs.heartbeat, signs.heartbeat_from) {
        (Heartbeat::Real(_), Some(from)) if from.age_at(now) <= policy.heartbeat_timeout => Phase::Beating,
        (Heartbeat::Real(_), _) => Phase::Lost,
        _ if signs.start.age_at(now) < policy.init_deadline => Phase::Starting,
        _ => Phase::MissedFirst,
    }
}
