//! The systems that are too large for `make test`: `make engines` installs and runs them.

use super::{database, job_in, phases_become, with};
use crate::support::{
    beatwarden::{self, Beatwarden},
    engine::{Engine, Session, program, scripts},
    eventually,
    postgres::free_port,
};
use serde_json::json;
use std::{fs, path::Path, process::Command, time::Duration};

/// A server of such a system on a busy machine.
const SLOWLY: Duration = Duration::from_secs(120);

/// `fail` is refused, and `explain` ends with a command, which is returned.
fn own_command(url: &str, preset: &str, job: &str) -> String {
    let (status, _, refusal) =
        beatwarden::run(&[&["check"], &*with(url, preset, &["--missed-first", "fail"])].concat());
    assert_eq!(status.code(), Some(2));
    assert!(refusal.contains("fail is refused: "), "{refusal}");
    let (status, explained, _) = beatwarden::run(&[&["explain"], &*with(url, preset, &[job])].concat());
    assert!(status.success(), "{explained}");
    let line = explained
        .lines()
        .find(|line| line.contains("Beatwarden doesn't end it: "))
        .unwrap_or_else(|| panic!("no command in {explained}"));
    line.rsplit_once(" by: ").unwrap().1.to_owned()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make engines runs it"]
async fn prefect_ends_its_dead_flow_run_by_the_request_that_explain_prints() {
    let database = database().await;
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port().to_string());
    let api = format!("http://127.0.0.1:{port}/api");
    let mut server = program("prefect", "prefect");
    server
        .args(["server", "start", "--host", "127.0.0.1", "--no-ui", "--port", &port])
        .env("HOME", folder.path())
        .env("PREFECT_HOME", folder.path())
        .env("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        .env(
            "PREFECT_API_DATABASE_CONNECTION_URL",
            database.url.replacen("postgres", "postgresql+asyncpg", 1),
        )
        .current_dir(folder.path());
    let _server = Session::start(&server, &folder.path().join("log"));
    eventually("Prefect's server", SLOWLY, async || {
        let health = format!("{api}/health");
        let asked = Command::new("curl").args(["-sf", &health]).output().unwrap();
        asked.status.success().then_some(())
    })
    .await;

    let engine = Engine::of("prefect", "prefect_jobs.py", api.clone());
    engine.run(&["good"]).await;
    engine.crash(&["crash"]).await;
    engine.crash(&["crash_after"]).await;
    let _living = engine.start_until("live", "lives").await;
    let url = database.url.as_str();
    let mut arguments = with(url, "prefect", &[]);
    // A living run beats every 30 s.
    *arguments.last_mut().unwrap() = "40s";
    let dog = Beatwarden::watch(&arguments).await;
    phases_become(
        &dog,
        "prefect",
        &[("missed_first", 1.0), ("beating", 1.0), ("lost", 1.0)],
    )
    .await;

    let command = own_command(url, "prefect", &job_in(&dog, "missed_first"));
    run(Command::new("sh").args(["-c", &command]).env("PREFECT_API_URL", &api));
    phases_become(&dog, "prefect", &[("missed_first", 0.0)]).await;
    // The run and the newest of its states agree.
    let running = ["RUNNING", "RUNNING"];
    let said = engine.view().await;
    assert_eq!(
        said,
        json!([["COMPLETED", "COMPLETED"], ["CRASHED", "CRASHED"], running, running])
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make engines runs it"]
async fn dagster_ends_its_dead_run_by_the_call_that_explain_prints() {
    let database = database().await;
    let url = database.url.as_str();
    let home = tempfile::tempdir().unwrap();
    let storage = url.replacen("postgres", "postgresql+psycopg2", 1);
    let settings = format!("storage:\n  postgres:\n    postgres_url: {storage}\ntelemetry:\n  enabled: false\n");
    fs::write(home.path().join("dagster.yaml"), settings).unwrap();
    let engine = Engine::of("dagster", "dagster_jobs.py", home.path().display().to_string());
    engine.crash(&["good", "crash"]).await;
    engine.crash(&["crash_after"]).await;
    let _living = engine.start_until("live", "lives").await;
    let dog = Beatwarden::watch(&with(url, "dagster", &[])).await;
    phases_become(
        &dog,
        "dagster",
        &[("missed_first", 1.0), ("lost", 1.0), ("beating", 1.0)],
    )
    .await;

    let command = own_command(url, "dagster", &job_in(&dog, "missed_first"));
    let mut shell = program("dagster", "python");
    shell.args([
        "-c",
        "import os, sys; os.execvp('sh', ['sh', '-c', sys.argv[1]])",
        &command,
    ]);
    run(shell.env("DAGSTER_HOME", home.path()));
    phases_become(&dog, "dagster", &[("missed_first", 0.0)]).await;
    assert_eq!(engine.view().await, json!(["SUCCESS", "FAILURE", "STARTED", "STARTED"]));
}

/// Airflow's own command, in a folder of its own.
fn airflow(home: &Path, url: &str, port: u16) -> Command {
    let mut command = program("airflow", "airflow");
    let api = format!("http://127.0.0.1:{port}");
    let storage = url.replacen("postgres", "postgresql+psycopg2", 1);
    let settings = [
        ("DATABASE__SQL_ALCHEMY_CONN", storage.as_str()),
        ("CORE__LOAD_EXAMPLES", "False"),
        ("CORE__EXECUTOR", "LocalExecutor"),
        ("CORE__DAGS_ARE_PAUSED_AT_CREATION", "False"),
        ("CORE__PARALLELISM", "2"),
        ("CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True"),
        ("CORE__EXECUTION_API_SERVER_URL", &format!("{api}/execution/")),
        ("API__BASE_URL", &api),
        ("API__HOST", "127.0.0.1"),
        ("API__PORT", &port.to_string()),
        ("API__WORKERS", "1"),
        ("LOGGING__WORKER_LOG_SERVER_PORT", &free_port().to_string()),
        ("LOGGING__TRIGGER_LOG_SERVER_PORT", &free_port().to_string()),
    ];
    command.envs(settings.map(|(name, value)| (format!("AIRFLOW__{name}"), value)));
    command.env("AIRFLOW_HOME", home).env("HOME", home).current_dir(home);
    command
}

/// The process that started `pid`.
fn parent(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    line.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make engines runs it"]
async fn airflow_takes_over_what_a_dead_scheduler_left_by_the_command_that_explain_prints() {
    let database = database().await;
    let url = database.url.as_str();
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let home = folder.path();
    fs::create_dir(home.join("dags")).unwrap();
    fs::copy(scripts().join("airflow_dag.py"), home.join("dags/work.py")).unwrap();
    run(airflow(home, url, port).args(["db", "migrate"]));
    let _standalone = Session::start(airflow(home, url, port).arg("standalone"), &home.join("log"));
    eventually("the DAG", SLOWLY, async || {
        let triggered = airflow(home, url, port).args(["dags", "trigger", "work"]).output();
        triggered.unwrap().status.success().then_some(())
    })
    .await;
    let client = database.client().await;
    let running =
        "SELECT pid FROM task_instance WHERE state = 'running' AND last_heartbeat_at > start_date + interval '3 s'";
    let task = eventually("a task that beats", SLOWLY, async || {
        let rows = client.query(running, &[]).await.unwrap();
        rows.first()?.get::<_, Option<i32>>(0)
    })
    .await;

    let watch = |preset| {
        let mut arguments = with(url, preset, &[]);
        // Tasks and processes beat every 5 s.
        *arguments.last_mut().unwrap() = "20s";
        arguments
    };
    let tasks = Beatwarden::watch(&watch("airflow")).await;
    let processes = Beatwarden::watch(&watch("airflow-job")).await;
    phases_become(&tasks, "airflow", &[("beating", 1.0), ("lost", 0.0)]).await;
    phases_become(&processes, "airflow-job", &[("beating", 3.0), ("lost", 0.0)]).await;

    let task = u32::try_from(task).unwrap();
    let supervisor = parent(task);
    let dead = [parent(supervisor), supervisor, task].map(|pid| pid.to_string());
    run(Command::new("kill").arg("-9").args(&dead));
    phases_become(&tasks, "airflow", &[("lost", 1.0)]).await;
    phases_become(&processes, "airflow-job", &[("beating", 2.0), ("lost", 1.0)]).await;

    let command = own_command(url, "airflow", &job_in(&tasks, "lost"));
    assert_eq!(command, own_command(url, "airflow-job", &job_in(&processes, "lost")));
    let (program, arguments) = command.split_once(' ').unwrap();
    assert_eq!(program, "airflow");
    let scheduler = Session::start(airflow(home, url, port).args(arguments.split(' ')), &home.join("log-2"));
    phases_become(&processes, "airflow-job", &[("lost", 0.0), ("beating", 3.0)]).await;
    phases_become(&tasks, "airflow", &[("lost", 0.0)]).await;
    drop(scheduler);
    let states = "SELECT count(*) FILTER (WHERE state = 'failed') FROM job WHERE job_type = 'SchedulerJob'";
    assert_eq!(client.query_one(states, &[]).await.unwrap().get::<_, i64>(0), 1);
}
