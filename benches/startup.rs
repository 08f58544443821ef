//! What the program costs before it does anything: its size, the time from its start to the first answer over HTTP and to the
//! first good pass in a scrape, on both databases, beside the start of `true` and of `psql`.
//!
//! `cargo bench --bench startup`; the figures of docs/benchmarks.md come from it. It measures, and asserts only that each
//! start came to its end.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use support::postgres::{Cluster, free_port};

const STARTS: usize = 30;
const TABLE: &str = "CREATE TABLE runs (id integer PRIMARY KEY, job_name varchar, state varchar, started_at timestamp,
    ended_at timestamp, payload varchar, payload_flags integer, run_id uuid, trigger varchar, last_heartbeat_at timestamp)";

fn main() {
    let program = Path::new(env!("CARGO_BIN_EXE_beatwarden"));
    let size = std::fs::metadata(program).unwrap().len();
    println!("size of the binary: {:.1} MB", size as f64 / 1e6);

    let cluster = Cluster::start_own();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = runtime.block_on(async {
        let database = cluster.database().await;
        database.client().await.batch_execute(TABLE).await.unwrap();
        database.url
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch(TABLE).unwrap();
    let file = file.to_str().unwrap();

    report("true (a process, for comparison)", || to_the_end(Command::new("true")));
    report("psql -c 'select 1'", || {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", &url, "-c", "select 1"]);
        to_the_end(psql)
    });
    report("beatwarden --version", || {
        let mut version = Command::new(program);
        version.arg("--version");
        to_the_end(version)
    });
    for (name, database) in [("PostgreSQL", url.as_str()), ("SQLite", file)] {
        let mut answers = Vec::new();
        let mut passes = Vec::new();
        for _ in 0..STARTS {
            let (answered, passed) = start(program, database);
            answers.push(answered);
            passes.push(passed);
        }
        line(&format!("watch on {name}: HTTP answers"), &mut answers);
        line(
            &format!("watch on {name}: the first good pass is in a scrape"),
            &mut passes,
        );
    }
}

fn report(what: &str, mut once: impl FnMut() -> Duration) {
    let mut times: Vec<Duration> = (0..STARTS).map(|_| once()).collect();
    line(what, &mut times);
}

fn line(what: &str, times: &mut [Duration]) {
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{what}: p50 {:.1} ms, longest {:.1} ms of {STARTS}",
        milliseconds(times[times.len() / 2]),
        milliseconds(times[times.len() - 1])
    );
}

fn to_the_end(mut command: Command) -> Duration {
    let began = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    let took = began.elapsed();
    assert!(status.success(), "{command:?}");
    took
}

/// One start: the time to the first answer, and to a scrape that says `up`.
fn start(program: &Path, database: &str) -> (Duration, Duration) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(["watch", "--database", database, "--preset", "meltano"])
        .args(["--listen", &address.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut answered = None;
    let passed = loop {
        let scrape = scrape(address);
        if scrape.is_some() {
            answered.get_or_insert_with(|| began.elapsed());
        }
        if scrape.is_some_and(|text| text.contains("\nbeatwarden_up{watch=\"meltano\"} 1\n")) {
            break began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "no good pass");
        std::thread::park_timeout(Duration::from_micros(500));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    (answered.unwrap(), passed)
}

fn scrape(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: test\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
