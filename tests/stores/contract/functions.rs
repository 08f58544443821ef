//! A fail by the system's own function, on PostgreSQL: it is called once, for a row that still is as observed, and what it leaves
//! is judged before anything is committed.

use super::{Bed, DEADLINE, PostgresBed, bed::mapping, look, made, refused, repair, repair_of, snapshot, with_victim};
use crate::support::Session;
use beatwarden::{
    domain::{Action, Argument, Cause, Coverage, Literal, Outcome},
    mapping::{Call, Ending, Mapping, TableName},
    store::{Entries, Ledger, Store},
};
use std::time::{Duration, Instant};

/// The table of calls, in which a function writes what it was given, and a body that ends the job.
const CALLS: &str = "CREATE TABLE calls (job text, reason text, at timestamptz, flag boolean)";
const ENDS_IT: &str = "INSERT INTO calls VALUES (job::text, reason, at, flag);
    UPDATE runs SET state = 'DEAD', ended_at = at AT TIME ZONE 'UTC', payload_flags = 5 WHERE id = job;";

fn text(value: &str) -> Argument {
    Argument::Literal(Literal::Text(value.to_owned()))
}

fn usual() -> Vec<Argument> {
    vec![
        Argument::Id,
        Argument::Error,
        Argument::Now,
        Argument::Literal(Literal::Truth(false)),
    ]
}

/// The mapping of the bed with this function.
pub fn calling(function: &str, args: Vec<Argument>) -> Mapping {
    let function = TableName::parse(function).unwrap();
    let call = Some(Call { function, args });
    Mapping {
        ending: Ending {
            call,
            ..Ending::default()
        },
        ..mapping()
    }
}

/// A bed with jobs, and a function `finish` of the usual arguments with this body.
async fn with_function(body: &str) -> PostgresBed {
    let bed = PostgresBed::new().await;
    with_victim(&bed).await;
    bed.sql(CALLS).await;
    bed.sql(&format!(
        "CREATE FUNCTION finish(job integer, reason text, at timestamptz, flag boolean) RETURNS void LANGUAGE plpgsql AS $body$
         BEGIN {body} END $body$"
    ))
    .await;
    bed
}

async fn outcome(store: &mut impl Store) -> Outcome {
    let observed = snapshot(store).await;
    repair(store, &repair_of(&observed, 2, Action::Fail)).await
}

async fn calls(bed: &PostgresBed) -> Vec<tokio_postgres::Row> {
    let client = bed.session().await;
    client
        .query("SELECT job, reason, at, flag FROM calls", &[])
        .await
        .unwrap()
}

#[tokio::test]
async fn a_function_ends_the_job_and_the_ledger_has_what_it_left() {
    let bed = with_function(ENDS_IT).await;
    let before = bed.rows().await;
    let mut store = bed.store_with(calling("finish", usual()), Action::Fail);
    let id = made(outcome(&mut store).await);
    let (after, calls) = (bed.rows().await, calls(&bed).await);
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert_eq!((call.get::<_, &str>("job"), call.get::<_, bool>("flag")), ("2", false));
    let reason: &str = call.get("reason");
    assert!(
        reason.starts_with("Beatwarden: no heartbeat") && reason.contains(&id.to_string()),
        "{reason}"
    );
    assert_eq!(after[1]["state"].as_deref(), Some("DEAD"));
    assert_eq!(
        (&after[1]["payload"], &after[1]["payload_flags"]),
        (&None, &Some("5".to_owned()))
    );
    assert_eq!(
        [&after[0], &after[2], &after[3]],
        [&before[0], &before[2], &before[3]],
        "innocent rows"
    );
    let entry = store.entries(Entries::Newest(1)).await.unwrap().remove(0);
    let images = [&entry.before, &entry.after].map(|image| serde_json::from_str::<serde_json::Value>(image).unwrap());
    assert_eq!(
        (&images[0]["state"], &images[1]["state"]),
        (&"RUNNING".into(), &"DEAD".into())
    );
    assert!(
        images[0]["ended_at"].is_null() && images[1]["ended_at"].is_string(),
        "{images:?}"
    );
    assert_eq!(
        images[1]["beatwarden_called"],
        "public.finish(job integer, reason text, at timestamp with time zone, flag boolean)"
    );
    assert!(
        entry.heartbeat_after.is_some(),
        "a later beat will show that the job was alive"
    );
    let why = refused(&mut store, id).await;
    assert!(why.contains("finish"), "{why}");
    assert_eq!(bed.rows().await, after);
    // The row is no longer as it was observed, and the ledger knows the incident.
    assert_eq!(bed.count_repairs(2).await, 1);
}

