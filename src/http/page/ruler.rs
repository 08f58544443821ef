//! The heartbeat ruler: every running job on a logarithmic axis of silence, with the deadlines drawn. Two lanes, since a
//! job that waits for its first heartbeat has another deadline than one that beats.
//!
//! Horizontal places are percentages and sizes are pixels, so that the drawing follows the screen and its text does not
//! shrink on a phone.

use crate::{
    domain::{AgeStep, JobLine, Phase, Policy, Report},
    present::{
        safe,
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
                circle #running r="3.2" {}
                path #overrun d="M-4-4h8v8h-8z" {}
            }
        }
    }
}

/// One lane: who is in it, and what they must not exceed.
struct Lane<'a> {
    label: &'static str,
    phases: [Phase; 2],
    deadline: Duration,
    deadline_label: &'static str,
    columns: BTreeMap<AgeStep, Column>,
    /// The listed jobs among them.
    jobs: Vec<&'a JobLine>,
}

/// Room above the jobs of a lane, for what is written there, in pixels.
const HEAD: u32 = 38;
/// Room below them.
const FOOT: u32 = 8;
/// How much can be filled with columns.
const ROOM: u32 = 54;
/// Distance of marks that stand on each other.
const STACKED: u32 = 9;
/// Distance of names that stand above each other.
const LINE: u32 = 14;
/// How many stuck jobs of a lane have their names beside their marks.
const NAMED: usize = 3;
/// Height of the axis.
const AXIS: u32 = 24;

/// Draws the ruler of one watch: the lanes in which there are jobs.
pub(super) fn draw(report: &Report, policy: &Policy) -> Markup {
    let lanes = [
        Lane::new(
            report,
            "waiting for the first heartbeat",
            [Phase::Starting, Phase::MissedFirst],
            (policy.init_deadline, "deadline"),
        ),
        Lane::new(
            report,
            "after the first heartbeat",
            [Phase::Beating, Phase::Lost],
            (policy.heartbeat_timeout, "heartbeat timeout"),
        ),
        Lane::new(
            report,
            "without heartbeats",
            [Phase::Running, Phase::Overrun],
            (policy.max_runtime.unwrap_or_default(), "longest run"),
        ),
    ];
    let lanes: Vec<&Lane<'_>> = lanes.iter().filter(|lane| !lane.columns.is_empty()).collect();
    let axis = Axis::over(report, policy);
    let height: u32 = lanes.iter().map(|lane| lane.height()).sum();
    let tops = lanes
        .iter()
        .scan(0, |next, lane| Some(std::mem::replace(next, *next + lane.height())));
    html! {
        @if !lanes.is_empty() {
            figure.ruler {
                figcaption { "Silence of every running " (report.noun) ", on a logarithmic axis" }
                svg role="img" width="100%" height=(height + AXIS) aria-label=(described(report, policy)) {
                    @for (tick, label) in axis.ticks() {
                        @let x = axis.place(*tick);
                        line.tick x1=(x) x2=(x) y1="0" y2=(height) {}
                        text.tick x=(x) y=(height + 17) text-anchor="middle" { (label) }
                    }
                    @for (lane, top) in lanes.iter().zip(tops) { (lane.draw(&axis, top)) }
                }
                p.legend {
                    @for phase in lanes.iter().flat_map(|lane| lane.phases) {
                        span {
                            svg width="14" height="14" aria-hidden="true" {
                                use href={ "#" (phase.as_str()) } x="7" y="7" class=(phase.as_str()) {}
                            }
                            (words::phase(phase))
                        }
                    }
                    @for lane in lanes.iter().filter(|lane| !lane.as_dots()) {
                        span { (lane.label) ": the highest column stands for " (number(lane.highest())) " " (report.noun.many()) }
                    }
                }
            }
        }
    }
}

/// How many jobs of which phase have been silent for the same time.
type Column = Vec<(Phase, u64)>;

impl<'a> Lane<'a> {
    fn new(
        report: &'a Report,
        label: &'static str,
        phases: [Phase; 2],
        (deadline, deadline_label): (Duration, &'static str),
    ) -> Self {
        let mut columns: BTreeMap<AgeStep, Column> = BTreeMap::new();
        for (phase, step, count) in report.ages.steps().filter(|(phase, ..)| phases.contains(phase)) {
            columns.entry(step).or_default().push((phase, count));
        }
        Self {
            label,
            phases,
            deadline,
            deadline_label,
            columns,
            jobs: report.jobs.iter().filter(|job| phases.contains(&job.phase)).collect(),
        }
    }

    /// The jobs of its highest column.
    fn highest(&self) -> u64 {
        let height_of = |column: &Column| column.iter().map(|(_, count)| count).sum();
        self.columns.values().map(height_of).max().unwrap_or_default()
    }

    /// Whether its jobs are few enough for a mark for each.
    fn as_dots(&self) -> bool {
        self.highest() <= u64::from(ROOM / STACKED)
    }

    /// The stuck jobs whose names are written beside their marks, the worst first.
    fn named(&self) -> impl Iterator<Item = &'a JobLine> + use<'a, '_> {
        let stuck = self.jobs.iter().copied().filter(|job| job.phase.is_stuck());
        stuck.take(if self.as_dots() { NAMED } else { 0 })
    }

