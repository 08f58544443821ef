//! The keywords of a PostgreSQL connection, and libpq's two ways to write them: URL and `key=value`.
//!
//! Owns what each keyword may hold, which variable stands for it where it is not said, and which of them the driver does not
//! know. Knows nothing of SQLite or of files.

use crate::nearest::nearest;
use percent_encoding::percent_decode_str;
use std::{collections::BTreeMap, net::IpAddr};

/// What happens to a keyword.
#[derive(Clone, Copy)]
pub(super) enum Treatment {
    /// Handed to the driver as it is, if its value passes the check.
    Pass(fn(&str) -> bool),
    /// Handed to the driver under the driver's name for it.
    Rename(&'static str, fn(&str) -> bool),
    /// Kept by us: the driver knows less of it than libpq, or nothing.
    Ours,
    /// Says nothing that matters to Beatwarden; left out.
    Ignored,
    /// Left out where we do as the value says anyway; any other value would be a false promise.
    Kept(fn(&str) -> bool),
    /// Would be a false promise if it were left out.
    Refused,
}

use Treatment::{Ignored, Kept, Ours, Pass, Refused, Rename};

/// A keyword of libpq.
pub(super) struct Keyword {
    pub(super) name: &'static str,
    /// The variable that libpq takes where the text does not say it; empty where there is none.
    pub(super) variable: &'static str,
    pub(super) treatment: Treatment,
}

const fn keyword(name: &'static str, variable: &'static str, treatment: Treatment) -> Keyword {
    Keyword {
        name,
        variable,
        treatment,
    }
}

/// Every libpq keyword that has a meaning here.
#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[
    keyword("host", "PGHOST", Ours),
    keyword("hostaddr", "PGHOSTADDR", Ours),
    keyword("port", "PGPORT", Ours),
    keyword("dbname", "PGDATABASE", Ours),
    keyword("user", "PGUSER", Ours),
    keyword("password", "PGPASSWORD", Pass(any)),
    keyword("options", "PGOPTIONS", Pass(any)),
    keyword("application_name", "PGAPPNAME", Pass(any)),
    keyword("connect_timeout", "PGCONNECT_TIMEOUT", Pass(integer)),
    keyword("tcp_user_timeout", "", Pass(integer)),
    keyword("keepalives", "", Pass(natural)),
    keyword("keepalives_idle", "", Pass(integer)),
    keyword("keepalives_interval", "", Pass(integer)),
    keyword("keepalives_count", "", Rename("keepalives_retries", natural)),
    keyword("sslnegotiation", "PGSSLNEGOTIATION", Pass(|value| ["postgres", "direct"].contains(&value))),
    keyword("channel_binding", "PGCHANNELBINDING", Pass(|value| ["disable", "prefer", "require"].contains(&value))),
    keyword("load_balance_hosts", "PGLOADBALANCEHOSTS", Pass(|value| ["disable", "random"].contains(&value))),
    keyword("sslmode", "PGSSLMODE", Ours),
    keyword("sslrootcert", "PGSSLROOTCERT", Ours),
    keyword("sslcert", "PGSSLCERT", Ours),
    keyword("sslkey", "PGSSLKEY", Ours),
    keyword("passfile", "PGPASSFILE", Ours),
    keyword("target_session_attrs", "PGTARGETSESSIONATTRS", Ours),
    keyword("client_encoding", "", Ignored),
    keyword("fallback_application_name", "", Ignored),
    keyword("gssdelegation", "", Ignored),
    keyword("gsslib", "", Ignored),
    keyword("krbsrvname", "", Ignored),
    keyword("sslcompression", "", Ignored),
    keyword("sslsni", "", Ignored),
    keyword("tty", "", Ignored),
    keyword("gssencmode", "PGGSSENCMODE", Kept(|value| value != "require")),
    keyword("sslcertmode", "PGSSLCERTMODE", Kept(|value| value == "allow")),
    keyword("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION",
        Kept(|value| ["TLSv1", "TLSv1.1", "TLSv1.2"].contains(&value))),
    keyword("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Kept(|value| value == "TLSv1.3")),
    keyword("require_auth", "PGREQUIREAUTH", Refused),
    keyword("requirepeer", "PGREQUIREPEER", Refused),
    keyword("service", "PGSERVICE", Refused),
    keyword("servicefile", "", Refused),
    keyword("sslcrl", "PGSSLCRL", Refused),
    keyword("sslcrldir", "PGSSLCRLDIR", Refused),
    keyword("sslpassword", "", Refused),
    keyword("replication", "", Refused),
];

fn any(_: &str) -> bool {
    true
}

fn integer(value: &str) -> bool {
    value.parse::<i64>().is_ok()
}

fn natural(value: &str) -> bool {
    value.parse::<u32>().is_ok()
}

/// Whether a text is a list of ports; one that is left out is the default.
pub(super) fn are_ports(value: &str) -> bool {
    value
        .split(',')
        .all(|port| port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn find(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|known| known.name == name)
}

/// Whether a text begins as `key=value` does; distinguishes `host=db` from a file path.
pub(super) fn begins_with_keyword(text: &str) -> bool {
    text.split_once('=')
        .is_some_and(|(first, _)| find(first.trim()).is_some())
}

/// What a text says about a connection: the value of each keyword that it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said(BTreeMap<&'static str, String>);

impl Said {
    /// The value of a keyword.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Takes up a keyword; what stood there before is overridden.
    ///
    /// # Errors
    /// It is unknown. It is not repeated: it may be a piece of a password.
    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        let known = find(name).ok_or_else(|| unknown(name, false))?;
        self.0.insert(known.name, value);
        Ok(())
    }

    /// The same without these keywords.
    pub(super) fn without(mut self, is_left_out: fn(&str) -> bool) -> Self {
        self.0.retain(|name, _| !is_left_out(name));
        self
    }

    /// As [`Said::set`] for a keyword that exists; an empty value says nothing.
    pub(super) fn set_unless_empty(&mut self, name: &'static str, value: String) {
        if !value.is_empty() {
            self.0.insert(name, value);
        }
    }
}

/// That a keyword is unknown; with its name where it is certain that it is no piece of a password.
fn unknown(name: &str, is_no_secret: bool) -> String {
    let is_word = name.len() <= 40 && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    let named = if is_no_secret && is_word && !name.is_empty() {
        format!("the keyword {name} is unknown")
    } else {
        "a keyword is unknown".to_owned()
    };
    match nearest(name, KEYWORDS.iter().map(|known| known.name)) {
        Some(known) => format!("{named}; did you mean {known}?"),
        None => format!("{named}; expected libpq's, such as sslmode or connect_timeout"),
    }
}

const TOO_MANY_ATS: &str = "an @ too many; write @ in a password as %40, and / as %2F";

/// How several hosts are written.
pub(super) const SEVERAL_HOSTS: &str =
    "several hosts are written host=a,b&port=1,2 or host=a:1&host=b:2, and nothing in between";

/// A PostgreSQL connection as it was written, taken apart.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// User name and password of a URL, still encoded.
    pub(super) credentials: Option<(String, Option<String>)>,
    /// Hosts and ports of a URL, still encoded.
    pub(super) authority: String,
    /// `/database` of a URL, still encoded.
    pub(super) path: String,
    /// What stands behind the `?` of a URL, still encoded.
    pub(super) query: String,
    /// Keywords with decoded values, in order.
    pub(super) keywords: Vec<(String, String)>,
}

