//! What a report shows of a pass: what became of the repairs, counts, which jobs come first, what comes next, and why the fuse is
//! open.

use super::*;
use beatwarden::domain::Blocking;

const DAY: f64 = 86_400.0;

fn dead(id: u32) -> Job {
    job(id, "RUNNING", Some(-1000.0), None)
}

fn shown(report: &Report) -> Vec<String> {
    report.jobs.iter().map(|line| line.id.to_string()).collect()
}

fn outcomes() -> [(Outcome, Option<Cause>, bool); 9] {
    [
        (Outcome::Already, Some(Cause::Repaired), true),
        (Outcome::Locked, Some(Cause::Locked), true),
        (Outcome::LostRace, Some(Cause::LostRace), true),
        (Outcome::Failed("refused".into()), None, true),
        (Outcome::NotLeader, Some(Cause::NotLeader), false),
        (Outcome::NoLedger("no right".into()), Some(Cause::NoLedger), false),
        (Outcome::Shutdown, Some(Cause::Shutdown), false),
        (Outcome::Postponed, Some(Cause::Limit), false),
        (Outcome::Unknown("silence".into()), None, false),
    ]
}

#[test]
fn each_outcome_withholds_the_job_for_a_cause_of_its_own_and_those_of_the_row_send_it_to_the_back() {
    for (outcome, cause, goes_back) in outcomes() {
        let mut dog = Watchdog::new(Action::Fail);
        dog.policy.max_per_pass = 1;
        dog.rows = vec![dead(1), dead(2)];
        let plan = dog.look_through(0.0, 60.0);
        let report = dog.settle(60.0, plan, &outcome);
        assert_eq!(report.jobs[0].withheld_cause, cause, "{outcome:?}");
        assert_eq!((report.repaired(), report.stuck()), (0, 2), "{outcome:?}");
        let next = dog.look(65.0).repairs[0].job.id.to_string();
        assert_eq!(next, if goes_back { "2" } else { "1" }, "{outcome:?}");
    }
}

#[test]
fn the_outcome_of_another_repair_leaves_the_missing_answer_missing() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.rows = vec![dead(1), dead(2)];
    let plan = dog.look_through(0.0, 60.0);
    let attempt = |index: usize, outcome| Attempted {
        repair: plan.repairs[index].clone(),
        outcome,
    };
    let attempts = vec![
        attempt(0, Outcome::Unknown("silence".into())),
        attempt(1, Outcome::Repaired(RepairId(2))),
    ];
    dog.conclude(60.0, plan.clone(), attempts);
    let unresolved = dog.look(65.0).unresolved.expect("it is asked for first");
    assert_eq!(unresolved.job.id, JobId::new("1"));
}

/// Of each phase one, and two that missed their first heartbeat: without any, and with a seeded one.
fn of_each_phase() -> Vec<Job> {
    vec![
        dead(1),
        job(2, "RUNNING", Some(-2000.0), Some(-400.0)),
        job(3, "RUNNING", Some(-2000.0), Some(-10.0)),
        job(4, "RUNNING", Some(-5.0), None),
        job(5, "RUNNING", Some(-8.0 * DAY), None),
        job(6, "RUNNING", Some(-1000.0), Some(-1000.0)),
    ]
}

