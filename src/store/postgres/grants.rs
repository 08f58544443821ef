//! SQL for a database administrator: the least rights that a configuration needs, and the index that it wants.

use super::{
    hosts, search_path,
    sql::{literal, tag},
    target::Target,
};
use crate::{
    domain::Action,
    store::{
        self, Identifier, Mapping, StoreError, TableName, fill, layout::index_names, part, template::without_comments,
    },
};
use std::time::Duration;

/// The longest that looking for the table may take: the SQL is of use without it.
const WITHIN: Duration = Duration::from_secs(3);

/// Where a role's sessions find the table.
#[derive(Debug)]
pub struct Located {
    schema: Identifier,
    /// Whether it is a table, whose rows can be repaired.
    is_table: bool,
}

/// Looks for the table as a session of `role` will, through whatever connection there is.
///
/// # Errors
/// If the database can't be asked.
pub async fn locate(target: Target, mapping: &Mapping, role: &Identifier) -> Result<Option<Located>, StoreError> {
    let target = &target.read_files()?;
    let link = hosts::open(target, Action::Observe, WITHIN, None).await?;
    let name = mapping.table.name.as_str();
    let schemas = match &mapping.table.schema {
        Some(schema) => vec![schema.as_str().to_owned()],
        None => {
            let role_name = role.as_str();
            let answer = link.ask(include_str!("sql/grants_path.sql"), vec![&role_name]);
            let rows = link.within("reading the role's search path", answer).await?;
            let path: Option<String> = rows.first().and_then(|row| row.get("path"));
            let path = search_path::parse(&path.unwrap_or_default()).unwrap_or_default();
            let schema = |name: String| {
                if name == "$user" {
                    role.as_str().to_owned()
                } else {
                    name
                }
            };
            path.into_iter().map(schema).collect()
        }
    };
    let answer = link.ask(include_str!("sql/grants_table.sql"), vec![&schemas, &name]);
    let rows = link.within("looking for the table", answer).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let schema = Identifier::new(row.get("schema")).map_err(|error| StoreError::Schema(error.to_string()))?;
    Ok(Some(Located {
        schema,
        is_table: matches!(row.get("kind"), "r" | "p"),
    }))
}

/// The statements that let `role` do what the action needs, and nothing else: rights that another action needed are taken
/// back. The ledger is created by the role that runs them, so the role needn't be allowed to create tables; the error column is
/// readable only where `fail` writes it. Every name has its schema: that of the configuration, or where the table was found.
pub fn grants(
    mapping: &Mapping,
    action: Action,
    role: &Identifier,
    found: Result<Option<Located>, StoreError>,
) -> String {
    let quoted_role = role.quoted();
    let mut sql = format!(
        "-- Least rights of {quoted_role} for watch {}, action {}.\n",
        mapping.watch.escape_debug(),
        action.as_str()
    );
    let is_table = !matches!(&found, Ok(Some(located)) if !located.is_table);
    let schema = schema_of(mapping, found, &mut sql);
    let table = TableName {
        schema: Some(schema),
        name: mapping.table.name.clone(),
    };
    let ledger = mapping.ledger.beside(&table);
    let action = if is_table {
        action
    } else {
        sql.push_str(
            "-- This is no table but a view or the like: it can be observed, and its rows are never repaired.\n",
        );
        Action::Observe
    };
    sql.push_str(&format!(
        "-- One role for each owner of tables: triggers of a table run with all rights of who changes it.\n\
         -- Worth adding: ALTER ROLE {quoted_role} CONNECTION LIMIT 20;\n\
         GRANT USAGE ON SCHEMA {} TO {quoted_role};\n",
        schema_name(&table)
    ));
    of_columns(mapping, action, &table.quoted(), &quoted_role, &mut sql);
    of_function(mapping, action, &table, &quoted_role, &mut sql);
    of_others(mapping, &table, &quoted_role, &mut sql);
    of_ledger(action, (&table, &ledger), role, &mut sql);
    sql
}

