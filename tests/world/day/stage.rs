//! A real server with three job tables and real replicas of Beatwarden, and what they export in each state of a day.

use crate::support::{
    Session,
    beatwarden::{Beatwarden, run},
    eventually, http,
    postgres::{Cluster, TestDatabase, connect},
};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio_postgres::Client;

const SOON: Duration = Duration::from_secs(60);
/// Each watch, its action, and the table `<name>_runs`.
pub const WATCHES: [(&str, &str); 3] = [("nightly", "backfill"), ("observed", "observe"), ("orders", "fail")];

/// A series of one replica, scraped twice within a second.
pub struct Sample {
    /// Name and labels, as exported.
    pub series: String,
    /// Its values and the times of the scrapes in Unix seconds.
    pub scrapes: [(f64, f64); 2],
}

/// What Prometheus finds from a minute of the day on: the targets that its service discovery knows; `None` is down.
pub struct Frame {
    pub minute: u32,
    pub targets: BTreeMap<&'static str, Option<Vec<Sample>>>,
}

pub struct Stage {
    pub cluster: Cluster,
    database: TestDatabase,
    folder: tempfile::TempDir,
    replicas: BTreeMap<&'static str, Option<Beatwarden>>,
    pub frames: Vec<Frame>,
    is_database_away: bool,
}

