//! Every metric of Beatwarden, once. Nothing else imports `prometheus`.
//!
//! Counters and histograms live in a registry of their watch, are fed by its reports and go with it. Gauges are rebuilt from
//! the boards wherever these changed, so no label outlives its rows and no dead value is shown as a living one.

mod counters;
mod gauges;
#[cfg(target_os = "linux")]
mod process;
mod scrape;

pub use scrape::Scrape;

use crate::{
    domain::Moment,
    pass::{Audience, Clock, FailedPass, GoodPass},
    present::View,
    status::{Board, ReloadStatus, Roster},
};
use counters::Counters;
use parking_lot::Mutex;
use prometheus::Registry;
use scrape::{Kept, Series};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The content type of [`Metrics::scrape`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of this process.
pub struct Metrics {
    /// What the process itself uses.
    process: Registry,
    /// The counters of each name, and how many watches feed them: one that was removed may still be in its last pass when
    /// another of its name has begun.
    counters: Mutex<BTreeMap<String, (Counters, usize)>>,
    roster: Arc<Roster>,
    clock: Arc<dyn Clock>,
    build: (String, String),
    kept: Mutex<Kept<Source>>,
}

/// What a part of a scrape is encoded from: the same source gives the same part.
enum Source {
    /// The process, in this second: what it uses (memory, processor time) changes at any time, and is read again in each.
    Process(ReloadStatus, u64),
    /// A watch.
    Watch(View),
    /// A watch that was removed and is still in its last pass. Its board is gone, so nothing says whether it changed.
    Leaving(String),
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Process(reload, second), Self::Process(other, then)) => reload == other && second == then,
            (Self::Watch(one), Self::Watch(other)) => one.is_same(other),
            _ => false,
        }
    }
}

/// The counters of one watch, as an audience of its passes.
pub struct WatchMetrics {
    counters: Counters,
    /// Its terms say whether job names are labels.
    board: Arc<Board>,
}

impl Metrics {
    /// Metrics of the watches of `roster`; every known label value exists from here on.
    pub fn new(version: &str, revision: &str, roster: Arc<Roster>, clock: impl Clock + 'static) -> Self {
        let process = Registry::new();
        #[cfg(target_os = "linux")]
        process
            .register(Box::new(process::Process::own()))
            .expect("the process is registered once");
        let this = Self {
            process,
            counters: Mutex::default(),
            roster,
            clock: Arc::new(clock),
            build: (version.to_owned(), revision.to_owned()),
            kept: Mutex::default(),
        };
        for (watch, board) in this.roster.boards().iter() {
            this.counters_of(watch, board, 0);
        }
        this
    }

    /// The audience that feeds the counters of the watch; every known label value exists from here on.
    pub fn watch(&self, name: &str, board: Arc<Board>) -> WatchMetrics {
        WatchMetrics {
            counters: self.counters_of(name, &board, 1),
            board,
        }
    }

    fn counters_of(&self, name: &str, board: &Board, more: usize) -> Counters {
        let mut all = self.counters.lock();
        let known = all.entry(name.to_owned());
        let (counters, feeding) = known.or_insert_with(|| (Counters::of_watch(name), 0));
        *feeding += more;
        counters.initialise(&board.read().terms.policy);
        let counters = counters.clone();
        drop(all);
        self.kept.lock().clear();
        counters
    }

    /// A watch is no more: its series are dropped, unless another watch of its name feeds them.
    pub fn forget(&self, name: &str) {
        let mut all = self.counters.lock();
        if let Some((_, feeding)) = all.get_mut(name) {
            *feeding = feeding.saturating_sub(1);
        }
        all.retain(|watch, (_, feeding)| watch != name || *feeding > 0);
        drop(all);
        self.kept.lock().clear();
    }

    /// Everything in the text format 0.0.4; each watch is encoded once for each of its passes. Takes no lock that a pass
    /// holds for longer than it takes to store a report.
    pub fn scrape(&self) -> Arc<Scrape> {
        // Locked first: of two scrapes the later one sees what is newer.
        let mut kept = self.kept.lock();
        kept.scrape(self.sources(), |source| self.encode(source))
    }

    /// What a scrape is made of now: the process, and each watch.
    fn sources(&self) -> Vec<Source> {
        let now = self.clock.moment();
        let second = now.since(Moment::default()).as_secs();
        let boards = self.roster.boards();
        let mut sources = vec![Source::Process(self.roster.reload_status(), second)];
        sources.extend(View::all(&boards, now).into_iter().map(Source::Watch));
        let known: BTreeSet<&String> = boards.iter().map(|(name, _)| name).collect();
        let counters = self.counters.lock();
        let leaving = counters.keys().filter(|name| !known.contains(name));
        sources.extend(leaving.cloned().map(Source::Leaving));
        sources
    }

    fn encode(&self, source: &Source) -> Series {
        let mut families = match source {
            Source::Process(..) => self.process.gather(),
            // Fed before the board is: a view that is seen has been counted.
            Source::Watch(View { name, .. }) | Source::Leaving(name) => {
                let counters = self.counters.lock();
                counters
                    .get(name)
                    .map_or_else(Vec::new, |(counters, _)| counters.registry.gather())
            }
        };
        families.extend(match source {
            Source::Process(reload, _) => gauges::of_process(*reload, &self.build),
            Source::Watch(view) => gauges::of_watch(view),
            Source::Leaving(_) => Vec::new(),
        });
        Series::encode(families)
    }
}

impl Audience for WatchMetrics {
    fn good(&self, pass: Arc<GoodPass>) {
        self.counters.good(&pass, self.board.read().terms.labels_names);
    }

    fn failed(&self, pass: FailedPass) {
        self.counters.failed(&pass);
    }
}

#[cfg(test)]
mod tests;
