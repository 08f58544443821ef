//! Which databases are read: those that can be, and the one that is named before all.

use super::{JOBS_OF_A_FILE, file};
use crate::support::beatwarden::command;
use std::{fs, path::Path};

/// What `discover` says in a folder: its exit code, what it prints, and what it complains of.
fn say(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(folder).arg("discover").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn one_database_that_cant_be_read_hides_none_of_the_others() {
    let (folder, _) = file(JOBS_OF_A_FILE);
    let root = folder.path();
    let watch = |name: &str, database: &str| format!("[[watch]]\nname = \"{name}\"\n{database}\n");
    let good = watch("good", "database = \"jobs.db\"");
    for (bad, complaint) in [
        ("database = \"not-there.db\"", "not-there.db"),
        ("database = \"postgres://u:hush@127.0.0.1:1/x\"", "no connection to "),
    ] {
        for whole in [watch("bad", bad) + &good, good.clone() + &watch("bad", bad)] {
            fs::write(root.join("beatwarden.toml"), &whole).unwrap();
            let (ended, said, complained) = say(root, &[]);
            assert_eq!(ended, Some(1), "{complained}");
            assert!(said.contains("\nname = \"jobs\"\n") && said.ends_with('\n'), "{said}");
            assert_eq!(said.matches("# beatwarden discover: ").count(), 1, "{said}");
            assert!(
                complained.contains(complaint) && complained.lines().count() == 1,
                "{complained}"
            );
            assert!(!complained.contains("hush"), "{complained}");
        }
    }
}

#[test]
fn a_database_that_is_named_is_read_whatever_the_file_here_holds() {
    let (folder, _) = file(JOBS_OF_A_FILE);
    let root = folder.path();
    for broken in ["no TOML [[", "listen = 5", "[[watch]]\ndatabase = 5\n"] {
        fs::write(root.join("beatwarden.toml"), broken).unwrap();
        for arguments in [&["jobs.db"][..], &["--database", "jobs.db"]] {
            let (ended, said, complained) = say(root, arguments);
            assert!(ended == Some(0) && complained.is_empty(), "{broken}: {complained}");
            assert!(said.contains("\nname = \"jobs\"\n"), "{said}");
        }
        let (ended, ..) = say(root, &[]);
        assert_eq!(ended, Some(2), "{broken}");
    }
    // A file that is asked for has to be right.
    fs::write(root.join("beatwarden.toml"), "no TOML [[").unwrap();
    let (ended, _, complained) = say(root, &["jobs.db", "--config", "beatwarden.toml"]);
    assert!(
        ended == Some(2) && complained.contains("beatwarden.toml"),
        "{complained}"
    );
}
