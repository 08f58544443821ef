//! What the decision costs without a database: plan and report over 100, 10,000 and 100,000 running jobs, and how many bytes
//! are remembered of each.
//!
//! `cargo bench --bench plan`. An observation is made outside of what is measured: reading belongs to the store. `alloc`
//! and `max alloc` are counted by the harness's allocator, in the bytes that were asked for.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use beatwarden::domain::{
    Access, Action, Discovery, Guard, Job, JobId, Look, Memory, Moment, Newcomers, Noun, Observation, Plan, Policy,
    ServerIdentity, Snapshot, States, TimeValue, Timestamp, Timing, Unknowns, apply_outcomes, plan, report,
};
use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use std::{sync::Arc, time::Duration};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const JOBS: [usize; 3] = [100, 10_000, 100_000];
const SECOND: Duration = Duration::from_secs(1);
/// Some day of the year 2027, in microseconds.
const EPOCH: i64 = 1_800_000_000_000_000;

fn main() {
    divan::main();
}

/// A first pass: every job is new, and its init is decided.
#[divan::bench(args = JOBS, sample_count = 20, max_time = 2, skip_ext_time)]
fn first_sight(bencher: Bencher<'_, '_>, jobs: usize) {
    let policy = policy();
    bencher
        .counter(ItemsCount::new(jobs))
        .with_inputs(|| (Memory::default(), observation(jobs, 0)))
        .bench_local_values(|(memory, observation)| plan(memory, &observation, &policy));
}

/// A pass in which no row changed.
#[divan::bench(args = JOBS, sample_count = 20, max_time = 2, skip_ext_time)]
fn nothing_changed(bencher: Bencher<'_, '_>, jobs: usize) {
    let policy = policy();
    bencher
        .counter(ItemsCount::new(jobs))
        .with_inputs(|| (passed(jobs, &policy), without_beats(jobs)))
        .bench_local_values(|(memory, observation)| plan(memory, &observation, &policy));
}

/// A pass in which every job has beaten since the last one.
#[divan::bench(args = JOBS, sample_count = 20, max_time = 2, skip_ext_time)]
fn everyone_beats(bencher: Bencher<'_, '_>, jobs: usize) {
    let policy = policy();
    bencher
        .counter(ItemsCount::new(jobs))
        .with_inputs(|| (passed(jobs, &policy), observation(jobs, 1)))
        .bench_local_values(|(memory, observation)| plan(memory, &observation, &policy));
}

/// The report of such a pass, for log, metrics, page and API.
#[divan::bench(args = JOBS, sample_count = 20, max_time = 2, skip_ext_time)]
fn report_of_a_pass(bencher: Bencher<'_, '_>, jobs: usize) {
    let policy = policy();
    bencher
        .counter(ItemsCount::new(jobs))
        .with_inputs(|| planned(jobs, &policy))
        .bench_local_values(|(mut memory, mut plan, observation)| {
            apply_outcomes(&mut memory, &mut plan, &[]);
            let report = report(&memory, plan, Vec::new(), Vec::new(), &observation, &policy);
            (memory, report)
        });
}

/// What stays between two passes: `max alloc` of a copy of the memory is what is held for so many jobs, names included.
#[divan::bench(args = JOBS, sample_count = 20, max_time = 2, skip_ext_time)]
fn remembered(bencher: Bencher<'_, '_>, jobs: usize) {
    let policy = policy();
    let memory = passed(jobs, &policy);
    bencher.counter(ItemsCount::new(jobs)).bench_local(|| memory.clone());
}

fn passed(jobs: usize, policy: &Policy) -> Memory {
    plan(Memory::default(), &observation(jobs, 0), policy).0
}

fn planned(jobs: usize, policy: &Policy) -> (Memory, Plan, Observation) {
    let observation = observation(jobs, 1);
    let (memory, plan) = plan(passed(jobs, policy), &observation, policy);
    (memory, plan, observation)
}

/// The second pass over rows as the first one read them.
fn without_beats(jobs: usize) -> Observation {
    let mut observation = observation(jobs, 1);
    observation.snapshot.rows = rows(jobs, 0);
    observation
}

/// What is read in the pass of this number, a second after the one before: everybody has just beaten, but one job of a
/// hundred, which never did.
fn observation(jobs: usize, pass: u32) -> Observation {
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
fn rows(jobs: usize, pass: u32) -> Vec<Job> {
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

fn policy() -> Policy {
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
