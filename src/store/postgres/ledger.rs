//! The ledger: how it comes to be, and how a repair whose answer was lost is found in it.

use super::{
    Ready,
    catalog::Catalog,
    link::Link,
    param::Param,
    search_path::OF_READS,
    sql::{GATE, NO_ENTRY},
    transaction::{LIMITS, ask_in, begin_write},
};
use crate::{
    domain::{Finding, Noted, RepairId},
    store::{
        Resolution, StoreError,
        layout::{ledger_indexes, to_be_run},
    },
};
use std::{sync::LazyLock, time::Duration};
use tokio_postgres::{Row, error::SqlState, types::Type};

/// The longest that one question about the ledger may take.
const WITHIN: Duration = Duration::from_secs(5);
/// Creates the ledger and its indexes, as far as they aren't there.
pub(super) async fn create(link: &Link, ready: &Ready) -> Result<(), StoreError> {
    make(
        (link, ready),
        "creating the ledger",
        LIMITS,
        &ready.statements.ledger_create,
    )
    .await
}

async fn make((link, ready): (&Link, &Ready), what: &'static str, limits: &str, sql: &str) -> Result<(), StoreError> {
    let gate = ready.catalog.gate();
    let script = format!(
        "/* beatwarden: ledger create */ BEGIN; {limits}; {}; SET LOCAL client_min_messages = 'warning'; \
         SELECT pg_catalog.pg_advisory_xact_lock({GATE}, {gate}); {}; COMMIT",
        ready.catalog.search_path,
        sql.trim_end().trim_end_matches(';')
    );
    let created = async {
        match link.client().batch_execute(&script).await {
            // Another session created it at the same moment.
            Err(error) if raced(&error) => link.client().batch_execute("ROLLBACK").await,
            Err(error) => {
                let _ = link.client().batch_execute("ROLLBACK").await;
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    };
    link.within_for(WITHIN, what, created).await
}

/// The columns of a ledger, as `ledger_flaw.sql` compares them: each with the number of its type. Every pass sends them.
pub(super) static LEDGER_COLUMNS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let columns = [
        (Type::UUID, "repair_id undo_of"),
        (
            Type::TEXT,
            "watch table_name job_id job_name reason action instance outcome",
        ),
        (Type::TIMESTAMPTZ, "started_at repaired_at outcome_at acknowledged_at"),
        (Type::JSONB, "before after"),
        (Type::INT4, "version"),
    ];
    let of_type = |(ty, names): &(Type, &'static str)| {
        let number = ty.oid();
        names.split(' ').map(move |name| format!("{name} {number}"))
    };
    columns.iter().flat_map(of_type).collect()
});

/// What is wrong with a ledger that is there, as `ledger_flaw.sql` puts it.
pub(super) struct Flaw(String);

impl Flaw {
    pub(super) fn of(row: &Row, column: &str) -> Option<Self> {
        row.get::<_, Option<String>>(column).map(Self)
    }

    /// Whether reading it runs no one else's code, so that its entries may count.
    pub(super) fn lets_read(&self) -> bool {
        matches!(self.parts().0, "trigger" | "rule" | "key")
    }

    /// The word, and what it is about.
    fn parts(&self) -> (&str, &str) {
        self.0.split_once(' ').unwrap_or((&self.0, ""))
    }

    /// What is wrong, and what to do about it.
    pub(super) fn reason(&self, catalog: &Catalog) -> String {
        let (ledger, table) = (catalog.ledger.quoted(), catalog.table.quoted());
        let again = "drop it and run what `beatwarden grants` prints, or name another one in watch.repair.ledger";
        let (word, about) = self.parts();
        match word {
            "kind" => format!("the ledger {ledger} is not a plain table that outlives a crash: {again}"),
            "heir" => format!("the ledger {ledger} is a partition, or other tables inherit from it: {again}"),
            "columns" => format!("{ledger} is another table, not a ledger: name another one in watch.repair.ledger"),
            "owner" => format!(
                "the ledger {ledger} belongs to the role `{}`, which has no power over {table} otherwise, and could change \
                 what is written to it: give it to the owner of {table} (ALTER TABLE {ledger} OWNER TO ...), or {again}",
                about.escape_debug()
            ),
            "rule" => format!("a rule of the ledger {ledger} could keep entries out of it: DROP RULE ... ON {ledger}"),
            "policy" => format!(
                "row security is active on the ledger {ledger} for this role: ALTER TABLE {ledger} DISABLE ROW LEVEL SECURITY"
            ),
            "trigger" => format!(
                "the trigger {} on the ledger {ledger} could keep entries out of it: DROP TRIGGER ... ON {ledger}",
                about.escape_debug()
            ),
            _ => format!(
                "the ledger {ledger} has no unique key, so a repair could be made twice: ALTER TABLE {ledger} ADD PRIMARY KEY \
                 (repair_id)"
            ),
        }
    }
}

/// Whether the ledger is there, and may be read.
pub(super) async fn exists(link: &Link, ready: &Ready) -> Result<bool, StoreError> {
    is_there(link, ready, Flaw::lets_read).await
}

/// Whether it is there, and takes entries.
pub(super) async fn is_sound(link: &Link, ready: &Ready) -> Result<bool, StoreError> {
    is_there(link, ready, |_| false).await
}

/// The error of a ledger that does not take what is written to it.
pub(super) fn no_entry() -> StoreError {
    StoreError::Schema(format!(
        "{NO_ENTRY}: a trigger, a rule or row security on it is in the way; `beatwarden check` says more"
    ))
}

