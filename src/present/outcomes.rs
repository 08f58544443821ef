//! What turned out about earlier repairs, in sentences with the commands to copy: what page and `status` show until someone
//! acknowledges it.

use super::{safe, time::date};
use crate::domain::{LateOutcome, LedgerEntry, Noun};

/// How much of a foreign text stands in a sentence.
const LONGEST: usize = 100;

/// A key as an argument of a command that someone copies into a shell; none where a shell could read more in it than a word.
pub fn as_argument(key: &str) -> Option<&str> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_.:-".contains(letter);
    let plain = !key.is_empty() && key.len() <= LONGEST && !key.starts_with('-') && key.chars().all(is_plain);
    plain.then_some(key)
}

/// What happened and what to do about it. Commands stand in backquotes.
pub fn sentence_of(entry: &LedgerEntry, outcome: LateOutcome, undone: bool, noun: &Noun) -> String {
    let text = |foreign: &str| safe::cut(foreign, LONGEST).replace('`', "'");
    let (key, id, at) = (entry.job_id.text(), entry.repair_id, date(entry.repaired_at));
    let name = entry.job_name.as_deref().map(|name| format!(" ({})", text(name)));
    let job = format!("{noun} {}{}", text(&key), name.unwrap_or_default());
    let explain = as_argument(&key).map(|key| format!("; `beatwarden explain {key}` says more"));
    let explain = explain.unwrap_or_default();
    match outcome {
        LateOutcome::FalseRepair if undone => format!(
            "False repair: {job} was failed at {at}, is alive, and was given back; `beatwarden ack {id}` acknowledges it{explain}."
        ),
        LateOutcome::FalseRepair => format!(
            "False repair: {job} was failed at {at} and is alive; `beatwarden undo {id}` gives it back, `beatwarden ack {id}` \
             acknowledges it{explain}."
        ),
        LateOutcome::LateHeartbeat => format!(
            "Late heartbeat: {job} beat after its heartbeat was set at {at}, which is harmless; `beatwarden ack {id}` \
             acknowledges it{explain}."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_a_shell_could_read_otherwise_is_in_no_command() {
        for plain in ["42", "3f2a-11", "a_b.c:d"] {
            assert_eq!(as_argument(plain), Some(plain));
        }
        let long = "x".repeat(101);
        for other in ["", "-rf", "$(reboot)", "a b", "a;b", "`a`", "a'b", "ä", &long] {
            assert_eq!(as_argument(other), None, "{other}");
        }
    }
}
