//! The words for a path at which there is no file that can be used: where it leads, how far it gets, and what lies near it.

use crate::{nearest::nearest, store::StoreError};
use rustix::process::geteuid;
use std::{fs, io, path::Path};

/// How many names of a folder are read.
const MOST: usize = 1_000;

/// Why a file can't be looked at.
pub(super) fn missing(path: &Path, error: io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return StoreError::Rights(format!(
            "{}: {error}: user {} can't reach the file; run Beatwarden as the file's owner",
            path.display(),
            geteuid().as_raw()
        ));
    }
    StoreError::Connect {
        to: format!("SQLite file {}", path.display()),
        source: format!("{error}: {}", advice_on(path)).into(),
    }
}

/// What to do about a path at which there is no file. Behind `sqlite:` three slashes begin a relative path, as in SQLAlchemy:
/// an absolute one has four.
fn advice_on(path: &Path) -> String {
    let from_root = Path::new("/").join(path);
    let is_there = |path: &Path| {
        path.parent()
            .is_some_and(|folder| folder.as_os_str().is_empty() || folder.exists())
    };
    let found = match path.is_relative() {
        true if from_root.exists() => from_root.display().to_string(),
        true if !is_there(path) && is_there(&from_root) => format!("the folder of {}", from_root.display()),
        _ => {
            return format!(
                "{}: check the path, or wait until the writer has made the file",
                way_to(path)
            );
        }
    };
    format!(
        "the path is relative, and {found} is there: write sqlite:///{}",
        from_root.display()
    )
}

/// How far a path gets.
fn way_to(path: &Path) -> String {
    if let Ok(target) = fs::read_link(path) {
        return format!("it is a link to {}, which isn't there", target.display());
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    if folder.is_dir() {
        let name = absolute.file_name().unwrap_or_default().to_string_lossy();
        let names = names_in(folder);
        return match nearest(&name, names.iter().map(String::as_str)) {
            Some(near) => format!(
                "the folder {} has no such file, but `{}`",
                folder.display(),
                near.escape_debug()
            ),
            None => format!("the folder {} is there, and has no such file", folder.display()),
        };
    }
    let known = folder.ancestors().find(|folder| folder.is_dir());
    format!(
        "there is no folder {}; the path gets as far as {}",
        folder.display(),
        known.unwrap_or(Path::new("/")).display()
    )
}

/// The names in a folder, without those of the files that SQLite makes beside a database.
fn names_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().take(MOST).flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_beside = |name: &String| ["-wal", "-shm", "-journal"].iter().any(|end| name.ends_with(end));
    names.filter(|name| !is_beside(name)).collect()
}

/// What a folder or the like is named for, where a file was expected.
pub(super) fn no_file(path: &Path, is_folder: bool) -> StoreError {
    if !is_folder {
        return StoreError::Schema(format!("{} is no regular file: name the database file", path.display()));
    }
    let mut names = names_in(path);
    names.retain(|name| [".db", ".sqlite", ".sqlite3"].iter().any(|end| name.ends_with(end)));
    names.sort();
    let found = match names.first() {
        Some(name) => format!("it has `{}`", name.escape_debug()),
        None => "in a Meltano project it is .meltano/meltano.db".to_owned(),
    };
    StoreError::Schema(format!(
        "{} is a folder: name the database file ({found})",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_to_nothing_is_followed_as_far_as_it_gets() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let said = |name: &str| missing(&at(name), io::ErrorKind::NotFound.into()).chain();
        let here = folder.path().display();
        assert!(said("jobs.db").contains(&format!(
            "the folder {here} is there, and has no such file: check the path"
        )));
        fs::write(at("jbos.db"), "").unwrap();
        fs::write(at("jobs.db-wal"), "").unwrap();
        assert!(said("jobs.db").contains(&format!(
            "the folder {here} has no such file, but `jbos.db`: check the path"
        )));
        assert!(said("a/b/jobs.db").contains(&format!(
            "there is no folder {here}/a/b; the path gets as far as {here}: "
        )));
        assert!(said("jbos.db/jobs.db").contains(&format!("there is no folder {here}/jbos.db; ")));
        std::os::unix::fs::symlink("/nowhere", at("link.db")).unwrap();
        assert!(said("link.db").contains("it is a link to /nowhere, which isn't there: check the path"));
        fs::write(at("\u{1b}\u{1b}\u{1b}obs.db"), "").unwrap();
        assert!(!said("jobs.db").contains('\u{1b}'));
    }

    #[test]
    fn a_relative_path_is_shown_from_the_root() {
        let here = std::env::current_dir().unwrap();
        let said = missing(Path::new("nothing-of-the-kind.db"), io::ErrorKind::NotFound.into()).chain();
        assert!(
            said.contains(&format!("the folder {} is there", here.display())),
            "{said}"
        );
    }

    #[test]
    fn a_folder_is_shown_with_the_database_that_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let said = || no_file(folder.path(), true).chain();
        assert!(said().contains("(in a Meltano project"), "{}", said());
        fs::write(folder.path().join("it's.sqlite3"), "").unwrap();
        assert!(said().ends_with("(it has `it\\'s.sqlite3`)"), "{}", said());
    }
}
