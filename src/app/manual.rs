//! What a person at a terminal needs: one job examined, and a watch whose passes are made by hand.

use super::{
    any_store::AnyStore,
    build::{pace_of, policy_of, store_of},
    error::AppError,
};
use crate::{
    config::WatchConfig,
    domain::{
        self, ByHand, Coverage, Holder, Job, JobId, JobView, LedgerEntry, Memory, Observation, Policy, Silence,
        Timestamp,
    },
    pass::{Audience, Clock, FailedPass, GoodPass, SystemClock},
    store::{Entries, Ledger, ObserveRequest, Store, StoreError, TimeBudget},
    watch::{FullLooks, Pace, Watch},
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// One job as a process that has just begun to watch sees it.
#[derive(Debug)]
pub struct Examination {
    /// The database's time.
    pub now: Timestamp,
    /// The row, if there is one.
    pub row: Option<Job>,
    /// Its judgement, if it runs and can be read.
    pub view: Option<JobView>,
    /// Everything that the ledger has of it, oldest first.
    pub entries: Vec<LedgerEntry>,
    /// Why the ledger couldn't be read: who only observes needs no right to.
    pub unread: Option<String>,
    /// Who holds the gate, its row or its table.
    pub holders: Vec<Holder>,
    /// Where no good run shows a heartbeat.
    pub silence: Option<Silence>,
    /// The rules that it is judged by.
    pub policy: Policy,
}

/// Examines one job.
///
/// # Errors
/// If the store can't be built from the configuration, or the database can't be asked.
pub async fn examine(watch: &WatchConfig, id: &JobId) -> Result<Examination, AppError> {
    let failed = AppError::of_store(watch);
    let clock = SystemClock::start();
    let mut store = store_of(watch)?;
    let request = ObserveRequest {
        known: vec![id.clone()],
        coverage: Coverage::Ordinary,
        budget: TimeBudget::About(Duration::ZERO),
        window: watch.init_window,
        wrote: false,
        lost_last: false,
    };
    let policy = policy_of(watch);
    let began = clock.moment();
    let snapshot = match store.observe(&request).await {
        // A key that the column's type can't hold is no row's key.
        Err(StoreError::BadValue { .. }) => {
            return Ok(Examination {
                now: clock.wall(),
                row: None,
                view: None,
                entries: Vec::new(),
                unread: None,
                holders: Vec::new(),
                silence: None,
                policy,
            });
        }
        seen => seen.map_err(&failed)?,
    };
    let (entries, unread) = match store.entries(Entries::OfJob(id.clone())).await {
        Err(StoreError::Rights(why)) => (Vec::new(), Some(why)),
        answer => (answer.map_err(&failed)?, None),
    };
    // It serves an explanation, and a role needn't be allowed to see it.
    let holders = store.holders(Some(id)).await.unwrap_or_default();
    let good_runs = store.good_runs().await.unwrap_or_default();
    let observation = Observation {
        began,
        finished: clock.moment(),
        interval: watch.poll_interval,
        snapshot,
    };
    let (_, plan) = domain::plan(Memory::default(), &observation, &policy);
    Ok(Examination {
        now: plan.at,
        row: observation.snapshot.rows.into_iter().find(|row| row.id == *id),
        view: plan.jobs.into_iter().find(|view| view.id == *id),
        entries,
        unread,
        holders,
        silence: Silence::of(&good_runs, plan.at, &policy),
        policy,
    })
}

/// The newest run of a name, if the watched table has it.
///
/// # Errors
/// If the store can't be built from the configuration, or the database can't be asked.
pub async fn newest_run(watch: &WatchConfig, name: &str) -> Result<Option<JobId>, AppError> {
    let found = store_of(watch)?.newest_run(name).await;
    found.map_err(AppError::of_store(watch))
}

/// The audience of a watch whose passes are shown by the one who makes them.
pub struct NoAudience;

impl Audience for NoAudience {
    fn good(&self, _: Arc<GoodPass>) {}

    fn failed(&self, _: FailedPass) {}
}

/// A watch whose passes are planned and carried out by hand.
pub type ManualWatch = Watch<AnyStore, SystemClock, NoAudience>;

/// A watch for repairing by hand, and the policy that it follows. It is looked through and carried out by the caller.
///
/// # Errors
/// If the store can't be built from the configuration.
pub fn manual_watch(
    watch: &WatchConfig,
    by_hand: ByHand,
    interval: Duration,
) -> Result<(ManualWatch, Policy), AppError> {
    let mut policy = policy_of(watch);
    policy.by_hand = Some(by_hand);
    let pace = Pace {
        poll_interval: interval,
        full_looks: FullLooks::AtOnce,
        ..pace_of(watch)
    };
    let (clock, stop) = (SystemClock::start(), CancellationToken::new());
    let watch = Watch::new(store_of(watch)?, clock, NoAudience, policy.clone(), pace, stop);
    Ok((watch, policy))
}
