//! The HTTP side: routes, methods, encodings, existence of metrics, hostile names, old data.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::http::{ask, get};
use crate::support::served::{self, Found, NOW, job, served};
use beatwarden::domain::{Action, Cause, Obstacle, Policy};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_with_its_kind() {
    let served = served().await;
    served.pass(vec![job("1", "a", -10, Some(-1))]);
    for (path, kind) in [
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/api/v1/status", "application/json"),
        ("/api/v1/repairs", "application/json"),
        ("/-/healthy", "text/plain; charset=utf-8"),
        ("/-/ready", "text/plain; charset=utf-8"),
        ("/healthz", "text/plain; charset=utf-8"),
        ("/readyz", "text/plain; charset=utf-8"),
    ] {
        let answer = get(served.address, path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(kind)),
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let head = ask(served.address, "HEAD", path, "");
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert!(
            head.header("content-length").is_some_and(|length| length != "0"),
            "{path}"
        );
    }
    assert_eq!(get(served.address, "/nothing").status, 404);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer = ask(served.address, method, "/metrics", "");
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_compressed_for_those_who_ask() {
    let served = served().await;
    served.pass(vec![]);
    let answer = ask(
        served.address,
        "GET",
        "/metrics",
        "Accept-Encoding: deflate, gzip;q=0.5\r\n",
    );
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&answer.body[..])
        .read_to_string(&mut text)
        .unwrap();
    assert!(text.contains("beatwarden_up{watch=\"meltano\"} 1"));
    let refused = ask(served.address, "GET", "/metrics", "Accept-Encoding: gzip;q=0\r\n");
    assert_eq!(refused.header("content-encoding"), None);
}

