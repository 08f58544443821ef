//! Values of one kind each: from what a source says to a typed value, or a mistake that says what was expected.
//!
//! Owns ranges and forms of single values; what must fit together is in `rules`.

use super::ConfigError;
use super::keys::{self, Fallback, Key, Kind, Scope, WITHOUT_HEARTBEAT};
use super::layers::{Layer, Setting};
use super::text::given;
use super::types::{LogFormat, LogLevel};
use crate::domain::{Action, DiscoverySetting, TimeFormat};
use crate::nearest::nearest;
use ::config::ValueKind;
use std::net::SocketAddr;
use std::time::Duration;

/// Typed values out of a merged layer.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    /// Whose keys they are.
    pub(super) scope: Scope,
    /// Stands before each key in messages.
    pub(super) label: &'a str,
    pub(super) layer: &'a Layer,
}

impl Reader<'_> {
    /// The key as the user knows it.
    pub(super) fn full_key(&self, path: &str) -> String {
        format!("{}{path}", self.label)
    }

    /// Where the value of a key came from.
    pub(super) fn origin(&self, path: &str) -> &str {
        self.layer.get(path).map_or("default", |setting| &setting.origin)
    }

    /// The value of a key; `None` where there is nothing, and where it is a mistake.
    pub(super) fn get<T: FromValue>(&self, path: &'static str) -> Option<T> {
        let key = keys::find(self.scope, path).expect("the program asks for keys of its own table only");
        T::from_value(key, &self.setting(key)?.value)
    }

    /// Every value that is not what its key expects, and every key that needs one and has none.
    pub(super) fn mistakes(&self) -> Vec<ConfigError> {
        let keys = keys::KEYS.iter().filter(|key| key.scope == self.scope);
        keys.filter_map(|key| self.mistake(key)).collect()
    }

    /// What is said about a key, unless it says that the thing is left out.
    fn setting(&self, key: &Key) -> Option<&Setting> {
        self.layer.get(key.path).filter(|setting| match &setting.value {
            ValueKind::String(text) => !text.is_empty() || !key.is_optional(),
            ValueKind::Nil => !key.is_optional(),
            _ => true,
        })
    }

    fn mistake(&self, key: &Key) -> Option<ConfigError> {
        let full_key = self.full_key(key.path);
        match (self.setting(key), key.fallback) {
            (Some(setting), _) if is_of_kind(key, &setting.value) => None,
            (Some(setting), _) => Some(ConfigError::Value {
                key: full_key,
                origin: setting.origin.clone(),
                given: (key.kind != Kind::Secret).then(|| given(&setting.value)),
                expected: expected(key, &setting.value),
            }),
            (None, Fallback::Needed(example)) => {
                let without = match key.path {
                    "table.last_heartbeat_at" => format!("; {WITHOUT_HEARTBEAT}"),
                    _ => String::new(),
                };
                let path = key.path;
                let remedy = format!("set it (for example {path} = {example}), or take a preset{without}");
                Some(ConfigError::Missing { key: full_key, remedy })
            }
            (None, _) => None,
        }
    }
}

fn is_of_kind(key: &Key, value: &ValueKind) -> bool {
    fn reads<T: FromValue>(key: &Key, value: &ValueKind) -> bool {
        T::from_value(key, value).is_some()
    }
    match key.kind {
        Kind::Text | Kind::Secret => reads::<String>(key, value),
        Kind::Address => reads::<SocketAddr>(key, value),
        Kind::Texts => reads::<Vec<String>>(key, value),
        Kind::Switch => reads::<bool>(key, value),
        Kind::Choice(words) => text_of(value).is_some_and(|text| words.contains(&text)),
        Kind::Span(..) => reads::<Duration>(key, value),
        Kind::Count(..) => reads::<u32>(key, value),
        Kind::Share(..) => reads::<f64>(key, value),
    }
}

fn text_of(value: &ValueKind) -> Option<&str> {
    match value {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

/// A type that the value of a key is read as.
pub(super) trait FromValue: Sized {
    /// The value, unless it is none of this type, or out of the key's bounds.
    fn from_value(key: &Key, value: &ValueKind) -> Option<Self>;
}

impl FromValue for String {
    fn from_value(_: &Key, value: &ValueKind) -> Option<Self> {
        let text = text_of(value)?;
        (!text.trim().is_empty() && !text.contains('\0')).then(|| text.to_owned())
    }
}

/// A list of texts without doubles.
impl FromValue for Vec<String> {
    fn from_value(key: &Key, value: &ValueKind) -> Option<Self> {
        let ValueKind::Array(items) = value else { return None };
        let mut texts = Self::new();
        for item in items {
            let text = text_of(&item.kind).filter(|text| !text.is_empty())?.to_owned();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let may_be_empty = matches!(key.fallback, Fallback::Value(_));
        (may_be_empty || !texts.is_empty()).then_some(texts)
    }
}

impl FromValue for bool {
    fn from_value(_: &Key, value: &ValueKind) -> Option<Self> {
        match value {
            ValueKind::Boolean(value) => Some(*value),
            _ => None,
        }
    }
}

impl FromValue for Duration {
    fn from_value(key: &Key, value: &ValueKind) -> Option<Self> {
        let Kind::Span(least, most) = key.kind else { return None };
        // The parser of the crate takes a lone 0; everything else needs a unit.
        let span = humantime::parse_duration(text_of(value)?.trim()).ok()?;
        (least..=most).contains(&span).then_some(span)
    }
}

impl FromValue for u32 {
    fn from_value(key: &Key, value: &ValueKind) -> Option<Self> {
        let (Kind::Count(least, most), ValueKind::I64(count)) = (key.kind, value) else {
            return None;
        };
        Self::try_from(*count)
            .ok()
            .filter(|count| (least..=most).contains(count))
    }
}

impl FromValue for f64 {
    fn from_value(key: &Key, value: &ValueKind) -> Option<Self> {
        let Kind::Share(least, most) = key.kind else {
            return None;
        };
        let share = match value {
            ValueKind::Float(share) => *share,
            ValueKind::I64(0) => 0.0,
            ValueKind::I64(1) => 1.0,
            _ => return None,
        };
        (least..=most).contains(&share).then_some(share)
    }
}

impl FromValue for SocketAddr {
    fn from_value(_: &Key, value: &ValueKind) -> Option<Self> {
        text_of(value)?.trim().parse().ok()
    }
}

/// Reads settings of a few words by their spellings.
macro_rules! by_spelling {
    ($($choice:ty),+) => {$(
        impl FromValue for $choice {
            fn from_value(_: &Key, value: &ValueKind) -> Option<Self> {
                Self::from_spelling(text_of(value)?)
            }
        }
    )+};
}

by_spelling!(Action, DiscoverySetting, LogFormat, LogLevel, TimeFormat);

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
            let meant = text_of(value).and_then(|text| nearest(text, words.iter().copied()));
            let meant = meant.map_or_else(String::new, |word| format!("; did you mean {word}?"));
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
