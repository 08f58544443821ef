//! What a history is made of: the rules of the watch, and the faults, all drawn from the seed; and what each fault does to the
//! world.

use super::{
    judge::Incident,
    parts::Hidden,
    rules::Rules,
    server::{Micros, Row, SECOND, micros},
    shape::Shape,
    world::{BEGINNING, Event, World},
    writers::{Restart, Step, Ticket},
};
use beatwarden::{
    domain::{Action, Cause},
    store::DiscoverySetting,
};
use std::time::Duration;

/// So long a process may take to learn that an obstacle is gone, and a pass.
const FACTS_FOR: Micros = 8 * SECOND;

/// One history in so many is one of which all that is shown is compared.
pub const SHOWN: u64 = 256;
/// So often someone asks for it there, whatever the passes do.
const SCRAPED_EVERY: Micros = 3_700_000;

/// The rules and the size of one history.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub dogs: usize,
    /// What the watch is configured to do, and what another one of the same table is.
    pub rules: Rules,
    pub other: Option<Rules>,
    /// Whether processes come back under another name of their watch, and whether some are of the earlier version.
    pub renames: bool,
    pub has_former: bool,
    /// What the table is like.
    pub shape: Shape,
    pub full_look_interval: Duration,
    /// Whether it is a file: one writer at a time, and no snapshot of several statements.
    pub is_file: bool,
    /// Whether a constraint keeps a key from having two rows.
    pub is_unique: bool,
    /// Whether keys grow, and by how much.
    pub grows: bool,
    pub key_step: i64,
    /// The lowest key that there can be: what a table without rows counts from.
    pub lowest_key: i64,
    /// Rows that were there before, so many keys apart.
    pub old_rows: i64,
    pub old_step: i64,
    /// How running jobs are to be found, and since when a scan for them is expensive.
    pub wanted: DiscoverySetting,
    pub expensive_from: Micros,
    /// The most newcomers and rows of the history that one answer has, and the newest keys.
    pub newcomers: usize,
    pub history: usize,
    pub newest: usize,
    /// What the server never reports about itself, and whether its address moves in a failover.
    pub hidden: Hidden,
    pub moves: bool,
    /// How far the writers' zone is from UTC, which they are taken to write.
    pub zone: Micros,
    /// Whether anything but the writers goes wrong.
    pub faulty: bool,
    /// Whether one moment silences most jobs at once.
    pub mass_silence: bool,
    /// How long writers work and faults happen, and how long it is calm afterwards.
    pub busy: Micros,
    pub calm: Micros,
    /// Whether all that its processes show is compared, which takes ten times as long.
    pub is_shown: bool,
    pub jobs: u64,
}

