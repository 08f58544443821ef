//! What the values of a state column say about its jobs.

use super::{
    Seen,
    words::{self, Meaning},
};
use crate::store::inventory::Column;

/// More different values than this are no states.
pub(super) const MOST_STATES: usize = 20;

/// What the values of a state column say.
#[derive(Debug, Default)]
pub(super) struct States {
    pub running: Vec<String>,
    pub success: Vec<String>,
    pub failure: Vec<String>,
    pub waiting: Vec<String>,
    pub unknown: Vec<String>,
    /// Whether there are more values than a state has.
    pub is_varied: bool,
    /// Whether a row has none.
    pub has_null: bool,
    /// Whether a row has an empty text, which no list can name.
    pub has_blank: bool,
    /// Whether a row has one that is too long to be shown.
    pub has_long: bool,
    /// Whether a value surely says that a job runs.
    pub is_sure: bool,
}

impl States {
    /// Of a column: by its type, its constraint and its values.
    pub(super) fn of(column: &Column, seen: &Seen) -> Self {
        let mut values: Vec<&String> = column.labels.iter().collect();
        let of_rows = seen.column(&column.name);
        let is_new = |value: &&String| !column.labels.contains(value);
        values.extend(of_rows.different.iter().filter(is_new));
        let mut states = Self {
            is_varied: values.len() > MOST_STATES,
            has_null: of_rows.has_null,
            has_blank: of_rows.different.iter().any(String::is_empty),
            has_long: of_rows.has_long,
            ..Self::default()
        };
        let mut maybe = Vec::new();
        for value in values.into_iter().take(MOST_STATES).filter(|value| !value.is_empty()) {
            let list = match words::meaning(value) {
                Meaning::Running => &mut states.running,
                Meaning::MaybeRunning => &mut maybe,
                Meaning::Success => &mut states.success,
                Meaning::Failure => &mut states.failure,
                Meaning::Waiting => &mut states.waiting,
                Meaning::Unknown => &mut states.unknown,
            };
            list.push(value.clone());
        }
        states.is_sure = !states.running.is_empty();
        let to = if states.is_sure {
            &mut states.unknown
        } else {
            &mut states.running
        };
        to.append(&mut maybe);
        states.failure.sort_by_key(|state| words::rank_of_failure(state));
        states
    }

    /// Whether none is known.
    pub(super) fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// All of them, the running ones first.
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        let lists = [
            &self.running,
            &self.success,
            &self.failure,
            &self.waiting,
            &self.unknown,
        ];
        lists.into_iter().flatten()
    }

    /// What speaks for the column.
    pub(super) fn score(&self) -> i32 {
        match () {
            () if self.is_varied => -3,
            () if self.is_sure => 3,
            () => 0,
        }
    }
}
