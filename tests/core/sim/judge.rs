//! The judge: what must be true of every history, checked at every step by a record of its own, by true time. It uses no
//! judgement of the code under test; what it knows of the rules, it knows from the contract.
//!
//! I1 nothing is repaired that beat, or was not watched for a whole deadline. I2 a repair is reported exactly if it was
//! committed. I3 no incident is repaired twice. I4 every dead job is found and repaired in time. I5 every init is counted
//! once. I6 the fuse holds. I7 a snapshot that claims to be whole misses no running row, and none misses a new one.
//! The others stand elsewhere: that counts miss none in `counts`, I8 and I9, on what is shown, in `surfaces`, I10, on what people
//! decide, in `operator`, I11, on what became of repairs, in `aftermath`.

use super::{
    keyed::Keyed,
    operator::Decided,
    parts::Truth,
    rules::Rules,
    server::{Committed, Micros, RUNNING, Row, SECOND, UNLISTED, WAITING, micros},
    world::{Sent, World},
};
use beatwarden::{
    domain::{Action, Job, JobId, LedgerEntry, Repair, RepairId, Repairing, Timestamp},
    store::question::LongestRun,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

/// How much an own clock that was tampered with may be off before the watch has to notice.
const UNNOTICED: Micros = 2_200_000;
/// An answer that takes longer than this is a disturbance.
pub const SLOW: Micros = 100_000;
/// What a pass may take, and each repair in it.
const PASS: Micros = 200_000;
const REPAIR: Micros = 50_000;

/// A pass asks for so many of the missing keys that a transaction may still hold, the greatest; the others come in their turn.
const MISSING_ASKED: i64 = 256;
const IN_TURN: i64 = 64;

/// Keys of the smallest page of a full look.
const SMALLEST_PAGE: i64 = 1_000;

/// What an entry of the ledger is about: a job, its start, and the action.
type Entered = (JobId, Option<Timestamp>, &'static str);

/// A job and one of its starts.
pub type Incident = (i64, Micros);

/// What one process has read of the table without a gap, by true time. Written and judged here alone.
#[derive(Debug, Default)]
pub struct Seen {
    /// Starts that lay ahead of the database's clock when they were first read.
    ahead: BTreeSet<Incident>,
    /// The row as it was read, and since when it was the same in every reading.
    pub rows: Keyed<(Job, Micros)>,
    /// Its own clock then.
    pub moment: Micros,
    /// The jobs that ran at the last good pass.
    ran: Vec<i64>,
    /// When the last look was begun, and when its rows were read at the server.
    last: Option<(Micros, Micros)>,
    /// The database's clock at the last reading, and at the first that was good for a pass.
    pub db: Micros,
    first_db: Option<Micros>,
    server: String,
    truth: Truth,
    connection: Option<u64>,
    /// When the server was another than before.
    server_changed: Option<Micros>,
    /// What the ledger had at the last reading: repaired incidents, and what people decided.
    ledger: Arc<Committed>,
    entered: HashSet<Entered>,
    pub decided: Arc<Decided>,
    pub decided_before: Arc<Decided>,
    /// The false repairs that its last report shows.
    pub shown: HashSet<RepairId>,
    /// The last pass that found the fuse closed.
    fuse_closed: Micros,
    /// The last time that something stood in its way.
    pub disturbed: Micros,
    /// A clock has jumped: watching starts again with the next reading.
    pub clock_jumped: bool,
    /// Its own clock has stood still or jumped at some time.
    pub tampered: bool,
    /// How often the init of each incident was counted.
    inits: BTreeMap<Incident, usize>,
    /// Whether good runs take too long for jobs to be failed for their age.
    too_long: bool,
    /// Whether the catalog said that no repair can be made.
    is_hindered: bool,
    /// When the tail of the key that is followed began, the least key from which on it knows what is missing, and the newest.
    tail: Option<(Micros, i64)>,
    newest: Option<i64>,
}

/// What one pass over the table has brought.
pub struct Reading {
    /// The rows, and when each was read by true time.
    pub rows: Keyed<(Job, Micros)>,
    pub server: String,
    /// The same with what it refused to report, and the connection, where only that shows a restart.
    pub truth: Truth,
    pub connection: Option<u64>,
    /// By true time: when it was asked for, when its first statement was sent, and when that was answered.
    pub asked: Micros,
    pub began: Micros,
    pub at: Micros,
    /// The database's clock.
    pub db: Micros,
    pub ledger: Arc<Committed>,
    /// Whether the clock of a file had been set back since `db` when that was read.
    pub is_set_back: bool,
    /// Rows that run, and were not read.
    pub missed: Vec<(i64, Row)>,
    /// A key of which two rows run, and one was read.
    pub hidden: Option<i64>,
    /// Whether a full look was completed that began with an earlier pass.
    pub is_full: bool,
    /// Whether running rows are found by their keys, and whether that is another way than before.
    pub by_key: bool,
    pub has_other_way: bool,
    /// Every row that has run since before this is among the rows: what the snapshot claims.
    pub whole_before: Option<Micros>,
    /// What the snapshot saw, and the greatest key that was read.
    pub committed: Arc<Committed>,
    pub greatest: Option<i64>,
    /// The least key from which on the tail knows what is missing, where it begins with this pass.
    pub tail_from: Option<i64>,
    /// Whether good runs were found to take too long, where that was asked.
    pub too_long: Option<bool>,
    /// What the catalog said, where it was asked: whether something keeps all repairs from being made.
    pub is_hindered: Option<bool>,
}

fn start_of(job: &Job) -> Micros {
    job.started_at.at().map_or(i64::MIN, Timestamp::as_micros)
}

fn about(repair: &Repair) -> Entered {
    let job = &repair.job;
    (job.id.clone(), job.started_at.at(), repair.action.as_str())
}

fn entered(entry: &LedgerEntry) -> Entered {
    (entry.job_id.clone(), entry.started_at, entry.action.as_str())
}

impl World {
    /// A repair leaves a process: I3 and I6 by what it has just read.
    pub fn judge_sending(&mut self, dog: usize, repair: &Repair) {
        let (rules, seen) = (self.rules(dog), &self.dogs[dog].seen);
        let (again, trusted) = (seen.entered.contains(&about(repair)), !seen.decided.has_false_repair);
        let is_undone = seen.decided.has_undone(&repair.job.id, repair.job.started_at.at());
        let unwanted =
            seen.too_long || seen.is_hindered || self.dogs[dog].is_stopping || rules.action == Action::Observe;
        let job = &repair.job.id;
        if again {
            self.wrong(format!(
                "I3: job {job} is repaired again, although its process has read the entry"
            ));
        }
        if is_undone {
            self.wrong(format!(
                "I10: job {job} is repaired, although its process has read that its repair was undone"
            ));
        }
        if unwanted {
            self.wrong(format!(
                "I1: job {job} is repaired, although good runs take too long, all repairs are refused, the process is \
                 stopping, or nothing is to be repaired"
            ));
        }
        if !trusted && repair.action == Repairing::Fail {
            self.wrong(format!(
                "I6: job {job} is failed while a false repair waits to be acknowledged"
            ));
        }
    }

    /// I1: whether the row that is about to be changed may be, by what the judge has seen itself.
    pub fn judge_change(&mut self, dog: usize, sent: &Sent) {
        let rules = self.rules(dog);
        let deadline = micros(rules.deadline);
        let job = sent.repair.job.id.number().unwrap();
        let row = self.server.rows()[&job].clone();
        let db = self.server.clock(self.now);
        if row.beats() || !row.runs() || !row.is_job {
            self.wrong(format!(
                "I1: job {job} has a heartbeat, does not run, or is no job: {row:?}"
            ));
        }
        if row.started_at > db - rules.overdue_after() {
            self.wrong(format!("I1: job {job} is not overdue by the database's clock"));
        }
        // Its writer, or a person who undoes a repair, may put a row back as it was before anyone reads the change. No reader can
        // see that, but for what the ledger said of it when it was read: an entry whose COMMIT hung has an earlier time than that.
        let (read_at, read) = (self.dogs[dog].seen.db, &self.dogs[dog].seen.entered);
        let about = |entry: &&Arc<LedgerEntry>| {
            let incident = (&sent.repair.job.id, sent.repair.job.started_at.at());
            (&entry.job_id, entry.started_at) == incident && read.contains(&entered(entry))
        };
        let mut entries = self.server.ledger().iter().filter(about);
        if entries.any(|entry| (0..deadline).contains(&(read_at - entry.repaired_at.as_micros()))) {
            self.wrong(format!(
                "I1: job {job} was repaired or put back less than a deadline before it was read"
            ));
        } else if self.now - row.changed_at < deadline {
            self.totals.count("rows that are put back before they are read");
        }
        let seen = &self.dogs[dog].seen;
        let watched = match (seen.rows.get(job), seen.last) {
            (Some((as_read, since)), Some((began, _))) if *as_read == sent.repair.job => began - since,
            _ => -1,
        };
        if watched < deadline {
            self.wrong(format!("I1: job {job} was watched for {watched} us only"));
        }
    }

    /// A repair was committed: I3 and I6.
    pub fn judge_commit(&mut self, job: i64, repair: &Repair) {
        let wanted = about(repair);
        let entries = self.server.ledger().iter();
        let times = entries.filter(|entry| entered(entry) == wanted).count();
        // Two versions give a repair two identities: what its writer put back exactly as it was meanwhile is repaired by both.
        if times != 1 && !(self.scenario.has_former && times == 2) {
            self.wrong(format!("I3: job {job} has {times} entries for one incident"));
        }
        if self.mass.contains(&(job, start_of(&repair.job))) && !self.acknowledged {
            self.wrong(format!("I6: job {job} was failed although all fell silent at once"));
        }
    }

    /// A process says that a repair was made: I2.
    pub fn judge_report(&mut self, id: RepairId) {
        let reported = self.reported.entry(id).or_default();
        *reported += 1;
        let reported = *reported;
        let commits = self.commits.get(&id).copied().unwrap_or_default();
        if reported > commits {
            self.wrong(format!(
                "I2: repair {id:?} was reported {reported} times, and committed {commits} times"
            ));
        }
    }

    /// A process counts an init: I5.
    pub fn judge_init(&mut self, dog: usize, job: i64) {
        if self.scenario.rules.longest.is_some() {
            self.wrong(format!("I5: an init of job {job}, whose writer makes no heartbeats"));
        }
        let seen = &mut self.dogs[dog].seen;
        let Some((row, _)) = seen.rows.get(job) else {
            self.wrong(format!("I5: an init of job {job}, which was not read"));
            return;
        };
        let incident = (job, start_of(row));
        let counted = seen.inits.entry(incident).or_default();
        *counted += 1;
        let counted = *counted;
        if counted > 1 {
            self.wrong(format!("I5: the init of job {job} is counted {counted} times"));
        }
    }

    /// The judge's record of a reading by one process; I4 as far as finding goes.
    pub fn record(&mut self, dog: usize, mut read: Reading) {
        let (rules, now, moment) = (self.rules(dog), self.now, self.moment(dog));
        let gap = rules.gap();
        let seen = &mut self.dogs[dog].seen;
        seen.moment = moment;
        let slack = if seen.tampered { UNNOTICED } else { 0 };
        let distance = seen.last.map(|(_, last)| read.began - last);
        // Who fails jobs may not rest on what was before a restart, whatever the server reports of it.
        let fails = rules.action == Action::Fail;
        let other = seen.server != read.server
            || fails && (seen.truth != read.truth || read.connection.is_some() && seen.connection != read.connection);
        if other && seen.last.is_some() {
            seen.server_changed = Some(now);
        }
        let broken = other || distance.is_some_and(|distance| distance > gap + slack);
        // What may be noticed already is no fault of the process either.
        let maybe_broken = broken || distance.is_some_and(|distance| distance > gap - SLOW - UNNOTICED);
        if maybe_broken || std::mem::take(&mut seen.clock_jumped) || now - read.asked > SLOW {
            seen.disturbed = seen.disturbed.max(now);
        }
        let before = std::mem::take(&mut seen.rows);
        let ahead = &mut seen.ahead;
        let watched = |(id, (job, read_at)): (i64, (Job, Micros))| {
            let as_read = before.get(id);
            let unchanged = as_read.filter(|(as_read, _)| !broken && *as_read == job);
            let since = unchanged.map_or(read_at, |(_, since)| *since);
            let start = start_of(&job);
            // Not of a process that has read it all the time, but of one that meets it for the first time.
            let met = as_read.is_none_or(|(as_read, _)| {
                as_read.started_at != job.started_at || as_read.state.as_deref() != Some(RUNNING)
            });
            if met && start > read.db + 2 * SECOND {
                ahead.insert((id, start));
            }
            (id, (job, since))
        };
        seen.rows = std::mem::take(&mut read.rows).into_iter().map(watched).collect();
        seen.last = Some((read.began, read.at));
        if seen.too_long && read.too_long == Some(false) {
            seen.disturbed = now;
        }
        seen.too_long = read.too_long.unwrap_or(seen.too_long);
        if let Some(is_hindered) = read.is_hindered {
            if seen.is_hindered && !is_hindered {
                seen.disturbed = now;
            }
            seen.is_hindered = is_hindered;
        }
        seen.db = read.db;
        seen.server.clone_from(&read.server);
        seen.truth = read.truth;
        seen.connection = read.connection;
        // By a clock that was set back in the middle of a pass a new entry looks old: the next one reads all of them.
        if read.is_set_back {
            read.ledger = seen.ledger.clone();
        }
        let (known, entries) = (seen.ledger.entries(), read.ledger.entries());
        let is_same = |(one, other): (&Arc<LedgerEntry>, &Arc<LedgerEntry>)| Arc::ptr_eq(one, other);
        seen.decided_before = seen.decided.clone();
        if known.len() != entries.len() || !known.iter().zip(entries).all(is_same) {
            seen.entered = entries.iter().map(|entry| entered(entry)).collect();
            seen.decided = Arc::new(Decided::read(entries));
        }
        seen.ledger = read.ledger.clone();
        if let Some(from) = read.tail_from {
            (seen.tail, seen.newest) = (Some((read.at, from)), None);
        }
        let newest = seen.newest;
        seen.newest = newest.max(read.greatest);
        let is_file = self.scenario.is_file;
        let is_lost = |key: &&i64| read.committed.rows.contains_key(key) && !seen.rows.has(**key);
        let lost: Vec<i64> = seen.ran.iter().filter(|_| !is_file).filter(is_lost).copied().collect();
        let follows = self.scenario.grows && !is_file && self.scenario.newcomers > seen.rows.len();
        let top = read.committed.rows.keys().next_back().copied();
        if follows && read.tail_from.is_none() && top < newest {
            self.wrong(format!(
                "I7: the greatest key fell from {newest:?} to {top:?}, and the tail continues"
            ));
        }
        for key in lost {
            self.wrong(format!(
                "I7: job {key} ran and is still there, and what became of it was not read"
            ));
        }
        let happened = [
            (read.by_key, "passes by the key"),
            (!read.by_key, "passes by the state"),
            (read.is_full, "full looks of several passes"),
            (read.has_other_way, "ways that change"),
            (read.tail_from.is_some(), "tails that begin"),
            (!read.missed.is_empty(), "passes without a row that runs"),
        ];
        for (_, what) in happened.iter().filter(|(happened, _)| *happened) {
            self.totals.count(what);
        }
        if let Some(key) = read.hidden {
            self.wrong(format!(
                "I7: two rows of key {key} run, and one is left out of a good pass"
            ));
        }
        for (key, row) in &read.missed {
            self.judge_claim(&read, *key, row);
            self.judge_newcomer(dog, &read, newest, *key, row);
            self.judge_finding(dog, *key, row);
        }
    }

    /// I7: whether a running row that was not read is one of those that the snapshot claims to have.
    fn judge_claim(&mut self, read: &Reading, key: i64, row: &Row) {
        let is_claimed = read.whole_before.is_some_and(|before| row.in_state_since < before);
        if is_claimed && !self.may_be_cut(read, key) {
            self.wrong(format!(
                "I7: job {key} runs and is missing from a snapshot that is whole: {row:?}"
            ));
        }
    }

    /// I7: a row that was inserted running since the tail began is in every snapshot, however late its key was committed.
    fn judge_newcomer(&mut self, dog: usize, read: &Reading, newest: Option<i64>, key: i64, row: &Row) {
        let seen = &self.dogs[dog].seen;
        let Some((began, from)) = seen.tail else { return };
        let is_new = row.born_at == row.in_state_since && row.born_at > began && row.born_at < read.at && key > from;
        // A key that was given out again looks like one that was seen; and a clock that jumped ends the wait for a late one.
        let is_reused = (self.scenario.is_file || self.emptied >= began) && newest.is_none_or(|newest| key <= newest);
        // What a failover brings back, of a server that hides which one it is, is found by the next full look.
        let is_unseen = self.server.hidden.any() && self.server_changed >= Some(began);
        // Where more keys are missing than a pass asks for, the lower ones take turns.
        let above = key..=newest.map_or(key, |newest| newest.max(key));
        let missing = *above.end() - key - i64::try_from(read.committed.rows.range(above).count()).unwrap();
        let turns = if missing > MISSING_ASKED {
            missing / IN_TURN + 2
        } else {
            0
        };
        let waited = self.now - row.in_state_since.max(seen.disturbed);
        let waits_its_turn = waited < turns * (micros(self.rules(dog).interval) + PASS);
        let is_excused = is_reused || is_unseen || seen.tampered || waits_its_turn || self.may_be_cut(read, key);
        if is_new && !is_excused {
            self.wrong(format!("I7: job {key} is new, and missing from a snapshot: {row:?}"));
        }
    }

    /// Whether the limit of an answer may have cut it: it comes with the next pass.
    fn may_be_cut(&self, read: &Reading, key: i64) -> bool {
        read.by_key
            && self.scenario.newcomers < self.server.rows().len()
            && read.greatest.is_none_or(|greatest| key > greatest)
    }

    /// I4: a running row stays unread for as long as it takes to the next full look and through its pages, at most.
    fn judge_finding(&mut self, dog: usize, key: i64, row: &Row) {
        let scenario = &self.scenario;
        let pass = micros(self.rules(dog).interval) + PASS;
        let cut = self.server.rows().len() / scenario.newcomers;
        let passes = 2 * self.pages() + 1 + i64::try_from(cut).unwrap();
        let within = micros(scenario.full_look_interval) + passes * pass;
        let unread = self.now - row.in_state_since.max(self.dogs[dog].seen.disturbed);
        if unread > within {
            self.wrong(format!("I4: job {key} runs since {unread} us and was not found"));
        }
    }

    /// How many of the smallest pages cover the table.
    fn pages(&self) -> i64 {
        let (mut pages, mut covered) = (0, None);
        for key in self.server.rows().keys().rev() {
            if covered.is_none_or(|covered| *key < covered) {
                pages += 1;
                covered = Some(key - (SMALLEST_PAGE - 1));
            }
        }
        pages
    }

    /// A good pass of a process is over, its repairs included: I4 and I5.
    pub fn judge_pass(&mut self, dog: usize, fuse_open: bool) {
        let (now, rules) = (self.now, self.rules(dog));
        let seen = &mut self.dogs[dog].seen;
        let first = *seen.first_db.get_or_insert(seen.db);
        let ran = seen
            .rows
            .iter()
            .filter(|(_, (row, _))| row.state.as_deref() == Some(RUNNING));
        seen.ran = ran.map(|(id, _)| id).collect();
        if fuse_open {
            seen.disturbed = seen.disturbed.max(now);
        } else {
            seen.fuse_closed = now;
        }
        let deadline = micros(rules.deadline);
        let mut uncounted = Vec::new();
        for (id, (row, _)) in seen.rows.iter() {
            let start = start_of(row);
            let beat = row
                .heartbeat_at
                .at()
                .is_some_and(|beat| beat.as_micros() > start + 5_000);
            let decided = match row.state.as_deref() {
                Some(RUNNING) => beat,
                Some(UNLISTED | WAITING) | None => false,
                Some(_) => true,
            };
            // A running one that is silent for so long is in no count but its own.
            let is_abandoned = || {
                let last = row.heartbeat_at.at().map_or(start, Timestamp::as_micros);
                row.state.as_deref() == Some(RUNNING) && seen.db - last > micros(rules.max_age)
            };
            let counts = decided && rules.longest.is_none() && !is_abandoned();
            if counts && start >= first - deadline && !seen.inits.contains_key(&(id, start)) {
                uncounted.push(id);
            }
        }
        for id in uncounted {
            self.wrong(format!("I5: the init of job {id} is decided and was not counted"));
        }
        let dead: Vec<Incident> = self.dead.iter().map(|(job, (_, start))| (*job, *start)).collect();
        for (job, start) in dead {
            self.judge_delay(dog, (job, start));
        }
    }

    /// I4: whether a dead job that this process reads should have been repaired by now.
    fn judge_delay(&mut self, dog: usize, (job, start): Incident) {
        let (rules, seen) = (self.rules(dog), &self.dogs[dog].seen);
        // What another server has since, is not what this one was read to have: a failover may have lost an earlier repair.
        let there = self.server.rows().get(&job).map(|row| row.heartbeat_at);
        let as_read = |row: &Job| {
            let heartbeat = row.heartbeat_at.at().map(Timestamp::as_micros);
            start_of(row) == start && row.state.as_deref() == Some(RUNNING) && Some(heartbeat) == there
        };
        let Some((_, since)) = seen.rows.get(job).filter(|(row, _)| as_read(row)) else {
            return;
        };
        if !self.wants_repair(&rules, (job, start))
            || seen.too_long
            || seen.is_hindered
            || self.dogs[dog].is_stopping
            || self.server.obstacle.is_some()
            || seen.ahead.contains(&(job, start))
            || self.server.holds(job)
        {
            return;
        }
        let (deadline, interval) = (micros(rules.deadline), micros(rules.interval));
        // A job that is older than the server's last restart is watched for as long as a living one may be silent.
        let changed = seen.server_changed.max(self.server_changed);
        let is_before = |at: Micros| start < at + UNNOTICED + SECOND;
        let old = self.clocks_off || changed.is_some_and(is_before) || is_before(self.server.started_at);
        let watch_for = match old && rules.action == Action::Fail {
            true => deadline.max(micros(rules.heartbeat_timeout)),
            false => deadline,
        };
        let db = self.server.clock(self.now);
        let by_clock = self.now - (db - start - rules.overdue_after());
        // What another watch repaired is watched from then on.
        let id = JobId::from_number(job);
        let entries = self.server.ledger().iter().filter(|entry| entry.job_id == id);
        let repaired = entries
            .map(|entry| entry.repaired_at.as_micros())
            .filter(|at| *at <= db);
        let repaired = repaired.max().map_or(0, |at| self.now - (db - at));
        let from = (*since).max(seen.disturbed).max(self.disturbed).max(repaired) + watch_for;
        let dead = i64::try_from(self.dead.len()).unwrap();
        let more_passes = dead / i64::try_from(rules.max_per_pass).unwrap();
        let passes = PASS + REPAIR * dead + more_passes * (interval + PASS);
        let late = self.now - (from.max(by_clock) + 2 * interval + passes);
        if late > 0 {
            self.wrong(format!("I4: job {job} is dead, and its repair is {late} us late"));
        }
    }

    /// Whether a dead job is one that the action of a watch would change, and did not yet.
    fn wants_repair(&self, rules: &Rules, (job, start): Incident) -> bool {
        let db = self.server.clock(self.now);
        let row = self.server.rows().get(&job).filter(|row| row.started_at == start);
        row.is_some_and(|row| {
            let last = row.heartbeat_at.unwrap_or(start);
            let changes = match rules.action {
                _ if db - last > micros(rules.max_age) => false,
                Action::Fail => !row.beats(),
                Action::Backfill => row.heartbeat_at.is_none(),
                Action::Observe => false,
            };
            row.runs() && row.is_job && row.has_start && changes && !self.is_undone((job, start))
        })
    }

    /// Whether good runs take too long for jobs to be failed for their age.
    pub fn is_too_long(&self, longest: LongestRun) -> bool {
        match longest {
            LongestRun::NoneGood => false,
            LongestRun::Took(took) => self.scenario.rules.longest.is_some_and(|allowed| took * 2 > allowed),
            LongestRun::Unknown => true,
        }
    }

    /// What must be true when all has been calm for long: I2 and I4.
    pub fn judge_the_end(&mut self) {
        if self.kills == 0 && self.failovers == 0 {
            // The answer to one of the last moments may be on its way.
            let is_answered = |id: &RepairId| {
                self.committed_last
                    .is_none_or(|(last, at)| last != *id || self.now - at > SLOW)
            };
            let commits: Vec<_> = self
                .commits
                .clone()
                .into_iter()
                .filter(|(id, _)| is_answered(id))
                .collect();
            for (id, commits) in commits {
                let reported = self.reported.get(&id).copied().unwrap_or_default();
                if reported != commits {
                    self.wrong(format!(
                        "I2: repair {id:?} was committed {commits} times, and reported {reported} times"
                    ));
                }
            }
        }
        let db = self.server.clock(self.now);
        for (job, (died, start)) in self.dead.clone() {
            // A start that lay ahead is never repaired on its own, and an open fuse holds all.
            let wants = |dog: &usize| {
                let rules = self.rules(*dog);
                let is_overdue = start + rules.overdue_after() + micros(rules.deadline) <= db;
                self.dogs[*dog].alive && is_overdue && self.wants_repair(&rules, (job, start))
            };
            let excused = |dog: usize| {
                let (fails, dog) = (self.rules(dog).action == Action::Fail, &self.dogs[dog]);
                dog.seen.too_long
                    || !self.scenario.is_unique
                    || dog.seen.ahead.contains(&(job, start))
                    || dog.fuse_open && fails
            };
            let mut wanting = (0..self.dogs.len()).filter(wants).filter(|dog| !excused(*dog));
            // Time enough for the longest of the rules, since it died and since the last disturbance.
            let enough = self.now - died >= self.scenario.calm - 20 * SECOND;
            if enough && wanting.next().is_some() {
                self.wrong(format!(
                    "I4: job {job} is dead and was not repaired in {} us",
                    self.now - died
                ));
            }
        }
        self.judge_findings();
        // No watch is silent: the longest backoff is a minute. And when all is acknowledged, no fuse stays open.
        for number in 0..self.dogs.len() {
            let dog = &self.dogs[number];
            let held = self.now - dog.seen.fuse_closed.max(dog.born);
            if dog.alive && dog.fuse_open && held > 15 * SECOND + 6 * micros(self.rules(number).interval) {
                self.wrong(format!(
                    "I4: the fuse of process {number} is open for {held} us, and all is acknowledged"
                ));
            }
            let dog = &self.dogs[number];
            let quiet = self.now - dog.last_pass.max(dog.born).max(dog.frozen_until).max(dog.cut_until);
            if dog.alive && quiet > 62 * SECOND {
                self.wrong(format!("I4: process {number} has made no pass for {quiet} us"));
            }
        }
    }
}
