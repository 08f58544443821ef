//! What an operator does with the ledger, the same for every database: false repairs are written down once, a repair is
//! taken back byte for byte or refused with column and values, and acknowledgements reach every replica.

use super::{Bed, DEADLINE, PostgresBed, SqliteBed, Written, refused, repair_of, snapshot, with_victim};
use beatwarden::{
    domain::{Action, Cause, Finding, JobId, LateOutcome, LedgerAction, LifeSign, Noted, Outcome, RepairId},
    store::{Acknowledged, Entries, ErrorTextRemoval, Ledger, Store, Undo},
};

contract!(
    a_finding_is_written_once_no_matter_who_sees_it_first,
    a_finding_about_a_repair_that_was_undone_is_not_written,
    a_fail_is_taken_back_byte_for_byte,
    every_kind_of_payload_is_put_back,
    an_error_text_that_was_changed_since_is_left_alone,
    a_backfill_is_taken_back,
    what_others_changed_is_refused_with_column_and_values,
    a_newer_job_of_the_same_name_that_runs_is_named,
    an_undone_repair_can_be_insisted_on_once_more,
    a_false_repair_is_acknowledged_once,
    one_false_repair_that_is_acknowledged_while_another_is_noted_is_news,
    a_late_heartbeat_is_acknowledged_too,
    a_late_heartbeat_is_read_until_it_is_acknowledged,
    the_fuse_is_acknowledged_for_all_replicas,
    an_acknowledged_fuse_is_read_however_many_repairs_came_after_it,
    a_ledger_that_is_not_there_is_empty,
    a_ledger_of_a_newer_version_withholds_all_repairs,
    a_row_that_another_session_holds_is_reported_and_left_alone,
);

/// Fails job 2, and returns the repair's identity.
pub async fn failed(bed: &impl Bed) -> RepairId {
    repaired(bed, Action::Fail).await
}

pub async fn repaired(bed: &impl Bed, action: Action) -> RepairId {
    super::repaired(&mut bed.store(action), 2, action).await
}

fn finding(repair_id: RepairId, outcome: LateOutcome) -> Finding {
    Finding {
        repair_id,
        job: JobId::new("2"),
        outcome,
        sign: LifeSign::Beat,
    }
}

async fn a_finding_is_written_once_no_matter_who_sees_it_first(bed: impl Bed) {
    with_victim(&bed).await;
    let id = failed(&bed).await;
    let (mut one, mut other) = (bed.store(Action::Fail), bed.store(Action::Fail));
    snapshot(&mut one).await;
    snapshot(&mut other).await;
    let finding = finding(id, LateOutcome::FalseRepair);
    let noted = tokio::join!(one.note(&finding), other.note(&finding));
    let mut noted = [noted.0.unwrap(), noted.1.unwrap()];
    noted.sort_by_key(|noted| *noted != Noted::First);
    assert_eq!(noted, [Noted::First, Noted::Known]);
    let entry = &snapshot(&mut one).await.newest_repairs[0];
    assert_eq!(entry.outcome, Some(LateOutcome::FalseRepair));
    assert!(entry.outcome_at >= Some(entry.repaired_at), "{entry:?}");
}

async fn a_finding_about_a_repair_that_was_undone_is_not_written(bed: impl Bed) {
    with_victim(&bed).await;
    let id = failed(&bed).await;
    let mut store = bed.store(Action::Fail);
    snapshot(&mut store).await;
    assert!(matches!(store.undo(id).await.unwrap(), Undo::Done { .. }));
    let noted = store.note(&finding(id, LateOutcome::FalseRepair)).await.unwrap();
    assert_eq!(noted, Noted::Known);
    let entries = store.entries(Entries::Newest(10)).await.unwrap();
    assert!(entries.iter().all(|entry| entry.outcome.is_none()), "{entries:?}");
}

async fn a_fail_is_taken_back_byte_for_byte(bed: impl Bed) {
    with_victim(&bed).await;
    bed.sql("UPDATE runs SET payload = '{\"a\": 1e2, \"b\": NaN}' WHERE id = 2")
        .await;
    let before = bed.rows().await;
    let id = failed(&bed).await;
    assert_ne!(bed.rows().await, before);
    let mut store = bed.store(Action::Fail);
    let Undo::Done { entry, error_text, .. } = store.undo(id).await.unwrap() else {
        panic!("nothing speaks against it")
    };
    assert_eq!(bed.rows().await, before, "every row and column as before");
    assert_eq!(error_text, ErrorTextRemoval::TakenOut);
    let entries = store.entries(Entries::Newest(10)).await.unwrap();
    assert_eq!(
        (
            entries[0].repair_id,
            entries[0].action,
            entries[0].undo_of,
            entries.len()
        ),
        (entry, LedgerAction::Undo, Some(id), 2)
    );
    assert_eq!(entries[0].before, entries[1].after);
    for (id, said) in [(id, "undone before"), (entry, "`undo`")] {
        let why = refused(&mut store, id).await;
        assert!(why.contains(said), "{why}");
    }
    assert_eq!(store.undo(RepairId(7)).await.unwrap(), Undo::NotFound);
}

