//! From the sources to a checked configuration: which file, which watches, which layer over which.
//!
//! Owns the order of the steps and the search for the file. Names of watches are in `drafts`, single values are judged in `validate`, whole
//! watches in `watch`.

use super::drafts::{self, Draft};
use super::environment::{Environment, short_keys};
use super::keys::{self, Scope};
use super::layers::{self, Layer, Table, from_text};
use super::text::{given, shown, shown_key};
use super::types::{Config, DatabaseSource, LogFormat, LogLevel, WatchConfig};
use super::validate::Reader;
use super::{
    ConfigError, ConfigErrors, DatabaseUrl, Flags, Loaded, MeltanoProject, Secret, Sources, meltano, provenance, watch,
};
use crate::nearest::did_you_mean;
use ::config::ValueKind;
use std::path::{Path, PathBuf};

/// The preset of a Meltano project.
const MELTANO: &str = "meltano";

/// What was read before any value is judged.
struct Read {
    environment: Environment,
    flags_program: Layer,
    flags_watch: Layer,
    file: Option<PathBuf>,
    file_program: Layer,
    /// `None` where the file has no watch, or there is no file.
    file_watches: Option<Vec<Table>>,
    project: Option<MeltanoProject>,
    mistakes: Vec<ConfigError>,
}

/// Loads, merges and checks everything.
pub(super) fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut read = read(sources)?;
    let program = program_layer(&read);
    let drafts = complete_drafts(&mut read);
    let mut mistakes = read.mistakes;
    let help = database_help(read.file.as_deref(), read.file_watches.is_some());
    let mut warnings = password_warnings(sources);
    warnings.append(&mut read.environment.unread);
    let mut watches = Vec::new();
    for draft in &drafts {
        let mut found = Vec::new();
        if let Some(checked) = watch::check(&draft.name, &draft.label, &draft.layer, &help, &mut found) {
            watches.push(checked.watch);
            warnings.extend(checked.warnings);
        }
        let is_noise = |mistake: &ConfigError| {
            let of_preset = format!("{}table.", draft.label);
            matches!(mistake, ConfigError::Missing { key, .. } if key.starts_with(&of_preset))
        };
        mistakes.extend(
            found
                .into_iter()
                .filter(|mistake| !draft.lacks_preset || !is_noise(mistake)),
        );
    }
    for watch in &mut watches {
        watch.meltano = read.project.as_ref().and_then(|project| project.version.clone());
    }
    let names: Vec<&str> = drafts.iter().map(|draft| draft.name.as_str()).collect();
    select(
        sources.flags.get("watch").map(Secret::expose),
        &names,
        &mut watches,
        &mut mistakes,
    );
    let config = checked_program(&program, watches, &mut mistakes);
    match config {
        Some(config) if mistakes.is_empty() => {
            let provenance = provenance::of(&program, &drafts, &config);
            Ok(Loaded {
                config,
                provenance,
                warnings,
                file: read.file,
                project: read.project,
            })
        }
        _ => Err(ConfigErrors(mistakes)),
    }
}

/// What the sources say of the program itself, and what is unwise in them. What is wrong with a watch is not asked.
pub(super) fn load_program(sources: &Sources) -> Result<(Config, Vec<String>), ConfigErrors> {
    let read = read(sources)?;
    let mut mistakes = Vec::new();
    let config = checked_program(&program_layer(&read), Vec::new(), &mut mistakes);
    let config = config.ok_or(ConfigErrors(mistakes))?;
    Ok((config, password_warnings(sources)))
}

