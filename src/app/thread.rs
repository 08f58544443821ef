//! The thread of the passes. With one of their own, a pass over a hundred thousand jobs keeps no scrape waiting, no attack on
//! the port delays a pass, and the memory that passes take and give back lies in one arena of the allocator, not in two.

use std::io;
use tokio::runtime::{Builder, Handle, Runtime};

/// The thread; it ends with this value, whatever runs on it.
pub(super) struct PassThread(Option<Runtime>);

impl PassThread {
    /// Starts it.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("passes")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// The way to it.
    pub(super) fn handle(&self) -> Handle {
        self.0.as_ref().expect("it is taken only when it ends").handle().clone()
    }
}

impl Drop for PassThread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Waiting here would block the thread that serves the last scrape.
            runtime.shutdown_background();
        }
    }
}
