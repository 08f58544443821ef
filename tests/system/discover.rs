//! `beatwarden discover` on real databases: what it names, that `check` takes what it prints, and that it leaves no trace.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod manners;
mod places;
mod zones;

use crate::support::{
    Session,
    beatwarden::{command, run},
    postgres::{self, TestDatabase},
    written,
};
use std::{fs, path::Path};
use tempfile::TempDir;

/// What `discover` says of a database, which has to be a good end.
fn discovered(url: &str) -> String {
    let (status, said, complaint) = run(&["discover", url]);
    assert!(status.success() && complaint.is_empty(), "{said}{complaint}");
    said
}

/// What `check` says of a configuration: whether it accepts it, and all that it prints.
fn checked(configuration: &str) -> (bool, String) {
    let (_folder, file) = written("beatwarden.toml", configuration);
    let (status, said, complaint) = run(&["check", "--config", file.to_str().unwrap()]);
    (status.success(), format!("{said}{complaint}"))
}

/// The lines that are in force.
fn in_force(said: &str) -> Vec<&str> {
    said.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

async fn server(sql: &str) -> TestDatabase {
    let database = postgres::shared().database().await;
    database.client().await.run(sql).await;
    database
}

fn file(sql: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

/// A small job table.
const JOBS_OF_A_FILE: &str =
    "CREATE TABLE jobs (id integer PRIMARY KEY, state text, started_at timestamp, heartbeat_at timestamp);
    INSERT INTO jobs VALUES (1, 'running', '2026-01-01 10:00:00', '2026-01-01 10:05:00');";

/// A table with all that a job table has, in PostgreSQL's words and in SQLite's.
const WHOLE: &str = "CREATE TABLE exports (id integer PRIMARY KEY, task_name text, status text, started_at timestamp, heartbeat_at timestamp,
        finished_at timestamp, document text);
    INSERT INTO exports (id, task_name, status, started_at, heartbeat_at) VALUES
        (1, 'a', 'running', '2026-01-01 10:00:00', '2026-01-01 10:05:00'), (2, 'b', 'succeeded', '2026-01-01 10:00:00', NULL),
        (3, 'c', 'failed', '2026-01-01 10:00:00', NULL), (4, 'd', 'queued', NULL, NULL);
    CREATE TABLE customers (id integer PRIMARY KEY, name text, created_at timestamp);";

#[tokio::test]
async fn a_whole_job_table_is_found_and_check_accepts_what_is_printed() {
    let (_folder, path) = file(WHOLE);
    let database = server(WHOLE).await;
    for target in [path.as_str(), database.url.as_str()] {
        let said = discovered(target);
        assert!(
            said.contains("2 tables: 1 that looks like a table of jobs, 1 other."),
            "{said}"
        );
        for line in [
            "id = \"id\"",
            "job_name = \"task_name\"",
            "state = \"status\"",
            "running = [\"running\"]",
            "success = [\"succeeded\"]",
            "failure = [\"failed\"]",
            "waiting = [\"queued\"]",
            "started_at = \"started_at\"",
            "last_heartbeat_at = \"heartbeat_at\"",
            "ended_at = \"finished_at\"",
        ] {
            assert!(in_force(&said).contains(&line), "{line}:\n{said}");
        }
        assert!(
            said.replace("\n#  ", "").contains("no index begins with `status`"),
            "{said}"
        );
        // The rows are too old to show in which zone they are written.
        assert!(
            said.matches("decide").count() == 1 && said.contains("# decide: the times have no zone"),
            "{said}"
        );
        let (is_good, report) = checked(&said);
        assert!(is_good, "{said}\n{report}");
    }
}

#[tokio::test]
async fn names_in_capitals_enums_uuids_epochs_and_other_schemas_are_mapped() {
    let database = server(
        "CREATE SCHEMA \"Back Office\";
         CREATE TYPE \"Back Office\".\"Run State\" AS ENUM ('Waiting', 'InProgress', 'Done', 'Failed');
         CREATE TABLE \"Back Office\".\"BackgroundJobs\" (\"Id\" uuid PRIMARY KEY, \"JobName\" text,
             \"Status\" \"Back Office\".\"Run State\", \"StartedAt\" timestamptz, \"LastHeartbeatAt\" timestamptz);
         CREATE INDEX \"by \"\"status\" ON \"Back Office\".\"BackgroundJobs\" (\"Status\");
         CREATE TABLE queue (id text PRIMARY KEY, kind text, status varchar(20), started bigint, last_ping bigint, ended bigint);
         INSERT INTO queue SELECT n::text, 'k', (ARRAY['running', 'done'])[1 + n % 2], ms, ms, NULL
             FROM generate_series(1, 30) AS n, LATERAL (SELECT (extract(epoch FROM now()) * 1000)::bigint + n AS ms) AS t;",
    )
    .await;
    let said = discovered(&database.url);
    for line in [
        "name = \"Back Office.BackgroundJobs\"",
        "id = \"Id\"",
        "running = [\"InProgress\"]",
        "waiting = [\"Waiting\"]",
        "last_heartbeat_at = \"LastHeartbeatAt\"",
        "started_at = \"started\"",
        "last_heartbeat_at = \"last_ping\"",
        "ended_at = \"ended\"",
        "time_format = \"epoch_ms\"",
    ] {
        assert!(in_force(&said).contains(&line), "{line}:\n{said}");
    }
    let (is_good, report) = checked(&said);
    assert!(
        is_good && report.contains("states: 15 jobs are in a running state"),
        "{said}\n{report}"
    );
}

#[tokio::test]
async fn heartbeats_in_a_table_that_refers_to_the_jobs_are_found() {
    let tables = "CREATE TABLE builds (build_id integer PRIMARY KEY, status text NOT NULL, started_at timestamp, worker integer);
         CREATE TABLE build_heartbeats (build_id integer PRIMARY KEY REFERENCES builds (build_id), at timestamp NOT NULL);
         INSERT INTO builds VALUES (1, 'running', '2026-01-01 10:00:00', NULL);
         INSERT INTO build_heartbeats VALUES (1, '2026-01-01 10:05:00');";
    let (_folder, path) = file(tables);
    let database = server(tables).await;
    for target in [path.as_str(), database.url.as_str()] {
        let said = discovered(target);
        let line = "last_heartbeat_at = { table = \"build_heartbeats\", key = \"build_id\", column = \"at\" }";
        assert!(in_force(&said).contains(&line), "{said}");
        let (is_good, report) = checked(&said);
        assert!(is_good, "{said}\n{report}");
    }
    let owned = server(
        "CREATE TABLE workers (worker_id bigint PRIMARY KEY, last_seen timestamptz);
         CREATE TABLE jobs (id bigint PRIMARY KEY, state text, started_at timestamptz, worker bigint REFERENCES workers);
         INSERT INTO jobs VALUES (1, 'working', now(), NULL);",
    )
    .await;
    let said = discovered(&owned.url);
    let line =
        "last_heartbeat_at = { table = \"workers\", key = \"worker_id\", match = \"worker\", column = \"last_seen\" }";
    assert!(in_force(&said).contains(&line), "{said}");
    assert!(checked(&said).0, "{said}");
}

#[tokio::test]
async fn what_only_a_person_can_know_is_left_open_and_check_names_just_that() {
    let without_heartbeat = "CREATE TABLE tasks (id text PRIMARY KEY, state text, started_at timestamp, finished_at timestamp);
         INSERT INTO tasks VALUES ('a', 'processing', '2026-01-01 10:00:00', NULL), ('b', 'succeeded', '2026-01-01 10:00:00', NULL);";
    let odd_states = "CREATE TABLE runs (id integer PRIMARY KEY, state text, started_at timestamp, heartbeat_at timestamp);
         INSERT INTO runs VALUES (1, 'frobnicating', '2026-01-01 10:00:00', NULL), (2, 'done', '2026-01-01 10:00:00', NULL);";
    let one_odd_state = "CREATE TABLE runs (id integer PRIMARY KEY, state text, started_at timestamp, heartbeat_at timestamp);
         INSERT INTO runs VALUES (1, 'running', '2026-01-01 10:00:00', NULL), (2, 'zapped', '2026-01-01 10:00:00', NULL);";
    for (tables, decision, named) in [
        (without_heartbeat, "# max_runtime = \"6h\"", "max_runtime"),
        (odd_states, "# running = [\"running\"]", "table.running"),
        (one_odd_state, "# [\"zapped\"]", "`zapped`"),
    ] {
        let (_folder, path) = file(tables);
        let database = server(tables).await;
        for target in [path.as_str(), database.url.as_str()] {
            let said = discovered(target);
            assert!(
                said.contains("# decide: ") && said.lines().any(|line| line == decision),
                "{said}"
            );
            let (is_good, report) = checked(&said);
            let complaints: Vec<&str> = report
                .lines()
                .filter(|line| line.contains("FAIL") || line.starts_with("  watch."))
                .collect();
            assert!(
                !is_good && complaints.len() == 1 && complaints[0].contains(named),
                "{said}\n{report}"
            );
        }
    }
}

#[tokio::test]
async fn a_table_that_needs_nothing_comes_before_one_that_needs_a_decision() {
    let (_folder, path) = file(&format!(
        "CREATE TABLE aaa_tasks (id integer PRIMARY KEY, state text, started_at timestamp, finished_at timestamp);
         INSERT INTO aaa_tasks VALUES (1, 'running', '2026-01-01 10:00:00', NULL);
         CREATE TABLE numbers (id integer PRIMARY KEY, status integer, started_at timestamp, heartbeat_at timestamp);
         {WHOLE}"
    ));
    let said = discovered(&path);
    assert_eq!(
        in_force(&said).iter().filter(|line| **line == "[[watch]]").count(),
        1,
        "{said}"
    );
    assert!(in_force(&said).contains(&"name = \"exports\""), "{said}");
    assert!(said.contains("# [[watch]]\n# name = \"aaa_tasks\"\n"), "{said}");
    assert!(
        said.contains("`status` holds numbers") && said.contains("docs/mapping.md"),
        "{said}"
    );
    assert!(checked(&said).0);
}

#[tokio::test]
async fn whatever_a_table_is_like_check_accepts_what_is_printed_or_something_is_asked() {
    let whole =
        "(id bigint PRIMARY KEY, state text, started_at timestamptz, heartbeat_at timestamptz, ended_at timestamptz)";
    let row = "VALUES (1, 'running', now(), now(), NULL)";
    let with = |columns: &str, values: &str| format!("CREATE TABLE jobs {columns}; INSERT INTO jobs {values}");
    for (tables, of) in [
        (format!("CREATE TABLE \" \" {whole}; INSERT INTO \" \" {row}"), "which a configuration can't name"),
        (with(&whole.replace("id big", "\" \" big"), row), "# decide: no column is unique"),
        (with(&whole.replace("ended_at", "\"ended\nat\""), row), "can't be named in a configuration"),
        (with(&whole.replace("state text", "\"job\nstate\" text"), row), "can't be named in a configuration"),
        (
            with(&whole.replace("PRIMARY KEY", "UNIQUE"), "VALUES (NULL, 'running', now(), now(), NULL)"),
            "# decide: rows have no value in this column",
        ),
        (with(&whole.replace("bigint", "numeric"), row), "# decide: `id` is unique, and of the type numeric"),
        (
            with(whole, "VALUES (1, 'running', 'infinity', now(), NULL)"),
            "# decide: rows hold infinity here",
        ),
        (
            with(whole, "VALUES (1, 'running', now(), now(), NULL), (2, '', now(), now(), NULL)"),
            "# decide: rows have an empty text",
        ),
        (
            with(whole, "VALUES (1, 'running', now(), now(), NULL), (2, repeat('x', 90), now(), now(), NULL)"),
            "# decide: rows have more than 64 bytes",
        ),
        (with(&whole.replace("ended_at timestamptz", "ended_at timestamp"), row), ""),
        (
            format!("CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.jobs {whole}; CREATE TABLE b.jobs {whole};
                     INSERT INTO a.jobs {row}; INSERT INTO b.jobs {row}"),
            "name = \"b.jobs\"",
        ),
        (
            format!(
                "CREATE TABLE jobs {} PARTITION BY RANGE (id); CREATE TABLE others PARTITION OF jobs DEFAULT; INSERT INTO jobs {row}",
                whole
            ),
            "",
        ),
        (
            "CREATE TABLE jobs (id bigint PRIMARY KEY, state text, started_at timestamptz); INSERT INTO jobs VALUES (1, 'running', now());
             CREATE TABLE beats (job_id bigint REFERENCES jobs, heartbeat_at timestamptz);
             INSERT INTO beats SELECT 1, now() FROM generate_series(1, 50000); ANALYZE beats"
                .to_owned(),
            "# decide: no index of `beats` begins with `job_id`",
        ),
        (with(&whole.replace("state text", "state jsonb"), &row.replace("running", "\"running\"")), "- `jobs`: `state` is of the type jsonb"),
        (with(&whole.replace("state text", "running boolean"), &row.replace("'running'", "true")), "- `jobs`: `running` is of the type boolean"),
        (with(&whole.replace("started_at timestamptz", "started_at text"), row), "- `jobs`: `started_at` is of the type text"),
    ] {
        let said = discovered(&server(&tables).await.url);
        assert!(said.replace("\n#   ", " ").contains(of), "{tables}\n{said}");
        let is_asked = said.contains("# decide: ") || !said.contains("\n[[watch]]\n");
        let accepted = || checked(&said);
        if !is_asked {
            let (is_good, report) = accepted();
            assert!(is_good, "{tables}\n{said}\n{report}");
        }
    }
}

#[tokio::test]
async fn states_that_only_a_constraint_lists_are_known() {
    let database = server(
        "CREATE TABLE reports (id bigint PRIMARY KEY, status varchar(20) CHECK (status IN ('NEW', 'STARTED', 'DONE', 'FAILED')),
             started_at timestamptz, last_seen timestamptz, note text CHECK (note <> 'running'))",
    )
    .await;
    let said = discovered(&database.url);
    for line in [
        "running = [\"STARTED\"]",
        "success = [\"DONE\"]",
        "failure = [\"FAILED\"]",
        "waiting = [\"NEW\"]",
    ] {
        assert!(in_force(&said).contains(&line), "{line}:\n{said}");
    }
    assert!(checked(&said).0, "{said}");
}

/// The table that Meltano 4 makes.
const MELTANO: &str = "CREATE TABLE runs (id integer PRIMARY KEY, job_name varchar, state varchar(10), started_at timestamp,
        last_heartbeat_at timestamp, ended_at timestamp, payload varchar, payload_flags integer, run_id varchar, trigger varchar);
    CREATE TABLE alembic_version (version_num varchar PRIMARY KEY);";

