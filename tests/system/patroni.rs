//! Failover under Patroni: three nodes with etcd on loopback, several replicas of the real binary with all three hosts in
//! their address, writers that start, beat, die and continue, and a leader that changes many times, by plan and by SIGKILL.
//! Replication is asynchronous: the new leader may lack the last commits of the old one, jobs, heartbeats and repairs alike.
//! What is judged is the history that survived, by triggers and plain SQL that share no code with Beatwarden.
//!
//! `make failover SWITCHOVERS=20`; needs Patroni and etcd, so it is no part of `make test`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and this one prints its figures"
)]

use crate::support::{Session, beatwarden::Beatwarden, eventually, postgres::connect};
use crate::{
    failover::{
        monitor::{Monitor, Promotion},
        pair,
        patroni::{Change, Patroni},
        writer,
    },
    stress::{judge, verdict},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio_postgres::Client;
use verdict::Verdict;

const REPLICAS: usize = 3;
const WRITERS: usize = 12;
const LONG: Duration = Duration::from_secs(240);

/// Every timeline's beginning, for the questions below.
const PROMOTIONS: &str = "CREATE TEMPORARY TABLE promotion (timeline text PRIMARY KEY, not_before timestamptz)";

/// Questions that only a failover raises; each answer has to be empty.
const QUESTIONS: &[(&str, &str)] = &[
    (
        "a timeline that the monitor has not seen begin",
        "SELECT DISTINCT timeline FROM audit WHERE timeline NOT IN (SELECT timeline FROM promotion)",
    ),
    (
        "a repair less than a deadline after the promotion of its server",
        "SELECT seq, old, new FROM audit JOIN promotion USING (timeline) WHERE relation = 'runs' AND who = 'dog'
            AND transaction_at < not_before + interval '2 seconds'",
    ),
    (
        "a repair of a job older than the promotion, less than a heartbeat timeout after it",
        "SELECT seq, old, new FROM audit JOIN promotion USING (timeline) WHERE relation = 'runs' AND who = 'dog'
            AND (old->>'started_at')::timestamp AT TIME ZONE 'UTC' < not_before
            AND transaction_at < not_before + interval '5 seconds'",
    ),
    (
        "a repair less than a deadline after another change of its job",
        "SELECT fail.seq, fail.old, fail.new FROM audit AS fail JOIN audit AS change
            ON change.relation = 'runs' AND change.new->>'id' = fail.new->>'id' AND change.seq < fail.seq
          WHERE fail.relation = 'runs' AND fail.who = 'dog' AND change.at > fail.transaction_at - interval '2 seconds'",
    ),
];

struct Site {
    patroni: Patroni,
    monitor: Monitor,
    dogs: Vec<Beatwarden>,
    /// The addresses of the single nodes, as their owner.
    nodes: Vec<String>,
    /// All of them, for each one who wants to write.
    owner: String,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn new() -> Self {
        let patroni = Patroni::start().await;
        let hosts: Vec<String> = patroni
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        let owner = format!(
            "postgres://postgres@{}/postgres?target_session_attrs=read-write",
            hosts.join(",")
        );
        let nodes: Vec<String> = hosts
            .iter()
            .map(|host| format!("postgres://postgres@{host}/postgres"))
            .collect();
        let monitor = Monitor::start(&nodes);
        let folder = tempfile::tempdir().unwrap();
        pair::furnish(&owner, "fail", folder.path()).await;
        let timeline =
            "ALTER TABLE audit ADD COLUMN timeline text DEFAULT left(pg_walfile_name(pg_current_wal_lsn()), 8)";
        connect(&owner).await.run(timeline).await;
        // A standby that takes over without them would have lost the whole scene, and not a few commits.
        let furnished =
            "SELECT count(*) FROM information_schema.columns WHERE table_name = 'audit' AND column_name = 'timeline'";
        for node in &nodes {
            eventually("role and tables are on every node", LONG, async || {
                let found = connect(node).await.query_one(furnished, &[]).await.ok()?;
                (found.get::<_, i64>(0) == 1).then_some(())
            })
            .await;
        }
        let mut dogs = Vec::new();
        for number in 1..=REPLICAS {
            let url = format!(
                "postgres://dog@{}/postgres?application_name=dog{number}",
                hosts.join(",")
            );
            let file = folder.path().join(format!("dog{number}.toml"));
            // Three hosts share the time to connect.
            let configuration =
                pair::configuration(&url, "fail").replace("poll_timeout = \"2s\"", "poll_timeout = \"6s\"");
            std::fs::write(&file, configuration).unwrap();
            dogs.push(Beatwarden::watch(&["--config", file.to_str().unwrap(), "--log-level", "info"]).await);
        }
        Self {
            patroni,
            monitor,
            dogs,
            nodes,
            owner,
            _folder: folder,
        }
    }

    /// One change of the leader, to the first good pass of every replica at the new one.
    async fn change(&self, change: Change) -> Times {
        let (old, timeline) = eventually("a leader", LONG, async || self.monitor.leader()).await;
        let began = Instant::now();
        self.patroni.change(old, change);
        let (_, promotion) = eventually("a promotion", LONG, async || self.monitor.after(timeline)).await;
        let promoted = wall() - promotion.seen.elapsed().as_secs_f64();
        if change == Change::PatroniKilled {
            // The old leader takes writes beside the new one for a while: all of that will be lost.
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        if matches!(change, Change::PatroniKilled | Change::NodeKilled) {
            self.patroni.launch(&self.patroni.nodes[old]);
        }
        for (index, dog) in self.dogs.iter().enumerate() {
            eventually(
                format_args!("replica {index} follows:\n{}", dog.whole_log()),
                LONG,
                async || self.follows(index, promotion, promoted).await.then_some(()),
            )
            .await;
        }
        let times = Times {
            since_fault: began.elapsed(),
            since_promotion: promotion.seen.elapsed(),
        };
        self.patroni.healthy().await;
        times
    }

    /// Whether the last pass was good, after the promotion, and on the new leader.
    async fn follows(&self, index: usize, promotion: Promotion, promoted: f64) -> bool {
        let dog = &self.dogs[index];
        let of = |name: &str| dog.metric(&format!("{name}{{watch=\"runs\"}}"));
        if of("up") != Some(1.0) || of("last_successful_poll_timestamp_seconds") <= Some(promoted) {
            return false;
        }
        let Ok((client, connection)) =
            tokio_postgres::connect(&self.nodes[promotion.node], tokio_postgres::NoTls).await
        else {
            return false;
        };
        tokio::spawn(connection);
        let name = format!("dog{}", index + 1);
        let session = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND query <> ''";
        let found = client.query_one(session, &[&name]).await;
        found.is_ok_and(|row| row.get::<_, i64>(0) > 0)
    }

    /// Asks all questions about the history that survived.
    async fn verdict(&self, client: &Client) -> Verdict {
        client.run(PROMOTIONS).await;
        for (timeline, promotion) in self.monitor.promotions() {
            let insert = "INSERT INTO promotion VALUES ($1, to_timestamp($2))";
            let name = format!("{timeline:08X}");
            client.execute(insert, &[&name, &promotion.not_before]).await.unwrap();
        }
        let mut verdict = judge::judge(&self.owner).await;
        for (meaning, question) in QUESTIONS {
            let sql = format!("SELECT to_jsonb(answer)::text FROM ({question}) AS answer");
            let rows = client.query(&sql, &[]).await.unwrap();
            let found = rows.iter().map(|row| (*meaning, row.get::<_, &str>(0).to_owned()));
            verdict.violations.extend(found);
        }
        verdict
    }
}

/// How long the watch was without the leader.
struct Times {
    since_fault: Duration,
    since_promotion: Duration,
}

fn wall() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// "p50 1.2 s, max 3.4 s".
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let (middle, most) = (times[times.len() / 2], times[times.len() - 1]);
    format!("p50 {:.1} s, max {:.1} s", middle.as_secs_f64(), most.as_secs_f64())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Patroni and etcd: make failover"]
async fn no_violation_through_many_failovers() {
    let changes = std::env::var("SWITCHOVERS").map_or(20, |text| text.parse().expect("SWITCHOVERS"));
    let site = Site::new().await;
    let jobs = writer::Jobs::new(&site.owner);
    let writers: Vec<_> = (0..WRITERS).map(|_| tokio::spawn(jobs.clone().work())).collect();
    let operator = tokio::spawn(judge::acknowledge(site.owner.clone()));
    let mut kinds: BTreeMap<Change, Vec<Times>> = BTreeMap::new();
    for number in 0..changes {
        // Some work in between, so that there is something to lose.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(2_000..8_000))).await;
        let change = Change::of(number);
        let times = site.change(change).await;
        println!(
            "{:2} {change:?}: every replica at the new leader after {:.1} s, {:.1} s after its promotion",
            number + 1,
            times.since_fault.as_secs_f64(),
            times.since_promotion.as_secs_f64()
        );
        kinds.entry(change).or_default().push(times);
    }
    jobs.stop();
    for writer in writers {
        writer.await.unwrap();
    }
    // Calm: every dead job that the surviving history has is failed.
    let client = connect(&site.owner).await;
    eventually("every dead job is failed", LONG, async || {
        let dead = "SELECT count(*) FROM runs WHERE state = 'RUNNING' AND last_heartbeat_at IS NULL";
        (client.query_one(dead, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    operator.abort();
    print(&site, &jobs, &client, kinds).await;
}

/// The figures of the run, and the assertions about them.
async fn print(site: &Site, jobs: &writer::Jobs, client: &Client, kinds: BTreeMap<Change, Vec<Times>>) {
    let started = jobs.started();
    let there = "SELECT count(*) FROM runs WHERE run_id = ANY ($1)";
    let there: i64 = client.query_one(there, &[&started]).await.unwrap().get(0);
    let verdict = site.verdict(client).await;
    let made = "repairs_total{action=\"fail\",reason=\"missed_first\",watch=\"runs\"}";
    let made: f64 = site.dogs.iter().map(|dog| dog.metric(made).unwrap()).sum();
    let changes: usize = kinds.values().map(Vec::len).sum();
    let counts: Vec<String> = kinds
        .iter()
        .map(|(kind, times)| format!("{} {kind:?}", times.len()))
        .collect();
    println!("{changes} changes of the leader: {}", counts.join(", "));
    println!("{REPLICAS} replicas, {WRITERS} writers: {}", jobs.summary());
    println!(
        "acknowledged starts that the surviving history lost: {}",
        started.len() as i64 - there
    );
    println!(
        "repairs: {} in the surviving history, {} made; found to be false by a later beat: {}",
        verdict.repairs, made, verdict.false_repairs
    );
    for (kind, times) in &kinds {
        let of = |time: fn(&Times) -> Duration| spread(times.iter().map(time).collect());
        println!(
            "first good pass of the last replica at the new leader, {kind:?}: {} after the fault; {} after the promotion",
            of(|times| times.since_fault),
            of(|times| times.since_promotion)
        );
    }
    let all: Vec<&Times> = kinds.values().flatten().collect();
    println!(
        "all: {} after the fault; {} after the promotion",
        spread(all.iter().map(|times| times.since_fault).collect()),
        spread(all.iter().map(|times| times.since_promotion).collect())
    );
    println!("violations: {}", verdict.violations.len());
    assert_eq!(verdict.violations, Vec::new());
    assert!(verdict.repairs > 0, "nothing happened");
    assert!(made >= verdict.repairs as f64, "a repair that no one counted");
}
