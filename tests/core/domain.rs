//! The decision logic: the phase table, the transition table row by row, the rule of two clocks, and properties of plans.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aftermath;
mod leftovers;
mod overrun;
mod remembered;
mod report;

use crate::runs;
use beatwarden::domain::{
    Access, Action, Attempted, ByHand, Cause, Coverage, Discovery, Event, Guard, Job, JobId, LateOutcome, LedgerAction,
    LedgerEntry, LifeSign, Memory, Moment, Newcomers, Noted, Observation, Obstacle, Outcome, Phase, Plan, Policy,
    RepairId, Report, Restarted, ServerIdentity, SharedText, Snapshot, StartCheck, TimeValue, Timestamp, Timing,
    Unknowns, apply_outcomes, interval_in_force, plan, report,
};
use proptest::prelude::*;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const SECOND: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(60);
const EPOCH: i64 = 1_800_000_000_000_000;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_micros(EPOCH + (seconds * 1e6) as i64)
}

fn policy(action: Action) -> Policy {
    Policy {
        action,
        ..runs::policy()
    }
}

fn job(id: u32, state: &str, start: Option<f64>, heartbeat: Option<f64>) -> Job {
    let reading = |time: Option<f64>| time.map_or(TimeValue::ABSENT, |seconds| TimeValue::from(at(seconds)));
    Job {
        id: JobId::new(id.to_string()),
        name: Some("pipeline".into()),
        state: Some(state.into()),
        started_at: reading(start),
        heartbeat_at: reading(heartbeat),
        ended_at: TimeValue::ABSENT,
    }
}

/// One watchdog beside a table that the test writes.
struct Watchdog {
    policy: Policy,
    memory: Memory,
    rows: Vec<Job>,
    server: &'static str,
    server_started_at: Option<Timestamp>,
    /// Where the server hides its restarts.
    connection: Option<u64>,
    obstacle: Option<Cause>,
    ledger: Vec<LedgerEntry>,
    /// The newest entries of the ledger.
    newest: Vec<LedgerEntry>,
    /// Database's clock minus ours.
    offset: f64,
    events: Vec<Event>,
}

impl Watchdog {
    fn new(action: Action) -> Self {
        Self {
            policy: policy(action),
            memory: Memory::default(),
            rows: Vec::new(),
            server: "primary",
            server_started_at: None,
            connection: None,
            obstacle: None,
            ledger: Vec::new(),
            newest: Vec::new(),
            offset: 0.0,
            events: Vec::new(),
        }
    }

    /// The same, beside these rows.
    fn over(action: Action, rows: Vec<Job>) -> Self {
        Self {
            rows,
            ..Self::new(action)
        }
    }

    fn observation(&self, now: f64) -> Observation {
        let moment = Moment::from_start(Duration::from_secs_f64(now + 1_000_000.0));
        Observation {
            began: moment,
            finished: moment,
            interval: SECOND * 5,
            snapshot: Snapshot {
                database_now: at(now + self.offset),
                server: ServerIdentity(self.server.to_owned()),
                server_started_at: self.server_started_at,
                unknowns: Unknowns {
                    connection: self.connection,
                    prepared: None,
                    costs: Vec::new(),
                },
                rows: self.rows.clone(),
                keyless: 0,
                coverage: Coverage::Ordinary,
                discovery: Discovery::State,
                access: Access::Index,
                newcomers: Newcomers::Followed,
                obstacles: self
                    .obstacle
                    .iter()
                    .map(|cause| Obstacle::new(*cause, "as the test wants it"))
                    .collect(),
                guard: Guard::Absent,
                precedents: self.ledger.iter().cloned().map(Arc::new).collect(),
                newest_repairs: self.newest.iter().cloned().map(Arc::new).collect(),
                timing: Timing::default(),
            },
        }
    }

    /// Looks at these rows, which are in the place of those before.
    fn sees(&mut self, now: f64, rows: Vec<Job>) -> Plan {
        self.rows = rows;
        self.look(now)
    }

    fn look(&mut self, now: f64) -> Plan {
        let observation = self.observation(now);
        let (memory, plan) = plan(std::mem::take(&mut self.memory), &observation, &self.policy);
        self.memory = memory;
        self.events.extend(plan.events.iter().cloned());
        plan
    }

    /// Looks every 5 s over a span, and returns the last plan.
    fn look_through(&mut self, from: f64, to: f64) -> Plan {
        let mut now = from;
        let mut last = self.look(now);
        while now + 5.0 <= to {
            now += 5.0;
            last = self.look(now);
        }
        last
    }

    fn settle(&mut self, now: f64, plan: Plan, outcome: &Outcome) -> Report {
        let attempts: Vec<_> = plan
            .repairs
            .iter()
            .map(|repair| Attempted {
                repair: repair.clone(),
                outcome: outcome.clone(),
            })
            .collect();
        self.conclude(now, plan, attempts)
    }

    fn conclude(&mut self, now: f64, mut plan: Plan, attempts: Vec<Attempted>) -> Report {
        let noted = vec![Noted::First; plan.findings.len()];
        let observation = self.observation(now);
        apply_outcomes(&mut self.memory, &mut plan, &attempts);
        report(&self.memory, plan, attempts, noted, &observation, &self.policy)
    }

    fn inits(&self) -> (usize, usize) {
        let count = |wanted: fn(&Event) -> bool| self.events.iter().filter(|event| wanted(event)).count();
        (
            count(|event| matches!(event, Event::InitSucceeded(..))),
            count(|event| matches!(event, Event::InitFailed(_))),
        )
    }
}

fn phase(plan: &Plan) -> Phase {
    assert_eq!(plan.jobs.len(), 1, "one running job");
    plan.jobs[0].phase
}

fn cause(plan: &Plan) -> Option<Cause> {
    assert_eq!(plan.jobs.len(), 1, "one running job");
    plan.jobs[0].cause
}

#[test]
fn the_phase_table_holds_at_its_edges() {
    let micro = 1e-6;
    let week = 7.0 * 86_400.0;
    let cases = [
        // A real heartbeat: beating up to and including the timeout.
        (Some(-1000.0), Some(-300.0 + micro), Phase::Beating),
        (Some(-1000.0), Some(-300.0), Phase::Beating),
        (Some(-1000.0), Some(-300.0 - micro), Phase::Lost),
        // None or a seeded one: overdue from the deadline on.
        (Some(-60.0 + micro), None, Phase::Starting),
        (Some(-60.0), None, Phase::MissedFirst),
        (Some(-60.0 - micro), None, Phase::MissedFirst),
        (Some(-60.0 + micro), Some(-60.0 + micro), Phase::Starting),
        (Some(-60.0), Some(-60.0), Phase::MissedFirst),
        // Seeded up to and including the tolerance, or before the start.
        (Some(-100.0), Some(-100.0 + 0.005), Phase::MissedFirst),
        (Some(-100.0), Some(-100.0 + 0.005_001), Phase::Beating),
        (Some(-100.0), Some(-200.0), Phase::MissedFirst),
        // The last sign of life decides on abandonment, whichever it is.
        (Some(-week), None, Phase::MissedFirst),
        (Some(-week - micro), None, Phase::Abandoned),
        (Some(-week - 100.0), Some(-week), Phase::Lost),
        (Some(-week - 100.0), Some(-week - micro), Phase::Abandoned),
        // A start that is a little ahead is age 0.
        (Some(1.9), None, Phase::Starting),
    ];
    for (start, heartbeat, expected) in cases {
        let mut dog = Watchdog::over(Action::Backfill, vec![job(1, "RUNNING", start, heartbeat)]);
        assert_eq!(
            phase(&dog.look(0.0)),
            expected,
            "start {start:?}, heartbeat {heartbeat:?}"
        );
    }
}

