//! SQLite: writers on threads and connections of their own, and a probe that reads who has the write lock.

use super::{
    A_DEATH_EVERY, Beats, HISTORY, REPLICAS, ROUNDS, WRITERS, configuration, percentile, repairs, replicas, seconds,
    support::{beatwarden::Beatwarden, eventually},
    table,
};
use rusqlite::Connection;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const NOW: &str = "strftime('%Y-%m-%d %H:%M:%f000', 'now')";
/// The byte of the `-shm` file that a writer locks.
const WRITE_LOCK: &str = "120";

fn open(file: &Path) -> Connection {
    let connection = Connection::open(file).unwrap();
    // As long as it takes: the longest is a figure, and no reason to end.
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    connection
}

fn make(file: &Path) {
    let connection = open(file);
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    let schema = include_str!("../../src/demo/schema.sql");
    let many =
        |count: u32| format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
    connection
        .execute_batch(&format!(
            "{schema}; CREATE INDEX runs_by_state ON runs (state);
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
    for second in 1..=seconds() {
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
    /// Between two reads of the kernel's list.
    gaps: Vec<Duration>,
    descriptors: usize,
}

/// Reads the kernel's list of locks until `stop` is set.
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

pub async fn measure() {
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
