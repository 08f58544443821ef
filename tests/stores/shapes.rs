//! Tables that are not Meltano's: names, keys, states and times of every promised kind, read and repaired.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    self, Session,
    postgres::{self, Cluster, TestDatabase},
    runs::{self, list, name},
    stores,
};
use beatwarden::{
    domain::{
        Access, Action, Cause, Coverage, Heartbeat, Job, JobId, Newcomers, Outcome, Phase, Repair, Snapshot,
        StartCheck, States, TimeValue,
    },
    mapping::Mapping,
    store::{Failure, ObserveRequest, Store, TimeBudget, TimeFormat, postgres::PostgresStore, sqlite::SqliteStore},
};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
const TOLERANCE: Duration = Duration::from_millis(5);

fn mapping(table: &str) -> Mapping {
    Mapping {
        watch: "jobs".into(),
        table: runs::table(table),
        job_name: None,
        states: States {
            running: list(&["running"]),
            success: list(&["done"]),
            failure: list(&["failed"]),
            waiting: list(&["pending"]),
            ..States::default()
        },
        started_at: name("started").into(),
        last_heartbeat_at: Some(name("beat").into()),
        ended_at: Some(name("ended")),
        error: None,
        born_running: false,
        ..runs::mapping()
    }
}

fn postgres_store(url: &str, mapping: Mapping, action: Action) -> PostgresStore {
    PostgresStore::new(stores::on_server(url, mapping, action))
}

async fn observe(store: &mut impl Store) -> Snapshot {
    let request = ObserveRequest::whole(Vec::new(), Coverage::Full);
    store
        .observe(&request)
        .await
        .unwrap_or_else(|error| panic!("{}", error.chain()))
}

fn job(snapshot: &Snapshot, id: &str) -> Job {
    let found = snapshot.rows.iter().find(|job| job.id.text() == id);
    found
        .unwrap_or_else(|| panic!("{id} is not among {:?}", snapshot.rows))
        .clone()
}

fn age(snapshot: &Snapshot, reading: TimeValue) -> f64 {
    snapshot.database_now.micros_since(reading.at().expect("a time")) as f64 / 1e6
}

/// Repairs a job by `action`, and returns the row as it is then.
async fn repaired(store: &mut impl Store, id: &str, action: Action) -> Job {
    let snapshot = observe(store).await;
    let repair = Repair {
        action: action.repairing().expect("an action that repairs"),
        job: job(&snapshot, id),
        reason: Phase::MissedFirst,
        deadline: DEADLINE,
        server: snapshot.server.clone(),
        start: StartCheck::Overdue,
        after_undo: None,
    };
    store
        .prepare_ledger()
        .await
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    let outcome = store.repair(&repair).await;
    assert!(matches!(outcome, Outcome::Repaired(_)), "{outcome:?}");
    let request = ObserveRequest::whole(vec![repair.job.id.clone()], Coverage::Ordinary);
    job(&store.observe(&request).await.unwrap(), id)
}

/// Reads, backfills one job and fails another, in a table with the columns of [`mapping`] where `one` and `two` are
/// running for ten minutes, `three` beat a second ago, and `four` is pending.
async fn read_and_repair(mut store: impl Store, mut failing: impl Store, keys: [&str; 4]) {
    let snapshot = observe(&mut store).await;
    assert_eq!(snapshot.obstacles, []);
    for key in &keys[..2] {
        let row = job(&snapshot, key);
        assert!((age(&snapshot, row.started_at) - 600.0).abs() < 5.0, "{row:?}");
        assert_eq!(row.heartbeat(TOLERANCE), Heartbeat::Absent);
    }
    let beating = job(&snapshot, keys[2]);
    assert!((age(&snapshot, beating.heartbeat_at) - 1.0).abs() < 5.0, "{beating:?}");
    assert!(
        !snapshot.rows.iter().any(|job| job.id.text() == keys[3]),
        "pending is not running"
    );

    let row = repaired(&mut store, keys[0], Action::Backfill).await;
    assert_eq!(row.heartbeat_at, row.started_at);
    assert_eq!(row.state.as_deref(), Some("running"));
    let row = repaired(&mut failing, keys[1], Action::Fail).await;
    assert_eq!(row.state.as_deref(), Some("failed"));
    let snapshot = observe(&mut store).await;
    assert!(age(&snapshot, row.ended_at).abs() < 5.0, "{row:?}");
    assert_eq!(row.heartbeat_at, TimeValue::ABSENT);
    assert_eq!(job(&snapshot, keys[2]), beating, "the neighbour");
    assert_eq!(snapshot.newest_repairs.len(), 2);
}

