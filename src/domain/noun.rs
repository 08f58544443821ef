//! What people call a job of the watched system: a trial, a flow run. Everything that people read about it says so.

use std::{borrow::Cow, fmt, sync::Arc};

/// The word for a job, in the singular: letters, spaces and hyphens, so it is harmless wherever it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct Noun(Arc<str>);

impl Noun {
    /// More characters would fill a heading.
    pub const LONGEST: usize = 30;

    /// The word, if it can be one.
    pub fn new(word: &str) -> Option<Self> {
        let is_plain = |letter: char| letter.is_alphabetic() || letter == ' ' || letter == '-';
        let ends_in_letters = word.starts_with(char::is_alphabetic) && word.ends_with(char::is_alphabetic);
        let fits = word.chars().count() <= Self::LONGEST && word.chars().all(is_plain);
        (ends_in_letters && fits).then(|| Self(word.into()))
    }

    /// One of them.
    pub fn one(&self) -> &str {
        &self.0
    }

    /// Several of them, by the rule of English.
    pub fn many(&self) -> String {
        let word = self.one();
        let before_y = word.strip_suffix('y').filter(|stem| !stem.ends_with(is_vowel));
        match before_y {
            Some(stem) => format!("{stem}ies"),
            None if ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end)) => format!("{word}es"),
            None => format!("{word}s"),
        }
    }

    /// The word behind a count.
    pub fn of(&self, count: u64) -> Cow<'_, str> {
        match count {
            1 => Cow::Borrowed(self.one()),
            _ => Cow::Owned(self.many()),
        }
    }

    /// Words of our own with their places filled: `{job}`, `{jobs}`, `{a job}` and `{A job}`.
    pub fn say(&self, words: &str) -> String {
        let article = if self.one().starts_with(is_vowel) { "n" } else { "" };
        words
            .replace("{job}", self.one())
            .replace("{jobs}", &self.many())
            .replace("{a job}", &format!("a{article} {self}"))
            .replace("{A job}", &format!("A{article} {self}"))
    }
}

fn is_vowel(letter: char) -> bool {
    "aeiouAEIOU".contains(letter)
}

impl Default for Noun {
    fn default() -> Self {
        Self("job".into())
    }
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.one())
    }
}

/// As it is written in the configuration.
impl fmt::Debug for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.one(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_takes_any_word_for_a_job() {
        let said = [
            "job",
            "execution",
            "task instance",
            "DAG run",
            "query",
            "batch",
            "process",
            "relay",
        ]
        .map(|word| {
            Noun::new(word)
                .unwrap()
                .say("{A job} of two {jobs} is {a job}, a {job}")
        });
        assert_eq!(
            said,
            [
                "A job of two jobs is a job, a job",
                "An execution of two executions is an execution, a execution",
                "A task instance of two task instances is a task instance, a task instance",
                "A DAG run of two DAG runs is a DAG run, a DAG run",
                "A query of two queries is a query, a query",
                "A batch of two batches is a batch, a batch",
                "A process of two processes is a process, a process",
                "A relay of two relays is a relay, a relay",
            ]
        );
    }

    #[test]
    fn a_word_is_of_letters() {
        for odd in [
            "",
            " ",
            "job ",
            "-",
            "<b>",
            "{job}",
            "run\n",
            "a\u{202e}b",
            "42",
            &"x".repeat(31),
        ] {
            assert_eq!(Noun::new(odd), None, "{odd:?}");
        }
        assert!(Noun::new("Übertragung").is_some());
    }

    #[test]
    fn a_count_of_one_is_followed_by_one_and_the_longest_word_has_thirty_letters() {
        let noun = Noun::new(&"x".repeat(Noun::LONGEST)).unwrap();
        assert_eq!(noun.one().len(), 30);
        let run = Noun::new("run").unwrap();
        assert_eq!(
            [0, 1, 2].map(|count| run.of(count).into_owned()),
            ["runs", "run", "runs"]
        );
        assert!(Noun::new("run-").is_none() && Noun::new("-run").is_none());
    }
}
