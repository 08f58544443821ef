//! What the writers feel: 200 of them beat once a second, and jobs die all the time, in alternating rounds with and without
//! three replicas that poll and repair; on PostgreSQL and on SQLite. And what Beatwarden holds meanwhile: row locks, the
//! file's write lock, connections, idle transactions.
//!
//! How the locks are measured. PostgreSQL: the server logs each statement of the watchdogs with its duration; a row is locked
//! from the beginning of the repair's statement, at the earliest, to the end of its COMMIT. SQLite: in a round of its own
//! the kernel's list of file locks is read as fast as it can be; the write lock is one byte of the `-shm` file, and the list
//! names the process that has it. A lock counts from the last look that did not show it to the first that no longer did.
//!
//! `cargo bench --bench writer_cost`; the figures of docs/benchmarks.md come from it. It measures and asserts nothing about
//! time.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark tells its figures and fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use rusqlite::Connection;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{
    beatwarden::{Beatwarden, run},
    eventually,
    postgres::{Cluster, connect},
};
use tokio_postgres::Client;

const WRITERS: u32 = 200;
const REPLICAS: usize = 3;
/// Pairs of rounds, and the length of a round.
const ROUNDS: usize = 4;
const SECONDS: u32 = 15;
/// One job dies this often.
const A_DEATH_EVERY: Duration = Duration::from_millis(50);
/// Jobs that ended long ago.
const HISTORY: u32 = 20_000;

fn configuration(url: &str) -> String {
    format!(
        "[[watch]]\nname = \"bench\"\ndatabase = \"{url}\"\npreset = \"meltano\"\npoll_interval = \"1s\"\ninit_deadline = \"2s\"\n\
         [watch.repair]\nmissed_first = \"fail\"\nfuse_min_jobs = 1000000\n"
    )
}

/// Replicas that have looked once.
async fn replicas(files: &[std::path::PathBuf]) -> Vec<Beatwarden> {
    let mut started = Vec::new();
    for file in files {
        started.push(Beatwarden::watch(&["--config", file.to_str().unwrap(), "--log-level", "warn"]).await);
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
    println!("\n{title}: {WRITERS} writers, {ROUNDS} rounds of {SECONDS} s of each kind, {beats} beats of each kind");
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
    on_postgres().await;
    on_sqlite().await;
}

// ---- PostgreSQL

const TABLE: &str = "CREATE TABLE runs (id serial PRIMARY KEY, job_name varchar, state varchar, started_at timestamp,
    ended_at timestamp, payload varchar, payload_flags integer, run_id uuid, trigger varchar, last_heartbeat_at timestamp)";

