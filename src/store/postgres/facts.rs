//! What the catalog says of table, ledger and rights. Asked in full when it is old or something in the catalog changed; each
//! pass asks only whether that is so, because planning the full question costs more than reading a hundred jobs.

use super::{
    PostgresSettings, Ready,
    failures::refusal,
    guard_sql::TRIGGER,
    guard_state::guard_of,
    ledger::{Flaw, ledger_columns},
    link::{Link, Param},
    obstacles, row,
    server::probe,
    transaction::look_alone,
};
use crate::{
    domain::{Action, Guard, Obstacle, Timestamp},
    store::{StoreError, guard::GuardState},
};
use std::{
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio_postgres::{Row, types::Type};

/// Facts may be this old: what the catalog's entry of the table doesn't show (a right on one column or on the schema, a
/// trigger made anew) is noticed after this, or by a repair that fails. Nothing wrong can come of it meanwhile: a repair
/// repeats what was observed, and the server checks its rights.
const FACTS_FOR: Duration = Duration::from_secs(30);
/// The same where something stands in the way of repairs: the person who fixes it waits for us to notice. And where there is
/// or was a guard, which may vanish and return without a trace in the entry of its table.
const SHORT: Duration = Duration::from_secs(5);

/// Time and server of a snapshot.
pub(super) struct Present {
    pub now: Timestamp,
    pub server: String,
    pub server_started_at: Option<Timestamp>,
    version: Option<String>,
}

impl Present {
    pub(super) fn from(rows: &[Row]) -> Result<Self, StoreError> {
        let no_time = || StoreError::Schema("the server has no time".to_owned());
        let row = rows.first().ok_or_else(no_time)?;
        Ok(Self {
            now: row::timestamp(row, "now").ok_or_else(no_time)?,
            server: row.get("server"),
            server_started_at: row::timestamp(row, "server_started_at"),
            version: row.get("version"),
        })
    }
}

/// What the catalog says.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub obstacles: Vec<Obstacle>,
    pub guard: GuardState,
    pub ledger_readable: bool,
}

/// Facts, and what they hold for.
#[derive(Debug)]
pub(super) struct Dated {
    facts: Facts,
    version: Option<String>,
    server: String,
    at: Instant,
    /// Whether there was a guard at any time.
    guarded: bool,
}

impl Dated {
    fn is_young(&self) -> bool {
        let is_plain = self.facts.obstacles.is_empty() && !self.guarded;
        self.at.elapsed() < if is_plain { FACTS_FOR } else { SHORT }
    }
}

impl Ready {
    /// The facts that were read last, if they still hold.
    pub(super) fn facts(&self, present: &Present, action: Action) -> Option<Facts> {
        if self.server.no_facts.is_some() {
            return Some(Facts {
                obstacles: self.server.obstacles(action),
                guard: GuardState::default(),
                ledger_readable: false,
            });
        }
        let dated = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let holds =
            |dated: &&Dated| dated.version == present.version && dated.server == present.server && dated.is_young();
        dated.as_ref().filter(holds).map(|dated| dated.facts.clone())
    }

    /// Whether they don't hold, whatever the catalog's entry says.
    pub(super) fn needs_facts(&self) -> bool {
        if self.server.no_facts.is_some() {
            return false;
        }
        let dated = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        !dated.as_ref().is_some_and(Dated::is_young)
    }

    /// Lets the next pass read them anew.
    pub(super) fn forget_facts(&self) {
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Keeps facts for the next passes.
    pub(super) fn keep(&self, facts: &Facts, present: &Present) {
        let mut dated = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let was_guarded = dated.as_ref().is_some_and(|dated| dated.guarded);
        *dated = Some(Dated {
            facts: facts.clone(),
            guarded: was_guarded || facts.guard.guard != Guard::Absent,
            version: present.version.clone(),
            server: present.server.clone(),
            at: Instant::now(),
        });
    }
}

/// What the facts are asked about, kept while the answer is on its way.
pub(super) struct Question<'a> {
    table: String,
    ledger: String,
    schema: Option<String>,
    columns: Vec<&'a str>,
    written: Vec<&'a str>,
    ledger_columns: Vec<String>,
    state: &'a str,
}

impl<'a> Question<'a> {
    pub(super) fn of(ready: &'a Ready, settings: &'a PostgresSettings) -> Self {
        let catalog = &ready.catalog;
        Self {
            table: catalog.table.quoted(),
            ledger: catalog.ledger.quoted(),
            schema: catalog.ledger.schema.as_ref().map(crate::store::Identifier::quoted),
            columns: columns(ready),
            written: written(ready, settings.action),
            ledger_columns: ledger_columns(),
            state: settings.mapping.state.as_str(),
        }
    }

