//! A real Alertmanager with the file that is shipped, and the two receivers as a person would set them: everything that they
//! are sent is kept.

use super::series::Fired;
use crate::support::{eventually, http, postgres::free_port};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

/// How long nothing new is given to Alertmanager after a moment of the day: longer than it waits for a group.
const SETTLED: Duration = Duration::from_millis(1500);
/// Changes within so many minutes are of one moment: the scrape intervals differ by so much.
const MOMENT: u32 = 4;

/// One notification: the minute of the day, the receiver, whether it fires or resolves, the alert, and of what.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    pub minute: u32,
    pub text: String,
}

struct Alertmanager {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Inbox = Arc<Mutex<Vec<(String, Value)>>>;

/// Takes what is posted, with its path, until the test ends.
fn receive(listener: TcpListener, inbox: Inbox) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if let Some(posted) = posted(&mut stream) {
                inbox.lock().unwrap().push(posted);
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
}

fn posted(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?;
            if body.len() >= length.parse().ok()? {
                let path = head.split(' ').nth(1)?.trim_start_matches('/').to_owned();
                return Some((path, serde_json::from_str(body).ok()?));
            }
        }
        match stream.read(&mut part).ok()? {
            0 => return None,
            count => bytes.extend(&part[..count]),
        }
    }
}

impl Alertmanager {
    /// With the routes and inhibition rules that are shipped; only its waits for a group are shorter.
    async fn start(receivers: SocketAddr) -> Self {
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus/alertmanager.yml");
        let mut file = std::fs::read_to_string(shipped).unwrap();
        for (shipped, short) in [
            ("group_wait: 30s", "group_wait: 300ms"),
            ("group_interval: 5m", "group_interval: 600ms"),
        ] {
            assert!(file.contains(shipped), "{shipped}");
            file = file.replace(shipped, short);
        }
        for receiver in ["on-call", "team"] {
            let hook =
                format!("  - name: {receiver}\n    webhook_configs: [{{url: 'http://{receivers}/{receiver}'}}]\n");
            file = file.replace(&format!("  - name: {receiver}\n"), &hook);
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("alertmanager.yml"), file).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new("prometheus-alertmanager")
            .current_dir(folder.path())
            .args([
                "--config.file=alertmanager.yml",
                "--storage.path=data",
                "--cluster.listen-address=",
            ])
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus-alertmanager is missing: run scripts/setup-tests.sh");
        let this = Self {
            child,
            address,
            _folder: folder,
        };
        eventually("Alertmanager is ready", Duration::from_secs(30), async || {
            TcpStream::connect(address).ok()?;
            (http::get(address, "/-/ready").status == 200).then_some(())
        })
        .await;
        this
    }

    /// Gives it alerts as Prometheus does: those that fire until further notice, and those that ended.
    fn give(&self, alerts: &[Value]) {
        let body = Value::from(alerts).to_string();
        let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "POST /api/v2/alerts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// Points in time of the machine's clock, which is the one that Alertmanager goes by.
fn clock(seconds: &str) -> String {
    let output = Command::new("date").args(["-u", "-d", seconds, "+%FT%T.%NZ"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

/// What people get of the alerts of several deployments, each a Prometheus with an external label `cluster`.
pub async fn notifications(deployments: &BTreeMap<String, Vec<Fired>>) -> BTreeMap<String, Vec<Notification>> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let receivers = listener.local_addr().unwrap();
    let inbox = Inbox::default();
    receive(listener, inbox.clone());
    let alertmanager = Alertmanager::start(receivers).await;

    let mut changes: BTreeMap<u32, Vec<(bool, Value)>> = BTreeMap::new();
    for (cluster, alerts) in deployments {
        for alert in alerts {
            let mut labels = json!(alert.labels);
            labels["cluster"] = cluster.as_str().into();
            for (minute, fires) in [(alert.from, true), (alert.until, false)] {
                changes.entry(minute).or_default().push((fires, labels.clone()));
            }
        }
    }
    let mut sent: BTreeMap<String, Vec<Notification>> = BTreeMap::new();
    let mut begins: BTreeMap<String, String> = BTreeMap::new();
    while let Some((minute, _)) = changes.first_key_value() {
        let minute = *minute;
        let later = changes.split_off(&(minute + MOMENT));
        let now = std::mem::replace(&mut changes, later);
        let alerts: Vec<Value> = now
            .into_values()
            .flatten()
            .map(|(fires, labels)| {
                let begin = begins.entry(labels.to_string()).or_insert_with(|| clock("now")).clone();
                let end = if fires { clock("tomorrow") } else { clock("now") };
                if !fires {
                    begins.remove(&labels.to_string());
                }
                json!({"labels": labels, "startsAt": begin, "endsAt": end})
            })
            .collect();
        alertmanager.give(&alerts);
        // What is asserted is also that nothing comes, and no event tells that.
        tokio::time::sleep(SETTLED).await;
        for (receiver, body) in inbox.lock().unwrap().drain(..) {
            let cluster = body["groupLabels"]["cluster"].as_str().unwrap().to_owned();
            let text = format!("{receiver}: {}", described(&body));
            sent.entry(cluster).or_default().push(Notification { minute, text });
        }
    }
    sent
}

/// `firing BeatwardenTargetDown of b:12328`.
fn described(body: &Value) -> String {
    let alerts = body["alerts"].as_array().unwrap();
    let mut subjects: Vec<&str> = alerts
        .iter()
        .filter_map(|alert| {
            alert["labels"]["watch"]
                .as_str()
                .or_else(|| alert["labels"]["instance"].as_str())
        })
        .collect();
    subjects.sort_unstable();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (status, name) = (text(&body["status"]), text(&body["groupLabels"]["alertname"]));
    format!("{status} {name} of {}", subjects.join(", "))
}
