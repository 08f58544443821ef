//! The SQLite store: one connection on a thread of its own, because SQLite blocks. The file belongs to the writer: its
//! journal mode is never changed, it is never checkpointed, and its locks are held as briefly as can be.

mod catalog;
mod connection;
mod guard;
mod ledger;
mod observe;
mod operator;
mod place;
mod repair;
mod tail;
mod thread;
mod times;

use super::{Acknowledged, Inquiry, Ledger, Mapping, Resolution, Store, StoreError, Undo, Wanted};
use crate::domain::{Action, Finding, JobId, LedgerEntry, Noted, Outcome, Repair, RepairId, Snapshot};
use connection::Open;
use std::{path::PathBuf, sync::Arc, time::Duration};
use thread::Thread;

/// Where the path of the file comes from: asked again at every connect.
pub type PathSource = Box<dyn Fn() -> Result<PathBuf, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

pub use guard::index_name;

/// What a [`SqliteStore`] needs to know.
pub struct SqliteSettings {
    /// The database file.
    pub path: PathSource,
    /// Table, columns and ledger.
    pub mapping: Mapping,
    /// The deadline of one look at the table.
    pub poll_timeout: Duration,
    /// How far after the start a heartbeat still counts as written together with it.
    pub seed_tolerance: Duration,
    /// The name of this process in the ledger.
    pub instance: String,
    /// What will be done with jobs that missed their first heartbeat.
    pub action: Action,
    /// How running jobs are to be found.
    pub discovery: Wanted,
}

/// What a user needs: SQLite knows no roles.
pub fn grants(path: &std::path::Path, action: Action) -> String {
    let need = match action {
        Action::Observe => "read",
        Action::Backfill | Action::Fail => "read and write",
    };
    format!(
        "-- SQLite has no roles: the user that runs Beatwarden has to {need} {}, and to write its folder while the\n\
         -- journal mode is WAL, because readers share the -shm file.\n",
        path.display()
    )
}

/// The longest that one repair may take, waiting for the write lock included.
const REPAIR_WITHIN: Duration = Duration::from_secs(5);

/// The watched database in a SQLite file.
pub struct SqliteStore {
    settings: Arc<SqliteSettings>,
    thread: Thread<Place>,
}

/// What the thread keeps between two calls.
#[derive(Default)]
struct Place {
    open: Option<Open>,
}

impl Place {
    /// The open file, opened anew if there is none, or if the path names another file by now.
    fn open(&mut self, settings: &SqliteSettings) -> Result<&mut Open, StoreError> {
        let path = (settings.path)().map_err(|source| StoreError::Connect {
            to: "the database file".to_owned(),
            source,
        })?;
        if !self.open.as_ref().is_some_and(|open| open.is_still(&path)) {
            self.open = None;
            self.open = Some(Open::at(&path, settings)?);
        }
        Ok(self.open.as_mut().expect("just opened"))
    }
}

impl SqliteStore {
    /// A store that opens its file when it is first asked.
    pub fn new(settings: SqliteSettings) -> Self {
        Self {
            settings: Arc::new(settings),
            thread: Thread::start(),
        }
    }

    /// Runs `work` on the thread. After any error, and if a transaction is left, the file is closed, so that
    /// the next call begins afresh.
    async fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        within: Duration,
        work: impl FnOnce(&mut Open, &SqliteSettings) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let settings = self.settings.clone();
        self.thread
            .call(what, within, move |place: &mut Place, interrupt| {
                let result = place.open(&settings).and_then(|open| {
                    interrupt.arm(open.interrupt());
                    work(open, &settings)
                });
                interrupt.disarm();
                // A rollback that failed would hold the write lock until the file is closed.
                let is_idle = place.open.as_ref().is_some_and(|open| open.connection.is_autocommit());
                if result.is_err() || !is_idle {
                    place.open = None;
                }
                result
            })
            .await?
    }
}

impl Store for SqliteStore {
    async fn observe(&mut self, inquiry: &Inquiry) -> Result<Snapshot, StoreError> {
        let inquiry = inquiry.clone();
        self.call(
            "reading the table",
            self.settings.poll_timeout,
            move |open, settings| observe::observe(open, settings, &inquiry),
        )
        .await
    }

    async fn prepare_ledger(&mut self) -> Result<(), StoreError> {
        self.call("creating the ledger", REPAIR_WITHIN, |open, settings| {
            ledger::create(open, settings)
        })
        .await
    }

    async fn repair(&mut self, repair: &Repair) -> Outcome {
        let repair = repair.clone();
        let done = self
            .call("repairing a job", REPAIR_WITHIN, move |open, settings| {
                Ok(repair::repair(open, settings, &repair))
            })
            .await;
        match done {
            Ok(outcome) => outcome,
            // The thread may still be at it: whether it committed has to be found out.
            Err(error @ StoreError::Timeout { .. }) => Outcome::Unknown(error.chain()),
            Err(error) => Outcome::Failed(error.chain()),
        }
    }

    async fn resolve(&mut self, repair: &Repair) -> Result<Resolution, StoreError> {
        let repair = repair.clone();
        self.call(
            "looking for a repair in the ledger",
            REPAIR_WITHIN,
            move |open, settings| ledger::resolve(open, settings, &repair),
        )
        .await
    }

    async fn note(&mut self, finding: &Finding) -> Result<Noted, StoreError> {
        let finding = finding.clone();
        self.call(
            "noting what became of a repair",
            REPAIR_WITHIN,
            move |open, settings| ledger::note(open, settings, &finding),
        )
        .await
    }
}

impl Ledger for SqliteStore {
    async fn history(&mut self, limit: u32) -> Result<Vec<LedgerEntry>, StoreError> {
        self.call(
            "reading the ledger",
            self.settings.poll_timeout,
            move |open, settings| operator::history(open, settings, limit),
        )
        .await
    }

    async fn history_of(&mut self, job: &JobId) -> Result<Vec<LedgerEntry>, StoreError> {
        let job = job.clone();
        self.call(
            "reading the ledger",
            self.settings.poll_timeout,
            move |open, settings| operator::history_of(open, settings, &job.text()),
        )
        .await
    }

    async fn undo(&mut self, id: RepairId) -> Result<Undo, StoreError> {
        self.call("taking the repair back", REPAIR_WITHIN, move |open, settings| {
            operator::undo(open, settings, id)
        })
        .await
    }

    async fn acknowledge(&mut self, id: RepairId) -> Result<Acknowledged, StoreError> {
        self.call("acknowledging a false repair", REPAIR_WITHIN, move |open, settings| {
            operator::acknowledge(open, settings, id)
        })
        .await
    }

    async fn acknowledge_fuse(&mut self) -> Result<RepairId, StoreError> {
        self.call("acknowledging the fuse", REPAIR_WITHIN, operator::acknowledge_fuse)
            .await
    }
}
