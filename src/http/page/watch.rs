//! One watch: a section with everything that is known of it, or one line where nothing is to be done.

use super::{answers, jobs, pictures, place::Place, repairs, ruler, text, with_commands};
use crate::{
    domain::{Guard, Phase, judges_late},
    pass::GoodPass,
    present::{
        View, safe,
        time::span,
        words::{self, number, percent, sentence},
    },
    status::Passed,
};
use maud::{Markup, html};
use std::time::Duration;

/// The watch in one line, which opens it.
pub(super) fn line(place: &Place<'_>) -> Markup {
    let id = place.part().id();
    html! {
        li id=(id) class=(place.verdict.tone.as_str()) {
            a href={ (place.asked.opening(place.part()).address()) "#" (id) } aria-expanded="false" {
                bdi { (text(&place.view.name)) }
            }
            " " (place.verdict.words)
        }
    }
}

pub(super) fn section(place: &Place<'_>) -> Markup {
    let (view, verdict, id) = (place.view, place.verdict, place.part().id());
    let status = &view.status;
    // What was seen last is shown greyed, never as the present.
    let last = status.last_good.as_deref();
    let marks = status.strip.marks();
    let any_failed = marks.into_iter().any(|mark| mark.passed == Passed::Failed);
    html! {
        section id=(id) class={ "watch " (verdict.tone.as_str()) } aria-labelledby={ (id) "-name" } {
            h2 id={ (id) "-name" } {
                bdi { (text(&view.name)) }
                @if place.asked.is_open(place.part()) {
                    " " a.fold href={ (place.asked.closing(place.part()).address()) "#" (id) } aria-expanded="true" { "Fold" }
                }
            }
            p.verdict { (verdict.words) }
            @if let Some(pass) = &view.current { (answers::answers(place, &pass.report)) }
            (notices(view))
            @if let Some(pass) = last {
                (jobs::jobs(place, &pass.report))
                (tiles(view, pass))
                (ruler::draw(&pass.report, &status.terms.policy))
                (repairs::repairs(place, &pass.report))
            }
            @if status.day.slots().next().is_some() || any_failed {
                div.pair {
                    @if status.day.slots().next().is_some() { (pictures::day(status)) }
                    @if any_failed { (pictures::strip(status)) }
                }
            }
            (terms(view))
        }
    }
}
/// What needs a sentence of its own: failures, obstacles, an open fuse.
fn notices(view: &View) -> Markup {
    let (status, interval) = (&view.status, view.status.interval());
    let noun = &status.terms.policy.noun;
    html! {
        @if let Some(failure) = &status.failure {
            p.notice.bad {
                "The last pass could not read the table (" (failure.failure.as_str()) "): "
                (sentence(&safe::cut(&failure.error, 1_000))) " The next attempt "
                @match failure.retry_in.saturating_sub(view.now.since(failure.at)) {
                    Duration::ZERO => { "is being made." }
                    left => { "is made in " (span(left)) "." }
                }
            }
        }
        @if let Some(report) = view.current.as_ref().map(|pass| &pass.report) {
            @for obstacle in &report.obstacles {
                p.notice.bad { "No repairs (" (obstacle.cause.as_str()) "): " (with_commands(&sentence(&obstacle.reason))) }
            }
            @if let Some(why) = report.why_fuse_is_open() {
                p.notice.bad { (with_commands(&why)) }
            }
            @if !status.is_complete() {
                p.notice.warn {
                    "The whole table has not been read yet, a part of it follows in each pass: " (noun.many()) " older than the newest rows "
                    "may be missing here."
                }
            }
            @if report.unreadable > 0 {
                p.notice.warn {
                    (number(report.unreadable)) " running rows have times that can't be read; they are never repaired."
                }
            }
            @if report.unknown_state > 0 {
                p.notice.warn {
                    (number(report.unknown_state)) " rows have a state that is in no list; they are never repaired."
                }
            }
            @if judges_late(interval, status.terms.poll_interval, status.terms.policy.init_deadline) {
                p.notice.warn {
                    "Reading the table is so slow that there is a pass every " (span(interval)) " only: " code { "beatwarden check" }
                    " names the index to create."
                }
            }
        }
    }
}

fn tiles(view: &View, pass: &GoodPass) -> Markup {
    let (terms, report) = (&view.status.terms, &pass.report);
    let tile = |is_alarming: bool, label: &str, value: String, note: String| {
        html! {
            div class=[is_alarming.then_some("alarming")] { dt { (label) } dd { (value) small { (note) } } }
        }
    };
    let phase = |phase: Phase| {
        let count = report.count(phase);
        tile(
            phase.is_stuck() && count > 0,
            words::phase(phase),
            number(count),
            String::new(),
        )
    };
    let (ratio, window) = (report.window.ratio(), span(terms.policy.init_window));
    // A clock that shows milliseconds would look broken.
    let age = Duration::from_secs(view.now.since(pass.at).as_secs());
    html! {
        dl.tiles {
            @for shown in terms.policy.phases().iter().filter(|phase| **phase != Phase::Abandoned || report.count(**phase) > 0) {
                (phase(*shown))
            }
            @if terms.policy.max_runtime.is_none() {
            (tile(
                ratio.is_some_and(|ratio| ratio < terms.init_objective),
                "first-heartbeat success",
                ratio.map_or_else(|| "–".to_owned(), percent),
                match report.window.inits {
                    0 => format!("no {} began in {window}", terms.policy.noun),
                    inits => format!("of {} that began in {window}", number(inits)),
                },
            ))
            }
            (tile(false, "last pass", format!("{} ago", span(age)), format!("took {}", span(pass.took))))
        }
    }
}

/// Mode and thresholds.
fn terms(view: &View) -> Markup {
    let (status, terms, policy) = (&view.status, &view.status.terms, &view.status.terms.policy);
    let interval = match (status.interval(), terms.poll_interval) {
        (in_force, configured) if in_force == configured => format!("every {}", span(configured)),
        (in_force, configured) => format!("every {} (configured: {})", span(in_force), span(configured)),
    };
    let stale = |limit: Option<Duration>| limit.map_or_else(|| "unknown".to_owned(), span);
    let blocks = policy.noun.say("a silent {job} blocks for");
    let mut rows = match policy.max_runtime {
        Some(longest) => vec![("longest run", span(longest))],
        None => vec![
            ("first heartbeat due after", span(policy.init_deadline)),
            ("lost after a silence of", span(policy.heartbeat_timeout)),
            ("first-heartbeat objective", percent(terms.init_objective)),
        ],
    };
    rows.extend([
        ("a pass", interval),
        (blocks.as_str(), stale(policy.writer_stale_after)),
        (
            "one without a heartbeat for",
            stale(policy.writer_stale_after_without_heartbeat),
        ),
    ]);
    if let Some(pass) = &status.last_good {
        let guard = match pass.report.guard {
            Guard::Sound | Guard::Outdated => "installed",
            Guard::Absent => "not installed",
            Guard::Disabled | Guard::Altered => "installed, but not sound: see beatwarden guard status",
        };
        rows.push(("guard", guard.to_owned()));
        rows.push(("lookup by", pass.discovery.as_str().replace('_', " ")));
    }
    html! {
        h3 { "Mode and thresholds" }
        dl.terms {
            div.wide { dt { "mode" } dd { (words::mode(policy.action, &policy.noun)) } }
            @for (label, value) in &rows {
                div { dt { (label) } dd { (value) } }
            }
        }
    }
}
