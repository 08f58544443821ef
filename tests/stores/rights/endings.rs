//! What `fail` is configured to write, with the real commands under a role that has what `grants` prints, and no more.

use super::tables;
use crate::support::{
    Session,
    beatwarden::run,
    postgres::{TestDatabase, connect, shared},
};
use std::fs;
use tempfile::TempDir;

/// A configuration in a file, for a role that has what it needs.
struct Scene {
    database: TestDatabase,
    folder: TempDir,
    role: String,
}

impl Scene {
    async fn new(fail: &str) -> Self {
        let (database, owner) = shared()
            .database_with(&format!(
                "{}; CREATE TABLE calls (job integer); CREATE SCHEMA own;
                 CREATE FUNCTION own.finish(job integer, state text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                   INSERT INTO public.calls VALUES (job); UPDATE public.runs SET state = $2 WHERE id = job; END $$;
                 REVOKE EXECUTE ON FUNCTION own.finish FROM PUBLIC; DELETE FROM runs WHERE id <> 2",
                tables()
            ))
            .await;
        let role = format!("fail_of_{}", database.url.rsplit('/').next().unwrap());
        let scene = Self {
            folder: tempfile::tempdir().unwrap(),
            role: role.clone(),
            database,
        };
        scene.configure("fail", fail);
        let (code, sql, log) = scene.run(&["grants", "--role", &role]);
        assert_eq!(code, 0, "{log}");
        owner.run(&format!("CREATE ROLE {role} LOGIN; {sql}")).await;
        scene
    }

    fn configure(&self, action: &str, fail: &str) {
        let url = self.database.url.replacen("postgres@", &format!("{}@", self.role), 1);
        let text = format!(
            "listen = \"127.0.0.1:1\"\n[[watch]]\npreset = \"meltano\"\ndatabase = \"{url}\"\n[watch.repair]\nmissed_first = \"{action}\"\n\
             fail = {fail}\n"
        );
        fs::write(self.folder.path().join("beatwarden.toml"), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let file = self.folder.path().join("beatwarden.toml");
        let (status, out, log) = run(&[arguments, &["--config", file.to_str().unwrap()]].concat());
        (status.code().unwrap(), out, log)
    }

    /// A line of the only row.
    async fn row(&self) -> String {
        let row = "SELECT row_to_json(runs)::text FROM runs";
        self.database.client().await.query_one(row, &[]).await.unwrap().get(0)
    }

    async fn role(&self) -> tokio_postgres::Client {
        connect(&self.database.url.replacen("postgres@", &format!("{}@", self.role), 1)).await
    }
}

const SET: &str = r#"{ state = "DEAD", set = { payload_flags = "{+1}", trigger = "it's {x}", run_id = "{null}" } }"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_further_columns_sets_them_and_nothing_else() {
    let scene = Scene::new(SET).await;
    let (code, said, log) = scene.run(&["check"]);
    assert_eq!(code, 0, "{said}{log}");
    assert!(
        said.contains("fail: it writes: state = 'DEAD'") && said.contains("trigger = 'it\\'s {x}'"),
        "{said}"
    );
    let before = scene.row().await;
    let (code, said, log) = scene.run(&["repair", "--now", "--job", "2", "--dry-run"]);
    assert!(
        code == 0 && said.contains("payload_flags = one more than before"),
        "{said}{log}"
    );
    assert_eq!(scene.row().await, before);
    let (_, said, _) = scene.run(&["explain", "2"]);
    assert!(
        said.contains("What fail does here: it writes: state = 'DEAD'"),
        "{said}"
    );
    let (code, said, log) = scene.run(&["repair", "--now", "--job", "2", "--yes"]);
    assert_eq!(code, 0, "{said}{log}");
    let row = scene.row().await;
    assert!(
        row.contains("\"DEAD\"") && row.contains("\"it's {x}\"") && row.contains("Beatwarden: no heartbeat"),
        "{row}"
    );
    let role = scene.role().await;
    for (statement, is_allowed) in [
        (
            "UPDATE runs SET trigger = 'x', payload_flags = 1, run_id = NULL WHERE false",
            true,
        ),
        ("UPDATE runs SET job_name = 'x' WHERE false", false),
        ("UPDATE runs SET last_heartbeat_at = NULL WHERE false", false),
    ] {
        assert_eq!(role.batch_execute(statement).await.is_ok(), is_allowed, "{statement}");
    }
    let (_, history, _) = scene.run(&["history", "--json"]);
    let history: serde_json::Value = serde_json::from_str(&history).unwrap();
    let id = history["repairs"][0]["repair_id"].as_str().unwrap();
    let (code, said, log) = scene.run(&["undo", id, "--yes"]);
    assert_eq!(code, 0, "{said}{log}");
    assert_eq!(scene.row().await, before);
    // A right that is withdrawn is named; one that another action doesn't need is taken back.
    let owner = scene.database.client().await;
    owner
        .run(&format!("REVOKE UPDATE (trigger) ON runs FROM {}", scene.role))
        .await;
    let (code, said, _) = scene.run(&["check"]);
    assert!(
        code == 1 && said.contains("no right to change: GRANT UPDATE (\"trigger\")"),
        "{said}"
    );
    scene.configure("observe", SET);
    let (_, sql, _) = scene.run(&["grants", "--role", &scene.role]);
    owner.run(&sql).await;
    let kept = role.batch_execute("SELECT run_id FROM runs").await;
    assert!(kept.is_err(), "observe reads no further column");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_a_function_calls_it_and_writes_nothing_itself() {
    let scene = Scene::new(r#"{ call = { function = "own.finish", args = ["{id}", "DEAD"] } }"#).await;
    let (code, said, log) = scene.run(&["check"]);
    assert_eq!(code, 0, "{said}{log}");
    assert!(
        said.contains("the function that ends jobs is own.finish(job integer, state text)"),
        "{said}"
    );
    let (code, said, log) = scene.run(&["repair", "--now", "--job", "2", "--yes"]);
    assert!(
        code == 0 && said.contains("it calls own.finish(the job's key, 'DEAD')"),
        "{said}{log}"
    );
    assert!(scene.row().await.contains("\"DEAD\""));
    let owner = scene.database.client().await;
    let calls: i64 = owner
        .query_one("SELECT count(*) FROM calls WHERE job = 2", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(calls, 1);
    let role = scene.role().await;
    let written = role
        .batch_execute("UPDATE runs SET payload = 'x', ended_at = NULL WHERE false")
        .await;
    assert!(written.is_err());
    owner
        .run(&format!("REVOKE EXECUTE ON FUNCTION own.finish FROM {}", scene.role))
        .await;
    let (code, said, _) = scene.run(&["check"]);
    assert!(
        code == 1 && said.contains("GRANT EXECUTE ON FUNCTION own.finish(job integer, state text)"),
        "{said}"
    );
    scene.configure(
        "backfill",
        r#"{ call = { function = "own.finish", args = ["{id}", "DEAD"] } }"#,
    );
    let (_, sql, _) = scene.run(&["grants", "--role", &scene.role]);
    owner.run(&sql).await;
}
