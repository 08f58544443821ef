//! What goes over the wire: a relay that keeps what clients say before TLS begins, and impostors that answer something else.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// The eight bytes by which a client asks a PostgreSQL server for TLS.
const ASKS_FOR_TLS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// The first byte of a record of TLS' handshake.
const HANDSHAKE: u8 = 0x16;

/// Whether a client asked for TLS, and then either shook hands or said no more.
pub fn is_tls(said: &[u8]) -> bool {
    said.strip_prefix(&ASKS_FOR_TLS)
        .is_some_and(|rest| rest.first().is_none_or(|byte| *byte == HANDSHAKE))
}

/// What each client said, one entry for each connection.
pub type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

/// Listens on loopback, and answers each connection in a thread of its own; all of them end with the process.
fn listen(answer: impl Fn(TcpStream, &dyn Fn(&[u8])) + Send + Sync + 'static) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Heard::default();
    let (answer, all) = (Arc::new(answer), heard.clone());
    thread::spawn(move || {
        for client in listener.incoming() {
            let (answer, all) = (answer.clone(), all.clone());
            let place = {
                let mut all = all.lock().unwrap();
                all.push(Vec::new());
                all.len() - 1
            };
            thread::spawn(move || {
                answer(client.unwrap(), &|bytes| {
                    all.lock().unwrap()[place].extend_from_slice(bytes);
                });
            });
        }
    });
    (port, heard)
}

/// In front of a server: everything passes, and what the clients say is kept.
pub fn relay(server: u16) -> (u16, Heard) {
    listen(move |mut client, hear| {
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)) else {
            return;
        };
        let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = client.read(&mut bytes) {
            hear(&bytes[..length]);
            if server.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
    })
}

/// Answers the first eight bytes with these, and listens on.
pub fn impostor(answer: &'static [u8]) -> (u16, Heard) {
    listen(move |mut client, hear| {
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut first = [0; 8];
        if client.read_exact(&mut first).is_err() {
            return;
        }
        hear(&first);
        let _ = client.write_all(answer);
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = client.read(&mut bytes) {
            hear(&bytes[..length]);
        }
    })
}
