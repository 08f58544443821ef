//! The test bed itself: does the real Meltano behave in it as the other tests take for granted, on both databases and in
//! both versions? Beatwarden has no part in it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    eventually,
    meltano::{Meltano, Place, Run, Version, WholeRow},
    postgres::{self, Cluster, connect},
};
use std::{
    io::{BufRead, BufReader, ErrorKind},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(20);

/// Signal 9, by which the patched Meltano ends itself.
const SIGKILL: i32 = 9;

/// The longest way from a start to the heartbeat that was written with it; a true one takes at least ten times as long.
const SEED: f64 = 0.005;

/// A test on both databases, with both versions.
macro_rules! everywhere {
    ($($test:ident),+ $(,)?) => {
        everywhere!(@ sqlite_3_6, Version::V3_6, Place::Sqlite, $($test),+);
        everywhere!(@ sqlite_4, Version::V4, Place::Sqlite, $($test),+);
        everywhere!(@ postgres_3_6, Version::V3_6, Place::Postgres(postgres::shared().database().await), $($test),+);
        everywhere!(@ postgres_4, Version::V4, Place::Postgres(postgres::shared().database().await), $($test),+);
    };
    (@ $name:ident, $version:expr, $place:expr, $($test:ident),+) => {
        mod $name {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() { super::$test($version, $place).await; })+
        }
    };
}

everywhere!(
    a_good_run_ends_in_success_with_a_true_beat,
    a_crash_right_after_the_first_commit_leaves_a_running_row_that_blocks_the_pipeline,
    a_job_that_blocks_its_event_loop_has_no_true_beat_meanwhile_and_ends_in_success,
    a_tap_that_fails_at_once_leaves_fail_with_a_true_beat,
    a_living_job_beats_refuses_a_second_run_and_dies_with_its_test,
);

fn column<'a>(row: &'a WholeRow, name: &str) -> Option<&'a str> {
    row[name].as_deref()
}

/// Seconds from the start to the heartbeat.
fn first_beat(row: &WholeRow) -> Option<f64> {
    let time = |name| {
        let text = column(row, name)?.replacen(' ', "T", 1);
        Some(
            text.parse::<jiff::civil::DateTime>()
                .expect("a time as Meltano writes it"),
        )
    };
    let start = time("started_at").expect("every job has a start");
    time("last_heartbeat_at").map(|beat| start.duration_until(beat).as_secs_f64())
}

/// The heartbeat is what a start leaves behind: nothing before 3.7, a seeded one since.
fn has_no_true_beat(version: Version, row: &WholeRow) -> bool {
    match version {
        Version::V3_6 => first_beat(row).is_none(),
        Version::V4 => first_beat(row).is_some_and(|seconds| seconds <= SEED),
    }
}

fn has_true_beat(row: &WholeRow) -> bool {
    first_beat(row).is_some_and(|seconds| seconds > SEED)
}

async fn a_good_run_ends_in_success_with_a_true_beat(version: Version, place: Place) {
    let meltano = Meltano::new(version, place);
    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert!(good, "{output}");
    let rows = meltano.rows().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(column(&rows[0], "state"), Some("SUCCESS"), "{output}");
    assert_eq!(column(&rows[0], "job_name"), Some("test:tap-x-to-target-x"));
    assert!(has_true_beat(&rows[0]), "{rows:?}");
    assert!(
        column(&rows[0], "payload").unwrap().contains("singer_state"),
        "the target gave the tap's state back: {rows:?}"
    );
    assert!(!meltano.user_cache().exists(), "it asked the network for something");
}

async fn a_crash_right_after_the_first_commit_leaves_a_running_row_that_blocks_the_pipeline(
    version: Version,
    place: Place,
) {
    let meltano = Meltano::new(version, place);
    let ended = meltano.start(Run::CrashesAtStart).ended().await;
    assert_eq!(ended.status.signal(), Some(SIGKILL), "{}", ended.output);
    let before = meltano.rows().await;
    assert_eq!(before.len(), 1);
    assert_eq!(column(&before[0], "state"), Some("RUNNING"));
    assert_eq!(column(&before[0], "ended_at"), None);
    assert!(has_no_true_beat(version, &before[0]), "{before:?}");

    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert!(!good && output.contains("already running"), "{output}");
    assert_eq!(meltano.rows().await, before, "a refused run changes nothing");
}

