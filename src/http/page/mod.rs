//! The status page: one screen, made on the server, without a script. The template escapes whatever is put into it.
//!
//! This file has the frame and the section of a watch; the pictures, and the tables of jobs and repairs, have their own.

mod pictures;
mod ruler;
mod tables;

use super::HttpState;
use crate::{
    domain::{Guard, Phase},
    pass::GoodPass,
    present::{
        Tone, Verdict, View, safe,
        time::{clock, span},
        verdict_of,
        words::{self, number, percent, sentence},
    },
};
use maud::{DOCTYPE, Markup, html};
use std::time::Duration;

/// The style of the page.
pub(super) const STYLE: &str = include_str!("style.css");

/// The page asks for itself again after so many seconds.
pub(super) const REFRESH_SECONDS: u32 = 5;

/// Whether the page refreshes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refreshing {
    /// It does.
    On,
    /// The reader wants it to stand still.
    Paused,
}

/// A foreign name, key or value, harmless and short enough for a cell.
fn text(foreign: &str) -> String {
    const LONGEST: usize = 120;
    safe::cut(foreign, LONGEST)
}

/// The page of all watches.
pub(super) fn render(state: &HttpState, refreshing: Refreshing) -> String {
    let views = state.views();
    let verdicts: Vec<Verdict> = views.iter().map(verdict_of).collect();
    let watches = || views.iter().zip(&verdicts).enumerate();
    // Of several that look equally bad the first.
    let worst = verdicts.iter().rev().max_by_key(|verdict| verdict.tone);
    let title = worst.map_or("", |worst| worst.words.trim_end_matches('.'));
    let tone = worst.map_or(Tone::Good, |worst| worst.tone);
    let time = clock(state.clock.wall());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) " – Beatwarden" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                link rel="icon" type="image/svg+xml" href={ "/icon.svg?" (tone.as_str()) };
                link rel="stylesheet" href="/style.css";
            }
            body {
                header {
                    h1 { "Beatwarden" }
                    p.pause {
                        @match refreshing {
                            Refreshing::On => {
                                span { (time) " UTC, new every " (REFRESH_SECONDS) " s" } " " a href="/?paused" { "Pause" }
                            }
                            Refreshing::Paused => {
                                span { "Paused at " (time) " UTC" } " " a href="/" { "Resume" }
                            }
                        }
                    }
                }
                main {
                    @if views.len() > 1 {
                        nav.overview aria-label="All watches" {
                            ul {
                                @for (index, (view, verdict)) in watches() {
                                    li class=(verdict.tone.as_str()) {
                                        a href={ "#watch-" (index) } { bdi { (text(&view.name)) } } " " (verdict.words)
                                    }
                                }
                            }
                        }
                    }
                    (ruler::marks())
                    @for (index, (view, verdict)) in watches() { (watch(index, view, verdict)) }
                }
                footer {
                    p { "Beatwarden " (state.version) }
                    nav aria-label="The same as data" {
                        a href="/metrics" { "metrics" } " "
                        a href="/api/v1/status" { "status as JSON" } " "
                        a href="/api/v1/repairs" { "repairs as JSON" }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// The icon of the browser's tab, in the colour of the worst watch.
pub(super) fn icon(query: Option<&str>) -> String {
    let colour = match query {
        Some("good") => "#1a7f4b",
        Some("warning") => "#c77700",
        Some("failing" | "old") => "#c0271d",
        _ => "#6b747c",
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\"><circle cx=\"8\" cy=\"8\" r=\"8\" fill=\"{colour}\"/>\
         <path d=\"M1.5 8.5h3l1.5-4 3 7 1.7-3h3.8\" fill=\"none\" stroke=\"#fff\" stroke-width=\"1.6\" \
         stroke-linejoin=\"round\"/></svg>"
    )
}

fn watch(index: usize, view: &View, verdict: &Verdict) -> Markup {
    let status = &view.status;
    // What was seen last is shown greyed, never as the present.
    let last = status.last_good.as_deref();
    html! {
        section class={ "watch " (verdict.tone.as_str()) } aria-labelledby={ "watch-" (index) } {
            h2 id={ "watch-" (index) } { bdi { (text(&view.name)) } }
            p.verdict { (verdict.words) }
            (notices(view))
            @if let Some(pass) = last {
                (tiles(view, pass))
                (ruler::draw(&pass.report, &status.terms.policy))
            }
            @if status.strip.marks().len() > 0 {
                div.pair { (pictures::day(status)) (pictures::strip(status)) }
            }
            @if let Some(pass) = last {
                (tables::jobs(&pass.report))
                (tables::repairs(&pass.report))
            }
            (terms(view))
        }
    }
}

/// What needs a sentence of its own: failures, obstacles, an open fuse.
fn notices(view: &View) -> Markup {
    let (status, interval) = (&view.status, view.status.interval());
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
                p.notice.bad { "No repairs (" (obstacle.cause.as_str()) "): " (sentence(&obstacle.reason)) }
            }
            @if let Some(why) = report.why_fuse_is_open() {
                p.notice.bad { (with_commands(&why)) }
            }
            @if !status.is_complete() {
                p.notice.warn {
                    "The first look at the whole table is still in progress, a page in each pass: jobs older than the newest rows "
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
            @if interval > status.terms.policy.init_deadline / 2 {
                p.notice.warn {
                    "Looking is so slow here that it is done every " (span(interval)) " only: " code { "beatwarden check" }
                    " names the index to create."
                }
            }
        }
    }
}

/// A sentence whose commands stand in backquotes.
fn with_commands(words: &str) -> Markup {
    html! {
        @for (index, part) in words.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
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
            (phase(Phase::Beating))
            (phase(Phase::Starting))
            (phase(Phase::MissedFirst))
            (phase(Phase::Lost))
            @if report.count(Phase::Abandoned) > 0 { (phase(Phase::Abandoned)) }
            (tile(
                ratio.is_some_and(|ratio| ratio < terms.init_objective),
                "first-heartbeat success",
                ratio.map_or_else(|| "–".to_owned(), percent),
                match report.window.inits {
                    0 => format!("no job began in {window}"),
                    inits => format!("of {} in {window}", number(inits)),
                },
            ))
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
    let mut rows = vec![
        ("first heartbeat due after", span(policy.init_deadline)),
        ("lost after a silence of", span(policy.heartbeat_timeout)),
        ("looks", interval),
        ("the writer frees after", stale(policy.writer_stale_after)),
        (
            "and without a heartbeat after",
            stale(policy.writer_stale_after_without_heartbeat),
        ),
        ("init objective", percent(terms.init_objective)),
    ];
    if let Some(pass) = &status.last_good {
        let guard = match pass.report.guard {
            Guard::Sound | Guard::Outdated => "installed",
            Guard::Absent => "not installed",
            Guard::Disabled | Guard::Altered => "installed, but not sound: see beatwarden guard status",
        };
        rows.push(("guard", guard.to_owned()));
        rows.push(("finds jobs by", pass.discovery.as_str().replace('_', " ")));
    }
    html! {
        h3 { "Mode and thresholds" }
        dl.terms {
            div.wide { dt { "mode" } dd { (words::mode(policy.action)) } }
            @for (label, value) in &rows {
                div { dt { (label) } dd { (value) } }
            }
        }
    }
}
