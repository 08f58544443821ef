//! The expressions of the two undo statements: what they put back, and how they tell that a column is as the repair left it.

use super::{
    catalog::{Catalog, Column},
    render::{Names, literal, quoted, target},
};
use crate::store::Mapping;

/// The names that only `undo_*.sql` has. $4 and $3 are the after-images of the change and of the look before it, $13 is
/// the before-image, $15 to $17 are the error text's pair, text and key.
pub(super) fn names(mapping: &Mapping, catalog: &Catalog) -> Names {
    let ended_at = catalog.ended_at.as_ref().map(|(column, _)| column);
    let unchanged = |image: &str| {
        ended_at.map_or_else(
            || "true".to_owned(),
            |column| format!("{} IS NOT DISTINCT FROM {}", target(column), of_image(image, column)),
        )
    };
    vec![
        ("state_literal", literal(mapping.state.as_str())),
        ("heartbeat_at_type", catalog.heartbeat_at.0.sql_type.clone()),
        (
            "ended_at_text",
            ended_at.map_or_else(|| "NULL::text".to_owned(), |column| format!("{}::text", target(column))),
        ),
        ("undo_end_unchanged", unchanged("$4")),
        ("undo_end_unchanged_look", unchanged("$3")),
        ("undo_set", set(catalog)),
        (
            "undo_error_there",
            catalog
                .error_column
                .as_ref()
                .map_or_else(|| "false".to_owned(), error_there),
        ),
    ]
}

/// A column's value in an image, in the column's own type.
fn of_image(image: &str, column: &Column) -> String {
    format!(
        "({image}::text::jsonb ->> {})::{}",
        literal(&column.name),
        column.cast()
    )
}

fn set(catalog: &Catalog) -> String {
    let mut columns = vec![&catalog.state];
    columns.extend(catalog.ended_at.iter().map(|(column, _)| column));
    let mut set: Vec<String> = columns
        .into_iter()
        .map(|column| format!("{} = {}", quoted(&column.name), of_image("$13", column)))
        .collect();
    if let Some(error) = &catalog.error_column {
        set.push(format!("{} = {}", quoted(&error.name), without_error(error)));
    }
    set.join(", ")
}

/// What the error column held before the repair, as the before-image has it.
const WAS: &str = "($13::text::jsonb ->> 'error_was')";

/// Whether the error text is there as it was written.
fn error_there(error: &Column) -> String {
    let column = target(error);
    if error.is_jsonb() {
        return format!("jsonb_typeof({column}) = 'object' AND {column} ->> $17::text = $16::text");
    }
    format!(
        "coalesce(strpos({column}, ', ' || $15::text) > 0 OR strpos({column}, $15::text || ', ') > 0 \
         OR {column} = '{{' || $15::text || '}}', false)"
    )
}

/// The error column with the error text taken out byte for byte; a column that no longer has it as it was written stays.
fn without_error(error: &Column) -> String {
    let column = target(error);
    let there = error_there(error);
    let removed = if error.is_jsonb() {
        format!(
            "CASE WHEN {WAS} = 'null' AND {column} - $17::text = '{{}}'::jsonb THEN NULL ELSE {column} - $17::text END"
        )
    } else {
        // A writer that parses the column and writes it anew may have put its own keys behind ours.
        format!(
            "CASE WHEN strpos({column}, ', ' || $15::text) > 0 THEN replace({column}, ', ' || $15::text, '') \
             WHEN strpos({column}, $15::text || ', ') > 0 THEN replace({column}, $15::text || ', ', '') \
             WHEN {WAS} = 'null' THEN NULL WHEN {WAS} = 'blank' THEN '' ELSE '{{}}' END"
        )
    };
    format!("CASE WHEN {there} THEN {removed} ELSE {column} END")
}
