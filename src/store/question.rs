//! What a pass asks of a database, and what it is answered. [`Look`](super::look::Look) decides what is asked; a driver answers
//! a whole [`Round`] at once, and decides nothing.

use super::guard::GuardState;
use crate::domain::{Access, Job, JobId, LedgerEntry, Obstacle, RepairId, ServerIdentity, Timestamp};
use std::{ops::RangeInclusive, time::Duration};

/// One question. Each is one statement but where it says otherwise; the statement has the question's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// How the database would find rows by their state, and whether that is expensive.
    AccessPlan,
    /// Rows in states that no list names. A driver may give up: it serves a count, and may not cost a pass.
    Unknown,
    /// How long the longest of the newest runs that ended well took. A driver may give up.
    LongestRun,
    /// The time, and which server this is. A driver may read the time with the running rows.
    Moment,
    /// The rows in a running state, by that state.
    Running {
        /// Whether to measure what the scan costs, where measuring it takes statements of its own.
        timed: bool,
    },
    /// The rows of a range of keys. One statement, or one for the newcomers and several that are short.
    Tail(Span),
    /// The rows from the newest key seen on, that one included, oldest first.
    Newcomers {
        /// The newest key seen.
        newest: i64,
    },
    /// The newest keys, and the newest rows where `window` is given. One statement, or one for each.
    Newest {
        /// As of [`Question::History`].
        window: Option<Duration>,
    },
    /// Of the newest rows those that run, and those that started within a window before now.
    History {
        /// The window of the success ratio.
        window: Duration,
    },
    /// The greatest key of the table.
    Top,
    /// The running rows of a range of keys, and those in states that no list names. With it the greatest key below.
    Page(RangeInclusive<i64>),
    /// How many running rows have no key.
    Keyless,
    /// The rows with these keys, whatever their state. One statement, or one for every few thousand keys.
    Known(Vec<JobId>),
    /// What the catalog says of the table, its guard, the ledger and our rights. One statement, or several.
    Facts,
    /// Whether the ledger's entries of this table are those that were read: how many there are since some time, and how many
    /// hold something up.
    LedgerProbe {
        /// The time.
        since: Timestamp,
    },
    /// The ledger's entries of these jobs.
    LedgerOfJobs(Vec<JobId>),
    /// The newest entries of the ledger, and those that hold something up.
    LedgerNewest,
}

impl Question {
    /// What is done when it is asked, for errors.
    pub const fn what(&self) -> &'static str {
        match self {
            Self::AccessPlan => "asking for the plan of the poll",
            Self::Unknown => "looking for unknown states",
            Self::LongestRun => "looking for the longest run",
            Self::Moment => "reading the time",
            Self::Running { .. } | Self::Tail(_) => "reading the running jobs",
            Self::Newcomers { .. } => "reading newcomers",
            Self::Newest { .. } | Self::History { .. } => "reading the newest rows",
            Self::Top => "reading the greatest key",
            Self::Page(_) => "reading a page of a full look",
            Self::Keyless => "counting rows without a key",
            Self::Known(_) => "reading known jobs",
            Self::Facts => "asking for rights",
            Self::LedgerProbe { .. } | Self::LedgerOfJobs(_) | Self::LedgerNewest => "reading the ledger",
        }
    }
}

/// A range of keys around the newest one that was seen: below it the running rows and those with some keys, from it on all rows,
/// that one included. If it is missing, the table may have been emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The lowest key.
    pub from: i64,
    /// The greatest key of a known job in the range.
    pub last_known: Option<i64>,
    /// The newest key seen.
    pub newest: i64,
    /// Keys in the range that were missing and may have come.
    pub gaps: Vec<i64>,
    /// How many known jobs lie in it.
    pub known: usize,
    /// Whether they are so many, and lie so close, that what another table holds for the keys of the range costs less read as
    /// a whole than for one job after the other.
    pub is_dense: bool,
    /// Rows that are read at most. The newcomers come last, and are cut first; a known job that is cut is read by its key.
    pub most: i64,
}

/// Where a round stands in the snapshot of a pass, for databases that read a pass in one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Outside of it, in a short one of its own.
    Apart,
    /// Its first round: the snapshot begins.
    First,
    /// In between.
    Within,
    /// Its last round: the snapshot ends. May ask nothing more.
    Last,
}

/// Questions that need none of each other's answers: one round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Where it stands in the snapshot.
    pub frame: Frame,
    /// What is asked, in this order.
    pub questions: Vec<Question>,
}

