//! Of one job that a person wants repaired: why it can't be, and what was done to it before.

use crate::{
    app::Examination,
    domain::{Cause, Heartbeat, Job, JobId, JobView, LedgerAction, LedgerEntry, Phase, StateKind, Timestamp},
    present::{
        safe,
        time::{date, span_short as span},
    },
};

/// Why the job is not due, after it was watched for as long as was asked; `view` is its judgement, if it runs.
pub fn why_not(id: &JobId, examination: &Examination, view: Option<&JobView>) -> String {
    let (key, noun) = (safe::cut(&id.text(), 100), &examination.policy.noun);
    let why = match (&examination.row, view) {
        (None, None) => format!("there is no {noun} {key}: no row of the table has that key"),
        (_, Some(view)) => of_running(&key, view, examination),
        (Some(row), None) => not_running(&key, row, examination),
    };
    let before = done_before(examination, view);
    let before = before.map_or_else(String::new, |before| format!("; {before}"));
    format!("{why}{before}")
}

fn of_running(key: &str, view: &JobView, examination: &Examination) -> String {
    let policy = &examination.policy;
    let noun = &policy.noun;
    match (view.phase, view.cause) {
        (Phase::Starting, _) => format!(
            "{noun} {key} is starting: it has {} from its start for its first heartbeat",
            span(policy.init_deadline)
        ),
        (Phase::Beating, _) => format!("{noun} {key} is not stuck: it is beating"),
        (Phase::Lost, _) => format!(
            "{noun} {key} has lost its heartbeat, and such jobs are reported, never repaired: its process may live; look for it, and \
             end the {noun} where it was started"
        ),
        (Phase::Running, _) => format!(
            "{noun} {key} is running, and may do so for {} from its start",
            span(policy.deadline())
        ),
        (Phase::Abandoned, _) => {
            format!(
                "{noun} {key} is abandoned, and did beat: only {} that missed its first heartbeat is repaired",
                noun.say("{a job}")
            )
        }
        (Phase::MissedFirst, Some(Cause::AwaitingWriter)) => format!(
            "{noun} {key} has a heartbeat already, so there is nothing to backfill: the application has to end it, or use --action fail"
        ),
        (Phase::MissedFirst | Phase::Overrun, Some(Cause::Repaired)) => {
            format!("{noun} {key} was repaired that way before, and each start gets each action once")
        }
        (Phase::MissedFirst | Phase::Overrun, Some(cause)) => format!(
            "{noun} {key} is withheld ({}): `beatwarden explain {key}` says why",
            cause.as_str()
        ),
        (Phase::MissedFirst | Phase::Overrun, None) => format!("{noun} {key} is due"),
    }
}

fn not_running(key: &str, row: &Job, examination: &Examination) -> String {
    let state = row
        .state
        .as_deref()
        .map_or_else(|| "NULL".to_owned(), |state| format!("`{}`", safe::cut(state, 100)));
    let noun = &examination.policy.noun;
    match examination.policy.states.kind_of(row.state.as_deref()) {
        StateKind::Running if row.is_unreadable() => {
            format!("{noun} {key} has times that can't be read, so it is never repaired")
        }
        StateKind::Running => format!("{noun} {key} was seen too shortly to be judged: try again"),
        StateKind::Success | StateKind::Failure => format!("{noun} {key} has ended: its state is {state}"),
        StateKind::Waiting | StateKind::Ignored => format!("{noun} {key} is not running: its state is {state}"),
        StateKind::Unknown => {
            format!("{noun} {key} is in state {state}, which is in no list of watch.table: it is never repaired")
        }
    }
}

/// What Beatwarden, or a person with it, did to this start of the job last.
fn done_before(examination: &Examination, view: Option<&JobView>) -> Option<String> {
    let start = view.map(|view| view.started_at);
    let start = start.or_else(|| examination.row.as_ref().map(|row| row.started_at.at()));
    let of_start = |entry: &&LedgerEntry| start.is_none_or(|start| start == entry.started_at);
    let last = examination.entries.iter().rev().find(of_start)?;
    let (at, id) = (date(last.repaired_at), last.repair_id);
    match last.action {
        LedgerAction::Backfill => Some(format!("Beatwarden set its heartbeat at {at} (repair {id})")),
        LedgerAction::Fail => Some(format!("Beatwarden failed it at {at} (repair {id})")),
        LedgerAction::Undo => undone(examination, start?),
        LedgerAction::AckFuse => None,
    }
}

/// Who took a repair of this start back, and when, if someone did.
pub fn undone(examination: &Examination, start: Option<Timestamp>) -> Option<String> {
    let mut entries = examination.entries.iter().rev();
    let undo = entries.find(|entry| entry.action == LedgerAction::Undo && entry.started_at == start)?;
    Some(format!(
        "its repair was undone at {} by {}",
        date(undo.repaired_at),
        safe::cut(&undo.instance, 100)
    ))
}

/// The heartbeat of a job that missed its first one.
pub fn heartbeat(job: &Job, examined: &crate::domain::Policy) -> &'static str {
    match job.heartbeat(examined.seed_tolerance) {
        Heartbeat::Absent if examined.max_runtime.is_some() => "running for longer than allowed",
        Heartbeat::Absent => "no heartbeat",
        Heartbeat::Seeded(_) => "no heartbeat but the one written with its start",
        Heartbeat::Real(_) => "silent",
    }
}
