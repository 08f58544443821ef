//! The repairs: the outcomes that wait to be acknowledged, and the newest entries of the ledger with before and after.

use super::{
    asked::Asked,
    place::Place,
    table::{Row, name_and_id, table, whole},
    text, with_commands,
};
use crate::{
    domain::{LateOutcome, LedgerAction, LedgerEntry, Report},
    present::{sentence_of, time::clock, words::number},
};
use maud::{Markup, html};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// How many outcomes are named; the rest is counted.
const OUTCOMES: usize = 10;

/// What turned out about earlier repairs of all watches, until someone acknowledges it.
pub(super) fn outcomes(places: &[Place<'_>]) -> Markup {
    let of_watch = |place: &Place<'_>| {
        let name = place.among_others.then(|| text(&place.view.name));
        let of = |(entry, outcome): (&LedgerEntry, LateOutcome)| {
            let words = sentence_of(entry, outcome, place.view.is_undone(entry), place.noun());
            (outcome, entry.repaired_at, name.clone(), words)
        };
        place.view.outcomes().into_iter().map(of).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = places.iter().flat_map(of_watch).collect();
    // What did harm first, the newest of it first.
    all.sort_by_key(|(outcome, at, ..)| (*outcome != LateOutcome::FalseRepair, std::cmp::Reverse(*at)));
    html! {
        @if !all.is_empty() {
            section.outcomes aria-label="Outcomes that no one has acknowledged" {
                @for (outcome, _, name, words) in all.iter().take(OUTCOMES) {
                    p.notice.bad[*outcome == LateOutcome::FalseRepair] {
                        @if let Some(name) = name { bdi.name { (name) } " " }
                        (with_commands(words))
                    }
                }
                @if all.len() > OUTCOMES {
                    p.none { "And " (number((all.len() - OUTCOMES) as u64)) " more: " code { "beatwarden history" } "." }
                }
            }
        }
    }
}

/// The newest entries of the ledger.
pub(super) fn repairs(place: &Place<'_>, report: &Report) -> Markup {
    let all = report.repairs.len();
    let listed: BTreeSet<_> = report.jobs.iter().map(|job| job.id.text()).collect();
    let mut anchored = BTreeSet::new();
    let row = |entry: &Arc<LedgerEntry>| {
        let class = match entry.outcome {
            Some(LateOutcome::FalseRepair) => "false_repair",
            _ => "repaired",
        };
        let key = entry.job_id.text();
        // A job that ended has its address here, at the newest of its entries.
        let is_first = !listed.contains(&key) && anchored.insert(key.clone().into_owned());
        let anchor = place.anchor(&key).filter(|_| is_first);
        Row {
            class,
            is_marked: anchor.as_deref().is_some_and(|anchor| place.asked.marks(anchor)),
            anchor,
            cells: [
                whole(&clock(entry.repaired_at)),
                name_and_id(place, entry.job_name.as_deref(), &key),
                html! { (entry.action.as_str().replace('_', " ")) " " code.uuid { (entry.repair_id) } },
                changes(&entry.before, &entry.after),
                outcome(entry, place.view.is_undone(entry)),
            ],
        }
    };
    let rows: Vec<_> = report.repairs.iter().take(place.asked.repairs).map(row).collect();
    let headings = [
        "when (UTC)",
        place.noun().one(),
        "repair",
        "before and after",
        "outcome",
    ];
    let id = format!("repairs-{}", place.index);
    let link = |repairs: usize, words: &str| {
        html! { a href={ (place.asked.with_repairs(repairs).address()) "#" (id) } { (words) } }
    };
    html! {
        h3 id=(id) { "Last repairs" }
        @if report.repaired() > 0 {
            p.none { (number(report.repaired())) " made by the last pass; the next one reads what the ledger has of it." }
        }
        @if rows.is_empty() && report.repaired() == 0 { p.none { "None." } }
        @if !rows.is_empty() {
            (table("Last repairs, newest first", headings, &rows))
            p.none {
                @if all > rows.len() {
                    (link(place.asked.repairs * 3, "More")) " of the newest " (all) "; " code { "beatwarden history" } " lists all. "
                }
                @if place.asked.repairs > Asked::REPAIRS { (link(Asked::REPAIRS, "Fewer")) }
            }
        }
    }
}

fn outcome(entry: &LedgerEntry, undone: bool) -> Markup {
    let words = match (entry.outcome, entry.action) {
        (Some(LateOutcome::FalseRepair), _) => "false repair",
        (Some(LateOutcome::LateHeartbeat), _) => "late heartbeat",
        (None, LedgerAction::Backfill | LedgerAction::Fail) if undone => "",
        (None, LedgerAction::Backfill | LedgerAction::Fail) => "no sign of life",
        (None, LedgerAction::Undo | LedgerAction::AckFuse) => "–",
    };
    let parts = [
        words,
        if undone { "undone" } else { "" },
        match entry.acknowledged_at {
            Some(_) => "acknowledged",
            None => "",
        },
    ];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    html! { (parts.join(", ")) }
}

/// Each changed column with its value before and after. A column that only one image has was not changed: `after` keeps the
/// heartbeat to recognise a sign of life by. Only of the error column neither image has the value, since it may hold
/// secrets. Someone may have written to the ledger by hand: what is no object is shown as it is.
fn changes(before: &str, after: &str) -> Markup {
    let object = |text: &str| match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    };
    let (Some(old), Some(new)) = (object(before), object(after)) else {
        return html! { code { (text(before)) } " → " code { (text(after)) } };
    };
    let both = old
        .iter()
        .filter_map(|(column, old)| Some((column, old, new.get(column)?)));
    // Where the column held something else than an object, nothing was added to it.
    let was = old.get("error_was").and_then(Value::as_str);
    let is_error_added = new.contains_key("error_text") && was.is_some_and(|was| was != "other");
    html! {
        ul.changes {
            @for (column, old, new) in both.filter(|(_, old, new)| old != new) {
                li { code { (text(column)) } " " (value(old)) " → " (value(new)) }
            }
            @if is_error_added { li { "an error text was added" } }
        }
    }
}

