//! Tables without a heartbeat: read, failed for their age, taken back; and how long good runs take before that.

use super::*;
use beatwarden::{
    domain::{Argument, Assigned},
    mapping::{Ending, Identifier, Mapping},
    store::{Entries, Ledger, Undo, guard::Guarded},
};
use bed::mapping;
use serde_json::{Value, json};

const LONGEST: Duration = Duration::from_secs(6 * 3600);

contract!(
    a_table_without_heartbeats_is_read_and_its_heartbeat_column_left_alone,
    a_job_is_failed_for_its_age_and_taken_back,
    a_job_whose_time_is_not_up_is_left_alone,
    good_runs_that_take_more_than_half_of_the_time_withhold_all,
    good_runs_are_found_where_no_key_grows,
    without_an_end_or_a_success_nothing_is_failed_for_its_age,
    a_backfill_of_the_time_before_is_not_taken_back,
    a_job_that_changes_meanwhile_is_a_lost_race,
    further_columns_are_set_for_its_age_and_put_back,
    a_job_is_put_back_for_its_age_to_be_run_again,
);

fn by_age() -> Mapping {
    Mapping {
        last_heartbeat_at: None,
        max_runtime: Some(LONGEST),
        ..mapping()
    }
}

/// One job past its time, between one that has time left and one that ended well after an hour.
async fn with_overrun(bed: &impl Bed) {
    bed.write(&Written::running(1).started(-1000.0)).await;
    bed.write(&Written::running(2).started(-25_000.0).payload("{}")).await;
    bed.write(&Written::running(3).state("SUCCESS").started(-40_000.0).ended(-36_400.0))
        .await;
}

fn overrun_of(snapshot: &Snapshot, id: u32) -> Repair {
    Repair {
        reason: Phase::Overrun,
        deadline: LONGEST,
        ..repair_of(snapshot, id, Action::Fail)
    }
}

async fn a_table_without_heartbeats_is_read_and_its_heartbeat_column_left_alone(bed: impl Bed) {
    with_overrun(&bed).await;
    bed.sql("UPDATE runs SET last_heartbeat_at = started_at WHERE id = 1")
        .await;
    let mut store = bed.store_with(by_age(), Action::Observe);
    let snapshot = snapshot(&mut store).await;
    assert_eq!(job(&snapshot, 1).heartbeat_at, TimeValue::ABSENT, "it is not mapped");
    assert!(job(&snapshot, 2).started_at.at().is_some());
    assert_eq!(snapshot.obstacle(), None);
}

async fn a_job_is_failed_for_its_age_and_taken_back(bed: impl Bed) {
    with_overrun(&bed).await;
    let before = bed.rows().await;
    let mut store = bed.store_with(by_age(), Action::Fail);
    let observed = snapshot(&mut store).await;
    assert_eq!(observed.obstacle(), None);
    let overrun = overrun_of(&observed, 2);
    let id = made(repair(&mut store, &overrun).await);
    let row = &bed.rows().await[1];
    assert_eq!(row["state"].as_deref(), Some("FAIL"));
    assert!(row["ended_at"].is_some());
    let text = format!("{{\"error\": \"Beatwarden: running for longer than 6h (repair {id})\"}}");
    assert_eq!(row["payload"].as_deref(), Some(text.as_str()));
    assert_eq!(store.repair(&overrun).await, Outcome::LostRace, "the row has ended");

    let entry = snapshot(&mut store).await.newest_repairs.remove(0);
    assert_eq!((entry.reason.as_str(), entry.action), ("overrun", LedgerAction::Fail));
    assert!(!entry.after.contains("last_heartbeat_at"), "{}", entry.after);

    let undone = store.undo(id).await.unwrap();
    assert!(matches!(undone, Undo::Done { .. }), "{undone:?}");
    assert_eq!(bed.rows().await, before);
    let entries = store.entries(Entries::OfJob(JobId::new("2"))).await.unwrap();
    let reasons: Vec<&str> = entries.iter().map(|entry| entry.reason.as_str()).collect();
    assert_eq!(reasons, ["overrun", "overrun"]);
}

async fn a_job_whose_time_is_not_up_is_left_alone(bed: impl Bed) {
    with_overrun(&bed).await;
    let before = bed.rows().await;
    let mut store = bed.store_with(by_age(), Action::Fail);
    let early = overrun_of(&snapshot(&mut store).await, 1);
    let outcome = repair(&mut store, &early).await;
    assert!(matches!(outcome, Outcome::Locked | Outcome::LostRace), "{outcome:?}");
    assert_eq!(bed.rows().await, before);
}

