//! Whether a stuck job stands in the way of the next run of the same name, by the writer's own rule. Says nothing of
//! what Beatwarden does about it.

use super::{Phase, Policy, Timestamp, known::Known};

/// What a stuck job means for the next run of the same name. Known only where the writer's rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocking {
    /// The writer takes it for alive until then, and starts no other run.
    Until(Timestamp),
    /// The writer takes it for dead, and starts the next run as if it were not there.
    Leftover,
}

impl Blocking {
    /// What a job of this phase means at `now`, where the writer takes it for dead from `frees_at` on.
    pub fn of(phase: Phase, frees_at: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        let frees_at = frees_at.filter(|_| phase.is_stuck())?;
        Some(if frees_at > now {
            Self::Until(frees_at)
        } else {
            Self::Leftover
        })
    }

    /// Until when it blocks, if it does.
    pub const fn until(self) -> Option<Timestamp> {
        match self {
            Self::Until(at) => Some(at),
            Self::Leftover => None,
        }
    }
}

impl Policy {
    /// Whether anything is known of when the writer takes a silent job for dead.
    pub fn knows_writers_rule(&self) -> bool {
        self.writer_stale_after.is_some() || self.writer_stale_after_without_heartbeat.is_some()
    }
}

/// When the writer's own rule takes a job for dead: from its heartbeat as the row has it, seeded or not, else from its start.
pub(super) fn writer_frees_at(known: &Known, policy: &Policy) -> Option<Timestamp> {
    match known.job.heartbeat_at.at() {
        Some(beat) => policy.writer_stale_after.map(|after| beat.plus(after)),
        None => policy
            .writer_stale_after_without_heartbeat
            .and_then(|after| Some(known.job.started_at.at()?.plus(after))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn a_stuck_job_blocks_up_to_the_writers_limit_and_no_other_job_does() {
        let of = |phase, frees_at: Option<i64>| Blocking::of(phase, frees_at.map(at), at(0));
        for phase in [Phase::MissedFirst, Phase::Lost] {
            assert_eq!(of(phase, Some(1)), Some(Blocking::Until(at(1))));
            assert_eq!(of(phase, Some(0)), Some(Blocking::Leftover));
            assert_eq!(of(phase, None), None, "the writer's rule is not known");
        }
        for phase in [Phase::Starting, Phase::Beating, Phase::Abandoned] {
            assert_eq!((of(phase, Some(1)), of(phase, Some(-1))), (None, None));
        }
    }

    #[test]
    fn the_writers_rule_is_known_where_either_part_of_it_is() {
        let some = Some(std::time::Duration::from_secs(1));
        for (beating, silent) in [(None, None), (some, None), (None, some), (some, some)] {
            let policy = Policy {
                writer_stale_after: beating,
                writer_stale_after_without_heartbeat: silent,
                ..Policy::default()
            };
            assert_eq!(policy.knows_writers_rule(), (beating, silent) != (None, None));
        }
    }
}
