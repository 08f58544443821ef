//! The guard with the real binary: what it writes and what it leaves alone, that it fails open, how it is installed beside
//! busy writers, and what reports when it is gone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod neighbours;
mod owners;

use crate::support::{
    Session,
    beatwarden::{Beatwarden, run, words},
    eventually,
    pooler::Pooler,
    postgres::{self, Cluster, TestDatabase},
    runs,
    table::Table,
    written,
};
use std::{fs, process::Stdio, time::Duration};

const SOON: Duration = Duration::from_secs(20);

crate::support::on_both!(
    a_job_that_becomes_running_gets_its_heartbeat_and_nothing_else_is_touched,
    it_is_installed_inspected_fixed_and_removed,
    the_sql_that_is_printed_does_the_same,
    a_guarded_job_that_dies_is_still_recognised,
    a_watchdog_notices_when_the_guard_vanishes,
    the_index_makes_the_poll_cheap_and_is_built_once,
);

/// A row's heartbeat: none, that of the start, or its own.
async fn heartbeat(table: &Table, id: u32) -> String {
    let query = format!(
        "SELECT CASE WHEN last_heartbeat_at IS NULL THEN 'none' WHEN last_heartbeat_at = started_at THEN 'start' ELSE 'own' END \
         FROM runs WHERE id = {id}"
    );
    table.one(&query).await.expect("the row is there")
}

fn ok(table: &Table, arguments: &[&str]) -> String {
    let (code, said, complaint) = table.run(arguments);
    assert_eq!(code, 0, "{arguments:?}: {said}{complaint}");
    said
}

fn server(table: &Table) -> (&TestDatabase, &tokio_postgres::Client) {
    match table {
        Table::Server(database, client) => (database, client),
        Table::File(_) => panic!("this test is about a server"),
    }
}

async fn a_job_that_becomes_running_gets_its_heartbeat_and_nothing_else_is_touched(table: Table) {
    table.job(1, "from before", 6, None).await;
    ok(&table, &["guard", "install"]);
    let time = "'2026-11-01 10:00:00.123456'";
    // One statement can bring several rows; a job can come to run by a change, end, and run again.
    for statement in [
        format!("INSERT INTO runs (id, state, started_at) VALUES (2, 'RUNNING', {time}), (8, 'RUNNING', {time})"),
        "INSERT INTO runs (id, state) VALUES (3, 'IDLE')".to_owned(),
        format!("UPDATE runs SET state = 'RUNNING', started_at = {time} WHERE id = 3"),
        format!(
            "INSERT INTO runs (id, state, started_at, last_heartbeat_at) VALUES (4, 'RUNNING', {time}, '2026-11-01 10:00:05')"
        ),
        format!("INSERT INTO runs (id, state, started_at) VALUES (5, 'SUCCESS', {time})"),
        "INSERT INTO runs (id, state) VALUES (6, 'RUNNING')".to_owned(),
        format!("INSERT INTO runs (id, state, started_at) VALUES (7, NULL, {time}), (10, 'FAIL', {time})"),
        "UPDATE runs SET state = 'RUNNING' WHERE id IN (7, 10)".to_owned(),
    ] {
        table.sql(&statement).await;
    }
    let expected = [
        (1, "none"),
        (2, "start"),
        (3, "start"),
        (4, "own"),
        (5, "none"),
        (6, "none"),
        (7, "start"),
        (8, "start"),
        (10, "start"),
    ];
    for (id, expected) in expected {
        assert_eq!(heartbeat(&table, id).await, expected, "job {id}");
    }
    // A beat is left as it is, a heartbeat that is taken back too, and a row from before is no newcomer by a new write.
    table
        .sql("UPDATE runs SET last_heartbeat_at = '2026-11-01 10:00:09' WHERE id = 2")
        .await;
    table.sql("UPDATE runs SET last_heartbeat_at = NULL WHERE id = 3").await;
    table
        .sql("UPDATE runs SET state = 'RUNNING', payload = 'x' WHERE id = 1")
        .await;
    for (id, expected) in [(2, "own"), (3, "none"), (1, "none")] {
        assert_eq!(heartbeat(&table, id).await, expected, "job {id}");
    }
    ok(&table, &["guard", "remove"]);
    let after = format!("INSERT INTO runs (id, state, started_at) VALUES (11, 'RUNNING', {time})");
    table.sql(&after).await;
    for (id, expected) in [(11, "none"), (8, "start"), (1, "none")] {
        assert_eq!(
            heartbeat(&table, id).await,
            expected,
            "removed, and none rewritten: job {id}"
        );
    }
}

