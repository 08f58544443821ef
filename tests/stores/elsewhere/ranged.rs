//! Heartbeats in another table, read as one range of keys: the same as when they are looked up for one job after the other, and
//! only where that costs less.

use super::{Place, ids};
use crate::support::{Session, eventually};
use beatwarden::{
    app::{self, AnyStore},
    config::{DatabaseSource, Secret},
    domain::{Cause, Coverage, Job, JobId, Snapshot, TimeValue},
    store::{ObserveRequest, Store},
};
use std::{ops::RangeInclusive, time::Duration};
use tokio_postgres::Client;

const JOBS: &str = "CREATE TABLE jobs (id integer PRIMARY KEY, state text, began timestamptz);";
/// How many passes of each store are compared.
const PASSES: i64 = 8;

/// Jobs of these keys; those run that are in none of these places of seven.
fn jobs(keys: RangeInclusive<i64>, ended: &str) -> String {
    format!(
        "INSERT INTO jobs SELECT i, CASE WHEN i % 7 = ANY ('{{{ended}}}') THEN 'done' ELSE 'running' END, now() - interval '1 hour'
           FROM generate_series({}, {}) AS i",
        keys.start(),
        keys.end()
    )
}

/// The mapping of these jobs, with these keys of their heartbeats.
fn watched(heartbeats: &str) -> String {
    format!(
        "discovery = \"key_tail\"\n[watch.table]\nname = \"jobs\"\nid = \"id\"\nborn_running = true\nstate = \"state\"\n\
         running = [\"running\"]\nsuccess = [\"done\"]\nstarted_at = \"began\"\n[watch.table.last_heartbeat_at]\n{heartbeats}\n"
    )
}

async fn place() -> Place {
    let [place, _] = Place::both().await;
    place
}

fn client(place: &Place) -> &Client {
    match place {
        Place::Postgres(_, client) => client,
        Place::Sqlite(_) => unreachable!("the first of both"),
    }
}

async fn first(store: &mut AnyStore) -> Snapshot {
    let seen = store.observe(&ObserveRequest::whole(Vec::new(), Coverage::Full)).await;
    seen.unwrap_or_else(|error| panic!("{}", error.chain()))
}

/// A pass that knows the running jobs of the last one.
async fn again(store: &mut AnyStore, last: &Snapshot) -> Snapshot {
    let running = last.rows.iter().filter(|job| job.state.as_deref() == Some("running"));
    let mut known: Vec<JobId> = running.map(|job| job.id.clone()).collect();
    known.sort();
    let seen = store.observe(&ObserveRequest::whole(known, Coverage::Ordinary)).await;
    seen.unwrap_or_else(|error| panic!("{}", error.chain()))
}

/// How often a table, what inherits from it and their indexes were read so far. A session adds its own when it ends.
async fn reads(place: &Place, table: &str) -> i64 {
    let client = client(place);
    let others = "FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    let end = format!("SELECT pg_terminate_backend(pid) {others}");
    client.run(&end).await;
    let left = format!("SELECT count(*) {others}");
    let none_left = async || {
        let row = client.query_one(&left, &[]).await.unwrap();
        (row.get::<_, i64>(0) == 0).then_some(())
    };
    eventually("the sessions end", Duration::from_secs(60), none_left).await;
    let sql = "SELECT coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0)::bigint FROM pg_stat_user_tables
                WHERE relid = $1::text::regclass OR relid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = $1::text::regclass)";
    client.query_one(sql, &[&table]).await.unwrap().get(0)
}

/// The rows of the last pass over `beats`, and how many reads of the other table less than one for each job all passes took.
/// Each pass is compared with one over `twin`: the same rows without constraints, so that a job may have many of them there.
async fn compare(place: &Place, beats: &str, key: &str, more: &str) -> (Vec<Job>, i64) {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let (table, column) = (quoted(beats), quoted(key));
    place
        .sql(&format!(
            "CREATE TABLE twin AS SELECT * FROM {table}; CREATE INDEX ON twin ({column}); ANALYZE"
        ))
        .await;
    let of = |table: &str| watched(&format!("table = '{table}'\nkey = '{key}'\n{more}"));
    let (mut ranged, mut one_by_one) = (place.store(&of(beats)), place.store(&of("twin")));
    let (mut last, mut twin) = (first(&mut ranged).await, first(&mut one_by_one).await);
    for pass in 0..PASSES {
        match pass {
            // Above the newest key that was seen, then keys that were missing below it.
            2 => place.sql(&jobs(712..=720, "")).await,
            4 => place.sql(&jobs(701..=711, "0")).await,
            _ => {}
        }
        last = again(&mut ranged, &last).await;
        twin = again(&mut one_by_one, &twin).await;
        assert_eq!(last.rows, twin.rows, "{beats}, pass {pass}");
    }
    drop((ranged, one_by_one));
    let saved = reads(place, "twin").await - reads(place, &table).await;
    (last.rows, saved)
}

