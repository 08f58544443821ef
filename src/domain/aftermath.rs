//! What became of repairs: a job that was failed and lives is a *false repair*; one that was backfilled and beats is late.
//!
//! The ledger says what was done, the row what it looks like since; only both together show it. Entries are judged from the
//! pass after the one that first read them, so that a row is never older than its entry.
//!
//! A busy day leaves a thousand jobs under watch, and a pass must not cost more for it: those of the last minutes are read in
//! each pass, the others in turn.

use super::{
    Heartbeat, Job, JobId, LateOutcome, LedgerAction, LedgerEntry, Observation, Policy, RepairId, Repairing, StateKind,
    TimeValue, Timestamp,
};
use std::{
    collections::{BTreeMap, HashSet},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

/// How long a repaired job stays under watch.
pub const AFTERMATH: Duration = Duration::from_secs(24 * 3600);
/// How many of the newest repairs stay under watch.
pub const AFTERMATH_REPAIRS: usize = 1_000;

/// How long after its repair a job is read in each pass: most that live show it soon.
const RECENT: Duration = Duration::from_secs(600);
/// The most recent ones that are read in each pass; a storm leaves more.
const RECENT_READ: usize = 100;
/// Within this time the row of every job under watch is read.
const TURN: Duration = Duration::from_secs(300);

choice! {
    /// Why a repaired job is taken for alive.
    LifeSign {
        /// Its heartbeat changed after the repair.
        Beat = "its heartbeat changed after the repair",
        /// It is in a running state again, with the same start.
        RunsAgain = "it is in a running state again",
        /// It ended in a success.
        Succeeded = "it ended in a success",
    }
}

/// Something that turned out about a repair, to be written to its ledger entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The repair.
    pub repair_id: RepairId,
    /// Its job.
    pub job: JobId,
    /// What turned out.
    pub outcome: LateOutcome,
    /// Why.
    pub sign: LifeSign,
}

/// What became of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// Written to its ledger entry, by this process first.
    First,
    /// Another has written it, or has undone the repair since.
    Known,
    /// Not written now: with the reason.
    NotWritten(String),
}

/// A repair whose job stays under watch.
#[derive(Clone, Debug)]
pub(super) struct UnderWatch {
    job: JobId,
    started_at: Option<Timestamp>,
    repaired_at: Timestamp,
    action: Repairing,
    /// The heartbeat as it stood after the repair; unknown for entries of the first layout until the row is read.
    heartbeat: Option<TimeValue>,
    /// Whether this process has read its row since, and found nothing.
    is_calm: bool,
    /// Whether the next pass reads its row.
    is_due: bool,
}

impl UnderWatch {
    fn of(entry: &LedgerEntry) -> Option<Self> {
        let action = match entry.action {
            LedgerAction::Backfill => Repairing::Backfill,
            LedgerAction::Fail => Repairing::Fail,
            LedgerAction::Undo | LedgerAction::AckFuse => return None,
        };
        Some(Self {
            job: entry.job_id.clone(),
            started_at: entry.started_at,
            repaired_at: entry.repaired_at,
            action,
            heartbeat: entry.heartbeat_after,
            is_calm: false,
            is_due: true,
        })
    }

    /// What the row shows of life since the repair.
    fn judge(&self, row: &Job, policy: &Policy) -> Option<(LateOutcome, LifeSign)> {
        let real = matches!(row.heartbeat(policy.seed_tolerance), Heartbeat::Real(_));
        match self.action {
            Repairing::Backfill => real.then_some((LateOutcome::LateHeartbeat, LifeSign::Beat)),
            Repairing::Fail => {
                let differs = |before| row.heartbeat_at != before && row.heartbeat_at != TimeValue::ABSENT;
                let sign = match policy.states.kind_of(row.state.as_deref()) {
                    _ if self.heartbeat.map_or(real, differs) => LifeSign::Beat,
                    StateKind::Running => LifeSign::RunsAgain,
                    StateKind::Success => LifeSign::Succeeded,
                    _ => return None,
                };
                Some((LateOutcome::FalseRepair, sign))
            }
        }
    }
}

/// The repairs whose jobs are under watch.
#[derive(Clone, Debug, Default)]
pub(super) struct Aftermath {
    repairs: BTreeMap<RepairId, UnderWatch>,
    /// The last one whose turn it was.
    last_turn: Option<RepairId>,
    /// The entries that were read last, and the repairs among them that are over.
    entries: Vec<Arc<LedgerEntry>>,
    over: HashSet<RepairId>,
}

impl Aftermath {
    /// The repaired jobs that the next pass reads.
    pub(super) fn due_jobs(&self) -> impl Iterator<Item = &JobId> {
        let due = self.repairs.values().filter(|watched| watched.is_due);
        due.map(|watched| &watched.job)
    }

