//! The composition root: the only place that knows everyone. Builds stores, watches, board, metrics and HTTP from a
//! configuration, starts them, and stops them in order.

mod any_store;
mod build;
mod changes;
mod databases;
mod discover;
mod error;
mod manual;
mod service;
mod signals;
mod supervisor;
mod target;
mod thread;

pub use any_store::AnyStore;
pub use build::{fail_in_words, grants_for, index_for, pace_of, policy_of, store_of};
pub use discover::discover;
pub use error::AppError;
pub use manual::{Examination, ManualWatch, examine, manual_watch, newest_run};
pub use signals::{Signals, signals};
pub use target::target_of;

use crate::{
    config::{self, Config, WatchConfig},
    http::{
        self, HttpState,
        access::{AccessControl, AccessRules},
    },
    metrics::Metrics,
    pass::{Clock, SystemClock},
    status::{Board, Roster},
    watch::{FullLooks, Pace, Watch},
};
use build::terms_of;
use service::Service;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use supervisor::{Shared, Supervisor};
use thread::PassThread;
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::sync::CancellationToken;

/// How long a running repair may still take when the process is asked to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How a new configuration comes in while the watches run.
pub struct Reload {
    /// Notified each time a reload is requested.
    pub asked: Arc<Notify>,
    /// Reads the configuration again, from the same sources.
    pub load: Box<dyn Fn() -> Result<Config, config::ConfigErrors> + Send + Sync>,
}

/// Runs the watches of `config` until `stop`: serves HTTP first, ends it last. Takes up another configuration whenever
/// `reload` brings one; a bad one changes nothing. `viewed` is notified each time the page is shown.
///
/// # Errors
/// If the web configuration can't be used, a watch can't be built from the configuration, or the thread of the passes can't be
/// started.
pub async fn run(
    config: &Config,
    listener: TcpListener,
    stop: CancellationToken,
    reload: Option<Reload>,
    viewed: Arc<Notify>,
) -> Result<(), AppError> {
    let access = Arc::new(AccessControl::new(config.web_config_file.as_deref())?);
    if config.web_config_file.is_some() {
        tracing::info!("the web configuration is in force: {}", access.rules().sentence());
    }
    for secret in access.rules().open_secrets() {
        tracing::warn!("a secret is open: {secret}");
    }
    let clock = SystemClock::start();
    let roster = Arc::new(Roster::new(Vec::new(), clock.wall()));
    let metrics = Arc::new(Metrics::new(version(), revision(), roster.clone(), clock));
    let service = Arc::new(Service::new(roster.clone(), clock));
    let passes = PassThread::start().map_err(AppError::Runtime)?;
    let mut supervisor = Supervisor::new(Shared {
        on: passes.handle(),
        clock,
        roster: roster.clone(),
        metrics: metrics.clone(),
        service: service.clone(),
        stop: stop.clone(),
    });
    supervisor.take_up(config)?;
    let http_stop = CancellationToken::new();
    let page = listener.local_addr().ok().map(|address| page_at(address, &access));
    let state = Arc::new(HttpState::new(roster.clone(), metrics, clock, version()).notifying(viewed));
    let server = tokio::spawn(http::serve(listener, state, access.clone(), http_stop.clone()));
    tokio::spawn(access.clone().follow(http_stop.clone()));

    service.is_ready();
    if let Some(page) = page {
        tracing::info!(page, "the status page is served");
    }

    match reload {
        None => stop.cancelled().await,
        Some(reload) => loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = reload.asked.notified() => {
                    service.is_reloading();
                    take_up(config, &reload, &mut supervisor, &roster, &access);
                    service.is_ready();
                }
            }
        },
    }
    service.is_stopping();
    tracing::info!("stopping: no new repair is begun");
    if !supervisor.ended(STOP_WITHIN).await {
        tracing::warn!(within = ?STOP_WITHIN, "a pass did not end in time and is cut off; its transaction ends on the server");
    }
    http_stop.cancel();
    if tokio::time::timeout(STOP_WITHIN, server).await.is_err() {
        tracing::warn!("connections were still open");
    }
    Ok(())
}

/// What a web configuration file says about who may ask.
///
/// # Errors
/// If the file, or one that it names, can't be read or used.
pub fn access_rules(path: &Path) -> Result<Arc<AccessRules>, AppError> {
    Ok(AccessControl::new(Some(path))?.rules())
}

/// The address under which an instance that listens on `listen` is reached from here.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The URL of the page for someone at this machine.
fn page_at(listen: SocketAddr, access: &AccessControl) -> String {
    let scheme = match access.rules().encryption() {
        Some(_) => "https",
        None => "http",
    };
    format!("{scheme}://{}/", reachable(listen))
}

/// Reads the configuration again and applies it if it is valid.
fn take_up(started: &Config, reload: &Reload, supervisor: &mut Supervisor, roster: &Roster, access: &AccessControl) {
    let new = match (reload.load)() {
        Ok(new) => new,
        Err(errors) => {
            // One line each: a log is read line by line.
            for mistake in &errors.0 {
                tracing::error!(%mistake, "a mistake in the new configuration");
            }
            tracing::error!("the new configuration is refused: the one in force stays");
            return roster.refuse();
        }
    };
    if let Err(error) = access.reload() {
        tracing::error!(%error, "the new configuration is refused: the one in force stays");
        return roster.refuse();
    }
    match supervisor.take_up(&new) {
        Ok(changes) => {
            let (added, changed, removed) = (changes.added, changes.changed, changes.removed);
            tracing::info!(?added, ?changed, ?removed, "the configuration was reloaded");
        }
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, source, "the new configuration is refused: the one in force stays");
            return roster.refuse();
        }
    }
    let of_process = |config: &Config| {
        let Config {
            listen,
            web_config_file,
            log_format,
            log_level,
            ..
        } = config;
        (*listen, web_config_file.clone(), *log_format, *log_level)
    };
    if of_process(started) != of_process(&new) {
        tracing::warn!("listen, web_config_file, log_format and log_level are taken up by a restart only");
    }
}

/// Looks once at the table of a watch, as its first pass does: nothing is repaired by it, since nothing was watched yet.
///
/// # Errors
/// If the store can't be built from the configuration.
pub async fn look_once(watch: &WatchConfig, clock: SystemClock) -> Result<Arc<Board>, AppError> {
    let board = Arc::new(Board::new(terms_of(watch)));
    let (policy, stop) = (policy_of(watch), CancellationToken::new());
    let pace = Pace {
        full_looks: FullLooks::AtOnce,
        ..pace_of(watch)
    };
    // A failed pass is on the board; no other attempt is made here.
    let _ = Watch::new(store_of(watch)?, clock, board.clone(), policy, pace, stop)
        .pass()
        .await;
    Ok(board)
}

/// The version of this program.
pub const fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The revision that it was built from, where the build reports it.
pub const fn revision() -> &'static str {
    match option_env!("BEATWARDEN_REVISION") {
        Some(revision) => revision,
        None => "unknown",
    }
}
