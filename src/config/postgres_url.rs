//! Which server a URL of PostgreSQL means: as libpq and SQLAlchemy read it, completed as libpq does.
//!
//! Owns what happens where these two differ. Opens nothing; no problem repeats a piece of the text, since any piece may be a
//! password.

use super::{
    Secret,
    defaults::Defaults,
    libpq::{self, KEYWORDS, Parts, Said, Treatment},
    shown_url::{Hidden, is_hidden, is_shown, shown_url},
    sqlalchemy,
};
use crate::connection::{SslMode, TargetSessionAttrs};
use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// A PostgreSQL connection: what the driver reads on its own, and beside it what it does not know.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// `key='value'` text for the parser of tokio-postgres, with every host, its port, the user and the database named; none
    /// of the settings below is in it.
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
    /// The variables that completed the URL.
    pub completed_by: Vec<&'static str>,
    shown: String,
    /// The same without what is hidden in it.
    open: String,
    has_password: bool,
}

/// Who reads a URL, by its scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// `postgres://`, which SQLAlchemy does not know.
    Libpq,
    /// `postgresql://`.
    Both,
    /// `postgresql+driver://`, which libpq does not know; the driver hands everything to libpq.
    SqlAlchemy,
    /// The same with a driver that has defaults of its own.
    OwnDefaults,
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

    /// The URL without password and without settings that may hold one, for a file that others may read: where the variables that
    /// take their place are set, it means the same.
    pub fn without_secrets(&self) -> &str {
        &self.open
    }

    /// From what stands before and behind `://`.
    pub(super) fn from_url(
        (scheme, rest): (&str, &str),
        readers: Readers,
        defaults: &Defaults,
    ) -> Result<Self, String> {
        let (parts, said) = read(rest, readers, defaults)?;
        if readers == Readers::OwnDefaults {
            demand_everything(&said, defaults)?;
        }
        let mut url = Self::complete(said.clone(), defaults)?;
        let in_query = parts.keywords.iter().any(|(name, _)| name == "password");
        url.has_password = in_query || matches!(&parts.credentials, Some((_, Some(_))));
        // The scheme that everyone knows, unless the two who know it read the rest in two ways.
        let is_clear = readers == Readers::Both || read_as_both(rest, defaults).is_ok();
        let (shown_scheme, readers_of_shown) = match is_clear {
            true => ("postgresql", Readers::Both),
            false => (scheme, readers),
        };
        url.shown = shown_url(shown_scheme, &parts, Hidden::Starred);
        url.open = shown_url(shown_scheme, &parts, Hidden::LeftOut);
        // It is spelt as everyone may read it, so where this one was read by one alone the other may have a word in it.
        let (_, rest_of_shown) = url.shown.split_once("://").expect("a scheme");
        let open = |said: Said| Self::complete(said.without(|name| is_hidden(name) || !is_shown(name)), defaults);
        match read(rest_of_shown, readers_of_shown, defaults).is_ok_and(|(_, again)| open(again) == open(said)) {
            true => Ok(url),
            false => Err(
                "one of libpq and SQLAlchemy reads this URL, and only as it is spelt; write hosts and ports as \
                 ?host=a,b&port=1,2, and @ : / ? = in a value as %40 %3A %2F %3F %3D"
                    .to_owned(),
            ),
        }
    }

    /// From libpq's `key=value`.
    pub(super) fn from_keywords(text: &str, defaults: &Defaults) -> Result<Self, String> {
        let mut said = Said::default();
        let (mut pairs, mut has_password) = (Vec::new(), false);
        let mut open: Vec<(String, String)> = Vec::new();
        for (name, value) in libpq::split_keywords(text)? {
            // Of a keyword that is there twice the last value holds; only that one is checked, and shown.
            pairs.retain(|(earlier, _)| *earlier != name);
            open.retain(|(earlier, _)| *earlier != name);
            if is_shown(&name) && !is_hidden(&name) {
                open.push((name.clone(), pair(&name, &value)));
            }
            if is_shown(&name) {
                let value = if is_hidden(&name) { "***" } else { value.as_str() };
                pairs.push((name.clone(), pair(&name, value)));
            }
            has_password |= name == "password";
            said.set(&name, value)?;
        }
        let url = Self::complete(said, defaults)?;
        let joined = |pairs: Vec<(String, String)>| match pairs.is_empty() {
            // No text would be no database; such a URL leaves everything open.
            true => "postgresql://".to_owned(),
            false => pairs.into_iter().map(|(_, pair)| pair).collect::<Vec<_>>().join(" "),
        };
        Ok(Self {
            shown: joined(pairs),
            open: joined(open),
            has_password,
            ..url
        })
    }

    /// Completes what a text says as libpq does, and sorts it by who reads it.
    fn complete(mut said: Said, defaults: &Defaults) -> Result<Self, String> {
        let mut completed_by = Vec::new();
        for keyword in KEYWORDS {
            if said.get(keyword.name).is_none()
                && let Some(value) = defaults.variable(keyword.variable)
            {
                said.set(keyword.name, value.to_owned())?;
                completed_by.push(keyword.variable);
            }
        }
        let mut driver = place(&said, defaults)?;
        for keyword in KEYWORDS {
            let Some(value) = said.get(keyword.name).filter(|value| !value.is_empty()) else {
                continue;
            };
            let is_completed = completed_by.contains(&keyword.variable);
            let name = if is_completed { keyword.variable } else { keyword.name };
            // It would be shown: a URL that was put behind a keyword has a password in it.
            if !is_hidden(keyword.name) && value.contains('@') && value.contains(':') {
                return Err(format!("the value of {name} reads like `user:password@host` of a URL"));
            }
            let (written, check) = match keyword.treatment {
                Treatment::Pass(check) => (Some(keyword.name), check),
                Treatment::Rename(name, check) => (Some(name), check),
                Treatment::Kept(check) => (None, check),
                Treatment::Ours | Treatment::Ignored => continue,
                Treatment::Refused if is_completed => {
                    return Err(format!(
                        "the variable {name} is set, and what it asks for is not supported; unset it"
                    ));
                }
                Treatment::Refused if name == "service" => {
                    return Err(
                        "the keyword service is not supported; name host, port, user and dbname instead".to_owned(),
                    );
                }
                Treatment::Refused => return Err(format!("the keyword {name} is not supported; leave it out")),
            };
            match written {
                _ if check(value) => driver.extend(written.map(|written| pair(written, value))),
                Some(_) => return Err(format!("the value of {name} is not one that libpq knows")),
                None => return Err(format!("this value of {name} is not supported; leave it out")),
            }
        }
        let file = |name| said.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let sslrootcert = file("sslrootcert");
        Ok(Self {
            text: Secret::new(driver.join(" ")),
            sslmode: mode(said.get("sslmode"), sslrootcert.as_deref())?,
            sslrootcert,
            sslcert: file("sslcert"),
            sslkey: file("sslkey"),
            target_session_attrs: session(said.get("target_session_attrs"))?,
            passfile: file("passfile"),
            completed_by,
            shown: String::new(),
            open: String::new(),
            has_password: false,
        })
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({})", self.shown)
    }
}

