//! How running jobs are found: the way that is chosen from the planner's answer, and the tail of the key.

use super::{
    PostgresSettings, Ready, Way,
    catalog::Catalog,
    facts::Present,
    failures::refusal,
    link::{Link, Param},
    observe::ROOM,
    render::Statements,
    transaction::begin,
    view::View,
};
use crate::{
    domain::{Access, Discovery, Job, JobId, Look},
    store::{
        DiscoverySetting, ObserveRequest, StoreError, TimeBudget,
        reading::{HISTORY, MOST_NEWCOMERS, MOST_RUNNING, MOST_UNKNOWN, is_news, within_room},
        tail::{FIRST_OVERLAP, Tail},
    },
};
use std::{ops::RangeInclusive, sync::PoisonError, time::Instant};
use tokio_postgres::{Row, types::Type};

/// A scan that the planner takes for dearer than this is left for the key tail: some ten thousand rows. Below it a scan
/// costs nothing, and sees rows that return to a running state at once.
const DEAR: f64 = 1_000.0;

/// How the running rows will be found: asked of the planner.
pub(super) async fn way(
    link: &Link,
    catalog: &Catalog,
    statements: &Statements,
    settings: &PostgresSettings,
) -> Result<Way, StoreError> {
    let explain = format!("EXPLAIN (FORMAT JSON) {}", statements.running);
    let states = &settings.mapping.states.running;
    // Planning locks the table, so it waits for whoever holds it; a server that is told how long, says why it gave up.
    let (client, begin) = (link.client(), begin(settings.poll_timeout));
    let answers = async {
        let (begun, rows, ended) = tokio::join!(
            biased;
            client.batch_execute(&begin),
            link.ask(
                &explain,
                vec![
                    (&settings.mapping.time_zone, Type::TEXT),
                    (states, Type::TEXT_ARRAY),
                    (&MOST_RUNNING, Type::INT8),
                ],
            ),
            client.batch_execute("COMMIT"),
        );
        begun?;
        if rows.is_ok() {
            ended?;
        }
        Ok(rows)
    };
    const WHAT: &str = "asking for the plan of the poll";
    // An engine that explains in another way, or not at all: the plan is an advice, and the rows are what counts.
    let rows = match link.within(WHAT, answers).await? {
        Ok(rows) => rows,
        Err(error) => refusal(WHAT, error).map(|_| Vec::new())?,
    };
    let plan: Option<serde_json::Value> = rows.first().map(|row| row.get(0));
    let plan = plan.unwrap_or_default();
    let access = if plan.to_string().contains("Seq Scan") {
        Access::Scan
    } else {
        Access::Index
    };
    let cost = plan[0]["Plan"]["Total Cost"].as_f64().unwrap_or_default();
    let is_dear = cost > DEAR;
    let by_key = match settings.discovery {
        DiscoverySetting::State => false,
        DiscoverySetting::KeyTail => true,
        DiscoverySetting::Auto => access == Access::Scan && is_dear,
    };
    let discovery = if by_key && catalog.grows {
        Discovery::KeyTail
    } else {
        Discovery::State
    };
    Ok(Way {
        discovery,
        access,
        is_dear,
    })
}

pub(super) async fn choose_again(link: &Link, ready: &Ready, settings: &PostgresSettings) -> Result<Way, StoreError> {
    let chosen = way(link, &ready.catalog, &ready.statements, settings).await?;
    *ready.way.lock().unwrap_or_else(PoisonError::into_inner) = chosen;
    Ok(chosen)
}

/// The tail of the key, and the server that it was seen on.
#[derive(Clone, Debug)]
pub(super) struct Tailed {
    tail: Tail,
    server: String,
    /// Whether it was begun by this look.
    is_new: bool,
    /// Whether the history is still to be read.
    lacks_history: bool,
}

/// Where a tail begins: the newest keys, and the newest rows.
pub(super) struct Newest {
    keys: Vec<Row>,
    rows: Vec<Job>,
    has_history: bool,
}

