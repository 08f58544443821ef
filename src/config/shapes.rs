//! Values with a shape of their own: a time that may stand in another table, and the conditions that rows have to meet.
//!
//! Owns the keys inside such a value, which no layer below can set alone: a source that gives the value gives all of it.

use super::ConfigError;
use super::layers::{Setting, Table};
use super::text::{given, shown_key};
use super::validate::{Reader, misnamed};
use crate::domain::{TimeFormat, ValueTest};
use crate::mapping::{Condition, Elsewhere, Identifier, IdentifierError, Naming, TimeSource};
use crate::nearest::nearest;
use ::config::ValueKind;

/// The keys of a time that is a table.
const TIME_KEYS: &[&str] = &[
    "column",
    "table",
    "key",
    "match",
    "match_prefix",
    "where",
    "time_format",
    "time_zone",
];

impl Reader<'_> {
    /// A time: the name of a column, or a table that says where it stands.
    pub(super) fn time(&mut self, path: &'static str) -> Option<TimeSource> {
        let (key, setting) = self.setting(path)?;
        match &setting.value {
            ValueKind::String(text) if is_text(text) => {
                let column = self.naming.column(text);
                self.named(path, column).map(TimeSource::from)
            }
            ValueKind::Table(table) => Inside::of(self, path, setting).time(table),
            _ => {
                let expected = "the name of a column, or a table with column and, where the time is in another table, with table \
                                and key";
                self.refuse(key, setting, expected.to_owned());
                None
            }
        }
    }

    /// The conditions that rows have to meet; none where nothing is said.
    pub(super) fn conditions(&mut self, path: &'static str) -> Option<Vec<Condition>> {
        let Some((_, setting)) = self.setting(path) else {
            return Some(Vec::new());
        };
        Inside::of(self, path, setting).conditions("", &setting.value)
    }
}

fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains('\0')
}

/// The inside of one value, and where its mistakes are kept.
struct Inside<'a> {
    path: String,
    origin: &'a str,
    naming: Naming,
    /// The key of the job table, if it can be read.
    id: Option<Identifier>,
    mistakes: &'a mut Vec<ConfigError>,
}

impl<'a> Inside<'a> {
    fn of(reader: &'a mut Reader<'_>, path: &str, setting: &'a Setting) -> Self {
        Self {
            path: reader.full_key(path),
            origin: &setting.origin,
            naming: reader.naming,
            id: reader.id(),
            mistakes: &mut reader.mistakes,
        }
    }

    fn refuse(&mut self, key: &str, value: &ValueKind, expected: &str) {
        self.mistakes.push(ConfigError::Value {
            key: self.key(key),
            origin: self.origin.to_owned(),
            given: Some(given(value)),
            expected: expected.to_owned(),
        });
    }

    fn key(&self, key: &str) -> String {
        match key {
            "" => self.path.clone(),
            inner => format!("{}.{}", self.path, shown_key(inner)),
        }
    }

    fn time(mut self, table: &Table) -> Option<TimeSource> {
        let before = self.mistakes.len();
        self.only_known(table);
        let column = self.column(table, "column");
        let other = self.text(table, "table");
        let other = other.and_then(|text| self.named("table", self.naming.table(&text)));
        let key = self.column(table, "key");
        let matching = self.column(table, "match").or(self.id.take());
        let prefix = self.text(table, "match_prefix");
        let conditions = match table.get("where") {
            Some(value) => self.conditions("where", &value.kind),
            None => Some(Vec::new()),
        };
        let format = self.format(table);
        let zone = self.text(table, "time_zone");
        if column.is_none() && !table.contains_key("column") {
            self.missing("column", "\"heartbeat\"");
        }
        let elsewhere = if table.contains_key("table") {
            if !table.contains_key("key") {
                self.missing("key", "\"job_id\"");
            }
            // Where one of them is missing, that is a mistake of its own.
            other.zip(key).zip(matching).map(|((table, key), matching)| Elsewhere {
                table,
                key,
                matching,
                prefix,
                conditions: conditions.unwrap_or_default(),
            })
        } else {
            for of_table in ["key", "match", "match_prefix", "where"] {
                if table.contains_key(of_table) {
                    self.mistakes.push(ConfigError::Conflict {
                        key: self.key(of_table),
                        problem: "says which rows of another table count, and no table is given".to_owned(),
                        remedy: format!("add table, or leave {of_table} out"),
                    });
                }
            }
            None
        };
        let is_whole = self.mistakes.len() == before && elsewhere.is_some() == table.contains_key("table");
        is_whole.then_some(TimeSource {
            column: column?,
            elsewhere,
            format,
            zone,
        })
    }

