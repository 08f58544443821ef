//! Why an overdue job is not repaired. The order of the variants is the order of precedence.

choice! {
    /// The cause for which an overdue job is withheld from repair. Exactly one applies: the first in this order; of several
    /// obstacles to the whole watch, the first that the store reports.
    Cause {
        /// The action is `observe`.
        Observe = "observe",
        /// A missing right, row security, a view or foreign table, a key that is unique only at COMMIT, a column that can't be
        /// written, another user's SQLite file, or a `max_runtime` too close to what good runs take.
        Rights = "rights",
        /// The server or the file can't be written.
        ReadOnly = "read_only",
        /// SQLite on a network file system.
        NetworkFs = "network_fs",
        /// The ledger can't be written.
        NoLedger = "no_ledger",
        /// The row has no start.
        NoStart = "no_start",
        /// The start lay in the future when it was first seen.
        Clock = "clock",
        /// The action would not change the row: the writer has to end it.
        AwaitingWriter = "awaiting_writer",
        /// The incident was repaired and undone.
        Undone = "undone",
        /// The incident already had this action.
        Repaired = "repaired",
        /// The job is older than the latest restart or promotion of its server, and writers may be silent since.
        DbRestart = "db_restart",
        /// Not yet watched for a whole deadline.
        Watching = "watching",
        /// Too many jobs at once, or a false repair that was not acknowledged.
        Fuse = "fuse",
        /// More jobs than one pass repairs.
        Limit = "limit",
        /// This process is stopping.
        Shutdown = "shutdown",
        /// Another replica is repairing, or it could not be found out whether one is.
        NotLeader = "not_leader",
        /// Another session holds the row.
        Locked = "locked",
        /// The row changed between observation and repair.
        LostRace = "lost_race",
    }
}

/// A set of causes: those that one job has been counted with already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Causes(u32);

impl Causes {
    /// Adds `cause`; true if it is new.
    pub fn insert(&mut self, cause: Cause) -> bool {
        let bit = 1 << cause as u32;
        let new = self.0 & bit == 0;
        self.0 |= bit;
        new
    }
}
