//! The facts of the page's notices and pictures, as JSON: what a reader sees there, a program finds here.

use super::{
    api::time,
    verdict::{Verdict, verdict_of},
};
use crate::{
    domain::{Access, Discovery, Moment, Newcomers, Report},
    pass::GoodPass,
    status::{Passed, WatchStatus},
    store::rfc3339,
};
use serde_json::{Map, Value, json};

/// Adds them to the status of one watch. What is known only of the present is null when the last good pass is old.
pub(super) fn add(watch: &mut Map<String, Value>, status: &WatchStatus, now: Moment) {
    let current = status.current(now).map(|pass| &**pass);
    let Verdict { tone, words } = verdict_of(status, now);
    let facts = [
        ("verdict", json!(words)),
        ("tone", json!(tone.as_str())),
        ("failure", failure(status)),
        ("obstacles", of(current, |pass| obstacles(&pass.report))),
        ("fuse_reason", of(current, |pass| pass.report.why_fuse_is_open().into())),
        ("last_repairs", of(current, |pass| last_repairs(&pass.report))),
        ("repair_enabled", of(current, |pass| pass.report.repair_enabled.into())),
        ("guard_installed", of(current, |pass| pass.report.guard.works().into())),
        ("unreadable_jobs", of(current, |pass| pass.report.unreadable.into())),
        (
            "unknown_state_jobs",
            of(current, |pass| pass.report.unknown_state.into()),
        ),
        ("clock_skew_seconds", of(current, |pass| pass.clock_skew.into())),
        ("discovery_reason", of(current, |pass| why_so(pass).into())),
        ("poll_seconds", of(current, |pass| pass.took.as_secs_f64().into())),
        ("index_advice", status.terms.index_advice.as_str().into()),
        ("is_complete", status.is_complete().into()),
        ("last_full_look", time(status.last_full_look)),
        ("thresholds", thresholds(status)),
        ("ages", of(current, |pass| ages(&pass.report))),
        ("init_day", init_day(status)),
        ("last_passes", last_passes(status)),
    ];
    watch.extend(facts.map(|(key, value)| (key.to_owned(), value)));
}

fn of(current: Option<&GoodPass>, value: impl FnOnce(&GoodPass) -> Value) -> Value {
    current.map_or(Value::Null, value)
}

/// Why running jobs are found the way they are.
fn why_so(pass: &GoodPass) -> &'static str {
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
    let one = |entry: &crate::domain::LedgerEntry| {
        json!({
            "repaired_at": rfc3339(entry.repaired_at),
            "action": entry.action.as_str(),
            "job_id": entry.job_id.text(),
            "outcome": entry.outcome.map(|outcome| outcome.as_str()),
        })
    };
    report.repairs.iter().take(SHOWN).map(one).collect()
}

fn thresholds(status: &WatchStatus) -> Value {
    let policy = &status.terms.policy;
    json!({
        "init_deadline_seconds": policy.init_deadline.as_secs_f64(),
        "heartbeat_timeout_seconds": policy.heartbeat_timeout.as_secs_f64(),
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
    let step = |(phase, step, count): (crate::domain::Phase, crate::domain::AgeStep, u64)| {
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
