//! What an operator does with the ledger: reading it, taking a repair back, acknowledging.

use super::{
    SqliteSettings,
    connection::Open,
    ending,
    key::key,
    ledger::{self, new_entry, spellings},
    repair::{ErrorColumn, Row, Text, change, is_primary_key_conflict, row},
    row::{job, shown},
};
use crate::{
    domain::{JobId, LedgerAction, LedgerEntry, RepairId, Timestamp},
    store::{
        Acknowledged, Entries, ErrorTextRemoval, StoreError, Undo,
        error_text_merge::unmerge,
        fresh_id, from_rfc3339, image,
        reading::{Strings, UNACKNOWLEDGED},
        refusal::{CurrentRow, refusal},
        rfc3339, undo_id,
    },
};
use rusqlite::{Connection, OptionalExtension, ToSql, types::Value};
use serde_json::json;

/// The entries that are asked for.
pub(super) fn entries(open: &Open, settings: &SqliteSettings, which: &Entries) -> Result<Vec<LedgerEntry>, StoreError> {
    if !ledger::bearer(open, settings)?.is_ledger {
        return Ok(Vec::new());
    }
    let (statements, tables) = (&open.catalog.statements, spellings(settings));
    let read = |sql, params: &[&dyn ToSql]| ledger::entries(open, settings, sql, params);
    match which {
        Entries::Newest(most) => read(&statements.ledger_newest, &[&tables, most, &0, &UNACKNOWLEDGED]),
        Entries::Between(lowest, highest) => read(
            &statements.ledger_between,
            &[&tables, &lowest.to_string(), &highest.to_string()],
        ),
        Entries::OfJob(job) => read(&statements.ledger_of_job, &[&tables, &job.text()]),
    }
}

/// One entry, if it is there.
fn find(open: &Open, settings: &SqliteSettings, id: RepairId) -> Result<Option<LedgerEntry>, StoreError> {
    let found = entries(open, settings, &Entries::Between(id, id))?;
    Ok(found.into_iter().next())
}

/// The newest run of a name.
pub(super) fn newest_run(open: &Open, name: &str) -> Result<Option<JobId>, StoreError> {
    let sql = &open.catalog.statements.job_of_name;
    let found = open
        .connection
        .query_row(sql, [name], |row| row.get::<_, Option<String>>(0));
    let found = found.optional().map_err(open.failed("looking for a job by its name"))?;
    Ok(found.flatten().map(JobId::new))
}

/// Acknowledges the outcome of a repair.
pub(super) fn acknowledge(open: &Open, settings: &SqliteSettings, id: RepairId) -> Result<Acknowledged, StoreError> {
    let Some(entry) = find(open, settings, id)? else {
        return Ok(Acknowledged::NotFound);
    };
    let changed = open.under_write_lock("acknowledging an outcome", |transaction| {
        let at = rfc3339(ledger::now(transaction)?);
        let sql = &open.catalog.statements.ledger_acknowledge;
        transaction.execute(sql, (spellings(settings), id.to_string(), at))
    })?;
    Ok(match (changed, entry.acknowledged_at) {
        (0, None) => Acknowledged::NotFalse,
        (0, Some(_)) => Acknowledged::Before,
        _ => Acknowledged::Now,
    })
}

/// Acknowledges the fuse: an entry that belongs to no job.
pub(super) fn acknowledge_fuse(open: &mut Open, settings: &SqliteSettings) -> Result<RepairId, StoreError> {
    ledger::create(open, settings, true)?;
    let id = fresh_id();
    open.under_write_lock("acknowledging the fuse", |transaction| {
        let entry = new_entry(settings, id, LedgerAction::AckFuse, ledger::now(transaction)?);
        ledger::insert(transaction, &open.catalog.statements, &entry)
    })?;
    Ok(id)
}

/// Takes a repair back: everything under one write lock, so nothing can change between look and change.
pub(super) fn undo(open: &Open, settings: &SqliteSettings, id: RepairId) -> Result<Undo, StoreError> {
    let Some(entry) = find(open, settings, id)? else {
        return Ok(Undo::NotFound);
    };
    let done = open.transact(|transaction| {
        let taking_back = TakingBack {
            transaction,
            settings,
            statements: &open.catalog.statements,
            times: &open.times,
            entry: &entry,
            key: key(open, &entry.job_id),
        };
        taking_back.run()
    });
    match done {
        Err(error) if is_primary_key_conflict(&error) => Ok(Undo::Refused("it was undone before".to_owned())),
        done => done.map_err(open.failed("taking the repair back")),
    }
}

struct TakingBack<'a> {
    transaction: &'a Connection,
    settings: &'a SqliteSettings,
    statements: &'a super::render::Statements,
    times: &'a super::times::RowTimes,
    entry: &'a LedgerEntry,
    key: Value,
}

