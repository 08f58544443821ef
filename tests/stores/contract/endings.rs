//! What a fail writes beside state, end and error text, the same for every database: further columns, and a state that puts the
//! job back to be run again.

use super::{
    Bed, Coverage, PostgresBed, SqliteBed,
    bed::{Written, mapping},
    look, refused, repair, repair_of, repaired, snapshot, with_victim,
};
use beatwarden::{
    domain::{Action, Assigned, Cause, LateOutcome, LedgerEntry, Literal, Outcome, RepairId},
    mapping::{Ending, Identifier, Mapping},
    store::{Entries, ErrorTextRemoval, Ledger, Store, StoreError, Undo},
};
use serde_json::{Value, json};

contract!(
    further_columns_are_set_kept_in_the_ledger_and_put_back,
    a_further_column_that_was_changed_since_is_left_alone_and_named,
    a_column_that_the_configuration_no_longer_names_keeps_a_repair_from_being_taken_back,
    a_value_that_the_ledger_cannot_keep_keeps_a_repair_from_being_taken_back,
    a_requeue_writes_the_waiting_state_and_nothing_else,
    a_requeue_may_clear_the_times,
    a_failure_state_that_is_not_the_first_can_be_chosen,
    a_further_column_that_is_not_there_is_named,
    null_into_a_column_that_takes_none_is_refused_before_any_repair,
);

/// A text that is hostile to whatever it is put into.
const HOSTILE: &str = "it's {{state}} \\' \" $1 ?8 -- {x}\n/* *";

fn text(value: &str) -> Assigned {
    Assigned::Literal(Literal::Text(value.to_owned()))
}

fn number(digits: &str) -> Assigned {
    Assigned::Literal(Literal::Number(digits.to_owned()))
}

/// The mapping of the bed with these further columns.
fn setting(set: &[(&str, Assigned)]) -> Mapping {
    let set = set.iter();
    let set = set.map(|(column, value)| (Identifier::new(column).unwrap(), value.clone()));
    Mapping {
        ending: Ending {
            state: None,
            set: set.collect(),
            call: None,
        },
        ..mapping()
    }
}

/// The same with a state of its own.
fn ending_in(state: &str, set: &[(&str, Assigned)]) -> Mapping {
    let mut mapping = setting(set);
    mapping.ending.state = Some(state.to_owned());
    mapping
}

/// Fails job 2.
async fn failed(store: &mut impl Store) -> RepairId {
    repaired(store, 2, Action::Fail).await
}

async fn newest(store: &mut impl Ledger) -> LedgerEntry {
    store.entries(Entries::Newest(1)).await.unwrap().remove(0)
}

