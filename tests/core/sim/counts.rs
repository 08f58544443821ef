//! The judge of what a good pass reports. I7: no running row that was read is missing from its counts. I10: nothing that a person
//! decided is forgotten.

use super::{server::NULL, server::RUNNING, world::World};
use beatwarden::domain::{Attempted, Cause, Job, Outcome, Repairing, Report};

/// The job of an attempt that ended it, as it was read.
fn ended(attempted: &Attempted) -> Option<&Job> {
    let fails = attempted.repair.action == Repairing::Fail && matches!(attempted.outcome, Outcome::Repaired(_));
    fails.then_some(&attempted.repair.job)
}

/// Causes that withhold all repairs of a watch.
pub fn is_obstacle(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::Rights | Cause::ReadOnly | Cause::NetworkFs | Cause::NoLedger
    )
}

impl World {
    /// I7, and what the process has to show from here on.
    pub fn judge_counts(&mut self, dog: usize, report: &Report) {
        if let Some(what) = {
            let seen = &self.dogs[dog].seen;
            seen.decided
                .forgotten(&seen.decided_before, &seen.shown, report, seen.db)
        } {
            self.wrong(format!("I10: {what}"));
        }
        self.dogs[dog].seen.shown = report.false_repairs.iter().map(|entry| entry.repair_id).collect();
        let shape = self.scenario.shape;
        let seen = &self.dogs[dog].seen;
        let (good_at, rows) = (seen.moment, seen.rows.iter().map(|(_, (job, _))| job));
        // What runs as it did when this pass failed it, runs no longer.
        let ended: Vec<&Job> = report.attempts.iter().filter_map(ended).collect();
        let (mut running, mut unlisted) = (0, 0);
        for job in rows {
            match job.state.as_deref() {
                Some(RUNNING) if !ended.contains(&job) => running += 1,
                Some(RUNNING) => {}
                state if shape.is_unlisted(state.unwrap_or(NULL)) => unlisted += 1,
                _ => {}
            }
        }
        let repaired = report.repaired();
        let expected = &mut self.dogs[dog].expected;
        (expected.good_at, expected.has_failed) = (Some(good_at), false);
        (expected.running, expected.unlisted) = (running, unlisted);
        (expected.polls, expected.repairs) = (expected.polls + 1, expected.repairs + repaired);
        let counted = report.phases.values().sum::<u64>() + report.unreadable;
        if (counted, report.unknown_state) != (running, unlisted) {
            self.wrong(format!(
                "I7: of {running} running rows that were read {counted} are counted, and {} of {unlisted} in states of no list",
                report.unknown_state
            ));
        }
    }
}
