//! `beatwarden status`: one look, as a table or as the JSON of `/api/v1/status`.

use super::{
    output, runtime,
    table::{self, names, whole},
    words::{cell, date, span},
};
use crate::{
    app::{self, AppError},
    config::Loaded,
    domain::{JobLine, Phase, Report, Timestamp},
    http::{status_of, verdict_of},
    status::{Board, Clock, SystemClock, WatchStatus},
};
use clap::Args;
use std::{process::ExitCode, sync::Arc, time::Duration};

/// Arguments of the status.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// As JSON, in the shape of /api/v1/status
    #[arg(long)]
    json: bool,
}

/// Exit code 1 if a table can't be read; stuck jobs are no failure of ours.
pub fn run(loaded: &Loaded, args: &StatusArgs) -> Result<ExitCode, AppError> {
    let clock = SystemClock::start();
    let mut boards: Vec<(String, Arc<Board>)> = Vec::new();
    runtime()?.block_on(async {
        for watch in &loaded.config.watches {
            boards.push((watch.name.clone(), app::look_once(watch, clock).await?));
        }
        Ok::<(), AppError>(())
    })?;
    if args.json {
        output::json(&status_of(&boards, &clock, app::version()));
    } else {
        boards.iter().for_each(|(name, board)| show(name, board, &clock));
    }
    let all_read = boards.iter().all(|(_, board)| board.read().last_good.is_some());
    Ok(if all_read { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Widest key in a sentence: a uuid fits.
const ID: usize = 36;

fn show(name: &str, board: &Board, clock: &SystemClock) {
    let status = board.read();
    outln!(
        "watch {}: {}",
        name.escape_debug(),
        verdict_of(&status, clock.moment()).words
    );
    if let Some(failure) = &status.failure {
        outln!("  can't be read ({}): {}", failure.failure.as_str(), failure.error);
    }
    terms(&status);
    let Some(pass) = &status.last_good else { return };
    let report = &pass.report;
    let counts: Vec<String> = Phase::ALL
        .iter()
        .map(|phase| {
            let count = report.phases.get(phase).copied().unwrap_or_default();
            format!("{count} {}", phase.as_str())
        })
        .collect();
    outln!("  {}", counts.join(", "));
    match report.window.ratio() {
        Some(ratio) => outln!(
            "  inits: {} decided in the window, {:.1} % good",
            report.window.inits,
            ratio * 100.0
        ),
        None => outln!("  inits: none decided in the window"),
    }
    for obstacle in &report.obstacles {
        outln!("  no repairs ({}): {}", obstacle.cause.as_str(), obstacle.reason);
    }
    if let Some(why) = report.why_fuse_is_open() {
        outln!("  {why}");
    }
    jobs(report);
    repairs(report);
}

/// Mode and thresholds.
fn terms(status: &WatchStatus) {
    let policy = &status.terms.policy;
    outln!(
        "  mode {}, first heartbeat due after {}, lost after {}, a look every {}",
        policy.action.as_str(),
        span(policy.init_deadline),
        span(policy.heartbeat_timeout),
        humantime::format_duration(status.interval()),
    );
}

fn jobs(report: &Report) {
    if report.jobs.is_empty() {
        return;
    }
    let columns = [
        names("ID"),
        names("NAME"),
        whole("PHASE"),
        whole("SILENT FOR"),
        whole("NEXT"),
    ];
    let row = |line: &JobLine| {
        vec![
            line.id.text().into_owned(),
            line.name.as_deref().unwrap_or("-").to_owned(),
            line.phase.as_str().to_owned(),
            humantime::format_duration(Duration::from_secs(line.age.as_secs())).to_string(),
            next(line, report.at),
        ]
    };
    table::print(2, &columns, &report.jobs.iter().map(row).collect::<Vec<_>>());
}

fn next(line: &JobLine, now: Timestamp) -> String {
    let next = match (line.next_action, line.withheld_cause) {
        (_, Some(cause)) => format!("withheld: {}", cause.as_str()),
        (Some(action), None) => format!("{} if it stays silent", action.as_str()),
        (None, None) if line.phase == Phase::Lost => "reported only".to_owned(),
        (None, None) => "-".to_owned(),
    };
    let due = line
        .due_at
        .filter(|due| *due > now)
        .map(|due| format!(", due in {}", span(now.age_at(due))));
    let frees = line
        .writer_frees_at
        .filter(|_| line.phase.is_stuck())
        .map(|at| match at > now {
            true => format!("; the writer frees it in {}", span(now.age_at(at))),
            false => "; the writer frees it at its next start".to_owned(),
        });
    format!("{next}{}{}", due.unwrap_or_default(), frees.unwrap_or_default())
}

/// So many of the last repairs are shown; `beatwarden history` has them all.
const REPAIRS: usize = 5;

fn repairs(report: &Report) {
    if report.repairs.is_empty() {
        return;
    }
    outln!("  last repairs:");
    for entry in report.repairs.iter().take(REPAIRS) {
        outln!(
            "    {}  {} {}{}",
            date(entry.repaired_at),
            entry.action.as_str(),
            cell(&entry.job_id.text(), ID),
            entry
                .outcome
                .map_or_else(String::new, |outcome| format!("  {}", outcome.as_str())),
        );
    }
}
