//! A table without a heartbeat with the real binary, on a file and on a server: what `check`, `status`, `explain`, the metrics
//! and the ledger say of a job that runs for longer than allowed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    beatwarden::{Beatwarden, run},
    table::Table,
    written,
};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

crate::support::on_both!(
    a_job_is_reported_and_its_row_left_alone,
    a_job_is_failed_past_its_time_and_a_success_afterwards_is_a_false_repair,
    good_runs_that_are_too_long_are_named_before_anything_is_failed,
);

/// A configuration of the table, by age, with this action.
fn configured(table: &Table, overrun: &str) -> (TempDir, PathBuf) {
    let text = format!(
        "[[watch]]\nname = \"jobs\"\ndatabase = {:?}\nmax_runtime = \"5m\"\npoll_interval = \"100ms\"\ninit_deadline = \"1s\"\n\
         heartbeat_timeout = \"1s\"\n[watch.table]\nname = \"runs\"\nid = \"id\"\njob_name = \"job_name\"\nstate = \"state\"\n\
         running = [\"RUNNING\"]\nsuccess = [\"SUCCESS\"]\nfailure = [\"FAIL\"]\nstarted_at = \"started_at\"\n\
         ended_at = \"ended_at\"\n[watch.repair]\noverrun = \"{overrun}\"\n",
        table.url()
    );
    let (folder, path) = written("beatwarden.toml", text);
    (folder, path)
}

fn json_of(config: &str, arguments: &[&str]) -> Value {
    let (_, out, err) = run(&[arguments, &["--json", "--config", config]].concat());
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"))
}

async fn a_job_is_reported_and_its_row_left_alone(table: Table) {
    table.job(1, "short", 10, None).await;
    table.job(2, "long", 400, None).await;
    let (_folder, path) = configured(&table, "observe");
    let config = path.to_str().unwrap();
    let (status, said, complaint) = run(&["check", "--config", config]);
    assert!(status.success(), "{said}{complaint}");
    for part in ["overrun = \"observe\"", "no evidence of death", "past 5m (max_runtime)"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let watch = &json_of(config, &["status"])["watches"][0];
    assert_eq!(watch["phases"], json!({"running": 1, "overrun": 1, "abandoned": 0}));
    assert_eq!(watch["stuck"], json!({"overrun": 1}));
    assert_eq!(watch["init"]["ratio"], Value::Null);
    assert_eq!(
        (&watch["overrun_action"], &watch["missed_first_action"]),
        (&json!("observe"), &Value::Null)
    );
    let explained = json_of(config, &["explain", "2"]);
    assert_eq!(explained["job"]["phase"], "overrun", "{explained}");
    let (_of_fail, path) = configured(&table, "fail");
    let (_, said, complaint) = run(&["status", "--config", path.to_str().unwrap()]);
    assert!(
        said.contains("it is ended as failed in ") && said.contains(" UTC, unless it ends before"),
        "{said}{complaint}"
    );

    let watchdog = Beatwarden::watch(&["--config", config]).await;
    watchdog
        .metric_becomes("stuck_jobs{reason=\"overrun\",watch=\"jobs\"}", 1.0, SOON)
        .await;
    let value = |series: &str| watchdog.metric(series);
    assert_eq!(value("running_jobs{phase=\"running\",watch=\"jobs\"}"), Some(1.0));
    assert_eq!(value("running_jobs{phase=\"abandoned\",watch=\"jobs\"}"), Some(0.0));
    assert_eq!(
        value("repairs_total{action=\"fail\",reason=\"overrun\",watch=\"jobs\"}"),
        Some(0.0)
    );
    assert_eq!(value("init_tracking{watch=\"jobs\"}"), Some(0.0));
    for absent in [
        "running_jobs{phase=\"beating\",watch=\"jobs\"}",
        "stuck_jobs{reason=\"lost\",watch=\"jobs\"}",
        "repairs_total{action=\"fail\",reason=\"missed_first\",watch=\"jobs\"}",
        "repairs_total{action=\"backfill\",reason=\"overrun\",watch=\"jobs\"}",
        "init_success_ratio{watch=\"jobs\"}",
    ] {
        assert_eq!(value(absent), None, "{absent}");
    }
    assert_eq!(
        table.one("SELECT state FROM runs WHERE id = 2").await.as_deref(),
        Some("RUNNING")
    );
    assert!(watchdog.stop().success());
}

async fn a_job_is_failed_past_its_time_and_a_success_afterwards_is_a_false_repair(table: Table) {
    table.job(1, "short", 10, None).await;
    table.job(2, "long", 400, None).await;
    let (_folder, path) = configured(&table, "fail");
    let config = path.to_str().unwrap();
    let watchdog = Beatwarden::watch(&["--config", config]).await;
    let repairs = "repairs_total{action=\"fail\",reason=\"overrun\",watch=\"jobs\"}";
    watchdog.metric_becomes(repairs, 1.0, SOON).await;
    assert_eq!(
        table.one("SELECT state FROM runs WHERE id = 2").await.as_deref(),
        Some("FAIL")
    );
    assert_eq!(
        table.one("SELECT state FROM runs WHERE id = 1").await.as_deref(),
        Some("RUNNING")
    );
    let repair = &json_of(config, &["history"])["repairs"][0];
    assert_eq!(
        (&repair["reason"], &repair["action"]),
        (&json!("overrun"), &json!("fail"))
    );
    table.sql("UPDATE runs SET state = 'SUCCESS' WHERE id = 2").await;
    watchdog
        .metric_becomes("false_repairs_total{watch=\"jobs\"}", 1.0, SOON)
        .await;
    watchdog.metric_becomes("fuse_open{watch=\"jobs\"}", 1.0, SOON).await;
    assert!(watchdog.stop().success());
}

async fn good_runs_that_are_too_long_are_named_before_anything_is_failed(table: Table) {
    table.job(2, "long", 400, None).await;
    table.job(3, "good", 1_000, None).await;
    table.job(4, "end", 800, None).await;
    // A good run of 200 s: more than half of five minutes.
    table
        .sql("UPDATE runs SET state = 'SUCCESS', ended_at = (SELECT started_at FROM runs WHERE id = 4) WHERE id = 3")
        .await;
    table.sql("DELETE FROM runs WHERE id = 4").await;
    let (_folder, path) = configured(&table, "fail");
    let config = path.to_str().unwrap();
    let (status, said, _) = run(&["check", "--config", config]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("FAIL rights: overrun = \"fail\" is refused: max_runtime is 5m"),
        "{said}"
    );
    let watchdog = Beatwarden::watch(&["--config", config]).await;
    watchdog
        .metric_becomes("withheld_repairs{cause=\"rights\",watch=\"jobs\"}", 1.0, SOON)
        .await;
    assert_eq!(watchdog.metric("repair_enabled{watch=\"jobs\"}"), Some(0.0));
    assert_eq!(
        table.one("SELECT state FROM runs WHERE id = 2").await.as_deref(),
        Some("RUNNING")
    );
    assert!(watchdog.stop().success());
}
