//! What an atomic init costs: inserts, starts and beats with and without the guard, in alternating rounds of the same run,
//! by pgbench on PostgreSQL and by statements on SQLite; and how long beats wait while the guard is installed beside 200
//! writers and a long transaction.
//!
//! `cargo bench --bench guard_cost`; the figures of docs/benchmarks-raw.md come from it. It measures and asserts nothing about
//! time.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use support::{beatwarden::run, postgres::Cluster};

const ROUNDS: usize = 5;
const SECONDS: &str = "4";
/// How long the transaction is that stands in the installer's way.
const LONG: Duration = Duration::from_secs(60);
const WRITERS: usize = 200;

const TABLE: &str = "CREATE TABLE runs (id serial PRIMARY KEY, job_name varchar, state varchar, started_at timestamp,
    ended_at timestamp, payload varchar, payload_flags integer, run_id uuid, trigger varchar, last_heartbeat_at timestamp)";

/// What pgbench runs, one statement for each transaction.
const SCRIPTS: [(&str, &str); 3] = [
    (
        "insert a running job",
        "INSERT INTO runs (job_name, state, started_at) VALUES ('orders', 'RUNNING', now() AT TIME ZONE 'UTC');\n",
    ),
    (
        "start a waiting job (update)",
        "\\set id random(1, 100000)\nUPDATE runs SET state = CASE state WHEN 'RUNNING' THEN 'IDLE' ELSE 'RUNNING' END, \
         started_at = now() AT TIME ZONE 'UTC', last_heartbeat_at = NULL WHERE id = :id;\n",
    ),
    (
        "beat",
        "\\set id random(1, 100000)\nUPDATE runs SET last_heartbeat_at = now() AT TIME ZONE 'UTC' WHERE id = :id;\n",
    ),
];

#[tokio::main]
async fn main() {
    let cluster = Cluster::start_with("max_connections = 300\nmax_wal_size = 4GB\nautovacuum = on\n");
    throughput(&cluster).await;
    installing(&cluster).await;
    on_sqlite();
}

fn guard(verb: &str, url: &str) {
    let (status, said, complaint) = run(&["guard", verb, "--database", url, "--preset", "meltano"]);
    assert!(status.success(), "{said}{complaint}");
}

async fn throughput(cluster: &Cluster) {
    println!("PostgreSQL, fsync off, pgbench with 4 clients, {ROUNDS} alternating rounds of {SECONDS} s");
    println!("{:<32} {:>14} {:>14} {:>8}", "", "without, ms", "with, ms", "ratio");
    let folder = tempfile::tempdir().unwrap();
    for (name, script) in SCRIPTS {
        let database = cluster.database().await;
        let client = database.client().await;
        client.batch_execute(TABLE).await.unwrap();
        // Each run begins with the same table.
        let again = "TRUNCATE runs RESTART IDENTITY;
            INSERT INTO runs (job_name, state) SELECT 'orders', 'IDLE' FROM generate_series(1, 100000)";
        let file = folder.path().join("script.sql");
        fs::write(&file, script).unwrap();
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            client.batch_execute(again).await.unwrap();
            without.push(pgbench(&database.url, &file));
            client.batch_execute(again).await.unwrap();
            guard("install", &database.url);
            with.push(pgbench(&database.url, &file));
            guard("remove", &database.url);
        }
        let (without, with) = (median(&mut without), median(&mut with));
        println!("{name:<32} {without:>14.3} {with:>14.3} {:>8.3}", with / without);
    }
}

/// Average latency of a transaction, milliseconds.
fn pgbench(url: &str, script: &Path) -> f64 {
    let output = Command::new("/usr/lib/postgresql/15/bin/pgbench")
        .args(["-n", "-c", "4", "-j", "2", "-T", SECONDS, "-f"])
        .arg(script)
        .arg(url)
        .output()
        .expect("pgbench comes with PostgreSQL");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with("latency average"));
    let line = line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    line.split_whitespace().nth(3).unwrap().parse().unwrap()
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

