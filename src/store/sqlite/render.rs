//! The statements for one table: the `.sql` files with its names filled in. Values are always bound.

use crate::{
    domain::LEDGER_LAYOUT,
    store::{Identifier, Mapping, derived, fill, reading::LONGEST_TEXT},
};

/// What the names of the triggers and of the index were, whatever the table: a file has one namespace for all of them.
pub(super) const FORMER_INSERT: &str = "beatwarden_guard_insert";
pub(super) const FORMER_UPDATE: &str = "beatwarden_guard_update";
pub(super) const FORMER_INDEX: &str = "beatwarden_by_state";

/// Names of what belongs to one table of a file. A name takes any length there, so they hold the table's whole name.
pub(super) struct GuardNames {
    pub insert: Identifier,
    pub update: Identifier,
    pub index: Identifier,
}

impl GuardNames {
    pub(super) fn of(table: &Identifier) -> Self {
        let called = |prefix: &str| table.after(&format!("{prefix}_"));
        Self {
            insert: called(FORMER_INSERT),
            update: called(FORMER_UPDATE),
            index: index_name(table),
        }
    }
}

/// The name of the index that makes the poll of a table cheap.
pub(super) fn index_name(table: &Identifier) -> Identifier {
    table.after(&format!("{FORMER_INDEX}_"))
}

/// The statement that creates this index, as an administrator would write it.
pub fn index_advice(mapping: &Mapping) -> String {
    let names = [
        ("index", index_name(&mapping.table.name).quoted()),
        ("table", mapping.table.quoted()),
        ("state", mapping.state.quoted()),
    ];
    let template = include_str!("sql/index_advice.sql");
    let statement: Vec<&str> = template.lines().filter(|line| !line.starts_with("--")).collect();
    fill(&statement.join("\n"), &names)
}

/// Bytes of a key that is read; a row with a longer one is unreadable.
const LONGEST_KEY: u32 = 1_000;
/// Bytes of a name or a state that is read, and then cut: a whole one is in memory for a moment.
const LONGEST_READ: u32 = 16 << 20;
/// Bytes of a time; no format has more.
const LONGEST_TIME: u32 = 200;

/// The statements, with the names of this table filled in.
pub(super) struct Statements {
    pub running: String,
    pub unknown: String,
    pub keyless: String,
    pub job_times: String,
    pub known: String,
    pub newcomers: String,
    pub page: String,
    pub below: String,
    pub bottom: String,
    pub span: String,
    pub top: String,
    pub history: String,
    pub ledger_create: String,
    pub ledger_of_jobs: String,
    pub ledger_newest: String,
    pub ledger_find: String,
    pub ledger_insert: String,
    pub ledger_kept: String,
    pub ledger_history: String,
    pub ledger_of_job: String,
    pub job_of_name: String,
    pub ledger_between: String,
    pub ledger_undone: String,
    pub ledger_note: String,
    pub ledger_acknowledge: String,
    /// The name of the index that is made last: where it is, all are.
    pub last_index: String,
    pub undo_newer: String,
    pub undo_backfill: String,
    pub undo_fail: String,
    pub guard_on_insert: String,
    pub guard_on_update: String,
    pub guard_remove: String,
    pub guard_index: String,
    pub repair_row: String,
    pub repair_backfill: String,
    pub repair_fail: String,
}

/// States as they stand in a trigger, which knows no parameters.
fn literals(states: &[String]) -> String {
    let quoted: Vec<String> = states
        .iter()
        .map(|state| format!("'{}'", state.replace('\'', "''")))
        .collect();
    quoted.join(", ")
}