async fn good_runs_that_take_more_than_half_of_the_time_withhold_all(bed: impl Bed) {
    with_overrun(&bed).await;
    // Half of the time to the second is allowed, a second more is not; a failure may take as long as it likes.
    bed.write(&Written::running(4).state("FAIL").started(-90_000.0).ended(-1.0))
        .await;
    bed.write(&Written::running(5).state("SUCCESS").started(-10_799.0).ended(0.0))
        .await;
    let mut store = bed.store_with(by_age(), Action::Fail);
    assert_eq!(snapshot(&mut store).await.obstacles, []);
    bed.write(&Written::running(6).state("SUCCESS").started(-10_802.0).ended(0.0))
        .await;
    // It is asked again with each full look.
    assert_eq!(snapshot(&mut store).await.obstacles, []);
    let full = store.observe(&look(Coverage::Full)).await.unwrap();
    let [obstacle] = &full.obstacles[..] else {
        panic!("{:?}", full.obstacles);
    };
    assert_eq!(obstacle.cause, Cause::Rights);
    for part in ["max_runtime is 6h", "took 3h", "overrun = \"fail\""] {
        assert!(obstacle.reason.contains(part), "{part}: {}", obstacle.reason);
    }
    assert_eq!(
        snapshot(&mut store).await.obstacles.len(),
        1,
        "it holds for the passes that follow"
    );
    let mut observing = bed.store_with(by_age(), Action::Observe);
    assert_eq!(snapshot(&mut observing).await.obstacles, [], "nothing is failed there");
}

async fn good_runs_are_found_where_no_key_grows(bed: impl Bed) {
    with_overrun(&bed).await;
    bed.write(&Written::running(6).state("SUCCESS").started(-30_000.0).ended(-1.0))
        .await;
    bed.write(&Written::running(7).state("SUCCESS").ended(-1.0)).await;
    let mapping = Mapping {
        born_running: false,
        ..by_age()
    };
    let observed = snapshot(&mut bed.store_with(mapping, Action::Fail)).await;
    assert!(
        observed.obstacles[0].reason.contains("took 8h"),
        "{:?}",
        observed.obstacles
    );
}

async fn without_an_end_or_a_success_nothing_is_failed_for_its_age(bed: impl Bed) {
    with_overrun(&bed).await;
    let without_end = Mapping {
        ended_at: None,
        ..by_age()
    };
    let mut without_success = by_age();
    without_success.states.success.clear();
    for mapping in [without_end, without_success] {
        let observed = snapshot(&mut bed.store_with(mapping, Action::Fail)).await;
        assert_eq!(observed.obstacle(), Some(Cause::Rights));
    }
}

async fn a_backfill_of_the_time_before_is_not_taken_back(bed: impl Bed) {
    with_victim(&bed).await;
    let id = repaired(&mut bed.store(Action::Backfill), 2, Action::Backfill).await;
    let before = bed.rows().await;
    let why = refused(&mut bed.store_with(by_age(), Action::Observe), id).await;
    assert!(why.contains("maps none"), "{why}");
    assert_eq!(bed.rows().await, before);
}

/// By age, with a fail that writes this state, if any, and these further columns.
fn ending_in(state: Option<&str>, set: &[(&str, Assigned)]) -> Mapping {
    let set = set.iter();
    let set = set.map(|(column, value)| (Identifier::new(column).unwrap(), value.clone()));
    Mapping {
        ending: Ending {
            state: state.map(str::to_owned),
            set: set.collect(),
            call: None,
        },
        ..by_age()
    }
}

async fn newest_images(store: &mut impl Ledger) -> [Value; 2] {
    let entry = store.entries(Entries::Newest(1)).await.unwrap().remove(0);
    assert_eq!((entry.reason.as_str(), entry.action), ("overrun", LedgerAction::Fail));
    [entry.before, entry.after].map(|image| serde_json::from_str(&image).unwrap())
}

async fn further_columns_are_set_for_its_age_and_put_back(bed: impl Bed) {
    with_overrun(&bed).await;
    let before = bed.rows().await;
    let set = [("payload_flags", Assigned::OneMore), ("trigger", Assigned::Error)];
    let mut store = bed.store_with(ending_in(Some("DEAD"), &set), Action::Fail);
    let observed = snapshot(&mut store).await;
    let early = overrun_of(&observed, 1);
    let outcome = repair(&mut store, &early).await;
    assert!(matches!(outcome, Outcome::Locked | Outcome::LostRace), "{outcome:?}");
    assert_eq!(bed.rows().await, before, "its time is not up");
    let overrun = overrun_of(&observed, 2);
    let id = made(repair(&mut store, &overrun).await);
    let after = bed.rows().await;
    let text = format!("Beatwarden: running for longer than 6h (repair {id})");
    let row = &after[1];
    assert_eq!(
        (
            row["state"].as_deref(),
            row["payload_flags"].as_deref(),
            row["trigger"].as_deref()
        ),
        (Some("DEAD"), Some("1"), Some(text.as_str()))
    );
    assert!(row["ended_at"].is_some());
    assert_eq!([&after[0], &after[2]], [&before[0], &before[2]], "innocent rows");
    let [was, is] = newest_images(&mut store).await;
    assert_eq!((&was["payload_flags"], &was["trigger"]), (&json!(0), &json!("test")));
    assert_eq!((&is["payload_flags"], &is["trigger"]), (&json!(1), &json!(text)));
    let undone = store.undo(id).await.unwrap();
    assert!(matches!(undone, Undo::Done { .. }), "{undone:?}");
    assert_eq!(bed.rows().await, before);
}

