//! Finding running jobs by the key alone, the same for every database: what the tail sees at once, what it can't see and
//! the full look finds, and when the way is taken at all.

use super::{Bed, PostgresBed, SqliteBed, Written, ids, job, look, snapshot};
use crate::support::Session;
use beatwarden::{
    domain::{Access, Action, Coverage, Discovery, JobId, Newcomers, Snapshot},
    store::{DiscoverySetting, ObserveRequest, Store, TimeBudget},
};
use std::{collections::BTreeSet, time::Duration};

contract!(
    new_jobs_and_known_ones_are_found_by_their_keys,
    a_row_that_returns_to_a_running_state_is_found_by_the_full_look,
    a_start_reads_what_runs_and_what_began_within_the_window,
    a_full_look_over_many_pages_ends_and_starts_again,
    known_jobs_are_reported_whether_they_lie_close_or_alone,
    a_deleted_newest_row_is_no_reset,
    unlisted_states_are_bounded,
    an_emptied_table_that_counts_from_one_again_is_seen_at_once,
    a_table_that_was_restored_to_an_older_state_is_read_again,
    deleted_rows_are_gone,
    the_way_is_chosen_by_what_a_scan_would_cost,
    a_table_whose_rows_are_not_born_running_is_asked_by_state,
    thousands_that_begin_at_once_are_each_read_once,
);

/// Reads as the watch does: everything that the last one found running is known.
async fn again(store: &mut impl Store, before: &Snapshot, kind: Coverage) -> Snapshot {
    let running = before.rows.iter().filter(|job| job.state.as_deref() == Some("RUNNING"));
    let request = ObserveRequest::whole(running.map(|job| job.id.clone()).collect(), kind);
    store
        .observe(&request)
        .await
        .unwrap_or_else(|error| panic!("{}", error.chain()))
}

async fn running(bed: &impl Bed, ids: &[u32]) {
    for id in ids {
        bed.write(&Written::running(*id).started(-5.0)).await;
    }
}

async fn new_jobs_and_known_ones_are_found_by_their_keys(bed: impl Bed) {
    running(&bed, &[10, 11]).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::KeyTail);
    let first = store.observe(&look(Coverage::Full)).await.unwrap();
    assert_eq!(ids(&first), ["10", "11"]);
    assert_eq!(
        (first.discovery, first.access, first.newcomers),
        (Discovery::KeyTail, Access::Index, Newcomers::Followed)
    );
    running(&bed, &[12]).await;
    bed.sql("UPDATE runs SET state = 'SUCCESS' WHERE id = 10").await;
    let second = again(&mut store, &first, Coverage::Ordinary).await;
    assert_eq!(ids(&second), ["10", "11", "12"]);
    assert_eq!(job(&second, 10).state.as_deref(), Some("SUCCESS"));
    assert_eq!(ids(&again(&mut store, &second, Coverage::Ordinary).await), ["11", "12"]);
}

async fn a_row_that_returns_to_a_running_state_is_found_by_the_full_look(bed: impl Bed) {
    for id in [1, 2] {
        let ended = Written::running(id).state("FAIL").started(-500.0).ended(-400.0);
        bed.write(&ended).await;
    }
    running(&bed, &[10]).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::KeyTail);
    let first = store.observe(&look(Coverage::Full)).await.unwrap();
    bed.sql("UPDATE runs SET state = 'RUNNING' WHERE id = 1").await;
    bed.sql("UPDATE runs SET state = 'ODD' WHERE id = 2").await;
    let second = again(&mut store, &first, Coverage::Ordinary).await;
    assert_eq!(
        (ids(&second), second.coverage),
        (vec!["10".to_owned()], Coverage::Ordinary),
        "the tail can't see it"
    );
    let full = again(&mut store, &second, Coverage::Full).await;
    assert_eq!(
        (ids(&full), full.coverage),
        (["1", "10", "2"].map(str::to_owned).to_vec(), Coverage::Full)
    );
    assert_eq!(
        ids(&again(&mut store, &full, Coverage::Ordinary).await),
        ["1", "10"],
        "from then on it is known"
    );
}

/// Reads as a watch in the background does: one page of a full look, and what it knew of is known.
async fn a_page(store: &mut impl Store, before: &[JobId], kind: Coverage) -> Snapshot {
    let request = ObserveRequest {
        budget: TimeBudget::About(Duration::ZERO),
        ..ObserveRequest::whole(before.to_vec(), kind)
    };
    store
        .observe(&request)
        .await
        .unwrap_or_else(|error| panic!("{}", error.chain()))
}