/// What spoils a guard, and the word for it.
fn spoiling(table: &Table) -> &'static [(&'static str, &'static str)] {
    match table {
        Table::File(_) => &[
            ("DROP TRIGGER beatwarden_guard_insert_runs", "altered"),
            (
                "DROP TRIGGER beatwarden_guard_update_runs;
                 CREATE TRIGGER beatwarden_guard_update_runs AFTER UPDATE ON runs BEGIN SELECT 1; END",
                "altered",
            ),
        ],
        Table::Server(..) => &[
            ("ALTER TABLE runs DISABLE TRIGGER zz_beatwarden_guard", "disabled"),
            (
                "CREATE OR REPLACE FUNCTION beatwarden_guard_runs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
                "altered",
            ),
            ("DROP TRIGGER zz_beatwarden_guard_start ON runs", "altered"),
            (
                "DROP TRIGGER zz_beatwarden_guard_start ON runs; CREATE TRIGGER zz_beatwarden_guard_start
                    AFTER UPDATE OF payload ON runs FOR EACH ROW EXECUTE FUNCTION beatwarden_guard_runs()",
                "altered",
            ),
            (
                "DROP TRIGGER zz_beatwarden_guard ON runs; CREATE TRIGGER zz_beatwarden_guard
                    BEFORE INSERT OR UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION beatwarden_guard_runs()",
                "altered",
            ),
        ],
    }
}

async fn it_is_installed_inspected_fixed_and_removed(table: Table) {
    let status = |expected: i32, word: &str| {
        let (code, said, complaint) = table.run(&["guard", "status"]);
        assert_eq!(code, expected, "{said}{complaint}");
        assert!(said.contains(word), "{said}");
        let (_, check, _) = table.run(&["check"]);
        let line = check.lines().find(|line| line.contains("guard: "));
        line.unwrap_or_else(|| panic!("{check}")).to_owned()
    };
    assert!(status(1, "is missing").contains("note guard: not installed"));
    ok(&table, &["guard", "install"]);
    assert!(status(0, "installed and sound").contains("ok   guard: installed and sound"));
    ok(&table, &["guard", "install"]);
    for (change, word) in spoiling(&table) {
        table.sql(change).await;
        assert!(status(1, word).contains(&format!("FAIL guard: {word}")), "{change}");
        ok(&table, &["guard", "install"]);
        status(0, "installed and sound");
    }
    assert_eq!(table.json(&["guard", "status"])["guard"], "installed");
    ok(&table, &["guard", "remove"]);
    status(1, "is missing");
    ok(&table, &["guard", "remove"]);
}

async fn the_sql_that_is_printed_does_the_same(table: Table) {
    let install = ok(&table, &["guard", "install", "--print"]);
    assert_eq!(table.run(&["guard", "status"]).0, 1, "printing changes nothing");
    table.sql(&install).await;
    assert_eq!(table.run(&["guard", "status"]).0, 0, "{install}");
    let remove = ok(&table, &["guard", "remove", "--print"]);
    table.sql(&remove).await;
    assert!(table.run(&["guard", "status"]).1.contains("is missing"), "{remove}");
    let index = ok(&table, &["guard", "install", "--index", "--print"]);
    assert!(!index.contains("heartbeat_at"), "{index}");
    let statement: Vec<&str> = index.lines().filter(|line| !line.starts_with("--")).collect();
    table.sql(&statement.join("\n")).await;
}

async fn a_guarded_job_that_dies_is_still_recognised(table: Table) {
    ok(&table, &["guard", "install"]);
    let url = table.url();
    let watch = async |action: &str| {
        let rules = words("--poll-interval 100ms --init-deadline 2s --heartbeat-timeout 3s");
        let what = ["--database", &url, "--preset", "meltano", "--missed-first", action];
        Beatwarden::watch(&[&what[..], &rules[..]].concat()).await
    };
    let dog = watch("backfill").await;
    dog.metric_becomes("guard_installed{watch=\"meltano\"}", 1.0, SOON)
        .await;
    table.job(1, "orders", 0, None).await;
    assert_eq!(heartbeat(&table, 1).await, "start");
    for (series, value) in [
        ("withheld_repairs{cause=\"awaiting_writer\",watch=\"meltano\"}", 1.0),
        ("stuck_jobs{reason=\"missed_first\",watch=\"meltano\"}", 1.0),
        ("job_init_failures_total{watch=\"meltano\"}", 1.0),
        (
            "repairs_total{action=\"backfill\",reason=\"missed_first\",watch=\"meltano\"}",
            0.0,
        ),
    ] {
        dog.metric_becomes(series, value, SOON).await;
    }
    assert!(dog.stop().success());
    let dog = watch("fail").await;
    dog.metric_becomes(
        "repairs_total{action=\"fail\",reason=\"missed_first\",watch=\"meltano\"}",
        1.0,
        SOON,
    )
    .await;
    assert_eq!(
        table.one("SELECT state FROM runs WHERE id = 1").await.as_deref(),
        Some("FAIL")
    );
}