async fn every_kind_of_payload_is_put_back(bed: impl Bed) {
    let payloads = [
        None,
        Some("{}"),
        Some(" { } "),
        Some(""),
        Some("{\"x\": {\"y\": \"}\"}}\n"),
        Some("[1, 2]"),
        Some("text"),
    ];
    for payload in payloads {
        bed.sql("DELETE FROM runs").await;
        let mut row = Written::running(2).started(-120.0);
        row.payload = payload.map(str::to_owned);
        bed.write(&row).await;
        let id = failed(&bed).await;
        let mut store = bed.store(Action::Fail);
        let done = store.undo(id).await.unwrap();
        // Braces with white space between them come back as `{}`: the ledger keeps the kind, not the bytes.
        let expected = payload.map(|text| if text.trim().starts_with("{ ") { "{}" } else { text });
        assert_eq!(
            bed.rows().await[0]["payload"].as_deref(),
            expected,
            "{payload:?} {done:?}"
        );
        let left = matches!(payload, Some("[1, 2]" | "text"));
        let removal = if left {
            ErrorTextRemoval::NotThere
        } else {
            ErrorTextRemoval::TakenOut
        };
        assert!(
            matches!(done, Undo::Done { error_text, .. } if error_text == removal),
            "{payload:?} {done:?}"
        );
        bed.sql("DELETE FROM beatwarden_repairs").await;
    }
}

async fn an_error_text_that_was_changed_since_is_left_alone(bed: impl Bed) {
    with_victim(&bed).await;
    let id = failed(&bed).await;
    bed.sql("UPDATE runs SET payload = '{\"mine\": 1}' WHERE id = 2").await;
    let mut store = bed.store(Action::Fail);
    let done = store.undo(id).await.unwrap();
    assert!(
        matches!(
            done,
            Undo::Done {
                error_text: ErrorTextRemoval::LeftAlone,
                ..
            }
        ),
        "{done:?}"
    );
    let row = &bed.rows().await[1];
    assert_eq!(
        (row["payload"].as_deref(), row["state"].as_deref()),
        (Some("{\"mine\": 1}"), Some("RUNNING"))
    );
    assert_eq!(row["ended_at"], None);
}

async fn a_backfill_is_taken_back(bed: impl Bed) {
    with_victim(&bed).await;
    let before = bed.rows().await;
    let id = repaired(&bed, Action::Backfill).await;
    let mut store = bed.store(Action::Backfill);
    assert!(matches!(store.undo(id).await.unwrap(), Undo::Done { .. }));
    assert_eq!(bed.rows().await, before);
    let precedents = snapshot(&mut store).await.precedents;
    assert_eq!(precedents.len(), 2, "the incident is known as undone");
}

