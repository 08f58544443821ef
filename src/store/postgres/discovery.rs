//! How running jobs are found: the way that is chosen from the planner's answer, and the tail of the key.

use super::{
    PostgresSettings, Ready, Way,
    catalog::Catalog,
    link::{Link, Param},
    observe::View,
    render::Statements,
    row,
};
use crate::{
    domain::{Access, Discovery, Job},
    store::{
        StoreError, Wanted,
        reading::{HISTORY, MOST_NEWCOMERS, MOST_RUNNING, MOST_UNKNOWN},
        tail::{PAGE, Tail},
    },
};
use std::{sync::PoisonError, time::Instant};
use tokio_postgres::types::Type;

/// A scan that the planner takes for dearer than this is left for the key tail: some ten thousand rows. Below it a scan
/// costs nothing, and sees rows that return to a running state at once.
const DEAR: f64 = 1_000.0;

/// How the running rows will be found: asked of the planner.
pub(super) async fn way(
    link: &Link,
    catalog: &Catalog,
    statements: &Statements,
    settings: &PostgresSettings,
) -> Result<Way, StoreError> {
    let explain = format!("EXPLAIN (FORMAT JSON) {}", statements.running);
    let states = &settings.mapping.states.running;
    let rows = link
        .within(
            "asking for the plan of the poll",
            link.ask(
                &explain,
                vec![
                    (&settings.mapping.time_zone, Type::TEXT),
                    (states, Type::TEXT_ARRAY),
                    (&MOST_RUNNING, Type::INT8),
                ],
            ),
        )
        .await?;
    let plan: Option<serde_json::Value> = rows.first().map(|row| row.get(0));
    let plan = plan.unwrap_or_default();
    let access = if plan.to_string().contains("Seq Scan") {
        Access::Scan
    } else {
        Access::Index
    };
    let cost = plan[0]["Plan"]["Total Cost"].as_f64().unwrap_or_default();
    let by_key = match settings.discovery {
        Wanted::State => false,
        Wanted::KeyTail => true,
        Wanted::Auto => access == Access::Scan && cost > DEAR,
    };
    let discovery = if by_key && catalog.grows {
        Discovery::KeyTail
    } else {
        Discovery::State
    };
    Ok(Way { discovery, access })
}

pub(super) async fn choose_again(link: &Link, ready: &Ready, settings: &PostgresSettings) -> Result<Way, StoreError> {
    let chosen = way(link, &ready.catalog, &ready.statements, settings).await?;
    *ready.way.lock().unwrap_or_else(PoisonError::into_inner) = chosen;
    Ok(chosen)
}

impl View<'_> {
    /// The rows after the newest key seen, and the tail with them; without a tail the newest rows of all.
    pub(super) async fn newcomers(&self, tail: Option<Tail>, found: &[Job]) -> Result<(Vec<Job>, Tail), StoreError> {
        let zone = &self.settings.mapping.time_zone;
        let link = self.link;
        let now = Instant::now();
        let Some(mut tail) = tail else {
            let params: Vec<Param<'_>> = vec![(zone, Type::TEXT), (&HISTORY, Type::INT8)];
            let answer = link.ask(&self.ready.statements.history, params);
            let rows = link.within("reading the newest rows", answer).await?;
            let jobs: Vec<Job> = rows.iter().map(row::job).collect();
            let tail = Tail::begin(&jobs, self.ready.catalog.id.lowest(), now);
            return Ok((jobs, tail));
        };
        let key = tail.newest().to_string();
        let params: Vec<Param<'_>> = vec![(zone, Type::TEXT), (&key, Type::TEXT), (&MOST_NEWCOMERS, Type::INT8)];
        let answer = link.ask(&self.ready.statements.newcomers, params);
        let rows = link.within("reading newcomers", answer).await?;
        let jobs: Vec<Job> = rows.iter().map(row::job).collect();
        tail.take(&jobs, found, now);
        Ok((jobs, tail))
    }

    /// Whether the table was emptied or restored below what the tail has seen.
    pub(super) async fn fell_back(&self, tail: Option<&Tail>) -> Result<bool, StoreError> {
        let answer = self.link.ask(&self.ready.statements.top, vec![]);
        let rows = self.link.within("reading the greatest key", answer).await?;
        let top: Option<String> = rows.first().and_then(|row| row.get("top"));
        let top = top.and_then(|top| top.parse().ok());
        let lowest = self.ready.catalog.id.lowest();
        // A table that is still empty has not fallen.
        Ok(tail.is_some_and(|tail| tail.newest() > lowest && tail.fell_back(top)))
    }

    /// The next page of the full look in progress, if there is one; and whether it was the last.
    pub(super) async fn page(&self, tail: &mut Tail) -> Result<(Vec<Job>, bool), StoreError> {
        let Some(after) = tail.page_after() else {
            return Ok((Vec::new(), false));
        };
        let mapping = &self.settings.mapping;
        let after = after.to_string();
        let (running, all) = (&mapping.states.running, mapping.states.all());
        let link = self.link;
        let answers = async {
            let (rows, end) = tokio::join!(
                biased;
                link.ask(
                    &self.ready.statements.page,
                    vec![
                        (&mapping.time_zone, Type::TEXT),
                        (&after, Type::TEXT),
                        (&PAGE, Type::INT8),
                        (running, Type::TEXT_ARRAY),
                        (&all, Type::TEXT_ARRAY),
                        (&MOST_UNKNOWN, Type::INT8),
                    ],
                ),
                link.ask(&self.ready.statements.page_end, vec![(&after, Type::TEXT), (&PAGE, Type::INT8)]),
            );
            Ok((rows?, end?))
        };
        let (rows, end) = link.within("reading a page of a full look", answers).await?;
        let end = end.first();
        let is_full = end.is_some_and(|row| row.get::<_, i64>("rows") >= PAGE);
        let last: Option<String> = end.and_then(|row| row.get("last"));
        let last = last.filter(|_| is_full).and_then(|last| last.parse().ok());
        Ok((rows.iter().map(row::job).collect(), tail.page_read(last)))
    }
}
