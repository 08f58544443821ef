//! Everything that happens in one simulated history: virtual time, the server, the processes with their clocks, what is still
//! to come, and what was found to be wrong. Deterministic: the same seed gives the same history.

use super::{
    scenario::{Fault, Scenario, Step},
    server::{Begun, Micros, SECOND, Server, micros},
};
use beatwarden::domain::{Job, Outcome, Repair, RepairId};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

/// The beginning of every history, by true time.
pub const BEGINNING: Micros = 1_700_000_000 * SECOND;

/// Something that is still to come.
#[derive(Clone, Debug)]
pub enum Event {
    /// A writer takes its next step.
    Writer(u64, Step),
    /// The statement of a repair reaches the server.
    Arrive(usize, u64),
    /// A repair's COMMIT takes effect, unless its transaction is gone by then.
    Commit(usize, u64, u64),
    /// Something goes wrong, or right again.
    Fault(Fault),
    /// An operator looks at the false repairs and at the fuse.
    Operator { fuse: bool },
}

/// A repair on its way: what the watchdog waits for.
#[derive(Clone, Debug)]
pub struct Sent {
    pub repair: Repair,
    pub id: RepairId,
    /// What the server has answered.
    pub answer: Option<Outcome>,
}

/// One watchdog process, as far as the world has to do with it.
#[derive(Debug, Default)]
pub struct Dog {
    /// Number of its process: the next one after each kill.
    pub process: u64,
    pub alive: bool,
    pub born: Micros,
    /// What its monotonic clock shows beyond the time since its birth.
    pub clock_offset: Micros,
    pub wake: Micros,
    pub frozen_until: Micros,
    /// Cut off from the server until then.
    pub cut_until: Micros,
    /// What it has read, by true time: the judge's own record.
    pub seen: Seen,
    pub sent: BTreeMap<u64, Sent>,
    /// How many inits of each job its process has decided.
    pub inits: HashMap<u64, usize>,
    pub fuse_open: bool,
}

impl Dog {
    /// As the ledger names the process.
    pub fn instance(&self, number: usize) -> String {
        format!("{number}/{}", self.process)
    }
}

/// What one process has read of the table without a gap, by true time. Written and judged here alone.
#[derive(Debug, Default)]
pub struct Seen {
    /// Starts that lay ahead of the database's clock when they were first read.
    pub ahead: BTreeSet<(u64, Micros)>,
    /// The row as it was read, and since when it was the same in every reading.
    pub rows: HashMap<u64, (Job, Micros)>,
    /// When the last look was begun, and when its rows were read at the server.
    pub last: Option<(Micros, Micros)>,
    pub server: String,
}

/// What one look at the table has brought.
pub struct Reading {
    /// The running rows.
    pub rows: BTreeMap<u64, Job>,
    pub server: String,
    /// When they were read, by true time.
    pub at: Micros,
    /// The database's clock.
    pub db: Micros,
}

/// What came of a history, for the totals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub jobs: u64,
    pub dead: u64,
    pub passes: u64,
    pub failed_passes: u64,
    pub repairs: u64,
    pub lost_races: u64,
    pub unknown: u64,
    pub false_repairs: u64,
    pub fuse_opened: u64,
    pub faults: u64,
}

pub struct World {
    pub now: Micros,
    pub rng: fastrand::Rng,
    pub scenario: Scenario,
    pub server: Server,
    pub dogs: Vec<Dog>,
    pub writer_clock: Micros,
    events: BTreeMap<(Micros, u64), Event>,
    next_event: u64,
    next_sent: u64,
    /// By job: whether its writer is at work.
    pub working: BTreeSet<u64>,
    /// Jobs that are dead since then, by true time, with their start.
    pub dead: BTreeMap<u64, (Micros, Micros)>,
    /// Jobs that fell silent together, for the fuse.
    pub mass: BTreeSet<u64>,
    pub acknowledged: bool,
    /// Commits of each repair.
    pub commits: HashMap<RepairId, u64>,
    pub commit_times: HashMap<u64, Micros>,
    /// How often each repair was reported as done, over all processes.
    pub reported: HashMap<RepairId, u64>,
    /// When any watchdog first read a job.
    pub discovered: HashMap<u64, Micros>,
    /// Every start that a job had.
    pub starts: HashMap<u64, BTreeSet<Micros>>,
    pub kills: u64,
    pub failovers: u64,
    pub totals: Totals,
    pub violations: Vec<String>,
    pub trace: Option<Vec<String>>,
}

