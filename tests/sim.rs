//! The production code of watch and judgement over a simulated server and virtual time: thousands of histories with dying,
//! blocked and returning writers, several watchdogs, outages, failovers that lose commits, lost answers, jumping clocks and
//! frozen processes, each drawn from a seed. What must never happen is checked after every step by a judge that keeps its
//! own record by true time.
//!
//! `make sim SEEDS=100000` for many; `SEED=n cargo test --test sim -- --nocapture` tells one history.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and this one tells its figures"
)]

#[path = "sim/dog.rs"]
mod dog;
#[path = "sim/scenario.rs"]
mod scenario;
#[path = "sim/server.rs"]
mod server;
#[path = "sim/world.rs"]
mod world;

use beatwarden::domain::{Action, blind_after};
use scenario::{Fault, Scenario};
use server::{Micros, SECOND, micros};
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::Instant,
};
use world::{BEGINNING, Event, Shared, Totals, World, lock};

/// Histories that once went wrong, or that only one of many drew: they are told every time.
const KEPT: &[u64] = &[];
/// So many run with the other tests.
const SEEDS: u64 = 3_000;

/// Two readings this far apart say nothing about what was between them. Two seconds more than the watch grants itself:
/// so much a clock may be off before it is noticed.
fn gap(scenario: &Scenario) -> Micros {
    micros(blind_after(scenario.interval, scenario.deadline)) + 2_200_000
}

type Life = Pin<Box<dyn Future<Output = ()>>>;

/// One history from its seed to its end.
fn history(seed: u64, trace: bool) -> World {
    // The backoff between failed passes draws from the thread's own generator.
    fastrand::seed(seed);
    let world: Shared = Arc::new(Mutex::new(World::new(seed, trace)));
    let mut lives: Vec<Option<Life>> = lock(&world).dogs.iter().map(|_| None).collect();
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
            (Some(event), Some((dog, number))) if dog < event => {
                lock(&world).now = dog;
                step(&mut lives[number], &mut context);
            }
            (None, Some((dog, number))) => {
                lock(&world).now = dog;
                step(&mut lives[number], &mut context);
            }
            _ => {
                let event = lock(&world).pop_event().unwrap();
                happen(&world, &mut lives, event);
            }
        }
    }
    // The processes hold the world: they go first.
    drop(lives);
    let mut world = Arc::into_inner(world).unwrap().into_inner().unwrap();
    world.now = end;
    judge_the_end(&mut world);
    world
}

fn step(life: &mut Option<Life>, context: &mut Context<'_>) {
    if let Some(life) = life {
        assert!(life.as_mut().poll(context).is_pending(), "a process ended by itself");
    }
}

fn happen(world: &Shared, lives: &mut [Option<Life>], event: Event) {
    let mut inside = lock(world);
    match event {
        Event::Writer(id, step) => inside.writer_step(id, step),
        Event::Arrive(dog, number) => inside.arrive(dog, number),
        Event::Commit(dog, number, transaction) => inside.commit(dog, number, transaction),
        Event::Operator { fuse } => {
            let now = inside.now;
            inside.server.acknowledge(fuse, now);
            inside.acknowledged |= fuse;
        }
        Event::Fault(Fault::Begin(dog)) => {
            if !inside.dogs[dog].alive {
                inside.say(|| format!("dog {dog}: begins"));
                let now = inside.now;
                let process = &mut inside.dogs[dog];
                process.process += 1;
                process.alive = true;
                process.born = now;
                process.clock_offset = 0;
                process.wake = now;
                process.frozen_until = 0;
                process.seen = world::Seen::default();
                process.inits.clear();
                lives[dog] = Some(Box::pin(dog::live(world.clone(), dog)));
            }
        }
        Event::Fault(Fault::Kill(dog)) => {
            if inside.dogs[dog].alive {
                inside.say(|| format!("dog {dog}: is killed"));
                inside.totals.faults += 1;
                inside.kills += 1;
                inside.dogs[dog].alive = false;
                drop(inside);
                lives[dog] = None;
            }
        }
        Event::Fault(fault) => inside.strike(&fault),
    }
}

