//! The composition root: the only place that knows everyone. Builds stores, watches, board, metrics and HTTP from a
//! configuration, starts them, and stops them in order.

mod any_store;
mod build;
mod operate;

pub use any_store::AnyStore;
pub use build::{grants_for, index_for, pace_of, policy_of, store_of};
pub use operate::{Examination, Nobody, examine, hands_on};

use crate::{
    config::{self, Config, WatchConfig},
    http::{self, HttpState},
    journal::Journal,
    metrics::{Metrics, WatchMetrics},
    status::{Audience, Board, FailedPass, GoodPass, SystemClock},
    store::{IdentifierError, StoreError},
    watch::Watch,
};
use build::terms_of;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// How long a running repair may still take when the process is told to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Why the application could not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] config::ConfigErrors),
    /// A name in the configuration can't be used in SQL.
    #[error("watch `{watch}`: watch.table or watch.repair.ledger has a name that can't be used")]
    Name {
        /// The watch.
        watch: String,
        /// What is wrong with it.
        source: IdentifierError,
    },
    /// The database address can't be used.
    #[error("watch `{watch}`: the database can't be used")]
    Database {
        /// The watch.
        watch: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database could not be asked.
    #[error("watch `{watch}`: {}", error.chain())]
    Store {
        /// The watch.
        watch: String,
        /// What went wrong, told with all its sources.
        error: StoreError,
    },
    /// Something went wrong on the way. The message says what.
    #[error("{0}")]
    Failed(String),
    /// Arguments that don't fit each other or the configuration. The message says what to do.
    #[error("{0}")]
    Usage(String),
    /// A setting whose feature isn't built yet, and that must not silently mean less.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The port is taken, or not ours to take.
    #[error("can't listen on {addr}: is another instance running? choose another address with --listen")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The runtime could not be made.
    #[error("the runtime can't be started")]
    Runtime(#[source] io::Error),
}

impl AppError {
    /// 2 for bad arguments or configuration, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Name { .. } | Self::Database { .. } | Self::Unsupported(_) | Self::Usage(_) => 2,
            Self::Store { .. } | Self::Failed(_) | Self::Listen { .. } | Self::Runtime(_) => 1,
        }
    }
}

/// Everyone who is told of the passes of one watch.
struct Everyone {
    board: Arc<Board>,
    metrics: WatchMetrics,
    journal: Journal,
}

impl Audience for Everyone {
    fn good(&self, pass: Arc<GoodPass>) {
        // The journal and the counters first: whoever sees the new status finds the rest there too.
        self.journal.good(pass.clone());
        self.metrics.good(pass.clone());
        self.board.good(pass);
    }

    fn failed(&self, pass: FailedPass) {
        self.journal.failed(pass.clone());
        self.metrics.failed(pass.clone());
        self.board.failed(pass);
    }
}

/// Runs the watches of `config` until `stop`: serves HTTP first, ends it last.
///
/// # Errors
/// If a watch can't be built from the configuration.
pub async fn run(config: &Config, listener: TcpListener, stop: CancellationToken) -> Result<(), AppError> {
    if config.web_config_file.is_some() {
        return Err(AppError::Unsupported(
            "web_config_file is not supported yet: without it HTTP has neither TLS nor passwords; listen on loopback, or \
             put a proxy in front, and take the setting out",
        ));
    }
    for watch in config
        .watches
        .iter()
        .filter(|watch| watch.discovery == config::Discovery::KeyTail)
    {
        tracing::warn!(
            watch = watch.name,
            "discovery = \"key_tail\" is not built yet: this watch polls by state"
        );
    }
    let clock = SystemClock::start();
    let boards: Vec<(String, Arc<Board>)> = config
        .watches
        .iter()
        .map(|watch| (watch.name.clone(), Arc::new(Board::new(terms_of(watch)))))
        .collect();
    let metrics = Arc::new(Metrics::new(version(), revision(), &boards, clock));
    let mut watches = JoinSet::new();
    for (watch, (_, board)) in config.watches.iter().zip(&boards) {
        let everyone = Everyone {
            board: board.clone(),
            metrics: metrics.watch(&watch.name),
            journal: Journal::new(&watch.name),
        };
        let (policy, pace, stop) = (policy_of(watch), pace_of(watch), stop.clone());
        let mut watch = Watch::new(store_of(watch)?, clock, everyone, policy, pace, stop);
        watches.spawn(async move { watch.run().await });
    }
    let http_stop = CancellationToken::new();
    let state = Arc::new(HttpState::new(boards, metrics, clock, version()));
    let server = tokio::spawn(http::serve(listener, state, http_stop.clone()));

    stop.cancelled().await;
    tracing::info!("stopping: no new repair is begun");
    let ended = tokio::time::timeout(STOP_WITHIN, async { while watches.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!(within = ?STOP_WITHIN, "a pass did not end in time and is cut off; its transaction ends on the server");
    }
    http_stop.cancel();
    if tokio::time::timeout(STOP_WITHIN, server).await.is_err() {
        tracing::warn!("connections were still open");
    }
    Ok(())
}

/// Looks once at the table of a watch, as its first pass does: nothing is repaired by it, since nothing was watched yet.
///
/// # Errors
/// If the store can't be built from the configuration.
pub async fn look_once(watch: &WatchConfig, clock: SystemClock) -> Result<Arc<Board>, AppError> {
    let board = Arc::new(Board::new(terms_of(watch)));
    let (policy, pace, stop) = (policy_of(watch), pace_of(watch), CancellationToken::new());
    // A failed pass is on the board; when to try again is nobody's question here.
    let _ = Watch::new(store_of(watch)?, clock, board.clone(), policy, pace, stop)
        .pass()
        .await;
    Ok(board)
}

/// The version of this program.
pub const fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The revision that it was built from, where the build told.
pub const fn revision() -> &'static str {
    match option_env!("BEATWARDEN_REVISION") {
        Some(revision) => revision,
        None => "unknown",
    }
}

/// A stop token that SIGTERM and SIGINT cancel.
///
/// # Errors
/// If the signals can't be listened to.
pub fn stop_on_signals() -> io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                // Its default would end the watchdog.
                _ = hangup.recv() => tracing::warn!("SIGHUP: reload is not built yet; restart to take up a new configuration"),
            }
        }
        cancelled.cancel();
    });
    Ok(stop)
}
