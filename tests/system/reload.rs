//! SIGHUP with the real binary: deadlines, actions, added and removed watches; a bad file changes nothing, and what is
//! being watched is not forgotten when only a rule changed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{beatwarden::Beatwarden, eventually, http};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// A folder with job tables and a configuration file.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("beatwarden.toml")
    }

    fn table(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(format!("{name}.db"));
        if !path.exists() {
            let connection = connection(&path);
            connection.pragma_update(None, "journal_mode", "WAL").unwrap();
            connection
                .execute_batch(include_str!("../../src/demo/schema.sql"))
                .unwrap();
        }
        path
    }

    fn configure(&self, watches: &[(&str, &str)]) {
        let watch = |(name, more): &(&str, &str)| {
            let database = self.table(name);
            format!(
                "[[watch]]\nname = \"{name}\"\ndatabase = \"{}\"\npreset = \"meltano\"\npoll_interval = \"100ms\"\n{more}\n",
                database.display()
            )
        };
        let text: Vec<String> = watches.iter().map(watch).collect();
        fs::write(self.file(), text.join("\n")).unwrap();
    }

    async fn watch(&self) -> Beatwarden {
        Beatwarden::watch(&["--config", self.file().to_str().unwrap()]).await
    }
}

fn connection(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.busy_timeout(SOON).unwrap();
    connection
}

fn dead_job(table: &Path) {
    connection(table)
        .execute_batch(
            "INSERT INTO runs (id, job_name, state, started_at) VALUES (1, 'orders', 'RUNNING', strftime('%Y-%m-%d %H:%M:%f000', 'now', '-6 seconds'))",
        )
        .unwrap();
}

