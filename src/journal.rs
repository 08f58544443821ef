//! The log: what a person wants to read about each pass, and nothing twice.
//!
//! Job names and keys are hostile input: they are logged as fields in their escaped form, never as part of a message.

mod facts;
mod repairs;

use crate::{
    domain::{
        self, Cause, Coverage, Discovery, Event, JobId, LONGEST_FOREIGN, LateOutcome, Left, Noted, Noun, Obstacle,
        Phase, RepairId, Restarted,
    },
    pass::{Audience, FailedPass, GoodPass},
    present::{safe, time::rounded, words},
};
use facts::{Facts, code_of, failure_of};
use parking_lot::Mutex;
use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// Writes the passes of one watch to the log.
#[derive(Debug)]
pub struct Journal {
    watch: String,
    memory: Mutex<Remembered>,
}

/// What the log has.
#[derive(Debug, Default)]
struct Remembered {
    /// Why passes failed.
    failures: Facts,
    /// Whether the last of them was reported, without a good pass since then.
    is_down: bool,
    /// Since when passes are good.
    good_since: Option<Instant>,
    /// What keeps the watch from repairing.
    hindered: Vec<(Cause, String)>,
    /// Whether the whole table was ever covered, once that was reported.
    covered: Option<bool>,
    /// False repairs that could not be written down yet.
    unwritten: HashSet<RepairId>,
    /// Why repairs failed: the next pass tries again.
    failing: Facts,
    /// Who keeps repairs waiting.
    holders: Facts,
    /// Jobs that were failed by the last passes: that they end is no news.
    ended: HashSet<JobId>,
}

/// How many events of one kind are reported one by one; a pass can bring thousands.
const REPORTED: usize = 20;
/// How many jobs that were failed are remembered; each is forgotten when it is seen ended.
const ENDED: usize = 10_000;
/// A key, name or state longer than this is cut.
const KEY: usize = 200;
/// After so long without a failure, the next one is news whatever it says.
const CALM: Duration = Duration::from_secs(60);

impl Journal {
    /// For the watch of that name.
    pub fn new(watch: impl Into<String>) -> Self {
        Self {
            watch: watch.into(),
            memory: Mutex::default(),
        }
    }

    /// A job became stuck: with its name and its age, where the report has them.
    fn stuck(&self, job: &JobId, phase: Phase, pass: &GoodPass) {
        let line = pass.report.jobs.iter().find(|line| line.id == *job);
        let mut attempts = pass.report.attempts.iter().map(|attempted| &attempted.repair.job);
        let attempted = attempts.find(|attempted| attempted.id == *job);
        let name = line.map_or_else(|| attempted.and_then(|job| job.name.clone()), |line| line.name.clone());
        let start = attempted.and_then(|job| job.started_at.at());
        let age = line.map(|line| line.age).or(start.map(|at| at.age_at(pass.report.at)));
        tracing::warn!(
            watch = self.watch,
            job = shown(&job.text()),
            name = name.as_deref().map(shown),
            phase = words::phase(phase),
            age = age.map(rounded),
            "{} is stuck",
            pass.report.noun
        );
    }

    /// A stuck job is gone from the running ones.
    fn left(&self, job: &JobId, name: Option<&str>, left: &Left, noun: &Noun) {
        if self.memory.lock().ended.remove(job) {
            return;
        }
        let (watch, job, name) = (&self.watch, shown(&job.text()), name.map(shown));
        match left {
            Left::Ended(state) => {
                let state = state.as_deref().map(shown);
                tracing::info!(watch, job, name, state, "stuck {noun} has ended");
            }
            Left::Restarted => tracing::info!(watch, job, name, "stuck {noun} was started again"),
            Left::Gone => tracing::info!(watch, job, name, "stuck {noun} is gone: its row no longer exists"),
        }
    }

