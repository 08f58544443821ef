//! Faults of what is around: each has words a user can act on, its metric and its cause, and recovers on its own when fixed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    Session,
    beatwarden::{Beatwarden, of_watch, repairs, run, withheld, words},
    eventually,
    pooler::Pooler,
    postgres::{self, Cluster, TestDatabase, connect},
    runs::TABLE,
    table::Table,
};
use std::{path::Path, time::Duration};

const SOON: Duration = Duration::from_secs(20);
/// Time for the longest wait between two attempts.
const BACK: Duration = Duration::from_secs(60);

const DEAD_JOB: &str = "INSERT INTO runs (id, job_name, state, started_at, payload)
    VALUES ((SELECT coalesce(max(id), 0) + 1 FROM runs), 'job', 'RUNNING', now() AT TIME ZONE 'UTC' - interval '10 min', '{\"secret\": 1}')";

/// Rules with short deadlines, on this database.
fn short(url: &str, action: &str) -> String {
    format!(
        "--database {url} --preset meltano --missed-first {action} --poll-interval 200ms --init-deadline 1s --heartbeat-timeout 2s"
    )
}

async fn watch(url: &str, action: &str) -> Beatwarden {
    Beatwarden::watch(&words(&short(url, action))).await
}

async fn failed(dog: &Beatwarden, cause: &str, words: &str) {
    eventually(
        format_args!("a {cause} failure, {}", dog.whole_log()),
        SOON,
        async || {
            let series = format!("poll_failures_total{{cause=\"{cause}\",watch=\"meltano\"}}");
            (dog.metric(&series) >= Some(1.0)).then_some(())
        },
    )
    .await;
    assert_eq!(dog.metric(&of_watch("up")), Some(0.0));
    assert!(dog.log().contains(words), "{words}: {}", dog.log());
}

