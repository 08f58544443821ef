//! One file while it is open: how it is opened so that the writer doesn't notice, what is kept from one opening to the
//! next, and the words for what can be wrong with it.

use super::{
    SqliteSettings,
    absent::{missing, no_file},
    access::{Access, Reason, Still, access_of, immutable},
    catalog::Catalog,
    failures::failed,
    place::FileIdentity,
    times::RowTimes,
};
use crate::store::{StoreError, look::Carried};
use rusqlite::{
    Connection, ErrorCode, InterruptHandle, OpenFlags, Transaction, TransactionBehavior, config::DbConfig,
    limits::Limit,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long a read waits for a writer that is committing in rollback-journal mode.
pub(super) const READ_BUSY: Duration = Duration::from_secs(1);
/// How long a repair waits for the writer's lock: as long as on PostgreSQL.
pub(super) const WRITE_BUSY: Duration = Duration::from_millis(200);
/// The longest value or row that SQLite makes for us. Larger ones are never asked for: the statements look at a value's
/// length first.
const LONGEST_VALUE: i32 = 64 << 20;

/// The open file and what was found out about it.
pub(super) struct Open {
    pub connection: Connection,
    pub identity: FileIdentity,
    pub path: PathBuf,
    pub catalog: Catalog,
    pub times: RowTimes,
    /// What the last pass over this file left to the next.
    pub carried: Carried,
    /// Where reading blocks the writer's commit.
    pub reading_blocks: bool,
    /// Why this file is only read, where it is.
    pub only_read: Option<Reason>,
    /// The version of the schema that the catalog was read from.
    schema: i64,
    /// The file before it was read, where it is read without a lock.
    still: Option<Still>,
}

/// An open file of which nothing is known yet.
pub(super) struct Bare {
    pub connection: Connection,
    identity: FileIdentity,
    only_read: Option<Reason>,
    still: Option<Still>,
}

/// What is kept of a file while it is closed.
pub(super) struct Kept {
    identity: FileIdentity,
    path: PathBuf,
    catalog: Catalog,
    carried: Carried,
    schema: i64,
}

impl Bare {
    /// Opens the file at `path`, which must be there.
    pub(super) fn at(path: &Path) -> Result<Self, StoreError> {
        // Nothing is created in its place: an empty file would be taken for the writer's. Files beside it lie where
        // SQLite has them: beside the file that a symbolic link means.
        let file = fs::canonicalize(path).map_err(|error| missing(path, error))?;
        let metadata = fs::metadata(&file).map_err(|error| missing(path, error))?;
        if !metadata.is_file() {
            return Err(no_file(path, metadata.is_dir()));
        }
        let identity = FileIdentity::from(&metadata);
        let (connection, only_read, still) = match access_of(&file, &metadata) {
            Access::AsOwner => match as_owner(&file)? {
                Ok(connection) => (connection, None, None),
                Err(reason) => untouched(&file, reason)?,
            },
            Access::Untouched(reason) => untouched(&file, reason)?,
        };
        if FileIdentity::of(path).map_err(|error| missing(path, error))? != identity {
            return Err(StoreError::Connect {
                to: format!("SQLite file {}", path.display()),
                source: "it was replaced while it was opened; the next pass opens it again".into(),
            });
        }
        Ok(Self {
            connection,
            identity,
            only_read,
            still,
        })
    }

    /// Closes the file; the connection that closes last does SQLite's clean-up, as the writer's would have.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if it was read without a lock, and changed meanwhile: what was read may be torn.
    pub(super) fn close(self, path: &Path, what: &'static str) -> Result<(), StoreError> {
        close(self.connection, (&self.still, &self.only_read), path, what)
    }
}

/// Closes a connection, and demands that a file that was read without a lock has not changed.
fn close(
    connection: Connection,
    (still, only_read): (&Option<Still>, &Option<Reason>),
    path: &Path,
    what: &'static str,
) -> Result<(), StoreError> {
    // What can't be cleaned up now is cleaned up by the next connection that closes.
    let _ = connection.close();
    if let (Some(still), Some(reason)) = (still, only_read) {
        let file = fs::canonicalize(path).map_err(|error| missing(path, error))?;
        still.demand(&file, reason, what)?;
    }
    Ok(())
}

impl Open {
    /// Opens the file at `path`, which must be there. What was `kept` of it saves reading the schema again.
    pub(super) fn at(path: &Path, settings: &SqliteSettings, kept: Option<Kept>) -> Result<Self, StoreError> {
        let Bare {
            connection,
            identity,
            only_read,
            still,
        } = Bare::at(path)?;
        let asked = |pragma| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let journal: String = connection
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .map_err(|error| failed("reading the journal mode", path, error))?;
        let schema = asked("PRAGMA schema_version").map_err(|error| failed("reading the schema", path, error))?;
        let times = RowTimes::of(&settings.mapping)?;
        let kept = kept.filter(|kept| kept.identity == identity && kept.path == path);
        let (catalog, carried) = match kept {
            Some(kept) if kept.schema == schema => (kept.catalog, kept.carried),
            other => {
                let mut carried = other.map(|kept| kept.carried).unwrap_or_default();
                carried.begin_again();
                (Catalog::read(&connection, path, settings)?, carried)
            }
        };
        Ok(Self {
            identity,
            path: path.to_owned(),
            catalog,
            times,
            carried,
            reading_blocks: still.is_none() && !journal.eq_ignore_ascii_case("wal"),
            only_read,
            schema,
            still,
            connection,
        })
    }

    /// Closes the file: the connection that closes last does SQLite's clean-up, as the writer's would have.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if it was read without a lock, and changed meanwhile: what was read may be torn.
    pub(super) fn close(self, what: &'static str) -> Result<Kept, StoreError> {
        close(self.connection, (&self.still, &self.only_read), &self.path, what)?;
        Ok(Kept {
            identity: self.identity,
            path: self.path,
            catalog: self.catalog,
            carried: self.carried,
            schema: self.schema,
        })
    }

    /// The error of a statement on this file.
    pub(super) fn failed(&self, what: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
        move |error| failed(what, &self.path, error)
    }

    /// Runs `work` in one immediate transaction: an upgrade from a read transaction would answer BUSY at once. After an
    /// error everything is rolled back.
    pub(super) fn transact<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let transaction = self.begin()?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// The same, for what no one distinguishes the errors of.
    pub(super) fn under_write_lock<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.transact(work).map_err(self.failed(what))
    }

    /// Runs `work`, and stops SQLite in it once so much time has passed.
    ///
    /// # Errors
    /// If SQLite can't be stopped; the inner error is that of `work`.
    pub(super) fn give_up_after<T>(
        &mut self,
        what: &'static str,
        within: Duration,
        work: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Result<Result<T, StoreError>, StoreError> {
        let until = Instant::now() + within;
        // Asked every thousand steps of SQLite's machine: well under a millisecond apart.
        let handled = self
            .connection
            .progress_handler(1_000, Some(move || Instant::now() > until));
        handled.map_err(self.failed(what))?;
        let result = work(self);
        let handled = self.connection.progress_handler(0, None::<fn() -> bool>);
        handled.map_err(self.failed(what))?;
        Ok(result)
    }

    /// Begins a transaction that writes. None is open yet: each call has the file for itself.
    pub(super) fn begin(&self) -> rusqlite::Result<Transaction<'_>> {
        self.connection.busy_timeout(WRITE_BUSY)?;
        Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
    }

    /// That this file may be written.
    ///
    /// # Errors
    /// [`StoreError::Rights`] with what to do, where it is only read.
    pub(super) fn demand_write(&self) -> Result<(), StoreError> {
        match &self.only_read {
            Some(reason) => Err(StoreError::Rights(reason.text().to_owned())),
            None => Ok(()),
        }
    }

    pub(super) fn interrupt(&self) -> InterruptHandle {
        self.connection.get_interrupt_handle()
    }
}

