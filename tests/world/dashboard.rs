//! The Grafana dashboard, as far as it can be tried without Grafana: every query of every panel, variable and annotation is
//! asked of a real Prometheus that scrapes the real binary through a scripted day of trouble.
//!
//! Every query stands with its answer in `dashboard-answers.txt` in the folder for the tests' files, `target/tmp`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    Session,
    beatwarden::Beatwarden,
    eventually, http,
    postgres::{Cluster, TestDatabase, free_port},
    prometheus::Prometheus,
    runs::TABLE,
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fmt::Write,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio_postgres::Client;

const SOON: Duration = Duration::from_secs(30);

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// The panels that show something, those of collapsed rows too.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let rows_and_panels = list(dashboard, "panels").iter();
    rows_and_panels
        .flat_map(|panel| std::iter::once(panel).chain(list(panel, "panels")))
        .filter(|panel| panel["type"] != "row")
}

fn dashboard() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards/overview.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What Grafana puts in place of the variables, with everything chosen.
fn filled_in(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "5s")
        .replace("$job", ".+")
        .replace("$instance", ".+")
        .replace("$watch", ".+")
}

/// A living writer: it starts a job every second, beats for all of them, and ends them after five.
async fn write(client: Client) {
    for id in 1_000.. {
        let script = format!(
            "INSERT INTO runs (id, job_name, state, started_at) VALUES ({id}, 'alive-{}', 'RUNNING', now() AT TIME ZONE 'UTC');
             SELECT pg_sleep(0.2);
             UPDATE runs SET last_heartbeat_at = clock_timestamp() AT TIME ZONE 'UTC' WHERE state = 'RUNNING' AND id >= 1000;
             UPDATE runs SET state = 'SUCCESS', ended_at = now() AT TIME ZONE 'UTC' WHERE id >= 1000 AND id <= {id} - 5;",
            id % 5
        );
        for statement in script.split(';').filter(|statement| !statement.trim().is_empty()) {
            if client.batch_execute(statement).await.is_err() {
                // The scenario ends with the database.
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}

struct Scene {
    cluster: Cluster,
    client: Client,
    dog: Beatwarden,
    prometheus: Prometheus,
    began: f64,
}

impl Scene {
    async fn set() -> Self {
        let cluster = Cluster::start_own();
        let database: TestDatabase = cluster.database().await;
        let client = database.client().await;
        client.run(TABLE).await;
        // Rows in unknown states are counted when the whole table is read, as at the start.
        let unknown = "INSERT INTO runs (id, state, started_at) VALUES (4, 'ELSEWHERE', now())";
        client.run(unknown).await;
        // A job that is hardly younger than its server is not failed at once.
        client.run("SELECT pg_sleep(3)").await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("beatwarden.toml");
        let watch = |name: &str, url: &str, words: &str| {
            format!(
                "[[watch]]\nname = \"{name}\"\ndatabase = \"{url}\"\n{words}\npoll_interval = \"200ms\"\n\
                 poll_timeout = \"2s\"\ninit_deadline = \"2s\"\nheartbeat_timeout = \"4s\"\n\
                 [watch.repair]\nmissed_first = \"fail\"\n"
            )
        };
        let ours = watch(
            "meltano",
            &database.url,
            "preset = \"meltano\"\nnoun = \"pipeline run\"",
        );
        let refused = format!("postgres://nobody@127.0.0.1:{}/none", free_port());
        std::fs::write(&file, ours + &watch("away", &refused, "preset = \"optuna\"")).unwrap();
        let dog = Beatwarden::watch(&["--config", file.to_str().unwrap()]).await;
        let configuration = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\n\
             rule_files: [rules.yml, {rules}]\n\
             scrape_configs:\n- job_name: beatwarden\n  static_configs: [{{targets: ['{address}']}}]\n",
            rules = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus/beatwarden.rules.yml"),
            address = dog.address
        );
        // Our own alerts wait for minutes; this one has the same labels and doesn't.
        let at_once =
            "groups: [{name: test, rules: [{alert: BeatwardenTestStuck, expr: 'beatwarden_stuck_jobs > 0'}]}]\n";
        let prometheus = Prometheus::start(&configuration, at_once).await;
        tokio::spawn(write(database.client().await));
        Self {
            cluster,
            client,
            dog,
            prometheus,
            began: now(),
        }
    }

    async fn sql(&self, statement: &str) {
        self.client.run(statement).await;
    }

    /// Waits until Prometheus has seen it.
    async fn seen(&self, expression: &str) {
        eventually(
            format_args!("{expression} in Prometheus; log:\n{}", self.dog.whole_log()),
            SOON,
            async || (!self.prometheus.query(expression).is_empty()).then_some(()),
        )
        .await;
    }

    /// Healthy, lost and recovered, an init failure and its repair, a false repair and the fuse, a late heartbeat.
    async fn play(&self) {
        self.seen("beatwarden_running_jobs{watch='meltano',phase='beating'} > 2")
            .await;
        self.seen("beatwarden_job_init_seconds_count > 2").await;

        self.sql(
            "INSERT INTO runs (id, job_name, state, started_at, last_heartbeat_at) SELECT 1, 'silent', 'RUNNING',
             t - interval '60 s', t - interval '30 s' FROM (SELECT now() AT TIME ZONE 'UTC' AS t) AS utc",
        )
        .await;
        self.seen("beatwarden_stuck_jobs{reason='lost'} == 1").await;
        self.sql("UPDATE runs SET last_heartbeat_at = now() AT TIME ZONE 'UTC' WHERE id = 1")
            .await;
        self.seen("beatwarden_recovered_heartbeats_total == 1").await;
        self.sql("UPDATE runs SET state = 'SUCCESS', ended_at = now() AT TIME ZONE 'UTC' WHERE id = 1")
            .await;

        let dead = |id: u32| {
            format!(
                "INSERT INTO runs (id, job_name, state, started_at) VALUES ({id}, 'dead', 'RUNNING', now() AT TIME ZONE 'UTC')"
            )
        };
        self.sql(&dead(2)).await;
        self.seen("beatwarden_repairs_total{action='fail'} == 1").await;
        self.sql("UPDATE runs SET last_heartbeat_at = now() AT TIME ZONE 'UTC' WHERE id = 2")
            .await;
        self.seen("beatwarden_false_repairs_total == 1").await;
        self.seen("beatwarden_fuse_open == 1").await;

        self.sql(&dead(3)).await;
        self.seen("beatwarden_withheld_repairs{cause='fuse'} == 1").await;
        self.sql("UPDATE runs SET last_heartbeat_at = now() AT TIME ZONE 'UTC' WHERE id = 3")
            .await;
        self.seen("beatwarden_late_first_heartbeats_total == 1").await;
        self.sql("UPDATE runs SET state = 'SUCCESS', ended_at = now() AT TIME ZONE 'UTC' WHERE id = 3")
            .await;
        // Rates need two scrapes with the new value.
        self.seen("increase(beatwarden_late_first_heartbeats_total[5s]) > 0")
            .await;
    }
}

/// A panel's title, the index of its query, and labels of its series.
type Query = (&'static str, usize, &'static [(&'static str, &'static str)]);

/// What a query must have shown at some time.
const SHOWN: &[(Query, f64)] = &[
    (("Table readable", 0, &[("watch", "meltano")]), 1.0),
    (("Table readable", 0, &[("watch", "meltano")]), 0.0),
    (("Table readable", 0, &[("watch", "away")]), 0.0),
    (("Stuck", 0, &[("reason", "lost"), ("noun", "pipeline run")]), 1.0),
    (
        (
            "What is watched",
            0,
            &[("watch", "away"), ("noun", "trial"), ("preset", "optuna")],
        ),
        1.0,
    ),
    (("Blocking", 0, &[("watch", "meltano")]), 1.0),
    (("Blocking", 0, &[("watch", "meltano")]), 0.0),
    (("Stuck", 0, &[("reason", "missed_first")]), 1.0),
    (("Stuck jobs", 0, &[("reason", "lost")]), 0.0),
    (("Repairs withheld", 0, &[("cause", "fuse")]), 1.0),
    (("Fuse", 0, &[("watch", "meltano")]), 1.0),
    (("Fuse", 0, &[("watch", "meltano")]), 0.0),
    (("Repairs enabled", 0, &[("watch", "meltano")]), 1.0),
    (("Short jobs counted", 0, &[("watch", "meltano")]), 1.0),
    (("Guard", 0, &[("watch", "meltano")]), 0.0),
    (("Configuration in force", 0, &[]), 1.0),
    (("Rows that can't be judged", 1, &[("watch", "meltano")]), 1.0),
    (
        ("First-heartbeat success and objective", 1, &[("watch", "meltano")]),
        0.99,
    ),
    (("Since the last good pass", 1, &[("watch", "meltano")]), 0.6),
    (("Interval in force", 2, &[("watch", "meltano")]), 1.0),
];

/// What must have been above zero at some time.
const ROSE: &[Query] = &[
    ("Running", 0, &[("watch", "meltano")]),
    (
        "Stuck jobs by name",
        0,
        &[("job_name", "silent"), ("reason", "lost"), ("noun", "pipeline run")],
    ),
    ("Repairs", 0, &[("action", "fail")]),
    ("Repairs", 2, &[]),
    ("First heartbeats", 0, &[]),
    ("First heartbeats", 1, &[]),
    ("Late and recovered", 0, &[]),
    ("Late and recovered", 1, &[]),
    ("Failed passes", 0, &[("cause", "connect"), ("watch", "away")]),
    ("Newly withheld by cause", 0, &[("cause", "fuse")]),
    ("Time to the first heartbeat", 1, &[]),
    ("Oldest heartbeat by job name", 0, &[("job_name", "dead")]),
];

struct Answered {
    title: String,
    series: Vec<Vec<(Value, Vec<f64>)>>,
}

fn ask_panels(scene: &Scene, dashboard: &Value, answers: &mut String) -> Vec<Answered> {
    let until = now();
    let mut answered = Vec::new();
    for panel in panels(dashboard) {
        let title = panel["title"].as_str().unwrap().to_owned();
        let mut of_panel = Vec::new();
        for target in list(panel, "targets") {
            let expression = filled_in(target["expr"].as_str().unwrap());
            let series = scene.prometheus.values(&expression, scene.began, until);
            let _ = writeln!(answers, "{title}: {expression}");
            for (labels, values) in &series {
                let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), value| {
                    (low.min(*value), high.max(*value))
                });
                let _ = writeln!(answers, "    {labels}: {} values, {low:.3} to {high:.3}", values.len());
            }
            assert!(!series.is_empty(), "{title} shows nothing: {expression}");
            for label in labels_of(target["legendFormat"].as_str().unwrap()) {
                for (labels, _) in &series {
                    // A stat of two kinds of series has some labels in one kind only.
                    let known = !labels[&label].is_null() || title == "Repairs withheld";
                    assert!(known, "{title}: the legend names `{label}`, and there are {labels}");
                }
            }
            columns_are_there(panel, &series[0].0);
            of_panel.push(series);
        }
        a_watch_without_a_word_of_its_own_has_jobs(scene, panel);
        answered.push(Answered {
            title,
            series: of_panel,
        });
    }
    answered
}

