//! How an error text is put into a column that may hold a writer's JSON: appended as text, every byte kept.
//!
//! Parsing and writing it again would reorder keys, turn `1e2` into `100`, and fail on the `NaN` that Python writes.
//! PostgreSQL does the same in SQL, in `postgres/error_column.rs`.

/// What the column held, and what it holds then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The kind of the old value, for the ledger: `null`, `blank`, `braces`, `object` or `other`.
    pub was: &'static str,
    /// The new value; `None` leaves the column alone.
    pub value: Option<Vec<u8>>,
}

impl Merge {
    /// Of a value that is no JSON object: the error text has no place in it.
    pub const fn left_alone() -> Self {
        Self {
            was: "other",
            value: None,
        }
    }
}

/// Merges `pair`, a JSON key and value, into what is there. Bytes, not text: a column may hold what is no UTF-8.
pub fn merge(old: Option<&[u8]>, pair: &str) -> Merge {
    let fresh = |was| Merge {
        was,
        value: Some(format!("{{{pair}}}").into_bytes()),
    };
    let Some(old) = old else {
        return fresh("null");
    };
    match trimmed(old) {
        [] => fresh("blank"),
        [b'{', inside @ .., b'}'] if trimmed(inside).is_empty() => fresh("braces"),
        [b'{', .., b'}'] => {
            let last = old
                .iter()
                .rposition(|byte| *byte == b'}')
                .expect("it ends with a brace");
            Merge {
                was: "object",
                value: Some([&old[..last], b", ", pair.as_bytes(), &old[last..]].concat()),
            }
        }
        _ => Merge::left_alone(),
    }
}

/// Takes `pair` out again, byte for byte, where it still stands as [`merge`] wrote it; `None` where it doesn't. `was` is
/// the kind of value that was there before. The value to put back may be NULL.
#[expect(
    clippy::option_option,
    reason = "whether there is a value to put back, and that value, which may be NULL"
)]
pub fn unmerge(now: &[u8], was: &str, pair: &str) -> Option<Option<Vec<u8>>> {
    let whole = format!("{{{pair}}}");
    if now == whole.as_bytes() {
        return Some(match was {
            "null" => None,
            "blank" => Some(Vec::new()),
            _ => Some(b"{}".to_vec()),
        });
    }
    // A writer that parses the column and writes it again may have put its own keys behind ours.
    [format!(", {pair}"), format!("{pair}, ")]
        .into_iter()
        .find_map(|written| {
            let written = written.as_bytes();
            let at = now.windows(written.len()).rposition(|window| window == written)?;
            Some(Some([&now[..at], &now[at + written.len()..]].concat()))
        })
}

/// Without the white space around it, as JSON has it.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let is_content = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    match (bytes.iter().position(is_content), bytes.iter().rposition(is_content)) {
        (Some(first), Some(last)) => &bytes[first..=last],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            let merge = merge(old.map(str::as_bytes), PAIR);
            assert_eq!(
                (merge.was, merge.value.as_deref()),
                (was, Some(&b"{\"error\": \"x\"}"[..])),
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
            let merge = merge(Some(old.as_bytes()), PAIR);
            let new = String::from_utf8(merge.value.expect("an object")).expect("text as it was");
            assert_eq!(merge.was, "object");
            assert_eq!(new.replacen(", \"error\": \"x\"", "", 1), old);
        }
    }

    #[test]
    fn what_was_merged_is_taken_out_byte_for_byte() {
        for old in [r#"{"a": 1e2, "b": NaN}"#, "{\"ü\": \"}\"}\n", " {\"a\": {}} "] {
            let merged = merge(Some(old.as_bytes()), PAIR);
            let new = merged.value.expect("an object");
            assert_eq!(unmerge(&new, merged.was, PAIR), Some(Some(old.as_bytes().to_vec())));
        }
        for (old, back) in [(None, None), (Some(" "), Some("")), (Some(" {}"), Some("{}"))] {
            let merged = merge(old.map(str::as_bytes), PAIR);
            let new = merged.value.expect("an object");
            let back = back.map(|text| text.as_bytes().to_vec());
            assert_eq!(unmerge(&new, merged.was, PAIR), Some(back), "{old:?}");
        }
    }

    #[test]
    fn keys_that_the_writer_added_stay() {
        let now = "{\"error\": \"x\", \"a\": 1}";
        assert_eq!(
            unmerge(now.as_bytes(), "null", PAIR),
            Some(Some(b"{\"a\": 1}".to_vec()))
        );
    }

    #[test]
    fn a_text_that_was_changed_since_stays() {
        for (now, was) in [("{\"error\":\"x\"}", "null"), ("{\"a\": 1}", "object"), ("", "object")] {
            assert_eq!(unmerge(now.as_bytes(), was, PAIR), None, "{now}");
        }
    }

    #[test]
    fn anything_else_is_left_alone() {
        for old in ["null", "[1]", "{", "}", "text", "{\"a\": 1} trailing"] {
            assert_eq!(merge(Some(old.as_bytes()), PAIR), Merge::left_alone(), "{old}");
        }
    }

    proptest! {
        #[test]
        fn whatever_bytes_are_there_come_back(old in proptest::collection::vec(prop_oneof![
            any::<u8>(),
            proptest::sample::select(b"{}{} \n\t,\"".to_vec()),
        ], 0..60)) {
            let merged = merge(Some(&old), PAIR);
            let Some(new) = merged.value else {
                prop_assert_eq!(merged.was, "other");
                return Ok(());
            };
            let back = match merged.was {
                "blank" => Vec::new(),
                "braces" => b"{}".to_vec(),
                _ => old,
            };
            prop_assert_eq!(unmerge(&new, merged.was, PAIR), Some(Some(back)));
        }

        #[test]
        fn whatever_became_of_the_column_is_taken_out_or_left(now in any::<Vec<u8>>(), was in "null|blank|braces|object|other") {
            // What is given back is never more than was there.
            if let Some(Some(back)) = unmerge(&now, &was, PAIR) {
                prop_assert!(back.len() < now.len(), "{back:?} out of {now:?}");
            }
        }
    }
}
