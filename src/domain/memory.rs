//! All that is remembered between two passes, in one value. What isn't here is forgotten.

use super::{
    Guard, Incident, JobId, Moment, Observation, Phase, Repair, ServerIdentity, SharedText, Timestamp,
    aftermath::Aftermath, fuse::Fuse, jobs::Jobs, known::Known, names::LabelSlots, window::InitWindow,
};
use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

/// The last good pass.
#[derive(Clone, Debug)]
pub(super) struct LastPass {
    pub began: Moment,
    pub database_now: Timestamp,
    pub server: ServerIdentity,
    /// As [`super::Unknowns`] has it.
    pub connection: Option<u64>,
}

/// How many ended incidents are remembered, so that one that runs again with the same start is no second init.
const ENDED_REMEMBERED: usize = 10_000;

/// Ended incidents, the newest ones. Several of one job, since a failover can bring back an earlier one.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    incidents: HashSet<Incident>,
    order: VecDeque<Incident>,
}

impl Ended {
    /// Remembers that the incident ended; false if that is known already.
    pub(super) fn insert(&mut self, incident: Incident) -> bool {
        let is_new = self.incidents.insert(incident.clone());
        if is_new {
            self.order.push_back(incident);
            if self.order.len() > ENDED_REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.incidents.remove(&oldest);
            }
        }
        is_new
    }

    /// Whether this start of the job ended before.
    pub(super) fn contains(&self, incident: &Incident) -> bool {
        self.incidents.contains(incident)
    }
}

/// What a watch remembers between passes.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub(super) jobs: Jobs,
    /// Number of passes so far; it may wrap.
    pub(super) passes: u32,
    pub(super) ended: Ended,
    pub(super) last_pass: Option<LastPass>,
    /// Nothing counts as watched before this.
    pub(super) watching_since: Moment,
    /// The database's time at the first good pass.
    pub(super) first_pass: Option<Timestamp>,
    /// The latest restart or promotion of the server that is known.
    pub(super) restarted_at: Option<Timestamp>,
    pub(super) window: InitWindow,
    pub(super) names: LabelSlots,
    pub(super) attempts: u64,
    pub(super) fuse: Fuse,
    /// Running rows without a key at the last pass.
    pub(super) keyless: u64,
    /// The guard at the last pass.
    pub(super) guard: Option<Guard>,
    /// Repairs whose jobs are under watch.
    pub(super) aftermath: Aftermath,
    /// A repair whose outcome is unknown; nothing else is repaired until it is known.
    pub(super) unresolved: Option<Repair>,
}

impl Memory {
    /// The keys of all jobs that the next pass must read, whatever their state.
    pub fn known_jobs(&self) -> impl Iterator<Item = &JobId> {
        let repaired = self.aftermath.due_jobs();
        let unlisted = repaired.filter(|job| self.jobs.get(job).is_none());
        self.jobs.ids().chain(unlisted)
    }

    /// Takes back the jobs of a pass. Those that it did not read are forgotten: they ended or were deleted. An undecided init
    /// of such a job is not counted; a decided one is remembered, since a failover that lost the deletion brings the row back.
    /// Returns the stuck ones among those that were not read, with their names.
    pub(super) fn forget_unread(&mut self, mut jobs: Jobs, fresh: Vec<Known>) -> Vec<(JobId, Option<SharedText>)> {
        let (pass, ended) = (self.passes, &mut self.ended);
        let mut stuck = Vec::new();
        jobs.merge(fresh, |known| {
            let is_read = known.read_in == pass;
            if !is_read && known.init.is_some() {
                ended.insert(known.job.incident());
            }
            if !is_read && known.phase.is_some_and(Phase::is_stuck) {
                stuck.push((known.job.id.clone(), known.job.name.clone()));
            }
            is_read
        });
        self.jobs = jobs;
        stuck
    }

    /// How long the row was watched, unchanged and without a gap, up to the observation.
    pub(super) fn watched(&self, known: &Known, observation: &Observation) -> Duration {
        observation.began.since(known.unchanged_since.max(self.watching_since))
    }

    /// The outcome of a repair of this incident is known: other repairs may follow.
    pub(super) fn resolve(&mut self, incident: &Incident) {
        if self
            .unresolved
            .as_ref()
            .is_some_and(|repair| repair.incident() == *incident)
        {
            self.unresolved = None;
        }
    }

    /// A job whose repair failed goes behind those that were not tried.
    pub(super) fn move_to_back(&mut self, id: &JobId) {
        self.attempts += 1;
        if let Some(known) = self.jobs.get_mut(id) {
            known.attempt = self.attempts;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_ended_incidents_are_remembered_the_newest() {
        let incident = |number| Incident {
            job: JobId::from_number(number),
            started_at: None,
        };
        let mut ended = Ended::default();
        let most = i64::try_from(ENDED_REMEMBERED).unwrap();
        assert!((0..most).all(|number| ended.insert(incident(number))));
        assert!(!ended.insert(incident(0)) && ended.contains(&incident(0)));
        assert!(ended.insert(incident(most)));
        assert!(!ended.contains(&incident(0)) && ended.contains(&incident(1)));
        assert_eq!(ended.incidents.len(), ENDED_REMEMBERED);
    }
}
