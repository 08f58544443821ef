//! The status page in a real browser, in each of its states: nothing breaks, nothing is loaded from elsewhere, hostile names
//! stay text, and axe-core finds nothing serious.
//!
//! With `BEATWARDEN_SCREENSHOTS=folder` each state is also photographed there, to be looked at.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod address;
mod chromium;

use crate::support::http::get;
use crate::support::served::{Found, NOW, Served, job, policy, served, served_as};
use beatwarden::domain::{
    Action, Cause, Job, JobId, LateOutcome, LedgerAction, LedgerEntry, Obstacle, Policy, RepairId, TimeValue, Timestamp,
};
use chromium::Chromium;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// axe-core's own source, as setup-tests.sh has put it into the cache.
fn axe() -> String {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = set("BEATWARDEN_TEST_CACHE").unwrap_or_else(|| {
        set("XDG_CACHE_HOME")
            .unwrap_or_else(|| set("HOME").unwrap().join(".cache"))
            .join("beatwarden-tests")
    });
    let path = cache.join("axe-core/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run scripts/setup-tests.sh", path.display()))
}

/// The page stands up to everything that is asked of it in any state, on a desk in light and dark, and on a phone.
fn examine(browser: &mut Chromium, served: &Served, state: &str) {
    let origin = format!("http://{}", served.address);
    for (look, width, scheme) in [
        ("light", 1180, "light"),
        ("dark", 1180, "dark"),
        ("phone", 390, "light"),
    ] {
        browser.look_as(width, scheme);
        browser.open(&format!("{origin}/?paused"));
        let reported = browser.reported();
        assert_eq!(reported.errors, Vec::<String>::new(), "{state}, {look}");
        assert!(reported.requests.len() >= 2, "{:?}", reported.requests);
        for request in &reported.requests {
            assert!(request.starts_with(&origin), "{state} asks for {request}");
        }
        let too_wide = browser.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth");
        assert_eq!(too_wide, false, "{state} on {look} scrolls sideways");
        let serious = browser.evaluate(&format!(
            "{}; axe.run().then(found => found.violations.filter(one => ['serious', 'critical'].includes(one.impact))\
             .map(one => one.id + ': ' + one.nodes.map(node => node.html + ' ' + node.failureSummary).join(' | ')))",
            axe()
        ));
        assert_eq!(serious, serde_json::json!([]), "{state}, {look}");
        if let Some(folder) = std::env::var_os("BEATWARDEN_SCREENSHOTS") {
            browser.photograph(&PathBuf::from(folder).join(format!("{state}-{look}.png")));
        }
    }
}

fn verdict(browser: &mut Chromium) -> String {
    let text = browser.evaluate("document.querySelector('.verdict').textContent");
    text.as_str().unwrap().to_owned()
}

const NAMES: [&str; 7] = [
    "orders-to-warehouse",
    "customers-to-warehouse",
    "events-to-warehouse",
    "invoices-to-lake",
    "clicks-to-lake",
    "billing-to-warehouse",
    "stock-to-warehouse",
];

fn beating(count: i64) -> Vec<Job> {
    (0..count)
        .map(|n| {
            job(
                &(1_000 + n).to_string(),
                NAMES[(n % 7) as usize],
                -40 - n * n * 13,
                Some(-(n * 7 % 11) - n / 9),
            )
        })
        .collect()
}

/// A day of inits: jobs that come and go, a few of which fail.
fn live_a_day(served: &Served) {
    served.look(Found::rows(Vec::new()));
    for slot in 0..46_u64 {
        served.later(Duration::from_secs(1770));
        let many = 3 + slot * 7 % 11;
        let at = |seconds: i64| TimeValue::from_micros(served.now() + seconds * 1_000_000);
        let rows = (0..many)
            .map(|n| Job {
                started_at: at(-20),
                heartbeat_at: if slot % 9 == 4 && n == 0 { at(-20) } else { at(-3) },
                state: Some(if slot % 9 == 4 && n == 0 { "FAIL" } else { "RUNNING" }.into()),
                ..job(&format!("{slot}-{n}"), "x", 0, None)
            })
            .map(|row| match row.state.as_deref() {
                Some("FAIL") => Job {
                    heartbeat_at: TimeValue::ABSENT,
                    ..row
                },
                _ => row,
            })
            .collect();
        served.look(Found {
            took: Duration::from_micros(2_000 + slot * slot * 40),
            ..Found::rows(rows)
        });
        served.later(Duration::from_secs(30));
        served.look(Found::rows(Vec::new()));
    }
}

