//! The stores against real databases: what is read, what is written, whose rights that takes, and what guards it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod contract;
mod elsewhere;
mod guard;
mod hostile;
mod rights;
mod shapes;
