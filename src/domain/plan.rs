//! The decision: what one observation means, and what will be done about it. The glue of the domain.

use super::{
    Action, Cause, Finding, Guard, Incident, Job, JobId, Memory, Observation, Phase, Policy, Precedents, RepairId,
    Repairing, Restarted, StateKind, Storm, Timestamp, WindowCount,
    aftermath::follow,
    init::decide_ended,
    judge::{Scene, judge, note_unlisted, remember},
    memory::LastPass,
    names::Label,
    watching::{promoted_by, watching_restarts},
};
use std::{sync::Arc, time::Duration};

/// One planned change of one job.
#[derive(Clone, Debug, PartialEq)]
pub struct Repair {
    /// What is done to the row.
    pub action: Repairing,
    /// The row as observed: what the row check compares.
    pub job: Job,
    /// The row's start must still lie at least this far back.
    pub init_deadline: Duration,
    /// The server as observed.
    pub server: super::ServerIdentity,
    /// Whether the row's start must lie a deadline back.
    pub start: StartCheck,
    /// The undo after which somebody insists on the same repair once more.
    pub after_undo: Option<RepairId>,
}

/// What the row check of a repair demands of the row's start, beyond being as observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartCheck {
    /// It lies at least a deadline back, by the database's clock.
    Overdue,
    /// Nothing: an operator insists on a job without a start, or with one in the future.
    Waived,
}

impl Repair {
    /// The incident that the repair belongs to.
    pub fn incident(&self) -> Incident {
        Incident {
            job: self.job.id.clone(),
            started_at: self.job.started_at.at(),
        }
    }
}

/// Something that happened between the last pass and this one, for counters and log.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An init was decided and counts as a success; the time from the start to the heartbeat, where one was seen.
    InitSucceeded(JobId, Option<Duration>),
    /// An init was decided and counts as a failure.
    InitFailed(JobId),
    /// A real heartbeat after the first one was missed.
    LateFirstHeartbeat(JobId),
    /// A job became stuck.
    Stuck(JobId, Phase),
    /// A lost job beats again.
    Recovered(JobId),
    /// A stuck job is no longer there to be stuck; with its name.
    Left(JobId, Option<Arc<str>>, Left),
    /// All watching starts anew.
    WatchingRestarted(Restarted),
    /// A row whose times can't be read was seen for the first time.
    Unreadable(JobId),
    /// There are running rows without a key, so many, where there were none before.
    Keyless(u64),
    /// A row whose state is in no list was seen for the first time.
    UnknownState(JobId, Option<Arc<str>>),
    /// The fuse opened (true) or closed.
    Fuse(bool),
    /// The guard changed, from one state to another.
    Guard(Guard, Guard),
}

/// How a stuck job ceased to be one, other than by a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Its row has this state now.
    Ended(Option<Arc<str>>),
    /// Its row has another start: a new job.
    Restarted,
    /// Its row is gone.
    Gone,
}

/// A running job, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// The key.
    pub id: JobId,
    /// The name.
    pub name: Option<Arc<str>>,
    /// The start as the row has it.
    pub started_at: Option<Timestamp>,
    /// The heartbeat as the row has it.
    pub last_heartbeat_at: Option<Timestamp>,
    /// Its phase.
    pub phase: Phase,
    /// The last sign of life, as ages count it.
    pub last_sign: Timestamp,
    /// When it is due, by the database's clock, if nothing withholds it.
    pub due_at: Option<Timestamp>,
    /// What withholds it, if it is overdue and not in the plan.
    pub cause: Option<Cause>,
    /// When the writer's own rule frees it, where that rule is configured.
    pub writer_frees_at: Option<Timestamp>,
    /// What its name is shown under.
    pub(super) label: Label,
}

/// What one pass decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The database's time of the observation.
    pub at: Timestamp,
    /// What happened, in the order of the rows.
    pub events: Vec<Event>,
    /// Every running job that has a phase.
    pub jobs: Vec<JobView>,
    /// The repairs to make, in order; never more than the limit.
    pub repairs: Vec<Repair>,
    /// A repair of an earlier pass whose outcome has to be found out first.
    pub unresolved: Option<Repair>,
    /// What turned out about earlier repairs.
    pub findings: Vec<Finding>,
    /// Running rows whose times can't be read, or that have no key.
    pub unreadable: u64,
    /// Rows whose state is in no list.
    pub unknown_state: u64,
    /// Inits of the window.
    pub window: WindowCount,
    /// What keeps this watch from repairing at all.
    pub obstacle: Option<Cause>,
    /// Whether the fuse keeps jobs from being failed.
    pub fuse_open: bool,
    /// The storm that holds it open, if one does.
    pub storm: Option<Storm>,
    /// The newest heartbeat among those that changed since the last pass.
    pub newest_beat: Option<Timestamp>,
    /// New jobs whose names found all labels taken.
    pub names_dropped: u64,
}