/// A replica that doesn't export the word yet leaves no panel empty.
fn a_watch_without_a_word_of_its_own_has_jobs(scene: &Scene, panel: &Value) {
    let expression = filled_in(list(panel, "targets")[0]["expr"].as_str().unwrap());
    if expression.contains(" or on (watch") {
        let without = expression.replace("beatwarden_watch_info", "beatwarden_watch_info_of_old");
        let series = scene.prometheus.values(&without, scene.began, now());
        assert!(!series.is_empty(), "{}: {without}", panel["title"]);
        for (labels, _) in &series {
            assert_eq!(labels["noun"], "job", "{}: {labels}", panel["title"]);
        }
    }
}

/// Whatever a table leaves out, orders or renames is a label of its series, its time or its value.
fn columns_are_there(panel: &Value, labels: &Value) {
    for transformation in list(panel, "transformations") {
        for part in ["excludeByName", "indexByName", "renameByName"] {
            for column in transformation["options"][part].as_object().unwrap().keys() {
                let known = ["Time", "Value"].contains(&column.as_str()) || !labels[column].is_null();
                assert!(known, "{}: no column `{column}`: {labels}", panel["title"]);
            }
        }
    }
}

/// `{{name}}` in a legend.
fn labels_of(legend: &str) -> Vec<String> {
    legend
        .split("{{")
        .skip(1)
        .map(|rest| rest.split("}}").next().unwrap().trim().to_owned())
        .collect()
}

