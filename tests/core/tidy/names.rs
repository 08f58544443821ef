//! Statements name the schema of every operator, function, type and catalog that they use: what is found by the search path can
//! be someone else's, and would run with our rights.

use super::{files, root};
use std::{fs, path::Path};

/// Scripts that people read and run, and bodies of functions with a path of their own: only built-in types are compared in
/// them, under a path that has built-in things alone.
const SCRIPTS: [&str; 9] = [
    "grants_ledger.sql",
    "guard_body.sql",
    "guard_body_former.sql",
    "guard_disarm.sql",
    "guard_function.sql",
    "guard_owner.sql",
    "guard_retire.sql",
    "guard_trigger.sql",
    "index_advice.sql",
];
/// Sources that make parts of statements.
const SOURCES: [&str; 4] = ["catalog.rs", "error_column.rs", "render.rs", "undo.rs"];
/// Words before a parenthesis that are part of the grammar, which no one can define.
const GRAMMAR: [&str; 10] = [
    "all", "any", "array", "coalesce", "exists", "extract", "filter", "in", "least", "values",
];
/// Types that the grammar itself maps to the built-in ones.
const KEYWORD_TYPES: [&str; 4] = ["boolean", "double precision", "integer", "smallint"];

/// The text without comments, literals, quoted names and placeholders, all of which become blank or a plain word.
fn bare(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut bare = String::new();
    let mut rest = text.as_str();
    let ends = [("/*", "*/"), ("'", "'"), ("\"", "\""), ("OPERATOR(", ")"), ("{", "}")];
    while let Some(letter) = rest.chars().next() {
        if let Some((start, end)) = ends.iter().find(|(start, _)| rest.starts_with(start)) {
            let inside = &rest[start.len()..];
            let length = inside.find(end).map_or(inside.len(), |at| at + end.len());
            let named = *start == "OPERATOR(" && inside.starts_with("pg_catalog.");
            bare.push_str(match *start {
                "OPERATOR(" if !named => " = ",
                "{" | "\"" => "x",
                _ => " ",
            });
            rest = &inside[length..];
            // The second brace of a placeholder of a file.
            rest = if *start == "{" {
                rest.strip_prefix('}').unwrap_or(rest)
            } else {
                rest
            };
        } else {
            bare.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    bare
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || "_$".contains(letter)
}

/// What in a statement is found by the search path.
fn found_by_the_path(statement: &str) -> Vec<String> {
    let bare = bare(statement);
    let mut found = Vec::new();
    for (at, _) in bare.match_indices('(') {
        let before = &bare[..at];
        let name = before.rsplit(|letter| !is_name(letter)).next().unwrap_or_default();
        let ahead = &before[..before.len() - name.len()];
        let is_alias = ahead.ends_with("AS ");
        let is_function = !name.is_empty() && name != "x" && !ahead.ends_with("pg_catalog.") && !is_alias;
        if is_function && !GRAMMAR.contains(&name.to_lowercase().as_str()) {
            found.push(format!("function {name}"));
        }
    }
    for (at, _) in bare.match_indices("::") {
        let ty = &bare[at + 2..];
        let is_named = ty.starts_with("pg_catalog.") || ty.starts_with('x');
        if !is_named && !KEYWORD_TYPES.iter().any(|known| ty.starts_with(known)) {
            found.push(format!("type {}", ty.split_whitespace().next().unwrap_or_default()));
        }
    }
    let words: Vec<&str> = bare.split_whitespace().collect();
    for (place, word) in words.iter().enumerate() {
        let (last, next) = (
            place.checked_sub(1).map_or("", |last| words[last]),
            words.get(place + 1).copied().unwrap_or_default(),
        );
        let assigned = *word == "="
            && (words[..place].iter().rev().take(2).any(|word| *word == "SET")
                || place == 1
                || last.starts_with("outcome_at"));
        let operators = [
            "=", "<>", "!=", "<", ">", "<=", ">=", "||", "~", "~~", "->", "->>", "+", "-", "*", "/", "&", "|", "%",
        ];
        if operators.contains(word) && !assigned {
            found.push(format!("operator {last} {word} {next}"));
        }
        let by_operator = matches!(
            *word,
            "BETWEEN" | "LIKE" | "ILIKE" | "DISTINCT" | "IN" | "NULLIF" | "SIMILAR"
        ) && !(*word == "DISTINCT" && last == "SELECT");
        if by_operator || *word == "CASE" && next != "WHEN" {
            found.push(format!("operator of {word}"));
        }
        let source = matches!(*word, "FROM" | "JOIN") && next.starts_with("pg_") && !next.starts_with("pg_catalog.");
        if source {
            found.push(format!("relation {next}"));
        }
    }
    found
}

/// The texts in a source, without its comments and tests.
fn literals(source: &str) -> Vec<String> {
    let code: Vec<&str> = super::without_tests(source)
        .lines()
        .filter(|line| !line.trim_start().starts_with("//") && !line.contains("include_str!"))
        .collect();
    let code = code.join("\n").replace("'\"'", "");
    let mut texts = vec![String::new()];
    let mut letters = code.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => texts.push(String::new()),
            // What is escaped is no end of a text.
            '\\' => drop(letters.next()),
            _ => texts.last_mut().expect("never empty").push(letter),
        }
    }
    texts.into_iter().skip(1).step_by(2).collect()
}

