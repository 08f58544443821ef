//! The fuse: stops `fail` when too many jobs would be failed at once, or after a false repair that was not acknowledged.
//!
//! One dead writer host, one database restart or one wrong time zone makes many jobs look dead together; that many deaths
//! at once are more likely our mistake than theirs.

use super::{LedgerAction, LedgerEntry, Phase, Plan, Policy, Storm, Timestamp};
use std::{sync::Arc, time::Duration};

/// How many calm passes in a row close the fuse.
const CALM_PASSES: u8 = 3;
/// How long an acknowledgement in the ledger suspends the rule.
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

    /// Takes one pass into account, of which `silent` jobs would be failed now or as soon as they are watched for a deadline. Returns the
    /// storm that holds the fuse open, if one does.
    pub(super) fn pass(
        &mut self,
        silent: usize,
        plan: &Plan,
        ledger: &[Arc<LedgerEntry>],
        policy: &Policy,
    ) -> Option<Storm> {
        let recent = ledger
            .iter()
            .filter(|entry| {
                entry.action == LedgerAction::Fail && entry.repaired_at.is_within(policy.init_deadline, plan.at)
            })
            .count();
        let failing = silent + recent;
        let alive = plan
            .jobs
            .iter()
            .filter(|view| view.phase.has_time_left() || view.phase == Phase::Beating)
            .count();
        let of = alive + failing;
        let share = failing as f64 / of.max(1) as f64;
        let too_many = failing > policy.fuse_min_jobs && share > policy.fuse_share;
        let storm = (too_many && !is_acknowledged(ledger, plan.at)).then_some(Storm { failing, of });
        if storm.is_some() || plan.false_repairs(ledger).next().is_some() {
            *self = Self { open: true, calm: 0 };
        } else if self.open {
            self.calm += 1;
            // An acknowledgement is an operator's decision: it needs no further calm.
            self.open = self.calm < CALM_PASSES && !is_acknowledged(ledger, plan.at);
        }
        storm
    }
}

fn is_acknowledged(ledger: &[Arc<LedgerEntry>], now: Timestamp) -> bool {
    ledger
        .iter()
        .any(|entry| entry.action == LedgerAction::AckFuse && entry.repaired_at.is_within(ACKNOWLEDGED_FOR, now))
}
