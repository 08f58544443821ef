//! PostgreSQL: writers on connections of their own, replicas with a role for each, and the server's log and statistics.

use super::{
    A_DEATH_EVERY, Beats, HISTORY, REPLICAS, ROUNDS, WRITERS, configuration, percentile, repairs, replicas, seconds,
    support::{
        beatwarden::run,
        postgres::{Cluster, connect},
    },
    table,
};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio_postgres::Client;

const TABLE: &str = "CREATE TABLE runs (id serial PRIMARY KEY, job_name varchar, state varchar, started_at timestamp,
    ended_at timestamp, payload varchar, payload_flags integer, run_id uuid, trigger varchar, last_heartbeat_at timestamp);
    CREATE INDEX runs_running ON runs (id) WHERE state = 'RUNNING'";

struct Server {
    cluster: Cluster,
    admin: Client,
    writers: Arc<Vec<Client>>,
    url: String,
    files: Vec<PathBuf>,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn new() -> Self {
        let cluster = Cluster::start_with(
            "fsync = on\nfull_page_writes = on\nautovacuum = on\nmax_connections = 300\nlog_line_prefix = '%n %p %x '\n",
        );
        let url = cluster.database().await.url;
        let admin = connect(&url).await;
        admin
            .batch_execute(&format!(
                "{TABLE};
                 INSERT INTO runs (job_name, state, started_at, ended_at, last_heartbeat_at)
                 SELECT 'orders', 'SUCCESS', t, t, t FROM generate_series(1, {HISTORY}), (SELECT now() - interval '1 day' AS t) AS a;
                 INSERT INTO runs (id, job_name, state, started_at, last_heartbeat_at)
                 SELECT 1000000 + i, 'orders', 'RUNNING', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' + interval '1 s'
                   FROM generate_series(1, {WRITERS}) AS i;
                 SELECT setval('runs_id_seq', 2000000)"
            ))
            .await
            .unwrap();
        admin.batch_execute("VACUUM ANALYZE runs").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let name = url.rsplit('/').next().unwrap().to_owned();
        let mut files = Vec::new();
        for number in 0..REPLICAS {
            let file = folder.path().join(format!("dog{number}.toml"));
            fs::write(&file, configuration(&cluster.url(&format!("dog{number}"), &name))).unwrap();
            files.push(file);
        }
        let (status, grants, log) = run(&["grants", "--config", files[0].to_str().unwrap(), "--role", "dogs"]);
        assert!(status.success(), "{log}");
        admin
            .batch_execute(&format!("CREATE ROLE dogs; {grants}"))
            .await
            .unwrap();
        for number in 0..REPLICAS {
            let role = format!(
                "CREATE ROLE dog{number} LOGIN IN ROLE dogs; ALTER ROLE dog{number} SET log_min_duration_statement = 0"
            );
            admin.batch_execute(&role).await.unwrap();
        }
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            writers.push(connect(&url).await);
        }
        Self {
            cluster,
            admin,
            writers: Arc::new(writers),
            url,
            files,
            _folder: folder,
        }
    }

    /// Updates of the table, and how many of them were HOT, once every session has reported.
    async fn updates(&self) -> (i64, i64) {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'runs'";
        let row = self.admin.query_one(sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// One round of beats, while jobs die.
    async fn round(&self) -> Vec<Duration> {
        let dying = tokio::spawn(die(connect(&self.url).await));
        let tasks: Vec<_> = (0..WRITERS)
            .map(|number| tokio::spawn(beat(self.writers.clone(), number)))
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.unwrap());
        }
        dying.abort();
        let gone = "DELETE FROM runs WHERE id > 2000000 AND state = 'RUNNING'";
        self.admin.batch_execute(gone).await.unwrap();
        times
    }

    /// For each repair that changed a row: how long it was locked at most. From the server's log.
    fn row_locks(&self) -> Vec<Duration> {
        let log = fs::read_to_string(self.cluster.folder().join("log")).unwrap();
        let mut open: HashMap<String, (f64, f64)> = HashMap::new();
        let mut held = Vec::new();
        for line in log.lines() {
            let mut words = line.splitn(4, ' ');
            let (Some(at), Some(pid), Some(xid), Some(rest)) = (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            let Some((took, what)) = rest
                .strip_prefix("LOG:  duration: ")
                .and_then(|rest| rest.split_once(" ms  "))
            else {
                continue;
            };
            let (at, took): (f64, f64) = (at.parse().unwrap(), took.parse().unwrap());
            if what.starts_with("execute") && what.contains("beatwarden: repair") && xid != "0" {
                open.insert(pid.to_owned(), (at, took));
            } else if what.starts_with("statement: COMMIT")
                && let Some((executed, statement)) = open.remove(pid)
            {
                held.push(Duration::from_secs_f64(
                    (at - executed).max(took / 1e3) + statement / 1e3,
                ));
            }
        }
        held
    }
}

