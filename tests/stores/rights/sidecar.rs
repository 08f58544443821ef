//! The sidecar under the role of its action: it does its whole work, and says what it lacks when a right is withdrawn.

use super::{roles, tables};
use crate::support::{
    Session,
    beatwarden::{Beatwarden, run, words},
    eventually,
    postgres::shared,
};
use std::time::Duration;

/// On a busy machine a poll that scans is slow, and the interval in force follows it.
const SOON: Duration = Duration::from_secs(60);
const FAILURES: &str = "repair_failures_total{watch=\"meltano\"}";
/// Three jobs that have just begun, in the place of all others.
const FRESH: &str = "DELETE FROM runs; DELETE FROM beatwarden_repairs;
  INSERT INTO runs (id, job_name, state, started_at, payload)
       SELECT i, 'job ' || i, 'RUNNING', now() AT TIME ZONE 'UTC', '{\"customer\": 1}' FROM generate_series(1, 3) AS i";

async fn watching(url: &str, action: &str) -> Beatwarden {
    // The server of the tests may have started just now, and what is as old as it has to be watched for `heartbeat_timeout`.
    Beatwarden::watch(&words(&format!(
        "--database {url} --preset meltano --missed-first {action} --poll-interval 100ms --init-deadline 500ms --heartbeat-timeout 1s"
    )))
    .await
}

/// The sidecar itself under the role of its action: it repairs, and writes down what turns out.
#[tokio::test(flavor = "multi_thread")]
async fn the_watch_does_its_whole_work_under_the_role_of_its_action() {
    let (database, owner) = shared().database_with(&tables()).await;
    let urls = roles(&database).await;
    for (action, url, outcome) in [
        ("backfill", &urls[1], "late_heartbeat"),
        ("fail", &urls[2], "false_repair"),
    ] {
        owner.run(FRESH).await;
        let dog = watching(url, action).await;
        let repaired = format!("repairs_total{{action=\"{action}\",reason=\"missed_first\",watch=\"meltano\"}}");
        dog.metric_becomes(&repaired, 3.0, SOON).await;
        owner
            .run("UPDATE runs SET last_heartbeat_at = now() AT TIME ZONE 'UTC' WHERE id = 2")
            .await;
        eventually(
            format_args!("{outcome} in the ledger: {}", dog.whole_log()),
            SOON,
            async || {
                let rows = owner
                    .query(
                        "SELECT FROM beatwarden_repairs WHERE job_id = '2' AND outcome = $1",
                        &[&outcome],
                    )
                    .await
                    .unwrap();
                (rows.len() == 1).then_some(())
            },
        )
        .await;
        assert_eq!(dog.metric(FAILURES), Some(0.0), "{}", dog.log());
        // The code alone may be a part of a time.
        for refused in ["SQLSTATE 42501", "permission denied"] {
            assert!(!dog.log().contains(refused), "{}", dog.log());
        }
    }
}

/// A right that is withdrawn while we watch is found and named, nothing is tried without it, and repairs continue once it is back.
#[tokio::test(flavor = "multi_thread")]
async fn withdrawn_rights_withhold_repairs_until_they_are_back() {
    let (database, owner) = shared().database_with(&tables()).await;
    let url = roles(&database).await.swap_remove(2);
    let role = format!("fail_of_{}", database.url.rsplit('/').next().unwrap());
    owner.run("DELETE FROM runs").await;
    let dog = watching(&url, "fail").await;
    dog.metric_becomes("up{watch=\"meltano\"}", 1.0, SOON).await;
    for (right, cause) in [
        ("UPDATE (state) ON runs", "rights"),
        ("SELECT (payload) ON runs", "rights"),
        ("INSERT ON beatwarden_repairs", "no_ledger"),
    ] {
        owner.run(&format!("REVOKE {right} FROM {role}")).await;
        // Rights are not asked for at every pass.
        dog.metric_becomes("repair_enabled{watch=\"meltano\"}", 0.0, SOON).await;
        owner.run(FRESH).await;
        let withheld = format!("withheld_repairs{{cause=\"{cause}\",watch=\"meltano\"}}");
        dog.metric_becomes(&withheld, 3.0, SOON).await;
        owner.run(&format!("GRANT {right} TO {role}")).await;
        eventually(
            format_args!("three repairs after {right}: {}", dog.whole_log()),
            SOON,
            async || {
                let failed = owner.query("SELECT FROM runs WHERE state = 'FAIL'", &[]).await.unwrap();
                (failed.len() == 3).then_some(())
            },
        )
        .await;
    }
    // Without its schema the table can't even be named: that is no missing table.
    owner
        .run(&format!("REVOKE USAGE ON SCHEMA public FROM PUBLIC, {role}"))
        .await;
    let no_right = "in schema public, which this role may not use: GRANT USAGE ON SCHEMA public";
    let asked = || {
        run(&words(&format!(
            "check --preset meltano --missed-first fail --database {url}"
        )))
        .1
    };
    assert!(asked().contains(no_right), "{}", asked());
    dog.metric_becomes("up{watch=\"meltano\"}", 0.0, SOON).await;
    assert_eq!(
        dog.metric("poll_failures_total{cause=\"schema\",watch=\"meltano\"}"),
        Some(0.0),
        "{}",
        dog.log()
    );
}

/// What the server says of a row that it refuses has the row in it, the writer's payload included.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_server_shows_no_payload() {
    let (database, owner) = shared().database_with(&tables()).await;
    owner
        .run("ALTER TABLE runs ADD CONSTRAINT no_end CHECK (state <> 'FAIL')")
        .await;
    owner.run("UPDATE runs SET started_at = now() AT TIME ZONE 'UTC'").await;
    let dog = watching(&database.url, "fail").await;
    eventually(format_args!("failed repairs: {}", dog.whole_log()), SOON, async || {
        (dog.metric(FAILURES) >= Some(6.0)).then_some(())
    })
    .await;
    let log = dog.log();
    assert_eq!(
        log.matches("repair failed").count(),
        1,
        "the three of one fault in one line, not at every pass: {log}"
    );
    assert!(log.contains("no_end") && log.contains("23514"), "{log}");
    assert!(!log.contains("customer"), "{log}");
}
