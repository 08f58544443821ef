//! The judgement of one running job: its phase, what withholds it, and what will happen to it when.

use super::{
    Action, Cause, Event, Heartbeat, Incident, Init, Job, JobView, Known, Left, Memory, Observation, Phase, Plan,
    Policy, Precedents, TimeValue, Timestamp, init, jobs::Walk, names::Label, phase_of, watching::restarted_under,
};
use std::time::Duration;

/// What every judgement of a pass rests on.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub observation: &'a Observation,
    pub policy: &'a Policy,
    pub precedents: &'a Precedents,
}

/// Takes a running row into memory.
pub(super) fn remember<'a>(
    memory: &mut Memory,
    walk: &'a mut Walk<'_>,
    known: Option<&'a mut Known>,
    row: &Job,
    scene: &Scene<'_>,
    plan: &mut Plan,
) -> &'a mut Known {
    let Scene {
        observation, policy, ..
    } = *scene;
    match known {
        Some(known) if known.job.started_at == row.started_at => {
            // One that was first met in a state of no list has no label yet.
            if known.job.name != row.name || known.label == Label::Nameless {
                label(memory, known, row, plan);
            }
            if known.update(row, observation, policy.seed_tolerance) {
                plan.newest_beat = plan.newest_beat.max(row.heartbeat_at.at());
            }
            known
        }
        place => {
            if let Some(before) = place
                .as_deref()
                .filter(|before| before.phase.is_some_and(Phase::is_stuck))
            {
                let left = Event::Left(row.id.clone(), before.job.name.clone(), Left::Restarted);
                plan.events.push(left);
            }
            let mut known = new_start(memory, place.as_deref(), row, observation);
            label(memory, &mut known, row, plan);
            if memory.ended.contains(&row.id, row.started_at.at()) {
                // The same incident runs again: its init was decided when it ended.
                known.init = Some(Init::Succeeded);
            }
            walk.put(place, known)
        }
    }
}

/// Takes a row into memory whose state is in no list. It takes no label from those that run; its start is noticed, so that
/// a new one that is written meanwhile counts as the new incident that it is.
pub(super) fn note_unlisted<'a>(
    memory: &mut Memory,
    walk: &'a mut Walk<'_>,
    known: Option<&'a mut Known>,
    row: &Job,
    scene: &Scene<'_>,
    plan: &mut Plan,
) -> &'a mut Known {
    let Scene {
        observation, policy, ..
    } = *scene;
    let known = match known {
        Some(known) if known.job.started_at == row.started_at => {
            // Its name may change meanwhile: the label is found again when it runs.
            if known.job.name != row.name {
                known.label = Label::Nameless;
            }
            known.update(row, observation, policy.seed_tolerance);
            known
        }
        place => {
            let known = new_start(memory, place.as_deref(), row, observation);
            walk.put(place, known)
        }
    };
    if !known.noted_unknown {
        known.noted_unknown = true;
        plan.events.push(Event::UnknownState(row.id.clone(), row.state.clone()));
    }
    known
}

/// A start that this process sees for the first time, of a job whose earlier start may be known.
fn new_start(memory: &mut Memory, before: Option<&Known>, row: &Job, observation: &Observation) -> Known {
    // A failover can bring an earlier start back: its init, if it was decided, is not to be decided again.
    if let Some(before) = before.filter(|before| before.init.is_some()) {
        memory.ended.insert(&before.job.id, before.job.started_at.at());
    }
    Known::first_sight(row.clone(), observation)
}

/// Gives a running job the label of its name.
fn label(memory: &mut Memory, known: &mut Known, row: &Job, plan: &mut Plan) {
    let before = known.label;
    known.label = memory.names.label(row.name.as_ref());
    plan.names_dropped += u64::from(known.label == Label::Shared && before == Label::Nameless);
}