fn values<'a>(answered: &'a [Answered], title: &str, query: usize, wanted: &[(&str, &str)]) -> Vec<&'a f64> {
    let panel = answered.iter().find(|panel| panel.title == title);
    let panel = panel.unwrap_or_else(|| panic!("there is no panel `{title}`"));
    panel.series[query]
        .iter()
        .filter(|(labels, _)| wanted.iter().all(|(name, value)| labels[*name] == *value))
        .flat_map(|(_, values)| values)
        .collect()
}

fn ask_variables(scene: &Scene, dashboard: &Value, answers: &mut String) {
    let expected = [("job", "beatwarden"), ("watch", "meltano")];
    for variable in list(&dashboard["templating"], "list") {
        let name = variable["name"].as_str().unwrap();
        let Some(query) = variable["query"]["query"].as_str() else {
            assert!(
                ["datasource", "textbox"].contains(&variable["type"].as_str().unwrap()),
                "{name}"
            );
            continue;
        };
        let inside = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'));
        let (selector, label) = inside.and_then(|inside| inside.rsplit_once(", ")).unwrap();
        let values = scene
            .prometheus
            .ask(&format!("label/{label}/values"), &[("match[]", &filled_in(selector))]);
        let _ = writeln!(answers, "${name}: {query}: {values}");
        let values = values.as_array().unwrap();
        assert!(!values.is_empty(), "${name} has nothing to choose from: {query}");
        for (of, value) in expected.iter().filter(|(of, _)| *of == name) {
            assert!(
                values.iter().any(|found| found == value),
                "${of} lacks {value}: {values:?}"
            );
        }
    }
}

