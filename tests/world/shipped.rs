//! Checks what surrounds the binary: Prometheus rules, runbook and dashboards here, the compose
//! set-up and the image in `shipped/container.rs`.
//!
//! There is no container engine and no Grafana in these tests. What a parser, promtool and the
//! documents themselves can show is checked here; that the files *run* is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use config::{Config, File, FileFormat};
use serde_json::Value;

mod container;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    Config::builder()
        .add_source(File::from(root().join(path)).format(FileFormat::Yaml))
        .build()
        .and_then(Config::try_deserialize)
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below `folder`, so that a new file is checked without being named here.
fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder of the repository can be read");
            open.extend(entries.map(|entry| entry.expect("an entry can be read").path()));
        } else {
            found.push(path);
        }
    }
    assert!(!found.is_empty(), "{folder} has no files");
    found
}

fn dashboards() -> BTreeMap<String, Value> {
    files_below("dashboards")
        .into_iter()
        .map(|path| {
            let content = fs::read_to_string(&path).expect("a dashboard is a readable file");
            let parsed = serde_json::from_str(&content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.display().to_string(), parsed)
        })
        .collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The panels of a dashboard that show something; rows only group them.
fn panels(dashboard: &Value) -> Vec<&Value> {
    list(dashboard, "panels")
        .iter()
        .flat_map(|panel| std::iter::once(panel).chain(list(panel, "panels")))
        .filter(|panel| panel["type"] != "row")
        .collect()
}

/// The external labels of Prometheus that say where the links of an alert lead.
const LINKS: [&str; 2] = ["beatwarden_page", "beatwarden_runbook"];

/// `beatwarden_...` as a whole word; recorded series have a colon in front and don't count.
fn metric_names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .map(|word| word.trim_end_matches(':'))
        .filter(|word| word.starts_with("beatwarden_") && *word != "beatwarden_" && !LINKS.contains(word))
        .map(str::to_owned)
        .collect()
}

/// The metrics of docs/metrics.md with their types: rows whose first cell is a name in backticks.
fn documented_metrics() -> BTreeMap<String, String> {
    text("docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `beatwarden_"))
        .map(|row| {
            let mut cells = row.split('|').map(str::trim);
            let name = cells.next().unwrap_or_default().trim_end_matches('`');
            let kind = cells.next().unwrap_or_default().to_owned();
            (format!("beatwarden_{name}"), kind)
        })
        .collect()
}

fn is_documented(name: &str, documented: &BTreeMap<String, String>) -> bool {
    documented.contains_key(name)
        || ["_bucket", "_sum", "_count"].iter().any(|suffix| {
            name.strip_suffix(suffix)
                .is_some_and(|base| documented.get(base).is_some_and(|kind| kind == "histogram"))
        })
}

/// GitHub's anchor of a heading that has no punctuation.
fn anchors(markdown: &str) -> BTreeSet<String> {
    markdown
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| heading.trim().to_lowercase().replace(' ', "-"))
        .collect()
}

fn alerts() -> Vec<Value> {
    let rules = yaml("config/prometheus/beatwarden.rules.yml");
    list(&rules, "groups")
        .iter()
        .flat_map(|group| list(group, "rules"))
        .filter(|rule| !string(rule, "alert").is_empty())
        .cloned()
        .collect()
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    let output = Command::new(root().join("scripts/check-prometheus.sh"))
        .output()
        .expect("scripts/check-prometheus.sh is executable");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_missing_promtool_is_named_with_the_command_that_installs_it() {
    let output = Command::new(root().join("scripts/check-prometheus.sh"))
        .env("PROMTOOL", "promtool-that-does-not-exist")
        .output()
        .expect("scripts/check-prometheus.sh is executable");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("promtool-that-does-not-exist"), "{message}");
    assert!(message.contains("apt-get install"), "{message}");
}

/// An annotation that is an external label of Prometheus, and a text where that is not set.
fn linked(label: &str, otherwise: &str) -> String {
    format!("{{{{ with $externalLabels.beatwarden_{label} }}}}{{{{ . }}}}{{{{ else }}}}{otherwise}{{{{ end }}}}")
}

