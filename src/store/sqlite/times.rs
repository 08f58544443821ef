//! Times as SQLite tables hold them: text as SQLAlchemy writes it, ISO 8601, or numbers since 1970.

use crate::{
    domain::{TimeValue, Timestamp},
    store::{Mapping, StoreError, TimeFormat, TimeSource},
};
use jiff::{
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use rusqlite::types::{Value, ValueRef};

/// How the times of a row are written, each in its own way.
#[derive(Clone, Debug)]
pub(super) struct RowTimes {
    pub started_at: Times,
    pub heartbeat_at: Times,
    pub ended_at: Times,
}

impl RowTimes {
    /// As the mapping says.
    ///
    /// # Errors
    /// If this host knows no such zone.
    pub(super) fn of(mapping: &Mapping) -> Result<Self, StoreError> {
        let times = |source: Option<&TimeSource>| -> Result<Times, StoreError> {
            let zone = mapping.zone_of(source);
            Ok(Times {
                format: source.and_then(|source| source.format).unwrap_or(mapping.time_format),
                zone: zone.map_err(|error| StoreError::Schema(format!("watch.table.time_zone: {error}")))?,
            })
        };
        Ok(Self {
            started_at: times(Some(&mapping.started_at))?,
            heartbeat_at: times(mapping.last_heartbeat_at.as_ref())?,
            ended_at: times(None)?,
        })
    }
}

/// How one column writes its times.
#[derive(Clone, Debug)]
pub(super) struct Times {
    pub format: TimeFormat,
    pub zone: TimeZone,
}

impl Times {
    /// A stored value as an instant.
    pub(super) fn read(&self, value: ValueRef<'_>) -> TimeValue {
        let micros = match (self.format, value) {
            (_, ValueRef::Null) => return TimeValue::ABSENT,
            (TimeFormat::Timestamp, ValueRef::Text(text)) => {
                std::str::from_utf8(text).ok().and_then(|text| self.parse(text))
            }
            (TimeFormat::EpochSeconds, ValueRef::Integer(seconds)) => seconds.checked_mul(1_000_000),
            (TimeFormat::EpochMillis, ValueRef::Integer(millis)) => millis.checked_mul(1_000),
            (TimeFormat::EpochSeconds, ValueRef::Real(seconds)) => whole(seconds * 1e6),
            (TimeFormat::EpochMillis, ValueRef::Real(millis)) => whole(millis * 1e3),
            _ => None,
        };
        micros.map_or(TimeValue::UNREADABLE, TimeValue::from_micros)
    }

    fn parse(&self, text: &str) -> Option<i64> {
        let text = text.trim();
        // With an offset or Z it is an instant already; a civil time would silently drop that.
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Some(instant.as_microsecond());
        }
        let (civil, zone) = zone_of(text);
        if text.contains(['[', ']']) || civil.contains(['Z', 'z', '+']) {
            return None;
        }
        let civil: DateTime = civil.parse().ok()?;
        if !zone.is_empty() {
            let zone = TimeZone::fixed(offset(zone)?);
            return Some(zone.to_timestamp(civil).ok()?.as_microsecond());
        }
        // Of the two instants of a repeated hour the later one makes the smaller age: the safe reading.
        let instant = self.zone.to_ambiguous_timestamp(civil).later().ok()?;
        Some(instant.as_microsecond())
    }

    /// An instant as the table writes it, in the shape of `like`, a value of the same row.
    pub(super) fn write(&self, at: Timestamp, like: &Value) -> Value {
        match (self.format, like) {
            (TimeFormat::EpochSeconds, Value::Real(_)) => Value::Real(at.as_seconds()),
            (TimeFormat::EpochSeconds, _) => Value::Integer(at.as_micros().div_euclid(1_000_000)),
            (TimeFormat::EpochMillis, _) => Value::Integer(at.as_micros().div_euclid(1_000)),
            (TimeFormat::Timestamp, Value::Text(like)) => Value::Text(self.text(at, like)),
            (TimeFormat::Timestamp, _) => Value::Text(self.text(at, "")),
        }
    }

    fn text(&self, at: Timestamp, like: &str) -> String {
        let Ok(instant) = jiff::Timestamp::from_microsecond(at.as_micros()) else {
            return String::new();
        };
        let separator = if like.contains('T') { "T" } else { " " };
        let like = zone_of(like).1;
        let zone = if like.is_empty() {
            self.zone.clone()
        } else {
            TimeZone::UTC
        };
        let time = instant.to_zoned(zone);
        let time = time.strftime(&format!("%Y-%m-%d{separator}%H:%M:%S.%6f")).to_string();
        // The same form of the zone, and UTC in it.
        let in_utc = |character: char| match character {
            '-' => '+',
            digit if digit.is_ascii_digit() => '0',
            other => other,
        };
        time + &like.chars().map(in_utc).collect::<String>()
    }
}

