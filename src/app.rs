//! The composition root: the only place that knows everyone. Builds stores, watches, board, metrics and HTTP from a
//! configuration, starts them, and stops them in order.

use crate::{
    config::{self, Config, DatabaseUrl, WatchConfig},
    domain::{Action, Policy, States},
    http::{self, HttpState},
    journal::Journal,
    metrics::{Metrics, WatchMetrics},
    status::{Audience, Board, FailedPass, GoodPass, Names, SystemClock, Terms},
    store::{
        self, ErrorText, Identifier, IdentifierError, Mapping, TableName, TimeFormat,
        postgres::{PostgresSettings, PostgresStore, Target},
        sqlite::{SqliteSettings, SqliteStore},
    },
    watch::{Pace, Watch},
};
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
            Self::Config(_) | Self::Name { .. } | Self::Database { .. } | Self::Unsupported(_) => 2,
            Self::Listen { .. } | Self::Runtime(_) => 1,
        }
    }
}

/// A store of either kind, not yet connected.
pub enum AnyStore {
    /// PostgreSQL.
    Postgres(Box<PostgresStore>),
    /// SQLite.
    Sqlite(Box<SqliteStore>),
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
        match store_of(watch)? {
            AnyStore::Postgres(store) => {
                let mut watch = Watch::new(*store, clock, everyone, policy, pace, stop);
                watches.spawn(async move { watch.run().await });
            }
            AnyStore::Sqlite(store) => {
                let mut watch = Watch::new(*store, clock, everyone, policy, pace, stop);
                watches.spawn(async move { watch.run().await });
            }
        }
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
    match store_of(watch)? {
        AnyStore::Postgres(store) => {
            let _ = Watch::new(*store, clock, board.clone(), policy, pace, stop)
                .pass()
                .await;
        }
        AnyStore::Sqlite(store) => {
            let _ = Watch::new(*store, clock, board.clone(), policy, pace, stop)
                .pass()
                .await;
        }
    }
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

/// What judgement needs of a watch's configuration.
pub fn policy_of(watch: &WatchConfig) -> Policy {
    Policy {
        watch: watch.name.clone(),
        states: states_of(watch),
        init_deadline: watch.init_deadline,
        heartbeat_timeout: watch.heartbeat_timeout,
        seed_tolerance: watch.seed_tolerance,
        max_age: watch.max_age,
        init_window: watch.init_window,
        action: action_of(watch),
        max_per_pass: usize::try_from(watch.repair.max_per_pass).unwrap_or(usize::MAX),
        writer_stale_after: watch.writer_stale_after,
        writer_stale_after_without_heartbeat: watch.writer_stale_after_without_heartbeat,
    }
}

/// How often the watch looks.
pub fn pace_of(watch: &WatchConfig) -> Pace {
    Pace {
        poll_interval: watch.poll_interval,
        poll_timeout: watch.poll_timeout,
        full_look_interval: watch.full_look_interval,
    }
}

fn terms_of(watch: &WatchConfig) -> Terms {
    Terms {
        policy: policy_of(watch),
        poll_interval: watch.poll_interval,
        init_objective: watch.init_objective,
        names: if watch.job_name_label {
            Names::Labelled
        } else {
            Names::Unlabelled
        },
    }
}

fn action_of(watch: &WatchConfig) -> Action {
    match watch.repair.missed_first {
        config::Action::Observe => Action::Observe,
        config::Action::Backfill => Action::Backfill,
        config::Action::Fail => Action::Fail,
    }
}

fn states_of(watch: &WatchConfig) -> States {
    let table = &watch.table;
    States {
        running: table.running.clone(),
        success: table.success.clone(),
        failure: table.failure.clone(),
        waiting: table.waiting.clone(),
        ignore: table.ignore.clone(),
    }
}

/// Table and columns of a watch, their names checked.
fn mapping_of(watch: &WatchConfig) -> Result<Mapping, IdentifierError> {
    let table = &watch.table;
    let optional = |name: &Option<String>| name.as_deref().map(Identifier::new).transpose();
    Ok(Mapping {
        watch: watch.name.clone(),
        table: TableName::parse(&table.name)?,
        ledger: TableName::parse(&watch.repair.ledger)?,
        id: Identifier::new(&table.id)?,
        job_name: optional(&table.job_name)?,
        state: Identifier::new(&table.state)?,
        states: states_of(watch),
        started_at: Identifier::new(&table.started_at)?,
        last_heartbeat_at: Identifier::new(&table.last_heartbeat_at)?,
        ended_at: optional(&table.ended_at)?,
        time_format: match table.time_format {
            config::TimeFormat::Timestamp => TimeFormat::Timestamp,
            config::TimeFormat::EpochS => TimeFormat::EpochSeconds,
            config::TimeFormat::EpochMs => TimeFormat::EpochMillis,
        },
        time_zone: table.time_zone.clone(),
        error: table
            .error
            .as_ref()
            .map(|error| {
                Ok(ErrorText {
                    column: Identifier::new(&error.column)?,
                    key: error.json_key.clone(),
                })
            })
            .transpose()?,
        born_running: table.born_running,
    })
}

/// The index that makes the poll of a watch cheap: on the key of the running rows, so that heartbeats don't touch it.
pub fn index_for(watch: &WatchConfig) -> String {
    let Ok(mapping) = mapping_of(watch) else {
        return String::new();
    };
    let states: Vec<String> = watch
        .table
        .running
        .iter()
        .map(|state| format!("'{}'", state.replace('\'', "''")))
        .collect();
    // SQLite has no way to build one beside the writers.
    let concurrently = match watch.database.resolve() {
        Ok(DatabaseUrl::Postgres(_)) => " CONCURRENTLY",
        _ => "",
    };
    format!(
        "CREATE INDEX{concurrently} ON {} ({}) WHERE {} IN ({})",
        mapping.table.quoted(),
        mapping.id.quoted(),
        mapping.state.quoted(),
        states.join(", ")
    )
}

/// The SQL that a database administrator runs for `role`: the least rights that the configuration of a watch needs.
///
/// # Errors
/// If a name or the database address can't be used.
pub fn grants_for(watch: &WatchConfig, role: Option<&str>) -> Result<String, AppError> {
    let bad_name = |source| AppError::Name {
        watch: watch.name.clone(),
        source,
    };
    let mapping = mapping_of(watch).map_err(bad_name)?;
    let url = watch.database.resolve().map_err(|error| AppError::Database {
        watch: watch.name.clone(),
        source: error.into(),
    })?;
    match url {
        DatabaseUrl::Sqlite(path) => Ok(store::sqlite::grants(&path, action_of(watch))),
        DatabaseUrl::Postgres(url) => {
            let target = target_of(&url).map_err(|source| AppError::Database {
                watch: watch.name.clone(),
                source,
            })?;
            let role = role.or(target.user()).unwrap_or("beatwarden");
            let role = Identifier::new(role).map_err(bad_name)?;
            Ok(store::postgres::grants(&mapping, action_of(watch), &role))
        }
    }
}

/// The store of a watch, not yet connected.
///
/// # Errors
/// If a name or the database address can't be used.
pub fn store_of(watch: &WatchConfig) -> Result<AnyStore, AppError> {
    let mapping = mapping_of(watch).map_err(|source| AppError::Name {
        watch: watch.name.clone(),
        source,
    })?;
    let bad = |source| AppError::Database {
        watch: watch.name.clone(),
        source,
    };
    let database = watch.database.clone();
    match database.resolve().map_err(|error| bad(error.into()))? {
        DatabaseUrl::Sqlite(_) => Ok(AnyStore::Sqlite(Box::new(SqliteStore::new(SqliteSettings {
            path: Box::new(move || match database.resolve()? {
                DatabaseUrl::Sqlite(path) => Ok(path),
                DatabaseUrl::Postgres(_) => Err(changed_kind()),
            }),
            mapping,
            poll_timeout: watch.poll_timeout,
            seed_tolerance: watch.seed_tolerance,
            instance: instance(),
            action: action_of(watch),
        })))),
        DatabaseUrl::Postgres(url) => {
            target_of(&url).map_err(bad)?;
            Ok(AnyStore::Postgres(Box::new(PostgresStore::new(PostgresSettings {
                target: Box::new(move || match database.resolve()? {
                    DatabaseUrl::Postgres(url) => target_of(&url),
                    DatabaseUrl::Sqlite(_) => Err(changed_kind()),
                }),
                mapping,
                action: action_of(watch),
                poll_timeout: watch.poll_timeout,
                seed_tolerance: watch.seed_tolerance,
                instance: instance(),
            }))))
        }
    }
}

fn changed_kind() -> Box<dyn std::error::Error + Send + Sync> {
    "the file now names another kind of database: restart to take that up".into()
}

fn target_of(url: &config::PostgresUrl) -> Result<Target, Box<dyn std::error::Error + Send + Sync>> {
    // Taking these and not using them would promise more than is done.
    let unsupported = [
        ("sslrootcert", &url.sslrootcert),
        ("sslcert", &url.sslcert),
        ("sslkey", &url.sslkey),
        ("passfile", &url.passfile),
    ];
    if let Some((name, _)) = unsupported.iter().find(|(_, value)| value.is_some()) {
        return Err(format!("{name} in the database URL is not supported yet: take it out").into());
    }
    Ok(Target::new(
        url.text.expose(),
        url.sslmode.as_str(),
        url.target_session_attrs.map(config::TargetSessionAttrs::as_str),
    )?)
}

/// Who we are in the ledger: host and process, so that the entries of replicas can be told apart.
fn instance() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let host = host.or_else(|| {
        Some(
            std::fs::read_to_string("/proc/sys/kernel/hostname")
                .ok()?
                .trim()
                .to_owned(),
        )
    });
    format!("{}/{}", host.as_deref().unwrap_or("unknown"), std::process::id())
}