fn ask_annotations(scene: &Scene, dashboard: &Value, answers: &mut String) {
    let until = now();
    for annotation in list(&dashboard["annotations"], "list") {
        let Some(expression) = annotation["target"]["expr"].as_str() else {
            assert_eq!(annotation["builtIn"], 1, "{annotation}");
            continue;
        };
        let series = scene.prometheus.values(&filled_in(expression), scene.began, until);
        let _ = writeln!(
            answers,
            "annotation {}: {expression}: {} series",
            annotation["name"],
            series.len()
        );
        assert!(!series.is_empty(), "{} marks nothing: {expression}", annotation["name"]);
        if annotation["useValueForTime"] == true {
            // Milliseconds, and within the scenario: the repair has its mark where it happened.
            let moments = series.iter().flat_map(|(_, values)| values);
            let (from, to) = (scene.began * 1000.0, until * 1000.0);
            for moment in moments {
                assert!((from..to).contains(moment), "{} at {moment}", annotation["name"]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_dashboard_answers_through_a_scripted_day_of_trouble() {
    let dashboard = dashboard();
    let scene = Scene::set().await;
    scene.play().await;
    let mut answers = String::new();
    ask_variables(&scene, &dashboard, &mut answers);
    ask_annotations(&scene, &dashboard, &mut answers);
    scene.cluster.stop();
    scene.seen("beatwarden_up{watch='meltano'} == 0").await;
    // The gauges of the table go away with it; what they showed stays in the range.
    let gone = "absent(beatwarden_stuck_jobs{watch='meltano'})";
    scene.seen(gone).await;
    let answered = ask_panels(&scene, &dashboard, &mut answers);
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/dashboard-answers.txt");
    std::fs::write(file, answers).unwrap();
    for ((title, query, labels), value) in SHOWN {
        let found = values(&answered, title, *query, labels);
        assert!(
            found.iter().any(|found| (**found - value).abs() < 1e-9),
            "{title} never showed {value} for {labels:?}: {found:?}"
        );
    }
    for (title, query, labels) in ROSE {
        let found = values(&answered, title, *query, labels);
        assert!(
            found.iter().any(|found| **found > 0.0),
            "{title} never rose for {labels:?}: {found:?}"
        );
    }
    let exported = http::get(scene.dog.address, "/metrics").text();
    every_metric_is_used_or_documented(&exported);
}

/// Every exported metric stands in the dashboard, in the rules, or at least in the documentation.
fn every_metric_is_used_or_documented(exported: &str) {
    let mut known = String::new();
    for path in [
        "dashboards/overview.json",
        "config/prometheus/beatwarden.rules.yml",
        "docs/metrics.md",
    ] {
        known += &std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    }
    let words: BTreeSet<&str> = known
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .collect();
    let names = exported
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let unknown: Vec<&str> = names.filter(|name| !words.contains(name)).collect();
    assert_eq!(unknown, Vec::<&str>::new());
}

#[test]
fn the_dashboard_fits_the_types_of_grafanas_schema() {
    let root = env!("CARGO_MANIFEST_DIR");
    let types = std::fs::read_to_string(format!("{root}/tests/world/dashboard.ts")).unwrap();
    let board = std::fs::read_to_string(format!("{root}/dashboards/overview.json")).unwrap();
    let refused = |board: &str| {
        let folder = tempfile::tempdir().unwrap();
        let packages = crate::support::cache().join("grafana-schema/node_modules");
        std::os::unix::fs::symlink(&packages, folder.path().join("node_modules")).unwrap();
        std::fs::write(folder.path().join("board.ts"), format!("{types}{board};\n")).unwrap();
        let output = Command::new(packages.join(".bin/tsc"))
            .current_dir(folder.path())
            .args(["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022"])
            .args(["--module", "esnext", "--moduleResolution", "bundler", "board.ts"])
            .output()
            .expect("the TypeScript compiler is missing: run scripts/setup-tests.sh");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(refused(&board), "");
    for (right, wrong) in [
        (r#""showPoints": "never""#, r#""showPoints": "seldom""#),
        (r#""gridPos""#, r#""place""#),
        (r#""graphTooltip": 1"#, r#""graphTooltip": "1""#),
        (r#""renameByName""#, r#""renameByNames""#),
        (r#""cellHeight": "sm""#, r#""cellHeight": "small""#),
    ] {
        assert_ne!(refused(&board.replace(right, wrong)), "", "{wrong} is not noticed");
    }
}

/// The rules of Grafana's own dashboard linter that tests/world/shipped.rs does not have.
#[test]
fn the_dashboard_keeps_the_rules_of_grafanas_linter() {
    let dashboard = dashboard();
    let variables = list(&dashboard["templating"], "list");
    let named = |name: &str| variables.iter().find(|variable| variable["name"] == name).unwrap();
    assert_eq!(
        (&named("datasource")["type"], &named("datasource")["query"]),
        (&"datasource".into(), &"prometheus".into())
    );
    for name in ["job", "instance"] {
        let variable = named(name);
        assert_eq!(variable["datasource"]["uid"], "${datasource}", "{name}");
        assert_eq!(
            (&variable["multi"], &variable["allValue"]),
            (&true.into(), &".+".into()),
            "{name}"
        );
        assert_ne!(variable["label"].as_str().unwrap_or_default(), "", "{name}");
    }
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        assert_eq!(
            variable["refresh"], 2,
            "a variable that asks does so when the time range changes: {variable}"
        );
    }
    assert_eq!(dashboard["editable"], true, "people look closer at what they see");
    let rows = list(&dashboard, "panels").iter().filter(|panel| panel["type"] == "row");
    for (number, row) in rows.enumerate() {
        assert_eq!(row["collapsed"], number > 0, "{}", row["title"]);
        assert_eq!(list(row, "panels").is_empty(), number == 0, "{}", row["title"]);
    }
    assert_ne!(dashboard["uid"].as_str().unwrap_or_default(), "");
    for annotation in list(&dashboard["annotations"], "list")
        .iter()
        .filter(|one| one["builtIn"] != 1)
    {
        assert_eq!(annotation["datasource"]["uid"], "${datasource}", "{annotation}");
    }
    for panel in panels(&dashboard) {
        let mut references = BTreeSet::new();
        for target in list(panel, "targets") {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            assert!(
                references.insert(target["refId"].as_str().unwrap()),
                "{}: {target}",
                panel["title"]
            );
            let expression = target["expr"].as_str().unwrap();
            let counts = expression.contains("_total{");
            let windowed = ["rate(", "increase("]
                .iter()
                .any(|function| expression.contains(function));
            assert!(
                !counts || windowed,
                "{}: a counter is shown by its growth: {expression}",
                panel["title"]
            );
            assert_eq!(
                target["instant"] == true,
                panel["type"] != "timeseries",
                "{}: {target}",
                panel["title"]
            );
        }
    }
    let links: Vec<&str> = list(&dashboard, "links")
        .iter()
        .filter_map(|link| link["url"].as_str())
        .collect();
    // A person sets both: what Prometheus calls an instance is no address for a browser.
    assert!(links.contains(&"${page}"), "a link to the page: {links:?}");
    for panel in panels(&dashboard) {
        for link in list(&panel["fieldConfig"]["defaults"], "links") {
            assert_eq!(link["url"], "${page}", "{}", panel["title"]);
        }
    }
    assert!(links.contains(&"${runbook}"), "a link to the runbook: {links:?}");
}
