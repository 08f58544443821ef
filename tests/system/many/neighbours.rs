//! One table that hangs, a long way to the database, and many watches: each is the matter of its own watch alone.

use crate::support::{
    Session,
    beatwarden::Beatwarden,
    eventually,
    http::get,
    postgres::{Cluster, TestDatabase},
    proxy::Proxy,
    written,
};
use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

const SOON: Duration = Duration::from_secs(30);

/// A watch over `table` at this URL, with further lines of configuration.
fn watch(name: &str, url: &str, table: &str, lines: &str) -> String {
    format!(
        "[[watch]]\nname = \"{name}\"\ndatabase = \"{url}\"\n{lines}[watch.table]\nname = \"{table}\"\nid = \"id\"\n\
         state = \"state\"\nrunning = [\"on\"]\nfailure = [\"off\"]\nstarted_at = \"started_at\"\n\
         last_heartbeat_at = \"beat\"\n[watch.repair]\nmissed_first = \"fail\"\n"
    )
}

fn table(name: &str) -> String {
    format!(
        "CREATE TABLE {name} (id integer PRIMARY KEY, state text, started_at timestamptz, beat timestamptz);
         INSERT INTO {name} VALUES (1, 'on', now(), now() + interval '1 day');"
    )
}

fn of(watch: &str, name: &str) -> String {
    format!("{name}{{watch=\"{watch}\"}}")
}

async fn dog(configuration: &str) -> (Beatwarden, tempfile::TempDir) {
    let (folder, file) = written("beatwarden.toml", configuration);
    let dog = Beatwarden::watch(&["--config", file.to_str().unwrap()]).await;
    (dog, folder)
}

/// The database of that URL through a proxy, with so long a way in each direction.
async fn far(url: &str, way: Duration) -> (String, Proxy) {
    let port: u16 = url
        .rsplit(':')
        .next()
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let proxy = Proxy::start(port).await;
    proxy.faults.delay(way);
    let far = url.replace(&format!(":{port}/"), &format!(":{}/", proxy.address.port()));
    (far, proxy)
}

async fn connections(database: &TestDatabase) -> i64 {
    let count =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'beatwarden' AND datname = current_database()";
    database.client().await.query_one(count, &[]).await.unwrap().get(0)
}

