//! Texts of others made harmless for a terminal, a log and a page. Owns which characters are not shown as they are, and
//! where a text is cut.

use std::borrow::Cow;

/// Whether a character moves the cursor, breaks a line, turns the direction of writing or can't be seen: all controls (C0,
/// DEL, C1), both separators of Unicode, marks and isolates of direction, and format characters without a shape. The
/// joiners of Persian, of Indic scripts and of emoji stay: they change how a word is drawn, and nothing else.
pub fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A text as one line: every unsafe character as `\u{...}`, line breaks included.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe, |letter, to| to.extend(letter.escape_unicode()))
}

/// A text as one line of at most `longest` characters; where it was longer it ends with an ellipsis.
pub fn cut(text: &str, longest: usize) -> String {
    // More of it can't be shown: an unsafe character only takes more room.
    let end = text.char_indices().nth(longest + 1).map_or(text.len(), |(end, _)| end);
    let shown = line(&text[..end]);
    match shown.char_indices().nth(longest) {
        None => shown.into_owned(),
        Some(_) => shown.chars().take(longest - 1).chain(['…']).collect(),
    }
}

/// A document of JSON as it is, but with unsafe characters as `\uXXXX`. They stand within its strings only, where that
/// means the same; line breaks between values stay.
pub fn json(document: &str) -> Cow<'_, str> {
    escaped(
        document,
        |letter| letter != '\n' && is_unsafe(letter),
        |letter, to| {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                to.push_str(&format!("\\u{unit:04x}"));
            }
        },
    )
}

fn escaped(text: &str, is_unsafe: impl Fn(char) -> bool, write: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_unsafe(letter) {
            write(letter, &mut shown);
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_the_cursor_or_turns_the_text_is_written_out() {
        assert_eq!(
            line("x\n  ok   fine\x1b]0;a\x07\u{9b}2J\x7f"),
            "x\\u{a}  ok   fine\\u{1b}]0;a\\u{7}\\u{9b}2J\\u{7f}"
        );
        let marks =
            "\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}\u{e0041}";
        for letter in "\0\t\r\u{85}".chars().chain(marks.chars()) {
            assert_eq!(line(&letter.to_string()), letter.escape_unicode().to_string());
        }
        let harmless = "Grüße, мир, 世界, می\u{200c}خواهم, 👩\u{200d}🚒 \\u{1b} \"'";
        assert!(matches!(line(harmless), Cow::Borrowed(text) if text == harmless));
    }

    #[test]
    fn a_text_that_is_cut_keeps_its_room() {
        assert_eq!(
            (cut("short", 5), cut("longer", 5)),
            ("short".to_owned(), "long…".to_owned())
        );
        assert_eq!(cut("a\nb\u{202e}c", 100), "a\\u{a}b\\u{202e}c");
        assert_eq!(cut("\u{202e}", 5), "\\u{2…");
        assert_eq!(cut(&"é".repeat(10_000), 120).chars().count(), 120);
    }

    #[test]
    fn a_document_means_the_same_and_has_nothing_unsafe() {
        let value = serde_json::json!({"name": "a\u{1b}\u{9b}\u{202e}\u{2028}\u{e0041}\n", "n": 1});
        let document = format!("{value:#}");
        let shown = json(&document);
        assert!(
            shown.chars().all(|letter| letter == '\n' || !is_unsafe(letter)),
            "{shown}"
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
    }
}
