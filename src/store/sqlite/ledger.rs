//! The ledger: how it comes to be, what it says, and how a repair whose answer was lost is found in it.

use super::{SqliteSettings, connection::Open, failures::failed, render::Statements, row::text};
use crate::{
    domain::{Finding, JobId, LateOutcome, LedgerAction, LedgerEntry, Noted, Repair, RepairId, Timestamp},
    store::{
        Resolution, StoreError, image,
        reading::{LEDGER_COLUMNS, SHOWN_REPAIRS, UNACKNOWLEDGED, WATCHED_REPAIRS},
        repair_id, rfc3339,
    },
};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, TransactionBehavior, types::ValueRef};
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

/// Why what bears the ledger's name can't be relied on to keep an entry; `None` where it can, or where there is nothing yet.
pub(super) fn unfit(open: &Open, settings: &SqliteSettings) -> Result<Option<String>, StoreError> {
    let mapping = &settings.mapping.ledger;
    let ledger = mapping.plain();
    let columns = columns(open, settings)?;
    if columns.is_empty() {
        return Ok(None);
    }
    let other = "name another one in watch.repair.ledger";
    if !is_ours(&columns) {
        return Ok(Some(format!("`{ledger}` is another program's table: {other}")));
    }
    let name = mapping.name.as_str();
    let asked = |sql: &str| -> rusqlite::Result<Option<String>> {
        open.connection
            .prepare_cached(sql)?
            .query_row([name], |row| row.get(0))
            .optional()
    };
    let read = || -> rusqlite::Result<Option<String>> {
        let kind = asked("SELECT type FROM sqlite_schema WHERE lower(name) = lower(?1) AND type IN ('table', 'view')")?;
        let kind = kind.unwrap_or_default();
        if kind != "table" {
            return Ok(Some(format!(
                "`{ledger}` is a {kind} and keeps nothing itself: {other}"
            )));
        }
        let key = asked(
            "SELECT name FROM pragma_table_info(?1) WHERE pk = 1 AND lower(name) = 'repair_id'
                          AND (SELECT count(*) FROM pragma_table_info(?1) WHERE pk > 0) = 1",
        )?;
        if key.is_none() {
            return Ok(Some(format!(
                "`{ledger}` has no primary key on repair_id, so a repair could be made twice: {other}"
            )));
        }
        // An audit that comes after is seen by the reading back of the entry; what comes before can keep an entry, or a note
        // on it, from being written without an error. That is what a trigger does whose time is not named.
        let trigger = asked(
            "SELECT name FROM (SELECT name, upper(replace(replace(replace(sql, char(9), ' '), char(10), ' '), char(13), ' ')) AS sql
                                 FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?1))
              WHERE substr(sql, 1, instr(sql, ' ON ')) NOT LIKE '% AFTER %' LIMIT 1",
        )?;
        Ok(trigger.map(|trigger| {
            format!("the trigger `{trigger}` on `{ledger}` can keep entries out of it: remove it, or {other}")
        }))
    };
    read().map_err(|error| failed("looking at the ledger", &open.path, error))
}

/// How entries of the ledger may name the table, as a JSON array: the plain name, as this version writes it, or with the
/// schema that an earlier version took over from the configuration. Upper and lower case are the same.
pub(super) fn spellings(settings: &SqliteSettings) -> String {
    let name = settings.mapping.table.name.as_str();
    serde_json::json!([name, format!("main.{name}")]).to_string()
}

/// The identity of a repair in this file: the same however the configuration writes the table's name.
pub(super) fn identity(settings: &SqliteSettings, repair: &Repair) -> RepairId {
    repair_id(&settings.mapping.table.name.as_str().to_ascii_lowercase(), repair)
}

/// The entries of the given jobs.
pub(super) fn of_jobs(open: &Open, settings: &SqliteSettings, jobs: &[JobId]) -> Result<Vec<LedgerEntry>, StoreError> {
    let ids: Vec<String> = jobs.iter().map(JobId::to_string).collect();
    let ids = serde_json::json!(ids).to_string();
    entries(
        open,
        settings,
        &open.catalog.statements.ledger_of_jobs,
        &[&spellings(settings), &ids],
    )
}

/// The newest entries, and those that hold something up.
pub(super) fn newest(open: &Open, settings: &SqliteSettings) -> Result<Vec<LedgerEntry>, StoreError> {
    let limits: [&dyn ToSql; 4] = [&spellings(settings), &SHOWN_REPAIRS, &WATCHED_REPAIRS, &UNACKNOWLEDGED];
    entries(open, settings, &open.catalog.statements.ledger_newest, &limits)
}

fn entries(
    open: &Open,
    settings: &SqliteSettings,
    sql: &str,
    params: &[&dyn ToSql],
) -> Result<Vec<LedgerEntry>, StoreError> {
    let read = || -> rusqlite::Result<Vec<LedgerEntry>> {
        let mut statement = open.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params, |row| entry(row, settings))?;
        rows.filter_map(Result::transpose).collect()
    };
    read().map_err(|error| failed("reading the ledger", &open.path, error))
}

