//! What a fail does beside ending a job: functions that do something else, and jobs that are put back and run again; and rows that
//! cease to be jobs for a while.

use super::{
    server::{Row, SECOND, WAITING},
    shape::Ending,
    world::{Event, World},
    writers::{Habit, Step, Ticket},
};

impl World {
    /// What a function does instead of what it is for, as long as things go wrong: the watchdog's statement takes it back.
    pub fn draw_refusal(&mut self) -> Option<&'static str> {
        if self.scenario.shape.ending != Ending::Calls || !self.faulty() {
            return None;
        }
        let (what, why) = match self.rng.u32(..8) {
            0 => ("functions that raise an error", "raises an error"),
            1 => (
                "functions that leave the job running",
                "leaves the job in a running state",
            ),
            _ => return None,
        };
        self.totals.count(what);
        Some(why)
    }

    /// What else a fail does: a function may end another job, and a job that is put back is run again.
    pub fn ends(&mut self, job: i64, ending: Ending) {
        // Where no heartbeat tells them apart, a row that its writer writes back looks as if nothing had been.
        let ends_another = ending == Ending::Calls && self.scenario.rules.longest.is_none() && self.rng.u32(..4) == 0;
        let other = job + self.scenario.key_step;
        if ends_another && self.server.end_another(other, self.now) {
            self.totals.count("functions that end another job, too");
        }
        if ending == Ending::PutsBack {
            self.totals.count("jobs that are put back");
            let birth = self.server.rows()[&job].birth;
            let habit = self.habit();
            let after = self.rng.i64(SECOND / 2..8 * SECOND);
            self.after(after, Event::Writer(Ticket { key: job, birth }, Step::PickUp(habit)));
        }
    }

    /// The row ceases to be one of those that are jobs, or becomes one again.
    pub fn turn(&mut self, ticket: Ticket, is_job: bool, step: Step) {
        let Some(row) = self.row_of(ticket).filter(|row| row.is_job != is_job) else {
            return;
        };
        // No column changes that is observed: who doesn't read it meanwhile can't know.
        let turned = Row { is_job, ..row };
        if !self.write(ticket, turned, step) {
            return;
        }
        if is_job {
            self.totals.count("rows that are jobs again");
            // A process that watches begins with this moment.
            let now = self.now;
            self.server.change().rows.get_mut(&ticket.key).unwrap().in_state_since = now;
            if let Some((died, _)) = self.dead.get_mut(&ticket.key) {
                *died = now;
            }
        } else {
            self.totals.count("rows that are no jobs any more");
            let after = self.rng.i64(SECOND..6 * SECOND);
            self.after(after, Event::Writer(ticket, Step::Show));
        }
    }

    /// A worker takes a job that was put back, and begins a life of its own.
    pub fn pick_up(&mut self, ticket: Ticket, habit: Habit, step: Step) {
        let Some(row) = self.row_of(ticket).filter(|row| row.state == WAITING) else {
            return;
        };
        let start = self.writer_now();
        let life = Row {
            born_at: row.born_at,
            is_job: row.is_job,
            ..self.started(false, start)
        };
        let next = Ticket {
            key: ticket.key,
            birth: life.birth,
        };
        if self.write(ticket, life, step) {
            self.totals.count("jobs that were put back and run again");
            self.continues(next, start, habit.unseeded());
        }
    }
}
