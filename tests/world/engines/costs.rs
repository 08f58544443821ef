//! What a pass costs beside many finished jobs, in the tables and with the indexes that the system itself made: the figures of
//! docs/presets.md for the large systems. `make engines BESIDE=1000000` takes as many as there.

use super::cluster;
use crate::support::{Session, beatwarden, postgres::connect, written};
use std::fs;

/// How many jobs run.
const RUNNING: i64 = 100;
/// How many times the pass is made.
const CHECKS: usize = 5;

/// A table, how many rows of it a job has, and what they hold beside what the system wrote into the row that is copied: keys and
/// values of JSON, made of the number of the row, of the job, and of the words for a running and a finished one.
type Copied = (&'static str, i64, &'static str);

/// A preset, the words for a running and a finished job, the tables, and what the rows are found by.
type System = (
    &'static str,
    [&'static str; 2],
    &'static [Copied],
    &'static [&'static str],
);

const SYSTEMS: [System; 5] = [
    (
        "prefect",
        ["RUNNING", "COMPLETED"],
        &[
            (
                "flow_run",
                1,
                "'id', md5(job::text)::uuid, 'name', job, 'idempotency_key', job, 'state_type', state",
            ),
            (
                "events",
                1,
                "'id', md5(i::text)::uuid, 'resource_id', 'prefect.flow-run.' || md5(job::text)::uuid,
                 'event', 'prefect.flow-run.heartbeat'",
            ),
        ],
        &["ix_flow_run__state_type", "ix_events__event_resource_id_occurred"],
    ),
    (
        "dagster",
        ["STARTED", "SUCCESS"],
        &[
            (
                "runs",
                1,
                "'id', job + 1000, 'run_id', md5(job::text)::uuid, 'status', state",
            ),
            (
                "event_logs",
                5,
                "'id', i + 1000, 'run_id', md5(job::text)::uuid, 'event', '{}'",
            ),
        ],
        &["idx_run_status", "idx_events_by_run_id"],
    ),
    (
        "airflow",
        ["running", "success"],
        &[(
            "task_instance",
            1,
            "'id', md5(job::text)::uuid, 'map_index', job + 10, 'state', state",
        )],
        &["ti_state"],
    ),
    (
        "airflow-job",
        ["running", "success"],
        &[("job", 1, "'id', job + 1000, 'job_type', 'SchedulerJob', 'state', state")],
        &["idx_job_state_heartbeat"],
    ),
    (
        "n8n",
        ["running", "success"],
        &[(
            "execution_entity",
            1,
            "'id', job + 1000, 'status', state, 'deletedAt', NULL",
        )],
        &["Seq Scan on execution_entity"],
    ),
];

/// How many jobs have ended.
fn finished() -> i64 {
    std::env::var("BESIDE").map_or(10_000, |count| count.parse().expect("BESIDE is a number"))
}

/// Prints what the statement for the running rows costs the server, and asserts what it finds them by.
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
pub(super) async fn are_as_documented(preset: &str, url: &str) {
    let (_, [running, ended], tables, found_by) = SYSTEMS.iter().find(|system| system.0 == preset).unwrap();
    let client = connect(url).await;
    let (beside, all) = (finished(), finished() + RUNNING);
    client.run("SET session_replication_role = replica").await;
    for (table, each, values) in *tables {
        client
            .run(&format!(
                "INSERT INTO {table} SELECT copy.* FROM (SELECT written FROM {table} AS written LIMIT 1) AS template
                   CROSS JOIN generate_series(1, {all} * {each}) AS i
                   CROSS JOIN LATERAL (SELECT (i - 1) % {all} + 1 AS job) AS numbered
                   CROSS JOIN LATERAL (SELECT CASE WHEN job > {beside} THEN '{running}' ELSE '{ended}' END AS state) AS stated
                   CROSS JOIN LATERAL jsonb_populate_record(template.written, jsonb_build_object({values})) AS copy"
            ))
            .await;
        client.run(&format!("VACUUM ANALYZE {table}")).await;
    }
    let explain = "DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET session_preload_libraries = auto_explain', current_database());
        EXECUTE format('ALTER DATABASE %I SET auto_explain.log_min_duration = 0', current_database());
    END $$";
    client.run(explain).await;
    let age = if preset == "n8n" { "max_runtime = \"1h\"" } else { "" };
    let text = format!("[[watch]]\ndatabase = \"{url}\"\npreset = \"{preset}\"\n{age}\n");
    let (_folder, file) = written("beatwarden.toml", text);
    let log = || fs::read_to_string(cluster().folder().join("log")).unwrap();
    let before = log().len();
    for _ in 0..CHECKS {
        let (status, said, error) = beatwarden::run(&["check", "--config", file.to_str().unwrap()]);
        assert!(status.success(), "{said}{error}");
    }
    let table = format!("\"{}\"", tables[0].0);
    let log = log();
    let mut costs: Vec<(f64, &str)> = entries(&log[before..])
        .filter(|(_, entry)| entry.contains(&table))
        .collect();
    assert!(costs.len() >= CHECKS, "{preset}: {costs:?}");
    costs.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (millis, entry) = costs[costs.len() / 2];
    println!(
        "{preset}: {millis:.1} ms beside {beside} finished jobs, by {}",
        found_by.join(" and ")
    );
    let plan = entry.rsplit_once("LIMIT").map_or(entry, |(_, plan)| plan);
    for name in *found_by {
        assert!(plan.contains(name), "{preset} by {name}: {plan}");
    }
}

/// The entries of the log about the statement for the running rows, and what each took, in milliseconds.
fn entries(log: &str) -> impl Iterator<Item = (f64, &str)> {
    log.split("LOG:  duration: ").skip(1).filter_map(|entry| {
        let (millis, entry) = entry.split_once(" ms  plan:")?;
        // The lines of an entry but for its first are indented.
        let end = entry
            .match_indices('\n')
            .find(|(at, _)| !entry[at + 1..].starts_with('\t'));
        let entry = &entry[..end.map_or(entry.len(), |(at, _)| at)];
        let is_asked = entry.contains("Query Text: /* beatwarden: observe running */");
        Some((millis.parse().ok()?, entry)).filter(|_| is_asked)
    })
}
