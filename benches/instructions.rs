//! How many instructions the pure core takes: the same in every run, so a change of a few percent shows.
//!
//! `make instructions` runs it under Callgrind, and fails when a figure is more than 3 % above the one kept here.
//! A change that is meant to cost more, or less, brings its own figure. An allocation counts with what the C library does for it.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(missing_docs, reason = "the harness makes its functions public")]

mod jobs;

use beatwarden::{
    domain::{
        Access, Action, Coverage, Discovery, Job, JobId, Memory, Moment, Newcomers, Observation, Plan, Report,
        ServerIdentity, Snapshot, Timestamp, apply_outcomes, plan, report,
    },
    mapping::Mapping,
    metrics::{Metrics, Scrape},
    pass::{Audience, Clock, GoodPass},
    status::{Board, Roster, WatchTerms},
    store::{
        DiscoverySetting, ObserveRequest, TimeBudget,
        look::{Carried, Database, FactsFor, Keyless, Look, Step, Table},
        question::{self, Answer, Facts, Question, Rows, Span},
    },
};
use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use jobs::{EPOCH, observation, policy, rows, runs};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The figure kept of a measured function, and how far it may be exceeded.
fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    LibraryBenchmarkConfig::default()
        .tool(Callgrind::default().hard_limits([(EventKind::Ir, instructions + instructions * 3 / 100)]))
        .clone()
}

const SECOND: Duration = Duration::from_secs(1);

fn mapping() -> Mapping {
    Mapping {
        error: None,
        ..runs::mapping()
    }
}

/// What such a database answers. The driver makes the rows, and the look takes them over.
fn answer(question: &Question, rows: &mut Vec<Job>, access: Access) -> Answer {
    let mut all = || Rows::from(std::mem::take(rows));
    match question {
        Question::AccessPlan => Answer::AccessPlan(question::AccessPlan {
            access,
            is_expensive: true,
        }),
        Question::Unknown => Answer::Unknown(Some(Vec::new())),
        Question::LongestRun => Answer::LongestRun(question::LongestRun::NoneGood),
        Question::Moment => Answer::Moment(question::Moment {
            now: Timestamp::from_micros(EPOCH),
            server: ServerIdentity("primary".to_owned()),
            server_started_at: None,
            version: Some("1".to_owned()),
            transactions: None,
        }),
        Question::Running { .. } => Answer::Running(all(), None),
        Question::Tail(Span { .. }) | Question::Newcomers { .. } => Answer::Tail(all()),
        Question::Newest { window } => Answer::Newest(Vec::new(), window.map(|_| Rows::default())),
        Question::History { .. } | Question::Known(_) => Answer::Rows(Rows::default()),
        Question::Top => Answer::Top(None),
        Question::Page(_) => Answer::Page(question::Page::default()),
        Question::Keyless => Answer::Keyless(0),
        Question::Facts => Answer::Facts(Facts {
            ledger_readable: true,
            ..Facts::default()
        }),
        Question::LedgerProbe { .. } => Answer::LedgerProbe(question::LedgerMark::default()),
        Question::LedgerOfJobs(_) => Answer::LedgerOfJobs(Vec::new()),
        Question::LedgerNewest => Answer::LedgerNewest(Vec::new(), 0),
    }
}

/// A database in which so many jobs run and nothing else is.
struct Running {
    rows: Vec<Job>,
    mapping: Mapping,
    request: ObserveRequest,
    carried: Carried,
    now: Instant,
    /// How it finds the running rows: by a scan where the look is to follow the key.
    access: Access,
}

impl Running {
    fn pass(self) -> (Snapshot, Carried) {
        let Self {
            mut rows,
            mapping,
            request,
            carried,
            now,
            access,
        } = self;
        let table = Table {
            mapping: &mapping,
            action: Action::Backfill,
            seed_tolerance: Duration::from_millis(5),
            wanted: DiscoverySetting::Auto,
            grows: true,
            lowest: i64::MIN,
            is_unique: true,
            keyless: Keyless::None,
            facts: None,
            newcomers_for: SECOND,
            database: Database {
                one_snapshot: true,
                commits_late: true,
                facts_for: FactsFor {
                    plain: SECOND * 30,
                    short: SECOND * 5,
                },
                pages: (TimeBudget::Unlimited, Duration::MAX),
            },
        };
        let (mut look, mut round) = Look::begin(&request, table, &carried, now, now);
        loop {
            let answers = round
                .questions
                .iter()
                .map(|question| answer(question, &mut rows, access))
                .collect();
            match look.take(answers, now).unwrap() {
                Step::Ask(next) => round = next,
                Step::Done(snapshot, after) => return (snapshot, after),
            }
        }
    }
}

fn running(rows: Vec<Job>, request: ObserveRequest, carried: Carried, access: Access) -> Running {
    Running {
        rows,
        mapping: mapping(),
        request,
        carried,
        now: Instant::now(),
        access,
    }
}

fn known_of(snapshot: &Snapshot) -> ObserveRequest {
    let known = snapshot.rows.iter().map(|job| job.id.clone()).collect();
    ObserveRequest::whole(known, Coverage::Ordinary)
}

