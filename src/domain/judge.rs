//! The judgement of one running job: its phase, what withholds it, and what will happen to it when.

use super::{
    Action, Cause, Event, Heartbeat, Job, JobView, Left, Phase, Policy, Precedent, StateKind, TimeValue, Timestamp,
    blocking::writer_frees_at, init::decide_running, jobs::Walk, known::Known, names::Label, pass::Pass,
    phase::phase_of, watching::restarted_under, window::Init,
};
use std::time::Duration;

/// Brings up to date what is remembered of a job that runs, or whose state is in no list: its row, and whether this is a new
/// start. A new one that is written in an unlisted state is a new incident, too; but only a running job takes a label.
pub(super) fn remember<'a>(
    pass: &mut Pass<'_>,
    walk: &'a mut Walk<'_>,
    place: Option<&'a mut Known>,
    row: &Job,
    kind: StateKind,
) -> &'a mut Known {
    let runs = kind == StateKind::Running;
    let mut renamed = false;
    let known = match place {
        Some(known) if known.job.started_at == row.started_at => {
            renamed = known.job.name != row.name;
            if known.update(row, pass.observation, pass.policy.seed_tolerance) && runs {
                pass.plan.newest_beat = pass.plan.newest_beat.max(row.heartbeat_at.at());
            }
            known
        }
        place => {
            if let Some(before) = place.as_deref() {
                leave(pass, before, runs);
            }
            let (now, finished) = (pass.observation.snapshot.database_now, pass.observation.finished);
            let mut known = Known::first_sight(row.clone(), now, finished);
            if pass.memory.ended.contains(&row.incident()) {
                // The same incident runs again: its init was decided when it ended.
                known.init = Some(Init::Succeeded);
            }
            walk.put(place, known)
        }
    };
    if runs {
        name(pass, known, renamed);
    } else {
        // Its label is found again when it runs.
        known.label = Label::Nameless;
    }
    known
}

/// Finds the label of a running job, or keeps the one that it has.
fn name(pass: &mut Pass<'_>, known: &mut Known, renamed: bool) {
    let names = &mut pass.memory.names;
    let is_new = renamed || known.label == Label::Nameless;
    if is_new || known.label == Label::Shared && names.may_have() {
        let name = known.job.name.as_ref();
        known.label = names.label(name, pass.observation.began);
        if let (true, Label::Shared, Some(name)) = (is_new, known.label, name) {
            pass.plan.names_dropped += u64::from(names.refuse(name));
        }
    } else {
        names.keep(known.label);
    }
}

/// Takes leave of the start of a job that has a new one.
fn leave(pass: &mut Pass<'_>, before: &Known, runs: bool) {
    if runs && before.phase.is_some_and(Phase::is_stuck) {
        let left = Event::Left(before.job.id.clone(), before.job.name.clone(), Left::Restarted);
        pass.plan.events.push(left);
    }
    // A failover can bring it back: its init, if it was decided, is not to be decided again.
    if before.init.is_some() {
        pass.memory.ended.insert(before.job.incident());
    }
}

/// Counts a job whose state is in no list; it has no phase.
pub(super) fn note_unlisted(pass: &mut Pass<'_>, known: &mut Known) {
    if !known.noted_unknown {
        known.noted_unknown = true;
        let event = Event::UnknownState(known.job.id.clone(), known.job.state.clone());
        pass.plan.events.push(event);
    }
    pass.plan.unknown_state += 1;
    known.phase = None;
}

/// Judges a running job: its phase, its init, and what withholds it.
pub(super) fn judge(pass: &mut Pass<'_>, known: &mut Known) {
    let (observation, policy, now) = (pass.observation, pass.policy, pass.now());
    let id = known.job.id.clone();
    if known.job.is_unreadable() {
        if !known.noted_unreadable {
            known.noted_unreadable = true;
            pass.plan.events.push(Event::Unreadable(id));
        }
        pass.plan.unreadable += 1;
        known.phase = None;
        return;
    }
    let signs = known.signs(observation, policy);
    let phase = match phase_of(&signs, now, policy) {
        // However old it is: an operator insists on it.
        Phase::Abandoned if policy.overrides_for(&id) && !matches!(signs.heartbeat, Heartbeat::Real(_)) => {
            policy.overdue()
        }
        phase => phase,
    };
    let watched = pass.memory.watched(known, observation);
    decide_running(pass, known, phase, watched);
    if phase.is_stuck() && known.phase != Some(phase) {
        pass.plan.events.push(Event::Stuck(id.clone(), phase));
    }
    if known.phase == Some(Phase::Lost) && phase == Phase::Beating {
        pass.plan.events.push(Event::Recovered(id.clone()));
    }
    known.phase = Some(phase);
    let (watched, cause) = if phase.is_overdue() {
        let precedent = pass.precedent(&known.job);
        let watched = watched.min(untouched_for(precedent, now));
        (watched, cause_of(pass, known, precedent, watched))
    } else {
        (watched, None)
    };
    pass.plan.jobs.push(JobView {
        due_at: due_at(phase, known, watched, now, policy),
        last_sign: signs.last_sign(),
        writer_frees_at: writer_frees_at(known, policy),
        id,
        name: known.job.name.clone(),
        started_at: known.job.started_at.at(),
        last_heartbeat_at: known.job.heartbeat_at.at(),
        phase,
        cause,
        label: known.label,
    });
}

/// For how long no repair has touched the job. What another watch repaired, and its writer put back as it was, is the same row
/// in two passes, though it changed between them.
fn untouched_for(precedent: Precedent, now: Timestamp) -> Duration {
    let since = precedent.newest_at.filter(|at| *at <= now);
    since.map_or(Duration::MAX, |at| at.age_at(now))
}

fn due_at(phase: Phase, known: &Known, watched: Duration, now: Timestamp, policy: &Policy) -> Option<Timestamp> {
    let by_watching = now.plus(policy.watch_for().saturating_sub(watched));
    let acts = phase.has_time_left() || phase.is_overdue();
    acts.then(|| by_watching.max(known.start().plus(policy.deadline())))
}

/// The first cause that withholds an overdue job, in the order of [`Cause`], up to `Watching`; fuse and limit depend on all jobs.
fn cause_of(pass: &Pass<'_>, known: &Known, precedent: Precedent, watched: Duration) -> Option<Cause> {
    let (policy, job) = (pass.policy, &known.job);
    let insisted = policy.overrides_for(&job.id);
    // An incident that was undone gets the action once more only if an operator insists.
    let had = if insisted {
        precedent.stands(policy.action)
    } else {
        precedent.had(policy.action)
    };
    let obstacle = pass.observation.snapshot.obstacle();
    let restarted = policy.action == Action::Fail && restarted_under(pass.memory, known);
    let rules = [
        (policy.action == Action::Observe, Cause::Observe),
        (obstacle.is_some(), obstacle.unwrap_or(Cause::Rights)),
        (
            job.started_at == TimeValue::ABSENT && !(insisted && policy.action == Action::Fail),
            Cause::NoStart,
        ),
        (known.start_stand_in.is_some() && !insisted, Cause::Clock),
        (
            policy.action == Action::Backfill && job.heartbeat_at != TimeValue::ABSENT,
            Cause::AwaitingWriter,
        ),
        (precedent.undone.is_some() && !insisted, Cause::Undone),
        (had, Cause::Repaired),
        (
            restarted && watched < policy.heartbeat_timeout && !insisted,
            Cause::DbRestart,
        ),
        (watched < policy.watch_for(), Cause::Watching),
    ];
    rules.into_iter().find_map(|(applies, cause)| applies.then_some(cause))
}
