//! Everything that happens in one simulated history: virtual time, the server, the processes with their clocks, what is still
//! to come, and what was found to be wrong. Deterministic: the same seed gives the same history.

use super::{
    Run,
    aftermath::{Failed, GoodPasses},
    judge::{Incident, Seen},
    parts::Hidden,
    scenario::{Fault, SHOWN, Scenario},
    server::{Begun, Micros, SECOND, Server},
    shape::Beats,
    surfaces::Expected,
    visited::Phases,
    writers::{Habit, Step, Ticket},
};
use beatwarden::domain::{Outcome, Repair, RepairId, Repairing, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

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
    /// Someone asks a process for its metrics, page and status.
    Scrape(usize),
    /// An operator reviews the false repairs and the fuse.
    Operator { fuse: bool },
    /// An operator takes a repair back.
    Undo,
}

/// A repair on its way: what the watchdog waits for.
#[derive(Clone, Debug)]
pub struct Sent {
    pub repair: Repair,
    pub id: RepairId,
    /// What the server refused to report to the one who sent it.
    pub refused: Hidden,
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
    /// How it is asked to end; whether that comes with its next repair, and whether it was.
    pub stop: CancellationToken,
    pub is_to_stop: bool,
    pub is_stopping: bool,
    /// What it must show.
    pub expected: Expected,
    /// The phases of the jobs at its last good pass.
    pub phases: Phases,
}

/// How often each thing happened, for the totals: by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    counts: BTreeMap<&'static str, u64>,
    visited: BTreeMap<Visited, u64>,
}

/// Something that was visited: of which enumeration, which of it, and for a way, where it leads.
type Visited = (&'static str, &'static str, &'static str);

impl Totals {
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    pub fn visit(&mut self, kind: &'static str, what: &'static str, to: &'static str) {
        *self.visited.entry((kind, what, to)).or_default() += 1;
    }

    pub fn visits(&self, what: Visited) -> u64 {
        self.visited.get(&what).copied().unwrap_or_default()
    }

    pub fn visited(&self) -> impl Iterator<Item = (&Visited, &u64)> {
        self.visited.iter()
    }

    pub fn add(&mut self, other: &Self) {
        for (what, times) in &other.counts {
            *self.counts.entry(what).or_default() += times;
        }
        for (what, times) in &other.visited {
            *self.visited.entry(*what).or_default() += times;
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
    /// The last repair that was committed, and when.
    pub committed_last: Option<(RepairId, Micros)>,
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
    /// What the history is made of, and what of it is left out, by its number.
    pub pieces: Vec<String>,
    without: BTreeSet<usize>,
    /// Whether a violation is planted, for the test of what finds shorter histories.
    is_planted: bool,
}

pub type Shared = Arc<Mutex<World>>;

pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock()
}

impl World {
    pub fn new(run: &Run) -> Self {
        let mut rng = fastrand::Rng::with_seed(run.seed);
        let scenario = Scenario {
            is_shown: run.seed.is_multiple_of(SHOWN),
            ..Scenario::draw(&mut rng)
        };
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
            committed_last: None,
            reported: HashMap::new(),
            disturbed: BEGINNING,
            server_changed: None,
            clocks_off: scenario.zone != 0,
            kills: 0,
            failovers: 0,
            totals: Totals::default(),
            violations: Vec::new(),
            trace: run.trace.then(Vec::new),
            pieces: Vec::new(),
            without: run.without.clone(),
            is_planted: run.is_planted,
            scenario,
        };
        (world.server.hidden, world.server.moves) = (world.scenario.hidden, world.scenario.moves);
        world.server.elsewhere = world.scenario.shape.beats != Beats::InTheRow;
        let names: Vec<_> = world.scenario.names().collect();
        for name in names {
            world.totals.count(name);
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

    /// The next piece of the history: whether it is one of those that happen.
    pub fn keeps(&mut self, piece: String) -> bool {
        self.pieces.push(piece);
        !self.without.contains(&(self.pieces.len() - 1))
    }

    /// A piece that is one event.
    pub fn piece(&mut self, time: Micros, event: Event) {
        let seconds = (time - BEGINNING) as f64 / 1e6;
        if self.keeps(format!("{seconds:7.3}  {event:?}")) {
            self.at(time, event);
        }
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

    /// A process has ended as it was asked to; it begins again after some time.
    pub fn has_ended(&mut self, dog: usize) {
        self.totals.count("watchdogs that end as they are asked to");
        let process = &mut self.dogs[dog];
        assert!(process.is_stopping, "a process ended on its own");
        process.alive = false;
        // An answer that was missing is asked for by no one any more.
        self.kills += 1;
        let after = self.rng.i64(SECOND / 10..5 * SECOND);
        self.after(after, Event::Fault(Fault::Begin(dog)));
    }

    /// A repair leaves a watchdog; its statement arrives after `travel`.
    pub fn send(&mut self, dog: usize, repair: Repair, id: RepairId, refused: Hidden, travel: Micros) -> u64 {
        self.judge_sending(dog, &repair);
        self.next_sent += 1;
        let number = self.next_sent;
        let sent = Sent {
            repair,
            id,
            refused,
            answer: None,
        };
        self.dogs[dog].sent.insert(number, sent);
        self.after(travel, Event::Arrive(dog, number));
        let faulty = self.faulty();
        let process = &mut self.dogs[dog];
        if std::mem::take(&mut process.is_to_stop) && faulty {
            process.stop.cancel();
            process.is_stopping = true;
            self.say(|| format!("dog {dog}: is asked to end"));
        }
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
        let author = self.author(dog);
        match self.server.begin(&sent.repair, sent.id, author, sent.refused, self.now) {
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
        if self.is_planted && self.totals.of("crashes of the server") > 0 {
            self.wrong("I0: a repair after a crash".to_owned());
        }
        *self.commits.entry(id).or_default() += 1;
        self.committed_last = Some((id, self.now));
        self.judge_commit(job, &repair);
        if let Some(sent) = self.dogs[dog].sent.get_mut(&number) {
            sent.answer = Some(Outcome::Repaired(id));
        }
    }
}
