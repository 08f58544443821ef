//! A watchdog process in the simulation: the production watch over a store, a clock and an audience of the simulated world.

use super::{
    rules::Rules,
    scenario::Scenario,
    server::{Micros, RUNNING, WAITING, micros},
    store::{POLL_TIMEOUT, SimStore},
    surfaces::Surfaces,
    world::{Shared, lock},
};
use crate::runs::{self, list};
use beatwarden::{
    domain::{Event as Happened, LateOutcome, Moment, Noted, Outcome, Phase, Policy, States, Timestamp},
    pass::{Audience, Clock, FailedPass, GoodPass},
    watch::{FullLooks, Pace, Watch},
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// A wait of one process by virtual time.
pub struct Nap {
    world: Shared,
    dog: usize,
    takes: Micros,
    until: Option<Micros>,
}

impl Nap {
    pub fn new(world: &Shared, dog: usize, takes: Micros) -> Self {
        Self {
            world: world.clone(),
            dog,
            takes,
            until: None,
        }
    }
}

impl Future for Nap {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut world = lock(&this.world);
        let now = world.now;
        let until = *this.until.get_or_insert(now + this.takes);
        if now >= until {
            return Poll::Ready(());
        }
        world.dogs[this.dog].wake = until;
        Poll::Pending
    }
}

/// The clocks of one process.
#[derive(Clone)]
pub struct SimClock {
    world: Shared,
    dog: usize,
}

impl Clock for SimClock {
    fn moment(&self) -> Moment {
        let moment = lock(&self.world).moment(self.dog);
        Moment::from_start(Duration::from_micros(u64::try_from(moment).unwrap_or(0)))
    }

    fn wall(&self) -> Timestamp {
        let world = lock(&self.world);
        Timestamp::from_micros(world.now + world.dogs[self.dog].wall_offset)
    }
}

struct SimAudience {
    world: Shared,
    dog: usize,
    surfaces: Option<Arc<Surfaces>>,
}

impl Audience for SimAudience {
    fn good(&self, pass: Arc<GoodPass>) {
        self.judge_good(&pass);
        if let Some(surfaces) = &self.surfaces {
            surfaces.good(pass);
            surfaces.judge(&self.world, self.dog);
        }
    }

    fn failed(&self, pass: FailedPass) {
        {
            let mut world = lock(&self.world);
            world.totals.count("failed passes");
            let (dog, now) = (self.dog, world.now);
            world.say(|| format!("dog {dog}: failed pass, {}", pass.error));
            let process = &mut world.dogs[dog];
            process.last_pass = now;
            process.seen.disturbed = now;
            let expected = &mut process.expected;
            (expected.has_failed, expected.polls, expected.failures) =
                (true, expected.polls + 1, expected.failures + 1);
        }
        if let Some(surfaces) = &self.surfaces {
            surfaces.failed(pass);
            surfaces.judge(&self.world, self.dog);
        }
    }
}

