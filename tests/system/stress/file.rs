//! The file's side: replicas on one SQLite file, writers on connections of their own, and what goes wrong with both.
#![allow(
    clippy::disallowed_methods,
    reason = "each writer has a thread of its own to sleep on"
)]

use super::{
    DEADLINE, Faults, NOTED_WITHIN, PATIENCE, REPLICAS, WRITERS, file_judge,
    kind::Kind,
    replica, turn, what_they_say,
    writer::{Course, Jobs},
};
use crate::support::{beatwarden::Beatwarden, eventually};
use rusqlite::{Connection, TransactionBehavior};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    ReplicaKilled,
    AllReplicasKilled,
    ReplicaFrozen,
    WriteLockHeld,
    WriterGoneInItsTransaction,
    ReaderHoldsASnapshot,
    LogTruncated,
}

/// More often what takes little time, and what meets a repair rarely.
const FAULTS: &[Fault] = &[
    Fault::ReplicaKilled,
    Fault::ReplicaKilled,
    Fault::ReplicaKilled,
    Fault::AllReplicasKilled,
    Fault::ReplicaFrozen,
    Fault::ReplicaFrozen,
    Fault::WriteLockHeld,
    Fault::WriteLockHeld,
    Fault::WriterGoneInItsTransaction,
    Fault::ReaderHoldsASnapshot,
    Fault::LogTruncated,
];

/// A connection as a writer has it.
fn open(file: &Path) -> Connection {
    let connection = Connection::open(file).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection.pragma_update(None, "foreign_keys", true).unwrap();
    connection
}

/// Runs a statement that changes something, in a transaction that bears the writer's name. Returns the key that it returns.
fn write(connection: &mut Connection, statement: &str, id: Option<i32>) -> rusqlite::Result<Option<i32>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("UPDATE hand SET who = 'writer'", [])?;
    let returned = {
        let mut prepared = transaction.prepare_cached(statement)?;
        let mut rows = match id {
            Some(id) => prepared.query([id])?,
            None => prepared.query([])?,
        };
        rows.next()?.map(|row| row.get(0)).transpose()?
    };
    transaction.execute("UPDATE hand SET who = 'dog'", [])?;
    transaction.commit()?;
    Ok(returned)
}

const NOW: &str = "strftime('%Y-%m-%d %H:%M:%f000', 'now')";

/// One job from its start to its end. An error ends it as it stands, as it would end Meltano.
fn one(connection: &mut Connection, jobs: &Jobs, kind: Kind) -> rusqlite::Result<()> {
    let start = format!(
        "INSERT INTO runs (job_name, state, started_at, payload) VALUES ('job', 'RUNNING', {NOW}, '{{}}') RETURNING id"
    );
    let id = write(connection, &start, None)?.unwrap();
    let course = jobs.draw(id, kind);
    let Some(first) = course.first else {
        pause(0..500);
        return Ok(());
    };
    thread::sleep(first);
    if kind == Kind::Elsewhere {
        return beat_elsewhere(connection, jobs, id, &course);
    }
    for _ in 0..course.beats {
        let beat = format!("UPDATE runs SET last_heartbeat_at = {NOW} WHERE id = ?1");
        write(connection, &beat, Some(id))?;
        pause(100..400);
    }
    end(connection, jobs, id)
}

