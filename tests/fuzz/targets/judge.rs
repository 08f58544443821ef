//! What is demanded of every configuration, whatever a file says: a good one watches something and is shown as one that means the
//! same; of a bad one there are mistakes in words that show no password and move no cursor.

use beatwarden::config::{Config, ConfigErrors, Flags, Loaded, Sources};
use std::{env, fs, path::PathBuf, process};

/// A password that no one may see.
const CANARY: &str = "qX7canary";

/// A file of this process alone, where the script says: in memory.
pub fn file(name: &str, content: &[u8]) -> PathBuf {
    let folder = env::temp_dir().join(process::id().to_string());
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(name);
    fs::write(&path, content).expect("a file");
    path
}

/// The file with a password where it has the place for one.
#[allow(dead_code, reason = "one target has no such place")]
pub fn with_password(content: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(content).replace(CANARY, "");
    match std::str::from_utf8(content) {
        Ok(_) => text.replace(":PASSWORD@", &format!(":{CANARY}@")).into_bytes(),
        Err(_) => content.to_vec(),
    }
}

/// Reads a configuration.
pub fn load(sources: &Sources) {
    let loaded = match Config::load(sources) {
        Ok(loaded) => loaded,
        Err(ConfigErrors(mistakes)) => {
            assert!(!mistakes.is_empty(), "it is refused, and no mistake is named");
            for mistake in mistakes {
                let said = mistake.to_string();
                assert!(!said.is_empty() && !said.contains(char::is_control), "{said:?}");
                assert!(!said.contains(CANARY), "a password is shown: {said}");
            }
            return;
        }
    };
    assert!(!loaded.config.watches.is_empty(), "it watches nothing");
    for line in &loaded.provenance {
        assert!(!line.value.contains(CANARY), "{} shows a password", line.key);
    }
    // Without what is hidden it can be written down and read again.
    if loaded.provenance.iter().any(|line| line.value.contains("***")) {
        return;
    }
    let text = written(&loaded);
    let again = file("again.toml", text.as_bytes());
    let again = Config::load(&Sources {
        file: Some(again),
        flags: Flags::default(),
        ..Sources::default()
    });
    let again = again.unwrap_or_else(|errors| panic!("what is shown is refused: {errors:?}\n{text}"));
    assert_eq!(shown(&again), shown(&loaded), "{text}");
}

fn shown(loaded: &Loaded) -> Vec<(&str, &str)> {
    let lines = loaded.provenance.iter();
    lines.map(|line| (line.key.as_str(), line.value.as_str())).collect()
}

/// The values in force as a file.
fn written(loaded: &Loaded) -> String {
    let mut text = String::new();
    for line in &loaded.provenance {
        let key = match line.key.strip_prefix("watch.") {
            None => line.key.as_str(),
            Some(of_watch) => {
                let names = loaded.config.watches.iter().map(|watch| watch.name.as_str());
                let mut rest = names.filter_map(|name| of_watch.strip_prefix(name)?.strip_prefix('.'));
                let key = rest.next().expect("a key of a watch");
                if key == "name" {
                    text.push_str("[[watch]]\n");
                }
                key
            }
        };
        text.push_str(&format!("{key} = {}\n", line.value));
    }
    text
}