const UUIDS: [&str; 4] = [
    "00000000-0000-4000-8000-000000000001",
    "00000000-0000-4000-8000-000000000002",
    "00000000-0000-4000-8000-000000000003",
    "00000000-0000-4000-8000-000000000004",
];

async fn quoted_uuid_enum(database: TestDatabase) {
    let client = database.client().await;
    client
        .run(
            r#"CREATE SCHEMA "Work Space";
               CREATE TYPE "Work Space"."Job State" AS ENUM ('pending', 'running', 'done', 'failed');
               CREATE TABLE "Work Space"."Job.Runs" ("Id" uuid PRIMARY KEY, "The State" "Work Space"."Job State" NOT NULL,
                   "Started ""At""" timestamptz, "{{id}}" timestamptz, "Ended" timestamptz);"#,
        )
        .await;
    for (key, state, start, beat) in [
        (UUIDS[0], "running", "now() - interval '10 min'", "NULL"),
        (UUIDS[1], "running", "now() - interval '10 min'", "NULL"),
        (
            UUIDS[2],
            "running",
            "now() - interval '10 min'",
            "now() - interval '1 s'",
        ),
        (UUIDS[3], "pending", "NULL", "NULL"),
    ] {
        let insert = format!(r#"INSERT INTO "Work Space"."Job.Runs" VALUES ('{key}', '{state}', {start}, {beat})"#);
        client.run(&insert).await;
    }
    let mut mapping = mapping("Work Space.Job");
    mapping.table.name = name("Job.Runs");
    mapping.id = name("Id");
    mapping.state = name("The State");
    mapping.started_at = name("Started \"At\"").into();
    // A name that looks like a place in our own statements.
    mapping.last_heartbeat_at = Some(name("{{id}}").into());
    mapping.ended_at = Some(name("Ended"));
    let store = |action| postgres_store(&database.url, mapping.clone(), action);
    read_and_repair(store(Action::Backfill), store(Action::Fail), UUIDS).await;
    // A job goes from pending to running under our eyes.
    let start = format!(
        r#"UPDATE "Work Space"."Job.Runs" SET "The State" = 'running', "Started ""At""" = now() WHERE "Id" = '{}'"#,
        UUIDS[3]
    );
    client.run(&start).await;
    let snapshot = observe(&mut store(Action::Observe)).await;
    assert_eq!(job(&snapshot, UUIDS[3]).state.as_deref(), Some("running"));
    assert_eq!(snapshot.newcomers, Newcomers::Unseen, "a uuid doesn't grow");
}

#[tokio::test]
async fn quoted_names_a_uuid_key_an_enum_and_timestamptz() {
    quoted_uuid_enum(postgres::shared().database().await).await;
}

async fn bigint_epoch_millis(database: TestDatabase) {
    let client = database.client().await;
    client
        .run("CREATE TABLE jobs (id bigint PRIMARY KEY, state text, started bigint, beat bigint, ended bigint)")
        .await;
    let millis = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    client
        .run(&format!(
            "INSERT INTO jobs VALUES (9007199254740993, 'running', {millis} - 600000, NULL), (2, 'running', {millis} - 600000, NULL),
                (3, 'running', {millis} - 600000, {millis} - 1000), (4, 'pending', NULL, NULL)"
        ))
        .await;
    let mut mapping = mapping("jobs");
    mapping.time_format = TimeFormat::EpochMillis;
    let store = |action| postgres_store(&database.url, mapping.clone(), action);
    read_and_repair(
        store(Action::Backfill),
        store(Action::Fail),
        ["9007199254740993", "2", "3", "4"],
    )
    .await;
    let odd = "INSERT INTO jobs VALUES (10, 'running', 9223372036854775807, NULL), (11, 'running', -1, NULL)";
    client.run(odd).await;
    let snapshot = observe(&mut store(Action::Fail)).await;
    assert!(job(&snapshot, "10").is_unreadable() && job(&snapshot, "11").is_unreadable());
}

#[tokio::test]
async fn a_bigint_key_and_epoch_milliseconds() {
    bigint_epoch_millis(postgres::shared().database().await).await;
}

#[tokio::test]
async fn keys_of_every_type_are_read_and_a_row_without_one_is_counted() {
    let (database, client) = postgres::shared()
        .database_with("CREATE DOMAIN small AS smallint")
        .await;
    for (number, key) in [
        "smallint",
        "integer",
        "bigint",
        "numeric",
        "text",
        "varchar(9)",
        "small",
    ]
    .into_iter()
    .enumerate()
    {
        let table = format!("jobs_{number}");
        client
            .run(&format!(
                "CREATE TABLE {table} (id {key} UNIQUE, state varchar(7), started timestamp, beat timestamp, ended timestamp);
                 INSERT INTO {table} VALUES ('7', 'running', now() AT TIME ZONE 'UTC' - interval '10 min'), (NULL, 'running', now())"
            ))
            .await;
        for born_running in [false, true] {
            let mut store = postgres_store(
                &database.url,
                Mapping {
                    born_running,
                    ..mapping(&table)
                },
                Action::Observe,
            );
            let snapshot = observe(&mut store).await;
            assert_eq!(snapshot.rows.len(), 1, "{key}: {:?}", snapshot.rows);
            assert_eq!(snapshot.keyless, 1, "{key}");
            let row = job(&snapshot, "7");
            assert!((age(&snapshot, row.started_at) - 600.0).abs() < 5.0, "{key}: {row:?}");
            assert_eq!(row.id.number(), Some(7), "one text, one key");
        }
    }
}

/// What is read is what the guards compare, whichever side of the cut a name lies on, in characters or in bytes.
#[tokio::test]
async fn names_around_the_cut_are_read_as_their_guards_compare_them() {
    let (database, _client) = postgres::shared()
        .database_with(
            "CREATE TABLE jobs (id serial PRIMARY KEY, name text, state text, started timestamp, beat timestamp, ended timestamp);
             INSERT INTO jobs (name, state, started)
             SELECT repeat(letter, length), 'running', now() AT TIME ZONE 'UTC' - interval '10 min'
               FROM unnest(ARRAY['a', 'ä', '🦀']) AS letter, unnest(ARRAY[250, 500, 999, 1000, 1001, 4000]) AS length",
        )
        .await;
    let mut mapping = mapping("jobs");
    mapping.job_name = Some(name("name"));
    let mut store = postgres_store(&database.url, mapping, Action::Fail);
    for id in 1..=18 {
        let row = repaired(&mut store, &id.to_string(), Action::Fail).await;
        let length = row.name.as_deref().map(|name| name.chars().count());
        assert_eq!(length, Some([250, 500, 999, 1000, 1000, 1000][(id - 1) % 6]), "{id}");
    }
}

/// A pass that is waited for does without the history where running jobs are found by their state; the next one reads it.
#[tokio::test]
async fn the_history_comes_with_the_second_pass() {
    let (database, _client) = postgres::shared()
        .database_with(
            "CREATE TABLE jobs (id serial PRIMARY KEY, state text, started timestamp, beat timestamp, ended timestamp);
             INSERT INTO jobs (state, started) VALUES ('done', now() AT TIME ZONE 'UTC' - interval '10 min'),
                 ('done', now() AT TIME ZONE 'UTC' - interval '2 h'), ('running', now() AT TIME ZONE 'UTC')",
        )
        .await;
    let mut mapping = mapping("jobs");
    mapping.born_running = true;
    let mut store = postgres_store(&database.url, mapping, Action::Observe);
    let request = ObserveRequest {
        budget: TimeBudget::About(Duration::ZERO),
        ..ObserveRequest::whole(Vec::new(), Coverage::Ordinary)
    };
    let mut seen = Vec::new();
    for _ in 0..3 {
        let snapshot = store.observe(&request).await.unwrap();
        seen.push(snapshot.rows.iter().map(|job| job.id.to_string()).collect::<Vec<_>>());
    }
    assert_eq!(seen, [vec!["3"], vec!["1", "3"], vec!["3"]], "the window is an hour");
}

/// A watch that saw an empty ledger sees its first entry in the very pass after it was made.
#[tokio::test]
async fn the_first_entry_of_a_ledger_is_seen_at_once() {
    let (database, _client) = postgres::shared()
        .database_with(
            "CREATE TABLE jobs (id serial PRIMARY KEY, state text, started timestamp, beat timestamp, ended timestamp);
             INSERT INTO jobs (state, started) VALUES ('running', now() AT TIME ZONE 'UTC' - interval '10 min')",
        )
        .await;
    let store = || postgres_store(&database.url, mapping("jobs"), Action::Fail);
    let (mut idle, mut busy) = (store(), store());
    observe(&mut idle).await;
    idle.prepare_ledger().await.unwrap();
    for _ in 0..2 {
        assert_eq!(observe(&mut idle).await.newest_repairs, []);
    }
    repaired(&mut busy, "1", Action::Fail).await;
    let request = ObserveRequest::whole(vec![JobId::new("1")], Coverage::Ordinary);
    let snapshot = idle.observe(&request).await.unwrap();
    assert_eq!(
        job(&snapshot, "1").state.as_deref(),
        Some("failed"),
        "of the same snapshot"
    );
    assert_eq!((snapshot.newest_repairs.len(), snapshot.precedents.len()), (1, 1));
}

/// By the server's own figures: an ordinary pass beside five thousand repairs of the last day and a hundred thousand older ones
/// reads a few blocks of the ledger's indexes.
#[tokio::test]
async fn a_day_of_repairs_costs_a_pass_a_few_blocks() {
    let (database, client) = postgres::shared()
        .database_with(
            "CREATE TABLE jobs (id serial PRIMARY KEY, state text, started timestamp, beat timestamp, ended timestamp)",
        )
        .await;
    let store = || postgres_store(&database.url, mapping("jobs"), Action::Fail);
    let mut first = store();
    observe(&mut first).await;
    first.prepare_ledger().await.unwrap();
    drop(first);
    client
        .run(
            "ALTER TABLE beatwarden_repairs SET (autovacuum_enabled = false);
             INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, reason, action, instance, repaired_at, before, after, version)
             SELECT lpad(i::text, 32, '0')::uuid, 'jobs', 'public.jobs', i, 'missed_first', 'fail', 'other/1',
                    now() - interval '10 minutes' - i * interval '16 seconds', '{}', '{}', 2 FROM generate_series(1, 105000) AS i;
             INSERT INTO jobs (state, started) SELECT 'running', now() AT TIME ZONE 'UTC' FROM generate_series(1, 100)",
        )
        .await;
    client.run("VACUUM ANALYZE beatwarden_repairs").await;
    // What this session read is counted now, and not with what is measured.
    client.run("SELECT pg_stat_force_next_flush()").await;
    // Blocks of the ledger that so many passes read, once their connections are gone and have reported them to the server.
    let read = async |passes: u32| {
        let count = async || {
            let figures = "SELECT heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit,
                  (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                      AND backend_type = 'client backend')
                  FROM pg_statio_all_tables WHERE relname = 'beatwarden_repairs'";
            let row = client.query_one(figures, &[]).await.unwrap();
            (row.get::<_, i64>(1) == 0).then(|| row.get::<_, i64>(0))
        };
        let gone = || support::eventually("the connections end", Duration::from_secs(60), count);
        let before = gone().await;
        let mut store = store();
        for _ in 0..passes {
            let request = ObserveRequest::whole(Vec::new(), Coverage::Ordinary);
            let snapshot = store.observe(&request).await.unwrap();
            assert_eq!((snapshot.newest_repairs.len(), snapshot.precedents.len()), (2_000, 100));
        }
        drop(store);
        gone().await - before
    };
    let (whole, more) = (read(1).await, read(51).await);
    assert!(whole > 2_000, "every entry once: {whole}");
    let each = (more - whole) / 50;
    assert!((1..=30).contains(&each), "{each} blocks a pass");
}