impl Scenario {
    pub fn draw(rng: &mut fastrand::Rng) -> Self {
        let deadline = Duration::from_secs(*rng.choice(&[4, 6, 10]).unwrap());
        let interval = Duration::from_millis(*rng.choice(&[500, 1_000, 2_000]).unwrap());
        let heartbeat_timeout = deadline * rng.u32(1..4);
        let mass_silence = rng.u32(..8) == 0;
        let faulty = rng.u32(..8) != 0;
        let is_file = rng.u32(..4) == 0;
        let grows = rng.u32(..6) != 0;
        let (wanted, expensive_from) = match rng.u32(..6) {
            0 | 1 if grows => (DiscoverySetting::KeyTail, 0),
            2 if grows => (DiscoverySetting::Auto, 0),
            3 if grows => (DiscoverySetting::Auto, BEGINNING + rng.i64(0..60 * SECOND)),
            _ => (DiscoverySetting::State, if rng.bool() { 0 } else { Micros::MAX }),
        };
        let by_key = wanted != DiscoverySetting::State;
        let old_rows = if rng.bool() { rng.i64(1..9) } else { 0 };
        let full_look_interval = Duration::from_secs(if by_key || rng.bool() { 10 } else { 600 });
        let longest = (!mass_silence && rng.u32(..8) == 0).then(|| deadline * rng.u32(1..4));
        let shape = Shape::draw(rng, is_file, longest.is_some());
        let rules = Rules {
            watch: "sim",
            deadline,
            interval,
            heartbeat_timeout,
            longest,
            max_age: match rng.u32(..8) {
                0 if !mass_silence => Duration::from_secs(rng.u64(20..60)),
                _ => Duration::from_secs(7 * 86_400),
            },
            action: match rng.u32(..4) {
                _ if mass_silence => Action::Fail,
                0 if longest.is_some() => Action::Observe,
                0 if !shape.only_fails() => Action::Backfill,
                _ => Action::Fail,
            },
            // Otherwise the few jobs of a history would never be enough for it, or always.
            fuse_min_jobs: if mass_silence {
                10
            } else {
                *rng.choice(&[2, 10, 1_000]).unwrap()
            },
            max_per_pass: if mass_silence || rng.u32(..6) != 0 { 100 } else { 3 },
        };
        let has_other = !mass_silence && rng.u32(..4) == 0;
        let other = has_other.then(|| rules.draw_other(rng, shape.only_fails()));
        let patience = other.map_or(rules.patience(), |other| other.patience().max(rules.patience()));
        const HOUR: Micros = 3600 * SECOND;
        Self {
            full_look_interval,
            is_file,
            is_unique: mass_silence || rng.u32(..16) != 0,
            grows,
            key_step: *rng.choice(&[1, 1, 2, 10]).unwrap(),
            lowest_key: if rng.u32(..4) == 0 { i64::MIN } else { 0 },
            old_rows,
            old_step: *rng.choice(&[1, 700, 5_000, 30_000]).unwrap(),
            wanted,
            expensive_from,
            // A fuse can't know of jobs that were not read.
            newcomers: if mass_silence || rng.bool() { 1_000 } else { 10 },
            history: if mass_silence || rng.bool() { 1_000 } else { 3 },
            newest: *rng.choice(&[20, 1_000]).unwrap(),
            hidden: if is_file || rng.u32(..8) != 0 {
                Hidden::default()
            } else {
                Hidden::draw(rng)
            },
            moves: rng.bool(),
            zone: match rng.u32(..16) {
                0 => HOUR,
                1 => 11 * HOUR / 2,
                2 => -HOUR,
                3 => -8 * HOUR,
                _ => 0,
            },
            dogs: rng.usize(if has_other { 2..=3 } else { 1..=3 }),
            rules,
            other,
            renames: rng.u32(..6) == 0,
            has_former: rng.u32(..6) == 0,
            shape,
            faulty,
            mass_silence,
            busy: 60 * SECOND,
            calm: micros(patience)
                + 20 * SECOND
                + if by_key {
                    10 * SECOND + 2 * (old_rows + 2) * micros(interval)
                } else {
                    0
                },
            is_shown: false,
            jobs: rng.u64(4..16),
        }
    }
}

impl Scenario {
    /// The rules of the watch that a process runs.
    pub fn rules_of(&self, dog: usize) -> Rules {
        self.other.filter(|_| dog % 2 == 1).unwrap_or(self.rules)
    }

    /// Two readings this far apart say nothing to any watch about what was between them.
    pub fn gap(&self) -> Micros {
        let other = self.other.map_or(0, |other| other.gap());
        self.rules.gap().max(other)
    }

    /// What this history has of its own, for the totals.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let by_age = self.rules.longest.is_some();
        let observes = self.rules.action == Action::Observe;
        let names = [
            (self.zone != 0, "wrong time zones"),
            (self.is_shown, "histories of which all that is shown is compared"),
            (self.is_file, "histories of a file"),
            (by_age && observes, "histories without heartbeats that are observed"),
            (by_age && !observes, "histories without heartbeats"),
            (
                self.old_rows * self.old_step > 60_000,
                "histories of a table of several pages",
            ),
            (self.other.is_some(), "histories of two watches of one table"),
            (
                self.hidden.any(),
                "histories of a server that hides a part of its identity",
            ),
            (!self.is_unique, "histories of a key that is not unique"),
            (self.renames, "histories of watches that are renamed"),
            (self.has_former, "histories with ledger entries of the first layout"),
        ];
        let names = names.into_iter().filter_map(|(has, name)| has.then_some(name));
        names.chain(self.shape.names())
    }
}