/// Without a page of a full look: what runs, however long ago it began, and what ended lately.
async fn a_start_reads_what_runs_and_what_began_within_the_window(bed: impl Bed) {
    bed.write(&Written::running(1).started(-7_200.0).beat(-1.0)).await;
    bed.write(&Written::running(2).state("SUCCESS").started(-600.0).ended(-1.0))
        .await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::KeyTail);
    let seen = a_page(&mut store, &[], Coverage::Ordinary).await;
    assert_eq!(ids(&seen), ["1", "2"]);
}

/// From the newest rows down, page by page; what comes behind the page is found by the next full look.
async fn a_full_look_over_many_pages_ends_and_starts_again(bed: impl Bed) {
    running(&bed, &[1]).await;
    bed.sql(&bed.many_ended(45_000)).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::KeyTail);
    let mut last = a_page(&mut store, &[], Coverage::Full).await;
    assert_eq!(
        last.coverage,
        Coverage::Ordinary,
        "no page yet: the newest rows come at once"
    );
    last = a_page(&mut store, &[], Coverage::Ordinary).await;
    assert_eq!(last.coverage, Coverage::Ordinary, "the first of many pages");
    bed.sql("UPDATE runs SET state = 'RUNNING' WHERE id IN (5000, 44000)")
        .await;
    let mut found = BTreeSet::new();
    let mut passes = 1;
    while last.coverage != Coverage::Full {
        last = a_page(&mut store, &[], Coverage::Ordinary).await;
        found.extend(ids(&last));
        passes += 1;
        assert!(passes < 100, "it has to end");
    }
    assert!(passes >= 3, "{passes} pages");
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, ["1", "5000"], "before the page, not behind it");
    let full = again(&mut store, &last, Coverage::Full).await;
    assert_eq!(
        (full.coverage, ids(&full)),
        (Coverage::Full, ["1", "44000", "5000"].map(str::to_owned).to_vec())
    );
}

/// Many rows that run close together are read as one range, a lonely one by its key, and one that ended is reported.
async fn known_jobs_are_reported_whether_they_lie_close_or_alone(bed: impl Bed) {
    running(&bed, &[1]).await;
    bed.sql(&bed.many_ended(3_000)).await;
    bed.sql("UPDATE runs SET state = 'RUNNING' WHERE id > 2900 OR id = 1500")
        .await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::KeyTail);
    let first = again_from_nothing(&mut store).await;
    assert_eq!(first.rows.len(), 103);
    bed.sql("UPDATE runs SET state = 'SUCCESS' WHERE id IN (1, 1500, 2950)")
        .await;
    bed.sql("DELETE FROM runs WHERE id = 2960").await;
    let second = again(&mut store, &first, Coverage::Ordinary).await;
    for ended in [1, 1500, 2950] {
        assert_eq!(job(&second, ended).state.as_deref(), Some("SUCCESS"), "{ended}");
    }
    assert!(!ids(&second).contains(&"2960".to_owned()));
    let third = again(&mut store, &second, Coverage::Ordinary).await;
    assert!(third.rows.iter().all(|job| job.state.as_deref() == Some("RUNNING")));
    assert_eq!(third.rows.len(), second.rows.len() - 3);
}

async fn again_from_nothing(store: &mut impl Store) -> Snapshot {
    store
        .observe(&look(Coverage::Full))
        .await
        .unwrap_or_else(|error| panic!("{}", error.chain()))
}

/// The newest row is deleted, and nothing else: the tail continues.
async fn a_deleted_newest_row_is_no_reset(bed: impl Bed) {
    running(&bed, &[10, 11, 12]).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::KeyTail);
    let first = again_from_nothing(&mut store).await;
    running(&bed, &[13]).await;
    bed.sql("DELETE FROM runs WHERE id = 12").await;
    let second = again(&mut store, &first, Coverage::Ordinary).await;
    assert_eq!(ids(&second), ["10", "11", "13"]);
    // An ended newest row is asked for in each pass, and reported in none of them but the first.
    bed.sql("UPDATE runs SET state = 'SUCCESS' WHERE id = 13").await;
    let third = again(&mut store, &second, Coverage::Ordinary).await;
    assert_eq!(ids(&third), ["10", "11", "13"]);
    let fourth = again(&mut store, &third, Coverage::Ordinary).await;
    assert_eq!(ids(&fourth), ["10", "11"]);
    // Set running again it is news at once, although its key is not.
    bed.sql("UPDATE runs SET state = 'RUNNING' WHERE id = 13").await;
    let fifth = again(&mut store, &fourth, Coverage::Ordinary).await;
    assert_eq!(ids(&fifth), ["10", "11", "13"]);
}

