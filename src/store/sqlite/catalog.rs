//! What the file's schema says of the watched table, checked against the mapping, and the statements for it.

use super::{
    SqliteSettings,
    columns::{Column, all_there, columns, find, indexes, is_the_key, is_unique_by, kind_of},
    elsewhere::{Sources, missing_table},
    ending,
    failures::failed,
    render::{Key, Statements},
};
use crate::{
    domain::{Action, Assigned, Cause, Literal, Obstacle},
    store::{Ending, Identifier, Mapping, StoreError, computed, reading::not_unique},
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
    pub missing_indexes: Vec<String>,
    pub statements: Statements,
}

impl Catalog {
    /// Reads the schema and checks the mapping against it.
    pub(super) fn read(connection: &Connection, path: &Path, settings: &SqliteSettings) -> Result<Self, StoreError> {
        let mapping = &settings.mapping;
        let failure = |error| failed("reading the schema", path, error);
        let Some(kind) = kind_of(connection, mapping.table.name.as_str()).map_err(failure)? else {
            return Err(missing_table(connection, path, &mapping.table, "name"));
        };
        let columns = columns(connection, mapping.table.name.as_str()).map_err(failure)?;
        all_there(&columns, mapping)?;
        let id = find(&columns, &mapping.table, &mapping.id, "id")?;
        let is_integer = id.declared.to_ascii_uppercase().contains("INT");
        let is_indexed = || indexes(connection, mapping.table.name.as_str()).map(|indexes| is_unique_by(&indexes, id));
        let unique = is_the_key(&columns, id) || is_indexed().map_err(failure)?;
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
            missing_indexes: sources.missing_indexes,
            statements,
        })
    }
}

fn obstacle(mapping: &Mapping, kind: &str) -> Option<Obstacle> {
    let table = mapping.table.plain();
    let reason = format!("`{table}` is a {kind}: name the table behind it in watch.table.name");
    (kind != "table").then(|| Obstacle::new(Cause::Rights, reason))
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
    computed(&generated, action).or_else(|| Some(Obstacle::new(Cause::Rights, refused.next()?)))
}

/// Whether the table takes only values of its columns' types.
fn is_strict(connection: &Connection, mapping: &Mapping) -> rusqlite::Result<bool> {
    let sql = "SELECT strict FROM pragma_table_list WHERE schema = 'main' AND lower(name) = lower(?1)";
    let strict = connection
        .query_row(sql, [mapping.table.name.as_str()], |row| row.get(0))
        .optional()?;
    Ok(strict.unwrap_or(false))
}
