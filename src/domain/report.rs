//! Plan and outcomes in one value: what log, metrics, page, API and command line show.

use super::{
    Action, Ages, Attempted, Blocking, Cause, Event, Finding, Guard, HeldUp, JobId, JobView, LateOutcome, LedgerAction,
    LedgerEntry, Memory, Noted, Noun, Observation, Obstacle, Outcome, Phase, Plan, Policy, RepairId, Repairing,
    SharedText, Storm, StuckName, Timestamp, WindowCount, names::OldestByName, stuck::OldestStuck,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// One job as the status page and the API show it.
#[derive(Clone, Debug, PartialEq)]
pub struct JobLine {
    /// The key.
    pub id: JobId,
    /// The name.
    pub name: Option<SharedText>,
    /// The phase.
    pub phase: Phase,
    /// The start as the row has it.
    pub started_at: Option<Timestamp>,
    /// The heartbeat as the row has it.
    pub last_heartbeat_at: Option<Timestamp>,
    /// Age of the last sign of life.
    pub age: Duration,
    /// What will be done, if nothing changes.
    pub next_action: Option<Action>,
    /// When.
    pub due_at: Option<Timestamp>,
    /// What withholds it.
    pub withheld_cause: Option<Cause>,
    /// When the writer's own rule takes it for dead.
    pub writer_frees_at: Option<Timestamp>,
    /// What it means for the next run of the same name, if it is stuck and the writer's rule is known.
    pub blocking: Option<Blocking>,
    /// The repair that this pass made.
    pub repair: Option<RepairId>,
}

/// What one pass found and did.
#[derive(Clone, Debug)]
pub struct Report {
    /// What people call a job of this watch.
    pub noun: Noun,
    /// The database's time.
    pub at: Timestamp,
    /// Running jobs by phase.
    pub phases: BTreeMap<Phase, u64>,
    /// Rows whose times can't be read.
    pub unreadable: u64,
    /// Rows whose state is in no list.
    pub unknown_state: u64,
    /// The oldest last sign of life of the running, not abandoned jobs.
    pub oldest_sign: Option<Timestamp>,
    /// The same of those that beat.
    pub oldest_beating: Option<Timestamp>,
    /// How many running jobs have been silent for how long.
    pub ages: Ages,
    /// The oldest age of the last sign of life by job name; `None` for the names that got no label.
    pub ages_by_name: BTreeMap<Option<SharedText>, Duration>,
    /// Stuck jobs that keep the writer from starting another run of the same name; `None` where its rule is not known.
    pub blocking: Option<u64>,
    /// The names whose stuck jobs are the oldest, 20 at most, oldest first.
    pub stuck_names: Vec<StuckName>,
    /// Overdue jobs that were not repaired, by cause.
    pub withheld: BTreeMap<Cause, u64>,
    /// Jobs that are withheld for a cause for the first time.
    pub newly_withheld: Vec<(JobId, Cause)>,
    /// Inits of the window.
    pub window: WindowCount,
    /// Database's time minus the newest heartbeat that changed since the last pass, microseconds.
    pub writer_offset_micros: Option<i64>,
    /// Whether a repair could be made: the action is not `observe`, and nothing hinders the whole watch.
    pub repair_enabled: bool,
    /// Whether the fuse keeps jobs from being failed.
    pub fuse_open: bool,
    /// The storm that holds it open, if one does.
    pub storm: Option<Storm>,
    /// The false repairs that no one has acknowledged, however old, newest first: one holds the fuse open.
    pub false_repairs: Vec<Arc<LedgerEntry>>,
    /// The late heartbeats that no one has acknowledged, however old, newest first.
    pub late_heartbeats: Vec<Arc<LedgerEntry>>,
    /// The state of the guard.
    pub guard: Guard,
    /// What hinders it; the first one counts.
    pub obstacles: Vec<Obstacle>,
    /// The stuck jobs and the oldest, 50 at most, worst first: those that block, the other stuck ones, the rest.
    pub jobs: Vec<JobLine>,
    /// The job that is repaired next, if nothing changes: the stuck ones come before those that may still beat.
    pub next: Option<JobLine>,
    /// Jobs that were failed within the last minute.
    pub failed_lately: u64,
    /// The newest ledger entries, newest first.
    pub repairs: Vec<Arc<LedgerEntry>>,
    /// What happened.
    pub events: Vec<Event>,
    /// Names of new jobs that found all labels taken, each once.
    pub names_dropped: u64,
    /// What was attempted.
    pub attempts: Vec<Attempted>,
    /// Repairs that another session has kept waiting for longer than a deadline: found out once in a deadline.
    pub held_up: Option<HeldUp>,
    /// What turned out about earlier repairs, and whether it was written down.
    pub findings: Vec<(Finding, Noted)>,
}

impl Report {
    /// How many repairs this pass committed.
    pub fn repaired(&self) -> u64 {
        let committed = |attempted: &&Attempted| matches!(attempted.outcome, Outcome::Repaired(_));
        self.attempts.iter().filter(committed).count() as u64
    }

    /// Why the fuse is open and how it is closed; nothing where it is closed. Commands stand in backquotes.
    pub fn why_fuse_is_open(&self) -> Option<String> {
        /// How much of a key is shown: it is another program's text.
        const KEY: usize = 100;
        if !self.fuse_open {
            return None;
        }
        let mut parts = Vec::new();
        if let Some(Storm { failing, of }) = self.storm {
            parts.push(format!(
                "{failing} of {of} {} would be failed at once, which is more likely a fault of the host, the database or a \
                 clock than that many deaths; if they are dead, `beatwarden ack --fuse` suspends this rule for an hour",
                self.noun.many()
            ));
        }
        if let Some(entry) = self.false_repairs.first() {
            let key: String = entry.job_id.text().chars().take(KEY).collect();
            let others = match self.false_repairs.len() - 1 {
                0 => String::new(),
                others => format!(" (and {others} more: `beatwarden history`)"),
            };
            parts.push(format!(
                "{} {} was failed and is alive{others}; nothing is failed until `beatwarden ack {}`",
                self.noun,
                key.escape_debug().to_string().replace('`', "'"),
                entry.repair_id
            ));
        }
        if parts.is_empty() {
            parts.push("what opened it is gone, and it closes after three calm passes".to_owned());
        }
        Some(format!("The fuse is open: {}.", parts.join(". And ")))
    }

    /// Stuck jobs, whatever the reason.
    pub fn stuck(&self) -> u64 {
        let stuck = self.phases.iter().filter(|(phase, _)| phase.is_stuck());
        stuck.map(|(_, count)| count).sum()
    }

    /// Running jobs in a phase.
    pub fn count(&self, phase: Phase) -> u64 {
        self.phases.get(&phase).copied().unwrap_or_default()
    }
}

/// How many of the newest repairs are shown.
const SHOWN_REPAIRS: usize = 100;

/// How many jobs are listed one by one; the rest stands in the counts.
const LISTED: usize = 50;

/// Builds the report of a pass from its plan, to which the outcomes of its repairs were applied.
pub fn report(
    memory: &Memory,
    plan: Plan,
    attempts: Vec<Attempted>,
    noted: Vec<Noted>,
    observation: &Observation,
    policy: &Policy,
) -> Report {
    let newest = &observation.snapshot.newest_repairs;
    let waits = |entry: &&Arc<LedgerEntry>| {
        entry.outcome == Some(LateOutcome::LateHeartbeat) && entry.acknowledged_at.is_none()
    };
    let mut report = Report {
        noun: policy.noun.clone(),
        at: plan.at,
        phases: policy.phases().iter().map(|phase| (*phase, 0)).collect(),
        unreadable: plan.unreadable,
        unknown_state: plan.unknown_state,
        oldest_sign: None,
        oldest_beating: None,
        ages: Ages::default(),
        ages_by_name: BTreeMap::new(),
        blocking: policy.knows_writers_rule().then_some(0),
        stuck_names: Vec::new(),
        withheld: Cause::ALL.into_iter().map(|cause| (cause, 0)).collect(),
        window: plan.window,
        writer_offset_micros: plan.newest_beat.map(|beat| plan.at.micros_since(beat)),
        repair_enabled: policy.action != Action::Observe && plan.obstacle.is_none(),
        fuse_open: plan.fuse_open,
        storm: plan.storm,
        false_repairs: plan.false_repairs(newest).cloned().collect(),
        late_heartbeats: newest.iter().filter(waits).cloned().collect(),
        guard: observation.snapshot.guard,
        obstacles: observation.snapshot.obstacles.clone(),
        jobs: worst(&plan, &attempts, policy),
        next: next(&plan, &attempts, policy),
        failed_lately: failed_lately(&plan, &attempts, newest),
        repairs: newest.iter().take(SHOWN_REPAIRS).cloned().collect(),
        names_dropped: plan.names_dropped,
        attempts,
        held_up: None,
        findings: plan.findings.into_iter().zip(noted).collect(),
        newly_withheld: plan.newly_withheld,
        events: plan.events,
    };
    let mut by_name = OldestByName::new();
    let mut stuck = OldestStuck::default();
    for view in &plan.jobs {
        *report.phases.entry(view.phase).or_default() += 1;
        if let Some(cause) = view.cause {
            *report.withheld.entry(cause).or_default() += 1;
        }
        if let Some(blocking) = &mut report.blocking {
            *blocking += u64::from(matches!(view.blocking(plan.at), Some(Blocking::Until(_))));
        }
        stuck.add(view);
        let age = view.last_sign.age_at(plan.at);
        report.ages.add(view.phase, age);
        if view.phase != Phase::Abandoned {
            report.oldest_sign = Some(report.oldest_sign.map_or(view.last_sign, |old| old.min(view.last_sign)));
            by_name.add(view.label, age);
        }
        if view.phase == Phase::Beating {
            let oldest = report
                .oldest_beating
                .map_or(view.last_sign, |old| old.min(view.last_sign));
            report.oldest_beating = Some(oldest);
        }
    }
    report.ages_by_name = by_name.into_names(&memory.names);
    report.stuck_names = stuck.into_names(|slot| memory.names.name_of(slot));
    report
}

/// The jobs that block first, then the other stuck ones, then the rest; the longest silence first.
fn worst(plan: &Plan, attempts: &[Attempted], policy: &Policy) -> Vec<JobLine> {
    let mut order: Vec<usize> = (0..plan.jobs.len())
        .filter(|index| plan.jobs[*index].phase != Phase::Abandoned)
        .collect();
    let key = |index: &usize| {
        let view = &plan.jobs[*index];
        let blocks = matches!(view.blocking(plan.at), Some(Blocking::Until(_)));
        (!blocks, !view.phase.is_stuck(), view.last_sign, view.id.clone())
    };
    if order.len() > LISTED {
        order.select_nth_unstable_by_key(LISTED, key);
        order.truncate(LISTED);
    }
    order.sort_by_cached_key(key);
    let line = |index| line(&plan.jobs[index], plan.at, attempts, policy);
    order.into_iter().map(line).collect()
}

/// The job whose repair comes next, if nothing changes.
fn next(plan: &Plan, attempts: &[Attempted], policy: &Policy) -> Option<JobLine> {
    let comes = |view: &&JobView| matches!(view.cause, None | Some(Cause::Watching)) && acts(view, policy);
    let repaired = |view: &JobView| attempts.iter().any(|attempted| attempted.repair.job.id == view.id);
    let key = |view: &&JobView| (!view.phase.is_stuck(), view.due_at, view.id.clone());
    let waiting = plan.jobs.iter().filter(comes).filter(|view| !repaired(view));
    let next = waiting.filter(|view| view.due_at.is_some()).min_by_key(key)?;
    Some(line(next, plan.at, attempts, policy))
}

/// Whether the action would do something to a job, now or later.
fn acts(view: &JobView, policy: &Policy) -> bool {
    (view.phase.has_time_left() || view.phase.is_overdue())
        && policy.action != Action::Observe
        && !matches!(
            view.cause,
            Some(Cause::AwaitingWriter | Cause::Undone | Cause::Repaired)
        )
        && !(policy.action == Action::Backfill && view.last_heartbeat_at.is_some())
}

fn line(view: &JobView, at: Timestamp, attempts: &[Attempted], policy: &Policy) -> JobLine {
    let repair = attempts.iter().find_map(|attempted| match attempted.outcome {
        Outcome::Repaired(id) if attempted.repair.job.id == view.id => Some(id),
        _ => None,
    });
    let acts = acts(view, policy) && repair.is_none();
    JobLine {
        id: view.id.clone(),
        name: view.name.clone(),
        phase: view.phase,
        started_at: view.started_at,
        last_heartbeat_at: view.last_heartbeat_at,
        age: view.last_sign.age_at(at),
        next_action: acts.then_some(policy.action),
        due_at: view.due_at.filter(|_| acts),
        withheld_cause: view.cause,
        writer_frees_at: view.writer_frees_at,
        blocking: view.blocking(at),
        repair,
    }
}

/// Jobs that were failed within the last minute, by this pass or as the ledger has it.
fn failed_lately(plan: &Plan, attempts: &[Attempted], ledger: &[Arc<LedgerEntry>]) -> u64 {
    const LATELY: Duration = Duration::from_secs(60);
    let since = plan.at.minus(LATELY);
    let before = ledger
        .iter()
        .filter(|entry| entry.action == LedgerAction::Fail && entry.repaired_at > since);
    let ids: BTreeSet<RepairId> = before.map(|entry| entry.repair_id).collect();
    let just_now = attempts.iter().filter(|attempted| {
        attempted.repair.action == Repairing::Fail
            && matches!(attempted.outcome, Outcome::Repaired(id) if !ids.contains(&id))
    });
    (ids.len() + just_now.count()) as u64
}