/// A million rows in a state that no one listed would fill the memory; a thousand serve the count.
async fn unlisted_states_are_bounded(bed: impl Bed) {
    bed.sql(&bed.many_ended(3_000)).await;
    bed.sql("UPDATE runs SET state = 'ODD'").await;
    running(&bed, &[1]).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::KeyTail);
    let full = again_from_nothing(&mut store).await;
    assert_eq!(full.rows.len(), 1_001, "a thousand, and the running one");
    assert!(ids(&full).contains(&"1".to_owned()));
}

async fn an_emptied_table_that_counts_from_one_again_is_seen_at_once(bed: impl Bed) {
    running(&bed, &[100, 101]).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::KeyTail);
    let first = store.observe(&look(Coverage::Full)).await.unwrap();
    bed.sql("DELETE FROM runs").await;
    let second = again(&mut store, &first, Coverage::Ordinary).await;
    assert_eq!(ids(&second), [] as [&str; 0]);
    running(&bed, &[1]).await;
    let third = again(&mut store, &second, Coverage::Ordinary).await;
    assert_eq!(ids(&third), ["1"]);
    running(&bed, &[2]).await;
    assert_eq!(ids(&again(&mut store, &third, Coverage::Ordinary).await), ["1", "2"]);
}

async fn a_table_that_was_restored_to_an_older_state_is_read_again(bed: impl Bed) {
    running(&bed, &[1, 2, 3]).await;
    bed.sql("UPDATE runs SET state = 'SUCCESS' WHERE id = 1").await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::KeyTail);
    let first = store.observe(&look(Coverage::Full)).await.unwrap();
    // The newest row is gone, and an older one runs again.
    bed.sql("DELETE FROM runs WHERE id = 3").await;
    bed.sql("UPDATE runs SET state = 'RUNNING' WHERE id = 1").await;
    assert_eq!(ids(&again(&mut store, &first, Coverage::Ordinary).await), ["1", "2"]);
}

async fn deleted_rows_are_gone(bed: impl Bed) {
    running(&bed, &[1, 2, 3]).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::KeyTail);
    let first = store.observe(&look(Coverage::Full)).await.unwrap();
    bed.sql("DELETE FROM runs WHERE id = 2").await;
    assert_eq!(ids(&again(&mut store, &first, Coverage::Ordinary).await), ["1", "3"]);
}

async fn the_way_is_chosen_by_what_a_scan_would_cost(bed: impl Bed) {
    running(&bed, &[1]).await;
    let mut store = bed.store(Action::Observe);
    assert_eq!(
        snapshot(&mut store).await.discovery,
        Discovery::State,
        "a small table is scanned at no cost"
    );
    bed.sql(&bed.many_ended(60_000)).await;
    let full = store.observe(&look(Coverage::Full)).await.unwrap();
    assert_eq!(
        full.discovery,
        Discovery::KeyTail,
        "it has grown: chosen again at the full look"
    );
    assert_eq!(full.access, Access::Index);
    let by_state = snapshot(&mut bed.store_by(Action::Observe, DiscoverySetting::State)).await;
    assert_eq!(
        (by_state.discovery, by_state.access),
        (Discovery::State, Access::Scan),
        "as it was asked for"
    );
    bed.sql("CREATE INDEX by_state ON runs (state)").await;
    let full = store.observe(&look(Coverage::Full)).await.unwrap();
    assert_eq!(
        (full.discovery, full.access),
        (Discovery::State, Access::Index),
        "an index sees everything at once"
    );
}

async fn a_table_whose_rows_are_not_born_running_is_asked_by_state(bed: impl Bed) {
    running(&bed, &[1]).await;
    let mut store = bed.store_not_born_running();
    let seen = store.observe(&look(Coverage::Full)).await.unwrap();
    assert_eq!((seen.discovery, seen.newcomers), (Discovery::State, Newcomers::Unseen));
}