    /// What tells whether the facts still hold.
    pub(super) fn names(&self) -> Vec<Param<'_>> {
        vec![(&self.table, Type::TEXT), (&self.ledger, Type::TEXT)]
    }

    pub(super) fn params(&self) -> Vec<Param<'_>> {
        vec![
            (&self.table, Type::TEXT),
            (&self.ledger, Type::TEXT),
            (&self.columns, Type::TEXT_ARRAY),
            (&self.written, Type::TEXT_ARRAY),
            (&self.schema, Type::TEXT),
            (&self.ledger_columns, Type::TEXT_ARRAY),
            (&self.state, Type::TEXT),
            (&TRIGGER, Type::TEXT),
        ]
    }
}

/// The columns that the statements rest on.
fn columns(ready: &Ready) -> Vec<&str> {
    let catalog = &ready.catalog;
    let mut columns = vec![
        catalog.id.name.as_str(),
        &catalog.state.name,
        &catalog.started_at.0.name,
        &catalog.heartbeat_at.0.name,
    ];
    columns.extend(catalog.ended_at.iter().map(|(column, _)| column.name.as_str()));
    columns.extend(catalog.error.iter().map(|column| column.name.as_str()));
    columns.extend(catalog.job_name.iter().map(|column| column.name.as_str()));
    columns
}

/// The columns that the action changes.
fn written(ready: &Ready, action: Action) -> Vec<&str> {
    let catalog = &ready.catalog;
    match action {
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

/// The facts of an answer.
///
/// # Errors
/// If the table is not the one that the statements were written for.
pub(super) fn facts_of(rows: &[Row], ready: &Ready, settings: &PostgresSettings) -> Result<Facts, StoreError> {
    let catalog = &ready.catalog;
    let row = rows.first().ok_or_else(|| StoreError::Schema("no facts".to_owned()))?;
    let shape: Option<String> = row.get("shape");
    catalog.ledger_exists.store(row.get("ledger_exists"), Ordering::Relaxed);
    let known = catalog.shape.get_or_init(|| shape.clone());
    if row.get::<_, Option<u32>>("oid") != Some(catalog.oid) || *known != shape {
        return Err(StoreError::Schema(format!(
            "table `{}` was changed or replaced while it was watched; its columns are read anew",
            settings.mapping.table.plain()
        )));
    }
    Ok(Facts {
        obstacles: obstacles::of(row, ready, settings),
        guard: guard_of(row.get("guard"), &ready.statements.guard)?,
        ledger_readable: row.get::<_, bool>("ledger_readable")
            && Flaw::of(row, "ledger_flaw").is_none_or(|flaw| flaw.lets_read()),
    })
}

/// Why the catalog can't be asked for all of that, if it refuses: then the rows can be read all the same.
pub(super) async fn refused(
    link: &Link,
    ready: &Ready,
    settings: &PostgresSettings,
) -> Result<Option<String>, StoreError> {
    const WHAT: &str = "asking for rights";
    let question = Question::of(ready, settings);
    let (within, facts) = (settings.poll_timeout, &ready.statements.facts);
    let answer = async { Ok(look_alone(link, within, facts, question.params()).await) };
    match link.within(WHAT, answer).await? {
        Ok(_) => Ok(None),
        Err(error) => {
            refusal(WHAT, error).map(|why| Some(format!("the catalog can't be asked for rights here ({why})")))
        }
    }
}

/// Whether the guard is there, and sound, and what is not as it was made. Asks the catalog alone.
pub(super) async fn guard(link: &Link, ready: &Ready, settings: &PostgresSettings) -> Result<GuardState, StoreError> {
    let question = Question::of(ready, settings);
    let answer = link.ask(&ready.statements.facts, question.params());
    let rows = link.within("looking for the guard", answer).await?;
    Ok(facts_of(&rows, ready, settings)?.guard)
}

/// Whether the server still refuses what it refused, where that was long ago: a right may have been granted.
pub(super) async fn is_still_so(link: &Link, ready: &Ready, settings: &PostgresSettings) -> bool {
    /// What is refused stands in the server's log each time.
    const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(30);
    let probed = || ready.probed.lock().unwrap_or_else(PoisonError::into_inner);
    if !ready.server.is_incomplete() || probed().elapsed() < ASKED_AGAIN_AFTER {
        return true;
    }
    link.start_deadline(settings.poll_timeout);
    let asked = async {
        let mut server = probe(link).await?;
        server.no_facts = refused(link, ready, settings).await?;
        Ok::<_, StoreError>(server)
    };
    let is_same = asked.await.is_ok_and(|server| server == ready.server);
    *probed() = Instant::now();
    is_same
}
