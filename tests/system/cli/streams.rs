//! What goes to stdout, stderr and a terminal: nothing lost in silence, nothing hostile, nothing that ends a watch.

use super::{job_table, text};
use crate::support::{
    beatwarden::{Beatwarden, command, run, words},
    http,
};
use std::{
    fs::OpenOptions,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const SOON: Duration = Duration::from_secs(20);

/// A line of shell with `$B` as our binary and `$D` as its database, and its exit code.
fn shell(folder: &Path, line: &str) -> Output {
    let database = folder.join("jobs.db");
    let mut shell = Command::new("bash");
    shell
        .arg("-c")
        .arg(line)
        .current_dir(folder)
        .env("B", env!("CARGO_BIN_EXE_beatwarden"))
        .env("D", format!("--database {} --preset meltano", database.display()));
    shell.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn output_that_is_lost_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    job_table(&folder);
    for arguments in [
        "--help",
        "--version",
        "grants --help",
        "status $D",
        "status $D --json",
        "grants $D",
        "config $D",
        "history $D",
        "completions bash",
        "guard install --print $D",
    ] {
        for (lost, code) in [(">/dev/full", 1), (">&-", 1), (">/dev/null", 0), (">file", 0)] {
            let output = shell(folder.path(), &format!("$B {arguments} {lost}"));
            assert_eq!(
                output.status.code(),
                Some(code),
                "{arguments} {lost}: {}",
                said(&output)
            );
            assert_eq!(
                said(&output).contains("stdout can't be written"),
                code == 1,
                "{}",
                said(&output)
            );
        }
        let gone = shell(
            folder.path(),
            &format!("$B {arguments} | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}"),
        );
        assert!(
            gone.status.success() && gone.stderr.is_empty(),
            "{arguments}: {}",
            said(&gone)
        );
    }
    // What does more than to print keeps its word, where its output was thrown away on purpose by a program that opens the null
    // device both ways.
    for (arguments, code) in [("check $D", 0), ("explain 1 $D", 1)] {
        let output = shell(folder.path(), &format!("$B {arguments} 1<>/dev/null"));
        assert_eq!(output.status.code(), Some(code), "{arguments}: {}", said(&output));
        let output = shell(folder.path(), &format!("$B {arguments} >/dev/full"));
        assert_eq!(output.status.code(), Some(1), "{arguments}: {}", said(&output));
    }
}

/// A watch with a stderr of the test's own, on a port that was free a moment ago.
struct Dog {
    child: Child,
    address: std::net::SocketAddr,
}

impl Dog {
    async fn start(folder: &Path, stderr: Stdio) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let child = command(folder)
            .args(words("watch --database jobs.db --preset meltano --poll-interval 100ms"))
            .args(["--log-level", "trace", "--listen", &address.to_string()])
            .stderr(stderr)
            .spawn()
            .unwrap();
        let dog = Self { child, address };
        crate::support::eventually("ten passes", SOON, async || dog.polls().filter(|polls| *polls > 10.0)).await;
        dog
    }

    fn polls(&self) -> Option<f64> {
        std::net::TcpStream::connect(self.address).ok()?;
        let text = http::get(self.address, "/metrics").text();
        let mut lines = text.lines();
        lines.find_map(|line| {
            line.strip_prefix("beatwarden_polls_total{watch=\"meltano\"} ")?
                .parse()
                .ok()
        })
    }

    fn stop(mut self) -> Option<i32> {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(kill.unwrap().success());
        self.child.wait().unwrap().code()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_can_t_be_written_ends_no_watch() {
    let folder = tempfile::tempdir().unwrap();
    job_table(&folder);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(Dog::start(folder.path(), full.into()).await.stop(), Some(0));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(Dog::start(folder.path(), writer.into()).await.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_read_stops_no_pass() {
    let folder = tempfile::tempdir().unwrap();
    job_table(&folder);
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // As much as a pipe takes: the first line of the log waits.
    writer.write_all(&[b'\n'; 65536]).unwrap();
    let dog = Dog::start(folder.path(), writer.into()).await;
    assert_eq!(http::get(dog.address, "/-/healthy").status, 200);
    let began = Instant::now();
    assert_eq!(dog.stop(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    assert!(log.trim_start().len() < 4096, "{log}");
}

/// Names that move a cursor, forge a line or turn the text.
const HOSTILE: [&str; 6] = [
    "x\n  ok   everything is fine",
    "a\u{1b}]0;pwn\u{7}b",
    "c\u{9b}2Jd",
    "e\u{202e}f",
    "g\u{61c}\u{2066}h\u{2028}i",
    "j\r\u{200b}\u{feff}k",
];

fn is_harmless(said: &str) -> bool {
    let hostile = |letter: char| {
        letter.is_control() && letter != '\n'
            || matches!(letter, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    !said.contains(hostile) && said.lines().all(|line| line.trim() != "ok   everything is fine")
}

#[test]
fn names_of_others_are_harmless_in_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let table = job_table(&folder);
    let connection = rusqlite::Connection::open(&table).unwrap();
    for (at, name) in (1_i64..).zip(HOSTILE) {
        connection
            .execute_batch(&format!("CREATE TABLE \"{name}\" (\"{name}\" INTEGER)"))
            .unwrap();
        let row = "INSERT INTO runs (id, job_name, state, started_at) VALUES (?1, ?2, 'RUNNING', strftime('%Y-%m-%d %H:%M:%f', 'now', '-10 minutes'))";
        connection.execute(row, rusqlite::params![at, name]).unwrap();
        connection
            .execute(
                "INSERT INTO runs (id, job_name, state) VALUES (100 + ?2, ?1, ?1)",
                rusqlite::params![name, at],
            )
            .unwrap();
    }
    drop(connection);
    let file = |extra: &str| {
        let path = folder.path().join("beatwarden.toml");
        let watch = format!("[[watch]]\ndatabase = \"jobs.db\"\npreset = \"meltano\"\n{extra}\n");
        std::fs::write(&path, watch).unwrap();
    };
    let hostile = r"x\n  ok   everything is fine\u001b\u202e\u0085";
    for extra in [
        String::new(),
        "table.name = \"missing\"".to_owned(),
        "table.state = \"missing\"".to_owned(),
        format!("table.name = \"{hostile}\""),
        format!("table.state = \"{hostile}\""),
        format!("name = \"{hostile}\""),
        format!("\"{hostile}\" = 1"),
        format!("time_zone = \"{hostile}\""),
        format!("table.time_zone = \"{hostile}\""),
        format!("repair.ledger = \"{hostile}\""),
    ] {
        file(&extra);
        for arguments in [
            &["check"][..],
            &["status"],
            &["status", "--json"],
            &["history"],
            &["explain", "1"],
            &["explain", "1", "--json"],
            &["explain", "9\u{1b}\n"],
            &["guard", "status"],
            &["grants"],
            &["config"],
        ] {
            let output = command(folder.path()).args(arguments).output().unwrap();
            assert!(
                is_harmless(&said(&output)),
                "{extra} {arguments:?}: {:?}",
                said(&output)
            );
        }
    }
    file("");
    let output = shell(folder.path(), "$B repair --dry-run --now --action fail");
    assert!(
        said(&output).contains("pwn") && is_harmless(&said(&output)),
        "{:?}",
        said(&output)
    );
    let output = command(folder.path())
        .args(["status", "--watch", "\u{1b}x\n", "--log-format", "json"])
        .output();
    assert!(is_harmless(&said(&output.unwrap())));
}

/// What was typed may have been copied from somewhere.
#[test]
fn arguments_are_harmless_too() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        r"$B undo $'\e]0;x\a\n  ok'",
        r"$B $'\u202e\n'",
        r"$B watch $'--\x9b\e[2J'",
        r"$B --log-format=json $'\e\u0085'",
    ] {
        let output = shell(folder.path(), line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(is_harmless(&said(&output)), "{line}: {:?}", said(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_others_are_harmless_in_the_log_and_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let table = job_table(&folder);
    let connection = rusqlite::Connection::open(&table).unwrap();
    for (at, name) in (1_i64..).zip(HOSTILE) {
        let row = "INSERT INTO runs (id, job_name, state, started_at) VALUES (?1, ?2, ?3, strftime('%Y-%m-%d %H:%M:%f', 'now', '-2 minutes'))";
        connection.execute(row, rusqlite::params![at, name, "RUNNING"]).unwrap();
        connection
            .execute(row, rusqlite::params![at + 100, name, name])
            .unwrap();
    }
    // A repair that fails with words of the table's owner.
    let raise = HOSTILE.join(" ");
    let trigger = format!("CREATE TRIGGER no BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, '{raise}'); END");
    connection.execute_batch(&trigger).unwrap();
    for format in ["text", "json"] {
        let arguments = words("--preset meltano --missed-first fail --init-deadline 2s --poll-interval 200ms");
        let more = [
            "--log-format",
            format,
            "--database",
            text(&table),
            "--listen",
            "127.0.0.1:0",
        ];
        let mut child = command(folder.path())
            .arg("watch")
            .args(arguments)
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        let reported = |seen: &str| seen.contains("pwn") && seen.contains("ABORT") || seen.contains("repair failed");
        let began = Instant::now();
        while !reported(&seen) && began.elapsed() < SOON {
            std::io::BufRead::read_line(&mut log, &mut seen).unwrap();
        }
        let address = seen
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split('/').next())
            .unwrap()
            .parse()
            .unwrap();
        let status = http::get(address, "/api/v1/status").text();
        assert!(status.contains("pwn") && is_harmless(&status), "{status:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_harmless(&seen), "{seen:?}");
        if format == "json" {
            for line in seen.lines() {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
        }
    }
}

#[test]
fn names_are_whole_in_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let table = job_table(&folder);
    let name = "dev:tap-with-a-long-name-to-target-with-a-long-name";
    let row = "INSERT INTO runs (id, job_name, state, started_at) VALUES (1, ?1, 'RUNNING', strftime('%Y-%m-%d %H:%M:%f', 'now', '-10 minutes'))";
    rusqlite::Connection::open(&table)
        .unwrap()
        .execute(row, [name])
        .unwrap();
    let (_, status, _) = run(&["status", "--database", text(&table), "--preset", "meltano"]);
    assert!(status.contains(name), "{status}");
    // A terminal of 60 columns: nothing runs over, and words stay whole.
    let narrow = "script -qec 'stty rows 20 cols 60; $B status $D; $B check $D; $B history $D' /dev/null";
    let output = shell(folder.path(), narrow);
    let said = said(&output).replace("\r\n", "\n");
    assert!(said.contains("dev:tap") && said.contains("table `runs`"), "{said}");
    let wide = said.lines().filter(|line| line.chars().count() > 60).count();
    assert_eq!(wide, 0, "{said}");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let folder = tempfile::tempdir().unwrap();
    job_table(&folder);
    for (environment, colours) in [
        ("TERM=xterm", true),
        ("TERM=xterm NO_COLOR=", true),
        ("TERM=xterm NO_COLOR=1", false),
        ("TERM=dumb", false),
    ] {
        let line = format!("{environment} script -qec 'BEATWARDEN_LISTEN=x $B status $D' /dev/null");
        let output = shell(folder.path(), &line);
        let said = said(&output);
        assert!(said.contains("BEATWARDEN__LISTEN"), "{said}");
        assert_eq!(said.contains('\u{1b}'), colours, "{environment}: {said:?}");
    }
}

#[test]
fn what_is_wrong_before_the_start_is_json_for_those_who_want_json() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("bad.toml"),
        "log_format = \"json\"\n[[watch]]\nbad = 1\n",
    )
    .unwrap();
    for arguments in [
        &["watch", "--log-format", "json"][..],
        &["watch", "--log-format=json", "--no-such-flag"],
        &["watch", "--config", "bad.toml"],
        &["check", "--log-format", "json", "--config", "nowhere.toml"],
        &words("explain 1 --log-format json --database nowhere.db --preset meltano"),
        &["healthcheck", "--log-format", "json", "--listen", "127.0.0.1:1"],
    ] {
        let output = command(folder.path()).args(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(!log.is_empty(), "{arguments:?}");
        for line in log.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{arguments:?}: {log}"));
            assert!(line["message"].is_string(), "{line}");
        }
    }
    let (_, _, log) = run(&["watch", "--no-such-flag"]);
    assert!(log.starts_with("error: unexpected argument"), "{log}");
}

#[test]
fn variables_that_are_misspelt_are_named_and_those_of_orchestrators_are_not() {
    let folder = tempfile::tempdir().unwrap();
    job_table(&folder);
    let warnings = |variable: &str| {
        let line = format!("env '{variable}=5s' $B config $D");
        String::from_utf8(shell(folder.path(), &line).stderr).unwrap()
    };
    for (variable, meant) in [
        ("BEATWARDEN_LISTEN", "BEATWARDEN__LISTEN"),
        ("beatwarden__listen", "BEATWARDEN__LISTEN"),
        ("BEATWARDEN_POLL_INTERVAL", "BEATWARDEN__POLL_INTERVAL"),
        (
            "BEATWARDEN_WATCH_MELTANO_POLL_INTERVAL",
            "BEATWARDEN__WATCH__<NAME>__POLL_INTERVAL",
        ),
    ] {
        let said = warnings(variable);
        assert!(
            said.contains(&format!("{variable} is not read; did you mean {meant}?")),
            "{said}"
        );
    }
    for variable in [
        "BEATWARDEN_PORT",
        "BEATWARDEN_SERVICE_HOST",
        "BEATWARDEN_PORT_12328_TCP_ADDR",
        "BEATWARDEN_WATCH_SERVICE_PORT",
        "MY_BEATWARDEN_LISTEN",
    ] {
        assert_eq!(warnings(variable), "", "{variable}");
    }
    let output = shell(
        folder.path(),
        "BEATWARDEN__DATABASE=$'\\xff' $B config --preset meltano",
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("BEATWARDEN__DATABASE (environment): expected a text in UTF-8"),
        "{}",
        said(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_says_where_its_page_is_and_dumps_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let table = job_table(&folder);
    let dog = Beatwarden::watch(&["--database", text(&table), "--preset", "meltano"]).await;
    let page = format!("page=\"http://{}/\"", dog.address);
    dog.says(&page, SOON).await;
    let filter = std::fs::read_to_string(format!("/proc/{}/coredump_filter", dog.id())).unwrap();
    assert_eq!(u32::from_str_radix(filter.trim(), 16), Ok(0), "{filter}");
}