async fn a_watchdog_notices_when_the_guard_vanishes(table: Table) {
    ok(&table, &["guard", "install"]);
    let url = table.url();
    let dog = Beatwarden::watch(&["--database", &url, "--preset", "meltano", "--poll-interval", "100ms"]).await;
    dog.metric_becomes("guard_installed{watch=\"meltano\"}", 1.0, SOON)
        .await;
    match &table {
        // What a migration does that creates the table again.
        Table::File(_) => {
            let schema =
                include_str!("../../src/demo/schema.sql").replace("CREATE TABLE runs", "CREATE TABLE new_runs");
            let again = "INSERT INTO new_runs SELECT * FROM runs; DROP TABLE runs; ALTER TABLE new_runs RENAME TO runs";
            table.sql(&format!("BEGIN; {schema}; {again}; COMMIT")).await;
        }
        Table::Server(..) => {
            table.sql("DROP TRIGGER zz_beatwarden_guard ON runs").await;
            table.sql("DROP TRIGGER zz_beatwarden_guard_start ON runs").await;
        }
    }
    dog.metric_becomes("guard_installed{watch=\"meltano\"}", 0.0, SOON)
        .await;
    dog.metric_becomes("up{watch=\"meltano\"}", 1.0, SOON).await;
    dog.says("the guard is not what it was", SOON).await;
    ok(&table, &["guard", "install"]);
    dog.metric_becomes("guard_installed{watch=\"meltano\"}", 1.0, SOON)
        .await;
}

async fn the_index_makes_the_poll_cheap_and_is_built_once(table: Table) {
    let many = match &table {
        Table::File(_) => {
            "INSERT INTO runs (id, state) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             SELECT i, 'SUCCESS' FROM n"
        }
        Table::Server(..) => "INSERT INTO runs (id, state) SELECT i, 'SUCCESS' FROM generate_series(1, 20000) AS i; ANALYZE runs",
    };
    table.sql(many).await;
    assert!(ok(&table, &["check"]).contains("poll: scans the table"));
    ok(&table, &["guard", "install", "--index"]);
    assert!(ok(&table, &["check"]).contains("poll: finds running jobs by an index"));
    ok(&table, &["guard", "install", "--index"]);
    let count = match &table {
        Table::File(_) => "SELECT count(*) FROM pragma_index_list('runs')",
        Table::Server(..) => "SELECT count(*) FROM pg_indexes WHERE tablename = 'runs' AND indexname <> 'runs_pkey'",
    };
    assert_eq!(table.one(count).await.as_deref(), Some("1"));
    assert_eq!(table.run(&["guard", "status"]).0, 1, "the trigger is another matter");
}

/// What goes wrong inside the function must not make the writer's statement fail.
#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_it_fails_open() {
    let breaks = [
        "ALTER TABLE runs RENAME COLUMN last_heartbeat_at TO beat",
        "ALTER TABLE runs RENAME COLUMN state TO status",
        "ALTER TABLE runs RENAME COLUMN started_at TO began",
        "ALTER TABLE runs DROP COLUMN last_heartbeat_at",
        "ALTER TABLE runs DROP COLUMN started_at",
        "ALTER TABLE runs ALTER COLUMN last_heartbeat_at TYPE integer USING NULL",
        "ALTER TABLE runs ALTER COLUMN started_at TYPE boolean USING NULL",
        "ALTER TABLE runs ALTER COLUMN last_heartbeat_at TYPE varchar(3) USING NULL",
        "ALTER TABLE runs RENAME TO jobs; CREATE VIEW runs AS SELECT * FROM jobs",
    ];
    for change in breaks {
        let table = Table::server().await;
        ok(&table, &["guard", "install"]);
        table.sql(change).await;
        let state = if change.contains("TO status") {
            "status"
        } else {
            "state"
        };
        let start = if change.contains("TYPE varchar") {
            ", started_at"
        } else {
            ""
        };
        let value = if start.is_empty() { "" } else { ", now()" };
        table
            .sql(&format!(
                "INSERT INTO runs (id, {state}{start}) VALUES (1, 'RUNNING'{value})"
            ))
            .await;
        table.sql(&format!("UPDATE runs SET {state} = 'IDLE'")).await;
        table.sql(&format!("UPDATE runs SET {state} = 'RUNNING'")).await;
        let query = format!("SELECT {state} FROM runs WHERE id = 1");
        assert_eq!(table.one(&query).await.as_deref(), Some("RUNNING"), "{change}");
    }
}

