//! One watch on a database of its own behind a proxy that can fall silent, with a job to repair and a writer.

use super::conversation::{Conversation, Silence, Step};
use crate::support::{
    Session,
    beatwarden::{Beatwarden, failures, of_watch},
    eventually, http,
    postgres::{self, Cluster, TestDatabase},
    runs::TABLE,
    written,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

const BY_STATE: &str = "CREATE INDEX by_state ON runs (state)";
/// A dead job between one that beats and one that has ended.
const JOBS: &str = "INSERT INTO runs (id, job_name, state, started_at, last_heartbeat_at) VALUES
    (1, 'alive', 'RUNNING', now() AT TIME ZONE 'UTC' - interval '10 min', now() AT TIME ZONE 'UTC'),
    (2, 'dead', 'RUNNING', now() AT TIME ZONE 'UTC' - interval '10 min', NULL),
    (3, 'ended', 'SUCCESS', now() AT TIME ZONE 'UTC' - interval '20 min', now() AT TIME ZONE 'UTC' - interval '15 min')";
/// The dead job comes to life once it was repaired, so that there is something to note about it.
const LIVES_AFTER_BACKFILL: &str = "UPDATE runs SET last_heartbeat_at = now() AT TIME ZONE 'UTC'
    WHERE id = 2 AND last_heartbeat_at = started_at
      AND EXISTS (SELECT FROM beatwarden_repairs WHERE repaired_at < now() - interval '500 ms')";
/// After a fail every beat is one of a living job. And the newest row vanishes, so that the greatest key is asked for.
const LIVES_AFTER_FAIL: &str =
    "DELETE FROM runs WHERE id = 1000000 AND EXISTS (SELECT FROM beatwarden_repairs WHERE job_id = '2');
    UPDATE runs SET last_heartbeat_at = now() AT TIME ZONE 'UTC'
    WHERE id = 2 AND last_heartbeat_at IS NULL AND state = 'FAIL'
      AND EXISTS (SELECT FROM beatwarden_repairs WHERE job_id = '2' AND repaired_at < now() - interval '500 ms')";

/// Heartbeats in a table of their own, of the living job and of so many others beside it that they are read as one range of keys.
const HEARTBEATS: &str = "INSERT INTO runs (id, job_name, state, started_at)
        SELECT id, 'alive', 'RUNNING', now() AT TIME ZONE 'UTC' - interval '10 min' FROM generate_series(4, 700) AS id;
    CREATE TABLE beats (job_id integer PRIMARY KEY REFERENCES runs, at timestamp);
    INSERT INTO beats SELECT id, now() AT TIME ZONE 'UTC' FROM runs WHERE state = 'RUNNING' AND id <> 2";
/// The first heartbeat of the failed job shows in the other table alone.
const LIVES_ELSEWHERE: &str = "INSERT INTO beats SELECT 2, now() AT TIME ZONE 'UTC'
    WHERE NOT EXISTS (SELECT FROM beats WHERE job_id = 2)
      AND EXISTS (SELECT FROM beatwarden_repairs WHERE job_id = '2' AND repaired_at < now() - interval '500 ms')";
/// A state of a type that is a domain: whether it takes the one of a failed job is asked with the catalog.
const DOMAIN: &str = "CREATE DOMAIN outcome AS varchar CHECK (VALUE <> ''); ALTER TABLE runs ALTER state TYPE outcome";
/// The application's own function, which ends a job. No other job runs for too long.
const FUNCTION: &str = "UPDATE runs SET state = 'SUCCESS' WHERE id = 1;
    CREATE FUNCTION end_run(run integer) RETURNS void LANGUAGE sql AS
        'UPDATE public.runs SET state = ''FAIL'', ended_at = pg_catalog.now() AT TIME ZONE ''UTC'' WHERE id = run'";
/// A job without a heartbeat lives if it ends well after it was failed.
const SUCCEEDS_AFTER_FAIL: &str = "UPDATE runs SET state = 'SUCCESS' WHERE id = 2 AND state = 'FAIL'
      AND EXISTS (SELECT FROM beatwarden_repairs WHERE job_id = '2' AND repaired_at < now() - interval '500 ms')";

/// The longest wait for anything that has to come: many times what it takes, for the sake of busy machines.
const LONG: Duration = Duration::from_secs(120);
/// The longest wait for a step to be said.
const TURN: Duration = Duration::from_secs(20);

/// The ledger of an older layout, with entries.
const OLDER_LEDGER: &str = include_str!("../../stores/contract/ledger_1.postgres.sql");

/// What happens to the job, and by which way the watch finds it: together they say all that a watch can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plot {
    /// Running rows by their state, a backfill, a new ledger.
    State,
    /// The tail of the key, a fail, a ledger of an older layout.
    KeyTail,
    /// A table that isn't there yet.
    NoTable,
    /// Rows whose key doesn't show what is new: those in unknown states are looked for by their state. A ledger without an
    /// entry.
    NotBornRunning,
    /// Heartbeats in another table, by the tail of the key, and a fail, which takes two steps then.
    Elsewhere,
    /// Jobs without a heartbeat, which a function of the application ends.
    Function,
}