/// Nothing of what the function did remains, and the row is as it was.
async fn nothing_happens(body: &str, said: &str) {
    let bed = with_function(body).await;
    let before = bed.rows().await;
    let mut store = bed.store_with(calling("finish", usual()), Action::Fail);
    let outcome = outcome(&mut store).await;
    assert!(
        matches!(&outcome, Outcome::Failed(why) if why.contains(said)),
        "{body}: {outcome:?}"
    );
    assert_eq!(bed.rows().await, before, "{body}");
    assert_eq!(calls(&bed).await.len(), 0, "{body}");
    assert_eq!(bed.count_repairs(2).await, 0, "{body}");
}

#[tokio::test]
async fn a_function_that_raises_is_a_failure_and_leaves_nothing() {
    nothing_happens(
        "INSERT INTO calls VALUES (job::text); UPDATE runs SET state = 'DEAD' WHERE id = job; RAISE 'not today';",
        "not today",
    )
    .await;
}

#[tokio::test]
async fn a_function_that_leaves_the_job_running_is_a_failure_and_leaves_nothing() {
    nothing_happens(
        "INSERT INTO calls VALUES (job::text);",
        "left the job in a running state",
    )
    .await;
    nothing_happens(
        "INSERT INTO calls VALUES (job::text); UPDATE runs SET payload_flags = 9 WHERE id = job; UPDATE runs SET state = 'DEAD' WHERE id = 3;",
        "left the job in a running state",
    )
    .await;
}

#[tokio::test]
async fn a_function_that_takes_too_long_is_stopped_by_the_server() {
    let began = Instant::now();
    nothing_happens(
        "UPDATE runs SET state = 'DEAD' WHERE id = job; PERFORM pg_sleep(30);",
        "statement timeout",
    )
    .await;
    assert!(began.elapsed() < Duration::from_secs(25));
}

#[tokio::test]
async fn a_ledger_that_takes_no_entry_takes_the_call_back() {
    let bed = with_function(ENDS_IT).await;
    let mut store = bed.store_with(calling("finish", usual()), Action::Fail);
    snapshot(&mut store).await;
    store.prepare_ledger().await.unwrap();
    bed.refuse_ledger().await;
    let before = bed.rows().await;
    let outcome = outcome(&mut store).await;
    assert!(
        matches!(&outcome, Outcome::Failed(why) if why.contains("no entry today")),
        "{outcome:?}"
    );
    assert_eq!((bed.rows().await, calls(&bed).await.len()), (before, 0));
}

#[tokio::test]
async fn a_function_may_delete_the_row_and_change_others() {
    for body in [
        "DELETE FROM runs WHERE id = job;",
        "UPDATE runs SET state = 'DEAD' WHERE id IN (job, 3);",
    ] {
        let bed = with_function(body).await;
        let mut store = bed.store_with(calling("finish", usual()), Action::Fail);
        assert!(matches!(outcome(&mut store).await, Outcome::Repaired(_)), "{body}");
        assert_eq!(bed.count_repairs(2).await, 1, "{body}");
        let entry = store.entries(Entries::Newest(1)).await.unwrap().remove(0);
        assert!(entry.after.contains("beatwarden_called"), "{entry:?}");
    }
}

