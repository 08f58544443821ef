//! The least rights that a configuration needs, as SQL for a database administrator.

use crate::{
    domain::Action,
    store::{Identifier, Mapping, TableName, derived, fill},
};

/// The statements that let `role` do what the action needs, and nothing else. The ledger is created by whoever runs them,
/// so the role needn't be allowed to create tables; the error column is readable only where `fail` writes it.
pub fn grants(mapping: &Mapping, action: Action, role: &Identifier) -> String {
    let role = role.quoted();
    // Without a schema the statements act on whatever the administrator's own search finds, as ours do.
    let table = mapping.table.quoted();
    let schema = |name: &TableName| {
        name.schema
            .as_ref()
            .map_or_else(|| "\"public\"".to_owned(), Identifier::quoted)
    };
    let ledger = TableName {
        schema: mapping.ledger.schema.clone().or(mapping.table.schema.clone()),
        name: mapping.ledger.name.clone(),
    };
    let list = |columns: &[&Identifier]| {
        let quoted: Vec<String> = columns.iter().map(|column| column.quoted()).collect();
        quoted.join(", ")
    };
    let mut read = vec![
        &mapping.id,
        &mapping.state,
        &mapping.started_at,
        &mapping.last_heartbeat_at,
    ];
    read.extend(&mapping.job_name);
    read.extend(&mapping.ended_at);
    let error = mapping.error.as_ref().map(|error| &error.column);
    let mut sql = format!(
        "-- Least rights of {role} for watch {}, action {}.\nGRANT USAGE ON SCHEMA {} TO {role};\n",
        mapping.watch.escape_debug(),
        action.as_str(),
        schema(&mapping.table),
    );
    let mut written: Vec<&Identifier> = Vec::new();
    match action {
        Action::Observe => {}
        Action::Backfill => written.push(&mapping.last_heartbeat_at),
        Action::Fail => {
            written.push(&mapping.state);
            written.extend(&mapping.ended_at);
            written.extend(error);
            // The error text is added to what is there, so that has to be read.
            read.extend(error);
        }
    }
    sql.push_str(&format!("GRANT SELECT ({}) ON {table} TO {role};\n", list(&read)));
    if written.is_empty() {
        return sql;
    }
    sql.push_str(&format!("GRANT UPDATE ({}) ON {table} TO {role};\n\n", list(&written)));
    let index = |suffix: &str| derived("", ledger.name.as_str(), suffix).quoted();
    let names = [
        ("ledger", ledger.quoted()),
        ("ledger_by_time", index("_table_time")),
        ("ledger_by_job", index("_table_job")),
        ("ledger_unacknowledged", index("_table_unacknowledged")),
    ];
    let create = fill(include_str!("sql/ledger_create.sql"), &names);
    let statements: Vec<&str> = create.lines().filter(|line| !line.starts_with("--")).collect();
    sql.push_str(&statements.join("\n"));
    sql.push_str(&format!(
        "\nGRANT SELECT, INSERT, UPDATE (outcome, outcome_at, acknowledged_at) ON {} TO {role};\n",
        ledger.quoted()
    ));
    if schema(&ledger) != schema(&mapping.table) {
        sql.push_str(&format!("GRANT USAGE ON SCHEMA {} TO {role};\n", schema(&ledger)));
    }
    sql
}
