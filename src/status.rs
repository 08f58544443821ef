//! What is known of each watch right now. HTTP and metrics read here and nowhere else, so no request ever touches a database.

mod board;
mod day;
mod roster;

pub use board::{Board, WatchStatus, WatchTerms};
pub use day::{InitDay, InitSlot, PassMark, Passed, Strip};
pub use roster::{Boards, ReloadStatus, Roster};
