//! The real Meltano, in a project with two small scripts for a tap and a target.

use super::{
    eventually,
    postgres::{self, TestDatabase},
};
use rusqlite::{Connection, OpenFlags};
use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// No run of a test takes nearly as long; one that hangs fails its test instead of hanging it.
const LONGEST_RUN: Duration = Duration::from_secs(120);

/// How long to wait for what a run writes: Meltano needs about a second to its row, more on a busy machine.
const SOON: Duration = Duration::from_secs(30);

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
    /// Blocks its event loop for so many seconds before the first true heartbeat, then works for so many, and ends well.
    BlocksThenWorks(f64, f64),
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
    runs: AtomicU32,
}

/// A `meltano run` under way. Dropped, it is killed: no run outlives its test.
pub struct Running {
    child: Child,
    output: PathBuf,
}

/// A `meltano run` that is over.
pub struct Ended {
    /// How it ended; a crash ends by a signal.
    pub status: ExitStatus,
    /// What it printed, on both streams.
    pub output: String,
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it takes longer than any test's run should.
    pub async fn ended(mut self) -> Ended {
        let child = &mut self.child;
        let status = eventually("the end of the run", LONGEST_RUN, async || {
            child.try_wait().expect("our own child")
        })
        .await;
        let output = fs::read_to_string(&self.output).expect("its output");
        Ended { status, output }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be over already. Its tap and target end by themselves, for want of a reader.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
        Self {
            folder,
            version,
            place,
            runs: AtomicU32::new(0),
        }
    }

