//! What a reader chose is in the address: opened parts, one job, more repairs. It outlives the refresh of the page, without a
//! script.

use super::{beating, entry, examine, stuck, verdict};
use crate::{
    browser::chromium::Chromium,
    support::served::{Found, NOW, served},
};
use beatwarden::domain::{LateOutcome, LedgerAction, LedgerEntry, Timestamp};
use std::time::Duration;

/// What `getComputedStyle` says of the folded jobs.
const FOLDED: &str = "document.querySelector('.part .scroll').checkVisibility()";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_opened_stays_open_over_a_refresh() {
    let mut browser = Chromium::start();
    let served = served().await;
    served.look(Found::rows(beating(2)));
    browser.look_as(1180, "light");
    browser.open(&format!("http://{}", served.address));
    assert_eq!(browser.evaluate(FOLDED), false);
    browser.evaluate("document.querySelector('.part a.fold').click()");
    browser.becomes(FOLDED, &true.into()).await;
    assert_eq!(
        browser.evaluate("location.search + location.hash"),
        "?open=running-0#running-0"
    );
    served.look(Found::rows(beating(3)));
    browser
        .becomes(
            "document.querySelector('.verdict').textContent",
            &"3 jobs running, oldest heartbeat 7 s ago.".into(),
        )
        .await;
    assert_eq!(browser.evaluate(FOLDED), true);
    assert_eq!(browser.evaluate("location.search"), "?open=running-0");
    browser.evaluate("document.querySelector('.part a.fold').click()");
    browser.becomes(FOLDED, &false.into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_has_an_address_and_stays_marked_over_a_refresh() {
    let mut browser = Chromium::start();
    let served = served().await;
    served.look(Found::rows(beating(2)));
    browser.look_as(1180, "light");
    browser.open(&format!("http://{}/#job-1001", served.address));
    let shown = |which: &str| {
        format!(
            "[...document.querySelectorAll('{which}')].filter(row => row.checkVisibility()).map(row => row.id).join()"
        )
    };
    assert_eq!(browser.evaluate(&shown(":target")), "job-1001", "a folded job, too");
    // A fragment doesn't keep the page from refreshing itself.
    served.look(Found::rows(beating(3)));
    let verdict = "document.querySelector('.verdict').textContent";
    browser
        .becomes(verdict, &"3 jobs running, oldest heartbeat 7 s ago.".into())
        .await;

    browser.evaluate("document.querySelector('#job-1001 td a').click()");
    browser
        .becomes("location.search + location.hash", &"?job=job-1001#job-1001".into())
        .await;
    served.look(Found::rows(beating(18)));
    browser
        .becomes(verdict, &"18 jobs running, oldest heartbeat 11 s ago.".into())
        .await;
    assert_eq!(browser.evaluate(&shown("tr.marked")), "job-1001");
}

/// No identity is used twice, and every link within the page leads somewhere.
fn has_sound_identities(browser: &mut Chromium) {
    let doubled =
        "[...document.querySelectorAll('[id]')].map(one => one.id).filter((id, n, all) => all.indexOf(id) != n)";
    assert_eq!(browser.evaluate(doubled), serde_json::json!([]));
    let astray = "[...document.querySelectorAll('a[href^=\"#\"]')].map(one => one.getAttribute('href').slice(1))\
                  .filter(id => !document.getElementById(decodeURIComponent(id)))";
    assert_eq!(browser.evaluate(astray), serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_healthy_watches_fit_on_one_screen_and_fifty_sick_ones_make_a_small_page() {
    let mut browser = Chromium::start();
    let served = served().await;
    served.look(Found::rows(beating(3)));
    let names: Vec<String> = (1..50).map(|n| format!("warehouse \"{n}\"")).collect();
    let watches: Vec<(&str, bool)> = names.iter().map(|name| (name.as_str(), true)).collect();
    served.add_watches(&watches[..19]);
    examine(&mut browser, &served, "twenty");
    browser.look_as(1180, "light");
    browser.open(&format!("http://{}/?paused", served.address));
    let height = browser.evaluate("document.documentElement.scrollHeight");
    assert!(height.as_u64().unwrap() <= 900, "{height} px");
    assert_eq!(browser.evaluate("document.querySelectorAll('.folded li').length"), 20);
    has_sound_identities(&mut browser);

    browser.evaluate("document.querySelector('#watch-7 a').click()");
    browser
        .becomes(
            "document.querySelector('.watch')?.id + ' ' + location.hash",
            &"watch-7 #watch-7".into(),
        )
        .await;

    served.add_watches(&watches);
    stuck(&served);
    let page = served.page();
    assert!(page.len() < 200_000, "{} bytes", page.len());
    examine(&mut browser, &served, "fifty");
    has_sound_identities(&mut browser);
    assert_eq!(browser.evaluate("document.querySelectorAll('.watch').length"), 3);
    assert_eq!(browser.evaluate("document.querySelectorAll('.folded li').length"), 47);
    assert!(verdict(&mut browser).starts_with("3 stuck, 2 block new runs"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_false_repair_stands_on_top_and_more_repairs_are_a_link_away() {
    let mut browser = Chromium::start();
    let served = served().await;
    let ago = |seconds| Timestamp::from_micros(NOW).minus(Duration::from_secs(seconds));
    let failed = |id: u64| {
        let (key, at) = ((5_000 - id).to_string(), ago(60 * id + 400));
        entry(u128::from(id), &key, "orders-to-warehouse", LedgerAction::Fail, at)
    };
    let mut repairs: Vec<LedgerEntry> = (1..=100).map(failed).collect();
    let mut lie = entry(777, "17", "billing-to-warehouse", LedgerAction::Fail, ago(900_000));
    lie.outcome = Some(LateOutcome::FalseRepair);
    repairs.push(lie);
    served.look(Found {
        repairs,
        ..Found::rows(beating(2))
    });
    examine(&mut browser, &served, "pinned");
    has_sound_identities(&mut browser);
    let outcome = browser.evaluate("document.querySelector('main').firstElementChild.innerText");
    let outcome = outcome.as_str().unwrap();
    for part in [
        "False repair: job 17 (billing-to-warehouse) was failed at 2027-01-04 ",
        "beatwarden undo 00000000-0000-0000-0000-000000000309",
        "beatwarden ack 00000000-0000-0000-0000-000000000309",
        "beatwarden explain 17",
    ] {
        assert!(outcome.contains(part), "{outcome}");
    }
    let rows = "document.querySelectorAll('tr.repaired').length";
    assert_eq!(browser.evaluate(rows), 10);
    for more in [30, 90, 100] {
        browser.evaluate("[...document.querySelectorAll('a')].find(link => link.textContent == 'More').click()");
        browser.becomes(rows, &more.into()).await;
        assert_eq!(browser.evaluate("location.hash"), "#repairs-0");
    }
    browser.open(&format!("http://{}/#job-4990", served.address));
    assert_eq!(
        browser.evaluate("document.querySelector(':target').innerText.includes('4990')"),
        true
    );
}
