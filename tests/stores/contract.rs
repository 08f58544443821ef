//! The contract of a store, the same for every database: what is observed, what a repair changes and leaves alone, and who
//! wins a race. Every test has a victim and innocent neighbours, and compares whole rows.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod bed;
mod payloads;
mod sqlite_file;
mod sqlite_users;
mod sqlite_values;

use beatwarden::{
    domain::{
        Access, Action, Cause, Coverage, Job, JobId, LedgerAction, Newcomers, Outcome, Phase, Repair, RepairId,
        Snapshot, StartCheck, TimeValue, ValueTest,
    },
    mapping::{Condition, Identifier},
    store::{Ledger, ObserveRequest, Resolution, Store, StoreError, Undo},
};
use bed::{Bed, Held, PostgresBed, SqliteBed, Written, mapping};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

/// Every test, for every database.
macro_rules! contract {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            use super::*;
            $(#[tokio::test] async fn $test() { super::$test(SqliteBed::new().await).await; })+
        }
        mod postgres {
            use super::*;
            $(#[tokio::test] async fn $test() { super::$test(PostgresBed::new().await).await; })+
        }
    };
}

// After the macro, which it uses.
mod endings;
mod functions;
mod incidents;
mod interleavings;
mod kept;
mod key_tail;
mod late_answers;
mod layouts;
mod lost_answers;
mod operator;
mod overrun;
mod servers;

contract!(
    running_rows_are_observed_with_all_their_columns,
    known_jobs_are_read_whatever_became_of_them,
    newcomers_are_seen_once_even_if_they_ended_already,
    unknown_states_are_seen_by_a_full_look_only,
    times_out_of_range_are_unreadable_and_cost_no_pass,
    a_backfill_changes_one_column_of_one_row,
    a_fail_ends_the_job_and_keeps_every_byte_of_the_payload,
    every_kind_of_payload_is_kept_or_replaced_as_promised,
    a_second_repair_of_the_same_incident_is_refused_by_the_ledger,
    a_job_that_beats_meanwhile_is_left_alone,
    a_job_that_ends_meanwhile_is_left_alone,
    a_job_that_is_restarted_meanwhile_is_left_alone,
    a_job_that_is_deleted_meanwhile_is_a_lost_race,
    a_job_that_is_renamed_or_gets_an_end_meanwhile_is_left_alone,
    a_row_that_is_no_job_any_more_meanwhile_is_left_alone,
    a_job_whose_deadline_is_not_over_is_left_alone,
    a_row_that_another_session_holds_is_not_waited_for,
    a_ledger_that_refuses_leaves_the_row_untouched,
    two_replicas_make_one_repair,
    two_replicas_make_one_ledger,
    another_server_is_not_repaired,
    a_lost_answer_is_found_in_the_ledger,
    a_ledger_of_others_withholds_all_repairs,
    hostile_names_are_only_text,
    a_missing_table_is_named_with_the_nearest,
    a_missing_column_is_named_with_its_key_and_the_nearest,
    a_table_that_appears_later_is_found,
);

fn look(coverage: Coverage) -> ObserveRequest {
    ObserveRequest::whole(Vec::new(), coverage)
}

async fn snapshot(store: &mut impl Store) -> Snapshot {
    store
        .observe(&look(Coverage::Ordinary))
        .await
        .unwrap_or_else(|error| panic!("{}", error.chain()))
}

fn job(snapshot: &Snapshot, id: u32) -> Job {
    let id = JobId::new(id.to_string());
    let found = snapshot.rows.iter().find(|job| job.id == id);
    found
        .unwrap_or_else(|| panic!("job {id} is not among {:?}", snapshot.rows))
        .clone()
}

fn ids(snapshot: &Snapshot) -> Vec<String> {
    let mut ids: Vec<String> = snapshot.rows.iter().map(|job| job.id.to_string()).collect();
    ids.sort_unstable();
    ids
}

/// The repair of a job as it was observed.
fn repair_of(snapshot: &Snapshot, id: u32, action: Action) -> Repair {
    Repair {
        action: action.repairing().expect("an action that repairs"),
        job: job(snapshot, id),
        reason: Phase::MissedFirst,
        deadline: DEADLINE,
        server: snapshot.server.clone(),
        start: StartCheck::Overdue,
        after_undo: None,
    }
}

async fn repair(store: &mut impl Store, repair: &Repair) -> Outcome {
    store
        .prepare_ledger()
        .await
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    store.repair(repair).await
}

