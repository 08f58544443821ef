//! The store of a simulated watchdog: the production look over the simulated driver, round trip by round trip, any of which can
//! take long or be the last of its connection; and the transactions of repairs.

use super::{
    dog::Nap,
    driver::{View, keys_in},
    judge::{Reading, SLOW},
    keyed::Keyed,
    parts::{Hidden, Session, Truth},
    server::{Committed, Micros, SECOND, micros},
    world::{Shared, World, lock},
};
use crate::runs;
use beatwarden::{
    domain::{Action, Coverage, Discovery, Finding, Job, Noted, Outcome, Policy, Repair, Snapshot, Unknowns},
    mapping::Mapping,
    store::{
        ObserveRequest, Resolution, Store, StoreError, TimeBudget,
        look::{Carried, Database, FactsFor, Keyless, Look, Step, Table},
        question::{Answer, Frame, Question, Round},
    },
};
use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

pub const POLL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a watchdog waits for the answer to a repair.
const REPAIR_WITHIN: Micros = 5 * SECOND;
/// What the look's instants count from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

pub struct SimStore {
    world: Shared,
    dog: usize,
    mapping: Mapping,
    action: Action,
    seed_tolerance: Duration,
    carried: Carried,
    session: Option<Session>,
    discovery: Option<Discovery>,
    /// Since when, by the judge's own record, a full look is in progress.
    full_since: Option<Micros>,
}

/// What one pass was answered, as the judge has it.
#[derive(Default)]
struct Sight {
    /// What its snapshot sees; of a file, what its last statement saw.
    committed: Arc<Committed>,
    server: String,
    /// The same as only the judge knows it.
    truth: Truth,
    session: Session,
    began: Micros,
    at: Micros,
    db: Micros,
    /// When each row was read, by true time; the last time counts.
    read: Vec<(i64, Micros)>,
    /// The greatest key that was seen, and the least from which on a tail that begins with this pass knows what is missing.
    greatest: Option<i64>,
    tail_from: Option<i64>,
    /// What the ledger had when it was asked for, where it was.
    ledger: Option<Arc<Committed>>,
    /// Whether the clock of a file had been set back then.
    is_set_back: bool,
    /// Whether good runs were found to take too long for jobs to be failed for their age, where that was asked.
    too_long: Option<bool>,
    /// Whether the catalog said that no repair can be made, where it was asked.
    is_hindered: Option<bool>,
}

impl SimStore {
    pub fn new(world: &Shared, dog: usize, policy: &Policy) -> Self {
        let mapping = runs::mapping();
        Self {
            world: world.clone(),
            dog,
            mapping: Mapping {
                watch: policy.watch.clone(),
                states: policy.states.clone(),
                last_heartbeat_at: mapping.last_heartbeat_at.filter(|_| policy.max_runtime.is_none()),
                max_runtime: policy.max_runtime,
                error: None,
                ..mapping
            },
            action: policy.action,
            seed_tolerance: policy.seed_tolerance,
            carried: Carried::default(),
            session: None,
            discovery: None,
            full_since: None,
        }
    }

