//! Answers rounds of questions: each one round trip, all rounds of a pass in one read-only snapshot.

use super::{
    driver::Driver,
    facts::{Asked, facts_of},
    failures::refusal,
    param::Param,
    ranged,
    row::{self, BoundTime},
    transaction::{begin, look_alone},
};
use crate::{
    domain::{Access, Job, JobId, RepairId, ServerIdentity, TimeValue, Timestamp},
    store::{
        StoreError,
        question::{
            AccessPlan, Answer, Frame, LedgerMark, LongestRun, Moment, Page, Question, Round, Rows, Span, Transactions,
        },
        reading::{
            FIRST_OVERLAP, HISTORY, MOST_NEWCOMERS, MOST_RUNNING, MOST_UNKNOWN, SHOWN_REPAIRS, Strings, UNACKNOWLEDGED,
            UNKNOWN_WITHIN, WATCHED_REPAIRS,
        },
    },
};
use futures_util::future::{OptionFuture, join_all};
use std::{ops::RangeInclusive, time::Duration};
use tokio_postgres::{Error, Row};

/// A scan that the planner estimates as more expensive than this is left for the key tail: some ten thousand rows. Below
/// it a scan costs nothing, and sees rows that return to a running state at once.
const EXPENSIVE: f64 = 1_000.0;
/// Room for jobs that were not known before, beside those that were.
const ROOM: usize = 64;

/// An answer, unless the database gave none, or one that says that the table can't be watched as it is.
type Answered = Result<Result<Answer, StoreError>, Error>;