/// A text without the zone at its end, and that zone: what SQLite takes there (`Z` or an offset, after blanks or none), the
/// offsets without a colon and the `UTC` or `GMT` that other programs write.
fn zone_of(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at_end = |word: &str| {
        let start = text.len().checked_sub(word.len())?;
        text.get(start..)?.eq_ignore_ascii_case(word).then_some(start)
    };
    let word = ["UTC", "GMT", "Z"].into_iter().find_map(at_end);
    let start = word.map_or(text.len(), |start| text[..start].trim_end().len());
    // Behind the date, whose dashes are none of an offset; `+0000 UTC` says the same twice.
    let sign = text[..start].rfind(['+', '-']).filter(|sign| *sign > 10);
    let sign = sign.filter(|sign| hours_and_minutes(&text[*sign..start]).is_some());
    let civil = text[..sign.unwrap_or(start)].trim_end();
    (civil, &text[civil.len()..])
}

/// The offset that a zone names; none where it names two.
fn offset(zone: &str) -> Option<Offset> {
    let zone = zone.trim();
    let numbers = zone.trim_end_matches(|character: char| character.is_ascii_alphabetic() || character == ' ');
    let seconds = if numbers.is_empty() {
        0
    } else {
        hours_and_minutes(numbers)?
    };
    let says_utc = numbers.len() < zone.len();
    (!says_utc || seconds == 0).then(|| Offset::from_seconds(seconds).ok())?
}

