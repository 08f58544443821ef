//! What a store of PostgreSQL has to know of its watch.

use super::target::Target;
use crate::{
    domain::{Action, DiscoverySetting},
    store::Mapping,
};
use std::time::Duration;

/// Where the address of the database comes from: asked again at every connect, so that a rotated secret is taken up.
pub type TargetSource = Box<dyn Fn() -> Result<Target, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// What a PostgreSQL store needs to know.
pub struct PostgresSettings {
    /// Where to connect to.
    pub target: TargetSource,
    /// Table, columns and ledger.
    pub mapping: Mapping,
    /// What will be done with jobs that missed their first heartbeat: decides which rights are needed.
    pub action: Action,
    /// The deadline of one look at the table.
    pub poll_timeout: Duration,
    /// How far after the start a heartbeat still counts as written together with it.
    pub seed_tolerance: Duration,
    /// The name of this process in the ledger.
    pub instance: String,
    /// How running jobs are to be found.
    pub discovery: DiscoverySetting,
}
