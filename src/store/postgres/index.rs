//! The index that makes finding running jobs cheap, as an administrator would create it.

use super::sql::part;
use crate::store::Mapping;

/// The statement that creates the index.
pub fn index_advice(mapping: &Mapping) -> String {
    let running = mapping.states.running.iter();
    let running: Vec<String> = running
        .map(|state| format!("'{}'", state.replace('\'', "''")))
        .collect();
    let names = [
        ("table", mapping.table.quoted()),
        ("id", mapping.id.quoted()),
        ("state", mapping.state.quoted()),
        ("running", running.join(", ")),
    ];
    part(include_str!("sql/index_advice.sql"), &names)
}
