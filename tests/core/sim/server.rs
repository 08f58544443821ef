//! The simulated database server: one job table with its ledger and the sequence of its keys, transactions that take time,
//! and a past that a failover can fall back to. Owns what is committed; knows nothing of watchdogs and writers.

use super::{parts::Hidden, rules::Author, shape::Ending};
use beatwarden::{
    domain::{
        Cause, Finding, Job, JobId, LEDGER_LAYOUT, LedgerAction, LedgerEntry, Noted, Outcome, Repair, RepairId,
        Repairing, SharedText, TimeValue, Timestamp,
    },
    store::{Resolution, question::Transactions},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Microseconds: of true time, which no one in the simulation knows, or of one of the clocks.
pub type Micros = i64;
pub const SECOND: Micros = 1_000_000;
/// How many states of the past a failover can fall back to.
const PAST: usize = 40;

pub fn micros(duration: Duration) -> Micros {
    i64::try_from(duration.as_micros()).unwrap()
}

pub const RUNNING: &str = "RUNNING";
/// A state that no list names.
pub const UNLISTED: &str = "PREPARING";
/// The state of a job that waits to be run.
pub const WAITING: &str = "WAITING";
/// Stands for NULL.
pub const NULL: &str = "";
/// Every state of a row.
const STATES: [&str; 6] = [RUNNING, UNLISTED, WAITING, NULL, "SUCCESS", "FAIL"];

thread_local! {
    /// Names and states that the rows of a thread share: counting who has one is slow where another processor counts, too.
    static NAMES: [SharedText; 7] = std::array::from_fn(|number| format!("job {number}").into());
    static STATE_TEXTS: [SharedText; 6] = STATES.map(Into::into);
}

/// A row, and what is known of it by true time.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which row this is: a key may be given out again.
    pub birth: u64,
    pub state: &'static str,
    pub started_at: Micros,
    pub heartbeat_at: Option<Micros>,
    pub ended_at: Option<Micros>,
    /// When anything in it changed last.
    pub changed_at: Micros,
    /// Since when it is in its state.
    pub in_state_since: Micros,
    /// When it was committed.
    pub born_at: Micros,
    /// Whether it is one of the rows that are jobs.
    pub is_job: bool,
    /// Whether its start is written.
    pub has_start: bool,
}

impl Row {
    pub fn runs(&self) -> bool {
        self.state == RUNNING
    }

    /// Whether its heartbeat is a sign of life.
    pub fn beats(&self) -> bool {
        self.heartbeat_at.is_some_and(|beat| beat > self.started_at + 5_000)
    }

    pub fn job(&self, id: i64) -> Job {
        let reading = |at: Option<Micros>| at.map_or(TimeValue::ABSENT, TimeValue::from_micros);
        let state = match self.state {
            RUNNING => 0,
            UNLISTED => 1,
            WAITING => 2,
            NULL => 3,
            "SUCCESS" => 4,
            "FAIL" => 5,
            other => panic!("no row is ever {other}"),
        };
        Job {
            id: JobId::from_number(id),
            name: Some(NAMES.with(|names| names[usize::try_from(id % 7).unwrap()].clone())),
            state: (self.state != NULL).then(|| STATE_TEXTS.with(|texts| texts[state].clone())),
            started_at: reading(self.has_start.then_some(self.started_at)),
            heartbeat_at: reading(self.heartbeat_at),
            ended_at: reading(self.ended_at),
        }
    }
}

/// What survives a crash, and what a standby has: what one snapshot sees.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    pub rows: BTreeMap<i64, Row>,
    /// Nothing before the ledger is created.
    pub ledger: Option<Vec<Arc<LedgerEntry>>>,
    /// Second rows of keys that have one, where nothing keeps a key from having two.
    pub doubles: BTreeMap<i64, Row>,
    /// The newest heartbeat of each key in the other table, where they stand in one.
    pub beats: BTreeMap<i64, Micros>,
    /// The last key that the sequence gave out.
    sequence: i64,
}

impl Committed {
    /// What a watchdog reads of it: the rows that are jobs.
    fn jobs(self: &Arc<Self>) -> Arc<Self> {
        if self.rows.values().all(|row| row.is_job) {
            return self.clone();
        }
        let mut jobs = Self::clone(self);
        let Self { rows, doubles, .. } = &mut jobs;
        rows.retain(|_, row| row.is_job);
        doubles.retain(|key, _| rows.contains_key(key));
        Arc::new(jobs)
    }

