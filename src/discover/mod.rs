//! What a database holds, read as job tables: systems that have a preset, and tables that look like one. Pure: from an inventory and
//! samples to findings, and from findings to a configuration file.
//!
//! It proposes; a person decides. What can't be known from a catalog stands in the file as a line that begins with `# decide:`.

mod candidate;
mod page;
mod roles;
mod systems;
mod toml;
mod words;

pub use page::{Page, page};

use crate::{
    config::KnownSystem,
    store::inventory::{Column, Inventory, PassCost, Sample},
};
use std::collections::{BTreeMap, BTreeSet};

/// So many tables are looked into: enough for the job tables of one database, and bounded.
const MOST_LOOKS: usize = 12;
/// So many tables of no known system are shown.
const MOST_SHOWN: usize = 8;

/// A table into which a look helps, and the columns to look at.
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
    values: BTreeMap<String, Vec<String>>,
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

    fn values(&self, column: &str) -> &[String] {
        self.values.get(column).map_or(&[], Vec::as_slice)
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

/// The tables into which a look helps, the likeliest first.
pub fn closer(inventory: &Inventory, systems: &[KnownSystem]) -> Vec<Closer> {
    let (known, _) = systems::found(inventory, systems);
    let known: BTreeSet<usize> = known.iter().map(|finding| finding.table).collect();
    let mut closer: Vec<(u32, Closer)> = (0..inventory.tables.len())
        .filter(|table| !known.contains(table))
        .filter_map(|table| roles::closer(inventory, table))
        .collect();
    closer.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    closer.into_iter().take(MOST_LOOKS).map(|(_, closer)| closer).collect()
}

/// What there is to watch.
pub fn findings(inventory: &Inventory, systems: &[KnownSystem], sights: &Sights) -> Findings {
    let (mut found, notes) = systems::found(inventory, systems);
    let known: BTreeSet<usize> = found.iter().map(|finding| finding.table).collect();
    let nothing = Seen::default();
    let seen = |table| sights.get(&table).unwrap_or(&nothing);
    let mut candidates: Vec<Finding> = (0..inventory.tables.len())
        .filter(|table| !known.contains(table))
        .filter_map(|table| candidate::of(inventory, table, seen(table)))
        .collect();
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
        others,
        is_cut: inventory.is_cut,
    }
}
