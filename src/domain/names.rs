//! The names that become labels: a hundred at a time, and the rest share one. A label costs memory in Prometheus for as long
//! as it keeps the series, so names that come and go can't take new ones at will: a label changes its name only when no job
//! has run under it for a while, and no more than a hundred do within an hour.

use super::{Moment, SharedText};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

/// How many job names become labels; the rest are shown together.
pub const NAMED_SLOTS: usize = 100;
/// A label can change its name once no job has run under it in so many passes: a name that pauses keeps it.
const UNUSED: u32 = 10;
/// The most labels that change their names within [`CHANGES_WITHIN`].
const CHANGES: usize = 100;
/// The time that [`CHANGES`] are counted over.
const CHANGES_WITHIN: Duration = Duration::from_secs(3600);
/// How many names without a label are remembered, so that each is counted once; then all are forgotten.
const REFUSED: usize = 10_000;

/// What a job is shown under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Label {
    /// It has no name.
    #[default]
    Nameless,
    /// A label of its own name's.
    Own(u8),
    /// The label of all names that got none of their own.
    Shared,
}

/// A label of its own: its name, and the last pass in which a job ran under it.
#[derive(Clone, Debug)]
struct Slot {
    name: SharedText,
    used_in: u32,
}

/// The names that have a label.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelSlots {
    slots: Vec<Slot>,
    by_name: BTreeMap<SharedText, u8>,
    /// Number of the pass; it may wrap.
    pass: u32,
    /// The labels that can change their names in this pass, the one that is unused for longest last.
    unused: Vec<u8>,
    /// When labels changed their names, within the last hour.
    changes: VecDeque<Moment>,
    /// The last pass in which a name took a label.
    taken_in: Option<u32>,
    /// Hashes of the names that were counted as without a label.
    refused: BTreeSet<u64>,
}

impl LabelSlots {
    /// A pass begins, at `now`: finds the labels that may change their names in it.
    pub(super) fn begin_pass(&mut self, now: Moment) {
        self.pass = self.pass.wrapping_add(1);
        let is_old = |at: &Moment| now.since(*at) >= CHANGES_WITHIN;
        while self.changes.pop_front_if(|at| is_old(at)).is_some() {}
        let unused_for = |slot: &Slot| self.pass.wrapping_sub(slot.used_in);
        let mut unused: Vec<(u32, u8)> = (0..)
            .zip(&self.slots)
            .map(|(place, slot)| (unused_for(slot), place))
            .filter(|(passes, _)| *passes > UNUSED)
            .collect();
        unused.sort_unstable();
        let from = unused.len().saturating_sub(CHANGES - self.changes.len());
        self.unused = unused[from..].iter().map(|(_, place)| *place).collect();
    }

    /// The label of a running job of this name, which is in use in this pass. A new name takes one while there are some left.
    pub(super) fn label(&mut self, name: Option<&SharedText>, now: Moment) -> Label {
        let Some(name) = name else { return Label::Nameless };
        let place = match self.by_name.get(name) {
            Some(place) => Some(*place),
            None => self.take(name, now),
        };
        let label = place.map_or(Label::Shared, Label::Own);
        self.keep(label);
        label
    }

    /// A running job is shown under this label: it stays what it is.
    pub(super) fn keep(&mut self, label: Label) {
        if let Label::Own(place) = label {
            self.slots[usize::from(place)].used_in = self.pass;
        }
    }

    /// Whether a name without a label may get one: some can change theirs, or a name took one since it was asked for.
    pub(super) fn may_have(&self) -> bool {
        let lately = |taken: u32| self.pass.wrapping_sub(taken) <= 1;
        !self.unused.is_empty() || self.taken_in.is_some_and(lately)
    }

    /// Takes note of a name without a label; true if it was not counted before.
    pub(super) fn refuse(&mut self, name: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        if self.refused.len() >= REFUSED {
            self.refused.clear();
        }
        self.refused.insert(hasher.finish())
    }

    fn take(&mut self, name: &SharedText, now: Moment) -> Option<u8> {
        let slot = Slot {
            name: name.clone(),
            used_in: self.pass,
        };
        let place = if self.slots.len() < NAMED_SLOTS {
            self.slots.push(slot);
            u8::try_from(self.slots.len() - 1).expect("there are fewer slots")
        } else {
            let place = self.next_unused()?;
            let before = std::mem::replace(&mut self.slots[usize::from(place)], slot);
            self.by_name.remove(&before.name);
            self.changes.push_back(now);
            place
        };
        self.by_name.insert(name.clone(), place);
        self.taken_in = Some(self.pass);
        Some(place)
    }

    /// A label that can change its name: one may have come into use since the pass began.
    fn next_unused(&mut self) -> Option<u8> {
        loop {
            let place = self.unused.pop()?;
            if self.slots[usize::from(place)].used_in != self.pass {
                return Some(place);
            }
        }
    }

    /// The name of a label of its own.
    pub(super) fn name_of(&self, slot: usize) -> Option<SharedText> {
        self.slots.get(slot).map(|slot| slot.name.clone())
    }
}

