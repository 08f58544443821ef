//! What the owner of a watched table can do through its triggers, which run with the rights of the role that repairs: nothing
//! of it reaches the next watch through our connections, and what it can do at once stands in the documents.

use crate::support::{
    Session,
    beatwarden::{Beatwarden, run, words},
    eventually,
    postgres::{TestDatabase, connect, shared},
    runs::TABLE,
};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// Two owners with a table each, and one role that repairs both.
async fn site() -> (TestDatabase, tempfile::TempDir, String) {
    let database = shared().database().await;
    let owner = database.client().await;
    let name = database.url.rsplit('/').next().unwrap().to_owned();
    let (role, folder) = (format!("dog_{name}"), tempfile::tempdir().unwrap());
    owner.run(&format!("CREATE ROLE {role} LOGIN")).await;
    let url = database.url.replacen("postgres@", &format!("{role}@"), 1);
    let mut watches = String::new();
    for schema in ["app", "vic"] {
        owner
            .run(&format!(
                "CREATE ROLE {schema}_{name}; CREATE SCHEMA {schema} AUTHORIZATION {schema}_{name};
                 {};
                 ALTER TABLE {schema}.runs OWNER TO {schema}_{name};
                 INSERT INTO {schema}.runs (id, job_name, state, started_at, last_heartbeat_at, payload)
                    VALUES (7, 'alive', 'RUNNING', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' + interval '1 hour', '{{}}')",
                TABLE.replacen("runs", &format!("{schema}.runs"), 1)
            ))
            .await;
        watches.push_str(&format!(
            "[[watch]]\nname = \"{schema}\"\npreset = \"meltano\"\ndatabase = \"{url}\"\npoll_interval = \"200ms\"\n\
             init_deadline = \"1s\"\nheartbeat_timeout = \"1s\"\n[watch.table]\nname = \"{schema}.runs\"\n[watch.repair]\nmissed_first = \"fail\"\n"
        ));
    }
    let file = folder.path().join("beatwarden.toml");
    std::fs::write(&file, watches).unwrap();
    for schema in ["app", "vic"] {
        let arguments = format!(
            "grants --config {} --watch {schema} --role {role}",
            file.to_str().unwrap()
        );
        let arguments = words(&arguments);
        let (status, sql, log) = run(&arguments);
        assert!(status.success(), "{log}");
        owner.run(&sql).await;
    }
    (database, folder, role)
}

/// What a trigger leaves in a session, and what shows that it is there.
const LEAVES: &str = "CREATE FUNCTION app.leave() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM set_config('search_path', 'app', false), set_config('statement_timeout', '1', false),
            set_config('default_transaction_read_only', 'on', false),
            pg_advisory_lock(1111834964, 'vic.runs'::regclass::oid::int);
    CREATE TEMPORARY TABLE runs AS SELECT 1 AS id;
    CREATE TEMPORARY TABLE beatwarden_repairs AS SELECT 1 AS id;
    LISTEN left_here;
    EXECUTE 'PREPARE left_here AS SELECT 1';
    RETURN NEW;
 END $$;
 CREATE TRIGGER leave BEFORE UPDATE ON app.runs FOR EACH ROW EXECUTE FUNCTION app.leave()";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_leaves_in_a_session_reaches_no_other_watch_and_ends_with_the_pass() {
    let (database, folder, role) = site().await;
    let owner = database.client().await;
    owner.run(LEAVES).await;
    let file = folder.path().join("beatwarden.toml");
    let dog = Beatwarden::watch(&["--config", file.to_str().unwrap()]).await;
    let dead = |schema: &str, id: u32| {
        format!(
            "INSERT INTO {schema}.runs (id, job_name, state, started_at, payload)
             VALUES ({id}, 'dead', 'RUNNING', clock_timestamp() AT TIME ZONE 'UTC', '{{}}')"
        )
    };
    let repaired =
        |schema: &str| format!("repairs_total{{action=\"fail\",reason=\"missed_first\",watch=\"{schema}\"}}");
    for round in 1..=2_u32 {
        owner.run(&dead("app", round)).await;
        dog.metric_becomes(&repaired("app"), f64::from(round), SOON).await;
        // The lock is gone, and with it the session.
        eventually(format_args!("no lock is left: {}", dog.whole_log()), SOON, async || {
            let locks = owner
                .query(
                    "SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 1111834964",
                    &[],
                )
                .await
                .unwrap();
            locks.is_empty().then_some(())
        })
        .await;
        owner.run(&dead("vic", round)).await;
        dog.metric_becomes(&repaired("vic"), f64::from(round), SOON).await;
    }
    // The owner's millisecond may be too short for the end of a repair of its own table, which is tried again then. The server
    // signals its timeout to itself twice, and says of the second that it is a user's request.
    let log = dog.log();
    let mut failed = log.lines().filter(|line| line.contains("repair failed"));
    let by_the_owner = |line: &str| line.contains("watch=\"app\"") && line.contains("SQLSTATE 57014");
    assert!(failed.all(by_the_owner), "{log}");
    let entries = owner
        .query_one("SELECT count(*) FROM vic.beatwarden_repairs", &[])
        .await
        .unwrap();
    assert_eq!(entries.get::<_, i64>(0), 2);
    let _ = role;
}