#[tokio::test]
async fn two_replicas_call_it_once() {
    let bed = with_function(&format!("PERFORM pg_sleep(0.2); {ENDS_IT}")).await;
    let mut stores = [(); 2].map(|()| bed.store_with(calling("finish", usual()), Action::Fail));
    let observed = [snapshot(&mut stores[0]).await, snapshot(&mut stores[1]).await];
    stores[0].prepare_ledger().await.unwrap();
    let due = observed.map(|snapshot| repair_of(&snapshot, 2, Action::Fail));
    let [one, other] = &mut stores;
    let outcomes = tokio::join!(one.repair(&due[0]), other.repair(&due[1]));
    let outcomes = [outcomes.0, outcomes.1];
    let made = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Outcome::Repaired(_)))
        .count();
    assert_eq!(made, 1, "{outcomes:?}");
    assert_eq!((calls(&bed).await.len(), bed.count_repairs(2).await), (1, 1));
    for (store, due) in stores.iter_mut().zip(&due) {
        assert_eq!(
            store.repair(due).await,
            Outcome::LostRace,
            "the row is no longer as it was observed"
        );
    }
    assert_eq!(calls(&bed).await.len(), 1);
}

/// A session that has inserted a row which refers to the job, and has not committed: it may be about to beat.
#[tokio::test]
async fn a_job_that_an_open_transaction_refers_to_is_passed_over() {
    let bed = with_function(ENDS_IT).await;
    bed.sql("CREATE TABLE steps (job integer REFERENCES runs)").await;
    let mut store = bed.store_with(calling("finish", usual()), Action::Fail);
    snapshot(&mut store).await;
    store.prepare_ledger().await.unwrap();
    let open = bed.client_in_transaction("INSERT INTO steps VALUES (2)").await;
    assert_eq!(outcome(&mut store).await, Outcome::Locked);
    assert_eq!(calls(&bed).await.len(), 0);
    open.run("COMMIT").await;
    assert!(matches!(outcome(&mut store).await, Outcome::Repaired(_)));
}

/// What is configured, on a bed with several functions, and what the user reads of it.
#[tokio::test]
async fn a_function_that_does_not_fit_is_named_before_any_repair() {
    let bed = with_function(ENDS_IT).await;
    bed.sql(
        "CREATE TYPE mood AS ENUM ('sad');
         CREATE FUNCTION two(job integer, reason text) RETURNS void LANGUAGE sql AS 'SELECT';
         CREATE FUNCTION two(job bigint, reason text) RETURNS void LANGUAGE sql AS 'SELECT';
         CREATE FUNCTION many(job integer) RETURNS SETOF integer LANGUAGE sql AS 'SELECT 1';
         CREATE PROCEDURE step(job integer) LANGUAGE sql AS 'SELECT';
         CREATE FUNCTION rest(VARIADIC jobs integer[]) RETURNS void LANGUAGE sql AS 'SELECT';
         CREATE FUNCTION felt(job integer, as_ mood) RETURNS void LANGUAGE sql AS 'SELECT';
         CREATE FUNCTION narrow(job smallint) RETURNS void LANGUAGE sql AS 'SELECT';
         CREATE SCHEMA evil; CREATE FUNCTION evil.only_there(job integer) RETURNS void LANGUAGE sql AS 'SELECT';
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = evil, public', current_database()); END $$",
    )
    .await;
    for (function, args, said) in [
        ("finnish", vec![Argument::Id], "there is no such function"),
        ("only_there", vec![Argument::Id], "there is no such function"),
        ("finish", vec![Argument::Id], "public.finish(job integer"),
        ("two", vec![Argument::Id, Argument::Error], "more than one function"),
        ("many", vec![Argument::Id], "no function of that name takes"),
        ("step", vec![Argument::Id], "no function of that name takes"),
        ("rest", vec![Argument::Id], "no function of that name takes"),
        ("narrow", vec![Argument::Id], "no function of that name takes"),
        (
            "felt",
            vec![Argument::Id, text("glad' --")],
            "invalid input value for enum",
        ),
        (
            "finish",
            vec![Argument::Error, Argument::Error, Argument::Now, text("x")],
            "no function of that name takes",
        ),
    ] {
        let mut store = bed.store_with(calling(function, args), Action::Fail);
        let error = store.observe(&look(Coverage::Ordinary)).await.unwrap_err().chain();
        assert!(
            error.contains(said) && error.contains("watch.repair.fail.call"),
            "{function}: {error}"
        );
    }
    // Who calls none needs none.
    snapshot(&mut bed.store_with(calling("finnish", vec![]), Action::Backfill)).await;
    let fits = calling("felt", vec![Argument::Id, text("sad")]);
    snapshot(&mut bed.store_with(fits, Action::Fail)).await;
}