#[test]
fn every_alert_says_how_bad_it_is_and_where_to_read_on() {
    let sections = anchors(&text("docs/runbook.md"));
    let alerts = alerts();
    assert!(alerts.len() >= 5, "only {} alerts", alerts.len());
    for alert in &alerts {
        let name = string(alert, "alert");
        let severity = string(&alert["labels"], "severity");
        assert!(
            ["critical", "warning"].contains(&severity),
            "{name}: severity {severity:?}"
        );
        let first = string(&alert["annotations"], "description").contains("First: ");
        assert!(first, "{name}: no first step");
        let about_watch = !["BeatwardenDown", "BeatwardenTargetDown", "BeatwardenReloadFailed"].contains(&name);
        for annotation in ["summary", "description"] {
            let text = string(&alert["annotations"], annotation);
            assert!(
                !about_watch || text.contains("{{ $labels.watch }}"),
                "{name}: {annotation} names no watch"
            );
        }
        assert_eq!(
            string(&alert["annotations"], "page_url"),
            linked("page", "port 12328 of Beatwarden"),
            "{name}"
        );
        let url = string(&alert["annotations"], "runbook_url");
        let anchor = url.strip_prefix(&format!("{}#", linked("runbook", "docs/runbook.md")));
        assert_eq!(
            anchor,
            Some(name.to_lowercase().as_str()),
            "{name}: runbook_url {url:?}"
        );
        assert!(
            anchor.is_some_and(|anchor| sections.contains(anchor)),
            "{name}: no section for {url}"
        );
    }
    assert_eq!(
        sections.len(),
        alerts.len(),
        "a section of docs/runbook.md has no alert"
    );
}

#[test]
fn every_alert_has_a_promtool_case_that_fires_and_one_that_does_not() {
    let mut cases: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for path in files_below("config/prometheus/tests") {
        let relative = path.strip_prefix(root()).expect("the file is below the root");
        let file = yaml(&relative.display().to_string());
        for case in list(&file, "tests")
            .iter()
            .flat_map(|test| list(test, "alert_rule_test"))
        {
            let count = cases.entry(string(case, "alertname").to_owned()).or_default();
            if list(case, "exp_alerts").is_empty() {
                count.1 += 1;
            } else {
                count.0 += 1;
            }
        }
    }
    for alert in alerts() {
        let name = string(&alert, "alert");
        let (fires, silent) = cases.get(name).copied().unwrap_or_default();
        assert!(
            fires > 0 && silent > 0,
            "{name}: {fires} cases that fire, {silent} that don't"
        );
    }
}