/// The oldest age under each label.
#[derive(Debug)]
pub(super) struct OldestByName([Option<Duration>; NAMED_SLOTS + 1]);

impl OldestByName {
    pub(super) fn new() -> Self {
        Self([None; NAMED_SLOTS + 1])
    }

    /// Takes in a job; one without a name is under no label.
    pub(super) fn add(&mut self, label: Label, age: Duration) {
        let slot = match label {
            Label::Nameless => return,
            Label::Own(slot) => usize::from(slot),
            Label::Shared => NAMED_SLOTS,
        };
        self.0[slot] = self.0[slot].max(Some(age));
    }

    /// By name; `None` for the names that share a label.
    pub(super) fn into_names(self, names: &LabelSlots) -> BTreeMap<Option<SharedText>, Duration> {
        let own = names.slots.iter().map(|slot| Some(slot.name.clone())).zip(self.0);
        own.chain([(None, self.0[NAMED_SLOTS])])
            .filter_map(|(name, age)| Some((name, age?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch of which only the names are looked at.
    #[derive(Default)]
    struct Names {
        slots: LabelSlots,
        now: u64,
        dropped: usize,
        /// All that ever had a label.
        series: BTreeSet<String>,
    }

    impl Names {
        /// A pass after `seconds`, with a job of each name; gives the labels.
        fn pass(&mut self, seconds: u64, names: impl IntoIterator<Item = u32>) -> Vec<Label> {
            self.now += seconds;
            let now = Moment::from_start(Duration::from_secs(self.now));
            self.slots.begin_pass(now);
            let mut labels = Vec::new();
            for name in names {
                let name: SharedText = format!("name-{name}").into();
                let label = self.slots.label(Some(&name), now);
                if label == Label::Shared {
                    self.dropped += usize::from(self.slots.refuse(&name));
                } else {
                    self.series.insert(name.to_string());
                }
                labels.push(label);
            }
            labels
        }

        fn idle(&mut self, passes: u32) {
            for _ in 0..passes {
                self.pass(1, []);
            }
        }
    }

    fn own(labels: &[Label]) -> usize {
        labels.iter().filter(|label| matches!(label, Label::Own(_))).count()
    }

    #[test]
    fn names_that_come_get_the_labels_of_names_that_went_the_longest_gone_first() {
        let mut names = Names::default();
        names.pass(1, 0..100);
        names.pass(1, 50..100);
        assert_eq!(own(&names.pass(1, 200..250)), 0, "a name that just went may come back");
        names.idle(UNUSED - 2);
        assert_eq!(own(&names.pass(1, 300..400)), 50);
        let shown = (0..=NAMED_SLOTS).filter_map(|slot| names.slots.name_of(slot));
        let mut shown: Vec<String> = shown.map(|name| name.to_string()).collect();
        let mut expected: Vec<String> = (50..100).chain(300..350).map(|name| format!("name-{name}")).collect();
        shown.sort();
        expected.sort();
        assert_eq!(shown, expected);
        assert_eq!(names.slots.by_name.len(), 100);
    }

    #[test]
    fn a_name_keeps_its_label_while_jobs_of_it_run_and_when_it_comes_back_first() {
        let mut names = Names::default();
        let before = names.pass(1, 0..100);
        for _ in 0..50 {
            assert_eq!(names.pass(1, (0..100).chain([777]))[..100], before);
        }
        names.idle(50);
        assert_eq!(
            names.pass(1, (0..100).chain([777])),
            [&before[..], &[Label::Shared]].concat()
        );
    }

    #[test]
    fn a_name_without_a_label_may_ask_again_once_one_is_to_be_had_and_its_other_jobs_in_the_next_pass() {
        let mut names = Names::default();
        names.pass(1, 0..100);
        assert!(names.slots.may_have());
        names.pass(1, 1..101);
        assert!(names.slots.may_have(), "as of the last pass");
        for _ in 0..UNUSED - 1 {
            names.pass(1, 1..101);
            assert!(!names.slots.may_have());
        }
        assert_eq!(names.pass(1, 1..101).last(), Some(&Label::Own(0)));
        names.slots.begin_pass(Moment::default());
        assert!(names.slots.may_have());
        names.slots.begin_pass(Moment::default());
        assert!(!names.slots.may_have());
    }

    #[test]
    fn names_that_are_always_new_take_a_hundred_labels_an_hour() {
        let mut names = Names::default();
        let hours = 5;
        for pass in 0..hours * 3600 {
            names.pass(1, pass * 7..pass * 7 + 7);
        }
        assert_eq!(
            names.series.len(),
            NAMED_SLOTS + CHANGES * usize::try_from(hours).unwrap()
        );
        assert!(names.slots.changes.len() <= CHANGES && names.slots.refused.len() <= REFUSED);
    }

    #[test]
    fn a_name_without_a_label_is_counted_once_however_many_jobs_it_has() {
        let mut names = Names::default();
        for _ in 0..20 {
            names.pass(1, (0..100).chain(500..510).chain(500..510));
        }
        assert_eq!(names.dropped, 10);
    }
}
