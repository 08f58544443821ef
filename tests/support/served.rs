//! Our HTTP server over boards that the test fills: states of the page that no database has to be brought into.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use super::{http::get, runs};
use beatwarden::{
    domain::{
        Access, Attempted, Coverage, Discovery, Guard, Job, JobId, LedgerEntry, Memory, Moment, Newcomers, Observation,
        Obstacle, Outcome, Policy, Repair, RepairId, ServerIdentity, Snapshot, States, TimeValue, Timestamp, Timing,
        Unknowns, apply_outcomes, plan, report,
    },
    http::{HttpState, access::AccessControl, serve},
    metrics::Metrics,
    pass::{Audience, Clock, FailedPass, GoodPass},
    status::{Board, Roster, WatchTerms},
    store::Failure,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub const NOW: i64 = 1_800_000_000_000_000;

/// A clock that the test sets.
#[derive(Clone, Default)]
pub struct Hand(Arc<AtomicU64>);

impl Clock for Hand {
    fn moment(&self) -> Moment {
        Moment::from_start(Duration::from_millis(self.0.load(Ordering::Relaxed)))
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(NOW).plus(Duration::from_millis(self.0.load(Ordering::Relaxed)))
    }
}

/// A server over one watch.
pub struct Served {
    pub address: SocketAddr,
    pub board: Arc<Board>,
    pub metrics: Arc<Metrics>,
    pub clock: Hand,
    pub stop: CancellationToken,
    policy: Policy,
    memory: Mutex<Memory>,
    roster: Arc<Roster>,
}

/// What a pass finds beside the rows.
pub struct Found {
    pub rows: Vec<Job>,
    pub repairs: Vec<LedgerEntry>,
    pub obstacles: Vec<Obstacle>,
    pub took: Duration,
}

impl Found {
    pub fn rows(rows: Vec<Job>) -> Self {
        Self {
            rows,
            repairs: Vec::new(),
            obstacles: Vec::new(),
            took: Duration::from_millis(3),
        }
    }
}

pub fn policy() -> Policy {
    Policy {
        states: States {
            running: vec!["RUNNING".into()],
            failure: vec!["FAIL".into()],
            ..States::default()
        },
        ..runs::policy()
    }
}

pub async fn served() -> Served {
    served_as("meltano", policy()).await
}

/// A server over one watch with this name and policy.
pub async fn served_as(name: &str, policy: Policy) -> Served {
    let board = Arc::new(Board::new(WatchTerms {
        policy: policy.clone(),
        preset: Some("meltano".into()),
        table: "runs".into(),
        poll_interval: Duration::from_secs(5),
        poll_timeout: Duration::from_secs(10),
        init_objective: 0.99,
        labels_names: true,
        target: None,
        index_advice: "CREATE INDEX ON runs (id) WHERE state IN ('RUNNING')".into(),
    }));
    let boards = vec![(name.to_owned(), board.clone())];
    let clock = Hand::default();
    let roster = Arc::new(Roster::new(boards, clock.wall()));
    let metrics = Arc::new(Metrics::new("1.2.3", "abc", roster.clone(), clock.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let state = Arc::new(HttpState::new(roster.clone(), metrics.clone(), clock.clone(), "1.2.3"));
    tokio::spawn(serve(
        listener,
        state,
        Arc::new(AccessControl::new(None).expect("no file, no mistake")),
        stop.clone(),
    ));
    Served {
        address,
        board,
        metrics,
        clock,
        stop,
        policy,
        memory: Mutex::default(),
        roster,
    }
}

pub fn job(id: &str, name: &str, started: i64, beat: Option<i64>) -> Job {
    let at = |seconds: i64| TimeValue::from_micros(NOW + seconds * 1_000_000);
    Job {
        id: JobId::new(id),
        name: Some(name.into()),
        state: Some("RUNNING".into()),
        started_at: at(started),
        heartbeat_at: beat.map_or(TimeValue::ABSENT, at),
        ended_at: TimeValue::ABSENT,
    }
}

impl Served {
    /// A good pass over these rows by a process that has seen nothing before, through the real decision.
    pub fn pass(&self, rows: Vec<Job>) {
        *self.memory.lock().unwrap() = Memory::default();
        self.look(Found::rows(rows));
    }

    /// A good pass that remembers the ones before it. Every planned repair is committed.
    pub fn look(&self, found: Found) {
        let now = self.clock.moment();
        let observation = Observation {
            began: now,
            finished: now,
            interval: Duration::from_secs(5),
            snapshot: Snapshot {
                database_now: self.clock.wall(),
                server: ServerIdentity("one".into()),
                server_started_at: None,
                unknowns: Unknowns::default(),
                rows: found.rows,
                keyless: 0,
                coverage: Coverage::Full,
                discovery: Discovery::State,
                access: Access::Index,
                newcomers: Newcomers::Followed,
                obstacles: found.obstacles,
                guard: Guard::Absent,
                precedents: Vec::new(),
                newest_repairs: found.repairs.into_iter().map(Arc::new).collect(),
                timing: Timing::default(),
            },
        };
        let memory = std::mem::take(&mut *self.memory.lock().unwrap());
        let (mut memory, mut plan) = plan(memory, &observation, &self.policy);
        let committed = |repair: &Repair| Attempted {
            repair: repair.clone(),
            outcome: Outcome::Repaired(RepairId(7)),
        };
        let attempts: Vec<_> = plan.repairs.iter().map(committed).collect();
        apply_outcomes(&mut memory, &mut plan, &attempts);
        let report = report(&memory, plan, attempts, Vec::new(), &observation, &self.policy);
        *self.memory.lock().unwrap() = memory;
        let pass = Arc::new(GoodPass {
            report,
            at: now,
            wall: self.clock.wall(),
            took: found.took,
            interval: Duration::from_secs(5),
            clock_skew: 0.25,
            newcomers: Newcomers::Followed,
            access: beatwarden::domain::Access::Index,
            discovery: Discovery::State,
            coverage: Coverage::Full,
            prepared: Some("yes, the connection is direct"),
        });
        self.metrics.watch("meltano", self.board.clone()).good(pass.clone());
        self.board.good(pass);
    }

    /// More watches that know the same as the first, or have never read their tables.
    pub fn add_watches(&self, names: &[(&str, bool)]) {
        let (first, terms) = (self.roster.boards()[0].clone(), self.board.read().terms.clone());
        let board = |knows: bool| match knows {
            true => self.board.clone(),
            false => Arc::new(Board::new(terms.clone())),
        };
        let others = names.iter().map(|(name, knows)| ((*name).to_owned(), board(*knows)));
        let all = std::iter::once(first).chain(others).collect();
        self.roster.replace(all, self.clock.wall());
    }

    pub fn fail(&self) {
        let pass = FailedPass {
            failure: Failure::Connect,
            error: "no connection to <the database>".into(),
            at: self.clock.moment(),
            wall: self.clock.wall(),
            took: Duration::from_secs(1),
            retry_in: Duration::from_secs(5),
        };
        self.metrics.watch("meltano", self.board.clone()).failed(pass.clone());
        self.board.failed(pass);
    }

    /// The time now, in microseconds since the epoch.
    pub fn now(&self) -> i64 {
        self.clock.wall().as_micros()
    }

    pub fn later(&self, by: Duration) {
        self.clock
            .0
            .fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// The verdict of the page.
    pub fn page_says(&self) -> String {
        let page = self.page();
        let rest = page.split("<p class=\"verdict\">").nth(1).expect("a verdict");
        rest.split("</p>").next().expect("its end").to_owned()
    }

    pub fn page(&self) -> String {
        get(self.address, "/").text()
    }

    pub fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&get(self.address, "/api/v1/status").body).expect("JSON")
    }

    pub fn metrics(&self) -> String {
        get(self.address, "/metrics").text()
    }

    pub fn metric(&self, series: &str) -> Option<String> {
        let wanted = format!("beatwarden_{series} ");
        self.metrics()
            .lines()
            .find_map(|line| line.strip_prefix(&wanted).map(str::to_owned))
    }
}
