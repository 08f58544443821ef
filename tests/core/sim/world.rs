//! Everything that happens in one simulated history: virtual time, the server, the processes with their clocks, what is still
//! to come, and what was found to be wrong. Deterministic: the same seed gives the same history.

use super::{
    aftermath::{Failed, GoodPasses},
    judge::{Incident, Seen},
    scenario::{Fault, Scenario},
    server::{Begun, Micros, SECOND, Server},
    shape::Beats,
    writers::{Habit, Step, Ticket},
};
use beatwarden::domain::{Action, Outcome, Repair, RepairId, Repairing, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

/// The beginning of every history, by true time.
pub const BEGINNING: Micros = 1_700_000_000 * SECOND;

/// Something that is still to come.
#[derive(Clone, Debug)]
pub enum Event {
    /// A writer begins a job.
    Begin(Habit),
    /// A writer takes its next step.
    Writer(Ticket, Step),
    /// The statement of a repair reaches the server.
    Arrive(usize, u64),
    /// A repair's COMMIT takes effect, unless its transaction is gone by then.
    Commit(usize, u64, u64),
    /// Something goes wrong, or right again.
    Fault(Fault),
    /// An operator reviews the false repairs and the fuse.
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
    /// What its wall clock shows beyond the true time.
    pub wall_offset: Micros,
    /// When its last pass was over, good or not.
    pub last_pass: Micros,
    /// What it has read, by true time: the judge's own record.
    pub seen: Seen,
    pub good_passes: GoodPasses,
    pub sent: BTreeMap<u64, Sent>,
    pub fuse_open: bool,
}

impl Dog {
    /// As the ledger names the process.
    pub fn instance(&self, number: usize) -> String {
        format!("{number}/{}", self.process)
    }
}

/// How often each thing happened, for the totals: by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals(BTreeMap<&'static str, u64>);

impl Totals {
    pub fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    pub fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }
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
    /// Jobs that are dead since then, by true time, with their start.
    pub dead: BTreeMap<i64, (Micros, Micros)>,
    /// Jobs that fell silent together, for the fuse.
    pub mass: BTreeSet<Incident>,
    /// Jobs that were failed, and what became of them.
    pub failed: Failed,
    pub acknowledged: bool,
    /// When the table was last emptied.
    pub emptied: Micros,
    /// Commits of each repair.
    pub commits: HashMap<RepairId, u64>,
    /// How often each repair was reported as done, over all processes.
    pub reported: HashMap<RepairId, u64>,
    /// The last time that something stood in the way of every process.
    pub disturbed: Micros,
    /// When the server was last started or replaced.
    pub server_changed: Option<Micros>,
    /// Whether clocks of writers and database ever differed.
    pub clocks_off: bool,
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
            writer_clock: scenario.zone,
            events: BTreeMap::new(),
            next_event: 0,
            next_sent: 0,
            dead: BTreeMap::new(),
            mass: BTreeSet::new(),
            failed: Failed::default(),
            acknowledged: false,
            emptied: 0,
            commits: HashMap::new(),
            reported: HashMap::new(),
            disturbed: BEGINNING,
            server_changed: None,
            clocks_off: scenario.zone != 0,
            kills: 0,
            failovers: 0,
            totals: Totals::default(),
            violations: Vec::new(),
            trace: trace.then(Vec::new),
            scenario,
        };
        world.server.elsewhere = world.scenario.shape.beats != Beats::InTheRow;
        for name in world.scenario.shape.names() {
            world.totals.count(name);
        }
        if world.scenario.zone != 0 {
            world.totals.count("wrong time zones");
        }
        if world.scenario.is_file {
            world.totals.count("histories of a file");
        }
        if world.scenario.longest.is_some() {
            world.totals.count(match world.scenario.action {
                Action::Observe => "histories without heartbeats that are observed",
                _ => "histories without heartbeats",
            });
        }
        if world.scenario.old_rows * world.scenario.old_step > 60_000 {
            world.totals.count("histories of a table of several pages");
        }
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
        self.judge_sending(dog, &repair);
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
                self.judge_change(dog, &sent);
                if let Some(why) = self.draw_refusal() {
                    self.server.roll_back(transaction);
                    self.say(|| format!("dog {dog}: the function for {} {why}", sent.repair.job.id));
                    // Who comes next tries again.
                    self.disturbed = self.disturbed.max(self.now);
                    if let Some(sent) = self.dogs[dog].sent.get_mut(&number) {
                        sent.answer = Some(Outcome::Failed(why.to_owned()));
                    }
                    return;
                }
                // Most COMMITs are quick; one that waits for a standby hangs, and holds gate and row.
                let faulty = self.faulty();
                // More of them where a first heartbeat can come meanwhile, behind its back or waiting for it.
                let of_all = match self.scenario.shape.beats {
                    Beats::Elsewhere { .. } => 4,
                    Beats::InTheRow => 20,
                };
                let takes = match self.rng.u32(..of_all) {
                    0 if faulty => {
                        self.totals.count("COMMIT hangs");
                        self.rng.i64(SECOND..15 * SECOND)
                    }
                    _ => self.rng.i64(100..5_000),
                };
                if takes >= SECOND {
                    // No other gets the gate until then.
                    self.disturbed = self.disturbed.max(self.now + takes);
                }
                self.after(takes, Event::Commit(dog, number, transaction));
            }
        }
    }

    pub fn commit(&mut self, dog: usize, number: u64, transaction: u64) {
        let ending = self.scenario.shape.ending;
        let Some((id, job, repair)) = self.server.commit(transaction, self.now, ending) else {
            self.say(|| format!("dog {dog}: a repair's transaction is gone"));
            return;
        };
        if repair.action == Repairing::Fail {
            let heartbeat = repair.job.heartbeat_at.at().map(Timestamp::as_micros);
            self.note_fail((job, self.server.rows()[&job].started_at), heartbeat);
            self.ends(job, ending);
        }
        self.say(|| format!("dog {dog}: repair of {job} is committed"));
        self.totals.count("repairs");
        *self.commits.entry(id).or_default() += 1;
        self.judge_commit(job, &repair);
        if let Some(sent) = self.dogs[dog].sent.get_mut(&number) {
            sent.answer = Some(Outcome::Repaired(id));
        }
    }
}
