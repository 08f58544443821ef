//! `beatwarden guard`: installs, removes and inspects the trigger that makes the writer's init atomic.

use super::output;
use crate::{
    app::{self, AppError},
    config::{Loaded, WatchConfig},
    domain::Guard,
    present::time::span_short as span,
    store::{
        guard::{GuardState, Guarded, Waiting},
        survey::Surveyed,
    },
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::process::ExitCode;

/// Arguments of `guard`.
#[derive(Clone, Debug, Args)]
pub struct GuardArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Install the trigger, or fix one that was altered or disabled
    Install {
        /// Show the SQL only
        #[arg(long)]
        print: bool,
        /// Build the index that makes polls cheap, and leave the trigger alone
        #[arg(long)]
        index: bool,
    },
    /// Remove the trigger
    Remove {
        /// Show the SQL only
        #[arg(long)]
        print: bool,
    },
    /// Say whether the trigger is installed and sound
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

impl GuardArgs {
    /// Whether what it prints is all that it does.
    pub const fn only_prints(&self) -> bool {
        matches!(
            self.verb,
            Verb::Install { print: true, .. } | Verb::Remove { print: true }
        )
    }
}

/// Acts on every watch of the configuration. Exit code of `status`: 0 if all guards are installed and sound.
pub async fn run(loaded: &Loaded, args: &GuardArgs) -> Result<ExitCode, AppError> {
    let mut sound = true;
    for watch in &loaded.config.watches {
        let failed = AppError::of_store(watch);
        let mut store = app::store_of(watch)?;
        warn_of_role(watch, &mut store).await;
        match args.verb {
            Verb::Install { print: true, index } => {
                let sql = store.guard_sql().await.map_err(&failed)?;
                output::data(&if index { sql.index } else { sql.install });
            }
            Verb::Install {
                print: false,
                index: true,
            } => {
                let name = store.build_index(&waiting).await.map_err(&failed)?;
                outln!("watch {}: index {name} is there", watch.name);
            }
            Verb::Install {
                print: false,
                index: false,
            } => {
                store.install_guard(&waiting).await.map_err(&failed)?;
                outln!(
                    "watch {}: the guard is installed on {}",
                    watch.name,
                    watch.mapping.table.plain()
                );
            }
            Verb::Remove { print: true } => output::data(&store.guard_sql().await.map_err(&failed)?.remove),
            Verb::Remove { print: false } => {
                store.remove_guard(&waiting).await.map_err(&failed)?;
                outln!(
                    "watch {}: there is no guard on {}",
                    watch.name,
                    watch.mapping.table.plain()
                );
            }
            Verb::Status { json } => {
                let found = store.guard().await.map_err(&failed)?;
                sound &= found.guard.works();
                show(watch, &found, json);
            }
        }
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says on stderr, beside whatever is done, that the role may more than it needs while another owns the table.
async fn warn_of_role(watch: &WatchConfig, store: &mut app::AnyStore) {
    let role = store.survey().await.ok().and_then(|around| around.role);
    let excess = role
        .filter(|role| !role.owner_is_trusted)
        .and_then(|role| role.excess());
    if let Some(text) = excess {
        output::stderr(&format!("watch {}: {text}", watch.name));
    }
}

fn show(watch: &WatchConfig, found: &GuardState, as_json: bool) {
    if as_json {
        output::json(&json!({
            "watch": watch.name,
            "table": watch.mapping.table.plain(),
            "guard": found.guard.as_str(),
            "sound": found.guard.works(),
            "differs": found.differs,
        }));
        return;
    }
    outln!(
        "watch {}: the guard on {} is {}",
        watch.name,
        watch.mapping.table.plain(),
        in_words(found)
    );
}

/// The state of the guard, what it means, and what to do about it.
pub fn in_words(found: &GuardState) -> String {
    let word = match found.guard {
        Guard::Outdated => "installed",
        guard => guard.as_str(),
    };
    let differs = found.differs.join("; ");
    let meaning = match found.guard {
        Guard::Sound => " and sound; remove it before a migration that changes or drops the state column".to_owned(),
        Guard::Absent => String::new(),
        Guard::Outdated => {
            " under an old name or in an old form, of an earlier version: it works, and `beatwarden guard \
                            install` brings it over"
                .to_owned()
        }
        Guard::Disabled => format!(": {differs}; `beatwarden guard install` switches it on"),
        Guard::Altered => format!(": {differs}; `beatwarden guard install` makes it as it was"),
    };
    format!("{word}{meaning}")
}

/// Reports why it takes longer.
fn waiting(why: Waiting) {
    match why {
        Waiting::Lock { tries, again_in } => output::stderr(&format!(
            "the table is busy (try {tries}): writers are not made to wait longer than 100ms, tried again in {} ms",
            again_in.as_millis()
        )),
        Waiting::Index(since) => {
            output::stderr(&format!("building the index, {} so far; writers continue", span(since)))
        }
    }
}
