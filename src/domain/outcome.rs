//! What became of planned repairs, and what plan and memory learn from it.

use super::{Cause, JobView, Memory, Plan, Repair, RepairId, Repairing};

/// What became of a planned repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Update and ledger entry are committed.
    Repaired(RepairId),
    /// The ledger shows that the incident already had this action.
    Already,
    /// Another replica is repairing, or it could not be found out.
    NotLeader,
    /// The ledger can't be created, so that nothing was tried; with the reason.
    NoLedger(String),
    /// Another session holds the row.
    Locked,
    /// The row is no longer as observed.
    LostRace,
    /// This process is stopping: not tried.
    Shutdown,
    /// The repairs of this pass took so long that the rest has to wait: not tried.
    Postponed,
    /// The attempt ended in an error; nothing was changed. With the error's text.
    Failed(String),
    /// An answer is missing: whether it was committed has to be found out.
    Unknown(String),
}

/// A planned repair and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempted {
    /// The repair.
    pub repair: Repair,
    /// What became of it.
    pub outcome: Outcome,
}

/// Applies the outcomes of a pass: jobs that were failed leave the plan, those that were not repaired get their cause, and
/// memory keeps what the next pass needs.
pub fn apply_outcomes(memory: &mut Memory, plan: &mut Plan, attempts: &[Attempted]) {
    // Those that run no longer: only as they were when they were repaired, since a job may run again by now.
    let mut failed = Vec::new();
    for attempted in attempts {
        let Attempted { repair, outcome } = attempted;
        let id = &repair.job.id;
        match outcome {
            Outcome::Unknown(_) => memory.unresolved = Some(repair.clone()),
            Outcome::NotLeader | Outcome::NoLedger(_) | Outcome::Shutdown | Outcome::Postponed => {}
            Outcome::Repaired(_) => memory.resolve(&repair.incident()),
            Outcome::Already | Outcome::Locked | Outcome::LostRace | Outcome::Failed(_) => {
                memory.resolve(&repair.incident());
                memory.move_to_back(id);
            }
        }
        let runs_as_then = memory.jobs.get(id).is_some_and(|known| known.job == repair.job);
        if matches!(outcome, Outcome::Repaired(_)) && repair.action == Repairing::Fail && runs_as_then {
            failed.push(id);
        }
        // A job that is no longer overdue, as after an answer that came late, has no cause.
        let overdue = |view: &&mut JobView| view.id == *id && view.phase.is_overdue();
        if let Some(cause) = cause_after(attempted)
            && let Some(view) = plan.jobs.iter_mut().find(overdue)
        {
            // What was found out about an earlier repair takes no precedence over why there is no other one now.
            view.cause = Some(view.cause.map_or(cause, |before| before.min(cause)));
        }
    }
    plan.jobs.retain(|view| !failed.contains(&&view.id));
    for view in &plan.jobs {
        if let Some(cause) = view.cause
            && let Some(known) = memory.jobs.get_mut(&view.id)
            && known.causes.insert(cause)
        {
            plan.newly_withheld.push((view.id.clone(), cause));
        }
    }
}

/// What withholds the job after the attempt.
fn cause_after(attempted: &Attempted) -> Option<Cause> {
    match attempted.outcome {
        Outcome::Repaired(_) => match attempted.repair.action {
            Repairing::Fail => None,
            Repairing::Backfill => Some(Cause::AwaitingWriter),
        },
        Outcome::Already => Some(Cause::Repaired),
        Outcome::NotLeader => Some(Cause::NotLeader),
        Outcome::NoLedger(_) => Some(Cause::NoLedger),
        Outcome::Locked => Some(Cause::Locked),
        Outcome::LostRace => Some(Cause::LostRace),
        Outcome::Shutdown => Some(Cause::Shutdown),
        Outcome::Postponed => Some(Cause::Limit),
        // Neither is normal, so neither is a cause: both are counted as failures, and the next pass is the retry.
        Outcome::Failed(_) | Outcome::Unknown(_) => None,
    }
}
