//! What a server reports about itself, part by part: which parts it refuses is found out once at each connect, and what is
//! left is its identity. Managed and hardened servers, and engines that only speak like PostgreSQL, refuse some.

use super::{failures::refusal, sql::Names};
use crate::{
    domain::{Action, Cause, Obstacle, Unknowns},
    store::{StoreError, part},
};
use tokio_postgres::{Error, Row};

/// One part of what a server reports, with its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    System,
    Recovery,
    Timeline,
    Started,
    Address,
    Version,
    Transactions,
}

impl Part {
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::System => include_str!("sql/part_system_identifier.sql"),
            Self::Recovery => include_str!("sql/part_in_recovery.sql"),
            Self::Timeline => include_str!("sql/part_timeline.sql"),
            Self::Started => include_str!("sql/part_server_started_at.sql"),
            Self::Address => include_str!("sql/part_server_address.sql"),
            Self::Version => include_str!("sql/part_version.sql"),
            Self::Transactions => include_str!("sql/part_transactions.sql"),
        }
    }

    /// What takes its place where it is refused.
    const fn instead(self) -> &'static str {
        match self {
            Self::System | Self::Timeline => "''",
            Self::Recovery => include_str!("sql/part_in_recovery_setting.sql"),
            Self::Started => "NULL::pg_catalog.timestamptz",
            Self::Address => "NULL",
            Self::Transactions => "NULL::pg_catalog.text",
            Self::Version => include_str!("sql/part_version_none.sql"),
        }
    }

    /// What it is, and what is lost without it.
    const fn cost(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::System => (
                "the system identifier",
                "another cluster is recognised by its address, its timeline and its start alone",
            ),
            Self::Recovery => ("pg_is_in_recovery()", "the setting in_hot_standby takes its place"),
            Self::Timeline => (
                "the timeline",
                "a promotion without a restart would go unseen, so `fail` takes every new connection for a restart of the server \
                 (cause db_restart)",
            ),
            Self::Started => (
                "the server's start",
                "a restart would go unseen, so `fail` takes every new connection for one (cause db_restart)",
            ),
            Self::Version => (
                "the version of entries in the catalog",
                "columns and rights are asked for in every pass, which costs the database a little more",
            ),
            // The one only takes the place of others; a time takes the place of the other.
            Self::Address | Self::Transactions => return None,
        })
    }
}

/// What one server reports, as far as it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Server {
    refused: Vec<(Part, String)>,
    /// Why there is no advisory lock that can be relied on.
    pub no_gate: Option<String>,
    /// Why the catalog can't be asked for rights, and for what else repairs rest on.
    pub no_facts: Option<String>,
}

impl Server {
    /// Takes in the answer about a part.
    pub(super) fn take(
        &mut self,
        of: Part,
        what: &'static str,
        answer: Result<Vec<Row>, Error>,
    ) -> Result<(), StoreError> {
        if let Err(error) = answer {
            self.refused.push((of, refusal(what, error)?));
        }
        Ok(())
    }

    fn reports(&self, part: Part) -> bool {
        !self.refused.iter().any(|(refused, _)| *refused == part)
    }

    /// Whether a restart or a promotion could go unseen.
    fn hides_restarts(&self) -> bool {
        !(self.reports(Part::Timeline) && self.reports(Part::Started))
    }

    /// Whether anything is refused that may be given later.
    pub(super) fn is_incomplete(&self) -> bool {
        !self.refused.is_empty() || self.no_gate.is_some() || self.no_facts.is_some()
    }

    pub(super) fn expression(&self, of: Part) -> String {
        let sql = if self.reports(of) { of.sql() } else { of.instead() };
        let names = match of {
            Part::Timeline => vec![("in_recovery", self.expression(Part::Recovery))],
            _ => Vec::new(),
        };
        part(sql, &names)
    }

    /// What stands for the server's parts in the statements.
    pub(super) fn names(&self) -> Names {
        let identifies = [Part::System, Part::Timeline, Part::Started];
        let address = if identifies.into_iter().all(|of| self.reports(of)) {
            // The same server has several addresses, and is the same by any.
            Part::Address.instead().to_owned()
        } else {
            self.expression(Part::Address)
        };
        let mut names = vec![
            ("system_identifier", self.expression(Part::System)),
            ("in_recovery", self.expression(Part::Recovery)),
            ("timeline", self.expression(Part::Timeline)),
            ("server_started_at", self.expression(Part::Started)),
            ("server_address", address),
            ("version", self.expression(Part::Version)),
            ("transactions", self.expression(Part::Transactions)),
        ];
        names.push(("identity", part(include_str!("sql/identity.sql"), &names)));
        names
    }

    /// What keeps repairs from being made on this server at all.
    pub(super) fn obstacles(&self, action: Action) -> Vec<Obstacle> {
        let reasons = self.no_facts.iter().chain(&self.no_gate);
        let reasons = reasons.filter(|_| action != Action::Observe);
        let reasons = reasons.map(|reason| format!("{reason}: repairs need it; action observe does without"));
        reasons.map(|reason| Obstacle::new(Cause::Rights, reason)).collect()
    }

    /// What isn't reported, and what that costs, on this connection, which keeps statements or not.
    pub(super) fn unknowns(&self, connection: u64, kept: &'static str) -> Unknowns {
        let cost = |(part, why): &(Part, String)| {
            let (what, cost) = part.cost()?;
            Some(format!("{what} can't be read here ({why}): {cost}"))
        };
        let mut costs: Vec<String> = self.refused.iter().filter_map(cost).collect();
        let of_repairs = self.no_facts.iter().chain(&self.no_gate);
        costs.extend(of_repairs.map(|why| format!("{why}: repairs are withheld")));
        Unknowns {
            connection: self.hides_restarts().then_some(connection),
            prepared: Some(kept),
            costs,
        }
    }
}