#[test]
fn jobs_are_counted_by_what_they_mean_and_shown_the_worst_first() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.rows = of_each_phase();
    let plan = dog.look(0.0);
    let report = dog.conclude(0.0, plan, Vec::new());
    let counts = [
        (Phase::Starting, 1),
        (Phase::Beating, 1),
        (Phase::MissedFirst, 2),
        (Phase::Lost, 1),
        (Phase::Abandoned, 1),
    ];
    assert!(counts.iter().all(|(phase, count)| report.count(*phase) == *count));
    assert_eq!((report.stuck(), report.withheld[&Cause::Watching]), (3, 2));
    assert_eq!(
        report.oldest_sign,
        Some(at(-1000.0)),
        "an abandoned one counts for nothing"
    );
    assert_eq!(report.oldest_beating, Some(at(-10.0)));
    assert!(report.repair_enabled);
    // By the writer's rule 1 is alive for a day, and 2 and 6 are dead for minutes.
    assert_eq!(report.blocking, Some(1));
    let frees: Vec<_> = report.jobs.iter().map(|line| line.writer_frees_at).collect();
    assert_eq!(
        frees[..3],
        [-1000.0 + DAY, -700.0, -100.0].map(|seconds| Some(at(seconds)))
    );
    let blocking: Vec<_> = report.jobs.iter().map(|line| line.blocking).collect();
    let until = Blocking::Until(at(-1000.0 + DAY));
    assert_eq!(blocking[..3], [until, Blocking::Leftover, Blocking::Leftover].map(Some));
    assert_eq!(
        (until.until(), Blocking::Leftover.until()),
        (Some(at(-1000.0 + DAY)), None)
    );
    assert_eq!(blocking[3..], [None, None]);
    assert_eq!(shown(&report), ["1", "6", "2", "3", "4"]);
    assert_eq!(report.jobs[2].age, Duration::from_secs(400));
}

#[test]
fn only_a_job_that_the_action_is_for_has_a_time_at_which_it_is_due() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.rows = of_each_phase();
    dog.rows[3].started_at = TimeValue::from(at(1.5));
    let plan = dog.look(0.0);
    let report = dog.conclude(0.0, plan, Vec::new());
    let due: Vec<_> = report
        .jobs
        .iter()
        .map(|line| (line.id.to_string(), line.next_action, line.due_at))
        .collect();
    let fail = |id: &str, due: f64| (id.to_owned(), Some(Action::Fail), Some(at(due)));
    let nothing = |id: &str| (id.to_owned(), None, None);
    let expected = [
        fail("1", 60.0),
        fail("6", 60.0),
        nothing("2"),
        nothing("3"),
        fail("4", 61.5),
    ];
    assert_eq!(due, expected);
    let next = report.next.unwrap();
    assert_eq!((next.id, next.due_at), (JobId::new("1"), Some(at(60.0))));
    // A backfill is for none that has a heartbeat, and nothing is done where it is observed.
    for (action, expected) in [(Action::Backfill, vec!["1", "4"]), (Action::Observe, vec![])] {
        dog.policy.action = action;
        dog.memory = Memory::default();
        let plan = dog.look(0.0);
        let report = dog.conclude(0.0, plan, Vec::new());
        let lines = report.jobs.iter().filter(|line| line.next_action.is_some());
        assert_eq!(lines.map(|line| line.id.to_string()).collect::<Vec<_>>(), expected);
        assert_eq!(report.next.is_some(), action != Action::Observe);
        assert_eq!(report.repair_enabled, action != Action::Observe);
    }
}

#[test]
fn where_an_obstacle_hinders_the_watch_no_repair_could_be_made() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.obstacle = Some(Cause::ReadOnly);
    let plan = dog.look(0.0);
    assert!(!dog.conclude(0.0, plan, Vec::new()).repair_enabled);
}

#[test]
fn the_next_repair_is_of_a_job_that_this_pass_did_not_repair_and_that_waits_for_nothing_but_time() {
    let mut dog = Watchdog::new(Action::Backfill);
    dog.policy.max_per_pass = 1;
    dog.rows = vec![dead(1), dead(2)];
    dog.look_through(0.0, 25.0);
    dog.rows.push(job(3, "RUNNING", Some(30.0), None));
    let plan = dog.look_through(30.0, 60.0);
    let report = dog.settle(60.0, plan, &Outcome::Repaired(RepairId(7)));
    assert_eq!(report.repaired(), 1);
    let (one, two) = (&report.jobs[0], &report.jobs[1]);
    assert_eq!(
        (one.repair, one.next_action, one.withheld_cause),
        (Some(RepairId(7)), None, Some(Cause::AwaitingWriter))
    );
    assert_eq!((two.repair, two.withheld_cause), (None, Some(Cause::Limit)));
    let next = report.next.unwrap();
    assert_eq!((next.id, next.due_at), (JobId::new("3"), Some(at(90.0))));
}

