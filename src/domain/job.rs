//! A job as it stands in its table: key, name, state and three times. Owns the difference between *seeded* and *real*.

use super::Timestamp;
use std::{fmt, time::Duration};

/// The key of a job, in its text form, whatever the column's type is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Box<str>);

impl JobId {
    /// From the key's text form.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A time column of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reading {
    /// NULL, or no such column.
    Absent,
    /// A readable instant.
    At(Timestamp),
    /// Infinity, a year outside 1970..9999, or text that is no time.
    Unreadable,
}

impl Reading {
    /// From microseconds since the epoch; what lies outside 1970..9999 is unreadable.
    pub fn from_micros(micros: i64) -> Self {
        let at = Timestamp::from_micros(micros);
        if (Timestamp::MIN..=Timestamp::MAX).contains(&at) {
            Self::At(at)
        } else {
            Self::Unreadable
        }
    }

    /// The instant, where there is one.
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::Absent | Self::Unreadable => None,
        }
    }
}

/// One row of the job table. Equality means that no observed column changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The key.
    pub id: JobId,
    /// What the job is called; hostile input, to be escaped wherever it is shown.
    pub name: Option<Box<str>>,
    /// The row's own state, NULL included.
    pub state: Option<Box<str>>,
    /// When the writer says that it started.
    pub started_at: Reading,
    /// The last heartbeat.
    pub heartbeat_at: Reading,
    /// When the writer says that it ended.
    pub ended_at: Reading,
}

/// A job's heartbeat, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// NULL.
    Absent,
    /// Written together with the start: proves nothing.
    Seeded(Timestamp),
    /// A sign of life.
    Real(Timestamp),
}

impl Job {
    /// Judges the heartbeat: seeded if it lies at most `tolerance` after the start, or before it.
    ///
    /// Without a start nothing can have been written together with it, so the heartbeat counts as real: the safe
    /// reading for a living job.
    pub fn heartbeat(&self, tolerance: Duration) -> Heartbeat {
        let Some(beat) = self.heartbeat_at.at() else {
            return Heartbeat::Absent;
        };
        match self.started_at.at() {
            Some(start) if beat <= start.plus(tolerance) => Heartbeat::Seeded(beat),
            _ => Heartbeat::Real(beat),
        }
    }

    /// Whether a time that the judgement rests on can't be read.
    pub fn is_unreadable(&self) -> bool {
        self.started_at == Reading::Unreadable || self.heartbeat_at == Reading::Unreadable
    }
}

/// What a state means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    /// Somebody is working on it.
    Running,
    /// A good end.
    Success,
    /// A bad end.
    Failure,
    /// Not running, no end.
    Waiting,
    /// No job at all.
    Ignored,
    /// In no list, or NULL.
    Unknown,
}

impl StateKind {
    /// Whether the job is over.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Success | Self::Failure)
    }
}

/// The lists of state values of one watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// Somebody is working on it.
    pub running: Vec<String>,
    /// Good ends.
    pub success: Vec<String>,
    /// Bad ends; the first is what `fail` writes.
    pub failure: Vec<String>,
    /// Not running, no end.
    pub waiting: Vec<String>,
    /// Rows that are no jobs.
    pub ignore: Vec<String>,
}

impl States {
    /// What `state` means.
    pub fn kind_of(&self, state: Option<&str>) -> StateKind {
        let Some(state) = state else {
            return StateKind::Unknown;
        };
        let lists = [
            (&self.running, StateKind::Running),
            (&self.success, StateKind::Success),
            (&self.failure, StateKind::Failure),
            (&self.waiting, StateKind::Waiting),
            (&self.ignore, StateKind::Ignored),
        ];
        lists
            .into_iter()
            .find(|(list, _)| list.iter().any(|known| known == state))
            .map_or(StateKind::Unknown, |(_, kind)| kind)
    }

    /// Every configured value, in the order of the lists.
    pub fn all(&self) -> Vec<&str> {
        [&self.running, &self.success, &self.failure, &self.waiting, &self.ignore]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect()
    }
}
