//! Our own binary, run as a user runs it.

use super::{eventually, http};
use std::{
    fmt::Display,
    fs::File,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A running `beatwarden watch`.
pub struct Beatwarden {
    child: Child,
    pub address: SocketAddr,
    folder: TempDir,
}

const OURS: &str = env!("CARGO_BIN_EXE_beatwarden");

/// The binary, in a folder where no configuration file lies.
pub fn command(folder: &Path) -> Command {
    command_of(Path::new(OURS), folder)
}

/// Another binary there, such as that of an earlier version.
pub fn command_of(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// The words of a command line, as blanks separate them.
pub fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Runs a command to its end: status, stdout, stderr.
pub fn run(arguments: &[&str]) -> (ExitStatus, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let output = command(folder.path())
        .args(arguments)
        .output()
        .expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status, text(output.stdout), text(output.stderr))
}

/// A series of the watch `meltano` that has no other label.
pub fn of_watch(name: &str) -> String {
    format!("{name}{{watch=\"meltano\"}}")
}

/// Its repairs of jobs that missed their first heartbeat.
pub fn repairs(action: &str) -> String {
    format!("repairs_total{{action=\"{action}\",reason=\"missed_first\",watch=\"meltano\"}}")
}

/// Its jobs whose repair is withheld.
pub fn withheld(cause: &str) -> String {
    format!("withheld_repairs{{cause=\"{cause}\",watch=\"meltano\"}}")
}

/// Its failed passes.
pub fn failures(cause: &str) -> String {
    format!("poll_failures_total{{cause=\"{cause}\",watch=\"meltano\"}}")
}

impl Beatwarden {
    /// Starts it on a free port, and waits until it listens.
    pub async fn watch(arguments: &[&str]) -> Self {
        Self::watch_in(&[], arguments).await
    }

    /// The same with variables in its environment.
    pub async fn watch_in(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::watch_by(Path::new(OURS), environment, arguments).await
    }

    /// The same by another binary, such as that of an earlier version.
    pub async fn watch_by(program: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log = File::create(folder.path().join("log")).expect("a log");
        let level: &[&str] = match arguments.contains(&"--log-level") {
            true => &[],
            false => &["--log-level", "debug"],
        };
        let child = command_of(program, folder.path())
            .args(["watch", "--listen", "127.0.0.1:0"])
            .args(level)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let mut this = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            folder,
        };
        // Where many run beside each other a start takes long; what never serves is noticed all the same.
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let log = this.log();
            // Until it serves it may still read its files, which a test is free to change from here on. An earlier version doesn't
            // say so.
            let serves = log.contains("the status page is served") || program != Path::new(OURS);
            let listen = log
                .split("listen=")
                .nth(1)
                .and_then(|rest| rest.split_whitespace().next());
            if let Some(address) = listen.filter(|_| serves).and_then(|address| address.parse().ok()) {
                this.address = address;
                return this;
            }
            let ended = this.child.try_wait().expect("our child");
            assert!(ended.is_none() && Instant::now() < until, "it does not serve: {log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("its log")
    }

    /// All that it logged until the moment in which this is written out.
    pub fn whole_log(&self) -> impl Display + use<'_> {
        std::fmt::from_fn(|f| f.write_str(&self.log()))
    }

    /// The value of a series, written as in the text format without the prefix: `up{watch="meltano"}`.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = http::get(self.address, "/metrics").text();
        let wanted = format!("beatwarden_{series} ");
        text.lines().find_map(|line| line.strip_prefix(&wanted)?.parse().ok())
    }

    /// How many series of a name have a value, asked at once for all.
    pub fn count(&self, name: &str, value: f64) -> usize {
        let text = http::get(self.address, "/metrics").text();
        let wanted = format!("beatwarden_{name}{{");
        let series = text.lines().filter(|line| line.starts_with(&wanted));
        let values = series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.filter(|found| *found == value).count()
    }

    /// Waits until a series has a value.
    pub async fn metric_becomes(&self, series: &str, value: f64, within: Duration) {
        eventually(
            format_args!("{series} = {value}, log:\n{}", self.whole_log()),
            within,
            async || (self.metric(series) == Some(value)).then_some(()),
        )
        .await;
    }

    /// Waits until its log has these words.
    pub async fn says(&self, words: &str, within: Duration) {
        eventually(
            format_args!("`{words}` in the log:\n{}", self.whole_log()),
            within,
            async || self.log().contains(words).then_some(()),
        )
        .await;
    }

    /// A JSON document.
    pub fn json(&self, path: &str) -> serde_json::Value {
        serde_json::from_slice(&http::get(self.address, path).body).expect("JSON")
    }

    /// Most memory that the process ever had, in MiB.
    pub fn most_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .expect("its memory");
        let kilobytes = line.trim().strip_suffix(" kB").expect("in kB");
        kilobytes.parse::<u64>().expect("a number") / 1024
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().expect("our child")
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }
}

impl Drop for Beatwarden {
    fn drop(&mut self) {
        // Already gone if the test stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