/// Whether it is there, without a flaw but those that don't matter.
async fn is_there(link: &Link, ready: &Ready, is_harmless: impl Fn(&Flaw) -> bool) -> Result<bool, StoreError> {
    let (table, ledger) = (ready.catalog.table.quoted(), ready.catalog.ledger.quoted());
    // The numbers of the parameters are those of the facts, which have the same part.
    let nothing: Option<String> = None;
    let params: Vec<Param<'_>> = vec![&table, &ledger, &nothing, &nothing, &nothing, &*LEDGER_COLUMNS];
    let answer = link.ask(&ready.statements.ledger_exists, params);
    let rows = link.within("looking for the ledger", answer).await?;
    let Some(row) = rows.first().filter(|row| row.get("found")) else {
        return Ok(false);
    };
    match Flaw::of(row, "flaw").filter(|flaw| !is_harmless(flaw)) {
        Some(flaw) => Err(StoreError::Schema(flaw.reason(&ready.catalog))),
        None => Ok(true),
    }
}

/// Gives a ledger of an earlier version the indexes that this one reads it by, where this role may. Each in a transaction of
/// its own, so that what is made stays where another takes too long. Meanwhile no entry can be added, and so no repair made.
pub(super) async fn migrate(link: &Link, ready: &Ready) -> Result<(), StoreError> {
    let (lacking, ours) = layout(link, ready).await?;
    if lacking && ours {
        let limits = format!("{LIMITS}; SET LOCAL statement_timeout = '4s'");
        for index in ledger_indexes(&ready.statements.ledger_create) {
            make((link, ready), "migrating the ledger", &limits, index).await?;
        }
    }
    Ok(())
}

/// The statements that make the indexes which a ledger that is there lacks.
pub(super) async fn missing_indexes(link: &Link, ready: &Ready) -> Result<Vec<String>, StoreError> {
    let (lacking, _) = layout(link, ready).await?;
    let statements = lacking.then(|| to_be_run(&ready.statements.ledger_create));
    Ok(statements.unwrap_or_default())
}

/// Whether a ledger that is there lacks an index of this version, and whether this role may make it.
async fn layout(link: &Link, ready: &Ready) -> Result<(bool, bool), StoreError> {
    let (ledger, index) = (ready.catalog.ledger.quoted(), &ready.statements.last_index);
    let statement = include_str!("sql/ledger_lacks_index.sql");
    let answer = link.ask(statement, vec![&ledger, index]);
    let rows = link.within_for(WITHIN, "reading the ledger's layout", answer).await?;
    let found = rows.first().map(|row| (row.get("lacking"), row.get("ours")));
    Ok(found.unwrap_or_default())
}

/// Runs one statement that writes to the ledger only, under the limits of a repair.
pub(super) async fn write(
    (link, ready): (&Link, &Ready),
    what: &'static str,
    statement: &str,
    params: Vec<Param<'_>>,
) -> Result<Vec<Row>, StoreError> {
    let begin = begin_write(&ready.catalog.search_path);
    link.within_for(WITHIN, what, ask_in(link, &begin, statement, params))
        .await
}

/// Writes what turned out about a repair; whether this was the first to do so.
pub(super) async fn note(link: &Link, ready: &Ready, finding: &Finding) -> Result<Noted, StoreError> {
    let key = uuid::Uuid::from_u128(finding.repair_id.0);
    let outcome = finding.outcome.as_str();
    let (statement, tables) = (&ready.statements.ledger_note, &ready.catalog.spellings);
    let what = "noting what became of a repair";
    let changed = write((link, ready), what, statement, vec![tables, &key, &outcome]).await?;
    Ok(if changed.is_empty() { Noted::Known } else { Noted::First })
}

fn raced(error: &tokio_postgres::Error) -> bool {
    let codes = [
        SqlState::DUPLICATE_TABLE,
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_OBJECT,
    ];
    error.code().is_some_and(|code| codes.contains(code))
}

/// Asks the ledger for a repair, in a transaction that has won the gate first: the transaction in question holds it to
/// its end, so after that the answer is final.
pub(super) async fn resolve(
    link: &Link,
    ready: &Ready,
    instance: &String,
    id: RepairId,
) -> Result<Resolution, StoreError> {
    let client = link.client();
    let gate = ready.catalog.gate();
    let key = uuid::Uuid::from_u128(id.0);
    let begin = format!("BEGIN; {LIMITS}; {OF_READS}");
    let answers = async {
        let (begun, won, found, ended) = tokio::join!(
            biased;
            client.batch_execute(&begin),
            link.ask(
                &ready.statements.ledger_gate,
                vec![&GATE, &gate],
            ),
            link.ask(
                &ready.statements.ledger_find,
                vec![&key, instance],
            ),
            client.batch_execute("COMMIT"),
        );
        begun?;
        let (won, found) = (won?, found?);
        ended?;
        Ok((won, found))
    };
    let (won, found) = link
        .within_for(WITHIN, "looking for a repair in the ledger", answers)
        .await?;
    let answer = |rows: &[Row]| rows.first().map(|row| row.get::<_, bool>(0));
    Ok(match (answer(&won), answer(&found)) {
        (None | Some(false), _) => Resolution::NotLeader,
        (Some(true), Some(true)) => Resolution::Committed(id),
        (Some(true), Some(false)) => Resolution::ByAnother,
        (Some(true), None) => Resolution::NotCommitted,
    })
}
