//! Values of one kind each: from what a source says to a typed value, or a mistake that says what was expected.
//!
//! Owns ranges and forms of single values; what must fit together is in `rules`.

use super::ConfigError;
use super::keys::{self, Fallback, Key, Kind, Scope};
use super::layers::{Layer, Setting};
use super::text::{given, shown};
use crate::domain::Noun;
use crate::mapping::{Identifier, IdentifierError, LONGEST_NAME, Naming, TableName};
use crate::nearest::did_you_mean;
use ::config::ValueKind;
use std::net::SocketAddr;
use std::time::Duration;

/// Reads typed values out of a merged layer, and keeps every mistake on the way.
///
/// Each method gives `None` where there is nothing, and where a mistake was kept.
pub(super) struct Reader<'a> {
    scope: Scope,
    label: &'a str,
    layer: &'a Layer,
    /// What names are like in the watched database.
    pub(super) naming: Naming,
    /// Every mistake so far.
    pub(super) mistakes: Vec<ConfigError>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(scope: Scope, label: &'a str, layer: &'a Layer) -> Self {
        Self {
            scope,
            label,
            layer,
            naming: Naming::OfAFile,
            mistakes: Vec::new(),
        }
    }

    /// The key as the user knows it.
    pub(super) fn full_key(&self, path: &str) -> String {
        format!("{}{path}", self.label)
    }

    /// Where the value of a key came from.
    pub(super) fn origin(&self, path: &str) -> &str {
        self.layer.get(path).map_or("default", |setting| &setting.origin)
    }

    pub(super) fn setting(&mut self, path: &'static str) -> Option<(&'static Key, &'a Setting)> {
        let key = keys::find(self.scope, path).expect("the program asks for keys of its own table only");
        let setting = self.layer.get(path);
        let is_left_out = setting.is_none_or(|setting| match &setting.value {
            ValueKind::String(text) => text.is_empty() && key.is_optional(),
            ValueKind::Nil => key.is_optional(),
            _ => false,
        });
        if !is_left_out {
            return setting.map(|setting| (key, setting));
        }
        if let Fallback::Needed(example) = key.fallback {
            let remedy = format!("set it (for example {path} = {example}), or take a preset");
            let key = self.full_key(path);
            self.mistakes.push(ConfigError::Missing { key, remedy });
        }
        None
    }

    /// Keeps a mistake about a value.
    pub(super) fn refuse(&mut self, key: &Key, setting: &Setting, expected: String) {
        self.mistakes.push(ConfigError::Value {
            key: self.full_key(key.path),
            origin: setting.origin.clone(),
            given: (key.kind != Kind::Secret).then(|| given(&setting.value)),
            expected,
        });
    }

    fn read<T>(&mut self, path: &'static str, convert: impl FnOnce(&Key, &ValueKind) -> Option<T>) -> Option<T> {
        let (key, setting) = self.setting(path)?;
        let value = convert(key, &setting.value);
        if value.is_none() {
            self.refuse(key, setting, expected(key, &setting.value));
        }
        value
    }

    pub(super) fn text(&mut self, path: &'static str) -> Option<String> {
        self.read(path, |_, value| match value {
            ValueKind::String(text) if !text.trim().is_empty() && !text.contains('\0') => Some(text.clone()),
            _ => None,
        })
    }

    /// The name of a column.
    pub(super) fn column(&mut self, path: &'static str) -> Option<Identifier> {
        let name = self.naming.column(&self.text(path)?);
        self.named(path, name)
    }

    /// The name of a table, or of a function.
    pub(super) fn table(&mut self, path: &'static str) -> Option<TableName> {
        let name = self.naming.table(&self.text(path)?);
        self.named(path, name)
    }

    /// The key of the job table, without a word about its own mistakes.
    pub(super) fn id(&self) -> Option<Identifier> {
        self.naming.column(self.layer.text("table.id")?).ok()
    }

    pub(super) fn named<T>(&mut self, path: &str, name: Result<T, IdentifierError>) -> Option<T> {
        let key = format!("{} ({})", self.full_key(path), self.origin(path));
        name.map_err(|error| self.mistakes.push(misnamed(key, &error))).ok()
    }

    pub(super) fn noun(&mut self, path: &'static str) -> Option<Noun> {
        self.read(path, |_, value| match value {
            ValueKind::String(text) => Noun::new(text),
            _ => None,
        })
    }

    /// A list of texts without doubles.
    pub(super) fn texts(&mut self, path: &'static str) -> Option<Vec<String>> {
        self.read(path, |key, value| {
            let ValueKind::Array(items) = value else { return None };
            let mut texts: Vec<String> = Vec::new();
            for item in items {
                match &item.kind {
                    ValueKind::String(text) if texts.contains(text) => {}
                    ValueKind::String(text) if !text.is_empty() => texts.push(text.clone()),
                    _ => return None,
                }
            }
            let may_be_empty = matches!(key.fallback, Fallback::Value(_));
            (may_be_empty || !texts.is_empty()).then_some(texts)
        })
    }

    pub(super) fn switch(&mut self, path: &'static str) -> Option<bool> {
        self.read(path, |_, value| match value {
            ValueKind::Boolean(value) => Some(*value),
            _ => None,
        })
    }

    pub(super) fn choice<T>(&mut self, path: &'static str, from_spelling: fn(&str) -> Option<T>) -> Option<T> {
        self.read(path, |key, value| match (key.kind, value) {
            (Kind::Choice(words), ValueKind::String(text)) => {
                from_spelling(text).filter(|_| words.contains(&text.as_str()))
            }
            _ => None,
        })
    }

    pub(super) fn span(&mut self, path: &'static str) -> Option<Duration> {
        self.read(path, |key, value| match (key.kind, value) {
            (Kind::Span(least, most), ValueKind::String(text)) => {
                // The parser of the crate takes a lone 0; everything else needs a unit.
                let span = humantime::parse_duration(text.trim()).ok()?;
                (least..=most).contains(&span).then_some(span)
            }
            _ => None,
        })
    }

    pub(super) fn count(&mut self, path: &'static str) -> Option<u32> {
        self.read(path, |key, value| match (key.kind, value) {
            (Kind::Count(least, most), ValueKind::I64(count)) => u32::try_from(*count)
                .ok()
                .filter(|count| (least..=most).contains(count)),
            _ => None,
        })
    }

    pub(super) fn share(&mut self, path: &'static str) -> Option<f64> {
        self.read(path, |key, value| {
            let share = match value {
                ValueKind::Float(share) => *share,
                ValueKind::I64(0) => 0.0,
                ValueKind::I64(1) => 1.0,
                _ => return None,
            };
            match key.kind {
                Kind::Share(least, most) => (least..=most).contains(&share).then_some(share),
                _ => None,
            }
        })
    }

    pub(super) fn address(&mut self, path: &'static str) -> Option<SocketAddr> {
        self.read(path, |_, value| match value {
            ValueKind::String(text) => text.trim().parse().ok(),
            _ => None,
        })
    }
}

