//! How much of the ledger a pass reads.

use super::*;
use crate::{
    domain::{LateOutcome, LedgerAction, RepairId},
    store::question::LedgerMark,
};

const PROBE: Option<usize> = None;
const NEWEST: Option<usize> = Some(usize::MAX);

fn entry(job: i64, seconds: i64) -> LedgerEntry {
    let id = RepairId(u128::from(job.unsigned_abs()) << 64 | u128::from(seconds.unsigned_abs()));
    LedgerEntry {
        job_id: JobId::from_number(job),
        ..LedgerEntry::new(id, LedgerAction::Fail, at(seconds))
    }
}

impl Scripted {
    pub(super) fn mark(&self, since: Timestamp) -> LedgerMark {
        let waiting = |outcome| {
            let entries = self.ledger.iter().filter(move |entry| entry.outcome == Some(outcome));
            entries.filter(|entry| entry.acknowledged_at.is_none())
        };
        let mut false_repairs: Vec<_> = waiting(LateOutcome::FalseRepair).map(|entry| entry.repair_id).collect();
        false_repairs.sort_unstable();
        LedgerMark {
            newer: self.ledger.iter().filter(|entry| entry.repaired_at > since).count() as u64,
            false_repairs,
            late_heartbeats: waiting(LateOutcome::LateHeartbeat).count() as u64,
        }
    }

    /// Another process repairs a job.
    pub(super) fn repair(&mut self, job: i64) {
        self.ledger.insert(0, entry(job, self.seconds));
    }

    /// Time passes, by the database's clock and by ours.
    fn wait(&mut self, seconds: u32) {
        self.seconds += i64::from(seconds);
        self.now += Duration::from_secs(u64::from(seconds));
    }

    /// What the last pass asked of the ledger: whether it is as it was, of how many jobs, and for all that is new.
    fn ledger_questions(&self) -> Vec<Option<usize>> {
        let questions = self.asked.iter().flat_map(|round| &round.questions);
        let asked = questions.filter_map(|question| match question {
            Question::LedgerProbe { .. } => Some(PROBE),
            Question::LedgerOfJobs(jobs) => Some(Some(jobs.len())),
            Question::LedgerNewest => Some(NEWEST),
            _ => None,
        });
        asked.collect()
    }
}

#[test]
fn the_first_entry_of_a_ledger_is_read_in_the_snapshot_of_its_rows() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    database.pass(ORDINARY, &[]);
    database.pass(ORDINARY, &[1]);
    assert_eq!(database.ledger_questions(), [PROBE]);
    database.repair(1);
    let snapshot = database.pass(ORDINARY, &[1]);
    let frames: Vec<Frame> = database.asked.iter().map(|round| round.frame).collect();
    assert_eq!(frames, [Frame::First, Frame::Last, Frame::First, Frame::Last]);
    assert_eq!((snapshot.newest_repairs.len(), snapshot.precedents.len()), (1, 1));
    database.pass(ORDINARY, &[1]);
    assert!(
        database.asks(|question| *question == Question::LedgerNewest),
        "more may come"
    );
    database.pass(ORDINARY, &[1]);
    assert_eq!(database.ledger_questions(), [PROBE]);
}

#[test]
fn a_day_with_five_thousand_repairs_costs_a_pass_the_question_whether_there_are_more() {
    let mut database = Scripted::new(Discovery::KeyTail, [(1, "RUNNING"), (2, "RUNNING")]);
    database.ledger = (0..5_000).map(|job| entry(job + 100, 990_000 - job)).collect();
    database.pass_within(FULL, &[], TimeBudget::Unlimited);
    assert_eq!(database.ledger_questions(), [PROBE, Some(2), NEWEST]);
    for known in [&[1_i64, 2][..], &[1, 2]] {
        database.seconds += 5;
        let snapshot = database.pass(ORDINARY, known);
        assert_eq!(database.ledger_questions(), [PROBE]);
        assert_eq!(database.asked.len(), 2, "round trips");
        assert_eq!(snapshot.newest_repairs.len(), 2_000, "they are still known");
    }
    // What becomes of one is noticed at once, and so is who took note of it.
    database.ledger[1].outcome = Some(LateOutcome::FalseRepair);
    let snapshot = database.pass(ORDINARY, &[1, 2]);
    assert_eq!(snapshot.newest_repairs[1].outcome, Some(LateOutcome::FalseRepair));
    database.pass(ORDINARY, &[1, 2]);
    assert_eq!(database.ledger_questions(), [PROBE]);
    // One is acknowledged while another is noted.
    database.ledger[1].acknowledged_at = Some(at(database.seconds));
    database.ledger[2].outcome = Some(LateOutcome::FalseRepair);
    let snapshot = database.pass(ORDINARY, &[1, 2]);
    let holds: Vec<bool> = snapshot.newest_repairs[1..3]
        .iter()
        .map(|entry| entry.holds_the_fuse())
        .collect();
    assert_eq!(holds, [false, true]);
    database.pass(ORDINARY, &[1, 2]);
    assert_eq!(database.ledger_questions(), [PROBE]);
    // What is not noticed, after ten minutes.
    database.ledger.truncate(3);
    assert_eq!(database.pass(ORDINARY, &[1, 2]).newest_repairs.len(), 2_000);
    database.seconds += 600;
    assert_eq!(database.pass(ORDINARY, &[1, 2]).newest_repairs.len(), 3);
}

