//! One look at the table: running jobs, what became of the known ones, newcomers, ledger. Each statement in autocommit:
//! an open read transaction would block the writer's commit in rollback-journal mode.

use super::{
    SqliteSettings,
    catalog::Catalog,
    connection::{Open, READ_BUSY, failed},
    guard, ledger, place,
    times::Times,
};
use crate::{
    domain::{
        Access, Action, Cause, Discovery, Job, JobId, Look, Newcomers, Obstacle, Reading, ServerIdentity, Snapshot,
        Timestamp,
    },
    store::{
        Inquiry, StoreError,
        reading::{
            HISTORY, MOST_NEWCOMERS, MOST_RUNNING, MOST_UNKNOWN, Merged, UNKNOWN_WITHIN, needs_precedents,
            newer_layout, too_many,
        },
        tail::{PAGE, Tail},
    },
};
use rusqlite::{Row, ToSql, types::ValueRef};
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// The scan for unknown states gives up sooner where reading keeps the writer from committing.
const UNKNOWN_WITHIN_BLOCKING: Duration = Duration::from_millis(50);

/// Looks once.
pub(super) fn observe(open: &mut Open, settings: &SqliteSettings, inquiry: &Inquiry) -> Result<Snapshot, StoreError> {
    let mapping = &settings.mapping;
    // A repair on this connection has set the shorter patience of a write.
    open.connection
        .busy_timeout(READ_BUSY)
        .map_err(|error| failed("reading the table", &open.path, error))?;
    if inquiry.look == Look::Full {
        // A table grows, and gets an index: the way is chosen anew.
        open.catalog = Catalog::read(&open.connection, &open.path, settings)?;
    }
    let tailing = open.catalog.discovery == Discovery::KeyTail;
    let unknown = match inquiry.look {
        Look::Full if !tailing => unknown_states(open, settings)?,
        Look::Full | Look::Ordinary => None,
    };
    let mut look = if unknown.is_some() { Look::Full } else { Look::Ordinary };
    if open.tail.is_some() && fell_back(open)? {
        open.tail = None;
    }
    let (now, running) = if tailing && open.tail.is_some() {
        let now = ledger::now(&open.connection).map_err(|error| failed("reading the time", &open.path, error))?;
        (now, Vec::new())
    } else {
        running(open, settings)?
    };
    let seen: HashSet<&JobId> = running.iter().map(|job| &job.id).collect();
    let missing: Vec<&JobId> = inquiry.known.iter().filter(|id| !seen.contains(id)).collect();
    let known = if missing.is_empty() {
        Vec::new()
    } else {
        let keys = keys(open, &missing);
        read(open, "reading known jobs", &open.catalog.statements.known, &[&keys])?.1
    };
    let mut rows = Merged::default();
    rows.take(unknown.unwrap_or_default());
    rows.take(running);
    rows.take(known);
    if open.catalog.grows {
        rows.take(newcomers(open)?);
    }
    if tailing {
        let (page, is_complete) = page(open, settings, inquiry.look)?;
        rows.take(page);
        look = if is_complete { Look::Full } else { Look::Ordinary };
    }
    let rows = rows.into_rows();
    let asked: Vec<&str> = rows
        .iter()
        .filter(|job| needs_precedents(job, mapping, settings.seed_tolerance))
        .map(|job| job.id.as_str())
        .collect();
    let (precedents, newest_repairs) = ledger::read(open, settings, &asked)?;
    let mut obstacles = obstacles(open, settings)?;
    obstacles.extend(newer_layout(&newest_repairs, settings.action));
    Ok(Snapshot {
        database_now: now,
        server: ServerIdentity(open.identity.shown()),
        server_started_at: None,
        rows,
        look,
        discovery: open.catalog.discovery,
        access: if tailing { Access::Index } else { open.catalog.access },
        newcomers: if open.catalog.grows {
            Newcomers::Followed
        } else {
            Newcomers::Unseen
        },
        obstacles,
        guard: guard::guard(open, settings)?,
        precedents,
        newest_repairs,
    })
}

