//! The two connections to one database that all watches of it share: one for passes, one for repairs. Fifty watches must not
//! take fifty of the writer's connections.

use super::{hosts::Place, link::Link};
use crate::store::StoreError;
use std::{
    sync::{Arc, Mutex as Quick, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::JoinSet,
    time::timeout,
};

/// A connection while somebody has it to himself; none where there is none yet.
pub(super) type Slot = OwnedMutexGuard<Option<Link>>;

/// The connections to one database. A clone stands for the same ones.
#[derive(Clone, Debug, Default)]
pub struct Links {
    passes: Arc<Mutex<Option<Link>>>,
    repairs: Arc<Mutex<Option<Link>>>,
    failover: Arc<Quick<Failover>>,
}

/// What the connections have to agree on when servers change.
#[derive(Debug, Default)]
struct Failover {
    /// Where the passes look.
    place: Option<Place>,
    /// Looks for a server that takes writes while the passes go on at one that doesn't; one search at a time.
    search: JoinSet<Result<Link, StoreError>>,
}

impl Links {
    /// Whether nobody else uses them any more.
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.passes) == 1
    }

    fn failover(&self) -> MutexGuard<'_, Failover> {
        self.failover.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the passes look, and repairs go.
    pub(super) fn place(&self) -> Option<Place> {
        self.failover().place.clone()
    }

    /// The passes look there from now on.
    pub(super) fn look_at(&self, place: &Place) {
        self.failover().place = Some(place.clone());
    }

    /// The server that takes writes, if the search has found one.
    pub(super) fn better(&self) -> Option<Link> {
        let found = self.failover().search.try_join_next();
        found.and_then(|found| found.ok()?.ok()).filter(Link::is_usable)
    }

    /// Searches for a better server, unless that is being done already; `None` ends it.
    pub(super) fn search(&self, search: Option<impl Future<Output = Result<Link, StoreError>> + Send + 'static>) {
        let mut failover = self.failover();
        match search {
            None => failover.search.abort_all(),
            Some(search) if failover.search.is_empty() => {
                // Never more than two connections: nothing is repaired now.
                if let Ok(mut repairs) = self.repairs.try_lock() {
                    *repairs = None;
                }
                failover.search.spawn(search);
            }
            Some(_) => {}
        }
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
