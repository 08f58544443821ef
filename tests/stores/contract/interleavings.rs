//! Every order of the steps of three sessions: a writer that begins, makes one move and commits, and two repairers that each
//! observe and repair. A repair is one step from outside; what a writer's open transaction does to it is part of the table.
//! And, where rows are locked and not the file, what a repair does to both while its own transaction is open.

use super::functions::calling;
use super::*;
use crate::support::Session;
use beatwarden::{
    domain::Argument,
    mapping::{Elsewhere, Identifier, Mapping, TableName, TimeSource},
    store::{Entries, Ledger, Undo},
};
use bed::WholeRow;
use std::collections::{BTreeMap, BTreeSet};

contract!(
    every_order_of_a_beat_and_two_repairers,
    every_order_of_a_finish_and_two_repairers,
    every_order_of_a_restart_and_two_repairers,
    every_order_of_a_deletion_and_two_repairers,
    every_order_of_a_first_row_in_another_table_and_two_repairers,
    every_order_of_a_first_row_that_refers_to_nothing_and_two_repairers,
    every_order_of_a_later_row_in_another_table_and_two_repairers,
    every_order_of_a_finish_beside_another_table_and_two_repairers,
    every_order_of_a_deletion_beside_another_table_and_two_repairers,
    a_heartbeat_in_another_table_after_a_fail_shows_that_the_job_was_alive,
);

/// Answers to a repair, in the words of the table.
type Words = &'static [&'static str];

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

/// What a repair answers to what it meets, whatever the writer's move is: where a row is locked, and where the file is.
const TABLE: &[(Met, &[&str], &[&str])] = &[
    (Met::AsObserved, &["repaired"], &["repaired"]),
    (Met::Held, &["locked"], &["locked"]),
    (Met::Moved, &["lost_race"], &["lost_race"]),
    (Met::RepairedByTheOther, &["lost_race"], &["lost_race"]),
    // A writer in its transaction holds the whole file, whatever became of the row.
    (Met::RepairedAndMoved, &["lost_race"], &["locked", "lost_race"]),
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

fn answers_to(bed: &impl Bed, met: Met) -> &'static [&'static str] {
    let (_, row, file) = TABLE.iter().find(|(one, ..)| *one == met).unwrap();
    if bed.locks_the_file() { file } else { row }
}

/// Every merge of the three sessions' steps. The repairers are alike, so of two that differ only in which of them is which there is
/// one: that in which the first observes before the second.
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
                if *step == Step::Observe(1) && taken[1] == 0 {
                    continue;
                }
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

/// Stands for a time that no one knows beforehand.
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
    let stores = [bed.store(Action::Fail), bed.store(Action::Fail)];
    every_order_of(bed, stores, writer, (failed, None)).await;
}

/// The same with stores whose repair makes `ended` of a row; `held` is the answer to an open transaction of the writer, where it is
/// not the table's.
async fn every_order_of<B: Bed>(
    bed: B,
    mut stores: [B::Store; 2],
    writer: Move,
    (ended, held): (fn(WholeRow) -> WholeRow, Option<Words>),
) {
    let answers_to = |bed: &B, met: Met| match held {
        Some(answers) if met == Met::Held => answers,
        _ => answers_to(bed, met),
    };
    let orders = orders();
    assert_eq!(orders.len(), 105);
    bed.write(&Written::running(1).started(-600.0).beat(-1.0)).await;
    snapshot(&mut stores[0]).await;
    stores[0].prepare_ledger().await.unwrap();
    let session = bed.session().await;
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
                        expected = expected.map(ended);
                    }
                    let answers: &mut BTreeSet<String> = met_at_all.entry(met).or_default();
                    answers.insert(word(&outcome));
                    assert!(
                        answers_to(&bed, met).contains(&word(&outcome).as_str()),
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
    // Every answer of the table was given, and no other.
    let table: BTreeMap<Met, BTreeSet<String>> = TABLE
        .iter()
        .map(|(met, ..)| {
            (
                *met,
                answers_to(&bed, *met).iter().map(|word| (*word).to_owned()).collect(),
            )
        })
        .collect();
    assert_eq!(met_at_all, table);
    // The neighbour was never touched.
    let rows = bed.rows().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["state"].as_deref(), Some("RUNNING"));
}

