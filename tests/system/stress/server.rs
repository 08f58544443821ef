//! The server's side: a PostgreSQL of its own behind a proxy that goes wrong, replicas on it, and their faults.

use super::{
    DEADLINE, Faults, NOTED_WITHIN, PATIENCE, REPLICAS, WRITERS, judge,
    kind::Kind,
    replica, turn, what_they_say,
    writer::{self, Jobs, Place},
};
use crate::support::{
    Session,
    beatwarden::{Beatwarden, run},
    postgres::{Cluster, connect},
    proxy::Proxy,
    written,
};
use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    BackendsTerminated,
    ReplicaKilled,
    ReplicaFrozen,
    ConnectionsStalled,
    ConnectionsCut,
    BeginsRefused,
    StandbyAway,
    ServerCrashed,
}

/// More often what takes little time.
const FAULTS: &[Fault] = &[
    Fault::BackendsTerminated,
    Fault::BackendsTerminated,
    Fault::ReplicaKilled,
    Fault::ReplicaKilled,
    Fault::ReplicaFrozen,
    Fault::ConnectionsStalled,
    Fault::ConnectionsCut,
    Fault::BeginsRefused,
    Fault::StandbyAway,
    Fault::ServerCrashed,
];

static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Site {
    cluster: Cluster,
    proxy: Proxy,
    owner: String,
    configuration: PathBuf,
    _folder: tempfile::TempDir,
    replicas: Vec<Option<Beatwarden>>,
}

/// Tables, the watchdogs' role with no more rights than it needs, and the audit. Returns the owner's URL.
async fn prepare(cluster: &Cluster, kind: Kind) -> String {
    let owner = cluster.database().await.url;
    let client = connect(&owner).await;
    client.run(judge::TABLES).await;
    client.run(kind.tables()).await;
    let (_folder, file) = written("owner.toml", kind.configuration(&owner));
    let (status, grants, log) = run(&["grants", "--config", file.to_str().unwrap(), "--role", "dog"]);
    assert!(status.success(), "{log}");
    client
        .run(&format!("CREATE ROLE dog LOGIN; {grants}; {}", kind.rights()))
        .await;
    client.run(judge::AUDIT).await;
    owner
}

impl Site {
    async fn new(kind: Kind) -> Self {
        let cluster = Cluster::start_own();
        let owner = prepare(&cluster, kind).await;
        let proxy = Proxy::start(cluster.port()).await;
        let name = owner.rsplit('/').next().unwrap();
        let url = format!("postgres://dog@{}/{name}", proxy.address);
        let (folder, file) = written("dog.toml", kind.configuration(&url));
        let mut replicas = Vec::new();
        for _ in 0..REPLICAS {
            replicas.push(Some(replica(&file).await));
        }
        Self {
            cluster,
            proxy,
            owner,
            configuration: file,
            _folder: folder,
            replicas,
        }
    }

    /// As the owner, on a connection of its own: the last one may have died with the server.
    async fn own(&self, statement: &str) {
        let Ok((client, connection)) = tokio_postgres::connect(&self.owner, tokio_postgres::NoTls).await else {
            return;
        };
        tokio::spawn(connection);
        // A server that is away can't be asked now; a caller that needs the answer asks again.
        let _ = client.batch_execute(statement).await;
    }