impl Parts {
    /// Refuses what neither reader of a URL refuses, but no one can mean.
    ///
    /// # Errors
    /// A keyword is unknown or says two things, or an @ stands where a password may end.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.path.contains('@') {
            return Err(TOO_MANY_ATS.to_owned());
        }
        // SQLAlchemy passes over it: nothing that was meant to protect may get lost.
        if self
            .query
            .split('&')
            .any(|pair| !pair.is_empty() && !pair.contains('='))
        {
            return Err("a keyword behind the ? has no =value".to_owned());
        }
        // An @ behind the ? may be the end of a password that holds a ?; a : before it may be its beginning.
        let is_no_secret = !self.query.contains('@') && (self.credentials.is_some() || !self.authority.contains(':'));
        for (at, (name, value)) in self.keywords.iter().enumerate() {
            if find(name).is_none() {
                return Err(unknown(name, is_no_secret));
            }
            let said_before = self.keywords[..at].iter().find(|(other, _)| other == name);
            if name != "host" && said_before.is_some_and(|(_, other)| other != value) {
                return Err(format!("the keyword {name} is there twice, with two values; keep one"));
            }
        }
        let has_port = self.keywords.iter().any(|(name, _)| name == "port");
        if self.repeats_host() && has_port {
            return Err(SEVERAL_HOSTS.to_owned());
        }
        Ok(())
    }

    /// Whether several hosts are written as SQLAlchemy does.
    pub(super) fn repeats_host(&self) -> bool {
        self.keywords.iter().filter(|(name, _)| name == "host").count() > 1
    }
}

/// JDBC's `ssl=true`, which libpq knows, and asyncpg's `ssl=require`, in libpq's words.
pub(super) fn in_libpqs_words(name: String, value: String) -> (String, String) {
    match (name.as_str(), value.as_str()) {
        ("ssl", "true") => ("sslmode".to_owned(), "require".to_owned()),
        ("ssl", "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full") => {
            ("sslmode".to_owned(), value)
        }
        _ => (name, value),
    }
}

