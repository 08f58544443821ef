//! What can be wrong with a configuration, in words that say how to fix it.
//!
//! Owns the messages' form; who finds which mistake is in `layers`, `validate` and `url`. No message ever holds a
//! secret: those who make one leave the value out.

use super::text::shown;
use std::path::PathBuf;

/// One mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value is not what its key expects.
    #[error("{key}{} ({origin}): expected {expected}", shown_given(given.as_deref()))]
    Value {
        /// The full key, such as `watch.meltano.poll_interval`.
        key: String,
        /// Where the value came from.
        origin: String,
        /// What was given; `None` for a secret.
        given: Option<String>,
        /// What is expected, with an example where the form is not obvious.
        expected: String,
    },
    /// No such key.
    #[error("{key} ({origin}): no such key; {remedy}")]
    UnknownKey {
        /// The key as it was written.
        key: String,
        /// Where it was found.
        origin: String,
        /// The nearest known key, or where such a key belongs.
        remedy: String,
    },
    /// A value that is needed was given nowhere.
    #[error("{key}: missing; {remedy}")]
    Missing {
        /// The full key.
        key: String,
        /// How to give it.
        remedy: String,
    },
    /// Values that are good alone and bad together, or a source that may not set a key.
    #[error("{key}: {problem}; {remedy}")]
    Conflict {
        /// The full key, flag or variable.
        key: String,
        /// What does not fit.
        problem: String,
        /// How to fix it.
        remedy: String,
    },
    /// A file that the configuration names, or the configuration itself, can't be read.
    #[error("{key}: can't read {}: {reason}", shown(&path.to_string_lossy()))]
    Unreadable {
        /// The key or flag that names the file.
        key: String,
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// The file is no TOML or YAML.
    #[error("{} is not valid {format}: {reason}", shown(&path.to_string_lossy()))]
    Unparsable {
        /// The file.
        path: PathBuf,
        /// `TOML` or `YAML`.
        format: &'static str,
        /// Line, column and reason, without the text of the line: it may hold a password.
        reason: String,
    },
    /// A database URL that can't be used; never shows the URL.
    #[error("{key}: {problem}")]
    Database {
        /// The full key that holds the URL, or the file's.
        key: String,
        /// What is wrong and what is expected.
        problem: String,
    },
}

impl ConfigError {
    /// The same mistake under the full key: for those that were found without knowing whose key it is.
    pub(super) fn of_key(mut self, full_key: String) -> Self {
        if let Self::Unreadable { key, .. } | Self::Database { key, .. } = &mut self {
            *key = full_key;
        }
        self
    }

    /// The same mistake with `label` before its key.
    pub(super) fn below(mut self, label: &str) -> Self {
        if let Self::Value { key, .. } | Self::UnknownKey { key, .. } = &mut self {
            key.insert_str(0, label);
        }
        self
    }
}

fn shown_given(given: Option<&str>) -> String {
    given.map_or_else(String::new, |given| format!(" = {given}"))
}

/// Every mistake of a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", self.head(), self.0.iter().map(|mistake| format!("\n  {mistake}")).collect::<String>())]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// How many there are, as the head of a list.
    pub fn head(&self) -> String {
        let count = self.0.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        format!("{count} {noun} in the configuration:")
    }
}
