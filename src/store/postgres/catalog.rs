//! The watched table and its columns, as far as the statements need to know them.

use super::{column::Column, ending::SetColumn, function::Function, times::TimeColumn};
use crate::{domain::Obstacle, store::TableName};
use std::sync::OnceLock;

/// Another table that a time stands in.
#[derive(Clone, Debug)]
pub(super) struct OtherTable {
    /// Its name with its schema, quoted.
    pub table: String,
    /// The columns of it that are read.
    pub columns: Vec<String>,
    /// The statement that makes the index which it lacks.
    pub missing_index: Option<String>,
    /// Whether its rows refer to the job by a foreign key, so that one that is not committed yet holds the job's row.
    pub refers: bool,
}

/// The watched table and its columns.
#[derive(Debug)]
pub(super) struct Catalog {
    pub oid: u32,
    /// The kind of relation, as `pg_class.relkind` has it.
    pub kind: String,
    pub table: TableName,
    pub ledger: TableName,
    /// The search path of transactions that write.
    pub search_path: String,
    pub id: Column,
    pub job_name: Option<Column>,
    pub state: Column,
    pub started_at: TimeColumn,
    /// None where jobs send no heartbeats.
    pub heartbeat_at: Option<TimeColumn>,
    pub ended_at: Option<TimeColumn>,
    /// Which of the target rows are jobs, as an expression.
    pub only: String,
    /// Columns of the table that conditions and other tables' keys are compared with.
    pub also_read: Vec<String>,
    /// The other tables that times stand in.
    pub others: Vec<OtherTable>,
    pub error: Option<Column>,
    /// The error column whatever the action is, where it is there and readable: an undo may have to clean it.
    pub error_column: Option<Column>,
    /// What `fail` sets beside state, end and error text; where the action is another, as far as the columns are there and readable,
    /// for an undo.
    pub set: Vec<SetColumn>,
    /// The system's own function that `fail` calls.
    pub function: Option<Function>,
    /// How entries of the ledger may name the table: `schema.table` as this version writes it, and what earlier versions
    /// took over from the configuration.
    pub spellings: Vec<String>,
    /// What keeps repairs from this table for good: a view, a foreign table, a key that is unique only at commit.
    pub obstacle: Option<Obstacle>,
    /// Whether the catalog shows that no two rows share a key.
    pub is_unique: bool,
    /// Whether new rows are found by a growing key.
    pub grows: bool,
    /// The columns as the first pass found them; another shape means that the statements no longer fit.
    pub shape: OnceLock<Option<String>>,
}

impl Catalog {
    /// The second key of the gate: an oid, which is unsigned, in the bits of an integer.
    pub(super) fn gate(&self) -> i32 {
        self.oid.cast_signed()
    }

    /// Whether it holds rows itself.
    pub(super) fn is_table(&self) -> bool {
        is_table(&self.kind)
    }

    /// The mapped columns, by name.
    pub(super) fn mapped(&self) -> Vec<&str> {
        let times = self.own_times().map(|time| &time.column);
        let columns = [
            Some(&self.id),
            Some(&self.state),
            self.job_name.as_ref(),
            self.error.as_ref(),
        ];
        let columns = columns.into_iter().flatten().chain(times);
        let columns = columns.map(|column| column.name.as_str());
        let set = self.set.iter().map(|set| set.column.name.as_str());
        let also_read = self.also_read.iter().map(String::as_str);
        columns.chain(set).chain(also_read).collect()
    }

    /// The columns of other tables that are read, each with its table, quoted.
    pub(super) fn columns_of_others(&self) -> impl Iterator<Item = (&str, &str)> {
        self.others.iter().flat_map(|other| {
            let columns = other.columns.iter();
            columns.map(|column| (other.table.as_str(), column.as_str()))
        })
    }

    fn times(&self) -> impl Iterator<Item = &TimeColumn> {
        let times = [
            Some(&self.started_at),
            self.heartbeat_at.as_ref(),
            self.ended_at.as_ref(),
        ];
        times.into_iter().flatten()
    }

    /// The times that stand in the job table.
    pub(super) fn own_times(&self) -> impl Iterator<Item = &TimeColumn> {
        self.times().filter(|time| time.own().is_some())
    }

    /// Whether no time needs a conversion from another zone than UTC.
    pub(super) fn all_keep_utc(&self) -> bool {
        self.times().all(|time| time.keeps_utc)
    }
}

/// A cast that runs a function of its own, as a clause.
pub(super) fn foreign_cast(column: &str, function: &str) -> String {
    format!("the type of column `{column}` has a cast from or to text that calls {function}")
}

/// Whether it holds rows itself, and so can have a unique key.
pub(super) fn is_table(kind: &str) -> bool {
    matches!(kind, "r" | "p")
}
