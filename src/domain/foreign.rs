//! Texts that others wrote, such as the messages of a database: how much of them is kept in errors and in the log.

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
}
