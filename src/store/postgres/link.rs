//! One connection: how it is made, its transport security, and the deadline over everything that is asked through it.

use super::{
    connector::{Connector, connect_by, ways},
    failures::{is_unfinished, query_error},
    hosts::Place,
    passfile::{PassFile, Passwords, Whom},
    tls::{Security, Verify},
};
use crate::{domain::Action, store::StoreError};
use futures_util::TryStreamExt;
use std::{
    future::Future,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_postgres::{
    CancelToken, Client, Config, Row,
    config::{Host, SslMode, TargetSessionAttrs},
    types::{ToSql, Type},
};

/// Where to connect to.
#[derive(Clone)]
pub struct Target {
    config: Config,
    /// Whether the operator said which kind of server to take.
    explicit_session: bool,
    security: Security,
    /// With and without encryption, in the order in which it is tried.
    ways: &'static [SslMode],
    passfile: PassFile,
    /// What stands in the files, once they were read.
    files: Option<Arc<Files>>,
}

/// What stands in the files that an address names.
struct Files {
    tls: Connector,
    passwords: Passwords,
}

/// Why a database URL can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadTarget {
    /// It doesn't parse.
    #[error("the database URL can't be read (expected postgres://user:password@host:port/database)")]
    Parse(#[source] tokio_postgres::Error),
    /// It is no mode that libpq knows.
    #[error("sslmode={0} is unknown: expected disable, allow, prefer, require, verify-ca or verify-full")]
    SslMode(String),
}

impl Target {
    /// From a libpq URL or keyword string, and the settings that were taken out of it.
    ///
    /// # Errors
    /// If it doesn't parse, or `sslmode` is one that isn't supported.
    pub fn new(url: &str, sslmode: &str, session: Option<&str>) -> Result<Self, BadTarget> {
        let mut config: Config = url.parse().map_err(BadTarget::Parse)?;
        let ways: &'static [SslMode] = match sslmode {
            "disable" => &[SslMode::Disable],
            // As in libpq, a server that takes no connection of the one kind is asked for the other.
            "allow" => &[SslMode::Disable, SslMode::Require],
            "prefer" => &[SslMode::Prefer, SslMode::Disable],
            "require" | "verify-ca" | "verify-full" => &[SslMode::Require],
            other => return Err(BadTarget::SslMode(other.to_owned())),
        };
        if config.get_application_name().is_none() {
            config.application_name("beatwarden");
        }
        let attrs = match session {
            Some("read-write") => TargetSessionAttrs::ReadWrite,
            Some("read-only") => TargetSessionAttrs::ReadOnly,
            _ => TargetSessionAttrs::Any,
        };
        config.target_session_attrs(attrs);
        Ok(Self {
            config,
            explicit_session: session.is_some(),
            ways,
            security: Security::new(sslmode, None, None, None),
            passfile: PassFile::default(),
            files: None,
        })
    }

    /// The same target with the files that the address names.
    #[must_use]
    pub fn with_files(mut self, security: Security, passfile: PassFile) -> Self {
        if security.verify != Verify::Nothing {
            // Whatever the mode's name: what is to be verified is never left out.
            self.ways = &[SslMode::Require];
        }
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

    fn files(&self) -> &Files {
        self.files
            .as_ref()
            .expect("the files are read before a connection is made")
    }

    /// The driver's configuration for one place, with the password from the password file where the address has none.
    fn with_password(&self, mut config: Config) -> Config {
        if config.get_password().is_some() {
            return config;
        }
        let host = match (config.get_hosts().first(), config.get_hostaddrs().first()) {
            (Some(Host::Tcp(name)), _) => name.clone(),
            (Some(Host::Unix(folder)), _) => folder.display().to_string(),
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

    /// The driver's settings.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether the operator said which kind of server to take.
    pub(super) fn demands_session(&self) -> bool {
        self.explicit_session
    }

    /// Whether a server that takes writes is to be looked for first.
    pub(super) fn prefers_writable(&self, action: Action) -> bool {
        if self.explicit_session {
            return self.config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite;
        }
        action != Action::Observe
    }

    /// The role that connects, where the address names one.
    pub fn user(&self) -> Option<&str> {
        self.config.get_user()
    }

    /// With and without encryption, in the order in which it is to be tried.
    pub(super) fn ways(&self) -> &'static [SslMode] {
        self.ways
    }

    /// User, hosts and database, without the password.
    pub fn shown(&self) -> String {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        let ports: Vec<String> = self.config.get_ports().iter().map(u16::to_string).collect();
        format!(
            "PostgreSQL database {} at {}:{} as {}",
            self.config
                .get_dbname()
                .or(self.config.get_user())
                .unwrap_or("(default)"),
            hosts.join(","),
            if ports.is_empty() {
                "5432".to_owned()
            } else {
                ports.join(",")
            },
            self.config.get_user().unwrap_or("(default)"),
        )
    }
}

/// A bound value and its type.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// The longest that a cancel request may take.
const CANCEL_WITHIN: Duration = Duration::from_secs(1);

/// Which connection this is, of all that this process ever made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkId(u64);

impl LinkId {
    /// Another one for each connection.
    pub(super) fn number(self) -> u64 {
        self.0
    }
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A connection and the task that drives it.
pub(super) struct Link {
    client: Client,
    driver: JoinHandle<()>,
    cancel: CancelToken,
    tls: Connector,
    /// When the current piece of work has to be done, all its round trips together, and how long it had.
    until: Mutex<(Instant, Duration)>,
    id: LinkId,
    place: Place,
    /// The table whose repairs are made through it, by its oid.
    serves: Option<u32>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.id.fmt(f)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    /// Connects to one place, `within` so long, and only then returns. `deadline` is that of the work to come.
    pub(super) async fn connect(
        target: &Target,
        config: &Config,
        place: &Place,
        (deadline, within): (Duration, Duration),
    ) -> Result<Self, StoreError> {
        let tls = target.files().tls.clone();
        let config = target.with_password(config.clone());
        let has_password = config.get_password().is_some();
        // As in libpq: for each host, all of its answers together.
        let within = config.get_connect_timeout().map_or(within, |own| within.min(*own));
        let ways = ways(target, &config);
        let (client, connection) = match timeout(within, connect_by(ways, target, config, &tls)).await {
            Ok(Err(StoreError::Connect { to, source })) if !has_password && is_unfinished(source.as_ref()) => {
                let source = target.files().passwords.none_found().into();
                return Err(StoreError::Auth { to, source });
            }
            Ok(connected) => connected?,
            Err(_) => {
                return Err(StoreError::Connect {
                    to: target.shown(),
                    source: format!("no answer within {within:?}").into(),
                });
            }
        };
        let driver = tokio::spawn(async move {
            // Its error reaches whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(Self {
            cancel: client.cancel_token(),
            client,
            driver,
            tls,
            until: Mutex::new((Instant::now() + deadline, deadline)),
            id: LinkId(NEXT.fetch_add(1, Ordering::Relaxed)),
            place: place.clone(),
            serves: None,
        })
    }

    /// The same connection for one table alone.
    pub(super) fn serving(mut self, table: Option<u32>) -> Self {
        self.serves = table;
        self
    }

    /// The table that it serves.
    pub(super) fn served(&self) -> Option<u32> {
        self.serves
    }

    pub(super) fn id(&self) -> LinkId {
        self.id
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.client.is_closed()
    }

    /// Where it leads to.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a statement with its own parameter types; nothing is prepared or kept. The first poll sends it, so several
    /// of these joined in order travel together.
    pub(super) async fn ask(&self, statement: &str, params: Vec<Param<'_>>) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.client.query_typed(statement, &params).await
    }

    /// As `ask`, but each row is handed over as it comes, until one is the last that is wanted, and none is kept.
    pub(super) async fn ask_each(
        &self,
        statement: &str,
        params: Vec<Param<'_>>,
        mut take: impl FnMut(&Row) -> ControlFlow<()>,
    ) -> Result<(), tokio_postgres::Error> {
        let mut rows = std::pin::pin!(self.client.query_typed_raw(statement, params).await?);
        while let Some(row) = rows.try_next().await? {
            if take(&row).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Starts the deadline anew: from here on the answers together may take that long.
    pub(super) fn start_deadline(&self, within: Duration) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now() + within, within);
    }

    /// Awaits an answer under the deadline that was started last.
    pub(super) async fn within<T>(
        &self,
        what: &'static str,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        let (until, within) = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        match self
            .within_for(until.duration_since(Instant::now()), what, answer)
            .await
        {
            Err(StoreError::Timeout { what, .. }) => Err(StoreError::Timeout { what, after: within }),
            result => result,
        }
    }

    /// Awaits an answer under a deadline. When it passes the server is asked to stop, since a dropped future alone
    /// would leave the statement running.
    pub(super) async fn within_for<T>(
        &self,
        deadline: Duration,
        what: &'static str,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        match timeout(deadline, answer).await {
            Ok(result) => result.map_err(|error| query_error(what, error)),
            Err(_) => {
                self.cancel();
                Err(StoreError::Timeout { what, after: deadline })
            }
        }
    }

    /// Asks the server to stop what it does for this connection; doesn't wait for it.
    pub(super) fn cancel(&self) {
        let (cancel, tls) = (self.cancel.clone(), self.tls.clone());
        tokio::spawn(async move {
            // Best effort: the server's own statement_timeout ends it otherwise.
            let _ = timeout(CANCEL_WITHIN, cancel.cancel_query(tls)).await;
        });
    }
}
