//! What is made of rows and entries once they are read.

use super::{super::rows::*, *};
use crate::domain::{Cause, LEDGER_LAYOUT, LedgerAction, RepairId};
use std::sync::Arc;

fn ids_of(jobs: &[Job]) -> Vec<i64> {
    jobs.iter().filter_map(|job| job.id.number()).collect()
}

#[test]
fn a_ledger_of_a_newer_layout_withholds_repairs_where_there_would_be_any() {
    let entry = |version| {
        Arc::new(LedgerEntry {
            version,
            ..LedgerEntry::new(RepairId(1), LedgerAction::Fail, at(0))
        })
    };
    let (old, new) = ([entry(LEDGER_LAYOUT)], [entry(LEDGER_LAYOUT + 1), entry(LEDGER_LAYOUT)]);
    assert_eq!(
        newer_layout(&new, Action::Fail).map(|found| found.cause),
        Some(Cause::NoLedger)
    );
    assert!(newer_layout(&new, Action::Backfill).is_some());
    assert!(newer_layout(&new, Action::Observe).is_none());
    assert!(newer_layout(&old, Action::Fail).is_none() && newer_layout(&[], Action::Fail).is_none());
}

#[test]
fn a_job_is_failed_for_its_age_only_where_good_runs_take_at_most_half_of_what_is_allowed() {
    let mut by_age = mapping();
    by_age.max_runtime = Some(Duration::from_secs(3_600));
    by_age.ended_at = Some(Identifier::new("ended_at").unwrap());
    let said = |mapping: &Mapping, longest| too_short(mapping, longest).map(|obstacle| obstacle.reason);
    let took = |seconds| LongestRun::Took(Duration::from_secs(seconds));
    assert_eq!(said(&by_age, LongestRun::NoneGood), None);
    assert_eq!(said(&by_age, took(1_800)), None);
    let why = said(&by_age, took(1_801)).unwrap();
    assert!(
        why.contains("one took 30m 1s; set it to at least twice as much, 1h 2s"),
        "{why}"
    );
    let why = said(&by_age, LongestRun::Unknown).unwrap();
    assert!(why.contains("could not be found out"), "{why}");
    assert_eq!(
        said(&mapping(), LongestRun::Unknown),
        None,
        "by heartbeats it is not asked"
    );
    let changes: [fn(&mut Mapping); 2] = [|one| one.ended_at = None, |one| one.states.success.clear()];
    for change in changes {
        let mut lacking = by_age.clone();
        change(&mut lacking);
        let why = said(&lacking, LongestRun::NoneGood).unwrap();
        assert!(why.contains("needs watch.table.ended_at"), "{why}");
    }
}

#[test]
fn of_two_answers_about_one_row_the_later_one_is_the_truth() {
    let rows = vec![job(2, "RUNNING"), job(1, "RUNNING"), job(2, "SUCCESS"), job(3, "FAIL")];
    let once = one_of_each(rows);
    assert_eq!(ids_of(&once), [1, 2, 3]);
    assert_eq!(once[1].state.as_deref(), Some("SUCCESS"));
}

#[test]
fn known_jobs_that_no_answer_has_are_missing() {
    let known = [1, 3, 5, 7].map(JobId::from_number);
    let rows = [2, 3, 4, 7].map(|id| job(id, "RUNNING"));
    let found: Vec<_> = missing(&known, &rows).filter_map(JobId::number).collect();
    assert_eq!(found, [1, 5]);
    assert_eq!(missing(&known, &[]).count(), 4);
}

#[test]
fn a_page_keeps_every_running_row_and_as_many_others_as_there_is_room_for() {
    let page = (0..6).map(|id| job(id, if id % 2 == 0 { "ODD" } else { "RUNNING" }));
    let mut room = 2;
    let kept = within_room(page.collect(), &mapping(), &mut room);
    assert_eq!((ids_of(&kept), room), (vec![0, 1, 2, 3, 5], 0));
}

#[test]
fn the_newest_row_is_news_where_it_runs_or_is_known() {
    let known = [JobId::from_number(1)];
    let is_news = |id, state| is_news(&job(id, state), &mapping(), &known);
    assert!(is_news(2, "RUNNING") && is_news(1, "SUCCESS") && !is_news(2, "SUCCESS"));
}

#[test]
fn the_ledger_is_asked_for_every_job_but_one_that_runs_and_has_beaten() {
    let needs = |state, beat| {
        let mut job = job(1, state);
        job.heartbeat_at = beat;
        needs_precedents(&job, &mapping(), Duration::ZERO)
    };
    let (none, real) = (TimeValue::ABSENT, TimeValue::from_micros(9));
    assert!(needs("RUNNING", none) && needs("SUCCESS", none) && needs("SUCCESS", real));
    assert!(!needs("RUNNING", real));
}

#[test]
fn rows_that_share_a_key_are_refused_and_counted() {
    let (one, two) = (job(1, "RUNNING"), job(2, "RUNNING"));
    let refused = |shared: &SharedKeys| shared.refuse(&mapping()).err().map(|error| error.chain());
    let mut shared = SharedKeys::default();
    shared.note(&[one.clone(), two.clone()]);
    assert_eq!(refused(&shared), None);
    shared.note_across(&[one.clone(), two.clone(), one.clone()]);
    assert_eq!(refused(&shared), None, "one row in two answers");
    shared.note(&[one.clone(), two.clone(), one.clone()]);
    let said = refused(&shared).unwrap();
    assert!(said.contains("2 rows of `runs` share the key id = `1` ("), "{said}");
    shared.note_across(&[two.clone(), two, job(2, "SUCCESS")]);
    let said = refused(&shared).unwrap();
    assert!(
        said.contains("5 rows of `runs` share the key id = `1` and 1 other keys"),
        "{said}"
    );
}
