//! The production code of watch and judgement over a simulated server and virtual time: thousands of histories with dying,
//! blocked and returning writers, several watchdogs, outages, failovers that lose commits, lost answers, jumping clocks and
//! frozen processes, each drawn from a seed. What must never happen is checked after every step by a judge that keeps its
//! own record by true time.
//!
//! `make sim SEEDS=100000` for many; `SEED=n cargo test --test core sim:: -- --nocapture` prints one history.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and this one prints its figures"
)]

mod aftermath;
mod counts;
mod dog;
mod driver;
mod elsewhere;
mod endings;
mod judge;
mod keyed;
mod operator;
mod parts;
mod rules;
mod scenario;
mod server;
mod shape;
mod shrink;
mod store;
mod surfaces;
mod visited;
mod world;
mod writers;

use dog::Process;
use parking_lot::Mutex;
use scenario::Fault;
use server::Micros;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::Instant,
};
use world::{BEGINNING, Event, Shared, Totals, World, lock};

/// How many run with the other tests.
const SEEDS: u64 = 600;

/// What every many histories must have in them, each of it: a simulation in which nothing happens proves nothing.
const DRAWN: &[&str] = &[
    "starts",
    "beats",
    "seeded heartbeats",
    "pauses between two beats",
    "lost jobs that beat again",
    "jobs blocked until their end",
    "jobs that finish late",
    "jobs that come back after their deadline",
    "deaths before the first beat",
    "deaths after beats",
    "ends",
    "deletions",
    "rows that run again with the same start",
    "rows that run again with a new start",
    "beats that write every column back",
    "blocked jobs that write every column back",
    "writers that never beat again after an error",
    "writers that wait for a repair",
    "mass silences",
    "wrong time zones",
    "histories of a file",
    "histories of two watches of one table",
    "histories of a key that is not unique",
    "second rows of a key",
    "passes that fail for a key of two rows",
    "histories of watches that are renamed",
    "histories with ledger entries of the first layout",
    "histories of a server that hides a part of its identity",
    "identities that lose or regain parts",
    "passes by a part of the identity",
    "histories without heartbeats",
    "histories without heartbeats that are observed",
    "passes after good runs that took too long",
    "histories with heartbeats in a table that refers to the jobs",
    "histories with heartbeats in a table that does not",
    "heartbeats in another table",
    "first heartbeats that are committed late",
    "first heartbeats that wait for a repair",
    "first heartbeats behind a repair's back",
    "jobs that an open first heartbeat holds",
    "owners' rows that are gone",
    "histories with a function",
    "functions that raise an error",
    "functions that leave the job running",
    "functions that end another job, too",
    "histories that put jobs back",
    "jobs that are put back",
    "jobs that were put back and run again",
    "histories where NULL is no state",
    "histories where NULL is waiting",
    "histories where NULL is no job",
    "histories with rows that are no jobs",
    "rows that are no jobs any more",
    "rows that are jobs again",
    "jobs that are failed for their age",
    "histories of a table of several pages",
    "passes by the key",
    "passes by the state",
    "full looks of several passes",
    "tails that begin",
    "ways that change",
    "keys that are committed after greater ones",
    "rollbacks",
    "inserts that fail",
    "jobs that begin in a state of no list",
    "old rows that run again",
    "passes without a row that runs",
    "tables emptied",
    "tables emptied, keys begin again",
    "crashes of the server",
    "failovers",
    "failovers that lose commits",
    "connections that break under a repair",
    "COMMIT hangs",
    "jumps of the database's clock, ahead",
    "jumps of the database's clock, back",
    "jumps of the writers' clock, ahead",
    "jumps of the writers' clock, back",
    "jumps of a watchdog's monotonic clock",
    "jumps of a watchdog's wall clock, ahead",
    "jumps of a watchdog's wall clock, back",
    "frozen watchdogs",
    "frozen watchdogs, the clock too",
    "a watchdog cut off",
    "killed watchdogs",
    "watchdogs that end as they are asked to",
    "obstacles to all repairs",
    "running rows without a start",
    "histories of which all that is shown is compared",
    "scrapes",
    "scrapes that know nothing",
    "good passes",
    "failed passes",
    "repairs",
    "lost races",
    "unknown outcomes",
    "false repairs",
    "open fuses",
    "undone repairs",
    "undos that are refused",
    "acknowledgements while things go wrong",
];

