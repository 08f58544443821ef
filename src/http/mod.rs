//! The HTTP server: bounded, read-only, and never waiting for a database.

mod api;
mod facts;
mod page;
mod routes;
mod text;
mod verdict;

pub use api::{repairs_of, status_of};
pub use verdict::{Tone, Verdict, verdict_of};

use crate::{
    metrics::Metrics,
    status::{Boards, Clock, Roster},
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// So many connections are served at once; a scrape needs one.
const CONNECTIONS: usize = 128;
/// A client that has not sent its request by then is cut off.
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
}

impl HttpState {
    /// Over the boards of all watches and the metrics.
    pub fn new(roster: Arc<Roster>, metrics: Arc<Metrics>, clock: impl Clock + 'static, version: &'static str) -> Self {
        Self {
            roster,
            metrics,
            clock: Arc::new(clock),
            version,
        }
    }

    /// The boards of all watches, as they are now.
    fn boards(&self) -> Arc<Boards> {
        self.roster.boards()
    }
}

/// Serves until `stop`, then lets the requests in flight be answered.
pub async fn serve(listener: TcpListener, state: Arc<HttpState>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = places.clone().acquire_owned() => place.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let (state, stop) = (state.clone(), stop.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let state = state.clone();
                async move { Ok::<_, Infallible>(routes::answer(&request, &state)) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_WITHIN)
                .max_buf_size(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            // Errors here are the client's: it went away, or spoke no HTTP.
            // The connection comes first: a request that has arrived is answered, also when the stop comes with it.
            tokio::select! {
                biased;
                _ = connection.as_mut() => {}
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(LAST_ANSWER_WITHIN, connection).await;
                }
                () = tokio::time::sleep(CONNECTION_WITHIN) => {}
            }
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    while connections.join_next().await.is_some() {}
}
