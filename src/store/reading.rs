//! What reading a table has in common on every database: how much of it is read at most, and how answers become one.

use super::{Mapping, StoreError};
use crate::domain::{Action, Cause, Heartbeat, Job, JobId, LEDGER_LAYOUT, LedgerEntry, Obstacle, StateKind};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// More running rows than this are no job table with a sensible list of running states; reading on would hurt everyone.
pub(crate) const MOST_RUNNING: i64 = 500_000;
/// Rows in unknown states that are looked at.
pub(crate) const MOST_UNKNOWN: i64 = 1_000;
/// Newcomers read by one pass; what is left comes with the next.
pub(crate) const MOST_NEWCOMERS: i64 = 10_000;
/// Rows read after a start for the success ratio.
pub(crate) const HISTORY: i64 = 10_000;
/// Ledger entries shown.
pub(crate) const SHOWN_REPAIRS: i64 = 100;
/// Ledger entries of the last day whose jobs stay under watch; their undos come on top.
pub(crate) const WATCHED_REPAIRS: i64 = 2_000;
/// False repairs that nobody acknowledged: one holds the fuse open, the rest is for people.
pub(crate) const UNACKNOWLEDGED: i64 = 100;
/// The scan for unknown states gives up after this: it serves a count, and may not cost a pass.
pub(crate) const UNKNOWN_WITHIN: Duration = Duration::from_secs(2);
/// Characters of a name or a state that are read: a table may hold ten megabytes in each, in every row, at every pass.
pub(crate) const LONGEST_TEXT: usize = 1_000;
/// Bytes of a key: one that is longer names no job, and makes its row unreadable. Keys are the one text that can't be cut.
pub(crate) const LONGEST_KEY: usize = 1_000;
/// Bytes of what a ledger entry keeps of a row, before or after.
pub(crate) const LONGEST_IMAGE: usize = 8_000;
/// Bytes that the rows and ledger entries of one pass may take, their texts included. A process that is killed for want of memory
/// takes all of its watches along; a pass that fails says why.
pub(crate) const HEAVIEST: usize = 64 << 20;
/// Columns of the ledger; a table of its name without them is somebody else's.
pub(crate) const LEDGER_COLUMNS: [&str; 17] = [
    "repair_id",
    "watch",
    "table_name",
    "job_id",
    "job_name",
    "reason",
    "action",
    "instance",
    "started_at",
    "repaired_at",
    "before",
    "after",
    "outcome",
    "outcome_at",
    "acknowledged_at",
    "undo_of",
    "version",
];