    fn event(&self, event: &Event, pass: &GoodPass) {
        let (watch, noun) = (&self.watch, &pass.report.noun);
        match event {
            Event::Stuck(job, phase) => self.stuck(job, *phase, pass),
            Event::Left(job, name, left) => self.left(job, name.as_deref(), left, noun),
            Event::Keyless(rows) => tracing::warn!(
                watch,
                rows,
                "running rows have no key that can be used (NULL, or longer than 1000 bytes); they are never repaired"
            ),
            Event::LateFirstHeartbeat(job) => {
                tracing::info!(
                    watch,
                    job = shown(&job.text()),
                    "first heartbeat came after its deadline"
                );
            }
            Event::Recovered(job) => tracing::info!(watch, job = shown(&job.text()), "lost {noun} beats again"),
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
                let why = why_restarted(why);
                tracing::info!(
                    watch,
                    why,
                    "watching starts again: nothing is repaired before a whole deadline was seen"
                );
            }
            // A stuck job was reported as one, and an end without a heartbeat is the writer's matter.
            Event::InitFailed(job) => tracing::debug!(watch, job = shown(&job.text()), "no first heartbeat in time"),
            Event::Fuse(true) => {
                tracing::error!(watch, "{}", pass.report.why_fuse_is_open().unwrap_or_default());
            }
            Event::Fuse(false) => tracing::warn!(watch, "the fuse is closed again"),
            Event::Guard(_, guard) if guard.works() => tracing::info!(watch, "the guard is installed"),
            Event::Guard(was, is) => tracing::warn!(
                watch,
                was = was.as_str(),
                is = is.as_str(),
                "the guard is not what it was: new {} start without their first heartbeat again; `beatwarden guard install` \
                 fixes it",
                noun.many()
            ),
            Event::InitSucceeded(..) => {}
        }
    }

    /// The table was read: reported after a failure.
    fn is_good(&self) {
        let mut memory = self.memory.lock();
        memory.good_since.get_or_insert_with(Instant::now);
        if std::mem::take(&mut memory.is_down) {
            tracing::info!(watch = self.watch, "the table is read again");
        }
    }

    /// Reports what keeps the watch from repairing, when it comes and when it goes.
    fn obstacles(&self, now: &[Obstacle]) {
        let hindered = &mut self.memory.lock().hindered;
        let fact = |obstacle: &Obstacle| (obstacle.cause, code_of(&obstacle.reason));
        for obstacle in now.iter().filter(|obstacle| !hindered.contains(&fact(obstacle))) {
            let (cause, reason) = (obstacle.cause.as_str(), cut(&obstacle.reason));
            tracing::warn!(watch = self.watch, cause, reason, "no repairs on this watch");
        }
        if now.is_empty() && !hindered.is_empty() {
            tracing::info!(watch = self.watch, "nothing hinders repairs any more");
        }
        *hindered = now.iter().map(fact).collect();
    }

    /// Reports that not everything is seen yet, and when it is.
    fn coverage(&self, pass: &GoodPass) {
        let covered = &mut self.memory.lock().covered;
        let (is_full, many) = (pass.coverage == Coverage::Full, pass.report.noun.many());
        match (*covered, pass.discovery) {
            (None, Discovery::KeyTail) if !is_full => tracing::info!(
                watch = self.watch,
                "{many} are found by their keys from the newest on; until the first look at the whole table is complete, which \
                 continues with each pass, older {many} may be missing"
            ),
            (Some(false), _) if is_full => {
                tracing::info!(watch = self.watch, "the whole table was read through");
            }
            _ => {}
        }
        if *covered != Some(true) {
            *covered = Some(is_full || pass.discovery == Discovery::State);
        }
    }

    fn findings(&self, pass: &GoodPass) {
        let (watch, noun) = (&self.watch, &pass.report.noun);
        if pass.report.findings.is_empty() {
            self.memory.lock().unwritten.clear();
        }
        for (finding, noted) in &pass.report.findings {
            let (job, repair) = (shown(&finding.job.text()), finding.repair_id);
            let because = finding.sign.as_str();
            match (noted, finding.outcome) {
                (Noted::First, LateOutcome::FalseRepair) => tracing::warn!(
                    watch,
                    job,
                    repair = %repair,
                    because,
                    "false repair: this {noun} was failed by Beatwarden and is alive; `beatwarden undo` gives it back, and the fuse \
                     stays open until `beatwarden ack` acknowledges it"
                ),
                (Noted::First, LateOutcome::LateHeartbeat) => {
                    tracing::info!(watch, job, repair = %repair, "{} that was backfilled beats after all", noun.say("{a job}"));
                }
                (Noted::Known, _) => {}
                (Noted::NotWritten(why), LateOutcome::FalseRepair)
                    if self.memory.lock().unwritten.insert(finding.repair_id) =>
                {
                    tracing::warn!(
                        watch,
                        job,
                        repair = %repair,
                        because,
                        why = cut(why),
                        "false repair: this {noun} was failed by Beatwarden and is alive; it could not be written to the ledger, and is \
                         tried again"
                    )
                }
                (Noted::NotWritten(why), _) => {
                    tracing::debug!(watch, job, repair = %repair, why = cut(why), "what turned out about a repair was not written down");
                }
            }
        }
    }
}

fn why_restarted(why: &Restarted) -> String {
    match why {
        Restarted::Gap(gap) => format!("the last good pass was {gap:.1?} ago"),
        Restarted::Server => "the database is another, or was restarted or promoted".to_owned(),
        Restarted::Clock(micros) => format!(
            "the database's clock jumped by {:.1} s against ours",
            *micros as f64 / 1e6
        ),
    }
}

/// A key or state, cut and harmless.
fn shown(text: &str) -> String {
    safe::cut(text, KEY)
}

/// What a database says, cut short.
fn cut(text: &str) -> String {
    domain::cut(text, LONGEST_FOREIGN)
}

impl Audience for Journal {
    fn good(&self, pass: Arc<GoodPass>) {
        self.is_good();
        let report = &pass.report;
        self.obstacles(&report.obstacles);
        self.coverage(&pass);
        let events = &report.events;
        events.iter().take(REPORTED).for_each(|event| self.event(event, &pass));
        if events.len() > REPORTED {
            let more = events.len() - REPORTED;
            tracing::info!(watch = self.watch, more, "more events in this pass");
        }
        self.attempts(&pass);
        self.withheld(&pass);
        if let Some(held_up) = &report.held_up {
            self.held_up(held_up);
        }
        self.findings(&pass);
        self.remember_ended(&pass);
    }

    fn failed(&self, pass: FailedPass) {
        let mut memory = self.memory.lock();
        if memory.good_since.take().is_some_and(|since| since.elapsed() > CALM) {
            memory.failures.clear();
        }
        let fact = format!("{} {}", pass.failure.as_str(), failure_of(&pass.error));
        if let Some(times) = memory.failures.is_due(fact) {
            memory.is_down = true;
            tracing::error!(
                watch = self.watch,
                cause = pass.failure.as_str(),
                error = cut(&pass.error),
                times = (times > 1).then_some(times),
                retry_in = rounded(pass.retry_in),
                "the table could not be read"
            );
        }
    }
}