    /// Finds out what became of the repairs that an earlier pass read in the ledger, and adds those that this one read.
    /// `rows` are those of the observation, in the order of their keys.
    pub(super) fn follow(&mut self, rows: &[Job], observation: &Observation, policy: &Policy) -> Vec<Finding> {
        let snapshot = &observation.snapshot;
        let same = |(one, other): (&Arc<LedgerEntry>, &Arc<LedgerEntry>)| Arc::ptr_eq(one, other);
        let entries = &snapshot.newest_repairs;
        let is_news = entries.len() != self.entries.len() || !entries.iter().zip(&self.entries).all(same);
        if is_news {
            self.entries.clone_from(entries);
            let over = |entry: &Arc<LedgerEntry>| entry.undo_of.or(entry.outcome.map(|_| entry.repair_id));
            self.over = entries.iter().filter_map(over).collect();
            // A failover may have lost an entry with its repair: a row that is as it was before shows no life then.
            let read: HashSet<RepairId> = entries.iter().map(|entry| entry.repair_id).collect();
            self.repairs.retain(|repair_id, _| read.contains(repair_id));
        }
        let findings = self.judge(rows, policy);
        if is_news {
            self.take_up();
        }
        let is_young = |watched: &UnderWatch| watched.repaired_at.is_within(AFTERMATH, snapshot.database_now);
        self.repairs.retain(|_, watched| is_young(watched));
        self.choose_due(observation);
        findings
    }

    /// Judges the jobs under watch whose rows were read.
    fn judge(&mut self, rows: &[Job], policy: &Policy) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (repair_id, watched) in &mut self.repairs {
            // Another start is another incident: it says nothing about this one.
            let place = rows.binary_search_by(|row| row.id.cmp(&watched.job));
            let row = place.ok().map(|place| &rows[place]);
            let Some(row) = row.filter(|row| row.started_at.at() == watched.started_at) else {
                watched.is_calm |= watched.is_due;
                continue;
            };
            if self.over.contains(repair_id) || row.has_unreadable_sign() {
                continue;
            }
            match watched.judge(row, policy) {
                Some((outcome, sign)) => {
                    // Read and found again until it is written to its entry.
                    watched.is_calm = false;
                    findings.push(Finding {
                        repair_id: *repair_id,
                        job: row.id.clone(),
                        outcome,
                        sign,
                    });
                }
                None => {
                    watched.is_calm = true;
                    watched.heartbeat = watched.heartbeat.or(Some(row.heartbeat_at));
                }
            }
        }
        findings
    }

    /// Takes up the newest repairs of the ledger, and lets go of those that are over.
    fn take_up(&mut self) {
        let mut before = std::mem::take(&mut self.repairs);
        let entries = self
            .entries
            .iter()
            .filter(|entry| !self.over.contains(&entry.repair_id));
        self.repairs = entries
            .filter_map(|entry| {
                let known = before.remove(&entry.repair_id);
                let watched = known.or_else(|| UnderWatch::of(entry))?;
                let repaired_at = entry.repaired_at;
                Some((entry.repair_id, UnderWatch { repaired_at, ..watched }))
            })
            .take(AFTERMATH_REPAIRS)
            .collect();
    }

    /// Chooses the jobs that the next pass reads: those that were not read yet or were found alive, the recent ones, and as many
    /// of the others, in turn, as it takes to read all of them in time.
    fn choose_due(&mut self, observation: &Observation) {
        let now = observation.snapshot.database_now;
        for watched in self.repairs.values_mut() {
            watched.is_due = !watched.is_calm;
        }
        let recent = observation.snapshot.newest_repairs.iter();
        let recent = recent.take_while(|entry| entry.repaired_at.is_within(RECENT, now));
        for entry in recent.take(RECENT_READ) {
            if let Some(watched) = self.repairs.get_mut(&entry.repair_id) {
                watched.is_due = true;
            }
        }
        let others = self.repairs.values().filter(|watched| !watched.is_due).count();
        let share = (observation.interval.as_secs_f64() / TURN.as_secs_f64()).min(1.0);
        let mut left = (others as f64 * share).ceil() as usize;
        let after = self.last_turn.map_or(Bound::Unbounded, Bound::Excluded);
        for range in [(after, Bound::Unbounded), (Bound::Unbounded, Bound::Unbounded)] {
            for (repair_id, watched) in self.repairs.range_mut(range) {
                if left == 0 {
                    return;
                }
                if !watched.is_due {
                    (watched.is_due, self.last_turn) = (true, Some(*repair_id));
                    left -= 1;
                }
            }
        }
    }
}
