//! Where the times of a job stand, and which rows are jobs, as expressions about the target row. Owns what another table has to
//! have, an index that finds the rows of one job above all.

use super::{
    columns::{Column, Index, all, columns, find, indexes, kind_of},
    failures::failed,
};
use crate::{
    domain::ValueTest,
    nearest::listed,
    store::{Condition, Elsewhere, Mapping, StoreError, TableName, TimeSource, literal},
};
use rusqlite::Connection;
use std::path::Path;

/// Rows of another table that may be read whole for each running job.
const FEW: i64 = 10_000;

/// The expressions, and what the other tables lack.
pub(super) struct Sources {
    pub started_at: String,
    /// `NULL` where jobs send no heartbeats.
    pub heartbeat_at: String,
    /// Which of the target rows are jobs.
    pub only: String,
    /// The statements that make indexes without which each pass would read another table whole, for each running job.
    pub missing_indexes: Vec<String>,
}

impl Sources {
    /// Reads what the schema says of the other tables, and checks the mapping against it.
    pub(super) fn read(
        connection: &Connection,
        path: &Path,
        mapping: &Mapping,
        jobs: &[Column],
    ) -> Result<Self, StoreError> {
        let mut sources = Self {
            started_at: "NULL".to_owned(),
            heartbeat_at: "NULL".to_owned(),
            only: conditions("target", &mapping.only, jobs),
            missing_indexes: Vec::new(),
        };
        for (key, source) in mapping.sources() {
            let value = match &source.elsewhere {
                None => format!("target.{}", source.column.quoted()),
                Some(elsewhere) => {
                    let other = other_columns(connection, path, (source, elsewhere), key)?;
                    sources
                        .missing_indexes
                        .extend(missing_index(connection, path, source, elsewhere)?);
                    newest(source, elsewhere, &other)
                }
            };
            match key {
                "started_at" => sources.started_at = value,
                _ => sources.heartbeat_at = value,
            }
        }
        Ok(sources)
    }
}

/// The greatest time of the rows that belong to the target row. SQLite compares by the affinities of the columns, so that a
/// number finds its text.
fn newest(source: &TimeSource, elsewhere: &Elsewhere, other: &[Column]) -> String {
    let target = format!("target.{}", elsewhere.matching.quoted());
    let wanted = match &elsewhere.prefix {
        Some(prefix) => format!("{} || CAST({target} AS TEXT)", literal(prefix)),
        None => target,
    };
    format!(
        "(SELECT max(other.{}) FROM {} AS other WHERE other.{} = {wanted} AND {})",
        source.column.quoted(),
        elsewhere.table.quoted(),
        elsewhere.key.quoted(),
        conditions("other", &elsewhere.conditions, other),
    )
}

/// The columns of the other table, if all that are mapped are among them.
fn other_columns(
    connection: &Connection,
    path: &Path,
    (source, elsewhere): (&TimeSource, &Elsewhere),
    key: &str,
) -> Result<Vec<Column>, StoreError> {
    let table = &elsewhere.table;
    let found = columns(connection, table.name.as_str()).map_err(|error| failed("reading the schema", path, error))?;
    if found.is_empty() {
        return Err(missing_table(connection, path, table, &format!("{key}.table")));
    }
    for (name, key) in elsewhere.columns(&source.column, key) {
        find(&found, table, name, &key)?;
    }
    Ok(found)
}

/// The error of a table that is not in the file.
pub(super) fn missing_table(connection: &Connection, path: &Path, table: &TableName, key: &str) -> StoreError {
    let names = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' LIMIT 500";
    let tables: rusqlite::Result<Vec<String>> = all(connection, names, [], |row| row.get(0));
    let plain = table.plain();
    let is_empty = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0);
    match tables {
        Ok(tables) if tables.is_empty() && is_empty => StoreError::Schema(format!(
            "table `{plain}` not found in {} (watch.table.{key}); the file is empty: wait until the writer has made its tables, or \
             check the path",
            path.display()
        )),
        Ok(tables) => StoreError::Schema(format!(
            "table `{plain}` not found in {} (watch.table.{key}); {}",
            path.display(),
            listed(&plain, tables.iter().map(String::as_str), "the file has")
        )),
        Err(error) => failed("reading the schema", path, error),
    }
}

/// The conditions as one expression about the rows of `alias`.
fn conditions(alias: &str, conditions: &[Condition], columns: &[Column]) -> String {
    let terms: Vec<String> = conditions
        .iter()
        .map(|Condition { column, test }| {
            let name = format!("{alias}.{}", column.quoted());
            match test {
                ValueTest::Null => format!("{name} IS NULL"),
                ValueTest::Set => format!("{name} IS NOT NULL"),
                ValueTest::OneOf(values) => {
                    let is_switch = columns.iter().any(|known| known.is(column) && known.is_boolean());
                    let values: Vec<String> = values.iter().map(|value| value_of(value, is_switch)).collect();
                    format!("{name} IN ({})", values.join(", "))
                }
            }
        })
        .collect();
    if terms.is_empty() {
        "true".to_owned()
    } else {
        terms.join(" AND ")
    }
}

/// A value as it stands in the file: there a boolean is a number.
fn value_of(value: &str, is_boolean: bool) -> String {
    match value {
        "true" if is_boolean => "1".to_owned(),
        "false" if is_boolean => "0".to_owned(),
        other => literal(other),
    }
}

/// The statement that makes the index without which each pass would read the whole other table, for each running job.
///
/// # Errors
/// If the table is so large that such passes would hurt everyone.
fn missing_index(
    connection: &Connection,
    path: &Path,
    source: &TimeSource,
    elsewhere: &Elsewhere,
) -> Result<Option<String>, StoreError> {
    let failure = |error| failed("looking for an index", path, error);
    let table = elsewhere.table.name.as_str();
    let kind = kind_of(connection, table).map_err(failure)?;
    let finds_a_job = |index: &Index| elsewhere.is_found_by(&index.columns, str::eq_ignore_ascii_case);
    let indexes = indexes(connection, table).map_err(failure)?;
    if kind.as_deref() != Some("table") || indexes.iter().any(finds_a_job) {
        return Ok(None);
    }
    let index = elsewhere.table.name.after("beatwarden_by_job_");
    let advice = format!(
        "CREATE INDEX {} ON {} ({})",
        index.quoted(),
        elsewhere.table.quoted(),
        elsewhere.index_columns(&source.column)
    );
    let few = format!(
        "SELECT count(*) FROM (SELECT 1 FROM {} LIMIT {FEW} + 1)",
        elsewhere.table.quoted()
    );
    let rows: i64 = connection.query_row(&few, [], |row| row.get(0)).map_err(failure)?;
    if rows > FEW {
        return Err(elsewhere.too_large(&advice));
    }
    Ok(Some(advice))
}
