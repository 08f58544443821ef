//! Whether the newest good runs show a heartbeat at all. Where none does, a missed first heartbeat is no sign of death, and
//! `fail` ends living jobs one after the other.

use super::{Action, Heartbeat, Job, Policy, StateKind, Timestamp};

/// How many good runs without a heartbeat are no coincidence: one that ends before its first heartbeat has none, too.
const ENOUGH: usize = 5;
/// The most that are judged.
pub const GOOD_RUNS: usize = 20;

/// Good runs of which none shows a heartbeat that proves life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// How many were seen.
    runs: usize,
    /// How many of them lived for longer than the deadline of the first heartbeat.
    outlived: usize,
}

impl Silence {
    /// What `jobs` show, the newest good runs among them; nothing where one of them has beaten, or where they are too few. What
    /// started more than `max_age` before `now` shows nothing: its heartbeats may have been cleared away since.
    pub fn of<'a>(jobs: impl IntoIterator<Item = &'a Job>, now: Timestamp, policy: &Policy) -> Option<Self> {
        policy.max_runtime.is_none().then_some(())?;
        let (mut runs, mut outlived) = (0, 0);
        for job in jobs {
            let kind = policy.states.kind_of(job.state.as_deref());
            let beat = job.heartbeat(policy.seed_tolerance);
            if kind == StateKind::Running && matches!(beat, Heartbeat::Real(_)) {
                return None;
            }
            let Some(start) = job.started_at.at() else { continue };
            if kind != StateKind::Success || runs == GOOD_RUNS || !start.is_within(policy.max_age, now) {
                continue;
            }
            let lived = job.ended_at.at().map(|end| start.age_at(end)).unwrap_or_default();
            let has_outlived = lived > policy.init_deadline;
            match beat {
                Heartbeat::Absent if job.has_unreadable_sign() => return None,
                Heartbeat::Absent => {}
                // Written with the start, and never again while the job lived.
                Heartbeat::Seeded(_) if has_outlived => {}
                Heartbeat::Seeded(_) | Heartbeat::Real(_) => return None,
            }
            runs += 1;
            outlived += usize::from(has_outlived);
        }
        (runs >= ENOUGH).then_some(Self { runs, outlived })
    }

    /// The sentence about it, with what to do, and where it means nothing.
    pub fn said(self, action: Action, policy: &Policy) -> String {
        let Self { runs, outlived } = self;
        let long = match outlived {
            0 => String::new(),
            _ => format!(
                ", {outlived} of which lived for longer than init_deadline, {:?}",
                policy.init_deadline
            ),
        };
        let both = match action {
            Action::Fail => ", and `fail` ends both",
            Action::Observe | Action::Backfill => "",
        };
        format!(
            "no good run has one (of the newest {runs}{long}), so a living {} can't be distinguished from one that died{both}: \
             observe, let every worker send heartbeats, or judge by age (max_runtime instead of last_heartbeat_at); this means \
             nothing where heartbeats are cleared at the end of a run",
            policy.noun
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{JobId, States, TimeValue};
    use std::time::Duration;

    const NOW: i64 = 1_700_000_000;

    fn policy() -> Policy {
        let list = |state: &str| vec![state.to_owned()];
        Policy {
            states: States {
                running: list("RUNNING"),
                success: list("SUCCESS"),
                failure: list("FAIL"),
                ..States::default()
            },
            max_age: Duration::from_secs(86_400),
            action: Action::Fail,
            ..Policy::default()
        }
    }

    /// A job that started and ended so many seconds ago, and last beat so many.
    fn job(state: &str, started: i64, beat: Option<i64>, ended: Option<i64>) -> Job {
        let at = |ago: i64| TimeValue::from_micros((NOW - ago) * 1_000_000);
        Job {
            id: JobId::from_number(started),
            name: None,
            state: Some(state.into()),
            started_at: at(started),
            heartbeat_at: beat.map_or(TimeValue::ABSENT, at),
            ended_at: ended.map_or(TimeValue::ABSENT, at),
        }
    }

    fn silence(jobs: &[Job]) -> Option<Silence> {
        Silence::of(jobs, Timestamp::from_micros(NOW * 1_000_000), &policy())
    }

    #[test]
    fn five_good_runs_without_a_heartbeat_are_silent_and_four_are_not() {
        let silent = || job("SUCCESS", 100, None, Some(90));
        let five = vec![silent(); 5];
        assert!(silence(&five[..4]).is_none());
        let said = |action| silence(&five).unwrap().said(action, &policy());
        let begins = "no good run has one (of the newest 5), so a living job can't be distinguished from one that died";
        assert!(said(Action::Observe).starts_with(&format!("{begins}: observe")));
        assert!(said(Action::Fail).starts_with(&format!("{begins}, and `fail` ends both: observe")));
        let with = |other: Job| silence(&[five.clone(), vec![other]].concat());
        // A failed run may have died before its first heartbeat, and one of long ago may have lost its heartbeats since.
        for other in [
            job("FAIL", 100, Some(95), Some(90)),
            job("RUNNING", 100, None, None),
            job("RUNNING", 100, Some(100), None),
            job("SUCCESS", 86_401, Some(86_000), Some(100)),
        ] {
            assert_eq!(with(other).map(|silence| silence.runs), Some(5));
        }
        assert!(with(job("SUCCESS", 100, Some(95), Some(90))).is_none());
        assert!(with(job("RUNNING", 100, Some(95), None)).is_none());
        let mut unreadable = silent();
        unreadable.heartbeat_at = TimeValue::UNREADABLE;
        assert!(with(unreadable).is_none());
        let old = vec![job("SUCCESS", 86_401, None, Some(100)); 9];
        assert!(silence(&old).is_none());
    }

    #[test]
    fn a_seeded_heartbeat_counts_as_none_only_where_the_run_outlived_the_deadline() {
        let seeded = |ended| vec![job("SUCCESS", 100, Some(100), Some(ended)); 5];
        assert!(silence(&seeded(41)).is_none() && silence(&seeded(40)).is_none());
        let said = silence(&seeded(39)).unwrap().said(Action::Fail, &policy());
        assert!(
            said.contains("5 of which lived for longer than init_deadline, 60s"),
            "{said}"
        );
    }

    #[test]
    fn jobs_that_are_judged_by_their_age_need_no_heartbeat() {
        let by_age = Policy {
            max_runtime: Some(Duration::from_secs(600)),
            ..policy()
        };
        let silent = vec![job("SUCCESS", 100, None, Some(90)); 9];
        assert!(Silence::of(&silent, Timestamp::from_micros(NOW * 1_000_000), &by_age).is_none());
    }
}
