//! What an operator does with the ledger: reading it, taking a repair back, acknowledging.

use super::{
    PostgresSettings, Ready,
    addresses::Addresses,
    ledger,
    link::Link,
    param::Param,
    repair::{Batch, Judged, judge, send_batch},
    row::{self, BoundTime},
    sql::GATE,
    transaction::look_alone,
};
use crate::{
    domain::{JobId, LedgerAction, LedgerEntry, Outcome, RepairId, Timestamp},
    store::{
        Acknowledged, Entries, ErrorTextRemoval, Resolution, StoreError, Undo, fresh_id, image,
        reading::UNACKNOWLEDGED,
        refusal::{CurrentRow, refusal},
        undo_id,
    },
};
use std::time::{Duration, Instant};
use tokio_postgres::Row;

/// How often the gate is tried while another repair is in progress, and how long between two tries.
const TRIES: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(100);
/// The longest that one undo may take.
const WITHIN: Duration = Duration::from_secs(5);

/// What every question of an operator needs.
#[derive(Clone, Copy)]
pub(super) struct LedgerSession<'a> {
    pub link: &'a Link,
    pub ready: &'a Ready,
    pub settings: &'a PostgresSettings,
    pub addresses: &'a Addresses,
}

impl LedgerSession<'_> {
    /// Asks in a read-only snapshot of its own.
    async fn read(self, statement: &str, params: Vec<Param<'_>>) -> Result<Vec<Row>, tokio_postgres::Error> {
        look_alone(self.link, self.settings.poll_timeout, statement, params).await
    }

    /// Writes to the ledger alone; whether it was an entry of this table that was written.
    async fn write(self, what: &'static str, statement: &str, params: Vec<Param<'_>>) -> Result<bool, StoreError> {
        let written = ledger::write((self.link, self.ready), what, statement, params).await?;
        Ok(!written.is_empty())
    }
}

/// The entries that are asked for.
pub(super) async fn entries(session: LedgerSession<'_>, which: &Entries) -> Result<Vec<LedgerEntry>, StoreError> {
    if !ledger::exists(session.link, session.ready).await? {
        return Ok(Vec::new());
    }
    let statements = &session.ready.statements;
    let tables: Param<'_> = &session.ready.catalog.spellings;
    let (limit, bounds, key);
    let answer = match which {
        Entries::Newest(most) => {
            limit = i64::from(*most);
            session.read(&statements.ledger_newest, vec![tables, &limit, &0_i64, &UNACKNOWLEDGED])
        }
        Entries::Between(lowest, highest) => {
            bounds = [lowest, highest].map(|id| uuid::Uuid::from_u128(id.0));
            session.read(&statements.ledger_between, vec![tables, &bounds[0], &bounds[1]])
        }
        Entries::OfJob(job) => {
            key = job.to_string();
            session.read(&statements.ledger_of_job, vec![tables, &key])
        }
    };
    let rows = session.link.within("reading the ledger", answer).await?;
    let heartbeat = session.settings.mapping.heartbeat_name();
    let entry = |row| row::ledger_entry(row, &heartbeat);
    Ok(rows.iter().filter_map(entry).collect())
}

/// The newest run of a name.
pub(super) async fn newest_run(session: LedgerSession<'_>, name: &str) -> Result<Option<JobId>, StoreError> {
    let zone = &session.settings.mapping.time_zone;
    let answer = session.read(&session.ready.statements.job_of_name, vec![zone, &name]);
    let rows = session.link.within("looking for a job by its name", answer).await?;
    Ok(rows
        .first()
        .and_then(|row| row.get::<_, Option<String>>(0))
        .map(JobId::new))
}

/// One entry, and when it was taken back.
async fn find(
    session: LedgerSession<'_>,
    id: RepairId,
) -> Result<Option<(LedgerEntry, Option<Timestamp>)>, StoreError> {
    // It will be written to.
    if !ledger::is_sound(session.link, session.ready).await? {
        return Ok(None);
    }
    let key = uuid::Uuid::from_u128(id.0);
    let (statement, tables) = (&session.ready.statements.ledger_entry, &session.ready.catalog.spellings);
    let answer = session.read(statement, vec![tables, &key]);
    let rows = session.link.within("reading the ledger", answer).await?;
    let heartbeat = session.settings.mapping.heartbeat_name();
    Ok(rows.first().and_then(|row| {
        let entry = row::ledger_entry(row, &heartbeat)?;
        Some((entry, row::timestamp(row, "undone_at")))
    }))
}

