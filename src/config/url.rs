//! Database URLs in every form that users have at hand: libpq, SQLAlchemy, plain paths.
//!
//! Owns which database a text means, by its scheme; `postgres_url` and the modules below it continue from there. Opens nothing. No
//! problem that is returned here repeats a piece of the text, since any piece may be a password.

use super::defaults::Defaults;
use super::libpq;
use super::postgres_url::{PostgresUrl, Readers};
use super::text::like_credentials;
use crate::nearest::nearest;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

const FORMS: &str = "expected postgresql://user@host/database, sqlite:////absolute/file, sqlite:///relative/file, \
                     a file path, or libpq's host=... dbname=...";

/// A database, ready to be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file, relative to the working directory unless absolute.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(PostgresUrl),
}

impl DatabaseUrl {
    /// Reads a database URL; what it leaves open comes from the environment of this process, as in libpq.
    ///
    /// # Errors
    /// With what is wrong and what is expected; never a piece of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_in(text, &Defaults::of_process())
    }

    /// Reads a database URL; what it leaves open comes from `defaults`.
    ///
    /// # Errors
    /// With what is wrong and what is expected; never a piece of the text.
    pub fn parse_in(text: &str, defaults: &Defaults) -> Result<Self, String> {
        let text = bare(text)?;
        if libpq::begins_with_keyword(text) {
            return PostgresUrl::from_keywords(text, defaults).map(Self::Postgres);
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let scheme = scheme.to_ascii_lowercase();
            // SQLAlchemy names the driver behind a plus.
            let (dialect, driver) = match scheme.split_once('+') {
                Some((dialect, driver)) => (dialect, Some(driver)),
                None => (scheme.as_str(), None),
            };
            return match (dialect, driver) {
                ("postgres" | "postgresql", _) => {
                    let readers = readers(dialect, driver)?;
                    PostgresUrl::from_url((&scheme, rest), readers, defaults).map(Self::Postgres)
                }
                ("sqlite", None | Some("pysqlite" | "aiosqlite")) => {
                    sqlite_url(rest.strip_prefix('/').unwrap_or(rest)).map(Self::Sqlite)
                }
                ("sqlite", Some(_)) => Err(
                    "this driver of SQLAlchemy opens no plain SQLite file; expected sqlite:////absolute/file"
                        .to_owned(),
                ),
                _ => Err(other_scheme(&scheme, dialect)),
            };
        }
        if let Some(path) = text.strip_prefix("sqlite:") {
            return sqlite_url(path).map(Self::Sqlite);
        }
        if let Some(problem) = misspelt_keyword(text) {
            return Err(problem);
        }
        match lost_its_scheme(text) {
            true => Err(misspelt()),
            false => sqlite_path(text).map(Self::Sqlite),
        }
    }

    /// Reads what a file of secrets holds. A plain path is taken for one only if it looks like one: the file may as well
    /// hold a bare password, which must not be shown as the name of a file.
    ///
    /// # Errors
    /// With what is wrong and what is expected; never a piece of the text.
    pub fn parse_secret(text: &str) -> Result<Self, String> {
        let parsed = Self::parse(text)?;
        let text = bare(text)?;
        let says_so = text.starts_with("sqlite:") || text.starts_with(['/', '.']);
        let ending = Path::new(text).extension().and_then(OsStr::to_str).unwrap_or_default();
        match parsed {
            Self::Sqlite(_) if !says_so && !matches!(ending, "db" | "db3" | "sqlite" | "sqlite3") => Err(format!(
                "it holds no database URL (a password alone is not enough); {FORMS}"
            )),
            parsed => Ok(parsed),
        }
    }

    /// The URL for logs and pages, without any secret.
    pub fn redacted(&self) -> String {
        match self {
            Self::Sqlite(path) => {
                let shown = path.display().to_string();
                // Behind `sqlite:` a name with a ? or a % would be another one.
                match sqlite_url(&shown) {
                    // Nothing is cut off behind a ?, where arguments would stand.
                    Ok(found) if found == *path && shown.ends_with(is_left_around) => format!("sqlite:///{shown}?"),
                    Ok(found) if found == *path => format!("sqlite:///{shown}"),
                    _ if shown.starts_with(['/', '.']) => shown,
                    _ => format!("./{shown}"),
                }
            }
            Self::Postgres(url) => url.redacted().to_owned(),
        }
    }
}

/// The text without what editors and shells leave around it.
fn bare(text: &str) -> Result<&str, String> {
    let text = text.trim_matches(is_left_around);
    let problems = [
        (text.is_empty(), "is empty"),
        (text.contains(['\n', '\r']), "has more than one line"),
        (text.contains(char::is_control), "holds a character that can't be seen"),
        (text.starts_with('$'), "begins with $: a variable was not replaced"),
    ];
    if let Some((_, problem)) = problems.into_iter().find(|(is_so, _)| *is_so) {
        return Err(format!("the database URL {problem}; {FORMS}"));
    }
    match text.starts_with(['"', '\'', '`', '<', '\u{201c}', '\u{2018}', '\u{ab}']) {
        true => Err(format!(
            "there are quotes around the database URL; take them off ({FORMS})"
        )),
        false => Ok(text),
    }
}

