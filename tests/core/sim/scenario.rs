//! What a history is made of: the rules of the watch, and the faults, all drawn from the seed; and what each fault does to the
//! world.

use super::{
    server::{Micros, SECOND, micros},
    world::{BEGINNING, Event, World},
    writers::Step,
};
use beatwarden::domain::Action;
use std::time::Duration;

/// The rules and the size of one history.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub dogs: usize,
    pub deadline: Duration,
    pub interval: Duration,
    pub heartbeat_timeout: Duration,
    pub action: Action,
    pub fuse_min_jobs: usize,
    /// Whether running jobs are found by their keys, and by full looks as often as this.
    pub key_tail: bool,
    pub full_look_interval: Duration,
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
        let key_tail = rng.u32(..3) == 0;
        const HOUR: Micros = 3600 * SECOND;
        Self {
            key_tail,
            full_look_interval: Duration::from_secs(if key_tail { 10 } else { 600 }),
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
            action: if mass_silence || rng.u32(..4) != 0 {
                Action::Fail
            } else {
                Action::Backfill
            },
            // Otherwise the few jobs of a history would never be enough for it, or always.
            fuse_min_jobs: if mass_silence {
                10
            } else {
                *rng.choice(&[2, 10, 1_000]).unwrap()
            },
            faulty,
            mass_silence,
            busy: 60 * SECOND,
            calm: micros(deadline * 2 + heartbeat_timeout + interval * 10) + 20 * SECOND,
            jobs: rng.u64(4..16),
        }
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
}

impl World {
    /// Draws the whole history but for what answers to something.
    pub fn script(&mut self) {
        for dog in 0..self.dogs.len() {
            let at = BEGINNING + self.rng.i64(0..3 * SECOND);
            self.at(at, Event::Fault(Fault::Begin(dog)));
        }
        for id in 1..=self.scenario.jobs {
            let at = BEGINNING + self.rng.i64(0..self.scenario.busy - 5 * SECOND);
            let habit = self.habit();
            self.at(at, Event::Writer(id, Step::Start(habit)));
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

    fn draw_fault(&mut self) {
        let busy = self.scenario.busy;
        let at = BEGINNING + self.rng.i64(2 * SECOND..busy - 2 * SECOND);
        let rest = BEGINNING + busy - at;
        let takes = self.rng.i64(SECOND / 10..20 * SECOND).min(rest);
        let dog = self.rng.usize(..self.dogs.len());
        // Of clocks that jump together by the same amount nobody could tell; each history has but one sort.
        let jump = self.rng.i64(3 * SECOND..86_400 * SECOND);
        let back = self.rng.bool();
        let fault = match self.rng.u32(..10) {
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
                self.server.start(now);
                self.server_changed = Some(now);
            }
            Fault::FailOver { lost } => {
                self.totals.count("failovers");
                if self.server.fail_over(*lost) {
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
        for number in 0..many {
            let id = 1_000 + number;
            let row = self.started(false);
            let start = row.started_at;
            if self.server.up && self.server.write(id, row) {
                self.dies(id, start);
                self.mass.insert(id);
            }
        }
    }
}

fn direction(by: Micros, ahead: &'static str, back: &'static str) -> &'static str {
    if by > 0 { ahead } else { back }
}
