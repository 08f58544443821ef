//! Which rows count, as it stands in SQL: what columns have to hold, and how the key of another table names a job. The values
//! are literals of the columns' own types, so that indexes serve, and are checked before: one that is none would fail each pass.

use super::{
    column::Column,
    sql::{literal, quoted},
};
use crate::domain::ValueTest;

/// The column of `alias` holds what it has to.
///
/// # Errors
/// What values the column would take, if it can't hold those that are named.
pub(super) fn condition(alias: &str, column: &Column, test: &ValueTest) -> Result<String, String> {
    let name = format!("{alias}.{}", quoted(&column.name));
    let values = match test {
        ValueTest::Null => return Ok(format!("{name} IS NULL")),
        ValueTest::Set => return Ok(format!("{name} IS NOT NULL")),
        ValueTest::OneOf(values) => values,
    };
    if let Some(odd) = values.iter().find(|value| !takes(column, value)) {
        return Err(format!(
            "a column that can hold `{}`{}",
            odd.escape_debug(),
            kinds(column)
        ));
    }
    let values: Vec<String> = values.iter().map(|value| literal(value)).collect();
    let (equality, cast) = if column.is_text() {
        ("OPERATOR(pg_catalog.=)", "pg_catalog.text")
    } else {
        (column.equality.as_str(), column.named_type.as_str())
    };
    Ok(format!(
        "{name} {equality} ANY (ARRAY[{}]::{cast}[])",
        values.join(", ")
    ))
}

/// Whether a text is a value of the column's type.
fn takes(column: &Column, value: &str) -> bool {
    if !column.labels.is_empty() {
        return column.labels.iter().any(|label| label == value);
    }
    match column.base.as_str() {
        "int2" => value.parse::<i16>().is_ok(),
        "int4" => value.parse::<i32>().is_ok(),
        "int8" => value.parse::<i64>().is_ok(),
        "bool" => matches!(value, "true" | "false"),
        "uuid" => value.parse::<uuid::Uuid>().is_ok(),
        _ => column.is_text(),
    }
}

/// Which columns take values, where this one takes none.
fn kinds(column: &Column) -> &'static str {
    let takes_some = column.is_text()
        || !column.labels.is_empty()
        || matches!(column.base.as_str(), "int2" | "int4" | "int8" | "bool" | "uuid");
    if takes_some {
        ""
    } else {
        ": a text, an enum, an integer, a boolean or a uuid; any column takes \"null\" and \"set\""
    }
}

/// The key of `other`, a row of another table, names the target row by its column `matching`, behind `prefix`.
///
/// # Errors
/// What the key would have to be, if the two can't be compared.
pub(super) fn same_job(key: &Column, matching: &Column, prefix: Option<&str>) -> Result<String, String> {
    let name = format!("other.{}", quoted(&key.name));
    let target = matching.target();
    let text = match prefix {
        Some(prefix) => format!(
            "({}::pg_catalog.text OPERATOR(pg_catalog.||) {target}::pg_catalog.text)",
            literal(prefix)
        ),
        None => format!("{target}::pg_catalog.text"),
    };
    if key.is_text() {
        // Only then an index on characters of a fixed length serves.
        let cast = if key.base == "bpchar" {
            "::pg_catalog.bpchar"
        } else {
            ""
        };
        return Ok(format!("{name} OPERATOR(pg_catalog.=) {text}{cast}"));
    }
    if prefix.is_some() {
        return Err("a text, since match_prefix stands before the value".to_owned());
    }
    // What is no value of the key's type names no row; converting it would fail, and take the whole pass with it.
    let converted = |pattern: &str, cast: &str| {
        format!(
            "CASE WHEN {text} OPERATOR(pg_catalog.~) {} THEN {text}::{cast} END",
            literal(pattern)
        )
    };
    let value = if key.named_type == matching.named_type {
        return Ok(format!("{name} {} {target}", key.equality));
    } else if key.is_integer() && matching.is_integer() {
        target
    } else if key.is_integer() && matching.is_text() {
        converted("^-?[0-9]{1,18}$", "pg_catalog.int8")
    } else if key.base == "uuid" && matching.is_text() {
        converted(
            "^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$",
            "pg_catalog.uuid",
        )
    } else {
        return Err(format!(
            "{}, or a text, to be compared with `{}`",
            matching.sql_type,
            matching.name.escape_debug()
        ));
    };
    Ok(format!("{name} OPERATOR(pg_catalog.=) {value}"))
}
