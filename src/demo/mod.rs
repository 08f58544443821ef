//! The simulated writers of `beatwarden demo`: pipelines that keep their jobs in an embedded SQLite table the way Meltano
//! 3.6 does, with the start and the first heartbeat in two commits. Knows nothing of the watchdog that looks on.

use rusqlite::{Connection, OptionalExtension, params};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// What goes wrong with the table: SQLite's own words.
pub type Error = rusqlite::Error;

/// Now, as SQLAlchemy writes it.
const NOW: &str = "strftime('%Y-%m-%d %H:%M:%f000', 'now')";
/// How long a writer waits for a lock: as long as Python's driver does.
const BUSY: Duration = Duration::from_secs(5);

/// What became of an attempt to run a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// It ran, and ended well.
    Succeeded,
    /// It did not start: the table says that a run of it is still going.
    Blocked,
}

/// The embedded job table.
#[derive(Clone, Debug)]
pub struct JobTable {
    path: PathBuf,
}

impl JobTable {
    /// Creates the table in a new file.
    ///
    /// # Errors
    /// If the file can't be created or written.
    pub fn create(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.execute_batch(include_str!("schema.sql"))?;
        Ok(Self { path: path.to_owned() })
    }

    /// One short piece of work on a connection of its own, as the writer does it.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> rusqlite::Result<T> {
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY)?;
            work(&connection)
        });
        done.await.expect("the work doesn't panic")
    }

    /// Whether the table says that a run of the pipeline is going: the question that Meltano asks before a start.
    async fn is_running(&self, pipeline: &str) -> rusqlite::Result<bool> {
        let name = pipeline.to_owned();
        self.write(move |table| {
            let running = table
                .query_row(
                    "SELECT 1 FROM runs WHERE job_name = ?1 AND state = 'RUNNING' LIMIT 1",
                    [&name],
                    |_| Ok(()),
                )
                .optional()?;
            Ok(running.is_some())
        })
        .await
    }

    /// What the watchdog's ledger says of a job: action and identity of its repair.
    ///
    /// # Errors
    /// If the table can't be read.
    pub async fn repair_of(&self, id: i64) -> rusqlite::Result<Option<(String, String)>> {
        self.write(move |table| {
            let is_there = "SELECT 1 FROM sqlite_schema WHERE name = 'beatwarden_repairs'";
            if table.query_row(is_there, [], |_| Ok(())).optional()?.is_none() {
                return Ok(None);
            }
            let entry = "SELECT action, repair_id FROM beatwarden_repairs WHERE job_id = ?1";
            table
                .query_row(entry, [id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .await
    }

    /// Marks a run RUNNING, as the first of the writer's two commits does.
    ///
    /// # Errors
    /// If the table can't be written.
    pub async fn start(&self, pipeline: &str) -> rusqlite::Result<i64> {
        let name = pipeline.to_owned();
        self.write(move |table| {
            let insert = format!(
                "INSERT INTO runs (job_name, state, started_at, payload, payload_flags, \"trigger\")
                 VALUES (?1, 'RUNNING', {NOW}, '{{}}', 0, 'demo')"
            );
            table.execute(&insert, params![name])?;
            Ok(table.last_insert_rowid())
        })
        .await
    }

    /// Puts a run into the table that beat for a minute and has been silent for `silence` now. An earlier one of the pipeline is
    /// ended first, as Meltano does with a stale run.
    async fn lose(&self, pipeline: &str, silence: Duration) -> rusqlite::Result<()> {
        let name = pipeline.to_owned();
        self.write(move |table| {
            let end = format!("UPDATE runs SET state = 'FAIL', ended_at = {NOW} WHERE job_name = ?1 AND state = 'RUNNING'");
            table.execute(&end, [&name])?;
            let insert = "INSERT INTO runs (job_name, state, started_at, last_heartbeat_at, payload, payload_flags, \"trigger\")
                 VALUES (?1, 'RUNNING', strftime('%Y-%m-%d %H:%M:%f000', 'now', ?2), strftime('%Y-%m-%d %H:%M:%f000', 'now', ?3),
                         '{}', 0, 'demo')";
            let ago = |seconds: u64| format!("-{seconds} seconds");
            table.execute(insert, [&name, &ago(silence.as_secs() + 60), &ago(silence.as_secs())]).map(|_| ())
        })
        .await
    }

    async fn beat(&self, id: i64) -> rusqlite::Result<()> {
        self.write(move |table| {
            let beat = format!("UPDATE runs SET last_heartbeat_at = {NOW} WHERE id = ?1");
            table.execute(&beat, [id]).map(|_| ())
        })
        .await
    }

    async fn succeed(&self, id: i64) -> rusqlite::Result<()> {
        self.write(move |table| {
            let end = format!("UPDATE runs SET state = 'SUCCESS', ended_at = {NOW} WHERE id = ?1");
            table.execute(&end, [id]).map(|_| ())
        })
        .await
    }
}

/// Runs a pipeline once, if none of its runs is going: it beats twice a second for `work`, and ends well.
///
/// # Errors
/// If the table can't be written.
pub async fn run_once(table: &JobTable, pipeline: &str, work: Duration) -> rusqlite::Result<Ran> {
    if table.is_running(pipeline).await? {
        return Ok(Ran::Blocked);
    }
    let id = table.start(pipeline).await?;
    let mut left = work;
    while !left.is_zero() {
        table.beat(id).await?;
        let nap = left.min(Duration::from_millis(500));
        tokio::time::sleep(nap).await;
        left -= nap;
    }
    table.succeed(id).await?;
    Ok(Ran::Succeeded)
}

/// Pipelines that run well over and over, until `stop`.
///
/// # Errors
/// If the table can't be written.
pub async fn keep_running(table: JobTable, pipeline: String, stop: CancellationToken) -> rusqlite::Result<()> {
    while !stop.is_cancelled() {
        run_once(&table, &pipeline, Duration::from_secs(4)).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// A pipeline whose run stopped beating, until `stop`. A new run takes its place before the writer would take it for dead, so
/// that what it shows stays true however long one looks on.
///
/// # Errors
/// If the table can't be written.
pub async fn keep_lost(
    table: JobTable,
    pipeline: String,
    silence: Duration,
    stop: CancellationToken,
) -> rusqlite::Result<()> {
    /// Meltano takes a run for dead after five minutes without a heartbeat.
    const RENEWED_AFTER: Duration = Duration::from_secs(240);
    while !stop.is_cancelled() {
        table.lose(&pipeline, silence).await?;
        tokio::time::sleep(RENEWED_AFTER).await;
    }
    Ok(())
}
