//! Writers that live through failovers: each job has a token of its own, since a number that was lost with the old primary is
//! given again by the new one. Half of the jobs die with their session, as Meltano's do; the others continue where they were.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio_postgres::{Client, Error, NoTls};

/// As in the configuration of the watch, in seconds.
const DEADLINE: f64 = 2.0;

/// What the writers share.
#[derive(Default)]
pub struct Jobs {
    pub url: String,
    stopped: AtomicBool,
    /// The tokens of the jobs whose start was acknowledged.
    started: Mutex<BTreeSet<uuid::Uuid>>,
    dead: AtomicU32,
    around: AtomicU32,
    carried_over: AtomicU32,
    finished: AtomicU32,
}

impl Jobs {
    pub fn new(url: &str) -> Arc<Self> {
        Arc::new(Self {
            url: url.to_owned(),
            ..Self::default()
        })
    }

    /// No new job is begun.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub fn started(&self) -> Vec<uuid::Uuid> {
        self.started.lock().unwrap().iter().copied().collect()
    }

    pub fn summary(&self) -> String {
        format!(
            "{} starts acknowledged, {} of them dead before their first heartbeat, {} with their first heartbeat within a \
             fifth of the deadline, {} continued after their session had broken, {} finished",
            self.started.lock().unwrap().len(),
            self.dead.load(Ordering::Relaxed),
            self.around.load(Ordering::Relaxed),
            self.carried_over.load(Ordering::Relaxed),
            self.finished.load(Ordering::Relaxed),
        )
    }

    /// A session with the server that takes writes.
    async fn connect(&self) -> Client {
        loop {
            let connecting = tokio_postgres::connect(&self.url, NoTls);
            if let Ok(Ok((client, connection))) = tokio::time::timeout(Duration::from_secs(3), connecting).await {
                tokio::spawn(connection);
                return client;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Works until it is stopped.
    pub async fn work(self: Arc<Self>) {
        let mut client = self.connect().await;
        while !self.stopped.load(Ordering::Relaxed) {
            let steady = fastrand::bool();
            if self.job(&mut client, steady).await.is_err() {
                client = self.connect().await;
            }
        }
    }

    async fn job(&self, client: &mut Client, steady: bool) -> Result<(), Error> {
        let token = uuid::Uuid::from_u128(fastrand::u128(..));
        let start = "INSERT INTO runs (job_name, state, started_at, payload, run_id)
                     VALUES ('job', 'RUNNING', clock_timestamp() AT TIME ZONE 'UTC', '{}', $1)";
        client.execute(start, &[&token]).await?;
        self.started.lock().unwrap().insert(token);
        let first = match fastrand::u32(..5) {
            0 => {
                self.dead.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(fastrand::u64(..500))).await;
                return Ok(());
            }
            1 | 2 => {
                self.around.fetch_add(1, Ordering::Relaxed);
                DEADLINE * (0.8 + 0.4 * fastrand::f64())
            }
            // One within milliseconds of the start would be taken for a heartbeat that is written with it.
            _ => DEADLINE * (0.05 + 0.65 * fastrand::f64()),
        };
        tokio::time::sleep(Duration::from_secs_f64(first)).await;
        for _ in 0..fastrand::u32(1..6) {
            let beat = "UPDATE runs SET last_heartbeat_at = clock_timestamp() AT TIME ZONE 'UTC' WHERE run_id = $1";
            self.say(client, steady, beat, token).await?;
            tokio::time::sleep(Duration::from_millis(fastrand::u64(100..400))).await;
        }
        let end =
            "UPDATE runs SET state = 'SUCCESS', ended_at = clock_timestamp() AT TIME ZONE 'UTC' WHERE run_id = $1";
        self.say(client, steady, end, token).await?;
        self.finished.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Changes a job; a steady one asks the next server where its session breaks.
    async fn say(&self, client: &mut Client, steady: bool, statement: &str, token: uuid::Uuid) -> Result<(), Error> {
        loop {
            match client.execute(statement, &[&token]).await {
                Err(_) if steady => {
                    self.carried_over.fetch_add(1, Ordering::Relaxed);
                    *client = self.connect().await;
                }
                result => return result.map(|_| ()),
            }
        }
    }
}
