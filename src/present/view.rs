//! What is known of one watch at one moment. Page, API, command line and metrics read the same view, so they can't disagree
//! about what is unknown: an old pass is `None` for all of them.

use crate::{
    domain::{LateOutcome, LedgerEntry, Moment, Phase},
    pass::GoodPass,
    status::{Board, Boards, WatchStatus},
};
use std::sync::Arc;

/// One watch, as it is shown.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Everything that its board has.
    pub status: Arc<WatchStatus>,
    /// The moment for which this holds.
    pub now: Moment,
    /// The last good pass, unless it is too old to be the truth.
    pub current: Option<Arc<GoodPass>>,
}

impl View {
    /// The view of a watch.
    pub fn of(name: &str, board: &Board, now: Moment) -> Self {
        let status = board.read();
        Self {
            name: name.to_owned(),
            current: status.current(now).cloned(),
            status,
            now,
        }
    }

    /// The views of all watches, in the order of the configuration.
    pub fn all(boards: &Boards, now: Moment) -> Vec<Self> {
        boards.iter().map(|(name, board)| Self::of(name, board, now)).collect()
    }

    /// Whether both are the same state of the same watch, and as current: what is shown of it then is the same.
    pub fn is_same(&self, other: &Self) -> bool {
        let is_as_current = self.current.is_some() == other.current.is_some();
        is_as_current && self.name == other.name && Arc::ptr_eq(&self.status, &other.status)
    }

    /// Whether the last pass read the table, and lately.
    pub fn is_up(&self) -> bool {
        self.status.is_up(self.now)
    }

    /// What the current pass says; `None` where there is none.
    pub fn known<T>(&self, value: impl FnOnce(&GoodPass) -> T) -> Option<T> {
        self.current.as_deref().map(value)
    }

    /// Running jobs in a phase.
    pub fn count(&self, phase: Phase) -> Option<u64> {
        self.known(|pass| pass.report.count(phase))
    }

    /// Whether the fuse keeps jobs from being failed; `None` before the first good pass. The fuse is our own: it stays as it
    /// is while the database is away.
    pub fn fuse_open(&self) -> Option<bool> {
        self.status.fuse_open()
    }

    /// Whether the guard trigger is installed and sound.
    pub fn guard_installed(&self) -> Option<bool> {
        self.known(|pass| pass.report.guard.works())
    }

    /// Whether a repair could be made.
    pub fn repair_enabled(&self) -> Option<bool> {
        self.known(|pass| pass.report.repair_enabled)
    }

    /// The newest entries of the ledger about the watch's table, newest first, 100 at most; also of an old pass: they are history.
    pub fn repairs(&self) -> &[Arc<LedgerEntry>] {
        self.status.last_good.as_ref().map_or(&[], |pass| &pass.report.repairs)
    }

    /// What turned out about earlier repairs and no one has acknowledged, of an old pass too: the false ones, then the
    /// late heartbeats, however old.
    pub fn outcomes(&self) -> Vec<(&LedgerEntry, LateOutcome)> {
        let Some(report) = self.status.last_good.as_ref().map(|pass| &pass.report) else {
            return Vec::new();
        };
        let wrong = report
            .false_repairs
            .iter()
            .map(|entry| (entry.as_ref(), LateOutcome::FalseRepair));
        let late = report
            .late_heartbeats
            .iter()
            .map(|entry| (entry.as_ref(), LateOutcome::LateHeartbeat));
        wrong.chain(late).collect()
    }

    /// Whether a repair was taken back, as far as the newest entries tell.
    pub fn is_undone(&self, entry: &LedgerEntry) -> bool {
        self.repairs()
            .iter()
            .any(|other| other.undo_of == Some(entry.repair_id))
    }

    /// The newest backfill or fail.
    pub fn last_repair(&self) -> Option<&LedgerEntry> {
        let repairs = &self.current.as_ref()?.report.repairs;
        repairs.iter().map(Arc::as_ref).find(|entry| entry.action.is_repair())
    }
}
