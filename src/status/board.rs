//! The state of one watch as its passes leave it, and what follows from it: current, complete, up, stuck.

use super::day::{InitDay, PassMark, Passed, Strip};
use crate::{
    domain::{Coverage, Discovery, Moment, Policy, Timestamp},
    pass::{Audience, FailedPass, GoodPass},
};
use parking_lot::RwLock;
use std::{sync::Arc, time::Duration};

/// What the configuration says of a watch, as far as others show it. A reload replaces it.
#[derive(Clone, Debug)]
pub struct WatchTerms {
    /// Deadlines, states and action.
    pub policy: Policy,
    /// The preset that the rules came from, if any.
    pub preset: Option<String>,
    /// The job table, as the configuration names it.
    pub table: String,
    /// The poll interval of the configuration.
    pub poll_interval: Duration,
    /// The deadline of one pass.
    pub poll_timeout: Duration,
    /// The objective of the init success ratio.
    pub init_objective: f64,
    /// Whether job names become labels of metrics.
    pub labels_names: bool,
    /// A hash of the database and the table, by which two processes know that they mean the same.
    pub target: Option<String>,
    /// The SQL of an index that would serve the poll.
    pub index_advice: String,
}

/// Beyond its own schedule, a loop may be late by this much before it counts as stuck.
const LATE: Duration = Duration::from_secs(60);

/// The state of one watch.
#[derive(Clone, Debug)]
pub struct WatchStatus {
    /// Its terms.
    pub terms: WatchTerms,
    /// When its loop began.
    pub begun: Moment,
    /// The last good pass.
    pub last_good: Option<Arc<GoodPass>>,
    /// The failure since then.
    pub failure: Option<FailedPass>,
    /// The last passes.
    pub strip: Strip,
    /// The inits of the last day.
    pub day: InitDay,
    /// The database's time at the last full look.
    pub last_full_look: Option<Timestamp>,
}

impl WatchStatus {
    /// A watch that has not looked yet.
    pub fn new(terms: WatchTerms) -> Self {
        Self {
            terms,
            begun: Moment::default(),
            last_good: None,
            failure: None,
            strip: Strip::default(),
            day: InitDay::default(),
            last_full_look: None,
        }
    }

    /// The poll interval in force.
    pub fn interval(&self) -> Duration {
        self.last_good
            .as_ref()
            .map_or(self.terms.poll_interval, |pass| pass.interval)
    }

    /// The last good pass, if it is not older than three intervals in force: an older one is no longer the truth.
    pub fn current(&self, now: Moment) -> Option<&Arc<GoodPass>> {
        self.last_good
            .as_ref()
            .filter(|pass| now.since(pass.at) <= self.interval() * 3)
    }

    /// Whether the fuse keeps jobs from being failed, as the last good pass left it; `None` before the first. The fuse is
    /// our own: it stays as it is while the database is away.
    pub fn fuse_open(&self) -> Option<bool> {
        self.last_good.as_ref().map(|pass| pass.report.fuse_open)
    }

    /// How long after its last pass, good or failed, the loop must have turned again.
    pub fn patience(&self) -> Duration {
        let next_in = match (&self.last_good, &self.failure) {
            (Some(good), Some(failed)) if failed.at < good.at => good.interval,
            (_, Some(failed)) => failed.retry_in,
            (Some(good), None) => good.interval,
            (None, None) => Duration::ZERO,
        };
        // A pass may take its deadline for connecting, for the catalog, for looking and for repairs.
        next_in * 3 + self.terms.poll_timeout * 4 + LATE
    }

    /// Whether every running job is in what was found: by the key alone that is so once a full look was complete.
    pub fn is_complete(&self) -> bool {
        let by_state = |pass: &Arc<GoodPass>| pass.discovery == Discovery::State;
        self.last_full_look.is_some() || self.last_good.as_ref().is_some_and(by_state)
    }

    /// Whether the loop turns, whatever the database does.
    pub fn turns(&self, now: Moment) -> bool {
        let good = self.last_good.as_ref().map(|pass| pass.at);
        let failed = self.failure.as_ref().map(|pass| pass.at);
        now.since(good.max(failed).unwrap_or(self.begun)) <= self.patience()
    }

    /// Whether the last pass read the table, and lately.
    pub fn is_up(&self, now: Moment) -> bool {
        self.failure.is_none() && self.current(now).is_some()
    }
}

/// The shared state of one watch: written by its loop, read by all others.
#[derive(Debug)]
pub struct Board {
    status: RwLock<Arc<WatchStatus>>,
}

impl Board {
    /// A board for a watch that was added to those that run.
    pub fn since(begun: Moment, terms: WatchTerms) -> Self {
        let this = Self::new(terms);
        this.change(|status| status.begun = begun);
        this
    }

    /// A board for a watch that begins with the process.
    pub fn new(terms: WatchTerms) -> Self {
        Self {
            status: RwLock::new(Arc::new(WatchStatus::new(terms))),
        }
    }

    /// The state now; never waits for a pass.
    pub fn read(&self) -> Arc<WatchStatus> {
        self.status.read().clone()
    }

    /// The watch continues under other terms.
    pub fn renew(&self, terms: WatchTerms) {
        self.change(|status| status.terms = terms);
    }

    fn change(&self, change: impl FnOnce(&mut WatchStatus)) {
        let mut next = (*self.read()).clone();
        change(&mut next);
        *self.status.write() = Arc::new(next);
    }
}

impl Audience for Board {
    fn good(&self, pass: Arc<GoodPass>) {
        self.change(|status| {
            if pass.coverage == Coverage::Full {
                status.last_full_look = Some(pass.report.at);
            }
            status.day.take_in(&pass.report, pass.wall);
            status.strip.mark(PassMark {
                passed: Passed::Good {
                    repairs: pass.report.repaired(),
                },
                wall: pass.wall,
                took: pass.took,
            });
            status.last_good = Some(pass);
            status.failure = None;
        });
    }

    fn failed(&self, pass: FailedPass) {
        self.change(|status| {
            status.strip.mark(PassMark {
                passed: Passed::Failed,
                wall: pass.wall,
                took: pass.took,
            });
            status.failure = Some(pass);
        });
    }
}