const BEAT: Move = Move {
    sql: |time, id| format!("UPDATE runs SET last_heartbeat_at = {} WHERE id = {id}", time(0.0)),
    apply: |row| Some(set(row, &[("last_heartbeat_at", Some(SOME_TIME))])),
};

const FINISH: Move = Move {
    sql: |time, id| {
        let now = time(0.0);
        format!("UPDATE runs SET state = 'SUCCESS', ended_at = {now} WHERE id = {id}")
    },
    apply: |row| Some(set(row, &[("state", Some("SUCCESS")), ("ended_at", Some(SOME_TIME))])),
};

const RESTART: Move = Move {
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

const DELETION: Move = Move {
    sql: |_, id| format!("DELETE FROM runs WHERE id = {id}"),
    apply: |_| None,
};

async fn every_order_of_a_beat_and_two_repairers(bed: impl Bed) {
    every_order(bed, BEAT).await;
}

async fn every_order_of_a_finish_and_two_repairers(bed: impl Bed) {
    every_order(bed, FINISH).await;
}

async fn every_order_of_a_restart_and_two_repairers(bed: impl Bed) {
    every_order(bed, RESTART).await;
}

async fn every_order_of_a_deletion_and_two_repairers(bed: impl Bed) {
    every_order(bed, DELETION).await;
}

/// Whether the rows of the other table refer to the job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refers {
    Yes,
    No,
}

/// The mapping of the bed with the heartbeats in another table.
fn beating_beside() -> Mapping {
    let name = |name: &str| Identifier::new(name).unwrap();
    let elsewhere = Elsewhere {
        table: TableName::parse("beats").unwrap(),
        key: name("run"),
        matching: name("id"),
        prefix: None,
        conditions: Vec::new(),
    };
    Mapping {
        last_heartbeat_at: Some(TimeSource {
            elsewhere: Some(elsewhere),
            ..name("at").into()
        }),
        ..bed::mapping()
    }
}

/// The same where the heartbeats are rows of another table, and each job has one that was written with its start.
async fn every_order_beside(bed: impl Bed, refers: Refers, writer: Move) {
    let reference = match refers {
        Refers::Yes => "REFERENCES runs ON DELETE CASCADE",
        Refers::No => "",
    };
    bed.sql(&format!("CREATE TABLE beats (run integer {reference}, at timestamp)"))
        .await;
    let mapping = beating_beside();
    let stores = [(); 2].map(|()| bed.store_with(mapping.clone(), Action::Fail));
    // What refers to nothing holds nothing, where rows are locked and not the file: the one window that is left, which `check` names.
    let is_missed = refers == Refers::No && !bed.locks_the_file();
    let held: Option<Words> = is_missed.then_some(&["repaired"]);
    every_order_of(bed, stores, writer, (failed, held)).await;
}

const FIRST_ROW: Move = Move {
    sql: |time, id| format!("INSERT INTO beats (run, at) VALUES ({id}, {})", time(0.0)),
    apply: Some,
};

async fn every_order_of_a_first_row_in_another_table_and_two_repairers(bed: impl Bed) {
    every_order_beside(bed, Refers::Yes, FIRST_ROW).await;
}

async fn every_order_of_a_first_row_that_refers_to_nothing_and_two_repairers(bed: impl Bed) {
    every_order_beside(bed, Refers::No, FIRST_ROW).await;
}

async fn every_order_of_a_later_row_in_another_table_and_two_repairers(bed: impl Bed) {
    // What each job's own start has written, before anyone looks.
    bed.sql(bed.a_beat_with_each_start()).await;
    every_order_beside(bed, Refers::Yes, FIRST_ROW).await;
}

async fn every_order_of_a_finish_beside_another_table_and_two_repairers(bed: impl Bed) {
    every_order_beside(bed, Refers::Yes, FINISH).await;
}

async fn every_order_of_a_deletion_beside_another_table_and_two_repairers(bed: impl Bed) {
    every_order_beside(bed, Refers::Yes, DELETION).await;
}

