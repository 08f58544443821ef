//! What a process shows of its watch: metrics, page and API, made by the production code from what its passes leave. I8: after
//! every good pass all of them have the same numbers, and those of the judge's own record. I9: once nothing is known any more no
//! gauge shows what was, and `up` says so.

use super::{
    dog::SimClock,
    server::Micros,
    world::{Shared, lock},
};
use beatwarden::{
    domain::{Phase, Policy, Timestamp},
    http::HttpState,
    metrics::{Metrics, WatchMetrics},
    pass::{Audience, Clock, FailedPass, GoodPass},
    present::{View, json, words},
    status::{Board, Roster, WatchTerms},
};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// So many good intervals old is a pass that is no longer the truth.
const CURRENT_FOR: i64 = 3;
/// So many jobs are listed one by one.
const LISTED: usize = 50;

/// The gauges that are no facts of the table: they have a value whatever the database does.
const ALWAYS: [&str; 13] = [
    "up",
    "fuse_open",
    "poll_interval_seconds",
    "configured_poll_interval_seconds",
    "init_deadline_seconds",
    "heartbeat_timeout_seconds",
    "init_objective",
    "last_successful_poll_timestamp_seconds",
    "last_full_look_timestamp_seconds",
    "watch_info",
    "build_info",
    "config_last_reload_success",
    "config_last_reload_timestamp_seconds",
];

/// What the judge knows that a process must show.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expected {
    /// When its last good pass had read the table, by its own clock.
    pub good_at: Option<Micros>,
    /// Whether a pass has failed since.
    pub has_failed: bool,
    /// Running rows that were read, but for those that were failed in the same pass; and rows in states of no list.
    pub running: u64,
    pub unlisted: u64,
    pub polls: u64,
    pub failures: u64,
    pub repairs: u64,
}

/// Everything that shows the watch of one process.
pub struct Surfaces {
    name: String,
    interval: Micros,
    board: Arc<Board>,
    counters: WatchMetrics,
    metrics: Arc<Metrics>,
    http: HttpState,
    clock: SimClock,
}

impl Surfaces {
    pub fn new(clock: &SimClock, policy: &Policy, interval: Duration) -> Self {
        let name = policy.watch.clone();
        let board = Arc::new(Board::new(WatchTerms {
            policy: policy.clone(),
            preset: None,
            table: "runs".to_owned(),
            poll_interval: interval,
            poll_timeout: super::store::POLL_TIMEOUT,
            init_objective: 0.99,
            labels_names: true,
            target: None,
            index_advice: String::new(),
        }));
        let boards = vec![(name.clone(), board.clone())];
        let roster = Arc::new(Roster::new(boards, Timestamp::from_micros(0)));
        let metrics = Arc::new(Metrics::new("1", "a", roster.clone(), clock.clone()));
        Self {
            interval: super::server::micros(interval),
            counters: metrics.watch(&name, board.clone()),
            http: HttpState::new(roster, metrics.clone(), clock.clone(), "1"),
            name,
            board,
            metrics,
            clock: clock.clone(),
        }
    }

    pub fn good(&self, pass: Arc<GoodPass>) {
        self.counters.good(pass.clone());
        self.board.good(pass);
    }

    pub fn failed(&self, pass: FailedPass) {
        self.counters.failed(pass.clone());
        self.board.failed(pass);
    }

    /// I8 and I9: what is wrong in what it shows now.
    pub fn judge(&self, world: &Shared, dog: usize) {
        let (expected, now) = {
            let mut world = lock(world);
            world.totals.count("scrapes");
            (world.dogs[dog].expected, world.moment(dog))
        };
        let is_current = expected
            .good_at
            .is_some_and(|at| now - at <= CURRENT_FOR * self.interval);
        let text = self.metrics.scrape().text();
        let shown = Shown::of(self, std::str::from_utf8(&text).unwrap());
        let mut wrong = shown.against(&expected, is_current);
        wrong.extend(match is_current {
            true => shown.disagreements(&expected),
            false => shown.dead_values(),
        });
        let mut world = lock(world);
        if !is_current {
            world.totals.count("scrapes that know nothing");
        }
        for what in wrong {
            world.wrong(format!("{what} (process {dog}, {expected:?})"));
        }
    }
}

/// Values by their labels, but for the watch.
type Values = BTreeMap<String, f64>;

