//! The decision: what one observation means, and what will be done about it. The glue of the domain.

use super::{
    Action, Cause, Heartbeat, Incident, Init, Job, JobId, Known, Memory, Moment, NAMED_SLOTS, Observation, Phase,
    Policy, Precedents, Reading, StateKind, Timestamp, WindowCount, blind_after, init::of_ended, memory::LastPass,
    phase_of,
};
use std::time::Duration;

/// One planned change of one job.
#[derive(Clone, Debug, PartialEq)]
pub struct Repair {
    /// `backfill` or `fail`; never `observe`.
    pub action: Action,
    /// The row as observed: the guard of the change.
    pub job: Job,
    /// The row's start must still lie at least this far back.
    pub init_deadline: Duration,
    /// The server as observed.
    pub server: super::ServerIdentity,
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

/// Why all watching starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restarted {
    /// Two good passes lie too far apart: what happened between them was not seen.
    Gap(Duration),
    /// Another server, or the same one restarted or promoted.
    Server,
    /// The database's clock and ours advanced by different amounts (microseconds, database minus own).
    Clock(i64),
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
    /// All watching starts anew.
    WatchingRestarted(Restarted),
    /// A row whose times can't be read was seen for the first time.
    Unreadable(JobId),
    /// A row whose state is in no list was seen for the first time.
    UnknownState(JobId, Option<Box<str>>),
    /// A job's name found all labels taken.
    NameDropped,
}

/// A running job, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// The row.
    pub job: Job,
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
    /// Running rows whose times can't be read.
    pub unreadable: u64,
    /// Rows whose state is in no list.
    pub unknown_state: u64,
    /// Inits of the window.
    pub window: WindowCount,
    /// What keeps this watch from repairing at all.
    pub obstacle: Option<Cause>,
    /// The newest heartbeat among those that changed since the last pass.
    pub newest_beat: Option<Timestamp>,
}

