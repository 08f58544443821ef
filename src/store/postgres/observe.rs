//! One look at the table: the running jobs, what became of the known ones, newcomers, facts, ledger. One read-only snapshot,
//! in two round trips where nothing happened.

use super::{
    PostgresSettings, Ready,
    discovery::{Newest, Tailed, choose_again},
    facts::{Facts, Present, Question, facts_of},
    link::{Link, Param},
    row,
    transaction::begin,
    view::View,
};
use crate::{
    domain::{Access, Discovery, Job, JobId, LedgerEntry, Look, Newcomers, ServerIdentity, Snapshot, Timing},
    store::{
        ObserveRequest, StoreError,
        reading::{
            MOST_RUNNING, MOST_UNKNOWN, SHOWN_REPAIRS, Strings, UNACKNOWLEDGED, UNKNOWN_WITHIN, WATCHED_REPAIRS,
            missing, needs_precedents, newer_layout, one_of_each, too_many,
        },
    },
};
use std::{
    sync::{PoisonError, atomic::Ordering},
    time::Instant,
};
use tokio_postgres::{Row, types::Type};

/// Looks once. `asked` is when the question came, before there was a connection for it.
pub(super) async fn observe(
    link: &Link,
    ready: &Ready,
    settings: &PostgresSettings,
    (request, asked): (&ObserveRequest, Instant),
    tail: &mut Option<Tailed>,
) -> Result<Snapshot, StoreError> {
    loop {
        // Nothing where the ledger turns out to have its first entries, since rows and entries have to be of one snapshot. The
        // second look reads them whatever they are.
        if let Some(snapshot) = Box::pin(look(link, ready, settings, (request, asked), tail)).await? {
            return Ok(snapshot);
        }
    }
}

async fn look(
    link: &Link,
    ready: &Ready,
    settings: &PostgresSettings,
    (request, asked): (&ObserveRequest, Instant),
    tail: &mut Option<Tailed>,
) -> Result<Option<Snapshot>, StoreError> {
    let is_fresh = ready.is_fresh.swap(false, Ordering::Relaxed);
    let way = match request.look {
        // A table grows, and gets an index: the way is chosen anew, unless that was done just now.
        Look::Full if !is_fresh => choose_again(link, ready, settings).await?,
        Look::Full | Look::Ordinary => *ready.way.lock().unwrap_or_else(PoisonError::into_inner),
    };
    let follows = ready.catalog.grows;
    let unknown = match request.look {
        Look::Full if !follows => unknown_states(link, ready, settings).await?,
        Look::Full | Look::Ordinary => None,
    };
    let is_scan_timed = way.discovery == Discovery::State && way.access == Access::Scan && way.is_dear;
    let view = View::new(link, ready, settings, is_scan_timed);
    let begun_after = asked.elapsed();
    // A copy: a pass that fails must not have advanced the tail, nor lost it.
    let followed = tail.clone();
    let Opening {
        present,
        facts,
        mut rows,
        newest,
    } = view.open(request, way.discovery, followed.as_ref()).await?;
    let mut look = if unknown.is_some() { Look::Full } else { Look::Ordinary };
    let mut after = None;
    if follows {
        let mut tailed = view.follow((followed, newest), &present, request, &mut rows).await?;
        if view.page(&mut tailed, request, &mut rows).await? {
            look = Look::Full;
        }
        after = Some(tailed);
    }
    view.refuse_shared_keys(&rows)?;
    // Read a moment before: where both have a row, the snapshot's is the newer one.
    rows.extend(unknown.unwrap_or_default());
    let mut rows = one_of_each(rows);
    let keyless = match way.discovery {
        Discovery::State => view.keyless(),
        Discovery::KeyTail => view.keyless() + view.count_keyless(request.look).await?,
    };
    let facts = view.rest(&present, facts, request, &mut rows).await?;
    let Some((precedents, newest_repairs)) = view.ledger(&facts, &rows).await? else {
        return Ok(None);
    };
    *tail = after;
    let mut obstacles = facts.obstacles;
    obstacles.extend(newer_layout(&newest_repairs, settings.action));
    Ok(Some(Snapshot {
        database_now: present.now,
        server: ServerIdentity(present.server),
        server_started_at: present.server_started_at,
        unknowns: ready.server.unknowns(link),
        rows,
        keyless,
        look,
        discovery: way.discovery,
        access: match way.discovery {
            Discovery::KeyTail => Access::Index,
            Discovery::State => way.access,
        },
        newcomers: if follows {
            Newcomers::Followed
        } else {
            Newcomers::Unseen
        },
        obstacles,
        guard: facts.guard.guard,
        precedents,
        newest_repairs,
        timing: Timing {
            begun_after,
            scan: view.scan(),
        },
    }))
}

