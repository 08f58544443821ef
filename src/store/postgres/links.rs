//! The connections to one database, and how its watches share them. While all is calm there are two: one for passes, one for repairs;
//! fifty watches must not take fifty of the writer's connections. Where one watch keeps a connection for long, or so many
//! stand in the queue that they would be late, further ones are made, so that no watch waits for another's table.

use super::{
    lanes::{Lanes, WatchLane},
    link::Link,
    server_addr::ServerAddr,
};
use crate::store::StoreError;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// Connections for passes that all watches may use, and those that belong to one watch.
const FOR_PASSES: (usize, usize) = (4, 8);
/// The same for repairs, which are short and rare.
const FOR_REPAIRS: (usize, usize) = (2, 2);

/// The connections to one database. A clone stands for the same ones.
#[derive(Clone, Debug)]
pub struct Links {
    passes: Arc<Lanes>,
    repairs: Arc<Lanes>,
    /// How many full looks are in progress.
    full_looks: Arc<AtomicUsize>,
    failover: Arc<Mutex<Failover>>,
}

impl Default for Links {
    fn default() -> Self {
        let lanes = |(shared, own)| Arc::new(Lanes::new(shared, own));
        Self {
            passes: lanes(FOR_PASSES),
            repairs: lanes(FOR_REPAIRS),
            full_looks: Arc::default(),
            failover: Arc::default(),
        }
    }
}

/// What the connections have to agree on when servers change.
#[derive(Debug, Default)]
struct Failover {
    /// Where the passes look.
    place: Option<ServerAddr>,
    /// Looks for a server that takes writes while the passes continue at one that doesn't; one search at a time.
    search: JoinSet<Result<Link, StoreError>>,
}

/// A full look in progress. All of a database share what one of them may cost it.
#[derive(Debug)]
pub(super) struct FullLook(Arc<AtomicUsize>);

impl FullLook {
    /// How many are in progress, this one included.
    pub(super) fn of(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for FullLook {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Links {
    pub(super) fn full_look(&self) -> FullLook {
        self.full_looks.fetch_add(1, Ordering::Relaxed);
        FullLook(self.full_looks.clone())
    }

    /// Whether no one else uses them any more.
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.failover) == 1
    }

    /// Where the passes look, and repairs go.
    pub(super) fn place(&self) -> Option<ServerAddr> {
        self.failover.lock().place.clone()
    }

    /// The passes look there from now on.
    pub(super) fn look_at(&self, place: &ServerAddr) {
        self.failover.lock().place = Some(place.clone());
    }

    /// The server that takes writes, if the search has found one.
    pub(super) fn better(&self) -> Option<Link> {
        let found = self.failover.lock().search.try_join_next();
        found.and_then(|found| found.ok()?.ok()).filter(Link::is_usable)
    }

    /// Searches for a better server, unless that is being done already; `None` ends it.
    pub(super) fn search(&self, search: Option<impl Future<Output = Result<Link, StoreError>> + Send + 'static>) {
        let mut failover = self.failover.lock();
        match search {
            None => failover.search.abort_all(),
            Some(search) if failover.search.is_empty() => {
                // No connection more than before: nothing is repaired now.
                self.repairs.close_idle();
                failover.search.spawn(search);
            }
            Some(_) => {}
        }
    }
}

/// Where one watch finds its connections.
#[derive(Debug)]
pub(super) struct WatchLanes {
    pub passes: WatchLane,
    pub repairs: WatchLane,
}

impl WatchLanes {
    /// For a watch that looks this often, with this deadline.
    pub(super) fn new(links: &Links, poll_interval: Duration, deadline: Duration) -> Self {
        let patience = patience(poll_interval, deadline);
        Self {
            passes: WatchLane::new(links.passes.clone(), patience),
            repairs: WatchLane::new(links.repairs.clone(), patience),
        }
    }
}

/// How long another watch may keep a connection that this one waits for: a quarter of the interval. Below a second any busy
/// machine would be taken for a hanging neighbour.
fn patience(poll_interval: Duration, deadline: Duration) -> Duration {
    const LEAST: Duration = Duration::from_secs(1);
    (poll_interval / 4).max(LEAST).min(deadline / 4)
}