/// What the owner of `app.runs` tries in a trigger, with the rights of a role that `grants` made for it and for `vic.runs`:
/// docs/operations.md has the same table.
const ATTEMPTS: [(&str, &str); 14] = [
    ("PERFORM payload FROM vic.runs", ""),
    ("UPDATE vic.runs SET state = 'FAIL' WHERE id = 7", ""),
    (
        "INSERT INTO vic.beatwarden_repairs (repair_id, watch, table_name, job_id, reason, action, instance, repaired_at, before, after, version)
         VALUES (gen_random_uuid(), 'vic', 'vic.runs', '', 'missed_first', 'ack_fuse', 'x', now(), '{}', '{}', 2)",
        "",
    ),
    ("UPDATE vic.beatwarden_repairs SET acknowledged_at = now()", ""),
    ("DELETE FROM vic.beatwarden_repairs", "42501"),
    ("UPDATE vic.beatwarden_repairs SET before = '{}'", "42501"),
    ("UPDATE vic.runs SET job_name = 'x'", "42501"),
    ("DELETE FROM vic.runs", "42501"),
    ("EXECUTE format('ALTER ROLE %I SET search_path = app', current_user)", ""),
    ("EXECUTE format('ALTER ROLE %I CREATEROLE', current_user)", "42501"),
    ("EXECUTE format('ALTER ROLE %I CONNECTION LIMIT 1', current_user)", "42501"),
    ("CREATE TABLE vic.mine (id integer)", "42501"),
    ("COPY (SELECT 1) TO PROGRAM 'true'", "42501"),
    ("PERFORM pg_read_file('postgresql.conf')", "42501"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_can_do_with_the_role_of_another_owner_is_as_documented() {
    let (database, _folder, role) = site().await;
    let owner = database.client().await;
    let client = connect(&database.url.replacen("postgres@", &format!("{role}@"), 1)).await;
    let mut wrong = Vec::new();
    for (attempt, wanted) in ATTEMPTS {
        let trigger = format!(
            "CREATE OR REPLACE FUNCTION app.attempt() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN {attempt}; RETURN NEW; END $f$;
             CREATE OR REPLACE TRIGGER attempt BEFORE UPDATE ON app.runs FOR EACH ROW EXECUTE FUNCTION app.attempt()"
        );
        owner.run(&trigger).await;
        client.run("BEGIN").await;
        let made = client
            .batch_execute("UPDATE app.runs SET state = 'FAIL' WHERE id = 7")
            .await;
        client.run("ROLLBACK").await;
        let code = made
            .err()
            .map(|error| error.code().map_or("none", |code| code.code()).to_owned());
        if code.as_deref().unwrap_or_default() != wanted {
            wrong.push(format!("{attempt}: {code:?}, not {wanted:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
