//! The tail of a growing key: what was seen of it, which keys below its newest may still come, which known keys are cheaper
//! read as one range, and how far a full look has got. Pure; the same for both databases.
//!
//! A key is taken from its sequence before its transaction commits, so a lower key can appear after a higher one. Every
//! key that is missing below the newest is asked for in each pass as long as a transaction runs that may have taken it. After
//! that it was rolled back, skipped, or is kept by a program that takes keys in advance: then it is asked for in its turn, a
//! few in each pass, so that neither rollbacks nor a sequence that skips make every pass more expensive.

use super::gaps::{Gaps, Run};
use crate::store::{question::Transactions, reading::FIRST_OVERLAP};
use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// How long a missing key is asked for, and once more after that; then the next full look finds it.
const GAP_FOR: Duration = Duration::from_secs(600);
/// One that is not asked for, because running rows are found by their state, is forgotten after this.
const GAP_AT_MOST: Duration = Duration::from_secs(1_200);
/// How many missing keys are remembered; a sequence that skips more leaves the rest to the next full look.
const GAPS: usize = 5_000;
/// How long a transaction may run where the database doesn't number them.
const OPEN_FOR: Duration = Duration::from_secs(60);
/// How many keys that an open transaction may have taken are asked for in each pass, the greatest of them. A transaction that
/// writes elsewhere for an hour must not make every rollback meanwhile a lookup in each pass.
const OPEN: usize = 256;
/// How many of the others one pass asks for, or which part of all.
const IN_TURN: (usize, usize) = (64, 64);
/// A range of keys is read as one if at least one in this many is a known job: a row that is passed over in a range
/// was measured to cost about an eighth of one that is looked up by its key.
const SPARSE: i64 = 8;
/// How many keys below the newest are always read as one range.
const ALWAYS: i64 = 200;
/// What another table holds for a range of keys is read as a whole if at least this many known jobs lie in it, and at least one
/// key in this many is one: a row of the other table was measured to cost a third of a lookup of its own, and the statement as much as
/// some hundred lookups. Nor can it then be read in vain for more keys than there are jobs.
const DENSE: (usize, i64) = (500, 2);
/// Keys of one page of a full look: at first, at least, at most. In between the time that pages take decides.
const PAGE: (i64, i64, i64) = (20_000, 1_000, 200_000);

/// What is known of the tail.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    newest: i64,
    /// Missing keys.
    gaps: Gaps,
    /// The last of them that was asked for in its turn, and those that were asked for the last time.
    turn: i64,
    last_asked: Vec<i64>,
    /// The greatest key that the full look in progress has not covered.
    full_look: Option<i64>,
    /// Keys of its next page.
    page: i64,
}

/// When a pass read what it has: its time, and what its snapshot may not show.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub now: Instant,
    pub transactions: Option<Transactions>,
}

impl Tail {
    /// From the newest keys of all, in any order; an empty table counts from below every key that it can have.
    pub(super) fn begin(mut keys: Vec<i64>, lowest: i64, at: At) -> Self {
        keys.sort_unstable();
        let newest = keys.last().copied().unwrap_or(lowest);
        let oldest_read = keys.first().copied().unwrap_or(newest);
        let from = oldest_read.max(newest.saturating_sub(FIRST_OVERLAP));
        let mut this = Self {
            newest: from,
            gaps: Gaps::default(),
            turn: i64::MIN,
            last_asked: Vec::new(),
            full_look: None,
            page: PAGE.0,
        };
        this.advance(keys.into_iter().filter(|key| *key > from), at);
        this.newest = newest;
        this
    }

