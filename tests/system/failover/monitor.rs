//! Reads every node all the time, and writes down when each timeline began: what the judge knows of promotions.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio_postgres::{Client, NoTls};

/// What a node said last: the timeline on which it takes writes, or nothing while it is away or a standby.
#[derive(Default)]
struct Seen {
    primaries: BTreeMap<usize, u32>,
    promotions: BTreeMap<u32, Promotion>,
}

/// The beginning of a timeline.
#[derive(Clone, Copy, Debug)]
pub struct Promotion {
    pub node: usize,
    /// The server was no primary yet at this time (seconds since the epoch, by the clock that all nodes share).
    pub not_before: f64,
    /// When it was first seen as a primary.
    pub seen: Instant,
}

#[derive(Clone, Default)]
pub struct Monitor(Arc<Mutex<Seen>>);

impl Monitor {
    /// Begins to look at the nodes with these addresses.
    pub fn start(urls: &[String]) -> Self {
        let this = Self::default();
        for (node, url) in urls.iter().enumerate() {
            tokio::spawn(look(this.clone(), node, url.clone()));
        }
        this
    }

    /// The promotion to a timeline after the given one.
    pub fn after(&self, timeline: u32) -> Option<(u32, Promotion)> {
        let seen = self.0.lock().unwrap();
        let next = seen.promotions.range(timeline + 1..).next_back();
        next.map(|(timeline, promotion)| (*timeline, *promotion))
    }

    /// The primary on the newest timeline.
    pub fn leader(&self) -> Option<(usize, u32)> {
        let seen = self.0.lock().unwrap();
        seen.primaries
            .iter()
            .map(|(node, timeline)| (*node, *timeline))
            .max_by_key(|(_, timeline)| *timeline)
    }

    pub fn promotions(&self) -> BTreeMap<u32, Promotion> {
        self.0.lock().unwrap().promotions.clone()
    }

    fn take(&self, node: usize, timeline: Option<u32>, not_before: f64) {
        let mut seen = self.0.lock().unwrap();
        let Some(timeline) = timeline else {
            seen.primaries.remove(&node);
            return;
        };
        seen.primaries.insert(node, timeline);
        let promotion = Promotion {
            node,
            not_before,
            seen: Instant::now(),
        };
        seen.promotions.entry(timeline).or_insert(promotion);
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

async fn look(monitor: Monitor, node: usize, url: String) {
    let mut client: Option<Client> = None;
    // Before the first answer it may have been a primary all along.
    let mut not_before = 0.0;
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let asked = now();
        if client.is_none() {
            let connected = tokio::time::timeout(Duration::from_secs(2), tokio_postgres::connect(&url, NoTls)).await;
            client = connected.ok().and_then(Result::ok).map(|(client, connection)| {
                tokio::spawn(connection);
                client
            });
        }
        // Of a server that was killed a process may be left that waits for the others for ever.
        let timeline = match &client {
            Some(client) => tokio::time::timeout(Duration::from_secs(2), timeline(client))
                .await
                .ok(),
            None => Some(Ok(None)),
        };
        let timeline = timeline.and_then(Result::ok);
        if timeline.is_none() {
            client = None;
        }
        let timeline = timeline.flatten();
        monitor.take(node, timeline, not_before);
        if timeline.is_none() {
            not_before = asked;
        }
    }
}

/// The timeline, if the server takes writes.
async fn timeline(client: &Client) -> Result<Option<u32>, tokio_postgres::Error> {
    let ask = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END";
    let name: Option<String> = client.query_one(ask, &[]).await?.get(0);
    Ok(name.and_then(|name| u32::from_str_radix(&name, 16).ok()))
}
