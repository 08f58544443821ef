//! The presets against the real job systems. The server's zone is Berlin: what reads a naive time in the wrong zone is an hour
//! off. Each system runs a job that dies before its first sign of life, one that dies after it, a living one and a good one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod costs;
mod large;

use crate::discovered::is_discovered;
use crate::support::{
    beatwarden::{self, Beatwarden, words},
    engine::{Driven, Engine, program, scripts},
    postgres::{Cluster, TestDatabase},
};
use serde_json::json;
use std::{fs, sync::OnceLock, time::Duration};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);

/// No job of a test is older, in seconds; the nearest mistake of a zone is an hour.
const OLDEST: f64 = 300.0;

fn cluster() -> &'static Cluster {
    static BERLIN: OnceLock<Cluster> = OnceLock::new();
    BERLIN.get_or_init(|| Cluster::start_with("timezone = 'Europe/Berlin'\n"))
}

async fn database() -> TestDatabase {
    cluster().database().await
}

/// A command of ours on a preset, with deadlines of seconds; the first one is longer than any preset's seed_tolerance.
fn with<'a>(url: &'a str, preset: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["--database", url, "--preset", preset];
    arguments.extend(words("--poll-interval 200ms --init-deadline 3s --heartbeat-timeout 4s"));
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
    database: Option<TestDatabase>,
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
            database: Some(database),
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
            database: None,
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

    fn series(&self, name: &str, labels: &str) -> String {
        format!("{name}{{{labels}watch=\"{}\"}}", self.preset)
    }

    async fn repairs_become(&self, dog: &Beatwarden, reason: &str, count: f64) {
        let series = self.series("repairs_total", &format!("action=\"fail\",reason=\"{reason}\","));
        dog.metric_becomes(&series, count, SOON).await;
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
    is_discovered(&bed.url, &[bed.preset]);
    (dog, living)
}

/// The whole tour of a system that gives signs of life, and whose dead jobs may be ended: what it says itself in the end.
async fn a_dead_job_is_ended_and_the_system_goes_on(bed: &Bed) -> serde_json::Value {
    let (dog, living) = the_jobs_are_seen(bed).await;
    assert!(dog.stop().success());

    let dog = bed.watch("missed_first = \"fail\"").await;
    bed.repairs_become(&dog, "missed_first", 1.0).await;
    let said = bed.engine.view().await;
    phases_become(
        &dog,
        bed.preset,
        &[("missed_first", 0.0), ("lost", 1.0), ("beating", 1.0)],
    )
    .await;
    living.finish().await;
    phases_become(&dog, bed.preset, &[("beating", 0.0)]).await;

    assert!(dog.stop().success());
    said
}

