//! The watches that run, and what a configuration makes of them: begun, kept, continued under other rules, or ended.

use super::{
    any_store::AnyStore,
    build::{pace_of, policy_of, store_of, terms_of},
    changes::changes_of,
    databases::Databases,
    error::AppError,
    service::Service,
};
use crate::{
    config::{Config, WatchConfig},
    journal::Journal,
    metrics::{Metrics, WatchMetrics},
    pass::{Audience, Clock, FailedPass, GoodPass, SystemClock},
    status::{Board, Roster},
    watch::Watch,
};
use std::{sync::Arc, time::Duration};
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Who receives the passes of one watch.
struct Subscribers {
    board: Arc<Board>,
    metrics: WatchMetrics,
    journal: Journal,
    service: Arc<Service>,
}

impl Audience for Subscribers {
    fn good(&self, pass: Arc<GoodPass>) {
        // The journal and the counters first: a reader that sees the new status finds the rest there too.
        self.journal.good(pass.clone());
        self.metrics.good(pass.clone());
        self.board.good(pass);
        self.service.pass_ended();
    }

    fn failed(&self, pass: FailedPass) {
        self.journal.failed(pass.clone());
        self.metrics.failed(pass.clone());
        self.board.failed(pass);
        self.service.pass_ended();
    }
}

type RunningWatch = Watch<AnyStore, SystemClock, Subscribers>;

/// One watch that runs.
struct Running {
    config: WatchConfig,
    board: Arc<Board>,
    stop: CancellationToken,
    /// Ends with the watch itself, so that its memory can be continued.
    task: JoinHandle<RunningWatch>,
}

/// What every watch runs on, reports to and is stopped by.
pub(super) struct Shared {
    /// Where the watches run.
    pub on: Handle,
    pub clock: SystemClock,
    pub roster: Arc<Roster>,
    pub metrics: Arc<Metrics>,
    pub service: Arc<Service>,
    pub stop: CancellationToken,
}

/// All watches of this process.
pub(super) struct Supervisor {
    shared: Shared,
    running: Vec<Running>,
    databases: Databases,
}

/// What becomes of one watch of a configuration; the index is that of the watch that runs under its name.
enum Step {
    /// Nothing changed: it isn't touched.
    Keep(usize),
    /// The same rows under other rules: it keeps what it has seen.
    Renew(usize, AnyStore),
    /// A new one. Another table under the same name is another watch: what was seen of the old one is no evidence.
    Begin(AnyStore),
}

impl Supervisor {
    /// Without any watch yet.
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared,
            running: Vec::new(),
            databases: Databases::default(),
        }
    }

    /// Starts a watch that remembers nothing.
    fn begin(&self, config: &WatchConfig, store: AnyStore) -> Running {
        let shared = &self.shared;
        let board = Arc::new(Board::since(shared.clock.moment(), terms_of(config)));
        let (policy, pace) = (policy_of(config), pace_of(config));
        let subscribers = Subscribers {
            board: board.clone(),
            metrics: shared.metrics.watch(&config.name, board.clone()),
            journal: Journal::new(&config.name),
            service: shared.service.clone(),
        };
        let stop = self.shared.stop.child_token();
        let mut watch = Watch::new(store, shared.clock, subscribers, policy, pace, stop.clone());
        Running {
            config: config.clone(),
            board,
            stop,
            task: self.shared.on.spawn(async move {
                watch.run().await;
                watch
            }),
        }
    }

    /// Continues a watch under other rules, as soon as its pass in progress has ended. It forgets nothing.
    fn renew(&self, old: Running, config: &WatchConfig, store: AnyStore) -> Running {
        old.stop.cancel();
        old.board.renew(terms_of(config));
        let stop = self.shared.stop.child_token();
        let (policy, pace, until) = (policy_of(config), pace_of(config), stop.clone());
        Running {
            config: config.clone(),
            board: old.board,
            stop,
            task: self.shared.on.spawn(async move {
                let before = old.task.await.expect("a watch doesn't panic, and no one aborts it");
                let mut watch = before.renewed(store, policy, pace, until);
                watch.run().await;
                watch
            }),
        }
    }

    /// Takes up a configuration, the first one or another: watches that didn't change aren't touched.
    ///
    /// # Errors
    /// If a watch can't be built from it; then nothing is changed.
    pub(super) fn take_up(&mut self, config: &Config) -> Result<Changes, AppError> {
        let steps = config
            .watches
            .iter()
            .map(|watch| self.step(watch))
            .collect::<Result<Vec<_>, AppError>>()?;
        let mut before: Vec<Option<Running>> = std::mem::take(&mut self.running).into_iter().map(Some).collect();
        let mut old = |at: usize| before[at].take().expect("each watch has a name of its own");
        let mut changes = Changes::default();
        for (watch, step) in config.watches.iter().zip(steps) {
            let running = match step {
                Step::Keep(at) => old(at),
                Step::Renew(at, store) => {
                    let old = old(at);
                    let what = changes_of(&old.config, watch).join(", ");
                    changes.changed.push(format!("{}: {what}", watch.name));
                    self.renew(old, watch, store)
                }
                Step::Begin(store) => {
                    changes.added.push(watch.name.clone());
                    self.begin(watch, store)
                }
            };
            self.running.push(running);
        }
        // Only now, when a new watch of the same name feeds its series already.
        for old in before.into_iter().flatten() {
            changes.removed.push(old.config.name.clone());
            self.retire(old);
        }
        let boards = self
            .running
            .iter()
            .map(|running| (running.config.name.clone(), running.board.clone()));
        self.shared.roster.replace(boards.collect(), self.shared.clock.wall());
        Ok(changes)
    }

    fn step(&mut self, watch: &WatchConfig) -> Result<Step, AppError> {
        let at = self
            .running
            .iter()
            .position(|running| running.config.name == watch.name);
        let old = at.map(|at| (at, &self.running[at].config));
        if let Some((at, old)) = old
            && old == watch
        {
            return Ok(Step::Keep(at));
        }
        let store = store_of(watch)?.sharing(self.databases.links(watch), watch.poll_interval);
        Ok(match old {
            Some((at, old)) if watches_the_same(old, watch) => Step::Renew(at, store),
            _ => Step::Begin(store),
        })
    }

    /// Ends a watch. Its last pass still counts; only then are its series dropped.
    fn retire(&self, old: Running) {
        old.stop.cancel();
        let metrics = self.shared.metrics.clone();
        tokio::spawn(async move {
            let _ = old.task.await;
            metrics.forget(&old.config.name);
        });
    }

    /// Waits until all watches have ended, after they were stopped; true if they did in time.
    pub(super) async fn ended(self, within: Duration) -> bool {
        let all = async {
            for running in self.running {
                // A watch that panicked has ended too; its panic is in the log.
                let _ = running.task.await;
            }
        };
        tokio::time::timeout(within, all).await.is_ok()
    }
}

/// What a reload changed, by the names of the watches.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

/// Whether what was seen of the one is evidence for the other: the same rows, read in the same way.
fn watches_the_same(old: &WatchConfig, new: &WatchConfig) -> bool {
    old.database == new.database && old.mapping.ledger == new.mapping.ledger && old.maps_as(new)
}
