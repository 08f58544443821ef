//! Why a job has its phase and what happens next, in sentences for a person who has read nothing yet. Pure: everything
//! comes in as [`Facts`].

use super::{
    causes::CauseWords,
    time::{span_short as span, when},
    words,
};
use crate::domain::{
    Action, Blocking, Cause, Heartbeat, Job, LateOutcome, LedgerAction, LedgerEntry, Phase, Policy, StateKind,
    TimeValue, Timestamp,
};

/// What is known of one job.
pub struct Facts<'a> {
    /// The database's time.
    pub now: Timestamp,
    /// The row.
    pub row: &'a Job,
    /// The rules.
    pub policy: &'a Policy,
    /// What people call the application that writes the table.
    pub writer: &'a str,
    /// The judgement, if the job runs and can be read.
    pub judged: Option<Judged>,
    /// Everything that the ledger has of it, oldest first.
    pub entries: &'a [LedgerEntry],
}

/// The judgement of a running job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its phase.
    pub phase: Phase,
    /// What withholds a repair.
    pub cause: Option<Cause>,
    /// When it is due, if nothing changes.
    pub due_at: Option<Timestamp>,
    /// When the writer's own rule takes it for dead.
    pub writer_frees_at: Option<Timestamp>,
}

impl Judged {
    /// What it means for the next run of the same name, at `now`.
    pub fn blocking(&self, now: Timestamp) -> Option<Blocking> {
        Blocking::of(self.phase, self.writer_frees_at, now)
    }
}

/// All sentences, in order.
pub fn sentences(facts: &Facts<'_>) -> Vec<String> {
    let mut said = vec![row(facts)];
    match facts.judged {
        Some(judged) => {
            said.push(phase(facts, judged));
            said.extend(next(facts, judged));
            said.extend(price(facts, judged).map(|words| facts.policy.noun.say(words)));
            said.extend(writers_rule(facts, judged));
        }
        None => said.push(not_judged(facts)),
    }
    said.extend(facts.entries.iter().map(|entry| ledger(facts, entry)));
    said
}

/// What stands in the row.
fn row(facts: &Facts<'_>) -> String {
    let state = facts
        .row
        .state
        .as_deref()
        .map_or_else(|| "NULL".to_owned(), |state| format!("{state:?}"));
    let start = match facts.row.started_at {
        value if value == TimeValue::ABSENT => "has no start".to_owned(),
        value => value.at().map_or_else(
            || "has a start that can't be read".to_owned(),
            |at| format!("started {}", when(at, facts.now)),
        ),
    };
    let beat = match facts.row.heartbeat(facts.policy.seed_tolerance) {
        _ if facts.row.heartbeat_at == TimeValue::UNREADABLE => "has a heartbeat that can't be read".to_owned(),
        Heartbeat::Absent if facts.policy.max_runtime.is_some() => "makes no heartbeats".to_owned(),
        Heartbeat::Absent => "has no heartbeat".to_owned(),
        Heartbeat::Seeded(at) => format!(
            "has a heartbeat of {}, written together with the start, which proves nothing",
            when(at, facts.now)
        ),
        Heartbeat::Real(at) => format!("last beat {}", when(at, facts.now)),
    };
    let end = facts.row.ended_at.at();
    let end = end.map_or_else(String::new, |at| format!(", ended {}", when(at, facts.now)));
    format!("It is in state {state}, {start}, {beat}{end}.")
}

/// Why it has its phase.
fn phase(facts: &Facts<'_>, judged: Judged) -> String {
    let policy = facts.policy;
    let deadline = span(policy.deadline());
    match judged.phase {
        Phase::Starting => format!(
            "Phase starting: it has no real heartbeat yet, and {deadline} (init_deadline) from its start to make one."
        ),
        Phase::Beating => format!(
            "Phase beating: it is alive, since its heartbeat is younger than {} (heartbeat_timeout) or was seen to change within \
             that time.",
            span(policy.heartbeat_timeout)
        ),
        Phase::MissedFirst => format!(
            "Phase missed_first: no real heartbeat came within {deadline} (init_deadline) of the start, so its process most \
             likely died right after marking the {} as running. It is stuck.",
            policy.noun
        ),
        Phase::Lost => format!(
            "Phase lost: it did beat, and has been silent for longer than {} (heartbeat_timeout). It is stuck.",
            span(policy.heartbeat_timeout)
        ),
        Phase::Running => format!(
            "Phase running: no heartbeat is mapped, so its age is all that is known of it, and it may run for {deadline} \
             (max_runtime)."
        ),
        Phase::Overrun => format!(
            "Phase overrun: it has been running for longer than {deadline} (max_runtime). That is no evidence that it died: \
             it may be slow. It is stuck."
        ),
        Phase::Abandoned => format!(
            "Phase abandoned: its last sign of life is older than {} (max_age). It is counted in this phase and nowhere else.",
            span(policy.max_age)
        ),
    }
}

/// What happens next, and when.
fn next(facts: &Facts<'_>, judged: Judged) -> Option<String> {
    let policy = facts.policy;
    let action = words::action(policy.action);
    Some(match judged.phase {
        Phase::Beating => "Nothing will be done to it.".to_owned(),
        Phase::Lost => policy.noun.say(
            "Beatwarden reports lost {jobs} and never repairs them: many writers stop beating after one database \
                        error and work on. Look at its process; the writer, or you, must end it.",
        ),
        Phase::Abandoned => format!(
            "It is never repaired automatically; `beatwarden repair --job {}` can do it.",
            facts.row.id.text().escape_debug()
        ),
        Phase::Starting | Phase::Running if policy.action == Action::Observe => {
            "Nothing will be done to it: the configured action is observe.".to_owned()
        }
        Phase::Starting | Phase::Running => {
            let due = judged.due_at.map(|at| format!(" at {}", when(at, facts.now)));
            let condition = match judged.phase {
                Phase::Running => "If it doesn't end before",
                _ => "If it stays silent",
            };
            format!(
                "{condition}, it is overdue{}, and Beatwarden will then {action}.",
                due.unwrap_or_default()
            )
        }
        Phase::MissedFirst | Phase::Overrun => match judged.cause {
            None => format!("It is due: the next pass will {action}."),
            Some(cause) => format!(
                "It is overdue, and not repaired (cause {}): {}.",
                cause.as_str(),
                CauseWords::of(cause).long(&facts.row.id, policy, action, judged.due_at, facts.now)
            ),
        },
    })
}

