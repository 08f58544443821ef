//! What a database holds, read as job tables: systems that have a preset, and tables that look like one. Pure: from an inventory and
//! samples to findings, and from findings to a configuration file.
//!
//! It proposes; a person decides. What can't be known from a catalog stands in the file as a line that begins with `# decide:`.

mod candidate;
mod mapping;
mod misses;
mod page;
mod roles;
mod states;
mod systems;
mod toml;
mod words;
mod zone;

pub use page::{Page, page};

use crate::{
    config::KnownSystem,
    store::inventory::{Column, Inventory, PassCost, Sample, Values},
};
use std::collections::{BTreeMap, BTreeSet};

/// The most tables that are looked into: enough for the job tables of one database, and bounded.
const MOST_LOOKS: usize = 12;
/// The most tables of no known system that are shown.
const MOST_SHOWN: usize = 8;
/// The most tables that are named because they resemble one of jobs.
const MOST_MISSES: usize = 8;

/// A table some of whose rows help to judge it, and the columns to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closer {
    /// Its place in the inventory.
    pub table: usize,
    /// Places of its columns.
    pub columns: Vec<usize>,
}

/// What was seen of one table: values by column, or why there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    values: BTreeMap<String, Values>,
    why_not: Option<String>,
}

impl Seen {
    /// From a sample of these columns.
    pub fn of(columns: &[&Column], sample: Sample) -> Self {
        let names = columns.iter().map(|column| column.name.clone());
        Self {
            values: names.zip(sample).collect(),
            why_not: None,
        }
    }

    /// Nothing, for this reason.
    pub fn nothing(why: impl Into<String>) -> Self {
        Self {
            values: BTreeMap::new(),
            why_not: Some(why.into()),
        }
    }

    fn column(&self, column: &str) -> &Values {
        static NOTHING: Values = Values {
            different: Vec::new(),
            has_null: false,
            has_long: false,
        };
        self.values.get(column).unwrap_or(&NOTHING)
    }

    fn values(&self, column: &str) -> &[String] {
        &self.column(column).different
    }
}

/// What was seen, by table.
pub type Sights = BTreeMap<usize, Seen>;

/// Everything that was found in one database.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Known systems first, then the tables that look most like one of jobs.
    pub found: Vec<Finding>,
    /// Sentences about tables that are like a known system's, and aren't.
    notes: Vec<String>,
    /// Candidates that are not shown.
    left_out: usize,
    /// Tables that resemble one of jobs and are not proposed, each with the reason; and how many more there are.
    misses: Vec<String>,
    misses_left_out: usize,
    /// Tables that look like nothing of this kind.
    others: usize,
    is_cut: bool,
}

/// A table to watch.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Its place in the inventory.
    pub table: usize,
    /// The state column and the states in which a job runs, as far as they are known.
    pub running: Option<(String, Vec<String>)>,
    /// How a pass would find such rows, or why that is not known.
    pub cost: Option<Result<PassCost, String>>,
    /// The sentence that says what it is.
    title: String,
    /// Whether it has a preset.
    is_known: bool,
    /// The name that the watch gets, unless another has it.
    name: String,
    reasons: Vec<String>,
    /// Lines of the `[[watch]]`, of its `table` and of its `repair`.
    lines: Lines,
    /// Whether a person has to decide something first.
    is_open: bool,
    /// How much it looks like a job table.
    score: u32,
}

/// Lines of a configuration, by section.
#[derive(Clone, Debug, Default)]
struct Lines {
    watch: Vec<String>,
    table: Vec<String>,
    repair: Vec<String>,
}

impl Lines {
    /// Whether there is anything to configure.
    fn is_empty(&self) -> bool {
        self.watch.is_empty() && self.table.is_empty()
    }
}

/// The tables some of whose rows help to judge them, the likeliest first.
pub fn closer(inventory: &Inventory, systems: &[KnownSystem]) -> Vec<Closer> {
    let (known, _) = systems::found(inventory, systems);
    let known: BTreeSet<usize> = known.iter().map(|finding| finding.table).collect();
    let mut likely: Vec<(u32, Vec<Closer>)> = (0..inventory.tables.len())
        .filter(|table| !known.contains(table))
        .filter_map(|table| roles::closer(inventory, table))
        .collect();
    likely.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let mut closer: Vec<Closer> = Vec::new();
    for wanted in likely.into_iter().flat_map(|(_, wanted)| wanted) {
        match closer.iter().position(|other| other.table == wanted.table) {
            Some(place) => {
                let other = &mut closer[place];
                other.columns.extend(wanted.columns);
                other.columns.sort_unstable();
                other.columns.dedup();
            }
            None if closer.len() < MOST_LOOKS => closer.push(wanted),
            None => {}
        }
    }
    closer
}

/// What was seen of a table.
fn seen(sights: &Sights, table: usize) -> &Seen {
    static NOTHING: Seen = Seen {
        values: BTreeMap::new(),
        why_not: None,
    };
    sights.get(&table).unwrap_or(&NOTHING)
}

/// What there is to watch.
pub fn findings(inventory: &Inventory, systems: &[KnownSystem], sights: &Sights) -> Findings {
    let (mut found, notes) = systems::found(inventory, systems);
    let known: BTreeSet<usize> = found.iter().map(|finding| finding.table).collect();
    let (mut candidates, mut misses) = (Vec::new(), Vec::new());
    for table in (0..inventory.tables.len()).filter(|table| !known.contains(table)) {
        match candidate::of(inventory, table, sights) {
            Some(candidate) => candidates.push(candidate),
            None => misses.extend(misses::of(inventory, table, seen(sights, table), !known.is_empty())),
        }
    }
    misses.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let misses_left_out = misses.len().saturating_sub(MOST_MISSES);
    let misses = misses.into_iter().take(MOST_MISSES).map(|(_, miss)| miss).collect();
    // What needs nothing more comes first.
    candidates.sort_by_key(|finding| (finding.is_open, std::cmp::Reverse(finding.score)));
    let others = inventory.tables.len() - known.len() - candidates.len();
    let left_out = candidates.len().saturating_sub(MOST_SHOWN);
    candidates.truncate(MOST_SHOWN);
    found.extend(candidates);
    Findings {
        found,
        notes,
        left_out,
        misses,
        misses_left_out,
        others,
        is_cut: inventory.is_cut,
    }
}
