//! What the transaction costs: a repair with its ledger entry against the bare update of the same row, and against the
//! transaction that one would write for it, with a guard and an entry, prepared once, its four statements one after the other;
//! in alternating blocks of the same run. Latency of each, and the WAL it leaves. For SQLite also what that transaction costs
//! where the file is opened and closed for it, as it is for a repair.
//!
//! `cargo bench --bench repair_cost`; the figures of docs/benchmarks.md come from it. It measures, and asserts only that
//! every repair was made.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use beatwarden::{
    connection::SslMode,
    domain::{Action, Coverage, Job, JobId, Outcome, Phase, Repair, Repairing, StartCheck},
    store::{
        DiscoverySetting, ObserveRequest, Store,
        postgres::{PostgresSettings, PostgresStore, Target},
        sqlite::{SqliteSettings, SqliteStore},
    },
};
use std::{
    collections::HashMap,
    future::Future,
    time::{Duration, Instant},
};
use support::{postgres::Cluster, runs::mapping};
use tokio_postgres::{Statement, types::Type};

/// Blocks of each kind, and repairs in a block.
const BLOCKS: u32 = 10;
const IN_BLOCK: u32 = 100;
const DEADLINE: Duration = Duration::from_secs(60);

/// The ways to end a job.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Bare,
    Guarded,
    /// In a file that is opened and closed for it.
    GuardedInNewSession,
    Repair,
}

impl Way {
    const fn title(self) -> &'static str {
        match self {
            Self::Bare => "bare update",
            Self::Guarded => "guarded UPDATE and INSERT, prepared",
            Self::GuardedInNewSession => "the same, the file opened and closed",
            Self::Repair => "repair",
        }
    }
}

/// A database with as many dead jobs as are needed.
trait Bench {
    const WAYS: &[Way];

    /// Ends one job.
    fn end(&mut self, way: Way, id: u32) -> impl Future<Output = ()>;
    /// How much WAL there is.
    async fn wal(&mut self) -> u64;
}

#[tokio::main]
async fn main() {
    println!(
        "{} repairs of each kind, in alternating blocks of {IN_BLOCK}",
        BLOCKS * IN_BLOCK
    );
    measure(
        "PostgreSQL, fsync on, over TCP on one machine",
        &mut Server::new().await,
    )
    .await;
    measure("SQLite, WAL, synchronous FULL", &mut File::new().await).await;
}

async fn measure<B: Bench>(title: &str, bench: &mut B) {
    let mut times: HashMap<Way, Vec<Duration>> = HashMap::new();
    let mut bytes: HashMap<Way, u64> = HashMap::new();
    let mut id = 0;
    for block in 0..BLOCKS {
        for number in 0..B::WAYS.len() {
            let way = B::WAYS[(number + block as usize) % B::WAYS.len()];
            let before = bench.wal().await;
            for _ in 0..IN_BLOCK {
                id += 1;
                let began = Instant::now();
                bench.end(way, id).await;
                times.entry(way).or_default().push(began.elapsed());
            }
            *bytes.entry(way).or_default() += bench.wal().await - before;
        }
    }
    println!(
        "\n{title}\n{:<42} {:>9} {:>9} {:>9} {:>12}",
        "", "p50 ms", "p99 ms", "x bare", "WAL bytes"
    );
    let median = |times: &[Duration]| times[times.len() / 2].as_secs_f64() * 1e3;
    let mut bare = 0.0;
    for way in B::WAYS {
        let times = times.get_mut(way).unwrap();
        times.sort_unstable();
        let p50 = median(times);
        if *way == Way::Bare {
            bare = p50;
        }
        let p99 = times[times.len() * 99 / 100].as_secs_f64() * 1e3;
        let wal = bytes[way] / u64::from(BLOCKS * IN_BLOCK);
        println!(
            "{:<42} {p50:>9.3} {p99:>9.3} {:>9.2} {wal:>12}",
            way.title(),
            p50 / bare
        );
    }
}

/// The store, and every dead job as it was observed.
struct Observed<S> {
    store: S,
    jobs: HashMap<JobId, Job>,
    template: Option<Repair>,
}

