//! The shapes of the API, and of every command's `--json`: what a reader sees on the page, a program finds here.

use super::{
    Judged, View, sentence_of,
    time::rfc3339,
    verdict::{Verdict, verdict_of},
    words,
};
use crate::{
    domain::{
        Access, Blocking, Discovery, Job, JobId, JobLine, LateOutcome, LedgerEntry, Newcomers, Phase, RepairId, Report,
        Timestamp,
    },
    pass::GoodPass,
    status::{Passed, WatchStatus},
};
use serde_json::{Value, json};
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

/// The status of all watches, as `/api/v1/status` and `beatwarden status --json` have it.
pub fn status(views: &[View], at: Timestamp, version: &str) -> Value {
    let watches: Vec<Value> = views.iter().map(watch).collect();
    json!({ "version": version, "now": rfc3339(at), "watches": watches })
}

/// One watch. What is known only of the present is null when the last good pass is old.
fn watch(view: &View) -> Value {
    let (status, policy) = (&view.status, &view.status.terms.policy);
    let Verdict { tone, words } = verdict_of(view);
    // Unknown counts are null, under their keys: a reader needn't ask first whether there are any.
    let counts = |wanted: fn(Phase) -> bool| -> BTreeMap<&str, Option<u64>> {
        let phases = policy.phases().iter().filter(|phase| wanted(**phase));
        phases.map(|phase| (phase.as_str(), view.count(*phase))).collect()
    };
    let window = view.known(|pass| pass.report.window);
    let jobs = view.known(|pass| {
        pass.report
            .jobs
            .iter()
            .map(|line| job(line, pass.report.at))
            .collect::<Vec<_>>()
    });
    let action_for = |reason: Phase| (policy.overdue() == reason).then(|| policy.action.as_str());
    json!({
        "name": view.name,
        "target": status.terms.target,
        "up": view.is_up(),
        "verdict": words,
        "tone": tone.as_str(),
        "failure": failure(status),
        "last_good_pass": status.last_good.as_ref().map(|pass| rfc3339(pass.wall)),
        "last_full_look": time(status.last_full_look),
        "is_complete": status.is_complete(),
        "database_time": view.known(|pass| rfc3339(pass.report.at)),
        "poll_interval_seconds": status.interval().as_secs_f64(),
        "poll_seconds": view.known(|pass| pass.took.as_secs_f64()),
        "clock_skew_seconds": view.known(|pass| pass.clock_skew),
        "discovery": view.known(|pass| pass.discovery.as_str()),
        "discovery_reason": view.known(why_found_so),
        "prepared_statements": view.known(|pass| pass.prepared),
        "index_advice": status.terms.index_advice,
        "thresholds": thresholds(status),
        "phases": counts(|_| true),
        "stuck": counts(Phase::is_stuck),
        "blocking_jobs": view.known(|pass| pass.report.blocking),
        "unreadable_jobs": view.known(|pass| pass.report.unreadable),
        "unknown_state_jobs": view.known(|pass| pass.report.unknown_state),
        "ages": view.known(|pass| ages(&pass.report)),
        "init": {
            "window_seconds": policy.init_window.as_secs_f64(),
            "inits": window.map(|window| window.inits),
            "failures": window.map(|window| window.failures),
            "ratio": window.and_then(|window| window.ratio()),
        },
        "init_day": init_day(status),
        "last_passes": last_passes(status),
        "missed_first_action": action_for(Phase::MissedFirst),
        "overrun_action": action_for(Phase::Overrun),
        "repair_enabled": view.repair_enabled(),
        "obstacles": view.known(|pass| obstacles(&pass.report)),
        "fuse_open": view.fuse_open(),
        "fuse_reason": view.known(|pass| pass.report.why_fuse_is_open()),
        "guard_installed": view.guard_installed(),
        "jobs": jobs.unwrap_or_default(),
        "next_repair": view.known(|pass| pass.report.next.as_ref().map(|line| job(line, pass.report.at))),
        "outcomes": outcomes(view),
        "last_repairs": view.known(|pass| last_repairs(&pass.report)),
    })
}

/// A name is cut here: fifty names of a megabyte each would make an answer that no one asked for.
const NAME: usize = 1_000;

fn name(name: Option<&str>) -> Option<String> {
    name.map(|name| name.chars().take(NAME).collect())
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(rfc3339)
}

