//! The decision: what one observation means, and what will be done about it. The glue of the domain.

use super::{
    Action, Cause, Event, Job, JobView, LedgerEntry, Left, Memory, Observation, Plan, Policy, Precedents, Repair,
    Restarted, Snapshot, StartCheck, StateKind, WindowCount,
    init::decide_ended,
    judge::{judge, note_unlisted, remember},
    memory::LastPass,
    pass::Pass,
    watching::{promoted_by, watching_restarts},
};
use std::{borrow::Cow, sync::Arc};

/// Decides what one observation means. The same input gives the same plan.
pub fn plan(mut memory: Memory, observation: &Observation, policy: &Policy) -> (Memory, Plan) {
    let snapshot = &observation.snapshot;
    let now = snapshot.database_now;
    let rows = in_order(&snapshot.rows);
    let plan = Plan {
        at: now,
        events: Vec::new(),
        jobs: Vec::with_capacity(snapshot.rows.len()),
        repairs: Vec::new(),
        unresolved: memory.unresolved.clone(),
        findings: memory.aftermath.follow(&rows, observation, policy),
        // No one can say which row that is, so no one can judge it.
        unreadable: snapshot.keyless,
        unknown_state: 0,
        window: WindowCount::default(),
        obstacle: snapshot.obstacle(),
        fuse_open: false,
        storm: None,
        newest_beat: None,
        names_dropped: 0,
        newly_withheld: Vec::new(),
    };
    let mut pass = Pass {
        observation,
        policy,
        precedents: precedents_in(snapshot, &rows),
        memory: &mut memory,
        plan,
    };
    note_surroundings(&mut pass);
    judge_rows(&mut pass, &rows);
    let guard = snapshot.guard;
    if let Some(before) = pass.memory.guard.replace(guard).filter(|before| *before != guard) {
        pass.plan.events.push(Event::Guard(before, guard));
    }
    choose(&mut pass);
    let mut plan = pass.plan;
    plan.window = memory.window.count_since(now.minus(policy.init_window));
    memory.last_pass = Some(LastPass {
        began: observation.began,
        database_now: now,
        server: snapshot.server.clone(),
        connection: snapshot.unknowns.connection,
    });
    (memory, plan)
}

/// What the ledger says of the jobs that were read; `rows` are in the order of their keys.
fn precedents_in(snapshot: &Snapshot, rows: &[Job]) -> Precedents {
    let (precedents, newest) = (&snapshot.precedents, &snapshot.newest_repairs);
    // A busy day has more repairs than jobs run now.
    let is_read = |entry: &&Arc<LedgerEntry>| rows.binary_search_by(|row| row.id.cmp(&entry.job_id)).is_ok();
    Precedents::from_entries(precedents.iter().chain(newest.iter().filter(is_read)))
}

/// What changed about the server, the clocks and the table as a whole since the last pass.
fn note_surroundings(pass: &mut Pass<'_>) {
    let (memory, events, observation) = (&mut *pass.memory, &mut pass.plan.events, pass.observation);
    let snapshot = &observation.snapshot;
    if let Some(why) = watching_restarts(memory, observation, pass.policy) {
        memory.watching_since = observation.finished;
        if why == Restarted::Server {
            memory.restarted_at = memory.restarted_at.max(promoted_by(memory, observation));
        }
        events.push(Event::WatchingRestarted(why));
    }
    if memory.first_pass.is_none() {
        memory.first_pass = Some(snapshot.database_now);
        memory.watching_since = observation.finished;
    }
    memory.restarted_at = memory.restarted_at.max(snapshot.server_started_at);
    if memory.keyless == 0 && snapshot.keyless > 0 {
        events.push(Event::Keyless(snapshot.keyless));
    }
    memory.keyless = snapshot.keyless;
}