/// What a pass needs of the ledger: the entries of the jobs whose judgement may need them, and the newest of all.
type Entries = (Vec<LedgerEntry>, Vec<LedgerEntry>);

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
        Ok(rows) => {
            let (mut strings, keeps_utc) = (Strings::default(), settings.mapping.keeps_utc());
            Ok(Some(
                rows.iter()
                    .filter_map(|row| row::job(row, keeps_utc, &mut strings))
                    .collect(),
            ))
        }
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

/// Room for jobs that were not known before, beside those that were.
pub(super) const ROOM: usize = 64;

/// What the first round trip brings.
struct Opening {
    present: Present,
    /// The catalog's facts, where those that were read last are too old.
    facts: Option<Vec<Row>>,
    rows: Vec<Job>,
    /// Where a tail begins, if there is none.
    newest: Option<Newest>,
}

impl View<'_> {
    /// Begins the snapshot, and reads time and server, the running rows, the newcomers, and what is missing after a start in
    /// the same round trip.
    async fn open(
        &self,
        request: &ObserveRequest,
        discovery: Discovery,
        tail: Option<&Tailed>,
    ) -> Result<Opening, StoreError> {
        let (link, client) = (self.link, self.link.client());
        let begin = begin(self.settings.poll_timeout);
        let question = Question::of(self.ready, self.settings);
        let running = async {
            match (discovery, tail) {
                (Discovery::KeyTail, Some(tail)) => self.known_and_new(request, tail).await,
                // The newest rows come next, and the rest page by page.
                (Discovery::KeyTail, None) => Ok(Vec::new()),
                (Discovery::State, tail) => self.running_and_new(request, tail).await,
            }
        };
        let facts = async {
            if !self.ready.needs_facts() {
                return Ok(None);
            }
            let rows = link.ask(&self.ready.statements.facts, question.params()).await?;
            Ok(Some(rows))
        };
        let newest = async {
            match tail {
                None if self.ready.catalog.grows => self.newest(request, discovery).await.map(Some),
                _ => Ok(None),
            }
        };
        let answers = async {
            let (begun, present, running, newest, facts) = tokio::join!(
                biased;
                client.batch_execute(&begin),
                link.ask(&self.ready.statements.moment, question.names()),
                running,
                newest,
                facts,
            );
            begun?;
            Ok((present?, running?, newest?, facts?))
        };
        let (present, rows, newest, facts) = self.within("reading the running jobs", answers).await?;
        if i64::try_from(rows.len()).unwrap_or(i64::MAX) >= MOST_RUNNING {
            return Err(too_many(&self.settings.mapping));
        }
        Ok(Opening {
            present: Present::from(&present)?,
            facts,
            rows,
            newest,
        })
    }

    /// The running rows by their state, and what came after the newest key seen.
    async fn running_and_new(
        &self,
        request: &ObserveRequest,
        tail: Option<&Tailed>,
    ) -> Result<Vec<Job>, tokio_postgres::Error> {
        let mapping = &self.settings.mapping;
        let states = &mapping.states.running;
        let running = self.jobs(
            &self.ready.statements.running,
            vec![
                (&mapping.time_zone, Type::TEXT),
                (states, Type::TEXT_ARRAY),
                (&MOST_RUNNING, Type::INT8),
            ],
            request.known.len() + ROOM,
        );
        let newcomers = async {
            match tail {
                Some(tail) => self.newcomers(tail).await,
                None => Ok(Vec::new()),
            }
        };
        let (before, running, after, newcomers) =
            tokio::join!(biased; self.scan_mark(), running, self.scan_mark(), newcomers);
        if let (Some(before), Some(after)) = (before?, after?) {
            self.note_scan(before.age_at(after));
        }
        let mut rows = running?;
        rows.append(&mut newcomers?);
        Ok(rows)
    }

    /// The rows with the given keys, whatever their state.
    pub(super) async fn known(&self, keys: &[String]) -> Result<Vec<Job>, tokio_postgres::Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let zone = &self.settings.mapping.time_zone;
        let params: Vec<Param<'_>> = vec![(zone, Type::TEXT), (&keys, Type::TEXT_ARRAY)];
        self.jobs(&self.ready.statements.known, params, keys.len()).await
    }

    /// What is still missing: known jobs that run no more, and the facts where they have to be asked anew.
    async fn rest(
        &self,
        present: &Present,
        read: Option<Vec<Row>>,
        request: &ObserveRequest,
        rows: &mut Vec<Job>,
    ) -> Result<Facts, StoreError> {
        let keys: Vec<String> = missing(&request.known, rows).map(JobId::to_string).collect();
        let facts = self.ready.facts(present, self.settings.action);
        let question = Question::of(self.ready, self.settings);
        let ask_facts = async {
            match (&facts, read) {
                (_, Some(read)) => Ok(read),
                (Some(_), None) => Ok(Vec::new()),
                (None, None) => self.link.ask(&self.ready.statements.facts, question.params()).await,
            }
        };
        let answers = async {
            let (facts, found) = tokio::join!(biased; ask_facts, self.known(&keys));
            Ok((facts?, found?))
        };
        let (answer, found) = self.within("reading known jobs", answers).await?;
        let facts = match facts {
            Some(facts) if answer.is_empty() => facts,
            _ => {
                let facts = facts_of(&answer, self.ready, self.settings)?;
                self.ready.keep(&facts, present);
                facts
            }
        };
        rows.extend(found);
        Ok(facts)
    }

    /// The ledger's entries; `None` where there were none before, and are some now. Ends the snapshot.
    async fn ledger(&self, facts: &Facts, rows: &[Job]) -> Result<Option<Entries>, StoreError> {
        let (link, client) = (self.link, self.link.client());
        if !facts.ledger_readable {
            link.within("ending the look", client.batch_execute("COMMIT")).await?;
            return Ok(Some(Entries::default()));
        }
        // Planning the question costs more than reading a hundred jobs, and most ledgers have nothing to tell.
        if self.ready.ledger_was_empty.load(Ordering::Relaxed) {
            return Ok(self.is_ledger_empty().await?.then(Entries::default));
        }
        let mapping = &self.settings.mapping;
        let asked: Vec<String> = rows
            .iter()
            .filter(|job| needs_precedents(job, mapping, self.settings.seed_tolerance))
            .map(|job| job.id.to_string())
            .collect();
        let (tables, statements) = (&self.ready.catalog.spellings, &self.ready.statements);
        let of_jobs = async {
            if asked.is_empty() {
                return Ok((Vec::new(), 0));
            }
            let params: Vec<Param<'_>> = vec![(tables, Type::TEXT_ARRAY), (&asked, Type::TEXT_ARRAY)];
            self.entries(&statements.ledger_of_jobs, params).await
        };
        let answers = async {
            let (of_jobs, newest, ended) = tokio::join!(
                biased;
                of_jobs,
                self.entries(
                    &statements.ledger_newest,
                    vec![
                        (tables, Type::TEXT_ARRAY),
                        (&SHOWN_REPAIRS, Type::INT8),
                        (&WATCHED_REPAIRS, Type::INT8),
                        (&UNACKNOWLEDGED, Type::INT8),
                    ],
                ),
                client.batch_execute("COMMIT"),
            );
            // A COMMIT of a transaction that failed is no error of its own.
            let answers = (of_jobs?, newest?);
            ended?;
            Ok(answers)
        };
        let ((of_jobs, _), (newest, rows)) = self.within("reading the ledger", answers).await?;
        self.ready.ledger_was_empty.store(rows == 0, Ordering::Relaxed);
        Ok(Some((of_jobs, newest)))
    }

    /// Whether the ledger still has no entry of this watch. Ends the snapshot.
    async fn is_ledger_empty(&self) -> Result<bool, StoreError> {
        let (link, tables) = (self.link, &self.ready.catalog.spellings);
        let answers = async {
            let (found, ended) = tokio::join!(
                biased;
                link.ask(&self.ready.statements.ledger_probe, vec![(tables, Type::TEXT_ARRAY)]),
                link.client().batch_execute("COMMIT"),
            );
            let found = found?;
            ended?;
            Ok(found)
        };
        let rows = link.within("reading the ledger", answers).await?;
        let is_empty = rows.first().is_some_and(|row| !row.get::<_, bool>("found"));
        self.ready.ledger_was_empty.store(is_empty, Ordering::Relaxed);
        Ok(is_empty)
    }
}
