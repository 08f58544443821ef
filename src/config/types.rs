//! The validated configuration: what the rest of the program may rely on.
//!
//! Owns the types only; how they come about is in `layers` and `validate`.

use super::{ConfigError, DatabaseUrl, MeltanoVersion, Secret};
use crate::domain::{Action, Argument, Assigned, DiscoverySetting, Noun, States, TimeFormat, ValueTest};
use crate::files;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A configuration without a mistake.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where metrics, probes and the page are served.
    pub listen: SocketAddr,
    /// TLS and basic auth, in the format that Prometheus exporters share.
    pub web_config_file: Option<PathBuf>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The least important log lines that are shown.
    pub log_level: LogLevel,
    /// The job tables to look after; at least one, each with a name of its own.
    pub watches: Vec<WatchConfig>,
}

/// One job table that Beatwarden looks after.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchConfig {
    /// The metric label `watch`: 1 to 64 characters, all of them printable.
    pub name: String,
    /// Where the table is.
    pub database: DatabaseSource,
    /// The preset that the values came from, if any.
    pub preset: Option<String>,
    /// What people call a job of it.
    pub noun: Noun,
    /// Time from the start of one pass to the start of the next.
    pub poll_interval: Duration,
    /// Longest time that a pass waits for the database.
    pub poll_timeout: Duration,
    /// Time in which a started job has to send its first real heartbeat.
    pub init_deadline: Duration,
    /// Age from which a real heartbeat is lost.
    pub heartbeat_timeout: Duration,
    /// The longest that a job may run, where no heartbeat is mapped; none where one is.
    pub max_runtime: Option<Duration>,
    /// Distance from the start within which a heartbeat is only seeded.
    pub seed_tolerance: Duration,
    /// Age of the last sign of life from which a running job is abandoned.
    pub max_age: Duration,
    /// How far the init success ratio looks back.
    pub init_window: Duration,
    /// Wanted init success ratio, above 0 and below 1.
    pub init_objective: f64,
    /// The writer's own rule: age of a heartbeat from which it gives a job up.
    pub writer_stale_after: Option<Duration>,
    /// The same rule for a job without a heartbeat, counted from its start.
    pub writer_stale_after_without_heartbeat: Option<Duration>,
    /// How running jobs are found.
    pub discovery: DiscoverySetting,
    /// Time between two full looks where jobs are found by a growing key.
    pub full_look_interval: Duration,
    /// Whether job names become a metric label.
    pub job_name_label: bool,
    /// The table and its columns.
    pub table: TableConfig,
    /// What may be repaired, and how much at once.
    pub repair: RepairConfig,
    /// The Meltano whose project is watched, where it can be determined.
    pub meltano: Option<MeltanoVersion>,
}

impl WatchConfig {
    /// What is done to overdue jobs.
    pub fn action(&self) -> Action {
        match self.max_runtime {
            None => self.repair.missed_first,
            Some(_) => self.repair.overrun,
        }
    }

    /// The key below `repair` that says so.
    pub fn action_key(&self) -> &'static str {
        match self.max_runtime {
            None => "missed_first",
            Some(_) => "overrun",
        }
    }

    /// Takes another action for overdue jobs.
    pub fn set_action(&mut self, action: Action) {
        match self.max_runtime {
            None => self.repair.missed_first = action,
            Some(_) => self.repair.overrun = action,
        }
    }
}

/// The job table: its name, its columns, and what its states mean.
#[derive(Clone, Debug, PartialEq)]
pub struct TableConfig {
    /// `table` or `schema.table`, not quoted.
    pub name: String,
    /// Key column.
    pub id: String,
    /// Rows are inserted running, and the key grows.
    pub born_running: bool,
    /// Column with the name of the job.
    pub job_name: Option<String>,
    /// Column with the state.
    pub state: String,
    /// What the values of that column mean; at least one of them is running.
    pub states: States,
    /// Which rows are jobs: those that meet all of these.
    pub only: Vec<Condition>,
    /// Where the time of the start stands.
    pub started_at: TimeConfig,
    /// Where the time of the last heartbeat stands; none where jobs send none.
    pub last_heartbeat_at: Option<TimeConfig>,
    /// Column with the time of the end.
    pub ended_at: Option<String>,
    /// How the time columns hold a time, but for those with a format of their own.
    pub time_format: TimeFormat,
    /// IANA zone of timestamps without a zone, known to the time zone database, or `server`; but for columns with a zone of
    /// their own.
    pub time_zone: String,
    /// Where `fail` leaves its error text.
    pub error: Option<ErrorColumn>,
}

/// In place of an IANA zone: that of the database.
pub const SERVER_ZONE: &str = "server";

/// Where a time of a job stands: in a column of the job table, or in rows of another table, of which the newest time counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeConfig {
    /// The column, of the job table or of the other one.
    pub column: String,
    /// The other table, where the time is not in the job table.
    pub elsewhere: Option<ElsewhereConfig>,
    /// How the column holds a time, where not as the table's times do.
    pub time_format: Option<TimeFormat>,
    /// IANA zone of its timestamps without a zone, or `server`, where it is not the table's.
    pub time_zone: Option<String>,
}

