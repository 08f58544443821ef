//! Ten megabytes in a name, in a state and in the error column, of every row: neither memory nor a pass is lost to it.

use crate::support::{
    Session,
    beatwarden::{Beatwarden, words},
    postgres::{self},
    runs, written,
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
    Beatwarden::watch(&words(&format!("--database {url} --preset meltano --missed-first fail --poll-interval 1s --init-deadline 2s --heartbeat-timeout 2s")))
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
    let (database, client) = postgres::shared().database_with(runs::TABLE).await;
    client
        .run(
            "INSERT INTO runs (id, job_name, state, started_at, payload)
             SELECT i, repeat('name', 2500000) || i, CASE WHEN i <= 4 THEN 'RUNNING' ELSE repeat('state', 2000000) END,
                    now() AT TIME ZONE 'UTC' - interval '10 min',
                    CASE WHEN i = 1 THEN '{\"a\": \"' || repeat('x', 10000000) || '\"}' END
               FROM generate_series(1, 8) AS i",
        )
        .await;
    are_ended_within_bounds(&database.url, 4.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_in_each_text_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(include_str!("../../../src/demo/schema.sql"))
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

/// A watch over a table `jobs` with a key of this type, whose rows come from this SELECT. What ends with it is the folder of
/// its configuration.
async fn of_texts(rows: &str) -> (Beatwarden, postgres::TestDatabase, tempfile::TempDir) {
    let database = postgres::shared().database().await;
    let client = database.client().await;
    // A long key that compresses well fits the index.
    let create =
        "CREATE TABLE jobs (id text PRIMARY KEY, name text, state text, started_at timestamptz, beat timestamptz)";
    client.run(create).await;
    client.run(&format!("INSERT INTO jobs {rows}")).await;
    let configuration = format!(
        "[[watch]]\nname = \"texts\"\ndatabase = \"{}\"\npoll_interval = \"1s\"\ninit_deadline = \"4s\"\n[watch.table]\n\
         name = \"jobs\"\nid = \"id\"\njob_name = \"name\"\nstate = \"state\"\nrunning = [\"on\"]\n\
         started_at = \"started_at\"\nlast_heartbeat_at = \"beat\"\n",
        database.url
    );
    let (folder, file) = written("beatwarden.toml", configuration);
    let dog = Beatwarden::watch(&["--config", file.to_str().unwrap()]).await;
    (dog, database, folder)
}

/// Four thousand keys of 150 kilobytes, which compress to two each, and beside them one that is a key.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_too_long_are_counted_and_not_read() {
    let (dog, _database, _folder) = of_texts(
        "SELECT repeat('x', 150000) || i, 'n', 'on', now() - interval '1 hour', NULL::timestamptz FROM generate_series(1, 4000) AS i
         UNION ALL SELECT 'a key', 'n', 'on', now() - interval '1 hour', NULL::timestamptz",
    )
    .await;
    dog.metric_becomes("unreadable_jobs{watch=\"texts\"}", 4000.0, LONG)
        .await;
    dog.metric_becomes("running_jobs{phase=\"missed_first\",watch=\"texts\"}", 1.0, LONG)
        .await;
    assert_eq!(dog.metric("up{watch=\"texts\"}"), Some(1.0));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (peak, log) = (peak(&dog), dog.log());
    assert!(peak < MOST_MEMORY, "{peak} kB");
    assert_eq!(log.matches("have no key that can be used").count(), 1, "{log}");
    assert!(log.len() < 20_000, "{} bytes of log", log.len());
}

/// More than a pass may take: it says so, and the process lives on.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_take_too_much_memory_fail_the_pass_with_words() {
    let (dog, database, _folder) =
        of_texts("SELECT i::text, i || repeat('n', 990), 'on', now(), now() FROM generate_series(1, 120000) AS i")
            .await;
    dog.metric_becomes("poll_failures_total{cause=\"schema\",watch=\"texts\"}", 1.0, LONG)
        .await;
    let (peak, log) = (peak(&dog), dog.log());
    assert!(log.contains("takes more than 64 MiB"), "{log}");
    assert!(peak < 220_000, "{peak} kB");
    let fewer = "DELETE FROM jobs WHERE id::integer > 1000";
    database.client().await.run(fewer).await;
    dog.metric_becomes("up{watch=\"texts\"}", 1.0, LONG).await;
}

/// A role that may write the ledger puts megabytes into its entries, for jobs that run and for none.
#[tokio::test(flavor = "multi_thread")]
async fn megabytes_in_the_ledger_cost_no_pass_and_no_memory() {
    let (database, client) = postgres::shared().database_with(runs::TABLE).await;
    client
        .run(
            "INSERT INTO runs (id, state, started_at) SELECT i, 'RUNNING', now() AT TIME ZONE 'UTC' - interval '10 min'
               FROM generate_series(1, 2) AS i",
        )
        .await;
    are_ended_within_bounds(&database.url, 2.0).await;
    client
        .run(
            "INSERT INTO runs (id, state, started_at) VALUES (3, 'RUNNING', now() AT TIME ZONE 'UTC' - interval '10 min');
             INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at,
                                             repaired_at, before, after, version)
             SELECT gen_random_uuid(), watch, table_name, CASE WHEN i % 2 = 0 THEN '3' ELSE i::text END,
                    repeat('n', 100000), 'missed_first', 'backfill', repeat('i', 100000), started_at - interval '1 day', now(),
                    jsonb_build_object('x', repeat(i::text, 400000)), jsonb_build_object('x', repeat('x', 5000000)), version
               FROM beatwarden_repairs, generate_series(1, 200) AS i WHERE job_id = '1'",
        )
        .await;
    are_ended_within_bounds(&database.url, 1.0).await;
}
