//! Answers that come too late to be used, the same for every database: what only they had is read again.

use super::{Bed, PostgresBed, SqliteBed, Written};
use crate::support::runs;
use beatwarden::{
    domain::{Action, Finding, Moment, Noted, Outcome, Repair, Snapshot, Timestamp},
    pass::{Audience, Clock, FailedPass, GoodPass},
    store::{DiscoverySetting, ObserveRequest, Resolution, Store, StoreError},
    watch::{FullLooks, Pace, Watch},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

contract!(what_only_a_late_answer_had_is_read_again);

const POLL_TIMEOUT: Duration = Duration::from_secs(10);

/// A clock that stands still, but for what passes while an answer is on its way.
#[derive(Clone, Default)]
struct Standing(Arc<AtomicU64>);

impl Clock for Standing {
    fn moment(&self) -> Moment {
        Moment::from_start(Duration::from_secs(self.0.load(Ordering::Relaxed)))
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_secs(self.0.load(Ordering::Relaxed)))
    }
}

/// A store whose process is frozen before it takes an answer that is there.
struct Late<S> {
    store: S,
    clock: Standing,
    freezes: Arc<AtomicBool>,
}

impl<S: Store> Store for Late<S> {
    async fn observe(&mut self, request: &ObserveRequest) -> Result<Snapshot, StoreError> {
        let seen = self.store.observe(request).await;
        if self.freezes.swap(false, Ordering::Relaxed) {
            self.clock.0.fetch_add(5 * POLL_TIMEOUT.as_secs(), Ordering::Relaxed);
        }
        seen
    }

    async fn prepare_ledger(&mut self) -> Result<(), StoreError> {
        self.store.prepare_ledger().await
    }

    async fn repair(&mut self, repair: &Repair) -> Outcome {
        self.store.repair(repair).await
    }

    async fn resolve(&mut self, repair: &Repair) -> Result<Resolution, StoreError> {
        self.store.resolve(repair).await
    }

    async fn note(&mut self, finding: &Finding) -> Result<Noted, StoreError> {
        self.store.note(finding).await
    }
}

/// The jobs of the last good pass.
#[derive(Clone, Default)]
struct Jobs(Arc<Mutex<Vec<String>>>);

impl Audience for Jobs {
    fn good(&self, pass: Arc<GoodPass>) {
        let jobs = pass.report.jobs.iter().map(|job| job.id.to_string());
        *self.0.lock().unwrap() = jobs.collect();
    }

    fn failed(&self, _pass: FailedPass) {}
}

async fn what_only_a_late_answer_had_is_read_again(bed: impl Bed) {
    bed.write(&Written::running(1).started(-5.0)).await;
    let (clock, freezes, jobs) = (Standing::default(), Arc::new(AtomicBool::new(false)), Jobs::default());
    let store = Late {
        store: bed.store_by(Action::Observe, DiscoverySetting::KeyTail),
        clock: clock.clone(),
        freezes: freezes.clone(),
    };
    let pace = Pace {
        poll_interval: Duration::from_secs(1),
        poll_timeout: POLL_TIMEOUT,
        // None comes to help.
        full_look_interval: Duration::from_secs(3_600),
        full_looks: FullLooks::Gradual,
    };
    let mut watch = Watch::new(
        store,
        clock,
        jobs.clone(),
        runs::policy(),
        pace,
        CancellationToken::new(),
    );
    // The newest rows, then the full look.
    watch.pass().await.unwrap();
    watch.pass().await.unwrap();
    // One that the next pass doesn't read for its neighbours.
    bed.sql(&bed.many_ended(1_000)).await;
    bed.sql("DELETE FROM runs WHERE id = 2").await;
    bed.write(&Written::running(2).started(-5.0)).await;
    freezes.store(true, Ordering::Relaxed);
    watch.pass().await.expect_err("the answer is too old");
    watch.pass().await.unwrap();
    assert_eq!(*jobs.0.lock().unwrap(), ["1", "2"]);
}
