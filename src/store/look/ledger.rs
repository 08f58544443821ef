//! What a pass asks of the ledger: usually only whether it is as it was. Entries are read again when there are others, and the
//! jobs that were asked for once are not asked for again: what is new about them is among the newest entries.

use super::{Look, Seen, rows::needs_precedents};
use crate::{
    domain::{JobId, LateOutcome, LedgerEntry, RepairId, ServerIdentity, Timestamp},
    store::{
        question::{Frame, LedgerMark, Question, Round},
        reading::{UNACKNOWLEDGED, WATCHED_REPAIRS},
    },
};
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// An entry has the time at which its transaction began, and is there once that has ended: so long before a reading one may have
/// begun that it did not see.
const OVERLAP: Duration = Duration::from_secs(60);
/// After this time all is read again: what was deleted, or came later than [`OVERLAP`], is noticed then.
const WHOLE_EVERY: Duration = Duration::from_secs(600);
/// How many newer entries are counted. More than a pass reads would hide some; no pass makes nearly as many.
const MOST_NEWER: usize = WATCHED_REPAIRS as usize;
/// Jobs that are gone are forgotten once there are so many more of them than of the others.
const SLACK: usize = 4_096;

/// What is known of the ledger.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// The newest entries, and those that hold something up.
    newest: Vec<Arc<LedgerEntry>>,
    /// The entries of the jobs that were asked for.
    precedents: Vec<Arc<LedgerEntry>>,
    /// These jobs, in the order of their keys.
    asked: Vec<JobId>,
    /// Whether there is no entry of this table.
    is_empty: bool,
    /// By what it is seen whether there are other entries, and from which time on that counts.
    mark: LedgerMark,
    since: Timestamp,
    /// When it was read, on which server, and when its precedents were read from the beginning.
    read_at: Timestamp,
    server: ServerIdentity,
    whole_at: Timestamp,
}

/// From which time of the database on entries count as new. Its clock may jump while a transaction hangs, so ours says how long ago a
/// reading was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Horizon {
    /// The database's time at a reading at least [`OVERLAP`] ago, and at a later one.
    earlier: Timestamp,
    later: Timestamp,
    /// Our own time at the later one.
    at: Instant,
}

impl Horizon {
    /// With another reading.
    fn with(before: Option<Self>, database_now: Timestamp, now: Instant) -> Self {
        let earlier = match before {
            Some(before) if now.duration_since(before.at) < OVERLAP => return before,
            Some(before) => before.later,
            None => database_now.minus(OVERLAP),
        };
        Self {
            earlier,
            later: database_now,
            at: now,
        }
    }

    fn since(self, database_now: Timestamp) -> Timestamp {
        self.earlier.min(database_now.minus(OVERLAP))
    }
}

/// How far the ledger has been read in this pass.
#[derive(Debug, Default)]
pub(super) struct Reading {
    asks: Asks,
    /// Entries count as new from this time on.
    since: Option<Timestamp>,
    /// The jobs whose entries count, in the order of their keys.
    jobs: Vec<JobId>,
    pub mark: Option<LedgerMark>,
    pub of_jobs: Vec<LedgerEntry>,
    pub newest: Option<(Vec<LedgerEntry>, usize)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asks {
    #[default]
    Nothing,
    /// Whether there are other entries.
    News,
    /// The entries.
    Entries,
}

/// The entries that a pass judges by.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub precedents: Vec<Arc<LedgerEntry>>,
    pub newest: Vec<Arc<LedgerEntry>>,
}

impl Reading {
    /// Whether the round was asked.
    pub(super) fn is_asked(&self) -> bool {
        self.asks != Asks::Nothing
    }
}

