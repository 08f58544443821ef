//! The heartbeat ruler: every running job on a logarithmic axis of silence, with the deadlines drawn. Two lanes, since a
//! job that waits for its first heartbeat has another deadline than one that beats.
//!
//! Horizontal places are percentages and sizes are pixels, so that the drawing follows the screen and its text does not
//! shrink on a phone.

use crate::{
    domain::{AgeStep, Phase, Policy, Report},
    present::{
        time::span,
        words::{self, number},
    },
};
use std::{collections::BTreeMap, fmt::Write, time::Duration};

/// The marks of the phases, drawn once for all rulers. Shape tells the phase as well as colour does.
pub(super) const MARKS: &str = "<svg class=\"marks\" aria-hidden=\"true\"><defs>\
     <circle id=\"beating\" r=\"3.8\"/><circle id=\"starting\" r=\"3.2\"/>\
     <path id=\"missed_first\" d=\"M0-5 5 0 0 5-5 0z\"/><path id=\"lost\" d=\"M0-5 5 4h-10z\"/></defs></svg>";

/// One lane: who is in it, and what they must not exceed.
struct Lane {
    label: &'static str,
    phases: [Phase; 2],
    deadline: Duration,
    deadline_label: &'static str,
}

/// Height of a lane, in pixels.
const LANE: u32 = 84;
/// Where the jobs of a lane stand, from its top.
const BASE: u32 = 76;
/// So much of a lane can be filled with jobs.
const ROOM: u32 = 54;
/// Distance of marks that stand on each other.
const STACKED: u32 = 9;
/// Height of the axis.
const AXIS: u32 = 24;

/// Draws the ruler of one watch.
pub(super) fn draw(out: &mut String, report: &Report, policy: &Policy) {
    let lanes = [
        Lane {
            label: "waiting for the first heartbeat",
            phases: [Phase::Starting, Phase::MissedFirst],
            deadline: policy.init_deadline,
            deadline_label: "init deadline",
        },
        Lane {
            label: "after the first heartbeat",
            phases: [Phase::Beating, Phase::Lost],
            deadline: policy.heartbeat_timeout,
            deadline_label: "heartbeat timeout",
        },
    ];
    let axis = Axis::over(report, policy);
    let _ = write!(
        out,
        "<figure class=\"ruler\"><figcaption>Silence of every running job, on a logarithmic axis</figcaption>\
         <svg role=\"img\" width=\"100%\" height=\"{}\" aria-label=\"{}\">",
        2 * LANE + AXIS,
        described(report, policy)
    );
    for (tick, label) in axis.ticks() {
        let at = axis.place(*tick);
        let _ = write!(
            out,
            "<line class=\"tick\" x1=\"{at:.2}%\" x2=\"{at:.2}%\" y1=\"0\" y2=\"{0}\"/><text class=\"tick\" x=\"{at:.2}%\" y=\"{1}\" \
             text-anchor=\"middle\">{label}</text>",
            2 * LANE,
            2 * LANE + 17
        );
    }
    let mut notes = String::new();
    for (index, lane) in lanes.iter().enumerate() {
        let top = LANE * u32::try_from(index).expect("two lanes");
        lane.draw(out, &axis, report, top, &mut notes);
    }
    out.push_str("</svg><p class=\"legend\">");
    for phase in [Phase::Starting, Phase::MissedFirst, Phase::Beating, Phase::Lost] {
        let _ = write!(
            out,
            "<span><svg width=\"14\" height=\"14\" aria-hidden=\"true\"><use href=\"#{0}\" x=\"7\" y=\"7\" class=\"{0}\"/></svg>{1}</span>",
            phase.as_str(),
            words::phase(phase)
        );
    }
    let _ = write!(out, "{notes}</p></figure>");
}

impl Lane {
    fn draw(&self, out: &mut String, axis: &Axis, report: &Report, top: u32, notes: &mut String) {
        let late = axis.place(self.deadline);
        let _ = write!(
            out,
            "<rect class=\"late\" x=\"{late:.2}%\" y=\"{top}\" width=\"{:.2}%\" height=\"{LANE}\"/>\
             <line class=\"base\" x1=\"0\" x2=\"100%\" y1=\"{1}\" y2=\"{1}\"/>\
             <line class=\"deadline\" x1=\"{late:.2}%\" x2=\"{late:.2}%\" y1=\"{top}\" y2=\"{1}\"/>",
            100.0 - late,
            top + LANE,
        );
        self.jobs(out, axis, report, top + BASE, notes);
        // Last, so that a high column doesn't hide it; on the side where there is more room.
        let (side, away, anchor) = if late > 60.0 {
            ("early", "-5", "end")
        } else {
            ("late", "5", "start")
        };
        let _ = write!(
            out,
            "<text class=\"lane\" x=\"0\" y=\"{}\">{}</text>\
             <text class=\"deadline {side}\" x=\"{late:.2}%\" dx=\"{away}\" y=\"{}\" text-anchor=\"{anchor}\">{} {}</text>",
            top + 15,
            self.label,
            top + 31,
            self.deadline_label,
            span(self.deadline),
        );
    }