impl<S: Store> Observed<S> {
    async fn of(mut store: S) -> Self {
        let request = ObserveRequest::whole(Vec::new(), Coverage::Ordinary);
        let snapshot = store.observe(&request).await.unwrap();
        store.prepare_ledger().await.unwrap();
        let template = snapshot.rows.first().map(|job| Repair {
            action: Repairing::Fail,
            job: job.clone(),
            reason: Phase::MissedFirst,
            deadline: DEADLINE,
            server: snapshot.server.clone(),
            start: StartCheck::Overdue,
            after_undo: None,
        });
        Self {
            jobs: snapshot.rows.into_iter().map(|job| (job.id.clone(), job)).collect(),
            template,
            store,
        }
    }

    async fn repair(&mut self, id: u32) {
        let mut repair = self.template.clone().unwrap();
        repair.job = self.jobs[&JobId::new(id.to_string())].clone();
        let outcome = self.store.repair(&repair).await;
        assert!(matches!(outcome, Outcome::Repaired(_)), "{outcome:?}");
    }
}

/// As many as all ways end, and one that stays.
fn rows<B: Bench>() -> u32 {
    BLOCKS * IN_BLOCK * u32::try_from(B::WAYS.len()).unwrap() + 1
}

/// The straightforward transaction: the row only if it is still silent, and what it enters.
const GUARDED: &str = "UPDATE runs SET state = 'FAIL', ended_at = {now}, payload = '{\"error\": \"silent\"}'
      WHERE id = $1 AND state = 'RUNNING' AND last_heartbeat_at IS NULL AND ended_at IS NULL";
const ENTRY: &str = "INSERT INTO plain_ledger (id, job_id, repaired_at, before, after)
     VALUES ({id}, $1, {now}, '{\"state\": \"RUNNING\"}', '{\"state\": \"FAIL\"}')";

struct Server {
    _cluster: Cluster,
    client: tokio_postgres::Client,
    guarded: Statement,
    entry: Statement,
    observed: Observed<PostgresStore>,
}

impl Server {
    async fn new() -> Self {
        let cluster =
            Cluster::start_with("fsync = on\nfull_page_writes = on\nmax_wal_size = 4GB\ncheckpoint_timeout = 1h\n");
        let database = cluster.database().await;
        let client = database.client().await;
        let rows = rows::<Self>();
        client
            .batch_execute(&format!(
                "CREATE TABLE runs (id integer PRIMARY KEY, job_name varchar, state varchar, started_at timestamp,
                    ended_at timestamp, payload varchar, payload_flags integer, run_id uuid, trigger varchar,
                    last_heartbeat_at timestamp);
                 CREATE TABLE plain_ledger (id uuid PRIMARY KEY, job_id text, repaired_at timestamptz, before jsonb, after jsonb);
                 INSERT INTO runs (id, job_name, state, started_at, payload)
                 SELECT i, 'orders', 'RUNNING', now() AT TIME ZONE 'UTC' - interval '5 min', '{{\"singer_state\": {{}}}}'
                   FROM generate_series(1, {rows}) AS i"
            ))
            .await
            .unwrap();
        for statement in ["VACUUM ANALYZE runs", "CHECKPOINT"] {
            client.batch_execute(statement).await.unwrap();
        }
        let guarded = GUARDED.replace("{now}", "now() AT TIME ZONE 'UTC'");
        let guarded = client.prepare(&guarded).await.unwrap();
        let entry = ENTRY.replace("{id}", "gen_random_uuid()").replace("{now}", "now()");
        let entry = client.prepare_typed(&entry, &[Type::TEXT]).await.unwrap();
        let url = database.url.clone();
        let store = PostgresStore::new(PostgresSettings {
            address: Box::new(move || Ok(Target::new(&url, SslMode::Disable, None)?)),
            mapping: mapping(),
            action: Action::Fail,
            poll_timeout: Duration::from_secs(10),
            seed_tolerance: Duration::from_millis(5),
            instance: "bench/1".into(),
            discovery: DiscoverySetting::Auto,
        });
        Self {
            _cluster: cluster,
            client,
            guarded,
            entry,
            observed: Observed::of(store).await,
        }
    }

    async fn update(&self, id: i32) {
        let update = "UPDATE runs SET state = 'FAIL', ended_at = now() AT TIME ZONE 'UTC', payload = '{\"error\": \"silent\"}' WHERE id = $1";
        assert_eq!(
            self.client.execute_typed(update, &[(&id, Type::INT4)]).await.unwrap(),
            1
        );
    }
}

