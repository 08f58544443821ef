//! The house rules that a machine can check: which module may know which, sizes, file heads, and words.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod circles;
mod names;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Which modules each top-level module of `src` may use. `app` and `cli` stand at the top and may use what they name.
const ARROWS: &[(&str, &[&str])] = &[
    ("choice", &[]),
    ("connection", &[]),
    ("domain", &[]),
    ("files", &[]),
    ("nearest", &[]),
    ("mapping", &["domain"]),
    ("config", &["connection", "domain", "files", "mapping", "nearest"]),
    ("tls", &[]),
    ("store", &["connection", "domain", "files", "mapping", "nearest", "tls"]),
    ("pass", &["domain", "store"]),
    ("status", &["domain", "pass"]),
    ("present", &["domain", "pass", "status", "store"]),
    ("journal", &["domain", "pass", "present"]),
    ("metrics", &["domain", "pass", "present", "status", "store"]),
    ("watch", &["domain", "pass", "store"]),
    (
        "http",
        &["domain", "files", "metrics", "pass", "present", "status", "tls"],
    ),
    ("demo", &[]),
    ("discover", &["config", "domain", "mapping", "present", "store"]),
    (
        "app",
        &[
            "config", "discover", "domain", "http", "journal", "mapping", "metrics", "pass", "status", "store", "watch",
        ],
    ),
    (
        "cli",
        &[
            "app", "config", "demo", "domain", "mapping", "pass", "present", "store", "tls",
        ],
    ),
    ("main", &["cli"]),
];

/// Crates that belong to one module alone.
const OWNED: &[(&str, &[&str])] = &[
    ("prometheus", &["metrics"]),
    ("hyper", &["http"]),
    ("tokio_postgres", &["store"]),
    ("rusqlite", &["store", "demo"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
}

/// Every source file with its top-level module and its text without unit tests.
fn sources() -> Vec<(PathBuf, String, String)> {
    let src = root().join("src");
    let mut found = Vec::new();
    files(&src, "rs", &mut found);
    assert!(found.len() > 20, "the sources are where they are looked for");
    found
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&src).expect("below src");
            let first = inside.components().next().expect("a file");
            let module = Path::new(first.as_os_str())
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let text = fs::read_to_string(&path).expect("a readable source");
            (path, module, text)
        })
        .collect()
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