/// Decides what one observation means. The same input gives the same plan.
pub fn plan(mut memory: Memory, observation: &Observation, policy: &Policy) -> (Memory, Plan) {
    let snapshot = &observation.snapshot;
    let now = snapshot.database_now;
    let mut plan = Plan {
        at: now,
        events: Vec::new(),
        jobs: Vec::with_capacity(snapshot.rows.len()),
        repairs: Vec::new(),
        unresolved: memory.unresolved.clone(),
        findings: follow(&mut memory, observation, policy),
        // No one can say which row that is, so no one can judge it.
        unreadable: snapshot.keyless,
        unknown_state: 0,
        window: WindowCount::default(),
        obstacle: snapshot.obstacle(),
        fuse_open: false,
        storm: None,
        newest_beat: None,
        names_dropped: 0,
    };
    if let Some(why) = watching_restarts(&memory, observation, policy) {
        memory.watching_since = observation.finished;
        if why == Restarted::Server {
            memory.restarted_at = memory.restarted_at.max(promoted_by(&memory, observation));
        }
        plan.events.push(Event::WatchingRestarted(why));
    }
    if memory.first_pass.is_none() {
        memory.first_pass = Some(now);
        memory.watching_since = observation.finished;
    }
    memory.restarted_at = memory.restarted_at.max(snapshot.server_started_at);
    if memory.keyless == 0 && snapshot.keyless > 0 {
        plan.events.push(Event::Keyless(snapshot.keyless));
    }
    memory.keyless = snapshot.keyless;

    let precedents = Precedents::from_entries(snapshot.precedents.iter().chain(&snapshot.newest_repairs));
    let scene = Scene {
        observation,
        policy,
        precedents: &precedents,
    };
    judge_rows(&mut memory, &scene, &mut plan);

    let guard = snapshot.guard;
    if let Some(before) = memory.guard.replace(guard).filter(|before| *before != guard) {
        plan.events.push(Event::Guard(before, guard));
    }
    choose(&mut memory, &scene, &mut plan);
    plan.window = memory.window.count_since(now.minus(policy.init_window));
    memory.last_pass = Some(LastPass {
        began: observation.began,
        database_now: now,
        server: snapshot.server.clone(),
        connection: snapshot.unknowns.connection,
    });
    (memory, plan)
}

/// Judges every row, side by side with what is remembered of its job.
fn judge_rows(memory: &mut Memory, scene: &Scene<'_>, plan: &mut Plan) {
    let Scene {
        observation, policy, ..
    } = *scene;
    memory.passes = memory.passes.wrapping_add(1);
    let pass = memory.passes;
    let mut jobs = std::mem::take(&mut memory.jobs);
    let mut walk = jobs.walk();
    let mut rows: Vec<&Job> = observation.snapshot.rows.iter().collect();
    if !rows.is_sorted_by(|left, right| left.id < right.id) {
        rows.sort_by(|left, right| left.id.cmp(&right.id));
        rows.dedup_by(|left, right| left.id == right.id);
    }
    for row in rows {
        let known = walk.find(&row.id);
        match policy.states.kind_of(row.state.as_deref()) {
            StateKind::Running => {
                let known = remember(memory, &mut walk, known, row, scene, plan);
                judge(memory, known, scene, plan);
                known.read_in = pass;
            }
            StateKind::Unknown => {
                let known = note_unlisted(memory, &mut walk, known, row, scene, plan);
                plan.unknown_state += 1;
                known.phase = None;
                known.read_in = pass;
            }
            kind => decide_ended(memory, known, row, kind, scene, plan),
        }
    }
    let fresh = walk.fresh();
    for (id, name) in memory.settle(jobs, fresh) {
        let row = observation.snapshot.rows.iter().find(|row| row.id == id);
        let left = row.map_or(Left::Gone, |row| Left::Ended(row.state.clone()));
        plan.events.push(Event::Left(id, name, left));
    }
}

/// Chooses the repairs among the due jobs; the rest is withheld by the limit.
fn choose(memory: &mut Memory, scene: &Scene<'_>, plan: &mut Plan) {
    let Scene {
        observation,
        policy,
        precedents,
    } = *scene;
    let mut due: Vec<usize> = (0..plan.jobs.len())
        .filter(|index| plan.jobs[*index].phase == Phase::MissedFirst && plan.jobs[*index].cause.is_none())
        .collect();
    let place = |index: &usize| {
        let view = &plan.jobs[*index];
        let attempt = memory.jobs.get(&view.id).map_or(0, |known| known.attempt);
        (attempt, view.started_at, view.id.clone())
    };
    due.sort_by_cached_key(place);
    let failing = if policy.action == Action::Fail { due.len() } else { 0 };
    let was_open = memory.fuse;
    plan.storm = memory
        .fuse
        .pass(failing, plan, &observation.snapshot.newest_repairs, policy);
    plan.fuse_open = memory.fuse.is_open();
    if was_open.is_open() != plan.fuse_open {
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
    plan.repairs = due
        .into_iter()
        .filter_map(|index| {
            let known = memory.jobs.get(&plan.jobs[index].id)?;
            let mut repair = Repair {
                action,
                init_deadline: policy.init_deadline,
                server: observation.snapshot.server.clone(),
                start: StartCheck::Overdue,
                after_undo: None,
                job: known.job.clone(),
            };
            if policy.overrides_for(&repair.job.id) {
                repair.after_undo = precedents.of(&repair.incident()).undone;
                if known.start_stand_in.is_some() {
                    repair.start = StartCheck::Waived;
                }
            }
            Some(repair)
        })
        .collect();
}
