//! What a history is made of: the rules of the watch, the writers with their habits, and the faults, all drawn from the seed;
//! and what each of their steps does to the world.

use super::{
    server::{Micros, Row, SECOND, micros},
    world::{BEGINNING, Event, World},
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
        Self {
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

/// What a writer does next.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Marks the job running.
    Start(Habit),
    /// Beats, and goes on as it is used to.
    Beat(Habit, u32),
    /// Ends it.
    End(&'static str),
    /// Marks the ended row running again: a new start, or the old one.
    Again { new_start: bool },
    /// Deletes the row.
    Delete,
}

/// How a writer behaves.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    /// Time to the first beat; `None`: it dies before.
    first_beat: Option<Micros>,
    period: Micros,
    beats: u32,
    /// Whether the start writes the heartbeat too.
    seeds: bool,
    /// Whether it writes every column back as it remembers them.
    whole_row: bool,
    /// Whether it gives up beating at the first error, and works on.
    fragile: bool,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Success,
    Failure,
    /// Dies without a word, after its beats.
    Silence,
    RunsAgain {
        new_start: bool,
    },
    Deleted,
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
    /// The monotonic clock of a watchdog, forwards only.
    OwnClock(usize, Micros),
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

    fn habit(&mut self) -> Habit {
        let deadline = micros(self.scenario.deadline);
        let rng = &mut self.rng;
        let dies_first = rng.u32(..3) == 0;
        let first_beat = (!dies_first).then(|| match rng.u32(..3) {
            0 => rng.i64(0..deadline / 2),
            // The dangerous ones: just before, and just after.
            1 => rng.i64(deadline * 9 / 10..deadline * 11 / 10),
            _ => rng.i64(0..deadline * 2),
        });
        Habit {
            first_beat,
            period: rng.i64(SECOND / 2..2 * SECOND),
            beats: rng.u32(..20),
            seeds: rng.u32(..6) == 0,
            whole_row: rng.u32(..6) == 0,
            fragile: rng.u32(..3) == 0,
            end: match rng.u32(..8) {
                0 => End::Failure,
                1 => End::Silence,
                2 => End::RunsAgain { new_start: true },
                3 => End::RunsAgain { new_start: false },
                4 => End::Deleted,
                _ => End::Success,
            },
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
        let fault = match self.rng.u32(..9) {
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
            _ => Fault::Kill(dog),
        };
        match fault {
            Fault::Crash => self.at(at + takes, Event::Fault(Fault::Start)),
            Fault::Kill(dog) => self.at(at + takes, Event::Fault(Fault::Begin(dog))),
            _ => {}
        }
        self.at(at, Event::Fault(fault));
    }

    /// By the writer's own clock.
    fn writer_now(&self) -> Micros {
        self.now + self.writer_clock
    }

    /// Writes a row, or comes back when a repair's transaction lets go of it; `false` if there was no server.
    fn write(&mut self, id: u64, row: Row, again: Event) -> bool {
        if !self.server.up {
            return false;
        }
        if !self.server.write(id, row) {
            self.after(SECOND / 10, again);
        }
        true
    }

    pub fn writer_step(&mut self, id: u64, step: Step) {
        self.say(|| format!("writer {id}: {step:?}"));
        match step {
            Step::Start(habit) => self.start_job(id, habit, step),
            Step::Beat(habit, left) => self.beat(id, habit, left, step),
            Step::End(state) => self.end_job(id, state, step),
            Step::Again { new_start } => self.again(id, new_start, step),
            Step::Delete => {
                if self.server.up && !self.server.delete(id) {
                    self.after(SECOND / 10, Event::Writer(id, step));
                }
                self.working.remove(&id);
                self.dead.remove(&id);
            }
        }
    }

    fn start_job(&mut self, id: u64, habit: Habit, step: Step) {
        let start = self.writer_now();
        let row = Row {
            state: "RUNNING",
            started_at: start,
            heartbeat_at: habit.seeds.then_some(start),
            ended_at: None,
            changed_at: self.now,
        };
        if !self.write(id, row, Event::Writer(id, step)) {
            self.after(SECOND, Event::Writer(id, step));
            return;
        }
        self.totals.jobs += 1;
        self.starts.entry(id).or_default().insert(start);
        match habit.first_beat {
            None => self.dies(id, start),
            Some(first) => {
                self.working.insert(id);
                self.after(first, Event::Writer(id, Step::Beat(habit, habit.beats)));
            }
        }
    }

    fn dies(&mut self, id: u64, start: Micros) {
        self.totals.dead += 1;
        self.dead.insert(id, (self.now, start));
        self.working.remove(&id);
    }

    fn beat(&mut self, id: u64, habit: Habit, left: u32, step: Step) {
        let Some(row) = self.server.rows().get(&id).cloned().filter(|_| self.server.up) else {
            // No server, or a row that a failover has lost. Meltano stops beating for good at the first error.
            if !habit.fragile && left > 0 {
                self.after(SECOND, Event::Writer(id, Step::Beat(habit, left - 1)));
            } else {
                self.after(5 * SECOND, Event::Writer(id, Step::End("SUCCESS")));
            }
            return;
        };
        let beat = Some(self.writer_now());
        let written = if habit.whole_row {
            Row {
                state: "RUNNING",
                heartbeat_at: beat,
                ended_at: None,
                changed_at: self.now,
                ..row
            }
        } else {
            Row {
                heartbeat_at: beat,
                changed_at: self.now,
                ..row
            }
        };
        if !self.server.write(id, written) {
            self.after(SECOND / 10, Event::Writer(id, step));
            return;
        }
        if left > 0 {
            self.after(habit.period, Event::Writer(id, Step::Beat(habit, left - 1)));
            return;
        }
        let next = match habit.end {
            End::Success => Step::End("SUCCESS"),
            End::Failure => Step::End("FAIL"),
            End::Deleted => Step::Delete,
            End::Silence => {
                self.working.remove(&id);
                return;
            }
            End::RunsAgain { new_start } => {
                self.after(habit.period * 2, Event::Writer(id, Step::Again { new_start }));
                Step::End("SUCCESS")
            }
        };
        self.after(habit.period, Event::Writer(id, next));
    }

    fn end_job(&mut self, id: u64, state: &'static str, step: Step) {
        if let Some(row) = self.server.rows().get(&id).cloned() {
            let ended = Row {
                state,
                ended_at: Some(self.writer_now()),
                changed_at: self.now,
                ..row
            };
            if !self.write(id, ended, Event::Writer(id, step)) {
                self.after(SECOND, Event::Writer(id, step));
            }
        }
        self.working.remove(&id);
    }

    /// The same row runs once more, and dies at once if the start is new.
    fn again(&mut self, id: u64, new_start: bool, step: Step) {
        let Some(row) = self.server.rows().get(&id).cloned().filter(|_| self.server.up) else {
            return;
        };
        let start = if new_start { self.writer_now() } else { row.started_at };
        let running = Row {
            state: "RUNNING",
            started_at: start,
            heartbeat_at: if new_start { None } else { row.heartbeat_at },
            ended_at: None,
            changed_at: self.now,
        };
        if !self.server.write(id, running) {
            self.after(SECOND / 10, Event::Writer(id, step));
        } else if new_start {
            self.starts.entry(id).or_default().insert(start);
            self.dies(id, start);
        } else {
            self.after(2 * SECOND, Event::Writer(id, Step::End("SUCCESS")));
        }
    }

    /// Everything but the life of the processes, which the runner has.
    pub fn strike(&mut self, fault: &Fault) {
        self.totals.faults += 1;
        self.say(|| format!("fault {fault:?}"));
        match fault {
            Fault::Crash => self.server.crash(),
            Fault::Start => {
                let now = self.now;
                self.server.start(now);
            }
            Fault::FailOver { lost } => {
                self.failovers += 1;
                self.server.fail_over(*lost);
            }
            Fault::DatabaseClock(by) => self.server.jump(*by),
            Fault::WriterClock(by) => self.writer_clock += by,
            Fault::OwnClock(dog, by) => self.dogs[*dog].clock_offset += by,
            Fault::Cut(dog, takes) => self.dogs[*dog].cut_until = self.now + takes,
            Fault::Freeze { dog, takes, clock_too } => {
                let until = self.now + takes;
                let dog = &mut self.dogs[*dog];
                // One that is frozen already stays so: two stops of a clock don't add up.
                if dog.frozen_until <= self.now {
                    dog.frozen_until = until;
                    if *clock_too {
                        dog.clock_offset -= takes;
                    }
                }
            }
            Fault::Kill(_) | Fault::Begin(_) => {}
            Fault::MassSilence(many) => {
                for number in 0..*many {
                    let id = 1_000 + number;
                    let start = self.writer_now();
                    let row = Row {
                        state: "RUNNING",
                        started_at: start,
                        heartbeat_at: None,
                        ended_at: None,
                        changed_at: self.now,
                    };
                    if self.server.up && self.server.write(id, row) {
                        self.totals.jobs += 1;
                        self.starts.entry(id).or_default().insert(start);
                        self.dies(id, start);
                        self.mass.insert(id);
                    }
                }
            }
        }
    }
}