impl TakingBack<'_> {
    fn run(&self) -> rusqlite::Result<Undo> {
        let undone_at = self.undone_at()?;
        let row = row(self.transaction, &self.statements.repair_row, &self.key, self.times)?;
        let current = row.as_ref().map(|row| self.current(row)).transpose()?;
        if let Some(why) = refusal(self.entry, undone_at, current.as_ref(), &self.settings.mapping) {
            return Ok(Undo::Refused(why));
        }
        let row = row.expect("a row that is gone was refused");
        let (error_text, left_alone) = match self.entry.action {
            LedgerAction::Fail => self.fail(&row)?,
            _ => (self.backfill(&row)?, Vec::new()),
        };
        let undo = undo_id(self.entry.repair_id);
        let entry = LedgerEntry {
            repair_id: undo,
            action: LedgerAction::Undo,
            instance: self.settings.instance.clone(),
            repaired_at: ledger::now(self.transaction)?,
            before: without(&self.entry.after, &left_alone),
            after: without(&without(&self.entry.before, &left_alone), &["error_was".to_owned()]),
            undo_of: Some(self.entry.repair_id),
            ..self.entry.clone()
        };
        ledger::insert(self.transaction, self.statements, &entry)?;
        Ok(Undo::Done {
            entry: undo,
            error_text,
            left_alone,
        })
    }

    fn undone_at(&self) -> rusqlite::Result<Option<Timestamp>> {
        let params = (
            &self.entry.table_name,
            self.entry.job_id.text(),
            self.entry.repair_id.to_string(),
        );
        let sql = &self.statements.ledger_undone;
        let at: Option<String> = self.transaction.query_row(sql, params, |row| row.get(0)).optional()?;
        Ok(at.as_deref().and_then(from_rfc3339))
    }

    fn current(&self, row: &Row) -> rusqlite::Result<CurrentRow> {
        let mapping = &self.settings.mapping;
        let unchanged = |value: &serde_json::Value, column: &str| *value == image::raw(&self.entry.after, column);
        let beat = shown((&row.heartbeat_at).into());
        Ok(CurrentRow {
            started_at: row.job.started_at.at(),
            state: row.job.state.as_deref().map(str::to_owned),
            end_unchanged: mapping
                .ended_at
                .as_ref()
                .is_none_or(|column| unchanged(&row.ended_at, column.as_str())),
            ended_at: image::text(&row.ended_at),
            heartbeat_unchanged: unchanged(&beat, &mapping.heartbeat_name()),
            heartbeat_at: image::text(&beat),
            newer: self.newer()?,
        })
    }

    /// A job of the same name that started later and runs.
    fn newer(&self) -> rusqlite::Result<Option<String>> {
        let Some(name) = &self.entry.job_name else {
            return Ok(None);
        };
        let states = json!(self.settings.mapping.states.running).to_string();
        let mut statement = self.transaction.prepare_cached(&self.statements.undo_newer)?;
        let mut rows = statement.query((name, states))?;
        while let Some(row) = rows.next()? {
            let Some(job) = job(row, self.times, &mut Strings::default())? else {
                continue;
            };
            if job.id != self.entry.job_id && job.started_at.at() > self.entry.started_at {
                return Ok(Some(job.id.to_string()));
            }
        }
        Ok(None)
    }

    fn backfill(&self, row: &Row) -> rusqlite::Result<ErrorTextRemoval> {
        let values: [&dyn ToSql; 3] = [&self.key, &row.started_at, &row.heartbeat_at];
        exactly_one(change(self.transaction, &self.statements.undo_backfill, &values)?)?;
        Ok(ErrorTextRemoval::NotThere)
    }

    fn fail(&self, row: &Row) -> rusqlite::Result<(ErrorTextRemoval, Vec<String>)> {
        let mapping = &self.settings.mapping;
        let before = |column: &str| ending::stored(&image::raw(&self.entry.before, column));
        let state = before(mapping.state.as_str());
        let end = mapping.ended_at.as_ref().map(|column| before(column.as_str()));
        let cleaned = self.cleaned(row);
        let (removal, value) = match &cleaned {
            None => (ErrorTextRemoval::NotThere, None),
            Some(None) => (ErrorTextRemoval::LeftAlone, None),
            Some(Some(value)) => (ErrorTextRemoval::TakenOut, value.as_deref().map(Text)),
        };
        let taken_out = removal == ErrorTextRemoval::TakenOut;
        let further = ending::values(self.transaction, &self.statements.further_columns, &self.key, mapping)?;
        let (further, left_alone) = ending::restored(mapping, further, [&self.entry.before, &self.entry.after]);
        let mut values: Vec<&dyn ToSql> =
            vec![&self.key, &row.started_at, &row.state, &state, &end, &value, &taken_out];
        values.extend(further.iter().map(|value| value as &dyn ToSql));
        exactly_one(change(self.transaction, &self.statements.undo_fail, &values)?)?;
        Ok((removal, left_alone))
    }

    /// The error column without the error text: nothing where none was written; nothing inside where it is no longer as it
    /// was written; else the value to put back.
    #[expect(
        clippy::option_option,
        reason = "three answers: nothing written, changed since, and a value that may be NULL"
    )]
    fn cleaned(&self, row: &Row) -> Option<Option<Option<Vec<u8>>>> {
        let error = self.settings.mapping.error.as_ref()?;
        let was = image::error_was(self.entry).filter(|was| was != "other")?;
        let text = image::error_text(self.entry).unwrap_or_default();
        Some(match &row.error {
            ErrorColumn::Text(bytes) => unmerge(bytes, &was, &error.pair(&text)),
            ErrorColumn::Null | ErrorColumn::NoText => None,
        })
    }
}

/// Under the write lock the row is as it was read; anything else is a fault, and everything is rolled back.
fn exactly_one(changed: usize) -> rusqlite::Result<()> {
    match changed {
        1 => Ok(()),
        more => Err(rusqlite::Error::StatementChangedRows(more)),
    }
}

/// An image without some of its keys.
fn without(image: &str, keys: &[String]) -> String {
    let mut image: serde_json::Value = serde_json::from_str(image).unwrap_or_default();
    if let Some(image) = image.as_object_mut() {
        image.retain(|key, _| !keys.contains(key));
    }
    image.to_string()
}
