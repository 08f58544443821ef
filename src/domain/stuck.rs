//! Which names have the oldest stuck jobs.

use super::{
    JobView, Phase, SharedText, Timestamp,
    names::{Label, NAMED_SLOTS},
};
use std::collections::{BTreeMap, BTreeSet};

/// The start of the oldest stuck job of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckName {
    /// The name; `None` for those that share a label.
    pub name: Option<SharedText>,
    /// How it is stuck.
    pub phase: Phase,
    /// Its start, or the time that stands in for it where the row has none.
    pub started_at: Timestamp,
}

/// How many names of stuck jobs are reported, the oldest: enough for an alert to say which.
const STUCK_NAMES: usize = 20;

/// The oldest start of a stuck job by label and phase.
#[derive(Debug, Default)]
pub(super) struct OldestStuck(BTreeMap<(usize, Phase), Timestamp>);

impl OldestStuck {
    /// Takes in a job; one that is not stuck, or without a name, counts for nothing.
    pub(super) fn add(&mut self, view: &JobView) {
        let slot = match view.label {
            Label::Nameless => return,
            Label::Own(slot) => usize::from(slot),
            Label::Shared => NAMED_SLOTS,
        };
        if view.phase.is_stuck() {
            // Never later than its last sign of life: a start may lie ahead.
            let start = view
                .started_at
                .map_or(view.last_sign, |start| start.min(view.last_sign));
            let oldest = self.0.entry((slot, view.phase)).or_insert(start);
            *oldest = start.min(*oldest);
        }
    }

    /// The names whose stuck jobs are the oldest, oldest first.
    pub(super) fn into_names(self, name_of: impl Fn(usize) -> Option<SharedText>) -> Vec<StuckName> {
        let mut oldest_first: Vec<((usize, Phase), Timestamp)> = self.0.into_iter().collect();
        oldest_first.sort_by_key(|(_, started_at)| *started_at);
        let mut slots = BTreeSet::new();
        oldest_first
            .retain(|((slot, _), _)| slots.contains(slot) || (slots.len() < STUCK_NAMES && slots.insert(*slot)));
        let of = |((slot, phase), started_at)| StuckName {
            name: name_of(slot),
            phase,
            started_at,
        };
        oldest_first.into_iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::JobId;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000)
    }

    fn job(label: Label, phase: Phase, started_at: Option<i64>, last_sign: i64) -> JobView {
        JobView {
            id: JobId::new("1"),
            name: None,
            started_at: started_at.map(at),
            last_heartbeat_at: None,
            phase,
            last_sign: at(last_sign),
            due_at: None,
            cause: None,
            writer_frees_at: None,
            label,
        }
    }

    #[test]
    fn the_oldest_stuck_job_of_each_name_is_found_and_twenty_names_at_most() {
        let mut stuck = OldestStuck::default();
        for slot in 0..30 {
            let start = i64::from(slot) - 1_000;
            stuck.add(&job(
                Label::Own(slot),
                Phase::MissedFirst,
                Some(start + 500),
                start + 500,
            ));
            stuck.add(&job(Label::Own(slot), Phase::MissedFirst, Some(start), start));
        }
        stuck.add(&job(Label::Own(0), Phase::Lost, Some(-10), -5));
        stuck.add(&job(Label::Shared, Phase::Lost, Some(-5_000), -20));
        stuck.add(&job(Label::Nameless, Phase::Lost, Some(-9_000), -20));
        stuck.add(&job(Label::Own(1), Phase::Beating, Some(-9_000), 0));
        let name = |slot: usize| (slot < NAMED_SLOTS).then(|| slot.to_string().into());
        let found = stuck.into_names(name);
        let names: BTreeSet<Option<&str>> = found.iter().map(|found| found.name.as_deref()).collect();
        assert_eq!((names.len(), found.len()), (20, 21));
        assert!(names.contains(&Some("18")) && !names.contains(&Some("19")));
        assert_eq!((found[0].name.as_deref(), found[0].started_at), (None, at(-5_000)));
        assert_eq!((found[1].name.as_deref(), found[1].started_at), (Some("0"), at(-1_000)));
        assert_eq!((found[20].phase, found[20].started_at), (Phase::Lost, at(-10)));
    }

    #[test]
    fn a_start_that_lies_ahead_or_is_not_there_is_replaced_by_the_last_sign_of_life() {
        for start in [None, Some(500)] {
            let mut stuck = OldestStuck::default();
            stuck.add(&job(Label::Shared, Phase::MissedFirst, start, -70));
            assert_eq!(stuck.into_names(|_| None)[0].started_at, at(-70));
        }
    }
}
