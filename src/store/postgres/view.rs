//! An open read-only snapshot: what is asked in it, under its deadline and within its share of the memory.

use super::{
    PostgresSettings, Ready,
    link::{Link, Param},
    row,
};
use crate::{
    domain::{Job, LedgerEntry, Timestamp},
    store::{
        StoreError,
        reading::{HEAVIEST, SharedKeys, Strings, too_heavy, weight, weight_of_entry},
    },
};
use std::{
    ops::ControlFlow,
    pin::pin,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio_postgres::Row;
use tokio_util::sync::CancellationToken;

/// An open read-only snapshot.
pub(super) struct View<'a> {
    pub(super) link: &'a Link,
    pub(super) ready: &'a Ready,
    pub(super) settings: &'a PostgresSettings,
    strings: Mutex<Strings>,
    /// What the rows take of the memory so far.
    weight: AtomicUsize,
    /// Cancelled when that is too much.
    too_heavy: CancellationToken,
    /// Rows without a key that can be used.
    keyless: AtomicU64,
    /// Keys that several rows share, where the catalog doesn't rule that out.
    pub(super) shared: Mutex<SharedKeys>,
    /// Whether the running rows are found by a scan that costs something.
    is_scan_timed: bool,
    /// What it cost the server.
    scan: OnceLock<Duration>,
}

impl<'a> View<'a> {
    /// Through this connection. `is_scan_timed` where the running rows are found by a scan that costs something.
    pub(super) fn new(link: &'a Link, ready: &'a Ready, settings: &'a PostgresSettings, is_scan_timed: bool) -> Self {
        Self {
            link,
            ready,
            settings,
            strings: Mutex::default(),
            weight: AtomicUsize::default(),
            too_heavy: CancellationToken::new(),
            keyless: AtomicU64::default(),
            shared: Mutex::default(),
            is_scan_timed,
            scan: OnceLock::new(),
        }
    }

    /// Rows without a key that can be used.
    pub(super) fn keyless(&self) -> u64 {
        self.keyless.load(Ordering::Relaxed)
    }

    /// What the scan cost the server, where it was timed.
    pub(super) fn scan(&self) -> Option<Duration> {
        self.scan.get().copied()
    }

    /// The scan took so long.
    pub(super) fn note_scan(&self, took: Duration) {
        // Set once: a view looks once.
        let _ = self.scan.set(took);
    }

    /// The server's clock, where what comes next or came before is a scan whose cost matters.
    pub(super) async fn scan_mark(&self) -> Result<Option<Timestamp>, tokio_postgres::Error> {
        if !self.is_scan_timed {
            return Ok(None);
        }
        let rows = self.link.ask(&self.ready.statements.scan_mark, vec![]).await?;
        Ok(rows.first().and_then(|row| row::timestamp(row, "at")))
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
    ) -> Result<Vec<Job>, tokio_postgres::Error> {
        // A vector that doubles would be twice as large as what is in it.
        let mut jobs = Vec::with_capacity(expected);
        let lent = || self.strings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut strings = std::mem::take(&mut *lent());
        let keeps_utc = self.settings.mapping.keeps_utc();
        let take = |row: &Row| {
            let Some(job) = row::job(row, keeps_utc, &mut strings) else {
                self.keyless.fetch_add(1, Ordering::Relaxed);
                return ControlFlow::Continue(());
            };
            let weight = weight(&job);
            jobs.push(job);
            self.weigh(weight)
        };
        self.link.ask_each(statement, params, take).await?;
        *lent() = strings;
        if !self.ready.catalog.is_unique {
            self.shared.lock().unwrap_or_else(PoisonError::into_inner).note(&jobs);
        }
        Ok(jobs)
    }

    /// Asks for entries of the ledger, and how many rows there were: an action that this version doesn't know is no entry.
    pub(super) async fn entries(
        &self,
        statement: &str,
        params: Vec<Param<'_>>,
    ) -> Result<(Vec<LedgerEntry>, usize), tokio_postgres::Error> {
        let heartbeat = self.settings.mapping.last_heartbeat_at.as_str();
        let (mut entries, mut rows) = (Vec::new(), 0);
        let take = |row: &Row| {
            rows += 1;
            let Some(entry) = row::ledger_entry(row, heartbeat) else {
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