impl Plot {
    pub const ALL: [Self; 6] = [
        Self::State,
        Self::KeyTail,
        Self::NoTable,
        Self::NotBornRunning,
        Self::Elsewhere,
        Self::Function,
    ];

    /// How the database is addressed: one of them as a user who needs a password, over a line that may be encrypted, so
    /// that this is part of what is said. The others not, since then a cancel request can be distinguished from a connection.
    const fn address(self) -> (&'static str, &'static str) {
        match self {
            Self::NoTable => ("dog:bone", "sslmode=prefer"),
            _ => ("postgres", "sslmode=disable"),
        }
    }

    /// Connections at once: two, and one that may be a cancel request.
    const fn most_connections(self) -> usize {
        match self {
            Self::NoTable => 3,
            _ => 2,
        }
    }

    const fn comes_to_life(self) -> &'static str {
        match self {
            Self::State | Self::NoTable | Self::NotBornRunning => LIVES_AFTER_BACKFILL,
            Self::KeyTail => LIVES_AFTER_FAIL,
            Self::Elsewhere => LIVES_ELSEWHERE,
            Self::Function => SUCCEEDS_AFTER_FAIL,
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::State | Self::NoTable | Self::NotBornRunning => "backfill",
            Self::KeyTail | Self::Elsewhere | Self::Function => "fail",
        }
    }

    /// What brings the job to its repair.
    const fn reason(self) -> &'static str {
        match self {
            Self::Function => "overrun",
            _ => "missed_first",
        }
    }

    /// What the configuration says beyond the preset: of the watch, of the table and of its repairs.
    const fn configured(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Elsewhere => (
                "",
                "last_heartbeat_at = { table = \"beats\", key = \"job_id\", column = \"at\" }\n",
                "missed_first = \"fail\"\n",
            ),
            Self::Function => (
                "max_runtime = \"1s\"\n",
                "last_heartbeat_at = \"\"\n",
                "missed_first = \"observe\"\noverrun = \"fail\"\n\
                 fail = { call = { function = \"public.end_run\", args = [\"{id}\"] } }\n",
            ),
            Self::KeyTail => ("", "", "missed_first = \"fail\"\n"),
            Self::State | Self::NoTable | Self::NotBornRunning => ("", "", "missed_first = \"backfill\"\n"),
        }
    }
}

/// What was seen of one silence.
pub struct Measured {
    pub until_failed: Duration,
    pub until_down: Duration,
    pub until_up: Duration,
    pub http: Vec<Duration>,
    pub most_connections: usize,
    pub said: BTreeSet<String>,
    pub in_vain: BTreeSet<String>,
}

/// The server that all scenes share.
pub struct Stage {
    cluster: Cluster,
}

impl Stage {
    pub async fn build() -> Self {
        let cluster = Cluster::start_with("max_connections = 200\n");
        let admin = postgres::connect(&cluster.url("postgres", "postgres")).await;
        let role = "CREATE ROLE dog SUPERUSER LOGIN PASSWORD 'bone'";
        admin.run(role).await;
        cluster.require_password("dog").await;
        Self { cluster }
    }
}

