//! What a user does: the real Meltano, the real databases, our real binary. Deadlines are seconds instead of minutes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::discovered::is_discovered;
use crate::support::{
    Session,
    beatwarden::{Beatwarden, of_watch, repairs, withheld, words},
    eventually,
    meltano::{Meltano, Place, Run, Version, WholeRow},
    postgres::{self, Cluster},
    table::on_both,
    written,
};
use std::{fs, time::Duration};

const SOON: Duration = Duration::from_secs(20);

on_both!(
    || async { super::Place::Sqlite }, || async { super::Place::Postgres(super::postgres::shared().database().await) };
    a_crash_blocks_the_pipeline_and_fail_frees_it,
    a_backfill_changes_one_column_and_the_writers_own_rule_frees_the_pipeline,
    a_living_job_that_blocks_its_event_loop_is_backfilled_and_ends_in_success,
    a_living_job_that_is_failed_is_recognised_given_back_and_ends_in_success,
    with_the_guard_the_writers_own_rule_frees_a_crashed_pipeline,
    the_writers_own_migrations_pass_beside_the_guard,
    a_migration_that_the_guard_would_stop_is_predicted_by_check,
    healthy_jobs_and_failing_taps_are_left_alone,
    a_seeded_crash_waits_for_the_writer_or_is_ended,
    incremental_state_survives_a_fail_byte_for_byte,
    old_rows_are_recognised_and_only_the_due_one_is_changed,
    a_watchdog_killed_between_repairs_repairs_nothing_twice,
    a_ledger_that_refuses_leaves_the_job_alone,
);

/// With short deadlines, on the database at this address.
async fn watch_at(uri: &str, action: &str) -> Beatwarden {
    Beatwarden::watch(&words(&format!(
        "--database {uri} --preset meltano --missed-first {action} --poll-interval 200ms --init-deadline 3s --heartbeat-timeout 5s"
    )))
    .await
}

async fn watch(meltano: &Meltano, action: &str) -> Beatwarden {
    watch_at(&meltano.uri(), action).await
}

fn column<'a>(row: &'a WholeRow, name: &str) -> Option<&'a str> {
    row[name].as_deref()
}

/// Runs Meltano into its crash: the row is RUNNING.
async fn crash(meltano: &Meltano) -> WholeRow {
    let (good, output) = meltano.run(Run::CrashesAtStart).await;
    assert!(!good, "{output}");
    let row = meltano.rows().await.pop().expect("a row");
    assert_eq!(column(&row, "state"), Some("RUNNING"));
    row
}

async fn a_crash_blocks_the_pipeline_and_fail_frees_it<F: Future<Output = Place>>(place: impl Fn() -> F) {
    let meltano = Meltano::new(Version::V3_6, place().await);
    let row = crash(&meltano).await;
    assert_eq!(column(&row, "last_heartbeat_at"), None);
    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert!(!good && output.contains("already running"), "{output}");
    let dog = watch(&meltano, "fail").await;
    dog.metric_becomes(&repairs("fail"), 1.0, SOON).await;

    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert!(good, "{output}");
    let rows = meltano.rows().await;
    assert_eq!(column(&rows[0], "state"), Some("FAIL"));
    assert_eq!(column(rows.last().unwrap(), "state"), Some("SUCCESS"));

    let ledger = meltano.ledger().await;
    assert_eq!(ledger.len(), 1);
    let entry = &ledger[0];
    assert_eq!(column(entry, "job_id"), column(&row, "id"));
    assert_eq!(column(entry, "job_name"), column(&row, "job_name"));
    assert_eq!(
        (column(entry, "action"), column(entry, "reason")),
        (Some("fail"), Some("missed_first"))
    );
    let payload = column(&rows[0], "payload").unwrap();
    assert!(payload.contains(column(entry, "repair_id").unwrap()), "{payload}");

    dog.metric_becomes(&of_watch("job_init_failures_total"), 1.0, SOON)
        .await;
    dog.metric_becomes(&of_watch("job_inits_total"), 2.0, SOON).await;
    let api = dog.json("/api/v1/repairs");
    assert_eq!(api["repairs"][0]["repair_id"].as_str(), column(entry, "repair_id"));
    assert!(dog.stop().success());
}

