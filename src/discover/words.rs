//! What names and states usually mean: the vocabulary by which an unknown table is read. A word that is in no list means nothing;
//! people decide about it.

/// What a value of a state column says about its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meaning {
    /// It is being worked on.
    Running,
    /// The same, where no other value says so.
    MaybeRunning,
    Success,
    Failure,
    /// Neither.
    Waiting,
    Unknown,
}

const RUNNING: &str = "running in_progress inprogress progress executing processing working doing started picked claimed acquired \
    busy ongoing running_job building syncing importing exporting restarting canceling cancelling stopping terminating";
const MAYBE_RUNNING: &str = "active locked leased reserved taken assigned dispatched open";
const SUCCESS: &str = "success succeeded successful completed complete done finished ok passed skipped";
/// In the order in which `fail` would take them.
const FAILURE: &str = "failed failure fail error errored crashed dead killed aborted exception timed_out timeout terminated lost \
    cancelled canceled discarded expired revoked rejected upstream_failed removed max_recovery_attempts_exceeded";
const WAITING: &str = "queued pending waiting scheduled new created todo ready idle enqueued available retry retrying retryable \
    up_for_retry up_for_reschedule delayed paused suspended submitted initialized not_started starting planned blocked deferred \
    on_hold hold queueing requested accepted received";

fn holds(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|known| known == word)
}

/// What a state says.
pub(super) fn meaning(state: &str) -> Meaning {
    let word = words(state).join("_");
    let lists = [
        (RUNNING, Meaning::Running),
        (MAYBE_RUNNING, Meaning::MaybeRunning),
        (SUCCESS, Meaning::Success),
        (FAILURE, Meaning::Failure),
        (WAITING, Meaning::Waiting),
    ];
    let found = lists.into_iter().find(|(list, _)| holds(list, &word));
    found.map_or(Meaning::Unknown, |(_, meaning)| meaning)
}

/// The place of a bad end among those that `fail` could write.
pub(super) fn rank_of_failure(state: &str) -> usize {
    let word = words(state).join("_");
    let mut known = FAILURE.split_ascii_whitespace();
    known.position(|known| known == word).unwrap_or(usize::MAX)
}

/// A name as lower-case words: `lastHeartbeatAt`, `Last Heartbeat-At` and `last_heartbeat_at` are the same.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() {
            words.push(String::new());
        } else {
            if letter.is_uppercase() && after_lower {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(letter.to_lowercase());
            }
        }
        after_lower = letter.is_lowercase() || letter.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

fn any(words: &[String], list: &str) -> bool {
    words.iter().any(|word| holds(list, word))
}

/// How much a name looks like one of a state: 0, 1 or 2.
pub(super) fn like_state(name: &str) -> u32 {
    let words = words(name);
    if any(
        &words,
        "previous prev old last next desired target wanted payment order http response health code",
    ) {
        return 0;
    }
    match words.last().map(String::as_str) {
        Some("state" | "status" | "jobstate" | "jobstatus" | "taskstatus" | "taskstate" | "runstate" | "runstatus") => {
            2
        }
        Some("phase" | "stage") => 1,
        _ if any(&words, "state status") => 1,
        _ => 0,
    }
}

/// Whether a name is that of a state and says of nothing else that it is one.
pub(super) fn is_state(name: &str) -> bool {
    matches!(name.to_lowercase().as_str(), "state" | "status")
}

/// How much a name looks like one of a start: 0, 1 or 2.
pub(super) fn like_start(name: &str) -> u32 {
    let words = words(name);
    if any(
        &words,
        "by id count scheduled planned expected deadline not earliest latest after before until delay duration offset interval",
    ) {
        return 0;
    }
    let strong = "start started starting startedat starttime startdate begin began begun beginning claimed locked picked acquired \
                  launched dequeued attempted taken leased";
    match () {
        () if any(&words, strong) => 2,
        () if any(&words, "created inserted enqueued submitted") => 1,
        () => 0,
    }
}

/// How much a name looks like one of a heartbeat: 0, 1 (it may be one) or 2.
pub(super) fn like_heartbeat(name: &str) -> u32 {
    let words = words(name);
    if any(&words, "timeout interval count id by every seconds") {
        return 0;
    }
    let joined = words.join("_");
    let strong =
        "heartbeat heart_beat last_seen lastseen last_beat last_ping last_alive last_contact keep_alive keepalive";
    match () {
        () if strong.split(' ').any(|part| joined.contains(part)) || any(&words, "beat ping pinged alive") => 2,
        () if any(&words, "updated modified touched updatedat") => 1,
        () if joined.contains("last_update") || joined.contains("last_active") => 1,
        () => 0,
    }
}

/// Whether a name looks like one of an end.
pub(super) fn like_end(name: &str) -> bool {
    let words = words(name);
    !any(&words, "by id expected")
        && any(
            &words,
            "end ended ending endtime finish finished finishedat complete completed completion stopped done terminated finalized exited",
        )
}

/// Whether a name says that its numbers are times.
pub(super) fn says_time(name: &str) -> bool {
    any(
        &words(name),
        "at time ts ms date datetime epoch timestamp millis unix on",
    )
}

/// Whether a name says that its numbers are milliseconds.
pub(super) fn says_millis(name: &str) -> bool {
    any(&words(name), "ms millis milliseconds")
}

