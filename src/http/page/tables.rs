//! The tables: jobs with what happens to them next, and the last repairs with before and after.

use super::text;
use crate::{
    domain::{Cause, JobLine, LateOutcome, LedgerAction, LedgerEntry, Phase, Report, Timestamp},
    present::{
        CauseWords,
        time::{clock, span, to_come},
        words::{self, number},
    },
};
use maud::{Markup, html};
use serde_json::Value;

/// So many of the last repairs are shown.
const REPAIRS: usize = 10;

/// The stuck and late jobs; the others are folded away.
pub(super) fn jobs(report: &Report) -> Markup {
    let (pressing, calm): (Vec<&JobLine>, Vec<&JobLine>) = report.jobs.iter().partition(|job| is_pressing(job));
    let stuck = report.stuck();
    let listed = pressing.iter().filter(|job| job.phase.is_stuck()).count() as u64;
    html! {
        h3 { "Stuck and late jobs" }
        @if pressing.is_empty() {
            p.none { "None." }
        } @else {
            @if stuck > listed {
                p.none {
                    "The worst " (number(listed)) " of " (number(stuck)) " stuck jobs; " code { "/api/v1/status" }
                    " and the metrics count them all."
                }
            }
            (table_of_jobs("Stuck and late jobs, worst first", &pressing, report.at))
        }
        @if !calm.is_empty() {
            details {
                summary {
                    (number(calm.len() as u64)) @if !pressing.is_empty() { " other" } " running job" @if calm.len() != 1 { "s" }
                    ", the longest silence first"
                }
                (table_of_jobs("Other running jobs", &calm, report.at))
            }
        }
    }
}

/// Stuck, or on the way there: half of the time until it is due has passed.
fn is_pressing(job: &JobLine) -> bool {
    let half_gone = |due: Timestamp, started: Timestamp| job.age > started.age_at(due) / 2;
    match job.phase {
        Phase::MissedFirst | Phase::Lost | Phase::Overrun => true,
        Phase::Starting | Phase::Running => job
            .due_at
            .zip(job.started_at)
            .is_some_and(|(due, started)| half_gone(due, started)),
        Phase::Beating | Phase::Abandoned => false,
    }
}

