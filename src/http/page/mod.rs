//! The status page, made on the server, without a script. The template escapes whatever is put into it.
//!
//! | file | owns |
//! |---|---|
//! | here | the frame, and the order of the watches |
//! | `asked` | what the address asks for: opened parts, more repairs, a page that stands still |
//! | `place` | where a watch stands among the others |
//! | `watch` | one watch, in full or in a line |
//! | `answers` | what is blocked, what happens next, whether harm was done |
//! | `jobs`, `repairs`, `table` | the tables |
//! | `ruler`, `pictures` | the drawings |

mod answers;
mod asked;
mod jobs;
mod pictures;
mod place;
mod repairs;
mod ruler;
mod table;
mod watch;

pub(super) use asked::{Asked, Refreshing};

use super::HttpState;
use crate::present::{Tone, Verdict, safe, time::clock, verdict_of};
use maud::{DOCTYPE, Markup, html};
use place::Place;

/// The style of the page.
pub(super) const STYLE: &str = include_str!("style.css");

/// The page asks for itself again after so many seconds.
pub(super) const REFRESH_SECONDS: u32 = 5;

/// A foreign name, key or value, harmless and short enough for a cell.
fn text(foreign: &str) -> String {
    const LONGEST: usize = 120;
    safe::cut(foreign, LONGEST)
}

/// How many watches are shown in full because something is wrong with them: the page stays small however many there are.
const IN_FULL: usize = 3;

/// The page of all watches, the worst first.
pub(super) fn render(state: &HttpState, asked: &Asked) -> String {
    let views = state.views();
    let verdicts: Vec<Verdict> = views.iter().map(verdict_of).collect();
    let place = |(index, (view, verdict))| Place {
        index,
        among_others: views.len() > 1,
        view,
        verdict,
        asked,
    };
    let mut places: Vec<Place<'_>> = views.iter().zip(&verdicts).enumerate().map(place).collect();
    places.sort_by_cached_key(Place::urgency);
    let attention = places.iter().filter(|place| place.needs_attention()).count();
    let (title, tone) = places.first().map_or(("", Tone::Good), |worst| {
        (worst.verdict.words.trim_end_matches('.'), worst.verdict.tone)
    });
    let outcomes = repairs::outcomes(&places);
    let mut wrong = 0..IN_FULL;
    let (full, folded): (Vec<&Place<'_>>, Vec<&Place<'_>>) = places.iter().partition(|place| {
        !place.among_others || place.asked.is_open(place.part()) || (place.needs_attention() && wrong.next().is_some())
    });
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
                (header(asked, &clock(state.clock.wall())))
                main {
                    @if views.len() > 1 { p.summary { (summary(views.len(), attention)) } }
                    (outcomes)
                    @if full.iter().any(|place| place.view.status.last_good.is_some()) { (ruler::marks()) }
                    @for place in full { (watch::section(place)) }
                    @if !folded.is_empty() {
                        ul.folded aria-label="Watches in one line each" { @for place in folded { (watch::line(place)) } }
                    }
                }
                footer {
                    p { "Beatwarden " (state.version) ", all times in UTC" }
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

fn header(asked: &Asked, time: &str) -> Markup {
    let (other, link) = match asked.refreshing {
        Refreshing::On => (Refreshing::Paused, "Pause"),
        Refreshing::Paused => (Refreshing::On, "Resume"),
    };
    html! {
        header {
            h1 { "Beatwarden" }
            p.pause {
                span {
                    @match asked.refreshing {
                        Refreshing::On => { (time) " UTC, refreshes every " (REFRESH_SECONDS) " s" }
                        Refreshing::Paused => { "Paused at " (time) " UTC" }
                    }
                }
                " " a href=(asked.refreshing(other).address()) { (link) }
            }
        }
    }
}

/// How many watches need attention.
fn summary(watches: usize, attention: usize) -> String {
    match attention {
        0 => format!("{watches} watches, all good."),
        1 => format!("{watches} watches: 1 needs attention."),
        many => format!("{watches} watches: {many} need attention."),
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
