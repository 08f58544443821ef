//! What a PostgreSQL URL shows of itself: all that it says but its secrets, spelt so that it is read back.
//!
//! Owns which keywords are hidden and which say nothing, and how the parts of a URL are put together again. Reads no URL.

use super::libpq::{KEYWORDS, Parts, Treatment};

/// `options` may hold any setting of the server, passwords of extensions included.
pub(super) fn is_hidden(name: &str) -> bool {
    matches!(name, "password" | "options")
}

/// What is left out says nothing to readers either.
pub(super) fn is_shown(name: &str) -> bool {
    let known = KEYWORDS.iter().find(|keyword| keyword.name == name);
    known.is_some_and(|keyword| !matches!(keyword.treatment, Treatment::Ignored | Treatment::Kept(_)))
}

/// What a URL shows of its secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    /// That they are there.
    Starred,
    /// Nothing.
    LeftOut,
}

/// A URL of these parts.
pub(super) fn shown_url(scheme: &str, parts: &Parts, secrets: Hidden) -> String {
    // SQLAlchemy takes both in a user as they are; libpq would end it there.
    let plain = |user: &str| user.replace('@', "%40").replace('?', "%3F");
    let credentials = match &parts.credentials {
        None => String::new(),
        Some((user, Some(_))) if secrets == Hidden::Starred => format!("{}:***@", plain(user)),
        Some((user, _)) => format!("{}@", plain(user)),
    };
    let is_there = |name: &str| is_shown(name) && (secrets == Hidden::Starred || !is_hidden(name));
    let shown = parts.keywords.iter().filter(|(name, _)| is_there(name));
    let keywords: Vec<String> = shown
        .map(|(name, value)| {
            let value = if is_hidden(name) {
                "***".to_owned()
            } else {
                encode(value)
            };
            format!("{name}={value}")
        })
        .collect();
    let query = if keywords.is_empty() {
        String::new()
    } else {
        format!("?{}", keywords.join("&"))
    };
    format!("{scheme}://{credentials}{}{}{query}", parts.authority, parts.path)
}

/// Writes a value so that it is read back.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~/:,*".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
