//! Rows of answers as values of the domain.

use crate::domain::{Job, JobId, LateOutcome, LedgerAction, LedgerEntry, RepairId, TimeValue, Timestamp};
use crate::store::{image, reading::Strings};
use std::fmt::Display;
use tokio_postgres::{
    Row,
    row::RowIndex,
    types::{FromSql, Type},
};

/// Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A `timestamptz` in its binary form, infinities included: a calendar type would refuse those, and lose the row.
/// With `UTC` also a `timestamp`, which has the same form, and is in UTC then.
struct Micros<const UTC: bool>(i64);

impl<'a, const UTC: bool> FromSql<'a> for Micros<UTC> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ || UTC && *ty == Type::TIMESTAMP
    }
}

/// A time column that may be NULL or out of range, or of another type by now: no job is judged by such a time.
pub(super) fn reading(row: &Row, column: impl RowIndex + Display) -> TimeValue {
    read::<false>(row, column)
}

fn read<const UTC: bool>(row: &Row, column: impl RowIndex + Display) -> TimeValue {
    match row.try_get::<_, Option<Micros<UTC>>>(column) {
        Err(_) => TimeValue::UNREADABLE,
        Ok(time) => value(time),
    }
}

fn value<const UTC: bool>(time: Option<Micros<UTC>>) -> TimeValue {
    time.map_or(TimeValue::ABSENT, |Micros(raw)| {
        let micros = raw.checked_add(POSTGRES_EPOCH_MICROS);
        micros.map_or(TimeValue::UNREADABLE, TimeValue::from_micros)
    })
}

/// A time column, where it is there and readable.
pub(super) fn timestamp(row: &Row, column: &str) -> Option<Timestamp> {
    reading(row, column).at()
}

/// A bound `timestamptz`.
#[derive(Debug)]
pub(super) struct BoundTime(pub Option<Timestamp>);

impl tokio_postgres::types::ToSql for BoundTime {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(at) = self.0 else {
            return Ok(tokio_postgres::types::IsNull::Yes);
        };
        out.extend_from_slice(&(at.as_micros() - POSTGRES_EPOCH_MICROS).to_be_bytes());
        Ok(tokio_postgres::types::IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    tokio_postgres::types::to_sql_checked!();
}

/// A row of the canonical relation as it is sent. By position: a hundred thousand rows are worth it.
/// A time without a zone is taken only where it `keeps_utc`: elsewhere the server is asked to convert it, and one that comes
/// nevertheless is a column that was changed meanwhile. `None` without a key: nothing can be said of a row that has no name.
pub(super) fn job(row: &Row, keeps_utc: bool, strings: &mut Strings) -> Option<Job> {
    let time = if keeps_utc { read::<true> } else { read::<false> };
    Some(Job {
        id: key(row)?,
        name: row.get::<_, Option<&str>>(1).map(|name| strings.name(name)),
        state: row.get::<_, Option<&str>>(2).map(|state| strings.state(state)),
        started_at: time(row, 3),
        heartbeat_at: time(row, 4),
        ended_at: time(row, 5),
    })
}

/// Keys, and the newest heartbeats of their jobs in another table: two arrays. Times as of [`job`].
pub(super) fn heartbeats(row: &Row, keeps_utc: bool) -> Vec<(i64, TimeValue)> {
    let keys: Vec<i64> = row.get::<_, Option<_>>(0).unwrap_or_default();
    let times = if keeps_utc { times::<true> } else { times::<false> };
    match times(row, 1) {
        Some(times) if times.len() == keys.len() => keys.into_iter().zip(times).collect(),
        _ => keys.into_iter().map(|key| (key, TimeValue::UNREADABLE)).collect(),
    }
}

/// An array of times; nothing where they are of another type by now.
fn times<const UTC: bool>(row: &Row, column: usize) -> Option<Vec<TimeValue>> {
    let times: Vec<Option<Micros<UTC>>> = row.try_get(column).ok()?;
    Some(times.into_iter().map(value).collect())
}

fn key(row: &Row) -> Option<JobId> {
    let ty = row.columns()[0].type_();
    if *ty == Type::INT4 {
        row.get::<_, Option<i32>>(0).map(|key| JobId::from_number(key.into()))
    } else if *ty == Type::INT8 {
        row.get::<_, Option<i64>>(0).map(JobId::from_number)
    } else if *ty == Type::INT2 {
        row.get::<_, Option<i16>>(0).map(|key| JobId::from_number(key.into()))
    } else {
        row.get::<_, Option<&str>>(0).map(JobId::new)
    }
}

/// A row of the ledger; `None` for an action that this version doesn't know.
/// `heartbeat` names the column that the after-image of a `fail` has it under.
pub(super) fn ledger_entry(row: &Row, heartbeat: &str) -> Option<LedgerEntry> {
    let after: String = row.get("after");
    Some(LedgerEntry {
        heartbeat_after: image::heartbeat_after(&after, heartbeat),
        repair_id: RepairId(row.get::<_, uuid::Uuid>("repair_id").as_u128()),
        watch: row.get("watch"),
        table_name: row.get("table_name"),
        job_id: JobId::new(row.get::<_, String>("job_id")),
        job_name: row.get("job_name"),
        reason: row.get("reason"),
        action: LedgerAction::from_spelling(row.get("action"))?,
        instance: row.get("instance"),
        started_at: timestamp(row, "started_at"),
        repaired_at: timestamp(row, "repaired_at")?,
        before: row.get("before"),
        after,
        outcome: row
            .get::<_, Option<&str>>("outcome")
            .and_then(LateOutcome::from_spelling),
        outcome_at: timestamp(row, "outcome_at"),
        acknowledged_at: timestamp(row, "acknowledged_at"),
        undo_of: row
            .get::<_, Option<uuid::Uuid>>("undo_of")
            .map(|id| RepairId(id.as_u128())),
        version: row.get("version"),
    })
}
