//! Counters and histograms: what happened since this process started.

use crate::{
    domain::{Cause, Event, LateOutcome, Noted, Outcome, Phase, Policy, Repairing},
    pass::{FailedPass, GoodPass},
    store::Failure,
};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Buckets of the time from a start to the first heartbeat, seconds: from Meltano's tenth to the longest deadlines.
const INIT_BUCKETS: [f64; 11] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Buckets of a poll's duration, seconds: from an index's fraction of a millisecond to the default timeout.
const POLL_BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0,
];

/// All of them; a clone counts into the same ones.
#[derive(Clone)]
pub(super) struct Counters {
    inits: IntCounterVec,
    init_failures: IntCounterVec,
    init_seconds: HistogramVec,
    repairs: IntCounterVec,
    repair_failures: IntCounterVec,
    withheld: IntCounterVec,
    false_repairs: IntCounterVec,
    late_first: IntCounterVec,
    recovered: IntCounterVec,
    polls: IntCounterVec,
    poll_failures: IntCounterVec,
    poll_seconds: HistogramVec,
    names_dropped: IntCounterVec,
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let counter = IntCounterVec::new(Opts::new(name, help).namespace("beatwarden"), labels).expect("a valid name");
    registry.register(Box::new(counter.clone())).expect("a name of its own");
    counter
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help)
        .namespace("beatwarden")
        .buckets(buckets.to_vec());
    let histogram = HistogramVec::new(options, &["watch"]).expect("a valid name");
    registry
        .register(Box::new(histogram.clone()))
        .expect("a name of its own");
    histogram
}

impl Counters {
    pub(super) fn register(registry: &Registry) -> Self {
        let of_watch = |name: &str, help: &str| counter(registry, name, help, &["watch"]);
        Self {
            inits: of_watch("job_inits_total", "Decided inits, failures included."),
            init_failures: of_watch(
                "job_init_failures_total",
                "Inits without a real first heartbeat in time.",
            ),
            init_seconds: histogram(
                registry,
                "job_init_seconds",
                "Time from the start to the first real heartbeat seen; an upper bound, as fine as the poll interval.",
                &INIT_BUCKETS,
            ),
            repairs: counter(
                registry,
                "repairs_total",
                "Committed repairs.",
                &["watch", "reason", "action"],
            ),
            repair_failures: of_watch("repair_failures_total", "Attempts at a repair that ended in an error."),
            withheld: counter(
                registry,
                "repairs_withheld_total",
                "Overdue jobs that were not repaired, once for each job and cause.",
                &["watch", "cause"],
            ),
            false_repairs: of_watch("false_repairs_total", "Failed jobs that turned out to be alive."),
            late_first: of_watch(
                "late_first_heartbeats_total",
                "First heartbeats that came after their deadline.",
            ),
            recovered: of_watch("recovered_heartbeats_total", "Lost jobs that beat again."),
            polls: of_watch("polls_total", "Polls of the table, failed ones included."),
            poll_failures: counter(
                registry,
                "poll_failures_total",
                "Polls that could not read the table, by cause.",
                &["watch", "cause"],
            ),
            poll_seconds: histogram(registry, "poll_duration_seconds", "Duration of polls.", &POLL_BUCKETS),
            names_dropped: of_watch("job_names_dropped_total", "Jobs whose name found all labels taken."),
        }
    }

