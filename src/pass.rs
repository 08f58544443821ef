//! What a pass leaves behind, and who receives it: the outcome of one attempt, its audience, and the clocks that time it.

use crate::{
    domain::{Access, Coverage, Discovery, Moment, Newcomers, Report, Timestamp},
    store::Failure,
};
use std::{
    sync::Arc,
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
    pub newcomers: Newcomers,
    /// How running jobs were found.
    pub discovery: Discovery,
    /// What that costs the database.
    pub access: Access,
    /// Whether this pass covered the whole table.
    pub coverage: Coverage,
    /// Whether its statements stay prepared, and why, where there is a choice.
    pub prepared: Option<&'static str>,
}

/// A pass that didn't.
#[derive(Clone, Debug)]
pub struct FailedPass {
    /// The kind of failure.
    pub failure: Failure,
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

/// Who receives each pass.
pub trait Audience: Send + Sync {
    /// The table was read.
    fn good(&self, pass: Arc<GoodPass>);
    /// It wasn't.
    fn failed(&self, pass: FailedPass);
}

impl<A: Audience> Audience for Arc<A> {
    fn good(&self, pass: Arc<GoodPass>) {
        (**self).good(pass);
    }

    fn failed(&self, pass: FailedPass) {
        (**self).failed(pass);
    }
}
