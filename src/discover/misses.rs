//! Tables whose names resemble those of a job table, and that are not proposed: each with what stands in the way, and the way out.

use super::{
    Seen,
    candidate::LEDGER,
    roles::{Roles, is_nameable, takes_states},
    states::{MOST_STATES, States},
    words::{self, Meaning},
};
use crate::{
    present::safe,
    store::inventory::{Column, Inventory, Table},
};

/// What speaks for a table by its names has to weigh so much: with a name of work, and without.
const ENOUGH: (u32, u32) = (5, 7);

/// The parts that columns would play by their names alone, whatever their types are.
struct Named<'a> {
    state: Option<&'a Column>,
    start: Option<&'a Column>,
    heartbeat: Option<&'a Column>,
    score: u32,
}

impl<'a> Named<'a> {
    fn of(table: &'a Table) -> Self {
        let best = |like: fn(&str) -> u32| {
            let likely = table.columns.iter().map(|column| (like(&column.name), column));
            likely
                .filter(|(likeness, _)| *likeness > 0)
                .max_by_key(|(likeness, _)| *likeness)
        };
        let (state, start, heartbeat) = (best(like_state), best(words::like_start), best(words::like_heartbeat));
        let likeness = |part: Option<(u32, &Column)>| part.map_or(0, |(likeness, _)| likeness);
        let heartbeat_counts = match likeness(heartbeat) {
            2 => 3,
            likeness => likeness,
        };
        let has_end = table.columns.iter().any(|column| words::like_end(&column.name));
        Self {
            score: likeness(state) + likeness(start) + heartbeat_counts + u32::from(has_end),
            state: state.map(|(_, column)| column),
            start: start.map(|(_, column)| column),
            heartbeat: heartbeat.map(|(_, column)| column),
        }
    }
}

/// How much a name looks like one of a state, or of a switch in its place: `running`, `is_done`.
fn like_state(name: &str) -> u32 {
    let word = words::words(name);
    let word = match word.as_slice() {
        [first, rest @ ..] if first == "is" => rest.join("_"),
        word => word.join("_"),
    };
    words::like_state(name).max(u32::from(words::meaning(&word) != Meaning::Unknown))
}

/// Why a table is not proposed, if its names resemble those of a job table; and how much they do.
/// Beside a known system a table without a state is most likely one of its own.
pub(super) fn of(inventory: &Inventory, place: usize, seen: &Seen, beside_known: bool) -> Option<(u32, String)> {
    let table = &inventory.tables[place];
    let named = Named::of(table);
    if words::of_heartbeats(&table.name) || beside_known && named.state.is_none() {
        return None;
    }
    let is_work = words::like_work(&table.name);
    let score = named.score + 2 * u32::from(is_work);
    let enough = if is_work { ENOUGH.0 } else { ENOUGH.1 };
    if score < enough || table.name.starts_with(LEDGER) {
        return None;
    }
    let why = why_not(inventory, place, &named, seen)?;
    Some((score, format!("`{}`: {why}", safe::cut(&inventory.named(place), 60))))
}

/// What stands in the way: the first that does.
fn why_not(inventory: &Inventory, place: usize, named: &Named<'_>, seen: &Seen) -> Option<String> {
    let table = &inventory.tables[place];
    let roles = Roles::of(inventory, place, Some(seen));
    let shown = |column: &Column| format!("`{}`", safe::cut(&column.name, 40));
    let parts = [named.state, named.start, named.heartbeat];
    if let Some(column) = parts.into_iter().flatten().find(|column| !is_nameable(&column.name)) {
        return Some(format!(
            "{} can't be named in a configuration: watch a view that gives it another name",
            shown(column)
        ));
    }
    let kind = |column: &Column| safe::cut(&column.sql_type, 30);
    let Some(state) = roles.state.or(named.state) else {
        return Some("no column is named like a state: watch a view that makes one of the other columns".to_owned());
    };
    if roles.state.is_none_or(|column| !takes_states(column)) {
        let (state, kind) = (shown(state), kind(state));
        return Some(format!(
            "{state} is of the type {kind}, and a state is a text or an enum: watch a view that names the states"
        ));
    }
    if let (None, Some(start)) = (roles.start, named.start) {
        return Some(no_time(start, &shown(start), &kind(start), seen));
    }
    let (Some(start), true) = (roles.start, roles.likeness(table).is_some()) else {
        return Some(match (roles.start, named.heartbeat) {
            (None, _) => "no column is named like a start: map it by hand, or watch a view that has one".to_owned(),
            (Some(_), Some(beat)) if roles.heartbeat.is_none() => no_time(beat, &shown(beat), &kind(beat), seen),
            (Some(start), _) => format!(
                "{} is no sure start, and no column is named like a heartbeat: map it by hand, if it is one",
                shown(start.column)
            ),
        });
    };
    let states = States::of(state, seen);
    match () {
        () if states.is_varied => Some(format!(
            "{} holds more than {MOST_STATES} different values",
            shown(state)
        )),
        () if !states.is_sure => Some(format!(
            "{} and {} are there, and no value says that a job runs: map it by hand, if one does",
            shown(state),
            shown(start.column)
        )),
        () => None,
    }
}

/// That a column named like a time is none.
fn no_time(column: &Column, shown: &str, kind: &str, seen: &Seen) -> String {
    match seen.values(&column.name).first() {
        Some(value) => format!(
            "{shown} holds `{}`, which is no time that can be read: watch a view that makes it one",
            safe::cut(value, 30)
        ),
        None => format!(
            "{shown} is of the type {kind}, and a time is a timestamp or a number since 1970: watch a view that makes it one"
        ),
    }
}
