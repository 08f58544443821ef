//! One pass and the loop around it: observe, plan, repair, report. Generic over store, clock and audience, so that a
//! simulation runs this very code.

mod repairing;

use crate::{
    domain::{
        self, Cause, Coverage, JobId, Memory, Observation, Obstacle, Plan, Policy, SCANS, interval_in_force,
        judges_late,
    },
    pass::{Audience, Clock, FailedPass, GoodPass},
    store::{ObserveRequest, Store, StoreError, TimeBudget},
};
use std::{
    any::Any,
    collections::BTreeMap,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How often a watch makes a pass, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The configured poll interval.
    pub poll_interval: Duration,
    /// The deadline of one pass.
    pub poll_timeout: Duration,
    /// How often the whole table is covered.
    pub full_look_interval: Duration,
    /// How one is made where it goes page by page.
    pub full_looks: FullLooks,
}

/// How a full look that goes page by page is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullLooks {
    /// Within one pass: for a caller that makes one pass.
    AtOnce,
    /// Spread over many passes, at low weight.
    Gradual,
}

/// The longest wait between two attempts at a database that is away.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// One watched table.
pub struct Watch<S, C, A> {
    store: S,
    clock: C,
    audience: A,
    policy: Policy,
    pace: Pace,
    memory: Memory,
    /// What the last scans of the table cost the database, five at most.
    scans: Vec<Duration>,
    interval: Duration,
    last_full_look: Option<domain::Moment>,
    /// Whether the whole table was ever covered.
    is_covered: bool,
    /// How long after it the next one begins.
    full_look_after: Duration,
    failures: u32,
    /// Whether the last pass wrote to the ledger, or found something that belongs in it.
    wrote: bool,
    /// Whether what was observed last is lost: no job that it brought is remembered.
    lost_last: bool,
    /// Whether a ledger of an earlier version was given the indexes that it is read by.
    is_ledger_migrated: bool,
    /// Why the ledger can't be created, where that was refused.
    ledger_refused: Option<String>,
    /// The jobs whose repairs another session keeps waiting, each since when.
    held: BTreeMap<JobId, domain::Moment>,
    /// When it was last asked who that is.
    asked_for_holders: Option<domain::Moment>,
    stop: CancellationToken,
}

impl<S: Store, C: Clock, A: Audience> Watch<S, C, A> {
    /// A watch that begins to look when it is run. `stop` ends it between two steps.
    pub fn new(store: S, clock: C, audience: A, policy: Policy, pace: Pace, stop: CancellationToken) -> Self {
        Self {
            store,
            clock,
            audience,
            policy,
            interval: pace.poll_interval,
            full_look_after: pace.full_look_interval,
            pace,
            memory: Memory::default(),
            scans: Vec::new(),
            last_full_look: None,
            is_covered: false,
            failures: 0,
            wrote: false,
            lost_last: false,
            is_ledger_migrated: false,
            ledger_refused: None,
            held: BTreeMap::new(),
            asked_for_holders: None,
            stop,
        }
    }

    /// The same watch under another policy and pace, until another stop. What was watched is not forgotten: only the
    /// connection is opened again, so a role or a password may have changed too.
    #[must_use]
    pub fn renewed(self, store: S, policy: Policy, pace: Pace, stop: CancellationToken) -> Self {
        Self {
            store,
            interval: pace.poll_interval,
            policy,
            pace,
            scans: Vec::new(),
            failures: 0,
            is_ledger_migrated: false,
            ledger_refused: None,
            stop,
            ..self
        }
    }

    /// Passes until it is stopped. A pass never overlaps the next, and a late one delays the next.
    pub async fn run(&mut self) {
        // The first pass comes at once: after a restart an operator expects a result. Replicas that start together must not poll
        // together for ever, so the first wait is cut short by chance.
        let mut wait = Duration::ZERO;
        let mut share = 0.5 + 0.5 * fastrand::f64();
        loop {
            // A sleep of no length lasts until the timer's next tick.
            let pause = async {
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = pause => {}
            }
            let began = self.clock.moment();
            wait = match caught(self.pass()).await {
                Ok(Ok(())) => {
                    let interval = self.interval.mul_f64(std::mem::replace(&mut share, 1.0));
                    interval.saturating_sub(self.clock.moment().since(began))
                }
                Ok(Err(retry_in)) => retry_in,
                Err(said) => self.recover_from_panic(&said, began),
            };
        }
    }

