//! Layers: what one source says about one scope, as a flat map from known key to value and origin.
//!
//! Owns reading TOML and YAML, the walk that finds unknown keys on every level, and putting one layer over another. The
//! merge is ours, since the `config` crate can't put a value into an element of an array such as `[[watch]]`, and
//! serde stops at the first unknown key.

use super::ConfigError;
use super::keys::{self, Key, Kind, Scope};
use super::text::{given, shown_key};
use crate::files;
use crate::nearest::nearest;
use ::config::{FileFormat, Source, Value, ValueKind};
use std::collections::BTreeMap;
use std::path::Path;

/// A table of a file, before anything is known about its keys.
pub(super) type Table = ::config::Map<String, Value>;

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) value: ValueKind,
    pub(super) origin: String,
}

/// What one source, or all of them, say about one scope: settings by the path of a known key.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(BTreeMap<&'static str, Setting>);

impl Layer {
    pub(super) fn get(&self, path: &str) -> Option<&Setting> {
        self.0.get(path)
    }

    pub(super) fn set(&mut self, key: &'static Key, value: ValueKind, origin: &str) {
        let origin = origin.to_owned();
        self.0.insert(key.path, Setting { value, origin });
    }

    pub(super) fn settings(&self) -> impl Iterator<Item = (&'static str, &Setting)> {
        self.0.iter().map(|(path, setting)| (*path, setting))
    }

