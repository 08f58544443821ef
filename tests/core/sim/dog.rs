//! A watchdog process in the simulation: the production watch over a store, a clock and an audience of the simulated world.

use super::{
    judge::Reading,
    server::{Micros, SECOND, micros},
    world::{Shared, lock},
};
use beatwarden::{
    domain::{
        Access, Discovery, Event as Happened, Finding, Guard, LateOutcome, Look, Moment, Newcomers, Noted, Outcome,
        Policy, Repair, Snapshot, States, Timestamp, Timing, Unknowns,
    },
    pass::{Audience, Clock, FailedPass, GoodPass},
    store::{ObserveRequest, Resolution, Store, StoreError, repair_id},
    watch::{FullLooks, Pace, Watch},
};
use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

const POLL_TIMEOUT: Duration = Duration::from_secs(2);
/// So long a watchdog waits for the answer to a repair.
const REPAIR_WITHIN: Micros = 5 * SECOND;

/// A wait of one process by virtual time.
struct Nap {
    world: Shared,
    dog: usize,
    takes: Micros,
    until: Option<Micros>,
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

struct SimClock {
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
}

impl Audience for SimAudience {
    fn good(&self, pass: Arc<GoodPass>) {
        let mut world = lock(&self.world);
        world.totals.count("good passes");
        let report = &pass.report;
        let now = world.now;
        for attempted in &report.attempts {
            match &attempted.outcome {
                Outcome::Repaired(id) => world.judge_report(*id),
                Outcome::LostRace => world.totals.count("lost races"),
                Outcome::Unknown(_) => world.totals.count("unknown outcomes"),
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
                    world.judge_init(self.dog, id.number().unwrap().cast_unsigned());
                }
                Happened::Fuse(true) => world.totals.count("open fuses"),
                Happened::Recovered(_) => world.totals.count("lost jobs that beat again"),
                _ => {}
            }
        }
        world.dogs[self.dog].fuse_open = report.fuse_open;
        world.dogs[self.dog].last_pass = now;
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

    fn failed(&self, pass: FailedPass) {
        let mut world = lock(&self.world);
        world.totals.count("failed passes");
        let (dog, now) = (self.dog, world.now);
        world.dogs[dog].last_pass = now;
        world.dogs[dog].seen.disturbed = now;
        world.say(|| format!("dog {dog}: failed pass, {}", pass.error));
    }
}

struct SimStore {
    world: Shared,
    dog: usize,
    /// Rows that were read before, so that new ones are known as such.
    read: BTreeSet<u64>,
}

impl SimStore {
    fn nap(&self, takes: Micros) -> Nap {
        Nap {
            world: self.world.clone(),
            dog: self.dog,
            takes,
            until: None,
        }
    }

    /// One way to the server or back.
    fn travel(&self) -> Nap {
        let mut world = lock(&self.world);
        let takes = match world.rng.u32(..50) {
            0 if world.faulty() => world.rng.i64(200_000..1_500_000),
            _ => world.rng.i64(100..20_000),
        };
        drop(world);
        self.nap(takes)
    }

    async fn reach(&self) -> Result<(), StoreError> {
        self.travel().await;
        if lock(&self.world).reaches_server(self.dog) {
            return Ok(());
        }
        // Refused at once, or into the void until the deadline.
        let refused = lock(&self.world).rng.bool();
        if refused {
            return Err(StoreError::Connect {
                to: "sim".to_owned(),
                source: "refused".into(),
            });
        }
        self.nap(micros(POLL_TIMEOUT)).await;
        Err(StoreError::Timeout {
            what: "asking",
            after: POLL_TIMEOUT,
        })
    }
}

impl Store for SimStore {
    async fn observe(&mut self, request: &ObserveRequest) -> Result<Snapshot, StoreError> {
        let began = lock(&self.world).now;
        self.reach().await?;
        let (snapshot, reading) = {
            let world = lock(&self.world);
            let server = &world.server;
            let key_tail = world.scenario.key_tail;
            let by_state = !key_tail || request.look == Look::Full;
            let known: BTreeSet<u64> = request
                .known
                .iter()
                .map(|id| id.number().unwrap().cast_unsigned())
                .collect();
            let (mut wanted, mut missed) = (Vec::new(), Vec::new());
            for (id, row) in server.rows() {
                let runs = row.state == "RUNNING";
                // By the key: what is known, what is new, and what came late below the newest.
                if by_state && runs || known.contains(id) || !self.read.contains(id) {
                    wanted.push((*id, row.job(*id)));
                } else if runs {
                    missed.push(*id);
                }
            }
            self.read.extend(wanted.iter().map(|(id, _)| *id));
            let jobs: BTreeSet<_> = wanted.iter().map(|(_, job)| job.id.clone()).collect();
            let db = server.clock(world.now);
            let reading = Reading {
                rows: wanted.iter().cloned().collect(),
                server: server.identity().0,
                began,
                at: world.now,
                db,
                ledger: server.ledger().to_vec(),
                missed,
            };
            let newest = server.ledger().iter().rev().take(100);
            let snapshot = Snapshot {
                database_now: Timestamp::from_micros(db),
                server: server.identity(),
                server_started_at: Some(server.started_at()),
                unknowns: Unknowns::default(),
                rows: wanted.into_iter().map(|(_, job)| job).collect(),
                keyless: 0,
                look: request.look,
                discovery: if key_tail { Discovery::KeyTail } else { Discovery::State },
                access: Access::Index,
                newcomers: Newcomers::Followed,
                obstacles: Vec::new(),
                guard: Guard::Absent,
                precedents: server
                    .ledger()
                    .iter()
                    .filter(|entry| jobs.contains(&entry.job_id))
                    .map(|entry| (**entry).clone())
                    .collect(),
                newest_repairs: newest.map(|entry| (**entry).clone()).collect(),
                timing: Timing::default(),
            };
            (snapshot, reading)
        };
        self.travel().await;
        let mut world = lock(&self.world);
        if !world.reaches_server(self.dog) || world.faulty() && world.rng.u32(..200) == 0 {
            return Err(StoreError::Connect {
                to: "sim".to_owned(),
                source: "the connection broke".into(),
            });
        }
        world.record(self.dog, &reading);
        Ok(snapshot)
    }

