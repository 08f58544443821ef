//! Least privilege: what `grants` gives for each action, as a matrix of statements and roles, each with its exact SQLSTATE, on
//! the oldest and the newest PostgreSQL; and what the commands do and say under each of the roles.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod endings;
mod hardened;
mod ledgers;
mod owners;
mod planted;
mod sidecar;
mod surroundings;
mod whose_code;

use crate::support::{
    Session,
    beatwarden::{run, words},
    postgres::{Cluster, TestDatabase, connect, shared},
    runs::TABLE,
};

/// The job table with three dead jobs, and a table that is no one's business.
fn tables() -> String {
    let others = "CREATE TABLE customers (id integer);
        INSERT INTO runs (id, job_name, state, started_at, payload)
        SELECT i, 'job ' || i, 'RUNNING', now() AT TIME ZONE 'UTC' - interval '10 min', '{\"customer\": 1}' FROM generate_series(1, 3) AS i";
    format!("{TABLE}; {others}")
}

const ACTIONS: [&str; 3] = ["observe", "backfill", "fail"];
const YES: &str = "";
/// insufficient_privilege
const NO: &str = "42501";

/// A statement, and what each of the three roles gets for it.
const MATRIX: &[(&str, [&str; 3])] = &[
    // What a pass reads.
    ("SELECT id, job_name, state, started_at, ended_at, last_heartbeat_at FROM runs", [YES, YES, YES]),
    ("SELECT count(*) FROM runs", [YES, YES, YES]),
    // The error text is added to what is there, so `fail` has to read it; the others must not.
    ("SELECT payload FROM runs", [NO, NO, YES]),
    ("SELECT id FROM runs WHERE payload LIKE '%customer%'", [NO, NO, YES]),
    ("SELECT payload_flags FROM runs", [NO, NO, NO]),
    ("SELECT trigger FROM runs", [NO, NO, NO]),
    ("SELECT * FROM runs", [NO, NO, NO]),
    ("SELECT runs FROM runs", [NO, NO, NO]),
    ("SELECT to_jsonb(runs) FROM runs", [NO, NO, NO]),
    ("COPY runs TO STDOUT", [NO, NO, NO]),
    ("CREATE TEMPORARY TABLE seen AS SELECT payload FROM runs", [NO, NO, YES]),
    ("UPDATE runs SET last_heartbeat_at = started_at WHERE payload LIKE '{%'", [NO, NO, NO]),
    ("UPDATE runs SET last_heartbeat_at = started_at WHERE id = 1 RETURNING payload", [NO, NO, NO]),
    ("CREATE FUNCTION pg_temp.seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''%'', NEW; END';
      CREATE TRIGGER seen BEFORE UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION pg_temp.seen()", [NO, NO, NO]),
    ("CREATE RULE seen AS ON UPDATE TO runs DO ALSO SELECT 1", [NO, NO, NO]),
    ("CREATE POLICY seen ON runs USING (true)", [NO, NO, NO]),
    // What a repair writes.
    ("UPDATE runs SET last_heartbeat_at = started_at WHERE id = 1", [NO, YES, NO]),
    ("UPDATE runs SET state = 'FAIL', ended_at = now(), payload = '{}' WHERE id = 1", [NO, NO, YES]),
    ("UPDATE runs SET state = 'FAIL' WHERE id = 1", [NO, NO, YES]),
    ("SELECT id FROM runs WHERE id = 1 FOR NO KEY UPDATE SKIP LOCKED", [NO, YES, YES]),
    ("UPDATE runs SET id = 9 WHERE id = 1", [NO, NO, NO]),
    ("UPDATE runs SET job_name = 'x' WHERE id = 1", [NO, NO, NO]),
    ("UPDATE runs SET started_at = now() WHERE id = 1", [NO, NO, NO]),
    ("UPDATE runs SET run_id = NULL WHERE id = 1", [NO, NO, NO]),
    // What no one needs.
    ("INSERT INTO runs (id) VALUES (99)", [NO, NO, NO]),
    ("DELETE FROM runs", [NO, NO, NO]),
    ("TRUNCATE runs", [NO, NO, NO]),
    ("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE", [NO, NO, NO]),
    ("LOCK TABLE runs IN SHARE MODE", [NO, NO, NO]),
    ("GRANT SELECT ON runs TO PUBLIC", [NO, NO, NO]),
    ("SET ROLE postgres", [NO, NO, NO]),
    ("ALTER TABLE runs ADD COLUMN x integer", [NO, NO, NO]),
    ("CREATE INDEX ON runs (state)", [NO, NO, NO]),
    ("DROP TABLE runs", [NO, NO, NO]),
    ("ALTER TABLE runs DISABLE TRIGGER ALL", [NO, NO, NO]),
    // The ledger: written once, noted later, never taken back.
    ("SELECT * FROM beatwarden_repairs", [NO, YES, YES]),
    (
        "INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, reason, action, instance, repaired_at, before, after, version)
         VALUES (gen_random_uuid(), 'w', 't', '1', 'missed_first', 'fail', 'i', now(), '{}', '{}', 2)",
        [NO, YES, YES],
    ),
    ("UPDATE beatwarden_repairs SET outcome = 'false_repair', outcome_at = now(), acknowledged_at = now()", [NO, YES, YES]),
    ("UPDATE beatwarden_repairs SET before = NULL", [NO, NO, NO]),
    ("UPDATE beatwarden_repairs SET repaired_at = now()", [NO, NO, NO]),
    ("DELETE FROM beatwarden_repairs", [NO, NO, NO]),
    ("TRUNCATE beatwarden_repairs", [NO, NO, NO]),
    ("DROP TABLE beatwarden_repairs", [NO, NO, NO]),
    // The rest of the database and of the server.
    ("SELECT * FROM customers", [NO, NO, NO]),
    ("CREATE TABLE public.mine (id integer)", [NO, NO, NO]),
    ("CREATE SCHEMA mine", [NO, NO, NO]),
    ("CREATE ROLE mine", [NO, NO, NO]),
    ("SET log_statement = 'all'", [NO, NO, NO]),
    ("SELECT rolpassword FROM pg_authid", [NO, NO, NO]),
    ("SELECT pg_read_file('postgresql.conf')", [NO, NO, NO]),
    ("COPY (SELECT 1) TO PROGRAM 'true'", [NO, NO, NO]),
    ("SELECT pg_terminate_backend((SELECT min(pid) FROM pg_stat_activity WHERE usename = 'postgres'))", [NO, NO, NO]),
];

/// A role for each action, made by the SQL of `grants`, run by the owner.
async fn roles(database: &TestDatabase) -> Vec<String> {
    let owner = database.client().await;
    let mut urls = Vec::new();
    let name = database.url.rsplit('/').next().unwrap();
    for action in ACTIONS {
        let role = format!("{action}_of_{name}");
        let (status, sql, log) = run(&words(&format!(
            "grants --database {} --preset meltano --missed-first {action} --role {role}",
            database.url
        )));
        assert!(status.success(), "{log}");
        owner.run(&format!("CREATE ROLE {role} LOGIN; {sql}")).await;
        urls.push(database.url.replacen("postgres@", &format!("{role}@"), 1));
    }
    urls
}

/// Refused or not, no one may learn the payload from what the server remembers of it: statistics have no error to give.
async fn statistics_show_no_payload(url: &str, role: usize) {
    let client = connect(url).await;
    let seen = client
        .query(
            "SELECT FROM pg_stats WHERE tablename = 'runs' AND attname = 'payload'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(!seen.is_empty(), ACTIONS[role] == "fail", "{}", ACTIONS[role]);
}

async fn matrix(database: &TestDatabase) {
    database.client().await.run(&tables()).await;
    database.client().await.run("ANALYZE runs").await;
    let urls = roles(database).await;
    let mut wrong = Vec::new();
    for (role, url) in urls.iter().enumerate() {
        statistics_show_no_payload(url, role).await;
        let client = connect(url).await;
        for (statement, wanted) in MATRIX {
            client.run("BEGIN").await;
            let code = match client.batch_execute(statement).await {
                Ok(()) => String::new(),
                Err(error) => error.code().map_or("no SQLSTATE", |code| code.code()).to_owned(),
            };
            client.run("ROLLBACK").await;
            if code != wanted[role] {
                wrong.push(format!(
                    "{}: {statement}: {code:?}, not {:?}",
                    ACTIONS[role], wanted[role]
                ));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_may_do_what_its_action_needs_and_nothing_else() {
    matrix(&shared().database().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_postgresql_gives_and_refuses_the_same() {
    let cluster = Cluster::start_18();
    matrix(&cluster.database().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_or_are_refused_with_words_under_each_role() {
    let (database, owner) = shared().database_with(&tables()).await;
    let urls = roles(&database).await;
    let command = |role: usize, arguments: &[&str]| {
        let common = [
            "--database",
            &urls[role],
            "--preset",
            "meltano",
            "--missed-first",
            ACTIONS[role],
            "--listen",
            "127.0.0.1:1",
        ];
        let (status, out, log) = run(&[arguments, &common].concat());
        (status.code().unwrap(), format!("{out}{log}"))
    };
    let repair_ids = async || {
        let rows = owner
            .query("SELECT repair_id::text FROM beatwarden_repairs WHERE reason = 'missed_first' ORDER BY repaired_at DESC", &[])
            .await
            .unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>()
    };
    let (observe, backfill, fail) = (0, 1, 2);

    for role in [observe, backfill, fail] {
        let (code, said) = command(role, &["check"]);
        assert_eq!(code, 0, "{}: {said}", ACTIONS[role]);
        let (code, said) = command(role, &["explain", "1"]);
        assert_eq!((code, said.contains("job 1 of watch meltano")), (0, true), "{said}");
        let unread = said.contains("not known: reading the ledger: permission denied");
        assert_eq!(unread, role == observe, "{said}");
        let (code, said) = command(role, &["guard", "status"]);
        assert_eq!((code, said.contains("guard on runs is missing")), (1, true), "{said}");
        let (code, said) = command(role, &["guard", "install"]);
        assert_eq!((code, said.contains("owner")), (1, true), "{said}");
    }

    let (code, said) = command(observe, &["repair", "--now", "--yes", "--action", "fail", "--job", "1"]);
    assert_eq!((code, said.contains("GRANT ")), (1, true), "{said}");
    assert_eq!(repair_ids().await, Vec::<String>::new());
    let (code, said) = command(backfill, &["repair", "--now", "--yes", "--job", "1"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = command(
        backfill,
        &["repair", "--now", "--yes", "--action", "fail", "--job", "2"],
    );
    assert_eq!((code, said.contains("GRANT ")), (1, true), "{said}");
    let (code, said) = command(fail, &["repair", "--now", "--yes", "--job", "2"]);
    assert_eq!(code, 0, "{said}");

    let [failed, filled] = <[String; 2]>::try_from(repair_ids().await).unwrap();
    let (code, said) = command(observe, &["history"]);
    assert_eq!((code, said.contains("see `beatwarden grants`")), (1, true), "{said}");
    for role in [backfill, fail] {
        let (code, said) = command(role, &["history"]);
        assert_eq!((code, said.contains(&failed)), (0, true), "{said}");
    }
    let (code, said) = command(fail, &["ack", "--fuse"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = command(backfill, &["undo", &failed]);
    assert_eq!(
        (code, said.contains("42501") || said.contains("may not")),
        (1, true),
        "{said}"
    );
    let (code, said) = command(fail, &["undo", &failed]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = command(backfill, &["undo", &filled]);
    assert_eq!(code, 0, "{said}");
    let rows = owner
        .query(
            "SELECT state, last_heartbeat_at IS NULL, payload FROM runs ORDER BY id",
            &[],
        )
        .await
        .unwrap();
    for row in rows {
        assert_eq!(
            (row.get::<_, &str>(0), row.get::<_, bool>(1), row.get::<_, &str>(2)),
            ("RUNNING", true, "{\"customer\": 1}")
        );
    }
}
