//! Faults of the database, with the real binary on a server of its own: never silently blind, never twice, and back by
//! itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod files;
mod holders;
mod log;

use crate::support::{
    Session,
    beatwarden::{Beatwarden, failures, of_watch},
    eventually, http,
    postgres::{Cluster, TestDatabase},
    runs::TABLE,
    written,
};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

const DEAD_JOB: &str = "INSERT INTO runs (id, job_name, state, started_at)
    VALUES ((SELECT coalesce(max(id), 0) + 1 FROM runs), 'job', 'RUNNING', now() AT TIME ZONE 'UTC' - interval '10 min')";

async fn watch(database: &TestDatabase) -> Beatwarden {
    let configuration = format!(
        "[[watch]]\ndatabase = \"{}\"\npreset = \"meltano\"\npoll_interval = \"200ms\"\npoll_timeout = \"2s\"\n\
         init_deadline = \"2s\"\nheartbeat_timeout = \"5s\"\n",
        database.url
    );
    let (_folder, file) = written("beatwarden.toml", configuration);
    Beatwarden::watch(&["--config", file.to_str().unwrap()]).await
}

/// While the database does not answer: everything over HTTP does, and the age of the last good pass rises. How soon it does
/// is measured by `tests/system/blind.rs`.
async fn is_reported_by_http(dog: &Beatwarden) {
    // Ready for three intervals more: so old may the last good pass be.
    eventually("not ready", SOON, async || {
        (http::get(dog.address, "/-/ready").status == 503).then_some(())
    })
    .await;
    let last_good = || dog.metric(&of_watch("last_successful_poll_timestamp_seconds"));
    let before = last_good();
    for (path, status) in [
        ("/-/healthy", 200),
        ("/-/ready", 503),
        ("/metrics", 200),
        ("/", 200),
        ("/api/v1/status", 200),
    ] {
        assert_eq!(http::get(dog.address, path).status, status, "{path}");
    }
    assert_eq!(dog.metric(&of_watch("up")), Some(0.0));
    assert_eq!(last_good(), before, "no good pass meanwhile");
}

