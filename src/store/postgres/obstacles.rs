//! What keeps a watch from repairing, with how to fix it. Read with the facts: again after 30 s, after 5 s while something stands in
//! the way, and when the entry of the table in the catalog changes.

use super::{
    PostgresSettings, Ready,
    catalog::{Catalog, foreign_cast},
    ledger::Flaw,
    sql::quoted,
};
use crate::{
    domain::{Action, Cause, Obstacle},
    store::{Identifier, computed},
};
use tokio_postgres::Row;

/// All obstacles that a row of facts shows; the first one counts.
pub(super) fn of(row: &Row, ready: &Ready, settings: &PostgresSettings) -> Vec<Obstacle> {
    let catalog = &ready.catalog;
    let table = catalog.table.quoted();
    let mut obstacles: Vec<Obstacle> = catalog.obstacle.iter().cloned().collect();
    obstacles.extend(ready.server.obstacles(settings.action));
    // A function writes what it writes.
    if catalog.function.is_none() {
        obstacles.extend(computed(&quoted_columns(row, "computed"), settings.action));
    }
    let mut add = |cause, reason| obstacles.push(Obstacle { cause, reason });
    if row.get::<_, Option<bool>>("row_security").unwrap_or(false) {
        add(
            Cause::Rights,
            format!(
                "row security is active on {table} for this role, so it may not see every row: ALTER ROLE ... BYPASSRLS, or \
                 connect as the table's owner"
            ),
        );
    }
    // One entry for each of its columns.
    let mut hiding: Vec<String> = row.get("other_row_security");
    hiding.dedup();
    for other in hiding {
        add(
            Cause::Rights,
            format!(
                "row security is active on {other} for this role, so it may not see every heartbeat: ALTER ROLE ... BYPASSRLS, or \
                 connect as the table's owner"
            ),
        );
    }
    for found in row.get::<_, Vec<String>>("foreign_casts") {
        let (column, function) = found.split_once('\n').unwrap_or((&found, ""));
        let what = foreign_cast(&column.escape_debug().to_string(), &function.escape_debug().to_string());
        let reason = format!(
            "{what}: a repair would run it with the rights of this role; drop the cast, or give the column a built-in type"
        );
        add(Cause::Rights, reason);
    }
    // What is written has to be read as well: the guard compares it, and the error text is added to what is there.
    for (found, what, right) in [
        ("not_updatable", "change", "UPDATE"),
        ("not_readable", "read", "SELECT"),
    ] {
        let columns = quoted_columns(row, found);
        if !columns.is_empty() {
            let columns = columns.join(", ");
            let reason = format!("no right to {what}: GRANT {right} ({columns}) ON {table} TO this role");
            add(Cause::Rights, reason);
        }
    }
    if let Some(function) = catalog
        .function
        .as_ref()
        .filter(|_| row.get::<_, Option<bool>>("callable") == Some(false))
    {
        let reason = format!(
            "no right to call the function that ends jobs: GRANT EXECUTE ON FUNCTION {} TO this role, and USAGE on its schema",
            function.signature
        );
        add(Cause::Rights, reason);
    }
    if row.get("read_only") {
        let reason =
            "the server is a standby or takes no writes: name the primary in the database URL, or several hosts";
        add(Cause::ReadOnly, reason.to_owned());
    }
    if settings.action != Action::Observe
        && let Some(reason) = ledger(row, catalog, settings.action)
    {
        add(Cause::NoLedger, reason);
    }
    obstacles
}

/// The columns that an answer names, as they stand in SQL.
fn quoted_columns(row: &Row, found: &str) -> Vec<String> {
    let names: Vec<String> = row.get(found);
    names.iter().map(|name| quoted(name)).collect()
}

fn ledger(row: &Row, catalog: &Catalog, action: Action) -> Option<String> {
    let ledger = catalog.ledger.quoted();
    let is = |column: &str| row.get::<_, bool>(column);
    if !is("ledger_exists") {
        let schema = catalog
            .ledger
            .schema
            .as_ref()
            .map(Identifier::quoted)
            .unwrap_or_default();
        return (!is("ledger_creatable")).then(|| {
            format!(
                "the ledger {ledger} is not there, and this role may not create it: GRANT CREATE ON SCHEMA {schema} TO this \
                 role, or run what `beatwarden grants` prints"
            )
        });
    }
    if let Some(flaw) = Flaw::of(row, "ledger_flaw") {
        return Some(flaw.reason(catalog));
    }
    let notable = "UPDATE (outcome, outcome_at, acknowledged_at)";
    let mut needed = vec![("ledger_readable", "SELECT"), ("ledger_writable", "INSERT")];
    // Without a place to write down that a repair was false the fuse can't hold for all replicas; a late heartbeat after a
    // backfill is harmless, and may stay unwritten.
    if action == Action::Fail {
        needed.push(("ledger_notable", notable));
    }
    let missing: Vec<&str> = needed
        .into_iter()
        .filter(|(column, _)| !is(column))
        .map(|(_, right)| right)
        .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "no right to write the ledger: GRANT {} ON {ledger} TO this role",
            missing.join(", ")
        )
    })
}