/// Waits for so many more good polls of a watch.
async fn polls(dog: &Beatwarden, name: &str, more: f64) {
    let count = || dog.metric(&of(name, "polls_total")).unwrap_or_default();
    let from = count();
    eventually(&format!("{more} polls of {name}"), SOON * 2, async || {
        (count() >= from + more).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_the_database_is_no_cost_of_a_scan() {
    let cluster = Cluster::start_own();
    let (database, client) = cluster.database_with(&table("jobs")).await;
    // Large enough for a scan that costs something, and that a quick machine makes in a few milliseconds.
    let more = "INSERT INTO jobs SELECT n, 'done', now(), now() FROM generate_series(2, 60000) AS n; ANALYZE jobs";
    client.run(more).await;
    let (url, _proxy) = far(&database.url, Duration::from_millis(15)).await;
    let (dog, _folder) = dog(&watch(
        "far",
        &url,
        "jobs",
        "poll_interval = \"1s\"\ndiscovery = \"state\"\n",
    ))
    .await;
    dog.metric_becomes(&of("far", "up"), 1.0, SOON).await;
    polls(&dog, "far", 7.0).await;
    assert_eq!(
        dog.metric(&of("far", "poll_interval_seconds")),
        Some(1.0),
        "{}",
        dog.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expensive_scan_stretches_the_interval_by_what_it_costs_the_server() {
    let cluster = Cluster::start_own();
    let (database, client) = cluster.database_with(&table("jobs")).await;
    // A scan of a few rows that takes the server its time, and that the planner knows to be expensive.
    client
        .run(
            "INSERT INTO jobs SELECT n, 'done', now(), now() FROM generate_series(2, 30000) AS n; ANALYZE jobs;
             CREATE FUNCTION slow(integer) RETURNS text LANGUAGE plpgsql COST 100000 AS
               $$ BEGIN PERFORM pg_sleep(CASE WHEN $1 = 7 THEN 0.1 ELSE 0 END); RETURN 'done'; END $$;
             CREATE VIEW slow_jobs AS SELECT id, CASE WHEN id = 7 THEN slow(id) ELSE state END AS state, started_at, beat FROM jobs",
        )
        .await;
    let lines = "poll_interval = \"200ms\"\npoll_timeout = \"5s\"\ninit_deadline = \"20s\"\ndiscovery = \"state\"\n";
    let (dog, _folder) = dog(&watch("expensive", &database.url, "slow_jobs", lines)).await;
    dog.metric_becomes(&of("expensive", "up"), 1.0, SOON).await;
    eventually("the interval follows the scan", SOON, async || {
        let interval = dog.metric(&of("expensive", "poll_interval_seconds"))?;
        (interval > 10.0).then_some(())
    })
    .await;
    let log = dog.log();
    assert!(log.contains("exceeds a third of init_deadline"), "{log}");
    let page = get(dog.address, "/").text();
    assert!(page.contains("Reading the table is so slow"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_watches_of_a_far_database_keep_their_interval() {
    const WATCHES: usize = 80;
    let cluster = Cluster::start_own();
    let database = cluster.database().await;
    let client = database.client().await;
    let (url, _proxy) = far(&database.url, Duration::from_millis(5)).await;
    let mut configuration = String::new();
    for number in 0..WATCHES {
        client.run(&table(&format!("jobs_{number}"))).await;
        let name = format!("w{number}");
        write!(configuration, "{}", watch(&name, &url, &format!("jobs_{number}"), "")).unwrap();
    }
    let began = Instant::now();
    let (dog, _folder) = dog(&configuration).await;
    let names: Vec<String> = (0..WATCHES).map(|number| format!("w{number}")).collect();
    eventually("all are up", Duration::from_secs(60), async || {
        (dog.count("up", 1.0) == WATCHES).then_some(())
    })
    .await;
    let took = began.elapsed();
    assert!(connections(&database).await <= 12);
    polls(&dog, "w79", 4.0).await;
    assert_eq!(
        dog.count("poll_interval_seconds", 5.0),
        WATCHES,
        "all keep their interval"
    );
    for name in &names {
        let skew = dog.metric(&of(name, "clock_skew_seconds")).unwrap();
        assert!(skew.abs() < 0.5, "{name}: {skew}");
    }
    let log = dog.log();
    assert!(!log.contains("the database's clock jumped"), "{log}");
    assert!(took < Duration::from_secs(45), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_asked_once_for_all_watches_who_it_is() {
    let cluster = Cluster::start_with("log_statement = 'all'\n");
    let database = cluster.database().await;
    let client = database.client().await;
    let mut configuration = String::new();
    for number in 0..5 {
        client.run(&table(&format!("jobs_{number}"))).await;
        let lines = "poll_interval = \"1s\"\n";
        configuration += &watch(&format!("w{number}"), &database.url, &format!("jobs_{number}"), lines);
    }
    let (dog, _folder) = dog(&configuration).await;
    for number in 0..5 {
        dog.metric_becomes(&of(&format!("w{number}"), "up"), 1.0, SOON).await;
    }
    let log = std::fs::read_to_string(cluster.folder().join("log")).unwrap();
    let asked = log.matches("pg_control_system()).system_identifier AS part").count();
    assert!((1..5).contains(&asked), "once for each connection, not {asked} times");
}

/// A watch whose table can be read and one beside it whose reading hangs, in one database; a job dies in the first.
async fn hangs_beside_a_healthy_one(hanging: &str, hold: Option<&str>) {
    let cluster = Cluster::start_own();
    let database = cluster.database().await;
    let client = database.client().await;
    for name in ["well", "ill"] {
        client.run(&table(name)).await;
    }
    client.run(hanging).await;
    let lines = "poll_interval = \"1s\"\npoll_timeout = \"8s\"\ninit_deadline = \"4s\"\nheartbeat_timeout = \"5s\"\n";
    let ill = if hold.is_some() { "ill" } else { "hanging" };
    let both = watch("ill", &database.url, ill, lines) + &watch("well", &database.url, "well", lines);
    let holder = database.client().await;
    if let Some(hold) = hold {
        holder.run(hold).await;
    }
    let (dog, _folder) = dog(&both).await;
    dog.metric_becomes(&of("well", "up"), 1.0, SOON).await;
    client
        .run("INSERT INTO well VALUES (2, 'on', now() - interval '1 hour', NULL)")
        .await;
    let repairs = "repairs_total{action=\"fail\",reason=\"missed_first\",watch=\"well\"}";
    // One deadline, two intervals, one pass; and the first waits until it moves to another connection.
    dog.metric_becomes(repairs, 1.0, Duration::from_secs(15)).await;
    polls(&dog, "well", 12.0).await;
    assert_eq!(dog.metric(&of("well", "poll_interval_seconds")), Some(1.0));
    let skew = dog.metric(&of("well", "clock_skew_seconds")).unwrap();
    assert!(skew.abs() < 0.5, "{skew}");
    let log = dog.log();
    assert!(!log.contains("watching starts"), "{log}");
    assert!(!log.contains("clock jumped"), "{log}");
    assert_eq!(dog.metric(&of("ill", "up")), Some(0.0));
    let open = connections(&database).await;
    assert!(open <= 4, "{open} connections for two watches");
    // Peace: what was needed for it is given back.
    holder.run("ROLLBACK").await;
    client
        .run("CREATE OR REPLACE VIEW hanging AS SELECT id, state, started_at, beat FROM ill")
        .await;
    dog.metric_becomes(&of("ill", "up"), 1.0, Duration::from_secs(60)).await;
    eventually("two connections are left", Duration::from_secs(90), async || {
        (connections(&database).await <= 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_costs_only_its_own_watch() {
    let hold = "BEGIN; LOCK TABLE ill IN ACCESS EXCLUSIVE MODE";
    hangs_beside_a_healthy_one("SELECT 1", Some(hold)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_sleeps_costs_only_its_own_watch() {
    let view = "CREATE VIEW hanging AS SELECT id, state, started_at, beat FROM ill, pg_sleep(30)";
    hangs_beside_a_healthy_one(view, None).await;
}
