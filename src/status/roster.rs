//! Which watches there are, and how the last reload went.

use super::board::Board;
use crate::domain::Timestamp;
use parking_lot::RwLock;
use std::sync::Arc;

/// The boards of all watches, in the order of the configuration.
pub type Boards = Vec<(String, Arc<Board>)>;

/// How the last reload of the configuration went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReloadStatus {
    /// Whether it was good, and so is in force.
    pub succeeded: bool,
    /// When the configuration in force was read, by our wall clock.
    pub in_force_since: Timestamp,
}

/// Which watches there are right now; a reload can change that.
#[derive(Debug)]
pub struct Roster(RwLock<(Arc<Boards>, ReloadStatus)>);

impl Roster {
    /// From the boards of a configuration that was read at `at`.
    pub fn new(boards: Boards, at: Timestamp) -> Self {
        Self(RwLock::new(Self::in_force(boards, at)))
    }

    fn in_force(boards: Boards, in_force_since: Timestamp) -> (Arc<Boards>, ReloadStatus) {
        let succeeded = true;
        (
            Arc::new(boards),
            ReloadStatus {
                succeeded,
                in_force_since,
            },
        )
    }

    /// The boards now.
    pub fn boards(&self) -> Arc<Boards> {
        self.0.read().0.clone()
    }

    /// How the last reload of the configuration went.
    pub fn reload_status(&self) -> ReloadStatus {
        self.0.read().1
    }

    /// Another configuration is in force since `at`.
    pub fn replace(&self, boards: Boards, at: Timestamp) {
        *self.0.write() = Self::in_force(boards, at);
    }

    /// A configuration was read and refused: the one in force stays.
    pub fn refuse(&self) {
        self.0.write().1.succeeded = false;
    }
}
