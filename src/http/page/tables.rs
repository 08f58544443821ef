//! The tables: jobs with what happens to them next, and the last repairs with before and after.

use crate::{
    domain::{Cause, JobLine, LateOutcome, LedgerAction, LedgerEntry, Phase, Report, Timestamp},
    http::text::{escape, text},
    present::{
        CauseWords,
        time::{clock, span, to_come},
        words::{self, number},
    },
};
use serde_json::Value;
use std::fmt::Write;

/// So many of the last repairs are shown.
const REPAIRS: usize = 10;

/// The stuck and late jobs; the others are folded away.
pub(super) fn jobs(out: &mut String, report: &Report) {
    let (pressing, calm): (Vec<&JobLine>, Vec<&JobLine>) = report.jobs.iter().partition(|job| is_pressing(job));
    let stuck = report.count(Phase::MissedFirst) + report.count(Phase::Lost);
    out.push_str("<h3>Stuck and late jobs</h3>");
    if pressing.is_empty() {
        out.push_str("<p class=\"none\">None.</p>");
    } else {
        let listed = pressing.iter().filter(|job| job.phase.is_stuck()).count() as u64;
        if stuck > listed {
            let _ = write!(
                out,
                "<p class=\"none\">The worst {} of {} stuck jobs; <code>/api/v1/status</code> and the metrics count them all.</p>",
                number(listed),
                number(stuck)
            );
        }
        table(out, "Stuck and late jobs, worst first", &pressing, report.at);
    }
    if !calm.is_empty() {
        let _ = write!(
            out,
            "<details><summary>{}{} running job{}, the longest silence first</summary>",
            number(calm.len() as u64),
            if pressing.is_empty() { "" } else { " other" },
            if calm.len() == 1 { "" } else { "s" },
        );
        table(out, "Other running jobs", &calm, report.at);
        out.push_str("</details>");
    }
}

/// Stuck, or on the way there: half of the time until it is due has passed.
fn is_pressing(job: &JobLine) -> bool {
    let half_gone = |due: Timestamp, started: Timestamp| job.age > started.age_at(due) / 2;
    match job.phase {
        Phase::MissedFirst | Phase::Lost => true,
        Phase::Starting => job
            .due_at
            .zip(job.started_at)
            .is_some_and(|(due, started)| half_gone(due, started)),
        Phase::Beating | Phase::Abandoned => false,
    }
}

/// A table whose rows become cards on a narrow screen: each cell knows its heading, and the roles outlive `display: block`.
fn begin(out: &mut String, caption: &str, headings: &[&str]) {
    let _ = write!(
        out,
        "<div class=\"scroll\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\"><table role=\"table\">\
         <caption class=\"unseen\">{caption}</caption><thead role=\"rowgroup\"><tr role=\"row\">"
    );
    for heading in headings {
        let _ = write!(out, "<th role=\"columnheader\" scope=\"col\">{heading}</th>");
    }
    out.push_str("</tr></thead><tbody role=\"rowgroup\">");
}

/// One row: class, and cells that are already safe.
fn row(out: &mut String, class: &str, headings: &[&str], cells: &[String]) {
    let _ = write!(out, "<tr role=\"row\" class=\"{class}\">");
    for (heading, cell) in headings.iter().zip(cells) {
        let _ = write!(out, "<td role=\"cell\" data-label=\"{heading}\"><div>{cell}</div></td>");
    }
    out.push_str("</tr>");
}

fn end(out: &mut String) {
    out.push_str("</tbody></table></div>");
}

fn name_and_id(name: Option<&str>, id: &str) -> String {
    let id = text(id);
    match name {
        Some(name) => format!("<bdi class=\"name\">{}</bdi> <bdi class=\"id\">{id}</bdi>", text(name)),
        None => format!("<bdi class=\"name\">{id}</bdi>"),
    }
}

/// Words of our own that look broken when they are.
fn whole(words: &str) -> String {
    format!("<span class=\"whole\">{words}</span>")
}

fn table(out: &mut String, caption: &str, jobs: &[&JobLine], at: Timestamp) {
    let headings = ["job", "phase", "silent for", "what happens next", "the writer frees it"];
    begin(out, caption, &headings);
    for job in jobs {
        let frees = match job.writer_frees_at.filter(|_| job.phase != Phase::Beating) {
            None => "–".to_owned(),
            Some(when) if when <= at => "at its next start".to_owned(),
            Some(when) => to_come(when, at),
        };
        let cells = [
            name_and_id(job.name.as_deref(), &job.id.text()),
            whole(words::phase(job.phase)),
            whole(&span(job.age)),
            escape(&next(job, at)),
            frees,
        ];
        row(out, job.phase.as_str(), &headings, &cells);
    }
    end(out);
}

