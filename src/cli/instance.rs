//! What the instance that runs on this machine says of a watch, if it is one that watches the same table.

use super::local_http;
use crate::{
    app,
    config::{Config, WatchConfig},
    domain::Timestamp,
};
use serde_json::Value;
use std::net::SocketAddr;

/// The running instance, and what it said.
pub struct Instance {
    pub listen: SocketAddr,
    /// Its status, or why there is none.
    status: Result<Value, String>,
}

impl Instance {
    /// Asks it for its status. Blocks, for a few seconds at most.
    pub fn ask(config: &Config) -> Self {
        let listen = app::reachable(config.listen);
        let no_status = || format!("What answers on {listen} gives no status of Beatwarden");
        let status = match local_http::get(listen, "/api/v1/status", local_http::STATUS) {
            Ok(answer) if answer.status == 401 || answer.status == 403 => Err(format!(
                "The instance on {listen} asks for a password, which this command doesn't have"
            )),
            Ok(answer) if answer.status == 200 => serde_json::from_str(&answer.body).map_err(|_| no_status()),
            Ok(_) => Err(no_status()),
            Err(_) => Err(format!("No instance answers on {listen}")),
        };
        Self { listen, status }
    }

    /// Its status as a whole.
    pub fn status(&self) -> Option<&Value> {
        self.status.as_ref().ok()
    }

    /// What it says of a watch, as `/api/v1/status` has it.
    ///
    /// # Errors
    /// With a clause that says why it is not believed: it may watch another database under the same name.
    pub fn watch(&self, watch: &WatchConfig) -> Result<&Value, String> {
        let listen = self.listen;
        let status = self.status.as_ref().map_err(Clone::clone)?;
        let watches = status["watches"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = watches
            .iter()
            .find(|found| found["name"] == watch.name.as_str())
            .ok_or_else(|| format!("The instance on {listen} has no watch of this name"))?;
        match (found["target"].as_str(), app::target_of(watch)) {
            (Some(theirs), Some(ours)) if theirs == ours => Ok(found),
            _ => Err(format!(
                "The instance on {listen} watches another database or table under this name, or names it in another way"
            )),
        }
    }
}

/// A time as the status writes it.
pub fn time_in(value: &Value) -> Option<Timestamp> {
    let at = value.as_str()?.parse::<jiff::Timestamp>().ok()?;
    Some(Timestamp::from_micros(at.as_microsecond()))
}
