//! A canary in every place where a secret can stand, sought in everything that Beatwarden says: log, metrics, page, JSON, the
//! output of every command, errors, help, and the process list.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod web;

use crate::support::{
    Session,
    beatwarden::{Beatwarden, command},
    eventually, http,
    postgres::{Cluster, TestDatabase},
    runs::TABLE,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);
/// Time for the longest wait between two attempts.
const BACK: Duration = Duration::from_secs(60);
/// The password: needs encoding in a URL, and its first part is sought, so that no encoding hides it.
const CANARY: &str = "kanarienvogel @%/'\\?";
const SOUGHT: &str = "kanarien";
const WRONG: &str = "kanarienvogel that is wrong";

const JOB: &str =
    "INSERT INTO runs (id, job_name, state, started_at) VALUES (1, 'job', 'RUNNING', now() AT TIME ZONE 'UTC')";

/// Where the password stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    File,
    FileAsKeywords,
    Variable,
    VariableOfTheWatch,
    DatabaseFile,
    PasswordFile,
    UsualPasswordFile,
    QueryOfTheFile,
    CommandLine,
}

const PLACES: [Place; 9] = [
    Place::File,
    Place::FileAsKeywords,
    Place::Variable,
    Place::VariableOfTheWatch,
    Place::DatabaseFile,
    Place::PasswordFile,
    Place::UsualPasswordFile,
    Place::QueryOfTheFile,
    Place::CommandLine,
];

