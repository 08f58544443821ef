//! Statements that stay prepared: only where the connection is direct, and never at the price of a pass or of a wrong answer.
//! PostgreSQL only.

use super::{Bed, PostgresBed, Written, bed::mapping, ids, look, repair, repair_of, servers::put_in_place, snapshot};
use crate::support::{eventually, pooler::Pooler, postgres::shared, proxy::Proxy};
use beatwarden::{
    domain::{Action, Coverage, Outcome, Snapshot},
    mapping::{Mapping, TableName},
    store::{DiscoverySetting, Store, postgres::PostgresStore},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

const DIRECT: &str = "yes, the connection is direct";
const REFUSED: &str = "no, the server refused one on this connection";

/// Some passes, each with these jobs; what the last one says of prepared statements.
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
        .observe(&look(Coverage::Ordinary))
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
    let error = store.observe(&look(Coverage::Ordinary)).await.unwrap_err().chain();
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

/// A job whose statements the server keeps, and tells how many.
async fn with_kept_statements() -> (PostgresBed, PostgresStore) {
    let bed = PostgresBed::new().await;
    put_in_place(&bed, "txid_current_snapshot", "", "RETURNS txid_snapshot", TELLING).await;
    bed.write(&Written::running(1)).await;
    let mut store = bed.store_by(Action::Observe, DiscoverySetting::State);
    assert_eq!(passes(&mut store, 4, &["1"]).await, DIRECT);
    assert!(kept(&bed).await >= 3, "the moment, the rows, the ledger");
    (bed, store)
}

/// The server refuses a statement that it kept: the same pass is made without, and the watch sees no gap.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_costs_no_pass() {
    let (bed, mut store) = with_kept_statements().await;
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
    let (bed, mut store) = with_kept_statements().await;
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
    assert!(store.observe(&look(Coverage::Ordinary)).await.is_err());
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
            store.observe(&look(Coverage::Ordinary)).await.ok()
        })
        .await;
    }
}

/// A trigger that notes for each repaired job how many statements the session keeps, and then does something once in each session,
/// as long as there is a table `refusing`.
async fn count_kept_at_each_repair(bed: &PostgresBed, once: &str) {
    bed.sql(&format!(
        "CREATE TABLE counted (job integer, kept bigint);
         CREATE FUNCTION count_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO public.counted SELECT NEW.id, count(*) FROM pg_prepared_statements;
             IF to_regclass('public.refusing') IS NOT NULL AND NOT EXISTS (
                 SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND pid = pg_backend_pid()
             ) THEN
                 PERFORM pg_advisory_lock(7);
                 {once};
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER count_kept AFTER UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION count_kept()"
    ))
    .await;
}

/// Repairs these jobs one after the other in one session; how many statements it kept at each.
async fn kept_at_each_repair(bed: &PostgresBed, store: &mut impl Store, seen: &Snapshot, jobs: &[u32]) -> Vec<i64> {
    let mut kept = Vec::new();
    for job in jobs {
        let outcome = repair(store, &repair_of(seen, *job, Action::Fail)).await;
        assert!(matches!(outcome, Outcome::Repaired(_)), "{job}: {outcome:?}");
        assert_eq!(bed.count_repairs(*job).await, 1);
        // A transaction that was rolled back left no row.
        let noted = format!("SELECT sum(kept)::bigint FROM counted WHERE job = {job} HAVING count(*) = 1");
        kept.push(bed.number(&noted).await);
    }
    kept
}

/// What a session asks for the second time is kept: of a hundred repairs of one pass, ninety-eight parse nothing.
#[tokio::test]
async fn repairs_of_one_session_are_made_by_kept_statements() {
    let bed = PostgresBed::new().await;
    count_kept_at_each_repair(&bed, "NULL").await;
    for job in 1..=9 {
        bed.write(&Written::running(job).started(-120.0)).await;
    }
    let mut store = bed.store(Action::Fail);
    let seen = snapshot(&mut store).await;
    // More than a planner tries before it settles on one plan for all jobs.
    let kept = kept_at_each_repair(&bed, &mut store, &seen, &[1, 2, 3, 4, 5, 6, 7, 8]).await;
    assert_eq!(kept, [0, 0, 2, 2, 2, 2, 2, 2], "the repair, and the look for its entry");
    // The guards are those of the repair, whichever session made the plan.
    let observed = repair_of(&seen, 9, Action::Fail);
    bed.sql("UPDATE runs SET last_heartbeat_at = started_at + interval '1 min' WHERE id = 9")
        .await;
    assert_eq!(store.repair(&observed).await, Outcome::LostRace);
}

