//! The examples of docs/mapping.md: the tables are made, one job is put into them, and `check` finds it by the configuration
//! beside them.

use crate::support::{Session, beatwarden::run, postgres, written};
use std::{collections::BTreeMap, fs, path::Path};

/// A heading, and the code below it.
struct Example {
    heading: String,
    sql: String,
    toml: String,
}

fn examples() -> Vec<Example> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mapping.md");
    let page = fs::read_to_string(page).unwrap();
    let block = |section: &str, language: &str| {
        let begin = format!("```{language}\n");
        let (_, rest) = section.split_once(&begin).expect("a block of code");
        rest.split("```").next().unwrap().to_owned()
    };
    page.split("\n## ... ")
        .skip(1)
        .map(|section| Example {
            heading: section.lines().next().unwrap().to_owned(),
            sql: block(section, "sql"),
            toml: block(section, "toml"),
        })
        .collect()
}

/// One running job with a real heartbeat for each example, and some rows beside it that are none.
fn jobs() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        (
            "its heartbeats in another table",
            "INSERT INTO trials VALUES (1, 'RUNNING', now() AT TIME ZONE 'UTC' - interval '60 s', NULL);
             INSERT INTO trial_heartbeats VALUES (1, localtimestamp)",
        ),
        (
            "its start in another table, or the heartbeats of an owner",
            "INSERT INTO workers VALUES (7, now());
             INSERT INTO jobs VALUES (1, 'doing', 7), (2, 'todo', NULL);
             INSERT INTO events VALUES (1, 1, 'deferred', now()), (2, 1, 'started', now() - interval '60 s')",
        ),
        (
            "its heartbeats among other events, under a name made of the key",
            "INSERT INTO flow_run VALUES ('0197d6b8-0000-7000-8000-000000000001', 'RUNNING', now() - interval '60 s');
             INSERT INTO events VALUES ('0197d6b8-0000-7000-8000-000000000002', 'heartbeat',
                 'flow-run.0197d6b8-0000-7000-8000-000000000001', now())",
        ),
        (
            "rows that are no jobs, and states that are NULL",
            "INSERT INTO job VALUES (1, 'SchedulerJob', 'running', now() - interval '60 s', now(), NULL, true),
                 (2, 'LocalTaskJob', 'running', now(), NULL, NULL, true), (3, 'SchedulerJob', NULL, now(), NULL, NULL, true)",
        ),
        (
            "times of several kinds",
            "INSERT INTO tasks VALUES (1, 'STARTED', extract(epoch FROM now()) - 60, now() AT TIME ZONE 'Europe/Berlin', NULL)",
        ),
        (
            "no column for the state",
            "INSERT INTO delayed_jobs VALUES (1, now() - interval '60 s', now(), NULL), (2, NULL, NULL, NULL)",
        ),
        (
            "a key of several columns",
            "INSERT INTO runs VALUES ('a', '1', 'running', now() - interval '60 s', now())",
        ),
        (
            "a value that has to be computed",
            "INSERT INTO work VALUES (1, jsonb_build_object('status', 'active', 'started', now() - interval '60 s'),
                 now() + interval '30 s')",
        ),
    ])
}

#[tokio::test]
async fn every_example_of_the_page_is_read_as_it_says() {
    let (examples, jobs) = (examples(), jobs());
    let headings: Vec<&str> = examples.iter().map(|example| example.heading.as_str()).collect();
    assert_eq!(headings.len(), jobs.len(), "{headings:?}");
    for example in &examples {
        let heading = example.heading.as_str();
        let (database, client) = postgres::shared().database_with(&example.sql).await;
        client.run(jobs[heading]).await;
        let line = format!("[[watch]]\ndatabase = \"{}\"\n", database.url);
        let (_folder, file) = written("beatwarden.toml", example.toml.replacen("[[watch]]\n", &line, 1));
        let (status, stdout, stderr) = run(&["check", "--config", file.to_str().unwrap()]);
        assert!(
            stdout.contains("states: 1 job is in a running state")
                && stdout.contains("0 have no heartbeat, 0 a seeded and 1 a real one"),
            "{heading}:\n{stdout}{stderr}"
        );
        let failed: Vec<&str> = stdout.lines().filter(|line| line.starts_with("  FAIL")).collect();
        assert!(
            status.success() || failed.iter().all(|line| line.contains("role: ")),
            "{heading}:\n{stdout}{stderr}"
        );
    }
}