/// The rows of another table that belong to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElsewhereConfig {
    /// `table` or `schema.table`, not quoted.
    pub table: String,
    /// Its column that names the job.
    pub key: String,
    /// The column of the job table that `key` equals; none means the job's key.
    pub matching: Option<String>,
    /// What stands before that value in `key`.
    pub match_prefix: Option<String>,
    /// Which of its rows count: those that meet all of these.
    pub conditions: Vec<Condition>,
}

/// What a column has to hold so that its row counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// What it has to hold.
    pub test: ValueTest,
}

/// The column that takes the error text of `fail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorColumn {
    /// Column with a JSON object, as text or jsonb.
    pub column: String,
    /// Key of the error text in that object.
    pub json_key: String,
}

/// What may be repaired, and how much at once.
#[derive(Clone, Debug, PartialEq)]
pub struct RepairConfig {
    /// What is done to a job that missed its first heartbeat.
    pub missed_first: Action,
    /// What is done to a job that runs for longer than `max_runtime`: `observe` or `fail`.
    pub overrun: Action,
    /// Most repairs in one pass; at least 1.
    pub max_per_pass: u32,
    /// The fuse stays closed up to this many jobs at once.
    pub fuse_min_jobs: u32,
    /// Share of the living jobs, 0 to 1, above which the fuse opens.
    pub fuse_share: f64,
    /// `table` (in the schema of the watched table) or `schema.table`.
    pub ledger: String,
    /// What `fail` writes.
    pub fail: FailConfig,
}

/// What `fail` writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailConfig {
    /// The state: one of the failure or the waiting states; none means the first failure state.
    pub state: Option<String>,
    /// Further columns, each once, and what they are set to.
    pub set: Vec<(String, Assigned)>,
    /// The system's own function, which is called instead of all that; on PostgreSQL only.
    pub call: Option<CallConfig>,
}

/// A function that ends a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallConfig {
    /// `function` (in the schema of the watched table) or `schema.function`.
    pub function: String,
    /// What it is given.
    pub args: Vec<Argument>,
}

/// Where the database URL comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseSource {
    /// Given in the configuration.
    Url(Secret),
    /// In a file, which is read again at every connect.
    File(PathBuf),
}

impl DatabaseSource {
    /// The database URL as of now. A file is read again by every call, so that a rotated password is taken up.
    ///
    /// # Errors
    /// The file can't be read, or the text is no database URL. No message contains the text.
    pub fn resolve(&self) -> Result<DatabaseUrl, ConfigError> {
        match self {
            Self::Url(text) => DatabaseUrl::parse(text.expose()).map_err(|problem| ConfigError::Database {
                key: "database".to_owned(),
                problem,
            }),
            Self::File(path) => {
                let text = read_to_the_end_of_a_url(path).map_err(|error| ConfigError::Unreadable {
                    key: "database_file".to_owned(),
                    path: path.clone(),
                    reason: error.to_string(),
                })?;
                DatabaseUrl::parse_secret(&text).map_err(|problem| ConfigError::Database {
                    key: format!("database_file {path:?}"),
                    problem,
                })
            }
        }
    }
}

/// How a configuration file that others may read names a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The key: `database` or `database_file`.
    pub key: &'static str,
    /// Its value, without secrets.
    pub value: String,
    /// Whether secrets were left out, which variables have to take the place of.
    pub lacks_secrets: bool,
}

impl DatabaseSource {
    /// How a configuration file names this database.
    ///
    /// # Errors
    /// As [`DatabaseSource::resolve`].
    pub fn written(&self) -> Result<Written, ConfigError> {
        let absolute = |path: &Path| {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            absolute
                .to_str()
                .map_or_else(|| path.display().to_string(), str::to_owned)
        };
        let text = match self {
            Self::File(path) => {
                self.resolve()?;
                return Ok(Written {
                    key: "database_file",
                    value: absolute(path),
                    lacks_secrets: false,
                });
            }
            Self::Url(text) => text,
        };
        let (value, lacks_secrets) = match self.resolve()? {
            DatabaseUrl::Sqlite(path) => (absolute(&path), false),
            DatabaseUrl::Postgres(url) if url.redacted() == url.without_secrets() => {
                (text.expose().trim().to_owned(), false)
            }
            DatabaseUrl::Postgres(url) => (url.without_secrets().to_owned(), true),
        };
        Ok(Written {
            key: "database",
            value,
            lacks_secrets,
        })
    }
}

/// The text of a file that holds a URL. Longer than any URL is not read: `/dev/zero` has no end.
fn read_to_the_end_of_a_url(path: &Path) -> std::io::Result<String> {
    const LONGEST: u64 = 64 * 1024;
    String::from_utf8(files::read(path, LONGEST)?).map_err(|_| std::io::Error::other("it is not UTF-8"))
}

choice! {
    /// How log lines look.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

choice! {
    /// The least important log lines that are shown.
    LogLevel {
        /// What failed.
        Error = "error",
        /// What may need attention.
        Warn = "warn",
        /// What happened.
        Info = "info",
        /// Why it happened.
        Debug = "debug",
        /// Every step.
        Trace = "trace",
    }
}
