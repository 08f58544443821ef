//! The known jobs in the order of their keys. Rows come in that order too, so a pass goes through both side by side: no
//! hashing, no second copy, and neighbours in memory are neighbours in the table.

use super::{JobId, known::Known};

/// What is remembered of each job, in the order of the keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs(Vec<Known>);

impl Jobs {
    pub(super) fn get(&self, id: &JobId) -> Option<&Known> {
        let place = self.0.binary_search_by(|known| known.job.id.cmp(id)).ok()?;
        self.0.get(place)
    }

    pub(super) fn get_mut(&mut self, id: &JobId) -> Option<&mut Known> {
        let place = self.0.binary_search_by(|known| known.job.id.cmp(id)).ok()?;
        self.0.get_mut(place)
    }

    /// The keys, in their order.
    pub(super) fn ids(&self) -> impl Iterator<Item = &JobId> {
        self.0.iter().map(|known| &known.job.id)
    }

    /// A walk through the jobs in the order of their keys.
    pub(super) fn walk(&mut self) -> Walk<'_> {
        Walk {
            rest: self.0.iter_mut().peekable(),
            fresh: Vec::new(),
        }
    }

    /// Keeps the jobs that `keep` says, and adds those that a walk met for the first time, which are in order as well.
    pub(super) fn merge(&mut self, fresh: Vec<Known>, keep: impl FnMut(&Known) -> bool) {
        let mut keep = keep;
        self.0.retain(|known| keep(known));
        if self.0.is_empty() {
            // All are new, as at a start: nothing is copied, so nothing is there twice.
            self.0 = fresh;
            self.0.shrink_to_fit();
            return;
        }
        let follows = match (self.0.last(), fresh.first()) {
            (Some(last), Some(first)) => last.job.id < first.job.id,
            _ => true,
        };
        // A vector that doubles would be twice as large as what is in it.
        self.0.reserve_exact(fresh.len());
        self.0.extend(fresh);
        if !follows {
            // Two runs in order: merged in one go.
            self.0.sort_by(|left, right| left.job.id.cmp(&right.job.id));
        }
        // A storm of jobs that is over should not be paid for until the next restart.
        if self.0.capacity() > 1_024 && self.0.len() < self.0.capacity() / 8 {
            self.0.shrink_to(self.0.len() * 2);
        }
    }
}

/// A walk through the known jobs beside rows in the same order.
pub(super) struct Walk<'a> {
    rest: std::iter::Peekable<std::slice::IterMut<'a, Known>>,
    fresh: Vec<Known>,
}

impl<'a> Walk<'a> {
    /// The job of a key, where it is known. Keys are asked for in ascending order.
    pub(super) fn find(&mut self, id: &JobId) -> Option<&'a mut Known> {
        while self.rest.next_if(|known| known.job.id < *id).is_some() {}
        self.rest.next_if(|known| known.job.id == *id)
    }

    /// Puts a job in the place where it was found, or among the fresh ones.
    pub(super) fn put<'b>(&'b mut self, place: Option<&'b mut Known>, known: Known) -> &'b mut Known {
        match place {
            Some(place) => {
                *place = known;
                place
            }
            None => {
                let place = self.fresh.len();
                self.fresh.push(known);
                &mut self.fresh[place]
            }
        }
    }

    /// The jobs that were met for the first time.
    pub(super) fn fresh(self) -> Vec<Known> {
        self.fresh
    }
}