/// Whether a table's name is one of work that is done by someone.
pub(super) fn like_work(name: &str) -> bool {
    let list = "job task run queue execution worker workflow pipeline sync import export process batch build deployment invocation \
                attempt trial backup report request activity step operation";
    let is_known = |word: &String| {
        let singular = word.strip_suffix("es").filter(|word| holds(list, word));
        let singular = singular.or_else(|| word.strip_suffix('s')).unwrap_or(word);
        // Django writes the names of its models as one word.
        let ends = ["job", "task", "queue", "execution", "workflow", "pipeline"];
        holds(list, word) || holds(list, singular) || ends.iter().any(|end| singular.ends_with(end))
    };
    words(name).iter().any(is_known)
}

/// Whether a table's name says that heartbeats are in it.
pub(super) fn of_heartbeats(name: &str) -> bool {
    like_heartbeat(&name.to_lowercase().replace("heartbeats", "heartbeat")) == 2
}

/// The place of a name among those of a job's name.
pub(super) fn rank_of_job_name(name: &str) -> Option<usize> {
    let list = "job_name task_name name workflow_name pipeline_name flow_name function_name task job pipeline workflow job_type \
                task_type type kind queue_name queue";
    let word = words(name).join("_");
    list.split_ascii_whitespace().position(|known| known == word)
}

/// Whether a value is a number of seconds or milliseconds of our time: from 2001 on.
pub(super) fn is_epoch(value: &str) -> Option<Epoch> {
    let number: f64 = value.trim().parse().ok()?;
    match number {
        _ if (1e9..1e10).contains(&number) => Some(Epoch::Seconds),
        _ if (1e12..1e13).contains(&number) => Some(Epoch::Millis),
        _ => None,
    }
}

/// What a number counts since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Epoch {
    Seconds,
    Millis,
}

/// Whether a text begins like a time: `2026-11-27`, and hours behind it.
pub(super) fn is_written_time(value: &str) -> bool {
    let shape: String = value
        .trim()
        .chars()
        .take(13)
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    shape == "0000-00-00 00" || shape == "0000-00-00T00"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_the_same_however_it_is_written() {
        for name in "last_heartbeat_at;lastHeartbeatAt;Last Heartbeat-At;LastHeartbeatAt".split(';') {
            assert_eq!(words(name).join(" "), "last heartbeat at", "{name}");
            assert_eq!(like_heartbeat(name), 2, "{name}");
        }
        assert_eq!(words("\u{1f525}\n\""), Vec::<String>::new());
    }

    #[test]
    fn names_are_told_apart_by_what_they_are_about() {
        for (name, state, start, heartbeat, end) in [
            ("state", 2, 0, 0, false),
            ("job_status", 2, 0, 0, false),
            ("statusText", 1, 0, 0, false),
            ("payment_status", 0, 0, 0, false),
            ("started_at", 0, 2, 0, false),
            ("start_time", 0, 2, 0, false),
            ("started_by", 0, 0, 0, false),
            ("scheduled_start", 0, 0, 0, false),
            ("created_at", 0, 1, 0, false),
            ("heartbeat", 0, 0, 2, false),
            ("heartbeat_interval", 0, 0, 0, false),
            ("lastSeen", 0, 0, 2, false),
            ("updated_at", 0, 0, 1, false),
            ("finished_at", 0, 0, 0, true),
            ("end", 0, 0, 0, true),
            ("id", 0, 0, 0, false),
        ] {
            let found = (like_state(name), like_start(name), like_heartbeat(name), like_end(name));
            assert_eq!(found, (state, start, heartbeat, end), "{name}");
        }
    }

    #[test]
    fn states_are_read_in_any_spelling() {
        for (state, expected) in [
            ("RUNNING", Meaning::Running),
            ("InProgress", Meaning::Running),
            ("in-progress", Meaning::Running),
            ("active", Meaning::MaybeRunning),
            ("Succeeded", Meaning::Success),
            ("FAIL", Meaning::Failure),
            ("up_for_retry", Meaning::Waiting),
            ("frobnicating", Meaning::Unknown),
            ("", Meaning::Unknown),
        ] {
            assert_eq!(meaning(state), expected, "{state}");
        }
        assert!(rank_of_failure("FAILED") < rank_of_failure("Cancelled"));
    }

    #[test]
    fn a_table_of_work_is_known_in_plural_and_at_the_end_of_a_word() {
        for name in "jobs batches process processes shop_exportjob BackgroundTasks import_runs".split(' ') {
            assert!(like_work(name), "{name}");
        }
        for name in "customers overrun jobber address taskforce".split(' ') {
            assert!(!like_work(name), "{name}");
        }
    }

    #[test]
    fn numbers_and_texts_are_times_only_if_they_can_be() {
        assert_eq!(is_epoch("1764241200"), Some(Epoch::Seconds));
        assert_eq!(is_epoch("1764241200123"), Some(Epoch::Millis));
        assert_eq!(is_epoch("1764241200.5"), Some(Epoch::Seconds));
        assert_eq!((is_epoch("42"), is_epoch("NaN"), is_epoch("soon")), (None, None, None));
        assert!(is_written_time("2026-11-27 10:00:00.123") && is_written_time("2026-11-27T10:00Z"));
        assert!(!is_written_time("2026-11-27") && !is_written_time("tomorrow"));
    }
}
