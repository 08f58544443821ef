//! What the operator decided for one watch, as far as judgement needs it.

use super::{Action, JobId, Noun, States};
use std::time::Duration;

/// What a repair does to a row: an action that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Repairing {
    /// Where the heartbeat is NULL, set it to the start.
    Backfill,
    /// End the job as the writer itself would.
    Fail,
}

impl Repairing {
    /// The word of metrics, log and ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backfill => Action::Backfill.as_str(),
            Self::Fail => Action::Fail.as_str(),
        }
    }
}

impl Action {
    /// What it does to a row; `observe` does nothing.
    pub const fn repairing(self) -> Option<Repairing> {
        match self {
            Self::Observe => None,
            Self::Backfill => Some(Repairing::Backfill),
            Self::Fail => Some(Repairing::Fail),
        }
    }
}

/// Deadlines, states and limits of one watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Name of the watch.
    pub watch: String,
    /// What people call a job of it; judgement makes no use of it.
    pub noun: Noun,
    /// What the states mean.
    pub states: States,
    /// A job's time from its start to its first real heartbeat. Also how long a row is watched before it is repaired.
    pub init_deadline: Duration,
    /// The longest that a job may run, where its writer makes no heartbeats; nothing where it makes them.
    pub max_runtime: Option<Duration>,
    /// The longest silence of a living job.
    pub heartbeat_timeout: Duration,
    /// How far after the start a heartbeat still counts as written together with it.
    pub seed_tolerance: Duration,
    /// The age from which a silent job is abandoned.
    pub max_age: Duration,
    /// The window of the init success ratio.
    pub init_window: Duration,
    /// What is done with overdue jobs: those that missed their first heartbeat, or ran for longer than allowed.
    pub action: Action,
    /// Up to so many failing jobs the fuse stays closed, whatever their share.
    pub fuse_min_jobs: usize,
    /// The share of failing jobs, among them and the living ones, above which the fuse opens.
    pub fuse_share: f64,
    /// The most repairs of one pass.
    pub max_per_pass: usize,
    /// After how long the writer itself takes a silent job for dead.
    pub writer_stale_after: Option<Duration>,
    /// The same for a job without a heartbeat.
    pub writer_stale_after_without_heartbeat: Option<Duration>,
    /// What an operator at a terminal requests; nothing for the sidecar.
    pub by_hand: Option<ByHand>,
}

/// Which rules an operator who repairs by hand overrides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHand {
    /// The one job to repair, although a restart of the database, its start, an undo, the fuse or its age speak against
    /// it. The row check holds all the same.
    pub job: Option<JobId>,
    /// How long a row has to be watched, in place of a whole `init_deadline`.
    pub watch_for: Duration,
}

/// As the configuration has it where nothing is set.
#[cfg(test)]
impl Default for Policy {
    fn default() -> Self {
        Self {
            watch: "runs".into(),
            noun: Noun::default(),
            states: States::default(),
            init_deadline: Duration::from_secs(60),
            max_runtime: None,
            heartbeat_timeout: Duration::from_secs(300),
            seed_tolerance: Duration::from_millis(5),
            max_age: Duration::from_secs(604_800),
            init_window: Duration::from_secs(3_600),
            action: Action::Observe,
            fuse_min_jobs: 10,
            fuse_share: 0.5,
            max_per_pass: 100,
            writer_stale_after: None,
            writer_stale_after_without_heartbeat: None,
            by_hand: None,
        }
    }
}

impl Policy {
    /// The age from which a job without a sign of life is overdue.
    pub fn deadline(&self) -> Duration {
        self.max_runtime.unwrap_or(self.init_deadline)
    }

    /// How long a row has to be watched, unchanged, before it is repaired.
    pub fn watch_for(&self) -> Duration {
        self.by_hand
            .as_ref()
            .map_or(self.init_deadline, |by_hand| by_hand.watch_for)
    }

