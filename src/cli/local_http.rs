//! One question to the instance on this machine, over HTTP, or HTTPS where it says that it speaks that.

use crate::tls;
use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

/// A question takes no longer than this, however slowly the answer comes: a container's own health check gives up then.
const WITHIN: Duration = Duration::from_secs(3);

/// A status of many watches is not longer than this.
pub const STATUS: usize = 16 << 20;

pub struct Answer {
    pub status: u16,
    /// The body, with what is no UTF-8 replaced.
    pub body: String,
}

/// Asks for `path`. Blocks, for a few seconds at most.
///
/// # Errors
/// If no one answers, not in HTTP, not in time, or with more than `longest` bytes.
pub fn get(address: SocketAddr, path: &str, longest: usize) -> io::Result<Answer> {
    let until = Instant::now() + WITHIN;
    let answer = ask(Timed::connect(address, until)?, path, longest)?;
    if answer.status != 400 || answer.body != tls::SPEAKS_HTTPS {
        return Ok(answer);
    }
    // Its certificate is for other names than that of this machine, and nothing secret is sent to it.
    let config = tls::client(Arc::new(tls::Unverified)).with_no_client_auth();
    let name = ServerName::IpAddress(address.ip().into());
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let stream = Timed::connect(address, until)?;
    ask(StreamOwned::new(session, stream), path, longest)
}

/// A connection that ends at a point in time: each read and write has what is left until then.
struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Timed {
    fn connect(address: SocketAddr, until: Instant) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, left(until)?)?;
        Ok(Self { stream, until })
    }
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(too_late());
    }
    Ok(left)
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no whole answer within {WITHIN:?}"))
}

/// What the system says of a read that took too long, in words.
fn in_words(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => too_late(),
        _ => error,
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.until)?))?;
        self.stream.read(buffer).map_err(in_words)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.until)?))?;
        self.stream.write(bytes).map_err(in_words)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn ask(mut stream: impl Read + Write, path: &str, longest: usize) -> io::Result<Answer> {
    // HTTP/1.0: the answer ends with the connection, in one piece. So does the question: who answers its first bytes may be gone
    // before the last.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    stream.flush()?;
    let mut bytes = Vec::new();
    match stream.take(longest as u64 + 1).read_to_end(&mut bytes) {
        // A server that ends the connection needn't say goodbye in TLS, too.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    if bytes.len() > longest {
        return Err(io::Error::other(format!("the answer is longer than {longest} bytes")));
    }
    let no_http = || io::Error::other("that is no HTTP answer");
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or_else(no_http)?;
    let body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
    let head = String::from_utf8_lossy(&bytes[..end]);
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    Ok(Answer {
        status: status.and_then(|code| code.parse().ok()).ok_or_else(no_http)?,
        body,
    })
}
