//! What the decision costs without a database: plan and report over 100, 10,000 and 100,000 running jobs, and how many bytes
//! are remembered of each.
//!
//! `cargo bench --bench plan`. An observation is made outside of what is measured: reading belongs to the store. `alloc`
//! and `max alloc` are counted by the harness's allocator, in the bytes that were asked for.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

mod jobs;

use beatwarden::domain::{Memory, Observation, Plan, Policy, apply_outcomes, plan, report};
use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use jobs::{observation, policy, rows};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const JOBS: [usize; 3] = [100, 10_000, 100_000];

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