/// A living job that sends its first sign of life too late is failed wrongly, and recognised.
async fn a_living_job_that_was_failed_is_recognised(bed: &Bed) {
    let dog = bed.watch("missed_first = \"fail\"").await;
    let mut late = bed.engine.start_until("late", "waits").await;
    bed.repairs_become(&dog, "missed_first", 1.0).await;
    late.go_on();
    dog.metric_becomes(&bed.series("false_repairs_total", ""), 1.0, SOON)
        .await;
    late.finish().await;
    assert!(dog.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn optuna_on_postgresql() {
    let bed = Bed::on_postgres("optuna_jobs.py", "optuna", "postgresql+psycopg2", BEATS).await;
    let said = a_dead_job_is_ended_and_the_system_goes_on(&bed).await;
    assert_eq!(said, json!(["COMPLETE", "FAIL", "RUNNING", "RUNNING", "COMPLETE"]));
    a_living_job_that_was_failed_is_recognised(&bed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn optuna_on_sqlite() {
    let bed = Bed::on_sqlite("optuna_jobs.py", "optuna", BEATS);
    let said = a_dead_job_is_ended_and_the_system_goes_on(&bed).await;
    assert_eq!(said, json!(["COMPLETE", "FAIL", "RUNNING", "RUNNING", "COMPLETE"]));
    a_living_job_that_was_failed_is_recognised(&bed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mlflow_on_postgresql() {
    let bed = Bed::on_postgres("mlflow_jobs.py", "mlflow", "postgresql+psycopg2", BEATS).await;
    let said = a_dead_job_is_ended_and_the_system_goes_on(&bed).await;
    assert_eq!(said, json!(["FINISHED", "FAILED", "RUNNING", "RUNNING", "FINISHED"]));
    a_living_job_that_was_failed_is_recognised(&bed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mlflow_on_sqlite() {
    let bed = Bed::on_sqlite("mlflow_jobs.py", "mlflow", BEATS);
    let said = a_dead_job_is_ended_and_the_system_goes_on(&bed).await;
    assert_eq!(said, json!(["FINISHED", "FAILED", "RUNNING", "RUNNING", "FINISHED"]));
    a_living_job_that_was_failed_is_recognised(&bed).await;
}

/// A workflow that was cancelled is resumed to its end.
async fn a_dead_workflow_is_cancelled_and_resumed(bed: Bed) {
    let said = a_dead_job_is_ended_and_the_system_goes_on(&bed).await;
    // The one that was cancelled is resumed to its end by another executor.
    assert_eq!(
        (&said[0]["crash"], &said[1]["crash"]),
        (&json!("CANCELLED"), &json!("SUCCESS"))
    );
    assert_eq!(
        (&said[0]["good"], &said[0]["new"]),
        (&json!("SUCCESS"), &json!("SUCCESS"))
    );
    assert_eq!(
        (&said[1]["live"], &said[1]["crash_after"]),
        (&json!("PENDING"), &json!("PENDING"))
    );

    // A living one that is cancelled stops at its next step, and is resumed as well.
    let dog = bed.watch("missed_first = \"fail\"").await;
    let mut late = bed.engine.start_until("late", "waits").await;
    bed.repairs_become(&dog, "missed_first", 1.0).await;
    late.go_on();
    late.finish().await;
    assert!(dog.stop().success());
    let said = bed.engine.view().await;
    assert_eq!(
        (&said[0]["late"], &said[1]["late"]),
        (&json!("CANCELLED"), &json!("SUCCESS"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dbos_on_postgresql() {
    a_dead_workflow_is_cancelled_and_resumed(Bed::on_postgres("dbos_jobs.py", "dbos", "postgresql", BEATS).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dbos_on_sqlite() {
    a_dead_workflow_is_cancelled_and_resumed(Bed::on_sqlite("dbos_jobs.py", "dbos", BEATS)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn procrastinate() {
    let bed = Bed::on_postgres("procrastinate_jobs.py", "procrastinate", "postgresql", BEATS).await;
    let (dog, living) = the_jobs_are_seen(&bed).await;
    assert!(dog.stop().success());

    let dog = bed.watch("missed_first = \"fail\"").await;
    bed.repairs_become(&dog, "missed_first", 1.0).await;
    // A job behind the lock of the dead one is run by a worker that removes the dead ones as it starts; a job without a worker has
    // no heartbeat.
    let said = bed.engine.view().await;
    let state = |said: &serde_json::Value, queue: &str| {
        let mut jobs = said.as_array().unwrap().iter();
        jobs.find(|job| job[0] == queue).unwrap()[1]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(state(&said, "crash"), "failed");
    assert_eq!(state(&said, "new"), "succeeded");
    bed.repairs_become(&dog, "missed_first", 2.0).await;
    assert_eq!(state(&said, "live"), "doing");
    living.finish().await;
    assert_eq!(state(&bed.engine.view().await, "live"), "succeeded");

    let mut late = bed.engine.start_until("late", "waits").await;
    bed.repairs_become(&dog, "missed_first", 3.0).await;
    late.go_on();
    dog.metric_becomes(&bed.series("false_repairs_total", ""), 1.0, SOON)
        .await;
    late.finish().await;
    assert!(dog.stop().success());
}

/// The good run takes less than half of it, also on a busy machine; and the server may have been started just now.
const AGE: &str = "max_runtime = \"8s\"\nheartbeat_timeout = \"2s\"\n";

/// The tour of a system without a sign of life: age is all that there is.
async fn a_task_that_runs_too_long_is_ended(bed: Bed) {
    bed.engine.crash(&["setup", "good", "crash"]).await;
    is_discovered(&bed.url, &[bed.preset]);
    let dog = bed.watch("overrun = \"fail\"").await;
    bed.repairs_become(&dog, "overrun", 1.0).await;
    let said = bed.engine.view().await;
    let good = json!(["SUCCESSFUL", []]);
    assert_eq!(said, json!([good, ["FAILED", ["TimeoutError"]], good]));

    // A living one that runs for longer is failed wrongly, and recognised by its good end.
    let living = bed.engine.start_until("live", "lives").await;
    phases_become(&dog, bed.preset, &[("running", 1.0)]).await;
    bed.repairs_become(&dog, "overrun", 2.0).await;
    living.finish().await;
    dog.metric_becomes(&bed.series("false_repairs_total", ""), 1.0, SOON)
        .await;
    assert!(dog.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn django_tasks_on_postgresql() {
    a_task_that_runs_too_long_is_ended(Bed::on_postgres("django_jobs.py", "django-tasks", "postgres", AGE).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn django_tasks_on_sqlite() {
    a_task_that_runs_too_long_is_ended(Bed::on_sqlite("django_jobs.py", "django-tasks", AGE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pgqueuer_takes_its_dead_job_over_by_the_command_that_explain_prints() {
    let database = database().await;
    let url = database.url.as_str();
    let engine = Engine::new("pgqueuer_jobs.py", url);
    engine.crash(&["setup", "good", "crash"]).await;
    engine.crash(&["crash_after"]).await;
    let _living = engine.start_until("live", "lives").await;
    is_discovered(url, &["pgqueuer"]);
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
