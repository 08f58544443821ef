//! Plan and outcomes in one value: what log, metrics, page, API and command line show.

use super::{
    Action, Ages, Cause, Event, Finding, Guard, HeldUp, Incident, JobId, JobView, LedgerEntry, Memory, Observation,
    Obstacle, Phase, Plan, Policy, Repair, RepairId, Repairing, Storm, Timestamp, WindowCount, names::OldestByName,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What became of a planned repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Update and ledger entry are committed.
    Repaired(RepairId),
    /// The ledger shows that the incident already had this action.
    Already,
    /// Another replica is repairing, or it could not be found out.
    NotLeader,
    /// The ledger can't be created, so that nothing was tried; with the reason.
    NoLedger(String),
    /// Another session holds the row.
    Locked,
    /// The row is no longer as observed.
    LostRace,
    /// This process is stopping: not tried.
    Shutdown,
    /// The repairs of this pass took so long that the rest has to wait: not tried.
    Postponed,
    /// The attempt ended in an error; nothing was changed. With the error's text.
    Failed(String),
    /// An answer is missing: whether it was committed has to be found out.
    Unknown(String),
}

/// A planned repair and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempted {
    /// The repair.
    pub repair: Repair,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// Written to its ledger entry, by this process first.
    First,
    /// Somebody else has written it, or has undone the repair since.
    Known,
    /// Not written now: with the reason.
    NotWritten(String),
}

/// One job as the status page and the API show it.
#[derive(Clone, Debug, PartialEq)]
pub struct JobLine {
    /// The key.
    pub id: JobId,
    /// The name.
    pub name: Option<Arc<str>>,
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
    /// When the writer's own rule frees it.
    pub writer_frees_at: Option<Timestamp>,
}

/// What one pass found and did.
#[derive(Clone, Debug)]
pub struct Report {
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
    /// How many running jobs have been silent for how long.
    pub ages: Ages,
    /// The oldest age of the last sign of life by job name; `None` for the names that got no label.
    pub ages_by_name: BTreeMap<Option<Arc<str>>, Duration>,
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
    pub false_repairs: Vec<LedgerEntry>,
    /// The state of the guard.
    pub guard: Guard,
    /// What hinders it, in order of precedence.
    pub obstacles: Vec<Obstacle>,
    /// The stuck jobs and the oldest, 50 at most, worst first.
    pub jobs: Vec<JobLine>,
    /// The newest ledger entries, newest first.
    pub repairs: Vec<LedgerEntry>,
    /// What happened.
    pub events: Vec<Event>,
    /// New jobs whose names found all labels taken.
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
        /// So much of a key is shown: it is another program's text.
        const KEY: usize = 100;
        if !self.fuse_open {
            return None;
        }
        let mut parts = Vec::new();
        if let Some(Storm { failing, of }) = self.storm {
            parts.push(format!(
                "{failing} of {of} jobs would be failed at once, which is more likely a fault of the host, the database or a \
                 clock than that many deaths; if they are dead, `beatwarden ack --fuse` suspends this rule for an hour"
            ));
        }
        if let Some(entry) = self.false_repairs.first() {
            let key: String = entry.job_id.text().chars().take(KEY).collect();
            let others = match self.false_repairs.len() - 1 {
                0 => String::new(),
                others => format!(" (and {others} more: `beatwarden history`)"),
            };
            parts.push(format!(
                "job {} was failed and is alive{others}; nothing is failed until `beatwarden ack {}`",
                key.escape_debug().to_string().replace('`', "'"),
                entry.repair_id
            ));
        }
        if parts.is_empty() {
            parts.push("what opened it is gone, and it closes after three calm passes".to_owned());
        }
        Some(format!("The fuse is open: {}.", parts.join(". And ")))
    }

    /// Running jobs in a phase.
    pub fn count(&self, phase: Phase) -> u64 {
        self.phases.get(&phase).copied().unwrap_or_default()
    }
}

/// So many of the newest repairs are shown.
const SHOWN_REPAIRS: usize = 100;

/// So many jobs are listed one by one; the rest stands in the counts.
const LISTED: usize = 50;