async fn installing(cluster: &Cluster) {
    let database = cluster.database().await;
    let client = database.client().await;
    client.batch_execute(TABLE).await.unwrap();
    let rows = format!(
        "INSERT INTO runs (job_name, state) SELECT 'orders', 'RUNNING' FROM generate_series(1, {})",
        WRITERS + 1
    );
    client.batch_execute(&rows).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for id in 1..=WRITERS {
        let (client, stop) = (database.client().await, stop.clone());
        writers.push(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(5 * id as u64)).await;
            let beat = format!("UPDATE runs SET last_heartbeat_at = now() AT TIME ZONE 'UTC' WHERE id = {id}");
            let mut times = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                client.batch_execute(&beat).await.unwrap();
                times.push((began, began.elapsed()));
                tokio::time::sleep(Duration::from_secs(1).saturating_sub(began.elapsed())).await;
            }
            times
        }));
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let holder = database.client().await;
    let held = format!("BEGIN; UPDATE runs SET payload = 'x' WHERE id = {}", WRITERS + 1);
    holder.batch_execute(&held).await.unwrap();
    let began = Instant::now();
    let url = database.url.clone();
    let installer = tokio::task::spawn_blocking(move || {
        let (status, _, said) = run(&["guard", "install", "--database", &url, "--preset", "meltano"]);
        assert!(status.success(), "{said}");
        said.matches("(try ").count()
    });
    tokio::time::sleep(LONG).await;
    holder.batch_execute("COMMIT").await.unwrap();
    let tries = installer.await.unwrap();
    let ended = Instant::now();
    stop.store(true, Ordering::Relaxed);
    let (mut before, mut during) = (Vec::new(), Vec::new());
    for writer in writers {
        for (at, took) in writer.await.unwrap() {
            let part = if at < began { &mut before } else { &mut during };
            part.push(took.as_secs_f64() * 1e3);
        }
    }
    println!(
        "\ninstalled beside {WRITERS} writers and a transaction of {} s: {tries} tries that came too early, {:.1} s in all",
        LONG.as_secs(),
        (ended - began).as_secs_f64()
    );
    for (name, times) in [("beats before", &mut before), ("beats meanwhile", &mut during)] {
        times.sort_by(f64::total_cmp);
        println!(
            "{name:<16} {:>6}: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
            times.len(),
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            times[times.len() - 1]
        );
    }
}

fn on_sqlite() {
    const BLOCK: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection
        .execute_batch(include_str!("../src/demo/schema.sql"))
        .unwrap();
    let statements = [
        (
            "insert a running job",
            "INSERT INTO runs (job_name, state, started_at) VALUES ('orders', 'RUNNING', '2026-11-01 10:00:00')",
        ),
        (
            "start a waiting job (update)",
            "UPDATE runs SET state = 'RUNNING' WHERE id = (SELECT min(id) FROM runs WHERE state = 'IDLE')",
        ),
        (
            "beat",
            "UPDATE runs SET last_heartbeat_at = '2026-11-01 10:00:09' WHERE id = (SELECT max(id) FROM runs)",
        ),
    ];
    println!("\nSQLite, WAL, synchronous FULL, {ROUNDS} alternating rounds of {BLOCK} statements, median of each");
    println!("{:<32} {:>14} {:>14} {:>8}", "", "without, ms", "with, ms", "ratio");
    let (code, install, complaint) = run(&[
        "guard",
        "install",
        "--print",
        "--database",
        path.to_str().unwrap(),
        "--preset",
        "meltano",
    ]);
    assert!(code.success(), "{complaint}");
    let (_, remove, _) = run(&[
        "guard",
        "remove",
        "--print",
        "--database",
        path.to_str().unwrap(),
        "--preset",
        "meltano",
    ]);
    for (name, statement) in statements {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (script, times) in [(&remove, &mut without), (&install, &mut with)] {
                connection.execute_batch(script).unwrap();
                let waiting = format!(
                    "DELETE FROM runs; INSERT INTO runs (job_name, state, started_at) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL \
                     SELECT i + 1 FROM n WHERE i < {BLOCK}) SELECT 'orders', 'IDLE', '2026-11-01 10:00:00' FROM n"
                );
                connection.execute_batch(&waiting).unwrap();
                for _ in 0..BLOCK {
                    let began = Instant::now();
                    connection.execute(statement, []).unwrap();
                    times.push(began.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        let (without, with) = (median(&mut without), median(&mut with));
        println!("{name:<32} {without:>14.3} {with:>14.3} {:>8.3}", with / without);
    }
}
