//! The further columns that a `fail` sets: what is bound for them, their images, and how an undo puts them back.

use super::{row::shown, times::Times};
use crate::{
    domain::{Assigned, Literal, Timestamp},
    store::{Ending, Identifier, Mapping, StoreError, TimeFormat, reading::KEPT},
};
use rusqlite::{
    Connection,
    types::{Value, ValueRef},
};
use serde_json::Map;

/// The number of the first parameter for a further column, behind those that every such statement has.
pub(super) const FIRST: usize = 8;

/// How the further columns stand in a statement that sets them: each to a parameter of its own, counted from [`FIRST`].
pub(super) fn set(mapping: &Mapping) -> Vec<String> {
    let numbered = mapping.ending.set.iter().zip(FIRST..);
    let one = |((column, value), number): (&(Identifier, Assigned), usize)| {
        let column = column.quoted();
        match value {
            Assigned::OneMore => format!("{column} = coalesce({column}, 0) + ?{number}"),
            _ => format!("{column} = ?{number}"),
        }
    };
    numbered.map(one).collect()
}

/// The same in a statement that puts them back.
pub(super) fn put_back(mapping: &Mapping) -> Vec<String> {
    let numbered = mapping.ending.set.iter().zip(FIRST..);
    numbered
        .map(|((column, _), number)| format!("{} = ?{number}", column.quoted()))
        .collect()
}

/// Their names as they are read; NULL where there are none.
pub(super) fn columns(mapping: &Mapping) -> String {
    let columns: Vec<String> = mapping.ending.set.iter().map(|(column, _)| column.quoted()).collect();
    if columns.is_empty() {
        "NULL".to_owned()
    } else {
        columns.join(", ")
    }
}

/// What is bound for them in a repair at this time, with this error text; `like` shows how the row writes its times.
pub(super) fn bound(mapping: &Mapping, times: &Times, (now, like): (Timestamp, &Value), error: &str) -> Vec<Value> {
    let value = |value: &Assigned| match value {
        Assigned::Now => times.write(now, like),
        Assigned::Null => Value::Null,
        Assigned::Error => Value::Text(error.to_owned()),
        Assigned::OneMore => Value::Integer(1),
        Assigned::Literal(Literal::Text(text)) => Value::Text(text.clone()),
        Assigned::Literal(Literal::Truth(truth)) => Value::Integer((*truth).into()),
        Assigned::Literal(Literal::Number(digits)) => match digits.parse() {
            Ok(whole) => Value::Integer(whole),
            Err(_) => Value::Real(digits.parse().unwrap_or_default()),
        },
    };
    mapping.ending.set.iter().map(|(_, assigned)| value(assigned)).collect()
}

/// Their values in a row, under the write lock.
pub(super) fn values(
    transaction: &Connection,
    sql: &str,
    key: &Value,
    mapping: &Mapping,
) -> rusqlite::Result<Vec<Value>> {
    let count = mapping.ending.set.len();
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut statement = transaction.prepare_cached(sql)?;
    statement.query_row([key], |row| (0..count).map(|at| row.get(at)).collect())
}

/// Adds their values to an image; not those that take too much of it, or that JSON doesn't bring back as they were.
pub(super) fn add_to(image: &mut serde_json::Value, mapping: &Mapping, values: &[Value]) {
    for ((column, _), value) in mapping.ending.set.iter().zip(values) {
        let comes_back = !matches!(value, Value::Blob(_));
        let shown = shown(ValueRef::from(value));
        if comes_back && shown.to_string().len() <= KEPT / values.len() {
            image[column.as_str()] = shown;
        }
    }
}

/// What an undo puts into them, and which of them it leaves alone because they were changed since the repair.
pub(super) fn restored(mapping: &Mapping, values: Vec<Value>, images: [&str; 2]) -> (Vec<Value>, Vec<String>) {
    let [before, after] = images.map(|image| serde_json::from_str::<Map<String, _>>(image).unwrap_or_default());
    let mut left_alone = Vec::new();
    let columns = mapping.ending.set.iter().zip(values);
    let restored = columns.map(|((column, _), value)| {
        let (was, left) = (before.get(column.as_str()), after.get(column.as_str()));
        let (Some(was), Some(left)) = (was, left) else {
            return value;
        };
        if shown(ValueRef::from(&value)) == *left {
            return stored(was);
        }
        left_alone.push(column.as_str().to_owned());
        value
    });
    (restored.collect(), left_alone)
}

/// A value of an image as the table held it.
pub(super) fn stored(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::Integer(whole),
            None => Value::Real(number.as_f64().unwrap_or_default()),
        },
        serde_json::Value::String(text) => Value::Text(text.clone()),
        _ => Value::Null,
    }
}

/// Checks one of them against its declared type; a file that is not strict takes any value in any column.
///
/// # Errors
/// If the column doesn't take the value.
pub(super) fn fits(
    value: &Assigned,
    (column, declared, not_null): (&str, &str, bool),
    (mapping, is_strict): (&Mapping, bool),
) -> Result<(), StoreError> {
    let declared = declared.to_ascii_uppercase();
    if takes(value, (&declared, not_null), mapping.time_format, is_strict) {
        return Ok(());
    }
    let is = if not_null { " NOT NULL" } else { "" };
    Err(StoreError::Schema(format!(
        "column `{column}` of `{}` is {declared}{is} ({}), which doesn't take {}",
        mapping.table.plain(),
        Ending::SET,
        value.shown()
    )))
}

/// Whether a column that is declared so takes a value.
pub(super) fn takes(value: &Assigned, (declared, not_null): (&str, bool), format: TimeFormat, is_strict: bool) -> bool {
    let declared = declared.to_ascii_uppercase();
    let is_number = |text: &str| match declared.as_str() {
        "INT" | "INTEGER" => text.parse::<i64>().is_ok(),
        "REAL" => text.parse::<f64>().is_ok(),
        _ => true,
    };
    let holds_text = !is_strict || matches!(declared.as_str(), "TEXT" | "ANY");
    let holds_numbers = declared.is_empty()
        || ["INT", "REAL", "FLOA", "DOUB", "NUM", "DEC", "ANY"]
            .iter()
            .any(|part| declared.contains(part));
    match value {
        Assigned::Null => !not_null,
        Assigned::OneMore => holds_numbers,
        Assigned::Error => holds_text,
        Assigned::Now if format == TimeFormat::Timestamp => holds_text,
        Assigned::Now => !is_strict || declared != "BLOB",
        Assigned::Literal(Literal::Truth(_)) => !is_strict || declared != "BLOB",
        Assigned::Literal(literal) => !is_strict || declared != "BLOB" && is_number(literal.text()),
    }
}
