//! One repair: under the write lock the row is read and compared with what was observed, changed, and entered in the
//! ledger, in one short transaction.

use super::{
    SqliteSettings,
    connection::Open,
    ending,
    key::key,
    ledger::{self, new_entry},
    render::Statements,
    row::{job, shown},
    times::RowTimes,
};
use crate::{
    domain::{
        Job, LONGEST_FOREIGN, LedgerAction, LedgerEntry, Outcome, Repair, RepairId, Repairing, StartCheck, Timestamp,
        cut,
    },
    store::{
        error_text,
        error_text_merge::{Merge, merge},
        reading::Strings,
        rfc3339,
    },
};
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, ToSql, ffi,
    types::{ToSqlOutput, Value, ValueRef},
};
use serde_json::json;

/// Why a repair was not made.
enum RepairError {
    /// With this outcome; nothing was changed.
    Known(Outcome),
    /// SQLite refused; nothing was changed.
    Refused(rusqlite::Error),
    /// COMMIT did not answer well.
    Commit(rusqlite::Error),
}

impl From<rusqlite::Error> for RepairError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Refused(error)
    }
}

/// Makes one repair.
pub(super) fn repair(open: &Open, settings: &SqliteSettings, repair: &Repair) -> Outcome {
    let id = ledger::identity(settings, repair);
    if open.identity.shown() != repair.server.0 {
        return Outcome::LostRace;
    }
    match attempt(open, settings, repair, id) {
        Ok(()) => Outcome::Repaired(id),
        Err(RepairError::Known(outcome)) => outcome,
        Err(RepairError::Refused(error)) => refused(&error),
        // A COMMIT that fails leaves the transaction open, and dropping it rolls it back; what the disk holds after an
        // I/O error only the ledger can show.
        Err(RepairError::Commit(error)) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Outcome::Locked,
            _ => Outcome::Unknown(error.to_string()),
        },
    }
}

fn refused(error: &rusqlite::Error) -> Outcome {
    match error.sqlite_error() {
        Some(code) if code.code == ErrorCode::DatabaseBusy || code.code == ErrorCode::DatabaseLocked => Outcome::Locked,
        _ => Outcome::Failed(cut(&error.to_string(), LONGEST_FOREIGN)),
    }
}

/// The row under the write lock.
pub(super) struct Row {
    pub job: Job,
    pub state: Value,
    pub started_at: Value,
    pub heartbeat_at: Value,
    /// For the ledger only.
    pub ended_at: serde_json::Value,
    pub error: ErrorColumn,
}

/// What the error column holds, in the bytes that it has: SQLite promises no UTF-8.
pub(super) enum ErrorColumn {
    Null,
    Text(Vec<u8>),
    NoText,
}

fn attempt(open: &Open, settings: &SqliteSettings, repair: &Repair, id: RepairId) -> Result<(), RepairError> {
    let key = key(open, &repair.job.id);
    let statements = &open.catalog.statements;
    let transaction = open.begin()?;
    let now = ledger::now(&transaction)?;
    let found = row(&transaction, &statements.repair_row, &key, &open.times)?;
    let row = match found {
        Some(row) if is_as_observed(&row.job, repair, now) => row,
        _ => return Err(RepairError::Known(Outcome::LostRace)),
    };
    let change = Change {
        transaction: &transaction,
        settings,
        statements,
        repair,
        id,
        now,
        key,
        row,
    };
    let images = match repair.action {
        Repairing::Fail => change.fail(&open.times)?,
        Repairing::Backfill => change.backfill()?,
    };
    change.enter(&images)?;
    drop(change);
    transaction.commit().map_err(RepairError::Commit)
}

/// Reads the row under the write lock.
pub(super) fn row(transaction: &Connection, sql: &str, key: &Value, times: &RowTimes) -> rusqlite::Result<Option<Row>> {
    let mut statement = transaction.prepare_cached(sql)?;
    let row = statement.query_row([key], |row| {
        let Some(job) = job(row, times, &mut Strings::default())? else {
            return Ok(None);
        };
        Ok(Some(Row {
            job,
            started_at: row.get(4)?,
            heartbeat_at: row.get(5)?,
            ended_at: shown(row.get_ref(6)?),
            error: match row.get_ref(7)? {
                ValueRef::Null => ErrorColumn::Null,
                ValueRef::Text(bytes) => ErrorColumn::Text(bytes.to_vec()),
                ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => ErrorColumn::NoText,
            },
            state: row.get(8)?,
        }))
    });
    Ok(row.optional()?.flatten())
}

/// The guard: every observed column, and the deadline by the database's clock.
fn is_as_observed(job: &Job, repair: &Repair, now: Timestamp) -> bool {
    let overdue = job
        .started_at
        .at()
        .is_some_and(|start| start <= now.minus(repair.deadline));
    *job == repair.job && (overdue || repair.start == StartCheck::Waived)
}

/// Exactly one row, or nothing at all.
fn exactly_one(changed: usize) -> Result<(), RepairError> {
    match changed {
        1 => Ok(()),
        0 => Err(RepairError::Known(Outcome::LostRace)),
        more => Err(RepairError::Known(Outcome::Failed(format!(
            "{more} rows have this key: the key column is not unique"
        )))),
    }
}

/// The changed columns before and after, as JSON objects.
struct Images {
    before: serde_json::Value,
    after: serde_json::Value,
}

