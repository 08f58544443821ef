//! The hint for a name that isn't there: what is there, and which of it was probably meant.

/// So many names are listed; a table of hundreds of columns would hide the hint.
const LISTED: usize = 12;

/// Words such as "the table has id, state, ...; did you mean `beat_on`?".
pub(crate) fn nearest<'a>(wanted: &str, there: impl Iterator<Item = &'a str>, who: &str) -> String {
    let names: Vec<&str> = there.collect();
    if names.is_empty() {
        return format!("{who} none");
    }
    let mut listed = names.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        listed.push_str(", ...");
    }
    let close = names
        .iter()
        .map(|name| {
            (
                strsim::jaro_winkler(&wanted.to_lowercase(), &name.to_lowercase()),
                *name,
            )
        })
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match close {
        Some((_, name)) => format!("{who} {listed}; did you mean `{name}`?"),
        None => format!("{who} {listed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_offered_and_the_list_is_cut() {
        assert_eq!(
            nearest("beat_at", ["id", "state", "beat_on"].into_iter(), "the table has"),
            "the table has id, state, beat_on; did you mean `beat_on`?"
        );
        assert_eq!(
            nearest("x", std::iter::empty(), "this role can see"),
            "this role can see none"
        );
        let many: Vec<String> = (0..20).map(|n| format!("zz{n}")).collect();
        assert!(nearest("q", many.iter().map(String::as_str), "it has").ends_with(", ..."));
    }
}