/// Acknowledges the outcome of a repair.
pub(super) async fn acknowledge(session: LedgerSession<'_>, id: RepairId) -> Result<Acknowledged, StoreError> {
    let Some((entry, _)) = find(session, id).await? else {
        return Ok(Acknowledged::NotFound);
    };
    let key = uuid::Uuid::from_u128(id.0);
    let (statement, tables) = (
        &session.ready.statements.ledger_acknowledge,
        &session.ready.catalog.spellings,
    );
    let what = "acknowledging an outcome";
    let changed = session.write(what, statement, vec![tables, &key]).await?;
    Ok(match (changed, entry.acknowledged_at) {
        (true, _) => Acknowledged::Now,
        (false, Some(_)) => Acknowledged::Before,
        (false, None) if entry.outcome.is_some() => return Err(ledger::no_entry()),
        (false, None) => Acknowledged::NotFalse,
    })
}

pub(super) async fn acknowledge_fuse(session: LedgerSession<'_>) -> Result<RepairId, StoreError> {
    let id = fresh_id();
    let key = uuid::Uuid::from_u128(id.0);
    let (table, statement) = (
        session.ready.catalog.table.plain(),
        &session.ready.statements.ledger_ack_fuse,
    );
    let (watch, instance) = (&session.settings.mapping.watch, &session.settings.instance);
    let params: Vec<Param<'_>> = vec![&key, watch, &table, instance];
    if !session.write("acknowledging the fuse", statement, params).await? {
        return Err(ledger::no_entry());
    }
    Ok(id)
}

pub(super) async fn undo(session: LedgerSession<'_>, id: RepairId) -> Result<Undo, StoreError> {
    let Some((entry, undone_at)) = find(session, id).await? else {
        return Ok(Undo::NotFound);
    };
    // After a missing answer: the connection on which it is missing is never asked again.
    let mut replacement: Option<Link> = None;
    for _ in 0..TRIES {
        let session = LedgerSession {
            link: replacement.as_ref().unwrap_or(session.link),
            ..session
        };
        let attempt = Attempt { session, entry: &entry };
        let current = attempt.look().await?;
        if let Some(why) = refusal(&entry, undone_at, current.as_ref(), &session.settings.mapping) {
            return Ok(Undo::Refused(why));
        }
        match attempt.make().await? {
            Made::Done(done) => return Ok(done),
            Made::Again => tokio::time::sleep(BETWEEN).await,
            Made::Unknown(why) => {
                let missing = |source: StoreError| StoreError::AnswerMissing {
                    what: "taking the repair back",
                    source: format!("{why}; then {}", source.chain()).into(),
                };
                let link = session.addresses.connect(Some(session.link.place())).await;
                let link = link.map_err(missing)?;
                let asked = Attempt {
                    session: LedgerSession { link: &link, ..session },
                    entry: &entry,
                };
                if let Some(done) = asked.settle().await.map_err(missing)? {
                    return Ok(done);
                }
                replacement = Some(link);
            }
        }
    }
    Ok(Undo::Refused(
        "another session holds the row, or another repair of this table is in progress: nothing was changed, try again"
            .to_owned(),
    ))
}

enum Made {
    Done(Undo),
    /// Another session was in the way: read again, to learn whether the row changed.
    Again,
    /// An answer is missing, for this reason: the ledger knows, through another connection.
    Unknown(String),
}

struct Attempt<'a> {
    session: LedgerSession<'a>,
    entry: &'a LedgerEntry,
}

