//! A table of no known system that looks like one of jobs: what speaks for it, a mapping for it, and what is left to decide.

use super::{
    Finding, Lines, Seen,
    roles::{Elsewhere, Roles, Shape, Timed, takes_states},
    toml,
    words::{self, Epoch, Meaning},
};
use crate::{
    config::{ElsewhereConfig, TimeConfig},
    domain::TimeFormat,
    present::safe,
    store::inventory::{Column, Holds, Inventory, Table, TableKind},
};

/// What speaks for a table has to weigh so much. A name and a start alone don't: subscriptions have both.
const ENOUGH: u32 = 7;

/// More different values than this are no states.
const MOST_STATES: usize = 20;

/// The ledgers of Beatwarden itself are no job tables.
const LEDGER: &str = "beatwarden_repairs";

/// What the values of a state column say.
#[derive(Debug, Default)]
struct States {
    running: Vec<String>,
    success: Vec<String>,
    failure: Vec<String>,
    waiting: Vec<String>,
    unknown: Vec<String>,
    /// Whether there are more values than a state has.
    is_varied: bool,
    /// Whether a value surely says that a job runs.
    is_sure: bool,
}

impl States {
    fn of(column: &Column, seen: &Seen) -> Self {
        let mut values: Vec<&String> = column.labels.iter().collect();
        values.extend(
            seen.values(&column.name)
                .iter()
                .filter(|value| !column.labels.contains(value)),
        );
        let mut states = Self {
            is_varied: values.len() > MOST_STATES,
            ..Self::default()
        };
        let mut maybe = Vec::new();
        for value in values.into_iter().take(MOST_STATES).filter(|value| !value.is_empty()) {
            let list = match words::meaning(value) {
                Meaning::Running => &mut states.running,
                Meaning::MaybeRunning => &mut maybe,
                Meaning::Success => &mut states.success,
                Meaning::Failure => &mut states.failure,
                Meaning::Waiting => &mut states.waiting,
                Meaning::Unknown => &mut states.unknown,
            };
            list.push(value.clone());
        }
        states.is_sure = !states.running.is_empty();
        let to = if states.is_sure {
            &mut states.unknown
        } else {
            &mut states.running
        };
        to.append(&mut maybe);
        states.failure.sort_by_key(|state| words::rank_of_failure(state));
        states
    }

    fn is_empty(&self) -> bool {
        let lists = [
            &self.running,
            &self.success,
            &self.failure,
            &self.waiting,
            &self.unknown,
        ];
        lists.into_iter().all(Vec::is_empty)
    }

    fn score(&self) -> i32 {
        match () {
            () if self.is_varied => -3,
            () if self.is_sure => 3,
            () => 0,
        }
    }
}

/// The table as a candidate, if it looks like one of jobs.
pub(super) fn of(inventory: &Inventory, place: usize, seen: &Seen) -> Option<Finding> {
    let table = &inventory.tables[place];
    let roles = Roles::of(inventory, place, Some(seen));
    let (likeness, state) = (roles.likeness(table)?, roles.state?);
    let states = States::of(state, seen);
    let score = likeness.saturating_add_signed(states.score());
    if score < ENOUGH || table.name.starts_with(LEDGER) {
        return None;
    }
    let named = inventory.named(place);
    let mut finding = Finding {
        table: place,
        running: None,
        cost: None,
        title: format!("`{named}` looks like a table of jobs"),
        is_known: false,
        name: named.clone(),
        reasons: reasons(inventory, &roles, state, &states),
        lines: Lines::default(),
        is_open: true,
        score,
    };
    if let Some(why) = unmappable(table, state) {
        finding.reasons.push(why);
        return Some(finding);
    }
    finding.reasons.extend(about(table, &roles, seen));
    if !states.running.is_empty() && takes_states(state) {
        finding.running = Some((state.name.clone(), states.running.clone()));
    }
    let mut mapping = Mapping {
        lines: Lines::default(),
        is_open: roles_unreadable(&roles),
    };
    mapping.key_and_name(&named, &roles);
    mapping.states(state, &states);
    mapping.times(inventory, &roles);
    (finding.lines, finding.is_open) = (mapping.lines, mapping.is_open);
    Some(finding)
}

