//! What stands behind the answers to one pass: its connection, its deadline, and its share of the memory.

use super::{PostgresSettings, Ready, link::Link, param::Param, row};
use crate::{
    domain::LedgerEntry,
    store::{
        StoreError,
        question::Rows,
        reading::{HEAVIEST, Strings, too_heavy, weight, weight_of_entry},
    },
};
use parking_lot::Mutex;
use std::{
    ops::ControlFlow,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio_postgres::Row;
use tokio_util::sync::CancellationToken;

/// Answers the questions of one pass.
pub(super) struct Driver<'a> {
    pub(super) link: &'a Link,
    pub(super) ready: &'a Ready,
    pub(super) settings: &'a PostgresSettings,
    /// How many running rows are expected.
    pub(super) expected: usize,
    strings: Mutex<Strings>,
    /// What the rows take of the memory so far.
    weight: AtomicUsize,
    /// Cancelled when that is too much.
    too_heavy: CancellationToken,
}

impl<'a> Driver<'a> {
    /// Through this connection. About so many running rows are `expected`.
    pub(super) fn new(link: &'a Link, ready: &'a Ready, settings: &'a PostgresSettings, expected: usize) -> Self {
        Self {
            link,
            ready,
            settings,
            expected,
            strings: Mutex::default(),
            weight: AtomicUsize::default(),
            too_heavy: CancellationToken::new(),
        }
    }

    /// A snapshot begins: what was read in another one is no longer kept.
    pub(super) fn begin(&self) {
        self.weight.store(0, Ordering::Relaxed);
    }

    /// Awaits answers under the deadline, and only as long as their rows don't take too much memory.
    pub(super) async fn within<T>(
        &self,
        what: &'static str,
        answers: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        // By reference: several questions make a large value, which every layer would copy.
        let answers = pin!(answers);
        let answers = tokio::select! {
            biased;
            answers = self.link.within(what, answers) => Some(answers),
            () = self.too_heavy.cancelled() => None,
        };
        match answers {
            Some(answers) if !self.too_heavy.is_cancelled() => answers,
            // The rest of the answer isn't waited for: the connection goes with the pass.
            _ => {
                self.link.cancel();
                Err(too_heavy(&self.settings.mapping))
            }
        }
    }

    /// Asks for rows of the canonical relation, about so many; each is taken in as it comes, so that an answer is never there
    /// twice.
    pub(super) async fn jobs(
        &self,
        statement: &str,
        params: Vec<Param<'_>>,
        expected: usize,
    ) -> Result<Rows, tokio_postgres::Error> {
        // A vector that doubles would be twice as large as what is in it.
        let mut jobs = Vec::with_capacity(expected);
        let mut keyless = 0;
        let mut strings = std::mem::take(&mut *self.strings.lock());
        let keeps_utc = self.ready.catalog.all_keep_utc();
        let take = |row: &Row| {
            let Some(job) = row::job(row, keeps_utc, &mut strings) else {
                keyless += 1;
                return ControlFlow::Continue(());
            };
            let weight = weight(&job);
            if jobs.len() == jobs.capacity() {
                jobs.reserve_exact(jobs.len() / 4 + 64);
            }
            jobs.push(job);
            self.weigh(weight)
        };
        self.link.ask_each(statement, params, take).await?;
        *self.strings.lock() = strings;
        Ok(Rows { jobs, keyless })
    }

    /// Asks for entries of the ledger, and how many rows there were: an action that this version doesn't know is no entry.
    pub(super) async fn entries(
        &self,
        statement: &str,
        params: Vec<Param<'_>>,
    ) -> Result<(Vec<LedgerEntry>, usize), tokio_postgres::Error> {
        let heartbeat = self.settings.mapping.heartbeat_name();
        let (mut entries, mut rows) = (Vec::new(), 0);
        let take = |row: &Row| {
            rows += 1;
            let Some(entry) = row::ledger_entry(row, &heartbeat) else {
                return ControlFlow::Continue(());
            };
            let weight = weight_of_entry(&entry);
            entries.push(entry);
            self.weigh(weight)
        };
        self.link.ask_each(statement, params, take).await?;
        Ok((entries, rows))
    }

    /// Adds what was read; breaks where that is too much.
    fn weigh(&self, weight: usize) -> ControlFlow<()> {
        if self.weight.fetch_add(weight, Ordering::Relaxed) + weight > HEAVIEST {
            self.too_heavy.cancel();
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
