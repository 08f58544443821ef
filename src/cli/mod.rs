//! The command line: one file for each command. Data goes to stdout, logs to stderr; 0 good, 1 failed, 2 bad arguments
//! or configuration.

/// A line to stdout, with what is foreign in it made harmless; see `output`.
macro_rules! outln {
    ($($argument:tt)*) => { $crate::cli::output::line(&format!($($argument)*)) };
}

mod check;
mod demo;
mod discover;
mod explain;
mod flags;
mod guard;
mod healthcheck;
mod instance;
mod ledger;
mod local_http;
mod logging;
mod one_job;
mod output;
mod progress;
mod repair;
mod status;
mod table;
mod watch;

use crate::{
    app::{self, AppError},
    config::{Config, Loaded, LogFormat, Sources},
    domain::in_full,
    present::safe::is_unsafe,
};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use flags::CommonFlags;
use logging::Lines;
use std::{ffi::OsString, process::ExitCode};

const EXAMPLES: &str = "\
Examples:
  beatwarden demo
  beatwarden discover postgres://beatwarden@db/shop > beatwarden.toml
  beatwarden check --database .meltano/meltano.db --preset meltano
  beatwarden watch --database-file /run/secrets/database --preset meltano --missed-first observe
  beatwarden status --config beatwarden.toml --json
  beatwarden explain 42 --config beatwarden.toml
  beatwarden repair --config beatwarden.toml --dry-run
  beatwarden undo 0f1cb3f3-579d-5c30-b5ef-235e0327e5df --config beatwarden.toml
  beatwarden grants --config beatwarden.toml --role watchdog | psql meltano

Exit codes: 0 good, 1 failed, 2 bad arguments or configuration.";

/// Watches a job table, reports to Prometheus which jobs are alive, and repairs those that missed their first heartbeat.
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
    /// Read a database's catalog and print a configuration for the job tables in it, with the reasons
    Discover(discover::DiscoverArgs),
    /// Connect and verify, line by line, with how to fix what isn't well
    Check,
    /// What the running instance reports, else the result of one pass, as a table or as JSON
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

impl Command {
    /// Whether what it prints is all that it does.
    const fn only_prints(&self) -> bool {
        match self {
            Self::Discover(_)
            | Self::Status(_)
            | Self::Explain(_)
            | Self::History(_)
            | Self::Grants { .. }
            | Self::Completions { .. }
            | Self::Config => true,
            Self::Watch
            | Self::Demo(_)
            | Self::Check
            | Self::Repair(_)
            | Self::Undo(_)
            | Self::Ack(_)
            | Self::Healthcheck => false,
            Self::Guard(args) => args.only_prints(),
        }
    }
}

/// Parses the arguments of this process and runs the command.
pub fn main() -> ExitCode {
    without_memory_in_core_dumps();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let parsed = command()
        .try_get_matches_from(&arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(answer) => return answered(&answer, &arguments),
    };
    let (flags, only_prints) = (cli.flags.clone(), cli.command.only_prints());
    let code = match run(cli) {
        Ok(code) => output::ended(code, only_prints),
        Err(error) => {
            refused(&error, flags, &arguments);
            ExitCode::from(error.exit_code())
        }
    };
    logging::finish();
    code
}

/// A crash must write neither the database URL nor a password to a disk: a core dump of this process has no memory in it.
fn without_memory_in_core_dumps() {
    // A system without this file makes no core dumps.
    let _ = std::fs::write("/proc/self/coredump_filter", "0");
}

/// What the parser says instead of a command: help or version on stdout, or what is wrong with the arguments.
fn answered(answer: &clap::Error, arguments: &[OsString]) -> ExitCode {
    /// For bad arguments.
    const BAD: u8 = 2;
    if !answer.use_stderr() {
        output::note(answer.print());
        return output::ended(ExitCode::SUCCESS, true);
    }
    if flags::ask_for_json(arguments) {
        logging::start_json();
        let text = answer.render().to_string();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        output::complain(&lines.join("; "));
    } else {
        let text = answer.render().to_string();
        let is_unsafe = |letter| letter != '\n' && is_unsafe(letter);
        if text.contains(is_unsafe) {
            text.lines().for_each(output::stderr);
        } else {
            // In colours. There is no other place to say it.
            let _ = answer.print();
        }
    }
    ExitCode::from(BAD)
}

