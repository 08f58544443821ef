//! One watch: typed values out of its merged layers.
//!
//! Owns how the typed watch is put together. What must fit together in it is in `rules`, where values come from in `load`.

use super::DatabaseUrl;
use super::keys::Scope;
use super::layers::{self, Layer};
use super::preset::{preset_names, writer_of};
use super::rules::Rules;
use super::types::{DatabaseSource, RepairConfig, WatchConfig};
use super::validate::{Reader, echo, whole};
use super::{ConfigError, Secret};
use crate::connection::SslMode;
use crate::domain::{Action, DiscoverySetting, NullState, States, TimeFormat};
use crate::mapping::{Call, Ending, ErrorText, Mapping, Naming};
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
    let mut reader = Reader::new(Scope::Watch, label, layer);
    let database = database(&mut reader, layer, database_help);
    let (database, url) = database.unzip();
    let (naming, calls_functions) = match url.flatten() {
        Some(DatabaseUrl::Postgres(_)) => (Naming::OfAServer, true),
        Some(DatabaseUrl::Sqlite(_)) => (Naming::OfAFile, false),
        // Refused already; nothing else is wrong that is right in one of them.
        None => (Naming::OfAFile, true),
    };
    reader.naming = naming;
    let preset = reader.text("preset");
    // The name is settled already, from what is a text; what is none is refused here.
    reader.text("name");
    let watch = watch(&mut reader, name, database, preset);
    mistakes.append(&mut reader.mistakes);
    let rules = Rules {
        label,
        layer,
        naming,
        calls_functions,
    };
    mistakes.append(&mut rules.broken());
    let watch = watch.filter(|_| mistakes.len() == before)?;
    let warnings = warnings(&watch, label);
    Some(Checked { watch, warnings })
}

/// A job system and the table in which it keeps its jobs.
#[derive(Clone, Debug)]
pub struct KnownSystem {
    /// The name of the preset.
    pub preset: &'static str,
    /// What people call the system.
    pub writer: &'static str,
    /// The table, as the preset has it.
    pub mapping: Mapping,
    /// What the preset does to a job that missed its first heartbeat.
    pub action: Action,
}

/// Every job system that has a preset, as it is where no one overrides a key.
pub fn known_systems() -> Vec<KnownSystem> {
    let known = |preset| {
        let mut layer = layers::defaults(Scope::Watch);
        layer.put_over(&layers::preset(preset)?);
        let mut reader = Reader::new(Scope::Watch, "", &layer);
        reader.naming = Naming::OfAServer;
        Some(KnownSystem {
            preset,
            writer: writer_of(Some(preset)),
            mapping: mapping(&mut reader, preset)?,
            action: repair(&mut reader)?.missed_first,
        })
    };
    preset_names().filter_map(known).collect()
}

/// The database of a watch, and what it is now; where that can't be found out, it is a mistake.
pub(super) fn database(
    reader: &mut Reader<'_>,
    layer: &Layer,
    help: &str,
) -> Option<(DatabaseSource, Option<DatabaseUrl>)> {
    let (url, file) = (reader.text("database"), reader.text("database_file"));
    let source = match (url, file) {
        (Some(url), None) => DatabaseSource::Url(Secret::new(url)),
        (None, Some(path)) if path.contains("://") => {
            let (key, problem) = (reader.full_key("database_file"), "names no file, but a URL".to_owned());
            let remedy = "put the URL into database, or into a file that database_file names".to_owned();
            reader.mistakes.push(ConfigError::Conflict { key, problem, remedy });
            return None;
        }
        (None, Some(path)) => DatabaseSource::File(PathBuf::from(path)),
        (Some(_), Some(_)) => {
            let key = reader.full_key("database");
            let problem = format!("given beside database_file ({})", reader.origin("database_file"));
            let remedy = "keep one of the two".to_owned();
            reader.mistakes.push(ConfigError::Conflict { key, problem, remedy });
            return None;
        }
        (None, None) => {
            let has_other_kind = ["database", "database_file"].iter().any(|path| layer.says(path));
            if !has_other_kind {
                let (key, remedy) = (reader.full_key("database"), help.to_owned());
                reader.mistakes.push(ConfigError::Missing { key, remedy });
            }
            return None;
        }
    };
    let url = source.resolve().map_err(|mistake| {
        let path = if matches!(source, DatabaseSource::Url(_)) {
            "database"
        } else {
            "database_file"
        };
        let key = format!("{} ({})", reader.full_key(path), reader.origin(path));
        reader.mistakes.push(mistake.of_key(key));
    });
    Some((source, url.ok()))
}

