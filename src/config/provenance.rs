//! What is in force and where each value comes from, as `beatwarden config` shows it.
//!
//! Owns the hiding of secrets in that list.

use super::drafts::Draft;
use super::keys::{self, Kind, Scope};
use super::layers::Layer;
use super::text::may_be_url;
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
            value: quoted(&draft.name),
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
                quoted(&url.redacted())
            }
            Err(_) => "***".to_owned(),
        },
        (value, _) => as_toml(value),
    };
    Some(Provenance {
        key: format!("{label}{}", key.path),
        value,
        origin,
    })
}

/// A value as a TOML file would have it, whole, with the keys of tables in order; only what may hold a password is hidden.
fn as_toml(value: &ValueKind) -> String {
    match value {
        ValueKind::String(text) if may_be_url(text) => "\"***\"".to_owned(),
        ValueKind::String(text) => quoted(text),
        ValueKind::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| as_toml(&item.kind)).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Table(table) => {
            let mut keys: Vec<&String> = table.keys().collect();
            keys.sort();
            let parts = keys.into_iter().map(|key| {
                let is_bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
                let name = match !key.is_empty() && key.chars().all(is_bare) {
                    true => key.clone(),
                    false => as_toml(&ValueKind::String(key.clone())),
                };
                format!("{name} = {}", as_toml(&table[key].kind))
            });
            format!("{{ {} }}", parts.collect::<Vec<_>>().join(", "))
        }
        ValueKind::Nil => "\"\"".to_owned(),
        other => other.to_string(),
    }
}

/// A text in the quotes of TOML. What could move a terminal's cursor or turn the direction of writing is written by its number.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_alphanumeric() || letter.is_ascii_graphic() || letter == ' ' => quoted.push(letter),
            other => quoted.push_str(&format!("\\U{:08X}", u32::from(other))),
        }
    }
    quoted.push('"');
    quoted
}
