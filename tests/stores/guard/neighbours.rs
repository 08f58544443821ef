//! Tables whose names are alike or long, beside each other: each has a guard, an index and a ledger of its own.

use crate::support::{
    Session,
    beatwarden::run,
    postgres::{self, TestDatabase},
};
use std::fs;
use tempfile::TempDir;

/// A configuration that watches these tables with the columns of Meltano.
fn config(url: &str, tables: &[&str], more: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let watches: Vec<String> = tables
        .iter()
        .enumerate()
        .map(|(at, table)| {
            format!(
                "[[watch]]\nname = 'w{at}'\ndatabase = '{url}'\npreset = 'meltano'\ntable.name = '{table}'\n{more}\n"
            )
        })
        .collect();
    fs::write(folder.path().join("b.toml"), watches.concat()).unwrap();
    folder
}

fn beatwarden(folder: &TempDir, arguments: &[&str]) -> (i32, String) {
    let file = folder.path().join("b.toml");
    let (status, said, complaint) = run(&[arguments, &["--config", file.to_str().unwrap()]].concat());
    (status.code().unwrap(), format!("{said}{complaint}"))
}

fn ok(folder: &TempDir, arguments: &[&str]) -> String {
    let (code, said) = beatwarden(folder, arguments);
    assert_eq!(code, 0, "{arguments:?}: {said}");
    said
}

const COLUMNS: &str = "(id integer PRIMARY KEY, job_name varchar(99), state varchar(99), started_at timestamp, \
                       ended_at timestamp, payload text, last_heartbeat_at timestamp)";

async fn server(tables: &[&str]) -> (TestDatabase, tokio_postgres::Client) {
    let database = postgres::shared().database().await;
    let client = database.client().await;
    for table in tables {
        client.run(&format!("CREATE TABLE \"{table}\" {COLUMNS}")).await;
    }
    (database, client)
}