/// One job of each table beats through the whole day, and those of a night until they end, except while the server is away.
async fn beat(url: String) {
    let script: String = WATCHES
        .iter()
        .map(|(name, _)| {
            format!(
                "UPDATE {name}_runs SET last_heartbeat_at = now() AT TIME ZONE 'UTC'
                 WHERE id = 1 OR job_name LIKE 'job-%' AND state = 'RUNNING';"
            )
        })
        .collect();
    loop {
        if let Ok((client, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
            tokio::spawn(connection);
            while client.batch_execute(&script).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

impl Stage {
    pub async fn set() -> Self {
        let cluster = Cluster::start_own();
        let database = cluster.database().await;
        let client = database.client().await;
        let mut configuration = String::new();
        let database_name = database.url.rsplit('/').next().unwrap();
        let url = cluster.url("dog", database_name);
        client
            .run("CREATE ROLE dog LOGIN; GRANT ALL ON SCHEMA public TO dog")
            .await;
        for (name, action) in WATCHES {
            client
                .run(&format!(
                    "CREATE TABLE {name}_runs (id serial PRIMARY KEY, job_name varchar, state varchar, started_at timestamp,
                        ended_at timestamp, payload varchar, payload_flags integer, run_id uuid, trigger varchar,
                        last_heartbeat_at timestamp);
                     GRANT SELECT, UPDATE ON {name}_runs TO dog;
                     INSERT INTO {name}_runs (job_name, state, started_at, last_heartbeat_at)
                     SELECT 'alive', 'RUNNING', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'"
                ))
                .await;
            configuration += &format!(
                "[[watch]]\nname = \"{name}\"\ndatabase = \"{url}\"\npreset = \"meltano\"\npoll_interval = \"200ms\"\n\
                 init_deadline = \"2s\"\nheartbeat_timeout = \"5s\"\n[watch.table]\nname = \"{name}_runs\"\n\
                 [watch.repair]\nmissed_first = \"{action}\"\n"
            );
        }
        // A job that is hardly younger than its server is not failed at once.
        client.run("SELECT pg_sleep(5)").await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("beatwarden.toml"), configuration).unwrap();
        tokio::spawn(beat(database.url.clone()));
        Self {
            cluster,
            database,
            folder,
            replicas: BTreeMap::new(),
            frames: Vec::new(),
            is_database_away: false,
        }
    }

    fn configuration(&self) -> String {
        self.folder.path().join("beatwarden.toml").display().to_string()
    }

    pub async fn client(&self) -> Client {
        connect(&self.database.url).await
    }

    pub async fn sql(&self, statement: &str) {
        self.client().await.run(statement).await;
    }

    /// A job that never sent a heartbeat and started so many seconds ago.
    pub async fn dead(&self, table: &str, job_name: &str, age: u32) {
        self.sql(&format!(
            "INSERT INTO {table}_runs (job_name, state, started_at)
             VALUES ('{job_name}', 'RUNNING', now() AT TIME ZONE 'UTC' - interval '{age} s')"
        ))
        .await;
    }

    /// The rows of a job name, or of a pattern of names, are ended, as its writer does at the next start.
    pub async fn end(&self, table: &str, job_name: &str) {
        self.sql(&format!(
            "UPDATE {table}_runs SET state = 'FAIL', ended_at = now() AT TIME ZONE 'UTC' WHERE job_name LIKE '{job_name}'"
        ))
        .await;
    }

    /// The newest repair of a living job is acknowledged, as a person does.
    pub async fn acknowledge(&self, watch: &str) {
        let statement = "SELECT repair_id::text FROM beatwarden_repairs WHERE watch = $1 AND outcome = 'false_repair'";
        let row = self.client().await.query_one(statement, &[&watch]).await.unwrap();
        let id: String = row.get(0);
        let (status, said, errors) = run(&["ack", &id, "--config", &self.configuration(), "--watch", watch]);
        assert!(status.success(), "{said}{errors}");
    }

    pub async fn start(&mut self, instance: &'static str) {
        let replica = Beatwarden::watch(&["--config", &self.configuration()]).await;
        self.replicas.insert(instance, Some(replica));
        for (name, _) in WATCHES {
            self.all_see(&format!("up{{watch=\"{name}\"}}"), 1.0).await;
            let whole = format!("last_full_look_timestamp_seconds{{watch=\"{name}\"}}");
            self.all_have(&whole).await;
        }
    }

    /// It dies, and Prometheus still expects it.
    pub fn kill(&mut self, instance: &'static str) {
        let replica = self.replicas.insert(instance, None).flatten();
        replica.expect("a living replica").kill();
    }

    /// It ends, and Prometheus no longer expects it.
    pub fn remove(&mut self, instance: &'static str) {
        let replica = self.replicas.remove(instance).flatten();
        assert!(replica.expect("a living replica").stop().success());
    }

    fn living(&self) -> impl Iterator<Item = &Beatwarden> {
        self.replicas.values().flatten()
    }

    /// Waits until every replica exports it.
    pub async fn all_see(&self, series: &str, value: f64) {
        for replica in self.living() {
            replica.metric_becomes(series, value, SOON).await;
        }
    }

    /// Waits until every replica exports it, with whatever value.
    async fn all_have(&self, series: &str) {
        eventually(series, SOON, async || {
            self.living()
                .all(|replica| replica.metric(series).is_some())
                .then_some(())
        })
        .await;
    }

    /// Waits until one replica has counted it.
    pub async fn one_counts(&self, series: &str) {
        eventually(series, SOON, async || {
            self.living()
                .any(|replica| replica.metric(series) > Some(0.0))
                .then_some(())
        })
        .await;
    }

    pub fn stop_database(&mut self) {
        self.cluster.stop();
        self.is_database_away = true;
    }

    pub fn start_database(&mut self) {
        self.cluster.start();
        self.is_database_away = false;
    }

    /// What is exported now is what Prometheus finds from this minute on.
    pub async fn record(&mut self, minute: u32) {
        let up = if self.is_database_away { "0" } else { "1" };
        // A pass that is late because the machine is busy is no part of the day.
        let is_usual = |text: &str| {
            let values = text.lines().filter_map(|line| line.strip_prefix("beatwarden_up{"));
            let usual = values.filter(|value| value.ends_with(&format!("}} {up}")));
            usual.count() == WATCHES.len()
        };
        let scraped = eventually(
            "a moment in which every watch is as it is all the time",
            SOON,
            async || {
                let first: Vec<(f64, String)> = self.living().map(scrape).collect();
                // Long enough for two passes: what moves with the time is what differs.
                tokio::time::sleep(Duration::from_millis(500)).await;
                let second: Vec<(f64, String)> = self.living().map(scrape).collect();
                let are_usual = first.iter().chain(&second).all(|(_, text)| is_usual(text));
                are_usual.then(|| first.into_iter().zip(second))
            },
        );
        let mut scraped = scraped.await;
        let targets = self.replicas.iter().map(|(instance, replica)| {
            let samples = replica
                .as_ref()
                .map(|_| samples(scraped.next().expect("as many as live")));
            (*instance, samples)
        });
        let targets = targets.collect();
        self.frames.push(Frame { minute, targets });
    }
}

fn scrape(replica: &Beatwarden) -> (f64, String) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    (now, http::get(replica.address, "/metrics").text())
}

/// The series of two scrapes of one replica; what is in one of them only was in between two states.
fn samples(((first_at, first), (second_at, second)): ((f64, String), (f64, String))) -> Vec<Sample> {
    let values = |text: &str| -> BTreeMap<String, f64> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').expect("a series and its value"))
            .map(|(series, value)| (series.to_owned(), value.parse().expect("a number")))
            .collect()
    };
    let later = values(&second);
    let both = values(&first).into_iter();
    both.filter_map(|(series, value)| {
        let scrapes = [(value, first_at), (*later.get(&series)?, second_at)];
        Some(Sample { series, scrapes })
    })
    .collect()
}