/// The table, its columns, and what `fail` writes. What may be left out is read whole all the same.
fn mapping(reader: &mut Reader<'_>, watch: &str) -> Option<Mapping> {
    whole!(Mapping {
        watch: Some(watch.to_owned()),
        table: reader.table("table.name"),
        ledger: reader.table("repair.ledger"),
        id: reader.column("table.id"),
        born_running: reader.switch("table.born_running"),
        job_name: Some(reader.column("table.job_name")),
        state: reader.column("table.state"),
        states: states(reader),
        only: reader.conditions("table.only"),
        started_at: reader.time("table.started_at"),
        last_heartbeat_at: Some(reader.time("table.last_heartbeat_at")),
        ended_at: Some(reader.column("table.ended_at")),
        time_format: reader.choice("table.time_format", TimeFormat::from_spelling),
        time_zone: reader.text("table.time_zone"),
        error: Some(error(reader)),
        max_runtime: Some(reader.span("max_runtime")),
        ending: Some(ending(reader)),
    })
}

fn error(reader: &mut Reader<'_>) -> Option<ErrorText> {
    let (column, key) = (reader.column("table.error.column"), reader.text("table.error.json_key"));
    column.zip(key).map(|(column, key)| ErrorText { column, key })
}

fn states(reader: &mut Reader<'_>) -> Option<States> {
    whole!(States {
        running: reader.texts("table.running"),
        success: reader.texts("table.success"),
        failure: reader.texts("table.failure"),
        waiting: reader.texts("table.waiting"),
        ignore: reader.texts("table.ignore"),
        null: reader.choice("table.null_state", NullState::from_spelling),
    })
}

fn ending(reader: &mut Reader<'_>) -> Ending {
    let state = reader.text("repair.fail.state");
    let set = reader.assignments("repair.fail.set").unwrap_or_default().into_iter();
    // What is no name is among the rules, with what else a column must not be.
    let set = set.filter_map(|(column, value)| Some((reader.naming.column(&column).ok()?, value)));
    let set = set.collect();
    let args = reader.arguments("repair.fail.call.args").unwrap_or_default();
    let function = reader.table("repair.fail.call.function");
    Ending {
        state,
        set,
        call: function.map(|function| Call { function, args }),
    }
}

fn repair(reader: &mut Reader<'_>) -> Option<RepairConfig> {
    whole!(RepairConfig {
        missed_first: reader.choice("repair.missed_first", Action::from_spelling),
        overrun: reader.choice("repair.overrun", Action::from_spelling),
        max_per_pass: reader.count("repair.max_per_pass"),
        fuse_min_jobs: reader.count("repair.fuse_min_jobs"),
        fuse_share: reader.share("repair.fuse_share"),
    })
}

fn watch(
    reader: &mut Reader<'_>,
    name: &str,
    source: Option<DatabaseSource>,
    preset: Option<String>,
) -> Option<WatchConfig> {
    whole!(WatchConfig {
        mapping: mapping(reader, name),
        repair: repair(reader),
        name: Some(name.to_owned()),
        database: source,
        naming: Some(reader.naming),
        preset: Some(preset),
        noun: reader.noun("noun"),
        poll_interval: reader.span("poll_interval"),
        poll_timeout: reader.span("poll_timeout"),
        init_deadline: reader.span("init_deadline"),
        heartbeat_timeout: reader.span("heartbeat_timeout"),
        seed_tolerance: reader.span("seed_tolerance"),
        max_age: reader.span("max_age"),
        init_window: reader.span("init_window"),
        init_objective: reader.share("init_objective"),
        writer_stale_after: Some(reader.span("writer_stale_after")),
        writer_stale_after_without_heartbeat: Some(reader.span("writer_stale_after_without_heartbeat")),
        discovery: reader.choice("discovery", DiscoverySetting::from_spelling),
        full_look_interval: reader.span("full_look_interval"),
        job_name_label: reader.switch("job_name_label"),
        meltano: Some(None),
    })
}

/// What is allowed but unlikely to be meant.
fn warnings(watch: &WatchConfig, label: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if watch.heartbeat_timeout < watch.poll_interval * 2 {
        let (timeout, interval) = (echo(watch.heartbeat_timeout), echo(watch.poll_interval));
        warnings.push(format!(
            "{label}heartbeat_timeout ({timeout}) is less than two poll intervals of {interval}: \
             living jobs may look lost between two passes"
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
    if watch.action() == Action::Fail && watch.repair.fuse_share >= 1.0 {
        warnings.push(format!(
            "{label}repair.fuse_share is 1: however many jobs fail at once, the fuse stays closed"
        ));
    }
    warnings
}
