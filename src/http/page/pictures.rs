//! The small pictures: the inits of the last day, and the last passes.

use crate::{
    present::{
        time::{clock, span},
        words::{number, percent},
    },
    status::{InitDay, PassMark, Passed, Strip, WatchStatus},
};
use std::{fmt::Write, time::Duration};

/// Height of both, in pixels.
const HEIGHT: f64 = 56.0;
/// What is there at all is at least this high.
const VISIBLE: f64 = 3.0;

/// The inits of the last day, half an hour a column, failures on top.
pub(super) fn day(out: &mut String, status: &WatchStatus) {
    let slots: Vec<_> = status.day.slots().collect();
    let (inits, failures) = slots
        .iter()
        .fold((0, 0), |sum, slot| (sum.0 + slot.inits, sum.1 + slot.failures));
    let told = if inits == 0 {
        "no init was decided while this process watched".to_owned()
    } else {
        let ratio = (inits - failures) as f64 / inits as f64;
        let failed = match failures {
            0 => String::new(),
            failures => format!(", {} failed", number(failures)),
        };
        format!("{} of {} succeeded{failed}", percent(ratio), number(inits))
    };
    let _ = write!(
        out,
        "<figure class=\"day\"><figcaption>Inits of the last day: {told}</figcaption>\
         <svg role=\"img\" width=\"100%\" height=\"{0}\" aria-label=\"Inits of the last day, half an hour a column: {told}\">\
         <line class=\"base\" x1=\"0\" x2=\"100%\" y1=\"{1}\" y2=\"{1}\"/>",
        HEIGHT + 1.0,
        HEIGHT + 0.5
    );
    let now = status.last_good.as_ref().map(|pass| InitDay::slot_of(pass.wall));
    let highest = slots.iter().map(|slot| slot.inits).max().unwrap_or(1) as f64;
    let column = 100.0 / InitDay::SLOTS as f64;
    for slot in &slots {
        // The newest slot stands at the right edge.
        let ago = now.map_or(0, |now| slot.begins.age_at(now).as_secs() / InitDay::SLOT.as_secs());
        let x = 100.0 - column * (ago + 1) as f64;
        let scaled = |count: u64| match count {
            0 => 0.0,
            _ => (count as f64 / highest * HEIGHT).max(VISIBLE),
        };
        let bad = scaled(slot.failures);
        let good = scaled(slot.inits - slot.failures).min(HEIGHT - bad);
        let _ = write!(
            out,
            "<g><title>{} UTC: {} inits, {} failed</title>",
            clock(slot.begins),
            number(slot.inits),
            number(slot.failures)
        );
        for (class, y, height) in [("ok", HEIGHT - good, good), ("bad", HEIGHT - good - bad, bad)] {
            if height > 0.0 {
                let _ = write!(
                    out,
                    "<rect class=\"{class}\" x=\"{x:.2}%\" y=\"{y:.1}\" width=\"{:.2}%\" height=\"{height:.1}\"/>",
                    column * 0.8
                );
            }
        }
        out.push_str("</g>");
    }
    out.push_str("</svg><p class=\"scale\"><span>24 h ago</span><span>now</span></p></figure>");
}

/// The last passes: how long each took, which failed, which repaired.
pub(super) fn strip(out: &mut String, status: &WatchStatus) {
    let marks: Vec<PassMark> = status.strip.marks().collect();
    let failed = marks.iter().filter(|mark| mark.passed == Passed::Failed).count();
    let repairs: u64 = marks.iter().map(|mark| repairs_of(*mark)).sum();
    let slowest = marks.iter().map(|mark| mark.took).max().unwrap_or_default();
    let told = match (marks.len(), failed) {
        (0, _) => "none yet".to_owned(),
        (all, 0) => format!("{all} good, {} at most, {}", span(slowest), told_repairs(repairs)),
        (all, failed) => format!(
            "{} good, {failed} failed, {} at most, {}",
            all - failed,
            span(slowest),
            told_repairs(repairs)
        ),
    };
    let _ = write!(
        out,
        "<figure><figcaption>Last passes: {told}</figcaption>\
         <svg role=\"img\" width=\"100%\" height=\"{0}\" aria-label=\"Last passes: {told}\">\
         <line class=\"base\" x1=\"0\" x2=\"100%\" y1=\"{1}\" y2=\"{1}\"/>",
        HEIGHT + 1.0,
        HEIGHT + 0.5
    );
    let column = 100.0 / Strip::LENGTH as f64;
    for (ago, mark) in marks.iter().rev().enumerate() {
        let x = 100.0 - column * (ago + 1) as f64;
        let (class, height) = match mark.passed {
            Passed::Failed => ("bad", HEIGHT),
            Passed::Good { .. } => ("ok", height_of(mark.took, status.terms.poll_timeout)),
        };
        let _ = write!(
            out,
            "<g><title>{} UTC: {}, took {}</title><rect class=\"{class}\" x=\"{x:.2}%\" y=\"{:.1}\" width=\"{:.2}%\" height=\"{height:.1}\"/>",
            clock(mark.wall),
            match mark.passed {
                Passed::Failed => "failed".to_owned(),
                Passed::Good { repairs: 0 } => "good".to_owned(),
                Passed::Good { repairs } => format!("good, {}", told_repairs(repairs)),
            },
            span(mark.took),
            HEIGHT - height,
            column * 0.8
        );
        if repairs_of(*mark) > 0 {
            let _ = write!(
                out,
                "<circle class=\"repair\" cx=\"{:.2}%\" cy=\"{:.1}\" r=\"3.5\"/>",
                x + column * 0.4,
                HEIGHT - height - 6.0
            );
        }
        out.push_str("</g>");
    }
    let _ = write!(
        out,
        "</svg><p class=\"scale\"><span>{}</span><span>now</span></p></figure>",
        marks
            .first()
            .map_or_else(|| "–".to_owned(), |first| format!("since {} UTC", clock(first.wall)))
    );
}

fn told_repairs(repairs: u64) -> String {
    match repairs {
        0 => "no repairs".to_owned(),
        1 => "1 repair".to_owned(),
        many => format!("{} repairs", number(many)),
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