impl View<'_> {
    /// The known rows and the newcomers by their keys: one range where known keys lie close, one by one the rest.
    pub(super) async fn known_and_new(
        &self,
        request: &ObserveRequest,
        tailed: &Tailed,
    ) -> Result<Vec<Job>, tokio_postgres::Error> {
        let tail = &tailed.tail;
        let known: Vec<i64> = request.known.iter().filter_map(JobId::number).collect();
        let from = tail.dense_from(&known);
        let alone = known.partition_point(|key| *key < from);
        let is_alone = |key: &i64| *key < from;
        let keys: Vec<String> = known[..alone]
            .iter()
            .copied()
            .chain(tail.gaps().filter(is_alone))
            .map(|key| key.to_string())
            .collect();
        let gaps: Vec<String> = tail
            .gaps()
            .filter(|key| !is_alone(key))
            .map(|key| key.to_string())
            .collect();
        let range = self.range(from, tail.newest(), &gaps, known.len() - alone);
        let (range, alone) = tokio::join!(biased; range, self.known(&keys));
        let (range, mut alone) = (range?, alone?);
        // In the order of the keys, so that nothing has to be sorted; but for gaps that were filled.
        if alone.is_empty() {
            return Ok(range);
        }
        alone.extend(range);
        Ok(alone)
    }

    /// The known rows from a key on, and the newcomers from the newest key seen on.
    async fn range(
        &self,
        from: i64,
        newest: i64,
        gaps: &[String],
        known: usize,
    ) -> Result<Vec<Job>, tokio_postgres::Error> {
        let mapping = &self.settings.mapping;
        let (from, newest) = (from.to_string(), newest.to_string());
        // The newcomers come last, and are cut first; a known job that is cut is looked up by its key.
        let most = i64::try_from(known + gaps.len())
            .unwrap_or(i64::MAX)
            .saturating_add(MOST_NEWCOMERS)
            .min(MOST_RUNNING);
        let params: Vec<Param<'_>> = vec![
            (&mapping.time_zone, Type::TEXT),
            (&from, Type::TEXT),
            (&newest, Type::TEXT),
            (&mapping.states.running, Type::TEXT_ARRAY),
            (&gaps, Type::TEXT_ARRAY),
            (&most, Type::INT8),
        ];
        self.jobs(&self.ready.statements.tail, params, known + ROOM).await
    }

    /// The rows from the newest key seen on, that one included: if it is missing, the table may have been emptied.
    pub(super) async fn newcomers(&self, tailed: &Tailed) -> Result<Vec<Job>, tokio_postgres::Error> {
        let key = tailed.tail.newest().to_string();
        let zone = &self.settings.mapping.time_zone;
        let params: Vec<Param<'_>> = vec![(zone, Type::TEXT), (&key, Type::TEXT), (&MOST_NEWCOMERS, Type::INT8)];
        self.jobs(&self.ready.statements.newcomers, params, 1).await
    }

    /// The tail after this look, with what was read of it; where there was none, or one of another table than this is by
    /// now, it begins anew with the newest rows.
    pub(super) async fn follow(
        &self,
        (tailed, newest): (Option<Tailed>, Option<Newest>),
        present: &Present,
        request: &ObserveRequest,
        rows: &mut Vec<Job>,
    ) -> Result<Tailed, StoreError> {
        let now = Instant::now();
        let mut tailed = match tailed {
            Some(tailed) if tailed.server == present.server && !self.fell_back(&tailed.tail, rows).await? => tailed,
            _ => {
                let newest = match newest {
                    Some(newest) => newest,
                    None => {
                        let answers = self.newest(request, Discovery::KeyTail);
                        self.within("reading the newest rows", answers).await?
                    }
                };
                return Ok(self.begin_tail(newest, present, rows, now));
            }
        };
        if std::mem::replace(&mut tailed.lacks_history, false) {
            let history = self.history(request);
            rows.append(&mut self.within("reading the newest rows", history).await?);
        }
        let newest = tailed.tail.newest();
        let mapping = &self.settings.mapping;
        let is_no_news = |job: &Job| job.id.number() == Some(newest) && !is_news(job, mapping, &request.known);
        if let Some(place) = rows.iter().position(is_no_news) {
            rows.swap_remove(place);
        }
        let newcomers = rows
            .iter()
            .filter_map(|job| job.id.number())
            .filter(|key| *key > newest);
        let newcomers = newcomers.collect();
        tailed
            .tail
            .take(newcomers, rows.iter().filter_map(|job| job.id.number()), now);
        Ok(tailed)
    }

    /// The newest keys, and the newest rows. Where the running ones are found by their state, whoever waits for a first pass
    /// does without the history: the next one reads it.
    pub(super) async fn newest(
        &self,
        request: &ObserveRequest,
        discovery: Discovery,
    ) -> Result<Newest, tokio_postgres::Error> {
        let has_history = discovery == Discovery::KeyTail || request.budget == TimeBudget::Unlimited;
        let keys = self
            .link
            .ask(&self.ready.statements.keys, vec![(&FIRST_OVERLAP, Type::INT8)]);
        let history = async {
            match has_history {
                true => self.history(request).await,
                false => Ok(Vec::new()),
            }
        };
        let (keys, rows) = tokio::join!(biased; keys, history);
        Ok(Newest {
            keys: keys?,
            rows: rows?,
            has_history,
        })
    }

    /// Of the newest rows those that run, and those that the success ratio counts.
    async fn history(&self, request: &ObserveRequest) -> Result<Vec<Job>, tokio_postgres::Error> {
        let mapping = &self.settings.mapping;
        let window = request.window.as_secs_f64();
        let params: Vec<Param<'_>> = vec![
            (&mapping.time_zone, Type::TEXT),
            (&HISTORY, Type::INT8),
            (&mapping.states.running, Type::TEXT_ARRAY),
            (&window, Type::FLOAT8),
        ];
        self.jobs(&self.ready.statements.history, params, 0).await
    }

    /// A tail from the newest keys on, and the newest rows.
    fn begin_tail(&self, mut newest: Newest, present: &Present, rows: &mut Vec<Job>, now: Instant) -> Tailed {
        rows.append(&mut newest.rows);
        let keys = newest
            .keys
            .iter()
            .filter_map(|row| row.get::<_, &str>("id").parse().ok());
        let mut tail = Tail::begin(keys.collect(), self.ready.catalog.id.lowest(), now);
        tail.begin_full_look();
        Tailed {
            tail,
            server: present.server.clone(),
            is_new: true,
            lacks_history: !newest.has_history,
        }
    }

    /// Whether the table was emptied or restored below what the tail has seen.
    async fn fell_back(&self, tail: &Tail, rows: &[Job]) -> Result<bool, StoreError> {
        let newest = tail.newest();
        let is_there = rows.iter().any(|job| job.id.number() == Some(newest));
        // A table that is still empty has not fallen.
        if is_there || newest <= self.ready.catalog.id.lowest() {
            return Ok(false);
        }
        let answer = self.link.ask(&self.ready.statements.top, vec![]);
        let rows = self.link.within("reading the greatest key", answer).await?;
        let top: Option<&str> = rows.first().and_then(|row| row.get("top"));
        Ok(tail.fell_back(top.and_then(|top| top.parse().ok())))
    }

    /// The next pages of the full look in progress, if there is one; true if the last was among them.
    pub(super) async fn page(
        &self,
        tailed: &mut Tailed,
        request: &ObserveRequest,
        rows: &mut Vec<Job>,
    ) -> Result<bool, StoreError> {
        let is_new = std::mem::replace(&mut tailed.is_new, false);
        let tail = &mut tailed.tail;
        if request.look == Look::Full {
            tail.begin_full_look();
        }
        // Whoever waits for a first pass gets the newest rows at once.
        if is_new && request.budget != TimeBudget::Unlimited {
            return Ok(false);
        }
        let began = Instant::now();
        let mut room = usize::try_from(MOST_UNKNOWN).unwrap_or_default();
        while let Some(keys) = tail.next_page() {
            let asked = Instant::now();
            let (found, below) = self.one_page(keys).await?;
            let budget = request.budget.a_page();
            let took = asked.elapsed();
            let is_complete = tail.page_read(below, took, budget);
            rows.extend(within_room(found, &self.settings.mapping, &mut room));
            if is_complete {
                return Ok(true);
            }
            if request.budget.is_spent(began.elapsed(), took) {
                break;
            }
        }
        Ok(false)
    }

    async fn one_page(&self, keys: RangeInclusive<i64>) -> Result<(Vec<Job>, Option<i64>), StoreError> {
        let mapping = &self.settings.mapping;
        let lowest = self.ready.catalog.id.lowest();
        let (from, to) = ((*keys.start()).max(lowest).to_string(), keys.end().to_string());
        let (running, all) = (&mapping.states.running, mapping.states.all());
        let link = self.link;
        let answers = async {
            let (rows, below) = tokio::join!(
                biased;
                self.jobs(
                    &self.ready.statements.page,
                    vec![
                        (&mapping.time_zone, Type::TEXT),
                        (&from, Type::TEXT),
                        (&to, Type::TEXT),
                        (running, Type::TEXT_ARRAY),
                        (&all, Type::TEXT_ARRAY),
                    ],
                    0,
                ),
                link.ask(&self.ready.statements.below, vec![(&from, Type::TEXT)]),
            );
            Ok((rows?, below?))
        };
        let (rows, below) = self.within("reading a page of a full look", answers).await?;
        let below: Option<&str> = below.first().and_then(|row| row.get("below"));
        Ok((rows, below.and_then(|below| below.parse().ok())))
    }
}
