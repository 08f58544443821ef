//! `beatwarden history`, `undo` and `ack`: the ledger, read, taken back and acknowledged.

use super::{
    output, runtime,
    table::{self, names, whole},
    words::{date, uuid},
};
use crate::{
    app::{self, AppError},
    config::{Loaded, WatchConfig},
    domain::{Action, LedgerAction, LedgerEntry, RepairId},
    http::repairs_of,
    store::{Acknowledged, ErrorTextRemoval, Ledger, StoreError, Undo},
};
use clap::Args;
use serde_json::json;
use std::{
    io::{BufRead, IsTerminal, Write},
    process::ExitCode,
};

/// Arguments of `history`.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// As JSON, in the shape of /api/v1/repairs
    #[arg(long)]
    json: bool,
    /// The most entries to show, newest first
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

/// Arguments of `undo`.
#[derive(Clone, Debug, Args)]
pub struct UndoArgs {
    /// The repair, as `beatwarden history` shows it
    #[arg(value_name = "REPAIR_ID", value_parser = repair_id)]
    repair: RepairId,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Don't ask, on a terminal
    #[arg(long)]
    yes: bool,
}

/// Arguments of `ack`.
#[derive(Clone, Debug, Args)]
pub struct AckArgs {
    /// A false repair, as `beatwarden history` shows it
    #[arg(value_name = "REPAIR_ID", value_parser = repair_id, required_unless_present = "fuse")]
    repair: Option<RepairId>,
    /// Suspend the fuse's rule for one hour, for all replicas
    #[arg(long, conflicts_with = "repair")]
    fuse: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

fn repair_id(text: &str) -> Result<RepairId, String> {
    let id = uuid::Uuid::try_parse(text);
    id.map(|id| RepairId(id.as_u128()))
        .map_err(|_| "expected a repair's UUID, as `beatwarden history` shows it".to_owned())
}

fn told(watch: &WatchConfig) -> impl Fn(StoreError) -> AppError + '_ {
    |error| AppError::Store {
        watch: watch.name.clone(),
        error,
    }
}

/// Shows the ledger, newest first.
pub fn history(loaded: &Loaded, args: &HistoryArgs) -> Result<ExitCode, AppError> {
    let mut entries: Vec<LedgerEntry> = Vec::new();
    runtime()?.block_on(async {
        for watch in &loaded.config.watches {
            let mut store = app::store_of(watch)?;
            entries.extend(store.history(args.limit).await.map_err(told(watch))?);
        }
        Ok::<(), AppError>(())
    })?;
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.repaired_at));
    entries.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    if args.json {
        output::json(&repairs_of(&entries));
        return Ok(ExitCode::SUCCESS);
    }
    if entries.is_empty() {
        outln!("no repairs yet");
        return Ok(ExitCode::SUCCESS);
    }
    let columns = [
        whole("WHEN"),
        whole("ACTION"),
        names("JOB"),
        names("NAME"),
        whole("REPAIR ID"),
        whole("WHAT TURNED OUT"),
    ];
    let row = |entry: &LedgerEntry| {
        vec![
            date(entry.repaired_at),
            entry.action.as_str().to_owned(),
            entry.job_id.text().into_owned(),
            entry.job_name.as_deref().unwrap_or("-").to_owned(),
            uuid(entry.repair_id),
            turned_out(entry, &entries),
        ]
    };
    table::print(0, &columns, &entries.iter().map(row).collect::<Vec<_>>());
    Ok(ExitCode::SUCCESS)
}

/// What became of a repair, in a word or two.
fn turned_out(entry: &LedgerEntry, entries: &[LedgerEntry]) -> String {
    let mut parts = Vec::new();
    parts.extend(entry.outcome.map(|outcome| outcome.as_str().to_owned()));
    if entry.acknowledged_at.is_some() {
        parts.push("acknowledged".to_owned());
    }
    if entries.iter().any(|other| other.undo_of == Some(entry.repair_id)) {
        parts.push("undone".to_owned());
    }
    match (entry.undo_of, entry.action) {
        (Some(of), _) => parts.push(format!("of {}", uuid(of))),
        (None, LedgerAction::AckFuse) => parts.push("the fuse's rule is suspended for one hour".to_owned()),
        _ => {}
    }
    if parts.is_empty() {
        "-".to_owned()
    } else {
        parts.join(", ")
    }
}

