//! Which column of an unknown table would play which part: state, start, heartbeat, end, key, name.

use super::{
    Closer, Seen,
    words::{self, Epoch, Meaning},
};
use crate::store::inventory::{Column, Holds, Inventory, Table, TableKind};

/// How a column holds times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Timestamp,
    /// As numbers since 1970.
    Number(Epoch),
    /// As numbers, of which none could be seen.
    Unseen,
}

/// A column that holds times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timed<'a> {
    pub column: &'a Column,
    pub shape: Shape,
    /// How much its name looks like the part: 1 or 2.
    pub likeness: u32,
}

/// The heartbeat of a job in a row of another table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elsewhere<'a> {
    /// The place of that table.
    pub table: usize,
    /// Its column that names the job.
    pub key: &'a str,
    /// The column of the job table that it equals, where that is not the key.
    pub matching: Option<&'a str>,
    pub time: Timed<'a>,
}

/// The parts, as far as a column can play them.
#[derive(Clone, Debug)]
pub(super) struct Roles<'a> {
    pub state: Option<&'a Column>,
    pub start: Option<Timed<'a>>,
    pub heartbeat: Option<Timed<'a>>,
    pub elsewhere: Option<Elsewhere<'a>>,
    pub end: Option<Timed<'a>>,
    pub key: Option<&'a Column>,
    /// A column that is unique, and of a type that no key has.
    pub unusable_key: Option<&'a Column>,
    pub job_name: Option<&'a Column>,
}

/// Whether a configuration can name a column.
pub(super) fn is_nameable(name: &str) -> bool {
    !name.trim().is_empty() && !name.chars().any(char::is_control)
}

/// Whether a column can hold a state that a mapping takes.
pub(super) fn takes_states(column: &Column) -> bool {
    matches!(column.holds, Holds::Text | Holds::Enum | Holds::Anything)
}

fn is_numeric_state(column: &Column) -> bool {
    matches!(column.holds, Holds::Small | Holds::Whole)
}

impl<'a> Roles<'a> {
    /// By names and types, and by values where some were seen; `None` is before anything was looked at.
    pub(super) fn of(inventory: &'a Inventory, place: usize, seen: Option<&Seen>) -> Self {
        let table = &inventory.tables[place];
        let columns = || table.columns.iter().filter(|column| is_nameable(&column.name));
        let as_texts = inventory.has_times_as_texts;
        let timed = |like: fn(&str) -> u32| best_time(table, seen, as_texts, like);
        let state = columns()
            .filter(|column| takes_states(column) || is_numeric_state(column))
            .filter(|column| words::like_state(&column.name) > 0)
            .max_by_key(|column| {
                (
                    words::like_state(&column.name),
                    takes_states(column),
                    meanings(seen, column),
                    words::is_state(&column.name),
                )
            });
        let key = key(table, seen);
        let start = timed(words::like_start);
        // A column in which no row has a value holds what the start holds, if it is of the same type.
        let beside_start = |like: fn(&str) -> u32| {
            let start = start?;
            let time = best_time(table, None, as_texts, like)?;
            let is_empty = seen.is_some_and(|seen| seen.values(&time.column.name).is_empty());
            let shape = start.shape;
            (is_empty && time.column.holds == start.column.holds).then_some(Timed { shape, ..time })
        };
        let timed = |like| beside_start(like).or_else(|| timed(like));
        let heartbeat =
            timed(words::like_heartbeat).filter(|time| start.is_none_or(|start| start.column.name != time.column.name));
        let end = timed(|name| u32::from(words::like_end(name)) * 2);
        let is_own = heartbeat.is_some_and(|heartbeat| heartbeat.likeness == 2);
        Roles {
            state,
            elsewhere: if is_own { None } else { elsewhere(inventory, place, key) },
            start,
            heartbeat,
            end,
            key,
            unusable_key: columns().find(|column| column.is_unique && !names_rows(column)),
            job_name: columns()
                .filter(|column| matches!(column.holds, Holds::Text | Holds::Enum | Holds::Anything))
                .filter(|column| state.is_none_or(|state| state.name != column.name))
                .filter_map(|column| Some((words::rank_of_job_name(&column.name)?, column)))
                .min_by_key(|(rank, _)| *rank)
                .map(|(_, column)| column),
        }
    }

