//! Repairs that another session keeps waiting: said with who that is, once, by log, `explain` and `check`.

use super::{DEAD_JOB, REPAIRS, SOON, TABLE, watch};
use crate::support::{
    Session,
    beatwarden::{Beatwarden, run},
    eventually,
    postgres::{Cluster, TestDatabase},
};

const GATE: &str = "SELECT pg_advisory_lock(1111834964, 'runs'::regclass::oid::int)";

/// A database with a job that was repaired, so that there is a ledger, and the watch that repaired it.
async fn repaired(cluster: &Cluster) -> (TestDatabase, Beatwarden) {
    let (database, client) = cluster.database_with(TABLE).await;
    client.run(DEAD_JOB).await;
    let dog = watch(&database).await;
    dog.metric_becomes(REPAIRS, 1.0, SOON).await;
    (database, dog)
}

/// The warning, once it is there, and that it is the only one ten passes later.
async fn warned(dog: &Beatwarden) -> String {
    let words = "kept waiting by another session";
    let line = || dog.log().lines().find(|line| line.contains(words)).map(str::to_owned);
    let line = eventually("the warning", SOON, async || line()).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(dog.log().matches(words).count(), 1, "{}", dog.log());
    line
}

fn examined(database: &TestDatabase, dog: &Beatwarden, command: &[&str]) -> String {
    let listen = dog.address.to_string();
    let of = ["--database", &database.url, "--preset", "meltano", "--listen", &listen];
    let (_, said, errors) = run(&[command, &of].concat());
    said + &errors
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_holds_the_gate_is_named() {
    let cluster = Cluster::start_own();
    let (database, dog) = repaired(&cluster).await;
    let client = database.client().await;
    client.run("CREATE ROLE mallory LOGIN").await;
    let url = database.url.replace("postgres@", "mallory@") + "?application_name=quiet%20cat";
    assert!(url.contains("mallory"), "{url}");
    let stranger = crate::support::postgres::connect(&url).await;
    stranger.run(GATE).await;
    let pid: i32 = stranger.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    client.run(DEAD_JOB).await;
    let line = warned(&dog).await;
    for part in [
        "gate",
        &format!("pid={pid}"),
        "role=\"mallory\"",
        "application=\"quiet cat\"",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let withheld = "withheld_repairs{cause=\"not_leader\",watch=\"meltano\"}";
    dog.metric_becomes(withheld, 1.0, SOON).await;
    let said = examined(&database, &dog, &["explain", "2"]);
    assert!(said.contains(&format!("session {pid} (role mallory")), "{said}");
    let said = examined(&database, &dog, &["check"]);
    assert!(
        said.contains(&format!("FAIL not_leader: session {pid} (role mallory")),
        "{said}"
    );
    drop(stranger);
    dog.metric_becomes(REPAIRS, 2.0, SOON).await;
    let said = examined(&database, &dog, &["check"]);
    assert!(!said.contains("not_leader"), "{said}");
    assert!(dog.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_idles_in_its_transaction_on_the_row_is_named() {
    let cluster = Cluster::start_own();
    let (database, dog) = repaired(&cluster).await;
    let client = database.client().await;
    let holder = database.client().await;
    let pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    client.run(DEAD_JOB).await;
    holder.run("BEGIN; SELECT FROM runs WHERE id = 2 FOR UPDATE").await;
    let line = warned(&dog).await;
    for part in ["the job's row", &format!("pid={pid}"), "idle in transaction"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let withheld = "withheld_repairs{cause=\"locked\",watch=\"meltano\"}";
    assert_eq!(dog.metric(withheld), Some(1.0));
    let said = examined(&database, &dog, &["explain", "2"]);
    assert!(said.contains(&format!("session {pid}")), "{said}");
    holder.run("ROLLBACK").await;
    dog.metric_becomes(REPAIRS, 2.0, SOON).await;
    assert!(dog.stop().success());
}

/// Where several sessions hold a row the row doesn't name them: those that have locks on its table are.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_hold_a_row_together_are_named_by_their_locks_on_the_table() {
    let cluster = Cluster::start_own();
    let (database, dog) = repaired(&cluster).await;
    let client = database.client().await;
    let (one, other) = (database.client().await, database.client().await);
    client.run(DEAD_JOB).await;
    for holder in [&one, &other] {
        holder.run("BEGIN; SELECT FROM runs WHERE id = 2 FOR SHARE").await;
    }
    let line = warned(&dog).await;
    assert!(line.contains("a lock on the table"), "{line}");
    drop((one, other));
    dog.metric_becomes(REPAIRS, 2.0, SOON).await;
    assert!(dog.stop().success());
}

/// The gate is held before there is a ledger: waiting for it is no failure of the repair.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_is_held_before_the_first_repair_is_named_too() {
    let cluster = Cluster::start_own();
    let (database, stranger) = cluster.database_with(TABLE).await;
    stranger.run(DEAD_JOB).await;
    stranger.run(GATE).await;
    let dog = watch(&database).await;
    assert!(warned(&dog).await.contains("gate"));
    assert_eq!(
        dog.metric("repair_failures_total{watch=\"meltano\"}"),
        Some(0.0),
        "{}",
        dog.log()
    );
    drop(stranger);
    dog.metric_becomes(REPAIRS, 1.0, SOON).await;
}