/// What goes wrong, and right again.
#[derive(Clone, Debug)]
pub enum Fault {
    Crash,
    Start,
    FailOver {
        lost: usize,
    },
    DatabaseClock(Micros),
    WriterClock(Micros),
    /// The monotonic clock of a watchdog, forwards only; backwards is a process whose clock stands still with it.
    OwnClock(usize, Micros),
    /// The wall clock of a watchdog.
    WallClock(usize, Micros),
    Cut(usize, Micros),
    /// A process that stands still; its clock may stand still with it.
    Freeze {
        dog: usize,
        takes: Micros,
        clock_too: bool,
    },
    Kill(usize),
    /// A process is asked to end as soon as it has sent a repair.
    Stop(usize),
    Begin(usize),
    /// All repairs of the table are refused, or not any more.
    Hinder(Option<Cause>),
    /// A key has a second row, or no more.
    Double(bool),
    /// The server refuses other parts of its identity.
    Hide(Hidden),
    /// Most jobs are started at one moment and never beat.
    MassSilence(u64),
    /// The table is emptied; its sequence may begin again.
    Truncate {
        restart: bool,
    },
}

impl World {
    /// Draws the whole history but for what answers to something.
    pub fn script(&mut self) {
        for dog in 0..self.dogs.len() {
            let at = BEGINNING + self.rng.i64(0..3 * SECOND);
            if self.keeps(format!(
                "{:7.3}  a watchdog begins: {dog}",
                (at - BEGINNING) as f64 / 1e6
            )) {
                self.at(at, Event::Fault(Fault::Begin(dog)));
            }
        }
        self.fill();
        for _ in 0..self.scenario.jobs {
            let at = BEGINNING + self.rng.i64(0..self.scenario.busy - 5 * SECOND);
            let habit = self.habit();
            self.piece(at, Event::Begin(habit));
        }
        if self.scenario.mass_silence {
            let at = BEGINNING + self.rng.i64(10 * SECOND..self.scenario.busy - 5 * SECOND);
            let many = self.scenario.jobs * 2 + 15;
            self.piece(at, Event::Fault(Fault::MassSilence(many)));
        }
        if self.scenario.faulty {
            for _ in 0..self.rng.u32(1..7) {
                self.draw_fault();
            }
        }
        let end = BEGINNING + self.scenario.busy;
        if self.scenario.is_shown {
            let over = end + self.scenario.calm;
            let times = (0..).map(|number| BEGINNING + number * SCRAPED_EVERY);
            for at in times.take_while(|at| *at < over) {
                for dog in 0..self.dogs.len() {
                    self.at(at, Event::Scrape(dog));
                }
            }
        }
        self.script_operator(end);
    }

    /// The rows that were there before: ended long ago, some of which will run again, or dead.
    fn fill(&mut self) {
        for _ in 0..self.scenario.old_rows {
            let key = self.server.next_key(self.scenario.old_step);
            let age = self.rng.i64(60 * SECOND..3600 * SECOND);
            let start = self.writer_now() - age;
            let row = self.started(false, start);
            let ticket = Ticket { key, birth: row.birth };
            let (is_dead, has_start, runs_again) =
                (self.rng.u32(..4) == 0, self.rng.u32(..3) != 0, self.rng.u32(..3) == 0);
            let at = BEGINNING + self.rng.i64(5 * SECOND..self.scenario.busy - 5 * SECOND);
            let habit = self.habit();
            let restart = *self
                .rng
                .choice(&[Restart::NewStartDies, Restart::NewStartBeats])
                .unwrap();
            if !self.keeps(format!(
                "an old row {key}: dead {is_dead}, with its start {has_start}, runs again {runs_again}"
            )) {
                continue;
            }
            if is_dead {
                self.server.write(key, Row { has_start, ..row });
                self.dies(key, start);
                if !has_start {
                    self.totals.count("running rows without a start");
                }
                continue;
            }
            let ended = Row {
                state: "SUCCESS",
                ended_at: Some(start + SECOND),
                ..row
            };
            self.server.write(key, ended);
            if runs_again {
                self.at(at, Event::Writer(ticket, Step::Again(habit, restart)));
                self.totals.count("old rows that run again");
            }
        }
    }