impl Look<'_> {
    /// The last round: whether the ledger is as it was, and the entries of the jobs that were not asked for yet; or the entries.
    pub(super) fn ask_ledger(&mut self, now: Instant) -> Round {
        let is_readable = self.seen.facts.as_ref().is_some_and(|facts| facts.ledger_readable);
        let mut questions = Vec::new();
        if is_readable {
            let held = self.held_ledger();
            let is_quiet = self.carried.ledger_is_quiet && held.is_some();
            let mut jobs: Vec<JobId> = self.jobs_with_precedents().cloned().collect();
            jobs.sort_unstable();
            let is_empty = is_quiet && held.is_some_and(|held| held.is_empty);
            let new = match held {
                _ if is_empty => Vec::new(),
                Some(held) => difference(&jobs, &held.asked),
                None => jobs.clone(),
            };
            let since = match held {
                Some(held) if is_quiet => held.since,
                _ => {
                    let horizon = Horizon::with(self.carried.horizon, self.moment().now, now);
                    self.carried.horizon = Some(horizon);
                    horizon.since(self.moment().now)
                }
            };
            // First: where each question is answered for itself, what comes in between is seen by the next pass.
            questions.push(Question::LedgerProbe { since });
            if !new.is_empty() {
                questions.push(Question::LedgerOfJobs(new));
            }
            if !is_quiet {
                questions.push(Question::LedgerNewest);
            }
            self.seen.ledger = Reading {
                since: Some(since),
                asks: if is_quiet { Asks::News } else { Asks::Entries },
                jobs,
                ..Reading::default()
            };
        } else {
            self.carried.ledger = None;
            self.seen.entries = Some(Entries::default());
        }
        Round {
            frame: Frame::Last,
            questions,
        }
    }

    /// Once the round is answered: what is known of the ledger now. If there are other entries, they are asked for next.
    pub(super) fn take_ledger(&mut self) {
        let reading = std::mem::take(&mut self.seen.ledger);
        let (held, now) = (self.held_ledger().cloned(), self.moment().now);
        let (mark, since) = reading
            .mark
            .zip(reading.since)
            .expect("every round asks for the mark since a time");
        let mut has_all = true;
        let after = match (reading.asks, held) {
            (Asks::News, Some(held)) if held.mark == mark => {
                if difference(&reading.jobs, &held.asked).is_empty() {
                    held
                } else {
                    Arc::new(held.with(&reading.jobs, reading.of_jobs, &[]))
                }
            }
            (Asks::Entries, held) => {
                let (newest, rows) = reading.newest.unwrap_or_default();
                let newest: Vec<_> = newest.into_iter().map(Arc::new).collect();
                if held.as_ref().is_some_and(|held| held.is_gone_from(&newest)) {
                    // Someone deleted entries: nothing of what is known holds.
                    self.carried.ledger = None;
                    return self.read_again();
                }
                let before = held.clone().unwrap_or_else(|| Arc::new(Held::nothing(now)));
                let next = before.with(&reading.jobs, reading.of_jobs, &newest);
                let new = newest.iter().filter(|entry| entry.repaired_at > before.since);
                has_all = new.count() < MOST_NEWER;
                let first = |entries: &[Arc<LedgerEntry>]| entries.first().map(|entry| entry.repair_id);
                // While entries come, they are asked for at once.
                let is_quiet = held.is_none_or(|held| first(&held.newest) == first(&newest));
                self.carried.ledger_is_quiet = is_quiet && is_mark_of(&mark, &newest) && mark.newer < MOST_NEWER as u64;
                Arc::new(Held {
                    newest,
                    is_empty: rows == 0,
                    mark,
                    since,
                    read_at: now,
                    server: self.moment().server.clone(),
                    ..next
                })
            }
            _ => return self.read_again(),
        };
        let counts = |entry: &&Arc<LedgerEntry>| reading.jobs.binary_search(&entry.job_id).is_ok();
        self.seen.entries = Some(Entries {
            precedents: after.precedents.iter().filter(counts).cloned().collect(),
            newest: after.newest.clone(),
        });
        // Where some may be missing, the next pass asks for all.
        self.carried.ledger = has_all.then_some(after);
    }

    /// Has the entries asked for. Rows and entries have to be of one snapshot: where there is one, it has ended, and the pass
    /// begins again.
    fn read_again(&mut self) {
        self.carried.ledger_is_quiet = false;
        if self.table.database.one_snapshot {
            self.carried.tail = self.tail_before.cloned();
            self.seen = Seen::default();
        }
    }

    /// The jobs whose judgement may need their entries.
    fn jobs_with_precedents(&self) -> impl Iterator<Item = &JobId> {
        let (mapping, tolerance) = (self.table.mapping, self.table.seed_tolerance);
        let jobs = self.seen.rows.iter();
        jobs.filter(move |job| needs_precedents(job, mapping, tolerance))
            .map(|job| &job.id)
    }

    /// What is known of the ledger, unless it is too old, or was read on another server or by a clock that was set back since.
    fn held_ledger(&self) -> Option<&Arc<Held>> {
        let moment = self.moment();
        let holds = |held: &&Arc<Held>| {
            held.server == moment.server
                && moment.now >= held.read_at
                && held.whole_at.is_within(WHOLE_EVERY, moment.now)
        };
        self.carried.ledger.as_ref().filter(holds)
    }
}