    fn table(&self) -> Table<'_> {
        let world = lock(&self.world);
        let scenario = &world.scenario;
        let is_file = scenario.is_file;
        let (plain, short, each) = match is_file {
            true => (Duration::ZERO, Duration::ZERO, Duration::from_millis(10)),
            false => (Duration::from_secs(30), Duration::from_secs(5), Duration::MAX),
        };
        Table {
            mapping: &self.mapping,
            action: self.action,
            seed_tolerance: self.seed_tolerance,
            wanted: scenario.wanted,
            grows: scenario.grows,
            lowest: scenario.lowest_key,
            // A file is never believed.
            is_unique: scenario.is_unique && !is_file,
            keyless: if is_file { Keyless::Asked } else { Keyless::InAnswers },
            facts: None,
            newcomers_for: Duration::from_secs(1),
            database: Database {
                one_snapshot: !is_file,
                commits_late: !is_file,
                facts_for: FactsFor { plain, short },
                pages: (
                    if is_file {
                        TimeBudget::About(Duration::from_millis(30))
                    } else {
                        TimeBudget::Unlimited
                    },
                    each,
                ),
            },
        }
    }

    /// The process's own clock, as the look has it.
    fn instant(&self) -> Instant {
        let moment = lock(&self.world).moment(self.dog);
        *EPOCH + Duration::from_micros(u64::try_from(moment).unwrap_or(0))
    }

    fn nap(&self, takes: Micros) -> Nap {
        Nap::new(&self.world, self.dog, takes)
    }

    /// One way to the server or back.
    fn travel(&self) -> Nap {
        let mut world = lock(&self.world);
        let takes = match world.rng.u32(..200) {
            0 if world.faulty() => world.rng.i64(200_000..1_500_000),
            _ => world.rng.i64(100..8_000),
        };
        if takes > SLOW {
            // Whatever is asked: the ledger before a repair, or what became of one, holds up the repairs behind it.
            let (until, seen) = (world.now + takes, &mut world.dogs[self.dog].seen);
            seen.disturbed = seen.disturbed.max(until);
        }
        drop(world);
        self.nap(takes)
    }

    async fn reach(&self) -> Result<(), StoreError> {
        self.travel().await;
        if lock(&self.world).reaches_server(self.dog) {
            return Ok(());
        }
        // Refused at once, or into the void until the deadline.
        let refused = lock(&self.world).rng.bool();
        if refused {
            return Err(broken());
        }
        self.nap(micros(POLL_TIMEOUT)).await;
        Err(StoreError::Timeout {
            what: "asking",
            after: POLL_TIMEOUT,
        })
    }

    /// One round trip: all of it is answered by the server that answered before, or none.
    async fn ask(&self, round: &Round, sight: &mut Sight) -> Result<Vec<Answer>, StoreError> {
        if round.frame == Frame::First {
            *sight = Sight {
                began: lock(&self.world).now,
                session: sight.session,
                // Rows in unknown states were read before, and how long good runs take was asked.
                read: std::mem::take(&mut sight.read),
                too_long: sight.too_long,
                // A snapshot that is read again keeps the facts.
                is_hindered: sight.is_hindered,
                ..Sight::default()
            };
        }
        self.reach().await?;
        if !lock(&self.world).server.keeps(&sight.session) {
            return Err(broken());
        }
        let mut answers = Vec::with_capacity(round.questions.len());
        let is_file = lock(&self.world).scenario.is_file;
        for question in &round.questions {
            if is_file && !answers.is_empty() {
                let takes = lock(&self.world).rng.i64(0..300);
                self.nap(takes).await;
            }
            answers.push(sight.answer(&mut lock(&self.world), round.frame, question));
        }
        self.travel().await;
        let mut world = lock(&self.world);
        let is_other = !sight.server.is_empty() && sight.truth != world.server.truth();
        if is_other
            || !world.server.keeps(&sight.session)
            || !world.reaches_server(self.dog)
            || world.faulty() && world.rng.u32(..800) == 0
        {
            return Err(broken());
        }
        Ok(answers)
    }

    /// One pass over the table by the production look.
    async fn look(&self, request: &ObserveRequest) -> Result<(Snapshot, Carried, Sight), StoreError> {
        let asked = self.instant();
        let session = match self.session {
            Some(session) => session,
            None => {
                self.reach().await?;
                self.travel().await;
                lock(&self.world).server.connect()
            }
        };
        let mut sight = Sight {
            session,
            ..Sight::default()
        };
        let (mut look, mut round) = Look::begin(request, self.table(), &self.carried, asked, self.instant());
        loop {
            let answers = self.ask(&round, &mut sight).await?;
            match look.take(answers, self.instant())? {
                Step::Ask(next) => round = next,
                Step::Done(snapshot, carried) => return Ok((snapshot, carried, sight)),
            }
        }
    }

    /// The judge's record of a snapshot, and of what it claims.
    fn reading(&mut self, asked: Micros, request: &ObserveRequest, snapshot: &Snapshot, sight: Sight) -> Reading {
        let is_full = snapshot.coverage == Coverage::Full;
        if sight.tail_from.is_some() {
            self.full_since = Some(sight.at);
        } else if request.coverage == Coverage::Full {
            self.full_since.get_or_insert(sight.at);
        }
        let is_file = lock(&self.world).scenario.is_file;
        let whole_before = match snapshot.discovery {
            Discovery::State => Some(sight.at + Micros::from(!is_file)),
            Discovery::KeyTail => self.full_since.filter(|_| is_full),
        };
        let since = if is_full { self.full_since.take() } else { None };
        let read: Keyed<Micros> = sight.read.into_iter().collect();
        let rows: Keyed<(Job, Micros)> = snapshot
            .rows
            .iter()
            .map(|job| {
                let key = job.id.number().unwrap();
                (key, (job.clone(), *read.get(key).unwrap()))
            })
            .collect();
        let running = sight.committed.rows.iter().filter(|(_, row)| row.runs());
        let missed = running.filter(|(key, _)| !rows.has(**key));
        // Of a file it is known only where both were there before its first statement. The first pass that follows the keys has as
        // many of the newest rows as it asks for, and one of them may be behind the last.
        let is_cut = snapshot.discovery == Discovery::KeyTail && sight.tail_from.is_some() && !is_full;
        let committed = sight.committed.clone();
        let hidden = committed.doubled(sight.began).find(|key| !is_cut && rows.has(*key));
        Reading {
            missed: missed.map(|(key, row)| (*key, row.clone())).collect(),
            hidden,
            rows,
            server: sight.server,
            truth: sight.truth,
            connection: sight.session.evidence(),
            asked,
            began: sight.began,
            at: sight.at,
            db: sight.db,
            ledger: sight.ledger.unwrap_or_default(),
            is_set_back: sight.is_set_back,
            is_full: since.is_some_and(|since| since < sight.at),
            whole_before,
            by_key: snapshot.discovery == Discovery::KeyTail,
            has_other_way: self
                .discovery
                .replace(snapshot.discovery)
                .is_some_and(|way| way != snapshot.discovery),
            greatest: sight.greatest,
            committed,
            tail_from: sight.tail_from,
            too_long: sight.too_long,
            is_hindered: sight.is_hindered,
        }
    }
}