impl Driver<'_> {
    pub(super) async fn ask(&self, round: &Round) -> Result<Vec<Answer>, StoreError> {
        if round.frame == Frame::Apart {
            let mut answers = Vec::with_capacity(round.questions.len());
            for question in &round.questions {
                answers.push(self.answer_apart(question).await?);
            }
            return Ok(answers);
        }
        let client = self.link.client();
        let begun = async {
            if round.frame == Frame::First {
                self.begin();
                client.batch_execute(&begin(self.settings.poll_timeout)).await?;
            }
            Ok(())
        };
        let ended = async {
            if round.frame == Frame::Last {
                client.batch_execute("COMMIT").await?;
            }
            Ok(())
        };
        // Each is sent when it is polled first, so all of them travel together, in this order.
        let answers = async {
            let answers = join_all(round.questions.iter().map(|question| self.answer(question)));
            let (begun, answers, ended): (Result<(), Error>, Vec<Answered>, Result<(), Error>) =
                tokio::join!(biased; begun, answers, ended);
            begun?;
            // A COMMIT of a transaction that failed is no error of its own.
            let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
            ended?;
            Ok(answers)
        };
        self.within(round.what(), answers).await?.into_iter().collect()
    }

    /// Answers a question outside of the snapshot of the pass.
    async fn answer_apart(&self, question: &Question) -> Result<Answer, StoreError> {
        match question {
            Question::AccessPlan => Ok(Answer::AccessPlan(self.access_plan().await?)),
            Question::Unknown => Ok(Answer::Unknown(self.unknown().await?)),
            Question::LongestRun => Ok(Answer::LongestRun(self.longest_run().await?)),
            other => self.within(other.what(), self.answer(other)).await?,
        }
    }

    /// Answers a question; sends its statements when it is polled first.
    async fn answer(&self, question: &Question) -> Answered {
        let (link, statements) = (self.link, &self.ready.statements);
        let (mapping, tables) = (&self.settings.mapping, &self.ready.catalog.spellings);
        let (zone, running): (Param<'_>, Param<'_>) = (&mapping.time_zone, &mapping.states.running);
        Ok(Ok(match question {
            Question::AccessPlan | Question::Unknown | Question::LongestRun => {
                unreachable!("asked outside of the snapshot")
            }
            Question::Moment => {
                let asked = Asked::of(self.ready, self.settings);
                let rows = link.ask_kept(&statements.moment, asked.names()).await?;
                return Ok(moment(&rows).map(Answer::Moment));
            }
            Question::Running { timed } => {
                let (rows, took) = self.running(*timed).await?;
                Answer::Running(rows, took)
            }
            Question::Tail(span) => Answer::Tail(self.tail(span).await?),
            Question::Newcomers { newest } => {
                let newest = newest.to_string();
                let params: Vec<Param<'_>> = vec![zone, &newest, &MOST_NEWCOMERS];
                Answer::Tail(self.jobs(&statements.newcomers, params, 1).await?)
            }
            Question::Newest { window } => {
                let history = OptionFuture::from(window.map(|window| self.history(window)));
                let keys = link.ask_kept(&statements.keys, vec![&FIRST_OVERLAP]);
                let (keys, rows) = tokio::join!(biased; keys, history);
                let keys = keys?;
                let keys = keys.iter().filter_map(|row| row.get::<_, &str>("id").parse().ok());
                Answer::Newest(keys.collect(), rows.transpose()?)
            }
            Question::History { window } => Answer::Rows(self.history(*window).await?),
            Question::Top => Answer::Top(key(&link.ask_kept(&statements.top, vec![]).await?, "top")),
            Question::Page(keys) => Answer::Page(self.page(keys).await?),
            Question::Keyless => {
                let rows = link.ask_kept(&statements.keyless, vec![running]).await?;
                let count = rows.first().map_or(0, |row| row.get::<_, i64>("keyless"));
                Answer::Keyless(u64::try_from(count).unwrap_or_default())
            }
            Question::Known(jobs) => {
                let keys = texts(jobs);
                Answer::Rows(self.jobs(&statements.known, vec![zone, &keys], keys.len()).await?)
            }
            Question::Facts => {
                let asked = Asked::of(self.ready, self.settings);
                let rows = link.ask_kept(&statements.facts, asked.params()).await?;
                return Ok(facts_of(&rows, self.ready, self.settings).map(Answer::Facts));
            }
            Question::LedgerProbe { since } => {
                let since = BoundTime(Some(*since));
                let rows = link
                    .ask_kept(&statements.ledger_probe, vec![tables, &since, &WATCHED_REPAIRS])
                    .await?;
                Answer::LedgerProbe(rows.first().map(mark).unwrap_or_default())
            }
            Question::LedgerOfJobs(jobs) => {
                let keys = texts(jobs);
                let entries = self.entries(&statements.ledger_of_jobs, vec![tables, &keys]).await?;
                Answer::LedgerOfJobs(entries.0)
            }
            Question::LedgerNewest => {
                let params: Vec<Param<'_>> = vec![tables, &SHOWN_REPAIRS, &WATCHED_REPAIRS, &UNACKNOWLEDGED];
                let (entries, rows) = self.entries(&statements.ledger_newest, params).await?;
                Answer::LedgerNewest(entries, rows)
            }
        }))
    }

    /// How the running rows would be found by their state: asked of the planner.
    async fn access_plan(&self) -> Result<AccessPlan, StoreError> {
        let what = Question::AccessPlan.what();
        let explain = format!("EXPLAIN (FORMAT JSON) {}", self.ready.statements.running);
        // Planning locks the table, so it waits for the session that holds it; a server that knows how long, says why
        // it gave up.
        let answer = look_alone(self.link, self.settings.poll_timeout, &explain, self.of_running());
        let answer = async { Ok(answer.await) };
        // An engine that explains in another way, or not at all: the plan is an advice, and the rows are what counts.
        let rows = match self.link.within(what, answer).await? {
            Ok(rows) => rows,
            Err(error) => refusal(what, error).map(|_| Vec::new())?,
        };
        let plan: Option<serde_json::Value> = rows.first().map(|row| row.get(0));
        let plan = plan.unwrap_or_default();
        Ok(AccessPlan {
            access: if scans(&plan[0]["Plan"]) {
                Access::Scan
            } else {
                Access::Index
            },
            is_expensive: plan[0]["Plan"]["Total Cost"].as_f64().unwrap_or_default() > EXPENSIVE,
        })
    }

    /// Rows in states that no list names; nothing where that took too long: it serves a count, and may not cost a pass.
    async fn unknown(&self) -> Result<Option<Vec<Job>>, StoreError> {
        let mapping = &self.settings.mapping;
        let states: Vec<&str> = mapping.states.all();
        let params: Vec<Param<'_>> = vec![&mapping.time_zone, &states, &MOST_UNKNOWN];
        let rows = self.if_quick(&Question::Unknown, &self.ready.statements.unknown, params);
        let (mut strings, keeps_utc) = (Strings::default(), self.ready.catalog.all_keep_utc());
        Ok(rows.await?.map(|rows| {
            let jobs = rows.iter().filter_map(|row| row::job(row, keeps_utc, &mut strings));
            jobs.collect()
        }))
    }

    /// How long the longest of the newest good runs took.
    async fn longest_run(&self) -> Result<LongestRun, StoreError> {
        let mapping = &self.settings.mapping;
        let params: Vec<Param<'_>> = vec![&mapping.time_zone, &HISTORY, &mapping.states.success];
        let rows = self.if_quick(&Question::LongestRun, &self.ready.statements.longest_run, params);
        let Some(rows) = rows.await? else {
            return Ok(LongestRun::Unknown);
        };
        let seconds: Option<f64> = rows.first().and_then(|row| row.get("seconds"));
        Ok(seconds.map_or(LongestRun::NoneGood, |seconds| {
            LongestRun::Took(Duration::try_from_secs_f64(seconds).unwrap_or_default())
        }))
    }

    /// The answer to a question that is not worth a pass; nothing where it took too long.
    async fn if_quick(
        &self,
        question: &Question,
        statement: &str,
        params: Vec<Param<'_>>,
    ) -> Result<Option<Vec<Row>>, StoreError> {
        let within = UNKNOWN_WITHIN.min(self.settings.poll_timeout / 2);
        let answer = look_alone(self.link, within, statement, params);
        match self.link.within_for(within * 2, question.what(), answer).await {
            Ok(rows) => Ok(Some(rows)),
            // The server gave up, and said so: the connection is as good as before.
            Err(StoreError::Query { .. } | StoreError::Locked { .. }) => {
                tracing::debug!(
                    watch = self.settings.mapping.watch,
                    "{} took too long this time",
                    question.what()
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn of_running(&self) -> Vec<Param<'_>> {
        let mapping = &self.settings.mapping;
        vec![&mapping.time_zone, &mapping.states.running, &MOST_RUNNING]
    }

    /// The running rows by their state, and what the scan for them cost the server.
    async fn running(&self, is_timed: bool) -> Result<(Rows, Option<Duration>), Error> {
        let running = self.jobs(&self.ready.statements.running, self.of_running(), self.expected + ROOM);
        let (before, rows, after) = tokio::join!(biased; self.scan_mark(is_timed), running, self.scan_mark(is_timed));
        Ok((rows?, between(before?, after?)))
    }

    /// The server's clock, where what comes next or came before is read whole and its cost matters.
    async fn scan_mark(&self, is_timed: bool) -> Result<Option<Timestamp>, Error> {
        if !is_timed {
            return Ok(None);
        }
        let rows = self.link.ask_kept(&self.ready.statements.scan_mark, vec![]).await?;
        Ok(rows.first().and_then(|row| row::timestamp(row, "at")))
    }

    async fn tail(&self, span: &Span) -> Result<Rows, Error> {
        let mapping = &self.settings.mapping;
        let (zone, running) = (&mapping.time_zone, &mapping.states.running);
        let (from, newest) = (span.from.to_string(), span.newest.to_string());
        let gaps: Vec<String> = span.gaps.iter().map(i64::to_string).collect();
        let params: Vec<Param<'_>> = vec![zone, &from, &newest, running, &gaps, &span.most];
        let expected = span.known + ROOM;
        let Some(ranged) = self.ready.statements.ranged.as_ref().filter(|_| span.is_dense) else {
            return self.jobs(&self.ready.statements.tail, params, expected).await;
        };
        let parts = ranged::parts(span.from..=span.newest);
        let heartbeats = parts.map(|part| self.heartbeats(&ranged.heartbeats, part));
        let (rows, heartbeats) = tokio::join!(
            biased;
            self.jobs(&ranged.tail, params, expected),
            join_all(heartbeats),
        );
        let mut rows = rows?;
        let heartbeats = heartbeats.into_iter().collect::<Result<Vec<_>, _>>()?;
        ranged::put_together(&mut rows.jobs, heartbeats.concat());
        Ok(rows)
    }

    /// The newest heartbeats in another table of a range of keys.
    async fn heartbeats(&self, statement: &str, keys: RangeInclusive<i64>) -> Result<Vec<(i64, TimeValue)>, Error> {
        let (from, to) = (keys.start().to_string(), keys.end().to_string());
        let params: Vec<Param<'_>> = vec![&self.settings.mapping.time_zone, &from, &to];
        let rows = self.link.ask_kept(statement, params).await?;
        let keeps_utc = self.ready.catalog.all_keep_utc();
        Ok(rows
            .first()
            .map_or_else(Vec::new, |row| row::heartbeats(row, keeps_utc)))
    }

    async fn history(&self, window: Duration) -> Result<Rows, Error> {
        let mapping = &self.settings.mapping;
        let window = window.as_secs_f64();
        let params: Vec<Param<'_>> = vec![&mapping.time_zone, &HISTORY, &mapping.states.running, &window];
        self.jobs(&self.ready.statements.history, params, 0).await
    }

    async fn page(&self, keys: &RangeInclusive<i64>) -> Result<Page, Error> {
        let mapping = &self.settings.mapping;
        let (from, to) = (keys.start().to_string(), keys.end().to_string());
        let all = mapping.states.all();
        let params: Vec<Param<'_>> = vec![&mapping.time_zone, &from, &to, &mapping.states.running, &all];
        let statements = &self.ready.statements;
        let (before, rows, below, after) = tokio::join!(
            biased;
            self.scan_mark(true),
            self.jobs(&statements.page, params, 0),
            self.link.ask_kept(&statements.below, vec![&from]),
            self.scan_mark(true),
        );
        Ok(Page {
            rows: rows?,
            below: key(&below?, "below"),
            cost: between(before?, after?),
        })
    }
}

/// What was done between two marks cost the server.
fn between(before: Option<Timestamp>, after: Option<Timestamp>) -> Option<Duration> {
    Some(before?.age_at(after?))
}

/// Keys as texts: the type that every key can be bound as.
fn texts(jobs: &[JobId]) -> Vec<String> {
    jobs.iter().map(JobId::to_string).collect()
}

/// The key in an answer of one row, where there is one.
fn key(rows: &[Row], column: &str) -> Option<i64> {
    let key: Option<&str> = rows.first().and_then(|row| row.get(column));
    key.and_then(|key| key.parse().ok())
}

fn mark(row: &Row) -> LedgerMark {
    let count = |column| row.get::<_, i64>(column).unsigned_abs();
    let ids: Vec<uuid::Uuid> = row.get("false_repairs");
    let mut false_repairs: Vec<_> = ids.into_iter().map(|id| RepairId(id.as_u128())).collect();
    false_repairs.sort_unstable();
    LedgerMark {
        newer: count("newer"),
        false_repairs,
        late_heartbeats: count("late_heartbeats"),
    }
}

fn moment(rows: &[Row]) -> Result<Moment, StoreError> {
    let no_time = || StoreError::Schema("the server has no time".to_owned());
    let row = rows.first().ok_or_else(no_time)?;
    Ok(Moment {
        now: row::timestamp(row, "now").ok_or_else(no_time)?,
        server: ServerIdentity(row.get("server")),
        server_started_at: row::timestamp(row, "server_started_at"),
        version: row.get("version"),
        transactions: row.get::<_, Option<&str>>("transactions").and_then(Transactions::parse),
    })
}

/// Whether a node of a plan, or one below it, reads a table whole. What is asked for each row that was found, a time in another
/// table, stands in a subplan: a table of a few rows is read whole there, and an index of the job table is used all the same.
fn scans(node: &serde_json::Value) -> bool {
    let nodes = node["Plans"].as_array().map_or(&[][..], Vec::as_slice);
    let mut below = nodes.iter().filter(|node| node["Parent Relationship"] != "SubPlan");
    node["Node Type"] == "Seq Scan" || below.any(scans)
}