    /// Every row of a key.
    pub fn rows_of(&self, key: i64) -> impl Iterator<Item = &Row> {
        self.rows.get(&key).into_iter().chain(self.second_of(key))
    }

    /// The second row of a key.
    pub fn second_of(&self, key: i64) -> Option<&Row> {
        if self.doubles.is_empty() {
            return None;
        }
        self.doubles.get(&key)
    }

    /// Every row with its key, in the order of the keys.
    pub fn every_row(&self) -> impl DoubleEndedIterator<Item = (i64, &Row)> {
        let doubles = (!self.doubles.is_empty()).then_some(&self.doubles);
        let rows = self.rows.iter();
        rows.flat_map(move |(key, row)| {
            let double = doubles.and_then(|doubles| doubles.get(key));
            [Some(row), double].into_iter().flatten().map(|row| (*key, row))
        })
    }

    /// Keys of which two rows run, since before then.
    pub fn doubled(&self, before: Micros) -> impl Iterator<Item = i64> {
        let keys = self.doubles.keys().copied();
        let runs = move |row: &&Row| row.runs() && row.in_state_since < before;
        keys.filter(move |key| self.rows_of(*key).filter(runs).count() > 1)
    }

    pub fn entries(&self) -> &[Arc<LedgerEntry>] {
        self.ledger.as_deref().unwrap_or_default()
    }
}

/// A repair's transaction between its statement and its COMMIT.
#[derive(Debug)]
struct Open {
    id: RepairId,
    job: i64,
    repair: Repair,
    author: Author,
    began_db: Micros,
}

/// One server, or the pair of a primary and its standby.
pub struct Server {
    pub system: u32,
    pub timeline: u32,
    pub started_at: Micros,
    /// Where it listens: another host after a failover, unless an address of its own moves with it.
    pub host: u32,
    pub moves: bool,
    /// What it refuses to report, how many connections there were, and how often all of them ended.
    pub hidden: Hidden,
    pub sessions: u64,
    pub life: u64,
    clock_offset: Micros,
    pub up: bool,
    /// Why all repairs are refused, if they are.
    pub obstacle: Option<Cause>,
    /// Whether heartbeats stand in another table.
    pub elsewhere: bool,
    /// Jobs whose rows are held by open transactions of the other table.
    pub references: Vec<i64>,
    pub now: Arc<Committed>,
    past: VecDeque<Arc<Committed>>,
    /// The rows of a state that are jobs.
    of_jobs: Option<(Arc<Committed>, Arc<Committed>)>,
    /// The last key that was given out, whether or not its row was committed.
    sequence: i64,
    births: u64,
    open: BTreeMap<u64, Open>,
    next_transaction: u64,
    /// Transactions of writers that have a key and are not over, by the births of their rows.
    inserting: BTreeSet<u64>,
}

/// What a statement of a repair was answered.
pub enum Begun {
    /// Nothing was changed, and the transaction is over.
    Over(Outcome),
    /// It holds gate and row until it ends.
    Holds(u64),
}

impl Server {
    pub fn new(now: Micros) -> Self {
        Self {
            system: 1,
            timeline: 1,
            started_at: now - 3600 * SECOND,
            host: 1,
            moves: false,
            hidden: Hidden::default(),
            sessions: 0,
            life: 0,
            clock_offset: 0,
            up: true,
            obstacle: None,
            elsewhere: false,
            references: Vec::new(),
            now: Arc::default(),
            past: VecDeque::new(),
            of_jobs: None,
            sequence: 0,
            births: 0,
            open: BTreeMap::new(),
            next_transaction: 0,
            inserting: BTreeSet::new(),
        }
    }

    pub fn clock(&self, now: Micros) -> Micros {
        now + self.clock_offset
    }

    pub fn rows(&self) -> &BTreeMap<i64, Row> {
        &self.now.rows
    }

    pub fn ledger(&self) -> &[Arc<LedgerEntry>] {
        self.now.entries()
    }

    /// All that is committed now, as a watchdog reads it; made once for each state.
    pub fn snapshot(&mut self) -> Arc<Committed> {
        if !self.of_jobs.as_ref().is_some_and(|(of, _)| Arc::ptr_eq(of, &self.now)) {
            self.of_jobs = Some((self.now.clone(), self.now.jobs()));
        }
        self.of_jobs.as_ref().map(|(_, jobs)| jobs.clone()).unwrap_or_default()
    }

    /// The next key of the sequence, which no rollback returns.
    pub fn next_key(&mut self, step: i64) -> i64 {
        self.sequence += step;
        self.sequence
    }