#[tokio::test]
async fn a_range_brings_the_heartbeats_that_lookups_bring() {
    let naive = "at timestamp";
    let odd = "(1, '1500-01-01'), (2, 'infinity'), (3, '-infinity'), (4, NULL), (5, '9999-12-31 23:59:59.9999995'),
               (-7, now()), (0, now()), (699, now()), (715, now()), (720, now()), (705, now()), (100000, now())";
    let millis = "(1, -1), (2, 9223372036854775807), (3, 0), (4, NULL), (5, 1700000000123), (9223372036854775807, 1), (-9223372036854775808, 1)";
    let seconds = "(1, 'NaN'), (2, 'Infinity'), (3, '-Infinity'), (4, -0.5), (5, 1700000000.25)";
    let cases = [
        ("run integer PRIMARY KEY", naive, odd, "time_zone = 'server'"),
        ("run bigint UNIQUE", naive, odd, "time_zone = 'Asia/Kolkata'"),
        ("run bigint UNIQUE NOT NULL", "at timestamptz", odd, ""),
        ("run integer UNIQUE DEFERRABLE INITIALLY DEFERRED", naive, odd, ""),
        ("run natural PRIMARY KEY", naive, "(1, now()), (715, now())", ""),
        (
            "run smallint PRIMARY KEY",
            naive,
            "(1, now()), (700, now()), (715, now())",
            "",
        ),
        (
            "run bigint PRIMARY KEY",
            "at bigint",
            millis,
            "time_format = 'epoch_ms'",
        ),
        (
            "run integer PRIMARY KEY",
            "at double precision",
            seconds,
            "time_format = 'epoch_s'",
        ),
        (
            "run integer UNIQUE",
            naive,
            "(NULL, now()), (NULL, now()), (5, now())",
            "",
        ),
    ];
    for (key, at, rows, more) in cases {
        let place = place().await;
        place
            .sql(&format!(
                "{JOBS} {}; CREATE DOMAIN natural_number AS integer CHECK (value >= 0); CREATE TABLE beats ({}, {at});
                 INSERT INTO beats VALUES {rows}",
                jobs(1..=700, "0"),
                key.replace("natural", "natural_number")
            ))
            .await;
        let (_, saved) = compare(&place, "beats", "run", &format!("column = 'at'\n{more}")).await;
        assert!(saved > PASSES * 550, "{key}, {at}: {saved}");
    }
}

/// The values themselves: that lookups bring the same is not enough.
#[tokio::test]
async fn a_job_gets_its_own_heartbeat_and_no_other() {
    let place = place().await;
    place
        .sql(&format!(
            "{JOBS} {}; CREATE TABLE beats (run bigint PRIMARY KEY, at bigint);
             INSERT INTO beats SELECT i, 1700000000000 + i FROM generate_series(-50, 2000) AS i WHERE i % 5 > 0",
            jobs(1..=700, "0")
        ))
        .await;
    let more = "column = 'at'\ntime_format = 'epoch_ms'";
    let (jobs, saved) = compare(&place, "beats", "run", more).await;
    assert!(saved > PASSES * 550, "{saved}");
    assert!(jobs.len() > 600, "{}", jobs.len());
    for job in &jobs {
        let id = job.id.number().unwrap();
        let expected = match id % 5 {
            0 => TimeValue::ABSENT,
            _ => TimeValue::from_micros((1_700_000_000_000 + id) * 1_000),
        };
        assert_eq!(job.heartbeat_at, expected, "{id}");
    }
}

