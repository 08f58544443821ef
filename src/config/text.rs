//! Texts of strangers in our messages: the nearest known word, and values cut and escaped.
//!
//! Owns no words of its own.

/// Longest part of a value that a message repeats; enough to recognise it.
const SHOWN_CHARS: usize = 80;

/// The known word that differs least from `text`, if it is near enough to be meant.
pub(super) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer texts are no typing mistakes, and the distance is quadratic in the length.
    if text.len() > 100 {
        return None;
    }
    let text = text.to_lowercase();
    known
        .into_iter()
        .map(|word| (distance(&text, word), word))
        .filter(|(distance, word)| *distance <= (word.len().max(text.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Edits (insert, delete, replace, swap of neighbours) between two texts: optimal string alignment.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.to_lowercase().chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

/// A value as a message shows it: quoted, control characters escaped, cut, and hidden where it looks like a URL with
/// a password that was put under the wrong key.
pub(super) fn shown(text: &str) -> String {
    if may_be_url(text) {
        return "***".to_owned();
    }
    let cut: String = text.chars().take(SHOWN_CHARS).collect();
    let ellipsis = if cut.len() < text.len() { "..." } else { "" };
    format!("{cut:?}{ellipsis}")
}

fn may_be_url(text: &str) -> bool {
    text.contains("://") || text.contains("password=") || like_credentials(text)
}

/// Whether a text reads like the `user:password@` of a URL.
pub(super) fn like_credentials(text: &str) -> bool {
    text.split_once('@').is_some_and(|(before, _)| before.contains(':'))
}

/// A key as a message shows it: as [`printable`] does, and hidden where it is no key at all.
pub(super) fn shown_key(text: &str) -> String {
    match may_be_url(text) {
        true => "***".to_owned(),
        // A key of nothing, or of blanks: without quotes a message would name nothing.
        false if text.trim().is_empty() => format!("\"{}\"", printable(text)),
        false => printable(text),
    }
}

/// The text with every character that is neither letter, digit, blank nor visible ASCII written as `\u{...}`, so that
/// it can't move the cursor, break a line or turn the direction of writing.
pub(super) fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ' {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
        out
    })
}
