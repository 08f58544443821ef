//! Inits: how a job's way from its start to its first real heartbeat is decided, once for each start. Where the writer makes
//! no heartbeats there are none.

use super::{
    Event, Heartbeat, Job, Memory, Phase, Policy, StateKind, Timestamp, known::Known, pass::Pass, window::Init,
};
use std::time::Duration;

/// Decides the init of a running job as soon as its phase shows it.
pub(super) fn decide_running(pass: &mut Pass<'_>, known: &mut Known, phase: Phase, watched: Duration) {
    let policy = pass.policy;
    if policy.max_runtime.is_some() {
        return;
    }
    let was_missed = known.phase == Some(Phase::MissedFirst);
    // A heartbeat in time may only have been seen late.
    let beat_in_time = known
        .job
        .time_to_beat(policy.seed_tolerance)
        .is_some_and(|after| after < policy.init_deadline);
    let is_late = was_missed && (known.init == Some(Init::Failed) || !beat_in_time);
    if is_late && phase == Phase::Beating {
        pass.plan.events.push(Event::LateFirstHeartbeat(known.job.id.clone()));
    }
    known.seen_starting |= phase == Phase::Starting;
    if known.init.is_some() {
        return;
    }
    let is_repaired = pass.precedent(&known.job).repaired();
    let init = match phase {
        Phase::MissedFirst if known.seen_starting || watched >= policy.init_deadline => Init::Failed,
        Phase::Beating | Phase::Lost if is_late || is_repaired => Init::Failed,
        Phase::Beating | Phase::Lost => Init::Succeeded,
        // There is still time, it was not watched for long enough, or it is too old to be in any counter.
        Phase::Starting | Phase::MissedFirst | Phase::Running | Phase::Overrun | Phase::Abandoned => return,
    };
    known.init = Some(init);
    // A miss was watched, so it counts, but for one that a process before this one has counted: it would be counted again after
    // each restart.
    let was_counted = is_repaired || is_leftover(pass.memory, known, policy);
    let counts = match phase {
        Phase::MissedFirst if known.seen_starting || !was_counted => true,
        _ => began_under_watch(pass.memory, &known.job, policy),
    };
    record(pass, &known.job, init, counts);
}

/// Decides the init of a job that its writer has ended, unless it was decided while it ran.
pub(super) fn decide_ended(pass: &mut Pass<'_>, known: Option<&Known>, row: &Job, kind: StateKind) {
    if pass.policy.max_runtime.is_some() {
        return;
    }
    let known = known.filter(|known| known.job.started_at == row.started_at);
    let is_decided = known.is_some_and(|known| known.init.is_some());
    if !kind.is_end() && !is_decided {
        return;
    }
    // A decided one is remembered, too: the row may run again with the same start.
    let is_new = pass.memory.ended.insert(row.incident());
    let Some(start) = row.started_at.at().filter(|_| is_new && !is_decided) else {
        return;
    };
    let init = if pass.precedent(row).repaired() {
        Init::Failed
    } else {
        of_ended(row, start, kind, pass.now(), pass.policy)
    };
    let counts = known.is_some() || began_under_watch(pass.memory, row, pass.policy);
    record(pass, row, init, counts);
}

/// How the init of an ended job went. `seen_at` stands in for the end where the row has none.
fn of_ended(job: &Job, start: Timestamp, kind: StateKind, seen_at: Timestamp, policy: &Policy) -> Init {
    let heartbeat = job.heartbeat(policy.seed_tolerance);
    let end = job.ended_at.at().unwrap_or(seen_at);
    let in_time = start.age_at(end) <= policy.init_deadline;
    match heartbeat {
        Heartbeat::Real(_) => Init::Succeeded,
        Heartbeat::Seeded(_) if in_time => Init::Succeeded,
        Heartbeat::Absent if in_time && kind == StateKind::Success => Init::Succeeded,
        Heartbeat::Seeded(_) | Heartbeat::Absent => Init::Failed,
    }
}

/// Whether the job started while this process was there to see it, or so shortly before that its deadline was still to come.
fn began_under_watch(memory: &Memory, job: &Job, policy: &Policy) -> bool {
    match (job.started_at.at(), memory.first_pass) {
        (Some(start), Some(first)) => start >= first.minus(policy.init_deadline),
        _ => false,
    }
}

/// Whether the job started before the window that a process reads again at its start: what it missed is long known.
fn is_leftover(memory: &Memory, known: &Known, policy: &Policy) -> bool {
    memory
        .first_pass
        .is_some_and(|first| known.start() < first.minus(policy.init_window))
}

/// Adds a decided init to the window, and to the counters where it counts.
fn record(pass: &mut Pass<'_>, job: &Job, init: Init, counts: bool) {
    if counts {
        let id = job.id.clone();
        pass.plan.events.push(match init {
            Init::Succeeded => Event::InitSucceeded(id, job.time_to_beat(pass.policy.seed_tolerance)),
            Init::Failed => Event::InitFailed(id),
        });
    }
    pass.memory.window.add(job.started_at.at().unwrap_or(pass.now()), init);
}