impl Sight {
    /// The answer of a database with snapshots from that of the pass, and of a file from what is there at this moment.
    fn answer(&mut self, world: &mut World, frame: Frame, question: &Question) -> Answer {
        let (now, db) = (world.now, world.server.clock(world.now));
        let gives_up = world.rng.u32(..10) == 0;
        if matches!(question, Question::Moment) {
            (self.at, self.db) = (now, db);
            self.truth = world.server.truth();
        }
        if world.scenario.is_file || frame == Frame::Apart || matches!(question, Question::Moment) {
            self.committed = world.server.snapshot();
        }
        let view = View {
            committed: &self.committed,
            server: &world.server,
            scenario: &world.scenario,
            now,
            db: self.db,
            refused: self.session.refused,
            gives_up,
        };
        let answer = view.answer(question);
        let read_at = if world.scenario.is_file { now } else { self.at };
        for key in keys_in(&answer) {
            self.read.push((key, read_at));
            self.greatest = self.greatest.max(Some(key));
        }
        match &answer {
            Answer::Moment(moment) => self.server.clone_from(&moment.server.0),
            Answer::Newest(keys, _) => {
                self.greatest = self.greatest.max(keys.iter().max().copied());
                self.tail_from = Some(keys.iter().min().map_or(i64::MIN, |key| *key));
            }
            // What is as it was is known; of a file the entries, asked for last, are the newer ones.
            Answer::LedgerProbe(_) | Answer::LedgerNewest(..) => {
                self.ledger = Some(self.committed.clone());
                self.is_set_back |= world.scenario.is_file && db < self.db;
            }
            Answer::Facts(facts) => self.is_hindered = Some(!facts.obstacles.is_empty()),
            Answer::LongestRun(longest) => self.too_long = Some(world.is_too_long(*longest)),
            _ => {}
        }
        answer
    }
}

