//! Reads what the catalog says of the watched table, and checks it against the mapping. Owns the words for a mapping that
//! doesn't fit.

use super::{
    PostgresSettings,
    catalog::{Catalog, Column, TimeKind, is_table},
    ending::{self, SetColumn},
    failures::refusal,
    function,
    link::Link,
    search_path,
};
use crate::{
    domain::{Action, Cause, Obstacle},
    nearest::listed,
    store::{Ending, Identifier, Mapping, StoreError, TableName, TimeFormat, part, reading::not_unique},
};
use std::sync::OnceLock;
use tokio_postgres::Row;

/// The question for the columns, with the expression that says which of them may be read.
fn with_rights(readable: &str) -> String {
    part(include_str!("sql/columns.sql"), &[("readable", part(readable, &[]))])
}

/// Reads the catalog and checks the mapping against it.
pub(super) async fn read(link: &Link, settings: &PostgresSettings) -> Result<Catalog, StoreError> {
    const WHAT: &str = "reading the catalog";
    let mapping = &settings.mapping;
    let wanted = mapping.table.quoted();
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
        return Err(missing_table(link, mapping).await?);
    };
    let oid: u32 = found.get("oid");
    let kind: String = found.get("kind");
    let table = TableName {
        schema: Some(name(found.get("schema"))?),
        name: name(found.get("name"))?,
    };
    if rows.iter().any(|row| row.get::<_, u32>("oid") != oid) {
        return Err(StoreError::Schema(format!(
            "table `{}` was replaced while its columns were read; they are read again",
            mapping.table.plain()
        )));
    }
    let columns = Columns {
        columns: rows
            .iter()
            .map(|row| Column {
                name: row.get("name"),
                sql_type: row.get("type"),
                named_type: row.get("named_type"),
                equality: row.get("equality"),
                base: row.get("base"),
                longest: Some(row.get::<_, i32>("longest")).filter(|longest| *longest > 0),
                is_unique: row.get("is_unique"),
                is_unique_at_commit: row.get("is_unique_at_commit"),
                nullable: row.get("nullable"),
                readable: row.get("readable"),
                labels: row.get("labels"),
            })
            .collect(),
        mapping,
    };
    columns.all_there(settings.action)?;
    let id = columns.find(&mapping.id, "id")?;
    let is_unique = id.is_unique_at_commit && !found.get::<_, bool>("has_heirs");
    if is_table(&kind) && !id.is_unique_at_commit {
        return Err(not_unique(
            mapping,
            &id.name,
            if kind == "p" { OF_PARTITIONS } else { "" },
        ));
    }
    let state = columns.state(settings.action)?;
    let error = match mapping.error_written() {
        Some(error) if settings.action == Action::Fail => Some(columns.error(&error.column)?),
        _ => None,
    };
    let error_column = mapping
        .error
        .as_ref()
        .and_then(|error| columns.error(&error.column).ok())
        .filter(|column| column.readable);
    let set = columns.set(settings.action)?;
    if settings.action == Action::Fail {
        ending::try_values(link, mapping, &set).await?;
    }
    let function = match &mapping.ending.call {
        Some(call) if settings.action == Action::Fail => {
            Some(function::find(link, mapping, (call, &table), &id).await?)
        }
        _ => None,
    };
    let mut spellings = vec![table.plain(), table.name.as_str().to_owned(), mapping.table.plain()];
    spellings.sort();
    spellings.dedup();
    Ok(Catalog {
        oid,
        spellings,
        kind: kind.clone(),
        ledger: TableName {
            schema: mapping.ledger.schema.clone().or(table.schema.clone()),
            name: mapping.ledger.name.clone(),
        },
        table,
        search_path: search_path::of_writes(found.get("search_path")),
        grows: mapping.born_running && id.is_integer(),
        obstacle: obstacle(mapping, &kind, &id, is_unique),
        is_unique,
        id,
        job_name: match &mapping.job_name {
            Some(job_name) => Some(columns.find(job_name, "job_name")?),
            None => None,
        },
        state,
        started_at: columns.time(own(mapping.own_start(), "started_at")?, "started_at")?,
        heartbeat_at: match &mapping.last_heartbeat_at {
            Some(beat) => Some(columns.time(own(beat.own(), "last_heartbeat_at")?, "last_heartbeat_at")?),
            None => None,
        },
        ended_at: match &mapping.ended_at {
            Some(ended_at) => Some(columns.time(ended_at, "ended_at")?),
            None => None,
        },
        error,
        error_column,
        set,
        function,
        shape: OnceLock::new(),
    })
}

