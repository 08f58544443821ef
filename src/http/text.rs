//! Texts in the page's HTML.

use crate::present::safe;

/// A name or key longer than this is cut.
const LONGEST: usize = 120;

/// A name, a key, a value of somebody else's: cut, control characters and direction marks made visible, escaped.
pub(super) fn text(raw: &str) -> String {
    escape(&safe::cut(raw, LONGEST))
}

/// The same for an error's whole chain of causes.
pub(super) fn error_text(raw: &str) -> String {
    escape(&safe::cut(raw, 1_000))
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
        assert_eq!(text(&"x".repeat(10_000)).chars().count(), LONGEST);
    }
}
