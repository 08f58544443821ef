//! What reading a table has in common on every database: how much of it is read at most, and how answers become one.

use super::{Mapping, StoreError, TimeSource};
use crate::domain::{Job, LedgerEntry, SharedText};
use std::{collections::HashSet, time::Duration};

/// More running rows than this are no job table with a sensible list of running states; reading on would hurt everyone. What
/// a pass holds of each is some 300 bytes.
pub(crate) const MOST_RUNNING: i64 = 2_000_000;
/// Rows in unknown states that are looked at.
pub(crate) const MOST_UNKNOWN: i64 = 1_000;
/// How far below the newest key of a first pass a transaction may still be open.
pub(crate) const FIRST_OVERLAP: i64 = 1_000;
/// Newcomers read by one question.
pub(crate) const MOST_NEWCOMERS: i64 = 10_000;
/// How many are read by one pass, as long as it has time for them; what is left comes with the next.
pub(crate) const NEWCOMERS_OF_A_PASS: usize = 200_000;
/// Rows read after a start for the success ratio.
pub(crate) const HISTORY: i64 = 10_000;
/// Ledger entries shown.
pub(crate) const SHOWN_REPAIRS: i64 = 100;
/// Ledger entries of the last day whose jobs stay under watch; their undos come on top.
pub(crate) const WATCHED_REPAIRS: i64 = 2_000;
/// False repairs that were not acknowledged, and as many late heartbeats: one false repair holds the fuse open, the rest is
/// for people.
pub(crate) const UNACKNOWLEDGED: i64 = 100;
/// The scan for unknown states gives up after this: it serves a count, and may not cost a pass.
pub(crate) const UNKNOWN_WITHIN: Duration = Duration::from_secs(2);
/// So is the search for good runs, which serves a warning.
pub(crate) const GOOD_RUNS_WITHIN: Duration = Duration::from_millis(500);
/// Characters of a name or a state that are read: a table may hold ten megabytes in each, in every row, at every pass.
pub(crate) const LONGEST_TEXT: usize = 1_000;
/// Bytes of a key: one that is longer names no job, and makes its row unreadable. Keys are the one text that can't be cut.
pub(crate) const LONGEST_KEY: usize = 1_000;
/// Bytes of what a ledger entry keeps of a row, before or after.
pub(crate) const LONGEST_IMAGE: usize = 8_000;
/// Bytes of one image that the further columns of a `fail` share: the whole has to stay below what is read of an entry.
pub(crate) const KEPT: usize = 4_000;
/// Bytes that the texts of the rows and the ledger entries of one pass may take. A process that is killed for want of memory takes
/// all of its watches along; a pass that fails says why.
pub(crate) const HEAVIEST: usize = 64 << 20;
/// A row counts as so many bytes at least, so that rows without texts are bounded as well: by a little more than
/// [`MOST_RUNNING`].
const LIGHTEST: usize = 32;

/// Whether the heartbeats of a job that ended are still its own: those of an owner, such as a worker, are gone with it, or
/// later than the job.
pub(crate) fn keeps_heartbeats(mapping: &Mapping) -> bool {
    let heartbeat = mapping.last_heartbeat_at.as_ref();
    let is_its_own = |source: &TimeSource| {
        source
            .elsewhere
            .as_ref()
            .is_none_or(|other| other.matching == mapping.id)
    };
    mapping.own_start().is_some() && heartbeat.is_some_and(is_its_own)
}

/// The error of a table with too many running rows.
pub(crate) fn too_many(mapping: &Mapping) -> StoreError {
    StoreError::Schema(format!(
        "{MOST_RUNNING} rows of `{}` are in a running state, and one watch holds fewer: is watch.table.running right? If so, \
         divide the table among several watches by watch.table.only",
        mapping.table.plain()
    ))
}

/// The error of a table whose running rows take too much memory.
pub(crate) fn too_heavy(mapping: &Mapping) -> StoreError {
    StoreError::Schema(format!(
        "what a pass reads of `{}` and of its ledger takes more than {} MiB: is watch.table.running right, and is \
         watch.table.job_name a name?",
        mapping.table.plain(),
        HEAVIEST >> 20
    ))
}

/// What a row takes of the memory for texts. A name or a state that many rows share is counted with the first.
pub(crate) fn weight(job: &Job) -> usize {
    // One reference is the row's, another that of the strings.
    let fresh = |text: &Option<SharedText>| match text {
        Some(text) if text.places() <= 2 => text.len(),
        _ => 0,
    };
    let key = job.id.number().map_or_else(|| job.id.text().len(), |_| 0);
    (key + fresh(&job.name) + fresh(&job.state)).max(LIGHTEST)
}

/// The same of a ledger entry.
pub(crate) fn weight_of_entry(entry: &LedgerEntry) -> usize {
    let texts = [
        &entry.watch,
        &entry.table_name,
        &entry.before,
        &entry.after,
        &entry.instance,
    ];
    let name = entry.job_name.as_ref().map_or(0, |name| name.len());
    size_of::<LedgerEntry>() + name + texts.into_iter().map(|text| text.len()).sum::<usize>()
}

/// Names and states that many rows share, each kept once.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    names: HashSet<SharedText>,
    /// A few: looking through them is quicker than any index would be.
    states: Vec<SharedText>,
}

impl Strings {
    /// How many different names are remembered.
    const NAMES: usize = 1_000;
    /// How many different states.
    const STATES: usize = 16;

    /// The name, as the one that was given out before for the same.
    pub(crate) fn name(&mut self, name: &str) -> SharedText {
        if let Some(shared) = self.names.get(name) {
            return shared.clone();
        }
        let new: SharedText = name.into();
        if self.names.len() < Self::NAMES {
            self.names.insert(new.clone());
        }
        new
    }

    /// The state, as the one that was given out before for the same.
    pub(crate) fn state(&mut self, state: &str) -> SharedText {
        if let Some(shared) = self.states.iter().find(|shared| ***shared == *state) {
            return shared.clone();
        }
        let new: SharedText = state.into();
        if self.states.len() < Self::STATES {
            self.states.push(new.clone());
        }
        new
    }
}

/// Why a table is not watched whose key is not unique.
pub(crate) fn not_unique(mapping: &Mapping, key: &str, more: &str) -> StoreError {
    StoreError::Schema(format!(
        "the key `{key}` of `{}` is not unique by a valid constraint on that column alone (watch.table.id), so rows that \
         share one would hide each other: add a unique constraint, or name another column; where only several columns \
         together are unique, watch a view that joins them into one, such as SELECT concat_ws('/', dag_id, run_id) AS id, \
         ..., which can be observed and not repaired{more}",
        mapping.table.plain()
    ))
}
