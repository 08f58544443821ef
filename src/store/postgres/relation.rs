//! A table as the catalog has it, and its columns, searched by the keys of the configuration. Owns the words for a table or a
//! column that isn't there, may not be read, or is of another type.

use super::{column::Column, conditions::condition, failures::refusal, link::Link};
use crate::{
    nearest::listed,
    store::{
        Condition, Identifier, StoreError, TableName,
        mapping::{in_one, no_column},
        part,
    },
};
use tokio_postgres::Row;

/// A table, and what the catalog says of it.
#[derive(Debug)]
pub(super) struct Relation {
    pub oid: u32,
    /// The kind of relation, as `pg_class.relkind` has it.
    pub kind: String,
    /// The table with its schema.
    pub table: TableName,
    /// Whether other tables inherit from it, so that its constraints hold for a part of its rows.
    pub has_heirs: bool,
    /// The search path that it was found by.
    pub search_path: String,
    pub columns: Columns,
}

/// The columns of a table.
#[derive(Debug)]
pub(super) struct Columns {
    columns: Vec<Column>,
    /// The table as the configuration names it.
    named: TableName,
}

/// Reads what the catalog says of `named`, which `key` of the configuration names.
pub(super) async fn read(link: &Link, named: &TableName, key: &str) -> Result<Relation, StoreError> {
    const WHAT: &str = "reading the catalog";
    let wanted = named.quoted();
    let columns = with_rights(include_str!("sql/part_readable.sql"));
    let answers = async {
        let (table, columns) = tokio::join!(
            biased;
            link.ask(include_str!("sql/table.sql"), vec![&wanted]),
            link.ask(&columns, vec![&wanted]),
        );
        Ok((table?, columns))
    };
    let (found, rows) = link.within(WHAT, answers).await?;
    let rows = match rows {
        Ok(rows) => rows,
        // Where rights can't be asked for, a column that may not be read is found by reading it.
        Err(error) => {
            refusal(WHAT, error)?;
            link.within(WHAT, link.ask(&with_rights("true"), vec![&wanted])).await?
        }
    };
    let Some(found) = found.first() else {
        return Err(missing(link, named, key).await?);
    };
    let oid: u32 = found.get("oid");
    if rows.iter().any(|row| row.get::<_, u32>("oid") != oid) {
        return Err(StoreError::Schema(format!(
            "table `{}` was replaced while its columns were read; they are read again",
            named.plain()
        )));
    }
    Ok(Relation {
        oid,
        kind: found.get("kind"),
        table: TableName {
            schema: Some(name(found.get("schema"))?),
            name: name(found.get("name"))?,
        },
        has_heirs: found.get("has_heirs"),
        search_path: found.get("search_path"),
        columns: Columns {
            columns: rows.iter().map(column).collect(),
            named: named.clone(),
        },
    })
}

/// The question for the columns, with the expression that says which of them may be read.
fn with_rights(readable: &str) -> String {
    let bottom_type = part(include_str!("sql/bottom_type.sql"), &[]);
    let names = [("readable", part(readable, &[])), ("bottom_type", bottom_type)];
    part(include_str!("sql/columns.sql"), &names)
}

fn column(row: &Row) -> Column {
    Column {
        name: row.get("name"),
        sql_type: row.get("type"),
        named_type: row.get("named_type"),
        equality: row.get("equality"),
        base: row.get("base"),
        is_domain: row.get::<_, &str>("kind") == "d",
        longest: Some(row.get::<_, i32>("longest")).filter(|longest| *longest > 0),
        is_unique: row.get("is_unique"),
        is_unique_at_commit: row.get("is_unique_at_commit"),
        nullable: row.get("nullable"),
        readable: row.get("readable"),
        labels: row.get("labels"),
    }
}

fn name(text: &str) -> Result<Identifier, StoreError> {
    Identifier::new(text).map_err(|error| StoreError::Schema(error.to_string()))
}

async fn missing(link: &Link, named: &TableName, key: &str) -> Result<StoreError, StoreError> {
    let rows = link
        .within("listing tables", link.ask(include_str!("sql/tables.sql"), vec![]))
        .await?;
    let plain = named.plain();
    let locked = |row: &Row| row.get::<_, Option<String>>("locked");
    // A schema that may not be used is passed over by the search path as if it were not there.
    let hidden = rows
        .iter()
        .filter(|row| row.get::<_, &str>("plain") == named.name.as_str());
    if let Some(schema) = hidden.filter_map(locked).next() {
        return Ok(StoreError::Rights(format!(
            "table `{plain}` is in schema {schema}, which this role may not use: GRANT USAGE ON SCHEMA {schema} TO this role"
        )));
    }
    let seen = rows.iter().filter(|row| locked(row).is_none());
    let tables: Vec<String> = seen.map(|row| row.get("name")).collect();
    Ok(StoreError::Schema(format!(
        "table `{plain}` not found (watch.table.{key}); {}",
        listed(&plain, tables.iter().map(String::as_str), "this role can see")
    )))
}

impl Columns {
    /// All missing columns in one error; then all that may not be read in another.
    pub(super) fn all_there(&self, wanted: &[(&Identifier, String)]) -> Result<(), StoreError> {
        in_one(wanted.iter().filter_map(|(name, key)| self.find(name, key).err()))?;
        let is_unreadable = |name: &Identifier| {
            let mut columns = self.columns.iter();
            columns.any(|column| column.name == name.as_str() && !column.readable)
        };
        let mut unreadable: Vec<String> = Vec::new();
        for (name, _) in wanted.iter().filter(|(name, _)| is_unreadable(name)) {
            let quoted = name.quoted();
            if !unreadable.contains(&quoted) {
                unreadable.push(quoted);
            }
        }
        if unreadable.is_empty() {
            return Ok(());
        }
        Err(StoreError::Rights(format!(
            "no right to read `{}`: GRANT SELECT ({}) ON {} TO this role",
            self.named.plain(),
            unreadable.join(", "),
            self.named.quoted()
        )))
    }

    /// The column that `key` of the configuration names.
    pub(super) fn find(&self, wanted: &Identifier, key: &str) -> Result<Column, StoreError> {
        if let Some(column) = self.columns.iter().find(|column| column.name == wanted.as_str()) {
            return Ok(column.clone());
        }
        let names = self.columns.iter().map(|column| column.name.as_str());
        Err(no_column(wanted, key, &self.named, names))
    }

    /// The conditions as one expression about the rows of `alias`.
    pub(super) fn conditions(&self, alias: &str, conditions: &[Condition], key: &str) -> Result<String, StoreError> {
        let mut terms = Vec::with_capacity(conditions.len());
        for Condition { column, test } in conditions {
            let column = self.find(column, key)?;
            let term = condition(alias, &column, test).map_err(|expected| self.wrong_type(&column, key, &expected))?;
            terms.push(term);
        }
        Ok(if terms.is_empty() {
            "true".to_owned()
        } else {
            terms.join(" AND ")
        })
    }

    pub(super) fn wrong_type(&self, column: &Column, key: &str, expected: &str) -> StoreError {
        StoreError::Schema(format!(
            "column `{}` of `{}` is {} (watch.table.{key}); expected {expected}",
            column.name,
            self.named.plain(),
            column.sql_type
        ))
    }
}