fn entry(id: u128, job: &str, name: &str, action: LedgerAction, at: Timestamp) -> LedgerEntry {
    let (before, after) = match action {
        LedgerAction::Fail => (
            r#"{"state":"RUNNING","ended_at":null,"payload":null}"#,
            r#"{"state":"FAIL","ended_at":"2027-01-15 07:59:02.112233","payload":"{\"error\": \"Beatwarden: no heartbeat within 60s\"}"}"#,
        ),
        _ => (
            r#"{"last_heartbeat_at":null}"#,
            r#"{"last_heartbeat_at":"2027-01-15 07:57:30.292882"}"#,
        ),
    };
    LedgerEntry {
        watch: "meltano".into(),
        table_name: "runs".into(),
        job_id: JobId::new(job),
        job_name: Some(name.into()),
        reason: "missed_first".into(),
        instance: "host/1".into(),
        started_at: Some(at.minus(Duration::from_secs(61))),
        before: before.into(),
        after: after.into(),
        ..LedgerEntry::new(RepairId(id), action, at)
    }
}

fn moved(rows: Vec<Job>, served: &Served) -> Vec<Job> {
    let by = served.now() - NOW;
    let later = |reading: TimeValue| {
        reading
            .at()
            .map_or(reading, |at| TimeValue::from_micros(at.as_micros() + by))
    };
    rows.into_iter()
        .map(|row| Job {
            started_at: later(row.started_at),
            heartbeat_at: later(row.heartbeat_at),
            ..row
        })
        .collect()
}