#[test]
fn a_beat_that_was_seen_keeps_a_job_beating_whatever_its_value_says() {
    let mut dog = Watchdog::new(Action::Fail);
    // A writer five hours behind: its first heartbeat looks five hours old.
    dog.sees(0.0, vec![job(1, "RUNNING", Some(-18_000.0), None)]);
    dog.rows = vec![job(1, "RUNNING", Some(-18_000.0), Some(-17_999.0))];
    assert_eq!(phase(&dog.look(5.0)), Phase::Beating);
    assert_eq!(phase(&dog.look_through(10.0, 300.0)), Phase::Beating);
    assert_eq!(
        phase(&dog.look(305.0)),
        Phase::Lost,
        "silent for a whole timeout by our own clock"
    );
}

#[test]
fn neither_a_seeded_value_nor_a_withdrawn_one_is_a_beat() {
    let mut dog = Watchdog::over(Action::Backfill, vec![job(1, "RUNNING", Some(-100.0), None)]);
    dog.look(0.0);
    dog.rows = vec![job(1, "RUNNING", Some(-100.0), Some(-100.0))];
    assert_eq!(phase(&dog.look(5.0)), Phase::MissedFirst, "NULL to seeded");
    dog.rows = vec![job(1, "RUNNING", Some(-100.0), None)];
    assert_eq!(phase(&dog.look(10.0)), Phase::MissedFirst, "anything to NULL");
}

#[test]
fn starts_and_heartbeats_in_the_future_count_from_first_sight() {
    let mut dog = Watchdog::over(Action::Fail, vec![job(1, "RUNNING", Some(3600.0), None)]);
    assert_eq!(phase(&dog.look(0.0)), Phase::Starting);
    let plan = dog.look_through(5.0, 200.0);
    assert_eq!((phase(&plan), cause(&plan)), (Phase::MissedFirst, Some(Cause::Clock)));

    let mut dog = Watchdog::over(Action::Fail, vec![job(1, "RUNNING", Some(-10.0), Some(3600.0))]);
    assert_eq!(phase(&dog.look(0.0)), Phase::Beating);
    assert_eq!(phase(&dog.look_through(5.0, 300.0)), Phase::Beating);
    assert_eq!(phase(&dog.look(305.0)), Phase::Lost);
}

#[test]
fn a_row_without_a_start_is_never_repaired() {
    let mut dog = Watchdog::over(Action::Fail, vec![job(1, "RUNNING", None, None)]);
    dog.look(0.0);
    let plan = dog.look_through(5.0, 500.0);
    assert_eq!((phase(&plan), cause(&plan)), (Phase::MissedFirst, Some(Cause::NoStart)));
    assert_eq!(plan.repairs, []);
}

#[test]
fn unreadable_rows_and_unknown_states_are_counted_reported_once_and_left_alone() {
    let mut dog = Watchdog::new(Action::Fail);
    let mut infinite = job(1, "RUNNING", Some(0.0), None);
    infinite.started_at = TimeValue::UNREADABLE;
    let mut nameless = job(3, "?", Some(-1000.0), None);
    nameless.state = None;
    dog.sees(0.0, vec![infinite, job(2, "BROKEN", Some(-1000.0), None), nameless]);
    let plan = dog.look_through(5.0, 300.0);
    assert_eq!((plan.unreadable, plan.unknown_state, plan.repairs.len()), (1, 2, 0));
    let reported = |wanted: fn(&Event) -> bool| dog.events.iter().filter(|event| wanted(event)).count();
    assert_eq!(reported(|event| matches!(event, Event::Unreadable(_))), 1);
    assert_eq!(reported(|event| matches!(event, Event::UnknownState(..))), 2);
}

#[test]
fn starting_to_beating_is_an_init_success() {
    let mut dog = Watchdog::over(Action::Backfill, vec![job(1, "RUNNING", Some(0.0), None)]);
    dog.look(1.0);
    dog.sees(5.0, vec![job(1, "RUNNING", Some(0.0), Some(3.0))]);
    let plan = dog.sees(10.0, vec![job(1, "RUNNING", Some(0.0), Some(8.0))]);
    assert_eq!(dog.inits(), (1, 0));
    assert!(
        dog.events
            .contains(&Event::InitSucceeded(JobId::new("1"), Some(SECOND * 3)))
    );
    assert_eq!((plan.window.inits, plan.window.failures), (1, 0));
}

#[test]
fn starting_to_missed_first_is_an_init_failure_and_a_late_beat_no_second_init() {
    let mut dog = Watchdog::over(Action::Observe, vec![job(1, "RUNNING", Some(0.0), None)]);
    dog.look_through(0.0, 55.0);
    assert_eq!(dog.inits(), (0, 0));
    dog.look(60.0);
    assert_eq!(dog.inits(), (0, 1));
    let plan = dog.sees(65.0, vec![job(1, "RUNNING", Some(0.0), Some(63.0))]);
    assert_eq!(phase(&plan), Phase::Beating);
    assert_eq!(dog.inits(), (0, 1));
    assert!(dog.events.contains(&Event::LateFirstHeartbeat(JobId::new("1"))));
}

#[test]
fn a_job_first_seen_past_its_deadline_fails_only_after_a_deadline_of_watching() {
    let mut dog = Watchdog::over(Action::Observe, vec![job(1, "RUNNING", Some(-1000.0), None)]);
    dog.look_through(0.0, 55.0);
    assert_eq!(dog.inits(), (0, 0));
    dog.look(60.0);
    assert_eq!(dog.inits(), (0, 1));
}

#[test]
fn ended_jobs_are_decided_by_their_end_and_heartbeat() {
    // (state, end after the start, heartbeat after the start) -> (successes, failures)
    let cases = [
        ("SUCCESS", 30.0, None, (1, 0)),
        ("SUCCESS", 60.0, None, (1, 0)),
        ("SUCCESS", 61.0, None, (0, 1)),
        ("FAIL", 30.0, None, (0, 1)),
        ("FAIL", 30.0, Some(0.0), (1, 0)),
        ("FAIL", 30.0, Some(1.0), (1, 0)),
        ("FAIL", 90.0, Some(0.0), (0, 1)),
        ("FAIL", 90.0, Some(80.0), (1, 0)),
        ("IDLE", 30.0, None, (0, 0)),
        ("STATE_EDIT", 30.0, None, (0, 0)),
    ];
    for (state, end, heartbeat, expected) in cases {
        for seen_running in [true, false] {
            let mut dog = Watchdog::new(Action::Observe);
            dog.look(0.0);
            if seen_running {
                dog.sees(2.0, vec![job(1, "RUNNING", Some(1.0), None)]);
            }
            let mut ended = job(1, state, Some(1.0), heartbeat.map(|after: f64| 1.0 + after));
            ended.ended_at = TimeValue::from(at(1.0 + end));
            dog.sees(5.0, vec![ended]);
            dog.look(10.0);
            assert_eq!(
                dog.inits(),
                expected,
                "{state} after {end} s, heartbeat {heartbeat:?}, seen running: {seen_running}"
            );
        }
    }
}

#[test]
fn what_began_long_before_us_is_in_no_counter_but_in_the_window() {
    let mut dog = Watchdog::new(Action::Observe);
    let mut old = job(1, "SUCCESS", Some(-1800.0), Some(-1700.0));
    old.ended_at = TimeValue::from(at(-1700.0));
    let plan = dog.sees(
        0.0,
        vec![
            old,
            job(2, "RUNNING", Some(-1800.0), Some(-1.0)),
            job(3, "RUNNING", Some(-59.0), Some(-1.0)),
        ],
    );
    assert_eq!(
        dog.inits(),
        (1, 0),
        "only job 3 began within a deadline of our first pass"
    );
    assert_eq!((plan.window.inits, plan.window.failures), (3, 0));
}

