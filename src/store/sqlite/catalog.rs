//! What the file's schema says of the watched table, checked against the mapping, and the statements for it.

use super::{
    SqliteSettings,
    elsewhere::{Sources, missing_table},
    ending,
    failures::failed,
    render::{Key, Statements},
};
use crate::{
    domain::{Action, Assigned, Cause, Literal, Obstacle},
    nearest::listed,
    store::{Ending, Identifier, Mapping, StoreError, TableName, computed, reading::not_unique},
};
use rusqlite::{Connection, OptionalExtension};
use std::path::Path;

/// The watched table.
pub(super) struct Catalog {
    /// What keeps repairs from this table for good: it is a view, or a column can't be written.
    pub obstacle: Option<Obstacle>,
    /// Whether a key's text that is a number is bound as one: the column holds integers, or has no type and so keeps a
    /// number and its text apart.
    pub integer_key: bool,
    /// Whether rows may have no key.
    pub nullable_key: bool,
    /// Whether new rows are found by a growing key.
    pub grows: bool,
    /// The statements that make indexes which other tables lack.
    pub lacks_indexes: Vec<String>,
    pub statements: Statements,
}

/// A column as the schema has it.
pub(super) struct Column {
    pub name: String,
    pub declared: String,
    not_null: bool,
    /// Whether the database computes it.
    is_generated: bool,
    /// Its place in the primary key, from 1; 0 if it is none of it.
    pub key: i64,
}

impl Column {
    pub(super) fn is(&self, name: &Identifier) -> bool {
        self.name.eq_ignore_ascii_case(name.as_str())
    }

    pub(super) fn is_boolean(&self) -> bool {
        self.declared.to_ascii_uppercase().contains("BOOL")
    }
}

