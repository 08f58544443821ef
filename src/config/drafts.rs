//! The watches before they are checked: which there are, their names, and their layers put together.
//!
//! Owns the name of a watch and the rule which source may configure which watch. Judges no other value.

use super::environment::{Environment, spelling_of, variable_of};
use super::keys::Scope;
use super::layers::{self, Layer, Table};
use super::text::{printable, shown};
use super::{ConfigError, preset};
use crate::nearest::nearest;

/// Longest name of a watch: it is a label of every metric.
const MOST_NAME_CHARS: usize = 64;

/// One watch before it is checked.
pub(super) struct Draft {
    /// Its name, or a stand-in where none is known.
    pub(super) name: String,
    /// Where the name came from.
    pub(super) name_origin: String,
    /// Stands before each key in messages.
    pub(super) label: String,
    /// What is said about it; everything once it is put together.
    pub(super) layer: Layer,
    /// Where its table is described.
    pub(super) table: TableFrom,
}

/// Where the table of a watch is described.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TableFrom {
    /// In its own keys, over those of a preset if it has one.
    Keys,
    /// In a preset that is missing or unknown: what it might have said is no mistake of its own.
    UnknownPreset,
}

/// The single watch of a program whose file has none; its name and its table come from the preset.
pub(super) fn single(environment: &Layer, flags: &Layer, mistakes: &mut Vec<ConfigError>) -> Draft {
    let mut said = environment.clone();
    said.put_over(flags);
    let mut draft = name_draft(Layer::default(), &said, 1, mistakes);
    if said.text("preset").is_none() {
        draft.table = TableFrom::UnknownPreset;
        let names: Vec<_> = preset::preset_names().collect();
        mistakes.push(ConfigError::Missing {
            key: format!("{}preset", draft.label),
            remedy: format!(
                "give --preset NAME ({}), or describe the table in a file's [watch.table]",
                names.join(", ")
            ),
        });
    }
    draft
}

/// The watches of a file, each with its name and its layer.
pub(super) fn from_file(tables: &[Table], origin: &str, flags: &Layer, mistakes: &mut Vec<ConfigError>) -> Vec<Draft> {
    // Flags may choose the preset of the only watch, and with it the name; of several watches they may not.
    let nothing = Layer::default();
    let flags = if tables.len() == 1 { flags } else { &nothing };
    let mut drafts = Vec::new();
    for (at, table) in tables.iter().enumerate() {
        let layer = layers::flatten(Scope::Watch, "", table, origin, &mut Vec::new());
        let draft = name_draft(layer, flags, at + 1, mistakes);
        // Once more for the messages, now that the name is known.
        layers::flatten(Scope::Watch, &draft.label, table, origin, mistakes);
        drafts.push(draft);
    }
    drafts
}

fn name_draft(layer: Layer, stronger: &Layer, position: usize, mistakes: &mut Vec<ConfigError>) -> Draft {
    let preset = stronger.text("preset").or(layer.text("preset"));
    let from_preset = preset.filter(|name| preset::text_of(name).is_some());
    let (name, name_origin) = if let Some(name) = layer.text("name") {
        (
            Some(name),
            layer
                .get("name")
                .map_or_else(String::new, |setting| setting.origin.clone()),
        )
    } else if let Some(name) = from_preset {
        (Some(name), "the preset's name".to_owned())
    } else {
        (layer.text("table.name"), "the table's name".to_owned())
    };
    let stand_in = if position == 1 {
        "watch".to_owned()
    } else {
        format!("watch[{position}]")
    };
    let Some(name) = name.map(printable) else {
        let label = format!("{stand_in}.");
        let (name_origin, table) = ("default".to_owned(), TableFrom::Keys);
        return Draft {
            name: stand_in,
            name_origin,
            label,
            layer,
            table,
        };
    };
    let is_too_long = name.chars().count() > MOST_NAME_CHARS;
    if is_too_long {
        mistakes.push(ConfigError::Value {
            key: format!("{stand_in}.name"),
            origin: name_origin.clone(),
            given: Some(shown(&name)),
            expected: format!("at most {MOST_NAME_CHARS} characters, those included that had to be escaped; set name"),
        });
    }
    let label = if is_too_long {
        format!("{stand_in}.")
    } else {
        format!("watch.{name}.")
    };
    Draft {
        name,
        name_origin,
        label,
        layer,
        table: TableFrom::Keys,
    }
}

/// Defaults, preset, file and the stronger layers of one watch, in this order.
pub(super) fn put_together(draft: &mut Draft, stronger: &[&Layer], mistakes: &mut Vec<ConfigError>) {
    let mut said = std::mem::take(&mut draft.layer);
    for layer in stronger {
        said.put_over(layer);
    }
    let mut merged = layers::defaults(Scope::Watch);
    if let Some(name) = said.text("preset") {
        match layers::preset(name) {
            Some(preset) => merged.put_over(&preset),
            None => {
                draft.table = TableFrom::UnknownPreset;
                let meant = nearest(name, preset::preset_names());
                let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
                let names: Vec<_> = preset::preset_names().collect();
                mistakes.push(ConfigError::Value {
                    key: format!("{}preset", draft.label),
                    origin: said
                        .get("preset")
                        .map_or_else(String::new, |setting| setting.origin.clone()),
                    given: Some(shown(name)),
                    expected: format!("one of {}{meant}", names.join(", ")),
                });
            }
        }
    }
    merged.put_over(&said);
    draft.layer = merged;
}

/// Flags and short variables configure one watch; with more it would be a guess which one, and with a file that has
/// watches a forgotten variable would silently win.
pub(super) fn refuse_misplaced(
    environment: &Environment,
    flags: &Layer,
    drafts: &[Draft],
    mistakes: &mut Vec<ConfigError>,
) {
    let name = drafts
        .first()
        .map_or_else(|| "<NAME>".to_owned(), |draft| spelling_of(&draft.name));
    for (path, setting) in environment.single.settings() {
        mistakes.push(ConfigError::Conflict {
            key: setting.origin.trim_start_matches("environment ").to_owned(),
            problem: "configures a single watch, but the file has watches of its own".to_owned(),
            remedy: format!(
                "use BEATWARDEN__WATCH__{name}__{}, or take the watches out of the file",
                variable_of(path)
            ),
        });
    }
    if drafts.len() > 1 {
        for (path, setting) in flags.settings() {
            mistakes.push(ConfigError::Conflict {
                key: setting.origin.clone(),
                problem: "configures one watch, but the file has several".to_owned(),
                remedy: format!(
                    "set {path} in the file, or use BEATWARDEN__WATCH__<NAME>__{}",
                    variable_of(path)
                ),
            });
        }
    }
}

/// Two watches of one name could not be distinguished in any metric.
pub(super) fn refuse_double_names(drafts: &[Draft], mistakes: &mut Vec<ConfigError>) {
    for (at, draft) in drafts.iter().enumerate() {
        if drafts[..at].iter().any(|earlier| earlier.name == draft.name) {
            mistakes.push(ConfigError::Conflict {
                key: format!("watch[{}].name", at + 1),
                problem: format!("an earlier watch is named {:?} too ({})", draft.name, draft.name_origin),
                remedy: "set another name".to_owned(),
            });
        }
    }
}
