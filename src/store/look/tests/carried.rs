//! What a pass leaves to the next, and what has to be asked again.

use super::{super::carried::Way, *};
use crate::domain::Guard;

fn asks_facts(database: &Scripted) -> bool {
    database.asks(|question| *question == Question::Facts)
}

#[test]
fn running_jobs_are_found_by_a_growing_key_where_that_is_wanted_or_only_an_expensive_scan_finds_them() {
    use DiscoverySetting as Wanted;
    let way = |access, is_expensive, wanted, grows| Way::choose(AccessPlan { access, is_expensive }, wanted, grows);
    for (access, is_expensive, wanted, expected) in [
        (Access::Scan, true, Wanted::Auto, Discovery::KeyTail),
        (Access::Scan, false, Wanted::Auto, Discovery::State),
        (Access::Index, true, Wanted::Auto, Discovery::State),
        (Access::Index, false, Wanted::KeyTail, Discovery::KeyTail),
        (Access::Scan, true, Wanted::State, Discovery::State),
    ] {
        assert_eq!(way(access, is_expensive, wanted, true).discovery, expected);
        assert_eq!(way(access, is_expensive, wanted, false).discovery, Discovery::State);
    }
}

#[test]
fn how_long_good_runs_take_is_asked_in_full_looks_where_jobs_are_failed_for_their_age() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    database.mapping.max_runtime = Some(Duration::from_secs(3_600));
    database.mapping.ended_at = Some(Identifier::new("ended_at").unwrap());
    database.longest = LongestRun::Took(Duration::from_secs(3_600));
    for (action, coverage, is_asked, obstacles) in [
        (Action::Fail, ORDINARY, true, 1),
        (Action::Fail, ORDINARY, false, 1),
        (Action::Fail, FULL, true, 1),
        (Action::Observe, FULL, false, 0),
    ] {
        database.action = action;
        assert_eq!(
            database.pass(coverage, &[1]).obstacles.len(),
            obstacles,
            "{action} {coverage:?}"
        );
        assert_eq!(database.asks(|question| *question == Question::LongestRun), is_asked);
    }
}

#[test]
fn new_rows_are_followed_where_the_key_grows_and_the_start_is_in_the_row() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    assert_eq!(database.pass(ORDINARY, &[]).newcomers, Newcomers::Followed);
    database.grows = false;
    assert_eq!(database.pass(ORDINARY, &[]).newcomers, Newcomers::Unseen);
    database.grows = true;
    database.mapping.started_at.elsewhere = Some(crate::mapping::Elsewhere {
        table: TableName::parse("starts").unwrap(),
        key: Identifier::new("run_id").unwrap(),
        matching: Identifier::new("id").unwrap(),
        prefix: None,
        conditions: Vec::new(),
    });
    assert_eq!(database.pass(ORDINARY, &[]).newcomers, Newcomers::Unseen);
}

#[test]
fn facts_hold_for_one_entry_of_the_catalog_on_one_server_until_they_are_forgotten() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    database.pass(ORDINARY, &[]);
    let changes: [fn(&mut Scripted); 3] = [
        |database| database.version = "2",
        |database| database.server = "b/1",
        |database| database.carried.forget_facts(),
    ];
    for change in changes {
        change(&mut database);
        for due in [true, false] {
            database.pass(ORDINARY, &[1]);
            assert_eq!(asks_facts(&database), due);
        }
    }
    assert!(!database.carried.has_ledger());
    database.facts.ledger_exists = true;
    database.carried.forget_facts();
    database.pass(ORDINARY, &[1]);
    assert!(database.carried.has_ledger());
}

#[test]
fn through_another_connection_all_is_asked_again_but_where_the_tail_is_and_whether_there_was_a_guard() {
    let mut database = Scripted::new(Discovery::KeyTail, [(1, "RUNNING"), (2, "RUNNING")]);
    database.facts.guard.guard = Guard::Sound;
    database.pass_within(FULL, &[], TimeBudget::Unlimited);
    database.facts.guard.guard = Guard::Absent;
    database.carried.begin_again();
    database.rows.insert(3, "SUCCESS");
    assert_eq!(ids(&database.pass(ORDINARY, &[1, 2])), [1, 2, 3]);
    for asked in [Question::AccessPlan, Question::Facts, Question::LedgerNewest] {
        assert!(database.asks(|question| *question == asked), "{asked:?}");
    }
    assert!(!database.asks(|question| matches!(question, Question::Newest { .. })));
    database.now += Duration::from_secs(6);
    database.pass(ORDINARY, &[1, 2]);
    assert!(asks_facts(&database), "they are short-lived");
}

#[test]
fn a_full_look_is_in_progress_from_its_first_page_to_its_last() {
    let mut database = Scripted::new(Discovery::KeyTail, (1..=45_000).map(|id| (id, "SUCCESS")));
    assert!(!database.carried.is_in_full_look());
    database.pass(ORDINARY, &[]);
    assert!(database.carried.is_in_full_look());
    database.pass_within(FULL, &[], TimeBudget::Unlimited);
    assert!(!database.carried.is_in_full_look());
}

#[test]
fn what_a_lost_snapshot_had_is_read_again() {
    let odd = |id| if id == 30_000 { "ODD" } else { "SUCCESS" };
    // Where another process has repaired a job meanwhile, the pass begins again once it has the entries.
    let ways = [Discovery::State, Discovery::KeyTail].map(|discovery| [(discovery, false), (discovery, true)]);
    for (discovery, is_repaired) in ways.into_iter().flatten() {
        let mut database = Scripted::new(discovery, (1..=45_000).map(|id| (id, odd(id))));
        database.pass(ORDINARY, &[]);
        database.rows.insert(45_001, "SUCCESS");
        let has_both = |found: &[i64]| found.contains(&30_000) && found.contains(&45_001);
        assert!(has_both(&ids(&database.pass(ORDINARY, &[]))), "{discovery:?}");
        if is_repaired {
            database.repair(1);
        }
        database.lost_last = true;
        let mut found = ids(&database.pass(ORDINARY, &[]));
        database.lost_last = false;
        while database.carried.is_in_full_look() {
            found.extend(ids(&database.pass(ORDINARY, &[])));
        }
        assert!(has_both(&found), "{discovery:?}, {is_repaired}: {} rows", found.len());
    }
}