#[tokio::test]
async fn conditions_and_hostile_names_hold_in_a_range() {
    let place = place().await;
    place
        .sql(&format!(
            r#"{JOBS} {}; CREATE TABLE "beats""; --" ("the ""key""" integer PRIMARY KEY, "max(x)" timestamptz, "{{{{other_key}}}}" text, gone date);
               INSERT INTO "beats""; --" SELECT i, now(), CASE i % 3 WHEN 0 THEN $q$\'$q$ ELSE 'no' END, CASE i % 4 WHEN 0 THEN now() END
                 FROM generate_series(1, 900) AS i"#,
            jobs(1..=700, "0")
        ))
        .await;
    let more = r#"column = 'max(x)'
where = { '{{other_key}}' = ["\\'"], gone = 'null' }"#;
    let (jobs, saved) = compare(&place, "beats\"; --", "the \"key\"", more).await;
    assert!(saved > PASSES * 550, "{saved}");
    for job in jobs {
        let id = job.id.number().unwrap();
        assert_eq!(job.heartbeat_at.at().is_some(), id % 3 == 0 && id % 4 > 0, "{id}");
    }
}

#[tokio::test]
async fn parts_are_one_table_and_heirs_are_not() {
    let parts = "CREATE TABLE beats (run integer PRIMARY KEY, at timestamptz) PARTITION BY RANGE (run);
        CREATE TABLE low PARTITION OF beats FOR VALUES FROM (0) TO (350);
        CREATE TABLE high PARTITION OF beats FOR VALUES FROM (350) TO (2000);";
    let heirs = "CREATE TABLE beats (run integer PRIMARY KEY, at timestamptz); CREATE TABLE low (PRIMARY KEY (run)) INHERITS (beats);
        INSERT INTO low VALUES (5, now() + interval '1 hour'), (6, '-infinity'), (2000, now());";
    for (tables, is_ranged) in [(parts, true), (heirs, false)] {
        let place = place().await;
        place
            .sql(&format!(
                "{JOBS} {}; {tables} INSERT INTO beats SELECT i, now() FROM generate_series(1, 650) AS i",
                jobs(1..=700, "0")
            ))
            .await;
        let (_, saved) = compare(&place, "beats", "run", "column = 'at'").await;
        assert_eq!(saved > PASSES * 500, is_ranged, "{tables}: {saved}");
    }
}

/// A range could hold more rows than keys, or other keys than the jobs'.
#[tokio::test]
async fn what_is_not_proven_to_be_one_row_for_each_job_is_looked_up() {
    let plain = "run integer, at timestamptz";
    let cases = [
        (plain, "CREATE INDEX ON beats (run)", ""),
        (plain, "CREATE UNIQUE INDEX ON beats (run, at)", ""),
        (
            plain,
            "CREATE UNIQUE INDEX ON beats (run) WHERE at IS NOT NULL; CREATE INDEX ON beats (run)",
            "",
        ),
        ("run text PRIMARY KEY, at timestamptz", "", ""),
        ("run integer PRIMARY KEY, at timestamptz", "", "match = 'worker'"),
    ];
    for (columns, index, more) in cases {
        let place = place().await;
        place
            .sql(&format!(
                "{JOBS} ALTER TABLE jobs ADD COLUMN worker integer GENERATED ALWAYS AS (id % 10) STORED; {};
                 CREATE TABLE beats ({columns}); {index}; INSERT INTO beats SELECT i, now() FROM generate_series(1, 650) AS i",
                jobs(1..=700, "0").replacen("jobs", "jobs (id, state, began)", 1)
            ))
            .await;
        let more = format!("column = 'at'\n{more}");
        compare_lookups(&place, &more).await;
    }
}

async fn compare_lookups(place: &Place, more: &str) {
    let mut store = place.store(&watched(&format!("table = 'beats'\nkey = 'run'\n{more}")));
    let mut last = first(&mut store).await;
    for _ in 0..PASSES {
        last = again(&mut store, &last).await;
    }
    assert_eq!(last.rows.len(), 600);
    drop(store);
    let read = reads(place, "beats").await;
    assert!(read > PASSES * 600, "{more}: {read}");
}