async fn a_heartbeat_in_another_table_after_a_fail_shows_that_the_job_was_alive(bed: impl Bed) {
    bed.sql("CREATE TABLE beats (run integer, at timestamp)").await;
    with_victim(&bed).await;
    bed.sql(&format!("INSERT INTO beats VALUES (1, {})", bed.time(-1.0)))
        .await;
    let before = bed.rows().await;
    let mut store = bed.store_with(beating_beside(), Action::Fail);
    let observed = snapshot(&mut store).await;
    let id = made(repair(&mut store, &repair_of(&observed, 2, Action::Fail)).await);
    let entry = store.entries(Entries::Newest(1)).await.unwrap().remove(0);
    assert_eq!(entry.heartbeat_after, Some(TimeValue::ABSENT), "{entry:?}");
    bed.sql(&format!("INSERT INTO beats VALUES (2, {})", bed.time(0.0)))
        .await;
    let request = ObserveRequest::whole(vec![JobId::new("2")], Coverage::Ordinary);
    let seen = store.observe(&request).await.unwrap();
    assert!(job(&seen, 2).heartbeat_at.at().is_some(), "{seen:?}");
    let undo = store.undo(id).await.unwrap();
    assert!(matches!(undo, Undo::Done { .. }), "{undo:?}");
    assert_eq!(bed.rows().await, before);
}

/// A function is called for no job that beats in another table, committed or not.
#[tokio::test]
async fn a_function_is_called_for_no_job_that_beats_in_another_table() {
    let bed = PostgresBed::new().await;
    bed.sql(
        "CREATE TABLE beats (run integer REFERENCES runs, at timestamp);
         CREATE FUNCTION finish(job integer) RETURNS void LANGUAGE sql AS $$ UPDATE runs SET state = 'FAIL' WHERE id = job $$",
    )
    .await;
    with_victim(&bed).await;
    let mapping = Mapping {
        ending: calling("finish", vec![Argument::Id]).ending,
        ..beating_beside()
    };
    let mut store = bed.store_with(mapping, Action::Fail);
    let observed = snapshot(&mut store).await;
    let due = repair_of(&observed, 2, Action::Fail);
    store.prepare_ledger().await.unwrap();
    let insert = format!("INSERT INTO beats VALUES (2, {})", bed.time(0.0));
    let open = bed.client_in_transaction(&insert).await;
    assert_eq!(store.repair(&due).await, Outcome::Locked);
    open.run("COMMIT").await;
    assert_eq!(store.repair(&due).await, Outcome::LostRace);
    assert_eq!(bed.rows().await[1]["state"].as_deref(), Some("RUNNING"));
    bed.sql("DELETE FROM beats").await;
    assert!(matches!(store.repair(&due).await, Outcome::Repaired(_)));
}

/// The same where the system's own function ends the job.
async fn every_order_with_a_function(writer: Move) {
    let bed = PostgresBed::new().await;
    bed.sql(
        "CREATE FUNCTION finish(job integer) RETURNS void LANGUAGE sql AS
         $$ UPDATE runs SET state = 'FAIL', ended_at = clock_timestamp() AT TIME ZONE 'UTC' WHERE id = job $$",
    )
    .await;
    let stores = [(); 2].map(|()| bed.store_with(calling("finish", vec![Argument::Id]), Action::Fail));
    let ended = |row| set(row, &[("state", Some("FAIL")), ("ended_at", Some(SOME_TIME))]);
    every_order_of(bed, stores, writer, (ended, None)).await;
}

#[tokio::test]
async fn every_order_of_a_beat_and_two_repairers_that_call_a_function() {
    every_order_with_a_function(BEAT).await;
}

#[tokio::test]
async fn every_order_of_a_finish_and_two_repairers_that_call_a_function() {
    every_order_with_a_function(FINISH).await;
}

#[tokio::test]
async fn every_order_of_a_restart_and_two_repairers_that_call_a_function() {
    every_order_with_a_function(RESTART).await;
}

#[tokio::test]
async fn every_order_of_a_deletion_and_two_repairers_that_call_a_function() {
    every_order_with_a_function(DELETION).await;
}