async fn what_others_changed_is_refused_with_column_and_values(bed: impl Bed) {
    type Case = (Action, &'static str, &'static [&'static str]);
    let cases: [Case; 5] = [
        (
            Action::Fail,
            "UPDATE runs SET state = 'SUCCESS' WHERE id = 2",
            &["state is `SUCCESS`", "left `FAIL`"],
        ),
        (
            Action::Fail,
            "UPDATE runs SET ended_at = NULL WHERE id = 2",
            &["ended_at is NULL", "the repair left `2"],
        ),
        (
            Action::Fail,
            "UPDATE runs SET started_at = ended_at WHERE id = 2",
            &["started_at is 2", "started again"],
        ),
        (
            Action::Backfill,
            "UPDATE runs SET last_heartbeat_at = '2026-11-01 10:00:00' WHERE id = 2",
            &["last_heartbeat_at is `2026-11-01 10:00:00`", "the repair left `2"],
        ),
        (Action::Fail, "DELETE FROM runs WHERE id = 2", &["id = 2 is gone"]),
    ];
    for (action, change, words) in cases {
        bed.sql("DELETE FROM runs").await;
        with_victim(&bed).await;
        let id = repaired(&bed, action).await;
        bed.sql(change).await;
        let before = bed.rows().await;
        let mut store = bed.store(action);
        let why = refused(&mut store, id).await;
        assert!(words.iter().all(|word| why.contains(word)), "{change}: {why}");
        assert_eq!(bed.rows().await, before, "{change}");
        assert_eq!(
            store.entries(Entries::Newest(10)).await.unwrap()[0].repair_id,
            id,
            "no entry of an undo"
        );
        bed.sql("DELETE FROM beatwarden_repairs").await;
    }
}

async fn a_newer_job_of_the_same_name_that_runs_is_named(bed: impl Bed) {
    with_victim(&bed).await;
    let id = failed(&bed).await;
    let mut newer = Written::running(77).started(-5.0);
    newer.name = "pipeline-2".into();
    bed.write(&newer).await;
    let mut store = bed.store(Action::Fail);
    let why = refused(&mut store, id).await;
    assert!(why.contains("id = 77 has the same name"), "{why}");
    bed.sql("UPDATE runs SET state = 'SUCCESS' WHERE id = 77").await;
    let done = store.undo(id).await.unwrap();
    assert!(
        matches!(done, Undo::Done { .. }),
        "one that has ended is in no one's way: {done:?}"
    );
}

async fn an_undone_repair_can_be_insisted_on_once_more(bed: impl Bed) {
    with_victim(&bed).await;
    let id = failed(&bed).await;
    let mut store = bed.store(Action::Fail);
    let Undo::Done { entry: undo, .. } = store.undo(id).await.unwrap() else {
        panic!("nothing speaks against it")
    };
    let observed = snapshot(&mut store).await;
    let mut again = repair_of(&observed, 2, Action::Fail);
    assert_eq!(store.repair(&again).await, Outcome::Already, "not automatically");
    again.after_undo = Some(undo);
    assert!(matches!(store.repair(&again).await, Outcome::Repaired(new) if new != id));
    assert_eq!(store.entries(Entries::OfJob(JobId::new("2"))).await.unwrap().len(), 3);
    assert_eq!(again.deadline, DEADLINE);
}

async fn a_false_repair_is_acknowledged_once(bed: impl Bed) {
    with_victim(&bed).await;
    let id = failed(&bed).await;
    let mut store = bed.store(Action::Fail);
    snapshot(&mut store).await;
    assert_eq!(store.acknowledge(id).await.unwrap(), Acknowledged::NotFalse);
    assert_eq!(store.acknowledge(RepairId(7)).await.unwrap(), Acknowledged::NotFound);
    store.note(&finding(id, LateOutcome::FalseRepair)).await.unwrap();
    assert_eq!(store.acknowledge(id).await.unwrap(), Acknowledged::Now);
    assert_eq!(store.acknowledge(id).await.unwrap(), Acknowledged::Before);
    let entry = &store.entries(Entries::Newest(1)).await.unwrap()[0];
    assert!(entry.acknowledged_at >= entry.outcome_at, "{entry:?}");
}

/// As many wait as before, but others.
async fn one_false_repair_that_is_acknowledged_while_another_is_noted_is_news(bed: impl Bed) {
    with_victim(&bed).await;
    bed.write(&Written::running(5).started(-120.0)).await;
    let (mut store, mut replica) = (bed.store(Action::Fail), bed.store(Action::Fail));
    let first = super::repaired(&mut store, 2, Action::Fail).await;
    let second = super::repaired(&mut store, 5, Action::Fail).await;
    store.note(&finding(first, LateOutcome::FalseRepair)).await.unwrap();
    let waiting = async |store: &mut _| {
        let newest = snapshot(store).await.newest_repairs;
        let waiting = newest
            .iter()
            .filter(|entry| entry.outcome.is_some() && entry.acknowledged_at.is_none());
        waiting.map(|entry| entry.repair_id).collect::<Vec<_>>()
    };
    // Until there is no news.
    for _ in 0..3 {
        assert_eq!(waiting(&mut replica).await, [first]);
    }
    assert_eq!(store.acknowledge(first).await.unwrap(), Acknowledged::Now);
    let other = Finding {
        job: JobId::new("5"),
        ..finding(second, LateOutcome::FalseRepair)
    };
    assert_eq!(store.note(&other).await.unwrap(), Noted::First);
    assert_eq!(waiting(&mut replica).await, [second]);
}

async fn a_late_heartbeat_is_acknowledged_too(bed: impl Bed) {
    with_victim(&bed).await;
    let id = failed(&bed).await;
    let mut store = bed.store(Action::Fail);
    snapshot(&mut store).await;
    store.note(&finding(id, LateOutcome::LateHeartbeat)).await.unwrap();
    assert_eq!(store.acknowledge(id).await.unwrap(), Acknowledged::Now);
    assert_eq!(store.acknowledge(id).await.unwrap(), Acknowledged::Before);
}

/// However old it is, and however many entries are newer.
async fn a_late_heartbeat_is_read_until_it_is_acknowledged(bed: impl Bed) {
    with_victim(&bed).await;
    let id = failed(&bed).await;
    let mut store = bed.store(Action::Fail);
    snapshot(&mut store).await;
    store.note(&finding(id, LateOutcome::LateHeartbeat)).await.unwrap();
    bed.sql("UPDATE beatwarden_repairs SET repaired_at = '2026-01-01T00:00:00.000000Z'")
        .await;
    for _ in 0..100 {
        store.acknowledge_fuse().await.unwrap();
    }
    let is_read = async |store: &mut _| {
        let newest = snapshot(store).await.newest_repairs;
        newest.iter().any(|entry| entry.repair_id == id)
    };
    assert!(is_read(&mut store).await);
    assert_eq!(store.acknowledge(id).await.unwrap(), Acknowledged::Now);
    assert!(!is_read(&mut store).await);
}

async fn the_fuse_is_acknowledged_for_all_replicas(bed: impl Bed) {
    with_victim(&bed).await;
    let id = bed.store(Action::Fail).acknowledge_fuse().await.unwrap();
    let mut other = bed.store(Action::Fail);
    let newest = snapshot(&mut other).await.newest_repairs;
    assert_eq!((newest[0].repair_id, newest[0].action), (id, LedgerAction::AckFuse));
}

/// More than a pass reads of a day.
async fn an_acknowledged_fuse_is_read_however_many_repairs_came_after_it(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Fail);
    let id = store.acknowledge_fuse().await.unwrap();
    let (numbers, of_number, later) = if bed.locks_the_file() {
        (
            "RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2100)",
            "printf('%08x-0000-0000-0000-000000000000', i)",
            "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '1 seconds')",
        )
    } else {
        (
            "n (i) AS (SELECT generate_series(1, 2100))",
            "md5(i::text)::uuid",
            "now() + interval '1 second'",
        )
    };
    bed.sql(&format!(
        "INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, reason, action, instance, repaired_at, before, after,
                                         version)
         WITH {numbers} SELECT {of_number}, watch, table_name, '9', reason, 'backfill', instance, {later}, before, after, version
           FROM beatwarden_repairs, n"
    ))
    .await;
    let newest = snapshot(&mut store).await.newest_repairs;
    assert!(
        newest.len() > 2_000 && newest.iter().any(|entry| entry.repair_id == id),
        "{}",
        newest.len()
    );
}

