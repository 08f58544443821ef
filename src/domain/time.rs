//! Points in time: [`Timestamp`] of the database's clock, [`Moment`] of our own monotonic one. They don't mix.

use std::{fmt, num::NonZeroU64, time::Duration};

/// A point in time of a wall clock, in microseconds since 1970-01-01 00:00:00 UTC.
///
/// Kept so that an optional one takes no more room: shifted by 2^63, which keeps the order, and never zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

/// 2^63.
const SHIFT: u64 = 1 << 63;

impl Timestamp {
    /// The first readable instant: years before 1970 are no job times.
    pub const MIN: Self = Self::from_micros(0);
    /// The last readable instant, 9999-12-31 23:59:59.999999 UTC.
    pub const MAX: Self = Self::from_micros(253_402_300_799_999_999);

    /// From microseconds since the epoch; the least of all numbers counts as the one above it.
    pub const fn from_micros(micros: i64) -> Self {
        match NonZeroU64::new(micros.cast_unsigned() ^ SHIFT) {
            Some(shifted) => Self(shifted),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        (self.0.get() ^ SHIFT).cast_signed()
    }

    /// Seconds since the epoch, for metrics.
    pub fn as_seconds(self) -> f64 {
        self.as_micros() as f64 / 1e6
    }

    /// How long ago `self` was at `now`; zero when `self` lies ahead.
    pub fn age_at(self, now: Self) -> Duration {
        Duration::from_micros(u64::try_from(now.micros_since(self)).unwrap_or(0))
    }

    /// Whether it lies at most `span` before `now`, or after it: a time further ahead than that was made up, or is of a clock
    /// that was set back, and must not count as recent until it comes.
    pub fn is_within(self, span: Duration, now: Self) -> bool {
        self.age_at(now) <= span && now.age_at(self) <= span
    }

    /// Signed difference `self - other` in microseconds.
    pub const fn micros_since(self, other: Self) -> i64 {
        self.as_micros().saturating_sub(other.as_micros())
    }

    /// `self` moved into the future.
    pub fn plus(self, by: Duration) -> Self {
        Self::from_micros(self.as_micros().saturating_add(micros(by)))
    }

    /// `self` moved into the past.
    pub fn minus(self, by: Duration) -> Self {
        Self::from_micros(self.as_micros().saturating_sub(micros(by)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({})", self.as_micros())
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A point in time of this process's monotonic clock, counted in nanoseconds from the start of the process.
///
/// It never jumps, whatever happens to wall clocks; two processes can't compare theirs. Kept as one more than the count, so
/// that an optional one takes no more room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(NonZeroU64);

impl Moment {
    /// From the time since the start of the process.
    pub fn from_start(elapsed: Duration) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos(elapsed)))
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// `self` moved into the future.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }
}

impl Default for Moment {
    fn default() -> Self {
        Self(NonZeroU64::MIN)
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moment({:?})", self.since(Self::default()))
    }
}

/// Five hundred years fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_timestamps_is_that_of_their_microseconds() {
        let micros = [i64::MIN + 1, -1, 0, 1, i64::MAX];
        let stamps = micros.map(Timestamp::from_micros);
        assert!(stamps.is_sorted());
        assert_eq!(stamps.map(Timestamp::as_micros), micros);
        assert_eq!(Timestamp::from_micros(i64::MIN), stamps[0]);
        assert_eq!(format!("{:?}", stamps[3]), "Timestamp(1)");
    }

    #[test]
    fn an_optional_time_takes_one_word() {
        assert_eq!((size_of::<Option<Timestamp>>(), size_of::<Option<Moment>>()), (8, 8));
    }

    #[test]
    fn a_time_is_within_a_span_of_now_on_either_side_of_it_both_ends_included() {
        let (now, span) = (Timestamp::from_micros(1_000), Duration::from_micros(10));
        let within = |micros| Timestamp::from_micros(micros).is_within(span, now);
        assert_eq!(
            [989, 990, 1_000, 1_010, 1_011].map(within),
            [false, true, true, true, false]
        );
    }

    #[test]
    fn times_are_moved_and_compared_by_what_lies_between_them() {
        let (at, span) = (Timestamp::from_micros(2_500_000), Duration::from_secs(2));
        assert_eq!(at.as_seconds(), 2.5);
        assert_eq!(
            (at.plus(span).as_micros(), at.minus(span).as_micros()),
            (4_500_000, 500_000)
        );
        assert_eq!(
            (at.minus(span).age_at(at), at.age_at(at.minus(span))),
            (span, Duration::ZERO)
        );
        assert_eq!(at.plus(Duration::MAX).as_micros(), i64::MAX);
        let moment = Moment::from_start(span);
        assert_eq!(
            (moment.plus(span).since(moment), moment.since(moment.plus(span))),
            (span, Duration::ZERO)
        );
        assert_eq!(format!("{moment:?}"), "Moment(2s)");
    }
}
