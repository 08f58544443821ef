//! How one server is connected to, with encryption or without: the order in which libpq tries them.

use super::{
    BoxError,
    failures::{connect_error, would_talk_otherwise},
    kept::Ends,
    server_addr::host_name,
    tls::{Security, Verify},
};
use crate::store::StoreError;
use futures_util::{FutureExt, future::BoxFuture};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_postgres::{
    CancelToken, Client, Config, Error,
    config::{Host, SslMode},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

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

impl<S> MakeTlsConnect<S> for Connector
where
    MakeRustlsConnect: MakeTlsConnect<S>,
{
    type Stream = <MakeRustlsConnect as MakeTlsConnect<S>>::Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect;
    type Error = <MakeRustlsConnect as MakeTlsConnect<S>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, Self::Error> {
        // The zone of a link-local address is of this machine, and in no certificate.
        let named = host.split_once('%').map_or(host, |(address, _)| address);
        let named = match ServerName::try_from(named) {
            Err(_) if self.verify != Verify::Full => "unnamed.invalid",
            _ => named,
        };
        MakeTlsConnect::<S>::make_tls_connect(&mut self.rustls, named)
    }
}

pub(super) struct Connected {
    pub client: Client,
    /// What drives it. Its error reaches the caller that waits for an answer.
    pub driver: BoxFuture<'static, ()>,
    /// Its ends, where the socket is one of our own.
    pub ends: Option<Ends>,
}

/// Connects over a socket of our own, whose ends are known. Where there can be none the driver makes it, and says why it can't.
async fn connect(config: &Config, tls: &Connector) -> Result<Connected, Error> {
    if let Some((stream, ends)) = own_socket(config).await
        && let Ok(tls) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls.clone(), &name_of(config))
    {
        let (client, connection) = config.connect_raw(stream, tls).await?;
        return Ok(Connected {
            client,
            driver: connection.map(drop).boxed(),
            ends: Some(ends),
        });
    }
    let (client, connection) = config.connect(tls.clone()).await?;
    Ok(Connected {
        client,
        driver: connection.map(drop).boxed(),
        ends: None,
    })
}

/// The name of the one host.
fn name_of(config: &Config) -> String {
    config.get_hosts().first().map(host_name).unwrap_or_default()
}

/// A socket to the one address of the settings, as the driver makes it.
async fn own_socket(config: &Config) -> Option<(TcpStream, Ends)> {
    let ([Host::Tcp(_)], [address], [port]) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports()) else {
        return None;
    };
    let stream = TcpStream::connect((*address, *port)).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let socket = SockRef::from(&stream);
    #[cfg(target_os = "linux")]
    if let Some(within) = config.get_tcp_user_timeout() {
        socket.set_tcp_user_timeout(Some(*within)).ok()?;
    }
    if config.get_keepalives() {
        let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
        if let Some(every) = config.get_keepalives_interval() {
            keepalive = keepalive.with_interval(every);
        }
        if let Some(times) = config.get_keepalives_retries() {
            keepalive = keepalive.with_retries(times);
        }
        socket.set_tcp_keepalive(&keepalive).ok()?;
    }
    let ends = Ends {
        ours: stream.local_addr().ok()?,
        theirs: stream.peer_addr().ok()?,
    };
    Some((stream, ends))
}

/// Connects again to where a connection leads, to cancel what it does.
pub(super) async fn cancel(token: CancelToken, ends: Option<Ends>, config: &Config, mut tls: Connector) {
    // Best effort: the server's own statement_timeout ends it otherwise.
    let Some(ends) = ends else {
        let _ = token.cancel_query(tls).await;
        return;
    };
    if let Ok(tls) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls, &name_of(config))
        && let Ok(stream) = TcpStream::connect(ends.theirs).await
    {
        let _ = token.cancel_query_raw(stream, tls).await;
    }
}

/// Connects by the first way that the server takes.
pub(super) async fn connect_by(
    ways: &[SslMode],
    to: &str,
    mut config: Config,
    tls: &Connector,
) -> Result<Connected, StoreError> {
    let mut failed: Option<(SslMode, Error)> = None;
    for way in ways {
        config.ssl_mode(*way);
        let error = match connect(&config, tls).await {
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
