//! `beatwarden check`: connects, makes one pass, and reports line by line what is well and what isn't, with how to fix it.

mod elsewhere;
mod gate;
mod heartbeats;
mod polls;

use super::guard::in_words;
use crate::{
    app::{self, AppError},
    config::{DatabaseUrl, Loaded, WatchConfig},
    domain::{
        Access, Action, Coverage, Discovery, DiscoverySetting, Job, Obstacle, Policy, Silence, Snapshot, StateKind,
        TimeFormat,
    },
    pass::{Clock, SystemClock},
    present::words,
    store::{
        Kind, ObserveRequest, Store, StoreError,
        guard::{GuardState, Guarded},
        survey::{Surroundings, Surveyed},
    },
};
use gate::{gate_holder, held};
use heartbeats::heartbeats;
use polls::{Costs, cost_of, poll};
use std::{collections::BTreeSet, process::ExitCode, time::Duration};

/// How a line of the check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// Worth knowing; nothing fails.
    Note,
    Bad,
    /// More of the line above: SQL to copy.
    More,
}

/// Exit code 1 if anything fails.
pub async fn run(loaded: &Loaded) -> Result<ExitCode, AppError> {
    let mut all_good = true;
    if let Some(path) = &loaded.config.web_config_file {
        let access = app::access_rules(path)?;
        outln!("web configuration {}", path.display());
        outln!("  ok   {}", access.sentence());
        for secret in access.open_secrets() {
            outln!("  note {secret}");
        }
    }
    for secret in loaded.open_secrets() {
        outln!("note {secret}");
    }
    for watch in &loaded.config.watches {
        outln!("watch {}", watch.name);
        for (verdict, text) in check(watch).await? {
            let mark = match verdict {
                Verdict::Good => "ok  ",
                Verdict::Note => "note",
                Verdict::Bad => "FAIL",
                Verdict::More => "      ",
            };
            outln!("  {mark} {text}");
            all_good &= verdict != Verdict::Bad;
        }
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn check(watch: &WatchConfig) -> Result<Vec<Line>, AppError> {
    let request = ObserveRequest::whole(Vec::new(), Coverage::Full);
    let mut store = app::store_of(watch)?;
    let first = match store.observe(&request).await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            let around = store.survey().await.unwrap_or_default();
            return Ok([vec![refused(watch, &error)], ledger(&around)].concat());
        }
    };
    let guard = store.guard().await.unwrap_or_else(|_| GuardState {
        guard: first.guard,
        differs: Vec::new(),
    });
    let around = store.survey().await.unwrap_or_default();
    let times = times(watch, &first, &mut store).await;
    // It serves a note: where it can't be asked, none is made.
    let good_runs = store.good_runs().await.unwrap_or_default();
    let holder = gate_holder(&mut store).await;
    drop(store);
    let skew = first.database_now.micros_since(SystemClock::start().wall());
    let poll = match cost_of(watch, watch.discovery).await? {
        Ok(poll) => poll,
        Err(error) => return Ok(vec![refused(watch, &error)]),
    };
    // What it would cost the other way: for the advice, so a failure is no matter.
    let other = match (poll.discovery, poll.access) {
        (Discovery::KeyTail, _) => cost_of(watch, DiscoverySetting::State).await?.ok(),
        (Discovery::State, Access::Scan) => cost_of(watch, DiscoverySetting::KeyTail).await?.ok(),
        (Discovery::State, Access::Index) => None,
    };
    let other = other.filter(|other| other.discovery != poll.discovery);
    let policy = app::policy_of(watch);
    let shown = running(&first, &policy).chain(&good_runs);
    let silence = Silence::of(shown, first.database_now, &policy);
    let writer = Writer {
        guard,
        silence,
        is_view: around.is_view,
    };
    let mut lines = found(watch, &first, &writer, Costs { poll, other }, skew);
    // After the states, which say how many run.
    lines.splice(2..2, times);
    lines.extend(app::fail_in_words(watch).map(|words| note(format!("fail: {words}"))));
    lines.splice(1..1, elsewhere::lines(watch, &around));
    lines.extend(ledger(&around));
    lines.extend(surroundings(&around));
    lines.extend(holder.map(|holder| held(&holder)));
    let is_cured = |line: &Line| line.1.starts_with("no_ledger: ") && line.1.contains("`beatwarden grants`");
    if let Some(place) = lines.iter().position(is_cured) {
        // The administrator may have no Beatwarden at hand: the SQL itself is the cure.
        let sql = app::grants_for(watch, None).await.unwrap_or_default();
        let sql = sql.lines().map(|line| (Verdict::More, line.to_owned()));
        lines.splice(place + 1..=place, sql);
    }
    Ok(lines)
}

