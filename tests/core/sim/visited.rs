//! What was visited: every cause for which a repair is withheld, every outcome of an attempt, and every way from one phase of a job
//! to another. The lists come from the enumerations: a variant that no history visits fails the test, and so does a way between two
//! phases that the contract doesn't have.

use super::{
    keyed::Keyed,
    server::{Micros, RUNNING},
    world::{Totals, World},
};
use beatwarden::domain::{Cause, Job, Outcome, Phase, Report};

/// Not there before, or not any more.
const GONE: &str = "not there";
/// There, and not running.
const RESTING: &str = "not running";
/// All that is listed of the jobs of a report.
const LISTED: usize = 50;

/// The jobs of a process at its last good pass, with their starts and phases.
pub type Phases = Keyed<(Option<Micros>, &'static str)>;

/// Every outcome of an attempt.
const OUTCOMES: [&str; 10] = [
    "repaired",
    "already",
    "not_leader",
    "no_ledger",
    "locked",
    "lost_race",
    "shutdown",
    "postponed",
    "failed",
    "unknown",
];

fn outcome(outcome: &Outcome) -> &'static str {
    let [
        repaired,
        already,
        not_leader,
        no_ledger,
        locked,
        lost_race,
        shutdown,
        postponed,
        failed,
        unknown,
    ] = OUTCOMES;
    match outcome {
        Outcome::Repaired(_) => repaired,
        Outcome::Already => already,
        Outcome::NotLeader => not_leader,
        Outcome::NoLedger(_) => no_ledger,
        Outcome::Locked => locked,
        Outcome::LostRace => lost_race,
        Outcome::Shutdown => shutdown,
        Outcome::Postponed => postponed,
        Outcome::Failed(_) => failed,
        Outcome::Unknown(_) => unknown,
    }
}

/// What can become of a job in a phase, from one pass to the next.
fn next(phase: Phase) -> Vec<&'static str> {
    use Phase::{Abandoned, Beating, Lost, MissedFirst, Overrun, Running, Starting};
    let phases: &[Phase] = match phase {
        Starting => &[Beating, MissedFirst, Abandoned],
        Beating => &[Starting, MissedFirst, Lost, Abandoned],
        MissedFirst => &[Starting, Beating, Abandoned],
        Lost => &[Beating, MissedFirst, Abandoned],
        Running => &[Overrun, Abandoned],
        Overrun => &[Running, Abandoned],
        Abandoned => &[Starting, Beating, Running],
    };
    let phases = phases.iter().map(|phase| phase.as_str());
    phases.chain([RESTING, GONE]).collect()
}

/// Ways that a clock that is set back makes possible, or an owner's row that goes: too rare to be demanded of some hundred histories.
const RARE: [(Phase, Phase); 4] = [
    (Phase::Lost, Phase::Starting),
    (Phase::Abandoned, Phase::MissedFirst),
    (Phase::Abandoned, Phase::Lost),
    (Phase::Abandoned, Phase::Overrun),
];

/// Every way from one phase to another, into the first and out of the last.
fn ways() -> Vec<(&'static str, &'static str)> {
    let mut ways = Vec::new();
    for phase in Phase::ALL {
        let from = phase.as_str();
        ways.extend([(GONE, from), (RESTING, from)]);
        ways.extend(next(phase).into_iter().map(|to| (from, to)));
    }
    ways
}

impl World {
    /// Takes note of what a good pass has visited.
    pub fn visit(&mut self, dog: usize, report: &Report) {
        let totals = &mut self.totals;
        for (cause, _) in report.withheld.iter().filter(|(_, count)| **count > 0) {
            totals.visit("cause", cause.as_str(), "");
        }
        for attempted in &report.attempts {
            totals.visit("outcome", outcome(&attempted.outcome), "");
        }
        if report.jobs.len() >= LISTED {
            // The others are not known.
            self.dogs[dog].phases = Phases::default();
            return;
        }
        let seen = &self.dogs[dog].seen;
        let phase_of = |(key, (job, _)): (i64, &(Job, Micros))| {
            let phase = match job.state.as_deref() {
                // All but these are listed.
                Some(RUNNING) => Phase::Abandoned.as_str(),
                _ => RESTING,
            };
            (key, (job.started_at.at().map(|at| at.as_micros()), phase))
        };
        let listed = report.jobs.iter().map(|line| {
            let start = line.started_at.map(|at| at.as_micros());
            (line.id.number().unwrap_or_default(), (start, line.phase.as_str()))
        });
        let mut phases: Phases = seen.rows.iter().map(phase_of).chain(listed).collect();
        let ended = report
            .attempts
            .iter()
            .filter(|made| matches!(made.outcome, Outcome::Repaired(_)));
        for made in ended {
            // As it is after the pass.
            if let Some(key) = made.repair.job.id.number()
                && report.jobs.iter().all(|line| line.id != made.repair.job.id)
                && let Some(phase) = phases.get_mut(key)
            {
                phase.1 = RESTING;
            }
        }
        let before = std::mem::replace(&mut self.dogs[dog].phases, phases);
        let phases = &self.dogs[dog].phases;
        for (key, (start, to)) in phases.iter() {
            let from = match before.get(key) {
                Some((same, from)) if same == start => from,
                _ => GONE,
            };
            if from != *to {
                self.totals.visit("way", from, to);
            }
        }
        for (key, (start, from)) in before.iter() {
            if phases.get(key).is_none_or(|(same, _)| same != start) {
                self.totals.visit("way", from, GONE);
            }
        }
    }
}

impl Totals {
    /// What was not visited of all that there is, and ways that the contract doesn't have.
    pub fn unvisited(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let causes = Cause::ALL.into_iter().map(|cause| ("cause", cause.as_str(), ""));
        let outcomes = OUTCOMES.into_iter().map(|outcome| ("outcome", outcome, ""));
        let ways = ways();
        let wanted = ways.iter().map(|(from, to)| ("way", *from, *to));
        for what in causes.chain(outcomes).chain(wanted) {
            if self.visits(what) == 0 {
                missing.push(format!("{what:?} was not visited"));
            }
        }
        for ((kind, from, to), times) in self.visited() {
            let is_resting = [GONE, RESTING].contains(from) && [GONE, RESTING].contains(to);
            let is_rare = RARE
                .iter()
                .any(|(one, other)| (one.as_str(), other.as_str()) == (*from, *to));
            if *kind == "way" && !is_resting && !is_rare && !ways.contains(&(*from, *to)) {
                missing.push(format!("there is no way from {from} to {to}, and {times} went it"));
            }
        }
        missing
    }
}
