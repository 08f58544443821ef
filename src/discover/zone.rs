//! In which zone times without one are written, as far as the newest of them show it.
//!
//! A zone that lies too far west makes a time younger than it is, and one too far east makes it older: a living job would look dead.
//! So a zone counts as shown only if the newest time is new in it. Whatever the zone really is, no time is then read as older than it
//! is by more than [`NEW`].

use super::{
    Seen,
    roles::{Shape, Timed},
};
use crate::store::inventory::{Holds, Inventory};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// Seconds of age up to which a time is new.
const NEW: i64 = 120;
/// Seconds by which a time may be ahead of the database's clock.
const AHEAD: i64 = 5;

/// What the times of some columns show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// No time lacks one.
    Needless,
    /// The newest time, of `column`, is `age` seconds old in it.
    Shown { zone: String, column: String, age: i64 },
    /// Only a person knows. The newest time, if it is ahead of the database's clock when read as UTC: its column, and by how many
    /// seconds.
    Open { ahead: Option<(String, i64)> },
}

impl Zone {
    /// Of columns of one table that was seen.
    pub(super) fn of(inventory: &Inventory, times: &[Timed<'_>], seen: &Seen) -> Self {
        let lacks_one = |time: &&Timed<'_>| {
            let values = || seen.values(&time.column.name).iter();
            let by_type = time.column.holds == Holds::Time && !inventory.has_times_as_texts;
            time.shape == Shape::Timestamp && (by_type || values().any(|value| naive(value).is_some()))
        };
        let lacking: Vec<&Timed<'_>> = times.iter().filter(lacks_one).collect();
        if lacking.is_empty() {
            return Self::Needless;
        }
        let newest = lacking.iter().filter_map(|time| {
            let name = &time.column.name;
            let newest = seen.values(name).iter().filter_map(|value| naive(value)).max()?;
            Some((name.clone(), newest))
        });
        let newest: Vec<(String, DateTime)> = newest.collect();
        let Some(now) = inventory.now else {
            return Self::Open { ahead: None };
        };
        let other = inventory.zone.as_deref().unwrap_or("UTC");
        let zones: Vec<(&str, TimeZone)> = ["UTC", other]
            .into_iter()
            .filter_map(|name| Some((name, TimeZone::get(name).ok()?)))
            .collect();
        let shown: Vec<Option<(&String, i64)>> = zones.iter().map(|(_, zone)| youngest(&newest, zone, now)).collect();
        let is_new_in = |zone: &TimeZone| newest.iter().any(|(_, time)| is_new(age(*time, zone, now)));
        for ((name, zone), found) in zones.iter().zip(&shown) {
            // A column that is new in the one and another that is new in the other: they are written in two zones.
            let is_torn = zones.iter().any(|(_, other)| {
                let is_same = newest
                    .iter()
                    .all(|(_, time)| age(*time, zone, now) == age(*time, other, now));
                !is_same && is_new_in(other)
            });
            if let Some((column, age)) = found
                && is_new(Some(*age))
                && !is_torn
            {
                return Self::Shown {
                    zone: (*name).to_owned(),
                    column: (*column).clone(),
                    age: (*age).max(0),
                };
            }
        }
        let ahead = newest
            .iter()
            .filter_map(|(name, time)| Some((name.clone(), -age(*time, &TimeZone::UTC, now)?)))
            .max_by_key(|(_, ahead)| *ahead)
            .filter(|(_, ahead)| *ahead > AHEAD);
        Self::Open { ahead }
    }
}

/// The column with the youngest time of all in a zone; none where one lies ahead.
fn youngest<'a>(newest: &'a [(String, DateTime)], zone: &TimeZone, now: Timestamp) -> Option<(&'a String, i64)> {
    let ages: Option<Vec<(&String, i64)>> = newest
        .iter()
        .map(|(name, time)| Some((name, age(*time, zone, now).filter(|age| *age >= -AHEAD)?)))
        .collect();
    ages?.into_iter().min_by_key(|(_, age)| *age)
}

fn is_new(age: Option<i64>) -> bool {
    age.is_some_and(|age| (-AHEAD..=NEW).contains(&age))
}

