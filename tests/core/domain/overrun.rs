//! Jobs whose writer makes no heartbeats: judged by their age alone.

use super::*;

const LONGEST: Duration = Duration::from_secs(6 * 3_600);
/// The same in seconds.
const LIMIT: f64 = 21_600.0;

fn without_heartbeats(action: Action) -> Watchdog {
    let mut dog = Watchdog::new(action);
    dog.policy.max_runtime = Some(LONGEST);
    dog
}

#[test]
fn the_phase_follows_from_the_age_alone() {
    let micro = 1e-6;
    let week = 7.0 * 86_400.0;
    let cases = [
        (Some(0.0), Phase::Running),
        (Some(1.9), Phase::Running),
        (Some(-LIMIT + micro), Phase::Running),
        (Some(-LIMIT), Phase::Overrun),
        (Some(-LIMIT - micro), Phase::Overrun),
        (Some(-week), Phase::Overrun),
        (Some(-week - micro), Phase::Abandoned),
        // Without a start the age counts from first sight.
        (None, Phase::Running),
    ];
    for (start, expected) in cases {
        let mut dog = without_heartbeats(Action::Observe);
        dog.rows = vec![job(1, "RUNNING", start, None)];
        assert_eq!(phase(&dog.look(0.0)), expected, "start {start:?}");
    }
}

#[test]
fn there_are_no_inits_however_a_job_begins_and_ends() {
    let mut dog = without_heartbeats(Action::Observe);
    dog.look(0.0);
    dog.rows = vec![
        job(1, "RUNNING", Some(1.0), None),
        job(2, "RUNNING", Some(-LIMIT), None),
    ];
    dog.look_through(5.0, 200.0);
    dog.rows = vec![job(1, "SUCCESS", Some(1.0), None), job(2, "FAIL", Some(-LIMIT), None)];
    let plan = dog.look(205.0);
    assert_eq!((dog.inits(), plan.window.inits, plan.window.ratio()), ((0, 0), 0, None));
    assert!(dog.events.contains(&Event::Stuck(JobId::new("2"), Phase::Overrun)));
}

#[test]
fn a_job_past_its_time_is_failed_after_a_whole_deadline_of_watching() {
    let mut dog = without_heartbeats(Action::Fail);
    dog.rows = vec![
        job(1, "RUNNING", Some(-LIMIT - 1.0), None),
        job(2, "RUNNING", Some(-LIMIT + 600.0), None),
    ];
    let cause = |plan: &Plan| (plan.jobs[0].cause, plan.jobs[1].cause);
    let plan = dog.look_through(0.0, 55.0);
    assert_eq!((cause(&plan), plan.repairs.len()), ((Some(Cause::Watching), None), 0));
    let plan = dog.look(60.0);
    assert_eq!((cause(&plan), plan.repairs.len()), ((None, None), 1));
    let repair = &plan.repairs[0];
    assert_eq!(
        (repair.job.id.clone(), repair.reason, repair.deadline),
        (JobId::new("1"), Phase::Overrun, LONGEST)
    );
    assert_eq!(plan.jobs[1].due_at, Some(at(600.0)), "its own time is not up");
    let report = dog.settle(60.0, plan, &Outcome::Repaired(RepairId(7)));
    assert_eq!((report.count(Phase::Overrun), report.count(Phase::Running)), (0, 1));
}

#[test]
fn a_change_of_the_row_starts_watching_again() {
    let mut dog = without_heartbeats(Action::Fail);
    dog.rows = vec![job(1, "RUNNING", Some(-LIMIT), None)];
    dog.look_through(0.0, 55.0);
    dog.rows[0].name = Some("renamed".into());
    let plan = dog.look_through(60.0, 115.0);
    assert_eq!((cause(&plan), plan.repairs.len()), (Some(Cause::Watching), 0));
    assert_eq!(dog.look(120.0).repairs.len(), 1);
}

#[test]
fn a_failed_job_that_runs_again_or_succeeds_is_a_false_repair() {
    for (state, expected) in [
        ("RUNNING", Some(LifeSign::RunsAgain)),
        ("SUCCESS", Some(LifeSign::Succeeded)),
        ("FAIL", None),
        ("DEAD", None),
    ] {
        let mut dog = without_heartbeats(Action::Fail);
        let mut fail = entry(LedgerAction::Fail, 1, Some(-LIMIT));
        fail.heartbeat_after = Some(TimeValue::ABSENT);
        dog.newest = vec![fail];
        dog.rows = vec![job(1, "FAIL", Some(-LIMIT), None)];
        dog.look(0.0);
        dog.rows = vec![job(1, state, Some(-LIMIT), None)];
        let plan = dog.look(5.0);
        let found: Vec<_> = plan.findings.iter().map(|found| found.sign).collect();
        assert_eq!(found, Vec::from_iter(expected), "{state}");
        assert_eq!(plan.fuse_open, expected.is_some(), "{state}");
    }
}

#[test]
fn running_jobs_hold_the_fuse_closed_as_living_ones_do() {
    let jobs = |overrun: u32, running: u32| -> Vec<Job> {
        let start = |id| if id < overrun { -LIMIT } else { -1.0 };
        (0..overrun + running)
            .map(|id| job(id, "RUNNING", Some(start(id)), None))
            .collect()
    };
    for (overrun, running, opens) in [(11, 10, true), (11, 11, false), (10, 0, false)] {
        let mut dog = without_heartbeats(Action::Fail);
        dog.rows = jobs(overrun, running);
        let plan = dog.look_through(0.0, 60.0);
        assert_eq!(plan.fuse_open, opens, "{overrun} of {}", overrun + running);
        assert_eq!(plan.repairs.is_empty(), opens);
    }
}

#[test]
fn only_an_operator_gets_an_abandoned_job_failed() {
    let mut dog = without_heartbeats(Action::Fail);
    dog.rows = vec![job(1, "RUNNING", Some(-8.0 * 86_400.0), None)];
    let plan = dog.look_through(0.0, 600.0);
    assert_eq!((phase(&plan), plan.repairs.len()), (Phase::Abandoned, 0));
    dog.policy.by_hand = Some(ByHand {
        job: Some(JobId::new("1")),
        watch_for: DEADLINE,
    });
    let plan = dog.look(605.0);
    assert_eq!((phase(&plan), plan.repairs.len()), (Phase::Overrun, 1));
}

#[test]
fn a_report_counts_the_phases_that_can_occur_and_no_others() {
    let phases = |mut dog: Watchdog| {
        let plan = dog.look(0.0);
        let report = dog.conclude(0.0, plan, Vec::new());
        report.phases.into_keys().collect::<Vec<_>>()
    };
    let without = phases(without_heartbeats(Action::Observe));
    assert_eq!(without, [Phase::Running, Phase::Overrun, Phase::Abandoned]);
    let with = phases(Watchdog::new(Action::Observe));
    assert!(with.iter().all(|phase| !without[..2].contains(phase)) && with.len() == 5);
}
