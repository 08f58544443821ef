//! Answers that are there and not used, the same for every database: what only they had is read again.

use super::{Bed, PostgresBed, SqliteBed, Written};
use crate::support::runs;
use beatwarden::{
    domain::{Action, Coverage, Finding, Moment, Noted, Outcome, Repair, Snapshot, Timestamp},
    pass::{Audience, Clock, FailedPass, GoodPass},
    store::{DiscoverySetting, ObserveRequest, Resolution, Store, StoreError, TimeBudget},
    watch::{FullLooks, Pace, Watch},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

contract!(
    what_only_a_late_answer_had_is_read_again,
    what_only_a_panicked_pass_had_is_read_again,
);

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

/// What happens once to a process before it takes an answer that is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mishap {
    None,
    Frozen,
    Panic,
}

/// A store whose answers are not taken. It reads one page of a full look in a pass.
struct Late<S> {
    store: S,
    clock: Standing,
    next: Arc<Mutex<Mishap>>,
}

impl<S: Store> Store for Late<S> {
    async fn observe(&mut self, request: &ObserveRequest) -> Result<Snapshot, StoreError> {
        let request = ObserveRequest {
            budget: TimeBudget::About(Duration::ZERO),
            ..request.clone()
        };
        let seen = self.store.observe(&request).await;
        let mishap = std::mem::replace(&mut *self.next.lock().unwrap(), Mishap::None);
        match mishap {
            Mishap::None => {}
            Mishap::Frozen => {
                self.clock.0.fetch_add(5 * POLL_TIMEOUT.as_secs(), Ordering::Relaxed);
            }
            Mishap::Panic => panic!("on purpose"),
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

/// The jobs of the last good pass. What covers the whole table ends the watch.
#[derive(Clone, Default)]
struct Jobs {
    last: Arc<Mutex<Vec<String>>>,
    whole: CancellationToken,
    failed: Arc<Mutex<Vec<String>>>,
}

impl Audience for Jobs {
    fn good(&self, pass: Arc<GoodPass>) {
        let jobs = pass.report.jobs.iter().map(|job| job.id.to_string());
        *self.last.lock().unwrap() = jobs.collect();
        if pass.coverage == Coverage::Full {
            self.whole.cancel();
        }
    }

    fn failed(&self, pass: FailedPass) {
        self.failed.lock().unwrap().push(pass.error);
    }
}

/// A watch whose first full look is the only one, and which the mishap meets in its next pass once it is set.
fn watch<B: Bed>(bed: &B, next: &Arc<Mutex<Mishap>>, jobs: &Jobs) -> Watch<Late<impl Store + use<B>>, Standing, Jobs> {
    let clock = Standing::default();
    let store = Late {
        store: bed.store_by(Action::Observe, DiscoverySetting::KeyTail),
        clock: clock.clone(),
        next: next.clone(),
    };
    let pace = Pace {
        poll_interval: Duration::from_secs(1),
        poll_timeout: POLL_TIMEOUT,
        // None comes to help.
        full_look_interval: Duration::from_secs(3_600),
        full_looks: FullLooks::Gradual,
    };
    Watch::new(store, clock, jobs.clone(), runs::policy(), pace, jobs.whole.clone())
}

async fn what_only_a_late_answer_had_is_read_again(bed: impl Bed) {
    bed.write(&Written::running(1).started(-5.0)).await;
    let (next, jobs) = (Arc::new(Mutex::new(Mishap::None)), Jobs::default());
    let mut watch = watch(&bed, &next, &jobs);
    // The newest rows, then the full look.
    watch.pass().await.unwrap();
    watch.pass().await.unwrap();
    // One that the next pass doesn't read for its neighbours.
    bed.sql(&bed.many_ended(1_000)).await;
    bed.sql("DELETE FROM runs WHERE id = 2").await;
    bed.write(&Written::running(2).started(-5.0)).await;
    *next.lock().unwrap() = Mishap::Frozen;
    watch.pass().await.expect_err("the answer is too old");
    watch.pass().await.unwrap();
    assert_eq!(*jobs.last.lock().unwrap(), ["1", "2"]);
}

async fn what_only_a_panicked_pass_had_is_read_again(bed: impl Bed) {
    // The first of two pages has the job. Neither the newest rows nor the second page do.
    bed.sql(&bed.many_ended(22_000)).await;
    bed.sql("DELETE FROM runs WHERE id = 10000").await;
    bed.write(&Written::running(10_000).started(-5.0)).await;
    let (next, jobs) = (Arc::new(Mutex::new(Mishap::None)), Jobs::default());
    let mut watch = watch(&bed, &next, &jobs);
    // The newest rows.
    watch.pass().await.unwrap();
    assert!(jobs.last.lock().unwrap().is_empty() && !jobs.whole.is_cancelled());
    *next.lock().unwrap() = Mishap::Panic;
    watch.run().await;
    assert_eq!(
        *jobs.failed.lock().unwrap(),
        ["the pass ended by a bug in Beatwarden, please report it: on purpose"]
    );
    assert_eq!(*jobs.last.lock().unwrap(), ["10000"]);
}