#[test]
fn a_job_is_asked_for_once_and_what_comes_is_known_of_it_all_the_same() {
    let mut database = Scripted::new(Discovery::State, (0..10_000).map(|id| (id, "RUNNING")));
    database.repair(20_000);
    database.pass(ORDINARY, &[]);
    assert_eq!(database.ledger_questions(), [PROBE, Some(10_000), NEWEST]);
    database.rows.insert(10_000, "RUNNING");
    database.pass(ORDINARY, &[]);
    assert_eq!(database.ledger_questions(), [PROBE, Some(1)]);
    // Two thousand later ones hide it among the newest.
    database.seconds += 5;
    database.repair(77);
    let jobs_of = |snapshot: &Snapshot| -> Vec<i64> {
        let entries = snapshot.precedents.iter();
        entries.filter_map(|entry| entry.job_id.number()).collect()
    };
    assert_eq!(jobs_of(&database.pass(ORDINARY, &[])), [77]);
    assert!(!database.asks(|question| matches!(question, Question::LedgerOfJobs(_))));
    for batch in 0..20 {
        database.seconds += 5;
        for job in 0..150 {
            database.repair(30_000 + batch * 150 + job);
        }
        assert_eq!(jobs_of(&database.pass(ORDINARY, &[])), [77]);
    }
    database.seconds += 5;
    let snapshot = database.pass(ORDINARY, &[]);
    assert!(
        snapshot
            .newest_repairs
            .iter()
            .all(|entry| entry.job_id.number() != Some(77))
    );
    assert_eq!(jobs_of(&snapshot), [77]);
    // A job that is gone is forgotten, and asked for when it returns.
    database.rows.clear();
    database.pass(ORDINARY, &[]);
    database.rows.insert(77, "RUNNING");
    for _ in 0..2 {
        assert_eq!(jobs_of(&database.pass(ORDINARY, &[])), [77]);
    }
}

#[test]
fn more_entries_between_two_passes_than_one_reads_are_asked_for_by_their_jobs() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    database.pass(ORDINARY, &[]);
    database.seconds += 5;
    database.repair(1);
    for job in 0..3_000 {
        database.repair(100 + job);
    }
    let mut snapshot = database.pass(ORDINARY, &[]);
    for _ in 0..2 {
        snapshot = database.pass(ORDINARY, &[]);
    }
    assert_eq!(snapshot.precedents.len(), 1);
    // Once they are not new any more, by either clock, there is nothing to ask.
    for _ in 0..30 {
        database.wait(5);
        database.pass(ORDINARY, &[]);
    }
    assert_eq!(database.ledger_questions(), [PROBE]);
}

#[test]
fn another_server_or_a_clock_that_was_set_back_has_the_ledger_read_again() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    let whole = [PROBE, Some(1), NEWEST];
    let changes: [fn(&mut Scripted); 2] = [|database| database.server = "b/1", |database| database.seconds -= 1];
    for change in changes {
        database.pass(ORDINARY, &[]);
        database.pass(ORDINARY, &[]);
        assert_eq!(database.ledger_questions(), [PROBE]);
        change(&mut database);
        database.pass(ORDINARY, &[]);
        assert_eq!(database.ledger_questions(), whole);
    }
    // After a repair of its own a pass reads what that left, without asking first whether there is anything.
    database.pass(ORDINARY, &[]);
    database.repair(1);
    database.wrote = true;
    assert_eq!(database.pass(ORDINARY, &[]).precedents.len(), 1);
    assert_eq!(
        (database.ledger_questions(), database.asked.len()),
        (vec![PROBE, NEWEST], 2)
    );
    // What counts is when it was read last, not first.
    database.seconds += 5;
    database.pass(ORDINARY, &[]);
    database.seconds -= 2;
    database.pass(ORDINARY, &[]);
    assert_eq!(database.ledger_questions(), whole);
}