/// Why no configuration can name this table.
fn unmappable(table: &Table, state: &Column) -> Option<String> {
    let schema = table.schema.iter();
    let names = schema.chain([&table.name]);
    if names
        .clone()
        .any(|name| name.contains('.') || name.chars().any(char::is_control))
    {
        return Some(
            "its name has a dot or a control character, which a configuration can't name: watch a view of it (docs/mapping.md)"
                .to_owned(),
        );
    }
    (!takes_states(state)).then(|| {
        format!(
            "`{}` holds numbers, and a state has to be a text or an enum: watch a view that names the states, as docs/mapping.md \
             does for a table without a column for the state",
            state.name
        )
    })
}

/// What speaks for the table.
fn reasons(inventory: &Inventory, roles: &Roles<'_>, state: &Column, states: &States) -> Vec<String> {
    let mut reasons = Vec::new();
    let values = [
        &states.running,
        &states.success,
        &states.failure,
        &states.waiting,
        &states.unknown,
    ];
    let values: Vec<String> = values.into_iter().flatten().map(|value| safe::cut(value, 40)).collect();
    let from = if state.labels.is_empty() {
        "the newest rows hold"
    } else {
        "it can hold"
    };
    reasons.push(match values.is_empty() {
        true => format!("`{}` is named like a state", state.name),
        false => format!("`{}` is named like a state; {from} {}", state.name, values.join(", ")),
    });
    let mut like = |time: Option<Timed<'_>>, strong: &str, weak: &str| {
        if let Some(time) = time {
            let what = if time.likeness == 2 { strong } else { weak };
            reasons.push(format!("`{}` {what}", time.column.name));
        }
    };
    like(
        roles.start,
        "is named like a start",
        "says when the row was made, which may be the start",
    );
    if roles.elsewhere.is_none() {
        like(
            roles.heartbeat,
            "is named like a heartbeat",
            "may be a heartbeat, if the application writes it while a job runs",
        );
    }
    like(roles.end, "is named like an end", "is named like an end");
    if let Some(elsewhere) = &roles.elsewhere {
        let other = inventory.named(elsewhere.table);
        reasons.push(match elsewhere.matching {
            None => format!(
                "rows of `{other}` refer to it, and `{}` there is named like a heartbeat",
                elsewhere.time.column.name
            ),
            Some(column) => {
                format!(
                    "`{column}` refers to `{other}`, and `{}` there is named like a heartbeat",
                    elsewhere.time.column.name
                )
            }
        });
    }
    reasons
}

/// What else a person should know.
fn about(table: &Table, roles: &Roles<'_>, seen: &Seen) -> Vec<String> {
    let mut about = Vec::new();
    let kind = match table.kind {
        TableKind::Table => None,
        TableKind::View => Some("a view"),
        TableKind::Materialized => Some("a materialized view"),
        TableKind::Foreign => Some("a foreign table"),
    };
    about.extend(kind.map(|kind| format!("it is {kind}: its jobs can be observed, and never repaired")));
    if table.kind == TableKind::Materialized {
        about.push("its rows are those of its last refresh, so living jobs seem to be lost: watch the table that it is made of".to_owned());
    }
    let unreadable: Vec<String> = unreadable(roles).map(|column| format!("`{}`", column.name)).collect();
    if !unreadable.is_empty() {
        about.push(format!(
            "this role may not read {}: `beatwarden grants` with this configuration prints the statement for it",
            unreadable.join(", ")
        ));
    }
    match &seen.why_not {
        Some(why) => about.push(format!("its rows were not read: {}", safe::cut(why, 200))),
        None if table.runs_code => about.push("its rows were not read, because that runs code of its owner".to_owned()),
        None => {}
    }
    about
}

/// The columns of the mapping that this role may not read.
fn unreadable<'a>(roles: &Roles<'a>) -> impl Iterator<Item = &'a Column> {
    let own = roles.heartbeat.filter(|_| roles.elsewhere.is_none());
    let times = [
        roles.start,
        own,
        roles.end,
        roles.elsewhere.map(|elsewhere| elsewhere.time),
    ];
    let times = times.into_iter().flatten().map(|time| time.column);
    let columns = [roles.key, roles.state].into_iter().flatten().chain(times);
    columns.filter(|column| !column.is_readable)
}