/// The identity of a repair that was made.
fn made(outcome: Outcome) -> RepairId {
    match outcome {
        Outcome::Repaired(id) => id,
        other => panic!("the job is due: {other:?}"),
    }
}

/// Repairs a job as it is observed now.
async fn repaired(store: &mut impl Store, id: u32, action: Action) -> RepairId {
    let observed = snapshot(store).await;
    made(repair(store, &repair_of(&observed, id, action)).await)
}

/// Why a repair is not taken back.
async fn refused(store: &mut impl Ledger, id: RepairId) -> String {
    match store.undo(id).await.unwrap() {
        Undo::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

/// One job that is due, between a job that beats, one that starts, one that ended and one that can't be read.
async fn with_victim(bed: &impl Bed) {
    bed.write(&Written::running(1).started(-600.0).beat(-1.0)).await;
    bed.write(&Written::running(2).started(-120.0)).await;
    bed.write(&Written::running(3).started(-1.0)).await;
    bed.write(
        &Written::running(4)
            .state("SUCCESS")
            .started(-700.0)
            .beat(-600.0)
            .ended(-600.0),
    )
    .await;
}

async fn running_rows_are_observed_with_all_their_columns(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Observe);
    let snapshot = snapshot(&mut store).await;
    let now = snapshot.database_now;
    let observed = job(&snapshot, 1);
    assert_eq!(observed.name.as_deref(), Some("pipeline-1"));
    assert_eq!(observed.state.as_deref(), Some("RUNNING"));
    let age = |reading: TimeValue| reading.at().expect("a time").age_at(now).as_secs_f64();
    assert!((age(observed.started_at) - 600.0).abs() < 5.0, "{observed:?}");
    assert!((age(observed.heartbeat_at) - 1.0).abs() < 5.0, "{observed:?}");
    assert_eq!(job(&snapshot, 2).heartbeat_at, TimeValue::ABSENT);
    assert_eq!(snapshot.newcomers, Newcomers::Followed);
    assert_eq!(snapshot.access, Access::Scan, "no index on the state");
    assert_eq!(snapshot.obstacle(), None);
}

async fn known_jobs_are_read_whatever_became_of_them(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Observe);
    snapshot(&mut store).await;
    bed.sql("UPDATE runs SET state = 'FAIL' WHERE id = 1").await;
    bed.sql("DELETE FROM runs WHERE id = 3").await;
    let known = ["1", "2", "3", "4", "999"].map(JobId::new).to_vec();
    let request = ObserveRequest::whole(known, Coverage::Ordinary);
    let snapshot = store.observe(&request).await.unwrap();
    assert_eq!(ids(&snapshot), ["1", "2", "4"]);
    assert_eq!(job(&snapshot, 1).state.as_deref(), Some("FAIL"));
}

async fn newcomers_are_seen_once_even_if_they_ended_already(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Observe);
    assert_eq!(
        ids(&snapshot(&mut store).await),
        ["1", "2", "3", "4"],
        "a first look reads the history"
    );
    assert_eq!(ids(&snapshot(&mut store).await), ["1", "2", "3"]);
    bed.write(
        &Written::running(50)
            .state("SUCCESS")
            .started(-2.0)
            .beat(-1.0)
            .ended(-1.0),
    )
    .await;
    bed.write(&Written::running(60).state("FAIL").started(-2.0).ended(-1.0))
        .await;
    assert_eq!(ids(&snapshot(&mut store).await), ["1", "2", "3", "50", "60"]);
    assert_eq!(ids(&snapshot(&mut store).await), ["1", "2", "3"]);
}

async fn unknown_states_are_seen_by_a_full_look_only(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Observe);
    snapshot(&mut store).await;
    bed.sql("UPDATE runs SET state = 'ODD' WHERE id = 1").await;
    bed.sql("UPDATE runs SET state = NULL WHERE id = 3").await;
    assert_eq!(ids(&snapshot(&mut store).await), ["2"]);
    let full = store.observe(&look(Coverage::Full)).await.unwrap();
    assert_eq!(ids(&full), ["1", "2", "3"]);
    assert_eq!(full.coverage, Coverage::Full);
    assert_eq!(job(&full, 3).state, None);
}

