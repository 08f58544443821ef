//! What can go wrong with a database, told so that an operator can act on it.

use std::time::Duration;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The kind of a failed poll, as the `cause` label of `beatwarden_poll_failures_total` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// No connection.
    Connect,
    /// The database refused the credentials.
    Auth,
    /// No answer within the deadline.
    Timeout,
    /// The table or the file is locked.
    Locked,
    /// The statement failed.
    Query,
    /// Table or column missing, or of a type that can't be used.
    Schema,
    /// Rights are missing.
    Rights,
}

impl Failure {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::Auth,
        Self::Timeout,
        Self::Locked,
        Self::Query,
        Self::Schema,
        Self::Rights,
    ];

    /// The word of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Auth => "auth",
            Self::Timeout => "timeout",
            Self::Locked => "locked",
            Self::Query => "query",
            Self::Schema => "schema",
            Self::Rights => "rights",
        }
    }
}

/// A failed operation on the watched database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection could be made, or it broke.
    #[error("no connection to {to}")]
    Connect {
        /// The database, without password.
        to: String,
        /// What the driver says.
        source: Source,
    },
    /// The database refused the credentials.
    #[error("{to} refused the credentials: check user, password and the server's access rules")]
    Auth {
        /// The database, without password.
        to: String,
        /// What the driver says.
        source: Source,
    },
    /// No answer within the deadline.
    #[error("{what}: no answer within {after:?}")]
    Timeout {
        /// What was asked.
        what: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// Something is locked.
    #[error("{what}: another session holds the lock")]
    Locked {
        /// What was asked.
        what: &'static str,
        /// What the driver says.
        source: Source,
    },
    /// The statement failed.
    #[error("{what} failed")]
    Query {
        /// What was asked.
        what: &'static str,
        /// What the driver says.
        source: Source,
    },
    /// The table isn't as the configuration says. The message says what to do.
    #[error("{0}")]
    Schema(String),
    /// Rights are missing. The message says what to do.
    #[error("{0}")]
    Rights(String),
}

impl StoreError {
    /// The kind, for the metric.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Connect { .. } => Failure::Connect,
            Self::Auth { .. } => Failure::Auth,
            Self::Timeout { .. } => Failure::Timeout,
            Self::Locked { .. } => Failure::Locked,
            Self::Query { .. } => Failure::Query,
            Self::Schema(_) => Failure::Schema,
            Self::Rights(_) => Failure::Rights,
        }
    }

    /// The error and its sources in one line, without repeating what a source repeats.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(source) = next {
            let part = source.to_string();
            if !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            next = source.source();
        }
        text
    }
}
