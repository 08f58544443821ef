//! The images in a ledger entry: JSON objects of the changed columns, before and after. Owns the keys that are no columns.

use super::from_rfc3339;
use crate::domain::{LedgerEntry, TimeValue};
use serde_json::Value;

/// One value of an image; NULL for what isn't there.
pub(crate) fn raw(image: &str, key: &str) -> Value {
    let image: Value = serde_json::from_str(image).unwrap_or_default();
    image.get(key).cloned().unwrap_or_default()
}

/// The same as text; `None` for NULL.
pub(crate) fn value(image: &str, key: &str) -> Option<String> {
    text(&raw(image, key))
}

/// A value as people read it; `None` for NULL.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The key of the function that ended the job.
pub(crate) const CALLED: &str = "beatwarden_called";

/// The keys of an image.
pub(crate) fn keys(image: &str) -> Vec<String> {
    let image: Value = serde_json::from_str(image).unwrap_or_default();
    let keys = image.as_object().map(|image| image.keys().cloned().collect());
    keys.unwrap_or_default()
}

/// Which kind of value the error column had before the repair.
pub(crate) fn error_was(entry: &LedgerEntry) -> Option<String> {
    value(&entry.before, "error_was")
}

/// The error text that the repair wrote, JSON-escaped; entries of the first layout don't keep it.
pub(crate) fn error_text(entry: &LedgerEntry) -> Option<String> {
    value(&entry.after, "error_text")
}

/// The heartbeat in the after-image of a `fail`, under the name of its column; entries of the first layout have none.
pub(crate) fn heartbeat_after(after: &str, column: &str) -> Option<TimeValue> {
    let image: Value = serde_json::from_str(after).ok()?;
    match image.get(column)? {
        Value::Null => Some(TimeValue::ABSENT),
        Value::String(text) => Some(TimeValue::from_micros(from_rfc3339(text)?.as_micros())),
        _ => None,
    }
}
