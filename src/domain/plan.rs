//! What one pass decided, as a value: the judged jobs, the repairs to make, what happened since the last pass.

use super::{
    Blocking, Cause, Finding, Guard, Incident, Job, JobId, LateOutcome, LedgerEntry, Phase, RepairId, Repairing,
    ServerIdentity, SharedText, Timestamp, WindowCount, names::Label,
};
use std::{sync::Arc, time::Duration};

/// One planned change of one job.
#[derive(Clone, Debug, PartialEq)]
pub struct Repair {
    /// What is done to the row.
    pub action: Repairing,
    /// The row as observed: what the row check compares.
    pub job: Job,
    /// Why: the phase of the job, `missed_first` or `overrun`.
    pub reason: Phase,
    /// The row's start must still lie at least this far back.
    pub deadline: Duration,
    /// The server as observed.
    pub server: ServerIdentity,
    /// Whether the row's start must lie a deadline back.
    pub start: StartCheck,
    /// The undo after which an operator requests the same repair once more.
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
        self.job.incident()
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
    Left(JobId, Option<SharedText>, Left),
    /// All watching starts again.
    WatchingRestarted(Restarted),
    /// A row whose times can't be read was seen for the first time.
    Unreadable(JobId),
    /// There are running rows without a key, so many, where there were none before.
    Keyless(u64),
    /// A row whose state is in no list was seen for the first time.
    UnknownState(JobId, Option<SharedText>),
    /// The fuse opened (true) or closed.
    Fuse(bool),
    /// The guard changed, from one state to another.
    Guard(Guard, Guard),
}

/// How a stuck job ceased to be one, other than by a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Its row has this state now.
    Ended(Option<SharedText>),
    /// Its row has another start: a new job.
    Restarted,
    /// Its row is gone.
    Gone,
}

/// Why all watching starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restarted {
    /// Two good passes lie too far apart: what happened between them was not seen.
    Gap(Duration),
    /// Another server, or the same one restarted or promoted.
    Server,
    /// The database's clock and ours advanced by different amounts (microseconds, database minus own).
    Clock(i64),
}

/// A running job, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// The key.
    pub id: JobId,
    /// The name.
    pub name: Option<SharedText>,
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
    /// When the writer's own rule takes it for dead, where that rule is configured.
    pub writer_frees_at: Option<Timestamp>,
    /// What its name is shown under.
    pub(super) label: Label,
}

impl JobView {
    /// What it means for the next run of the same name, at `now`, if it is stuck and the writer's rule is known.
    pub fn blocking(&self, now: Timestamp) -> Option<Blocking> {
        Blocking::of(self.phase, self.writer_frees_at, now)
    }
}

/// More jobs than the rule allows would be failed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// How many would be failed, or were within the last deadline.
    pub failing: usize,
    /// Of how many: those, and the living ones.
    pub of: usize,
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
    /// Names of new jobs that found all labels taken, each once.
    pub names_dropped: u64,
    /// Jobs that are withheld for a cause for the first time, once the outcomes of the repairs are known.
    pub newly_withheld: Vec<(JobId, Cause)>,
}

impl Plan {
    /// The false repairs that no one has acknowledged, of the `ledger` as the pass read it, which is asked for each of them,
    /// however old; those that this pass found included.
    pub(super) fn false_repairs<'a>(
        &'a self,
        ledger: &'a [Arc<LedgerEntry>],
    ) -> impl Iterator<Item = &'a Arc<LedgerEntry>> {
        let just_found = |entry: &LedgerEntry| {
            let mut findings = self.findings.iter();
            findings.any(|found| found.repair_id == entry.repair_id && found.outcome == LateOutcome::FalseRepair)
        };
        ledger
            .iter()
            .filter(move |entry| entry.holds_the_fuse() || just_found(entry))
    }
}
