//! Answers questions of a pass, one statement after the other, each in autocommit and over a bounded range: an open read
//! transaction would block the writer's commit in rollback-journal mode, and no snapshot is held for long.

use super::{
    SqliteSettings,
    access::Reason,
    columns::all,
    connection::Open,
    guard,
    key::keys,
    ledger::{self, Bearer},
    place,
    render::Statements,
    row::job,
};
use crate::{
    domain::{Access, Action, Cause, GOOD_RUNS, Job, Obstacle, ServerIdentity, StateKind, Timestamp},
    store::{
        StoreError,
        question::{AccessPlan, Answer, Facts, LongestRun, Moment, Page, Question, Span},
        reading::{
            GOOD_RUNS_WITHIN, HISTORY, MOST_NEWCOMERS, MOST_RUNNING, MOST_UNKNOWN, Strings, UNKNOWN_WITHIN, too_many,
        },
    },
};
use rusqlite::{ToSql, types::ValueRef};
use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// How many keys are looked up by one statement, whose snapshot the writer may have to wait for.
const KEYS_AT_ONCE: usize = 5_000;
/// Keys of one piece of a range: some milliseconds.
const PIECE: i64 = 20_000;
/// A scan over fewer keys costs nothing, and sees rows that return to a running state at once.
const LARGE: i64 = 50_000;
/// The scan for unknown states gives up sooner where reading keeps the writer from committing.
const UNKNOWN_WITHIN_BLOCKING: Duration = Duration::from_millis(50);

/// The open file of one pass.
pub(super) struct Driver<'a> {
    pub open: &'a mut Open,
    pub settings: &'a SqliteSettings,
}

