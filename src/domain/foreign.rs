//! Texts that others wrote, such as the messages of a database: how much of them is kept in errors and in the log.

use std::error::Error;

/// A foreign text is cut after so many bytes.
pub const LONGEST_FOREIGN: usize = 1_000;

/// The beginning of a foreign text, cut between two characters, and how long it was.
pub fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    format!(
        "{}... ({} bytes)",
        &text[..text.floor_char_boundary(longest)],
        text.len()
    )
}

/// An error and its sources in one line, each source cut, and left out where it says again what was said.
pub fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let part = cut(&source.to_string(), LONGEST_FOREIGN);
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_two_characters() {
        let text = "é".repeat(5_000);
        let cut = cut(&text, 1_001);
        assert!(cut.len() < 1_100 && cut.ends_with("é... (10000 bytes)"), "{cut}");
        assert_eq!(super::cut("short", 5), "short");
    }

    #[derive(Debug)]
    struct Failed(String, Option<Box<Failed>>);

    impl std::fmt::Display for Failed {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl Error for Failed {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|source| source as &(dyn Error + 'static))
        }
    }

    #[test]
    fn an_error_is_said_with_its_sources_each_once() {
        let chain = ["connecting", "refused", "connecting", "port 1"];
        let chain = chain
            .into_iter()
            .rev()
            .fold(None, |source, text| Some(Box::new(Failed(text.to_owned(), source))));
        assert_eq!(in_full(&*chain.unwrap()), "connecting: refused: port 1");
    }
}
