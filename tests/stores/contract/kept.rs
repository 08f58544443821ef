//! Statements that stay prepared: only where the connection is direct, and never at the price of a pass or of a wrong answer.
//! PostgreSQL only.

use super::{Bed, PostgresBed, Written, bed::mapping, ids, look, servers::put_in_place};
use crate::support::{eventually, pooler::Pooler, postgres::shared, proxy::Proxy};
use beatwarden::{
    domain::{Action, Look, Snapshot},
    store::{DiscoverySetting, Mapping, Store, TableName},
};
use std::{net::SocketAddr, time::Duration};

const DIRECT: &str = "yes, the connection is direct";
const REFUSED: &str = "no, the server refused one on this connection";

/// So many passes, each with these jobs; what the last one says of prepared statements.
async fn passes(store: &mut impl Store, count: u32, expected: &[&str]) -> &'static str {
    let mut last = None;
    for _ in 0..count {
        let seen = seen(store).await;
        assert_eq!(ids(&seen), expected);
        last = seen.unknowns.prepared;
    }
    last.expect("there is a choice on PostgreSQL")
}

async fn seen(store: &mut impl Store) -> Snapshot {
    store
        .observe(&look(Look::Ordinary))
        .await
        .unwrap_or_else(|error| panic!("{}", error.chain()))
}

/// What is asked of every pass is kept, and each value is that of the pass.
#[tokio::test]
async fn a_direct_connection_keeps_statements_and_reads_what_is_there() {
    let bed = PostgresBed::new().await;
    for way in [DiscoverySetting::State, DiscoverySetting::KeyTail] {
        let mut store = bed.store_by(Action::Observe, way);
        assert_eq!(passes(&mut store, 1, &[]).await, DIRECT);
        // More than a planner tries before it settles on one plan for all values.
        for id in 1..=12 {
            bed.write(&Written::running(id)).await;
            let seen = seen(&mut store).await;
            assert!(ids(&seen).contains(&id.to_string()));
            assert_eq!(seen.unknowns.prepared, Some(DIRECT));
        }
        bed.sql("DELETE FROM runs").await;
    }
}

/// The pass that finds the table changed ends with these words, whether statements are kept or not.
async fn finds_it_changed(store: &mut impl Store) {
    let error = store.observe(&look(Look::Ordinary)).await.unwrap_err().chain();
    assert!(
        error.contains("was changed or replaced while it was watched"),
        "{error}"
    );
}

/// A function that every pass calls: it says under the session's name how many statements the session keeps, refuses once in
/// each session as long as there is a table `refusing`, as a server does whose table has changed, and makes the session forget
/// its statements as long as there is a table `forgetting`: those that the pass sends behind it are not there.
const TELLING: &str = "BEGIN
    PERFORM set_config('application_name', 'kept ' || (SELECT count(*) FROM pg_prepared_statements), false);
    IF to_regclass('public.refusing') IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND pid = pg_backend_pid()
    ) THEN
        PERFORM pg_advisory_lock(7);
        RAISE EXCEPTION 'cached plan must not change result type' USING ERRCODE = '0A000';
    END IF;
    IF to_regclass('public.forgetting') IS NOT NULL THEN
        DEALLOCATE ALL;
    END IF;
    RETURN txid_current_snapshot_of_the_core();
END";

/// How many statements the session of the passes keeps.
async fn kept(bed: &PostgresBed) -> i64 {
    bed.number(
        "SELECT split_part(application_name, ' ', 2)::bigint FROM pg_stat_activity
          WHERE datname = current_database() AND application_name LIKE 'kept %'",
    )
    .await
}

/// The server refuses a statement that it kept: the same pass is made without, and the watch sees no gap.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_costs_no_pass() {
    let bed = PostgresBed::new().await;
    put_in_place(&bed, "txid_current_snapshot", "", "RETURNS txid_snapshot", TELLING).await;
    bed.write(&Written::running(1)).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::State);
    assert_eq!(passes(&mut store, 4, &["1"]).await, DIRECT);
    assert!(kept(&bed).await >= 3, "the moment, the rows, the ledger");
    bed.sql("CREATE TABLE public.refusing ()").await;
    assert_eq!(passes(&mut store, 4, &["1"]).await, REFUSED);
    assert_eq!(kept(&bed).await, 0, "and the server has forgotten them");
    drop(store);
    // Another session of the server's, and nothing of it is ours to keep.
    bed.end_sessions().await;
    let proxy = Proxy::start(bed.port()).await;
    let mut store = bed.store_through(proxy.address, Action::Observe);
    bed.sql("DROP TABLE public.refusing").await;
    passes(&mut store, 4, &["1"]).await;
    assert_eq!(kept(&bed).await, 0);
}

