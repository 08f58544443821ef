//! Places for connections: so many are served at once, and a new client always gets one.
//!
//! Where all are taken, the connection that has been without a sign of life for longest gives up its own. A client that
//! asks at once is served in milliseconds, so a thousand that say nothing push out each other and never it.

use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use tokio_util::sync::CancellationToken;

/// All places.
pub(super) struct Places {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    places: BTreeMap<u64, Holder>,
}

struct Holder {
    /// When it came, or was last answered.
    since: Instant,
    evicted: CancellationToken,
}

/// One place, given back when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    evicted: CancellationToken,
}

impl Places {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: Mutex::default(),
        })
    }

    /// A place for a new connection. The connection that has to go for it learns that from [`Place::evicted`].
    pub(super) fn take(self: &Arc<Self>) -> Place {
        let mut taken = self.taken.lock();
        while taken.places.len() >= self.most {
            let oldest = taken.places.iter().min_by_key(|(_, holder)| holder.since);
            let Some(number) = oldest.map(|(number, _)| *number) else {
                break;
            };
            if let Some(holder) = taken.places.remove(&number) {
                holder.evicted.cancel();
            }
        }
        let (number, evicted) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.places.insert(
            number,
            Holder {
                since: Instant::now(),
                evicted: evicted.clone(),
            },
        );
        Place {
            places: self.clone(),
            number,
            evicted,
        }
    }

    #[cfg(test)]
    fn numbers(&self) -> Vec<u64> {
        let taken = self.taken.lock();
        taken.places.keys().copied().collect()
    }
}

impl Place {
    /// The client has shown that it is alive: it asked for something.
    pub(super) fn show_life(&self) {
        let mut taken = self.places.taken.lock();
        if let Some(holder) = taken.places.get_mut(&self.number) {
            holder.since = Instant::now();
        }
    }

    /// Ends when the place has gone to another connection.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.places.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_silent_for_longest_makes_room() {
        let places = Places::new(3);
        let held: Vec<Place> = (0..3).map(|_| places.take()).collect();
        held[0].show_life();
        let new = places.take();
        assert_eq!(places.numbers(), [0, 2, 3]);
        assert!(held[1].evicted.is_cancelled() && !held[0].evicted.is_cancelled());
        // A connection that was pushed out leaves nothing behind, and takes no other's place with it.
        drop(held);
        assert_eq!(places.numbers(), [3]);
        drop(new);
        assert!(places.numbers().is_empty());
    }
}
