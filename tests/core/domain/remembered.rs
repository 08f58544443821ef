//! What a pass remembers of the last one: names and their labels, starts that were left, and events that are reported once.

use super::*;
use beatwarden::domain::{Left, SharedText};

fn named(id: u32, name: &str, beat: f64) -> Job {
    Job {
        name: Some(name.into()),
        ..job(id, "RUNNING", Some(-10.0), Some(beat))
    }
}

fn shown_names(dog: &mut Watchdog, now: f64) -> Vec<Option<String>> {
    let plan = dog.look(now);
    let report = dog.conclude(now, plan, Vec::new());
    let names = report.ages_by_name.into_keys();
    names.map(|name| name.map(|name| name.to_string())).collect()
}

#[test]
fn a_running_job_that_is_renamed_is_shown_under_its_new_name() {
    let mut dog = Watchdog::new(Action::Observe);
    for (now, name) in [(0.0, "old"), (5.0, "old"), (10.0, "new")] {
        dog.rows = vec![named(1, name, now)];
        assert_eq!(shown_names(&mut dog, now), [Some(name.to_owned())]);
    }
}

#[test]
fn a_name_that_found_all_labels_taken_gets_the_first_that_is_free() {
    let mut dog = Watchdog::new(Action::Observe);
    dog.rows = (0..101).map(|id| named(id, &format!("name-{id}"), 0.0)).collect();
    assert_eq!(dog.look(0.0).names_dropped, 1);
    let names = shown_names(&mut dog, 1.0);
    assert!(names.contains(&None) && names.contains(&Some("name-0".into())));
    // The job of one of them ends; a while later its label changes its name.
    let last = dog
        .rows
        .iter()
        .position(|row| row.name.as_deref() == Some("name-0"))
        .unwrap();
    dog.rows.remove(last);
    for pass in 1..20 {
        shown_names(&mut dog, f64::from(pass) * 5.0);
    }
    let names = shown_names(&mut dog, 100.0);
    assert_eq!(names.len(), 100);
    assert!(!names.contains(&None) && !names.contains(&Some("name-0".into())));
}

#[test]
fn a_job_is_reported_as_stuck_once_and_as_left_when_it_starts_again() {
    let mut dog = Watchdog::new(Action::Observe);
    dog.rows = vec![
        job(1, "RUNNING", Some(1.0), None),
        job(2, "RUNNING", Some(1.0), Some(2.0)),
    ];
    dog.look_through(5.0, 100.0);
    let stuck = |dog: &Watchdog| {
        let events = dog.events.iter();
        events
            .filter(|event| matches!(event, Event::Stuck(..)))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(stuck(&dog), [Event::Stuck(JobId::new("1"), Phase::MissedFirst)]);
    dog.rows = vec![
        job(1, "RUNNING", Some(101.0), None),
        job(2, "RUNNING", Some(101.0), None),
    ];
    dog.events.clear();
    dog.look(105.0);
    let left: Vec<_> = dog
        .events
        .iter()
        .filter(|event| matches!(event, Event::Left(..)))
        .collect();
    let expected = Event::Left(JobId::new("1"), Some("pipeline".into()), Left::Restarted);
    assert_eq!(left, [&expected], "the other was not stuck");
}

#[test]
fn a_stuck_job_that_ends_or_is_gone_is_reported_as_left_and_how() {
    let mut dog = Watchdog::new(Action::Observe);
    dog.rows = (1..=3).map(|id| job(id, "RUNNING", Some(-1000.0), None)).collect();
    dog.look(0.0);
    dog.events.clear();
    dog.rows = vec![
        job(1, "SUCCESS", Some(-1000.0), None),
        job(3, "RUNNING", Some(-1000.0), None),
    ];
    dog.look(5.0);
    let name: Option<SharedText> = Some("pipeline".into());
    let ended = Event::Left(JobId::new("1"), name.clone(), Left::Ended(Some("SUCCESS".into())));
    let gone = Event::Left(JobId::new("2"), name, Left::Gone);
    let left: Vec<_> = dog
        .events
        .iter()
        .filter(|event| matches!(event, Event::Left(..)))
        .collect();
    assert_eq!(left, [&ended, &gone]);
}

/// A failover that lost a new start brings the one before it back.
#[test]
fn a_start_that_comes_back_has_no_second_init() {
    let mut dog = Watchdog::new(Action::Observe);
    dog.look(0.0);
    for (now, start, beat) in [(5.0, 1.0, 2.0), (10.0, 6.0, 7.0), (15.0, 1.0, 11.0)] {
        dog.rows = vec![job(1, "RUNNING", Some(start), Some(beat))];
        dog.look(now);
    }
    assert_eq!(dog.inits(), (2, 0));
    // So does one that lost a deletion; what was not decided before it is decided after it.
    dog.rows = vec![
        job(2, "RUNNING", Some(16.0), Some(17.0)),
        job(3, "RUNNING", Some(16.0), None),
    ];
    dog.look(20.0);
    let beating = |id| job(id, "RUNNING", Some(16.0), Some(26.0));
    dog.rows.clear();
    dog.look(25.0);
    dog.rows = vec![beating(2), beating(3)];
    dog.look(30.0);
    assert_eq!(dog.inits(), (4, 0));
}

/// The events of a look at a table with so many rows without a key, and such a guard.
fn events(dog: &mut Watchdog, now: f64, keyless: u64, guard: Guard) -> Vec<Event> {
    let mut observation = dog.observation(now);
    (observation.snapshot.keyless, observation.snapshot.guard) = (keyless, guard);
    let (memory, plan) = plan(std::mem::take(&mut dog.memory), &observation, &dog.policy);
    dog.memory = memory;
    assert_eq!(plan.unreadable, keyless);
    plan.events
}

#[test]
fn rows_without_a_key_are_reported_when_there_are_some_where_there_were_none() {
    let mut dog = Watchdog::new(Action::Observe);
    for (now, keyless, is_news) in [
        (0.0, 0, false),
        (5.0, 3, true),
        (10.0, 4, false),
        (15.0, 0, false),
        (20.0, 1, true),
    ] {
        let expected = Vec::from_iter(is_news.then_some(Event::Keyless(keyless)));
        assert_eq!(events(&mut dog, now, keyless, Guard::Absent), expected);
    }
}

#[test]
fn a_guard_is_reported_when_it_changes() {
    let mut dog = Watchdog::new(Action::Observe);
    let changes = [Guard::Sound, Guard::Sound, Guard::Disabled].map(|guard| events(&mut dog, 0.0, 0, guard));
    assert_eq!(
        changes,
        [vec![], vec![], vec![Event::Guard(Guard::Sound, Guard::Disabled)]]
    );
}

#[test]
fn the_fuse_is_reported_when_it_opens_and_when_it_closes() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.rows = mass_silence(40, 0, 0.0);
    dog.look_through(0.0, 100.0);
    dog.rows.clear();
    dog.look_through(105.0, 150.0);
    let fuse: Vec<_> = dog
        .events
        .iter()
        .filter(|event| matches!(event, Event::Fuse(_)))
        .collect();
    assert_eq!(fuse, [&Event::Fuse(true), &Event::Fuse(false)]);
}

