//! What `check` says of times that are not in the job table: where they stand, and the indexes that are missing there.

use super::{Line, bad, good, note};
use crate::{config::WatchConfig, domain::Action, mapping::TimeSource, store::survey::Surroundings};

/// All lines about them.
pub(super) fn lines(watch: &WatchConfig, around: &Surroundings) -> Vec<Line> {
    let times = [
        ("start", Some(&watch.mapping.started_at)),
        ("last heartbeat", watch.mapping.last_heartbeat_at.as_ref()),
    ];
    let mut lines: Vec<Line> = times
        .into_iter()
        .filter_map(|(what, time)| stands_in(what, time?))
        .collect();
    lines.extend(around.missing_indexes.iter().map(|advice| {
        let text = format!(
            "index: no index of that table begins with the key, so each pass reads all of it for each running job: {advice}"
        );
        bad(text)
    }));
    if watch.action() == Action::Fail {
        lines.extend(around.do_not_refer.iter().map(|table| {
            note(format!(
                "fail: rows of {} don't refer to the job by a foreign key, so a first heartbeat that is committed in the same \
                 microseconds, or whose transaction is open for long, can be missed: the job is failed all the same, and the \
                 false repair is found and reported",
                table.escape_debug()
            ))
        }));
    }
    lines
}

fn stands_in(what: &str, time: &TimeSource) -> Option<Line> {
    let other = time.elsewhere.as_ref()?;
    let text = format!(
        "times: the {what} of a job is the newest `{}` of its rows in `{}`",
        time.column.as_str().escape_debug(),
        other.table.plain().escape_debug()
    );
    Some(good(text))
}

/// Whether a heartbeat can be written into the job table.
pub(super) fn takes_heartbeats(watch: &WatchConfig) -> bool {
    watch.mapping.own_start().is_some() && watch.mapping.own_heartbeat().is_some()
}