async fn times_out_of_range_are_unreadable_and_cost_no_pass(bed: impl Bed) {
    with_victim(&bed).await;
    for (id, odd) in bed.odd_times().iter().enumerate() {
        bed.sql(&format!(
            "INSERT INTO runs (id, job_name, state, started_at) VALUES ({}, 'odd', 'RUNNING', {odd})",
            id + 100
        ))
        .await;
    }
    let snapshot = snapshot(&mut bed.store(Action::Fail)).await;
    for (id, odd) in (100..).zip(bed.odd_times()) {
        assert!(job(&snapshot, id).is_unreadable(), "{odd}");
    }
    assert!(!job(&snapshot, 2).is_unreadable());
}

async fn a_backfill_changes_one_column_of_one_row(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Backfill);
    let repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Backfill);
    let before = bed.rows().await;
    let outcome = repair(&mut store, &repair_2).await;
    assert!(matches!(outcome, Outcome::Repaired(_)), "{outcome:?}");
    let mut expected = before.clone();
    let started = expected[1]["started_at"].clone();
    expected[1].insert("last_heartbeat_at".into(), started);
    assert_eq!(bed.rows().await, expected);

    let after = snapshot(&mut store).await;
    let entry = &after.newest_repairs[0];
    assert_eq!(after.newest_repairs.len(), 1);
    assert_eq!((entry.action, &*entry.job_id.text()), (LedgerAction::Backfill, "2"));
    assert_eq!(entry.watch, "meltano");
    assert_eq!(entry.table_name.rsplit('.').next(), Some("runs"));
    assert_eq!(
        (entry.reason.as_str(), entry.instance.as_str(), entry.version),
        ("missed_first", "test/1", 2)
    );
    assert_eq!(entry.started_at, repair_2.job.started_at.at());
    assert!(entry.repaired_at.age_at(after.database_now) < Duration::from_secs(10));
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(json(&entry.before), serde_json::json!({"last_heartbeat_at": null}));
    assert!(json(&entry.after)["last_heartbeat_at"].is_string(), "{}", entry.after);
    assert_eq!(after.precedents.len(), 1, "the incident has its precedent");
}

async fn a_fail_ends_the_job_and_keeps_every_byte_of_the_payload(bed: impl Bed) {
    with_victim(&bed).await;
    let payload = r#"{"singer_state": {"bookmarks": {"ü": 1e2, "nan": NaN}}, "z": "}"}"#;
    bed.write(&Written::running(5).started(-200.0).payload(payload)).await;
    let mut store = bed.store(Action::Fail);
    let repair_5 = repair_of(&snapshot(&mut store).await, 5, Action::Fail);
    let before = bed.rows().await;
    let id = made(repair(&mut store, &repair_5).await);
    let after = bed.rows().await;
    assert_eq!(after[..4], before[..4], "the neighbours");
    let (mut was, mut is) = (before[4].clone(), after[4].clone());
    assert_eq!(is.remove("state"), Some(Some("FAIL".into())));
    assert_eq!(was.remove("state"), Some(Some("RUNNING".into())));
    assert_eq!(was.remove("ended_at"), Some(None));
    let ended = is.remove("ended_at").flatten().expect("an end");
    let separator = is["started_at"].as_deref().and_then(|start| start.chars().nth(10));
    assert_eq!(ended.chars().nth(10), separator, "as the writer writes times: {ended}");
    assert!(!ended.contains(['+', 'Z']), "naive UTC: {ended}");
    let text = format!(
        ", \"error\": \"Beatwarden: no heartbeat within 60s of the start (repair {})\"}}",
        uuid::Uuid::from_u128(id.0)
    );
    assert_eq!(
        is.remove("payload").flatten(),
        Some(format!("{}{text}", payload.strip_suffix('}').unwrap()))
    );
    was.remove("payload");
    assert_eq!(is, was, "every other column");
    let entry = &snapshot(&mut store).await.newest_repairs[0];
    let json: serde_json::Value = serde_json::from_str(&entry.before).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"state": "RUNNING", "ended_at": null, "error_was": "object"})
    );
    assert!(!entry.after.contains("bookmarks"), "the payload is not for the ledger");
}

