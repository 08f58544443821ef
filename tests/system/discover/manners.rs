//! That `discover` hurts no one: bounded, without a trace, and harmless with whatever names there are.

use super::{JOBS_OF_A_FILE as JOBS, checked, discovered, file, in_force, server};
use crate::support::{
    Session,
    beatwarden::{command, run},
    postgres,
};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

/// Everything about the files of a folder that a user could notice.
fn files(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let read = |entry: fs::DirEntry| {
        let modified = entry.metadata().unwrap().modified().unwrap();
        (
            entry.file_name().to_string_lossy().into_owned(),
            (fs::read(entry.path()).unwrap(), modified),
        )
    };
    entries.map(read).collect()
}

#[test]
fn a_file_and_its_folder_stay_as_they_are() {
    for mode in ["delete", "wal"] {
        let (folder, path) = file(&format!("PRAGMA journal_mode = {mode}; {JOBS}"));
        let before = files(folder.path());
        assert!(discovered(&path).contains("name = \"jobs\""));
        assert_eq!(files(folder.path()), before, "{mode}");

        // Beside a writer that has it open, and whose rows are in the log still. The files themselves are not opened by this process:
        // closing one would drop the locks of its connection.
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let writer = rusqlite::Connection::open(&path).unwrap();
        writer
            .execute_batch("INSERT INTO jobs VALUES (2, 'queued', NULL, NULL)")
            .unwrap();
        let before = names();
        assert!(discovered(&path).contains("waiting = [\"queued\"]"));
        assert_eq!(names(), before, "{mode}");
        writer
            .execute_batch("INSERT INTO jobs VALUES (3, 'queued', NULL, NULL)")
            .unwrap();
    }
    // What a writer leaves that dies: its rows are in the log.
    let (folder, path) = file(&format!("PRAGMA journal_mode = wal; {JOBS}"));
    let writer = rusqlite::Connection::open(&path).unwrap();
    writer
        .execute_batch("INSERT INTO jobs VALUES (2, 'queued', NULL, NULL)")
        .unwrap();
    let left = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), left.path().join(entry.file_name())).unwrap();
    }
    let path = left.path().join(Path::new(&path).file_name().unwrap());
    let data = |(name, _): &(String, (Vec<u8>, SystemTime))| !name.ends_with("-shm");
    let before: Vec<_> = files(left.path()).into_iter().filter(data).collect();
    assert_eq!(before.len(), 2, "the file and its log");
    assert!(discovered(path.to_str().unwrap()).contains("waiting = [\"queued\"]"));
    assert_eq!(files(left.path()).into_iter().filter(data).collect::<Vec<_>>(), before);
    let nowhere = tempfile::tempdir().unwrap();
    let path = nowhere.path().join("jobs.db");
    let (status, said, complaint) = run(&["discover", path.to_str().unwrap()]);
    assert!(
        status.code() == Some(1) && said.is_empty() && complaint.contains("check the path"),
        "{complaint}"
    );
    assert!(files(nowhere.path()).is_empty(), "nothing is made in its place");
}

