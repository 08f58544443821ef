//! The second half of a pass: what it writes. One transaction for each repair, and for each finding.

use super::Watch;
use crate::{
    domain::{Action, Attempted, Cause, HeldUp, Noted, Observation, Outcome, Plan, Repair},
    pass::{Audience, Clock},
    store::{Failure, Resolution, Store, StoreError},
};

impl<S: Store, C: Clock, A: Audience> Watch<S, C, A> {
    /// A ledger of an earlier version is read by scans until it has the indexes of this one: it gets them with the first pass,
    /// not only with the first repair.
    pub(super) async fn migrate_ledger(&mut self, observation: &Observation, plan: &Plan) {
        let has_entries = !observation.snapshot.newest_repairs.is_empty();
        let may_write =
            self.policy.action != Action::Observe && self.policy.by_hand.is_none() && plan.obstacle.is_none();
        if self.is_ledger_migrated || !has_entries || !may_write {
            return;
        }
        self.is_ledger_migrated = true;
        if let Err(error) = self.store.prepare_ledger().await {
            tracing::warn!(
                watch = self.policy.watch,
                error = error.chain(),
                "the ledger could not be given the indexes of this version, so it is read more slowly"
            );
        }
    }

    /// Writes down what turned out about earlier repairs; what can't be written now is found again by the next pass.
    pub(super) async fn note(&mut self, plan: &Plan) -> Vec<Noted> {
        let began = self.clock.moment();
        let mut not_now = match plan.obstacle {
            _ if self.policy.action == Action::Observe => {
                Some("the action is `observe`, which writes nothing".to_owned())
            }
            Some(cause @ (Cause::ReadOnly | Cause::NetworkFs | Cause::NoLedger)) => Some(cause.as_str().to_owned()),
            _ => None,
        };
        let mut noted = Vec::with_capacity(plan.findings.len());
        for finding in &plan.findings {
            if not_now.is_none() && self.clock.moment().since(began) > self.pace.poll_timeout {
                not_now = Some("there was no time for it in this pass".to_owned());
            }
            noted.push(match &not_now {
                Some(why) => Noted::NotWritten(why.clone()),
                None => match self.store.note(finding).await {
                    Ok(noted) => noted,
                    Err(error) => {
                        not_now = Some(error.chain());
                        Noted::NotWritten(error.chain())
                    }
                },
            });
        }
        noted
    }

    /// Who keeps repairs waiting, once the first of them has waited for a whole deadline: asked once in a deadline.
    pub(super) async fn held_up(&mut self, attempts: &[Attempted]) -> Option<HeldUp> {
        let now = self.clock.moment();
        let waits = |made: &&Attempted| matches!(made.outcome, Outcome::NotLeader | Outcome::Locked);
        // Behind a repair whose answer is missing all others wait, for that answer.
        let is_unknown = attempts.iter().any(|made| matches!(made.outcome, Outcome::Unknown(_)));
        let jobs = attempts.iter().filter(waits).map(|made| made.repair.job.id.clone());
        let before = std::mem::take(&mut self.held);
        if is_unknown {
            return None;
        }
        self.held = jobs
            .map(|job| {
                let since = before.get(&job).copied().unwrap_or(now);
                (job, since)
            })
            .collect();
        let (job, since) = self.held.iter().min_by_key(|(_, since)| **since)?;
        let (job, since, deadline) = (job.clone(), now.since(*since), self.policy.init_deadline);
        if since < deadline || self.asked_for_holders.is_some_and(|at| now.since(at) < deadline) {
            return None;
        }
        self.asked_for_holders = Some(now);
        let holders = self.store.holders(Some(&job)).await.unwrap_or_default();
        Some(HeldUp { since, holders })
    }

