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

    /// Keeps the jobs that `keep` says, and adds those that a walk met for the first time, which are in order as well. There may
    /// be a million of either, so neither is there twice: the shorter run is copied behind the longer one.
    pub(super) fn merge(&mut self, mut fresh: Vec<Known>, keep: impl FnMut(&Known) -> bool) {
        let mut keep = keep;
        let known = &mut self.0;
        known.retain(|known| keep(known));
        if fresh.len() > known.len() {
            std::mem::swap(known, &mut fresh);
        }
        let (before, added) = (known.len(), fresh.len());
        let (place, is_one_block) = place_of(&fresh, known);
        // A vector that doubles would be twice as large as what is in it.
        known.reserve_exact(added);
        known.append(&mut fresh);
        if place < before {
            // A full look goes from the newest key to the oldest, so mostly all belong into one place.
            known[place..].rotate_right(added);
            if !is_one_block {
                // A stable sort would take half as much memory again; no two have one key.
                known[place..].sort_unstable_by(|left, right| left.job.id.cmp(&right.job.id));
            }
        }
        // A storm of jobs that is over should not be paid for until the next restart, nor a run that grew by doubling.
        let (len, capacity) = (known.len(), known.capacity());
        if capacity > 1_024 && len < capacity - capacity / 8 {
            known.shrink_to(len + len / 16);
        }
    }
}

/// Where the first of some jobs belongs among those that are known, and whether all of them belong there.
fn place_of(fresh: &[Known], known: &[Known]) -> (usize, bool) {
    let (Some(first), Some(last)) = (fresh.first(), fresh.last()) else {
        return (known.len(), true);
    };
    let place = known.partition_point(|known| known.job.id < first.job.id);
    (place, known.get(place).is_none_or(|next| last.job.id < next.job.id))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Job, Moment, TimeValue, Timestamp};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn known(key: i64) -> Known {
        let job = Job {
            id: JobId::from_number(key),
            name: None,
            state: None,
            started_at: TimeValue::ABSENT,
            heartbeat_at: TimeValue::ABSENT,
            ended_at: TimeValue::ABSENT,
        };
        Known::first_sight(job, Timestamp::MIN, Moment::default())
    }

    fn merged(old: &BTreeSet<i64>, gone: &BTreeSet<i64>, fresh: &BTreeSet<i64>) -> Jobs {
        let mut jobs = Jobs(old.iter().copied().map(known).collect());
        let fresh = fresh.difference(old).copied().map(known).collect();
        let is_gone = |known: &Known| known.job.id.number().is_some_and(|key| gone.contains(&key));
        jobs.merge(fresh, |known| !is_gone(known));
        jobs
    }

    fn keys(jobs: &Jobs) -> Vec<i64> {
        jobs.ids().filter_map(JobId::number).collect()
    }

    #[test]
    fn a_run_before_the_other_and_one_within_it_are_merged_in_order() {
        for (old, fresh) in [
            (vec![], vec![1, 2]),
            (vec![1, 2], vec![]),
            (vec![1, 2], vec![3]),
            (vec![2, 3], vec![1]),
            (vec![3], vec![1, 2]),
            (vec![1], vec![2, 3]),
            (vec![1, 4], vec![2, 3]),
            (vec![2, 3], vec![1, 4]),
            (vec![1, 5, 6, 7], vec![2, 3, 4]),
            (vec![1, 4, 6, 7], vec![2, 3, 5]),
            (vec![2, 4], vec![1, 3, 5]),
        ] {
            let jobs = merged(
                &old.iter().copied().collect(),
                &BTreeSet::new(),
                &fresh.iter().copied().collect(),
            );
            assert_eq!(
                keys(&jobs),
                (1..=old.len() + fresh.len()).map(|key| key as i64).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn what_is_held_is_not_much_more_than_what_is_known() {
        let all: BTreeSet<i64> = (0..100_000).collect();
        let jobs = merged(&all, &(10..100_000).collect(), &BTreeSet::new());
        assert_eq!(jobs.0.len(), 10);
        assert!(jobs.0.capacity() <= 1_024, "{}", jobs.0.capacity());
        let jobs = merged(&BTreeSet::from([7]), &BTreeSet::new(), &all);
        assert!(jobs.0.capacity() <= 110_000, "{}", jobs.0.capacity());
    }

    #[test]
    fn a_run_that_lost_more_than_an_eighth_keeps_a_sixteenth_of_room_and_a_small_one_all_of_it() {
        for (capacity, left, kept) in [
            (100_000, 87_500, 100_000),
            (100_000, 87_499, 87_499 + 5_468),
            (1_025, 10, 10),
            (1_024, 10, 1_024),
        ] {
            let jobs = merged(&(0..capacity).collect(), &(left..capacity).collect(), &BTreeSet::new());
            assert_eq!((jobs.0.len() as i64, jobs.0.capacity() as i64), (left, kept));
        }
    }

    #[test]
    fn fresh_jobs_belong_into_one_place_unless_known_ones_lie_between_them() {
        let jobs = |keys: &[i64]| keys.iter().copied().map(known).collect::<Vec<_>>();
        for (fresh, place, is_one_block) in [
            (&[][..], 3, true),
            (&[-1, 0], 0, true),
            (&[3, 4], 2, true),
            (&[3, 6], 2, false),
            (&[6, 7], 3, true),
        ] {
            assert_eq!(
                place_of(&jobs(fresh), &jobs(&[1, 2, 5])),
                (place, is_one_block),
                "{fresh:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_job_is_kept_once_and_in_order(
            old in proptest::collection::btree_set(0..40_i64, 0..20),
            gone in proptest::collection::btree_set(0..40_i64, 0..20),
            fresh in proptest::collection::btree_set(0..40_i64, 0..20),
        ) {
            let expected: BTreeSet<i64> = old.difference(&gone).chain(fresh.difference(&old)).copied().collect();
            prop_assert_eq!(keys(&merged(&old, &gone, &fresh)), expected.into_iter().collect::<Vec<_>>());
        }
    }
}