    fn draw_obstacle(&mut self) -> Cause {
        match self.rng.u32(..4) {
            0 if self.scenario.is_file => Cause::NetworkFs,
            0 | 1 => Cause::NoLedger,
            2 => Cause::ReadOnly,
            _ => Cause::Rights,
        }
    }

    fn draw_fault(&mut self) {
        let busy = self.scenario.busy;
        let at = BEGINNING + self.rng.i64(2 * SECOND..busy - 2 * SECOND);
        let rest = BEGINNING + busy - at;
        let takes = self.rng.i64(SECOND / 10..20 * SECOND).min(rest);
        let dog = self.rng.usize(..self.dogs.len());
        // Of clocks that jump together by the same amount no one could know; each history has but one sort.
        let jump = self.rng.i64(3 * SECOND..86_400 * SECOND);
        let back = self.rng.bool();
        let fault = match self.rng.u32(..14) {
            0..5 if !self.scenario.is_unique => Fault::Double(true),
            0 => Fault::Crash,
            1 => Fault::FailOver {
                lost: self.rng.usize(..10),
            },
            2 => Fault::DatabaseClock(if back { -jump } else { jump }),
            3 => Fault::WriterClock(if back { -jump } else { jump }),
            4 => Fault::OwnClock(dog, jump),
            5 => Fault::Cut(dog, takes),
            6 | 7 => Fault::Freeze {
                dog,
                takes,
                clock_too: back,
            },
            8 => Fault::WallClock(dog, if back { -jump } else { jump }),
            9 => Fault::Truncate { restart: back },
            10 => Fault::Hinder(Some(self.draw_obstacle())),
            11 => Fault::Stop(dog),
            12 if !self.scenario.is_file => Fault::Hide(Hidden::draw(&mut self.rng)),
            _ => Fault::Kill(dog),
        };
        let seconds = (at - BEGINNING) as f64 / 1e6;
        if !self.keeps(format!("{seconds:7.3}  {fault:?} for {:.3} s", takes as f64 / 1e6)) {
            return;
        }
        match fault {
            Fault::Crash => self.at(at + takes, Event::Fault(Fault::Start)),
            Fault::Kill(dog) => self.at(at + takes, Event::Fault(Fault::Begin(dog))),
            Fault::Hinder(_) => self.at(at + takes, Event::Fault(Fault::Hinder(None))),
            Fault::Double(_) => self.at(at + takes, Event::Fault(Fault::Double(false))),
            Fault::Hide(_) => self.at(at + takes, Event::Fault(Fault::Hide(self.scenario.hidden))),
            _ => {}
        }
        self.at(at, Event::Fault(fault));
    }

