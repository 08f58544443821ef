//! `beatwarden history`, `undo` and `ack`: the ledger, read, taken back and acknowledged.

use super::{
    output,
    table::{self, names, whole},
};
use crate::{
    app::{self, AppError},
    config::{Loaded, WatchConfig},
    domain::{Action, LateOutcome, LedgerAction, LedgerEntry, RepairId},
    present::{json as shapes, safe, time::date},
    store::{Acknowledged, Entries, ErrorTextRemoval, Ledger, Undo},
};
use clap::Args;
use serde_json::json;
use std::{
    collections::HashSet,
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
    /// The repair, as `beatwarden history` shows it; its first eight characters are enough if no other begins so
    #[arg(value_name = "REPAIR_ID", value_parser = sought)]
    repair: Sought,
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
    /// A false repair or a late heartbeat, as `beatwarden history` shows it; its first eight characters are enough if no other begins so
    #[arg(value_name = "REPAIR_ID", value_parser = sought)]
    repair: Option<Sought>,
    /// Suspend the fuse's rule for one hour, for all replicas
    #[arg(long, conflicts_with = "repair")]
    fuse: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Entries of the ledgers of all watches.
async fn read(loaded: &Loaded, which: &Entries) -> Result<Vec<LedgerEntry>, AppError> {
    let mut entries = Vec::new();
    for watch in &loaded.config.watches {
        let found = app::store_of(watch)?.entries(which.clone()).await;
        entries.extend(found.map_err(AppError::of_store(watch))?);
    }
    Ok(entries)
}

/// Shows the ledger, newest first, and before it the false repairs that no one has acknowledged, however old.
pub async fn history(loaded: &Loaded, args: &HistoryArgs) -> Result<ExitCode, AppError> {
    let mut entries = read(loaded, &Entries::Newest(args.limit)).await?;
    entries.sort_by_key(|entry| (std::cmp::Reverse(entry.repaired_at), entry.repair_id));
    // Two watches of one table read the same ledger.
    entries.dedup_by_key(|entry| entry.repair_id);
    let undone: HashSet<RepairId> = entries.iter().filter_map(|entry| entry.undo_of).collect();
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut place = 0..;
    entries.retain(|entry| place.next().is_some_and(|place| place < limit) || entry.holds_the_fuse());
    if args.json {
        output::json(&shapes::repairs(&entries));
        return Ok(ExitCode::SUCCESS);
    }
    if entries.is_empty() {
        outln!("no repairs yet");
        return Ok(ExitCode::SUCCESS);
    }
    let pinned: Vec<&LedgerEntry> = entries.iter().filter(|entry| entry.holds_the_fuse()).collect();
    if !pinned.is_empty() {
        outln!(
            "false repairs that no one has acknowledged (`beatwarden ack REPAIR_ID`): while there is one, nothing is failed"
        );
        shown(&pinned, &undone);
        outln!("");
    }
    let newest: Vec<&LedgerEntry> = entries.iter().take(limit).collect();
    shown(&newest, &undone);
    Ok(ExitCode::SUCCESS)
}

fn shown(entries: &[&LedgerEntry], undone: &HashSet<RepairId>) {
    let columns = [
        whole("WHEN"),
        whole("ACTION"),
        names("JOB"),
        names("NAME"),
        whole("REPAIR ID"),
        whole("WHAT TURNED OUT"),
    ];
    let row = |entry: &&LedgerEntry| {
        vec![
            date(entry.repaired_at),
            entry.action.as_str().to_owned(),
            entry.job_id.text().into_owned(),
            entry.job_name.as_deref().unwrap_or("-").to_owned(),
            entry.repair_id.to_string(),
            turned_out(entry, undone),
        ]
    };
    table::print(0, &columns, &entries.iter().map(row).collect::<Vec<_>>());
}

/// What became of a repair, in a word or two.
fn turned_out(entry: &LedgerEntry, undone: &HashSet<RepairId>) -> String {
    let mut parts = Vec::new();
    parts.extend(entry.outcome.map(|outcome| outcome.as_str().to_owned()));
    if entry.acknowledged_at.is_some() {
        parts.push("acknowledged".to_owned());
    }
    if undone.contains(&entry.repair_id) {
        parts.push("undone".to_owned());
    }
    match (entry.undo_of, entry.action) {
        (Some(of), _) => parts.push(format!("of {}, by {}", of, safe::cut(&entry.instance, 80))),
        (None, LedgerAction::AckFuse) => parts.push(format!(
            "the fuse's rule is suspended for one hour, by {}",
            safe::cut(&entry.instance, 80)
        )),
        _ => {}
    }
    if parts.is_empty() {
        "-".to_owned()
    } else {
        parts.join(", ")
    }
}

/// Takes one repair back.
pub async fn undo(loaded: &Loaded, args: &UndoArgs) -> Result<ExitCode, AppError> {
    let (id, (watch, undo)) = match find(loaded, &args.repair).await?.as_slice() {
        [] => (args.repair.typed.clone(), (String::new(), Undo::NotFound)),
        [entry] => {
            let question = format!("Take repair {} ({}) back? [y/N] ", entry.repair_id, summary_of(entry));
            if !args.yes && std::io::stdin().is_terminal() && confirmed(&question) != Some(true) {
                output::complain("nothing was changed");
                return Ok(ExitCode::FAILURE);
            }
            (entry.repair_id.to_string(), take_back(loaded, entry.repair_id).await?)
        }
        several => return Ok(ambiguous(&args.repair, several, args.json)),
    };
    let (done, text) = match &undo {
        Undo::Done {
            error_text, left_alone, ..
        } => {
            let column = match error_text {
                ErrorTextRemoval::NotThere => "",
                ErrorTextRemoval::TakenOut => "; the error text was taken out",
                ErrorTextRemoval::LeftAlone => {
                    "; the error text is no longer as it was written, so its column was left alone"
                }
            };
            (
                true,
                format!(
                    "repair {id} was taken back{column}{}; this incident is never repaired again automatically",
                    changed_since(left_alone)
                ),
            )
        }
        Undo::Refused(why) => (false, format!("repair {id} can't be taken back: {why}")),
        Undo::NotFound => (false, not_found(&id)),
    };
    if args.json {
        let entry = match undo {
            Undo::Done { entry, .. } => Some(entry.to_string()),
            _ => None,
        };
        let watch = (!matches!(undo, Undo::NotFound)).then_some(watch);
        output::json(&json!({ "repair_id": id, "watch": watch, "done": done, "undo_id": entry, "message": text }));
    } else if done {
        outln!("{text}");
    }
    Ok(ended(done, &text))
}

/// Takes a repair back where it was made, and says of which watch that was.
async fn take_back(loaded: &Loaded, id: RepairId) -> Result<(String, Undo), AppError> {
    let mut answer = (String::new(), Undo::NotFound);
    for watch in &loaded.config.watches {
        let undo = app::store_of(watch)?
            .undo(id)
            .await
            .map_err(AppError::of_store(watch))?;
        // An entry of an earlier version may name a table of either of two schemas: the row says which.
        match undo {
            Undo::Done { .. } => return Ok((watch.name.clone(), undo)),
            Undo::Refused(_) if answer.1 == Undo::NotFound => answer = (watch.name.clone(), undo),
            Undo::Refused(_) | Undo::NotFound => {}
        }
    }
    Ok(answer)
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

/// Asks, and takes anything but a yes for a no; nothing if there is no one to answer.
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

/// Acknowledges what turned out about a repair, or the fuse.
pub async fn ack(loaded: &Loaded, args: &AckArgs) -> Result<ExitCode, AppError> {
    let (done, text) = match &args.repair {
        Some(sought) => match find(loaded, sought).await?.as_slice() {
            [] => (false, not_found(&sought.typed)),
            [entry] => ack_repair(loaded, entry).await?,
            several => return Ok(ambiguous(sought, several, args.json)),
        },
        None if args.fuse => ack_fuse(loaded).await?,
        None => {
            return Err(AppError::Usage(
                "say what to acknowledge: a false repair by its REPAIR_ID, as `beatwarden history` shows it, or with --fuse that \
                 so many jobs are dead at once"
                    .to_owned(),
            ));
        }
    };
    if args.json {
        output::json(&json!({ "done": done, "message": text }));
    } else if done {
        outln!("{text}");
    }
    Ok(ended(done, &text))
}

async fn ack_repair(loaded: &Loaded, repair: &LedgerEntry) -> Result<(bool, String), AppError> {
    let id = repair.repair_id;
    let is_late = repair.outcome == Some(LateOutcome::LateHeartbeat);
    let mut found = Acknowledged::NotFound;
    for watch in &loaded.config.watches {
        let answer = app::store_of(watch)?.acknowledge(id).await;
        found = answer.map_err(AppError::of_store(watch))?;
        if found != Acknowledged::NotFound {
            break;
        }
    }
    Ok(match found {
        Acknowledged::Now if is_late => (true, format!("late heartbeat {id} is acknowledged")),
        Acknowledged::Before if is_late => (true, format!("late heartbeat {id} was acknowledged before")),
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
        Acknowledged::NotFound => (false, not_found(&id.to_string())),
    })
}

async fn ack_fuse(loaded: &Loaded) -> Result<(bool, String), AppError> {
    let watch = one_watch(loaded)?;
    if app::policy_of(watch).action != Action::Fail {
        let text = format!(
            "watch `{}` doesn't fail jobs (watch.repair.{}): it has no fuse to acknowledge",
            watch.name,
            watch.action_key()
        );
        return Ok((false, text));
    }
    let answer = app::store_of(watch)?.acknowledge_fuse().await;
    answer.map_err(AppError::of_store(watch))?;
    let text = format!(
        "the fuse's rule is suspended for one hour for watch `{}`, for all replicas; max_per_pass ({}) still holds, and a \
         false repair has to be acknowledged separately",
        watch.name, watch.repair.max_per_pass
    );
    Ok((true, text))
}

/// A repair's identity as a person types it: whole, or its beginning.
#[derive(Clone, Debug)]
struct Sought {
    typed: String,
    lowest: RepairId,
    highest: RepairId,
}

fn sought(text: &str) -> Result<Sought, String> {
    /// A shorter beginning is rarely unique.
    const FEWEST: usize = 8;
    let digits: String = text.chars().filter(|letter| *letter != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok();
    let number = number.filter(|_| (FEWEST..=32).contains(&digits.len()) && !digits.starts_with('+'));
    let Some(number) = number else {
        return Err(
            "expected a repair's UUID, or its first eight characters or more, as `beatwarden history` shows it"
                .to_owned(),
        );
    };
    let missing = 4 * (32 - u32::try_from(digits.len()).unwrap_or(32));
    let rest = u128::MAX.checked_shr(128 - missing).unwrap_or(0);
    let lowest = number.checked_shl(missing).unwrap_or(number);
    Ok(Sought {
        typed: text.to_owned(),
        lowest: RepairId(lowest),
        highest: RepairId(lowest | rest),
    })
}

/// The entries that a person may mean.
async fn find(loaded: &Loaded, sought: &Sought) -> Result<Vec<LedgerEntry>, AppError> {
    let mut entries = read(loaded, &Entries::Between(sought.lowest, sought.highest)).await?;
    entries.sort_by_key(|entry| entry.repair_id);
    entries.dedup_by_key(|entry| entry.repair_id);
    Ok(entries)
}

/// An entry in a few words.
fn summary_of(entry: &LedgerEntry) -> String {
    format!(
        "{} of job {}, {}",
        entry.action.as_str(),
        safe::cut(&entry.job_id.text(), 36),
        date(entry.repaired_at)
    )
}

fn ambiguous(sought: &Sought, entries: &[LedgerEntry], as_json: bool) -> ExitCode {
    let listed: Vec<String> = entries
        .iter()
        .map(|entry| format!("{} ({})", entry.repair_id, summary_of(entry)))
        .collect();
    let text = format!("several repairs begin with {}: {}", sought.typed, listed.join("; "));
    if as_json {
        output::json(&json!({ "done": false, "message": text }));
    }
    ended(false, &text)
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

/// The further columns that a repair had set and that an undo left alone.
fn changed_since(columns: &[String]) -> String {
    if columns.is_empty() {
        return String::new();
    }
    let columns: Vec<String> = columns
        .iter()
        .map(|column| format!("`{}`", column.escape_debug()))
        .collect();
    format!("; changed since, and left alone: {}", columns.join(", "))
}