/// The error of a table with too many running rows.
pub(crate) fn too_many(mapping: &Mapping) -> StoreError {
    StoreError::Schema(format!(
        "more than {MOST_RUNNING} rows of `{}` are in a running state: is watch.table.running right?",
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

/// What a row takes of the memory. A name or a state that many rows share is counted with the first.
pub(crate) fn weight(job: &Job) -> usize {
    // One reference is the row's, another that of the strings.
    let fresh = |text: &Option<Arc<str>>| match text {
        Some(text) if Arc::strong_count(text) <= 2 => text.len(),
        _ => 0,
    };
    let key = job.id.number().map_or_else(|| job.id.text().len(), |_| 0);
    size_of::<Job>() + key + fresh(&job.name) + fresh(&job.state)
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

/// Why nothing is repaired beside a ledger that a newer version has written: what its entries mean isn't known here.
pub(crate) fn newer_layout(entries: &[LedgerEntry], action: Action) -> Option<Obstacle> {
    let newest = entries.iter().map(|entry| entry.version).max()?;
    (newest > LEDGER_LAYOUT && action != Action::Observe).then(|| Obstacle {
        cause: Cause::NoLedger,
        reason: format!(
            "the ledger has entries of layout {newest}, and this version knows {LEDGER_LAYOUT}: a newer Beatwarden writes it, \
             so run that version here, too"
        ),
    })
}

/// Whether the judgement of a row may need the ledger: a running job with a real heartbeat never does.
pub(crate) fn needs_precedents(job: &Job, mapping: &Mapping, seed_tolerance: Duration) -> bool {
    let running = mapping.states.kind_of(job.state.as_deref()) == StateKind::Running;
    !(running && matches!(job.heartbeat(seed_tolerance), Heartbeat::Real(_)))
}

/// Of the rows of a page those in a running state, and as many others as there is `room` for: unknown states serve a count,
/// and a table full of them must not fill the memory.
pub(crate) fn within_room(page: Vec<Job>, mapping: &Mapping, room: &mut usize) -> Vec<Job> {
    let mut kept = Vec::with_capacity(page.len());
    for job in page {
        let is_running = mapping.states.kind_of(job.state.as_deref()) == StateKind::Running;
        if !is_running {
            if *room == 0 {
                continue;
            }
            *room -= 1;
        }
        kept.push(job);
    }
    kept
}

/// Whether the newest row, which is asked for to see that it is still there, is news: it runs, or is known.
pub(crate) fn is_news(newest: &Job, mapping: &Mapping, known: &[JobId]) -> bool {
    mapping.states.kind_of(newest.state.as_deref()) == StateKind::Running || known.binary_search(&newest.id).is_ok()
}

/// Names and states that many rows share, each kept once.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    names: HashSet<Arc<str>>,
    /// So few that looking through them is quicker than anything else.
    states: Vec<Arc<str>>,
}

impl Strings {
    /// So many different names are remembered.
    const NAMES: usize = 1_000;
    /// So many different states.
    const STATES: usize = 16;

    /// The name, as the one that was given out before for the same.
    pub(crate) fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(shared) = self.names.get(name) {
            return shared.clone();
        }
        let new: Arc<str> = name.into();
        if self.names.len() < Self::NAMES {
            self.names.insert(new.clone());
        }
        new
    }

    /// The state, as the one that was given out before for the same.
    pub(crate) fn state(&mut self, state: &str) -> Arc<str> {
        if let Some(shared) = self.states.iter().find(|shared| ***shared == *state) {
            return shared.clone();
        }
        let new: Arc<str> = state.into();
        if self.states.len() < Self::STATES {
            self.states.push(new.clone());
        }
        new
    }
}

/// The known jobs that are not among `rows`; both are in the order of their keys.
pub(crate) fn missing<'a>(known: &'a [JobId], rows: &'a [Job]) -> impl Iterator<Item = &'a JobId> {
    let mut rows = rows.iter().peekable();
    known.iter().filter(move |id| {
        while rows.next_if(|row| row.id < **id).is_some() {}
        rows.peek().is_none_or(|row| row.id != **id)
    })
}

/// The rows of several answers, each once, in the order of their keys. Of two with one key the earlier one stays.
pub(crate) fn one_of_each(mut rows: Vec<Job>) -> Vec<Job> {
    if !rows.is_sorted_by(|left, right| left.id < right.id) {
        rows.sort_by(|left, right| left.id.cmp(&right.id));
        rows.dedup_by(|left, right| left.id == right.id);
    }
    rows
}

/// Keys that several rows of one answer share, and how many rows have one of them.
#[derive(Debug, Default)]
pub(crate) struct SharedKeys(BTreeMap<JobId, usize>);

impl SharedKeys {
    /// Takes note of the keys that several rows of one answer have.
    pub(crate) fn note(&mut self, answer: &[Job]) {
        self.compare(answer, |_, _| true);
    }

    /// The same for several answers of one snapshot: a row that is in two of them is the same in both.
    pub(crate) fn note_across(&mut self, answers: &[Job]) {
        self.compare(answers, |one, other| one != other);
    }

    fn compare(&mut self, rows: &[Job], differ: impl Fn(&Job, &Job) -> bool) {
        let mut rows: Vec<&Job> = rows.iter().collect();
        rows.sort_by(|left, right| left.id.cmp(&right.id));
        for same in rows.chunk_by(|left, right| left.id == right.id) {
            if same[1..].iter().any(|other| differ(same[0], other)) {
                self.add(&same[0].id, same.len());
            }
        }
    }

    /// At least so many rows have this key.
    fn add(&mut self, id: &JobId, rows: usize) {
        let found = self.0.entry(id.clone()).or_default();
        *found = rows.max(*found);
    }

    /// The error of a pass that met some: a row would hide the others of its key.
    pub(crate) fn refuse(&self, mapping: &Mapping) -> Result<(), StoreError> {
        let Some(first) = self.0.keys().next() else {
            return Ok(());
        };
        let shown: String = first.text().chars().take(100).collect();
        let more = match self.0.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} other keys"),
        };
        Err(StoreError::Schema(format!(
            "{} rows of `{}` share the key {} = `{}`{more} (watch.table.id): rows that share a key can't be told apart, so \
             running jobs would be left out; name a column that is unique, or make it so in the view",
            self.0.values().sum::<usize>(),
            mapping.table.plain(),
            mapping.id.as_str(),
            shown.escape_debug()
        )))
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

/// Rows of several answers, one for each key: the later answer is the truth.
#[derive(Default)]
pub(crate) struct Merged {
    places: HashMap<JobId, usize>,
    rows: Vec<Job>,
    /// Keys that one answer had more than once.
    pub(crate) shared: SharedKeys,
}

impl Merged {
    /// Whether there is a row of this key.
    pub(crate) fn has(&self, id: &JobId) -> bool {
        self.places.contains_key(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Takes in one answer.
    pub(crate) fn take(&mut self, jobs: impl IntoIterator<Item = Job>) {
        let mut taken = HashSet::new();
        let before = self.rows.len();
        for job in jobs {
            match self.places.get(&job.id) {
                Some(place) => {
                    // A row of an earlier answer is replaced once; one of this answer is another row.
                    if *place >= before || !taken.insert(*place) {
                        self.shared.add(&job.id, 2);
                    }
                    self.rows[*place] = job;
                }
                None => {
                    self.places.insert(job.id.clone(), self.rows.len());
                    self.rows.push(job);
                }
            }
        }
    }

    pub(crate) fn into_rows(self) -> Vec<Job> {
        self.rows
    }
}
