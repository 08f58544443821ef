//! `beatwarden explain`: one job, why it is judged as it is, and what happens next.

use super::{
    instance::{Instance, time_in},
    output,
};
use crate::{
    app::{self, AppError, Examination},
    config::{self, Loaded, OwnWay, WatchConfig},
    domain::{Action, Cause, Holder, JobId, Phase, Timestamp},
    present::{Facts, Judged, json as shapes, safe, sentences},
};
use clap::Args;
use serde_json::{Value, json};
use std::{net::SocketAddr, process::ExitCode, time::Duration};

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The job's key, as `beatwarden status` shows it, or a job's name: its newest run
    #[arg(value_name = "JOB")]
    job: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Exit code 1 if there is no such row.
pub async fn run(loaded: &Loaded, args: &ExplainArgs) -> Result<ExitCode, AppError> {
    let instance = Instance::ask(&loaded.config);
    let (mut explanations, mut by_name) = (Vec::new(), Vec::new());
    for watch in &loaded.config.watches {
        let id = JobId::new(args.job.as_str());
        let examination = app::examine(watch, &id).await?;
        if examination.row.is_some() || !examination.entries.is_empty() {
            explanations.push(explain(watch, &examination, &seen(&instance, watch, &id)));
        }
    }
    // A key comes first: a name may be a number, too.
    for watch in loaded.config.watches.iter().filter(|_| explanations.is_empty()) {
        let found = app::newest_run(watch, &args.job).await?;
        if let Some(id) = found {
            let examination = app::examine(watch, &id).await?;
            by_name.push(explain(watch, &examination, &seen(&instance, watch, &id)));
        }
    }
    explanations.extend(by_name);
    if explanations.is_empty() {
        let tables: Vec<String> = loaded
            .config
            .watches
            .iter()
            .map(|watch| {
                format!(
                    "`{}` has no row with {} = {} and no {} of that name",
                    watch.mapping.table.plain(),
                    watch.mapping.id.as_str(),
                    safe::cut(&args.job, 100),
                    watch.noun
                )
            })
            .collect();
        output::complain(&format!("{}, and the ledger doesn't know it", tables.join(", ")));
        return Ok(ExitCode::FAILURE);
    }
    for explanation in explanations {
        if args.json {
            output::json(&explanation.json);
        } else {
            explanation.lines.iter().for_each(|line| outln!("{line}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

struct Explanation {
    lines: Vec<String>,
    json: Value,
}

fn explain(watch: &WatchConfig, examination: &Examination, seen: &Seen) -> Explanation {
    let Some(row) = &examination.row else {
        let gone = "The row is gone from the table; the ledger still knows it.".to_owned();
        let json = json!({ "watch": watch.name, "job": null, "sentences": [gone],
            "repairs": shapes::repairs(&examination.entries)["repairs"] });
        return Explanation {
            lines: vec![gone],
            json,
        };
    };
    let own = examination.view.as_ref().map(|view| Judged {
        phase: view.phase,
        cause: view.cause,
        due_at: view.due_at,
        writer_frees_at: view.writer_frees_at,
    });
    // What the running instance says counts, if it speaks of this very start: only it knows how long it has watched.
    let live = match seen {
        Seen::Judged(judged, start, _) if *start == row.started_at.at() && own.is_some() => Some(*judged),
        Seen::Judged(..) | Seen::Not(_) => None,
    };
    let judged = live.or(own);
    let facts = Facts {
        now: examination.now,
        row,
        policy: &examination.policy,
        writer: config::writer_of(watch.preset.as_deref()),
        judged,
        entries: &examination.entries,
    };
    let mut said = sentences(&facts);
    let is_stuck = judged.is_some_and(|judged| judged.phase.is_stuck());
    let beside = watch.meltano.as_ref().map(|_| super::check::action(watch));
    said.extend(beside.filter(|_| is_stuck));
    let fails = examination.policy.action == Action::Fail;
    let written = app::fail_in_words(watch).filter(|_| is_stuck && fails);
    said.extend(written.map(|words| format!("What fail does here: {words}.")));
    let is_first = judged.is_some_and(|judged| judged.phase == Phase::MissedFirst);
    let silence = examination.silence.filter(|_| is_first);
    said.extend(silence.map(|silence| {
        let policy = &examination.policy;
        format!("Of its heartbeat: {}.", silence.said(policy.action, policy))
    }));
    let own = watch.preset.as_deref().and_then(config::own_way);
    said.extend(own.filter(|_| is_stuck).map(|own| by_its_own_system(own, &row.id)));
    said.extend(judged.and_then(|judged| held_by(&judged, &examination.holders)));
    let waits = judged.is_some_and(|judged| judged.cause == Some(Cause::Watching) || judged.phase == Phase::Starting);
    let by = match seen {
        Seen::Judged(.., listen) if live.is_some() => Some(format!("This is how the instance on {listen} sees it.")),
        Seen::Judged(.., listen) if waits => Some(format!(
            "The instance on {listen} saw another start of it: the time is that of a process which begins to watch now."
        )),
        Seen::Not(why) if waits => Some(format!(
            "{why}: the time is that of a process which begins to watch now, and an instance that has watched for longer acts \
             earlier."
        )),
        Seen::Judged(..) | Seen::Not(_) => None,
    };
    said.extend(by);
    said.extend(
        examination
            .unread
            .as_ref()
            .map(|why| format!("What was done to it before is not known: {why}.")),
    );
    let title = format!(
        "{} {} of watch {}{}",
        watch.noun,
        safe::cut(&row.id.text(), 100),
        safe::cut(&watch.name, 100),
        row.name
            .as_deref()
            .map(|name| format!(": {}", safe::cut(name, 100)))
            .unwrap_or_default()
    );
    let json = json!({
        "watch": watch.name,
        "job": shapes::examined_job(row, judged, examination.now),
        "sentences": said,
        "repairs": shapes::repairs(&examination.entries)["repairs"],
    });
    Explanation {
        lines: std::iter::once(title)
            .chain(said.iter().map(|sentence| format!("  {sentence}")))
            .collect(),
        json,
    }
}

/// How a system ends the job that Beatwarden must not end.
fn by_its_own_system(own: &OwnWay, id: &JobId) -> String {
    let command = own.command.replace("{id}", &safe::cut(&id.text(), 100));
    format!("Beatwarden doesn't end it: {}. {}: {command}", own.why, own.does)
}

/// The session that keeps its repair waiting, if there is one: named as the cause, or holding on for long.
fn held_by(judged: &Judged, holders: &[Holder]) -> Option<String> {
    /// No repair, and no writer's update, takes so long.
    const LONG: Duration = Duration::from_secs(10);
    let is_cause = matches!(judged.cause, Some(Cause::NotLeader | Cause::Locked));
    let keeps_waiting = |holder: &&Holder| is_cause || holder.age.is_some_and(|age| age > LONG);
    let holder = holders.iter().find(keeps_waiting)?;
    judged.phase.is_overdue().then(|| {
        format!(
            "{holder}, which keeps repairs waiting: find out whose it is, since a session of the writer may be this job, alive. \
             If it was left open, end it (SELECT pg_terminate_backend({})) or let its owner do so.",
            holder.pid
        )
    })
}

/// How the running instance sees one job.
enum Seen {
    /// So, and which start of it, and where the instance is.
    Judged(Judged, Option<Timestamp>, SocketAddr),
    /// It doesn't say, for this reason.
    Not(String),
}

fn seen(instance: &Instance, watch: &WatchConfig, id: &JobId) -> Seen {
    let listen = instance.listen;
    let found = match instance.watch(watch) {
        Ok(found) => found,
        Err(why) => return Seen::Not(why),
    };
    if found["up"] != true {
        return Seen::Not(format!(
            "The instance on {listen} could not read the table in its last pass"
        ));
    }
    let mut jobs = found["jobs"].as_array().into_iter().flatten();
    let job = jobs.find(|job| job["id"] == *id.text());
    match job.and_then(judged) {
        Some((judged, start)) => Seen::Judged(judged, start, listen),
        None => Seen::Not(format!(
            "The instance on {listen} lists the stuck {} and the oldest, 50 at most, and this one is not among them",
            watch.noun.many()
        )),
    }
}

/// A job as the status has it, and which start of it.
fn judged(job: &Value) -> Option<(Judged, Option<Timestamp>)> {
    let time = |key: &str| time_in(&job[key]);
    let judged = Judged {
        phase: Phase::from_spelling(job["phase"].as_str()?)?,
        cause: job["withheld_cause"].as_str().and_then(Cause::from_spelling),
        due_at: time("due_at"),
        writer_frees_at: time("writer_frees_at"),
    };
    Some((judged, time("started_at")))
}