/// What the three show at one moment.
struct Shown<'a> {
    /// The samples of the program: name, labels and value; and which metrics are gauges.
    samples: Vec<(&'a str, &'a str, f64)>,
    gauges: Vec<&'a str>,
    json: Value,
    page: String,
}

impl<'a> Shown<'a> {
    /// With the metrics in this text.
    fn of(surfaces: &Surfaces, text: &'a str) -> Self {
        let (mut samples, mut gauges) = (Vec::new(), Vec::new());
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE beatwarden_") {
                gauges.extend(kind.strip_suffix(" gauge"));
            } else {
                samples.extend(sample(line));
            }
        }
        let view = View::of(&surfaces.name, &surfaces.board, surfaces.clock.moment());
        let mut status = json::status(&[view], surfaces.clock.wall(), "1");
        Self {
            samples,
            gauges,
            json: status["watches"][0].take(),
            page: surfaces.http.page(),
        }
    }

    fn samples_of(&self, name: &str) -> impl Iterator<Item = (&'a str, f64)> {
        let of_it = self.samples.iter().filter(move |(one, ..)| *one == name);
        of_it.map(|(_, labels, value)| (*labels, *value))
    }

    fn metric(&self, name: &str) -> Values {
        let of_it = self.samples_of(name);
        of_it.map(|(labels, value)| (own_labels(labels), value)).collect()
    }

    /// The value of a metric that has one.
    fn one(&self, name: &str) -> Option<f64> {
        self.samples_of(name).next().map(|(_, value)| value)
    }

    fn sum(&self, name: &str) -> f64 {
        self.samples_of(name).map(|(_, value)| value).sum()
    }

    /// An object of numbers.
    fn numbers(&self, key: &str) -> Values {
        let object = self.json[key].as_object().unwrap();
        let numbers = object
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), value.as_f64()?)));
        numbers.collect()
    }

    /// What holds at any time: `up`, and what was counted.
    fn against(&self, expected: &Expected, is_current: bool) -> Vec<String> {
        let up = is_current && !expected.has_failed;
        let mut wrong = Vec::new();
        if self.one("up") != Some(f64::from(u8::from(up))) || self.json["up"] != up {
            wrong.push(format!(
                "I9: up is {:?} and {}, and should be {up}",
                self.one("up"),
                self.json["up"]
            ));
        }
        for (name, wanted) in [
            ("polls_total", expected.polls),
            ("poll_failures_total", expected.failures),
            ("repairs_total", expected.repairs),
        ] {
            if self.sum(name) != wanted as f64 {
                wrong.push(format!("I8: {name} is {}, and {wanted} were made", self.sum(name)));
            }
        }
        wrong
    }

    /// I9: what shows something of the table although nothing is known of it.
    fn dead_values(&self) -> Vec<String> {
        let may_be = self.gauges.iter().filter(|name| !ALWAYS.contains(name));
        let mut dead: Vec<String> = may_be.map(|name| (*name).to_owned()).collect();
        let is_known = |key: &str| !self.numbers(key).is_empty();
        dead.extend(
            ["phases", "stuck"]
                .iter()
                .filter(|key| is_known(key))
                .map(|key| format!("{key} of the API")),
        );
        if self.json["jobs"].as_array().is_none_or(|jobs| !jobs.is_empty()) {
            dead.push("jobs of the API".to_owned());
        }
        let dead = dead
            .into_iter()
            .map(|name| format!("I9: {name} has a value, and nothing is known"));
        dead.collect()
    }

    /// I8: what one of them says otherwise than another, or than the judge.
    fn disagreements(&self, expected: &Expected) -> Vec<String> {
        let mut wrong = Vec::new();
        let phases = self.numbers("phases");
        same(
            &mut wrong,
            "running jobs of metrics and API",
            &self.metric("running_jobs"),
            &phases,
        );
        same(
            &mut wrong,
            "running jobs of page and API",
            &self.tiles(&phases),
            &of_tiles(&phases),
        );
        same(
            &mut wrong,
            "running jobs and running rows",
            &phases.values().sum::<f64>(),
            &(expected.running as f64),
        );
        same(
            &mut wrong,
            "stuck jobs of metrics and API",
            &self.metric("stuck_jobs"),
            &self.numbers("stuck"),
        );
        same(
            &mut wrong,
            "rows of no list",
            &self.one("unknown_state_jobs"),
            &Some(expected.unlisted as f64),
        );
        for name in [
            "unknown_state_jobs",
            "unreadable_jobs",
            "blocking_jobs",
            "clock_skew_seconds",
        ] {
            same(&mut wrong, name, &self.one(name), &self.json[name].as_f64());
        }
        for (name, value) in [
            ("fuse_open", self.json["fuse_open"].as_bool()),
            ("repair_enabled", self.json["repair_enabled"].as_bool()),
            ("guard_installed", self.json["guard_installed"].as_bool()),
        ] {
            same(
                &mut wrong,
                name,
                &self.one(name),
                &value.map(|value| f64::from(u8::from(value))),
            );
        }
        same(
            &mut wrong,
            "success ratio",
            &self.one("init_success_ratio"),
            &self.json["init"]["ratio"].as_f64(),
        );
        let fuse_on_page = self.page.contains("The fuse is open: ");
        same(
            &mut wrong,
            "fuse of page and API",
            &fuse_on_page,
            &self.json["fuse_open"].as_bool().unwrap(),
        );
        let verdict = format!("<p class=\"verdict\">{}</p>", self.json["verdict"].as_str().unwrap());
        same(
            &mut wrong,
            "verdict of page and API",
            &self.page.contains(&verdict),
            &true,
        );
        let jobs = self.json["jobs"].as_array().unwrap();
        if jobs.len() < LISTED {
            let oldest = jobs
                .iter()
                .filter_map(|job| job["age_seconds"].as_f64())
                .reduce(f64::max);
            same(
                &mut wrong,
                "oldest age",
                &self.one("heartbeat_age_max_seconds"),
                &oldest,
            );
            let mut withheld = self.metric("withheld_repairs");
            withheld.retain(|_, count| *count > 0.0);
            let mut listed = Values::new();
            for cause in jobs.iter().filter_map(|job| job["withheld_cause"].as_str()) {
                *listed.entry(cause.to_owned()).or_default() += 1.0;
            }
            same(&mut wrong, "withheld repairs of metrics and API", &withheld, &listed);
        }
        let false_repairs = self.json["outcomes"].as_array().unwrap().iter();
        let false_repairs = false_repairs
            .filter(|outcome| outcome["outcome"] == "false_repair")
            .count();
        let outcomes = self
            .page
            .split("<section class=\"outcomes\"")
            .nth(1)
            .unwrap_or_default();
        let outcomes = outcomes.split("</section>").next().unwrap_or_default();
        let on_page = outcomes.matches("<p class=\"notice bad\">").count();
        same(
            &mut wrong,
            "false repairs of page and API",
            &on_page,
            &false_repairs.min(10),
        );
        wrong
    }

    /// The numbers of the page's tiles of these phases.
    fn tiles(&self, phases: &Values) -> Values {
        let tiles = self.page.find("<dl class=\"tiles\"").map_or("", |at| &self.page[at..]);
        let number_of = |phase: &String| {
            let label = words::phase(Phase::from_spelling(phase).unwrap());
            let (_, behind) = tiles.split_once(&format!("<dt>{label}</dt><dd>"))?;
            let number = behind.split("<small>").next()?.replace(',', "");
            Some((phase.clone(), number.parse().ok()?))
        };
        phases.keys().filter_map(number_of).collect()
    }
}

/// Those of the phases that have a tile of their own: none where no job is abandoned.
fn of_tiles(phases: &Values) -> Values {
    let mut shown = phases.clone();
    shown.retain(|phase, count| phase != Phase::Abandoned.as_str() || *count > 0.0);
    shown
}

/// Whether two of what is shown are one.
fn same<T: std::fmt::Debug + PartialEq>(wrong: &mut Vec<String>, what: &str, one: &T, other: &T) {
    if one != other {
        wrong.push(format!("I8: {what}: {one:?} and {other:?}"));
    }
}

/// Name, labels and value of a line.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (series, value) = line.strip_prefix("beatwarden_")?.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    Some((name, labels, value.parse().ok()?))
}

/// What is in these labels, but for the watch.
fn own_labels(labels: &str) -> String {
    let own = labels.split(',').filter(|label| !label.starts_with("watch="));
    let own: Vec<&str> = own.filter_map(|label| label.split('"').nth(1)).collect();
    own.join(",")
}
