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

#[test]
fn a_sequence_that_skips_and_rollbacks_of_the_past_ask_for_few_keys_in_each_pass() {
    let mut database = Scripted::new(Discovery::KeyTail, [(1, "RUNNING")]);
    database.transactions = Some(Transactions { oldest: 5, next: 5 });
    database.pass_within(FULL, &[], TimeBudget::Unlimited);
    database.rows.extend((0..600).map(|n| (n * 10 + 2, "SUCCESS")));
    database.pass(ORDINARY, &[1]);
    database.pass(ORDINARY, &[1]);
    let mut asked = Vec::new();
    for _ in 0..100 {
        database.pass(ORDINARY, &[1]);
        let questions = database.asked.iter().flat_map(|round| &round.questions);
        asked.push(questions.map(keys_of).sum::<usize>());
    }
    assert!(asked.iter().all(|keys| (64..80).contains(keys)), "{asked:?}");
    // A late one is found by its turn.
    database.rows.insert(5_005, "SUCCESS");
    assert!((0..100).any(|_| ids(&database.pass(ORDINARY, &[1])).contains(&5_005)));
}

/// How many keys are asked for one by one.
fn keys_of(question: &Question) -> usize {
    match question {
        Question::Known(ids) => ids.len(),
        Question::Tail(span) => span.gaps.len(),
        _ => 0,
    }
}

#[test]
fn a_sequence_that_begins_again_and_another_server_begin_the_tail_again() {
    for discovery in [Discovery::State, Discovery::KeyTail] {
        let mut database = Scripted::new(discovery, [(100, "RUNNING")]);
        database.pass(ORDINARY, &[]);
        database.rows = BTreeMap::from([(1, "RUNNING")]);
        assert_eq!(ids(&database.pass(ORDINARY, &[100])), [1]);
        assert!(database.asks(|question| *question == Question::Top));
        assert!(database.asks(|question| matches!(question, Question::Newest { .. })));
        database.server = "b/1";
        database.rows.insert(2, "SUCCESS");
        assert_eq!(ids(&database.pass(ORDINARY, &[1])), [1, 2]);
        assert!(database.asks(|question| matches!(question, Question::Newest { .. })));
        database.rows.insert(3, "RUNNING");
        assert!(ids(&database.pass(ORDINARY, &[1])).contains(&3));
    }
}

#[test]
fn a_deleted_newest_row_costs_one_question_and_begins_nothing_again() {
    let mut database = Scripted::new(Discovery::KeyTail, [(1, "RUNNING"), (2, "RUNNING")]);
    database.pass_within(FULL, &[], TimeBudget::Unlimited);
    database.rows.remove(&2);
    database.rows.insert(3, "RUNNING");
    assert_eq!(ids(&database.pass(ORDINARY, &[1, 2])), [1, 3]);
    assert!(!database.asks(|question| matches!(question, Question::Newest { .. })));
}

#[test]
fn the_lowest_known_key_of_a_range_is_asked_for_where_it_ended_and_a_lonely_one_that_is_gone_only_once() {
    let mut database = Scripted::new(Discovery::KeyTail, (1..=20).map(|id| (id, "RUNNING")));
    database.pass_within(FULL, &[], TimeBudget::Unlimited);
    database.pass(ORDINARY, &[10, 20]);
    assert_eq!(one_by_one(&database), 0);
    database.rows.insert(10, "SUCCESS");
    assert!(ids(&database.pass(ORDINARY, &[10, 20])).contains(&10));
    database.rows = BTreeMap::from([(1, "RUNNING"), (1_000_000, "RUNNING")]);
    database.pass(ORDINARY, &[1]);
    database.rows.remove(&1);
    assert_eq!(ids(&database.pass(ORDINARY, &[1, 1_000_000])), [1_000_000]);
    assert_eq!(database.asked.len(), 2, "the first round has asked for it");
}

#[test]
fn known_and_missing_keys_close_to_the_newest_are_read_with_it_and_only_the_others_one_by_one() {
    let mut database = Scripted::new(Discovery::KeyTail, [(1, "RUNNING"), (1_000_000, "RUNNING")]);
    database.pass_within(FULL, &[], TimeBudget::Unlimited);
    database.rows.insert(1_000_300, "RUNNING");
    database.pass(ORDINARY, &[1, 1_000_000]);
    for known in [&[1, 1_000_000, 1_000_300][..], &[1, 1_000_300]] {
        database.pass(ORDINARY, known);
        assert_eq!(one_by_one(&database), 1, "{known:?}");
    }
    let spans = database.asked.iter().flat_map(|round| &round.questions);
    let has_room = spans.filter_map(|question| match question {
        Question::Tail(span) => Some(span.most == MOST_NEWCOMERS + (span.known + span.gaps.len()) as i64),
        _ => None,
    });
    assert!(
        has_room.eq([true]),
        "for what it is asked for, and as many newcomers as any"
    );
}

