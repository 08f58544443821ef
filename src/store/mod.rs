//! The watched database: the verbs that a pass needs of it, and their errors. Knows `domain`, decides nothing.
//!
//! Two stores implement [`Store`]: `postgres` and `sqlite`, each with its own `.sql` files under the same names.

mod derived;
mod error;
mod error_text_merge;
pub mod guard;
mod identity;
mod image;
pub mod inventory;
mod layout;
pub mod look;
mod mapping;
pub mod postgres;
pub mod question;
mod reading;
mod refusal;
mod settings;
pub mod sqlite;
pub mod survey;
mod template;
mod unwritable;

pub use crate::domain::{DiscoverySetting, TimeFormat};
pub use error::{Barrier, Failure, Kind, StoreError};
pub use identity::{error_text, repair_id};
pub use settings::Settings;

pub(crate) use derived::{derived, formerly};
pub(crate) use identity::{fresh_id, undo_id};
use template::literal;
pub(crate) use template::{fill, part};
pub(crate) use unwritable::computed;

use crate::domain::{
    Coverage, Finding, Holder, Job, JobId, LedgerEntry, Noted, Outcome, Repair, RepairId, Snapshot, Timestamp,
};
use crate::mapping::{
    Call, Condition, Elsewhere, Ending, ErrorText, Identifier, Mapping, SERVER_ZONE, TableName, TimeSource, quoted,
};
use std::{future::Future, time::Duration};

/// What a pass asks of the table.
#[derive(Clone, Debug)]
pub struct ObserveRequest {
    /// Jobs to read by key whatever their state: those that the last pass knew. In ascending order.
    pub known: Vec<JobId>,
    /// How much of the table to cover.
    pub coverage: Coverage,
    /// How long a full look that goes page by page may keep the pass.
    pub budget: TimeBudget,
    /// How far back a first pass reads jobs that have ended: the window of the success ratio.
    pub window: Duration,
    /// Whether the caller wrote to the ledger since it observed last, or found something that belongs in it: then entries are asked
    /// for at once.
    pub wrote: bool,
    /// Whether the caller has lost what the last observation brought: it was too old to be used, or using it failed. Then neither the
    /// keys nor the pages that it went through count as read.
    pub lost_last: bool,
}

impl ObserveRequest {
    /// Of a caller that looks once, or rarely: what is begun is brought to its end. `known` may be in any order.
    pub fn whole(mut known: Vec<JobId>, coverage: Coverage) -> Self {
        known.sort_unstable();
        Self {
            known,
            coverage,
            budget: TimeBudget::Unlimited,
            window: Duration::from_secs(3600),
            wrote: false,
            lost_last: false,
        }
    }
}

/// How long a full look that goes page by page may keep a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBudget {
    /// Until it is complete: for a caller that looks once.
    Unlimited,
    /// Pages that together cost the database about so much; the rest comes with the next passes. One page is always read.
    About(Duration),
}

impl TimeBudget {
    /// A part of it, where so many full looks are made in one database at a time.
    pub(crate) fn shared_by(self, looks: usize) -> Self {
        match self {
            Self::Unlimited => Self::Unlimited,
            Self::About(budget) => Self::About(budget / u32::try_from(looks.max(1)).unwrap_or(u32::MAX)),
        }
    }

    /// The same, but in a pass no longer than `most`, unless it is without a limit.
    pub(crate) fn at_most(self, most: Self) -> Self {
        match (self, most) {
            (Self::About(budget), Self::About(most)) => Self::About(budget.min(most)),
            (this, _) => this,
        }
    }

    /// How long one page should take, at most.
    pub(crate) fn a_page(self) -> Duration {
        /// No snapshot is held for much longer than this without need.
        const LONGEST: Duration = Duration::from_millis(50);
        match self {
            Self::Unlimited => LONGEST,
            Self::About(budget) => budget.min(LONGEST),
        }
    }

    /// Whether another page, which costs about as much as the last one, is too much after what was spent. `elapsed` is how long
    /// the pages have kept the pass: the way to a distant database costs it nothing, and is bounded all the same.
    pub(crate) fn is_spent(self, spent: Duration, last: Duration, elapsed: Duration) -> bool {
        /// Of what the pages may cost.
        const LONGEST: u32 = 4;
        matches!(self, Self::About(budget) if spent + last / 2 >= budget || elapsed >= budget * LONGEST)
    }
}

/// What the ledger says of a repair whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It was committed, by this process.
    Committed(RepairId),
    /// Another process has made it meanwhile: ours never was, and never will be.
    ByAnother,
    /// It was not, and never will be: its transaction has ended.
    NotCommitted,
    /// Its transaction, or another replica's, still holds the gate: not known yet.
    NotLeader,
}

