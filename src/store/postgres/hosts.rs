//! Which of several servers to connect to: each host of the address gets its share of the time, so that one that accepts
//! and never answers can't hide the others, and one that takes writes goes first where the action writes.

use super::{BoxError, link::Link, server_addr::ServerAddr, target::Target};
use crate::{
    domain::{Action, in_full},
    store::{Barrier, StoreError},
};
use std::{net::IpAddr, time::Duration};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::{
    Config,
    config::{Host, LoadBalanceHosts, TargetSessionAttrs},
};

/// The longest that making a connection may take, all hosts together; a server that doesn't even answer is not waited for
/// longer.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Connects, and only then returns: where the action writes to the first server that takes writes, otherwise to the first
/// that is as the address demands. If none takes writes, any server is taken, since seeing without being able to repair is
/// better than not seeing. With `beside`, only to that place.
pub(super) async fn open(
    target: &Target,
    action: Action,
    deadline: Duration,
    beside: Option<&ServerAddr>,
) -> Result<Link, StoreError> {
    let until = Instant::now() + deadline.min(CONNECT_WITHIN);
    let mut places = places(target.config(), until).await?;
    if let Some(wanted) = beside
        && places.contains(wanted)
    {
        places.retain(|place| place == wanted);
    }
    let mut config = target.config().clone();
    let prefers_writable = target.prefers_writable(action);
    // Where there is no choice it needn't be asked; each pass reads whether the server takes writes.
    if prefers_writable && (places.len() > 1 || target.demands_session()) {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    let failures = match first_of(&places, target, &config, (deadline, until)).await {
        Ok(link) => return Ok(link),
        Err(failures) => failures,
    };
    let read_only = failures.iter().find(|(_, error)| is_read_only(error));
    match read_only {
        Some((place, _)) if prefers_writable && !target.demands_session() => {
            let left = until.saturating_duration_since(Instant::now());
            Link::connect(target, place, target.config(), (deadline, left)).await
        }
        _ => Err(report(target, failures)),
    }
}

/// Connects to a server that takes writes, or to none.
pub(super) async fn open_writable(target: Target, deadline: Duration) -> Result<Link, StoreError> {
    let until = Instant::now() + deadline.min(CONNECT_WITHIN);
    let places = places(target.config(), until).await?;
    let mut config = target.config().clone();
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    let found = first_of(&places, &target, &config, (deadline, until)).await;
    found.map_err(|failures| report(&target, failures))
}

/// The first place that can be connected to, each with an equal share of the time that is left.
async fn first_of<'a>(
    places: &'a [ServerAddr],
    target: &Target,
    config: &Config,
    (deadline, until): (Duration, Instant),
) -> Result<Link, Vec<(&'a ServerAddr, StoreError)>> {
    let mut failures = Vec::new();
    for (tried, place) in places.iter().enumerate() {
        let left = u32::try_from(places.len() - tried).unwrap_or(u32::MAX);
        let share = until.saturating_duration_since(Instant::now()) / left;
        match Link::connect(target, place, config, (deadline, share)).await {
            Ok(link) => return Ok(link),
            Err(error) => {
                let is_answer = is_answer(&error);
                failures.push((place, error));
                if is_answer {
                    break;
                }
            }
        }
    }
    Err(failures)
}

/// Whether a server that serves has refused us. As in libpq the next host is not tried then: the writer isn't there either.
fn is_answer(error: &StoreError) -> bool {
    let by_server = [Barrier::Database, Barrier::Parameter, Barrier::Full];
    match error {
        StoreError::Auth { .. } => true,
        StoreError::Barred { by, .. } => by_server.contains(by),
        _ => false,
    }
}

/// Every address of every host, in the order in which they are to be tried. A name that can't be resolved stays as it is,
/// for the driver to say so.
async fn places(config: &Config, until: Instant) -> Result<Vec<ServerAddr>, StoreError> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    let fits = |given: usize| given == 0 || given == count;
    if !(fits(hosts.len()) && fits(addresses.len()) && (ports.len() <= 1 || ports.len() == count)) {
        return Err(nowhere(
            "the database URL has not as many ports or addresses as hosts".into(),
        ));
    }
    let shuffled = config.get_load_balance_hosts() == LoadBalanceHosts::Random;
    let mut order: Vec<usize> = (0..count).collect();
    if shuffled {
        fastrand::shuffle(&mut order);
    }
    let mut places = Vec::new();
    for index in order {
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        let place = |address| ServerAddr {
            host: hosts.get(index).cloned(),
            address,
            port,
        };
        let named = match (hosts.get(index), addresses.get(index)) {
            (Some(Host::Tcp(name)), None) => name,
            (_, address) => {
                places.push(place(address.copied()));
                continue;
            }
        };
        match timeout_at(until, tokio::net::lookup_host((named.as_str(), port))).await {
            Ok(Ok(found)) => {
                let mut found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
                if shuffled {
                    fastrand::shuffle(&mut found);
                }
                places.extend(found.into_iter().map(|address| place(Some(address))));
            }
            Ok(Err(_)) | Err(_) => places.push(place(None)),
        }
    }
    Ok(places)
}

/// One error for all of them. Of several hosts each is reported, since the last one alone may not be the one to fix.
fn report(target: &Target, mut failures: Vec<(&ServerAddr, StoreError)>) -> StoreError {
    let to = target.shown();
    if failures.len() == 1 {
        return failures.remove(0).1;
    }
    let refused = failures
        .iter()
        .any(|(_, error)| matches!(error, StoreError::Auth { .. }));
    let each: Vec<String> = failures
        .iter()
        .map(|(place, error)| format!("{}: {}", place.shown(), reason(error)))
        .collect();
    let source: BoxError = if each.is_empty() {
        "no host to connect to".into()
    } else {
        each.join("; ").into()
    };
    let barred = failures.iter().find_map(|(_, error)| match error {
        // Of several, one that answers says more.
        StoreError::Barred { by, .. } => Some(*by).filter(|by| *by != Barrier::Socket),
        _ => None,
    });
    match barred {
        _ if refused => StoreError::Auth { to, source },
        Some(by) => StoreError::Barred { to, by, source },
        None => StoreError::Connect { to, source },
    }
}

/// What the driver said, without the address that comes before it.
fn reason(error: &StoreError) -> String {
    std::error::Error::source(error).map_or_else(String::new, in_full)
}

fn is_read_only(error: &StoreError) -> bool {
    matches!(error, StoreError::Barred { by: Barrier::Mode, .. })
}

/// The error of an address that leads nowhere.
pub(super) fn nowhere(source: BoxError) -> StoreError {
    StoreError::Connect {
        to: "the database".to_owned(),
        source,
    }
}
