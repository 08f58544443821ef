//! The expressions of the two undo statements: what they put back, and how they check that a column is as the repair left it.

use super::{
    catalog::Catalog,
    column::Column,
    ending::SetColumn,
    error_column::{error_there, without_error},
    sql::{Names, literal, quoted},
    times::TimeColumn,
};
use crate::store::Mapping;

/// The names that only `undo_*.sql` has. $4 and $3 are the after-images of the change and of the look before it, $13 is
/// the before-image, $15 to $17 are the error text's pair, text and key.
pub(super) fn names(mapping: &Mapping, catalog: &Catalog) -> Names {
    let ended_at = catalog.ended_at.as_ref().map(|time| &time.column);
    let heartbeat = catalog.heartbeat_at.as_ref().and_then(TimeColumn::own);
    let unchanged = |column: Option<&Column>, image: &str| {
        column.map_or_else(
            || "true".to_owned(),
            // Their equality takes NULL for NULL.
            |column| {
                format!(
                    "ARRAY[{}] OPERATOR(pg_catalog.=) ARRAY[{}]",
                    column.target(),
                    of_image(image, column)
                )
            },
        )
    };
    let end_unchanged = |image| unchanged(ended_at, image);
    vec![
        ("state_literal", literal(mapping.state.as_str())),
        (
            "heartbeat_at_type",
            heartbeat.map_or_else(|| "pg_catalog.text".to_owned(), |column| column.named_type.clone()),
        ),
        ("undo_heartbeat_unchanged", unchanged(heartbeat, "$3")),
        (
            "ended_at_text",
            ended_at.map_or_else(
                || "NULL::pg_catalog.text".to_owned(),
                |column| format!("{}::pg_catalog.text", column.target()),
            ),
        ),
        ("undo_end_unchanged", end_unchanged("$4")),
        ("undo_end_unchanged_look", end_unchanged("$3")),
        ("undo_set", set(catalog)),
        ("undo_left_alone", left_alone(catalog)),
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
        "({image}::pg_catalog.text::pg_catalog.jsonb OPERATOR(pg_catalog.->>) {})::{}",
        literal(&column.name),
        column.cast()
    )
}

fn set(catalog: &Catalog) -> String {
    let mut columns = vec![&catalog.state];
    columns.extend(catalog.ended_at.iter().map(|time| &time.column));
    let mut set: Vec<String> = columns
        .into_iter()
        .map(|column| format!("{} = {}", quoted(&column.name), of_image("$13", column)))
        .collect();
    let restored = catalog.set.iter().map(|set| {
        let (column, ours) = (&set.column, ours(set));
        let (before, current) = (of_image("$13", column), column.target());
        format!(
            "{} = CASE WHEN {ours} THEN {before} ELSE {current} END",
            quoted(&column.name)
        )
    });
    set.extend(restored);
    if let Some(error) = &catalog.error_column {
        set.push(format!("{} = {}", quoted(&error.name), without_error(error)));
    }
    set.join(", ")
}

/// Whether the repair set this column, and it still is as the repair left it.
fn ours(set: &SetColumn) -> String {
    let (column, name) = (&set.column, literal(&set.column.name));
    let left = if set.is_plain() {
        of_image("$4", column)
    } else {
        format!("($4::pg_catalog.text::pg_catalog.jsonb OPERATOR(pg_catalog.->>) {name})")
    };
    format!(
        "{} AND ARRAY[{}] OPERATOR(pg_catalog.=) ARRAY[{left}]",
        was_set(&name),
        set.shown()
    )
}

fn was_set(name: &str) -> String {
    format!("$4::pg_catalog.text::pg_catalog.jsonb OPERATOR(pg_catalog.?) {name}")
}

/// The columns that the repair set and that were changed since: they stay as they are.
fn left_alone(catalog: &Catalog) -> String {
    let names = catalog.set.iter().map(|set| {
        let name = literal(&set.column.name);
        format!("CASE WHEN {} AND NOT ({}) THEN {name} END", was_set(&name), ours(set))
    });
    let names: Vec<String> = names.collect();
    format!(
        "pg_catalog.array_remove(ARRAY[{}]::pg_catalog.text[], NULL)",
        names.join(", ")
    )
}
