//! The writers: how each behaves, drawn from the seed, and what each of its steps does to the world.

use super::{
    elsewhere::Landing,
    server::{Micros, RUNNING, Row, SECOND, micros},
    shape::Beats,
    world::{Event, World},
};

/// What a writer knows its row by: the key may be another's by now.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    pub key: i64,
    pub birth: u64,
}

/// What a writer does next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Inserts the job, with the start that it had when its transaction began, and when that was by true time.
    Insert(Habit, Micros, Micros),
    /// Marks the job running that it inserted in a state of no list.
    Run(Habit),
    /// Beats, and continues as it is used to.
    Beat(Habit, u32),
    /// What it wrote into the other table is committed.
    Land(Landing),
    /// The row of its owner goes, if its heartbeat is still this one.
    OwnerGone(Micros),
    /// Takes a job that was put back.
    PickUp(Habit),
    /// The row ceases to be a job, or becomes one again.
    Hide,
    Show,
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
    /// How long it is silent before its second beat, where it pauses.
    pause: Option<Micros>,
    /// Whether the start writes the heartbeat too.
    seeds: bool,
    /// Whether it writes every column back as it remembers them.
    whole_row: bool,
    /// Whether it gives up beating at the first error, and works on.
    fragile: bool,
    /// Whether it inserts the job in a state of no list, and marks it running later.
    prepares: bool,
    end: End,
}

impl Habit {
    /// The same of a start that writes no heartbeat.
    pub fn unseeded(self) -> Self {
        Self { seeds: false, ..self }
    }
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
        let deadline = micros(self.scenario.rules.deadline);
        let timeout = micros(self.scenario.rules.heartbeat_timeout);
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
            prepares: rng.u32(..10) == 0,
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
    pub fn started(&mut self, seeds: bool, start: Micros) -> Row {
        Row {
            birth: self.server.next_birth(),
            state: RUNNING,
            started_at: start,
            heartbeat_at: seeds.then_some(start).filter(|_| self.scenario.rules.longest.is_none()),
            is_job: true,
            has_start: true,
            ended_at: None,
            changed_at: self.now,
            in_state_since: self.now,
            born_at: self.now,
        }
    }

    /// The row of a writer, where it is still its own.
    pub fn row_of(&self, ticket: Ticket) -> Option<Row> {
        let row = self.server.rows().get(&ticket.key);
        row.filter(|row| row.birth == ticket.birth).cloned()
    }

    /// Writes a row, or comes back when a repair's transaction lets go of it; `false` if it did not.
    pub fn write(&mut self, ticket: Ticket, mut row: Row, again: Step) -> bool {
        if !self.server.up {
            self.after(SECOND, Event::Writer(ticket, again));
            return false;
        }
        if self.row_of(ticket).is_none_or(|before| before.state != row.state) {
            row.in_state_since = self.now;
        }
        if !self.server.write(ticket.key, row) {
            self.totals.count("writers that wait for a repair");
            self.after(SECOND / 10, Event::Writer(ticket, again));
            return false;
        }
        self.judge_life(ticket.key);
        true
    }

    /// A writer's transaction begins: it gets a key, and the row is committed at once, late, or never.
    pub fn begin_job(&mut self, habit: Habit) {
        if !self.server.up {
            self.after(SECOND, Event::Begin(habit));
            return;
        }
        let is_file = self.scenario.is_file;
        let key = match is_file {
            true => self.server.key_after_the_greatest(),
            false => self.server.next_key(self.scenario.key_step),
        };
        let birth = self.server.next_birth();
        let ticket = Ticket { key, birth };
        let start = self.writer_now();
        let takes = match self.rng.u32(..12) {
            // A file has one writer at a time.
            _ if is_file => 0,
            0 => {
                self.totals.count("rollbacks");
                return;
            }
            1..4 => self.rng.i64(SECOND / 10..15 * SECOND),
            _ => 0,
        };
        self.server.begin_insert(birth);
        self.after(takes, Event::Writer(ticket, Step::Insert(habit, start, self.now)));
    }

