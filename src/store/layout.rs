//! What a ledger of an earlier version lacks: the indexes that this version reads it by. Without them everything is right, and
//! a long ledger is read more slowly.

/// What the log says where they can't be made.
pub(super) const KEEPS_ITS_INDEXES: &str = "the ledger keeps the indexes of an earlier version, which is right but slower; \
                                            `beatwarden check` prints the statements that make those of this one";

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