    /// One fault, from its beginning to its end.
    async fn strike(&mut self, fault: Fault) {
        let which = fastrand::usize(..self.replicas.len());
        let takes = Duration::from_millis(fastrand::u64(200..5_000));
        match fault {
            Fault::BackendsTerminated => {
                self.own("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'dog'")
                    .await;
            }
            Fault::ReplicaKilled => {
                self.replicas[which].take().unwrap().kill();
                self.replicas[which] = Some(replica(&self.configuration).await);
            }
            Fault::ReplicaFrozen => {
                self.replicas[which].as_ref().unwrap().signal("STOP");
                tokio::time::sleep(takes).await;
                self.replicas[which].as_ref().unwrap().signal("CONT");
            }
            Fault::ConnectionsStalled => {
                self.proxy.faults.stall(takes);
                tokio::time::sleep(takes).await;
            }
            Fault::ConnectionsCut => {
                self.proxy.faults.cut(60);
                tokio::time::sleep(takes).await;
                self.proxy.faults.cut(0);
            }
            Fault::BeginsRefused => {
                self.proxy.faults.refuse_begin(500);
                tokio::time::sleep(takes.max(Duration::from_secs(2))).await;
                self.proxy.faults.refuse_begin(0);
            }
            Fault::StandbyAway => {
                self.own("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
                self.own("SELECT pg_reload_conf()").await;
                // At times past the five seconds after which a repair gives its COMMIT up.
                tokio::time::sleep(takes + Duration::from_secs(2)).await;
                self.own("ALTER SYSTEM RESET synchronous_standby_names").await;
                self.own("SELECT pg_reload_conf()").await;
            }
            Fault::ServerCrashed => {
                self.cluster.crash();
                self.cluster.start();
            }
        }
    }

    /// How often a replica that runs now missed the answer to a repair, and how often the ledger then said no or yes.
    fn answers_missing(&self) -> usize {
        let replicas = self.replicas.iter().flatten();
        replicas
            .map(|dog| dog.log().matches("the answer to a repair is missing").count())
            .sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_violation_under_faults_of_a_server() {
    no_violation(Kind::Meltano).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_violation_with_heartbeats_in_another_table() {
    no_violation(Kind::Elsewhere).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_violation_where_a_function_ends_the_jobs() {
    no_violation(Kind::Function).await;
}

async fn no_violation(kind: Kind) {
    let _turn = turn(&TURN).await;
    let mut site = Site::new(kind).await;
    let jobs = Arc::new(Jobs::default());
    let place = Arc::new(Place::new(&site.owner, kind));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| tokio::spawn(writer::work(place.clone(), jobs.clone())))
        .collect();
    let operator = [
        tokio::spawn(judge::acknowledge(site.owner.clone())),
        tokio::spawn(judge::end_lost(site.owner.clone(), kind)),
    ];
    let mut faults = Faults::new(FAULTS, kind);
    while let Some(fault) = faults.next().await {
        site.strike(fault).await;
    }
    place.stop();
    for writer in writers {
        writer.await.unwrap();
    }
    // Calm: every dead job is found, however long the last backoff was.
    let dead = jobs.dead();
    let until = Instant::now() + PATIENCE;
    loop {
        let left = judge::still_running(&site.owner, &dead).await;
        if left.is_empty() {
            break;
        }
        assert!(
            Instant::now() < until,
            "dead and not failed: {left:?}\n{}",
            what_they_say(&site.replicas)
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    operator.iter().for_each(tokio::task::JoinHandle::abort);

    let cut = site.proxy.faults.cut.load(Ordering::Relaxed);
    let refused = site.proxy.faults.refused.load(Ordering::Relaxed);
    let counts = format!(
        "{} {:?}; connections cut: {cut}; BEGINs refused: {refused}; repairs whose answer was missing, in the replicas \
         that are left: {}",
        faults.count(),
        faults.counts,
        site.answers_missing()
    );
    // A false repair may still be on its way into the ledger. Nothing else that is wrong ever becomes right.
    let until = Instant::now() + NOTED_WITHIN;
    let verdict = loop {
        let verdict = judge::judge_by(&site.owner, &kind.questions()).await;
        if verdict.violations.is_empty() || Instant::now() > until {
            break verdict;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    verdict.print("PostgreSQL", kind, &jobs, &counts);
    for replica in site.replicas.drain(..) {
        assert!(replica.unwrap().stop().success());
    }
}

/// The judge is shown a right repair, and then every kind of wrong change.
#[tokio::test]
async fn the_judge_of_a_server_reports_wrong_changes() {
    let cluster = Cluster::start_own();
    let owner = prepare(&cluster, Kind::Meltano).await;
    let writer = connect(&owner).await;
    // More than it needs, so that it can do what it must not.
    writer.run("GRANT ALL ON runs, beatwarden_repairs TO dog").await;
    let dog = connect(&owner.replace("postgres@", "dog@")).await;
    let start = |id: u32| {
        format!(
            "INSERT INTO runs (id, job_name, state, started_at) VALUES
             ({id}, 'job', 'RUNNING', clock_timestamp() AT TIME ZONE 'UTC' - interval '{} s')",
            DEADLINE.as_secs() + 10
        )
    };
    let fail = |id: u32| format!("UPDATE runs SET state = 'FAIL' WHERE id = {id}");
    let enter = |id: u32| {
        format!(
            "INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, reason, action, instance, repaired_at,
             before, after, version) VALUES (gen_random_uuid(), 'w', 'runs', '{id}', 'missed_first', 'fail', 'me', now(), '{{}}', '{{}}', 2)"
        )
    };
    let beat = |id: u32, seconds: f64| {
        format!("UPDATE runs SET last_heartbeat_at = started_at + interval '{seconds} s' WHERE id = {id}")
    };
    for id in 1..9 {
        writer.run(&start(id)).await;
    }
    let right = format!("BEGIN; {}; {}; COMMIT", fail(1), enter(1));
    dog.run(&right).await;
    assert_eq!(judge::judge(&owner).await.kinds(), [].into());

    // Entry and change in transactions of their own; another column; a row that beat.
    for statement in [fail(2), enter(2)] {
        dog.run(&statement).await;
    }
    dog.run("UPDATE runs SET job_name = 'mine' WHERE id = 3").await;
    writer.run(&beat(4, 5.0)).await;
    dog.run(&format!("BEGIN; {}; {}; COMMIT", fail(4), enter(4))).await;
    // An entry that is changed, one incident twice, and a false repair that none can be.
    dog.run("UPDATE beatwarden_repairs SET after = '{\"state\": 1}' WHERE job_id = '1'")
        .await;
    dog.run(&format!("BEGIN; {}; {}; COMMIT", fail(5), enter(5))).await;
    writer.run("UPDATE runs SET state = 'RUNNING' WHERE id = 5").await;
    dog.run(&format!("BEGIN; {}; {}; COMMIT", fail(5), enter(5))).await;
    dog.run("UPDATE beatwarden_repairs SET outcome = 'false_repair' WHERE job_id = '1'")
        .await;
    // A beat in time, by the server's clock, of a job that is failed all the same.
    writer.run(&start(20)).await;
    writer
        .run("UPDATE runs SET started_at = clock_timestamp() AT TIME ZONE 'UTC' WHERE id = 20")
        .await;
    writer.run(&beat(20, 0.5)).await;
    dog.run(&format!("BEGIN; {}; {}; COMMIT", fail(20), enter(20))).await;
    let meanings = Kind::Meltano.questions().iter().map(|(meaning, _)| *meaning).collect();
    assert_eq!(judge::judge(&owner).await.kinds(), meanings);
}

/// A job that is past its deadline.
fn overdue(id: u32) -> String {
    format!(
        "INSERT INTO runs (id, job_name, state, started_at) VALUES
         ({id}, 'job', 'RUNNING', clock_timestamp() AT TIME ZONE 'UTC' - interval '10 s')"
    )
}

/// A fail with its entry, in one transaction.
fn right_fail(change: &str, id: u32, outcome: &str) -> String {
    format!(
        "BEGIN; {change}; INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, reason, action, instance,
             repaired_at, before, after, outcome, version) VALUES (gen_random_uuid(), 'w', 'runs', '{id}', 'missed_first', 'fail',
             'me', now(), '{{}}', '{{}}', {outcome}, 2); COMMIT"
    )
}

/// What a table has of its own, shown to the judge: first what is right, then every kind of wrong change.
async fn shown(kind: Kind, right: &[String], wrong: &[String], own: &[judge::Question]) {
    let cluster = Cluster::start_own();
    let owner = prepare(&cluster, kind).await;
    let writer = connect(&owner).await;
    let all = "GRANT ALL ON ALL TABLES IN SCHEMA public TO dog";
    writer.run(all).await;
    let dog = connect(&owner.replace("postgres@", "dog@")).await;
    let run = async |statements: &[String]| {
        for statement in statements {
            let who = if statement.starts_with("/* writer */") {
                &writer
            } else {
                &dog
            };
            who.run(statement).await;
        }
        judge::judge_by(&owner, &kind.questions()).await.kinds()
    };
    assert_eq!(run(right).await, [].into());
    let kinds = run(wrong).await;
    for (meaning, _) in own {
        assert!(kinds.contains(meaning), "{meaning}: {kinds:?}");
    }
}

#[tokio::test]
async fn the_judge_of_another_table_reports_wrong_changes() {
    let fail = |id: u32| format!("UPDATE runs SET state = 'FAIL' WHERE id = {id}");
    let beat = |id: u32| format!("/* writer */ INSERT INTO beats VALUES ({id}, now() AT TIME ZONE 'UTC')");
    let start = |id: u32| format!("/* writer */ {}", overdue(id));
    let right = [
        start(1),
        right_fail(&fail(1), 1, "NULL"),
        start(2),
        right_fail(&fail(2), 2, "NULL"),
    ];
    // It lived, and that was noted.
    let noted = |id: u32| format!("UPDATE beatwarden_repairs SET outcome = 'false_repair' WHERE job_id = '{id}'");
    let right = [&right[..], &[beat(2), noted(2)]].concat();
    let wrong = [
        start(3),
        beat(3),
        right_fail(&fail(3), 3, "NULL"),
        "UPDATE beats SET at = at + interval '1 s' WHERE job = 3".to_owned(),
        noted(1),
    ];
    shown(Kind::Elsewhere, &right, &wrong, judge::OF_BEATS).await;
}

#[tokio::test]
async fn the_judge_of_a_function_reports_wrong_changes() {
    let call = |id: u32| format!("INSERT INTO calls VALUES ({id}, 'it')");
    let both = |id: u32| format!("{}; UPDATE runs SET state = 'FAIL' WHERE id = {id}", call(id));
    let start = |id: u32| format!("/* writer */ {}", overdue(id));
    let right = [start(1), right_fail(&both(1), 1, "NULL")];
    let wrong = [
        call(1),
        start(2),
        right_fail("UPDATE runs SET state = 'FAIL' WHERE id = 2", 2, "NULL"),
    ];
    shown(Kind::Function, &right, &wrong, judge::OF_CALLS).await;
}
