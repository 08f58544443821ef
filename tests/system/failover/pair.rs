//! A primary and its streaming standby with the audited job table, and the real binary with both of them in its address.

use crate::{
    stress::judge,
    support::{
        Session,
        beatwarden::{Beatwarden, run},
        eventually,
        postgres::{Cluster, connect, free_port, replication::REWINDABLE},
    },
};
use std::time::Duration;
use tokio_postgres::Client;

/// For whatever should happen soon; nothing is timed.
pub const SOON: Duration = Duration::from_secs(40);

/// A primary, its standby, and the name of their database.
pub struct Pair {
    pub primary: Cluster,
    pub standby: Cluster,
    database: String,
    folder: tempfile::TempDir,
}

/// The configuration of a watch, with every deadline in seconds. By the key alone, so that a busy machine stretches no
/// interval; the fuse is tested elsewhere, and would hold here.
pub fn configuration(url: &str, action: &str) -> String {
    format!(
        "[[watch]]\nname = \"runs\"\ndatabase = \"{url}\"\npreset = \"meltano\"\npoll_interval = \"200ms\"\n\
         poll_timeout = \"2s\"\ninit_deadline = \"2s\"\ndiscovery = \"key_tail\"\nheartbeat_timeout = \"5s\"\n\
         [watch.repair]\nmissed_first = \"{action}\"\nfuse_min_jobs = 1000000\n"
    )
}

/// Makes the audited table, the role of the watch with the rights that it asks for, and the ledger.
pub async fn furnish(owner: &str, action: &str, folder: &std::path::Path) {
    let client = connect(owner).await;
    client.run(judge::TABLES).await;
    let file = folder.join("owner.toml");
    std::fs::write(&file, configuration(owner, action)).unwrap();
    let (status, grants, log) = run(&["grants", "--config", file.to_str().unwrap(), "--role", "dog"]);
    assert!(status.success(), "{log}");
    client.run(&format!("CREATE ROLE dog LOGIN; {grants}")).await;
    client.run(judge::AUDIT).await;
}

impl Pair {
    pub async fn new(action: &str) -> Self {
        let primary = Cluster::start_with(REWINDABLE);
        let owner = primary.database().await.url;
        let folder = tempfile::tempdir().unwrap();
        furnish(&owner, action, folder.path()).await;
        let standby = primary.streaming_standby();
        primary.replayed_by(&standby).await;
        Self {
            primary,
            standby,
            database: owner.rsplit('/').next().unwrap().to_owned(),
            folder,
        }
    }

    /// A session of the writer's.
    pub async fn writer(&self, on: &Cluster) -> Client {
        connect(&self.owner(on)).await
    }

    /// The database's address on one of them, as its owner.
    pub fn owner(&self, on: &Cluster) -> String {
        on.url("postgres", &self.database)
    }

    /// The real binary, with these ports in this order in its address.
    pub async fn watch(&self, action: &str, ports: &[u16]) -> Beatwarden {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let url = format!("postgres://dog@{}/{}", hosts.join(","), self.database);
        let file = self.folder.path().join("dog.toml");
        std::fs::write(&file, configuration(&url, action)).unwrap();
        Beatwarden::watch(&["--config", file.to_str().unwrap()]).await
    }

    /// The same with both of them, the primary first.
    pub async fn watch_both(&self, action: &str) -> Beatwarden {
        self.watch(action, &[self.primary.port(), self.standby.port()]).await
    }
}

/// A host that refuses every connection.
pub fn refusing() -> u16 {
    free_port()
}

/// A job that was started just now, and has not beaten yet.
pub async fn begin(client: &Client) -> i32 {
    let start = "INSERT INTO runs (job_name, state, started_at, payload)
                 VALUES ('job', 'RUNNING', clock_timestamp() AT TIME ZONE 'UTC', '{}') RETURNING id";
    client.query_one(start, &[]).await.unwrap().get(0)
}

pub async fn beat(client: &Client, job: i32) {
    let beat = "UPDATE runs SET last_heartbeat_at = clock_timestamp() AT TIME ZONE 'UTC' WHERE id = $1";
    client.execute(beat, &[&job]).await.unwrap();
}

/// Begins a transaction that holds the jobs' rows: a repair passes them by.
pub async fn hold(client: &Client, jobs: &[i32]) {
    client.run("BEGIN").await;
    let lock = "SELECT id FROM runs WHERE id = ANY ($1) FOR UPDATE";
    assert_eq!(client.query(lock, &[&jobs]).await.unwrap().len(), jobs.len());
}

/// Waits until the ledger has an entry for the job; returns when the repair was made by the server's clock, in seconds.
pub async fn repaired(client: &Client, job: i32, dog: &Beatwarden) -> f64 {
    let entry =
        "SELECT extract(epoch FROM repaired_at)::float8 FROM beatwarden_repairs WHERE job_id = $1::integer::text";
    eventually(
        format_args!("job {job} is repaired, log:\n{}", dog.whole_log()),
        SOON,
        async || Some(client.query_opt(entry, &[&job]).await.unwrap()?.get(0)),
    )
    .await
}

/// How often the ledger has the job.
pub async fn entries(client: &Client, job: i32) -> i64 {
    let count = "SELECT count(*) FROM beatwarden_repairs WHERE job_id = $1::integer::text";
    client.query_one(count, &[&job]).await.unwrap().get(0)
}

/// The server's clock, in seconds.
pub async fn clock(client: &Client) -> f64 {
    let now = "SELECT extract(epoch FROM clock_timestamp())::float8";
    client.query_one(now, &[]).await.unwrap().get(0)
}

/// One word about a job.
pub async fn state(client: &Client, job: i32) -> Option<String> {
    let row = client.query_opt("SELECT state FROM runs WHERE id = $1", &[&job]).await;
    row.unwrap().map(|row| row.get(0))
}