#[test]
fn modules_know_only_whom_they_may() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let modules: Vec<&str> = ARROWS.iter().map(|(module, _)| *module).collect();
    let mut wrong = Vec::new();
    for (path, module, text) in sources() {
        if module == "lib" {
            continue;
        }
        let allowed = arrows
            .get(module.as_str())
            .unwrap_or_else(|| panic!("module `{module}` has no line in ARROWS"));
        let text = without_tests(&text);
        for other in &modules {
            let uses = text.contains(&format!("crate::{other}"))
                || uses_in_group(text, other)
                || text.contains(&format!("beatwarden::{other}"));
            if uses && *other != module && !allowed.contains(other) {
                wrong.push(format!("{} uses `{other}`", path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Whether `use crate::{...}` names the module.
fn uses_in_group(text: &str, module: &str) -> bool {
    text.split("use crate::{").skip(1).any(|rest| {
        let group = rest.split("};").next().unwrap_or_default();
        let mut depth = 0_i32;
        let mut top = String::new();
        for letter in group.chars() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ if depth == 0 => top.push(letter),
                _ => {}
            }
        }
        top.split(',')
            .any(|part| part.trim().split("::").next() == Some(module))
    })
}

#[test]
fn crates_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for (path, module, text) in sources() {
        for (name, owners) in OWNED {
            let text = without_tests(&text);
            if text.contains(&format!("{name}::")) && !owners.contains(&module.as_str()) {
                wrong.push(format!("{} uses `{name}`", path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn everything_that_is_printed_goes_through_one_place() {
    // The macros of the standard library end the process where stderr can't be written, and print names as they are.
    let ways = ["eprint!(", "eprintln!(", "print!(", "println!(", "dbg!("];
    for (path, _, text) in sources() {
        let text = without_tests(&text);
        for way in ways {
            assert!(!text.contains(way), "{} has {way}: use cli::output", path.display());
        }
        let is_owner = ["src/cli/output.rs", "src/cli/logging.rs"]
            .iter()
            .any(|owner| path.ends_with(owner));
        let asks = ["repair.rs", "ledger.rs", "progress.rs"]
            .iter()
            .any(|asker| path.ends_with(asker));
        for way in ["io::stdout()", "io::stderr()"] {
            assert!(
                is_owner || asks || !text.contains(way),
                "{} has {way}: use cli::output",
                path.display()
            );
        }
    }
}

#[test]
fn the_domain_knows_neither_clock_nor_world() {
    for (path, module, text) in sources() {
        if module != "domain" {
            continue;
        }
        for word in [
            "Instant",
            "SystemTime",
            "std::fs",
            "std::net",
            "tracing::",
            "async ",
            "fastrand",
            "println!",
        ] {
            assert!(!text.contains(word), "{} has `{word}`", path.display());
        }
    }
}

#[test]
fn sources_open_with_their_purpose_and_keep_to_one_subject() {
    for (path, _, text) in sources() {
        assert!(
            text.starts_with("//! "),
            "{} doesn't say what it is for",
            path.display()
        );
        let lines = text.lines().count();
        assert!(lines <= 450, "{} has {lines} lines: two subjects?", path.display());
    }
}

#[test]
fn both_databases_have_statements_under_the_same_names() {
    // What only a file needs: its writes are statements of their own, and its keys are met from below.
    const OF_A_FILE: [&str; 10] = [
        "further_columns.sql",
        "guard_on_insert.sql",
        "guard_on_update.sql",
        "ledger_insert.sql",
        "ledger_kept.sql",
        "ledger_undone.sql",
        "observe_bottom.sql",
        "observe_span.sql",
        "repair_row.sql",
        "undo_newer.sql",
    ];
    let names = |database: &str| {
        let mut found = Vec::new();
        files(&root().join("src/store").join(database), "sql", &mut found);
        let mut names: Vec<String> = found
            .iter()
            .map(|path| path.file_name().expect("a file").to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let (postgres, sqlite) = (names("postgres"), names("sqlite"));
    let alone: Vec<&String> = sqlite.iter().filter(|name| !postgres.contains(name)).collect();
    assert_eq!(
        alone, OF_A_FILE,
        "a statement of SQLite has the name that it has for PostgreSQL"
    );
    assert!(sqlite.len() > 30);
}

#[test]
fn every_statement_says_what_it_is_for() {
    let mut found = Vec::new();
    files(&root().join("src/store"), "sql", &mut found);
    assert!(found.len() > 15);
    for path in found {
        let text = fs::read_to_string(&path).expect("a readable statement");
        assert!(
            text.starts_with("/* beatwarden: ") || text.starts_with("-- "),
            "{} has no head",
            path.display()
        );
        assert!(
            text.contains("-- "),
            "{} doesn't say what it returns and why it is safe",
            path.display()
        );
    }
}

/// One that changes nothing would be noticed by no test, and found only when all of them are run.
#[test]
fn every_mutant_still_changes_its_file() {
    let mut check = Command::new(root().join("scripts/mutants"));
    let output = check.arg("--check").output().expect("bash and perl");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn every_path_that_the_documents_name_is_there() {
    let mut documents = vec![
        root().join("README.md"),
        root().join("CONTRIBUTING.md"),
        root().join("tests/README.md"),
    ];
    files(&root().join("docs"), "md", &mut documents);
    let mut named = 0;
    for document in documents {
        let text = fs::read_to_string(&document).expect("a readable document");
        // Text in backticks stands at the odd places, as long as no block of code is opened by an odd number of them.
        for code in text.split('`').skip(1).step_by(2) {
            let path = code.split([' ', ':', '#']).next().unwrap_or_default();
            let is_ours = [
                "src/",
                "tests/",
                "config/",
                "scripts/",
                "benches/",
                "deploy/",
                "dashboards/",
                "docs/",
            ]
            .iter()
            .any(|folder| path.starts_with(folder));
            if !is_ours || path.contains(['*', '<', '|']) || path.contains("NAME") || path.contains('\n') {
                continue;
            }
            named += 1;
            assert!(root().join(path).exists(), "{}: {path}", document.display());
        }
    }
    assert!(named > 60, "{named} paths in the documents");
}
