//! HTTP under attack: whatever is thrown at the port, a scrape is answered, passes go on, and memory stays bounded.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

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
use support::{
    beatwarden::Beatwarden,
    eventually,
    http::{ask, get},
};

const SOON: Duration = Duration::from_secs(20);
/// Prometheus gives up after its timeout, and hardly anybody sets one below a second.
const SCRAPE_WITHIN: Duration = Duration::from_secs(1);

struct Site {
    dog: Beatwarden,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn start(web: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        rusqlite::Connection::open(file("jobs.db"))
            .unwrap()
            .execute_batch(include_str!("../src/demo/schema.sql"))
            .unwrap();
        let (database, web_file) = (file("jobs.db"), file("web.yml"));
        let mut arguments = vec![
            "--database",
            &database,
            "--preset",
            "meltano",
            "--missed-first",
            "observe",
        ];
        arguments.extend(["--poll-interval", "200ms"]);
        if let Some(text) = web {
            std::fs::write(&web_file, text).unwrap();
            arguments.extend(["--web-config-file", &web_file]);
        }
        let dog = Beatwarden::watch(&arguments).await;
        eventually("the first pass", SOON, async || {
            (get(dog.address, "/-/ready").status == 200).then_some(())
        })
        .await;
        Self { dog, _folder: folder }
    }

    /// Scrapes ten times: the slowest.
    fn slowest_scrape(&self, headers: &str) -> Duration {
        let scrape = || {
            let began = Instant::now();
            let answer = ask(self.dog.address, "GET", "/metrics", headers);
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.text().contains("beatwarden_up{watch=\"meltano\"} 1"));
            began.elapsed()
        };
        (0..10).map(|_| scrape()).max().unwrap()
    }

    fn polls(&self, headers: &str) -> f64 {
        let text = ask(self.dog.address, "GET", "/metrics", headers).text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("beatwarden_polls_total{watch=\"meltano\"} "));
        line.unwrap().parse().unwrap()
    }

    /// Most memory that the process ever had, in MiB.
    fn most_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.dog.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() / 1024
    }
}

/// A client that goes on until it is dropped: each turn of `work` is counted.
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
async fn a_thousand_slow_connections_keep_nobody_waiting() {
    let site = Site::start(None).await;
    let before = site.polls("");
    let began = Instant::now();
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
    let slowest = site.slowest_scrape("");
    assert!(slowest < SCRAPE_WITHIN, "{slowest:?}");
    // The slow ones go on, a byte at a time, as far as they are let.
    let alive = opened
        .iter()
        .filter(|stream| {
            stream.set_nonblocking(true).unwrap();
            let mut sink = [0; 1];
            matches!((&**stream).read(&mut sink), Err(error) if error.kind() == ErrorKind::WouldBlock)
        })
        .count();
    assert!(alive <= 256, "{alive} of them still hold a connection");
    let slowest = site.slowest_scrape("");
    assert!(slowest < SCRAPE_WITHIN, "{slowest:?}");
    // Half of the passes that there was time for: the machine may be busy with other tests.
    let wanted = began.elapsed().as_secs_f64() / 0.2 * 0.5;
    let passes = site.polls("") - before;
    assert!(passes >= wanted.floor(), "{passes} passes in {:?}", began.elapsed());
    assert!(site.most_memory() < 128, "{} MiB", site.most_memory());
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_wrong_passwords_keep_the_right_one_from_nothing() {
    let hash = bcrypt::hash("right", 10).unwrap();
    let site = Site::start(Some(&format!("basic_auth_users: {{ann: {hash}}}\n"))).await;
    // ann:right, ann:wrong, bob:wrong
    let right = "Authorization: Basic YW5uOnJpZ2h0\r\n";
    site.slowest_scrape(right);
    let before = site.polls(right);
    let began = Instant::now();
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
    let slowest = site.slowest_scrape(right);
    assert!(slowest < SCRAPE_WITHIN, "{slowest:?}");
    let wanted = began.elapsed().as_secs_f64() / 0.2 * 0.25;
    attack.end();
    let passes = site.polls(right) - before;
    assert!(passes >= wanted.floor(), "{passes} passes in {:?}", began.elapsed());
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
    let attack = Attack::start(8, move || {
        throw(address, &b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50));
        throw(address, &[0; 65536]);
    });
    let slowest = site.slowest_scrape("");
    assert!(attack.end() > 0);
    assert!(slowest < SCRAPE_WITHIN, "{slowest:?}");
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
        for host in ["evil.example", "localhost.evil.example:80", "127.0.0.1.nip.io"] {
            let answer = foreign(path, host);
            assert!(answer.starts_with("HTTP/1.1 421"), "{path} {host}: {answer}");
            assert!(!answer.contains(host) && !answer.contains("meltano"), "{answer}");
        }
        let absolute = foreign(&format!("http://evil.example{path}"), "localhost");
        assert!(absolute.starts_with("HTTP/1.1 421"), "{absolute}");
    }
    for host in [
        "localhost",
        "127.0.0.1:12328",
        "[::1]",
        "beatwarden:12328",
        "beatwarden.monitoring.svc.cluster.local",
    ] {
        assert!(foreign("/metrics", host).starts_with("HTTP/1.1 200"), "{host}");
    }
    assert!(foreign("/-/healthy", "evil.example").starts_with("HTTP/1.1 200"));
}