fn job(line: &JobLine, now: Timestamp) -> Value {
    json!({
        "id": line.id.text(),
        "name": name(line.name.as_deref()),
        "phase": line.phase.as_str(),
        "started_at": time(line.started_at),
        "last_heartbeat_at": time(line.last_heartbeat_at),
        "age_seconds": line.age.as_secs_f64(),
        "next_action": line.next_action.map(|action| action.as_str()),
        "due_at": time(line.due_at),
        "withheld_cause": line.withheld_cause.map(|cause| cause.as_str()),
        "writer_frees_at": time(line.writer_frees_at),
        "repair_id": line.repair.map(|id| id.to_string()),
        "blocks_until": time(line.blocking.and_then(Blocking::until)),
        "leftover": line.blocking == Some(Blocking::Leftover),
        "blocking_words": line.blocking.map(|blocking| words::blocking(blocking, now)),
    })
}

/// A row and its judgement, as `beatwarden explain --json` has it.
pub fn examined_job(row: &Job, judged: Option<Judged>, now: Timestamp) -> Value {
    let blocking = judged.and_then(|judged| judged.blocking(now));
    json!({
        "id": row.id.text(),
        "name": name(row.name.as_deref()),
        "state": row.state.as_deref(),
        "phase": judged.map(|judged| judged.phase.as_str()),
        "started_at": time(row.started_at.at()),
        "last_heartbeat_at": time(row.heartbeat_at.at()),
        "ended_at": time(row.ended_at.at()),
        "withheld_cause": judged.and_then(|judged| judged.cause).map(|cause| cause.as_str()),
        "due_at": time(judged.and_then(|judged| judged.due_at)),
        "writer_frees_at": time(judged.and_then(|judged| judged.writer_frees_at)),
        "blocks_until": time(blocking.and_then(Blocking::until)),
        "leftover": blocking == Some(Blocking::Leftover),
        "blocking_words": blocking.map(|blocking| words::blocking(blocking, now)),
    })
}

/// Which job is meant, as `beatwarden repair --json` has it.
pub fn named_job(id: &JobId, job_name: Option<&str>, started_at: Option<Timestamp>) -> Value {
    json!({ "id": id.text(), "name": name(job_name), "started_at": time(started_at) })
}

/// `/api/v1/repairs`: the newest ledger entries of all watches, newest first.
pub fn newest_repairs(views: &[View]) -> Value {
    /// How many are listed, of all watches together.
    const REPAIRS: usize = 100;
    let mut entries: Vec<&LedgerEntry> = views.iter().flat_map(View::repairs).map(Arc::as_ref).collect();
    entries.sort_by_key(|entry| Reverse(entry.repaired_at));
    entries.truncate(REPAIRS);
    repairs(entries)
}

/// Ledger entries, as `/api/v1/repairs` and `beatwarden history --json` have them.
pub fn repairs<'a>(entries: impl IntoIterator<Item = &'a LedgerEntry>) -> Value {
    let entries: Vec<Value> = entries.into_iter().map(repair).collect();
    json!({ "repairs": entries })
}

fn repair(entry: &LedgerEntry) -> Value {
    // Someone may have written to the ledger by hand: what is no JSON is shown as a text.
    let image = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    json!({
        "repair_id": entry.repair_id.to_string(),
        "watch": entry.watch,
        "table_name": entry.table_name,
        "job_id": entry.job_id.text(),
        "job_name": name(entry.job_name.as_deref()),
        "reason": entry.reason,
        "action": entry.action.as_str(),
        "instance": entry.instance,
        "started_at": time(entry.started_at),
        "repaired_at": rfc3339(entry.repaired_at),
        "before": image(&entry.before),
        "after": image(&entry.after),
        "outcome": entry.outcome.map(|outcome| outcome.as_str()),
        "outcome_at": time(entry.outcome_at),
        "acknowledged_at": time(entry.acknowledged_at),
        "undo_of": entry.undo_of.map(|id: RepairId| id.to_string()),
        "version": entry.version,
    })
}