impl Statements {
    pub(super) fn render(mapping: &Mapping) -> Self {
        let optional = |name: &Option<Identifier>, or: &str| {
            name.as_ref()
                .map_or_else(|| or.to_owned(), |name| format!("target.{}", name.quoted()))
        };
        let index_name = |suffix: &str| derived("", mapping.ledger.name.as_str(), suffix);
        let index = |suffix: &str| {
            let name = index_name(suffix).quoted();
            match &mapping.ledger.schema {
                Some(schema) => format!("{}.{name}", schema.quoted()),
                None => name,
            }
        };
        let guard = GuardNames::of(&mapping.table.name);
        let job_name = optional(&mapping.job_name, "NULL");
        let mut fail_set = vec![format!("{} = ?5", mapping.state.quoted())];
        if let Some(ended_at) = &mapping.ended_at {
            fail_set.push(format!("{} = ?6", ended_at.quoted()));
        }
        if let Some(error) = &mapping.error {
            let column = error.column.quoted();
            fail_set.push(format!("{column} = coalesce(?7, {column})"));
        }
        let mut undo_set = vec![format!("{} = ?4", mapping.state.quoted())];
        if let Some(ended_at) = &mapping.ended_at {
            undo_set.push(format!("{} = ?5", ended_at.quoted()));
        }
        if let Some(error) = &mapping.error {
            let column = error.column.quoted();
            undo_set.push(format!("{column} = CASE WHEN ?7 THEN ?6 ELSE {column} END"));
        }
        let error_column = mapping.error.as_ref().map(|error| error.column.clone());
        let names = [
            ("table", mapping.table.quoted()),
            ("ledger", mapping.ledger.quoted()),
            ("ledger_unqualified", mapping.ledger.name.quoted()),
            ("ledger_by_time", index("_table_time")),
            ("ledger_by_job", index("_table_job")),
            ("id", mapping.id.quoted()),
            ("job_name", job_name),
            ("longest_text", LONGEST_TEXT.to_string()),
            ("longest_key", LONGEST_KEY.to_string()),
            ("longest_read", LONGEST_READ.to_string()),
            ("longest_time", LONGEST_TIME.to_string()),
            ("state", mapping.state.quoted()),
            ("started_at", mapping.started_at.quoted()),
            ("heartbeat_at", mapping.last_heartbeat_at.quoted()),
            ("ended_at", optional(&mapping.ended_at, "NULL")),
            ("error", optional(&error_column, "NULL")),
            ("fail_set", fail_set.join(", ")),
            ("undo_set", undo_set.join(", ")),
            ("guard_insert", guard.insert.quoted()),
            ("guard_update", guard.update.quoted()),
            ("guard_index", guard.index.quoted()),
            ("table_unqualified", mapping.table.name.quoted()),
            ("running_literals", literals(&mapping.states.running)),
            ("layout", LEDGER_LAYOUT.to_string()),
            ("ledger_unacknowledged", index("_table_unacknowledged")),
        ];
        let fill = |template: &str| fill(&template.replace("{{job}}", include_str!("sql/job.sql")), &names);
        Self {
            running: fill(include_str!("sql/observe_running.sql")),
            unknown: fill(include_str!("sql/observe_unknown.sql")),
            keyless: fill(include_str!("sql/observe_keyless.sql")),
            job_times: fill(include_str!("sql/job_times.sql")),
            known: fill(include_str!("sql/observe_known.sql")),
            newcomers: fill(include_str!("sql/observe_newcomers.sql")),
            page: fill(include_str!("sql/observe_page.sql")),
            below: fill(include_str!("sql/observe_below.sql")),
            bottom: fill(include_str!("sql/observe_bottom.sql")),
            span: fill(include_str!("sql/observe_span.sql")),
            top: fill(include_str!("sql/observe_top.sql")),
            history: fill(include_str!("sql/observe_history.sql")),
            ledger_create: fill(include_str!("sql/ledger_create.sql")),
            ledger_of_jobs: fill(include_str!("sql/ledger_of_jobs.sql")),
            ledger_newest: fill(include_str!("sql/ledger_newest.sql")),
            ledger_find: fill(include_str!("sql/ledger_find.sql")),
            ledger_insert: fill(include_str!("sql/ledger_insert.sql")),
            ledger_kept: fill(include_str!("sql/ledger_kept.sql")),
            ledger_history: fill(include_str!("sql/ledger_history.sql")),
            ledger_of_job: fill(include_str!("sql/ledger_of_job.sql")),
            job_of_name: fill(include_str!("sql/job_of_name.sql")),
            ledger_between: fill(include_str!("sql/ledger_between.sql")),
            ledger_undone: fill(include_str!("sql/ledger_undone.sql")),
            ledger_note: fill(include_str!("sql/ledger_note.sql")),
            ledger_acknowledge: fill(include_str!("sql/ledger_acknowledge.sql")),
            last_index: index_name("_table_unacknowledged").as_str().to_owned(),
            undo_newer: fill(include_str!("sql/undo_newer.sql")),
            undo_backfill: fill(include_str!("sql/undo_backfill.sql")),
            undo_fail: fill(include_str!("sql/undo_fail.sql")),
            guard_on_insert: fill(include_str!("sql/guard_on_insert.sql")),
            guard_on_update: fill(include_str!("sql/guard_on_update.sql")),
            guard_remove: fill(include_str!("sql/guard_remove.sql")),
            guard_index: fill(include_str!("sql/guard_index.sql")),
            repair_row: fill(include_str!("sql/repair_row.sql")),
            repair_backfill: fill(include_str!("sql/repair_backfill.sql")),
            repair_fail: fill(include_str!("sql/repair_fail.sql")),
        }
    }
}
