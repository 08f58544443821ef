//! The variables `BEATWARDEN__...`: which key each of them sets, and of which watch.
//!
//! Owns the names of the variables. Reads nothing on its own: the variables are handed in.

use super::ConfigError;
use super::keys::{self, Fallback, Key, Kind, Scope};
use super::layers::{Layer, from_text, inline, nearest_path};
use super::text::{printable, shown, shown_key};
use crate::nearest::nearest;
use ::config::ValueKind;
use std::path::PathBuf;

/// Two underscores: an orchestrator sets `BEATWARDEN_PORT` and the like on its own for a service of that name.
pub(super) const PREFIX: &str = "BEATWARDEN__";
const WATCH_PREFIX: &str = "WATCH__";

/// Keys of a watch that have a short name, for the one watch of a program without a file.
const TWINS: &[(&str, &str)] = &[
    ("database", "database"),
    ("database_file", "database_file"),
    ("preset", "preset"),
    ("poll_interval", "poll_interval"),
    ("init_deadline", "init_deadline"),
    ("heartbeat_timeout", "heartbeat_timeout"),
    ("missed_first", "repair.missed_first"),
];

/// The keys that have a variable and a flag of their own, by the names of these.
pub(super) fn short_keys() -> impl Iterator<Item = (&'static str, &'static Key)> {
    let program = keys::KEYS.iter().filter(|key| key.scope == Scope::Program);
    let twins = TWINS
        .iter()
        .filter_map(|(name, path)| Some((*name, keys::find(Scope::Watch, path)?)));
    program.map(|key| (key.path, key)).chain(twins)
}

/// One `BEATWARDEN__WATCH__<NAME>__<KEY>`, before the watch is known.
struct Overlay {
    variable: String,
    rest: String,
    text: String,
}

/// The variables, sorted by what they set.
#[derive(Default)]
pub(super) struct Environment {
    /// The file named by `BEATWARDEN__CONFIG`.
    pub(super) file: Option<PathBuf>,
    pub(super) program: Layer,
    /// Keys of the single watch.
    pub(super) single: Layer,
    /// What to say of variables that are not read, and that were probably meant for us.
    pub(super) unread: Vec<String>,
    overlays: Vec<Overlay>,
}

impl Environment {
    /// Sorts the variables that begin with our prefix; all others are none of our business.
    pub(super) fn sort(variables: &[(String, String)], mistakes: &mut Vec<ConfigError>) -> Self {
        let mut sorted = Self {
            unread: misspelt(variables),
            ..Self::default()
        };
        let mut ours: Vec<_> = variables
            .iter()
            .filter_map(|(variable, text)| Some((variable, variable.strip_prefix(PREFIX)?, text)))
            .collect();
        ours.sort();
        for (variable, rest, text) in ours {
            let origin = format!("environment {variable}");
            if rest == "CONFIG" {
                sorted.file = (!text.is_empty()).then(|| PathBuf::from(text));
            } else if let Some(rest) = rest.strip_prefix(WATCH_PREFIX) {
                let (variable, rest, text) = (variable.clone(), rest.to_owned(), text.clone());
                sorted.overlays.push(Overlay { variable, rest, text });
            } else if let Some((_, key)) = short_keys().find(|(name, _)| rest == name.to_uppercase()) {
                let layer = match key.scope {
                    Scope::Program => &mut sorted.program,
                    Scope::Watch => &mut sorted.single,
                };
                layer.set(key, from_text(key.kind, text), &origin);
            } else {
                mistakes.push(unknown(variable, remedy_top(rest)));
            }
        }
        sorted
    }

    /// The overlay of each of the named watches, in their order.
    pub(super) fn overlays_of(&self, names: &[String], mistakes: &mut Vec<ConfigError>) -> Vec<Layer> {
        let spelled: Vec<String> = names.iter().map(|name| format!("{}__", spelling_of(name))).collect();
        let mut layers = vec![Layer::default(); names.len()];
        for overlay in &self.overlays {
            // A name may itself hold two underscores: the longest one that fits is meant.
            let fits = spelled.iter().filter(|name| overlay.rest.starts_with(*name));
            let Some(best) = fits.max_by_key(|name| name.len()) else {
                mistakes.push(unknown(&overlay.variable, remedy_watch(&overlay.rest, names)));
                continue;
            };
            let meant: Vec<usize> = (0..names.len()).filter(|at| spelled[*at] == *best).collect();
            if meant.len() > 1 && names[meant[0]] != names[meant[1]] {
                mistakes.push(ConfigError::Conflict {
                    key: overlay.variable.clone(),
                    problem: format!("it means both watch {} and watch {}", names[meant[0]], names[meant[1]]),
                    remedy: "rename one of them".to_owned(),
                });
                continue;
            }
            match key_of(&overlay.rest[best.len()..]) {
                Ok(key) => {
                    let origin = format!("environment {}", overlay.variable);
                    match of_variable(key, &overlay.text) {
                        Some(value) => layers[meant[0]].set(key, value, &origin),
                        None => mistakes.push(ConfigError::Value {
                            key: printable(&overlay.variable),
                            origin: "environment".to_owned(),
                            given: Some(shown(&overlay.text)),
                            expected: format!("one value as TOML writes it, such as {}", example_of(key)),
                        }),
                    }
                }
                Err(meant) => {
                    let remedy = match meant {
                        Some(path) => format!("did you mean {PREFIX}{WATCH_PREFIX}{best}{}?", variable_of(path)),
                        None => "expected a key of [[watch]] other than name, nested keys by __".to_owned(),
                    };
                    mistakes.push(unknown(&overlay.variable, remedy));
                }
            }
        }
        layers
    }
}