/// A table whose rows, each of a class, become cards on a narrow screen: each cell knows its heading, and the roles outlive
/// `display: block`.
fn table<const N: usize>(caption: &str, headings: [&str; N], rows: &[(&str, [Markup; N])]) -> Markup {
    html! {
        div.scroll role="region" aria-label=(caption) tabindex="0" {
            table role="table" {
                caption.unseen { (caption) }
                thead role="rowgroup" {
                    tr role="row" {
                        @for heading in headings { th role="columnheader" scope="col" { (heading) } }
                    }
                }
                tbody role="rowgroup" {
                    @for (class, cells) in rows {
                        tr role="row" class=(class) {
                            @for (heading, cell) in headings.iter().zip(cells) {
                                td role="cell" data-label=(heading) { div { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn name_and_id(name: Option<&str>, id: &str) -> Markup {
    html! {
        @if let Some(name) = name { bdi.name { (text(name)) } " " bdi.id { (text(id)) } } @else { bdi.name { (text(id)) } }
    }
}

/// Words of our own that look broken when they are.
fn whole(words: &str) -> Markup {
    html! { span.whole { (words) } }
}

fn table_of_jobs(caption: &str, jobs: &[&JobLine], at: Timestamp) -> Markup {
    let headings = ["job", "phase", "silent for", "what happens next", "new runs"];
    let blocking = |job: &JobLine| {
        job.blocking
            .map_or_else(|| "–".to_owned(), |blocking| words::blocking(blocking, at))
    };
    let row = |job: &&JobLine| {
        let cells = [
            name_and_id(job.name.as_deref(), &job.id.text()),
            whole(words::phase(job.phase)),
            whole(&span(job.age)),
            html! { (next(job, at)) },
            html! { (blocking(job)) },
        ];
        (job.phase.as_str(), cells)
    };
    table(caption, headings, &jobs.iter().map(row).collect::<Vec<_>>())
}

/// What will be done with the job, and when, in words.
fn next(job: &JobLine, at: Timestamp) -> String {
    match job.phase {
        Phase::Lost => return "reported only: lost heartbeats are not repaired".to_owned(),
        Phase::Beating => return "nothing: it is alive".to_owned(),
        Phase::Starting | Phase::MissedFirst | Phase::Running | Phase::Overrun | Phase::Abandoned => {}
    }
    let what = words::done_by(job.next_action);
    let when = |due: Timestamp| match due > at {
        true => to_come(due, at),
        false => "with the next pass".to_owned(),
    };
    match (job.withheld_cause, job.due_at) {
        (Some(Cause::Watching), Some(due)) => format!("{what} {}, if it stays silent", when(due)),
        (Some(cause), _) => CauseWords::of(cause).short.to_owned(),
        (None, Some(due)) if !what.is_empty() => format!("{what} {}, if it stays silent", when(due)),
        _ => "nothing".to_owned(),
    }
}

/// The last repairs.
pub(super) fn repairs(report: &Report) -> Markup {
    let newest = report.repairs.iter().take(REPAIRS);
    // What did harm stands here until it is acknowledged, however many repairs came since.
    let is_older = |entry: &&LedgerEntry| newest.clone().all(|shown| shown.repair_id != entry.repair_id);
    let shown = report.false_repairs.iter().filter(is_older).chain(newest.clone());
    let row = |entry: &LedgerEntry| {
        let mut others = report.repairs.iter();
        let undone = others.any(|other| other.undo_of == Some(entry.repair_id));
        let class = match entry.outcome {
            Some(LateOutcome::FalseRepair) => "false_repair",
            _ => "repaired",
        };
        let cells = [
            whole(&clock(entry.repaired_at)),
            name_and_id(entry.job_name.as_deref(), &entry.job_id.text()),
            html! { (entry.action.as_str().replace('_', " ")) },
            changes(&entry.before, &entry.after),
            since(entry, undone),
        ];
        (class, cells)
    };
    let rows: Vec<_> = shown.map(row).collect();
    let headings = ["when (UTC)", "job", "repair", "before and after", "since then"];
    html! {
        h3 { "Last repairs" }
        @if rows.is_empty() { p.none { "None." } } @else { (table("Last repairs, newest first", headings, &rows)) }
    }
}

fn since(entry: &LedgerEntry, undone: bool) -> Markup {
    let id = entry.repair_id;
    let words = match (entry.outcome, entry.action) {
        (Some(LateOutcome::FalseRepair), _) if !entry.holds_the_fuse() && undone => {
            "false repair, undone, acknowledged"
        }
        (Some(LateOutcome::FalseRepair), _) if !entry.holds_the_fuse() => "false repair, acknowledged",
        (Some(LateOutcome::FalseRepair), _) => {
            return html! {
                @if undone { "false repair, undone; " } @else {
                    "false repair: it is alive. " code { "beatwarden undo " (id) } " gives it back, "
                }
                code { "beatwarden ack " (id) } " lets the fuse close"
            };
        }
        _ if undone => "undone",
        (Some(LateOutcome::LateHeartbeat), _) => "it beat after all",
        (None, LedgerAction::Backfill | LedgerAction::Fail) => "no sign of life",
        (None, LedgerAction::Undo | LedgerAction::AckFuse) => "–",
    };
    html! { (words) }
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

    #[test]
    fn hostile_texts_are_shown_as_text() {
        let shown = name_and_id(Some("<script>alert('x')</script>\"&"), "a\nb\u{202e}c").into_string();
        assert!(
            shown.contains("&lt;script&gt;alert('x')&lt;/script&gt;&quot;&amp;"),
            "{shown}"
        );
        assert!(shown.contains("a\\u{a}b\\u{202e}c"), "{shown}");
    }
}
