//! The guard's statements for one table, and what the guard is as they make it.

use super::sql::{Names, literal, tag};
use crate::store::{Identifier, TableName, derived, fill, formerly};

/// The trigger's name: triggers fire in the order of their names, and the guard has to see what the others set.
pub(super) const TRIGGER: &str = "zz_beatwarden_guard";
/// What the names of the function and of the index begin with.
const FUNCTION: &str = "beatwarden_guard_";
const INDEX: &str = "beatwarden_running_";

/// The statements of the guard for one table.
#[derive(Debug)]
pub(super) struct GuardStatements {
    pub install: String,
    pub disarm: String,
    pub remove: String,
    pub index: String,
    pub index_name: Identifier,
    /// The name of the index under an earlier version, where it was another one, and what brings it over.
    pub former_index: Option<(Identifier, String)>,
    /// The function as `to_regprocedure` takes it.
    pub signature: String,
    pub made: Made,
}

/// What the guard is as it is made: what the catalog is compared with.
#[derive(Debug)]
pub(super) struct Made {
    pub schema: Option<Identifier>,
    pub function: Identifier,
    pub former: Option<Identifier>,
    /// The body as the catalog keeps it.
    pub body: String,
    /// As an earlier version made it.
    pub former_body: String,
}

impl GuardStatements {
    pub(super) fn render(names: &Names, table: &TableName, value: &str, states: &[String]) -> Self {
        let whole = table.name.as_str();
        let (function, former) = (derived(FUNCTION, whole, ""), formerly(FUNCTION, whole, ""));
        let (index_name, former_index) = (derived(INDEX, whole, ""), formerly(INDEX, whole, ""));
        let schema = table.schema.as_ref();
        let schema_dot = schema.map(|schema| format!("{}.", schema.quoted())).unwrap_or_default();
        let called = |name: &Identifier| format!("{schema_dot}{}", name.quoted());
        let signature = format!("{}()", called(&function));
        let lookup = |name: &Identifier| {
            format!(
                "pg_catalog.to_regprocedure({})",
                literal(&format!("{}()", called(name)))
            )
        };
        let list: Vec<String> = states.iter().map(|state| literal(state)).collect();
        let state = &names
            .iter()
            .find(|(name, _)| *name == "state")
            .expect("a statement has a state")
            .1;
        let is_running: Vec<String> = list
            .iter()
            .map(|literal| format!("{state} OPERATOR(pg_catalog.=) {literal}"))
            .collect();
        let formers: Vec<String> = former.iter().map(lookup).collect();
        let both: Vec<String> = std::iter::once(lookup(&function)).chain(formers.clone()).collect();
        let mut names = names.clone();
        names.extend([
            ("guard_function", called(&function)),
            ("guard_function_literal", literal(&signature)),
            ("guard_functions", both.join(", ")),
            ("table_literal", literal(&table.quoted())),
            ("guard_trigger", TRIGGER.to_owned()),
            ("guard_running", format!("ARRAY[{}]::text[]", list.join(", "))),
            ("guard_value", value.to_owned()),
            ("guard_index", index_name.quoted()),
            ("is_running", is_running.join(" OR ")),
        ]);
        let tag = tag("beatwarden_guard", names.iter().map(|(_, value)| value.as_str()));
        names.push(("tag", tag));
        let body = fill(include_str!("sql/guard_body.sql"), &names);
        let former_body = fill(include_str!("sql/guard_body_former.sql"), &names);
        names.push(("guard_body", body.clone()));
        let filled = |template: &str| fill(template, &names);
        let retiring = |retired: &[String]| {
            let retired = ("guard_retired", retired.join(", "));
            let names: Names = names.iter().cloned().chain([retired]).collect();
            fill(include_str!("sql/guard_retire.sql"), &names)
        };
        let mut install = [
            include_str!("sql/guard_function.sql"),
            include_str!("sql/guard_owner.sql"),
            include_str!("sql/guard_trigger.sql"),
        ]
        .map(filled)
        .concat();
        if !formers.is_empty() {
            install.push_str(&retiring(&formers));
        }
        let renaming = |former: Identifier| {
            let name = ("guard_index_former", called(&former));
            let names: Names = names.iter().cloned().chain([name]).collect();
            (former, fill(include_str!("sql/index_rename.sql"), &names))
        };
        Self {
            install,
            disarm: filled(include_str!("sql/guard_disarm.sql")),
            remove: format!("{}{}", filled(include_str!("sql/guard_remove.sql")), retiring(&both)),
            index: filled(include_str!("sql/guard_index.sql")),
            index_name,
            former_index: former_index.map(renaming),
            signature,
            made: Made {
                schema: schema.cloned(),
                function,
                former,
                body: format!("\n{body}"),
                former_body: format!("\n{former_body}"),
            },
        }
    }
}
