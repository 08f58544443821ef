//! What `fail` writes: the values of its keys, and what must fit together in them.
//!
//! Owns the bounds of what is written. Whether a column takes a value only its database knows.

use super::ConfigError;
use super::rules::Rules;
use super::text::{given, shown, shown_key};
use super::validate::Reader;
use crate::domain::{Argument, Assigned, Literal};
use crate::mapping::{IdentifierError, LONGEST_NAME};
use crate::nearest::nearest;
use ::config::ValueKind;

/// Columns that are set beside state, end and error text; with more, too little of each would be kept for an undo.
const MOST_COLUMNS: usize = 20;
/// Bytes of all values together: they stand in every entry of the ledger.
const MOST_BYTES: usize = 2_000;

impl Reader<'_> {
    /// Columns and what each is set to, in the order of their names.
    pub(super) fn assignments(&mut self, path: &'static str) -> Option<Vec<(String, Assigned)>> {
        let (key, setting) = self.setting(path)?;
        let ValueKind::Table(table) = &setting.value else {
            let expected = "a table of columns, such as { reason = \"{error}\" }".to_owned();
            self.refuse(key, setting, expected);
            return None;
        };
        let mut columns: Vec<(String, Assigned)> = Vec::with_capacity(table.len());
        // Tables have no order.
        let mut names: Vec<&String> = table.keys().collect();
        names.sort();
        for column in names {
            let value = &table[column].kind;
            match word_or_value(
                value,
                &Assigned::WORDS,
                Assigned::from_text,
                Assigned::Literal,
                "column",
            ) {
                Ok(value) => columns.push((column.clone(), value)),
                Err(expected) => self.mistakes.push(ConfigError::Value {
                    key: self.full_key(&format!("{path}.{}", shown_key(column))),
                    origin: setting.origin.clone(),
                    given: Some(given(value)),
                    expected,
                }),
            }
        }
        let literals = columns.iter().filter_map(|(_, value)| match value {
            Assigned::Literal(literal) => Some(literal.text().len()),
            _ => None,
        });
        let bytes: usize = literals.sum();
        if columns.len() > MOST_COLUMNS || bytes > MOST_BYTES {
            let expected = format!("at most {MOST_COLUMNS} columns, and at most {MOST_BYTES} bytes of values together");
            self.refuse(key, setting, expected);
            return None;
        }
        Some(columns)
    }

    /// What a function is given.
    pub(super) fn arguments(&mut self, path: &'static str) -> Option<Vec<Argument>> {
        let (key, setting) = self.setting(path)?;
        let words = Argument::WORDS;
        let ValueKind::Array(items) = &setting.value else {
            let expected = r#"a list, such as ["{id}", "failed", false]"#.to_owned();
            self.refuse(key, setting, expected);
            return None;
        };
        let mut arguments = Vec::with_capacity(items.len());
        for item in items {
            match word_or_value(&item.kind, &words, Argument::from_text, Argument::Literal, "argument") {
                Ok(argument) => arguments.push(argument),
                Err(expected) => {
                    self.refuse(key, setting, format!("each of them {expected}"));
                    return None;
                }
            }
        }
        let literals = arguments.iter().filter_map(|argument| match argument {
            Argument::Literal(literal) => Some(literal.text().len()),
            _ => None,
        });
        let bytes: usize = literals.sum();
        if arguments.len() > MOST_COLUMNS || bytes > MOST_BYTES {
            let expected = format!(
                "at most {MOST_COLUMNS} of {} or values of at most {MOST_BYTES} bytes together",
                words.join(", ")
            );
            self.refuse(key, setting, expected);
            return None;
        }
        Some(arguments)
    }
}

