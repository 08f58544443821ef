//! The password file of libpq: `host:port:database:user:password` in each line, `*` for any, `\` before `:` and `\`.

use std::path::Path;

/// Whom a password is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whom<'a> {
    pub host: &'a str,
    pub port: u16,
    pub database: &'a str,
    pub user: &'a str,
}

/// The password of the first line that fits.
///
/// # Errors
/// If the file can't be read, or others may read it: a password that others know is refused, as libpq does.
pub(super) fn password(file: &Path, whom: Whom<'_>) -> Result<Option<String>, String> {
    use std::os::unix::fs::PermissionsExt;
    let told = |error: std::io::Error| format!("passfile {}: {error}", file.display());
    let mode = std::fs::metadata(file).map_err(told)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!(
            "passfile {} may be read by others (mode {:o}): chmod 600 it",
            file.display(),
            mode & 0o777
        ));
    }
    let text = std::fs::read_to_string(file).map_err(told)?;
    Ok(text.lines().find_map(|line| fits(line, whom)))
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
    let wanted = [
        (host, whom.host),
        (port, port_text.as_str()),
        (database, whom.database),
        (user, whom.user),
    ];
    let all = wanted
        .into_iter()
        .all(|(field, wanted)| field == "*" || field == wanted);
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
        host: "db",
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
            let _ = fits(&line, WHOM);
        }

        #[test]
        fn whatever_is_escaped_is_read_back(fields in proptest::collection::vec("[^\\p{C}#*]{1,8}", 3), password in "\\PC{1,20}") {
            let [host, database, user] = &fields[..] else { unreachable!("three of them") };
            let whom = Whom { host, port: 6432, database, user };
            let line = [host, "6432", database, user, &password].map(escaped).join(":");
            prop_assert_eq!(fits(&line, whom), Some(password));
        }
    }
}