/// What Prometheus receives of a watch each time, however many jobs run: what is added shows here.
#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_takes_14_kb_or_6_and_a_half_packed_however_many_jobs_run() {
    let served = served().await;
    for jobs in [100, 10_000] {
        served.pass(
            (0..jobs)
                .map(|n| job(&n.to_string(), "orders", -10, Some(-1)))
                .collect(),
        );
        let text = get(served.address, "/metrics").body.len();
        let packed = ask(served.address, "GET", "/metrics", "Accept-Encoding: gzip\r\n");
        let packed = packed.body.len();
        assert!(
            text < 14_200 && packed < 6_600,
            "{jobs} jobs: {text} bytes, {packed} packed"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_pass_counters_exist_and_nothing_is_claimed_of_the_table() {
    let served = served().await;
    assert_eq!(served.metric("up{watch=\"meltano\"}").as_deref(), Some("0"));
    assert_eq!(
        served.metric("job_inits_total{watch=\"meltano\"}").as_deref(),
        Some("0")
    );
    assert_eq!(served.metric("fuse_open{watch=\"meltano\"}").as_deref(), Some("0"));
    assert_eq!(
        served
            .metric("last_successful_poll_timestamp_seconds{watch=\"meltano\"}")
            .as_deref(),
        Some("0")
    );
    let repairs = "repairs_total{action=\"backfill\",reason=\"missed_first\",watch=\"meltano\"}";
    assert_eq!(served.metric(repairs).as_deref(), Some("0"));
    for cause in ["observe", "rights", "watching", "fuse", "lost_race"] {
        let series = format!("repairs_withheld_total{{cause=\"{cause}\",watch=\"meltano\"}}");
        assert_eq!(served.metric(&series).as_deref(), Some("0"), "{cause}");
    }
    for cause in ["connect", "auth", "timeout", "locked", "query", "schema", "rights"] {
        let series = format!("poll_failures_total{{cause=\"{cause}\",watch=\"meltano\"}}");
        assert_eq!(served.metric(&series).as_deref(), Some("0"), "{cause}");
    }
    let text = served.metrics();
    for absent in [
        "running_jobs",
        "stuck_jobs",
        "blocking_jobs",
        "stuck_job_started",
        "heartbeat_age",
        "init_success_ratio",
        "repair_enabled",
        "repair_obstacles",
        "guard_installed",
    ] {
        assert!(!text.contains(&format!("beatwarden_{absent}")), "{absent}");
    }
    let status = served.status();
    assert_eq!(status["watches"][0]["fuse_open"], serde_json::Value::Null);
    assert_eq!(get(served.address, "/-/ready").status, 503);
    assert_eq!(get(served.address, "/-/healthy").status, 200);
    let page = served.page();
    assert!(page.contains("Nothing is known yet"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_there_at_zero_and_ages_only_if_there_is_something_to_age() {
    let served = served().await;
    served.pass(vec![]);
    let running = |phase: &str| served.metric(&format!("running_jobs{{phase=\"{phase}\",watch=\"meltano\"}}"));
    for phase in ["starting", "beating", "missed_first", "lost", "abandoned"] {
        assert_eq!(running(phase).as_deref(), Some("0"), "{phase}");
    }
    assert_eq!(served.metric("heartbeat_age_max_seconds{watch=\"meltano\"}"), None);
    served.pass(vec![
        job("1", "a", -100, Some(-2)),
        job("2", "a", -1000, Some(-250)),
        job("3", "b", -30, None),
        job("4", "c", -90, None),
    ]);
    assert_eq!(running("beating").as_deref(), Some("2"));
    let stuck = |reason: &str| served.metric(&format!("stuck_jobs{{reason=\"{reason}\",watch=\"meltano\"}}"));
    assert_eq!(
        (stuck("missed_first").as_deref(), stuck("lost").as_deref()),
        (Some("1"), Some("0"))
    );
    let age = |name: &str| {
        served.metric(&format!(
            "job_heartbeat_age_max_seconds{{job_name=\"{name}\",watch=\"meltano\"}}"
        ))
    };
    assert_eq!((age("a").as_deref(), age("b").as_deref()), (Some("250"), Some("30")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_blocks_the_writer_is_the_same_number_everywhere() {
    let served = served().await;
    served.pass(vec![]);
    assert_eq!(served.metric("blocking_jobs{watch=\"meltano\"}").as_deref(), Some("0"));
    served.pass(vec![
        job("1", "a", -90, None),
        job("2", "a", -86_401, None),
        job("3", "b", -1_000, Some(-301)),
        job("4", "c", -8 * 86_400, None),
        job("5", "d", -1_000, Some(-299)),
    ]);
    assert_eq!(served.metric("blocking_jobs{watch=\"meltano\"}").as_deref(), Some("1"));
    let status = served.status();
    let watch = &status["watches"][0];
    assert_eq!(watch["blocking_jobs"], 1);
    let facts = |id: &str| {
        let line = watch["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .find(|line| line["id"] == id)
            .unwrap();
        (
            line["blocks_until"].clone(),
            line["leftover"].clone(),
            line["blocking_words"].clone(),
        )
    };
    let words = "blocks new runs until 2027-01-16 07:58:30 UTC";
    assert_eq!(
        facts("1"),
        ("2027-01-16T07:58:30.000000Z".into(), false.into(), words.into())
    );
    for id in ["2", "3"] {
        assert_eq!(
            facts(id),
            (().into(), true.into(), "leftover, blocks no one".into()),
            "{id}"
        );
    }
    assert_eq!(facts("5"), (().into(), false.into(), ().into()), "it beats");
    let page = served.page();
    assert!(
        page.contains(words) && page.contains("leftover, blocks no one"),
        "{page}"
    );
    let start = |name: &str, reason: &str| {
        let labels = format!("job_name=\"{name}\",reason=\"{reason}\",watch=\"meltano\"");
        served.metric(&format!("stuck_job_started_timestamp_seconds{{{labels}}}"))
    };
    let now = NOW / 1_000_000;
    assert_eq!(start("a", "missed_first"), Some((now - 86_401).to_string()));
    assert_eq!(start("b", "lost"), Some((now - 1_000).to_string()));
    assert_eq!(
        (start("a", "lost"), start("c", "missed_first"), start("d", "lost")),
        (None, None, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_moment_of_a_repair_page_and_status_say_so() {
    let fail = Policy {
        action: Action::Fail,
        ..served::policy()
    };
    let served = served::served_as("meltano", fail).await;
    let status = || served.status();
    served.look(Found::rows(vec![job("7", "orders", -10, None)]));
    let next = &status()["watches"][0]["next_repair"];
    assert_eq!((&next["id"], &next["next_action"]), (&"7".into(), &"fail".into()));
    assert_eq!(next["due_at"], "2027-01-15T08:01:00.000000Z");
    assert!(served.page().contains("in 1 min, at 08:01:00 UTC, if it stays silent"));
    for _ in 0..12 {
        served.later(Duration::from_secs(5));
        served.look(Found::rows(vec![job("7", "orders", -10, None)]));
    }
    let watch = &status()["watches"][0];
    assert_eq!(
        (&watch["jobs"], &watch["next_repair"]),
        (&serde_json::json!([]), &().into()),
        "it ended"
    );
    let verdict = "No job is running; 1 was failed in the last minute.";
    assert_eq!(watch["verdict"], verdict);
    let page = served.page();
    assert!(
        page.contains(verdict) && page.contains("1 repaired by the last pass"),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_writers_rule_is_not_known_nothing_is_said_of_blocking() {
    let unknown = Policy {
        writer_stale_after: None,
        writer_stale_after_without_heartbeat: None,
        ..served::policy()
    };
    let served = served::served_as("meltano", unknown).await;
    served.pass(vec![job("1", "a", -90, None)]);
    assert!(!served.metrics().contains("beatwarden_blocking_jobs"));
    let status = served.status();
    let watch = &status["watches"][0];
    assert_eq!(
        (&watch["blocking_jobs"], &watch["jobs"][0]["blocks_until"]),
        (&().into(), &().into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn old_data_is_never_shown_as_the_present() {
    let served = served().await;
    served.pass(vec![job("1", "a", -10, Some(-1))]);
    served.later(Duration::from_secs(15));
    assert_eq!(served.metric("up{watch=\"meltano\"}").as_deref(), Some("1"));
    served.later(Duration::from_millis(1));
    assert_eq!(served.metric("up{watch=\"meltano\"}").as_deref(), Some("0"));
    let gone = ["running_jobs", "blocking_jobs", "stuck_job_started"];
    let text = served.metrics();
    assert!(
        gone.iter().all(|name| !text.contains(&format!("beatwarden_{name}"))),
        "{text}"
    );
    assert_eq!(get(served.address, "/-/ready").status, 503);
    let page = served.page();
    assert!(
        page.contains("class=\"watch old\"") && page.contains("What follows is old"),
        "{page}"
    );
    let status = served.status();
    assert_eq!(status["watches"][0]["up"], false);
    let phases = status["watches"][0]["phases"].as_object().unwrap();
    assert!(
        phases.len() == 5 && phases.values().all(serde_json::Value::is_null),
        "{status}"
    );
    served.later(Duration::from_secs(200));
    let healthy = get(served.address, "/-/healthy");
    assert_eq!(
        (healthy.status, healthy.text().contains("meltano")),
        (503, true),
        "the loop does not turn"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fuse_stays_open_while_the_database_is_away_and_the_guard_is_unknown_then() {
    let policy = Policy {
        action: Action::Fail,
        fuse_min_jobs: 1,
        ..served::policy()
    };
    let served = served::served_as("meltano", policy).await;
    let dead = || (0..12).map(|id| job(&id.to_string(), "a", -100, None)).collect();
    for _ in 0..14 {
        served.look(Found::rows(dead()));
        served.later(Duration::from_secs(5));
    }
    let fuse = || {
        let status = served.status();
        let metric = served.metric("fuse_open{watch=\"meltano\"}");
        (metric, status["watches"][0]["fuse_open"].clone())
    };
    let open = (Some("1".to_owned()), serde_json::Value::Bool(true));
    assert_eq!(fuse(), open);
    let guard = || served.metric("guard_installed{watch=\"meltano\"}");
    assert_eq!(guard().as_deref(), Some("0"));
    served.fail();
    served.later(Duration::from_secs(60));
    assert_eq!(fuse(), open, "page, JSON and metrics have one value");
    assert_eq!(
        guard(),
        None,
        "a trigger that no one can read is neither there nor gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hinders_all_repairs_is_reported_by_its_cause_before_a_job_is_stuck() {
    let obstacle = Obstacle {
        cause: Cause::NoLedger,
        reason: "it can't be made".into(),
    };
    let causes = async |action| {
        let served = served::served_as(
            "meltano",
            Policy {
                action,
                ..served::policy()
            },
        )
        .await;
        served.look(Found {
            obstacles: vec![obstacle.clone()],
            ..Found::rows(Vec::new())
        });
        ["rights", "read_only", "network_fs", "no_ledger"]
            .map(|cause| served.metric(&format!("repair_obstacles{{cause=\"{cause}\",watch=\"meltano\"}}")))
            .map(|value| value.unwrap())
    };
    assert_eq!(causes(Action::Backfill).await, ["0", "0", "0", "1"]);
    assert_eq!(causes(Action::Observe).await, ["0", "0", "0", "0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_comes_back_while_its_last_pass_hangs_keeps_its_series() {
    let served = served().await;
    let polls = || served.metric("polls_total{watch=\"other\"}");
    // It begins, is removed while a pass hangs, comes back, and only then the old pass ends.
    let watch = || served.metrics.watch("other", served.board.clone());
    let (_old, _new) = (watch(), watch());
    served.metrics.forget("other");
    served.later(Duration::from_secs(2));
    assert_eq!(polls().as_deref(), Some("0"));
    served.metrics.forget("other");
    served.later(Duration::from_secs(2));
    assert_eq!(polls(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_pass_is_reported_and_keeps_the_probe_of_the_loop_green() {
    let served = served().await;
    served.fail();
    assert_eq!(
        served
            .metric("poll_failures_total{cause=\"connect\",watch=\"meltano\"}")
            .as_deref(),
        Some("1")
    );
    assert_eq!(served.metric("polls_total{watch=\"meltano\"}").as_deref(), Some("1"));
    assert_eq!(get(served.address, "/-/healthy").status, 200);
    let ready = get(served.address, "/-/ready");
    assert_eq!((ready.status, ready.text()), (503, "meltano: connect\n".to_owned()));
    let page = served.page();
    assert!(page.contains("no connection to &lt;the database&gt;"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_has_the_promised_shape() {
    let served = served().await;
    served.pass(vec![job("7", "a", -90, None), job("8", "b", -100, Some(-2))]);
    let status = served.status();
    let keys = |value: &serde_json::Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&status), ["now", "version", "watches"]);
    let watch = &status["watches"][0];
    assert_eq!(
        keys(watch),
        [
            "ages",
            "blocking_jobs",
            "clock_skew_seconds",
            "database_time",
            "discovery",
            "discovery_reason",
            "failure",
            "fuse_open",
            "fuse_reason",
            "guard_installed",
            "index_advice",
            "init",
            "init_day",
            "is_complete",
            "jobs",
            "last_full_look",
            "last_good_pass",
            "last_passes",
            "last_repairs",
            "missed_first_action",
            "name",
            "next_repair",
            "obstacles",
            "outcomes",
            "overrun_action",
            "phases",
            "poll_interval_seconds",
            "poll_seconds",
            "prepared_statements",
            "repair_enabled",
            "stuck",
            "target",
            "thresholds",
            "tone",
            "unknown_state_jobs",
            "unreadable_jobs",
            "up",
            "verdict"
        ]
    );
    assert_eq!(keys(&watch["init"]), ["failures", "inits", "ratio", "window_seconds"]);
    let line = &watch["jobs"][0];
    assert_eq!(
        keys(line),
        [
            "age_seconds",
            "blocking_words",
            "blocks_until",
            "due_at",
            "id",
            "last_heartbeat_at",
            "leftover",
            "name",
            "next_action",
            "phase",
            "repair_id",
            "started_at",
            "withheld_cause",
            "writer_frees_at"
        ]
    );
    assert_eq!(
        (line["id"].as_str(), line["phase"].as_str()),
        (Some("7"), Some("missed_first"))
    );
    assert_eq!(line["withheld_cause"], "watching");
    assert_eq!(line["age_seconds"], 90.0);
    assert_eq!(line["started_at"], "2027-01-15T07:58:30.000000Z");
    assert!(line["last_heartbeat_at"].is_null());
    assert_eq!(watch["stuck"], serde_json::json!({"missed_first": 1, "lost": 0}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_has_the_facts_of_the_page() {
    let served = served().await;
    served.look(Found::rows(vec![
        job("1", "a", -20, None),
        job("2", "b", -1_000, Some(-854)),
    ]));
    served.later(Duration::from_secs(5));
    served.look(Found::rows(vec![
        job("1", "a", -20, Some(4)),
        job("2", "b", -1_000, Some(-854)),
    ]));
    served.later(Duration::from_secs(5));
    served.fail();
    let status = served.status();
    let watch = &status["watches"][0];
    assert_eq!(watch["verdict"], "1 stuck, none blocks new runs: 1 silent for 14 min.");
    assert_eq!(watch["tone"], "failing");
    assert_eq!(watch["failure"]["cause"], "connect");
    assert_eq!(watch["failure"]["next_attempt_at"], "2027-01-15T08:00:15.000000Z");
    assert_eq!(watch["thresholds"]["init_deadline_seconds"], 60.0);
    assert_eq!(
        watch["thresholds"]["writer_stale_after_without_heartbeat_seconds"],
        86_400.0
    );
    let ages = watch["ages"].as_array().unwrap();
    let of = |phase: &str| ages.iter().find(|step| step["phase"] == phase).unwrap();
    for (phase, age) in [("beating", 1.0), ("lost", 859.0)] {
        let (from, to) = (of(phase)["from_seconds"].as_f64(), of(phase)["to_seconds"].as_f64());
        assert!(from <= Some(age) && Some(age) < to, "{phase}: {from:?} to {to:?}");
        assert_eq!(of(phase)["jobs"], 1);
    }
    let day = serde_json::json!([{"from": "2027-01-15T08:00:00.000000Z", "inits": 1, "failures": 0}]);
    assert_eq!(watch["init_day"], day);
    let passes: Vec<_> = watch["last_passes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pass| &pass["good"])
        .collect();
    assert_eq!(passes, [true, true, false]);
    assert_eq!(
        served.page_says(),
        "1 stuck, none blocks new runs: 1 silent for 14 min."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_inits_and_the_last_passes_keep_their_size() {
    let served = served().await;
    served.look(Found::rows(Vec::new()));
    for id in 0..120 {
        served.later(Duration::from_secs(1_000));
        let begun = Duration::from_micros(u64::try_from(served.now() - NOW).unwrap()).as_secs();
        let begun = i64::try_from(begun).unwrap();
        served.look(Found::rows(vec![job(&id.to_string(), "a", begun - 3, Some(begun - 1))]));
    }
    let status = served.status();
    let day = status["watches"][0]["init_day"].as_array().unwrap();
    assert_eq!(day.len(), 48, "a slot for each half hour of a day");
    let inits: u64 = day.iter().map(|slot| slot["inits"].as_u64().unwrap()).sum();
    assert!((84..=87).contains(&inits), "one in 1,000 s for a day: {inits}");
    assert_eq!(status["watches"][0]["last_passes"].as_array().unwrap().len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_stay_text_everywhere() {
    let served = served().await;
    let names = [
        "<script>alert(1)</script>",
        "a\"b\\c\nd",
        "\u{202e}right-to-left",
        &"x".repeat(10_000),
        "\u{0}\u{7}",
    ];
    served.pass(
        names
            .iter()
            .enumerate()
            .map(|(id, name)| job(&id.to_string(), name, -90, None))
            .collect(),
    );
    let page = served.page();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
    assert!(!page.contains('\u{202e}') && !page.contains(&"x".repeat(200)));
    let text = served.metrics();
    assert!(text.contains(r#"job_name="a\"b\\c\nd""#), "{text}");
    assert!(!text.contains(&"x".repeat(129)), "names are cut to 128 characters");
    let status = served.status();
    let jobs = status["watches"][0]["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), names.len());
    assert!(
        jobs.iter()
            .all(|job| job["name"].as_str().unwrap().chars().count() <= 1_000)
    );
    check_metrics(&text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_names_get_a_label_and_the_rest_share_one() {
    let served = served().await;
    served.pass(
        (0..250)
            .map(|id| job(&id.to_string(), &format!("name-{id}"), -90, None))
            .collect(),
    );
    let text = served.metrics();
    let labelled = text
        .lines()
        .filter(|line| line.starts_with("beatwarden_job_heartbeat_age_max_seconds{"));
    assert_eq!(labelled.count(), 101);
    assert!(text.contains("job_name=\"__other__\""));
    assert_eq!(
        served.metric("job_names_dropped_total{watch=\"meltano\"}").as_deref(),
        Some("150")
    );
    // Where names are no labels, none is without one.
    let mut terms = served.board.read().terms.clone();
    terms.labels_names = false;
    served.board.renew(terms);
    let more = (300..550).map(|id| job(&id.to_string(), &format!("more-{id}"), -90, None));
    served.pass(more.collect());
    assert_eq!(
        served.metric("job_names_dropped_total{watch=\"meltano\"}").as_deref(),
        Some("150")
    );
}

/// `promtool check metrics`, which Prometheus' own developers would run.
fn check_metrics(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is not installed: run scripts/setup-tests.sh");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_accepts_the_metrics_in_every_state() {
    let served = served().await;
    check_metrics(&served.metrics());
    served.pass(vec![]);
    check_metrics(&served.metrics());
    served.pass(vec![job("1", "a", -100, Some(-2)), job("2", "b", -100, None)]);
    check_metrics(&served.metrics());
    served.fail();
    check_metrics(&served.metrics());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented_and_every_documented_metric_exists() {
    let served = served().await;
    served.pass(vec![job("1", "a", -100, Some(-2)), job("2", "b", -3590, None)]);
    served.later(Duration::from_secs(5));
    let exported: BTreeSet<String> = served
        .metrics()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|rest| rest.split(' ').next())
        .filter(|name| name.starts_with("beatwarden_"))
        .map(str::to_owned)
        .collect();
    let documentation = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let documented: BTreeSet<String> = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("| `beatwarden_")?.split('`').next())
        .map(|name| format!("beatwarden_{name}"))
        .collect();
    assert!(documented.len() >= 40, "the table of docs/metrics.md is read");
    // These two need a repair, and a heartbeat that changed.
    let conditional = [
        "beatwarden_last_repair_timestamp_seconds",
        "beatwarden_writer_clock_offset_seconds",
    ];
    let undocumented: Vec<&String> = exported.difference(&documented).collect();
    let missing: Vec<&String> = documented
        .difference(&exported)
        .filter(|name| !conditional.contains(&name.as_str()))
        .collect();
    assert_eq!((undocumented, missing), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_holds_no_one_up() {
    let served = served().await;
    let mut silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(served.address).unwrap()).collect();
    for stream in &mut silent {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ").unwrap();
    }
    assert_eq!(get(served.address, "/-/healthy").status, 200);
    let mut garbage = TcpStream::connect(served.address).unwrap();
    garbage.write_all(&[0xff; 512]).unwrap();
    garbage.write_all(b"\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // A reset is as good an answer to garbage as a 400.
    let _ = garbage.read_to_end(&mut answer);
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(get(served.address, "/-/healthy").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_lets_go_of_its_port() {
    let served = served().await;
    assert_eq!(get(served.address, "/metrics").status, 200);
    served.stop.cancel();
    let mut tries = 0;
    while TcpStream::connect(served.address).is_ok() {
        tries += 1;
        assert!(tries < 500, "it still listens");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
