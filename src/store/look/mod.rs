//! What a pass reads, and in how many round trips: decided here, for every database. Pure: a [`Look`] emits a [`Round`] of
//! questions, takes the answers and the time, and emits the next one, until it is a [`Snapshot`]. It asks no database, has no
//! clock of its own, and keeps nothing: what the next pass needs of it is a [`Carried`].
//!
//! `carried` has the way to the running rows and the age of facts, `tail` the arithmetic of a growing key, `gaps` the keys that it
//! lacks, `follow` what is asked of it, `ledger` what is asked of the ledger, `rows` how answers become one.

mod carried;
mod follow;
mod gaps;
mod ledger;
mod rows;
mod tail;
#[cfg(test)]
mod tests;

pub use carried::{Carried, FactsFor};
pub(crate) use follow::newcomers_for;

use super::{
    DiscoverySetting, Mapping, ObserveRequest, StoreError, TimeBudget,
    question::{Answer, Facts, Frame, Moment, Question, Round, Rows},
};
use crate::domain::{self, Action, Discovery, Job, JobId, Newcomers, Snapshot, Timing, Unknowns};
use carried::{Followed, Way};
use follow::{Newest, Paging};
use ledger::{Entries, Reading};
use rows::{SharedKeys, count, missing, newer_layout, one_of_each, too_short};
use std::time::{Duration, Instant};

/// What is known of a table before anything is asked, and what its database can do.
#[derive(Clone, Debug)]
pub struct Table<'a> {
    /// Its name, columns and states.
    pub mapping: &'a Mapping,
    /// What will be done with overdue jobs.
    pub action: Action,
    /// How far after the start a heartbeat still counts as written together with it.
    pub seed_tolerance: Duration,
    /// How running jobs are to be found.
    pub wanted: DiscoverySetting,
    /// Whether new rows are found by a growing key.
    pub grows: bool,
    /// The lowest key that it can have.
    pub lowest: i64,
    /// Whether the database promises that no two rows have one key as it is read.
    pub is_unique: bool,
    /// Whether rows may have no key.
    pub keyless: Keyless,
    /// The facts, where the catalog can't be asked for them.
    pub facts: Option<Facts>,
    /// How long a pass continues to read newcomers where there are thousands; a part of its deadline.
    pub newcomers_for: Duration,
    /// What the database can do.
    pub database: Database,
}

/// Whether rows may have no key, and how they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyless {
    /// There are none.
    None,
    /// Answers by state count them; the full look by keys has to ask.
    InAnswers,
    /// They are in no answer: every pass has to ask.
    Asked,
}

/// Where databases differ in what a pass can rest on.
#[derive(Clone, Copy, Debug)]
pub struct Database {
    /// Whether all rounds of a pass are of one snapshot. Where they are not, the later answer is the truth.
    pub one_snapshot: bool,
    /// Whether a lower key can be committed after a higher one.
    pub commits_late: bool,
    /// How long facts hold.
    pub facts_for: FactsFor,
    /// What the pages of one pass may cost together, unless the look has to be whole, and each of them.
    pub pages: (TimeBudget, Duration),
}

/// What comes after answers.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one of each pass, and moved at once")]
pub enum Step {
    /// These are asked next.
    Ask(Round),
    /// Nothing: the snapshot, and what the next pass needs.
    Done(Snapshot, Carried),
}

/// One pass over the table, as far as it has been read.
#[derive(Debug)]
pub struct Look<'a> {
    request: &'a ObserveRequest,
    table: Table<'a>,
    /// The tail as the pass before left it, unless what that brought was lost.
    tail_before: Option<&'a Followed>,
    /// When the pass was asked for, before there was a connection.
    asked: Instant,
    /// When the round in flight was handed out.
    sent: Instant,
    wants_access_plan: bool,
    wants_longest_run: bool,
    begun_after: Duration,
    carried: Carried,
    seen: Seen,
}