pub struct Scene {
    plot: Plot,
    proxy: Conversation,
    client: Client,
    dog: Beatwarden,
    writer: JoinHandle<()>,
    _database: TestDatabase,
    _folder: tempfile::TempDir,
}

impl Scene {
    pub async fn set(stage: &Stage, plot: Plot, silences: Vec<Silence>) -> Self {
        let database = stage.cluster.database().await;
        let client = database.client().await;
        // A poll by an index is never stretched, however slow this machine is at the moment.
        let by_index =
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET enable_seqscan = off', current_database()); END $$";
        client.run(by_index).await;
        if plot != Plot::NoTable {
            for statements in [TABLE, BY_STATE, JOBS] {
                client.run(statements).await;
            }
        }
        if plot == Plot::KeyTail {
            // Known keys far below the newest are asked for one by one.
            let far = "UPDATE runs SET id = 1000000 WHERE id = 3";
            client.run(far).await;
            client.run(DOMAIN).await;
            client.run(OLDER_LEDGER).await;
        }
        if plot == Plot::NotBornRunning {
            client.run(OLDER_LEDGER).await;
            client.run("DELETE FROM beatwarden_repairs").await;
        }
        match plot {
            Plot::Elsewhere => client.run(HEARTBEATS).await,
            Plot::Function => client.run(FUNCTION).await,
            _ => {}
        }
        let proxy = Conversation::start(stage.cluster.port(), silences).await;
        let (folder, file) = written("beatwarden.toml", configuration(plot, &database, &proxy));
        let dog = Beatwarden::watch(&["--config", file.to_str().unwrap()]).await;
        let writer = tokio::spawn(write(database.client().await, plot));
        Self {
            plot,
            proxy,
            client,
            dog,
            writer,
            _database: database,
            _folder: folder,
        }
    }

    pub fn steps(&self) -> Vec<Step> {
        self.proxy.steps()
    }

    /// Until the dead job was repaired, once, and what became of it is noted.
    pub async fn ends_well(&self) {
        if self.plot == Plot::NoTable {
            self.dog.metric_becomes(&failures("schema"), 1.0, LONG).await;
            for statements in [TABLE, BY_STATE, JOBS] {
                self.client.run(statements).await;
            }
        }
        self.dog.metric_becomes(&of_watch("up"), 1.0, LONG).await;
        self.is_repaired_and_noted().await;
    }