/// What stands behind the error of a partitioned table.
const OF_PARTITIONS: &str = " (a partitioned table can only have a unique key that contains its partition key)";

/// What keeps repairs from such a table for good.
fn obstacle(mapping: &Mapping, kind: &str, id: &Column, is_unique: bool) -> Option<Obstacle> {
    let table = mapping.table.plain();
    let kind = match kind {
        "r" | "p" => None,
        "v" => Some("a view"),
        "m" => Some("a materialized view"),
        "f" => Some("a foreign table"),
        _ => Some("no table"),
    };
    let reason = match kind {
        Some(kind) => format!("`{table}` is {kind}: name the table behind it in watch.table.name"),
        None if !is_unique => format!(
            "other tables inherit from `{table}`, and the constraint of its key `{}` doesn't hold for their rows: name the \
             table that the jobs are in",
            id.name
        ),
        None if !id.is_unique => format!(
            "the key `{}` of `{table}` is not unique by a valid constraint that holds at once: the one that is there can be \
             deferred; ALTER TABLE ... ALTER CONSTRAINT ... NOT DEFERRABLE, or add another",
            id.name
        ),
        None => return None,
    };
    Some(Obstacle {
        cause: Cause::Rights,
        reason,
    })
}

/// A time that has to stand in the job table.
fn own<'a>(column: Option<&'a Identifier>, key: &str) -> Result<&'a Identifier, StoreError> {
    column.ok_or_else(|| StoreError::Schema(format!("watch.table.{key} names no column of the job table")))
}

fn name(text: &str) -> Result<Identifier, StoreError> {
    Identifier::new(text).map_err(|error| StoreError::Schema(error.to_string()))
}

async fn missing_table(link: &Link, mapping: &Mapping) -> Result<StoreError, StoreError> {
    let rows = link
        .within("listing tables", link.ask(include_str!("sql/tables.sql"), vec![]))
        .await?;
    let plain = mapping.table.plain();
    let locked = |row: &Row| row.get::<_, Option<String>>("locked");
    // A schema that may not be used is passed over by the search path as if it were not there.
    let hidden = rows
        .iter()
        .filter(|row| row.get::<_, &str>("plain") == mapping.table.name.as_str());
    if let Some(schema) = hidden.filter_map(locked).next() {
        return Ok(StoreError::Rights(format!(
            "table `{plain}` is in schema {schema}, which this role may not use: GRANT USAGE ON SCHEMA {schema} TO this role"
        )));
    }
    let seen = rows.iter().filter(|row| locked(row).is_none());
    let tables: Vec<String> = seen.map(|row| row.get("name")).collect();
    Ok(StoreError::Schema(format!(
        "table `{plain}` not found (watch.table.name); {}",
        listed(&plain, tables.iter().map(String::as_str), "this role can see")
    )))
}

/// The columns of the table, searched by the keys of the configuration.
struct Columns<'a> {
    columns: Vec<Column>,
    mapping: &'a Mapping,
}