fn image(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

async fn further_columns_are_set_kept_in_the_ledger_and_put_back(bed: impl Bed) {
    bed.sql("ALTER TABLE runs ADD COLUMN \"odd \"\" {{name}} $2\" varchar")
        .await;
    bed.sql("ALTER TABLE runs ADD COLUMN finished timestamp").await;
    bed.sql("ALTER TABLE runs ADD COLUMN version integer").await;
    with_victim(&bed).await;
    bed.sql("UPDATE runs SET version = 41").await;
    let before = bed.rows().await;
    let odd = "odd \" {{name}} $2";
    let mapping = setting(&[
        (odd, text(HOSTILE)),
        ("payload_flags", Assigned::OneMore),
        ("trigger", Assigned::Error),
        ("finished", Assigned::Now),
        ("version", Assigned::Null),
    ]);
    let mut store = bed.store_with(mapping, Action::Fail);
    let id = failed(&mut store).await;
    let after = bed.rows().await;
    let (victim, was) = (&after[1], &before[1]);
    assert_eq!(victim[odd].as_deref(), Some(HOSTILE));
    assert_eq!(victim["payload_flags"].as_deref(), Some("1"));
    assert_eq!(victim["version"], None);
    let reason = victim["trigger"].clone().expect("the error text");
    assert!(
        reason.starts_with("Beatwarden: no heartbeat within 60s") && reason.contains(&id.to_string()),
        "{reason}"
    );
    assert_eq!(
        victim["finished"], victim["ended_at"],
        "one instant, in the zone and form of the table"
    );
    assert_eq!(victim["state"].as_deref(), Some("FAIL"));
    let neighbours = |rows: &[_]| [0, 2, 3].map(|at: usize| rows.get(at).cloned()).to_vec();
    assert_eq!(neighbours(&after), neighbours(&before), "innocent rows");
    let entry = newest(&mut store).await;
    let (images, shown) = ((image(&entry.before), image(&entry.after)), json!(victim["finished"]));
    assert_eq!(
        (
            &images.0["version"],
            &images.0["payload_flags"],
            &images.0[odd],
            &images.0["finished"]
        ),
        (&json!(41), &json!(0), &Value::Null, &Value::Null),
        "{images:?}"
    );
    assert_eq!(
        (&images.1["version"], &images.1["payload_flags"], &images.1[odd]),
        (&Value::Null, &json!(1), &json!(HOSTILE)),
        "{images:?}"
    );
    assert_eq!(
        images.1["finished"].as_str().unwrap().replace('T', " "),
        shown.as_str().unwrap().replace('T', " ")
    );
    let Undo::Done {
        left_alone, error_text, ..
    } = store.undo(id).await.unwrap()
    else {
        panic!("nothing speaks against it")
    };
    assert_eq!((left_alone.len(), error_text), (0, ErrorTextRemoval::TakenOut));
    assert_eq!(bed.rows().await, {
        assert_eq!(was["version"].as_deref(), Some("41"));
        before
    });
    let undo = newest(&mut store).await;
    assert_eq!(image(&undo.after)["version"], 41, "{undo:?}");
}

async fn a_further_column_that_was_changed_since_is_left_alone_and_named(bed: impl Bed) {
    with_victim(&bed).await;
    bed.sql("UPDATE runs SET payload_flags = 7").await;
    let mapping = setting(&[("payload_flags", number("9")), ("trigger", text("dog"))]);
    let mut store = bed.store_with(mapping, Action::Fail);
    let id = failed(&mut store).await;
    bed.sql("UPDATE runs SET trigger = 'writer' WHERE id = 2").await;
    let Undo::Done { left_alone, .. } = store.undo(id).await.unwrap() else {
        panic!("state and end are as the repair left them")
    };
    assert_eq!(left_alone, ["trigger"]);
    let row = &bed.rows().await[1];
    assert_eq!(row["payload_flags"].as_deref(), Some("7"));
    assert_eq!(row["trigger"].as_deref(), Some("writer"));
    assert_eq!(row["state"].as_deref(), Some("RUNNING"));
    let undo = newest(&mut store).await;
    let images = [image(&undo.before), image(&undo.after)];
    assert!(images.iter().all(|image| image.get("trigger").is_none()), "{images:?}");
    assert_eq!(
        (&images[0]["payload_flags"], &images[1]["payload_flags"]),
        (&json!(9), &json!(7))
    );
}

async fn a_column_that_the_configuration_no_longer_names_keeps_a_repair_from_being_taken_back(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store_with(setting(&[("trigger", text("dog"))]), Action::Fail);
    let id = failed(&mut store).await;
    let rows = bed.rows().await;
    let why = refused(&mut bed.store(Action::Fail), id).await;
    assert!(
        why.contains("`trigger`") && why.contains("watch.repair.fail.set"),
        "{why}"
    );
    assert_eq!(bed.rows().await, rows);
    // Whatever the action is now.
    let mut observing = bed.store_with(setting(&[("trigger", text("dog"))]), Action::Observe);
    assert!(matches!(observing.undo(id).await.unwrap(), Undo::Done { .. }));
}

async fn a_value_that_the_ledger_cannot_keep_keeps_a_repair_from_being_taken_back(bed: impl Bed) {
    with_victim(&bed).await;
    let long = "x".repeat(5_000);
    bed.sql(&format!("UPDATE runs SET trigger = '{long}' WHERE id = 2"))
        .await;
    let mut store = bed.store_with(setting(&[("trigger", Assigned::Null)]), Action::Fail);
    let id = failed(&mut store).await;
    assert_eq!(bed.rows().await[1]["trigger"], None);
    let entry = newest(&mut store).await;
    assert_eq!(image(&entry.before).get("trigger"), None, "{entry:?}");
    let why = refused(&mut store, id).await;
    assert!(why.contains("`trigger`") && why.contains("longer"), "{why}");
    assert_eq!(bed.rows().await[1]["state"].as_deref(), Some("FAIL"));
}

async fn a_requeue_writes_the_waiting_state_and_nothing_else(bed: impl Bed) {
    with_victim(&bed).await;
    bed.sql("UPDATE runs SET payload = '{\"a\": 1}' WHERE id = 2").await;
    let mut expected = bed.rows().await;
    let mut store = bed.store_with(ending_in("IDLE", &[("payload_flags", Assigned::OneMore)]), Action::Fail);
    let id = failed(&mut store).await;
    expected[1].insert("state".to_owned(), Some("IDLE".to_owned()));
    expected[1].insert("payload_flags".to_owned(), Some("1".to_owned()));
    assert_eq!(bed.rows().await, expected, "neither an end nor an error text");
    let why = refused(&mut store, id).await;
    assert!(why.contains("`IDLE`") && why.contains("run again"), "{why}");
    // By another configuration as well: the entry shows the state.
    let why = refused(&mut bed.store(Action::Fail), id).await;
    assert!(why.contains("run again"), "{why}");
    assert_eq!(bed.rows().await, expected);
    assert_eq!(newest(&mut store).await.outcome, None::<LateOutcome>);
}

async fn a_requeue_may_clear_the_times(bed: impl Bed) {
    with_victim(&bed).await;
    let cleared = [("started_at", Assigned::Null), ("last_heartbeat_at", Assigned::Null)];
    let mut store = bed.store_with(ending_in("IDLE", &cleared), Action::Fail);
    failed(&mut store).await;
    let row = &bed.rows().await[1];
    assert_eq!((&row["started_at"], &row["last_heartbeat_at"]), (&None, &None));
    let entry = newest(&mut store).await;
    assert!(image(&entry.before)["started_at"].is_string(), "{entry:?}");
    assert_eq!(image(&entry.after)["last_heartbeat_at"], Value::Null, "{entry:?}");
    assert!(
        entry.heartbeat_after.is_some(),
        "a heartbeat of the old run will show: {entry:?}"
    );
}

async fn a_failure_state_that_is_not_the_first_can_be_chosen(bed: impl Bed) {
    with_victim(&bed).await;
    let before = bed.rows().await;
    let mut store = bed.store_with(ending_in("DEAD", &[]), Action::Fail);
    let id = failed(&mut store).await;
    let row = bed.rows().await.remove(1);
    assert_eq!(row["state"].as_deref(), Some("DEAD"));
    assert!(
        row["ended_at"].is_some() && row["payload"].is_some(),
        "an end like any other: {row:?}"
    );
    assert!(matches!(store.undo(id).await.unwrap(), Undo::Done { .. }));
    assert_eq!(bed.rows().await, before);
}

async fn a_further_column_that_is_not_there_is_named(bed: impl Bed) {
    with_victim(&bed).await;
    let mut store = bed.store_with(setting(&[("triggr", text("x"))]), Action::Fail);
    let error = store.observe(&look(Coverage::Ordinary)).await.unwrap_err();
    let text = error.chain();
    assert!(
        text.contains("`triggr`") && text.contains("watch.repair.fail.set") && text.contains("did you mean `trigger`"),
        "{text}"
    );
}

async fn null_into_a_column_that_takes_none_is_refused_before_any_repair(bed: impl Bed) {
    bed.sql("ALTER TABLE runs ADD COLUMN reason varchar NOT NULL DEFAULT ''")
        .await;
    with_victim(&bed).await;
    let mut store = bed.store_with(setting(&[("reason", Assigned::Null)]), Action::Fail);
    let error = store.observe(&look(Coverage::Ordinary)).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Schema(text) if text.contains("`reason`") && text.contains("NOT NULL")),
        "{error:?}"
    );
}