type ReadUrl = Result<(Parts, Said), String>;

/// The outer error is ours and final; the inner one is what libpq says.
fn libpq(rest: &str) -> Result<ReadUrl, String> {
    read_url(libpq::split_url(rest), libpq::said)
}

/// The outer error is ours and final; the inner one is what SQLAlchemy says.
fn sqlalchemy(rest: &str) -> Result<ReadUrl, String> {
    read_url(sqlalchemy::split(rest), sqlalchemy::said)
}

fn read_url(split: Result<Parts, String>, said: fn(&Parts) -> Result<Said, String>) -> Result<ReadUrl, String> {
    if let Ok(parts) = &split {
        parts.check()?;
    }
    Ok(split.and_then(|parts| {
        let said = said(&parts)?;
        Ok((parts, said))
    }))
}

/// What stands behind `://`, as those read it who know its scheme.
fn read(rest: &str, readers: Readers, defaults: &Defaults) -> ReadUrl {
    match readers {
        Readers::Libpq => read_as_libpq(rest),
        Readers::Both => read_as_both(rest, defaults),
        Readers::SqlAlchemy | Readers::OwnDefaults => read_as_sqlalchemy(rest),
    }
}

/// As libpq; as SQLAlchemy where libpq refuses, so that no one is sent elsewhere.
fn read_as_libpq(rest: &str) -> ReadUrl {
    match libpq(rest)? {
        Ok((parts, _)) if parts.repeats_host() => {
            Err("the keyword host is there twice: libpq takes the last alone; write host=a,b".to_owned())
        }
        Ok(read) => Ok(read),
        Err(problem) => sqlalchemy(rest)?.map_err(|_| problem),
    }
}

