//! Which facts the log has: each is reported once in a while, however often it comes back. What a database says is no part of a
//! fact, since it may be another text each time; what we or the operating system say is.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// A fact that persists is reported again after this, with how often it came meanwhile.
const AGAIN: Duration = Duration::from_secs(300);
/// How many different facts are reported in that time.
const MOST: usize = 20;

/// The facts of one kind.
#[derive(Debug, Default)]
pub(super) struct Facts(HashMap<String, Fact>);

#[derive(Debug)]
struct Fact {
    reported: Instant,
    unreported: u64,
}

impl Facts {
    /// How often the fact came since it was last reported, if it is to be reported now: once and more.
    pub(super) fn is_due(&mut self, fact: String) -> Option<u64> {
        self.is_due_at(fact, Instant::now())
    }

    fn is_due_at(&mut self, fact: String, now: Instant) -> Option<u64> {
        if self.0.len() >= MOST && !self.0.contains_key(&fact) {
            self.0.retain(|_, fact| now.duration_since(fact.reported) < AGAIN);
            if self.0.len() >= MOST {
                return None;
            }
        }
        let known = self.0.get_mut(&fact);
        match known {
            Some(known) if now.duration_since(known.reported) < AGAIN => {
                known.unreported += 1;
                None
            }
            Some(known) => {
                known.reported = now;
                Some(std::mem::take(&mut known.unreported) + 1)
            }
            None => {
                self.0.insert(
                    fact,
                    Fact {
                        reported: now,
                        unreported: 0,
                    },
                );
                Some(1)
            }
        }
    }

    /// They hold no longer: what comes next is news.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// What a text of an error is about: the place before its first colon, which is our own, and the SQLSTATE, if it has one.
fn subject_of(error: &str) -> String {
    const CODE: &str = "(SQLSTATE ";
    let place: String = error.split(": ").next().unwrap_or_default().chars().take(120).collect();
    let code = error.find(CODE).map(|at| &error[at + CODE.len()..]);
    match code {
        Some(code) => format!("{} {place}", code.chars().take(5).collect::<String>()),
        None => place,
    }
}

/// What a failed pass is about: where no server said it, all that is said but for numbers, such as times. What stood in the way
/// may have been fixed, and something else stand there now.
pub(super) fn failure_of(error: &str) -> String {
    match error.contains("(SQLSTATE ") {
        true => subject_of(error),
        false => error
            .chars()
            .filter(|letter| !letter.is_ascii_digit())
            .take(300)
            .collect(),
    }
}

/// The SQLSTATE of an error's text, else what it is about: for errors that begin with the database's own words.
pub(super) fn code_of(error: &str) -> String {
    let subject = subject_of(error);
    match error.contains("(SQLSTATE ") {
        true => subject.chars().take(5).collect(),
        false => subject,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_reported_once_and_then_with_its_count() {
        let (mut facts, start) = (Facts::default(), Instant::now());
        let mut due = |fact: &str, after: u64| facts.is_due_at(fact.to_owned(), start + Duration::from_secs(after));
        assert_eq!(due("a", 0), Some(1));
        assert_eq!((due("a", 1), due("a", 2), due("b", 2)), (None, None, Some(1)));
        assert_eq!((due("a", 301), due("a", 302)), (Some(3), None));
    }

    #[test]
    fn different_facts_are_bounded_too() {
        let mut facts = Facts::default();
        let reported = (0..1_000).filter(|number| facts.is_due(number.to_string()).is_some());
        assert_eq!(reported.count(), MOST);
    }

    #[test]
    fn what_the_database_says_is_no_part_of_a_fact() {
        let error = |text: &str| format!("reading the running jobs failed: {text} (SQLSTATE P0001)");
        assert_eq!(subject_of(&error("0.1")), subject_of(&error("0.2: x")));
        assert_ne!(
            subject_of(&error("x")),
            subject_of("reading the ledger failed: x (SQLSTATE P0001)")
        );
        assert_eq!(failure_of(&error("0.1")), failure_of(&error("0.2: x")));
        assert_eq!(code_of("0.1 x (SQLSTATE P0001); detail"), "P0001");
        assert_eq!(code_of("0.2: y (SQLSTATE P0001)"), "P0001");
    }

    #[test]
    fn another_reason_is_another_failure_and_another_time_is_not() {
        let error = |text: &str| format!("no connection to the database: {text}");
        assert_ne!(
            failure_of(&error("it is a folder")),
            failure_of(&error("it is a pipe to whose end no one wrote"))
        );
        assert_eq!(
            failure_of(&error("the certificate expired 10 s ago")),
            failure_of(&error("the certificate expired 310 s ago"))
        );
    }
}