async fn a_backfill_changes_one_column_and_the_writers_own_rule_frees_the_pipeline<F: Future<Output = Place>>(
    place: impl Fn() -> F,
) {
    let meltano = Meltano::new(Version::V3_6, place().await);
    crash(&meltano).await;
    let before = meltano.rows().await;
    let dog = watch(&meltano, "backfill").await;
    dog.metric_becomes(&repairs("backfill"), 1.0, SOON).await;
    let after = meltano.rows().await;
    let mut expected = before.clone();
    let started = before[0]["started_at"].clone();
    expected[0].insert("last_heartbeat_at".into(), started);
    assert_eq!(after, expected, "only that column of that row");
    dog.metric_becomes(&withheld("awaiting_writer"), 1.0, SOON).await;
    dog.metric_becomes("stuck_jobs{reason=\"missed_first\",watch=\"meltano\"}", 1.0, SOON)
        .await;
    drop(dog);

    let moved = format!(
        "UPDATE runs SET started_at = {}, last_heartbeat_at = {} WHERE state = 'RUNNING'",
        meltano.moved("started_at", -301.0),
        meltano.moved("last_heartbeat_at", -301.0)
    );
    meltano.sql(&moved).await;
    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert!(good, "{output}");
    let rows = meltano.rows().await;
    assert_eq!(column(&rows[0], "state"), Some("FAIL"), "by Meltano's own rule");
}

async fn a_living_job_that_blocks_its_event_loop_is_backfilled_and_ends_in_success<F: Future<Output = Place>>(
    place: impl Fn() -> F,
) {
    let meltano = Meltano::used(Version::V3_6, place().await).await;
    let dog = watch(&meltano, "backfill").await;
    dog.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    let (good, output) = meltano.run(Run::Blocks(8.0)).await;
    assert!(good, "{output}");
    assert_eq!(
        meltano.ledger().await.len(),
        1,
        "it was backfilled while it was blocked"
    );
    let row = meltano.rows().await.pop().unwrap();
    assert_eq!(column(&row, "state"), Some("SUCCESS"));
    assert_ne!(
        column(&row, "last_heartbeat_at"),
        column(&row, "started_at"),
        "its own heartbeat came after all"
    );
}

async fn a_living_job_that_is_failed_is_recognised_given_back_and_ends_in_success<F: Future<Output = Place>>(
    place: impl Fn() -> F,
) {
    let meltano = Meltano::used(Version::V3_6, place().await).await;
    let (dog, replica) = (watch(&meltano, "fail").await, watch(&meltano, "fail").await);
    dog.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    replica.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    let running = meltano.start(Run::BlocksThenWorks(6.0, 12.0));
    let failed = meltano
        .row_when("failed by the watchdog", |row| column(row, "state") == Some("FAIL"))
        .await;
    // The block ends, the job beats on its failed row, and both see it; one of them writes it down.
    let counted = || async {
        let (one, other) = (
            dog.metric(&of_watch("false_repairs_total")),
            replica.metric(&of_watch("false_repairs_total")),
        );
        (one? + other? == 1.0).then_some(())
    };
    eventually("one false repair, counted once", SOON, counted).await;
    let beat = meltano.rows().await.pop().unwrap();
    assert_ne!(column(&beat, "last_heartbeat_at"), None, "found by its heartbeat");
    dog.metric_becomes(&of_watch("fuse_open"), 1.0, SOON).await;
    replica.metric_becomes(&of_watch("fuse_open"), 1.0, SOON).await;

    let entry = meltano.ledger().await.pop().unwrap();
    assert_eq!(column(&entry, "outcome"), Some("false_repair"));
    let id = column(&entry, "repair_id").unwrap().to_owned();
    let uri = meltano.uri();
    let operate = |command: &[&str]| {
        let arguments = [
            command,
            &["--database", &uri, "--preset", "meltano", "--missed-first", "fail"],
        ]
        .concat();
        let (status, said, complaint) = crate::support::beatwarden::run(&arguments);
        assert!(status.success(), "{command:?}: {said}{complaint}");
        said
    };
    let said = operate(&["undo", &id]);
    assert!(
        said.contains("the error text was taken out"),
        "{said} {:?}",
        meltano.rows().await
    );
    let ended = running.ended().await;
    assert!(ended.status.success(), "{}", ended.output);
    let row = meltano.rows().await.pop().unwrap();
    assert_eq!(column(&row, "state"), Some("SUCCESS"));
    assert_eq!(
        (column(&row, "id"), column(&row, "started_at")),
        (column(&failed, "id"), column(&failed, "started_at"))
    );

    assert_eq!(
        dog.metric(&of_watch("fuse_open")),
        Some(1.0),
        "undo acknowledges nothing"
    );
    operate(&["ack", &id]);
    dog.metric_becomes(&of_watch("fuse_open"), 0.0, SOON).await;
    replica.metric_becomes(&of_watch("fuse_open"), 0.0, SOON).await;
    let history = operate(&["history"]);
    assert!(history.contains("false_repair, acknowledged, undone"), "{history}");
    let explained = operate(&["explain", column(&row, "id").unwrap()]);
    assert!(
        explained.contains("means a success") && explained.contains("taken back since"),
        "{explained}"
    );
}

