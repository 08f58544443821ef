//! Phases, actions and counts as people read them.

use super::time::until;
use crate::domain::{Action, Blocking, Noun, Phase, Policy, Timestamp};

/// A phase as people read it.
pub const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::MissedFirst => "no first heartbeat",
        Phase::Lost => "lost heartbeat",
        Phase::Overrun => "running for longer than allowed",
        other => other.as_str(),
    }
}

/// What a stuck job means for the next run of the same name, read at `now`.
pub fn blocking(blocking: Blocking, now: Timestamp) -> String {
    match blocking {
        Blocking::Until(at) => format!("blocks new runs until {}", until(at, now)),
        Blocking::Leftover => "leftover, blocks no one".to_owned(),
    }
}

/// The actions that repair an overdue job of a watch, and the key that has them.
pub const fn choice(policy: &Policy) -> &'static str {
    match policy.max_runtime {
        None => "backfill or fail in watch.repair.missed_first",
        Some(_) => "fail in watch.repair.overrun",
    }
}

/// What Beatwarden will do to an overdue job, behind "will".
pub const fn action(action: Action) -> &'static str {
    match action {
        Action::Observe => "do nothing",
        Action::Backfill => "set its heartbeat to its start, so that the writer's own rule can free it",
        Action::Fail => "end it with a failure, as the writer itself would",
    }
}

/// What is done to an overdue job, in the page's tables.
pub const fn done_by(action: Option<Action>) -> &'static str {
    match action {
        Some(Action::Backfill) => "its heartbeat is set to its start",
        Some(Action::Fail) => "it is ended as failed",
        Some(Action::Observe) | None => "",
    }
}

/// What would keep a job from being repaired.
pub const fn unless(phase: Phase) -> &'static str {
    match phase {
        Phase::Running | Phase::Overrun => "unless it ends before",
        _ => "if it stays silent",
    }
}

/// A watch's mode, on the page.
pub fn mode(action: Action, noun: &Noun) -> String {
    noun.say(match action {
        Action::Observe => "observe: nothing is changed",
        Action::Backfill => {
            "backfill: a missing first heartbeat is set to the start, and the writer's own rule does the rest"
        }
        Action::Fail => "fail: {a job} without a first heartbeat is ended as failed",
    })
}

/// What the action can and can't do for which kind of writer.
pub fn kinds(action: Action, noun: &Noun) -> String {
    noun.say(match action {
        Action::Observe => "action observe: stuck {jobs} are reported, never repaired",
        Action::Backfill => {
            "action backfill sets a NULL heartbeat to the start, and the writer's own stale rule frees the pipeline; where the \
             writer seeds the heartbeat itself (Meltano 3.7 and later) there is nothing to backfill; a living {job} that \
             blocks for longer than that rule's limit loses its protection when the same pipeline is started again"
        }
        Action::Fail => {
            "action fail ends the {job} as the writer would, and frees what it blocks at once; a living {job} that is failed \
             wrongly breaks, so init_deadline must be longer than any {job}'s way to its first heartbeat"
        }
    })
}

/// The same where jobs are judged by their age.
pub fn kinds_by_age(action: Action, noun: &Noun) -> String {
    noun.say(match action {
        Action::Fail => {
            "overrun = \"fail\" ends {a job} that runs for longer than max_runtime as the writer would; its age is no evidence of \
             death, and a living {job} that is failed wrongly breaks, so max_runtime must be longer than any {job} ever needs"
        }
        Action::Observe | Action::Backfill => {
            "overrun = \"observe\": {jobs} that run for longer than max_runtime are reported, never repaired"
        }
    })
}

/// The same beside the installed Meltano, which writes the first heartbeat with the start or not.
pub fn beside_meltano(action: Action, version: &str, seeds_heartbeats: bool) -> String {
    match (action, seeds_heartbeats) {
        (Action::Observe | Action::Fail, _) => format!("{}; {version} is installed", kinds(action, &Noun::default())),
        (Action::Backfill, true) => format!(
            "action backfill has nothing to do here: {version} writes the first heartbeat with the start; a run that dies then is \
             ended by Meltano when the same pipeline starts again, from five minutes after its start, and by \
             `missed_first = \"fail\"` at its deadline"
        ),
        (Action::Backfill, false) => format!(
            "action backfill sets a NULL heartbeat to the start, and {version} then frees the pipeline five minutes after the \
             start instead of 24 hours; a living run that blocks for longer than that loses its protection when the same \
             pipeline is started again"
        ),
    }
}

/// A count with its thousands apart.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count and its noun: `1 table`, `1,200 tables`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// A ratio in percent; one that is not whole never reads as 100%.
pub fn percent(ratio: f64) -> String {
    let percent = (ratio * 1000.0).floor() / 10.0;
    if percent.fract() == 0.0 {
        format!("{percent:.0}%")
    } else {
        format!("{percent:.1}%")
    }
}

/// A text that ends as a sentence does.
pub fn sentence(words: &str) -> String {
    let end = if words.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{words}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_failure_among_many_is_not_rounded_away() {
        assert_eq!(
            [percent(1.0), percent(0.99999), percent(0.5), percent(0.0)],
            ["100%", "99.9%", "50%", "0%"]
        );
        assert_eq!(
            [number(0), number(999), number(100_000), number(1_234_567)],
            ["0", "999", "100,000", "1,234,567"]
        );
        assert_eq!(
            [0, 1, 1_200].map(|count| counted(count, "row", "rows")),
            ["0 rows", "1 row", "1,200 rows"]
        );
    }
}
