//! What a person decides: a repair is taken back, a false one acknowledged, the fuse suspended. I10: none of it is forgotten, by no
//! process that has read it, whoever made the repair.

use super::{
    counts::is_obstacle,
    judge::Incident,
    server::{Micros, RUNNING, SECOND, Server},
    shape::Ending,
    world::{Event, World},
};
use beatwarden::domain::{Cause, JobId, JobLine, LateOutcome, LedgerAction, LedgerEntry, RepairId, Report, Timestamp};
use std::{collections::HashSet, sync::Arc};

/// So long an acknowledgement of the fuse suspends its rule.
const FUSE_ACKNOWLEDGED_FOR: Micros = 3600 * SECOND;

/// What a process has read of what people decided, in the judge's own record.
#[derive(Debug, Default)]
pub struct Decided {
    /// Jobs, with their starts, whose repair was taken back.
    undone: HashSet<(JobId, Option<Timestamp>)>,
    acknowledged: HashSet<RepairId>,
    /// Whether a false repair waits to be acknowledged.
    pub has_false_repair: bool,
    /// When the rule of the fuse was suspended, by the database's clock.
    suspended: Vec<Micros>,
}

impl Decided {
    /// From the entries as they were read.
    pub fn read(ledger: &[Arc<LedgerEntry>]) -> Self {
        let mut decided = Self::default();
        for entry in ledger {
            match entry.action {
                LedgerAction::Undo => drop(decided.undone.insert((entry.job_id.clone(), entry.started_at))),
                LedgerAction::AckFuse => decided.suspended.push(entry.repaired_at.as_micros()),
                LedgerAction::Backfill | LedgerAction::Fail => {}
            }
            match entry.acknowledged_at {
                Some(_) => drop(decided.acknowledged.insert(entry.repair_id)),
                None => decided.has_false_repair |= entry.outcome == Some(LateOutcome::FalseRepair),
            }
        }
        decided
    }

    pub fn has_undone(&self, job: &JobId, start: Option<Timestamp>) -> bool {
        !self.undone.is_empty() && self.undone.contains(&(job.clone(), start))
    }

    /// Whether the rule of the fuse is suspended at a time of the database's clock.
    fn is_suspended(&self, db: Micros) -> bool {
        let mut suspended = self.suspended.iter();
        suspended.any(|at| (0..FUSE_ACKNOWLEDGED_FOR).contains(&(db - at)))
    }

    /// What a report, of a reading at `db`, forgets of it and of what was read `before`: what another process noted and a person
    /// acknowledged between two passes may be found once more, and be `shown` by one report, until it is to be noted.
    pub fn forgotten(&self, before: &Self, shown: &HashSet<RepairId>, report: &Report, db: Micros) -> Option<String> {
        let all = |id| self.acknowledged.contains(id) && before.acknowledged.contains(id) && shown.contains(id);
        if let Some(entry) = report.false_repairs.iter().find(|entry| all(&entry.repair_id)) {
            return Some(format!(
                "the false repair of job {} was acknowledged, and holds the fuse",
                entry.job_id
            ));
        }
        if report.fuse_open && report.false_repairs.is_empty() && self.is_suspended(db) {
            return Some("the fuse was acknowledged, and is open".to_owned());
        }
        let overdue = report.jobs.iter().filter(|job| job.phase.is_overdue());
        let mut undone = overdue.filter(|job| self.has_undone(&job.id, job.started_at));
        let forgets = |job: &&JobLine| {
            !job.withheld_cause
                .is_some_and(|cause| is_obstacle(cause) || is_before_undone(cause))
        };
        let job = undone.find(forgets)?;
        Some(format!(
            "the repair of job {} was undone, and its cause is {:?}",
            job.id, job.withheld_cause
        ))
    }
}

/// Causes that come before that of an undone repair, and that one.
fn is_before_undone(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::Observe | Cause::NoStart | Cause::Clock | Cause::AwaitingWriter | Cause::Undone
    )
}

impl World {
    /// An operator looks at what turned out, as long as things go wrong, too.
    pub fn script_operator(&mut self, end: Micros) {
        for _ in 0..self.rng.u32(..4) {
            let at = self.rng.i64(15 * SECOND..self.scenario.busy + 10 * SECOND);
            self.piece(end - self.scenario.busy + at, Event::Undo);
        }
        if self.rng.u32(..3) == 0 {
            let at = self.rng.i64(15 * SECOND..self.scenario.busy);
            // One that comes before it would let a mass silence pass.
            let fuse = !self.scenario.mass_silence && self.rng.bool();
            self.piece(end - self.scenario.busy + at, Event::Operator { fuse });
        }
        for second in (1..self.scenario.calm / SECOND).step_by(2) {
            let fuse = second == 1;
            self.at(end + second * SECOND, Event::Operator { fuse });
        }
    }