    /// Every series that a watch can have whose jobs are overdue in the phase `reason`: each counter with each known value of
    /// its labels.
    fn series<'a>(&'a self, watch: &'a str, reason: Phase) -> impl Iterator<Item = (&'a IntCounterVec, Vec<&'a str>)> {
        let of_watch = [
            &self.inits,
            &self.init_failures,
            &self.repair_failures,
            &self.false_repairs,
            &self.late_first,
            &self.recovered,
            &self.polls,
            &self.names_dropped,
        ];
        // Without a heartbeat there is none to fill in.
        let actions = [Repairing::Backfill, Repairing::Fail].into_iter();
        let actions = actions.skip(usize::from(reason == Phase::Overrun));
        let repairs = actions.map(move |action| (&self.repairs, vec![watch, reason.as_str(), action.as_str()]));
        let causes = Cause::ALL.into_iter().map(Cause::as_str);
        let withheld = causes.map(move |cause| (&self.withheld, vec![watch, cause]));
        let failures = Failure::ALL.into_iter().map(Failure::as_str);
        let failed = failures.map(move |failure| (&self.poll_failures, vec![watch, failure]));
        let plain = of_watch.into_iter().map(move |counter| (counter, vec![watch]));
        plain.chain(repairs).chain(withheld).chain(failed)
    }

    /// Makes every known label value exist at 0: a counter that appears with its first event hides that event from rate().
    pub(super) fn initialise(&self, watch: &str, policy: &Policy) {
        for (counter, labels) in self.series(watch, policy.overdue()) {
            counter.with_label_values(&labels);
        }
        self.init_seconds.with_label_values(&[watch]);
        self.poll_seconds.with_label_values(&[watch]);
    }

    /// Drops every series of a watch.
    pub(super) fn forget(&self, watch: &str) {
        // A label value that was never there can't be removed, which is as good.
        let series = [Phase::MissedFirst, Phase::Overrun].map(|reason| self.series(watch, reason));
        for (counter, labels) in series.into_iter().flatten() {
            let _ = counter.remove_label_values(&labels);
        }
        let _ = self.init_seconds.remove_label_values(&[watch]);
        let _ = self.poll_seconds.remove_label_values(&[watch]);
    }

    pub(super) fn good(&self, watch: &str, pass: &GoodPass) {
        self.polls.with_label_values(&[watch]).inc();
        self.poll_seconds
            .with_label_values(&[watch])
            .observe(pass.took.as_secs_f64());
        for event in &pass.report.events {
            self.event(watch, event);
        }
        self.names_dropped
            .with_label_values(&[watch])
            .inc_by(pass.report.names_dropped);
        for (_, cause) in &pass.report.newly_withheld {
            self.withheld.with_label_values(&[watch, cause.as_str()]).inc();
        }
        for (finding, noted) in &pass.report.findings {
            // Counted by the process that recorded it, so that replicas can be summed. A late heartbeat is counted as an event.
            if finding.outcome == LateOutcome::FalseRepair && *noted == Noted::First {
                self.false_repairs.with_label_values(&[watch]).inc();
            }
        }
        for attempted in &pass.report.attempts {
            match attempted.outcome {
                Outcome::Repaired(_) => {
                    let (reason, action) = (attempted.repair.reason.as_str(), attempted.repair.action.as_str());
                    self.repairs.with_label_values(&[watch, reason, action]).inc();
                }
                Outcome::Failed(_) => self.repair_failures.with_label_values(&[watch]).inc(),
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

    fn event(&self, watch: &str, event: &Event) {
        match event {
            Event::InitSucceeded(_, way) => {
                self.inits.with_label_values(&[watch]).inc();
                if let Some(way) = way {
                    self.init_seconds.with_label_values(&[watch]).observe(way.as_secs_f64());
                }
            }
            Event::InitFailed(_) => {
                self.inits.with_label_values(&[watch]).inc();
                self.init_failures.with_label_values(&[watch]).inc();
            }
            Event::LateFirstHeartbeat(_) => self.late_first.with_label_values(&[watch]).inc(),
            Event::Recovered(_) => self.recovered.with_label_values(&[watch]).inc(),
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

    pub(super) fn failed(&self, watch: &str, pass: &FailedPass) {
        self.polls.with_label_values(&[watch]).inc();
        self.poll_seconds
            .with_label_values(&[watch])
            .observe(pass.took.as_secs_f64());
        self.poll_failures
            .with_label_values(&[watch, pass.failure.as_str()])
            .inc();
    }
}
