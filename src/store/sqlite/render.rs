//! The statements for one table: the `.sql` files with its names filled in. Values are always bound.

use super::{elsewhere::Sources, ending};
use crate::{
    domain::LEDGER_LAYOUT,
    store::{
        Identifier, Mapping, TableName, fill, layout::index_names, literal, part, reading::LONGEST_TEXT,
        template::statements,
    },
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
        ("guard_index", index_name(&mapping.table.name).quoted()),
        ("table_unqualified", mapping.table.name.quoted()),
        ("state", mapping.state.quoted()),
    ];
    let created = part(include_str!("sql/guard_index.sql"), &names);
    created.trim_end_matches(';').to_owned()
}

/// Bytes of a key that is read; a row with a longer one is unreadable.
const LONGEST_KEY: u32 = 1_000;
/// Bytes of a name or a state that is read, and then cut: a whole one is in memory for a moment.
const LONGEST_READ: u32 = 16 << 20;
/// Bytes of a time; no format has more.
const LONGEST_TIME: u32 = 200;

statements! {
    /// The statements, with the names of this table filled in.
    pub(super) struct Statements {
        running = "observe_running", unknown = "observe_unknown", keyless = "observe_keyless", known = "observe_known",
        newcomers = "observe_newcomers", page = "observe_page", below = "observe_below", bottom = "observe_bottom",
        span = "observe_span", top = "observe_top", history = "observe_history", longest_run, good_runs,
        job_times, job_of_name,
        ledger_create, ledger_of_jobs, ledger_newest, ledger_probe, ledger_find, ledger_insert, ledger_kept,
        ledger_of_job, ledger_between, ledger_undone, ledger_note, ledger_acknowledge,
        undo_newer, undo_backfill, undo_fail,
        guard_on_insert, guard_on_update, guard_remove, guard_index,
        repair_row, repair_backfill, repair_fail, further_columns,
    } with {
        /// The name of the index that is made last: where it is, all are.
        last_index: String,
    }
}

/// A column of the job table; where it has none of that kind, a name with which no statement can run.
fn own(column: Option<&Identifier>) -> String {
    column.map_or_else(|| "\"\"".to_owned(), Identifier::quoted)
}

/// A time, or an empty text where it is too long to be one. One of another table is looked up once.
fn short(value: &str) -> String {
    let cut = |value: &str| format!("CASE WHEN octet_length({value}) > {LONGEST_TIME} THEN '' ELSE {value} END");
    if value.starts_with('(') {
        format!("(SELECT {} FROM (SELECT {value} AS at))", cut("at"))
    } else {
        cut(value)
    }
}

/// States as they stand in a trigger, which knows no parameters.
fn literals(states: &[String]) -> String {
    let quoted: Vec<String> = states.iter().map(|state| literal(state)).collect();
    quoted.join(", ")
}

/// What the key is like.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub is_integer: bool,
    /// Whether new rows are found by it.
    pub grows: bool,
}

impl Statements {
    pub(super) fn render(mapping: &Mapping, key: Key, sources: &Sources) -> Self {
        let optional = |name: Option<&Identifier>, or: &str| {
            name.map_or_else(|| or.to_owned(), |name| format!("target.{}", name.quoted()))
        };
        let guard = GuardNames::of(&mapping.table.name);
        let job_name = optional(mapping.job_name.as_ref(), "NULL");
        let mut fail_set = vec![format!("{} = ?5", mapping.state.quoted())];
        if let Some(ended_at) = mapping.end_written() {
            fail_set.push(format!("{} = ?6", ended_at.quoted()));
        }
        if let Some(error) = mapping.error_written() {
            let column = error.column.quoted();
            fail_set.push(format!("{column} = coalesce(?7, {column})"));
        }
        fail_set.extend(ending::set(mapping));
        let mut undo_set = vec![format!("{} = ?4", mapping.state.quoted())];
        if let Some(ended_at) = &mapping.ended_at {
            undo_set.push(format!("{} = ?5", ended_at.quoted()));
        }
        if let Some(error) = &mapping.error {
            let column = error.column.quoted();
            undo_set.push(format!("{column} = CASE WHEN ?7 THEN ?6 ELSE {column} END"));
        }
        undo_set.extend(ending::put_back(mapping));
        let error_column = mapping.error.as_ref().map(|error| error.column.clone());
        let mut names = vec![
            ("table", mapping.table.quoted()),
            ("ledger", mapping.ledger.quoted()),
            ("ledger_unqualified", mapping.ledger.name.quoted()),
            ("id", mapping.id.quoted()),
            ("job_name", job_name),
            ("longest_text", LONGEST_TEXT.to_string()),
            ("longest_key", LONGEST_KEY.to_string()),
            ("longest_read", LONGEST_READ.to_string()),
            ("state", mapping.state.quoted()),
            ("null_unknown", mapping.null_is_unknown().to_owned()),
            ("newest_by", mapping.newest_by(key.grows).quoted()),
            ("columns", mapping.columns_quoted()),
            ("reason", format!("'{}'", mapping.overdue().as_str())),
            ("started_at", own(mapping.own_start())),
            ("heartbeat_at", own(mapping.own_heartbeat())),
            ("started_at_value", sources.started_at.clone()),
            ("heartbeat_at_value", sources.heartbeat_at.clone()),
            ("started_at_read", short(&sources.started_at)),
            ("heartbeat_at_read", short(&sources.heartbeat_at)),
            ("only", sources.only.clone()),
            ("ended_at_read", short(&optional(mapping.ended_at.as_ref(), "NULL"))),
            ("error", optional(error_column.as_ref(), "NULL")),
            ("further", ending::columns(mapping)),
            ("fail_set", fail_set.join(", ")),
            ("undo_set", undo_set.join(", ")),
            ("guard_insert", guard.insert.quoted()),
            ("guard_update", guard.update.quoted()),
            ("guard_index", guard.index.quoted()),
            ("table_unqualified", mapping.table.name.quoted()),
            ("running_literals", literals(&mapping.states.running)),
            ("layout", LEDGER_LAYOUT.to_string()),
        ];
        let indexes = index_names(&mapping.ledger.name);
        let last_index = indexes[3].1.as_str().to_owned();
        names.extend(indexes.map(|(place, name)| {
            let schema = mapping.ledger.schema.clone();
            (place, TableName { schema, name }.quoted())
        }));
        let with =
            |template: &str, other: (&'static str, String)| part(template, &[vec![other], names.clone()].concat());
        let newest_good = part(include_str!("sql/newest_good.sql"), &names);
        let newest_good_job = with(include_str!("sql/job.sql"), ("table", newest_good));
        // A key that is a number is counted up, whatever the rows are born as: the newest of them cost nothing to find.
        let newest_by = ("newest_by", mapping.newest_by(key.is_integer).quoted());
        let good_by_key = with(include_str!("sql/newest_good.sql"), newest_by);
        let good_by_key_job = with(include_str!("sql/job.sql"), ("table", good_by_key));
        names.extend([
            ("newest_good_job", newest_good_job),
            ("good_by_key_job", good_by_key_job),
        ]);
        names.push(("job", part(include_str!("sql/job.sql"), &names)));
        names.push(("entry", part(include_str!("sql/entry.sql"), &names)));
        Self::filled(|template| fill(template, &names), last_index)
    }
}
