//! One look at the table: facts, running jobs, what became of the known ones, newcomers, ledger. One read-only snapshot.

use super::{
    PostgresSettings, Ready,
    discovery::choose_again,
    guard::{TRIGGER, guard_of},
    link::{Link, Param},
    obstacles, row,
};
use crate::{
    domain::{
        Access, Action, Discovery, Guard, Job, JobId, LedgerEntry, Look, Newcomers, Obstacle, ServerIdentity, Snapshot,
        Timestamp,
    },
    store::{
        Inquiry, StoreError,
        reading::{
            LEDGER_COLUMNS, MOST_RUNNING, MOST_UNKNOWN, Merged, SHOWN_REPAIRS, UNACKNOWLEDGED, UNKNOWN_WITHIN,
            WATCHED_REPAIRS, needs_precedents, newer_layout, too_many,
        },
        tail::Tail,
    },
};
use std::{
    collections::HashSet,
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio_postgres::{Row, types::Type};

/// What the catalog says in every pass.
struct Facts {
    now: Timestamp,
    server: String,
    server_started_at: Option<Timestamp>,
    obstacles: Vec<Obstacle>,
    guard: Guard,
    ledger_readable: bool,
}

/// Looks once.
pub(super) async fn observe(
    link: &Link,
    ready: &Ready,
    settings: &PostgresSettings,
    inquiry: &Inquiry,
    tail: &mut Option<(Tail, String)>,
) -> Result<Snapshot, StoreError> {
    let way = match inquiry.look {
        // A table grows, and gets an index: the way is chosen anew.
        Look::Full => choose_again(link, ready, settings).await?,
        Look::Ordinary => *ready.way.lock().unwrap_or_else(PoisonError::into_inner),
    };
    let tailing = way.discovery == Discovery::KeyTail;
    let unknown = match inquiry.look {
        Look::Full if !tailing => unknown_states(link, ready, settings).await?,
        Look::Full | Look::Ordinary => None,
    };
    let view = View { link, ready, settings };
    // Once the tail is known, the running rows are found by their keys.
    let (facts, running) = view.open(tailing && tail.is_some()).await?;
    let mut look = if unknown.is_some() { Look::Full } else { Look::Ordinary };
    let mut followed = tail
        .take()
        .filter(|(_, seen_on)| *seen_on == facts.server)
        .map(|(tail, _)| tail);
    if running.is_none() && followed.is_some() && view.fell_back(followed.as_ref()).await? {
        followed = None;
    }
    let running = match running {
        Some(running) => running,
        None if followed.is_some() => Vec::new(),
        // Another server, or a table that was emptied or restored: what the tail knew is of no use.
        None => view.running().await?,
    };
    let seen: HashSet<&JobId> = running.iter().map(|job| &job.id).collect();
    let gaps: Vec<String> = match &followed {
        Some(tail) if tailing => tail.gaps().map(|key| key.to_string()).collect(),
        _ => Vec::new(),
    };
    let missing: Vec<&str> = inquiry
        .known
        .iter()
        .filter(|id| !seen.contains(id))
        .map(JobId::as_str)
        .chain(gaps.iter().map(String::as_str))
        .collect();
    let found = view.known(&missing).await?;
    let mut rows = Merged::default();
    rows.take(unknown.unwrap_or_default());
    if ready.catalog.grows {
        let (newcomers, mut after) = view.newcomers(followed, &found).await?;
        rows.take(newcomers);
        if tailing {
            if inquiry.look == Look::Full {
                after.begin_full_look(ready.catalog.id.lowest());
            }
            let (page, is_complete) = view.page(&mut after).await?;
            rows.take(page);
            look = if is_complete { Look::Full } else { Look::Ordinary };
        }
        *tail = Some((after, facts.server.clone()));
    }
    rows.take(running);
    rows.take(found);
    let rows = rows.into_rows();
    let (precedents, newest_repairs) = view.ledger(&facts, &rows).await?;
    view.close().await?;
    let mut obstacles = facts.obstacles;
    obstacles.extend(newer_layout(&newest_repairs, settings.action));
    Ok(Snapshot {
        database_now: facts.now,
        server: ServerIdentity(facts.server),
        server_started_at: facts.server_started_at,
        rows,
        look,
        discovery: way.discovery,
        access: if tailing { Access::Index } else { way.access },
        newcomers: if ready.catalog.grows {
            Newcomers::Followed
        } else {
            Newcomers::Unseen
        },
        obstacles,
        guard: facts.guard,
        precedents,
        newest_repairs,
    })
}

/// Rows in states that no list names; `None` where that took too long: it serves a count, and may not cost a pass.
async fn unknown_states(
    link: &Link,
    ready: &Ready,
    settings: &PostgresSettings,
) -> Result<Option<Vec<Job>>, StoreError> {
    let states: Vec<&str> = settings.mapping.states.all();
    let within = UNKNOWN_WITHIN.min(settings.poll_timeout / 2);
    let begin = begin(within);
    let zone = &settings.mapping.time_zone;
    let client = link.client();
    let answers = async {
        let (begun, rows, ended) = tokio::join!(
            biased;
            client.batch_execute(&begin),
            link.ask(
                &ready.statements.unknown,
                vec![(zone, Type::TEXT), (&states, Type::TEXT_ARRAY), (&MOST_UNKNOWN, Type::INT8)],
            ),
            client.batch_execute("COMMIT"),
        );
        begun?;
        ended?;
        rows
    };
    match link.within_for(within * 2, "looking for unknown states", answers).await {
        Ok(rows) => Ok(Some(rows.iter().map(row::job).collect())),
        // The server gave up, and said so: the connection is as good as before.
        Err(StoreError::Query { .. } | StoreError::Locked { .. }) => {
            tracing::debug!(
                watch = settings.mapping.watch,
                "no full look this time: it took too long"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Begins a read-only snapshot; every limit ends with it, so a pooler may hand the connection on.
fn begin(statement: Duration) -> String {
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = {}; \
         SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}",
        statement.as_millis(),
        (statement / 2).as_millis().max(1),
        statement.as_millis(),
    )
}

/// Whether the guard is there, and sound. Asks the catalog alone.
pub(super) async fn guard(link: &Link, ready: &Ready, settings: &PostgresSettings) -> Result<Guard, StoreError> {
    let view = View { link, ready, settings };
    let question = Question::of(&view);
    let answer = link.ask(&ready.statements.facts, question.params());
    let rows = link.within("looking for the guard", answer).await?;
    Ok(view.facts(&rows)?.guard)
}

/// What the facts are asked about, kept while the answer is on its way.
struct Question<'a> {
    table: String,
    ledger: String,
    schema: Option<String>,
    columns: Vec<&'a str>,
    written: Vec<&'a str>,
    ledger_columns: &'static [&'static str],
    guard: &'a str,
    state: &'a str,
}

impl<'a> Question<'a> {
    fn of(view: &View<'a>) -> Self {
        let catalog = &view.ready.catalog;
        Self {
            table: catalog.table.quoted(),
            ledger: catalog.ledger.quoted(),
            schema: catalog.ledger.schema.as_ref().map(crate::store::Identifier::quoted),
            columns: view.columns(),
            written: view.written(),
            ledger_columns: &LEDGER_COLUMNS,
            guard: &view.ready.statements.guard.body,
            state: view.settings.mapping.state.as_str(),
        }
    }

    fn params(&self) -> Vec<Param<'_>> {
        vec![
            (&self.table, Type::TEXT),
            (&self.ledger, Type::TEXT),
            (&self.columns, Type::TEXT_ARRAY),
            (&self.written, Type::TEXT_ARRAY),
            (&self.schema, Type::TEXT),
            (&self.ledger_columns, Type::TEXT_ARRAY),
            (&self.guard, Type::TEXT),
            (&self.state, Type::TEXT),
            (&TRIGGER, Type::TEXT),
        ]
    }
}

