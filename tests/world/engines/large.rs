//! The systems that are too large for `make test`: `make engines` installs and runs them.

use super::{Bed, SOON, costs, database, job_in, phases_become, with};
use crate::discovered::is_discovered;
use crate::support::{
    beatwarden::{self, Beatwarden},
    engine::{Engine, Session, program, scripts},
    eventually,
    postgres::{TestDatabase, free_port},
};
use serde_json::json;
use std::{fs, path::Path, process::Command, time::Duration};

/// A server of such a system on a busy machine.
const SLOWLY: Duration = Duration::from_secs(120);

/// The command that `explain` ends with.
fn explained(arguments: &[&str], job: &str) -> String {
    let (status, explained, _) = beatwarden::run(&[&["explain"], arguments, &[job]].concat());
    assert!(status.success(), "{explained}");
    let line = explained
        .lines()
        .find(|line| line.contains("Beatwarden doesn't end it: "))
        .unwrap_or_else(|| panic!("no command in {explained}"));
    line.rsplit_once(" by: ").unwrap().1.to_owned()
}

/// `fail` is refused, and `explain` ends with a command, which is returned.
fn own_command(url: &str, preset: &str, job: &str) -> String {
    let (status, _, refusal) =
        beatwarden::run(&[&["check"], &*with(url, preset, &["--missed-first", "fail"])].concat());
    assert_eq!(status.code(), Some(2));
    assert!(refusal.contains("fail is refused: "), "{refusal}");
    explained(&with(url, preset, &[]), job)
}

