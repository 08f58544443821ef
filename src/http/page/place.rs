//! A watch among the others of the page.

use super::asked::{Asked, Part, anchor};
use crate::{
    domain::Noun,
    present::{Tone, Verdict, View},
};
use std::cmp::Reverse;

/// A watch, and where it stands.
pub(super) struct Place<'a> {
    /// Its place in the configuration.
    pub index: usize,
    /// Whether there are others beside it.
    pub among_others: bool,
    /// What is known of it.
    pub view: &'a View,
    /// The same in a sentence.
    pub verdict: &'a Verdict,
    /// What the reader wants to see.
    pub asked: &'a Asked,
}

impl Place<'_> {
    /// The part of the page that is this watch.
    pub const fn part(&self) -> Part {
        Part::Watch(self.index)
    }

    /// Whether someone should know of it.
    pub fn needs_attention(&self) -> bool {
        self.verdict.tone != Tone::Good || !self.view.outcomes().is_empty()
    }

    /// The order of urgency, the worst first: harm that was done, what is not known, what is blocked.
    pub fn urgency(&self) -> impl Ord + use<> {
        let harm = self.view.known(|pass| !pass.report.false_repairs.is_empty());
        let blocking = self.view.known(|pass| pass.report.blocking).flatten();
        let outcomes = !self.view.outcomes().is_empty();
        Reverse((harm.unwrap_or(false), self.verdict.tone, blocking, outcomes))
    }

    /// What people call its jobs.
    pub fn noun(&self) -> &Noun {
        &self.view.status.terms.policy.noun
    }

    /// The identity of a job in the page; none where the key is empty, or too long for an address.
    pub fn anchor(&self, key: &str) -> Option<String> {
        anchor(self.among_others.then_some(self.view.name.as_str()), key)
    }
}