/// What will be done with the job, and when, in words.
fn next(job: &JobLine, at: Timestamp) -> String {
    match job.phase {
        Phase::Lost => return "reported only: lost heartbeats are not repaired".to_owned(),
        Phase::Beating => return "nothing: it is alive".to_owned(),
        _ => {}
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
pub(super) fn repairs(out: &mut String, report: &Report) {
    out.push_str("<h3>Last repairs</h3>");
    let newest = report.repairs.iter().take(REPAIRS);
    // What did harm stands here until it is acknowledged, however many repairs came since.
    let is_older = |entry: &&LedgerEntry| newest.clone().all(|shown| shown.repair_id != entry.repair_id);
    let shown: Vec<&LedgerEntry> = report
        .false_repairs
        .iter()
        .filter(is_older)
        .chain(newest.clone())
        .collect();
    if shown.is_empty() {
        out.push_str("<p class=\"none\">None.</p>");
        return;
    }
    let headings = ["when (UTC)", "job", "repair", "before and after", "since then"];
    begin(out, "Last repairs, newest first", &headings);
    for entry in shown {
        let undone = report
            .repairs
            .iter()
            .any(|other| other.undo_of == Some(entry.repair_id));
        let class = match entry.outcome {
            Some(LateOutcome::FalseRepair) => "false_repair",
            _ => "repaired",
        };
        let cells = [
            whole(&clock(entry.repaired_at)),
            name_and_id(entry.job_name.as_deref(), &entry.job_id.text()),
            entry.action.as_str().replace('_', " "),
            changes(&entry.before, &entry.after),
            since(entry, undone),
        ];
        row(out, class, &headings, &cells);
    }
    end(out);
}

fn since(entry: &LedgerEntry, undone: bool) -> String {
    let id = entry.repair_id;
    let words = match (entry.outcome, entry.action) {
        (Some(LateOutcome::FalseRepair), _) if !entry.holds_the_fuse() && undone => {
            "false repair, undone, acknowledged"
        }
        (Some(LateOutcome::FalseRepair), _) if !entry.holds_the_fuse() => "false repair, acknowledged",
        (Some(LateOutcome::FalseRepair), _) if undone => {
            return format!("false repair, undone; <code>beatwarden ack {id}</code> lets the fuse close");
        }
        (Some(LateOutcome::FalseRepair), _) => {
            return format!(
                "false repair: it is alive. <code>beatwarden undo {id}</code> gives it back, <code>beatwarden ack {id}</code> \
                 lets the fuse close"
            );
        }
        _ if undone => "undone",
        (Some(LateOutcome::LateHeartbeat), _) => "it beat after all",
        (None, LedgerAction::Backfill | LedgerAction::Fail) => "no sign of life",
        (None, LedgerAction::Undo | LedgerAction::AckFuse) => "–",
    };
    words.to_owned()
}

/// Each changed column with its value before and after. A column that only one image has was not changed: `after` keeps the
/// heartbeat to recognise a sign of life by. Only of the error column neither image has the value, since it may hold
/// secrets. Someone may have written to the ledger by hand: what is no object is shown as it is.
fn changes(before: &str, after: &str) -> String {
    let object = |text: &str| match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    };
    let (Some(old), Some(new)) = (object(before), object(after)) else {
        return format!("<code>{}</code> → <code>{}</code>", text(before), text(after));
    };
    let changed = old
        .iter()
        .filter_map(|(column, old)| Some((column, old, new.get(column)?)));
    let mut lines: Vec<String> = changed
        .filter(|(_, old, new)| old != new)
        .map(|(column, old, new)| format!("<li><code>{}</code> {} → {}</li>", text(column), value(old), value(new)))
        .collect();
    // Where the column held something else than an object, nothing was added to it.
    let was = old.get("error_was").and_then(Value::as_str);
    if new.contains_key("error_text") && was.is_some_and(|was| was != "other") {
        lines.push("<li>an error text was added</li>".to_owned());
    }
    format!("<ul class=\"changes\">{}</ul>", lines.concat())
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "<i>NULL</i>".to_owned(),
        Value::String(value) => format!("<bdi>{}</bdi>", text(value)),
        other => text(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_changed_is_shown_as_changed() {
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
