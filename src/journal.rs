//! The log: what a person wants to read about each pass, and nothing twice.
//!
//! Job names and keys are hostile input: they are logged as fields in their escaped form, never as part of a message.

use crate::{
    domain::{Cause, Discovery, Event, JobId, LateOutcome, Look, Noted, Obstacle, Outcome, RepairId, Restarted},
    status::{Audience, FailedPass, GoodPass},
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// Writes the passes of one watch to the log.
#[derive(Debug)]
pub struct Journal {
    watch: String,
    /// The failure that was told last; the same one is not told again.
    told: Mutex<Option<String>>,
    /// The obstacles that were told last.
    hindered: Mutex<Vec<Obstacle>>,
    /// Whether the whole table was ever covered, once that was told.
    covered: Mutex<Option<bool>>,
    /// False repairs that were told and could not be written down yet.
    unwritten: Mutex<HashSet<RepairId>>,
    /// Jobs whose repair failed, each with the error that was told: the next pass tries again.
    failing: Mutex<HashSet<(JobId, String)>>,
}

/// So many events of one kind are told one by one; a pass can bring thousands.
const TOLD: usize = 20;
/// So many failed repairs are remembered as told.
const FAILING: usize = 1_000;
/// A key longer than this is cut.
const KEY: usize = 200;

impl Journal {
    /// For the watch of that name.
    pub fn new(watch: impl Into<String>) -> Self {
        Self {
            watch: watch.into(),
            told: Mutex::new(None),
            hindered: Mutex::new(Vec::new()),
            covered: Mutex::new(None),
            unwritten: Mutex::default(),
            failing: Mutex::default(),
        }
    }

    fn event(&self, event: &Event) {
        let watch = &self.watch;
        match event {
            Event::Stuck(job, phase) => {
                tracing::warn!(watch, job = shown(&job.text()), phase = phase.as_str(), "job is stuck");
            }
            Event::LateFirstHeartbeat(job) => {
                tracing::info!(
                    watch,
                    job = shown(&job.text()),
                    "first heartbeat came after its deadline"
                );
            }
            Event::Recovered(job) => tracing::info!(watch, job = shown(&job.text()), "lost job beats again"),
            Event::Unreadable(job) => tracing::warn!(
                watch,
                job = shown(&job.text()),
                "the times of this row can't be read (infinity, or outside 1970..9999); it is never repaired"
            ),
            Event::UnknownState(job, state) => tracing::warn!(
                watch,
                job = shown(&job.text()),
                state = state.as_deref().map(shown),
                "this state is in no list of watch.table; the row is never repaired"
            ),
            Event::WatchingRestarted(why) => {
                let why = match why {
                    Restarted::Gap(gap) => format!("the last good pass was {gap:.1?} ago"),
                    Restarted::Server => "the database is another, or was restarted or promoted".to_owned(),
                    Restarted::Clock(micros) => {
                        format!(
                            "the database's clock jumped by {:.1} s against ours",
                            *micros as f64 / 1e6
                        )
                    }
                };
                tracing::info!(
                    watch,
                    why,
                    "watching starts anew: nothing is repaired before a whole deadline was seen"
                );
            }
            Event::InitFailed(job) => tracing::info!(watch, job = shown(&job.text()), "init failed"),
            Event::Fuse(true) => tracing::error!(
                watch,
                "the fuse is open: so many jobs look dead at once that this is more likely our mistake, or a failed job was \
                 alive; nothing is failed until that is gone for three passes"
            ),
            Event::Fuse(false) => tracing::warn!(watch, "the fuse is closed again"),
            Event::Guard(_, guard) if guard.works() => tracing::info!(watch, "the guard is installed"),
            Event::Guard(was, is) => tracing::warn!(
                watch,
                was = was.as_str(),
                is = is.as_str(),
                "the guard is not what it was: new jobs start without their first heartbeat again; `beatwarden guard install` \
                 mends it"
            ),
            Event::InitSucceeded(..) => {}
        }
    }

    /// Tells what keeps the watch from repairing, when it comes and when it goes.
    fn obstacles(&self, now: &[Obstacle]) {
        let mut told = self.hindered.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == now {
            return;
        }
        for obstacle in now.iter().filter(|obstacle| !told.contains(obstacle)) {
            let (cause, reason) = (obstacle.cause.as_str(), obstacle.reason.as_str());
            tracing::warn!(watch = self.watch, cause, reason, "no repairs on this watch");
        }
        if now.is_empty() {
            tracing::info!(watch = self.watch, "nothing hinders repairs any more");
        }
        *told = now.to_vec();
    }

    /// Tells that not everything is seen yet, and when it is.
    fn coverage(&self, pass: &GoodPass) {
        let mut told = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = pass.look == Look::Full;
        match (*told, pass.discovery) {
            (None, Discovery::KeyTail) if !is_full => tracing::info!(
                watch = self.watch,
                "jobs are found by their keys from the newest on; the first look at the whole table goes on, a page in each \
                 pass, and older jobs are found by it"
            ),
            (Some(false), _) if is_full => {
                tracing::info!(watch = self.watch, "the whole table was looked through");
            }
            _ => {}
        }
        if *told != Some(true) {
            *told = Some(is_full || pass.discovery == Discovery::State);
        }
    }

    /// Whether this finding was not told before.
    fn is_new(&self, repair: RepairId) -> bool {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.insert(repair)
    }

    fn findings(&self, pass: &GoodPass) {
        let watch = &self.watch;
        if pass.report.findings.is_empty() {
            self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        for (finding, noted) in &pass.report.findings {
            let (job, repair) = (shown(&finding.job.text()), uuid::Uuid::from_u128(finding.repair_id.0));
            let because = finding.sign.as_str();
            match (noted, finding.outcome) {
                (Noted::First, LateOutcome::FalseRepair) => tracing::warn!(
                    watch,
                    job,
                    repair = %repair,
                    because,
                    "false repair: this job was failed by Beatwarden and is alive; `beatwarden undo` gives it back, and the fuse \
                     stays open until `beatwarden ack` acknowledges it"
                ),
                (Noted::First, LateOutcome::LateHeartbeat) => {
                    tracing::info!(watch, job, repair = %repair, "a job that was backfilled beats after all");
                }
                (Noted::Known, _) => {}
                (Noted::NotWritten(why), LateOutcome::FalseRepair) if self.is_new(finding.repair_id) => tracing::warn!(
                    watch,
                    job,
                    repair = %repair,
                    because,
                    why,
                    "false repair: this job was failed by Beatwarden and is alive; it could not be written to the ledger, and is \
                     tried again"
                ),
                (Noted::NotWritten(why), _) => {
                    tracing::debug!(watch, job, repair = %repair, why, "what turned out about a repair was not written down");
                }
            }
        }
    }

    fn attempts(&self, pass: &GoodPass) {
        let watch = &self.watch;
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Repaired(_));
        // What stood in the way is gone, so that the same words would be news again.
        if failing.len() > FAILING || pass.report.attempts.iter().any(|attempted| is_done(&attempted.outcome)) {
            failing.clear();
        }
        for attempted in &pass.report.attempts {
            let job = shown(&attempted.repair.job.id.text());
            let action = attempted.repair.action.as_str();
            match &attempted.outcome {
                Outcome::Repaired(id) => {
                    let repair = uuid::Uuid::from_u128(id.0);
                    tracing::warn!(watch, job, action, repair = %repair, "repaired");
                }
                Outcome::Failed(error) => {
                    if failing.insert((attempted.repair.job.id.clone(), error.clone())) {
                        tracing::error!(
                            watch,
                            job,
                            action,
                            error,
                            "repair failed; it is tried again at every pass"
                        );
                    }
                }
                Outcome::Unknown(error) => {
                    tracing::error!(
                        watch,
                        job,
                        action,
                        error,
                        "the answer to a repair is missing; nothing is repaired until the ledger tells"
                    );
                }
                Outcome::Already
                | Outcome::NotLeader
                | Outcome::Locked
                | Outcome::LostRace
                | Outcome::Shutdown
                | Outcome::Postponed => {
                    tracing::debug!(watch, job, action, outcome = ?attempted.outcome, "not repaired this time");
                }
            }
        }
    }
}

/// A key or state, cut and with control characters escaped.
fn shown(text: &str) -> String {
    text.chars().take(KEY).flat_map(char::escape_debug).collect()
}

impl Audience for Journal {
    fn good(&self, pass: Arc<GoodPass>) {
        let failed_before = self.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        if failed_before.is_some() {
            tracing::info!(watch = self.watch, "the table is read again");
        }
        let report = &pass.report;
        self.obstacles(&report.obstacles);
        self.coverage(&pass);
        report.events.iter().take(TOLD).for_each(|event| self.event(event));
        if report.events.len() > TOLD {
            tracing::info!(
                watch = self.watch,
                more = report.events.len() - TOLD,
                "more events in this pass"
            );
        }
        // Watching and waiting for the writer are how things go; the rest an operator may want to know.
        let telling = report
            .newly_withheld
            .iter()
            .filter(|(_, cause)| !matches!(cause, Cause::Watching | Cause::Observe));
        for (job, cause) in telling.take(TOLD) {
            tracing::info!(
                watch = self.watch,
                job = shown(&job.text()),
                cause = cause.as_str(),
                "repair withheld"
            );
        }
        self.findings(&pass);
        self.attempts(&pass);
    }

    fn failed(&self, pass: FailedPass) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref() != Some(&pass.error) {
            tracing::error!(
                watch = self.watch,
                cause = pass.failure.as_str(),
                error = pass.error,
                retry_in = ?pass.retry_in,
                "the table could not be read"
            );
            *told = Some(pass.error);
        }
    }
}
