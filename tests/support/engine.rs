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

/// A program of the systems' environment, untouched by the settings of the user who runs the tests.
pub fn program(name: &str) -> Command {
    let program = super::cache().join("engines/bin").join(name);
    assert!(
        program.exists(),
        "{} is missing: run scripts/setup-tests.sh",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TZ", "UTC")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONWARNINGS", "ignore");
    command
}

/// Where the scripts are.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines")
}

impl Engine {
    /// The system of `script`, over a database that is there.
    pub fn new(script: &str, url: impl Into<String>) -> Self {
        Self {
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
        let mut child = program("python")
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

    /// Lets a job that waits go on.
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
