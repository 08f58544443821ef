//! Jobs that missed their first heartbeat before the process began: each restart meets them again, and none counts them again.

use super::*;

/// Watches these rows for two deadlines, from the first pass of a new process on.
fn restarted(action: Action, rows: Vec<Job>, ledger: Vec<LedgerEntry>) -> (Watchdog, Plan) {
    let mut dog = Watchdog::new(action);
    dog.rows = rows;
    dog.ledger = ledger;
    let plan = dog.look_through(0.0, 120.0);
    (dog, plan)
}

#[test]
fn a_leftover_from_before_the_window_is_counted_by_no_process_that_begins_later() {
    // The window is an hour. The first two lie in it: only this process may have watched them.
    for (start, counted) in [(-100.0, 1), (-3_600.0, 1), (-3_601.0, 0), (-86_400.0, 0)] {
        let (dog, plan) = restarted(Action::Observe, vec![job(1, "RUNNING", Some(start), None)], Vec::new());
        assert_eq!(phase(&plan), Phase::MissedFirst, "it stays stuck");
        assert_eq!(dog.inits(), (0, counted), "started at {start}");
    }
}

#[test]
fn a_job_that_was_repaired_before_is_a_failure_of_the_window_and_counted_by_no_process_that_begins_later() {
    let start = -1000.0;
    let backfilled = job(1, "RUNNING", Some(start), Some(start));
    let (dog, plan) = restarted(
        Action::Backfill,
        vec![backfilled],
        vec![entry(LedgerAction::Backfill, 1, Some(start))],
    );
    assert_eq!(
        (phase(&plan), cause(&plan)),
        (Phase::MissedFirst, Some(Cause::AwaitingWriter))
    );
    assert_eq!((plan.window.inits, plan.window.failures), (1, 1));
    assert_eq!(dog.inits(), (0, 0));
}

#[test]
fn a_miss_within_a_deadline_of_the_first_pass_counts_whatever_the_ledger_says() {
    let start = -50.0;
    let backfilled = job(1, "RUNNING", Some(start), Some(start));
    let (dog, _) = restarted(
        Action::Backfill,
        vec![backfilled],
        vec![entry(LedgerAction::Backfill, 1, Some(start))],
    );
    assert_eq!(dog.inits(), (0, 1), "its deadline passed under our eyes");
}

#[test]
fn a_leftover_whose_heartbeat_comes_late_is_a_late_first_heartbeat_and_no_init() {
    let (mut dog, _) = restarted(
        Action::Observe,
        vec![job(1, "RUNNING", Some(-86_400.0), None)],
        Vec::new(),
    );
    dog.rows = vec![job(1, "RUNNING", Some(-86_400.0), Some(123.0))];
    dog.look(125.0);
    assert_eq!(dog.inits(), (0, 0));
    assert!(dog.events.contains(&Event::LateFirstHeartbeat(JobId::new("1"))));
}
