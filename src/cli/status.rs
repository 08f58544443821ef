//! `beatwarden status`: what the running instance reports, or a pass of its own, as a table or as the JSON of `/api/v1/status`.

use super::{
    instance::{Instance, time_in},
    output,
    table::{self, names, whole},
};
use crate::{
    app::{self, AppError},
    config::{Loaded, WatchConfig},
    domain::{Action, Cause, Phase, Timestamp},
    pass::{Clock, SystemClock},
    present::{
        Next, View, json as shapes, safe,
        time::{date, span_short as span},
        words::percent,
    },
};
use clap::Args;
use serde_json::{Value, json};
use std::{process::ExitCode, time::Duration};

/// Arguments of the status.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// As JSON, in the shape of /api/v1/status
    #[arg(long)]
    json: bool,
}

/// Exit code 1 if a table can't be read; stuck jobs are no failure of ours.
pub async fn run(loaded: &Loaded, args: &StatusArgs) -> Result<ExitCode, AppError> {
    let clock = SystemClock::start();
    let instance = Instance::ask(&loaded.config);
    let mut watches = Vec::new();
    for watch in &loaded.config.watches {
        let seen = match instance.watch(watch) {
            Ok(found) => by_instance(found.clone(), &instance),
            Err(why) => by_own_pass(watch, clock, &why).await?,
        };
        watches.push(seen);
    }
    let all_read = watches.iter().all(|watch| watch["up"] == true);
    if args.json {
        let mut status = shapes::status(&[], clock.wall(), app::version());
        status["watches"] = watches.into();
        output::json(&status);
    } else {
        watches.iter().for_each(show);
    }
    Ok(if all_read { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the running instance reports.
fn by_instance(mut watch: Value, instance: &Instance) -> Value {
    let now = instance.status().map_or(&Value::Null, |status| &status["now"]);
    let pass = match since_pass(&watch, now) {
        Some(since) => format!("pass {} ago", span(since)),
        None => "no pass yet".to_owned(),
    };
    let words = format!("as the instance on {} sees it ({pass})", instance.listen);
    say_source(&mut watch, "instance", &words, now.clone());
    watch
}

/// What a pass of our own reports, since the instance does not, for this reason.
async fn by_own_pass(watch: &WatchConfig, clock: SystemClock, why: &str) -> Result<Value, AppError> {
    let board = app::look_once(watch, clock).await?;
    let view = View::of(&watch.name, &board, clock.moment());
    let mut status = shapes::status(&[view], clock.wall(), app::version());
    let now = status["now"].take();
    let mut watch = status["watches"][0].take();
    say_source(
        &mut watch,
        "own_pass",
        &format!("{why}: read by this command itself"),
        now,
    );
    Ok(watch)
}

/// Which of the two it is, for programs and for people, and when it was said.
fn say_source(watch: &mut Value, source: &str, words: &str, now: Value) {
    watch["source"] = json!({ "kind": source, "words": words, "at": now });
}

/// How long before `now` the last good pass was.
fn since_pass(watch: &Value, now: &Value) -> Option<Duration> {
    Some(time_in(&watch["last_good_pass"])?.age_at(time_in(now)?))
}

/// Widest key in a sentence: a uuid fits.
const ID: usize = 36;

fn show(watch: &Value) {
    outln!(
        "watch {}: {}",
        words(&watch["name"]).escape_debug(),
        words(&watch["verdict"])
    );
    outln!("  {}", words(&watch["source"]["words"]));
    let failure = &watch["failure"];
    if failure.is_object() {
        outln!(
            "  can't be read ({}): {}",
            words(&failure["cause"]),
            words(&failure["error"])
        );
    }
    for outcome in list(&watch["outcomes"]) {
        outln!("  {}", words(&outcome["words"]));
    }
    terms(watch);
    let Some(read_at) = time_in(&watch["database_time"]) else {
        return;
    };
    let phases = Phase::ALL.iter().map(|phase| (phase, &watch["phases"][phase.as_str()]));
    let counts: Vec<String> = phases
        .filter_map(|(phase, jobs)| Some(format!("{} {}", jobs.as_u64()?, phase.as_str())))
        .collect();
    let blocking = watch["blocking_jobs"].as_u64();
    let blocking = blocking.map(|jobs| format!("; {jobs} blocking new runs"));
    outln!("  {}{}", counts.join(", "), blocking.unwrap_or_default());
    match watch["init"]["ratio"].as_f64() {
        _ if watch["thresholds"]["max_runtime_seconds"].is_number() => {}
        Some(ratio) => outln!(
            "  first-heartbeat success {} of {} in {}",
            percent(ratio),
            count(&watch["init"]["inits"]),
            span(seconds(&watch["init"]["window_seconds"]))
        ),
        None => outln!(
            "  first-heartbeat success: no start in {}",
            span(seconds(&watch["init"]["window_seconds"]))
        ),
    }
    for obstacle in list(&watch["obstacles"]) {
        outln!(
            "  no repairs ({}): {}",
            words(&obstacle["cause"]),
            words(&obstacle["reason"])
        );
    }
    if let Some(why) = watch["fuse_reason"].as_str() {
        outln!("  {why}");
    }
    // Whole seconds: a pass of this very moment is now.
    let since = since_pass(watch, &watch["source"]["at"]).unwrap_or_default();
    jobs(watch, read_at.plus(Duration::from_secs(since.as_secs())));
    repairs(watch);
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn seconds(value: &Value) -> Duration {
    Duration::try_from_secs_f64(value.as_f64().unwrap_or_default()).unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Mode and thresholds.
fn terms(watch: &Value) {
    let thresholds = &watch["thresholds"];
    let interval = humantime::format_duration(seconds(&watch["poll_interval_seconds"]));
    if let Some(longest) = thresholds["max_runtime_seconds"].as_f64() {
        outln!(
            "  mode {}, overdue after running for {}, a pass every {interval}",
            words(&watch["overrun_action"]),
            span(Duration::from_secs_f64(longest)),
        );
        return;
    }
    outln!(
        "  mode {}, first heartbeat due after {}, lost after {}, a pass every {interval}",
        words(&watch["missed_first_action"]),
        span(seconds(&thresholds["init_deadline_seconds"])),
        span(seconds(&thresholds["heartbeat_timeout_seconds"])),
    );
}

fn jobs(watch: &Value, now: Timestamp) {
    let jobs = list(&watch["jobs"]);
    if jobs.is_empty() {
        return;
    }
    let columns = [
        names("ID"),
        names("NAME"),
        whole("PHASE"),
        whole("SILENT FOR"),
        whole("NEXT"),
    ];
    let row = |job: &Value| {
        let age = Duration::from_secs(seconds(&job["age_seconds"]).as_secs());
        vec![
            words(&job["id"]).to_owned(),
            words(&job["name"]).to_owned(),
            words(&job["phase"]).to_owned(),
            humantime::format_duration(age).to_string(),
            next(job, now),
        ]
    };
    table::print(2, &columns, &jobs.iter().map(row).collect::<Vec<_>>());
}

/// What happens next to a job, and what it means for the next run of its name.
fn next(job: &Value, now: Timestamp) -> String {
    let text = |key: &str| job[key].as_str();
    let next = text("phase").and_then(Phase::from_spelling).map(|phase| Next {
        phase,
        is_repaired: text("repair_id").is_some(),
        action: text("next_action").and_then(Action::from_spelling),
        due_at: time_in(&job["due_at"]),
        cause: text("withheld_cause").and_then(Cause::from_spelling),
    });
    let next = match (next, text("withheld_cause")) {
        // A watch of a newer version may have a cause that this one has no words for.
        (Some(Next { cause: None, .. }), Some(cause)) => format!("withheld: {cause}"),
        (Some(next), _) => next.words(now, span),
        (None, _) => "-".to_owned(),
    };
    let repair = text("repair_id").map(|id| format!(" {id}"));
    let blocking = text("blocking_words").map(|words| format!("; {words}"));
    [Some(next), repair, blocking].into_iter().flatten().collect()
}

/// The last few; `beatwarden history` has them all.
fn repairs(watch: &Value) {
    let repairs = list(&watch["last_repairs"]);
    if repairs.is_empty() {
        return;
    }
    outln!("  last repairs:");
    for entry in repairs {
        outln!(
            "    {}  {} {}{}",
            time_in(&entry["repaired_at"]).map_or_else(|| "-".to_owned(), date),
            words(&entry["action"]),
            safe::cut(words(&entry["job_id"]), ID),
            entry["outcome"]
                .as_str()
                .map_or_else(String::new, |outcome| format!("  {outcome}")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cause_of_another_version_withholds_as_well() {
        let mut job = json!({"phase": "missed_first", "next_action": "fail", "due_at": "2027-01-15T08:01:00Z"});
        let now = time_in(&json!("2027-01-15T08:00:00Z")).unwrap();
        let in_time = "it is ended as failed in 1m, at 08:01:00 UTC, if it stays silent";
        assert_eq!(next(&job, now), in_time);
        job["withheld_cause"] = json!("of_tomorrow");
        assert_eq!(next(&job, now), "withheld: of_tomorrow");
    }
}
