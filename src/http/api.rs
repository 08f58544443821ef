//! The JSON twins of the page.

use super::{HttpState, facts};
use crate::{
    domain::{JobLine, LedgerEntry, Moment, Phase, Timestamp},
    pass::Clock,
    status::{Board, WatchStatus},
    store::rfc3339,
    text,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// `/api/v1/status`.
pub(super) fn status(state: &HttpState) -> String {
    shown(&status_of(&state.boards(), &*state.clock, state.version))
}

/// A document as it is sent: whoever reads it in a terminal sees names, not what they would do to it.
fn shown(document: &Value) -> String {
    text::json(&document.to_string()).into_owned()
}

/// The status of all watches, as `/api/v1/status` and `beatwarden status --json` have it.
pub fn status_of(boards: &[(String, Arc<Board>)], clock: &dyn Clock, version: &str) -> Value {
    let now = clock.moment();
    let watches: Vec<Value> = boards
        .iter()
        .map(|(name, board)| watch(name, &board.read(), now))
        .collect();
    json!({
        "version": version,
        "now": rfc3339(clock.wall()),
        "watches": watches,
    })
}

fn watch(name: &str, status: &WatchStatus, now: Moment) -> Value {
    let policy = &status.terms.policy;
    let current = status.current(now);
    let report = current.map(|pass| &pass.report);
    // Unknown counts are null, under their keys: whoever reads them needn't ask first whether there are any.
    let counts = |wanted: fn(Phase) -> bool| -> BTreeMap<&str, Option<u64>> {
        Phase::ALL
            .into_iter()
            .filter(|phase| wanted(*phase))
            .map(|phase| {
                (
                    phase.as_str(),
                    report.and_then(|report| report.phases.get(&phase).copied()),
                )
            })
            .collect()
    };
    let window = report.map(|report| report.window);
    let jobs: Vec<Value> = report.map_or_else(Vec::new, |report| report.jobs.iter().map(job).collect());
    let mut watch = json!({
        "name": name,
        "target": status.terms.target,
        "up": status.is_up(now),
        "last_good_pass": status.last_good.as_ref().map(|pass| rfc3339(pass.wall)),
        "database_time": report.map(|report| rfc3339(report.at)),
        "poll_interval_seconds": status.interval().as_secs_f64(),
        "phases": counts(|_| true),
        "stuck": counts(Phase::is_stuck),
        "init": {
            "window_seconds": policy.init_window.as_secs_f64(),
            "inits": window.map(|window| window.inits),
            "failures": window.map(|window| window.failures),
            "ratio": window.and_then(|window| window.ratio()),
        },
        "missed_first_action": policy.action.as_str(),
        "fuse_open": status.fuse_open(),
        "discovery": current.map(|pass| pass.discovery.as_str()),
        "jobs": jobs,
    });
    let shape = watch.as_object_mut().expect("it was made as an object");
    facts::add(shape, status, now);
    watch
}

/// A name is cut here: fifty names of a megabyte each would make an answer that nobody asked for.
const NAME: usize = 1_000;

fn cut(name: &str) -> String {
    name.chars().take(NAME).collect()
}

pub(super) fn time(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| rfc3339(at).into())
}

fn job(line: &JobLine) -> Value {
    json!({
        "id": line.id.text(),
        "name": line.name.as_deref().map(cut),
        "phase": line.phase.as_str(),
        "started_at": time(line.started_at),
        "last_heartbeat_at": time(line.last_heartbeat_at),
        "age_seconds": line.age.as_secs_f64(),
        "next_action": line.next_action.map(|action| action.as_str()),
        "due_at": time(line.due_at),
        "withheld_cause": line.withheld_cause.map(|cause| cause.as_str()),
        "writer_frees_at": time(line.writer_frees_at),
    })
}

/// So many repairs are listed, of all watches together.
const REPAIRS: usize = 100;

/// `/api/v1/repairs`: the newest ledger entries of all watches, newest first.
pub(super) fn repairs(state: &HttpState) -> String {
    let mut entries: Vec<LedgerEntry> = state
        .boards()
        .iter()
        .filter_map(|(_, board)| board.read().last_good.clone())
        .flat_map(|pass| pass.report.repairs.clone())
        .collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.repaired_at));
    entries.truncate(REPAIRS);
    shown(&repairs_of(&entries))
}

/// Ledger entries, as `/api/v1/repairs` and `beatwarden history --json` have them.
pub fn repairs_of(entries: &[LedgerEntry]) -> Value {
    let entries: Vec<Value> = entries.iter().map(repair).collect();
    json!({ "repairs": entries })
}

fn repair(entry: &LedgerEntry) -> Value {
    let uuid = |id: crate::domain::RepairId| uuid::Uuid::from_u128(id.0).to_string();
    // Somebody may have written to the ledger by hand: what is no JSON is shown as a text.
    let image = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    json!({
        "repair_id": uuid(entry.repair_id),
        "watch": entry.watch,
        "table_name": entry.table_name,
        "job_id": entry.job_id.text(),
        "job_name": entry.job_name.as_deref().map(cut),
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
        "undo_of": entry.undo_of.map(uuid),
        "version": entry.version,
    })
}
