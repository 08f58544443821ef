//! One watch: typed values out of its merged layers.
//!
//! Owns how the typed watch is put together. What must fit together in it is in `rules`, where values come from in `load`.

use super::DatabaseUrl;
use super::keys::Scope;
use super::layers::Layer;
use super::rules::{LONGEST_NAME, Rules};
use super::types::{DatabaseSource, ErrorColumn, RepairConfig, TableConfig, WatchConfig};
use super::validate::{Reader, echo};
use super::{ConfigError, Secret};
use crate::connection::SslMode;
use crate::domain::{Action, States};
use std::path::PathBuf;

/// The validated watch, with what is allowed but unlikely to be meant.
pub(super) struct Checked {
    pub(super) watch: WatchConfig,
    pub(super) warnings: Vec<String>,
}

/// Checks one watch, and keeps every mistake.
///
/// `database_help` says how a database can be given to this watch.
pub(super) fn check(
    name: &str,
    label: &str,
    layer: &Layer,
    database_help: &str,
    mistakes: &mut Vec<ConfigError>,
) -> Option<Checked> {
    let before = mistakes.len();
    let reader = Reader {
        scope: Scope::Watch,
        label,
        layer,
    };
    let database = database(reader, database_help, mistakes);
    mistakes.append(&mut reader.mistakes());
    let longest_name = match database.as_ref().map(DatabaseSource::resolve) {
        Some(Ok(DatabaseUrl::Postgres(_))) => Some(LONGEST_NAME),
        _ => None,
    };
    mistakes.append(&mut Rules { reader, longest_name }.broken());
    if mistakes.len() > before {
        return None;
    }
    let watch = watch(reader, name, database?)?;
    let warnings = warnings(&watch, label);
    Some(Checked { watch, warnings })
}

fn database(reader: Reader<'_>, help: &str, mistakes: &mut Vec<ConfigError>) -> Option<DatabaseSource> {
    let key = reader.full_key("database");
    let source = match (reader.get::<String>("database"), reader.get::<String>("database_file")) {
        (Some(url), None) => DatabaseSource::Url(Secret::new(url)),
        (None, Some(path)) if path.contains("://") => {
            let (key, problem) = (reader.full_key("database_file"), "names no file, but a URL".to_owned());
            let remedy = "put the URL into database, or into a file that database_file names".to_owned();
            mistakes.push(ConfigError::Conflict { key, problem, remedy });
            return None;
        }
        (None, Some(path)) => DatabaseSource::File(PathBuf::from(path)),
        (Some(_), Some(_)) => {
            let problem = format!("given beside database_file ({})", reader.origin("database_file"));
            let remedy = "keep one of the two".to_owned();
            mistakes.push(ConfigError::Conflict { key, problem, remedy });
            return None;
        }
        (None, None) => {
            let has_other_kind = ["database", "database_file"]
                .iter()
                .any(|path| is_said(reader.layer, path));
            if !has_other_kind {
                let remedy = help.to_owned();
                mistakes.push(ConfigError::Missing { key, remedy });
            }
            return None;
        }
    };
    if let Err(mistake) = source.resolve() {
        let path = match source {
            DatabaseSource::Url(_) => "database",
            DatabaseSource::File(_) => "database_file",
        };
        mistakes.push(mistake.of_key(format!("{} ({})", reader.full_key(path), reader.origin(path))));
    }
    Some(source)
}

/// Whether something other than an empty text was said about a key.
fn is_said(layer: &Layer, path: &str) -> bool {
    layer
        .get(path)
        .is_some_and(|setting| !matches!(&setting.value, ::config::ValueKind::String(text) if text.is_empty()))
}

/// The watch, unless a value is missing or a mistake.
fn watch(reader: Reader<'_>, name: &str, database: DatabaseSource) -> Option<WatchConfig> {
    Some(WatchConfig {
        name: name.to_owned(),
        database,
        preset: reader.get("preset"),
        poll_interval: reader.get("poll_interval")?,
        poll_timeout: reader.get("poll_timeout")?,
        init_deadline: reader.get("init_deadline")?,
        heartbeat_timeout: reader.get("heartbeat_timeout")?,
        seed_tolerance: reader.get("seed_tolerance")?,
        max_age: reader.get("max_age")?,
        init_window: reader.get("init_window")?,
        init_objective: reader.get("init_objective")?,
        writer_stale_after: reader.get("writer_stale_after"),
        writer_stale_after_without_heartbeat: reader.get("writer_stale_after_without_heartbeat"),
        discovery: reader.get("discovery")?,
        full_look_interval: reader.get("full_look_interval")?,
        job_name_label: reader.get("job_name_label")?,
        table: table(reader)?,
        repair: repair(reader)?,
        meltano: None,
    })
}

fn table(reader: Reader<'_>) -> Option<TableConfig> {
    let json_key = reader.get("table.error.json_key")?;
    let error = |column| ErrorColumn { column, json_key };
    Some(TableConfig {
        name: reader.get("table.name")?,
        id: reader.get("table.id")?,
        born_running: reader.get("table.born_running")?,
        job_name: reader.get("table.job_name"),
        state: reader.get("table.state")?,
        states: States {
            running: reader.get("table.running")?,
            success: reader.get("table.success")?,
            failure: reader.get("table.failure")?,
            waiting: reader.get("table.waiting")?,
            ignore: reader.get("table.ignore")?,
        },
        started_at: reader.get("table.started_at")?,
        last_heartbeat_at: reader.get("table.last_heartbeat_at")?,
        ended_at: reader.get("table.ended_at"),
        time_format: reader.get("table.time_format")?,
        time_zone: reader.get("table.time_zone")?,
        error: reader.get("table.error.column").map(error),
    })
}

fn repair(reader: Reader<'_>) -> Option<RepairConfig> {
    Some(RepairConfig {
        missed_first: reader.get("repair.missed_first")?,
        max_per_pass: reader.get("repair.max_per_pass")?,
        fuse_min_jobs: reader.get("repair.fuse_min_jobs")?,
        fuse_share: reader.get("repair.fuse_share")?,
        ledger: reader.get("repair.ledger")?,
    })
}

/// What is allowed but unlikely to be meant.
fn warnings(watch: &WatchConfig, label: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if watch.heartbeat_timeout < watch.poll_interval * 2 {
        let (timeout, interval) = (echo(watch.heartbeat_timeout), echo(watch.poll_interval));
        warnings.push(format!(
            "{label}heartbeat_timeout ({timeout}) is less than two poll intervals of {interval}: \
             living jobs may look lost between two looks"
        ));
    }
    if let Ok(DatabaseUrl::Postgres(url)) = watch.database.resolve()
        && url.sslrootcert.is_some()
        && matches!(url.sslmode, SslMode::Disable | SslMode::Allow | SslMode::Prefer)
    {
        warnings.push(format!(
            "{label}database names authorities in sslrootcert, and sslmode={} verifies nothing by them, and continues in plain \
             text with a server that has no TLS: say sslmode=verify-full",
            url.sslmode.as_str()
        ));
    }
    if watch.repair.missed_first == Action::Fail && watch.repair.fuse_share >= 1.0 {
        warnings.push(format!(
            "{label}repair.fuse_share is 1: however many jobs fail at once, the fuse stays closed"
        ));
    }
    warnings
}
