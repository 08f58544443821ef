//! One connection, and the deadline over everything that is asked through it.

use super::{
    connector::{Connected, Connector, cancel, connect_by},
    failures::{is_unfinished, query_error},
    kept::{Ends, Kept},
    param::{Bound, Param},
    server::Server,
    server_addr::ServerAddr,
    target::Target,
};
use crate::store::{Barrier, StoreError};
use futures_util::TryStreamExt;
use parking_lot::Mutex;
use std::{
    future::Future,
    ops::ControlFlow,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_postgres::{CancelToken, Client, Config, Row, SimpleQueryMessage, config::TargetSessionAttrs};

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
    /// What it was made by.
    settings: Config,
    ends: Option<Ends>,
    kept: Kept,
    /// When the current piece of work has to be done, all its round trips together, and how long it had.
    until: Mutex<(Instant, Duration)>,
    id: LinkId,
    place: ServerAddr,
    /// The table whose repairs are made through it, by its oid.
    serves: Option<u32>,
    /// What the server reports about itself, once it was asked and has refused nothing.
    pub server: OnceLock<Server>,
    /// The quickest answer so far, in microseconds.
    quickest: AtomicU64,
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
    /// Connects to one address by the settings of `config`, `within` so long, and only then returns. `deadline` is that of the
    /// work to come.
    pub(super) async fn connect(
        target: &Target,
        place: &ServerAddr,
        config: &Config,
        (deadline, within): (Duration, Duration),
    ) -> Result<Self, StoreError> {
        let tls = target.files().tls.clone();
        let config = target.with_password(place.alone(config));
        let has_password = config.get_password().is_some();
        // As in libpq: for each host, all of its answers together.
        let within = config.get_connect_timeout().map_or(within, |own| within.min(*own));
        let ways = target.ways(&config);
        let demanded = config.get_target_session_attrs();
        let settings = config.clone();
        let Connected { client, driver, ends } =
            match timeout(within, connect_by(ways, &target.shown(), config, &tls)).await {
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
        let link = Self {
            cancel: client.cancel_token(),
            client,
            driver: tokio::spawn(driver),
            tls,
            settings,
            ends,
            kept: Kept::default(),
            until: Mutex::new((Instant::now() + deadline, deadline)),
            id: LinkId(NEXT.fetch_add(1, Ordering::Relaxed)),
            place: place.clone(),
            serves: None,
            server: OnceLock::new(),
            quickest: AtomicU64::new(u64::MAX),
        };
        if ends.is_some() {
            // Over a socket of its own the driver asks it itself.
            link.demand(&target.shown(), demanded, within).await?;
        }
        Ok(link)
    }

    /// Refuses a server that isn't of the kind that is demanded.
    async fn demand(&self, to: &str, demanded: TargetSessionAttrs, within: Duration) -> Result<(), StoreError> {
        let problem = match demanded {
            TargetSessionAttrs::ReadWrite => ("on", "database does not allow writes"),
            TargetSessionAttrs::ReadOnly => ("off", "database is not read only"),
            _ => return Ok(()),
        };
        let answer = self.client.simple_query("SHOW transaction_read_only");
        let answer = self
            .within_for(within, "asking which kind of server this is", answer)
            .await?;
        let is_so = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0) == Some(problem.0),
            _ => false,
        };
        if answer.iter().any(is_so) {
            return Err(StoreError::Barred {
                to: to.to_owned(),
                by: Barrier::Mode,
                source: format!("error connecting to server: {}", problem.1).into(),
            });
        }
        Ok(())
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

    /// How long the way to the server and back is: as long as the quickest answer took; nothing before the first.
    pub(super) fn way(&self) -> Duration {
        match self.quickest.load(Ordering::Relaxed) {
            u64::MAX => Duration::ZERO,
            quickest => Duration::from_micros(quickest),
        }
    }

    pub(super) fn id(&self) -> LinkId {
        self.id
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.client.is_closed()
    }

    /// Where it leads to.
    pub(super) fn place(&self) -> &ServerAddr {
        &self.place
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a statement with its own parameter types; nothing is prepared or kept. The first poll sends it, so several
    /// of these joined in order travel together.
    pub(super) async fn ask(&self, statement: &str, params: Vec<Param<'_>>) -> Result<Vec<Row>, tokio_postgres::Error> {
        let params: Vec<_> = params.into_iter().map(Bound::typed).collect();
        self.client.query_typed(statement, &params).await
    }

    /// What the server keeps of the statements of passes and repairs.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Asks the server how it sees this connection, once.
    pub(super) async fn prove(&self) {
        let seen = self.ask(include_str!("sql/ends.sql"), vec![]).await;
        self.kept.judge(self.ends, seen);
    }

    /// As `ask`, by what the server keeps of the statement, where it keeps it. A refusal of what it keeps is noted.
    pub(super) async fn ask_kept(
        &self,
        statement: &str,
        params: Vec<Param<'_>>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let (values, types): (Vec<_>, Vec<_>) = params.iter().map(|param| param.typed()).unzip();
        match self.kept.find(statement, &types) {
            Some(kept) => {
                let answer = self.client.query(&kept, &values).await;
                answer.inspect_err(|error| self.kept.note(error))
            }
            None => self.ask(statement, params).await,
        }
    }

    /// As `ask_kept`, but each row is handed over as it comes, until one is the last that is wanted, and none is kept.
    pub(super) async fn ask_each(
        &self,
        statement: &str,
        params: Vec<Param<'_>>,
        mut take: impl FnMut(&Row) -> ControlFlow<()>,
    ) -> Result<(), tokio_postgres::Error> {
        let (values, types): (Vec<_>, Vec<_>) = params.into_iter().map(Bound::typed).unzip();
        let rows = match self.kept.find(statement, &types) {
            Some(kept) => self.client.query_raw(&kept, values).await?,
            None => {
                let params = values.into_iter().zip(types);
                self.client.query_typed_raw(statement, params).await?
            }
        };
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.try_next().await? {
            if take(&row).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Starts the deadline again: from here on the answers together may take that long.
    pub(super) fn start_deadline(&self, within: Duration) {
        *self.until.lock() = (Instant::now() + within, within);
    }

    /// Awaits an answer under the deadline that was started last.
    pub(super) async fn within<T>(
        &self,
        what: &'static str,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        let (until, within) = *self.until.lock();
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
        let sent = Instant::now();
        match timeout(deadline, answer).await {
            Ok(result) => {
                let took = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.quickest.fetch_min(took, Ordering::Relaxed);
                result.map_err(|error| {
                    self.kept.note(&error);
                    query_error(what, error)
                })
            }
            Err(_) => {
                self.cancel();
                Err(StoreError::Timeout { what, after: deadline })
            }
        }
    }

    /// Asks the server to stop what it does for this connection; doesn't wait for it.
    pub(super) fn cancel(&self) {
        let (token, tls, ends, settings) = (self.cancel.clone(), self.tls.clone(), self.ends, self.settings.clone());
        tokio::spawn(async move {
            let _ = timeout(CANCEL_WITHIN, cancel(token, ends, &settings, tls)).await;
        });
    }
}
