//! What the ledger knows: entries, and the precedents that keep an incident from being repaired twice.

use super::{Action, Incident, JobId, TimeValue, Timestamp};
use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashSet},
    fmt,
};

/// The identity of a repair, fixed before its first attempt (a UUID as an integer).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepairId(pub u128);

impl fmt::Display for RepairId {
    /// As people write it: a UUID in small letters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        let (first, second, third, fourth) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20]);
        write!(f, "{first}-{second}-{third}-{fourth}-{}", &hex[20..])
    }
}

choice! {
    /// What a ledger entry records.
    LedgerAction {
        /// The heartbeat was set to the start.
        Backfill = "backfill",
        /// The job was ended.
        Fail = "fail",
        /// An earlier repair was taken back.
        Undo = "undo",
        /// The fuse was acknowledged.
        AckFuse = "ack_fuse",
    }
}

impl LedgerAction {
    /// Whether it changed a job of its own accord: an undo takes that back, an acknowledgement changes nothing.
    pub const fn is_repair(self) -> bool {
        matches!(self, Self::Backfill | Self::Fail)
    }
}

choice! {
    /// What turned out about a repair later.
    LateOutcome {
        /// A failed job was alive.
        FalseRepair = "false_repair",
        /// A backfilled job beat after all: harmless.
        LateHeartbeat = "late_heartbeat",
    }
}

/// One row of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerEntry {
    /// Primary key.
    pub repair_id: RepairId,
    /// The watch that made it.
    pub watch: String,
    /// The watched table.
    pub table_name: String,
    /// The job.
    pub job_id: JobId,
    /// Its name.
    pub job_name: Option<String>,
    /// Why: `missed_first` or `overrun`.
    pub reason: String,
    /// What was done.
    pub action: LedgerAction,
    /// Which process did it.
    pub instance: String,
    /// The start of the incident.
    pub started_at: Option<Timestamp>,
    /// The database's time of the repair.
    pub repaired_at: Timestamp,
    /// The changed columns before, a JSON object.
    pub before: String,
    /// The changed columns after, a JSON object.
    pub after: String,
    /// What turned out later.
    pub outcome: Option<LateOutcome>,
    /// When that was written.
    pub outcome_at: Option<Timestamp>,
    /// When a false repair was acknowledged.
    pub acknowledged_at: Option<Timestamp>,
    /// The repair that this entry takes back.
    pub undo_of: Option<RepairId>,
    /// The heartbeat as it stood after a `fail`; unknown for other actions, and for entries of the first layout.
    pub heartbeat_after: Option<TimeValue>,
    /// Layout version.
    pub version: i32,
}

/// The layout of the ledger that this version writes. 1: as first made. 2: the after-image of a `fail` holds the
/// heartbeat and the error text too, and an index finds false repairs that were not acknowledged.
pub const LEDGER_LAYOUT: i32 = 2;

impl LedgerEntry {
    /// An entry of the present layout that is about no job yet, and of which nothing turned out.
    pub fn new(repair_id: RepairId, action: LedgerAction, repaired_at: Timestamp) -> Self {
        Self {
            repair_id,
            watch: String::new(),
            table_name: String::new(),
            job_id: JobId::new(""),
            job_name: None,
            reason: String::new(),
            action,
            instance: String::new(),
            started_at: None,
            repaired_at,
            before: "{}".to_owned(),
            after: "{}".to_owned(),
            outcome: None,
            outcome_at: None,
            acknowledged_at: None,
            undo_of: None,
            heartbeat_after: None,
            version: LEDGER_LAYOUT,
        }
    }

    /// Whether it is a false repair that no one has acknowledged: one holds the fuse open.
    pub fn holds_the_fuse(&self) -> bool {
        self.outcome == Some(LateOutcome::FalseRepair) && self.acknowledged_at.is_none()
    }

    /// The incident that the entry belongs to.
    pub fn incident(&self) -> Incident {
        Incident {
            job: self.job_id.clone(),
            started_at: self.started_at,
        }
    }
}

/// What the ledger says of one incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Precedent {
    /// It had a `backfill`.
    pub backfilled: bool,
    /// It had a `fail`.
    pub failed: bool,
    /// Its `backfill` was not taken back.
    pub backfill_stands: bool,
    /// Its `fail` was not taken back.
    pub fail_stands: bool,
    /// The latest entry that took one of its repairs back.
    pub undone: Option<RepairId>,
    /// When the newest entry about it was written, by the database's clock.
    pub newest_at: Option<Timestamp>,
}

impl Precedent {
    /// Whether the incident already had `action`.
    pub const fn had(self, action: Action) -> bool {
        match action {
            Action::Observe => false,
            Action::Backfill => self.backfilled,
            Action::Fail => self.failed,
        }
    }

