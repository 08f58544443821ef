//! Requests of shapes that a proxy in front and the server behind it may read in two ways: none is taken for two, and no
//! client's bytes become another's request.

use super::{SOON, Site};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// A request that is answered with `healthy` where it is taken for one.
const SMUGGLED: &str = "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nX-Smuggled: yes\r\n\r\n";

/// What becomes of bytes on one connection.
struct Exchange {
    answers: String,
    /// Whether the server closed the connection.
    is_closed: bool,
}

impl Exchange {
    fn statuses(&self) -> Vec<&str> {
        let answers = self.answers.split("HTTP/1.1 ").skip(1);
        answers.map(|answer| answer.get(..3).unwrap_or_default()).collect()
    }
}

/// Sends bytes, keeps the connection open, and reads until it is closed or nothing comes any more.
fn exchange(address: SocketAddr, bytes: &[u8]) -> Exchange {
    let mut stream = TcpStream::connect_timeout(&address, SOON).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let _ = stream.write_all(bytes);
    let (mut answers, mut part) = (Vec::new(), [0; 4096]);
    let is_closed = loop {
        match stream.read(&mut part) {
            Ok(0) => break true,
            Ok(read) => answers.extend_from_slice(&part[..read]),
            // A connection that is reset is closed, too.
            Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
        }
    };
    Exchange {
        answers: String::from_utf8_lossy(&answers).into_owned(),
        is_closed,
    }
}

fn request(method: &str, headers: &str, rest: &str) -> String {
    format!("{method} /metrics HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{rest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_body_is_the_last_of_its_connection() {
    let site = Site::start(None).await;
    let length = format!("Content-Length: {}\r\n", SMUGGLED.len());
    let chunks = "0\r\n\r\n";
    for (method, status) in [("GET", "200"), ("POST", "405")] {
        for (headers, body) in [
            ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", chunks),
            ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", chunks),
            ("Transfer-Encoding: chunked\r\n", chunks),
            ("Transfer-Encoding: chunked\r\n", "FFFFFFFFFFFFFFFFFF\r\n"),
            ("Transfer-Encoding: chunked\r\n", "5;x=\"\r\n"),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", "12345"),
            (&length, ""),
            ("Content-Length: 9999999999999999999\r\n", ""),
            ("Content-Length: 5\r\nExpect: 100-continue\r\n", "12345"),
        ] {
            let text = request(method, headers, &format!("{body}{SMUGGLED}"));
            let found = exchange(site.dog.address, text.as_bytes());
            assert_eq!(found.statuses(), [status], "{text}: {}", found.answers);
            assert!(found.is_closed, "{text}: the connection stays open");
        }
    }
    // Without a body it is not.
    for headers in ["", "Content-Length: 0\r\n"] {
        let text = request("GET", headers, SMUGGLED);
        let found = exchange(site.dog.address, text.as_bytes());
        assert_eq!(found.statuses(), ["200", "200"], "{headers}: {}", found.answers);
        assert!(!found.is_closed, "{headers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_read_in_two_ways_is_refused() {
    let site = Site::start(None).await;
    let headers = [
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: 4, 5\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: 0x4\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: a\r\n folded\r\n",
        "X: a\rb\r\n",
        "X: a\0b\r\n",
        "X : a\r\n",
        " X: a\r\n",
        ": a\r\n",
        "no colon\r\n",
    ];
    let lines = [
        "GET  /metrics HTTP/1.1\r\n",
        "GET /metrics HTTP/1.1 x\r\n",
        "GET /metrics\r\n",
        "GET /met rics HTTP/1.1\r\n",
        "GET /metrics HTTP/1.2\r\n",
        "GET /metrics http/1.1\r\n",
        "G\0T /metrics HTTP/1.1\r\n",
    ];
    let with_headers = headers.iter().map(|headers| request("GET", headers, SMUGGLED));
    let with_lines = lines
        .iter()
        .map(|line| format!("{line}Host: localhost\r\n\r\n{SMUGGLED}"));
    let mut wrong = Vec::new();
    for text in with_headers.chain(with_lines) {
        let found = exchange(site.dog.address, text.as_bytes());
        if found.statuses() != ["400"] || !found.is_closed {
            wrong.push(format!("{text:?}: {:?}, closed: {}", found.statuses(), found.is_closed));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whoever asks for another protocol stays with this one, and whoever begins with another one hears nothing of ours.
#[tokio::test(flavor = "multi_thread")]
async fn no_other_protocol_is_spoken() {
    let site = Site::start(None).await;
    let http2 = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n";
    for headers in [http2, websocket] {
        let found = exchange(site.dog.address, request("GET", headers, SMUGGLED).as_bytes());
        assert_eq!(found.statuses(), ["200", "200"], "{headers}: {}", found.answers);
        assert!(
            !found.answers.to_ascii_lowercase().contains("upgrade"),
            "{}",
            found.answers
        );
    }
    let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let proxy = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let tls = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n";
    let postgresql = b"\x00\x00\x00\x08\x04\xd2\x16\x2f\r\n\r\n";
    for bytes in [&settings[..], proxy, tls, postgresql] {
        let found = exchange(site.dog.address, bytes);
        assert!(
            found.statuses().is_empty() || found.statuses() == ["400"],
            "{}",
            found.answers
        );
        assert!(
            found.is_closed && !found.answers.contains("beatwarden_"),
            "{}",
            found.answers
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_a_row_get_one_answer_each_in_their_order() {
    let site = Site::start(None).await;
    let asked = ["/-/healthy", "/nowhere", "/style.css", "/-/ready"].repeat(25);
    let all: Vec<String> = asked
        .iter()
        .map(|path| format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        .collect();
    let found = exchange(site.dog.address, all.concat().as_bytes());
    assert_eq!(found.statuses(), ["200", "404", "200", "200"].repeat(25));
    // Lines that end without a carriage return are lines, as RFC 9112 allows, and no more of them than there are.
    let found = exchange(
        site.dog.address,
        b"HEAD /-/healthy HTTP/1.1\nHost: localhost\n\nHEAD /nowhere HTTP/1.1\nHost: localhost\n\n",
    );
    assert_eq!(found.statuses(), ["200", "404"], "{}", found.answers);
}

/// A head that never ends is cut off although there is a place for it, and one that ends late enough is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_one_byte_at_a_time_has_ten_seconds() {
    let site = Site::start(None).await;
    let mut slow: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(site.dog.address).unwrap()).collect();
    let mut patient = TcpStream::connect(site.dog.address).unwrap();
    for stream in &mut slow {
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ")
            .unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    let head = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let began = Instant::now();
    let mut sent = 0;
    while !slow.is_empty() {
        assert!(began.elapsed() < SOON * 3, "{} still hold a connection", slow.len());
        slow.retain_mut(|stream| {
            let _ = stream.write(b"x");
            let mut part = [0; 1024];
            // What is said at the end is read, too.
            !matches!(stream.read(&mut part), Ok(0))
                && !stream
                    .read(&mut part)
                    .is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock)
        });
        // The whole of this one takes six seconds, however busy the machine is.
        let due = head.len() * usize::try_from(began.elapsed().as_millis()).unwrap().min(6_000) / 6_000;
        patient.write_all(&head[sent..due]).unwrap();
        sent = due;
        site.scrapes_in_time("");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    assert_eq!(sent, head.len(), "the others were cut off before it was all sent");
    let mut answer = String::new();
    let _ = patient.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(began.elapsed() > Duration::from_secs(5), "{:?}", began.elapsed());
}
