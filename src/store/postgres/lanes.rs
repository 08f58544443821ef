//! The queues for connections of one kind. Each lane is one connection, and one watch at a time uses it. Every watch begins at
//! the first lane. A watch that would be late because of the queue, or because another one hangs, moves to another lane at
//! once; one that keeps others waiting again and again gets a lane of its own. When all is calm every watch moves back, and
//! the lanes that are left are closed.

use super::link::Link;
use crate::store::StoreError;
use parking_lot::Mutex as Quick;
use std::{
    ops::{Deref, DerefMut},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// A connection takes several round trips, which no table can hold up: a long way to the server is no hanging.
const CONNECTING: Duration = Duration::from_secs(4);
/// No watch is late because a connection was kept for so long.
const HARMLESS: Duration = Duration::from_millis(250);
/// A watch that kept others waiting in so many passes in a row gets a lane of its own.
const KEPT_WAITING: u32 = 2;
/// A queue is long where no watch keeps the connection and one waits for so long, or for half of the deadline; or where the last of
/// many would, by the way to the server alone.
const QUEUE: Duration = Duration::from_secs(5);
/// Fewer wait and see: a busy machine makes any way look long.
const MANY: usize = 32;
/// How many round trips make a first pass.
const ROUND_TRIPS: u32 = 8;
/// How many passes in a row without a wait are calm.
const CALM: u32 = 20;

/// All lanes of one kind to one database.
#[derive(Debug)]
pub(super) struct Lanes {
    shared: Vec<Arc<Lane>>,
    /// How many more watches may have a lane of their own.
    own: Arc<Semaphore>,
    /// Lanes of their own are connected one after the other, so that not all of them wait for a server that does not answer.
    connecting: Arc<Semaphore>,
    /// When a lane was last given back in good order.
    served: Quick<Option<Instant>>,
}

/// One connection.
#[derive(Debug, Default)]
struct Lane {
    link: Arc<Mutex<Option<Link>>>,
    state: Quick<LaneState>,
}

#[derive(Debug, Default)]
struct LaneState {
    /// Who has the connection now.
    hold: Option<Hold>,
    waiting: usize,
    /// How many watches have it as their place.
    homes: usize,
    /// How long a round trip through it takes.
    way: Duration,
}

/// That a watch has the connection.
#[derive(Clone, Copy, Debug)]
struct Hold {
    since: Instant,
    /// How long it may last, however short the patience of others is.
    allowed: Duration,
    /// Whether another watch has waited for longer than it should.
    kept_waiting: bool,
}

impl Hold {
    fn is_long(&self, patience: Duration) -> bool {
        self.since.elapsed() > patience.max(self.allowed)
    }
}

impl Lane {
    /// How many stand before a newcomer.
    fn load(&self) -> usize {
        let state = self.state.lock();
        state.waiting + usize::from(state.hold.is_some())
    }

    /// Whether more stand in the queue than the way to the server lets through in this time.
    fn is_crowded(&self, within: Duration) -> bool {
        let way = self.state.lock().way;
        by_the_way(self.load(), way) > within
    }

    fn is_busy(&self, patience: Duration) -> bool {
        self.state.lock().hold.is_some_and(|hold| hold.is_long(patience))
    }

    fn settle(&self) {
        self.state.lock().homes += 1;
    }

    /// A watch leaves; a connection that none comes back for is closed.
    fn leave(&self) {
        let mut state = self.state.lock();
        state.homes = state.homes.saturating_sub(1);
        if state.homes == 0 {
            self.close_idle();
        }
    }

    /// Closes the connection, if it is not in use now.
    fn close_idle(&self) {
        if let Ok(mut link) = self.link.try_lock() {
            *link = None;
        }
    }
}

impl Lanes {
    /// With so many shared lanes, and so many that belong to one watch each.
    pub(super) fn new(shared: usize, own: usize) -> Self {
        Self {
            shared: (0..shared).map(|_| Arc::default()).collect(),
            own: Arc::new(Semaphore::new(own)),
            connecting: Arc::new(Semaphore::new(1)),
            served: Quick::default(),
        }
    }

    /// Closes what is not in use at the moment.
    pub(super) fn close_idle(&self) {
        self.shared.iter().for_each(|lane| lane.close_idle());
    }

    /// The shared lane with the shortest queue, of those that no watch keeps for long.
    fn roomiest(&self, patience: Duration) -> Option<&Arc<Lane>> {
        let free = self.shared.iter().filter(|lane| !lane.is_busy(patience));
        free.min_by_key(|lane| lane.load())
    }
}

/// A connection while one watch uses it; none where there is none yet.
#[derive(Debug)]
pub(super) struct Slot {
    link: OwnedMutexGuard<Option<Link>>,
    lane: Arc<Lane>,
    lanes: Arc<Lanes>,
    home: Arc<Quick<Home>>,
    connecting: Option<OwnedSemaphorePermit>,
}

impl Slot {
    /// A connection is to be made.
    pub(super) fn connects(&self) {
        self.begin(CONNECTING);
    }

    /// A question of the catalog is to be asked: a dozen of them are no hanging, one that takes long is.
    pub(super) fn asks(&self) {
        self.begin(Duration::ZERO);
    }

    /// The work itself begins.
    pub(super) fn works(&mut self) {
        self.connecting = None;
        self.begin(Duration::ZERO);
    }

    fn begin(&self, allowed: Duration) {
        if let Some(hold) = &mut self.lane.state.lock().hold {
            hold.since = Instant::now();
            hold.allowed = allowed;
        }
    }
}

impl Deref for Slot {
    type Target = Option<Link>;

    fn deref(&self) -> &Option<Link> {
        &self.link
    }
}

impl DerefMut for Slot {
    fn deref_mut(&mut self) -> &mut Option<Link> {
        &mut self.link
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(hold) = self.lane.state.lock().hold.take() else {
            return;
        };
        let mut served = self.lanes.served.lock();
        // Where no watch got an answer meanwhile, it is the server that hangs, and further connections to it are of no use.
        let others_work = served.is_some_and(|at| at > hold.since);
        let mut home = self.home.lock();
        // Once is a busy moment.
        home.kept_waiting = if hold.kept_waiting && others_work {
            home.kept_waiting + 1
        } else {
            0
        };
        let is_calm = !hold.kept_waiting && hold.since.elapsed() < HARMLESS;
        home.calm = if is_calm { home.calm + 1 } else { 0 };
        if let Some(link) = &*self.link {
            *served = Some(Instant::now());
            self.lane.state.lock().way = link.way();
        }
    }
}

/// How long so many take, by the way to the server alone; nothing where they are few.
fn by_the_way(queue: usize, way: Duration) -> Duration {
    if queue < MANY {
        return Duration::ZERO;
    }
    let round_trips = u32::try_from(queue).unwrap_or(u32::MAX).saturating_mul(ROUND_TRIPS);
    way.saturating_mul(round_trips)
}

/// Where one watch stands.
#[derive(Debug)]
struct Home {
    lane: Arc<Lane>,
    /// The right to a lane of its own.
    own: Option<OwnedSemaphorePermit>,
    /// How many passes in a row others had to wait for it.
    kept_waiting: u32,
    /// How many passes in a row went without a wait.
    calm: u32,
}

impl Home {
    fn move_to(&mut self, lane: Arc<Lane>, own: Option<OwnedSemaphorePermit>) {
        lane.settle();
        std::mem::replace(&mut self.lane, lane).leave();
        (self.own, self.kept_waiting, self.calm) = (own, 0, 0);
    }
}

/// Where one watch finds its connection of one kind.
#[derive(Debug)]
pub(super) struct WatchLane {
    lanes: Arc<Lanes>,
    home: Arc<Quick<Home>>,
    /// How long another watch may keep a connection that this one waits for.
    patience: Duration,
}

impl Drop for WatchLane {
    fn drop(&mut self) {
        self.home.lock().lane.leave();
    }
}

/// How a wait ended.
enum Waited {
    Got(OwnedMutexGuard<Option<Link>>),
    /// Another watch keeps the connection for long, or the queue is long and another one is shorter.
    Elsewhere {
        is_busy: bool,
    },
    Late,
}

impl WatchLane {
    /// Closes its connection and the shared ones, if they are not in use now.
    pub(super) fn close_idle(&self) {
        self.lanes.close_idle();
        self.home.lock().lane.close_idle();
    }

    pub(super) fn new(lanes: Arc<Lanes>, patience: Duration) -> Self {
        let lane = lanes.shared[0].clone();
        lane.settle();
        let home = Home {
            lane,
            own: None,
            kept_waiting: 0,
            calm: 0,
        };
        Self {
            lanes,
            home: Arc::new(Quick::new(home)),
            patience,
        }
    }

    /// The connection, once no other watch has it.
    pub(super) async fn take(&self, within: Duration) -> Result<Slot, StoreError> {
        let until = Instant::now() + within;
        let late = || StoreError::Timeout {
            what: "waiting for a connection that other watches of this database use",
            after: within,
        };
        self.tidy();
        loop {
            let lane = self.home.lock().lane.clone();
            let link = match self.wait(&lane, until).await {
                Waited::Got(link) => link,
                Waited::Late => return Err(late()),
                Waited::Elsewhere { is_busy } => {
                    self.move_away(&lane, is_busy);
                    continue;
                }
            };
            let is_own = self.home.lock().own.is_some();
            let mut slot = self.hold(link, lane);
            if is_own && slot.is_none() {
                let permit = self.lanes.connecting.clone().acquire_owned();
                let permit = timeout_at(until, permit).await.map_err(|_| late())?;
                slot.connecting = permit.ok();
            }
            return Ok(slot);
        }
    }

    fn hold(&self, link: OwnedMutexGuard<Option<Link>>, lane: Arc<Lane>) -> Slot {
        lane.state.lock().hold = Some(Hold {
            since: Instant::now(),
            allowed: Duration::ZERO,
            kept_waiting: false,
        });
        Slot {
            link,
            lane,
            lanes: self.lanes.clone(),
            home: self.home.clone(),
            connecting: None,
        }
    }

    async fn wait(&self, lane: &Arc<Lane>, until: Instant) -> Waited {
        struct Queue<'a>(&'a Lane);
        impl Drop for Queue<'_> {
            fn drop(&mut self) {
                self.0.state.lock().waiting -= 1;
            }
        }
        lane.state.lock().waiting += 1;
        let _queue = Queue(lane);
        let long = QUEUE.min(until.saturating_duration_since(Instant::now()) / 2);
        let crowded_at = Instant::now() + long;
        let mut link = pin!(lane.link.clone().lock_owned());
        loop {
            let next = Instant::now() + self.patience / 4;
            if let Ok(link) = timeout_at(next.min(until), &mut link).await {
                return Waited::Got(link);
            }
            if Instant::now() >= until {
                return Waited::Late;
            }
            if let Some(hold) = &mut lane.state.lock().hold
                && hold.is_long(self.patience)
            {
                hold.kept_waiting = true;
                return Waited::Elsewhere { is_busy: true };
            }
            let is_shorter = |other: &Arc<Lane>| other.load() + 1 < lane.load();
            let is_crowded = Instant::now() >= crowded_at || lane.is_crowded(long);
            if is_crowded && self.lanes.roomiest(self.patience).is_some_and(is_shorter) {
                return Waited::Elsewhere { is_busy: false };
            }
        }
    }

    /// Before a pass: a lane of its own for a watch that keeps others waiting, and back to the first lane when all is calm.
    fn tidy(&self) {
        let mut home = self.home.lock();
        let first = &self.lanes.shared[0];
        if home.kept_waiting >= KEPT_WAITING {
            home.kept_waiting = 0;
            if home.own.is_none() {
                self.own_lane(&mut home);
            }
        } else if Arc::ptr_eq(&home.lane, first) || first.load() > 0 {
            home.calm = 0;
        } else if home.calm >= CALM {
            home.move_to(first.clone(), None);
        }
    }

    /// Away from a lane to the best of those that are free; from one that is kept for long also to a lane of its own.
    fn move_away(&self, from: &Arc<Lane>, is_busy: bool) {
        let mut home = self.home.lock();
        match self.lanes.roomiest(self.patience) {
            Some(lane) if !Arc::ptr_eq(lane, from) => home.move_to(lane.clone(), None),
            _ if is_busy => self.own_lane(&mut home),
            _ => {}
        }
    }

    /// A lane for this watch alone, if there is one left.
    fn own_lane(&self, home: &mut Home) {
        if let Ok(permit) = self.lanes.own.clone().try_acquire_owned() {
            home.move_to(Arc::default(), Some(permit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_long_by_the_way_to_the_server() {
        let ms = Duration::from_millis;
        for (queue, way, expected) in [
            (200, ms(10), true),
            (50, ms(10), false),
            (50, ms(30), true),
            (MANY - 1, ms(600), false),
            (200, ms(1), false),
            (usize::MAX, Duration::ZERO, false),
        ] {
            assert_eq!(by_the_way(queue, way) > QUEUE, expected, "{queue}, {way:?}");
        }
    }
}