/// What was read in the present snapshot.
#[derive(Debug, Default)]
struct Seen {
    /// Rows in states that no list names, read before the snapshot; nothing where that took too long.
    unknown: Option<Vec<Job>>,
    is_unknown_asked: bool,
    moment: Option<Moment>,
    rows: Vec<Job>,
    is_counted: bool,
    keyless: u64,
    scan: Option<Duration>,
    shared: SharedKeys,
    /// The known jobs below this key were read one by one.
    alone_below: Option<i64>,
    /// The newest key that was followed is still there.
    has_newest: bool,
    /// The keys behind the newest that was followed, in order.
    newcomers: Vec<i64>,
    /// The most rows of the answer about them.
    most: i64,
    /// Whether it left some out.
    has_more: bool,
    top: Option<Option<i64>>,
    newest: Option<Newest>,
    is_tail_new: bool,
    is_followed: bool,
    paging: Paging,
    is_full: bool,
    fresh_facts: Option<Facts>,
    facts: Option<Facts>,
    is_rest_asked: bool,
    /// Known jobs were asked for one by one: their rows come behind the others.
    has_late_rows: bool,
    ledger: Reading,
    entries: Option<Entries>,
}

impl<'a> Look<'a> {
    /// Begins a pass, with what the last one has left. `asked` is when it was asked for, before there was a connection for it.
    pub fn begin(
        request: &'a ObserveRequest,
        table: Table<'a>,
        before: &'a Carried,
        asked: Instant,
        now: Instant,
    ) -> (Self, Round) {
        let wants_access_plan = before.way.is_none() || request.coverage == domain::Coverage::Full;
        let fails_by_age = table.action == Action::Fail && table.mapping.max_runtime.is_some();
        let tail_before = before.tail.as_ref().filter(|_| !request.lost_last);
        let mut look = Self {
            request,
            table,
            tail_before,
            asked,
            sent: now,
            // A table grows, and gets an index.
            wants_access_plan,
            // Good runs may become longer.
            wants_longest_run: wants_access_plan && fails_by_age,
            begun_after: Duration::ZERO,
            carried: before.clone(),
            seen: Seen::default(),
        };
        look.carried.ledger_is_quiet &= !request.wrote;
        if request.lost_last {
            look.carried.tail = None;
        }
        let round = look.prepare().unwrap_or_else(|| look.open(now));
        (look, round)
    }

    /// Takes the answers to the round before, at a time of our own clock.
    ///
    /// # Errors
    /// If the table can't be watched as it is: too many rows are in a running state, or rows share a key.
    pub fn take(&mut self, answers: Vec<Answer>, now: Instant) -> Result<Step, StoreError> {
        for answer in answers {
            self.note(answer, now);
        }
        self.sent = now;
        Ok(match self.next(now)? {
            Some(round) => Step::Ask(round),
            None => self.finish(),
        })
    }

    /// Takes in one answer.
    fn note(&mut self, answer: Answer, now: Instant) {
        let seen = &mut self.seen;
        match answer {
            Answer::AccessPlan(plan) => {
                self.wants_access_plan = false;
                self.carried.way = Some(Way::choose(plan, self.table.wanted, self.table.grows));
            }
            Answer::Unknown(rows) => {
                seen.is_full = rows.is_some();
                seen.unknown = rows;
            }
            Answer::LongestRun(longest) => {
                self.wants_longest_run = false;
                self.carried.longest_run = longest;
            }
            Answer::Moment(moment) => seen.moment = Some(moment),
            Answer::Running(rows, took) => {
                seen.scan = took;
                self.add(rows);
            }
            Answer::Rows(rows) => self.add(rows),
            Answer::Tail(rows) => self.note_tail(rows),
            Answer::Newest(keys, rows) => seen.newest = Some(Newest { keys, rows }),
            Answer::Top(top) => seen.top = Some(top),
            Answer::Page(page) => self.note_page(page, now),
            Answer::Keyless(rows) => match self.table.keyless {
                Keyless::Asked => seen.keyless += rows,
                Keyless::None | Keyless::InAnswers => self.carried.keyless = rows,
            },
            Answer::Facts(facts) => seen.fresh_facts = Some(facts),
            Answer::LedgerProbe(mark) => seen.ledger.mark = Some(mark),
            Answer::LedgerOfJobs(entries) => seen.ledger.of_jobs = entries,
            Answer::LedgerNewest(entries, rows) => seen.ledger.newest = Some((entries, rows)),
        }
    }