fn value(value: &Value) -> Markup {
    html! {
        @match value {
            Value::Null => { i { "NULL" } }
            Value::String(value) => { bdi { (text(value)) } }
            other => { (text(&other.to_string())) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_changed_is_shown_as_changed() {
        let changes = |before: &str, after: &str| changes(before, after).into_string();
        let fail = changes(
            r#"{"state": "RUNNING", "ended_at": null, "error_was": "null"}"#,
            r#"{"state": "FAIL", "ended_at": "2026-11-27 01:00:00", "last_heartbeat_at": null, "error_text": "Beatwarden: ..."}"#,
        );
        assert_eq!(
            fail,
            "<ul class=\"changes\"><li><code>ended_at</code> <i>NULL</i> → <bdi>2026-11-27 01:00:00</bdi></li>\
             <li><code>state</code> <bdi>RUNNING</bdi> → <bdi>FAIL</bdi></li><li>an error text was added</li></ul>"
        );
        // A heartbeat that was observed and left alone, and an error column whose value was.
        let seeded = changes(
            r#"{"state": "RUNNING", "error_was": "other"}"#,
            r#"{"state": "FAIL", "last_heartbeat_at": "2026-11-27T01:00:00.000000Z", "error_text": "Beatwarden: ..."}"#,
        );
        assert!(!seeded.contains("heartbeat") && !seeded.contains("error"), "{seeded}");
        // An undo: the images of the fail, the other way round.
        let undo = changes(
            r#"{"state": "FAIL", "last_heartbeat_at": null, "error_text": "Beatwarden: ..."}"#,
            r#"{"state": "RUNNING"}"#,
        );
        assert_eq!(
            undo,
            "<ul class=\"changes\"><li><code>state</code> <bdi>FAIL</bdi> → <bdi>RUNNING</bdi></li></ul>"
        );
        assert!(changes("[]", "<b>").contains("<code>&lt;b&gt;</code>"));
    }
}