#[test]
fn where_nothing_is_known_of_the_writers_rule_no_job_blocks_and_one_part_of_it_is_enough() {
    let (with, without) = (Some(Duration::from_secs(5_000)), None);
    // A job without a heartbeat, and one with a seeded one.
    for (beating, silent, expected) in [
        (without, without, None),
        (with, without, Some(1)),
        (without, with, Some(1)),
        (with, with, Some(2)),
    ] {
        let mut dog = Watchdog::new(Action::Fail);
        dog.policy.writer_stale_after = beating;
        dog.policy.writer_stale_after_without_heartbeat = silent;
        dog.rows = vec![dead(1), job(2, "RUNNING", Some(-1000.0), Some(-1000.0))];
        let plan = dog.look(0.0);
        assert_eq!(dog.conclude(0.0, plan, Vec::new()).blocking, expected);
    }
}

#[test]
fn fifty_jobs_are_shown_those_that_are_silent_for_longest() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.rows = (0..60)
        .map(|id| job(id, "RUNNING", Some(-1000.0 - f64::from(id)), None))
        .collect();
    let plan = dog.look(0.0);
    let report = dog.conclude(0.0, plan, Vec::new());
    let expected: Vec<String> = (10..60).rev().map(|id| id.to_string()).collect();
    assert_eq!(shown(&report), expected);
    dog.rows.drain(..10);
    let plan = dog.look(5.0);
    assert_eq!(shown(&dog.conclude(5.0, plan, Vec::new())), expected, "all there are");
}

#[test]
fn the_writers_clock_is_compared_by_the_newest_heartbeat_that_changed() {
    let mut dog = Watchdog::new(Action::Observe);
    let rows = |one: f64, two: f64| {
        vec![
            job(1, "RUNNING", Some(-100.0), Some(one)),
            job(2, "RUNNING", Some(-100.0), Some(two)),
        ]
    };
    dog.rows = rows(-5.0, -1.0);
    let plan = dog.look(0.0);
    assert_eq!(dog.conclude(0.0, plan, Vec::new()).writer_offset_micros, None);
    dog.rows = rows(3.0, -1.0);
    let plan = dog.look(5.0);
    assert_eq!(
        dog.conclude(5.0, plan, Vec::new()).writer_offset_micros,
        Some(2_000_000)
    );
    let plan = dog.look(10.0);
    let report = dog.conclude(10.0, plan, Vec::new());
    assert_eq!(report.writer_offset_micros, None, "none changed");
}

#[test]
fn what_was_failed_within_a_minute_is_counted_once() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.rows = vec![dead(1)];
    let plan = dog.look_through(0.0, 60.0);
    let made = |id: u128, action, when: f64| LedgerEntry {
        repair_id: RepairId(id),
        repaired_at: at(when),
        ..entry(action, 100, Some(-600.0))
    };
    dog.newest = vec![
        made(1, LedgerAction::Fail, 0.0),
        made(2, LedgerAction::Fail, 0.1),
        made(3, LedgerAction::Backfill, 59.0),
        made(4, LedgerAction::Fail, 60.0),
    ];
    for (id, expected) in [(4, 2), (5, 3)] {
        let attempts = vec![Attempted {
            repair: plan.repairs[0].clone(),
            outcome: Outcome::Repaired(RepairId(id)),
        }];
        let report = dog.conclude(60.0, plan.clone(), attempts);
        assert_eq!(report.failed_lately, expected);
    }
}

