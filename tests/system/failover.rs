//! Failover for real: a primary and its streaming standby, promotion, a former primary that comes back, commits that the
//! new primary never received. The watch follows on its own, repairs nothing on the strength of what it saw before, and every
//! repair is there once, with its entry, on the server that survived.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod monitor;
pub mod pair;
pub mod patroni;
pub mod writer;

use crate::support::{Session, beatwarden::Beatwarden, eventually};
use pair::{Pair, SOON, beat, begin, clock, entries, hold, refusing, repaired, state};
use tokio_postgres::Client;

/// As in the configuration, in seconds.
const DEADLINE: f64 = 2.0;
const HEARTBEAT_TIMEOUT: f64 = 5.0;

fn of_watch(name: &str) -> String {
    format!("{name}{{watch=\"runs\"}}")
}

fn repairs(action: &str) -> String {
    format!("repairs_total{{action=\"{action}\",reason=\"missed_first\",watch=\"runs\"}}")
}

fn withheld(cause: &str) -> String {
    format!("withheld_repairs{{cause=\"{cause}\",watch=\"runs\"}}")
}

fn failed_polls(dog: &Beatwarden) -> f64 {
    let of = |cause: &str| dog.metric(&format!("poll_failures_total{{cause=\"{cause}\",watch=\"runs\"}}"));
    of("connect").unwrap() + of("timeout").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_loses_commits_loses_no_repair_and_doubles_none() {
    let pair = Pair::new("fail").await;
    let dog = pair.watch_both("fail").await;
    let old = pair.writer(&pair.primary).await;
    let kept = begin(&old).await;
    repaired(&old, kept, &dog).await;
    let (lost_repair, lost_beat) = (begin(&old).await, begin(&old).await);
    // No one repairs them before the standby is cut off.
    hold(&old, &[lost_repair, lost_beat]).await;
    pair.primary.replayed_by(&pair.standby).await;
    pair.standby.cut_off().await;
    beat(&old, lost_beat).await;
    old.run("COMMIT").await;
    repaired(&old, lost_repair, &dog).await;
    dog.metric_becomes(&repairs("fail"), 2.0, SOON).await;
    let lost_job = begin(&old).await;
    pair.primary.crash();
    // Seeing is better than not seeing: it watches the standby meanwhile.
    dog.metric_becomes(&withheld("read_only"), 2.0, SOON).await;

    let new = pair.writer(&pair.standby).await;
    let promoted = clock(&new).await;
    pair.standby.promote().await;
    // Its writer lives, and beats again as soon as it has a server.
    dog.metric_becomes(&withheld("db_restart"), 2.0, SOON).await;
    beat(&new, lost_beat).await;
    let young = begin(&new).await;
    let again = repaired(&new, lost_repair, &dog).await;
    assert!(
        again >= promoted + HEARTBEAT_TIMEOUT,
        "{again} {promoted} {}",
        dog.log()
    );
    let first = repaired(&new, young, &dog).await;
    assert!(first >= promoted + DEADLINE);

    let states = [kept, lost_repair, lost_beat, lost_job, young];
    let expected = [Some("FAIL"), Some("FAIL"), Some("RUNNING"), None, Some("FAIL")];
    for (job, expected) in states.into_iter().zip(expected) {
        assert_eq!(state(&new, job).await.as_deref(), expected, "job {job}");
        assert_eq!(
            entries(&new, job).await,
            i64::from(expected == Some("FAIL")),
            "job {job}"
        );
    }
    // What it did, it did: the repair that was lost, too. And nothing was taken for a false repair.
    dog.metric_becomes(&repairs("fail"), 4.0, SOON).await;
    assert_eq!(dog.metric(&of_watch("false_repairs_total")), Some(0.0));
    assert_eq!(
        dog.metric(&of_watch("repair_failures_total")),
        Some(0.0),
        "{}",
        dog.log()
    );

    there_and_back(&pair, &dog, lost_repair).await;
}

/// The former primary comes back behind the new one, and takes over again.
async fn there_and_back(pair: &Pair, dog: &Beatwarden, repaired_before: i32) {
    pair.primary.rewind(&pair.standby).await;
    pair.primary.follow(&pair.standby);
    let new = pair.writer(&pair.standby).await;
    let job = begin(&new).await;
    // The former primary stands first in the address, and is a standby now: no watch goes there.
    repaired(&new, job, dog).await;
    assert_eq!(dog.metric(&withheld("read_only")), Some(0.0));
    pair.standby.replayed_by(&pair.primary).await;
    drop(new);
    // For a while there is no host at all.
    pair.primary.stop();
    pair.standby.crash();
    dog.metric_becomes(&of_watch("up"), 0.0, SOON).await;
    pair.primary.start();
    dog.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    let back = pair.writer(&pair.primary).await;
    let promoted = clock(&back).await;
    pair.primary.promote().await;
    let last = begin(&back).await;
    assert!(repaired(&back, last, dog).await >= promoted + DEADLINE);
    for job in [repaired_before, job, last] {
        assert_eq!(
            (state(&back, job).await.as_deref(), entries(&back, job).await),
            (Some("FAIL"), 1)
        );
    }
    let verdict = crate::stress::judge::judge(&pair.owner(&pair.primary)).await;
    assert_eq!(verdict.violations, Vec::new());
    assert_eq!((verdict.repairs, verdict.false_repairs), (5, 0));
    assert_eq!(dog.metric(&of_watch("up")), Some(1.0));
}

/// A demoted primary keeps its connections alive, read-only.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_leaves_a_primary_that_was_demoted_under_it() {
    let pair = Pair::new("backfill").await;
    let dog = pair.watch_both("backfill").await;
    let old = pair.writer(&pair.primary).await;
    let first = begin(&old).await;
    repaired(&old, first, &dog).await;
    let second = begin(&old).await;
    hold(&old, &[second]).await;
    pair.primary.replayed_by(&pair.standby).await;
    pair.primary
        .execute("ALTER SYSTEM SET default_transaction_read_only = on")
        .await;
    pair.primary.execute("SELECT pg_reload_conf()").await;
    dog.metric_becomes(&withheld("read_only"), 1.0, SOON).await;
    old.run("ROLLBACK").await;
    let new = pair.writer(&pair.standby).await;
    let promoted = clock(&new).await;
    pair.standby.promote().await;
    assert!(repaired(&new, second, &dog).await >= promoted + DEADLINE);
    assert_eq!((entries(&new, first).await, entries(&new, second).await), (1, 1));
    let changed_after = "SELECT count(*) FROM runs WHERE id = $1 AND last_heartbeat_at IS NOT NULL";
    let on_the_old: i64 = old.query_one(changed_after, &[&second]).await.unwrap().get(0);
    assert_eq!(on_the_old, 0, "the old primary was written to");
    // All repairs were made by the one connection that sees the new primary.
    assert_eq!(dog.metric(&repairs("backfill")), Some(2.0));
    assert_eq!(failed_polls(&dog), 0.0, "no connection broke: {}", dog.log());
}