/// The rows in a running state.
fn running<'a>(snapshot: &'a Snapshot, policy: &'a Policy) -> impl Iterator<Item = &'a Job> {
    let is_running = |job: &&Job| policy.states.kind_of(job.state.as_deref()) == StateKind::Running;
    snapshot.rows.iter().filter(is_running)
}

/// What was found out about who writes the table.
struct Writer {
    guard: GuardState,
    /// Where no good run shows a heartbeat.
    silence: Option<Silence>,
    is_view: bool,
}

/// A line and how it came out.
type Line = (Verdict, String);

fn good(text: impl Into<String>) -> Line {
    (Verdict::Good, text.into())
}

fn note(text: impl Into<String>) -> Line {
    (Verdict::Note, text.into())
}

fn bad(text: impl Into<String>) -> Line {
    (Verdict::Bad, text.into())
}

fn refused(watch: &WatchConfig, error: &StoreError) -> Line {
    let kind = match watch.database.resolve() {
        Ok(DatabaseUrl::Sqlite(_)) => Kind::File,
        _ => Kind::Server,
    };
    let cure = error
        .advice(kind)
        .map(|advice| format!("; {advice}"))
        .unwrap_or_default();
    bad(format!("{}: {}{cure}", error.failure().as_str(), error.chain()))
}

fn found(watch: &WatchConfig, snapshot: &Snapshot, writer: &Writer, costs: Costs, skew: i64) -> Vec<Line> {
    let policy = app::policy_of(watch);
    let mut lines = vec![good(format!(
        "table `{}`: it is there, and its columns have types that fit the mapping",
        watch.mapping.table.plain()
    ))];
    lines.push(states(watch, snapshot, &policy));
    lines.extend(repairs(watch, snapshot, policy.action));
    let unknowns = snapshot.unknowns.costs.iter();
    lines.extend(unknowns.map(|cost| note(format!("server: {cost}"))));
    let prepared = snapshot.unknowns.prepared.iter();
    lines.extend(prepared.map(|said| note(format!("prepared statements: {said}"))));
    lines.push(clock(snapshot, &policy, skew));
    lines.push(poll(watch, costs, writer.is_view));
    lines.extend(heartbeats(watch, snapshot, &policy, writer));
    lines.push(match writer.is_view {
        true => note("action: of a view stuck jobs are reported, never repaired"),
        false => note(action(watch)),
    });
    lines
}

/// What the action in force can and can't do here.
pub(super) fn action(watch: &WatchConfig) -> String {
    let action = watch.action();
    match &watch.meltano {
        _ if watch.mapping.max_runtime.is_some() => words::kinds_by_age(action, &watch.noun),
        Some(version) => words::beside_meltano(action, &version.to_string(), version.seeds_heartbeats()),
        None => words::kinds(action, &watch.noun),
    }
}

/// What to do with states of no list.
const OF_LISTS: &str = "put each into running, success, failure, waiting or ignore";
const OF_NULL: &str = "NULL can't stand in a list: such rows are counted as unknown and left alone, or say in \
                       watch.table.null_state whether they are waiting or no jobs (ignore)";

