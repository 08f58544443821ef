//! One watch: typed values out of its merged layers, and what must fit together in them.
//!
//! Owns the rules between keys, each with its reason. Where the values come from is in `load`.

use super::keys::Scope;
use super::layers::Layer;
use super::types::{
    Action, DatabaseSource, Discovery, ErrorColumn, RepairConfig, TableConfig, TimeFormat, WatchConfig,
};
use super::validate::{Reader, echo};
use super::{ConfigError, Secret};
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
    let mut reader = Reader::new(Scope::Watch, label, layer);
    let database = database(&mut reader, layer, database_help);
    let preset = reader.text("preset");
    // The name is settled already, from what is a text; what is none is refused here.
    reader.text("name");
    let table = table(&mut reader);
    let repair = repair(&mut reader);
    let watch = times_and_rest(&mut reader, name, database, preset, table, repair);
    let found_kinds_wrong = !reader.mistakes.is_empty();
    mistakes.append(&mut reader.mistakes);
    let watch = match watch {
        Some(watch) if !found_kinds_wrong => watch,
        _ => return None,
    };
    let before = mistakes.len();
    let rules = Rules {
        watch: &watch,
        label,
        layer,
    };
    rules.check(mistakes);
    let warnings = rules.warnings();
    (mistakes.len() == before).then_some(Checked { watch, warnings })
}

fn database(reader: &mut Reader<'_>, layer: &Layer, help: &str) -> Option<DatabaseSource> {
    let (url, file) = (reader.text("database"), reader.text("database_file"));
    let source = match (url, file) {
        (Some(url), None) => DatabaseSource::Url(Secret::new(url)),
        (None, Some(path)) => DatabaseSource::File(PathBuf::from(path)),
        (Some(_), Some(_)) => {
            let key = reader.full_key("database");
            let problem = format!("given beside database_file ({})", reader.origin("database_file"));
            let mend = "keep one of the two".to_owned();
            reader.mistakes.push(ConfigError::Conflict { key, problem, mend });
            return None;
        }
        (None, None) => {
            let has_other_kind = ["database", "database_file"].iter().any(|path| is_said(layer, path));
            if !has_other_kind {
                let (key, mend) = (reader.full_key("database"), help.to_owned());
                reader.mistakes.push(ConfigError::Missing { key, mend });
            }
            return None;
        }
    };
    if let Err(mistake) = source.resolve() {
        let mistake = mistake.under(&reader.full_key(""));
        reader.mistakes.push(mistake);
    }
    Some(source)
}

/// Whether something other than an empty text was said about a key.
fn is_said(layer: &Layer, path: &str) -> bool {
    layer
        .get(path)
        .is_some_and(|setting| !matches!(&setting.value, ::config::ValueKind::String(text) if text.is_empty()))
}

fn table(reader: &mut Reader<'_>) -> Option<TableConfig> {
    let name = reader.text("table.name");
    let id = reader.text("table.id");
    let born_running = reader.switch("table.born_running");
    let job_name = reader.text("table.job_name");
    let state = reader.text("table.state");
    let running = reader.texts("table.running");
    let success = reader.texts("table.success");
    let failure = reader.texts("table.failure");
    let waiting = reader.texts("table.waiting");
    let ignore = reader.texts("table.ignore");
    let started_at = reader.text("table.started_at");
    let last_heartbeat_at = reader.text("table.last_heartbeat_at");
    let ended_at = reader.text("table.ended_at");
    let time_format = reader.choice("table.time_format", TimeFormat::from_spelling);
    let time_zone = reader.text("table.time_zone");
    let error = error_column(reader);
    Some(TableConfig {
        name: name?,
        id: id?,
        born_running: born_running?,
        job_name,
        state: state?,
        running: running?,
        success: success?,
        failure: failure?,
        waiting: waiting?,
        ignore: ignore?,
        started_at: started_at?,
        last_heartbeat_at: last_heartbeat_at?,
        ended_at,
        time_format: time_format?,
        time_zone: time_zone?,
        error,
    })
}