    async fn prepare_ledger(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn repair(&mut self, repair: &Repair) -> Outcome {
        let id = repair_id("runs", repair);
        let (number, breaks) = {
            let mut world = lock(&self.world);
            if !world.reaches_server(self.dog) {
                return Outcome::Failed("no connection".to_owned());
            }
            let travel = world.rng.i64(100..20_000);
            let breaks = (world.faulty() && world.rng.u32(..6) == 0).then(|| world.now + world.rng.i64(0..40_000));
            if breaks.is_some() {
                world.totals.count("connections that break under a repair");
            }
            (world.send(self.dog, repair.clone(), id, travel), breaks)
        };
        let sent_at = lock(&self.world).now;
        loop {
            self.nap(5_000).await;
            let world = lock(&self.world);
            if !world.reaches_server(self.dog) || breaks.is_some_and(|at| world.now >= at) {
                return Outcome::Unknown("the connection broke".to_owned());
            }
            let answer = world.dogs[self.dog]
                .sent
                .get(&number)
                .and_then(|sent| sent.answer.clone());
            if let Some(outcome) = answer {
                return outcome;
            }
            if world.now - sent_at > REPAIR_WITHIN {
                return Outcome::Unknown("no answer".to_owned());
            }
        }
    }

    async fn resolve(&mut self, repair: &Repair) -> Result<Resolution, StoreError> {
        let id = repair_id("runs", repair);
        self.reach().await?;
        let resolution = {
            let world = lock(&self.world);
            world.server.resolve(id, &world.dogs[self.dog].instance(self.dog))
        };
        self.travel().await;
        Ok(resolution)
    }

    async fn note(&mut self, finding: &Finding) -> Result<Noted, StoreError> {
        self.reach().await?;
        let mut world = lock(&self.world);
        let now = world.now;
        Ok(world.server.note(finding, now))
    }
}

/// The life of one process: as `Watch::run`, by virtual time.
pub async fn live(world: Shared, dog: usize) {
    let scenario = lock(&world).scenario.clone();
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let policy = Policy {
        watch: "sim".to_owned(),
        states: States {
            running: list(&["RUNNING"]),
            success: list(&["SUCCESS"]),
            failure: list(&["FAIL"]),
            waiting: Vec::new(),
            ignore: Vec::new(),
        },
        init_deadline: scenario.deadline,
        heartbeat_timeout: scenario.heartbeat_timeout,
        seed_tolerance: Duration::from_millis(5),
        max_age: Duration::from_secs(7 * 86_400),
        init_window: Duration::from_secs(3600),
        action: scenario.action,
        fuse_min_jobs: scenario.fuse_min_jobs,
        fuse_share: 0.5,
        max_per_pass: 100,
        writer_stale_after: None,
        writer_stale_after_without_heartbeat: None,
        by_hand: None,
    };
    let pace = Pace {
        poll_interval: scenario.interval,
        poll_timeout: POLL_TIMEOUT,
        full_look_interval: scenario.full_look_interval,
        full_looks: FullLooks::Gradual,
    };
    let store = SimStore {
        world: world.clone(),
        dog,
        read: BTreeSet::new(),
    };
    let nap = |takes: Duration| Nap {
        world: world.clone(),
        dog,
        takes: micros(takes),
        until: None,
    };
    let clock = SimClock {
        world: world.clone(),
        dog,
    };
    let audience = SimAudience {
        world: world.clone(),
        dog,
    };
    let mut watch = Watch::new(store, clock, audience, policy, pace, CancellationToken::new());
    let clock = SimClock {
        world: world.clone(),
        dog,
    };
    loop {
        let began = clock.moment();
        let wait = match watch.pass().await {
            Ok(()) => scenario.interval.saturating_sub(clock.moment().since(began)),
            Err(retry_in) => retry_in,
        };
        nap(wait).await;
    }
}
