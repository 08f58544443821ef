//! The ledger: how it comes to be, what it says, and how a repair whose answer was lost is found in it.

use super::{
    SqliteSettings,
    connection::{Open, failed},
};
use crate::{
    domain::{Finding, JobId, LateOutcome, LedgerAction, LedgerEntry, Noted, Repair, RepairId, Timestamp},
    store::{
        Resolution, StoreError, image,
        reading::{LEDGER_COLUMNS, SHOWN_REPAIRS, UNACKNOWLEDGED, WATCHED_REPAIRS},
        repair_id, rfc3339,
    },
};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, TransactionBehavior};
use std::time::Duration;

/// How long a repair waits for the writer's lock: as long as on PostgreSQL.
pub(super) const WRITE_BUSY: Duration = Duration::from_millis(200);

/// The columns of a table of the ledger's name.
fn columns(open: &Open, settings: &SqliteSettings) -> Result<Vec<String>, StoreError> {
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut statement = open
            .connection
            .prepare_cached("SELECT name FROM pragma_table_info(?1, ?2)")?;
        let schema = settings
            .mapping
            .ledger
            .schema
            .as_ref()
            .map_or("main", |schema| schema.as_str());
        let rows = statement.query_map((settings.mapping.ledger.name.as_str(), schema), |row| row.get(0))?;
        rows.collect()
    };
    read().map_err(|error| failed("looking for the ledger", &open.path, error))
}

fn is_ours(columns: &[String]) -> bool {
    LEDGER_COLUMNS
        .iter()
        .all(|wanted| columns.iter().any(|column| column == wanted))
}

/// Whether a table of the ledger's name is somebody else's.
pub(super) fn is_foreign(open: &Open, settings: &SqliteSettings) -> Result<bool, StoreError> {
    let columns = columns(open, settings)?;
    Ok(!columns.is_empty() && !is_ours(&columns))
}

/// The entries of the given jobs, and the newest of all.
pub(super) fn read(
    open: &Open,
    settings: &SqliteSettings,
    asked: &[String],
) -> Result<(Vec<LedgerEntry>, Vec<LedgerEntry>), StoreError> {
    if !is_ours(&columns(open, settings)?) {
        return Ok((Vec::new(), Vec::new()));
    }
    let statements = &open.catalog.statements;
    let watch = &settings.mapping.watch;
    let entry = |row: &Row<'_>| entry(row, settings);
    let read = || -> rusqlite::Result<(Vec<LedgerEntry>, Vec<LedgerEntry>)> {
        let ids = serde_json::json!(asked).to_string();
        let mut of_jobs = open.connection.prepare_cached(&statements.ledger_of_jobs)?;
        let of_jobs: Vec<Option<LedgerEntry>> = of_jobs
            .query_map((watch, ids), entry)?
            .collect::<rusqlite::Result<_>>()?;
        let mut newest = open.connection.prepare_cached(&statements.ledger_newest)?;
        let newest: Vec<Option<LedgerEntry>> = newest
            .query_map((watch, SHOWN_REPAIRS, WATCHED_REPAIRS, UNACKNOWLEDGED), entry)?
            .collect::<rusqlite::Result<_>>()?;
        Ok((
            of_jobs.into_iter().flatten().collect(),
            newest.into_iter().flatten().collect(),
        ))
    };
    read().map_err(|error| failed("reading the ledger", &open.path, error))
}

/// A row of the ledger; `None` where somebody wrote what this version can't read.
pub(super) fn entry(row: &Row<'_>, settings: &SqliteSettings) -> rusqlite::Result<Option<LedgerEntry>> {
    let time = |column: &str| -> rusqlite::Result<Option<Timestamp>> {
        let text: Option<String> = row.get(column)?;
        let instant = text.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        Ok(instant.map(|instant| Timestamp::from_micros(instant.as_microsecond())))
    };
    let uuid = |column: &str| -> rusqlite::Result<Option<RepairId>> {
        let text: Option<String> = row.get(column)?;
        let id = text.and_then(|text| uuid::Uuid::parse_str(&text).ok());
        Ok(id.map(|id| RepairId(id.as_u128())))
    };
    let action: String = row.get("action")?;
    let parts = (
        uuid("repair_id")?,
        LedgerAction::from_word(&action),
        time("repaired_at")?,
    );
    let (Some(repair_id), Some(action), Some(repaired_at)) = parts else {
        return Ok(None);
    };
    let outcome: Option<String> = row.get("outcome")?;
    let after: String = row.get("after")?;
    let heartbeat = settings.mapping.last_heartbeat_at.as_str();
    Ok(Some(LedgerEntry {
        repair_id,
        watch: row.get("watch")?,
        table_name: row.get("table_name")?,
        job_id: JobId::new(row.get::<_, String>("job_id")?),
        job_name: row.get("job_name")?,
        reason: row.get("reason")?,
        action,
        instance: row.get("instance")?,
        started_at: time("started_at")?,
        repaired_at,
        before: row.get("before")?,
        heartbeat_after: image::heartbeat_after(&after, heartbeat),
        after,
        outcome: outcome.as_deref().and_then(LateOutcome::from_word),
        outcome_at: time("outcome_at")?,
        acknowledged_at: time("acknowledged_at")?,
        undo_of: uuid("undo_of")?,
        version: row.get("version")?,
    }))
}

