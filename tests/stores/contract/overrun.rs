//! Tables without a heartbeat: read, failed for their age, taken back; and how long good runs take before that.

use super::*;
use beatwarden::store::{Entries, Ledger, Mapping, Undo, guard::Guarded};
use bed::mapping;

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
    assert_eq!(job(&snapshot, 1).heartbeat_at, TimeValue::Absent, "it is not mapped");
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
    let Outcome::Repaired(id) = repair(&mut store, &overrun).await else {
        panic!("not repaired");
    };
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
    let full = store.observe(&look(Look::Full)).await.unwrap();
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
    let mut with_heartbeats = bed.store(Action::Backfill);
    let due = repair_of(&snapshot(&mut with_heartbeats).await, 2, Action::Backfill);
    let Outcome::Repaired(id) = repair(&mut with_heartbeats, &due).await else {
        panic!("not repaired");
    };
    let before = bed.rows().await;
    let undone = bed.store_with(by_age(), Action::Observe).undo(id).await.unwrap();
    assert!(
        matches!(&undone, Undo::Refused(why) if why.contains("maps none")),
        "{undone:?}"
    );
    assert_eq!(bed.rows().await, before);
}

async fn a_job_that_changes_meanwhile_is_a_lost_race(bed: impl Bed) {
    for change in [
        "UPDATE runs SET state = 'SUCCESS' WHERE id = 2",
        "UPDATE runs SET job_name = 'other' WHERE id = 2",
        "UPDATE runs SET ended_at = started_at WHERE id = 2",
        "DELETE FROM runs WHERE id = 2",
    ] {
        bed.sql("DELETE FROM runs").await;
        with_overrun(&bed).await;
        let mut store = bed.store_with(by_age(), Action::Fail);
        let overrun = overrun_of(&snapshot(&mut store).await, 2);
        bed.sql(change).await;
        let before = bed.rows().await;
        assert_eq!(repair(&mut store, &overrun).await, Outcome::LostRace, "{change}");
        assert_eq!(bed.rows().await, before, "{change}");
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
