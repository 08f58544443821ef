//! What the log has of faults that hold on: each once, with what a database says cut short, and never nothing.

use super::{DEAD_JOB, REPAIRS, SOON, TABLE, failures, of_watch, watch};
use crate::support::{Session, eventually, postgres::Cluster};
use std::time::Duration;

/// The lines of the log with these words.
fn lines<'a>(log: &'a str, words: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(words)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_is_another_text_each_time_is_one_line_and_a_short_one() {
    let cluster = Cluster::start_own();
    let (database, client) = cluster.database_with(TABLE).await;
    client
        .run(
            "CREATE FUNCTION flood() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               RAISE EXCEPTION '% %', random(), repeat('é', 150000) USING DETAIL = repeat('d', 100000); END $$;
             CREATE TRIGGER flood BEFORE UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION flood()",
        )
        .await;
    for _ in 0..3 {
        client.run(DEAD_JOB).await;
    }
    let dog = watch(&database).await;
    eventually("thirty failed repairs", SOON, async || {
        (dog.metric(&of_watch("repair_failures_total")) >= Some(30.0)).then_some(())
    })
    .await;
    let log = dog.log();
    let failed = lines(&log, "repair failed");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(
        failed[0].contains("jobs=3") && failed[0].contains("P0001"),
        "{}",
        failed[0]
    );
    assert!(log.lines().all(|line| line.len() < 3_000), "a line is too long");
    // What is fixed and breaks again is news.
    client.run("DROP TRIGGER flood ON runs").await;
    dog.metric_becomes(REPAIRS, 3.0, SOON).await;
    assert!(dog.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_fails_with_another_text_each_time_is_reported_once() {
    let cluster = Cluster::start_own();
    let (database, _client) = cluster
        .database_with(
            "CREATE FUNCTION flood() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
               RAISE EXCEPTION '% %', random(), repeat('z', 300000); END $$;
             CREATE VIEW runs AS SELECT 1 AS id, 'j'::varchar AS job_name, flood() AS state, now()::timestamp AS started_at,
               NULL::timestamp AS ended_at, NULL::varchar AS payload, NULL::timestamp AS last_heartbeat_at",
        )
        .await;
    let dog = watch(&database).await;
    eventually("four failed passes", SOON, async || {
        (dog.metric(&failures("query")) >= Some(4.0)).then_some(())
    })
    .await;
    let log = dog.log();
    assert_eq!(lines(&log, "could not be read").len(), 1, "{}", log.len());
    assert!(log.len() < 10_000, "{} bytes", log.len());
    assert!(dog.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_refused_is_a_cause_and_reported_once() {
    let cluster = Cluster::start_own();
    let (database, client) = cluster.database_with(TABLE).await;
    client
        .run(
            "CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
               RAISE EXCEPTION 'no tables here, said at %', random(); END $$;
             CREATE EVENT TRIGGER no_ddl ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION no_ddl()",
        )
        .await;
    client.run(DEAD_JOB).await;
    let dog = watch(&database).await;
    let withheld = "withheld_repairs{cause=\"no_ledger\",watch=\"meltano\"}";
    dog.metric_becomes(withheld, 1.0, SOON).await;
    let polls = dog.metric(&of_watch("polls_total")).unwrap();
    eventually("twenty passes more", SOON, async || {
        (dog.metric(&of_watch("polls_total")) >= Some(polls + 20.0)).then_some(())
    })
    .await;
    assert_eq!(dog.metric(&of_watch("repair_enabled")), Some(0.0));
    let log = dog.log();
    assert_eq!(lines(&log, "no tables here").len(), 1, "{log}");
    assert!(
        lines(&log, "no repairs on this watch")[0].contains("no_ledger"),
        "{log}"
    );
    // The job ends before the ledger may be created: whether it may is asked all the same.
    client.run("UPDATE runs SET state = 'FAIL'").await;
    client.run("DROP EVENT TRIGGER no_ddl").await;
    dog.metric_becomes(&of_watch("repair_enabled"), 1.0, SOON).await;
    let log = dog.log();
    assert_eq!(lines(&log, "stuck job has ended").len(), 1, "{log}");
    assert!(lines(&log, "stuck job has ended")[0].contains("FAIL"), "{log}");
    client.run(DEAD_JOB).await;
    dog.metric_becomes(REPAIRS, 1.0, SOON).await;
    assert!(dog.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_job_is_reported_with_its_name_and_age_and_so_is_what_becomes_of_it() {
    let cluster = Cluster::start_own();
    let (database, client) = cluster.database_with(TABLE).await;
    let dog = watch(&database).await;
    dog.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    client.run(DEAD_JOB).await;
    dog.metric_becomes(REPAIRS, 1.0, SOON).await;
    let log = dog.log();
    let stuck = lines(&log, "job is stuck");
    assert_eq!(stuck.len(), 1, "{log}");
    for part in ["job=\"1\"", "name=\"job\"", "age=\"10m", "no first heartbeat"] {
        assert!(stuck[0].contains(part), "{part}: {}", stuck[0]);
    }
    let repaired = lines(&log, "repaired");
    assert!(repaired[0].contains("name=\"job\""), "{}", repaired[0]);
    assert!(lines(&log, "awaiting_writer").is_empty(), "{log}");
    client.run("DELETE FROM runs").await;
    dog.says("stuck job is gone", SOON).await;
    drop(client);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(lines(&dog.log(), "stuck job is gone").len(), 1);
    assert!(dog.stop().success());
}
