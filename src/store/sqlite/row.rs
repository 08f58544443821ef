//! Rows of answers as values of the domain.

use super::times::{RowTimes, Times};
use crate::{
    domain::{Job, JobId, TimeValue},
    store::reading::{LONGEST_TEXT, Strings},
};
use rusqlite::{Row, types::ValueRef};
use std::borrow::Cow;

/// A row of the canonical relation; `None` without a key: the row that carries the time alone.
pub(super) fn job(row: &Row<'_>, times: &RowTimes, strings: &mut Strings) -> rusqlite::Result<Option<Job>> {
    let Some(id) = text(row.get_ref(1)?) else {
        return Ok(None);
    };
    let time = |times: &Times, column: usize| -> rusqlite::Result<TimeValue> { Ok(times.read(row.get_ref(column)?)) };
    Ok(Some(Job {
        id: JobId::new(id),
        name: beginning(row.get_ref(2)?).map(|name| strings.name(&name)),
        state: state(row.get_ref(3)?).map(|state| strings.state(&state)),
        started_at: time(&times.started_at, 4)?,
        heartbeat_at: time(&times.heartbeat_at, 5)?,
        ended_at: time(&times.ended_at, 6)?,
    }))
}

/// A state. A blob is never one that a list names, whatever its bytes spell: to SQLite, and to the writer, it equals no text.
fn state(value: ValueRef<'_>) -> Option<Cow<'_, str>> {
    match value {
        ValueRef::Blob(bytes) => {
            let kept = &bytes[..bytes.len().min(LONGEST_TEXT / 2)];
            let digits: String = kept.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("x'{digits}'").into())
        }
        other => beginning(other),
    }
}

/// The beginning of a text. Cut here and not by SQLite, whose functions end a text at its first NUL: `RUNNING` and a NUL
/// and more would become a state that it is not.
fn beginning(value: ValueRef<'_>) -> Option<Cow<'_, str>> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) if bytes.len() > LONGEST_TEXT => {
            // No character has more than four bytes.
            let most = bytes.len().min(4 * LONGEST_TEXT);
            let kept = String::from_utf8_lossy(&bytes[..most]);
            Some(kept.chars().take(LONGEST_TEXT).collect())
        }
        short => text(short),
    }
}

/// A text, whatever bytes it has: SQLite promises no UTF-8.
pub(super) fn text(value: ValueRef<'_>) -> Option<Cow<'_, str>> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes)),
        ValueRef::Integer(number) => Some(number.to_string().into()),
        ValueRef::Real(number) => Some(number.to_string().into()),
        ValueRef::Null => None,
    }
}

/// A raw value as JSON.
pub(super) fn shown(value: ValueRef<'_>) -> serde_json::Value {
    match value {
        ValueRef::Null => serde_json::Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(_) | ValueRef::Blob(_) => text(value).into(),
    }
}
