//! Gauges: rebuilt from what is known now.

use crate::{
    domain::{Action, Cause, Newcomers, SharedText},
    present::View,
    status::ReloadStatus,
};
use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::BTreeMap;

/// A label is cut here; Prometheus takes longer ones, people don't.
const NAME: usize = 128;
/// The label of all names that got none of their own.
const OTHER: &str = "__other__";

/// The causes that can hinder a whole watch.
const OBSTACLES: [Cause; 4] = [Cause::Rights, Cause::ReadOnly, Cause::NetworkFs, Cause::NoLedger];

/// A gauge with one value for each watch: its name, its help, and the value, where it is known.
type OfWatch = (&'static str, &'static str, fn(&View) -> Option<f64>);

#[rustfmt::skip]
const OF_WATCH: &[OfWatch] = &[
    ("poll_interval_seconds", "Poll interval in force.",
        |one| Some(one.status.interval().as_secs_f64())),
    ("configured_poll_interval_seconds", "Poll interval of the configuration.",
        |one| Some(one.status.terms.poll_interval.as_secs_f64())),
    ("init_deadline_seconds", "Time that a job has from its start to its first real heartbeat.",
        |one| Some(one.status.terms.policy.init_deadline.as_secs_f64())),
    ("heartbeat_timeout_seconds", "Longest silence of a living job.",
        |one| Some(one.status.terms.policy.heartbeat_timeout.as_secs_f64())),
    ("init_objective", "Objective of the init success ratio.",
        |one| Some(one.status.terms.init_objective)),
    ("up", "1 if the last pass read the table.",
        |one| Some(number(one.is_up()))),
    // Ours and no fact of the table, so it is not unknown while the database is away.
    ("fuse_open", "1 while the fuse keeps jobs from being failed.",
        |one| Some(number(one.fuse_open().unwrap_or(false)))),
    ("guard_installed", "1 if the guard trigger is installed and sound.",
        |one| one.guard_installed().map(number)),
    ("last_successful_poll_timestamp_seconds", "When the table was last read, by this process's clock; 0 if never.",
        |one| Some(one.status.last_good.as_ref().map_or(0.0, |pass| pass.wall.as_seconds()))),
    ("last_full_look_timestamp_seconds", "When the whole table was last covered, by the database's clock.",
        |one| one.status.last_full_look.map(|at| at.as_seconds())),
    ("repair_enabled", "1 if the action is not observe and nothing hinders the whole watch.",
        |one| one.repair_enabled().map(number)),
    ("init_tracking", "1 if jobs that start and end between two polls are counted.",
        |one| {
            let has_inits = one.status.terms.policy.max_runtime.is_none();
            one.known(|pass| number(has_inits && pass.newcomers == Newcomers::Followed))
        }),
    ("clock_skew_seconds", "Database's clock minus this process's.",
        |one| one.known(|pass| pass.clock_skew)),
    ("writer_clock_offset_seconds", "Database's time minus the newest heartbeat that changed since the last poll.",
        |one| Some(one.current.as_ref()?.report.writer_offset_micros? as f64 / 1e6)),
    ("blocking_jobs",
        "Stuck jobs that keep the writer from starting another run of the same name now, by its own rule.",
        |one| one.current.as_ref()?.report.blocking.map(|count| count as f64)),
    ("unreadable_jobs", "Running rows whose times can't be read.",
        |one| one.known(|pass| pass.report.unreadable as f64)),
    ("unknown_state_jobs", "Rows whose state is in no list.",
        |one| one.known(|pass| pass.report.unknown_state as f64)),
    ("init_success_ratio", "Successful inits among those of jobs that started within the window.",
        |one| one.current.as_ref()?.report.window.ratio()),
    ("last_repair_timestamp_seconds",
        "When the newest backfill or fail was committed, by the database's clock, as the ledger has it.",
        |one| Some(one.last_repair()?.repaired_at.as_seconds())),
    ("heartbeat_age_max_seconds", "Oldest age of a last sign of life among running jobs, as of the last poll.",
        |one| {
            let report = &one.current.as_ref()?.report;
            Some(report.oldest_sign?.age_at(report.at).as_secs_f64())
        }),
    ("oldest_heartbeat_timestamp_seconds", "The oldest last sign of life among running jobs.",
        |one| Some(one.current.as_ref()?.report.oldest_sign?.as_seconds())),
];

/// One gauge after another, each with its values. They are made for one scrape and read once, so no registry keeps them.
#[derive(Default)]
struct Gauges(Vec<MetricFamily>);

impl Gauges {
    /// Adds a gauge with a value for each of `rows`: label values, no two the same, and the value. One without values exports
    /// nothing.
    fn gauge(&mut self, name: &str, help: &str, labels: &[&str], rows: impl IntoIterator<Item = (Vec<String>, f64)>) {
        let mut metrics: Vec<Metric> = rows
            .into_iter()
            .map(|(values, value)| metric(labels, values, value))
            .collect();
        if metrics.is_empty() {
            return;
        }
        // As a registry has them.
        metrics.sort_by(|one, other| values(one).cmp(values(other)));
        let mut family = MetricFamily::default();
        family.set_name(format!("beatwarden_{name}"));
        family.set_help(help.to_owned());
        family.set_field_type(MetricType::GAUGE);
        family.set_metric(metrics);
        self.0.push(family);
    }
}

/// The values of its labels.
fn values(metric: &Metric) -> impl Iterator<Item = &str> {
    metric.get_label().iter().map(LabelPair::value)
}

