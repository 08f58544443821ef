//! The binary as a user runs it: its commands, its HTTP side, and what it does when something around it fails.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod attack;
mod blind;
mod cli;
mod coverage;
mod discover;
mod elsewhere;
mod failover;
mod http;
mod in_place;
mod many;
mod mapping;
mod nouns;
mod operator;
mod outages;
mod overrun;
mod patroni;
mod reload;
mod secrets;
mod service;
mod stress;
mod surroundings;
mod tls;
mod transcripts;
mod upgrade;
mod web;
mod week;
