//! The log goes to stderr, as text or JSON; the driver's own log is kept down because it shows bound values.
//!
//! The log never ends or stops a watch: a disk that is full or a reader that is gone loses lines and nothing else, and a
//! reader that stands still keeps a thread of the log waiting, not the passes.

use super::output;
use crate::{
    config::{Config, LogFormat},
    present::safe,
};
use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    field::RecordFields,
    filter::Targets,
    fmt::{FormatFields, MakeWriter, format::Writer},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The most lines that wait for a reader of stderr that is slower than we are; later ones are dropped and counted.
const WAITING: usize = 4096;
/// At the end the lines that wait have so long to be read.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(2);

/// Whether the log has a thread of its own: for the command that must not wait for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// A line is written before the command continues.
    AtOnce,
    /// A line is handed over.
    HandedOver,
}

static HANDED_OVER: OnceLock<SyncSender<Piece>> = OnceLock::new();

/// Starts logging for the whole process; a second start is ignored.
pub fn start(config: &Config, lines: Lines) {
    let level = config.log_level.as_str().parse().unwrap_or(LevelFilter::INFO);
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("beatwarden", level);
    let format = config.log_format;
    let log = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(Sink::new(lines, format))
        // It would be said on stderr, which just failed; and end the process.
        .log_internal_errors(false)
        .with_target(false);
    // A second start, as in a test, keeps the first.
    let _ = match format {
        LogFormat::Text => log
            .with_ansi(is_colourful())
            .fmt_fields(Harmless)
            .finish()
            .with(filter)
            .try_init(),
        LogFormat::Json => {
            output::complain_in_json();
            log.json().flatten_event(true).finish().with(filter).try_init()
        }
    };
}

/// Starts a log in JSON for what has to be said before there is a configuration.
pub fn start_json() {
    output::complain_in_json();
    // A log that runs already is kept.
    let _ = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(Sink::new(Lines::AtOnce, LogFormat::Json))
        .log_internal_errors(false)
        .with_target(false)
        .json()
        .flatten_event(true)
        .try_init();
}

/// Whether stderr is a terminal that is to have colours: <https://no-color.org> and terminals that know none.
fn is_colourful() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stderr().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// Waits until the lines that were handed over are written, for a short time.
pub fn finish() {
    let Some(sender) = HANDED_OVER.get() else { return };
    let (done, written) = sync_channel(1);
    // A full queue is one that is not read: nothing to wait for.
    if sender.try_send(Piece::End(done)).is_ok() {
        let _ = written.recv_timeout(LAST_LINES_WITHIN);
    }
}

/// A line waits so long to be written, so that it is there before anything that follows from what it says. Once a line
/// has waited in vain, no further one waits until stderr is read again.
const WRITTEN_WITHIN: Duration = Duration::from_millis(100);

enum Piece {
    /// And who waits until it is written.
    Line(Vec<u8>, Option<SyncSender<()>>),
    End(SyncSender<()>),
}

/// Where lines go.
struct Sink {
    handed_over: Option<SyncSender<Piece>>,
    lost: Arc<Lost>,
    format: LogFormat,
}

/// What a reader that doesn't read comes to.
#[derive(Default)]
struct Lost {
    /// Lines dropped since the last word about it.
    lines: AtomicU64,
    /// Whether a line has waited in vain since the last one was written.
    stalled: AtomicBool,
}

impl Sink {
    fn new(lines: Lines, format: LogFormat) -> Self {
        let lost = Arc::new(Lost::default());
        let handed_over = (lines == Lines::HandedOver)
            .then(|| writer_of(lost.clone(), format))
            .flatten();
        if let Some(sender) = &handed_over {
            // A second start, as in a test, keeps the first.
            let _ = HANDED_OVER.set(sender.clone());
        }
        Self {
            handed_over,
            lost,
            format,
        }
    }
}

/// The thread that writes; without one lines are written at once.
fn writer_of(lost: Arc<Lost>, format: LogFormat) -> Option<SyncSender<Piece>> {
    let (sender, pieces) = sync_channel(WAITING);
    let write = move || write_all(&pieces, &lost, format, to_stderr);
    thread::Builder::new().name("log".to_owned()).spawn(write).ok()?;
    Some(sender)
}

