//! The watched database: the verbs that a pass needs of it, and their errors. Knows `domain`, decides nothing.
//!
//! Two stores implement [`Store`]: `postgres` and `sqlite`, each with its own `.sql` files under the same names.

mod derived;
mod error;
mod error_text_merge;
pub mod guard;
mod image;
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

pub use crate::domain::{DiscoverySetting, TimeFormat};
pub use error::{Barrier, Failure, StoreError};
pub use mapping::{
    Condition, Elsewhere, Ending, ErrorText, Identifier, IdentifierError, Mapping, SERVER_ZONE, TableName, TimeSource,
};
pub use settings::Settings;

pub(crate) use derived::{derived, formerly};
pub(crate) use template::{fill, part};

use crate::domain::{
    Finding, Holder, Incident, JobId, LedgerEntry, Look, Noted, Outcome, Phase, Repair, RepairId, Snapshot, Timestamp,
};
use std::{future::Future, time::Duration};

/// What a pass asks of the table.
#[derive(Clone, Debug)]
pub struct ObserveRequest {
    /// Jobs to read by key whatever their state: those that the last pass knew. In ascending order.
    pub known: Vec<JobId>,
    /// How much of the table to cover.
    pub look: Look,
    /// How long a full look that goes page by page may keep the pass.
    pub budget: TimeBudget,
    /// How far back a first look reads jobs that have ended: the window of the success ratio.
    pub window: Duration,
}

impl ObserveRequest {
    /// Of a caller that looks once, or rarely: what is begun is brought to its end. `known` may be in any order.
    pub fn whole(mut known: Vec<JobId>, look: Look) -> Self {
        known.sort_unstable();
        Self {
            known,
            look,
            budget: TimeBudget::Unlimited,
            window: Duration::from_secs(3600),
        }
    }
}

/// How long a full look that goes page by page may keep a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBudget {
    /// Until it is complete: for a caller that looks once.
    Unlimited,
    /// About so long; the rest comes with the next passes. One page is always read.
    About(Duration),
}

impl TimeBudget {
    /// The same, but in a pass no longer than `most`.
    pub(crate) fn at_most(self, most: Duration) -> Self {
        match self {
            Self::Unlimited => Self::Unlimited,
            Self::About(budget) => Self::About(budget.min(most)),
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

    /// Whether another page, which takes about as long as the last one, is too much after what was spent.
    pub(crate) fn is_spent(self, spent: Duration, last: Duration) -> bool {
        matches!(self, Self::About(budget) if spent + last >= budget)
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
    fn observe(&mut self, request: &ObserveRequest) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// Creates the ledger if it isn't there. Called before the first repair, never while the action is `observe`.
    fn prepare_ledger(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes one repair and its ledger entry in one transaction, guarded by everything that was observed.
    fn repair(&mut self, repair: &Repair) -> impl Future<Output = Outcome> + Send;

    /// Finds out whether a repair whose answer was lost was committed.
    fn resolve(&mut self, repair: &Repair) -> impl Future<Output = Result<Resolution, StoreError>> + Send;

    /// Writes to its ledger entry what turned out about a repair, unless something was written there already, or the
    /// repair was undone. Returns [`Noted::First`] or [`Noted::Known`].
    fn note(&mut self, finding: &Finding) -> impl Future<Output = Result<Noted, StoreError>> + Send;

    /// Which other sessions hold the gate, and the row of a job, where one is given, or its table: the likeliest first. A
    /// database whose locks can't be looked at names none.
    fn holders(&mut self, _job: Option<&JobId>) -> impl Future<Output = Result<Vec<Holder>, StoreError>> + Send {
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

/// The identity of a repair: the same in every replica and after every restart.
///
/// A name-based UUID (RFC 9562, version 5) of what a repair is about: table, incident and action. It is the ledger's
/// primary key, so the database itself refuses a second repair of the same incident. The watch is no part of it: its name
/// is a label. Only after an undo can an operator insist on another one; its identity includes that undo's.
pub fn repair_id(table: &str, repair: &Repair) -> RepairId {
    let Incident { job, started_at } = repair.incident();
    let start = started_at.map_or_else(String::new, |at| at.as_micros().to_string());
    let key = job.text();
    let parts = [table, &key, &start, repair.action.as_str()];
    let undo = repair.after_undo.map(|id| uuid::Uuid::from_u128(id.0).to_string());
    named(parts.into_iter().chain(undo.as_deref()))
}

/// The identity of the undo of a repair: the ledger's key refuses a second one.
pub(crate) fn undo_id(repair: RepairId) -> RepairId {
    let repair = uuid::Uuid::from_u128(repair.0).to_string();
    named(["undo", &repair])
}

/// An identity that nothing else has: for an acknowledgement of the fuse, which may come twice.
pub(crate) fn fresh_id() -> RepairId {
    RepairId(uuid::Uuid::new_v4().as_u128())
}

fn named<'a>(parts: impl IntoIterator<Item = &'a str>) -> RepairId {
    // Length prefixes keep ("a", "bc") and ("ab", "c") apart.
    let name: String = parts
        .into_iter()
        .map(|part| format!("{}:{part};", part.len()))
        .collect();
    RepairId(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).as_u128())
}

/// The text that `fail` writes where an error column is configured, JSON-escaped, without quotes around it.
pub fn error_text(id: RepairId, repair: &Repair) -> String {
    let what = match repair.reason {
        Phase::Overrun => format!(
            "running for longer than {}",
            humantime::format_duration(repair.deadline)
        ),
        _ => format!("no heartbeat within {}s of the start", repair.deadline.as_secs_f64()),
    };
    let text = format!("Beatwarden: {what} (repair {id})");
    let quoted = serde_json::Value::String(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// A time as RFC 3339 in UTC with microseconds.
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros()).map_or_else(
        |_| at.as_micros().to_string(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Job, Repairing, ServerIdentity, StartCheck, TimeValue};
    use std::time::Duration;

    fn repair(id: &str, start: i64, action: Repairing) -> Repair {
        Repair {
            action,
            job: Job {
                id: JobId::new(id),
                name: None,
                state: Some("RUNNING".into()),
                started_at: TimeValue::from_micros(start),
                heartbeat_at: TimeValue::Absent,
                ended_at: TimeValue::Absent,
            },
            reason: Phase::MissedFirst,
            deadline: Duration::from_secs(60),
            server: ServerIdentity(String::new()),
            start: StartCheck::Overdue,
            after_undo: None,
        }
    }

    #[test]
    fn a_repair_has_one_identity_for_each_incident_and_action() {
        let first = repair_id("t", &repair("1", 5, Repairing::Fail));
        assert_eq!(first, repair_id("t", &repair("1", 5, Repairing::Fail)));
        for other in [
            repair_id("t", &repair("1", 6, Repairing::Fail)),
            repair_id("t", &repair("1", 5, Repairing::Backfill)),
            repair_id("u", &repair("1", 5, Repairing::Fail)),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn the_error_text_names_deadline_and_repair() {
        let missed = repair("1", 5, Repairing::Fail);
        assert_eq!(
            error_text(RepairId(0), &missed),
            "Beatwarden: no heartbeat within 60s of the start (repair 00000000-0000-0000-0000-000000000000)"
        );
        let overrun = Repair {
            reason: Phase::Overrun,
            deadline: Duration::from_secs(6 * 3600),
            ..missed
        };
        assert_eq!(
            error_text(RepairId(0), &overrun),
            "Beatwarden: running for longer than 6h (repair 00000000-0000-0000-0000-000000000000)"
        );
    }
}