/// Why running jobs are found the way they are.
fn why_found_so(pass: &GoodPass) -> &'static str {
    match (pass.discovery, pass.access, pass.newcomers) {
        (Discovery::KeyTail, _, _) => {
            "the key grows and rows are born running; by state the whole table would be scanned"
        }
        (Discovery::State, Access::Index, _) => "an index serves the state",
        (Discovery::State, Access::Scan, Newcomers::Followed) => "the table is small: scanning it costs little",
        (Discovery::State, Access::Scan, Newcomers::Unseen) => {
            "no index serves the state, and there is no growing key of rows that are born running"
        }
    }
}

fn failure(status: &WatchStatus) -> Value {
    status.failure.as_ref().map_or(Value::Null, |failure| {
        json!({
            "cause": failure.failure.as_str(),
            "error": failure.error,
            "at": rfc3339(failure.wall),
            "next_attempt_at": rfc3339(failure.wall.plus(failure.retry_in)),
        })
    })
}

fn obstacles(report: &Report) -> Value {
    let one = |obstacle: &crate::domain::Obstacle| json!({"cause": obstacle.cause.as_str(), "reason": obstacle.reason});
    report.obstacles.iter().map(one).collect()
}

/// The newest repairs in short; `/api/v1/repairs` has all of each.
fn last_repairs(report: &Report) -> Value {
    const SHOWN: usize = 5;
    let one = |entry: &Arc<LedgerEntry>| {
        json!({
            "repaired_at": rfc3339(entry.repaired_at),
            "action": entry.action.as_str(),
            "job_id": entry.job_id.text(),
            "outcome": entry.outcome.map(|outcome| outcome.as_str()),
        })
    };
    report.repairs.iter().take(SHOWN).map(one).collect()
}

/// What turned out about earlier repairs, until it is acknowledged.
fn outcomes(view: &View) -> Value {
    let noun = &view.status.terms.policy.noun;
    let one = |(entry, outcome): &(&LedgerEntry, LateOutcome)| {
        json!({
            "repair_id": entry.repair_id.to_string(),
            "job_id": entry.job_id.text(),
            "job_name": name(entry.job_name.as_deref()),
            "action": entry.action.as_str(),
            "repaired_at": rfc3339(entry.repaired_at),
            "outcome": outcome.as_str(),
            "undone": view.is_undone(entry),
            "words": sentence_of(entry, *outcome, view.is_undone(entry), noun),
        })
    };
    view.outcomes().iter().map(one).collect()
}

fn thresholds(status: &WatchStatus) -> Value {
    let policy = &status.terms.policy;
    json!({
        "init_deadline_seconds": policy.init_deadline.as_secs_f64(),
        "heartbeat_timeout_seconds": policy.heartbeat_timeout.as_secs_f64(),
        "max_runtime_seconds": policy.max_runtime.map(|longest| longest.as_secs_f64()),
        "max_age_seconds": policy.max_age.as_secs_f64(),
        "configured_poll_interval_seconds": status.terms.poll_interval.as_secs_f64(),
        "init_objective": status.terms.init_objective,
        "writer_stale_after_seconds": policy.writer_stale_after.map(|after| after.as_secs_f64()),
        "writer_stale_after_without_heartbeat_seconds":
            policy.writer_stale_after_without_heartbeat.map(|after| after.as_secs_f64()),
    })
}

/// The heartbeat ruler.
fn ages(report: &Report) -> Value {
    let step = |(phase, step, count): (Phase, crate::domain::AgeStep, u64)| {
        json!({
            "phase": phase.as_str(),
            "from_seconds": step.begins().as_secs_f64(),
            "to_seconds": step.ends().as_secs_f64(),
            "jobs": count,
        })
    };
    report.ages.steps().map(step).collect()
}

fn init_day(status: &WatchStatus) -> Value {
    let slot = |slot: crate::status::InitSlot| json!({"from": time(Some(slot.begins)), "inits": slot.inits, "failures": slot.failures});
    status.day.slots().map(slot).collect()
}

fn last_passes(status: &WatchStatus) -> Value {
    let mark = |mark: crate::status::PassMark| {
        let (good, repairs) = match mark.passed {
            Passed::Good { repairs } => (true, repairs),
            Passed::Failed => (false, 0),
        };
        json!({"at": rfc3339(mark.wall), "good": good, "took_seconds": mark.took.as_secs_f64(), "repairs": repairs})
    };
    status.strip.marks().map(mark).collect()
}
