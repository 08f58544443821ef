//! The zone of times that say none: shown by the data, or asked for.

use super::{checked, discovered, file, in_force, server};
use crate::support::Session;

const COLUMNS: &str = "(id integer PRIMARY KEY, state text, started_at timestamp, heartbeat_at timestamp)";

#[tokio::test]
async fn a_zone_is_taken_where_a_new_time_shows_it() {
    let rows =
        |now: &str| format!("CREATE TABLE jobs {COLUMNS}; INSERT INTO jobs VALUES (1, 'running', {now}, {now});");
    let utc = server(&rows("now() AT TIME ZONE 'UTC'")).await;
    let (_folder, path) = file(&rows("datetime('now')"));
    for target in [utc.url.as_str(), path.as_str()] {
        let said = discovered(target);
        assert!(
            in_force(&said).contains(&"time_zone = \"UTC\"") && !said.contains("decide"),
            "{said}"
        );
        assert!(
            said.contains("# The times have no zone. Read as UTC, the newest in `started_at` is "),
            "{said}"
        );
        assert!(checked(&said).0, "{said}");
    }
    let local = server(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'Asia/Kolkata'); END $$",
    )
    .await;
    let client = local.client().await;
    client.run(&rows("now()")).await;
    let said = discovered(&local.url);
    assert!(
        in_force(&said).contains(&"time_zone = \"Asia/Kolkata\"") && !said.contains("decide"),
        "{said}"
    );
    let (is_good, report) = checked(&said);
    assert!(is_good && report.contains("ok   clock"), "{said}\n{report}");
}

#[tokio::test]
async fn a_zone_that_no_time_shows_is_asked_for() {
    let rows =
        |time: &str| format!("CREATE TABLE jobs {COLUMNS}; INSERT INTO jobs VALUES (1, 'running', {time}, NULL);");
    let old = server(&rows("now() AT TIME ZONE 'UTC' - interval '3 hours'")).await;
    let (_folder, path) = file(&rows("datetime('now', '-3 hours')"));
    for target in [old.url.as_str(), path.as_str()] {
        let said = discovered(target);
        assert!(
            said.contains(
                "# decide: the times have no zone, and none is so new that it shows in which one it is written."
            ),
            "{said}"
        );
        assert!(in_force(&said).contains(&"time_zone = \"UTC\""), "{said}");
    }
    let ahead = server(&rows("now() AT TIME ZONE 'UTC' + interval '2 hours'")).await;
    let said = discovered(&ahead.url);
    assert!(
        said.contains("# decide: the times have no zone. Read as UTC, the newest in `started_at` is 1h 59m")
            || said.contains("is 2h ahead of now."),
        "{said}"
    );
    let (is_good, report) = checked(&said);
    assert!(!is_good && report.contains("FAIL clock"), "{report}");
}

#[tokio::test]
async fn heartbeats_in_another_table_may_be_written_in_another_zone() {
    let database = server(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'Asia/Kolkata'); END $$",
    )
    .await;
    let client = database.client().await;
    client
        .run(
            "CREATE TABLE trials (id integer PRIMARY KEY, state text, started_at timestamp);
             CREATE TABLE trial_heartbeats (trial integer PRIMARY KEY REFERENCES trials, heartbeat timestamp);
             INSERT INTO trials VALUES (1, 'running', now() AT TIME ZONE 'UTC');
             INSERT INTO trial_heartbeats VALUES (1, now());",
        )
        .await;
    let said = discovered(&database.url);
    let line = "last_heartbeat_at = { table = \"trial_heartbeats\", key = \"trial\", column = \"heartbeat\", time_zone = \"Asia/Kolkata\" }";
    assert!(
        in_force(&said).contains(&line) && in_force(&said).contains(&"time_zone = \"UTC\""),
        "{said}"
    );
    let (is_good, report) = checked(&said);
    assert!(is_good, "{said}\n{report}");
}
