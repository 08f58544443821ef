//! A line of libpq's password file: what is read is a part of the line, and what is written by the rules is read back.
#![no_main]
#![allow(dead_code, unused_imports, reason = "of the module only one function is asked")]

#[path = "../../../src/store/postgres/passfile.rs"]
mod passfile;

use beatwarden::files;
use libfuzzer_sys::fuzz_target;
use passfile::{PassFile, Passwords, Whom};
use std::{env, fs, os::unix::fs::PermissionsExt, process};

/// What the module asks of its neighbour.
mod tls {
    pub(super) fn in_home(_: &str) -> Option<std::path::PathBuf> {
        None
    }
}

/// The passwords of a file with this text.
fn passwords(text: &str) -> Passwords {
    let path = env::temp_dir().join(process::id().to_string());
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
    Passwords::read(&PassFile::Named(path)).unwrap_or_else(|problem| panic!("{problem}"))
}

fuzz_target!(|text: &str| {
    let whom = Whom {
        hosts: &["db", "10.0.0.1"],
        port: 5432,
        database: "meltano",
        user: "dog",
    };
    if let Some(password) = passwords(text).of(whom) {
        assert!(password.len() < text.len(), "{password:?} out of {text:?}");
    }
    // The same five fields, written by the rules: `*` stands for any where it is one.
    let fields: Vec<&str> = text.split('\n').collect();
    let [host, database, user, password, ..] = fields[..] else {
        return;
    };
    if host.starts_with('#') || fields.iter().any(|field| field.contains('\r')) {
        return;
    }
    let bare = |field: &str| field.replace('\\', "\\\\");
    let escaped = |field: &str| bare(field).replace(':', "\\:");
    let whom = Whom {
        hosts: &[host],
        port: 6432,
        database,
        user,
    };
    let before = [host, "6432", database, user].map(escaped).join(":");
    // In the password a colon is one, escaped or not.
    for written in [escaped(password), bare(password)] {
        let line = format!("{before}:{written}");
        assert_eq!(passwords(&line).of(whom).as_deref(), Some(password), "{line:?}");
    }
});
