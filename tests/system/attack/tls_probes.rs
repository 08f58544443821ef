//! Probes of the TLS port: old versions, other names and protocols, renegotiation, broken and endless handshakes. Each ends, and a
//! client that makes a whole handshake is served meanwhile.

use super::SOON;
use crate::{support::beatwarden::Beatwarden, web::Site};
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

struct Served {
    site: Site,
    dog: Beatwarden,
}

impl Served {
    async fn start() -> Self {
        let site = Site::new();
        let dog = site
            .start("tls_server_config: {cert_file: server.crt, key_file: server.key}\n")
            .await;
        Self { site, dog }
    }

    /// What `openssl s_client` says, given `input` after its handshake.
    fn openssl(&self, arguments: &[&str], input: &str) -> (Output, String) {
        let mut client = Command::new("timeout")
            .args(["20", "openssl", "s_client", "-CAfile", "authority.pem", "-connect"])
            .arg(self.dog.address.to_string())
            .args(arguments)
            .current_dir(self.site.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may have ended already.
        let _ = client.stdin.take().unwrap().write_all(input.as_bytes());
        let output = client.wait_with_output().unwrap();
        let said = [&output.stdout[..], &output.stderr].concat();
        (output, String::from_utf8_lossy(&said).into_owned())
    }

    fn is_served(&self) {
        let (status, body) = self.site.curl(&self.dog, "/metrics", &[]);
        assert!(
            status == 200 && body.contains("beatwarden_build_info"),
            "{status} {body}"
        );
    }

    /// Whether the connection is ended by the server, after these bytes, within a time.
    fn ends(&self, bytes: &[u8], again: Option<&[u8]>) -> bool {
        let mut stream = TcpStream::connect(self.dog.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let (began, mut part) = (Instant::now(), [0; 4096]);
        let _ = stream.write_all(bytes);
        while began.elapsed() < SOON * 2 {
            match stream.read(&mut part) {
                Ok(0) => return true,
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return true,
                _ => {}
            }
            let _ = again.map(|bytes| stream.write_all(bytes));
        }
        false
    }
}

const REQUEST: &str = "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn only_whole_handshakes_of_versions_without_known_holes_are_made() {
    let site = Served::start().await;
    let quiet = ["-quiet", "-no_ign_eof", "-ign_eof"];
    for good in [
        &["-tls1_2"][..],
        &["-tls1_3"],
        // Another name: there is one certificate, and whether it holds is judged by the client.
        &["-servername", "evil.example"],
        &["-noservername"],
        &["-alpn", "h2,http/1.1"],
        // A greeting in many records.
        &["-max_send_frag", "512"],
    ] {
        let (_, said) = site.openssl(&[&quiet[..], good].concat(), REQUEST);
        assert!(said.contains("healthy\n"), "{good:?}: {said}");
    }
    for bad in [
        &["-tls1"][..],
        &["-tls1_1"],
        &["-alpn", "h2"],
        // No name has a part as long as this.
        &["-servername", &"x".repeat(250)],
        &["-tls1_2", "-cipher", "NULL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],
    ] {
        let (output, said) = site.openssl(&[&quiet[..], bad].concat(), REQUEST);
        assert!(
            !output.status.success() && !said.contains("healthy\n"),
            "{bad:?}: {said}"
        );
        site.is_served();
    }
    // `R` asks for another handshake on the same connection.
    let (_, said) = site.openssl(&["-tls1_2", "-no_ign_eof"], "R\n");
    assert!(
        said.contains("Secure Renegotiation IS") && !said.contains("healthy\n"),
        "{said}"
    );
    site.is_served();
    assert!(!site.dog.log().contains("panicked"), "{}", site.dog.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_and_endless_handshakes_end() {
    let site = Served::start().await;
    let heartbeat = b"\x18\x03\x02\x00\x03\x01\x40\x00";
    let greeting = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let change = b"\x14\x03\x03\x00\x01\x01";
    let probes: [(Vec<u8>, Option<&[u8]>); 8] = [
        // A record of the most that its length can say.
        (b"\x16\x03\x01\xff\xff".to_vec(), Some(&[0; 1024])),
        (b"\x16\x03\x01\x00\x00".to_vec(), Some(b"\x16\x03\x01\x00\x00")),
        (b"\x16\x00\x00\x00\x05hello".to_vec(), None),
        ([greeting, &heartbeat[..]].concat(), None),
        // One byte after the other, for ever.
        (greeting.to_vec(), Some(b"\0")),
        (b"\x16".to_vec(), None),
        (
            [b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", &change[..]].concat(),
            Some(change),
        ),
        // SSL 2
        (b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10".to_vec(), None),
    ];
    std::thread::scope(|scope| {
        let asked: Vec<_> = probes
            .iter()
            .map(|(bytes, again)| scope.spawn(|| site.ends(bytes, *again)))
            .collect();
        for _ in 0..10 {
            site.is_served();
        }
        for (asked, (bytes, _)) in asked.into_iter().zip(&probes) {
            assert!(asked.join().unwrap(), "{bytes:02x?} holds its connection");
        }
    });
    assert!(!site.dog.log().contains("panicked"), "{}", site.dog.log());
    assert!(site.dog.most_memory() < 128, "{} MiB", site.dog.most_memory());
}
