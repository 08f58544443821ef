//! The core: what is decided, configured and demanded of the sources. No server, no process, seconds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod config;
mod discover;
mod domain;
#[path = "../support/runs.rs"]
mod runs;
mod sim;
mod tidy;
