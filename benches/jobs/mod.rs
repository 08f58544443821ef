//! Running jobs as a pass reads them, for the benchmarks of what decides over them.

use beatwarden::domain::{
    Access, Coverage, Discovery, Guard, Job, JobId, Moment, Newcomers, Observation, ServerIdentity, SharedText,
    Snapshot, TimeValue, Timestamp, Timing, Unknowns,
};
pub use runs::policy;
use std::time::Duration;

#[allow(dead_code, reason = "each benchmark uses a part of it")]
#[path = "../../tests/support/runs.rs"]
pub mod runs;

const SECOND: Duration = Duration::from_secs(1);
/// Some day of the year 2027, in microseconds.
pub const EPOCH: i64 = 1_800_000_000_000_000;

/// What is read in the pass of this number, a second after the one before: everyone has just beaten, but one job of a
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
            coverage: Coverage::Ordinary,
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
    let names: Vec<SharedText> = (0..500)
        .map(|number| format!("prod:tap-source{number}-to-target-warehouse").into())
        .collect();
    let running: SharedText = "RUNNING".into();
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