    /// Adds the rows of one answer.
    fn add(&mut self, rows: Rows) {
        self.seen.keyless += rows.keyless;
        if !self.table.is_unique {
            self.seen.shared.note(&rows.jobs);
        }
        if self.seen.rows.is_empty() {
            self.seen.rows = rows.jobs;
        } else {
            // A vector that doubles would be twice as large as what is in it.
            self.seen.rows.reserve_exact(rows.jobs.len());
            self.seen.rows.extend(rows.jobs);
        }
    }

    /// What has to be asked next, if anything.
    fn next(&mut self, now: Instant) -> Result<Option<Round>, StoreError> {
        if let Some(round) = self.prepare() {
            return Ok(Some(round));
        }
        if self.seen.moment.is_none() {
            return Ok(Some(self.open(now)));
        }
        if !std::mem::replace(&mut self.seen.is_counted, true) {
            count(self.seen.rows.len(), self.table.mapping)?;
        }
        self.keep_facts(now);
        if let Some(round) = self.follow(now).or_else(|| self.page()) {
            return Ok(Some(round));
        }
        if let Some(round) = self.rest(now)? {
            return Ok(Some(round));
        }
        if self.seen.ledger.is_asked() {
            self.take_ledger();
            if self.seen.moment.is_none() {
                // It is read again from the beginning.
                return self.next(now);
            }
        }
        Ok(self.seen.entries.is_none().then(|| self.ask_ledger(now)))
    }

    /// What is asked before the snapshot begins: the way, how long good runs take where that matters, and unknown states where a
    /// full look doesn't meet them in its pages.
    fn prepare(&mut self) -> Option<Round> {
        let question = if self.wants_access_plan {
            Question::AccessPlan
        } else if self.wants_longest_run {
            Question::LongestRun
        } else if self.request.coverage == domain::Coverage::Full && !self.table.grows && !self.seen.is_unknown_asked {
            self.seen.is_unknown_asked = true;
            Question::Unknown
        } else {
            return None;
        };
        Some(Round {
            frame: Frame::Apart,
            questions: vec![question],
        })
    }

    fn way(&self) -> Way {
        self.carried.way.expect("the way is chosen before the snapshot begins")
    }

    fn moment(&self) -> &Moment {
        self.seen.moment.as_ref().expect("the first round asks for the moment")
    }

    /// The first round of the snapshot: time and server, the running rows, the newcomers, and what may be missing, as far as
    /// that can be known now.
    fn open(&mut self, now: Instant) -> Round {
        self.begun_after = now.duration_since(self.asked);
        let way = self.way();
        let mut questions = vec![Question::Moment];
        if way.discovery == Discovery::State {
            questions.push(Question::Running {
                timed: way.is_expensive_scan(),
            });
        }
        questions.extend(self.open_tail(way.discovery, now));
        if self.table.facts.is_none() && self.carried.needs_facts(self.table.database.facts_for, now) {
            questions.push(Question::Facts);
        }
        Round {
            frame: Frame::First,
            questions,
        }
    }

