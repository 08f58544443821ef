//! The status page: one screen, made on the server, without a script. Everything in it is escaped.

use super::HttpState;
use crate::{
    domain::{Action, Cause, JobLine, LedgerEntry, Moment, Phase, Report, Timestamp},
    status::{GoodPass, WatchStatus},
    store::rfc3339,
};
use std::{fmt::Write, time::Duration};

/// A name or key longer than this is cut.
const LONGEST: usize = 120;
/// So many of the last repairs are shown.
const REPAIRS: usize = 20;

/// The page of all watches.
pub(super) fn render(state: &HttpState) -> String {
    let now = state.clock.moment();
    let mut body = String::new();
    for (name, board) in state.boards().iter() {
        watch(&mut body, name, &board.read(), now);
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Beatwarden</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta http-equiv=\"refresh\" content=\"5\">\
         <link rel=\"stylesheet\" href=\"/style.css\"></head>\n<body><header><h1>Beatwarden</h1>\
         <nav><a href=\"/metrics\">metrics</a> <a href=\"/api/v1/status\">status</a> <a href=\"/api/v1/repairs\">repairs</a></nav>\
         </header>\n<main>{body}</main>\n<footer>Beatwarden {} · {} UTC · refreshes every 5 s</footer></body></html>\n",
        escape(state.version),
        escape(&clock(state.clock.wall())),
    )
}

fn watch(out: &mut String, name: &str, status: &WatchStatus, now: Moment) {
    let current = status.current(now);
    let class = match (current, status.is_up(now)) {
        (None, _) => "old",
        (Some(_), false) => "failing",
        (Some(pass), true) if stuck(&pass.report) > 0 => "stuck",
        (Some(_), true) => "good",
    };
    let _ = write!(
        out,
        "<section class=\"watch {class}\"><h2><bdi>{}</bdi></h2>",
        text(name)
    );
    let _ = write!(
        out,
        "<p class=\"verdict\">{}</p>",
        escape(&verdict(status, current.map(|pass| &**pass), now))
    );
    if let Some(failure) = &status.failure {
        let _ = write!(
            out,
            "<p class=\"error\">The last pass could not read the table ({}): {}</p>",
            failure.failure.as_str(),
            text(&failure.error)
        );
    }
    for obstacle in current.iter().flat_map(|pass| &pass.report.obstacles) {
        let _ = write!(
            out,
            "<p class=\"error\">No repairs ({}): {}</p>",
            obstacle.cause.as_str(),
            escape(&obstacle.reason)
        );
    }
    // What was seen last is shown greyed, never as the present.
    if let Some(pass) = &status.last_good {
        tiles(out, pass, now);
        jobs(out, &pass.report.jobs, pass.report.at);
        repairs(out, &pass.report.repairs);
    }
    let policy = &status.terms.policy;
    let _ = write!(
        out,
        "<p class=\"terms\">missed first heartbeat: <b>{}</b> · init deadline {} · heartbeat timeout {} · poll every {}</p></section>",
        policy.action.as_str(),
        span(policy.init_deadline),
        span(policy.heartbeat_timeout),
        span(status.interval()),
    );
}

fn stuck(report: &Report) -> u64 {
    count(report, Phase::MissedFirst) + count(report, Phase::Lost)
}

fn count(report: &Report, phase: Phase) -> u64 {
    report.phases.get(&phase).copied().unwrap_or_default()
}

/// The state of the watch in a sentence.
fn verdict(status: &WatchStatus, current: Option<&GoodPass>, now: Moment) -> String {
    let Some(pass) = current else {
        return match &status.last_good {
            None => "Nothing is known yet: the table has not been read.".to_owned(),
            Some(last) => format!(
                "Nothing is known now: the table was last read {} ago. What follows is old.",
                span(now.since(last.at))
            ),
        };
    };
    let report = &pass.report;
    let (never, silent) = (count(report, Phase::MissedFirst), count(report, Phase::Lost));
    let (beating, starting) = (count(report, Phase::Beating), count(report, Phase::Starting));
    if never + silent > 0 {
        let mut parts = Vec::new();
        if never > 0 {
            parts.push(format!("{never} never sent a heartbeat"));
        }
        if silent > 0 {
            let longest = report
                .jobs
                .iter()
                .filter(|job| job.phase == Phase::Lost)
                .map(|job| job.age)
                .max();
            parts.push(format!("{silent} silent for {}", span(longest.unwrap_or_default())));
        }
        return format!("{} stuck: {}.", never + silent, parts.join(", "));
    }
    match (beating, starting) {
        (0, 0) => "No job is running.".to_owned(),
        (0, starting) => format!("{starting} starting."),
        (1, 0) => "The one running job is beating.".to_owned(),
        (beating, 0) => format!("All {beating} running jobs are beating."),
        (beating, starting) => format!("{beating} beating, {starting} starting."),
    }
}

fn tiles(out: &mut String, pass: &GoodPass, now: Moment) {
    let report = &pass.report;
    out.push_str("<dl>");
    let mut tile = |label: &str, value: String| {
        let _ = write!(out, "<div><dt>{label}</dt><dd>{}</dd></div>", escape(&value));
    };
    tile("beating", count(report, Phase::Beating).to_string());
    tile("starting", count(report, Phase::Starting).to_string());
    tile("missed first", count(report, Phase::MissedFirst).to_string());
    tile("lost", count(report, Phase::Lost).to_string());
    tile("abandoned", count(report, Phase::Abandoned).to_string());
    let ratio = report.window.ratio();
    tile(
        "init success",
        ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0)),
    );
    tile("last pass", format!("{} ago", span(now.since(pass.at))));
    out.push_str("</dl>");
}

