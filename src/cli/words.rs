//! How commands say things to a terminal: hostile texts made harmless, times both as a date and as an age.

use crate::{
    domain::{RepairId, Timestamp},
    text::is_unsafe,
};
use std::time::Duration;

/// A hostile text in a terminal: control characters and direction marks escaped, cut to its column.
pub fn cell(text: &str, width: usize) -> String {
    let plain: String = text
        .chars()
        .take(width + 1)
        .flat_map(|letter| {
            let shown: Vec<char> = if is_unsafe(letter) {
                letter.escape_unicode().collect()
            } else {
                vec![letter]
            };
            shown
        })
        .collect();
    if plain.chars().count() <= width {
        return plain;
    }
    plain.chars().take(width - 1).chain(['…']).collect()
}

/// A repair's identity as people write it.
pub fn uuid(id: RepairId) -> String {
    uuid::Uuid::from_u128(id.0).to_string()
}

/// A duration in its two largest units, whole seconds.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (name, size) in units {
        if left >= size && parts.len() < 2 {
            parts.push(format!("{}{name}", left / size));
            left %= size;
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// A point in time as a date and as its distance from `now`.
pub fn when(at: Timestamp, now: Timestamp) -> String {
    let date = date(at);
    if at <= now {
        format!("{date} ({} ago)", span(at.age_at(now)))
    } else {
        format!("{date} (in {})", span(now.age_at(at)))
    }
}

/// A point in time as a date in UTC, whole seconds.
pub fn date(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros()).map_or_else(
        |_| at.as_micros().to_string(),
        |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// What the action can and can't do for which kind of writer.
pub fn kinds(action: crate::domain::Action) -> &'static str {
    match action {
        crate::domain::Action::Observe => "action observe: stuck jobs are reported, never repaired",
        crate::domain::Action::Backfill => {
            "action backfill sets a NULL heartbeat to the start, and the writer's own stale rule frees the pipeline; where the \
             writer seeds the heartbeat itself (Meltano 3.7 and later) there is nothing to backfill; a living job that \
             blocks for longer than that rule's limit loses its protection when the same pipeline is started again"
        }
        crate::domain::Action::Fail => {
            "action fail ends the job as the writer would, and frees the pipeline at once; a living job that is failed \
             wrongly breaks, so init_deadline must be longer than any job's way to its first heartbeat"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        let of = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            [of(0), of(59), of(61), of(3_600), of(90_061)],
            ["0s", "59s", "1m 1s", "1h", "1d 1h"]
        );
    }

    #[test]
    fn times_are_both_absolute_and_relative() {
        let at = |seconds: i64| Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000);
        assert_eq!(when(at(-75), at(0)), "2027-01-15 07:58:45 UTC (1m 15s ago)");
        assert_eq!(when(at(30), at(0)), "2027-01-15 08:00:30 UTC (in 30s)");
    }
}
