//! The real Meltano, in a project with two small scripts for a tap and a target.

use super::postgres::TestDatabase;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A row as text, column by column.
pub type WholeRow = BTreeMap<String, Option<String>>;

/// Which Meltano.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 3.6.0: start and first heartbeat in two commits.
    V3_6,
    /// The current 4.x: the first heartbeat is written with the start.
    V4,
}

/// What the run does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Run {
    /// Works for so many seconds, and ends well.
    Works(f64),
    /// The tap fails at once.
    TapFails,
    /// Killed right after the first commit of the RUNNING row.
    CrashesAtStart,
    /// Blocks its event loop for so many seconds before the first true heartbeat, then ends well.
    Blocks(f64),
}

/// Where Meltano keeps its jobs.
pub enum Place {
    /// Its own default, `.meltano/meltano.db` in the project.
    Sqlite,
    /// A database of the shared cluster.
    Postgres(TestDatabase),
}

/// A project.
pub struct Meltano {
    folder: TempDir,
    version: Version,
    place: Place,
}

impl Meltano {
    /// A new project; its tables come with its first run.
    pub fn new(version: Version, place: Place) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/meltano");
        for file in ["meltano.yml", "tap.py", "target.py", "patch/sitecustomize.py"] {
            let to = folder.path().join(file);
            fs::create_dir_all(to.parent().expect("a folder")).expect("our own folder");
            fs::copy(template.join(file), &to).expect("the template");
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).expect("our own file");
        }
        Self { folder, version, place }
    }

    /// The address that Meltano and Beatwarden are both given.
    pub fn uri(&self) -> String {
        match &self.place {
            Place::Sqlite => format!("sqlite:///{}", self.file().display()),
            Place::Postgres(database) => database.url.replacen("postgres://", "postgresql+psycopg2://", 1),
        }
    }

    /// The SQLite file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join(".meltano/meltano.db")
    }

    /// Starts `meltano run`, its output in a file.
    pub fn start(&self, run: Run) -> Child {
        let name = match self.version {
            Version::V3_6 => "meltano-3.6",
            Version::V4 => "meltano-4",
        };
        let program = super::cache().join(name).join("bin/meltano");
        assert!(
            program.exists(),
            "{} is missing: run scripts/setup-tests.sh",
            program.display()
        );
        let output = fs::File::create(self.folder.path().join("output")).expect("our own file");
        let mut command = Command::new(program);
        command
            .args(["run", "tap-x", "target-x"])
            .current_dir(self.folder.path())
            .env("MELTANO_DATABASE_URI", self.uri())
            .env("MELTANO_DISABLE_TRACKING", "1")
            .env("NO_COLOR", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stderr(output.try_clone().expect("our own file"))
            .stdout(output);
        let patched = self.folder.path().join("patch");
        match run {
            Run::Works(seconds) => command.env("TAP_SECONDS", seconds.to_string()),
            Run::TapFails => command.env("TAP_SECONDS", "-1"),
            Run::CrashesAtStart => command.env("PYTHONPATH", patched).env("CRASH_AT_START", "1"),
            Run::Blocks(seconds) => command
                .env("PYTHONPATH", patched)
                .env("BLOCK_SECONDS", seconds.to_string()),
        };
        command.spawn().expect("Meltano starts")
    }

    /// Runs to the end: whether it ended well, and what it printed.
    pub async fn run(&self, run: Run) -> (bool, String) {
        let mut child = self.start(run);
        let status = tokio::task::spawn_blocking(move || child.wait())
            .await
            .expect("joined")
            .expect("waited");
        let output = fs::read_to_string(self.folder.path().join("output")).expect("its output");
        (status.success(), output)
    }

    /// All rows of `table`, whole, in the order of `key`.
    pub async fn rows_of(&self, table: &str, key: &str) -> Vec<WholeRow> {
        match &self.place {
            Place::Sqlite => sqlite_rows(&self.file(), &format!("SELECT * FROM {table} ORDER BY {key}")),
            Place::Postgres(database) => {
                let client = database.client().await;
                let query = format!("SELECT row_to_json({table})::text FROM {table} ORDER BY {key}");
                let rows = client.query(&query, &[]).await.expect("rows");
                rows.iter().map(|row| from_json(row.get(0))).collect()
            }
        }
    }

    /// All rows of Meltano's job table.
    pub async fn rows(&self) -> Vec<WholeRow> {
        self.rows_of("runs", "id").await
    }

    /// The ledger.
    pub async fn ledger(&self) -> Vec<WholeRow> {
        self.rows_of("beatwarden_repairs", "repaired_at").await
    }

    /// A statement by another hand.
    pub async fn sql(&self, statement: &str) {
        match &self.place {
            Place::Sqlite => {
                let connection = rusqlite::Connection::open(self.file()).expect("the file");
                connection
                    .busy_timeout(std::time::Duration::from_secs(5))
                    .expect("a timeout");
                connection.execute_batch(statement).expect("a good statement");
            }
            Place::Postgres(database) => {
                database
                    .client()
                    .await
                    .batch_execute(statement)
                    .await
                    .expect("a good statement");
            }
        }
    }

    /// The expression for a time so many seconds from now, as Meltano writes it.
    pub fn time(&self, seconds: f64) -> String {
        match self.place {
            Place::Sqlite => format!("strftime('%Y-%m-%d %H:%M:%f000', 'now', '{seconds} seconds')"),
            Place::Postgres(_) => format!("(clock_timestamp() AT TIME ZONE 'UTC' + interval '{seconds} s')"),
        }
    }

    /// The expression for a time column moved by so many seconds.
    pub fn moved(&self, column: &str, seconds: f64) -> String {
        match self.place {
            Place::Sqlite => format!("strftime('%Y-%m-%d %H:%M:%f000', {column}, '{seconds} seconds')"),
            Place::Postgres(_) => format!("({column} + interval '{seconds} s')"),
        }
    }
}

fn from_json(text: &str) -> WholeRow {
    let columns: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).expect("a row");
    let text = |value| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    columns.into_iter().map(|(name, value)| (name, text(value))).collect()
}

fn sqlite_rows(file: &Path, query: &str) -> Vec<WholeRow> {
    let connection = rusqlite::Connection::open(file).expect("the file");
    let mut statement = connection.prepare(query).expect("a query");
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let whole = |row: &rusqlite::Row<'_>| {
        let mut columns = WholeRow::new();
        for (index, name) in names.iter().enumerate() {
            let text = match row.get_ref(index)? {
                rusqlite::types::ValueRef::Null => None,
                rusqlite::types::ValueRef::Integer(number) => Some(number.to_string()),
                rusqlite::types::ValueRef::Real(number) => Some(number.to_string()),
                rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => {
                    Some(String::from_utf8_lossy(bytes).into_owned())
                }
            };
            columns.insert(name.clone(), text);
        }
        Ok(columns)
    };
    let rows = statement.query_map([], whole).expect("rows");
    rows.collect::<rusqlite::Result<_>>().expect("rows")
}
