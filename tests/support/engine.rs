//! The real job systems of the presets, each driven by a script of tests/engines.

use super::eventually;
use std::{
    fs::{self, File},
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tempfile::TempDir;

/// Signal 9, by which a job ends itself.
const SIGKILL: i32 = 9;

/// A script imports a whole system, on a machine that runs several tests; one that hangs fails its test.
const LONGEST: Duration = Duration::from_secs(120);

/// A job system with a database.
pub struct Engine {
    /// Its environment in the cache.
    home: &'static str,
    script: PathBuf,
    /// The database's address as the system takes it.
    url: String,
    folder: TempDir,
    started: AtomicU32,
}

/// A script under way. Dropped, it is killed.
pub struct Driven {
    child: Child,
    stdin: Option<ChildStdin>,
    output: PathBuf,
}

/// A program of an environment of the cache, untouched by the settings of the user who runs the tests; `python` is its own.
pub fn program(home: &str, name: &str) -> Command {
    let bin = super::cache().join(home).join("bin");
    let program = bin.join(name);
    assert!(
        program.exists(),
        "{} is missing: run scripts/setup-tests.sh, or with engines for the large systems",
        program.display()
    );
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path))).expect("folders");
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", path)
        .env("TZ", "UTC")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONWARNINGS", "ignore");
    command
}

/// A program with processes of its own, all of them in one session. Dropped, they are killed.
pub struct Session(Child);

impl Session {
    /// Starts it; what it prints goes into `log`.
    pub fn start(command: &Command, log: &Path) -> Self {
        let log = File::create(log).expect("our own file");
        let mut session = Command::new("setsid");
        session.arg(command.get_program()).args(command.get_args()).env_clear();
        session.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let session = session
            .current_dir(command.get_current_dir().unwrap_or(Path::new("/")))
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("our own file"))
            .stdout(log)
            .spawn()
            .expect("setsid");
        Self(session)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let session = self.0.id().to_string();
        let _ = Command::new("pkill").args(["-KILL", "-s", &session]).status();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the scripts are.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines")
}

impl Engine {
    /// A small system: all of them share one environment. The database is there.
    pub fn new(script: &str, url: impl Into<String>) -> Self {
        Self::of("engines", script, url)
    }

    /// A system with an environment of its own.
    pub fn of(home: &'static str, script: &str, url: impl Into<String>) -> Self {
        Self {
            home,
            script: scripts().join(script),
            url: url.into(),
            folder: tempfile::tempdir().expect("a folder"),
            started: AtomicU32::new(0),
        }
    }

    /// Starts the script with one command or several.
    pub fn start(&self, commands: &[&str]) -> Driven {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let output = self.folder.path().join(format!("output-{number}"));
        let file = File::create(&output).expect("our own file");
        let mut child = program(self.home, "python")
            .arg(&self.script)
            .arg(&self.url)
            .args(commands)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .stdin(Stdio::piped())
            .stderr(file.try_clone().expect("our own file"))
            .stdout(file)
            .spawn()
            .expect("the system's Python");
        let stdin = child.stdin.take();
        Driven { child, stdin, output }
    }

    /// Runs commands that end well; what they printed.
    pub async fn run(&self, commands: &[&str]) -> String {
        let mut driven = self.start(commands);
        drop(driven.stdin.take());
        driven.ends(None).await
    }

    /// Runs commands the last of which kills its process.
    pub async fn crash(&self, commands: &[&str]) {
        self.start(commands).ends(Some(SIGKILL)).await;
    }

    /// Starts a job, and waits until it says where it is.
    pub async fn start_until(&self, command: &str, word: &str) -> Driven {
        let driven = self.start(&[command]);
        driven.says(word).await;
        driven
    }

    /// What the system itself says of its jobs, as JSON: the last line of the command `view`.
    pub async fn view(&self) -> serde_json::Value {
        let output = self.run(&["view"]).await;
        let line = output.lines().last().expect("a line");
        serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON at the end of {output}"))
    }
}

impl Driven {
    /// What it printed so far, on both streams.
    fn output(&self) -> String {
        fs::read_to_string(&self.output).expect("its output")
    }

    /// Waits until it printed a line.
    pub async fn says(&self, word: &str) {
        let what = format!("{word:?} from {}", self.output.display());
        eventually(&what, LONGEST, async || {
            self.output().lines().any(|line| line == word).then_some(())
        })
        .await;
    }

    /// Lets a job that waits continue.
    pub fn go_on(&mut self) {
        let stdin = self.stdin.as_mut().expect("it is open until the end");
        stdin.write_all(b"\n").expect("it reads");
    }

    /// Lets the job end, in whatever way it does.
    pub async fn finish(mut self) -> String {
        drop(self.stdin.take());
        self.over().await;
        self.output()
    }

    async fn over(&mut self) -> std::process::ExitStatus {
        let child = &mut self.child;
        eventually("the end of the script", LONGEST, async || {
            child.try_wait().expect("our own child")
        })
        .await
    }

    async fn ends(mut self, signal: Option<i32>) -> String {
        let status = self.over().await;
        let output = self.output();
        assert!(
            status.signal() == signal && (signal.is_some() || status.success()),
            "{status}: {output}"
        );
        output
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        // It may be over already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
