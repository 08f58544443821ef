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
use maud::{Markup, Render, html};
use std::{collections::BTreeMap, fmt::Write, time::Duration};

/// The marks of the phases, drawn once for all rulers. The shape shows the phase as well as the colour does.
pub(super) fn marks() -> Markup {
    html! {
        svg.marks aria-hidden="true" {
            defs {
                circle #beating r="3.8" {}
                circle #starting r="3.2" {}
                path #missed_first d="M0-5 5 0 0 5-5 0z" {}
                path #lost d="M0-5 5 4h-10z" {}
            }
        }
    }
}

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
pub(super) fn draw(report: &Report, policy: &Policy) -> Markup {
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
    html! {
        figure.ruler {
            figcaption { "Silence of every running job, on a logarithmic axis" }
            svg role="img" width="100%" height=(2 * LANE + AXIS) aria-label=(described(report, policy)) {
                @for (tick, label) in axis.ticks() {
                    @let x = axis.place(*tick);
                    line.tick x1=(x) x2=(x) y1="0" y2=(2 * LANE) {}
                    text.tick x=(x) y=(2 * LANE + 17) text-anchor="middle" { (label) }
                }
                (lanes[0].draw(&axis, report, 0))
                (lanes[1].draw(&axis, report, LANE))
            }
            p.legend {
                @for phase in [Phase::Starting, Phase::MissedFirst, Phase::Beating, Phase::Lost] {
                    span {
                        svg width="14" height="14" aria-hidden="true" {
                            use href={ "#" (phase.as_str()) } x="7" y="7" class=(phase.as_str()) {}
                        }
                        (words::phase(phase))
                    }
                }
                @for lane in &lanes {
                    @let highest = lane.highest(report);
                    @if !as_dots(highest) {
                        span { (lane.label) ": the highest column stands for " (number(highest)) " jobs" }
                    }
                }
            }
        }
    }
}

/// Whether columns up to this height are drawn as a mark for each job.
const fn as_dots(highest: u64) -> bool {
    highest <= (ROOM / STACKED) as u64
}

/// How many jobs of which phase have been silent for the same time.
type Column = Vec<(Phase, u64)>;

impl Lane {
    fn columns(&self, report: &Report) -> BTreeMap<AgeStep, Column> {
        let mut columns: BTreeMap<AgeStep, Column> = BTreeMap::new();
        for (phase, step, count) in report.ages.steps().filter(|(phase, ..)| self.phases.contains(phase)) {
            columns.entry(step).or_default().push((phase, count));
        }
        columns
    }

    /// The jobs of its highest column.
    fn highest(&self, report: &Report) -> u64 {
        let height_of = |column: &Column| column.iter().map(|(_, count)| count).sum();
        self.columns(report).values().map(height_of).max().unwrap_or_default()
    }

    /// The lane, from `top` on: its jobs are a mark each where they are few, else columns.
    fn draw(&self, axis: &Axis, report: &Report, top: u32) -> Markup {
        let late = axis.place(self.deadline);
        let highest = self.highest(report);
        // On the side where there is more room.
        let (side, away, anchor) = if late.0 > 60.0 {
            ("early", "-5", "end")
        } else {
            ("late", "5", "start")
        };
        html! {
            rect.late x=(late) y=(top) width=(Percent(100.0 - late.0)) height=(LANE) {}
            line.base x1="0" x2="100%" y1=(top + LANE) y2=(top + LANE) {}
            line.deadline x1=(late) x2=(late) y1=(top) y2=(top + LANE) {}
            @for (step, column) in self.columns(report) {
                @if as_dots(highest) {
                    (dots(axis, step, &column, top + BASE))
                } @else {
                    (bar(axis, step, &column, top + BASE, highest))
                }
            }
            // Last, so that a high column doesn't hide them.
            text.lane x="0" y=(top + 15) { (self.label) }
            text class={ "deadline " (side) } x=(late) dx=(away) y=(top + 31) text-anchor=(anchor) {
                (self.deadline_label) " " (span(self.deadline))
            }
        }
    }
}

/// A column of few jobs: a mark for each.
fn dots(axis: &Axis, step: AgeStep, column: &Column, base: u32) -> Markup {
    let x = axis.place(step.begins().max(axis.youngest));
    let each = column.iter().flat_map(|(phase, count)| (0..*count).map(|_| *phase));
    html! {
        @for (phase, height) in each.zip((0..).step_by(STACKED as usize)) {
            use href={ "#" (phase.as_str()) } class=(phase.as_str()) x=(x) y=(base - height) {
                title { (words::phase(phase)) ", silent for " (span(step.begins())) }
            }
        }
    }
}

/// A column of many: its height follows the logarithm of their number, so that a single job still shows.
fn bar(axis: &Axis, step: AgeStep, column: &Column, base: u32, highest: u64) -> Markup {
    let x = axis.place(step.begins().max(axis.youngest));
    let width = Percent((axis.place(step.ends()).0 - x.0).max(0.3) * 0.8);
    let mut y = f64::from(base) + 6.0;
    let parts = column.iter().map(|(phase, count)| {
        let share = ((*count + 1) as f64).ln() / ((highest + 1) as f64).ln();
        let height = 4.0 + share * f64::from(ROOM - 8) / column.len() as f64;
        y -= height;
        (phase, count, y, height)
    });
    html! {
        @for (phase, count, y, height) in parts {
            rect class=(phase.as_str()) x=(x) y=(format_args!("{y:.1}")) width=(width) height=(format_args!("{height:.1}")) {
                title {
                    (number(*count)) " " (words::phase(*phase)) ", silent for " (span(step.begins())) " to " (span(step.ends()))
                }
            }
        }
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

/// A place from the left, or a width, in percent of the picture.
#[derive(Clone, Copy)]
struct Percent(f64);

impl Render for Percent {
    fn render_to(&self, out: &mut String) {
        write!(out, "{:.2}%", self.0).expect("a string takes everything");
    }
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

    /// A margin at both ends keeps marks and labels whole.
    fn place(&self, age: Duration) -> Percent {
        const MARGIN: f64 = 2.5;
        let from = self.youngest.as_secs_f64().ln();
        let to = self.oldest.as_secs_f64().ln();
        let at = age.clamp(self.youngest, self.oldest).as_secs_f64().ln();
        Percent(MARGIN + (at - from) / (to - from) * (100.0 - 2.0 * MARGIN))
    }
}