    /// The key after the greatest that is there: as a file without AUTOINCREMENT gives them out.
    pub fn key_after_the_greatest(&self) -> i64 {
        self.now.rows.last_key_value().map_or(1, |(key, _)| key + 1)
    }

    pub fn next_birth(&mut self) -> u64 {
        self.births += 1;
        self.births
    }

    /// A writer's transaction takes a key; its number is the row's birth.
    pub fn begin_insert(&mut self, birth: u64) {
        self.inserting.insert(birth);
    }

    /// It is over, one way or the other.
    pub fn end_insert(&mut self, birth: u64) {
        self.inserting.remove(&birth);
    }

    /// The transactions that run.
    pub fn transactions(&self) -> Transactions {
        let next = self.births + 1;
        Transactions {
            oldest: self.inserting.first().copied().unwrap_or(next),
            next,
        }
    }

    /// The table is emptied, and the sequence begins again where that is wanted; not while a repair holds a lock.
    pub fn truncate(&mut self, restart: bool) -> bool {
        if !self.open.is_empty() {
            return false;
        }
        if restart {
            self.sequence = 0;
        }
        let committed = self.change();
        committed.rows.clear();
        committed.doubles.clear();
        true
    }

    /// Creates the ledger, where there is none; false where that is refused.
    pub fn create_ledger(&mut self) -> bool {
        let is_missing = self.now.ledger.is_none();
        let is_refused = is_missing && self.obstacle.is_some();
        if is_missing && !is_refused {
            self.change().ledger = Some(Vec::new());
        }
        !is_refused
    }

    /// The clock of the host jumps.
    pub fn jump(&mut self, by: Micros) {
        self.clock_offset += by;
    }

    /// Every open transaction is gone, every session as well.
    pub fn crash(&mut self) {
        self.up = false;
        self.life += 1;
        self.open.clear();
        self.references.clear();
    }

    pub fn start(&mut self, now: Micros, skipped: i64) {
        self.up = true;
        self.life += 1;
        self.sequence += skipped;
        // It may start again while it is up: a standby has taken over meanwhile.
        self.open.clear();
        self.references.clear();
        self.started_at = self.clock(now);
    }

    /// A standby takes over, which has not got the last `lost` commits; true if there were any. Its sequence is `skipped` keys
    /// ahead of what it has.
    pub fn fail_over(&mut self, lost: usize, skipped: i64) -> bool {
        self.open.clear();
        self.references.clear();
        let mut any = false;
        for _ in 0..lost {
            if let Some(earlier) = self.past.pop_back() {
                self.now = earlier;
                any = true;
            }
        }
        if any {
            self.sequence = self.now.sequence;
        }
        self.sequence += skipped;
        // It has run for long: its start doesn't show the promotion.
        self.timeline += 1;
        self.life += 1;
        self.host += u32::from(!self.moves);
        self.up = true;
        any
    }

    /// The writer inserts or changes a row, unless a repair holds it: then the writer waits.
    pub fn write(&mut self, id: i64, mut row: Row) -> bool {
        if self.holds(id) {
            return false;
        }
        if self.elsewhere {
            row.heartbeat_at = self.now.beats.get(&id).copied();
        }
        self.change().rows.insert(id, row);
        true
    }

    pub fn delete(&mut self, id: i64) -> bool {
        if self.holds(id) {
            return false;
        }
        let committed = self.change();
        committed.rows.remove(&id);
        committed.doubles.remove(&id);
        true
    }

    /// Whether a repair's transaction holds the row.
    pub fn holds(&self, id: i64) -> bool {
        self.open.values().any(|open| open.job == id)
    }

    /// A commit: what was before belongs to the past.
    pub fn change(&mut self) -> &mut Committed {
        if self.past.len() == PAST {
            self.past.pop_front();
        }
        self.past.push_back(self.now.clone());
        let now = Arc::make_mut(&mut self.now);
        now.sequence = self.sequence;
        now
    }

