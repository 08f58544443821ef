//! The lines of `[watch.table]` for an unknown table, and what in them a person has to decide.

use super::{
    Lines, Seen, Sights,
    roles::{Roles, Shape, Timed},
    seen,
    states::States,
    toml,
    words::Epoch,
    zone::Zone,
};
use crate::{
    domain::TimeFormat,
    present::safe,
    store::inventory::{Column, Inventory, TableKind},
};
use std::time::Duration;

/// Rows up to which a table may be read whole for each running job; `check` refuses a large one.
const FEW: u64 = 5_000;

/// Lines of a mapping, and whether something in them has to be decided.
pub(super) struct Mapping {
    pub lines: Lines,
    pub is_open: bool,
}

impl Mapping {
    /// Of a table that a configuration names so. `sights` are what was seen of it and of the others.
    pub(super) fn of(inventory: &Inventory, place: usize, sights: &Sights, roles: &Roles<'_>, states: &States) -> Self {
        let mut mapping = Self {
            lines: Lines::default(),
            is_open: false,
        };
        let seen = seen(sights, place);
        mapping.key_and_name(&inventory.named(place), roles, seen);
        if let Some(state) = roles.state {
            mapping.states(state, states);
        }
        mapping.times(inventory, roles, seen, sights);
        mapping
    }

    fn say(&mut self, line: impl Into<String>) {
        self.lines.table.push(line.into());
    }

    /// What a person has to decide, before the file works.
    fn ask(&mut self, what: &str) {
        self.is_open = true;
        self.say(format!("# decide: {}", safe::line(what)));
    }

    fn set(&mut self, key: &str, value: &str) {
        self.say(format!("{key} = {}", toml::text(value)));
    }

    fn key_and_name(&mut self, named: &str, roles: &Roles<'_>, seen: &Seen) {
        self.set("name", named);
        match (roles.key, roles.unusable_key) {
            (Some(key), _) => {
                if seen.column(&key.name).has_null {
                    self.ask("rows have no value in this column, and none of them is ever judged. Name another that is unique, if there is one:");
                }
                self.set("id", &key.name);
            }
            (None, Some(key)) => {
                let (name, kind) = (&key.name, &key.sql_type);
                self.ask(&format!(
                    "`{name}` is unique, and of the type {kind}: a key is an integer, a uuid or a text. Watch a view that makes it a text (docs/mapping.md)."
                ));
                self.say("# id = \"id\"");
            }
            (None, None) => {
                self.ask("no column is unique on its own. Name one that is, or watch a view that joins several (docs/mapping.md).");
                self.say("# id = \"id\"");
            }
        }
        if let Some(name) = roles.job_name {
            self.set("job_name", &name.name);
        }
    }

    fn states(&mut self, column: &Column, states: &States) {
        self.set("state", &column.name);
        let list = |values: &[String]| toml::texts(values.iter().map(String::as_str));
        if states.running.is_empty() {
            let what = if states.is_empty() {
                "no row shows which states there are. Name those in which a job is being worked on"
            } else {
                "none of the states surely means that a job is being worked on. Name those that do"
            };
            self.ask(&format!(
                "{what}, and put each of the others into success, failure or waiting."
            ));
            self.say("# running = [\"running\"]");
        } else {
            self.say(format!("running = {}", list(&states.running)));
        }
        for (key, values) in [
            ("success", &states.success),
            ("failure", &states.failure),
            ("waiting", &states.waiting),
        ] {
            if !values.is_empty() {
                self.say(format!("{key} = {}", list(values)));
            }
        }
        if !states.unknown.is_empty() {
            self.ask("put each of these states into running, success, failure, waiting or ignore:");
            self.say(format!("# {}", list(&states.unknown)));
        }
        if states.has_blank {
            self.ask("rows have an empty text for a state, which no list can name. They are left alone; a view can name them (docs/mapping.md).");
        }
        if states.has_long {
            self.ask("rows have more than 64 bytes of text here, which is not shown. Name another column, if this is no state.");
        }
    }

    fn times(&mut self, inventory: &Inventory, roles: &Roles<'_>, seen: &Seen, sights: &Sights) {
        match roles.start {
            Some(start) => {
                if start.likeness < 2 {
                    self.say("# decide: this is when the row was made, which is the start only where jobs don't wait.");
                }
                self.finite(&start, seen);
                self.set("started_at", &start.column.name);
            }
            None => {
                self.ask("no column is named like a start.");
                self.say("# started_at = \"started_at\"");
            }
        }
        let (of_table, of_other) = self.zones(inventory, roles, seen, sights);
        self.heartbeat(inventory, roles, seen, of_other);
        let shape = roles
            .start
            .or(roles.heartbeat)
            .map_or(Shape::Timestamp, |time| time.shape);
        // It has no format of its own.
        if let Some(end) = roles.end.filter(|end| end.shape == shape) {
            match is_infinite(&end, seen) {
                false => self.set("ended_at", &end.column.name),
                true => self.say(format!(
                    "# `{}` is left out: rows hold infinity there.",
                    safe::line(&end.column.name)
                )),
            }
        }
        match shape {
            Shape::Timestamp => {}
            Shape::Number(epoch) => self.set("time_format", format_of(epoch).as_str()),
            Shape::Unseen => {
                self.ask("the times are numbers, and no row shows whether they are seconds (epoch_s) or milliseconds (epoch_ms).");
                self.say("# time_format = \"epoch_s\"");
            }
        }
        self.zone(of_table);
    }

