//! The tail of a growing key: what was seen of it, which keys below its newest may still come, which known keys are cheaper
//! read as one range, and how far a full look has got. Pure; the same for both databases.
//!
//! A key is taken from its sequence before its transaction commits, so a lower key can appear after a higher one. Every
//! key that is missing below the newest is asked for on its own for a while: an overlap that costs only the gaps.

use crate::store::reading::FIRST_OVERLAP;
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// So long a missing key is asked for; after that the next full look finds it.
const GAP_FOR: Duration = Duration::from_secs(600);
/// So many missing keys are asked for; a sequence that skips more leaves the rest to the next full look.
const GAPS: usize = 5_000;
/// A range of keys is read as one if at least every so manyth of them is a known job: a row that is passed over in a range
/// was measured to cost about an eighth of one that is looked up by its key.
const SPARSE: i64 = 8;
/// So many keys below the newest are always read as one range.
const ALWAYS: i64 = 200;
/// Keys of one page of a full look: at first, at least, at most. In between the time that pages take decides.
const PAGE: (i64, i64, i64) = (20_000, 1_000, 200_000);

/// What is known of the tail.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    newest: i64,
    /// Missing keys, and since when.
    gaps: BTreeMap<i64, Instant>,
    /// The greatest key that the full look in progress has not covered.
    full_look: Option<i64>,
    /// Keys of its next page.
    page: i64,
}

impl Tail {
    /// From the newest keys of all, in any order; an empty table counts from below every key that it can have.
    pub(super) fn begin(mut keys: Vec<i64>, lowest: i64, now: Instant) -> Self {
        keys.sort_unstable();
        let newest = keys.last().copied().unwrap_or(lowest);
        let oldest_read = keys.first().copied().unwrap_or(newest);
        let from = oldest_read.max(newest.saturating_sub(FIRST_OVERLAP));
        let mut this = Self {
            newest: from,
            gaps: BTreeMap::new(),
            full_look: None,
            page: PAGE.0,
        };
        this.advance(keys.into_iter().filter(|key| *key > from), now);
        this.newest = newest;
        this
    }

    /// The newest key seen.
    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    /// The keys below the newest that were missing and may still come.
    pub(super) fn gaps(&self) -> impl Iterator<Item = i64> {
        self.gaps.keys().copied()
    }

    /// Takes in the keys that came after the newest, and what else was found, gaps maybe among it.
    pub(super) fn take(&mut self, mut newcomers: Vec<i64>, found: impl IntoIterator<Item = i64>, now: Instant) {
        if !self.gaps.is_empty() {
            for key in found {
                self.gaps.remove(&key);
            }
            self.gaps.retain(|_, since| now.duration_since(*since) < GAP_FOR);
        }
        newcomers.sort_unstable();
        self.advance(newcomers.into_iter(), now);
    }

    fn advance(&mut self, keys: impl Iterator<Item = i64>, now: Instant) {
        for key in keys {
            let missing = (self.newest.saturating_add(1))..key;
            // The nearest to the new key are the youngest, and displace those that were missing before.
            self.gaps.extend(missing.rev().take(GAPS).map(|key| (key, now)));
            while self.gaps.len() > GAPS {
                self.gaps.pop_first();
            }
            self.newest = self.newest.max(key);
        }
    }

    /// Takes in the newest key where none below it can still come.
    pub(super) fn advance_to(&mut self, newest: i64) {
        self.newest = self.newest.max(newest);
    }

    /// Whether the greatest key of the table lies below one that was seen: it was emptied, restored, or its newest rows
    /// were deleted; a sequence that begins again would stay unseen.
    pub(super) fn fell_back(&self, greatest: Option<i64>) -> bool {
        greatest.is_none_or(|greatest| greatest < self.newest)
    }

    /// The lowest key from which on reading the whole range up to the newest key is cheaper than reading the known keys in
    /// it one by one. `known` is in ascending order.
    pub(super) fn dense_from(&self, known: &[i64]) -> i64 {
        let mut from = self.newest;
        for (count, key) in (1..).zip(known.iter().rev()) {
            let keys = self.newest.saturating_sub(*key);
            if keys <= count * SPARSE + ALWAYS {
                from = from.min(*key);
            }
        }
        from
    }

    /// Begins a full look, unless one is in progress.
    pub(super) fn begin_full_look(&mut self) {
        self.full_look = self.full_look.or(Some(self.newest));
    }

    /// The keys of the next page of the full look, while there is one in progress. From the newest to the oldest: what
    /// still runs is most likely young.
    pub(super) fn next_page(&self) -> Option<RangeInclusive<i64>> {
        let last = self.full_look?;
        Some(last.saturating_sub(self.page - 1)..=last)
    }