/// Between its statement and its COMMIT a repair holds gate and row: the second repairer does not wait and is not the
/// leader, the writer waits and its move is made on top; and where the repair ends in nothing, on the row as it was.
#[tokio::test]
async fn a_repair_in_its_transaction_meets_a_writer_and_a_second_repairer() {
    for (number, writer) in [BEAT, FINISH, RESTART, DELETION].iter().enumerate() {
        // A machine may be too busy to let the repair go before the server gives it up.
        let mut tries = 0;
        while !in_its_transaction(writer, true).await {
            tries += 1;
            assert!(tries < 10, "the repair was never let go in time");
        }
        if number == 0 {
            assert!(!in_its_transaction(writer, false).await);
        }
    }
}

/// Stops a repair when its entry is inserted, for as long as another session holds a lock; without waiting for it, since a repair
/// waits for no lock for long.
const STOP_AT_THE_ENTRY: &str = "
    CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WHILE NOT pg_try_advisory_xact_lock(1, 1) LOOP PERFORM pg_sleep(0.01); END LOOP;
        RETURN NULL;
    END $$;
    CREATE TRIGGER stop AFTER INSERT ON beatwarden_repairs FOR EACH ROW EXECUTE FUNCTION stop()";

/// `continues`: the repair is let go; otherwise the server ends its statement. Returns whether it was made.
async fn in_its_transaction(writer: &Move, continues: bool) -> bool {
    let bed = PostgresBed::new().await;
    let mut stores = [bed.store(Action::Fail), bed.store(Action::Fail)];
    bed.write(&Written::running(1).started(-120.0).payload("{}")).await;
    let snapshot = snapshot(&mut stores[0]).await;
    stores[0].prepare_ledger().await.unwrap();
    super::snapshot(&mut stores[1]).await;
    bed.sql(STOP_AT_THE_ENTRY).await;
    let before = bed.rows().await.remove(0);
    let due = repair_of(&snapshot, 1, Action::Fail);
    let stopper = bed.session().await;
    stopper.run("SELECT pg_advisory_lock(1, 1)").await;
    let session = bed.session().await;
    let statement = (writer.sql)(&|seconds| bed.time(seconds), 1);
    let (go, begins) = tokio::sync::oneshot::channel();
    let [first, second] = &mut stores;
    let (outcome, met, ()) = tokio::join!(
        first.repair(&due),
        async {
            let stood = waiting(&stopper, 1).await;
            let met = second.repair(&due).await;
            go.send(()).unwrap();
            let waited = stood && waiting(&stopper, 2).await;
            if continues {
                stopper.run("SELECT pg_advisory_unlock(1, 1)").await;
            }
            waited.then_some(met)
        },
        async {
            begins.await.unwrap();
            session.run(&statement).await;
        },
    );
    let repaired = matches!(outcome, Outcome::Repaired(_));
    if repaired {
        assert!(matches!(met, Some(Outcome::NotLeader)), "{met:?}");
    }
    let row = if repaired {
        failed(before.clone())
    } else {
        before.clone()
    };
    let after = bed.rows().await.pop().map(|row| alike(row, &before));
    assert_eq!(after, (writer.apply)(row), "{outcome:?}");
    assert_eq!(bed.count_repairs(1).await, i64::from(repaired));
    repaired
}

/// Whether so many sessions come to stand still while the server has patience with them.
async fn waiting(client: &tokio_postgres::Client, count: i64) -> bool {
    let sql = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND (wait_event_type = 'Lock' OR wait_event = 'PgSleep')";
    let until = std::time::Instant::now() + Duration::from_secs(2);
    while std::time::Instant::now() < until {
        if client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == count {
            return true;
        }
    }
    false
}