async fn beats(client: &tokio_postgres::Client, table: &str) -> i64 {
    let query = format!("SELECT count(last_heartbeat_at) FROM \"{table}\"");
    client.query_one(&query, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_share_forty_characters_are_guarded_apart() {
    let (one, other) = (format!("{}_one", "j".repeat(45)), format!("{}_other", "j".repeat(45)));
    let (database, client) = server(&[&one, &other]).await;
    for table in [&one, &other] {
        let row = format!("INSERT INTO \"{table}\" (id, state, started_at) VALUES (1, 'IDLE', '2026-11-01 10:00')");
        client.run(&row).await;
    }
    let both = config(&database.url, &[&one, &other], "");
    ok(&both, &["guard", "install"]);
    assert_eq!(
        ok(&both, &["guard", "status"]).matches("installed and sound").count(),
        2
    );
    let start = format!("UPDATE \"{one}\" SET state = 'RUNNING'");
    client.run(&start).await;
    assert_eq!((beats(&client, &one).await, beats(&client, &other).await), (1, 0));
    ok(&config(&database.url, &[&one], ""), &["guard", "remove"]);
    let said = ok(&config(&database.url, &[&other], ""), &["guard", "status"]);
    assert!(said.contains("installed and sound"), "{said}");
    ok(&both, &["guard", "install", "--index"]);
    let count = "SELECT count(DISTINCT tablename) FROM pg_indexes WHERE indexname LIKE 'beatwarden\\_running\\_%'";
    assert_eq!(client.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 2);
}

/// Whatever else calls its function: a trigger that was copied to another table, by hand or by a tool.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_whose_function_another_table_calls_writes_to_neither_for_it() {
    let (database, client) = server(&["runs", "copies"]).await;
    ok(&config(&database.url, &["runs"], ""), &["guard", "install"]);
    let scene = "CREATE TRIGGER zz_beatwarden_guard BEFORE INSERT ON copies FOR EACH ROW EXECUTE FUNCTION beatwarden_guard_runs();
        CREATE TRIGGER zz_beatwarden_guard_start AFTER UPDATE OF state ON copies FOR EACH ROW EXECUTE FUNCTION beatwarden_guard_runs();
        ALTER TABLE runs DISABLE TRIGGER USER;
        INSERT INTO runs (id, state, started_at) VALUES (1, 'RUNNING', now()); ALTER TABLE runs ENABLE TRIGGER USER;
        INSERT INTO copies (id, state, started_at) VALUES (1, 'IDLE', now()), (2, 'RUNNING', now());
        UPDATE copies SET state = 'RUNNING' WHERE id = 1";
    client.run(scene).await;
    assert_eq!((beats(&client, "runs").await, beats(&client, "copies").await), (0, 0));
    let (code, said) = beatwarden(&config(&database.url, &["copies"], ""), &["guard", "status"]);
    assert!(code == 1 && said.contains("which is not the guard's"), "{said}");
    // Neither does removing what was copied disarm the one that it was copied from.
    ok(&config(&database.url, &["copies"], ""), &["guard", "remove"]);
    ok(&config(&database.url, &["runs"], ""), &["guard", "status"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_is_guarded_with_its_partitions() {
    let (database, client) = server(&[]).await;
    let table = COLUMNS.to_owned();
    let scene = format!(
        "CREATE TABLE runs {table} PARTITION BY RANGE (id); CREATE TABLE low PARTITION OF runs FOR VALUES FROM (0) TO (10);
         CREATE TABLE high PARTITION OF runs FOR VALUES FROM (10) TO (100)"
    );
    client.run(&scene).await;
    let folder = config(&database.url, &["runs"], "");
    ok(&folder, &["guard", "install"]);
    let starts = "INSERT INTO runs (id, state, started_at) VALUES (1, 'RUNNING', now()), (11, 'RUNNING', now()), (2, 'IDLE', now());
        UPDATE runs SET state = 'RUNNING' WHERE id = 2; INSERT INTO high (id, state, started_at) VALUES (12, 'RUNNING', now())";
    client.run(starts).await;
    assert_eq!(beats(&client, "runs").await, 4);
    ok(&folder, &["guard", "remove"]);
}

/// 63 bytes, in scripts of one to four bytes a character; their ledgers likewise. Watched, guarded, indexed and repaired.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_sixty_three_bytes_in_any_script_can_be_watched_and_repaired() {
    let names = [
        "x".repeat(63),
        format!("{}x", "ж".repeat(31)),
        "作".repeat(21),
        "🦀".repeat(15),
        "задания_выполнения_отчётов".to_owned(),
    ];
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (database, client) = server(&names).await;
    for name in &names {
        let row =
            format!("INSERT INTO \"{name}\" (id, state, started_at) VALUES (1, 'RUNNING', now() AT TIME ZONE 'UTC')");
        client.run(&row).await;
        // The ledger of one is as long as its table's name.
        let ledger: String = format!("z{name}");
        let mut ledger = ledger.as_str();
        while ledger.len() > 63 {
            ledger = &ledger[..ledger.char_indices().last().unwrap().0];
        }
        let folder = config(&database.url, &[name], &format!("repair.ledger = '{ledger}'"));
        ok(&folder, &["check"]);
        ok(&folder, &["guard", "install"]);
        ok(&folder, &["guard", "status"]);
        ok(&folder, &["guard", "install", "--index"]);
        let grants = ok(&folder, &["grants", "--role", "postgres"]);
        client.run(&grants).await;
        let indexes = "SELECT count(*) FROM pg_indexes WHERE tablename = $1";
        let count: i64 = client.query_one(indexes, &[&ledger]).await.unwrap().get(0);
        assert_eq!(count, 5, "the ledger's key and its four indexes: {ledger}");
        ok(&folder, &["guard", "remove"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ledgers_that_share_forty_characters_have_their_own_indexes() {
    let (database, client) = server(&["runs", "others"]).await;
    let ledgers = [format!("{}_one", "l".repeat(42)), format!("{}_two", "l".repeat(42))];
    for (table, ledger) in ["runs", "others"].iter().zip(&ledgers) {
        let folder = config(&database.url, &[table], &format!("repair.ledger = '{ledger}'"));
        let grants = ok(&folder, &["grants", "--role", "postgres"]);
        client.run(&grants).await;
        let indexes = "SELECT count(*) FROM pg_indexes WHERE tablename = $1";
        assert_eq!(
            client.query_one(indexes, &[ledger]).await.unwrap().get::<_, i64>(0),
            5,
            "{ledger}"
        );
    }
}

/// Fills the places of a body as an earlier version did for the table `runs` or one like it.
fn former_body(table: &str) -> String {
    include_str!("../../../src/store/postgres/sql/guard_body_former.sql")
        .replace("{{state}}", "\"state\"")
        .replace("{{heartbeat_at}}", "\"last_heartbeat_at\"")
        .replace("{{id}}", "\"id\"")
        .replace("{{guard_running}}", "ARRAY[E'RUNNING']::text[]")
        .replace("{{guard_value}}", "NEW.\"started_at\"")
        .replace("{{table}}", &format!("\"public\".\"{table}\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_version_installed_is_recognised_brought_over_and_removed() {
    let long = format!("{}_of_today", "r".repeat(45));
    for table in ["runs", long.as_str()] {
        let (database, client) = server(&[table]).await;
        let former: String = format!("beatwarden_guard_{}", table.chars().take(40).collect::<String>());
        let index: String = format!("beatwarden_running_{}", table.chars().take(40).collect::<String>());
        let body = former_body(table);
        let install = format!(
            "CREATE FUNCTION \"{former}\"() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $g$\n{body}$g$;
             CREATE TRIGGER zz_beatwarden_guard BEFORE INSERT ON \"{table}\" FOR EACH ROW EXECUTE FUNCTION \"{former}\"();
             CREATE TRIGGER zz_beatwarden_guard_start AFTER UPDATE OF state ON \"{table}\" FOR EACH ROW EXECUTE FUNCTION \"{former}\"();
             CREATE INDEX \"{index}\" ON \"{table}\" (id) WHERE state IN ('RUNNING')"
        );
        client.run(&install).await;
        let folder = config(&database.url, &[table], "");
        let status = || ok(&folder, &["guard", "status"]);
        assert!(
            status().contains("installed under an old name or in an old form"),
            "{}",
            status()
        );
        assert!(ok(&folder, &["check"]).contains("note guard: installed under an old name"));
        ok(&folder, &["guard", "install"]);
        assert!(status().contains("installed and sound"), "{}", status());
        ok(&folder, &["guard", "install", "--index"]);
        let one = "SELECT (SELECT count(*) FROM pg_proc WHERE proname LIKE 'beatwarden%') = 1
                      AND (SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'beatwarden%') = 1";
        assert!(
            client.query_one(one, &[]).await.unwrap().get::<_, bool>(0),
            "nothing is there twice"
        );
        ok(&folder, &["guard", "remove"]);
        client.run("DROP FUNCTION IF EXISTS beatwarden_guard_runs()").await;
        client
            .run(install.rsplit_once("CREATE INDEX").unwrap().0.trim_end())
            .await;
        ok(&folder, &["guard", "remove"]);
        let none = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'beatwarden%'";
        assert_eq!(client.query_one(none, &[]).await.unwrap().get::<_, i64>(0), 0);
    }
}

/// Two tables whose guards shared one function: the second installation had replaced the body of the first's.
#[tokio::test(flavor = "multi_thread")]
async fn guards_that_shared_a_function_are_taken_apart() {
    let (one, other) = (format!("{}_one", "s".repeat(45)), format!("{}_other", "s".repeat(45)));
    let (database, client) = server(&[&one, &other]).await;
    let former = format!("beatwarden_guard_{}", "s".repeat(40));
    let mut install = format!(
        "CREATE FUNCTION {former}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $g$\n{}$g$;",
        former_body(&other)
    );
    for table in [&one, &other] {
        install.push_str(&format!(
            "CREATE TRIGGER zz_beatwarden_guard BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {former}();
             CREATE TRIGGER zz_beatwarden_guard_start AFTER UPDATE OF state ON {table} FOR EACH ROW EXECUTE FUNCTION {former}();"
        ));
    }
    client.run(&install).await;
    let (first, second) = (config(&database.url, &[&one], ""), config(&database.url, &[&other], ""));
    let (code, said) = beatwarden(&first, &["guard", "status"]);
    assert!(code == 1 && said.contains("has another body"), "{said}");
    // Removing the one leaves the other's function as it is.
    ok(&first, &["guard", "remove"]);
    assert!(ok(&second, &["guard", "status"]).contains("under an old name"));
    ok(&first, &["guard", "install"]);
    ok(&second, &["guard", "install"]);
    for folder in [&first, &second] {
        assert!(ok(folder, &["guard", "status"]).contains("installed and sound"));
    }
}

fn file(tables: &[&str]) -> (TempDir, rusqlite::Connection, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    for table in tables {
        let create = format!("CREATE TABLE \"{table}\" {COLUMNS}");
        connection.execute_batch(&create).unwrap();
    }
    let url = path.to_str().unwrap().to_owned();
    (folder, connection, url)
}

#[test]
fn two_tables_of_one_file_are_guarded_and_indexed_apart() {
    let long = format!("{}_of_years", "q".repeat(90));
    let tables = ["runs", "other \"runs\"", long.as_str()];
    let (_folder, connection, url) = file(&["runs", "other \"\"runs\"\"", &long]);
    let all = config(&url, &tables, "");
    ok(&all, &["guard", "install"]);
    ok(&all, &["guard", "install", "--index"]);
    assert_eq!(ok(&all, &["guard", "status"]).matches("installed and sound").count(), 3);
    for table in ["runs", "other \"\"runs\"\"", &long] {
        let insert =
            format!("INSERT INTO \"{table}\" (id, state, started_at) VALUES (1, 'RUNNING', '2026-11-01 10:00:00')");
        connection.execute_batch(&insert).unwrap();
        let beats = format!("SELECT count(last_heartbeat_at) FROM \"{table}\"");
        assert_eq!(connection.query_row(&beats, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    }
    ok(&config(&url, &["runs"], ""), &["guard", "remove"]);
    ok(&config(&url, &tables[1..], ""), &["guard", "status"]);
}

#[test]
fn what_an_earlier_version_left_in_a_file_is_brought_over_and_not_another_tables() {
    let (_folder, connection, url) = file(&["runs", "others"]);
    let set = "BEGIN\n    UPDATE \"runs\" SET \"last_heartbeat_at\" = \"started_at\" WHERE \"id\" = NEW.\"id\" AND \"last_heartbeat_at\" IS NULL;\nEND";
    let former = format!(
        "CREATE TRIGGER beatwarden_guard_insert AFTER INSERT ON \"runs\"
WHEN NEW.\"state\" IN ('RUNNING') AND NEW.\"last_heartbeat_at\" IS NULL
{set};
CREATE TRIGGER beatwarden_guard_update AFTER UPDATE OF \"state\" ON \"runs\"
WHEN NEW.\"state\" IN ('RUNNING') AND NEW.\"last_heartbeat_at\" IS NULL AND (OLD.\"state\" IS NULL OR OLD.\"state\" NOT IN ('RUNNING'))
{set};"
    );
    connection.execute_batch(&former).unwrap();
    let (runs, others) = (config(&url, &["runs"], ""), config(&url, &["others"], ""));
    assert!(ok(&runs, &["guard", "status"]).contains("under an old name"));
    assert!(beatwarden(&others, &["guard", "status"]).1.contains("is missing"));
    ok(&others, &["guard", "install"]);
    ok(&others, &["guard", "remove"]);
    assert!(
        ok(&runs, &["guard", "status"]).contains("under an old name"),
        "the neighbour left it alone"
    );
    ok(&runs, &["guard", "install"]);
    assert!(ok(&runs, &["guard", "status"]).contains("installed and sound"));
    let count = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'";
    assert_eq!(connection.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    ok(&runs, &["guard", "remove"]);
    connection.execute_batch(&former).unwrap();
    ok(&runs, &["guard", "remove"]);
    assert_eq!(connection.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_sql_takes_names_that_try_to_end_its_quotes() {
    let (database, client) = server(&["$beatwarden_guard$; it's \\ odd"]).await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[[watch]]\nname = 'w'\ndatabase = '{}'\npreset = 'meltano'\ntable.name = \"$beatwarden_guard$; it's \\\\ odd\"\n",
        database.url
    );
    fs::write(folder.path().join("b.toml"), text).unwrap();
    let install = ok(&folder, &["guard", "install", "--print"]);
    client.run(&install).await;
    ok(&folder, &["guard", "status"]);
    let remove = ok(&folder, &["guard", "remove", "--print"]);
    client.run(&remove).await;
    assert_eq!(beatwarden(&folder, &["guard", "status"]).0, 1);
}
