//! Database URLs in every form that users have at hand: libpq, SQLAlchemy, plain paths.
//!
//! Owns which database a text means, and the settings of a PostgreSQL connection that the driver does not know. Opens
//! nothing. No problem that is returned here repeats a piece of the text, since any piece may be a password.

use super::Secret;
use super::libpq::{self, Treatment};
use super::text::like_credentials;
use super::types::choice;
use std::ffi::OsStr;
use std::fmt;
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

choice! {
    /// How far the connection is protected, in libpq's words.
    SslMode {
        /// Never TLS.
        Disable = "disable",
        /// TLS only if the server insists.
        Allow = "allow",
        /// TLS if the server can, plain text otherwise.
        Prefer = "prefer",
        /// TLS, with any certificate.
        Require = "require",
        /// TLS, with a certificate of a known authority.
        VerifyCa = "verify-ca",
        /// As before, and in the name of the host.
        VerifyFull = "verify-full",
    }
}

choice! {
    /// Which server of several is taken.
    TargetSessionAttrs {
        /// The first that answers.
        Any = "any",
        /// One that accepts writes (`primary` means the same here).
        ReadWrite = "read-write",
        /// One that refuses writes (`standby` means the same here).
        ReadOnly = "read-only",
    }
}

/// A PostgreSQL connection: what the driver reads by itself, and beside it what it does not know.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// URL or `key=value` text for the parser of tokio-postgres; none of the settings below is in it.
    pub text: Secret,
    /// Protection of the connection; unless given `prefer`, and `verify-full` with `sslrootcert=system`, as in libpq.
    pub sslmode: SslMode,
    /// File with the authorities to trust, or `system`.
    pub sslrootcert: Option<PathBuf>,
    /// File with our own certificate.
    pub sslcert: Option<PathBuf>,
    /// File with the key of our own certificate.
    pub sslkey: Option<PathBuf>,
    /// Which server of several is taken; `None` if the URL does not say.
    pub target_session_attrs: Option<TargetSessionAttrs>,
    /// File in the format of `.pgpass`.
    pub passfile: Option<PathBuf>,
    shown: String,
    has_password: bool,
}

impl PostgresUrl {
    /// Whether the text itself holds a password.
    pub fn has_password(&self) -> bool {
        self.has_password
    }

    /// The URL for logs and pages: no password, and no setting that may hold one.
    pub fn redacted(&self) -> &str {
        &self.shown
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({})", self.shown)
    }
}

impl DatabaseUrl {
    /// Reads a database URL.
    ///
    /// # Errors
    /// With what is wrong and what is expected; never a piece of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("the database URL is empty; {FORMS}"));
        }
        if text.contains('\0') || text.contains('\n') {
            return Err(format!("the database URL has more than one line; {FORMS}"));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            // SQLAlchemy names the driver behind a plus; ours is always the same.
            let dialect = scheme.split_once('+').map_or(scheme, |(dialect, _)| dialect);
            return match dialect.to_ascii_lowercase().as_str() {
                "postgres" | "postgresql" => PostgresUrl::from_url(rest).map(Self::Postgres),
                "sqlite" => sqlite_path(rest.strip_prefix('/').unwrap_or(rest)).map(Self::Sqlite),
                _ => Err(format!("only PostgreSQL and SQLite can be watched; {FORMS}")),
            };
        }
        if let Some(path) = text.strip_prefix("sqlite:") {
            return sqlite_path(path).map(Self::Sqlite);
        }
        match text.split_once('=') {
            Some((keyword, _)) if libpq::is_keyword(keyword.trim()) => {
                PostgresUrl::from_keywords(text).map(Self::Postgres)
            }
            _ if lost_its_scheme(text) => Err(misspelt()),
            _ => sqlite_path(text).map(Self::Sqlite),
        }
    }

    /// Reads what a file of secrets holds. A plain path is taken for one only if it looks like one: the file may as well
    /// hold a bare password, which must not be shown as the name of a file.
    ///
    /// # Errors
    /// With what is wrong and what is expected; never a piece of the text.
    pub fn parse_secret(text: &str) -> Result<Self, String> {
        let parsed = Self::parse(text)?;
        let text = text.trim();
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
            Self::Sqlite(path) => format!("sqlite:///{}", path.display()),
            Self::Postgres(url) => url.redacted().to_owned(),
        }
    }
}

fn sqlite_path(text: &str) -> Result<PathBuf, String> {
    // SQLAlchemy's arguments for the driver (timeout and the like) say nothing about which file it is.
    let path = text.split_once('?').map_or(text, |(path, _)| path);
    match path {
        "" | ":memory:" => {
            Err("a SQLite database in memory belongs to one process and can't be watched; name its file".to_owned())
        }
        // Behind `sqlite:` an absolute path is one beyond doubt.
        _ if like_credentials(path) && !path.starts_with(['/', '.']) => Err(misspelt()),
        _ if path.starts_with("file:") => {
            Err("SQLite's file: URIs are not supported; write sqlite:////absolute/file".to_owned())
        }
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

impl PostgresUrl {
    fn from_url(rest: &str) -> Result<Self, String> {
        let parts = libpq::split_url(rest)?;
        let mut taken = Taken::from(parts.keywords)?;
        taken.has_password |= matches!(parts.credentials, Some((_, Some(_))));
        taken.split_host_ports();
        let query = |pairs: &[(String, String)]| {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(key, value)| format!("{key}={}", libpq::encode(value)))
                .collect();
            if pairs.is_empty() {
                String::new()
            } else {
                format!("?{}", pairs.join("&"))
            }
        };
        let place = format!("{}{}", parts.authority, parts.path);
        let (secret, shown) = match parts.credentials {
            None => (String::new(), String::new()),
            Some((user, None)) => (format!("{user}@"), format!("{user}@")),
            Some((user, Some(password))) => (format!("{user}:{password}@"), format!("{user}:***@")),
        };
        let text = format!("postgresql://{secret}{place}{}", query(&taken.driver));
        let shown = format!("postgresql://{shown}{place}{}", query(&taken.shown));
        taken.into_url(text, shown)
    }

    fn from_keywords(text: &str) -> Result<Self, String> {
        let taken = Taken::from(libpq::split_keywords(text)?)?;
        let write = |pairs: &[(String, String)]| {
            let quote = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(key, value)| format!("{key}='{}'", quote(value)))
                .collect();
            pairs.join(" ")
        };
        let (text, shown) = (write(&taken.driver), write(&taken.shown));
        taken.into_url(text, shown)
    }
}

