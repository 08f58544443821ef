//! An incident is a start of a job of a table: whatever the watch is called and however the configuration writes the table's
//! name, its repair, its undo and its acknowledgement are known, also those that earlier versions wrote.

use super::{Bed, PostgresBed, SqliteBed, bed::mapping, repair, repair_of, repaired, snapshot, with_victim};
use beatwarden::{
    domain::{Action, LateOutcome, LedgerAction, Outcome, Precedent, Precedents, RepairId, Snapshot},
    mapping::TableName,
    store::{Acknowledged, Entries, Ledger, Store, Undo},
};

contract!(
    an_undone_incident_stays_undone_under_every_name_of_the_watch,
    two_watches_of_one_table_make_one_repair,
    the_entries_of_an_earlier_version_are_found_under_another_name,
    entries_of_another_table_belong_to_no_other,
    a_false_repair_is_found_however_many_came_after_it,
    a_repair_is_found_by_the_first_characters_of_its_identity,
    an_earlier_version_finds_the_entries_of_this_one_by_the_watch,
);

/// A replica whose watch has this name, and whose configuration writes the table's name so.
fn named<B: Bed>(bed: &B, watch: &str, table: &str, action: Action) -> B::Store {
    let mut mapping = mapping();
    watch.clone_into(&mut mapping.watch);
    mapping.table = TableName::parse(table).unwrap();
    bed.store_with(mapping, action)
}

/// What the ledger says of the start of job 2.
fn precedent(seen: &Snapshot) -> Precedent {
    let incident = repair_of(seen, 2, Action::Fail).incident();
    Precedents::from_entries(seen.precedents.iter().chain(&seen.newest_repairs)).of(&incident)
}

/// An entry as the version before this one wrote it, about job 2 as it stands.
async fn earlier(bed: &impl Bed, id: &str, (watch, table): (&str, &str), action: &str, outcome: &str) {
    let at = if bed.locks_the_file() {
        (
            "strftime('%Y-%m-%dT%H:%M:%f000Z', started_at)",
            "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')",
        )
    } else {
        ("started_at AT TIME ZONE 'UTC'", "now()")
    };
    bed.sql(&format!(
        "INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at,
                                         repaired_at, before, after, outcome, version)
         SELECT '{id}', '{watch}', '{table}', '2', job_name, 'missed_first', '{action}', 'old/1', {}, {}, '{{}}', '{{}}', {outcome}, 2
           FROM runs WHERE id = 2",
        at.0, at.1
    ))
    .await;
}

const OLD: &str = "0f1cb3f3-579d-5c30-b5ef-235e0327e5df";

fn old() -> RepairId {
    RepairId(uuid::Uuid::parse_str(OLD).unwrap().as_u128())
}

async fn an_undone_incident_stays_undone_under_every_name_of_the_watch(bed: impl Bed) {
    with_victim(&bed).await;
    let mut first = named(&bed, "meltano", "runs", Action::Fail);
    let id = repaired(&mut first, 2, Action::Fail).await;
    let mut renamed = named(&bed, "nightly", bed.other_spelling(), Action::Fail);
    assert!(matches!(renamed.undo(id).await.unwrap(), Undo::Done { .. }));
    for (watch, table) in [
        ("meltano", "runs"),
        ("nightly", bed.other_spelling()),
        ("third", "runs"),
    ] {
        let mut store = named(&bed, watch, table, Action::Fail);
        let seen = snapshot(&mut store).await;
        let known = precedent(&seen);
        assert!(
            known.failed && !known.fail_stands && known.undone.is_some(),
            "{watch}: {known:?}"
        );
        let entries = store.entries(Entries::Newest(10)).await.unwrap();
        assert_eq!(entries.len(), 2, "{watch}");
        // The entry of the undo belongs where the repair does, so that every version finds it.
        assert_eq!(
            (&entries[0].watch, &entries[0].table_name),
            (&entries[1].watch, &entries[1].table_name)
        );
    }
}

async fn two_watches_of_one_table_make_one_repair(bed: impl Bed) {
    for action in [Action::Backfill, Action::Fail] {
        bed.sql("DELETE FROM runs").await;
        with_victim(&bed).await;
        let mut one = named(&bed, "one", "runs", action);
        let mut other = named(&bed, "other", bed.other_spelling(), action);
        let (first, second) = (snapshot(&mut one).await, snapshot(&mut other).await);
        let made = repair(&mut one, &repair_of(&first, 2, action)).await;
        assert!(matches!(made, Outcome::Repaired(_)), "{made:?}");
        // Even where the row is made what it was: the ledger's key is the incident.
        bed.sql("UPDATE runs SET state = 'RUNNING', ended_at = NULL, last_heartbeat_at = NULL WHERE id = 2")
            .await;
        let again = repair(&mut other, &repair_of(&second, 2, action)).await;
        assert_eq!(again, Outcome::Already);
        assert!(precedent(&snapshot(&mut other).await).had(action));
    }
}

