//! What became of repairs: a job that was failed and lives is a *false repair*; one that was backfilled and beats is late.
//!
//! The ledger says what was done, the row what it looks like since; only both together show it. Entries are judged from the
//! pass after the one that first read them, so that a row is never older than its entry.

use super::{
    Heartbeat, Job, JobId, LateOutcome, LedgerAction, LedgerEntry, Observation, Policy, RepairId, Repairing, StateKind,
    TimeValue, Timestamp,
};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// So long a repaired job stays under watch.
pub const AFTERMATH: Duration = Duration::from_secs(24 * 3600);
/// So many of the newest repairs stay under watch.
pub const AFTERMATH_REPAIRS: usize = 1_000;

/// Why a repaired job is taken for alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeSign {
    /// Its heartbeat changed after the repair.
    Beat,
    /// It is in a running state again, with the same start.
    RunsAgain,
    /// It ended in a success.
    Succeeded,
}

impl LifeSign {
    /// As a clause about the job.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Beat => "its heartbeat changed after the repair",
            Self::RunsAgain => "it is in a running state again",
            Self::Succeeded => "it ended in a success",
        }
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
    action: Repairing,
    /// The heartbeat as it stood after the repair; unknown for entries of the first layout until the row is read.
    heartbeat: Option<TimeValue>,
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
            action,
            heartbeat: entry.heartbeat_after,
        })
    }

    /// The repaired job.
    pub(super) fn job(&self) -> &JobId {
        &self.job
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

/// Finds out what became of the repairs that an earlier pass read in the ledger, and adds those that this one read.
pub(super) fn follow(
    under_watch: &mut HashMap<RepairId, UnderWatch>,
    observation: &Observation,
    policy: &Policy,
) -> Vec<Finding> {
    let snapshot = &observation.snapshot;
    let entries = &snapshot.newest_repairs;
    let over: HashSet<RepairId> = entries
        .iter()
        .filter_map(|entry| entry.undo_of.or(entry.outcome.map(|_| entry.repair_id)))
        .collect();
    let watched: HashSet<&JobId> = under_watch.values().map(UnderWatch::job).collect();
    let rows: HashMap<&JobId, &Job> = if watched.is_empty() {
        HashMap::new()
    } else {
        let rows = snapshot.rows.iter().filter(|row| watched.contains(&row.id));
        rows.map(|row| (&row.id, row)).collect()
    };
    let mut findings = Vec::new();
    for (repair_id, watched) in under_watch.iter_mut() {
        // Another start is another incident: it says nothing about this one.
        let row = rows.get(&watched.job);
        let Some(row) = row.filter(|row| row.started_at.at() == watched.started_at) else {
            continue;
        };
        if over.contains(repair_id) || row.has_unreadable_sign() {
            continue;
        }
        match watched.judge(row, policy) {
            Some((outcome, sign)) => findings.push(Finding {
                repair_id: *repair_id,
                job: row.id.clone(),
                outcome,
                sign,
            }),
            None => watched.heartbeat = watched.heartbeat.or(Some(row.heartbeat_at)),
        }
    }
    findings.sort_by_key(|finding| finding.repair_id);
    let mut before = std::mem::take(under_watch);
    *under_watch = entries
        .iter()
        .filter(|entry| {
            !over.contains(&entry.repair_id) && entry.repaired_at.is_within(AFTERMATH, snapshot.database_now)
        })
        .filter_map(|entry| {
            let known = before.remove(&entry.repair_id);
            Some((entry.repair_id, known.or_else(|| UnderWatch::of(entry))?))
        })
        .take(AFTERMATH_REPAIRS)
        .collect();
    findings
}