impl Catalog {
    /// Reads the schema and checks the mapping against it.
    pub(super) fn read(connection: &Connection, path: &Path, settings: &SqliteSettings) -> Result<Self, StoreError> {
        let mapping = &settings.mapping;
        let failure = |error| failed("reading the schema", path, error);
        let kind: Option<String> = connection
            .query_row(
                "SELECT type FROM sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower(?1)",
                [mapping.table.name.as_str()],
                |row| row.get(0),
            )
            .optional()
            .map_err(failure)?;
        let Some(kind) = kind else {
            return Err(missing_table(connection, path, &mapping.table, "name"));
        };
        let columns = columns(connection, &mapping.table).map_err(failure)?;
        all_there(&columns, mapping)?;
        let id = find(&columns, &mapping.table, &mapping.id, "id")?;
        let is_integer = id.declared.to_ascii_uppercase().contains("INT");
        let unique = is_unique(connection, mapping, &columns, id).map_err(failure)?;
        let sources = Sources::read(connection, path, mapping, &columns)?;
        let is_strict = is_strict(connection, mapping).map_err(failure)?;
        for (name, value) in &mapping.ending.set {
            let Column {
                name,
                declared,
                not_null,
                ..
            } = find(&columns, &mapping.table, name, Ending::SET)?;
            ending::fits(value, (name, declared, *not_null), (mapping, is_strict))?;
        }
        if kind == "table" && !unique {
            return Err(not_unique(mapping, &id.name, ""));
        }
        // In a view a row that ended could hide a running one of its key from the tail.
        let grows = mapping.born_running && is_integer && unique;
        let statements = Statements::render(mapping, Key { is_integer, grows }, &sources);
        Ok(Self {
            obstacle: obstacle(mapping, &kind).or_else(|| unwritable((mapping, settings.action), &columns, is_strict)),
            nullable_key: !(id.not_null || is_integer && id.key == 1),
            integer_key: is_integer || id.declared.is_empty(),
            grows,
            lacks_indexes: sources.lacks_indexes,
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

/// What keeps the action from writing its columns for good: they are computed, or hold values of another type alone.
fn unwritable((mapping, action): (&Mapping, Action), columns: &[Column], is_strict: bool) -> Option<Obstacle> {
    let state = mapping.end_state().unwrap_or_default().to_owned();
    let state = Assigned::Literal(Literal::Text(state));
    let (now, error) = (Assigned::Now, Assigned::Error);
    let written: Vec<(&Identifier, Option<&Assigned>)> = match action {
        Action::Observe => Vec::new(),
        Action::Backfill => mapping
            .own_heartbeat()
            .map(|column| (column, None))
            .into_iter()
            .collect(),
        Action::Fail => {
            let set = mapping.ending.set.iter().map(|(column, _)| (column, None));
            let end = mapping.end_written().map(|column| (column, Some(&now)));
            let error = mapping.error_written().map(|text| (&text.column, Some(&error)));
            let own = [Some((&mapping.state, Some(&state))), end, error];
            own.into_iter().flatten().chain(set).collect()
        }
    };
    let found = |name: &Identifier| columns.iter().find(|column| column.is(name));
    let is_generated = |name: &Identifier| found(name).is_some_and(|column| column.is_generated);
    let generated: Vec<String> = written
        .iter()
        .filter(|(name, _)| is_generated(name))
        .map(|(name, _)| name.quoted())
        .collect();
    let mut refused = written.iter().filter_map(|(name, value)| {
        let (column, value) = (found(name)?, (*value)?);
        let takes = ending::takes(
            value,
            (&column.declared, column.not_null),
            mapping.time_format,
            is_strict,
        );
        (!takes).then(|| {
            format!(
                "{} of the strict table `{}` is {}, which doesn't take {}: name another column, or observe",
                name.quoted(),
                mapping.table.plain(),
                column.declared,
                value.shown()
            )
        })
    });
    let reason = |reason| Obstacle {
        cause: Cause::Rights,
        reason,
    };
    computed(&generated, action).or_else(|| refused.next().map(reason))
}

/// The columns of a table or view; none where there is no such.
pub(super) fn columns(connection: &Connection, table: &TableName) -> rusqlite::Result<Vec<Column>> {
    columns_of(connection, table.name.as_str())
}

/// The same by any name.
pub(super) fn columns_of(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let mut statement =
        connection.prepare("SELECT name, type, pk, \"notnull\", hidden IN (2, 3) FROM pragma_table_xinfo(?1)")?;
    let rows = statement.query_map([table], |row| {
        Ok(Column {
            name: row.get(0)?,
            declared: row.get(1)?,
            key: row.get(2)?,
            not_null: row.get(3)?,
            is_generated: row.get(4)?,
        })
    })?;
    rows.collect()
}

/// Whether the table takes only values of its columns' types.
fn is_strict(connection: &Connection, mapping: &Mapping) -> rusqlite::Result<bool> {
    let sql = "SELECT strict FROM pragma_table_list WHERE schema = 'main' AND lower(name) = lower(?1)";
    let strict = connection
        .query_row(sql, [mapping.table.name.as_str()], |row| row.get(0))
        .optional()?;
    Ok(strict.unwrap_or(false))
}

/// All missing columns in one error.
fn all_there(columns: &[Column], mapping: &Mapping) -> Result<(), StoreError> {
    let mut wanted = vec![(&mapping.id, "id"), (&mapping.state, "state")];
    wanted.extend(mapping.own_start().map(|name| (name, "started_at")));
    wanted.extend(mapping.own_heartbeat().map(|name| (name, "last_heartbeat_at")));
    wanted.extend(mapping.others().map(|elsewhere| (&elsewhere.matching, "match")));
    wanted.extend(mapping.only.iter().map(|condition| (&condition.column, "only")));
    wanted.extend(mapping.job_name.iter().map(|name| (name, "job_name")));
    wanted.extend(mapping.ended_at.iter().map(|name| (name, "ended_at")));
    wanted.extend(mapping.error.iter().map(|error| (&error.column, "error.column")));
    wanted.extend(mapping.ending.set.iter().map(|(name, _)| (name, Ending::SET)));
    let missing: Vec<String> = wanted
        .into_iter()
        .filter_map(|(name, key)| find(columns, &mapping.table, name, key).err())
        .map(|error| error.to_string())
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(StoreError::Schema(missing.join("; ")))
    }
}

/// The column that `key` of the configuration names.
pub(super) fn find<'a>(
    columns: &'a [Column],
    table: &TableName,
    wanted: &Identifier,
    key: &str,
) -> Result<&'a Column, StoreError> {
    let found = columns.iter().find(|column| column.is(wanted));
    found.ok_or_else(|| {
        StoreError::Schema(format!(
            "column `{}` not found in `{}` ({}); {}",
            wanted.as_str(),
            table.plain(),
            Ending::full_key(key),
            listed(
                wanted.as_str(),
                columns.iter().map(|column| column.name.as_str()),
                "the table has"
            )
        ))
    })
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
