//! What is asked, and in how many round trips, without a database: a scripted one answers.

mod carried;
mod cost;
mod keys;
mod ledger;
mod rows;
mod tail;

use super::*;
use crate::{
    domain::{Access, LedgerEntry, ServerIdentity, States, TimeValue, Timestamp},
    store::{
        Identifier, TableName, TimeFormat,
        question::{AccessPlan, LongestRun, Page, Transactions},
        reading::{MOST_NEWCOMERS, NEWCOMERS_OF_A_PASS},
    },
};
use std::collections::BTreeMap;

fn mapping() -> Mapping {
    let name = |name: &str| Identifier::new(name).unwrap();
    Mapping {
        watch: "w".into(),
        table: TableName::parse("runs").unwrap(),
        ledger: TableName::parse("ledger").unwrap(),
        id: name("id"),
        job_name: None,
        state: name("state"),
        states: States {
            running: vec!["RUNNING".into()],
            success: vec!["SUCCESS".into()],
            failure: vec!["FAIL".into()],
            waiting: Vec::new(),
            ignore: Vec::new(),
            ..States::default()
        },
        only: Vec::new(),
        started_at: name("started_at").into(),
        last_heartbeat_at: Some(name("beat_at").into()),
        max_runtime: None,
        ended_at: None,
        time_format: TimeFormat::Timestamp,
        time_zone: "UTC".into(),
        error: None,
        born_running: true,
        ending: crate::store::Ending::default(),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn job(id: i64, state: &str) -> Job {
    Job {
        id: JobId::from_number(id),
        name: None,
        state: Some(state.into()),
        started_at: TimeValue::from_micros(1),
        heartbeat_at: TimeValue::ABSENT,
        ended_at: TimeValue::ABSENT,
    }
}

/// A database whose rows, server and plan a test sets, and what was asked of it.
struct Scripted {
    mapping: Mapping,
    rows: BTreeMap<i64, &'static str>,
    /// Rows that have the key of another one.
    twins: Vec<(i64, &'static str)>,
    is_unique: bool,
    /// Whether only the newcomers of an answer are limited, as on SQLite.
    limits_newcomers: bool,
    /// How many running rows have no key, and who counts them.
    keyless: (Keyless, u64),
    action: Action,
    server: &'static str,
    /// That of the catalog's entry of the table.
    version: &'static str,
    plan: AccessPlan,
    grows: bool,
    share: usize,
    /// What the scan for running rows, and each page, costs by the database's own clock.
    cost: Option<Duration>,
    /// How long each round trip takes by ours.
    way: Duration,
    /// Newest first.
    ledger: Vec<LedgerEntry>,
    /// What happens once it was asked whether there are others, where each question is answered for itself.
    meanwhile: fn(&mut Self),
    seconds: i64,
    wrote: bool,
    lost_last: bool,
    facts: Facts,
    longest: LongestRun,
    carried: Carried,
    transactions: Option<Transactions>,
    newcomers_for: Duration,
    now: Instant,
    /// The rounds of the last pass.
    asked: Vec<Round>,
}

impl Scripted {
    fn new(discovery: Discovery, rows: impl IntoIterator<Item = (i64, &'static str)>) -> Self {
        let by_key = discovery == Discovery::KeyTail;
        Self {
            mapping: mapping(),
            rows: rows.into_iter().collect(),
            twins: Vec::new(),
            is_unique: true,
            limits_newcomers: false,
            keyless: (Keyless::None, 0),
            action: Action::Fail,
            server: "a/1",
            version: "1",
            plan: AccessPlan {
                access: if by_key { Access::Scan } else { Access::Index },
                is_expensive: by_key,
            },
            grows: true,
            share: 1,
            cost: None,
            way: Duration::ZERO,
            ledger: Vec::new(),
            meanwhile: |_| {},
            seconds: 1_000_000,
            wrote: false,
            lost_last: false,
            facts: Facts {
                ledger_readable: true,
                ..Facts::default()
            },
            longest: LongestRun::NoneGood,
            carried: Carried::default(),
            transactions: None,
            newcomers_for: Duration::from_secs(1),
            now: Instant::now(),
            asked: Vec::new(),
        }
    }

    fn some(&self, wanted: impl Fn(i64, &str) -> bool) -> Rows {
        let rows = self.rows.iter().map(|(id, state)| (*id, *state));
        let found = rows
            .chain(self.twins.iter().copied())
            .filter(|(id, state)| wanted(*id, state));
        found.map(|(id, state)| job(id, state)).collect::<Vec<_>>().into()
    }

    fn history(&self) -> Rows {
        self.some(|_, state| state != "ODD")
    }

    fn answer(&self, question: &Question) -> Answer {
        let greatest = self.rows.keys().next_back().copied();
        match question {
            Question::AccessPlan => Answer::AccessPlan(self.plan),
            Question::Unknown => Answer::Unknown(Some(self.some(|_, state| state == "ODD").jobs)),
            Question::LongestRun => Answer::LongestRun(self.longest),
            Question::Moment => Answer::Moment(Moment {
                now: at(self.seconds),
                server: ServerIdentity(self.server.into()),
                server_started_at: None,
                version: Some(self.version.into()),
                transactions: self.transactions,
            }),
            Question::Running { .. } => {
                let mut rows = self.some(|_, state| state == "RUNNING");
                if self.keyless.0 == Keyless::InAnswers {
                    rows.keyless = self.keyless.1;
                }
                Answer::Running(rows, self.cost)
            }
            Question::Tail(span) => {
                let asked = |id: i64, state: &str| state == "RUNNING" || span.gaps.contains(&id);
                let rows = self.some(|id, state| id >= span.newest || id >= span.from && asked(id, state));
                if self.limits_newcomers {
                    let (mut rows, newcomers): (Vec<Job>, Vec<Job>) = rows
                        .jobs
                        .into_iter()
                        .partition(|job| job.id.number() < Some(span.newest));
                    rows.extend(first(MOST_NEWCOMERS, newcomers.into()).jobs);
                    Answer::Tail(rows.into())
                } else {
                    Answer::Tail(first(span.most, rows))
                }
            }
            Question::Newcomers { newest } => Answer::Tail(first(MOST_NEWCOMERS, self.some(|id, _| id >= *newest))),
            Question::Newest { window } => {
                Answer::Newest(self.rows.keys().copied().collect(), window.map(|_| self.history()))
            }
            Question::History { .. } => Answer::Rows(self.history()),
            Question::Top => Answer::Top(greatest),
            Question::Page(keys) => Answer::Page(Page {
                rows: self.some(|id, state| keys.contains(&id) && matches!(state, "RUNNING" | "ODD")),
                below: self.rows.range(..keys.start()).next_back().map(|(id, _)| *id),
                cost: self.cost,
            }),
            Question::Keyless => Answer::Keyless(self.keyless.1),
            Question::Known(ids) => Answer::Rows(self.some(|id, _| ids.contains(&JobId::from_number(id)))),
            Question::Facts => Answer::Facts(self.facts.clone()),
            Question::LedgerProbe { since } => Answer::LedgerProbe(self.mark(*since)),
            Question::LedgerOfJobs(jobs) => {
                let of_jobs = self.ledger.iter().filter(|entry| jobs.contains(&entry.job_id));
                Answer::LedgerOfJobs(of_jobs.cloned().collect())
            }
            Question::LedgerNewest => {
                let newest: Vec<_> = self.ledger.iter().take(2_000).cloned().collect();
                let rows = newest.len();
                Answer::LedgerNewest(newest, rows)
            }
        }
    }

    fn pass(&mut self, coverage: domain::Coverage, known: &[i64]) -> Snapshot {
        self.pass_within(coverage, known, TimeBudget::About(Duration::ZERO))
    }

    fn pass_within(&mut self, coverage: domain::Coverage, known: &[i64], budget: TimeBudget) -> Snapshot {
        self.try_pass(coverage, known, budget).unwrap()
    }

    fn try_pass(
        &mut self,
        coverage: domain::Coverage,
        known: &[i64],
        budget: TimeBudget,
    ) -> Result<Snapshot, StoreError> {
        let request = ObserveRequest {
            budget,
            wrote: self.wrote,
            lost_last: self.lost_last,
            ..ObserveRequest::whole(known.iter().copied().map(JobId::from_number).collect(), coverage)
        };
        let mapping = self.mapping.clone();
        let table = Table {
            mapping: &mapping,
            action: self.action,
            seed_tolerance: Duration::ZERO,
            wanted: DiscoverySetting::Auto,
            grows: self.grows,
            lowest: i64::MIN,
            is_unique: self.is_unique,
            keyless: self.keyless.0,
            facts: None,
            newcomers_for: self.newcomers_for,
            database: Database {
                one_snapshot: true,
                commits_late: true,
                facts_for: FactsFor {
                    plain: Duration::from_secs(30),
                    short: Duration::from_secs(5),
                },
                pages: (budget.shared_by(self.share), Duration::MAX),
            },
        };
        let before = self.carried.clone();
        let (mut look, mut round) = Look::begin(&request, table, &before, self.now, self.now);
        self.asked.clear();
        loop {
            let mut answers = Vec::new();
            for question in &round.questions {
                answers.push(self.answer(question));
                if matches!(question, Question::LedgerProbe { .. }) {
                    (self.meanwhile)(self);
                }
            }
            self.asked.push(round);
            self.now += self.way;
            match look.take(answers, self.now)? {
                Step::Ask(next) => round = next,
                Step::Done(snapshot, after) => {
                    self.carried = after;
                    return Ok(snapshot);
                }
            }
        }
    }

    fn asks(&self, wanted: impl Fn(&Question) -> bool) -> bool {
        self.asked.iter().any(|round| round.questions.iter().any(&wanted))
    }
}

/// As many rows as an answer has at most.
fn first(most: i64, mut rows: Rows) -> Rows {
    rows.jobs.truncate(usize::try_from(most).unwrap());
    rows
}

fn ids(snapshot: &Snapshot) -> Vec<i64> {
    snapshot.rows.iter().filter_map(|job| job.id.number()).collect()
}

const ORDINARY: domain::Coverage = domain::Coverage::Ordinary;
const FULL: domain::Coverage = domain::Coverage::Full;

#[test]
fn an_ordinary_pass_takes_two_round_trips_by_state_and_by_key() {
    for discovery in [Discovery::State, Discovery::KeyTail] {
        let mut database = Scripted::new(discovery, [(1, "RUNNING"), (2, "RUNNING")]);
        database.pass_within(FULL, &[], TimeBudget::Unlimited);
        let snapshot = database.pass(ORDINARY, &[1, 2]);
        assert_eq!((database.asked.len(), ids(&snapshot)), (2, vec![1, 2]));
        let frames: Vec<Frame> = database.asked.iter().map(|round| round.frame).collect();
        assert_eq!(frames, [Frame::First, Frame::Last]);
    }
}

#[test]
fn a_known_job_that_has_ended_takes_one_round_trip_more_and_a_lonely_one_none() {
    let mut database = Scripted::new(Discovery::KeyTail, [(1, "RUNNING"), (1_000_000, "RUNNING")]);
    database.pass_within(FULL, &[], TimeBudget::Unlimited);
    database.rows.insert(1, "SUCCESS");
    let snapshot = database.pass(ORDINARY, &[1, 1_000_000]);
    assert_eq!((database.asked.len(), ids(&snapshot)), (2, vec![1, 1_000_000]));
    database.rows.insert(1_000_000, "SUCCESS");
    database.rows.insert(1_000_001, "RUNNING");
    assert_eq!(ids(&database.pass(ORDINARY, &[1_000_000])), [1_000_000, 1_000_001]);
    database.rows.insert(1_000_002, "RUNNING");
    database.rows.insert(1_000_001, "FAIL");
    let mut found = ids(&database.pass(ORDINARY, &[1_000_000, 1_000_001]));
    found.sort_unstable();
    assert_eq!(
        (database.asked.len(), found),
        (3, vec![1_000_000, 1_000_001, 1_000_002])
    );
}

#[test]
fn facts_that_are_due_travel_with_the_first_round_and_hold_for_their_time() {
    let asks_facts = |question: &Question| *question == Question::Facts;
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    database.pass(ORDINARY, &[]);
    assert!(database.asks(asks_facts));
    for (after, due) in [(29, false), (1, true)] {
        database.now += Duration::from_secs(after);
        database.pass(ORDINARY, &[1]);
        assert_eq!(database.asks(asks_facts), due);
    }
    database.pass(ORDINARY, &[1]);
    assert_eq!(database.asked.len(), 2);
    // Once there was a guard, facts stay short-lived.
    database.facts.guard.guard = crate::domain::Guard::Sound;
    database.now += Duration::from_secs(31);
    database.pass(ORDINARY, &[1]);
    database.facts.guard.guard = crate::domain::Guard::Absent;
    for _ in 0..2 {
        database.now += Duration::from_secs(6);
        database.pass(ORDINARY, &[1]);
        assert!(database.asks(asks_facts));
        assert_eq!(database.asked.len(), 2);
    }
}

#[test]
fn a_full_look_takes_one_round_trip_for_each_page() {
    let mut database = Scripted::new(Discovery::KeyTail, (1..=45_000).map(|id| (id, "SUCCESS")));
    database.pass(ORDINARY, &[]);
    assert_eq!(database.asked.len(), 3, "the plan, the newest rows, the ledger");
    let snapshot = database.pass_within(FULL, &[], TimeBudget::Unlimited);
    let pages = database
        .asked
        .iter()
        .filter(|round| matches!(round.questions[..], [Question::Page(_)]))
        .count();
    assert_eq!((database.asked.len(), snapshot.coverage), (3 + pages, FULL));
    database.pass(FULL, &[]);
    assert_eq!(database.asked.len(), 4, "one page where there is no time for more");
}

#[test]
fn a_table_whose_key_does_not_grow_is_asked_for_unknown_states_apart() {
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING"), (2, "ODD")]);
    database.grows = false;
    let snapshot = database.pass(FULL, &[]);
    let frames: Vec<Frame> = database.asked.iter().map(|round| round.frame).collect();
    assert_eq!(frames, [Frame::Apart, Frame::Apart, Frame::First, Frame::Last]);
    assert!(
        !database.asks(|question| matches!(question, Question::Newest { .. })),
        "no key is newer than others"
    );
    assert_eq!((ids(&snapshot), snapshot.coverage), (vec![1, 2], FULL));
    database.pass(ORDINARY, &[1]);
    assert_eq!(database.asked.len(), 2);
}

#[test]
fn the_newest_row_is_kept_where_it_runs_or_is_known_and_no_news_otherwise() {
    for discovery in [Discovery::State, Discovery::KeyTail] {
        let mut database = Scripted::new(discovery, [(1, "RUNNING"), (2, "SUCCESS")]);
        database.pass_within(FULL, &[], TimeBudget::Unlimited);
        assert_eq!(ids(&database.pass(ORDINARY, &[1])), [1], "it ended, and no one knew it");
        assert_eq!(ids(&database.pass(ORDINARY, &[1, 2])), [1, 2], "it is known");
        database.rows.insert(2, "RUNNING");
        assert_eq!(ids(&database.pass(ORDINARY, &[1])), [1, 2], "it runs again");
    }
}

#[test]
fn unknown_states_fill_all_the_room_that_there_is() {
    let rows = (0..2_000).map(|id| (id, if id % 2 == 0 { "ODD" } else { "RUNNING" }));
    let mut database = Scripted::new(Discovery::KeyTail, rows.chain((2_000..2_500).map(|id| (id, "ODD"))));
    let snapshot = database.pass_within(FULL, &[], TimeBudget::Unlimited);
    let odd = snapshot
        .rows
        .iter()
        .filter(|job| job.state.as_deref() == Some("ODD"))
        .count();
    assert_eq!(odd, 1_000);
}
