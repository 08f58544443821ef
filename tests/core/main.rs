//! The core: what is decided, configured and demanded of the sources. No server, no process, seconds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

// A simulated history spends a third of its time on small allocations: with this one a release's million takes a fifth less.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod config;
mod discover;
mod domain;
#[path = "../support/runs.rs"]
mod runs;
mod sim;
mod tidy;
