//! The rows of several answers as one: which are left out, which of two with one key is the truth, and keys that don't
//! distinguish rows.

use crate::{
    domain::{Action, Cause, Heartbeat, Job, JobId, LEDGER_LAYOUT, LedgerEntry, Obstacle, StateKind},
    store::{
        Mapping, StoreError,
        question::LongestRun,
        reading::{MOST_RUNNING, too_many},
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Refuses more running rows than a table of jobs has.
pub(super) fn count(rows: usize, mapping: &Mapping) -> Result<(), StoreError> {
    match i64::try_from(rows) {
        Ok(rows) if rows < MOST_RUNNING => Ok(()),
        _ => Err(too_many(mapping)),
    }
}

/// Why nothing is repaired beside a ledger that a newer version has written: what its entries mean isn't known here.
pub(super) fn newer_layout(entries: &[Arc<LedgerEntry>], action: Action) -> Option<Obstacle> {
    let newest = entries.iter().map(|entry| entry.version).max()?;
    let reason = format!(
        "the ledger has entries of layout {newest}, and this version knows {LEDGER_LAYOUT}: a newer Beatwarden writes it, so run \
         that version here, too"
    );
    (newest > LEDGER_LAYOUT && action != Action::Observe).then(|| Obstacle::new(Cause::NoLedger, reason))
}

fn runs(job: &Job, mapping: &Mapping) -> bool {
    mapping.states.kind_of(job.state.as_deref()) == StateKind::Running
}

/// Whether the judgement of a row may need the ledger: a running job with a real heartbeat never does.
pub(super) fn needs_precedents(job: &Job, mapping: &Mapping, seed_tolerance: Duration) -> bool {
    !(runs(job, mapping) && matches!(job.heartbeat(seed_tolerance), Heartbeat::Real(_)))
}

/// Of the rows of a page those in a running state, and as many others as there is `room` for: unknown states serve a count,
/// and a table full of them must not fill the memory.
pub(super) fn within_room(page: Vec<Job>, mapping: &Mapping, room: &mut usize) -> Vec<Job> {
    let mut kept = Vec::with_capacity(page.len());
    for job in page {
        if !runs(&job, mapping) {
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
pub(super) fn is_news(newest: &Job, mapping: &Mapping, known: &[JobId]) -> bool {
    runs(newest, mapping) || known.binary_search(&newest.id).is_ok()
}

/// What keeps jobs from being failed for their age: a good run that took more than half of what is allowed, or that no one
/// knows how long good runs take. Age is no evidence of death, so the distance to good runs is all there is to go by.
pub(super) fn too_short(mapping: &Mapping, longest: LongestRun) -> Option<Obstacle> {
    let allowed = mapping.max_runtime?;
    let shown = |span: Duration| humantime::format_duration(Duration::from_secs(span.as_secs_f64().ceil() as u64));
    let reason = match longest {
        _ if mapping.ended_at.is_none() || mapping.states.success.is_empty() => {
            "overrun = \"fail\" needs watch.table.ended_at and watch.table.success, to know how long good runs take"
                .to_owned()
        }
        LongestRun::NoneGood => return None,
        LongestRun::Took(longest) if longest * 2 <= allowed => return None,
        LongestRun::Took(longest) => format!(
            "overrun = \"fail\" is refused: max_runtime is {}, and of the newest runs that ended well one took {}; set it to at \
             least twice as much, {}, or take observe",
            humantime::format_duration(allowed),
            shown(longest),
            shown(longest * 2)
        ),
        LongestRun::Unknown => format!(
            "overrun = \"fail\" is refused: how long good runs take could not be found out in time; an index on `{}` makes \
             that quick",
            mapping.started_at.plain()
        ),
    };
    Some(Obstacle::new(Cause::Rights, reason))
}

/// The known jobs that are not among `rows`; both are in the order of their keys.
pub(super) fn missing<'a>(known: &'a [JobId], rows: &'a [Job]) -> impl Iterator<Item = &'a JobId> {
    let mut rows = rows.iter().peekable();
    known.iter().filter(move |id| {
        while rows.next_if(|row| row.id < **id).is_some() {}
        rows.peek().is_none_or(|row| row.id != **id)
    })
}

/// Whether each row has a key of its own, greater than the one before.
fn are_in_order(rows: &[Job]) -> bool {
    rows.is_sorted_by(|left, right| left.id < right.id)
}

/// The rows of several answers, each once, in the order of their keys. Of two with one key the later one is the truth.
pub(super) fn one_of_each(mut rows: Vec<Job>) -> Vec<Job> {
    if !are_in_order(&rows) {
        rows.sort_by(|left, right| left.id.cmp(&right.id));
        rows.dedup_by(|later, earlier| {
            let is_same = later.id == earlier.id;
            if is_same {
                std::mem::swap(later, earlier);
            }
            is_same
        });
    }
    rows
}

/// Keys that several rows of one answer share, and how many rows have one of them.
#[derive(Debug, Default)]
pub(super) struct SharedKeys(BTreeMap<JobId, usize>);

impl SharedKeys {
    /// Takes note of the keys that several rows of one answer have.
    pub(super) fn note(&mut self, answer: &[Job]) {
        self.compare(answer, |_, _| true);
    }

    /// The same for several answers of one snapshot: a row that is in two of them is the same in both.
    pub(super) fn note_across(&mut self, answers: &[Job]) {
        self.compare(answers, |one, other| one != other);
    }

    fn compare(&mut self, rows: &[Job], differ: impl Fn(&Job, &Job) -> bool) {
        if are_in_order(rows) {
            return;
        }
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
    pub(super) fn refuse(&self, mapping: &Mapping) -> Result<(), StoreError> {
        let Some(first) = self.0.keys().next() else {
            return Ok(());
        };
        let shown: String = first.text().chars().take(100).collect();
        let more = match self.0.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} other keys"),
        };
        Err(StoreError::Schema(format!(
            "{} rows of `{}` share the key {} = `{}`{more} (watch.table.id): rows that share a key can't be distinguished, so \
             running jobs would be left out; name a column that is unique, or make it so in the view",
            self.0.values().sum::<usize>(),
            mapping.table.plain(),
            mapping.id.as_str(),
            shown.escape_debug()
        )))
    }
}