/// The table's schema, and words where it had to be guessed.
fn schema_of(mapping: &Mapping, found: Result<Option<Located>, StoreError>, sql: &mut String) -> Identifier {
    let why = match (found, &mapping.table.schema) {
        (Ok(Some(located)), _) => return located.schema,
        (_, Some(schema)) => return schema.clone(),
        (Ok(None), None) => "no table of this name is on the role's search path".to_owned(),
        (Err(error), None) => format!("the database can't be asked: {}", error.chain().escape_debug()),
    };
    sql.push_str(&format!(
        "-- The schema \"public\" is a guess ({why}): name it in watch.table.name.\n"
    ));
    Identifier::new("public").expect("a name of six letters")
}

fn schema_name(name: &TableName) -> String {
    name.schema.as_ref().map(Identifier::quoted).unwrap_or_default()
}

/// The columns, each once.
fn list(columns: &[&Identifier]) -> String {
    let mut quoted: Vec<String> = Vec::new();
    for name in columns.iter().map(|column| column.quoted()) {
        if !quoted.contains(&name) {
            quoted.push(name);
        }
    }
    quoted.join(", ")
}

/// Reading other tables that times stand in; one that is named without a schema is taken to lie beside the job table.
fn of_others(mapping: &Mapping, table: &TableName, role: &str, sql: &mut String) {
    for (_, source) in mapping.sources() {
        let Some(elsewhere) = &source.elsewhere else { continue };
        let other = elsewhere.table.beside(table);
        if other.schema != table.schema {
            sql.push_str(&format!("GRANT USAGE ON SCHEMA {} TO {role};\n", schema_name(&other)));
        }
        let mut read = vec![&elsewhere.key, &source.column];
        read.extend(elsewhere.conditions.iter().map(|condition| &condition.column));
        sql.push_str(&format!(
            "GRANT SELECT ({}) ON {} TO {role};\n",
            list(&read),
            other.quoted()
        ));
    }
}

fn of_columns(mapping: &Mapping, action: Action, table: &str, role: &str, sql: &mut String) {
    let mut read = vec![&mapping.id, &mapping.state];
    read.extend(mapping.own_start());
    read.extend(mapping.own_heartbeat());
    read.extend(mapping.also_read());
    read.extend(&mapping.job_name);
    read.extend(&mapping.ended_at);
    let error = mapping.error.as_ref().map(|error| &error.column);
    let set = mapping.ending.set.iter().map(|(column, _)| column);
    let heartbeat: Vec<&Identifier> = mapping.own_heartbeat().into_iter().collect();
    let mut end = vec![&mapping.state];
    end.extend(&mapping.ended_at);
    let (written, no_longer): (_, Vec<&Identifier>) = match action {
        Action::Observe => (Vec::new(), [heartbeat, end].concat()),
        Action::Backfill => (heartbeat, end),
        Action::Fail => {
            // A function writes by its own rights or by ours; the lock of the row needs this one.
            let mut written = vec![&mapping.state];
            written.extend(mapping.end_written());
            // What is written is kept in the ledger as it was, and the error text is added to what is there: both are read.
            let further = mapping.error_written().map(|error| &error.column);
            let further: Vec<&Identifier> = further.into_iter().chain(set.clone()).collect();
            read.extend(&further);
            written.extend(further);
            let is_unwritten = |column: &&Identifier| !written.contains(column);
            let no_longer = [heartbeat, end].concat().into_iter().filter(is_unwritten).collect();
            (written, no_longer)
        }
    };
    if !no_longer.is_empty() {
        sql.push_str(&format!(
            "REVOKE UPDATE ({}) ON {table} FROM {role};\n",
            list(&no_longer)
        ));
    }
    let unused = error.into_iter().chain(set);
    for column in unused.filter(|column| !written.contains(column) && !read.contains(column)) {
        let column = column.quoted();
        let tag = tag("beatwarden", [table, role, &column].into_iter());
        sql.push_str(&format!(
            "DO {tag} BEGIN REVOKE SELECT ({column}), UPDATE ({column}) ON {table} FROM {role}; \
             EXCEPTION WHEN undefined_column THEN NULL; END {tag};\n"
        ));
    }
    sql.push_str(&format!("GRANT SELECT ({}) ON {table} TO {role};\n", list(&read)));
    if !written.is_empty() {
        sql.push_str(&format!("GRANT UPDATE ({}) ON {table} TO {role};\n", list(&written)));
    }
}

