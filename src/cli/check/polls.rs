//! What a pass costs the database, by each way of finding running jobs.

use super::{Line, Verdict, good, note, running};
use crate::{
    app::{self, AppError},
    config::WatchConfig,
    domain::{Access, Coverage, Discovery, DiscoverySetting, SCANS, interval_in_force},
    store::{ObserveRequest, Store, StoreError},
};
use std::time::{Duration, Instant};

/// What an ordinary poll takes, by one way of finding running jobs.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    pub(super) took: Duration,
    /// What the scan alone costs the database, where it is one that costs something.
    scan: Option<Duration>,
    pub(super) discovery: Discovery,
    pub(super) access: Access,
}

/// What a poll takes as configured, and what it would take the other way, where there is one.
#[derive(Clone, Copy)]
pub(super) struct Costs {
    pub(super) poll: Cost,
    pub(super) other: Option<Cost>,
}

/// Observes twice by one way: the first time finds out what runs, the second is what an ordinary poll costs.
pub(super) async fn cost_of(watch: &WatchConfig, by: DiscoverySetting) -> Result<Result<Cost, StoreError>, AppError> {
    let mut watch = watch.clone();
    watch.discovery = by;
    let policy = app::policy_of(&watch);
    let mut store = app::store_of(&watch)?;
    let request = |known| ObserveRequest::whole(known, Coverage::Ordinary);
    let first = match store.observe(&request(Vec::new())).await {
        Ok(snapshot) => snapshot,
        Err(error) => return Ok(Err(error)),
    };
    let running = running(&first, &policy).map(|job| job.id.clone()).collect();
    let began = Instant::now();
    let second = store.observe(&request(running)).await;
    Ok(second.map(|snapshot| Cost {
        took: began.elapsed(),
        scan: snapshot.timing.scan,
        discovery: snapshot.discovery,
        access: snapshot.access,
    }))
}

/// What an ordinary poll costs, what it would cost with an index, and which one.
pub(super) fn poll(watch: &WatchConfig, Costs { poll, other }: Costs, is_view: bool) -> Line {
    let cost = poll.took;
    let index = match is_view {
        true => "the table behind the view is the one to index, on its state".to_owned(),
        false => app::index_for(watch),
    };
    match (poll.discovery, poll.access) {
        (Discovery::KeyTail, _) => {
            let by_state = other.map_or_else(String::new, |other| format!(", in {:.1?}", other.took));
            let text = format!(
                "poll: finds running jobs by their keys, in {cost:.1?}; by state it would scan the table{by_state}. After a \
                 start, jobs older than the newest rows may be missing until the first full look is complete, and a row that ended \
                 and runs again is found by a full look only (full_look_interval); an index finds both at once: {index}"
            );
            return good(text);
        }
        (Discovery::State, Access::Index) => {
            let text = format!("poll: finds running jobs by an index, in {cost:.1?}");
            return good(text);
        }
        (Discovery::State, Access::Scan) => {}
    }
    let cure = match watch.mapping.own_heartbeat().is_some() {
        true => format!("{index}; never index the heartbeat column, it makes every heartbeat cost more"),
        false => index,
    };
    let Some(scan) = poll.scan else {
        let text = format!(
            "poll: scans the table, which is small, in {cost:.1?}; when it grows, an index makes that cheap: {cure}"
        );
        return note(text);
    };
    let other = other.filter(|other| other.took < cost);
    let with_index = other.map_or_else(String::new, |other| {
        format!(
            " (with an index about {:.1?}: that is what the same rows take by their keys)",
            other.took
        )
    });
    let interval = interval_in_force(watch.poll_interval, &[scan; SCANS]);
    let share = match interval {
        late if late > watch.init_deadline / 2 => "half",
        late if late > watch.init_deadline / 3 => "a third",
        _ => {
            let text = format!("poll: scans the table, in {cost:.1?} now{with_index}; when the table grows: {cure}");
            return note(text);
        }
    };
    let text = format!(
        "poll: scans the table, which costs the database {scan:.1?}{with_index}, so that it is polled every {interval:.0?} only, \
         which is more than {share} of init_deadline: {cure}"
    );
    let verdict = if share == "half" { Verdict::Bad } else { Verdict::Note };
    (verdict, text)
}