#[test]
fn what_is_noted_while_the_ledger_is_read_and_acknowledged_before_the_next_pass_is_read_again() {
    for outcome in [LateOutcome::FalseRepair, LateOutcome::LateHeartbeat] {
        let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
        database.repair(1);
        database.meanwhile = match outcome {
            LateOutcome::FalseRepair => |database| database.ledger[0].outcome = Some(LateOutcome::FalseRepair),
            LateOutcome::LateHeartbeat => |database| database.ledger[0].outcome = Some(LateOutcome::LateHeartbeat),
        };
        assert_eq!(database.pass(ORDINARY, &[]).newest_repairs[0].outcome, Some(outcome));
        database.meanwhile = |_| {};
        let acknowledged_at = Some(at(database.seconds));
        database.ledger[0].acknowledged_at = acknowledged_at;
        let snapshot = database.pass(ORDINARY, &[]);
        assert_eq!(snapshot.newest_repairs[0].acknowledged_at, acknowledged_at);
        database.pass(ORDINARY, &[]);
        assert_eq!(database.ledger_questions(), [PROBE]);
    }
}

#[test]
fn more_false_repairs_than_a_pass_reads_are_not_asked_for_again_and_again() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    let false_repair = |job: i64| LedgerEntry {
        outcome: Some(LateOutcome::FalseRepair),
        ..entry(job + 100, 900_000 - job)
    };
    database.ledger = (0..2_500).map(false_repair).collect();
    database.pass(ORDINARY, &[]);
    database.pass(ORDINARY, &[]);
    assert_eq!(database.ledger_questions(), [PROBE]);
}

#[test]
fn an_entry_whose_transaction_hung_while_the_clock_was_set_ahead_is_news() {
    for reconnects in [false, true] {
        let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
        let hung_at = database.seconds;
        for ahead in [5, 40_000, 5] {
            (database.seconds, database.now) = (database.seconds + ahead, database.now + Duration::from_secs(5));
            if reconnects {
                database.carried.begin_again();
            }
            database.pass(ORDINARY, &[1]);
        }
        database.ledger.push(entry(1, hung_at));
        assert_eq!(database.pass(ORDINARY, &[1]).precedents.len(), 1, "{reconnects}");
    }
}

#[test]
fn an_entry_that_grows_old_is_no_news() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    database.repair(1);
    database.pass(ORDINARY, &[]);
    for (wrote, asked) in [(false, vec![PROBE]), (true, vec![PROBE, NEWEST]), (false, vec![PROBE])] {
        database.wait(100);
        database.wrote = wrote;
        database.pass(ORDINARY, &[]);
        assert_eq!(database.ledger_questions(), asked);
    }
}

#[test]
fn three_thousand_repairs_of_our_own_have_no_job_asked_for_again() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    database.pass(ORDINARY, &[]);
    database.wrote = true;
    for batch in 0..60 {
        database.wait(5);
        for job in 0..50 {
            database.repair(100 + batch * 50 + job);
        }
        database.pass(ORDINARY, &[]);
        assert_eq!(database.ledger_questions(), [PROBE, NEWEST], "{batch}");
    }
}

#[test]
fn an_empty_ledger_is_asked_for_no_job() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    database.pass(ORDINARY, &[]);
    database.rows.insert(2, "RUNNING");
    database.pass(ORDINARY, &[]);
    assert_eq!(database.ledger_questions(), [PROBE]);
}

#[test]
fn as_many_new_entries_as_a_pass_reads_may_hide_others() {
    for (entries, asked) in [(1_999, vec![PROBE]), (2_000, vec![PROBE, NEWEST])] {
        let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
        for job in 0..entries {
            database.repair(100 + job);
        }
        for _ in 0..2 {
            database.pass(ORDINARY, &[]);
        }
        assert_eq!(database.ledger_questions(), asked, "{entries}");
    }
}

#[test]
fn what_someone_deletes_from_the_ledger_holds_nothing_back() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    database.repair(1);
    for _ in 0..2 {
        assert_eq!(database.pass(ORDINARY, &[]).precedents.len(), 1);
    }
    database.ledger.clear();
    let snapshot = database.pass(ORDINARY, &[]);
    assert_eq!((snapshot.precedents.len(), snapshot.newest_repairs.len()), (0, 0));
}

#[test]
fn jobs_that_are_gone_are_forgotten_once_they_are_many_more_than_the_others() {
    let mut database = Scripted::new(Discovery::State, (0..4_101).map(|id| (id, "RUNNING")));
    database.repair(20_000);
    database.pass(ORDINARY, &[]);
    for (newcomer, is_forgotten) in [(9_000, false), (9_001, true)] {
        database.rows = BTreeMap::from([(0, "RUNNING"), (1, "RUNNING"), (newcomer, "RUNNING")]);
        database.pass(ORDINARY, &[]);
        assert_eq!(database.ledger_questions(), [PROBE, Some(1)]);
        // One that was gone returns.
        database.rows.remove(&newcomer);
        database.rows.insert(2, "RUNNING");
        database.pass(ORDINARY, &[]);
        assert_eq!(database.ledger_questions().contains(&Some(1)), is_forgotten);
    }
}
