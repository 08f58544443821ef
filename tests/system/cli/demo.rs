//! What the demo shows to someone who opens its page.

use crate::support::{beatwarden::command, eventually, http};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::Stdio,
    time::Duration,
};

const SOON: Duration = Duration::from_secs(20);

/// The demo, which ends with its test.
struct Demo(std::process::Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_incident_begins_when_the_page_is_opened_and_something_is_stuck_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let child = command(folder.path())
        .env("TMPDIR", folder.path())
        .args(["demo", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut demo = Demo(child);
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let page = lines
        .find_map(|line| line.split("http://").nth(1).map(str::to_owned))
        .unwrap();
    let address: SocketAddr = page.trim_end_matches('/').parse().unwrap();
    let status = || -> Value { serde_json::from_slice(&http::get(address, "/api/v1/status").body).unwrap() };
    let stuck = eventually("two stuck jobs", SOON, async || {
        let jobs = status()["watches"][0]["jobs"].take();
        let lost = |job: &&Value| job["phase"] == "lost";
        let lost: Vec<Value> = jobs.as_array()?.iter().filter(lost).cloned().collect();
        (lost.len() == 2).then_some(lost)
    })
    .await;
    assert!(stuck[0]["blocks_until"].is_string(), "{stuck:?}");
    assert_eq!(stuck[1]["leftover"], true, "{stuck:?}");

    assert_eq!(http::get(address, "/").status, 200);
    let line = lines.find(|line| line.contains("marked RUNNING and dies")).unwrap();
    let seconds: f64 = line
        .trim_start_matches(['[', ' '])
        .split('s')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        seconds < 7.9,
        "it did not wait for the eight seconds that no one looks: {line}"
    );
}