/// It accepts connections, and never answers; when it wakes up it takes itself for the primary still.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_host_hides_no_other_and_is_not_repaired_when_it_wakes_up() {
    let pair = Pair::new("backfill").await;
    let dog = pair.watch_both("backfill").await;
    let old = pair.writer(&pair.primary).await;
    let dead = begin(&old).await;
    hold(&old, &[dead]).await;
    pair.primary.replayed_by(&pair.standby).await;
    pair.primary.signal("STOP");
    dog.metric_becomes(&of_watch("up"), 0.0, SOON).await;
    let new = pair.writer(&pair.standby).await;
    let promoted = clock(&new).await;
    pair.standby.promote().await;
    dog.metric_becomes(&of_watch("up"), 1.0, SOON).await;
    pair.primary.signal("CONT");
    assert!(repaired(&new, dead, &dog).await >= promoted + DEADLINE);
    // The first repair made the second connection, although the old primary comes first in the address, and answers again.
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'dog'";
    eventually("no session is left behind", SOON, async || {
        (old.query_one(ours, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    let next = begin(&new).await;
    repaired(&new, next, &dog).await;
    assert_eq!((entries(&new, dead).await, entries(&new, next).await), (1, 1));
    assert_eq!((entries(&old, dead).await, state(&old, next).await), (0, None));
}

/// A standby and no other host: what replication brings is seen, and never repaired.
async fn a_standby_alone(pair: &Pair, old: &Client) {
    let dog = pair.watch("backfill", &[pair.standby.port()]).await;
    dog.metric_becomes(&withheld("read_only"), 1.0, SOON).await;
    let up = (dog.metric(&of_watch("up")), dog.metric(&of_watch("repair_enabled")));
    assert_eq!(up, (Some(1.0), Some(0.0)));
    begin(old).await;
    dog.metric_becomes(&withheld("read_only"), 2.0, SOON).await;
    assert_eq!(
        dog.metric(&of_watch("repair_failures_total")),
        Some(0.0),
        "{}",
        dog.log()
    );
    assert!(dog.stop().success());
}

/// The control file shows the new timeline only after a checkpoint, and the start time stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_changes_the_identity_at_once() {
    let pair = Pair::new("backfill").await;
    let old = pair.writer(&pair.primary).await;
    let dead = begin(&old).await;
    pair.primary.replayed_by(&pair.standby).await;
    // No server at the other address: a standby that comes first is still better than nothing.
    let dog = pair.watch("backfill", &[pair.standby.port(), refusing()]).await;
    dog.metric_becomes(&withheld("read_only"), 1.0, SOON).await;
    assert_eq!((dog.metric(&of_watch("up")), failed_polls(&dog)), (Some(1.0), 0.0));
    a_standby_alone(&pair, &old).await;
    // Overdue, and watched for more than a deadline, when the server becomes a primary.
    let passes = dog.metric(&of_watch("polls_total")).unwrap();
    eventually("a deadline of watching", SOON, async || {
        (dog.metric(&of_watch("polls_total"))? > passes + 5.0 * DEADLINE).then_some(())
    })
    .await;
    let client = pair.writer(&pair.standby).await;
    let identity = "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby'
                                ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END, pg_postmaster_start_time()::text";
    let ask = async || {
        let row = client.query_one(identity, &[]).await.unwrap();
        (row.get::<_, String>(0), row.get::<_, String>(1))
    };
    let (before, started) = ask().await;
    let passes = dog.metric(&of_watch("polls_total")).unwrap();
    let promoted = clock(&client).await;
    client.run("SELECT pg_promote()").await;
    let (after, still_started) = ask().await;
    assert_ne!(before, after);
    assert_eq!(started, still_started);
    eventually("two passes", SOON, async || {
        (dog.metric(&of_watch("polls_total"))? >= passes + 2.0).then_some(())
    })
    .await;
    assert!(dog.log().contains("watching starts again"), "{}", dog.log());
    assert!(repaired(&client, dead, &dog).await >= promoted + DEADLINE);
    assert_eq!(entries(&client, dead).await, 1);
}