/// Waits for failed polls of a cause, so many more than there were.
async fn fails(dog: &Beatwarden, cause: &str, times: f64) {
    let before = dog.metric(&failures(cause)).unwrap_or_default();
    let until = Instant::now() + SOON;
    while dog.metric(&failures(cause)) < Some(before + times) {
        assert!(Instant::now() < until, "not {times} failures by {cause}: {}", dog.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const REPAIRS: &str = "repairs_total{action=\"backfill\",reason=\"missed_first\",watch=\"meltano\"}";

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_noticed_within_the_deadline_and_http_continues() {
    let cluster = Cluster::start_own();
    let database = cluster.database().await;
    database.client().await.run(TABLE).await;
    let dog = watch(&database).await;
    dog.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    cluster.signal("STOP");
    dog.metric_becomes(&of_watch("up"), 0.0, Duration::from_secs(10)).await;
    fails(&dog, "timeout", 1.0).await;
    is_reported_by_http(&dog).await;
    cluster.signal("CONT");
    dog.metric_becomes(&of_watch("up"), 1.0, Duration::from_secs(30)).await;
    assert!(dog.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_is_a_failure_with_its_cause_and_no_queue_behind_us() {
    let cluster = Cluster::start_own();
    let (database, holder) = cluster.database_with(TABLE).await;
    let dog = watch(&database).await;
    dog.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    holder.run("BEGIN; LOCK TABLE runs IN ACCESS EXCLUSIVE MODE").await;
    // Also the passes that begin with a new connection, and with the question for the plan, name the cause.
    fails(&dog, "locked", 3.0).await;
    is_reported_by_http(&dog).await;
    assert_eq!(dog.metric(&failures("timeout")), Some(0.0), "{}", dog.log());
    // None of us stands in the queue for longer than a pass.
    let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'runs'::regclass AND NOT granted";
    let queue: i64 = holder.query_one(waiting, &[]).await.unwrap().get(0);
    assert!(queue <= 1, "{queue} in the queue");
    holder.run("ROLLBACK").await;
    dog.metric_becomes(&of_watch("up"), 1.0, Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_ledger_is_a_failure_with_its_cause_and_repairs_come_after_it() {
    let cluster = Cluster::start_own();
    let (database, holder) = cluster.database_with(TABLE).await;
    let dog = watch(&database).await;
    holder.run(DEAD_JOB).await;
    dog.metric_becomes(REPAIRS, 1.0, SOON).await;
    holder
        .run("BEGIN; LOCK TABLE beatwarden_repairs IN ACCESS EXCLUSIVE MODE")
        .await;
    database.client().await.run(DEAD_JOB).await;
    fails(&dog, "locked", 2.0).await;
    is_reported_by_http(&dog).await;
    holder.run("ROLLBACK").await;
    dog.metric_becomes(REPAIRS, 2.0, Duration::from_secs(40)).await;
    assert_eq!(dog.metric(&of_watch("up")), Some(1.0));
}

/// The ledger is made again where someone dropped it, however old the connection is.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_ledger_is_made_again_through_an_old_connection() {
    let cluster = Cluster::start_own();
    let (database, client) = cluster.database_with(TABLE).await;
    let dog = watch(&database).await;
    client.run(DEAD_JOB).await;
    dog.metric_becomes(REPAIRS, 1.0, SOON).await;
    // Longer than the deadline of anything that was asked through it.
    let polls = dog.metric(&of_watch("polls_total")).unwrap();
    eventually("3 seconds of polls", SOON, async || {
        (dog.metric(&of_watch("polls_total")) >= Some(polls + 15.0)).then_some(())
    })
    .await;
    client.run("DROP TABLE beatwarden_repairs").await;
    client.run(DEAD_JOB).await;
    dog.metric_becomes(REPAIRS, 2.0, SOON).await;
    assert_eq!(
        dog.metric(&of_watch("repair_failures_total")),
        Some(0.0),
        "{}",
        dog.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_are_full_when_a_repair_is_due_keep_the_passes_going() {
    let cluster = Cluster::start_with("max_connections = 8\nsuperuser_reserved_connections = 0\n");
    let (database, client) = cluster.database_with(TABLE).await;
    let dog = watch(&database).await;
    dog.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    let mut held = Vec::new();
    while let Ok((client, connection)) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await {
        held.push((client, tokio::spawn(connection)));
        assert!(held.len() < 20);
    }
    client.run(DEAD_JOB).await;
    eventually("a repair that finds no slot", SOON, async || {
        (dog.metric(&of_watch("repair_failures_total")) >= Some(2.0)).then_some(())
    })
    .await;
    assert!(dog.log().contains("53300"), "{}", dog.log());
    assert_eq!(dog.metric(&of_watch("up")), Some(1.0));
    held.clear();
    dog.metric_becomes(REPAIRS, 1.0, SOON).await;
    let ours =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'beatwarden' AND datname = current_database()";
    assert!(client.query_one(ours, &[]).await.unwrap().get::<_, i64>(0) <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_is_named_and_found_when_it_appears() {
    let cluster = Cluster::start_own();
    let database = cluster.database().await;
    let client = database.client().await;
    let dog = watch(&database).await;
    eventually("a schema failure", SOON, async || {
        (dog.metric(&failures("schema")) >= Some(1.0)).then_some(())
    })
    .await;
    assert!(dog.log().contains("table `runs` not found"), "{}", dog.log());
    client.run(TABLE).await;
    dog.metric_becomes(&of_watch("up"), 1.0, Duration::from_secs(60)).await;
    // A column that is dropped while we watch, and comes back.
    client.run("ALTER TABLE runs RENAME COLUMN state TO status").await;
    dog.metric_becomes(&of_watch("up"), 0.0, SOON).await;
    dog.says("did you mean `status`?", SOON).await;
    client.run("ALTER TABLE runs RENAME COLUMN status TO state").await;
    dog.metric_becomes(&of_watch("up"), 1.0, Duration::from_secs(60)).await;
}

/// A COMMIT that waits for a standby that is away: the server has committed and says so to no one.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_looked_up_and_counted_once() {
    let cluster = Cluster::start_own();
    let (database, client) = cluster.database_with(TABLE).await;
    let dog = watch(&database).await;
    // The first repair makes the ledger while commits still return.
    client.run(DEAD_JOB).await;
    dog.metric_becomes(REPAIRS, 1.0, SOON).await;
    client.run(DEAD_JOB).await;
    client.run("ALTER SYSTEM SET synchronous_standby_names = 'away'").await;
    client.run("SELECT pg_reload_conf()").await;
    dog.says("the answer to a repair is missing", SOON).await;
    client.run("ALTER SYSTEM RESET synchronous_standby_names").await;
    client.run("SELECT pg_reload_conf()").await;
    dog.metric_becomes(REPAIRS, 2.0, Duration::from_secs(40)).await;
    client.run(DEAD_JOB).await;
    dog.metric_becomes(REPAIRS, 3.0, SOON).await;
    let counts = "SELECT (SELECT count(*) FROM runs WHERE last_heartbeat_at = started_at), (SELECT count(*) FROM beatwarden_repairs)";
    let row = client.query_one(counts, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (3, 3));
    assert_eq!(dog.metric(&of_watch("repair_failures_total")), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_backends_cost_a_pass_and_no_repair() {
    let cluster = Cluster::start_own();
    let (database, client) = cluster.database_with(TABLE).await;
    let dog = watch(&database).await;
    for _ in 0..30 {
        client.run(DEAD_JOB).await;
    }
    let ours = "application_name = 'beatwarden' AND datname = current_database()";
    let deadline = Instant::now() + Duration::from_secs(8);
    let mut most = 0;
    while Instant::now() < deadline {
        let count = format!("SELECT count(*) FROM pg_stat_activity WHERE {ours}");
        most = most.max(client.query_one(&count, &[]).await.unwrap().get::<_, i64>(0));
        let kill =
            format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {ours} AND random() < 0.3");
        client.query_one(&kill, &[]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert!(most <= 2, "{most} connections at once");
    eventually("all repaired", Duration::from_secs(60), async || {
        let count = "SELECT count(*) FROM runs WHERE last_heartbeat_at IS NULL";
        (client.query_one(count, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    let counts =
        "SELECT (SELECT count(*) FROM beatwarden_repairs), (SELECT count(DISTINCT job_id) FROM beatwarden_repairs)";
    let row = client.query_one(counts, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (30, 30));
    dog.metric_becomes(REPAIRS, 30.0, SOON).await;
}
