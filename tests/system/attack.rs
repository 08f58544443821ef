//! HTTP under attack: whatever is thrown at the port, a scrape is answered, passes continue, and memory stays bounded.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shapes;
mod tls_probes;

use crate::support::{
    beatwarden::{Beatwarden, words},
    eventually,
    http::{ask, get},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const SOON: Duration = Duration::from_secs(20);
/// Prometheus gives up after its timeout, and hardly anybody sets one below a second.
const SCRAPE_WITHIN: Duration = Duration::from_secs(1);

/// One attack at a time: each would be a part of the others.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Site {
    dog: Beatwarden,
    /// Over the same table, and no one attacks it: how fast one can be on this machine now, whatever else it does.
    twin: Beatwarden,
    _folder: tempfile::TempDir,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Site {
    async fn start(web: Option<&str>) -> Self {
        let turn = TURN.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let jobs = rusqlite::Connection::open(file("jobs.db")).unwrap();
        jobs.execute_batch(include_str!("../../src/demo/schema.sql")).unwrap();
        // Without an index passes would become rarer by themselves on a busy machine.
        jobs.execute_batch("CREATE INDEX by_state ON runs (state)").unwrap();
        let (database, web_file) = (file("jobs.db"), file("web.yml"));
        let arguments = format!("--database {database} --preset meltano --missed-first observe");
        let mut arguments = words(&arguments);
        arguments.extend(["--poll-interval", "200ms"]);
        let twin = Beatwarden::watch(&arguments).await;
        if let Some(text) = web {
            std::fs::write(&web_file, text).unwrap();
            arguments.extend(["--web-config-file", &web_file]);
        }
        let dog = Beatwarden::watch(&arguments).await;
        for one in [&twin, &dog] {
            eventually("the first pass", SOON, async || {
                (get(one.address, "/-/ready").status == 200).then_some(())
            })
            .await;
        }
        Self {
            dog,
            twin,
            _folder: folder,
            _turn: turn,
        }
    }

    /// Scrapes ten times: none may take a second, or on a busy machine five times as long as the twin's slowest. The best of
    /// three rounds counts: what else the machine does comes and goes, the attack is there in each of them.
    fn scrapes_in_time(&self, headers: &str) {
        let scrape = |dog: &Beatwarden, headers: &str| {
            let began = Instant::now();
            let answer = ask(dog.address, "GET", "/metrics", headers);
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.text().contains("beatwarden_up{watch=\"meltano\"}"));
            began.elapsed()
        };
        let mut rounds = Vec::new();
        for _ in 0..3 {
            let ten = (0..10).map(|_| (scrape(&self.twin, ""), scrape(&self.dog, headers)));
            let slowest = |(twin, dog): (Duration, Duration), (t, d): (Duration, Duration)| (twin.max(t), dog.max(d));
            let (twin, dog) = ten.reduce(slowest).unwrap();
            if dog < SCRAPE_WITHIN.max(twin * 5) {
                return;
            }
            rounds.push((twin, dog));
        }
        panic!("the slowest scrapes of the twin and ours: {rounds:?}");
    }

    /// The passes so far, ours and the twin's.
    fn passes(&self, headers: &str) -> [f64; 2] {
        [(&self.dog, headers), (&self.twin, "")].map(|(dog, headers)| {
            let text = ask(dog.address, "GET", "/metrics", headers).text();
            let mut lines = text.lines();
            let polls = lines.find_map(|line| line.strip_prefix("beatwarden_polls_total{watch=\"meltano\"} "));
            polls.unwrap().parse().unwrap()
        })
    }

    /// Whether there were half as many passes as the twin made since then.
    fn passes_were_on_time(&self, headers: &str, before: [f64; 2]) {
        let now = self.passes(headers);
        let (passes, twin) = (now[0] - before[0], now[1] - before[1]);
        assert!(
            passes >= (twin * 0.5).floor(),
            "{passes} passes, and {twin} of the twin"
        );
    }

    /// Most memory that the process ever had, in MiB.
    fn most_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.dog.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() / 1024
    }
}