/// Takes the part of a URL behind `://` apart in the same order as libpq does (`fe-connect.c`, `conninfo_uri_parse_options`).
///
/// # Errors
/// Where libpq refuses the URL; never a piece of the text.
pub(super) fn split_url(rest: &str) -> Result<Parts, String> {
    let mut parts = Parts::default();
    let at = rest.find(['@', '/']).filter(|at| rest[*at..].starts_with('@'));
    let rest = match at {
        Some(at) => {
            let head = &rest[..at];
            parts.credentials = Some(match head.split_once(':') {
                Some((user, password)) => (user.to_owned(), Some(password.to_owned())),
                None => (head.to_owned(), None),
            });
            &rest[at + 1..]
        }
        None => rest,
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    authority.clone_into(&mut parts.authority);
    path.clone_into(&mut parts.path);
    query.clone_into(&mut parts.query);
    hosts_and_ports(authority)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("a keyword behind the ? has no =value")?;
        if value.contains('=') {
            return Err("a value behind the ? holds a =; write it as %3D".to_owned());
        }
        parts.keywords.push(in_libpqs_words(decode(name)?, decode(value)?));
    }
    Ok(parts)
}

/// The keywords that libpq reads out of a URL: of several that are the same the last.
///
/// # Errors
/// Where libpq refuses the URL; never a piece of the text.
pub(super) fn said(parts: &Parts) -> Result<Said, String> {
    let mut said = Said::default();
    if let Some((user, password)) = &parts.credentials {
        said.set_unless_empty("user", decode(user)?);
        said.set_unless_empty("password", decode(password.as_deref().unwrap_or_default())?);
    }
    let (hosts, ports) = hosts_and_ports(&parts.authority)?;
    said.set_unless_empty("host", decode(&hosts)?);
    said.set_unless_empty("port", ports);
    said.set_unless_empty("dbname", decode(parts.path.strip_prefix('/').unwrap_or_default())?);
    for (name, value) in &parts.keywords {
        if name == "host" && !value.contains('/') && value.matches(':').count() == 1 {
            return Err("libpq takes no port in host".to_owned());
        }
        said.set(name, value.clone())?;
    }
    // It would look it up, unless another takes its place.
    if hosts.contains('@') && !parts.keywords.iter().any(|(name, _)| name == "host") {
        return Err(TOO_MANY_ATS.to_owned());
    }
    Ok(said)
}

/// Hosts and ports of an authority, each as a list with commas.
fn hosts_and_ports(authority: &str) -> Result<(String, String), String> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for host in authority.split(',') {
        let (host, port) = match host.strip_prefix('[') {
            Some(inner) => {
                let (address, behind) = inner.split_once(']').ok_or("an IPv6 address has no closing ]")?;
                let plain = address.split('%').next().unwrap_or_default();
                if plain.parse::<IpAddr>().is_err() {
                    return Err("the text between [ and ] is no IPv6 address".to_owned());
                }
                match behind.strip_prefix(':') {
                    Some(port) => (address, port),
                    None if behind.is_empty() => (address, ""),
                    None => return Err("behind the ] of an IPv6 address comes :port, or nothing".to_owned()),
                }
            }
            None => host.split_once(':').unwrap_or((host, "")),
        };
        if !are_ports(port) {
            return Err(
                "a port is not a number from 1 to 65535 (a / @ : ? in a password must be written %2F %40 %3A %3F)"
                    .to_owned(),
            );
        }
        hosts.push(host);
        ports.push(port);
    }
    Ok((hosts.join(","), ports.join(",")))
}

/// Resolves `%41`.
///
/// # Errors
/// What stands behind a % is no escape, or the whole no text.
pub(super) fn decode(text: &str) -> Result<String, String> {
    const PROBLEM: &str = "a % is not followed by two hex digits of UTF-8 text; write a lone % as %25";
    let is_escape = |behind: &str| behind.len() >= 2 && behind.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(is_escape) {
        return Err(PROBLEM.to_owned());
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| PROBLEM)?;
    match decoded.contains('\0') {
        true => Err(PROBLEM.to_owned()),
        false => Ok(decoded.into_owned()),
    }
}

/// Takes `key=value key='quoted value'` apart.
///
/// # Errors
/// With what is wrong; never a piece of the text.
pub(super) fn split_keywords(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut chars = text.chars().peekable();
    let mut pairs = Vec::new();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(pairs);
        }
        let mut keyword = String::new();
        while let Some(c) = chars.next_if(|c| !c.is_whitespace() && *c != '=') {
            keyword.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') {
            return Err("a keyword has no =value (write a value with blanks in single quotes)".to_owned());
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        pairs.push((keyword, keyword_value(&mut chars, quoted)?));
    }
}

fn keyword_value(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, quoted: bool) -> Result<String, String> {
    let mut value = String::new();
    loop {
        match chars.next() {
            None if quoted => return Err("a single quote is not closed".to_owned()),
            None => return Ok(value),
            Some('\'') if quoted => return Ok(value),
            Some(c) if !quoted && c.is_whitespace() => return Ok(value),
            Some('\\') => value.extend(chars.next()),
            Some(c) => value.push(c),
        }
    }
}