/// Of few jobs in a wide range each is looked up: the rows between them would be read in vain.
#[tokio::test]
async fn few_jobs_among_many_keys_are_looked_up() {
    for (last, ended, is_ranged) in [(700, "", true), (400, "", false), (1_400, "0,1,2,3", false)] {
        let place = place().await;
        place
            .sql(&format!(
                "{JOBS} {}; CREATE TABLE beats (run integer PRIMARY KEY, at timestamptz); INSERT INTO beats SELECT id, began FROM jobs",
                jobs(1..=last, ended)
            ))
            .await;
        let mut store = place.store(&watched("table = 'beats'\nkey = 'run'\ncolumn = 'at'"));
        let mut seen = first(&mut store).await;
        for _ in 0..PASSES {
            seen = again(&mut store, &seen).await;
        }
        let running = i64::try_from(seen.rows.len()).unwrap();
        assert!(running >= 400, "{running}");
        drop(store);
        let read = reads(&place, "beats").await;
        // The first pass looks up each job, and so does its full look.
        let most = if is_ranged { running * 2 + PASSES * 5 } else { i64::MAX };
        assert!(
            (is_ranged || read > PASSES * running) && read < most,
            "{running} of {last}: {read}"
        );
    }
}

/// The catalog was read, and then the key is no longer unique: a job is still one job, and its newest heartbeat counts.
#[tokio::test]
async fn where_uniqueness_is_lost_the_newest_heartbeat_still_counts() {
    let place = place().await;
    place
        .sql(&format!(
            "{JOBS} {}; CREATE TABLE beats (run integer PRIMARY KEY, at bigint); INSERT INTO beats SELECT id, 1700000000 FROM jobs",
            jobs(1..=700, "0")
        ))
        .await;
    let heartbeats = "table = 'beats'\nkey = 'run'\ncolumn = 'at'\ntime_format = 'epoch_s'";
    let mut store = place.store(&watched(heartbeats));
    let mut last = first(&mut store).await;
    last = again(&mut store, &last).await;
    let before = ids(&last);
    place
        .sql(
            "ALTER TABLE beats DROP CONSTRAINT beats_pkey;
             INSERT INTO beats VALUES (1, 1700000500), (2, 1600000000), (3, NULL), (4, 1700000100), (4, 1700000200)",
        )
        .await;
    for _ in 0..3 {
        last = again(&mut store, &last).await;
        assert_eq!(ids(&last), before);
        for (id, later) in [("1", 500), ("2", 0), ("3", 0), ("4", 200), ("5", 0)] {
            let expected = TimeValue::from_micros((1_700_000_000 + later) * 1_000_000);
            assert_eq!(super::job(&last, id).heartbeat_at, expected, "{id}");
        }
    }
    drop(store);
    let read = reads(&place, "beats").await;
    assert!(read < 2_000, "each of the last passes read it once: {read}");
}

/// A policy hides the same rows either way; that there is one is an obstacle to repairs.
#[tokio::test]
async fn row_security_hides_the_same_rows_of_a_range() {
    let place = place().await;
    let name = place.url().rsplit('/').next().unwrap().to_owned();
    let role = format!("reader_of_ranges_in_{name}");
    place
        .sql(&format!(
            "{JOBS} {}; CREATE TABLE beats (run integer PRIMARY KEY, at timestamptz);
             INSERT INTO beats SELECT id, now() FROM jobs; CREATE TABLE twin AS SELECT * FROM beats; CREATE INDEX ON twin (run);
             CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
             ALTER TABLE beats ENABLE ROW LEVEL SECURITY; CREATE POLICY odd ON beats USING (run % 2 = 1);
             ALTER TABLE twin ENABLE ROW LEVEL SECURITY; CREATE POLICY odd ON twin USING (run % 2 = 1)",
            jobs(1..=700, "0")
        ))
        .await;
    let url = crate::support::postgres::shared().url(&role, &name);
    let mut seen = Vec::new();
    for table in ["beats", "twin"] {
        let mapping = watched(&format!("table = '{table}'\nkey = 'run'\ncolumn = 'at'"));
        let mut config = place.load(&mapping).unwrap().config;
        config.watches[0].database = DatabaseSource::Url(Secret::new(url.clone()));
        let mut store = app::store_of(&config.watches[0]).unwrap();
        let mut last = first(&mut store).await;
        last = again(&mut store, &last).await;
        assert_eq!(last.obstacles[0].cause, Cause::Rights);
        seen.push(again(&mut store, &last).await.rows);
    }
    assert_eq!(seen[0], seen[1]);
    let beating = seen[0].iter().filter(|job| job.heartbeat_at.at().is_some()).count();
    assert_eq!((seen[0].len(), beating), (600, 300));
}
