//! The command line: one file for each command. Data goes to stdout, logs to stderr; 0 good, 1 failed, 2 bad arguments
//! or configuration.

/// A line to stdout. A reader that has gone away, as `head` does, is no error of ours.
macro_rules! outln {
    ($($argument:tt)*) => { $crate::cli::out(&format!("{}\n", format_args!($($argument)*))) };
}

mod check;
mod demo;
mod explain;
mod guard;
mod healthcheck;
mod ledger;
mod local_http;
mod logging;
mod repair;
mod sentences;
mod status;
mod watch;
mod words;

use crate::{
    app::{self, AppError},
    config::{Config, Flags, Loaded, Secret, Sources},
};
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

const EXAMPLES: &str = "\
Examples:
  beatwarden demo
  beatwarden check --database .meltano/meltano.db --preset meltano
  beatwarden watch --database-file /run/secrets/database --preset meltano --missed-first observe
  beatwarden status --config beatwarden.toml --json
  beatwarden explain 42 --config beatwarden.toml
  beatwarden repair --config beatwarden.toml --dry-run
  beatwarden undo 0f1cb3f3-579d-5c30-b5ef-235e0327e5df --config beatwarden.toml
  beatwarden grants --config beatwarden.toml --role watchdog | psql meltano

Exit codes: 0 good, 1 failed, 2 bad arguments or configuration.";

