//! The decision logic of Beatwarden, and its glossary. Pure: no I/O, no clock, no log, no randomness; only `std`.
//!
//! | word | type | meaning |
//! |---|---|---|
//! | job | [`Job`] | one row of the job table as it was read |
//! | heartbeat | [`Heartbeat`] | none, *seeded* (written with the start, proves nothing) or *real* |
//! | incident | [`Incident`] | one start of one job; it can get each action once |
//! | init | | the way of a job from its start to its first real heartbeat, decided once for each start |
//! | phase | [`Phase`] | the judgement of a running job |
//! | overdue | [`Phase::is_overdue`] | past its deadline: `missed_first` or `overrun` |
//! | stuck | [`Phase::is_stuck`] | overdue, or `lost` |
//! | observation | [`Observation`] | what one pass read, with the times at which it was read |
//! | memory | [`Memory`] | all that is remembered between passes |
//! | plan | [`Plan`] | what one pass will do, and what it withholds and why |
//! | blocking | [`Blocking`] | stuck, and the writer refuses another run of the same name now; else a leftover |
//! | repair | [`Repair`] | one planned change of one job |
//! | cause | [`Cause`] | why an overdue job is not repaired |
//! | obstacle | [`Obstacle`] | what keeps a whole watch from repairing |
//! | fuse | | keeps jobs from being failed while too many look dead at once, or after a false repair |
//! | gate | | the lock that lets one process at a time repair |
//! | guard | [`Guard`] | the optional triggers that write a first heartbeat |
//! | full look | [`Coverage::Full`] | a reading of the whole table, page by page where its key grows |
//! | outcome | [`Outcome`] | what became of a planned repair |
//! | report | [`Report`] | plan and outcomes, as log, metrics, page and API show them |
//! | finding | [`Finding`] | what turned out about an earlier repair: false, or late |
//! | ledger | [`LedgerEntry`] | the record of repairs in the watched database |
//!
//! The glue is one function, [`plan`]: `(Memory, Observation, Policy) -> (Memory, Plan)`.

mod aftermath;
mod ages;
mod blocking;
mod causes;
mod decide;
mod ending;
mod foreign;
mod fuse;
mod holder;
mod init;
mod job;
mod jobs;
mod judge;
mod known;
mod ledger;
mod memory;
mod names;
mod noun;
mod observation;
mod outcome;
mod pass;
mod phase;
mod plan;
mod policy;
mod report;
mod setting;
mod shared_text;
mod silence;
mod stuck;
mod time;
mod watching;
mod window;

pub use aftermath::{AFTERMATH, AFTERMATH_REPAIRS, Finding, LifeSign, Noted};
pub use ages::{AgeStep, Ages};
pub use blocking::Blocking;
pub use causes::Cause;
pub use decide::plan;
pub use ending::{Argument, Assigned, Literal};
pub use foreign::{LONGEST_FOREIGN, cut, in_full};
pub use holder::{Held, HeldUp, Holder};
pub use job::{Heartbeat, Incident, Job, JobId, StateKind, States, TimeValue};
pub use ledger::{LEDGER_LAYOUT, LateOutcome, LedgerAction, LedgerEntry, Precedent, Precedents, RepairId};
pub use memory::Memory;
pub use names::NAMED_SLOTS;
pub use noun::Noun;
pub use observation::{
    Access, Coverage, Discovery, Guard, Newcomers, Observation, Obstacle, ServerIdentity, Snapshot, Timing, Unknowns,
};
pub use outcome::{Attempted, Outcome, apply_outcomes};
pub use phase::Phase;
pub use plan::{Event, JobView, Left, Plan, Repair, Restarted, StartCheck, Storm};
pub use policy::{ByHand, Policy, Repairing, SCANS, interval_in_force, judges_late};
pub use report::{JobLine, Report, report};
pub use setting::{Action, DiscoverySetting, NullState, TimeFormat, ValueTest};
pub use shared_text::SharedText;
pub use silence::{GOOD_RUNS, Silence};
pub use stuck::StuckName;
pub use time::{Moment, Timestamp};
pub use window::WindowCount;