fn error_column(reader: &mut Reader<'_>) -> Option<ErrorColumn> {
    let (column, json_key) = (reader.text("table.error.column"), reader.text("table.error.json_key"));
    let (column, json_key) = (column?, json_key?);
    Some(ErrorColumn { column, json_key })
}

fn repair(reader: &mut Reader<'_>) -> Option<RepairConfig> {
    let missed_first = reader.choice("repair.missed_first", Action::from_spelling);
    let max_per_pass = reader.count("repair.max_per_pass");
    let fuse_min_jobs = reader.count("repair.fuse_min_jobs");
    let fuse_share = reader.share("repair.fuse_share");
    let ledger = reader.text("repair.ledger");
    Some(RepairConfig {
        missed_first: missed_first?,
        max_per_pass: max_per_pass?,
        fuse_min_jobs: fuse_min_jobs?,
        fuse_share: fuse_share?,
        ledger: ledger?,
    })
}

fn times_and_rest(
    reader: &mut Reader<'_>,
    name: &str,
    database: Option<DatabaseSource>,
    preset: Option<String>,
    table: Option<TableConfig>,
    repair: Option<RepairConfig>,
) -> Option<WatchConfig> {
    let poll_interval = reader.span("poll_interval");
    let poll_timeout = reader.span("poll_timeout");
    let init_deadline = reader.span("init_deadline");
    let heartbeat_timeout = reader.span("heartbeat_timeout");
    let seed_tolerance = reader.span("seed_tolerance");
    let max_age = reader.span("max_age");
    let init_window = reader.span("init_window");
    let init_objective = reader.share("init_objective");
    let writer_stale_after = reader.span("writer_stale_after");
    let writer_stale_after_without_heartbeat = reader.span("writer_stale_after_without_heartbeat");
    let discovery = reader.choice("discovery", Discovery::from_spelling);
    let full_look_interval = reader.span("full_look_interval");
    let job_name_label = reader.switch("job_name_label");
    Some(WatchConfig {
        name: name.to_owned(),
        database: database?,
        preset,
        poll_interval: poll_interval?,
        poll_timeout: poll_timeout?,
        init_deadline: init_deadline?,
        heartbeat_timeout: heartbeat_timeout?,
        seed_tolerance: seed_tolerance?,
        max_age: max_age?,
        init_window: init_window?,
        init_objective: init_objective?,
        writer_stale_after,
        writer_stale_after_without_heartbeat,
        discovery: discovery?,
        full_look_interval: full_look_interval?,
        job_name_label: job_name_label?,
        table: table?,
        repair: repair?,
    })
}

/// The rules between keys of one watch.
struct Rules<'a> {
    watch: &'a WatchConfig,
    label: &'a str,
    layer: &'a Layer,
}