fn write_all(pieces: &Receiver<Piece>, lost: &Lost, format: LogFormat, write: impl Fn(&[u8])) {
    for piece in pieces {
        match piece {
            Piece::Line(line, waits) => {
                write(&line);
                lost.stalled.store(false, Ordering::Relaxed);
                if let Some(waits) = waits {
                    // Who waited may have given up.
                    let _ = waits.try_send(());
                }
            }
            // Who waits may have gone.
            Piece::End(done) => {
                let _ = done.try_send(());
            }
        }
        let lines = lost.lines.swap(0, Ordering::Relaxed);
        if lines > 0 {
            let words = format!("{lines} lines of the log were dropped: stderr was not read");
            let line = match format {
                LogFormat::Text => format!("WARN {words}\n"),
                LogFormat::Json => format!("{}\n", serde_json::json!({ "level": "WARN", "message": words })),
            };
            write(line.as_bytes());
        }
    }
}

fn to_stderr(line: &[u8]) {
    // There is no other place to say that it can't be written.
    let _ = io::stderr().write_all(line);
}

fn hand_over(sender: &SyncSender<Piece>, line: Vec<u8>, lost: &Lost) {
    let (done, written) = sync_channel(1);
    let waits = !lost.stalled.load(Ordering::Relaxed);
    if sender.try_send(Piece::Line(line, waits.then_some(done))).is_err() {
        lost.lines.fetch_add(1, Ordering::Relaxed);
    } else if waits && written.recv_timeout(WRITTEN_WITHIN).is_err() {
        lost.stalled.store(true, Ordering::Relaxed);
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = One<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        One(self)
    }
}

/// One line on its way.
struct One<'a>(&'a Sink);

impl Write for One<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = line.len();
        let line = match (self.0.format, std::str::from_utf8(line)) {
            // The encoder leaves C1 and marks of direction as they are.
            (LogFormat::Json, Ok(document)) => safe::json(document).into_owned().into_bytes(),
            _ => line.to_vec(),
        };
        match &self.0.handed_over {
            None => to_stderr(&line),
            Some(sender) => hand_over(sender, line, &self.0.lost),
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Message and fields of a line of text, made harmless whatever their origin.
struct Harmless;

impl<'writer> FormatFields<'writer> for Harmless {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Fields {
            writer,
            is_first: true,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Fields<'writer> {
    writer: Writer<'writer>,
    is_first: bool,
    result: fmt::Result,
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        // Where a line of the `log` crate came from: said elsewhere.
        if self.result.is_err() || name.starts_with("log.") {
            return;
        }
        let space = if std::mem::take(&mut self.is_first) { "" } else { " " };
        let value = format!("{value:?}");
        let value = safe::line(&value);
        let writer = &mut self.writer;
        self.result = match (name, writer.has_ansi_escapes()) {
            ("message", _) => write!(writer, "{space}{value}"),
            (name, false) => write!(writer, "{space}{name}={value}"),
            // Names in italics, the sign dimmed.
            (name, true) => write!(writer, "{space}\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn lines_that_find_no_room_are_dropped_and_counted() {
        let (sender, pieces) = sync_channel(2);
        let sink = Sink {
            handed_over: Some(sender),
            lost: Arc::default(),
            format: LogFormat::Text,
        };
        let began = std::time::Instant::now();
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            sink.make_writer().write_all(line.as_bytes()).expect("it never fails");
        }
        assert!(began.elapsed() < WRITTEN_WITHIN * 3, "only the first one waits");
        let lost = sink.lost.clone();
        drop(sink);
        let written = Mutex::new(String::new());
        write_all(&pieces, &lost, LogFormat::Text, |line| {
            written
                .lock()
                .expect("no panic")
                .push_str(&String::from_utf8_lossy(line));
        });
        assert_eq!(
            *written.lock().expect("no panic"),
            "one\nWARN 2 lines of the log were dropped: stderr was not read\ntwo\n"
        );
    }
}
