//! What a database holds, for `discover`: tables and columns as the catalog has them, and bounded looks into a few of them.
//! Owns the limits of what is read. Which tables matter is decided in `discover`.

use super::{StoreError, quoted};
use std::{future::Future, time::Duration};

/// The database's time for all questions together.
pub const WITHIN: Duration = Duration::from_secs(1);
/// Part of it that the catalog leaves to the looks into tables.
pub(crate) const FOR_TABLES: Duration = Duration::from_millis(250);
/// Columns that are read from the catalog; what is beyond is left out, and reported.
pub(crate) const MOST_COLUMNS: i64 = 100_000;
/// Rows that are read of one table, at its newest end.
pub(crate) const SAMPLED_ROWS: i64 = 500;
/// Bytes of a value in a sample; a longer one is no state and no time.
pub(crate) const LONGEST_SAMPLED: usize = 64;
/// What a statement returns in place of a value that is longer.
pub(crate) const TOO_LONG: &str = "(too long)";

/// All that the catalog says.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Tables and views, but for those of the database system.
    pub tables: Vec<Table>,
    /// Whether there are more columns than are read, or than could be read in time.
    pub is_cut: bool,
    /// Whether times may stand in columns of texts, as in a file of SQLite.
    pub has_times_as_texts: bool,
    /// The database's time, where it was asked.
    pub now: Option<jiff::Timestamp>,
    /// The zone in which an application may write times without one, beside UTC: the server's, or that of the machine on which a
    /// file lies.
    pub zone: Option<String>,
}

/// A table or a view.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its schema; none in a file.
    pub schema: Option<String>,
    /// Whether its name alone leads to it.
    pub is_visible: bool,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: TableKind,
    /// Whether reading its rows, or planning to, runs code of its owner: row security, the query of a view, an index or a
    /// partition key that calls a function of its own; or asks another server.
    pub runs_code: bool,
    /// How many rows it has, as far as that is known without counting.
    pub rows: Option<u64>,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
    /// Its columns that refer to another table by a foreign key of one column.
    pub references: Vec<Reference>,
}

/// What a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// A table, partitioned ones included.
    Table,
    /// A view.
    View,
    /// A materialized view.
    Materialized,
    /// A table of another server.
    Foreign,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type as people write it.
    pub sql_type: String,
    /// What it holds.
    pub holds: Holds,
    /// Whether it alone is unique, by an index over all rows.
    pub is_unique: bool,
    /// Whether an index over all rows begins with it.
    pub leads_index: bool,
    /// Whether this role may read it.
    pub is_readable: bool,
    /// The values, if it is an enum or a constraint lists them.
    pub labels: Vec<String>,
}

/// What a column holds, as far as a mapping is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Texts.
    Text,
    /// One of a few labels.
    Enum,
    /// Whole numbers that are too small for a time.
    Small,
    /// Whole numbers.
    Whole,
    /// Numbers with a fraction.
    Number,
    /// Times without a zone.
    Time,
    /// Instants.
    ZonedTime,
    /// Uuids.
    Uuid,
    /// Whatever is put into it: a column of SQLite without a type.
    Anything,
    /// Something else.
    Other,
}

/// A foreign key of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The column of this table.
    pub column: String,
    /// The table that it refers to, by its place in [`Inventory::tables`].
    pub table: usize,
    /// The column there.
    pub key: String,
}

/// What was seen of one column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Different values, the newest first.
    pub different: Vec<String>,
    /// Whether a row has none.
    pub has_null: bool,
    /// Whether a row has one that is too long to be kept.
    pub has_long: bool,
}

/// What was seen of some columns, in the order of the question.
pub type Sample = Vec<Values>;

/// How a pass would find the running rows.
#[derive(Clone, Debug, PartialEq)]
pub struct PassCost {
    /// The index that finds them; none means that the table is read whole.
    pub index: Option<String>,
}

impl Inventory {
    /// The table's name as it stands in a configuration: with its schema where the name alone doesn't lead to it.
    pub fn named(&self, table: usize) -> String {
        let table = &self.tables[table];
        match &table.schema {
            Some(schema) if !table.is_visible => format!("{schema}.{}", table.name),
            _ => table.name.clone(),
        }
    }
}

impl Table {
    /// The column of a name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether a configuration can name it: a dot there separates a schema from a table.
    pub fn is_nameable(&self) -> bool {
        let mut parts = self.schema.iter().chain([&self.name]);
        parts.all(|name| !name.contains('.') && !name.chars().any(char::is_control)) && !self.name.trim().is_empty()
    }

    /// Its name as it stands in SQL, whatever the search path is.
    pub(crate) fn quoted(&self) -> String {
        let parts = self.schema.iter().chain([&self.name]);
        parts.map(|name| quoted(name)).collect::<Vec<_>>().join(".")
    }
}

/// Who can say what a database holds. All questions of one value together take [`WITHIN`] of the database's time at most.
pub trait Inventoried: Send {
    /// Reads the catalog.
    ///
    /// # Errors
    /// If the database can't be asked.
    fn inventory(&mut self) -> impl Future<Output = Result<Inventory, StoreError>> + Send;

    /// Reads columns of the newest rows of a table: different values, short ones only.
    ///
    /// # Errors
    /// If that takes too long, or may not be read.
    fn sample(&mut self, table: &Table, columns: &[&Column])
    -> impl Future<Output = Result<Sample, StoreError>> + Send;

    /// Asks how the rows of some states would be found. Nothing is read.
    ///
    /// # Errors
    /// If that takes too long, or may not be read.
    fn cost_of_pass(
        &mut self,
        table: &Table,
        state: &str,
        running: &[String],
    ) -> impl Future<Output = Result<PassCost, StoreError>> + Send;
}

/// Keeps the different values of each column, row by row.
pub(crate) fn keep_different(sample: &mut Sample, row: impl Iterator<Item = Option<String>>) {
    for (values, value) in sample.iter_mut().zip(row) {
        match value {
            None => values.has_null = true,
            Some(value) if value == TOO_LONG => values.has_long = true,
            Some(value) if values.different.contains(&value) => {}
            Some(value) => values.different.push(value),
        }
    }
}
