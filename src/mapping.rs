//! Which table and columns are watched: one value, written by the configuration and read by the stores.
//!
//! Owns names that can stand in SQL, by the rules of each database. How they become statements is in `store`.

mod identifier;

pub(crate) use identifier::quoted;
pub use identifier::{Identifier, IdentifierError, LONGEST_NAME, Naming, TableName};

use crate::domain::{Argument, Assigned, States, TimeFormat, ValueTest};
use std::time::Duration;

/// Where `fail` writes its error text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorText {
    /// A text or jsonb column that holds a JSON object.
    pub column: Identifier,
    /// The key in it.
    pub key: String,
}

/// What a column has to hold so that its row counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The column.
    pub column: Identifier,
    /// What it has to hold.
    pub test: ValueTest,
}

/// Where a time of a job stands: in a column of the job table, or in rows of another table, of which the newest time counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeSource {
    /// The column with the time: of the job table, or of the other one.
    pub column: Identifier,
    /// The other table, where the time is not in the job table.
    pub elsewhere: Option<Elsewhere>,
    /// How the column holds a time, where not as the mapping says.
    pub format: Option<TimeFormat>,
    /// The zone of its timestamps without one, where not as the mapping says; [`SERVER_ZONE`] is the database's own.
    pub zone: Option<String>,
}

/// The rows of another table that belong to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The other table.
    pub table: TableName,
    /// Its column that names the job.
    pub key: Identifier,
    /// The column of the job table that `key` equals.
    pub matching: Identifier,
    /// What stands before that value in `key`.
    pub prefix: Option<String>,
    /// What holds for the rows that count.
    pub conditions: Vec<Condition>,
}

/// In place of a zone: that of the database.
pub const SERVER_ZONE: &str = "server";

impl TimeSource {
    /// The column, where it is one of the job table.
    pub fn own(&self) -> Option<&Identifier> {
        match self.elsewhere {
            None => Some(&self.column),
            Some(_) => None,
        }
    }

    /// The column as people read it, with its table where that is not the job table.
    pub fn plain(&self) -> String {
        match &self.elsewhere {
            None => self.column.as_str().to_owned(),
            Some(elsewhere) => format!("{}.{}", elsewhere.table.plain(), self.column.as_str()),
        }
    }
}

impl From<Identifier> for TimeSource {
    /// A column of the job table, as its other times are.
    fn from(column: Identifier) -> Self {
        Self {
            column,
            elsewhere: None,
            format: None,
            zone: None,
        }
    }
}

/// The watched table as the configuration describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Name of the watch.
    pub watch: String,
    /// The job table.
    pub table: TableName,
    /// The ledger; without a schema it stands beside the job table.
    pub ledger: TableName,
    /// The key.
    pub id: Identifier,
    /// The column of the job's name.
    pub job_name: Option<Identifier>,
    /// The column of the state.
    pub state: Identifier,
    /// What the states mean.
    pub states: States,
    /// What holds for the rows that are jobs.
    pub only: Vec<Condition>,
    /// Where the start stands.
    pub started_at: TimeSource,
    /// Where the heartbeat stands; none where jobs send none.
    pub last_heartbeat_at: Option<TimeSource>,
    /// The longest that a job may run, where jobs send no heartbeats; none where they do.
    pub max_runtime: Option<Duration>,
    /// The column of the end.
    pub ended_at: Option<Identifier>,
    /// How the end is written, and the times that have no format of their own.
    pub time_format: TimeFormat,
    /// The zone of timestamps without one, of the same columns; [`SERVER_ZONE`] is the database's own.
    pub time_zone: String,
    /// Where `fail` writes its error text.
    pub error: Option<ErrorText>,
    /// Rows are inserted running, and the key grows.
    pub born_running: bool,
    /// What `fail` writes.
    pub ending: Ending,
}

/// What `fail` writes, beside the end and the error text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// The state; none means the first of the failure states. A waiting state is a requeue.
    pub state: Option<String>,
    /// Further columns, each once, and what they are set to.
    pub set: Vec<(Identifier, Assigned)>,
    /// The system's own function, which is called instead of all that.
    pub call: Option<Call>,
}

/// A function that ends a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The function; without a schema it stands beside the job table.
    pub function: TableName,
    /// What it is given.
    pub args: Vec<Argument>,
}