/// A command of ours on this project's database.
fn operate(meltano: &Meltano, command: &[&str]) -> (bool, String) {
    let uri = meltano.uri();
    let arguments = [command, &["--database", &uri, "--preset", "meltano"]].concat();
    let (status, said, complaint) = crate::support::beatwarden::run(&arguments);
    (status.success(), format!("{said}{complaint}"))
}

async fn with_the_guard_the_writers_own_rule_frees_a_crashed_pipeline<F: Future<Output = Place>>(
    place: impl Fn() -> F,
) {
    let meltano = Meltano::used(Version::V3_6, place().await).await;
    let (good, said) = operate(&meltano, &["guard", "install"]);
    assert!(good, "{said}");
    let row = crash(&meltano).await;
    let start = column(&row, "started_at");
    assert_eq!(
        (column(&row, "last_heartbeat_at"), start.is_some()),
        (start, true),
        "written with the start"
    );
    let moved = format!(
        "UPDATE runs SET started_at = {}, last_heartbeat_at = {} WHERE state = 'RUNNING'",
        meltano.moved("started_at", -301.0),
        meltano.moved("last_heartbeat_at", -301.0)
    );
    meltano.sql(&moved).await;
    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert!(good, "freed by Meltano's own five-minute rule: {output}");
    // Every other run ends as it would have without the guard.
    for (run, ends_well, state) in [
        (Run::Works(1.5), true, "SUCCESS"),
        (Run::TapFails, false, "FAIL"),
        (Run::Blocks(4.0), true, "SUCCESS"),
    ] {
        let (good, output) = meltano.run(run).await;
        assert_eq!(good, ends_well, "{run:?}: {output}");
        let row = meltano.rows().await.pop().unwrap();
        assert_eq!(column(&row, "state"), Some(state), "{run:?}");
        assert_ne!(
            column(&row, "last_heartbeat_at"),
            column(&row, "started_at"),
            "{run:?}: its own beats came"
        );
    }
    let (good, said) = operate(&meltano, &["guard", "remove"]);
    assert!(good, "{said}");
    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert!(good, "{output}");
}

async fn the_writers_own_migrations_pass_beside_the_guard<F: Future<Output = Place>>(place: impl Fn() -> F) {
    let mut meltano = Meltano::used(Version::V3_6, place().await).await;
    let (good, said) = operate(&meltano, &["guard", "install"]);
    assert!(good, "{said}");
    let (_, said) = operate(&meltano, &["check"]);
    assert!(said.contains("remove it before a migration"), "{said}");
    meltano.upgrade(Version::V4);
    for run in [Run::Works(0.0), Run::Works(1.5)] {
        let (good, output) = meltano.run(run).await;
        assert!(good, "{output}");
    }
    let rows = meltano.rows().await;
    assert_eq!((rows.len(), column(&rows[2], "state")), (3, Some("SUCCESS")));
    let (good, said) = operate(&meltano, &["guard", "status"]);
    assert!(good, "it is still there, and sound: {said}");
}