    /// The zone of the table's own times, and that of a heartbeat in another table, where it is another one.
    fn zones(&self, inventory: &Inventory, roles: &Roles<'_>, seen: &Seen, sights: &Sights) -> (Zone, Option<String>) {
        let own = roles.heartbeat.filter(|_| roles.elsewhere.is_none());
        let own: Vec<Timed<'_>> = roles.start.into_iter().chain(own).collect();
        let of_table = Zone::of(inventory, &own, seen);
        let other = roles
            .elsewhere
            .map(|other| Zone::of(inventory, &[other.time], super::seen(sights, other.table)));
        match (of_table, other) {
            (of_table, None | Some(Zone::Needless)) => (of_table, None),
            (Zone::Needless, Some(other)) => (other, None),
            (Zone::Shown { zone, column, age }, Some(Zone::Shown { zone: other, .. })) => {
                let its_own = (other != zone).then_some(other);
                (Zone::Shown { zone, column, age }, its_own)
            }
            (Zone::Shown { .. }, Some(open)) => (open, None),
            (open, Some(_)) => (open, None),
        }
    }

    fn zone(&mut self, zone: Zone) {
        let said = match zone {
            Zone::Needless => return,
            Zone::Shown { zone, column, age } => {
                let column = safe::line(&column);
                self.say(format!(
                    "# The times have no zone. Read as {zone}, the newest in `{column}` is {age} s old."
                ));
                return self.set("time_zone", &zone);
            }
            Zone::Open {
                ahead: Some((column, ahead)),
            } => {
                self.is_open = true;
                let ahead = humantime::format_duration(Duration::from_secs(ahead.unsigned_abs()));
                let column = safe::line(&column);
                format!(". Read as UTC, the newest in `{column}` is {ahead} ahead of now.")
            }
            Zone::Open { ahead: None } => ", and none is so new that it shows in which one it is written.".to_owned(),
        };
        self.say(format!("# decide: the times have no zone{said}"));
        self.say("# Name the zone of the application, or \"server\" for that of the database. In a wrong one a living job looks hours old.");
        self.set("time_zone", "UTC");
    }

    /// That a row with an infinite time is never judged, where there is one.
    fn finite(&mut self, time: &Timed<'_>, seen: &Seen) {
        if is_infinite(time, seen) {
            self.ask("rows hold infinity here, and none of them is ever judged. Name another column, or watch a view that makes it NULL:");
        }
    }

    fn heartbeat(&mut self, inventory: &Inventory, roles: &Roles<'_>, seen: &Seen, zone: Option<String>) {
        if let Some(elsewhere) = &roles.elsewhere {
            let other = &inventory.tables[elsewhere.table];
            let is_found =
                other.kind != TableKind::Table || other.column(elsewhere.key).is_some_and(|key| key.leads_index);
            if !is_found && other.rows.is_none_or(|rows| rows > FEW) {
                self.ask(&format!(
                    "no index of `{}` begins with `{}`, without which each pass reads all of it for each running job. `beatwarden check` prints one.",
                    inventory.named(elsewhere.table),
                    elsewhere.key
                ));
            }
            let time = toml::Time {
                other: Some((inventory.named(elsewhere.table), elsewhere.key)),
                matching: elsewhere.matching,
                zone: zone.as_deref(),
                ..own_time(&elsewhere.time, roles.start)
            };
            return self.say(format!("last_heartbeat_at = {}", toml::time(&time)));
        }
        let own = roles
            .heartbeat
            .map(|heartbeat| toml::time(&own_time(&heartbeat, roles.start)));
        match (own, roles.heartbeat) {
            (Some(time), Some(heartbeat)) if heartbeat.likeness == 2 => {
                self.finite(&heartbeat, seen);
                self.say(format!("last_heartbeat_at = {time}"));
            }
            (own, _) => {
                self.is_open = true;
                let watch = &mut self.lines.watch;
                match own {
                    None => watch.push("# decide: nothing in the row is a heartbeat, so only its age can tell. Set the longest that a job may run:".to_owned()),
                    Some(time) => {
                        watch.push("# decide: nothing in the row is surely a heartbeat. Set the longest that a job may run; or, if the application writes".to_owned());
                        watch.push("# the column below again and again while a job runs, take that line instead.".to_owned());
                        self.say(format!("# last_heartbeat_at = {time}"));
                    }
                }
                self.lines.watch.push("# max_runtime = \"6h\"".to_owned());
            }
        }
    }
}

/// Whether a row has a time there that never comes or never was.
fn is_infinite(time: &Timed<'_>, seen: &Seen) -> bool {
    let values = seen.values(&time.column.name).iter();
    values.into_iter().any(|value| value.ends_with("infinity"))
}

fn format_of(epoch: Epoch) -> TimeFormat {
    match epoch {
        Epoch::Seconds => TimeFormat::EpochSeconds,
        Epoch::Millis => TimeFormat::EpochMillis,
    }
}

/// The format of a time, where it is not that of the table, which is that of the start.
fn own_format(shape: Shape, start: Option<Timed<'_>>) -> Option<TimeFormat> {
    let of_table = start.map_or(shape, |start| start.shape);
    match shape {
        _ if shape == of_table => None,
        Shape::Timestamp => Some(TimeFormat::Timestamp),
        Shape::Number(epoch) => Some(format_of(epoch)),
        Shape::Unseen => None,
    }
}

fn own_time<'a>(time: &Timed<'a>, start: Option<Timed<'_>>) -> toml::Time<'a> {
    toml::Time {
        column: &time.column.name,
        format: own_format(time.shape, start),
        ..toml::Time::default()
    }
}
