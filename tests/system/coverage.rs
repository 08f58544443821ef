//! Until the whole table was read once, everything that people read says that older jobs may be missing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    Session,
    beatwarden::{Beatwarden, run, words},
    http::get,
    postgres,
};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_first_look_that_is_not_complete_is_said_everywhere() {
    let database = postgres::shared().database().await;
    let client = database.client().await;
    // The stuck job is older than the newest 10,000 rows, and the next pass comes in half an hour.
    let statements = "CREATE TABLE runs (id bigint PRIMARY KEY, job_name text, state text, started_at timestamp,
            ended_at timestamp, payload text, last_heartbeat_at timestamp);
        INSERT INTO runs SELECT n, 'job', CASE n WHEN 7 THEN 'RUNNING' ELSE 'SUCCESS' END, now() - interval '1 day', now(), '{}', NULL
            FROM generate_series(1, 60000) AS n;
        ANALYZE runs";
    client.run(statements).await;
    let slow = words("--preset meltano --missed-first observe --poll-interval 1h --init-deadline 2h");
    let watched = |arguments: &[&'static str]| [arguments, &slow].concat();
    let with_url = |mut arguments: Vec<&'static str>| {
        arguments.extend(["--database", String::leak(database.url.clone())]);
        arguments
    };
    let dog = Beatwarden::watch(&with_url(watched(&[]))).await;
    dog.metric_becomes("up{watch=\"meltano\"}", 1.0, SOON).await;

    assert_eq!(dog.metric("last_full_look_timestamp_seconds{watch=\"meltano\"}"), None);
    let page = get(dog.address, "/").text();
    assert!(
        page.contains("older than the newest rows may be missing here"),
        "{page}"
    );
    let watch = &dog.json("/api/v1/status")["watches"][0];
    assert_eq!(watch["is_complete"], false, "{watch}");
    assert!(
        dog.log().contains("first look at the whole table is complete"),
        "{}",
        dog.log()
    );
    let listen = dog.address.to_string();
    let status = watched(&["status", "--listen", String::leak(listen)]);
    let (_, said, _) = run(&with_url(status));
    assert!(
        said.contains("the first look at the whole table is still in progress"),
        "{said}"
    );
    let (_, said, _) = run(&with_url(watched(&["check"])));
    assert!(
        said.contains("jobs older than the newest rows may be missing until the first full look is complete"),
        "{said}"
    );
}
