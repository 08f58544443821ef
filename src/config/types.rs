//! The validated configuration: what the rest of the program may rely on.
//!
//! Owns the types only; how they come about is in `layers` and `validate`.

use super::text::shown;
use super::{ConfigError, DatabaseUrl, MeltanoVersion, Secret};
use crate::domain::{Action, DiscoverySetting, Noun};
use crate::files;
use crate::mapping::{Ending, Mapping, Naming};
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
    /// The kind of database that the names in the mapping were read for: no other is watched by them.
    pub naming: Naming,
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
    /// The table and its columns, and what `fail` writes.
    pub mapping: Mapping,
    /// What may be repaired, and how much at once.
    pub repair: RepairConfig,
    /// The Meltano whose project is watched, where it can be determined.
    pub meltano: Option<MeltanoVersion>,
}

impl WatchConfig {
    /// What is done to overdue jobs.
    pub fn action(&self) -> Action {
        match self.mapping.max_runtime {
            None => self.repair.missed_first,
            Some(_) => self.repair.overrun,
        }
    }

    /// The key below `repair` that says so.
    pub fn action_key(&self) -> &'static str {
        match self.mapping.max_runtime {
            None => "missed_first",
            Some(_) => "overrun",
        }
    }

    /// Whether table, columns and states are the same as those of `other`.
    pub fn maps_as(&self, other: &Self) -> bool {
        let of_table = |watch: &Self| Mapping {
            ledger: self.mapping.ledger.clone(),
            max_runtime: None,
            ending: Ending::default(),
            ..watch.mapping.clone()
        };
        of_table(self) == of_table(other)
    }

    /// Takes another action for overdue jobs.
    pub fn set_action(&mut self, action: Action) {
        match self.mapping.max_runtime {
            None => self.repair.missed_first = action,
            Some(_) => self.repair.overrun = action,
        }
    }
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
    /// Share of those that `fail` would end among them and the living jobs, 0 to 1, above which the fuse opens.
    pub fuse_share: f64,
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
                    key: "database_file".to_owned(),
                    problem: format!("{}: {problem}", shown(&path.to_string_lossy())),
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
