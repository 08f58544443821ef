//! Transactions of one round trip: begun with limits that end with them, asked and ended.

use super::{link::Link, param::Param, search_path::OF_READS};
use crate::store::StoreError;
use futures_util::future::join_all;
use std::time::Duration;
use tokio_postgres::{Error, Row};

/// The limits of a transaction that may write, or that asks the ledger.
pub(super) const LIMITS: &str = "SET LOCAL lock_timeout = '200ms'; SET LOCAL statement_timeout = '2s'; \
                                 SET LOCAL idle_in_transaction_session_timeout = '1s'";

/// How long the server may take to prepare statements; a table that is locked is no reason to wait.
const PREPARED_WITHIN: Duration = Duration::from_millis(500);

/// Begins a read-only snapshot; every limit ends with it, so a pooler may hand the connection on. Compiling a statement
/// that runs once costs more than it saves.
pub(super) fn begin(statement: Duration) -> String {
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = {}; \
         SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}; SET LOCAL jit = off; {OF_READS}",
        statement.as_millis(),
        (statement / 2).as_millis().max(1),
        statement.as_millis(),
    )
}

/// Begins a transaction that writes, with its limits, and with the search path of the role's triggers.
pub(super) fn begin_write(search_path: &str) -> String {
    format!("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; {LIMITS}; {search_path}")
}

/// Asks in a read-only snapshot of its own, with its limits.
pub(super) async fn look_alone(
    link: &Link,
    statement_within: Duration,
    statement: &str,
    params: Vec<Param<'_>>,
) -> Result<Vec<Row>, Error> {
    ask_in(link, &begin(statement_within), statement, params).await
}

/// Asks in a transaction of its own, which begins so.
pub(super) async fn ask_in(
    link: &Link,
    begin: &str,
    statement: &str,
    params: Vec<Param<'_>>,
) -> Result<Vec<Row>, Error> {
    let client = link.client();
    let (begun, rows, ended) = tokio::join!(
        biased;
        client.batch_execute(begin),
        link.ask(statement, params),
        client.batch_execute("COMMIT"),
    );
    begun?;
    // A COMMIT of a transaction that failed is no error of its own: the statement's error is reported.
    let rows = rows?;
    ended?;
    Ok(rows)
}

impl Link {
    /// Lets the server keep what the last pass or repair asked again. Once for each statement; others find nothing to do.
    ///
    /// # Errors
    /// If there was no answer in time: then no one knows what the connection still does.
    pub(super) async fn keep_wanted(&self) -> Result<(), StoreError> {
        let wanted = self.kept().take_wanted();
        if wanted.is_empty() {
            return Ok(());
        }
        let client = self.client();
        let begin = begin(PREPARED_WITHIN);
        let answers = async {
            let each = wanted.iter().map(|(sql, types)| client.prepare_typed(sql, types));
            let (begun, kept, ended) = tokio::join!(
                biased;
                client.batch_execute(&begin),
                join_all(each),
                client.batch_execute("COMMIT"),
            );
            Ok((begun.and(ended), kept))
        };
        let (framed, kept) = self
            .within_for(PREPARED_WITHIN * 2, "preparing statements", answers)
            .await?;
        self.kept().keep(wanted, framed.and(kept.into_iter().collect()));
        Ok(())
    }
}