/// As many as fit one pass are read by it, and no pass leaves one out or reads one twice.
async fn thousands_that_begin_at_once_are_each_read_once(bed: impl Bed) {
    running(&bed, &[1]).await;
    for discovery in [DiscoverySetting::State, DiscoverySetting::KeyTail] {
        let mut store = bed.store_by(Action::Observe, discovery);
        let mut last = store.observe(&look(Coverage::Full)).await.unwrap();
        bed.sql(&bed.many_ended(45_000)).await;
        running(&bed, &[45_002]).await;
        let mut read = Vec::new();
        loop {
            last = again(&mut store, &last, Coverage::Ordinary).await;
            let ended = last.rows.iter().filter(|job| job.state.as_deref() != Some("RUNNING"));
            let before = read.len();
            read.extend(ended.filter_map(|job| job.id.number()));
            if read.len() == before {
                break;
            }
        }
        assert!(read.iter().copied().eq(2..=45_001), "{} rows", read.len());
        assert_eq!(ids(&last), ["1", "45002"]);
        bed.sql("DELETE FROM runs WHERE id > 1").await;
    }
}

/// Blocks of the table and its indexes that all passes of the past have read, from memory or disk. A session adds its own when
/// it ends.
async fn blocks(bed: &PostgresBed) -> i64 {
    bed.end_sessions().await;
    bed.sql("SELECT pg_stat_force_next_flush()").await;
    bed.number(
        "SELECT heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit FROM pg_statio_user_tables
          WHERE relname = 'runs'",
    )
    .await
}

/// A sequence that increments by ten, and one whose every thirtieth key is rolled back: neither makes a pass expensive.
#[tokio::test]
async fn keys_that_are_missing_for_good_cost_a_pass_few_blocks_on_postgresql() {
    let by_ten = "SELECT i * 10, 'SUCCESS' FROM generate_series(1, 600) AS i";
    let rolled_back = "SELECT i, 'SUCCESS' FROM generate_series(2, 90000) AS i WHERE i % 30 > 0";
    // A transaction of another test may keep some keys open.
    for (missing, most) in [(by_ten, 60), (rolled_back, 1_200)] {
        let bed = PostgresBed::new().await;
        running(&bed, &[1]).await;
        let mut store = bed.store_by(Action::Observe, DiscoverySetting::KeyTail);
        let mut last = store.observe(&look(Coverage::Full)).await.unwrap();
        bed.sql(&format!("INSERT INTO runs (id, state) {missing}")).await;
        bed.sql("VACUUM ANALYZE runs").await;
        for _ in 0..12 {
            last = again(&mut store, &last, Coverage::Ordinary).await;
        }
        let before = blocks(&bed).await;
        for _ in 0..50 {
            last = again(&mut store, &last, Coverage::Ordinary).await;
        }
        assert_eq!(ids(&last), ["1"]);
        let each = (blocks(&bed).await - before) / 50;
        assert!(each < most, "{each} blocks of the table in each pass");
    }
}

/// A key is taken before its transaction commits: the lower one appears after the higher one.
#[tokio::test]
async fn a_key_that_commits_late_is_found_on_postgresql() {
    // One that has ended by then, too.
    for state in ["RUNNING", "SUCCESS"] {
        let bed = PostgresBed::new().await;
        running(&bed, &[1]).await;
        let mut store = bed.store_by(Action::Observe, DiscoverySetting::KeyTail);
        let first = store.observe(&look(Coverage::Full)).await.unwrap();
        let insert = format!("INSERT INTO runs (id, state, started_at) VALUES (2, '{state}', now())");
        let late = bed.client_in_transaction(&insert).await;
        running(&bed, &[3]).await;
        let second = again(&mut store, &first, Coverage::Ordinary).await;
        assert_eq!(ids(&second), ["1", "3"]);
        late.run("COMMIT").await;
        assert_eq!(
            ids(&again(&mut store, &second, Coverage::Ordinary).await),
            ["1", "2", "3"],
            "{state}"
        );
    }
}

/// The same after a start: what was open when the newest rows were first read.
#[tokio::test]
async fn a_key_that_was_open_at_the_first_look_is_found_on_postgresql() {
    let bed = PostgresBed::new().await;
    running(&bed, &[1]).await;
    let late = bed
        .client_in_transaction("INSERT INTO runs (id, state, started_at) VALUES (2, 'RUNNING', now())")
        .await;
    running(&bed, &[3]).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::KeyTail);
    let first = store.observe(&look(Coverage::Full)).await.unwrap();
    assert_eq!(ids(&first), ["1", "3"]);
    late.run("COMMIT").await;
    assert_eq!(
        ids(&again(&mut store, &first, Coverage::Ordinary).await),
        ["1", "2", "3"]
    );
}
