//! Gauges: rebuilt at each scrape from what is known now.

use crate::{
    domain::{Action, Cause, Moment, Newcomers},
    pass::GoodPass,
    present::View,
    status::{JobNameLabels, ReloadStatus, Roster, WatchStatus},
};
use prometheus::{GaugeVec, Opts, Registry};
use std::{collections::BTreeMap, sync::Arc};

/// A label is cut here; Prometheus takes longer ones, people don't.
const NAME: usize = 128;
/// The label of all names that got none of their own.
const OTHER: &str = "__other__";

/// One gauge after another, each registered when its first value is set: an empty one exports nothing.
struct Scrape<'a> {
    registry: &'a Registry,
}

impl Scrape<'_> {
    /// Sets a gauge for each of `rows`: label values, and the value.
    fn gauge(&self, name: &str, help: &str, labels: &[&str], rows: impl IntoIterator<Item = (Vec<String>, f64)>) {
        let gauge = GaugeVec::new(Opts::new(name, help).namespace("beatwarden"), labels).expect("a valid name");
        for (values, value) in rows {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            // Adding zero turns the -0 of an empty sum into 0.
            gauge.with_label_values(&values).set(value + 0.0);
        }
        self.registry.register(Box::new(gauge)).expect("a name of its own");
    }
}

/// Fills `registry` with the gauges of all watches, as of `now`.
pub(super) fn fill(registry: &Registry, roster: &Roster, now: Moment, build: &(String, String)) {
    let shown = View::all(&roster.boards(), now);
    let scrape = Scrape { registry };
    process(&scrape, roster.reload_status(), build);
    terms(&scrape, &shown);
    health(&scrape, &shown);
    table(&scrape, &shown);
    ages(&scrape, &shown);
}

fn process(scrape: &Scrape<'_>, reload: ReloadStatus, build: &(String, String)) {
    let (version, revision) = build.clone();
    scrape.gauge(
        "build_info",
        "Version and revision of this program.",
        &["version", "revision"],
        [(vec![version, revision], 1.0)],
    );
    scrape.gauge(
        "config_last_reload_success",
        "1 if the last reading of the configuration was good.",
        &[],
        [(vec![], f64::from(u8::from(reload.succeeded)))],
    );
    scrape.gauge(
        "config_last_reload_timestamp_seconds",
        "When the configuration in force was read.",
        &[],
        [(vec![], reload.in_force_since.as_seconds())],
    );
}

/// A gauge of each watch by a function of what it shows.
fn each(shown: &[View], value: impl Fn(&View) -> Option<f64>) -> Vec<(Vec<String>, f64)> {
    shown
        .iter()
        .filter_map(|one| Some((vec![one.name.clone()], value(one)?)))
        .collect()
}

/// A gauge of each watch with a current report.
fn of_current(shown: &[View], value: impl Fn(&GoodPass) -> Option<f64>) -> Vec<(Vec<String>, f64)> {
    each(shown, |one| one.current.as_deref().and_then(&value))
}

fn terms(scrape: &Scrape<'_>, shown: &[View]) {
    let watch = &["watch"];
    let of_terms = |value: fn(&WatchStatus) -> f64| each(shown, |one| Some(value(&one.status)));
    scrape.gauge(
        "poll_interval_seconds",
        "Poll interval in force.",
        watch,
        of_terms(|status| status.interval().as_secs_f64()),
    );
    scrape.gauge(
        "configured_poll_interval_seconds",
        "Poll interval of the configuration.",
        watch,
        of_terms(|status| status.terms.poll_interval.as_secs_f64()),
    );
    scrape.gauge(
        "init_deadline_seconds",
        "Time that a job has from its start to its first real heartbeat.",
        watch,
        of_terms(|status| status.terms.policy.init_deadline.as_secs_f64()),
    );
    scrape.gauge(
        "heartbeat_timeout_seconds",
        "Longest silence of a living job.",
        watch,
        of_terms(|status| status.terms.policy.heartbeat_timeout.as_secs_f64()),
    );
    scrape.gauge(
        "init_objective",
        "Objective of the init success ratio.",
        watch,
        of_terms(|status| status.terms.init_objective),
    );
}