/// The seconds of `+HH`, `+HHMM` or `+HH:MM`.
fn hours_and_minutes(text: &str) -> Option<i32> {
    let (sign, digits) = (text.get(..1)?, text.get(1..)?);
    let number = |text: &str| match text.as_bytes() {
        [b'0'..=b'9', b'0'..=b'9'] => text.parse::<i32>().ok(),
        _ => None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (digits, "00"),
        4 => digits.split_at_checked(2)?,
        _ => digits.split_once(':')?,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = (hours <= 14 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
    match sign {
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}

fn whole(micros: f64) -> Option<i64> {
    (micros.is_finite() && micros.abs() < 9e18).then_some(micros as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(zone: &str) -> Times {
        Times {
            format: TimeFormat::Timestamp,
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    fn read(zone: &str, text: &str) -> Option<i64> {
        times(zone)
            .read(ValueRef::Text(text.as_bytes()))
            .at()
            .map(Timestamp::as_micros)
    }

    #[test]
    fn texts_of_every_usual_shape_are_read() {
        let noon = 1_767_268_800_000_000;
        for text in [
            "2026-01-01 12:00:00",
            "2026-01-01 12:00:00.000000",
            "2026-01-01T12:00:00",
            "2026-01-01T12:00:00Z",
            "2026-01-01 14:00:00+02:00",
            "2026-01-01 12:00:00 +00:00",
            "2026-01-01 12:00:00.000 +00:00",
            "2026-01-01 07:00:00.000-05:00",
            "2026-01-01 07:00:00 -0500",
            "2026-01-01 14:00:00+02",
            "2026-01-01 12:00:00Z",
            "2026-01-01 12:00:00 Z",
            "2026-01-01 12:00:00z",
            "2026-01-01t12:00:00z",
            "2026-01-01 12:00:00 UTC",
            "2026-01-01 12:00:00 +0000 UTC",
            "2026-01-01T12:00:00.000000 gmt",
            "2026-01-01 12:00",
            "2026-01-01 14:00 +02:00",
        ] {
            assert_eq!(read("UTC", text), Some(noon), "{text}");
        }
        assert_eq!(read("Europe/Berlin", "2026-01-01 13:00:00"), Some(noon));
        assert_eq!(read("UTC", "2026-01-01 12:00:00.123456"), Some(noon + 123_456));
        for text in [
            "",
            "soon",
            "2026-13-01 00:00:00",
            "12:00:00",
            "2026-01-01 12:00:00 CET",
            "2026-01-01 12:00:00 +0100 UTC",
            "2026-01-01 12:00:00 +99:00",
            "2026-01-01 12:00:00 +02:00 +02:00",
            "2026-01-01 12:00:00[Europe/Berlin]",
            "2026-01-01 12:00:00 Z Z",
            "UTC",
            "Z",
            "+00:00",
        ] {
            assert_eq!(read("UTC", text), None, "{text}");
        }
    }

    #[test]
    fn the_repeated_hour_is_read_as_the_younger_one() {
        // 2026-10-25 02:30 happens twice in Berlin: 00:30 and 01:30 UTC.
        let later = "2026-10-25T01:30:00Z"
            .parse::<jiff::Timestamp>()
            .unwrap()
            .as_microsecond();
        assert_eq!(read("Europe/Berlin", "2026-10-25 02:30:00"), Some(later));
    }

    fn shapes() -> impl Strategy<Value = (&'static str, &'static str)> {
        proptest::sample::select(vec![
            ("UTC", "2026-01-01 12:00:00.000000"),
            ("UTC", "2026-01-01T12:00:00"),
            ("Europe/Berlin", "2026-01-01T12:00:00Z"),
            ("Asia/Kolkata", "2026-01-01 12:00:00+00:00"),
            ("Asia/Kolkata", "2026-01-01 12:00:00"),
            ("Asia/Kolkata", "2026-01-01 12:00:00 -05:30"),
            ("Asia/Kolkata", "2026-01-01 12:00:00 UTC"),
            ("Asia/Kolkata", "2026-01-01 12:00:00.237 +00:00"),
            ("Asia/Kolkata", "2026-01-01 12:00:00 -0500"),
            ("Asia/Kolkata", "2026-01-01 12:00:00 +0000 UTC"),
            ("Asia/Kolkata", "2026-01-01T12:00:00z"),
        ])
    }

    proptest! {
        #[test]
        fn whatever_bytes_a_column_holds_are_a_time_or_unreadable(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            for format in [TimeFormat::Timestamp, TimeFormat::EpochSeconds, TimeFormat::EpochMillis] {
                let times = Times { format, ..times("Europe/Berlin") };
                let _ = times.read(ValueRef::Text(&bytes));
                let _ = times.read(ValueRef::Blob(&bytes));
            }
        }

        #[test]
        fn whatever_looks_like_a_time_is_one_or_unreadable(text in "[-+ ]?[0-9]{0,5}-?[0-9]{0,2}-?[0-9]{0,3}[T ]?[0-9]{0,2}:?[0-9]{0,2}:?[0-9.,]{0,12}[Zz+-]?[0-9:]{0,6}(\\[[A-Za-z/]{0,12}\\])?") {
            let reading = times("Europe/Berlin").read(ValueRef::Text(text.as_bytes()));
            // Whatever names a zone of its own in brackets is none of the configured zone.
            prop_assert!(!text.contains('[') || !text.contains(']') || text.contains(['Z', 'z', '+', '-']) || reading == TimeValue::UNREADABLE);
        }

        #[test]
        fn whatever_number_a_column_holds_is_a_time_or_unreadable(whole in any::<i64>(), number in any::<f64>()) {
            for format in [TimeFormat::Timestamp, TimeFormat::EpochSeconds, TimeFormat::EpochMillis] {
                let times = Times { format, ..times("UTC") };
                let _ = times.read(ValueRef::Integer(whole));
                let read = times.read(ValueRef::Real(number));
                prop_assert!(number.is_finite() || read == TimeValue::UNREADABLE);
            }
        }

        #[test]
        fn whatever_instant_is_written_has_the_shape_of_its_neighbour_and_is_read_back((zone, like) in shapes(), micros in 0_i64..253_402_300_000_000_000) {
            let at = Timestamp::from_micros(micros);
            let Value::Text(text) = times(zone).write(at, &Value::Text(like.into())) else {
                panic!("text is written as text");
            };
            prop_assert_eq!(read(zone, &text), Some(micros), "{}", text);
            prop_assert_eq!(text.contains('T'), like.contains('T'), "{}", text);
        }
    }
}