async fn every_kind_of_payload_is_kept_or_replaced_as_promised(bed: impl Bed) {
    let cases = [
        (None, "null", true),
        (Some(""), "blank", true),
        (Some(" \n\t"), "blank", true),
        (Some("{}"), "braces", true),
        (Some(" { \n}\n"), "braces", true),
        (Some("{\"a\": {}}"), "object", false),
        (Some("{\"a\": 1}\n"), "object", false),
        (Some("{{}}"), "object", false),
        (Some("[1]"), "other", false),
        (Some("text"), "other", false),
        (Some("{\"a\": 1} x"), "other", false),
    ];
    for (id, (payload, _, _)) in (1..).zip(cases) {
        let mut row = Written::running(id).started(-200.0);
        row.payload = payload.map(str::to_owned);
        bed.write(&row).await;
    }
    let mut store = bed.store(Action::Fail);
    let observed = snapshot(&mut store).await;
    for (id, (payload, was, replaced)) in (1..).zip(cases) {
        let outcome = repair(&mut store, &repair_of(&observed, id, Action::Fail)).await;
        let Outcome::Repaired(repair) = outcome else {
            panic!("{payload:?}: {outcome:?}");
        };
        let now = bed.rows().await[id as usize - 1]["payload"].clone();
        let pair = format!(
            "\"error\": \"Beatwarden: no heartbeat within 60s of the start (repair {})\"",
            uuid::Uuid::from_u128(repair.0)
        );
        let expected = match (was, replaced) {
            (_, true) => Some(format!("{{{pair}}}")),
            ("object", _) => {
                let old = payload.unwrap();
                let last = old.rfind('}').unwrap();
                Some(format!("{}, {pair}{}", &old[..last], &old[last..]))
            }
            _ => payload.map(str::to_owned),
        };
        assert_eq!(now, expected, "{payload:?}");
        let entry = snapshot(&mut store).await.newest_repairs.remove(0);
        assert!(
            entry.before.contains(&format!("\"{was}\"")),
            "{payload:?}: {}",
            entry.before
        );
    }
}

async fn a_second_repair_of_the_same_incident_is_refused_by_the_ledger(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Backfill);
    let repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Backfill);
    assert!(matches!(repair(&mut store, &repair_2).await, Outcome::Repaired(_)));
    // The writer takes the heartbeat back: the row is as it was observed again.
    bed.sql("UPDATE runs SET last_heartbeat_at = NULL WHERE id = 2").await;
    let before = bed.rows().await;
    assert_eq!(store.repair(&repair_2).await, Outcome::Already);
    assert_eq!(bed.rows().await, before);
}

/// The writer does something between observation and repair: nothing is changed.
async fn lost_race(bed: &impl Bed, actions: &[Action], writer_does: &str) {
    for action in actions {
        let mut store = bed.store(*action);
        let repair_2 = repair_of(&snapshot(&mut store).await, 2, *action);
        bed.sql(writer_does).await;
        let before = bed.rows().await;
        assert_eq!(repair(&mut store, &repair_2).await, Outcome::LostRace, "{action:?}");
        assert_eq!(bed.rows().await, before, "{action:?}");
        assert_eq!(snapshot(&mut store).await.newest_repairs.len(), 0);
        bed.sql("DELETE FROM runs").await;
        with_victim(bed).await;
    }
}

const BOTH: [Action; 2] = [Action::Backfill, Action::Fail];

async fn a_job_that_beats_meanwhile_is_left_alone(bed: impl Bed) {
    with_victim(&bed).await;
    lost_race(
        &bed,
        &BOTH,
        &format!("UPDATE runs SET last_heartbeat_at = {} WHERE id = 2", bed.time(0.0)),
    )
    .await;
}

async fn a_job_that_ends_meanwhile_is_left_alone(bed: impl Bed) {
    with_victim(&bed).await;
    lost_race(&bed, &BOTH, "UPDATE runs SET state = 'SUCCESS' WHERE id = 2").await;
}

async fn a_job_that_is_restarted_meanwhile_is_left_alone(bed: impl Bed) {
    with_victim(&bed).await;
    lost_race(
        &bed,
        &BOTH,
        &format!("UPDATE runs SET started_at = {} WHERE id = 2", bed.time(-90.0)),
    )
    .await;
}

async fn a_job_that_is_deleted_meanwhile_is_a_lost_race(bed: impl Bed) {
    with_victim(&bed).await;
    lost_race(&bed, &BOTH, "DELETE FROM runs WHERE id = 2").await;
}

async fn a_job_that_is_renamed_or_gets_an_end_meanwhile_is_left_alone(bed: impl Bed) {
    with_victim(&bed).await;
    lost_race(&bed, &BOTH, "UPDATE runs SET job_name = 'another' WHERE id = 2").await;
    let end = format!("UPDATE runs SET ended_at = {} WHERE id = 2", bed.time(-1.0));
    lost_race(&bed, &BOTH, &end).await;
}

