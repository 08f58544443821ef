//! What is in force and where each value comes from, as `beatwarden config` shows it.
//!
//! Owns the hiding of secrets in that list.

use super::drafts::Draft;
use super::keys::{self, Kind, Scope};
use super::layers::{Layer, Table};
use super::text::{given, shown_key};
use super::{Config, DatabaseUrl, Provenance};
use ::config::ValueKind;

/// Every key in force with its value and origin, in the order of the table of keys.
pub(super) fn of(program: &Layer, drafts: &[Draft], config: &Config) -> Vec<Provenance> {
    let mut lines: Vec<Provenance> = keys::KEYS
        .iter()
        .filter(|key| key.scope == Scope::Program)
        .filter_map(|key| line(key, "", program))
        .collect();
    for draft in drafts
        .iter()
        .filter(|draft| config.watches.iter().any(|watch| watch.name == draft.name))
    {
        lines.push(Provenance {
            key: format!("{}name", draft.label),
            value: format!("{:?}", draft.name),
            origin: draft.name_origin.clone(),
        });
        let rest = keys::KEYS
            .iter()
            .filter(|key| key.scope == Scope::Watch && key.path != "name");
        lines.extend(rest.filter_map(|key| line(key, &draft.label, &draft.layer)));
    }
    lines
}

fn line(key: &keys::Key, label: &str, layer: &Layer) -> Option<Provenance> {
    let setting = layer.get(key.path)?;
    let mut origin = setting.origin.clone();
    let value = match (&setting.value, key.kind) {
        (ValueKind::String(text), Kind::Secret) => match DatabaseUrl::parse(text) {
            Ok(url) => {
                if let DatabaseUrl::Postgres(url) = &url
                    && !url.completed_by.is_empty()
                {
                    origin.push_str(&format!(", completed by {}", url.completed_by.join(", ")));
                }
                format!("{:?}", url.redacted())
            }
            Err(_) => "***".to_owned(),
        },
        (ValueKind::Nil, _) => "\"\"".to_owned(),
        (ValueKind::Table(table), _) => shown_table(table),
        (value, _) => given(value),
    };
    Some(Provenance {
        key: format!("{label}{}", key.path),
        value,
        origin,
    })
}

/// A value that is a table, as a file would have it, its keys in order.
fn shown_table(table: &Table) -> String {
    let mut keys: Vec<&String> = table.keys().collect();
    keys.sort();
    let parts = keys.into_iter().map(|key| {
        let value = match &table[key].kind {
            ValueKind::Table(inner) => shown_table(inner),
            value => given(value),
        };
        format!("{} = {value}", shown_key(key))
    });
    format!("{{ {} }}", parts.collect::<Vec<_>>().join(", "))
}
