//! Inits: how a job's way from its start to its first real heartbeat is decided, and the window of their success ratio.

use super::{
    Event, Heartbeat, Incident, Job, Known, Memory, Phase, Plan, Policy, StateKind, TimeValue, Timestamp, judge::Scene,
};
use std::{collections::VecDeque, time::Duration};

/// How an init went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// The first real heartbeat came in time, or the job ended well before it was due.
    Succeeded,
    /// It did not.
    Failed,
}

/// Decides the init of a job that its writer has ended; `None` where nothing can be said.
///
/// `seen_at` stands in for the end where the row has none.
fn of_ended(job: &Job, kind: StateKind, seen_at: Timestamp, policy: &Policy) -> Option<Init> {
    if !kind.is_end() {
        return None;
    }
    let start = job.started_at.at()?;
    let heartbeat = job.heartbeat(policy.seed_tolerance);
    if matches!(heartbeat, Heartbeat::Real(_)) {
        return Some(Init::Succeeded);
    }
    let end = job.ended_at.at().unwrap_or(seen_at);
    let in_time = start.age_at(end) <= policy.init_deadline;
    let any_heartbeat = heartbeat != Heartbeat::Absent;
    match (in_time, kind == StateKind::Success || any_heartbeat) {
        (true, true) => Some(Init::Succeeded),
        _ => Some(Init::Failed),
    }
}

/// Decided inits of the jobs that started within a window, for the success ratio.
#[derive(Clone, Debug, Default)]
pub struct InitWindow {
    decided: VecDeque<(Timestamp, Init)>,
}

/// How many inits of the window were decided, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowCount {
    /// All decided ones.
    pub inits: u64,
    /// The failed ones.
    pub failures: u64,
}

impl WindowCount {
    /// Successes over all, where there are any.
    pub fn ratio(self) -> Option<f64> {
        (self.inits > 0).then(|| (self.inits - self.failures) as f64 / self.inits as f64)
    }
}

impl InitWindow {
    /// A window can't grow without bound: past this the oldest entries go first. 16 bytes each.
    const CAPACITY: usize = 100_000;

    /// Adds an init of a job that started at `start`.
    pub fn add(&mut self, start: Timestamp, init: Init) {
        if self.decided.len() == Self::CAPACITY {
            self.decided.pop_front();
        }
        self.decided.push_back((start, init));
    }

    /// Drops what started before `oldest`, and counts the rest.
    pub fn count_since(&mut self, oldest: Timestamp) -> WindowCount {
        self.decided.retain(|(start, _)| *start >= oldest);
        let failures = self.decided.iter().filter(|(_, init)| *init == Init::Failed).count();
        WindowCount {
            inits: self.decided.len() as u64,
            failures: failures as u64,
        }
    }
}

/// Decides the init of a running job, once.
pub(super) fn decide_running(
    memory: &mut Memory,
    known: &mut Known,
    phase: Phase,
    watched: Duration,
    scene: &Scene<'_>,
    plan: &mut Plan,
) {
    let policy = scene.policy;
    let now = scene.observation.snapshot.database_now;
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
    let incident = Incident {
        job: known.job.id.clone(),
        started_at: known.job.started_at.at(),
    };
    let repaired = scene.precedents.of(&incident).repaired();
    let init = match phase {
        Phase::Starting => {
            known.seen_starting = true;
            return;
        }
        Phase::MissedFirst if known.seen_starting || watched >= policy.init_deadline => Init::Failed,
        Phase::MissedFirst => return,
        Phase::Beating | Phase::Lost if (missed_before && late) || repaired => Init::Failed,
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
fn counts(memory: &Memory, started_at: TimeValue, policy: &Policy) -> bool {
    match (started_at.at(), memory.first_pass) {
        (Some(start), Some(first)) => start >= first.minus(policy.init_deadline),
        _ => false,
    }
}

/// Takes note of a job that is not running.
pub(super) fn decide_ended(
    memory: &mut Memory,
    known: Option<&mut Known>,
    row: &Job,
    kind: StateKind,
    scene: &Scene<'_>,
    plan: &mut Plan,
) {
    let Scene {
        observation,
        policy,
        precedents,
    } = *scene;
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
