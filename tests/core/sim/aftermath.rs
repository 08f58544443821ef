//! The judge of what becomes of jobs that were failed. I11: a false repair is noted of a job that showed life since, and of no other;
//! of each such job while it still shows it.

use super::{
    judge::Incident,
    server::{Micros, Row},
    world::World,
};
use beatwarden::domain::{Action, LateOutcome, LedgerAction, LedgerEntry, Timestamp};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// How many good passes it takes to find what became of a repair: one is in progress, one reads its entry, the next one the row, and one may fail to write it.
const PASSES: usize = 5;

/// What is known of failed jobs by true time.
#[derive(Debug, Default)]
pub struct Failed {
    /// The heartbeat of each as it was when it was failed.
    heartbeats: BTreeMap<Incident, Option<Micros>>,
    /// Those that showed life since: from when on without a break, and whether they still do.
    lived: BTreeMap<Incident, (Micros, bool)>,
}

/// When the last passes of a process were over that were good.
#[derive(Debug, Default)]
pub struct GoodPasses(VecDeque<Micros>);

impl GoodPasses {
    pub fn add(&mut self, at: Micros) {
        self.0.push_back(at);
        if self.0.len() > PASSES {
            self.0.pop_front();
        }
    }

    /// Whether enough of them began since then.
    fn since(&self, at: Micros) -> bool {
        self.0.len() == PASSES && self.0.front().is_some_and(|first| *first > at)
    }
}

fn incident_of(entry: &LedgerEntry) -> Option<Incident> {
    Some((entry.job_id.number()?, entry.started_at.map(Timestamp::as_micros)?))
}

fn shows_life(row: &Row, heartbeat: Option<Micros>) -> bool {
    let beats = row.heartbeat_at.is_some() && row.heartbeat_at != heartbeat;
    row.is_job && (row.runs() || row.state == "SUCCESS" || beats)
}

impl World {
    /// A job was failed that had this heartbeat, as far as the repair has read it.
    pub fn note_fail(&mut self, incident: Incident, heartbeat: Option<Micros>) {
        self.failed.heartbeats.insert(incident, heartbeat);
        self.failed.lived.remove(&incident);
        self.judge_life(incident.0);
    }

    /// A row was changed by others: whether it shows life since it was failed.
    pub fn judge_life(&mut self, key: i64) {
        let Some(row) = self.server.rows().get(&key) else {
            return;
        };
        let incident = (key, row.started_at);
        let Some(heartbeat) = self.failed.heartbeats.get(&incident) else {
            return;
        };
        let shows = shows_life(row, *heartbeat);
        match self.failed.lived.get_mut(&incident) {
            Some((since, still)) => {
                if shows && !*still {
                    *since = self.now;
                }
                *still = shows;
            }
            None if shows => drop(self.failed.lived.insert(incident, (self.now, true))),
            None => {}
        }
    }

    /// A process is the first to note what became of a repair.
    pub fn judge_finding_of(&mut self, entry: &LedgerEntry) {
        let lived = incident_of(entry).is_some_and(|incident| self.failed.lived.contains_key(&incident));
        if entry.outcome == Some(LateOutcome::FalseRepair) && !lived {
            self.wrong(format!(
                "I11: a false repair is noted of job {}, which showed no life",
                entry.job_id
            ));
        }
    }

    /// What must have been noted when all has been calm for long.
    pub fn judge_findings(&mut self) {
        // Who reads a clock that jumped may take a repair for older than it is.
        if self.clocks_off || self.failovers > 0 {
            return;
        }
        let entries: Vec<Arc<LedgerEntry>> = self.server.ledger().to_vec();
        for entry in entries {
            let unnoted = entry.action == LedgerAction::Fail && entry.outcome.is_none();
            let unnoted = unnoted && !self.server.has_undo_of(entry.repair_id);
            let Some(incident) = incident_of(&entry).filter(|_| unnoted) else {
                continue;
            };
            let Some((since, true)) = self.failed.lived.get(&incident).copied() else {
                continue;
            };
            let row = self.server.rows().get(&incident.0);
            let is_there = row.is_some_and(|row| row.started_at == incident.1);
            // Who only observes writes nothing.
            let writes = |dog: &usize| self.dogs[*dog].alive && self.rules(*dog).action != Action::Observe;
            let mut writing = (0..self.dogs.len()).filter(writes);
            if is_there && writing.any(|dog| self.dogs[dog].good_passes.since(since)) {
                self.wrong(format!(
                    "I11: job {} was failed, lives, and no false repair is noted",
                    incident.0
                ));
            }
        }
    }
}
