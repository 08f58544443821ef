//! What a store has to know of its watch.

use super::Mapping;
use crate::domain::{Action, DiscoverySetting};
use std::time::Duration;

/// What a store needs to know.
pub struct Settings<Address> {
    /// Where the address of the database comes from: asked again at every connect, so that a rotated secret is taken up.
    pub address: Address,
    /// Table, columns and ledger.
    pub mapping: Mapping,
    /// What will be done with overdue jobs: decides which rights are needed.
    pub action: Action,
    /// The deadline of one pass.
    pub poll_timeout: Duration,
    /// How far after the start a heartbeat still counts as written together with it.
    pub seed_tolerance: Duration,
    /// The name of this process in the ledger.
    pub instance: String,
    /// How running jobs are to be found.
    pub discovery: DiscoverySetting,
}

/// Asked for an address at every connect.
pub(super) type Source<T> = Box<dyn Fn() -> Result<T, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;
