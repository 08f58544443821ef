//! Several replicas of the real binary on a real PostgreSQL, with writers whose first heartbeat falls around the deadline, while
//! backends are terminated, replicas killed and frozen, the server crashed, connections stalled and cut in the middle of a
//! COMMIT, commits hang for a standby that is not there, and BEGIN is refused. The judge is an audit trigger and plain SQL;
//! it shares no code with Beatwarden.
//!
//! `make stress SECONDS=600` for a long run.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and this one tells its figures"
)]

#[path = "stress/judge.rs"]
mod judge;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/mod.rs"]
mod support;
#[path = "stress/writer.rs"]
mod writer;

use proxy::Proxy;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{
    beatwarden::{Beatwarden, run},
    eventually,
    postgres::{Cluster, connect},
};
use writer::{Jobs, Place};

/// So long with the other tests.
const SECONDS: u64 = 25;
const REPLICAS: usize = 3;
const WRITERS: usize = 40;
/// A job's time to its first heartbeat.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// The configuration of every replica: the fuse is tested elsewhere, and would hold here.
fn configuration(url: &str) -> String {
    format!(
        "[[watch]]\nname = \"stress\"\ndatabase = \"{url}\"\npreset = \"meltano\"\npoll_interval = \"200ms\"\n\
         poll_timeout = \"2s\"\ninit_deadline = \"2s\"\nheartbeat_timeout = \"3s\"\n\
         [watch.repair]\nmissed_first = \"fail\"\nfuse_min_jobs = 1000000\n"
    )
}

struct Site {
    cluster: Cluster,
    proxy: Proxy,
    owner: String,
    folder: tempfile::TempDir,
    replicas: Vec<Option<Beatwarden>>,
    faults: BTreeMap<&'static str, u32>,
}

impl Site {
    async fn new() -> Self {
        let cluster = Cluster::start_own();
        let database = cluster.database().await;
        let owner = database.url.clone();
        let client = connect(&owner).await;
        client.batch_execute(judge::TABLES).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("owner.toml");
        std::fs::write(&file, configuration(&owner)).unwrap();
        let (status, grants, log) = run(&["grants", "--config", file.to_str().unwrap(), "--role", "dog"]);
        assert!(status.success(), "{log}");
        client
            .batch_execute(&format!("CREATE ROLE dog LOGIN; {grants}"))
            .await
            .unwrap();
        client.batch_execute(judge::AUDIT).await.unwrap();
        let proxy = Proxy::start(cluster.port()).await;
        let name = owner.rsplit('/').next().unwrap();
        let url = format!("postgres://dog@{}/{name}", proxy.address);
        std::fs::write(folder.path().join("dog.toml"), configuration(&url)).unwrap();
        let mut site = Self {
            cluster,
            proxy,
            owner,
            folder,
            replicas: Vec::new(),
            faults: BTreeMap::new(),
        };
        for _ in 0..REPLICAS {
            let replica = site.replica().await;
            site.replicas.push(Some(replica));
        }
        site
    }

    async fn replica(&self) -> Beatwarden {
        let file = self.folder.path().join("dog.toml");
        Beatwarden::watch(&["--config", file.to_str().unwrap(), "--log-level", "info"]).await
    }

    fn count(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// As the owner, on a connection of its own: the last one may have died with the server.
    async fn own(&self, statement: &str) {
        let Ok((client, connection)) = tokio_postgres::connect(&self.owner, tokio_postgres::NoTls).await else {
            return;
        };
        tokio::spawn(connection);
        // A server that is away can't be asked now; whoever needs the answer asks again.
        let _ = client.batch_execute(statement).await;
    }

    /// One fault, from its beginning to its end.
    async fn strike(&mut self) {
        let which = fastrand::usize(..self.replicas.len());
        let takes = Duration::from_millis(fastrand::u64(200..5_000));
        match fastrand::u32(..20) {
            0..4 => {
                self.count("backends terminated");
                self.own("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'dog'")
                    .await;
            }
            4..7 => {
                self.count("replica killed");
                self.replicas[which].take().unwrap().kill();
                self.replicas[which] = Some(self.replica().await);
            }
            7..10 => {
                self.count("replica frozen");
                self.replicas[which].as_ref().unwrap().signal("STOP");
                tokio::time::sleep(takes).await;
                self.replicas[which].as_ref().unwrap().signal("CONT");
            }
            10..13 => {
                self.count("connections stalled");
                self.proxy.faults.stall(takes);
                tokio::time::sleep(takes).await;
            }
            13..16 => {
                self.count("a time of cut connections");
                self.proxy.faults.cut(60);
                tokio::time::sleep(takes).await;
                self.proxy.faults.cut(0);
            }
            16 | 17 => {
                self.count("a time of refused BEGINs");
                self.proxy.faults.refuse_begin(500);
                tokio::time::sleep(takes.max(Duration::from_secs(2))).await;
                self.proxy.faults.refuse_begin(0);
            }
            18 => {
                self.count("commits wait for an absent standby");
                self.own("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
                self.own("SELECT pg_reload_conf()").await;
                tokio::time::sleep(takes.max(Duration::from_secs(2))).await;
                self.own("ALTER SYSTEM RESET synchronous_standby_names").await;
                self.own("SELECT pg_reload_conf()").await;
            }
            _ => {
                self.count("server crashed");
                self.cluster.crash();
                self.cluster.start();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_violation_under_faults() {
    let seconds = std::env::var("STRESS_SECONDS").map_or(SECONDS, |text| text.parse().expect("STRESS_SECONDS"));
    let mut site = Site::new().await;
    let jobs = Arc::new(Jobs::default());
    let place = Arc::new(Place::new(&site.owner));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| tokio::spawn(writer::work(place.clone(), jobs.clone())))
        .collect();
    let operator = tokio::spawn(judge::acknowledge(site.owner.clone()));

    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..1_500))).await;
        site.strike().await;
    }
    place.stop();
    for writer in writers {
        writer.await.unwrap();
    }
    // Calm: every dead job is found, however long the last backoff was.
    let dead = jobs.dead();
    eventually("every dead job is failed", Duration::from_secs(90), async || {
        judge::still_running(&site.owner, &dead).await.is_empty().then_some(())
    })
    .await;
    operator.abort();

    let verdict = judge::judge(&site.owner).await;
    println!(
        "{seconds} s, {REPLICAS} replicas, {WRITERS} writers: {}",
        jobs.summary()
    );
    println!(
        "repairs: {}, found to be false by a later beat: {}",
        verdict.repairs, verdict.false_repairs
    );
    let cut = site.proxy.faults.cut.load(std::sync::atomic::Ordering::Relaxed);
    let refused = site.proxy.faults.refused.load(std::sync::atomic::Ordering::Relaxed);
    println!(
        "faults: {:?}; connections cut: {cut}; BEGINs refused: {refused}",
        site.faults
    );
    println!("violations: {}", verdict.violations.len());
    assert_eq!(verdict.violations, Vec::<String>::new());
    assert!(verdict.repairs > 0 && !dead.is_empty(), "nothing happened");
    for replica in site.replicas.drain(..) {
        assert!(replica.unwrap().stop().success());
    }
}
