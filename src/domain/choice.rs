//! Values of one word each: settings that the configuration spells, and that decisions and statements depend on.

/// Declares an enum whose variants have one spelling each in configuration, logs and metrics.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every spelling, in the order of the variants.
            pub const SPELLINGS: &'static [&'static str] = &[$($text),+];

            /// How the value is spelled.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value of a spelling, if it is one.
            pub fn from_spelling(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use choice;

choice! {
    /// What is done to a job that missed its first heartbeat.
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
