//! `beatwarden status`: one look, as a table or as the JSON of `/api/v1/status`.

use super::{runtime, words::cell};
use crate::{
    app::{self, AppError},
    config::Loaded,
    domain::{JobLine, Phase},
    http::status_of,
    status::{Board, SystemClock},
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
        outln!("{}", status_of(&boards, &clock, app::version()));
    } else {
        boards.iter().for_each(|(name, board)| show(name, board));
    }
    let all_read = boards.iter().all(|(_, board)| board.read().last_good.is_some());
    Ok(if all_read { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Widest columns: a uuid fits, and most names.
const ID: usize = 36;
const NAME: usize = 32;

fn show(name: &str, board: &Board) {
    let status = board.read();
    outln!("watch {}", name.escape_debug());
    if let Some(failure) = &status.failure {
        outln!("  can't be read ({}): {}", failure.failure.as_str(), failure.error);
    }
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
    if report.jobs.is_empty() {
        return;
    }
    let longest = report.jobs.iter().map(|line| line.id.as_str().chars().count()).max();
    let width = longest.unwrap_or_default().clamp(2, ID);
    outln!(
        "  {:<width$} {:<NAME$} {:<13} {:>12}  NEXT",
        "ID",
        "NAME",
        "PHASE",
        "SILENT FOR"
    );
    for line in &report.jobs {
        outln!(
            "  {:<width$} {:<NAME$} {:<13} {:>12}  {}",
            cell(line.id.as_str(), width),
            cell(line.name.as_deref().unwrap_or("-"), NAME),
            line.phase.as_str(),
            humantime::format_duration(Duration::from_secs(line.age.as_secs())).to_string(),
            next(line)
        );
    }
}

fn next(line: &JobLine) -> String {
    match (line.next_action, line.withheld_cause) {
        (_, Some(cause)) => format!("withheld: {}", cause.as_str()),
        (Some(action), None) => format!("{} if it stays silent", action.as_str()),
        (None, None) => "-".to_owned(),
    }
}
