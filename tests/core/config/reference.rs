//! The commented file says what the code says, key by key, and both it and the presets load.

use super::support::Given;
use beatwarden::config::keys::{Fallback, KEYS, Scope};
use beatwarden::config::{Loaded, preset_names};
use beatwarden::domain::Action;
use std::{fs, path::PathBuf};

fn reference() -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/beatwarden.toml"))
        .expect("the commented file")
}

/// One key of the commented file: scope and path, value, and the comment above it.
type Line = ((Scope, String), String, String);

fn lines(text: &str) -> Vec<Line> {
    let mut section = "";
    let mut comment = "";
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']);
        } else if let Some(text) = line.strip_prefix("# ") {
            comment = text;
        } else if let Some((name, value)) = line.trim_start_matches('#').split_once(" = ") {
            let path = match section.strip_prefix("watch.") {
                Some(below) => format!("{below}.{name}"),
                None => name.to_owned(),
            };
            let scope = if section.is_empty() {
                Scope::Program
            } else {
                Scope::Watch
            };
            lines.push(((scope, path), value.to_owned(), std::mem::take(&mut comment).to_owned()));
        }
    }
    lines
}

#[test]
fn the_commented_file_shows_every_key_of_the_code_and_no_other() {
    let expected: Vec<Line> = KEYS
        .iter()
        .map(|key| {
            let (value, note) = match key.fallback {
                Fallback::Value(value) => (value, ""),
                Fallback::Nothing(example) => (example, " No default."),
                Fallback::Needed(example) => (example, " Needed without a preset."),
            };
            (
                (key.scope, key.path.to_owned()),
                value.to_owned(),
                format!("{}{note}", key.doc),
            )
        })
        .collect();
    let found = lines(&reference());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn the_commented_file_loads_as_it_is() {
    let config = Given::toml(&reference()).good().config;
    assert_eq!(config.watches[0].name, "meltano");
}

/// The commented file without a preset, with the marks of these keys taken away.
fn unmarked(is_wanted: fn(Fallback) -> bool) -> Loaded {
    let mut section = String::new();
    let mut text = String::new();
    for line in reference().lines() {
        let open = line.trim_start_matches('#');
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).replace("watch.", "") + ".";
        }
        let path = open
            .split(" = ")
            .next()
            .map(|name| format!("{section}{name}"))
            .unwrap_or_default();
        let path = path.trim_start_matches("watch.");
        let key = KEYS.iter().find(|key| key.path == path);
        let is_preset = path == "preset";
        // A watch needs it or max_runtime.
        let is_heartbeat = path == "table.last_heartbeat_at";
        let is_open = key.is_some_and(|key| is_wanted(key.fallback) || is_heartbeat) && !is_preset;
        let mark = if is_preset { "#" } else { "" };
        text += &format!("{mark}{}\n", if is_open { open } else { line });
    }
    Given::toml(&text).good()
}

#[test]
fn a_default_that_is_uncommented_changes_nothing() {
    let none = unmarked(|fallback| matches!(fallback, Fallback::Needed(_)));
    let all = unmarked(|fallback| matches!(fallback, Fallback::Needed(_) | Fallback::Value(_)));
    assert_eq!(all.config, none.config);
    let by_default = |loaded: &Loaded| loaded.provenance.iter().filter(|line| line.origin == "default").count();
    let with_default = KEYS.iter().filter(|key| key.default().is_some()).count();
    assert_eq!(
        (by_default(&none), by_default(&all)),
        (with_default, 0),
        "the file set every one of them"
    );
}

/// A function of the system's own is called on PostgreSQL alone.
const SERVER: &str = "postgres://localhost/jobs";
/// Presets of systems whose jobs send no heartbeat.
const WITHOUT_HEARTBEAT: [&str; 2] = ["django-tasks", "n8n"];

#[test]
fn every_preset_is_complete() {
    assert!(preset_names().count() > 0);
    for name in preset_names() {
        let needs_age = WITHOUT_HEARTBEAT.contains(&name);
        let mut given = Given::nothing().flag("database", SERVER).flag("preset", name);
        if needs_age {
            let wanted = format!("watch.{name}.max_runtime");
            let variable = format!(
                "BEATWARDEN__WATCH__{}__MAX_RUNTIME",
                name.to_uppercase().replace('-', "_")
            );
            let mistakes = given.mistakes();
            assert!(mistakes.contains(&wanted) && mistakes.contains(&variable), "{mistakes}");
            given = given.variable(&variable, "6h");
        }
        let loaded = given.good();
        assert_eq!(loaded.config.watches[0].preset.as_deref(), Some(name));
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("config/presets/{name}.toml"));
        let text = format!(
            "[[watch]]\ndatabase = \"{SERVER}\"\nname = \"x\"\n{}\n{}",
            if needs_age { "max_runtime = \"6h\"" } else { "" },
            fs::read_to_string(file).unwrap()
        );
        let as_a_watch = text.replace("\n[", "\n[watch.");
        let mut same = Given::toml(&as_a_watch).good().config.watches.remove(0);
        (same.name, same.mapping.watch, same.preset) = (name.to_owned(), name.to_owned(), Some(name.to_owned()));
        assert_eq!(
            loaded.config.watches[0], same,
            "a preset holds no key that a watch doesn't know"
        );
    }
}

#[test]
fn the_page_of_presets_shows_configurations_that_are_accepted() {
    let page = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/presets.md")).unwrap();
    let shown: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(shown.len() >= 2, "{page}");
    for text in shown {
        assert_eq!(
            Given::toml(text).good().config.watches[0].action(),
            Action::Fail,
            "{text}"
        );
    }
}

#[test]
fn fail_is_refused_where_only_the_system_itself_ends_its_jobs() {
    let text = "[[watch]]\npreset = \"pgqueuer\"\ndatabase = \"jobs.db\"\n";
    assert_eq!(
        Given::toml(text).good().config.watches[0].repair.missed_first,
        Action::Observe
    );
    let mistakes = Given::toml(&format!("{text}[watch.repair]\nmissed_first = \"fail\"\n")).mistakes();
    assert!(
        mistakes.contains("watch.pgqueuer.repair.missed_first (beatwarden.toml): fail is refused: "),
        "{mistakes}"
    );
    assert!(mistakes.contains("`beatwarden explain JOB`"), "{mistakes}");
}