/// An open read-only snapshot.
pub(super) struct View<'a> {
    pub link: &'a Link,
    pub ready: &'a Ready,
    pub settings: &'a PostgresSettings,
}

impl<'a> View<'a> {
    /// Begins the snapshot, and reads the facts, and the running rows by their state unless they are found by key, in the
    /// same round trip.
    async fn open(&self, by_key: bool) -> Result<(Facts, Option<Vec<Job>>), StoreError> {
        let (link, client) = (self.link, self.link.client());
        let begin = begin(self.settings.poll_timeout);
        let question = Question::of(self);
        let ask_running = async {
            if by_key {
                return Ok(None);
            }
            self.ask_running().await.map(Some)
        };
        let answers = async {
            let (begun, facts, running) = tokio::join!(
                biased;
                client.batch_execute(&begin),
                link.ask(&self.ready.statements.facts, question.params()),
                ask_running,
            );
            begun?;
            Ok((facts?, running?))
        };
        let (facts, running) = self.link.within("reading the running jobs", answers).await?;
        // The facts first: rows of a table that was changed meanwhile can't be read as what the columns were.
        let facts = self.facts(&facts)?;
        let running = running.map(|rows| self.not_too_many(&rows)).transpose()?;
        Ok((facts, running))
    }

    async fn ask_running(&self) -> Result<Vec<Row>, tokio_postgres::Error> {
        let mapping = &self.settings.mapping;
        let states = &mapping.states.running;
        let params: Vec<Param<'_>> = vec![
            (&mapping.time_zone, Type::TEXT),
            (states, Type::TEXT_ARRAY),
            (&MOST_RUNNING, Type::INT8),
        ];
        self.link.ask(&self.ready.statements.running, params).await
    }

    /// The running rows, by their state.
    async fn running(&self) -> Result<Vec<Job>, StoreError> {
        let rows = self.link.within("reading the running jobs", self.ask_running()).await?;
        self.not_too_many(&rows)
    }

    fn not_too_many(&self, rows: &[Row]) -> Result<Vec<Job>, StoreError> {
        if i64::try_from(rows.len()).unwrap_or(i64::MAX) >= MOST_RUNNING {
            return Err(too_many(&self.settings.mapping));
        }
        Ok(rows.iter().map(row::job).collect())
    }

    /// The columns that the statements rest on.
    fn columns(&self) -> Vec<&'a str> {
        let catalog = &self.ready.catalog;
        let mut columns = vec![
            catalog.id.name.as_str(),
            &catalog.state.name,
            &catalog.started_at.0.name,
            &catalog.heartbeat_at.0.name,
        ];
        columns.extend(catalog.ended_at.iter().map(|(column, _)| column.name.as_str()));
        columns.extend(catalog.error.iter().map(|column| column.name.as_str()));
        columns
    }

    /// The columns that the action changes.
    fn written(&self) -> Vec<&'a str> {
        let catalog = &self.ready.catalog;
        match self.settings.action {
            Action::Observe => Vec::new(),
            Action::Backfill => vec![&catalog.heartbeat_at.0.name],
            Action::Fail => {
                let mut columns = vec![catalog.state.name.as_str()];
                columns.extend(catalog.ended_at.iter().map(|(column, _)| column.name.as_str()));
                columns.extend(catalog.error.iter().map(|column| column.name.as_str()));
                columns
            }
        }
    }

    fn facts(&self, rows: &[Row]) -> Result<Facts, StoreError> {
        let catalog = &self.ready.catalog;
        let row = rows.first().ok_or_else(|| StoreError::Schema("no facts".to_owned()))?;
        let shape: Option<String> = row.get("shape");
        catalog.ledger_exists.store(row.get("ledger_exists"), Ordering::Relaxed);
        let known = catalog.shape.get_or_init(|| shape.clone());
        if row.get::<_, Option<u32>>("oid") != Some(catalog.oid) || *known != shape {
            return Err(StoreError::Schema(format!(
                "table `{}` was changed or replaced while it was watched; its columns are read anew",
                self.settings.mapping.table.plain()
            )));
        }
        Ok(Facts {
            now: row::timestamp(row, "now").ok_or_else(|| StoreError::Schema("the server has no time".to_owned()))?,
            server: row.get("server"),
            server_started_at: row::timestamp(row, "server_started_at"),
            obstacles: obstacles::of(row, catalog, self.settings),
            guard: guard_of(row.get("guard")),
            ledger_readable: row.get::<_, bool>("ledger_readable") && row.get::<_, bool>("ledger_ours"),
        })
    }

    /// The rows with the given keys, whatever their state.
    async fn known(&self, keys: &[&str]) -> Result<Vec<Job>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let zone = &self.settings.mapping.time_zone;
        let keys = &keys;
        let rows = self
            .link
            .within(
                "reading known jobs",
                self.link.ask(
                    &self.ready.statements.known,
                    vec![(zone, Type::TEXT), (keys, Type::TEXT_ARRAY)],
                ),
            )
            .await?;
        Ok(rows.iter().map(row::job).collect())
    }

    /// The ledger's entries of the jobs whose judgement may need them, and the newest of all.
    async fn ledger(&self, facts: &Facts, rows: &[Job]) -> Result<(Vec<LedgerEntry>, Vec<LedgerEntry>), StoreError> {
        if !facts.ledger_readable {
            return Ok((Vec::new(), Vec::new()));
        }
        let mapping = &self.settings.mapping;
        let asked: Vec<&str> = rows
            .iter()
            .filter(|job| needs_precedents(job, mapping, self.settings.seed_tolerance))
            .map(|job| job.id.as_str())
            .collect();
        let (watch, asked) = (&mapping.watch, &asked);
        let link = self.link;
        let answers = async {
            let (of_jobs, newest) = tokio::join!(
                biased;
                link.ask(
                    &self.ready.statements.ledger_of_jobs,
                    vec![(watch, Type::TEXT), (asked, Type::TEXT_ARRAY)],
                ),
                link.ask(
                    &self.ready.statements.ledger_newest,
                    vec![
                        (watch, Type::TEXT),
                        (&SHOWN_REPAIRS, Type::INT8),
                        (&WATCHED_REPAIRS, Type::INT8),
                        (&UNACKNOWLEDGED, Type::INT8),
                    ],
                ),
            );
            Ok((of_jobs?, newest?))
        };
        let (of_jobs, newest) = self.link.within("reading the ledger", answers).await?;
        let heartbeat = mapping.last_heartbeat_at.as_str();
        let entries = |rows: Vec<Row>| {
            rows.iter()
                .filter_map(|row| row::ledger_entry(row, heartbeat))
                .collect()
        };
        Ok((entries(of_jobs), entries(newest)))
    }

    /// Ends the snapshot.
    async fn close(&self) -> Result<(), StoreError> {
        self.link
            .within("ending the look", self.link.client().batch_execute("COMMIT"))
            .await
    }
}