async fn a_ledger_that_is_not_there_is_empty(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Fail);
    assert_eq!(store.entries(Entries::Newest(10)).await.unwrap(), []);
    assert_eq!(store.undo(RepairId(7)).await.unwrap(), Undo::NotFound);
    assert_eq!(store.acknowledge(RepairId(7)).await.unwrap(), Acknowledged::NotFound);
    assert_eq!(snapshot(&mut store).await.newest_repairs, []);
}

async fn a_ledger_of_a_newer_version_withholds_all_repairs(bed: impl Bed) {
    with_victim(&bed).await;
    failed(&bed).await;
    bed.sql("UPDATE beatwarden_repairs SET version = 3").await;
    let mut store = bed.store(Action::Fail);
    let obstacles = snapshot(&mut store).await.obstacles;
    assert_eq!(obstacles[0].cause, Cause::NoLedger);
    assert!(obstacles[0].reason.contains("layout 3"), "{}", obstacles[0].reason);
    assert_eq!(snapshot(&mut bed.store(Action::Observe)).await.obstacle(), None);
}

async fn a_row_that_another_session_holds_is_reported_and_left_alone(bed: impl Bed) {
    use super::Held;
    with_victim(&bed).await;
    let id = failed(&bed).await;
    let before = bed.rows().await;
    let mut store = bed.store(Action::Fail);
    let held = bed.hold_row(2).await;
    match store.undo(id).await {
        Ok(Undo::Refused(why)) => assert!(why.contains("another session holds the row"), "{why}"),
        Err(error) => assert!(error.chain().contains("lock"), "{}", error.chain()),
        Ok(other) => panic!("{other:?}"),
    }
    held.release().await;
    assert_eq!(bed.rows().await, before);
    assert!(matches!(store.undo(id).await.unwrap(), Undo::Done { .. }));
}