impl Columns<'_> {
    /// Every mapped column with its key.
    fn wanted(&self, action: Action) -> Vec<(&Identifier, &'static str)> {
        let mapping = self.mapping;
        let mut wanted = vec![(&mapping.id, "id"), (&mapping.state, "state")];
        wanted.extend(mapping.own_start().map(|name| (name, "started_at")));
        wanted.extend(mapping.own_heartbeat().map(|name| (name, "last_heartbeat_at")));
        wanted.extend(mapping.job_name.iter().map(|name| (name, "job_name")));
        wanted.extend(mapping.ended_at.iter().map(|name| (name, "ended_at")));
        if action == Action::Fail {
            wanted.extend(mapping.error_written().map(|error| (&error.column, "error.column")));
            wanted.extend(mapping.ending.set.iter().map(|(column, _)| (column, Ending::SET)));
        }
        wanted
    }

    /// All missing columns in one error; then all that may not be read in another.
    fn all_there(&self, action: Action) -> Result<(), StoreError> {
        let wanted = self.wanted(action);
        let missing: Vec<String> = wanted
            .iter()
            .filter_map(|(name, key)| match self.find(name, key) {
                Err(StoreError::Schema(text)) => Some(text),
                _ => None,
            })
            .collect();
        if !missing.is_empty() {
            return Err(StoreError::Schema(missing.join("; ")));
        }
        let unreadable: Vec<String> = wanted
            .iter()
            .filter(|(name, _)| {
                self.columns
                    .iter()
                    .any(|column| column.name == name.as_str() && !column.readable)
            })
            .map(|(name, _)| name.quoted())
            .collect();
        if unreadable.is_empty() {
            return Ok(());
        }
        Err(StoreError::Rights(format!(
            "no right to read `{}`: GRANT SELECT ({}) ON {} TO this role",
            self.mapping.table.plain(),
            unreadable.join(", "),
            self.mapping.table.quoted()
        )))
    }

    fn find(&self, wanted: &Identifier, key: &str) -> Result<Column, StoreError> {
        if let Some(column) = self.columns.iter().find(|column| column.name == wanted.as_str()) {
            return Ok(column.clone());
        }
        let names = self.columns.iter().map(|column| column.name.as_str());
        Err(StoreError::Schema(format!(
            "column `{}` not found in `{}` ({}); {}",
            wanted.as_str(),
            self.mapping.table.plain(),
            Ending::full_key(key),
            listed(wanted.as_str(), names, "the table has")
        )))
    }

    fn state(&self, action: Action) -> Result<Column, StoreError> {
        let column = self.find(&self.mapping.state, "state")?;
        if column.labels.is_empty() && !column.is_text() {
            return Err(self.wrong_type(&column, "state", "a text or an enum"));
        }
        let states = &self.mapping.states;
        let written = self.mapping.end_state().filter(|_| action == Action::Fail);
        let unknown = states
            .running
            .iter()
            .map(String::as_str)
            .chain(written)
            .find(|value| !column.labels.is_empty() && !column.labels.iter().any(|label| label == value));
        match unknown {
            Some(value) => Err(StoreError::Schema(format!(
                "state `{value}` is no value of the enum {} of column `{}` (watch.table.running, failure, watch.repair.fail.state); {}",
                column.sql_type,
                column.name,
                listed(value, column.labels.iter().map(String::as_str), "the enum has")
            ))),
            None => Ok(column),
        }
    }

    fn error(&self, wanted: &Identifier) -> Result<Column, StoreError> {
        let column = self.find(wanted, "error.column")?;
        if matches!(column.base.as_str(), "text" | "varchar" | "jsonb") {
            Ok(column)
        } else {
            Err(self.wrong_type(&column, "error.column", "text, varchar or jsonb"))
        }
    }

    /// What `fail` sets; where the action is another, what of it is there and readable.
    fn set(&self, action: Action) -> Result<Vec<SetColumn>, StoreError> {
        let mut set = Vec::new();
        for (name, value) in &self.mapping.ending.set {
            let column = self
                .find(name, Ending::SET)
                .and_then(|column| SetColumn::new(column, value, self.mapping));
            match column {
                Ok(column) => set.push(column),
                Err(error) if action == Action::Fail => return Err(error),
                Err(_) => {}
            }
        }
        if action != Action::Fail {
            set.retain(|set| set.column.readable);
        }
        Ok(set)
    }

    fn time(&self, wanted: &Identifier, key: &str) -> Result<(Column, TimeKind), StoreError> {
        let column = self.find(wanted, key)?;
        let kind = match (self.mapping.time_format, column.base.as_str()) {
            (TimeFormat::Timestamp, "timestamp") => TimeKind::Naive,
            (TimeFormat::Timestamp, "timestamptz") => TimeKind::Zoned,
            (TimeFormat::EpochSeconds | TimeFormat::EpochMillis, "int4" | "int8") => TimeKind::WholeEpoch,
            (TimeFormat::EpochSeconds | TimeFormat::EpochMillis, "float8" | "numeric") => TimeKind::Epoch,
            (TimeFormat::Timestamp, _) => {
                let expected = "timestamp or timestamptz, as watch.table.time_format = \"timestamp\" says (numbers need \"epoch_s\" or \"epoch_ms\")";
                return Err(self.wrong_type(&column, key, expected));
            }
            (TimeFormat::EpochSeconds | TimeFormat::EpochMillis, _) => {
                let expected = "integer, bigint, numeric or double precision, as watch.table.time_format says (timestamps need \"timestamp\")";
                return Err(self.wrong_type(&column, key, expected));
            }
        };
        Ok((column, kind))
    }

    fn wrong_type(&self, column: &Column, key: &str, expected: &str) -> StoreError {
        StoreError::Schema(format!(
            "column `{}` of `{}` is {} (watch.table.{key}); expected {expected}",
            column.name,
            self.mapping.table.plain(),
            column.sql_type
        ))
    }
}
