//! A headless Chromium, driven by the DevTools protocol over a pipe: no port, and no client library.

use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longer than the slowest answer on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Chromium {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<Value>,
    events: VecDeque<Value>,
    next: u64,
    session: Option<String>,
    _profile: TempDir,
}

impl Chromium {
    /// Starts it with a profile of its own and an empty page.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        // The protocol speaks on descriptors 3 and 4, which a shell can give it.
        let mut child = Command::new("sh")
            .args([
                "-c",
                "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1",
                "sh",
                "chromium",
            ])
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                // As root there is no sandbox; the pages are our own.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--hide-scrollbars",
                "--force-color-profile=srgb",
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            // What it leaves when it is killed goes with the profile.
            .env("TMPDIR", profile.path())
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let requests = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let (send, answers) = channel();
        std::thread::spawn(move || {
            loop {
                let mut message = Vec::new();
                match output.read_until(0, &mut message) {
                    Ok(length) if length > 0 => message.pop(),
                    _ => return,
                };
                let message = serde_json::from_slice(&message).expect("the browser speaks JSON");
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        let mut this = Self {
            child,
            requests,
            answers,
            events: VecDeque::new(),
            next: 0,
            session: None,
            _profile: profile,
        };
        let target = this.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attached = this.ask(
            "Target.attachToTarget",
            json!({"targetId": target["targetId"], "flatten": true}),
        );
        this.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Log", "Runtime"] {
            this.ask(&format!("{domain}.enable"), json!({}));
        }
        this
    }

    /// One command and its result.
    pub fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.try_ask(method, parameters)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_ask(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        self.next += 1;
        let mut request = json!({"id": self.next, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            request["sessionId"] = session.as_str().into();
        }
        let mut bytes = serde_json::to_vec(&request).expect("JSON");
        bytes.push(0);
        self.requests
            .write_all(&bytes)
            .expect("Chromium is not there: run scripts/setup-tests.sh");
        let until = Instant::now() + WITHIN;
        loop {
            let message = self.receive(until, method);
            if message["id"] == self.next {
                return match &message["error"] {
                    Value::Null => Ok(message["result"].clone()),
                    error => Err(error.clone()),
                };
            }
            self.events.push_back(message);
        }
    }

    fn receive(&mut self, until: Instant, what: &str) -> Value {
        let left = until.saturating_duration_since(Instant::now());
        self.answers.recv_timeout(left).unwrap_or_else(|_| {
            panic!("Chromium gives no answer to {what}; is it installed? run scripts/setup-tests.sh")
        })
    }

    /// Waits for an event.
    pub fn wait_for(&mut self, event: &str) {
        let until = Instant::now() + WITHIN;
        if self.events.iter().any(|seen| seen["method"] == event) {
            return;
        }
        loop {
            let message = self.receive(until, event);
            let found = message["method"] == event;
            self.events.push_back(message);
            if found {
                return;
            }
        }
    }

    /// Opens a page and waits until all of it is there.
    pub fn open(&mut self, url: &str) {
        self.events.clear();
        self.ask("Page.navigate", json!({"url": url}));
        self.wait_for("Page.loadEventFired");
    }

    /// Everything that the browser reported since the page was opened: requests it made, and errors.
    pub fn reported(&mut self) -> Reported {
        // An answer to this comes after the events before it.
        self.evaluate("1");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = |method: &'static str| self.events.iter().filter(move |event| event["method"] == method);
        let mut errors: Vec<String> = of("Log.entryAdded")
            .map(|event| &event["params"]["entry"])
            .filter(|entry| entry["level"] != "info" && entry["level"] != "verbose")
            .map(|entry| text(&entry["text"]))
            .collect();
        errors.extend(of("Runtime.exceptionThrown").map(|event| event["params"]["exceptionDetails"].to_string()));
        errors.extend(of("Runtime.consoleAPICalled").map(|event| event["params"]["args"].to_string()));
        let requests = of("Network.requestWillBeSent").map(|event| text(&event["params"]["request"]["url"]));
        Reported {
            requests: requests.collect(),
            errors,
        }
    }

    /// The value of an expression in the page; a promise is waited for.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.ask(
            "Runtime.evaluate",
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true}),
        );
        assert!(answer["exceptionDetails"].is_null(), "{}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until an expression has a value; a page that is just being replaced has none.
    pub async fn becomes(&mut self, expression: &str, value: &Value) {
        let until = Instant::now() + WITHIN;
        let asked = json!({"expression": expression, "returnByValue": true});
        loop {
            let answer = self.try_ask("Runtime.evaluate", asked.clone());
            if answer.is_ok_and(|answer| answer["result"]["value"] == *value) {
                return;
            }
            assert!(Instant::now() < until, "{expression} does not become {value}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How wide the window is, in CSS pixels, and which colours its reader prefers.
    pub fn look_as(&mut self, width: u32, scheme: &str) {
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}),
        );
        self.ask(
            "Emulation.setEmulatedMedia",
            json!({"media": "", "features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// The page as it is printed, until the window changes.
    pub fn look_as_printed(&mut self) {
        self.ask("Emulation.setEmulatedMedia", json!({"media": "print"}));
    }

    /// Writes the whole page as a PNG.
    pub fn photograph(&mut self, file: &Path) {
        let shot = self.ask(
            "Page.captureScreenshot",
            json!({"format": "png", "captureBeyondViewport": true}),
        );
        std::fs::write(file, decode_base64(shot["data"].as_str().expect("a picture"))).expect("a writable folder");
    }
}

/// What a page did.
pub struct Reported {
    pub requests: Vec<String>,
    pub errors: Vec<String>,
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The standard alphabet; what is outside it, the padding included, carries no bits.
fn decode_base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