    /// How much of a job table there is, values left out; none where it can't be one.
    pub(super) fn likeness(&self, table: &Table) -> Option<u32> {
        let state = words::like_state(&self.state?.name);
        let start = self.start.map_or(0, |start| start.likeness);
        let own = self
            .heartbeat
            .map_or(0, |heartbeat| if heartbeat.likeness == 2 { 3 } else { 1 });
        let heartbeat = if self.elsewhere.is_some() { 3 } else { own };
        // A row that never says when its work began or when it was seen last is no job that can be judged.
        if start < 2 && heartbeat < 3 || start == 0 {
            return None;
        }
        let is_view = table.kind != TableKind::Table;
        let rest = u32::from(self.end.is_some()) + 2 * u32::from(words::like_work(&table.name));
        Some((state + start + heartbeat + rest).saturating_sub(u32::from(is_view)))
    }
}

/// What values of a state column say, together: whether one of them means that a job runs.
fn meanings(seen: Option<&Seen>, column: &Column) -> bool {
    let says_running = |value: &String| words::meaning(value) == Meaning::Running;
    let values = seen.map_or(&[][..], |seen| seen.values(&column.name));
    column.labels.iter().chain(values).any(says_running)
}

/// The column that is most like one of a part, of those that hold times; the first of several.
fn best_time<'a>(table: &'a Table, seen: Option<&Seen>, as_texts: bool, like: fn(&str) -> u32) -> Option<Timed<'a>> {
    let mut best: Option<Timed<'a>> = None;
    for column in table.columns.iter().filter(|column| is_nameable(&column.name)) {
        let likeness = like(&column.name);
        if likeness == 0 || best.is_some_and(|best| best.likeness >= likeness) {
            continue;
        }
        if let Some(shape) = shape(column, seen, as_texts) {
            best = Some(Timed {
                column,
                shape,
                likeness,
            });
        }
    }
    best
}

/// How a column holds times, if it does. Before its values are read every number may be one.
fn shape(column: &Column, seen: Option<&Seen>, as_texts: bool) -> Option<Shape> {
    let values = seen.map_or(&[][..], |seen| seen.values(&column.name));
    let of_numbers = || {
        let mut kinds = values.iter().map(|value| words::is_epoch(value));
        let first = kinds.next()??;
        kinds.all(|kind| kind == Some(first)).then_some(Shape::Number(first))
    };
    let of_texts = || {
        values
            .iter()
            .all(|value| words::is_written_time(value))
            .then_some(Shape::Timestamp)
    };
    let by_name = || match () {
        () if words::says_millis(&column.name) => Some(Shape::Number(Epoch::Millis)),
        () if words::says_time(&column.name) || column.holds == Holds::Number || seen.is_none() => Some(Shape::Unseen),
        () => None,
    };
    let is_unseen = values.is_empty();
    match column.holds {
        // A file keeps whatever is put into such a column.
        Holds::Time if as_texts && !is_unseen => of_numbers().or_else(of_texts),
        Holds::Time | Holds::ZonedTime => Some(Shape::Timestamp),
        Holds::Whole | Holds::Number if is_unseen => by_name(),
        Holds::Whole | Holds::Number => of_numbers(),
        Holds::Text | Holds::Anything if as_texts && is_unseen => {
            (seen.is_none() || words::says_time(&column.name)).then_some(Shape::Timestamp)
        }
        Holds::Text if as_texts => of_texts(),
        Holds::Anything => of_numbers().or_else(of_texts),
        Holds::Text | Holds::Enum | Holds::Small | Holds::Uuid | Holds::Other => None,
    }
}

/// Whether a column can hold a key.
fn names_rows(column: &Column) -> bool {
    let holds = column.holds;
    matches!(
        holds,
        Holds::Small | Holds::Whole | Holds::Uuid | Holds::Text | Holds::Anything
    )
}

