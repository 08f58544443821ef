//! What only a file can do: be replaced, vanish, be no database, belong to another user. And what the writer must never
//! notice of us: no lock kept, no checkpoint beside it, no other journal mode.

use super::{bed::mapping, look, repair, repair_of, schema_error, snapshot};
use crate::support::{beatwarden::words, eventually, stores};
use beatwarden::{
    domain::{Access, Action, Cause, Coverage, Outcome},
    mapping::Mapping,
    store::{
        Failure, Ledger, Store, StoreError, Undo,
        sqlite::{SqliteSettings, SqliteStore},
    },
};
use rusqlite::Connection;
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A job table in a file of its own.
pub struct File {
    folder: TempDir,
    pub mapping: Mapping,
    poll_timeout: Duration,
}

pub const COLUMNS: &str = "job_name VARCHAR, state VARCHAR, started_at DATETIME, ended_at DATETIME, payload VARCHAR, \
                       last_heartbeat_at DATETIME";

impl File {
    pub fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            mapping: mapping(),
            poll_timeout: Duration::from_secs(10),
        }
    }

    /// In rollback-journal mode, with a victim (2) between neighbours.
    pub fn new() -> Self {
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

    /// A connection of the writer's, which waits for no one.
    fn writer(&self) -> Connection {
        let writer = Connection::open(self.path()).unwrap();
        writer.busy_timeout(Duration::ZERO).unwrap();
        writer
    }

    pub fn sql(&self, statement: &str) {
        self.writer()
            .execute_batch(statement)
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    pub fn one<T: rusqlite::types::FromSql>(&self, query: &str) -> T {
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

    pub fn store(&self, action: Action) -> SqliteStore {
        let settings = stores::on_file(&self.path(), self.mapping.clone(), action);
        SqliteStore::new(SqliteSettings {
            poll_timeout: self.poll_timeout,
            ..settings
        })
    }
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
    let error = store.observe(&look(Coverage::Ordinary)).await.unwrap_err();
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
    let said = schema_error(file.store(Action::Fail).observe(&look(Coverage::Full)).await);
    assert!(said.contains("is not a SQLite database"), "{said}");
    assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
    assert_eq!(
        fs::read_dir(file.folder.path()).unwrap().count(),
        1,
        "no file beside it"
    );
}

#[tokio::test]
async fn a_table_without_a_unique_key_is_refused_and_a_view_is_read_but_not_repaired() {
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
        if what == "a view" {
            let obstacle = snapshot(&mut file.store(Action::Fail)).await.obstacle();
            assert_eq!(obstacle, Some(Cause::Rights), "{what}");
            continue;
        }
        let refused = file.store(Action::Observe).observe(&look(Coverage::Full)).await;
        let error = refused.expect_err(what);
        assert_eq!(error.failure(), Failure::Schema, "{what}");
        assert!(
            error.to_string().contains("not unique by a valid constraint"),
            "{what}: {error}"
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

/// What only SQLite lets a key be: NULL, twice in a view, and the number and the text of one spelling.
#[tokio::test]
async fn rows_without_a_key_are_counted_and_rows_that_share_one_fail_the_pass() {
    let rows = |keys: &[&str]| {
        let rows: Vec<String> = keys
            .iter()
            .map(|key| format!("({key}, 'RUNNING', '2026-11-01 10:00:00')"))
            .collect();
        format!("INSERT INTO t (id, state, started_at) VALUES {}", rows.join(", "))
    };
    for (create, keys, counted) in [
        (
            "CREATE TABLE t (id VARCHAR PRIMARY KEY, {}); CREATE VIEW runs AS SELECT * FROM t",
            &["'a'", "NULL", "NULL"][..],
            Some(2),
        ),
        (
            "CREATE TABLE t (id VARCHAR, {}); CREATE VIEW runs AS SELECT * FROM t",
            &["'a'", "'a'", "'b'"],
            None,
        ),
        (
            "CREATE TABLE t (id INTEGER, {}); CREATE VIEW runs AS SELECT * FROM t",
            &["7", "7"],
            None,
        ),
    ] {
        let file = File::empty();
        file.sql(&create.replace("{}", COLUMNS));
        file.sql(&rows(keys));
        let seen = file.store(Action::Observe).observe(&look(Coverage::Full)).await;
        match counted {
            Some(counted) => assert_eq!((seen.as_ref().unwrap().keyless, seen.unwrap().rows.len()), (counted, 1)),
            None => {
                let error = seen.expect_err(create);
                assert!(
                    error.failure() == Failure::Schema && error.to_string().contains("share the key id"),
                    "{error}"
                );
            }
        }
    }
    // Two keys to SQLite, and one to everyone who reads them as text.
    let file = File::empty();
    file.sql(&format!("CREATE TABLE runs (id UNIQUE, {COLUMNS})"));
    file.sql(&rows(&["1", "'1'"]).replace("INTO t", "INTO runs"));
    let error = file
        .store(Action::Observe)
        .observe(&look(Coverage::Full))
        .await
        .expect_err("1 and '1'");
    assert!(error.to_string().contains("share the key id = `1`"), "{error}");
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
    free("an ordinary look");
    store.observe(&look(Coverage::Full)).await.unwrap();
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
async fn the_writers_log_is_checkpointed_only_in_its_place_when_it_closed_before_us() {
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
    // The writer closes while a pass has the file open: the pass closes last, and does what the writer's close would have.
    let reader = Connection::open(file.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM runs").unwrap();
    writer.close().unwrap();
    drop(reader);
    snapshot(&mut store).await;
    assert_eq!(fs::read_dir(file.folder.path()).unwrap().count(), 1, "the file alone");
    assert_eq!(file.one::<String>("SELECT state FROM runs WHERE id = 2"), "FAIL");
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
    let error = store.observe(&look(Coverage::Ordinary)).await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let writer = file.writer();
    writer.busy_timeout(Duration::from_secs(5)).unwrap();
    // The interrupted read lets go of the file a moment later.
    let remedy = format!("DROP VIEW runs; CREATE TABLE runs (id INTEGER PRIMARY KEY, {COLUMNS})");
    writer.execute_batch(&remedy).unwrap();
    file.fill();
    let rows = eventually("a good look", Duration::from_secs(5), async || {
        store
            .observe(&look(Coverage::Ordinary))
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
    for _ in 0..10 {
        let began = Instant::now();
        writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let looking = tokio::spawn(async move {
            let seen = store.observe(&look(Coverage::Ordinary)).await;
            (store, seen)
        });
        // Longer than a repair waits for the lock, shorter than a pass does.
        tokio::time::sleep(Duration::from_millis(450)).await;
        writer.execute_batch("COMMIT").unwrap();
        let held = began.elapsed();
        let (again, seen) = looking.await.unwrap();
        // A busy machine can hold the lock for longer than a pass waits: that says nothing.
        if held < Duration::from_millis(950) {
            seen.unwrap_or_else(|error| panic!("{}", error.chain()));
            return;
        }
        store = again;
    }
    panic!("the machine is too busy: the lock was held for a second each time");
}

#[tokio::test]
async fn a_file_that_stays_locked_is_said_to_be_and_left_soon() {
    let file = File::new();
    let mut store = file.store(Action::Backfill);
    snapshot(&mut store).await;
    let writer = file.writer();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let began = Instant::now();
    let error = store.observe(&look(Coverage::Ordinary)).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    writer.execute_batch("COMMIT").unwrap();
    snapshot(&mut store).await;
}

/// A transaction that began by reading could not: its reading would be out of date by the time it may write.
#[tokio::test]
async fn a_repair_waits_out_a_short_write_to_another_row() {
    let file = File::new();
    file.sql("PRAGMA journal_mode = WAL");
    let mut store = file.store(Action::Fail);
    let repair_2 = repair_of(&snapshot(&mut store).await, 2, Action::Fail);
    store.prepare_ledger().await.unwrap();
    let writer = file.writer();
    let mut outcomes = Vec::new();
    // More than once, because a busy machine can make a short write longer than a repair waits.
    for _ in 0..5 {
        writer
            .execute_batch("BEGIN IMMEDIATE; UPDATE runs SET payload = 'w' WHERE id = 1")
            .unwrap();
        let repair_2 = repair_2.clone();
        let repairing = tokio::spawn(async move {
            let outcome = store.repair(&repair_2).await;
            (store, outcome)
        });
        tokio::time::sleep(Duration::from_millis(30)).await;
        writer.execute_batch("COMMIT").unwrap();
        let outcome;
        (store, outcome) = repairing.await.unwrap();
        outcomes.push(outcome);
        if matches!(outcomes.last(), Some(Outcome::Repaired(_))) {
            return;
        }
    }
    panic!("{outcomes:?}");
}

/// Runs the binary on the file as a user who may read it and no more.
#[test]
fn a_file_that_may_only_be_read_is_watched_and_not_repaired() {
    let file = File::new();
    // Root may write whatever the mode says, and no one else can reach the folder that this test's binary was built in.
    let binary = file.folder.path().join("beatwarden");
    fs::copy(env!("CARGO_BIN_EXE_beatwarden"), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(file.folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let mut check = Command::new(&binary);
    check
        .current_dir("/")
        .env_clear()
        .args(words("check --preset meltano --missed-first backfill --database"));
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        check.uid(65_534).gid(65_534);
    }
    let output = check.arg(file.path()).output().unwrap();
    fs::set_permissions(file.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("FAIL rights: "),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("run Beatwarden as user "), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

/// Neither an audit trigger of the owner's nor a view in the ledger's place lets a change go through without its entry.
#[tokio::test]
async fn a_ledger_that_does_not_keep_an_entry_keeps_the_row_as_it_was() {
    let ledgers = [
        ("BEFORE INSERT", "BEGIN SELECT RAISE(IGNORE); END"),
        (
            "AFTER INSERT",
            "BEGIN DELETE FROM beatwarden_repairs WHERE repair_id = new.repair_id; END",
        ),
        (
            "AFTER INSERT",
            "BEGIN UPDATE beatwarden_repairs SET job_id = '1' WHERE repair_id = new.repair_id; END",
        ),
        (
            "AFTER INSERT",
            "BEGIN UPDATE beatwarden_repairs SET after = '{}' WHERE repair_id = new.repair_id; END",
        ),
    ];
    for (when, body) in ledgers {
        for action in [Action::Fail, Action::Backfill] {
            let file = File::new();
            let mut store = file.store(action);
            let planned = repair_of(&snapshot(&mut store).await, 2, action);
            store.prepare_ledger().await.unwrap();
            file.sql(&format!("CREATE TRIGGER t {when} ON beatwarden_repairs {body}"));
            let before = file.rows();
            let outcome = store.repair(&planned).await;
            assert!(
                matches!(&outcome, Outcome::Failed(error) if error.contains("the ledger did not keep the entry")),
                "{when} {body}: {outcome:?}"
            );
            assert_eq!(file.rows(), before, "{when} {body}");
            assert_eq!(file.one::<i64>("SELECT count(*) FROM beatwarden_repairs"), 0);
            // What comes before an entry is seen before a repair is tried; an audit, which comes after, is none.
            let is_obstacle = when.starts_with("BEFORE");
            assert_eq!(store.prepare_ledger().await.is_err(), is_obstacle, "{when} {body}");
            let obstacles = snapshot(&mut store).await.obstacles;
            let said = obstacles
                .first()
                .map(|obstacle| (obstacle.cause, obstacle.reason.clone()));
            let is_named = matches!(&said, Some((Cause::NoLedger, reason)) if reason.contains("the trigger `t`"));
            assert_eq!(is_named, is_obstacle, "{said:?}");
        }
    }
}

#[tokio::test]
async fn an_undo_and_an_acknowledgement_without_their_entry_change_nothing() {
    let file = File::new();
    let mut store = file.store(Action::Fail);
    let planned = repair_of(&snapshot(&mut store).await, 2, Action::Fail);
    store.prepare_ledger().await.unwrap();
    let Outcome::Repaired(id) = store.repair(&planned).await else {
        panic!("no repair")
    };
    file.sql(
        "CREATE TRIGGER t AFTER INSERT ON beatwarden_repairs BEGIN DELETE FROM beatwarden_repairs WHERE repair_id = new.repair_id; END",
    );
    let before = file.rows();
    let said = store.undo(id).await.unwrap_err().chain();
    assert!(said.contains("the ledger did not keep the entry"), "{said}");
    assert_eq!(file.rows(), before);
    assert!(store.acknowledge_fuse().await.is_err());
    file.sql("DROP TRIGGER t");
    assert!(matches!(store.undo(id).await, Ok(Undo::Done { .. })));
}

#[tokio::test]
async fn what_bears_the_ledgers_name_and_is_no_ledger_withholds_all_repairs() {
    let columns = "watch, table_name, job_id, job_name, reason, action, instance, started_at, repaired_at, before, after, \
                   outcome, outcome_at, acknowledged_at, undo_of, version";
    for (create, said) in [
        (
            format!(
                "CREATE TABLE l (repair_id, {columns}); CREATE VIEW beatwarden_repairs AS SELECT * FROM l;
                     CREATE TRIGGER t INSTEAD OF INSERT ON beatwarden_repairs BEGIN SELECT 1; END"
            ),
            "is a view",
        ),
        (
            format!("CREATE TABLE beatwarden_repairs (repair_id, {columns})"),
            "no primary key on repair_id",
        ),
        (
            format!("CREATE TABLE beatwarden_repairs (repair_id, {columns}, PRIMARY KEY (repair_id, watch))"),
            "no primary key on repair_id",
        ),
        (
            "CREATE TABLE beatwarden_repairs (a)".to_owned(),
            "another program's table",
        ),
    ] {
        let file = File::new();
        file.sql(&create);
        let mut store = file.store(Action::Fail);
        let observed = snapshot(&mut store).await;
        let obstacle = observed.obstacles.first().expect("an obstacle");
        assert_eq!(obstacle.cause, Cause::NoLedger, "{create}");
        assert!(obstacle.reason.contains(said), "{create}: {}", obstacle.reason);
        let before = file.rows();
        assert!(store.prepare_ledger().await.is_err(), "{create}");
        assert_eq!(file.rows(), before, "{create}");
    }
}

/// What is too long never comes into memory, and costs no pass.
#[tokio::test]
async fn rows_with_values_beyond_every_measure_are_counted_and_cost_no_pass() {
    let file = File::empty();
    file.sql(&format!("CREATE TABLE runs (id TEXT PRIMARY KEY, {COLUMNS})"));
    let at = "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-600 seconds')";
    let long = "CAST(zeroblob(100000000) AS TEXT)";
    file.sql(&format!(
        "INSERT INTO runs (id, job_name, state, started_at, last_heartbeat_at) VALUES
            ('7', 'a', 'RUNNING', {at}, NULL),
            (CAST(zeroblob(1001) AS TEXT), 'long key', 'RUNNING', {at}, NULL),
            ('long name', {long}, 'RUNNING', {at}, NULL),
            ('long start', 'c', 'RUNNING', {long}, NULL),
            ('long beat', 'd', 'RUNNING', {at}, {long})"
    ));
    let mut store = file.store(Action::Fail);
    let observed = snapshot(&mut store).await;
    let row = |id: &str| {
        let found = observed.rows.iter().find(|row| row.id.to_string() == id);
        found.unwrap_or_else(|| panic!("{id} in {:?}", observed.rows)).clone()
    };
    assert_eq!(observed.rows.len(), 5);
    assert!(!row("7").has_unreadable_sign());
    assert!(row("(a key of 1001 bytes)").has_unreadable_sign());
    assert!(row("long start").has_unreadable_sign());
    assert!(row("long beat").has_unreadable_sign());
    assert_eq!(row("long name").name.as_deref(), Some("(a name of 100000000 bytes)"));
    store.prepare_ledger().await.unwrap();
    let outcome = store.repair(&repair_of(&observed, 7, Action::Fail)).await;
    assert!(matches!(outcome, Outcome::Repaired(_)), "{outcome:?}");
    // An entry that anyone made, of a size that no entry of ours has, and of times that there are none.
    file.sql(
        "INSERT INTO beatwarden_repairs SELECT 'ffffffff-0000-0000-0000-000000000001', watch, table_name, job_id, job_name,
            reason, action, instance, started_at, '2076-01-01T00:00:00.000000Z', CAST(zeroblob(5000000) AS TEXT),
            CAST(zeroblob(5000000) AS TEXT), outcome, outcome_at, 'infinity', undo_of, version FROM beatwarden_repairs",
    );
    let entries = snapshot(&mut store).await.newest_repairs;
    assert_eq!(entries.len(), 2);
    assert!(entries.iter().all(|entry| entry.after.len() < 1_000));
}

#[tokio::test]
async fn a_path_that_names_no_database_file_is_named_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::new(stores::on_file(folder.path(), mapping(), Action::Observe));
    let said = schema_error(store.observe(&look(Coverage::Full)).await);
    assert!(said.contains("is a folder: name the database file"), "{said}");
}
