//! What happens next to a job, in a few words: the page's tables and `beatwarden status` show them.

use super::{CauseWords, time::to_come, words};
use crate::domain::{Action, Cause, JobLine, Phase, Timestamp};
use std::time::Duration;

/// What decides it, as a report has it and as the API repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The phase of the job.
    pub phase: Phase,
    /// Whether the last pass repaired it.
    pub is_repaired: bool,
    /// What will be done, if nothing changes.
    pub action: Option<Action>,
    /// When.
    pub due_at: Option<Timestamp>,
    /// What withholds it.
    pub cause: Option<Cause>,
}

impl From<&JobLine> for Next {
    fn from(job: &JobLine) -> Self {
        Self {
            phase: job.phase,
            is_repaired: job.repair.is_some(),
            action: job.next_action,
            due_at: job.due_at,
            cause: job.withheld_cause,
        }
    }
}

impl Next {
    /// The words, at `now`, with spans as `span` writes them.
    pub fn words(&self, now: Timestamp, span: fn(Duration) -> String) -> String {
        match (self.phase, self.cause, self.due_at) {
            _ if self.is_repaired => "repaired by the last pass".to_owned(),
            (Phase::Lost, ..) => "reported only: lost heartbeats are not repaired".to_owned(),
            (_, None | Some(Cause::Watching), Some(_)) if self.action.is_some() => self.done(now, span),
            (_, Some(cause), _) => CauseWords::of(cause).short.to_owned(),
            _ => "nothing".to_owned(),
        }
    }

    /// What will be done and when, unless something changes before.
    pub fn done(&self, now: Timestamp, span: fn(Duration) -> String) -> String {
        let what = words::done_by(self.action);
        let when = match self.due_at {
            Some(due) if due > now => to_come(due, now, span),
            _ => "with the next pass".to_owned(),
        };
        format!("{what} {when}, {}", words::unless(self.phase))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::time::{span, span_short};

    #[test]
    fn a_job_is_acted_on_withheld_or_left_alone() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let due = Next {
            phase: Phase::MissedFirst,
            is_repaired: false,
            action: Some(Action::Fail),
            due_at: Some(now.plus(Duration::from_secs(90))),
            cause: Some(Cause::Watching),
        };
        let in_time = "it is ended as failed in 1m 30s, at 08:01:30 UTC, if it stays silent";
        assert_eq!(due.words(now, span_short), in_time);
        let (phase, cause, due_at) = (Phase::Overrun, None, Some(now));
        let overrun = Next {
            phase,
            cause,
            due_at,
            ..due
        };
        let (phase, action, due_at) = (Phase::Lost, None, None);
        let lost = Next {
            phase,
            action,
            cause,
            due_at,
            ..due
        };
        let (phase, is_repaired, fuse) = (Phase::Beating, true, Some(Cause::Fuse));
        for (next, words) in [
            (
                overrun,
                "it is ended as failed with the next pass, unless it ends before",
            ),
            (Next { cause: fuse, ..due }, "nothing: the fuse is open"),
            (lost, "reported only: lost heartbeats are not repaired"),
            (Next { phase, ..lost }, "nothing"),
            (Next { is_repaired, ..due }, "repaired by the last pass"),
        ] {
            assert_eq!(next.words(now, span), words);
        }
    }
}