/// A watched database. Every call ends within a deadline of its own, and leaves no transaction behind.
pub trait Store: Send {
    /// Reads, without changing anything, what one pass needs. Connects first where there is no connection.
    ///
    /// # Errors
    /// If the database can't be reached or doesn't answer in time, or the table is not as it is configured.
    fn observe(&mut self, request: &ObserveRequest) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// Creates the ledger if it isn't there. Called before the first repair, never while the action is `observe`.
    ///
    /// # Errors
    /// If it can't be created, or can't be trusted.
    fn prepare_ledger(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes one repair and its ledger entry in one transaction, guarded by everything that was observed. What goes wrong is an
    /// [`Outcome`], too.
    fn repair(&mut self, repair: &Repair) -> impl Future<Output = Outcome> + Send;

    /// Finds out whether a repair whose answer was lost was committed.
    ///
    /// # Errors
    /// If the database can't be asked.
    fn resolve(&mut self, repair: &Repair) -> impl Future<Output = Result<Resolution, StoreError>> + Send;

    /// Writes to its ledger entry what turned out about a repair, unless something was written there already, or the
    /// repair was undone. Returns [`Noted::First`] or [`Noted::Known`].
    ///
    /// # Errors
    /// If the database can't be asked.
    fn note(&mut self, finding: &Finding) -> impl Future<Output = Result<Noted, StoreError>> + Send;

    /// Which other sessions hold the gate, and the row of a job, where one is given, or its table: the likeliest first. A
    /// database whose locks can't be looked at names none.
    ///
    /// # Errors
    /// If the database can't be asked.
    fn holders(&mut self, _job: Option<&JobId>) -> impl Future<Output = Result<Vec<Holder>, StoreError>> + Send {
        std::future::ready(Ok(Vec::new()))
    }

    /// The newest rows in a success state, [`GOOD_RUNS`](crate::domain::GOOD_RUNS) at most, with their heartbeats; none where it takes long to find
    /// them, or where they would show nothing of the job that a row is about.
    ///
    /// # Errors
    /// If the database can't be asked.
    fn good_runs(&mut self) -> impl Future<Output = Result<Vec<Job>, StoreError>> + Send {
        std::future::ready(Ok(Vec::new()))
    }
}

/// Which entries of this table's ledger are asked for.
#[derive(Clone, Debug)]
pub enum Entries {
    /// The newest, so many at most, and every false repair that no one acknowledged, however old; newest first.
    Newest(u32),
    /// Those whose identities lie between two, both included; 20 at most, newest first.
    Between(RepairId, RepairId),
    /// Every one of a job, oldest first.
    OfJob(JobId),
}

/// What an operator does with the ledger. Every call ends within a deadline of its own.
pub trait Ledger: Send {
    /// The entries that are asked for.
    ///
    /// # Errors
    /// If the ledger can't be read; one that isn't there yet is empty.
    fn entries(&mut self, which: Entries) -> impl Future<Output = Result<Vec<LedgerEntry>, StoreError>> + Send;

    /// The newest run of a name: the key of the row that started last; nothing where the table has no names, or not this one.
    ///
    /// # Errors
    /// If the table can't be read in time: no index needs to serve a name.
    fn newest_run(&mut self, name: &str) -> impl Future<Output = Result<Option<JobId>, StoreError>> + Send;

    /// Takes one repair back: the row as it was before, and an entry of its own, in one transaction.
    ///
    /// # Errors
    /// If the database can't be asked.
    fn undo(&mut self, id: RepairId) -> impl Future<Output = Result<Undo, StoreError>> + Send;

    /// Acknowledges what turned out about a repair: that it was false, or that the job beat after all.
    ///
    /// # Errors
    /// If the ledger can't be written.
    fn acknowledge(&mut self, id: RepairId) -> impl Future<Output = Result<Acknowledged, StoreError>> + Send;

    /// Acknowledges the fuse: suspends its rule for all replicas, from now on.
    ///
    /// # Errors
    /// If the ledger can't be written.
    fn acknowledge_fuse(&mut self) -> impl Future<Output = Result<RepairId, StoreError>> + Send;
}

/// What became of an undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// The row is as before the repair, but for what the writer changed since.
    Done {
        /// The undo's own entry.
        entry: RepairId,
        /// What became of the error text.
        error_text: ErrorTextRemoval,
        /// The further columns that the repair had set and that were changed since: they stay as they are.
        left_alone: Vec<String>,
    },
    /// Nothing was changed, for this reason: column and values are named.
    Refused(String),
    /// The ledger has no such repair of this table.
    NotFound,
}

/// What became of the error text when a `fail` was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorTextRemoval {
    /// None had been written.
    NotThere,
    /// It was taken out, byte for byte.
    TakenOut,
    /// The column no longer has it as it was written: left alone.
    LeftAlone,
}

/// What became of an acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// It is written now.
    Now,
    /// It was before.
    Before,
    /// Nothing turned out about the entry.
    NotFalse,
    /// The ledger has no such repair of this table.
    NotFound,
}

/// Reads a time of RFC 3339; `None` where the text isn't one.
pub(crate) fn from_rfc3339(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_micros(at.as_microsecond()))
}

/// A time as RFC 3339 in UTC with microseconds.
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros()).map_or_else(
        |_| at.as_micros().to_string(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
    )
}
