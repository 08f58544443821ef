//! The way to stdout and stderr: foreign texts made harmless at this one place, and a failed write that is not lost.
//!
//! A stdout that can't be written makes the exit code 1: a cut `grants > file` is no success. A reader that has gone away,
//! as `head` does, is no failure.

use crate::present::safe;
use std::{
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write},
    process::ExitCode,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// Why stdout can't be written, once it could not.
static FAILED: OnceLock<String> = OnceLock::new();
/// Whether anything was to be written.
static WRITTEN: AtomicBool = AtomicBool::new(false);
/// Whether complaints are lines of the JSON log.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// One line. On a terminal it is wrapped between words, the rest of it indented.
pub fn line(line: &str) {
    let line = safe::line(line);
    match width() {
        Some(width) => wrapped(&line, width)
            .iter()
            .for_each(|part| write(&format!("{part}\n"))),
        None => write(&format!("{line}\n")),
    }
}

/// A document of JSON.
pub fn json(document: &impl Display) {
    write(&format!("{}\n", safe::json(&document.to_string())));
}

/// Lines for other programs, SQL or a script, byte for byte; harmless where they go to a terminal.
pub fn data(lines: &str) {
    if io::stdout().is_terminal() {
        lines.lines().for_each(|line| write(&format!("{}\n", safe::line(line))));
    } else {
        write(&format!("{}\n", lines.strip_suffix('\n').unwrap_or(lines)));
    }
}

fn write(text: &str) {
    WRITTEN.store(true, Ordering::Relaxed);
    let mut stdout = io::stdout().lock();
    note(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}

/// Keeps what a write to stdout came to.
pub fn note(written: io::Result<()>) {
    WRITTEN.store(true, Ordering::Relaxed);
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            // The first reason is the one that counts.
            let _ = FAILED.set(error.to_string());
        }
        _ => {}
    }
}

/// The exit code of a command that came to `code`: 1 if its output was lost. `is_all` says that the output is all there is
/// to the command, so that a closed stdout loses it.
pub fn ended(code: ExitCode, is_all: bool) -> ExitCode {
    let closed = || (is_all && WRITTEN.load(Ordering::Relaxed) && is_closed()).then(|| "it is closed".to_owned());
    match FAILED.get().cloned().or_else(closed) {
        None => code,
        Some(why) => {
            complain(&format!("stdout can't be written: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether stdout was closed when the process began. Rust's runtime opens the null device in its place, for reading too;
/// a shell's `>/dev/null` opens it for writing. Programs that start others may open it both ways and throw the output away on
/// purpose: commands that do more than to print don't ask.
fn is_closed() -> bool {
    let leads_to_null = std::fs::read_link("/proc/self/fd/1").is_ok_and(|path| path.as_os_str() == "/dev/null");
    let flags = std::fs::read_to_string("/proc/self/fdinfo/1").unwrap_or_default();
    let flags = flags.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    // O_RDWR of the two bits for the way of access, the same on every Linux.
    leads_to_null && flags.is_some_and(|flags| flags & 0o3 == 0o2)
}

/// Complaints become lines of the JSON log from now on.
pub fn complain_in_json() {
    if !AS_JSON.swap(true, Ordering::Relaxed) {
        // The usual words about a bug take several lines.
        std::panic::set_hook(Box::new(
            |bug| tracing::error!(%bug, "a bug in Beatwarden: please report it"),
        ));
    }
}

/// Whether complaints are lines of the JSON log.
pub fn is_json() -> bool {
    AS_JSON.load(Ordering::Relaxed)
}

/// A complaint on stderr, one line.
pub fn complain(complaint: &str) {
    if is_json() {
        tracing::error!("{complaint}");
    } else {
        stderr(&format!("beatwarden: {complaint}"));
    }
}

/// A line on stderr. Where stderr can't be written there is nowhere to say so, and no reason to end.
pub fn stderr(line: &str) {
    let _ = writeln!(io::stderr(), "{}", safe::line(line));
}

/// How many columns the terminal behind stdout has; `None` if it is none.
pub fn width() -> Option<usize> {
    static WIDTH: OnceLock<Option<usize>> = OnceLock::new();
    *WIDTH.get_or_init(|| {
        if !io::stdout().is_terminal() {
            return None;
        }
        let size = terminal_size::terminal_size_of(io::stdout());
        size.map(|(width, _)| usize::from(width.0))
            .filter(|width| *width >= NARROWEST)
    })
}

/// A terminal that claims to be narrower doesn't know its width.
const NARROWEST: usize = 20;

/// A line in pieces of at most `width` letters, broken between words where there are any.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let indent = line.chars().take_while(|letter| *letter == ' ').count();
    let hanging = " ".repeat((indent + 2).min(width / 3));
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut letters = 0;
    for word in line.split_inclusive(' ') {
        let long = word.trim_end().chars().count();
        if letters + long > width && letters > indent {
            parts.push(std::mem::take(&mut part).trim_end().to_owned());
            part.push_str(&hanging);
            letters = hanging.len();
        }
        part.push_str(word);
        letters += word.chars().count();
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn a_long_line_is_broken_between_words_and_a_long_word_is_kept() {
        assert_eq!(wrapped("short", 20), ["short"]);
        assert_eq!(
            wrapped("  ok   table runs is there", 17),
            ["  ok   table runs", "    is there"]
        );
        let uuid = "0f1cb3f3-579d-5c30-b5ef-235e0327e5df";
        assert_eq!(
            wrapped(&format!("repair {uuid} was"), 20),
            ["repair".to_owned(), format!("  {uuid}"), "  was".to_owned()]
        );
        assert_eq!(wrapped("", 20), [""]);
    }
}