/// What keeps this watch from repairing at all, in order of precedence.
fn obstacles(open: &Open, settings: &SqliteSettings) -> Result<Vec<Obstacle>, StoreError> {
    let told = |error| failed("reading what may be written", &open.path, error);
    let path = open.path.display();
    let mut obstacles: Vec<Obstacle> = open.catalog.obstacle.iter().cloned().collect();
    let mut add = |cause, reason| obstacles.push(Obstacle { cause, reason });
    if open.connection.is_readonly("main").map_err(told)? {
        let reason = format!("{path} can't be written by this user: give it write access to the file and its folder");
        add(Cause::ReadOnly, reason);
    }
    if place::is_on_network(&open.path) {
        let reason = format!("{path} lies on a network file system, whose locks can't be trusted: run beside the file");
        add(Cause::NetworkFs, reason);
    }
    if settings.action != Action::Observe && ledger::is_foreign(open, settings)? {
        let ledger = settings.mapping.ledger.plain();
        let reason = format!("`{ledger}` is somebody else's table: name another one in watch.repair.ledger");
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

/// The rows after the newest key seen; in a file not seen before the newest rows of all. No gaps are asked for: SQLite has
/// one writer at a time, so no key commits late.
fn newcomers(open: &mut Open) -> Result<Vec<Job>, StoreError> {
    let statements = &open.catalog.statements;
    let now = Instant::now();
    let Some(newest) = open.tail.as_ref().map(Tail::newest) else {
        let (_, jobs) = read(open, "reading the newest rows", &statements.history, &[&HISTORY])?;
        open.tail = Some(Tail::begin(&jobs, i64::MIN, now));
        return Ok(jobs);
    };
    let (_, jobs) = read(
        open,
        "reading newcomers",
        &statements.newcomers,
        &[&newest, &MOST_NEWCOMERS],
    )?;
    if let Some(tail) = &mut open.tail {
        tail.take(&jobs, &[], now);
    }
    Ok(jobs)
}

/// Whether the table was emptied or restored below what the tail has seen.
fn fell_back(open: &Open) -> Result<bool, StoreError> {
    let top = open
        .connection
        .query_row(&open.catalog.statements.top, [], |row| row.get(0))
        .map_err(|error| failed("reading the greatest key", &open.path, error))?;
    // A table that is still empty has not fallen.
    let tail = open.tail.as_ref();
    Ok(tail.is_some_and(|tail| tail.newest() > i64::MIN && tail.fell_back(top)))
}

/// The next page of the full look in progress, if there is one; and whether it was the last.
fn page(open: &mut Open, settings: &SqliteSettings, look: Look) -> Result<(Vec<Job>, bool), StoreError> {
    let Some(tail) = &mut open.tail else {
        return Ok((Vec::new(), false));
    };
    if look == Look::Full {
        tail.begin_full_look(i64::MIN);
    }
    let Some(after) = tail.page_after() else {
        return Ok((Vec::new(), false));
    };
    let json = |states: &[&str]| serde_json::json!(states).to_string();
    let states = &settings.mapping.states;
    let running: Vec<&str> = states.running.iter().map(String::as_str).collect();
    let (running, all) = (json(&running), json(&states.all()));
    let statements = &open.catalog.statements;
    // The end first: rows that come in between belong to the tail.
    let (last, count): (Option<i64>, i64) = open
        .connection
        .query_row(&statements.page_end, (after, PAGE), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(|error| failed("reading a page of a full look", &open.path, error))?;
    let (_, rows) = read(
        open,
        "reading a page of a full look",
        &statements.page,
        &[&after, &PAGE, &running, &all, &MOST_UNKNOWN],
    )?;
    let last = last.filter(|_| count >= PAGE);
    let is_complete = open.tail.as_mut().is_some_and(|tail| tail.page_read(last));
    Ok((rows, is_complete))
}

/// Keys as a JSON array of the key's own type, so that the key's index is used.
fn keys(open: &Open, ids: &[&JobId]) -> String {
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
    match id.as_str().parse() {
        Ok(number) if open.catalog.integer_key => Key::Integer(number),
        _ => Key::Text(id.as_str().to_owned()),
    }
}

/// Runs a statement that returns the canonical columns after the time.
fn read(
    open: &Open,
    what: &'static str,
    sql: &str,
    params: &[&dyn ToSql],
) -> Result<(Option<Timestamp>, Vec<Job>), StoreError> {
    let run = || -> rusqlite::Result<(Option<Timestamp>, Vec<Job>)> {
        let mut statement = open.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let (mut now, mut jobs) = (None, Vec::new());
        while let Some(row) = rows.next()? {
            if let ValueRef::Integer(millis) = row.get_ref(0)? {
                now = Some(Timestamp::from_micros(millis.saturating_mul(1_000)));
            }
            jobs.extend(job(row, &open.times)?);
        }
        Ok((now, jobs))
    };
    run().map_err(|error| failed(what, &open.path, error))
}

/// A row of the canonical relation; `None` without a key: the row that carries the time alone.
pub(super) fn job(row: &Row<'_>, times: &Times) -> rusqlite::Result<Option<Job>> {
    let Some(id) = text(row.get_ref(1)?) else {
        return Ok(None);
    };
    let time = |column: usize| -> rusqlite::Result<Reading> { Ok(times.read(row.get_ref(column)?)) };
    Ok(Some(Job {
        id: JobId::new(id),
        name: text(row.get_ref(2)?).map(String::into_boxed_str),
        state: text(row.get_ref(3)?).map(String::into_boxed_str),
        started_at: time(4)?,
        heartbeat_at: time(5)?,
        ended_at: time(6)?,
    }))
}

/// A text, whatever bytes it has: SQLite promises no UTF-8.
pub(super) fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Null => None,
    }
}