    /// A project in which Meltano has run once and ended well, so that its tables are there, and one job. It runs for the first one
    /// of each version and kind of database; the others get a copy of what it left.
    pub async fn used(version: Version, place: Place) -> Self {
        static LEFT: [OnceCell<Vec<u8>>; 4] = [const { OnceCell::const_new() }; 4];
        let on_server = matches!(place, Place::Postgres(_));
        let left = LEFT[2 * usize::from(version == Version::V4) + usize::from(on_server)].get_or_init(async || {
            let place = match on_server {
                true => Place::Postgres(postgres::shared().database().await),
                false => Place::Sqlite,
            };
            let first = Self::new(version, place);
            let (good, output) = first.run(Run::Works(0.0)).await;
            assert!(good, "{output}");
            match &first.place {
                Place::Sqlite => fs::read(first.file()).expect("the file"),
                Place::Postgres(database) => postgres::dump(database).into_bytes(),
            }
        });
        let meltano = Self::new(version, place);
        let left = left.await;
        match &meltano.place {
            Place::Sqlite => {
                fs::create_dir_all(meltano.file().parent().expect("a folder")).expect("our own folder");
                fs::write(meltano.file(), left).expect("our own file");
            }
            Place::Postgres(database) => {
                let statements = std::str::from_utf8(left).expect("statements");
                database
                    .client()
                    .await
                    .batch_execute(statements)
                    .await
                    .expect("what was dumped");
            }
        }
        meltano
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

    /// What Meltano would leave in the user's cache if it asked the network for something.
    pub fn user_cache(&self) -> PathBuf {
        self.folder.path().join("user-cache")
    }

    /// Makes the tables as an older Meltano had them, by Meltano's own migrations up to a revision.
    pub fn migrate_to(&self, revision: &str) {
        let python = super::cache().join("meltano-3.6").join("bin").join("python");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/meltano/migrate.py");
        if let Some(folder) = self.file().parent() {
            fs::create_dir_all(folder).expect("our own folder");
        }
        let output = Command::new(python)
            .args([script, &self.uri(), revision])
            .current_dir(self.folder.path())
            .output()
            .expect("Meltano's own Python");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// From here on another Meltano runs in this project; its migrations come with its next run.
    pub fn upgrade(&mut self, version: Version) {
        self.version = version;
    }

    /// Starts `meltano run`, its output in a file of its own.
    pub fn start(&self, run: Run) -> Running {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let output = self.folder.path().join(format!("output-{number}"));
        let file = fs::File::create(&output).expect("our own file");
        let mut command = self.meltano();
        command
            .args(["run", "tap-x", "target-x"])
            .stdin(Stdio::null())
            .stderr(file.try_clone().expect("our own file"))
            .stdout(file);
        let patched = self.folder.path().join("patch");
        match run {
            Run::Works(seconds) => command.env("TAP_SECONDS", seconds.to_string()),
            Run::TapFails => command.env("TAP_SECONDS", "-1"),
            Run::CrashesAtStart => command.env("PYTHONPATH", patched).env("CRASH_AT_START", "1"),
            Run::Blocks(seconds) => command
                .env("PYTHONPATH", patched)
                .env("BLOCK_SECONDS", seconds.to_string()),
            Run::BlocksThenWorks(blocked, working) => command
                .env("PYTHONPATH", patched)
                .env("BLOCK_SECONDS", blocked.to_string())
                .env("TAP_SECONDS", working.to_string()),
        };
        let child = command.spawn().expect("Meltano starts");
        Running { child, output }
    }

    /// `meltano` in this project, untouched by the settings of the user who runs the tests, and without the network.
    pub fn meltano(&self) -> Command {
        let name = match self.version {
            Version::V3_6 => "meltano-3.6",
            Version::V4 => "meltano-4",
        };
        let bin = super::cache().join(name).join("bin");
        let program = bin.join("meltano");
        assert!(
            program.exists(),
            "{} is missing: run scripts/setup-tests.sh",
            program.display()
        );
        let mut command = Command::new(program);
        for (variable, _) in env::vars_os() {
            let name = variable.to_string_lossy();
            if ["MELTANO", "PYTHON", "TAP_", "CRASH_AT_START", "BLOCK_SECONDS"]
                .iter()
                .any(|theirs| name.starts_with(theirs))
            {
                command.env_remove(&variable);
            }
        }
        // The tap and the target run by Meltano's own Python, whatever `python3` is here.
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(std::iter::once(bin).chain(env::split_paths(&path))).expect("folders");
        command
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("MELTANO_DATABASE_URI", self.uri())
            .env("MELTANO_DISABLE_TRACKING", "1")
            // 4.x asks the package index at each start whether it is the newest, and keeps the answer for the user.
            .env("MELTANO_CLI_DISABLE_VERSION_CHECK", "1")
            .env("XDG_CACHE_HOME", self.user_cache())
            .env("NO_COLOR", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Runs to the end: whether it ended well, and what it printed.
    pub async fn run(&self, run: Run) -> (bool, String) {
        let ended = self.start(run).ended().await;
        (ended.status.success(), ended.output)
    }

    /// The newest row of the job table, as soon as it is as wanted; the table need not be there yet.
    ///
    /// # Panics
    /// If it is not within half a minute.
    pub async fn row_when(&self, what: &str, wanted: impl Fn(&WholeRow) -> bool) -> WholeRow {
        eventually(what, SOON, async || {
            if !self.has_table("runs").await {
                return None;
            }
            self.rows().await.pop().filter(|row| wanted(row))
        })
        .await
    }

    async fn has_table(&self, table: &str) -> bool {
        match &self.place {
            // Meltano makes the file; opening it here first would make an empty one.
            Place::Sqlite => {
                self.file().exists() && connect(&self.file()).table_exists(None, table).expect("an answer")
            }
            Place::Postgres(database) => {
                let client = database.client().await;
                let row = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table]).await;
                row.expect("an answer").get(0)
            }
        }
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
                connect(&self.file())
                    .execute_batch(statement)
                    .expect("a good statement");
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

/// Opens a file that is there, and never makes one.
fn connect(file: &Path) -> Connection {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("the file");
    connection.busy_timeout(Duration::from_secs(5)).expect("a timeout");
    connection
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
    let connection = connect(file);
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