impl Rules<'_> {
    fn check(&self, mistakes: &mut Vec<ConfigError>) {
        self.times(mistakes);
        self.states(mistakes);
        self.columns(mistakes);
        let table = &self.watch.table;
        if jiff::tz::TimeZone::get(&table.time_zone).is_err() {
            let problem = format!("no zone {:?} in the time zone database of this host", table.time_zone);
            let mend = "expected an IANA name such as UTC or Europe/Berlin";
            mistakes.push(self.conflict("table.time_zone", problem, mend));
        }
        if self.watch.repair.missed_first == Action::Fail && table.failure.is_empty() {
            let problem = "fail writes the first of table.failure, which is empty".to_owned();
            mistakes.push(self.conflict(
                "repair.missed_first",
                problem,
                "set table.failure, or take observe or backfill",
            ));
        }
        if self.watch.discovery == Discovery::KeyTail && !table.born_running {
            let problem = "key_tail finds only rows that are inserted running".to_owned();
            let mend = "set table.born_running = true if that holds for the writer, or take auto or state";
            mistakes.push(self.conflict("discovery", problem, mend));
        }
    }

    fn conflict(&self, path: &str, problem: String, mend: &str) -> ConfigError {
        let origin = self.layer.get(path).map_or("default", |setting| &setting.origin);
        ConfigError::Conflict {
            key: format!("{}{path} ({origin})", self.label),
            problem,
            mend: mend.to_owned(),
        }
    }

    fn times(&self, mistakes: &mut Vec<ConfigError>) {
        let watch = self.watch;
        // Between two looks a healthy job must have had its chance to be seen beating.
        let least = watch.poll_interval * 2;
        if watch.init_deadline < least {
            let (deadline, interval) = (echo(watch.init_deadline), echo(watch.poll_interval));
            let problem = format!("{deadline} is less than two poll intervals of {interval}");
            let mend = format!("raise it to at least {}, or lower poll_interval", echo(least));
            mistakes.push(self.conflict("init_deadline", problem, &mend));
        }
        for (path, limit) in [
            ("init_deadline", watch.init_deadline),
            ("heartbeat_timeout", watch.heartbeat_timeout),
        ] {
            // An abandoned job is in no other phase: it could never be missed or lost.
            if watch.max_age <= limit {
                let problem = format!("{} is not longer than {path} ({})", echo(watch.max_age), echo(limit));
                mistakes.push(self.conflict("max_age", problem, "raise max_age"));
            }
        }
        // A heartbeat that is older than the deadline can't be the seed of a start within it.
        if watch.seed_tolerance >= watch.init_deadline {
            let (tolerance, deadline) = (echo(watch.seed_tolerance), echo(watch.init_deadline));
            let problem = format!("{tolerance} is not shorter than init_deadline ({deadline})");
            mistakes.push(self.conflict(
                "seed_tolerance",
                problem,
                "lower it: a seeded heartbeat lies milliseconds after the start",
            ));
        }
    }

    fn states(&self, mistakes: &mut Vec<ConfigError>) {
        let table = &self.watch.table;
        let lists = [
            ("table.running", &table.running),
            ("table.success", &table.success),
            ("table.failure", &table.failure),
            ("table.waiting", &table.waiting),
            ("table.ignore", &table.ignore),
        ];
        for (at, (path, states)) in lists.iter().enumerate() {
            for (earlier_path, earlier) in &lists[..at] {
                for state in states.iter().filter(|state| earlier.contains(state)) {
                    let problem = format!("{state:?} is in {earlier_path} too");
                    mistakes.push(self.conflict(path, problem, "a state means one thing: keep it in one list"));
                }
            }
        }
    }

    fn columns(&self, mistakes: &mut Vec<ConfigError>) {
        let table = &self.watch.table;
        let columns = [
            ("table.id", Some(&table.id)),
            ("table.state", Some(&table.state)),
            ("table.started_at", Some(&table.started_at)),
            ("table.last_heartbeat_at", Some(&table.last_heartbeat_at)),
            ("table.ended_at", table.ended_at.as_ref()),
            ("table.error.column", table.error.as_ref().map(|error| &error.column)),
        ];
        for (at, (path, column)) in columns.iter().enumerate() {
            for (earlier_path, earlier) in &columns[..at] {
                if let (Some(column), Some(earlier)) = (column, earlier)
                    && column == earlier
                {
                    let problem = format!("column {column:?} is {earlier_path} too");
                    mistakes.push(self.conflict(path, problem, "each of them needs a column of its own"));
                }
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        let (watch, label) = (self.watch, self.label);
        let mut warnings = Vec::new();
        if watch.heartbeat_timeout < watch.poll_interval * 2 {
            let (timeout, interval) = (echo(watch.heartbeat_timeout), echo(watch.poll_interval));
            warnings.push(format!(
                "{label}heartbeat_timeout ({timeout}) is less than two poll intervals ({interval}): living jobs may look lost between two looks"
            ));
        }
        let never_opens = watch.repair.fuse_share >= 1.0;
        if watch.repair.missed_first == Action::Fail && never_opens {
            warnings.push(format!(
                "{label}repair.fuse_share is 1: the fuse never opens by a share of the jobs"
            ));
        }
        warnings
    }
}
