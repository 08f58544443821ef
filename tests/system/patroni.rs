//! Failover under Patroni: three nodes with etcd on loopback, several replicas of the real binary, writers that start, beat,
//! die and continue, and a leader that changes many times, by plan and by SIGKILL. What is judged is the history that
//! survived, by triggers and plain SQL that share no code with Beatwarden.
//!
//! Three ways: with asynchronous replication, where the new leader may lack the last commits of the old one, jobs, heartbeats
//! and repairs alike; with synchronous replication, where nothing that was acknowledged may be missing; and behind a pooler
//! that leads to the leader, so that an open session of a watch changes its server without a word.
//!
//! `make failover SWITCHOVERS=20 WAY=synchronous`; needs Patroni and etcd, so it is no part of `make test`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and this one prints its figures"
)]

use crate::support::{Session, beatwarden::Beatwarden, eventually, pooler::Pooler, postgres::connect};
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
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio_postgres::Client;
use verdict::Verdict;

const REPLICAS: usize = 3;
const WRITERS: usize = 12;
const LONG: Duration = Duration::from_secs(240);
/// Within this time every repaired job is read again, and what is found out is noted.
const NOTED_WITHIN: Duration = Duration::from_secs(330);

/// How the nodes replicate, and what is between them and the watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Patroni's default; each watch has all three hosts in its address.
    Asynchronous,
    /// `synchronous_mode: true`, and the same address.
    Synchronous,
    /// Asynchronous, and each watch has the address of a pooler alone.
    Pooled,
}

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
    (
        "a job was failed, has beat since, and no false repair is noted",
        "SELECT seq, old, new FROM audit AS fail WHERE relation = 'runs' AND who = 'dog'
            AND EXISTS (SELECT FROM runs WHERE id = (fail.new->>'id')::integer AND last_heartbeat_at IS NOT NULL)
            AND NOT EXISTS (SELECT FROM beatwarden_repairs WHERE job_id = fail.new->>'id' AND outcome = 'false_repair')",
    ),
];

struct Site {
    way: Way,
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
    async fn new(way: Way) -> Self {
        let patroni = Patroni::start(way == Way::Synchronous).await;
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
        let address = match way {
            Way::Pooled => pooled(&patroni, &monitor, folder.path()).await,
            Way::Asynchronous | Way::Synchronous => hosts.join(","),
        };
        let mut dogs = Vec::new();
        for number in 1..=REPLICAS {
            let url = format!("postgres://dog@{address}/postgres?application_name=dog{number}");
            let file = folder.path().join(format!("dog{number}.toml"));
            // Three hosts share the time to connect.
            let configuration =
                pair::configuration(&url, "fail").replace("poll_timeout = \"2s\"", "poll_timeout = \"6s\"");
            std::fs::write(&file, configuration).unwrap();
            dogs.push(Beatwarden::watch(&["--config", file.to_str().unwrap(), "--log-level", "info"]).await);
        }
        Self {
            way,
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
        let began = self.patroni.change(old, change).await;
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
        // A false repair may still be on its way into the ledger. Nothing else that is wrong ever becomes right.
        let until = Instant::now() + NOTED_WITHIN;
        loop {
            let verdict = self.answers(client).await;
            if verdict.violations.is_empty() || Instant::now() > until {
                return verdict;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// What every question is answered with now.
    async fn answers(&self, client: &Client) -> Verdict {
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

/// Starts a pooler that leads to the leader, and to the next one as soon as that is promoted, as a callback of Patroni's does
/// it at real sites. Returns its address.
async fn pooled(patroni: &Patroni, monitor: &Monitor, folder: &Path) -> String {
    let ports: Vec<u16> = patroni.nodes.iter().map(|node| node.port).collect();
    let (leader, mut timeline) = eventually("a leader", LONG, async || monitor.leader()).await;
    let pooler = Pooler::before(ports[leader], "dog", folder);
    let address = format!("127.0.0.1:{}", pooler.port());
    let monitor = monitor.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if let Some((newest, promotion)) = monitor.after(timeline) {
                timeline = newest;
                pooler.lead_to(ports[promotion.node]);
            }
        }
    });
    address
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
async fn asynchronous_replication_loses_commits_and_breaks_no_promise() {
    no_violation(Way::Asynchronous).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Patroni and etcd: make failover"]
async fn synchronous_replication_loses_nothing_that_was_acknowledged() {
    no_violation(Way::Synchronous).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Patroni and etcd: make failover"]
async fn behind_a_pooler_no_promise_is_broken() {
    no_violation(Way::Pooled).await;
}

async fn no_violation(way: Way) {
    let changes = std::env::var("SWITCHOVERS").map_or(20, |text| text.parse().expect("SWITCHOVERS"));
    let site = Site::new(way).await;
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
            "{way:?} {:2} {change:?}: every replica at the new leader after {:.1} s, {:.1} s after its promotion",
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

/// What was acknowledged by two servers, and is missing.
///
/// Not promised: a commit that is cancelled while it waits for the standby is acknowledged without it, by PostgreSQL's rules. A
/// repair is cancelled after five seconds, and the ledger of the same server then says that it was made.
fn lost_although_synchronous(
    patroni: &Patroni,
    starts: &[String],
    made: f64,
    in_ledger: i64,
) -> Vec<(&'static str, String)> {
    let cancelled = patroni.cancelled_waits();
    println!("commits that were cancelled while they waited for a standby: {cancelled}");
    let starts = starts.iter().cloned();
    let mut lost: Vec<_> = starts
        .map(|token| ("an acknowledged start is missing", token))
        .collect();
    if made > in_ledger as f64 + cancelled as f64 {
        let counts = format!("{made} made, {in_ledger} in the ledger, {cancelled} cancelled");
        lost.push(("an acknowledged repair is missing", counts));
    }
    lost
}

/// The figures of the run, and the assertions about them.
async fn print(site: &Site, jobs: &writer::Jobs, client: &Client, kinds: BTreeMap<Change, Vec<Times>>) {
    let started = jobs.started();
    let missing = "SELECT token::text FROM unnest($1::uuid[]) AS token
                   WHERE NOT EXISTS (SELECT FROM runs WHERE run_id = token)";
    let missing = client.query(missing, &[&started]).await.unwrap();
    let missing: Vec<String> = missing.iter().map(|row| row.get(0)).collect();
    let mut verdict = site.verdict(client).await;
    let made = "repairs_total{action=\"fail\",reason=\"missed_first\",watch=\"runs\"}";
    let made: f64 = site.dogs.iter().map(|dog| dog.metric(made).unwrap()).sum();
    if site.way == Way::Synchronous {
        let acknowledged = lost_although_synchronous(&site.patroni, &missing, made, verdict.repairs);
        verdict.violations.extend(acknowledged);
    }
    let changes: usize = kinds.values().map(Vec::len).sum();
    let counts: Vec<String> = kinds
        .iter()
        .map(|(kind, times)| format!("{} {kind:?}", times.len()))
        .collect();
    println!("{:?}: {changes} changes of the leader: {}", site.way, counts.join(", "));
    println!("{REPLICAS} replicas, {WRITERS} writers: {}", jobs.summary());
    println!("acknowledged starts that the surviving history lost: {}", missing.len());
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
