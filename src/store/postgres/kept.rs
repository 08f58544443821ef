//! The statements of passes and repairs that stay prepared for the life of a connection, where nothing stands between us and the
//! server.
//!
//! A pooler hands the next transaction to another session, which knows no statement of ours, or another one by the same name.
//! So nothing is prepared unless the server sees both ends of the connection as we see them: then it is one connection, from
//! our socket to the server's.

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tokio_postgres::{Error, Row, Statement, error::SqlState, types::Type};

/// How many statements of one connection are kept: each takes memory of the server.
const MOST: usize = 64;
/// How long one is kept. The server may settle on a plan that was good for the table as it was, and a table grows.
const FOR: Duration = Duration::from_secs(600);
/// After so many failures no more are prepared on this connection.
const TRIES: u32 = 3;

/// Both ends of a socket of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub ours: SocketAddr,
    pub theirs: SocketAddr,
}

/// Whether statements are kept, and why not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    /// The server was not asked yet how it sees the connection.
    #[default]
    Unknown,
    Direct,
    /// Something stands between, or may.
    Indirect,
    /// No socket of the network.
    File,
    /// The server doesn't say how it sees the connection.
    Hidden,
    /// It refused a statement that was kept, or to keep one.
    Refused,
}

/// The statements of one connection.
#[derive(Default)]
pub(super) struct Kept(Mutex<State>);

#[derive(Default)]
struct State {
    way: Way,
    /// Those that were asked before; with what the server keeps of them.
    statements: HashMap<String, Option<(Statement, Instant)>>,
    /// Those that were asked again, and are to be kept.
    wanted: Vec<(String, Vec<Type>)>,
    failures: u32,
    /// Whether the pass or repair in progress met a refusal.
    is_refused: bool,
}

impl Kept {
    /// Whether statements are kept, for people.
    pub(super) fn said(&self) -> &'static str {
        match self.0.lock().way {
            Way::Unknown => "no, the server has not been asked yet how it sees the connection",
            Way::Direct => "yes, the connection is direct",
            Way::Indirect => {
                "no, the server sees other addresses than ours: a pooler, a proxy or a gateway stands between"
            }
            Way::File => "no, a socket file does not show who is at its other end",
            Way::Hidden => "no, the server does not say how it sees the connection",
            Way::Refused => "no, the server refused one on this connection",
        }
    }

    /// Takes in how the server sees the connection, which has these ends.
    pub(super) fn judge(&self, ends: Option<Ends>, seen: Result<Vec<Row>, Error>) {
        let mut state = self.0.lock();
        if state.way != Way::Unknown {
            return;
        }
        state.way = match (ends, seen) {
            (_, Err(_)) => Way::Hidden,
            (ends, Ok(rows)) => match (ends, rows.first().and_then(seen_ends)) {
                (Some(ends), Some(seen)) if canonical(ends) == canonical(seen) => Way::Direct,
                (None, None) => Way::File,
                _ => Way::Indirect,
            },
        };
    }

    /// What the server keeps of a statement with these types, if anything. What is asked for the second time is wanted from
    /// then on.
    pub(super) fn find(&self, sql: &str, types: &[Type]) -> Option<Statement> {
        let mut state = self.0.lock();
        let state = &mut *state;
        if !matches!(state.way, Way::Unknown | Way::Direct) {
            return None;
        }
        match state.statements.get_mut(sql) {
            // Its first time may be in the same round trip as the question how the server sees the connection.
            Some(_) if state.way == Way::Unknown => None,
            Some(Some((kept, since))) if since.elapsed() < FOR => (kept.params() == types).then(|| kept.clone()),
            Some(old) => {
                *old = None;
                if !state.wanted.iter().any(|(wanted, _)| wanted == sql) {
                    state.wanted.push((sql.to_owned(), types.to_vec()));
                }
                None
            }
            None => {
                if state.statements.len() < MOST {
                    state.statements.insert(sql.to_owned(), None);
                }
                None
            }
        }
    }

    /// Whether the server was not asked yet how it sees the connection.
    pub(super) fn is_unproven(&self) -> bool {
        self.0.lock().way == Way::Unknown
    }

    /// Takes note of an error of the pass or repair: a statement that is gone, or that no longer fits the table.
    pub(super) fn note(&self, error: &Error) {
        let is_refusal = [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::FEATURE_NOT_SUPPORTED];
        let mut state = self.0.lock();
        if state.way == Way::Direct && error.code().is_some_and(|code| is_refusal.contains(code)) {
            state.is_refused = true;
        }
    }

    /// What is to be kept, which is then no longer wanted: the texts and the types of their parameters.
    pub(super) fn take_wanted(&self) -> Vec<(String, Vec<Type>)> {
        std::mem::take(&mut self.0.lock().wanted)
    }

    /// Keeps what the server has prepared of these.
    pub(super) fn keep(&self, wanted: Vec<(String, Vec<Type>)>, kept: Result<Vec<Statement>, Error>) {
        let mut state = self.0.lock();
        match kept {
            Ok(kept) => {
                let now = Instant::now();
                let kept = kept.into_iter().map(|kept| Some((kept, now)));
                state
                    .statements
                    .extend(wanted.into_iter().map(|(sql, _)| sql).zip(kept));
            }
            Err(error) => {
                state.failures += 1;
                tracing::debug!(%error, "the server does not prepare the statements of a pass this time");
                if state.failures == TRIES {
                    state.give_up();
                }
            }
        }
    }

    /// Whether the pass or repair met a refusal; then nothing is kept on this connection any more.
    pub(super) fn gives_up(&self) -> bool {
        let mut state = self.0.lock();
        let is_refused = std::mem::take(&mut state.is_refused);
        if is_refused {
            state.give_up();
        }
        is_refused
    }
}

impl State {
    fn give_up(&mut self) {
        self.way = Way::Refused;
        self.statements.clear();
        self.wanted.clear();
    }
}

/// Both ends as the server sees them; nothing for a socket file.
fn seen_ends(row: &Row) -> Option<Ends> {
    let end = |address: &str, port: &str| {
        let address: IpAddr = row.try_get::<_, Option<&str>>(address).ok()??.parse().ok()?;
        let port = row.try_get::<_, Option<i32>>(port).ok()??;
        Some(SocketAddr::new(address, u16::try_from(port).ok()?))
    };
    Some(Ends {
        ours: end("client", "client_port")?,
        theirs: end("server", "server_port")?,
    })
}

/// Addresses and ports alone: an address of IPv4 that is written as one of IPv6 is the same.
fn canonical(ends: Ends) -> [(IpAddr, u16); 2] {
    [ends.ours, ends.theirs].map(|end| (end.ip().to_canonical(), end.port()))
}