#[tokio::test]
async fn naive_times_in_a_zone_with_daylight_saving() {
    let (database, client) = postgres::shared().database_with("CREATE TABLE jobs (id varchar(20) PRIMARY KEY, state varchar(10), started timestamp, beat timestamp, ended timestamp)").await;
    let local = "clock_timestamp() AT TIME ZONE 'America/New_York'";
    client
        .run(&format!(
            "INSERT INTO jobs VALUES ('one', 'running', {local} - interval '10 min', NULL), ('two', 'running', {local} - interval '10 min', NULL),
                ('three', 'running', {local} - interval '10 min', {local} - interval '1 s'), ('four', 'pending', NULL, NULL)"
        ))
        .await;
    let mut mapping = mapping("jobs");
    mapping.time_zone = "America/New_York".into();
    let store = |action| postgres_store(&database.url, mapping.clone(), action);
    read_and_repair(
        store(Action::Backfill),
        store(Action::Fail),
        ["one", "two", "three", "four"],
    )
    .await;
    // 01:30 happens twice on 2026-11-01: the later instant, 06:30 UTC, makes the smaller age.
    client
        .run("INSERT INTO jobs VALUES ('fold', 'running', '2026-11-01 01:30:00', NULL)")
        .await;
    let snapshot = observe(&mut store(Action::Fail)).await;
    let later = "2026-11-01T06:30:00Z"
        .parse::<jiff::Timestamp>()
        .unwrap()
        .as_microsecond();
    assert_eq!(job(&snapshot, "fold").started_at, TimeValue::from_micros(later));
}