/// The alerts that a matcher names; `Beatwarden.+` names none.
fn words_of_alerts(matcher: &str) -> Vec<String> {
    matcher
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| word.len() > "Beatwarden".len() && word.starts_with("Beatwarden"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_alert_that_is_inhibited_exists_and_only_by_its_own_deployment() {
    let alertmanager = yaml("config/prometheus/alertmanager.yml");
    let names: BTreeSet<String> = alerts().iter().map(|alert| string(alert, "alert").to_owned()).collect();
    let rules = list(&alertmanager, "inhibit_rules");
    assert!(rules.len() >= 5, "{rules:?}");
    let critical: BTreeSet<String> = alerts()
        .iter()
        .filter(|alert| alert["labels"]["severity"] == "critical")
        .map(|alert| string(alert, "alert").to_owned())
        .collect();
    let names_in = |rule: &Value, side: &str| -> BTreeSet<String> {
        list(rule, side)
            .iter()
            .filter_map(Value::as_str)
            .flat_map(words_of_alerts)
            .collect()
    };
    for rule in rules {
        if names_in(rule, "source_matchers").is_disjoint(&critical) {
            let woken = &names_in(rule, "target_matchers") & &critical;
            assert!(woken.is_empty(), "a warning inhibits what wakes someone: {woken:?}");
        }
        let equal: Vec<&str> = list(rule, "equal").iter().filter_map(Value::as_str).collect();
        assert!(equal.contains(&"cluster"), "{rule}: silences other deployments");
        let matchers = list(rule, "source_matchers")
            .iter()
            .chain(list(rule, "target_matchers"));
        let named: Vec<String> = matchers.filter_map(Value::as_str).flat_map(words_of_alerts).collect();
        assert!(!named.is_empty(), "{rule}");
        for name in named {
            assert!(names.contains(&name), "{name} is no alert: {rule}");
        }
    }
}

#[test]
fn every_metric_that_rules_and_dashboards_use_is_documented() {
    let documented = documented_metrics();
    assert!(
        documented.len() > 30,
        "docs/metrics.md lists {} metrics",
        documented.len()
    );
    for path in files_below("dashboards")
        .iter()
        .chain(&files_below("config/prometheus"))
    {
        let content = fs::read_to_string(path).expect("a file of the repository can be read");
        for name in metric_names(&content) {
            assert!(
                is_documented(&name, &documented),
                "{}: `{name}` is not in docs/metrics.md",
                path.display()
            );
        }
    }
}

#[test]
fn every_panel_has_a_title_a_description_a_unit_and_the_chosen_data_source() {
    for (path, dashboard) in dashboards() {
        assert_eq!(dashboard["schemaVersion"], 42, "{path}");
        let panels = panels(&dashboard);
        assert!(!panels.is_empty(), "{path} has no panels");
        for panel in panels {
            let title = string(panel, "title");
            assert_ne!(title, "", "{path}: panel {} has no title", panel["id"]);
            assert_ne!(string(panel, "description"), "", "{path}: {title}: description");
            let unit = string(&panel["fieldConfig"]["defaults"], "unit");
            assert_ne!(unit, "", "{path}: {title}: unit");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{path}: {title}");
            assert!(!list(panel, "targets").is_empty(), "{path}: {title} asks nothing");
        }
    }
}

#[test]
fn every_query_follows_the_variables_of_its_dashboard() {
    for (path, dashboard) in dashboards() {
        let variables: BTreeSet<&str> = list(&dashboard["templating"], "list")
            .iter()
            .map(|variable| string(variable, "name"))
            .collect();
        for name in ["datasource", "job", "instance", "watch"] {
            assert!(variables.contains(name), "{path}: no variable {name}");
        }
        for target in panels(&dashboard).iter().flat_map(|panel| list(panel, "targets")) {
            let query = string(target, "expr");
            for matcher in [r#"job=~"$job""#, r#"instance=~"$instance""#] {
                assert!(query.contains(matcher), "{path}: {query}");
            }
            let ranges = query.matches('[').count();
            assert_eq!(ranges, query.matches("[$__rate_interval]").count(), "{path}: {query}");
        }
    }
}

#[test]
fn panel_ids_are_unique_and_panels_do_not_overlap() {
    for (path, dashboard) in dashboards() {
        let mut ids = BTreeSet::new();
        // A collapsed row has its panels inside, placed below it as they are when it is opened.
        let shown = list(&dashboard, "panels");
        for placed in std::iter::once(shown).chain(shown.iter().map(|row| list(row, "panels"))) {
            let mut taken = BTreeSet::new();
            for panel in placed {
                assert!(ids.insert(panel["id"].as_u64()), "{path}: id {}", panel["id"]);
                let side = |key: &str| panel["gridPos"][key].as_u64().expect("gridPos is complete");
                for x in side("x")..side("x") + side("w") {
                    for y in side("y")..side("y") + side("h") {
                        assert!(x < 24 && taken.insert((x, y)), "{path}: {} at {x},{y}", panel["title"]);
                    }
                }
            }
        }
    }
}

/// Series that the rules record, as `watch:...` names them.
fn recorded_names(text: &str) -> BTreeSet<&str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'))
        .filter(|word| word.starts_with("watch:"))
        .collect()
}

#[test]
fn runbook_and_rules_use_the_same_names() {
    let rules = text("config/prometheus/beatwarden.rules.yml");
    let runbook = text("docs/runbook.md");
    let documented = documented_metrics();
    for name in metric_names(&runbook) {
        assert!(is_documented(&name, &documented), "docs/runbook.md: `{name}`");
    }
    let unknown: Vec<&str> = recorded_names(&runbook)
        .difference(&recorded_names(&rules))
        .copied()
        .collect();
    assert_eq!(unknown, Vec::<&str>::new(), "the runbook asks for what no rule records");
    let named: BTreeSet<String> = words_of_alerts(&runbook).into_iter().collect();
    let alerts: BTreeSet<String> = alerts().iter().map(|alert| string(alert, "alert").to_owned()).collect();
    assert_eq!(named, alerts, "the runbook names another alert");
}