#[test]
fn lost_and_recovered_are_reported_once_and_are_no_second_init() {
    let mut dog = Watchdog::over(Action::Fail, vec![job(1, "RUNNING", Some(-10.0), Some(0.0))]);
    dog.look_through(0.0, 300.0);
    let plan = dog.look(305.0);
    assert_eq!((phase(&plan), plan.repairs.len()), (Phase::Lost, 0));
    dog.rows = vec![job(1, "RUNNING", Some(-10.0), Some(309.0))];
    assert_eq!(phase(&dog.look(310.0)), Phase::Beating);
    let recovered = dog.events.iter().filter(|event| matches!(event, Event::Recovered(_)));
    assert_eq!((recovered.count(), dog.inits()), (1, (1, 0)));
}

#[test]
fn a_deleted_row_leaves_its_init_uncounted() {
    let mut dog = Watchdog::over(Action::Observe, vec![job(1, "RUNNING", Some(0.0), None)]);
    dog.look(1.0);
    dog.rows.clear();
    dog.look(5.0);
    assert_eq!(dog.inits(), (0, 0));
}

#[test]
fn a_new_start_is_a_new_job_and_the_same_start_is_not() {
    let mut dog = Watchdog::new(Action::Observe);
    dog.look(0.0);
    dog.sees(5.0, vec![job(1, "RUNNING", Some(1.0), Some(2.0))]);
    dog.sees(10.0, vec![job(1, "SUCCESS", Some(1.0), Some(6.0))]);
    dog.sees(15.0, vec![job(1, "RUNNING", Some(1.0), Some(11.0))]);
    assert_eq!(dog.inits(), (1, 0), "the same start again");
    dog.sees(20.0, vec![job(1, "RUNNING", Some(16.0), Some(17.0))]);
    assert_eq!(dog.inits(), (2, 0), "a new start");
}

#[test]
fn a_new_start_that_is_written_in_an_unlisted_state_is_a_new_job() {
    let mut dog = Watchdog::new(Action::Observe);
    dog.look(0.0);
    dog.sees(5.0, vec![job(1, "RUNNING", Some(1.0), Some(2.0))]);
    assert_eq!(dog.inits(), (1, 0));
    dog.sees(10.0, vec![job(1, "PREPARING", Some(9.0), None)]);
    dog.sees(15.0, vec![job(1, "RUNNING", Some(9.0), Some(12.0))]);
    assert_eq!(dog.inits(), (2, 0), "the second start has an init of its own");
    // The same start that pauses in an unlisted state is the same job.
    dog.sees(20.0, vec![job(1, "PAUSED", Some(9.0), Some(16.0))]);
    dog.sees(25.0, vec![job(1, "RUNNING", Some(9.0), Some(22.0))]);
    assert_eq!(dog.inits(), (2, 0));
    // So is one that ended and comes back by way of one.
    for (now, state) in [(30.0, "SUCCESS"), (35.0, "PREPARING"), (40.0, "RUNNING")] {
        dog.sees(now, vec![job(1, state, Some(9.0), Some(now - 1.0))]);
    }
    assert_eq!(dog.inits(), (2, 0), "the same start again");
}

#[test]
fn a_second_start_that_dies_behind_an_unlisted_state_is_a_failure_and_withheld_once_more() {
    let mut dog = Watchdog::new(Action::Observe);
    dog.look(0.0);
    dog.rows = vec![job(1, "RUNNING", Some(1.0), None)];
    dog.look_through(5.0, 120.0);
    assert_eq!(dog.inits(), (0, 1));
    dog.sees(125.0, vec![job(1, "PREPARING", Some(121.0), None)]);
    dog.rows = vec![job(1, "RUNNING", Some(121.0), None)];
    let plan = dog.look_through(130.0, 300.0);
    assert_eq!((phase(&plan), dog.inits()), (Phase::MissedFirst, (0, 2)));
    // One that ends without having been seen running is decided by its end, as any other.
    dog.sees(305.0, vec![job(1, "PREPARING", Some(301.0), None)]);
    let mut ended = job(1, "FAIL", Some(301.0), None);
    ended.ended_at = TimeValue::from(at(306.0));
    dog.sees(310.0, vec![ended]);
    assert_eq!(dog.inits(), (0, 3));
}

#[test]
fn a_job_first_met_in_an_unlisted_state_is_shown_under_its_name_when_it_runs() {
    let mut dog = Watchdog::over(Action::Observe, vec![job(1, "PREPARING", Some(-1.0), None)]);
    dog.look(0.0);
    let plan = dog.sees(5.0, vec![job(1, "RUNNING", Some(-1.0), Some(4.0))]);
    let report = dog.settle(5.0, plan, &Outcome::Locked);
    let names: Vec<_> = report.ages_by_name.keys().cloned().collect();
    assert_eq!(names, [Some("pipeline".into())]);
    // A new name of an unlisted row is the one that it is shown under later.
    let renamed = |state| Job {
        name: Some("other".into()),
        ..job(1, state, Some(-1.0), Some(9.0))
    };
    for (state, now) in [("PREPARING", 10.0), ("RUNNING", 15.0)] {
        let plan = dog.sees(now, vec![renamed(state)]);
        let report = dog.settle(now, plan, &Outcome::Locked);
        let names: Vec<_> = report.ages_by_name.keys().cloned().collect();
        let expected: &[Option<SharedText>] = if state == "RUNNING" {
            &[Some("other".into())]
        } else {
            &[]
        };
        assert_eq!(names, expected);
    }
}

#[test]
fn a_job_that_goes_into_an_unlisted_state_is_reported_once() {
    let mut dog = Watchdog::over(Action::Observe, vec![job(1, "RUNNING", Some(-1.0), Some(0.0))]);
    dog.look(0.0);
    dog.rows = vec![job(1, "PAUSED", Some(-1.0), Some(0.0))];
    let plan = dog.look_through(5.0, 60.0);
    assert_eq!((plan.unknown_state, plan.jobs.len()), (1, 0));
    let reported = dog
        .events
        .iter()
        .filter(|event| matches!(event, Event::UnknownState(..)));
    assert_eq!(reported.count(), 1);
}

#[test]
fn a_job_that_the_ledger_knows_as_repaired_is_a_failure_after_a_restart_too() {
    let mut dog = Watchdog::new(Action::Backfill);
    dog.ledger = vec![entry(LedgerAction::Fail, 1, Some(-30.0))];
    let mut ended = job(1, "FAIL", Some(-30.0), Some(-30.0));
    ended.ended_at = TimeValue::from(at(-5.0));
    dog.sees(0.0, vec![ended]);
    assert_eq!(dog.inits(), (0, 1));
}

fn entry(action: LedgerAction, id: u32, start: Option<f64>) -> LedgerEntry {
    LedgerEntry {
        job_id: JobId::new(id.to_string()),
        started_at: start.map(at),
        ..LedgerEntry::new(RepairId(1), action, at(-1.0))
    }
}

#[test]
fn a_repair_needs_a_whole_deadline_of_watching() {
    let mut dog = Watchdog::over(Action::Fail, vec![job(1, "RUNNING", Some(-1000.0), None)]);
    let plan = dog.look_through(0.0, 55.0);
    assert_eq!((cause(&plan), plan.repairs.len()), (Some(Cause::Watching), 0));
    let plan = dog.look(60.0);
    assert_eq!((cause(&plan), plan.repairs.len()), (None, 1));
}

