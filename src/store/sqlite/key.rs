//! Keys as the table holds them: bound in another type they would be found by no index, or not at all.

use super::connection::Open;
use crate::domain::JobId;
use rusqlite::types::Value;

/// Keys as a JSON array of the key's own type, so that the key's index is used.
pub(super) fn keys(open: &Open, ids: &[JobId]) -> String {
    let keys = ids.iter().map(|id| match number(open, id) {
        Some(number) => serde_json::Value::from(number),
        None => id.to_string().into(),
    });
    serde_json::Value::from_iter(keys).to_string()
}

/// The key of a job, in the type that the table holds it in.
pub(super) fn key(open: &Open, id: &JobId) -> Value {
    match number(open, id) {
        Some(number) => number.into(),
        None => id.to_string().into(),
    }
}

/// The number that is bound for a key, where the table holds it as one.
fn number(open: &Open, id: &JobId) -> Option<i64> {
    id.number().filter(|_| open.catalog.integer_key)
}