/// Says why a command could not be run, in the form that the log would have.
fn refused(error: &AppError, flags: CommonFlags, arguments: &[OsString]) {
    // A file that says so may be what is wrong.
    let is_json = |(config, _): (Config, _)| config.log_format == LogFormat::Json;
    let json = || Config::load_program(&flags.sources()).map_or_else(|_| flags::ask_for_json(arguments), is_json);
    if !output::is_json() && json() {
        logging::start_json();
    }
    match error {
        AppError::Config(errors) if output::is_json() => {
            for mistake in &errors.0 {
                tracing::error!(%mistake, "a mistake in the configuration");
            }
        }
        AppError::Config(errors) => {
            output::complain(&errors.head());
            for mistake in &errors.0 {
                output::stderr(&format!("  {mistake}"));
            }
        }
        error => output::complain(&in_full(error)),
    }
}

fn run(cli: Cli) -> Result<ExitCode, AppError> {
    let load = |flags: CommonFlags| loaded(&flags.sources(), Lines::AtOnce);
    match cli.command {
        Command::Watch => {
            let sources = cli.flags.sources();
            block_on(watch::run(&loaded(&sources, Lines::HandedOver)?, sources))
        }
        Command::Demo(args) => demo::run(cli.flags, &args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), "beatwarden", &mut script);
            output::data(&String::from_utf8_lossy(&script));
            Ok(ExitCode::SUCCESS)
        }
        // It asks an instance: which tables that one watches is no matter.
        Command::Healthcheck => {
            let (config, warnings) = Config::load_program(&cli.flags.sources())?;
            logging::start(&config, Lines::AtOnce);
            warn_of(&warnings);
            Ok(healthcheck::run(config.listen))
        }
        Command::Discover(args) => block_on(discover::run(cli.flags, &args)),
        Command::Check => block_on(check::run(&load(cli.flags)?)),
        Command::Status(args) => block_on(status::run(&load(cli.flags)?, &args)),
        Command::Explain(args) => block_on(explain::run(&load(cli.flags)?, &args)),
        Command::Repair(args) => block_on(repair::run(&load(cli.flags)?, &args)),
        Command::History(args) => block_on(ledger::history(&load(cli.flags)?, &args)),
        Command::Undo(args) => block_on(ledger::undo(&load(cli.flags)?, &args)),
        Command::Ack(args) => block_on(ledger::ack(&load(cli.flags)?, &args)),
        Command::Guard(args) => block_on(guard::run(&load(cli.flags)?, &args)),
        Command::Grants { role } => block_on(show_grants(&load(cli.flags)?, role.as_deref())),
        Command::Config => Ok(show_config(&load(cli.flags)?)),
    }
}

fn loaded(sources: &Sources, lines: Lines) -> Result<Loaded, AppError> {
    let loaded = Config::load(sources)?;
    logging::start(&loaded.config, lines);
    warn_of(&loaded.warnings);
    if let Some(project) = &loaded.project {
        tracing::info!(
            project = %project.root.display(),
            database = project.source,
            preset = "meltano",
            version = project.version.as_ref().map(tracing::field::display),
            "watching the jobs of this Meltano project"
        );
    }
    Ok(loaded)
}

fn warn_of(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

async fn show_grants(loaded: &Loaded, role: Option<&str>) -> Result<ExitCode, AppError> {
    for watch in &loaded.config.watches {
        output::data(&app::grants_for(watch, role).await?);
    }
    Ok(ExitCode::SUCCESS)
}

fn show_config(loaded: &Loaded) -> ExitCode {
    for value in &loaded.provenance {
        outln!("{} = {}  # {}", value.key, value.value, value.origin);
    }
    ExitCode::SUCCESS
}

/// The command line's own description, for tests that compare it with the documentation.
pub fn command() -> clap::Command {
    flags::listed(Cli::command())
}

/// Runs a command on a runtime of its own. One worker: the passes of a sidecar have a thread of their own.
fn block_on(command: impl Future<Output = Result<ExitCode, AppError>>) -> Result<ExitCode, AppError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(AppError::Runtime)?;
    runtime.block_on(command)
}