#[test]
fn a_change_of_any_observed_column_starts_watching_that_row_again() {
    let changes: [fn(&mut Job); 4] = [
        |job| job.name = Some("renamed".into()),
        |job| job.ended_at = TimeValue::from(at(3.0)),
        |job| job.started_at = TimeValue::from(at(-999.0)),
        |job| job.heartbeat_at = TimeValue::from(at(-1000.0)),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut dog = Watchdog::over(
            Action::Fail,
            vec![
                job(1, "RUNNING", Some(-1000.0), None),
                job(2, "RUNNING", Some(-1000.0), None),
            ],
        );
        dog.look_through(0.0, 50.0);
        change(&mut dog.rows[0]);
        dog.look(55.0);
        let repaired = |plan: Plan| -> Vec<JobId> { plan.repairs.into_iter().map(|repair| repair.job.id).collect() };
        assert_eq!(repaired(dog.look(60.0)), [JobId::new("2")], "change {number}");
        dog.look_through(65.0, 110.0);
        assert_eq!(repaired(dog.look(115.0)).len(), 2, "change {number}");
    }
}

#[test]
fn a_gap_another_server_and_a_clock_jump_start_all_watching_again() {
    type Disturb = fn(&mut Watchdog) -> f64;
    let disturbances: [(&str, Disturb); 5] = [
        ("gap", |_| 55.0 + 15.1),
        ("server", |dog| {
            dog.server = "promoted";
            60.0
        }),
        ("forward", |dog| {
            dog.offset = 2.5;
            60.0
        }),
        ("backward", |dog| {
            dog.offset = -2.5;
            60.0
        }),
        ("none", |_| 60.0),
    ];
    for (name, disturb) in disturbances {
        let mut dog = Watchdog::over(Action::Backfill, vec![job(1, "RUNNING", Some(-1000.0), None)]);
        dog.look_through(0.0, 55.0);
        let now = disturb(&mut dog);
        let plan = dog.look(now);
        let expected = if name == "none" { None } else { Some(Cause::Watching) };
        assert_eq!(cause(&plan), expected, "{name}");
        if name != "none" {
            assert!(
                plan.events
                    .iter()
                    .any(|event| matches!(event, Event::WatchingRestarted(_))),
                "{name}"
            );
            dog.look_through(now + 5.0, now + 55.0);
            assert_eq!(dog.look(now + 60.0).repairs.len(), 1, "{name}: after a whole deadline");
        }
    }
}

#[test]
fn gaps_and_clock_jumps_are_judged_at_their_edges() {
    let restarted = |gap: f64, offset: f64| {
        let mut dog = Watchdog::new(Action::Backfill);
        dog.look(0.0);
        dog.offset = offset;
        dog.look(gap).events.into_iter().find_map(|event| match event {
            Event::WatchingRestarted(why) => Some(why),
            _ => None,
        })
    };
    assert_eq!(restarted(15.0, 0.0), None);
    assert!(matches!(restarted(15.001, 0.0), Some(Restarted::Gap(_))));
    assert_eq!(restarted(5.0, 2.0), None);
    assert!(matches!(restarted(5.0, 2.001), Some(Restarted::Clock(_))));
    assert!(matches!(restarted(5.0, -2.001), Some(Restarted::Clock(_))));
}

#[test]
fn fail_waits_for_a_heartbeat_timeout_after_a_restart_of_the_server() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.server_started_at = Some(at(-20.0));
    dog.sees(
        0.0,
        vec![
            job(1, "RUNNING", Some(-18.5), None),
            job(2, "RUNNING", Some(-17.9), None),
        ],
    );
    let plan = dog.look_through(5.0, 100.0);
    let causes: Vec<_> = plan.jobs.iter().map(|view| view.cause).collect();
    assert_eq!(
        causes,
        [Some(Cause::DbRestart), None],
        "started before the restart plus 2 s, and after it"
    );
    let plan = dog.look_through(105.0, 300.0);
    assert_eq!(plan.jobs[0].cause, None, "watched for a whole heartbeat_timeout");

    let mut dog = Watchdog::new(Action::Backfill);
    dog.server_started_at = Some(at(-20.0));
    dog.sees(0.0, vec![job(1, "RUNNING", Some(-100.0), None)]);
    assert_eq!(dog.look_through(5.0, 60.0).repairs.len(), 1, "a backfill needn't wait");
}

#[test]
fn where_a_restart_can_t_be_seen_fail_takes_every_new_connection_for_one() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.server_started_at = Some(at(-5_000.0));
    dog.connection = Some(1);
    dog.rows = vec![job(1, "RUNNING", Some(-1.0), None)];
    dog.look_through(0.0, 30.0);
    dog.connection = Some(2);
    let plan = dog.look(35.0);
    assert_eq!(plan.jobs[0].cause, None, "not overdue yet");
    let plan = dog.look_through(40.0, 330.0);
    assert_eq!(plan.jobs[0].cause, Some(Cause::DbRestart));
    let plan = dog.look_through(335.0, 340.0);
    assert_eq!(plan.jobs[0].cause, None, "watched for a whole heartbeat_timeout since");

    // A backfill needn't wait, and the same connection is no other.
    let mut dog = Watchdog::new(Action::Backfill);
    dog.connection = Some(1);
    dog.rows = vec![job(1, "RUNNING", Some(-1.0), None)];
    dog.look_through(0.0, 30.0);
    dog.connection = Some(2);
    assert_eq!(dog.look_through(35.0, 65.0).repairs.len(), 1);
    let mut dog = Watchdog::new(Action::Fail);
    dog.connection = Some(1);
    dog.rows = vec![job(1, "RUNNING", Some(-1.0), None)];
    assert_eq!(dog.look_through(0.0, 65.0).repairs.len(), 1);
}

/// No one looked for a while: meanwhile the standby was started, jobs began on the old primary, and the standby took over.
#[test]
fn a_job_older_than_a_promotion_is_known_however_late_the_promoted_server_was_started() {
    for (server, expected) in [("1/false/2/20", Cause::DbRestart), ("1/false/1/20", Cause::Watching)] {
        let mut dog = Watchdog::new(Action::Fail);
        dog.server = "1/false/1/0";
        dog.look_through(0.0, 10.0);
        dog.server = server;
        dog.server_started_at = Some(at(20.0));
        let plan = dog.sees(100.0, vec![job(1, "RUNNING", Some(30.0), None)]);
        assert_eq!(cause(&plan), Some(expected), "{server}: promoted, or merely restarted");
    }
}