/// Decides what one observation means. The same input gives the same plan.
pub fn plan(mut memory: Memory, observation: &Observation, policy: &Policy) -> (Memory, Plan) {
    let snapshot = &observation.snapshot;
    let now = snapshot.database_now;
    let mut plan = Plan {
        at: now,
        events: Vec::new(),
        jobs: Vec::new(),
        repairs: Vec::new(),
        unresolved: memory.unresolved.clone(),
        unreadable: 0,
        unknown_state: 0,
        window: WindowCount::default(),
        obstacle: snapshot.obstacle,
        newest_beat: None,
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

    let precedents = Precedents::from_entries(&snapshot.precedents);
    let mut before = std::mem::take(&mut memory.jobs);
    for row in &snapshot.rows {
        let known = before.remove(&row.id);
        match policy.states.kind_of(row.state.as_deref()) {
            StateKind::Running => {
                let known = take_in(&mut memory, known, row, observation, policy, &mut plan);
                let known = judge(&mut memory, known, observation, policy, &precedents, &mut plan);
                memory.jobs.insert(row.id.clone(), known);
            }
            StateKind::Unknown => {
                let is_new = known.is_none();
                if is_new {
                    plan.events.push(Event::UnknownState(row.id.clone(), row.state.clone()));
                }
                plan.unknown_state += 1;
                let mut known = known.unwrap_or_else(|| Known::first_sight(row.clone(), observation));
                known.update(row.clone(), observation, policy.seed_tolerance);
                known.phase = None;
                memory.jobs.insert(row.id.clone(), known);
            }
            kind => end(
                &mut memory,
                known,
                row,
                kind,
                observation,
                policy,
                &precedents,
                &mut plan,
            ),
        }
    }
    // What is left in `before` was deleted: an undecided init of such a job is not counted.

    choose(&mut memory, observation, policy, &mut plan);
    plan.window = memory.window.count_since(now.minus(policy.init_window));
    memory.last_pass = Some(LastPass {
        began: observation.began,
        database_now: now,
        server: snapshot.server.clone(),
    });
    (memory, plan)
}

/// Whether all watching starts anew: rules (a), (b) and (c) of the two clocks.
fn watching_restarts(memory: &Memory, observation: &Observation, policy: &Policy) -> Option<Restarted> {
    /// Two clocks that advance by amounts this far apart have not measured the same time.
    const DRIFT_FLOOR_MICROS: i64 = 2_000_000;
    let last = memory.last_pass.as_ref()?;
    if last.server != observation.snapshot.server {
        return Some(Restarted::Server);
    }
    let ours = observation.began.since(last.began);
    if ours > blind_after(observation.interval, policy.init_deadline) {
        return Some(Restarted::Gap(ours));
    }
    let ours = i64::try_from(ours.as_micros()).unwrap_or(i64::MAX);
    let theirs = observation.snapshot.database_now.micros_since(last.database_now);
    let drift = theirs.saturating_sub(ours);
    (drift.saturating_abs() > DRIFT_FLOOR_MICROS.max(ours / 10)).then_some(Restarted::Clock(drift))
}

/// When a server that is another than before became it, at the latest; `None` where the server's own start tells, and
/// for a file, which has no server.
fn promoted_by(memory: &Memory, observation: &Observation) -> Option<Timestamp> {
    let last = memory.last_pass.as_ref()?;
    let started_at = observation.snapshot.server_started_at?;
    (started_at <= last.database_now).then_some(observation.snapshot.database_now)
}

/// Takes a running row into memory.
fn take_in(
    memory: &mut Memory,
    known: Option<Known>,
    row: &Job,
    observation: &Observation,
    policy: &Policy,
    plan: &mut Plan,
) -> Known {
    match known {
        Some(mut known) if known.job.started_at == row.started_at => {
            if known.update(row.clone(), observation, policy.seed_tolerance) {
                plan.newest_beat = plan.newest_beat.max(row.heartbeat_at.at());
            }
            known
        }
        _ => {
            name_slot(memory, row, plan);
            let mut known = Known::first_sight(row.clone(), observation);
            if memory.ended.contains(&row.id, row.started_at.at()) {
                // The same incident runs again: its init was decided when it ended.
                known.init = Some(Init::Succeeded);
            }
            known
        }
    }
}

fn name_slot(memory: &mut Memory, row: &Job, plan: &mut Plan) {
    let Some(name) = &row.name else { return };
    if memory.names.contains(name) {
        return;
    }
    if memory.names.len() < NAMED_SLOTS {
        memory.names.insert(name.clone());
    } else {
        plan.events.push(Event::NameDropped);
    }
}

/// Judges a running job: its phase, its init, and what withholds it.
fn judge(
    memory: &mut Memory,
    mut known: Known,
    observation: &Observation,
    policy: &Policy,
    precedents: &Precedents,
    plan: &mut Plan,
) -> Known {
    let now = observation.snapshot.database_now;
    if known.job.is_unreadable() {
        if !known.noted_unreadable {
            known.noted_unreadable = true;
            plan.events.push(Event::Unreadable(known.job.id.clone()));
        }
        plan.unreadable += 1;
        known.phase = None;
        return known;
    }
    let signs = known.signs(observation, policy);
    let phase = phase_of(&signs, now, policy);
    let watched = memory.watched(&known, observation);
    decide_init(memory, &mut known, phase, watched, now, policy, plan);
    if phase.is_stuck() && known.phase != Some(phase) {
        plan.events.push(Event::Stuck(known.job.id.clone(), phase));
    }
    if known.phase == Some(Phase::Lost) && phase == Phase::Beating {
        plan.events.push(Event::Recovered(known.job.id.clone()));
    }
    known.phase = Some(phase);
    let cause = (phase == Phase::MissedFirst)
        .then(|| cause_of(memory, &known, watched, observation, policy, precedents))
        .flatten();
    plan.jobs.push(JobView {
        due_at: due_at(phase, &known, watched, now, policy),
        last_sign: signs.last_sign(),
        writer_frees_at: writer_frees_at(&known, policy),
        job: known.job.clone(),
        phase,
        cause,
    });
    known
}

fn due_at(phase: Phase, known: &Known, watched: Duration, now: Timestamp, policy: &Policy) -> Option<Timestamp> {
    let by_watching = now.plus(policy.init_deadline.saturating_sub(watched));
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

/// Decides the init of a running job, once.
fn decide_init(
    memory: &mut Memory,
    known: &mut Known,
    phase: Phase,
    watched: Duration,
    now: Timestamp,
    policy: &Policy,
    plan: &mut Plan,
) {
    let id = || known.job.id.clone();
    let beat = match known.job.heartbeat(policy.seed_tolerance) {
        Heartbeat::Real(at) => Some(at),
        Heartbeat::Absent | Heartbeat::Seeded(_) => None,
    };
    let way = known
        .job
        .started_at
        .at()
        .zip(beat)
        .map(|(start, beat)| start.age_at(beat));
    let missed_before = known.phase == Some(Phase::MissedFirst);
    let late = way.map_or(missed_before, |way| way >= policy.init_deadline) || known.init == Some(Init::Failed);
    if missed_before && phase == Phase::Beating && late {
        plan.events.push(Event::LateFirstHeartbeat(id()));
    }
    if known.init.is_some() {
        return;
    }
    let init = match phase {
        Phase::Starting => {
            known.seen_starting = true;
            return;
        }
        Phase::MissedFirst if known.seen_starting || watched >= policy.init_deadline => Init::Failed,
        Phase::MissedFirst => return,
        Phase::Beating | Phase::Lost if missed_before && late => Init::Failed,
        Phase::Beating | Phase::Lost => Init::Succeeded,
        // Too old to be in any counter.
        Phase::Abandoned => return,
    };
    known.init = Some(init);
    // A failure was watched, so it counts whatever its age; the rest only if it began while we were there to see it.
    let watched_fail = init == Init::Failed && phase == Phase::MissedFirst;
    if watched_fail || counts(memory, known.job.started_at, policy) {
        plan.events.push(match init {
            Init::Succeeded => Event::InitSucceeded(id(), way),
            Init::Failed => Event::InitFailed(id()),
        });
    }
    memory.window.add(known.job.started_at.at().unwrap_or(now), init);
}

/// Whether an init that was not seen from its start is counted: only if it started while we were watching.
fn counts(memory: &Memory, started_at: Reading, policy: &Policy) -> bool {
    match (started_at.at(), memory.first_pass) {
        (Some(start), Some(first)) => start >= first.minus(policy.init_deadline),
        _ => false,
    }
}

/// Takes note of a job that is not running.
#[expect(
    clippy::too_many_arguments,
    reason = "one arm of the glue; each argument is one of its values"
)]
fn end(
    memory: &mut Memory,
    known: Option<Known>,
    row: &Job,
    kind: StateKind,
    observation: &Observation,
    policy: &Policy,
    precedents: &Precedents,
    plan: &mut Plan,
) {
    let start = row.started_at.at();
    let same_start = known.filter(|known| known.job.started_at == row.started_at);
    let decided = same_start.as_ref().and_then(|known| known.init).is_some();
    if !kind.is_end() && !decided {
        return;
    }
    let is_new = memory.ended.insert(&row.id, start);
    if decided || !is_new {
        return;
    }
    let incident = Incident {
        job: row.id.clone(),
        started_at: start,
    };
    let init = if precedents.of(&incident).repaired() {
        Some(Init::Failed)
    } else {
        of_ended(row, kind, observation.snapshot.database_now, policy)
    };
    let (Some(init), Some(start)) = (init, start) else {
        return;
    };
    if same_start.is_some() || counts(memory, row.started_at, policy) {
        let way = match row.heartbeat(policy.seed_tolerance) {
            Heartbeat::Real(beat) => Some(start.age_at(beat)),
            Heartbeat::Absent | Heartbeat::Seeded(_) => None,
        };
        plan.events.push(match init {
            Init::Succeeded => Event::InitSucceeded(row.id.clone(), way),
            Init::Failed => Event::InitFailed(row.id.clone()),
        });
    }
    memory.window.add(start, init);
}