/// What the configured action can't do, said before it is done.
fn price(facts: &Facts<'_>, judged: Judged) -> Option<&'static str> {
    if !judged.phase.has_time_left() && !judged.phase.is_overdue() {
        return None;
    }
    match facts.policy.action {
        Action::Observe => None,
        Action::Fail if facts.policy.max_runtime.is_some() => Some(
            "{A job} that is failed and was alive all the same breaks when it ends. Its age is no evidence of death, and without \
             heartbeats Beatwarden finds out only if the row shows a success or a running state again; it would then open the \
             fuse, and `beatwarden undo` could give the {job} back.",
        ),
        Action::Backfill => Some(
            "A backfill ends nothing on its own: it writes the heartbeat that the start should have had, and the writer's own \
             rule does the rest. Where the heartbeat was written with the start there is nothing to backfill; and a living {job} \
             that blocks for longer than that rule's limit loses its protection when the same {job} is started again.",
        ),
        Action::Fail => Some(
            "{A job} that is failed and was alive all the same breaks when it ends; Beatwarden would find that out from its next \
             heartbeat, open the fuse, and `beatwarden undo` could give it back.",
        ),
    }
}

/// What it means for the next run of the same name.
fn writers_rule(facts: &Facts<'_>, judged: Judged) -> Option<String> {
    let (writer, at) = (facts.writer, judged.writer_frees_at?);
    let shown = when(at, facts.now);
    match (judged.phase, judged.blocking(facts.now)) {
        (_, Some(Blocking::Until(_))) => Some(format!(
            "It blocks new runs until {shown}: so long {writer} takes it for alive, and starts no other run of the same name."
        )),
        (_, Some(Blocking::Leftover)) => Some(format!(
            "It is a leftover and blocks no one: {writer} takes it for dead since {shown}, and starts the next run of the same \
             name."
        )),
        (Phase::Starting, None) if at > facts.now => Some(format!(
            "If its process is dead, it blocks new runs until {shown}: so long {writer} takes it for alive, and starts no other \
             run of the same name."
        )),
        _ => None,
    }
}

/// Rows that have no phase.
fn not_judged(facts: &Facts<'_>) -> String {
    if facts.row.is_unreadable() {
        return "Its times can't be read (infinity, text that is no time, or a year outside 1970..9999): it is counted as \
                unreadable and never repaired."
            .to_owned();
    }
    let kind = match facts.policy.states.kind_of(facts.row.state.as_deref()) {
        StateKind::Success => "a success",
        StateKind::Failure => "a failure",
        StateKind::Waiting => "waiting: neither running nor ended",
        StateKind::Ignored if facts.row.state.is_none() => "the row is no {job} (watch.table.null_state)",
        StateKind::Ignored => "one of watch.table.ignore: the row is no {job}",
        StateKind::Unknown => {
            return "This state is in no list of watch.table, so the row is counted as unknown and never repaired: put the state \
                    into running, success, failure, waiting or ignore."
                .to_owned();
        }
        // A running row that can be read has a phase.
        StateKind::Running => "running",
    };
    let kind = facts.policy.noun.say(kind);
    format!("That state means {kind}, so there is nothing to watch.")
}

/// One ledger entry of the job.
fn ledger(facts: &Facts<'_>, entry: &LedgerEntry) -> String {
    let at = when(entry.repaired_at, facts.now);
    let id = entry.repair_id;
    let other_start = if entry.started_at == facts.row.started_at.at() {
        ""
    } else {
        " (another start of this row)"
    };
    let undone = facts.entries.iter().any(|other| other.undo_of == Some(entry.repair_id));
    let outcome = match entry.outcome {
        None => "",
        Some(LateOutcome::FalseRepair) if entry.acknowledged_at.is_some() => {
            " It turned out to be a false repair, which has been acknowledged."
        }
        Some(LateOutcome::FalseRepair) => {
            " It turned out to be a false repair: the {job} is alive, and the fuse stays open until `beatwarden ack` with its id."
        }
        Some(LateOutcome::LateHeartbeat) => " The {job} beat after all, which is harmless.",
    };
    let outcome = facts.policy.noun.say(outcome);
    let what = match entry.action {
        LedgerAction::Backfill => "its heartbeat was set to its start",
        LedgerAction::Fail => "it was ended with a failure",
        LedgerAction::Undo => "an earlier repair was taken back",
        LedgerAction::AckFuse => "the fuse was acknowledged",
    };
    let way_back = match entry.action {
        LedgerAction::Backfill | LedgerAction::Fail if undone => " It was taken back since.".to_owned(),
        LedgerAction::Backfill | LedgerAction::Fail => format!(" `beatwarden undo {id}` takes it back."),
        LedgerAction::Undo | LedgerAction::AckFuse => String::new(),
    };
    format!(
        "Ledger: {what} by Beatwarden ({}) at {at}{other_start}, entry {id}.{outcome}{way_back}",
        entry.instance.escape_debug()
    )
}

#[cfg(test)]
mod tests;