#[test]
fn every_cause_before_watching_has_its_place() {
    type Set = fn(&mut Watchdog);
    let seeded: Set = |dog| dog.rows = vec![job(1, "RUNNING", Some(-1000.0), Some(-1000.0))];
    let cases: [(&str, Action, Set, Option<Cause>); 9] = [
        (
            "observe",
            Action::Observe,
            |dog| dog.obstacle = Some(Cause::Rights),
            Some(Cause::Observe),
        ),
        (
            "rights",
            Action::Fail,
            |dog| dog.obstacle = Some(Cause::Rights),
            Some(Cause::Rights),
        ),
        (
            "standby",
            Action::Fail,
            |dog| dog.obstacle = Some(Cause::ReadOnly),
            Some(Cause::ReadOnly),
        ),
        (
            "seeded, backfill",
            Action::Backfill,
            seeded,
            Some(Cause::AwaitingWriter),
        ),
        ("seeded, fail", Action::Fail, seeded, None),
        (
            "undone",
            Action::Fail,
            |dog| {
                dog.ledger = vec![
                    entry(LedgerAction::Fail, 1, Some(-1000.0)),
                    entry(LedgerAction::Undo, 1, Some(-1000.0)),
                ]
            },
            Some(Cause::Undone),
        ),
        (
            "had this action",
            Action::Fail,
            |dog| dog.ledger = vec![entry(LedgerAction::Fail, 1, Some(-1000.0))],
            Some(Cause::Repaired),
        ),
        (
            "had another action",
            Action::Fail,
            |dog| dog.ledger = vec![entry(LedgerAction::Backfill, 1, Some(-1000.0))],
            None,
        ),
        (
            "had it at another start",
            Action::Fail,
            |dog| dog.ledger = vec![entry(LedgerAction::Fail, 1, Some(-2000.0))],
            None,
        ),
    ];
    for (name, action, set, expected) in cases {
        let mut dog = Watchdog::over(action, vec![job(1, "RUNNING", Some(-1000.0), None)]);
        set(&mut dog);
        dog.look(0.0);
        let plan = dog.look_through(5.0, 60.0);
        assert_eq!(cause(&plan), expected, "{name}");
        assert_eq!(plan.repairs.len(), usize::from(expected.is_none()), "{name}");
    }
}

/// Another watch of the table filled in a heartbeat, and the writer took it away again: between two passes the row is the same.
#[test]
fn what_another_watch_repaired_and_its_writer_put_back_is_watched_from_then_on() {
    for (ago, expected) in [(59.0, Some(Cause::Watching)), (60.0, None), (-3_600.0, None)] {
        let mut dog = Watchdog::over(Action::Fail, vec![job(1, "RUNNING", Some(-1000.0), None)]);
        dog.look_through(0.0, 95.0);
        let mut backfill = entry(LedgerAction::Backfill, 1, Some(-1000.0));
        backfill.repaired_at = at(100.0 - ago);
        dog.ledger = vec![backfill];
        let plan = dog.look(100.0);
        assert_eq!(cause(&plan), expected, "{ago} s ago");
        let due_in = if expected.is_some() { 1.0 } else { 0.0 };
        assert_eq!(plan.jobs[0].due_at, Some(at(100.0 + due_in)), "{ago} s ago");
    }
}

#[test]
fn the_limit_withholds_the_rest_and_failed_attempts_go_to_the_back() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.policy.max_per_pass = 2;
    dog.rows = (1..=3)
        .map(|id| job(id, "RUNNING", Some(-1000.0 + f64::from(id)), None))
        .collect();
    let plan = dog.look_through(0.0, 60.0);
    let ids = |plan: &Plan| -> Vec<String> { plan.repairs.iter().map(|repair| repair.job.id.to_string()).collect() };
    assert_eq!(ids(&plan), ["1", "2"], "the oldest first");
    assert_eq!(plan.jobs[2].cause, Some(Cause::Limit));
    let report = dog.settle(60.0, plan, &Outcome::Locked);
    assert_eq!(
        (report.withheld[&Cause::Locked], report.withheld[&Cause::Limit]),
        (2, 1)
    );
    assert_eq!(ids(&dog.look(65.0)), ["3", "1"]);
}

#[test]
fn an_unknown_outcome_is_kept_until_it_is_known() {
    let mut dog = Watchdog::over(Action::Backfill, vec![job(1, "RUNNING", Some(-1000.0), None)]);
    let plan = dog.look_through(0.0, 60.0);
    dog.settle(60.0, plan, &Outcome::Unknown("connection lost".into()));
    let plan = dog.look(65.0);
    let repair = plan.unresolved.clone().expect("it is asked for first");
    let known = vec![Attempted {
        repair,
        outcome: Outcome::Repaired(RepairId(7)),
    }];
    dog.conclude(65.0, plan, known);
    assert_eq!(dog.look(70.0).unresolved, None);
}

/// The clock of the database was set back meanwhile, so the job that was failed is not even overdue as it was read.
#[test]
fn a_late_answer_ends_the_job_that_was_read_before_whatever_its_phase_is_by_now() {
    let mut dog = Watchdog::over(Action::Fail, vec![job(1, "RUNNING", Some(-1000.0), None)]);
    let plan = dog.look_through(0.0, 60.0);
    dog.settle(60.0, plan, &Outcome::Unknown("connection lost".into()));
    dog.offset = -3_600.0;
    let plan = dog.look(65.0);
    assert_eq!(phase(&plan), Phase::Starting);
    let known = vec![Attempted {
        repair: plan.unresolved.clone().expect("it is asked for first"),
        outcome: Outcome::Repaired(RepairId(7)),
    }];
    let report = dog.conclude(65.0, plan, known);
    assert_eq!((report.repaired(), report.phases.values().sum::<u64>()), (1, 0));
}

#[test]
fn a_late_answer_does_not_withhold_a_job_that_beats_by_now() {
    for action in [Action::Backfill, Action::Fail] {
        let mut dog = Watchdog::over(action, vec![job(1, "RUNNING", Some(-1000.0), None)]);
        let plan = dog.look_through(0.0, 60.0);
        dog.settle(60.0, plan, &Outcome::Unknown("connection lost".into()));
        let plan = dog.sees(65.0, vec![job(1, "RUNNING", Some(-1000.0), Some(64.0))]);
        let repair = plan.unresolved.clone().expect("it is asked for first");
        let known = vec![Attempted {
            repair,
            outcome: Outcome::Repaired(RepairId(7)),
        }];
        let report = dog.conclude(65.0, plan, known);
        assert_eq!(report.phases[&Phase::Beating], 1, "{action:?}");
        assert_eq!(report.withheld[&Cause::AwaitingWriter], 0, "{action:?}");
    }
}

#[test]
fn a_late_answer_takes_no_job_out_of_the_counts_that_runs_again_by_now() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.rows = vec![job(1, "RUNNING", Some(-1000.0), None)];
    let plan = dog.look_through(0.0, 60.0);
    dog.settle(60.0, plan, &Outcome::Unknown("connection lost".into()));
    // Failed, started again, and dead again before the answer is known.
    dog.rows = vec![job(1, "RUNNING", Some(62.0), None)];
    let plan = dog.look_through(65.0, 130.0);
    let attempts = |repair| {
        let outcome = Outcome::Repaired(RepairId(7));
        vec![Attempted { repair, outcome }]
    };
    let report = dog.conclude(130.0, plan.clone(), attempts(plan.unresolved.clone().unwrap()));
    assert_eq!(report.phases[&Phase::MissedFirst], 1);
    let report = dog.conclude(130.0, plan.clone(), attempts(plan.repairs[0].clone()));
    assert_eq!(report.phases[&Phase::MissedFirst], 0, "as it was when it was failed");
}

#[test]
fn what_becomes_of_an_earlier_repair_does_not_hide_why_there_is_no_other() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.rows = vec![job(1, "RUNNING", Some(-1000.0), None)];
    let plan = dog.look_through(0.0, 60.0);
    dog.settle(60.0, plan, &Outcome::Unknown("connection lost".into()));
    let undo = LedgerEntry {
        undo_of: Some(RepairId(1)),
        ..entry(LedgerAction::Undo, 1, Some(-1000.0))
    };
    dog.ledger = vec![entry(LedgerAction::Fail, 1, Some(-1000.0)), undo];
    let plan = dog.look(65.0);
    let repair = plan.unresolved.clone().unwrap();
    let outcome = Outcome::NotLeader;
    let report = dog.conclude(65.0, plan, vec![Attempted { repair, outcome }]);
    assert_eq!(
        (report.withheld[&Cause::Undone], report.withheld[&Cause::NotLeader]),
        (1, 0)
    );
}

