//! Servers that refuse a part of what they are asked: managed ones, hardened ones, and engines that only speak like
//! PostgreSQL. Each function is refused once; rows are read all the same, and repairs are made where that is safe. PostgreSQL
//! only.

use super::{Bed, PostgresBed, made, repair, repair_of, snapshot, with_victim};
use crate::support::{eventually, pooler::Pooler, postgres::shared};
use beatwarden::{
    domain::{Action, Cause, Outcome},
    store::{Ledger, Undo},
};
use std::time::Duration;

/// Puts a function that raises an error in the place of one of the server's, in this database.
async fn refuse(bed: &PostgresBed, function: &str, arguments: &str, returns: &str, code: &str) {
    let body = format!("BEGIN RAISE EXCEPTION 'not for you' USING ERRCODE = '{code}'; END");
    put_in_place(bed, function, arguments, returns, &body).await;
}

pub(super) async fn put_in_place(bed: &PostgresBed, function: &str, arguments: &str, returns: &str, body: &str) {
    bed.sql(&format!(
        "SET allow_system_table_mods = on;
         ALTER FUNCTION pg_catalog.{function}({arguments}) RENAME TO {function}_of_the_core;
         CREATE FUNCTION pg_catalog.{function}({arguments}) {returns} LANGUAGE plpgsql VOLATILE AS $$ {body} $$;
         GRANT EXECUTE ON FUNCTION pg_catalog.{function}({arguments}) TO PUBLIC;"
    ))
    .await;
}

const CONTROL: &str = "OUT pg_control_version integer, OUT catalog_version_no integer, OUT system_identifier bigint, \
                       OUT pg_control_last_modified timestamptz";

/// Function, arguments, what it returns, the error, and a word of the note. Repairs are made without it.
const PARTS: [(&str, &str, &str, &str, &str); 7] = [
    // As Aurora answers.
    ("pg_current_wal_lsn", "", "RETURNS pg_lsn", "55000", "the timeline"),
    ("pg_walfile_name", "pg_lsn", "RETURNS text", "0A000", "the timeline"),
    ("pg_control_system", CONTROL, "", "42501", "the system identifier"),
    (
        "pg_is_in_recovery",
        "",
        "RETURNS boolean",
        "0A000",
        "pg_is_in_recovery()",
    ),
    (
        "pg_postmaster_start_time",
        "",
        "RETURNS timestamptz",
        "42501",
        "the server's start",
    ),
    ("inet_server_addr", "", "RETURNS inet", "XX000", ""),
    (
        "pg_lock_status",
        "OUT locktype text, OUT database oid, OUT relation oid, OUT page int4, OUT tuple int2, OUT virtualxid text, \
       OUT transactionid xid, OUT classid oid, OUT objid oid, OUT objsubid int2, OUT virtualtransaction text, OUT pid int4, \
       OUT mode text, OUT granted bool, OUT fastpath bool, OUT waitstart timestamptz",
        "RETURNS SETOF record",
        "42501",
        "",
    ),
];

#[tokio::test]
async fn a_part_of_the_identity_that_is_refused_fails_no_pass_and_no_repair() {
    for (function, arguments, returns, code, word) in PARTS {
        let bed = PostgresBed::new().await;
        with_victim(&bed).await;
        refuse(&bed, function, arguments, returns, code).await;
        if function == "pg_lock_status" {
            // The view still has the function of the core.
            bed.sql("REVOKE EXECUTE ON FUNCTION pg_catalog.pg_lock_status_of_the_core() FROM PUBLIC")
                .await;
        }
        let mut store = bed.store(Action::Fail);
        let first = snapshot(&mut store).await;
        assert!(first.obstacles.is_empty(), "{function}: {:?}", first.obstacles);
        assert_eq!(first.rows.len(), 4, "{function}");
        let costs = first.unknowns.costs.join("; ");
        assert_eq!(costs.is_empty(), word.is_empty(), "{function}: {costs}");
        assert!(costs.contains(word), "{function}: {costs}");
        let hides_restarts = ["pg_current_wal_lsn", "pg_walfile_name", "pg_postmaster_start_time"].contains(&function);
        assert_eq!(first.unknowns.connection.is_some(), hides_restarts, "{function}");
        let second = snapshot(&mut store).await;
        assert_eq!(
            (&second.server, &second.unknowns),
            (&first.server, &first.unknowns),
            "{function}"
        );
        // The gate compares the same identity.
        let outcome = repair(&mut store, &repair_of(&second, 2, Action::Fail)).await;
        let Outcome::Repaired(id) = outcome else {
            panic!("{function}: {outcome:?}")
        };
        let undone = store.undo(id).await.unwrap();
        assert!(matches!(undone, Undo::Done { .. }), "{function}: {undone:?}");
        // Another connection, where only that may show a restart, is another one.
        let other = snapshot(&mut bed.store(Action::Fail)).await;
        assert_eq!(
            other.unknowns.connection != first.unknowns.connection,
            hides_restarts,
            "{function}"
        );
    }
}

