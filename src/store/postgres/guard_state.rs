//! The guard as the catalog has it, compared with the guard as it is made. Owns the words for what differs.

use super::guard_sql::{GuardStatements, Made, TRIGGER};
use crate::{
    domain::Guard,
    store::{StoreError, guard::GuardState},
};
use serde::Deserialize;

/// One trigger of the guard, and the function that it calls, as `guard_state.sql` returns them.
#[derive(Debug, Deserialize)]
struct Found {
    name: String,
    enabled: String,
    #[serde(rename = "type")]
    kind: i16,
    plain: bool,
    of_state: Option<bool>,
    schema: String,
    function: String,
    body: String,
    language: String,
    definer: bool,
    settings: Option<String>,
    holder: String,
    holder_may: bool,
}

/// `pg_trigger.tgtype`: for each row, before insert.
const BEFORE_INSERT: i16 = 1 + 2 + 4;
/// For each row, after update.
const AFTER_UPDATE: i16 = 1 + 16;
/// What the function sets, as `pg_proc.proconfig` has it.
const SETTINGS: &str = "search_path=pg_catalog, pg_temp";

/// What the catalog says of the guard.
pub(super) fn guard_of(found: Option<&str>, statements: &GuardStatements) -> Result<GuardState, StoreError> {
    let Some(found) = found else {
        return Ok(GuardState::default());
    };
    let triggers: Vec<Found> = serde_json::from_str(found)
        .map_err(|error| StoreError::Schema(format!("the catalog's answer about the guard can't be read: {error}")))?;
    let made = &statements.made;
    let mut differs: Vec<String> = Vec::new();
    for (name, kind) in [
        (TRIGGER.to_owned(), BEFORE_INSERT),
        (format!("{TRIGGER}_start"), AFTER_UPDATE),
    ] {
        match triggers.iter().find(|found| found.name == name) {
            None => differs.push(format!("the trigger {name} is missing")),
            Some(found) if !found.is_made_for(kind) => {
                differs.push(format!("the trigger {name} fires for something else"))
            }
            Some(found) => differs.extend(found.differences(made)),
        }
    }
    differs.dedup();
    let off: Vec<String> = triggers
        .iter()
        .filter(|found| !matches!(found.enabled.as_str(), "O" | "A"))
        .map(|found| format!("the trigger {} is switched off", found.name))
        .collect();
    let guard = match (off.is_empty(), differs.is_empty()) {
        (false, _) => Guard::Disabled,
        (true, false) => Guard::Altered,
        (true, true) if triggers.iter().any(|found| found.is_former(made)) => Guard::Outdated,
        (true, true) => Guard::Sound,
    };
    differs.extend(off);
    Ok(GuardState { guard, differs })
}

impl Found {
    fn is_made_for(&self, kind: i16) -> bool {
        self.kind == kind && self.plain && (kind == BEFORE_INSERT || self.of_state == Some(true))
    }

    /// Whether an earlier version made it.
    fn is_former(&self, made: &Made) -> bool {
        self.body == made.former_body || self.has_name(made.former.as_ref())
    }

    fn has_name(&self, name: Option<&crate::store::Identifier>) -> bool {
        name.is_some_and(|name| self.function == name.as_str())
    }

    /// What of the function is not as it is made. Names and roles of the database, so escaped.
    fn differences(&self, made: &Made) -> Vec<String> {
        let called = format!("{}.{}", self.schema.escape_debug(), self.function.escape_debug());
        let in_place = made.schema.as_ref().is_none_or(|schema| schema.as_str() == self.schema);
        let is_called = self.has_name(Some(&made.function)) || self.has_name(made.former.as_ref());
        if !in_place || !is_called {
            return vec![format!(
                "the trigger {} calls the function {called}, which is not the guard's",
                self.name
            )];
        }
        let same_body = [&made.body, &made.former_body].contains(&&self.body);
        let found = [
            (same_body && self.language == "plpgsql", "has another body".to_owned()),
            (!self.definer, "is SECURITY DEFINER".to_owned()),
            (
                self.settings.as_deref() == Some(SETTINGS),
                "has other settings (expected SET search_path = pg_catalog, pg_temp)".to_owned(),
            ),
            (
                self.holder_may,
                format!(
                    "belongs to the role `{}`, which is not the table's owner and could change it under the writer",
                    self.holder.escape_debug()
                ),
            ),
        ];
        let differing = found.into_iter().filter(|(as_made, _)| !as_made);
        differing
            .map(|(_, what)| format!("the function {called} {what}"))
            .collect()
    }
}