/// A column that can't be changed while the guard is there: `check` says so before, and removing it is enough.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_of_a_migration_is_said_before() {
    let table = Table::server().await;
    ok(&table, &["guard", "install"]);
    assert!(ok(&table, &["check"]).contains("remove it before a migration that changes or drops the state column"));
    let (_, client) = server(&table);
    let migration = "ALTER TABLE runs ALTER COLUMN state TYPE text";
    assert!(client.batch_execute(migration).await.is_err());
    ok(&table, &["guard", "remove"]);
    client.run(migration).await;
}

/// SQLite has no handler inside a trigger: what happens is said in docs/guard.md, and stays so.
#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_a_rename_is_followed_and_dropping_the_column_is_refused() {
    let table = Table::file();
    ok(&table, &["guard", "install"]);
    table
        .sql("ALTER TABLE runs RENAME COLUMN last_heartbeat_at TO beat")
        .await;
    table
        .sql("INSERT INTO runs (id, state, started_at) VALUES (1, 'RUNNING', '2026-11-01 10:00:00')")
        .await;
    assert_eq!(
        table.one("SELECT beat FROM runs").await.as_deref(),
        Some("2026-11-01 10:00:00")
    );
    let Table::File(folder) = &table else {
        panic!("this test is about a file")
    };
    let connection = rusqlite::Connection::open(folder.path().join("jobs.db")).unwrap();
    let refused = connection
        .execute_batch("ALTER TABLE runs DROP COLUMN beat")
        .unwrap_err();
    assert!(refused.to_string().contains("beatwarden_guard"), "{refused}");
}