async fn beat(writers: Arc<Vec<Client>>, number: u32) -> Vec<Duration> {
    let client = &writers[number as usize];
    let key = i32::try_from(1_000_001 + number).unwrap();
    let sql = "UPDATE runs SET last_heartbeat_at = clock_timestamp() AT TIME ZONE 'UTC' WHERE id = $1";
    let statement = client.prepare(sql).await.unwrap();
    let first = tokio::time::Instant::now() + Duration::from_secs(1) * number / WRITERS;
    let mut ticks = tokio::time::interval_at(first, Duration::from_secs(1));
    let mut times = Vec::new();
    for _ in 0..seconds() {
        ticks.tick().await;
        let began = Instant::now();
        assert_eq!(client.execute(&statement, &[&key]).await.unwrap(), 1);
        times.push(began.elapsed());
    }
    times
}

async fn die(client: Client) {
    let sql = "INSERT INTO runs (job_name, state, started_at, payload) VALUES ('orders', 'RUNNING', now() AT TIME ZONE 'UTC', '{}')";
    let mut ticks = tokio::time::interval(A_DEATH_EVERY);
    loop {
        ticks.tick().await;
        client.batch_execute(sql).await.unwrap();
    }
}

/// The most connections of one replica, and the longest that one of them was seen idle in a transaction.
async fn sample(client: Client, most: Arc<Mutex<(i64, f64)>>) {
    let sql = "SELECT count(*), coalesce(max(extract(epoch FROM clock_timestamp() - state_change))
                      FILTER (WHERE state LIKE 'idle in transaction%'), 0)::float8
                 FROM pg_stat_activity WHERE usename LIKE 'dog%' GROUP BY usename";
    let statement = client.prepare(sql).await.unwrap();
    loop {
        for row in client.query(&statement, &[]).await.unwrap() {
            let mut most = most.lock().unwrap();
            *most = (most.0.max(row.get(0)), most.1.max(row.get(1)));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn measure() {
    let server = Server::new().await;
    let (mut without, mut with) = (Beats::default(), Beats::default());
    let mut hot: BTreeMap<bool, (i64, i64)> = BTreeMap::new();
    let most = Arc::new(Mutex::new((0, 0.0)));
    let mut made = 0.0;
    // The first round is not reported: caches are cold.
    server.round().await;
    for round in 0..ROUNDS * 2 {
        // with, without, without, with, ...: what drifts meets both alike.
        let is_with = matches!(round % 4, 0 | 3);
        let before = server.updates().await;
        let running = if is_with {
            replicas(&server.files).await
        } else {
            Vec::new()
        };
        // In both kinds, so that its own cost is in both.
        let sampling = tokio::spawn(sample(connect(&server.url).await, most.clone()));
        let times = server.round().await;
        sampling.abort();
        made += repairs(&running);
        for replica in running {
            assert!(replica.stop().success());
        }
        let after = server.updates().await;
        let kind = hot.entry(is_with).or_default();
        *kind = (kind.0 + after.0 - before.0, kind.1 + after.1 - before.1);
        if is_with { &mut with } else { &mut without }.rounds.push(times);
    }
    table("PostgreSQL 15, fsync on", &without, &with);
    let mut locks = server.row_locks();
    println!(
        "{made} repairs; a row was locked at p50 {:.2} ms, p99 {:.2} ms, at most {:.2} ms ({} transactions)",
        percentile(&mut locks, 50),
        percentile(&mut locks, 99),
        percentile(&mut locks, 100),
        locks.len(),
    );
    let share = |kind: (i64, i64)| kind.1 as f64 / kind.0 as f64;
    println!(
        "HOT updates: {:.4} of {} without, {:.4} of {} with; {:.4} of these but for the repairs, which take their job out of a \
         partial index as every end does",
        share(hot[&false]),
        hot[&false].0,
        share(hot[&true]),
        hot[&true].0,
        hot[&true].1 as f64 / (hot[&true].0 as f64 - made),
    );
    let (connections, idle) = *most.lock().unwrap();
    println!(
        "connections of one replica: {connections} at most; longest idle in transaction: {:.2} ms",
        idle * 1e3
    );
}
