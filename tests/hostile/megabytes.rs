//! Ten megabytes in a name, in a state and in the error column, of every row: neither memory nor a pass is lost to it.

use crate::support::{
    beatwarden::Beatwarden,
    postgres::{self},
};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);
/// What a watch may take, in kilobytes; one name of ten megabytes read in every row would be many times that.
const MOST_MEMORY: u64 = 120_000;

const REPAIRED: &str = "repairs_total{action=\"fail\",reason=\"missed_first\",watch=\"meltano\"}";

/// The most memory that a process has taken so far, in kilobytes.
fn peak(dog: &Beatwarden) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", dog.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn watch(url: &str) -> Beatwarden {
    Beatwarden::watch(&[
        "--database",
        url,
        "--preset",
        "meltano",
        "--missed-first",
        "fail",
        "--poll-interval",
        "1s",
        "--init-deadline",
        "2s",
        "--heartbeat-timeout",
        "2s",
    ])
    .await
}

async fn are_ended_within_bounds(url: &str, jobs: f64) {
    let dog = watch(url).await;
    let ended = tokio::time::timeout(LONG, async {
        while dog.metric(REPAIRED) != Some(jobs) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(ended.await.is_ok(), "not ended: {}", dog.log());
    let failed = dog.log().contains("could not be read");
    assert!(!failed, "{}", dog.log());
    let peak = peak(&dog);
    assert!(peak < MOST_MEMORY, "{peak} kB");
}

/// Four dead jobs, and as many rows in states that no list names.
#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_in_each_text_on_postgresql() {
    let database = postgres::shared().database().await;
    let client = database.client().await;
    client
        .batch_execute(
            "CREATE TABLE runs (id integer PRIMARY KEY, job_name varchar, state varchar, started_at timestamp,
                ended_at timestamp, payload varchar, payload_flags integer, run_id uuid, trigger varchar,
                last_heartbeat_at timestamp);
             INSERT INTO runs (id, job_name, state, started_at, payload)
             SELECT i, repeat('name', 2500000) || i, CASE WHEN i <= 4 THEN 'RUNNING' ELSE repeat('state', 2000000) END,
                    now() AT TIME ZONE 'UTC' - interval '10 min',
                    CASE WHEN i = 1 THEN '{\"a\": \"' || repeat('x', 10000000) || '\"}' END
               FROM generate_series(1, 8) AS i",
        )
        .await
        .unwrap();
    are_ended_within_bounds(&database.url, 4.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_in_each_text_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(include_str!("../../src/demo/schema.sql"))
        .unwrap();
    connection
        .execute_batch(
            "INSERT INTO runs (id, job_name, state, started_at, payload)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8),
                  long (text) AS (SELECT replace(hex(zeroblob(5000000)), '0', 'x'))
             SELECT i, (SELECT text FROM long) || i, CASE WHEN i <= 4 THEN 'RUNNING' ELSE (SELECT text FROM long) END,
                    strftime('%Y-%m-%d %H:%M:%f000', 'now', '-600 seconds'), '{\"a\": \"' || (SELECT text FROM long) || '\"}'
               FROM n",
        )
        .unwrap();
    drop(connection);
    are_ended_within_bounds(path.to_str().unwrap(), 4.0).await;
}