#[tokio::test]
async fn where_no_advisory_lock_can_be_relied_on_rows_are_read_and_nothing_is_repaired() {
    let lies = "BEGIN RETURN true; END";
    let fails = "BEGIN RAISE EXCEPTION 'not supported' USING ERRCODE = '0A000'; END";
    for (body, words) in [(lies, "keep no one out"), (fails, "gives no advisory locks")] {
        let bed = PostgresBed::new().await;
        with_victim(&bed).await;
        let place = ("pg_try_advisory_xact_lock", "integer, integer", "RETURNS boolean");
        put_in_place(&bed, place.0, place.1, place.2, body).await;
        for action in [Action::Fail, Action::Backfill] {
            let seen = snapshot(&mut bed.store(action)).await;
            assert_eq!(seen.rows.len(), 4);
            assert_eq!(seen.obstacle(), Some(Cause::Rights));
            assert!(seen.obstacles[0].reason.contains(words), "{:?}", seen.obstacles);
        }
        let seen = snapshot(&mut bed.store(Action::Observe)).await;
        assert!(seen.obstacles.is_empty(), "{:?}", seen.obstacles);
        assert!(seen.unknowns.costs[0].contains(words), "{:?}", seen.unknowns);
    }
}

#[tokio::test]
async fn where_the_catalog_can_t_be_asked_for_rights_rows_are_read_and_nothing_is_repaired() {
    for (function, arguments) in [
        ("row_security_active", "oid"),
        ("has_table_privilege", "oid, text"),
        ("has_schema_privilege", "oid, text"),
        ("has_column_privilege", "oid, smallint, text"),
    ] {
        let bed = PostgresBed::new().await;
        with_victim(&bed).await;
        refuse(&bed, function, arguments, "RETURNS boolean", "42501").await;
        let mut store = bed.store(Action::Observe);
        let seen = snapshot(&mut store).await;
        assert_eq!((seen.rows.len(), seen.obstacle()), (4, None), "{function}");
        assert_eq!(snapshot(&mut store).await.rows.len(), 3, "{function}: the running ones");
        let seen = snapshot(&mut bed.store(Action::Fail)).await;
        assert_eq!(
            (seen.rows.len(), seen.obstacle()),
            (4, Some(Cause::Rights)),
            "{function}"
        );
        assert!(seen.obstacles[0].reason.contains("not for you"), "{:?}", seen.obstacles);
    }
}

/// A right that is withdrawn while we watch costs one pass at most, and comes back on its own.
#[tokio::test]
async fn a_part_that_is_refused_from_now_on_costs_one_pass() {
    let bed = PostgresBed::new().await;
    with_victim(&bed).await;
    let mut store = bed.store(Action::Fail);
    let before = snapshot(&mut store).await;
    assert_eq!(before.unknowns.connection, None);
    refuse(&bed, "pg_current_wal_lsn", "", "RETURNS pg_lsn", "55000").await;
    let request = super::ObserveRequest::whole(Vec::new(), super::Coverage::Ordinary);
    let failed = super::Store::observe(&mut store, &request).await;
    assert!(failed.is_err());
    let after = snapshot(&mut store).await;
    assert!(after.unknowns.connection.is_some());
    assert_ne!(after.server, before.server, "watching starts again");
    assert_eq!(after.obstacle(), None);
}

/// As Aurora answers, and a pooler in transaction mode before it.
#[tokio::test]
async fn a_pooler_before_a_server_that_hides_its_timeline_changes_nothing() {
    let bed = PostgresBed::new().await;
    with_victim(&bed).await;
    refuse(&bed, "pg_current_wal_lsn", "", "RETURNS pg_lsn", "55000").await;
    let folder = tempfile::tempdir().unwrap();
    let (_pooler, port) = Pooler::start(shared(), folder.path());
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut store = bed.store_through(address, Action::Fail);
    let request = super::ObserveRequest::whole(Vec::new(), super::Coverage::Full);
    let seen = eventually("the pooler answers", Duration::from_secs(10), async || {
        super::Store::observe(&mut store, &request).await.ok()
    })
    .await;
    assert_eq!(seen.obstacle(), None, "{:?}", seen.obstacles);
    assert!(seen.unknowns.connection.is_some());
    let again = snapshot(&mut store).await;
    assert_eq!((&again.server, &again.unknowns), (&seen.server, &seen.unknowns));
    let id = made(repair(&mut store, &repair_of(&again, 2, Action::Fail)).await);
    assert!(matches!(store.undo(id).await.unwrap(), Undo::Done { .. }));
}
