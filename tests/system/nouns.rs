//! A job is called what its system calls it, by page, `status`, `explain`, log and metrics: with two presets and a word of one's
//! own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    beatwarden::{Beatwarden, run},
    http,
};
use std::time::Duration;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// Optuna's tables, with two trials that never beat and one that did.
const TRIALS: &str = "
    CREATE TABLE trials (trial_id integer PRIMARY KEY, state varchar(8), datetime_start datetime, datetime_complete datetime);
    CREATE TABLE trial_heartbeats (trial_heartbeat_id integer PRIMARY KEY, trial_id integer UNIQUE, heartbeat datetime);
    INSERT INTO trials VALUES (1, 'RUNNING', datetime('now', '-1 hour'), NULL), (2, 'RUNNING', datetime('now', '-2 hours'), NULL),
        (3, 'RUNNING', datetime('now', '-1 hour'), NULL);
    INSERT INTO trial_heartbeats VALUES (1, 3, datetime('now'));";

/// Airflow's table, with a task that lost its heartbeat and one that beats.
const TASKS: &str = "
    CREATE TABLE task_instance (id varchar PRIMARY KEY, task_id varchar, state varchar, start_date timestamp,
        last_heartbeat_at timestamp, end_date timestamp);
    INSERT INTO task_instance VALUES ('1', 'load', 'running', datetime('now', '-1 hour'), datetime('now', '-30 minutes'), NULL),
        ('2', 'send', 'running', datetime('now', '-1 hour'), datetime('now'), NULL);";

/// A file with these tables.
fn file(tables: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(tables)
        .unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// What a command says, whatever its status.
fn said(arguments: &[&str]) -> String {
    let (_, out, err) = run(arguments);
    out + &err
}

/// What a person sees of the page.
fn seen(page: &str) -> String {
    let body = page.split("<body").nth(1).unwrap();
    let mut text = String::new();
    for part in body.split('<').skip(1) {
        text.push_str(part.split_once('>').unwrap().1);
        text.push(' ');
    }
    text
}

/// Whether a text has this word, and not only as a part of another.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric())
        .any(|part| part.eq_ignore_ascii_case(word))
}

/// Whether no sentence for people speaks of a job; names of columns, routes and options keep the word.
fn speaks_of_no_job(text: &str) {
    for plain in ["job", "jobs"] {
        let found = text.lines().find(|line| has_word(&line.replace("--job", ""), plain));
        assert_eq!(found, None, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trials_are_called_trials() {
    let (_folder, database) = file(TRIALS);
    let of_it = ["--preset", "optuna", "--database", &database];
    let status = said(&[&["status"], &of_it[..]].concat());
    assert!(status.contains("2 stuck: 2 with no first heartbeat."), "{status}");
    speaks_of_no_job(&status);
    let explained = said(&[&["explain", "1"], &of_it[..]].concat());
    assert!(explained.starts_with("trial 1 of watch optuna"), "{explained}");
    assert!(
        explained.contains("died right after marking the trial as running")
            && explained.contains("to have such trials repaired"),
        "{explained}"
    );
    speaks_of_no_job(&explained);
    let none = said(&[&["explain", "7"], &of_it[..]].concat());
    assert!(none.contains("and no trial of that name"), "{none}");
    let refused = said(&[&["repair", "--job", "3", "--yes"], &of_it[..], &["--action", "fail"]].concat());
    assert!(refused.contains("trial 3 is not stuck: it is beating"), "{refused}");

    let watchdog = Beatwarden::watch(&[&of_it[..], &["--poll-interval", "100ms"]].concat()).await;
    let info = "watch_info{noun=\"trial\",preset=\"optuna\",table=\"trials\",watch=\"optuna\"}";
    watchdog.metric_becomes(info, 1.0, SOON).await;
    watchdog.says("trial is stuck", SOON).await;
    // The log is written before what is shown.
    let stuck = "stuck_jobs{reason=\"missed_first\",watch=\"optuna\"}";
    watchdog.metric_becomes(stuck, 2.0, SOON).await;
    let page = seen(&http::get(watchdog.address, "/").text());
    for part in [
        "Stuck and late trials",
        "1 other running trial, the longest silence first",
        "Silence of every running trial",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    speaks_of_no_job(&page);
    assert!(watchdog.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_may_be_two() {
    let (_folder, database) = file(TASKS);
    let of_it = ["--preset", "airflow", "--database", &database];
    let explained = said(&[&["explain", "1"], &of_it[..]].concat());
    assert!(
        explained.starts_with("task instance 1 of watch airflow: load")
            && explained.contains("reports lost task instances and never repairs them"),
        "{explained}"
    );
    speaks_of_no_job(&explained);
    let watchdog = Beatwarden::watch(&of_it).await;
    watchdog
        .metric_becomes("stuck_jobs{reason=\"lost\",watch=\"airflow\"}", 1.0, SOON)
        .await;
    let page = seen(&http::get(watchdog.address, "/").text());
    assert!(page.contains("1 other running task instance, "), "{page}");
    speaks_of_no_job(&page);
    assert!(watchdog.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_ones_own_has_a_word_of_its_own() {
    let (folder, database) = file(TASKS);
    let config = folder.path().join("beatwarden.toml");
    let text = format!(
        "[[watch]]\nname = \"uploads\"\nnoun = \"upload\"\ndatabase = {database:?}\n[watch.table]\nname = \"task_instance\"\n\
         id = \"id\"\nstate = \"state\"\nrunning = [\"running\"]\nfailure = [\"failed\"]\nstarted_at = \"start_date\"\n\
         last_heartbeat_at = \"last_heartbeat_at\"\n[watch.repair]\nmissed_first = \"fail\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let of_it = ["--config", config.to_str().unwrap()];
    let check = said(&[&["check"], &of_it[..]].concat());
    assert!(
        check.contains("action fail ends the upload as the writer would"),
        "{check}"
    );
    let watchdog = Beatwarden::watch(&of_it).await;
    let info = "watch_info{noun=\"upload\",preset=\"\",table=\"task_instance\",watch=\"uploads\"}";
    watchdog.metric_becomes(info, 1.0, SOON).await;
    watchdog.metric_becomes("up{watch=\"uploads\"}", 1.0, SOON).await;
    let page = seen(&http::get(watchdog.address, "/").text());
    assert!(
        page.contains("fail: an upload without a first heartbeat is ended as failed"),
        "{page}"
    );
    speaks_of_no_job(&page);
    assert!(watchdog.stop().success());
}
