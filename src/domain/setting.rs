//! Settings of one word each that decisions and statements depend on.

choice! {
    /// What is done to an overdue job: one that missed its first heartbeat, or ran for longer than `max_runtime`.
    Action {
        /// Nothing.
        Observe = "observe",
        /// A NULL heartbeat is set to the start.
        Backfill = "backfill",
        /// The job is ended as the writer would end it.
        Fail = "fail",
    }
}

choice! {
    /// How running jobs are to be found.
    DiscoverySetting {
        /// As the database's plan advises: by the key alone where asking by state would scan a large table.
        Auto = "auto",
        /// By the jobs already known and the rows after the newest key seen.
        KeyTail = "key_tail",
        /// By the state column.
        State = "state",
    }
}

choice! {
    /// What NULL in the state column means.
    #[derive(Default)]
    NullState {
        /// A state that no list names.
        #[default]
        Unknown = "unknown",
        /// Not running, no end.
        Waiting = "waiting",
        /// No job at all.
        Ignore = "ignore",
    }
}

choice! {
    /// How the time columns hold a time.
    TimeFormat {
        /// `timestamp`, `timestamptz`, or text in SQLite.
        Timestamp = "timestamp",
        /// Seconds since 1970.
        EpochSeconds = "epoch_s",
        /// Milliseconds since 1970.
        EpochMillis = "epoch_ms",
    }
}

/// What a column has to hold so that its row counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueTest {
    /// NULL.
    Null,
    /// Anything but NULL.
    Set,
    /// One of these values, in the text form of the column's type; at least one.
    OneOf(Vec<String>),
}
