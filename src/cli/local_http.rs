//! One question to the instance on this machine, over HTTP, or HTTPS where it says that it speaks that.

use crate::tls;
use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};
use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

/// Longer than this, and a container's own health check has given up.
const WITHIN: Duration = Duration::from_secs(3);
/// No answer of ours is longer.
const LONGEST: u64 = 64 << 20;

/// An answer.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, with what is no UTF-8 replaced.
    pub body: String,
}

/// The address under which an instance that listens on `listen` is reached from here.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Asks for `path`. Blocks, for a few seconds at most.
///
/// # Errors
/// If nobody answers, or not in HTTP.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let answer = ask(connect(address)?, path)?;
    if answer.status != 400 || !answer.body.starts_with("this port speaks HTTPS") {
        return Ok(answer);
    }
    // Its certificate is for other names than that of this machine, and nothing secret is sent to it.
    let config = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(tls::Unverified))
        .with_no_client_auth();
    let name = ServerName::IpAddress(address.ip().into());
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    ask(StreamOwned::new(session, connect(address)?), path)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.set_write_timeout(Some(WITHIN))?;
    Ok(stream)
}

fn ask(mut stream: impl Read + Write, path: &str) -> io::Result<Answer> {
    // HTTP/1.0: the answer ends with the connection, in one piece.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    stream.flush()?;
    let mut bytes = Vec::new();
    match stream.take(LONGEST).read_to_end(&mut bytes) {
        // A server that ends the connection needn't say goodbye in TLS, too.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(|| io::Error::other("that is no HTTP answer"))?,
        body: body.to_owned(),
    })
}
