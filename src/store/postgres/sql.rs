//! How the `.sql` files become statements: what is put into them are quoted names, literals, and expressions made of such.

pub(super) use crate::store::quoted;

/// The names of a statement's parts, and what stands for them.
pub(super) type Names = Vec<(&'static str, String)>;

/// What the server says where a change would have no entry in the ledger: it stands in the error's message.
pub(super) const NO_ENTRY: &str = "the ledger took no entry";

/// A text in SQL, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// What encloses a block of code: `$tag$`, of a name that stands in none of the texts in it.
pub(super) fn tag<'a>(name: &str, texts: impl Iterator<Item = &'a str> + Clone) -> String {
    let mut tag = format!("${name}$");
    while texts.clone().any(|text| text.contains(&tag)) {
        tag.insert(tag.len() - 1, '_');
    }
    tag
}

/// First key of the advisory lock that is the gate; the second is the table's oid. The letters "BEAT".
pub(super) const GATE: i32 = 0x4245_4154;

/// A JSON object of these keys and expressions.
pub(super) fn object(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{}, {value}", literal(key)))
        .collect();
    format!("pg_catalog.jsonb_build_object({})", pairs.join(", "))
}