#[tokio::test]
async fn hostile_names_and_values_reach_the_function_as_they_are() {
    let bed = PostgresBed::new().await;
    with_victim(&bed).await;
    let hostile = "it's {{call}} \\' \" $1 -- {x}\n/* *";
    bed.sql(
        "CREATE SCHEMA \"o\"\" {{state}}\"; CREATE TABLE calls (job text, reason text, at timestamptz, flag boolean);
         CREATE FUNCTION \"o\"\" {{state}}\".\"end \"\" $2 {{id}}\"(said text, job numeric DEFAULT 2, unused text DEFAULT 'x') RETURNS integer
           LANGUAGE plpgsql AS $$ BEGIN INSERT INTO calls VALUES (job::text, said); UPDATE runs SET state = 'DEAD' WHERE id = job; RETURN 1; END $$",
    )
    .await;
    let mut store = bed.store_with(
        calling("o\" {{state}}.end \" $2 {{id}}", vec![text(hostile)]),
        Action::Fail,
    );
    let outcome = outcome(&mut store).await;
    assert!(matches!(outcome, Outcome::Repaired(_)), "{outcome:?}");
    assert_eq!(calls(&bed).await[0].get::<_, &str>("reason"), hostile);
}

#[tokio::test]
async fn a_missing_right_withholds_and_a_replaced_function_is_found_again() {
    let bed = with_function(ENDS_IT).await;
    bed.sql("REVOKE EXECUTE ON FUNCTION finish FROM PUBLIC").await;
    let role = bed.role("GRANT SELECT, UPDATE ON runs TO {role}; GRANT INSERT ON calls TO {role}; GRANT CREATE ON SCHEMA public TO {role}");
    let mut store = bed.store_as(&role.await, calling("finish", usual()), Action::Fail);
    let observed = snapshot(&mut store).await;
    let obstacle = observed.obstacles.first().expect("no right to call it");
    assert_eq!(obstacle.cause, Cause::Rights);
    assert!(
        obstacle
            .reason
            .contains("GRANT EXECUTE ON FUNCTION public.finish(job integer"),
        "{obstacle:?}"
    );
    bed.sql("GRANT EXECUTE ON FUNCTION finish TO PUBLIC").await;
    bed.sql("DROP FUNCTION finish").await;
    bed.sql(&format!(
        "CREATE FUNCTION finish(job bigint, reason varchar, at timestamptz, flag boolean) RETURNS boolean LANGUAGE plpgsql AS $body$
         BEGIN {ENDS_IT} RETURN true; END $body$"
    ))
    .await;
    // The facts are old after 30 s, or when the catalog's entry of the table has changed.
    bed.sql("ALTER TABLE runs SET (fillfactor = 90)").await;
    let until = Instant::now() + DEADLINE;
    let observed = loop {
        match store.observe(&look(Coverage::Ordinary)).await {
            Ok(observed) if observed.obstacle().is_none() => break observed,
            other => assert!(Instant::now() < until, "{other:?}"),
        }
    };
    let outcome = repair(&mut store, &repair_of(&observed, 2, Action::Fail)).await;
    assert!(matches!(outcome, Outcome::Repaired(_)), "{outcome:?}");
}
