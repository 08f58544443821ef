//! Beatwarden: a watchdog beside an application that keeps its jobs in a database table.
//!
//! ```text
//!   job table ──▶ store ──▶ domain::plan ──▶ store ──▶ domain::report ──▶ journal, metrics, status ──▶ http
//!                observe()    pure          repair()
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`domain`] | the decision: phases, inits, the rule of two clocks, plan, report. Pure |
//! | [`store`] | the watched database: SQL, connections, deadlines, the ledger |
//! | [`watch`] | one pass and the loop around it |
//! | [`pass`] | what a pass leaves behind, who receives it, and the clocks |
//! | [`status`] | what is known of each watch right now |
//! | [`journal`] | the log |
//! | [`metrics`] | every metric, once |
//! | [`http`] | routes, page, API, and who may ask: TLS, passwords |
//! | [`tls`] | certificates and keys as files |
//! | [`mapping`] | which table and columns are watched, and names that can stand in SQL |
//! | [`nearest`] | the known name that was probably meant |
//! | [`present`] | what people and programs read: words, times, JSON shapes, safe texts |
//! | [`files`] | configuration files and secrets: read within bounds, and who else may read them |
//! | [`config`] | layers, validation, presets, database addresses |
//! | [`connection`] | protection and choice of a PostgreSQL server, in libpq's words |
//! | [`discover`] | job tables found in a catalog, as a configuration. Pure |
//! | [`demo`] | simulated writers |
//! | [`app`] | the composition root |
//! | [`cli`] | the commands |
//!
//! `docs/architecture.md` has the picture, `tests/core/tidy.rs` the arrows.

#[macro_use]
mod choice;

pub mod app;
pub mod cli;
pub mod config;
pub mod connection;
pub mod demo;
pub mod discover;
pub mod domain;
pub mod files;
pub mod http;
pub mod journal;
pub mod mapping;
pub mod metrics;
pub mod nearest;
pub mod pass;
pub mod present;
pub mod status;
pub mod store;
pub mod tls;
pub mod watch;