/// The databases that the sources name, each once: the one of the flags, else those of the watches, else that of a Meltano
/// project. Nothing else that is said of a watch is asked. A file that no one named is read for databases only: where a flag
/// names one, mistakes in that file are ignored.
pub(super) fn load_databases(sources: &Sources) -> Result<(Config, Vec<DatabaseSource>, Vec<String>), ConfigErrors> {
    let is_flag = ["database", "database_file"]
        .iter()
        .any(|flag| sources.flags.contains_key(flag));
    let mut sources = sources.clone();
    if is_flag {
        sources.search.clear();
    }
    let sources = &sources;
    let mut read = read(sources)?;
    let layers: Vec<(String, Layer)> = if is_flag {
        vec![(String::new(), read.flags_watch.clone())]
    } else {
        let wanted = sources.flags.get("watch").map(Secret::expose);
        // What is wrong with names and presets is no matter here; nor are doubles.
        let drafts = complete_drafts(&mut read).into_iter();
        let drafts = drafts.filter(|draft| wanted.is_none_or(|wanted| draft.name == wanted));
        drafts.map(|draft| (draft.label, draft.layer)).collect()
    };
    let (mut mistakes, mut databases) = (Vec::new(), Vec::new());
    let help = match &read.file {
        Some(path) => format!(
            "name a database: beatwarden discover DATABASE, or a [[watch]] of {}",
            origin_of(path)
        ),
        None => "name a database: beatwarden discover DATABASE, or run it in a Meltano project".to_owned(),
    };
    for (label, layer) in &layers {
        let mut reader = Reader::new(Scope::Watch, label, layer);
        let found = watch::database(&mut reader, layer, &help).map(|(source, _)| source);
        mistakes.append(&mut reader.mistakes);
        databases.extend(found.filter(|found| !databases.contains(found)));
    }
    if layers.is_empty() {
        let key = "--watch".to_owned();
        mistakes.push(ConfigError::Missing {
            key,
            remedy: "no watch has this name".to_owned(),
        });
    }
    let config = checked_program(&program_layer(&read), Vec::new(), &mut mistakes);
    match config {
        Some(config) if mistakes.is_empty() => Ok((config, databases, password_warnings(sources))),
        _ => Err(ConfigErrors(mistakes)),
    }
}

/// Every watch with all its layers.
fn complete_drafts(read: &mut Read) -> Vec<Draft> {
    let (environment, flags, mistakes) = (&read.environment, &read.flags_watch, &mut read.mistakes);
    let nothing = Layer::default();
    let mut single = read.project.as_ref().map_or_else(Layer::default, of_project);
    single.put_over(&environment.single);
    let (mut drafts, twins, flags) = match &read.file_watches {
        None => (vec![drafts::single(&single, flags, mistakes)], &single, flags),
        Some(tables) => {
            let origin = read.file.as_deref().map_or_else(String::new, origin_of);
            let drafts = drafts::from_file(tables, &origin, flags, mistakes);
            drafts::refuse_misplaced(environment, flags, &drafts, mistakes);
            (drafts, &nothing, if tables.len() == 1 { flags } else { &nothing })
        }
    };
    let names: Vec<String> = drafts.iter().map(|draft| draft.name.clone()).collect();
    let overlays = environment.overlays_of(&names, mistakes);
    for (draft, overlay) in drafts.iter_mut().zip(overlays) {
        drafts::put_together(draft, &[twins, &overlay, flags], mistakes);
    }
    drafts::refuse_double_names(&drafts, mistakes);
    drafts
}

fn read(sources: &Sources) -> Result<Read, ConfigErrors> {
    let mut mistakes = Vec::new();
    let environment = Environment::sort(&sources.environment, &mut mistakes);
    mistakes.extend(sources.unreadable.iter().map(|name| ConfigError::Value {
        key: shown_key(name),
        origin: "environment".to_owned(),
        given: None,
        expected: "a text in UTF-8".to_owned(),
    }));
    let (flags_program, flags_watch) = flag_layers(&sources.flags);
    let (key, file) = match (&sources.file, &environment.file) {
        (Some(path), _) => ("--config", Some(path.clone())),
        (None, Some(path)) => ("BEATWARDEN__CONFIG", Some(path.clone())),
        (None, None) => (
            "configuration",
            sources.search.iter().find(|path| path.exists()).cloned(),
        ),
    };
    let (mut file_program, mut file_watches) = (Layer::default(), None);
    if let Some(path) = &file {
        match layers::read(key, path) {
            Ok(mut table) => {
                let origin = origin_of(path);
                if let Some(list) = table.remove("watch") {
                    file_watches = watch_tables(list.kind, &origin, &mut mistakes);
                }
                file_program = layers::flatten(Scope::Program, &table, &origin, &mut mistakes);
            }
            // Without the file every further complaint would be about what it may well say.
            Err(mistake) => {
                mistakes.push(mistake);
                return Err(ConfigErrors(mistakes));
            }
        }
    }
    let project = match &file_watches {
        None => project(&environment.single, &flags_watch, sources, &mut mistakes),
        Some(_) => None,
    };
    Ok(Read {
        environment,
        flags_program,
        flags_watch,
        file,
        file_program,
        file_watches,
        project,
        mistakes,
    })
}

/// The Meltano project here, where neither a database nor another preset is given.
fn project(
    environment: &Layer,
    flags: &Layer,
    sources: &Sources,
    mistakes: &mut Vec<ConfigError>,
) -> Option<MeltanoProject> {
    let said = |path| flags.text(path).or(environment.text(path));
    if said("database").is_some()
        || said("database_file").is_some()
        || said("preset").is_some_and(|name| name != MELTANO)
    {
        return None;
    }
    meltano::find(sources.folder.as_deref(), &sources.environment).unwrap_or_else(|mistake| {
        mistakes.push(mistake);
        None
    })
}