/// Creates the ledger and its indexes, if they aren't there.
pub(super) fn create(open: &mut Open, settings: &SqliteSettings) -> Result<(), StoreError> {
    if is_ours(&columns(open, settings)?) {
        return migrate(open);
    }
    let (connection, sql) = (&mut open.connection, &open.catalog.statements.ledger_create);
    let made = under_write_lock(connection, |transaction| transaction.execute_batch(sql));
    made.map_err(|error| failed("creating the ledger", &open.path, error))
}

/// Brings a ledger of an older layout to the present one.
fn migrate(open: &mut Open) -> Result<(), StoreError> {
    let statements = &open.catalog.statements;
    let (connection, sql) = (&mut open.connection, &statements.ledger_migrate);
    let index = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?1)";
    let migrated = connection
        .query_row(index, [&statements.unacknowledged_index], |row| row.get::<_, bool>(0))
        .and_then(|is_there| match is_there {
            true => Ok(()),
            false => under_write_lock(connection, |transaction| transaction.execute_batch(sql)),
        });
    migrated.map_err(|error| failed("migrating the ledger", &open.path, error))
}

/// Whether the ledger is there, and ours.
pub(super) fn is_there(open: &Open, settings: &SqliteSettings) -> Result<bool, StoreError> {
    Ok(is_ours(&columns(open, settings)?))
}

/// The database's own time.
pub(super) fn now(connection: &Connection) -> rusqlite::Result<Timestamp> {
    let clock = "SELECT CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)";
    let millis: i64 = connection.query_row(clock, [], |row| row.get(0))?;
    Ok(Timestamp::from_micros(millis.saturating_mul(1_000)))
}

/// An entry to be made.
pub(super) struct NewEntry<'a> {
    pub id: RepairId,
    pub watch: &'a str,
    pub table: &'a str,
    pub job: &'a str,
    pub name: Option<&'a str>,
    pub action: LedgerAction,
    pub instance: &'a str,
    pub started_at: Option<Timestamp>,
    pub at: Timestamp,
    pub before: String,
    pub after: String,
    pub undo_of: Option<RepairId>,
}

/// An identity as the ledger has it.
pub(super) fn text_of(id: RepairId) -> String {
    uuid::Uuid::from_u128(id.0).to_string()
}

/// Adds an entry.
pub(super) fn insert(connection: &Connection, sql: &str, entry: &NewEntry<'_>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let values: [&dyn ToSql; 12] = [
        &text_of(entry.id),
        &entry.watch,
        &entry.table,
        &entry.job,
        &entry.name,
        &entry.action.as_str(),
        &entry.instance,
        &entry.started_at.map(rfc3339),
        &rfc3339(entry.at),
        &entry.before,
        &entry.after,
        &entry.undo_of.map(text_of),
    ];
    statement.execute(&values[..])?;
    Ok(())
}

/// Writes what turned out about a repair; whether this was the first to do so.
pub(super) fn note(open: &mut Open, settings: &SqliteSettings, finding: &Finding) -> Result<Noted, StoreError> {
    let (connection, sql) = (&mut open.connection, &open.catalog.statements.ledger_note);
    let (watch, id) = (&settings.mapping.watch, text_of(finding.repair_id));
    let changed = under_write_lock(connection, |transaction| {
        let at = rfc3339(now(transaction)?);
        transaction.execute(sql, (watch, id, finding.outcome.as_str(), at))
    });
    match changed {
        Ok(0) => Ok(Noted::Known),
        Ok(_) => Ok(Noted::First),
        Err(error) => Err(failed("noting what became of a repair", &open.path, error)),
    }
}

/// Runs `work` in one immediate transaction: an upgrade from a read transaction would answer BUSY at once.
pub(super) fn under_write_lock<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.busy_timeout(WRITE_BUSY)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let result = work(&transaction)?;
    transaction.commit()?;
    Ok(result)
}

/// Asks the ledger for a repair, under the write lock: nobody else's transaction is open then.
pub(super) fn resolve(open: &mut Open, settings: &SqliteSettings, repair: &Repair) -> Result<Resolution, StoreError> {
    let mapping = &settings.mapping;
    let id = repair_id(&mapping.watch, &mapping.table.plain(), repair);
    if !is_ours(&columns(open, settings)?) {
        return Ok(Resolution::NotCommitted);
    }
    let (connection, sql) = (&mut open.connection, &open.catalog.statements.ledger_find);
    let key = uuid::Uuid::from_u128(id.0).to_string();
    let found = under_write_lock(connection, |transaction| {
        let ours = transaction.query_row(sql, [&key, &settings.instance], |row| row.get::<_, bool>(0));
        ours.optional()
    });
    match found {
        Ok(Some(true)) => Ok(Resolution::Committed(id)),
        Ok(Some(false)) => Ok(Resolution::ByAnother),
        Ok(None) => Ok(Resolution::NotCommitted),
        Err(error) => match failed("looking for a repair in the ledger", &open.path, error) {
            StoreError::Locked { .. } => Ok(Resolution::NotLeader),
            error => Err(error),
        },
    }
}