    /// One cycle: observe, plan, repair, report.
    ///
    /// # Errors
    /// If the table could not be read: the time after which to try again. The reason is reported to the audience.
    pub async fn pass(&mut self) -> Result<(), Duration> {
        let (observation, plan) = self.look().await.map_err(|(retry_in, _)| retry_in)?;
        self.carry_out(observation, plan).await;
        Ok(())
    }

    /// The first half of a pass: observe and plan. Nothing is changed by it.
    ///
    /// # Errors
    /// If the table could not be read: the time after which to try again, and why. It is reported to the audience, too.
    pub async fn look(&mut self) -> Result<(Observation, Plan), (Duration, String)> {
        let asked = self.clock.moment();
        let coverage = self.next_coverage(asked);
        let mut known: Vec<_> = self.memory.known_jobs().cloned().collect();
        // Of one job several repairs may wait for what becomes of them.
        known.sort_unstable();
        known.dedup();
        let request = ObserveRequest {
            known,
            coverage,
            budget: self.time_budget(),
            window: self.policy.init_window,
            wrote: self.wrote,
            lost_last: self.lost_last,
        };
        let observed = self.store.observe(&request).await;
        drop(request);
        let finished = self.clock.moment();
        // From when the snapshot was begun: a wait for a connection says nothing about the database's clock, nor about the
        // table.
        let waited = observed.as_ref().map(|snapshot| snapshot.timing.begun_after);
        let began = asked.plus(waited.unwrap_or_default()).min(finished);
        let took = finished.since(began);
        let snapshot = match observed {
            // A frozen process may find an answer that is older than any deadline: it is not used.
            Ok(_) if took > self.pace.poll_timeout * 4 => {
                self.lost_last = true;
                Err(StoreError::Timeout {
                    what: "reading the table",
                    after: took,
                })
            }
            result => result,
        };
        let snapshot = snapshot.map_err(|error| (self.fail(&error, took), error.chain()))?;
        self.failures = 0;
        self.is_covered |= snapshot.coverage == Coverage::Full;
        if snapshot.coverage == Coverage::Full || coverage == Coverage::Full {
            self.last_full_look = Some(finished);
            // Never later than promised, and not together with other replicas.
            self.full_look_after = self.pace.full_look_interval.mul_f64(0.9 + 0.1 * fastrand::f64());
        }
        // A gap is judged by the interval that was in force while it lasted.
        let interval = self.interval;
        self.stretch(snapshot.timing.scan, coverage);
        let mut observation = Observation {
            began,
            finished,
            interval,
            snapshot,
        };
        (self.wrote, self.lost_last) = (false, false);
        let (memory, plan) = domain::plan(std::mem::take(&mut self.memory), &observation, &self.policy);
        self.memory = memory;
        // What matters of the rows is in the memory now.
        observation.snapshot.rows = Vec::new();
        Ok((observation, plan))
    }

    /// The second half of a pass: repair and report.
    pub async fn carry_out(&mut self, mut observation: Observation, mut plan: Plan) -> Arc<GoodPass> {
        self.migrate_ledger(&observation, &plan).await;
        let noted = self.note(&plan).await;
        let attempts = self.repair(&plan).await;
        // What is found here may have been noted and acknowledged by others meanwhile, which shows nowhere but in its entry.
        self.wrote |= !attempts.is_empty() || !noted.is_empty();
        if let Some(reason) = &self.ledger_refused
            && observation
                .snapshot
                .obstacles
                .iter()
                .all(|found| found.cause != Cause::NoLedger)
        {
            plan.obstacle.get_or_insert(Cause::NoLedger);
            let obstacle = Obstacle::new(Cause::NoLedger, reason.as_str());
            observation.snapshot.obstacles.push(obstacle);
        }
        let held_up = self.held_up(&attempts).await;
        domain::apply_outcomes(&mut self.memory, &mut plan, &attempts);
        let mut report = domain::report(&self.memory, plan, attempts, noted, &observation, &self.policy);
        report.held_up = held_up;
        let (began, finished) = (observation.began, observation.finished);
        let wall = self.clock.wall();
        let since = self.clock.moment().since(began);
        let skew = report.at.micros_since(wall) as f64 / 1e6 + since.as_secs_f64();
        let pass = Arc::new(GoodPass {
            report,
            at: finished,
            wall,
            took: finished.since(began),
            interval: self.interval,
            clock_skew: skew,
            newcomers: observation.snapshot.newcomers,
            discovery: observation.snapshot.discovery,
            access: observation.snapshot.access,
            coverage: observation.snapshot.coverage,
            prepared: observation.snapshot.unknowns.prepared,
        });
        self.audience.good(pass.clone());
        pass
    }

