//! What the process itself uses: the collector of the `prometheus` crate, but for its processor time in whole seconds. A
//! sidecar uses a fraction of a percent, of which whole seconds show nothing for minutes.

use prometheus::{
    core::{Collector, Desc},
    process_collector::ProcessCollector,
    proto::{Counter, MetricFamily},
};

const CPU: &str = "process_cpu_seconds_total";
/// `USER_HZ`, the unit of times in `/proc`: 100 by the kernel's interface on x86 and ARM, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// The process of this program.
pub(super) struct Process(ProcessCollector);

impl Process {
    pub(super) fn own() -> Self {
        Self(ProcessCollector::for_self())
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        let cpu = families.iter_mut().find(|family| family.name() == CPU);
        let stat = std::fs::read_to_string("/proc/self/stat").ok();
        if let Some((cpu, seconds)) = cpu.zip(stat.as_deref().and_then(cpu_seconds)) {
            for metric in cpu.mut_metric() {
                let mut counter = Counter::default();
                counter.set_value(seconds);
                metric.set_counter(counter);
            }
        }
        families
    }
}

/// User and system time of a line of [`proc_pid_stat(5)`](https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html): the
/// fields 14 and 15. The second field is a name that may hold blanks and brackets, so counting begins behind its last one.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok().map(f64::from);
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_in_fractions_behind_whatever_name_the_process_has() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 900 0 0 0 30 22 7 8 20 0 3 0 100 1 1";
        assert_eq!(cpu_seconds(stat), Some(0.52));
        for broken in ["", "42 (a", "42 (a) S 1", "42 (a) S 1 2 3 4 5 6 7 8 9 10 x y"] {
            assert_eq!(cpu_seconds(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_processor_time_of_this_process_is_no_whole_number_of_seconds() {
        let before = own();
        let mut sum = 0_u64;
        while own() < before + 0.05 {
            sum = (0..100_000).fold(sum, |sum, number| sum.wrapping_mul(31) + number);
        }
        assert!(own() > before, "{sum}");
    }

    fn own() -> f64 {
        let families = Process::own().collect();
        let cpu = families.iter().find(|family| family.name() == CPU);
        cpu.expect("it is there").get_metric()[0].get_counter().get_value()
    }
}