struct Server {
    cluster: Cluster,
    admin: Client,
    writers: Arc<Vec<Client>>,
    url: String,
    files: Vec<std::path::PathBuf>,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn new() -> Self {
        let cluster = Cluster::start_with(
            "fsync = on\nfull_page_writes = on\nautovacuum = on\nmax_connections = 300\nlog_line_prefix = '%n %p %x '\n",
        );
        let url = cluster.database().await.url;
        let admin = connect(&url).await;
        admin
            .batch_execute(&format!(
                "{TABLE};
                 INSERT INTO runs (job_name, state, started_at, ended_at, last_heartbeat_at)
                 SELECT 'orders', 'SUCCESS', t, t, t FROM generate_series(1, {HISTORY}), (SELECT now() - interval '1 day' AS t) AS a;
                 INSERT INTO runs (id, job_name, state, started_at, last_heartbeat_at)
                 SELECT 1000000 + i, 'orders', 'RUNNING', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' + interval '1 s'
                   FROM generate_series(1, {WRITERS}) AS i;
                 SELECT setval('runs_id_seq', 2000000)"
            ))
            .await
            .unwrap();
        admin.batch_execute("VACUUM ANALYZE runs").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let name = url.rsplit('/').next().unwrap().to_owned();
        let mut files = Vec::new();
        for number in 0..REPLICAS {
            let file = folder.path().join(format!("dog{number}.toml"));
            fs::write(&file, configuration(&cluster.url(&format!("dog{number}"), &name))).unwrap();
            files.push(file);
        }
        let (status, grants, log) = run(&["grants", "--config", files[0].to_str().unwrap(), "--role", "dogs"]);
        assert!(status.success(), "{log}");
        admin
            .batch_execute(&format!("CREATE ROLE dogs; {grants}"))
            .await
            .unwrap();
        for number in 0..REPLICAS {
            let role = format!(
                "CREATE ROLE dog{number} LOGIN IN ROLE dogs; ALTER ROLE dog{number} SET log_min_duration_statement = 0"
            );
            admin.batch_execute(&role).await.unwrap();
        }
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            writers.push(connect(&url).await);
        }
        Self {
            cluster,
            admin,
            writers: Arc::new(writers),
            url,
            files,
            _folder: folder,
        }
    }

    /// Updates of the table, and how many of them were HOT, once every session has told.
    async fn updates(&self) -> (i64, i64) {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'runs'";
        let row = self.admin.query_one(sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// One round of beats, while jobs die.
    async fn round(&self) -> Vec<Duration> {
        let dying = tokio::spawn(die(connect(&self.url).await));
        let tasks: Vec<_> = (0..WRITERS)
            .map(|number| tokio::spawn(beat(self.writers.clone(), number)))
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.unwrap());
        }
        dying.abort();
        let gone = "DELETE FROM runs WHERE id > 2000000 AND state = 'RUNNING'";
        self.admin.batch_execute(gone).await.unwrap();
        times
    }

    /// For each repair that changed a row: how long it was locked at most. From the server's log.
    fn row_locks(&self) -> Vec<Duration> {
        let log = fs::read_to_string(self.cluster.folder().join("log")).unwrap();
        let mut open: HashMap<String, (f64, f64)> = HashMap::new();
        let mut held = Vec::new();
        for line in log.lines() {
            let mut words = line.splitn(4, ' ');
            let (Some(at), Some(pid), Some(xid), Some(rest)) = (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            let Some((took, what)) = rest
                .strip_prefix("LOG:  duration: ")
                .and_then(|rest| rest.split_once(" ms  "))
            else {
                continue;
            };
            let (at, took): (f64, f64) = (at.parse().unwrap(), took.parse().unwrap());
            if what.starts_with("execute") && what.contains("beatwarden: repair") && xid != "0" {
                open.insert(pid.to_owned(), (at, took));
            } else if what.starts_with("statement: COMMIT")
                && let Some((executed, statement)) = open.remove(pid)
            {
                held.push(Duration::from_secs_f64(
                    (at - executed).max(took / 1e3) + statement / 1e3,
                ));
            }
        }
        held
    }
}

async fn beat(writers: Arc<Vec<Client>>, number: u32) -> Vec<Duration> {
    let client = &writers[number as usize];
    let key = i32::try_from(1_000_001 + number).unwrap();
    let sql = "UPDATE runs SET last_heartbeat_at = clock_timestamp() AT TIME ZONE 'UTC' WHERE id = $1";
    let statement = client.prepare(sql).await.unwrap();
    let first = tokio::time::Instant::now() + Duration::from_secs(1) * number / WRITERS;
    let mut ticks = tokio::time::interval_at(first, Duration::from_secs(1));
    let mut times = Vec::new();
    for _ in 0..SECONDS {
        ticks.tick().await;
        let began = Instant::now();
        assert_eq!(client.execute(&statement, &[&key]).await.unwrap(), 1);
        times.push(began.elapsed());
    }
    times
}

async fn die(client: Client) {
    let sql = "INSERT INTO runs (job_name, state, started_at, payload) VALUES ('orders', 'RUNNING', now() AT TIME ZONE 'UTC', '{}')";
    let mut ticks = tokio::time::interval(A_DEATH_EVERY);
    loop {
        ticks.tick().await;
        client.batch_execute(sql).await.unwrap();
    }
}