/// One value of a gauge, its labels in the order of their names.
fn metric(labels: &[&str], values: Vec<String>, value: f64) -> Metric {
    let pair = |(name, value): (&&str, String)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value);
        pair
    };
    let mut pairs: Vec<LabelPair> = labels.iter().zip(values).map(pair).collect();
    pairs.sort_by(|one, other| one.name().cmp(other.name()));
    let mut gauge = Gauge::default();
    // Adding zero turns the -0 of an empty sum into 0.
    gauge.set_value(value + 0.0);
    let mut metric = Metric::default();
    metric.set_label(pairs);
    metric.set_gauge(gauge);
    metric
}

fn number(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// The gauges of one watch.
pub(super) fn of_watch(one: &View) -> Vec<MetricFamily> {
    let mut gauges = Gauges::default();
    for (name, help, value) in OF_WATCH {
        let rows = value(one).map(|value| (vec![one.name.clone()], value));
        gauges.gauge(name, help, &["watch"], rows);
    }
    gauges.gauge(
        "watch_info",
        "The preset of a watch, if any, what people call a job of it, and its table.",
        &["watch", "preset", "noun", "table"],
        [(what(one), 1.0)],
    );
    by_cause_and_phase(&mut gauges, one);
    by_job_name(&mut gauges, one);
    gauges.0
}

/// What is watched, as labels.
fn what(one: &View) -> Vec<String> {
    let terms = &one.status.terms;
    let preset = terms.preset.clone().unwrap_or_default();
    let noun = terms.policy.noun.one().to_owned();
    vec![one.name.clone(), preset, noun, terms.table.clone()]
}

/// The gauges of the process.
pub(super) fn of_process(reload: ReloadStatus, (version, revision): &(String, String)) -> Vec<MetricFamily> {
    let mut gauges = Gauges::default();
    gauges.gauge(
        "build_info",
        "Version and revision of this program.",
        &["version", "revision"],
        [(vec![version.clone(), revision.clone()], 1.0)],
    );
    gauges.gauge(
        "config_last_reload_success",
        "1 if the last reading of the configuration was good.",
        &[],
        [(vec![], number(reload.succeeded))],
    );
    gauges.gauge(
        "config_last_reload_timestamp_seconds",
        "When the configuration in force was read.",
        &[],
        [(vec![], reload.in_force_since.as_seconds())],
    );
    gauges.0
}

fn by_cause_and_phase(gauges: &mut Gauges, one: &View) {
    let (mut running, mut stuck, mut withheld, mut hindered) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    if let Some(pass) = &one.current {
        let labels = |value: &str| vec![one.name.clone(), value.to_owned()];
        for (phase, count) in &pass.report.phases {
            running.push((labels(phase.as_str()), *count as f64));
            if phase.is_stuck() {
                stuck.push((labels(phase.as_str()), *count as f64));
            }
        }
        for (cause, count) in &pass.report.withheld {
            withheld.push((labels(cause.as_str()), *count as f64));
        }
        // Where nothing is to be repaired, nothing hinders it.
        let wanted = one.status.terms.policy.action != Action::Observe;
        let stands = |cause| wanted && pass.report.obstacles.iter().any(|found| found.cause == cause);
        hindered.extend(OBSTACLES.map(|cause| (labels(cause.as_str()), number(stands(cause)))));
    }
    gauges.gauge("running_jobs", "Running jobs by phase.", &["watch", "phase"], running);
    gauges.gauge(
        "stuck_jobs",
        "Jobs that never beat in time (missed_first), beat and stopped (lost), or run for longer than allowed (overrun).",
        &["watch", "reason"],
        stuck,
    );
    gauges.gauge(
        "withheld_repairs",
        "Overdue jobs that are not repaired now, by cause.",
        &["watch", "cause"],
        withheld,
    );
    gauges.gauge(
        "repair_obstacles",
        "1 for each cause that withholds all repairs of the watch; 0 for all where the action is observe.",
        &["watch", "cause"],
        hindered,
    );
}

/// The names with the oldest stuck jobs, where names are labels; names that are cut to the same label share a series.
fn stuck_names(one: &View) -> BTreeMap<Vec<String>, f64> {
    let mut oldest = BTreeMap::new();
    let reports = one
        .current
        .iter()
        .filter(|_| one.status.terms.labels_names)
        .map(|pass| &pass.report);
    for found in reports.flat_map(|report| &report.stuck_names) {
        let phase = found.phase.as_str().to_owned();
        let labels = vec![one.name.clone(), label(found.name.as_ref()), phase];
        // The oldest comes first.
        oldest.entry(labels).or_insert(found.started_at.as_seconds());
    }
    oldest
}

/// A name as a label.
fn label(name: Option<&SharedText>) -> String {
    name.map_or_else(|| OTHER.to_owned(), |name| name.chars().take(NAME).collect())
}

fn by_job_name(gauges: &mut Gauges, one: &View) {
    gauges.gauge(
        "stuck_job_started_timestamp_seconds",
        "Start of the oldest stuck job of a name, for the 20 names with the oldest.",
        &["watch", "job_name", "reason"],
        stuck_names(one),
    );
    let mut by_name: BTreeMap<String, f64> = BTreeMap::new();
    if let (Some(pass), true) = (&one.current, one.status.terms.labels_names) {
        for (name, age) in &pass.report.ages_by_name {
            let oldest = by_name.entry(label(name.as_ref())).or_default();
            *oldest = oldest.max(age.as_secs_f64());
        }
    }
    gauges.gauge(
        "job_heartbeat_age_max_seconds",
        "Oldest age of a last sign of life among running jobs of a name.",
        &["watch", "job_name"],
        by_name
            .into_iter()
            .map(|(name, age)| (vec![one.name.clone(), name], age)),
    );
}
