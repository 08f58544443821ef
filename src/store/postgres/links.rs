//! The two connections to one database that all watches of it share: one for passes, one for repairs. Fifty watches must not
//! take fifty of the writer's connections.

use super::link::Link;
use crate::store::StoreError;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

/// A connection while somebody has it to himself; none where there is none yet.
pub(super) type Slot = OwnedMutexGuard<Option<Link>>;

/// The connections to one database. A clone stands for the same ones.
#[derive(Clone, Debug, Default)]
pub struct Links {
    passes: Arc<Mutex<Option<Link>>>,
    repairs: Arc<Mutex<Option<Link>>>,
}

impl Links {
    /// Whether nobody else uses them any more.
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.passes) == 1
    }

    pub(super) async fn passes(&self, within: Duration) -> Result<Slot, StoreError> {
        wait(&self.passes, within).await
    }

    pub(super) async fn repairs(&self, within: Duration) -> Result<Slot, StoreError> {
        wait(&self.repairs, within).await
    }
}

async fn wait(link: &Arc<Mutex<Option<Link>>>, within: Duration) -> Result<Slot, StoreError> {
    let late = |_| StoreError::Timeout {
        what: "waiting for the connection that all watches of this database share",
        after: within,
    };
    timeout(within, link.clone().lock_owned()).await.map_err(late)
}
