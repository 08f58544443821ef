//! Every phase, every cause and every kind of row in the words that a person reads.

use super::*;
use crate::domain::{JobId, RepairId, States};
use std::{fmt::Write, time::Duration};

const NOW: i64 = 1_800_000_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(NOW + seconds * 1_000_000)
}

fn policy(action: Action) -> Policy {
    let list = |word: &str| vec![word.to_owned()];
    Policy {
        states: States {
            running: list("RUNNING"),
            success: list("SUCCESS"),
            failure: list("FAIL"),
            waiting: list("IDLE"),
            ignore: list("STATE_EDIT"),
            ..States::default()
        },
        action,
        writer_stale_after: Some(Duration::from_secs(300)),
        writer_stale_after_without_heartbeat: Some(Duration::from_secs(86_400)),
        ..Policy::default()
    }
}

fn job(state: &str, start: TimeValue, heartbeat: TimeValue) -> Job {
    Job {
        id: JobId::new("7"),
        name: Some("orders".into()),
        state: Some(state.into()),
        started_at: start,
        heartbeat_at: heartbeat,
        ended_at: TimeValue::ABSENT,
    }
}

fn explained(row: &Job, action: Action, judged: Option<Judged>, entries: &[LedgerEntry]) -> String {
    let facts = Facts {
        now: at(0),
        row,
        policy: &policy(action),
        writer: "Meltano",
        judged,
        entries,
    };
    let mut text = String::new();
    for sentence in sentences(&facts) {
        writeln!(text, "  {sentence}").expect("a string takes everything");
    }
    text
}

fn judged(phase: Phase, cause: Option<Cause>) -> Option<Judged> {
    Some(Judged {
        phase,
        cause,
        due_at: Some(at(30)),
        writer_frees_at: Some(at(86_280)),
    })
}

#[test]
fn every_phase_and_every_cause_has_its_sentences() {
    let mut text = String::new();
    let silent = job("RUNNING", TimeValue::from(at(-120)), TimeValue::ABSENT);
    let seeded = job("RUNNING", TimeValue::from(at(-120)), TimeValue::from(at(-120)));
    let beats = job("RUNNING", TimeValue::from(at(-120)), TimeValue::from(at(-2)));
    for &phase in policy(Action::Observe).phases() {
        let row = if matches!(phase, Phase::Beating | Phase::Lost) {
            &beats
        } else {
            &silent
        };
        let cause = (phase == Phase::MissedFirst).then_some(Cause::Watching);
        for action in [Action::Observe, Action::Backfill, Action::Fail] {
            let _ = writeln!(text, "{} under {}:", phase.as_str(), action.as_str());
            text.push_str(&explained(row, action, judged(phase, cause), &[]));
        }
    }
    for cause in Cause::ALL {
        let _ = writeln!(text, "withheld for {}:", cause.as_str());
        let row = if cause == Cause::AwaitingWriter {
            &seeded
        } else {
            &silent
        };
        let said = explained(row, Action::Fail, judged(Phase::MissedFirst, Some(cause)), &[]);
        let line = said
            .lines()
            .find(|line| line.contains(&format!("(cause {})", cause.as_str())));
        let _ = writeln!(text, "{}", line.expect("the cause is named"));
    }
    text.push_str("due:\n");
    text.push_str(&explained(&silent, Action::Fail, judged(Phase::MissedFirst, None), &[]));
    insta::assert_snapshot!("phases_and_causes", text);
}

#[test]
fn a_job_without_heartbeats_is_judged_by_its_age_and_said_to_be() {
    let row = job("RUNNING", TimeValue::from(at(-120)), TimeValue::ABSENT);
    let mut text = String::new();
    for action in [Action::Observe, Action::Fail] {
        let policy = Policy {
            max_runtime: Some(Duration::from_secs(60)),
            ..policy(action)
        };
        for &phase in policy.phases() {
            let cause = if action == Action::Observe {
                Cause::Observe
            } else {
                Cause::Watching
            };
            let facts = Facts {
                now: at(0),
                row: &row,
                policy: &policy,
                judged: judged(phase, phase.is_overdue().then_some(cause)),
                entries: &[],
                writer: "the application",
            };
            let _ = writeln!(text, "{} under {}:", phase.as_str(), action.as_str());
            for sentence in sentences(&facts) {
                let _ = writeln!(text, "  {sentence}");
            }
        }
    }
    insta::assert_snapshot!("without_heartbeats", text);
}

#[test]
fn rows_that_have_no_phase_and_the_ledger_are_explained_too() {
    let mut text = String::new();
    let start = TimeValue::from(at(-120));
    for row in [
        job("SUCCESS", start, TimeValue::from(at(-2))),
        job("FAIL", start, TimeValue::ABSENT),
        job("IDLE", TimeValue::ABSENT, TimeValue::ABSENT),
        job("STATE_EDIT", start, TimeValue::ABSENT),
        job("odd \"\u{1b}[2J", start, TimeValue::ABSENT),
        job("RUNNING", TimeValue::UNREADABLE, TimeValue::UNREADABLE),
    ] {
        text.push_str(&explained(&row, Action::Fail, None, &[]));
    }
    let fail = LedgerEntry {
        job_id: JobId::new("7"),
        instance: "host/1".into(),
        started_at: Some(at(-120)),
        outcome: Some(LateOutcome::FalseRepair),
        outcome_at: Some(at(-50)),
        ..LedgerEntry::new(RepairId(1), LedgerAction::Fail, at(-60))
    };
    let undo = LedgerEntry {
        repair_id: RepairId(2),
        action: LedgerAction::Undo,
        outcome: None,
        undo_of: Some(RepairId(1)),
        ..fail.clone()
    };
    let row = job("FAIL", start, TimeValue::ABSENT);
    text.push_str(&explained(&row, Action::Fail, None, std::slice::from_ref(&fail)));
    text.push_str(&explained(&row, Action::Fail, None, &[fail, undo]));
    insta::assert_snapshot!("without_a_phase", text);
}
