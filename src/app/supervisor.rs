//! The watches that run, and what a reload does to them: added, removed, or going on under other rules.

use super::{
    AnyStore, AppError,
    build::{pace_of, policy_of, store_of, terms_of},
    changes::changes_of,
    databases::Databases,
    service::Service,
};
use crate::{
    config::{Config, WatchConfig},
    journal::Journal,
    metrics::{Metrics, WatchMetrics},
    pass::{Audience, Clock, FailedPass, GoodPass, SystemClock},
    status::{Board, Boards, Roster},
    watch::Watch,
};
use std::{sync::Arc, time::Duration};
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Everyone who is told of the passes of one watch.
struct Everyone {
    board: Arc<Board>,
    metrics: WatchMetrics,
    journal: Journal,
    service: Arc<Service>,
}

impl Audience for Everyone {
    fn good(&self, pass: Arc<GoodPass>) {
        // The journal and the counters first: whoever sees the new status finds the rest there too.
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

type RunningWatch = Watch<AnyStore, SystemClock, Everyone>;

/// One watch that runs.
struct Running {
    config: WatchConfig,
    board: Arc<Board>,
    stop: CancellationToken,
    /// Ends with the watch itself, so that what it remembers can go on.
    task: JoinHandle<RunningWatch>,
}

/// All watches of this process.
pub(super) struct Supervisor {
    /// Where the watches run.
    on: Handle,
    clock: SystemClock,
    roster: Arc<Roster>,
    metrics: Arc<Metrics>,
    service: Arc<Service>,
    running: Vec<Running>,
    databases: Databases,
    stop: CancellationToken,
}

/// The board of every watch of a configuration, in its order.
pub(super) fn boards_of(config: &Config) -> Boards {
    let board = |watch: &WatchConfig| (watch.name.clone(), Arc::new(Board::new(terms_of(watch))));
    config.watches.iter().map(board).collect()
}

impl Supervisor {
    /// Starts every watch of `config` on the thread behind `on`; `roster` has their boards.
    ///
    /// # Errors
    /// If one of them can't be built from the configuration; then none is started.
    pub(super) fn start(
        config: &Config,
        on: Handle,
        clock: SystemClock,
        roster: Arc<Roster>,
        metrics: Arc<Metrics>,
        service: Arc<Service>,
        stop: CancellationToken,
    ) -> Result<Self, AppError> {
        let mut databases = Databases::default();
        let mut sharing =
            |watch: &WatchConfig| Ok(store_of(watch)?.sharing(databases.links(watch), watch.poll_interval));
        let stores = config
            .watches
            .iter()
            .map(&mut sharing)
            .collect::<Result<Vec<_>, AppError>>()?;
        let mut this = Self {
            on,
            clock,
            metrics,
            service,
            running: Vec::new(),
            databases,
            stop,
            roster: roster.clone(),
        };
        for ((watch, store), (_, board)) in config.watches.iter().zip(stores).zip(roster.boards().iter()) {
            let running = this.run(watch, store, board.clone());
            this.running.push(running);
        }
        Ok(this)
    }

    /// Starts a watch that remembers nothing.
    fn run(&self, config: &WatchConfig, store: AnyStore, board: Arc<Board>) -> Running {
        let everyone = Everyone {
            board: board.clone(),
            metrics: self.metrics.watch(&config.name),
            journal: Journal::new(&config.name),
            service: self.service.clone(),
        };
        let stop = self.stop.child_token();
        let (policy, pace) = (policy_of(config), pace_of(config));
        let mut watch = Watch::new(store, self.clock, everyone, policy, pace, stop.clone());
        Running {
            config: config.clone(),
            board,
            stop,
            task: self.on.spawn(async move {
                watch.run().await;
                watch
            }),
        }
    }

    /// Lets a watch go on under other rules, as soon as its pass in progress has ended. It forgets nothing.
    fn go_on(&self, old: Running, config: &WatchConfig, store: AnyStore) -> Running {
        old.stop.cancel();
        old.board.renew(terms_of(config));
        let stop = self.stop.child_token();
        let (policy, pace, until) = (policy_of(config), pace_of(config), stop.clone());
        Running {
            config: config.clone(),
            board: old.board,
            stop,
            task: self.on.spawn(async move {
                let before = old.task.await.expect("a watch doesn't panic, and nobody aborts it");
                let mut watch = before.renewed(store, policy, pace, until);
                watch.run().await;
                watch
            }),
        }
    }

    /// Takes up another configuration: watches that didn't change aren't touched.
    ///
    /// # Errors
    /// If a watch can't be built from it; then nothing is changed.
    pub(super) fn reload(&mut self, config: &Config) -> Result<Changes, AppError> {
        let databases = &mut self.databases;
        let unchanged = |watch: &WatchConfig| self.running.iter().any(|running| running.config == *watch);
        let stores: Vec<Option<AnyStore>> = config
            .watches
            .iter()
            .map(|watch| {
                let new = || Ok(store_of(watch)?.sharing(databases.links(watch), watch.poll_interval));
                (!unchanged(watch)).then(new).transpose()
            })
            .collect::<Result<_, AppError>>()?;
        let mut before = std::mem::take(&mut self.running);
        let mut changes = Changes::default();
        for (watch, store) in config.watches.iter().zip(stores) {
            let old = before.iter().position(|running| running.config.name == watch.name);
            let old = old.map(|place| before.remove(place));
            let running = match (old, store) {
                (Some(old), None) => old,
                (Some(old), Some(store)) if watches_the_same(&old.config, watch) => {
                    let what = changes_of(&old.config, watch).join(", ");
                    changes.changed.push(format!("{}: {what}", watch.name));
                    self.go_on(old, watch, store)
                }
                (old, Some(store)) => {
                    // Another table under the same name is another watch: what was seen of the old one is no evidence.
                    changes.added.push(watch.name.clone());
                    let board = Arc::new(Board::since(self.clock.moment(), terms_of(watch)));
                    let new = self.run(watch, store, board);
                    if let Some(old) = old {
                        changes.removed.push(watch.name.clone());
                        self.retire(old);
                    }
                    new
                }
                (None, None) => unreachable!("only a running watch is unchanged"),
            };
            self.running.push(running);
        }
        for old in before {
            changes.removed.push(old.config.name.clone());
            self.retire(old);
        }
        let boards = self
            .running
            .iter()
            .map(|running| (running.config.name.clone(), running.board.clone()));
        self.roster.replace(boards.collect(), self.clock.wall());
        Ok(changes)
    }

    /// Ends a watch. Its last pass still counts; only then are its series dropped.
    fn retire(&self, old: Running) {
        old.stop.cancel();
        let metrics = self.metrics.clone();
        tokio::spawn(async move {
            let _ = old.task.await;
            metrics.forget(&old.config.name);
        });
    }

    /// Waits until all watches have ended, which they were told before; true if they did in time.
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
    old.database == new.database && old.table == new.table && old.repair.ledger == new.repair.ledger
}
