//! A store of either kind behind one type, so that no other module has to ask which database it is.

use crate::{
    domain::{Finding, Holder, JobId, LedgerEntry, Noted, Outcome, Repair, RepairId, Snapshot},
    store::{
        Acknowledged, Entries, Ledger, ObserveRequest, Resolution, Store, StoreError, Undo,
        guard::{GuardSql, GuardState, Guarded, Progress},
        postgres::{Links, PostgresStore},
        sqlite::SqliteStore,
        survey::{Surroundings, Surveyed},
    },
};

use std::time::Duration;

/// A store of either kind.
pub enum AnyStore {
    /// PostgreSQL.
    Postgres(Box<PostgresStore>),
    /// SQLite.
    Sqlite(Box<SqliteStore>),
}

impl AnyStore {
    /// The same store over connections that it shares with other watches of the same database. A file needs none.
    #[must_use]
    pub(super) fn sharing(self, links: Links, poll_interval: Duration) -> Self {
        match self {
            Self::Postgres(store) => Self::Postgres(Box::new(store.sharing(links, poll_interval))),
            Self::Sqlite(store) => Self::Sqlite(store),
        }
    }
}

/// The same call on whichever store it is.
macro_rules! on {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            AnyStore::Postgres($store) => $call.await,
            AnyStore::Sqlite($store) => $call.await,
        }
    };
}

impl Store for AnyStore {
    async fn observe(&mut self, request: &ObserveRequest) -> Result<Snapshot, StoreError> {
        on!(self, store => store.observe(request))
    }

    async fn prepare_ledger(&mut self) -> Result<(), StoreError> {
        on!(self, store => store.prepare_ledger())
    }

    async fn repair(&mut self, repair: &Repair) -> Outcome {
        on!(self, store => store.repair(repair))
    }

    async fn resolve(&mut self, repair: &Repair) -> Result<Resolution, StoreError> {
        on!(self, store => store.resolve(repair))
    }

    async fn note(&mut self, finding: &Finding) -> Result<Noted, StoreError> {
        on!(self, store => store.note(finding))
    }

    async fn holders(&mut self, job: Option<&JobId>) -> Result<Vec<Holder>, StoreError> {
        on!(self, store => store.holders(job))
    }
}

impl Guarded for AnyStore {
    async fn guard(&mut self) -> Result<GuardState, StoreError> {
        on!(self, store => store.guard())
    }

    async fn install_guard(&mut self, progress: Progress<'_>) -> Result<(), StoreError> {
        on!(self, store => store.install_guard(progress))
    }

    async fn remove_guard(&mut self, progress: Progress<'_>) -> Result<(), StoreError> {
        on!(self, store => store.remove_guard(progress))
    }

    async fn build_index(&mut self, progress: Progress<'_>) -> Result<String, StoreError> {
        on!(self, store => store.build_index(progress))
    }

    async fn guard_sql(&mut self) -> Result<GuardSql, StoreError> {
        on!(self, store => store.guard_sql())
    }
}

impl Surveyed for AnyStore {
    async fn survey(&mut self) -> Result<Surroundings, StoreError> {
        on!(self, store => store.survey())
    }

    async fn times_of(&mut self, job: &JobId) -> Result<Vec<(String, String)>, StoreError> {
        on!(self, store => store.times_of(job))
    }
}

impl Ledger for AnyStore {
    async fn entries(&mut self, which: Entries) -> Result<Vec<LedgerEntry>, StoreError> {
        on!(self, store => store.entries(which))
    }

    async fn newest_run(&mut self, name: &str) -> Result<Option<JobId>, StoreError> {
        on!(self, store => store.newest_run(name))
    }

    async fn undo(&mut self, id: RepairId) -> Result<Undo, StoreError> {
        on!(self, store => store.undo(id))
    }

    async fn acknowledge(&mut self, id: RepairId) -> Result<Acknowledged, StoreError> {
        on!(self, store => store.acknowledge(id))
    }

    async fn acknowledge_fuse(&mut self) -> Result<RepairId, StoreError> {
        on!(self, store => store.acknowledge_fuse())
    }
}