/// One history: its seed, and what is left out of it.
#[derive(Clone, Debug, Default)]
struct Run {
    seed: u64,
    /// Whether what happens is written down.
    trace: bool,
    /// The numbers of the pieces that don't happen.
    without: BTreeSet<usize>,
    is_planted: bool,
}

impl Run {
    fn of(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    fn traced(seed: u64) -> Self {
        Self {
            trace: true,
            ..Self::of(seed)
        }
    }
}

/// One history from its seed to its end.
fn history(run: &Run) -> World {
    // The backoff between failed passes draws from the thread's own generator.
    fastrand::seed(run.seed);
    let world: Shared = Arc::new(Mutex::new(World::new(run)));
    let mut lives: Vec<Option<Process>> = lock(&world).dogs.iter().map(|_| None).collect();
    let end = {
        let world = lock(&world);
        BEGINNING + world.scenario.busy + world.scenario.calm
    };
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let (event_at, dog_at) = {
            let world = lock(&world);
            let dogs = world.dogs.iter().enumerate().filter(|(_, dog)| dog.alive);
            let next = dogs.map(|(number, dog)| (dog.wake.max(dog.frozen_until), number)).min();
            (world.next_event(), next)
        };
        let earliest = event_at.into_iter().chain(dog_at.map(|(at, _)| at)).min();
        if earliest.is_none_or(|at| at > end) {
            break;
        }
        match (event_at, dog_at) {
            (Some(event), Some(dog)) if dog.0 < event => run_dog(&world, &mut lives, &mut context, dog),
            (None, Some(dog)) => run_dog(&world, &mut lives, &mut context, dog),
            _ => {
                let event = lock(&world).pop_event().unwrap();
                happen(&world, &mut lives, event);
            }
        }
    }
    // The processes hold the world: they go first.
    drop(lives);
    let mut world = Arc::into_inner(world).unwrap().into_inner();
    world.now = end;
    world.judge_the_end();
    world
}

/// A process runs until it waits; true if it ended, as it was asked to.
fn step(process: &mut Option<Process>, context: &mut Context<'_>) -> bool {
    process
        .as_mut()
        .is_some_and(|process| process.life.as_mut().poll(context).is_ready())
}

/// A process takes its next step.
fn run_dog(world: &Shared, lives: &mut [Option<Process>], context: &mut Context<'_>, (at, dog): (Micros, usize)) {
    lock(world).now = at;
    if step(&mut lives[dog], context) {
        lives[dog] = None;
        lock(world).has_ended(dog);
    }
}

fn happen(world: &Shared, lives: &mut [Option<Process>], event: Event) {
    let mut inside = lock(world);
    match event {
        Event::Begin(habit) => inside.begin_job(habit),
        Event::Writer(ticket, step) => inside.writer_step(ticket, step),
        Event::Arrive(dog, number) => inside.arrive(dog, number),
        Event::Commit(dog, number, transaction) => inside.commit(dog, number, transaction),
        Event::Scrape(dog) => {
            let answers = inside.dogs[dog].frozen_until <= inside.now;
            drop(inside);
            let surfaces = lives[dog].as_ref().and_then(|process| process.surfaces.as_ref());
            if let Some(surfaces) = surfaces.filter(|_| answers) {
                surfaces.judge(world, dog);
            }
        }
        Event::Operator { fuse } => inside.acknowledge(fuse),
        Event::Undo => inside.undo(),
        Event::Fault(Fault::Begin(dog)) => {
            if !inside.dogs[dog].alive {
                inside.say(|| format!("dog {dog}: begins"));
                let now = inside.now;
                let process = &mut inside.dogs[dog];
                process.process += 1;
                process.alive = true;
                (process.is_to_stop, process.is_stopping) = (false, false);
                process.born = now;
                process.clock_offset = 0;
                process.wake = now;
                process.frozen_until = 0;
                process.last_pass = now;
                process.seen = judge::Seen::default();
                process.seen.disturbed = now;
                process.good_passes = aftermath::GoodPasses::default();
                process.expected = surfaces::Expected::default();
                process.phases = visited::Phases::default();
                drop(inside);
                lives[dog] = Some(Process::begin(world, dog));
            }
        }
        Event::Fault(Fault::Kill(dog)) => {
            if inside.dogs[dog].alive {
                inside.say(|| format!("dog {dog}: is killed"));
                inside.totals.count("killed watchdogs");
                inside.kills += 1;
                inside.dogs[dog].alive = false;
                drop(inside);
                lives[dog] = None;
            }
        }
        Event::Fault(fault) => inside.strike(&fault),
    }
}