/// What a run is given: files in a folder of its own, arguments and variables.
struct Given {
    folder: TempDir,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Given {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    fn new(place: Place, password: &str, port: u16, database: &str) -> Self {
        let mut given = Self {
            folder: tempfile::tempdir().unwrap(),
            arguments: Vec::new(),
            variables: Vec::new(),
        };
        let encoded = encoded(password);
        let url = format!("postgres://dog:{encoded}@127.0.0.1:{port}/{database}");
        let open = format!("postgres://dog@127.0.0.1:{port}/{database}");
        let quoted = password.replace('\\', "\\\\").replace('\'', "\\'");
        let keywords = format!("host=127.0.0.1 port={port} user=dog dbname={database} password='{quoted}'");
        let database = match place {
            Place::File => Some(format!("database = {url:?}")),
            Place::FileAsKeywords => Some(format!("database = {keywords:?}")),
            Place::VariableOfTheWatch => {
                given
                    .variables
                    .push(("BEATWARDEN__WATCH__MELTANO__DATABASE".into(), url));
                Some(String::new())
            }
            Place::Variable => {
                given.variables.push(("BEATWARDEN__DATABASE".into(), url));
                None
            }
            Place::DatabaseFile => {
                let path = given.write("database.url", &url);
                Some(format!("database_file = {path:?}"))
            }
            Place::PasswordFile => {
                let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
                let path = given.write("pgpass", &format!("*:*:*:dog:{escaped}\n"));
                Some(format!("database = \"{open}?passfile={path}\""))
            }
            // libpq's own place for it.
            Place::UsualPasswordFile => {
                let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
                given.write(".pgpass", &format!("*:*:*:dog:{escaped}\n"));
                let home = given.folder.path().display().to_string();
                given.variables.push(("HOME".into(), home));
                Some(format!("database = {open:?}"))
            }
            Place::QueryOfTheFile => Some(format!("database = \"{open}?password={encoded}\"")),
            Place::CommandLine => {
                given.arguments.extend(["--database".into(), url]);
                None
            }
        };
        match database {
            Some(line) => {
                let file = format!(
                    "[[watch]]\nname = \"meltano\"\npreset = \"meltano\"\npoll_interval = \"200ms\"\ninit_deadline = \"1s\"\n{line}\n"
                );
                let path = given.write("beatwarden.toml", &file);
                given.arguments.extend(["--config".into(), path]);
            }
            None => given.arguments.extend(
                [
                    "--preset",
                    "meltano",
                    "--poll-interval",
                    "200ms",
                    "--init-deadline",
                    "1s",
                ]
                .map(Into::into),
            ),
        }
        given
    }

    /// What a command prints to its end.
    fn says(&self, arguments: &[&str]) -> String {
        let output = command(self.folder.path())
            .args(arguments)
            .args(&self.arguments)
            .envs(self.variables.iter().cloned())
            .output()
            .unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }

    async fn watch(&self, more: &[&str]) -> Beatwarden {
        let variables: Vec<(&str, &str)> = self.variables.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let mut arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        arguments.extend(["--log-level", "trace"]);
        arguments.extend(more);
        Beatwarden::watch_in(&variables, &arguments).await
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn assert_unseen(what: &str, text: &str) {
    assert!(!text.contains(SOUGHT), "{what} shows the canary: {text}");
}

/// Every answer of a running instance, its log, and how it stands in the process list.
fn assert_silent(dog: &Beatwarden, place: Place) {
    for path in [
        "/metrics",
        "/",
        "/api/v1/status",
        "/api/v1/repairs",
        "/-/healthy",
        "/-/ready",
        "/nowhere",
    ] {
        let answer = http::get(dog.address, path);
        assert_unseen(path, &format!("{}{}", answer.headers, answer.text()));
    }
    assert_unseen("the log", &dog.log());
    let line = fs::read_to_string(format!("/proc/{}/cmdline", dog.id())).unwrap();
    // A user who puts it there himself is warned.
    let warned = "the password in --database can be read by every user of this host";
    assert_eq!(line.contains(SOUGHT), place == Place::CommandLine, "{line}");
    assert_eq!(dog.log().contains(warned), place == Place::CommandLine, "{}", dog.log());
}

async fn site() -> (Cluster, TestDatabase, String) {
    let cluster = Cluster::start_own();
    let (database, owner) = cluster.database_with(TABLE).await;
    owner.run(JOB).await;
    let quoted = CANARY.replace('\'', "''");
    let role = format!("CREATE ROLE dog LOGIN PASSWORD '{quoted}'; GRANT SELECT, UPDATE ON runs TO dog");
    owner.run(&role).await;
    cluster.require_password("dog").await;
    let name = database.url.rsplit('/').next().unwrap().to_owned();
    (cluster, database, name)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_of_a_database_is_ever_shown() {
    let (cluster, _database, name) = site().await;
    let up = "up{watch=\"meltano\"}";
    for place in PLACES {
        let right = Given::new(place, CANARY, cluster.port(), &name);
        let dog = right.watch(&[]).await;
        dog.metric_becomes(up, 1.0, SOON).await;
        assert_silent(&dog, place);
        let port = dog.address.to_string();
        for arguments in [
            &["config"][..],
            &["check"],
            &["status", "--json", "--listen", &port],
            &["explain", "1", "--json", "--listen", &port],
            &["history", "--json"],
            &["grants"],
            &["guard", "status"],
            &["guard", "install", "--print"],
            &["repair", "--now", "--dry-run"],
            &["undo", "57d6a9e2-2f0d-55c0-89db-e004ca3c789d"],
            &["ack", "--fuse"],
            &["healthcheck", "--listen", &port],
            &["watch", "--listen", &port],
            &["--help"],
            &["watch", "--help"],
            // Refused as arguments: what is quoted then must not be the URL.
            &["watch", "--databse", "x"],
        ] {
            // A second instance on a free port would not end.
            if arguments[0] == "watch" && arguments[1] == "--listen" {
                let said = right.says(arguments);
                assert!(said.contains("in use"), "{said}");
                assert_unseen("watch on a taken port", &said);
                continue;
            }
            let said = right.says(arguments);
            let silent = arguments[0] == "healthcheck" && place != Place::CommandLine;
            assert_eq!(said.is_empty(), silent, "{place:?} {arguments:?}");
            assert_unseen(&format!("{place:?} {arguments:?}"), &said);
        }
        drop(dog);

        let wrong = Given::new(place, WRONG, cluster.port(), &name);
        let dog = wrong.watch(&[]).await;
        let refused = "poll_failures_total{cause=\"auth\",watch=\"meltano\"}";
        eventually(format_args!("an auth failure, {}", dog.whole_log()), SOON, async || {
            (dog.metric(refused) >= Some(1.0)).then_some(())
        })
        .await;
        assert_silent(&dog, place);
        for arguments in [&["check"][..], &["explain", "1"], &["history"]] {
            let said = wrong.says(arguments);
            assert!(said.contains("refused the credentials"), "{said}");
            assert_unseen(&format!("{place:?} {arguments:?}"), &said);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_shows_no_password_at_a_reload() {
    let (cluster, _database, name) = site().await;
    let given = Given::new(Place::File, CANARY, cluster.port(), &name);
    let dog = given.watch(&[]).await;
    dog.metric_becomes("up{watch=\"meltano\"}", 1.0, SOON).await;
    let path = given.path("beatwarden.toml");
    let good = fs::read_to_string(&path).unwrap();
    let url = format!("postgres://dog:{}@127.0.0.1", encoded(CANARY));
    for (number, bad) in [
        good.replace("database = \"", "database = "),
        good.replace("database =", "databse ="),
        good.replace("postgres://", "mysql://"),
        good.replace("postgres://", "postgres/"),
        good.replace("poll_interval = \"200ms\"", &format!("poll_interval = \"{url}\"")),
        good.replace("preset = \"meltano\"", &format!("preset = \"{url}\"")),
        format!("{good}password = \"{CANARY}\"\n"),
        format!("\"{url}\" = 1\n{good}"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_ne!(bad, good, "{number}");
        fs::write(&path, bad.replace(CANARY, "kanarienvogel")).unwrap();
        let before = dog.log().len();
        dog.signal("HUP");
        eventually(
            format_args!("a refused reload, {number}: {}", dog.whole_log()),
            SOON,
            async || dog.log()[before..].contains("mistake").then_some(()),
        )
        .await;
        // The line is written before the metric is set.
        dog.metric_becomes("config_last_reload_success", 0.0, SOON).await;
        assert_silent(&dog, Place::File);
        assert_unseen("config", &given.says(&["config"]));
    }
}

/// A password that is changed in its file is taken up at the next connect.
#[tokio::test(flavor = "multi_thread")]
async fn rotated_secrets_are_taken_up_without_a_restart() {
    let (cluster, database, name) = site().await;
    let owner = database.client().await;
    for (place, file) in [(Place::DatabaseFile, "database.url"), (Place::PasswordFile, "pgpass")] {
        owner
            .run(&format!("ALTER ROLE dog PASSWORD '{}'", CANARY.replace('\'', "''")))
            .await;
        let given = Given::new(place, CANARY, cluster.port(), &name);
        let dog = given.watch(&[]).await;
        dog.metric_becomes("up{watch=\"meltano\"}", 1.0, SOON).await;
        owner
            .run(
                "ALTER ROLE dog PASSWORD 'kanarienvogel two';
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'dog'",
            )
            .await;
        dog.metric_becomes("up{watch=\"meltano\"}", 0.0, SOON).await;
        let other = Given::new(place, "kanarienvogel two", cluster.port(), &name);
        replace(&given.path(file), &fs::read_to_string(other.path(file)).unwrap());
        dog.metric_becomes("up{watch=\"meltano\"}", 1.0, BACK).await;
        assert_silent(&dog, place);
    }
}

/// A pipe in the place of a file that is read at each connect is reported, and the good file is read again after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_in_place_of_a_secret_is_reported_and_passed_over() {
    let (cluster, database, name) = site().await;
    let owner = database.client().await;
    let given = Given::new(Place::DatabaseFile, CANARY, cluster.port(), &name);
    let (file, kept) = (given.path("database.url"), given.path("kept"));
    let dog = given.watch(&[]).await;
    dog.metric_becomes("up{watch=\"meltano\"}", 1.0, BACK).await;
    fs::rename(&file, &kept).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    assert!(made.unwrap().success());
    owner
        .run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'dog'")
        .await;
    for said in ["no one wrote within", "the table is read again"] {
        dog.says(said, BACK).await;
        if kept.exists() {
            fs::rename(&kept, &file).unwrap();
        }
    }
    assert_silent(&dog, Place::DatabaseFile);
}

/// As an orchestrator does it: a new file in the place of the old one.
fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::set_permissions(&new, PermissionsExt::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}