/// A client that continues until it is dropped: each turn of `work` is counted.
struct Attack {
    stop: Arc<AtomicBool>,
    turns: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Attack {
    fn start(clients: usize, work: impl Fn() + Send + Clone + 'static) -> Self {
        let (stop, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let threads = (0..clients)
            .map(|_| {
                let (stop, turns, work) = (stop.clone(), turns.clone(), work.clone());
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        work();
                        turns.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Self { stop, turns, threads }
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.turns.load(Ordering::Relaxed)
    }
}

/// Sends bytes and reads whatever comes, for a while; errors are the server's good right.
fn throw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let Ok(mut stream) = TcpStream::connect_timeout(&address, SOON) else {
        return answer;
    };
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut chunk = [0; 4096];
    while let Ok(read) = stream.read(&mut chunk) {
        if read == 0 || answer.len() > 1 << 20 {
            break;
        }
        answer.extend_from_slice(&chunk[..read]);
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_connections_keep_no_one_waiting() {
    let site = Site::start(None).await;
    let before = site.passes("");
    // Some say nothing, some a part of a head, some ask and don't read.
    let opened: Vec<TcpStream> = (0..1000)
        .map(|number| {
            let mut stream = TcpStream::connect(site.dog.address).unwrap();
            let said: &[u8] = match number % 3 {
                0 => b"",
                1 => b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
                _ => b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
            };
            let _ = stream.write_all(said);
            stream
        })
        .collect();
    // They continue, a byte at a time, as far as they are let.
    let opened = Arc::new(opened);
    let slow = opened.clone();
    let drip = Attack::start(1, move || {
        for stream in slow.iter() {
            stream.set_nonblocking(true).unwrap();
            let _ = (&*stream).write(b"x");
        }
        thread::park_timeout(Duration::from_millis(100));
    });
    for _ in 0..3 {
        site.scrapes_in_time("");
    }
    assert!(drip.end() > 0);
    let alive = opened
        .iter()
        .filter(|stream| {
            let mut sink = [0; 1 << 16];
            loop {
                match (&**stream).read(&mut sink) {
                    Ok(1..) => {}
                    Ok(0) => return false,
                    Err(error) => return error.kind() == ErrorKind::WouldBlock,
                }
            }
        })
        .count();
    assert!(alive <= 256, "{alive} of them still hold a connection");
    site.passes_were_on_time("", before);
    assert!(site.most_memory() < 128, "{} MiB", site.most_memory());
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_wrong_passwords_keep_the_right_one_from_nothing() {
    let hash = bcrypt::hash("right", 9).unwrap();
    let site = Site::start(Some(&format!("basic_auth_users: {{ann: {hash}}}\n"))).await;
    // ann:right, ann:wrong, bob:wrong
    let right = "Authorization: Basic YW5uOnJpZ2h0\r\n";
    let before = site.passes(right);
    let (address, wrong) = (site.dog.address, Arc::new(AtomicUsize::new(0)));
    let answered = wrong.clone();
    let attack = Attack::start(16, move || {
        for login in ["YW5uOndyb25n", "Ym9iOndyb25n"] {
            let answer = ask(address, "GET", "/metrics", &format!("Authorization: Basic {login}\r\n"));
            assert!(matches!(answer.status, 401 | 429), "{}", answer.status);
            answered.fetch_add(1, Ordering::Relaxed);
        }
    });
    eventually("three hundred of them", SOON * 3, async || {
        (wrong.load(Ordering::Relaxed) >= 300).then_some(())
    })
    .await;
    site.scrapes_in_time(right);
    site.passes_were_on_time(right, before);
    attack.end();
    assert!(site.most_memory() < 128, "{} MiB", site.most_memory());
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_oversized_heads_are_turned_away() {
    let site = Site::start(None).await;
    let address = site.dog.address;
    let begins_with = |bytes: &[u8], status: &str| {
        let answer = String::from_utf8_lossy(&throw(address, bytes)).into_owned();
        assert!(answer.starts_with(status), "{answer:.200}");
    };
    let large = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    begins_with(large.as_bytes(), "HTTP/1.1 431");
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(5000));
    begins_with(many.as_bytes(), "HTTP/1.1 431");
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(1 << 20));
    begins_with(long.as_bytes(), "HTTP/1.1 4");
    begins_with(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTP/1.1 400");
    begins_with(b"GET / HTTP/9.9\r\n\r\n", "HTTP/1.1 400");
    // A good request, and garbage behind it: the first is answered, and nothing of the rest is taken for a request.
    let piped =
        b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n\x00\x01\x02GARBAGE\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n";
    let answer = String::from_utf8_lossy(&throw(address, piped)).into_owned();
    assert!(
        answer.contains("healthy\n") && !answer.contains("beatwarden_up"),
        "{answer}"
    );
    // A body is never waited for, however long it is said to be.
    begins_with(
        b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n",
        "HTTP/1.1 405",
    );
    begins_with(
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 ",
    );
    let attack = Attack::start(4, move || {
        throw(address, &b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20));
        throw(address, &[0; 65536]);
    });
    site.scrapes_in_time("");
    assert!(attack.end() > 0);
    assert!(site.most_memory() < 128, "{} MiB", site.most_memory());
    assert!(!site.dog.log().contains("panicked"), "{}", site.dog.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_reading_is_allowed_and_a_foreign_host_gets_nothing() {
    let site = Site::start(None).await;
    let address = site.dog.address;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"] {
        for path in ["/metrics", "/", "/api/v1/repairs", "/-/healthy", "/nowhere"] {
            let path = if method == "CONNECT" { "localhost:1" } else { path };
            let answer = ask(address, method, path, "");
            assert_eq!(
                (answer.status, answer.header("Allow")),
                (405, Some("GET, HEAD")),
                "{method} {path}"
            );
            assert!(answer.header("Access-Control-Allow-Origin").is_none());
        }
    }
    let foreign = |path: &str, host: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        String::from_utf8(throw(address, request.as_bytes())).unwrap()
    };
    for path in ["/", "/metrics", "/api/v1/status", "/api/v1/repairs", "/nowhere"] {
        for host in [
            "evil.example",
            "localhost.evil.example:80",
            "127.0.0.1.nip.io",
            "evil",
            "evil.local",
        ] {
            let answer = foreign(path, host);
            assert!(answer.starts_with("HTTP/1.1 421"), "{path} {host}: {answer}");
            assert!(!answer.contains(host) && !answer.contains("meltano"), "{answer}");
        }
        let absolute = foreign(&format!("http://evil.example{path}"), "localhost");
        assert!(absolute.starts_with("HTTP/1.1 421"), "{absolute}");
    }
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for host in [
        "localhost",
        "127.0.0.1:12328",
        "[::1]",
        hostname.trim(),
        "beatwarden.monitoring.svc",
    ] {
        assert!(foreign("/metrics", host).starts_with("HTTP/1.1 200"), "{host}");
    }
    assert!(foreign("/-/healthy", "evil.example").starts_with("HTTP/1.1 200"));
}
