//! One repair: the guarded update and its ledger entry in one transaction, sent whole before the first answer is read.

use super::{
    PostgresSettings, Ready,
    failures::{described, ends_session},
    function::STILL_RUNNING,
    link::Link,
    param::Param,
    row::{self, BoundTime},
    sql::{GATE, NO_ENTRY},
    transaction::{begin_write, look_alone},
};
use crate::{
    domain::{Outcome, Repair, RepairId, Repairing, StartCheck},
    store::{Ending, error_text, reading::Strings},
};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::{Error, Row, error::SqlState};

/// Past this the answers count as missing. The server cancels each statement after 2 s; several of them, or a COMMIT that
/// waits for a standby, which no timeout of the server bounds, can take longer.
const WITHIN: Duration = Duration::from_secs(5);

/// The answers of the batch, in the order in which it was sent.
pub(super) struct Answers {
    /// Whether the transaction was begun, with its limits.
    begun: Result<(), Error>,
    /// The steps before the statement.
    steps: [Result<(), Error>; 2],
    statement: Result<Vec<Row>, Error>,
    /// Whether the ledger has kept the entry.
    kept: Result<(), Error>,
    commit: Result<(), Error>,
}

impl Answers {
    /// Whether nothing remains of the transaction, and the connection waits for another: a statement in it was refused.
    fn is_rolled_back(&self) -> bool {
        let is_refused = self.steps.iter().any(Result::is_err) || self.statement.is_err() || self.kept.is_err();
        self.begun.is_ok() && is_refused && self.commit.is_ok()
    }

    /// A truth value of the statement's row.
    pub(super) fn flag(&self, column: &str) -> bool {
        let row = self.statement.as_ref().ok().and_then(|rows| rows.first());
        row.is_some_and(|row| row.get(column))
    }

    /// A list of texts of the statement's row.
    pub(super) fn texts(&self, column: &str) -> Vec<String> {
        let row = self.statement.as_ref().ok().and_then(|rows| rows.first());
        row.and_then(|row| row.get::<_, Option<Vec<String>>>(column))
            .unwrap_or_default()
    }
}

/// Makes one repair; also reports whether the connection leads to another server than the one that was observed.
pub(super) async fn repair(
    link: &Link,
    ready: &Ready,
    settings: &PostgresSettings,
    repair: &Repair,
    id: RepairId,
) -> (Outcome, bool) {
    let Ok(answers) = timeout(WITHIN, send(link, ready, settings, repair, id)).await else {
        link.cancel();
        return (Outcome::Unknown(format!("no answer within {WITHIN:?}")), false);
    };
    let is_other_server = answers.flag("is_other_server");
    let outcome = match judge(answers, id) {
        Judged::Final(outcome) => outcome,
        Judged::Untouched => look_again(link, ready, settings, repair).await,
    };
    (outcome, is_other_server)
}

