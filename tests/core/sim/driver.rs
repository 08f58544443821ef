//! The simulated database as its driver sees it: answers the questions of the production look from what is committed, as the
//! SQL does, and decides nothing.

use super::{
    parts::Hidden,
    scenario::Scenario,
    server::{Committed, Micros, Row, Server},
};
use beatwarden::{
    domain::{Access, Cause, Job, JobId, LateOutcome, LedgerEntry, Obstacle, Timestamp},
    store::question::{AccessPlan, Answer, Facts, LedgerMark, LongestRun, Moment, Page, Question, Rows, Span},
};
use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

/// From the lowest key to the greatest.
const EVERY_KEY: RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// What a statement sees.
pub struct View<'a> {
    pub committed: &'a Committed,
    pub server: &'a Server,
    pub scenario: &'a Scenario,
    /// True time, and the database's own.
    pub now: Micros,
    pub db: Micros,
    /// What the server refused to report when the connection was made.
    pub refused: Hidden,
    /// Whether a statement that may give up does.
    pub gives_up: bool,
}

impl View<'_> {
    pub fn answer(&self, question: &Question) -> Answer {
        let (committed, scenario) = (self.committed, self.scenario);
        match question {
            Question::AccessPlan => Answer::AccessPlan(self.access_plan()),
            Question::Unknown => {
                Answer::Unknown((!self.gives_up).then(|| self.some(EVERY_KEY, |_, row| self.is_unlisted(row)).jobs))
            }
            Question::LongestRun => Answer::LongestRun(self.longest_run()),
            Question::Moment => Answer::Moment(Moment {
                now: Timestamp::from_micros(self.db),
                server: self.server.identity(self.refused),
                server_started_at: (!self.refused.started).then(|| Timestamp::from_micros(self.server.started_at)),
                version: (!scenario.is_file).then(|| {
                    let is_read_only = self.server.obstacle == Some(Cause::ReadOnly);
                    format!("{}/{is_read_only}", committed.ledger.is_some())
                }),
                // Some databases don't number them.
                transactions: (!scenario.is_file && scenario.key_step != 1).then(|| self.server.transactions()),
            }),
            Question::Running { .. } => {
                let scans = self.access_plan().access == Access::Scan;
                Answer::Running(
                    self.some(EVERY_KEY, |_, row| row.runs()),
                    scans.then_some(Duration::from_millis(1)),
                )
            }
            Question::Tail(span) => Answer::Tail(self.tail(span)),
            Question::Newcomers { newest } => {
                let mut rows = self.some(*newest..=i64::MAX, |_, _| true);
                rows.jobs.truncate(scenario.newcomers + 1);
                Answer::Tail(rows)
            }
            Question::Newest { window } => {
                let keys = committed.rows.keys().rev().take(scenario.newest);
                Answer::Newest(keys.copied().collect(), window.map(|window| self.history(window)))
            }
            Question::History { window } => Answer::Rows(self.history(*window)),
            Question::Top => Answer::Top(committed.rows.keys().next_back().copied()),
            Question::Page(keys) => {
                let counts = |_, row: &Row| row.runs() || self.is_unlisted(row);
                let below = committed.rows.range(..keys.start()).next_back();
                Answer::Page(Page {
                    rows: self.some(keys.clone(), counts),
                    below: below.map(|(key, _)| *key),
                    cost: None,
                })
            }
            Question::Keyless => Answer::Keyless(0),
            Question::Known(ids) => {
                let found = ids.iter().filter_map(JobId::number);
                let found = found.flat_map(|key| committed.rows_of(key).map(move |row| row.job(key)));
                Answer::Rows(found.collect::<Vec<_>>().into())
            }
            Question::Facts => Answer::Facts(self.facts()),
            Question::LedgerProbe { since } => Answer::LedgerProbe(self.ledger_mark(*since)),
            Question::LedgerOfJobs(jobs) => {
                let entries = committed.entries().iter();
                let of_jobs = entries.filter(|entry| jobs.contains(&entry.job_id));
                Answer::LedgerOfJobs(of_jobs.map(|entry| (**entry).clone()).collect())
            }
            Question::LedgerNewest => {
                let newest = committed.entries().iter().rev();
                let newest: Vec<_> = newest.map(|entry| (**entry).clone()).collect();
                let rows = newest.len();
                Answer::LedgerNewest(newest, rows)
            }
        }
    }

    fn facts(&self) -> Facts {
        let has_ledger = self.committed.ledger.is_some();
        // That a ledger can't be created shows only where one is to be.
        let shows = |cause: &Cause| *cause != Cause::NoLedger || has_ledger;
        // Where no constraint makes the key unique, nothing can be repaired.
        let of_key = (!self.scenario.is_unique).then_some(Cause::Rights);
        let obstacle = of_key
            .or_else(|| self.server.obstacle.filter(shows))
            .map(|cause| Obstacle {
                cause,
                reason: "it is refused".to_owned(),
            });
        Facts {
            obstacles: obstacle.into_iter().collect(),
            ledger_readable: has_ledger,
            ledger_exists: has_ledger,
            ..Facts::default()
        }
    }

    fn is_unlisted(&self, row: &Row) -> bool {
        self.scenario.shape.is_unlisted(row.state)
    }

    /// How long good runs take, where the history is one in which that counts.
    fn longest_run(&self) -> LongestRun {
        if !self.scenario.shape.asks_longest {
            return LongestRun::NoneGood;
        }
        if self.gives_up {
            return LongestRun::Unknown;
        }
        let good = self.committed.rows.values().filter(|row| row.state == "SUCCESS");
        let took = good.filter_map(|row| u64::try_from(row.ended_at? - row.started_at).ok());
        took.max().map_or(LongestRun::NoneGood, |took| {
            LongestRun::Took(Duration::from_micros(took))
        })
    }

    /// The planner's answer: from some time on the table is so large that a scan for the running rows is expensive.
    fn access_plan(&self) -> AccessPlan {
        let is_expensive = self.now >= self.scenario.expensive_from;
        let access = if is_expensive { Access::Scan } else { Access::Index };
        AccessPlan { access, is_expensive }
    }

    fn ledger_mark(&self, since: Timestamp) -> LedgerMark {
        let count = |counts: &dyn Fn(&LedgerEntry) -> bool| {
            let entries = self.committed.entries().iter();
            entries.filter(|entry| counts(entry)).count() as u64
        };
        let waits = |entry: &LedgerEntry, outcome| entry.outcome == Some(outcome) && entry.acknowledged_at.is_none();
        let false_repairs = self.committed.entries().iter();
        let false_repairs = false_repairs.filter(|entry| waits(entry, LateOutcome::FalseRepair));
        let false_repairs: BTreeSet<_> = false_repairs.map(|entry| entry.repair_id).collect();
        LedgerMark {
            newer: count(&|entry| entry.repaired_at > since),
            false_repairs: false_repairs.into_iter().collect(),
            late_heartbeats: count(&|entry| waits(entry, LateOutcome::LateHeartbeat)),
        }
    }

    /// Rows of some keys, in their order.
    fn some(&self, keys: RangeInclusive<i64>, wanted: impl Fn(i64, &Row) -> bool) -> Rows {
        let mut jobs = Vec::new();
        for (key, row) in self.committed.rows.range(keys) {
            jobs.extend(wanted(*key, row).then(|| row.job(*key)));
            let second = self.committed.second_of(*key).filter(|row| wanted(*key, row));
            jobs.extend(second.map(|row| row.job(*key)));
        }
        jobs.into()
    }

    fn tail(&self, span: &Span) -> Rows {
        let most = usize::try_from(span.most).unwrap();
        let mut rows = self.some(span.from..=i64::MAX, |key, row| {
            key >= span.newest || row.runs() || span.gaps.binary_search(&key).is_ok()
        });
        rows.jobs
            .truncate(most.min(span.known + span.gaps.len() + self.scenario.newcomers));
        rows
    }

    fn history(&self, window: Duration) -> Rows {
        let from = Timestamp::from_micros(self.db).minus(window).as_micros();
        let counts = self.committed.every_row().rev().take(self.scenario.history);
        let counts = counts.filter(|(_, row)| row.runs() || row.started_at >= from);
        counts.map(|(key, row)| row.job(key)).collect::<Vec<_>>().into()
    }
}

/// The keys of the rows in an answer, the newest keys of a table included.
pub fn keys_in(answer: &Answer) -> impl Iterator<Item = i64> {
    let jobs: &[Job] = match answer {
        Answer::Running(rows, _) | Answer::Tail(rows) | Answer::Rows(rows) | Answer::Newest(_, Some(rows)) => {
            &rows.jobs
        }
        Answer::Page(page) => &page.rows.jobs,
        Answer::Unknown(Some(jobs)) => jobs,
        _ => &[],
    };
    jobs.iter().filter_map(|job| job.id.number())
}
