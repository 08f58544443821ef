//! What strangers put into schemas of the search path under the names that our statements use is never called, whatever the
//! columns' types, the path and the command: operators, functions, aggregates, types, tables.

use crate::support::{
    Session,
    beatwarden::{Beatwarden, run, words},
    postgres::{Cluster, TestDatabase, shared},
};
use std::time::Duration;
use tempfile::TempDir;

/// A table whose key and state have these types, with jobs that never beat, in a schema of its own.
struct Scene {
    schema: &'static str,
    setup: &'static str,
    key: &'static str,
    state: &'static str,
    time: &'static str,
    payload: &'static str,
}

const SCENES: [Scene; 5] = [
    Scene {
        schema: "public",
        setup: "",
        key: "integer",
        state: "varchar",
        time: "timestamp",
        payload: "varchar",
    },
    Scene {
        schema: "app",
        setup: "",
        key: "varchar",
        state: "varchar(20)",
        time: "timestamptz",
        payload: "text",
    },
    Scene {
        schema: "app",
        setup: "",
        key: "char(8)",
        state: "char(8)",
        time: "timestamp",
        payload: "varchar(4000)",
    },
    Scene {
        schema: "app",
        setup: "CREATE TYPE app.phase AS ENUM ('RUNNING', 'SUCCESS', 'FAIL', 'DEAD', 'IDLE', 'STATE_EDIT'); CREATE DOMAIN app.ref AS varchar;",
        key: "app.ref",
        state: "app.phase",
        time: "timestamptz",
        payload: "jsonb",
    },
    Scene {
        schema: "app",
        setup: "CREATE DOMAIN app.phase AS text; CREATE DOMAIN app.moment AS timestamp;",
        key: "bigint",
        state: "app.phase",
        time: "app.moment",
        payload: "varchar",
    },
];

/// The path of the watchdog's role: as servers are made, and as someone who owns a role that may alter it would like it.
const PATHS: [&str; 3] = [
    "\"$user\", public, app",
    "public, app, pg_catalog",
    "app, pg_temp, public, pg_catalog",
];

struct Stage {
    database: TestDatabase,
    mark: String,
    role: String,
    scene: &'static Scene,
    folder: TempDir,
}

impl Stage {
    async fn new(cluster: &Cluster, number: usize, path: &str) -> Self {
        let scene = &SCENES[number % SCENES.len()];
        let database = cluster.database().await;
        let name = database.url.rsplit('/').next().unwrap().to_owned();
        let (role, mark) = (format!("dog_{name}"), format!("planted-{name}:"));
        let owner = database.client().await;
        let Scene {
            schema,
            setup,
            key,
            state,
            time,
            payload,
        } = scene;
        owner
            .run(&format!(
                "CREATE SCHEMA IF NOT EXISTS app; {setup}
                 CREATE TABLE {schema}.runs (id {key} PRIMARY KEY, job_name varchar, state {state}, started_at {time}, ended_at {time},
                    payload {payload}, payload_flags integer, run_id uuid, trigger varchar, last_heartbeat_at {time});
                 INSERT INTO {schema}.runs (id, job_name, state, started_at, payload)
                    SELECT i::text::{key}, 'job', 'RUNNING'::{state}, (now() AT TIME ZONE 'UTC')::timestamp::{time} - interval '1 hour', '{{\"a\": 1}}'
                      FROM generate_series(1, 6) AS i;
                 CREATE ROLE {role} LOGIN; ALTER ROLE {role} SET search_path = {path}; GRANT USAGE ON SCHEMA app TO {role}"
            ))
            .await;
        let folder = tempfile::tempdir().unwrap();
        // The first one is found by the path.
        let qualified = match *schema {
            "public" => "",
            _ => {
                "[watch.table]
name = \"app.runs\"
"
            }
        };
        let file = format!(
            "[[watch]]
preset = \"meltano\"
database = \"postgres://nobody@127.0.0.1/none\"
{qualified}[watch.repair]
missed_first = \"fail\"
"
        );
        std::fs::write(folder.path().join("beatwarden.toml"), file).unwrap();
        let stage = Self {
            database,
            mark,
            role,
            scene,
            folder,
        };
        let rights = stage.command(&["grants", "--role", &stage.role], "postgres");
        assert_eq!(rights.0, 0, "{}", rights.2);
        owner.run(&rights.1).await;
        for planted in ["public", "app"] {
            let sql = include_str!("planted.sql")
                .replace("{{schema}}", planted)
                .replace("{{mark}}", &stage.mark);
            owner.run(&sql).await;
        }
        stage
    }

