//! The state of a watch in one sentence, and its tone: what page, API and command line say first.

use super::{
    View,
    time::{rough, span},
    words::{self, number},
};
use crate::domain::{Phase, Report};

/// How good or bad it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// Nothing to do.
    Good,
    /// Jobs are stuck, or something keeps stuck ones from being repaired.
    Warning,
    /// The last pass failed, and what is known is still young.
    Failing,
    /// What is known is old, or nothing is.
    Old,
}

impl Tone {
    /// The word in the page's classes and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Failing => "failing",
            Self::Old => "old",
        }
    }
}

/// The sentence and its tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How good or bad it looks.
    pub tone: Tone,
    /// The sentence; no user's text is in it.
    pub words: String,
}

/// The verdict on a watch.
pub fn verdict_of(view: &View) -> Verdict {
    let Some(pass) = &view.current else {
        let words = match &view.status.last_good {
            None => "Nothing is known yet: the table has not been read.".to_owned(),
            Some(last) => format!(
                "Nothing is known now: the table was last read {} ago. What follows is old.",
                span(view.now.since(last.at))
            ),
        };
        return Verdict { tone: Tone::Old, words };
    };
    let stuck = pass.report.stuck();
    let hindered = pass.report.fuse_open || !pass.report.obstacles.is_empty();
    let unjudged = of_unjudged(&pass.report);
    let tone = match (view.is_up(), stuck > 0 || hindered || unjudged.is_some()) {
        (false, _) => Tone::Failing,
        (true, true) => Tone::Warning,
        (true, false) => Tone::Good,
    };
    let (beating, starting) = (pass.report.count(Phase::Beating), pass.report.count(Phase::Starting));
    let running = pass.report.count(Phase::Running);
    let judged = if stuck > 0 {
        Some(of_stuck(&pass.report))
    } else if beating + starting + running == 0 && unjudged.is_some() {
        // Nothing that could be judged runs, which is not to say that nothing runs.
        None
    } else if running > 0 {
        Some(of_running(running))
    } else {
        Some(of_living(beating, starting))
    };
    let sentences: Vec<String> = judged.into_iter().chain(unjudged).collect();
    let mut words = sentences.join(" ");
    if !view.status.is_complete() {
        words.push_str(" So far: the first look at the whole table is still in progress.");
    }
    Verdict { tone, words }
}

fn of_stuck(report: &Report) -> String {
    let (never, silent) = (report.count(Phase::MissedFirst), report.count(Phase::Lost));
    let mut parts = Vec::new();
    if never > 0 {
        parts.push(format!("{} with {}", number(never), words::phase(Phase::MissedFirst)));
    }
    if silent > 0 {
        let listed = report.jobs.iter().filter(|job| job.phase == Phase::Lost);
        // The longest silences are listed, unless more jobs than are listed had no first heartbeat, and started longer ago.
        let steps = report.ages.steps().filter(|(phase, ..)| *phase == Phase::Lost);
        let longest = listed
            .map(|job| job.age)
            .max()
            .or_else(|| steps.map(|(_, step, _)| step.begins()).max());
        let at_most = if silent > 1 { "up to " } else { "" };
        parts.push(match longest {
            Some(longest) => format!("{} silent for {at_most}{}", number(silent), rough(longest)),
            None => format!("{} silent", number(silent)),
        });
    }
    let overrun = report.count(Phase::Overrun);
    if overrun > 0 {
        parts.push(format!("{} {}", number(overrun), words::phase(Phase::Overrun)));
    }
    format!("{} stuck: {}.", number(report.stuck()), parts.join(", "))
}

/// The rows that no phase can be given to, and why.
fn of_unjudged(report: &Report) -> Option<String> {
    let (unreadable, unlisted) = (report.unreadable, report.unknown_state);
    let counted = |count: u64, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("one {one}")),
        count => Some(format!("{} {many}", number(count))),
    };
    let parts: Vec<String> = [
        counted(
            unreadable,
            "running row has no key, or a time that can't be read",
            "running rows have no key, or times that can't be read",
        ),
        counted(
            unlisted,
            "row is in a state that no list names",
            "rows are in a state that no list names",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    let noun = if unreadable + unlisted == 1 { "job" } else { "jobs" };
    (!parts.is_empty()).then(|| {
        format!(
            "{} {noun} can't be judged: {}.",
            number(unreadable + unlisted),
            parts.join(", ")
        )
    })
}

/// Jobs without heartbeats, of which no more is known than that they are not over.
fn of_running(running: u64) -> String {
    match running {
        1 => "One job is running.".to_owned(),
        running => format!("{} jobs are running.", number(running)),
    }
}

fn of_living(beating: u64, starting: u64) -> String {
    match (beating, starting) {
        (0, 0) => "No job is running.".to_owned(),
        (0, 1) => "One job is starting.".to_owned(),
        (0, starting) => format!("{} jobs are starting.", number(starting)),
        (1, 0) => "The one running job is beating.".to_owned(),
        (beating, 0) => format!("All {} running jobs are beating.", number(beating)),
        (beating, starting) => format!("{} beating, {} starting.", number(beating), number(starting)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn living_jobs_are_reported_in_the_right_number() {
        let sentences =
            [(0, 0), (0, 1), (1, 0), (42, 0), (1_200, 3)].map(|(beating, starting)| of_living(beating, starting));
        assert_eq!(
            sentences,
            [
                "No job is running.",
                "One job is starting.",
                "The one running job is beating.",
                "All 42 running jobs are beating.",
                "1,200 beating, 3 starting."
            ]
        );
    }
}
