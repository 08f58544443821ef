//! Why an overdue job is not repaired. The order of the variants is the order of precedence.

/// The cause for which an overdue job is withheld from repair. Exactly one applies: the first in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The action is `observe`.
    Observe,
    /// Row security, a view, a foreign table, missing rights or no unique key.
    Rights,
    /// The server or the file can't be written.
    ReadOnly,
    /// SQLite on a network file system.
    NetworkFs,
    /// The ledger can't be written.
    NoLedger,
    /// The row has no start.
    NoStart,
    /// The start lay in the future when it was first seen.
    Clock,
    /// The action would not change the row: the writer has to end it.
    AwaitingWriter,
    /// The incident was repaired and undone.
    Undone,
    /// The incident already had this action.
    Repaired,
    /// The job is older than the latest restart or promotion of its server, and writers may be silent since.
    DbRestart,
    /// Not yet watched for a whole deadline.
    Watching,
    /// Too many jobs at once, or a false repair that was not acknowledged.
    Fuse,
    /// More jobs than one pass repairs.
    Limit,
    /// This process is stopping.
    Shutdown,
    /// Another replica is repairing, or it could not be found out whether one is.
    NotLeader,
    /// Another session holds the row.
    Locked,
    /// The row changed between observation and repair.
    LostRace,
}

impl Cause {
    /// All causes, in order of precedence.
    pub const ALL: [Self; 18] = [
        Self::Observe,
        Self::Rights,
        Self::ReadOnly,
        Self::NetworkFs,
        Self::NoLedger,
        Self::NoStart,
        Self::Clock,
        Self::AwaitingWriter,
        Self::Undone,
        Self::Repaired,
        Self::DbRestart,
        Self::Watching,
        Self::Fuse,
        Self::Limit,
        Self::Shutdown,
        Self::NotLeader,
        Self::Locked,
        Self::LostRace,
    ];

    /// The word of metrics, pages and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Rights => "rights",
            Self::ReadOnly => "read_only",
            Self::NetworkFs => "network_fs",
            Self::NoLedger => "no_ledger",
            Self::NoStart => "no_start",
            Self::Clock => "clock",
            Self::AwaitingWriter => "awaiting_writer",
            Self::Undone => "undone",
            Self::Repaired => "repaired",
            Self::DbRestart => "db_restart",
            Self::Watching => "watching",
            Self::Fuse => "fuse",
            Self::Limit => "limit",
            Self::Shutdown => "shutdown",
            Self::NotLeader => "not_leader",
            Self::Locked => "locked",
            Self::LostRace => "lost_race",
        }
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