fn roles_unreadable(roles: &Roles<'_>) -> bool {
    unreadable(roles).next().is_some()
}

/// Lines of a mapping, and whether something in them has to be decided.
struct Mapping {
    lines: Lines,
    is_open: bool,
}

impl Mapping {
    fn say(&mut self, line: impl Into<String>) {
        self.lines.table.push(line.into());
    }

    fn set(&mut self, key: &str, value: &str) {
        self.say(format!("{key} = {}", toml::text(value)));
    }

    fn key_and_name(&mut self, named: &str, roles: &Roles<'_>) {
        self.set("name", named);
        match roles.key {
            Some(key) => self.set("id", &key.name),
            None => {
                self.is_open = true;
                self.say("# decide: no column is unique by itself. Name one that is, or watch a view that joins several (docs/mapping.md).");
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
            self.is_open = true;
            let what = if states.is_empty() {
                "no row shows which states there are. Name those in which a job is being worked on"
            } else {
                "none of the states surely means that a job is being worked on. Name those that do"
            };
            self.say(format!(
                "# decide: {what}, and put each of the others into success, failure or waiting."
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
            self.is_open = true;
            self.say("# decide: put each of these states into running, success, failure, waiting or ignore:");
            self.say(format!("# {}", list(&states.unknown)));
        }
    }

    fn times(&mut self, inventory: &Inventory, roles: &Roles<'_>) {
        match roles.start {
            Some(start) => {
                if start.likeness < 2 {
                    self.say("# decide: this is when the row was made, which is the start only where jobs don't wait.");
                }
                self.set("started_at", &start.column.name);
            }
            None => {
                self.is_open = true;
                self.say("# decide: no column is named like a start.");
                self.say("# started_at = \"started_at\"");
            }
        }
        self.heartbeat(inventory, roles);
        let shape = roles
            .start
            .or(roles.heartbeat)
            .map_or(Shape::Timestamp, |time| time.shape);
        // It has no format of its own.
        if let Some(end) = roles.end.filter(|end| end.shape == shape) {
            self.set("ended_at", &end.column.name);
        }
        match shape {
            Shape::Timestamp => {}
            Shape::Number(epoch) => self.set("time_format", format_of(epoch).as_str()),
            Shape::Unseen => {
                self.is_open = true;
                self.say("# decide: the times are numbers, and no row shows whether they are seconds (epoch_s) or milliseconds (epoch_ms).");
                self.say("# time_format = \"epoch_s\"");
            }
        }
        let is_naive = |time: &Timed<'_>| time.column.holds == Holds::Time && time.shape == Shape::Timestamp;
        if [roles.start, roles.heartbeat].iter().flatten().any(is_naive) && !inventory.has_times_as_texts {
            self.say("# The times have no zone: this is the one in which the application writes them.");
            self.set("time_zone", "UTC");
        }
    }

    fn heartbeat(&mut self, inventory: &Inventory, roles: &Roles<'_>) {
        if let Some(elsewhere) = &roles.elsewhere {
            let time = toml::time(&time_elsewhere(inventory, elsewhere, roles));
            return self.say(format!("last_heartbeat_at = {time}"));
        }
        let own = roles
            .heartbeat
            .map(|heartbeat| toml::time(&own_time(&heartbeat, roles.start)));
        let is_sure = roles.heartbeat.is_some_and(|heartbeat| heartbeat.likeness == 2);
        match own {
            Some(time) if is_sure => self.say(format!("last_heartbeat_at = {time}")),
            own => {
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

fn own_time(time: &Timed<'_>, start: Option<Timed<'_>>) -> TimeConfig {
    TimeConfig {
        column: time.column.name.clone(),
        elsewhere: None,
        time_format: own_format(time.shape, start),
        time_zone: None,
    }
}

fn time_elsewhere(inventory: &Inventory, elsewhere: &Elsewhere<'_>, roles: &Roles<'_>) -> TimeConfig {
    TimeConfig {
        elsewhere: Some(ElsewhereConfig {
            table: inventory.named(elsewhere.table),
            key: elsewhere.key.to_owned(),
            matching: elsewhere.matching.map(str::to_owned),
            match_prefix: None,
            conditions: Vec::new(),
        }),
        ..own_time(&elsewhere.time, roles.start)
    }
}