async fn a_migration_that_the_guard_would_stop_is_predicted_by_check<F: Future<Output = Place>>(place: impl Fn() -> F) {
    let place = place().await;
    let on_server = matches!(place, Place::Postgres(_));
    let meltano = Meltano::new(Version::V3_6, place);
    // The first schema with a heartbeat; the next migration changes the type of the state, a later one the table's name.
    meltano.migrate_to("d135f52a6f49");
    let text = format!(
        "[[watch]]\nname = 'old'\ndatabase = '{}'\npreset = 'meltano'\ntable.name = 'job'\ntable.job_name = 'job_id'\n",
        meltano.uri()
    );
    let (_folder, file) = written("old.toml", text);
    let old = |command: &[&str]| {
        let arguments = [command, &["--config", file.to_str().unwrap()]].concat();
        let (status, said, complaint) = crate::support::beatwarden::run(&arguments);
        assert!(status.success(), "{said}{complaint}");
        said
    };
    old(&["guard", "install"]);
    assert!(old(&["check"]).contains("remove it before a migration that changes or drops the state column"));
    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert_eq!(good, !on_server, "PostgreSQL refuses to change the type: {output}");
    if on_server {
        assert!(
            output.contains("zz_beatwarden_guard") || output.contains("Cannot upgrade"),
            "{output}"
        );
        old(&["guard", "remove"]);
        let (good, output) = meltano.run(Run::Works(0.0)).await;
        assert!(good, "{output}");
    }
    let (good, said) = operate(&meltano, &["guard", "install"]);
    assert!(good, "{said}");
    let (good, said) = operate(&meltano, &["guard", "status"]);
    assert!(good, "{said}");
    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert!(good, "{output}");
}

async fn healthy_jobs_and_failing_taps_are_left_alone<F: Future<Output = Place>>(place: impl Fn() -> F) {
    for version in [Version::V3_6, Version::V4] {
        let meltano = Meltano::used(version, place().await).await;
        let dog = watch(&meltano, "fail").await;
        dog.metric_becomes(&of_watch("up"), 1.0, SOON).await;
        let (good, output) = meltano.run(Run::Works(10.0)).await;
        assert!(good, "{output}");
        let (good, _) = meltano.run(Run::TapFails).await;
        assert!(!good);
        let rows = meltano.rows().await;
        let states: Vec<_> = rows.iter().map(|row| column(row, "state").unwrap()).collect();
        assert_eq!(states, ["SUCCESS", "SUCCESS", "FAIL"], "{version:?}");
        // The run before the watch counts too if it began within a deadline of the first pass.
        let inits = eventually("two inits", SOON, async || {
            dog.metric(&of_watch("job_inits_total")).filter(|inits| *inits >= 2.0)
        });
        assert!(inits.await <= 3.0, "{version:?}");
        assert_eq!(
            dog.metric(&of_watch("job_init_failures_total")),
            Some(0.0),
            "{version:?}"
        );
        assert_eq!(dog.metric(&repairs("fail")), Some(0.0), "{version:?}");
        assert_eq!(dog.metric(&of_watch("init_success_ratio")), Some(1.0), "{version:?}");
        is_discovered(&meltano.uri(), &["meltano"]);
    }
}

async fn a_seeded_crash_waits_for_the_writer_or_is_ended<F: Future<Output = Place>>(place: impl Fn() -> F) {
    let meltano = Meltano::new(Version::V4, place().await);
    let row = crash(&meltano).await;
    assert!(
        column(&row, "last_heartbeat_at").is_some(),
        "4.x writes the first heartbeat with the start"
    );
    let before = meltano.rows().await;
    let dog = watch(&meltano, "backfill").await;
    dog.metric_becomes(&withheld("awaiting_writer"), 1.0, SOON).await;
    dog.metric_becomes("stuck_jobs{reason=\"missed_first\",watch=\"meltano\"}", 1.0, SOON)
        .await;
    assert!(dog.stop().success());
    assert_eq!(meltano.rows().await, before);

    let dog = watch(&meltano, "fail").await;
    dog.metric_becomes(&repairs("fail"), 1.0, SOON).await;
    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert!(good, "{output}");
}