#[tokio::test]
async fn a_text_key_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let time = |seconds: i32| format!("strftime('%Y-%m-%dT%H:%M:%f', 'now', '{seconds} seconds')");
    connection
        .execute_batch(&format!(
            "CREATE TABLE \"job table\" (id TEXT NOT NULL UNIQUE, state TEXT, started TEXT, beat TEXT, ended TEXT);
             INSERT INTO \"job table\" VALUES ('007', 'running', {0}, NULL, NULL), ('b', 'running', {0}, NULL, NULL),
                ('c', 'running', {0}, {1}, NULL), ('d', 'pending', NULL, NULL, NULL)",
            time(-600),
            time(-1)
        ))
        .unwrap();
    let store = |action| SqliteStore::new(stores::on_file(&path, mapping("job table"), action));
    read_and_repair(store(Action::Backfill), store(Action::Fail), ["007", "b", "c", "d"]).await;
    let ended: String = connection
        .query_row("SELECT ended FROM \"job table\" WHERE id = 'b'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(
        (ended.len(), ended.as_bytes()[10]),
        (26, b'T'),
        "in the shape of its neighbours: {ended}"
    );
}

async fn an_index_serves(state_type: &str) {
    let (database, client) = postgres::shared()
        .database_with(&format!(
            "CREATE TYPE phase AS ENUM ('pending', 'running', 'done', 'failed');
             CREATE TABLE jobs (id bigint PRIMARY KEY, state {state_type}, started timestamptz, beat timestamptz, ended timestamptz);
             INSERT INTO jobs SELECT number, 'done', now(), now(), now() FROM generate_series(1, 20000) AS number;
             INSERT INTO jobs VALUES (20001, 'running', now(), NULL, NULL); ANALYZE jobs"
        ))
        .await;
    let store = || postgres_store(&database.url, mapping("jobs"), Action::Observe);
    assert_eq!(observe(&mut store()).await.access, Access::Scan);
    client
        .run("CREATE INDEX ON jobs (id) WHERE state = 'running'; ANALYZE jobs")
        .await;
    let snapshot = observe(&mut store()).await;
    assert_eq!(snapshot.access, Access::Index);
    assert_eq!(job(&snapshot, "20001").state.as_deref(), Some("running"));
}

