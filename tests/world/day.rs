//! A day of a real Beatwarden under a real Prometheus and Alertmanager, compressed into minutes: exactly which notifications a
//! person gets, at three scrape intervals.
//!
//! Real replicas are put into each state of the day once, on a real server, and what they export is recorded. From that come
//! the series of 24 hours; Prometheus' own rule engine (promtool) evaluates the shipped rules over them, with all waiting
//! times as shipped and between the scrapes; and the alerts go through a real Alertmanager with the shipped configuration.
//!
//! The series and the notifications stand in `day-*.yml` and `day-*.txt` in the folder for the tests' files, `target/tmp`.
//!
//! Limits: within a state every gauge keeps its value and no counter grows, and ages are those of the recording; its deadlines
//! are 2 s. Alertmanager's waits for a group are shorter than shipped and hours without a change are skipped, so repeated
//! notifications of what continues to fire don't come.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod people;
mod series;
mod stage;

use people::Notification;
use stage::Stage;
use std::{collections::BTreeMap, fmt::Write};

/// Hours and minutes as minutes.
const fn at(hours: u32, minutes: u32) -> u32 {
    hours * 60 + minutes
}

/// What a person gets: from when on, within how many minutes, and what.
const EXPECTED: [(u32, &str); 12] = [
    (at(4, 0), "team: firing BeatwardenJobsStuckLost of orders"),
    (at(4, 40), "team: resolved BeatwardenJobsStuckLost of orders"),
    (at(6, 0), "team: firing BeatwardenFalseRepair of orders"),
    (at(8, 30), "team: resolved BeatwardenFalseRepair of orders"),
    (at(10, 0), "team: firing BeatwardenTargetDown of b:12328"),
    (at(10, 40), "team: resolved BeatwardenTargetDown of b:12328"),
    (at(12, 0), "team: firing BeatwardenRepairsDisabled of nightly"),
    (at(12, 40), "team: resolved BeatwardenRepairsDisabled of nightly"),
    (at(15, 0), "on-call: firing BeatwardenJobsBlocking of observed"),
    (at(15, 40), "on-call: resolved BeatwardenJobsBlocking of observed"),
    (
        at(22, 0),
        "on-call: firing BeatwardenDatabaseUnreachable of nightly, observed, orders",
    ),
    (
        at(22, 30),
        "on-call: resolved BeatwardenDatabaseUnreachable of nightly, observed, orders",
    ),
];
/// No alert waits longer, and no resolution either.
const PATIENCE: u32 = 15;

/// A night: a dozen jobs, and one that dies at its start and is a leftover five minutes later, until the next night's start.
async fn night(stage: &mut Stage, minute: u32) {
    // They have sent a heartbeat, and the stage sends the next ones: one that waits for the replicas would be lost meanwhile.
    stage
        .sql(
            "INSERT INTO nightly_runs (job_name, state, started_at, last_heartbeat_at)
             SELECT 'job-' || n, 'RUNNING', (now() - interval '1 s') AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'
             FROM generate_series(1, 12) AS n",
        )
        .await;
    stage
        .all_see("running_jobs{phase=\"beating\",watch=\"nightly\"}", 13.0)
        .await;
    stage.record(minute).await;
    stage.end("nightly", "job-%").await;
    // By its writer's rule it blocks for five minutes after its start, and it is seen for the last seconds of them.
    stage.dead("nightly", "left", 285).await;
    stage.all_see("blocking_jobs{watch=\"nightly\"}", 1.0).await;
    stage.record(minute + 10).await;
    let repaired = "withheld_repairs{cause=\"awaiting_writer\",watch=\"nightly\"}";
    stage.all_see(repaired, 1.0).await;
    stage.record(minute + 11).await;
    stage.all_see("blocking_jobs{watch=\"nightly\"}", 0.0).await;
    stage.record(minute + 15).await;
}

