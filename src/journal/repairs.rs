//! What the log has of repairs: those that were made, that failed, that are withheld, and that another session keeps waiting.

use super::{ENDED, Journal, cut, facts::code_of, shown};
use crate::{
    domain::{Cause, HeldUp, JobId, Outcome, Repairing},
    pass::GoodPass,
    present::time::rounded,
};
use std::collections::BTreeMap;

impl Journal {
    /// What became of the repairs: each that was made, and failures once for each reason.
    pub(super) fn attempts(&self, pass: &GoodPass) {
        let watch = &self.watch;
        let mut failed: BTreeMap<String, (&JobId, &str, usize)> = BTreeMap::new();
        let mut is_any_done = false;
        for attempted in &pass.report.attempts {
            let job = &attempted.repair.job;
            let (id, action) = (shown(&job.id.text()), attempted.repair.action.as_str());
            match &attempted.outcome {
                Outcome::Repaired(repair) => {
                    is_any_done = true;
                    let name = job.name.as_deref().map(shown);
                    tracing::warn!(watch, job = id, name, action, repair = %repair, "repaired");
                }
                Outcome::Failed(error) => {
                    failed.entry(code_of(error)).or_insert((&job.id, error, 0)).2 += 1;
                }
                Outcome::Unknown(error) => {
                    let fact = format!("no answer {}", code_of(error));
                    if self.memory.lock().failing.is_due(fact).is_some() {
                        tracing::error!(
                            watch,
                            job = id,
                            action,
                            error = cut(error),
                            "the answer to a repair is missing; nothing is repaired until the ledger shows whether it was made"
                        );
                    }
                }
                // Reported as what keeps the watch from repairing.
                Outcome::NoLedger(_) => {}
                Outcome::Already
                | Outcome::NotLeader
                | Outcome::Locked
                | Outcome::LostRace
                | Outcome::Shutdown
                | Outcome::Postponed => {
                    tracing::debug!(watch, job = id, action, outcome = ?attempted.outcome, "not repaired this time");
                }
            }
        }
        let mut memory = self.memory.lock();
        // What stood in the way is gone, so that the same words would be news again.
        if is_any_done && failed.is_empty() {
            memory.failing.clear();
        }
        for (fact, (job, error, jobs)) in failed {
            if let Some(times) = memory.failing.is_due(fact) {
                tracing::error!(
                    watch,
                    job = shown(&job.text()),
                    jobs,
                    error = cut(error),
                    passes = (times > 1).then_some(times),
                    "repair failed; it is tried again at every pass"
                );
            }
        }
    }

    /// Which repairs are withheld from now on: a line for each cause. Watching is how things go, what holds for the whole
    /// watch was reported as that, and what was repaired just now waits for the writer as it should.
    pub(super) fn withheld(&self, pass: &GoodPass) {
        let report = &pass.report;
        let is_repaired = |job: &JobId| {
            let mut attempts = report.attempts.iter();
            attempts.any(|made| made.repair.job.id == *job && matches!(made.outcome, Outcome::Repaired(_)))
        };
        let mut by_cause: BTreeMap<Cause, (&JobId, usize)> = BTreeMap::new();
        for (job, cause) in &report.newly_withheld {
            let is_reported = matches!(cause, Cause::Watching | Cause::Observe)
                || report.obstacles.iter().any(|obstacle| obstacle.cause == *cause)
                || *cause == Cause::AwaitingWriter && is_repaired(job);
            if !is_reported {
                by_cause.entry(*cause).or_insert((job, 0)).1 += 1;
            }
        }
        for (cause, (job, jobs)) in by_cause {
            let line = report.jobs.iter().find(|line| line.id == *job);
            tracing::info!(
                watch = self.watch,
                job = shown(&job.text()),
                name = line.and_then(|line| line.name.as_deref()).map(shown),
                jobs = (jobs > 1).then_some(jobs),
                cause = cause.as_str(),
                "repair withheld"
            );
        }
    }

    /// Who has kept repairs waiting for longer than a deadline.
    pub(super) fn held_up(&self, held_up: &HeldUp) {
        let (watch, waiting) = (&self.watch, rounded(held_up.since));
        let Some(holder) = held_up.holders.first() else {
            if self.memory.lock().holders.is_due("unknown".to_owned()).is_some() {
                tracing::warn!(
                    watch,
                    waiting,
                    "repairs are kept waiting by another session, and which one can't be found out: see pg_locks"
                );
            }
            return;
        };
        let fact = format!("{} {}", holder.held.as_str(), holder.pid);
        if self.memory.lock().holders.is_due(fact).is_some() {
            tracing::warn!(
                watch,
                waiting,
                holds = holder.held.as_str(),
                pid = holder.pid,
                role = holder.role.as_deref().map(shown),
                application = holder.application.as_deref().map(shown),
                state = holder.state.as_deref().map(shown),
                age = holder.age.map(rounded),
                "repairs are kept waiting by another session for longer than a deadline; pg_terminate_backend(pid) ends it"
            );
        }
    }

    /// That jobs which were failed just now end is no news at the next pass.
    pub(super) fn remember_ended(&self, pass: &GoodPass) {
        let ended = &mut self.memory.lock().ended;
        if ended.len() > ENDED {
            ended.clear();
        }
        for attempted in &pass.report.attempts {
            if matches!(attempted.outcome, Outcome::Repaired(_)) && attempted.repair.action == Repairing::Fail {
                ended.insert(attempted.repair.job.id.clone());
            }
        }
    }
}