async fn incremental_state_survives_a_fail_byte_for_byte<F: Future<Output = Place>>(place: impl Fn() -> F) {
    let meltano = Meltano::used(Version::V3_6, place().await).await;
    crash(&meltano).await;
    // The dead job has the state that Meltano itself wrote for the good one.
    meltano
        .sql("UPDATE runs SET payload = (SELECT payload FROM runs WHERE state = 'SUCCESS'), payload_flags = 1 WHERE state = 'RUNNING'")
        .await;
    let state = meltano.rows().await[0]["payload"].clone().unwrap();
    assert!(state.contains("singer_state"), "{state}");
    let dog = watch(&meltano, "fail").await;
    dog.metric_becomes(&repairs("fail"), 1.0, SOON).await;
    let repair = meltano.ledger().await[0]["repair_id"].clone().unwrap();
    let expected = format!(
        "{}, \"error\": \"Beatwarden: no heartbeat within 3s of the start (repair {repair})\"}}",
        state.strip_suffix('}').unwrap()
    );
    assert_eq!(column(&meltano.rows().await[1], "payload"), Some(expected.as_str()));
    let (good, output) = meltano.run(Run::Works(0.0)).await;
    assert!(
        good && !output.contains("No state was found"),
        "Meltano still reads the state: {output}"
    );
}

async fn old_rows_are_recognised_and_only_the_due_one_is_changed<F: Future<Output = Place>>(place: impl Fn() -> F) {
    let meltano = Meltano::used(Version::V3_6, place().await).await;
    let add = async |id: u32, state: &str, start: f64, beat: Option<f64>| {
        let beat = beat.map_or_else(|| "NULL".to_owned(), |beat| meltano.time(beat));
        meltano
            .sql(&format!(
                "INSERT INTO runs (id, job_name, state, started_at, last_heartbeat_at, payload) \
                 VALUES ({id}, 'job-{id}', '{state}', {}, {beat}, '{{}}')",
                meltano.time(start)
            ))
            .await;
    };
    let months = -100.0 * 86_400.0;
    add(101, "RUNNING", months, None).await;
    add(102, "RUNNING", months, Some(months + 5.0)).await;
    add(103, "FAIL", months, None).await;
    add(104, "STATE_EDIT", months, None).await;
    add(105, "RUNNING", -600.0, None).await;
    add(106, "RUNNING", -600.0, Some(-500.0)).await;
    // Seeded, as 4.x writes it: microseconds after the start.
    add(107, "RUNNING", -600.0, None).await;
    meltano
        .sql("UPDATE runs SET last_heartbeat_at = started_at WHERE id = 107")
        .await;
    let before = meltano.rows().await;

    let dog = watch(&meltano, "backfill").await;
    dog.metric_becomes(&repairs("backfill"), 1.0, SOON).await;
    let jobs = |phase: &str| dog.metric(&format!("running_jobs{{phase=\"{phase}\",watch=\"meltano\"}}"));
    dog.metric_becomes(&withheld("awaiting_writer"), 2.0, SOON).await;
    assert_eq!(
        (
            jobs("abandoned"),
            jobs("lost"),
            jobs("missed_first"),
            jobs("beating"),
            jobs("starting")
        ),
        (Some(2.0), Some(1.0), Some(2.0), Some(0.0), Some(0.0))
    );
    let mut expected = before.clone();
    for row in expected.iter_mut().filter(|row| column(row, "id") == Some("105")) {
        let started = row["started_at"].clone();
        row.insert("last_heartbeat_at".into(), started);
    }
    assert_eq!(meltano.rows().await, expected);
    assert_eq!(meltano.ledger().await.len(), 1);
}

async fn a_watchdog_killed_between_repairs_repairs_nothing_twice<F: Future<Output = Place>>(place: impl Fn() -> F) {
    const JOBS: usize = 12;
    let meltano = Meltano::used(Version::V3_6, place().await).await;
    for id in 0..JOBS {
        meltano
            .sql(&format!(
                "INSERT INTO runs (id, job_name, state, started_at, payload) VALUES ({}, 'job', 'RUNNING', {}, '{{}}')",
                1000 + id,
                meltano.time(-600.0)
            ))
            .await;
    }
    // One repair a pass, so that a kill finds some done and some not.
    let configuration = format!(
        "[[watch]]\ndatabase = \"{}\"\npreset = \"meltano\"\npoll_interval = \"150ms\"\ninit_deadline = \"1s\"\n\
         heartbeat_timeout = \"2s\"\n[watch.repair]\nmissed_first = \"fail\"\nmax_per_pass = 1\n\
         fuse_min_jobs = 100\n",
        meltano.uri()
    );
    let (_folder, file) = written("beatwarden.toml", configuration);
    let arguments = ["--config", file.to_str().unwrap()];
    let entries = async || {
        let there = meltano
            .rows()
            .await
            .iter()
            .filter(|row| column(row, "state") == Some("FAIL"))
            .count();
        if there == 0 { 0 } else { meltano.ledger().await.len() }
    };
    let mut kills = 0;
    loop {
        let dog = Beatwarden::watch(&arguments).await;
        let had = entries().await;
        eventually("more repairs", SOON, async || (entries().await > had).then_some(())).await;
        if entries().await >= JOBS {
            break;
        }
        dog.kill();
        kills += 1;
    }
    assert!(kills >= 2, "it was killed {kills} times");
    let (rows, ledger) = (meltano.rows().await, meltano.ledger().await);
    let mut repaired: Vec<&str> = ledger.iter().filter_map(|entry| column(entry, "job_id")).collect();
    repaired.sort_unstable();
    let failed: Vec<&str> = rows
        .iter()
        .filter(|row| column(row, "state") == Some("FAIL"))
        .filter_map(|row| column(row, "id"))
        .collect();
    assert_eq!(
        repaired, failed,
        "an entry for each repair, a repair for each entry, none twice"
    );
    assert_eq!(failed.len(), JOBS);
}

