//! What the catalog says of table, ledger and rights. Asked in full when it is old or something in the catalog changed; each
//! pass asks only whether that is so, because planning the full question costs more than reading a hundred jobs.

use super::{
    PostgresSettings, Ready,
    failures::refusal,
    guard_sql::TRIGGER,
    guard_state::guard_of,
    ledger::{Flaw, LEDGER_COLUMNS},
    link::Link,
    obstacles,
    param::Param,
    probe::probe,
    times::TimeColumn,
    transaction::look_alone,
};
use crate::{
    domain::Action,
    store::{Ending, Identifier, StoreError, guard::GuardState, question::Facts},
};
use std::time::{Duration, Instant};
use tokio_postgres::Row;

/// What the facts are asked about, kept while the answer is on its way.
pub(super) struct Asked<'a> {
    table: String,
    ledger: String,
    schema: Option<String>,
    columns: Vec<&'a str>,
    written: Vec<&'a str>,
    state: &'a str,
    function: Option<u32>,
    /// Columns of other tables, each with its table, quoted.
    others: (Vec<&'a str>, Vec<&'a str>),
}

impl<'a> Asked<'a> {
    pub(super) fn of(ready: &'a Ready, settings: &'a PostgresSettings) -> Self {
        let catalog = &ready.catalog;
        Self {
            table: catalog.table.quoted(),
            ledger: catalog.ledger.quoted(),
            schema: catalog.ledger.schema.as_ref().map(Identifier::quoted),
            columns: catalog.mapped(),
            written: written(ready, settings),
            state: settings.mapping.state.as_str(),
            function: catalog.function.as_ref().map(|function| function.oid),
            others: catalog.columns_of_others().unzip(),
        }
    }

    /// What shows whether the facts still hold.
    pub(super) fn names(&self) -> Vec<Param<'_>> {
        vec![&self.table, &self.ledger]
    }

    pub(super) fn params(&self) -> Vec<Param<'_>> {
        vec![
            &self.table,
            &self.ledger,
            &self.columns,
            &self.written,
            &self.schema,
            &*LEDGER_COLUMNS,
            &self.state,
            &TRIGGER,
            &self.function,
            &self.others.0,
            &self.others.1,
        ]
    }
}

/// The columns that the action changes.
fn written<'a>(ready: &'a Ready, settings: &'a PostgresSettings) -> Vec<&'a str> {
    let (catalog, mapping) = (&ready.catalog, &settings.mapping);
    match settings.action {
        Action::Observe => Vec::new(),
        Action::Backfill => {
            let heartbeat = catalog.heartbeat_at.as_ref().and_then(TimeColumn::own);
            heartbeat.into_iter().map(|column| column.name.as_str()).collect()
        }
        Action::Fail => {
            let mut columns = vec![catalog.state.name.as_str()];
            columns.extend(mapping.end_written().map(Identifier::as_str));
            columns.extend(catalog.error.iter().map(|column| column.name.as_str()));
            columns.extend(catalog.set.iter().map(|set| set.column.name.as_str()));
            columns
        }
    }
}

/// The facts of an answer.
///
/// # Errors
/// If the table is not the one that the statements were written for.
pub(super) fn facts_of(rows: &[Row], ready: &Ready, settings: &PostgresSettings) -> Result<Facts, StoreError> {
    let catalog = &ready.catalog;
    let row = rows.first().ok_or_else(|| StoreError::Schema("no facts".to_owned()))?;
    let shape: Option<String> = row.get("shape");
    let known = catalog.shape.get_or_init(|| shape.clone());
    if row.get::<_, Option<bool>>("callable").is_none() {
        return Err(StoreError::Schema(format!(
            "the function of {} was dropped or replaced; it is looked for again",
            Ending::CALL
        )));
    }
    if row.get::<_, Option<u32>>("oid") != Some(catalog.oid) || *known != shape {
        return Err(StoreError::Schema(format!(
            "table `{}` was changed or replaced while it was watched; its columns are read again",
            settings.mapping.table.plain()
        )));
    }
    Ok(Facts {
        obstacles: obstacles::of(row, ready, settings),
        guard: guard_of(row.get("guard"), &ready.statements.guard)?,
        ledger_readable: row.get::<_, bool>("ledger_readable")
            && Flaw::of(row, "ledger_flaw").is_none_or(|flaw| flaw.lets_read()),
        ledger_exists: row.get("ledger_exists"),
    })
}

/// Why the catalog can't be asked for all of that, if it refuses: then the rows can be read all the same.
pub(super) async fn refused(
    link: &Link,
    ready: &Ready,
    settings: &PostgresSettings,
) -> Result<Option<String>, StoreError> {
    const WHAT: &str = "asking for rights";
    let asked = Asked::of(ready, settings);
    let (within, facts) = (settings.poll_timeout, &ready.statements.facts);
    let answer = async { Ok(look_alone(link, within, facts, asked.params()).await) };
    match link.within(WHAT, answer).await? {
        Ok(_) => Ok(None),
        Err(error) => {
            refusal(WHAT, error).map(|why| Some(format!("the catalog can't be asked for rights here ({why})")))
        }
    }
}

/// Whether the guard is there, and sound, and what is not as it was made. Asks the catalog alone.
pub(super) async fn guard(link: &Link, ready: &Ready, settings: &PostgresSettings) -> Result<GuardState, StoreError> {
    let asked = Asked::of(ready, settings);
    let answer = link.ask(&ready.statements.facts, asked.params());
    let rows = link.within("looking for the guard", answer).await?;
    Ok(facts_of(&rows, ready, settings)?.guard)
}

/// Whether the server still refuses what it refused, where it was `probed` long ago: a right may have been granted.
pub(super) async fn is_still_so(link: &Link, ready: &Ready, settings: &PostgresSettings, probed: &mut Instant) -> bool {
    /// What is refused stands in the server's log each time.
    const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(30);
    if !ready.server.is_incomplete() || probed.elapsed() < ASKED_AGAIN_AFTER {
        return true;
    }
    link.start_deadline(settings.poll_timeout);
    let answer = async {
        let mut server = probe(link).await?;
        server.no_facts = refused(link, ready, settings).await?;
        Ok::<_, StoreError>(server)
    };
    let is_same = answer.await.is_ok_and(|server| server == ready.server);
    *probed = Instant::now();
    is_same
}
