//! The state of a watch in one sentence, and its tone: what page, API and command line say first.

use super::{
    View,
    time::{rough, span},
    words::{self, number},
};
use crate::domain::{Noun, Phase, Report};
use std::time::Duration;

choice! {
    /// How good or bad it looks.
    Tone {
        /// Nothing to do.
        Good = "good",
        /// Jobs are stuck, or something keeps stuck ones from being repaired.
        Warning = "warning",
        /// The last pass failed, and what is known is still young.
        Failing = "failing",
        /// What is known is old, or nothing is.
        Old = "old",
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
    let (stuck, noun) = (pass.report.stuck(), &pass.report.noun);
    let hindered = pass.report.fuse_open || !pass.report.obstacles.is_empty() || !pass.report.false_repairs.is_empty();
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
        Some(of_running(running, noun))
    } else {
        let oldest = pass.report.oldest_beating.map(|beat| beat.age_at(pass.report.at));
        Some(of_living(beating, starting, oldest, noun))
    };
    let judged = judged.map(|words| with_news(words, pass.report.failed_lately));
    let harm = of_harm(&pass.report);
    let sentences: Vec<String> = harm.into_iter().chain(judged).chain(unjudged).collect();
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
    let stuck = report.stuck();
    format!(
        "{} stuck{}: {}.",
        number(stuck),
        blocking(stuck, report.blocking),
        parts.join(", ")
    )
}

/// How many of the stuck jobs block, where that is known.
fn blocking(stuck: u64, blocking: Option<u64>) -> String {
    match blocking {
        None => String::new(),
        Some(0) => ", none blocks new runs".to_owned(),
        Some(1) if stuck == 1 => " and blocking new runs".to_owned(),
        Some(1) => ", 1 blocks new runs".to_owned(),
        Some(all) if all == stuck => ", all block new runs".to_owned(),
        Some(some) => format!(", {} block new runs", number(some)),
    }
}

/// A sentence with what was done a moment ago: a table that looks calm may be calm because of it.
fn with_news(words: String, failed: u64) -> String {
    match failed {
        0 => words,
        1 => format!("{}; 1 was failed in the last minute.", words.trim_end_matches('.')),
        many => format!(
            "{}; {} were failed in the last minute.",
            words.trim_end_matches('.'),
            number(many)
        ),
    }
}

/// False repairs that no one has acknowledged.
fn of_harm(report: &Report) -> Option<String> {
    let noun = &report.noun;
    match report.false_repairs.len() {
        0 => None,
        1 => Some(format!("1 {noun} was failed and is alive.")),
        many => Some(format!(
            "{} {} were failed and are alive.",
            number(many as u64),
            noun.many()
        )),
    }
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
    let noun = report.noun.of(unreadable + unlisted);
    (!parts.is_empty()).then(|| {
        format!(
            "{} {noun} can't be judged: {}.",
            number(unreadable + unlisted),
            parts.join(", ")
        )
    })
}

/// Jobs without heartbeats, of which no more is known than that they are not over.
fn of_running(running: u64, noun: &Noun) -> String {
    match running {
        1 => format!("One {noun} is running."),
        running => format!("{} {} are running.", number(running), noun.many()),
    }
}

/// Jobs that are not stuck: when they were last heard of, and no claim that they live.
fn of_living(beating: u64, starting: u64, oldest_beat: Option<Duration>, noun: &Noun) -> String {
    let jobs = |count: u64| format!("{} {}", number(count), noun.of(count));
    let oldest = oldest_beat.map_or_else(String::new, |age| format!(", oldest heartbeat {} ago", rough(age)));
    match (beating, starting) {
        (0, 0) => format!("No {noun} is running."),
        (0, starting) => format!("{} starting.", jobs(starting)),
        (beating, 0) => format!("{} running{oldest}.", jobs(beating)),
        (beating, starting) => format!("{} running{oldest}; {} starting.", jobs(beating), number(starting)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headline_names_the_oldest_heartbeat_and_claims_no_life() {
        for (beating, starting, sentence) in [
            (0, 0, "No job is running."),
            (0, 1, "1 job starting."),
            (1, 0, "1 job running, oldest heartbeat 4 min ago."),
            (42, 0, "42 jobs running, oldest heartbeat 4 min ago."),
            (1_200, 3, "1,200 jobs running, oldest heartbeat 4 min ago; 3 starting."),
        ] {
            let oldest = (beating > 0).then_some(Duration::from_secs(240));
            assert_eq!(of_living(beating, starting, oldest, &Noun::default()), sentence);
        }
    }

    #[test]
    fn a_calm_table_says_what_made_it_calm() {
        for (failed, sentence) in [
            (0, "No job is running."),
            (1, "No job is running; 1 was failed in the last minute."),
            (4, "No job is running; 4 were failed in the last minute."),
        ] {
            assert_eq!(with_news("No job is running.".to_owned(), failed), sentence);
        }
    }

    #[test]
    fn how_many_stuck_jobs_block_is_in_the_headline() {
        for (stuck, of_them, words) in [
            (1, None, ""),
            (1, Some(0), ", none blocks new runs"),
            (1, Some(1), " and blocking new runs"),
            (3, Some(1), ", 1 blocks new runs"),
            (3, Some(2), ", 2 block new runs"),
            (3, Some(3), ", all block new runs"),
        ] {
            assert_eq!(blocking(stuck, of_them), words);
        }
    }
}
