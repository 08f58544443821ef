//! What is asked of a growing key: known jobs and newcomers, where a tail begins or begins again, and the pages of a full look.

use super::{
    Look,
    carried::Followed,
    rows::{is_news, within_room},
    tail::{At, Tail, is_dense},
};
use crate::{
    domain::{self, Discovery, JobId},
    store::{
        TimeBudget,
        question::{Frame, Page, Question, Round, Rows, Span},
        reading::{MOST_NEWCOMERS, MOST_RUNNING, MOST_UNKNOWN, NEWCOMERS_OF_A_PASS},
    },
};
use std::time::{Duration, Instant};

/// Where a tail begins: the newest keys, and the newest rows.
#[derive(Debug)]
pub(super) struct Newest {
    pub keys: Vec<i64>,
    pub rows: Option<Rows>,
}

/// The pages of a full look, as far as this pass reads them.
#[derive(Debug, Default)]
pub(super) enum Paging {
    #[default]
    NotBegun,
    Begun(Spent),
    Over,
}

/// What the pages of a pass have used.
#[derive(Debug)]
pub(super) struct Spent {
    since: Instant,
    /// What they cost the database.
    cost: Duration,
    /// How many rows in unknown states there is still room for.
    room: usize,
}

/// How long a pass with this deadline may continue to read newcomers: it has to end in time, or it would fail with the same
/// newcomers again.
pub(crate) fn newcomers_for(deadline: Duration) -> Duration {
    (deadline / 8).min(Duration::from_millis(500))
}

impl Look<'_> {
    /// What the first round asks of a growing key.
    pub(super) fn open_tail(&mut self, discovery: Discovery, now: Instant) -> Vec<Question> {
        match (&mut self.carried.tail, discovery) {
            _ if !self.table.grows => Vec::new(),
            // Where the running rows are found by their state, a first pass, which someone waits for, does without the history:
            // the next one reads it.
            (None, _) => {
                let has_history = discovery == Discovery::KeyTail || self.request.budget == TimeBudget::Unlimited;
                vec![Question::Newest {
                    window: has_history.then_some(self.request.window),
                }]
            }
            (Some(followed), Discovery::State) => {
                self.seen.most = MOST_NEWCOMERS;
                vec![Question::Newcomers {
                    newest: followed.tail.newest(),
                }]
            }
            (Some(followed), Discovery::KeyTail) => {
                let (span, alone) = known_and_new(&mut followed.tail, &self.request.known, now);
                self.seen.alone_below = Some(span.from);
                self.seen.most = span.most;
                let alone = (!alone.is_empty()).then_some(Question::Known(alone));
                // In the order of the keys, so that nothing has to be sorted; but for gaps that were filled.
                alone.into_iter().chain([Question::Tail(span)]).collect()
            }
        }
    }

    /// Takes in the rows from the newest key on, and what else of the range was read.
    pub(super) fn note_tail(&mut self, mut rows: Rows) {
        let Some(newest) = self.carried.tail.as_ref().map(|followed| followed.tail.newest()) else {
            return;
        };
        let is_first = self.seen.newcomers.is_empty();
        let begins_at = self.seen.newcomers.last().copied().unwrap_or(newest);
        // What an answer leaves out is at its end; on SQLite the limit is that of the newcomers among it.
        let from_there = rows
            .jobs
            .iter()
            .filter(|job| job.id.number() >= Some(begins_at))
            .count();
        let is_cut = at_least(rows.jobs.len(), self.seen.most) || at_least(from_there, MOST_NEWCOMERS);
        let place = rows.jobs.iter().rposition(|job| job.id.number() == Some(begins_at));
        self.seen.has_newest |= is_first && place.is_some();
        if let Some(place) = place
            // The last one of a page is there already.
            && !(is_first && is_news(&rows.jobs[place], self.table.mapping, &self.request.known))
        {
            rows.jobs.remove(place);
        }
        let keys = rows.jobs.iter().filter_map(|job| job.id.number());
        let before = self.seen.newcomers.len();
        self.seen.newcomers.extend(keys.filter(|key| *key > begins_at));
        self.seen.newcomers[before..].sort_unstable();
        // An answer without a new key is the last one, whatever it was cut by.
        self.seen.has_more = is_cut && self.seen.newcomers.len() > before;
        self.add(rows);
    }

    /// The next newcomers, where the last answer left some out and this pass has time for them: thousands that begin at once
    /// must not make those behind them late.
    fn more_newcomers(&mut self, now: Instant) -> Option<Round> {
        let began = self.asked + self.begun_after;
        let has_time = now.duration_since(began) < self.table.newcomers_for;
        let has_room = self.seen.newcomers.len() < NEWCOMERS_OF_A_PASS;
        let is_wanted = std::mem::take(&mut self.seen.has_more) && has_time && has_room;
        let newest = *self.seen.newcomers.last().filter(|_| is_wanted)?;
        self.seen.most = MOST_NEWCOMERS;
        Some(within(Question::Newcomers { newest }))
    }

    /// Takes the tail further; where there is none, or one of another table than this is by now, it begins again with the
    /// newest rows.
    pub(super) fn follow(&mut self, now: Instant) -> Option<Round> {
        if !self.table.grows || self.seen.is_followed {
            return None;
        }
        let server = &self.moment().server;
        let is_same = self.carried.tail.as_ref().filter(|followed| followed.server == *server);
        if let Some(followed) = is_same {
            // A table that is still empty has not fallen.
            let is_there = self.seen.has_newest || followed.tail.newest() <= self.table.lowest;
            match self.seen.top {
                _ if is_there => return self.advance(now),
                None => return Some(within(Question::Top)),
                Some(top) if !followed.tail.fell_back(top) => return self.advance(now),
                Some(_) => {}
            }
        }
        let Some(newest) = self.seen.newest.take() else {
            return Some(within(Question::Newest {
                window: Some(self.request.window),
            }));
        };
        self.begin_tail(newest, now);
        None
    }

    /// The tail holds: it continues from the newcomers.
    fn advance(&mut self, now: Instant) -> Option<Round> {
        if let Some(round) = self.more_newcomers(now) {
            return Some(round);
        }
        let at = self.at(now);
        let followed = self.carried.tail.as_mut()?;
        if std::mem::replace(&mut followed.lacks_history, false) {
            return Some(within(Question::History {
                window: self.request.window,
            }));
        }
        let newcomers = std::mem::take(&mut self.seen.newcomers);
        if self.table.database.commits_late {
            let found = self.seen.rows.iter().filter_map(|job| job.id.number());
            followed.tail.take(newcomers, found, at);
        } else if let Some(newest) = newcomers.into_iter().max() {
            followed.tail.advance_to(newest);
        }
        self.seen.is_followed = true;
        None
    }

    fn at(&self, now: Instant) -> At {
        let transactions = self.moment().transactions;
        At { now, transactions }
    }

    /// A tail from the newest keys on, and the newest rows.
    fn begin_tail(&mut self, newest: Newest, now: Instant) {
        let lacks_history = newest.rows.is_none();
        self.add(newest.rows.unwrap_or_default());
        let mut tail = Tail::begin(newest.keys, self.table.lowest, self.at(now));
        tail.begin_full_look();
        self.carried.tail = Some(Followed {
            tail,
            server: self.moment().server.clone(),
            lacks_history,
        });
        self.seen.is_tail_new = true;
        self.seen.is_followed = true;
    }

    /// The next page of the full look in progress, if there is one and this pass has time for it.
    pub(super) fn page(&mut self) -> Option<Round> {
        if !self.table.grows {
            return None;
        }
        let followed = self.carried.tail.as_mut()?;
        match self.seen.paging {
            Paging::Over => return None,
            Paging::Begun(_) => {}
            Paging::NotBegun => {
                if self.request.coverage == domain::Coverage::Full {
                    followed.tail.begin_full_look();
                }
                // Who waits for a first pass gets the newest rows at once.
                if self.seen.is_tail_new && self.request.budget != TimeBudget::Unlimited {
                    self.seen.paging = Paging::Over;
                    return None;
                }
                let room = usize::try_from(MOST_UNKNOWN).unwrap_or_default();
                self.seen.paging = Paging::Begun(Spent {
                    since: self.sent,
                    cost: Duration::ZERO,
                    room,
                });
            }
        }
        let keys = followed.tail.next_page()?;
        let from = (*keys.start()).max(self.table.lowest);
        Some(within(Question::Page(from..=*keys.end())))
    }

    /// Takes in a page.
    pub(super) fn note_page(&mut self, Page { rows, below, cost }: Page, now: Instant) {
        let (Paging::Begun(spent), Some(followed)) = (&mut self.seen.paging, &mut self.carried.tail) else {
            return;
        };
        let (together, each) = self.table.database.pages;
        let budget = self.request.budget.at_most(together);
        let cost = cost.unwrap_or_else(|| now.duration_since(self.sent));
        let jobs = within_room(rows.jobs, self.table.mapping, &mut spent.room);
        spent.cost += cost;
        if followed.tail.page_read(below, cost, budget.a_page().min(each)) {
            self.seen.is_full = true;
            self.seen.paging = Paging::Over;
        } else if budget.is_spent(spent.cost, cost, now.duration_since(spent.since)) {
            self.seen.paging = Paging::Over;
        }
        self.add(Rows {
            jobs,
            keyless: rows.keyless,
        });
    }
}