/// A connection such as the owner's own programs make; the reason where not even the owner can write.
fn as_owner(file: &Path) -> Result<Result<Connection, Reason>, StoreError> {
    let failed = |error| failed("opening", file, error);
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(file, flags).map_err(failed)?;
    if connection.is_readonly("main").map_err(failed)? {
        return Ok(Err(Reason::ReadOnly(format!(
            "{} can't be written, not even by its owner: it or its file system is read-only",
            file.display()
        ))));
    }
    configure(&connection).map_err(failed)?;
    // SQLite makes its files only now; in a folder that can't be written it can't.
    match connection.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0)) {
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
            ) =>
        {
            Ok(Err(Reason::ReadOnly(format!(
                "the folder of {} can't be written by its owner, and SQLite keeps its journal there",
                file.display()
            ))))
        }
        Err(error) => Err(failed(error)),
        Ok(_) => Ok(Ok(connection)),
    }
}

type Untouched = (Connection, Option<Reason>, Option<Still>);

/// A connection that takes no lock and makes no file, to a file that no one has open.
fn untouched(file: &Path, reason: Reason) -> Result<Untouched, StoreError> {
    let still = Still::of(file, &reason)?;
    let failed = |error| failed("opening", file, error);
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(immutable(file), flags).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    Ok((connection, Some(reason), Some(still)))
}

/// The file is the writer's: no checkpoint of its log on the way, and nothing of what its schema can do to a reader.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(READ_BUSY)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)
}
