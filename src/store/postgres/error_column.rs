//! The expressions that add the error text to its column and take it out again, byte for byte; `error_*.sql` has them.

use super::{column::Column, sql::Names};
use crate::store::part;

/// The expression of this name, for a column of this type.
macro_rules! expression {
    ($name:literal, $error:ident, $names:expr) => {
        if $error.is_jsonb() {
            part(include_str!(concat!("sql/error_", $name, "_jsonb.sql")), $names)
        } else {
            part(include_str!(concat!("sql/error_", $name, ".sql")), $names)
        }
    };
}

/// The column as it is read, and what the expressions have in common.
fn names(error: &Column) -> Names {
    let column = error.target();
    let read = if error.is_jsonb() {
        column.clone()
    } else {
        format!("{column}::pg_catalog.text")
    };
    let place = |text: &str| format!("pg_catalog.strpos({read}, pg_catalog.concat({text}))");
    let was = "($13::pg_catalog.text::pg_catalog.jsonb OPERATOR(pg_catalog.->>) 'error_was')";
    vec![
        ("trimmed", format!("pg_catalog.btrim({read}, E' \\t\\n\\r')")),
        ("behind", place("', ', $15::pg_catalog.text")),
        ("before", place("$15::pg_catalog.text, ', '")),
        ("was", was.to_owned()),
        ("column", column),
        ("error", read),
    ]
}

/// Which kind of value the column has.
pub(super) fn error_kind(error: &Column) -> String {
    expression!("kind", error, &names(error))
}

/// The column with the error text in it.
pub(super) fn error_value(error: &Column) -> String {
    let mut names = names(error);
    names.push(("kind", error_kind(error)));
    names.push(("brace", part(include_str!("sql/error_brace.sql"), &names)));
    let merged = expression!("value", error, &names);
    match error.longest {
        // A text that doesn't fit must not keep the job from being ended.
        Some(longest) => format!(
            "CASE WHEN pg_catalog.length({merged}) OPERATOR(pg_catalog.<=) {longest} THEN {merged} ELSE {}::pg_catalog.text END",
            error.target()
        ),
        None => merged,
    }
}

/// Whether the error text is there as it was written.
pub(super) fn error_there(error: &Column) -> String {
    expression!("there", error, &names(error))
}

/// The column with the error text taken out.
pub(super) fn without_error(error: &Column) -> String {
    let mut names = names(error);
    names.push(("there", error_there(error)));
    expression!("removed", error, &names)
}
