//! The log goes to stderr, as text or JSON; the driver's own log is kept down because it shows bound values.

use crate::config::{Config, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process; a second start is ignored.
pub fn start(config: &Config) {
    let filter = EnvFilter::new(format!("warn,beatwarden={}", config.log_level.as_str()));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second start, as in a test, keeps the first.
    let _ = match config.log_format {
        LogFormat::Text => log
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}
