//! What the writers feel: 200 of them beat once a second, and jobs die all the time, in alternating rounds with and without
//! three replicas that poll and repair; on PostgreSQL and on SQLite. And what Beatwarden holds meanwhile: row locks, the
//! file's write lock, connections, idle transactions.
//!
//! How the locks are measured. PostgreSQL: the server logs each statement of the watchdogs with its duration; a row is locked
//! from the beginning of the repair's statement, at the earliest, to the end of its COMMIT. SQLite: in a round of its own
//! the kernel's list of file locks is read as fast as it can be; the write lock is one byte of the `-shm` file, and the list
//! names the process that has it. A lock counts from the last look that did not show it to the first that no longer did.
//!
//! `cargo bench --bench writer_cost`; the figures of docs/benchmarks-raw.md come from it. It measures and asserts nothing about
//! time.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints its figures and fails by panicking; writers of SQLite have threads of their own to sleep on"
)]

#[path = "../tests/support/mod.rs"]
mod support;

#[path = "writer_cost/file.rs"]
mod file;
#[path = "writer_cost/server.rs"]
mod server;

use std::{path::PathBuf, time::Duration};
use support::beatwarden::Beatwarden;

const WRITERS: u32 = 200;
const REPLICAS: usize = 3;
/// Pairs of rounds.
const ROUNDS: usize = 4;
/// One job dies this often.
const A_DEATH_EVERY: Duration = Duration::from_millis(50);
/// Jobs that ended long ago.
const HISTORY: u32 = 20_000;

/// The length of a round; another one, in `WRITER_COST_SECONDS`, to try it out.
fn seconds() -> u32 {
    std::env::var("WRITER_COST_SECONDS").map_or(15, |text| text.parse().expect("WRITER_COST_SECONDS"))
}

fn configuration(url: &str) -> String {
    format!(
        "[[watch]]\nname = \"bench\"\ndatabase = \"{url}\"\npreset = \"meltano\"\npoll_interval = \"1s\"\ninit_deadline = \"2s\"\n\
         [watch.repair]\nmissed_first = \"fail\"\nfuse_min_jobs = 1000000\n"
    )
}

/// Replicas that have looked once.
async fn replicas(files: &[PathBuf]) -> Vec<Beatwarden> {
    let mut started = Vec::new();
    for file in files {
        started.push(Beatwarden::watch(&["--config", file.to_str().unwrap(), "--log-level", "info"]).await);
    }
    for replica in &started {
        replica
            .metric_becomes("up{watch=\"bench\"}", 1.0, Duration::from_secs(20))
            .await;
    }
    started
}

fn repairs(replicas: &[Beatwarden]) -> f64 {
    let series = "repairs_total{action=\"fail\",reason=\"missed_first\",watch=\"bench\"}";
    replicas.iter().filter_map(|replica| replica.metric(series)).sum()
}

/// Times of all rounds of one kind.
#[derive(Default)]
struct Beats {
    rounds: Vec<Vec<Duration>>,
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times
        .get((times.len() * percent / 100).min(times.len().saturating_sub(1)))
        .map_or(f64::NAN, |time| ms(*time))
}

impl Beats {
    /// p50, p99 and the longest, of all rounds together.
    fn figures(&self) -> [f64; 3] {
        let mut all: Vec<Duration> = self.rounds.iter().flatten().copied().collect();
        [50, 99, 100].map(|percent| percentile(&mut all, percent))
    }

    /// The rounds' own p99, the smallest and the greatest.
    fn spread(&self) -> (f64, f64) {
        let mut each: Vec<f64> = self
            .rounds
            .iter()
            .map(|times| percentile(&mut times.clone(), 99))
            .collect();
        each.sort_by(f64::total_cmp);
        (each[0], each[each.len() - 1])
    }
}

fn table(title: &str, without: &Beats, with: &Beats) {
    let beats: usize = with.rounds.iter().map(Vec::len).sum();
    println!(
        "\n{title}: {WRITERS} writers, {ROUNDS} rounds of {} s of each kind, {beats} beats of each kind",
        seconds()
    );
    println!(
        "{:<24} {:>10} {:>10} {:>10}   p99 of the rounds",
        "", "p50 ms", "p99 ms", "longest"
    );
    for (name, beats) in [("without", without), ("with three replicas", with)] {
        let [p50, p99, longest] = beats.figures();
        let (least, most) = beats.spread();
        println!("{name:<24} {p50:>10.2} {p99:>10.2} {longest:>10.2}   {least:.2} to {most:.2}");
    }
    let (a, b) = (without.figures(), with.figures());
    println!(
        "{:<24} {:>10.2} {:>10.2} {:>10.2}",
        "rise",
        b[0] - a[0],
        b[1] - a[1],
        b[2] - a[2]
    );
}

#[tokio::main]
async fn main() {
    server::measure().await;
    file::measure().await;
}
