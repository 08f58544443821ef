//! The HTTP server: bounded, read-only, and never waiting for a database.

pub mod access;
mod gate;
mod page;
mod places;
mod routes;

use crate::{metrics::Metrics, pass::Clock, present::View, status::Roster, tls::SPEAKS_HTTPS};
use access::{AccessControl, Presented};
use gate::Caller;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use places::{Place, Places};
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How many connections are served at once; a scrape needs one.
const CONNECTIONS: usize = 256;
/// A client that has not shaken hands, or not sent its request, by then is cut off.
const HEADER_WITHIN: Duration = Duration::from_secs(10);
/// A connection lives no longer than this, however busy: slow readers can't hold their place for ever.
const CONNECTION_WITHIN: Duration = Duration::from_secs(300);
/// After a failed `accept` (out of descriptors, say) the next attempt waits.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// After the stop a client has so long to take its last answer.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Largest head of a request, in bytes.
const HEAD: usize = 16 * 1024;

/// What the routes read.
pub struct HttpState {
    roster: Arc<Roster>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    version: &'static str,
    viewed: Arc<Notify>,
}

impl HttpState {
    /// Over the boards of all watches and the metrics.
    pub fn new(roster: Arc<Roster>, metrics: Arc<Metrics>, clock: impl Clock + 'static, version: &'static str) -> Self {
        Self {
            roster,
            metrics,
            clock: Arc::new(clock),
            version,
            viewed: Arc::default(),
        }
    }

    /// The same, with someone to be notified each time the page is shown.
    #[must_use]
    pub fn notifying(self, viewed: Arc<Notify>) -> Self {
        Self { viewed, ..self }
    }

    /// The status page as it is now, opened without a query.
    pub fn page(&self) -> String {
        page::render(self, &page::Asked::from_query(None))
    }

    /// All watches, as they are now.
    fn views(&self) -> Vec<View> {
        View::all(&self.roster.boards(), self.clock.moment())
    }
}

/// The first byte of every TLS connection: a record of the handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

/// Serves until `stop`, then lets the requests in flight be answered.
pub async fn serve(listener: TcpListener, state: Arc<HttpState>, access: Arc<AccessControl>, stop: CancellationToken) {
    let places = Places::new(CONNECTIONS);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let connection = Connection {
            state: state.clone(),
            access: access.clone(),
            place: Arc::new(places.take()),
            stop: stop.clone(),
        };
        connections.spawn(async move {
            let place = connection.place.clone();
            tokio::select! {
                () = connection.begin(stream, from) => {}
                () = place.evicted() => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
    while connections.join_next().await.is_some() {}
}

/// One connection.
struct Connection {
    state: Arc<HttpState>,
    access: Arc<AccessControl>,
    place: Arc<Place>,
    stop: CancellationToken,
}

impl Connection {
    /// Shakes hands where that is asked for, and answers what comes.
    async fn begin(self, mut stream: TcpStream, from: SocketAddr) {
        let Ok(to) = stream.local_addr() else { return };
        let caller = |presented| Caller {
            from: from.ip().to_canonical(),
            to,
            presented,
        };
        let rules = self.access.rules();
        let Some(encryption) = rules.encryption() else {
            return self.converse(stream, caller(Presented::Nothing)).await;
        };
        let mut first = [0];
        match timeout(HEADER_WITHIN, stream.peek(&mut first)).await {
            Ok(Ok(1)) if first[0] == HANDSHAKE => {}
            Ok(Ok(1)) => {
                let _ = timeout(LAST_ANSWER_WITHIN, answer_with_scheme(&mut stream)).await;
                return;
            }
            _ => return,
        }
        let shaken = timeout(HEADER_WITHIN, encryption.acceptor().accept(stream)).await;
        // Errors here are the client's: it went away, or showed a certificate that doesn't hold.
        let Ok(Ok(stream)) = shaken else { return };
        let presented = encryption.judge(stream.get_ref().1.peer_certificates());
        self.converse(stream, caller(presented)).await;
    }

    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin, caller: Caller) {
        let (state, access, place) = (&self.state, &self.access, &self.place);
        let service = service_fn(async |request| {
            place.show_life();
            // The rules of now: a password that was withdrawn counts no more, also on an old connection.
            let answer = routes::answer(&request, caller, &access.rules(), state).await;
            place.show_life();
            Ok::<_, Infallible>(answer)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // A client may say that it has nothing more to ask, and wait for the answer all the same.
            .half_close(true)
            .header_read_timeout(HEADER_WITHIN)
            .max_buf_size(HEAD)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // Errors here are the client's: it went away, or spoke no HTTP.
        // The connection comes first: a request that has arrived is answered, also when the stop comes with it.
        tokio::select! {
            biased;
            _ = connection.as_mut() => {}
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = timeout(LAST_ANSWER_WITHIN, connection).await;
            }
            () = tokio::time::sleep(CONNECTION_WITHIN) => {}
        }
    }
}

/// Answers a client of plain HTTP which scheme is spoken here. What it sent is read first: closing on unread bytes resets the
/// connection, and the answer with it.
async fn answer_with_scheme(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") && head.len() < HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{SPEAKS_HTTPS}",
        SPEAKS_HTTPS.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