/// What withholds an overdue job, up to `watching`; fuse and limit are questions of the whole plan.
fn cause_of(
    memory: &Memory,
    known: &Known,
    watched: Duration,
    observation: &Observation,
    policy: &Policy,
    precedents: &Precedents,
) -> Option<Cause> {
    let incident = Incident {
        job: known.job.id.clone(),
        started_at: known.job.started_at.at(),
    };
    let precedent = precedents.of(&incident);
    let obstacle = observation.snapshot.obstacle;
    let restarted = policy.action == Action::Fail && restarted_under(memory, known);
    let rules = [
        (policy.action == Action::Observe, Cause::Observe),
        (obstacle.is_some(), obstacle.unwrap_or(Cause::Rights)),
        (known.job.started_at == Reading::Absent, Cause::NoStart),
        (known.start_stand_in.is_some(), Cause::Clock),
        (
            policy.action == Action::Backfill && known.job.heartbeat_at != Reading::Absent,
            Cause::AwaitingWriter,
        ),
        (precedent.undone, Cause::Undone),
        (precedent.had(policy.action), Cause::Repaired),
        (restarted && watched < policy.heartbeat_timeout, Cause::DbRestart),
        (watched < policy.init_deadline, Cause::Watching),
    ];
    rules.into_iter().find_map(|(applies, cause)| applies.then_some(cause))
}

/// Whether the job is older than the latest restart or promotion of its server.
fn restarted_under(memory: &Memory, known: &Known) -> bool {
    /// A job this young at the restart may have begun on the old server.
    const MARGIN: Duration = Duration::from_secs(2);
    memory
        .restarted_at
        .is_some_and(|at| known.first_seen < at || known.start() < at.plus(MARGIN))
}

/// Chooses the repairs among the due jobs; the rest is withheld by the limit.
fn choose(memory: &mut Memory, observation: &Observation, policy: &Policy, plan: &mut Plan) {
    let mut due: Vec<usize> = (0..plan.jobs.len())
        .filter(|index| plan.jobs[*index].phase == Phase::MissedFirst && plan.jobs[*index].cause.is_none())
        .collect();
    let place = |index: &usize| {
        let job = &plan.jobs[*index].job;
        let attempt = memory.jobs.get(&job.id).map_or(0, |known| known.attempt);
        (attempt, job.started_at, job.id.clone())
    };
    due.sort_by_cached_key(place);
    for index in due.iter().skip(policy.max_per_pass) {
        plan.jobs[*index].cause = Some(Cause::Limit);
    }
    due.truncate(policy.max_per_pass);
    plan.repairs = due
        .into_iter()
        .map(|index| Repair {
            action: policy.action,
            job: plan.jobs[index].job.clone(),
            init_deadline: policy.init_deadline,
            server: observation.snapshot.server.clone(),
        })
        .collect();
}

impl Memory {
    /// The moment since which nothing was missed.
    pub fn watching_since(&self) -> Moment {
        self.watching_since
    }
}
