//! What only a file can do: be replaced, vanish, be no database, belong to somebody else. And what the writer must never
//! notice of us: no lock kept, no checkpoint, no other journal mode.

use super::{DEADLINE, bed::mapping, job, look, repair, repair_of, schema_error, snapshot, support::eventually};
use beatwarden::{
    domain::{Access, Action, Cause, Look, Outcome, Reading, Repair, Snapshot},
    store::{
        Identifier, Inquiry, Mapping, Store, StoreError, TimeFormat,
        sqlite::{SqliteSettings, SqliteStore},
    },
};
use rusqlite::Connection;
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A job table in a file of its own.
struct File {
    folder: TempDir,
    mapping: Mapping,
    poll_timeout: Duration,
}

const COLUMNS: &str = "job_name VARCHAR, state VARCHAR, started_at DATETIME, ended_at DATETIME, payload VARCHAR, \
                       last_heartbeat_at DATETIME";

impl File {
    fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            mapping: mapping(),
            poll_timeout: Duration::from_secs(10),
        }
    }

    /// In rollback-journal mode, with a victim (2) between neighbours.
    fn new() -> Self {
        let file = Self::empty();
        file.sql(&format!("CREATE TABLE runs (id INTEGER PRIMARY KEY, {COLUMNS})"));
        file.fill();
        file
    }

    fn fill(&self) {
        self.sql(
            "INSERT INTO runs (id, job_name, state, started_at, last_heartbeat_at) VALUES
                (1, 'a', 'RUNNING', strftime('%Y-%m-%d %H:%M:%f000', 'now', '-600 seconds'), strftime('%Y-%m-%d %H:%M:%f000', 'now')),
                (2, 'b', 'RUNNING', strftime('%Y-%m-%d %H:%M:%f000', 'now', '-120 seconds'), NULL),
                (3, 'c', 'SUCCESS', strftime('%Y-%m-%d %H:%M:%f000', 'now', '-900 seconds'), NULL)",
        );
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("jobs.db")
    }

    /// A connection of the writer's, which waits for nobody.
    fn writer(&self) -> Connection {
        let writer = Connection::open(self.path()).unwrap();
        writer.busy_timeout(Duration::ZERO).unwrap();
        writer
    }

    fn sql(&self, statement: &str) {
        self.writer()
            .execute_batch(statement)
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    fn one<T: rusqlite::types::FromSql>(&self, query: &str) -> T {
        self.writer().query_row(query, [], |row| row.get(0)).unwrap()
    }

    /// Every value of every row, with its type.
    fn rows(&self) -> Vec<Vec<String>> {
        let writer = self.writer();
        let mut statement = writer.prepare("SELECT * FROM runs ORDER BY 1").unwrap();
        let width = statement.column_count();
        let rows = statement
            .query_map([], |row| {
                (0..width)
                    .map(|column| Ok(format!("{:?}", row.get_ref(column)?)))
                    .collect()
            })
            .unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    fn store(&self, action: Action) -> SqliteStore {
        let path = self.path();
        SqliteStore::new(SqliteSettings {
            path: Box::new(move || Ok(path.clone())),
            mapping: self.mapping.clone(),
            poll_timeout: self.poll_timeout,
            seed_tolerance: Duration::from_millis(5),
            instance: "test/1".into(),
            action,
        })
    }
}

fn name(name: &str) -> Identifier {
    Identifier::new(name).unwrap()
}

#[tokio::test]
async fn a_file_that_is_replaced_is_another_server_and_gets_no_repair_meant_for_the_old_one() {
    let file = File::new();
    let mut store = file.store(Action::Fail);
    let first = snapshot(&mut store).await;
    assert_eq!(snapshot(&mut store).await.server, first.server);
    store.prepare_ledger().await.unwrap();

    let old = file.path().with_extension("old");
    let copy = file.path().with_extension("copy");
    fs::copy(file.path(), &copy).unwrap();
    fs::rename(file.path(), &old).unwrap();
    fs::rename(&copy, file.path()).unwrap();
    let before = file.rows();
    assert_eq!(
        store.repair(&repair_of(&first, 2, Action::Fail)).await,
        Outcome::LostRace
    );
    assert_eq!(file.rows(), before, "the new file");
    let state: String = Connection::open(&old)
        .unwrap()
        .query_row("SELECT state FROM runs WHERE id = 2", [], |row| row.get(0))
        .unwrap();
    assert_eq!(state, "RUNNING", "the old file");

    let second = snapshot(&mut store).await;
    assert_ne!(second.server, first.server);
    let outcome = store.repair(&repair_of(&second, 2, Action::Fail)).await;
    assert!(matches!(outcome, Outcome::Repaired(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_file_that_vanished_is_named_with_what_to_do_and_found_when_it_is_back() {
    let file = File::new();
    let mut store = file.store(Action::Observe);
    snapshot(&mut store).await;
    let away = file.path().with_extension("away");
    fs::rename(file.path(), &away).unwrap();
    let error = store.observe(&look(Look::Ordinary)).await.unwrap_err();
    assert!(matches!(error, StoreError::Connect { .. }), "{error:?}");
    let said = error.chain();
    assert!(said.contains(&file.path().display().to_string()), "{said}");
    assert!(said.contains("check the path"), "{said}");
    assert!(!file.path().exists(), "nothing is created in its place");
    fs::rename(&away, file.path()).unwrap();
    assert_eq!(snapshot(&mut store).await.rows.len(), 3);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let file = File::empty();
    let text = "watch: this is a text file, and long enough to have a header\n".repeat(20);
    fs::write(file.path(), &text).unwrap();
    let said = schema_error(file.store(Action::Fail).observe(&look(Look::Full)).await);
    assert!(said.contains("is not a SQLite database"), "{said}");
    assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
    assert_eq!(
        fs::read_dir(file.folder.path()).unwrap().count(),
        1,
        "no file beside it"
    );
}

#[tokio::test]
async fn a_table_without_a_unique_key_is_read_but_not_repaired() {
    let odd = [
        (
            "a view",
            format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {COLUMNS}); CREATE VIEW runs AS SELECT * FROM t"),
        ),
        ("no key", format!("CREATE TABLE runs (id INTEGER, {COLUMNS})")),
        (
            "a key of two",
            format!("CREATE TABLE runs (id INTEGER, {COLUMNS}, PRIMARY KEY (id, state))"),
        ),
        (
            "a partial index",
            format!(
                "CREATE TABLE runs (id INTEGER, {COLUMNS}); CREATE UNIQUE INDEX i ON runs (id) WHERE state = 'RUNNING'"
            ),
        ),
        (
            "an expression beside it",
            format!("CREATE TABLE runs (id INTEGER, {COLUMNS}); CREATE UNIQUE INDEX i ON runs (id, lower(state))"),
        ),
    ];
    for (what, create) in odd {
        let file = File::empty();
        file.sql(&create);
        assert_eq!(
            snapshot(&mut file.store(Action::Fail)).await.obstacle(),
            Some(Cause::Rights),
            "{what}"
        );
    }
    for create in [
        format!("CREATE TABLE runs (id VARCHAR UNIQUE, {COLUMNS})"),
        format!("CREATE TABLE runs (id INTEGER, {COLUMNS}); CREATE UNIQUE INDEX i ON runs (id)"),
        format!("CREATE TABLE runs (id TEXT PRIMARY KEY, {COLUMNS}) WITHOUT ROWID"),
    ] {
        let file = File::empty();
        file.sql(&create);
        assert_eq!(
            snapshot(&mut file.store(Action::Fail)).await.obstacle(),
            None,
            "{create}"
        );
    }
}

#[tokio::test]
async fn no_lock_is_kept_whatever_the_outcome() {
    let file = File::new();
    let mut store = file.store(Action::Backfill);
    let free = |after: &str| {
        let writer = file.writer();
        let write = writer.execute_batch("BEGIN EXCLUSIVE; UPDATE runs SET payload = 'w' WHERE id = 1; COMMIT");
        write.unwrap_or_else(|error| panic!("after {after}: {error}"));
    };
    let observed = snapshot(&mut store).await;
    free("a look");
    store.observe(&look(Look::Full)).await.unwrap();
    free("a full look");
    store.prepare_ledger().await.unwrap();
    free("the ledger");
    let repair_2 = repair_of(&observed, 2, Action::Backfill);
    assert!(matches!(store.repair(&repair_2).await, Outcome::Repaired(_)));
    free("a repair");
    assert_eq!(store.repair(&repair_2).await, Outcome::LostRace);
    free("a lost race");
    file.sql("UPDATE runs SET last_heartbeat_at = NULL WHERE id = 2");
    assert_eq!(store.repair(&repair_2).await, Outcome::Already);
    free("a second repair");
    file.sql("CREATE TRIGGER t BEFORE UPDATE ON runs WHEN new.last_heartbeat_at IS NOT NULL BEGIN SELECT RAISE(FAIL, 'no'); END");
    file.sql("DELETE FROM beatwarden_repairs");
    assert!(matches!(store.repair(&repair_2).await, Outcome::Failed(_)));
    file.sql("DROP TRIGGER t");
    free("a failure");
    store.resolve(&repair_2).await.unwrap();
    free("a question to the ledger");
    assert_eq!(file.one::<String>("PRAGMA journal_mode"), "delete");
}

#[tokio::test]
async fn a_constraint_of_the_writers_own_is_not_taken_for_a_second_repair() {
    let file = File::new();
    file.sql(
        "CREATE TABLE audit (id INTEGER PRIMARY KEY); INSERT INTO audit VALUES (2);
         CREATE TRIGGER t AFTER UPDATE ON runs BEGIN INSERT INTO audit VALUES (new.id); END",
    );
    let mut store = file.store(Action::Backfill);
    let repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Backfill);
    let before = file.rows();
    let outcome = repair(&mut store, &repair_2).await;
    assert!(
        matches!(&outcome, Outcome::Failed(error) if error.contains("audit.id")),
        "{outcome:?}"
    );
    assert_eq!(file.rows(), before);
}

#[tokio::test]
async fn the_writers_log_is_never_checkpointed_by_us() {
    let file = File::new();
    let writer = file.writer();
    writer.pragma_update(None, "journal_mode", "WAL").unwrap();
    writer.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    // Ending this job rewrites more pages than SQLite lets a log grow to before a checkpoint of its own accord.
    let payload = format!("{{\"a\": \"{}\"}}", "x".repeat(6_000_000));
    writer
        .execute("UPDATE runs SET payload = ?1 WHERE id = 2", [&payload])
        .unwrap();
    let mut store = file.store(Action::Fail);
    let repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Fail);
    let before = fs::metadata(file.path()).unwrap().len();
    let outcome = repair(&mut store, &repair_2).await;
    assert!(matches!(outcome, Outcome::Repaired(_)), "{outcome:?}");
    assert_eq!(
        fs::metadata(file.path()).unwrap().len(),
        before,
        "the file after the repair"
    );
    let mode: String = writer.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    // The store is the last to close.
    writer.close().unwrap();
    drop(store);
    closed(&file.path()).await;
    assert_eq!(
        fs::metadata(file.path()).unwrap().len(),
        before,
        "the file after the close"
    );
    let log = fs::metadata(file.folder.path().join("jobs.db-wal"))
        .expect("the log is still there")
        .len();
    assert!(log > 6_000_000, "{log}");
    assert_eq!(file.one::<String>("SELECT state FROM runs WHERE id = 2"), "FAIL");
}

/// Waits until this process has the file open no more: the store's thread ends on its own.
async fn closed(path: &Path) {
    let is_open = || {
        fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .any(|target| target == path)
    };
    eventually("the file is closed", Duration::from_secs(10), async || {
        (!is_open()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_payload_that_is_no_utf8_is_kept_to_the_byte() {
    let cases = [
        ("x'7b2261223a2022c328227d0a'", "object", "{\"a\": \"\u{fffd}(\"|}\n"),
        ("x'c3287d'", "other", ""),
    ];
    for (bytes, was, merged) in cases {
        for action in [Action::Backfill, Action::Fail] {
            let file = File::new();
            file.sql(&format!("UPDATE runs SET payload = CAST({bytes} AS TEXT) WHERE id = 2"));
            let old: String = file.one("SELECT hex(CAST(payload AS BLOB)) FROM runs WHERE id = 2");
            let mut store = file.store(action);
            let repair_2 = repair_of(&snapshot(&mut store).await, 2, action);
            let outcome = repair(&mut store, &repair_2).await;
            let Outcome::Repaired(id) = outcome else {
                panic!("{bytes}, {action:?}: {outcome:?}");
            };
            let new: String = file.one("SELECT hex(CAST(payload AS BLOB)) FROM runs WHERE id = 2");
            assert_eq!(
                file.one::<String>("SELECT typeof(payload) FROM runs WHERE id = 2"),
                "text"
            );
            if action == Action::Backfill || merged.is_empty() {
                assert_eq!(new, old, "{bytes}, {action:?}");
            } else {
                let text = format!(
                    ", \"error\": \"Beatwarden: no heartbeat within 60s of the start (repair {})\"",
                    uuid::Uuid::from_u128(id.0)
                );
                let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
                assert_eq!(new, format!("{}{hex}{}", &old[..old.len() - 4], &old[old.len() - 4..]));
            }
            if action == Action::Fail {
                let before: String = file.one("SELECT before FROM beatwarden_repairs");
                assert!(before.contains(&format!("\"error_was\":\"{was}\"")), "{before}");
            }
        }
    }
}

#[tokio::test]
async fn columns_that_hold_no_text_cost_no_pass() {
    let file = File::new();
    file.sql(
        "INSERT INTO runs (id, job_name, state, started_at, payload) VALUES
            (4, x'00ff', 'RUNNING', strftime('%Y-%m-%d %H:%M:%f000', 'now', '-300 seconds'), x'7b7d'),
            (5, 7, 'RUNNING', x'ff', 7), (6, CAST(x'ff' AS TEXT), 'RUNNING', CAST(x'ff' AS TEXT), 1.5)",
    );
    let mut store = file.store(Action::Fail);
    let observed = snapshot(&mut store).await;
    assert_eq!(job(&observed, 5).name.as_deref(), Some("7"));
    assert_eq!(job(&observed, 5).started_at, Reading::Unreadable);
    assert_eq!(job(&observed, 6).started_at, Reading::Unreadable);
    let outcome = repair(&mut store, &repair_of(&observed, 4, Action::Fail)).await;
    assert!(matches!(outcome, Outcome::Repaired(_)), "{outcome:?}");
    assert_eq!(
        file.one::<String>("SELECT state || hex(payload) || typeof(payload) FROM runs WHERE id = 4"),
        "FAIL7B7Dblob"
    );
}

/// The repair of a job with any kind of key.
fn repair_by_key(snapshot: &Snapshot, key: &str, action: Action) -> Repair {
    let found = snapshot.rows.iter().find(|job| job.id.as_str() == key);
    Repair {
        action,
        job: found
            .unwrap_or_else(|| panic!("{key} is not among {:?}", snapshot.rows))
            .clone(),
        init_deadline: DEADLINE,
        server: snapshot.server.clone(),
    }
}

#[tokio::test]
async fn keys_of_every_declared_type_are_found_again() {
    let kinds = [
        ("INTEGER", "-7", "-7"),
        ("BIGINT", "9223372036854775807", "9223372036854775807"),
        ("NUMERIC", "7", "7"),
        (
            "UUID",
            "'3f2504e0-4f89-11d3-9a0c-0305e82c3301'",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        ),
        (
            "CHAR(32)",
            "'00012345678901234567890123456789'",
            "00012345678901234567890123456789",
        ),
        ("TEXT", "'007'", "007"),
        ("TEXT COLLATE NOCASE", "'Ab'", "Ab"),
        ("", "7", "7"),
        ("", "'seven'", "seven"),
    ];
    for (declared, literal, key) in kinds {
        let file = File::empty();
        file.sql(&format!("CREATE TABLE runs (id {declared} PRIMARY KEY, {COLUMNS})"));
        file.sql(&format!(
            "INSERT INTO runs (id, state, started_at) VALUES
                ({literal}, 'RUNNING', '2026-01-01 00:00:00.000000'), (1234, 'RUNNING', '2026-01-01 00:00:00.000000')"
        ));
        let mut store = file.store(Action::Backfill);
        let observed = snapshot(&mut store).await;
        let outcome = repair(&mut store, &repair_by_key(&observed, key, Action::Backfill)).await;
        assert!(
            matches!(outcome, Outcome::Repaired(_)),
            "{declared} {literal}: {outcome:?}"
        );
        assert_eq!(
            file.one::<i64>("SELECT count(last_heartbeat_at) FROM runs"),
            1,
            "{declared} {literal}"
        );
        file.sql(&format!("UPDATE runs SET state = 'SUCCESS' WHERE id = {literal}"));
        let inquiry = Inquiry {
            known: observed.rows.iter().map(|job| job.id.clone()).collect(),
            look: Look::Ordinary,
        };
        let after = store.observe(&inquiry).await.unwrap();
        assert_eq!(
            repair_by_key(&after, key, Action::Backfill).job.state.as_deref(),
            Some("SUCCESS"),
            "{declared} {literal}"
        );
    }
}

#[tokio::test]
async fn times_of_every_format_are_copied_and_written_in_their_own_shape() {
    let cases = [
        (
            TimeFormat::EpochSeconds,
            "INTEGER",
            "unixepoch() - 120",
            "integer",
            "1790000000",
        ),
        (
            TimeFormat::EpochSeconds,
            "REAL",
            "unixepoch('now', 'subsec') - 120",
            "real",
            "1790000000.",
        ),
        (
            TimeFormat::EpochMillis,
            "INTEGER",
            "(unixepoch() - 120) * 1000",
            "integer",
            "1790000000000",
        ),
        (
            TimeFormat::Timestamp,
            "TEXT",
            "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-120 seconds')",
            "text",
            "2026-11-23T10:00:00.000000Z",
        ),
    ];
    for (format, declared, started, kind, like) in cases {
        for action in [Action::Backfill, Action::Fail] {
            let mut file = File::empty();
            file.mapping.time_format = format;
            file.sql(&format!(
                "CREATE TABLE runs (id INTEGER PRIMARY KEY, job_name TEXT, state TEXT, started_at {declared}, ended_at {declared},
                    payload TEXT, last_heartbeat_at {declared});
                 INSERT INTO runs (id, state, started_at) VALUES (2, 'RUNNING', {started})"
            ));
            let mut store = file.store(action);
            let repair_2 = repair_of(&snapshot(&mut store).await, 2, action);
            let outcome = repair(&mut store, &repair_2).await;
            assert!(matches!(outcome, Outcome::Repaired(_)), "{format:?}: {outcome:?}");
            if action == Action::Backfill {
                assert!(
                    file.one::<bool>("SELECT last_heartbeat_at IS started_at FROM runs"),
                    "{format:?}"
                );
                assert_eq!(
                    file.one::<String>("SELECT typeof(last_heartbeat_at) FROM runs"),
                    kind,
                    "{format:?}"
                );
            } else {
                assert_eq!(
                    file.one::<String>("SELECT typeof(ended_at) FROM runs"),
                    kind,
                    "{format:?}"
                );
                let ended: String = file.one("SELECT CAST(ended_at AS TEXT) FROM runs");
                assert!(
                    ended.len() >= like.len() && ended.ends_with('Z') == like.ends_with('Z'),
                    "{format:?}: {ended}"
                );
                let known = repair_of(&snapshot(&mut file.store(action)).await, 2, action).job;
                let now = snapshot(&mut store).await.database_now;
                assert!(
                    known.ended_at.at().unwrap().age_at(now) < Duration::from_secs(10),
                    "{format:?}: {ended}"
                );
            }
        }
    }
}

#[tokio::test]
async fn hostile_column_names_are_only_names() {
    let mut file = File::empty();
    file.mapping.id = name("{{state}}");
    file.mapping.state = name("a\"; DROP TABLE runs; --");
    file.mapping.started_at = name("select");
    file.mapping.last_heartbeat_at = name("{{id}} \"x\"");
    file.mapping.ended_at = Some(name("?1"));
    let quoted = |name: &Identifier| name.quoted();
    let of = &file.mapping;
    file.sql(&format!(
        "CREATE TABLE runs ({} INTEGER PRIMARY KEY, job_name TEXT, {} TEXT, {} TEXT, {} TEXT, {} TEXT, payload TEXT);
         INSERT INTO runs VALUES (2, 'b', 'RUNNING', '2026-01-01 00:00:00', NULL, NULL, NULL)",
        quoted(&of.id),
        quoted(&of.state),
        quoted(&of.started_at),
        quoted(&of.last_heartbeat_at),
        of.ended_at.as_ref().map(quoted).unwrap(),
    ));
    let mut store = file.store(Action::Backfill);
    let observed = snapshot(&mut store).await;
    assert!(matches!(
        repair(&mut store, &repair_of(&observed, 2, Action::Backfill)).await,
        Outcome::Repaired(_)
    ));
    let mut store = file.store(Action::Fail);
    let observed = snapshot(&mut store).await;
    assert_eq!(job(&observed, 2).heartbeat_at, job(&observed, 2).started_at);
    assert!(matches!(
        repair(&mut store, &repair_of(&observed, 2, Action::Fail)).await,
        Outcome::Repaired(_)
    ));
    assert_eq!(
        job(&snapshot(&mut file.store(Action::Observe)).await, 2)
            .state
            .as_deref(),
        Some("FAIL")
    );
}

#[tokio::test]
async fn a_plain_index_on_the_state_is_used_and_a_partial_one_is_not() {
    let file = File::new();
    let access = async || snapshot(&mut file.store(Action::Observe)).await.access;
    assert_eq!(access().await, Access::Scan);
    file.sql("CREATE INDEX partial ON runs (id) WHERE state = 'RUNNING'");
    assert_eq!(access().await, Access::Scan);
    file.sql("DROP INDEX partial; CREATE INDEX plain ON runs (state)");
    assert_eq!(access().await, Access::Index);
}

#[tokio::test]
async fn a_look_that_takes_too_long_is_interrupted_and_the_next_one_is_fine() {
    let mut file = File::empty();
    file.poll_timeout = Duration::from_millis(200);
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
         SELECT i AS id, 'x' AS job_name, 'SUCCESS' AS state, '2026-01-01' AS started_at, NULL AS ended_at, NULL AS payload,
             NULL AS last_heartbeat_at FROM n";
    file.sql(&format!("CREATE VIEW runs AS {endless}"));
    let mut store = file.store(Action::Observe);
    let began = Instant::now();
    let error = store.observe(&look(Look::Ordinary)).await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let writer = file.writer();
    writer.busy_timeout(Duration::from_secs(5)).unwrap();
    // The interrupted read lets go of the file a moment later.
    let mend = format!("DROP VIEW runs; CREATE TABLE runs (id INTEGER PRIMARY KEY, {COLUMNS})");
    writer.execute_batch(&mend).unwrap();
    file.fill();
    let rows = eventually("a good look", Duration::from_secs(5), async || {
        store
            .observe(&look(Look::Ordinary))
            .await
            .ok()
            .map(|snapshot| snapshot.rows.len())
    });
    assert_eq!(rows.await, 3);
}

#[tokio::test]
async fn a_look_outlasts_a_slow_commit_also_after_a_repair() {
    let file = File::new();
    let mut store = file.store(Action::Backfill);
    let repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Backfill);
    assert!(matches!(repair(&mut store, &repair_2).await, Outcome::Repaired(_)));
    let writer = file.writer();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let looking = tokio::spawn(async move { store.observe(&look(Look::Ordinary)).await });
    // Longer than a repair waits for the lock, shorter than a look does.
    tokio::time::sleep(Duration::from_millis(450)).await;
    writer.execute_batch("COMMIT").unwrap();
    looking
        .await
        .unwrap()
        .unwrap_or_else(|error| panic!("{}", error.chain()));
}

#[tokio::test]
async fn a_file_that_stays_locked_is_said_to_be_and_left_soon() {
    let file = File::new();
    let mut store = file.store(Action::Backfill);
    snapshot(&mut store).await;
    let writer = file.writer();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let began = Instant::now();
    let error = store.observe(&look(Look::Ordinary)).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    writer.execute_batch("COMMIT").unwrap();
    snapshot(&mut store).await;
}

#[tokio::test]
async fn the_ledger_has_the_promised_columns_indexes_and_times() {
    let file = File::new();
    let mut store = file.store(Action::Backfill);
    snapshot(&mut store).await;
    assert_eq!(
        file.one::<i64>("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'beatwarden%'"),
        0,
        "looking creates nothing"
    );
    let repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Backfill);
    let Outcome::Repaired(id) = repair(&mut store, &repair_2).await else {
        panic!("not repaired");
    };
    let columns: String = file.one(
        "SELECT group_concat(name || ' ' || lower(type) || CASE pk WHEN 1 THEN ' key' ELSE '' END, ', ')
           FROM pragma_table_info('beatwarden_repairs')",
    );
    assert_eq!(
        columns,
        "repair_id text key, watch text, table_name text, job_id text, job_name text, reason text, action text, instance text, \
         started_at text, repaired_at text, before text, after text, outcome text, outcome_at text, acknowledged_at text, \
         undo_of text, version integer"
    );
    let indexes: String = file.one(
        "SELECT group_concat(columns, '; ') FROM (
            SELECT (SELECT group_concat(name) FROM pragma_index_info(list.name)) AS columns
              FROM pragma_index_list('beatwarden_repairs') AS list WHERE origin = 'c' ORDER BY columns)",
    );
    assert_eq!(indexes, "watch,job_id; watch,repaired_at");
    let entry: String = file.one(
        "SELECT concat_ws('|', repair_id, watch, table_name, job_id, job_name, reason, action, instance, version, typeof(version),
            outcome IS NULL, outcome_at IS NULL, acknowledged_at IS NULL, undo_of IS NULL) FROM beatwarden_repairs",
    );
    let id = uuid::Uuid::from_u128(id.0);
    assert_eq!(
        entry,
        format!("{id}|meltano|runs|2|b|missed_first|backfill|test/1|1|integer|1|1|1|1")
    );
    let started: String = file.one("SELECT replace(started_at, ' ', 'T') || 'Z' FROM runs WHERE id = 2");
    assert_eq!(file.one::<String>("SELECT started_at FROM beatwarden_repairs"), started);
    let repaired: String = file.one("SELECT repaired_at FROM beatwarden_repairs");
    assert!(
        repaired.len() == 27 && repaired.ends_with('Z') && repaired.as_bytes()[10] == b'T',
        "{repaired}"
    );
    let after: String = file.one("SELECT after FROM beatwarden_repairs");
    let raw: String = file.one("SELECT started_at FROM runs WHERE id = 2");
    assert_eq!(after, format!("{{\"last_heartbeat_at\":\"{raw}\"}}"));
}
