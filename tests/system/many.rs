//! Many watches in one process: they share the connections to their databases, and none keeps another from its work.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod neighbours;

use crate::support::{
    Session,
    beatwarden::Beatwarden,
    eventually,
    postgres::{Cluster, TestDatabase},
    written,
};
use std::{fmt::Write as _, time::Duration};

const DATABASES: usize = 5;
const TABLES: usize = 10;
const SOON: Duration = Duration::from_secs(60);

/// Ten job tables, each with a job that beats and one that never did.
async fn fill(database: &TestDatabase) {
    let client = database.client().await;
    for table in 0..TABLES {
        let statements = format!(
            "CREATE TABLE jobs_{table} (id integer PRIMARY KEY, state text, started_at timestamptz, beat timestamptz);
             INSERT INTO jobs_{table} VALUES (1, 'on', now() - interval '1 hour', NULL), (2, 'on', now() - interval '1 hour', now() + interval '1 day')"
        );
        client.run(&statements).await;
    }
}

/// A watch that keeps the others waiting for longer than its interval allows gets a connection of its own: on a busy machine that is no
/// sign of a hostile neighbour, so the interval is long.
fn configuration(databases: &[TestDatabase]) -> String {
    let mut text = String::new();
    for (place, database) in databases.iter().enumerate() {
        for table in 0..TABLES {
            write!(
                text,
                "[[watch]]\nname = \"w{place}-{table}\"\ndatabase = \"{}\"\npoll_interval = \"8s\"\ninit_deadline = \"16s\"\n\
                 heartbeat_timeout = \"30s\"\n[watch.table]\nname = \"jobs_{table}\"\nid = \"id\"\nstate = \"state\"\n\
                 running = [\"on\"]\nfailure = [\"off\"]\nstarted_at = \"started_at\"\nlast_heartbeat_at = \"beat\"\n\
                 [watch.repair]\nmissed_first = \"fail\"\n",
                database.url
            )
            .unwrap();
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_watches_on_five_databases_take_two_connections_each() {
    let cluster = Cluster::start_own();
    let mut databases = Vec::new();
    for _ in 0..DATABASES {
        let database = cluster.database().await;
        fill(&database).await;
        databases.push(database);
    }
    let (_folder, file) = written("beatwarden.toml", configuration(&databases));
    let dog = Beatwarden::watch(&["--config", file.to_str().unwrap()]).await;

    let watcher = databases[0].client().await;
    let mut most = 0;
    eventually("every dead job is ended", SOON, async || {
        let count = "SELECT max(n) FROM (SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'beatwarden' GROUP BY datname) AS counts";
        let connections: Option<i64> = watcher.query_one(count, &[]).await.unwrap().get(0);
        most = most.max(connections.unwrap_or_default());
        let all = (0..DATABASES).flat_map(|place| (0..TABLES).map(move |table| format!("w{place}-{table}")));
        let repaired = all.filter(|watch| {
            let series = format!("repairs_total{{action=\"fail\",reason=\"missed_first\",watch=\"{watch}\"}}");
            dog.metric(&series) == Some(1.0)
        });
        (repaired.count() == DATABASES * TABLES).then_some(())
    })
    .await;
    assert!((1..=2).contains(&most), "{most} connections to one database");
    for place in 0..DATABASES {
        for table in 0..TABLES {
            let series = format!("up{{watch=\"w{place}-{table}\"}}");
            dog.metric_becomes(&series, 1.0, SOON).await;
        }
    }
    for database in &databases {
        let client = database.client().await;
        for table in 0..TABLES {
            let states = format!("SELECT string_agg(state, ',' ORDER BY id) FROM jobs_{table}");
            let states: String = client.query_one(&states, &[]).await.unwrap().get(0);
            assert_eq!(states, "off,on", "the dead one alone");
        }
    }
    assert!(dog.stop().success());
}