/// What a column is set to, or a function given in one place: one of the `words`, or a value of its own; else what was expected.
fn word_or_value<T>(
    value: &ValueKind,
    words: &[&'static str],
    from_text: fn(&str) -> T,
    from_literal: fn(Literal) -> T,
    taken_by: &str,
) -> Result<T, String> {
    if let ValueKind::String(text) = value {
        if !words.contains(&text.as_str()) {
            literal_text(text, words)?;
        }
        return Ok(from_text(text));
    }
    literal(value).map(from_literal).ok_or_else(|| {
        let words = words.join(", ");
        format!("one of {words}, or a text, a number, true or false, as the {taken_by}'s type reads it")
    })
}

/// A value that is no text.
fn literal(value: &ValueKind) -> Option<Literal> {
    match value {
        ValueKind::Boolean(truth) => Some(Literal::Truth(*truth)),
        ValueKind::I64(number) => Some(Literal::Number(number.to_string())),
        ValueKind::Float(number) if number.is_finite() => Some(Literal::Number(number.to_string())),
        _ => None,
    }
}

/// Refuses a text that no database takes, or that was probably meant to be a word: braces may also begin a JSON object or an
/// array, so that only what resembles a word is refused.
fn literal_text(text: &str, words: &[&'static str]) -> Result<(), String> {
    if text.contains('\0') {
        return Err("a text without the character 0".to_owned());
    }
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let is_like_a_word = inner.is_some_and(|inner| {
        let inner = inner.trim();
        !inner.is_empty()
            && inner
                .chars()
                .all(|c| c.is_ascii_alphabetic() || matches!(c, '+' | '1' | ' '))
    });
    let plain = text.to_lowercase().replace(' ', "");
    match nearest(&plain, words.iter().copied()).filter(|_| is_like_a_word) {
        Some(meant) => Err(format!(
            "one of {}, or a value; did you mean {meant}?",
            words.join(", ")
        )),
        None => Ok(()),
    }
}

impl Rules<'_> {
    /// What `fail` writes: a state of an end or of a requeue, and columns that nothing else writes or rests on.
    pub(super) fn ending(&self, mistakes: &mut Vec<ConfigError>) {
        self.call(mistakes);
        let state = self.text("repair.fail.state");
        let (failure, waiting) = (self.texts("table.failure"), self.texts("table.waiting"));
        if let Some(state) = state.as_ref()
            && !failure.contains(state)
            && !waiting.contains(state)
        {
            let problem = format!("{} is in neither of table.failure and table.waiting", shown(state));
            let remedy =
                "fail ends a job, or puts it back to be run again: add the state to the list that it belongs to";
            mistakes.push(self.conflict("repair.fail.state", problem, remedy));
        }
        let is_requeue = state.is_some_and(|state| waiting.contains(&state));
        let set = self.quietly(|reader| reader.assignments("repair.fail.set"));
        for (column, _) in set.unwrap_or_default() {
            if let Some((problem, remedy)) = self.unfit(&column, is_requeue) {
                let path = format!("repair.fail.set.{}", shown_key(&column));
                mistakes.push(self.conflict(&path, problem, remedy));
            }
        }
    }

    /// A function: on a database that has some, and instead of what is written without one.
    fn call(&self, mistakes: &mut Vec<ConfigError>) {
        const FUNCTION: &str = "repair.fail.call.function";
        let is_given = |path| self.layer.get(path).is_some();
        if self.text(FUNCTION).is_none() {
            if is_given("repair.fail.call.args") && !is_given(FUNCTION) {
                let problem = "no function is given".to_owned();
                let remedy = "set repair.fail.call.function, or leave it out";
                mistakes.push(self.conflict("repair.fail.call.args", problem, remedy));
            }
            return;
        }
        if !self.calls_functions {
            let problem = "a SQLite file has no functions of its own".to_owned();
            let remedy = "say what to write in repair.fail.state and repair.fail.set";
            mistakes.push(self.conflict(FUNCTION, problem, remedy));
        }
        let text = self.text("repair.fail.state").map(|_| "repair.fail.state");
        let set = self.quietly(|reader| reader.assignments("repair.fail.set"));
        let set = set.filter(|set| !set.is_empty()).map(|_| "repair.fail.set");
        for path in text.into_iter().chain(set) {
            let problem = format!("given beside {FUNCTION}");
            mistakes.push(self.conflict(path, problem, "the function writes what it writes: keep one of the two"));
        }
    }

    /// Why a column can't be set, and what to do.
    fn unfit(&self, column: &str, is_requeue: bool) -> Option<(String, &'static str)> {
        if column.trim().is_empty() || column.chars().any(char::is_control) {
            let problem = format!("{} can't be the name of a column", shown(column));
            return Some((problem, "write the name as it is in the table"));
        }
        if let Err(IdentifierError::TooLong(name)) = self.naming.column(column) {
            let problem = format!("{} is longer than {LONGEST_NAME} bytes", shown(&name));
            return Some((problem, "write the name as the catalog has it"));
        }
        let is_column = |path| self.text(path).as_deref() == Some(column);
        let has_error_text = self.text("table.error.column").is_some();
        // What a requeue leaves alone is free to be set; an end writes these itself, and rests on the times.
        let of_an_end = [
            ("table.ended_at", "fail writes the end into it; leave it out here"),
            (
                "table.error.column",
                "fail writes the error text into it; leave it out here, or leave table.error out",
            ),
            (
                "table.started_at",
                "the start shows which run of the job was ended; leave it out",
            ),
            (
                "table.last_heartbeat_at",
                "the heartbeat shows whether the job was alive; leave it out",
            ),
        ];
        let always = [
            ("table.id", "the key names the job; leave it out"),
            ("table.state", "name the state in repair.fail.state"),
        ];
        let of_an_end = of_an_end.into_iter().filter(|_| !is_requeue);
        let found = always.into_iter().chain(of_an_end).find(|(path, _)| is_column(path));
        if let Some((path, remedy)) = found {
            return Some((format!("column {} is {path}", shown(column)), remedy));
        }
        let is_word_of_the_ledger = matches!(column, "error_was" | "error_text") && has_error_text && !is_requeue;
        is_word_of_the_ledger.then(|| {
            let problem = format!("{} is a word of the ledger where table.error is given", shown(column));
            (problem, "leave it out, or leave table.error out")
        })
    }
}