fn health(scrape: &Scrape<'_>, shown: &[View]) {
    let watch = &["watch"];
    let number = |yes: bool| if yes { 1.0 } else { 0.0 };
    scrape.gauge(
        "up",
        "1 if the last pass read the table.",
        watch,
        each(shown, |one| Some(number(one.is_up()))),
    );
    scrape.gauge(
        "fuse_open",
        "1 while the fuse keeps jobs from being failed.",
        watch,
        // Ours and no fact of the table, so it is not unknown while the database is away.
        each(shown, |one| Some(number(one.fuse_open().unwrap_or(false)))),
    );
    scrape.gauge(
        "guard_installed",
        "1 if the guard trigger is installed and sound.",
        watch,
        each(shown, |one| one.guard_installed().map(number)),
    );
    scrape.gauge(
        "last_successful_poll_timestamp_seconds",
        "When the table was last read, by this process's clock; 0 if never.",
        watch,
        each(shown, |one| {
            Some(one.status.last_good.as_ref().map_or(0.0, |pass| pass.wall.as_seconds()))
        }),
    );
    scrape.gauge(
        "last_full_look_timestamp_seconds",
        "When the whole table was last covered, by the database's clock.",
        watch,
        each(shown, |one| one.status.last_full_look.map(|at| at.as_seconds())),
    );
    scrape.gauge(
        "repair_enabled",
        "1 if the action is not observe and nothing hinders the whole watch.",
        watch,
        each(shown, |one| one.repair_enabled().map(number)),
    );
    scrape.gauge(
        "repair_obstacles",
        "1 for each cause that withholds all repairs of the watch; 0 for all where the action is observe.",
        &["watch", "cause"],
        shown.iter().flat_map(obstacles),
    );
    scrape.gauge(
        "init_tracking",
        "1 if jobs that start and end between two polls are counted.",
        watch,
        of_current(shown, |pass| Some(number(pass.newcomers == Newcomers::Followed))),
    );
    scrape.gauge(
        "clock_skew_seconds",
        "Database's clock minus this process's.",
        watch,
        of_current(shown, |pass| Some(pass.clock_skew)),
    );
    scrape.gauge(
        "writer_clock_offset_seconds",
        "Database's time minus the newest heartbeat that changed since the last poll.",
        watch,
        of_current(shown, |pass| Some(pass.report.writer_offset_micros? as f64 / 1e6)),
    );
}

/// The causes that can hinder a whole watch, and whether each of them does. Where nothing is to be repaired, nothing
/// hinders it.
fn obstacles(one: &View) -> Vec<(Vec<String>, f64)> {
    let Some(pass) = &one.current else { return Vec::new() };
    let wanted = one.status.terms.policy.action != Action::Observe;
    let stands = |cause| wanted && pass.report.obstacles.iter().any(|found| found.cause == cause);
    [Cause::Rights, Cause::ReadOnly, Cause::NetworkFs, Cause::NoLedger]
        .into_iter()
        .map(|cause| {
            let labels = vec![one.name.clone(), cause.as_str().to_owned()];
            (labels, f64::from(u8::from(stands(cause))))
        })
        .collect()
}

