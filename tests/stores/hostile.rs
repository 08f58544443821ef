//! Hostile rows: whatever a table holds, on real PostgreSQL and real SQLite, no pass is lost, no row that can't be read is
//! repaired, and the healthy ones beside it are. The production watch and stores; `make fuzz-rows` for long runs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod beds;
mod megabytes;
mod values;

use crate::support::runs;
use beatwarden::{
    domain::{Action, Policy},
    pass::{Audience, FailedPass, GoodPass, SystemClock},
    store::Store,
    watch::{FullLooks, Pace, Watch},
};
use beds::{Bed, PostgresBed, SqliteBed};
use proptest::prelude::*;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use values::{HostileRow, HostileTime, Shape};

/// Cases with the other tests; `PROPTEST_CASES` for more.
const CASES: u32 = 3;
/// How long a repair may take on a busy machine.
const LONG: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(100);

/// Keeps what a pass reports.
#[derive(Clone, Default)]
struct Reported {
    failures: Arc<Mutex<Vec<String>>>,
    last: Arc<Mutex<Option<Arc<GoodPass>>>>,
}

impl Audience for Reported {
    fn good(&self, pass: Arc<GoodPass>) {
        *self.last.lock().unwrap() = Some(pass);
    }

    fn failed(&self, pass: FailedPass) {
        self.failures.lock().unwrap().push(pass.error);
    }
}

fn policy(action: Action) -> Policy {
    Policy {
        watch: "hostile".to_owned(),
        init_deadline: INTERVAL * 2,
        heartbeat_timeout: INTERVAL * 4,
        action,
        fuse_min_jobs: 10_000,
        fuse_share: 1.0,
        max_per_pass: 10_000,
        writer_stale_after_without_heartbeat: None,
        ..runs::policy()
    }
}

/// Watches a table until the healthy neighbours are repaired, and says what had gone wrong by then.
async fn watch(store: impl Store, action: Action, is_done: impl AsyncFn() -> bool) -> Result<(), String> {
    let reported = Reported::default();
    let pace = Pace {
        poll_interval: INTERVAL,
        poll_timeout: Duration::from_secs(10),
        // Every look sees all of the table.
        full_look_interval: Duration::ZERO,
        full_looks: FullLooks::AtOnce,
    };
    let stop = CancellationToken::new();
    let mut watch = Watch::new(
        store,
        SystemClock::start(),
        reported.clone(),
        policy(action),
        pace,
        stop,
    );
    let until = Instant::now() + LONG;
    while !is_done().await {
        // A pass that panics is a failed test.
        let _ = watch.pass().await;
        let failures = reported.failures.lock().unwrap().clone();
        if !failures.is_empty() {
            return Err(format!("lost passes: {failures:?}"));
        }
        if Instant::now() > until {
            let last = reported.last.lock().unwrap().clone();
            return Err(format!(
                "the neighbours were not repaired: {:?}",
                last.map(|pass| pass.report.clone())
            ));
        }
        tokio::time::sleep(INTERVAL / 2).await;
    }
    Ok(())
}

/// One table of hostile rows between two healthy ones, watched.
async fn beside_healthy_neighbours(bed: impl Bed, action: Action, rows: &[HostileRow]) -> Result<(), TestCaseError> {
    bed.insert(rows).await;
    let before = bed.rows().await;
    watch(bed.store(action), action, async || {
        bed.neighbours_are_repaired(action).await
    })
    .await
    .map_err(TestCaseError::fail)?;
    let after = bed.rows().await;
    for (row, (key, before)) in rows.iter().zip(&before) {
        let after = &after[key];
        prop_assert!(
            row.may_be_repaired() || before == after,
            "{action:?} changed {row:?}: {before} became {after}"
        );
    }
    Ok(())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(CASES),
        max_shrink_iters: 30,
        ..ProptestConfig::default()
    }
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![Just(Action::Backfill), Just(Action::Fail)]
}

/// Bytes that spell a running state are none, neither in an ordinary look nor among the unknown states of a full one.
#[test]
fn a_blob_that_spells_a_running_state_is_left_alone() {
    let row = HostileRow {
        name: "'blob'".to_owned(),
        state: ("x'52554e4e494e47'".to_owned(), false),
        times: [
            "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-7200 seconds')",
            "NULL",
            "NULL",
        ]
        .map(|sql| HostileTime {
            sql: sql.to_owned(),
            is_unreadable: false,
        }),
        payload: "NULL".to_owned(),
    };
    let rows: Vec<HostileRow> = std::iter::repeat_n(row, 20).collect();
    for action in [Action::Backfill, Action::Fail] {
        block_on(async { beside_healthy_neighbours(SqliteBed::new(Shape::SqliteTexts), action, &rows).await }).unwrap();
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn whatever_timestamps_postgresql_holds(action in actions(), rows in values::rows(Shape::Timestamps)) {
        block_on(async { beside_healthy_neighbours(PostgresBed::new(Shape::Timestamps).await, action, &rows).await })?;
    }

    #[test]
    fn whatever_times_with_a_zone_postgresql_holds(action in actions(), rows in values::rows(Shape::Zoned)) {
        block_on(async { beside_healthy_neighbours(PostgresBed::new(Shape::Zoned).await, action, &rows).await })?;
    }

    #[test]
    fn whatever_double_precision_epochs_postgresql_holds(action in actions(), rows in values::rows(Shape::Doubles)) {
        block_on(async { beside_healthy_neighbours(PostgresBed::new(Shape::Doubles).await, action, &rows).await })?;
    }

    #[test]
    fn whatever_numeric_epochs_postgresql_holds(action in actions(), rows in values::rows(Shape::Numerics)) {
        block_on(async { beside_healthy_neighbours(PostgresBed::new(Shape::Numerics).await, action, &rows).await })?;
    }

    #[test]
    fn whatever_integer_epochs_postgresql_holds(action in actions(), rows in values::rows(Shape::Integers)) {
        block_on(async { beside_healthy_neighbours(PostgresBed::new(Shape::Integers).await, action, &rows).await })?;
    }

    #[test]
    fn whatever_stands_where_sqlite_should_have_times_as_text(action in actions(), rows in values::rows(Shape::SqliteTexts)) {
        block_on(async { beside_healthy_neighbours(SqliteBed::new(Shape::SqliteTexts), action, &rows).await })?;
    }

    #[test]
    fn whatever_stands_where_sqlite_should_have_numbers(action in actions(), rows in values::rows(Shape::SqliteNumbers)) {
        block_on(async { beside_healthy_neighbours(SqliteBed::new(Shape::SqliteNumbers), action, &rows).await })?;
    }
}
