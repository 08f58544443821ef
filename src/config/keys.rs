//! Every key of a configuration: what it holds, its default, and one line about it.
//!
//! The one table behind validation, the nearest known key, `beatwarden config` and the test of
//! `config/beatwarden.toml`. A key is here only if a constant would not do.

use super::types::{LogFormat, LogLevel};
use crate::domain::{Action, DiscoverySetting, NullState, TimeFormat};
use std::time::Duration;

/// Where a key may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// At the top of the file.
    Program,
    /// In a `[[watch]]`.
    Watch,
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A text that is not empty.
    Text,
    /// What people call a job.
    Noun,
    /// A text that is never shown.
    Secret,
    /// An address with a port.
    Address,
    /// A list of texts; comma-separated in the environment.
    Texts,
    /// A column, or a table that says where a time stands.
    Time,
    /// A table of columns and what they have to hold.
    Conditions,
    /// A table of columns and what each is set to.
    Assignments,
    /// A list of what a function is given.
    Arguments,
    /// `true` or `false`.
    Switch,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A duration with a unit, within bounds that are both allowed.
    Span(Duration, Duration),
    /// A whole number within bounds that are both allowed.
    Count(u32, u32),
    /// A share within bounds that are both allowed.
    Share(f64, f64),
}

/// What holds if no one sets a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This value, spelled as in a TOML file.
    Value(&'static str),
    /// The thing is left out; the text is an example for the commented file, spelled as in a TOML file. An empty text
    /// leaves out what a preset says.
    Nothing(&'static str),
    /// It has to be given, by the user or by a preset; the text is an example.
    Needed(&'static str),
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// Where it may stand.
    pub scope: Scope,
    /// Its path below the scope, such as `table.error.column`.
    pub path: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What holds if no one sets it.
    pub fallback: Fallback,
    /// One line for the user.
    pub doc: &'static str,
}

impl Key {
    /// The default, spelled as in a TOML file.
    pub fn default(&self) -> Option<&'static str> {
        match self.fallback {
            Fallback::Value(value) => Some(value),
            Fallback::Nothing(_) | Fallback::Needed(_) => None,
        }
    }

    /// Whether the thing may be left out.
    pub fn is_optional(&self) -> bool {
        matches!(self.fallback, Fallback::Nothing(_))
    }
}

/// The key at a path.
pub fn find(scope: Scope, path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.scope == scope && key.path == path)
}