async fn a_ledger_that_refuses_leaves_the_job_alone<F: Future<Output = Place>>(place: impl Fn() -> F) {
    let place = place().await;
    let is_server = matches!(place, Place::Postgres(_));
    let meltano = Meltano::new(Version::V3_6, place);
    crash(&meltano).await;
    // A first repair makes the ledger; then the rights to write it are gone.
    let dog = watch(&meltano, "backfill").await;
    dog.metric_becomes(&repairs("backfill"), 1.0, SOON).await;
    if is_server {
        meltano
            .sql("ALTER TABLE beatwarden_repairs ADD CONSTRAINT refuse CHECK (false) NOT VALID")
            .await;
    } else {
        meltano
            .sql("CREATE TRIGGER refuse BEFORE INSERT ON beatwarden_repairs BEGIN SELECT RAISE(ABORT, 'no entry today'); END")
            .await;
    }
    meltano
        .sql(&format!(
            "INSERT INTO runs (id, job_name, state, started_at, payload) VALUES (1000, 'job', 'RUNNING', {}, '{{}}')",
            meltano.time(-600.0)
        ))
        .await;
    let before = meltano.rows().await;
    if is_server {
        eventually("a failed repair", SOON, async || {
            (dog.metric(&of_watch("repair_failures_total")) >= Some(2.0)).then_some(())
        })
        .await;
    } else {
        // A trigger on the ledger is seen before anything is tried, and holds for the job that was repaired before, too.
        let withheld = "withheld_repairs{cause=\"no_ledger\",watch=\"meltano\"}";
        dog.metric_becomes(withheld, 2.0, SOON).await;
    }
    assert_eq!(meltano.rows().await, before);
    assert_eq!(meltano.ledger().await.len(), 1);
    assert_eq!(dog.metric(&of_watch("up")), Some(1.0), "it still sees");
    let drop = if is_server {
        "ALTER TABLE beatwarden_repairs DROP CONSTRAINT refuse"
    } else {
        "DROP TRIGGER refuse"
    };
    meltano.sql(drop).await;
    dog.metric_becomes(&repairs("backfill"), 2.0, SOON).await;
}

