//! Reads what the catalog says of the watched table, and checks it against the mapping. Owns the words for a mapping that
//! doesn't fit.

use super::{
    PostgresSettings,
    catalog::{Catalog, is_table},
    column::Column,
    elsewhere,
    ending::{self, SetColumn},
    function,
    link::Link,
    relation::{self, Columns, Relation},
    search_path,
};
use crate::{
    domain::{Action, Cause, Obstacle},
    nearest::listed,
    store::{Ending, Identifier, Mapping, StoreError, TimeSource, reading::not_unique},
};
use std::sync::OnceLock;

/// Reads the catalog and checks the mapping against it.
pub(super) async fn read(link: &Link, settings: &PostgresSettings) -> Result<Catalog, StoreError> {
    let mapping = &settings.mapping;
    let found = relation::read(link, &mapping.table, "name").await?;
    let Relation {
        oid,
        kind,
        table,
        columns,
        ..
    } = found;
    columns.all_there(&wanted(mapping, settings.action))?;
    let id = columns.find(&mapping.id, "id")?;
    let is_unique = id.is_unique_at_commit && !found.has_heirs;
    if is_table(&kind) && !id.is_unique_at_commit {
        return Err(not_unique(
            mapping,
            &id.name,
            if kind == "p" { OF_PARTITIONS } else { "" },
        ));
    }
    let state = state_of(&columns, mapping, settings.action)?;
    let of_jobs = (&columns, oid, mapping);
    let (started_at, start_elsewhere) = elsewhere::time(link, of_jobs, &mapping.started_at, "started_at").await?;
    let (heartbeat_at, heartbeat_elsewhere) = match &mapping.last_heartbeat_at {
        Some(source) => {
            let (time, other) = elsewhere::time(link, of_jobs, source, "last_heartbeat_at").await?;
            (Some(time), other)
        }
        None => (None, None),
    };
    let ended_at = mapping.ended_at.clone().map(TimeSource::from);
    let ended_at = ended_at.map(|source| elsewhere::own(&columns, mapping, &source, "ended_at"));
    let error = match mapping.error_written() {
        Some(error) if settings.action == Action::Fail => Some(error_of(&columns, &error.column)?),
        _ => None,
    };
    let error_column = mapping
        .error
        .as_ref()
        .and_then(|error| error_of(&columns, &error.column).ok())
        .filter(|column| column.readable);
    let set = set_of(&columns, mapping, settings.action)?;
    if settings.action == Action::Fail {
        ending::try_state(link, mapping, &state).await?;
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
        ledger: mapping.ledger.beside(&table),
        table,
        search_path: search_path::of_writes(&found.search_path),
        grows: mapping.born_running && id.is_integer(),
        obstacle: obstacle(mapping, &kind, &id, is_unique),
        is_unique,
        id,
        job_name: mapping
            .job_name
            .as_ref()
            .map(|name| columns.find(name, "job_name"))
            .transpose()?,
        state,
        started_at,
        heartbeat_at,
        ended_at: ended_at.transpose()?,
        only: columns.conditions("target", &mapping.only, "only")?,
        also_read: mapping.also_read().map(|column| column.as_str().to_owned()).collect(),
        others: [start_elsewhere, heartbeat_elsewhere].into_iter().flatten().collect(),
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
    Some(Obstacle::new(Cause::Rights, reason))
}

/// Every mapped column of the job table with its key.
fn wanted(mapping: &Mapping, action: Action) -> Vec<(&Identifier, String)> {
    let mut wanted = mapping.columns();
    if action == Action::Fail {
        let error = mapping.error_written().into_iter().map(|error| &error.column);
        wanted.extend(mapping.columns_of_fail(error));
    }
    wanted
}

fn state_of(columns: &Columns, mapping: &Mapping, action: Action) -> Result<Column, StoreError> {
    let column = columns.find(&mapping.state, "state")?;
    if column.labels.is_empty() && !column.is_text() {
        return Err(columns.wrong_type(&column, "state", "a text or an enum"));
    }
    let states = &mapping.states;
    let written = mapping.end_state().filter(|_| action == Action::Fail);
    let unknown = states
        .running
        .iter()
        .map(String::as_str)
        .chain(written)
        .find(|value| !column.labels.is_empty() && !column.labels.iter().any(|label| label == value));
    let too_long = |longest: &i32| written.is_some_and(|state| state.chars().count() > longest.unsigned_abs() as usize);
    if let Some(longest) = column.longest.filter(too_long) {
        return Err(StoreError::Schema(format!(
            "column `{}` of `{}` takes {longest} characters, and `{}`, the state of a job that `fail` ends, is longer \
             (watch.table.failure, watch.repair.fail.state)",
            column.name,
            mapping.table.plain(),
            written.unwrap_or_default().escape_debug()
        )));
    }
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

fn error_of(columns: &Columns, wanted: &Identifier) -> Result<Column, StoreError> {
    let column = columns.find(wanted, "error.column")?;
    if matches!(column.base.as_str(), "text" | "varchar" | "jsonb") {
        Ok(column)
    } else {
        Err(columns.wrong_type(&column, "error.column", "text, varchar or jsonb"))
    }
}

/// What `fail` sets; where the action is another, what of it is there and readable.
fn set_of(columns: &Columns, mapping: &Mapping, action: Action) -> Result<Vec<SetColumn>, StoreError> {
    let mut set = Vec::new();
    for (name, value) in &mapping.ending.set {
        let column = columns
            .find(name, Ending::SET)
            .and_then(|column| SetColumn::new(column, value, mapping));
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