    /// The text at a path, unless it is empty or no text.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        match &self.get(path)?.value {
            ValueKind::String(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Whether something was said about a key. An empty text says nothing, nor does YAML's key without a value.
    pub(super) fn says(&self, path: &str) -> bool {
        self.get(path).is_some_and(|setting| match &setting.value {
            ValueKind::String(text) => !text.is_empty(),
            ValueKind::Nil => false,
            _ => true,
        })
    }

    /// Puts a stronger layer over this one. A URL in it takes the place of a file with one below, and the other way
    /// round.
    pub(super) fn put_over(&mut self, stronger: &Self) {
        for (one, other) in [("database", "database_file"), ("database_file", "database")] {
            if stronger.text(one).is_some() && stronger.get(other).is_none() {
                self.0.remove(other);
            }
        }
        self.0
            .extend(stronger.0.iter().map(|(path, setting)| (*path, setting.clone())));
    }
}

/// The defaults of a scope.
pub(super) fn defaults(scope: Scope) -> Layer {
    let of_scope = keys::KEYS.iter().filter(|key| key.scope == scope);
    let lines = of_scope.filter_map(|key| Some(format!("{} = {}\n", key.path, key.default()?)));
    let table =
        parse(&lines.collect::<String>(), FileFormat::Toml).expect("the table of keys spells its defaults in TOML");
    flatten(scope, &table, "default", &mut Vec::new())
}

/// A preset as a layer.
pub(super) fn preset(name: &str) -> Option<Layer> {
    let table = parse(super::preset::text_of(name)?, FileFormat::Toml).expect("presets are compiled in and tested");
    let origin = format!("preset {name}");
    Some(flatten(Scope::Watch, &table, &origin, &mut Vec::new()))
}

/// Reads a file: YAML by its ending `.yaml` or `.yml`, TOML otherwise.
pub(super) fn read(key: &str, path: &Path) -> Result<Table, ConfigError> {
    let unreadable = |reason: String| ConfigError::Unreadable {
        key: key.to_owned(),
        path: path.to_owned(),
        reason,
    };
    let bytes = files::read(path, files::MOST_BYTES).map_err(|error| unreadable(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".to_owned()))?;
    let is_yaml = path
        .extension()
        .is_some_and(|ending| ending == "yaml" || ending == "yml");
    let (format, name) = if is_yaml {
        (FileFormat::Yaml, "YAML")
    } else {
        (FileFormat::Toml, "TOML")
    };
    parse(&text, format).map_err(|reason| ConfigError::Unparsable {
        path: path.to_owned(),
        format: name,
        reason,
    })
}

fn parse(text: &str, format: FileFormat) -> Result<Table, String> {
    let document = files::parse(text, format)?;
    document.collect().map_err(|error| files::problem_of(&error))
}

/// One value as TOML writes it, such as a table in braces.
pub(super) fn inline(text: &str) -> Option<ValueKind> {
    const NAME: &str = "value";
    let mut table = parse(&format!("{NAME} = {text}\n"), FileFormat::Toml).ok()?;
    let value = table.remove(NAME)?.kind;
    table.is_empty().then_some(value)
}

/// Sorts a table's keys into a layer.
pub(super) fn flatten(scope: Scope, table: &Table, origin: &str, mistakes: &mut Vec<ConfigError>) -> Layer {
    let mut layer = Layer::default();
    let mut pending: Vec<(String, &Table)> = vec![(String::new(), table)];
    let mut unknown = Vec::new();
    while let Some((prefix, table)) = pending.pop() {
        for (name, value) in table {
            let path = format!("{prefix}{name}");
            if let Some(key) = keys::find(scope, &path) {
                layer.set(key, value.kind.clone(), origin);
            } else if keys::is_section(scope, &path) {
                match &value.kind {
                    ValueKind::Table(inner) => pending.push((format!("{path}."), inner)),
                    other => unknown.push(ConfigError::Value {
                        key: path.clone(),
                        origin: origin.to_owned(),
                        given: Some(given(other)),
                        expected: format!("a table with {}", names_below(scope, &format!("{path}."))),
                    }),
                }
            } else {
                unknown.push(ConfigError::UnknownKey {
                    key: shown_key(&path),
                    origin: origin.to_owned(),
                    remedy: remedy_unknown(scope, &path),
                });
            }
        }
    }
    // Tables have no order; people read one message after the other.
    unknown.sort_by_key(ToString::to_string);
    mistakes.append(&mut unknown);
    layer
}

/// Where an unknown key belongs, or what was meant.
fn remedy_unknown(scope: Scope, path: &str) -> String {
    let leaf = path.rsplit('.').next().unwrap_or(path);
    let same_leaf = |key: &&Key| key.path.rsplit('.').next() == Some(leaf);
    if let Some(key) = keys::KEYS.iter().filter(same_leaf).max_by_key(|key| key.scope == scope) {
        return format!("it belongs {}", place_of(key));
    }
    if let Some(meant) = nearest_path(scope, path) {
        return format!("did you mean {meant}?");
    }
    let prefix = path.strip_suffix(leaf).unwrap_or_default();
    format!("known here: {}", names_below(scope, prefix))
}

fn place_of(key: &Key) -> String {
    match (key.scope, key.path.rsplit_once('.')) {
        (Scope::Program, _) => "at the top of the file, outside of [[watch]]".to_owned(),
        (Scope::Watch, None) => "in a [[watch]]".to_owned(),
        (Scope::Watch, Some((section, _))) => format!("in [watch.{section}]"),
    }
}

/// The known path that is nearest, also by its last part alone.
pub(super) fn nearest_path(scope: Scope, path: &str) -> Option<&'static str> {
    let of_scope = || {
        let keys = keys::KEYS.iter().filter(move |key| key.scope == scope);
        keys.map(|key| key.path)
    };
    let leaf = |path: &'static str| path.rsplit('.').next().unwrap_or(path);
    nearest(path, of_scope()).or_else(|| {
        let meant = nearest(path.rsplit('.').next().unwrap_or(path), of_scope().map(leaf))?;
        of_scope().find(|known| leaf(known) == meant)
    })
}

fn names_below(scope: Scope, prefix: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for key in keys::KEYS.iter().filter(|key| key.scope == scope) {
        let name = key.path.strip_prefix(prefix).and_then(|rest| rest.split('.').next());
        if let Some(name) = name.filter(|name| !names.contains(name)) {
            names.push(name);
        }
    }
    if scope == Scope::Program {
        names.push("watch");
    }
    names.join(", ")
}

/// A text of the environment or a flag as a file would hold it. What does not fit its kind stays a text, and is refused
/// with it.
pub(super) fn from_text(kind: Kind, text: &str) -> ValueKind {
    let same = || ValueKind::String(text.to_owned());
    match kind {
        Kind::Texts => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            ValueKind::Array(parts.map(|part| Value::new(None, part)).collect())
        }
        Kind::Switch => text.parse().map_or_else(|_| same(), ValueKind::Boolean),
        Kind::Count(..) => text.parse().map_or_else(|_| same(), ValueKind::I64),
        Kind::Share(..) => text.parse().map_or_else(|_| same(), ValueKind::Float),
        Kind::Text
        | Kind::Noun
        | Kind::Time
        | Kind::Conditions
        | Kind::Assignments
        | Kind::Arguments
        | Kind::Secret
        | Kind::Address
        | Kind::Choice(_)
        | Kind::Span(..) => same(),
    }
}