/// Judges every row, side by side with what is remembered of its job. The rows are in the order of their keys.
fn judge_rows(pass: &mut Pass<'_>, rows: &[Job]) {
    pass.memory.passes = pass.memory.passes.wrapping_add(1);
    let number = pass.memory.passes;
    pass.memory.names.begin_pass(pass.observation.began);
    let mut jobs = std::mem::take(&mut pass.memory.jobs);
    let mut walk = jobs.walk();
    for row in rows {
        let known = walk.find(&row.id);
        match pass.policy.states.kind_of(row.state.as_deref()) {
            kind @ (StateKind::Running | StateKind::Unknown) => {
                let known = remember(pass, &mut walk, known, row, kind);
                match kind {
                    StateKind::Running => judge(pass, known),
                    _ => note_unlisted(pass, known),
                }
                known.read_in = number;
            }
            kind => decide_ended(pass, known.as_deref(), row, kind),
        }
    }
    let fresh = walk.fresh();
    for (id, name) in pass.memory.forget_unread(jobs, fresh) {
        let place = rows.binary_search_by(|row| row.id.cmp(&id));
        let left = place.map_or(Left::Gone, |place| Left::Ended(rows[place].state.clone()));
        pass.plan.events.push(Event::Left(id, name, left));
    }
}

/// The rows in the order of their keys, each once. A store has them so already.
fn in_order(rows: &[Job]) -> Cow<'_, [Job]> {
    if rows.is_sorted_by(|left, right| left.id < right.id) {
        return Cow::Borrowed(rows);
    }
    let mut rows = rows.to_vec();
    rows.sort_by(|left, right| left.id.cmp(&right.id));
    rows.dedup_by(|left, right| left.id == right.id);
    Cow::Owned(rows)
}

/// Chooses the repairs among the due jobs; the rest is withheld by the fuse or by the limit.
fn choose(pass: &mut Pass<'_>) {
    let (memory, plan, policy) = (&mut *pass.memory, &mut pass.plan, pass.policy);
    let snapshot = &pass.observation.snapshot;
    let mut due: Vec<usize> = (0..plan.jobs.len())
        .filter(|index| plan.jobs[*index].phase.is_overdue() && plan.jobs[*index].cause.is_none())
        .collect();
    let place = |index: &usize| {
        let view = &plan.jobs[*index];
        let attempt = memory.jobs.get(&view.id).map_or(0, |known| known.attempt);
        (attempt, view.started_at, view.id.clone())
    };
    due.sort_by_cached_key(place);
    // Of jobs that fell silent at once some may have been read a pass before the others: none of them is failed ahead of the rest.
    let is_watched =
        |view: &&JobView| view.phase.is_overdue() && matches!(view.cause, Some(Cause::Watching | Cause::DbRestart));
    let failing = match policy.action {
        Action::Fail if !due.is_empty() => due.len() + plan.jobs.iter().filter(is_watched).count(),
        _ => 0,
    };
    let was_open = memory.fuse.is_open();
    plan.storm = memory.fuse.pass(failing, plan, &snapshot.newest_repairs, policy);
    plan.fuse_open = memory.fuse.is_open();
    if was_open != plan.fuse_open {
        plan.events.push(Event::Fuse(plan.fuse_open));
    }
    if plan.fuse_open && policy.action == Action::Fail {
        due.retain(|index| {
            let view = &mut plan.jobs[*index];
            let insisted = policy.overrides_for(&view.id);
            if !insisted {
                view.cause = Some(Cause::Fuse);
            }
            insisted
        });
    }
    due.retain(|index| !policy.excludes(&plan.jobs[*index].id));
    for index in due.iter().skip(policy.max_per_pass) {
        plan.jobs[*index].cause = Some(Cause::Limit);
    }
    due.truncate(policy.max_per_pass);
    let Some(action) = policy.action.repairing() else {
        return;
    };
    let repair = |index: usize| {
        let known = memory.jobs.get(&plan.jobs[index].id)?;
        let insisted = policy.overrides_for(&known.job.id);
        let precedent = pass.precedents.of(&known.job.incident());
        Some(Repair {
            action,
            job: known.job.clone(),
            reason: policy.overdue(),
            deadline: policy.deadline(),
            server: snapshot.server.clone(),
            start: match known.start_stand_in {
                Some(_) if insisted => StartCheck::Waived,
                _ => StartCheck::Overdue,
            },
            after_undo: precedent.undone.filter(|_| insisted),
        })
    };
    plan.repairs = due.into_iter().filter_map(repair).collect();
}
