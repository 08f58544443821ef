//! What the file's schema says of the watched table, checked against the mapping, and the statements for it.

use super::{SqliteSettings, connection::failed, guard};
use crate::{
    domain::{Access, Cause, Discovery, LEDGER_LAYOUT, Obstacle},
    store::{
        DiscoverySetting, Identifier, Mapping, StoreError, derived, fill, nearest,
        reading::{LONGEST_TEXT, not_unique},
    },
};
use rusqlite::{Connection, OptionalExtension};
use std::path::Path;

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

/// The watched table.
pub(super) struct Catalog {
    /// What keeps repairs from this table for good: it is a view.
    pub obstacle: Option<Obstacle>,
    /// Whether a key's text that is a number is bound as one: the column holds integers, or has no type and so keeps a
    /// number and its text apart.
    pub integer_key: bool,
    /// Whether rows may have no key.
    pub nullable_key: bool,
    /// Whether new rows are found by a growing key.
    pub grows: bool,
    pub discovery: Discovery,
    pub access: Access,
    pub statements: Statements,
}

struct Column {
    name: String,
    declared: String,
    not_null: bool,
    key: i64,
}

impl Catalog {
    /// Reads the schema and checks the mapping against it.
    pub(super) fn read(connection: &Connection, path: &Path, settings: &SqliteSettings) -> Result<Self, StoreError> {
        let mapping = &settings.mapping;
        let told = |error| failed("reading the schema", path, error);
        let kind: Option<String> = connection
            .query_row(
                "SELECT type FROM sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower(?1)",
                [mapping.table.name.as_str()],
                |row| row.get(0),
            )
            .optional()
            .map_err(told)?;
        let Some(kind) = kind else {
            return Err(missing_table(connection, path, mapping));
        };
        let columns = columns(connection, mapping).map_err(told)?;
        all_there(&columns, mapping)?;
        let id = find(&columns, mapping, &mapping.id, "id")?;
        let is_integer = id.declared.to_ascii_uppercase().contains("INT");
        let unique = is_unique(connection, mapping, &columns, id).map_err(told)?;
        let statements = Statements::render(mapping);
        let access = access(connection, &statements, mapping).map_err(told)?;
        if kind == "table" && !unique {
            return Err(not_unique(mapping, &id.name, ""));
        }
        // In a view a row that ended could hide a running one of its key from the tail.
        let grows = mapping.born_running && is_integer && unique;
        let by_key = match settings.discovery {
            DiscoverySetting::State => false,
            DiscoverySetting::KeyTail => grows,
            DiscoverySetting::Auto => {
                grows && access == Access::Scan && is_large(connection, &statements).map_err(told)?
            }
        };
        Ok(Self {
            obstacle: obstacle(mapping, &kind),
            nullable_key: !(id.not_null || is_integer && id.key == 1),
            integer_key: is_integer || id.declared.is_empty(),
            grows,
            discovery: if by_key { Discovery::KeyTail } else { Discovery::State },
            access,
            statements,
        })
    }
}

fn obstacle(mapping: &Mapping, kind: &str) -> Option<Obstacle> {
    (kind != "table").then(|| Obstacle {
        cause: Cause::Rights,
        reason: format!(
            "`{}` is a {kind}: name the table behind it in watch.table.name",
            mapping.table.plain()
        ),
    })
}

fn columns(connection: &Connection, mapping: &Mapping) -> rusqlite::Result<Vec<Column>> {
    let mut statement = connection.prepare("SELECT name, type, pk, \"notnull\" FROM pragma_table_xinfo(?1)")?;
    let rows = statement.query_map([mapping.table.name.as_str()], |row| {
        Ok(Column {
            name: row.get(0)?,
            declared: row.get(1)?,
            key: row.get(2)?,
            not_null: row.get(3)?,
        })
    })?;
    rows.collect()
}

