//! Decided inits: how each went, and the window of their success ratio. How one is decided stands in `init`.

use super::Timestamp;
use std::collections::VecDeque;

/// How an init went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// The first real heartbeat came in time, or the job ended well before it was due.
    Succeeded,
    /// It did not.
    Failed,
}

/// Decided inits of the jobs that started within a window, for the success ratio.
#[derive(Clone, Debug, Default)]
pub struct InitWindow {
    decided: VecDeque<(Timestamp, Init)>,
}

/// How many inits of the window were decided, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowCount {
    /// All decided ones.
    pub inits: u64,
    /// The failed ones.
    pub failures: u64,
}

impl WindowCount {
    /// Successes over all, where there are any.
    pub fn ratio(self) -> Option<f64> {
        (self.inits > 0).then(|| (self.inits - self.failures) as f64 / self.inits as f64)
    }
}

impl InitWindow {
    /// A window can't grow without bound: past this the oldest entries go first. 16 bytes each.
    const CAPACITY: usize = 100_000;

    /// Adds an init of a job that started at `start`.
    pub fn add(&mut self, start: Timestamp, init: Init) {
        if self.decided.len() == Self::CAPACITY {
            self.decided.pop_front();
        }
        self.decided.push_back((start, init));
    }

    /// Drops what started before `oldest`, and counts the rest.
    pub fn count_since(&mut self, oldest: Timestamp) -> WindowCount {
        self.decided.retain(|(start, _)| *start >= oldest);
        let failures = self.decided.iter().filter(|(_, init)| *init == Init::Failed).count();
        WindowCount {
            inits: self.decided.len() as u64,
            failures: failures as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_the_inits_that_started_within_the_window() {
        let mut window = InitWindow::default();
        assert_eq!(window.count_since(Timestamp::MIN).ratio(), None);
        for (start, init) in [
            (1, Init::Failed),
            (2, Init::Failed),
            (3, Init::Succeeded),
            (4, Init::Succeeded),
        ] {
            window.add(Timestamp::from_micros(start), init);
        }
        assert_eq!(window.count_since(Timestamp::MIN).ratio(), Some(0.5));
        let count = window.count_since(Timestamp::from_micros(2));
        assert_eq!((count.inits, count.failures, count.ratio()), (3, 1, Some(2.0 / 3.0)));
    }

    #[test]
    fn the_oldest_inits_make_room_for_new_ones() {
        let mut window = InitWindow::default();
        for start in 0..=InitWindow::CAPACITY {
            let init = if start == 0 { Init::Failed } else { Init::Succeeded };
            window.add(Timestamp::MIN, init);
        }
        let count = window.count_since(Timestamp::MIN);
        assert_eq!((count.inits, count.failures), (InitWindow::CAPACITY as u64, 0));
    }
}
