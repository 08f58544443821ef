//! A TCP proxy that goes wrong on request: it stalls, cuts connections in the middle of a message, and lets the BEGIN of
//! a repair be refused while the rest of its batch runs.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What a repair's transaction begins with, and what a server can't read in its place.
const BEGIN: &[u8] = b"BEGIN ISOLATION LEVEL READ COMMITTED";
const REFUSED: &[u8] = b"BEGIX ISOLATION LEVEL READ COMMITTED";

/// What goes wrong at present.
#[derive(Debug, Default)]
pub struct Faults {
    stalled_until: Mutex<Option<Instant>>,
    /// How long the way is, in microseconds.
    way: AtomicU64,
    /// Of a thousand pieces, so many are the last of their connection.
    cuts: AtomicU32,
    /// Of a thousand repairs, so many are refused their BEGIN.
    refusals: AtomicU32,
    /// The answers to a batch with these words in it, once, are read and thrown away; then the connection is cut.
    lost: Mutex<Option<&'static str>>,
    /// Whether new connections are cut at once.
    closed: AtomicBool,
    /// How often each happened.
    pub cut: AtomicU32,
    pub refused: AtomicU32,
}

impl Faults {
    /// Nothing passes for so long.
    pub fn stall(&self, takes: Duration) {
        *self.stalled_until.lock().unwrap() = Some(Instant::now() + takes);
    }

    /// Every piece takes so long for its way, in each direction.
    pub fn delay(&self, way: Duration) {
        self.way
            .store(u64::try_from(way.as_micros()).unwrap(), Ordering::Relaxed);
    }

    /// Of a thousand pieces of traffic, so many are cut somewhere in their middle.
    pub fn cut(&self, in_a_thousand: u32) {
        self.cuts.store(in_a_thousand, Ordering::Relaxed);
    }

    /// Of a thousand repairs, so many are refused their BEGIN.
    pub fn refuse_begin(&self, in_a_thousand: u32) {
        self.refusals.store(in_a_thousand, Ordering::Relaxed);
    }

    /// The next batch with these words in it is run by the server, and no answer to it comes back.
    pub fn lose_answers_to(&self, words: &'static str) {
        *self.lost.lock().unwrap() = Some(words);
    }

    /// Connections that are made from here on are cut at once.
    pub fn refuse_connections(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn loses(&self, piece: &[u8]) -> bool {
        let mut lost = self.lost.lock().unwrap();
        let has = |words: &str| piece.windows(words.len()).any(|window| window == words.as_bytes());
        lost.take_if(|words| has(words)).is_some()
    }

    async fn wait(&self) {
        let way = Duration::from_micros(self.way.load(Ordering::Relaxed));
        if !way.is_zero() {
            tokio::time::sleep(way).await;
        }
        let until = *self.stalled_until.lock().unwrap();
        if let Some(until) = until {
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

/// A running proxy; it ends with the runtime.
pub struct Proxy {
    pub address: SocketAddr,
    pub faults: Arc<Faults>,
}

impl Proxy {
    /// In front of a server on this port of loopback.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let faults = Arc::new(Faults::default());
        let shared = faults.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if shared.closed.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
                    continue;
                };
                let (client, server) = (client.into_split(), server.into_split());
                let faults = shared.clone();
                // When one direction ends, so does the other: both halves of both are dropped.
                tokio::spawn(async move {
                    let deaf = AtomicBool::new(false);
                    tokio::select! {
                        () = pass(client.0, server.1, &faults, &deaf) => {}
                        () = pass(server.0, client.1, &faults, &deaf) => {}
                    }
                });
            }
        });
        Self { address, faults }
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: &Faults, deaf: &AtomicBool) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        faults.wait().await;
        let piece = &mut bytes[..length];
        if deaf.load(Ordering::Relaxed) {
            // The tag of the COMMIT's answer: with it everything is done.
            if piece.windows(7).any(|window| window == b"COMMIT\0") {
                return;
            }
            continue;
        }
        if faults.loses(piece) {
            deaf.store(true, Ordering::Relaxed);
            if to.write_all(piece).await.is_err() {
                return;
            }
            // Of this direction there is nothing more to pass.
            std::future::pending::<()>().await;
        }
        if let Some(at) = piece.windows(BEGIN.len()).position(|window| window == BEGIN)
            && fastrand::u32(..1000) < faults.refusals.load(Ordering::Relaxed)
        {
            piece[at..at + REFUSED.len()].copy_from_slice(REFUSED);
            faults.refused.fetch_add(1, Ordering::Relaxed);
        }
        let is_cut = fastrand::u32(..1000) < faults.cuts.load(Ordering::Relaxed);
        let passed = if is_cut { fastrand::usize(..=length) } else { length };
        if to.write_all(&piece[..passed]).await.is_err() {
            return;
        }
        if is_cut {
            faults.cut.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
}