    /// How much of it is filled with jobs.
    fn filled(&self) -> u32 {
        match self.as_dots() {
            true => u32::try_from(self.highest()).unwrap_or_default() * STACKED,
            false => ROOM,
        }
    }

    fn height(&self) -> u32 {
        let names = u32::try_from(self.named().count()).unwrap_or_default() * LINE;
        HEAD + names + self.filled() + FOOT
    }

    /// The lane, from `top` on: its jobs are a mark each where they are few, else columns.
    fn draw(&self, axis: &Axis, top: u32) -> Markup {
        let (late, height) = (axis.place(self.deadline), self.height());
        let base = top + height - FOOT;
        let highest = self.highest();
        // On the side where there is more room.
        let (side, away, anchor) = beside(late, "early", "late");
        html! {
            rect.late x=(late) y=(top) width=(Percent(100.0 - late.0)) height=(height) {}
            line.base x1="0" x2="100%" y1=(top + height) y2=(top + height) {}
            line.deadline x1=(late) x2=(late) y1=(top) y2=(top + height) {}
            @for (step, column) in &self.columns {
                @if self.as_dots() {
                    (self.dots(axis, *step, column, base))
                } @else {
                    (bar(axis, *step, column, base, highest))
                }
            }
            @for (job, line) in self.named().zip(1_u32..) { (name(axis, job, base, base - self.filled() - (line - 1) * LINE)) }
            // Last, so that a high column doesn't hide them.
            text.lane x="0" y=(top + 15) { (self.label) }
            text class={ "deadline " (side) } x=(late) dx=(away) y=(top + 31) text-anchor=(anchor) {
                (self.deadline_label) " " (span(self.deadline))
            }
        }
    }

    /// A column of few jobs: a mark for each, with its name where it is listed.
    fn dots(&self, axis: &Axis, step: AgeStep, column: &Column, base: u32) -> Markup {
        let x = axis.place(step.begins().max(axis.youngest));
        let of_phase = |(phase, count): &(Phase, u64)| {
            let listed = self
                .jobs
                .iter()
                .filter(|job| job.phase == *phase && AgeStep::of(job.age) == step);
            let names = listed.map(Some).chain(std::iter::repeat(None));
            let count = usize::try_from(*count).unwrap_or_default();
            names.take(count).map(|job| (*phase, job.copied())).collect::<Vec<_>>()
        };
        let each = column.iter().flat_map(of_phase);
        html! {
            @for ((phase, job), height) in each.zip((0..).step_by(STACKED as usize)) {
                use href={ "#" (phase.as_str()) } class=(phase.as_str()) x=(x) y=(base - height) {
                    title {
                        @if let Some(job) = job { (name_of(job)) ": " }
                        (words::phase(phase)) ", silent for " (span(job.map_or(step.begins(), |job| job.age)))
                    }
                }
            }
        }
    }
}

/// A job as it is named beside its mark.
fn name_of(job: &JobLine) -> String {
    /// A longer name would leave the picture.
    const LONGEST: usize = 32;
    let key = job.id.text();
    safe::cut(job.name.as_deref().unwrap_or(&key), LONGEST)
}

/// The name of a job above its mark, on a line of its own so that no two names meet.
fn name(axis: &Axis, job: &JobLine, base: u32, y: u32) -> Markup {
    let x = axis.place(AgeStep::of(job.age).begins().max(axis.youngest));
    let (_, away, anchor) = beside(x, "", "");
    html! {
        line.leader x1=(x) x2=(x) y1=(y - 8) y2=(base) {}
        text.named x=(x) dx=(away) y=(y - 4) text-anchor=(anchor) { (name_of(job)) }
    }
}

/// On which side of a place there is more room: a word for it, the distance, and where the text is anchored.
fn beside<T>(place: Percent, before: T, after: T) -> (T, &'static str, &'static str) {
    if place.0 > 60.0 {
        (before, "-5", "end")
    } else {
        (after, "5", "start")
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
    for phase in Phase::ALL {
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
        format!("no running {}", report.noun.many())
    } else {
        parts.join("; ")
    };
    match policy.max_runtime {
        None => format!(
            "{jobs}. Deadline of the first heartbeat {}, heartbeat timeout {}.",
            span(policy.init_deadline),
            span(policy.heartbeat_timeout)
        ),
        Some(longest) => format!("{jobs}. Longest run {}.", span(longest)),
    }
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
        let (first, second) = match policy.max_runtime {
            None => (policy.init_deadline, policy.heartbeat_timeout),
            Some(longest) => (longest, longest),
        };
        let shortest = first.min(second) / 10;
        let longest = first.max(second) * 4;
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