#[tokio::test]
async fn an_index_on_the_state_is_used() {
    an_index_serves("text").await;
}

#[tokio::test]
async fn a_partial_index_on_an_enum_is_used() {
    an_index_serves("phase").await;
}

/// Tables that can be watched and not repaired, and tables that can't be watched: each says why.
#[tokio::test]
async fn tables_that_cant_be_repaired_say_why() {
    let database = postgres::shared().database().await;
    let client = database.client().await;
    let columns = "state text, started timestamptz, beat timestamptz, ended timestamptz";
    client
        .run(&format!(
            "CREATE TABLE parted (id bigint, day date, {columns}, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
             CREATE TABLE good (id bigint PRIMARY KEY, {columns}); CREATE VIEW seen AS SELECT * FROM good;
             CREATE TABLE loose (id bigint, {columns}); CREATE UNIQUE INDEX ON loose (id) WHERE state = 'running';
             CREATE TABLE hashed (id bigint PRIMARY KEY, {columns}) PARTITION BY HASH (id);
             CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 1, REMAINDER 0);
             CREATE TABLE late (id bigint UNIQUE DEFERRABLE, {columns});
             CREATE TABLE pair (id bigint, run bigint, {columns}, UNIQUE (id, run)); CREATE TABLE bare (id bigint, {columns});
             CREATE TABLE lower (id text, {columns}); CREATE UNIQUE INDEX ON lower (lower(id));
             CREATE TABLE parent (id bigint PRIMARY KEY, {columns}); CREATE TABLE heir () INHERITS (parent)"
        ))
        .await;
    for (table, word) in [
        ("seen", "is a view"),
        ("late", "can be deferred"),
        ("parent", "other tables inherit from `parent`"),
    ] {
        let snapshot = observe(&mut postgres_store(&database.url, mapping(table), Action::Fail)).await;
        let obstacle = &snapshot.obstacles[0];
        assert_eq!(obstacle.cause, Cause::Rights, "{table}");
        assert!(obstacle.reason.contains(word), "{table}: {}", obstacle.reason);
    }
    for table in ["good", "hashed"] {
        let snapshot = observe(&mut postgres_store(&database.url, mapping(table), Action::Fail)).await;
        assert_eq!(snapshot.obstacles, [], "{table}");
    }
    let request = ObserveRequest::whole(Vec::new(), Coverage::Full);
    for action in [Action::Observe, Action::Fail] {
        for table in ["parted", "loose", "pair", "bare", "lower"] {
            let refused = postgres_store(&database.url, mapping(table), action)
                .observe(&request)
                .await;
            let error = refused.expect_err(table);
            assert_eq!(error.failure(), Failure::Schema, "{table}");
            let text = error.to_string();
            assert!(text.contains("not unique by a valid constraint"), "{table}: {text}");
            let says = text.contains("a partitioned table can only have a unique key that contains its partition key");
            assert_eq!(says, table == "parted", "{text}");
        }
    }
}