async fn send(link: &Link, ready: &Ready, settings: &PostgresSettings, repair: &Repair, id: RepairId) -> Answers {
    let job = &repair.job;
    let waived = repair.start == StartCheck::Waived;
    let mapping = &settings.mapping;
    let times = [job.started_at, job.heartbeat_at, job.ended_at].map(|reading| BoundTime(reading.at()));
    let seconds = repair.deadline.as_secs_f64();
    let gate = ready.catalog.gate();
    let repair_id = uuid::Uuid::from_u128(id.0);
    let table = ready.catalog.table.plain();
    let (name, state) = (job.name.as_deref(), job.state.as_deref());
    let key = job.id.text();
    let key: &str = &key;
    let mut params: Vec<Param<'_>> = vec![
        &mapping.time_zone,
        &key,
        &name,
        &state,
        &times[0],
        &times[1],
        &times[2],
        &repair.server.0,
        &seconds,
        &GATE,
        &gate,
        &repair_id,
        &mapping.watch,
        &table,
        &settings.instance,
        &waived,
    ];
    let failure = mapping.end_state();
    let text = error_text(id, repair);
    let error = mapping
        .error
        .as_ref()
        .map(|error| (error.pair(&text), error.key.as_str()));
    let (pair, error_key) = error.unwrap_or_default();
    let statements = &ready.statements;
    let (steps, statement): ([Option<&str>; 2], _) = match repair.action {
        Repairing::Fail => {
            let extra: [Param<'_>; 5] = [&failure, &pair, &text, &error_key, &mapping.states.running];
            let by_function = ready.catalog.function.is_some();
            params.extend(&extra[..if by_function { 5 } else { 4 }]);
            if by_function {
                (
                    [Some(&statements.repair_lock), Some(&statements.repair_call)],
                    &statements.repair_called,
                )
            } else {
                // Times of another table are compared in a snapshot that is younger than the lock of the row.
                let lock = (!ready.catalog.others.is_empty()).then_some(statements.repair_lock.as_str());
                ([lock, None], &statements.repair_fail)
            }
        }
        Repairing::Backfill => ([None, None], &statements.repair_backfill),
    };
    let batch = Batch {
        ready,
        steps,
        statement,
        entry: (&repair_id, &settings.instance, key),
    };
    send_batch(link, batch, params).await
}

/// A statement that changes a row and writes an entry of the ledger, and what that entry has to have: id, instance, job.
pub(super) struct Batch<'a> {
    pub ready: &'a Ready,
    /// What is asked before it, in the same transaction and with the same parameters: each sees what was committed until then.
    pub steps: [Option<&'a str>; 2],
    pub statement: &'a str,
    pub entry: (&'a uuid::Uuid, &'a String, &'a str),
}

/// Sends a statement in a transaction of its own, with its limits, all of it before the first answer is read: no row lock
/// waits for our network.
///
/// A statement that the server kept may be gone, or not fit any more: it takes the transaction along, which is sent once more
/// without.
pub(super) async fn send_batch(link: &Link, batch: Batch<'_>, params: Vec<Param<'_>>) -> Answers {
    let answers = send_once(link, &batch, &params).await;
    if answers.is_rolled_back() && link.kept().gives_up() {
        return send_once(link, &batch, &params).await;
    }
    answers
}

async fn send_once(link: &Link, batch: &Batch<'_>, params: &[Param<'_>]) -> Answers {
    let Batch {
        ready,
        steps: [first, second],
        statement,
        entry: (id, instance, job),
    } = batch;
    let client = link.client();
    let proof = async {
        if link.kept().is_unproven() {
            link.prove().await;
        }
    };
    let begin = begin_write(&ready.catalog.search_path);
    let step = async |step: Option<&str>| match step {
        Some(step) => link.ask_kept(step, params.to_vec()).await.map(|_| ()),
        None => Ok(()),
    };
    let entry: Vec<Param<'_>> = vec![*id, *instance, job];
    let ((), begun, first, second, statement, at_once, made, commit) = tokio::join!(
        biased;
        proof,
        client.batch_execute(&begin),
        step(*first),
        step(*second),
        link.ask_kept(statement, params.to_vec()),
        // Triggers that would fire at COMMIT fire now, before the entry is looked for.
        client.batch_execute("SET CONSTRAINTS ALL IMMEDIATE"),
        link.ask_kept(&ready.statements.ledger_made, entry),
        client.batch_execute("COMMIT"),
    );
    Answers {
        begun,
        steps: [first, second],
        statement,
        kept: at_once.and(made.map(|_| ())),
        commit,
    }
}

/// What the answers say.
pub(super) enum Judged {
    /// The outcome is known.
    Final(Outcome),
    /// Nothing was changed, although the gate was won: the row has to be looked at to learn why.
    Untouched,
}

