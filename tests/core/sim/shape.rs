//! What the table of a history is like, where it is not Meltano's: heartbeats that stand in another table, rows that are no jobs,
//! NULL for a state, and what a fail does to a job.

use super::server::{NULL, UNLISTED};
use beatwarden::domain::NullState;

/// Where heartbeats stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beats {
    InTheRow,
    /// In a row of another table, which may refer to the job by a foreign key.
    Elsewhere {
        refers: bool,
    },
}

/// What a fail does to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Ends,
    /// Puts it back to be run again.
    PutsBack,
    /// Calls a function, which may raise an error, do nothing, or change another job, too.
    Calls,
}

/// What the table of a history is like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub beats: Beats,
    pub ending: Ending,
    pub null: NullState,
    /// The state of a job before it runs.
    pub before: &'static str,
    /// Whether rows may cease to be jobs, and become jobs again.
    pub has_others: bool,
    /// Whether good runs are too long, at times, for jobs to be failed for their age.
    pub asks_longest: bool,
}

impl Shape {
    /// Half of the histories have a table like Meltano's.
    pub fn draw(rng: &mut fastrand::Rng, is_file: bool, by_age: bool) -> Self {
        let plain = Self {
            beats: Beats::InTheRow,
            ending: Ending::Ends,
            null: NullState::Unknown,
            before: UNLISTED,
            has_others: false,
            asks_longest: by_age && rng.u32(..3) == 0,
        };
        if !by_age && rng.bool() {
            return plain;
        }
        let null = *rng
            .choice(&[NullState::Unknown, NullState::Waiting, NullState::Ignore])
            .unwrap();
        Self {
            beats: match rng.u32(..4) {
                _ if by_age => Beats::InTheRow,
                0 => Beats::InTheRow,
                1 => Beats::Elsewhere { refers: false },
                _ => Beats::Elsewhere { refers: true },
            },
            ending: match rng.u32(..3) {
                0 => Ending::Ends,
                1 if !is_file => Ending::Calls,
                _ => Ending::PutsBack,
            },
            null,
            before: if null != NullState::Unknown || rng.bool() {
                NULL
            } else {
                UNLISTED
            },
            has_others: rng.u32(..3) == 0,
            ..plain
        }
    }

    /// Whether only a fail can repair anything.
    pub fn only_fails(&self) -> bool {
        self.beats != Beats::InTheRow || self.ending != Ending::Ends
    }

    /// Whether a state is in no list.
    pub fn is_unlisted(&self, state: &str) -> bool {
        state == UNLISTED || state == NULL && self.null == NullState::Unknown
    }

    /// What this history has of its own, for the totals.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let is_null = self.before == NULL;
        let names = [
            (
                self.beats == Beats::Elsewhere { refers: true },
                "histories with heartbeats in a table that refers to the jobs",
            ),
            (
                self.beats == Beats::Elsewhere { refers: false },
                "histories with heartbeats in a table that does not",
            ),
            (self.ending == Ending::PutsBack, "histories that put jobs back"),
            (self.ending == Ending::Calls, "histories with a function"),
            (
                is_null && self.null == NullState::Unknown,
                "histories where NULL is no state",
            ),
            (
                is_null && self.null == NullState::Waiting,
                "histories where NULL is waiting",
            ),
            (
                is_null && self.null == NullState::Ignore,
                "histories where NULL is no job",
            ),
            (self.has_others, "histories with rows that are no jobs"),
        ];
        names.into_iter().filter_map(|(has, name)| has.then_some(name))
    }
}
