//! The keywords of a PostgreSQL connection, and the two ways to write them: URL and `key=value`.
//!
//! Owns what each keyword may hold, and which of them the driver does not know. Knows nothing of SQLite or of files.

use super::text::nearest;
use std::net::IpAddr;

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
    /// Would be a false promise if it were left out.
    Refused,
}

use Treatment::{Ignored, Ours, Pass, Refused, Rename};

/// Every libpq keyword that has a meaning here.
const KEYWORDS: &[(&str, Treatment)] = &[
    ("host", Pass(any)),
    ("hostaddr", Pass(addresses)),
    ("port", Pass(ports)),
    ("dbname", Pass(any)),
    ("user", Pass(any)),
    ("password", Pass(any)),
    ("options", Pass(any)),
    ("application_name", Pass(any)),
    ("connect_timeout", Pass(integer)),
    ("tcp_user_timeout", Pass(integer)),
    ("keepalives", Pass(natural)),
    ("keepalives_idle", Pass(integer)),
    ("keepalives_interval", Pass(integer)),
    ("keepalives_count", Rename("keepalives_retries", natural)),
    ("sslnegotiation", Pass(|value| ["postgres", "direct"].contains(&value))),
    (
        "channel_binding",
        Pass(|value| ["disable", "prefer", "require"].contains(&value)),
    ),
    (
        "load_balance_hosts",
        Pass(|value| ["disable", "random"].contains(&value)),
    ),
    ("sslmode", Ours),
    ("sslrootcert", Ours),
    ("sslcert", Ours),
    ("sslkey", Ours),
    ("passfile", Ours),
    ("target_session_attrs", Ours),
    ("client_encoding", Ignored),
    ("fallback_application_name", Ignored),
    ("gssencmode", Ignored),
    ("gssdelegation", Ignored),
    ("gsslib", Ignored),
    ("krbsrvname", Ignored),
    ("sslcompression", Ignored),
    ("sslsni", Ignored),
    ("require_auth", Refused),
    ("requirepeer", Refused),
    ("service", Refused),
    ("sslcertmode", Refused),
    ("sslcrl", Refused),
    ("sslcrldir", Refused),
    ("sslpassword", Refused),
    ("ssl_min_protocol_version", Refused),
    ("ssl_max_protocol_version", Refused),
    ("replication", Refused),
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

fn ports(value: &str) -> bool {
    value
        .split(',')
        .all(|port| port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn addresses(value: &str) -> bool {
    value.split(',').all(|address| address.parse::<IpAddr>().is_ok())
}

/// Whether a text is a libpq keyword; tells `host=db` from a file path.
pub(super) fn is_keyword(text: &str) -> bool {
    KEYWORDS.iter().any(|(keyword, _)| *keyword == text)
}

/// What happens to a keyword.
///
/// # Errors
/// It is unknown or refused. An unknown one is not repeated: in a URL whose password is not encoded it may be a part
/// of that password.
pub(super) fn treatment_of(keyword: &str) -> Result<Treatment, String> {
    match KEYWORDS.iter().find(|(known, _)| *known == keyword) {
        Some((_, Refused)) => Err(format!("the keyword {keyword} is not supported; leave it out")),
        Some((_, treatment)) => Ok(*treatment),
        None => Err(match nearest(keyword, KEYWORDS.iter().map(|(known, _)| *known)) {
            Some(known) => format!("a keyword is unknown; did you mean {known}?"),
            None => "a keyword is unknown; expected libpq's, such as sslmode or connect_timeout".to_owned(),
        }),
    }
}

/// A PostgreSQL connection as it was written, taken apart.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// User name and password of a URL, still encoded.
    pub(super) credentials: Option<(String, Option<String>)>,
    /// Hosts and ports of a URL, still encoded.
    pub(super) authority: String,
    /// `/database` of a URL, still encoded.
    pub(super) path: String,
    /// Keywords with decoded values, in order.
    pub(super) keywords: Vec<(String, String)>,
}

/// Takes the part of a URL behind `://` apart, in the same order as libpq and the driver do.
///
/// # Errors
/// With what is wrong; never a piece of the URL.
pub(super) fn split_url(rest: &str) -> Result<Parts, String> {
    let mut parts = Parts::default();
    let (credentials, rest) = match rest.split_once('@') {
        Some((head, tail)) if is_credentials(head) => (Some(head), tail),
        _ => (None, rest),
    };
    parts.credentials = credentials.map(|text| match text.split_once(':') {
        Some((user, password)) => (user.to_owned(), Some(password.to_owned())),
        None => (text.to_owned(), None),
    });
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match place.find('/') {
        Some(at) => place.split_at(at),
        None => (place, ""),
    };
    if authority.contains('@') || path.contains('@') {
        return Err("an @ too many; write @ in a password as %40, and / as %2F".to_owned());
    }
    check_authority(authority)?;
    authority.clone_into(&mut parts.authority);
    path.clone_into(&mut parts.path);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (keyword, value) = pair.split_once('=').ok_or("a keyword behind the ? has no =value")?;
        parts.keywords.push((decode(keyword)?, decode(value)?));
    }
    Ok(parts)
}

/// Whether what stands before the first @ is user and password. SQLAlchemy allows a / or ? in a password, so it may be
/// neither: in `host:5432/db?application_name=a@b` the text behind the : is a port.
fn is_credentials(head: &str) -> bool {
    let Some(end) = head.find(['/', '?']) else { return true };
    match head[..end].split_once(':') {
        Some((_, port)) => !ports(port),
        None => false,
    }
}

fn check_authority(authority: &str) -> Result<(), String> {
    for host in authority.split(',') {
        let port = match host.strip_prefix('[') {
            Some(address) => {
                let (address, port) = address.split_once(']').ok_or("an IPv6 address has no closing ]")?;
                if address.parse::<IpAddr>().is_err() {
                    return Err("the text between [ and ] is no IPv6 address".to_owned());
                }
                port.strip_prefix(':').or((!port.is_empty()).then_some("bad"))
            }
            None => host.split_once(':').map(|(_, port)| port),
        };
        if port.is_some_and(|port| port.is_empty() || !ports(port)) {
            return Err(
                "a port is not a number from 1 to 65535 (a / @ : ? in a password must be written %2F %40 %3A %3F)"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

/// Resolves `%41`.
fn decode(text: &str) -> Result<String, String> {
    const PROBLEM: &str = "a % is not followed by two hex digits of UTF-8 text; write a lone % as %25";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let [high, low, behind @ ..] = tail else {
                return Err(PROBLEM.to_owned());
            };
            let digit = |byte: &u8| {
                char::from(*byte)
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
            };
            let (high, low) = digit(high).zip(digit(low)).ok_or(PROBLEM)?;
            bytes.push(high * 16 + low);
            rest = behind;
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map_err(|_| PROBLEM.to_owned())
}

/// Writes a value so that [`decode`] and the driver read it back.
pub(super) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~/:,*".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
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
