//! The programs of others around Beatwarden: Meltano, a browser, Prometheus, and what reads the files that are shipped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod dashboard;
mod day;
mod deploy;
mod discovered;
mod dist;
mod engines;
mod make_observe;
mod meltano;
mod meltano_bed;
mod meltano_blocking;
mod shipped;
mod wheel;