    fn missing(&mut self, key: &str, example: &str) {
        self.mistakes.push(ConfigError::Missing {
            key: self.key(key),
            remedy: format!("set it, for example {key} = {example}"),
        });
    }

    fn only_known(&mut self, table: &Table) {
        let mut unknown: Vec<&String> = table.keys().filter(|key| !TIME_KEYS.contains(&key.as_str())).collect();
        unknown.sort();
        for key in unknown {
            let remedy = match nearest(key, TIME_KEYS.iter().copied()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("known here: {}", TIME_KEYS.join(", ")),
            };
            self.mistakes.push(ConfigError::UnknownKey {
                key: self.key(key),
                origin: self.origin.to_owned(),
                remedy,
            });
        }
    }

    fn text(&mut self, table: &Table, key: &str) -> Option<String> {
        let value = &table.get(key)?.kind;
        match value {
            ValueKind::String(text) if is_text(text) => Some(text.clone()),
            other => {
                self.refuse(key, other, "a text that is not empty");
                None
            }
        }
    }

    fn column(&mut self, table: &Table, key: &str) -> Option<Identifier> {
        let text = self.text(table, key)?;
        self.named(key, self.naming.column(&text))
    }

    fn named<T>(&mut self, key: &str, name: Result<T, IdentifierError>) -> Option<T> {
        let key = format!("{} ({})", self.key(key), self.origin);
        name.map_err(|error| self.mistakes.push(misnamed(key, &error))).ok()
    }

    fn format(&mut self, table: &Table) -> Option<TimeFormat> {
        let value = &table.get("time_format")?.kind;
        let format = match value {
            ValueKind::String(text) => TimeFormat::from_spelling(text),
            _ => None,
        };
        if format.is_none() {
            let expected = format!("one of {}", TimeFormat::SPELLINGS.join(", "));
            self.refuse("time_format", value, &expected);
        }
        format
    }

    /// Conditions, in the order of their columns.
    fn conditions(&mut self, key: &str, value: &ValueKind) -> Option<Vec<Condition>> {
        let ValueKind::Table(table) = value else {
            self.refuse(
                key,
                value,
                r#"a table of columns, such as { deleted_at = "null", type = ["import"] }"#,
            );
            return None;
        };
        let mut columns: Vec<&String> = table.keys().collect();
        columns.sort();
        let mut conditions = Vec::with_capacity(columns.len());
        for column in columns {
            let inner = if key.is_empty() {
                column.clone()
            } else {
                format!("{key}.{column}")
            };
            let value = &table[column].kind;
            let Some(test) = test_of(value) else {
                let expected = r#""null", "set", or a list with at least one value, such as ["import", "export"]"#;
                self.refuse(&inner, value, expected);
                return None;
            };
            let column = self.named(key, self.naming.column(column))?;
            conditions.push(Condition { column, test });
        }
        Some(conditions)
    }
}

/// What a column has to hold.
fn test_of(value: &ValueKind) -> Option<ValueTest> {
    match value {
        ValueKind::String(word) if word == "null" => Some(ValueTest::Null),
        ValueKind::String(word) if word == "set" => Some(ValueTest::Set),
        ValueKind::Array(items) if !items.is_empty() => {
            let texts: Option<Vec<String>> = items.iter().map(|item| value_of(&item.kind)).collect();
            texts.map(ValueTest::OneOf)
        }
        _ => None,
    }
}

/// A value in the text form of its type.
fn value_of(value: &ValueKind) -> Option<String> {
    match value {
        ValueKind::String(text) if !text.contains('\0') => Some(text.clone()),
        ValueKind::Boolean(value) => Some(value.to_string()),
        ValueKind::I64(value) => Some(value.to_string()),
        _ => None,
    }
}