/// As SQLAlchemy; as libpq where SQLAlchemy refuses, so that no one is sent elsewhere.
fn read_as_sqlalchemy(rest: &str) -> ReadUrl {
    match sqlalchemy(rest)? {
        Ok(read) => Ok(read),
        Err(problem) => match libpq(rest)? {
            Ok((parts, _)) if parts.repeats_host() => Err(problem),
            read => read,
        },
    }
}

/// As both, which have to agree. Several `host` are SQLAlchemy's own way to write a list.
fn read_as_both(rest: &str, defaults: &Defaults) -> ReadUrl {
    let (by_libpq, by_sqlalchemy) = (libpq(rest)?, sqlalchemy(rest)?);
    match (by_libpq, by_sqlalchemy) {
        (Ok((parts, _)), by_sqlalchemy) if parts.repeats_host() => by_sqlalchemy,
        (Ok((parts, said)), Ok((_, other))) => {
            let one = PostgresUrl::complete(said.clone(), defaults)?;
            match PostgresUrl::complete(other.clone(), defaults) {
                Ok(two) if one == two => Ok((parts, said)),
                _ => Err(differs(&parts, &said, &other)),
            }
        }
        (Ok(read), Err(_)) | (Err(_), Ok(read)) => Ok(read),
        (Err(problem), Err(_)) => Err(problem),
    }
}

/// That libpq and SQLAlchemy would connect differently, and how to write what is meant.
fn differs(parts: &Parts, said: &Said, other: &Said) -> String {
    let differing = KEYWORDS
        .iter()
        .find(|keyword| said.get(keyword.name) != other.get(keyword.name));
    let what = differing.map_or("value", |keyword| keyword.name);
    let cure = if parts.query.contains('@') {
        "write @ : / ? in a password as %40 %3A %2F %3F, and @ behind the ? as %40"
    } else if parts.query.contains('+') {
        "behind the ? write a + as %2B and a blank as %20"
    } else if parts.query.split('&').any(|pair| pair.ends_with('=')) {
        "leave out keywords without a value"
    } else {
        "give each host its own port, as in ?host=a,b&port=1,2"
    };
    format!("libpq and SQLAlchemy read a different {what} out of this URL; {cure}")
}

/// The driver's defaults are not libpq's, so nothing may be left to them.
fn demand_everything(said: &Said, defaults: &Defaults) -> Result<(), String> {
    let is_open = |name: &&&str| said.get(name).is_none_or(str::is_empty);
    let surprises = |name: &str, variable: &str| said.get(name).is_none() && defaults.variable(variable).is_some();
    let open = ["host", "user", "dbname"].iter().find(is_open).copied();
    let open = open.or(surprises("port", "PGPORT").then_some("port"));
    match open.or(surprises("hostaddr", "PGHOSTADDR").then_some("hostaddr")) {
        Some(open) => Err(format!(
            "the URL leaves {open} open, for which asyncpg and pg8000 have defaults of their own; name it in the URL"
        )),
        None => Ok(()),
    }
}

/// Whether a host may be what libpq takes for one: a folder of a socket, or something to look up. A bracket that is left belongs to
/// no address: SQLAlchemy hands `[::1]:1,[::2]` on as the one host `::1]:1,[::2`.
fn may_be_host(host: &str) -> bool {
    !host.starts_with('@')
        && !host.contains(char::is_whitespace)
        && (host.starts_with('/') || !host.contains(['[', ']']))
}

