//! The flags that every command takes, what a shell completes in them, and which commands don't list them.

use crate::config::{self, LogFormat, LogLevel, Secret, Sources};
use clap::{
    Arg, Args, Command, ValueHint,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};
use std::{ffi::OsStr, path::PathBuf};

/// Where these flags stand in the help of a command: below its own.
const HEADING: &str = "Configuration, for every command";

/// The flags that every command takes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = HEADING)]
pub struct CommonFlags {
    /// Configuration file, TOML or YAML [default: ./beatwarden.toml, then /etc/beatwarden/beatwarden.toml]
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Database: postgres://..., sqlite:///... or a file path
    #[arg(long, value_name = "URL", global = true, value_hint = ValueHint::FilePath)]
    pub database: Option<String>,
    /// File that holds the database URL
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    database_file: Option<String>,
    /// Which job system writes the table, for example `meltano`
    #[arg(long, value_name = "NAME", global = true, value_parser = Suggests(presets), hide_possible_values = true)]
    pub preset: Option<String>,
    /// The one watch of the file to use
    #[arg(long, value_name = "NAME", global = true, value_hint = ValueHint::Other)]
    watch: Option<String>,
    /// How often the table is read, for example 5s
    #[arg(long, value_name = "DURATION", global = true, value_hint = ValueHint::Other)]
    pub poll_interval: Option<String>,
    /// How long a job may take from its start to its first heartbeat
    #[arg(long, value_name = "DURATION", global = true, value_hint = ValueHint::Other)]
    pub init_deadline: Option<String>,
    /// How long a living job may be silent
    #[arg(long, value_name = "DURATION", global = true, value_hint = ValueHint::Other)]
    pub heartbeat_timeout: Option<String>,
    /// What to do with jobs that missed their first heartbeat: observe, backfill or fail
    #[arg(long, value_name = "ACTION", global = true, value_parser = Suggests(actions), hide_possible_values = true)]
    pub missed_first: Option<String>,
    /// Address of the HTTP server
    #[arg(long, value_name = "ADDR", global = true, value_hint = ValueHint::Other)]
    listen: Option<String>,
    /// Web configuration file (TLS and basic auth) in the format of Prometheus exporters
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    web_config_file: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT", global = true, value_parser = Suggests(formats), hide_possible_values = true)]
    log_format: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", global = true, value_parser = Suggests(levels), hide_possible_values = true)]
    pub log_level: Option<String>,
}

fn presets() -> Vec<&'static str> {
    config::preset_names().collect()
}

fn actions() -> Vec<&'static str> {
    crate::domain::Action::SPELLINGS.to_vec()
}

fn formats() -> Vec<&'static str> {
    LogFormat::SPELLINGS.to_vec()
}

fn levels() -> Vec<&'static str> {
    LogLevel::SPELLINGS.to_vec()
}

/// Any text, with words that a shell completes. What is refused, the configuration refuses, in the words it has for a file.
#[derive(Clone)]
struct Suggests(fn() -> Vec<&'static str>);

impl TypedValueParser for Suggests {
    type Value = String;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.0)().into_iter().map(PossibleValue::new)))
    }
}

/// Commands that have no use for most of these flags, and those that they do use. The others are taken and not listed.
const USED: [(&str, &str); 4] = [
    ("completions", ""),
    ("discover", "config database database_file watch log_format log_level"),
    ("healthcheck", "config listen log_format"),
    ("demo", "listen log_format log_level"),
];

/// The command line, with flags that mean nothing to a command left out of its help.
pub fn listed(mut command: Command) -> Command {
    let common: Vec<Arg> = command
        .get_arguments()
        .filter(|argument| argument.is_global_set())
        .cloned()
        .collect();
    for (name, used) in USED {
        let unused = common
            .iter()
            .filter(|argument| used.split(' ').all(|used| used != argument.get_id().as_str()));
        let unused: Vec<Arg> = unused.map(|argument| argument.clone().hide(true)).collect();
        command = command.mut_subcommand(name, |command| command.args(unused));
    }
    command
}

impl CommonFlags {
    /// The same flags, no configuration file named.
    pub fn without_config(mut self) -> Self {
        self.config = None;
        self
    }

    /// Everything that the configuration of this process is made of.
    pub fn sources(self) -> Sources {
        let (environment, unreadable) = config::variables(std::env::vars_os());
        let flags = [
            ("database", self.database),
            ("database_file", self.database_file),
            ("preset", self.preset),
            ("watch", self.watch),
            ("poll_interval", self.poll_interval),
            ("init_deadline", self.init_deadline),
            ("heartbeat_timeout", self.heartbeat_timeout),
            ("missed_first", self.missed_first),
            ("listen", self.listen),
            ("web_config_file", self.web_config_file),
            ("log_format", self.log_format),
            ("log_level", self.log_level),
        ];
        let given = flags
            .into_iter()
            .filter_map(|(name, text)| Some((name, Secret::new(text?))));
        Sources {
            file: self.config,
            environment,
            unreadable,
            flags: given.collect(),
            search: Sources::usual_places(),
            folder: std::env::current_dir().ok(),
        }
    }
}

/// Whether complaints about the arguments themselves are lines of JSON: they can't be asked in the usual way.
pub fn ask_for_json(arguments: &[std::ffi::OsString]) -> bool {
    let flag = "--log-format";
    let json = |text: &str| text == LogFormat::Json.as_str();
    let texts: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let behind = texts.windows(2).any(|pair| pair[0] == flag && json(&pair[1]));
    let within = texts.iter().any(|text| {
        text.strip_prefix(flag)
            .and_then(|rest| rest.strip_prefix('='))
            .is_some_and(json)
    });
    behind || within || std::env::var("BEATWARDEN__LOG_FORMAT").is_ok_and(|format| json(&format))
}
