//! A store of either kind behind one type, so that a watch need not know which database it is.

use crate::{
    domain::{Finding, Holder, Job, JobId, LedgerEntry, Noted, Outcome, Repair, RepairId, Snapshot},
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

/// Implements a trait by the same call on whichever store it is.
macro_rules! forward {
    ($trait:ident { $(fn $verb:ident($($name:ident: $type:ty),*) -> $answer:ty;)+ }) => {
        impl $trait for AnyStore {
            $(async fn $verb(&mut self, $($name: $type),*) -> $answer {
                match self {
                    Self::Postgres(store) => store.$verb($($name),*).await,
                    Self::Sqlite(store) => store.$verb($($name),*).await,
                }
            })+
        }
    };
}

forward!(Store {
    fn observe(request: &ObserveRequest) -> Result<Snapshot, StoreError>;
    fn prepare_ledger() -> Result<(), StoreError>;
    fn repair(repair: &Repair) -> Outcome;
    fn resolve(repair: &Repair) -> Result<Resolution, StoreError>;
    fn note(finding: &Finding) -> Result<Noted, StoreError>;
    fn holders(job: Option<&JobId>) -> Result<Vec<Holder>, StoreError>;
    fn good_runs() -> Result<Vec<Job>, StoreError>;
});

forward!(Guarded {
    fn guard() -> Result<GuardState, StoreError>;
    fn install_guard(progress: Progress<'_>) -> Result<(), StoreError>;
    fn remove_guard(progress: Progress<'_>) -> Result<(), StoreError>;
    fn build_index(progress: Progress<'_>) -> Result<String, StoreError>;
    fn guard_sql() -> Result<GuardSql, StoreError>;
});

forward!(Surveyed {
    fn survey() -> Result<Surroundings, StoreError>;
    fn times_of(job: &JobId) -> Result<Vec<(String, String)>, StoreError>;
});

forward!(Ledger {
    fn entries(which: Entries) -> Result<Vec<LedgerEntry>, StoreError>;
    fn newest_run(name: &str) -> Result<Option<JobId>, StoreError>;
    fn undo(id: RepairId) -> Result<Undo, StoreError>;
    fn acknowledge(id: RepairId) -> Result<Acknowledged, StoreError>;
    fn acknowledge_fuse() -> Result<RepairId, StoreError>;
});