    /// Whether an operator insists on the repair of this job.
    pub fn overrides_for(&self, job: &JobId) -> bool {
        self.by_hand
            .as_ref()
            .is_some_and(|by_hand| by_hand.job.as_ref() == Some(job))
    }

    /// Whether an operator wants another job repaired, and only that one.
    pub fn excludes(&self, job: &JobId) -> bool {
        let wanted = self.by_hand.as_ref().and_then(|by_hand| by_hand.job.as_ref());
        wanted.is_some_and(|wanted| wanted != job)
    }
}

/// How far apart two good passes may lie before all watching starts again.
pub fn blind_after(interval: Duration, init_deadline: Duration) -> Duration {
    /// Below this no gap matters; above it a deadline could hide in one.
    const AT_MOST: Duration = Duration::from_secs(5);
    (interval * 3).max(AT_MOST.min(init_deadline / 2))
}

/// A scan that costs the database more than this is a burden.
const BURDEN: Duration = Duration::from_millis(50);
/// A burdensome scan gets at most one part in this many of the database's time.
const SHARE: u32 = 100;
/// However slow the scan, look once in this time.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);
/// How many scans are asked before the interval follows their cost. The cheapest of them counts: whatever else makes a scan
/// slow now and then is no cost of its own.
pub const SCANS: usize = 5;

/// Whether an interval in force that was not configured exceeds a third of the deadline, so that jobs are judged late.
pub fn judges_late(interval: Duration, configured: Duration, init_deadline: Duration) -> bool {
    interval > configured && interval > init_deadline / 3
}

/// The poll interval in force, from the configured one and what the last scans of the table cost the database, each of them
/// that one statement alone.
pub fn interval_in_force(configured: Duration, scans: &[Duration]) -> Duration {
    let last = scans.len().checked_sub(SCANS).map(|from| &scans[from..]);
    let cheapest = last.and_then(|last| last.iter().min().copied()).unwrap_or_default();
    if cheapest > BURDEN {
        configured.max((cheapest * SHARE).min(LONGEST_INTERVAL))
    } else {
        configured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_repair_does_has_the_word_of_its_action() {
        let repairs = Action::ALL.into_iter().filter_map(Action::repairing);
        assert!(repairs.map(Repairing::as_str).eq(["backfill", "fail"]));
    }

    #[test]
    fn three_intervals_are_a_gap_and_five_seconds_or_half_a_deadline_are_none() {
        let seconds = Duration::from_secs_f64;
        for (interval, deadline, expected) in [(5.0, 60.0, 15.0), (1.0, 60.0, 5.0), (0.2, 4.0, 2.0), (1.0, 4.0, 3.0)] {
            assert_eq!(blind_after(seconds(interval), seconds(deadline)), seconds(expected));
        }
    }

    #[test]
    fn jobs_are_judged_late_by_an_interval_of_its_own_above_a_third_of_the_deadline() {
        let late = |interval, configured| {
            let [interval, configured, deadline] = [interval, configured, 60].map(Duration::from_secs);
            judges_late(interval, configured, deadline)
        };
        assert!(late(21, 5) && late(21, 20));
        assert!(!late(20, 5) && !late(30, 30) && !late(30, 31));
    }

    #[test]
    fn an_operator_who_names_a_job_insists_on_that_one_and_excludes_the_others() {
        let (one, other) = (JobId::new("1"), JobId::new("2"));
        let by_hand = |job: Option<&JobId>| Policy {
            by_hand: Some(ByHand {
                job: job.cloned(),
                watch_for: Duration::from_secs(5),
            }),
            ..Policy::default()
        };
        let rules = |policy: &Policy| [&one, &other].map(|job| (policy.overrides_for(job), policy.excludes(job)));
        assert_eq!(rules(&by_hand(Some(&one))), [(true, false), (false, true)]);
        for policy in [by_hand(None), Policy::default()] {
            assert_eq!(rules(&policy), [(false, false); 2]);
        }
        assert_eq!(by_hand(None).watch_for(), Duration::from_secs(5));
        assert_eq!(Policy::default().watch_for(), Policy::default().init_deadline);
    }
}
