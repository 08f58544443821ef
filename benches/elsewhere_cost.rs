//! What a pass costs whose jobs have their heartbeats in another table, against one of the same jobs with a column, in alternating
//! passes of the same run, beside finished jobs.
//!
//! `cargo bench --bench elsewhere_cost`; the figures of docs/benchmarks-raw.md come from it. It measures, and asserts only that both
//! observe the same jobs.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use beatwarden::{
    connection::SslMode,
    domain::{Action, Coverage, JobId, TimeValue},
    mapping::{Elsewhere, Mapping, TimeSource},
    store::{
        DiscoverySetting, ObserveRequest, Store,
        postgres::{PostgresSettings, PostgresStore, Target},
        sqlite::{SqliteSettings, SqliteStore},
    },
};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use support::{
    postgres::Cluster,
    runs::{self, name},
};

const RUNNING: [usize; 3] = [100, 1_000, 10_000];
const FINISHED: usize = 100_000;
const PASSES: usize = 30;

/// Runs with a heartbeat column, and the same heartbeats, one row for each run.
const TABLES: &str =
    "CREATE TABLE runs (id integer PRIMARY KEY, job_name varchar(40), state varchar(10), started_at timestamp,
        ended_at timestamp, last_heartbeat_at timestamp);
    CREATE TABLE beats (run integer PRIMARY KEY REFERENCES runs (id), at timestamp NOT NULL);";

#[tokio::main]
async fn main() {
    println!("Running jobs beside {FINISHED} finished ones, median of {PASSES} alternating passes");
    println!(
        "{:<12} {:>8} {:>14} {:>18} {:>8}",
        "", "running", "a column, ms", "another table, ms", "ratio"
    );
    let cluster = Cluster::start_with("autovacuum = off\n");
    for running in RUNNING {
        on_postgres(&cluster, running).await;
    }
    for running in RUNNING {
        on_sqlite(running).await;
    }
}

/// The rows: `now` is the database's own word for the time in UTC, `numbers` one for a series with the column `i`.
fn rows(running: usize, now: &str, numbers: impl Fn(usize) -> String) -> String {
    format!(
        "INSERT INTO runs SELECT i, 'orders', 'SUCCESS', {now}, {now}, {now} FROM {};
         INSERT INTO runs SELECT {FINISHED} + i, 'orders', 'RUNNING', {now}, NULL, {now} FROM {};
         INSERT INTO beats SELECT id, last_heartbeat_at FROM runs;",
        numbers(FINISHED),
        numbers(running)
    )
}

async fn on_postgres(cluster: &Cluster, running: usize) {
    let database = cluster.database().await;
    let client = database.client().await;
    let series = |count| format!("generate_series(1, {count}) AS i");
    let script = format!("{TABLES}{}", rows(running, "now() AT TIME ZONE 'UTC'", series));
    client.batch_execute(&script).await.unwrap();
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let store = |heartbeat| {
        let url = database.url.clone();
        PostgresStore::new(PostgresSettings {
            address: Box::new(move || Ok(Target::new(&url, SslMode::Disable, None)?)),
            mapping: mapping(heartbeat),
            action: Action::Observe,
            poll_timeout: Duration::from_secs(30),
            seed_tolerance: Duration::from_millis(5),
            instance: "bench/1".into(),
            discovery: DiscoverySetting::Auto,
        })
    };
    measure("PostgreSQL", running, store(column()), store(elsewhere())).await;
}

async fn on_sqlite(running: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    let series = |count| {
        format!("(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n)")
    };
    let script = format!(
        "{TABLES}{}",
        rows(running, "strftime('%Y-%m-%d %H:%M:%f000', 'now')", series)
    );
    connection.execute_batch(&script).unwrap();
    let store = |heartbeat| {
        let path: PathBuf = path.clone();
        SqliteStore::new(SqliteSettings {
            address: Box::new(move || Ok(path.clone())),
            mapping: mapping(heartbeat),
            poll_timeout: Duration::from_secs(30),
            seed_tolerance: Duration::from_millis(5),
            instance: "bench/1".into(),
            discovery: DiscoverySetting::Auto,
            action: Action::Observe,
        })
    };
    measure("SQLite", running, store(column()), store(elsewhere())).await;
}

async fn measure(title: &str, running: usize, column: impl Store, elsewhere: impl Store) {
    let (mut column, mut elsewhere) = (Passes::of(column, running).await, Passes::of(elsewhere, running).await);
    for _ in 0..PASSES {
        column.pass(Coverage::Ordinary).await;
        elsewhere.pass(Coverage::Ordinary).await;
    }
    let (column, elsewhere) = (column.median(), elsewhere.median());
    println!(
        "{title:<12} {running:>8} {column:>14.2} {elsewhere:>18.2} {:>8.2}",
        elsewhere / column
    );
}

/// Passes of one store: each knows the jobs of the last one, as a watch does.
struct Passes<S> {
    store: S,
    running: usize,
    known: Vec<JobId>,
    times: Vec<f64>,
}

impl<S: Store> Passes<S> {
    /// After the first look, which is not counted.
    async fn of(store: S, running: usize) -> Self {
        let mut passes = Self {
            store,
            running,
            known: Vec::new(),
            times: Vec::new(),
        };
        passes.pass(Coverage::Full).await;
        passes.times.clear();
        passes
    }

    async fn pass(&mut self, coverage: Coverage) {
        let request = ObserveRequest::whole(self.known.clone(), coverage);
        let began = Instant::now();
        let snapshot = self.store.observe(&request).await.unwrap();
        self.times.push(began.elapsed().as_secs_f64() * 1e3);
        let beating = snapshot
            .rows
            .iter()
            .filter(|job| job.state.as_deref() == Some("RUNNING"));
        self.known = beating
            .filter(|job| job.heartbeat_at != TimeValue::ABSENT)
            .map(|job| job.id.clone())
            .collect();
        assert_eq!(self.known.len(), self.running);
    }

    fn median(mut self) -> f64 {
        self.times.sort_by(f64::total_cmp);
        self.times[self.times.len() / 2]
    }
}

fn column() -> TimeSource {
    name("last_heartbeat_at").into()
}

fn elsewhere() -> TimeSource {
    TimeSource {
        column: name("at"),
        elsewhere: Some(Elsewhere {
            table: runs::table("beats"),
            key: name("run"),
            matching: name("id"),
            prefix: None,
            conditions: Vec::new(),
        }),
        format: None,
        zone: None,
    }
}

fn mapping(heartbeat: TimeSource) -> Mapping {
    Mapping {
        last_heartbeat_at: Some(heartbeat),
        error: None,
        ..runs::mapping()
    }
}