#[tokio::test]
async fn a_server_counts_no_change_and_no_session_stays() {
    let database = server(JOBS).await;
    let client = database.client().await;
    let changes = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint, (SELECT count(*) FROM pg_class)
                     FROM pg_stat_user_tables";
    let counted = async || {
        client.run("SELECT pg_stat_force_next_flush()").await;
        let row = client.query_one(changes, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    // The session that made the table reports its rows when it ends.
    let rows: i64 = client.query_one("SELECT count(*) FROM jobs", &[]).await.unwrap().get(0);
    let before = crate::support::eventually("the rows that were made", Duration::from_secs(10), async || {
        Some(counted().await).filter(|(changes, _)| *changes == rows)
    })
    .await;
    assert!(discovered(&database.url).contains("name = \"jobs\""));
    assert_eq!(counted().await, before);
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'beatwarden' AND datname = current_database()";
    crate::support::eventually("the session's end", Duration::from_secs(10), async || {
        (client.query_one(sessions, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn of_five_hundred_tables_none_is_taken_for_one_of_jobs() {
    let one = "(id integer PRIMARY KEY, name text, status text, kind text, amount numeric, created_at timestamp, updated_at timestamp)";
    let tables: Vec<String> = (0..500).map(|n| format!("CREATE TABLE orders_{n} {one};")).collect();
    let tables = tables.join("\n");
    let (_folder, path) = file(&format!("BEGIN; {tables} COMMIT;"));
    let database = server(&tables).await;
    for target in [path.as_str(), database.url.as_str()] {
        let said = discovered(target);
        assert!(
            said.contains("500 tables, none of which looks like a table of jobs."),
            "{said}"
        );
        assert!(in_force(&said).is_empty());
    }
    let (_folder, path) = file("SELECT 1");
    let database = server("SELECT 1").await;
    for target in [path.as_str(), database.url.as_str()] {
        assert!(discovered(target).contains("The database holds no table"));
    }
}

#[tokio::test]
async fn a_table_that_is_locked_is_named_and_not_waited_for() {
    let database = server(JOBS).await;
    let holder = database.client().await;
    holder.run("BEGIN; LOCK TABLE jobs").await;
    let said = discovered(&database.url);
    assert!(
        said.contains("its rows were not read: ") && said.contains("# running = [\"running\"]"),
        "{said}"
    );
    holder.run("COMMIT").await;
    assert!(discovered(&database.url).contains("\nrunning = [\"running\"]\n"));
}

#[tokio::test]
async fn a_table_that_may_not_be_read_is_named_with_what_is_missing() {
    let database = server(JOBS).await;
    let client = database.client().await;
    let role = format!("stranger_{}", std::process::id());
    client.run(&format!("CREATE ROLE {role} LOGIN")).await;
    let url = database.url.replacen("postgres@", &format!("{role}@"), 1);
    assert_ne!(url, database.url);
    let said = discovered(&url);
    assert!(
        said.contains("`jobs` looks like a table of jobs") && said.contains("this role may not read `id`, `state`"),
        "{said}"
    );
    client.run(&format!("GRANT SELECT ON jobs TO {role}")).await;
    let said = discovered(&url);
    assert!(!said.contains("may not read"), "{said}");
    assert!(checked(&said).0, "{said}");
}

/// Tables of which the planner computes a piece before it reads a row, by a function that shows who called it.
const SNARED: [&str; 5] = ["jobs_a", "jobs_b", "jobs_c", "jobs_d", "jobs_e"];
const SNARES: &str = "
    CREATE FUNCTION snare(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
        IF current_user LIKE 'careful%' THEN RAISE EXCEPTION 'trapped'; END IF; RETURN $1; END $$;
    CREATE TABLE jobs_a (id integer PRIMARY KEY, state text, started_at timestamptz, heartbeat_at timestamptz);
    CREATE TABLE jobs_b (LIKE jobs_a INCLUDING ALL);
    CREATE TABLE jobs_c (LIKE jobs_a INCLUDING ALL);
    CREATE TABLE jobs_e (LIKE jobs_a INCLUDING ALL);
    INSERT INTO jobs_c SELECT n, 'done', now(), now() FROM generate_series(1, 100) AS n;
    CREATE INDEX ON jobs_a (id) WHERE id > snare(1);
    CREATE INDEX ON jobs_b ((id + snare(1)));
    CREATE STATISTICS of_jobs_c ON (id + snare(1)), state FROM jobs_c;
    ANALYZE jobs_c;
    CREATE TABLE jobs_d (id integer, state text, started_at timestamptz, heartbeat_at timestamptz) PARTITION BY RANGE ((id + snare(1)));
    CREATE TABLE others PARTITION OF jobs_d DEFAULT;
    CREATE TABLE heir (CHECK (id > snare(1))) INHERITS (jobs_e);";

#[tokio::test]
async fn the_code_of_others_is_not_run() {
    let database = server(
        "CREATE TABLE called (n integer);
         CREATE FUNCTION trap() RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
         CREATE VIEW running_jobs AS SELECT 1 AS id, trap() AS state, now() AS started_at, now() AS heartbeat_at;
         CREATE TABLE jobs (id integer PRIMARY KEY, state text, started_at timestamptz, heartbeat_at timestamptz);
         ALTER TABLE jobs ENABLE ROW LEVEL SECURITY;
         CREATE POLICY trap ON jobs USING (trap() = '');
         INSERT INTO jobs VALUES (1, 'running', now(), now());
         CREATE SCHEMA evil;
         CREATE FUNCTION evil.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
         CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.equal);",
    )
    .await;
    let client = database.client().await;
    client.run(SNARES).await;
    let role = format!("careful_{}", std::process::id());
    let grants = format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
         ALTER ROLE {role} SET search_path = evil, public, pg_catalog; GRANT USAGE ON SCHEMA evil TO {role}"
    );
    client.run(&grants).await;
    let url = database.url.replacen("postgres@", &format!("{role}@"), 1);
    // Each of the snares works.
    let stranger = postgres::connect(&url).await;
    for table in SNARED {
        let plan = format!(
            "EXPLAIN SELECT id FROM public.{table} WHERE state OPERATOR(pg_catalog.=) 'running' ORDER BY id DESC LIMIT 5"
        );
        let error = stranger.batch_execute(&plan).await.expect_err(table);
        let said = error.as_db_error().unwrap().message().to_owned();
        assert_eq!(said, "trapped", "{table}");
    }
    let said = discovered(&url);
    assert!(!said.contains("trapped"), "{said}");
    assert_eq!(
        said.matches("its rows were not read, because that runs code of its owner")
            .count(),
        2 + SNARED.len(),
        "{said}"
    );
    assert!(
        said.contains("it is a view: its jobs can be observed, and never repaired"),
        "{said}"
    );
}

#[tokio::test]
async fn a_materialized_view_is_named_as_one_that_stands_still() {
    let frozen = "CREATE MATERIALIZED VIEW frozen_jobs AS SELECT * FROM jobs; CREATE UNIQUE INDEX ON frozen_jobs (id);";
    let database = server(&format!("{JOBS} {frozen}")).await;
    let said = discovered(&database.url).replace("\n#   ", " ");
    let words =
        "its rows are those of its last refresh, so living jobs seem to be lost: watch the table that it is made of";
    assert_eq!(said.matches(words).count(), 1, "{said}");
    assert!(said.contains("it is a materialized view"), "{said}");
}

#[tokio::test]
async fn whatever_a_table_is_called_the_file_can_be_read() {
    const COLUMNS: &str = "(\"i\"\"d\" integer PRIMARY KEY, \"state # x\" text, \"'started' \\at\" timestamp, \"\u{1f525} heartbeat\" timestamp);";
    let hostile = [
        "a \"b\" 'c' # [[watch]]",
        "two\nlines\n[[watch]]",
        "\u{1f525}\u{202e}",
        "dot.ted",
        "back\\slash",
    ];
    let tables: Vec<String> = hostile
        .iter()
        .map(|name| format!("CREATE TABLE \"{}_jobs\" {COLUMNS}", name.replace('"', "\"\"")))
        .collect();
    let tables = tables.join("\n");
    let rows = "INSERT INTO \"back\\slash_jobs\" VALUES (1, 'running', '2026-01-01 10:00:00', NULL),
                    (2, E'run\"ning\\n[x]', '2026-01-01 10:00:00', NULL);";
    let (_folder, path) = file(&format!(
        "{tables} {}",
        rows.replace("E'run\"ning\\n[x]'", "'run\"ning' || char(10) || '[x]'")
    ));
    let database = server(&format!("{tables} {rows}")).await;
    for target in [path.as_str(), database.url.as_str()] {
        let said = discovered(target);
        for line in said.lines() {
            let starts = [
                "#",
                "[",
                "name = ",
                "id = ",
                "state = ",
                "started_at = ",
                "last_heartbeat_at = ",
                "database = ",
            ];
            let more = ["running = ", "time_zone = "];
            assert!(
                line.is_empty() || starts.iter().chain(&more).any(|start| line.starts_with(start)),
                "{line}"
            );
        }
        assert!(!said.contains('\u{202e}'), "{said}");
        assert!(said.contains("which a configuration can't name"), "{said}");
        // All of them uncommented are one file that is read: what is open is said, and nothing else.
        let whole: Vec<&str> = said
            .lines()
            .map(|line| {
                line.strip_prefix("# ")
                    .filter(|rest| rest.starts_with('[') && !rest.starts_with("[\"") || rest.contains(" = "))
                    .unwrap_or(line)
            })
            .collect();
        let (_, report) = checked(&whole.join("\n"));
        assert!(
            !report.contains("TOML") && !report.contains("unknown key"),
            "{said}\n{report}"
        );
    }
}

#[tokio::test]
async fn a_password_is_never_printed_and_the_file_works_where_it_is_set() {
    let database = server(JOBS).await;
    let url = database.url.replacen("postgres@", "postgres:s3cr3t-pass@", 1);
    let (status, said, complaint) = run(&["discover", &url]);
    assert!(status.success(), "{said}{complaint}");
    assert!(
        !said.contains("s3cr3t-pass") && !complaint.contains("s3cr3t-pass"),
        "{said}{complaint}"
    );
    assert!(
        said.contains("set PGPASSWORD") && said.contains("database = \"postgresql://postgres@"),
        "{said}"
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("beatwarden.toml"), &said).unwrap();
    let checked = command(folder.path())
        .arg("check")
        .env("PGPASSWORD", "s3cr3t-pass")
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));

    // A file with the URL is named, and not what is in it.
    fs::write(folder.path().join("url"), &url).unwrap();
    let output = command(folder.path())
        .args(["discover", "--database-file", "url"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("database_file = \"") && !said.contains("s3cr3t-pass"),
        "{said}"
    );
}

#[test]
fn a_server_that_refuses_or_is_not_there_is_said_in_the_usual_words() {
    let nowhere = format!("postgres://u:hush@127.0.0.1:{}/x", postgres::free_port());
    let (status, said, complaint) = run(&["discover", &nowhere]);
    assert!(status.code() == Some(1) && said.is_empty(), "{said}{complaint}");
    assert!(
        complaint.contains("no connection to ") && !complaint.contains("hush"),
        "{complaint}"
    );
    let (folder, _) = file("SELECT 1");
    let text = folder.path().join("text.db");
    fs::write(&text, "no database at all, but long enough to have a head").unwrap();
    let (status, _, complaint) = run(&["discover", text.to_str().unwrap()]);
    assert!(
        status.code() == Some(1) && complaint.contains("is not a SQLite database"),
        "{complaint}"
    );
}
