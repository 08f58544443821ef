//! Why a repair can't be taken back: each refusal names the column and the values, so that the operator can see for
//! themselves. The same words for both databases.

use super::{Identifier, Mapping, image, rfc3339};
use crate::domain::{LedgerAction, LedgerEntry, Timestamp};

/// The row that an undo meets, with its values as text.
pub(crate) struct CurrentRow {
    pub started_at: Option<Timestamp>,
    pub state: Option<String>,
    pub ended_at: Option<String>,
    pub heartbeat_at: Option<String>,
    /// Whether the end is as the repair left it.
    pub end_unchanged: bool,
    /// Whether the heartbeat is as the repair left it.
    pub heartbeat_unchanged: bool,
    /// A newer job of the same name that runs.
    pub newer: Option<String>,
}

/// The reason to refuse, if there is one.
pub(crate) fn refusal(
    entry: &LedgerEntry,
    undone_at: Option<Timestamp>,
    current: Option<&CurrentRow>,
    mapping: &Mapping,
) -> Option<String> {
    if matches!(entry.action, LedgerAction::Undo | LedgerAction::AckFuse) {
        return Some(format!(
            "this entry is no repair but `{}`: there is nothing to take back",
            entry.action.as_str()
        ));
    }
    if let Some(at) = undone_at {
        return Some(format!("it was undone before, at {}", rfc3339(at)));
    }
    let (id, key) = (mapping.id.as_str(), entry.job_id.text());
    let job = key.escape_debug();
    let Some(row) = current else {
        return Some(format!("the row {id} = {job} is gone from `{}`", mapping.table.plain()));
    };
    let left = |column: &str| image::value(&entry.after, column);
    let (start, state, beat) = (
        mapping.started_at.plain(),
        mapping.state.as_str(),
        mapping.heartbeat_name(),
    );
    if row.started_at != entry.started_at {
        let shown = |at: Option<Timestamp>| at.map_or_else(|| "NULL".to_owned(), rfc3339);
        return Some(format!(
            "{start} is {}, and was {} at the repair: the row was started again",
            shown(row.started_at),
            shown(entry.started_at)
        ));
    }
    if entry.action == LedgerAction::Backfill && mapping.last_heartbeat_at.is_none() {
        return Some(
            "it set a heartbeat, and this watch maps none any more (watch.table.last_heartbeat_at)".to_owned(),
        );
    }
    if entry.action == LedgerAction::Backfill && mapping.own_heartbeat().is_none() {
        return Some(format!(
            "it wrote a heartbeat into `{}`, and by watch.table.last_heartbeat_at heartbeats are elsewhere now",
            mapping.table.plain()
        ));
    }
    let changed = |column: &str, now: &Option<String>, how: &str| {
        let (now, left) = (value(now.as_deref()), value(left(column).as_deref()));
        format!("{column} is {now}, and the repair left {left}: {how} since")
    };
    if entry.action == LedgerAction::Backfill {
        let is_changed = !row.heartbeat_unchanged;
        return is_changed.then(|| changed(&beat, &row.heartbeat_at, "the writer has written it"));
    }
    if let Some(why) = no_way_back(entry, mapping) {
        return Some(why);
    }
    if row.state != left(state) {
        return Some(changed(state, &row.state, "it was changed"));
    }
    if let Some(end) = mapping.ended_at.as_ref().filter(|_| !row.end_unchanged) {
        return Some(changed(end.as_str(), &row.ended_at, "it was changed"));
    }
    row.newer.as_ref().map(|newer| {
        format!(
            "{id} = {} has the same name, started later and is in a running state: giving this job back would make two of \
             them run",
            newer.escape_debug()
        )
    })
}

/// Why what a fail wrote can't be put back, whatever the row is now.
fn no_way_back(entry: &LedgerEntry, mapping: &Mapping) -> Option<String> {
    let state = mapping.state.as_str();
    let put_back = image::value(&entry.after, state).filter(|state| mapping.is_waiting(state));
    if let Some(waiting) = put_back {
        return Some(format!(
            "the repair put the job back to be run again ({state} is {}): a new run may have begun at any time, and this one has \
             nothing to go back to",
            value(Some(&waiting))
        ));
    }
    if let Some(function) = image::value(&entry.after, image::CALLED) {
        return Some(format!(
            "the function {} ended the job, and may have changed more than its row: only the application can take that back",
            value(Some(&function))
        ));
    }
    let (before, after) = (image::keys(&entry.before), image::keys(&entry.after));
    let set = mapping.ending.set.iter().map(|(column, _)| column.as_str());
    let ended_at = mapping.ended_at.as_ref().map(Identifier::as_str);
    let known: Vec<&str> = set.clone().chain(ended_at).chain([state, "error_was"]).collect();
    if let Some(column) = before.iter().find(|column| !known.contains(&column.as_str())) {
        return Some(format!(
            "the repair also changed {}, which is no column that the configuration names now: name it again in \
             watch.repair.fail.set, as it was then",
            value(Some(column))
        ));
    }
    let mut too_long = set.filter(|column| after.iter().any(|key| key == column));
    let too_long = too_long.find(|column| !before.iter().any(|key| key == column))?;
    Some(format!(
        "what {} held before the repair was longer than the ledger keeps",
        value(Some(too_long))
    ))
}

fn value(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".to_owned(), |text| format!("`{}`", text.escape_debug()))
}