/// The right to write the ledger is withdrawn from the role itself: known before anything is tried.
#[tokio::test(flavor = "multi_thread")]
async fn rights_withdrawn_on_the_ledger_are_a_cause_and_come_back() {
    let database = postgres::shared().database().await;
    let admin = database.client().await;
    let role = format!("limited_{}", std::process::id());
    let meltano = Meltano::used(Version::V3_6, Place::Postgres(database)).await;
    let setup = format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE, CREATE ON SCHEMA public TO {role}; \
         GRANT SELECT, UPDATE ON runs TO {role}"
    );
    admin.run(&setup).await;
    let uri = meltano.uri().replacen("postgres@", &format!("{role}@"), 1);
    let dog = watch_at(&uri, "backfill").await;
    let insert = |id: u32| {
        format!(
            "INSERT INTO runs (id, job_name, state, started_at) VALUES ({id}, 'job', 'RUNNING', {})",
            meltano.time(-600.0)
        )
    };
    meltano.sql(&insert(1000)).await;
    dog.metric_becomes(&repairs("backfill"), 1.0, SOON).await;
    admin
        .run(&format!(
            "ALTER TABLE beatwarden_repairs OWNER TO postgres; REVOKE ALL ON beatwarden_repairs FROM {role}; \
             GRANT SELECT ON beatwarden_repairs TO {role}"
        ))
        .await;
    meltano.sql(&insert(1001)).await;
    let before = meltano.rows().await;
    dog.metric_becomes(&withheld("no_ledger"), 2.0, SOON).await;
    assert_eq!(dog.metric(&of_watch("repair_enabled")), Some(0.0));
    assert_eq!(meltano.rows().await, before);
    admin
        .run(&format!(
            "GRANT INSERT, UPDATE (outcome, outcome_at, acknowledged_at) ON beatwarden_repairs TO {role}"
        ))
        .await;
    dog.metric_becomes(&repairs("backfill"), 2.0, SOON).await;
    admin.run(&format!("DROP OWNED BY {role}")).await;
    drop(dog);
    admin.run(&format!("DROP ROLE {role}")).await;
}

/// Waits until the last good pass is longer ago than the deadline, by a wide margin.
async fn outlasts_the_deadline(dog: &Beatwarden) {
    let last = of_watch("last_successful_poll_timestamp_seconds");
    eventually("an outage longer than the deadline", SOON, async || {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        (now.as_secs_f64() - dog.metric(&last)? > 4.0).then_some(())
    })
    .await;
}

/// By the clock of the log, which no busy machine holds up: from the start of the watching to the repair.
fn watched_for_a_deadline_after_the_outage(log: &str) {
    let at = |words: &str| -> jiff::Timestamp {
        let line = log.lines().rfind(|line| line.contains(words));
        let line = line.unwrap_or_else(|| panic!("{words}: {log}"));
        line.split(' ').next().unwrap().parse().unwrap()
    };
    let watched = at("repaired watch=").duration_since(at("watching starts again"));
    assert!(
        watched.as_secs_f64() > 2.5,
        "repaired {watched:?} after the outage: {log}"
    );
}

/// An outage longer than the deadline: nothing is repaired before a whole deadline was watched again.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_server_starts_all_watching_again() {
    let cluster = Cluster::start_own();
    let database = cluster.database().await;
    let meltano = Meltano::used(Version::V3_6, Place::Postgres(database)).await;
    let dog = watch(&meltano, "backfill").await;
    dog.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    meltano
        .sql(&format!(
            "INSERT INTO runs (id, job_name, state, started_at) VALUES (1000, 'job', 'RUNNING', {})",
            meltano.time(-600.0)
        ))
        .await;
    dog.metric_becomes(&withheld("watching"), 1.0, SOON).await;
    cluster.stop();
    eventually("down", SOON, async || {
        (dog.metric(&of_watch("up")) == Some(0.0)).then_some(())
    })
    .await;
    outlasts_the_deadline(&dog).await;
    cluster.start();
    dog.metric_becomes(&of_watch("up"), 1.0, Duration::from_secs(30)).await;
    dog.metric_becomes(&repairs("backfill"), 1.0, SOON).await;
    watched_for_a_deadline_after_the_outage(&dog.log());
}

/// The same for a file that is away for a while.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_file_starts_all_watching_again() {
    let meltano = Meltano::used(Version::V3_6, Place::Sqlite).await;
    let dog = watch(&meltano, "backfill").await;
    meltano
        .sql(&format!(
            "INSERT INTO runs (id, job_name, state, started_at) VALUES (1000, 'job', 'RUNNING', {})",
            meltano.time(-600.0)
        ))
        .await;
    dog.metric_becomes(&withheld("watching"), 1.0, SOON).await;
    let away = meltano.file().with_extension("away");
    fs::rename(meltano.file(), &away).unwrap();
    dog.metric_becomes(&of_watch("up"), 0.0, SOON).await;
    outlasts_the_deadline(&dog).await;
    fs::rename(&away, meltano.file()).unwrap();
    dog.metric_becomes(&of_watch("up"), 1.0, Duration::from_secs(30)).await;
    dog.metric_becomes(&repairs("backfill"), 1.0, SOON).await;
    watched_for_a_deadline_after_the_outage(&dog.log());
    assert_eq!(meltano.ledger().await.len(), 1);
}
