//! A real Prometheus in a folder of its own, that scrapes what it is given.

use super::{eventually, postgres::free_port};
use serde_json::Value;
use std::{
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A running Prometheus.
pub struct Prometheus {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Prometheus {
    /// Starts it with this configuration and a file of rules, and waits until it answers.
    pub async fn start(configuration: &str, rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("prometheus.yml"), configuration).expect("its configuration");
        std::fs::write(folder.path().join("rules.yml"), rules).expect("its rules");
        let port = free_port();
        let log = File::create(folder.path().join("log")).expect("a log");
        let child = Command::new("prometheus")
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is not installed: run scripts/setup-tests.sh");
        let this = Self { child, port, folder };
        eventually("Prometheus is ready", Duration::from_secs(30), async || {
            this.get("/-/ready").filter(|(status, _)| *status == 200)
        })
        .await;
        this
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("its log")
    }

    /// Status and body; HTTP/1.0, so that the body comes in one piece.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port))).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// One question to its API: the `data` of the answer.
    pub fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let parameters: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        let (status, body) = self
            .get(&format!("/api/v1/{path}?{}", parameters.join("&")))
            .expect("Prometheus answers");
        assert_eq!(status, 200, "{parameters:?}: {body}\n{}", self.log());
        let mut answer: Value = serde_json::from_str(&body).expect("JSON");
        answer["data"].take()
    }

    /// The series of an instant query.
    pub fn query(&self, expression: &str) -> Vec<Value> {
        let answer = self.ask("query", &[("query", expression)]);
        answer["result"].as_array().expect("series").clone()
    }

    /// Every value that the series of an expression had between two points in time, in Unix seconds.
    pub fn values(&self, expression: &str, from: f64, to: f64) -> Vec<(Value, Vec<f64>)> {
        let answer = self.ask(
            "query_range",
            &[
                ("query", expression),
                ("start", &from.to_string()),
                // The last sample may be younger than the last step before `to`.
                ("end", &(to + 1.0).to_string()),
                // Finer than any scrape here, so that no sample is skipped.
                ("step", "0.25"),
            ],
        );
        let series = answer["result"].as_array().expect("series");
        let numbers = |one: &Value| {
            let points = one["values"].as_array().expect("points").iter();
            points
                .filter_map(|point| point[1].as_str()?.parse().ok())
                .filter(|value: &f64| value.is_finite())
                .collect::<Vec<f64>>()
        };
        series
            .iter()
            .map(|one| (one["metric"].clone(), numbers(one)))
            .filter(|(_, values)| !values.is_empty())
            .collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
