//! How long `repair` has watched, while it watches.

use crate::present::time::span_short as span;
use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// A bar on a terminal, plain lines in a pipe.
pub struct Progress {
    whole: Duration,
    on_terminal: bool,
    last_line: Option<Instant>,
}

impl Progress {
    /// Between two plain lines.
    const BETWEEN_LINES: Duration = Duration::from_secs(10);
    const WIDTH: usize = 30;

    /// Of `whole` to be watched.
    pub fn new(whole: Duration) -> Self {
        Self {
            whole,
            on_terminal: std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
            last_line: None,
        }
    }

    /// Shows how much of it is `done`.
    pub fn show(&mut self, done: Duration, overdue: usize) {
        let share = (done.as_secs_f64() / self.whole.as_secs_f64()).min(1.0);
        let text = format!(
            "{} of {} watched, {overdue} overdue",
            span(done.min(self.whole)),
            span(self.whole)
        );
        let mut stderr = std::io::stderr();
        if self.on_terminal {
            let full = (share * Self::WIDTH as f64) as usize;
            let bar = format!("{}{}", "#".repeat(full), "-".repeat(Self::WIDTH - full));
            // A progress bar that can't be drawn does no harm.
            let _ = write!(stderr, "\r[{bar}] {text}  ").and_then(|()| stderr.flush());
        } else if self.last_line.is_none_or(|last| last.elapsed() >= Self::BETWEEN_LINES) {
            self.last_line = Some(Instant::now());
            let _ = writeln!(stderr, "{text}");
        }
    }

    /// Leaves the line.
    pub fn end(&self) {
        if self.on_terminal {
            let _ = writeln!(std::io::stderr());
        }
    }
}
