//! What a client sends to the HTTP server, over a real connection: each request gets one answer at most, none of them is an error
//! of ours, and the next client is served.
#![no_main]

use beatwarden::{
    http::{HttpState, access::AccessControl, serve},
    metrics::Metrics,
    pass::{Clock, SystemClock},
    status::Roster,
};
use libfuzzer_sys::fuzz_target;
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_util::sync::CancellationToken;

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
}

static SERVER: LazyLock<(Runtime, SocketAddr)> = LazyLock::new(|| {
    const SIGPIPE: i32 = 13;
    const SIG_IGN: usize = 1;
    // As in every program whose `main` is Rust's, and libFuzzer's is not: a client that is gone is an error, and no end.
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { signal(SIGPIPE, SIG_IGN) };
    let runtime = Runtime::new().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let clock = SystemClock::start();
    let roster = Arc::new(Roster::new(Vec::new(), clock.wall()));
    let metrics = Arc::new(Metrics::new("1.2.3", "abc", roster.clone(), clock));
    let state = Arc::new(HttpState::new(roster, metrics, clock, "1.2.3"));
    let access = Arc::new(AccessControl::new(None).expect("no file, no mistake"));
    runtime.spawn(serve(listener, state, access, CancellationToken::new()));
    (runtime, address)
});

fuzz_target!(|request: &[u8]| {
    let answers = ask(request);
    let text = String::from_utf8_lossy(&answers);
    let mut statuses = Vec::new();
    // In the version of the request.
    for answer in text.split("HTTP/1.").skip(1) {
        let status: u16 = answer.get(2..5).and_then(|code| code.parse().ok()).expect("a status");
        assert!(status < 500 || status == 505, "{text}");
        statuses.push(status);
    }
    // A request ends with an empty line.
    let lines: Vec<&[u8]> = request.split(|byte| *byte == b'\n').collect();
    let ends = lines.iter().filter(|line| line.is_empty() || *line == b"\r").count();
    assert!(statuses.len() <= ends + 1, "{statuses:?} for {ends} requests");
    assert!(answers.is_empty() || answers.starts_with(b"HTTP/1."), "{text}");
});

fn ask(request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(SERVER.1).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    // A server that has answered already may have closed.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return answers,
            Ok(read) => answers.extend_from_slice(&part[..read]),
            Err(error) => {
                assert!(
                    error.kind() != std::io::ErrorKind::WouldBlock,
                    "no end within 20 s: {answers:?}"
                );
                return answers;
            }
        }
    }
}
