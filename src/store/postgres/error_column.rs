//! The expressions that add the error text to its column and take it out again, byte for byte. $18 to $20 are the text's pair,
//! the text and its key in a repair; $15 to $17 are the same in an undo, whose $13 is the image before.

use super::catalog::Column;

/// White space as JSON has it.
const BLANK: &str = r"E' \t\n\r'";

/// Characters of both ends of a long text, and bytes from which it is one, so that the ends are apart: to trim ten megabytes
/// takes half a second, with the row locked.
const WINDOW: u32 = 1_000;
const LONG: u32 = 16_000;

/// The error column with the error text in it; every byte that was there stays.
pub(super) fn error_value(error: &Column) -> String {
    if error.is_jsonb() {
        let column = error.target();
        return format!(
            "CASE WHEN {column} IS NULL OR pg_catalog.jsonb_typeof({column}) OPERATOR(pg_catalog.=) 'object' \
             THEN coalesce({column}, '{{}}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) \
             pg_catalog.jsonb_build_object($20::pg_catalog.text, $19::pg_catalog.text) ELSE {column} END"
        );
    }
    let column = error_as_text(error);
    let end = format!("pg_catalog.right({column}, {WINDOW})");
    // Counted from the end: the last brace, which is the last of what is no white space.
    let brace = format!(
        "pg_catalog.strpos(pg_catalog.reverse(CASE WHEN pg_catalog.rtrim({end}, {BLANK}) OPERATOR(pg_catalog.=) '' \
         THEN {column} ELSE {end} END), '}}')"
    );
    let merged = format!(
        "CASE WHEN {kind} OPERATOR(pg_catalog.=) 'object' \
         THEN pg_catalog.concat(pg_catalog.left({column}, 0 OPERATOR(pg_catalog.-) {brace}), ', ', $18::pg_catalog.text, pg_catalog.right({column}, {brace})) \
         WHEN {kind} OPERATOR(pg_catalog.=) 'other' THEN {column} ELSE pg_catalog.concat('{{', $18::pg_catalog.text, '}}') END",
        kind = error_kind(error)
    );
    match error.longest {
        // A text that doesn't fit must not keep the job from being ended.
        Some(longest) => format!(
            "CASE WHEN pg_catalog.length({merged}) OPERATOR(pg_catalog.<=) {longest} THEN {merged} ELSE {column} END"
        ),
        None => merged,
    }
}

/// The error column as a text, where it is not `jsonb`.
fn error_as_text(error: &Column) -> String {
    format!("{}::pg_catalog.text", error.target())
}

/// Which kind of value the error column had: `before` keeps it, so that undo knows what to put back.
pub(super) fn error_kind(error: &Column) -> String {
    if error.is_jsonb() {
        return format!("coalesce(pg_catalog.jsonb_typeof({}), 'null')", error.target());
    }
    let column = error_as_text(error);
    let trimmed = format!("pg_catalog.btrim({column}, {BLANK})");
    let (start, end) = (
        format!("pg_catalog.left({column}, {WINDOW})"),
        format!("pg_catalog.right({column}, {WINDOW})"),
    );
    let differs = "OPERATOR(pg_catalog.<>)";
    let like = "OPERATOR(pg_catalog.~~)";
    // Of a long text both ends are enough, unless they are nothing but braces and white space.
    let ends_suffice = format!(
        "pg_catalog.octet_length({column}) OPERATOR(pg_catalog.>) {LONG} \
         AND pg_catalog.btrim({start}, E'{{ \\t\\n\\r') {differs} '' AND pg_catalog.rtrim({end}, {BLANK}) {differs} ''"
    );
    let by_ends = format!(
        "CASE WHEN pg_catalog.ltrim({start}, {BLANK}) {like} '{{%' AND pg_catalog.rtrim({end}, {BLANK}) {like} '%}}' \
         THEN 'object' ELSE 'other' END"
    );
    let bare = format!("pg_catalog.replace(pg_catalog.replace({trimmed}, '{{', ''), '}}', '')");
    // Nothing but one pair of braces and white space.
    let is_empty = format!(
        "pg_catalog.btrim({trimmed}, E'{{}} \\t\\n\\r') OPERATOR(pg_catalog.=) '' \
         AND (pg_catalog.length({trimmed}) OPERATOR(pg_catalog.-) pg_catalog.length({bare})) OPERATOR(pg_catalog.=) 2"
    );
    format!(
        "(CASE WHEN {column} IS NULL THEN 'null' WHEN {ends_suffice} THEN {by_ends} \
         WHEN {trimmed} OPERATOR(pg_catalog.=) '' THEN 'blank' \
         WHEN {trimmed} {like} '{{%}}' THEN CASE WHEN {is_empty} THEN 'braces' ELSE 'object' END ELSE 'other' END)"
    )
}

/// What the error column held before the repair, as the before-image has it.
const WAS: &str =
    "($13::pg_catalog.text::pg_catalog.jsonb OPERATOR(pg_catalog.->>) 'error_was') OPERATOR(pg_catalog.=)";
/// The pair as it was added to others, and as a writer that parses the column and writes it again may have put it.
const BEHIND: &str = "pg_catalog.concat(', ', $15::pg_catalog.text)";
const BEFORE: &str = "pg_catalog.concat($15::pg_catalog.text, ', ')";

/// Whether a text is in the error column.
fn holds(column: &str, text: &str) -> String {
    format!("pg_catalog.strpos({column}, {text}) OPERATOR(pg_catalog.>) 0")
}

/// Whether the error text is there as it was written.
pub(super) fn error_there(error: &Column) -> String {
    if error.is_jsonb() {
        let column = error.target();
        return format!(
            "pg_catalog.jsonb_typeof({column}) OPERATOR(pg_catalog.=) 'object' \
             AND ({column} OPERATOR(pg_catalog.->>) $17::pg_catalog.text) OPERATOR(pg_catalog.=) $16::pg_catalog.text"
        );
    }
    let column = error_as_text(error);
    format!(
        "coalesce({} OR {} OR {column} OPERATOR(pg_catalog.=) pg_catalog.concat('{{', $15::pg_catalog.text, '}}'), false)",
        holds(&column, BEHIND),
        holds(&column, BEFORE),
    )
}

/// The error column with the error text taken out byte for byte; a column that no longer has it as it was written stays.
pub(super) fn without_error(error: &Column) -> String {
    let there = error_there(error);
    let column = error.target();
    let removed = if error.is_jsonb() {
        let without = format!("({column} OPERATOR(pg_catalog.-) $17::pg_catalog.text)");
        format!(
            "CASE WHEN {WAS} 'null' AND {without} OPERATOR(pg_catalog.=) '{{}}'::pg_catalog.jsonb THEN NULL ELSE {without} END"
        )
    } else {
        let column = error_as_text(error);
        format!(
            "CASE WHEN {} THEN pg_catalog.replace({column}, {BEHIND}, '') \
             WHEN {} THEN pg_catalog.replace({column}, {BEFORE}, '') \
             WHEN {WAS} 'null' THEN NULL WHEN {WAS} 'blank' THEN '' ELSE '{{}}' END",
            holds(&column, BEHIND),
            holds(&column, BEFORE),
        )
    };
    format!("CASE WHEN {there} THEN {removed} ELSE {column} END")
}
