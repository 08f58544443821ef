//! What `check`, `guard` and `watch` say of a role that may more than it needs, and of what stands around a table.

use crate::support::{
    Session,
    beatwarden::{Beatwarden, run, words},
    postgres::{TestDatabase, shared},
    runs::TABLE,
    written,
};
use std::time::Duration;

struct Scene {
    database: TestDatabase,
    client: tokio_postgres::Client,
    name: String,
}

impl Scene {
    async fn new() -> Self {
        let database = shared().database().await;
        let client = database.client().await;
        let name = database.url.rsplit('/').next().unwrap().to_owned();
        let scene = format!(
            "CREATE ROLE app_{name} LOGIN; CREATE ROLE bw_{name} LOGIN; {TABLE};
             ALTER TABLE runs OWNER TO app_{name}; GRANT CREATE ON SCHEMA public TO app_{name};
             GRANT SELECT, UPDATE ON runs TO bw_{name}"
        );
        client.run(&scene).await;
        Self { database, client, name }
    }

    async fn sql(&self, sql: &str) {
        let sql = sql.replace("{n}", &self.name);
        self.client.run(&sql).await;
    }

    fn beatwarden(&self, role: &str, command: &[&str]) -> (i32, String) {
        let url = shared().url(&role.replace("{n}", &self.name), &self.name);
        let action = ["--database", &url, "--preset", "meltano", "--missed-first", "observe"];
        let (status, said, complaint) = run(&[command, &action].concat());
        (status.code().unwrap(), said + &complaint)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_more_than_it_needs_is_named_with_what_it_may() {
    let scene = Scene::new().await;
    let (code, said) = scene.beatwarden("bw_{n}", &["check"]);
    assert!(code == 0 && said.contains("ok   role: `bw_"), "{said}");
    for (give, take, word) in [
        (
            "ALTER ROLE bw_{n} BYPASSRLS",
            "ALTER ROLE bw_{n} NOBYPASSRLS",
            "has BYPASSRLS",
        ),
        (
            "ALTER ROLE bw_{n} CREATEROLE",
            "ALTER ROLE bw_{n} NOCREATEROLE",
            "has CREATEROLE",
        ),
        (
            "ALTER ROLE bw_{n} SUPERUSER",
            "ALTER ROLE bw_{n} NOSUPERUSER",
            "is a superuser",
        ),
        (
            "GRANT pg_execute_server_program TO bw_{n}",
            "REVOKE pg_execute_server_program FROM bw_{n}",
            "is a member of pg_execute_server_program",
        ),
        (
            "CREATE ROLE ops_{n}; GRANT pg_write_server_files TO ops_{n}; GRANT ops_{n} TO bw_{n}",
            "REVOKE ops_{n} FROM bw_{n}",
            "is a member of pg_write_server_files",
        ),
        (
            "CREATE ROLE dba_{n} SUPERUSER; ALTER ROLE bw_{n} NOINHERIT; GRANT dba_{n} TO bw_{n}",
            "REVOKE dba_{n} FROM bw_{n}",
            "which is a superuser",
        ),
    ] {
        scene.sql(give).await;
        let (code, said) = scene.beatwarden("bw_{n}", &["check"]);
        assert!(
            code == 1 && said.contains("FAIL role: ") && said.contains(word),
            "{give}: {said}"
        );
        let (_, said) = scene.beatwarden("bw_{n}", &["guard", "status"]);
        assert!(said.contains(word), "{give}: {said}");
        scene.sql(take).await;
    }
    let url = shared().url("postgres", &scene.name);
    let (code, said) = scene.beatwarden("postgres", &["check"]);
    assert!(
        code == 1 && said.contains("FAIL role: the role `postgres` is a superuser"),
        "{said}"
    );
    let dog = Beatwarden::watch(&["--database", &url, "--preset", "meltano", "--poll-interval", "100ms"]).await;
    dog.says("the role `postgres` is a superuser", Duration::from_secs(20))
        .await;
    assert_eq!(dog.log().matches("is a superuser").count(), 1, "{}", dog.log());
    // Where the table is its own, no one gains anything by it.
    scene.sql("ALTER TABLE runs OWNER TO postgres").await;
    let (code, said) = scene.beatwarden("postgres", &["check"]);
    assert!(
        code == 0 && said.contains("note role: the role `postgres` is a superuser"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_several_owners_share_is_named_with_them() {
    let scene = Scene::new().await;
    scene
        .sql(&format!(
            "CREATE ROLE vic_{{n}}; {}; ALTER TABLE theirs OWNER TO vic_{{n}};
             GRANT SELECT, UPDATE (state) ON theirs TO bw_{{n}}",
            TABLE.replacen("runs", "theirs", 1)
        ))
        .await;
    let (code, said) = scene.beatwarden("bw_{n}", &["check"]);
    assert!(code == 0 && said.contains("may also change tables of `vic_"), "{said}");
    // A ledger that an administrator made is no table of another application.
    scene.sql("DROP TABLE theirs; CREATE TABLE beatwarden_repairs (repair_id uuid); GRANT UPDATE ON beatwarden_repairs TO bw_{n}").await;
    let (_, said) = scene.beatwarden("bw_{n}", &["check"]);
    assert!(!said.contains("may also change"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_code_runs_around_a_table_is_named() {
    let scene = Scene::new().await;
    scene
        .sql(
            "CREATE FUNCTION noisy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE FUNCTION fine(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
             CREATE TRIGGER noise BEFORE UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION noisy();
             CREATE RULE echo AS ON DELETE TO runs DO ALSO NOTHING;
             CREATE POLICY mine ON runs USING (true);
             CREATE DOMAIN word AS text CHECK (fine(VALUE));
             ALTER TABLE runs ADD COLUMN twice integer GENERATED ALWAYS AS (id * 2) STORED, ADD COLUMN w word, ADD CHECK (fine(job_name));
             CREATE INDEX by_fine ON runs (fine(job_name));
             CREATE STATISTICS guessed ON fine(job_name), fine(state) FROM runs;
             CREATE FUNCTION same(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
             CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = same);
             CREATE INDEX by_operator ON runs (id) WHERE job_name::text === 'x'",
        )
        .await;
    let (code, said) = scene.beatwarden("bw_{n}", &["check"]);
    assert_eq!(code, 0, "{said}");
    for word in [
        "the trigger `noise` calls public.noisy()",
        "the rule `echo`",
        "the policy `mine`",
        "the column `twice` is generated",
        "column `w` is a domain that calls public.fine(text)",
        "calls public.fine(text)",
        "the index public.by_fine calls",
        "the statistics `guessed` call public.fine(text)",
        "the index public.by_operator calls public.same(text,text)",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_repaired_through_a_cast_of_the_owner() {
    let scene = Scene::new().await;
    scene
        .sql(
            "CREATE TYPE st AS ENUM ('RUNNING', 'FAIL', 'DEAD'); ALTER TABLE runs ALTER COLUMN state TYPE st USING state::text::st;
             CREATE FUNCTION shown(st) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN enum_out($1); END';
             CREATE CAST (st AS text) WITH FUNCTION shown(st)",
        )
        .await;
    let url = shared().url(&format!("bw_{}", scene.name), &scene.name);
    let check = |action: &str| {
        let (status, said, complaint) = run(&words(&format!(
            "check --database {url} --preset meltano --missed-first {action}"
        )));
        (status.code().unwrap(), said + &complaint)
    };
    let (_, said) = check("observe");
    assert!(
        said.contains("column `state` has a cast from or to text that calls"),
        "{said}"
    );
    let (code, said) = check("fail");
    assert!(
        code == 1 && said.contains("FAIL rights: the type of column `state` has a cast"),
        "{said}"
    );
    scene.sql("DROP CAST (st AS text)").await;
    let (_, said) = check("fail");
    assert!(!said.contains("has a cast"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_view_neither_an_index_nor_a_repair_is_promised() {
    let scene = Scene::new().await;
    scene
        .sql("CREATE VIEW seen AS SELECT * FROM runs; GRANT SELECT ON seen TO bw_{n};
              INSERT INTO runs (id, state, started_at) VALUES (1, 'RUNNING', now() AT TIME ZONE 'UTC'), (2, NULL, now())")
        .await;
    let url = shared().url(&format!("bw_{}", scene.name), &scene.name);
    let text = format!(
        "[[watch]]\nname = 'v'\ndatabase = '{url}'\npreset = 'meltano'\ntable.name = 'seen'\nrepair.missed_first = 'observe'\n"
    );
    let (_folder, file) = written("b.toml", text);
    let (status, said, complaint) = run(&["check", "--config", file.to_str().unwrap()]);
    assert!(status.success(), "NULL alone is no failure: {said}{complaint}");
    assert!(
        !said.contains("CREATE INDEX") && !said.contains("can repair them") && !said.contains("guard install"),
        "{said}"
    );
    assert!(
        said.contains("the table behind the view is the one to index") && said.contains("NULL can't stand in a list"),
        "{said}"
    );
    drop(scene.database);
}
