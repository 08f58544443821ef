//! `beatwarden healthcheck`: asks the local instance whether its loop turns. Needs no shell and no curl in an image.

use super::{local_http, output};
use crate::app::reachable;
use std::{net::SocketAddr, process::ExitCode};

/// The first word of a healthy instance; another program on the port would hardly say it.
const HEALTHY: &str = "healthy";
/// Longest answer: a sentence.
const LONGEST: usize = 64 << 10;

/// Exit code 0 if the instance that listens on `listen` says that it is healthy.
pub fn run(listen: SocketAddr) -> ExitCode {
    let address = reachable(listen);
    let why = match local_http::get(address, "/-/healthy", LONGEST) {
        Ok(answer) if answer.status == 200 && answer.body.trim() == HEALTHY => return ExitCode::SUCCESS,
        Ok(answer) => {
            let body: String = answer.body.trim().chars().take(200).collect();
            format!("{address} answered {}: {body}", answer.status)
        }
        Err(error) => format!("{address}: {error}"),
    };
    output::complain(&format!("not healthy: {why}"));
    ExitCode::FAILURE
}
