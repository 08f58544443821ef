//! From recorded frames to the series of a day at one scrape interval, and what the real rules make of them.

use super::stage::{Frame, Sample};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// Seconds between evaluations, which fall between the scrapes at every interval. Slow, because a day has many.
const EVALUATION: u32 = 119;
const MINUTES: u32 = 24 * 60;

/// An alert and the minutes of the day in which it fired.
#[derive(Debug)]
pub struct Fired {
    pub labels: BTreeMap<String, String>,
    pub from: u32,
    pub until: u32,
}

/// The alerts of a day that is scraped every so many seconds.
pub fn alerts(frames: &[Frame], interval: u32) -> Vec<Fired> {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus/beatwarden.rules.yml");
    let mut file = format!(
        "rule_files: [{rules}]\nevaluation_interval: {EVALUATION}s\ntests:\n- interval: {interval}s\n  input_series:\n"
    );
    let wanted = names_in(&std::fs::read_to_string(rules).unwrap());
    for (series, values) in series(frames, interval, &wanted) {
        let _ = writeln!(file, "  - series: '{series}'\n    values: '{values}'");
    }
    file += "  promql_expr_test:\n";
    for minute in 0..MINUTES {
        // promtool only shows what differs from what is expected: nothing is, so it shows everything that fires.
        let _ = writeln!(
            file,
            "  - {{expr: 'ALERTS{{alertstate=\"firing\"}}', eval_time: {minute}m}}"
        );
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("day-{interval}s.yml"));
    std::fs::write(&path, file).unwrap();
    firing(&evaluated(&path))
}

fn evaluated(file: &Path) -> String {
    let output = Command::new("promtool").args(["test", "rules"]).arg(file).output();
    let output = output.expect("promtool is missing: run scripts/setup-tests.sh");
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("alertname="),
        "nothing fired, or promtool could not read the day: {said}"
    );
    said
}

/// The names of metrics that the rules read.
fn names_in(rules: &str) -> BTreeSet<String> {
    rules
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with("beatwarden_"))
        .map(str::to_owned)
        .collect()
}

/// Every series that a rule reads, in promtool's notation.
fn series(frames: &[Frame], interval: u32, wanted: &BTreeSet<String>) -> BTreeMap<String, String> {
    // Frame by frame, what each series does in it.
    let mut known: BTreeMap<String, Vec<Option<&Sample>>> = BTreeMap::new();
    let mut up: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    for (number, frame) in frames.iter().enumerate() {
        for (instance, target) in &frame.targets {
            let reached = up.entry(instance).or_insert_with(|| vec![None; frames.len()]);
            reached[number] = Some(f64::from(u8::from(target.is_some())));
            for sample in target.iter().flatten() {
                let (name, labels) = sample.series.split_once('{').unwrap_or((&sample.series, "}"));
                if wanted.contains(name) {
                    let comma = if labels == "}" { "" } else { "," };
                    let full = format!("{name}{{job=\"beatwarden\",instance=\"{instance}:12328\"{comma}{labels}");
                    known.entry(full).or_insert_with(|| vec![None; frames.len()])[number] = Some(sample);
                }
            }
        }
    }
    let first = |number: usize| (frames.get(number).map_or(MINUTES, |frame| frame.minute) * 60).div_ceil(interval);
    let lengths: Vec<(u32, u32)> = (0..frames.len())
        .map(|number| (first(number), first(number + 1) - first(number)))
        .collect();
    let ups = up.into_iter().map(|(instance, values)| {
        let parts = values.iter().map(|value| value.map(|value| (value, 0.0)));
        let name = format!("up{{job=\"beatwarden\",instance=\"{instance}:12328\"}}");
        (name, written(parts, &lengths))
    });
    let exported = known.iter().map(|(name, samples)| {
        let starts = lengths.iter().map(|(first, _)| f64::from(first * interval));
        let parts = samples
            .iter()
            .zip(starts)
            .map(|(sample, start)| Some(sample.as_ref()?.at(start, interval)));
        (name.clone(), written(parts, &lengths))
    });
    ups.chain(exported).collect()
}

impl Sample {
    /// Its value at a time of the day, and by how much it grows from scrape to scrape: points in time are as far back as they
    /// were when they were recorded, and those that were new in each scrape stay new.
    fn at(&self, start: f64, interval: u32) -> (f64, f64) {
        let [(first, _), (value, at)] = self.scrapes;
        let name = self.series.split('{').next().expect("a name");
        if !name.ends_with("_timestamp_seconds") || value == 0.0 {
            return (value, 0.0);
        }
        let step = if first == value { 0.0 } else { f64::from(interval) };
        (start - (at - value), step)
    }
}

/// One part for each frame: a value and its step, or nothing, which begins with a marker of staleness.
fn written(parts: impl Iterator<Item = Option<(f64, f64)>>, lengths: &[(u32, u32)]) -> String {
    let mut words = Vec::new();
    let mut was_there = false;
    for (part, (_, length)) in parts.zip(lengths).filter(|(_, (_, length))| *length > 0) {
        match part {
            Some((value, step)) => words.push(format!("{value}+{step}x{}", length - 1).replace("+-", "-")),
            None if was_there && *length > 1 => words.push(format!("stale _x{}", length - 1)),
            None if was_there => words.push("stale".to_owned()),
            None => words.push(format!("_x{length}")),
        }
        was_there = part.is_some();
    }
    words.join(" ")
}

/// What promtool shows, minute by minute, as alerts with a beginning and an end.
fn firing(said: &str) -> Vec<Fired> {
    let mut fired: Vec<Fired> = Vec::new();
    for one in said.split("time: ").skip(1) {
        let minute = minutes(one.split(',').next().expect("the time"));
        for text in one.split("{__name__=\"ALERTS\", ").skip(1) {
            let labels = labels(text.split('}').next().expect("labels"));
            match fired
                .iter_mut()
                .find(|known| known.until == minute && known.labels == labels)
            {
                Some(known) => known.until = minute + 1,
                None => fired.push(Fired {
                    labels,
                    from: minute,
                    until: minute + 1,
                }),
            }
        }
    }
    fired
}

/// `2h3m` and `45m` and `0s` in minutes.
fn minutes(text: &str) -> u32 {
    let (hours, rest) = text.split_once('h').unwrap_or(("0", text));
    let minutes = rest.split_once('m').map_or("0", |(minutes, _)| minutes);
    hours.parse::<u32>().unwrap() * 60 + minutes.parse::<u32>().unwrap()
}

fn labels(text: &str) -> BTreeMap<String, String> {
    text.split(", ")
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| *name != "alertstate")
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}
