//! The presets against the real job systems. The server's zone is Berlin: what reads a naive time in the wrong zone is an hour
//! off. Each system runs a job that dies before its first sign of life, one that dies after it, a living one and a good one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod large;

use crate::support::{
    beatwarden::{self, Beatwarden},
    engine::{Driven, Engine, program, scripts},
    postgres::{Cluster, TestDatabase},
};
use serde_json::json;
use std::{fs, sync::OnceLock, time::Duration};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);

/// No job of a test is older, in seconds; the nearest mistake of a zone is an hour.
const OLDEST: f64 = 300.0;

async fn database() -> TestDatabase {
    static BERLIN: OnceLock<Cluster> = OnceLock::new();
    let start = || Cluster::start_with("timezone = 'Europe/Berlin'\n");
    BERLIN.get_or_init(start).database().await
}

/// A command of ours on a preset, with deadlines of seconds.
fn with<'a>(url: &'a str, preset: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["--database", url, "--preset", preset];
    arguments.extend([
        "--poll-interval",
        "200ms",
        "--init-deadline",
        "2s",
        "--heartbeat-timeout",
        "4s",
    ]);
    arguments.extend(more);
    arguments
}

/// Waits until so many jobs are in each phase, and asserts that no age is off by a zone.
async fn phases_become(dog: &Beatwarden, preset: &str, wanted: &[(&str, f64)]) {
    for (phase, count) in wanted {
        let series = format!("running_jobs{{phase=\"{phase}\",watch=\"{preset}\"}}");
        dog.metric_becomes(&series, *count, SOON).await;
    }
    let status = dog.json("/api/v1/status");
    let jobs = status["watches"][0]["jobs"].as_array().unwrap();
    assert!(wanted.iter().all(|(_, count)| *count == 0.0) || !jobs.is_empty());
    for job in jobs {
        let age = job["age_seconds"].as_f64().unwrap();
        assert!((0.0..OLDEST).contains(&age), "{job}");
    }
}