/// Waits until a server answers.
async fn is_up(health: &str) {
    eventually(health, SLOWLY, async || {
        let asked = Command::new("curl").args(["-sf", health]).output().unwrap();
        asked.status.success().then_some(())
    })
    .await;
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// The tour of Prefect; `storage` is `url` as Prefect spells it.
async fn a_dead_flow_run_is_ended_by_the_request_that_explain_prints(url: &str, storage: &str) {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port().to_string());
    let api = format!("http://127.0.0.1:{port}/api");
    let mut server = program("prefect", "prefect");
    server
        .args(["server", "start", "--host", "127.0.0.1", "--no-ui", "--port", &port])
        .env("HOME", folder.path())
        .env("PREFECT_HOME", folder.path())
        .env("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        .env("PREFECT_API_DATABASE_CONNECTION_URL", storage)
        .current_dir(folder.path());
    let _server = Session::start(&server, &folder.path().join("log"));
    is_up(&format!("{api}/health")).await;

    let engine = Engine::of("prefect", "prefect_jobs.py", api.clone());
    engine.run(&["good"]).await;
    engine.crash(&["crash"]).await;
    engine.crash(&["crash_after"]).await;
    let _living = engine.start_until("live", "lives").await;
    is_discovered(url, &["prefect"]);
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
async fn prefect_on_postgresql() {
    let database = database().await;
    let storage = database.url.replacen("postgres", "postgresql+asyncpg", 1);
    a_dead_flow_run_is_ended_by_the_request_that_explain_prints(&database.url, &storage).await;
    costs::are_as_documented("prefect", &database.url).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make engines runs it"]
async fn prefect_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:///{}", folder.path().join("prefect.db").display());
    let storage = url.replacen("sqlite", "sqlite+aiosqlite", 1);
    a_dead_flow_run_is_ended_by_the_request_that_explain_prints(&url, &storage).await;
}

/// Runs the call by a shell that finds Dagster's Python.
fn call(command: &str, home: &Path) {
    let mut shell = program("dagster", "python");
    shell.args([
        "-c",
        "import os, sys; os.execvp('sh', ['sh', '-c', sys.argv[1]])",
        command,
    ]);
    run(shell.env("DAGSTER_HOME", home));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make engines runs it"]
async fn dagster_on_postgresql() {
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
    is_discovered(url, &["dagster"]);
    let dog = Beatwarden::watch(&with(url, "dagster", &[])).await;
    phases_become(
        &dog,
        "dagster",
        &[("missed_first", 1.0), ("lost", 1.0), ("beating", 1.0)],
    )
    .await;

    let command = own_command(url, "dagster", &job_in(&dog, "missed_first"));
    call(&command, home.path());
    phases_become(&dog, "dagster", &[("missed_first", 0.0)]).await;
    assert_eq!(engine.view().await, json!(["SUCCESS", "FAILURE", "STARTED", "STARTED"]));
    drop(dog);
    costs::are_as_documented("dagster", url).await;
}

/// The events of each run are in a file of their own there, so that age is all that there is.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "make engines runs it"]
async fn dagster_on_sqlite() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("dagster.yaml"), "telemetry:\n  enabled: false\n").unwrap();
    let engine = Engine::of("dagster", "dagster_jobs.py", home.path().display().to_string());
    engine.crash(&["good", "crash"]).await;
    let url = format!("sqlite:///{}", home.path().join("history/runs.db").display());
    is_discovered(&url, &["dagster"]);
    let (status, said, _) = beatwarden::run(&[&["check"], &*with(&url, "dagster", &[])].concat());
    assert!(
        !status.success() && said.contains("table `event_logs` not found in "),
        "{said}"
    );

    let file = home.path().join("beatwarden.toml");
    let text = format!(
        "[[watch]]\ndatabase = \"{url}\"\npreset = \"dagster\"\npoll_interval = \"200ms\"\ninit_deadline = \"2s\"\n\
         max_runtime = \"20s\"\n[watch.table]\nlast_heartbeat_at = \"\"\n"
    );
    fs::write(&file, text).unwrap();
    let arguments = ["--config", file.to_str().unwrap()];
    let dog = Beatwarden::watch(&arguments).await;
    phases_become(&dog, "dagster", &[("overrun", 1.0)]).await;
    let _living = engine.start_until("live", "lives").await;
    phases_become(&dog, "dagster", &[("running", 1.0), ("overrun", 1.0)]).await;
    call(&explained(&arguments, &job_in(&dog, "overrun")), home.path());
    phases_become(&dog, "dagster", &[("overrun", 0.0)]).await;
    assert_eq!(engine.view().await, json!(["SUCCESS", "FAILURE", "STARTED"]));
}

/// Airflow's own command, in a folder of its own.
fn airflow(home: &Path, storage: &str, port: u16) -> Command {
    let mut command = program("airflow", "airflow");
    let api = format!("http://127.0.0.1:{port}");
    let settings = [
        ("DATABASE__SQL_ALCHEMY_CONN", storage),
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

const FAILED: &str = "SELECT count(*) FROM job WHERE job_type = 'SchedulerJob' AND state = 'failed'";

/// The tour of Airflow; `storage` is `url` as Airflow spells it.
async fn what_a_dead_scheduler_left_is_taken_over_by_the_command_that_explain_prints(url: &str, storage: &str) {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let home = folder.path();
    fs::create_dir(home.join("dags")).unwrap();
    fs::copy(scripts().join("airflow_dag.py"), home.join("dags/work.py")).unwrap();
    run(airflow(home, storage, port).args(["db", "migrate"]));
    let _standalone = Session::start(airflow(home, storage, port).arg("standalone"), &home.join("log"));
    // A task that starts before the server fails for good.
    is_up(&format!("http://127.0.0.1:{port}/api/v2/monitor/health")).await;
    eventually("the DAG", SLOWLY, async || {
        let triggered = airflow(home, storage, port).args(["dags", "trigger", "work"]).output();
        triggered.unwrap().status.success().then_some(())
    })
    .await;
    let task: u32 = eventually("the task", SLOWLY, async || {
        let said = fs::read_to_string(home.join("task")).ok()?;
        said.strip_suffix('\n')?.parse().ok()
    })
    .await;

    is_discovered(url, &["airflow", "airflow-job"]);
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

    let supervisor = parent(task);
    let dead = [parent(supervisor), supervisor, task].map(|pid| pid.to_string());
    run(Command::new("kill").arg("-9").args(&dead));
    phases_become(&tasks, "airflow", &[("lost", 1.0)]).await;
    phases_become(&processes, "airflow-job", &[("beating", 2.0), ("lost", 1.0)]).await;

    let command = own_command(url, "airflow", &job_in(&tasks, "lost"));
    assert_eq!(command, own_command(url, "airflow-job", &job_in(&processes, "lost")));
    let (program, arguments) = command.split_once(' ').unwrap();
    assert_eq!(program, "airflow");
    let scheduler = Session::start(
        airflow(home, storage, port).args(arguments.split(' ')),
        &home.join("log-2"),
    );
    phases_become(&processes, "airflow-job", &[("lost", 0.0), ("beating", 3.0)]).await;
    phases_become(&tasks, "airflow", &[("lost", 0.0)]).await;
    drop(scheduler);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make engines runs it"]
async fn airflow_on_postgresql() {
    let database = database().await;
    let storage = database.url.replacen("postgres", "postgresql+psycopg2", 1);
    what_a_dead_scheduler_left_is_taken_over_by_the_command_that_explain_prints(&database.url, &storage).await;
    let failed: i64 = database.client().await.query_one(FAILED, &[]).await.unwrap().get(0);
    assert_eq!(failed, 1);
    for preset in ["airflow", "airflow-job"] {
        costs::are_as_documented(preset, &database.url).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make engines runs it"]
async fn airflow_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("airflow.db");
    let url = format!("sqlite:///{}", file.display());
    what_a_dead_scheduler_left_is_taken_over_by_the_command_that_explain_prints(&url, &url).await;
    let tables = rusqlite::Connection::open(file).unwrap();
    let failed: i64 = tables.query_row(FAILED, [], |row| row.get(0)).unwrap();
    assert_eq!(failed, 1);
}

/// The tour of n8n, of whose executions only the age is known. What is left is its database.
async fn an_execution_that_runs_too_long_is_crashed(bed: Bed) -> Option<TestDatabase> {
    bed.engine.crash(&["setup", "good", "crash"]).await;
    is_discovered(&bed.url, &["n8n"]);
    let dog = bed.watch("overrun = \"fail\"").await;
    bed.repairs_become(&dog, "overrun", 1.0).await;
    let (good, crashed) = (json!(["success", true]), json!(["crashed", true]));
    assert_eq!(bed.engine.view().await, json!([good, crashed]));

    // A living one that runs for longer is failed wrongly, and recognised by its good end.
    let living = bed.engine.start_until("live", "lives").await;
    phases_become(&dog, bed.preset, &[("running", 1.0)]).await;
    bed.repairs_become(&dog, "overrun", 2.0).await;
    assert_eq!(bed.engine.view().await, json!([good, crashed, crashed]));
    living.finish().await;
    dog.metric_becomes(&bed.series("false_repairs_total", ""), 1.0, SOON)
        .await;
    assert_eq!(bed.engine.view().await, json!([good, crashed, good]));
    assert!(dog.stop().success());
    bed.database
}

/// More than twice what the good execution takes on a busy machine.
const AGE: &str = "max_runtime = \"20s\"\n";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make engines runs it"]
async fn n8n_on_postgresql() {
    let bed = Bed::on_postgres("n8n_jobs.py", "n8n", "postgresql", AGE).await;
    let database = an_execution_that_runs_too_long_is_crashed(bed).await;
    costs::are_as_documented("n8n", &database.unwrap().url).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make engines runs it"]
async fn n8n_on_sqlite() {
    an_execution_that_runs_too_long_is_crashed(Bed::on_sqlite("n8n_jobs.py", "n8n", AGE)).await;
}
