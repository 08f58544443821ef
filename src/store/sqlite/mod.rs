//! The SQLite store: a thread of its own, because SQLite blocks, and a connection for each call. The file belongs to the
//! writer: its journal mode is never changed, its log is never checkpointed while the writer has it open, its locks are
//! held as briefly as can be, and no file is left beside it that the writer can't write.

mod absent;
mod access;
mod ask;
mod catalog;
mod columns;
mod connection;
mod elsewhere;
mod ending;
mod failures;
mod guard;
mod inventory;
mod key;
mod ledger;
mod observe;
mod operator;
mod place;
mod render;
mod repair;
mod row;
mod survey;
mod thread;
mod times;

use super::{
    Acknowledged, Entries, Ledger, ObserveRequest, Resolution, Settings, Store, StoreError, Undo,
    reading::keeps_heartbeats, settings::Source,
};
use crate::domain::{Finding, Job, JobId, LedgerEntry, Noted, Outcome, Repair, RepairId, Snapshot};
use ask::Driver;
use connection::{Kept, Open};
use std::{path::PathBuf, sync::Arc, time::Duration};
use thread::Thread;

pub use inventory::SqliteInventory;
pub use render::index_advice;

/// What a [`SqliteStore`] needs to know; its address is the path of the file.
pub type SqliteSettings = Settings<Source<PathBuf>>;

/// What a user needs: SQLite knows no roles.
pub fn grants(path: &std::path::Path) -> String {
    format!(
        "-- SQLite has no roles. Run Beatwarden as the user that owns {}: any other user's files beside it\n\
         -- would lock the application out, so as another user Beatwarden only reads, while no one has the file open.\n",
        path.display()
    )
}

/// The longest that a change may take, waiting for the write lock included.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

/// The watched database in a SQLite file.
pub struct SqliteStore {
    settings: Arc<SqliteSettings>,
    /// It keeps what is known of the file between two calls.
    thread: Thread<Option<Kept>>,
    /// Whether the indexes of a ledger of an earlier version were tried.
    indexed: bool,
}

impl SqliteStore {
    /// A store that opens its file when it is first asked.
    pub fn new(settings: SqliteSettings) -> Self {
        Self {
            settings: Arc::new(settings),
            thread: Thread::start(),
            indexed: false,
        }
    }

    /// Opens the file, runs `work` on the thread, and closes the file. After an error nothing is kept of it, so that the
    /// next call starts again.
    async fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        within: Duration,
        work: impl FnOnce(&mut Open, &SqliteSettings) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let settings = self.settings.clone();
        self.thread
            .call(what, within, move |kept: &mut Option<Kept>, interrupt| {
                access::act_as_ourselves();
                let path = (settings.address)().map_err(|source| StoreError::Connect {
                    to: "the database file".to_owned(),
                    source,
                })?;
                let mut open = Open::at(&path, &settings, kept.take())?;
                interrupt.arm(open.interrupt());
                let result = work(&mut open, &settings);
                interrupt.disarm();
                let closed = open.close(what);
                let result = result?;
                *kept = Some(closed?);
                Ok(result)
            })
            .await?
    }

    /// The same for work that writes: refused where the file may only be read.
    async fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut Open, &SqliteSettings) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call(what, WRITE_WITHIN, |open, settings| {
            open.demand_write()?;
            work(open, settings)
        })
        .await
    }
}

impl Store for SqliteStore {
    async fn observe(&mut self, request: &ObserveRequest) -> Result<Snapshot, StoreError> {
        let request = request.clone();
        self.call(
            "reading the table",
            self.settings.poll_timeout,
            move |open, settings| observe::observe(open, settings, &request),
        )
        .await
    }

    async fn prepare_ledger(&mut self) -> Result<(), StoreError> {
        // Once: what took too long would take as long again.
        let tried = !std::mem::replace(&mut self.indexed, true);
        let work = move |open: &mut Open, settings: &SqliteSettings| ledger::create(open, settings, tried);
        self.write("creating the ledger", work).await
    }

    async fn repair(&mut self, repair: &Repair) -> Outcome {
        let repair = repair.clone();
        let done = self
            .write("repairing a job", move |open, settings| {
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
        self.write("looking for a repair in the ledger", move |open, settings| {
            ledger::resolve(open, settings, &repair)
        })
        .await
    }

    async fn note(&mut self, finding: &Finding) -> Result<Noted, StoreError> {
        let finding = finding.clone();
        self.write("noting what became of a repair", move |open, settings| {
            ledger::note(open, settings, &finding)
        })
        .await
    }

    async fn good_runs(&mut self) -> Result<Vec<Job>, StoreError> {
        if !keeps_heartbeats(&self.settings.mapping) {
            return Ok(Vec::new());
        }
        let read = |open: &mut Open, settings: &SqliteSettings| Driver { open, settings }.good_runs();
        self.call("reading good runs", self.settings.poll_timeout, read).await
    }
}

impl Ledger for SqliteStore {
    async fn entries(&mut self, which: Entries) -> Result<Vec<LedgerEntry>, StoreError> {
        let within = self.settings.poll_timeout;
        let read = move |open: &mut Open, settings: &SqliteSettings| operator::entries(open, settings, &which);
        self.call("reading the ledger", within, read).await
    }

    async fn newest_run(&mut self, name: &str) -> Result<Option<JobId>, StoreError> {
        let name = name.to_owned();
        self.call(
            "looking for a job by its name",
            self.settings.poll_timeout,
            move |open, _| operator::newest_run(open, &name),
        )
        .await
    }

    async fn undo(&mut self, id: RepairId) -> Result<Undo, StoreError> {
        self.write("taking the repair back", move |open, settings| {
            operator::undo(open, settings, id)
        })
        .await
    }

    async fn acknowledge(&mut self, id: RepairId) -> Result<Acknowledged, StoreError> {
        self.write("acknowledging a false repair", move |open, settings| {
            operator::acknowledge(open, settings, id)
        })
        .await
    }

    async fn acknowledge_fuse(&mut self) -> Result<RepairId, StoreError> {
        self.write("acknowledging the fuse", |open, settings| {
            operator::acknowledge_fuse(open, settings)
        })
        .await
    }
}
