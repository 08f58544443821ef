//! Heartbeats of another table for a range of keys: read as one range beside the jobs of it, in the same snapshot, and put
//! together here. For jobs that lie close together that costs a third of a lookup for each. A join would leave the choice to
//! the planner, and one that takes ten thousand rows for one compares each with each.

use super::{
    catalog::Catalog,
    sql::{Names, quoted},
};
use crate::domain::{Job, TimeValue};

/// The statements of a tail in two parts.
#[derive(Debug)]
pub(super) struct Ranged {
    /// The tail with the heartbeats of jobs above the newest key seen alone.
    pub tail: String,
    /// The heartbeats of the others.
    pub heartbeats: String,
}

impl Ranged {
    /// Nothing where the other table may have more for a range of keys than one row for each, or there is none. `with` fills a
    /// statement.
    pub(super) fn render(catalog: &Catalog, with: impl Fn(&str, Names) -> String) -> Option<Self> {
        let time = catalog.heartbeat_at.as_ref()?;
        let (rows, key) = time.elsewhere.as_ref()?.of_any.as_ref()?;
        let all_keep_utc = catalog.all_keep_utc();
        let above_newest = format!(
            "CASE WHEN {} OPERATOR(pg_catalog.>) $3::pg_catalog.text::{} THEN {} END",
            catalog.id.target(),
            catalog.id.cast(),
            time.sent(all_keep_utc)
        );
        let job = with(include_str!("sql/job.sql"), vec![("heartbeat_at_sent", above_newest)]);
        let others = vec![
            ("other_rows", rows.clone()),
            ("other_key", key.clone()),
            ("other_time", quoted(&time.column.name)),
            ("newest_sent", time.sent_value("newest.at", all_keep_utc)),
        ];
        Some(Self {
            tail: with(include_str!("sql/observe_tail.sql"), vec![("job", job)]),
            heartbeats: with(include_str!("sql/observe_heartbeats.sql"), others),
        })
    }
}

/// Gives each job its heartbeat, if it has one. Both are in the order of their keys; several rows of one key are the same job.
pub(super) fn put_together(jobs: &mut [Job], heartbeats: &[(i64, TimeValue)]) {
    let mut heartbeats = heartbeats.iter().peekable();
    for job in jobs {
        let Some(key) = job.id.number() else {
            continue;
        };
        while heartbeats.next_if(|(of, _)| *of < key).is_some() {}
        if let Some((_, at)) = heartbeats.peek().filter(|(of, _)| *of == key) {
            job.heartbeat_at = *at;
        }
    }
}
