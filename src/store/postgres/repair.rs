//! One repair: the guarded update and its ledger entry in one transaction, sent whole before the first answer is read.

use super::{
    PostgresSettings, Ready,
    failures::described,
    ledger::{GATE, gate_of},
    link::{Link, Param},
    row::{self, BoundTime},
};
use crate::{
    domain::{Action, Outcome, Repair, RepairId, StartGuard},
    store::{error_text, reading::Strings},
};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::{Error, Row, error::SqlState, types::Type};

/// Past this the answer counts as missing. The server gives up on the statement after 2 s by itself; what remains is a
/// COMMIT that waits for a standby, which no timeout of the server bounds.
const WITHIN: Duration = Duration::from_secs(5);

/// The answers of the batch, in the order in which it was sent.
pub(super) struct Answers {
    limits: [Result<(), Error>; 4],
    statement: Result<Vec<Row>, Error>,
    commit: Result<(), Error>,
}

impl Answers {
    /// A truth value of the statement's row.
    pub(super) fn flag(&self, column: &str) -> bool {
        let row = self.statement.as_ref().ok().and_then(|rows| rows.first());
        row.is_some_and(|row| row.get(column))
    }
}

/// Makes one repair; also tells whether the connection leads to another server than the one that was observed.
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
    let elsewhere = answers.flag("elsewhere");
    let outcome = match judge(answers, id) {
        Judged::Final(outcome) => outcome,
        Judged::Untouched => look_again(link, ready, settings, repair).await,
    };
    (outcome, elsewhere)
}

async fn send(link: &Link, ready: &Ready, settings: &PostgresSettings, repair: &Repair, id: RepairId) -> Answers {
    let job = &repair.job;
    let waived = repair.start == StartGuard::Waived;
    let mapping = &settings.mapping;
    let times = [job.started_at, job.heartbeat_at, job.ended_at].map(|reading| BoundTime(reading.at()));
    let seconds = repair.init_deadline.as_secs_f64();
    let gate = gate_of(ready.catalog.oid);
    let repair_id = uuid::Uuid::from_u128(id.0);
    let table = ready.catalog.table.plain();
    let (name, state) = (job.name.as_deref(), job.state.as_deref());
    let key = job.id.text();
    let key: &str = &key;
    let mut params: Vec<Param<'_>> = vec![
        (&mapping.time_zone, Type::TEXT),
        (&key, Type::TEXT),
        (&name, Type::TEXT),
        (&state, Type::TEXT),
        (&times[0], Type::TIMESTAMPTZ),
        (&times[1], Type::TIMESTAMPTZ),
        (&times[2], Type::TIMESTAMPTZ),
        (&repair.server.0, Type::TEXT),
        (&seconds, Type::FLOAT8),
        (&GATE, Type::INT4),
        (&gate, Type::INT4),
        (&repair_id, Type::UUID),
        (&mapping.watch, Type::TEXT),
        (&table, Type::TEXT),
        (&settings.instance, Type::TEXT),
    ];
    let failure = mapping.states.failure.first();
    let text = error_text(id, repair.init_deadline);
    let error_key = mapping
        .error
        .as_ref()
        .map(|error| error.key.clone())
        .unwrap_or_default();
    let pair = format!("{}: \"{text}\"", serde_json::Value::String(error_key.clone()));
    let statement = match repair.action {
        Action::Fail => {
            let extra: [Param<'_>; 4] = [
                (&failure, Type::TEXT),
                (&pair, Type::TEXT),
                (&text, Type::TEXT),
                (&error_key, Type::TEXT),
            ];
            params.extend(extra);
            params.push((&waived, Type::BOOL));
            &ready.statements.repair_fail
        }
        Action::Backfill | Action::Observe => {
            params.push((&waived, Type::BOOL));
            &ready.statements.repair_backfill
        }
    };
    send_batch(link, statement, params).await
}

