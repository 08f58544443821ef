//! Rows without a key, and keys that rows share.

use super::*;

fn counts_keyless(question: &Question) -> bool {
    *question == Question::Keyless
}

#[test]
fn rows_without_a_key_that_no_answer_has_are_counted_by_each_pass() {
    for discovery in [Discovery::State, Discovery::KeyTail] {
        let mut database = Scripted::new(discovery, [(1, "RUNNING")]);
        database.keyless = (Keyless::Asked, 3);
        for coverage in [FULL, ORDINARY, ORDINARY] {
            assert_eq!(database.pass(coverage, &[1]).keyless, 3);
            assert!(database.asks(counts_keyless));
        }
    }
}

#[test]
fn rows_without_a_key_are_counted_by_answers_by_state_and_by_keys_in_full_looks_only() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    database.keyless = (Keyless::InAnswers, 3);
    for coverage in [FULL, ORDINARY] {
        assert_eq!(database.pass(coverage, &[1]).keyless, 3);
        assert!(!database.asks(counts_keyless));
    }
    let mut database = Scripted::new(Discovery::KeyTail, [(1, "RUNNING")]);
    for (coverage, rows, found, is_asked) in [
        (FULL, 3, 3, true),
        (ORDINARY, 3, 3, false),
        (ORDINARY, 5, 3, false),
        (FULL, 5, 5, true),
    ] {
        database.keyless = (Keyless::InAnswers, rows);
        assert_eq!(database.pass(coverage, &[1]).keyless, found);
        assert_eq!(database.asks(counts_keyless), is_asked);
    }
    // An index was made: what the last full look found is among the answers now.
    database.plan.access = Access::Index;
    assert_eq!(database.pass(FULL, &[1]).keyless, 5);
}

#[test]
fn a_key_that_two_rows_share_fails_the_pass_until_it_does_not() {
    for discovery in [Discovery::State, Discovery::KeyTail] {
        let mut database = Scripted::new(discovery, [(1, "RUNNING"), (2, "RUNNING")]);
        database.is_unique = false;
        database.twins = vec![(1, "RUNNING")];
        let refused = database.try_pass(FULL, &[], TimeBudget::Unlimited).unwrap_err().chain();
        assert!(refused.contains("2 rows of `runs` share the key id = `1`"), "{refused}");
        database.twins.clear();
        assert_eq!(ids(&database.pass_within(FULL, &[], TimeBudget::Unlimited)), [1, 2]);
    }
}