    pub fn writer_step(&mut self, ticket: Ticket, step: Step) {
        self.say(|| format!("writer {ticket:?}: {step:?}"));
        match step.clone() {
            Step::Insert(habit, start, begun) => self.insert_job(ticket, habit, start, begun),
            Step::Run(habit) => self.run_job(ticket, habit, step),
            Step::Beat(habit, left) => self.beat(ticket, habit, left, step),
            Step::Land(landing) => self.land(ticket, landing),
            Step::OwnerGone(at) => self.owner_goes(ticket, at),
            Step::PickUp(habit) => self.pick_up(ticket, habit, step),
            Step::Hide => self.turn(ticket, false, step),
            Step::Show => self.turn(ticket, true, step),
            Step::End(state) => self.end_job(ticket, state, step),
            Step::Again(habit, restart) => self.again(ticket, habit, restart, step),
            Step::WriteBack(row) => {
                let Some(now) = self.row_of(ticket) else { return };
                // A heartbeat in another table is none of its columns.
                let row = match self.scenario.shape.beats {
                    Beats::InTheRow => row,
                    Beats::Elsewhere { .. } => Row {
                        heartbeat_at: now.heartbeat_at,
                        ..row
                    },
                };
                // What is there already is no sign of life to anyone.
                let is_as_written = now.job(ticket.key) == row.job(ticket.key);
                let changed_at = if is_as_written { now.changed_at } else { self.now };
                let row = Row {
                    changed_at,
                    in_state_since: now.in_state_since,
                    is_job: now.is_job,
                    ..row
                };
                if self.write(ticket, row, step) && !is_as_written {
                    self.totals.count("blocked jobs that write every column back");
                }
            }
            Step::Delete => {
                if self.row_of(ticket).is_none() {
                    return;
                }
                if self.server.up && !self.server.delete(ticket.key) {
                    self.after(SECOND / 10, Event::Writer(ticket, step));
                }
                self.totals.count("deletions");
                self.dead.remove(&ticket.key);
            }
        }
    }

    fn insert_job(&mut self, ticket: Ticket, habit: Habit, start: Micros, begun: Micros) {
        let is_lost = !self.server.up || self.server_changed.max(Some(self.emptied)) >= Some(begun);
        if is_lost || self.server.rows().contains_key(&ticket.key) {
            // Its transaction ended with the server or before the table was emptied, or its key is taken.
            self.totals.count("inserts that fail");
            self.server.end_insert(ticket.birth);
            return;
        }
        let row = Row {
            birth: ticket.birth,
            state: if habit.prepares {
                self.scenario.shape.before
            } else {
                RUNNING
            },
            ..self.started(habit.seeds, start)
        };
        let is_late = self.server.rows().keys().any(|key| *key > ticket.key);
        if self.write(ticket, row, Step::Insert(habit, start, begun)) {
            self.server.end_insert(ticket.birth);
            self.totals.count("starts");
            if is_late {
                self.totals.count("keys that are committed after greater ones");
            }
            if habit.prepares {
                self.totals.count("jobs that begin in a state of no list");
                self.after(habit.period, Event::Writer(ticket, Step::Run(habit)));
            } else {
                self.continues(ticket, start, habit);
            }
        }
    }

    fn run_job(&mut self, ticket: Ticket, habit: Habit, step: Step) {
        let Some(row) = self.row_of(ticket) else { return };
        let start = row.started_at;
        let running = Row {
            state: RUNNING,
            changed_at: self.now,
            ..row
        };
        if self.write(ticket, running, step) {
            self.continues(ticket, start, habit);
        }
    }

    /// What comes after a start.
    pub fn continues(&mut self, ticket: Ticket, start: Micros, habit: Habit) {
        if self.scenario.shape.has_others && self.rng.u32(..4) == 0 {
            let after = self.rng.i64(0..8 * SECOND);
            self.after(after, Event::Writer(ticket, Step::Hide));
        }
        if habit.seeds && self.scenario.shape.beats == Beats::InTheRow {
            self.totals.count("seeded heartbeats");
        }
        match habit.first {
            First::Dies => self.dies(ticket.key, start),
            First::Beats(after) => {
                if after >= micros(self.scenario.rules.deadline) {
                    self.totals.count("jobs that come back after their deadline");
                }
                self.after(after, Event::Writer(ticket, Step::Beat(habit, habit.beats)));
            }
            First::Finishes(after) => {
                self.totals.count("jobs blocked until their end");
                if after >= micros(self.scenario.rules.deadline) {
                    self.totals.count("jobs that finish late");
                }
                if habit.whole_row {
                    let row = self.server.rows()[&ticket.key].clone();
                    self.after(after * 2 / 3, Event::Writer(ticket, Step::WriteBack(row)));
                }
                let state = if matches!(habit.end, End::Failure) {
                    "FAIL"
                } else {
                    "SUCCESS"
                };
                self.after(after, Event::Writer(ticket, Step::End(state)));
            }
        }
    }

