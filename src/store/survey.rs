//! What stands around a watched table: what our role may do beyond its task, and whose code runs when rows are read or
//! changed. For `check`, `guard` and one line of the log; no judgement of a job rests on it.

use super::StoreError;
use crate::domain::JobId;
use std::future::Future;

/// What was found around the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The role of the connection; none where the database knows no roles.
    pub role: Option<Role>,
    /// Whether it is no table but a view or the like: it can't be repaired, nor be given an index.
    pub is_view: bool,
    /// The function that ends jobs, with the types of its arguments, where one is configured and in use.
    pub function: Option<String>,
    /// The statements that make indexes which the other tables lack that times stand in.
    pub missing_indexes: Vec<String>,
    /// The statements that make the indexes which a ledger of an earlier version lacks.
    pub missing_ledger_indexes: Vec<String>,
    /// The other tables whose rows don't refer to the job by a foreign key: an uncommitted one holds no row of the job table.
    pub do_not_refer: Vec<String>,
    /// Triggers, rules, policies and the like, each as a clause for people, the names in it escaped.
    pub neighbours: Vec<String>,
}

/// What our role may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Who owns the table.
    pub owner: String,
    /// Whether that owner is this role or a superuser, who gains nothing by it.
    pub owner_is_trusted: bool,
    /// What it may beyond reading and writing tables, each as a clause.
    pub powers: Vec<String>,
    /// Other owners whose tables it may change.
    pub other_owners: Vec<String>,
}

impl Role {
    /// The sentence about a role that may more than it needs, if it may.
    pub fn excess(&self) -> Option<String> {
        if self.powers.is_empty() {
            return None;
        }
        let (name, owner) = (self.name.escape_debug(), self.owner.escape_debug());
        let powers = self.powers.join(", ");
        Some(if self.owner_is_trusted {
            format!(
                "the role `{name}` {powers}, which is more than watching needs; use one with what `beatwarden grants` prints"
            )
        } else {
            format!(
                "the role `{name}` {powers}: `{owner}`, who owns the table, can run code with these rights by a trigger, a \
                 cast, a policy or a view; use a role with what `beatwarden grants` prints, and nothing else"
            )
        })
    }

    /// The sentence about a role that several owners share, if they do.
    pub fn sharing(&self) -> Option<String> {
        if self.other_owners.is_empty() {
            return None;
        }
        let others: Vec<String> = self
            .other_owners
            .iter()
            .map(|owner| format!("`{}`", owner.escape_debug()))
            .collect();
        Some(format!(
            "the role `{}` may also change tables of {}: a trigger of one owner runs with this role's rights in a repair, and \
             so reaches the tables of the others; use one role for each owner",
            self.name.escape_debug(),
            others.join(", ")
        ))
    }
}

/// Who can look around a table.
pub trait Surveyed: Send {
    /// Looks around the table. Catalog only.
    ///
    /// # Errors
    /// If the database can't be asked.
    fn survey(&mut self) -> impl Future<Output = Result<Surroundings, StoreError>> + Send;

    /// Start and heartbeat of a row as they stand in it, each with its column; cut to sixty characters.
    ///
    /// # Errors
    /// If the database can't be asked.
    fn times_of(&mut self, job: &JobId) -> impl Future<Output = Result<Vec<(String, String)>, StoreError>> + Send;
}
