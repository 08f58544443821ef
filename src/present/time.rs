//! Instants and spans as people read them: on the page with blanks before the units, in a terminal without.

pub use crate::store::rfc3339;

use crate::domain::Timestamp;
use std::time::Duration;

/// The units from the largest, with their seconds: as the page writes them, and as a terminal does.
const UNITS: [(u64, &str, &str); 4] = [
    (86_400, " d", "d"),
    (3_600, " h", "h"),
    (60, " min", "m"),
    (1, " s", "s"),
];

/// Whole seconds in their largest unit and the next smaller one, where it counts any.
fn in_two_units(seconds: u64, name: impl Fn(&(u64, &'static str, &'static str)) -> &'static str) -> String {
    let first = UNITS
        .iter()
        .position(|unit| seconds >= unit.0)
        .unwrap_or(UNITS.len() - 1);
    let mut left = seconds;
    let mut parts = Vec::new();
    for unit in UNITS.iter().skip(first).take(2) {
        if left >= unit.0 || parts.is_empty() {
            parts.push(format!("{}{}", left / unit.0, name(unit)));
        }
        left %= unit.0;
    }
    parts.join(" ")
}

/// A duration in the two largest units that matter.
pub fn span(duration: Duration) -> String {
    match duration.as_secs() {
        0 if !duration.is_zero() => format!("{} ms", duration.as_millis().max(1)),
        seconds => in_two_units(seconds, |unit| unit.1),
    }
}

/// The same for a terminal, in whole seconds.
pub fn span_short(duration: Duration) -> String {
    in_two_units(duration.as_secs(), |unit| unit.2)
}

/// A duration in its largest unit, for sentences.
pub fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A duration with all its units, in whole milliseconds, or in whole seconds where it is long: for the log and for intervals.
pub fn rounded(duration: Duration) -> String {
    const LONG: Duration = Duration::from_secs(10);
    let rounded = match duration {
        long if long >= LONG => Duration::from_secs(long.as_secs()),
        short => Duration::from_millis(u64::try_from(short.as_millis()).expect("less than ten seconds")),
    };
    humantime::format_duration(rounded).to_string()
}

/// Date and time in UTC, whole seconds.
pub fn clock(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros()).map_or_else(
        |_| at.as_micros().to_string(),
        |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// Date and time, with the zone.
pub fn date(at: Timestamp) -> String {
    format!("{} UTC", clock(at))
}

/// A point in time as a date and as its distance from `now`.
pub fn when(at: Timestamp, now: Timestamp) -> String {
    if at <= now {
        format!("{} ({} ago)", date(at), span_short(at.age_at(now)))
    } else {
        format!("{} (in {})", date(at), span_short(now.age_at(at)))
    }
}

/// The end of something, as a clock shows it: a whole second by which it is over, with the date where it is another day.
pub fn until(at: Timestamp, now: Timestamp) -> String {
    let whole = at.plus(Duration::from_micros(999_999));
    let (then, today) = (clock(whole), clock(now));
    match (then.split_once(' '), today.split_once(' ')) {
        (Some((day, time)), Some((today, _))) if day == today => format!("{time} UTC"),
        _ => format!("{then} UTC"),
    }
}

/// A time to come: how far it is, as `span` writes it, and what a clock will show then; with the date where it is another day.
pub fn to_come(at: Timestamp, now: Timestamp, span: fn(Duration) -> String) -> String {
    let (then, today) = (clock(at), clock(now));
    let shown = match (then.split_once(' '), today.split_once(' ')) {
        (Some((day, time)), Some((today, _))) if day == today => time,
        // Without its seconds.
        _ => then.get(..16).unwrap_or(&then),
    };
    // Whole seconds, and none of them too few.
    let left = Duration::from_secs((now.age_at(at) + Duration::from_millis(999)).as_secs());
    format!("in {}, at {shown} UTC", span(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<const N: usize>(seconds: [u64; N], words: impl Fn(Duration) -> String) -> [String; N] {
        seconds.map(|seconds| words(Duration::from_secs(seconds)))
    }

    #[test]
    fn spans_have_two_units_at_most() {
        assert_eq!(
            all([0, 59, 60, 61, 3_660, 90_000, 86_700], span),
            ["0 s", "59 s", "1 min", "1 min 1 s", "1 h 1 min", "1 d 1 h", "1 d"]
        );
        assert_eq!(span(Duration::from_micros(7)), "1 ms");
        assert_eq!(
            all([0, 59, 61, 3_600, 90_061], span_short),
            ["0s", "59s", "1m 1s", "1h", "1d 1h"]
        );
        assert_eq!(
            all([59, 854, 90_000, 200_000], rough),
            ["59 s", "14 min", "25 h", "2 d"]
        );
    }

    #[test]
    fn times_are_both_absolute_and_relative() {
        let at = |seconds: i64| Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000);
        assert_eq!(when(at(-75), at(0)), "2027-01-15 07:58:45 UTC (1m 15s ago)");
        assert_eq!(when(at(30), at(0)), "2027-01-15 08:00:30 UTC (in 30s)");
        assert_eq!(until(at(75).plus(Duration::from_micros(1)), at(0)), "08:01:16 UTC");
        assert_eq!(until(at(86_400), at(0)), "2027-01-16 08:00:00 UTC");
        let soon = at(0).plus(Duration::from_millis(980));
        assert_eq!(to_come(soon, at(0), span), "in 1 s, at 08:00:00 UTC");
        assert_eq!(to_come(at(75), at(0), span), "in 1 min 15 s, at 08:01:15 UTC");
        assert_eq!(to_come(at(86_400), at(0), span_short), "in 1d, at 2027-01-16 08:00 UTC");
    }
}
