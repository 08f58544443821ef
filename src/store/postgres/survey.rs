//! What stands around the table on PostgreSQL: the role's powers, and whose functions run with them.

use super::{
    PostgresStore, Ready, catalog::foreign_cast, guard_sql::TRIGGER, ledger, link::Link, param::Param, row,
    transaction::look_alone,
};
use crate::{
    domain::{GOOD_RUNS, Job, JobId},
    store::{
        StoreError,
        reading::{GOOD_RUNS_WITHIN, Strings, keeps_heartbeats},
        survey::{Role, Surroundings, Surveyed},
    },
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// How long a pass may wait for the survey at the start: a catalog of many tables takes longer, and the log does without.
const AT_THE_START: Duration = Duration::from_millis(300);

/// Whether the log has named what the role may.
#[derive(Debug, Default)]
pub(super) struct Announced(AtomicBool);

impl Announced {
    /// Names in the log, once, a role that may more than it needs; `check` asks again, and takes its time.
    pub(super) async fn once(&self, link: &Link, ready: &Ready, watch: &str) {
        if self.0.load(Ordering::Relaxed) {
            return;
        }
        // Once is enough, whatever comes of it: a survey that takes too long would take so long at every connect.
        self.0.store(true, Ordering::Relaxed);
        let Ok(found) = survey(link, ready, AT_THE_START).await else {
            return;
        };
        let Some(role) = found.role else { return };
        let sentences = role.excess().into_iter().chain(role.sharing());
        for sentence in sentences {
            if role.owner_is_trusted {
                tracing::info!(watch, "{sentence}");
            } else {
                tracing::warn!(watch, "{sentence}");
            }
        }
    }
}

/// Looks around the table. The server gives up after `within`, so a slow answer doesn't keep the connection from the passes.
async fn survey(link: &Link, ready: &Ready, within: Duration) -> Result<Surroundings, StoreError> {
    let catalog = &ready.catalog;
    let (columns, ledger) = (catalog.mapped(), catalog.ledger.quoted());
    let answer = look_alone(
        link,
        within,
        include_str!("sql/survey.sql"),
        vec![&catalog.oid, &columns, &ledger, &TRIGGER],
    );
    let rows = link.within("looking around the table", answer).await?;
    let mut found = Surroundings {
        is_view: !catalog.is_table(),
        function: catalog.function.as_ref().map(|function| function.signature.clone()),
        missing_indexes: catalog
            .others
            .iter()
            .filter_map(|other| other.missing_index.clone())
            .collect(),
        do_not_refer: catalog
            .others
            .iter()
            .filter(|other| !other.refers)
            .map(|other| other.table.clone())
            .collect(),
        ..Surroundings::default()
    };
    let mut role = Role::default();
    for row in &rows {
        let (kind, name, detail): (&str, &str, &str) = (row.get("kind"), row.get("name"), row.get("detail"));
        match (kind, detail) {
            ("role", owner) => (role.name, role.owner) = (name.to_owned(), owner.to_owned()),
            ("trusted", _) => role.owner_is_trusted = true,
            ("power", "") => role.powers.push(name.to_owned()),
            ("power", by) if name == "is a member of" => role.powers.push(format!("{name} {by}")),
            ("power", by) => role
                .powers
                .push(format!("is a member of `{}`, which {name}", by.escape_debug())),
            ("owner", _) => role.other_owners.push(name.to_owned()),
            _ => found.neighbours.push(neighbour(kind, name, detail)),
        }
    }
    // One power said is enough where a role has it both directly and through another role.
    role.powers.sort();
    role.powers.dedup();
    found.role = Some(role);
    Ok(found)
}

/// The newest good runs; none where it takes long to find them.
pub(super) async fn good_runs(store: &mut PostgresStore) -> Result<Vec<Job>, StoreError> {
    const WHAT: &str = "reading good runs";
    if !keeps_heartbeats(&store.settings.mapping) {
        return Ok(Vec::new());
    }
    let (mut slot, ready) = store.for_operator().await?;
    // Taken out first: a connection whose answer is missing is never used again.
    let link = slot.take().expect("just connected");
    let mapping = &store.settings.mapping;
    let most = i64::try_from(GOOD_RUNS).unwrap_or(i64::MAX);
    let params: Vec<Param<'_>> = vec![&mapping.time_zone, &most, &mapping.states.success];
    let answer = look_alone(&link, GOOD_RUNS_WITHIN, &ready.statements.good_runs, params);
    let rows = match link.within_for(GOOD_RUNS_WITHIN * 2, WHAT, answer).await {
        // The server gave up, and said so: the connection is as good as before.
        Err(StoreError::Query { .. } | StoreError::Locked { .. }) => Vec::new(),
        answer => answer?,
    };
    *slot = Some(link);
    let (mut strings, keeps_utc) = (Strings::default(), ready.catalog.all_keep_utc());
    let jobs = rows.iter().filter_map(|row| row::job(row, keeps_utc, &mut strings));
    Ok(jobs.collect())
}

/// A neighbour as a clause.
fn neighbour(kind: &str, name: &str, detail: &str) -> String {
    let (name, detail) = (name.escape_debug(), detail.escape_debug());
    match kind {
        "trigger" => format!("the trigger `{name}` calls {detail}"),
        "cast" => foreign_cast(&name.to_string(), &detail.to_string()),
        "policy" => format!("the policy `{name}`"),
        "rule" => format!("the rule `{name}`"),
        "heir" => format!("the partition or child table {name}"),
        "generated" => format!("the column `{name}` is generated"),
        "domain" => format!("the type of column `{name}` is a domain that calls {detail}"),
        "constraint" => format!("the constraint `{name}` calls {detail}"),
        "index" => format!("the index {name} calls {detail}"),
        "statistics" => format!("the statistics `{name}` call {detail}"),
        _ => format!("{kind} {name}"),
    }
}

impl Surveyed for PostgresStore {
    async fn survey(&mut self) -> Result<Surroundings, StoreError> {
        let (slot, ready) = self.for_operator().await?;
        let link = super::held(&slot);
        let missing_ledger_indexes = ledger::missing_indexes(link, &ready).await?;
        let found = survey(link, &ready, self.settings.poll_timeout).await?;
        Ok(Surroundings {
            missing_ledger_indexes,
            ..found
        })
    }

    async fn times_of(&mut self, job: &JobId) -> Result<Vec<(String, String)>, StoreError> {
        let (slot, ready) = self.for_operator().await?;
        let (link, key) = (super::held(&slot), job.to_string());
        let answer = link.ask(&ready.statements.job_times, vec![&key]);
        let rows = link.within("reading the times of a row", answer).await?;
        let mapping = &self.settings.mapping;
        let columns = [
            ("started_at", mapping.started_at.plain()),
            ("heartbeat_at", mapping.heartbeat_name()),
        ];
        let read = |(column, name): (&str, String)| {
            let value: Option<String> = rows.first()?.get(column);
            Some((name, value?))
        };
        Ok(columns.into_iter().filter_map(read).collect())
    }
}
