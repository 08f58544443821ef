//! One connection: how it is made, its transport security, and the deadline over everything that is asked through it.

use super::BoxError;
use crate::{domain::Action, store::StoreError};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_postgres::{
    CancelToken, Client, Config, Row,
    config::{SslMode, TargetSessionAttrs},
    error::SqlState,
    types::{ToSql, Type},
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where to connect to.
#[derive(Clone)]
pub struct Target {
    config: Config,
    /// Whether the operator said which kind of server to take.
    explicit_session: bool,
}

/// Why a database URL can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadTarget {
    /// It doesn't parse.
    #[error("the database URL can't be read (expected postgres://user:password@host:port/database)")]
    Parse(#[source] tokio_postgres::Error),
    /// `verify-ca` and `verify-full` are not there yet, and must not silently mean less.
    #[error(
        "sslmode={0} is not supported yet: use sslmode=require over a trusted network, or a local socket; nothing weaker was tried"
    )]
    SslMode(String),
}

impl Target {
    /// From a libpq URL or keyword string, and the settings that were taken out of it.
    ///
    /// # Errors
    /// If it doesn't parse, or `sslmode` is one that isn't supported.
    pub fn new(url: &str, sslmode: &str, session: Option<&str>) -> Result<Self, BadTarget> {
        let mut config: Config = url.parse().map_err(BadTarget::Parse)?;
        config.ssl_mode(match sslmode {
            "disable" => SslMode::Disable,
            "allow" | "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            other => return Err(BadTarget::SslMode(other.to_owned())),
        });
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
        })
    }

    /// The role that connects, where the address names one.
    pub fn user(&self) -> Option<&str> {
        self.config.get_user()
    }

    /// User, hosts and database, without the password.
    pub fn shown(&self) -> String {
        use tokio_postgres::config::Host;
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

/// The longest that making a connection may take; a server that doesn't even answer is not waited for longer.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The longest that a cancel request may take.
const CANCEL_WITHIN: Duration = Duration::from_secs(1);

/// A connection and the task that drives it.
pub(super) struct Link {
    client: Client,
    driver: JoinHandle<()>,
    cancel: CancelToken,
    tls: MakeRustlsConnect,
    deadline: Duration,
    /// When the current piece of work has to be done, all its round trips together.
    until: Mutex<Instant>,
    /// Connected to a read-only server although a writable one was wanted.
    second_choice: bool,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    /// Connects, and only then returns.
    ///
    /// Where the action writes, a server that takes writes is preferred; if there is none, any server is taken, since
    /// seeing without being able to repair is better than not seeing.
    pub(super) async fn open(target: &Target, action: Action, deadline: Duration) -> Result<Self, StoreError> {
        let mut config = target.config.clone();
        if target.explicit_session || action == Action::Observe {
            return Self::connect(&config, target, deadline, false).await;
        }
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        match Self::connect(&config, target, deadline, false).await {
            Err(StoreError::Connect { source, .. }) if is_read_only(source.as_ref()) => {
                Self::connect(&target.config, target, deadline, true).await
            }
            result => result,
        }
    }

    async fn connect(
        config: &Config,
        target: &Target,
        deadline: Duration,
        second_choice: bool,
    ) -> Result<Self, StoreError> {
        let tls = MakeRustlsConnect::new(unverified_tls());
        let within = deadline.min(CONNECT_WITHIN);
        let (client, connection) = match timeout(within, config.connect(tls.clone())).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(connect_error(target, error)),
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
            deadline,
            until: Mutex::new(Instant::now() + deadline),
            second_choice,
        })
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.client.is_closed()
    }

    /// Whether a better server should be looked for at the next pass.
    pub(super) fn is_second_choice(&self) -> bool {
        self.second_choice
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a statement with its own parameter types; nothing is prepared or kept. The first poll sends it, so several
    /// of these joined in order travel together.
    pub(super) async fn ask(&self, statement: &str, params: Vec<Param<'_>>) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.client.query_typed(statement, &params).await
    }

    /// Starts the deadline anew: from here on the answers together may take that long.
    pub(super) fn start_deadline(&self) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + self.deadline;
    }

    /// Awaits an answer under the deadline that was started last.
    pub(super) async fn within<T>(
        &self,
        what: &'static str,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        match self
            .within_for(until.duration_since(Instant::now()), what, answer)
            .await
        {
            Err(StoreError::Timeout { what, .. }) => Err(StoreError::Timeout {
                what,
                after: self.deadline,
            }),
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

fn is_read_only(source: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(source);
    while let Some(error) = next {
        if error.to_string().contains("does not allow writes") {
            return true;
        }
        next = error.source();
    }
    false
}

fn connect_error(target: &Target, error: tokio_postgres::Error) -> StoreError {
    let auth = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
    ];
    let refused = error.code().is_some_and(|code| auth.contains(code));
    let to = target.shown();
    let source = described(error);
    if refused {
        StoreError::Auth { to, source }
    } else {
        StoreError::Connect { to, source }
    }
}

/// An error of the driver with the words and the SQLSTATE that its own Display leaves out.
pub(super) fn described(error: tokio_postgres::Error) -> BoxError {
    match error.as_db_error() {
        Some(db) => {
            let mut text = format!("{} (SQLSTATE {})", db.message(), db.code().code());
            for part in [db.detail(), db.hint()].into_iter().flatten() {
                text.push_str("; ");
                text.push_str(part);
            }
            text.into()
        }
        None => Box::new(error),
    }
}

/// The error of a statement, by what the operator has to do about it.
pub(super) fn query_error(what: &'static str, error: tokio_postgres::Error) -> StoreError {
    let Some(code) = error.code().cloned() else {
        return StoreError::Connect {
            to: what.to_owned(),
            source: Box::new(error),
        };
    };
    let source = described(error);
    match code {
        SqlState::INSUFFICIENT_PRIVILEGE => StoreError::Rights(format!(
            "{what}: {source}; see `beatwarden grants` for the rights that are needed"
        )),
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::DATATYPE_MISMATCH => {
            StoreError::Schema(format!("{what}: {source}"))
        }
        SqlState::LOCK_NOT_AVAILABLE => StoreError::Locked { what, source },
        SqlState::QUERY_CANCELED => StoreError::Query { what, source },
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW => StoreError::Connect {
            to: what.to_owned(),
            source,
        },
        _ => StoreError::Query { what, source },
    }
}

/// TLS as libpq's `prefer` and `require` have it: encrypted, the certificate not verified.
fn unverified_tls() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
        .with_no_client_auth()
}

/// Accepts every certificate; the handshake's signatures are checked all the same.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
