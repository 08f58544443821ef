//! Keys as the table holds them: bound in another type they would be found by no index, or not at all.

use super::connection::Open;
use crate::domain::JobId;

/// Keys as a JSON array of the key's own type, so that the key's index is used.
pub(super) fn keys(open: &Open, ids: &[JobId]) -> String {
    let keys: Vec<serde_json::Value> = ids.iter().map(|id| key(open, id).into()).collect();
    serde_json::Value::Array(keys).to_string()
}

/// A key as the table holds it.
pub(super) enum Key {
    Integer(i64),
    Text(String),
}

impl From<Key> for serde_json::Value {
    fn from(key: Key) -> Self {
        match key {
            Key::Integer(number) => number.into(),
            Key::Text(text) => text.into(),
        }
    }
}

impl From<Key> for rusqlite::types::Value {
    fn from(key: Key) -> Self {
        match key {
            Key::Integer(number) => number.into(),
            Key::Text(text) => text.into(),
        }
    }
}

/// The key of a job, in the type that the table holds it in.
pub(super) fn key(open: &Open, id: &JobId) -> Key {
    match id.number() {
        Some(number) if open.catalog.integer_key => Key::Integer(number),
        _ => Key::Text(id.to_string()),
    }
}