    /// A page was read, in some time; `next` is the greatest key below it, if there is one. The next page is larger or
    /// smaller, so that it takes about `budget`. True if the full look is complete.
    pub(super) fn page_read(&mut self, next: Option<i64>, took: Duration, budget: Duration) -> bool {
        if took > budget {
            self.page = (self.page / 2).max(PAGE.1);
        } else if took < budget / 4 {
            self.page = (self.page * 2).min(PAGE.2);
        }
        self.full_look = next;
        next.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(tail: &Tail) -> Vec<i64> {
        tail.gaps().collect()
    }

    #[test]
    fn a_key_that_commits_late_is_asked_for_until_it_comes_or_its_time_is_over() {
        let now = Instant::now();
        let mut tail = Tail::begin(vec![9, 7, 10], 0, now);
        assert_eq!((tail.newest(), gaps(&tail)), (10, vec![8]));
        tail.take(vec![14, 11], [], now);
        assert_eq!((tail.newest(), gaps(&tail)), (14, vec![8, 12, 13]));
        tail.take(vec![], [12], now);
        assert_eq!(gaps(&tail), [8, 13]);
        tail.take(vec![], [], now + GAP_FOR);
        assert_eq!(gaps(&tail), [] as [i64; 0]);
    }

    #[test]
    fn gaps_are_bounded_however_far_a_sequence_skips() {
        let now = Instant::now();
        let mut tail = Tail::begin(vec![1], 0, now);
        tail.take(vec![i64::MAX - 1], [], now);
        assert_eq!((tail.newest(), gaps(&tail).len()), (i64::MAX - 1, GAPS));
        let first = Tail::begin(vec![-5, 1_000_000], 0, now);
        assert!(gaps(&first).len() <= usize::try_from(FIRST_OVERLAP).unwrap());
    }

    #[test]
    fn a_table_that_was_empty_leaves_room_for_the_keys_that_are_missing_later() {
        let now = Instant::now();
        let mut tail = Tail::begin(vec![], i64::MIN, now);
        tail.take(vec![20_000], [], now);
        tail.take(vec![20_002], [], now);
        assert!(tail.gaps().any(|key| key == 20_001) && gaps(&tail).len() == GAPS);
    }

    #[test]
    fn a_table_that_was_emptied_or_restored_is_noticed() {
        let tail = Tail::begin(vec![5], 0, Instant::now());
        assert!(tail.fell_back(None) && tail.fell_back(Some(4)));
        assert!(!tail.fell_back(Some(5)) && !tail.fell_back(Some(6)));
    }

    #[test]
    fn known_keys_that_lie_close_are_read_as_one_range() {
        let tail = Tail::begin(vec![1_000_000], 0, Instant::now());
        assert_eq!(tail.dense_from(&[]), 1_000_000);
        assert_eq!(
            tail.dense_from(&[5, 999_900]),
            999_900,
            "close to the newest, whatever its neighbours"
        );
        assert_eq!(tail.dense_from(&[5, 900_000]), 1_000_000, "alone");
        let close: Vec<i64> = (0..10_000).map(|n| 930_000 + n * 7).collect();
        assert_eq!(tail.dense_from(&close), 930_000);
        let mut with_old = vec![1, 2, 3];
        with_old.extend(&close);
        assert_eq!(tail.dense_from(&with_old), 930_000);
        assert_eq!(tail.dense_from(&[i64::MIN, i64::MIN + 1]), 1_000_000);
    }

    #[test]
    fn a_full_look_goes_page_by_page_from_the_newest_to_the_oldest() {
        let budget = Duration::from_millis(20);
        let mut tail = Tail::begin(vec![50_000], 0, Instant::now());
        assert_eq!(tail.next_page(), None);
        tail.begin_full_look();
        assert_eq!(tail.next_page(), Some(30_001..=50_000));
        assert!(!tail.page_read(Some(29_000), budget, budget));
        tail.begin_full_look();
        assert_eq!(tail.next_page(), Some(9_001..=29_000), "the one in progress continues");
        assert!(tail.page_read(None, budget, budget));
        assert_eq!(tail.next_page(), None);
    }

    #[test]
    fn pages_follow_the_time_that_they_take_within_bounds() {
        let budget = Duration::from_millis(20);
        let mut tail = Tail::begin(vec![i64::MIN + 5], i64::MIN, Instant::now());
        tail.begin_full_look();
        for _ in 0..20 {
            tail.page_read(Some(0), Duration::ZERO, budget);
        }
        assert_eq!(tail.page, PAGE.2);
        for _ in 0..20 {
            tail.page_read(Some(0), budget * 2, budget);
        }
        assert_eq!(tail.page, PAGE.1);
        tail.page_read(Some(i64::MIN + 3), budget, budget);
        assert_eq!(tail.next_page(), Some(i64::MIN..=i64::MIN + 3));
    }
}