pub type Shared = Arc<Mutex<World>>;

pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

impl World {
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let scenario = Scenario::draw(&mut rng);
        let mut world = Self {
            now: BEGINNING,
            rng,
            server: Server::new(BEGINNING),
            dogs: (0..scenario.dogs).map(|_| Dog::default()).collect(),
            writer_clock: 0,
            events: BTreeMap::new(),
            next_event: 0,
            next_sent: 0,
            working: BTreeSet::new(),
            dead: BTreeMap::new(),
            mass: BTreeSet::new(),
            acknowledged: false,
            commits: HashMap::new(),
            commit_times: HashMap::new(),
            reported: HashMap::new(),
            discovered: HashMap::new(),
            starts: HashMap::new(),
            kills: 0,
            failovers: 0,
            totals: Totals::default(),
            violations: Vec::new(),
            trace: trace.then(Vec::new),
            scenario,
        };
        world.script();
        world
    }

    pub fn say(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:10.3}  {}", (now - BEGINNING) as f64 / 1e6, text()));
        }
    }

    pub fn wrong(&mut self, text: String) {
        self.say(|| format!("VIOLATION {text}"));
        self.violations.push(text);
    }

    pub fn at(&mut self, time: Micros, event: Event) {
        self.next_event += 1;
        self.events.insert((time.max(self.now), self.next_event), event);
    }

    pub fn after(&mut self, time: Micros, event: Event) {
        self.at(self.now + time, event);
    }

    pub fn next_event(&self) -> Option<Micros> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    pub fn pop_event(&mut self) -> Option<Event> {
        let ((at, _), event) = self.events.pop_first()?;
        self.now = at;
        Some(event)
    }

    /// The monotonic clock of a watchdog.
    pub fn moment(&self, dog: usize) -> Micros {
        self.now - self.dogs[dog].born + self.dogs[dog].clock_offset
    }

    /// Whether things go wrong at present.
    pub fn faulty(&self) -> bool {
        self.scenario.faulty && self.now < BEGINNING + self.scenario.busy
    }

    pub fn reaches_server(&self, dog: usize) -> bool {
        self.server.up && self.dogs[dog].cut_until <= self.now
    }

    /// A repair leaves a watchdog; its statement arrives after `travel`.
    pub fn send(&mut self, dog: usize, repair: Repair, id: RepairId, travel: Micros) -> u64 {
        self.next_sent += 1;
        let number = self.next_sent;
        let sent = Sent {
            repair,
            id,
            answer: None,
        };
        self.dogs[dog].sent.insert(number, sent);
        self.after(travel, Event::Arrive(dog, number));
        number
    }

    /// The statement is there: the judge looks before the server does anything.
    pub fn arrive(&mut self, dog: usize, number: u64) {
        let Some(sent) = self.dogs[dog].sent.get(&number).cloned() else {
            return;
        };
        if !self.server.up {
            return;
        }
        let instance = self.dogs[dog].instance(dog);
        match self.server.begin(&sent.repair, sent.id, instance, self.now) {
            Begun::Over(outcome) => {
                self.say(|| format!("dog {dog}: repair of {} is over: {outcome:?}", sent.repair.job.id));
                if let Some(sent) = self.dogs[dog].sent.get_mut(&number) {
                    sent.answer = Some(outcome);
                }
            }
            Begun::Holds(transaction) => {
                self.judge(dog, &sent);
                // Most COMMITs are quick; one that waits for a standby hangs, and holds gate and row.
                let faulty = self.faulty();
                let takes = match self.rng.u32(..20) {
                    0 if faulty => self.rng.i64(SECOND..15 * SECOND),
                    _ => self.rng.i64(100..5_000),
                };
                self.after(takes, Event::Commit(dog, number, transaction));
            }
        }
    }

    pub fn commit(&mut self, dog: usize, number: u64, transaction: u64) {
        let Some((id, job, repair)) = self.server.commit(transaction, self.now) else {
            self.say(|| format!("dog {dog}: a repair's transaction is gone"));
            return;
        };
        self.say(|| format!("dog {dog}: repair of {job} is committed"));
        self.totals.repairs += 1;
        *self.commits.entry(id).or_default() += 1;
        self.commit_times.insert(job, self.now);
        let same = |entry: &&beatwarden::domain::LedgerEntry| {
            entry.job_id == repair.job.id
                && entry.started_at == repair.job.started_at.at()
                && entry.action.as_str() == repair.action.as_str()
        };
        let times = self.server.ledger().iter().filter(same).count();
        if times != 1 {
            self.wrong(format!("I3: job {job} has {times} entries for one incident"));
        }
        if self.mass.contains(&job) && !self.acknowledged {
            self.wrong(format!("I6: job {job} was failed although all fell silent at once"));
        }
        if let Some(sent) = self.dogs[dog].sent.get_mut(&number) {
            sent.answer = Some(Outcome::Repaired(id));
        }
    }

    /// I1: whether the row that is about to be repaired may be, by what the judge has seen itself.
    fn judge(&mut self, dog: usize, sent: &Sent) {
        let deadline = micros(self.scenario.deadline);
        let job: u64 = sent.repair.job.id.number().unwrap().cast_unsigned();
        let row = self.server.rows()[&job].clone();
        let db = self.server.clock(self.now);
        let real = row.heartbeat_at.is_some_and(|beat| beat > row.started_at + 5_000);
        if real || row.state != "RUNNING" {
            self.wrong(format!("I1: job {job} has a heartbeat, or does not run: {row:?}"));
        }
        if row.started_at > db - deadline {
            self.wrong(format!("I1: job {job} is not overdue by the database's clock"));
        }
        if self.now - row.changed_at < deadline {
            self.wrong(format!("I1: job {job} changed {} us ago", self.now - row.changed_at));
        }
        let seen = &self.dogs[dog].seen;
        let watched = match (seen.rows.get(&job), seen.last) {
            (Some((as_read, since)), Some((began, _))) if *as_read == sent.repair.job => began - since,
            _ => -1,
        };
        if watched < deadline {
            self.wrong(format!("I1: job {job} was watched for {watched} us only"));
        }
    }

    /// The judge's record of a reading by one watchdog.
    pub fn record(&mut self, dog: usize, began: Micros, read: &Reading) {
        let Reading { rows, server, at, db } = read;
        let gap = super::gap(&self.scenario);
        let now = self.now;
        for id in rows.keys() {
            self.discovered.entry(*id).or_insert(now);
        }
        let seen = &mut self.dogs[dog].seen;
        let broken = seen.last.is_some_and(|(_, last)| began - last > gap) || seen.server != *server;
        let before = std::mem::take(&mut seen.rows);
        for (id, job) in rows {
            let since = before
                .get(id)
                .filter(|(as_read, _)| !broken && as_read == job)
                .map_or(*at, |(_, since)| *since);
            seen.rows.insert(*id, (job.clone(), since));
            let start = job.started_at.at().unwrap().as_micros();
            // Not of a process that has read it all the time, but of one that meets it anew.
            let met = before.get(id).is_none_or(|(as_read, _)| {
                as_read.started_at != job.started_at || as_read.state.as_deref() != Some("RUNNING")
            });
            if met && start > db + 2 * SECOND {
                seen.ahead.insert((*id, start));
            }
        }
        seen.last = Some((began, *at));
        seen.server.clone_from(server);
    }
}
