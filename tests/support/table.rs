//! A job table like Meltano's, in a file or on a server, and our commands on it.

use super::{
    Session,
    beatwarden::{command, words},
    postgres::{self, TestDatabase},
    runs,
};
use serde_json::Value;
use std::{
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// How long our own statements wait for another session's.
const BUSY: Duration = Duration::from_secs(20);

/// A job table like Meltano's, in a file or on a server.
pub enum Table {
    File(TempDir),
    Server(TestDatabase, tokio_postgres::Client),
}

impl Table {
    pub fn file() -> Self {
        let folder = tempfile::tempdir().expect("the test's own table");
        let connection = rusqlite::Connection::open(folder.path().join("jobs.db")).expect("the test's own table");
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .expect("the test's own table");
        connection
            .execute_batch(include_str!("../../src/demo/schema.sql"))
            .expect("the test's own table");
        Self::File(folder)
    }

    pub async fn server() -> Self {
        let (database, client) = postgres::shared().database_with(runs::TABLE).await;
        // A job that is older than its server is not failed so soon: the server has to be older than the jobs.
        let old_enough = "SELECT pg_sleep(greatest(0, extract(epoch FROM pg_postmaster_start_time() - now()) + 12))";
        client.run(old_enough).await;
        Self::Server(database, client)
    }

    pub fn url(&self) -> String {
        match self {
            Self::File(folder) => folder
                .path()
                .join("jobs.db")
                .to_str()
                .expect("the test's own table")
                .to_owned(),
            Self::Server(database, _) => database.url.clone(),
        }
    }

    /// The first column of the first row, as text.
    pub async fn one(&self, query: &str) -> Option<String> {
        match self {
            Self::File(folder) => {
                let connection =
                    rusqlite::Connection::open(folder.path().join("jobs.db")).expect("the test's own table");
                let query = format!("SELECT CAST((SELECT * FROM ({query})) AS TEXT)");
                connection
                    .query_row(&query, [], |row| row.get(0))
                    .expect("the test's own query")
            }
            Self::Server(_, client) => {
                let query = format!("SELECT (SELECT * FROM ({query}) AS query)::text");
                client
                    .query_one(&query, &[])
                    .await
                    .expect("the test's own query")
                    .get(0)
            }
        }
    }

    pub async fn sql(&self, statement: &str) {
        match self {
            Self::File(folder) => {
                let connection =
                    rusqlite::Connection::open(folder.path().join("jobs.db")).expect("the test's own table");
                connection.busy_timeout(BUSY).expect("the test's own table");
                connection.execute_batch(statement).expect("the test's own table");
            }
            Self::Server(_, client) => client.run(statement).await,
        }
    }

    /// A job that started so many seconds ago, and last beat so many seconds ago.
    pub async fn job(&self, id: u32, name: &str, started: u32, beat: Option<u32>) {
        self.jobs([id], name, started, beat).await;
    }

    /// Jobs that are there all at once.
    pub async fn jobs(&self, ids: impl IntoIterator<Item = u32>, name: &str, started: u32, beat: Option<u32>) {
        let ago = |seconds: u32| match self {
            Self::File(_) => format!("strftime('%Y-%m-%d %H:%M:%f000', 'now', '-{seconds} seconds')"),
            Self::Server(..) => format!("(clock_timestamp() AT TIME ZONE 'UTC' - interval '{seconds} s')"),
        };
        let beat = beat.map_or_else(|| "NULL".to_owned(), ago);
        let rows: Vec<String> = ids
            .into_iter()
            .map(|id| format!("({id}, '{name}', 'RUNNING', {}, {beat})", ago(started)))
            .collect();
        self.sql(&format!(
            "INSERT INTO runs (id, job_name, state, started_at, last_heartbeat_at) VALUES {}",
            rows.join(", ")
        ))
        .await;
    }

    /// Runs a command on this table: exit code, stdout, stderr.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run_with(arguments, Stdio::null())
    }

    pub fn run_with(&self, arguments: &[&str], stdin: Stdio) -> (i32, String, String) {
        let folder = tempfile::tempdir().expect("the test's own table");
        let output = self
            .command(folder.path(), arguments)
            .stdin(stdin)
            .output()
            .expect("the test's own table");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the test's own table");
        (
            output.status.code().expect("the test's own table"),
            text(output.stdout),
            text(output.stderr),
        )
    }

    pub fn command(&self, folder: &std::path::Path, arguments: &[&str]) -> Command {
        let mut command = command(folder);
        // No instance listens on this port of ours.
        command.args(arguments).args(words(&format!(
            "--database {} --preset meltano --listen 127.0.0.1:1 --init-deadline 2s --poll-interval 500ms",
            self.url()
        )));
        command
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let (code, said, complaint) = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(code, 0, "{arguments:?}: {said}{complaint}");
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// The identity of the newest repair.
    pub fn newest_entry(&self) -> String {
        let id = &self.json(&["history"])["repairs"][0]["repair_id"];
        id.as_str().expect("a repair").to_owned()
    }
}

/// Runs each of these tests on a file and on a server: with a [`Table`], or with what is given for the two.
#[allow(unused_macros, reason = "each test binary uses a part of it")]
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        $crate::support::table::on_both!(
            $crate::support::table::Table::file(), $crate::support::table::Table::server().await; $($test),+
        );
    };
    ($file:expr, $server:expr; $($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() { super::$test($file).await; })+
        }
        mod postgres_server {
            $(#[tokio::test(flavor = "multi_thread")] async fn $test() { super::$test($server).await; })+
        }
    };
}

#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub(crate) use on_both;