    /// Whether a repair by `action` was made and not taken back.
    pub const fn stands(self, action: Action) -> bool {
        match action {
            Action::Observe => false,
            Action::Backfill => self.backfill_stands,
            Action::Fail => self.fail_stands,
        }
    }

    /// Whether Beatwarden repaired it at all: such a job is an init failure.
    pub const fn repaired(self) -> bool {
        self.backfilled || self.failed
    }
}

/// The precedents of the incidents that one observation touches, and when the latest undo of each was written.
#[derive(Clone, Debug, Default)]
pub struct Precedents(BTreeMap<Incident, (Precedent, Option<Timestamp>)>);

impl Precedents {
    /// Gathers them from ledger entries, in any order; an entry may come twice.
    pub fn from_entries<'a, E: Borrow<LedgerEntry> + 'a>(entries: impl IntoIterator<Item = &'a E> + Clone) -> Self {
        let undone = entries.clone().into_iter().filter_map(|entry| entry.borrow().undo_of);
        let undone: HashSet<RepairId> = undone.collect();
        let mut known = BTreeMap::<Incident, (Precedent, Option<Timestamp>)>::new();
        for entry in entries.into_iter().map(Borrow::borrow) {
            let (precedent, undone_at) = known.entry(entry.incident()).or_default();
            precedent.newest_at = precedent.newest_at.max(Some(entry.repaired_at));
            let stands = !undone.contains(&entry.repair_id);
            match entry.action {
                LedgerAction::Backfill => {
                    precedent.backfilled = true;
                    precedent.backfill_stands |= stands;
                }
                LedgerAction::Fail => {
                    precedent.failed = true;
                    precedent.fail_stands |= stands;
                }
                LedgerAction::Undo => {
                    if undone_at.is_none_or(|at| entry.repaired_at > at) {
                        *undone_at = Some(entry.repaired_at);
                        precedent.undone = Some(entry.repair_id);
                    }
                }
                LedgerAction::AckFuse => {}
            }
        }
        Self(known)
    }

    /// What the ledger says of `incident`.
    pub fn of(&self, incident: &Incident) -> Precedent {
        self.0
            .get(incident)
            .map(|(precedent, _)| *precedent)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u128, action: LedgerAction, at: i64) -> LedgerEntry {
        LedgerEntry::new(RepairId(id), action, Timestamp::from_micros(at))
    }

    #[test]
    fn an_identity_is_written_as_people_write_it() {
        let id = RepairId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(id.to_string(), "01234567-89ab-cdef-0011-223344556677");
    }

    #[test]
    fn what_was_taken_back_was_made_and_stands_no_more() {
        let undo = LedgerEntry {
            undo_of: Some(RepairId(1)),
            ..entry(3, LedgerAction::Undo, 30)
        };
        let entries = [
            entry(1, LedgerAction::Fail, 10),
            entry(2, LedgerAction::Backfill, 20),
            undo,
        ];
        let precedent = |entries: &[LedgerEntry]| Precedents::from_entries(entries).of(&entries[0].incident());
        let found = precedent(&entries);
        let each = Action::ALL.map(|action| (found.had(action), found.stands(action)));
        assert_eq!(each, [(false, false), (true, true), (true, false)]);
        assert!(found.repaired() && precedent(&entries[..1]).repaired() && precedent(&entries[1..2]).repaired());
        assert!(precedent(&entries[..1]).stands(Action::Fail));
        assert!(!precedent(&[entry(4, LedgerAction::AckFuse, 40)]).repaired());
    }

    #[test]
    fn of_several_undos_the_latest_counts_in_whatever_order_they_are_read() {
        let undos = [10_i64, 30, 20].map(|at| entry(u128::from(at.cast_unsigned()), LedgerAction::Undo, at));
        for turn in 0..3 {
            let mut undos = undos.clone();
            undos.rotate_left(turn);
            let found = Precedents::from_entries(&undos).of(&undos[0].incident());
            assert_eq!(found.undone, Some(RepairId(30)), "{turn}");
        }
    }

    #[test]
    fn a_false_repair_that_no_one_acknowledged_holds_the_fuse_and_nothing_else_does() {
        let holding = |outcome, acknowledged_at| {
            LedgerEntry {
                outcome,
                acknowledged_at,
                ..entry(1, LedgerAction::Fail, 10)
            }
            .holds_the_fuse()
        };
        assert!(holding(Some(LateOutcome::FalseRepair), None));
        assert!(!holding(Some(LateOutcome::FalseRepair), Some(Timestamp::MIN)));
        assert!(!holding(Some(LateOutcome::LateHeartbeat), None) && !holding(None, None));
        let repairs: Vec<_> = LedgerAction::ALL
            .into_iter()
            .filter(|action| action.is_repair())
            .collect();
        assert_eq!(repairs, [LedgerAction::Backfill, LedgerAction::Fail]);
    }
}
