//! What the tests share: throwaway servers, the real writer, our own binary, and a client for it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it; a test fails by panicking"
)]

pub mod beatwarden;
pub mod certificates;
pub mod engine;
pub mod http;
pub mod meltano;
pub mod pooler;
pub mod postgres;
pub mod prometheus;
pub mod proxy;
pub mod runs;
pub mod served;
pub mod stores;
pub mod table;

#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub(crate) use table::on_both;

use std::{
    fmt::Display,
    path::PathBuf,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A file of this name in a folder of its own, which goes with the first of the two.
pub fn written(name: &str, text: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    std::fs::write(&file, text).expect("our own file");
    (folder, file)
}

/// A connection that keeps its transaction from one statement to the next. The statements are a test's own, and have to succeed.
pub trait Session {
    async fn run(&self, statements: &str);
}

impl Session for tokio_postgres::Client {
    async fn run(&self, statements: &str) {
        let done = self.batch_execute(statements).await;
        done.unwrap_or_else(|error| panic!("{error:?}: {statements}"));
    }
}

impl Session for rusqlite::Connection {
    async fn run(&self, statements: &str) {
        let done = self.execute_batch(statements);
        done.unwrap_or_else(|error| panic!("{error}: {statements}"));
    }
}

/// Asks again and again until there is an answer; for what happens in another process, which can't notify us. `what` is shown
/// as it is at the end: a log by [`beatwarden::Beatwarden::whole_log`].
///
/// # Panics
/// If there is none within `within`.
pub async fn eventually<T>(what: impl Display, within: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < until, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Where scripts/setup-tests.sh puts what it installs.
pub fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    set("BEATWARDEN_TEST_CACHE").unwrap_or_else(|| {
        set("XDG_CACHE_HOME")
            .unwrap_or_else(|| set("HOME").expect("a home").join(".cache"))
            .join("beatwarden-tests")
    })
}
