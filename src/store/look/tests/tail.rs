//! What is asked of a growing key at its limits.

use super::{
    super::tail::{At, Tail},
    *,
};

fn seeing(oldest: u64, next: u64) -> At {
    At {
        now: Instant::now(),
        transactions: Some(Transactions { oldest, next }),
    }
}

#[test]
fn no_key_is_asked_for_twice_however_many_may_still_come() {
    let mut tail = Tail::begin(vec![1], 0, seeing(10, 10));
    // More are missing than are asked for in each pass; the rest is asked for in its turn.
    tail.take(vec![302], [], seeing(10, 11));
    let asked = tail.ask(Instant::now());
    assert!(asked.iter().copied().eq(2..302), "{asked:?}");
}

#[test]
fn where_no_key_comes_late_the_tail_only_moves_on() {
    let mut tail = Tail::begin(vec![5], 0, seeing(10, 10));
    tail.advance_to(9);
    tail.advance_to(7);
    assert_eq!((tail.newest(), tail.ask(Instant::now()).len()), (9, 0));
}