/// A role that can log in, by a name that no other test of the cluster has.
async fn role(database: &TestDatabase) -> (String, String) {
    let client = database.client().await;
    let name = database.url.rsplit('/').next().unwrap().replace("test_", "role_");
    client
        .run(&format!(
            "CREATE ROLE {name} LOGIN; GRANT USAGE ON SCHEMA public TO {name}"
        ))
        .await;
    let url = database.url.replacen("postgres@", &format!("{name}@"), 1);
    (name, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_an_auth_failure_until_it_is_right() {
    let cluster = Cluster::start_own();
    let (database, client) = cluster.database_with(TABLE).await;
    client
        .run("CREATE ROLE dog LOGIN PASSWORD 'other'; GRANT SELECT ON runs TO dog")
        .await;
    cluster.require_password("dog").await;
    let url = database.url.replacen("postgres@", "dog:sesame@", 1);
    let dog = watch(&url, "observe").await;
    failed(&dog, "auth", "refused the credentials").await;
    client.run("ALTER ROLE dog PASSWORD 'sesame'").await;
    dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
    assert!(!dog.log().contains("sesame"), "{}", dog.log());
    assert!(dog.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_database_and_a_closed_port_are_connect_failures() {
    let url = postgres::shared().url("postgres", "not_there_yet");
    let dog = watch(&url, "observe").await;
    failed(&dog, "connect", "database \\\"not_there_yet\\\" does not exist").await;
    let admin = connect(&postgres::shared().url("postgres", "postgres")).await;
    admin.run("CREATE DATABASE not_there_yet").await;
    connect(&url).await.run(TABLE).await;
    dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
    // An empty table: counts are there, ages aren't.
    assert_eq!(
        dog.metric("running_jobs{phase=\"beating\",watch=\"meltano\"}"),
        Some(0.0)
    );
    assert_eq!(dog.metric(&of_watch("heartbeat_age_max_seconds")), None);
    drop(dog);

    let closed = format!("postgres://u@127.0.0.1:{}/d", postgres::free_port());
    let dog = watch(&closed, "observe").await;
    failed(&dog, "connect", "no connection to PostgreSQL database d at 127.0.0.1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_and_withdrawn_rights_are_named_and_come_back() {
    let (database, client) = postgres::shared().database_with(TABLE).await;
    let (role, url) = role(&database).await;
    let dog = watch(&url, "observe").await;
    failed(&dog, "rights", "GRANT SELECT (\\\"id\\\", \\\"state\\\", ").await;
    client.run(&format!("GRANT SELECT ON runs TO {role}")).await;
    dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
    client.run(&format!("REVOKE SELECT ON runs FROM {role}")).await;
    dog.metric_becomes(&of_watch("up"), 0.0, SOON).await;
    client.run(&format!("GRANT SELECT ON runs TO {role}")).await;
    dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_grants_prints_is_enough_and_no_more() {
    for action in ["observe", "backfill", "fail"] {
        let (database, client) = postgres::shared().database_with(TABLE).await;
        client.run(DEAD_JOB).await;
        let (role, url) = role(&database).await;
        let dog = watch(&url, action).await;
        failed(&dog, "rights", "GRANT SELECT").await;
        let (status, sql, log) = run(&words(&format!(
            "grants --database {url} --preset meltano --missed-first {action}"
        )));
        assert!(status.success() && sql.contains(&role), "{sql}{log}");
        client.run(&sql).await;
        client.batch_execute(&sql).await.expect("it can be run twice");
        dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
        if action == "observe" {
            dog.metric_becomes(&withheld("observe"), 1.0, SOON).await;
            assert_eq!(dog.metric(&of_watch("repair_enabled")), Some(0.0));
        } else {
            dog.metric_becomes(&repairs(action), 1.0, SOON).await;
        }
        let limited = connect(&url).await;
        let refused = async |statement: &str| {
            let error = limited.batch_execute(statement).await.expect_err(statement);
            assert_eq!(
                error.code().map(|code| code.code()),
                Some("42501"),
                "{action}: {statement}"
            );
        };
        if action != "fail" {
            refused("SELECT payload FROM runs").await;
            refused("UPDATE runs SET state = 'FAIL'").await;
        }
        refused("INSERT INTO runs (id) VALUES (99)").await;
        refused("DELETE FROM runs").await;
        refused("UPDATE runs SET job_name = 'x'").await;
        refused("CREATE TABLE public.mine (id int)").await;
        if action != "observe" {
            refused("DELETE FROM beatwarden_repairs").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_ledger_row_security_and_missing_rights_are_causes_with_their_cures() {
    let (database, client) = postgres::shared().database_with(TABLE).await;
    client.run(DEAD_JOB).await;
    let (role, url) = role(&database).await;
    client.run(&format!("GRANT SELECT ON runs TO {role}")).await;
    let check = || {
        let (status, said, log) = run(&["check", "--database", &url, "--preset", "meltano"]);
        (status.code(), said + &log)
    };
    let dog = watch(&url, "backfill").await;
    dog.metric_becomes(&withheld("rights"), 1.0, SOON).await;
    let (code, said) = check();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("FAIL rights: no right to change: GRANT UPDATE (\"last_heartbeat_at\") ON"),
        "{said}"
    );
    assert!(said.contains("FAIL no_ledger: the ledger"), "{said}");
    assert!(
        said.contains("CREATE TABLE \"public\".\"beatwarden_repairs\""),
        "the SQL itself: {said}"
    );
    client
        .run(&format!("GRANT UPDATE (last_heartbeat_at) ON runs TO {role}"))
        .await;
    dog.metric_becomes(&withheld("no_ledger"), 1.0, SOON).await;
    assert!(!check().1.contains("FAIL rights"));
    client
        .run("ALTER TABLE runs ENABLE ROW LEVEL SECURITY; CREATE POLICY everything ON runs USING (true)")
        .await;
    dog.metric_becomes(&withheld("rights"), 1.0, SOON).await;
    assert!(check().1.contains("FAIL rights: row security is active"));
    client.run(&format!("ALTER ROLE {role} BYPASSRLS")).await;
    dog.metric_becomes(&withheld("no_ledger"), 1.0, SOON).await;
    client.run(&format!("GRANT CREATE ON SCHEMA public TO {role}")).await;
    dog.metric_becomes(&repairs("backfill"), 1.0, SOON).await;
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("ok   repairs: rights, unique key `id`, row security and ledger"),
        "{said}"
    );
    assert!(dog.log().contains("no repairs on this watch") && dog.log().contains("nothing hinders repairs any more"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_watched_and_repaired_only_after_its_promotion() {
    let primary = Cluster::start_own();
    let (database, client) = primary.database_with(TABLE).await;
    client.run(DEAD_JOB).await;
    drop(client);
    let standby = primary.standby();
    let name = database.url.rsplit('/').next().unwrap();
    let url = standby.url("postgres", name);
    let dog = watch(&url, "backfill").await;
    dog.metric_becomes(&withheld("read_only"), 1.0, SOON).await;
    assert_eq!(
        (dog.metric(&of_watch("up")), dog.metric(&of_watch("repair_enabled"))),
        (Some(1.0), Some(0.0))
    );
    let (status, said, _) = run(&["check", "--database", &url, "--preset", "meltano"]);
    assert!(
        !status.success() && said.contains("FAIL read_only: the server is a standby"),
        "{said}"
    );
    connect(&url).await.run("SELECT pg_promote()").await;
    dog.metric_becomes(&repairs("backfill"), 1.0, BACK).await;
    assert!(dog.log().contains("watching starts again"), "{}", dog.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn full_connection_slots_are_reported_and_waited_for() {
    let cluster = Cluster::start_with("max_connections = 8\nsuperuser_reserved_connections = 0\n");
    let database = cluster.database().await;
    database.client().await.run(TABLE).await;
    let mut held = Vec::new();
    while let Ok((client, connection)) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await {
        held.push((client, tokio::spawn(connection)));
        assert!(held.len() < 20);
    }
    let dog = watch(&database.url, "observe").await;
    failed(&dog, "connect", "53300").await;
    held.clear();
    dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sslmode_means_what_it_says() {
    let cluster = Cluster::start_own();
    let database = cluster.database().await;
    database.client().await.run(TABLE).await;
    // A server without TLS: `require` is refused, never silently plain; `prefer` continues without.
    let with = |mode: &str| format!("{}?sslmode={mode}", database.url);
    let dog = watch(&with("require"), "observe").await;
    failed(&dog, "connect", "does not support TLS").await;
    cluster.speak_tls();
    dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
    let client = database.client().await;
    let encrypted = async || -> Vec<bool> {
        let query = "SELECT ssl.ssl FROM pg_stat_ssl AS ssl JOIN pg_stat_activity AS activity USING (pid)
                      WHERE activity.application_name = 'beatwarden'";
        client
            .query(query, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect()
    };
    assert_eq!(encrypted().await, [true]);
    drop(dog);
    for (mode, expected) in [("disable", false), ("prefer", true), ("allow", false)] {
        eventually("the last one is gone", SOON, async || {
            encrypted().await.is_empty().then_some(())
        })
        .await;
        let dog = watch(&with(mode), "observe").await;
        dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
        assert_eq!(encrypted().await, [expected], "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_may_stand_in_between() {
    let cluster = postgres::shared();
    let (database, client) = cluster.database_with(TABLE).await;
    let folder = tempfile::tempdir().unwrap();
    let (_pooler, port) = Pooler::start(cluster, folder.path());
    let name = database.url.rsplit('/').next().unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{port}/{name}");
    eventually("the pooler", SOON, async || {
        tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .ok()
            .map(|_| ())
    })
    .await;
    let dogs = [watch(&url, "fail").await, watch(&url, "fail").await];
    for dog in &dogs {
        dog.metric_becomes(&of_watch("up"), 1.0, SOON).await;
        assert_eq!(prepared_by(dog), BETWEEN);
    }
    assert!(prepared_by_check(&url).ends_with(BETWEEN));
    for _ in 0..10 {
        client.run(DEAD_JOB).await;
    }
    let done = async || -> Option<()> {
        let sum: f64 = dogs.iter().filter_map(|dog| dog.metric(&repairs("fail"))).sum();
        (sum == 10.0).then_some(())
    };
    eventually("all repaired, once", Duration::from_secs(40), done).await;
    for dog in &dogs {
        assert!(!dog.log().contains("could not be read"), "{}", dog.log());
        assert_eq!(
            dog.metric(&of_watch("repair_failures_total")),
            Some(0.0),
            "{}",
            dog.log()
        );
    }
}

const BETWEEN: &str = "no, the server sees other addresses than ours: a pooler, a proxy or a gateway stands between";

/// What the API says of prepared statements.
fn prepared_by(dog: &Beatwarden) -> String {
    let status = dog.json("/api/v1/status");
    status["watches"][0]["prepared_statements"].as_str().unwrap().to_owned()
}

/// And what `check` says.
fn prepared_by_check(url: &str) -> String {
    let (_, said, _) = run(&words(&format!("check --database {url} --preset meltano")));
    let line = said.lines().find(|line| line.contains("prepared statements: "));
    line.unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_stands_between_it_is_said_that_statements_are_prepared() {
    const DIRECT: &str = "yes, the connection is direct";
    let (database, _client) = postgres::shared().database_with(TABLE).await;
    let dog = watch(&database.url, "observe").await;
    dog.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    assert_eq!(prepared_by(&dog), DIRECT);
    assert!(prepared_by_check(&database.url).ends_with(DIRECT));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_changes_while_we_watch_is_followed_or_refused() {
    let (database, client) = postgres::shared().database_with(TABLE).await;
    client.run(DEAD_JOB).await;
    let dog = watch(&database.url, "observe").await;
    dog.metric_becomes(&withheld("observe"), 1.0, SOON).await;
    let alter = |kind: &str, using: &str| format!("ALTER TABLE runs ALTER started_at TYPE {kind} USING {using}");
    client.run(&alter("timestamptz", "started_at AT TIME ZONE 'UTC'")).await;
    failed_once_and_back(&dog).await;
    let age = dog.metric(&of_watch("heartbeat_age_max_seconds")).unwrap();
    assert!((590.0..700.0).contains(&age), "{age}");
    client.run(&alter("text", "started_at::text")).await;
    dog.metric_becomes(&of_watch("up"), 0.0, SOON).await;
    dog.says("is text (watch.table", SOON).await;
    failed(
        &dog,
        "schema",
        "column `started_at` of `runs` is text (watch.table.started_at); expected timestamp",
    )
    .await;
    client.run(&alter("timestamptz", "started_at::timestamptz")).await;
    dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
}

/// The change is noticed by a failed pass, and the next one is good again.
async fn failed_once_and_back(dog: &Beatwarden) {
    dog.says("changed or replaced", SOON).await;
    dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_file_is_another_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let make = |path: &Path| {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection
            .execute_batch(include_str!("../../src/demo/schema.sql"))
            .unwrap();
        connection
            .execute_batch(
                "INSERT INTO runs (id, job_name, state, started_at) VALUES (1, 'job', 'RUNNING', strftime('%Y-%m-%d %H:%M:%f000', 'now', '-600 seconds'))",
            )
            .unwrap();
    };
    make(&path);
    let dog = watch(path.to_str().unwrap(), "observe").await;
    dog.metric_becomes(&withheld("observe"), 1.0, SOON).await;
    let other = folder.path().join("other.db");
    make(&other);
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("DELETE FROM runs")
        .unwrap();
    std::fs::rename(&other, &path).unwrap();
    dog.metric_becomes(&withheld("observe"), 0.0, SOON).await;
    assert!(dog.log().contains("the database is another"), "{}", dog.log());
    std::fs::write(
        &other,
        "no database at all, but long enough to be looked at closely".repeat(50),
    )
    .unwrap();
    std::fs::rename(&other, &path).unwrap();
    failed(&dog, "schema", "is not a SQLite database").await;
    make(&other);
    std::fs::rename(&other, &path).unwrap();
    dog.metric_becomes(&of_watch("up"), 1.0, BACK).await;
}

crate::support::on_both!(a_state_that_the_database_computes_is_named_and_never_tried,);

async fn a_state_that_the_database_computes_is_named_and_never_tried(table: Table) {
    let (how, ago) = match table {
        Table::File(_) => ("VIRTUAL", "datetime('now', '-10 minutes')"),
        Table::Server(..) => ("STORED", "now() AT TIME ZONE 'UTC' - interval '10 min'"),
    };
    let generated = format!("state varchar GENERATED ALWAYS AS (upper(\"100% état\")) {how}");
    table
        .sql(&format!(
            "ALTER TABLE runs RENAME COLUMN state TO \"100% état\"; ALTER TABLE runs ADD COLUMN {generated};
             INSERT INTO runs (id, \"100% état\", started_at) VALUES (1, 'running', {ago})"
        ))
        .await;
    let url = table.url();
    let check = |action| run(&words(&format!("check {}", short(&url, action))));
    let (status, said, complaint) = check("fail");
    assert!(!status.success(), "{said}{complaint}");
    assert!(
        said.contains("FAIL rights: \"state\" is computed by the database (GENERATED ALWAYS), so `fail` can't set"),
        "{said}"
    );
    let (status, said, complaint) = check("backfill");
    assert!(status.success(), "{said}{complaint}");

    let dog = watch(&url, "fail").await;
    dog.metric_becomes(&withheld("rights"), 1.0, SOON).await;
    assert_eq!(dog.metric(&of_watch("repair_failures_total")), Some(0.0));
    assert!(dog.stop().success());
}
