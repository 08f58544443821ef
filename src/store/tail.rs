//! The tail of a growing key: what was seen of it, which keys below its newest may still come, and how far a full look
//! has got. Pure; the same for both databases.
//!
//! A key is taken from its sequence before its transaction commits, so a lower key can appear after a higher one. Every
//! key that is missing below the newest is asked for by itself for a while: an overlap that costs only the gaps.

use crate::domain::Job;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// So long a missing key is asked for; after that the next full look finds it.
const GAP_FOR: Duration = Duration::from_secs(600);
/// So many missing keys are asked for; a sequence that skips more leaves the rest to the next full look.
const GAPS: usize = 5_000;
/// So far below the newest key of a first look a transaction may still be open.
const FIRST_OVERLAP: i64 = 1_000;
/// Rows of one page of a full look.
pub(crate) const PAGE: i64 = 20_000;

/// What is known of the tail.
#[derive(Debug)]
pub(crate) struct Tail {
    newest: i64,
    /// Missing keys, and since when.
    gaps: BTreeMap<i64, Instant>,
    /// The last key that the full look in progress has read.
    page_after: Option<i64>,
}

fn key(job: &Job) -> Option<i64> {
    job.id.as_str().parse().ok()
}

impl Tail {
    /// From the newest rows of all, in any order; an empty table counts from below every key that it can have.
    pub(crate) fn begin(newest_rows: &[Job], lowest: i64, now: Instant) -> Self {
        let mut keys: Vec<i64> = newest_rows.iter().filter_map(key).collect();
        keys.sort_unstable();
        let newest = keys.last().copied().unwrap_or(lowest);
        let oldest_read = keys.first().copied().unwrap_or(newest);
        let from = oldest_read.max(newest.saturating_sub(FIRST_OVERLAP));
        let mut this = Self {
            newest: from,
            gaps: BTreeMap::new(),
            page_after: None,
        };
        this.advance(keys.into_iter().filter(|key| *key > from), now);
        this.newest = newest;
        this
    }

    /// The newest key seen.
    pub(crate) fn newest(&self) -> i64 {
        self.newest
    }

    /// The keys below the newest that were missing and may still come.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = i64> {
        self.gaps.keys().copied()
    }

    /// Takes in what came after the newest key, and what was found in the gaps.
    pub(crate) fn take(&mut self, newcomers: &[Job], found: &[Job], now: Instant) {
        for key in found.iter().filter_map(key) {
            self.gaps.remove(&key);
        }
        self.gaps.retain(|_, since| now.duration_since(*since) < GAP_FOR);
        let mut keys: Vec<i64> = newcomers.iter().filter_map(key).collect();
        keys.sort_unstable();
        self.advance(keys.into_iter(), now);
    }

    fn advance(&mut self, keys: impl Iterator<Item = i64>, now: Instant) {
        for key in keys {
            let missing = (self.newest.saturating_add(1))..key;
            let room = GAPS.saturating_sub(self.gaps.len());
            // The nearest to the new key are the youngest.
            self.gaps.extend(missing.rev().take(room).map(|key| (key, now)));
            self.newest = self.newest.max(key);
        }
    }

    /// Whether the greatest key of the table lies below one that was seen: it was emptied, restored, or its newest rows
    /// were deleted; a sequence that begins again would stay unseen.
    pub(crate) fn fell_back(&self, greatest: Option<i64>) -> bool {
        greatest.is_none_or(|greatest| greatest < self.newest)
    }

    /// Begins a full look from below every key that the column can have, unless one is in progress.
    pub(crate) fn begin_full_look(&mut self, lowest: i64) {
        self.page_after = self.page_after.or(Some(lowest));
    }

    /// The key after which the next page of the full look begins, while there is one in progress.
    pub(crate) fn page_after(&self) -> Option<i64> {
        self.page_after
    }

    /// A page was read up to a key; none means that it was the last. True if the full look is complete.
    pub(crate) fn page_read(&mut self, last: Option<i64>) -> bool {
        self.page_after = last;
        last.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{JobId, Reading};

    fn jobs(keys: impl IntoIterator<Item = i64>) -> Vec<Job> {
        keys.into_iter()
            .map(|key| Job {
                id: JobId::new(key.to_string()),
                name: None,
                state: Some("RUNNING".into()),
                started_at: Reading::Absent,
                heartbeat_at: Reading::Absent,
                ended_at: Reading::Absent,
            })
            .collect()
    }

    fn gaps(tail: &Tail) -> Vec<i64> {
        tail.gaps().collect()
    }

    #[test]
    fn a_key_that_commits_late_is_asked_for_until_it_comes_or_its_time_is_over() {
        let now = Instant::now();
        let mut tail = Tail::begin(&jobs([7, 9, 10]), 0, now);
        assert_eq!((tail.newest(), gaps(&tail)), (10, vec![8]));
        tail.take(&jobs([11, 14]), &[], now);
        assert_eq!((tail.newest(), gaps(&tail)), (14, vec![8, 12, 13]));
        tail.take(&[], &jobs([12]), now);
        assert_eq!(gaps(&tail), [8, 13]);
        tail.take(&[], &[], now + GAP_FOR);
        assert_eq!(gaps(&tail), [] as [i64; 0]);
    }

    #[test]
    fn gaps_are_bounded_however_far_a_sequence_skips() {
        let now = Instant::now();
        let mut tail = Tail::begin(&jobs([1]), 0, now);
        tail.take(&jobs([i64::MAX - 1]), &[], now);
        assert_eq!((tail.newest(), gaps(&tail).len()), (i64::MAX - 1, GAPS));
        let first = Tail::begin(&jobs([-5, 1_000_000]), 0, now);
        assert!(gaps(&first).len() <= usize::try_from(FIRST_OVERLAP).unwrap());
    }

    #[test]
    fn a_table_that_was_emptied_or_restored_is_noticed() {
        let tail = Tail::begin(&jobs([5]), 0, Instant::now());
        assert!(tail.fell_back(None) && tail.fell_back(Some(4)));
        assert!(!tail.fell_back(Some(5)) && !tail.fell_back(Some(6)));
    }

    #[test]
    fn a_full_look_goes_page_by_page_to_its_end() {
        let mut tail = Tail::begin(&[], 0, Instant::now());
        assert_eq!(tail.page_after(), None);
        tail.begin_full_look(-9);
        assert_eq!(tail.page_after(), Some(-9));
        assert!(!tail.page_read(Some(40)));
        tail.begin_full_look(-9);
        assert_eq!(tail.page_after(), Some(40), "the one in progress goes on");
        assert!(tail.page_read(None));
        assert_eq!(tail.page_after(), None);
    }
}