    /// Once the running rows and the newcomers are there: known jobs that are not among them, and facts that turned out not to
    /// hold.
    fn rest(&mut self, now: Instant) -> Result<Option<Round>, StoreError> {
        if std::mem::replace(&mut self.seen.is_rest_asked, true) {
            return Ok(None);
        }
        let rows = self.settle()?;
        let alone_below = self.seen.alone_below;
        let was_asked = |id: &&JobId| id.number().zip(alone_below).is_some_and(|(key, below)| key < below);
        let known: Vec<JobId> = missing(&self.request.known, &rows)
            .filter(|id| !was_asked(id))
            .cloned()
            .collect();
        self.seen.rows = rows;
        let mut questions = Vec::new();
        let counts_keyless = match self.table.keyless {
            Keyless::None => false,
            Keyless::InAnswers => {
                self.way().discovery == Discovery::KeyTail && self.request.coverage == domain::Coverage::Full
            }
            Keyless::Asked => true,
        };
        if counts_keyless {
            questions.push(Question::Keyless);
        }
        if self.seen.facts.is_none() {
            self.seen.facts = self.held_facts(now).cloned();
        }
        if self.seen.facts.is_none() {
            questions.push(Question::Facts);
        }
        if !known.is_empty() {
            self.seen.has_late_rows = true;
            questions.push(Question::Known(known));
        }
        Ok((!questions.is_empty()).then_some(Round {
            frame: Frame::Within,
            questions,
        }))
    }

    /// The rows that were read, each once.
    fn settle(&mut self) -> Result<Vec<Job>, StoreError> {
        let mut rows = std::mem::take(&mut self.seen.rows);
        if !self.table.is_unique {
            if self.table.database.one_snapshot {
                self.seen.shared.note_across(&rows);
            }
            self.seen.shared.refuse(self.table.mapping)?;
        }
        // Read a moment before: where both have a row, the snapshot's is the newer one.
        if let Some(mut unknown) = self.seen.unknown.take() {
            unknown.append(&mut rows);
            rows = unknown;
        }
        Ok(one_of_each(rows))
    }

    /// Takes up facts that were read.
    fn keep_facts(&mut self, now: Instant) {
        if let (Some(facts), Some(moment)) = (self.seen.fresh_facts.take(), &self.seen.moment) {
            self.carried.keep_facts(facts.clone(), moment, now);
            self.seen.facts = Some(facts);
        }
    }

    /// The facts that hold without being asked for.
    fn held_facts(&self, now: Instant) -> Option<&Facts> {
        let fixed = self.table.facts.as_ref();
        fixed.or_else(|| self.carried.facts(self.table.database.facts_for, self.moment(), now))
    }

    fn finish(&mut self) -> Step {
        let (way, seen) = (self.way(), std::mem::take(&mut self.seen));
        let moment = seen.moment.expect("the first round asks for the moment");
        let facts = seen.facts.expect("the facts are there before the ledger is asked");
        let entries = seen.entries.expect("the ledger is asked last");
        let mut obstacles = facts.obstacles;
        obstacles.extend(newer_layout(&entries.newest, self.table.action));
        if self.table.action == Action::Fail {
            obstacles.extend(too_short(self.table.mapping, self.carried.longest_run));
        }
        let by_keys_alone = self.table.keyless == Keyless::InAnswers && way.discovery == Discovery::KeyTail;
        let snapshot = Snapshot {
            database_now: moment.now,
            server: moment.server,
            server_started_at: moment.server_started_at,
            unknowns: Unknowns::default(),
            rows: if seen.has_late_rows {
                one_of_each(seen.rows)
            } else {
                seen.rows
            },
            keyless: seen.keyless + if by_keys_alone { self.carried.keyless } else { 0 },
            coverage: if seen.is_full {
                domain::Coverage::Full
            } else {
                domain::Coverage::Ordinary
            },
            discovery: way.discovery,
            access: way.access(),
            // A start that is not in the row is read only for jobs that run.
            newcomers: if self.table.grows && self.table.mapping.own_start().is_some() {
                Newcomers::Followed
            } else {
                Newcomers::Unseen
            },
            obstacles,
            guard: facts.guard.guard,
            precedents: entries.precedents,
            newest_repairs: entries.newest,
            timing: Timing {
                begun_after: self.begun_after,
                scan: seen.scan.filter(|_| way.is_expensive_scan()),
            },
        };
        Step::Done(snapshot, std::mem::take(&mut self.carried))
    }
}
