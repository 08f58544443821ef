//! Which files of a configuration hold a secret and are open to every user of this host.

use super::{DatabaseSource, DatabaseUrl, Loaded, PostgresUrl};
use crate::files;
use std::path::Path;

/// A sentence for each: files with a database URL, client keys, and the configuration itself if a password stands in it, or if
/// others may write what we are to do.
pub(super) fn of(loaded: &Loaded) -> Vec<String> {
    let mut found: Vec<String> = loaded
        .file
        .iter()
        .filter_map(|file| Some((file, files::open_to_all(file)?)))
        .filter(|(file, open)| open.may_be_written || has_password(loaded, file))
        .map(|(_, open)| open.to_string())
        .collect();
    for watch in &loaded.config.watches {
        let file = match &watch.database {
            DatabaseSource::File(path) => Some(path.clone()),
            DatabaseSource::Url(_) => None,
        };
        let key = postgres(&watch.database).and_then(|url| url.sslkey);
        let open = file.into_iter().chain(key).filter_map(|path| files::open_to_all(&path));
        found.extend(open.map(|open| open.to_string()));
    }
    found.sort();
    found.dedup();
    found
}

fn postgres(database: &DatabaseSource) -> Option<PostgresUrl> {
    match database.resolve() {
        Ok(DatabaseUrl::Postgres(url)) => Some(url),
        // What can't be read is reported by those who need it.
        _ => None,
    }
}

/// Whether a password of a database stands in the configuration file itself.
fn has_password(loaded: &Loaded, file: &Path) -> bool {
    let origin = super::load::origin_of(file);
    let is_of_file = |name: &str| {
        let key = format!("watch.{name}.database");
        loaded
            .provenance
            .iter()
            .any(|value| value.key == key && value.origin == origin)
    };
    loaded.config.watches.iter().any(|watch| {
        let is_url = matches!(watch.database, DatabaseSource::Url(_));
        is_url && is_of_file(&watch.name) && postgres(&watch.database).is_some_and(|url| url.has_password())
    })
}
