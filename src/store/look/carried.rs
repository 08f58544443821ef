//! What one pass leaves to the next: the tail of the key, the way to the running rows, the facts of the catalog, and what is
//! known of the ledger. One value, which a pass copies and never changes.

use super::{
    ledger::{Held, Horizon},
    tail::Tail,
};
use crate::{
    domain::{Access, Discovery, Guard, ServerIdentity},
    store::{
        DiscoverySetting,
        question::{AccessPlan, Facts, LongestRun, Moment},
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What is carried from pass to pass.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    pub(super) tail: Option<Followed>,
    pub(super) way: Option<Way>,
    facts: Option<Dated>,
    /// Whether there was a guard at any time.
    guarded: bool,
    /// Running rows without a key at the last full look, where running rows are found by their keys.
    pub(super) keyless: u64,
    /// How long good runs take, where a job may be failed for its age.
    pub(super) longest_run: LongestRun,
    /// What was read of the ledger.
    pub(super) ledger: Option<Arc<Held>>,
    /// From when on its entries count as new.
    pub(super) horizon: Option<Horizon>,
    /// Whether no entry is expected: then it is only asked whether there is one.
    pub(super) ledger_is_quiet: bool,
}

/// How running jobs are found, and how the database would find them by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub discovery: Discovery,
    pub plan: AccessPlan,
}

impl Way {
    /// By the key where that is wanted, or where a scan is expensive and nothing else is; and only by a key that `grows`.
    pub(super) fn choose(plan: AccessPlan, wanted: DiscoverySetting, grows: bool) -> Self {
        let by_key = match wanted {
            DiscoverySetting::State => false,
            DiscoverySetting::KeyTail => true,
            DiscoverySetting::Auto => plan.access == Access::Scan && plan.is_expensive,
        };
        let discovery = if by_key && grows {
            Discovery::KeyTail
        } else {
            Discovery::State
        };
        Self { discovery, plan }
    }

    /// Whether the running rows are found by a scan that costs something.
    pub(super) fn is_expensive_scan(self) -> bool {
        self.discovery == Discovery::State && self.plan.access == Access::Scan && self.plan.is_expensive
    }

    /// What finding the running rows costs.
    pub(super) fn access(self) -> Access {
        match self.discovery {
            Discovery::KeyTail => Access::Index,
            Discovery::State => self.plan.access,
        }
    }
}

/// The tail of the key, and the server that it was seen on.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    pub tail: Tail,
    pub server: ServerIdentity,
    /// Whether the history is still to be read.
    pub lacks_history: bool,
}

/// How long facts hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactsFor {
    /// Where nothing stands in the way of repairs, and there never was a guard.
    pub plain: Duration,
    /// Where something does: the person who fixes it waits for that to be noticed. And where there is or was a guard, which may
    /// vanish and return without a trace in the catalog's entry of its table.
    pub short: Duration,
}

/// Facts, and what they hold for.
#[derive(Clone, Debug)]
struct Dated {
    facts: Facts,
    version: Option<String>,
    server: ServerIdentity,
    at: Instant,
}

impl Carried {
    /// Forgets all but the tail and the ledger's horizon: what comes next is asked through another connection, or of a table that changed.
    pub fn begin_again(&mut self) {
        *self = Self {
            tail: self.tail.take(),
            horizon: self.horizon,
            guarded: self.guarded,
            ..Self::default()
        };
    }

    /// Lets the next pass read the facts again.
    pub fn forget_facts(&mut self) {
        self.facts = None;
    }

    /// Whether a full look is in progress, page by page.
    pub fn is_in_full_look(&self) -> bool {
        let tail = self.tail.as_ref().map(|followed| &followed.tail);
        tail.is_some_and(|tail| tail.next_page().is_some())
    }

    /// Whether the ledger was there when the facts were read last.
    pub fn has_ledger(&self) -> bool {
        self.facts.as_ref().is_some_and(|dated| dated.facts.ledger_exists)
    }

    /// The facts, unless they are too old.
    fn young_facts(&self, kept: FactsFor, now: Instant) -> Option<&Dated> {
        self.facts.as_ref().filter(|dated| {
            let is_plain = dated.facts.obstacles.is_empty() && !self.guarded;
            now.duration_since(dated.at) < if is_plain { kept.plain } else { kept.short }
        })
    }

    /// Whether the facts are too old, whatever the catalog's entry says.
    pub(super) fn needs_facts(&self, kept: FactsFor, now: Instant) -> bool {
        self.young_facts(kept, now).is_none()
    }

    /// The facts that were read last, if they still hold.
    pub(super) fn facts(&self, kept: FactsFor, moment: &Moment, now: Instant) -> Option<&Facts> {
        let dated = self.young_facts(kept, now)?;
        let holds = dated.version == moment.version && dated.server == moment.server;
        holds.then_some(&dated.facts)
    }

    /// Keeps facts for the next passes.
    pub(super) fn keep_facts(&mut self, facts: Facts, moment: &Moment, now: Instant) {
        self.guarded |= facts.guard.guard != Guard::Absent;
        self.facts = Some(Dated {
            facts,
            version: moment.version.clone(),
            server: moment.server.clone(),
            at: now,
        });
    }
}