/// Sends a statement in a transaction of its own, with its limits, all of it before the first answer is read: no row lock
/// waits for our network.
pub(super) async fn send_batch(link: &Link, statement: &str, params: Vec<Param<'_>>) -> Answers {
    let client = link.client();
    let (begin, lock, statement_timeout, idle, statement, commit) = tokio::join!(
        biased;
        client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE"),
        client.batch_execute("SET LOCAL lock_timeout = '200ms'"),
        client.batch_execute("SET LOCAL statement_timeout = '2s'"),
        client.batch_execute("SET LOCAL idle_in_transaction_session_timeout = '1s'"),
        link.ask(statement, params),
        client.batch_execute("COMMIT"),
    );
    Answers {
        limits: [begin, lock, statement_timeout, idle],
        statement,
        commit,
    }
}

/// What the answers say.
pub(super) enum Judged {
    /// That's it.
    Final(Outcome),
    /// Nothing was changed, although the gate was won: the row has to be looked at to learn why.
    Untouched,
}

pub(super) fn judge(answers: Answers, id: RepairId) -> Judged {
    let Answers {
        limits,
        statement,
        commit,
    } = answers;
    let limits = limits.into_iter().collect::<Result<Vec<()>, Error>>().map(|_| ());
    // An error without a SQLSTATE is a broken connection, not an answer.
    let missing = [limits.as_ref().err(), statement.as_ref().err(), commit.as_ref().err()]
        .into_iter()
        .flatten()
        .find(|error| error.code().is_none() || ended_by_server(error));
    if let Some(error) = missing {
        return Judged::Final(Outcome::Unknown(error.to_string()));
    }
    let rows = match statement {
        Ok(rows) => rows,
        Err(error) => return Judged::Final(failed(error)),
    };
    let Some(row) = rows.first() else {
        return Judged::Final(Outcome::Failed("the repair statement returned no row".to_owned()));
    };
    let repaired = row.get::<_, Option<uuid::Uuid>>("repair_id").is_some();
    match (limits.and(commit), repaired) {
        (Ok(()), true) => Judged::Final(Outcome::Repaired(id)),
        // The row was changed, but BEGIN or COMMIT was refused: only the ledger knows what remained of it.
        (Err(error), true) => Judged::Final(Outcome::Unknown(described(error).to_string())),
        (Err(error), false) => Judged::Final(Outcome::Failed(described(error).to_string())),
        (Ok(()), false) if !row.get::<_, bool>("won") => Judged::Final(Outcome::NotLeader),
        (Ok(()), false) => Judged::Untouched,
    }
}

/// A server that ends the session has answered, but not what became of the transaction.
fn ended_by_server(error: &Error) -> bool {
    let codes = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    error.code().is_some_and(|code| codes.contains(code))
}

fn failed(error: Error) -> Outcome {
    match error.code() {
        Some(code) if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED => {
            Outcome::LostRace
        }
        Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => Outcome::Locked,
        // The repair's identity is the ledger's key: this incident already had this action.
        Some(code) if *code == SqlState::UNIQUE_VIOLATION && is_ledger_key(&error) => Outcome::Already,
        _ => Outcome::Failed(described(error).to_string()),
    }
}

fn is_ledger_key(error: &Error) -> bool {
    let detail = error.as_db_error().and_then(|db| db.detail()).unwrap_or_default();
    detail.starts_with("Key (repair_id)=")
}

/// Reads the row plainly: as it was observed means that somebody held it, anything else that it changed.
async fn look_again(link: &Link, ready: &Ready, settings: &PostgresSettings, repair: &Repair) -> Outcome {
    let keys = vec![repair.job.id.to_string()];
    let params: Vec<Param<'_>> = vec![(&settings.mapping.time_zone, Type::TEXT), (&keys, Type::TEXT_ARRAY)];
    let answer = link.ask(&ready.statements.known, params);
    let read = |row| row::job(row, settings.mapping.keeps_utc(), &mut Strings::default());
    match link
        .within_for(WITHIN, "looking at a job that could not be repaired", answer)
        .await
    {
        Ok(rows) if rows.first().and_then(read).as_ref() == Some(&repair.job) => Outcome::Locked,
        Ok(_) => Outcome::LostRace,
        Err(error) => Outcome::Failed(error.chain()),
    }
}
