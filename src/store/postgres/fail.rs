//! What a `fail` does to a row: the expressions for state, end, error text and further columns with their images before and
//! after, and those of a repair that calls the system's own function.

use super::{
    catalog::Catalog,
    ending::{ERROR, SetColumn, images},
    error_column::{error_kind, error_value},
    function::STILL_RUNNING,
    sql::{Names, literal, object, quoted},
};
use crate::store::{Mapping, image::CALLED};

/// Whether the further columns are as the image before has them.
pub(super) fn unchanged(catalog: &Catalog) -> String {
    if catalog.set.is_empty() {
        return "true".to_owned();
    }
    let images = images(&catalog.set);
    format!("locked.before OPERATOR(pg_catalog.@>) ('{{}}'::pg_catalog.jsonb{images})")
}

/// What a fail changes, and the images before and after.
pub(super) fn by_update(mapping: &Mapping, catalog: &Catalog) -> [String; 3] {
    let state = &catalog.state;
    let mut set = vec![format!(
        "{} = $17::pg_catalog.text::{}",
        quoted(&state.name),
        state.cast()
    )];
    let mut before = vec![(state.name.as_str(), format!("{}::pg_catalog.text", state.target()))];
    if let Some(ended_at) = catalog.ended_at.as_ref().filter(|_| mapping.end_written().is_some()) {
        let name = &ended_at.column.name;
        set.push(format!("{} = {}", quoted(name), ended_at.write("pg_catalog.now()")));
        before.push((name, ended_at.value()));
    }
    let mut after = before.clone();
    // What false repairs are recognised by, and what undo takes out again.
    let heartbeat = mapping.heartbeat_name();
    if let Some(time) = &catalog.heartbeat_at {
        after.push((&heartbeat, time.instant()));
    }
    if let Some(error) = &catalog.error {
        set.push(format!("{} = {}", quoted(&error.name), error_value(error)));
        before.push(("error_was", error_kind(error)));
        after.push(("error_text", ERROR.to_owned()));
    }
    let further = &catalog.set;
    set.extend(further.iter().map(SetColumn::assigned));
    let images = images(further);
    [
        set.join(", "),
        format!("({}{images})", object(&before)),
        // The later part wins: a start or heartbeat that is set is shown as the canonical time that it is.
        format!(
            "('{{}}'::pg_catalog.jsonb{images} OPERATOR(pg_catalog.||) {})",
            object(&after)
        ),
    ]
}

/// What the statements of such a repair have in common; without a function they are never sent.
pub(super) fn by_call(mapping: &Mapping, catalog: &Catalog) -> Names {
    let state = &catalog.state;
    let function = catalog.function.as_ref();
    let signature = literal(function.map(|function| function.signature.as_str()).unwrap_or_default());
    let mut before = vec![(state.name.as_str(), "$4::pg_catalog.text".to_owned())];
    let mut after = vec![(state.name.as_str(), format!("{}::pg_catalog.text", state.target()))];
    if let Some(ended_at) = &catalog.ended_at {
        let name = &ended_at.column.name;
        before.push((name, ended_at.write("$7::pg_catalog.timestamptz")));
        after.push((name, ended_at.value()));
    }
    let heartbeat = mapping.heartbeat_name();
    after.extend(
        catalog
            .heartbeat_at
            .as_ref()
            .map(|time| (heartbeat.as_str(), time.instant())),
    );
    after.push((CALLED, signature.clone()));
    let gone = [
        (state.name.as_str(), "NULL::pg_catalog.text".to_owned()),
        (CALLED, signature),
    ];
    vec![
        (
            "call",
            function.map_or_else(|| "NULL".to_owned(), |function| function.call.clone()),
        ),
        ("called_before", object(&before)),
        ("called_after", object(&after)),
        ("called_gone", object(&gone)),
        ("still_running", literal(STILL_RUNNING)),
    ]
}
