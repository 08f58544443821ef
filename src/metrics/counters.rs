//! Counters and histograms: what happened since this process started.

use crate::{
    domain::{Cause, Event, LateOutcome, Noted, Outcome, Phase, Policy, Repairing},
    pass::{FailedPass, GoodPass},
    store::Failure,
};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, core::Collector};
use std::collections::HashMap;

/// Buckets of the time from a start to the first heartbeat, seconds: from Meltano's tenth to the longest deadlines.
const INIT_BUCKETS: [f64; 11] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Buckets of a poll's duration, seconds: from an index's fraction of a millisecond to the default timeout.
const POLL_BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0,
];

/// Those of one watch; a clone counts into the same ones.
#[derive(Clone)]
pub(super) struct Counters {
    /// All that follow, each with the watch as a label: with it they are dropped together.
    pub(super) registry: Registry,
    inits: IntCounter,
    init_failures: IntCounter,
    init_seconds: Histogram,
    repairs: IntCounterVec,
    repair_failures: IntCounter,
    withheld: IntCounterVec,
    false_repairs: IntCounter,
    late_first: IntCounter,
    recovered: IntCounter,
    polls: IntCounter,
    poll_failures: IntCounterVec,
    poll_seconds: Histogram,
    names_dropped: IntCounter,
}

fn registered<T: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<T>) -> T {
    let metric = metric.expect("a valid name");
    registry.register(Box::new(metric.clone())).expect("a name of its own");
    metric
}

#[rustfmt::skip]
impl Counters {
    pub(super) fn of_watch(watch: &str) -> Self {
        let label = HashMap::from([("watch".to_owned(), watch.to_owned())]);
        let registry = Registry::new_custom(Some("beatwarden".to_owned()), Some(label)).expect("a valid prefix");
        let counter = |name: &str, help: &str| registered(&registry, IntCounter::new(name, help));
        let by = |labels: &[&str], name: &str, help: &str| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let histogram = |buckets: &[f64], name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            registered(&registry, Histogram::with_opts(options))
        };
        Self {
            inits: counter("job_inits_total", "Decided inits, failures included."),
            init_failures: counter("job_init_failures_total", "Inits without a real first heartbeat in time."),
            init_seconds: histogram(&INIT_BUCKETS, "job_init_seconds",
                "Time from the start to the first real heartbeat seen; an upper bound, as fine as the poll interval."),
            repairs: by(&["reason", "action"], "repairs_total", "Committed repairs."),
            repair_failures: counter("repair_failures_total", "Attempts at a repair that ended in an error."),
            withheld: by(&["cause"], "repairs_withheld_total",
                "Overdue jobs that were not repaired, once for each job and cause."),
            false_repairs: counter("false_repairs_total", "Failed jobs that turned out to be alive."),
            late_first: counter("late_first_heartbeats_total", "First heartbeats that came after their deadline."),
            recovered: counter("recovered_heartbeats_total", "Lost jobs that beat again."),
            polls: counter("polls_total", "Polls of the table, failed ones included."),
            poll_failures: by(&["cause"], "poll_failures_total", "Polls that could not read the table, by cause."),
            poll_seconds: histogram(&POLL_BUCKETS, "poll_duration_seconds", "Duration of polls."),
            names_dropped: counter("job_names_dropped_total", "Job names that found all labels taken."),
            registry,
        }
    }
}

impl Counters {
    /// Makes every known label value exist at 0: a counter that appears with its first event hides that event from rate().
    pub(super) fn initialise(&self, policy: &Policy) {
        let reason = policy.overdue();
        // Without a heartbeat there is none to fill in.
        let actions = [Repairing::Backfill, Repairing::Fail].into_iter();
        for action in actions.skip(usize::from(reason == Phase::Overrun)) {
            self.repairs.with_label_values(&[reason.as_str(), action.as_str()]);
        }
        for cause in Cause::ALL {
            self.withheld.with_label_values(&[cause.as_str()]);
        }
        for failure in Failure::ALL {
            self.poll_failures.with_label_values(&[failure.as_str()]);
        }
    }

    pub(super) fn good(&self, pass: &GoodPass, labels_names: bool) {
        self.polls.inc();
        self.poll_seconds.observe(pass.took.as_secs_f64());
        for event in &pass.report.events {
            self.event(event);
        }
        if labels_names {
            self.names_dropped.inc_by(pass.report.names_dropped);
        }
        for (_, cause) in &pass.report.newly_withheld {
            self.withheld.with_label_values(&[cause.as_str()]).inc();
        }
        for (finding, noted) in &pass.report.findings {
            // Counted by the process that recorded it, so that replicas can be summed. A late heartbeat is counted as an event.
            if finding.outcome == LateOutcome::FalseRepair && *noted == Noted::First {
                self.false_repairs.inc();
            }
        }
        for attempted in &pass.report.attempts {
            match attempted.outcome {
                Outcome::Repaired(_) => {
                    let (reason, action) = (attempted.repair.reason.as_str(), attempted.repair.action.as_str());
                    self.repairs.with_label_values(&[reason, action]).inc();
                }
                Outcome::Failed(_) => self.repair_failures.inc(),
                // An unknown outcome becomes one of the others once it is known.
                Outcome::Unknown(_)
                | Outcome::Already
                | Outcome::NoLedger(_)
                | Outcome::NotLeader
                | Outcome::Locked
                | Outcome::LostRace
                | Outcome::Shutdown
                | Outcome::Postponed => {}
            }
        }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::InitSucceeded(_, way) => {
                self.inits.inc();
                if let Some(way) = way {
                    self.init_seconds.observe(way.as_secs_f64());
                }
            }
            Event::InitFailed(_) => {
                self.inits.inc();
                self.init_failures.inc();
            }
            Event::LateFirstHeartbeat(_) => self.late_first.inc(),
            Event::Recovered(_) => self.recovered.inc(),
            Event::Fuse(_)
            | Event::Guard(..)
            | Event::Stuck(..)
            | Event::Left(..)
            | Event::Keyless(_)
            | Event::WatchingRestarted(_)
            | Event::Unreadable(_)
            | Event::UnknownState(..) => {}
        }
    }

    pub(super) fn failed(&self, pass: &FailedPass) {
        self.polls.inc();
        self.poll_seconds.observe(pass.took.as_secs_f64());
        self.poll_failures.with_label_values(&[pass.failure.as_str()]).inc();
    }
}
