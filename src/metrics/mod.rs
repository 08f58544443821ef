//! Every metric of Beatwarden, once. Nothing else imports `prometheus`.
//!
//! Counters and histograms live in a registry of their watch, are fed by its reports and go with it. Gauges are rebuilt from
//! the boards at each scrape, so no label outlives its rows and no dead value is shown as a living one.

mod counters;
mod gauges;
#[cfg(target_os = "linux")]
mod process;
mod scrape;

pub use scrape::Scrape;

use crate::{
    domain::{Moment, Policy},
    pass::{Audience, Clock, FailedPass, GoodPass},
    status::Roster,
};
use counters::Counters;
use parking_lot::Mutex;
use prometheus::{Encoder, Registry, TextEncoder};
use scrape::{Kept, Source};
use std::{collections::BTreeMap, sync::Arc};

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
    kept: Mutex<Option<Kept>>,
}

/// The counters of one watch, as an audience of its passes.
pub struct WatchMetrics(Counters);

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
            this.counters_of(watch, &board.read().terms.policy, 0);
        }
        this
    }

    /// The audience that feeds the counters of the watch; every known label value exists from here on.
    pub fn watch(&self, name: &str, policy: &Policy) -> WatchMetrics {
        WatchMetrics(self.counters_of(name, policy, 1))
    }

    fn counters_of(&self, name: &str, policy: &Policy, more: usize) -> Counters {
        let mut all = self.counters.lock();
        let known = all.entry(name.to_owned());
        let (counters, feeding) = known.or_insert_with(|| (Counters::of_watch(name), 0));
        *feeding += more;
        counters.initialise(policy);
        counters.clone()
    }

    /// A watch is no more: its series are dropped, unless another watch of its name feeds them.
    pub fn forget(&self, name: &str) {
        let mut all = self.counters.lock();
        if let Some((_, feeding)) = all.get_mut(name) {
            *feeding = feeding.saturating_sub(1);
        }
        all.retain(|watch, (_, feeding)| watch != name || *feeding > 0);
    }

    /// Everything in the text format 0.0.4, encoded once for each report. Takes no lock that a pass holds for longer than it
    /// takes to store a report.
    pub fn scrape(&self) -> Arc<Scrape> {
        let source = Source::of(&self.roster);
        let now = self.clock.moment();
        let mut kept = self.kept.lock();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.holds(&source, now)) {
            return kept.scrape.clone();
        }
        let scrape = Arc::new(Scrape::new(self.encode(now)));
        *kept = Some(Kept {
            scrape: scrape.clone(),
            source,
            at: now,
        });
        scrape
    }

    fn encode(&self, now: Moment) -> Vec<u8> {
        let scrape = Registry::new();
        gauges::fill(&scrape, &self.roster, now, &self.build);
        let mut families = scrape.gather();
        families.extend(self.process.gather());
        let counters = self.counters.lock();
        families.extend(counters.values().flat_map(|(counters, _)| counters.gather()));
        drop(counters);
        // Those of several watches are one.
        families.sort_by(|left, right| left.name().cmp(right.name()));
        families.dedup_by(|next, first| {
            let is_same = next.name() == first.name();
            if is_same {
                first.mut_metric().extend(next.take_metric());
            }
            is_same
        });
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&families, &mut text)
            .expect("the names and labels of all metrics are valid");
        text
    }
}

impl Audience for WatchMetrics {
    fn good(&self, pass: Arc<GoodPass>) {
        self.0.good(&pass);
    }

    fn failed(&self, pass: FailedPass) {
        self.0.failed(&pass);
    }
}
