//! What can go wrong with a database, reported so that an operator can act on it.

use crate::domain::in_full;
use std::time::Duration;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What stands between us and a server that could be reached, where the answer shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// No encrypted connection could be agreed on, or the certificate isn't one to trust.
    Security,
    /// There is no such database.
    Database,
    /// The server, or the pooler before it, doesn't take a parameter of the URL.
    Parameter,
    /// It has no connection left.
    Full,
    /// It is starting up, or shutting down.
    NotServing,
    /// It takes no writes, or takes them where a standby is asked for.
    Mode,
    /// There is no socket at the path where a server on this machine has one.
    Socket,
}

impl Barrier {
    /// What to do about it.
    const fn advice(self) -> &'static str {
        match self {
            Self::Security => "compare sslmode and sslrootcert of the URL with what psql needs for this server",
            Self::Database => "name a database that is there, behind the host in the URL",
            Self::Parameter => "take the parameter that it names out of the URL",
            Self::Full => "wait, end idle sessions, or raise max_connections or the limit of the role",
            Self::NotServing => "wait until it serves",
            Self::Socket => "is the server up, and its socket in this folder? (SHOW unix_socket_directories)",
            Self::Mode => "name the other servers in the URL as well, or change target_session_attrs",
        }
    }
}

/// What kind of database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL, behind a host or a socket.
    Server,
    /// A SQLite file.
    File,
}

choice! {
    /// The kind of a failed poll, as the `cause` label of `beatwarden_poll_failures_total` has it.
    Failure {
        /// No connection.
        Connect = "connect",
        /// The database refused the credentials.
        Auth = "auth",
        /// No answer within the deadline.
        Timeout = "timeout",
        /// The table or the file is locked.
        Locked = "locked",
        /// The statement failed.
        Query = "query",
        /// Table or column missing, or of a type that can't be used.
        Schema = "schema",
        /// Rights are missing.
        Rights = "rights",
    }
}

/// A failed operation on the watched database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection could be made.
    #[error("no connection to {to}")]
    Connect {
        /// The database, without password.
        to: String,
        /// What the driver says.
        source: Source,
    },
    /// No connection could be made, and what stands in the way is known.
    #[error("no connection to {to}")]
    Barred {
        /// The database, without password.
        to: String,
        /// What stands in the way.
        by: Barrier,
        /// What the driver says.
        source: Source,
    },
    /// The connection broke while an answer was awaited.
    #[error("the connection broke while {during}")]
    Closed {
        /// What was asked.
        during: &'static str,
        /// What the driver says.
        source: Source,
    },
    /// The answer to something that changes a row is missing: it may have been done or not.
    #[error("{what}: the answer is missing; `beatwarden history` shows whether it was done")]
    AnswerMissing {
        /// What was asked.
        what: &'static str,
        /// How it was lost.
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
    /// A value that was sent doesn't fit the column's type.
    #[error("{what} failed: a value doesn't fit the column's type, or is out of its range")]
    BadValue {
        /// What was asked.
        what: &'static str,
        /// What the driver says.
        source: Source,
    },
    /// The answer isn't what the statement returns: the driver can't decode it.
    #[error("{what}: the answer can't be decoded")]
    BadAnswer {
        /// What was asked.
        what: &'static str,
        /// What the driver says.
        source: Source,
    },
    /// A pass panicked.
    #[error("the pass ended by a bug in Beatwarden, please report it: {0}")]
    Bug(String),
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
            Self::Connect { .. } | Self::Barred { .. } | Self::Closed { .. } | Self::AnswerMissing { .. } => {
                Failure::Connect
            }
            Self::Auth { .. } => Failure::Auth,
            Self::Timeout { .. } => Failure::Timeout,
            Self::Locked { .. } => Failure::Locked,
            Self::Query { .. } | Self::BadValue { .. } | Self::BadAnswer { .. } | Self::Bug(_) => Failure::Query,
            Self::Schema(_) => Failure::Schema,
            Self::Rights(_) => Failure::Rights,
        }
    }

    /// What to do about it, where the message itself doesn't say so: that of a file that can't be opened does.
    pub fn advice(&self, of: Kind) -> Option<&'static str> {
        match (self, of) {
            (Self::Connect { .. }, Kind::Server) => Some("is the server up, and the address right?"),
            (Self::Barred { by, .. }, _) => Some(by.advice()),
            (Self::Timeout { .. } | Self::Locked { .. }, Kind::Server) => {
                Some("who holds it? (pg_locks, pg_stat_activity)")
            }
            (Self::Locked { .. }, Kind::File) => {
                Some("which program holds the file? (fuser or lsof shows who has it open)")
            }
            _ => None,
        }
    }

    /// The error and its sources in one line, without repeating what a source repeats.
    pub fn chain(&self) -> String {
        in_full(self)
    }

    /// The same, and what to do about it.
    pub fn with_advice(&self, of: Kind) -> String {
        let advice = self.advice(of).map(|advice| format!("; {advice}"));
        self.chain() + &advice.unwrap_or_default()
    }
}
