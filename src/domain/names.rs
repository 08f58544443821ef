//! The names that become labels: the first hundred that a watch has seen. A label costs memory in Prometheus for ever, so
//! the rest share one.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// So many job names become labels; the rest are shown together.
pub const NAMED_SLOTS: usize = 100;

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

/// The names that have a label.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelSlots(BTreeMap<Arc<str>, u8>);

impl LabelSlots {
    /// The label of a name; a new name takes one while there are some left.
    pub(super) fn label(&mut self, name: Option<&Arc<str>>) -> Label {
        let Some(name) = name else { return Label::Nameless };
        if let Some(slot) = self.0.get(name) {
            return Label::Own(*slot);
        }
        match u8::try_from(self.0.len()) {
            Ok(slot) if self.0.len() < NAMED_SLOTS => {
                self.0.insert(name.clone(), slot);
                Label::Own(slot)
            }
            _ => Label::Shared,
        }
    }
}

impl LabelSlots {
    /// The name of each label of its own.
    pub(super) fn by_slot(&self) -> BTreeMap<usize, Arc<str>> {
        self.0
            .iter()
            .map(|(name, slot)| (usize::from(*slot), name.clone()))
            .collect()
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
    pub(super) fn into_names(self, names: &LabelSlots) -> BTreeMap<Option<Arc<str>>, Duration> {
        let own = names
            .0
            .iter()
            .map(|(name, slot)| (Some(name.clone()), usize::from(*slot)));
        own.chain([(None, NAMED_SLOTS)])
            .filter_map(|(name, slot)| Some((name, self.0[slot]?)))
            .collect()
    }
}
