//! Asks a server what it reports about itself, once for each connection.

use super::{
    failures::refusal,
    link::Link,
    param::Param,
    server::{Part, Server},
    sql::GATE,
};
use crate::store::{StoreError, part};
use futures_util::future::join_all;
use tokio_postgres::{Error, Row};

impl Link {
    /// What the server reports about itself, the same for every watch. What it refuses may be granted later, and is asked for
    /// again.
    pub(super) async fn reported(&self) -> Result<Server, StoreError> {
        if let Some(server) = self.server.get() {
            return Ok(server.clone());
        }
        let server = probe(self).await?;
        if !server.is_incomplete() {
            let _ = self.server.set(server.clone());
        }
        Ok(server)
    }
}

/// Asks for every part; each by a statement of its own, so that none that is refused takes the others along.
pub(super) async fn probe(link: &Link) -> Result<Server, StoreError> {
    const WHAT: &str = "asking which server this is";
    let params: Vec<Param<'_>> = vec![&"pg_catalog.pg_class", &"pg_catalog.pg_class"];
    let gate: Vec<Param<'_>> = vec![&GATE, &0_i32];
    let lock_alone = question("pg_catalog.pg_try_advisory_xact_lock($1, $2)");
    // All but the timeline, whose question depends on the answer about the recovery.
    let parts = [
        Part::System,
        Part::Recovery,
        Part::Started,
        Part::Address,
        Part::Version,
        Part::Transactions,
    ];
    let statements = parts.map(|of| question(&part(of.sql(), &[])));
    let asked = parts.iter().zip(&statements).map(|(of, statement)| {
        let params = if *of == Part::Version { params.clone() } else { vec![] };
        link.ask(statement, params)
    });
    let answers = async {
        Ok(tokio::join!(
            biased;
            join_all(asked),
            link.ask(include_str!("sql/gate_probe.sql"), gate.clone()),
            link.ask(&lock_alone, gate),
            link.prove(),
        ))
    };
    let (answers, gate, lock_alone, ()) = link.within(WHAT, answers).await?;
    let mut server = Server::default();
    for (of, answer) in parts.into_iter().zip(answers) {
        server.take(of, WHAT, answer)?;
    }
    server.no_gate = no_gate(gate, lock_alone)?;
    let timeline = question(&server.expression(Part::Timeline));
    let answer = async { Ok(link.ask(&timeline, vec![]).await) };
    let answer = link.within(WHAT, answer).await?;
    server.take(Part::Timeline, WHAT, answer)?;
    Ok(server)
}

/// The question for one part.
fn question(expression: &str) -> String {
    part(include_str!("sql/part.sql"), &[("part", expression.to_owned())])
}

/// Why the gate can't be relied on, if so.
fn no_gate(seen: Result<Vec<Row>, Error>, lock_alone: Result<Vec<Row>, Error>) -> Result<Option<String>, StoreError> {
    const WHAT: &str = "trying an advisory lock";
    if let Err(error) = lock_alone {
        return refusal(WHAT, error).map(|why| Some(format!("this server gives no advisory locks ({why})")));
    }
    let rows = match seen {
        Ok(rows) => rows,
        // The lock was given; that it can't be looked at is no fault of it.
        Err(error) => return refusal(WHAT, error).map(|_| None),
    };
    let row = rows.first();
    let lies = row.is_some_and(|row| row.get::<_, Option<bool>>("held") == Some(false));
    let version: &str = row.map_or("", |row| row.get("version"));
    let is_cockroach = version.starts_with("CockroachDB");
    Ok((lies || is_cockroach).then(|| {
        "this server's advisory locks keep no one out: it says that one was taken, and none is held".to_owned()
    }))
}
