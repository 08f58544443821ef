//! How long the running jobs have been silent, as counts on a logarithmic scale: what a picture of a hundred thousand jobs
//! needs, in a size that does not grow with them. Owns the scale; says nothing of which age is too old.

use super::Phase;
use std::time::Duration;

/// One step of the scale: the `n`th begins at `SHORTEST * 10^(n / STEPS_PER_DECADE)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgeStep(u16);

impl AgeStep {
    /// Ages below this share the first step, in seconds.
    const SHORTEST: f64 = 0.1;
    /// As fine as a dot of a few pixels on a wide screen.
    const STEPS_PER_DECADE: f64 = 24.0;
    /// Ten decades: three hundred years. Older ages share the last step.
    const LAST: u16 = 240;

    /// The step that an age falls into.
    pub fn of(age: Duration) -> Self {
        let steps = (age.as_secs_f64() / Self::SHORTEST).log10() * Self::STEPS_PER_DECADE;
        // A float below zero becomes 0 by the conversion, as does the logarithm of 0.
        Self((steps as u16).min(Self::LAST))
    }

    /// The shortest age of the step.
    pub fn begins(self) -> Duration {
        Duration::from_secs_f64(Self::SHORTEST * 10_f64.powf(f64::from(self.0) / Self::STEPS_PER_DECADE))
    }

    /// Where the next step begins.
    pub fn ends(self) -> Duration {
        Self(self.0 + 1).begins()
    }
}

/// Running jobs by the age of their last sign of life. Abandoned jobs are in no age.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ages(Vec<[u64; Phase::ALL.len()]>);

impl Ages {
    /// Adds a job.
    pub fn add(&mut self, phase: Phase, age: Duration) {
        if phase == Phase::Abandoned {
            return;
        }
        let step = usize::from(AgeStep::of(age).0);
        if self.0.len() <= step {
            self.0.resize(step + 1, [0; Phase::ALL.len()]);
        }
        self.0[step][phase as usize] += 1;
    }

    /// Phase, step and number of jobs, by phase and then from the youngest to the oldest.
    pub fn steps(&self) -> impl Iterator<Item = (Phase, AgeStep, u64)> + '_ {
        Phase::ALL.into_iter().flat_map(move |phase| {
            let of_phase = (0..)
                .zip(&self.0)
                .map(move |(step, counts)| (phase, AgeStep(step), counts[phase as usize]));
            of_phase.filter(|(_, _, count)| *count > 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_age_lies_within_its_step() {
        for millis in [100, 101, 999, 1_000, 59_999, 60_001, 86_400_000, 604_800_001] {
            let age = Duration::from_millis(millis);
            let step = AgeStep::of(age);
            // A nanosecond of rounding at the edges.
            let slack = Duration::from_micros(1);
            assert!(
                step.begins() <= age + slack && age < step.ends() + slack,
                "{age:?} in {step:?}"
            );
        }
    }

    #[test]
    fn the_ends_of_the_scale_hold_what_lies_beyond() {
        assert_eq!(AgeStep::of(Duration::ZERO), AgeStep::of(Duration::from_millis(100)));
        assert_eq!(AgeStep::of(Duration::MAX), AgeStep(AgeStep::LAST));
    }

    #[test]
    fn a_hundred_thousand_jobs_take_no_more_than_the_scale_has_steps() {
        let mut ages = Ages::default();
        for index in 0..100_000 {
            ages.add(Phase::Beating, Duration::from_millis(index * 37));
            ages.add(Phase::Abandoned, Duration::from_secs(1 << 20));
        }
        assert!(ages.steps().count() <= usize::from(AgeStep::LAST) + 1);
        assert_eq!(ages.steps().map(|(_, _, count)| count).sum::<u64>(), 100_000);
        assert!(ages.steps().all(|(phase, _, _)| phase == Phase::Beating));
    }
}
