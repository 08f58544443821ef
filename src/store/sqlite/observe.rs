//! One look at the table: running jobs, what became of the known ones, newcomers, ledger. Each statement in autocommit:
//! an open read transaction would block the writer's commit in rollback-journal mode.

use super::{
    SqliteSettings,
    access::Reason,
    catalog::Catalog,
    connection::{Open, READ_BUSY},
    failures::failed,
    guard, ledger, place,
    row::job,
    tail,
};
use crate::{
    domain::{
        Access, Action, Cause, Discovery, Job, JobId, Look, Newcomers, Obstacle, ServerIdentity, Snapshot, Timestamp,
        Timing, Unknowns,
    },
    store::{
        ObserveRequest, StoreError,
        reading::{
            MOST_RUNNING, MOST_UNKNOWN, Merged, Strings, UNKNOWN_WITHIN, needs_precedents, newer_layout, too_many,
        },
    },
};
use rusqlite::{ToSql, types::ValueRef};
use std::time::{Duration, Instant};

/// So many keys are looked up by one statement, whose snapshot the writer may have to wait for.
pub(super) const KEYS_AT_ONCE: usize = 5_000;
/// The scan for unknown states gives up sooner where reading keeps the writer from committing.
const UNKNOWN_WITHIN_BLOCKING: Duration = Duration::from_millis(50);

/// Looks once.
pub(super) fn observe(
    open: &mut Open,
    settings: &SqliteSettings,
    request: &ObserveRequest,
) -> Result<Snapshot, StoreError> {
    let (mapping, asked) = (&settings.mapping, Instant::now());
    // A repair on this connection has set the shorter patience of a write.
    open.connection
        .busy_timeout(READ_BUSY)
        .map_err(|error| failed("reading the table", &open.path, error))?;
    if request.look == Look::Full {
        // A table grows, and gets an index: the way is chosen anew.
        open.catalog = Catalog::read(&open.connection, &open.path, settings)?;
    }
    let follows = open.catalog.grows;
    let unknown = match request.look {
        Look::Full if !follows => unknown_states(open, settings)?,
        Look::Full | Look::Ordinary => None,
    };
    let mut look = if unknown.is_some() { Look::Full } else { Look::Ordinary };
    let begun_after = asked.elapsed();
    let mut scan = None;
    let mut rows = Merged::default();
    rows.take(unknown.unwrap_or_default());
    let now = match open.catalog.discovery {
        Discovery::KeyTail => {
            ledger::now(&open.connection).map_err(|error| failed("reading the time", &open.path, error))?
        }
        Discovery::State => {
            let began = Instant::now();
            let (now, running) = running(open, settings)?;
            scan = (open.catalog.access == Access::Scan).then(|| began.elapsed());
            rows.take(running);
            now
        }
    };
    // A pass that fails closes the file, and the tail with it: it never advances past what nobody has seen.
    if follows {
        tail::follow(open, settings, request, &mut rows)?;
        if tail::page(open, settings, request, &mut rows)? {
            look = Look::Full;
        }
    }
    let missing: Vec<&JobId> = request.known.iter().filter(|id| !rows.has(id)).collect();
    for some in missing.chunks(KEYS_AT_ONCE) {
        let keys = keys(open, some);
        rows.take(read(open, "reading known jobs", &open.catalog.statements.known, &[&keys])?.1);
    }
    rows.shared.refuse(mapping)?;
    let rows = rows.into_rows();
    let keyless = keyless(open, settings)?;
    let asked: Vec<String> = rows
        .iter()
        .filter(|job| needs_precedents(job, mapping, settings.seed_tolerance))
        .map(|job| job.id.to_string())
        .collect();
    let (precedents, newest_repairs) = ledger::read(open, settings, &asked)?;
    let mut obstacles = obstacles(open, settings)?;
    obstacles.extend(newer_layout(&newest_repairs, settings.action));
    Ok(Snapshot {
        database_now: now,
        server: ServerIdentity(open.identity.shown()),
        server_started_at: None,
        unknowns: Unknowns::default(),
        rows,
        keyless,
        look,
        discovery: open.catalog.discovery,
        access: match open.catalog.discovery {
            Discovery::KeyTail => Access::Index,
            Discovery::State => open.catalog.access,
        },
        newcomers: if follows {
            Newcomers::Followed
        } else {
            Newcomers::Unseen
        },
        obstacles,
        guard: guard::guard(open, settings)?.guard,
        precedents,
        newest_repairs,
        timing: Timing { begun_after, scan },
    })
}

