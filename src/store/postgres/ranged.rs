//! Heartbeats of another table for a range of keys: read as one range beside the jobs of it, in the same snapshot, and put
//! together here. For jobs that lie close together that costs a third of a lookup for each. A join would leave the choice to
//! the planner, and one that takes ten thousand rows for one compares each with each.

use super::{
    catalog::Catalog,
    sql::{Names, quoted},
};
use crate::domain::{Job, TimeValue};
use std::ops::RangeInclusive;

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

/// The range as it is asked for, in parts of so many keys: each answer is one row, which is in memory whole.
pub(super) fn parts(keys: RangeInclusive<i64>) -> impl Iterator<Item = RangeInclusive<i64>> {
    const KEYS: i64 = 1 << 16;
    let (mut next, last) = (Some(*keys.start()), *keys.end());
    std::iter::from_fn(move || {
        let from = next.filter(|from| *from <= last)?;
        let to = from.saturating_add(KEYS - 1).min(last);
        next = to.checked_add(1);
        Some(from..=to)
    })
}

/// Gives each job its heartbeat, if it has one. The jobs are in the order of their keys; several rows of one key are the same job.
pub(super) fn put_together(jobs: &mut [Job], mut heartbeats: Vec<(i64, TimeValue)>) {
    if !heartbeats.is_sorted_by_key(|(key, _)| *key) {
        heartbeats.sort_unstable_by_key(|(key, _)| *key);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::JobId;

    #[test]
    fn a_range_is_asked_for_in_parts_without_a_gap() {
        let parts_of = |keys| parts(keys).collect::<Vec<_>>();
        assert_eq!(parts_of(5..=5), [5..=5]);
        assert_eq!(parts_of(-1..=65_535), [-1..=65_534, 65_535..=65_535]);
        assert_eq!(parts_of(i64::MAX - 1..=i64::MAX), [i64::MAX - 1..=i64::MAX]);
        assert_eq!(parts(0..=1_999_999).count(), 31);
    }

    #[test]
    fn heartbeats_in_any_order_reach_their_jobs() {
        let job = |id: &str| Job {
            id: JobId::new(id),
            name: None,
            state: None,
            started_at: TimeValue::ABSENT,
            heartbeat_at: TimeValue::ABSENT,
            ended_at: TimeValue::ABSENT,
        };
        let mut jobs = ["1", "3", "3", "4", "9"].map(job);
        let at = TimeValue::from_micros;
        put_together(
            &mut jobs,
            vec![
                (9, at(90)),
                (2, at(20)),
                (3, at(30)),
                (8, at(80)),
                (1, TimeValue::UNREADABLE),
            ],
        );
        let heartbeats = jobs.map(|job| job.heartbeat_at);
        assert_eq!(
            heartbeats,
            [TimeValue::UNREADABLE, at(30), at(30), TimeValue::ABSENT, at(90)]
        );
    }
}
