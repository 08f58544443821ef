//! What stands around the table in a file: the triggers of others. A file knows no roles.

use super::{SqliteStore, columns::all, ledger, render::GuardNames};
use crate::{
    domain::JobId,
    store::{
        StoreError,
        survey::{Surroundings, Surveyed},
    },
};
use rusqlite::OptionalExtension;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(5);

impl Surveyed for SqliteStore {
    async fn survey(&mut self) -> Result<Surroundings, StoreError> {
        self.call("looking around the table", WITHIN, |open, settings| {
            let table = &settings.mapping.table.name;
            let names = GuardNames::of(table);
            let ours = (table.as_str(), names.insert.as_str(), names.update.as_str());
            let neighbours = all(&open.connection, include_str!("sql/survey.sql"), ours, |row| {
                Ok(format!("the trigger `{}`", row.get::<_, String>(0)?.escape_debug()))
            });
            let neighbours = neighbours.map_err(open.failed("looking around the table"))?;
            let missing_ledger_indexes = ledger::missing_indexes(open, settings)?;
            Ok(Surroundings {
                missing_ledger_indexes,
                is_view: open.catalog.obstacle.is_some(),
                missing_indexes: open.catalog.missing_indexes.clone(),
                neighbours,
                // A writer in its transaction holds the whole file, and there are no roles.
                ..Surroundings::default()
            })
        })
        .await
    }

    async fn times_of(&mut self, job: &JobId) -> Result<Vec<(String, String)>, StoreError> {
        let key = job.to_string();
        self.call("reading the times of a row", WITHIN, move |open, settings| {
            let mapping = &settings.mapping;
            let sql = &open.catalog.statements.job_times;
            let row = open
                .connection
                .query_row(sql, [&key], |row| Ok([row.get::<_, Option<String>>(0)?, row.get(1)?]))
                .optional()
                .map_err(open.failed("reading the times of a row"))?;
            let columns = [mapping.started_at.plain(), mapping.heartbeat_name()];
            let found = columns.into_iter().zip(row.into_iter().flatten());
            Ok(found.filter_map(|(column, value)| Some((column, value?))).collect())
        })
        .await
    }
}