    /// The statement of a repair: gate, lock and guards, as `repair_fail.sql` has them.
    pub fn begin(&mut self, repair: &Repair, id: RepairId, author: Author, refused: Hidden, now: Micros) -> Begun {
        let db = self.clock(now);
        if !self.open.is_empty() || repair.server != self.identity(refused) {
            return Begun::Over(Outcome::NotLeader);
        }
        if let Some(cause) = self.obstacle {
            return Begun::Over(Outcome::Failed(cause.to_string()));
        }
        // A failover may have lost the ledger itself.
        if self.now.ledger.is_none() {
            return Begun::Over(Outcome::Failed("there is no ledger".to_owned()));
        }
        if self.ledger().iter().any(|entry| entry.repair_id == id) {
            return Begun::Over(Outcome::Already);
        }
        let job = repair.job.id.number().unwrap();
        let Some(row) = self.now.rows.get(&job).filter(|row| row.is_job) else {
            return Begun::Over(Outcome::LostRace);
        };
        let overdue = row.has_start && row.started_at <= db - micros(repair.deadline);
        if row.job(job) != repair.job || !overdue {
            return Begun::Over(Outcome::LostRace);
        }
        if self.references.contains(&job) {
            return Begun::Over(Outcome::Locked);
        }
        self.next_transaction += 1;
        let open = Open {
            id,
            job,
            repair: repair.clone(),
            author,
            began_db: db,
        };
        self.open.insert(self.next_transaction, open);
        Begun::Holds(self.next_transaction)
    }

    /// An error in its transaction takes a repair back.
    pub fn roll_back(&mut self, transaction: u64) {
        self.open.remove(&transaction);
    }

    /// COMMIT: row and entry together. `None` if the transaction is gone, with the server or by a failover.
    pub fn commit(&mut self, transaction: u64, now: Micros, ending: Ending) -> Option<(RepairId, i64, Repair)> {
        let open = self.open.remove(&transaction)?;
        let at = Timestamp::from_micros(open.began_db);
        let committed = self.change();
        let row = committed.rows.get_mut(&open.job).unwrap();
        let action = match open.repair.action {
            Repairing::Fail => {
                row.in_state_since = now;
                if ending == Ending::PutsBack {
                    row.state = WAITING;
                } else {
                    row.state = "FAIL";
                    row.ended_at = Some(open.began_db);
                }
                LedgerAction::Fail
            }
            Repairing::Backfill => {
                row.heartbeat_at = Some(row.started_at);
                LedgerAction::Backfill
            }
        };
        row.changed_at = now;
        // As the statement read it: another table's may have been committed since.
        let heartbeat_after = match open.repair.action {
            Repairing::Fail => open.repair.job.heartbeat_at,
            Repairing::Backfill => row.job(open.job).heartbeat_at,
        };
        committed.ledger.get_or_insert_default().push(Arc::new(LedgerEntry {
            watch: open.author.watch.to_owned(),
            job_id: open.repair.job.id.clone(),
            instance: open.author.instance,
            started_at: open.repair.job.started_at.at(),
            // The first layout has no heartbeat in its after-image.
            heartbeat_after: (!open.author.is_former).then_some(heartbeat_after),
            version: if open.author.is_former { 1 } else { LEDGER_LAYOUT },
            ..LedgerEntry::new(open.id, action, at)
        }));
        Some((open.id, open.job, open.repair))
    }

    /// Asks the ledger, in a transaction that has to win the gate first.
    pub fn resolve(&self, id: RepairId, instance: &str) -> Resolution {
        if !self.open.is_empty() {
            return Resolution::NotLeader;
        }
        match self.ledger().iter().find(|entry| entry.repair_id == id) {
            Some(entry) if entry.instance == instance => Resolution::Committed(id),
            Some(_) => Resolution::ByAnother,
            None => Resolution::NotCommitted,
        }
    }

    /// A function ends a job beside the one that it was called for; false if that one does not run.
    pub fn end_another(&mut self, id: i64, now: Micros) -> bool {
        let db = self.clock(now);
        if self.now.rows.get(&id).is_none_or(|row| !row.runs()) {
            return false;
        }
        // In the same transaction: what was before it is the past already.
        let row = Arc::make_mut(&mut self.now).rows.get_mut(&id).unwrap();
        (row.state, row.ended_at) = ("FAIL", Some(db));
        (row.changed_at, row.in_state_since) = (now, now);
        true
    }

    pub fn note(&mut self, finding: &Finding, now: Micros) -> Noted {
        if self.has_undo_of(finding.repair_id) {
            return Noted::Known;
        }
        let at = Timestamp::from_micros(self.clock(now));
        let entries = Arc::make_mut(&mut self.now).ledger.get_or_insert_default();
        let entry = entries.iter_mut().find(|entry| entry.repair_id == finding.repair_id);
        match entry.map(Arc::make_mut) {
            Some(entry) if entry.outcome.is_none() => {
                entry.outcome = Some(finding.outcome);
                entry.outcome_at = Some(at);
                Noted::First
            }
            _ => Noted::Known,
        }
    }
}
