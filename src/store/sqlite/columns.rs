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

/// An index that holds all rows of a table, or the key of the rows themselves.
pub(super) struct Index {
    /// Its columns, in their order; an expression has no name.
    pub columns: Vec<String>,
    /// Whether no two rows have the same values in all of them together.
    pub is_unique: bool,
}

/// The indexes of a table that hold all of its rows, the key of the rows themselves included.
pub(super) fn indexes(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Index>> {
    let sql = include_str!("sql/other_indexes.sql");
    let rows: Vec<(String, bool, Option<String>)> = all(connection, sql, [table], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let of_each = rows.chunk_by(|(one, ..), (other, ..)| one == other);
    let index = |rows: &[(String, bool, Option<String>)]| Index {
        columns: rows.iter().map(|(.., name)| name.clone().unwrap_or_default()).collect(),
        is_unique: rows.iter().all(|(_, is_unique, _)| *is_unique),
    };
    Ok(of_each.map(index).collect())
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

/// Whether a column alone is the primary key.
pub(super) fn is_the_key(columns: &[Column], column: &Column) -> bool {
    column.key == 1 && columns.iter().filter(|column| column.key > 0).count() == 1
}

/// Whether an index makes a column alone unique.
pub(super) fn is_unique_by(indexes: &[Index], column: &Column) -> bool {
    let is_alone = |index: &Index| matches!(&index.columns[..], [name] if *name == column.name);
    indexes.iter().any(|index| index.is_unique && is_alone(index))
}
