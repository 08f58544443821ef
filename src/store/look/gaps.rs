//! The missing keys of a growing key, as runs: a sequence that steps by ten leaves nine after each row, and a pass copies them all.

use std::{collections::BTreeMap, time::Instant};

/// Keys that are missing side by side, and all that is known of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The greatest of them.
    pub last: i64,
    pub since: Instant,
    /// A transaction that has taken one has a lower number than this, where they have numbers.
    pub below: Option<u64>,
    /// Whether such a transaction may still run.
    pub is_open: bool,
}

/// The missing keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps {
    /// By the least key of each; no two have a key in common.
    runs: BTreeMap<i64, Run>,
    len: usize,
}

impl Gaps {
    /// How many keys are missing.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds those from `first` to the last of the run, if there are any, none of which is among them.
    pub(super) fn add(&mut self, first: i64, run: Run) {
        if first <= run.last {
            self.len += size(first, &run);
            self.runs.insert(first, run);
        }
    }

    /// Takes one out, if it is among them.
    pub(super) fn remove(&mut self, key: i64) {
        let run = self.runs.range(..=key).next_back().map(|(first, run)| (*first, *run));
        if let Some((first, run)) = run.filter(|(_, run)| key <= run.last) {
            self.take_out(first, &run);
            self.add(
                first,
                Run {
                    last: key.saturating_sub(1),
                    ..run
                },
            );
            self.add(key.saturating_add(1), run);
        }
    }

    /// Leaves out the least until no more than `most` are left.
    pub(super) fn shrink_to(&mut self, most: usize) {
        while self.len > most
            && let Some((first, run)) = self.runs.first_key_value().map(|(first, run)| (*first, *run))
        {
            let surplus = self.len - most;
            self.take_out(first, &run);
            self.add(first.saturating_add_unsigned(surplus as u64), run);
        }
    }

    /// Keeps the runs that are to be kept.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&mut Run) -> bool) {
        let mut len = self.len;
        self.runs.retain(|first, run| {
            let is_kept = keeps(run);
            len -= if is_kept { 0 } else { size(*first, run) };
            is_kept
        });
        self.len = len;
    }

    /// All of them, each with its run, in ascending order.
    pub(super) fn keys(&self) -> impl Iterator<Item = (i64, &Run)> {
        self.runs.iter().flat_map(|(first, run)| keys_of(*first, run))
    }

    /// Those that a transaction that may still run may have taken, in descending order.
    pub(super) fn open_down(&self) -> impl Iterator<Item = i64> {
        let open = self.runs.iter().rev().filter(|(_, run)| run.is_open);
        open.flat_map(|(first, run)| (*first..=run.last).rev())
    }

    /// Those above a key.
    pub(super) fn keys_after(&self, key: i64) -> impl Iterator<Item = (i64, &Run)> {
        let first = self.runs.range(..=key).next_back();
        let rest = self.runs.range(key.saturating_add(1)..);
        let keys = first
            .into_iter()
            .chain(rest)
            .flat_map(|(first, run)| keys_of(*first, run));
        keys.skip_while(move |(above, _)| *above <= key)
    }

    /// Those up to a key.
    pub(super) fn keys_up_to(&self, key: i64) -> impl Iterator<Item = (i64, &Run)> {
        self.keys().take_while(move |(below, _)| *below <= key)
    }

    /// How many of them are at or above a key, for keys that are asked in descending order.
    pub(super) fn counted_down(&self) -> impl FnMut(i64) -> i64 {
        let mut runs = self.runs.iter().rev().peekable();
        let mut above = 0;
        move |key| {
            while let Some((first, run)) = runs.next_if(|(first, _)| **first >= key) {
                above += size(*first, run) as i64;
            }
            let part = runs
                .peek()
                .map_or(0, |(_, run)| run.last.saturating_sub(key).saturating_add(1).max(0));
            above + part
        }
    }

    fn take_out(&mut self, first: i64, run: &Run) {
        self.runs.remove(&first);
        self.len -= size(first, run);
    }
}

fn keys_of(first: i64, run: &Run) -> impl Iterator<Item = (i64, &Run)> {
    (first..=run.last).map(move |key| (key, run))
}

fn size(first: i64, run: &Run) -> usize {
    run.last.abs_diff(first).saturating_add(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn run(last: i64, is_open: bool) -> Run {
        Run {
            last,
            since: Instant::now(),
            below: None,
            is_open,
        }
    }

    fn keys(gaps: &Gaps) -> Vec<i64> {
        gaps.keys().map(|(key, _)| key).collect()
    }

    proptest! {
        #[test]
        fn whatever_is_missing_is_what_a_set_of_single_keys_has(
            steps in prop::collection::vec((1_i64..9, any::<bool>()), 1..30),
            removed in prop::collection::vec(0_i64..120, 0..40),
            most in 0_usize..40,
            asked in prop::collection::btree_set(-5_i64..130, 0..20),
        ) {
            let (mut gaps, mut set, mut newest) = (Gaps::default(), BTreeSet::new(), 0);
            for (step, is_open) in steps {
                let key = newest + step;
                gaps.add(newest + 1, run(key - 1, is_open));
                set.extend(newest + 1..key);
                newest = key;
            }
            for key in removed {
                gaps.remove(key);
                set.remove(&key);
            }
            prop_assert_eq!(gaps.len(), set.len());
            gaps.shrink_to(most);
            while set.len() > most {
                set.pop_first();
            }
            prop_assert_eq!(keys(&gaps), set.iter().copied().collect::<Vec<_>>());
            let mut counted = gaps.counted_down();
            for key in asked.iter().rev() {
                prop_assert_eq!(counted(*key), set.range(key..).count() as i64);
                let (after, up_to) = (gaps.keys_after(*key), gaps.keys_up_to(*key));
                prop_assert!(after.map(|(key, _)| key).eq(set.range(key + 1..).copied()));
                prop_assert!(up_to.map(|(key, _)| key).eq(set.range(..=key).copied()));
            }
            drop(counted);
            gaps.retain(|run| run.is_open);
            prop_assert!(gaps.keys().all(|(_, run)| run.is_open));
            prop_assert_eq!(gaps.len(), gaps.keys().count());
        }
    }
}