    /// Carries out the plan: first what is still unknown, then the repairs, one transaction each.
    pub(super) async fn repair(&mut self, plan: &Plan) -> Vec<Attempted> {
        let mut attempts = Vec::new();
        if let Some(repair) = &plan.unresolved {
            let outcome = self.resolve(repair).await;
            let known = !matches!(outcome, Outcome::NotLeader | Outcome::Unknown(_));
            attempts.push(Attempted {
                repair: repair.clone(),
                outcome,
            });
            if !known {
                attempts.extend(rest(&plan.repairs, &Outcome::NotLeader));
                return attempts;
            }
        }
        let resolved = plan.unresolved.as_ref().map(Repair::incident);
        let repairs: Vec<&Repair> = plan
            .repairs
            .iter()
            .filter(|repair| Some(repair.incident()) != resolved)
            .collect();
        // Where the ledger was refused, each pass tries whether it still is.
        let is_asked_for = self.ledger_refused.is_some() && plan.obstacle.is_none();
        if repairs.is_empty() && !is_asked_for {
            return attempts;
        }
        if let Err(error) = self.store.prepare_ledger().await {
            attempts.extend(self.without_ledger(&repairs, &error));
            return attempts;
        }
        self.ledger_refused = None;
        self.attempt_all(&repairs, &mut attempts).await;
        attempts
    }

    /// What becomes of the repairs where the ledger can't be had. A database that says no will say so for all of them and at
    /// the next pass; one that is away, or too busy, may answer then.
    fn without_ledger(&mut self, repairs: &[&Repair], error: &StoreError) -> Vec<Attempted> {
        let reason = format!("the ledger can't be created: {}", error.chain());
        let is_refused = matches!(error.failure(), Failure::Query | Failure::Schema | Failure::Rights);
        let first = if is_refused {
            self.ledger_refused = Some(reason.clone());
            Outcome::NoLedger(reason)
        } else {
            Outcome::Failed(reason)
        };
        // Another session holds the gate, or the ledger: that is waited for, like every lock.
        let first = match error.failure() {
            Failure::Locked => Outcome::Locked,
            _ => first,
        };
        // One attempt was made; the others had to wait for it.
        let others = if is_refused { first.clone() } else { Outcome::NotLeader };
        let outcomes = std::iter::once(first).chain(std::iter::repeat(others));
        let attempted = repairs.iter().zip(outcomes);
        attempted
            .map(|(repair, outcome)| Attempted {
                repair: (*repair).clone(),
                outcome,
            })
            .collect()
    }

    async fn attempt_all(&mut self, repairs: &[&Repair], attempts: &mut Vec<Attempted>) {
        let began = self.clock.moment();
        // One outcome can speak for all that are left.
        let mut for_all: Option<Outcome> = None;
        for repair in repairs {
            let outcome = match &for_all {
                Some(outcome) => outcome.clone(),
                None if self.stop.is_cancelled() => Outcome::Shutdown,
                // Slow repairs must not delay the next look beyond its time.
                None if self.clock.moment().since(began) > self.pace.poll_timeout => Outcome::Postponed,
                None => self.store.repair(repair).await,
            };
            if matches!(outcome, Outcome::NotLeader | Outcome::Unknown(_)) {
                for_all = Some(Outcome::NotLeader);
            }
            attempts.push(Attempted {
                repair: (*repair).clone(),
                outcome,
            });
        }
    }

    /// Finds out what became of a repair whose answer was lost.
    async fn resolve(&mut self, repair: &Repair) -> Outcome {
        match self.store.resolve(repair).await {
            Ok(Resolution::Committed(id)) => Outcome::Repaired(id),
            // The process that made it has counted it.
            Ok(Resolution::ByAnother) => Outcome::Already,
            Ok(Resolution::NotCommitted) => Outcome::Failed("its answer was lost, and it was not committed".to_owned()),
            Ok(Resolution::NotLeader) => Outcome::NotLeader,
            Err(error) => Outcome::Unknown(error.chain()),
        }
    }
}

fn rest<'a>(repairs: &'a [Repair], outcome: &'a Outcome) -> impl Iterator<Item = Attempted> + 'a {
    repairs.iter().map(|repair| Attempted {
        repair: repair.clone(),
        outcome: outcome.clone(),
    })
}