/// The day, in the order of its hours.
async fn play(stage: &mut Stage) {
    stage.start("a").await;
    stage.start("b").await;
    stage.record(0).await;
    night(stage, at(1, 0)).await;

    // A crash: a job beat, and its process is gone.
    stage.dead("orders", "crashed", 700).await;
    stage
        .sql("UPDATE orders_runs SET last_heartbeat_at = started_at + interval '1 min' WHERE job_name = 'crashed'")
        .await;
    stage.all_see("stuck_jobs{reason=\"lost\",watch=\"orders\"}", 1.0).await;
    stage.record(at(4, 0)).await;
    stage.end("orders", "crashed").await;
    stage.all_see("stuck_jobs{reason=\"lost\",watch=\"orders\"}", 0.0).await;
    stage.record(at(4, 40)).await;

    // A living job is failed, and beats again.
    stage.dead("orders", "slow", 0).await;
    stage
        .one_counts("repairs_total{action=\"fail\",reason=\"missed_first\",watch=\"orders\"}")
        .await;
    stage
        .sql("UPDATE orders_runs SET last_heartbeat_at = now() AT TIME ZONE 'UTC' WHERE job_name = 'slow'")
        .await;
    stage.one_counts("false_repairs_total{watch=\"orders\"}").await;
    stage.all_see("fuse_open{watch=\"orders\"}", 1.0).await;
    stage.record(at(6, 0)).await;
    stage.acknowledge("orders").await;
    stage.all_see("fuse_open{watch=\"orders\"}", 0.0).await;
    stage.record(at(8, 30)).await;

    // One instance of two is dead.
    stage.kill("b");
    stage.record(at(10, 0)).await;
    stage.start("b").await;
    stage.record(at(10, 40)).await;

    // The right to repair is lost.
    let disabled = "repair_obstacles{cause=\"rights\",watch=\"nightly\"}";
    stage.sql("REVOKE UPDATE ON nightly_runs FROM dog").await;
    stage.all_see(disabled, 1.0).await;
    stage.record(at(12, 0)).await;
    stage.sql("GRANT UPDATE ON nightly_runs TO dog").await;
    stage.all_see(disabled, 0.0).await;
    stage.record(at(12, 40)).await;

    // A dead job that no one may repair blocks its pipeline.
    stage.dead("observed", "blocked", 60).await;
    stage.all_see("blocking_jobs{watch=\"observed\"}", 1.0).await;
    stage.record(at(15, 0)).await;
    stage.end("observed", "blocked").await;
    stage.all_see("blocking_jobs{watch=\"observed\"}", 0.0).await;
    stage.record(at(15, 40)).await;

    // Both replicas are replaced, one after the other.
    for (minute, new, old) in [(at(18, 0), "c", "a"), (at(18, 2), "d", "b")] {
        stage.start(new).await;
        stage.record(minute).await;
        stage.remove(old);
        stage.record(minute + 1).await;
    }
    stage.end("nightly", "left").await;
    night(stage, at(20, 0)).await;

    // The database is away.
    stage.stop_database();
    for (name, _) in stage::WATCHES {
        stage.all_see(&format!("up{{watch=\"{name}\"}}"), 0.0).await;
    }
    stage.record(at(22, 0)).await;
    stage.start_database();
    for (name, _) in stage::WATCHES {
        stage.all_see(&format!("up{{watch=\"{name}\"}}"), 1.0).await;
        stage
            .all_see(&format!("running_jobs{{phase=\"lost\",watch=\"{name}\"}}"), 0.0)
            .await;
    }
    stage.record(at(22, 30)).await;
}

/// A day as a person reads it.
fn written(day: &[Notification]) -> String {
    day.iter().fold(String::new(), |mut text, one| {
        let _ = writeln!(text, "{:02}:{:02} {}", one.minute / 60, one.minute % 60, one.text);
        text
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_day_gives_one_notification_for_each_incident_at_every_scrape_interval() {
    let mut stage = Stage::set().await;
    play(&mut stage).await;
    let frames = &stage.frames;
    let deployments: BTreeMap<String, Vec<series::Fired>> = std::thread::scope(|scope| {
        let of = |interval| scope.spawn(move || (format!("every-{interval}s"), series::alerts(frames, interval)));
        let all = [15, 30, 60].map(of);
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let sent = people::notifications(&deployments).await;
    for cluster in deployments.keys() {
        let day = sent.get(cluster).map_or(&[][..], Vec::as_slice);
        let text = written(day);
        let file = format!("{}/day-{cluster}.txt", env!("CARGO_TARGET_TMPDIR"));
        std::fs::write(file, &text).unwrap();
        let texts: Vec<&str> = day.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(
            texts,
            EXPECTED.map(|(_, text)| text),
            "{cluster}\n{text}\n{:?}",
            deployments[cluster]
        );
        for (one, (minute, text)) in day.iter().zip(EXPECTED) {
            let late = one.minute.checked_sub(minute);
            assert!(late <= Some(PATIENCE) && late.is_some(), "{cluster}: {text}: {one:?}");
        }
    }
}