/// Whether the rows' states are those of the configuration.
fn states(watch: &WatchConfig, snapshot: &Snapshot, policy: &Policy) -> Line {
    let running = running(snapshot, policy).count();
    let states = snapshot.rows.iter().map(|job| job.state.as_deref());
    let unknown = states.filter(|state| policy.states.kind_of(*state) == StateKind::Unknown);
    let shown =
        |state: Option<&str>| state.map_or_else(|| "NULL".to_owned(), |state| format!("`{}`", state.escape_debug()));
    let unknown: BTreeSet<String> = unknown.map(shown).take(1_000).collect();
    let known = watch.mapping.states.running.join(", ");
    if unknown.is_empty() {
        let (jobs, are) = (policy.noun.of(running as u64), if running == 1 { "is" } else { "are" });
        return good(format!("states: {running} {jobs} {are} in a running state ({known})"));
    }
    // No list can hold it.
    let null = unknown.contains("NULL");
    let only_null = null && unknown.len() == 1;
    let advice = match (null, only_null) {
        (true, true) => OF_NULL.to_owned(),
        (true, false) => format!("{OF_LISTS}; {OF_NULL}"),
        (false, _) => OF_LISTS.to_owned(),
    };
    let shown: Vec<String> = unknown
        .into_iter()
        .take(8)
        .map(|state| state.chars().take(60).collect())
        .collect();
    (
        if only_null { Verdict::Note } else { Verdict::Bad },
        format!(
            "states: rows are in states that no list of watch.table names: {}; {advice}",
            shown.join(", ")
        ),
    )
}

/// Whether the running rows can be judged: by their keys and by their times.
async fn times(watch: &WatchConfig, snapshot: &Snapshot, store: &mut app::AnyStore) -> Vec<Line> {
    let policy = app::policy_of(watch);
    let running: Vec<&Job> = running(snapshot, &policy).collect();
    let unreadable: Vec<&&Job> = running.iter().filter(|job| job.is_unreadable()).collect();
    let mut lines = Vec::new();
    if let Some(job) = unreadable.first() {
        let stand = store.times_of(&job.id).await.unwrap_or_default();
        let stand: Vec<String> = stand
            .iter()
            .map(|(column, value)| format!("{} = `{}`", column.escape_debug(), value.escape_debug()))
            .collect();
        let text = format!(
            "times: {} of {} can't be judged, for times that can't be read; in the row {} stands {}; expected, with \
             watch.table.time_format = {:?}, {}",
            unreadable.len(),
            words::counted(running.len() as u64, "running row", "running rows"),
            job.id.text().escape_debug(),
            stand.join(" and "),
            watch.mapping.time_format.as_str(),
            match watch.mapping.time_format {
                TimeFormat::Timestamp =>
                    "a time from 1970 to 9999 such as 2026-11-26 22:54:36.237, with Z, UTC or an offset where it has a zone",
                TimeFormat::EpochSeconds => "a number of seconds since 1970",
                TimeFormat::EpochMillis => "a number of milliseconds since 1970",
            }
        );
        let are_all = unreadable.len() == running.len();
        lines.push(if are_all { bad(text) } else { note(text) });
    }
    if snapshot.keyless > 0 {
        let text = format!(
            "keys: {} in a running state can't be judged, for want of a key that can be used (NULL in `{}`, or too long): give \
             each row one, or name another column in watch.table.id",
            words::counted(snapshot.keyless, "row", "rows"),
            watch.mapping.id.as_str()
        );
        lines.push(if running.is_empty() { bad(text) } else { note(text) });
    }
    lines
}

/// What a ledger of an earlier version lacks.
fn ledger(around: &Surroundings) -> Vec<Line> {
    if around.missing_ledger_indexes.is_empty() {
        return Vec::new();
    }
    let text = "ledger: an earlier version made it, and it lacks indexes of this one, so that a long ledger is read more slowly; \
                the next repair makes them where that is quick and allowed, or its owner in a quiet minute (nothing is \
                repaired meanwhile, and a SQLite file not written):";
    let statements = around
        .missing_ledger_indexes
        .iter()
        .map(|sql| (Verdict::More, sql.clone()));
    [note(text)].into_iter().chain(statements).collect()
}