/// Hosts, ports, user and database, each by name, for the driver's parser.
fn place(said: &Said, defaults: &Defaults) -> Result<Vec<String>, String> {
    let said = |name| said.get(name).filter(|value: &&str| !value.is_empty());
    let list = |name| said(name).map_or_else(Vec::new, |value| value.split(',').collect::<Vec<_>>());
    let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    if addresses.iter().any(|address| address.parse::<IpAddr>().is_err()) {
        return Err("the value of hostaddr is not one that libpq knows: an IP address".to_owned());
    }
    let count = hosts.len().max(addresses.len()).max(1);
    let fits = |given: usize| given == 0 || given == count;
    if !fits(hosts.len()) || !fits(addresses.len()) || ports.len() > 1 && ports.len() != count {
        return Err(format!(
            "{} hosts, {} addresses and {} ports don't fit together; as many of each, or one port for all",
            hosts.len(),
            addresses.len(),
            ports.len()
        ));
    }
    let mut numbers = Vec::new();
    for index in 0..count {
        let port = ports.get(index).or(ports.first()).filter(|port| !port.is_empty());
        let number = port.map_or(Ok(5432), |port| port.parse::<u16>());
        let number = number.ok().filter(|number| *number > 0);
        numbers.push(number.ok_or("the value of port is not one that libpq knows: 1 to 65535")?);
    }
    let mut written = Vec::new();
    let named = numbers.iter().enumerate().map(|(index, port)| match hosts.get(index) {
        Some(host) if !may_be_host(host) => {
            Err("the value of host is no name, no address and no folder of a socket".to_owned())
        }
        Some(host) if !host.is_empty() => Ok((*host).to_owned()),
        // The address stands for the name: in the password file, and in the server's certificate.
        _ if !addresses.is_empty() => Ok(addresses[index].to_owned()),
        _ => Ok(defaults.socket_folder(*port).display().to_string()),
    });
    written.push(pair("host", &named.collect::<Result<Vec<_>, _>>()?.join(",")));
    if !addresses.is_empty() {
        written.push(pair("hostaddr", &addresses.join(",")));
    }
    let numbers: Vec<String> = numbers.iter().map(u16::to_string).collect();
    written.push(pair("port", &numbers.join(",")));
    let user = said("user").map_or_else(|| defaults.user(), Ok)?;
    written.push(pair("user", user));
    written.push(pair("dbname", said("dbname").unwrap_or(user)));
    Ok(written)
}

/// The mode that is said, else libpq's default. With every authority that the system knows the name has to be verified, since
/// everyone gets a certificate for some name: libpq takes `verify-full` alone there, and so do we.
fn mode(said: Option<&str>, sslrootcert: Option<&Path>) -> Result<SslMode, String> {
    let said = said
        .filter(|value| !value.is_empty())
        .map(|value| SslMode::from_spelling(value).ok_or_else(|| expected_one_of("sslmode", SslMode::SPELLINGS)));
    let trusts_system = sslrootcert == Some(Path::new("system"));
    match said.transpose()? {
        Some(mode) if trusts_system && mode != SslMode::VerifyFull => Err(format!(
            "sslmode={} is too weak for sslrootcert=system; use verify-full, which is the default there",
            mode.as_str()
        )),
        Some(mode) => Ok(mode),
        None if trusts_system => Ok(SslMode::VerifyFull),
        None => Ok(SslMode::Prefer),
    }
}

fn session(said: Option<&str>) -> Result<Option<TargetSessionAttrs>, String> {
    const KNOWN: &[&str] = &["any", "read-write", "read-only", "primary", "standby"];
    match said.filter(|value| !value.is_empty()) {
        None => Ok(None),
        Some("primary") => Ok(Some(TargetSessionAttrs::ReadWrite)),
        Some("standby") => Ok(Some(TargetSessionAttrs::ReadOnly)),
        Some(other) => {
            let attrs = TargetSessionAttrs::from_spelling(other);
            attrs
                .map(Some)
                .ok_or_else(|| expected_one_of("target_session_attrs", KNOWN))
        }
    }
}

fn expected_one_of(keyword: &str, known: &[&str]) -> String {
    format!("the value of {keyword} is unknown; expected {}", known.join(", "))
}

/// `key='value'`, as libpq and the driver read it.
fn pair(name: &str, value: &str) -> String {
    format!("{name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}