/// Bytes of an image or a text of an entry; ours have some hundred. What is longer is left out: thousands of entries are
/// in memory at once.
const LONGEST_IMAGE: usize = 16_000;

/// A text of an entry, unless it is too long or no text.
fn bounded(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<String>> {
    let value = row.get_ref(column)?;
    let text = match value {
        ValueRef::Null => None,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) if bytes.len() > LONGEST_IMAGE => None,
        _ => text(value).map(std::borrow::Cow::into_owned),
    };
    Ok(text)
}

/// A row of the ledger; `None` where it holds what this version can't read.
pub(super) fn entry(row: &Row<'_>, settings: &SqliteSettings) -> rusqlite::Result<Option<LedgerEntry>> {
    let time = |column: &str| -> rusqlite::Result<Option<Timestamp>> {
        let instant = bounded(row, column)?.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        Ok(instant.map(|instant| Timestamp::from_micros(instant.as_microsecond())))
    };
    let uuid = |column: &str| -> rusqlite::Result<Option<RepairId>> {
        let id = bounded(row, column)?.and_then(|text| uuid::Uuid::parse_str(&text).ok());
        Ok(id.map(|id| RepairId(id.as_u128())))
    };
    let word = |column: &str| bounded(row, column).map(Option::unwrap_or_default);
    let image = |column: &str| bounded(row, column).map(|image| image.unwrap_or_else(|| "{}".to_owned()));
    let parts = (
        uuid("repair_id")?,
        LedgerAction::from_word(&word("action")?),
        time("repaired_at")?,
    );
    let (Some(repair_id), Some(action), Some(repaired_at)) = parts else {
        return Ok(None);
    };
    let after = image("after")?;
    let heartbeat = settings.mapping.last_heartbeat_at.as_str();
    Ok(Some(LedgerEntry {
        repair_id,
        watch: word("watch")?,
        table_name: word("table_name")?,
        job_id: JobId::new(word("job_id")?),
        job_name: bounded(row, "job_name")?,
        reason: word("reason")?,
        action,
        instance: word("instance")?,
        started_at: time("started_at")?,
        repaired_at,
        before: image("before")?,
        heartbeat_after: image::heartbeat_after(&after, heartbeat),
        after,
        outcome: LateOutcome::from_word(&word("outcome")?),
        outcome_at: time("outcome_at")?,
        acknowledged_at: time("acknowledged_at")?,
        undo_of: uuid("undo_of")?,
        version: match row.get_ref("version")? {
            ValueRef::Integer(version) => i32::try_from(version).unwrap_or(i32::MAX),
            _ => i32::MAX,
        },
    }))
}

/// Creates the ledger and its indexes, as far as they aren't there: a ledger of an earlier version lacks some of these.
pub(super) fn create(open: &mut Open, settings: &SqliteSettings) -> Result<(), StoreError> {
    if let Some(reason) = unfit(open, settings)? {
        return Err(StoreError::Schema(reason));
    }
    let statements = &open.catalog.statements;
    let (connection, sql) = (&mut open.connection, &statements.ledger_create);
    let index = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?1)";
    let made = connection
        .query_row(index, [&statements.last_index], |row| row.get::<_, bool>(0))
        .and_then(|is_there| match is_there {
            true => Ok(()),
            false => under_write_lock(connection, |transaction| transaction.execute_batch(sql)),
        });
    made.map_err(|error| failed("creating the ledger", &open.path, error))
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

/// Adds an entry, and demands that it is there: a trigger can drop or change it without an error.
pub(super) fn insert(connection: &Connection, statements: &Statements, entry: &NewEntry<'_>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&statements.ledger_insert)?;
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
    let added = statement.execute(&values[..])?;
    let kept: bool = connection.prepare_cached(&statements.ledger_kept)?.query_row(
        [
            &text_of(entry.id) as &dyn ToSql,
            &entry.job,
            &entry.action.as_str(),
            &entry.instance,
            &entry.before,
            &entry.after,
        ],
        |row| row.get(0),
    )?;
    if added == 1 && kept {
        return Ok(());
    }
    Err(rusqlite::Error::ToSqlConversionFailure(
        "the ledger did not keep the entry, so nothing was changed: look for triggers on the ledger's table".into(),
    ))
}

/// Writes what turned out about a repair; whether this was the first to do so.
pub(super) fn note(open: &mut Open, settings: &SqliteSettings, finding: &Finding) -> Result<Noted, StoreError> {
    let (connection, sql) = (&mut open.connection, &open.catalog.statements.ledger_note);
    let (tables, id) = (spellings(settings), text_of(finding.repair_id));
    let changed = under_write_lock(connection, |transaction| {
        let at = rfc3339(now(transaction)?);
        transaction.execute(sql, (tables, id, finding.outcome.as_str(), at))
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

/// Asks the ledger for a repair, under the write lock: no other transaction is open then.
pub(super) fn resolve(open: &mut Open, settings: &SqliteSettings, repair: &Repair) -> Result<Resolution, StoreError> {
    let id = identity(settings, repair);
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