/// The most connections of one replica, and the longest that one of them was seen idle in a transaction.
async fn sample(client: Client, most: Arc<Mutex<(i64, f64)>>) {
    let sql = "SELECT count(*), coalesce(max(extract(epoch FROM clock_timestamp() - state_change))
                      FILTER (WHERE state LIKE 'idle in transaction%'), 0)::float8
                 FROM pg_stat_activity WHERE usename LIKE 'dog%' GROUP BY usename";
    let statement = client.prepare(sql).await.unwrap();
    loop {
        for row in client.query(&statement, &[]).await.unwrap() {
            let mut most = most.lock().unwrap();
            *most = (most.0.max(row.get(0)), most.1.max(row.get(1)));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn on_postgres() {
    let server = Server::new().await;
    let (mut without, mut with) = (Beats::default(), Beats::default());
    let mut hot: BTreeMap<bool, (i64, i64)> = BTreeMap::new();
    let most = Arc::new(Mutex::new((0, 0.0)));
    let mut made = 0.0;
    // Nobody is told of the first round: caches are cold.
    server.round().await;
    for round in 0..ROUNDS * 2 {
        // with, without, without, with, ...: what drifts meets both alike.
        let is_with = matches!(round % 4, 0 | 3);
        let before = server.updates().await;
        let running = if is_with {
            replicas(&server.files).await
        } else {
            Vec::new()
        };
        // In both kinds, so that its own cost is in both.
        let sampling = tokio::spawn(sample(connect(&server.url).await, most.clone()));
        let times = server.round().await;
        sampling.abort();
        made += repairs(&running);
        for replica in running {
            assert!(replica.stop().success());
        }
        let after = server.updates().await;
        let kind = hot.entry(is_with).or_default();
        *kind = (kind.0 + after.0 - before.0, kind.1 + after.1 - before.1);
        if is_with { &mut with } else { &mut without }.rounds.push(times);
    }
    table("PostgreSQL 15, fsync on", &without, &with);
    let mut locks = server.row_locks();
    println!(
        "{made} repairs; a row was locked at p50 {:.2} ms, p99 {:.2} ms, at most {:.2} ms ({} transactions)",
        percentile(&mut locks, 50),
        percentile(&mut locks, 99),
        percentile(&mut locks, 100),
        locks.len(),
    );
    let share = |kind: (i64, i64)| kind.1 as f64 / kind.0 as f64;
    println!(
        "HOT updates: {:.4} of {} without, {:.4} of {} with",
        share(hot[&false]),
        hot[&false].0,
        share(hot[&true]),
        hot[&true].0
    );
    let (connections, idle) = *most.lock().unwrap();
    println!(
        "connections of one replica: {connections} at most; longest idle in transaction: {:.2} ms",
        idle * 1e3
    );
}

// ---- SQLite

const NOW: &str = "strftime('%Y-%m-%d %H:%M:%f000', 'now')";
/// The byte of the `-shm` file that is locked by whoever writes.
const WRITE_LOCK: &str = "120";

fn open(file: &Path) -> Connection {
    let connection = Connection::open(file).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
}

fn make(file: &Path) {
    let connection = open(file);
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    let schema = include_str!("../src/demo/schema.sql");
    let many =
        |count: u32| format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
    connection
        .execute_batch(&format!(
            "{schema};
             INSERT INTO runs (job_name, state, started_at, ended_at, last_heartbeat_at)
             {} SELECT 'orders', 'SUCCESS', t, t, t FROM n, (SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now', '-1 day') AS t);
             INSERT INTO runs (id, job_name, state, started_at, last_heartbeat_at)
             {} SELECT 1000000 + i, 'orders', 'RUNNING', strftime('%Y-%m-%d %H:%M:%f000', 'now', '-9 seconds'), {NOW} FROM n",
            many(HISTORY),
            many(WRITERS)
        ))
        .unwrap();
}

/// One round of beats, each writer on a connection and a thread of its own, while jobs die.
fn round(file: &Path) -> Vec<Duration> {
    let began = Instant::now();
    let over = AtomicBool::new(false);
    let times = thread::scope(|scope| {
        scope.spawn(|| {
            let connection = open(file);
            let sql = format!(
                "INSERT INTO runs (job_name, state, started_at, payload) VALUES ('orders', 'RUNNING', {NOW}, '{{}}')"
            );
            while !over.load(Ordering::Relaxed) {
                connection.execute(&sql, []).unwrap();
                thread::sleep(A_DEATH_EVERY);
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| scope.spawn(move || beats_of(file, number, began)))
            .collect();
        let times = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        over.store(true, Ordering::Relaxed);
        times
    });
    let gone = format!(
        "DELETE FROM runs WHERE id > {} AND state = 'RUNNING'",
        1_000_000 + WRITERS
    );
    open(file).execute(&gone, []).unwrap();
    times
}

fn beats_of(file: &Path, number: u32, began: Instant) -> Vec<Duration> {
    let connection = open(file);
    let sql = format!("UPDATE runs SET last_heartbeat_at = {NOW} WHERE id = ?1");
    let mut statement = connection.prepare(&sql).unwrap();
    let mut times = Vec::new();
    for second in 1..=SECONDS {
        let due = began + Duration::from_secs(1) * second + Duration::from_secs(1) * number / WRITERS;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let began = Instant::now();
        assert_eq!(statement.execute([1_000_001 + number]).unwrap(), 1);
        times.push(began.elapsed());
    }
    times
}

/// What the probe saw.
#[derive(Default)]
struct Held {
    locks: Vec<Duration>,
    /// Between two looks at the kernel's list.
    gaps: Vec<Duration>,
    descriptors: usize,
}

/// Reads the kernel's list of locks until it is told to stop.
fn probe(file: &Path, pids: &[u32], stop: &AtomicBool) -> Held {
    let inode = fs::metadata(format!("{}-shm", file.display()))
        .unwrap()
        .ino()
        .to_string();
    let mut held = Held::default();
    let (mut before, mut since): (Instant, Option<Instant>) = (Instant::now(), None);
    while !stop.load(Ordering::Relaxed) {
        let list = fs::read_to_string("/proc/locks").unwrap();
        let now = Instant::now();
        held.gaps.push(now - before);
        let is_held = list.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_write = words.contains(&"WRITE") && words.iter().any(|word| word.ends_with(&format!(":{inode}")));
            // "120 120": the byte alone.
            is_write
                && words.ends_with(&[WRITE_LOCK, WRITE_LOCK])
                && words
                    .iter()
                    .any(|word| word.parse().is_ok_and(|pid| pids.contains(&pid)))
        });
        match (is_held, since) {
            (true, None) => since = Some(before),
            (false, Some(at)) => {
                held.locks.push(now - at);
                since = None;
            }
            _ => {}
        }
        before = now;
        if held.gaps.len() % 1_000 == 1 {
            for pid in pids {
                held.descriptors = held.descriptors.max(descriptors(*pid, file));
            }
            before = Instant::now();
        }
    }
    held
}

/// How often a process has the file open.
fn descriptors(pid: u32, file: &Path) -> usize {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter(|link| fs::read_link(link.path()).is_ok_and(|to| to == file))
        .count()
}

async fn on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.db");
    make(&file);
    let settings = folder.path().join("dog.toml");
    fs::write(&settings, configuration(file.to_str().unwrap())).unwrap();
    let files = vec![settings; REPLICAS];
    let (mut without, mut with) = (Beats::default(), Beats::default());
    let mut made = 0.0;
    tokio::task::block_in_place(|| round(&file));
    for number in 0..ROUNDS * 2 {
        let is_with = matches!(number % 4, 0 | 3);
        let running = if is_with { replicas(&files).await } else { Vec::new() };
        let times = tokio::task::block_in_place(|| round(&file));
        made += repairs(&running);
        for replica in running {
            assert!(replica.stop().success());
        }
        if is_with { &mut with } else { &mut without }.rounds.push(times);
    }
    table("SQLite, WAL, synchronous FULL", &without, &with);
    println!("{made} repairs in them");

    let running = replicas(&files).await;
    eventually("a log", Duration::from_secs(5), async || {
        Path::new(&format!("{}-shm", file.display())).exists().then_some(())
    })
    .await;
    let pids: Vec<u32> = running.iter().map(Beatwarden::id).collect();
    let stop = AtomicBool::new(false);
    let mut held = tokio::task::block_in_place(|| {
        thread::scope(|scope| {
            let probe = scope.spawn(|| probe(&file, &pids, &stop));
            round(&file);
            stop.store(true, Ordering::Relaxed);
            probe.join().unwrap()
        })
    });
    println!(
        "with the probe: {} repairs; the write lock was seen held {} times, for p50 {:.2} ms, p99 {:.2} ms, at most {:.2} ms; \
         looks {:.3} ms apart at p50, {:.3} ms at p99, {:.2} ms at most; the file open {} times at most in one replica",
        repairs(&running),
        held.locks.len(),
        percentile(&mut held.locks, 50),
        percentile(&mut held.locks, 99),
        percentile(&mut held.locks, 100),
        percentile(&mut held.gaps, 50),
        percentile(&mut held.gaps, 99),
        percentile(&mut held.gaps, 100),
        held.descriptors
    );
    for replica in running {
        assert!(replica.stop().success());
    }
}
