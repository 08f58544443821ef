//! `beatwarden check`: connects, looks once, and says in a line each what is well and what isn't, with how to mend it.

use super::runtime;
use crate::{
    app::{self, AnyStore, AppError},
    config::{Loaded, WatchConfig},
    domain::{Access, Action, Cause, Look, Newcomers, Snapshot},
    store::{Inquiry, Store, StoreError},
};
use std::process::ExitCode;

/// How a line of the check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// Worth knowing; nothing fails.
    Note,
    Bad,
}

/// Exit code 1 if anything fails.
pub fn run(loaded: &Loaded) -> Result<ExitCode, AppError> {
    let mut all_good = true;
    runtime()?.block_on(async {
        for watch in &loaded.config.watches {
            println!("watch {}", watch.name);
            for (verdict, text) in check(watch).await? {
                let mark = match verdict {
                    Verdict::Good => "ok  ",
                    Verdict::Note => "note",
                    Verdict::Bad => "FAIL",
                };
                println!("  {mark} {text}");
                all_good &= verdict != Verdict::Bad;
            }
        }
        Ok::<(), AppError>(())
    })?;
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn check(watch: &WatchConfig) -> Result<Vec<(Verdict, String)>, AppError> {
    let inquiry = Inquiry {
        known: Vec::new(),
        look: Look::Full,
    };
    let looked = match app::store_of(watch)? {
        AnyStore::Postgres(mut store) => store.observe(&inquiry).await,
        AnyStore::Sqlite(mut store) => store.observe(&inquiry).await,
    };
    Ok(match looked {
        Ok(snapshot) => found(watch, &snapshot),
        Err(error) => vec![(Verdict::Bad, refused(&error))],
    })
}

fn refused(error: &StoreError) -> String {
    format!("{}: {}", error.failure().as_str(), error.chain())
}

fn found(watch: &WatchConfig, snapshot: &Snapshot) -> Vec<(Verdict, String)> {
    let policy = app::policy_of(watch);
    let table = &watch.table.name;
    let running = snapshot
        .rows
        .iter()
        .filter(|job| policy.states.kind_of(job.state.as_deref()) == crate::domain::StateKind::Running)
        .count();
    let mut lines = vec![
        (Verdict::Good, format!("table `{table}`: its columns fit the mapping; {running} jobs running")),
        repairs(watch, snapshot.obstacle, policy.action),
        kinds(policy.action),
        (
            match snapshot.access {
                Access::Index => Verdict::Good,
                Access::Scan => Verdict::Note,
            },
            match snapshot.access {
                Access::Index => "the poll finds running jobs by an index".to_owned(),
                Access::Scan => format!(
                    "the poll scans the table; on a large one, create a partial index on the key: CREATE INDEX ON {table} \
                     ({}) WHERE {} IN ('{}'); never index the heartbeat column, it makes every heartbeat dearer",
                    watch.table.id,
                    watch.table.state,
                    watch.table.running.join("', '")
                ),
            },
        ),
        match snapshot.newcomers {
            Newcomers::Followed => (
                Verdict::Good,
                "jobs that start and end between two polls are counted, by the growing key".to_owned(),
            ),
            Newcomers::Unseen => (
                Verdict::Note,
                "jobs that start and end between two polls are not counted (init_tracking 0): the key doesn't grow, or \
                 watch.table.born_running is false"
                    .to_owned(),
            ),
        },
    ];
    lines.push((
        Verdict::Note,
        "not built yet: the fuse, recognising false repairs, undo, and the guard; under `fail`, look at /api/v1/repairs \
         after each repair"
            .to_owned(),
    ));
    lines
}

fn repairs(watch: &WatchConfig, obstacle: Option<Cause>, action: Action) -> (Verdict, String) {
    let mend = match obstacle {
        _ if action == Action::Observe => {
            return (
                Verdict::Good,
                "missed_first = \"observe\": nothing is ever changed".to_owned(),
            );
        }
        None => {
            return (
                Verdict::Good,
                format!(
                    "repairs are possible: rights, unique key `{}` and ledger `{}` are as needed",
                    watch.table.id, watch.repair.ledger
                ),
            );
        }
        Some(Cause::Rights) => format!(
            "the table is no plain table, row security is active for this role, the key `{}` is not unique by a \
             constraint on it alone, or the right to UPDATE the changed columns is missing",
            watch.table.id
        ),
        Some(Cause::ReadOnly) => {
            "the server is a standby, or the file can't be written: connect to the primary".to_owned()
        }
        Some(Cause::NetworkFs) => "the file lies on a network file system, whose locks can't be trusted".to_owned(),
        Some(_) => format!(
            "the ledger `{}` can't be written: let this role create tables in the schema, or create the ledger and grant \
             SELECT and INSERT on it",
            watch.repair.ledger
        ),
    };
    (
        Verdict::Bad,
        format!("no repairs ({}): {mend}", obstacle.map_or("", Cause::as_str)),
    )
}

/// What the action can and can't do for which kind of writer.
fn kinds(action: Action) -> (Verdict, String) {
    let text = match action {
        Action::Observe => "stuck jobs are reported, never repaired",
        Action::Backfill => {
            "backfill sets a NULL heartbeat to the start, and the writer's own stale rule frees the pipeline; where the \
             writer seeds the heartbeat itself (Meltano 3.7 and later) there is nothing to backfill; a living job that \
             blocks for longer than that rule's limit loses its protection when the same pipeline is started again"
        }
        Action::Fail => {
            "fail ends the job as the writer would, and frees the pipeline at once; a living job that is failed wrongly \
             breaks, so init_deadline must be longer than any job's way to its first heartbeat"
        }
    };
    (Verdict::Note, text.to_owned())
}