/// Takes one repair back.
pub fn undo(loaded: &Loaded, args: &UndoArgs) -> Result<ExitCode, AppError> {
    let id = uuid(args.repair);
    if !args.yes && std::io::stdin().is_terminal() && confirmed(&format!("Take repair {id} back? [y/N] ")) != Some(true)
    {
        output::complain("nothing was changed");
        return Ok(ExitCode::FAILURE);
    }
    let mut found = (String::new(), Undo::NotFound);
    runtime()?.block_on(async {
        for watch in &loaded.config.watches {
            let mut store = app::store_of(watch)?;
            found = (watch.name.clone(), store.undo(args.repair).await.map_err(told(watch))?);
            if found.1 != Undo::NotFound {
                break;
            }
        }
        Ok::<(), AppError>(())
    })?;
    let (watch, undo) = found;
    let (done, text) = match &undo {
        Undo::Done { error_text, .. } => {
            let column = match error_text {
                ErrorTextRemoval::NotThere => "",
                ErrorTextRemoval::TakenOut => "; the error text was taken out",
                ErrorTextRemoval::LeftAlone => {
                    "; the error text is no longer as it was written, so its column was left alone"
                }
            };
            (
                true,
                format!("repair {id} was taken back{column}; this incident is never repaired again by itself"),
            )
        }
        Undo::Refused(why) => (false, format!("repair {id} can't be taken back: {why}")),
        Undo::NotFound => (false, not_found(&id)),
    };
    if args.json {
        let entry = match undo {
            Undo::Done { entry, .. } => Some(uuid(entry)),
            _ => None,
        };
        let watch = (!matches!(undo, Undo::NotFound)).then_some(watch);
        output::json(&json!({ "repair_id": id, "watch": watch, "done": done, "undo_id": entry, "message": text }));
    } else if done {
        outln!("{text}");
    }
    Ok(ended(done, &text))
}

fn not_found(id: &str) -> String {
    format!("there is no repair {id} in the ledger: `beatwarden history` shows what there is")
}

fn ended(done: bool, text: &str) -> ExitCode {
    if done {
        return ExitCode::SUCCESS;
    }
    output::complain(text);
    ExitCode::FAILURE
}

/// Asks, and takes anything but a yes for a no; nothing if there is nobody to answer.
pub fn confirmed(question: &str) -> Option<bool> {
    let mut stderr = std::io::stderr();
    // A question that can't be shown is not answered with yes.
    stderr
        .write_all(question.as_bytes())
        .and_then(|()| stderr.flush())
        .ok()?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).ok()?;
    (read > 0).then(|| matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Acknowledges a false repair, or the fuse.
pub fn ack(loaded: &Loaded, args: &AckArgs) -> Result<ExitCode, AppError> {
    let (done, text) = match args.repair {
        Some(repair) => ack_repair(loaded, repair)?,
        None => ack_fuse(loaded)?,
    };
    if args.json {
        output::json(&json!({ "done": done, "message": text }));
    } else if done {
        outln!("{text}");
    }
    Ok(ended(done, &text))
}

fn ack_repair(loaded: &Loaded, repair: RepairId) -> Result<(bool, String), AppError> {
    let id = uuid(repair);
    let mut found = Acknowledged::NotFound;
    runtime()?.block_on(async {
        for watch in &loaded.config.watches {
            let mut store = app::store_of(watch)?;
            found = store.acknowledge(repair).await.map_err(told(watch))?;
            if found != Acknowledged::NotFound {
                break;
            }
        }
        Ok::<(), AppError>(())
    })?;
    Ok(match found {
        Acknowledged::Now => (
            true,
            format!(
                "false repair {id} is acknowledged: the fuse closes after three calm passes, if nothing else holds it"
            ),
        ),
        Acknowledged::Before => (true, format!("false repair {id} was acknowledged before")),
        Acknowledged::NotFalse => (
            false,
            format!("repair {id} has not turned out to be false: there is nothing to acknowledge"),
        ),
        Acknowledged::NotFound => (false, not_found(&id)),
    })
}

fn ack_fuse(loaded: &Loaded) -> Result<(bool, String), AppError> {
    let watch = one_watch(loaded)?;
    if app::policy_of(watch).action != Action::Fail {
        let text = format!(
            "watch `{}` doesn't fail jobs (watch.repair.missed_first): it has no fuse to acknowledge",
            watch.name
        );
        return Ok((false, text));
    }
    runtime()?.block_on(async { app::store_of(watch)?.acknowledge_fuse().await.map_err(told(watch)) })?;
    let text = format!(
        "the fuse's rule is suspended for one hour for watch `{}`, for all replicas; max_per_pass ({}) still holds, and a \
         false repair has to be acknowledged by itself",
        watch.name, watch.repair.max_per_pass
    );
    Ok((true, text))
}

/// The one watch that a command is about.
pub fn one_watch(loaded: &Loaded) -> Result<&WatchConfig, AppError> {
    match loaded.config.watches.as_slice() {
        [watch] => Ok(watch),
        several => {
            let names: Vec<&str> = several.iter().map(|watch| watch.name.as_str()).collect();
            Err(AppError::Usage(format!(
                "the configuration has several watches ({}): name one with --watch",
                names.join(", ")
            )))
        }
    }
}
