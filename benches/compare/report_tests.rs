//! The report of `make bench`: its verdicts on the targets and its plots, from figures that the test writes. Nothing is
//! measured here. Only `make bench` runs it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};

const MARKS: [&str; 2] = [
    "<!-- made by `make bench`: begin -->",
    "<!-- made by `make bench`: end -->",
];

/// One run of one section, of which an earlier run is there too.
fn section(name: &str, records: &[Value]) -> Vec<Value> {
    let begin = |run: &str| {
        json!({"run": run, "section": name, "event": "begin", "machine": "2 cores", "postgresql": "15", "command": "make bench",
               "postgres_exporter": "0.11.1", "sql_exporter": "0.4.5", "beatwarden": "beatwarden 0.1.0"})
    };
    let (old, new) = (
        format!("{name} 2027-01-01T00:00:00"),
        format!("{name} 2027-01-02T00:00:00"),
    );
    let mut lines = vec![begin(&old)];
    lines.extend(records.iter().map(|record| of_run(record, &old, name, 1_000_000.0)));
    lines.push(begin(&new));
    lines.extend(records.iter().map(|record| of_run(record, &new, name, 1.0)));
    lines
}

fn of_run(record: &Value, run: &str, section: &str, worse: f64) -> Value {
    let mut record = record.clone();
    record["run"] = run.into();
    record["section"] = section.into();
    if let Some(time) = record["db_ms"].as_f64() {
        record["db_ms"] = (time * worse).into();
    }
    record
}

fn cell(program: &str, history: &str, running: u32, database: f64) -> Value {
    json!({"program": program, "history": history, "running": running, "db_ms": database, "db_plan_ms": 0.1, "blocks": 300,
           "calls": 5, "wall_ms": database, "cpu_ms": 0.5, "scrape_cpu_ms": 0.1, "peak_bytes": 9e6, "way": "key_tail",
           "statements": [], "paced": true, "indexed": false})
}

/// Writes the report about these figures, and returns the page.
fn report(folder: &Path, figures: &[Value]) -> String {
    let lines: Vec<String> = figures.iter().map(Value::to_string).collect();
    fs::write(folder.join("results.jsonl"), lines.join("\n")).unwrap();
    let page = folder.join("benchmarks.md");
    fs::write(
        &page,
        format!("before\n{}\nold figures\n{}\nafter\n", MARKS[0], MARKS[1]),
    )
    .unwrap();
    let output = Command::new("python3")
        .arg("-B")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare"))
        .env("BENCH", "report")
        .env("BENCH_RESULTS", folder.join("results.jsonl"))
        .env("BENCH_DOCS", folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(page).unwrap()
}

/// The line of the table of targets that has these words.
fn verdict<'a>(page: &'a str, words: &str) -> &'a str {
    page.lines()
        .find(|line| line.starts_with("| ") && line.contains(words))
        .unwrap_or_else(|| panic!("no target `{words}` in {page}"))
}

#[test]
fn each_target_is_judged_by_the_last_run_of_its_section() {
    let folder = tempfile::tempdir().unwrap();
    let mut figures = section(
        "history",
        &[
            cell("own", "10k", 100, 1.0),
            cell("pe_naive", "10k", 100, 10.0),
            cell("own", "10m", 100, 1.3),
            cell("pe_naive", "10m", 100, 9_000.0),
            cell("pe_index", "10m", 100, 1.4),
        ],
    );
    figures.extend(section(
        "running",
        &[
            cell("own", "1m", 100, 1.0),
            cell("bare by key", "1m", 100, 0.9),
            cell("own", "1m", 100_000, 200.0),
            cell("bare by key", "1m", 100_000, 100.0),
        ],
    ));
    let page = report(folder.path(), &figures);

    assert!(page.starts_with("before\n") && page.ends_with("\nafter\n"), "{page}");
    assert!(!page.contains("old figures"), "{page}");
    let met = "| yes |";
    let not_met = "| **no** |";
    let ratio = verdict(&page, "10 million rows of history against shorter ones");
    assert!(ratio.contains("1.30 times") && ratio.ends_with(not_met), "{ratio}");
    let naive = verdict(&page, "a query for each number");
    assert!(naive.contains("6,923 times") && naive.ends_with(met), "{naive}");
    assert!(verdict(&page, "though ours has none").ends_with(met), "{page}");
    assert!(verdict(&page, "at 100 running jobs, in time").ends_with(met), "{page}");
    assert!(
        verdict(&page, "at 100,000 running jobs, in time").ends_with(not_met),
        "{page}"
    );
    assert!(
        verdict(&page, "peak memory at 100 running jobs").ends_with(met),
        "{page}"
    );
}

#[test]
fn a_verdict_from_a_disturbed_figure_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let mut disturbed = cell("bare by key", "1m", 100, 0.9);
    disturbed["foreign_cores"] = 0.5.into();
    let figures = section("running", &[cell("own", "1m", 100, 1.0), disturbed]);
    let page = report(folder.path(), &figures);
    let marked = verdict(&page, "at 100 running jobs, in time");
    assert!(marked.ends_with("| yes* |"), "{marked}");
    let unmarked = verdict(&page, "peak memory at 100 running jobs");
    assert!(unmarked.ends_with("| yes |"), "{unmarked}");
}

#[test]
fn the_plots_are_small_and_follow_the_reader_s_colour_scheme() {
    let folder = tempfile::tempdir().unwrap();
    let cells = |axis: &[(&str, u32)]| -> Vec<Value> {
        axis.iter()
            .flat_map(|(history, running)| {
                [("own", 1.0), ("pe_best", 1_500.0), ("pe_index", 0.7)]
                    .map(|(program, time)| cell(program, history, *running, time))
            })
            .collect()
    };
    let mut figures = section("history", &cells(&[("10k", 100), ("1m", 100), ("10m", 100)]));
    figures.extend(section(
        "running",
        &cells(&[("1m", 100), ("1m", 10_000), ("1m", 100_000)]),
    ));
    report(folder.path(), &figures);

    for name in ["bench-history.svg", "bench-running.svg"] {
        let plot = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(plot.len() < 10_000, "{name} has {} bytes", plot.len());
        assert!(
            plot.contains("prefers-color-scheme:dark") && plot.contains("aria-label"),
            "{plot}"
        );
        assert_eq!(plot.matches("<polyline").count(), 3, "{plot}");
        for label in ["Beatwarden, no index", "best query, two indexes"] {
            assert!(plot.contains(label), "{plot}");
        }
        let checked = Command::new("python3")
            .args(["-c", "import sys, xml.dom.minidom as x; x.parse(sys.argv[1])"])
            .arg(folder.path().join(name))
            .status()
            .unwrap();
        assert!(checked.success(), "{name} is no XML");
    }
}

#[test]
fn the_page_has_the_marks_between_which_the_report_goes() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
    let page = fs::read_to_string(page).unwrap();
    let [begin, end] = MARKS.map(|mark| page.find(mark).expect("a mark"));
    assert!(begin < end, "the marks are in their order");
}