/// The known rows and the newcomers by their keys: one range where known keys lie close, and the keys that are read one by one.
fn known_and_new(tail: &mut Tail, known: &[JobId], now: Instant) -> (Span, Vec<JobId>) {
    let known: Vec<i64> = known.iter().filter_map(JobId::number).collect();
    let mut gaps_alone = tail.ask(now);
    let from = if gaps_alone.is_empty() {
        tail.dense_from(&known)
    } else {
        let mut wanted = [known.as_slice(), &gaps_alone].concat();
        wanted.sort();
        tail.dense_from(&wanted)
    };
    let (alone, close) = known.split_at(known.partition_point(|key| *key < from));
    let gaps = gaps_alone.split_off(gaps_alone.partition_point(|key| *key < from));
    let most = i64::try_from(close.len() + gaps.len())
        .unwrap_or(i64::MAX)
        .saturating_add(MOST_NEWCOMERS)
        .min(MOST_RUNNING);
    let span = Span {
        from,
        last_known: close.last().copied(),
        newest: tail.newest(),
        gaps,
        known: close.len(),
        is_dense: is_dense(tail.newest().saturating_sub(from), close.len()),
        most,
    };
    let alone = alone.iter().copied().chain(gaps_alone);
    (span, alone.map(JobId::from_number).collect())
}

fn at_least(rows: usize, most: i64) -> bool {
    i64::try_from(rows).is_ok_and(|rows| rows >= most)
}

fn within(question: Question) -> Round {
    Round {
        frame: Frame::Within,
        questions: vec![question],
    }
}