/// Quoted names, an enum, a schema, and start and heartbeat of different types.
#[tokio::test(flavor = "multi_thread")]
async fn any_mapped_table_can_be_guarded() {
    let database = postgres::shared().database().await;
    let client = database.client().await;
    let table = r#"
        DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Kolkata''', current_database()); END $$;
        CREATE SCHEMA ops; CREATE TYPE ops.st AS ENUM ('queued', 'working', 'it''s \ odd', 'crashed');
        CREATE TABLE ops."Back""Jobs" ("jobId" uuid PRIMARY KEY, st ops.st, "startedAt" timestamp, beat timestamptz)"#;
    client.run(table).await;
    let text = r#"
        [[watch]]
        name = 'shop'
        database = 'URL'
        [watch.table]
        name = 'ops.Back"Jobs'
        id = 'jobId'
        state = 'st'
        running = ['working', "it's \\ odd"]
        failure = ['crashed']
        waiting = ['queued']
        started_at = 'startedAt'
        last_heartbeat_at = 'beat'
        time_zone = 'Europe/Berlin'"#;
    let (_folder, file) = written("shop.toml", text.replace("URL", &database.url));
    let guard = |verb: &[&str]| {
        let (status, said, complaint) = run(&[&["guard"], verb, &["--config", file.to_str().unwrap()]].concat());
        assert!(status.success(), "{verb:?}: {said}{complaint}");
    };
    guard(&["install"]);
    let client = database.client().await;
    let insert = r#"INSERT INTO ops."Back""Jobs" VALUES (gen_random_uuid(), 'it''s \ odd', '2026-07-01 12:00', NULL)"#;
    client.run(insert).await;
    let beat = r#"SELECT (beat AT TIME ZONE 'UTC')::text FROM ops."Back""Jobs""#;
    let beat: String = client.query_one(beat, &[]).await.unwrap().get(0);
    assert_eq!(beat, "2026-07-01 10:00:00", "noon in Berlin");
    guard(&["status"]);
    guard(&["install", "--index"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_it_says_so_and_leaves_nothing() {
    let table = Table::server().await;
    let (database, client) = server(&table);
    let name = database.url.rsplit('/').next().unwrap();
    let role = format!("bystander_{name}");
    let rights =
        format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON runs TO {role}; GRANT CREATE ON SCHEMA public TO {role}");
    client.run(&rights).await;
    let url = postgres::shared().url(&role, name);
    let (status, _, complaint) = run(&["guard", "install", "--database", &url, "--preset", "meltano"]);
    assert!(status.code() == Some(1) && complaint.contains("42501"), "{complaint}");
    let left = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'beatwarden%'";
    assert_eq!(table.one(left).await.as_deref(), Some("0"));
    client.run("CREATE VIEW seen AS SELECT * FROM runs").await;
    let text = format!(
        "[[watch]]\nname = 'v'\ndatabase = '{}'\npreset = 'meltano'\ntable.name = 'seen'\n",
        database.url
    );
    let (_folder, file) = written("view.toml", text);
    let (status, _, complaint) = run(&["guard", "install", "--config", file.to_str().unwrap()]);
    assert!(
        status.code() == Some(1) && complaint.contains("is a view"),
        "{complaint}"
    );
}

/// While a transaction holds the table, the installer comes again and again, and beats continue.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_installed_beside_a_long_transaction_without_stalling_beats() {
    let table = Table::server().await;
    table.jobs([1, 2], "orders", 6, Some(1)).await;
    let (database, client) = server(&table);
    let holder = database.client().await;
    for verb in ["install", "remove"] {
        holder.run("BEGIN; UPDATE runs SET payload = 'x' WHERE id = 2").await;
        let folder = tempfile::tempdir().unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut child = table
            .command(folder.path(), &["guard", verb])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let said = || fs::read_to_string(folder.path().join("log")).unwrap();
        eventually("it had to come again", SOON, async || {
            said().contains("(try 2)").then_some(())
        })
        .await;
        // A beat that had to queue behind the installer for longer than its lock_timeout would fail here.
        client.run("SET lock_timeout = '2s'").await;
        for _ in 0..20 {
            client
                .run("UPDATE runs SET last_heartbeat_at = now() WHERE id = 1")
                .await;
        }
        assert!(child.try_wait().unwrap().is_none(), "still waiting: {}", said());
        holder.run("COMMIT").await;
        assert!(child.wait().unwrap().success(), "{}", said());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_refused_beside_long_transactions_and_fixed_where_it_is_invalid() {
    let cluster = Cluster::start_own();
    let (database, client) = cluster.database_with(runs::TABLE).await;
    let build = |url: &str| run(&["guard", "install", "--index", "--database", url, "--preset", "meltano"]);
    let old = database.client().await;
    let long = "BEGIN; SET LOCAL application_name = 'nightly'; SELECT pg_sleep(6)";
    old.run(long).await;
    let (status, _, complaint) = build(&database.url);
    assert_eq!(status.code(), Some(1), "{complaint}");
    assert!(
        complaint.contains("(nightly)") && complaint.contains("wait for them"),
        "{complaint}"
    );
    old.run("COMMIT").await;

    // A leftover of a build that was broken off.
    for statement in [
        "CREATE INDEX beatwarden_running_runs ON runs (id) WHERE state IN ('RUNNING')",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'beatwarden_running_runs'::regclass",
    ] {
        client.run(statement).await;
    }
    let (status, said, complaint) = build(&database.url);
    assert!(status.success(), "{said}{complaint}");
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'beatwarden_running_runs'::regclass";
    assert!(client.query_one(valid, &[]).await.unwrap().get::<_, bool>(0));

    let folder = tempfile::tempdir().unwrap();
    let (_pooler, port) = Pooler::start(&cluster, folder.path());
    let name = database.url.rsplit('/').next().unwrap();
    let through = format!("postgres://postgres@127.0.0.1:{port}/{name}");
    eventually("the pooler listens", SOON, async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
    })
    .await;
    client.run("DROP INDEX beatwarden_running_runs").await;
    let (status, _, complaint) = build(&through);
    assert!(status.code() == Some(1) && complaint.contains("pooler"), "{complaint}");
    let (status, said, complaint) = run(&["guard", "install", "--database", &through, "--preset", "meltano"]);
    assert!(status.success(), "the trigger needs no session: {said}{complaint}");
}

#[test]
fn a_guard_needs_a_verb() {
    assert_eq!(run(&["guard"]).0.code(), Some(2));
}
