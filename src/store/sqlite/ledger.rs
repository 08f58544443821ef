//! The ledger: how it comes to be, what it says, and how a repair whose answer was lost is found in it.

use super::{SqliteSettings, connection::Open, render::Statements, row::text};
use crate::{
    domain::{Finding, JobId, LateOutcome, LedgerAction, LedgerEntry, Noted, Repair, RepairId, Timestamp},
    store::{
        Identifier, Resolution, StoreError, from_rfc3339, image,
        layout::{KEEPS_ITS_INDEXES, ledger_indexes, to_be_run},
        question::LedgerMark,
        reading::{SHOWN_REPAIRS, UNACKNOWLEDGED, WATCHED_REPAIRS},
        repair_id, rfc3339,
    },
};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, types::ValueRef};
use std::time::{Duration, Instant};

/// The columns of the ledger; a table of its name without them is not ours.
const COLUMNS: &str = "repair_id watch table_name job_id job_name reason action instance started_at repaired_at before after \
                       outcome outcome_at acknowledged_at undo_of version";

/// What bears the ledger's name.
pub(super) struct Bearer {
    /// Whether it has the ledger's columns, and so can be read.
    pub is_ledger: bool,
    /// Why it can't be relied on to keep an entry; `None` where it can, or where there is nothing yet.
    pub unfit: Option<String>,
}

/// Looks at what bears the ledger's name.
pub(super) fn bearer(open: &Open, settings: &SqliteSettings) -> Result<Bearer, StoreError> {
    let named = &settings.mapping.ledger;
    let schema = named.schema.as_ref().map_or("main", Identifier::as_str);
    let columns = serde_json::json!(COLUMNS.split(' ').collect::<Vec<_>>()).to_string();
    let read = || -> rusqlite::Result<(bool, Option<String>)> {
        let mut statement = open.connection.prepare_cached(include_str!("sql/ledger_flaw.sql"))?;
        statement.query_row((named.name.as_str(), schema, columns), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
    };
    let (is_there, flaw) = read().map_err(open.failed("looking for the ledger"))?;
    let (ledger, flaw) = (named.plain(), flaw.filter(|_| is_there));
    let other = "name another one in watch.repair.ledger";
    let reason = |flaw: &str| match flaw.split_once(' ').unwrap_or((flaw, "")) {
        ("columns", _) => format!("`{ledger}` is another program's table: {other}"),
        ("kind", kind) => format!("`{ledger}` is a {kind} and keeps nothing itself: {other}"),
        ("trigger", name) => {
            format!("the trigger `{name}` on `{ledger}` can keep entries out of it: remove it, or {other}")
        }
        _ => format!("`{ledger}` has no primary key on repair_id, so a repair could be made twice: {other}"),
    };
    Ok(Bearer {
        is_ledger: is_there && flaw.as_deref() != Some("columns"),
        unfit: flaw.as_deref().map(reason),
    })
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
    let (tables, ids) = (spellings(settings), serde_json::json!(ids).to_string());
    entries(
        open,
        settings,
        &open.catalog.statements.ledger_of_jobs,
        &[&tables, &ids],
    )
}

/// By what it is seen whether there are other entries than were read, of those since some time.
pub(super) fn probe(open: &Open, settings: &SqliteSettings, since: Timestamp) -> Result<LedgerMark, StoreError> {
    let read = || -> rusqlite::Result<LedgerMark> {
        let mut statement = open.connection.prepare_cached(&open.catalog.statements.ledger_probe)?;
        statement.query_row((spellings(settings), rfc3339(since), WATCHED_REPAIRS), |row| {
            let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
            let ids = bounded(row, "false_repairs")?.unwrap_or_default();
            let ids = ids.split(' ').filter_map(|id| uuid::Uuid::parse_str(id).ok());
            let mut false_repairs: Vec<_> = ids.map(|id| RepairId(id.as_u128())).collect();
            false_repairs.sort_unstable();
            Ok(LedgerMark {
                newer: count("newer")?,
                false_repairs,
                late_heartbeats: count("late_heartbeats")?,
            })
        })
    };
    read().map_err(open.failed("reading the ledger"))
}

/// The newest entries, and those that hold something up.
pub(super) fn newest(open: &Open, settings: &SqliteSettings) -> Result<Vec<LedgerEntry>, StoreError> {
    let limits: [&dyn ToSql; 4] = [&spellings(settings), &SHOWN_REPAIRS, &WATCHED_REPAIRS, &UNACKNOWLEDGED];
    entries(open, settings, &open.catalog.statements.ledger_newest, &limits)
}

/// The entries that a statement returns.
pub(super) fn entries(
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
    read().map_err(open.failed("reading the ledger"))
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
        Ok(bounded(row, column)?.and_then(|text| from_rfc3339(&text)))
    };
    let uuid = |column: &str| -> rusqlite::Result<Option<RepairId>> {
        let id = bounded(row, column)?.and_then(|text| uuid::Uuid::parse_str(&text).ok());
        Ok(id.map(|id| RepairId(id.as_u128())))
    };
    let word = |column: &str| bounded(row, column).map(Option::unwrap_or_default);
    let image = |column: &str| bounded(row, column).map(|image| image.unwrap_or_else(|| "{}".to_owned()));
    let parts = (
        uuid("repair_id")?,
        LedgerAction::from_spelling(&word("action")?),
        time("repaired_at")?,
    );
    let (Some(repair_id), Some(action), Some(repaired_at)) = parts else {
        return Ok(None);
    };
    let after = image("after")?;
    let heartbeat = settings.mapping.heartbeat_name();
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
        heartbeat_after: image::heartbeat_after(&after, &heartbeat),
        after,
        outcome: LateOutcome::from_spelling(&word("outcome")?),
        outcome_at: time("outcome_at")?,
        acknowledged_at: time("acknowledged_at")?,
        undo_of: uuid("undo_of")?,
        version: match row.get_ref("version")? {
            ValueRef::Integer(version) => i32::try_from(version).unwrap_or(i32::MAX),
            _ => i32::MAX,
        },
    }))
}