    pub fn acknowledge(&mut self, fuse: bool) {
        if !self.server.up {
            return;
        }
        let now = self.now;
        let has_acknowledged = self.server.acknowledge(fuse, now);
        if self.faulty() && has_acknowledged {
            self.totals.count("acknowledgements while things go wrong");
        }
        self.acknowledged |= fuse;
    }

    /// An operator takes one of the repairs back.
    pub fn undo(&mut self) {
        let entries = self.server.ledger().iter().filter(|entry| entry.action.is_repair());
        let repairs: Vec<RepairId> = entries.map(|entry| entry.repair_id).collect();
        let Some(id) = self.rng.choice(&repairs).filter(|_| self.server.up).copied() else {
            return;
        };
        let now = self.now;
        let undone = match self.scenario.shape.ending {
            Ending::Ends => self.server.undo(id, now),
            // A job that runs again, and what a function did, can't be taken back.
            Ending::PutsBack | Ending::Calls => None,
        };
        match undone {
            Some(key) => {
                self.say(|| format!("operator: the repair of {key} is undone"));
                self.totals.count("undone repairs");
                self.judge_life(key);
            }
            None => self.totals.count("undos that are refused"),
        }
    }

    /// Whether the ledger says that a repair of the incident was taken back.
    pub fn is_undone(&self, (job, start): Incident) -> bool {
        let mut entries = self.server.ledger().iter();
        entries.any(|entry| {
            let started_at = entry.started_at.map(Timestamp::as_micros);
            entry.action == LedgerAction::Undo && entry.job_id.number() == Some(job) && started_at == Some(start)
        })
    }
}

impl Server {
    /// Whether the repair was taken back.
    pub fn has_undo_of(&self, id: RepairId) -> bool {
        self.ledger().iter().any(|entry| entry.undo_of == Some(id))
    }

    /// A repair is taken back, row and entry together, if the row is as the repair left it; its key.
    fn undo(&mut self, id: RepairId, now: Micros) -> Option<i64> {
        let entry = self.ledger().iter().find(|entry| entry.repair_id == id)?.clone();
        let key = entry.job_id.number()?;
        let row = self
            .rows()
            .get(&key)
            .filter(|_| !self.has_undo_of(id) && !self.holds(key))?;
        let is_same_start = row.is_job && Some(Timestamp::from_micros(row.started_at)) == entry.started_at;
        let is_as_left = match entry.action {
            LedgerAction::Fail => row.state == "FAIL" && row.ended_at == Some(entry.repaired_at.as_micros()),
            _ => row.runs() && row.heartbeat_at == Some(row.started_at),
        };
        // A newer job of the same name runs.
        let newer = self.rows().range(key + 1..);
        let is_replaced = newer.clone().any(|(other, row)| other % 7 == key % 7 && row.runs());
        if !is_same_start || !is_as_left || is_replaced {
            return None;
        }
        let at = Timestamp::from_micros(self.clock(now));
        let committed = self.change();
        let row = committed.rows.get_mut(&key)?;
        row.changed_at = now;
        match entry.action {
            LedgerAction::Fail => (row.state, row.ended_at, row.in_state_since) = (RUNNING, None, now),
            _ => row.heartbeat_at = None,
        }
        committed.ledger.get_or_insert_default().push(Arc::new(LedgerEntry {
            watch: entry.watch.clone(),
            instance: "operator".to_owned(),
            job_id: entry.job_id.clone(),
            started_at: entry.started_at,
            undo_of: Some(id),
            ..LedgerEntry::new(RepairId(id.0 ^ (1 << 126)), LedgerAction::Undo, at)
        }));
        Some(key)
    }

    /// An operator acknowledges every false repair, and the fuse's rule if that is wanted; true if there was something.
    fn acknowledge(&mut self, fuse: bool, now: Micros) -> bool {
        let at = Timestamp::from_micros(self.clock(now));
        let mut any = fuse;
        let ledger = Arc::make_mut(&mut self.now).ledger.get_or_insert_default();
        for entry in ledger.iter_mut() {
            if entry.outcome == Some(LateOutcome::FalseRepair) && entry.acknowledged_at.is_none() {
                Arc::make_mut(entry).acknowledged_at = Some(at);
                any = true;
            }
        }
        if fuse {
            let id = RepairId((u128::from(ledger.len() as u64) + 1) | (1 << 127));
            ledger.push(Arc::new(LedgerEntry {
                watch: "sim".to_owned(),
                instance: "operator".to_owned(),
                ..LedgerEntry::new(id, LedgerAction::AckFuse, at)
            }));
        }
        any
    }
}
