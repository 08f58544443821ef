//! The status page: one screen, made on the server, without a script. Everything in it is escaped.
//!
//! This file has the frame and the section of a watch; the pictures, and the tables of jobs and repairs, have their own.

mod pictures;
mod ruler;
mod tables;

use super::{
    HttpState,
    text::{error_text, escape, text},
};
use crate::{
    domain::{Guard, Phase},
    pass::GoodPass,
    present::{
        Tone, View,
        time::{clock, span},
        verdict_of,
        words::{self, number, percent, sentence},
    },
};
use std::fmt::Write;

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

/// The page of all watches.
pub(super) fn render(state: &HttpState, refreshing: Refreshing) -> String {
    let views = state.views();
    let mut sections = String::new();
    let mut overview = String::new();
    let mut worst = Tone::Good;
    let mut title = String::new();
    for (index, view) in views.iter().enumerate() {
        let verdict = verdict_of(view);
        if index == 0 || verdict.tone > worst {
            worst = worst.max(verdict.tone);
            title = verdict.words.trim_end_matches('.').to_owned();
        }
        let _ = write!(
            overview,
            "<li class=\"{}\"><a href=\"#watch-{index}\"><bdi>{}</bdi></a> {}</li>",
            verdict.tone.as_str(),
            text(&view.name),
            escape(&verdict.words)
        );
        watch(&mut sections, index, view);
    }
    let overview = match views.len() {
        0 | 1 => String::new(),
        _ => format!("<nav class=\"overview\" aria-label=\"All watches\"><ul>{overview}</ul></nav>"),
    };
    let time = clock(state.clock.wall());
    let pause = match refreshing {
        Refreshing::On => {
            format!("<span>{time} UTC, new every {REFRESH_SECONDS} s</span> <a href=\"/?paused\">Pause</a>")
        }
        Refreshing::Paused => format!("<span>Paused at {time} UTC</span> <a href=\"/\">Go on</a>"),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} – Beatwarden</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"icon\" type=\"image/svg+xml\" href=\"/icon.svg?{tone}\"><link rel=\"stylesheet\" href=\"/style.css\"></head>\n\
         <body><header><h1>Beatwarden</h1><p class=\"pause\">{pause}</p></header>\n<main>{overview}{marks}{sections}</main>\n\
         <footer><p>Beatwarden {version}</p><nav aria-label=\"The same as data\"><a href=\"/metrics\">metrics</a> \
         <a href=\"/api/v1/status\">status as JSON</a> <a href=\"/api/v1/repairs\">repairs as JSON</a></nav></footer></body></html>\n",
        title = escape(&title),
        tone = worst.as_str(),
        marks = ruler::MARKS,
        version = escape(state.version),
    )
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

fn watch(out: &mut String, index: usize, view: &View) {
    let (status, verdict) = (&view.status, verdict_of(view));
    let tone = verdict.tone.as_str();
    let _ = write!(
        out,
        "<section class=\"watch {tone}\" aria-labelledby=\"watch-{index}\"><h2 id=\"watch-{index}\"><bdi>{}</bdi></h2>\
         <p class=\"verdict\">{}</p>",
        text(&view.name),
        escape(&verdict.words)
    );
    notices(out, view);
    // What was seen last is shown greyed, never as the present.
    if let Some(pass) = &status.last_good {
        tiles(out, view, pass);
        ruler::draw(out, &pass.report, &status.terms.policy);
    }
    if status.strip.marks().len() > 0 {
        out.push_str("<div class=\"pair\">");
        pictures::day(out, status);
        pictures::strip(out, status);
        out.push_str("</div>");
    }
    if let Some(pass) = &status.last_good {
        tables::jobs(out, &pass.report);
        tables::repairs(out, &pass.report);
    }
    terms(out, view);
    out.push_str("</section>");
}

/// What needs a sentence of its own: failures, obstacles, an open fuse.
fn notices(out: &mut String, view: &View) {
    let status = &view.status;
    let mut notice = |class: &str, words: String| {
        let _ = write!(out, "<p class=\"notice {class}\">{words}</p>");
    };
    if let Some(failure) = &status.failure {
        let waited = view.now.since(failure.at);
        notice(
            "bad",
            format!(
                "The last pass could not read the table ({}): {} The next attempt {}.",
                failure.failure.as_str(),
                sentence(&error_text(&failure.error)),
                match failure.retry_in.saturating_sub(waited) {
                    left if left.is_zero() => "is being made".to_owned(),
                    left => format!("is made in {}", span(left)),
                }
            ),
        );
    }
    let Some(pass) = &view.current else { return };
    for obstacle in &pass.report.obstacles {
        notice(
            "bad",
            format!(
                "No repairs ({}): {}",
                obstacle.cause.as_str(),
                sentence(&escape(&obstacle.reason))
            ),
        );
    }
    if let Some(why) = pass.report.why_fuse_is_open() {
        notice("bad", with_commands(&why));
    }
    if !status.is_complete() {
        notice(
            "warn",
            "The first look at the whole table is still going on, a page in each pass: jobs older than the newest rows may be \
             missing here."
                .to_owned(),
        );
    }
    let odd = [
        (pass.report.unreadable, "running rows have times that can't be read"),
        (pass.report.unknown_state, "rows have a state that is in no list"),
    ];
    for (count, what) in odd.into_iter().filter(|(count, _)| *count > 0) {
        notice("warn", format!("{} {what}; they are never repaired.", number(count)));
    }
    if status.interval() > status.terms.policy.init_deadline / 2 {
        notice(
            "warn",
            format!(
                "Looking is so slow here that it is done every {} only: <code>beatwarden check</code> names the index to create.",
                span(status.interval())
            ),
        );
    }
}

