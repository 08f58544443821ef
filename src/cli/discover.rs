//! `beatwarden discover`: what a database holds, as a configuration file on stdout. Reads the catalog and a few newest rows; writes
//! nothing.

use super::{
    flags::CommonFlags,
    logging::{self, Lines},
    output, warn_of,
};
use crate::{
    app::{self, AppError},
    config::Config,
    domain::in_full,
};
use clap::{Args, ValueHint};
use std::process::ExitCode;

/// Arguments of `discover`.
#[derive(Clone, Debug, Args)]
pub struct DiscoverArgs {
    /// The database: postgres://..., sqlite:///... or a file path [default: those of the configuration file, else that of the
    /// Meltano project here]
    #[arg(value_name = "DATABASE", value_hint = ValueHint::FilePath)]
    target: Option<String>,
}

/// Exit code 0 whatever was found, if every database could be read; else that of the first that couldn't.
pub async fn run(mut flags: CommonFlags, args: &DiscoverArgs) -> Result<ExitCode, AppError> {
    if let Some(target) = &args.target
        && flags.database.replace(target.clone()).is_some()
    {
        let text = "the database is given twice: as an argument and by --database; keep one of the two";
        return Err(AppError::Usage(text.to_owned()));
    }
    let (config, databases, warnings) = Config::load_databases(&flags.sources())?;
    logging::start(&config, Lines::AtOnce);
    warn_of(&warnings);
    let mut found = app::discover(&databases).await;
    if databases.len() == 1
        && let Some(error) = found.failures.pop()
    {
        return Err(error);
    }
    if !found.file.is_empty() {
        output::data(&found.file);
    }
    for error in &found.failures {
        output::complain(&in_full(error));
    }
    let code = found.failures.first().map(|error| ExitCode::from(error.exit_code()));
    Ok(code.unwrap_or(ExitCode::SUCCESS))
}
