//! What is kept of the past, for the small pictures of the page: a day of inits in slots, and the last passes. Both are
//! bounded; nothing here is asked of the database, so both begin with the process.

use crate::domain::{Event, Report, Timestamp};
use std::{collections::VecDeque, time::Duration};

/// The inits that were decided within one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitSlot {
    /// When the slot begins, by our wall clock: a multiple of [`InitDay::SLOT`].
    pub begins: Timestamp,
    /// All decided ones.
    pub inits: u64,
    /// The failed ones.
    pub failures: u64,
}

/// The inits of the last day. Slots in which nothing was decided are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitDay(VecDeque<InitSlot>);

impl InitDay {
    /// Length of a slot.
    pub const SLOT: Duration = Duration::from_secs(1800);
    /// How many slots make a day.
    pub const SLOTS: usize = 48;

    /// When the slot of `at` begins.
    pub fn slot_of(at: Timestamp) -> Timestamp {
        let slot = i64::try_from(Self::SLOT.as_micros()).expect("half an hour fits");
        Timestamp::from_micros(at.as_micros().div_euclid(slot) * slot)
    }

    /// Takes in the inits that a pass at `wall` decided.
    pub(super) fn take_in(&mut self, report: &Report, wall: Timestamp) {
        let (mut inits, mut failures) = (0, 0);
        for event in &report.events {
            match event {
                Event::InitSucceeded(..) => inits += 1,
                Event::InitFailed(_) => (inits, failures) = (inits + 1, failures + 1),
                _ => {}
            }
        }
        let begins = Self::slot_of(wall);
        let day = Self::SLOT * u32::try_from(Self::SLOTS - 1).expect("a small number");
        // A wall clock that was set back leaves slots in the future behind: they go too.
        self.0
            .retain(|slot| slot.begins >= begins.minus(day) && slot.begins <= begins);
        if inits == 0 {
            return;
        }
        match self.0.back_mut().filter(|slot| slot.begins == begins) {
            Some(slot) => (slot.inits, slot.failures) = (slot.inits + inits, slot.failures + failures),
            None => self.0.push_back(InitSlot {
                begins,
                inits,
                failures,
            }),
        }
    }

    /// The slots in which something was decided, oldest first.
    pub fn slots(&self) -> impl Iterator<Item = InitSlot> + '_ {
        self.0.iter().copied()
    }
}

/// How a pass went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// It read the table, and made so many repairs.
    Good {
        /// Committed repairs.
        repairs: u64,
    },
    /// It didn't.
    Failed,
}

/// One pass as the strip of the last passes shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassMark {
    /// How it went.
    pub passed: Passed,
    /// When it ended, by our wall clock.
    pub wall: Timestamp,
    /// How long reading took.
    pub took: Duration,
}

/// The last passes, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strip(VecDeque<PassMark>);

impl Strip {
    /// How many are kept.
    pub const LENGTH: usize = 60;

    pub(super) fn mark(&mut self, mark: PassMark) {
        if self.0.len() == Self::LENGTH {
            self.0.pop_front();
        }
        self.0.push_back(mark);
    }

    /// The marks, oldest first.
    pub fn marks(&self) -> impl ExactSizeIterator<Item = PassMark> + '_ {
        self.0.iter().copied()
    }
}
