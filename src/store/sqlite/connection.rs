//! One open file: how it is opened so that the writer doesn't notice, and the words for what can be wrong with it.

use super::{SqliteSettings, catalog::Catalog, place::FileIdentity, times::Times};
use crate::store::{StoreError, tail::Tail};
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags, config::DbConfig};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a read waits for a writer that is committing in rollback-journal mode.
pub(super) const READ_BUSY: Duration = Duration::from_secs(1);

/// The open file and what was found out about it.
pub(super) struct Open {
    pub connection: Connection,
    pub identity: FileIdentity,
    pub path: PathBuf,
    pub catalog: Catalog,
    pub times: Times,
    /// The tail of the key, as seen in this file.
    pub tail: Option<Tail>,
    /// Whether it was begun by the present look.
    pub tail_is_new: bool,
    /// Where reading blocks the writer's commit.
    pub reading_blocks: bool,
}

impl Open {
    /// Opens the file at `path`, which must be there.
    pub(super) fn at(path: &Path, settings: &SqliteSettings) -> Result<Self, StoreError> {
        let away = |why: String| StoreError::Connect {
            to: format!("SQLite file {}", path.display()),
            source: why.into(),
        };
        // Nothing is created in its place: an empty file would be taken for the writer's.
        let missing = |error: std::io::Error| {
            away(format!(
                "{error}: check the path, or wait until the writer has made the file"
            ))
        };
        let identity = FileIdentity::of(path).map_err(missing)?;
        let connection = connect(path)?;
        if FileIdentity::of(path).map_err(missing)? != identity {
            return Err(away(
                "it was replaced while it was opened; the next look opens it anew".to_owned(),
            ));
        }
        let journal: String = connection
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .map_err(|error| failed("reading the journal mode", path, error))?;
        let catalog = Catalog::read(&connection, path, settings)?;
        let zone = settings
            .mapping
            .zone()
            .map_err(|error| StoreError::Schema(format!("watch.table.time_zone: {error}")))?;
        Ok(Self {
            connection,
            identity,
            path: path.to_owned(),
            catalog,
            times: Times {
                format: settings.mapping.time_format,
                zone,
            },
            tail: None,
            tail_is_new: false,
            reading_blocks: !journal.eq_ignore_ascii_case("wal"),
        })
    }

    /// Whether this is still the file that the path names.
    pub(super) fn is_still(&self, path: &Path) -> bool {
        self.path == path && FileIdentity::of(path).is_ok_and(|identity| identity == self.identity)
    }

    pub(super) fn interrupt(&self) -> InterruptHandle {
        self.connection.get_interrupt_handle()
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let told = |error| failed("opening", path, error);
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)
        .or_else(|_| Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY))
        .map_err(told)?;
    connection.busy_timeout(READ_BUSY).map_err(told)?;
    // The file is the writer's: no checkpoint of its log by us, neither on the way nor at the end.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(told)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(told)?;
    Ok(connection)
}

/// The error of a statement, by what the operator has to do about it.
pub(super) fn failed(what: &'static str, path: &Path, error: rusqlite::Error) -> StoreError {
    let code = error.sqlite_error_code();
    let file = path.display();
    match code {
        Some(ErrorCode::NotADatabase) => StoreError::Schema(format!(
            "{file} is not a SQLite database (or it is encrypted): check --database"
        )),
        Some(ErrorCode::CannotOpen) => StoreError::Connect {
            to: format!("SQLite file {file}"),
            source: error.into(),
        },
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            StoreError::Rights(format!("{file}: {error}: check the rights on the file and its folder"))
        }
        // Also where only the folder can't be written: readers of a write-ahead log share a file that somebody has to make.
        Some(ErrorCode::ReadOnly) => StoreError::Rights(format!(
            "{file}: {error}: give this user write access to the file and its folder"
        )),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked {
            what,
            source: error.into(),
        },
        Some(ErrorCode::OperationInterrupted) => StoreError::Timeout {
            what,
            after: Duration::ZERO,
        },
        _ => {
            let text = error.to_string();
            if text.contains("no such table") || text.contains("no such column") {
                StoreError::Schema(format!("{what}: {text}"))
            } else {
                StoreError::Query {
                    what,
                    source: error.into(),
                }
            }
        }
    }
}
