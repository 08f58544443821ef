//! The writers: how each behaves, drawn from the seed, and what each of its steps does to the world.

use super::{
    server::{Micros, Row, SECOND, micros},
    world::{Event, World},
};

/// What a writer does next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Marks the job running.
    Start(Habit),
    /// Beats, and goes on as it is used to.
    Beat(Habit, u32),
    /// Ends it.
    End(&'static str),
    /// Marks the ended row running again: a new start, or the old one.
    Again(Habit, Restart),
    /// Writes every column back as it was at the start: an ORM that touches another column.
    WriteBack(Row),
    /// Deletes the row.
    Delete,
}

/// How a writer behaves.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    first: First,
    period: Micros,
    beats: u32,
    /// So long it is silent before its second beat, where it pauses.
    pause: Option<Micros>,
    /// Whether the start writes the heartbeat too.
    seeds: bool,
    /// Whether it writes every column back as it remembers them.
    whole_row: bool,
    /// Whether it gives up beating at the first error, and works on.
    fragile: bool,
    end: End,
}

/// What comes after the start.
#[derive(Clone, Copy, Debug)]
enum First {
    /// Its process is gone.
    Dies,
    /// A beat, so much later.
    Beats(Micros),
    /// Nothing until its end: it is blocked all the time, and finishes.
    Finishes(Micros),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Success,
    Failure,
    /// Dies without a word, after its beats.
    Silence,
    RunsAgain(Restart),
    Deleted,
}

/// How an ended row is marked running again.
#[derive(Clone, Copy, Debug)]
pub enum Restart {
    SameStart,
    /// And its process is gone.
    NewStartDies,
    NewStartBeats,
}

impl World {
    pub fn habit(&mut self) -> Habit {
        let deadline = micros(self.scenario.deadline);
        let timeout = micros(self.scenario.heartbeat_timeout);
        let rng = &mut self.rng;
        let first = match rng.u32(..24) {
            0..8 => First::Dies,
            8..11 => First::Finishes(rng.i64(0..deadline * 6)),
            11..16 => First::Beats(rng.i64(0..deadline / 2)),
            // The dangerous ones: just before, and just after.
            16..20 => First::Beats(rng.i64(deadline * 9 / 10..deadline * 11 / 10)),
            _ => First::Beats(rng.i64(0..deadline * 2)),
        };
        Habit {
            first,
            period: rng.i64(SECOND / 2..2 * SECOND),
            beats: rng.u32(..20),
            pause: (rng.u32(..5) == 0).then(|| rng.i64(timeout / 2..timeout * 2)),
            seeds: rng.u32(..6) == 0,
            whole_row: rng.u32(..4) == 0,
            fragile: rng.u32(..3) == 0,
            end: match rng.u32(..9) {
                0 => End::Failure,
                1 => End::Silence,
                2 => End::RunsAgain(Restart::NewStartDies),
                3 => End::RunsAgain(Restart::NewStartBeats),
                4 => End::RunsAgain(Restart::SameStart),
                5 => End::Deleted,
                _ => End::Success,
            },
        }
    }

    /// By the writer's own clock, in the zone that it takes for UTC.
    pub fn writer_now(&self) -> Micros {
        self.now + self.writer_clock
    }

    /// A row whose process has written nothing but its start.
    pub fn started(&self, seeds: bool) -> Row {
        let start = self.writer_now();
        Row {
            state: "RUNNING",
            started_at: start,
            heartbeat_at: seeds.then_some(start),
            ended_at: None,
            changed_at: self.now,
        }
    }

    /// Writes a row, or comes back when a repair's transaction lets go of it; `false` if it did not.
    fn write(&mut self, id: u64, row: Row, again: Event) -> bool {
        if !self.server.up {
            self.after(SECOND, again);
            return false;
        }
        if !self.server.write(id, row) {
            self.totals.count("writers that wait for a repair");
            self.after(SECOND / 10, again);
            return false;
        }
        true
    }

    pub fn writer_step(&mut self, id: u64, step: Step) {
        self.say(|| format!("writer {id}: {step:?}"));
        match step.clone() {
            Step::Start(habit) => self.start_job(id, habit, step),
            Step::Beat(habit, left) => self.beat(id, habit, left, step),
            Step::End(state) => self.end_job(id, state, step),
            Step::Again(habit, restart) => self.again(id, habit, restart, step),
            Step::WriteBack(row) => {
                let Some(now) = self.server.rows().get(&id) else { return };
                // What is there already is no sign of life to anybody.
                let is_as_written = now.job(id) == row.job(id);
                let changed_at = if is_as_written { now.changed_at } else { self.now };
                if self.write(id, Row { changed_at, ..row }, Event::Writer(id, step)) && !is_as_written {
                    self.totals.count("blocked jobs that write every column back");
                }
            }
            Step::Delete => {
                if self.server.up && !self.server.delete(id) {
                    self.after(SECOND / 10, Event::Writer(id, step));
                }
                self.totals.count("deletions");
                self.dead.remove(&id);
            }
        }
    }

