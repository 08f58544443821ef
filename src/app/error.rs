//! Why a command could not do what it was asked for, and the exit code that says so.

use crate::{
    config::{self, WatchConfig},
    http::access::WebFileError,
    mapping::IdentifierError,
    store::{Kind, StoreError},
};
use std::{io, net::SocketAddr};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] config::ConfigErrors),
    /// The name of a role can't be used in SQL.
    #[error("watch `{watch}`: the role has a name that can't be used")]
    Role {
        /// The watch.
        watch: String,
        /// What is wrong with it.
        source: IdentifierError,
    },
    /// The database address can't be used.
    #[error("watch `{watch}`: the database can't be used")]
    Database {
        /// The watch.
        watch: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database could not be asked.
    #[error("watch `{watch}`: {}", error.chain())]
    Store {
        /// The watch.
        watch: String,
        /// What went wrong, reported with all its sources.
        error: StoreError,
    },
    /// The address of a database without a watch can't be used.
    #[error("the database can't be used")]
    Undiscovered {
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A database without a watch could not be asked.
    #[error("{}", .0.with_advice(*.1))]
    Inventory(StoreError, Kind),
    /// Something went wrong on the way. The message says what.
    #[error("{0}")]
    Failed(String),
    /// Arguments that don't fit each other or the configuration. The message says what to do.
    #[error("{0}")]
    Usage(String),
    /// The web configuration file can't be used.
    #[error(transparent)]
    Web(#[from] WebFileError),
    /// The port is taken, or not ours to take.
    #[error("can't listen on {addr}: is another instance running? choose another address with --listen")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The runtime could not be made.
    #[error("the runtime can't be started")]
    Runtime(#[source] io::Error),
}

impl AppError {
    /// The name of the role that a watch works with can't be used in SQL.
    pub(super) fn of_role(watch: &WatchConfig, source: IdentifierError) -> Self {
        let watch = watch.name.clone();
        Self::Role { watch, source }
    }

    /// The database address of a watch can't be used.
    pub(super) fn of_address(watch: &WatchConfig, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let (watch, source) = (watch.name.clone(), source.into());
        Self::Database { watch, source }
    }

    /// The database of a watch could not be asked.
    pub fn of_store(watch: &WatchConfig) -> impl Fn(StoreError) -> Self + '_ {
        |error| Self::Store {
            watch: watch.name.clone(),
            error,
        }
    }

    /// 2 for bad arguments or configuration, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Role { .. }
            | Self::Database { .. }
            | Self::Undiscovered { .. }
            | Self::Web(_)
            | Self::Usage(_) => 2,
            Self::Store { .. } | Self::Inventory(..) | Self::Failed(_) | Self::Listen { .. } | Self::Runtime(_) => 1,
        }
    }
}