/// Runs many seeds on every core, or as many as it takes to the first that goes wrong where `FIRST_WRONG` is set; the totals, and the seeds that went wrong with the first of their violations.
fn run(seeds: std::ops::Range<u64>) -> (Totals, Vec<(u64, String)>) {
    let next = AtomicU64::new(seeds.start);
    let wrong = Mutex::new(Vec::new());
    let totals = Mutex::new(Totals::default());
    let to_first = is_mutant();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || to_first && !wrong.lock().is_empty() {
                        return;
                    }
                    let outcome = std::panic::catch_unwind(|| history(&Run::of(seed)));
                    match outcome {
                        Ok(world) => {
                            totals.lock().add(&world.totals);
                            if let Some(first) = world.violations.first() {
                                wrong.lock().push((seed, first.clone()));
                            }
                        }
                        Err(_) => wrong.lock().push((seed, "a panic".to_owned())),
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner();
    wrong.sort();
    (totals.into_inner(), wrong)
}

/// Whether only the first that goes wrong is wanted, and quickly.
fn is_mutant() -> bool {
    std::env::var_os("FIRST_WRONG").is_some()
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn no_history_breaks_a_promise() {
    if let Some(seed) = number("SEED") {
        let without = std::env::var("WITHOUT").unwrap_or_default();
        let without = without.split(',').filter_map(|number| number.parse().ok()).collect();
        let world = history(&Run {
            without,
            ..Run::traced(seed)
        });
        println!("{:#?}", world.scenario);
        println!("{}", world.pieces.join("\n"));
        println!("{}", world.trace.unwrap().join("\n"));
        println!("{:?}", world.totals);
        assert_eq!(world.violations, Vec::<String>::new(), "seed {seed}");
        return;
    }
    let (first, many) = (number("FIRST_SEED").unwrap_or(1), number("SEEDS").unwrap_or(SEEDS));
    let began = Instant::now();
    let (totals, wrong) = run(first..first + many);
    let rate = many as f64 / began.elapsed().as_secs_f64();
    println!("{many} histories, {rate:.0} in a second, {} violations", wrong.len());
    for what in DRAWN {
        println!("{:>12} {what}", totals.of(what));
    }
    for ((kind, what, to), times) in totals.visited() {
        println!("{times:>12} {kind} {what} {to}");
    }
    for (seed, what) in wrong.iter().take(10) {
        println!("seed {seed}: {what}\n  SEED={seed} cargo test --locked --test core sim:: -- --nocapture");
    }
    let shortest = wrong.first().filter(|_| !is_mutant());
    if let Some(shrunk) = shortest.and_then(|(seed, _)| shrink::shrink(&Run::of(*seed))) {
        println!("{shrunk}");
    }
    assert!(wrong.is_empty(), "{} of {many} seeds went wrong", wrong.len());
    // A few histories can't have all of it.
    for what in DRAWN.iter().filter(|_| many >= SEEDS) {
        assert!(totals.of(what) > many / 500, "{what}: {} only", totals.of(what));
    }
    if many >= SEEDS {
        assert_eq!(totals.unvisited(), Vec::<String>::new());
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 1..20 {
        let run = Run::traced(seed);
        assert_eq!(history(&run).trace, history(&run).trace, "seed {seed}");
    }
}