/// A kept statement that is refused takes its transaction along; the repair is made once more without, and once.
#[tokio::test]
async fn a_refusal_costs_no_repair_and_makes_none_twice() {
    let refusals = [
        "RAISE EXCEPTION 'cached plan must not change result type' USING ERRCODE = '0A000'",
        // The repair itself is through by then: the look for its entry is refused.
        "DEALLOCATE ALL",
    ];
    for refusal in refusals {
        let bed = PostgresBed::new().await;
        count_kept_at_each_repair(&bed, refusal).await;
        for job in 1..=5 {
            bed.write(&Written::running(job).started(-120.0)).await;
        }
        let mut store = bed.store(Action::Fail);
        let seen = snapshot(&mut store).await;
        assert_eq!(
            kept_at_each_repair(&bed, &mut store, &seen, &[1, 2, 3]).await,
            [0, 0, 2]
        );
        bed.sql("CREATE TABLE public.refusing ()").await;
        let kept = kept_at_each_repair(&bed, &mut store, &seen, &[4, 5]).await;
        assert_eq!(kept, [0, 0], "{refusal}: nothing is kept on that connection any more");
    }
}

/// What an ordinary pass costs in statements, by the server's own log: one more shows here.
#[tokio::test]
async fn an_ordinary_pass_runs_ten_statements() {
    // The first six in one message.
    const ALL: [&str; 5] = [
        "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = 10000; SET LOCAL lock_timeout = 5000; \
         SET LOCAL idle_in_transaction_session_timeout = 10000; SET LOCAL jit = off; SET LOCAL search_path = pg_catalog, pg_temp",
        "/* beatwarden: moment */",
        "/* beatwarden: observe tail */",
        "/* beatwarden: ledger probe */",
        "COMMIT",
    ];
    let bed = PostgresBed::new().await;
    bed.sql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET log_min_duration_statement = 0', current_database()); END $$",
    )
    .await;
    bed.write(&Written::running(1)).await;
    let mut store = bed.store_by(Action::Fail, DiscoverySetting::KeyTail);
    // A ledger, and statements that are kept.
    passes(&mut store, 1, &["1"]).await;
    store.prepare_ledger().await.unwrap();
    passes(&mut store, 4, &["1"]).await;
    let sessions = "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let sessions: String = bed.session().await.query_one(sessions, &[]).await.unwrap().get(0);
    let statements = || -> Vec<String> {
        let log = shared().log();
        let is_ours = |line: &&str| {
            sessions
                .split(' ')
                .any(|pid| line.contains(&format!("[{pid}] LOG:  duration: ")))
        };
        let run = log.lines().filter(is_ours).filter_map(|line| line.split_once(" ms  "));
        let run = run.filter(|(_, rest)| rest.starts_with("execute ") || rest.starts_with("statement: "));
        run.map(|(_, rest)| rest.split_once(": ").unwrap().1.to_owned())
            .collect()
    };
    let before = statements().len();
    passes(&mut store, 1, &["1"]).await;
    assert_eq!(statements().split_off(before), ALL);
}

/// However far the server is away: a row is locked for none of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_takes_one_round_trip() {
    const WAY: Duration = Duration::from_millis(100);
    let bed = PostgresBed::new().await;
    for job in 1..=4 {
        bed.write(&Written::running(job).started(-120.0)).await;
    }
    let proxy = Proxy::start(bed.port()).await;
    let mut store = bed.store_through(proxy.address, Action::Fail);
    let seen = snapshot(&mut store).await;
    // The first one connects.
    assert!(matches!(
        repair(&mut store, &repair_of(&seen, 1, Action::Fail)).await,
        Outcome::Repaired(_)
    ));
    proxy.faults.delay(WAY);
    let mut quickest = Duration::MAX;
    for job in 2..=4 {
        let began = Instant::now();
        let outcome = store.repair(&repair_of(&seen, job, Action::Fail)).await;
        assert!(matches!(outcome, Outcome::Repaired(_)), "{outcome:?}");
        quickest = quickest.min(began.elapsed());
    }
    let round_trips = quickest.as_secs_f64() / (WAY * 2).as_secs_f64();
    assert!((1.0..2.0).contains(&round_trips), "{round_trips} round trips");
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
        runs.observe(&look(Coverage::Full)).await.ok()
    })
    .await;
    for _ in 0..6 {
        for (store, expected) in [(&mut runs, "1"), (&mut others, "7")] {
            let said = passes(store, 1, &[expected]).await;
            assert!(said.starts_with("no, "), "{said}");
        }
    }
}