impl Round {
    /// What is done meanwhile, for errors.
    pub fn what(&self) -> &'static str {
        match self.frame {
            Frame::First => "reading the running jobs",
            _ => self.questions.last().map_or("ending the look", Question::what),
        }
    }
}

/// An answer, of the question of the same name. The answers of a round may come in any order, but rows of a database without
/// a common snapshot in the order in which they were read.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Question::AccessPlan`].
    AccessPlan(AccessPlan),
    /// To [`Question::Unknown`]; nothing where it took too long.
    Unknown(Option<Vec<Job>>),
    /// To [`Question::LongestRun`].
    LongestRun(LongestRun),
    /// To [`Question::Moment`].
    Moment(Moment),
    /// To [`Question::Running`], and how long the scan took, where that was measured.
    Running(Rows, Option<Duration>),
    /// To [`Question::Tail`] and [`Question::Newcomers`].
    Tail(Rows),
    /// To [`Question::Newest`]: the keys in any order; the rows also where they had to be read to know the keys.
    Newest(Vec<i64>, Option<Rows>),
    /// To [`Question::History`] and [`Question::Known`].
    Rows(Rows),
    /// To [`Question::Top`]; nothing where the table is empty.
    Top(Option<i64>),
    /// To [`Question::Page`].
    Page(Page),
    /// To [`Question::Keyless`].
    Keyless(u64),
    /// To [`Question::Facts`].
    Facts(Facts),
    /// To [`Question::LedgerProbe`].
    LedgerProbe(LedgerMark),
    /// To [`Question::LedgerOfJobs`].
    LedgerOfJobs(Vec<LedgerEntry>),
    /// To [`Question::LedgerNewest`], and how many rows there were: not every row is an entry that this version knows.
    LedgerNewest(Vec<LedgerEntry>, usize),
}

/// A page of a full look.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The running rows, and those in states that no list names.
    pub rows: Rows,
    /// The greatest key below the page, where there is one.
    pub below: Option<i64>,
    /// What it cost the database, where that is not how long the answer took.
    pub cost: Option<Duration>,
}

/// By what it is seen whether the ledger has other entries than before. Counting ends at a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerMark {
    /// Entries since the time of the question.
    pub newer: u64,
    /// False repairs that no one acknowledged, in order: one that is acknowledged while another is noted leaves their number.
    pub false_repairs: Vec<RepairId>,
    /// Late heartbeats that no one acknowledged.
    pub late_heartbeats: u64,
}

/// How a database would find the running rows by their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessPlan {
    /// By an index or by a scan.
    pub access: Access,
    /// Whether it takes the scan for one that costs something.
    pub is_expensive: bool,
}

/// How long good runs take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LongestRun {
    /// Not known: it was not asked, or that took too long.
    #[default]
    Unknown,
    /// No run ended well.
    NoneGood,
    /// The longest of those that did.
    Took(Duration),
}

/// Time and server of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The database's time.
    pub now: Timestamp,
    /// Which server it is.
    pub server: ServerIdentity,
    /// When the server started, where it reports that.
    pub server_started_at: Option<Timestamp>,
    /// Changes with what the catalog says of table and ledger, where the database has such a thing.
    pub version: Option<String>,
    /// Which transactions may not have been seen, where the database numbers them.
    pub transactions: Option<Transactions>,
}

/// Transactions at the time of a snapshot, by their numbers, which are given out in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transactions {
    /// All with a lower number have ended, and the snapshot shows what they committed.
    pub oldest: u64,
    /// None has this number or a higher one yet.
    pub next: u64,
}

impl Transactions {
    /// From the text of PostgreSQL's `txid_snapshot`: oldest, next, and those in between that run.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let mut number = || parts.next()?.parse().ok();
        Some(Self {
            oldest: number()?,
            next: number()?,
        })
    }
}

/// Rows of the table.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Those with a key.
    pub jobs: Vec<Job>,
    /// How many had no key that can be used, where the driver counts them.
    pub keyless: u64,
}

impl From<Vec<Job>> for Rows {
    fn from(jobs: Vec<Job>) -> Self {
        Self { jobs, keyless: 0 }
    }
}

/// What the catalog says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What keeps this watch from repairing; the first one counts.
    pub obstacles: Vec<Obstacle>,
    /// The guard.
    pub guard: GuardState,
    /// Whether the ledger is there and may be read.
    pub ledger_readable: bool,
    /// Whether something of its name is there.
    pub ledger_exists: bool,
}