impl Attempt<'_> {
    /// Reads what the undo would meet.
    async fn look(&self) -> Result<Option<CurrentRow>, StoreError> {
        let mapping = &self.session.settings.mapping;
        let (key, states) = (self.entry.job_id.to_string(), &mapping.states.running);
        let params: Vec<Param<'_>> = vec![&mapping.time_zone, &key, &self.entry.after, states];
        let answer = self.session.read(&self.session.ready.statements.undo_look, params);
        let rows = self
            .session
            .link
            .within("looking at the job of the repair", answer)
            .await?;
        Ok(rows.first().map(|row| CurrentRow {
            started_at: row::reading(row, "started_at").at(),
            state: row.get("state"),
            ended_at: row.get("ended_at"),
            heartbeat_at: row.get("heartbeat_at"),
            end_unchanged: row.get("end_unchanged"),
            heartbeat_unchanged: row.get("heartbeat_unchanged"),
            newer: row.get("newer"),
        }))
    }

    async fn make(&self) -> Result<Made, StoreError> {
        let mapping = &self.session.settings.mapping;
        let entry = self.entry;
        let undo = undo_id(entry.repair_id);
        let (repair_key, undo_key) = (uuid::Uuid::from_u128(entry.repair_id.0), uuid::Uuid::from_u128(undo.0));
        let (key, start) = (entry.job_id.to_string(), BoundTime(entry.started_at));
        let gate = self.session.ready.catalog.gate();
        let mut params: Vec<Param<'_>> = vec![
            &mapping.time_zone,
            &key,
            &start,
            &entry.after,
            &repair_key,
            &undo_key,
            &entry.watch,
            &entry.table_name,
            &self.session.settings.instance,
            &GATE,
            &gate,
            &entry.job_name,
        ];
        // Empty, so that it is found nowhere, where the entry doesn't keep it.
        let text = image::error_text(entry).unwrap_or_default();
        let error = mapping
            .error
            .as_ref()
            .map(|error| (error.pair(&text), error.key.as_str()));
        let (pair, error_key) = error.unwrap_or_default();
        let statement = if entry.action == LedgerAction::Fail {
            let extra: [Param<'_>; 5] = [&entry.before, &mapping.states.running, &pair, &text, &error_key];
            params.extend(extra);
            &self.session.ready.statements.undo_fail
        } else {
            &self.session.ready.statements.undo_backfill
        };
        let batch = Batch {
            ready: self.session.ready,
            steps: [None, None],
            statement,
            entry: (&undo_key, &self.session.settings.instance, &key),
        };
        let answers = send_batch(self.session.link, batch, params);
        let Ok(answers) = tokio::time::timeout(WITHIN, answers).await else {
            self.session.link.cancel();
            return Ok(Made::Unknown(format!("no answer within {WITHIN:?}")));
        };
        let error_there = answers.flag("error_removed");
        let left_alone = match entry.action {
            LedgerAction::Fail => answers.texts("left_alone"),
            _ => Vec::new(),
        };
        match judge(answers, undo) {
            Judged::Final(Outcome::Repaired(_)) => Ok(Made::Done(self.done(undo, error_there, left_alone))),
            Judged::Final(Outcome::Already) => Ok(Made::Done(Undo::Refused("it was undone just now".to_owned()))),
            Judged::Final(Outcome::Unknown(why)) => Ok(Made::Unknown(why)),
            Judged::Final(Outcome::Failed(error)) => Err(StoreError::Query {
                what: "taking the repair back",
                source: error.into(),
            }),
            Judged::Final(_) | Judged::Untouched => Ok(Made::Again),
        }
    }

    fn done(&self, undo: RepairId, error_there: bool, left_alone: Vec<String>) -> Undo {
        let written =
            self.entry.action == LedgerAction::Fail && image::error_was(self.entry).is_some_and(|was| was != "other");
        Undo::Done {
            entry: undo,
            error_text: match (written, error_there) {
                (false, _) => ErrorTextRemoval::NotThere,
                (true, true) => ErrorTextRemoval::TakenOut,
                (true, false) => ErrorTextRemoval::LeftAlone,
            },
            left_alone,
        }
    }

    /// Asks the ledger whether the undo was made, once its transaction has ended; `None` if it was not, and never will be.
    async fn settle(&self) -> Result<Option<Undo>, StoreError> {
        let LedgerSession {
            link, ready, settings, ..
        } = self.session;
        let undo = undo_id(self.entry.repair_id);
        let until = Instant::now() + WITHIN;
        loop {
            match ledger::resolve(link, ready, &settings.instance, undo).await? {
                Resolution::Committed(_) => {
                    link.start_deadline(WITHIN);
                    let entry = find(self.session, undo).await?;
                    // What the undo took out stands in the image of the row before it.
                    let images = entry.map(|(entry, _)| entry.before).unwrap_or_default();
                    let taken_out = image::value(&images, "error_text").is_some();
                    let mut left_alone = image::keys(&self.entry.before);
                    let put_back = image::keys(&images);
                    left_alone.retain(|column| column != "error_was" && !put_back.contains(column));
                    return Ok(Some(self.done(undo, taken_out, left_alone)));
                }
                Resolution::ByAnother => return Ok(Some(Undo::Refused("it was undone just now".to_owned()))),
                Resolution::NotCommitted => return Ok(None),
                Resolution::NotLeader if Instant::now() < until => tokio::time::sleep(BETWEEN).await,
                Resolution::NotLeader => {
                    return Err(StoreError::Timeout {
                        what: "waiting for the end of the transaction that takes the repair back",
                        after: WITHIN,
                    });
                }
            }
        }
    }
}