/// Where the catalog can't show that a key is unique, rows that share one are never folded into one in silence.
#[tokio::test]
async fn rows_that_share_a_key_fail_the_pass() {
    let database = postgres::shared().database().await;
    let client = database.client().await;
    let columns = "state text, started timestamptz, beat timestamptz, ended timestamptz";
    client
        .run(&format!(
            "CREATE TABLE t (task text, run bigint, {columns}); CREATE VIEW v AS SELECT task AS id, * FROM t;
             CREATE VIEW numbers AS SELECT run AS id, * FROM t; CREATE MATERIALIZED VIEW m AS SELECT task AS id, * FROM t;
             CREATE TABLE parent (id bigint PRIMARY KEY, {columns}); CREATE TABLE heir () INHERITS (parent);
             INSERT INTO t VALUES ('a', 1, 'running', now()), ('b', 2, 'running', now()), ('b', 3, 'done', now()), (NULL, 4, 'running', now());
             REFRESH MATERIALIZED VIEW m"
        ))
        .await;
    let watched = |table: &str, born_running| Mapping {
        born_running,
        ..mapping(table)
    };
    let look = async |table: &str, born_running: bool| {
        let request = ObserveRequest::whole(Vec::new(), Coverage::Full);
        let mut store = postgres_store(&database.url, watched(table, born_running), Action::Observe);
        store.observe(&request).await
    };
    let snapshot = look("v", false).await.unwrap();
    assert_eq!(
        (snapshot.rows.len(), snapshot.keyless),
        (2, 1),
        "no two running rows share a key yet"
    );
    client
        .run("INSERT INTO t VALUES ('a', 5, 'running', now()), ('a', 6, 'running', now()); REFRESH MATERIALIZED VIEW m")
        .await;
    for table in ["v", "m"] {
        let error = look(table, false).await.expect_err(table);
        let text = error.to_string();
        assert!(
            error.failure() == Failure::Schema && text.contains("3 rows of") && text.contains("id = `a`"),
            "{text}"
        );
    }
    // By a growing key: one of the two has ended, and must not hide the other.
    assert_eq!(
        look("numbers", true)
            .await
            .unwrap()
            .rows
            .iter()
            .filter(|job| job.state.as_deref() == Some("running"))
            .count(),
        5
    );
    client.run("INSERT INTO t VALUES ('x', 6, 'done', now())").await;
    let error = look("numbers", true)
        .await
        .expect_err("a view whose key is there twice");
    assert!(error.to_string().contains("id = `6`"), "{error}");
    client
        .run("INSERT INTO parent VALUES (1, 'running', now()); INSERT INTO heir VALUES (1, 'running', now())")
        .await;
    let error = look("parent", false).await.expect_err("a parent and its heir");
    assert!(error.to_string().contains("2 rows of"), "{error}");
}

