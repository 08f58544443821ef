//! The watches before they are checked: which there are, their names, and their layers put together.
//!
//! Owns the name of a watch and the rule which source may configure which watch. Judges no other value.

use super::environment::{Environment, spelling_of, variable_of};
use super::keys::Scope;
use super::layers::{self, Layer, Table};
use super::text::{may_be_url, printable, shown};
use super::{ConfigError, preset};
use crate::nearest::did_you_mean;

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
    /// Its preset is missing or unknown: what that might have said is no mistake of its own.
    pub(super) lacks_preset: bool,
}

/// The single watch of a program whose file has none; its name and its table come from the preset.
pub(super) fn single(environment: &Layer, flags: &Layer, mistakes: &mut Vec<ConfigError>) -> Draft {
    let mut said = environment.clone();
    said.put_over(flags);
    let mut draft = name_draft(Layer::default(), &said, 1, mistakes);
    if said.text("preset").is_none() {
        draft.lacks_preset = true;
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
        let mut unknown = Vec::new();
        let layer = layers::flatten(Scope::Watch, table, origin, &mut unknown);
        let draft = name_draft(layer, flags, at + 1, mistakes);
        mistakes.extend(unknown.into_iter().map(|mistake| mistake.below(&draft.label)));
        drafts.push(draft);
    }
    drafts
}

fn name_draft(layer: Layer, stronger: &Layer, position: usize, mistakes: &mut Vec<ConfigError>) -> Draft {
    let preset = stronger.text("preset").or(layer.text("preset"));
    let from_preset = preset.filter(|name| preset::text_of(name).is_some());
    let of_layer = layer.text("name").map(|name| (name, origin_in(&layer, "name")));
    let named = of_layer
        .or(from_preset.map(|name| (name, "the preset's name")))
        .or(layer.text("table.name").map(|name| (name, "the table's name")));
    let stand_in = if position == 1 {
        "watch".to_owned()
    } else {
        format!("watch[{position}]")
    };
    let (name, name_origin) = named.map_or_else(
        || (stand_in.clone(), "default".to_owned()),
        |(name, origin)| (printable(name), origin.to_owned()),
    );
    let is_too_long = name.chars().count() > MOST_NAME_CHARS;
    if is_too_long {
        mistakes.push(ConfigError::Value {
            key: format!("{stand_in}.name"),
            origin: name_origin.clone(),
            given: Some(shown(&name)),
            expected: format!("at most {MOST_NAME_CHARS} characters, those included that had to be escaped; set name"),
        });
    }
    // What reads like a URL may hold a password, and a label stands in front of every mistake.
    let label = if named.is_none() || is_too_long || may_be_url(&name) {
        format!("{stand_in}.")
    } else {
        format!("watch.{name}.")
    };
    Draft {
        name,
        name_origin,
        label,
        layer,
        lacks_preset: false,
    }
}

/// Where the value of a key came from, if it is there.
fn origin_in<'a>(layer: &'a Layer, path: &str) -> &'a str {
    layer.get(path).map_or("", |setting| &setting.origin)
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
                draft.lacks_preset = true;
                let meant = did_you_mean(name, preset::preset_names());
                let names: Vec<_> = preset::preset_names().collect();
                mistakes.push(ConfigError::Value {
                    key: format!("{}preset", draft.label),
                    origin: origin_in(&said, "preset").to_owned(),
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
                problem: format!(
                    "an earlier watch is named {} too ({})",
                    shown(&draft.name),
                    draft.name_origin
                ),
                remedy: "set another name".to_owned(),
            });
        }
    }
}