/// An index of a long ledger may take as long: no one can write meanwhile.
const INDEX_WITHIN: Duration = Duration::from_millis(200);

/// Creates the ledger with its indexes where there is none. One of an earlier version lacks indexes: it gets those that are
/// made quickly, if they are to be `tried`; without them everything is right, and a long ledger is read more slowly.
pub(super) fn create(open: &mut Open, settings: &SqliteSettings, tried: bool) -> Result<(), StoreError> {
    const MIGRATING: &str = "migrating the ledger";
    let bearer = bearer(open, settings)?;
    if let Some(reason) = bearer.unfit {
        return Err(StoreError::Schema(reason));
    }
    let statements = &open.catalog.statements;
    if !bearer.is_ledger {
        return open.under_write_lock("creating the ledger", |transaction| {
            transaction.execute_batch(&statements.ledger_create)
        });
    }
    let has_all = has_index(&open.connection, &statements.last_index, &settings.mapping.ledger.name);
    let made = match has_all.map_err(open.failed(MIGRATING)) {
        Ok(false) if tried => index(open, MIGRATING),
        looked => looked.map(|_| ()),
    };
    if let Err(error) = made {
        tracing::warn!(error = error.chain(), "{KEEPS_ITS_INDEXES}");
    }
    Ok(())
}

/// The statements that make the indexes which a ledger that is there lacks.
pub(super) fn missing_indexes(open: &Open, settings: &SqliteSettings) -> Result<Vec<String>, StoreError> {
    let statements = &open.catalog.statements;
    let has_all = has_index(&open.connection, &statements.last_index, &settings.mapping.ledger.name);
    let has_all = has_all.map_err(open.failed("looking for the ledger"))?;
    let lacks = !has_all && bearer(open, settings)?.is_ledger;
    Ok(if lacks {
        to_be_run(&statements.ledger_create)
    } else {
        Vec::new()
    })
}

/// Makes the indexes, each in a transaction of its own that is given up when it takes long.
fn index(open: &mut Open, what: &'static str) -> Result<(), StoreError> {
    let script = open.catalog.statements.ledger_create.clone();
    for sql in ledger_indexes(&script) {
        // From its first steps on: a wait for the lock is none of them.
        let mut until = None;
        let is_late = move || Instant::now() > *until.get_or_insert_with(|| Instant::now() + INDEX_WITHIN);
        let handled = open.connection.progress_handler(1_000, Some(is_late));
        handled.map_err(open.failed(what))?;
        let made = open.under_write_lock(what, |transaction| transaction.execute_batch(sql));
        let handled = open.connection.progress_handler(0, None::<fn() -> bool>);
        handled.map_err(open.failed(what))?;
        made?;
    }
    Ok(())
}

