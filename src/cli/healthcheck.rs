//! `beatwarden healthcheck`: asks the local instance whether its loop turns. Needs no shell and no curl in an image.

use super::local_http;
use crate::config::Loaded;
use std::process::ExitCode;

/// Exit code 0 if the instance says that it is healthy.
pub fn run(loaded: &Loaded) -> ExitCode {
    let address = local_http::reachable(loaded.config.listen);
    match local_http::get(address, "/-/healthy") {
        Ok(answer) if answer.status == 200 => ExitCode::SUCCESS,
        Ok(answer) => {
            eprintln!(
                "beatwarden: not healthy: {address} answered {}: {}",
                answer.status,
                answer.body.trim()
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("beatwarden: not healthy: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}
