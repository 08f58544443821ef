//! The fuse: stops `fail` when too many jobs would be failed at once, or after a false repair that nobody acknowledged.
//!
//! One dead writer host, one database restart or one wrong time zone makes many jobs look dead together; that many deaths
//! at once are more likely our mistake than theirs.

use super::{LateOutcome, LedgerAction, LedgerEntry, Phase, Plan, Policy, Timestamp};
use std::time::Duration;

/// So many calm passes in a row close the fuse.
const CALM_PASSES: u8 = 3;
/// So long an acknowledgement in the ledger suspends the rule.
const ACKNOWLEDGED_FOR: Duration = Duration::from_secs(3600);

/// Whether the fuse is open, and how calm it has been since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fuse {
    open: bool,
    calm: u8,
}

impl Fuse {
    /// Whether it keeps jobs from being failed.
    pub fn is_open(self) -> bool {
        self.open
    }

    /// Takes one pass into account: `due` jobs would be failed by it. Returns whether the fuse is open now.
    pub(super) fn pass(&mut self, due: usize, plan: &Plan, ledger: &[LedgerEntry], policy: &Policy) -> bool {
        let recent = ledger
            .iter()
            .filter(|entry| {
                entry.action == LedgerAction::Fail && entry.repaired_at.age_at(plan.at) <= policy.init_deadline
            })
            .count();
        let failing = due + recent;
        let alive = plan
            .jobs
            .iter()
            .filter(|view| matches!(view.phase, Phase::Starting | Phase::Beating))
            .count();
        let share = failing as f64 / (alive + failing).max(1) as f64;
        let too_many = failing > policy.fuse_min_jobs && share > policy.fuse_share;
        let stormy = (too_many && !is_acknowledged(ledger, plan.at)) || has_false_repair(ledger, plan);
        if stormy {
            *self = Self { open: true, calm: 0 };
        } else if self.open {
            self.calm += 1;
            // An acknowledgement is somebody's decision: it needs no further calm.
            self.open = self.calm < CALM_PASSES && !is_acknowledged(ledger, plan.at);
        }
        self.open
    }
}

fn is_acknowledged(ledger: &[LedgerEntry], now: Timestamp) -> bool {
    ledger
        .iter()
        .any(|entry| entry.action == LedgerAction::AckFuse && entry.repaired_at.age_at(now) <= ACKNOWLEDGED_FOR)
}

fn has_false_repair(ledger: &[LedgerEntry], plan: &Plan) -> bool {
    let just_found = plan
        .findings
        .iter()
        .any(|finding| finding.outcome == LateOutcome::FalseRepair);
    // The entries are those that the pass read; the ledger is asked for every unacknowledged one.
    just_found
        || ledger
            .iter()
            .any(|entry| entry.outcome == Some(LateOutcome::FalseRepair) && entry.acknowledged_at.is_none())
}
