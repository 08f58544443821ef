//! A ledger of an earlier version: it is read, gets the indexes of this one where they can be made at once, and keeps no repair
//! waiting where they can't.

use super::{
    Bed, PostgresBed, SqliteBed,
    operator::{failed, repaired},
    snapshot, with_victim,
};
use crate::support::Session;
use beatwarden::{
    domain::{Action, TimeValue},
    store::{Entries, Ledger, survey::Surveyed},
};

contract!(
    a_ledger_of_the_first_layout_is_read_and_migrated,
    a_ledger_whose_indexes_cannot_be_made_now_takes_the_repair,
    the_indexes_that_a_ledger_lacks_can_be_made_by_hand,
);

/// How many indexes by table a ledger has that this version made.
const ALL: i64 = 4;

async fn a_ledger_of_the_first_layout_is_read_and_migrated(bed: impl Bed) {
    with_victim(&bed).await;
    bed.sql(bed.first_layout()).await;
    let mut store = bed.store(Action::Fail);
    let observed = snapshot(&mut store).await;
    let old = &observed.newest_repairs[0];
    assert_eq!((old.version, old.heartbeat_after, &*old.job_id.text()), (1, None, "9"));
    assert_eq!(observed.obstacle(), None);
    let id = repaired(&bed, Action::Fail).await;
    assert_eq!(
        bed.count("unacknowledged").await,
        1,
        "the index of the second layout is there"
    );
    assert_eq!(bed.count("_table_").await, ALL);
    let entries = store.entries(Entries::Newest(10)).await.unwrap();
    let new = &entries[0];
    assert_eq!(
        (new.repair_id, new.version, new.heartbeat_after),
        (id, 2, Some(TimeValue::ABSENT))
    );
    assert_eq!(entries[1], **old, "an old entry keeps its layout and every value");
}

/// On a server another session has an entry that it hasn't committed, so the lock of CREATE INDEX can't be had; in a file a table
/// bears the name of the second index.
async fn a_ledger_whose_indexes_cannot_be_made_now_takes_the_repair(bed: impl Bed) {
    with_victim(&bed).await;
    bed.sql(bed.first_layout()).await;
    let session = bed.session().await;
    let (obstacle, made) = if bed.locks_the_file() {
        ("CREATE TABLE beatwarden_repairs_table_job (a)", 1)
    } else {
        ("BEGIN; UPDATE beatwarden_repairs SET watch = watch", 0)
    };
    session.run(obstacle).await;
    failed(&bed).await;
    assert_eq!(bed.count("_table_").await, made, "each is made alone");
    let mut store = bed.store(Action::Fail);
    assert_eq!(snapshot(&mut store).await.newest_repairs.len(), 2);
    let lacks = store.survey().await.unwrap().missing_ledger_indexes;
    assert_eq!(lacks.len() as i64, ALL, "{lacks:?}");
}

async fn the_indexes_that_a_ledger_lacks_can_be_made_by_hand(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store(Action::Fail);
    snapshot(&mut store).await;
    assert_eq!(
        store.survey().await.unwrap().missing_ledger_indexes,
        [""; 0],
        "there is none"
    );
    bed.sql(bed.first_layout()).await;
    let lacks = store.survey().await.unwrap().missing_ledger_indexes;
    assert!(lacks.iter().all(|sql| !sql.contains('\n')), "{lacks:?}");
    bed.sql(&lacks.join("\n")).await;
    assert_eq!(bed.count("_table_").await, ALL);
    assert_eq!(store.survey().await.unwrap().missing_ledger_indexes, [""; 0]);
}
