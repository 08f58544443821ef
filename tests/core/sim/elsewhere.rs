//! Heartbeats in another table: the writer's side of it, whose transactions take time and may hold the job's row, and the rows of
//! owners that come and go.

use super::{
    server::{Micros, SECOND, Server},
    world::{Event, World},
    writers::{Habit, Step, Ticket},
};

/// A heartbeat on its way into the other table.
#[derive(Clone, Debug)]
pub struct Landing {
    pub habit: Habit,
    pub left: u32,
    /// What it says.
    at: Micros,
    /// When its transaction began.
    begun: Micros,
    /// Whether it is a first one that holds the job's row until it is committed.
    holds: bool,
}

impl World {
    /// The writer's statement: what it writes is committed at once, or late.
    pub fn beat_elsewhere(&mut self, ticket: Ticket, habit: Habit, left: u32, refers: bool) {
        let is_first = !self.server.has_beat(ticket.key);
        let holds = refers && is_first;
        if holds && self.server.holds(ticket.key) {
            self.totals.count("first heartbeats that wait for a repair");
            self.after(SECOND / 10, Event::Writer(ticket, Step::Beat(habit, left)));
            return;
        }
        let landing = Landing {
            habit,
            left,
            at: self.writer_now(),
            begun: self.now,
            holds,
        };
        // A file has one writer at a time.
        let takes = match self.rng.u32(..6) {
            0 if !self.scenario.is_file => self.rng.i64(SECOND / 20..6 * SECOND),
            _ => 0,
        };
        if holds {
            self.server.refer(ticket.key);
        }
        if takes == 0 {
            self.land(ticket, landing);
        } else {
            if is_first {
                self.totals.count("first heartbeats that are committed late");
            }
            self.after(takes, Event::Writer(ticket, Step::Land(landing)));
        }
    }

    /// The row of the owner goes, if there was no heartbeat since the one that said this. The next one makes it again.
    pub fn owner_goes(&mut self, ticket: Ticket, at: Micros) {
        let now = self.now;
        if self.server.up && self.server.forget_beat(ticket.key, at, now) {
            self.totals.count("owners' rows that are gone");
            self.judge_life(ticket.key);
        }
    }

    /// The heartbeat is committed, unless its transaction ended with the server.
    pub fn land(&mut self, ticket: Ticket, landing: Landing) {
        let Landing {
            habit,
            left,
            at,
            begun,
            holds,
        } = landing;
        if !self.server.up || self.server_changed >= Some(begun) {
            self.after(SECOND, Event::Writer(ticket, Step::Beat(habit, left)));
            return;
        }
        if holds {
            self.server.let_go(ticket.key);
        } else if self.server.holds(ticket.key) && !self.server.has_beat(ticket.key) {
            self.totals.count("first heartbeats behind a repair's back");
        }
        if self.row_of(ticket).is_none() {
            // The row has a new life by now, for which a change of its heartbeat speaks, no matter who made it.
            self.dead.remove(&ticket.key);
        }
        let now = self.now;
        self.server.beat(ticket.key, at, now);
        self.judge_life(ticket.key);
        self.totals.count("heartbeats in another table");
        if self.rng.u32(..3) == 0 {
            // Late enough that a process which watches all the time has seen the heartbeat.
            let after = self.scenario.gap() + SECOND;
            self.after(after, Event::Writer(ticket, Step::OwnerGone(at)));
        }
        self.has_beat(ticket, habit, left);
    }
}

impl Server {
    /// A transaction that holds the job's row by a foreign key is open.
    pub fn refer(&mut self, id: i64) {
        self.references.push(id);
    }

    /// It is over.
    pub fn let_go(&mut self, id: i64) {
        if let Some(place) = self.references.iter().position(|reference| *reference == id) {
            self.references.swap_remove(place);
        }
    }

    /// Whether the other table has a row of this key.
    pub fn has_beat(&self, id: i64) -> bool {
        self.now.beats.contains_key(&id)
    }

    /// A heartbeat is committed; an earlier time than the one that is there changes nothing.
    pub fn beat(&mut self, id: i64, at: Micros, now: Micros) {
        let committed = self.change();
        let newest = committed.beats.get(&id).copied().max(Some(at));
        committed.beats.extend(newest.map(|newest| (id, newest)));
        if let Some(row) = committed.rows.get_mut(&id).filter(|row| row.heartbeat_at != newest) {
            row.heartbeat_at = newest;
            row.changed_at = now;
        }
    }

    /// The row of the job's owner goes, if its heartbeat is still this one; true if it was.
    fn forget_beat(&mut self, id: i64, at: Micros, now: Micros) -> bool {
        if self.now.beats.get(&id) != Some(&at) {
            return false;
        }
        let committed = self.change();
        committed.beats.remove(&id);
        if let Some(row) = committed.rows.get_mut(&id).filter(|row| row.heartbeat_at.is_some()) {
            row.heartbeat_at = None;
            row.changed_at = now;
        }
        true
    }
}
