//! Every order of the steps of three sessions: a writer that begins, makes one move and commits, and two repairers that each
//! observe and repair. A repair is one step from outside; what a writer's open transaction does to it is part of the table.

use super::*;
use bed::{Session, WholeRow};
use std::collections::BTreeMap;

contract!(
    every_order_of_a_beat_and_two_repairers,
    every_order_of_a_finish_and_two_repairers,
    every_order_of_a_restart_and_two_repairers,
    every_order_of_a_deletion_and_two_repairers,
);

/// A step of one of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begin,
    Move,
    Commit,
    Observe(usize),
    Repair(usize),
}

/// What stood in the way of a repair at its moment: what the table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    /// The row as it was observed.
    AsObserved,
    /// The same, but a writer's open transaction has changed it.
    Held,
    /// The writer's move, committed since.
    Moved,
    /// The other repairer's repair, made since.
    RepairedByTheOther,
    /// Both.
    RepairedAndMoved,
}

/// What a repair answers to what it meets, whatever the writer's move is.
const TABLE: &[(Met, &[&str])] = &[
    (Met::AsObserved, &["repaired"]),
    (Met::Held, &["locked"]),
    (Met::Moved, &["lost_race"]),
    // The ledger has it, the row is another: either is the truth.
    (Met::RepairedByTheOther, &["already", "lost_race"]),
    // On SQLite, where the file is locked and not the row, a writer in its transaction holds all.
    (Met::RepairedAndMoved, &["already", "lost_race", "locked"]),
];

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Repaired(_) => "repaired".to_owned(),
        Outcome::Already => "already".to_owned(),
        Outcome::Locked => "locked".to_owned(),
        Outcome::LostRace => "lost_race".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Every merge of the three sessions' steps.
fn orders() -> Vec<Vec<Step>> {
    let sessions = [
        vec![Step::Begin, Step::Move, Step::Commit],
        vec![Step::Observe(0), Step::Repair(0)],
        vec![Step::Observe(1), Step::Repair(1)],
    ];
    let mut open = vec![(Vec::new(), [0; 3])];
    let mut done = Vec::new();
    while let Some((order, taken)) = open.pop() {
        let before = open.len();
        for (session, steps) in sessions.iter().enumerate() {
            if let Some(step) = steps.get(taken[session]) {
                let mut order: Vec<Step> = order.clone();
                order.push(*step);
                let mut taken = taken;
                taken[session] += 1;
                open.push((order, taken));
            }
        }
        if open.len() == before {
            done.push(order);
        }
    }
    done
}

/// A move of the writer: its statement, and what it makes of a row; `None` where it is gone.
struct Move {
    sql: fn(&dyn Fn(f64) -> String, u32) -> String,
    apply: fn(WholeRow) -> Option<WholeRow>,
}

/// Stands for a time that nobody knows beforehand.
const SOME_TIME: &str = "some time";

fn set(mut row: WholeRow, changes: &[(&str, Option<&str>)]) -> WholeRow {
    for (column, value) in changes {
        row.insert((*column).to_owned(), value.map(str::to_owned));
    }
    row
}

fn failed(row: WholeRow) -> WholeRow {
    set(
        row,
        &[
            ("state", Some("FAIL")),
            ("ended_at", Some(SOME_TIME)),
            ("payload", Some("an error text")),
        ],
    )
}

/// The row with what can't be known beforehand put alike.
fn alike(mut row: WholeRow, before: &WholeRow) -> WholeRow {
    for column in ["started_at", "ended_at", "last_heartbeat_at"] {
        if row[column].is_some() && row[column] != before[column] {
            row.insert(column.to_owned(), Some(SOME_TIME.to_owned()));
        }
    }
    if row["payload"]
        .as_deref()
        .is_some_and(|text| text.contains("\"error\": \"Beatwarden: no heartbeat within"))
    {
        row.insert("payload".to_owned(), Some("an error text".to_owned()));
    }
    row
}