/// A struct of what is read, or nothing where one thing is missing. All of it is read before: no mistake hides another.
macro_rules! whole {
    ($type:ident { $($field:ident: $read:expr),+ $(,)? }) => {{
        $(let $field = $read;)+
        Some($type { $($field: $field?),+ })
    }};
}
pub(super) use whole;

/// What the database can't take for a name.
pub(super) fn misnamed(key: String, error: &IdentifierError) -> ConfigError {
    let (problem, remedy) = match error {
        IdentifierError::Empty => (
            "has an empty part".to_owned(),
            "expected table, or schema.table".to_owned(),
        ),
        IdentifierError::Control(name) => (
            format!("{} has a control character", shown(name)),
            "no database knows such names; write the name as it is".to_owned(),
        ),
        IdentifierError::TooLong(name) => (
            format!("{} is {} bytes long", shown(name), name.len()),
            format!("PostgreSQL cuts names at {LONGEST_NAME} bytes: write the name as the catalog has it"),
        ),
    };
    ConfigError::Conflict { key, problem, remedy }
}

/// What a key expects, with an example where the form is not obvious.
fn expected(key: &Key, value: &ValueKind) -> String {
    let (Fallback::Value(example) | Fallback::Nothing(example) | Fallback::Needed(example)) = key.fallback;
    match key.kind {
        Kind::Text if key.path == "table.id" && matches!(value, ValueKind::Array(_)) => {
            "the name of one column: keys of several columns are not supported; watch a view that joins them into one, such as \
             SELECT concat_ws('/', dag_id, run_id) AS id, ..., or add a generated column with a unique constraint"
                .to_owned()
        }
        Kind::Text => "a text that is not empty".to_owned(),
        Kind::Noun => format!("a word or a few, of letters, spaces and hyphens and at most {} of them", Noun::LONGEST),
        Kind::Time | Kind::Conditions | Kind::Assignments | Kind::Arguments => format!("a value such as {example}"),
        Kind::Secret => "a text".to_owned(),
        Kind::Address => "an IP address with a port, such as \"127.0.0.1:12328\" or \"0.0.0.0:12328\"".to_owned(),
        Kind::Texts => {
            let (least, example) = match key.fallback {
                Fallback::Needed(example) => ("a list with at least one text", example),
                Fallback::Value(_) | Fallback::Nothing(_) => ("a list of texts", r#"["DONE", "CANCELLED"]"#),
            };
            format!("{least}, such as {example}")
        }
        Kind::Switch => "true or false".to_owned(),
        Kind::Choice(words) => {
            let meant = match value {
                ValueKind::String(text) => did_you_mean(text, words.iter().copied()),
                _ => String::new(),
            };
            format!("one of {}{meant}", words.join(", "))
        }
        Kind::Span(least, most) => {
            format!(
                "a duration with a unit from {} to {}, such as {example}",
                echo(least),
                echo(most)
            )
        }
        Kind::Count(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Share(least, most) => format!("a number from {least} to {most}"),
    }
}

/// A duration as the user would write it.
pub(super) fn echo(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}