/// What a variable says: a table or a list in TOML where the key may hold one, else a text. Nothing where that is no TOML.
fn of_variable(key: &Key, text: &str) -> Option<ValueKind> {
    let may_hold_more = matches!(
        key.kind,
        Kind::Time | Kind::Conditions | Kind::Assignments | Kind::Arguments
    );
    match may_hold_more && text.trim_start().starts_with(['{', '[']) {
        true => inline(text),
        false => Some(from_text(key.kind, text)),
    }
}

/// An example of a table or list under this key.
fn example_of(key: &Key) -> &'static str {
    match (key.kind, key.fallback) {
        (Kind::Time, _) => r#"{ table = "heartbeats", key = "job_id", column = "beat_at" }"#,
        (_, Fallback::Value(example) | Fallback::Nothing(example) | Fallback::Needed(example)) => example,
    }
}

/// A warning for each variable that is spelt like one of ours, but for underscores and case. Others with that beginning are
/// none of our business: an orchestrator sets them.
fn misspelt(variables: &[(String, String)]) -> Vec<String> {
    let alike = |name: &str| {
        let upper = name.to_ascii_uppercase();
        let words = upper.split(|letter: char| !letter.is_ascii_alphanumeric());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
    };
    let mut known: Vec<String> = known_top().iter().map(|name| format!("{PREFIX}{name}")).collect();
    known.sort();
    let of_watch = |name: &str| {
        let rest = name.strip_prefix("BEATWARDEN_WATCH_")?;
        let ends = |key: &&Key| {
            key.scope == Scope::Watch
                && rest
                    .strip_suffix(&alike(key.path))
                    .is_some_and(|before| before.len() > 1 && before.ends_with('_'))
        };
        let key = keys::KEYS.iter().filter(ends).max_by_key(|key| key.path.len())?;
        Some(format!("{PREFIX}{WATCH_PREFIX}<NAME>__{}", variable_of(key.path)))
    };
    let mut warnings: Vec<String> = variables
        .iter()
        .filter(|(name, _)| !name.starts_with(PREFIX))
        .filter_map(|(name, value)| {
            let alike_name = alike(name);
            let meant = known.iter().find(|known| alike(known) == alike_name).cloned();
            let meant = meant.or_else(|| of_watch(&alike_name))?;
            // Meltano gives a plugin each of its settings under a name of its own, too.
            if variables.iter().any(|(other, same)| *other == meant && same == value) {
                return None;
            }
            Some(format!(
                "the variable {} is not read; did you mean {meant}?",
                shown_key(name)
            ))
        })
        .collect();
    warnings.sort();
    warnings
}

/// How variables spell the name of a watch.
pub(super) fn spelling_of(name: &str) -> String {
    name.to_ascii_uppercase()
        .replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

/// How variables spell the path of a key.
pub(super) fn variable_of(path: &str) -> String {
    path.to_uppercase().replace('.', "__")
}

/// The key that the last part of a variable names, or the path that was probably meant. The name of a watch is no such
/// key: it is what finds the watch.
fn key_of(rest: &str) -> Result<&'static Key, Option<&'static str>> {
    let known = keys::KEYS
        .iter()
        .filter(|key| key.scope == Scope::Watch && key.path != "name");
    let mut known = known.filter(|key| variable_of(key.path) == rest);
    let meant = || nearest_path(Scope::Watch, &rest.to_lowercase().replace("__", ".")).filter(|path| *path != "name");
    known.next().ok_or_else(meant)
}

fn unknown(variable: &str, remedy: String) -> ConfigError {
    ConfigError::UnknownKey {
        key: shown_key(variable),
        origin: "environment".to_owned(),
        remedy,
    }
}

/// What may stand right behind the prefix.
fn known_top() -> Vec<String> {
    let names = short_keys().map(|(name, _)| name);
    names.chain(["config"]).map(str::to_uppercase).collect()
}

fn remedy_top(rest: &str) -> String {
    let known = known_top();
    if let Some(meant) = nearest(rest, known.iter().map(String::as_str)) {
        return format!("did you mean {PREFIX}{meant}?");
    }
    match key_of(rest) {
        Ok(_) => format!("it belongs to a watch: {PREFIX}{WATCH_PREFIX}<NAME>__{rest}"),
        Err(_) => format!("known are {}, and {WATCH_PREFIX}<NAME>__<KEY>", known.join(", ")),
    }
}

fn remedy_watch(rest: &str, names: &[String]) -> String {
    let spelled: Vec<String> = names.iter().map(|name| spelling_of(name)).collect();
    let given = rest.split("__").next().unwrap_or(rest);
    let meant = nearest(given, spelled.iter().map(String::as_str)).filter(|meant| *meant != given);
    match meant {
        Some(meant) => format!("did you mean {PREFIX}{WATCH_PREFIX}{meant}__...?"),
        None if names.is_empty() => "there is no watch".to_owned(),
        None => format!(
            "expected {PREFIX}{WATCH_PREFIX}<NAME>__<KEY> with <NAME> one of {}",
            spelled.join(", ")
        ),
    }
}