    /// The jobs of the lane: a mark each where they are few, else columns.
    fn jobs(&self, out: &mut String, axis: &Axis, report: &Report, base: u32, notes: &mut String) {
        let mut columns: BTreeMap<AgeStep, Vec<(Phase, u64)>> = BTreeMap::new();
        for (phase, step, count) in report.ages.steps().filter(|(phase, ..)| self.phases.contains(phase)) {
            columns.entry(step).or_default().push((phase, count));
        }
        let height_of = |column: &[(Phase, u64)]| column.iter().map(|(_, count)| count).sum::<u64>();
        let highest = columns
            .values()
            .map(|column| height_of(column))
            .max()
            .unwrap_or_default();
        let as_dots = highest <= u64::from(ROOM / STACKED);
        for (step, column) in &columns {
            if as_dots {
                dots(out, axis, *step, column, base);
            } else {
                bar(out, axis, *step, column, base, highest);
            }
        }
        if !as_dots {
            let _ = write!(
                notes,
                "<span>{}: the highest column stands for {} jobs</span>",
                self.label,
                number(highest)
            );
        }
    }
}

/// A column of few jobs: a mark for each.
fn dots(out: &mut String, axis: &Axis, step: AgeStep, column: &[(Phase, u64)], base: u32) {
    let at = axis.place(step.begins().max(axis.youngest));
    let mut y = base;
    for (phase, count) in column {
        for _ in 0..*count {
            let _ = write!(
                out,
                "<use href=\"#{0}\" class=\"{0}\" x=\"{at:.2}%\" y=\"{y}\"><title>{1}, silent for {2}</title></use>",
                phase.as_str(),
                words::phase(*phase),
                span(step.begins())
            );
            y -= STACKED;
        }
    }
}

/// A column of many: its height follows the logarithm of their number, so that a single job still shows.
fn bar(out: &mut String, axis: &Axis, step: AgeStep, column: &[(Phase, u64)], base: u32, highest: u64) {
    let at = axis.place(step.begins().max(axis.youngest));
    let width = (axis.place(step.ends()) - at).max(0.3) * 0.8;
    let mut y = f64::from(base) + 6.0;
    for (phase, count) in column {
        let share = ((*count + 1) as f64).ln() / ((highest + 1) as f64).ln();
        let height = 4.0 + share * f64::from(ROOM - 8) / column.len() as f64;
        y -= height;
        let _ = write!(
            out,
            "<rect class=\"{}\" x=\"{at:.2}%\" y=\"{y:.1}\" width=\"{width:.2}%\" height=\"{height:.1}\"><title>{} {}, silent for {} to \
             {}</title></rect>",
            phase.as_str(),
            number(*count),
            words::phase(*phase),
            span(step.begins()),
            span(step.ends()),
        );
    }
}

/// The picture in words.
fn described(report: &Report, policy: &Policy) -> String {
    let mut parts = Vec::new();
    for phase in [Phase::Starting, Phase::MissedFirst, Phase::Beating, Phase::Lost] {
        let steps = report.ages.steps().filter(|(of, ..)| *of == phase);
        if let Some((_, oldest, _)) = steps.last() {
            parts.push(format!(
                "{} {}, silent for {} at most",
                number(report.count(phase)),
                words::phase(phase),
                span(oldest.ends())
            ));
        }
    }
    let jobs = if parts.is_empty() {
        "no running jobs".to_owned()
    } else {
        parts.join("; ")
    };
    format!(
        "{jobs}. Init deadline {}, heartbeat timeout {}.",
        span(policy.init_deadline),
        span(policy.heartbeat_timeout)
    )
}

/// The logarithmic axis of ages.
struct Axis {
    youngest: Duration,
    oldest: Duration,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What an axis can begin and end with, and what is written on it.
const TICKS: [(Duration, &str); 13] = [
    (Duration::from_millis(100), "0.1 s"),
    (seconds(1), "1 s"),
    (seconds(10), "10 s"),
    (seconds(60), "1 min"),
    (seconds(600), "10 min"),
    (seconds(3_600), "1 h"),
    (seconds(21_600), "6 h"),
    (seconds(86_400), "1 d"),
    (seconds(604_800), "7 d"),
    (seconds(2_592_000), "30 d"),
    (seconds(31_536_000), "1 y"),
    (seconds(315_360_000), "10 y"),
    (seconds(3_153_600_000), "100 y"),
];

impl Axis {
    /// Wide enough for both deadlines and for every job; its ends jump from tick to tick, so that it rarely moves.
    fn over(report: &Report, policy: &Policy) -> Self {
        let shortest = policy.init_deadline.min(policy.heartbeat_timeout) / 10;
        let longest = policy.init_deadline.max(policy.heartbeat_timeout) * 4;
        let oldest = report
            .ages
            .steps()
            .map(|(_, step, _)| step.ends())
            .max()
            .unwrap_or_default()
            .max(longest);
        let begin = TICKS.iter().rev().find(|(tick, _)| *tick <= shortest.min(seconds(1)));
        let end = TICKS.iter().find(|(tick, _)| *tick >= oldest);
        Self {
            youngest: begin.unwrap_or(&TICKS[0]).0,
            oldest: end.unwrap_or(&TICKS[TICKS.len() - 1]).0,
        }
    }

    fn ticks(&self) -> impl Iterator<Item = &'static (Duration, &'static str)> {
        let (youngest, oldest) = (self.youngest, self.oldest);
        TICKS.iter().filter(move |(tick, _)| (youngest..=oldest).contains(tick))
    }

    /// Percent from the left; a margin at both ends keeps marks and labels whole.
    fn place(&self, age: Duration) -> f64 {
        const MARGIN: f64 = 2.5;
        let from = self.youngest.as_secs_f64().ln();
        let to = self.oldest.as_secs_f64().ln();
        let at = age.clamp(self.youngest, self.oldest).as_secs_f64().ln();
        MARGIN + (at - from) / (to - from) * (100.0 - 2.0 * MARGIN)
    }
}