    /// The newest key seen.
    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    /// The missing keys that this pass asks for, in ascending order: those that a transaction that still runs may have taken,
    /// and of the others those whose turn it is.
    pub(super) fn ask(&mut self, now: Instant) -> Vec<i64> {
        let open: Vec<i64> = self.gaps.open_down().take(OPEN).collect();
        let (least_open, is_cut) = (open.last().copied(), open.len() == OPEN);
        let in_turn = IN_TURN.0.max(self.gaps.len() / IN_TURN.1);
        let round = self.gaps.keys_after(self.turn).chain(self.gaps.keys_up_to(self.turn));
        let round = round.filter(|(key, run)| !run.is_open || is_cut && Some(*key) < least_open);
        let round: Vec<(i64, &Run)> = round.take(in_turn).collect();
        self.turn = round.last().map_or(i64::MIN, |(key, _)| *key);
        let is_last = |run: &Run| now.duration_since(run.since) >= GAP_FOR;
        self.last_asked = round
            .iter()
            .filter(|(_, run)| is_last(run))
            .map(|(key, _)| *key)
            .collect();
        let in_turn = round.into_iter().map(|(key, _)| key);
        let mut asked: Vec<i64> = in_turn.chain(open.into_iter().rev()).collect();
        // Three runs in order: merged by the stable sort.
        asked.sort();
        asked
    }

    /// Takes in the keys that came after the newest, and what else was found, gaps maybe among it.
    pub(super) fn take(&mut self, mut newcomers: Vec<i64>, found: impl IntoIterator<Item = i64>, at: At) {
        if self.gaps.len() > 0 {
            for key in found.into_iter().chain(std::mem::take(&mut self.last_asked)) {
                self.gaps.remove(key);
            }
            self.gaps.retain(|run| {
                let age = at.now.duration_since(run.since);
                run.is_open &= match (run.below, at.transactions) {
                    (Some(below), Some(transactions)) => transactions.oldest < below,
                    _ => age < OPEN_FOR,
                };
                age < GAP_AT_MOST
            });
        }
        newcomers.sort_unstable();
        self.advance(newcomers.into_iter(), at);
    }