pub(super) fn judge(answers: Answers, id: RepairId) -> Judged {
    let Answers {
        begun,
        steps,
        statement,
        kept,
        commit,
    } = answers;
    let steps = steps.into_iter().collect::<Result<Vec<()>, Error>>().map(|_| ());
    // An error without a SQLSTATE is a broken connection, not an answer.
    let missing = [
        begun.as_ref().err(),
        steps.as_ref().err(),
        statement.as_ref().err(),
        kept.as_ref().err(),
        commit.as_ref().err(),
    ];
    let missing = missing
        .into_iter()
        .flatten()
        .find(|error| error.code().is_none_or(ends_session));
    if let Some(error) = missing {
        return Judged::Final(Outcome::Unknown(error.to_string()));
    }
    // The first error of a transaction is what ended it.
    let rows = match steps.and(statement) {
        Ok(rows) => rows,
        Err(error) => return Judged::Final(failed(error)),
    };
    let Some(row) = rows.first() else {
        return Judged::Final(Outcome::Failed("the repair statement returned no row".to_owned()));
    };
    // An error here rolls the transaction back. Where BEGIN was refused, the statement has been committed on its own.
    if let (Ok(()), Err(error)) = (&begun, kept) {
        return Judged::Final(failed(error));
    }
    let repaired = row.get::<_, Option<uuid::Uuid>>("repair_id").is_some();
    match (begun.and(commit), repaired) {
        (Ok(()), true) => Judged::Final(Outcome::Repaired(id)),
        // The row was changed, but BEGIN or COMMIT was refused: only the ledger knows what remained of it.
        (Err(error), true) => Judged::Final(Outcome::Unknown(described(error).to_string())),
        (Err(error), false) => Judged::Final(Outcome::Failed(described(error).to_string())),
        (Ok(()), false) if !row.get::<_, bool>("won") => Judged::Final(Outcome::NotLeader),
        (Ok(()), false) => Judged::Untouched,
    }
}

fn failed(error: Error) -> Outcome {
    match error.code() {
        Some(code) if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED => {
            Outcome::LostRace
        }
        Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => Outcome::Locked,
        // The repair's identity is the ledger's key: this incident already had this action.
        Some(code) if *code == SqlState::UNIQUE_VIOLATION && is_ledger_key(&error) => Outcome::Already,
        _ if error
            .as_db_error()
            .is_some_and(|db| db.message().contains(STILL_RUNNING)) =>
        {
            Outcome::Failed(format!(
                "{STILL_RUNNING}, so nothing was changed: is it the function that ends a job, and are {} right?",
                Ending::CALL
            ))
        }
        _ if error.as_db_error().is_some_and(|db| db.message().contains(NO_ENTRY)) => Outcome::Failed(format!(
            "{NO_ENTRY}, so nothing was changed: a trigger, a rule or row security on it is in the way; `beatwarden check` \
             says more"
        )),
        _ => Outcome::Failed(described(error).to_string()),
    }
}

fn is_ledger_key(error: &Error) -> bool {
    let detail = error.as_db_error().and_then(|db| db.detail()).unwrap_or_default();
    detail.starts_with("Key (repair_id)=")
}

/// Reads the row without a lock: if it still is as it was observed, another session held it; otherwise it has changed.
async fn look_again(link: &Link, ready: &Ready, settings: &PostgresSettings, repair: &Repair) -> Outcome {
    let keys = vec![repair.job.id.to_string()];
    let params: Vec<Param<'_>> = vec![&settings.mapping.time_zone, &keys];
    let answer = look_alone(link, WITHIN, &ready.statements.known, params);
    let read = |row| row::job(row, ready.catalog.all_keep_utc(), &mut Strings::default());
    match link
        .within_for(WITHIN, "looking at a job that could not be repaired", answer)
        .await
    {
        Ok(rows) if rows.first().and_then(read).as_ref() == Some(&repair.job) => Outcome::Locked,
        Ok(_) => Outcome::LostRace,
        Err(error) => Outcome::Failed(error.chain()),
    }
}