async fn a_job_that_blocks_its_event_loop_has_no_true_beat_meanwhile_and_ends_in_success(
    version: Version,
    place: Place,
) {
    const BLOCK: f64 = 2.0;
    let meltano = Meltano::new(version, place);
    let running = meltano.start(Run::Blocks(BLOCK));
    let blocked = meltano
        .row_when("a row", |row| column(row, "state") == Some("RUNNING"))
        .await;
    assert!(has_no_true_beat(version, &blocked), "{blocked:?}");
    // Beats are a second apart, so this finds the first one, and it says itself when it was written.
    let first = meltano.row_when("a true beat", has_true_beat).await;
    assert!(first_beat(&first).unwrap() >= BLOCK, "{first:?}");
    let ended = running.ended().await;
    assert!(ended.status.success(), "{}", ended.output);
    let row = meltano.rows().await.pop().unwrap();
    assert_eq!(column(&row, "state"), Some("SUCCESS"));
    assert_eq!(row["started_at"], blocked["started_at"]);
}

async fn a_tap_that_fails_at_once_leaves_fail_with_a_true_beat(version: Version, place: Place) {
    let meltano = Meltano::new(version, place);
    let (good, output) = meltano.run(Run::TapFails).await;
    assert!(!good, "{output}");
    let rows = meltano.rows().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(column(&rows[0], "state"), Some("FAIL"), "{output}");
    assert!(has_true_beat(&rows[0]), "{rows:?}");
}

async fn a_living_job_beats_refuses_a_second_run_and_dies_with_its_test(version: Version, place: Place) {
    let meltano = Meltano::new(version, place);
    let running = meltano.start(Run::Works(60.0));
    let first = meltano.row_when("a true beat", has_true_beat).await;
    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert!(!good && output.contains("already running"), "{output}");
    let later = |row: &WholeRow| row["last_heartbeat_at"] > first["last_heartbeat_at"];
    meltano.row_when("a later beat", later).await;
    let own = PathBuf::from(format!("/proc/{}", running.pid()));
    assert!(own.exists());
    drop(running);
    assert!(!own.exists(), "it outlives its test");
    let rows = meltano.rows().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(column(&rows[0], "state"), Some("RUNNING"), "a killed job can't say so");
}

/// Neither the folder nor a server is left of a cluster. A frozen server takes connections too, and never answers: so the
/// question is whether anybody listens.
async fn is_gone(folder: &Path, port: u16) {
    eventually("the end of the cluster's folder", SOON, async || {
        (!folder.exists()).then_some(())
    })
    .await;
    let answer = TcpStream::connect(("127.0.0.1", port)).await;
    let refused = answer.map_err(|error| error.kind());
    assert_eq!(
        refused.err(),
        Some(ErrorKind::ConnectionRefused),
        "its server still listens"
    );
}

#[tokio::test]
async fn a_cluster_goes_with_its_owner_even_if_it_is_frozen() {
    let cluster = Cluster::start_own();
    let (folder, port) = (cluster.folder().to_owned(), cluster.port());
    cluster.signal("STOP");
    // Elsewhere than here, since it waits for the end.
    let dropped = tokio::task::spawn_blocking(move || drop(cluster));
    tokio::time::timeout(SOON, dropped)
        .await
        .expect("the end of the cluster")
        .unwrap();
    is_gone(&folder, port).await;
}

#[tokio::test]
async fn a_cluster_that_brings_its_own_server_leaves_nothing_behind() {
    let cluster = Cluster::start_18();
    let (folder, port) = (cluster.folder().to_owned(), cluster.port());
    let client = connect(&cluster.url("postgres", "postgres")).await;
    let version = client.query_one("SHOW server_version_num", &[]).await.unwrap();
    assert!(version.get::<_, &str>(0).starts_with("18"));
    drop(cluster);
    is_gone(&folder, port).await;
}

#[tokio::test]
async fn a_cluster_goes_with_its_process_even_if_that_is_killed() {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "meltano_bed::owner_of_a_cluster", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let owned = lines.map(Result::unwrap).find_map(|line| {
        let (_, owned) = line.split_once("owner: ")?;
        let (folder, port) = owned.split_once(' ')?;
        Some((folder.to_owned(), port.to_owned()))
    });
    let (folder, port) = owned.expect("the owner prints what it owns");
    assert!(Path::new(&folder).exists());
    owner.kill().unwrap();
    owner.wait().unwrap();
    is_gone(Path::new(&folder), port.parse().unwrap()).await;
}

/// The process that the test above kills.
#[test]
#[ignore = "started by another test, which kills it"]
#[allow(clippy::print_stdout, reason = "its parent reads it")]
fn owner_of_a_cluster() {
    let cluster = postgres::shared();
    println!("owner: {} {}", cluster.folder().display(), cluster.port());
    let _ = std::io::stdin().read_line(&mut String::new());
}
