//! Running jobs as a pass reads them, for the benchmarks of what decides over them.

use beatwarden::domain::{
    Access, Action, Discovery, Guard, Job, JobId, Look, Moment, Newcomers, Noun, Observation, Policy, ServerIdentity,
    Snapshot, States, TimeValue, Timestamp, Timing, Unknowns,
};
use std::{sync::Arc, time::Duration};

const SECOND: Duration = Duration::from_secs(1);
/// Some day of the year 2027, in microseconds.
pub const EPOCH: i64 = 1_800_000_000_000_000;

/// What is read in the pass of this number, a second after the one before: everybody has just beaten, but one job of a
/// hundred, which never did.
pub fn observation(jobs: usize, pass: u32) -> Observation {
    let moment = Moment::from_start(SECOND * (pass + 1_000));
    Observation {
        began: moment,
        finished: moment,
        interval: SECOND,
        snapshot: Snapshot {
            database_now: Timestamp::from_micros(EPOCH).plus(SECOND * pass),
            server: ServerIdentity("primary".to_owned()),
            server_started_at: None,
            unknowns: Unknowns::default(),
            rows: rows(jobs, pass),
            keyless: 0,
            look: Look::Ordinary,
            discovery: Discovery::KeyTail,
            access: Access::Index,
            newcomers: Newcomers::Followed,
            obstacles: Vec::new(),
            guard: Guard::Absent,
            precedents: Vec::new(),
            newest_repairs: Vec::new(),
            timing: Timing::default(),
        },
    }
}

/// Names and states are shared, as the stores share them.
pub fn rows(jobs: usize, pass: u32) -> Vec<Job> {
    let now = Timestamp::from_micros(EPOCH).plus(SECOND * pass);
    let names: Vec<Arc<str>> = (0..500)
        .map(|number| format!("prod:tap-source{number}-to-target-warehouse").into())
        .collect();
    let running: Arc<str> = "RUNNING".into();
    (0..jobs)
        .map(|number| Job {
            id: JobId::from_number(10_000_000 + number as i64),
            name: Some(names[number % names.len()].clone()),
            state: Some(running.clone()),
            started_at: TimeValue::from(Timestamp::from_micros(EPOCH - 1_800_000_000 + number as i64)),
            heartbeat_at: if number % 100 == 0 {
                TimeValue::ABSENT
            } else {
                TimeValue::from(now)
            },
            ended_at: TimeValue::ABSENT,
        })
        .collect()
}

pub fn policy() -> Policy {
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Policy {
        watch: "meltano".into(),
        noun: Noun::default(),
        states: States {
            running: list(&["RUNNING"]),
            success: list(&["SUCCESS"]),
            failure: list(&["FAIL", "DEAD"]),
            waiting: list(&["IDLE"]),
            ignore: list(&["STATE_EDIT"]),
            ..States::default()
        },
        init_deadline: SECOND * 60,
        max_runtime: None,
        heartbeat_timeout: SECOND * 300,
        seed_tolerance: Duration::from_millis(5),
        max_age: SECOND * 7 * 86_400,
        init_window: SECOND * 3_600,
        action: Action::Backfill,
        fuse_min_jobs: 10,
        fuse_share: 0.5,
        max_per_pass: 100,
        writer_stale_after: Some(SECOND * 300),
        writer_stale_after_without_heartbeat: Some(SECOND * 86_400),
        by_hand: None,
    }
}