/// Reloads the configuration, and waits until that is over.
async fn reload(dog: &Beatwarden, good: bool) {
    let answers =
        |log: &str| log.matches("configuration was reloaded").count() + log.matches("configuration is refused").count();
    let before = answers(&dog.log());
    dog.signal("HUP");
    eventually("the reload is over", SOON, async || {
        (answers(&dog.log()) > before).then_some(())
    })
    .await;
    assert_eq!(
        dog.metric("config_last_reload_success"),
        Some(f64::from(u8::from(good))),
        "{}",
        dog.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_come_and_go_and_the_others_are_not_touched() {
    let site = Site::new();
    site.configure(&[("stays", ""), ("goes", "")]);
    let dog = site.watch().await;
    dog.metric_becomes("up{watch=\"goes\"}", 1.0, SOON).await;
    let polls = |name: &str| dog.metric(&format!("polls_total{{watch=\"{name}\"}}"));
    let read_at = dog.metric("config_last_reload_timestamp_seconds").unwrap();
    let before = polls("stays").unwrap();
    site.configure(&[("stays", ""), ("comes", "")]);
    reload(&dog, true).await;
    dog.metric_becomes("up{watch=\"comes\"}", 1.0, SOON).await;
    let gone = || async { polls("goes").is_none().then_some(()) };
    eventually("its series are gone", SOON, gone).await;
    assert!(dog.metric("up{watch=\"goes\"}").is_none());
    assert!(polls("stays").unwrap() >= before, "counters of the others continue");
    assert!(dog.metric("config_last_reload_timestamp_seconds").unwrap() > read_at);
    let names: Vec<String> = dog.json("/api/v1/status")["watches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|watch| watch["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["stays", "comes"]);
    site.configure(&[("stays", "max_age = \"3d\"\ninit_objective = 0.9"), ("comes", "")]);
    reload(&dog, true).await;
    let log = dog.log();
    let changed = log.lines().rfind(|line| line.contains("reloaded")).unwrap();
    let words = "stays: max_age 604800s -> 259200s, init_objective 0.99 -> 0.9";
    assert!(changed.contains(words), "the keys and their values: {changed}");
    assert!(http::get(dog.address, "/").text().contains("comes"));
    assert!(dog.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_and_is_reported() {
    let site = Site::new();
    site.configure(&[("jobs", "init_deadline = \"7s\"")]);
    let dog = site.watch().await;
    dog.metric_becomes("up{watch=\"jobs\"}", 1.0, SOON).await;
    let read_at = dog.metric("config_last_reload_timestamp_seconds");
    for (bad, words) in [
        ("init_deadline = \"soon\"", "init_deadline"),
        ("init_dedline = \"9s\"", "init_dedline"),
        ("init_deadline = ", ""),
        ("discovery = 7", "discovery"),
    ] {
        site.configure(&[("jobs", bad), ("more", "")]);
        reload(&dog, false).await;
        let log = dog.log();
        let line = log
            .lines()
            .rev()
            .find(|line| line.contains("a mistake in the"))
            .unwrap();
        assert!(line.contains(words), "{line}");
        assert_eq!(dog.metric("init_deadline_seconds{watch=\"jobs\"}"), Some(7.0), "{bad}");
        assert_eq!(dog.metric("up{watch=\"more\"}"), None, "{bad}");
        assert_eq!(dog.metric("config_last_reload_timestamp_seconds"), read_at, "{bad}");
    }
    fs::remove_file(site.file()).unwrap();
    reload(&dog, false).await;
    site.configure(&[("jobs", "init_deadline = \"8s\"")]);
    reload(&dog, true).await;
    dog.metric_becomes("init_deadline_seconds{watch=\"jobs\"}", 8.0, SOON)
        .await;
    dog.metric_becomes("up{watch=\"jobs\"}", 1.0, SOON).await;
    assert!(dog.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_watched_is_not_forgotten_when_only_a_rule_changed() {
    let site = Site::new();
    site.configure(&[("jobs", "init_deadline = \"1h\"\nheartbeat_timeout = \"2h\"")]);
    let dog = site.watch().await;
    dog.metric_becomes("up{watch=\"jobs\"}", 1.0, SOON).await;
    let seen = Instant::now();
    dead_job(&site.table("jobs"));
    dog.metric_becomes("running_jobs{phase=\"starting\",watch=\"jobs\"}", 1.0, SOON)
        .await;
    let watched_for = Duration::from_secs(6);
    let watched = || async { (seen.elapsed() > watched_for).then_some(()) };
    eventually("it was watched for a while", SOON, watched).await;
    // The same job under a deadline that is over, and was watched for: it is due at once, not a deadline later.
    site.configure(&[(
        "jobs",
        "init_deadline = \"5s\"\nheartbeat_timeout = \"2h\"\nrepair.missed_first = \"fail\"",
    )]);
    reload(&dog, true).await;
    dog.metric_becomes(
        "repairs_total{action=\"fail\",reason=\"missed_first\",watch=\"jobs\"}",
        1.0,
        SOON,
    )
    .await;
    let watching = dog.metric("repairs_withheld_total{cause=\"watching\",watch=\"jobs\"}");
    assert_eq!(watching, Some(0.0), "it was not watched again");
    assert_eq!(dog.metric("job_init_failures_total{watch=\"jobs\"}"), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_table_under_the_same_name_is_watched_from_the_beginning() {
    let site = Site::new();
    let rules = "init_deadline = \"3s\"\nheartbeat_timeout = \"1h\"\nrepair.missed_first = \"observe\"";
    site.configure(&[("jobs", rules)]);
    let dog = site.watch().await;
    dead_job(&site.table("jobs"));
    dog.metric_becomes("withheld_repairs{cause=\"observe\",watch=\"jobs\"}", 1.0, SOON)
        .await;
    fs::copy(site.table("jobs"), site.0.path().join("other.db")).unwrap();
    let text = fs::read_to_string(site.file()).unwrap();
    fs::write(
        site.file(),
        text.replace("jobs.db", "other.db").replace("observe", "fail"),
    )
    .unwrap();
    dead_job_in_other(&site);
    reload(&dog, true).await;
    dog.metric_becomes(
        "repairs_total{action=\"fail\",reason=\"missed_first\",watch=\"jobs\"}",
        1.0,
        SOON,
    )
    .await;
    let watching = dog.metric("repairs_withheld_total{cause=\"watching\",watch=\"jobs\"}");
    assert_eq!(watching, Some(1.0));
    assert!(dog.stop().success());
}

/// The copy may have been made before the log was written back: the job is there in either case.
fn dead_job_in_other(site: &Site) {
    let other = site.0.path().join("other.db");
    let connection = connection(&other);
    connection
        .execute_batch(
            include_str!("../../src/demo/schema.sql")
                .replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")
                .as_str(),
        )
        .unwrap();
    connection.execute_batch("DELETE FROM runs").unwrap();
    drop(connection);
    dead_job(&other);
}