    fn time_budget(&self) -> TimeBudget {
        match self.pace.full_looks {
            FullLooks::AtOnce => TimeBudget::Unlimited,
            FullLooks::Gradual => TimeBudget::About(share_of_full_looks(
                self.interval,
                self.pace.poll_timeout,
                self.is_covered,
            )),
        }
    }

    fn next_coverage(&self, now: domain::Moment) -> Coverage {
        match self.last_full_look {
            Some(last) if now.since(last) < self.full_look_after => Coverage::Ordinary,
            _ => Coverage::Full,
        }
    }

    /// Keeps the database's burden small where each pass scans a large table: the interval follows what the scan costs, and
    /// nothing else. A full look is rare, and says nothing about the ordinary one.
    fn stretch(&mut self, scan: Option<Duration>, coverage: Coverage) {
        match scan {
            None => self.scans.clear(),
            Some(_) if coverage == Coverage::Full => {}
            Some(cost) => {
                if self.scans.len() == SCANS {
                    self.scans.remove(0);
                }
                self.scans.push(cost);
            }
        }
        let (before, configured) = (self.interval, self.pace.poll_interval);
        self.interval = interval_in_force(configured, &self.scans);
        let (watch, interval) = (&self.policy.watch, self.interval);
        let every = || format!("{interval:.1?}");
        let is_late = |interval| judges_late(interval, configured, self.policy.init_deadline);
        if is_late(interval) && !is_late(before) {
            tracing::warn!(
                watch,
                interval = every(),
                init_deadline = ?self.policy.init_deadline,
                "finding running jobs scans the table, and costs so much that the interval in force exceeds a third of \
                 init_deadline: jobs are judged late; `beatwarden check` prints the index that makes it cheap"
            );
        } else if before == configured && interval != configured {
            tracing::warn!(
                watch,
                interval = every(),
                "finding running jobs scans the table: the interval in force follows the cost of the scan; an index makes it \
                 cheap"
            );
        } else if before != configured && interval == configured {
            tracing::info!(
                watch,
                "finding running jobs is cheap again: the configured interval is in force"
            );
        }
    }

    /// A pass that panicked is a failed pass: a watch that ended here would be blind without a word. What it remembers
    /// can't be trusted any more, so it watches every job for a whole deadline again.
    fn recover_from_panic(&mut self, said: &str, began: domain::Moment) -> Duration {
        self.memory = Memory::default();
        self.lost_last = true;
        self.last_full_look = None;
        self.is_covered = false;
        let error = StoreError::Bug(said.to_owned());
        self.fail(&error, self.clock.moment().since(began))
    }

    fn fail(&mut self, error: &StoreError, took: Duration) -> Duration {
        let doubled = self.interval.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        let retry_in = doubled
            .min(LONGEST_BACKOFF.max(self.pace.poll_interval))
            .mul_f64(0.8 + 0.2 * fastrand::f64());
        self.audience.failed(FailedPass {
            failure: error.failure(),
            error: error.chain(),
            at: self.clock.moment(),
            wall: self.clock.wall(),
            took,
            retry_in,
        });
        retry_in
    }
}

/// What the pages of a full look may cost in one pass: a hundredth of the interval, and a twentieth while the whole table was
/// never seen. However long the interval, the pages and the rest of the pass together stay well within its deadline.
fn share_of_full_looks(interval: Duration, poll_timeout: Duration, is_covered: bool) -> Duration {
    const LEAST: Duration = Duration::from_millis(5);
    let most = poll_timeout / 8;
    (interval / if is_covered { 100 } else { 20 }).min(most).max(LEAST)
}

/// The output of `work`, or what it said when it panicked.
async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    // When a panic is caught here, the work is dropped, with all that it had begun.
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic_message(panic.as_ref()))),
        },
    )
    .await
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it panicked without a word")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_looks_take_their_share_of_any_interval_within_the_deadline_of_a_pass() {
        let ms = Duration::from_millis;
        // (interval, deadline) -> the first look, a later one
        for ((interval, deadline), first, later) in [
            ((100, 10_000), 5, 5),
            ((1_000, 10_000), 50, 10),
            ((5_000, 10_000), 250, 50),
            ((20_000, 10_000), 1_000, 200),
            ((3_600_000, 10_000), 1_250, 1_250),
            ((5_000, 1_000), 125, 50),
            ((5_000, 10), 5, 5),
        ] {
            let share = |is_covered| share_of_full_looks(ms(interval), ms(deadline), is_covered);
            assert_eq!((share(false), share(true)), (ms(first), ms(later)), "{interval} ms");
        }
    }
}