async fn a_row_that_is_no_job_any_more_meanwhile_is_left_alone(bed: impl Bed) {
    with_victim(&bed).await;
    let mut jobs = mapping();
    jobs.only.push(Condition {
        column: Identifier::new("payload").unwrap(),
        test: ValueTest::Null,
    });
    let mut store = bed.store_with(jobs, Action::Fail);
    let repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Fail);
    bed.sql("UPDATE runs SET payload = '{}' WHERE id = 2").await;
    let before = bed.rows().await;
    assert_eq!(repair(&mut store, &repair_2).await, Outcome::LostRace);
    assert_eq!(bed.rows().await, before);
}

async fn a_job_whose_deadline_is_not_over_is_left_alone(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Fail);
    let young = repair_of(&snapshot(&mut store).await, 3, Action::Fail);
    let before = bed.rows().await;
    // The statement itself knows the deadline; the row is as it was observed, which reads like a lock on PostgreSQL.
    let outcome = repair(&mut store, &young).await;
    assert!(matches!(outcome, Outcome::LostRace | Outcome::Locked), "{outcome:?}");
    assert_eq!(bed.rows().await, before);
}

async fn a_row_that_another_session_holds_is_not_waited_for(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Fail);
    let repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Fail);
    store.prepare_ledger().await.unwrap();
    let before = bed.rows().await;
    let held = bed.hold_row(2).await;
    assert_eq!(store.repair(&repair_2).await, Outcome::Locked);
    held.release().await;
    assert_eq!(bed.rows().await, before);
    assert!(matches!(store.repair(&repair_2).await, Outcome::Repaired(_)));
}

async fn a_ledger_that_refuses_leaves_the_row_untouched(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Fail);
    let repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Fail);
    store.prepare_ledger().await.unwrap();
    bed.refuse_ledger().await;
    let before = bed.rows().await;
    let outcome = store.repair(&repair_2).await;
    assert!(
        matches!(&outcome, Outcome::Failed(error) if error.contains("no entry today")),
        "{outcome:?}"
    );
    assert_eq!(bed.rows().await, before);
    assert_eq!(store.resolve(&repair_2).await.unwrap(), Resolution::NotCommitted);
}

/// What is there between two reads of the catalog: the statement itself sees that the ledger took nothing.
#[tokio::test]
async fn a_ledger_that_takes_no_entry_leaves_the_row_untouched_on_postgresql() {
    let bed = PostgresBed::new().await;
    with_victim(&bed).await;
    let mut store = bed.store(Action::Fail);
    let repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Fail);
    store.prepare_ledger().await.unwrap();
    bed.sql(
        "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER skip BEFORE INSERT ON beatwarden_repairs FOR EACH ROW EXECUTE FUNCTION skip()",
    )
    .await;
    let before = bed.rows().await;
    let outcome = store.repair(&repair_2).await;
    assert!(
        matches!(&outcome, Outcome::Failed(why) if why.contains("the ledger took no entry")),
        "{outcome:?}"
    );
    assert_eq!(bed.rows().await, before);
}

async fn two_replicas_make_one_repair(bed: impl Bed) {
    for round in 0..20 {
        let id = 1000 + round;
        bed.write(&Written::running(id).started(-600.0)).await;
        let (mut one, mut two) = (bed.store(Action::Backfill), bed.store(Action::Backfill));
        let repair_it = repair_of(&snapshot(&mut one).await, id, Action::Backfill);
        snapshot(&mut two).await;
        one.prepare_ledger().await.unwrap();
        let outcomes = tokio::join!(one.repair(&repair_it), two.repair(&repair_it));
        let made = [&outcomes.0, &outcomes.1]
            .into_iter()
            .filter(|outcome| matches!(outcome, Outcome::Repaired(_)))
            .count();
        assert_eq!(made, 1, "{outcomes:?}");
    }
    let entries = snapshot(&mut bed.store(Action::Backfill)).await.newest_repairs.len();
    assert_eq!(entries, 20);
}

async fn two_replicas_make_one_ledger(bed: impl Bed) {
    with_victim(&bed).await;
    let (mut one, mut two) = (bed.store(Action::Fail), bed.store(Action::Fail));
    snapshot(&mut one).await;
    snapshot(&mut two).await;
    let (first, second) = tokio::join!(one.prepare_ledger(), two.prepare_ledger());
    first.unwrap();
    second.unwrap();
    assert_eq!(snapshot(&mut one).await.obstacle(), None);
}