/// Builds the report of a pass from its plan and the outcomes of its repairs, and remembers what the next pass needs.
pub fn report(
    memory: &mut Memory,
    mut plan: Plan,
    attempts: Vec<Attempted>,
    noted: Vec<Noted>,
    observation: &Observation,
    policy: &Policy,
) -> Report {
    let mut gone = Vec::new();
    for attempted in &attempts {
        settle(memory, &mut plan, attempted, &mut gone);
    }
    // Only as it was when it was repaired: a job that runs again since then stays.
    plan.jobs
        .retain(|view| view.phase != Phase::MissedFirst || !gone.contains(&view.id));
    let mut report = Report {
        at: plan.at,
        phases: Phase::ALL.into_iter().map(|phase| (phase, 0)).collect(),
        unreadable: plan.unreadable,
        unknown_state: plan.unknown_state,
        oldest_sign: None,
        ages: Ages::default(),
        ages_by_name: BTreeMap::new(),
        withheld: Cause::ALL.into_iter().map(|cause| (cause, 0)).collect(),
        newly_withheld: Vec::new(),
        window: plan.window,
        writer_offset_micros: plan.newest_beat.map(|beat| plan.at.micros_since(beat)),
        repair_enabled: policy.action != Action::Observe && plan.obstacle.is_none(),
        fuse_open: plan.fuse_open,
        storm: plan.storm,
        false_repairs: plan
            .false_repairs(&observation.snapshot.newest_repairs)
            .cloned()
            .collect(),
        guard: observation.snapshot.guard,
        obstacles: observation.snapshot.obstacles.clone(),
        jobs: Vec::new(),
        repairs: observation
            .snapshot
            .newest_repairs
            .iter()
            .take(SHOWN_REPAIRS)
            .cloned()
            .collect(),
        events: Vec::new(),
        names_dropped: plan.names_dropped,
        attempts,
        held_up: None,
        findings: std::mem::take(&mut plan.findings).into_iter().zip(noted).collect(),
    };
    let mut by_name = OldestByName::new();
    for view in &plan.jobs {
        *report.phases.entry(view.phase).or_default() += 1;
        if let Some(cause) = view.cause {
            *report.withheld.entry(cause).or_default() += 1;
            if let Some(known) = memory.jobs.get_mut(&view.id)
                && known.causes.insert(cause)
            {
                report.newly_withheld.push((view.id.clone(), cause));
            }
        }
        let age = view.last_sign.age_at(plan.at);
        report.ages.add(view.phase, age);
        if view.phase != Phase::Abandoned {
            report.oldest_sign = Some(report.oldest_sign.map_or(view.last_sign, |old| old.min(view.last_sign)));
            by_name.add(view.label, age);
        }
    }
    report.ages_by_name = by_name.into_names(&memory.names);
    report.jobs = worst(&plan, policy);
    report.events = plan.events;
    report
}

/// Takes one outcome into plan and memory.
fn settle(memory: &mut Memory, plan: &mut Plan, attempted: &Attempted, gone: &mut Vec<JobId>) {
    let id = &attempted.repair.job.id;
    let cause = match &attempted.outcome {
        Outcome::Repaired(_) => {
            memory.settle_unresolved(&attempted.repair.incident());
            match attempted.repair.action {
                Repairing::Fail => gone.push(id.clone()),
                Repairing::Backfill => set_cause(plan, id, Cause::AwaitingWriter),
            }
            return;
        }
        Outcome::Already => Cause::Repaired,
        Outcome::NotLeader => Cause::NotLeader,
        Outcome::NoLedger(_) => Cause::NoLedger,
        Outcome::Locked => Cause::Locked,
        Outcome::LostRace => Cause::LostRace,
        Outcome::Shutdown => Cause::Shutdown,
        Outcome::Postponed => Cause::Limit,
        // Neither is normal, so neither is a cause: both are counted as failures, and the next pass is the retry.
        Outcome::Failed(_) => {
            memory.settle_unresolved(&attempted.repair.incident());
            memory.move_to_back(id);
            return;
        }
        Outcome::Unknown(_) => {
            memory.unresolved = Some(attempted.repair.clone());
            return;
        }
    };
    if matches!(cause, Cause::Locked | Cause::LostRace | Cause::Repaired) {
        memory.settle_unresolved(&attempted.repair.incident());
        memory.move_to_back(id);
    }
    set_cause(plan, id, cause);
}

/// Sets the cause of an overdue job. A job that is no longer overdue, as after an answer that came late, has none.
fn set_cause(plan: &mut Plan, id: &JobId, cause: Cause) {
    let overdue = |view: &&mut JobView| view.id == *id && view.phase == Phase::MissedFirst;
    if let Some(view) = plan.jobs.iter_mut().find(overdue) {
        view.cause = Some(cause);
    }
}

impl Memory {
    fn settle_unresolved(&mut self, incident: &Incident) {
        if self
            .unresolved
            .as_ref()
            .is_some_and(|repair| repair.incident() == *incident)
        {
            self.unresolved = None;
        }
    }

    fn move_to_back(&mut self, id: &JobId) {
        self.attempts += 1;
        if let Some(known) = self.jobs.get_mut(id) {
            known.attempt = self.attempts;
        }
    }
}

/// The stuck jobs first, then the oldest.
fn worst(plan: &Plan, policy: &Policy) -> Vec<JobLine> {
    let mut order: Vec<usize> = (0..plan.jobs.len())
        .filter(|index| plan.jobs[*index].phase != Phase::Abandoned)
        .collect();
    let key = |index: &usize| {
        let view = &plan.jobs[*index];
        (!view.phase.is_stuck(), view.last_sign, view.id.clone())
    };
    if order.len() > LISTED {
        order.select_nth_unstable_by_key(LISTED, key);
        order.truncate(LISTED);
    }
    order.sort_by_cached_key(key);
    order
        .into_iter()
        .map(|index| {
            let view = &plan.jobs[index];
            let acts = matches!(view.phase, Phase::Starting | Phase::MissedFirst)
                && policy.action != Action::Observe
                && !matches!(
                    view.cause,
                    Some(Cause::AwaitingWriter | Cause::Undone | Cause::Repaired)
                )
                && !(policy.action == Action::Backfill && view.last_heartbeat_at.is_some());
            JobLine {
                id: view.id.clone(),
                name: view.name.clone(),
                phase: view.phase,
                started_at: view.started_at,
                last_heartbeat_at: view.last_heartbeat_at,
                age: view.last_sign.age_at(plan.at),
                next_action: acts.then_some(policy.action),
                due_at: view.due_at.filter(|_| acts),
                withheld_cause: view.cause,
                writer_frees_at: view.writer_frees_at,
            }
        })
        .collect()
}
