//! The indexes that a ledger is read by, and what one of an earlier version lacks of them. Without them everything is right, and
//! a long ledger is read more slowly.

use super::{Identifier, derived};

/// What the log says where they can't be made.
pub(super) const KEEPS_ITS_INDEXES: &str = "the ledger keeps the indexes of an earlier version, which is right but slower; \
                                            `beatwarden check` prints the statements that make those of this one";

/// The names of a ledger's indexes, each with its place in `ledger_create.sql`. Where the last one is, all are: it is made last.
pub(super) fn index_names(ledger: &Identifier) -> [(&'static str, Identifier); 4] {
    [
        ("ledger_by_time", "_table_time"),
        ("ledger_by_job", "_table_job"),
        ("ledger_unacknowledged", "_table_unacknowledged"),
        ("ledger_late", "_table_late"),
    ]
    .map(|(place, suffix)| (place, derived("", ledger.as_str(), suffix)))
}

/// The statements of `ledger_create.sql` that make indexes, each whole.
pub(super) fn ledger_indexes(ledger_create: &str) -> impl Iterator<Item = &str> {
    let first = ledger_create.find("CREATE INDEX").unwrap_or(ledger_create.len());
    let statements = ledger_create[first..]
        .split(";\n")
        .map(|sql| sql.trim().trim_end_matches(';'));
    statements.filter(|sql| !sql.is_empty())
}

/// These statements as a person runs them, each in a line.
pub(super) fn to_be_run(ledger_create: &str) -> Vec<String> {
    let in_a_line = |sql: &str| sql.split_whitespace().collect::<Vec<_>>().join(" ") + ";";
    ledger_indexes(ledger_create).map(in_a_line).collect()
}
