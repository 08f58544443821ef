//! What a history is made of: the rules of the watch, and the faults, all drawn from the seed; and what each fault does to the
//! world.

use super::{
    server::{Micros, Row, SECOND, micros},
    shape::Shape,
    world::{BEGINNING, Event, World},
    writers::{Restart, Step, Ticket},
};
use beatwarden::{domain::Action, store::DiscoverySetting};
use std::time::Duration;

/// The rules and the size of one history.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub dogs: usize,
    pub deadline: Duration,
    pub interval: Duration,
    pub heartbeat_timeout: Duration,
    /// The longest that a job may run, where the writers make no heartbeats.
    pub longest: Option<Duration>,
    pub action: Action,
    /// What the table is like.
    pub shape: Shape,
    pub fuse_min_jobs: usize,
    pub full_look_interval: Duration,
    /// Whether it is a file: one writer at a time, and no snapshot of several statements.
    pub is_file: bool,
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
    pub dear_from: Micros,
    /// The most newcomers and rows of the history that one answer has, and the newest keys.
    pub newcomers: usize,
    pub history: usize,
    pub newest: usize,
    /// How far the writers' zone is from UTC, which they are taken to write.
    pub zone: Micros,
    /// Whether anything but the writers goes wrong.
    pub faulty: bool,
    /// Whether one moment silences most jobs at once.
    pub mass_silence: bool,
    /// How long writers work and faults happen, and how long it is calm afterwards.
    pub busy: Micros,
    pub calm: Micros,
    jobs: u64,
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
        let (wanted, dear_from) = match rng.u32(..6) {
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
        const HOUR: Micros = 3600 * SECOND;
        Self {
            full_look_interval,
            is_file,
            grows,
            key_step: *rng.choice(&[1, 1, 2, 10]).unwrap(),
            lowest_key: if rng.u32(..4) == 0 { i64::MIN } else { 0 },
            old_rows,
            old_step: *rng.choice(&[1, 700, 5_000, 30_000]).unwrap(),
            wanted,
            dear_from,
            // A fuse can't know of jobs that were not read.
            newcomers: if mass_silence || rng.bool() { 1_000 } else { 10 },
            history: if mass_silence || rng.bool() { 1_000 } else { 3 },
            newest: *rng.choice(&[20, 1_000]).unwrap(),
            zone: match rng.u32(..16) {
                0 => HOUR,
                1 => 11 * HOUR / 2,
                2 => -HOUR,
                3 => -8 * HOUR,
                _ => 0,
            },
            dogs: rng.usize(1..=3),
            deadline,
            interval,
            heartbeat_timeout,
            longest,
            action: match rng.u32(..4) {
                _ if mass_silence => Action::Fail,
                0 if longest.is_some() => Action::Observe,
                0 if !shape.only_fails() => Action::Backfill,
                _ => Action::Fail,
            },
            shape,
            // Otherwise the few jobs of a history would never be enough for it, or always.
            fuse_min_jobs: if mass_silence {
                10
            } else {
                *rng.choice(&[2, 10, 1_000]).unwrap()
            },
            faulty,
            mass_silence,
            busy: 60 * SECOND,
            calm: micros(deadline * 2 + longest.unwrap_or_default() + heartbeat_timeout + interval * 10)
                + 20 * SECOND
                + if by_key {
                    10 * SECOND + 2 * (old_rows + 2) * micros(interval)
                } else {
                    0
                },
            jobs: rng.u64(4..16),
        }
    }
}

impl Scenario {
    /// The age from which a job without a sign of life is overdue.
    pub fn overdue_after(&self) -> Micros {
        micros(self.longest.unwrap_or(self.deadline))
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
    Begin(usize),
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
            self.at(at, Event::Fault(Fault::Begin(dog)));
        }
        self.fill();
        for _ in 0..self.scenario.jobs {
            let at = BEGINNING + self.rng.i64(0..self.scenario.busy - 5 * SECOND);
            let habit = self.habit();
            self.at(at, Event::Begin(habit));
        }
        if self.scenario.mass_silence {
            let at = BEGINNING + self.rng.i64(10 * SECOND..self.scenario.busy - 5 * SECOND);
            let many = self.scenario.jobs * 2 + 15;
            self.at(at, Event::Fault(Fault::MassSilence(many)));
        }
        if self.scenario.faulty {
            for _ in 0..self.rng.u32(1..7) {
                self.draw_fault();
            }
        }
        let end = BEGINNING + self.scenario.busy;
        for second in (1..self.scenario.calm / SECOND).step_by(2) {
            self.at(end + second * SECOND, Event::Operator { fuse: second == 1 });
        }
    }

    /// The rows that were there before: ended long ago, some of which will run again, or dead.
    fn fill(&mut self) {
        for _ in 0..self.scenario.old_rows {
            let key = self.server.next_key(self.scenario.old_step);
            let age = self.rng.i64(60 * SECOND..3600 * SECOND);
            let start = self.writer_now() - age;
            let row = self.started(false, start);
            let ticket = Ticket { key, birth: row.birth };
            if self.rng.u32(..4) == 0 {
                self.server.write(key, row);
                self.dies(key, start);
                continue;
            }
            let ended = Row {
                state: "SUCCESS",
                ended_at: Some(start + SECOND),
                ..row
            };
            self.server.write(key, ended);
            if self.rng.u32(..3) == 0 {
                let at = BEGINNING + self.rng.i64(5 * SECOND..self.scenario.busy - 5 * SECOND);
                let habit = self.habit();
                let restart = *self
                    .rng
                    .choice(&[Restart::NewStartDies, Restart::NewStartBeats])
                    .unwrap();
                self.at(at, Event::Writer(ticket, Step::Again(habit, restart)));
                self.totals.count("old rows that run again");
            }
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
        let fault = match self.rng.u32(..11) {
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
            _ => Fault::Kill(dog),
        };
        match fault {
            Fault::Crash => self.at(at + takes, Event::Fault(Fault::Start)),
            Fault::Kill(dog) => self.at(at + takes, Event::Fault(Fault::Begin(dog))),
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
            Fault::MassSilence(many) => self.silence(*many),
        }
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