/// What must be true when all has been calm for long: I2 and I4.
fn judge_the_end(world: &mut World) {
    for (id, reported) in world.reported.clone() {
        let commits = world.commits.get(&id).copied().unwrap_or_default();
        if reported > commits {
            world.wrong(format!(
                "I2: repair {id:?} was reported {reported} times, and committed {commits} times"
            ));
        }
    }
    if world.kills == 0 && world.failovers == 0 {
        for (id, commits) in world.commits.clone() {
            let reported = world.reported.get(&id).copied().unwrap_or_default();
            if reported != commits {
                world.wrong(format!(
                    "I2: repair {id:?} was committed {commits} times, and reported {reported} times"
                ));
            }
        }
    }
    let deadline = micros(world.scenario.deadline);
    let interval = micros(world.scenario.interval);
    let db = world.server.clock(world.now);
    let fail = world.scenario.action == Action::Fail;
    for (job, (since, start)) in world.dead.clone() {
        let Some(row) = world
            .server
            .rows()
            .get(&job)
            .cloned()
            .filter(|row| row.started_at == start)
        else {
            continue;
        };
        let seeded = row.heartbeat_at.is_some();
        let watching: Vec<_> = world.dogs.iter().filter(|dog| dog.alive).collect();
        // A start that lay ahead is never repaired by itself, and an open fuse holds all.
        let excused = watching
            .iter()
            .all(|dog| dog.seen.ahead.contains(&(job, start)) || dog.fuse_open && fail);
        let overdue = start + deadline * 2 <= db;
        // Time enough for the longest of the rules, since it died and since the last disturbance.
        let enough = world.now - since >= world.scenario.calm - 20 * SECOND;
        let untouched = row.state == "RUNNING" && (fail || !seeded);
        if untouched && overdue && enough && !excused {
            world.wrong(format!("I4: job {job} is dead and was not repaired: {row:?}"));
        }
    }
    // Where nothing went wrong, the promise by the clock.
    let calm = !world.scenario.faulty && !world.scenario.mass_silence && world.totals.false_repairs == 0;
    if calm && world.scenario.fuse_min_jobs == 1_000 {
        for (job, at) in world.commit_times.clone() {
            let once = world.starts.get(&job).is_some_and(|starts| starts.len() == 1);
            let took = at - world.discovered[&job];
            let promised = deadline + 2 * interval + 5 * SECOND / 2;
            if once && world.dead.contains_key(&job) && took > promised {
                world.wrong(format!(
                    "I4: job {job} was repaired {took} us after its discovery, not {promised}"
                ));
            }
        }
    }
}

/// Runs many seeds on every core; the totals, and the seeds that went wrong with the first of their violations.
fn run(seeds: std::ops::Range<u64>) -> (Totals, Vec<(u64, String)>) {
    let next = AtomicU64::new(seeds.start);
    let wrong = Mutex::new(Vec::new());
    let totals = Mutex::new(Totals::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let told = std::panic::catch_unwind(|| history(seed, false));
                    match told {
                        Ok(world) => {
                            totals.lock().unwrap().add(&world.totals);
                            if let Some(first) = world.violations.first() {
                                wrong.lock().unwrap().push((seed, first.clone()));
                            }
                        }
                        Err(_) => wrong.lock().unwrap().push((seed, "a panic".to_owned())),
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    (totals.into_inner().unwrap(), wrong)
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn no_history_breaks_a_promise() {
    if let Some(seed) = number("SEED") {
        let world = history(seed, true);
        println!("{:#?}", world.scenario);
        println!("{}", world.trace.unwrap().join("\n"));
        println!("{:?}", world.totals);
        assert_eq!(world.violations, Vec::<String>::new(), "seed {seed}");
        return;
    }
    for seed in KEPT {
        assert_eq!(
            history(*seed, false).violations,
            Vec::<String>::new(),
            "kept seed {seed}"
        );
    }
    let (first, many) = (number("FIRST_SEED").unwrap_or(1), number("SEEDS").unwrap_or(SEEDS));
    let began = Instant::now();
    let (totals, wrong) = run(first..first + many);
    let rate = many as f64 / began.elapsed().as_secs_f64();
    println!(
        "{many} histories, {rate:.0} in a second, {} violations\n{totals:?}",
        wrong.len()
    );
    for (seed, what) in wrong.iter().take(10) {
        println!("seed {seed}: {what}\n  SEED={seed} cargo test --test sim -- --nocapture");
    }
    assert!(wrong.is_empty(), "{} of {many} seeds went wrong", wrong.len());
    // A simulation in which nothing happens proves nothing.
    for (what, times) in totals.each() {
        assert!(times > many / 500, "{what}: {times} only");
    }
}

#[test]
fn the_same_seed_tells_the_same_history() {
    for seed in 1..20 {
        assert_eq!(history(seed, true).trace, history(seed, true).trace, "seed {seed}");
    }
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.jobs += other.jobs;
        self.dead += other.dead;
        self.passes += other.passes;
        self.failed_passes += other.failed_passes;
        self.repairs += other.repairs;
        self.lost_races += other.lost_races;
        self.unknown += other.unknown;
        self.false_repairs += other.false_repairs;
        self.fuse_opened += other.fuse_opened;
        self.faults += other.faults;
    }

    fn each(&self) -> [(&'static str, u64); 10] {
        [
            ("jobs", self.jobs),
            ("dead jobs", self.dead),
            ("passes", self.passes),
            ("failed passes", self.failed_passes),
            ("repairs", self.repairs),
            ("lost races", self.lost_races),
            ("unknown outcomes", self.unknown),
            ("false repairs", self.false_repairs),
            ("open fuses", self.fuse_opened),
            ("faults", self.faults),
        ]
    }
}