/// How many known jobs were asked for beside the range.
fn one_by_one(database: &Scripted) -> usize {
    let questions = database.asked.iter().flat_map(|round| &round.questions);
    let known = questions.filter_map(|question| match question {
        Question::Known(ids) => Some(ids.len()),
        _ => None,
    });
    known.sum()
}

#[test]
fn an_answer_that_is_cut_at_its_newcomers_is_continued_however_few_known_jobs_it_has() {
    let mut database = Scripted::new(Discovery::KeyTail, (1..=20).map(|id| (id, "RUNNING")));
    database.limits_newcomers = true;
    database.pass_within(FULL, &[], TimeBudget::Unlimited);
    database.rows = (15..=15_000).map(|id| (id, "SUCCESS")).collect();
    let known: Vec<i64> = (1..=20).collect();
    let last = database.pass(ORDINARY, &known).rows.pop();
    assert_eq!(last.and_then(|job| job.id.number()), Some(15_000));
}

#[test]
fn a_pass_ends_though_more_rows_than_an_answer_has_share_one_key() {
    let mut database = Scripted::new(Discovery::State, [(1, "SUCCESS")]);
    database.is_unique = false;
    database.pass_within(FULL, &[], TimeBudget::Unlimited);
    database.rows.insert(2, "SUCCESS");
    database.twins = vec![(2, "SUCCESS"); 10_000];
    let refused = database
        .try_pass(ORDINARY, &[], TimeBudget::Unlimited)
        .unwrap_err()
        .chain();
    assert!(refused.contains("share the key id = `2`"), "{refused}");
}

#[test]
fn what_was_asked_before_the_snapshot_takes_nothing_of_the_time_for_newcomers() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    database.pass_within(FULL, &[], TimeBudget::Unlimited);
    database.rows.extend((2..15_000).map(|id| (id, "SUCCESS")));
    // The plan before it, and the first answer of it, take two seconds each.
    (database.way, database.newcomers_for) = (Duration::from_secs(2), Duration::from_secs(3));
    assert!(ids(&database.pass(FULL, &[1])).contains(&14_999));
}

#[test]
fn newcomers_are_read_for_an_eighth_of_a_deadline_and_half_a_second_at_most() {
    let ms = Duration::from_millis;
    assert_eq!(newcomers_for(ms(2_000)), ms(250));
    assert_eq!(newcomers_for(ms(30_000)), ms(500));
}

#[test]
fn a_key_that_commits_late_is_found() {
    let mut database = Scripted::new(Discovery::KeyTail, [(1, "RUNNING")]);
    database.pass(ORDINARY, &[]);
    database.rows.insert(4, "RUNNING");
    assert_eq!(ids(&database.pass(ORDINARY, &[1])), [1, 4]);
    database.rows.insert(3, "SUCCESS");
    assert_eq!(ids(&database.pass(ORDINARY, &[1, 4])), [1, 3, 4]);
    assert_eq!(ids(&database.pass(ORDINARY, &[1, 4])), [1, 4], "only once");
}

#[test]
fn newcomers_beyond_one_answer_are_read_by_the_same_pass_as_long_as_it_has_time() {
    for discovery in [Discovery::State, Discovery::KeyTail] {
        let mut database = Scripted::new(discovery, [(1, "RUNNING")]);
        database.pass_within(FULL, &[], TimeBudget::Unlimited);
        let ended = (2..50_002).map(|id| (id, "SUCCESS"));
        database.rows.extend(ended.chain([(50_002, "RUNNING")]));
        let found = ids(&database.pass(ORDINARY, &[1]));
        assert!(found.iter().copied().eq(1..=50_002), "each once: {}", found.len());
        assert_eq!(ids(&database.pass(ORDINARY, &[1, 50_002])), [1, 50_002]);
        if discovery == Discovery::State {
            continue;
        }
        // What is too much for one pass comes with the next.
        database.rows.extend((50_003..300_003).map(|id| (id, "SUCCESS")));
        let passes: Vec<usize> = (0..3)
            .map(|_| database.pass(ORDINARY, &[1, 50_002]).rows.len() - 2)
            .collect();
        assert!(passes[0] >= NEWCOMERS_OF_A_PASS && passes[2] == 0, "{passes:?}");
        assert_eq!(passes.iter().sum::<usize>(), 250_000);
        // Without time one answer has to do.
        database.newcomers_for = Duration::ZERO;
        database.rows.extend((300_003..330_003).map(|id| (id, "SUCCESS")));
        let rows = database.pass(ORDINARY, &[1, 50_002]).rows.len();
        assert!(rows < 10_100, "{rows}");
    }
}
