//! Times as SQLite tables hold them: text as SQLAlchemy writes it, ISO 8601, or numbers since 1970.

use crate::{
    domain::{Reading, Timestamp},
    store::TimeFormat,
};
use jiff::{civil::DateTime, tz::TimeZone};
use rusqlite::types::{Value, ValueRef};

/// How one table writes its times.
#[derive(Clone, Debug)]
pub(super) struct Times {
    pub format: TimeFormat,
    pub zone: TimeZone,
}

impl Times {
    /// A stored value as an instant.
    pub(super) fn read(&self, value: ValueRef<'_>) -> Reading {
        let micros = match (self.format, value) {
            (_, ValueRef::Null) => return Reading::Absent,
            (TimeFormat::Timestamp, ValueRef::Text(text)) => {
                std::str::from_utf8(text).ok().and_then(|text| self.parse(text))
            }
            (TimeFormat::EpochSeconds, ValueRef::Integer(seconds)) => seconds.checked_mul(1_000_000),
            (TimeFormat::EpochMillis, ValueRef::Integer(millis)) => millis.checked_mul(1_000),
            (TimeFormat::EpochSeconds, ValueRef::Real(seconds)) => whole(seconds * 1e6),
            (TimeFormat::EpochMillis, ValueRef::Real(millis)) => whole(millis * 1e3),
            _ => None,
        };
        micros.map_or(Reading::Unreadable, Reading::from_micros)
    }

    fn parse(&self, text: &str) -> Option<i64> {
        let text = text.trim();
        // With an offset or Z it is an instant already; a civil time would silently drop that.
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Some(instant.as_microsecond());
        }
        let civil: DateTime = text.parse().ok()?;
        if text.contains(['Z', 'z', '+']) {
            return None;
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
        if like.parse::<jiff::Timestamp>().is_ok() {
            let utc = instant.to_zoned(TimeZone::UTC);
            let end = if like.ends_with('Z') { "Z" } else { "+00:00" };
            return utc
                .strftime(&format!("%Y-%m-%d{separator}%H:%M:%S.%6f{end}"))
                .to_string();
        }
        let local = instant.to_zoned(self.zone.clone());
        local.strftime(&format!("%Y-%m-%d{separator}%H:%M:%S.%6f")).to_string()
    }
}

fn whole(micros: f64) -> Option<i64> {
    (micros.is_finite() && micros.abs() < 9e18).then_some(micros as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert_eq!(read("UTC", text), Some(noon), "{text}");
        }
        assert_eq!(read("Europe/Berlin", "2026-01-01 13:00:00"), Some(noon));
        assert_eq!(read("UTC", "2026-01-01 12:00:00.123456"), Some(noon + 123_456));
        for text in ["", "soon", "2026-13-01 00:00:00", "12:00:00"] {
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

    #[test]
    fn what_is_written_has_the_shape_of_its_neighbour_and_reads_back() {
        for (zone, like) in [
            ("UTC", "2026-01-01 12:00:00.000000"),
            ("Asia/Kolkata", "2026-01-01 12:00:00"),
            ("UTC", "2026-01-01T12:00:00Z"),
            ("UTC", "2026-01-01T12:00:00+00:00"),
        ] {
            let at = Timestamp::from_micros(1_790_000_000_123_456);
            let Value::Text(text) = times(zone).write(at, &Value::Text(like.into())) else {
                panic!("text is written as text");
            };
            assert_eq!(read(zone, &text), Some(at.as_micros()), "{text}");
            assert_eq!(text.contains('T'), like.contains('T'));
        }
    }
}
