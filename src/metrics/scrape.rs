//! The encoded metrics, kept for scrapes that come before anything changed: encoding costs more than answering.

use crate::{
    domain::Moment,
    status::{Boards, ReloadStatus, Roster, WatchStatus},
};
use bytes::Bytes;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// What the process itself uses (memory, processor time) changes at any time; it may be this old.
const FOR: Duration = Duration::from_secs(1);

/// Everything in the text format, as it stood at one moment.
#[derive(Debug)]
pub struct Scrape {
    text: Bytes,
    packed: OnceLock<Bytes>,
}

impl Scrape {
    pub(super) fn new(text: Vec<u8>) -> Self {
        Self {
            text: text.into(),
            packed: OnceLock::new(),
        }
    }

    /// The text.
    pub fn text(&self) -> Bytes {
        self.text.clone()
    }

    /// The text as `pack` makes it smaller, made once.
    pub fn packed(&self, pack: impl FnOnce(&[u8]) -> Vec<u8>) -> Bytes {
        self.packed.get_or_init(|| pack(&self.text).into()).clone()
    }
}

/// What a scrape was made from.
#[derive(Debug)]
pub(super) struct Source {
    boards: Arc<Boards>,
    reload: ReloadStatus,
    statuses: Vec<Arc<WatchStatus>>,
}

impl Source {
    pub(super) fn of(roster: &Roster) -> Self {
        let boards = roster.boards();
        let statuses = boards.iter().map(|(_, board)| board.read()).collect();
        Self {
            reload: roster.reload_status(),
            boards,
            statuses,
        }
    }

    /// Whether nothing has changed since: no pass has ended, no configuration was read.
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.boards, &other.boards)
            && self.reload == other.reload
            && self
                .statuses
                .iter()
                .zip(&other.statuses)
                .all(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// Whether each watch is as current at one moment as at another: a pass that grows old takes its gauges with it.
    fn is_as_current(&self, one: Moment, other: Moment) -> bool {
        self.statuses
            .iter()
            .all(|status| status.current(one).is_some() == status.current(other).is_some())
    }
}

/// A scrape, and how long it holds.
#[derive(Debug)]
pub(super) struct Kept {
    pub scrape: Arc<Scrape>,
    pub source: Source,
    pub at: Moment,
}

impl Kept {
    /// Whether a scrape made now would say the same, but for what the process itself uses.
    pub(super) fn holds(&self, source: &Source, now: Moment) -> bool {
        now.since(self.at) < FOR && self.source.is_same(source) && self.source.is_as_current(self.at, now)
    }
}