/// The key of the only job of a phase.
fn job_in(dog: &Beatwarden, phase: &str) -> String {
    let status = dog.json("/api/v1/status");
    let mut jobs = status["watches"][0]["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|job| job["phase"] == phase);
    let id = jobs.next().unwrap()["id"].as_str().unwrap().to_owned();
    assert!(jobs.next().is_none(), "{status}");
    id
}

/// A system, the preset for it, and the place of its tables.
struct Bed {
    engine: Engine,
    preset: &'static str,
    url: String,
    /// What a user adds to the preset.
    more: &'static str,
    _folder: TempDir,
    _database: Option<TestDatabase>,
}

impl Bed {
    /// On a server; `scheme` is how the system spells it.
    async fn on_postgres(script: &str, preset: &'static str, scheme: &str, more: &'static str) -> Self {
        let database = database().await;
        let url = database.url.replacen("postgres", scheme, 1);
        let (engine, folder) = (Engine::new(script, url.clone()), tempfile::tempdir().unwrap());
        Self {
            engine,
            preset,
            url,
            more,
            _folder: folder,
            _database: Some(database),
        }
    }

    fn on_sqlite(script: &str, preset: &'static str, more: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}", folder.path().join("jobs.db").display());
        Self {
            engine: Engine::new(script, url.clone()),
            preset,
            url,
            more,
            _folder: folder,
            _database: None,
        }
    }

    /// The configuration file of a watch with deadlines of seconds.
    fn file(&self, repair: &str) -> String {
        let file = self._folder.path().join("beatwarden.toml");
        let (url, preset, more) = (&self.url, self.preset, self.more);
        let text = format!(
            "[[watch]]\ndatabase = \"{url}\"\npreset = \"{preset}\"\npoll_interval = \"200ms\"\ninit_deadline = \"2s\"\n\
             {more}\n[watch.repair]\n{repair}\n"
        );
        fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    async fn watch(&self, repair: &str) -> Beatwarden {
        Beatwarden::watch(&["--config", &self.file(repair)]).await
    }
}

const BEATS: &str = "heartbeat_timeout = \"4s\"\n";

/// The four jobs of a system are in their phases.
async fn the_jobs_are_seen(bed: &Bed) -> (Beatwarden, Driven) {
    bed.engine.crash(&["setup", "good", "crash"]).await;
    bed.engine.crash(&["crash_after"]).await;
    let living = bed.engine.start_until("live", "lives").await;
    let dog = bed.watch("").await;
    let wanted = [("missed_first", 1.0), ("lost", 1.0), ("beating", 1.0)];
    phases_become(&dog, bed.preset, &wanted).await;
    (dog, living)
}

#[tokio::test(flavor = "multi_thread")]
async fn optuna_on_postgresql() {
    let bed = Bed::on_postgres("optuna_jobs.py", "optuna", "postgresql+psycopg2", BEATS).await;
    the_jobs_are_seen(&bed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn optuna_on_sqlite() {
    the_jobs_are_seen(&Bed::on_sqlite("optuna_jobs.py", "optuna", BEATS)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mlflow_on_postgresql() {
    let bed = Bed::on_postgres("mlflow_jobs.py", "mlflow", "postgresql+psycopg2", BEATS).await;
    the_jobs_are_seen(&bed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mlflow_on_sqlite() {
    the_jobs_are_seen(&Bed::on_sqlite("mlflow_jobs.py", "mlflow", BEATS)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dbos_on_postgresql() {
    let bed = Bed::on_postgres("dbos_jobs.py", "dbos", "postgresql", BEATS).await;
    the_jobs_are_seen(&bed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pgqueuer_takes_its_dead_job_over_by_the_command_that_explain_prints() {
    let database = database().await;
    let url = database.url.as_str();
    let engine = Engine::new("pgqueuer_jobs.py", url);
    engine.crash(&["setup", "good", "crash"]).await;
    engine.crash(&["crash_after"]).await;
    let _living = engine.start_until("live", "lives").await;
    let dog = Beatwarden::watch(&with(url, "pgqueuer", &[])).await;
    phases_become(
        &dog,
        "pgqueuer",
        &[("missed_first", 1.0), ("lost", 1.0), ("beating", 1.0)],
    )
    .await;

    let (status, _, refusal) =
        beatwarden::run(&[&["check"], &*with(url, "pgqueuer", &["--missed-first", "fail"])].concat());
    assert_eq!(status.code(), Some(2));
    assert!(refusal.contains("fail is refused: "), "{refusal}");
    let dead = job_in(&dog, "missed_first");
    let by_hand = ["--action", "fail", "--yes", "--job", dead.as_str()];
    let (status, _, refusal) = beatwarden::run(&[&["repair"], &*with(url, "pgqueuer", &by_hand)].concat());
    assert_eq!(status.code(), Some(2));
    assert!(refusal.contains("action fail is refused"), "{refusal}");

    let (status, explained, _) = beatwarden::run(&[&["explain"], &*with(url, "pgqueuer", &[&dead])].concat());
    assert!(
        status.success() && explained.contains(": pgq run MODULE:FACTORY\n"),
        "{explained}"
    );
    let worker = program("engines", "pgq")
        .args(["run", "pgqueuer_jobs:serve", "--heartbeat-timeout", "2"])
        .env("PGDSN", url)
        .current_dir(scripts())
        .output()
        .unwrap();
    assert!(worker.status.success(), "{worker:?}");
    phases_become(
        &dog,
        "pgqueuer",
        &[("missed_first", 0.0), ("lost", 1.0), ("beating", 1.0)],
    )
    .await;
    let log = engine.view().await;
    assert!(
        log.as_array().unwrap().contains(&json!(["crash", "successful"])),
        "{log}"
    );
    assert!(dog.stop().success());
}