#[test]
fn a_heartbeat_that_changes_to_one_ahead_counts_from_then() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.rows = vec![job(1, "RUNNING", Some(-100.0), Some(-1.0))];
    dog.look(0.0);
    dog.rows[0].heartbeat_at = TimeValue::from(at(3600.0));
    assert_eq!(phase(&dog.look_through(5.0, 300.0)), Phase::Beating);
    assert_eq!(phase(&dog.look_through(305.0, 310.0)), Phase::Lost);
}

#[test]
fn a_first_heartbeat_that_is_only_seen_late_is_a_success_where_it_came_in_time() {
    for (after, inits) in [(59.9, (1, 0)), (60.0, (0, 1)), (70.0, (0, 1))] {
        let mut dog = Watchdog::new(Action::Observe);
        let start = -59.0;
        // Past its deadline when it is first seen, and begun within one of our first pass.
        dog.look(0.0);
        dog.rows = vec![job(1, "RUNNING", Some(start), None)];
        dog.look(5.0);
        dog.rows = vec![job(1, "RUNNING", Some(start), Some(start + after))];
        dog.look(12.0);
        assert_eq!(dog.inits(), inits, "after {after} s");
        let is_late = dog.events.contains(&Event::LateFirstHeartbeat(JobId::new("1")));
        assert_eq!(is_late, inits.1 == 1, "after {after} s");
    }
}

#[test]
fn two_clocks_may_differ_by_a_tenth_of_what_lies_between_two_passes() {
    for (offset, restarts) in [(9.9, false), (10.1, true), (-9.9, false), (-10.1, true)] {
        let mut dog = Watchdog::new(Action::Backfill);
        dog.look(0.0);
        dog.offset = offset;
        let mut observation = dog.observation(100.0);
        observation.interval = SECOND * 60;
        let (_, plan) = plan(std::mem::take(&mut dog.memory), &observation, &dog.policy);
        let is_restart = |event: &Event| matches!(event, Event::WatchingRestarted(Restarted::Clock(_)));
        assert_eq!(plan.events.iter().any(is_restart), restarts, "{offset}");
    }
}

#[test]
fn a_job_that_began_two_seconds_after_a_restart_is_not_older_than_it() {
    for (start, expected) in [(-18.001, Some(Cause::DbRestart)), (-18.0, None)] {
        let mut dog = Watchdog::new(Action::Fail);
        dog.server_started_at = Some(at(-20.0));
        dog.rows = vec![job(1, "RUNNING", Some(start), None)];
        assert_eq!(cause(&dog.look_through(0.0, 100.0)), expected);
    }
}

#[test]
fn a_miss_that_was_seen_to_come_is_a_failure_at_once() {
    let mut dog = Watchdog::new(Action::Observe);
    dog.rows = vec![job(1, "RUNNING", Some(-50.0), None)];
    dog.look_through(0.0, 5.0);
    assert_eq!(dog.inits(), (0, 0));
    dog.look(10.0);
    assert_eq!(dog.inits(), (0, 1));
}