impl Bench for Server {
    const WAYS: &[Way] = &[Way::Bare, Way::Guarded, Way::Repair];

    async fn end(&mut self, way: Way, id: u32) {
        let key = i32::try_from(id).unwrap();
        match way {
            Way::Bare => self.update(key).await,
            Way::Guarded => {
                self.client.batch_execute("BEGIN").await.unwrap();
                assert_eq!(self.client.execute(&self.guarded, &[&key]).await.unwrap(), 1);
                self.client.execute(&self.entry, &[&id.to_string()]).await.unwrap();
                self.client.batch_execute("COMMIT").await.unwrap();
            }
            Way::GuardedInNewSession => unreachable!("a session of a server is kept"),
            Way::Repair => self.observed.repair(id).await,
        }
    }

    async fn wal(&mut self) -> u64 {
        let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::text";
        let text: String = self.client.query_one(sql, &[]).await.unwrap().get(0);
        text.parse().unwrap()
    }
}

struct File {
    folder: tempfile::TempDir,
    connection: rusqlite::Connection,
    observed: Observed<SqliteStore>,
}

impl File {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        let rows = rows::<Self>();
        connection
            .execute_batch(&format!(
                "{}; CREATE TABLE plain_ledger (id TEXT PRIMARY KEY, job_id TEXT, repaired_at TEXT, before TEXT, after TEXT);
                 INSERT INTO runs (id, job_name, state, started_at, payload)
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
                 SELECT i, 'orders', 'RUNNING', strftime('%Y-%m-%d %H:%M:%f000', 'now', '-300 seconds'), '{{\"singer_state\": {{}}}}' FROM n",
                include_str!("../src/demo/schema.sql")
            ))
            .unwrap();
        let store = SqliteStore::new(SqliteSettings {
            address: Box::new(move || Ok(path.clone())),
            mapping: mapping(),
            poll_timeout: Duration::from_secs(10),
            seed_tolerance: Duration::from_millis(5),
            instance: "bench/1".into(),
            discovery: DiscoverySetting::Auto,
            action: Action::Fail,
        });
        Self {
            folder,
            connection,
            observed: Observed::of(store).await,
        }
    }

    fn update(&self, id: u32) {
        let update = "UPDATE runs SET state = 'FAIL', ended_at = datetime('now'), payload = '{\"error\": \"silent\"}' WHERE id = ?1";
        assert_eq!(self.connection.execute(update, [id]).unwrap(), 1);
    }
}

fn guarded(connection: &rusqlite::Connection, id: u32) {
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let update = GUARDED.replace("{now}", "datetime('now')");
    let entry = ENTRY
        .replace("{id}", "hex(randomblob(16))")
        .replace("{now}", "datetime('now')");
    for statement in [update, entry] {
        let mut prepared = connection.prepare_cached(&statement).unwrap();
        assert_eq!(prepared.execute([id]).unwrap(), 1);
    }
    connection.execute_batch("COMMIT").unwrap();
}

impl Bench for File {
    const WAYS: &[Way] = &[Way::Bare, Way::Guarded, Way::GuardedInNewSession, Way::Repair];

    async fn end(&mut self, way: Way, id: u32) {
        match way {
            Way::Bare => self.update(id),
            Way::Guarded => guarded(&self.connection, id),
            Way::GuardedInNewSession => {
                let connection = rusqlite::Connection::open(self.folder.path().join("jobs.db")).unwrap();
                // A checkpoint would let the log begin again, and its growth be no measure of what is written.
                connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
                guarded(&connection, id);
                connection.close().unwrap();
            }
            Way::Repair => self.observed.repair(id).await,
        }
    }

    async fn wal(&mut self) -> u64 {
        std::fs::metadata(self.folder.path().join("jobs.db-wal")).unwrap().len()
    }
}
