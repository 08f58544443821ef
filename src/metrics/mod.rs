//! Every metric of Beatwarden, once. Nothing else imports `prometheus`.
//!
//! Counters and histograms live in one private registry and are fed by the reports. Gauges are rebuilt from the boards at
//! each scrape, so no label outlives its rows and no dead value is shown as a living one.

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
use prometheus::{Encoder, Registry, TextEncoder};
use scrape::{Kept, Source};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The content type of [`Metrics::scrape`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of this process.
pub struct Metrics {
    registry: Registry,
    counters: Counters,
    /// How many watches of each name feed the counters: one that was removed may still be in its last pass when another of
    /// its name has begun.
    feeding: Mutex<BTreeMap<String, usize>>,
    roster: Arc<Roster>,
    clock: Arc<dyn Clock>,
    build: (String, String),
    kept: Mutex<Option<Kept>>,
}

/// The counters of one watch, as an audience of its passes.
pub struct WatchMetrics {
    counters: Counters,
    watch: String,
}

impl Metrics {
    /// Metrics of the watches of `roster`; every known label value exists from here on.
    pub fn new(version: &str, revision: &str, roster: Arc<Roster>, clock: impl Clock + 'static) -> Self {
        let registry = Registry::new();
        let counters = Counters::register(&registry);
        for (watch, board) in roster.boards().iter() {
            counters.initialise(watch, &board.read().terms.policy);
        }
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(process::Process::own()))
            .expect("the process is registered once");
        Self {
            registry,
            counters,
            feeding: Mutex::default(),
            roster,
            clock: Arc::new(clock),
            build: (version.to_owned(), revision.to_owned()),
            kept: Mutex::default(),
        }
    }

    /// The audience that feeds the counters of the watch; every known label value exists from here on.
    pub fn watch(&self, name: &str, policy: &Policy) -> WatchMetrics {
        let mut feeding = self.feeding.lock().unwrap_or_else(PoisonError::into_inner);
        *feeding.entry(name.to_owned()).or_default() += 1;
        self.counters.initialise(name, policy);
        WatchMetrics {
            counters: self.counters.clone(),
            watch: name.to_owned(),
        }
    }

    /// A watch is no more: its series are dropped, unless another watch of its name feeds them.
    pub fn forget(&self, name: &str) {
        let mut feeding = self.feeding.lock().unwrap_or_else(PoisonError::into_inner);
        let left = feeding.get(name).map_or(0, |watches| watches.saturating_sub(1));
        if left == 0 {
            feeding.remove(name);
            self.counters.forget(name);
        } else {
            feeding.insert(name.to_owned(), left);
        }
    }

    /// Everything in the text format 0.0.4, encoded once for each report. Takes no lock that a pass holds for longer than it
    /// takes to store a report.
    pub fn scrape(&self) -> Arc<Scrape> {
        let source = Source::of(&self.roster);
        let now = self.clock.moment();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut families = self.registry.gather();
        families.extend(scrape.gather());
        families.sort_by(|left, right| left.name().cmp(right.name()));
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&families, &mut text)
            .expect("the names and labels of all metrics are valid");
        text
    }
}

impl Audience for WatchMetrics {
    fn good(&self, pass: Arc<GoodPass>) {
        self.counters.good(&self.watch, &pass);
    }

    fn failed(&self, pass: FailedPass) {
        self.counters.failed(&self.watch, &pass);
    }
}