/// Whether keys stand below a path, as `table.name` stands below `table`.
pub fn is_section(scope: Scope, path: &str) -> bool {
    KEYS.iter()
        .any(|key| key.scope == scope && key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// What to do with a table that has no heartbeat.
pub(super) const WITHOUT_HEARTBEAT: &str = "of a table without a heartbeat leave it out, and set max_runtime to the longest \
    that a job may run";

/// Shorter is more load than any answer is worth; longer, and a repair comes hours late.
const POLL: Kind = Kind::Span(millis(100), seconds(HOUR));
/// A loaded server needs some time; a frozen one must be noticed while it still matters.
const ANSWER: Kind = Kind::Span(millis(100), seconds(600));
/// At least two of the shortest poll intervals; at most what is worth to wait for, which also catches `1M`, a month.
const LIMIT: Kind = Kind::Span(millis(200), seconds(7 * DAY));
/// Zero means that only a heartbeat not later than the start is seeded; beyond a minute it would be a real one.
const SEEDED: Kind = Kind::Span(millis(0), seconds(60));
/// How far to look back: a second in tests, ten years for tables that no one cleans.
const PAST: Kind = Kind::Span(seconds(1), seconds(3_650 * DAY));
/// Rare enough to be cheap, often enough to find what the tail can't see on the same day.
const LOOK: Kind = Kind::Span(millis(100), seconds(DAY));
/// One repair is the least that is one; ten thousand transactions are minutes of work between two passes.
const BATCH: Kind = Kind::Count(1, 10_000);
/// Zero lets the share decide alone; a million never opens.
const FUSE_JOBS: Kind = Kind::Count(0, 1_000_000);

/// Without a heartbeat there is none to fill in.
const OVERRUN: &[&str] = &["observe", "fail"];

const fn program(path: &'static str, kind: Kind, fallback: Fallback, doc: &'static str) -> Key {
    Key {
        scope: Scope::Program,
        path,
        kind,
        fallback,
        doc,
    }
}

const fn watch(path: &'static str, kind: Kind, fallback: Fallback, doc: &'static str) -> Key {
    Key {
        scope: Scope::Watch,
        path,
        kind,
        fallback,
        doc,
    }
}

use Fallback::{Needed, Nothing, Value};
use Kind::{Address, Arguments, Assignments, Choice, Conditions, Noun, Secret, Share, Switch, Text, Texts, Time};

/// Every key, in the order of the commented file.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    program("listen", Address, Value(r#""127.0.0.1:12328""#),
        "Address of metrics, probes and the status page; the container image sets 0.0.0.0."),
    program("web_config_file", Text, Nothing(r#""/etc/beatwarden/web.yml""#),
        "TLS and basic auth, in the format that Prometheus exporters share."),
    program("log_format", Choice(LogFormat::SPELLINGS), Value(r#""text""#),
        "text for people, json for machines."),
    program("log_level", Choice(LogLevel::SPELLINGS), Value(r#""info""#),
        "error, warn, info, debug or trace."),
    watch("name", Text, Nothing(r#""meltano""#),
        "The metric label `watch`, 1 to 64 characters; else the preset's name, else the table's."),
    watch("database", Secret, Nothing(r#""postgresql://beatwarden@db/meltano""#),
        "PostgreSQL or SQLite: postgresql://user@host/database, sqlite:////absolute/file, or a file path."),
    watch("database_file", Text, Nothing(r#""/run/secrets/database_url""#),
        "A file with the database URL instead, read again at every connect."),
    watch("preset", Text, Nothing(r#""meltano""#),
        "A job system that Beatwarden knows; every key below may override it."),
    watch("noun", Noun, Value(r#""job""#),
        "What people call a job of it, in the singular, as in trial or flow run: page, log, commands and alerts say so."),
    watch("poll_interval", POLL, Value(r#""5s""#),
        "Time between two passes, 100ms to 1h."),
    watch("poll_timeout", ANSWER, Value(r#""10s""#),
        "Longest wait for the database in a pass, 100ms to 10m."),
    watch("init_deadline", LIMIT, Value(r#""60s""#),
        "Time in which a started job has to send its first heartbeat; at least two poll intervals, at most 7d."),
    watch("heartbeat_timeout", LIMIT, Value(r#""5m""#),
        "Age from which a heartbeat is lost, 200ms to 7d."),
    watch("max_runtime", PAST, Nothing(r#""6h""#),
        "The longest that a job may run, in place of table.last_heartbeat_at; its age is no evidence of death."),
    watch("seed_tolerance", SEEDED, Value(r#""5ms""#),
        "A heartbeat this close to the start was written with it and proves nothing, 0s to 60s."),
    watch("max_age", PAST, Value(r#""7d""#),
        "Jobs without a sign of life for longer are abandoned: counted, and left alone."),
    watch("init_window", PAST, Value(r#""1h""#),
        "How far the init success ratio looks back."),
    watch("init_objective", Share(0.0001, 0.99999), Value("0.99"),
        "Wanted init success ratio, below 1; exported for the alerts."),
    watch("writer_stale_after", PAST, Nothing(r#""5m""#),
        "The writer's own rule: age of a heartbeat from which it gives a job up; for explain, the page, and which alerts fire."),
    watch("writer_stale_after_without_heartbeat", PAST, Nothing(r#""24h""#),
        "The same rule for a job without a heartbeat, counted from its start."),
    watch("discovery", Choice(DiscoverySetting::SPELLINGS), Value(r#""auto""#),
        "How running jobs are found: auto, key_tail (only where rows are born running) or state."),
    watch("full_look_interval", LOOK, Value(r#""10m""#),
        "Time between two reads of the whole table under key_tail, 100ms to 1d."),
    watch("job_name_label", Switch, Value("false"),
        "Make job names a metric label: 100 names at a time, the rest is `__other__`."),
    watch("table.name", Text, Needed(r#""jobs""#),
        "The job table: table or schema.table, without quotes; of a SQLite file the schema is left out."),
    watch("table.id", Text, Needed(r#""id""#),
        "Its key column, unique by a constraint on that column alone."),
    watch("table.born_running", Switch, Value("false"),
        "Rows are inserted running, and the key grows: new jobs are found by the key."),
    watch("table.job_name", Text, Nothing(r#""name""#),
        "Column with the job's name; without it there are no name labels."),
    watch("table.state", Text, Needed(r#""state""#),
        "Column with the job's state."),
    watch("table.running", Texts, Needed(r#"["RUNNING"]"#),
        "States in which the job is being worked on."),
    watch("table.success", Texts, Value("[]"),
        "States of a good end."),
    watch("table.failure", Texts, Value("[]"),
        "States of a bad end; `fail` needs one and writes the first."),
    watch("table.waiting", Texts, Value("[]"),
        "States that are neither running nor an end."),
    watch("table.ignore", Texts, Value("[]"),
        "States of rows that are no jobs."),
    watch("table.null_state", Choice(NullState::SPELLINGS), Value(r#""unknown""#),
        "What NULL in the state column means: unknown, waiting or ignore."),
    watch("table.only", Conditions, Nothing(r#"{ deleted_at = "null", type = ["import"] }"#),
        "Only rows with these values are jobs: null, set, or a list of values for each column."),
    watch("table.started_at", Time, Needed(r#""started_at""#),
        "Column with the time of the start, or the newest row of another table (docs/mapping.md)."),
    watch("table.last_heartbeat_at", Time, Nothing(r#""last_heartbeat_at""#),
        "Column with the time of the last heartbeat, or the newest row of another table; needed unless max_runtime is set."),
    watch("table.ended_at", Text, Nothing(r#""ended_at""#),
        "Column with the time of the end; without it a job ends when it is first seen ended."),
    watch("table.time_format", Choice(TimeFormat::SPELLINGS), Value(r#""timestamp""#),
        "How these columns hold a time: timestamp, epoch_s or epoch_ms."),
    watch("table.time_zone", Text, Value(r#""UTC""#),
        "IANA zone of timestamps without a zone, such as Europe/Berlin; server is the database's own."),
    watch("table.error.column", Text, Nothing(r#""payload""#),
        "Column with a JSON object that takes the error text of `fail`."),
    watch("table.error.json_key", Text, Value(r#""error""#),
        "Key of the error text in that object."),
    watch("repair.missed_first", Choice(Action::SPELLINGS), Value(r#""observe""#),
        "What is done to a job that missed its first heartbeat: observe, backfill or fail."),
    watch("repair.overrun", Choice(OVERRUN), Value(r#""observe""#),
        "What is done to a job that runs for longer than max_runtime: observe or fail."),
    watch("repair.max_per_pass", BATCH, Value("100"),
        "Most repairs in one pass, 1 to 10000."),
    watch("repair.fuse_min_jobs", FUSE_JOBS, Value("10"),
        "`fail` of up to this many jobs at once never opens the fuse."),
    watch("repair.fuse_share", Share(0.0, 1.0), Value("0.5"),
        "Share of those that `fail` would end among them and the living jobs, 0 to 1, above which the fuse opens."),
    watch("repair.ledger", Text, Value(r#""beatwarden_repairs""#),
        "The table of repairs, in the schema of the job table unless written schema.table."),
    watch("repair.fail.state", Text, Nothing(r#""FAILED""#),
        "State that `fail` writes, else the first of table.failure; one of table.waiting puts the job back to be run again."),
    watch("repair.fail.set", Assignments, Nothing(r#"{ finished_at = "{now}", reason = "{error}", result = "{null}", version = "{+1}" }"#),
        "Further columns that `fail` sets: {now}, {null}, {error}, {+1}, or a value (docs/mapping.md)."),
    watch("repair.fail.call.function", Text, Nothing(r#""finish_job""#),
        "The system's own function, called instead of all that: function or schema.function; PostgreSQL only."),
    watch("repair.fail.call.args", Arguments, Nothing(r#"["{id}", "failed", false]"#),
        "What it is given: {id}, {error}, {now}, or values."),
];
