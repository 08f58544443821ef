//! The password file of libpq: `host:port:database:user:password` in each line, `*` for any, `\` before `:` and `\`.

use super::tls::in_home;
use crate::files;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Whom a password is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whom<'a> {
    /// The names of the host, any of which a line may have.
    pub hosts: &'a [&'a str],
    pub port: u16,
    pub database: &'a str,
    pub user: &'a str,
}

/// Which password file is asked where the address has no password.
#[derive(Clone, Debug, Default)]
pub enum PassFile {
    /// `~/.pgpass`, if it is there.
    #[default]
    Usual,
    /// The one that the environment names, if it is there, as in libpq.
    Offered(PathBuf),
    /// The one that the address names; it has to be good.
    Named(PathBuf),
}

/// The lines of a password file, or why there are none.
#[derive(Default)]
pub(super) struct Passwords {
    text: String,
    /// What is wrong with a file that is there and not used.
    remark: Option<String>,
}

impl Passwords {
    /// Reads the file. One that others may read is not used, as in libpq: they know its passwords.
    ///
    /// # Errors
    /// If the file that the address names can't be used.
    pub(super) fn read(file: &PassFile) -> Result<Self, String> {
        let usual = in_home(".pgpass");
        let path = match file {
            PassFile::Named(path) | PassFile::Offered(path) => Some(path),
            PassFile::Usual => usual.as_ref(),
        };
        let Some(path) = path else {
            return Ok(Self::default());
        };
        match (lines(path), file) {
            (Ok(text), _) => Ok(Self { text, remark: None }),
            (Err(problem), PassFile::Named(_)) => {
                Err(problem.unwrap_or_else(|| format!("passfile {} is missing", path.display())))
            }
            (Err(remark), PassFile::Offered(_) | PassFile::Usual) => Ok(Self {
                text: String::new(),
                remark,
            }),
        }
    }

    /// The password of the first line that fits.
    pub(super) fn of(&self, whom: Whom<'_>) -> Option<String> {
        self.text.lines().find_map(|line| fits(line, whom))
    }

    /// Why a server that asks for a password gets none.
    pub(super) fn none_found(&self) -> String {
        let remark = self
            .remark
            .as_ref()
            .map_or_else(String::new, |remark| format!(" ({remark})"));
        format!(
            "it asks for a password, and there is none in the URL, in PGPASSWORD, in passfile or in ~/.pgpass{remark}"
        )
    }
}

/// The text of a file that no one else may read; an error without words if there is none.
fn lines(file: &Path) -> Result<String, Option<String>> {
    use std::os::unix::fs::PermissionsExt;
    /// More than anyone writes by hand.
    const LONGEST: u64 = 1024 * 1024;
    let said = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => None,
        _ => Some(format!("passfile {}: {error}", file.display())),
    };
    let found = fs::metadata(file).map_err(said)?;
    if !found.is_file() {
        return Err(Some(format!("passfile {} is no plain file", file.display())));
    }
    let mode = found.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Some(format!(
            "passfile {} is not used, since others may read it (mode {:o}): chmod 600 it",
            file.display(),
            mode & 0o777
        )));
    }
    let text = files::read_regular(file, LONGEST)
        .and_then(|read| String::from_utf8(read).map_err(|_| io::Error::other("it is not UTF-8")));
    text.map_err(said)
}

fn fits(line: &str, whom: Whom<'_>) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let fields = fields(line);
    let [host, port, database, user, password] = fields.as_slice() else {
        return None;
    };
    let port_text = whom.port.to_string();
    let is = |field: &str, wanted: &str| field == "*" || field == wanted;
    let all = whom.hosts.iter().any(|wanted| is(host, wanted))
        && is(port, &port_text)
        && is(database, whom.database)
        && is(user, whom.user);
    all.then(|| password.clone())
}

/// The five fields; what comes after the fourth colon belongs to the password.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let last = fields.len();
        let field = fields.last_mut().expect("there is always one");
        match letter {
            '\\' => field.extend(letters.next()),
            ':' if last < 5 => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WHOM: Whom<'static> = Whom {
        hosts: &["db"],
        port: 5432,
        database: "meltano",
        user: "dog",
    };

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let cases = [
            ("db:5432:meltano:dog:secret", Some("secret")),
            ("*:*:*:*:any", Some("any")),
            ("db:5432:meltano:dog:with:colon", Some("with:colon")),
            (r"db:5432:meltano:dog:back\\slash\:colon", Some(r"back\slash:colon")),
            ("db:5433:meltano:dog:secret", None),
            ("# db:5432:meltano:dog:secret", None),
            ("db:5432:meltano:dog", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(fits(line, WHOM).as_deref(), expected, "{line}");
        }
    }

    /// A field as it has to be written to mean just this.
    fn escaped(field: &str) -> String {
        field.replace('\\', "\\\\").replace(':', "\\:")
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_line_is_read_without_a_panic(line in any::<String>()) {
            if let Some(password) = fits(&line, WHOM) {
                prop_assert!(password.len() < line.len(), "{password:?} out of {line:?}");
            }
        }

        #[test]
        fn whatever_is_escaped_is_read_back(fields in proptest::collection::vec("[^\\p{C}#*]{1,8}", 3), password in "\\PC{1,20}") {
            let [host, database, user] = &fields[..] else { unreachable!("three of them") };
            let whom = Whom { hosts: &[host], port: 6432, database, user };
            let line = [host, "6432", database, user, &password].map(escaped).join(":");
            prop_assert_eq!(fits(&line, whom), Some(password));
        }
    }
}
