//! Untrusted text in our messages: values cut and escaped.
//!
//! Owns no words of its own.

use ::config::ValueKind;

/// Longest part of a value that a message repeats; enough to recognise it.
const SHOWN_CHARS: usize = 80;

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

/// A value as a message shows it.
pub(super) fn given(value: &ValueKind) -> String {
    match value {
        ValueKind::String(text) => shown(text),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(items) => {
            let items: Vec<_> = items.iter().take(8).map(|item| given(&item.kind)).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Nil => "nothing".to_owned(),
        other => other.to_string(),
    }
}

/// Whether a text reads like a URL or its credentials, and so may hold a password.
pub(super) fn may_be_url(text: &str) -> bool {
    text.contains("://") || text.contains("password=") || like_credentials(text)
}

/// Whether a text reads like the `user:password@` of a URL; a user may have an `@`.
pub(super) fn like_credentials(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'))
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