/// Judges a running job: its phase, its init, and what withholds it.
pub(super) fn judge(memory: &mut Memory, known: &mut Known, scene: &Scene<'_>, plan: &mut Plan) {
    let Scene {
        observation, policy, ..
    } = *scene;
    let now = observation.snapshot.database_now;
    if known.job.is_unreadable() {
        if !known.noted_unreadable {
            known.noted_unreadable = true;
            plan.events.push(Event::Unreadable(known.job.id.clone()));
        }
        plan.unreadable += 1;
        known.phase = None;
        return;
    }
    let signs = known.signs(observation, policy);
    let phase = match phase_of(&signs, now, policy) {
        // However old it is: somebody insists on it.
        Phase::Abandoned if policy.overrides_for(&known.job.id) && !matches!(signs.heartbeat, Heartbeat::Real(_)) => {
            Phase::MissedFirst
        }
        phase => phase,
    };
    let watched = memory.watched(known, observation);
    init::decide_running(memory, known, phase, watched, scene, plan);
    if phase.is_stuck() && known.phase != Some(phase) {
        plan.events.push(Event::Stuck(known.job.id.clone(), phase));
    }
    if known.phase == Some(Phase::Lost) && phase == Phase::Beating {
        plan.events.push(Event::Recovered(known.job.id.clone()));
    }
    known.phase = Some(phase);
    let cause = (phase == Phase::MissedFirst)
        .then(|| cause_of(memory, known, watched, scene))
        .flatten();
    plan.jobs.push(JobView {
        due_at: due_at(phase, known, watched, now, policy),
        last_sign: signs.last_sign(),
        writer_frees_at: writer_frees_at(known, policy),
        id: known.job.id.clone(),
        name: known.job.name.clone(),
        started_at: known.job.started_at.at(),
        last_heartbeat_at: known.job.heartbeat_at.at(),
        phase,
        cause,
        label: known.label,
    });
}

fn due_at(phase: Phase, known: &Known, watched: Duration, now: Timestamp, policy: &Policy) -> Option<Timestamp> {
    let by_watching = now.plus(policy.watch_for().saturating_sub(watched));
    match phase {
        Phase::Starting | Phase::MissedFirst => Some(by_watching.max(known.start().plus(policy.init_deadline))),
        Phase::Beating | Phase::Lost | Phase::Abandoned => None,
    }
}

fn writer_frees_at(known: &Known, policy: &Policy) -> Option<Timestamp> {
    match known.job.heartbeat_at.at() {
        Some(beat) => policy.writer_stale_after.map(|after| beat.plus(after)),
        None => policy
            .writer_stale_after_without_heartbeat
            .and_then(|after| Some(known.job.started_at.at()?.plus(after))),
    }
}

/// What withholds an overdue job, up to `watching`; fuse and limit are questions of the whole plan.
fn cause_of(memory: &Memory, known: &Known, watched: Duration, scene: &Scene<'_>) -> Option<Cause> {
    let Scene {
        observation,
        policy,
        precedents,
    } = *scene;
    let incident = Incident {
        job: known.job.id.clone(),
        started_at: known.job.started_at.at(),
    };
    let precedent = precedents.of(&incident);
    let insisted = policy.overrides_for(&known.job.id);
    // An incident that was undone gets the action once more only if somebody insists.
    let had = if insisted {
        precedent.stands(policy.action)
    } else {
        precedent.had(policy.action)
    };
    let obstacle = observation.snapshot.obstacle();
    let restarted = policy.action == Action::Fail && restarted_under(memory, known);
    let rules = [
        (policy.action == Action::Observe, Cause::Observe),
        (obstacle.is_some(), obstacle.unwrap_or(Cause::Rights)),
        (
            known.job.started_at == TimeValue::Absent && !(insisted && policy.action == Action::Fail),
            Cause::NoStart,
        ),
        (known.start_stand_in.is_some() && !insisted, Cause::Clock),
        (
            policy.action == Action::Backfill && known.job.heartbeat_at != TimeValue::Absent,
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