impl Held {
    /// Nothing, as of `now`.
    fn nothing(now: Timestamp) -> Self {
        Self {
            newest: Vec::new(),
            precedents: Vec::new(),
            asked: Vec::new(),
            is_empty: true,
            mark: LedgerMark::default(),
            since: now,
            read_at: now,
            server: ServerIdentity(String::new()),
            whole_at: now,
        }
    }

    /// Whether the newest entry is not there any more.
    fn is_gone_from(&self, newest: &[Arc<LedgerEntry>]) -> bool {
        let is_first = |first: &Arc<LedgerEntry>| newest.iter().any(|entry| entry.repair_id == first.repair_id);
        self.newest.first().is_some_and(|first| !is_first(first))
    }

    /// The same with the entries of these jobs: those that were asked for, and those of the newest that are new.
    fn with(&self, jobs: &[JobId], of_jobs: Vec<LedgerEntry>, newest: &[Arc<LedgerEntry>]) -> Self {
        let mut next = self.clone();
        next.asked.extend(difference(jobs, &self.asked));
        next.asked.sort_unstable();
        next.precedents.extend(of_jobs.into_iter().map(Arc::new));
        let known: HashSet<RepairId> = next.precedents.iter().map(|entry| entry.repair_id).collect();
        let is_new = |entry: &&Arc<LedgerEntry>| entry.repaired_at > self.since && !known.contains(&entry.repair_id);
        next.precedents.extend(newest.iter().filter(is_new).cloned());
        if next.asked.len() > jobs.len() * 2 + SLACK {
            next.asked = jobs.to_vec();
        }
        let asked = &next.asked;
        next.precedents
            .retain(|entry| asked.binary_search(&entry.job_id).is_ok());
        next
    }
}

/// Whether the newest entries have what waits to be acknowledged as the mark has it. Where each question is answered for itself, one
/// may be noted between the two, and be acknowledged before the next mark, which is the same then.
fn is_mark_of(mark: &LedgerMark, newest: &[Arc<LedgerEntry>]) -> bool {
    let false_repairs = newest.iter().filter(|entry| entry.holds_the_fuse());
    let false_repairs: BTreeSet<RepairId> = false_repairs.map(|entry| entry.repair_id).collect();
    let is_late = |entry: &&Arc<LedgerEntry>| {
        entry.outcome == Some(LateOutcome::LateHeartbeat) && entry.acknowledged_at.is_none()
    };
    let late_heartbeats = newest.iter().filter(is_late).count() as u64;
    // So many are not all among the newest.
    let are_many = |marked: u64| marked >= UNACKNOWLEDGED.unsigned_abs();
    (are_many(mark.false_repairs.len() as u64) || mark.false_repairs.iter().eq(&false_repairs))
        && (are_many(mark.late_heartbeats) || mark.late_heartbeats == late_heartbeats)
}

/// Those of some jobs that are not among others; both in the order of their keys.
fn difference(jobs: &[JobId], others: &[JobId]) -> Vec<JobId> {
    let mut others = others.iter().peekable();
    let is_missing = |id: &&JobId| {
        while others.next_if(|other| other < id).is_some() {}
        others.peek() != Some(id)
    };
    jobs.iter().filter(is_missing).cloned().collect()
}
