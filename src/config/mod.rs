//! Configuration: what the user wrote, in five places, made into values that need no further check.
//!
//! Owns precedence (defaults < preset < file < environment < flags), the table of known keys, and the words for every
//! mistake. It knows the settings of `domain` and the shape of a `mapping`, and nothing else of jobs and databases. The
//! process's environment is handed in, so that every case can be tested; only what libpq would take where a database URL is
//! silent is read here (`defaults`).
//!
//! Sources become one flat layer each (`layers`, `environment`), layers are merged for the program and for each watch
//! (`load`), and the merged values are judged one by one (`validate`, `watch`) and together (`rules`).

mod defaults;
mod drafts;
mod ending;
mod environment;
mod error;
pub mod keys;
mod layers;
mod libpq;
mod load;
mod meltano;
mod open_files;
mod postgres_url;
mod preset;
mod provenance;
mod rules;
mod secret;
mod shapes;
mod shown_url;
mod sqlalchemy;
mod text;
mod types;
mod url;
mod validate;
mod watch;

pub use defaults::Defaults;
pub use error::{ConfigError, ConfigErrors};
pub use meltano::{MeltanoProject, MeltanoVersion};
pub use postgres_url::PostgresUrl;
pub use preset::{OwnWay, own_way, preset_names, writer_of};
pub use secret::Secret;
use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};
pub use types::{Config, DatabaseSource, LogFormat, LogLevel, RepairConfig, WatchConfig, Written};
pub use url::DatabaseUrl;
pub use watch::{KnownSystem, known_systems};

/// Everything that a configuration is made of. Not `Debug`: the variables of a process hold passwords.
#[derive(Clone, Default)]
pub struct Sources {
    /// `--config`: a file that has to exist.
    pub file: Option<PathBuf>,
    /// Where a file is looked for otherwise; the first that exists is taken. See [`Sources::usual_places`].
    pub search: Vec<PathBuf>,
    /// Variables of the process; those without our prefix are left alone.
    pub environment: Vec<(String, String)>,
    /// Names of variables with our prefix whose values are no UTF-8.
    pub unreadable: Vec<String>,
    /// What was given on the command line.
    pub flags: Flags,
    /// Where a Meltano project is looked for, here and above, when nothing says what to watch.
    pub folder: Option<PathBuf>,
}

/// The variables of a process as [`Sources`] has them: those that can be read, and the names of ours that can't.
pub fn variables(process: impl Iterator<Item = (OsString, OsString)>) -> (Vec<(String, String)>, Vec<String>) {
    let (mut variables, mut unreadable) = (Vec::new(), Vec::new());
    for (name, value) in process {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            Err(_) if name.starts_with(environment::PREFIX) => unreadable.push(name),
            Err(_) => {}
        }
    }
    (variables, unreadable)
}

impl Sources {
    /// `./beatwarden.toml`, then `/etc/beatwarden/beatwarden.toml`.
    pub fn usual_places() -> Vec<PathBuf> {
        vec![
            PathBuf::from("beatwarden.toml"),
            PathBuf::from("/etc/beatwarden/beatwarden.toml"),
        ]
    }
}

/// The texts of the flags that were given, by their names with underscores, such as `poll_interval`; any may hold a password.
/// `watch` is no key: only the watch of this name is kept.
pub type Flags = BTreeMap<&'static str, Secret>;

/// A checked configuration, and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// Every key that has a value, in the order of [`keys::KEYS`], watch by watch.
    pub provenance: Vec<Provenance>,
    /// What is allowed but unlikely to be meant, or unwise.
    pub warnings: Vec<String>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// The Meltano project whose database is watched, where nothing else was asked for.
    pub project: Option<MeltanoProject>,
}

impl Loaded {
    /// A sentence for each file that holds a secret and that every user of this host may read, and for each that they may
    /// write. The files of the web configuration are not among them.
    pub fn open_secrets(&self) -> Vec<String> {
        open_files::of(self)
    }
}

/// One value in force and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The full key, such as `watch.meltano.poll_interval`.
    pub key: String,
    /// The value as in a TOML file; without passwords.
    pub value: String,
    /// `default`, `preset meltano`, the file, `environment BEATWARDEN__...` or the flag.
    pub origin: String,
}

impl Config {
    /// Reads, merges and checks all sources.
    ///
    /// # Errors
    /// Every mistake at once; none of them shows a secret.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
        load::load(sources)
    }

    /// The same without the watches: for those who ask where an instance listens and how the log looks.
    ///
    /// # Errors
    /// A mistake in the sources, or in what they say of the program.
    pub fn load_program(sources: &Sources) -> Result<(Self, Vec<String>), ConfigErrors> {
        load::load_program(sources)
    }

    /// The program, the databases that the sources name, and what is unwise: for those who ask what a database holds.
    ///
    /// # Errors
    /// A mistake in the sources, in what they say of the program, or in a database; or none is named.
    pub fn load_databases(sources: &Sources) -> Result<(Self, Vec<DatabaseSource>, Vec<String>), ConfigErrors> {
        load::load_databases(sources)
    }
}
