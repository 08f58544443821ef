//! The known name that was probably meant by one that is not there.

/// How many names are listed; a table of hundreds of columns would hide the hint.
const LISTED: usize = 12;
/// Longer texts are no typing mistakes, and the comparison is quadratic in the length.
const LONGEST: usize = 100;

/// The known name that differs least from `text`, if it is near enough to be meant: by at most a third of the letters. A swap
/// of neighbours counts once.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > LONGEST {
        return None;
    }
    let text = text.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&text, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.len().max(text.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `; did you mean NAME?` where a known name was probably meant, and nothing elsewhere.
pub fn did_you_mean<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(text, known).map_or_else(String::new, |meant| format!("; did you mean {meant}?"))
}

/// What is there, and which of it was probably meant: "the table has id, state, ...; did you mean `beat_on`?".
pub fn listed<'a>(wanted: &str, there: impl Iterator<Item = &'a str>, who: &str) -> String {
    let names: Vec<&str> = there.collect();
    if names.is_empty() {
        return format!("{who} none");
    }
    let mut listed = names[..names.len().min(LISTED)].join(", ");
    if names.len() > LISTED {
        listed.push_str(", ...");
    }
    match nearest(wanted, names) {
        Some(name) => format!("{who} {listed}; did you mean `{name}`?"),
        None => format!("{who} {listed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{listed, nearest};

    #[test]
    fn the_nearest_name_is_offered_and_the_list_is_cut() {
        assert_eq!(
            listed("beat_at", ["id", "state", "beat_on"].into_iter(), "the table has"),
            "the table has id, state, beat_on; did you mean `beat_on`?"
        );
        assert_eq!(
            listed("x", std::iter::empty(), "this role can see"),
            "this role can see none"
        );
        let many: Vec<String> = (0..20).map(|n| format!("zz{n}")).collect();
        assert!(listed("q", many.iter().map(String::as_str), "it has").ends_with(", ..."));
    }

    #[test]
    fn what_differs_in_more_than_a_third_is_not_meant() {
        assert_eq!(nearest("Satte", ["state", "id"]), Some("state"));
        assert_eq!(nearest("status", ["state"]), Some("state"));
        assert_eq!(nearest("phase", ["state"]), None);
        assert_eq!(nearest(&"a".repeat(101), ["a"]), None);
    }
}