/// Watches a job table, tells Prometheus which jobs are alive, and repairs those that missed their first heartbeat.
#[derive(Debug, Parser)]
#[command(
    name = "beatwarden",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = EXAMPLES
)]
struct Cli {
    #[command(flatten)]
    flags: CommonFlags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the table: look, report, repair, serve metrics. Ends by a signal only
    Watch,
    /// Show a pipeline blocked, repaired and running again, on an embedded job table with simulated writers
    Demo(demo::DemoArgs),
    /// Connect and verify, a line each with how to mend it
    Check,
    /// One look at the table, as a table or as JSON
    Status(status::StatusArgs),
    /// Say why a job has its phase, what happens to it next and when, and when the writer's own rule frees it
    Explain(explain::ExplainArgs),
    /// Watch for one deadline, show what is due, and repair it after a yes
    Repair(repair::RepairArgs),
    /// Show the ledger of repairs, newest first
    History(ledger::HistoryArgs),
    /// Take one repair back
    Undo(ledger::UndoArgs),
    /// Acknowledge a false repair, or the fuse
    Ack(ledger::AckArgs),
    /// Install, remove or inspect the trigger that makes the writer's init atomic
    Guard(guard::GuardArgs),
    /// Print the SQL that gives a role the least rights that this configuration needs
    Grants {
        /// The role [default: the user of the database URL]
        #[arg(long, value_name = "NAME")]
        role: Option<String>,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Show the configuration in force, secrets hidden, and where each value comes from
    Config,
    /// Ask the local instance whether it is healthy: for images without a shell
    Healthcheck,
}

/// The flags that every command takes.
#[derive(Clone, Debug, Default, Args)]
struct CommonFlags {
    /// Configuration file, TOML or YAML [default: ./beatwarden.toml, then /etc/beatwarden/beatwarden.toml]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Database: postgres://..., sqlite:///... or a file path
    #[arg(long, value_name = "URL", global = true)]
    database: Option<String>,
    /// File that holds the database URL
    #[arg(long, value_name = "FILE", global = true)]
    database_file: Option<String>,
    /// Which job system writes the table, for example `meltano`
    #[arg(long, value_name = "NAME", global = true)]
    preset: Option<String>,
    /// The one watch of the file to use
    #[arg(long, value_name = "NAME", global = true)]
    watch: Option<String>,
    /// How often the table is read, for example 5s
    #[arg(long, value_name = "DURATION", global = true)]
    poll_interval: Option<String>,
    /// How long a job may take from its start to its first heartbeat
    #[arg(long, value_name = "DURATION", global = true)]
    init_deadline: Option<String>,
    /// How long a living job may be silent
    #[arg(long, value_name = "DURATION", global = true)]
    heartbeat_timeout: Option<String>,
    /// What to do with jobs that missed their first heartbeat: observe, backfill or fail
    #[arg(long, value_name = "ACTION", global = true)]
    missed_first: Option<String>,
    /// Address of the HTTP server
    #[arg(long, value_name = "ADDR", global = true)]
    listen: Option<String>,
    /// Web configuration file (TLS and basic auth) in the format of Prometheus exporters
    #[arg(long, value_name = "FILE", global = true)]
    web_config_file: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", global = true)]
    log_level: Option<String>,
}

impl CommonFlags {
    fn sources(self) -> Sources {
        Sources {
            file: self.config,
            environment: std::env::vars_os()
                .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            flags: Flags {
                database: self.database.map(Secret::new),
                database_file: self.database_file,
                preset: self.preset,
                watch: self.watch,
                poll_interval: self.poll_interval,
                init_deadline: self.init_deadline,
                heartbeat_timeout: self.heartbeat_timeout,
                missed_first: self.missed_first,
                listen: self.listen,
                web_config_file: self.web_config_file,
                log_format: self.log_format,
                log_level: self.log_level,
            },
            search: Sources::usual_places(),
        }
    }
}

/// Parses the arguments of this process and runs the command.
pub fn main() -> ExitCode {
    // clap ends the process with 2 for bad arguments, and with 0 for help and version.
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("beatwarden: {}", chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, AppError> {
    match cli.command {
        Command::Watch => {
            let sources = cli.flags.clone().sources();
            watch::run(&loaded(cli.flags)?, sources)
        }
        Command::Demo(args) => demo::run(cli.flags, &args),
        Command::Check => check::run(&loaded(cli.flags)?),
        Command::Status(args) => status::run(&loaded(cli.flags)?, &args),
        Command::Explain(args) => explain::run(&loaded(cli.flags)?, &args),
        Command::Repair(args) => repair::run(&loaded(cli.flags)?, &args),
        Command::History(args) => ledger::history(&loaded(cli.flags)?, &args),
        Command::Undo(args) => ledger::undo(&loaded(cli.flags)?, &args),
        Command::Ack(args) => ledger::ack(&loaded(cli.flags)?, &args),
        Command::Guard(args) => guard::run(&loaded(cli.flags)?, &args),
        Command::Grants { role } => show_grants(&loaded(cli.flags)?, role.as_deref()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "beatwarden", &mut script);
            out(&String::from_utf8_lossy(&script));
            Ok(ExitCode::SUCCESS)
        }
        Command::Config => Ok(show_config(&loaded(cli.flags)?)),
        Command::Healthcheck => Ok(healthcheck::run(&loaded(cli.flags)?)),
    }
}

fn loaded(flags: CommonFlags) -> Result<Loaded, AppError> {
    let loaded = Config::load(&flags.sources())?;
    logging::start(&loaded.config);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded)
}

fn show_grants(loaded: &Loaded, role: Option<&str>) -> Result<ExitCode, AppError> {
    for watch in &loaded.config.watches {
        outln!("{}", app::grants_for(watch, role)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn show_config(loaded: &Loaded) -> ExitCode {
    for value in &loaded.provenance {
        outln!("{} = {}  # {}", value.key, value.value, value.origin);
    }
    ExitCode::SUCCESS
}

/// Writes to stdout; see `outln`.
fn out(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// An error and its sources, once, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// The command line's own description, for tests that compare it with the documentation.
pub fn command() -> clap::Command {
    Cli::command()
}

/// The runtime of every command. One worker: the passes of a sidecar have a thread of their own.
fn runtime() -> Result<tokio::runtime::Runtime, AppError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(AppError::Runtime)
}
