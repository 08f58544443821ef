//! What page, `status` and metrics say about blocking, tried on the real Meltano: it refuses the same pipeline before the
//! moment that is named, and starts it after.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    beatwarden::Beatwarden,
    eventually,
    http::get,
    meltano::{Meltano, Place, Run, Version, WholeRow},
    postgres,
};
use serde_json::Value;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// How the job died.
#[derive(Clone, Copy)]
enum Death {
    /// Before its first heartbeat.
    AtStart,
    /// Later.
    AtWork,
}

macro_rules! dies {
    ($($test:ident: $version:expr, $death:expr, $hours:expr;)+) => {
        mod sqlite {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() {
                blocks_until_the_moment_that_is_named(Meltano::new($version, Place::Sqlite), $death, $hours).await;
            })+
        }
        mod postgres_server {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() {
                let place = Place::Postgres(postgres::shared().database().await);
                blocks_until_the_moment_that_is_named(Meltano::new($version, place), $death, $hours).await;
            })+
        }
    };
}

dies! {
    a_row_without_a_heartbeat_blocks_for_a_day: Version::V3_6, Death::AtStart, 24.0;
    a_row_with_a_seeded_heartbeat_blocks_for_five_minutes: Version::V4, Death::AtStart, 5.0 / 60.0;
    a_row_whose_heartbeat_was_lost_blocks_for_five_minutes: Version::V3_6, Death::AtWork, 5.0 / 60.0;
}

/// The last sign of life of a row, as seconds since the epoch.
fn last_sign(row: &WholeRow) -> f64 {
    let text = row["last_heartbeat_at"]
        .as_ref()
        .or(row["started_at"].as_ref())
        .unwrap();
    let time: jiff::civil::DateTime = text.replacen(' ', "T", 1).parse().unwrap();
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
    zoned.timestamp().as_microsecond() as f64 / 1e6
}

fn seconds(time: &Value) -> Option<f64> {
    let at: jiff::Timestamp = time.as_str()?.parse().unwrap();
    Some(at.as_microsecond() as f64 / 1e6)
}

/// The one listed job, once `wanted` holds of it.
async fn job_when(dog: &Beatwarden, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(what, SOON, async || {
        let job = dog.json("/api/v1/status").pointer("/watches/0/jobs/0")?.clone();
        wanted(&job).then_some(job)
    })
    .await
}

async fn blocks_until_the_moment_that_is_named(meltano: Meltano, death: Death, hours: f64) {
    match death {
        Death::AtStart => {
            let (good, output) = meltano.run(Run::CrashesAtStart).await;
            assert!(!good, "{output}");
        }
        Death::AtWork => {
            let running = meltano.start(Run::Works(60.0));
            meltano
                .row_when("a heartbeat", |row| row["last_heartbeat_at"].is_some())
                .await;
            drop(running);
        }
    }
    let uri = meltano.uri();
    let deadlines = "--missed-first observe --poll-interval 200ms --init-deadline 1s --heartbeat-timeout 1s";
    let mut arguments = vec!["--database", uri.as_str(), "--preset", "meltano"];
    arguments.extend(deadlines.split(' '));
    let dog = Beatwarden::watch(&arguments).await;
    let blocking = "blocking_jobs{watch=\"meltano\"}";
    dog.metric_becomes(blocking, 1.0, SOON).await;

    let row = meltano.rows().await.pop().unwrap();
    let job = job_when(&dog, "it blocks", |job| job["blocks_until"].is_string()).await;
    let until = seconds(&job["blocks_until"]).unwrap();
    assert!(
        (until - last_sign(&row) - hours * 3_600.0).abs() < 0.001,
        "{job} {row:?}"
    );
    assert_eq!(job["leftover"], false);
    let words = job["blocking_words"].as_str().unwrap();
    assert!(words.starts_with("blocks new runs until "), "{words}");
    assert!(get(dog.address, "/").text().contains(words), "the page says the same");

    // As far back as leaves the moment half a minute away, which is longer than Meltano takes to ask.
    let now = jiff::Timestamp::now().as_microsecond() as f64 / 1e6;
    let move_back = async |by: f64| {
        let columns = ["started_at", "last_heartbeat_at"].map(|name| format!("{name} = {}", meltano.moved(name, -by)));
        meltano
            .sql(&format!(
                "UPDATE runs SET {} WHERE state = 'RUNNING'",
                columns.join(", ")
            ))
            .await;
    };
    move_back(until - now - 30.0).await;
    job_when(&dog, "the move is seen", |job| {
        seconds(&job["blocks_until"]).is_some_and(|until| until < now + 31.0)
    })
    .await;
    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert!(
        !good && output.contains("already running"),
        "before the moment: {output}"
    );

    move_back(31.0).await;
    dog.metric_becomes(blocking, 0.0, SOON).await;
    let job = job_when(&dog, "a leftover", |job| job["leftover"] == true).await;
    assert!(job["blocks_until"].is_null(), "{job}");
    assert!(get(dog.address, "/").text().contains("leftover, blocks no one"));
    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert!(good, "after the moment: {output}");
}