#[tokio::test]
async fn meltano_is_named_wherever_its_table_is_and_nothing_is_repaired_unasked() {
    let (_folder, path) = file(MELTANO);
    let database = server(MELTANO).await;
    let elsewhere =
        server(&MELTANO.replace("CREATE TABLE runs", "CREATE SCHEMA meltano; CREATE TABLE meltano.runs")).await;
    for (target, more) in [
        (path.as_str(), 0),
        (database.url.as_str(), 0),
        (elsewhere.url.as_str(), 1),
    ] {
        let said = discovered(target);
        assert!(said.contains("# Meltano: its table `"), "{said}");
        let lines = in_force(&said);
        assert!(
            lines.contains(&"preset = \"meltano\"") && lines.contains(&"missed_first = \"observe\""),
            "{said}"
        );
        assert_eq!(
            lines.iter().filter(|line| **line == "name = \"meltano.runs\"").count(),
            more,
            "{said}"
        );
        let (is_good, report) = checked(&said);
        assert!(is_good, "{said}\n{report}");
    }
}

#[tokio::test]
async fn a_table_of_another_version_is_said_to_be_one() {
    let (_folder, path) = file(&MELTANO.replace("last_heartbeat_at timestamp,", ""));
    let said = discovered(&path);
    assert!(
        said.contains("`runs` is like Meltano's table, but `last_heartbeat_at` is not there"),
        "{said}"
    );
    assert!(!in_force(&said).contains(&"preset = \"meltano\""), "{said}");
}