    async fn is_repaired_and_noted(&self) {
        let action = self.plot.action();
        let (repaired, noted) = match self.plot {
            Plot::State | Plot::NoTable | Plot::NotBornRunning => ("last_heartbeat_at IS NOT NULL", "late_heartbeat"),
            Plot::KeyTail | Plot::Elsewhere => ("state = 'FAIL'", "false_repair"),
            Plot::Function => ("ended_at IS NOT NULL", "false_repair"),
        };
        let question = format!(
            "SELECT count(*) FILTER (WHERE action = '{action}'), count(*) FILTER (WHERE outcome = '{noted}'),
                (SELECT count(*) FROM runs WHERE id = 2 AND {repaired}) FROM beatwarden_repairs WHERE job_id = '2'"
        );
        let what = || format!("repaired and noted; log:\n{}", self.dog.log());
        let until = Instant::now() + LONG;
        loop {
            if let Ok(row) = self.client.query_one(&question, &[]).await {
                let counts: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
                assert!(counts[0] <= 1, "repaired twice: {}", what());
                if counts == [1, 1, 1] {
                    break;
                }
            }
            assert!(Instant::now() < until, "{}", what());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let reason = self.plot.reason();
        let series = format!("repairs_total{{action=\"{action}\",reason=\"{reason}\",watch=\"meltano\"}}");
        self.dog.metric_becomes(&series, 1.0, LONG).await;
    }

    /// Waits for the silence, sees what is said of it, lifts it, and sees everything end well.
    /// Nothing if the step was never said.
    pub async fn falls_silent_and_finds_back(self, named: &str, silences: usize) -> Option<Measured> {
        let what = |what: &str| format!("{named}: {what}; log:\n{}", self.dog.log());
        if !self.proxy.fell_silent(silences, TURN).await {
            return None;
        }
        let fallen = Instant::now();
        let failed_before = self.failed();
        let (mut until_failed, mut until_down) = (None, None);
        while until_failed.is_none() || until_down.is_none() {
            if self.failed() > failed_before {
                until_failed.get_or_insert_with(|| fallen.elapsed());
            }
            if self.dog.metric(&of_watch("up")) == Some(0.0) {
                until_down.get_or_insert_with(|| fallen.elapsed());
            }
            assert!(fallen.elapsed() < LONG, "{}", what("no failure is reported"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let last_good = || self.dog.metric(&of_watch("last_successful_poll_timestamp_seconds"));
        let before = last_good();
        let http = self.http(named);
        assert_eq!(
            last_good(),
            before,
            "{}",
            what("the age of the last good pass doesn't rise")
        );
        self.proxy.lift();
        let lifted = Instant::now();
        if self.plot == Plot::NoTable {
            for statements in [TABLE, BY_STATE, JOBS] {
                self.client.run(statements).await;
            }
        }
        while self.dog.metric(&of_watch("up")) != Some(1.0) {
            assert!(lifted.elapsed() < LONG, "{}", what("not up again"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let until_up = lifted.elapsed();
        self.is_repaired_and_noted().await;
        let open = || self.proxy.open().0;
        eventually(&what("connections are closed"), LONG, async || {
            (open() <= 2).then_some(())
        })
        .await;
        let seen = Measured {
            until_failed: until_failed.unwrap_or_default(),
            until_down: until_down.unwrap_or_default(),
            until_up,
            http,
            most_connections: self.proxy.open().1,
            said: self.steps().into_iter().map(|step| step.says).collect(),
            in_vain: self.proxy.asked_in_vain(),
        };
        let most = self.plot.most_connections();
        assert!(
            seen.most_connections <= most,
            "{}",
            what("too many connections at once")
        );
        self.dog.signal("TERM");
        Some(seen)
    }

    /// Failed polls so far, whatever their cause.
    fn failed(&self) -> f64 {
        let text = http::get(self.dog.address, "/metrics").text();
        let failures = text
            .lines()
            .filter_map(|line| line.strip_prefix("beatwarden_poll_failures_total{")?.rsplit_once(' '));
        failures.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
    }

    /// Every route answers while no one else does.
    fn http(&self, named: &str) -> Vec<Duration> {
        let mut times = Vec::new();
        for (path, status) in [
            ("/-/healthy", 200),
            ("/-/ready", 503),
            ("/metrics", 200),
            ("/", 200),
            ("/api/v1/status", 200),
        ] {
            let asked: Vec<Duration> = (0..3)
                .map(|_| {
                    let asked = Instant::now();
                    assert_eq!(http::get(self.dog.address, path).status, status, "{named}: {path}");
                    asked.elapsed()
                })
                .collect();
            // The best of three: a busy machine may make one of them wait.
            let best = asked.iter().min().unwrap();
            assert!(*best < Duration::from_secs(1), "{named}: {path} took {best:?}");
            times.extend(asked);
        }
        times
    }
}

async fn write(client: Client, plot: Plot) {
    loop {
        // Neither the table nor the ledger is there from the beginning.
        let _ = client.batch_execute(plot.comes_to_life()).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

fn configuration(plot: Plot, database: &TestDatabase, proxy: &Conversation) -> String {
    let (_, name) = database.url.rsplit_once('/').unwrap();
    let (user, mode) = plot.address();
    let (of_watch, of_table, of_repair) = plot.configured();
    format!(
        "[[watch]]\ndatabase = \"postgres://{user}@{}/{name}?{mode}\"\npreset = \"meltano\"\npoll_interval = \"200ms\"\n\
         poll_timeout = \"2s\"\ninit_deadline = \"400ms\"\nheartbeat_timeout = \"400ms\"\ndiscovery = \"{}\"\n\
         {of_watch}[watch.table]\nborn_running = {}\n{of_table}[watch.repair]\n{of_repair}fuse_min_jobs = 1000\n",
        proxy.address,
        match plot {
            Plot::KeyTail | Plot::Elsewhere => "key_tail",
            _ => "state",
        },
        plot != Plot::NotBornRunning,
    )
}