/// The keywords of one connection, sorted by who reads them.
#[derive(Default)]
struct Taken {
    driver: Vec<(String, String)>,
    shown: Vec<(String, String)>,
    sslmode: Option<SslMode>,
    sslrootcert: Option<PathBuf>,
    sslcert: Option<PathBuf>,
    sslkey: Option<PathBuf>,
    passfile: Option<PathBuf>,
    target_session_attrs: Option<TargetSessionAttrs>,
    has_password: bool,
}

impl Taken {
    fn from(keywords: Vec<(String, String)>) -> Result<Self, String> {
        let mut taken = Self::default();
        for (keyword, value) in keywords {
            let (name, check) = match libpq::treatment_of(&keyword)? {
                Treatment::Pass(check) => (keyword.as_str(), check),
                Treatment::Rename(name, check) => (name, check),
                Treatment::Ours => {
                    taken.keep(&keyword, &value)?;
                    taken.shown.push((keyword, value));
                    continue;
                }
                Treatment::Ignored | Treatment::Refused => continue,
            };
            // SQLAlchemy writes several hosts as host=a:1&host=b:2; split_host_ports takes them apart.
            if !check(&value) {
                return Err(format!("the value of {keyword} is not one that libpq knows"));
            }
            // options may hold any setting of the server, passwords of extensions included.
            let hidden = matches!(name, "password" | "options");
            let shown = if hidden { "***".to_owned() } else { value.clone() };
            taken.has_password |= name == "password";
            taken.shown.push((name.to_owned(), shown));
            taken.driver.push((name.to_owned(), value));
        }
        Ok(taken)
    }

    fn keep(&mut self, keyword: &str, value: &str) -> Result<(), String> {
        let path = || (!value.is_empty()).then(|| PathBuf::from(value));
        match keyword {
            "sslrootcert" => self.sslrootcert = path(),
            "sslcert" => self.sslcert = path(),
            "sslkey" => self.sslkey = path(),
            "passfile" => self.passfile = path(),
            "sslmode" => {
                let mode = SslMode::from_spelling(value);
                self.sslmode = Some(mode.ok_or_else(|| expected_one_of("sslmode", SslMode::SPELLINGS))?);
            }
            _ => {
                let attrs = match value {
                    "primary" => Some(TargetSessionAttrs::ReadWrite),
                    "standby" => Some(TargetSessionAttrs::ReadOnly),
                    other => TargetSessionAttrs::from_spelling(other),
                };
                let known = &["any", "read-write", "read-only", "primary", "standby"];
                self.target_session_attrs = Some(attrs.ok_or_else(|| expected_one_of("target_session_attrs", known))?);
            }
        }
        Ok(())
    }

    fn split_host_ports(&mut self) {
        for pairs in [&mut self.driver, &mut self.shown] {
            *pairs = std::mem::take(pairs)
                .into_iter()
                .flat_map(|(keyword, value)| match value.rsplit_once(':') {
                    Some((host, port))
                        if keyword == "host" && !host.contains([':', '/']) && port.parse::<u16>().is_ok() =>
                    {
                        vec![(keyword, host.to_owned()), ("port".to_owned(), port.to_owned())]
                    }
                    _ => vec![(keyword, value)],
                })
                .collect();
        }
    }

    /// The mode that is said, else libpq's default. Whoever trusts every authority that the system knows has to look at the
    /// name: anybody gets a certificate for some name. So there libpq takes `verify-full` alone, and so do we.
    fn mode(&self) -> Result<SslMode, String> {
        let trusts_system = self.sslrootcert.as_deref() == Some(Path::new("system"));
        match self.sslmode {
            Some(mode) if trusts_system && mode != SslMode::VerifyFull => Err(format!(
                "sslmode={} is too weak for sslrootcert=system; use verify-full, which is the default there",
                mode.as_str()
            )),
            Some(mode) => Ok(mode),
            None if trusts_system => Ok(SslMode::VerifyFull),
            None => Ok(SslMode::Prefer),
        }
    }

    fn into_url(self, text: String, shown: String) -> Result<PostgresUrl, String> {
        Ok(PostgresUrl {
            text: Secret::new(text),
            sslmode: self.mode()?,
            sslrootcert: self.sslrootcert,
            sslcert: self.sslcert,
            sslkey: self.sslkey,
            target_session_attrs: self.target_session_attrs,
            passfile: self.passfile,
            shown,
            has_password: self.has_password,
        })
    }
}

fn expected_one_of(keyword: &str, known: &[&str]) -> String {
    format!("the value of {keyword} is unknown; expected {}", known.join(", "))
}