    /// Everything but the life of the processes, which the runner has.
    pub fn strike(&mut self, fault: &Fault) {
        self.totals.count("faults");
        self.say(|| format!("fault {fault:?}"));
        let now = self.now;
        match fault {
            Fault::Crash => {
                self.totals.count("crashes of the server");
                self.server.crash();
            }
            Fault::Start => {
                let skipped = self.rng.i64(0..33);
                self.server.start(now, skipped);
                self.server_changed = Some(now);
            }
            Fault::FailOver { lost } => {
                self.totals.count("failovers");
                let skipped = self.rng.i64(0..33);
                if self.server.fail_over(*lost, skipped) {
                    self.totals.count("failovers that lose commits");
                }
                self.failovers += 1;
                self.server_changed = Some(now);
                self.forget_lost_silences();
            }
            Fault::DatabaseClock(by) => {
                self.totals.count(direction(
                    *by,
                    "jumps of the database's clock, ahead",
                    "jumps of the database's clock, back",
                ));
                self.server.jump(*by);
                self.clocks_off = true;
                for dog in &mut self.dogs {
                    dog.seen.clock_jumped = true;
                }
            }
            Fault::WriterClock(by) => {
                self.totals.count(direction(
                    *by,
                    "jumps of the writers' clock, ahead",
                    "jumps of the writers' clock, back",
                ));
                self.writer_clock += by;
                self.clocks_off = true;
            }
            Fault::OwnClock(dog, by) => {
                self.totals.count("jumps of a watchdog's monotonic clock");
                self.dogs[*dog].clock_offset += by;
                self.dogs[*dog].seen.clock_jumped = true;
                self.dogs[*dog].seen.tampered = true;
            }
            Fault::WallClock(dog, by) => {
                self.totals.count(direction(
                    *by,
                    "jumps of a watchdog's wall clock, ahead",
                    "jumps of a watchdog's wall clock, back",
                ));
                self.dogs[*dog].wall_offset += by;
            }
            Fault::Cut(dog, takes) => {
                self.totals.count("a watchdog cut off");
                self.dogs[*dog].cut_until = now + takes;
            }
            Fault::Freeze { dog, takes, clock_too } => self.freeze(*dog, *takes, *clock_too),
            Fault::Truncate { restart } => {
                if !self.server.up || !self.server.truncate(*restart) {
                    self.after(SECOND, Event::Fault(fault.clone()));
                    return;
                }
                self.emptied = now;
                self.totals.count(match restart {
                    true => "tables emptied, keys begin again",
                    false => "tables emptied",
                });
            }
            Fault::Kill(_) | Fault::Begin(_) => {}
            Fault::Double(appears) => self.double(*appears),
            Fault::Hide(hidden) => {
                if self.server.hidden != *hidden {
                    self.totals.count("identities that lose or regain parts");
                }
                self.server.hidden = *hidden;
            }
            Fault::Stop(dog) => self.dogs[*dog].is_to_stop = true,
            Fault::Hinder(cause) => {
                self.server.obstacle = *cause;
                if cause.is_some() {
                    self.totals.count("obstacles to all repairs");
                } else {
                    self.disturbed = self.disturbed.max(now + FACTS_FOR);
                }
            }
            Fault::MassSilence(many) => self.silence(*many),
        }
    }

    /// A row comes that has the key of another, or those that came go.
    fn double(&mut self, appears: bool) {
        if !appears {
            self.server.change().doubles.clear();
            return;
        }
        let keys: Vec<i64> = self.server.rows().keys().copied().collect();
        let Some(key) = self.rng.choice(&keys).copied() else {
            return;
        };
        let start = self.writer_now();
        let row = self.started(false, start);
        self.server.change().doubles.insert(key, row);
        self.totals.count("second rows of a key");
    }

    fn freeze(&mut self, dog: usize, takes: Micros, clock_too: bool) {
        let until = self.now + takes;
        let dog = &mut self.dogs[dog];
        // One that is frozen already stays so: two stops of a clock don't add up.
        if dog.frozen_until > self.now {
            return;
        }
        dog.frozen_until = until;
        dog.seen.disturbed = dog.seen.disturbed.max(until);
        if clock_too {
            dog.clock_offset -= takes;
            dog.seen.tampered = true;
            dog.seen.clock_jumped = true;
            self.totals.count("frozen watchdogs, the clock too");
        } else {
            self.totals.count("frozen watchdogs");
        }
    }

    /// Of jobs that fell silent at once a failover may leave too few for the fuse.
    fn forget_lost_silences(&mut self) {
        let rows = self.server.rows();
        let is_there = |(key, start): &Incident| rows.get(key).is_some_and(|row| row.started_at == *start);
        self.mass.retain(is_there);
        let others = usize::try_from(self.scenario.old_rows).unwrap() + usize::try_from(self.scenario.jobs).unwrap();
        if self.mass.len() <= self.scenario.rules.fuse_min_jobs.max(others) {
            self.mass.clear();
        }
    }

    fn silence(&mut self, many: u64) {
        self.totals.count("mass silences");
        for _ in 0..many {
            let key = match self.scenario.is_file {
                true => self.server.key_after_the_greatest(),
                false => self.server.next_key(self.scenario.key_step),
            };
            let start = self.writer_now();
            let row = self.started(false, start);
            if self.server.up && self.server.write(key, row) {
                self.dies(key, start);
                self.mass.insert((key, start));
            }
        }
    }
}

fn direction(by: Micros, ahead: &'static str, back: &'static str) -> &'static str {
    if by > 0 { ahead } else { back }
}
