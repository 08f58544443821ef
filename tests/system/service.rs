//! The systemd unit: what systemd itself says of it, and what the binary reports to the service manager.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::proxy::Proxy;
use crate::support::{
    Session,
    beatwarden::{Beatwarden, words},
    http::get,
    postgres, written,
};
use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const UNIT: &str = include_str!("../../deploy/systemd/beatwarden.service");
const SOON: Duration = Duration::from_secs(20);

/// The service manager's end of the protocol.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Self { socket, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The next message, or none within a time.
    fn next(&self, within: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(within)).unwrap();
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
    }

    /// Reads on until a message has this line.
    fn until(&self, line: &str) -> String {
        let until = Instant::now() + SOON;
        loop {
            let message = self.next(SOON).unwrap_or_default();
            if message.lines().any(|one| one == line) {
                return message;
            }
            assert!(Instant::now() < until, "no {line}, but {message}");
        }
    }

    /// Reads whatever has come so far, until nothing comes for a while.
    fn silence(&self) {
        let until = Instant::now() + SOON;
        while self.next(Duration::from_secs(2)).is_some() {
            assert!(Instant::now() < until, "it never ends");
        }
    }

    async fn start(&self, database: &str) -> Beatwarden {
        Beatwarden::watch_in(
            &[("NOTIFY_SOCKET", &self.path("notify")), ("WATCHDOG_USEC", "180000000")],
            &words(&format!(
                "--database {database} --preset meltano --missed-first observe --poll-interval 300ms"
            )),
        )
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_informed_of_every_step() {
    let manager = Manager::new();
    let database = manager.path("jobs.db");
    rusqlite::Connection::open(&database)
        .unwrap()
        .execute_batch(include_str!("../../src/demo/schema.sql"))
        .unwrap();
    let dog = manager.start(&database).await;
    let ready = manager.until("READY=1");
    assert!(ready.contains("STATUS=watches in this process: 1"), "{ready}");
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    dog.signal("HUP");
    let reloading = manager.until("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.until("READY=1");
    // A frozen process gives no sign of life; nothing here may do so for it.
    dog.signal("STOP");
    manager.silence();
    dog.signal("CONT");
    manager.until("WATCHDOG=1");
    dog.signal("TERM");
    manager.until("STOPPING=1");
    assert!(dog.stop().success());
}

/// The process lives, its timers run and HTTP answers; only the pass doesn't end. A sign of life by a timer would continue.
#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_hangs_gives_no_sign_of_life() {
    let manager = Manager::new();
    let database = postgres::shared().database().await;
    let table = "CREATE TABLE runs (id integer PRIMARY KEY, job_name varchar, state varchar, started_at timestamp, ended_at timestamp,
        payload varchar, last_heartbeat_at timestamp)";
    database.client().await.run(table).await;
    let proxy = Proxy::start(postgres::shared().port()).await;
    let name = database.url.rsplit('/').next().unwrap();
    let dog = manager
        .start(&format!("postgres://postgres@{}/{name}", proxy.address))
        .await;
    dog.metric_becomes("up{watch=\"meltano\"}", 1.0, SOON).await;
    manager.until("WATCHDOG=1");
    // Shorter than the pass's own deadline, so that this one pass takes it all.
    proxy.faults.stall(Duration::from_secs(6));
    manager.silence();
    assert_eq!(get(dog.address, "/-/healthy").status, 200);
    manager.until("WATCHDOG=1");
    assert_eq!(
        dog.metric("poll_failures_total{cause=\"timeout\",watch=\"meltano\"}"),
        Some(0.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_no_reason_to_be_restarted() {
    let manager = Manager::new();
    let dog = manager.start(&manager.path("nowhere.db")).await;
    manager.until("READY=1");
    manager.until("WATCHDOG=1");
    manager.until("WATCHDOG=1");
    assert_eq!(get(dog.address, "/-/ready").status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_interval_asks_for_a_longer_watchdog() {
    let manager = Manager::new();
    let _dog = Beatwarden::watch_in(
        &[("NOTIFY_SOCKET", &manager.path("notify")), ("WATCHDOG_USEC", "1000000")],
        &words(&format!(
            "--database {} --preset meltano --poll-interval 1s",
            manager.path("nowhere.db")
        )),
    )
    .await;
    let message = loop {
        let message = manager.next(SOON).expect("a message");
        if message.starts_with("WATCHDOG_USEC=") {
            break message;
        }
        assert!(
            !message.starts_with("WATCHDOG=1"),
            "the sign of life came before the longer time was asked for"
        );
    };
    let micros: u64 = message.trim().strip_prefix("WATCHDOG_USEC=").unwrap().parse().unwrap();
    // Three times the next attempt, four deadlines and a minute; at least the last.
    assert!(micros > 60_000_000, "{micros}");
    manager.until("WATCHDOG=1");
}

/// The unit with our own binary, since none is installed.
fn unit(folder: &Path) -> String {
    let unit = UNIT.replace("/usr/local/bin/beatwarden", env!("CARGO_BIN_EXE_beatwarden"));
    let path = folder.join("beatwarden.service");
    fs::write(&path, unit).unwrap();
    path.to_str().unwrap().to_owned()
}

fn analyze(arguments: &[&str]) -> Output {
    let out = Command::new("systemd-analyze").args(arguments).output();
    out.expect("systemd-analyze is not installed: run scripts/setup-tests.sh")
}

#[test]
fn systemd_finds_no_mistake_in_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let path = unit(folder.path());
    let out = analyze(&["verify", "--man=no", &path]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && said.is_empty(), "{said}");
    // It does find one where there is one.
    fs::write(&path, UNIT.replace("Type=notify", "Type=notified")).unwrap();
    let out = analyze(&["verify", "--man=no", &path]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("notified"));
}

#[test]
fn the_unit_is_exposed_to_little() {
    let folder = tempfile::tempdir().unwrap();
    let out = analyze(&["security", "--offline=true", "--threshold=20", &unit(folder.path())]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.contains("Overall exposure level"), "{said}");
}

/// The head of the unit says what to write into beatwarden.toml: the binary takes just that, in the unit's environment, and
/// finds the credential where the service manager puts it.
#[test]
fn the_file_that_the_unit_asks_for_is_one_that_the_binary_takes() {
    let values = |key: &str| {
        UNIT.lines()
            .filter_map(|line| line.strip_prefix(key))
            .collect::<Vec<_>>()
    };
    assert_eq!(values("ExecStart="), ["/usr/local/bin/beatwarden watch"]);
    let credentials = values("LoadCredential=");
    let names: Vec<&str> = credentials
        .iter()
        .map(|credential| credential.split(':').next().unwrap())
        .collect();
    assert_eq!(names, ["database"]);
    // A variable that configures a single watch would be refused beside a file with watches.
    assert_eq!(values("Environment="), Vec::<&str>::new());
    let head = UNIT.lines().take_while(|line| line.starts_with('#'));
    let file: Vec<&str> = head
        .filter_map(|line| line.strip_prefix("#   "))
        .skip_while(|line| *line != "[[watch]]")
        .collect();
    let there = "/run/credentials/beatwarden.service/database";
    let file = file.join("\n");
    assert!(file.contains(there), "{file}");

    let (folder, credential) = written("database", "postgres://watchdog:word@127.0.0.1/jobs");
    let file = file.replace(there, credential.to_str().unwrap());
    fs::write(folder.path().join("beatwarden.toml"), file).unwrap();
    let out = crate::support::beatwarden::command(folder.path())
        .arg("config")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(
        out.status.success() && said.contains("watch.meltano.database_file = "),
        "{said}"
    );
}
