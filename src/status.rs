//! What is known of each watch right now, for whoever shows it: HTTP, metrics and command line read here and nowhere
//! else, so no request ever touches a database.

mod day;

pub use day::{InitDay, InitSlot, PassMark, Passed, Strip};

use crate::domain::{Moment, Policy, Report, Timestamp};
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// This process's clocks: a monotonic one for judgement, the wall for showing.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts counting moments now.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

/// Where the time comes from. A simulation brings its own.
pub trait Clock: Send + Sync {
    /// Time since the start of this process.
    fn moment(&self) -> Moment;
    /// The wall clock.
    fn wall(&self) -> Timestamp;
}

impl Clock for SystemClock {
    fn moment(&self) -> Moment {
        Moment::from_start(self.started.elapsed())
    }

    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// What never changes while a watch runs, as far as others show it.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Deadlines, states and action.
    pub policy: Policy,
    /// The poll interval of the configuration.
    pub poll_interval: Duration,
    /// The deadline of one look.
    pub poll_timeout: Duration,
    /// The objective of the init success ratio.
    pub init_objective: f64,
    /// Whether job names become labels.
    pub names: Names,
    /// A hash of the database and the table, by which two processes know that they mean the same.
    pub target: Option<String>,
    /// The SQL of an index that would serve the poll.
    pub index_advice: String,
}

/// Whether job names become labels of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// They do.
    Labelled,
    /// They don't.
    Unlabelled,
}

/// A pass that read the table.
#[derive(Clone, Debug)]
pub struct GoodPass {
    /// What it found and did.
    pub report: Report,
    /// When it was complete, by our monotonic clock.
    pub at: Moment,
    /// The same by our wall clock.
    pub wall: Timestamp,
    /// How long reading took.
    pub took: Duration,
    /// The interval in force from here on.
    pub interval: Duration,
    /// Database's clock minus ours, in seconds.
    pub clock_skew: f64,
    /// Whether jobs that start and end between two passes are seen.
    pub newcomers: crate::domain::Newcomers,
    /// How running jobs were found.
    pub discovery: crate::domain::Discovery,
    /// What that costs the database.
    pub access: crate::domain::Access,
    /// Whether this pass covered the whole table.
    pub look: crate::domain::Look,
}

/// Beyond its own schedule, a loop may be late by this much before it counts as stuck.
const LATE: Duration = Duration::from_secs(60);

/// A pass that didn't.
#[derive(Clone, Debug)]
pub struct FailedPass {
    /// The kind of failure.
    pub failure: crate::store::Failure,
    /// Its words, without secrets.
    pub error: String,
    /// When, by our monotonic clock.
    pub at: Moment,
    /// The same by our wall clock.
    pub wall: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// When the next attempt is made.
    pub retry_in: Duration,
}

/// Who is told of each pass.
pub trait Audience: Send + Sync {
    /// The table was read.
    fn good(&self, pass: Arc<GoodPass>);
    /// It wasn't.
    fn failed(&self, pass: FailedPass);
}

/// The state of one watch.
#[derive(Clone, Debug)]
pub struct WatchStatus {
    /// Its terms.
    pub terms: Terms,
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
    pub fn new(terms: Terms) -> Self {
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
        let by_state = |pass: &Arc<GoodPass>| pass.discovery == crate::domain::Discovery::State;
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

/// The shared state of one watch: written by its loop, read by everybody.
#[derive(Debug)]
pub struct Board {
    status: RwLock<Arc<WatchStatus>>,
}

impl Board {
    /// A board for a watch that was added to those that run.
    pub fn since(begun: Moment, terms: Terms) -> Self {
        let this = Self::new(terms);
        this.change(|status| status.begun = begun);
        this
    }

    /// A board for a watch that begins with the process.
    pub fn new(terms: Terms) -> Self {
        Self {
            status: RwLock::new(Arc::new(WatchStatus::new(terms))),
        }
    }

    /// The state now; never waits for a pass.
    pub fn read(&self) -> Arc<WatchStatus> {
        self.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The watch goes on under other terms.
    pub fn renew(&self, terms: Terms) {
        self.change(|status| status.terms = terms);
    }

    fn change(&self, change: impl FnOnce(&mut WatchStatus)) {
        let mut next = (*self.read()).clone();
        change(&mut next);
        *self.status.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}

/// The boards of all watches, in the order of the configuration.
pub type Boards = Vec<(String, Arc<Board>)>;

/// How the last reading of the configuration went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Whether it was good, and so is in force.
    pub succeeded: bool,
    /// When the configuration in force was read, by our wall clock.
    pub in_force_since: Timestamp,
}

/// Which watches there are right now; a reload can change that.
#[derive(Debug)]
pub struct Roster(RwLock<(Arc<Boards>, Reading)>);

impl Roster {
    /// From the boards of a configuration that was read at `at`.
    pub fn new(boards: Boards, at: Timestamp) -> Self {
        let reading = Reading {
            succeeded: true,
            in_force_since: at,
        };
        Self(RwLock::new((Arc::new(boards), reading)))
    }

    /// The boards now.
    pub fn boards(&self) -> Arc<Boards> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// How the last reading of the configuration went.
    pub fn reading(&self) -> Reading {
        self.0.read().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Another configuration is in force since `at`.
    pub fn replace(&self, boards: Boards, at: Timestamp) {
        let reading = Reading {
            succeeded: true,
            in_force_since: at,
        };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = (Arc::new(boards), reading);
    }

    /// A configuration was read and refused: the one in force stays.
    pub fn refuse(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).1.succeeded = false;
    }
}

impl<A: Audience> Audience for Arc<A> {
    fn good(&self, pass: Arc<GoodPass>) {
        (**self).good(pass);
    }

    fn failed(&self, pass: FailedPass) {
        (**self).failed(pass);
    }
}

impl Audience for Board {
    fn good(&self, pass: Arc<GoodPass>) {
        self.change(|status| {
            if pass.look == crate::domain::Look::Full {
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
