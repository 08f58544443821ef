//! What is connected to: the driver's settings, with what the driver knows nothing of: protection, files, the kind of server.

use super::{
    connector::Connector,
    passfile::{PassFile, Passwords, Whom},
    server_addr::host_name,
    tls::Security,
};
use crate::{
    connection::{SslMode, TargetSessionAttrs},
    domain::Action,
    store::StoreError,
};
use std::sync::Arc;
use tokio_postgres::{
    Config,
    config::{self, Host},
};

/// Where to connect to.
#[derive(Clone)]
pub struct Target {
    config: Config,
    /// The kind of server that the operator demands.
    session: Option<TargetSessionAttrs>,
    sslmode: SslMode,
    security: Security,
    passfile: PassFile,
    /// What stands in the files, once they were read.
    files: Option<Arc<Files>>,
}

/// What stands in the files that an address names.
pub(super) struct Files {
    pub tls: Connector,
    pub passwords: Passwords,
}

/// A database URL that the driver can't read.
#[derive(Debug, thiserror::Error)]
#[error("the database URL can't be read (expected postgres://user:password@host:port/database)")]
pub struct BadTarget(#[source] tokio_postgres::Error);

impl Target {
    /// From a libpq URL or keyword string, and the settings that were taken out of it. `session` is the kind of server that
    /// the operator demands.
    ///
    /// # Errors
    /// If it doesn't parse.
    pub fn new(url: &str, sslmode: SslMode, session: Option<TargetSessionAttrs>) -> Result<Self, BadTarget> {
        let mut config: Config = url.parse().map_err(BadTarget)?;
        if config.get_application_name().is_none() {
            config.application_name("beatwarden");
        }
        config.target_session_attrs(match session {
            Some(TargetSessionAttrs::ReadWrite) => config::TargetSessionAttrs::ReadWrite,
            Some(TargetSessionAttrs::ReadOnly) => config::TargetSessionAttrs::ReadOnly,
            Some(TargetSessionAttrs::Any) | None => config::TargetSessionAttrs::Any,
        });
        Ok(Self {
            config,
            session,
            sslmode,
            security: Security::new(sslmode, None, None, None),
            passfile: PassFile::default(),
            files: None,
        })
    }

    /// The same target with the files that the address names.
    #[must_use]
    pub fn with_files(mut self, security: Security, passfile: PassFile) -> Self {
        self.security = security;
        self.passfile = passfile;
        self
    }

    /// Reads the files that the address names, so that connecting waits for no disk.
    ///
    /// # Errors
    /// If one of them can't be used; it is named.
    pub(super) fn read_files(mut self) -> Result<Self, StoreError> {
        let to = self.shown();
        let tls = Connector::new(&self.security).map_err(|source| StoreError::Connect { to: to.clone(), source })?;
        let passwords = Passwords::read(&self.passfile).map_err(|problem| StoreError::Auth {
            to,
            source: problem.into(),
        })?;
        self.files = Some(Arc::new(Files { tls, passwords }));
        Ok(self)
    }

    pub(super) fn files(&self) -> &Files {
        self.files
            .as_ref()
            .expect("the files are read before a connection is made")
    }

    /// The driver's configuration for one place, with the password from the password file where the address has none.
    pub(super) fn with_password(&self, mut config: Config) -> Config {
        if config.get_password().is_some() {
            return config;
        }
        let host = match (config.get_hosts().first(), config.get_hostaddrs().first()) {
            (Some(host), _) => host_name(host),
            // As in libpq, the address where there is no name.
            (None, address) => address.map(ToString::to_string).unwrap_or_default(),
        };
        // A socket in its usual folder counts as localhost; which folder that is depends on how libpq was built.
        let hosts: &[&str] = match host.as_str() {
            usual @ ("/var/run/postgresql" | "/tmp") => &[usual, "localhost"],
            other => &[other],
        };
        let whom = Whom {
            hosts,
            port: config.get_ports().first().copied().unwrap_or(5432),
            database: config.get_dbname().or(config.get_user()).unwrap_or_default(),
            user: config.get_user().unwrap_or_default(),
        };
        if let Some(password) = self.files().passwords.of(whom) {
            config.password(password);
        }
        config
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether the operator said which kind of server to take.
    pub(super) fn demands_session(&self) -> bool {
        self.session.is_some()
    }

    /// Whether a server that takes writes is to be looked for first.
    pub(super) fn prefers_writable(&self, action: Action) -> bool {
        match self.session {
            Some(session) => session == TargetSessionAttrs::ReadWrite,
            None => action != Action::Observe,
        }
    }

    /// The role that connects, where the address names one.
    pub fn user(&self) -> Option<&str> {
        self.config.get_user()
    }

    /// With and without encryption, in the order in which it is to be tried at this place. A socket is never encrypted, whatever
    /// is asked: its server doesn't offer it.
    pub(super) fn ways(&self, place: &Config) -> &'static [config::SslMode] {
        use config::SslMode::{Disable, Prefer, Require};
        if place.get_hosts().iter().any(|host| matches!(host, Host::Unix(_))) {
            return &[Disable];
        }
        match self.sslmode {
            SslMode::Disable => &[Disable],
            // As in libpq, a server that takes no connection of the one kind is asked for the other.
            SslMode::Allow => &[Disable, Require],
            SslMode::Prefer => &[Prefer, Disable],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Require],
        }
    }

    /// User, hosts and database, without the password.
    pub fn shown(&self) -> String {
        let config = &self.config;
        let hosts: Vec<String> = config.get_hosts().iter().map(host_name).collect();
        let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
        let ports = if ports.is_empty() {
            "5432".to_owned()
        } else {
            ports.join(",")
        };
        let user = config.get_user().unwrap_or("(default)");
        format!(
            "PostgreSQL database {} at {}:{ports} as {user}",
            config.get_dbname().unwrap_or(user),
            hosts.join(","),
        )
    }
}
