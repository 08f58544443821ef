//! Files that import each other: to understand one of them, a reader has to know all of them.

use super::{root, sources, without_tests};
use std::collections::{BTreeMap, BTreeSet};

/// Files of the sources by their module, such as `store::look::tail`.
type Files = BTreeMap<String, String>;

fn files() -> Files {
    let named = |path: &std::path::Path| {
        let inside = path.strip_prefix(root().join("src")).unwrap().with_extension("");
        let parts: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let parts: Vec<String> = parts.into_iter().filter(|part| part != "mod").collect();
        parts.join("::")
    };
    let read = sources().into_iter();
    read.map(|(path, _, text)| (named(&path), without_tests(&text).to_owned()))
        .collect()
}

/// The circles, each with all its files. A file that uses the one above it, or one below it, belongs to it and makes none.
fn circles(files: &Files) -> BTreeSet<BTreeSet<String>> {
    let arrows: BTreeMap<&String, BTreeSet<String>> =
        files.iter().map(|(me, text)| (me, used(me, text, files))).collect();
    let reached = |from: &String| {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&String> = arrows[from].iter().collect();
        while let Some(file) = next.pop() {
            if reached.insert(file.clone()) {
                next.extend(&arrows[file]);
            }
        }
        reached
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = files.keys().map(|file| (file, reached(file))).collect();
    let circle = |(file, reaches): (&&String, &BTreeSet<String>)| {
        let circle: BTreeSet<String> = reaches
            .iter()
            .filter(|other| reached[*other].contains(*file))
            .cloned()
            .collect();
        (!circle.is_empty()).then_some(circle)
    };
    reached.iter().filter_map(circle).collect()
}

/// The files that the text of `me` names.
fn used(me: &str, text: &str, files: &Files) -> BTreeSet<String> {
    let is_part = |part: &str, whole: &str| part.strip_prefix(whole).is_some_and(|rest| rest.starts_with("::"));
    let named = paths(text).into_iter().filter_map(|path| file_of(me, &path, files));
    named
        .filter(|other| other != me && !is_part(other, me) && !is_part(me, other))
        .collect()
}

/// Every path of the text that begins in this crate, those of groups in full.
fn paths(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    let text = lines.collect::<Vec<_>>().join("\n");
    let is_path = |letter: char| letter.is_alphanumeric() || "_:".contains(letter);
    let mut paths: Vec<String> = text.split(|letter| !is_path(letter)).map(str::to_owned).collect();
    for (at, word) in text.match_indices("use ") {
        let before = text[..at].rsplit('\n').next().unwrap().trim_start();
        if before.is_empty() || before.starts_with("pub") {
            let statement = text[at + word.len()..].split(';').next().unwrap();
            paths.extend(in_full(statement));
        }
    }
    let begins_here = |path: &String| {
        ["crate::", "super::", "self::"]
            .iter()
            .any(|first| path.starts_with(first))
    };
    paths.retain(|path| begins_here(path) && !path.ends_with("::"));
    paths
}

/// The paths of `a::{b, c::{d, e}}`, each in full.
fn in_full(group: &str) -> Vec<String> {
    let (mut paths, mut before, mut path) = (Vec::new(), vec![String::new()], String::new());
    for letter in group.chars().chain([',']) {
        match letter {
            '{' => {
                before.push(path);
                path = before.last().unwrap().clone();
            }
            ',' | '}' => {
                if Some(&path) != before.last() {
                    paths.push(path.split_whitespace().next().unwrap_or_default().to_owned());
                }
                // A text that only begins like an import may close more than it opened.
                if letter == '}' && before.len() > 1 {
                    before.pop();
                }
                path = before.last().cloned().unwrap_or_default();
            }
            letter if path == *before.last().unwrap() && letter.is_whitespace() => {}
            letter => path.push(letter),
        }
    }
    paths
}

/// The file that a path leads to: the deepest on its way.
fn file_of(me: &str, path: &str, files: &Files) -> Option<String> {
    let mut parts: Vec<&str> = match path.split("::").next()? {
        "crate" => Vec::new(),
        _ => me.split("::").collect(),
    };
    for part in path.split("::") {
        match part {
            "crate" | "self" => {}
            "super" => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    while !parts.is_empty() && !files.contains_key(&parts.join("::")) {
        parts.pop();
    }
    (!parts.is_empty()).then(|| parts.join("::"))
}

#[test]
fn no_files_import_each_other() {
    let files = files();
    let arrows: usize = files.iter().map(|(me, text)| used(me, text, &files).len()).sum();
    assert!(arrows > 500, "{arrows} imports were found");
    assert_eq!(circles(&files), BTreeSet::new());
}

#[test]
fn a_circle_is_found_and_a_part_of_its_whole_is_none() {
    let files = |texts: &[(&str, &str)]| -> Files {
        let own = |(file, text): &(&str, &str)| ((*file).to_owned(), (*text).to_owned());
        texts.iter().map(own).collect()
    };
    let circle = files(&[
        ("a", "use crate::{\n    b::{self, Thing},\n    c,\n};"),
        ("b", "fn of() -> super::c::d::Other {}"),
        ("c", ""),
        ("c::d", "// use crate::c;\npub(super) use super::super::a::One;"),
        ("e", "use crate::a::One;"),
    ]);
    let found: Vec<Vec<String>> = circles(&circle)
        .into_iter()
        .map(|circle| circle.into_iter().collect())
        .collect();
    assert_eq!(found, [["a", "b", "c::d"]]);
    let whole = files(&[
        ("a", "mod part;\nuse self::part::Part;"),
        ("a::part", "use super::Whole;"),
    ]);
    assert_eq!(circles(&whole), BTreeSet::new());
}
