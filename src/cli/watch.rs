//! `beatwarden watch`: the sidecar.

use crate::{
    app::{self, AppError, Reload},
    config::{Config, Loaded, Sources},
};
use std::{process::ExitCode, sync::Arc};
use tokio::net::TcpListener;

/// Runs until SIGTERM or SIGINT; SIGHUP reads the configuration again, from the same `sources`.
pub async fn run(loaded: &Loaded, sources: Sources) -> Result<ExitCode, AppError> {
    let config = &loaded.config;
    let signals = app::signals().map_err(AppError::Runtime)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|source| AppError::Listen {
            addr: config.listen,
            source,
        })?;
    let listen = listener.local_addr().unwrap_or(config.listen);
    tracing::info!(
        version = app::version(),
        revision = app::revision(),
        %listen,
        watches = config.watches.len(),
        "beatwarden starts"
    );
    for value in &loaded.provenance {
        tracing::debug!(
            key = value.key,
            value = value.value,
            origin = value.origin,
            "configuration"
        );
    }
    for secret in loaded.open_secrets() {
        tracing::warn!("a secret is open: {secret}");
    }
    for watch in &config.watches {
        tracing::info!(
            watch = watch.name,
            table = watch.mapping.table.plain(),
            poll_interval = %humantime::format_duration(watch.poll_interval),
            init_deadline = %humantime::format_duration(watch.init_deadline),
            heartbeat_timeout = %humantime::format_duration(watch.heartbeat_timeout),
            max_runtime = watch.mapping.max_runtime.map(|longest| humantime::format_duration(longest).to_string()),
            missed_first = watch.mapping.max_runtime.is_none().then(|| watch.action().as_str()),
            overrun = watch.mapping.max_runtime.is_some().then(|| watch.action().as_str()),
            "watching"
        );
        if watch.meltano.is_some() {
            tracing::info!(watch = watch.name, "{}", super::check::action(watch));
        }
    }
    let reload = Reload {
        asked: signals.reload,
        load: Box::new(move || Ok(Config::load(&sources)?.config)),
    };
    app::run(config, listener, signals.stop, Some(reload), Arc::default()).await?;
    Ok(ExitCode::SUCCESS)
}