fn broken() -> StoreError {
    StoreError::Connect {
        to: "sim".to_owned(),
        source: "the connection broke".into(),
    }
}

fn refused() -> StoreError {
    StoreError::Rights("this may not be written".to_owned())
}

impl Store for SimStore {
    async fn observe(&mut self, request: &ObserveRequest) -> Result<Snapshot, StoreError> {
        let asked = lock(&self.world).now;
        match self.look(request).await {
            Ok((snapshot, carried, sight)) => {
                self.carried = carried;
                let (session, connection) = (sight.session, sight.session.evidence());
                self.session = Some(session);
                let reading = self.reading(asked, request, &snapshot, sight);
                let mut world = lock(&self.world);
                world.record(self.dog, reading);
                if session.refused.any() {
                    world.totals.count("passes by a part of the identity");
                }
                Ok(Snapshot {
                    unknowns: Unknowns {
                        connection,
                        ..Unknowns::default()
                    },
                    ..snapshot
                })
            }
            Err(error) => {
                if matches!(error, StoreError::Schema(_)) {
                    lock(&self.world).totals.count("passes that fail for a key of two rows");
                }
                self.carried.begin_again();
                self.session = None;
                Err(error)
            }
        }
    }

    async fn prepare_ledger(&mut self) -> Result<(), StoreError> {
        self.reach().await?;
        match lock(&self.world).server.create_ledger() {
            true => Ok(()),
            false => Err(refused()),
        }
    }

    async fn repair(&mut self, repair: &Repair) -> Outcome {
        let (number, breaks) = {
            let mut world = lock(&self.world);
            let id = world.author(self.dog).repair_id(repair);
            if !world.reaches_server(self.dog) {
                return Outcome::Failed("no connection".to_owned());
            }
            let travel = world.rng.i64(100..20_000);
            let breaks = (world.faulty() && world.rng.u32(..6) == 0).then(|| world.now + world.rng.i64(0..40_000));
            if breaks.is_some() {
                world.totals.count("connections that break under a repair");
            }
            let refused = self.session.map_or_else(Hidden::default, |session| session.refused);
            (world.send(self.dog, repair.clone(), id, refused, travel), breaks)
        };
        let sent_at = lock(&self.world).now;
        loop {
            self.nap(5_000).await;
            let world = lock(&self.world);
            if !world.reaches_server(self.dog) || breaks.is_some_and(|at| world.now >= at) {
                return Outcome::Unknown("the connection broke".to_owned());
            }
            let answer = world.dogs[self.dog]
                .sent
                .get(&number)
                .and_then(|sent| sent.answer.clone());
            if let Some(outcome) = answer {
                return outcome;
            }
            if world.now - sent_at > REPAIR_WITHIN {
                return Outcome::Unknown("no answer".to_owned());
            }
        }
    }

    async fn resolve(&mut self, repair: &Repair) -> Result<Resolution, StoreError> {
        self.reach().await?;
        let resolution = {
            let world = lock(&self.world);
            let author = world.author(self.dog);
            world.server.resolve(author.repair_id(repair), &author.instance)
        };
        self.travel().await;
        Ok(resolution)
    }

    async fn note(&mut self, finding: &Finding) -> Result<Noted, StoreError> {
        self.reach().await?;
        let mut world = lock(&self.world);
        if world.server.obstacle.is_some() {
            return Err(refused());
        }
        let now = world.now;
        let noted = world.server.note(finding, now);
        if noted == Noted::First {
            let entries = world.server.ledger().iter();
            let entry = entries
                .clone()
                .find(|entry| entry.repair_id == finding.repair_id)
                .cloned();
            world.judge_finding_of(&entry.unwrap());
        }
        Ok(noted)
    }
}
