//! A table of no known system that looks like one of jobs: what speaks for it, a mapping for it, and what is left to decide.

use super::{
    Finding, Lines, Seen, Sights,
    mapping::Mapping,
    roles::{Roles, Timed, is_nameable, takes_states},
    seen,
    states::States,
};
use crate::{
    present::safe,
    store::inventory::{Column, Inventory, Table, TableKind},
};

/// What speaks for a table has to weigh so much. A name and a start alone don't: subscriptions have both.
const ENOUGH: u32 = 7;

/// The ledgers of Beatwarden itself are no job tables.
pub(super) const LEDGER: &str = "beatwarden_repairs";

/// The table as a candidate, if it looks like one of jobs.
pub(super) fn of(inventory: &Inventory, place: usize, sights: &Sights) -> Option<Finding> {
    let (table, seen) = (&inventory.tables[place], seen(sights, place));
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
        name: named,
        reasons: reasons(inventory, &roles, state, &states),
        lines: Lines::default(),
        is_open: true,
        score,
    };
    if let Some(why) = unmappable(table, state) {
        finding.reasons.push(why);
        return Some(finding);
    }
    finding.reasons.extend(about(table, &roles, &states, seen));
    if !states.running.is_empty() && takes_states(state) {
        finding.running = Some((state.name.clone(), states.running.clone()));
    }
    let mapping = Mapping::of(inventory, place, sights, &roles, &states);
    finding.is_open = mapping.is_open || unreadable(&roles).next().is_some();
    finding.lines = mapping.lines;
    Some(finding)
}

/// Why no configuration can name this table.
fn unmappable(table: &Table, state: &Column) -> Option<String> {
    if !table.is_nameable() {
        return Some(
            "its name is blank, or has a dot or a control character, which a configuration can't name: watch a view of it \
             (docs/mapping.md)"
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
    let values: Vec<String> = states.all().map(|value| safe::cut(value, 40)).collect();
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
fn about(table: &Table, roles: &Roles<'_>, states: &States, seen: &Seen) -> Vec<String> {
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
    let unnameable: Vec<String> = table
        .columns
        .iter()
        .filter(|column| !is_nameable(&column.name))
        .map(|column| format!("`{}`", safe::cut(&column.name, 40)))
        .take(4)
        .collect();
    if !unnameable.is_empty() {
        about.push(format!(
            "{} can't be named in a configuration: a view can give such a column another name",
            unnameable.join(", ")
        ));
    }
    if states.has_null {
        about.push(
            "rows have NULL for a state: they are counted as unknown and left alone, unless null_state says otherwise"
                .to_owned(),
        );
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