/// What a Meltano project says of the single watch.
fn of_project(project: &MeltanoProject) -> Layer {
    let mut layer = Layer::default();
    let origin = format!("the Meltano project, {}", project.source);
    for (path, text) in [("database", project.database.expose()), ("preset", MELTANO)] {
        if let Some(key) = keys::find(Scope::Watch, path) {
            layer.set(key, from_text(key.kind, text), &origin);
        }
    }
    layer
}

/// The name of a file in messages, without what could move a terminal's cursor.
pub(super) fn origin_of(path: &Path) -> String {
    path.to_string_lossy().replace(char::is_control, "?")
}

fn watch_tables(list: ValueKind, origin: &str, mistakes: &mut Vec<ConfigError>) -> Option<Vec<Table>> {
    let mut refuse = |value: &ValueKind, key: String| {
        mistakes.push(ConfigError::Value {
            key,
            origin: origin.to_owned(),
            given: Some(given(value)),
            expected: "a list of tables, each beginning with [[watch]] (in YAML: a list below watch:)".to_owned(),
        });
    };
    let ValueKind::Array(items) = list else {
        refuse(&list, "watch".to_owned());
        return Some(Vec::new());
    };
    if items.is_empty() {
        return None;
    }
    let mut tables = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        match item.kind {
            ValueKind::Table(table) => tables.push(table),
            other => refuse(&other, format!("watch[{}]", at + 1)),
        }
    }
    Some(tables)
}

fn flag_layers(flags: &Flags) -> (Layer, Layer) {
    let (mut program, mut watch) = (Layer::default(), Layer::default());
    for (flag, text) in flags {
        if let Some((_, key)) = short_keys().find(|(name, _)| name == flag) {
            let layer = if key.scope == Scope::Program {
                &mut program
            } else {
                &mut watch
            };
            let origin = format!("--{}", flag.replace('_', "-"));
            layer.set(key, from_text(key.kind, text.expose()), &origin);
        }
    }
    (program, watch)
}

fn program_layer(read: &Read) -> Layer {
    let mut program = layers::defaults(Scope::Program);
    for layer in [&read.file_program, &read.environment.program, &read.flags_program] {
        program.put_over(layer);
    }
    program
}

fn checked_program(program: &Layer, watches: Vec<WatchConfig>, mistakes: &mut Vec<ConfigError>) -> Option<Config> {
    let mut reader = Reader::new(Scope::Program, "", program);
    let listen = reader.address("listen");
    let web_config_file = reader.text("web_config_file").map(PathBuf::from);
    let log_format = reader.choice("log_format", LogFormat::from_spelling);
    let log_level = reader.choice("log_level", LogLevel::from_spelling);
    mistakes.append(&mut reader.mistakes);
    Some(Config {
        listen: listen?,
        web_config_file,
        log_format: log_format?,
        log_level: log_level?,
        watches,
    })
}

/// Keeps the one watch that `--watch` asks for.
fn select(wanted: Option<&str>, names: &[&str], watches: &mut Vec<WatchConfig>, mistakes: &mut Vec<ConfigError>) {
    let Some(wanted) = wanted else { return };
    if !names.contains(&wanted) {
        let meant = did_you_mean(wanted, names.iter().copied());
        mistakes.push(ConfigError::Value {
            key: "--watch".to_owned(),
            origin: "command line".to_owned(),
            given: Some(shown(wanted)),
            expected: format!("one of {}{meant}", names.join(", ")),
        });
    }
    watches.retain(|watch| watch.name == wanted);
}

fn database_help(file: Option<&Path>, has_watches: bool) -> String {
    match file {
        Some(_) if has_watches => "set database or database_file in this [[watch]]".to_owned(),
        Some(path) => format!(
            "add a [[watch]] to {}, or give --database URL with --preset NAME",
            origin_of(path)
        ),
        None => {
            "give --database URL with --preset NAME, BEATWARDEN__DATABASE with BEATWARDEN__PRESET, or --config FILE, or run \
             it in a Meltano project"
                .to_owned()
        }
    }
}

fn password_warnings(sources: &Sources) -> Vec<String> {
    let has_password = |text: &Secret| matches!(DatabaseUrl::parse(text.expose()), Ok(DatabaseUrl::Postgres(url)) if url.has_password());
    let warning = "the password in --database can be read by every user of this host; use --database-file, or BEATWARDEN__DATABASE";
    let found = sources.flags.get("database").is_some_and(has_password);
    found.then(|| warning.to_owned()).into_iter().collect()
}