fn jobs(out: &mut String, jobs: &[JobLine], at: Timestamp) {
    if jobs.is_empty() {
        return;
    }
    out.push_str(
        "<div class=\"scroll\"><table><caption>Running jobs, worst first</caption><thead><tr><th>job</th><th>id</th><th>phase</th>\
         <th>last sign of life</th><th>what happens next</th><th>the writer frees it</th></tr></thead><tbody>",
    );
    for job in jobs {
        let _ = write!(
            out,
            "<tr class=\"{phase}\"><td><bdi>{}</bdi></td><td><bdi>{}</bdi></td><td>{}</td><td>{} ago</td><td>{}</td><td>{}</td></tr>",
            job.name.as_deref().map_or_else(|| "–".to_owned(), text),
            text(job.id.as_str()),
            job.phase.as_str().replace('_', " "),
            span(job.age),
            escape(&next(job, at)),
            job.writer_frees_at
                .filter(|_| job.phase.is_stuck())
                .map_or_else(|| "–".to_owned(), |when| escape(&relative(when, at))),
            phase = job.phase.as_str(),
        );
    }
    out.push_str("</tbody></table></div>");
}

/// What will be done with the job, and when, in words.
fn next(job: &JobLine, at: Timestamp) -> String {
    if job.phase == Phase::Lost {
        return "reported; lost heartbeats are not repaired".to_owned();
    }
    let what = match job.next_action {
        Some(Action::Backfill) => "backfill the heartbeat",
        Some(Action::Fail) => "end as failed",
        Some(Action::Observe) | None => "",
    };
    match (job.withheld_cause, job.due_at) {
        (Some(Cause::Watching), Some(due)) => format!("{what} {}", relative(due, at)),
        (Some(cause), _) => words(cause).to_owned(),
        (None, Some(due)) if !what.is_empty() => format!("{what} {}, if it stays silent", relative(due, at)),
        _ => "–".to_owned(),
    }
}

/// A cause in words that need no glossary.
fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::Observe => "nothing: the action is observe",
        Cause::Rights => "nothing: the rights on the table don't allow it (see beatwarden check)",
        Cause::ReadOnly => "nothing: the database is read-only",
        Cause::NetworkFs => "nothing: the file lies on a network file system",
        Cause::NoLedger => "nothing: the ledger can't be written",
        Cause::NoStart => "nothing: the row has no start",
        Cause::Clock => "nothing: its start lay in the future",
        Cause::AwaitingWriter => "nothing to repair: the writer has to end it",
        Cause::Undone => "nothing: its repair was undone",
        Cause::Repaired => "nothing: it was repaired before",
        Cause::DbRestart => "waiting: the database was restarted while it ran",
        Cause::Watching => "waiting: not yet watched for a whole deadline",
        Cause::Fuse => "nothing: the fuse is open",
        Cause::Limit => "waiting: other jobs are repaired first",
        Cause::Shutdown => "nothing: this process is stopping",
        Cause::NotLeader => "waiting: another replica repairs",
        Cause::Locked => "waiting: another session holds the row",
        Cause::LostRace => "waiting: it changed a moment ago",
    }
}

fn repairs(out: &mut String, entries: &[LedgerEntry]) {
    if entries.is_empty() {
        return;
    }
    out.push_str(
        "<div class=\"scroll\"><table><caption>Last repairs</caption><thead><tr><th>when (UTC)</th><th>job</th><th>id</th><th>action</th>\
         <th>before</th><th>after</th></tr></thead><tbody>",
    );
    for entry in entries.iter().take(REPAIRS) {
        let _ = write!(
            out,
            "<tr><td>{}</td><td><bdi>{}</bdi></td><td><bdi>{}</bdi></td><td>{}</td><td><code>{}</code></td><td><code>{}</code></td></tr>",
            escape(&clock(entry.repaired_at)),
            entry.job_name.as_deref().map_or_else(|| "–".to_owned(), text),
            text(entry.job_id.as_str()),
            entry.action.as_str(),
            text(&entry.before),
            text(&entry.after),
        );
    }
    out.push_str("</tbody></table></div>");
}

/// A hostile text: cut, control characters and direction marks made visible, escaped.
fn text(raw: &str) -> String {
    let mut shown = String::new();
    for (index, letter) in raw.chars().enumerate() {
        if index == LONGEST {
            shown.push('…');
            break;
        }
        let turns_text = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || turns_text {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    escape(&shown)
}

fn escape(raw: &str) -> String {
    let mut escaped = String::with_capacity(raw.len());
    for letter in raw.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A duration in the two largest units that matter.
fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

fn relative(when: Timestamp, now: Timestamp) -> String {
    if when > now {
        format!("in {}", span(now.age_at(when)))
    } else {
        "now".to_owned()
    }
}

fn clock(at: Timestamp) -> String {
    rfc3339(at)
        .chars()
        .take(19)
        .map(|letter| if letter == 'T' { ' ' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_texts_are_shown_as_text() {
        assert_eq!(
            text("<script>alert('x')</script>\"&"),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"
        );
        assert_eq!(text("a\nb\u{202e}c"), "a\\u{a}b\\u{202e}c");
        assert_eq!(text(&"x".repeat(10_000)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn spans_are_told_in_two_units() {
        let told = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(told(59), "59 s");
        assert_eq!(told(60), "1 min");
        assert_eq!(told(61), "1 min 1 s");
        assert_eq!(told(3_660), "1 h 1 min");
        assert_eq!(told(90_000), "1 d 1 h");
    }
}