fn name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

#[test]
fn statements_for_postgresql_find_nothing_by_the_search_path() {
    let folder = root().join("src/store/postgres");
    let mut found = Vec::new();
    let mut statements = Vec::new();
    files(&folder.join("sql"), "sql", &mut statements);
    assert!(statements.len() > 30);
    for path in statements.iter().filter(|path| !SCRIPTS.contains(&name(path).as_str())) {
        let text = fs::read_to_string(path).expect("a readable statement");
        found.extend(
            found_by_the_path(&text)
                .into_iter()
                .map(|what| format!("{}: {what}", name(path))),
        );
    }
    for source in SOURCES {
        let text = fs::read_to_string(folder.join(source)).expect("a readable source");
        for literal in literals(&text)
            .iter()
            .filter(|literal| literal.contains("pg_catalog") || literal.contains("::"))
        {
            found.extend(
                found_by_the_path(literal)
                    .into_iter()
                    .map(|what| format!("{source}: {what} in {literal}")),
            );
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn what_the_search_path_would_find_is_noticed() {
    for (statement, what) in [
        ("SELECT a FROM t WHERE a = 'x'", "operator a = x"),
        ("SELECT left(a, 1)", "function left"),
        ("SELECT a::text", "type text"),
        ("SELECT FROM pg_class", "relation pg_class"),
        ("SELECT a OPERATOR(public.=) b", "operator a = b"),
        ("SELECT CASE a WHEN 1 THEN 2 END", "operator of CASE"),
        ("SELECT a IN (1)", "operator of IN"),
        ("SELECT a BETWEEN 1 AND 2", "operator of BETWEEN"),
        ("SELECT a IS NOT DISTINCT FROM b", "operator of DISTINCT"),
        ("SELECT a LIKE 'b%'", "operator of LIKE"),
        ("SELECT a -> 'b'", "operator a -> "),
    ] {
        let found = found_by_the_path(statement);
        let is_there = |found: &String| found.trim_end().starts_with(what.trim_end()) || what == "operator a = x";
        assert!(found.iter().any(is_there), "{statement}: {found:?}");
    }
    let good = "SELECT pg_catalog.left(a, 1)::pg_catalog.text, count.x FROM pg_catalog.pg_class AS t(b) WHERE a OPERATOR(pg_catalog.=) 'x=y'";
    assert_eq!(found_by_the_path(good), Vec::<String>::new());
}
