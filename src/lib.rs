//! Beatwarden: a watchdog beside an application that keeps its jobs in a database table.
pub mod domain;
pub mod http;
pub mod metrics;
pub mod status;
pub mod store;
pub mod watch;
