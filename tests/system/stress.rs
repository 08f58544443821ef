//! Several replicas of the real binary on a real PostgreSQL and on a SQLite file, on tables of several kinds, with writers whose first heartbeat falls
//! around the deadline, while backends are terminated, replicas killed and frozen, the server crashed, connections stalled
//! and cut in the middle of a COMMIT, commits hang for a standby that is not there, BEGIN is refused, and write locks are
//! held. The judge is an audit trigger and plain SQL; it shares no code with Beatwarden, and is shown wrong changes.
//!
//! `make stress SECONDS=600` for a long run; in `make upgrade` some replicas are of an earlier version.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and this one prints its figures"
)]

mod file;
mod file_judge;
pub mod judge;
mod kind;
mod server;
pub mod verdict;
mod writer;

use crate::support::beatwarden::Beatwarden;
use kind::Kind;
use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    time::{Duration, Instant},
};
use verdict::Verdict;

/// How long with the other tests; half as long for each other kind of table.
const SECONDS: u64 = 25;
const REPLICAS: usize = 3;
const WRITERS: usize = 40;
/// A job's time to its first heartbeat.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long after the last fault every dead job is repaired: the longest backoff, and much more where the machine is so busy that
/// passes come too far apart to have watched anything.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long it may take until what a repair turned out to be is noted.
const NOTED_WITHIN: Duration = Duration::from_secs(60);

/// How long the faults continue.
fn seconds(kind: Kind) -> u64 {
    let usual = if kind == Kind::Meltano { SECONDS } else { SECONDS / 2 };
    std::env::var("STRESS_SECONDS").map_or(usual, |text| text.parse().expect("STRESS_SECONDS"))
}

/// Among the other tests one kind of a database after the other, since each takes all that the machine has; in a long run as many at
/// once as there are threads for tests.
async fn turn(of: &'static tokio::sync::Mutex<()>) -> Option<tokio::sync::MutexGuard<'static, ()>> {
    match std::env::var_os("STRESS_SECONDS") {
        Some(_) => None,
        None => Some(of.lock().await),
    }
}

/// With `BEATWARDEN_FORMER`, the binary of an earlier version, each replica is one of the two, as is each that takes the place of
/// one that was killed.
async fn replica(configuration: &Path) -> Beatwarden {
    let arguments = ["--config", configuration.to_str().unwrap(), "--log-level", "info"];
    match std::env::var_os("BEATWARDEN_FORMER") {
        Some(former) if fastrand::bool() => Beatwarden::watch_by(Path::new(&former), &[], &arguments).await,
        _ => Beatwarden::watch(&arguments).await,
    }
}

/// The end of what each replica logs, and what withholds its repairs.
fn what_they_say(replicas: &[Option<Beatwarden>]) -> String {
    let report = |replica: &Beatwarden| {
        let metrics = crate::support::http::get(replica.address, "/metrics").text();
        let withheld: Vec<&str> = metrics
            .lines()
            .filter(|line| line.starts_with("beatwarden_withheld_repairs{") && !line.ends_with(" 0"))
            .collect();
        let log = replica.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("{withheld:?}\n{}\n", lines[lines.len().saturating_sub(15)..].join("\n"))
    };
    replicas.iter().flatten().map(report).collect()
}

/// The faults that are to come, each kind before any comes again, and how often each came.
struct Faults<F: 'static> {
    all: &'static [F],
    deck: Vec<F>,
    counts: BTreeMap<F, u32>,
    until: Instant,
}

impl<F: Copy + Ord + fmt::Debug> Faults<F> {
    fn new(all: &'static [F], kind: Kind) -> Self {
        Self {
            all,
            deck: Vec::new(),
            counts: BTreeMap::new(),
            until: Instant::now() + Duration::from_secs(seconds(kind)),
        }
    }

    /// The next one, after a while; none when the time is over.
    async fn next(&mut self) -> Option<F> {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..1_000))).await;
        if Instant::now() > self.until {
            return None;
        }
        if self.deck.is_empty() {
            self.deck.extend(self.all);
            fastrand::shuffle(&mut self.deck);
        }
        let fault = self.deck.pop().unwrap();
        *self.counts.entry(fault).or_default() += 1;
        Some(fault)
    }

    fn count(&self) -> u32 {
        self.counts.values().sum()
    }
}

impl Verdict {
    fn print(&self, place: &str, kind: Kind, jobs: &writer::Jobs, faults: &str) {
        println!(
            "{place}, {kind:?}, {} s, {REPLICAS} replicas, {WRITERS} writers: {}\n\
             repairs: {}, found to be false by a later beat: {}\nfaults: {faults}\nviolations: {}",
            seconds(kind),
            jobs.summary(),
            self.repairs,
            self.false_repairs,
            self.violations.len()
        );
        assert_eq!(self.violations, Vec::new(), "{place}");
        assert!(self.repairs > 0 && !jobs.dead().is_empty(), "nothing happened");
    }

    /// What went wrong, without the rows.
    fn kinds(&self) -> std::collections::BTreeSet<&'static str> {
        self.violations.iter().map(|(meaning, _)| *meaning).collect()
    }
}