/// Our role, and whose code runs with its rights.
fn surroundings(around: &Surroundings) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(function) = &around.function {
        lines.push(good(format!(
            "fail: the function that ends jobs is {}",
            function.escape_debug()
        )));
    }
    if let Some(role) = &around.role {
        lines.push(match role.excess() {
            Some(text) if role.owner_is_trusted => note(format!("role: {text}")),
            Some(text) => bad(format!("role: {text}")),
            None => good(format!(
                "role: `{}` has no right that reaches beyond tables",
                role.name.escape_debug()
            )),
        });
        lines.extend(role.sharing().map(|text| note(format!("role: {text}"))));
    }
    if !around.neighbours.is_empty() {
        let shown: Vec<&str> = around.neighbours.iter().map(String::as_str).take(12).collect();
        let more = match around.neighbours.len() - shown.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let text = format!(
            "around the table: {}{more}; what is called there runs with the rights of the session that reads or changes a row, \
             repairs included",
            shown.join("; ")
        );
        lines.push(note(text));
    }
    lines
}

/// Rights, row security, read-only servers and the ledger.
fn repairs(watch: &WatchConfig, snapshot: &Snapshot, action: Action) -> Vec<Line> {
    if action == Action::Observe {
        let key = watch.action_key();
        return vec![good(format!(
            "repairs: {key} = \"observe\", nothing is ever changed, no ledger is needed"
        ))];
    }
    if snapshot.obstacles.is_empty() {
        return vec![good(format!(
            "repairs: rights, unique key `{}`, row security and ledger `{}` are as action `{}` needs them",
            watch.mapping.id.as_str(),
            watch.mapping.ledger.plain(),
            action.as_str()
        ))];
    }
    let text = |found: &Obstacle| format!("{}: {}", found.cause.as_str(), found.reason);
    snapshot.obstacles.iter().map(|found| bad(text(found))).collect()
}

/// Whether the writer's times make sense by the database's clock.
fn clock(snapshot: &Snapshot, policy: &Policy, skew: i64) -> Line {
    /// Two clocks of one machine room; more than this shows in ages.
    const SKEW_MICROS: i64 = 5_000_000;
    /// The smallest step between time zones.
    const ZONE_MICROS: i64 = 15 * 60 * 1_000_000;
    let times = snapshot
        .rows
        .iter()
        .flat_map(|job| [job.started_at.at(), job.heartbeat_at.at()]);
    let ahead = times
        .flatten()
        .max()
        .map_or(0, |newest| newest.micros_since(snapshot.database_now));
    if ahead > ZONE_MICROS {
        let text = format!(
            "clock: times of the table lie {} ahead of the database's clock: is watch.table.time_zone the writer's?",
            span(ahead)
        );
        return bad(text);
    }
    let beats = running(snapshot, policy).filter_map(|job| job.heartbeat_at.at());
    let behind = beats
        .max()
        .map_or(0, |newest| snapshot.database_now.micros_since(newest));
    if behind > ZONE_MICROS {
        let text = format!(
            "clock: the newest heartbeat of a running job is {} old: if jobs are alive, watch.table.time_zone is not the writer's",
            span(behind)
        );
        return note(text);
    }
    if skew.abs() > SKEW_MICROS {
        let text = format!(
            "clock: the database's clock and this machine's differ by {}",
            span(skew.abs())
        );
        return note(text);
    }
    good("clock: the database's clock, this machine's and the writer's times agree")
}

fn span(micros: i64) -> String {
    let seconds = Duration::from_secs(u64::try_from(micros / 1_000_000).unwrap_or_default());
    humantime::format_duration(seconds).to_string()
}
