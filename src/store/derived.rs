//! Names that Beatwarden makes out of the names of tables: of guards, and of indexes. Unique for each table, and never
//! longer than a server keeps them.

use super::Identifier;
use crate::mapping::LONGEST_NAME as LONGEST;

/// A name of so many bytes stands in a derived name as it is. A longer one is cut and gets a hash of the whole, and that
/// makes a derived name longer than any that holds a whole one: the two kinds can't meet.
const WHOLE: usize = 40;
/// `_` and eight hexadecimal digits.
const HASH: usize = 9;

/// The name of something of ours that belongs to the table `of`, in the schema of that table.
pub(crate) fn derived(prefix: &str, of: &str, suffix: &str) -> Identifier {
    if of.len() <= WHOLE {
        return Identifier::made_of(format!("{prefix}{of}{suffix}"));
    }
    let room = LONGEST - HASH - prefix.len() - suffix.len();
    let whole = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, of.as_bytes());
    let hash: String = whole.simple().to_string().chars().take(HASH - 1).collect();
    Identifier::made_of(format!("{prefix}{}_{hash}{suffix}", beginning(of, room)))
}

/// The name that earlier versions would have given it, where it is another one: forty characters, whatever follows them.
pub(crate) fn formerly(prefix: &str, of: &str, suffix: &str) -> Option<Identifier> {
    let cut: String = of.chars().take(WHOLE).collect();
    let former = Identifier::new(&format!("{prefix}{cut}{suffix}")).ok()?;
    (former != derived(prefix, of, suffix)).then_some(former)
}

/// As many whole characters as fit into `room` bytes.
fn beginning(text: &str, room: usize) -> &str {
    let mut end = room.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_name_stands_as_it_is_and_has_no_former_one() {
        assert_eq!(
            derived("beatwarden_guard_", "runs", "").as_str(),
            "beatwarden_guard_runs"
        );
        assert_eq!(formerly("beatwarden_guard_", "runs", ""), None);
        assert_eq!(
            derived("", "beatwarden_repairs", "_unacknowledged").as_str(),
            "beatwarden_repairs_unacknowledged"
        );
    }

    #[test]
    fn tables_that_share_forty_characters_have_names_of_their_own() {
        let (one, other) = ("x".repeat(41), "x".repeat(42));
        assert_ne!(
            derived("beatwarden_guard_", &one, ""),
            derived("beatwarden_guard_", &other, "")
        );
        let former = formerly("beatwarden_guard_", &one, "");
        assert!(former.is_some() && former == formerly("beatwarden_guard_", &other, ""));
    }

    proptest! {
        #[test]
        fn a_derived_name_fits_in_any_script_and_is_like_no_other(one in "\\PC{1,63}", other in "\\PC{1,63}") {
            for (prefix, suffix) in [("beatwarden_guard_", ""), ("beatwarden_running_", ""), ("", "_unacknowledged"), ("", "_by_job")] {
                let name = derived(prefix, &one, suffix);
                prop_assert!(name.as_str().len() <= LONGEST, "{}", name.as_str());
                prop_assert!(one == other || name != derived(prefix, &other, suffix));
            }
        }
    }
}