/// A sentence whose commands stand in backquotes, made safe for the page.
fn with_commands(words: &str) -> String {
    let mut shown = String::new();
    for (index, part) in words.split('`').enumerate() {
        let part = escape(part);
        shown.push_str(&if index % 2 == 1 {
            format!("<code>{part}</code>")
        } else {
            part
        });
    }
    shown
}

fn tiles(out: &mut String, view: &View, pass: &GoodPass) {
    let (status, report) = (&view.status, &pass.report);
    out.push_str("<dl class=\"tiles\">");
    let mut tile = |class: &str, label: &str, value: String, note: String| {
        let _ = write!(
            out,
            "<div class=\"{class}\"><dt>{label}</dt><dd>{}<small>{}</small></dd></div>",
            escape(&value),
            escape(&note)
        );
    };
    let alarming = |phase: Phase| match report.count(phase) {
        0 => "",
        _ => "alarming",
    };
    let count = |phase: Phase| number(report.count(phase));
    tile("", "beating", count(Phase::Beating), String::new());
    tile("", "starting", count(Phase::Starting), String::new());
    tile(
        alarming(Phase::MissedFirst),
        words::phase(Phase::MissedFirst),
        count(Phase::MissedFirst),
        String::new(),
    );
    tile(alarming(Phase::Lost), "lost", count(Phase::Lost), String::new());
    if report.count(Phase::Abandoned) > 0 {
        tile("", "abandoned", count(Phase::Abandoned), String::new());
    }
    let ratio = report.window.ratio();
    let misses = ratio.is_some_and(|ratio| ratio < status.terms.init_objective);
    tile(
        if misses { "alarming" } else { "" },
        "init success",
        ratio.map_or_else(|| "–".to_owned(), percent),
        match report.window.inits {
            0 => format!("no job began in {}", span(status.terms.policy.init_window)),
            inits => format!("of {} in {}", number(inits), span(status.terms.policy.init_window)),
        },
    );
    let age = view.now.since(pass.at);
    tile(
        "",
        "last pass",
        format!(
            "{} ago",
            if age.as_secs() == 0 {
                "0 s".to_owned()
            } else {
                span(age)
            }
        ),
        format!("took {}", span(pass.took)),
    );
    out.push_str("</dl>");
}

/// Mode and thresholds.
fn terms(out: &mut String, view: &View) {
    let status = &view.status;
    let policy = &status.terms.policy;
    let mode = words::mode(policy.action);
    let interval = match (status.interval(), status.terms.poll_interval) {
        (in_force, configured) if in_force == configured => format!("every {}", span(configured)),
        (in_force, configured) => format!("every {} (configured: {})", span(in_force), span(configured)),
    };
    let stale = |limit: Option<std::time::Duration>| limit.map_or_else(|| "unknown".to_owned(), span);
    out.push_str("<h3>Mode and thresholds</h3><dl class=\"terms\">");
    let _ = write!(out, "<div class=\"wide\"><dt>mode</dt><dd>{mode}</dd></div>");
    let mut term = |label: &str, value: String| {
        let _ = write!(out, "<div><dt>{label}</dt><dd>{}</dd></div>", escape(&value));
    };
    term("first heartbeat due after", span(policy.init_deadline));
    term("lost after a silence of", span(policy.heartbeat_timeout));
    term("looks", interval);
    term("the writer frees after", stale(policy.writer_stale_after));
    term(
        "and without a heartbeat after",
        stale(policy.writer_stale_after_without_heartbeat),
    );
    term("init objective", percent(status.terms.init_objective));
    if let Some(pass) = &status.last_good {
        let guard = match pass.report.guard {
            Guard::Sound | Guard::Outdated => "installed",
            Guard::Absent => "not installed",
            _ => "installed, but not sound: see beatwarden guard status",
        };
        term("guard", guard.to_owned());
        term("finds jobs by", pass.discovery.as_str().replace('_', " "));
    }
    out.push_str("</dl>");
}