#[test]
fn a_withheld_job_is_counted_once_for_each_cause() {
    let mut dog = Watchdog::over(Action::Backfill, vec![job(1, "RUNNING", Some(-1000.0), None)]);
    let mut causes = Vec::new();
    for pass in 0..12 {
        let now = f64::from(pass) * 5.0;
        let plan = dog.look(now);
        causes.extend(dog.settle(now, plan, &Outcome::Locked).newly_withheld);
    }
    assert_eq!(causes, [(JobId::new("1"), Cause::Watching)]);
    let plan = dog.look(60.0);
    let report = dog.settle(60.0, plan, &Outcome::Locked);
    assert_eq!(report.newly_withheld, [(JobId::new("1"), Cause::Locked)]);
}

#[test]
fn the_interval_follows_the_cost_of_scans_only() {
    let ms = Duration::from_millis;
    let five = SECOND * 5;
    assert_eq!(interval_in_force(five, &[]), five);
    assert_eq!(interval_in_force(five, &[ms(900); 4]), five, "five scans are needed");
    assert_eq!(interval_in_force(SECOND, &[ms(50); 5]), SECOND);
    assert_eq!(
        interval_in_force(five, &[ms(900), ms(51), ms(900), ms(70), ms(900)]),
        ms(5100)
    );
    let once_cheap = [ms(900), ms(900), ms(900), ms(900), ms(3)];
    assert_eq!(
        interval_in_force(five, &once_cheap),
        five,
        "the cheapest is what the scan itself costs"
    );
    let older = [ms(3), ms(900), ms(900), ms(900), ms(900), ms(900)];
    assert_eq!(interval_in_force(five, &older), SECOND * 90, "the last five count");
    assert_eq!(interval_in_force(five, &[SECOND * 100; 5]), SECOND * 3600);
}

/// Some dead jobs of ten minutes, and some that beat.
fn mass_silence(dead: u32, alive: u32, now: f64) -> Vec<Job> {
    let dead = (0..dead).map(|id| job(id, "RUNNING", Some(-600.0), None));
    let alive = (0..alive).map(|id| job(10_000 + id, "RUNNING", Some(-600.0), Some(now - 1.0)));
    dead.chain(alive).collect()
}

#[test]
fn the_fuse_opens_above_its_share_and_its_number_only() {
    // (dead, alive) -> open
    for (dead, alive, expected) in [
        (40, 0, true),
        (30, 10, true),
        (20, 20, false),
        (21, 20, true),
        (10, 0, false),
        (11, 0, true),
        (11, 11, false),
    ] {
        let mut dog = Watchdog::new(Action::Fail);
        let mut plan = None;
        for pass in 0..=12 {
            let now = f64::from(pass) * 5.0;
            dog.rows = mass_silence(dead, alive, now);
            plan = Some(dog.look(now));
        }
        let plan = plan.unwrap();
        assert_eq!(plan.fuse_open, expected, "{dead} dead, {alive} alive");
        let withheld = plan.jobs.iter().filter(|view| view.cause == Some(Cause::Fuse)).count();
        assert_eq!(withheld, if expected { dead as usize } else { 0 });
        assert_eq!(plan.repairs.is_empty(), expected);
    }
}

#[test]
fn of_jobs_that_fall_silent_at_once_the_one_that_was_read_first_is_not_failed_ahead_of_the_others() {
    for (dead, restarted, expected) in [
        (40, false, true),
        (40, true, true),
        (10, false, false),
        (10, true, false),
    ] {
        let mut dog = Watchdog::over(Action::Fail, mass_silence(1, 0, 0.0));
        // After a restart of the server each is watched for a heartbeat timeout.
        dog.server_started_at = restarted.then(|| at(-20.0));
        let due = match restarted {
            true => dog.policy.heartbeat_timeout.as_secs_f64(),
            false => 60.0,
        };
        dog.look(0.0);
        dog.rows = mass_silence(dead, 0, 0.0);
        assert!(!dog.look_through(5.0, due - 5.0).fuse_open, "none would be failed");
        let plan = dog.look(due);
        assert_eq!(
            (plan.fuse_open, plan.repairs.is_empty()),
            (expected, expected),
            "{dead} dead, restarted {restarted}"
        );
    }
}

#[test]
fn leftovers_and_backfills_don_t_open_the_fuse() {
    let mut dog = Watchdog::new(Action::Fail);
    let week = 8.0 * 86_400.0;
    dog.rows = (0..3_000).map(|id| job(id, "RUNNING", Some(-week), None)).collect();
    dog.rows
        .extend((0..40).map(|id| job(5_000 + id, "RUNNING", Some(-5.0), None)));
    assert!(!dog.look_through(0.0, 30.0).fuse_open, "abandoned jobs count nowhere");
    let mut dog = Watchdog::over(Action::Backfill, mass_silence(40, 0, 0.0));
    let plan = dog.look_through(0.0, 60.0);
    assert_eq!((plan.fuse_open, plan.repairs.len()), (false, 40));
}

#[test]
fn the_fuse_counts_what_was_failed_within_the_last_deadline_and_closes_after_three_calm_passes() {
    let mut dog = Watchdog::new(Action::Fail);
    // Ten were failed a moment ago, one more is due: a slow dribble.
    dog.newest = (0..10)
        .map(|id| entry(LedgerAction::Fail, 100 + id, Some(-600.0)))
        .collect();
    for dead in &mut dog.newest {
        dead.repaired_at = at(55.0);
    }
    dog.rows = mass_silence(1, 0, 0.0);
    let plan = dog.look_through(0.0, 60.0);
    assert!(plan.fuse_open && plan.repairs.is_empty());
    // The deadline passes: calm, and three passes later it closes.
    assert!(
        dog.look_through(65.0, 115.0).fuse_open,
        "still within the last deadline"
    );
    assert!(dog.look(120.0).fuse_open);
    assert!(dog.look(125.0).fuse_open);
    let plan = dog.look(130.0);
    assert_eq!((plan.fuse_open, plan.repairs.len()), (false, 1));
}

#[test]
fn an_acknowledgement_suspends_the_rule_and_an_unacknowledged_false_repair_holds_it() {
    let mut dog = Watchdog::over(Action::Fail, mass_silence(40, 0, 0.0));
    assert!(dog.look_through(0.0, 60.0).fuse_open);
    let mut ack = entry(LedgerAction::AckFuse, 0, None);
    ack.repaired_at = at(61.0);
    dog.newest = vec![ack];
    assert_eq!(dog.look(65.0).repairs.len(), 40);
    let mut wrong = entry(LedgerAction::Fail, 500, Some(-6000.0));
    wrong.outcome = Some(LateOutcome::FalseRepair);
    wrong.repaired_at = at(-5000.0);
    dog.newest.push(wrong);
    assert!(dog.look(70.0).fuse_open, "whatever was acknowledged of the rule");
    dog.newest[1].acknowledged_at = Some(at(72.0));
    assert!(!dog.look(75.0).fuse_open);
}

/// An entry of a time that is yet to come was made up: it suspends nothing, and counts for nothing, until then.
#[test]
fn entries_of_the_far_future_neither_suspend_the_fuse_nor_open_it() {
    let far = at(50.0 * 365.0 * 86_400.0);
    let mut dog = Watchdog::over(Action::Fail, mass_silence(40, 0, 0.0));
    let mut ack = entry(LedgerAction::AckFuse, 0, None);
    ack.repaired_at = far;
    dog.newest = vec![ack];
    assert!(dog.look_through(0.0, 60.0).fuse_open);

    let mut dog = Watchdog::over(Action::Fail, vec![job(1, "RUNNING", Some(0.0), None)]);
    dog.newest = (100..150)
        .map(|id| {
            let mut fail = entry(LedgerAction::Fail, id, Some(-100.0));
            fail.repaired_at = far;
            fail
        })
        .collect();
    let plan = dog.look_through(0.0, 60.0);
    assert!(!plan.fuse_open);
    assert_eq!(plan.repairs.len(), 1);
}

