//! How SQLAlchemy reads a PostgreSQL URL, as far as it differs from libpq: it is what stands between Meltano and libpq.
//!
//! Owns SQLAlchemy's expression for a URL (`sqlalchemy/engine/url.py`, `_parse_url`) and its rules for several hosts
//! (`dialects/postgresql/base.py`, `_split_multihost_from_url`). A test asks the real one.

use super::libpq::{Parts, SEVERAL_HOSTS, Said, are_ports, decode, in_libpqs_words};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Takes the part of a URL behind `://` apart as SQLAlchemy's expression does: a password may hold `/`, `?` and `:`, and a user
/// name may hold `@`.
///
/// # Errors
/// Where SQLAlchemy, or libpq with what SQLAlchemy makes of it, refuses the URL; never a piece of the text.
pub(super) fn split(rest: &str) -> Result<Parts, String> {
    let (credentials, rest) = credentials(rest);
    let place_ends = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(place_ends);
    let (path, query) = match behind.split_once('?') {
        Some((path, query)) => (path, query),
        None => (behind, ""),
    };
    let mut parts = Parts {
        credentials,
        authority: authority.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        keywords: Vec::new(),
    };
    for pair in query.split('&') {
        // As `urllib.parse.parse_qsl`: a keyword without a value says nothing, and a plus is a blank.
        if let Some((keyword, value)) = pair.split_once('=')
            && !value.is_empty()
        {
            let blanks = |text: &str| decode(&text.replace('+', " "));
            parts.keywords.push(in_libpqs_words(blanks(keyword)?, blanks(value)?));
        }
    }
    Ok(parts)
}

/// `(?:(?P<username>[^:/]*)(?::(?P<password>[^@]*))?@)?`
fn credentials(rest: &str) -> (Option<(String, Option<String>)>, &str) {
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (user, behind) = rest.split_at(end);
    if let Some((password, place)) = behind.strip_prefix(':').and_then(|behind| behind.split_once('@')) {
        return (Some((user.to_owned(), Some(password.to_owned()))), place);
    }
    match user.rsplit_once('@') {
        Some((user, _)) => (Some((user.to_owned(), None)), &rest[user.len() + 1..]),
        None => (None, rest),
    }
}

/// The keywords that SQLAlchemy hands to libpq.
///
/// # Errors
/// Where SQLAlchemy, or libpq with what SQLAlchemy makes of it, refuses the URL; never a piece of the text.
pub(super) fn said(parts: &Parts) -> Result<Said, String> {
    let mut said = Said::default();
    if let Some((user, password)) = &parts.credentials {
        said.set_unless_empty("user", decode_leniently(user)?);
        said.set_unless_empty("password", decode_leniently(password.as_deref().unwrap_or_default())?);
    }
    let (host, port) = host_and_port(&parts.authority)?;
    if host.contains(['%', '@']) || port.contains(',') || !are_ports(port) {
        return Err("SQLAlchemy takes no such host or port".to_owned());
    }
    said.set_unless_empty("host", host.to_owned());
    said.set_unless_empty("port", port.to_owned());
    said.set_unless_empty("dbname", decode(parts.path.strip_prefix('/').unwrap_or_default())?);
    let of_keyword = |wanted: &str| -> Vec<&str> {
        let pairs = parts.keywords.iter().filter(|(keyword, _)| keyword == wanted);
        pairs.map(|(_, value)| value.as_str()).collect()
    };
    for (keyword, value) in &parts.keywords {
        said.set(keyword, value.clone())?;
    }
    several_hosts(&of_keyword("host"), &of_keyword("port"), &mut said)?;
    Ok(said)
}

/// `(?:\[(?P<ipv6host>[^/\?]+)\]|(?P<ipv4host>[^/:\?]+))?(?::(?P<port>[^/\?]*))?`
fn host_and_port(authority: &str) -> Result<(&str, &str), String> {
    let bracketed = authority.strip_prefix('[').and_then(|inner| inner.rsplit_once(']'));
    let (host, behind) = match bracketed {
        Some(split) => split,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    match behind.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if behind.is_empty() => Ok((host, "")),
        None => Err("SQLAlchemy drops what stands behind the address".to_owned()),
    }
}

/// `host=a:1&host=b:2`, `host=a:1`, or `host=a,b&port=1,2`.
fn several_hosts(hosts: &[&str], ports: &[&str], said: &mut Said) -> Result<(), String> {
    let is_name = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let mut integrated: Option<Vec<(&str, &str)>> = None;
    match hosts {
        [] => return Ok(()),
        [one] if ports.is_empty() => {
            let split = one.split_once(':');
            integrated = split
                .filter(|(host, port)| is_name(host) && digits(port))
                .map(|it| vec![it]);
            if integrated.is_none() {
                let listed: Vec<&str> = one.split(',').collect();
                if listed.len() > 1 {
                    said.set("port", ",".repeat(listed.len() - 1))?;
                }
            }
        }
        [_] => {}
        several => {
            integrated = Some(
                several
                    .iter()
                    .map(|token| token.split_once(':').unwrap_or((token, "")))
                    .collect(),
            )
        }
    }
    let Some(integrated) = integrated else { return Ok(()) };
    if !ports.is_empty() || integrated.iter().any(|(_, port)| !digits(port)) {
        return Err(SEVERAL_HOSTS.to_owned());
    }
    let join = |list: Vec<&str>| list.join(",");
    said.set("host", join(integrated.iter().map(|(host, _)| *host).collect()))?;
    let ports = join(integrated.iter().map(|(_, port)| *port).collect());
    // SQLAlchemy leaves the port of the authority in force where a single host names none.
    if !ports.is_empty() {
        said.set("port", ports)?;
    }
    Ok(())
}

/// As `urllib.parse.unquote`: what is no escape stands for itself.
///
/// # Errors
/// The whole is no text. `unquote` puts a sign in the place of such bytes that no one can mean.
fn decode_leniently(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8().ok();
    let decoded = decoded.filter(|decoded| !decoded.contains('\0'));
    decoded
        .map(Cow::into_owned)
        .ok_or_else(|| "the user or the password is no UTF-8 text; write a lone % as %25".to_owned())
}