/// Three stuck jobs among ten, after a day with a few failures and two repairs.
fn stuck(served: &Served) {
    let mut rows = beating(6);
    rows.push(job("214", "invoices-to-lake", -3_000, Some(-854)));
    rows.push(job("377", "billing-to-warehouse", -200, Some(-200)));
    rows.push(job("381", "orders-to-warehouse", -95, None));
    rows.push(job("382", "stock-to-warehouse", -41, None));
    rows.push(job("383", "clicks-to-lake", -4, None));
    let ago = |seconds| Timestamp::from_micros(served.now()).minus(Duration::from_secs(seconds));
    let mut late = entry(1, "301", "events-to-warehouse", LedgerAction::Backfill, ago(7_400));
    late.outcome = Some(LateOutcome::LateHeartbeat);
    served.look(Found {
        repairs: vec![
            entry(3, "377", "billing-to-warehouse", LedgerAction::Backfill, ago(120)),
            entry(2, "352", "stock-to-warehouse", LedgerAction::Fail, ago(3_700)),
            late,
        ],
        ..Found::rows(moved(rows, served))
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_stands_in_every_state() {
    let mut browser = Chromium::start();

    let fresh = served().await;
    examine(&mut browser, &fresh, "unknown");
    assert_eq!(
        verdict(&mut browser),
        "Nothing is known yet: the table has not been read."
    );

    let healthy = served().await;
    live_a_day(&healthy);
    healthy.look(Found::rows(moved(beating(42), &healthy)));
    examine(&mut browser, &healthy, "healthy");
    assert_eq!(verdict(&mut browser), "42 jobs running, oldest heartbeat 14 s ago.");

    healthy.later(Duration::from_secs(5));
    healthy.fail();
    examine(&mut browser, &healthy, "failing");
    let notice = browser.evaluate("document.querySelector('.notice').textContent");
    assert!(
        notice.as_str().unwrap().contains("no connection to <the database>"),
        "{notice}"
    );

    let with_stuck = served().await;
    live_a_day(&with_stuck);
    stuck(&with_stuck);
    examine(&mut browser, &with_stuck, "stuck");
    assert_eq!(
        verdict(&mut browser),
        "3 stuck, 2 block new runs: 2 with no first heartbeat, 1 silent for 14 min."
    );
    let answers = browser.evaluate("[...document.querySelectorAll('.answers dd')].map(one => one.innerText)");
    let answers: Vec<&str> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    assert!(
        answers[0].contains("billing-to-warehouse: blocks new runs until "),
        "{answers:?}"
    );
    assert!(answers[0].contains("1 leftover blocks no one."), "{answers:?}");
    assert!(
        answers[1].starts_with("orders-to-warehouse: its heartbeat is set to its start in 1 min"),
        "{answers:?}"
    );
    assert!(
        answers[2].starts_with("No: 1 backfilled job beat after all."),
        "{answers:?}"
    );
    let outcome = browser.evaluate("document.querySelector('.outcomes').innerText");
    let outcome = outcome.as_str().unwrap();
    assert!(
        outcome.contains("Late heartbeat: job 301 (events-to-warehouse)") && outcome.contains("beatwarden explain 301"),
        "{outcome}"
    );

    browser.look_as(794, "light");
    browser.look_as_printed();
    browser.open(&format!("http://{}/?paused", with_stuck.address));
    let shown = |what: &str| format!("document.querySelector('{what}').checkVisibility()");
    assert_eq!(
        browser.evaluate(&shown(".pause a")),
        false,
        "paper has nothing to click"
    );
    assert_eq!(browser.evaluate(&shown(".answers")), true);
    if let Some(folder) = std::env::var_os("BEATWARDEN_SCREENSHOTS") {
        browser.photograph(&PathBuf::from(folder).join("stuck-print.png"));
    }

    with_stuck.add_watches(&[("airflow", false)]);
    examine(&mut browser, &with_stuck, "two");
    let names = browser.evaluate("[...document.querySelectorAll('.watch h2')].map(name => name.innerText)");
    assert_eq!(names, serde_json::json!(["airflow", "meltano"]), "the worst first");
    assert!(
        browser
            .evaluate("document.title")
            .as_str()
            .unwrap()
            .starts_with("Nothing is known yet")
    );

    for _ in 0..14 {
        with_stuck.later(Duration::from_secs(60));
        with_stuck.fail();
    }
    examine(&mut browser, &with_stuck, "old");
    assert!(
        browser
            .evaluate("document.body.innerText")
            .as_str()
            .unwrap()
            .contains("the table was last read 14 min ago")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fuse_and_an_obstacle_are_shown() {
    let mut browser = Chromium::start();
    let fail = Policy {
        action: Action::Fail,
        ..policy()
    };
    let fused = served_as("meltano", fail).await;
    let mut lie = entry(
        9,
        "17",
        "orders-to-warehouse",
        LedgerAction::Fail,
        Timestamp::from_micros(NOW - 90_000_000),
    );
    lie.outcome = Some(LateOutcome::FalseRepair);
    let found = || Found {
        repairs: vec![lie.clone()],
        obstacles: vec![Obstacle {
            cause: Cause::NoLedger,
            reason: "the role may not create a table in schema public; run `beatwarden check`".into(),
        }],
        ..Found::rows(beating(3))
    };
    fused.look(found());
    examine(&mut browser, &fused, "fuse");
    let text = browser.evaluate("document.body.innerText");
    let text = text.as_str().unwrap();
    assert!(
        text.contains("beatwarden ack 00000000-0000-0000-0000-000000000009"),
        "{text}"
    );
    assert!(
        text.contains("No repairs (no_ledger)")
            && text.contains("False repair: job 17 (orders-to-warehouse) was failed at "),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_are_shown_as_text() {
    let mut browser = Chromium::start();
    let hostile = [
        "<script>document.title='owned'</script>",
        "\"><img src=x onerror=document.title='owned'>",
        "'--></style></title><svg onload=document.title='owned'>",
        "\u{202e}gpj.exe\u{2066}",
        &"long ".repeat(2_000),
        &"x".repeat(10_000),
        "\u{0}\u{7}\u{1b}[31m",
        "{{7*7}} &amp; &lt;b&gt;",
    ];
    let served = served_as("<b>\"watch\"</b>", policy()).await;
    let rows = hostile.iter().enumerate().map(|(n, name)| Job {
        id: JobId::new(format!("{name}{n}")),
        ..job("", name, -90 - n as i64, None)
    });
    let mut repair = entry(
        1,
        hostile[1],
        hostile[0],
        LedgerAction::Backfill,
        Timestamp::from_micros(NOW),
    );
    repair.before = format!("{{\"{}\": \"</li><script>\"}}", "<i>");
    repair.after = "<script>not JSON".into();
    served.look(Found {
        repairs: vec![repair],
        ..Found::rows(rows.collect())
    });
    examine(&mut browser, &served, "hostile");
    assert_eq!(
        browser.evaluate("document.title"),
        "8 stuck, all block new runs: 8 with no first heartbeat – Beatwarden"
    );
    assert_eq!(
        browser.evaluate("document.querySelectorAll('script, img, main b, svg[onload]').length"),
        0
    );
    let shown = browser.evaluate("[...document.querySelectorAll('td .name')].map(name => name.textContent)");
    let shown: Vec<&str> = shown
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert!(
        shown.contains(&hostile[0]) && shown.contains(&hostile[1]) && shown.contains(&hostile[7]),
        "{shown:?}"
    );
    assert!(shown.contains(&"\\u{202e}gpj.exe\\u{2066}"), "{shown:?}");
    assert!(shown.iter().all(|name| name.chars().count() <= 121), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_refreshes_itself_until_it_is_paused() {
    let mut browser = Chromium::start();
    let served = served().await;
    served.look(Found::rows(beating(2)));
    let origin = format!("http://{}", served.address);
    assert_eq!(get(served.address, "/").header("refresh"), Some("5; url=/"));
    assert_eq!(get(served.address, "/?paused").header("refresh"), None);
    assert_eq!(get(served.address, "/api/v1/status").header("refresh"), None);

    browser.look_as(1180, "light");
    browser.open(&origin);
    assert_eq!(verdict(&mut browser), "2 jobs running, oldest heartbeat 7 s ago.");
    served.look(Found::rows(beating(3)));
    browser
        .becomes(
            "document.querySelector('.verdict').textContent",
            &"3 jobs running, oldest heartbeat 7 s ago.".into(),
        )
        .await;
    // The first thing that the keyboard reaches.
    for event in ["keyDown", "keyUp"] {
        browser.ask(
            "Input.dispatchKeyEvent",
            serde_json::json!({"type": event, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}),
        );
    }
    assert_eq!(browser.evaluate("document.activeElement.textContent"), "Pause");
    browser.evaluate("document.activeElement.click()");
    browser
        .becomes(
            "location.search + ' ' + document.querySelector('.pause a').textContent",
            &"?paused Resume".into(),
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_jobs_are_drawn_in_a_blink() {
    let mut browser = Chromium::start();
    let served = served().await;
    let rows = (0..100_000).map(|n| match n % 100 {
        0 => job(&n.to_string(), NAMES[n % 7], -(n as i64) % 5_000 - 61, None),
        1 => job(&n.to_string(), NAMES[n % 7], -9_000, Some(-301 - (n as i64) % 5_000)),
        2 => job(&n.to_string(), NAMES[n % 7], -(n as i64) % 60, None),
        _ => job(&n.to_string(), NAMES[n % 7], -9_000, Some(-((n * n % 97) as i64) / 9)),
    });
    served.look(Found::rows(rows.collect()));
    assert_eq!(get(served.address, "/").status, 200);
    // The best of five: what a busy machine adds says nothing about the page.
    let times = (0..5).map(|_| {
        let asked = Instant::now();
        get(served.address, "/");
        asked.elapsed()
    });
    let took = times.min().unwrap();
    assert!(took < Duration::from_millis(100), "{took:?}");
    let page = served.page();
    assert!(page.len() < 150_000, "{} bytes", page.len());
    assert!(page.contains("The worst 50 of 2,000 stuck jobs"), "{page}");
    examine(&mut browser, &served, "many");
    assert!(
        verdict(&mut browser)
            .starts_with("2,000 stuck, 1,000 block new runs: 1,000 with no first heartbeat, 1,000 silent for up to ")
    );
}
