//! Finding jobs by the growing key: known jobs, newcomers, and the pages of a full look. Each statement in autocommit and
//! over a bounded range, so that no snapshot is held for long.

use super::{SqliteSettings, connection::Open, failures::failed, observe::read};
use crate::{
    domain::{Discovery, Job, JobId, Look, StateKind},
    store::{
        ObserveRequest, StoreError, TimeBudget,
        reading::{HISTORY, MOST_NEWCOMERS, MOST_RUNNING, MOST_UNKNOWN, Merged, is_news, too_many, within_room},
        tail::Tail,
    },
};
use std::time::{Duration, Instant};

/// Keys of one piece of a range: some milliseconds.
const PIECE: i64 = 20_000;
/// How long the pages of one pass may take where reading keeps the writer from committing.
const BLOCKING: Duration = Duration::from_millis(10);
/// The pages of one pass; all of it is one read transaction, which may not last longer than 50 ms.
const TRANSACTION: Duration = Duration::from_millis(30);

/// Reads the known jobs and the newcomers by their keys, and takes the tail further; where there is none, or one of another
/// table than this is by now, it begins anew with the newest rows.
pub(super) fn follow(
    open: &mut Open,
    settings: &SqliteSettings,
    request: &ObserveRequest,
    rows: &mut Merged,
) -> Result<(), StoreError> {
    let newest = match open.tail.as_ref().map(Tail::newest) {
        Some(newest) => newest,
        None => return begin(open, settings, request, rows),
    };
    let (_, newcomers) = read(
        open,
        "reading newcomers",
        &open.catalog.statements.newcomers,
        &[&newest, &MOST_NEWCOMERS],
    )?;
    let is_there = newcomers.first().is_some_and(|job| job.id.number() == Some(newest));
    // A table that is still empty has not fallen.
    if !is_there && newest > i64::MIN && fell_back(open)? {
        return begin(open, settings, request, rows);
    }
    if open.catalog.discovery == Discovery::KeyTail {
        known(open, settings, request, rows)?;
    }
    // No gaps are taken in: SQLite has one writer at a time, so no key commits late.
    let keys = newcomers.iter().filter_map(|job| job.id.number()).max();
    if let Some(tail) = &mut open.tail {
        tail.advance_to(keys.unwrap_or(newest));
    }
    let mapping = &settings.mapping;
    rows.take(
        newcomers
            .into_iter()
            .filter(|job| job.id.number() != Some(newest) || is_news(job, mapping, &request.known)),
    );
    Ok(())
}

/// The known jobs: one range where they lie close, the rest is looked up with all that is missing.
fn known(
    open: &Open,
    settings: &SqliteSettings,
    request: &ObserveRequest,
    rows: &mut Merged,
) -> Result<(), StoreError> {
    let Some(tail) = &open.tail else { return Ok(()) };
    let known: Vec<i64> = request.known.iter().filter_map(JobId::number).collect();
    let mut from = tail.dense_from(&known);
    let running = states(settings.mapping.states.running.iter().map(String::as_str));
    while known.last().is_some_and(|last| *last >= from) {
        let to = from.saturating_add(PIECE - 1).min(tail.newest());
        let statement = &open.catalog.statements.span;
        let (_, jobs) = read(open, "reading the running jobs", statement, &[&from, &to, &running])?;
        rows.take(jobs);
        if i64::try_from(rows.len()).unwrap_or(i64::MAX) >= MOST_RUNNING {
            return Err(too_many(&settings.mapping));
        }
        from = match to.checked_add(1) {
            Some(next) => next,
            None => break,
        };
    }
    Ok(())
}

/// A tail from the newest key on, and the newest rows: those that run, and those that the success ratio counts.
fn begin(
    open: &mut Open,
    settings: &SqliteSettings,
    request: &ObserveRequest,
    rows: &mut Merged,
) -> Result<(), StoreError> {
    let statements = &open.catalog.statements;
    let (_, newest) = read(open, "reading the newest rows", &statements.history, &[&HISTORY])?;
    let mut tail = Tail::begin(
        newest
            .iter()
            .filter_map(|job| job.id.number())
            .max()
            .into_iter()
            .collect(),
        i64::MIN,
        Instant::now(),
    );
    tail.begin_full_look();
    open.tail = Some(tail);
    open.tail_is_new = true;
    let youngest = newest.iter().filter_map(|job| job.started_at.at()).max();
    let oldest = youngest.map(|at| at.minus(request.window));
    let states = &settings.mapping.states;
    let counts = |job: &Job| {
        states.kind_of(job.state.as_deref()) == StateKind::Running
            || job.started_at.at().is_some_and(|at| Some(at) >= oldest)
    };
    rows.take(newest.into_iter().filter(counts));
    Ok(())
}

/// Whether the table was emptied or restored below what the tail has seen.
fn fell_back(open: &Open) -> Result<bool, StoreError> {
    let top = open
        .connection
        .query_row(&open.catalog.statements.top, [], |row| row.get(0))
        .map_err(|error| failed("reading the greatest key", &open.path, error))?;
    Ok(open.tail.as_ref().is_some_and(|tail| tail.fell_back(top)))
}

/// The next pages of the full look in progress, if there is one; true if the last was among them.
pub(super) fn page(
    open: &mut Open,
    settings: &SqliteSettings,
    request: &ObserveRequest,
    rows: &mut Merged,
) -> Result<bool, StoreError> {
    let mapping = &settings.mapping.states;
    let running = states(mapping.running.iter().map(String::as_str));
    let all = states(mapping.all().into_iter());
    if request.look == Look::Full
        && let Some(tail) = &mut open.tail
    {
        tail.begin_full_look();
    }
    // Whoever waits for a first pass gets the newest rows at once.
    if std::mem::replace(&mut open.tail_is_new, false) && request.budget != TimeBudget::Unlimited {
        return Ok(false);
    }
    let (began, whole) = (Instant::now(), request.budget.at_most(TRANSACTION));
    let mut room = usize::try_from(MOST_UNKNOWN).unwrap_or_default();
    while let Some(keys) = open.tail.as_ref().and_then(Tail::next_page) {
        let asked = Instant::now();
        let what = "reading a page of a full look";
        let statements = &open.catalog.statements;
        let below: Option<i64> = open
            .connection
            .query_row(&statements.below, [keys.start()], |row| row.get(0))
            .map_err(|error| failed(what, &open.path, error))?;
        let (_, found) = read(
            open,
            what,
            &statements.page,
            &[keys.start(), keys.end(), &running, &all],
        )?;
        rows.take(within_room(found, &settings.mapping, &mut room));
        let mut budget = whole.a_page();
        if open.reading_blocks {
            budget = budget.min(BLOCKING);
        }
        let (tail, took) = (open.tail.as_mut(), asked.elapsed());
        if tail.is_some_and(|tail| tail.page_read(below, took, budget)) {
            return Ok(true);
        }
        if whole.is_spent(began.elapsed(), took) {
            break;
        }
    }
    Ok(false)
}

/// States as a JSON array.
fn states<'a>(states: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from_iter(states).to_string()
}
