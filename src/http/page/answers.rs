//! The three questions that a reader comes with, answered first: is anything blocked, what happens next, did we do harm.

use super::place::Place;
use crate::{
    domain::{Action, Blocking, Cause, JobLine, LateOutcome, Phase, Report},
    present::{
        CauseWords, Next, View, safe,
        time::{rough, span},
        words::{self, counted, number},
    },
};
use maud::{Markup, html};
use std::time::Duration;

/// How many jobs are named in an answer.
const NAMED: usize = 3;

/// The answers, as of the current pass.
pub(super) fn answers(place: &Place<'_>, report: &Report) -> Markup {
    let view = place.view;
    html! {
        dl.answers {
            (answer("Is anything blocked?", report.blocking.is_some_and(|jobs| jobs > 0), &blocked(place, report)))
            (answer("What happens next?", false, &next(place, report)))
            (answer("Did we do harm?", is_harmful(view), &harm(view, report)))
        }
    }
}

fn answer(question: &str, is_alarming: bool, answer: &Markup) -> Markup {
    html! { div class=[is_alarming.then_some("alarming")] { dt { (question) } dd { (answer) } } }
}

/// A job by its name, as a link to its row.
fn link(place: &Place<'_>, job: &JobLine) -> Markup {
    /// A longer name would fill the answer.
    const LONGEST: usize = 40;
    let key = job.id.text();
    let name = safe::cut(job.name.as_deref().unwrap_or(&key), LONGEST);
    html! {
        @match place.anchor(&key) {
            Some(anchor) => { a href=(place.asked.at_job(&anchor)) { bdi { (name) } } }
            None => { bdi { (name) } }
        }
    }
}

fn blocked(place: &Place<'_>, report: &Report) -> Markup {
    let stuck = report.stuck();
    let Some(blocking) = report.blocking else {
        return html! {
            @if stuck == 0 { "No: no " (report.noun) " is stuck." } @else {
                "Not known: after which silence the application starts the next run is not configured ("
                code { "writer_stale_after" } ")."
            }
        };
    };
    let leftovers = stuck - blocking;
    let until = |job: &JobLine| job.blocking.and_then(Blocking::until);
    html! {
        @if blocking > 0 {
            ul {
                @for (job, at) in report.jobs.iter().filter_map(|job| Some((job, until(job)?))).take(NAMED) {
                    li { (link(place, job)) ": " (words::blocking(Blocking::Until(at), report.at)) }
                }
                @if blocking > NAMED as u64 { li { "and " (number(blocking - NAMED as u64)) " more" } }
            }
        } @else { p { "No stuck " (report.noun) " blocks new runs." } }
        @match leftovers {
            0 => {}
            1 => { p { "1 leftover blocks no one." } }
            many => { p { (number(many)) " leftovers block no one." } }
        }
    }
}

fn next(place: &Place<'_>, report: &Report) -> Markup {
    let action = place.view.status.terms.policy.action;
    if action == Action::Observe {
        return html! { "Nothing is repaired: the mode is observe." };
    }
    html! {
        @match &report.next {
            Some(job) => {
                p { (link(place, job)) ": " (Next::from(job).done(report.at, span)) "." }
            }
            None => { p { "No repair is due." } }
        }
        @if let Some(obstacle) = report.obstacles.first() {
            p { "Nothing is repaired until this is gone: " (CauseWords::of(obstacle.cause).why()) "." }
        } @else if report.fuse_open && action == Action::Fail {
            p { "Nothing is failed while the fuse is open." }
        }
        @let withheld: Vec<_> = report.withheld.iter().filter(|(cause, jobs)| **jobs > 0 && **cause != Cause::Watching).collect();
        @if !withheld.is_empty() {
            ul {
                @for (cause, jobs) in withheld {
                    li { (number(*jobs)) " not repaired: " (CauseWords::of(*cause).why()) }
                }
            }
        }
        @match report.count(Phase::Lost) {
            0 => {}
            1 => { p { "1 lost heartbeat is reported only." } }
            many => { p { (number(many)) " lost heartbeats are reported only." } }
        }
    }
}

/// Whether a repair that did harm waits to be acknowledged.
fn is_harmful(view: &View) -> bool {
    view.outcomes()
        .iter()
        .any(|(_, outcome)| *outcome == LateOutcome::FalseRepair)
}

fn harm(view: &View, report: &Report) -> Markup {
    let outcomes = view.outcomes();
    let wrong = outcomes
        .iter()
        .filter(|(_, outcome)| *outcome == LateOutcome::FalseRepair)
        .count() as u64;
    let late = outcomes.len() as u64 - wrong;
    html! {
        @match (wrong, late) {
            (0, 0) => { p { "No repair is known to have been wrong." } }
            (0, _) => { p { "No: " (number(late)) " backfilled " (report.noun.of(late)) " beat after all." } }
            (_, _) => { p { (counted(wrong, "false repair", "false repairs")) ": see above." } }
        }
        p {
            @match (report.repaired(), view.last_repair()) {
                (0, None) => "Nothing was repaired so far.",
                (0, Some(last)) => {
                    "Last repair " (rough(last.repaired_at.age_at(report.at))) " ago: " (last.action.as_str()) " of " bdi { (safe::cut(last.job_name.as_deref().unwrap_or(&last.job_id.text()), 40)) } "."
                }
                (now, _) => { (number(now)) " repaired by the last pass, " (span(age_of_pass(view))) " ago." }
            }
        }
    }
}

/// How long ago the current pass was, in whole seconds.
fn age_of_pass(view: &View) -> Duration {
    let since = view.current.as_ref().map(|pass| view.now.since(pass.at));
    Duration::from_secs(since.unwrap_or_default().as_secs())
}