async fn a_job_is_put_back_for_its_age_to_be_run_again(bed: impl Bed) {
    with_overrun(&bed).await;
    let before = bed.rows().await;
    let set = [("started_at", Assigned::Null), ("payload_flags", Assigned::OneMore)];
    let mut store = bed.store_with(ending_in(Some("IDLE"), &set), Action::Fail);
    let overrun = overrun_of(&snapshot(&mut store).await, 2);
    let id = made(repair(&mut store, &overrun).await);
    let after = bed.rows().await;
    let mut expected = before.clone();
    expected[1].extend([
        ("state".to_owned(), Some("IDLE".to_owned())),
        ("started_at".to_owned(), None),
        ("payload_flags".to_owned(), Some("1".to_owned())),
    ]);
    assert_eq!(after, expected, "neither an end nor an error text");
    let [_, is] = newest_images(&mut store).await;
    assert_eq!((&is["state"], &is["started_at"]), (&json!("IDLE"), &Value::Null));
    refused(&mut store, id).await;
    assert_eq!(bed.rows().await, after);
}

/// A fail by a function, on PostgreSQL: it is called for the job that is past its time, and for no other.
#[tokio::test]
async fn a_function_ends_a_job_for_its_age() {
    let bed = PostgresBed::new().await;
    with_overrun(&bed).await;
    bed.sql(
        "CREATE FUNCTION finish(job integer, reason text) RETURNS void LANGUAGE sql AS $$
             UPDATE runs SET state = 'DEAD', payload = reason WHERE id = job $$",
    )
    .await;
    let before = bed.rows().await;
    let by_function = Mapping {
        ending: functions::calling("finish", vec![Argument::Id, Argument::Error]).ending,
        ..by_age()
    };
    let mut store = bed.store_with(by_function, Action::Fail);
    let observed = snapshot(&mut store).await;
    assert_eq!(observed.obstacle(), None);
    let outcome = repair(&mut store, &overrun_of(&observed, 1)).await;
    assert!(matches!(outcome, Outcome::Locked | Outcome::LostRace), "{outcome:?}");
    assert_eq!(bed.rows().await, before, "its time is not up");
    let overrun = overrun_of(&observed, 2);
    let id = made(repair(&mut store, &overrun).await);
    let after = bed.rows().await;
    let text = format!("Beatwarden: running for longer than 6h (repair {id})");
    assert_eq!(
        (after[1]["state"].as_deref(), after[1]["payload"].as_deref()),
        (Some("DEAD"), Some(text.as_str()))
    );
    assert_eq!([&after[0], &after[2]], [&before[0], &before[2]], "innocent rows");
    let [was, is] = newest_images(&mut store).await;
    assert_eq!((&was["state"], &is["state"]), (&json!("RUNNING"), &json!("DEAD")));
    assert!(
        is["beatwarden_called"]
            .as_str()
            .is_some_and(|called| called.contains("finish")),
        "{is}"
    );
    assert_eq!(is.get("last_heartbeat_at"), None, "it is not mapped: {is}");
    assert_eq!(store.repair(&overrun).await, Outcome::LostRace, "the row has ended");
    assert!(matches!(store.undo(id).await.unwrap(), Undo::Refused(_)));
    assert_eq!((bed.rows().await, bed.count_repairs(2).await), (after, 1));
}

async fn a_job_that_changes_meanwhile_is_a_lost_race(bed: impl Bed) {
    let with_more = ending_in(None, &[("payload_flags", Assigned::OneMore)]);
    for change in [
        "UPDATE runs SET state = 'SUCCESS' WHERE id = 2",
        "UPDATE runs SET job_name = 'other' WHERE id = 2",
        "UPDATE runs SET ended_at = started_at WHERE id = 2",
        "DELETE FROM runs WHERE id = 2",
    ] {
        for mapping in [by_age(), with_more.clone()] {
            bed.sql("DELETE FROM runs").await;
            with_overrun(&bed).await;
            let mut store = bed.store_with(mapping, Action::Fail);
            let overrun = overrun_of(&snapshot(&mut store).await, 2);
            bed.sql(change).await;
            let before = bed.rows().await;
            assert_eq!(repair(&mut store, &overrun).await, Outcome::LostRace, "{change}");
            assert_eq!(bed.rows().await, before, "{change}");
        }
    }
}

#[tokio::test]
async fn there_is_no_guard_for_a_heartbeat_that_is_not_mapped() {
    let (postgres, sqlite) = (PostgresBed::new().await, SqliteBed::new().await);
    let refusals = [
        postgres
            .store_with(by_age(), Action::Observe)
            .install_guard(&|_| {})
            .await,
        sqlite
            .store_with(by_age(), Action::Observe)
            .install_guard(&|_| {})
            .await,
        postgres
            .store_with(by_age(), Action::Observe)
            .guard_sql()
            .await
            .map(drop),
        sqlite.store_with(by_age(), Action::Observe).guard_sql().await.map(drop),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err().to_string();
        assert!(error.contains("watch.table.last_heartbeat_at"), "{error}");
    }
}