/// A blank, and what counts as none: a byte order mark, and the blank of no width.
fn is_left_around(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}')
}

/// Who reads a PostgreSQL URL of this scheme.
fn readers(dialect: &str, driver: Option<&str>) -> Result<Readers, String> {
    match driver {
        None if dialect == "postgres" => Ok(Readers::Libpq),
        None => Ok(Readers::Both),
        Some("psycopg2" | "psycopg" | "psycopg_async" | "psycopg2cffi") => Ok(Readers::SqlAlchemy),
        Some("asyncpg" | "pg8000") => Ok(Readers::OwnDefaults),
        Some(_) => Err(
            "the driver behind postgresql+ is unknown; expected psycopg2, psycopg, asyncpg or pg8000, or postgresql:// alone"
                .to_owned(),
        ),
    }
}

/// That a scheme is none of ours. It is a piece of the text, so only names that are known are repeated.
fn other_scheme(scheme: &str, dialect: &str) -> String {
    const THAT: &str = "cockroachdb redshift snowflake bigquery duckdb clickhouse db2";
    const OTHERS: [(&str, &str); 6] = [
        ("mysql mariadb", "MySQL and MariaDB are not supported: "),
        ("mssql sqlserver", "Microsoft SQL Server is not supported: "),
        ("oracle", "Oracle is not supported: "),
        ("mongodb", "MongoDB is not supported: "),
        ("redis rediss", "Redis is not supported: "),
        (THAT, "that database is not supported: "),
    ];
    if scheme.contains('=') {
        return format!("there is a name with = before the database URL; keep the URL alone ({FORMS})");
    }
    if scheme.starts_with("jdbc:") {
        return format!(
            "JDBC's URLs are not supported; take off jdbc: and put user and password before the host ({FORMS})"
        );
    }
    if dialect == "file" {
        return FILE_URI.to_owned();
    }
    let other = OTHERS
        .iter()
        .find(|(names, _)| names.split(' ').any(|name| name == dialect));
    let cure = match nearest(dialect, ["postgresql", "postgres", "sqlite"]) {
        Some(meant) if other.is_none() => format!("did you mean {meant}://? "),
        _ => String::new(),
    };
    let other = other.map_or("", |(_, words)| words);
    format!("{other}only PostgreSQL and SQLite can be watched; {cure}{FORMS}")
}

/// That a text reads like libpq's `key=value` with an unknown first key, which as a path would name a file that isn't there.
fn misspelt_keyword(text: &str) -> Option<String> {
    let (first, rest) = text.split_once('=')?;
    let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    let goes_on = || {
        let next = |part: &str| {
            part.split_once('=')
                .is_some_and(|(next, _)| libpq::begins_with_keyword(&format!("{next}=")))
        };
        rest.split_whitespace().skip(1).any(next)
    };
    (is_word(first.trim()) && goes_on()).then(|| format!("the first keyword is not one that libpq knows; {FORMS}"))
}

const FILE_URI: &str = "SQLite's file: URIs are not supported; write sqlite:////absolute/file";

/// What stands behind `sqlite:`.
fn sqlite_url(text: &str) -> Result<PathBuf, String> {
    // SQLAlchemy's arguments for the driver (timeout and the like) say nothing about which file it is.
    let path = text.split_once('?').map_or(text, |(path, _)| path);
    if libpq::decode(path).is_ok_and(|decoded| decoded != path) {
        return Err(
            "SQLAlchemy 2.1 reads %20 in the path of SQLite as a blank and 2.0 as it stands; give the path without sqlite:"
                .to_owned(),
        );
    }
    sqlite_path(path)
}

fn sqlite_path(path: &str) -> Result<PathBuf, String> {
    match path {
        "" | ":memory:" => {
            Err("a SQLite database in memory belongs to one process and can't be watched; name its file".to_owned())
        }
        // Behind `sqlite:` an absolute path is one beyond doubt.
        _ if like_credentials(path) && (path.contains("://") || !path.starts_with(['/', '.'])) => Err(misspelt()),
        _ if path.starts_with("file:") => Err(FILE_URI.to_owned()),
        _ if path.starts_with("~/") => Err("~ stands for no folder here; write the whole path".to_owned()),
        _ => Ok(PathBuf::from(path)),
    }
}

fn misspelt() -> String {
    format!(
        "it reads like `user:password@host` of a URL whose beginning is missing or misspelt; {FORMS}, and a file with such a \
         name as ./name or sqlite:////absolute/name"
    )
}

/// Whether a text without a scheme is what is left of a URL that had one, such as `//user:password@host` or
/// `postgres:user:password`. Taken for a path it would be shown: paths are no secret.
fn lost_its_scheme(text: &str) -> bool {
    let first = text.split_once(':').map_or("", |(first, _)| first);
    let dialect = first.split('+').next().unwrap_or_default().to_ascii_lowercase();
    matches!(dialect.as_str(), "postgres" | "postgresql") || like_credentials(text) && !text.starts_with('.')
}