async fn every_order(bed: impl Bed, writer: Move) {
    let orders = orders();
    assert_eq!(orders.len(), 210);
    let mut stores = [bed.store(Action::Fail), bed.store(Action::Fail)];
    bed.write(&Written::running(1).started(-600.0).beat(-1.0)).await;
    snapshot(&mut stores[0]).await;
    stores[0].prepare_ledger().await.unwrap();
    let mut met_at_all = BTreeMap::new();
    for (number, order) in (0_u32..).zip(&orders) {
        let id = 100 + number;
        bed.write(&Written::running(id).started(-120.0).payload("{}")).await;
        let row_of = async |id: u32| {
            let rows = bed.rows().await;
            rows.into_iter()
                .find(|row| row["id"].as_deref() == Some(&id.to_string()))
        };
        let before = row_of(id).await.unwrap();
        let session = bed.session().await;
        // What is expected of the row: the moves in the order in which they are committed.
        let mut expected = Some(before.clone());
        let (mut open, mut moved, mut committed) = (false, false, false);
        let mut seen: [Option<Repair>; 2] = [None, None];
        let mut repaired = 0;
        for step in order {
            match step {
                Step::Begin => session.run("BEGIN").await,
                Step::Move => {
                    session.run(&(writer.sql)(&|seconds| bed.time(seconds), id)).await;
                    (open, moved) = (true, true);
                }
                Step::Commit => {
                    session.run("COMMIT").await;
                    expected = expected.and_then(writer.apply);
                    (open, committed) = (false, true);
                }
                Step::Observe(who) => {
                    let snapshot = snapshot(&mut stores[*who]).await;
                    let there = snapshot.rows.iter().any(|job| job.id.text() == id.to_string());
                    // What would be planned: a row that runs, and has neither heartbeat nor a young start.
                    let due = there && !committed && repaired == 0;
                    seen[*who] = due.then(|| repair_of(&snapshot, id, Action::Fail));
                }
                Step::Repair(who) => {
                    let Some(repair) = &seen[*who] else { continue };
                    let met = match (repaired > 0, committed, open) {
                        (true, false, false) => Met::RepairedByTheOther,
                        (true, ..) => Met::RepairedAndMoved,
                        (false, true, _) => Met::Moved,
                        (false, false, true) => Met::Held,
                        (false, false, false) => Met::AsObserved,
                    };
                    let began = std::time::Instant::now();
                    let outcome = stores[*who].repair(repair).await;
                    assert!(began.elapsed() < Duration::from_secs(2), "{order:?}: it waited");
                    if matches!(outcome, Outcome::Repaired(_)) {
                        repaired += 1;
                        expected = expected.map(failed);
                    }
                    let answers: &mut Vec<String> = met_at_all.entry(met).or_default();
                    if !answers.contains(&word(&outcome)) {
                        answers.push(word(&outcome));
                    }
                    let allowed = TABLE.iter().find(|(one, _)| *one == met).unwrap().1;
                    assert!(
                        allowed.contains(&word(&outcome).as_str()),
                        "{order:?}: {met:?}: {outcome:?}"
                    );
                }
            }
        }
        assert!(moved && committed);
        let after = row_of(id).await.map(|row| alike(row, &before));
        assert_eq!(after, expected, "{order:?}");
        let entries = bed.count_repairs(id).await;
        assert_eq!(entries, repaired, "{order:?}: entries in the ledger");
        assert!(repaired <= 1, "{order:?}: repaired {repaired} times");
        bed.sql(&format!("DELETE FROM runs WHERE id = {id}")).await;
    }
    // Every line of the table was met.
    let met: Vec<Met> = met_at_all.keys().copied().collect();
    assert_eq!(
        met,
        TABLE.iter().map(|(met, _)| *met).collect::<Vec<_>>(),
        "{met_at_all:?}"
    );
    // The neighbour was never touched.
    let rows = bed.rows().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["state"].as_deref(), Some("RUNNING"));
}

async fn every_order_of_a_beat_and_two_repairers(bed: impl Bed) {
    let beat = Move {
        sql: |time, id| format!("UPDATE runs SET last_heartbeat_at = {} WHERE id = {id}", time(0.0)),
        apply: |row| Some(set(row, &[("last_heartbeat_at", Some(SOME_TIME))])),
    };
    every_order(bed, beat).await;
}

async fn every_order_of_a_finish_and_two_repairers(bed: impl Bed) {
    let finish = Move {
        sql: |time, id| {
            format!(
                "UPDATE runs SET state = 'SUCCESS', ended_at = {} WHERE id = {id}",
                time(0.0)
            )
        },
        apply: |row| Some(set(row, &[("state", Some("SUCCESS")), ("ended_at", Some(SOME_TIME))])),
    };
    every_order(bed, finish).await;
}

async fn every_order_of_a_restart_and_two_repairers(bed: impl Bed) {
    let restart = Move {
        sql: |time, id| {
            let now = time(0.0);
            format!(
                "UPDATE runs SET state = 'RUNNING', started_at = {now}, ended_at = NULL, payload = '{{}}' WHERE id = {id}"
            )
        },
        apply: |row| {
            let changes = [
                ("state", Some("RUNNING")),
                ("started_at", Some(SOME_TIME)),
                ("ended_at", None),
                ("payload", Some("{}")),
            ];
            Some(set(row, &changes))
        },
    };
    every_order(bed, restart).await;
}

async fn every_order_of_a_deletion_and_two_repairers(bed: impl Bed) {
    let deletion = Move {
        sql: |_, id| format!("DELETE FROM runs WHERE id = {id}"),
        apply: |_| None,
    };
    every_order(bed, deletion).await;
}