/// The column that names a row: unique alone, or called so in a view. One that no row lacks comes first.
fn key<'a>(table: &'a Table, seen: Option<&Seen>) -> Option<&'a Column> {
    let called_so = |column: &&Column| {
        let words = words::words(&column.name);
        matches!(words.last().map(String::as_str), Some("id" | "uuid"))
    };
    let columns = || {
        let columns = table.columns.iter();
        columns.filter(|column| names_rows(column) && is_nameable(&column.name))
    };
    let unique = columns().filter(|column| column.is_unique);
    let unique = unique.min_by_key(|column| seen.is_some_and(|seen| seen.column(&column.name).has_null));
    match table.kind {
        TableKind::Table => unique,
        _ => unique.or_else(|| columns().find(called_so)),
    }
}

/// Heartbeats in another table: of rows that refer to the job, or of an owner that the job refers to.
fn elsewhere<'a>(inventory: &'a Inventory, place: usize, key: Option<&Column>) -> Option<Elsewhere<'a>> {
    let (tables, nothing) = (&inventory.tables, Seen::default());
    let heartbeat = |other: usize| {
        let table = Some(&tables[other]).filter(|table| table.is_nameable())?;
        let time = |like| best_time(table, Some(&nothing), inventory.has_times_as_texts, like);
        let own = time(words::like_heartbeat as fn(&str) -> u32).filter(|time| time.likeness == 2);
        // In a table of heartbeats any time is one.
        let any = || time(|name| u32::from(words::says_time(name)) * 2);
        own.or_else(|| words::of_heartbeats(&table.name).then(any).flatten())
            .filter(|time| time.shape == Shape::Timestamp)
    };
    let referring = tables.iter().enumerate().find_map(|(other, table)| {
        let refers = |reference: &&crate::store::inventory::Reference| {
            let is_key = key.is_some_and(|key| key.name == reference.key);
            reference.table == place && is_key && is_nameable(&reference.column)
        };
        let reference = table.references.iter().find(refers).filter(|_| other != place)?;
        Some(Elsewhere {
            table: other,
            key: &reference.column,
            matching: None,
            time: heartbeat(other)?,
        })
    });
    referring.or_else(|| {
        tables[place]
            .references
            .iter()
            .filter(|reference| {
                reference.table != place && is_nameable(&reference.column) && is_nameable(&reference.key)
            })
            .find_map(|reference| {
                Some(Elsewhere {
                    table: reference.table,
                    key: &reference.key,
                    matching: Some(&reference.column),
                    time: heartbeat(reference.table)?,
                })
            })
    })
}

/// The looks that help to judge a table, into itself and into the one that its heartbeats stand in; and how much it looks like a
/// job table already.
pub(super) fn closer(inventory: &Inventory, place: usize) -> Option<(u32, Vec<Closer>)> {
    let table = &inventory.tables[place];
    // Code of the table's owner would run with our rights.
    if table.runs_code {
        return None;
    }
    let roles = Roles::of(inventory, place, None);
    let likeness = roles.likeness(table)?;
    let as_texts = inventory.has_times_as_texts;
    let has_part = |column: &Column| {
        let like_time =
            words::like_start(&column.name) + words::like_heartbeat(&column.name) > 0 || words::like_end(&column.name);
        let is_state = words::like_state(&column.name) > 0;
        let is_key = column.is_unique && names_rows(column);
        is_key
            || match column.holds {
                Holds::Text | Holds::Anything => is_state || as_texts && like_time,
                Holds::Small => is_state,
                Holds::Whole | Holds::Number => is_state || like_time,
                Holds::Time | Holds::ZonedTime => like_time,
                // An enum's owner may have made a cast to text that calls a function.
                Holds::Enum | Holds::Uuid | Holds::Other => false,
            }
    };
    let columns = table.columns.iter().enumerate();
    let columns: Vec<usize> = columns
        .filter(|(_, column)| column.is_readable && has_part(column))
        .map(|(place, _)| place)
        .take(12)
        .collect();
    let mut closer = vec![Closer { table: place, columns }];
    if let Some(elsewhere) = roles.elsewhere.filter(|other| other.time.column.is_readable) {
        let other = &inventory.tables[elsewhere.table];
        let column = other
            .columns
            .iter()
            .position(|column| column.name == elsewhere.time.column.name);
        closer.extend(column.filter(|_| !other.runs_code).map(|column| Closer {
            table: elsewhere.table,
            columns: vec![column],
        }));
    }
    closer.retain(|closer| !closer.columns.is_empty());
    (!closer.is_empty()).then_some((likeness, closer))
}