/// The server has forgotten the statements while a pass sends them (26000), as behind a pooler that came in between.
#[tokio::test(flavor = "multi_thread")]
async fn statements_that_are_gone_cost_no_pass() {
    let bed = PostgresBed::new().await;
    put_in_place(&bed, "txid_current_snapshot", "", "RETURNS txid_snapshot", TELLING).await;
    bed.write(&Written::running(1)).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::State);
    assert_eq!(passes(&mut store, 4, &["1"]).await, DIRECT);
    assert!(kept(&bed).await >= 3, "the moment, the rows, the ledger");
    bed.sql("CREATE TABLE public.forgetting ()").await;
    assert_eq!(passes(&mut store, 1, &["1"]).await, REFUSED);
    bed.sql("DROP TABLE public.forgetting").await;
    assert_eq!(passes(&mut store, 3, &["1"]).await, REFUSED);
    assert_eq!(kept(&bed).await, 0, "nothing is kept on this connection any more");
}

/// A column of another type ends one pass, as without kept statements.
#[tokio::test]
async fn a_column_of_another_type_ends_one_pass() {
    let bed = PostgresBed::new().await;
    bed.write(&Written::running(1)).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::State);
    for kind in ["bigint", "integer"] {
        assert_eq!(passes(&mut store, 4, &["1"]).await, DIRECT);
        bed.sql(&format!("ALTER TABLE runs ALTER COLUMN id TYPE {kind}")).await;
        finds_it_changed(&mut store).await;
    }
    assert_eq!(passes(&mut store, 4, &["1"]).await, DIRECT);
}

#[tokio::test]
async fn a_table_that_is_made_again_is_read_as_it_is_then() {
    let bed = PostgresBed::new().await;
    bed.write(&Written::running(1)).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::State);
    passes(&mut store, 4, &["1"]).await;
    bed.sql("ALTER TABLE runs RENAME TO gone").await;
    assert!(store.observe(&look(Look::Ordinary)).await.is_err());
    bed.sql("CREATE TABLE runs (LIKE gone INCLUDING ALL)").await;
    bed.write(&Written::running(2)).await;
    passes(&mut store, 4, &["2"]).await;
    // And in one go, between two passes.
    bed.sql("DROP TABLE runs; CREATE TABLE runs (LIKE gone INCLUDING ALL)")
        .await;
    bed.write(&Written::running(3)).await;
    finds_it_changed(&mut store).await;
    passes(&mut store, 4, &["3"]).await;
}

#[tokio::test]
async fn a_session_that_was_ended_takes_its_statements_along() {
    let bed = PostgresBed::new().await;
    bed.write(&Written::running(1)).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::State);
    for _ in 0..3 {
        assert_eq!(passes(&mut store, 4, &["1"]).await, DIRECT);
        bed.end_sessions().await;
        eventually("it connects again", Duration::from_secs(10), async || {
            store.observe(&look(Look::Ordinary)).await.ok()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_nothing_is_kept() {
    let bed = PostgresBed::new().await;
    bed.write(&Written::running(1)).await;
    let proxy = Proxy::start(bed.port()).await;
    let mut store = bed.store_through(proxy.address, Action::Observe);
    let said = passes(&mut store, 4, &["1"]).await;
    assert!(said.starts_with("no, the server sees other addresses"), "{said}");
}

/// Two programs, whose drivers give their statements the same names, in another order: through a pooler each would meet the
/// other's in the session that it is lent.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_nothing_is_kept_and_no_program_reads_the_other_s_table() {
    let bed = PostgresBed::new().await;
    bed.sql("CREATE TABLE others (LIKE runs INCLUDING ALL); INSERT INTO others (id, state) VALUES (7, 'RUNNING')")
        .await;
    bed.write(&Written::running(1)).await;
    let folder = tempfile::tempdir().unwrap();
    let (_pooler, port) = Pooler::start(shared(), folder.path());
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut runs = bed.store_through(address, Action::Observe);
    let table = TableName::parse("others").unwrap();
    let mut others = bed.store_of_through(address, Mapping { table, ..mapping() }, Action::Observe);
    eventually("the pooler answers", Duration::from_secs(10), async || {
        runs.observe(&look(Look::Full)).await.ok()
    })
    .await;
    for _ in 0..6 {
        for (store, expected) in [(&mut runs, "1"), (&mut others, "7")] {
            let said = passes(store, 1, &[expected]).await;
            assert!(said.starts_with("no, "), "{said}");
        }
    }
}