/// What a writer commits while an undo waits for its row counts, as what it committed before does.
#[tokio::test]
async fn an_undo_that_waits_for_a_writer_meets_what_that_leaves() {
    use beatwarden::store::{Ledger, Undo};
    for (action, change) in [
        (Action::Fail, "state = 'SUCCESS'"),
        (Action::Fail, "ended_at = NULL"),
        (Action::Fail, "started_at = started_at + interval '1 s'"),
        (Action::Backfill, "last_heartbeat_at = started_at + interval '1 s'"),
    ] {
        let bed = PostgresBed::new().await;
        with_victim(&bed).await;
        let id = super::operator::repaired(&bed, action).await;
        let mut store = bed.store(action);
        snapshot(&mut store).await;
        let writer = bed
            .client_in_transaction(&format!("UPDATE runs SET {change} WHERE id = 2"))
            .await;
        let watcher = bed.session().await;
        let commit = async {
            waiting(&watcher, 1).await;
            writer.batch_execute("COMMIT").await.unwrap();
        };
        let (undone, ()) = tokio::join!(store.undo(id), commit);
        let undone = undone.unwrap();
        assert!(matches!(undone, Undo::Refused(_)), "{change}: {undone:?}");
    }
}

/// A repair that began before its job was due, and came to its row afterwards: the time of its transaction counts, for the
/// guard as for the entry. Where the machine is too busy for that moment, nothing is said.
#[tokio::test]
async fn a_deadline_that_ends_while_a_repair_waits_was_not_over_when_it_began() {
    let bed = PostgresBed::new().await;
    let mut store = bed.store(Action::Fail);
    snapshot(&mut store).await;
    store.prepare_ledger().await.unwrap();
    let holder = bed.session().await;
    for id in 1..=10 {
        bed.write(&Written::running(id).started(0.12 - DEADLINE.as_secs_f64()))
            .await;
        let early = repair_of(&snapshot(&mut store).await, id, Action::Fail);
        holder.run("BEGIN; LOCK TABLE runs IN ACCESS EXCLUSIVE MODE").await;
        let until_it_is_due = format!(
            "SELECT pg_sleep(0.005 + extract(epoch FROM started_at + interval '60 s' - clock_timestamp() AT TIME ZONE 'UTC'))
               FROM runs WHERE id = {id};
             COMMIT"
        );
        let (outcome, ()) = tokio::join!(store.repair(&early), holder.run(&until_it_is_due));
        assert!(
            matches!(outcome, Outcome::LostRace | Outcome::Locked | Outcome::Repaired(_)),
            "{outcome:?}"
        );
    }
    let early = "SELECT count(*) FROM beatwarden_repairs WHERE repaired_at < started_at + interval '60 s'";
    assert_eq!(holder.query_one(early, &[]).await.unwrap().get::<_, i64>(0), 0);
}

/// A row that a writer holds is passed over at once, by either action: while its repair is on the way, no one is ever seen
/// waiting for a lock.
#[tokio::test]
async fn no_one_waits_for_a_row_that_is_held() {
    let bed = PostgresBed::new().await;
    let watcher = bed.session().await;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for (id, action) in [(1, Action::Fail), (2, Action::Backfill)] {
        bed.write(&Written::running(id).started(-600.0)).await;
        let mut store = bed.store(action);
        let overdue = repair_of(&snapshot(&mut store).await, id, action);
        store.prepare_ledger().await.unwrap();
        let held = bed.hold_row(id).await;
        let mut repair = std::pin::pin!(store.repair(&overdue));
        let outcome = loop {
            tokio::select! {
                outcome = &mut repair => break outcome,
                seen = watcher.query_one(waits, &[]) => {
                    assert_eq!(seen.unwrap().get::<_, i64>(0), 0, "a session waits for a lock");
                }
            }
        };
        assert_eq!(outcome, Outcome::Locked);
        held.release().await;
    }
}

/// The end that the job is given and the time of its entry are one time, to the microsecond: that of their transaction.
#[tokio::test]
async fn an_entry_has_the_time_of_its_transaction() {
    let bed = PostgresBed::new().await;
    bed.write(&Written::running(1).started(-600.0)).await;
    let mut store = bed.store(Action::Fail);
    let overdue = repair_of(&snapshot(&mut store).await, 1, Action::Fail);
    store.prepare_ledger().await.unwrap();
    assert!(matches!(store.repair(&overdue).await, Outcome::Repaired(_)));
    let apart = "SELECT repaired_at - ended_at AT TIME ZONE 'UTC' = interval '0' FROM beatwarden_repairs, runs WHERE runs.id = 1";
    let session = bed.session().await;
    assert!(session.query_one(apart, &[]).await.unwrap().get::<_, bool>(0));
}