    pub fn dies(&mut self, key: i64, start: Micros) {
        self.totals.count("deaths before the first beat");
        self.dead.insert(key, (self.now, start));
    }

    fn beat(&mut self, ticket: Ticket, habit: Habit, left: u32, step: Step) {
        let Some(row) = self.row_of(ticket).filter(|_| self.server.up) else {
            // No server, or a row that a failover has lost. Meltano stops beating for good at the first error.
            if !habit.fragile && left > 0 {
                self.after(SECOND, Event::Writer(ticket, Step::Beat(habit, left - 1)));
            } else {
                self.totals.count("writers that never beat again after an error");
                self.after(5 * SECOND, Event::Writer(ticket, Step::End("SUCCESS")));
            }
            return;
        };
        if let Beats::Elsewhere { refers } = self.scenario.shape.beats {
            self.beat_elsewhere(ticket, habit, left, refers);
            return;
        }
        let beat = match self.scenario.rules.longest {
            None => Row {
                heartbeat_at: Some(self.writer_now()),
                changed_at: self.now,
                ..row
            },
            // It works on, and nothing of that shows.
            Some(_) => Row {
                changed_at: if habit.whole_row && !row.runs() {
                    self.now
                } else {
                    row.changed_at
                },
                ..row
            },
        };
        let written = match habit.whole_row {
            true => Row {
                state: RUNNING,
                ended_at: None,
                ..beat
            },
            false => beat,
        };
        if !self.write(ticket, written, step) {
            return;
        }
        self.totals.count("beats");
        if habit.whole_row {
            self.totals.count("beats that write every column back");
        }
        self.has_beat(ticket, habit, left);
    }

    /// What comes after a heartbeat.
    pub fn has_beat(&mut self, ticket: Ticket, habit: Habit, left: u32) {
        if left > 0 {
            let pauses = left == habit.beats;
            let rest = habit.pause.filter(|_| pauses).unwrap_or(habit.period);
            if pauses && habit.pause.is_some() {
                self.totals.count("pauses between two beats");
            }
            self.after(rest, Event::Writer(ticket, Step::Beat(habit, left - 1)));
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
                // Where no heartbeat tells them apart, late enough that a process which watches all the time has seen the end.
                let unseen = self.scenario.rules.longest.map_or(0, |_| self.scenario.gap() + SECOND);
                let again = Event::Writer(ticket, Step::Again(habit, restart));
                self.after(habit.period * 2 + unseen, again);
                Step::End("SUCCESS")
            }
        };
        self.after(habit.period, Event::Writer(ticket, next));
    }

    fn end_job(&mut self, ticket: Ticket, state: &'static str, step: Step) {
        let Some(row) = self.row_of(ticket) else {
            return;
        };
        let ended = Row {
            state,
            ended_at: Some(self.writer_now()),
            changed_at: self.now,
            ..row
        };
        if self.write(ticket, ended, step) {
            self.totals.count("ends");
        }
    }

    /// The same row runs once more.
    fn again(&mut self, ticket: Ticket, habit: Habit, restart: Restart, step: Step) {
        let Some(row) = self.row_of(ticket).filter(|_| self.server.up) else {
            return;
        };
        let running = match restart {
            Restart::SameStart => Row {
                state: RUNNING,
                ended_at: None,
                changed_at: self.now,
                ..row
            },
            Restart::NewStartDies | Restart::NewStartBeats => {
                let start = self.writer_now();
                Row {
                    birth: row.birth,
                    born_at: row.born_at,
                    is_job: row.is_job,
                    ..self.started(false, start)
                }
            }
        };
        let start = running.started_at;
        if !self.write(ticket, running, step) {
            return;
        }
        match restart {
            Restart::SameStart => {
                self.totals.count("rows that run again with the same start");
                self.after(2 * SECOND, Event::Writer(ticket, Step::End("SUCCESS")));
            }
            Restart::NewStartDies => {
                self.totals.count("rows that run again with a new start");
                self.dies(ticket.key, start);
            }
            Restart::NewStartBeats => {
                self.totals.count("rows that run again with a new start");
                let end = End::Success;
                let beats = Habit { end, ..habit };
                self.continues(ticket, start, beats.unseeded());
            }
        }
    }
}
