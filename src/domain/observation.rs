//! What one pass read: the rows, the database's time and identity, and when by our own clock it was read.

use super::{Cause, Job, LedgerEntry, Moment, Timestamp};
use std::{sync::Arc, time::Duration};

/// Which server this is: equal strings mean the same, uninterrupted server. Opaque to judgement but for what stands behind
/// the last `/`, which a mere restart changes and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerIdentity(pub String);

impl ServerIdentity {
    /// Whether it is the other server, restarted; not promoted, and not another one.
    pub fn is_restart_of(&self, other: &Self) -> bool {
        let lasting = |identity: &str| identity.rsplit_once('/').map(|(lasting, _)| lasting.to_owned());
        lasting(&self.0).is_some() && lasting(&self.0) == lasting(&other.0)
    }
}

/// How much of the table a snapshot covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Running jobs, jobs that are known, and new rows.
    Ordinary,
    /// That, and rows in states that no list names.
    Full,
}

choice! {
    /// How running jobs are found.
    Discovery {
        /// By the state column.
        State = "state",
        /// By the primary key: known jobs and what came after the newest key.
        KeyTail = "key_tail",
    }
}

/// Whether the database had to read the whole table to find the running jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// By an index.
    Index,
    /// By a scan of the table: its cost grows with the history.
    Scan,
}

/// Whether jobs that start and end between two passes are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newcomers {
    /// Yes: new rows are found by the growing key.
    Followed,
    /// No: only jobs that run during a pass are seen.
    Unseen,
}

choice! {
    /// The guard: the optional trigger that writes a job's first heartbeat in the transaction that makes it running.
    #[derive(Default)]
    Guard {
        /// Not installed.
        #[default]
        Absent = "missing",
        /// Installed, and as it was made.
        Sound = "installed",
        /// Installed by an earlier version: it works, under a name that a longer table's name could share, or with the function of
        /// that version.
        Outdated = "outdated",
        /// Installed, and switched off.
        Disabled = "disabled",
        /// There is a trigger of its name that does something else.
        Altered = "altered",
    }
}

impl Guard {
    /// Whether first heartbeats are written in the transaction of the start.
    pub const fn works(self) -> bool {
        matches!(self, Self::Sound | Self::Outdated)
    }
}

/// Something that keeps a whole watch from repairing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// One of `rights`, `read_only`, `network_fs`, `no_ledger`.
    pub cause: Cause,
    /// What it is, and how to fix it.
    pub reason: String,
}

impl Obstacle {
    /// Of this cause.
    pub fn new(cause: Cause, reason: impl Into<String>) -> Self {
        Self {
            cause,
            reason: reason.into(),
        }
    }
}

/// What the server doesn't report about itself, and how it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknowns {
    /// Which connection this is, where a restart or a promotion can't be seen otherwise: another one may lead to a server that
    /// had either.
    pub connection: Option<u64>,
    /// Whether the statements of a pass stay prepared, and why, where there is a choice.
    pub prepared: Option<&'static str>,
    /// What is not reported and what that costs, each in words.
    pub costs: Vec<String>,
}

/// What a store reads in one go.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The database's own time, read with the rows.
    pub database_now: Timestamp,
    /// Which server answered.
    pub server: ServerIdentity,
    /// When the server started, where it reports that.
    pub server_started_at: Option<Timestamp>,
    /// What it doesn't report.
    pub unknowns: Unknowns,
    /// Every running job, every job asked for by key that still exists, and rows that are new since the last pass.
    pub rows: Vec<Job>,
    /// Rows in a running state without a key: they can't be distinguished, so they are in no other count.
    pub keyless: u64,
    /// How much of the table was covered.
    pub coverage: Coverage,
    /// How the running jobs were found.
    pub discovery: Discovery,
    /// What that cost.
    pub access: Access,
    /// Whether jobs that start and end between two passes are seen.
    pub newcomers: Newcomers,
    /// What keeps this watch from repairing at all; the first one counts.
    pub obstacles: Vec<Obstacle>,
    /// The state of the guard.
    pub guard: Guard,
    /// Ledger entries of the jobs among `rows` that have no real heartbeat or have ended.
    pub precedents: Vec<Arc<LedgerEntry>>,
    /// What a pass needs of the ledger of this table, newest first: the newest 100 entries, those of the last day (2,000 at most),
    /// false repairs and late heartbeats that no one acknowledged, and the newest acknowledgement of the fuse.
    pub newest_repairs: Vec<Arc<LedgerEntry>>,
    /// When it was taken, and what the scan cost.
    pub timing: Timing,
}

/// When a snapshot was taken, and what finding the running rows cost, as the store measured both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// From the question to the beginning of the snapshot: waiting for a connection, making one, reading the catalog.
    pub begun_after: Duration,
    /// What the scan for running rows cost the database, that one statement alone; `None` where an index finds them, or the
    /// planner takes the scan for cheap.
    pub scan: Option<Duration>,
}

impl Snapshot {
    /// The first obstacle's cause: the one that counts.
    pub fn obstacle(&self) -> Option<Cause> {
        self.obstacles.first().map(|obstacle| obstacle.cause)
    }
}

/// A snapshot, and the times of our own clock around it.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Our own clock just before the snapshot was begun: after the wait for a connection, which is no time of the database.
    pub began: Moment,
    /// Our own clock when the answer was complete.
    pub finished: Moment,
    /// The poll interval in force.
    pub interval: Duration,
    /// What was read.
    pub snapshot: Snapshot,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_behind_the_last_slash_may_differ_after_a_restart() {
        let is_restart =
            |one: &str, other: &str| ServerIdentity(one.to_owned()).is_restart_of(&ServerIdentity(other.to_owned()));
        assert!(is_restart("a/1/20", "a/1/10"));
        for (one, other) in [("a/2/20", "a/1/10"), ("a", "a"), ("a/1", "a"), ("a", "a/1")] {
            assert!(!is_restart(one, other), "{one} after {other}");
        }
    }

    #[test]
    fn a_guard_works_as_it_was_made_or_by_an_earlier_version() {
        let working: Vec<Guard> = Guard::ALL.into_iter().filter(|guard| guard.works()).collect();
        assert_eq!(working, [Guard::Sound, Guard::Outdated]);
    }
}