/// Whether a table has an index of this name.
pub(super) fn has_index(connection: &Connection, name: &str, table: &Identifier) -> rusqlite::Result<bool> {
    connection.query_row(include_str!("sql/index_state.sql"), (name, table.as_str()), |row| {
        row.get(0)
    })
}

/// The database's own time.
pub(super) fn now(connection: &Connection) -> rusqlite::Result<Timestamp> {
    let clock = "SELECT CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)";
    let millis: i64 = connection.query_row(clock, [], |row| row.get(0))?;
    Ok(Timestamp::from_micros(millis.saturating_mul(1_000)))
}

/// An entry of ours about no job yet.
pub(super) fn new_entry(
    settings: &SqliteSettings,
    repair_id: RepairId,
    action: LedgerAction,
    repaired_at: Timestamp,
) -> LedgerEntry {
    LedgerEntry {
        watch: settings.mapping.watch.clone(),
        table_name: settings.mapping.table.name.as_str().to_owned(),
        reason: settings.mapping.overdue().as_str().to_owned(),
        instance: settings.instance.clone(),
        ..LedgerEntry::new(repair_id, action, repaired_at)
    }
}

/// Adds an entry, and demands that it is there: a trigger can drop or change it without an error.
pub(super) fn insert(connection: &Connection, statements: &Statements, entry: &LedgerEntry) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&statements.ledger_insert)?;
    let (id, job, action) = (entry.repair_id.to_string(), entry.job_id.text(), entry.action.as_str());
    let (start, at) = (entry.started_at.map(rfc3339), rfc3339(entry.repaired_at));
    let LedgerEntry {
        watch,
        table_name,
        job_name,
        instance,
        before,
        after,
        ..
    } = entry;
    let undo_of = entry.undo_of.map(|id| id.to_string());
    let values: [&dyn ToSql; 12] = [
        &id, watch, table_name, &job, job_name, &action, instance, &start, &at, before, after, &undo_of,
    ];
    let added = statement.execute(&values[..])?;
    let mut kept = connection.prepare_cached(&statements.ledger_kept)?;
    let kept: bool = kept.query_row((&id, &job, action, instance, before, after), |row| row.get(0))?;
    if added == 1 && kept {
        return Ok(());
    }
    Err(rusqlite::Error::ToSqlConversionFailure(
        "the ledger did not keep the entry, so nothing was changed: look for triggers on the ledger's table".into(),
    ))
}

/// Writes what turned out about a repair; whether this was the first to do so.
pub(super) fn note(open: &Open, settings: &SqliteSettings, finding: &Finding) -> Result<Noted, StoreError> {
    let (tables, id) = (spellings(settings), finding.repair_id.to_string());
    let changed = open.under_write_lock("noting what became of a repair", |transaction| {
        let (sql, at) = (&open.catalog.statements.ledger_note, rfc3339(now(transaction)?));
        transaction.execute(sql, (tables, id, finding.outcome.as_str(), at))
    })?;
    Ok(if changed == 0 { Noted::Known } else { Noted::First })
}

/// Asks the ledger for a repair, under the write lock: no other transaction is open then.
pub(super) fn resolve(open: &Open, settings: &SqliteSettings, repair: &Repair) -> Result<Resolution, StoreError> {
    let id = identity(settings, repair);
    if !bearer(open, settings)?.is_ledger {
        return Ok(Resolution::NotCommitted);
    }
    let found = open.under_write_lock("looking for a repair in the ledger", |transaction| {
        let (sql, key) = (
            &open.catalog.statements.ledger_find,
            [&id.to_string(), &settings.instance],
        );
        transaction.query_row(sql, key, |row| row.get::<_, bool>(0)).optional()
    });
    match found {
        Ok(Some(true)) => Ok(Resolution::Committed(id)),
        Ok(Some(false)) => Ok(Resolution::ByAnother),
        Ok(None) => Ok(Resolution::NotCommitted),
        Err(StoreError::Locked { .. }) => Ok(Resolution::NotLeader),
        Err(error) => Err(error),
    }
}
