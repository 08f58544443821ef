//! Faults of a SQLite file under the real binary: locked, deleted, overwritten, on a full disk, in a folder that may not be
//! written.

use super::{REPAIRS, SOON, fails, is_reported_by_http, of_watch};
use crate::support::beatwarden::{Beatwarden, words};
use rusqlite::Connection;
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Time for the longest wait between two attempts.
const BACK: Duration = Duration::from_secs(60);

const DEAD_JOB: &str = "INSERT INTO runs (job_name, state, started_at)
    VALUES ('job', 'RUNNING', strftime('%Y-%m-%d %H:%M:%f000', 'now', '-600 seconds'))";

fn make(path: &Path, journal: &str) {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", journal).unwrap();
    connection
        .execute_batch(include_str!("../../../src/demo/schema.sql"))
        .unwrap();
}

async fn watch(path: &Path) -> Beatwarden {
    Beatwarden::watch(&words(&format!(
        "--database {} --preset meltano --poll-interval 200ms --init-deadline 1s",
        path.to_str().unwrap()
    )))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_locked_for_long_is_reported_and_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    make(&path, "delete");
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch(DEAD_JOB).unwrap();
    let dog = watch(&path).await;
    dog.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    writer.busy_timeout(SOON).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    fails(&dog, "locked", 2.0).await;
    is_reported_by_http(&dog).await;
    writer.execute_batch("COMMIT").unwrap();
    dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
    dog.metric_becomes(REPAIRS, 1.0, BACK).await;
}

/// A log of writes lets readers pass: only the repair waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_write_lock_is_held_for_long_is_watched_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    make(&path, "wal");
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch(DEAD_JOB).unwrap();
    writer
        .execute_batch("BEGIN IMMEDIATE; UPDATE runs SET payload = 'w'")
        .unwrap();
    let dog = watch(&path).await;
    dog.metric_becomes("withheld_repairs{cause=\"locked\",watch=\"meltano\"}", 1.0, SOON)
        .await;
    assert_eq!(dog.metric(&of_watch("up")), Some(1.0));
    writer.execute_batch("ROLLBACK").unwrap();
    dog.metric_becomes(REPAIRS, 1.0, BACK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_deleted_or_overwritten_is_reported_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    make(&path, "delete");
    Connection::open(&path).unwrap().execute_batch(DEAD_JOB).unwrap();
    let good = fs::read(&path).unwrap();
    let dog = watch(&path).await;
    dog.metric_becomes(REPAIRS, 1.0, SOON).await;
    // The same file, with other bytes behind its header, whose counter shows that there was a change.
    let mut bad = fs::read(&path).unwrap();
    bad[24] ^= 0xff;
    bad[100..].fill(0x5a);
    fs::write(&path, &bad).unwrap();
    fails(&dog, "query", 2.0).await;
    assert!(dog.log().contains("malformed"), "{}", dog.log());
    is_reported_by_http(&dog).await;
    fs::write(&path, &good).unwrap();
    dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
    fs::remove_file(&path).unwrap();
    fails(&dog, "connect", 2.0).await;
    assert!(dog.log().contains("check the path"), "{}", dog.log());
    is_reported_by_http(&dog).await;
    assert!(!path.exists(), "nothing is made in its place");
    fs::write(&path, &good).unwrap();
    dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
    // The job is there again as before its repair, in another file: it is watched again, and repaired there.
    dog.metric_becomes(REPAIRS, 2.0, BACK).await;
}

/// A disk of a megabyte, in memory; it goes with this value.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Self {
        fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(&at)
            .status()
            .unwrap();
        assert!(
            mounted.success(),
            "a small disk takes the rights to mount one: run the tests as root"
        );
        Self(at)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_repairs_waiting_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for journal in ["wal", "delete"] {
        let disk = Disk::mount(folder.path().join(journal));
        let path = disk.0.join("jobs.db");
        make(&path, journal);
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch(DEAD_JOB).unwrap();
        // Whatever was left; what can't be written any more is no part of the ballast.
        let ballast = disk.0.join("ballast");
        let _ = fs::write(&ballast, vec![0; 2_000_000]);
        let dog = watch(&path).await;
        dog.metric_becomes("withheld_repairs{cause=\"no_ledger\",watch=\"meltano\"}", 1.0, SOON)
            .await;
        let said = dog.log();
        assert!(said.contains("full") || said.contains("disk I/O error"), "{said}");
        assert_eq!(
            dog.metric(&of_watch("up")),
            Some(1.0),
            "{journal}: it is read all the same"
        );
        fs::remove_file(&ballast).unwrap();
        dog.metric_becomes(REPAIRS, 1.0, BACK).await;
        let counts =
            "SELECT (SELECT count(*) FROM runs WHERE last_heartbeat_at IS NOT NULL), count(*) FROM beatwarden_repairs";
        let counts = writer.query_row(counts, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
        assert_eq!(counts.unwrap(), (1, 1), "{journal}");
    }
}

/// Readers of a log of writes share a file beside it, which someone has to make: a user who can't reads while no one has the
/// file open, and says why afterwards.
#[test]
fn a_file_in_a_folder_that_may_not_be_written_is_read_while_no_one_has_it_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    make(&path, "wal");
    // Root may write whatever the mode says, and no one else can reach the folder that this test's binary was built in.
    let binary = folder.path().join("beatwarden");
    fs::copy(env!("CARGO_BIN_EXE_beatwarden"), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let mut status = Command::new(&binary);
    status
        .current_dir("/")
        .env_clear()
        .args(["status", "--preset", "meltano"]);
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if is_root {
        status.uid(65_534).gid(65_534);
    }
    status.args(["--listen", "127.0.0.1:0"]);
    let said = |output: &std::process::Output| {
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
    };
    status.arg("--database").arg(&path);
    let idle = status.output().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(idle.status.code(), Some(0), "{}", said(&idle));
    if !is_root {
        return;
    }
    let writer = rusqlite::Connection::open(&path).unwrap();
    writer
        .query_row("SELECT count(*) FROM runs", [], |row| row.get::<_, i64>(0))
        .unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let open = status.output().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(open.status.code(), Some(1), "{}", said(&open));
    assert!(said(&open).contains("run Beatwarden as user 0"), "{}", said(&open));
}