impl SimAudience {
    /// What the judge makes of a good pass.
    fn judge_good(&self, pass: &GoodPass) {
        let mut world = lock(&self.world);
        world.totals.count("good passes");
        if pass
            .report
            .obstacles
            .iter()
            .any(|obstacle| obstacle.reason.contains("max_runtime"))
        {
            world.totals.count("passes after good runs that took too long");
        }
        let report = &pass.report;
        let now = world.now;
        for attempted in &report.attempts {
            if attempted.repair.reason == Phase::Overrun && matches!(attempted.outcome, Outcome::Repaired(_)) {
                world.totals.count("jobs that are failed for their age");
            }
            match &attempted.outcome {
                Outcome::Repaired(id) => world.judge_report(*id),
                Outcome::LostRace => world.totals.count("lost races"),
                Outcome::Unknown(_) => world.totals.count("unknown outcomes"),
                Outcome::Locked => world.totals.count("jobs that an open first heartbeat holds"),
                _ => {}
            }
            if matches!(attempted.outcome, Outcome::Unknown(_) | Outcome::Failed(_)) {
                world.dogs[self.dog].seen.disturbed = now;
            }
        }
        for (finding, noted) in &report.findings {
            if *noted == Noted::First && finding.outcome == LateOutcome::FalseRepair {
                world.totals.count("false repairs");
            }
        }
        for event in &report.events {
            match event {
                Happened::InitSucceeded(id, _) | Happened::InitFailed(id) => {
                    world.judge_init(self.dog, id.number().unwrap());
                }
                Happened::Fuse(true) => world.totals.count("open fuses"),
                Happened::Recovered(_) => world.totals.count("lost jobs that beat again"),
                _ => {}
            }
        }
        world.dogs[self.dog].fuse_open = report.fuse_open;
        world.dogs[self.dog].last_pass = now;
        world.dogs[self.dog].good_passes.add(now);
        world.judge_counts(self.dog, report);
        world.visit(self.dog, report);
        world.judge_pass(self.dog, report.fuse_open);
        let dog = self.dog;
        world.say(|| {
            let views: Vec<String> = report
                .jobs
                .iter()
                .map(|job| format!("{}:{:?}:{:?}", job.id, job.phase, job.withheld_cause))
                .collect();
            format!("dog {dog}: pass, {} events {:?}", views.join(" "), report.events)
        });
    }
}

/// A process: its life, and what it shows, in the histories in which that is compared.
pub struct Process {
    pub life: Pin<Box<dyn Future<Output = ()>>>,
    pub surfaces: Option<Arc<Surfaces>>,
}

impl Process {
    pub fn begin(world: &Shared, dog: usize) -> Self {
        let (scenario, rules, author) = {
            let world = lock(world);
            (world.scenario.clone(), world.rules(dog), world.author(dog))
        };
        let policy = policy(&scenario, &rules, author.watch);
        let clock = SimClock {
            world: world.clone(),
            dog,
        };
        let surfaces = scenario
            .is_shown
            .then(|| Surfaces::new(&clock, &policy, rules.interval));
        let surfaces = surfaces.map(Arc::new);
        let pace = Pace {
            poll_interval: rules.interval,
            poll_timeout: POLL_TIMEOUT,
            full_look_interval: scenario.full_look_interval,
            full_looks: FullLooks::Gradual,
        };
        let audience = SimAudience {
            world: world.clone(),
            dog,
            surfaces: surfaces.clone(),
        };
        Self {
            life: Box::pin(live(clock, audience, policy, pace)),
            surfaces,
        }
    }
}

fn policy(scenario: &Scenario, rules: &Rules, watch: &str) -> Policy {
    Policy {
        watch: watch.to_owned(),
        states: States {
            running: list(&[RUNNING]),
            success: list(&["SUCCESS"]),
            failure: list(&["FAIL"]),
            waiting: list(&[WAITING]),
            ignore: Vec::new(),
            null: scenario.shape.null,
        },
        init_deadline: rules.deadline,
        max_runtime: rules.longest,
        heartbeat_timeout: rules.heartbeat_timeout,
        max_age: rules.max_age,
        action: rules.action,
        fuse_min_jobs: rules.fuse_min_jobs,
        max_per_pass: rules.max_per_pass,
        writer_stale_after: Some(rules.heartbeat_timeout * 2),
        writer_stale_after_without_heartbeat: Some(rules.deadline * 8),
        ..runs::policy()
    }
}

/// As `Watch::run`, by virtual time.
async fn live(clock: SimClock, audience: SimAudience, policy: Policy, pace: Pace) {
    let (world, dog) = (clock.world.clone(), clock.dog);
    let store = SimStore::new(&world, dog, &policy);
    let stop = CancellationToken::new();
    lock(&world).dogs[dog].stop = stop.clone();
    let mut watch = Watch::new(store, clock.clone(), audience, policy, pace, stop.clone());
    while !stop.is_cancelled() {
        let began = clock.moment();
        let wait = match watch.pass().await {
            Ok(()) => pace.poll_interval.saturating_sub(clock.moment().since(began)),
            Err(retry_in) => retry_in,
        };
        Nap::new(&world, dog, micros(wait)).await;
    }
}