/// A database after a first pass, with all its jobs known.
fn known(jobs: usize) -> Running {
    let first = ObserveRequest::whole(Vec::new(), Coverage::Full);
    let (snapshot, carried) = running(rows(jobs, 0), first, Carried::default(), Access::Index).pass();
    assert_eq!(snapshot.rows.len(), jobs, "the look takes every row");
    running(rows(jobs, 1), known_of(&snapshot), carried, Access::Index)
}

/// The same where the jobs came one after the other and their keys step by ten: as many keys are missing as a look remembers.
fn known_among_gaps(jobs: usize) -> Running {
    let spaced = |pass| {
        let spaced = |(number, job)| Job {
            id: JobId::from_number(number * 10),
            ..job
        };
        (1_i64..).zip(rows(jobs, pass)).map(spaced).collect()
    };
    let first = ObserveRequest::whole(Vec::new(), Coverage::Full);
    let (snapshot, carried) = running(Vec::new(), first, Carried::default(), Access::Scan).pass();
    let (snapshot, carried) = running(spaced(0), known_of(&snapshot), carried, Access::Scan).pass();
    assert_eq!(snapshot.rows.len(), jobs, "the look takes every newcomer");
    running(spaced(1), known_of(&snapshot), carried, Access::Scan)
}

// A pass over jobs that all are known, without what the database does.
#[library_benchmark(setup = known)]
#[bench::of_100(args = (100), config = at_most(27_214))]
#[bench::of_10_000(args = (10_000), config = at_most(1_727_412))]
fn look(database: Running) -> (Snapshot, Carried) {
    database.pass()
}

// The same pass beside 5,000 missing keys.
#[library_benchmark(setup = known_among_gaps)]
#[bench::of_600(args = (600), config = at_most(652_451))]
fn look_past_gaps(database: Running) -> (Snapshot, Carried) {
    database.pass()
}

/// What a process remembers after a first pass, and what the second one reads.
fn second_pass(jobs: usize) -> (Memory, Observation) {
    let input = (
        plan(Memory::default(), &observation(jobs, 0), &policy()).0,
        observation(jobs, 1),
    );
    // With the next large block the allocator joins what was freed meanwhile: now, and not where it is counted.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(64 << 10)));
    input
}

fn planned((memory, observation): (Memory, Observation)) -> (Memory, Plan, Observation) {
    let (memory, plan) = plan(memory, &observation, &policy());
    (memory, plan, observation)
}

// The decision in a pass in which every job sent a heartbeat.
#[library_benchmark(setup = second_pass)]
#[bench::of_100(args = (100), config = at_most(87_765))]
#[bench::of_10_000(args = (10_000), config = at_most(11_472_962))]
fn decide(input: (Memory, Observation)) -> (Memory, Plan, Observation) {
    planned(input)
}

fn decided(jobs: usize) -> (Memory, Plan, Observation) {
    planned(second_pass(jobs))
}

fn reported((mut memory, mut plan, observation): (Memory, Plan, Observation)) -> (Memory, Report) {
    apply_outcomes(&mut memory, &mut plan, &[]);
    let report = report(&memory, plan, Vec::new(), Vec::new(), &observation, &policy());
    (memory, report)
}

// The report of such a pass.
#[library_benchmark(setup = decided)]
#[bench::of_100(args = (100), config = at_most(143_432))]
#[bench::of_10_000(args = (10_000), config = at_most(5_602_831))]
fn describe(input: (Memory, Plan, Observation)) -> (Memory, Report) {
    reported(input)
}

#[derive(Clone)]
struct Still;

impl Clock for Still {
    fn moment(&self) -> Moment {
        Moment::from_start(SECOND * 1_001)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(EPOCH)
    }
}

/// The metrics of one watch after a good pass.
fn exported(jobs: usize) -> Metrics {
    let board = Arc::new(Board::new(WatchTerms {
        policy: policy(),
        poll_interval: SECOND * 5,
        poll_timeout: SECOND * 10,
        init_objective: 0.99,
        labels_names: true,
        target: None,
        index_advice: String::new(),
        preset: Some("meltano".to_owned()),
        table: "runs".to_owned(),
    }));
    let roster = Arc::new(Roster::new(vec![("meltano".to_owned(), board.clone())], Still.wall()));
    let metrics = Metrics::new("1.0.0", "unknown", roster, Still);
    let pass = Arc::new(GoodPass {
        report: reported(decided(jobs)).1,
        at: Still.moment(),
        wall: Still.wall(),
        took: Duration::from_millis(3),
        interval: SECOND * 5,
        clock_skew: 0.0,
        newcomers: Newcomers::Followed,
        discovery: Discovery::KeyTail,
        access: Access::Index,
        coverage: Coverage::Ordinary,
        prepared: None,
    });
    metrics.watch("meltano", board.clone()).good(pass.clone());
    board.good(pass);
    metrics
}

// A scrape after a pass.
#[library_benchmark(setup = exported)]
#[bench::of_100(args = (100), config = at_most(1_645_811))]
#[bench::of_10_000(args = (10_000), config = at_most(1_687_211))]
fn encode(metrics: Metrics) -> (Metrics, Arc<Scrape>) {
    let scrape = metrics.scrape();
    (metrics, scrape)
}

library_benchmark_group!(
    name = pass;
    benchmarks = look, look_past_gaps, decide, describe, encode
);
main!(library_benchmark_groups = pass);