    fn advance(&mut self, keys: impl Iterator<Item = i64>, at: At) {
        for key in keys {
            let first = self.newest.saturating_add(1).max(key.saturating_sub(GAPS as i64));
            // Open for one more pass at least: a key is taken a moment before its transaction gets its number.
            let run = Run {
                last: key.saturating_sub(1),
                since: at.now,
                below: at.transactions.map(|transactions| transactions.next),
                is_open: true,
            };
            // The nearest to the new key are the youngest, and displace those that were missing before.
            self.gaps.add(first, run);
            self.gaps.shrink_to(GAPS);
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

    /// The lowest key from which on reading the whole range up to the newest key is cheaper than reading the wanted keys in
    /// it one by one. `wanted` is in ascending order. A missing key has no row to pass over.
    pub(super) fn dense_from(&self, wanted: &[i64]) -> i64 {
        let mut from = self.newest;
        let mut missing = self.gaps.counted_down();
        for (count, key) in (1..).zip(wanted.iter().rev()) {
            let rows = self.newest.saturating_sub(*key).saturating_sub(missing(*key));
            if rows <= count * SPARSE + ALWAYS {
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

/// Whether so many `known` jobs lie close together in a range that ends so many keys `above` its lowest.
pub(super) fn is_dense(above: i64, known: usize) -> bool {
    let (least, every) = DENSE;
    known >= least && i64::try_from(known).is_ok_and(|known| above < known.saturating_mul(every))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_dense_where_half_of_many_keys_are_jobs() {
        for (above, known, expected) in [
            (0, 0, false),
            (499, 499, false),
            (499, 500, true),
            (999, 500, true),
            (1_000, 500, false),
            (19_999, 10_000, true),
            (20_000, 10_000, false),
            (i64::MAX, 10_000, false),
        ] {
            assert_eq!(is_dense(above, known), expected, "{known} jobs in {above} keys");
        }
    }

    fn gaps(tail: &Tail) -> Vec<i64> {
        tail.gaps.keys().map(|(key, _)| key).collect()
    }

    /// Without numbers of transactions.
    fn at(now: Instant) -> At {
        let transactions = None;
        At { now, transactions }
    }

    /// A snapshot that shows all transactions below `oldest`, where `next` is the next number.
    fn seeing(now: Instant, oldest: u64, next: u64) -> At {
        let transactions = Some(Transactions { oldest, next });
        At { now, transactions }
    }

    #[test]
    fn a_key_that_commits_late_is_asked_for_until_it_comes_or_its_time_is_over() {
        let now = Instant::now();
        let mut tail = Tail::begin(vec![9, 7, 10], 0, at(now));
        assert_eq!((tail.newest(), gaps(&tail)), (10, vec![8]));
        tail.take(vec![14, 11], [], at(now));
        assert_eq!((tail.newest(), gaps(&tail)), (14, vec![8, 12, 13]));
        tail.take(vec![], [12], at(now));
        assert_eq!(gaps(&tail), [8, 13]);
        let later = now + GAP_FOR;
        tail.take(vec![], [], at(later));
        assert_eq!((gaps(&tail), tail.ask(later)), (vec![8, 13], vec![8, 13]), "once more");
        tail.take(vec![], [], at(later));
        assert_eq!(gaps(&tail), [] as [i64; 0]);
    }

    #[test]
    fn a_missing_key_that_is_never_asked_for_is_forgotten_too() {
        let now = Instant::now();
        let mut tail = Tail::begin(vec![9, 7], 0, at(now));
        tail.take(vec![], [], at(now + GAP_AT_MOST));
        assert_eq!(gaps(&tail), [] as [i64; 0]);
    }

    #[test]
    fn a_missing_key_is_asked_for_in_each_pass_while_a_transaction_that_may_have_taken_it_runs() {
        let mut now = Instant::now();
        let mut tail = Tail::begin(vec![1], 0, seeing(now, 10, 10));
        // 2 to 200 are missing: the transaction 10 may have taken them.
        tail.take(vec![201], [], seeing(now, 10, 11));
        for _ in 0..3 {
            now += Duration::from_secs(60);
            assert_eq!(tail.ask(now).len(), 199);
            tail.take(vec![], [], seeing(now, 10, 20));
        }
        // It has ended, and this pass has asked for them after that.
        assert_eq!(tail.ask(now).len(), 199);
        tail.take(vec![203], [], seeing(now, 19, 20));
        let asked = tail.ask(now);
        assert_eq!(
            (asked.len(), asked.last()),
            (IN_TURN.0 + 1, Some(&202)),
            "but for the new one"
        );
    }

    #[test]
    fn keys_that_no_transaction_has_taken_are_all_asked_for_in_their_turn() {
        let now = Instant::now();
        let mut tail = Tail::begin(vec![1], 0, seeing(now, 1, 1));
        tail.take(vec![20_001], [], seeing(now, 1, 2));
        tail.take(vec![], [], seeing(now, 2, 2));
        let mut asked = std::collections::BTreeSet::new();
        for pass in 1..=GAPS.div_ceil(GAPS / IN_TURN.1) {
            let some = tail.ask(now);
            assert!(some.len() <= GAPS / IN_TURN.1, "{} in pass {pass}", some.len());
            asked.extend(some);
            tail.take(vec![], [], seeing(now, 2, 2));
        }
        assert_eq!(asked.len(), GAPS);
    }

    #[test]
    fn a_transaction_that_runs_for_long_does_not_make_all_missing_keys_a_part_of_each_pass() {
        let now = Instant::now();
        let mut tail = Tail::begin(vec![1], 0, seeing(now, 1, 1));
        tail.take(vec![2_001], [], seeing(now, 1, 2));
        let mut asked = std::collections::BTreeSet::new();
        for _ in 0..2_000_usize.div_ceil(IN_TURN.0) {
            let some = tail.ask(now);
            assert!(
                some.len() <= OPEN + IN_TURN.0 && some.contains(&2_000),
                "{}",
                some.len()
            );
            asked.extend(some);
            tail.take(vec![], [], seeing(now, 1, 2));
        }
        assert_eq!(asked.len(), 1_999);
    }

    #[test]
    fn where_transactions_have_no_numbers_a_missing_key_is_asked_for_in_each_pass_for_a_minute() {
        let now = Instant::now();
        let mut tail = Tail::begin(vec![1], 0, at(now));
        tail.take(vec![201], [], at(now));
        for (after, asked) in [(0, 199), (59, 199), (60, IN_TURN.0)] {
            let now = now + Duration::from_secs(after);
            tail.take(vec![], [], at(now));
            assert_eq!(tail.ask(now).len(), asked, "after {after} s");
        }
    }

    #[test]
    fn gaps_are_bounded_however_far_a_sequence_skips() {
        let now = Instant::now();
        let mut tail = Tail::begin(vec![1], 0, at(now));
        tail.take(vec![i64::MAX - 1], [], at(now));
        assert_eq!((tail.newest(), gaps(&tail).len()), (i64::MAX - 1, GAPS));
        let first = Tail::begin(vec![-5, 1_000_000], 0, at(now));
        assert!(gaps(&first).len() <= usize::try_from(FIRST_OVERLAP).unwrap());
    }

    #[test]
    fn a_table_that_was_empty_leaves_room_for_the_keys_that_are_missing_later() {
        let now = Instant::now();
        let mut tail = Tail::begin(vec![], i64::MIN, at(now));
        tail.take(vec![20_000], [], at(now));
        tail.take(vec![20_002], [], at(now));
        assert!(gaps(&tail).contains(&20_001) && gaps(&tail).len() == GAPS);
    }

    #[test]
    fn a_table_that_was_emptied_or_restored_is_noticed() {
        let tail = Tail::begin(vec![5], 0, at(Instant::now()));
        assert!(tail.fell_back(None) && tail.fell_back(Some(4)));
        assert!(!tail.fell_back(Some(5)) && !tail.fell_back(Some(6)));
    }

    #[test]
    fn known_keys_that_lie_close_are_read_as_one_range() {
        let tail = Tail::begin(vec![1_000_000], 0, at(Instant::now()));
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
    fn missing_keys_in_a_range_cost_nothing() {
        let mut tail = Tail::begin((0..600).map(|n| n * 10).collect(), 0, at(Instant::now()));
        tail.take((600..1_000).map(|n| n * 10).collect(), [], at(Instant::now()));
        // 400 rows lie between, and 3,600 missing keys.
        assert_eq!(tail.dense_from(&[5_990]), 9_990, "for one it isn't worth it");
        let wanted: Vec<i64> = (5_990..6_040).collect();
        assert_eq!(tail.dense_from(&wanted), 5_990);
    }

    #[test]
    fn a_full_look_goes_page_by_page_from_the_newest_to_the_oldest() {
        let budget = Duration::from_millis(20);
        let mut tail = Tail::begin(vec![50_000], 0, at(Instant::now()));
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
        let mut tail = Tail::begin(vec![i64::MIN + 5], i64::MIN, at(Instant::now()));
        tail.begin_full_look();
        for _ in 0..20 {
            tail.page_read(Some(0), Duration::ZERO, budget);
        }
        assert_eq!(tail.page, PAGE.2);
        tail.page_read(Some(0), budget / 4, budget);
        assert_eq!(tail.page, PAGE.2);
        tail.page_read(Some(0), budget * 2, budget);
        assert_eq!(tail.page, PAGE.2 / 2);
        tail.page_read(Some(0), budget / 4, budget);
        assert_eq!(
            tail.page,
            PAGE.2 / 2,
            "a quarter of what it may take is no reason for more"
        );
        for _ in 0..20 {
            tail.page_read(Some(0), budget * 2, budget);
        }
        assert_eq!(tail.page, PAGE.1);
        tail.page_read(Some(i64::MIN + 3), budget, budget);
        assert_eq!(tail.next_page(), Some(i64::MIN..=i64::MIN + 3));
    }
}