#[test]
fn without_an_argument_it_is_the_meltano_project_here_or_the_databases_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join(".meltano")).unwrap();
    let make = |path: &Path, sql: &str| rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
    make(&root.join(".meltano/meltano.db"), MELTANO);
    make(&root.join("other.db"), WHOLE);
    fs::write(root.join("meltano.yml"), "version: 1\n").unwrap();
    let say = |arguments: &[&str]| {
        let output = command(root).arg("discover").args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    // A shell has made the file before the command begins.
    fs::write(root.join("beatwarden.toml"), "").unwrap();
    let (code, said, _) = say(&[]);
    assert!(code == Some(0) && said.contains("preset = \"meltano\""), "{said}");

    let file = "[[watch]]\nname = \"a\"\ndatabase = \"other.db\"\n[[watch]]\nname = \"b\"\ndatabase = \"other.db\"\n";
    fs::write(root.join("beatwarden.toml"), file).unwrap();
    let (code, said, _) = say(&[]);
    assert!(code == Some(0) && said.matches("\n[[watch]]\n").count() == 1, "{said}");
    assert!(said.contains("name = \"exports\""), "{said}");
    let (_, said, _) = say(&[".meltano/meltano.db"]);
    assert!(said.contains("preset = \"meltano\""), "{said}");

    let (code, _, complaint) = say(&["a.db", "--database", "b.db"]);
    assert!(code == Some(2) && complaint.contains("given twice"), "{complaint}");
    let (code, _, complaint) = say(&["mysql://db/shop"]);
    assert!(code == Some(2) && complaint.contains("MySQL"), "{complaint}");
    fs::remove_file(root.join("meltano.yml")).unwrap();
    fs::remove_file(root.join("beatwarden.toml")).unwrap();
    let (code, _, complaint) = say(&[]);
    assert!(
        code == Some(2) && complaint.contains("beatwarden discover DATABASE"),
        "{complaint}"
    );
}

#[test]
fn what_the_page_about_mapping_shows_is_what_is_printed() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mapping.md")).unwrap();
    let block = |begin: &str| page.split_once(begin).unwrap().1.split("```").next().unwrap();
    let (folder, path) = file(block("```sql\n"));
    let shop = folder.path().join("shop.db");
    fs::rename(path, &shop).unwrap();
    let output = command(folder.path()).args(["discover", "shop.db"]).output().unwrap();
    let said = String::from_utf8(output.stdout)
        .unwrap()
        .replace(folder.path().to_str().unwrap(), "/srv/shop");
    assert_eq!(block("```console\n$ beatwarden discover shop.db\n"), said);
}
