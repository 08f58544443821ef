//! The guard on SQLite: two triggers, and an index on the state, each in one short write transaction.

use super::{
    SqliteSettings, SqliteStore,
    connection::{Open, failed},
    ledger::under_write_lock,
};
use crate::{
    domain::Guard,
    store::{
        StoreError,
        guard::{GuardSql, Guarded, Progress, Waiting},
    },
};
use rusqlite::OptionalExtension;
use std::time::{Duration, Instant};

/// The triggers' names.
pub(super) const ON_INSERT: &str = "beatwarden_guard_insert";
pub(super) const ON_UPDATE: &str = "beatwarden_guard_update";
/// The index's name.
pub(super) const INDEX: &str = "beatwarden_by_state";
/// One try for the write lock, and so long it is tried for.
const WITHIN: Duration = Duration::from_secs(5);
const GIVE_UP: Duration = Duration::from_secs(120);
const BETWEEN: Duration = Duration::from_millis(200);
/// An index that takes longer would keep writers from writing for longer than many of them wait.
const INDEX_WITHIN: Duration = Duration::from_secs(2);

/// Whether the guard is there, and sound.
pub(super) fn guard(open: &Open, settings: &SqliteSettings) -> Result<Guard, StoreError> {
    let statements = &open.catalog.statements;
    let table = settings.mapping.table.name.as_str();
    let text = |name: &str| -> rusqlite::Result<Option<String>> {
        let mut statement = open.connection.prepare_cached(include_str!("sql/guard_state.sql"))?;
        statement.query_row((name, table), |row| row.get(0)).optional()
    };
    let read = || Ok((text(ON_INSERT)?, text(ON_UPDATE)?));
    let (insert, update) = read().map_err(|error| failed("looking for the guard", &open.path, error))?;
    let expected = [&statements.guard_on_insert, &statements.guard_on_update].map(|text| without_comment(text));
    Ok(match (insert, update) {
        (None, None) => Guard::Absent,
        (Some(insert), Some(update))
            if [insert.as_str(), update.as_str()] == expected.each_ref().map(String::as_str) =>
        {
            Guard::Sound
        }
        _ => Guard::Altered,
    })
}

/// A statement as SQLite keeps it: without what stands before and after it.
fn without_comment(sql: &str) -> String {
    let lines: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    lines.join("\n").trim().trim_end_matches(';').to_owned()
}

impl SqliteStore {
    /// Runs a script in one write transaction, again and again while somebody else writes.
    async fn patiently(
        &mut self,
        what: &'static str,
        script: impl Fn(&super::catalog::Statements) -> String + Copy + Send + 'static,
        progress: Progress<'_>,
    ) -> Result<(), StoreError> {
        let began = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            let tried = self
                .call(what, WITHIN, move |open, _| {
                    let sql = script(&open.catalog.statements);
                    under_write_lock(&mut open.connection, |transaction| transaction.execute_batch(&sql))
                        .map_err(|error| failed(what, &open.path, error))
                })
                .await;
            match tried {
                Err(StoreError::Locked { .. }) if began.elapsed() < GIVE_UP => {
                    let again_in = BETWEEN.mul_f64(1.0 + fastrand::f64());
                    progress(Waiting::Lock { tries, again_in });
                    tokio::time::sleep(again_in).await;
                }
                result => return result,
            }
        }
    }
}

impl Guarded for SqliteStore {
    async fn guard(&mut self) -> Result<Guard, StoreError> {
        self.call("looking for the guard", WITHIN, |open, settings| guard(open, settings))
            .await
    }

    async fn install_guard(&mut self, progress: Progress<'_>) -> Result<(), StoreError> {
        self.call("looking for the guard", WITHIN, |open, _| {
            match &open.catalog.obstacle {
                Some(obstacle) => Err(StoreError::Schema(format!(
                    "no guard for this one: {}",
                    obstacle.reason
                ))),
                None => Ok(()),
            }
        })
        .await?;
        self.patiently(
            "installing the guard",
            |statements| {
                format!(
                    "{}\n{}\n{}",
                    statements.guard_remove, statements.guard_on_insert, statements.guard_on_update
                )
            },
            progress,
        )
        .await
    }

    async fn remove_guard(&mut self, progress: Progress<'_>) -> Result<(), StoreError> {
        self.patiently(
            "removing the guard",
            |statements| statements.guard_remove.clone(),
            progress,
        )
        .await
    }

    async fn build_index(&mut self, _: Progress<'_>) -> Result<String, StoreError> {
        self.call("building the index", WITHIN, |open, _| {
            let there = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?1)";
            let told = |error| failed("building the index", &open.path, error);
            if open.connection.query_row(there, [INDEX], |row| row.get(0)).map_err(told)? {
                return Ok(());
            }
            let until = Instant::now() + INDEX_WITHIN;
            open.connection
                .progress_handler(1_000, Some(move || Instant::now() > until))
                .map_err(told)?;
            let sql = open.catalog.statements.guard_index.clone();
            let built = under_write_lock(&mut open.connection, |transaction| transaction.execute_batch(&sql));
            let told = |error| failed("building the index", &open.path, error);
            open.connection.progress_handler(0, None::<fn() -> bool>).map_err(told)?;
            match built.map_err(|error| failed("building the index", &open.path, error)) {
                Err(StoreError::Timeout { .. }) => Err(StoreError::Schema(format!(
                    "building the index took longer than {INDEX_WITHIN:?}, and nobody can write meanwhile: it was given up, \
                     nothing was changed; stop the writer, and run what --print shows"
                ))),
                result => result,
            }
        })
        .await?;
        Ok(INDEX.to_owned())
    }

    async fn guard_sql(&mut self) -> Result<GuardSql, StoreError> {
        self.call("reading the schema", WITHIN, |open, _| {
            let statements = &open.catalog.statements;
            Ok(GuardSql {
                install: format!(
                    "BEGIN IMMEDIATE;\n{}{}COMMIT;",
                    statements.guard_on_insert, statements.guard_on_update
                ),
                remove: statements.guard_remove.clone(),
                index: statements.guard_index.clone(),
            })
        })
        .await
    }
}
