//! The small pictures: the inits of the last day, and the last passes.

use crate::{
    present::{
        time::{clock, span},
        words::{counted, number, percent},
    },
    status::{InitDay, InitSlot, PassMark, Passed, Strip, WatchStatus},
};
use maud::{Markup, html};
use std::time::Duration;

/// Height of both, in pixels.
const HEIGHT: f64 = 56.0;
/// What is there at all is at least this high.
const VISIBLE: f64 = 3.0;

/// A picture of columns on a base line, what it shows in words, and where its time begins.
fn figure(class: Option<&str>, caption: &str, label: &str, columns: &Markup, begins: &str) -> Markup {
    let base = HEIGHT + 0.5;
    html! {
        figure class=[class] {
            figcaption { (caption) }
            svg role="img" width="100%" height=(HEIGHT + 1.0) aria-label=(label) {
                line.base x1="0" x2="100%" y1=(base) y2=(base) {}
                (columns)
            }
            p.scale { span { (begins) } span { "now" } }
        }
    }
}

/// A bar of a column: places are percentages and pixels from the upper left corner.
fn bar(class: &str, x: f64, y: f64, column: f64, height: f64) -> Markup {
    html! {
        rect class=(class) x={ (format_args!("{x:.2}")) "%" } y=(format_args!("{y:.1}"))
            width={ (format_args!("{:.2}", column * 0.8)) "%" } height=(format_args!("{height:.1}")) {}
    }
}

/// The inits of the last day, half an hour a column, failures on top.
pub(super) fn day(status: &WatchStatus) -> Markup {
    let slots: Vec<InitSlot> = status.day.slots().collect();
    let inits: u64 = slots.iter().map(|slot| slot.inits).sum();
    let failures: u64 = slots.iter().map(|slot| slot.failures).sum();
    let words = match (inits, failures) {
        (0, _) => "none yet".to_owned(),
        (inits, 0) => format!("{} of {} sent a first heartbeat", percent(1.0), number(inits)),
        (inits, failures) => format!(
            "{} of {} sent a first heartbeat, {} did not",
            percent((inits - failures) as f64 / inits as f64),
            number(inits),
            number(failures)
        ),
    };
    let now = status.last_good.as_ref().map(|pass| InitDay::slot_of(pass.wall));
    let highest = slots.iter().map(|slot| slot.inits).max().unwrap_or(1) as f64;
    let column = 100.0 / InitDay::SLOTS as f64;
    let scaled = |count: u64| match count {
        0 => 0.0,
        _ => (count as f64 / highest * HEIGHT).max(VISIBLE),
    };
    let of_slot = |slot: &InitSlot| {
        // The newest slot stands at the right edge.
        let ago = now.map_or(0, |now| slot.begins.age_at(now).as_secs() / InitDay::SLOT.as_secs());
        let x = 100.0 - column * (ago + 1) as f64;
        let bad = scaled(slot.failures);
        let good = scaled(slot.inits - slot.failures).min(HEIGHT - bad);
        html! {
            g {
                title {
                    (clock(slot.begins)) " UTC: " (counted(slot.inits, "start", "starts")) ", " (number(slot.failures)) " without a first heartbeat"
                }
                @if good > 0.0 { (bar("ok", x, HEIGHT - good, column, good)) }
                @if bad > 0.0 { (bar("bad", x, HEIGHT - good - bad, column, bad)) }
            }
        }
    };
    figure(
        Some("day"),
        &format!("Starts that this process watched: {words}"),
        &format!("Starts that this process watched in the last day, half an hour a column: {words}"),
        &html! { @for slot in &slots { (of_slot(slot)) } },
        "24 h ago",
    )
}

/// The last passes: how long each took, which failed, which repaired.
pub(super) fn strip(status: &WatchStatus) -> Markup {
    let marks: Vec<PassMark> = status.strip.marks().collect();
    let failed = marks.iter().filter(|mark| mark.passed == Passed::Failed).count();
    let repairs = words_of_repairs(marks.iter().map(|mark| repairs_of(*mark)).sum());
    let slowest = span(marks.iter().map(|mark| mark.took).max().unwrap_or_default());
    let words = match (marks.len(), failed) {
        (0, _) => "Last passes: none yet".to_owned(),
        (all, 0) => format!("Last passes: {all} good, {slowest} at most, {repairs}"),
        (all, failed) => format!(
            "Last passes: {} good, {failed} failed, {slowest} at most, {repairs}",
            all - failed
        ),
    };
    let column = 100.0 / Strip::LENGTH as f64;
    let of_mark = |ago: usize, mark: PassMark| {
        let x = 100.0 - column * (ago + 1) as f64;
        let (class, height, how) = match mark.passed {
            Passed::Failed => ("bad", HEIGHT, "failed".to_owned()),
            Passed::Good { repairs } => {
                let repaired = match repairs {
                    0 => String::new(),
                    repairs => format!(", {}", words_of_repairs(repairs)),
                };
                let height = height_of(mark.took, status.terms.poll_timeout);
                ("ok", height, format!("good{repaired}"))
            }
        };
        let top = HEIGHT - height;
        html! {
            g {
                title { (clock(mark.wall)) " UTC: " (how) ", took " (span(mark.took)) }
                (bar(class, x, top, column, height))
                @if repairs_of(mark) > 0 {
                    circle.repair cx={ (format_args!("{:.2}", x + column * 0.4)) "%" } cy=(format_args!("{:.1}", top - 6.0))
                        r="3.5" {}
                }
            }
        }
    };
    let since = marks.first();
    let since = since.map_or_else(|| "–".to_owned(), |first| format!("since {} UTC", clock(first.wall)));
    let columns = html! { @for (ago, mark) in marks.iter().rev().enumerate() { (of_mark(ago, *mark)) } };
    figure(None, &words, &words, &columns, &since)
}

fn words_of_repairs(repairs: u64) -> String {
    match repairs {
        0 => "no repairs".to_owned(),
        many => counted(many, "repair", "repairs"),
    }
}

fn repairs_of(mark: PassMark) -> u64 {
    match mark.passed {
        Passed::Good { repairs } => repairs,
        Passed::Failed => 0,
    }
}

/// From a tenth of a millisecond to the deadline of a pass, logarithmically: a pass is usually far below its deadline.
fn height_of(took: Duration, deadline: Duration) -> f64 {
    const SHORTEST: f64 = 1e-4;
    let share = (took.as_secs_f64() / SHORTEST).max(1.0).ln() / (deadline.as_secs_f64() / SHORTEST).ln();
    VISIBLE + share.clamp(0.0, 1.0) * (HEIGHT - VISIBLE - 10.0)
}