/// Seconds that have passed since then, if the time is one of this zone.
fn age(time: DateTime, zone: &TimeZone, now: Timestamp) -> Option<i64> {
    let then = zone.to_timestamp(time).ok()?;
    Some(now.as_second() - then.as_second())
}

/// A text as a time, if it is one and says no zone.
fn naive(value: &str) -> Option<DateTime> {
    let clock = value.get(11..)?;
    let says_zone = clock.contains(['+', '-']) || clock.contains(|letter: char| letter.is_alphabetic());
    (!says_zone).then(|| value.trim().parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::inventory::{Column, Values};

    fn column(name: &str) -> Column {
        Column {
            name: name.to_owned(),
            sql_type: "timestamp".to_owned(),
            holds: Holds::Time,
            is_unique: false,
            leads_index: false,
            is_readable: true,
            labels: Vec::new(),
        }
    }

    /// What is shown at 12:00:00 UTC on a server in this zone by the newest start and the newest heartbeat.
    fn shown(zone: &str, start: &str, heartbeat: &str) -> Zone {
        let inventory = Inventory {
            now: Some("2026-11-27T12:00:00Z".parse().unwrap()),
            zone: Some(zone.to_owned()),
            ..Inventory::default()
        };
        let columns = [column("start"), column("beat")];
        let times = columns.each_ref().map(|column| Timed {
            column,
            shape: Shape::Timestamp,
            likeness: 2,
        });
        let of = |value: &str| Values {
            different: [value, "2026-01-01 00:00:00", "infinity"]
                .into_iter()
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
                .collect(),
            ..Values::default()
        };
        let seen = Seen::of(&[&columns[0], &columns[1]], vec![of(start), of(heartbeat)]);
        Zone::of(&inventory, &times, &seen)
    }

    fn is(zone: &str, column: &str, age: i64) -> Zone {
        Zone::Shown {
            zone: zone.to_owned(),
            column: column.to_owned(),
            age,
        }
    }

    #[test]
    fn a_zone_is_shown_by_a_time_that_is_new_in_it() {
        let now = |text: &str| format!("2026-11-27 {text}");
        assert_eq!(shown("Etc/UTC", &now("11:59:50"), ""), is("UTC", "start", 10));
        assert_eq!(
            shown("Etc/UTC", &now("09:00:00"), &now("11:59:59.9")),
            is("UTC", "beat", 1)
        );
        let berlin = "Europe/Berlin";
        assert_eq!(shown(berlin, &now("12:59:50"), ""), is(berlin, "start", 10));
        assert_eq!(shown(berlin, &now("11:59:50"), &now("11:59:58")), is("UTC", "beat", 2));
        let west = "America/New_York";
        assert_eq!(shown(west, &now("06:59:50"), &now("06:59:58")), is(west, "beat", 2));
        // In winter both are the same: the one that can't make a time older is taken.
        assert_eq!(shown("Europe/London", &now("11:59:50"), ""), is("UTC", "start", 10));
    }

    #[test]
    fn what_is_old_ahead_or_torn_is_left_open() {
        let now = |text: &str| format!("2026-11-27 {text}");
        let open = Zone::Open { ahead: None };
        assert_eq!(shown("Europe/Berlin", &now("11:00:00"), ""), open);
        assert_eq!(shown("Europe/Berlin", "", ""), open);
        let ahead = |column: &str, by| Zone::Open {
            ahead: Some((column.to_owned(), by)),
        };
        assert_eq!(shown("Etc/UTC", &now("13:59:50"), ""), ahead("start", 7_190));
        // The start is new as UTC, and the heartbeat in Berlin.
        assert_eq!(
            shown("Europe/Berlin", &now("11:59:59"), &now("12:59:59")),
            ahead("beat", 3_599)
        );
    }

    #[test]
    fn a_text_that_says_its_zone_needs_none() {
        for text in ["2026-11-27 10:00:00.5", "2026-11-27T10:00:00"] {
            assert!(naive(text).is_some(), "{text}");
        }
        for text in [
            "2026-11-27T10:00:00Z",
            "2026-11-27 10:00:00+02",
            "2026-11-27 10:00 UTC",
            "infinity",
            "10",
            "",
        ] {
            assert!(naive(text).is_none(), "{text}");
        }
    }
}
