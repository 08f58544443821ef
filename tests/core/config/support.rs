//! Sources for one test: a file in a folder of its own, variables, flags.

use beatwarden::config::{Config, ConfigErrors, Loaded, Secret, Sources};
use std::fs;
use tempfile::TempDir;

/// What a test configures.
#[derive(Default)]
pub struct Given {
    sources: Sources,
    folder: Option<TempDir>,
}

/// A good watch of Meltano's table, to build mistakes upon.
pub const MELTANO: &str = "[[watch]]\npreset = \"meltano\"\ndatabase = \"meltano.db\"\n";

/// A good watch without a preset.
pub const JOBS: &str = r#"[[watch]]
database = "jobs.db"
[watch.table]
name = "jobs"
id = "id"
state = "state"
running = ["RUNNING"]
started_at = "started_at"
last_heartbeat_at = "beat_at"
"#;

impl Given {
    /// No file.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// A TOML file.
    pub fn toml(text: &str) -> Self {
        Self::file("beatwarden.toml", text)
    }

    /// A file of any name.
    pub fn file(name: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        let sources = Sources {
            file: Some(path),
            ..Sources::default()
        };
        Self {
            sources,
            folder: Some(folder),
        }
    }

    pub fn variable(mut self, name: &str, text: &str) -> Self {
        self.sources.environment.push((name.to_owned(), text.to_owned()));
        self
    }

    pub fn flag(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.sources.flags.insert(name, Secret::new(text));
        self
    }

    pub fn sources(mut self, set: impl FnOnce(&mut Sources)) -> Self {
        set(&mut self.sources);
        self
    }

    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        Config::load(&self.sources)
    }

    pub fn good(&self) -> Loaded {
        self.load()
            .unwrap_or_else(|mistakes| panic!("expected a good configuration, got {mistakes}"))
    }

    /// What the user reads, with the test's folder taken out.
    pub fn mistakes(&self) -> String {
        let text = match self.load() {
            Ok(loaded) => format!("no mistake: {:?}", loaded.config),
            Err(mistakes) => mistakes.to_string(),
        };
        match &self.folder {
            Some(folder) => text.replace(&format!("{}/", folder.path().display()), ""),
            None => text,
        }
    }

    /// Value and origin of a key, as `beatwarden config` shows them.
    pub fn shown(&self, key: &str) -> (String, String) {
        let loaded = self.good();
        let line = loaded.provenance.into_iter().find(|line| line.key == key);
        let line = line.unwrap_or_else(|| panic!("{key} is not shown"));
        let origin = match &self.folder {
            Some(folder) => line.origin.replace(&format!("{}/", folder.path().display()), ""),
            None => line.origin,
        };
        (line.value, origin)
    }
}

/// A database and a preset by flags alone.
pub fn by_flags() -> Given {
    Given::nothing()
        .flag("database", "meltano.db")
        .flag("preset", "meltano")
}
