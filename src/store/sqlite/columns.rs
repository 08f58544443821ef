//! The columns of a table as a file's schema has them, searched by the keys of the configuration.

use crate::store::{
    Identifier, Mapping, StoreError, TableName,
    mapping::{in_one, no_column},
};
use rusqlite::{Connection, OptionalExtension, Params, Row};

/// A column as the schema has it.
pub(super) struct Column {
    pub name: String,
    pub declared: String,
    pub not_null: bool,
    /// Whether the database computes it.
    pub is_generated: bool,
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

/// What bears a name: `table` or `view`; none where nothing does.
pub(super) fn kind_of(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT type FROM sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower(?1)";
    connection.query_row(sql, [name], |row| row.get(0)).optional()
}

/// The columns of a table or view; none where there is no such.
pub(super) fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let sql = "SELECT name, type, pk, \"notnull\", hidden IN (2, 3) FROM pragma_table_xinfo(?1)";
    all(connection, sql, [table], |row| {
        Ok(Column {
            name: row.get(0)?,
            declared: row.get(1)?,
            key: row.get(2)?,
            not_null: row.get(3)?,
            is_generated: row.get(4)?,
        })
    })
}

/// The columns of each index that holds all rows of a table, the key of the rows themselves included; an expression has no name.
pub(super) fn indexes(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Vec<String>>> {
    let sql = include_str!("sql/other_indexes.sql");
    let rows: Vec<(String, Option<String>)> = all(connection, sql, [table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let of_each = rows.chunk_by(|(one, _), (other, _)| one == other);
    let names =
        |index: &[(String, Option<String>)]| index.iter().map(|(_, name)| name.clone().unwrap_or_default()).collect();
    Ok(of_each.map(names).collect())
}

/// All rows of an answer.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(params, read)?.collect()
}

/// All missing columns in one error.
pub(super) fn all_there(columns: &[Column], mapping: &Mapping) -> Result<(), StoreError> {
    let error = mapping.error.iter().map(|error| &error.column);
    let wanted = mapping.columns().into_iter().chain(mapping.columns_of_fail(error));
    in_one(wanted.filter_map(|(name, key)| find(columns, &mapping.table, name, &key).err()))
}

/// The column that `key` of the configuration names.
pub(super) fn find<'a>(
    columns: &'a [Column],
    table: &TableName,
    wanted: &Identifier,
    key: &str,
) -> Result<&'a Column, StoreError> {
    let names = columns.iter().map(|column| column.name.as_str());
    let found = columns.iter().find(|column| column.is(wanted));
    found.ok_or_else(|| no_column(wanted, key, table, names))
}

/// Whether a column alone is unique by a constraint.
pub(super) fn is_unique(
    connection: &Connection,
    table: &str,
    columns: &[Column],
    column: &Column,
) -> rusqlite::Result<bool> {
    if column.key == 1 && columns.iter().filter(|column| column.key > 0).count() == 1 {
        return Ok(true);
    }
    let indexes = "SELECT count(*) > 0 FROM pragma_index_list(?1) AS list
                    WHERE list.\"unique\" AND NOT list.partial
                      AND (SELECT count(*) = 1 AND min(info.name) = ?2 FROM pragma_index_info(list.name) AS info)";
    let mut statement = connection.prepare_cached(indexes)?;
    statement.query_row((table, &column.name), |row| row.get(0))
}