/// All missing columns in one error.
fn all_there(columns: &[Column], mapping: &Mapping) -> Result<(), StoreError> {
    let mut wanted = vec![
        (&mapping.id, "id"),
        (&mapping.state, "state"),
        (&mapping.started_at, "started_at"),
        (&mapping.last_heartbeat_at, "last_heartbeat_at"),
    ];
    wanted.extend(mapping.job_name.iter().map(|name| (name, "job_name")));
    wanted.extend(mapping.ended_at.iter().map(|name| (name, "ended_at")));
    wanted.extend(mapping.error.iter().map(|error| (&error.column, "error.column")));
    let missing: Vec<String> = wanted
        .into_iter()
        .filter_map(|(name, key)| find(columns, mapping, name, key).err())
        .map(|error| error.to_string())
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(StoreError::Schema(missing.join("; ")))
    }
}

fn find<'a>(
    columns: &'a [Column],
    mapping: &Mapping,
    wanted: &Identifier,
    key: &str,
) -> Result<&'a Column, StoreError> {
    let found = columns
        .iter()
        .find(|column| column.name.eq_ignore_ascii_case(wanted.as_str()));
    found.ok_or_else(|| {
        StoreError::Schema(format!(
            "column `{}` not found in `{}` (watch.table.{key}); {}",
            wanted.as_str(),
            mapping.table.plain(),
            nearest(
                wanted.as_str(),
                columns.iter().map(|column| column.name.as_str()),
                "the table has"
            )
        ))
    })
}

fn missing_table(connection: &Connection, path: &Path, mapping: &Mapping) -> StoreError {
    let tables = || -> rusqlite::Result<Vec<String>> {
        let names =
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' LIMIT 500";
        let mut statement = connection.prepare(names)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    let plain = mapping.table.plain();
    match tables() {
        Ok(tables) => StoreError::Schema(format!(
            "table `{plain}` not found in {} (watch.table.name); {}",
            path.display(),
            nearest(&plain, tables.iter().map(String::as_str), "the file has")
        )),
        Err(error) => failed("reading the schema", path, error),
    }
}

/// Whether the key column alone is unique by a constraint.
fn is_unique(connection: &Connection, mapping: &Mapping, columns: &[Column], id: &Column) -> rusqlite::Result<bool> {
    if id.key == 1 && columns.iter().filter(|column| column.key > 0).count() == 1 {
        return Ok(true);
    }
    let indexes = "SELECT count(*) FROM pragma_index_list(?1) AS list
                    WHERE list.\"unique\" AND NOT list.partial
                      AND (SELECT count(*) = 1 AND min(info.name) = ?2 FROM pragma_index_info(list.name) AS info)";
    let count: i64 = connection.query_row(indexes, (mapping.table.name.as_str(), &id.name), |row| row.get(0))?;
    Ok(count > 0)
}

/// A scan over fewer keys costs nothing, and sees rows that return to a running state at once.
const LARGE: i64 = 50_000;

/// Whether scanning the table is dear, as far as its keys tell: SQLite keeps no count.
fn is_large(connection: &Connection, statements: &Statements) -> rusqlite::Result<bool> {
    let greatest: Option<i64> = connection.query_row(&statements.top, [], |row| row.get(0))?;
    let first: Option<i64> = connection.query_row(&statements.bottom, [], |row| row.get(0))?;
    Ok(greatest.unwrap_or_default().saturating_sub(first.unwrap_or_default()) > LARGE)
}

/// How the running rows will be found, as SQLite plans it.
fn access(connection: &Connection, statements: &Statements, mapping: &Mapping) -> rusqlite::Result<Access> {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statements.running))?;
    let states = serde_json::json!(mapping.states.running).to_string();
    let lines: Vec<String> = explain
        .query_map((states, 1), |row| row.get("detail"))?
        .collect::<rusqlite::Result<_>>()?;
    let scans = lines
        .iter()
        .any(|line| line.starts_with("SCAN target") || line.starts_with("SCAN job"));
    Ok(if scans { Access::Scan } else { Access::Index })
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
    fn render(mapping: &Mapping) -> Self {
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
        let guard = guard::Names::of(&mapping.table.name);
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