fn table(scrape: &Scrape<'_>, shown: &[View]) {
    let mut running = Vec::new();
    let mut stuck = Vec::new();
    let mut withheld = Vec::new();
    for one in shown {
        let Some(pass) = &one.current else { continue };
        for (phase, count) in &pass.report.phases {
            let labels = vec![one.name.clone(), phase.as_str().to_owned()];
            if phase.is_stuck() {
                stuck.push((labels.clone(), *count as f64));
            }
            running.push((labels, *count as f64));
        }
        for (cause, count) in &pass.report.withheld {
            withheld.push((vec![one.name.clone(), cause.as_str().to_owned()], *count as f64));
        }
    }
    scrape.gauge("running_jobs", "Running jobs by phase.", &["watch", "phase"], running);
    scrape.gauge(
        "stuck_jobs",
        "Jobs that never beat in time (missed_first), or beat and stopped (lost).",
        &["watch", "reason"],
        stuck,
    );
    scrape.gauge(
        "blocking_jobs",
        "Stuck jobs that keep the writer from starting another run of the same name now, by its own rule.",
        &["watch"],
        of_current(shown, |pass| pass.report.blocking.map(|count| count as f64)),
    );
    scrape.gauge(
        "stuck_job_started_timestamp_seconds",
        "Start of the oldest stuck job of a name, for the 20 names with the oldest.",
        &["watch", "job_name", "reason"],
        shown.iter().flat_map(stuck_names),
    );
    scrape.gauge(
        "withheld_repairs",
        "Overdue jobs that are not repaired now, by cause.",
        &["watch", "cause"],
        withheld,
    );
    let watch = &["watch"];
    scrape.gauge(
        "unreadable_jobs",
        "Running rows whose times can't be read.",
        watch,
        of_current(shown, |pass| Some(pass.report.unreadable as f64)),
    );
    scrape.gauge(
        "unknown_state_jobs",
        "Rows whose state is in no list.",
        watch,
        of_current(shown, |pass| Some(pass.report.unknown_state as f64)),
    );
    scrape.gauge(
        "init_success_ratio",
        "Successful inits among those of jobs that started within the window.",
        watch,
        of_current(shown, |pass| pass.report.window.ratio()),
    );
    scrape.gauge(
        "last_repair_timestamp_seconds",
        "When the newest backfill or fail was committed, by the database's clock, as the ledger has it.",
        watch,
        each(shown, |one| Some(one.last_repair()?.repaired_at.as_seconds())),
    );
}

/// The names with the oldest stuck jobs, where names are labels; names that are cut to the same label share a series.
fn stuck_names(one: &View) -> BTreeMap<Vec<String>, f64> {
    let mut oldest = BTreeMap::new();
    let labelled = one.status.terms.names == JobNameLabels::Labelled;
    for found in one
        .current
        .iter()
        .filter(|_| labelled)
        .flat_map(|pass| &pass.report.stuck_names)
    {
        let labels = vec![
            one.name.clone(),
            label(found.name.as_ref()),
            found.phase.as_str().to_owned(),
        ];
        // The oldest comes first.
        oldest.entry(labels).or_insert(found.started_at.as_seconds());
    }
    oldest
}

/// A name as a label.
fn label(name: Option<&Arc<str>>) -> String {
    name.map_or_else(|| OTHER.to_owned(), |name| name.chars().take(NAME).collect())
}

fn ages(scrape: &Scrape<'_>, shown: &[View]) {
    let watch = &["watch"];
    scrape.gauge(
        "heartbeat_age_max_seconds",
        "Oldest age of a last sign of life among running jobs, as of the last poll.",
        watch,
        of_current(shown, |pass| {
            Some(pass.report.oldest_sign?.age_at(pass.report.at).as_secs_f64())
        }),
    );
    scrape.gauge(
        "oldest_heartbeat_timestamp_seconds",
        "The oldest last sign of life among running jobs.",
        watch,
        of_current(shown, |pass| Some(pass.report.oldest_sign?.as_seconds())),
    );
    let mut by_name: BTreeMap<(String, String), f64> = BTreeMap::new();
    for one in shown {
        let (Some(pass), JobNameLabels::Labelled) = (&one.current, one.status.terms.names) else {
            continue;
        };
        for (name, age) in &pass.report.ages_by_name {
            let oldest = by_name.entry((one.name.clone(), label(name.as_ref()))).or_default();
            *oldest = oldest.max(age.as_secs_f64());
        }
    }
    scrape.gauge(
        "job_heartbeat_age_max_seconds",
        "Oldest age of a last sign of life among running jobs of a name.",
        &["watch", "job_name"],
        by_name.into_iter().map(|((watch, name), age)| (vec![watch, name], age)),
    );
}