#[test]
fn what_turned_out_about_repairs_is_shown_until_it_is_acknowledged() {
    let mut dog = Watchdog::new(Action::Fail);
    let turned_out = |id: u128, outcome, acknowledged: Option<f64>| LedgerEntry {
        repair_id: RepairId(id),
        outcome: Some(outcome),
        acknowledged_at: acknowledged.map(at),
        ..entry(LedgerAction::Fail, 100, Some(-600.0))
    };
    dog.newest = vec![
        turned_out(1, LateOutcome::FalseRepair, None),
        turned_out(2, LateOutcome::FalseRepair, Some(-1.0)),
        turned_out(3, LateOutcome::LateHeartbeat, None),
        turned_out(4, LateOutcome::LateHeartbeat, Some(-1.0)),
    ];
    let plan = dog.look(0.0);
    let report = dog.conclude(0.0, plan, Vec::new());
    let ids = |entries: &[Arc<LedgerEntry>]| entries.iter().map(|entry| entry.repair_id.0).collect::<Vec<_>>();
    assert_eq!(
        (ids(&report.false_repairs), ids(&report.late_heartbeats)),
        (vec![1], vec![3])
    );
}

#[test]
fn an_open_fuse_says_what_opened_it_and_what_closes_it() {
    let mut dog = Watchdog::new(Action::Fail);
    let report = |dog: &mut Watchdog, now| {
        let plan = dog.look(now);
        dog.conclude(now, plan, Vec::new()).why_fuse_is_open()
    };
    assert_eq!(report(&mut dog, 0.0), None);
    dog.rows = mass_silence(40, 0, 0.0);
    dog.look_through(5.0, 60.0);
    let why = report(&mut dog, 65.0).unwrap();
    assert!(
        why.starts_with("The fuse is open: 40 of 40 jobs would be failed at once, which"),
        "{why}"
    );
    assert!(why.ends_with("suspends this rule for an hour."), "{why}");
    let false_repair = |id: u128, job: &str| LedgerEntry {
        repair_id: RepairId(id),
        job_id: JobId::new(job),
        outcome: Some(LateOutcome::FalseRepair),
        ..entry(LedgerAction::Fail, 0, Some(-600.0))
    };
    dog.newest = vec![false_repair(255, "a`b\n")];
    let why = report(&mut dog, 70.0).unwrap();
    let alive = "for an hour. And job a'b\\n was failed and is alive; nothing is failed until `beatwarden ack \
                 00000000-0000-0000-0000-0000000000ff`.";
    assert!(why.ends_with(alive), "{why}");
    dog.newest.extend([false_repair(2, "x"), false_repair(3, "y")]);
    dog.rows.clear();
    let why = report(&mut dog, 75.0).unwrap();
    assert!(
        why.starts_with("The fuse is open: job a'b\\n was failed and is alive (and 2 more: `beatwarden history`); ")
    );
    dog.newest.clear();
    let why = report(&mut dog, 80.0).unwrap();
    assert_eq!(
        why,
        "The fuse is open: what opened it is gone, and it closes after three calm passes."
    );
}

#[test]
fn rows_in_any_order_are_judged_once_each() {
    for order in [[1, 2, 3, 3], [3, 1, 2, 1], [3, 2, 1, 1], [1, 1, 2, 3]] {
        let mut dog = Watchdog::new(Action::Fail);
        dog.rows = order.map(dead).to_vec();
        let plan = dog.look_through(0.0, 60.0);
        let ids: Vec<String> = plan.jobs.iter().map(|view| view.id.to_string()).collect();
        assert_eq!(
            (ids, plan.repairs.len()),
            (vec!["1".into(), "2".into(), "3".into()], 3),
            "{order:?}"
        );
    }
    // In falling order without one that comes twice.
    let mut dog = Watchdog::new(Action::Fail);
    dog.rows = [3, 2, 1].map(dead).to_vec();
    assert_eq!(dog.look_through(0.0, 60.0).repairs.len(), 3);
}
