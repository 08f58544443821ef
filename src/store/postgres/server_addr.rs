//! Where a connection leads to: one address of one host.

use std::net::IpAddr;
use tokio_postgres::{Config, config::Host};

/// A host as people and password files name it.
pub(super) fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    }
}

/// One address of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerAddr {
    pub host: Option<Host>,
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl ServerAddr {
    /// As people read it.
    pub(super) fn shown(&self) -> String {
        let host = match (&self.host, self.address) {
            (Some(Host::Tcp(name)), Some(address)) if *name != address.to_string() => format!("{name} ({address})"),
            (Some(host), _) => host_name(host),
            (None, Some(address)) => address.to_string(),
            (None, None) => "(default)".to_owned(),
        };
        format!("{host}:{}", self.port)
    }

    /// The settings of `config` for this address only.
    pub(super) fn alone(&self, config: &Config) -> Config {
        let mut one = Config::new();
        one.ssl_negotiation(config.get_ssl_negotiation())
            .keepalives(config.get_keepalives())
            .keepalives_idle(config.get_keepalives_idle())
            .target_session_attrs(config.get_target_session_attrs())
            .channel_binding(config.get_channel_binding())
            .port(self.port);
        config.get_user().map(|user| one.user(user));
        config.get_password().map(|password| one.password(password));
        config.get_dbname().map(|name| one.dbname(name));
        config.get_options().map(|options| one.options(options));
        config.get_application_name().map(|name| one.application_name(name));
        config.get_connect_timeout().map(|within| one.connect_timeout(*within));
        config
            .get_tcp_user_timeout()
            .map(|within| one.tcp_user_timeout(*within));
        config
            .get_keepalives_interval()
            .map(|every| one.keepalives_interval(every));
        config
            .get_keepalives_retries()
            .map(|times| one.keepalives_retries(times));
        match &self.host {
            Some(Host::Tcp(name)) => one.host(name),
            Some(Host::Unix(folder)) => one.host_path(folder),
            None => match self.address {
                // TLS wants a name, and the address is one.
                Some(address) => one.host(address.to_string()),
                None => &mut one,
            },
        };
        self.address.map(|address| one.hostaddr(address));
        one
    }
}
