//! Points in time: [`Timestamp`] of the database's clock, [`Moment`] of our own monotonic one. They don't mix.

use std::time::Duration;

/// A point in time of a wall clock, in microseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first readable instant: years before 1970 are no job times.
    pub const MIN: Self = Self(0);
    /// The last readable instant, 9999-12-31 23:59:59.999999 UTC.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch, for metrics.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// How long ago `self` was at `now`; zero when `self` lies ahead.
    pub fn age_at(self, now: Self) -> Duration {
        Duration::from_micros(u64::try_from(now.0.saturating_sub(self.0)).unwrap_or(0))
    }

    /// Signed difference `self - other` in microseconds.
    pub const fn micros_since(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }

    /// `self` moved into the future.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }

    /// `self` moved into the past.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A point in time of this process's monotonic clock, counted from the start of the process.
///
/// It never jumps, whatever happens to wall clocks; two processes can't compare theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// From the time since the start of the process.
    pub const fn from_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// `self` moved into the future.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}
