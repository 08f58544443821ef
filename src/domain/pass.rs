//! What every judgement of one pass rests on, and where it writes what it finds.

use super::{Job, Memory, Observation, Plan, Policy, Precedent, Precedents, Timestamp};

/// One pass while it is decided.
pub(super) struct Pass<'a> {
    pub(super) observation: &'a Observation,
    pub(super) policy: &'a Policy,
    pub(super) precedents: Precedents,
    pub(super) memory: &'a mut Memory,
    pub(super) plan: Plan,
}

impl Pass<'_> {
    /// The database's time.
    pub(super) fn now(&self) -> Timestamp {
        self.observation.snapshot.database_now
    }

    /// What the ledger says of the incident that a row shows.
    pub(super) fn precedent(&self, row: &Job) -> Precedent {
        self.precedents.of(&row.incident())
    }
}
