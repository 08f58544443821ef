//! How the page says things: hostile texts made harmless, durations, instants and counts in words.

use crate::{domain::Timestamp, store::rfc3339, text::is_unsafe};
use std::time::Duration;

/// A name or key longer than this is cut.
const LONGEST: usize = 120;

/// A name, a key, a value of somebody else's: cut, control characters and direction marks made visible, escaped.
pub(super) fn text(raw: &str) -> String {
    cut(raw, LONGEST)
}

/// The same for an error's whole chain of causes.
pub(super) fn error_text(raw: &str) -> String {
    cut(raw, 1_000)
}

fn cut(raw: &str, longest: usize) -> String {
    let mut shown = String::new();
    for (index, letter) in raw.chars().enumerate() {
        if index == longest {
            shown.push('…');
            break;
        }
        if is_unsafe(letter) {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    escape(&shown)
}

/// A text of our own, or one that has to be shown whole.
pub(super) fn escape(raw: &str) -> String {
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
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |first: u64, unit: &str, second: u64, smaller: &str| match second {
        0 => format!("{first} {unit}"),
        _ => format!("{first} {unit} {second} {smaller}"),
    };
    match seconds {
        0 if duration.is_zero() => "0 s".to_owned(),
        0 => format!("{} ms", duration.as_millis().max(1)),
        1..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A duration in its largest unit, for sentences.
pub(super) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// When something is, seen from `now`.
pub(super) fn relative(when: Timestamp, now: Timestamp) -> String {
    if when > now {
        format!("in {}", span(now.age_at(when)))
    } else {
        "now".to_owned()
    }
}

/// Date and time in UTC, whole seconds.
pub(super) fn clock(at: Timestamp) -> String {
    rfc3339(at)
        .chars()
        .take(19)
        .map(|letter| if letter == 'T' { ' ' } else { letter })
        .collect()
}

/// A count with its thousands apart.
pub(super) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A ratio in percent; one that is not whole never reads as 100 %.
pub(super) fn percent(ratio: f64) -> String {
    let percent = (ratio * 1000.0).floor() / 10.0;
    if percent.fract() == 0.0 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
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
    fn spans_are_told_in_two_units_and_roughly_in_one() {
        let told = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            [told(59), told(60), told(61), told(3_660), told(90_000)],
            ["59 s", "1 min", "1 min 1 s", "1 h 1 min", "1 d 1 h"]
        );
        let roughly = |seconds| rough(Duration::from_secs(seconds));
        assert_eq!(
            [roughly(59), roughly(854), roughly(90_000), roughly(200_000)],
            ["59 s", "14 min", "25 h", "2 d"]
        );
    }

    #[test]
    fn a_single_failure_among_many_is_not_rounded_away() {
        assert_eq!(
            [percent(1.0), percent(0.99999), percent(0.5), percent(0.0)],
            ["100 %", "99.9 %", "50 %", "0 %"]
        );
        assert_eq!(
            [number(0), number(999), number(100_000), number(1_234_567)],
            ["0", "999", "100,000", "1,234,567"]
        );
    }
}