/// Columns of every type that a value may have to be written into, with what is set, what stands there then, and what stood there
/// before.
const TYPED: &[(&str, &str, &str, &str)] = &[
    ("mood", "mood", "o'k {\\", "sad"),
    ("numeric", "numeric(8, 3)", "12.500", "0.250"),
    ("truth", "boolean", "true", "false"),
    ("document", "json", r#"{"a": [1, "it's {x}"]}"#, r#"[1e2, null]"#),
    ("binary_document", "jsonb", r#"{"a": "\\"}"#, r#""text""#),
    (
        "run_id",
        "uuid",
        "00000000-0000-0000-0000-00000000002a",
        "00000000-0000-0000-0000-000000000001",
    ),
    ("list", "text[]", r#"{a,"b,c"}"#, "{}"),
    ("day", "date", "2026-11-27", "2026-01-02"),
    (
        "moment",
        "timestamptz",
        "2026-11-27 01:02:03.456+00",
        "2026-01-02 03:04:05.006+00",
    ),
    ("fixed", "character(3)", "ab ", "xyz"),
    ("precise", "double precision", "0.1", "1e300"),
    ("bytes", "bytea", "\\x00ff", "\\x"),
    ("span", "interval", "1 day 02:03:04", "00:00:00"),
];

#[tokio::test]
async fn values_of_every_type_are_written_and_put_back() {
    let bed = PostgresBed::new().await;
    bed.sql("CREATE TYPE mood AS ENUM ('sad', E'o''k {\\\\')").await;
    for (column, kind, ..) in TYPED.iter().filter(|(column, ..)| *column != "run_id") {
        bed.sql(&format!("ALTER TABLE runs ADD COLUMN \"{column}\" {kind}"))
            .await;
    }
    with_victim(&bed).await;
    for (column, _, _, was) in TYPED {
        bed.sql(&format!("UPDATE runs SET \"{column}\" = $${was}$$")).await;
    }
    let before = bed.rows().await;
    let set: Vec<(&str, Assigned)> = TYPED
        .iter()
        .map(|(column, _, value, _)| (*column, text(value)))
        .collect();
    let mut store = bed.store_with(setting(&set), Action::Fail);
    let id = failed(&mut store).await;
    for (column, kind, value, _) in TYPED {
        let is = format!(
            "DO $do$ BEGIN IF (SELECT \"{column}\"::text FROM runs WHERE id = 2) IS DISTINCT FROM ($v${value}$v$::{kind})::text
             THEN RAISE '{column}'; END IF; END $do$"
        );
        bed.sql(&is).await;
    }
    assert_eq!(before[0], bed.rows().await[0], "an innocent row");
    let Undo::Done { left_alone, .. } = store.undo(id).await.unwrap() else {
        panic!("nothing speaks against it")
    };
    assert_eq!(left_alone, Vec::<String>::new());
    assert_eq!(bed.rows().await, before);
}

#[tokio::test]
async fn a_value_that_its_type_refuses_is_found_before_any_repair() {
    let bed = PostgresBed::new().await;
    bed.sql(
        "CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN small AS integer CHECK (VALUE < 10);
         ALTER TABLE runs ADD COLUMN mood mood, ADD COLUMN small small, ADD COLUMN short varchar(3), ADD COLUMN document jsonb",
    )
    .await;
    with_victim(&bed).await;
    for (column, value, said) in [
        ("mood", text("glad"), "invalid input value for enum"),
        ("small", number("10"), "violates check constraint"),
        ("short", text("four"), "3 characters"),
        ("document", text("no json"), "invalid input syntax for type json"),
        (
            "payload_flags",
            text("x' OR '1"),
            "invalid input syntax for type integer",
        ),
        ("payload_flags", Assigned::Now, "timestamp"),
        ("payload_flags", Assigned::Error, "a text, json or jsonb"),
        ("trigger", Assigned::OneMore, "a number"),
        ("id", Assigned::Null, "NOT NULL"),
    ] {
        let set = setting(&[(column, value)]);
        let error = bed
            .store_with(set.clone(), Action::Fail)
            .observe(&look(Coverage::Ordinary))
            .await;
        let text = error.unwrap_err().chain();
        assert!(
            text.contains(&format!("`{column}`")) && text.contains(said),
            "{column}: {text}"
        );
        // Who writes nothing needs none of it.
        snapshot(&mut bed.store_with(set, Action::Backfill)).await;
    }
}

#[tokio::test]
async fn a_strict_table_refuses_values_of_another_type_before_any_repair() {
    let bed = SqliteBed::new().await;
    bed.sql(
        "DROP TABLE runs; CREATE TABLE runs (id INTEGER PRIMARY KEY, job_name TEXT, state TEXT, started_at TEXT, ended_at TEXT,
           payload TEXT, payload_flags INTEGER, run_id TEXT, \"trigger\" TEXT, last_heartbeat_at TEXT, share REAL, bytes BLOB) STRICT",
    )
    .await;
    with_victim(&bed).await;
    for (column, value) in [
        ("payload_flags", text("x")),
        ("payload_flags", number("1.5")),
        ("share", text("much")),
        ("bytes", text("x")),
        ("payload_flags", Assigned::Error),
        ("trigger", Assigned::OneMore),
    ] {
        let mut store = bed.store_with(setting(&[(column, value.clone())]), Action::Fail);
        let error = store.observe(&look(Coverage::Ordinary)).await;
        let text = error.unwrap_err().chain();
        assert!(text.contains(&format!("`{column}`")), "{value:?}: {text}");
    }
    let fits = setting(&[
        ("payload_flags", number("5")),
        ("share", number("0.5")),
        ("trigger", Assigned::Error),
    ]);
    let mut store = bed.store_with(fits, Action::Fail);
    failed(&mut store).await;
    assert_eq!(bed.rows().await[1]["share"].as_deref(), Some("0.5"));
}

#[tokio::test]
async fn a_strict_table_whose_state_or_end_takes_no_such_value_is_not_repaired() {
    for (column, definition, said) in [
        ("state", "state INTEGER", "is INTEGER, which doesn't take 'FAIL'"),
        (
            "ended_at",
            "ended_at REAL",
            "is REAL, which doesn't take the database's time",
        ),
        ("payload", "payload BLOB", "is BLOB, which doesn't take the error text"),
    ] {
        let bed = SqliteBed::new().await;
        let columns = "state TEXT, started_at TEXT, ended_at TEXT, payload TEXT, last_heartbeat_at TEXT"
            .replace(&format!("{column} TEXT"), definition);
        bed.sql(&format!(
            "DROP TABLE runs; CREATE TABLE runs (id INTEGER PRIMARY KEY, job_name TEXT, {columns}) STRICT"
        ))
        .await;
        let obstacles = snapshot(&mut bed.store_with(mapping(), Action::Fail)).await.obstacles;
        assert_eq!(obstacles.len(), 1, "{column}");
        let found = &obstacles[0];
        assert_eq!(found.cause, Cause::Rights);
        assert!(
            found
                .reason
                .contains(&format!("\"{column}\" of the strict table `runs`"))
                && found.reason.contains(said),
            "{found:?}"
        );
        let observed = snapshot(&mut bed.store_with(mapping(), Action::Observe)).await;
        assert_eq!(observed.obstacles, []);
    }
}

#[tokio::test]
async fn a_state_that_its_column_does_not_take_is_found_before_any_repair() {
    for (sql_type, said) in [
        ("varchar(3)", "takes 3 characters, and `FAIL`"),
        ("word", "is word, which doesn't take 'FAIL'"),
        ("over_word", "is over_word, which doesn't take 'FAIL'"),
        ("over_short", "takes 3 characters, and `FAIL`"),
    ] {
        let bed = PostgresBed::new().await;
        bed.sql(&format!(
            "CREATE DOMAIN word AS text CHECK (VALUE IN ('RUNNING', 'SUCCESS')); CREATE DOMAIN over_word AS word;
             CREATE DOMAIN short AS varchar(3); CREATE DOMAIN over_short AS short;
             ALTER TABLE runs ALTER COLUMN state TYPE {sql_type} USING NULL"
        ))
        .await;
        let error = bed
            .store_with(mapping(), Action::Fail)
            .observe(&look(Coverage::Ordinary))
            .await;
        let text = error.unwrap_err().chain();
        assert!(text.contains("column `state`") && text.contains(said), "{text}");
        snapshot(&mut bed.store_with(mapping(), Action::Backfill)).await;
    }
}

#[tokio::test]
async fn domains_over_domains_are_as_the_type_that_they_are_made_over() {
    let bed = PostgresBed::new().await;
    bed.sql(
        "CREATE DOMAIN word AS varchar(9) CHECK (VALUE <> 'DEAD'); CREATE DOMAIN over_word AS word;
         CREATE DOMAIN moment AS timestamp; CREATE DOMAIN over_moment AS moment;
         CREATE DOMAIN number AS integer; CREATE DOMAIN over_number AS number;
         CREATE DOMAIN note AS varchar(30); CREATE DOMAIN over_note AS note;
         ALTER TABLE runs ALTER id TYPE over_number, ALTER state TYPE over_word, ALTER started_at TYPE over_moment,
            ALTER last_heartbeat_at TYPE over_moment, ALTER ended_at TYPE over_moment, ALTER payload TYPE over_note,
            ALTER \"trigger\" TYPE over_note",
    )
    .await;
    with_victim(&bed).await;
    let before = bed.rows().await;
    let mut store = bed.store_with(setting(&[("trigger", Assigned::Error)]), Action::Fail);
    let id = failed(&mut store).await;
    let after = bed.rows().await;
    assert_eq!(after[1]["state"].as_deref(), Some("FAIL"));
    assert_eq!(
        after[1]["payload"], before[1]["payload"],
        "there is no room for the text"
    );
    assert_eq!(after[1]["trigger"].as_deref(), Some("Beatwarden: no heartbeat withi"));
    assert!(matches!(store.undo(id).await.unwrap(), Undo::Done { .. }));
    assert_eq!(bed.rows().await, before);
    bed.write(&Written::running(5).started(-120.0)).await;
    repaired(&mut bed.store(Action::Backfill), 5, Action::Backfill).await;
}

#[tokio::test]
async fn an_error_text_that_a_domain_refuses_ends_no_job_and_says_why() {
    let bed = PostgresBed::new().await;
    bed.sql(
        "CREATE DOMAIN quiet AS text CONSTRAINT says_nothing CHECK (VALUE NOT LIKE '%heartbeat%'); CREATE DOMAIN note AS quiet;
         ALTER TABLE runs ALTER payload TYPE note",
    )
    .await;
    with_victim(&bed).await;
    let before = bed.rows().await;
    let mut store = bed.store(Action::Fail);
    let observed = snapshot(&mut store).await;
    let outcome = repair(&mut store, &repair_of(&observed, 2, Action::Fail)).await;
    let Outcome::Failed(why) = outcome else {
        panic!("the type refuses it: {outcome:?}")
    };
    assert!(why.contains("says_nothing"), "{why}");
    assert_eq!(bed.rows().await, before);
    assert_eq!(store.entries(Entries::Newest(1)).await.unwrap(), []);
}

#[tokio::test]
async fn a_further_column_that_is_always_generated_keeps_a_watch_from_repairing() {
    let bed = PostgresBed::new().await;
    bed.sql(
        "ALTER TABLE runs ADD COLUMN \"a \"\"serial\"\" %\" bigint GENERATED ALWAYS AS IDENTITY,
           ADD COLUMN twice integer GENERATED ALWAYS AS (id * 2) STORED",
    )
    .await;
    let set = setting(&[("a \"serial\" %", number("1")), ("twice", number("1"))]);
    let obstacles = async |action| snapshot(&mut bed.store_with(set.clone(), action)).await.obstacles;
    let found = obstacles(Action::Fail).await;
    let said = "\"a \"\"serial\"\" %\", \"twice\" are computed by the database (GENERATED ALWAYS), so `fail` can't set";
    assert!(found.len() == 1 && found[0].reason.contains(said), "{found:?}");
    assert_eq!(obstacles(Action::Backfill).await, []);
}