    fn start_job(&mut self, id: u64, habit: Habit, step: Step) {
        let row = self.started(habit.seeds);
        let start = row.started_at;
        if self.write(id, row, Event::Writer(id, step)) {
            self.totals.count("starts");
            self.goes_on(id, start, habit);
        }
    }

    /// What comes after a start.
    fn goes_on(&mut self, id: u64, start: Micros, habit: Habit) {
        if habit.seeds {
            self.totals.count("seeded heartbeats");
        }
        match habit.first {
            First::Dies => self.dies(id, start),
            First::Beats(after) => {
                if after >= micros(self.scenario.deadline) {
                    self.totals.count("jobs that come back after their deadline");
                }
                self.after(after, Event::Writer(id, Step::Beat(habit, habit.beats)));
            }
            First::Finishes(after) => {
                self.totals.count("jobs blocked until their end");
                if after >= micros(self.scenario.deadline) {
                    self.totals.count("jobs that finish late");
                }
                if habit.whole_row {
                    let row = self.server.rows()[&id].clone();
                    self.after(after * 2 / 3, Event::Writer(id, Step::WriteBack(row)));
                }
                let state = if matches!(habit.end, End::Failure) {
                    "FAIL"
                } else {
                    "SUCCESS"
                };
                self.after(after, Event::Writer(id, Step::End(state)));
            }
        }
    }

    pub fn dies(&mut self, id: u64, start: Micros) {
        self.totals.count("deaths before the first beat");
        self.dead.insert(id, (self.now, start));
    }

    fn beat(&mut self, id: u64, habit: Habit, left: u32, step: Step) {
        let Some(row) = self.server.rows().get(&id).cloned().filter(|_| self.server.up) else {
            // No server, or a row that a failover has lost. Meltano stops beating for good at the first error.
            if !habit.fragile && left > 0 {
                self.after(SECOND, Event::Writer(id, Step::Beat(habit, left - 1)));
            } else {
                self.totals.count("writers that never beat again after an error");
                self.after(5 * SECOND, Event::Writer(id, Step::End("SUCCESS")));
            }
            return;
        };
        let beat = Row {
            heartbeat_at: Some(self.writer_now()),
            changed_at: self.now,
            ..row
        };
        let written = match habit.whole_row {
            true => Row {
                state: "RUNNING",
                ended_at: None,
                ..beat
            },
            false => beat,
        };
        if !self.write(id, written, Event::Writer(id, step)) {
            return;
        }
        self.totals.count("beats");
        if habit.whole_row {
            self.totals.count("beats that write every column back");
        }
        if left > 0 {
            let pauses = left == habit.beats;
            let rest = habit.pause.filter(|_| pauses).unwrap_or(habit.period);
            if pauses && habit.pause.is_some() {
                self.totals.count("pauses between two beats");
            }
            self.after(rest, Event::Writer(id, Step::Beat(habit, left - 1)));
            return;
        }
        let next = match habit.end {
            End::Success => Step::End("SUCCESS"),
            End::Failure => Step::End("FAIL"),
            End::Deleted => Step::Delete,
            End::Silence => {
                self.totals.count("deaths after beats");
                return;
            }
            End::RunsAgain(restart) => {
                self.after(habit.period * 2, Event::Writer(id, Step::Again(habit, restart)));
                Step::End("SUCCESS")
            }
        };
        self.after(habit.period, Event::Writer(id, next));
    }

    fn end_job(&mut self, id: u64, state: &'static str, step: Step) {
        let Some(row) = self.server.rows().get(&id).cloned() else {
            return;
        };
        let ended = Row {
            state,
            ended_at: Some(self.writer_now()),
            changed_at: self.now,
            ..row
        };
        if self.write(id, ended, Event::Writer(id, step)) {
            self.totals.count("ends");
        }
    }

    /// The same row runs once more.
    fn again(&mut self, id: u64, habit: Habit, restart: Restart, step: Step) {
        let Some(row) = self.server.rows().get(&id).cloned().filter(|_| self.server.up) else {
            return;
        };
        let running = match restart {
            Restart::SameStart => Row {
                state: "RUNNING",
                ended_at: None,
                changed_at: self.now,
                ..row
            },
            Restart::NewStartDies | Restart::NewStartBeats => self.started(false),
        };
        let start = running.started_at;
        if !self.write(id, running, Event::Writer(id, step)) {
            return;
        }
        match restart {
            Restart::SameStart => {
                self.totals.count("rows that run again with the same start");
                self.after(2 * SECOND, Event::Writer(id, Step::End("SUCCESS")));
            }
            Restart::NewStartDies => {
                self.totals.count("rows that run again with a new start");
                self.dies(id, start);
            }
            Restart::NewStartBeats => {
                self.totals.count("rows that run again with a new start");
                let end = End::Success;
                let beats = Habit {
                    end,
                    seeds: false,
                    ..habit
                };
                self.goes_on(id, start, beats);
            }
        }
    }
}