/// How many running rows have no key, and so are in no answer.
fn keyless(open: &Open, settings: &SqliteSettings) -> Result<u64, StoreError> {
    if !open.catalog.nullable_key {
        return Ok(0);
    }
    let states = serde_json::json!(settings.mapping.states.running).to_string();
    let count = || -> rusqlite::Result<i64> {
        let mut statement = open.connection.prepare_cached(&open.catalog.statements.keyless)?;
        statement.query_row([&states], |row| row.get(0))
    };
    let count = count().map_err(|error| failed("counting rows without a key", &open.path, error))?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// What keeps this watch from repairing at all, in order of precedence.
fn obstacles(open: &Open, settings: &SqliteSettings) -> Result<Vec<Obstacle>, StoreError> {
    let path = open.path.display();
    let mut obstacles: Vec<Obstacle> = open.catalog.obstacle.iter().cloned().collect();
    let mut add = |cause, reason| obstacles.push(Obstacle { cause, reason });
    match &open.only_read {
        Some(Reason::NotOwner(reason)) => add(Cause::Rights, reason.clone()),
        Some(Reason::ReadOnly(reason)) => add(Cause::ReadOnly, reason.clone()),
        None => {}
    }
    if place::is_on_network(&open.path) {
        let reason = format!("{path} lies on a network file system, whose locks can't be trusted: run beside the file");
        add(Cause::NetworkFs, reason);
    }
    if settings.action != Action::Observe
        && let Some(reason) = ledger::unfit(open, settings)?
    {
        add(Cause::NoLedger, reason);
    }
    Ok(obstacles)
}

/// Rows in states that no list names; `None` where that took too long: it serves a count, and may not cost a pass.
fn unknown_states(open: &mut Open, settings: &SqliteSettings) -> Result<Option<Vec<Job>>, StoreError> {
    let states = serde_json::json!(settings.mapping.states.all()).to_string();
    let within = if open.reading_blocks {
        UNKNOWN_WITHIN_BLOCKING
    } else {
        UNKNOWN_WITHIN.min(settings.poll_timeout / 2)
    };
    let until = Instant::now() + within;
    let told = |error| failed("looking for unknown states", &open.path, error);
    // Asked every thousand steps of SQLite's machine: well under a millisecond apart.
    open.connection
        .progress_handler(1_000, Some(move || Instant::now() > until))
        .map_err(told)?;
    let rows = read(
        open,
        "looking for unknown states",
        &open.catalog.statements.unknown,
        &[&states, &MOST_UNKNOWN],
    );
    open.connection
        .progress_handler(0, None::<fn() -> bool>)
        .map_err(told)?;
    match rows {
        Ok((_, rows)) => Ok(Some(rows)),
        Err(StoreError::Timeout { .. } | StoreError::Locked { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The time, and with it the rows in a running state, by their state.
fn running(open: &Open, settings: &SqliteSettings) -> Result<(Timestamp, Vec<Job>), StoreError> {
    let mapping = &settings.mapping;
    let states = serde_json::json!(mapping.states.running).to_string();
    let (now, running) = read(
        open,
        "reading the running jobs",
        &open.catalog.statements.running,
        &[&states, &MOST_RUNNING],
    )?;
    let now = now.ok_or_else(|| StoreError::Schema("SQLite has no time".to_owned()))?;
    if i64::try_from(running.len()).unwrap_or(i64::MAX) >= MOST_RUNNING {
        return Err(too_many(mapping));
    }
    Ok((now, running))
}

/// Keys as a JSON array of the key's own type, so that the key's index is used.
pub(super) fn keys(open: &Open, ids: &[&JobId]) -> String {
    let keys: Vec<serde_json::Value> = ids.iter().map(|id| key(open, id).into()).collect();
    serde_json::Value::Array(keys).to_string()
}

/// A key as the table holds it.
pub(super) enum Key {
    Integer(i64),
    Text(String),
}

impl From<Key> for serde_json::Value {
    fn from(key: Key) -> Self {
        match key {
            Key::Integer(number) => number.into(),
            Key::Text(text) => text.into(),
        }
    }
}

impl From<Key> for rusqlite::types::Value {
    fn from(key: Key) -> Self {
        match key {
            Key::Integer(number) => number.into(),
            Key::Text(text) => text.into(),
        }
    }
}

/// The key of a job, in the type that the table holds it in.
pub(super) fn key(open: &Open, id: &JobId) -> Key {
    match id.number() {
        Some(number) if open.catalog.integer_key => Key::Integer(number),
        _ => Key::Text(id.to_string()),
    }
}

/// Runs a statement that returns the canonical columns after the time.
pub(super) fn read(
    open: &Open,
    what: &'static str,
    sql: &str,
    params: &[&dyn ToSql],
) -> Result<(Option<Timestamp>, Vec<Job>), StoreError> {
    let run = || -> rusqlite::Result<(Option<Timestamp>, Vec<Job>)> {
        let mut statement = open.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let (mut now, mut jobs) = (None, Vec::new());
        let mut strings = Strings::default();
        while let Some(row) = rows.next()? {
            if let ValueRef::Integer(millis) = row.get_ref(0)? {
                now = Some(Timestamp::from_micros(millis.saturating_mul(1_000)));
            }
            jobs.extend(job(row, &open.times, &mut strings)?);
        }
        Ok((now, jobs))
    };
    run().map_err(|error| failed(what, &open.path, error))
}