/// A change in progress: the row is as observed, and no one else can write.
struct Change<'a> {
    transaction: &'a Connection,
    settings: &'a SqliteSettings,
    statements: &'a Statements,
    repair: &'a Repair,
    id: RepairId,
    now: Timestamp,
    key: Value,
    row: Row,
}

impl Change<'_> {
    fn backfill(&self) -> Result<Images, RepairError> {
        let Row {
            state,
            started_at,
            heartbeat_at,
            ..
        } = &self.row;
        let values: [&dyn ToSql; 3] = [&self.key, state, started_at];
        exactly_one(change(self.transaction, &self.statements.repair_backfill, &values)?)?;
        let column = self.settings.mapping.heartbeat_name();
        Ok(Images {
            before: json!({ &column: shown(heartbeat_at.into()) }),
            after: json!({ &column: shown(started_at.into()) }),
        })
    }

    fn fail(&self, times: &RowTimes) -> Result<Images, RepairError> {
        let (mapping, row) = (&self.settings.mapping, &self.row);
        let Some(failure) = mapping.end_state() else {
            return Err(RepairError::Known(Outcome::Failed(
                "watch.table.failure is empty".to_owned(),
            )));
        };
        let end = times.ended_at.write(self.now, &row.started_at);
        let merged = self.merged_error();
        let error = merged.as_ref().and_then(|merge| merge.value.as_deref()).map(Text);
        let guards: [&dyn ToSql; 4] = [&self.key, &row.state, &row.started_at, &row.heartbeat_at];
        let further = ending::bound(
            mapping,
            &times.ended_at,
            (self.now, &row.started_at),
            &self.error_text(),
        );
        let further: Vec<&dyn ToSql> = further.iter().map(|value| value as &dyn ToSql).collect();
        let values = [&guards[..], &[&failure, &end, &error], &further].concat();
        let were = self.further_columns()?;
        exactly_one(change(self.transaction, &self.statements.repair_fail, &values)?)?;
        let are = self.further_columns()?;
        let mut before = json!({ mapping.state.as_str(): shown((&row.state).into()) });
        let mut after = json!({ mapping.state.as_str(): failure });
        ending::add_to(&mut before, mapping, &were);
        ending::add_to(&mut after, mapping, &are);
        if let Some(ended_at) = mapping.end_written() {
            before[ended_at.as_str()] = row.ended_at.clone();
            after[ended_at.as_str()] = shown((&end).into());
        }
        // What false repairs are recognised by.
        let set = mapping.ending.set.iter().zip(&are);
        let heartbeat = set
            .into_iter()
            .find(|((column, _), _)| Some(column) == mapping.own_heartbeat());
        let heartbeat_at = heartbeat.map_or(row.job.heartbeat_at, |(_, value)| times.heartbeat_at.read(value.into()));
        if mapping.last_heartbeat_at.is_some() {
            after[mapping.heartbeat_name()] = heartbeat_at.at().map(rfc3339).into();
        }
        if let Some(merge) = merged {
            before["error_was"] = merge.was.into();
            // What undo takes out again.
            after["error_text"] = self.error_text().into();
        }
        Ok(Images { before, after })
    }

    fn further_columns(&self) -> rusqlite::Result<Vec<Value>> {
        let sql = &self.statements.further_columns;
        ending::values(self.transaction, sql, &self.key, &self.settings.mapping)
    }

    /// The error text in what the error column holds, where one is configured.
    fn merged_error(&self) -> Option<Merge> {
        let error = self.settings.mapping.error_written()?;
        let pair = error.pair(&self.error_text());
        Some(match &self.row.error {
            ErrorColumn::Null => merge(None, &pair),
            ErrorColumn::Text(bytes) => merge(Some(bytes), &pair),
            ErrorColumn::NoText => Merge::left_alone(),
        })
    }

    fn error_text(&self) -> String {
        error_text(self.id, self.repair)
    }

    /// Enters the change in the ledger.
    fn enter(&self, images: &Images) -> Result<(), RepairError> {
        let repair = self.repair;
        let action = match repair.action {
            Repairing::Fail => LedgerAction::Fail,
            Repairing::Backfill => LedgerAction::Backfill,
        };
        let entry = LedgerEntry {
            job_id: repair.job.id.clone(),
            job_name: repair.job.name.as_deref().map(str::to_owned),
            started_at: repair.job.started_at.at(),
            before: images.before.to_string(),
            after: images.after.to_string(),
            ..new_entry(self.settings, self.id, action, self.now)
        };
        let entered = ledger::insert(self.transaction, self.statements, &entry);
        match entered {
            Ok(()) => Ok(()),
            // The repair's identity is the ledger's key: this incident already had this action.
            Err(error) if is_primary_key_conflict(&error) => Err(RepairError::Known(Outcome::Already)),
            Err(error) => Err(RepairError::Refused(error)),
        }
    }
}

/// Runs a statement that changes the row. Without a column for the end or the error it has fewer parameters than `values`.
pub(super) fn change(transaction: &Connection, sql: &str, values: &[&dyn ToSql]) -> rusqlite::Result<usize> {
    let mut statement = transaction.prepare_cached(sql)?;
    let count = statement.parameter_count();
    statement.execute(&values[..count])
}

pub(super) fn is_primary_key_conflict(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|code| code.extended_code == ffi::SQLITE_CONSTRAINT_PRIMARYKEY)
}

/// Bytes bound as text, UTF-8 or not.
pub(super) struct Text<'a>(pub &'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}