/// Several columns missing at once are one error that names them all, whatever rights are missing.
#[tokio::test]
async fn all_missing_columns_are_named_at_once() {
    let (database, _client) = postgres::shared().database_with("CREATE TABLE jobs (id int PRIMARY KEY, status text, started_on timestamptz, beat timestamptz, ended timestamptz)").await;
    let request = ObserveRequest::whole(Vec::new(), Coverage::Full);
    let error = postgres_store(&database.url, mapping("jobs"), Action::Fail)
        .observe(&request)
        .await
        .unwrap_err();
    let said = error.chain();
    for words in [
        "column `state` not found in `jobs` (watch.table.state)",
        "did you mean `status`?",
        "column `started` not found in `jobs` (watch.table.started_at)",
        "did you mean `started_on`?",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

/// Types that a column can't have: each error names key, column and what was expected.
#[tokio::test]
async fn columns_of_a_wrong_type_are_named() {
    let database = postgres::shared().database().await;
    let client = database.client().await;
    let cases = [
        (
            "state boolean, started timestamptz",
            "column `state` of `t0` is boolean (watch.table.state); expected a text or an enum",
        ),
        (
            "state text, started bigint",
            "column `started` of `t1` is bigint (watch.table.started_at); expected timestamp or timestamptz",
        ),
        (
            "state text, started date",
            "column `started` of `t2` is date (watch.table.started_at)",
        ),
    ];
    for (number, (columns, words)) in cases.iter().enumerate() {
        let table = format!("t{number}");
        let create =
            format!("CREATE TABLE {table} (id int PRIMARY KEY, {columns}, beat timestamptz, ended timestamptz)");
        client.run(&create).await;
        let request = ObserveRequest::whole(Vec::new(), Coverage::Full);
        let error = postgres_store(&database.url, mapping(&table), Action::Observe)
            .observe(&request)
            .await
            .unwrap_err();
        assert!(error.chain().starts_with(words), "{}", error.chain());
    }
    client
        .run(
            "CREATE TYPE phase AS ENUM ('pending', 'runing'); CREATE TABLE e (id int PRIMARY KEY, state phase,
             started timestamptz, beat timestamptz, ended timestamptz)",
        )
        .await;
    let request = ObserveRequest::whole(Vec::new(), Coverage::Full);
    let error = postgres_store(&database.url, mapping("e"), Action::Observe)
        .observe(&request)
        .await
        .unwrap_err();
    assert!(error.chain().contains("did you mean `runing`?"), "{}", error.chain());
}

/// The same on PostgreSQL 18.
#[tokio::test]
async fn postgresql_18_is_read_and_repaired_alike() {
    let cluster = Cluster::start_18();
    quoted_uuid_enum(cluster.database().await).await;
    bigint_epoch_millis(cluster.database().await).await;
}
