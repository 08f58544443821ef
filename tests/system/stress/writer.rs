//! Writers that keep the job table as Meltano does: start, first heartbeat around the deadline or never, heartbeats, end.

use super::{DEADLINE, kind::Kind};
use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio_postgres::{Client, NoTls};

/// Where the table is, and whether there is still work.
pub struct Place {
    url: String,
    kind: Kind,
    stopped: AtomicBool,
}

impl Place {
    pub fn new(url: &str, kind: Kind) -> Self {
        Self {
            url: url.to_owned(),
            kind,
            stopped: AtomicBool::new(false),
        }
    }

    /// No new job is begun.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// A connection, as soon as there is a server. An absent standby is no business of the writers'.
    async fn connect(&self) -> Client {
        loop {
            if let Ok((client, connection)) = tokio_postgres::connect(&self.url, NoTls).await {
                tokio::spawn(connection);
                if client.batch_execute("SET synchronous_commit = local").await.is_ok() {
                    return client;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// What the writers did.
#[derive(Default)]
pub struct Jobs {
    started: AtomicU32,
    around: AtomicU32,
    pub finished: AtomicU32,
    pub deleted: AtomicU32,
    dead: Mutex<BTreeSet<i32>>,
}

/// What becomes of a job.
pub struct Course {
    /// The time to its first heartbeat; `None`: its process dies before.
    pub first: Option<Duration>,
    pub beats: u32,
    /// How long its first heartbeat takes to be committed, where it is a transaction of its own in another table.
    pub takes: Duration,
    /// Whether it deletes its row in the end.
    pub deletes: bool,
}

impl Jobs {
    /// A job was started: draws what becomes of it.
    pub fn draw(&self, id: i32, kind: Kind) -> Course {
        self.started.fetch_add(1, Ordering::Relaxed);
        let deadline = DEADLINE.as_secs_f64();
        let first = match fastrand::u32(..5) {
            0 => {
                self.dead.lock().unwrap().insert(id);
                None
            }
            1 | 2 => {
                self.around.fetch_add(1, Ordering::Relaxed);
                // In another table the statement may be long before its commit, and a fail in between: some of them come after one.
                let (from, over) = match kind {
                    Kind::Elsewhere => (0.8, 0.8),
                    Kind::Meltano | Kind::Function => (0.8, 0.4),
                };
                Some(deadline * (from + over * fastrand::f64()))
            }
            // One within milliseconds of the start would be taken for a heartbeat that is written with it.
            _ => Some(deadline * (0.05 + 0.65 * fastrand::f64())),
        };
        Course {
            first: first.map(Duration::from_secs_f64),
            beats: fastrand::u32(1..6),
            takes: Duration::from_millis(if fastrand::bool() { 0 } else { fastrand::u64(1..800) }),
            deletes: fastrand::u32(..8) == 0,
        }
    }

    /// The jobs whose writer died before the first heartbeat.
    pub fn dead(&self) -> Vec<i32> {
        self.dead.lock().unwrap().iter().copied().collect()
    }

    pub fn summary(&self) -> String {
        format!(
            "{} jobs started, {} of them dead before their first heartbeat, {} with their first heartbeat around the \
             deadline, {} finished, {} deleted",
            self.started.load(Ordering::Relaxed),
            self.dead.lock().unwrap().len(),
            self.around.load(Ordering::Relaxed),
            self.finished.load(Ordering::Relaxed),
            self.deleted.load(Ordering::Relaxed),
        )
    }
}

/// Works until it is stopped. An error ends the job as it stands, as it would end Meltano.
pub async fn work(place: std::sync::Arc<Place>, jobs: std::sync::Arc<Jobs>) {
    while !place.stopped.load(Ordering::Relaxed) {
        let mut client = place.connect().await;
        while !place.stopped.load(Ordering::Relaxed) {
            if one(&mut client, &jobs, place.kind).await.is_err() {
                break;
            }
        }
    }
}

async fn one(client: &mut Client, jobs: &Jobs, kind: Kind) -> Result<(), tokio_postgres::Error> {
    let start = "INSERT INTO runs (job_name, state, started_at, payload)
                 VALUES ('job', 'RUNNING', clock_timestamp() AT TIME ZONE 'UTC', '{}') RETURNING id";
    let id: i32 = client.query_one(start, &[]).await?.get(0);
    let course = jobs.draw(id, kind);
    let Some(first) = course.first else {
        // The process is gone, and another one begins with another job.
        pause(0..500).await;
        return Ok(());
    };
    tokio::time::sleep(first).await;
    if kind == Kind::Elsewhere {
        return beat_elsewhere(client, jobs, id, &course).await;
    }
    for _ in 0..course.beats {
        let beat = "UPDATE runs SET last_heartbeat_at = clock_timestamp() AT TIME ZONE 'UTC' WHERE id = $1";
        client.execute(beat, &[&id]).await?;
        pause(100..400).await;
    }
    end(client, jobs, id).await
}

async fn end(client: &Client, jobs: &Jobs, id: i32) -> Result<(), tokio_postgres::Error> {
    let end = "UPDATE runs SET state = 'SUCCESS', ended_at = clock_timestamp() AT TIME ZONE 'UTC' WHERE id = $1";
    client.execute(end, &[&id]).await?;
    jobs.finished.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Beats by rows of the other table, the first of which may be uncommitted for a while, and ends or deletes the job.
async fn beat_elsewhere(
    client: &mut Client,
    jobs: &Jobs,
    id: i32,
    course: &Course,
) -> Result<(), tokio_postgres::Error> {
    let first = client.transaction().await?;
    let insert = "INSERT INTO beats VALUES ($1, clock_timestamp() AT TIME ZONE 'UTC')";
    first.execute(insert, &[&id]).await?;
    tokio::time::sleep(course.takes).await;
    first.commit().await?;
    for _ in 0..course.beats {
        pause(100..400).await;
        let beat = "UPDATE beats SET at = clock_timestamp() AT TIME ZONE 'UTC' WHERE job = $1";
        client.execute(beat, &[&id]).await?;
    }
    if !course.deletes {
        return end(client, jobs, id).await;
    }
    client.execute("DELETE FROM runs WHERE id = $1", &[&id]).await?;
    jobs.deleted.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

async fn pause(milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(milliseconds))).await;
}