async fn another_server_is_not_repaired(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Fail);
    let mut repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Fail);
    repair_2.server.0.push('x');
    let before = bed.rows().await;
    let outcome = repair(&mut store, &repair_2).await;
    assert!(matches!(outcome, Outcome::NotLeader | Outcome::LostRace), "{outcome:?}");
    assert_eq!(bed.rows().await, before);
}

async fn a_lost_answer_is_found_in_the_ledger(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Fail);
    let repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Fail);
    store.prepare_ledger().await.unwrap();
    assert_eq!(store.resolve(&repair_2).await.unwrap(), Resolution::NotCommitted);
    let id = made(store.repair(&repair_2).await);
    assert_eq!(store.resolve(&repair_2).await.unwrap(), Resolution::Committed(id));
    // A repair that another replica has made is not ours to count.
    bed.sql("UPDATE beatwarden_repairs SET instance = 'another/2'").await;
    assert_eq!(store.resolve(&repair_2).await.unwrap(), Resolution::ByAnother);
}

async fn a_ledger_of_others_withholds_all_repairs(bed: impl Bed) {
    with_victim(&bed).await;
    bed.sql("CREATE TABLE beatwarden_repairs (id integer)").await;
    assert_eq!(
        snapshot(&mut bed.store(Action::Fail)).await.obstacle(),
        Some(Cause::NoLedger)
    );
    assert_eq!(snapshot(&mut bed.store(Action::Observe)).await.obstacle(), None);
    bed.sql("DROP TABLE beatwarden_repairs").await;
    assert_eq!(snapshot(&mut bed.store(Action::Fail)).await.obstacle(), None);
}

async fn hostile_names_are_only_text(bed: impl Bed) {
    let names = [
        "'; DROP TABLE runs; --".to_owned(),
        "line\nbreak\t\u{1}\u{202e}".to_owned(),
        "<script>alert(1)</script>".to_owned(),
        "x".repeat(10_000),
    ];
    for (id, name) in (1..).zip(&names) {
        let mut row = Written::running(id).started(-200.0);
        row.name.clone_from(name);
        bed.write(&row).await;
    }
    let mut store = bed.store(Action::Fail);
    let observed = snapshot(&mut store).await;
    for (id, name) in (1..).zip(&names) {
        let repair_it = repair_of(&observed, id, Action::Fail);
        // Of a long name the beginning.
        let name: String = name.chars().take(1_000).collect();
        assert_eq!(repair_it.job.name.as_deref(), Some(name.as_str()));
        assert!(matches!(repair(&mut store, &repair_it).await, Outcome::Repaired(_)));
        let entry = snapshot(&mut store).await.newest_repairs.remove(0);
        assert_eq!(entry.job_name, Some(name));
    }
}

fn schema_error(result: Result<Snapshot, StoreError>) -> String {
    match result {
        Err(StoreError::Schema(text)) => text,
        other => panic!("expected a schema error, got {other:?}"),
    }
}

async fn a_missing_table_is_named_with_the_nearest(bed: impl Bed) {
    bed.sql("ALTER TABLE runs RENAME TO run").await;
    let text = schema_error(bed.store(Action::Observe).observe(&look(Coverage::Full)).await);
    assert!(text.starts_with("table `runs` not found"), "{text}");
    assert!(
        text.contains("watch.table.name") && text.ends_with("did you mean `run`?"),
        "{text}"
    );
}

async fn a_missing_column_is_named_with_its_key_and_the_nearest(bed: impl Bed) {
    bed.sql("ALTER TABLE runs RENAME COLUMN last_heartbeat_at TO last_beat_at")
        .await;
    let text = schema_error(bed.store(Action::Observe).observe(&look(Coverage::Full)).await);
    assert!(
        text.starts_with(
            "column `last_heartbeat_at` not found in `runs` (watch.table.last_heartbeat_at); the table has id, "
        ),
        "{text}"
    );
    assert!(text.ends_with("did you mean `last_beat_at`?"), "{text}");
}

async fn a_table_that_appears_later_is_found(bed: impl Bed) {
    bed.sql("ALTER TABLE runs RENAME TO elsewhere").await;
    let mut store = bed.store(Action::Backfill);
    assert!(store.observe(&look(Coverage::Full)).await.is_err());
    bed.sql("ALTER TABLE elsewhere RENAME TO runs").await;
    with_victim(&bed).await;
    assert_eq!(snapshot(&mut store).await.rows.len(), 4);
}