    fn url(&self, user: &str) -> String {
        self.database.url.replacen("postgres@", &format!("{user}@"), 1)
    }

    fn common(&self, user: &str) -> Vec<String> {
        let url = self.url(user);
        let file = self.folder.path().join("beatwarden.toml");
        [
            "--config",
            file.to_str().unwrap(),
            "--database",
            &url,
            "--listen",
            "127.0.0.1:1",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn command(&self, arguments: &[&str], user: &str) -> (i32, String, String) {
        let common = self.common(user);
        let all: Vec<&str> = arguments
            .iter()
            .copied()
            .chain(common.iter().map(String::as_str))
            .collect();
        let (status, out, log) = run(&all);
        (status.code().unwrap(), out, log)
    }

    /// What was called of all that was planted.
    fn called(&self, cluster: &Cluster) -> Vec<String> {
        let log = std::fs::read_to_string(cluster.folder().join("log")).unwrap();
        log.lines()
            .filter(|line| line.contains(&self.mark))
            .map(str::to_owned)
            .collect()
    }
}

async fn nothing_planted_is_called(cluster: &Cluster, number: usize, path: &str) {
    let stage = Stage::new(cluster, number, path).await;
    let owner = stage.database.client().await;
    let role = stage.role.clone();
    for user in [role.as_str(), "postgres"] {
        for command in [
            &["check"][..],
            &["status"],
            &["explain", "1"],
            &["history"],
            &["guard", "status"],
        ] {
            let (code, out, log) = stage.command(command, user);
            assert!(code <= 1, "{command:?} as {user}: {out}{log}");
            let expected = command == ["check"] && user == role;
            assert!(!expected || code == 0, "{command:?} as {user}: {out}{log}");
            assert_eq!(stage.called(cluster), Vec::<String>::new(), "{command:?} as {user}");
        }
    }
    let (code, out, log) = stage.command(&["repair", "--now", "--yes", "--job", "1"], &role);
    assert_eq!(code, 0, "{out}{log}");
    let repaired =
        "SELECT repair_id::pg_catalog.text FROM beatwarden_repairs WHERE action OPERATOR(pg_catalog.=) 'fail'";
    let repaired = repaired.replacen("beatwarden", &format!("{}.beatwarden", stage.scene.schema), 1);
    let id: String = owner.query_one(&repaired, &[]).await.unwrap().get(0);
    for command in [
        &["undo", &id][..],
        &["ack", "--fuse"],
        &["repair", "--now", "--yes", "--action", "backfill", "--job", "2"],
    ] {
        let (code, out, log) = stage.command(command, if command[0] == "repair" { "postgres" } else { &role });
        assert_eq!(code, 0, "{command:?}: {out}{log}");
    }
    for command in [
        &["guard", "install"][..],
        &["guard", "install", "--index"],
        &["guard", "status"],
        &["guard", "remove"],
    ] {
        let (code, out, log) = stage.command(command, "postgres");
        assert_eq!(code, 0, "{command:?}: {out}{log}");
    }
    let common = stage.common(&role);
    let mut arguments: Vec<&str> = common
        .iter()
        .map(String::as_str)
        .filter(|word| !["--listen", "127.0.0.1:1"].contains(word))
        .collect();
    arguments.extend(words("--poll-interval 200ms --init-deadline 1s --heartbeat-timeout 1s"));
    let dog = Beatwarden::watch(&arguments).await;
    dog.metric_becomes(
        "repairs_total{action=\"fail\",reason=\"missed_first\",watch=\"meltano\"}",
        5.0,
        Duration::from_secs(90),
    )
    .await;
    drop(dog);
    assert_eq!(stage.called(cluster), Vec::<String>::new());
    // It is there, and would be called: a statement as everyone writes it.
    let client = crate::support::postgres::connect(&stage.url(&role)).await;
    let table = format!("{}.runs", stage.scene.schema);
    let _ = client
        .batch_execute(&format!(
            "SELECT id FROM {table} WHERE job_name = ANY ('{{a}}'::pg_catalog.text[])"
        ))
        .await;
    assert_ne!(stage.called(cluster), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_strangers_put_on_the_usual_path_is_called() {
    for number in [0, 1] {
        nothing_planted_is_called(shared(), number, PATHS[0]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_called_where_the_path_has_the_built_in_things_last() {
    for number in [2, 3] {
        nothing_planted_is_called(shared(), number, PATHS[1]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_called_of_tables_whose_types_are_their_owners() {
    nothing_planted_is_called(shared(), 4, PATHS[2]).await;
    nothing_planted_is_called(shared(), 3, PATHS[0]).await;
}
