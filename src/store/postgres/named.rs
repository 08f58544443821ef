//! Which database a connection text names, for comparing it with another.

use tokio_postgres::{Config, config::Host};

/// Hosts, ports, database and options of a connection text; neither user nor password. `None` if it can't be parsed.
pub fn database_named_by(text: &str) -> Option<Vec<String>> {
    let config: Config = text.parse().ok()?;
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.to_ascii_lowercase(),
        Host::Unix(folder) => format!("{folder:?}"),
    });
    let addresses = config.get_hostaddrs().iter().map(ToString::to_string);
    let ports = config.get_ports().iter().map(ToString::to_string);
    // The search path may stand in the options, and decides which table a name means.
    let rest = [config.get_dbname(), config.get_options()].map(|text| format!("{text:?}"));
    let groups = [
        hosts.collect::<Vec<_>>(),
        addresses.collect(),
        ports.collect(),
        rest.to_vec(),
    ];
    Some(groups.iter().map(|group| format!("{group:?}")).collect())
}