async fn the_entries_of_an_earlier_version_are_found_under_another_name(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = named(&bed, "flags", bed.other_spelling(), Action::Fail);
    snapshot(&mut store).await;
    store.prepare_ledger().await.unwrap();
    for (spelling, found) in [("runs", true), (bed.other_spelling(), true), ("other_runs", false)] {
        bed.sql("DELETE FROM beatwarden_repairs").await;
        earlier(&bed, OLD, ("meltano", spelling), "fail", "'false_repair'").await;
        let seen = snapshot(&mut store).await;
        assert_eq!(precedent(&seen).failed, found, "{spelling}");
        let holding = seen
            .newest_repairs
            .iter()
            .filter(|entry| entry.acknowledged_at.is_none());
        assert_eq!(holding.count(), usize::from(found), "{spelling}");
        let wanted = if found {
            Acknowledged::Now
        } else {
            Acknowledged::NotFound
        };
        assert_eq!(store.acknowledge(old()).await.unwrap(), wanted, "{spelling}");
    }
}

async fn entries_of_another_table_belong_to_no_other(bed: impl Bed) {
    with_victim(&bed).await;
    bed.sql("CREATE TABLE other AS SELECT * FROM runs; CREATE UNIQUE INDEX other_key ON other (id)")
        .await;
    let mut one = named(&bed, "same", "runs", Action::Fail);
    let id = repaired(&mut one, 2, Action::Fail).await;
    // Another table with the same rows, under the same name of the watch, in the same ledger.
    let mut other = named(&bed, "same", "other", Action::Fail);
    let seen = snapshot(&mut other).await;
    assert_eq!(precedent(&seen), Precedent::default());
    assert!(seen.newest_repairs.is_empty() && other.entries(Entries::Newest(10)).await.unwrap().is_empty());
    assert_eq!(other.undo(id).await.unwrap(), Undo::NotFound);
    let made = repair(&mut other, &repair_of(&seen, 2, Action::Fail)).await;
    assert!(matches!(made, Outcome::Repaired(made) if made != id), "{made:?}");
    assert_eq!(one.entries(Entries::Newest(10)).await.unwrap().len(), 1);
}

async fn a_false_repair_is_found_however_many_came_after_it(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = named(&bed, "meltano", "runs", Action::Fail);
    snapshot(&mut store).await;
    store.prepare_ledger().await.unwrap();
    earlier(&bed, OLD, ("meltano", "runs"), "fail", "'false_repair'").await;
    for number in 0..120 {
        let id = format!("{number:08}-0000-4000-8000-000000000000");
        earlier(&bed, &id, ("meltano", "runs"), "backfill", "NULL").await;
    }
    let entries = store.entries(Entries::Newest(50)).await.unwrap();
    assert_eq!(entries.len(), 51);
    let last = entries.last().unwrap();
    assert_eq!((last.repair_id, last.outcome), (old(), Some(LateOutcome::FalseRepair)));
    assert!(
        snapshot(&mut store)
            .await
            .newest_repairs
            .iter()
            .any(|entry| entry.repair_id == old())
    );
}

async fn a_repair_is_found_by_the_first_characters_of_its_identity(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = named(&bed, "meltano", "runs", Action::Fail);
    snapshot(&mut store).await;
    store.prepare_ledger().await.unwrap();
    earlier(&bed, OLD, ("meltano", "runs"), "fail", "NULL").await;
    earlier(
        &bed,
        "0f1cb3f3-0000-4000-8000-000000000000",
        ("meltano", "runs"),
        "undo",
        "NULL",
    )
    .await;
    earlier(
        &bed,
        "0f1cb3f4-0000-4000-8000-000000000000",
        ("meltano", "runs"),
        "undo",
        "NULL",
    )
    .await;
    let rest = u128::MAX >> 32;
    let first = old().0 & !rest;
    let mut found = store
        .entries(Entries::Between(RepairId(first), RepairId(first | rest)))
        .await
        .unwrap();
    found.sort_by_key(|entry| entry.action.as_str());
    let actions: Vec<LedgerAction> = found.iter().map(|entry| entry.action).collect();
    assert_eq!(actions, [LedgerAction::Fail, LedgerAction::Undo]);
    assert_eq!(store.entries(Entries::Between(old(), old())).await.unwrap().len(), 1);
}

/// It asks by the watch, and stops repairing beside entries of a layout that it doesn't know.
async fn an_earlier_version_finds_the_entries_of_this_one_by_the_watch(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = named(&bed, "meltano", "runs", Action::Fail);
    repaired(&mut store, 2, Action::Fail).await;
    let entry = &store.entries(Entries::Newest(1)).await.unwrap()[0];
    assert_eq!((entry.watch.as_str(), entry.version), ("meltano", 2));
    let name = if bed.locks_the_file() { "runs" } else { "public.runs" };
    assert_eq!(entry.table_name, name);
}