/// The function that ends jobs, where one is configured.
fn of_function(mapping: &Mapping, action: Action, table: &TableName, role: &str, sql: &mut String) {
    let Some(call) = &mapping.ending.call else { return };
    let function = call.function.beside(table);
    let (schema, function) = (schema_name(&function), function.quoted());
    if action == Action::Fail {
        sql.push_str(&format!(
            "-- Where several functions have this name, add the types of the one that is meant. Unless it is SECURITY DEFINER it works\n\
             -- with the rights of {role}: grant what it reads and writes as well.\n\
             GRANT USAGE ON SCHEMA {schema} TO {role};\nGRANT EXECUTE ON FUNCTION {function} TO {role};\n"
        ));
    } else {
        let tag = tag("beatwarden", [&*function, role].into_iter());
        sql.push_str(&format!(
            "DO {tag} BEGIN REVOKE EXECUTE ON FUNCTION {function} FROM {role}; EXCEPTION WHEN undefined_function OR \
             ambiguous_function OR invalid_schema_name THEN NULL; END {tag};\n"
        ));
    }
}

fn of_ledger(action: Action, (table, ledger): (&TableName, &TableName), role: &Identifier, sql: &mut String) {
    let (name, quoted_role) = (ledger.quoted(), role.quoted());
    let ledger_literal = literal(&name);
    if action == Action::Observe {
        let tag = tag("beatwarden", [&*name, &quoted_role].into_iter());
        let rights = "SELECT, INSERT, UPDATE, UPDATE (outcome, outcome_at, acknowledged_at)";
        sql.push_str(&format!(
            "DO {tag} BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass({ledger_literal})\n\
             \x20   AND pg_catalog.pg_get_userbyid(relowner) <> {}) THEN REVOKE {rights} ON {name} FROM {quoted_role}; END IF; END {tag};\n",
            literal(role.as_str()),
        ));
        return;
    }
    let mut names = vec![
        ("ledger", name.clone()),
        ("ledger_literal", ledger_literal),
        ("table_literal", literal(&table.quoted())),
        ("role_literal", literal(role.as_str())),
    ];
    names.extend(index_names(&ledger.name).map(|(place, name)| (place, name.quoted())));
    let create = fill(include_str!("sql/ledger_create.sql"), &names);
    let create = create.replacen("IF NOT EXISTS ", "", 1);
    let whole = without_comments(&create);
    let (create, indexes) = whole.split_once(";\n").expect("the table comes first");
    let indented: Vec<String> = create.lines().map(|line| format!("        {line}")).collect();
    names.push(("ledger_create", format!("{};", indented.join("\n"))));
    names.push((
        "tag",
        tag("beatwarden", [&*name, &table.quoted(), &quoted_role].into_iter()),
    ));
    sql.push('\n');
    if schema_name(ledger) != schema_name(table) {
        sql.push_str(&format!(
            "GRANT USAGE ON SCHEMA {} TO {quoted_role};\n",
            schema_name(ledger)
        ));
    }
    sql.push_str(&fill(include_str!("sql/grants_ledger.sql"), &names));
    sql.push_str(&format!(
        "{indexes}\nGRANT SELECT, INSERT, UPDATE (outcome, outcome_at, acknowledged_at) ON {name} TO {quoted_role};\n"
    ));
}

/// The statement that creates the index which makes finding running jobs cheap.
pub fn index_advice(mapping: &Mapping) -> String {
    let running = mapping.states.running.iter();
    let running: Vec<String> = running.map(|state| store::literal(state)).collect();
    let names = [
        ("table", mapping.table.quoted()),
        ("id", mapping.id.quoted()),
        ("state", mapping.state.quoted()),
        ("running", running.join(", ")),
    ];
    part(include_str!("sql/index_advice.sql"), &names)
}
