//! What must fit together in one watch.
//!
//! Owns the rules between keys, each with its reason. Every rule checks what can be read, so that a mistake in one
//! value does not hide that two others don't fit.

use super::ConfigError;
use super::environment::{PREFIX, spelling_of, variable_of};
use super::keys::{Scope, WITHOUT_HEARTBEAT};
use super::layers::Layer;
use super::preset::{own_way, text_of};
use super::text::shown;
use super::validate::{Reader, echo};
use crate::domain::{Action, DiscoverySetting};
use crate::mapping::{Naming, SERVER_ZONE, TimeSource};

/// The merged layers of one watch, under the label that stands before its keys.
pub(super) struct Rules<'a> {
    pub(super) label: &'a str,
    pub(super) layer: &'a Layer,
    /// What names are like in the database.
    pub(super) naming: Naming,
    /// Whether the database may have functions that can be called.
    pub(super) calls_functions: bool,
}

/// Keys of times that may stand in another table.
const TIMES: [&str; 2] = ["table.started_at", "table.last_heartbeat_at"];

impl Rules<'_> {
    /// Every rule that is broken.
    pub(super) fn broken(&self) -> Vec<ConfigError> {
        let mut mistakes = Vec::new();
        self.times(&mut mistakes);
        self.states(&mut mistakes);
        self.columns(&mut mistakes);
        self.zone(&mut mistakes);
        self.choices(&mut mistakes);
        self.without_heartbeat(&mut mistakes);
        self.elsewhere(&mut mistakes);
        self.ending(&mut mistakes);
        mistakes
    }

    /// Reads a value without a word about its own mistakes: those are kept elsewhere.
    pub(super) fn quietly<T>(&self, read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Option<T> {
        read(&mut Reader::new(Scope::Watch, self.label, self.layer))
    }

    pub(super) fn text(&self, path: &'static str) -> Option<String> {
        self.quietly(|reader| reader.text(path))
    }

    pub(super) fn texts(&self, path: &'static str) -> Vec<String> {
        self.quietly(|reader| reader.texts(path)).unwrap_or_default()
    }

    fn action(&self, path: &'static str) -> Option<Action> {
        self.quietly(|reader| reader.choice(path, Action::from_spelling))
    }

    pub(super) fn conflict(&self, path: &str, problem: String, remedy: &str) -> ConfigError {
        // What stands inside a value came with it.
        let whole = TIMES
            .into_iter()
            .chain(["table.only", "repair.fail.set"])
            .find(|whole| path.starts_with(whole));
        let setting = self.layer.get(path).or_else(|| self.layer.get(whole?));
        let origin = setting.map_or("default", |setting| &setting.origin);
        ConfigError::Conflict {
            key: format!("{}{path} ({origin})", self.label),
            problem,
            remedy: remedy.to_owned(),
        }
    }

    fn times(&self, mistakes: &mut Vec<ConfigError>) {
        let span = |path| self.quietly(|reader| reader.span(path));
        // Between two passes a healthy job must have had its chance to be seen beating.
        if let (Some(deadline), Some(interval)) = (span("init_deadline"), span("poll_interval"))
            && deadline < interval * 2
        {
            let problem = format!(
                "{} is less than two poll intervals of {}",
                echo(deadline),
                echo(interval)
            );
            let remedy = format!("raise it to at least {}, or lower poll_interval", echo(interval * 2));
            mistakes.push(self.conflict("init_deadline", problem, &remedy));
        }
        for path in ["init_deadline", "heartbeat_timeout", "max_runtime"] {
            // An abandoned job is in no other phase: it could never be missed, lost or overrun.
            if let (Some(age), Some(limit)) = (span("max_age"), span(path))
                && age <= limit
            {
                let problem = format!("{} is not longer than {path} ({})", echo(age), echo(limit));
                mistakes.push(self.conflict("max_age", problem, &format!("raise max_age, or lower {path}")));
            }
        }
        // What comes later than the deadline can't have been written together with the start.
        if let (Some(tolerance), Some(deadline)) = (span("seed_tolerance"), span("init_deadline"))
            && tolerance >= deadline
        {
            let problem = format!(
                "{} is not shorter than init_deadline ({})",
                echo(tolerance),
                echo(deadline)
            );
            let remedy = "lower it: a seeded heartbeat lies milliseconds after the start";
            mistakes.push(self.conflict("seed_tolerance", problem, remedy));
        }
    }

    fn states(&self, mistakes: &mut Vec<ConfigError>) {
        let paths = [
            "table.running",
            "table.success",
            "table.failure",
            "table.waiting",
            "table.ignore",
        ];
        let lists = paths.map(|path| (path, self.texts(path)));
        for (at, (path, states)) in lists.iter().enumerate() {
            for (earlier_path, earlier) in &lists[..at] {
                for state in states.iter().filter(|state| earlier.contains(state)) {
                    let problem = format!("{state:?} is in {earlier_path} too");
                    mistakes.push(self.conflict(path, problem, "a state means one thing: keep it in one list"));
                }
            }
        }
    }

    /// The times that may stand in another table, with their keys.
    fn times_said(&self) -> Vec<(&'static str, TimeSource)> {
        let said = TIMES.into_iter();
        said.filter_map(|path| Some((path, self.quietly(|reader| reader.time(path))?)))
            .collect()
    }

    fn columns(&self, mistakes: &mut Vec<ConfigError>) {
        let paths = [
            "table.id",
            "table.state",
            "table.started_at",
            "table.last_heartbeat_at",
            "table.ended_at",
            "table.error.column",
        ];
        let columns = paths.map(|path| {
            let column = if TIMES.contains(&path) {
                let time = self.quietly(|reader| reader.time(path));
                time.and_then(|time| time.own().map(|column| column.as_str().to_owned()))
            } else {
                self.text(path)
            };
            (path, column)
        });
        for (at, (path, column)) in columns.iter().enumerate() {
            let Some(column) = column else { continue };
            for (earlier, _) in columns[..at]
                .iter()
                .filter(|(_, earlier)| earlier.as_ref() == Some(column))
            {
                let problem = format!("column {column:?} is {earlier} too");
                let remedy = match *path {
                    "table.last_heartbeat_at" => format!("each of them needs a column of its own; {WITHOUT_HEARTBEAT}"),
                    _ => "each of them needs a column of its own".to_owned(),
                };
                mistakes.push(self.conflict(path, problem, &remedy));
            }
        }
    }

    fn zone(&self, mistakes: &mut Vec<ConfigError>) {
        let of_table = self.text("table.time_zone");
        let own = self.times_said().into_iter();
        let own = own.filter_map(|(path, time)| Some((format!("{path}.time_zone"), time.zone?)));
        let zones = of_table
            .map(|zone| ("table.time_zone".to_owned(), zone))
            .into_iter()
            .chain(own);
        // Looking one up reads the names of all; these are there without any.
        let is_known = |zone: &str| ["UTC", SERVER_ZONE].contains(&zone) || jiff::tz::TimeZone::get(zone).is_ok();
        for (path, zone) in zones.filter(|(_, zone)| !is_known(zone)) {
            let problem = format!("no zone {} in the time zone database of this host", shown(&zone));
            let remedy = "expected an IANA name such as UTC or Europe/Berlin, or server";
            mistakes.push(self.conflict(&path, problem, remedy));
        }
    }

    /// What can't be written where a time stands in another table.
    fn elsewhere(&self, mistakes: &mut Vec<ConfigError>) {
        let Some((path, _)) = self.times_said().into_iter().find(|(_, time)| time.elsewhere.is_some()) else {
            return;
        };
        if self.action("repair.missed_first") == Some(Action::Backfill) {
            let problem = format!("backfill writes the start into the heartbeat, and {path} is in another table");
            mistakes.push(self.conflict("repair.missed_first", problem, "take observe or fail"));
        }
    }

    fn choices(&self, mistakes: &mut Vec<ConfigError>) {
        let action = self.action("repair.missed_first");
        let failure = self.quietly(|reader| reader.texts("table.failure"));
        let is_said = self
            .text("repair.fail.state")
            .or(self.text("repair.fail.call.function"))
            .is_some();
        if action == Some(Action::Fail) && !is_said && failure.is_some_and(|states| states.is_empty()) {
            let problem = "fail writes the first of table.failure, which is empty".to_owned();
            let remedy = "set table.failure or repair.fail.state, or take observe or backfill";
            mistakes.push(self.conflict("repair.missed_first", problem, remedy));
        }
        let overrun = self.action("repair.overrun");
        if overrun == Some(Action::Fail) {
            self.fail_by_age(mistakes);
        }
        let own_way = self.preset().as_deref().and_then(own_way);
        let actions = [("repair.missed_first", action), ("repair.overrun", overrun)];
        for (path, _) in actions.into_iter().filter(|(_, action)| *action == Some(Action::Fail)) {
            let Some(own) = &own_way else { continue };
            let remedy = "take observe: `beatwarden explain JOB` prints the system's own command";
            mistakes.push(self.conflict(path, format!("fail is refused: {}", own.why), remedy));
        }
        let discovery = self.quietly(|reader| reader.choice("discovery", DiscoverySetting::from_spelling));
        let born_running = self.quietly(|reader| reader.switch("table.born_running"));
        if discovery == Some(DiscoverySetting::KeyTail) && born_running == Some(false) {
            let problem = "key_tail finds only rows that are inserted running".to_owned();
            let remedy = "set table.born_running = true if that holds for the writer, or take auto or state";
            mistakes.push(self.conflict("discovery", problem, remedy));
        }
    }

    /// What `overrun = "fail"` writes and compares.
    fn fail_by_age(&self, mistakes: &mut Vec<ConfigError>) {
        const LENGTH: &str = "needs to know how long good runs take";
        let has_end_state = self.layer.says("repair.fail.state")
            || self.layer.says("repair.fail.call.function")
            || !self.texts("table.failure").is_empty();
        let lacks = [
            ("table.failure", !has_end_state, "ends the job in a failure state"),
            ("table.success", self.texts("table.success").is_empty(), LENGTH),
            ("table.ended_at", self.text("table.ended_at").is_none(), LENGTH),
        ];
        for (path, _, why) in lacks.into_iter().filter(|(_, lacks, _)| *lacks) {
            let problem = format!("fail {why}, and {path} is not set");
            mistakes.push(self.conflict("repair.overrun", problem, &format!("set {path}, or take observe")));
        }
    }

    /// A job is judged by its heartbeat or, where there is none, by its age.
    fn without_heartbeat(&self, mistakes: &mut Vec<ConfigError>) {
        const HEARTBEAT: &str = "table.last_heartbeat_at";
        let acts = |path| self.action(path).is_some_and(|action| action != Action::Observe);
        match (self.layer.says(HEARTBEAT), self.layer.says("max_runtime")) {
            (false, false) if self.preset().is_some() => mistakes.push(ConfigError::Missing {
                key: format!("{}max_runtime", self.label),
                remedy: format!(
                    "set it to the longest that a job may run (for example max_runtime = \"6h\"), in the [[watch]] of a file or by \
                     {}: the jobs of this preset send no heartbeat",
                    self.variable("max_runtime")
                ),
            }),
            (false, false) => mistakes.push(ConfigError::Missing {
                key: format!("{}{HEARTBEAT}", self.label),
                remedy: format!(
                    "set it (for example {HEARTBEAT} = \"last_heartbeat_at\"), or take a preset; {WITHOUT_HEARTBEAT}"
                ),
            }),
            (true, true) => {
                let problem = format!("given beside {HEARTBEAT}: a job is judged by its heartbeat or by its age");
                let remedy = "keep one of the two; last_heartbeat_at = \"\" leaves out the one of a preset";
                mistakes.push(self.conflict("max_runtime", problem, remedy));
            }
            (false, true) if acts("repair.missed_first") => {
                let problem = "without a heartbeat no job can miss its first one".to_owned();
                let remedy = "set it to observe; repair.overrun says what is done after max_runtime";
                mistakes.push(self.conflict("repair.missed_first", problem, remedy));
            }
            (true, false) if acts("repair.overrun") => {
                let problem = "is for jobs without a heartbeat, and table.last_heartbeat_at is set".to_owned();
                let remedy = "leave it out, or set max_runtime in place of table.last_heartbeat_at";
                mistakes.push(self.conflict("repair.overrun", problem, remedy));
            }
            (true, false) | (false, true) => {}
        }
    }

    /// The preset; none where its name is unknown, which is a mistake of its own.
    fn preset(&self) -> Option<String> {
        self.text("preset").filter(|name| text_of(name).is_some())
    }

    /// The variable that sets a key of this watch.
    fn variable(&self, path: &str) -> String {
        let name = self.label.trim_start_matches("watch.").trim_end_matches('.');
        format!("{PREFIX}WATCH__{}__{}", spelling_of(name), variable_of(path))
    }
}
