//! The jobs of a watch: the stuck and late ones with what happens to them next, and the others folded away.

use super::{
    asked::Part,
    place::Place,
    table::{Row, name_and_id, table, whole},
};
use crate::{
    domain::{JobLine, Phase, Report, Timestamp},
    present::{
        Next,
        time::span,
        words::{self, number},
    },
};
use maud::{Markup, html};

/// How many of the stuck and late jobs are shown at once: what follows them should be in reach.
const WORST: usize = 12;

/// The stuck and late jobs; the others are folded away.
pub(super) fn jobs(place: &Place<'_>, report: &Report) -> Markup {
    let (pressing, calm): (Vec<&JobLine>, Vec<&JobLine>) = report.jobs.iter().partition(|job| is_pressing(job));
    let (stuck, many) = (report.stuck(), report.noun.many());
    let listed = pressing.iter().filter(|job| job.phase.is_stuck()).count() as u64;
    html! {
        @if !pressing.is_empty() {
            h3 { "Stuck and late " (many) }
            @if stuck > listed {
                p.none {
                    "The worst " (number(listed)) " of " (number(stuck)) " stuck " (many) "; " code { "/api/v1/status" }
                    " and the metrics count them all."
                }
            }
            @let (worst, more) = pressing.split_at(pressing.len().min(WORST));
            (table_of_jobs(place, &format!("Stuck and late {many}, worst first"), worst, report.at))
            @if !more.is_empty() {
                (folded(place, Part::Stuck(place.index), &format!("{} more stuck and late {many}", more.len()), more, report.at))
            }
        }
        @if !calm.is_empty() {
            @let (other, jobs) = (if pressing.is_empty() { "" } else { "other " }, report.noun.of(calm.len() as u64));
            @let words = format!("{} {other}running {jobs}, the longest silence first", number(calm.len() as u64));
            (folded(place, Part::Running(place.index), &words, &calm, report.at))
        }
    }
}

/// Jobs behind a line that opens them. They are there and hidden while they are folded, so that the address of one of them
/// opens them.
fn folded(place: &Place<'_>, part: Part, words: &str, jobs: &[&JobLine], at: Timestamp) -> Markup {
    let is_marked = |job: &&JobLine| {
        place
            .anchor(&job.id.text())
            .is_some_and(|anchor| place.asked.marks(&anchor))
    };
    let is_open = place.asked.is_open(part) || jobs.iter().any(is_marked);
    let id = part.id();
    let (other, expanded) = match is_open {
        true => (place.asked.closing(part), "true"),
        false => (place.asked.opening(part), "false"),
    };
    html! {
        div.part.open[is_open] id=(id) {
            a.fold href={ (other.address()) "#" (id) } aria-expanded=(expanded) {
                (words)
            }
            (table_of_jobs(place, words, jobs, at))
        }
    }
}

/// Stuck, or on the way there: half of the time until it is due has passed.
fn is_pressing(job: &JobLine) -> bool {
    let half_gone = |due: Timestamp, started: Timestamp| job.age > started.age_at(due) / 2;
    match job.phase {
        Phase::MissedFirst | Phase::Lost | Phase::Overrun => true,
        Phase::Starting | Phase::Running => job
            .due_at
            .zip(job.started_at)
            .is_some_and(|(due, started)| half_gone(due, started)),
        Phase::Beating | Phase::Abandoned => false,
    }
}

fn table_of_jobs(place: &Place<'_>, caption: &str, jobs: &[&JobLine], at: Timestamp) -> Markup {
    let headings = [
        place.noun().one(),
        "phase",
        "silent for",
        "new runs",
        "what happens next",
    ];
    let blocking = |job: &JobLine| {
        job.blocking
            .map_or_else(|| "–".to_owned(), |blocking| words::blocking(blocking, at))
    };
    let row = |job: &&JobLine| {
        let key = job.id.text();
        Row {
            class: job.phase.as_str(),
            is_marked: place.anchor(&key).is_some_and(|anchor| place.asked.marks(&anchor)),
            anchor: place.anchor(&key),
            cells: [
                name_and_id(place, job.name.as_deref(), &key),
                whole(words::phase(job.phase)),
                whole(&span(job.age)),
                html! { (blocking(job)) },
                next(job, at),
            ],
        }
    };
    table(caption, headings, &jobs.iter().map(row).collect::<Vec<_>>())
}

/// What happens next to the job, and which repair did already.
fn next(job: &JobLine, at: Timestamp) -> Markup {
    html! {
        (Next::from(job).words(at, span))
        @if let Some(id) = job.repair { " " code.uuid { (id) } }
    }
}
