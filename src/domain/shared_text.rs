//! A text that many rows share, such as a name or a state.

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

/// A text that is kept once, however many rows have it. It is behind a thin pointer, so it takes one word in each of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharedText(Arc<Box<str>>);

impl SharedText {
    /// How many places share it.
    pub fn places(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

impl From<&str> for SharedText {
    fn from(text: &str) -> Self {
        Self(Arc::new(text.into()))
    }
}

impl From<String> for SharedText {
    fn from(text: String) -> Self {
        Self(Arc::new(text.into()))
    }
}

impl Deref for SharedText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for SharedText {
    fn borrow(&self) -> &str {
        self
    }
}

impl fmt::Display for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_text_is_found_by_its_letters_and_knows_how_many_places_share_it() {
        let name = SharedText::from("name");
        let kept = HashSet::from([name.clone()]);
        assert_eq!(kept.get("name").map(SharedText::places), Some(2));
        assert!(!kept.contains("another"));
        drop(name);
        assert_eq!(kept.get("name").map(SharedText::places), Some(1));
    }
}
