//! How an error text is put into a column that may hold somebody's JSON: appended as text, every byte kept.
//!
//! Parsing and writing it anew would reorder keys, turn `1e2` into `100`, and fail on the `NaN` that Python writes.
//! PostgreSQL does the same in SQL, in `postgres/render.rs`.

/// What the column held, and what it holds then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The kind of the old value, for the ledger: `null`, `blank`, `braces`, `object` or `other`.
    pub was: &'static str,
    /// The new value; `None` leaves the column alone.
    pub value: Option<String>,
}

/// White space as JSON has it.
const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];

/// Merges `pair`, a JSON key and value, into what is there.
pub fn merge(old: Option<&str>, pair: &str) -> Merge {
    let Some(old) = old else {
        return Merge {
            was: "null",
            value: Some(format!("{{{pair}}}")),
        };
    };
    let trimmed = old.trim_matches(BLANK);
    if trimmed.is_empty() {
        return Merge {
            was: "blank",
            value: Some(format!("{{{pair}}}")),
        };
    }
    let inner = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let last = old.rfind('}');
    match (inner, last) {
        (Some(inner), _) if inner.trim_matches(BLANK).is_empty() => Merge {
            was: "braces",
            value: Some(format!("{{{pair}}}")),
        },
        (Some(_), Some(last)) => Merge {
            was: "object",
            value: Some(format!("{}, {pair}{}", &old[..last], &old[last..])),
        },
        _ => Merge {
            was: "other",
            value: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: &str = "\"error\": \"x\"";

    #[test]
    fn nothing_blanks_and_empty_braces_become_an_object() {
        for (old, was) in [
            (None, "null"),
            (Some(""), "blank"),
            (Some(" \n\t"), "blank"),
            (Some("{}"), "braces"),
            (Some(" { \n} "), "braces"),
        ] {
            let merge = merge(old, PAIR);
            assert_eq!(
                (merge.was, merge.value.as_deref()),
                (was, Some("{\"error\": \"x\"}")),
                "{old:?}"
            );
        }
    }

    #[test]
    fn an_object_keeps_every_byte() {
        for old in [
            r#"{"a": 1e2, "b": NaN, "c": {"d": {}}}"#,
            "{\"ü\": \"}\"}\n",
            r#"{"x": "\u0000"}"#,
        ] {
            let merge = merge(Some(old), PAIR);
            let new = merge.value.expect("an object");
            assert_eq!(merge.was, "object");
            assert_eq!(new.replacen(", \"error\": \"x\"", "", 1), old);
        }
    }

    #[test]
    fn anything_else_is_left_alone() {
        for old in ["null", "[1]", "{", "}", "text", "{\"a\": 1} trailing"] {
            assert_eq!(
                merge(Some(old), PAIR),
                Merge {
                    was: "other",
                    value: None
                },
                "{old}"
            );
        }
    }
}
