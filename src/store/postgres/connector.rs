//! How one server is connected to, with encryption or without: the order in which libpq tries them.

use super::{
    BoxError,
    failures::{connect_error, would_talk_otherwise},
    tls::{Security, Verify},
};
use crate::store::StoreError;
use rustls::pki_types::ServerName;
use tokio_postgres::{Client, Config, Connection, Error, Socket, config::SslMode, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

type Rustls = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// rustls for one server. A name that TLS has no place for needn't keep us out where no name is verified.
#[derive(Clone)]
pub(super) struct Connector {
    rustls: MakeRustlsConnect,
    verify: Verify,
}

impl Connector {
    /// # Errors
    /// If a file that the target names can't be used.
    pub(super) fn new(security: &Security) -> Result<Self, BoxError> {
        Ok(Self {
            rustls: MakeRustlsConnect::new(security.client_config()?),
            verify: security.verify,
        })
    }
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Rustls;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
    type Error = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, Self::Error> {
        // The zone of a link-local address is of this machine, and in no certificate.
        let named = host.split_once('%').map_or(host, |(address, _)| address);
        let named = match ServerName::try_from(named) {
            Err(_) if self.verify != Verify::Full => "unnamed.invalid",
            _ => named,
        };
        MakeTlsConnect::<Socket>::make_tls_connect(&mut self.rustls, named)
    }
}

/// Connects by the first way that the server takes.
pub(super) async fn connect_by(
    ways: &[SslMode],
    to: &str,
    mut config: Config,
    tls: &Connector,
) -> Result<(Client, Connection<Socket, Rustls>), StoreError> {
    let mut failed: Option<(SslMode, Error)> = None;
    for way in ways {
        config.ssl_mode(*way);
        let error = match config.connect(tls.clone()).await {
            Ok(connected) => return Ok(connected),
            Err(error) => error,
        };
        match failed.take() {
            // What stands in the way of encryption is what can be helped; the other way is mentioned.
            Some((_, first)) if *way == SslMode::Disable => {
                return Err(connect_error(to.to_owned(), first, Some(("without TLS", error))));
            }
            Some((_, first)) => return Err(connect_error(to.to_owned(), error, Some(("without TLS", first)))),
            None if would_talk_otherwise(&error) => failed = Some((*way, error)),
            None => return Err(connect_error(to.to_owned(), error, None)),
        }
    }
    let (_, error) = failed.expect("there is a way, and it failed");
    Err(connect_error(to.to_owned(), error, None))
}
