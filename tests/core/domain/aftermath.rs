//! Which of the repaired jobs a pass reads: the recent ones, and the others in turn.

use super::*;
use std::collections::BTreeMap;

/// A dog beside a ledger with a `fail` for each number: of the job of that number, so many seconds before the test's zero.
fn beside(repairs: impl IntoIterator<Item = (u32, f64)>) -> Watchdog {
    let mut dog = Watchdog::new(Action::Fail);
    for (number, ago) in repairs {
        let mut fail = entry(LedgerAction::Fail, number, Some(-90_000.0));
        (fail.repair_id, fail.repaired_at) = (RepairId(u128::from(number)), at(-ago));
        fail.heartbeat_after = Some(TimeValue::ABSENT);
        dog.newest.push(fail);
        dog.rows.push(job(number, "FAIL", Some(-90_000.0), None));
    }
    dog.newest.sort_by_key(|entry| std::cmp::Reverse(entry.repaired_at));
    dog
}

fn due(dog: &Watchdog) -> BTreeSet<String> {
    dog.memory.known_jobs().map(|id| id.text().into_owned()).collect()
}

#[test]
fn a_thousand_repairs_of_a_day_are_read_in_turn_each_within_five_minutes() {
    // Twice as many as stay under watch, the last one half an hour ago.
    let mut dog = beside((1..=2_000).map(|number| (number, 1_800.0 + f64::from(number) * 40.0)));
    dog.look(0.0);
    assert_eq!(due(&dog).len(), 1_000, "after a start all are read once");
    let mut read: BTreeMap<String, u32> = BTreeMap::new();
    for pass in 1..=60 {
        dog.look(f64::from(pass) * 5.0);
        let due = due(&dog);
        assert_eq!(due.len(), 17, "5 s are a sixtieth of five minutes");
        for id in due {
            *read.entry(id).or_default() += 1;
        }
    }
    assert_eq!(read.len(), 1_000);
    assert!(read.values().all(|times| (1..=2).contains(times)));
}

#[test]
fn the_recent_repairs_are_read_in_each_pass_a_hundred_at_most() {
    let mut dog = beside((1..=300).map(|number| (number, f64::from(number))));
    dog.look(0.0);
    assert_eq!(due(&dog).len(), 300);
    let newest: BTreeSet<String> = (1..=100).map(|number| number.to_string()).collect();
    for pass in 1..=20 {
        dog.look(f64::from(pass) * 5.0);
        let due = due(&dog);
        assert!(due.is_superset(&newest));
        assert_eq!(due.len(), 100 + 4, "and a sixtieth of the others");
    }
    // Ten minutes after the repair none is recent.
    dog.look_through(105.0, 700.0);
    assert_eq!(due(&dog).len(), 5);
}

#[test]
fn a_job_that_is_found_alive_is_read_until_that_is_written_down() {
    let mut dog = beside((1..=100).map(|number| (number, 3_600.0 + f64::from(number))));
    dog.look_through(0.0, 10.0);
    let mut table = std::mem::take(&mut dog.rows);
    table[49].state = Some("SUCCESS".into());
    // A pass reads the rows that are due.
    let look = |dog: &mut Watchdog, now| {
        let due = due(dog);
        let rows = table.iter().filter(|row| due.contains(&*row.id.text()));
        dog.rows = rows.cloned().collect();
        dog.look(now)
    };
    let mut now = 15.0;
    while look(&mut dog, now).findings.is_empty() {
        now += 5.0;
        assert!(now <= 320.0, "within five minutes and a pass");
    }
    for _ in 0..10 {
        now += 5.0;
        assert!(due(&dog).contains("50"));
        let plan = look(&mut dog, now);
        assert_eq!((plan.findings.len(), plan.fuse_open), (1, true));
    }
    dog.newest[49].outcome = Some(LateOutcome::FalseRepair);
    let plan = look(&mut dog, now + 5.0);
    assert_eq!((plan.findings.len(), plan.fuse_open), (0, true));
    for pass in 2..=62 {
        assert!(!due(&dog).contains("50"));
        look(&mut dog, now + f64::from(pass) * 5.0);
    }
}

#[test]
fn jobs_that_are_gone_are_read_in_turn_like_those_that_are_there() {
    let mut dog = beside((1..=300).map(|number| (number, 3_600.0 + f64::from(number))));
    dog.rows.clear();
    dog.look(0.0);
    dog.look(5.0);
    assert_eq!(due(&dog).len(), 5);
}

#[test]
fn only_another_heartbeat_than_stood_after_the_repair_is_a_sign_of_life() {
    let mut dog = beside([(1, 3_600.0)]);
    dog.newest[0].heartbeat_after = Some(TimeValue::from(at(-4_000.0)));
    for (now, beat, is_found) in [
        (0.0, Some(-4_000.0), false),
        (5.0, None, false),
        (10.0, Some(-10.0), true),
    ] {
        dog.rows = vec![job(1, "FAIL", Some(-90_000.0), beat)];
        dog.look(now);
        assert_eq!(!dog.look(now + 1.0).findings.is_empty(), is_found, "{beat:?}");
    }
}

#[test]
fn where_passes_are_rare_every_one_reads_all() {
    let mut dog = beside((1..=500).map(|number| (number, 3_600.0 + f64::from(number))));
    for pass in 0..5 {
        let mut observation = dog.observation(f64::from(pass) * 600.0);
        observation.interval = SECOND * 600;
        dog.memory = plan(std::mem::take(&mut dog.memory), &observation, &dog.policy).0;
        assert_eq!(due(&dog).len(), 500);
    }
}

#[test]
fn a_repair_that_a_failover_lost_is_no_false_one_where_its_job_is_as_it_was_before() {
    for (server, found) in [("primary", 1), ("standby", 0)] {
        let mut dog = beside([(1, 30.0)]);
        dog.look_through(0.0, 10.0);
        dog.server = server;
        dog.rows = vec![job(1, "RUNNING", Some(-90_000.0), None)];
        if server == "standby" {
            dog.newest.clear();
        }
        assert_eq!(dog.look(15.0).findings.len(), found, "{server}");
    }
}