/// A dog that reads a `fail` of job 1 in the ledger, whose row was left as `row`.
fn after_a_fail(row: Job, heartbeat_after: Option<TimeValue>) -> Watchdog {
    let mut dog = Watchdog::new(Action::Fail);
    let mut fail = entry(LedgerAction::Fail, 1, Some(-100.0));
    fail.heartbeat_after = heartbeat_after;
    dog.newest = vec![fail];
    dog.rows = vec![row];
    dog
}

#[test]
fn a_failed_job_that_shows_life_is_a_false_repair_from_the_pass_after() {
    let dead = || job(1, "FAIL", Some(-100.0), None);
    let lives = [
        (job(1, "FAIL", Some(-100.0), Some(1.0)), LifeSign::Beat),
        (job(1, "RUNNING", Some(-100.0), None), LifeSign::RunsAgain),
        (job(1, "SUCCESS", Some(-100.0), None), LifeSign::Succeeded),
        // A heartbeat that reads as seeded is a change all the same.
        (job(1, "FAIL", Some(-100.0), Some(-100.0)), LifeSign::Beat),
    ];
    for (alive, sign) in lives {
        let mut dog = after_a_fail(dead(), Some(TimeValue::ABSENT));
        assert_eq!(dog.look(0.0).findings, []);
        assert!(dog.memory.known_jobs().any(|id| id.text() == "1"), "it is read by key");
        let plan = dog.sees(5.0, vec![alive]);
        let found: Vec<_> = plan.findings.iter().map(|found| (found.outcome, found.sign)).collect();
        assert_eq!(found, [(LateOutcome::FalseRepair, sign)]);
        assert!(plan.fuse_open, "in the very pass that found it");
        dog.newest[0].outcome = Some(LateOutcome::FalseRepair);
        let plan = dog.look(10.0);
        assert_eq!(
            (plan.findings.len(), plan.fuse_open),
            (0, true),
            "written once, open until ack"
        );
        dog.newest[0].acknowledged_at = Some(at(11.0));
        assert!(!dog.look_through(15.0, 25.0).fuse_open, "calm for three passes");
    }
}

