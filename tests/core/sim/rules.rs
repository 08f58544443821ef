//! The rules of the watches. Two of them may look after the same table under different names, deadlines and actions; a process may
//! come back under another name; and it may be of the earlier version, whose entries have other identities and say less.

use super::{
    server::{Micros, SECOND, micros},
    world::World,
};
use beatwarden::{
    domain::{Action, Repair, RepairId},
    store::repair_id,
};
use std::time::Duration;

/// What one watch is configured to do.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub watch: &'static str,
    pub deadline: Duration,
    pub interval: Duration,
    pub heartbeat_timeout: Duration,
    /// The longest that a job may run, where the writers make no heartbeats.
    pub longest: Option<Duration>,
    /// From when on a silent job counts nowhere else.
    pub max_age: Duration,
    pub action: Action,
    pub fuse_min_jobs: usize,
    pub max_per_pass: usize,
}

impl Rules {
    /// The age from which a job without a sign of life is overdue.
    pub fn overdue_after(&self) -> Micros {
        micros(self.longest.unwrap_or(self.deadline))
    }

    /// Two readings this far apart say nothing about what was between them.
    pub fn gap(&self) -> Micros {
        (3 * micros(self.interval)).max((5 * SECOND).min(micros(self.deadline) / 2))
    }

    /// How long it takes at most until all is repaired that can be, once nothing goes wrong any more.
    pub fn patience(&self) -> Duration {
        self.deadline * 2 + self.longest.unwrap_or_default() + self.heartbeat_timeout + self.interval * 10
    }

    /// Other rules for the same table: what its writers do is the same.
    pub fn draw_other(&self, rng: &mut fastrand::Rng, only_fails: bool) -> Self {
        let action = match rng.u32(..3) {
            0 if self.action != Action::Observe => Action::Observe,
            1 if !only_fails && self.longest.is_none() => Action::Backfill,
            _ => Action::Fail,
        };
        Self {
            watch: "other",
            action,
            deadline: self.deadline * rng.u32(2..4) / 2,
            interval: *rng
                .choice(&[self.interval, self.interval * 2])
                .unwrap_or(&self.interval),
            heartbeat_timeout: self.heartbeat_timeout * rng.u32(2..4) / 2,
            fuse_min_jobs: *rng.choice(&[2, 10, 1_000]).unwrap_or(&10),
            ..*self
        }
    }
}

/// Who makes a repair, as its entry says.
#[derive(Clone, Debug)]
pub struct Author {
    pub watch: &'static str,
    pub instance: String,
    /// Whether its entries are of the first layout.
    pub is_former: bool,
}

impl Author {
    /// The identity that it gives a repair: at first the name of the watch was a part of it.
    pub fn repair_id(&self, repair: &Repair) -> RepairId {
        match self.is_former {
            true => repair_id(&format!("{}/runs", self.watch), repair),
            false => repair_id("runs", repair),
        }
    }
}

impl World {
    /// The rules of the watch that a process runs.
    pub fn rules(&self, dog: usize) -> Rules {
        self.scenario.rules_of(dog)
    }

    /// The process as it is now.
    pub fn author(&self, dog: usize) -> Author {
        let process = self.dogs[dog].process;
        let is_renamed = self.scenario.renames && process.is_multiple_of(2);
        Author {
            watch: if is_renamed { "renamed" } else { self.rules(dog).watch },
            instance: format!("{dog}/{process}"),
            is_former: self.scenario.has_former && (process + dog as u64).is_multiple_of(2),
        }
    }
}