impl Driver<'_> {
    /// Answers a round. The time comes with the running rows where they are asked: a statement has one time.
    pub(super) fn ask(&mut self, questions: &[Question]) -> Result<Vec<Answer>, StoreError> {
        let reads_time = |question: &Question| matches!(question, Question::Running { .. });
        let with_rows = questions.iter().any(reads_time);
        let mut answers = Vec::with_capacity(questions.len());
        for question in questions {
            match question {
                Question::Moment if with_rows => {}
                Question::Running { .. } => {
                    let began = Instant::now();
                    let (now, rows) = self.running()?;
                    answers.push(Answer::Moment(self.moment(now)));
                    answers.push(Answer::Running(rows.into(), Some(began.elapsed())));
                }
                other => answers.push(self.answer(other)?),
            }
        }
        Ok(answers)
    }

    fn answer(&mut self, question: &Question) -> Result<Answer, StoreError> {
        let statements = &self.open.catalog.statements;
        let what = question.what();
        Ok(match question {
            Question::AccessPlan => Answer::AccessPlan(self.access_plan().map_err(self.open.failed(what))?),
            Question::Unknown => Answer::Unknown(self.unknown()?),
            Question::LongestRun => Answer::LongestRun(self.longest_run()?),
            Question::Moment | Question::Running { .. } => {
                let now = ledger::now(&self.open.connection).map_err(self.open.failed(what))?;
                Answer::Moment(self.moment(now))
            }
            Question::Tail(span) => Answer::Tail(self.tail(span)?.into()),
            Question::Newcomers { newest } => Answer::Tail(self.newcomers(*newest)?.into()),
            // The keys are those of the rows.
            Question::Newest { window } => {
                let (newest, rows) = self.history(window.unwrap_or_default())?;
                Answer::Newest(newest.into_iter().collect(), Some(rows.into()))
            }
            Question::History { window } => Answer::Rows(self.history(*window)?.1.into()),
            Question::Top => Answer::Top(self.one(what, &statements.top, &[])?),
            Question::Page(keys) => self.page(keys)?,
            Question::Keyless => {
                let states = json(&self.settings.mapping.states.running);
                let count: i64 = self.one(what, &statements.keyless, &[&states])?;
                Answer::Keyless(u64::try_from(count).unwrap_or_default())
            }
            Question::Known(ids) => {
                let mut jobs = Vec::with_capacity(ids.len());
                for some in ids.chunks(KEYS_AT_ONCE) {
                    jobs.append(&mut self.rows(what, &statements.known, &[&keys(self.open, some)])?);
                }
                Answer::Rows(jobs.into())
            }
            Question::Facts => Answer::Facts(self.facts()?),
            Question::LedgerProbe { since } => Answer::LedgerProbe(ledger::probe(self.open, self.settings, *since)?),
            Question::LedgerOfJobs(jobs) => Answer::LedgerOfJobs(ledger::of_jobs(self.open, self.settings, jobs)?),
            Question::LedgerNewest => {
                let entries = ledger::newest(self.open, self.settings)?;
                let rows = entries.len();
                Answer::LedgerNewest(entries, rows)
            }
        })
    }

    fn moment(&self, now: Timestamp) -> Moment {
        Moment {
            now,
            server: ServerIdentity(self.open.identity.shown()),
            server_started_at: None,
            version: None,
            transactions: None,
        }
    }

    /// How the running rows would be found, as SQLite plans it. SQLite keeps no count of rows: whether a scan is expensive is
    /// seen from the keys, where they are counted up.
    fn access_plan(&self) -> rusqlite::Result<AccessPlan> {
        let (connection, catalog) = (&self.open.connection, &self.open.catalog);
        let explain = format!("EXPLAIN QUERY PLAN {}", catalog.statements.running);
        let states = json(&self.settings.mapping.states.running);
        let lines: Vec<String> = all(connection, &explain, (states, 1), |row| row.get("detail"))?;
        // An index that serves a condition of `only` alone finds all jobs, not the running ones.
        let by_state = format!("{}=?", self.settings.mapping.state.as_str()).to_lowercase();
        let scans = lines.iter().any(|line| {
            let is_read_whole = line.starts_with("SCAN target") || line.starts_with("SCAN job");
            is_read_whole || line.starts_with("SEARCH target") && !line.to_lowercase().contains(&by_state)
        });
        let key = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        let is_expensive = scans
            && (!catalog.grows || {
                let (top, bottom) = (key(&catalog.statements.top)?, key(&catalog.statements.bottom)?);
                top.unwrap_or_default().saturating_sub(bottom.unwrap_or_default()) > LARGE
            });
        Ok(AccessPlan {
            access: if scans { Access::Scan } else { Access::Index },
            is_expensive,
        })
    }

    /// Rows in states that no list names; nothing where that took too long: it serves a count, and may not cost a pass.
    fn unknown(&mut self) -> Result<Option<Vec<Job>>, StoreError> {
        let states = json(&self.settings.mapping.states.all());
        self.if_quick(
            (Question::Unknown.what(), UNKNOWN_WITHIN),
            |statements| &statements.unknown,
            &[&states, &MOST_UNKNOWN],
        )
    }

    /// How long the longest of the newest good runs took.
    fn longest_run(&mut self) -> Result<LongestRun, StoreError> {
        let states = json(&self.settings.mapping.states.success);
        let params: [&dyn ToSql; 2] = [&states, &HISTORY];
        let what = (Question::LongestRun.what(), UNKNOWN_WITHIN);
        let rows = self.if_quick(what, |statements| &statements.longest_run, &params)?;
        let Some(rows) = rows else {
            return Ok(LongestRun::Unknown);
        };
        let runs = rows
            .iter()
            .filter_map(|job| Some(job.started_at.at()?.age_at(job.ended_at.at()?)));
        Ok(runs.max().map_or(LongestRun::NoneGood, LongestRun::Took))
    }

    /// The newest good runs; none where that took too long.
    pub(super) fn good_runs(&mut self) -> Result<Vec<Job>, StoreError> {
        let states = json(&self.settings.mapping.states.success);
        let params: [&dyn ToSql; 2] = [&states, &i64::try_from(GOOD_RUNS).unwrap_or(i64::MAX)];
        let what = ("reading good runs", GOOD_RUNS_WITHIN);
        let rows = self.if_quick(what, |statements| &statements.good_runs, &params)?;
        Ok(rows.unwrap_or_default())
    }

    /// The answer to a question that is not worth a pass; nothing where it took too long.
    fn if_quick(
        &mut self,
        (what, most): (&'static str, Duration),
        statement: fn(&Statements) -> &String,
        params: &[&dyn ToSql],
    ) -> Result<Option<Vec<Job>>, StoreError> {
        let within = if self.open.reading_blocks {
            UNKNOWN_WITHIN_BLOCKING
        } else {
            most.min(self.settings.poll_timeout / 2)
        };
        let rows = self.open.give_up_after(what, within, |open| {
            read(open, what, statement(&open.catalog.statements), params)
        })?;
        match rows {
            Ok((_, rows)) => Ok(Some(rows)),
            Err(StoreError::Timeout { .. } | StoreError::Locked { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The time, and with it the rows in a running state, by their state.
    fn running(&self) -> Result<(Timestamp, Vec<Job>), StoreError> {
        let states = json(&self.settings.mapping.states.running);
        let statement = &self.open.catalog.statements.running;
        let (now, running) = read(
            self.open,
            "reading the running jobs",
            statement,
            &[&states, &MOST_RUNNING],
        )?;
        let now = now.ok_or_else(|| StoreError::Schema("SQLite has no time".to_owned()))?;
        Ok((now, running))
    }

    /// The running rows of the range in pieces, and the newcomers, which are read first.
    fn tail(&self, span: &Span) -> Result<Vec<Job>, StoreError> {
        let newcomers = self.newcomers(span.newest)?;
        let running = json(&self.settings.mapping.states.running);
        let (mut jobs, mut from) = (Vec::with_capacity(span.known), span.from);
        while from < span.newest && span.last_known.is_some_and(|last| last >= from) {
            let to = from.saturating_add(PIECE - 1).min(span.newest - 1);
            let statement = &self.open.catalog.statements.span;
            jobs.append(&mut self.rows("reading the running jobs", statement, &[&from, &to, &running])?);
            if i64::try_from(jobs.len()).unwrap_or(i64::MAX) >= MOST_RUNNING {
                return Err(too_many(&self.settings.mapping));
            }
            from = to + 1;
        }
        jobs.extend(newcomers);
        Ok(jobs)
    }

    fn newcomers(&self, newest: i64) -> Result<Vec<Job>, StoreError> {
        let statement = &self.open.catalog.statements.newcomers;
        self.rows("reading newcomers", statement, &[&newest, &MOST_NEWCOMERS])
    }

    /// The newest key, and of the newest rows those that run, and those that started within the window before the youngest.
    fn history(&self, window: Duration) -> Result<(Option<i64>, Vec<Job>), StoreError> {
        let statement = &self.open.catalog.statements.history;
        let mut rows = self.rows("reading the newest rows", statement, &[&HISTORY])?;
        let newest = rows.iter().filter_map(|job| job.id.number()).max();
        let youngest = rows.iter().filter_map(|job| job.started_at.at()).max();
        let oldest = youngest.map(|at| at.minus(window));
        let states = &self.settings.mapping.states;
        rows.retain(|job| {
            states.kind_of(job.state.as_deref()) == StateKind::Running
                || job.started_at.at().is_some_and(|at| Some(at) >= oldest)
        });
        Ok((newest, rows))
    }

    fn page(&self, keys: &RangeInclusive<i64>) -> Result<Answer, StoreError> {
        let what = "reading a page of a full look";
        let (statements, states) = (&self.open.catalog.statements, &self.settings.mapping.states);
        let below = self.one(what, &statements.below, &[keys.start()])?;
        let (running, all) = (json(&states.running), json(&states.all()));
        let rows = self.rows(what, &statements.page, &[keys.start(), keys.end(), &running, &all])?;
        Ok(Answer::Page(Page {
            rows: rows.into(),
            below,
            cost: None,
        }))
    }

    fn facts(&self) -> Result<Facts, StoreError> {
        let Bearer { is_ledger, unfit } = ledger::bearer(self.open, self.settings)?;
        Ok(Facts {
            obstacles: obstacles(self.open, self.settings, unfit),
            guard: guard::guard(self.open, self.settings)?,
            ledger_readable: is_ledger,
            ledger_exists: is_ledger,
        })
    }

    fn one<T: rusqlite::types::FromSql>(
        &self,
        what: &'static str,
        sql: &str,
        params: &[&dyn ToSql],
    ) -> Result<T, StoreError> {
        let statement = self.open.connection.prepare_cached(sql);
        let value = statement.and_then(|mut statement| statement.query_row(params, |row| row.get(0)));
        value.map_err(self.open.failed(what))
    }

    fn rows(&self, what: &'static str, sql: &str, params: &[&dyn ToSql]) -> Result<Vec<Job>, StoreError> {
        Ok(read(self.open, what, sql, params)?.1)
    }
}

/// Runs a statement that returns the canonical columns after the time.
fn read(
    open: &Open,
    what: &'static str,
    sql: &str,
    params: &[&dyn ToSql],
) -> Result<(Option<Timestamp>, Vec<Job>), StoreError> {
    let run = || {
        let mut statement = open.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let (mut now, mut jobs, mut strings) = (None, Vec::new(), Strings::default());
        while let Some(row) = rows.next()? {
            if let ValueRef::Integer(millis) = row.get_ref(0)? {
                now = Some(Timestamp::from_micros(millis.saturating_mul(1_000)));
            }
            jobs.extend(job(row, &open.times, &mut strings)?);
        }
        Ok((now, jobs))
    };
    run().map_err(open.failed(what))
}

/// Texts as a JSON array.
fn json<T: AsRef<str>>(texts: &[T]) -> String {
    let texts = texts.iter().map(|text| text.as_ref());
    serde_json::Value::from_iter(texts).to_string()
}

/// What keeps this watch from repairing at all; the first one counts.
fn obstacles(open: &Open, settings: &SqliteSettings, unfit: Option<String>) -> Vec<Obstacle> {
    let path = open.path.display();
    let mut obstacles: Vec<Obstacle> = open.catalog.obstacle.iter().cloned().collect();
    let mut add = |cause, reason| obstacles.push(Obstacle { cause, reason });
    match &open.only_read {
        Some(Reason::NotOwner(reason)) => add(Cause::Rights, reason.clone()),
        Some(Reason::ReadOnly(reason)) => add(Cause::ReadOnly, reason.clone()),
        None => {}
    }
    if place::is_on_network(&open.path) {
        let reason = format!("{path} lies on a network file system, whose locks can't be trusted: run beside the file");
        add(Cause::NetworkFs, reason);
    }
    if let Some(reason) = unfit.filter(|_| settings.action != Action::Observe) {
        add(Cause::NoLedger, reason);
    }
    obstacles
}