#[test]
fn what_is_no_sign_of_life_is_no_false_repair() {
    type Case = (&'static str, fn(&mut Watchdog));
    let cases: [Case; 6] = [
        ("nothing happened", |_| {}),
        ("a new start", |dog| {
            dog.rows = vec![job(1, "RUNNING", Some(-1.0), None)]
        }),
        ("the row is gone", |dog| dog.rows.clear()),
        ("undone", |dog| {
            let mut undo = entry(LedgerAction::Undo, 1, Some(-100.0));
            (undo.repair_id, undo.undo_of) = (RepairId(2), Some(RepairId(1)));
            dog.newest.push(undo);
            dog.rows = vec![job(1, "RUNNING", Some(-100.0), None)];
        }),
        ("another failure", |dog| {
            dog.rows = vec![job(1, "DEAD", Some(-100.0), None)]
        }),
        ("a day later", |dog| {
            dog.newest[0].repaired_at = at(-86_401.0);
            dog.look(4.0);
            dog.rows = vec![job(1, "SUCCESS", Some(-100.0), None)];
        }),
    ];
    for (name, change) in cases {
        let mut dog = after_a_fail(job(1, "FAIL", Some(-100.0), None), Some(TimeValue::ABSENT));
        dog.look(0.0);
        change(&mut dog);
        assert_eq!(dog.look(5.0).findings, [], "{name}");
    }
}

#[test]
fn an_entry_that_does_not_tell_the_heartbeat_is_judged_from_what_was_first_seen() {
    let seeded = job(1, "FAIL", Some(-100.0), Some(-100.0));
    let mut dog = after_a_fail(seeded.clone(), None);
    dog.look(0.0);
    assert_eq!(dog.look(5.0).findings, [], "as it was when first seen");
    dog.rows[0].heartbeat_at = TimeValue::from(at(-101.0));
    assert_eq!(dog.look(10.0).findings.len(), 1, "it changed while we looked");
    let mut dog = after_a_fail(job(1, "FAIL", Some(-100.0), Some(-10.0)), None);
    dog.look(0.0);
    assert_eq!(
        dog.look(5.0).findings.len(),
        1,
        "only a living job has a real heartbeat"
    );
}

#[test]
fn a_backfilled_job_that_beats_is_late_and_harmless() {
    let mut dog = Watchdog::new(Action::Backfill);
    dog.newest = vec![entry(LedgerAction::Backfill, 1, Some(-100.0))];
    dog.sees(0.0, vec![job(1, "RUNNING", Some(-100.0), Some(-100.0))]);
    let plan = dog.sees(5.0, vec![job(1, "RUNNING", Some(-100.0), Some(3.0))]);
    assert_eq!(plan.findings[0].outcome, LateOutcome::LateHeartbeat);
    assert!(!plan.fuse_open);
    assert_eq!(dog.inits().0, 0, "what was repaired is no init success");
}

#[test]
fn a_person_who_insists_gets_past_the_rules_and_never_past_the_guard() {
    let insist = |dog: &mut Watchdog| {
        dog.policy.by_hand = Some(ByHand {
            job: Some(JobId::new("1")),
            watch_for: SECOND * 5,
        });
    };
    type Case = (&'static str, Cause, fn(&mut Watchdog));
    let cases: [Case; 4] = [
        ("no start", Cause::NoStart, |dog| {
            dog.rows[0].started_at = TimeValue::ABSENT
        }),
        ("a start ahead", Cause::Clock, |dog| {
            dog.rows[0].started_at = TimeValue::from(at(9_999.0));
        }),
        ("undone", Cause::Undone, |dog| {
            let mut undo = entry(LedgerAction::Undo, 1, Some(-1000.0));
            (undo.repair_id, undo.undo_of) = (RepairId(2), Some(RepairId(1)));
            dog.ledger = vec![entry(LedgerAction::Fail, 1, Some(-1000.0)), undo];
        }),
        ("a restart", Cause::DbRestart, |dog| {
            dog.server_started_at = Some(at(-10.0))
        }),
    ];
    for (name, cause_without, change) in cases {
        let world = || {
            let mut dog = Watchdog::over(
                Action::Fail,
                vec![
                    job(1, "RUNNING", Some(-1000.0), None),
                    job(2, "RUNNING", Some(-1000.0), None),
                ],
            );
            change(&mut dog);
            dog
        };
        let mut dog = world();
        let causes: Vec<_> = dog.look_through(0.0, 70.0).jobs.iter().map(|view| view.cause).collect();
        assert!(causes.contains(&Some(cause_without)), "{name}: {causes:?}");
        let mut dog = world();
        insist(&mut dog);
        // A start that is missing or ahead counts from first sight, so that job is overdue a deadline later.
        let plan = dog.look_through(0.0, 70.0);
        let repaired: Vec<String> = plan.repairs.iter().map(|repair| repair.job.id.to_string()).collect();
        assert_eq!(repaired, ["1"], "{name}: that job, and no other");
        let waived = matches!(cause_without, Cause::NoStart | Cause::Clock);
        assert_eq!(plan.repairs[0].start == StartCheck::Waived, waived, "{name}");
        assert_eq!(
            plan.repairs[0].after_undo.is_some(),
            cause_without == Cause::Undone,
            "{name}"
        );
    }
    let mut dog = Watchdog::over(Action::Fail, vec![job(1, "RUNNING", Some(-700_000.0), None)]);
    insist(&mut dog);
    assert_eq!(dog.look_through(0.0, 5.0).repairs.len(), 1, "older than max_age");
    let mut dog = Watchdog::over(Action::Fail, mass_silence(40, 0, 0.0));
    insist(&mut dog);
    let plan = dog.look_through(0.0, 5.0);
    assert_eq!(
        (plan.fuse_open, plan.repairs.len()),
        (true, 1),
        "past an open fuse, one job"
    );
    for row in &mut dog.rows {
        row.heartbeat_at = TimeValue::from(at(6.0));
    }
    assert_eq!(dog.look(10.0).repairs, [], "a job that beats is never due");
}

#[test]
fn looking_twice_five_seconds_apart_is_enough_by_hand() {
    let mut dog = Watchdog::new(Action::Fail);
    dog.policy.by_hand = Some(ByHand {
        job: None,
        watch_for: SECOND * 5,
    });
    dog.rows = vec![job(1, "RUNNING", Some(-1000.0), None)];
    assert_eq!(cause(&dog.look(0.0)), Some(Cause::Watching));
    assert_eq!(dog.look(5.0).repairs.len(), 1);
}

#[test]
fn a_dribble_of_deaths_opens_the_fuse_over_a_deadline_and_a_wrong_zone_at_once() {
    // One death each 5 s beside 8 living jobs: none alone is many, eleven within one deadline are.
    let mut dog = Watchdog::new(Action::Fail);
    let mut opened = None;
    for step in 0..40_u32 {
        let now = f64::from(step) * 5.0;
        dog.rows = (100..108)
            .map(|id| job(id, "RUNNING", Some(-2000.0), Some(now)))
            .collect();
        if dog.look(now).fuse_open {
            opened = Some(step);
            break;
        }
        let mut done = entry(LedgerAction::Fail, 1 + step, Some(-1000.0));
        done.repair_id = RepairId(u128::from(step) + 1);
        done.repaired_at = at(now);
        dog.newest.insert(0, done);
    }
    assert_eq!(opened, Some(11));
    // A zone that makes every living job look an hour silent: nothing is failed, since none of them missed its first
    // beat, and those without a heartbeat are too many at once.
    let mut dog = Watchdog::over(
        Action::Fail,
        (0..40).map(|id| job(id, "RUNNING", Some(-3600.0), None)).collect(),
    );
    let plan = dog.look_through(0.0, 120.0);
    assert_eq!((plan.fuse_open, plan.repairs.len()), (true, 0));
}

#[test]
fn a_million_names_take_the_room_of_a_hundred() {
    let mut dog = Watchdog::new(Action::Observe);
    let mut dropped = 0;
    for pass in 0..20_u32 {
        dog.rows = (0..50_000)
            .map(|row| {
                let id = pass * 50_000 + row;
                let mut job = job(id, "RUNNING", Some(-10.0), Some(-1.0));
                job.name = Some(format!("name-{id}").into());
                job
            })
            .collect();
        let now = f64::from(pass) * 5.0;
        let plan = dog.look(now);
        dropped += plan.names_dropped;
        let report = dog.settle(now, plan, &Outcome::Locked);
        assert!(report.ages_by_name.len() <= 101, "a hundred names and the rest");
        assert!(report.jobs.len() <= 50);
        dog.events.clear();
    }
    // The labels that no job was under for ten passes changed their names, once within the hour.
    assert_eq!(dropped, 1_000_000 - 200);
}

/// A row as a writer might leave it at some moment, times relative to the test's zero.
fn any_row() -> impl Strategy<Value = Job> {
    let time = prop_oneof![Just(None), (-2000..400_i32).prop_map(|s| Some(f64::from(s)))];
    let state = prop_oneof![4 => Just("RUNNING"), 1 => Just("SUCCESS"), 1 => Just("FAIL"), 1 => Just("ODD")];
    (1..6_u32, state, time.clone(), time).prop_map(|(id, state, start, beat)| job(id, state, start, beat))
}

/// Tables over time: at each step some rows are replaced.
fn any_history() -> impl Strategy<Value = Vec<(Vec<Job>, bool)>> {
    prop::collection::vec(
        (prop::collection::vec(any_row(), 0..3), prop::bool::weighted(0.1)),
        1..60,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn plans_are_lawful_whatever_the_table_does(
        history in any_history(),
        fail in any::<bool>(),
        limit in 1..4_usize,
    ) {
        let mut dog = Watchdog::new(if fail { Action::Fail } else { Action::Backfill });
        dog.policy.max_per_pass = limit;
        let mut now = 0.0;
        // For each row as it is: since when it has been watched without a change or a gap, and its last seen beat.
        let mut unchanged: std::collections::HashMap<JobId, (Job, f64)> = Default::default();
        let mut beaten: std::collections::HashMap<JobId, f64> = Default::default();
        for (changes, gap) in history {
            now += if gap { 100.0 } else { 10.0 };
            for row in changes {
                dog.rows.retain(|old| old.id != row.id);
                dog.rows.push(row);
            }
            if gap {
                unchanged.clear();
            }
            for row in &dog.rows {
                match unchanged.get(&row.id) {
                    Some((old, _)) if old == row => {}
                    before => {
                        let same = before.is_some_and(|(old, _)| old.started_at == row.started_at
                            && old.state.as_deref() == Some("RUNNING") && row.state.as_deref() == Some("RUNNING"));
                        let beat = before.is_some_and(|(old, _)| old.heartbeat_at.at().is_some()
                            && row.heartbeat_at.at().is_some() && old.heartbeat_at != row.heartbeat_at);
                        if same && beat {
                            beaten.insert(row.id.clone(), now);
                        } else if !same {
                            beaten.remove(&row.id);
                        }
                        unchanged.insert(row.id.clone(), (row.clone(), now));
                    }
                }
            }
            let observation = dog.observation(now);
            let memory = dog.memory.clone();
            let (_, twin) = plan(memory, &observation, &dog.policy);
            let made = dog.look(now);
            prop_assert_eq!(&twin, &made, "same input, same plan");
            prop_assert!(made.repairs.len() <= limit);
            let planned: BTreeSet<&JobId> = made.repairs.iter().map(|repair| &repair.job.id).collect();
            prop_assert_eq!(planned.len(), made.repairs.len(), "no job twice");
            for view in &made.jobs {
                let in_plan = planned.contains(&view.id);
                let overdue = view.phase == Phase::MissedFirst;
                prop_assert_eq!(overdue, in_plan || view.cause.is_some(), "overdue: repaired or withheld for one cause");
                prop_assert!(!(in_plan && view.cause.is_some()));
                if in_plan {
                    let (row, since) = &unchanged[&view.id];
                    prop_assert_eq!((row.started_at.at(), row.heartbeat_at.at()), (view.started_at, view.last_heartbeat_at));
                    prop_assert!(made.repairs.iter().any(|repair| repair.job == *row));
                    prop_assert!(now - since >= 60.0, "watched for a whole deadline");
                    let start = row.started_at.at().expect("no start, no repair");
                    prop_assert!(start.age_at(made.at) >= DEADLINE);
                    prop_assert!(beaten.get(&row.id).is_none_or(|beat| now - beat >= 300.0), "a beating job");
                }
            }
            dog.settle(now, made, &Outcome::LostRace);
        }
    }
}