fn end(connection: &mut Connection, jobs: &Jobs, id: i32) -> rusqlite::Result<()> {
    let end = format!("UPDATE runs SET state = 'SUCCESS', ended_at = {NOW} WHERE id = ?1");
    write(connection, &end, Some(id))?;
    jobs.finished.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Beats by rows of the other table, and ends or deletes the job.
fn beat_elsewhere(connection: &mut Connection, jobs: &Jobs, id: i32, course: &Course) -> rusqlite::Result<()> {
    write(connection, &format!("INSERT INTO beats VALUES (?1, {NOW})"), Some(id))?;
    for _ in 0..course.beats {
        pause(100..400);
        write(
            connection,
            &format!("UPDATE beats SET at = {NOW} WHERE job = ?1"),
            Some(id),
        )?;
    }
    if !course.deletes {
        return end(connection, jobs, id);
    }
    write(connection, "DELETE FROM runs WHERE id = ?1", Some(id))?;
    jobs.deleted.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn pause(milliseconds: std::ops::Range<u64>) {
    thread::sleep(Duration::from_millis(fastrand::u64(milliseconds)));
}

/// A file with the tables, the ledger that a first repair has made, and the audit.
async fn prepare(folder: &Path, kind: Kind) -> (PathBuf, PathBuf) {
    let file = folder.join("jobs.db");
    let connection = open(&file);
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.execute_batch(file_judge::TABLES).unwrap();
    connection.execute_batch(kind.tables_of_a_file()).unwrap();
    let settings = folder.join("dog.toml");
    std::fs::write(&settings, kind.configuration(file.to_str().unwrap())).unwrap();
    let start =
        "INSERT INTO runs (id, job_name, state, started_at) VALUES (1, 'job', 'RUNNING', datetime('now', '-1 hour'))";
    connection.execute(start, []).unwrap();
    let first = replica(&settings).await;
    eventually("the first repair", Duration::from_secs(30), async || {
        let sql = "SELECT count(*) FROM runs WHERE state = 'FAIL'";
        (connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() == 1).then_some(())
    })
    .await;
    assert!(first.stop().success());
    connection
        .execute_batch("DELETE FROM runs; DELETE FROM beatwarden_repairs")
        .unwrap();
    file_judge::begin(&connection, kind);
    (file, settings)
}

struct Site {
    file: PathBuf,
    settings: PathBuf,
    replicas: Vec<Option<Beatwarden>>,
}

impl Site {
    async fn revive(&mut self, which: usize) {
        self.replicas[which].take().unwrap().kill();
        self.replicas[which] = Some(replica(&self.settings).await);
    }

    /// One fault, from its beginning to its end.
    async fn strike(&mut self, fault: Fault) {
        let which = fastrand::usize(..self.replicas.len());
        let takes = Duration::from_millis(fastrand::u64(200..4_000));
        match fault {
            Fault::ReplicaKilled => self.revive(which).await,
            Fault::AllReplicasKilled => {
                for which in 0..self.replicas.len() {
                    self.revive(which).await;
                }
            }
            Fault::ReplicaFrozen => {
                self.replicas[which].as_ref().unwrap().signal("STOP");
                tokio::time::sleep(takes).await;
                self.replicas[which].as_ref().unwrap().signal("CONT");
            }
            Fault::WriteLockHeld | Fault::WriterGoneInItsTransaction => {
                let connection = open(&self.file);
                let begun = connection.execute_batch("BEGIN IMMEDIATE");
                if fault == Fault::WriterGoneInItsTransaction && begun.is_ok() {
                    // Its changes go with it.
                    connection
                        .execute_batch("UPDATE runs SET state = 'SUCCESS', last_heartbeat_at = started_at")
                        .unwrap();
                }
                tokio::time::sleep(takes).await;
            }
            Fault::ReaderHoldsASnapshot => {
                let connection = open(&self.file);
                connection.execute_batch("BEGIN; SELECT count(*) FROM runs").unwrap();
                tokio::time::sleep(takes).await;
            }
            Fault::LogTruncated => {
                // Busy writers may keep it from its end; that it was tried is enough.
                let _ = open(&self.file).query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            }
        }
    }
}

/// The operator: acknowledges each false repair, so that the fuse does not hold for the rest of the run.
fn acknowledge(file: &Path, stopped: &AtomicBool) {
    let mut connection = open(file);
    while !stopped.load(Ordering::Relaxed) {
        let sql = "UPDATE beatwarden_repairs SET acknowledged_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE outcome = 'false_repair' AND acknowledged_at IS NULL";
        // A writer that finds the file locked comes back.
        let _ = write(&mut connection, sql, None);
        pause(200..201);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_violation_under_faults_of_a_file() {
    no_violation(Kind::Meltano).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_violation_with_heartbeats_in_another_table_of_a_file() {
    no_violation(Kind::Elsewhere).await;
}

static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn no_violation(kind: Kind) {
    let _turn = turn(&TURN).await;
    let folder = tempfile::tempdir().unwrap();
    let (file, settings) = prepare(folder.path(), kind).await;
    let mut site = Site {
        file: file.clone(),
        settings: settings.clone(),
        replicas: Vec::new(),
    };
    for _ in 0..REPLICAS {
        site.replicas.push(Some(replica(&settings).await));
    }
    let jobs = Arc::new(Jobs::default());
    let (stopped, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (file, jobs, stopped) = (file.clone(), jobs.clone(), stopped.clone());
            thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    let mut connection = open(&file);
                    while !stopped.load(Ordering::Relaxed) && one(&mut connection, &jobs, kind).is_ok() {}
                }
            })
        })
        .collect();
    let operator = {
        let (file, over) = (file.clone(), over.clone());
        thread::spawn(move || acknowledge(&file, &over))
    };
    let mut faults = Faults::new(FAULTS, kind);
    while let Some(fault) = faults.next().await {
        site.strike(fault).await;
    }
    stopped.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().unwrap();
    }
    let connection = open(&file);
    let dead = jobs.dead();
    let until = Instant::now() + PATIENCE;
    loop {
        let mut statement = connection
            .prepare("SELECT id FROM runs WHERE state = 'RUNNING'")
            .unwrap();
        let running: BTreeSet<i32> = statement.query_map([], |row| row.get(0)).unwrap().flatten().collect();
        let left: Vec<_> = dead.iter().filter(|id| running.contains(id)).collect();
        if left.is_empty() {
            break;
        }
        assert!(
            Instant::now() < until,
            "dead and not failed: {left:?}\n{}",
            what_they_say(&site.replicas)
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A false repair may still be on its way into the ledger. Nothing else that is wrong ever becomes right.
    let until = Instant::now() + NOTED_WITHIN;
    let verdict = loop {
        let verdict = file_judge::judge(&connection, kind);
        if verdict.violations.is_empty() || Instant::now() > until {
            break verdict;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    over.store(true, Ordering::Relaxed);
    operator.join().unwrap();
    let counts = format!("{} {:?}", faults.count(), faults.counts);
    verdict.print("SQLite", kind, &jobs, &counts);
    for replica in site.replicas.drain(..) {
        assert!(replica.unwrap().stop().success());
    }
}

/// The judge is shown a right repair, and then every kind of wrong change.
#[tokio::test]
async fn the_judge_of_a_file_reports_wrong_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = prepare(folder.path(), Kind::Meltano).await;
    let mut writer = open(&file);
    let dog = open(&file);
    let since = format!(
        "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-{} seconds')",
        DEADLINE.as_secs() + 10
    );
    let fail = |id: u32| format!("UPDATE runs SET state = 'FAIL' WHERE id = {id}");
    let enter = |id: u32| {
        format!(
            "INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, reason, action, instance, repaired_at, before,
             after, version) VALUES (hex(randomblob(16)), 'w', 'runs', '{id}', 'missed_first', 'fail', 'me', datetime('now'), '{{}}', '{{}}', 2)"
        )
    };
    let repair = |id: u32| format!("BEGIN IMMEDIATE; {}; {}; COMMIT", fail(id), enter(id));
    for id in 1..9 {
        let start =
            format!("INSERT INTO runs (id, job_name, state, started_at) VALUES ({id}, 'job', 'RUNNING', {since})");
        write(&mut writer, &start, None).unwrap();
    }
    dog.execute_batch(&repair(1)).unwrap();
    assert_eq!(file_judge::judge(&dog, Kind::Meltano).kinds(), [].into());

    // Entry and change in transactions of their own, between which another process writes; another column; a row that beat.
    let beat = |id: u32| format!("UPDATE runs SET last_heartbeat_at = {NOW} WHERE id = {id}");
    dog.execute_batch(&fail(2)).unwrap();
    write(&mut writer, &beat(3), None).unwrap();
    dog.execute_batch(&enter(2)).unwrap();
    dog.execute_batch("UPDATE runs SET job_name = 'mine' WHERE id = 3")
        .unwrap();
    write(&mut writer, &beat(4), None).unwrap();
    dog.execute_batch(&repair(4)).unwrap();
    // An entry that is changed, one incident twice, and a false repair that none can be.
    dog.execute_batch("UPDATE beatwarden_repairs SET after = '{\"state\": 1}' WHERE job_id = '1'")
        .unwrap();
    dog.execute_batch(&repair(5)).unwrap();
    write(&mut writer, "UPDATE runs SET state = 'RUNNING' WHERE id = 5", None).unwrap();
    dog.execute_batch(&repair(5)).unwrap();
    dog.execute_batch("UPDATE beatwarden_repairs SET outcome = 'false_repair' WHERE job_id = '1'")
        .unwrap();
    // A beat in time, by the file's clock, of a job that is failed all the same.
    let start = format!("INSERT INTO runs (id, job_name, state, started_at) VALUES (20, 'job', 'RUNNING', {NOW})");
    write(&mut writer, &start, None).unwrap();
    write(&mut writer, &beat(20), None).unwrap();
    dog.execute_batch(&repair(20)).unwrap();
    let questions = Kind::Meltano.questions_of_a_file();
    let meanings = questions.iter().map(|(meaning, _)| *meaning).collect();
    assert_eq!(file_judge::judge(&dog, Kind::Meltano).kinds(), meanings);
}

/// What the other table has of its own, shown to the judge: first what is right, then every kind of wrong change.
#[tokio::test]
async fn the_judge_of_another_table_of_a_file_reports_wrong_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = prepare(folder.path(), Kind::Elsewhere).await;
    let mut writer = open(&file);
    let dog = open(&file);
    let start = |id: u32| {
        format!(
            "INSERT INTO runs (id, job_name, state, started_at) VALUES ({id}, 'job', 'RUNNING',
             strftime('%Y-%m-%d %H:%M:%f000', 'now', '-10 seconds'))"
        )
    };
    let beat = |id: u32| format!("INSERT INTO beats VALUES ({id}, {NOW})");
    let fail = |id: u32| {
        format!(
            "BEGIN IMMEDIATE; UPDATE runs SET state = 'FAIL' WHERE id = {id};
             INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, reason, action, instance, repaired_at, before,
             after, version) VALUES (hex(randomblob(16)), 'w', 'runs', '{id}', 'missed_first', 'fail', 'me', datetime('now'),
             '{{}}', '{{}}', 2); COMMIT"
        )
    };
    let noted = |id: u32| format!("UPDATE beatwarden_repairs SET outcome = 'false_repair' WHERE job_id = '{id}'");
    for id in 1..4 {
        write(&mut writer, &start(id), None).unwrap();
    }
    dog.execute_batch(&fail(1)).unwrap();
    dog.execute_batch(&fail(2)).unwrap();
    write(&mut writer, &beat(2), None).unwrap();
    dog.execute_batch(&noted(2)).unwrap();
    assert_eq!(file_judge::judge(&dog, Kind::Elsewhere).kinds(), [].into());

    write(&mut writer, &beat(3), None).unwrap();
    dog.execute_batch(&fail(3)).unwrap();
    dog.execute_batch("UPDATE beats SET at = started_at FROM runs WHERE job = id AND job = 3")
        .unwrap();
    dog.execute_batch(&noted(1)).unwrap();
    let meanings = file_judge::OF_BEATS.iter().map(|(meaning, _)| *meaning).collect();
    assert_eq!(file_judge::judge(&dog, Kind::Elsewhere).kinds(), meanings);
}
