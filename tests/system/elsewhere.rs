//! Heartbeats in another table with the real binary, on a file and on a server: a job is failed, and its first row there comes
//! after all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    beatwarden::{Beatwarden, run},
    eventually, http,
    table::Table,
    written,
};
use serde_json::Value;
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

crate::support::on_both!(
    a_first_row_after_a_fail_is_a_false_repair,
    a_first_row_in_time_keeps_a_job_from_being_failed,
    a_writer_that_never_beats_is_named_before_its_jobs_are_failed,
);

/// The jobs of the table with their heartbeats in another one, as a server or a file has it.
async fn with_beats(table: &Table) -> (TempDir, PathBuf) {
    let time = match table {
        Table::File(_) => "DATETIME",
        Table::Server(..) => "timestamp",
    };
    table
        .sql(&format!(
            "CREATE TABLE beats (job integer NOT NULL REFERENCES runs (id), at {time} NOT NULL, PRIMARY KEY (job, at))"
        ))
        .await;
    let text = format!(
        "[[watch]]\nname = \"jobs\"\ndatabase = {:?}\npoll_interval = \"100ms\"\ninit_deadline = \"1s\"\n\
         heartbeat_timeout = \"1s\"\n[watch.table]\nname = \"runs\"\nid = \"id\"\njob_name = \"job_name\"\n\
         state = \"state\"\nrunning = [\"RUNNING\"]\nsuccess = [\"SUCCESS\"]\nfailure = [\"FAIL\"]\n\
         started_at = \"started_at\"\nended_at = \"ended_at\"\n\
         last_heartbeat_at = {{ table = \"beats\", key = \"job\", column = \"at\" }}\n\
         [watch.repair]\nmissed_first = \"fail\"\n",
        table.url()
    );
    let (folder, path) = written("beatwarden.toml", text);
    (folder, path)
}

/// The writer's first row for a job, now.
async fn beats(table: &Table, id: u32) {
    let now = match table {
        Table::File(_) => "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
        Table::Server(..) => "clock_timestamp() AT TIME ZONE 'UTC'",
    };
    table.sql(&format!("INSERT INTO beats VALUES ({id}, {now})")).await;
}

async fn state(table: &Table, id: u32) -> Option<String> {
    table.one(&format!("SELECT state FROM runs WHERE id = {id}")).await
}

const FAILED: &str = "repairs_total{action=\"fail\",reason=\"missed_first\",watch=\"jobs\"}";

async fn a_first_row_after_a_fail_is_a_false_repair(table: Table) {
    table.job(1, "orders", 60, None).await;
    let (_folder, path) = with_beats(&table).await;
    let config = path.to_str().unwrap();
    let dog = Beatwarden::watch(&["--config", config]).await;
    dog.metric_becomes(FAILED, 1.0, SOON).await;
    assert_eq!(state(&table, 1).await.as_deref(), Some("FAIL"));
    assert_eq!(dog.metric("false_repairs_total{watch=\"jobs\"}"), Some(0.0));

    // It lived: its heartbeat comes, and the state stays.
    beats(&table, 1).await;
    dog.metric_becomes("false_repairs_total{watch=\"jobs\"}", 1.0, SOON)
        .await;
    dog.metric_becomes("fuse_open{watch=\"jobs\"}", 1.0, SOON).await;
    assert_eq!(
        state(&table, 1).await.as_deref(),
        Some("FAIL"),
        "what was done stays done"
    );
    assert!(dog.log().contains("false repair"), "{}", dog.log());

    // Ledger, API and page say so, the page with the command to copy.
    let repair = eventually("the outcome in the API", SOON, async || {
        let repair = dog.json("/api/v1/repairs")["repairs"][0].take();
        (repair["outcome"] == "false_repair").then_some(repair)
    })
    .await;
    assert_eq!(repair["job_id"], "1");
    let short = &repair["repair_id"].as_str().unwrap()[..8];
    let page = http::get(dog.address, "/").text();
    for part in ["false repair", &format!("beatwarden ack {short}")] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let (_, said, complaint) = run(&["history", "--json", "--config", config]);
    let history: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{complaint}"));
    assert_eq!(history["repairs"][0]["outcome"], "false_repair");

    // The fuse holds whatever is due next, until someone acknowledges it.
    table.job(2, "users", 60, None).await;
    dog.metric_becomes("withheld_repairs{cause=\"fuse\",watch=\"jobs\"}", 1.0, SOON)
        .await;
    assert_eq!(state(&table, 2).await.as_deref(), Some("RUNNING"));
    let (status, said, complaint) = run(&["ack", short, "--config", config]);
    assert!(status.success(), "{said}{complaint}");
    dog.metric_becomes(FAILED, 2.0, SOON).await;
    assert_eq!(state(&table, 2).await.as_deref(), Some("FAIL"));
    assert_eq!(
        dog.metric("false_repairs_total{watch=\"jobs\"}"),
        Some(1.0),
        "counted once"
    );
    assert!(dog.stop().success());
}

async fn a_first_row_in_time_keeps_a_job_from_being_failed(table: Table) {
    table.job(1, "orders", 60, None).await;
    table.job(2, "users", 60, None).await;
    let (_folder, path) = with_beats(&table).await;
    beats(&table, 2).await;
    let dog = Beatwarden::watch(&["--config", path.to_str().unwrap()]).await;
    dog.metric_becomes(FAILED, 1.0, SOON).await;
    // It fell silent since: reported, and not failed.
    dog.metric_becomes("stuck_jobs{reason=\"lost\",watch=\"jobs\"}", 1.0, SOON)
        .await;
    assert_eq!(state(&table, 1).await.as_deref(), Some("FAIL"));
    assert_eq!(state(&table, 2).await.as_deref(), Some("RUNNING"));
    assert_eq!(dog.metric(FAILED), Some(1.0));
    assert!(dog.stop().success());
}

async fn a_writer_that_never_beats_is_named_before_its_jobs_are_failed(table: Table) {
    table.jobs(1..=5, "orders", 60, None).await;
    let ended = "UPDATE runs SET state = 'SUCCESS', ended_at = started_at";
    table.sql(ended).await;
    let (_folder, path) = with_beats(&table).await;
    let config = path.to_str().unwrap();
    table.job(6, "orders", 60, None).await;
    let check = || run(&["check", "--config", config]);

    let (status, said, complaint) = check();
    assert!(status.success(), "{said}{complaint}");
    assert!(
        said.contains("note writer: ") && said.contains("no good run has one (of the newest 5)"),
        "{said}"
    );
    assert!(said.contains("and `fail` ends both: observe, "), "{said}");
    let (_, said, complaint) = run(&["explain", "6", "--config", config]);
    assert!(
        said.contains("Of its heartbeat: no good run has one"),
        "{said}{complaint}"
    );
    // One that has beaten is enough.
    beats(&table, 3).await;
    table.job(7, "orders", 60, None).await;
    let (_, said, _) = check();
    assert!(
        said.contains("so only `fail` ends such a job") && !said.contains("no good run"),
        "{said}"
    );
}
