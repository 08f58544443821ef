//! The web configuration file: which keys there are, and what they may say.

use crate::{files, present::safe};
use bcrypt::HashParts;
use serde::{Deserialize, de::IgnoredAny};
use std::{
    collections::BTreeMap,
    fmt::Display,
    path::{Path, PathBuf},
    str::FromStr,
};

/// The web configuration can't be used. The message says why; it shows neither keys nor hashes.
#[derive(Debug, thiserror::Error)]
#[error("web configuration {}: {problem}", path.display())]
pub struct WebFileError {
    path: PathBuf,
    problem: String,
}

impl WebFileError {
    pub(super) fn new(path: &Path, problem: impl Display) -> Self {
        Self {
            path: path.to_path_buf(),
            problem: safe::line(&without_hashes(&problem.to_string())).into_owned(),
        }
    }
}

/// A text in which bcrypt hashes are hidden: a name and its hash that were swapped make the hash a key, and keys are shown.
fn without_hashes(text: &str) -> String {
    let is_of_hash = |letter: char| letter.is_ascii_alphanumeric() || "./$".contains(letter);
    let mut parts = text.split("$2");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str("***");
        shown.push_str(part.trim_start_matches(is_of_hash));
    }
    shown
}

/// A header of every answer.
pub(super) type Header = (&'static str, String);

/// A checked web configuration.
pub(super) struct WebFile {
    pub(super) tls: Option<TlsTerms>,
    pub(super) users: BTreeMap<String, String>,
    pub(super) headers: Vec<Header>,
    /// Whether it asks for a limit of requests, which is not kept.
    pub(super) rate_limit: bool,
}

/// The TLS section, its files read.
pub(super) struct TlsTerms {
    /// Our certificate chain, PEM.
    pub(super) certificate: Vec<u8>,
    /// Its key, PEM.
    pub(super) key: Vec<u8>,
    /// Authorities of clients, PEM.
    pub(super) client_authorities: Option<Vec<u8>>,
    /// What clients have to show.
    pub(super) client_auth: ClientAuth,
    /// Names of which a client's certificate must have one; none for any.
    pub(super) allowed_sans: Vec<String>,
    pub(super) oldest: Version,
    pub(super) newest: Version,
    /// Names of TLS 1.2 suites, as Go spells them; none for all.
    pub(super) suites: Vec<String>,
    /// Names of groups, as Go spells them; none for all.
    pub(super) curves: Vec<String>,
    /// Whether our order of suites counts.
    pub(super) own_order: bool,
}

/// What a client has to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum ClientAuth {
    #[default]
    #[serde(rename = "NoClientCert", alias = "RequestClientCert", alias = "")]
    None,
    #[serde(rename = "RequireAnyClientCert")]
    RequireAny,
    #[serde(rename = "VerifyClientCertIfGiven")]
    VerifyIfGiven,
    #[serde(rename = "RequireAndVerifyClientCert")]
    RequireAndVerify,
}

/// A version of TLS. What is older than 1.2 is not spoken, whatever the file allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) enum Version {
    #[serde(rename = "TLS10")]
    Tls10,
    #[serde(rename = "TLS11")]
    Tls11,
    #[serde(rename = "TLS12")]
    Tls12,
    #[serde(rename = "TLS13")]
    Tls13,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    tls_server_config: Option<WrittenTls>,
    http_server_config: WrittenHttp,
    basic_auth_users: Option<BTreeMap<String, String>>,
    /// Taken and of no effect, since the file is shared with programs that know it: connections and logins are bounded by
    /// themselves.
    rate_limit: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenTls {
    cert: Option<String>,
    cert_file: Option<PathBuf>,
    key: Option<String>,
    key_file: Option<PathBuf>,
    client_ca: Option<String>,
    client_ca_file: Option<PathBuf>,
    client_auth_type: ClientAuth,
    client_allowed_sans: Vec<String>,
    min_version: Option<Version>,
    max_version: Option<Version>,
    cipher_suites: Vec<String>,
    curve_preferences: Vec<String>,
    prefer_server_cipher_suites: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenHttp {
    /// Taken and of no effect: HTTP/1.1 is what is spoken.
    #[serde(rename = "http2")]
    _http2: Option<bool>,
    headers: BTreeMap<String, String>,
}

/// The headers that may be set.
const HEADERS: [&str; 5] = [
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
];

/// Longest file; a chain of certificates is the longest that there is.
pub(super) const MOST_BYTES: u64 = 1 << 20;

/// Slower hashes than this keep a core busy for seconds at each login.
const HIGHEST_COST: u32 = 16;

impl WebFile {
    /// Reads the file and those that it names; all of them go into `made_of`, with their contents.
    pub(super) fn read(path: &Path, made_of: &mut Vec<(PathBuf, Vec<u8>)>) -> Result<Self, WebFileError> {
        let refused = |problem: String| WebFileError::new(path, problem);
        let text = files::read_regular(path, MOST_BYTES).map_err(|error| refused(error.to_string()))?;
        made_of.push((path.to_path_buf(), text.clone()));
        let text = String::from_utf8(text).map_err(|_| refused("it is not UTF-8".to_owned()))?;
        let written = parse(&text).map_err(refused)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let tls = written.tls_server_config.map(|tls| tls.checked(folder, made_of));
        let headers = written.http_server_config.headers;
        Ok(Self {
            rate_limit: written.rate_limit.is_some(),
            tls: tls.transpose().map_err(refused)?,
            users: checked_users(written.basic_auth_users.unwrap_or_default()).map_err(refused)?,
            headers: headers
                .into_iter()
                .map(header)
                .collect::<Result<_, _>>()
                .map_err(refused)?,
        })
    }
}

/// As in the other files: by the `config` crate.
fn parse(text: &str) -> Result<Written, String> {
    // An empty file, or one of comments alone, asks for nothing.
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Ok(Written::default());
    }
    let read =
        files::parse(text, config::FileFormat::Yaml).map_err(|problem| format!("it is not valid YAML: {problem}"))?;
    read.try_deserialize().map_err(|error| files::problem_of(&error))
}

fn checked_users(users: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    for (name, hash) in &users {
        let parts = HashParts::from_str(hash).map_err(|_| {
            format!("basic_auth_users: the value of {name:?} is no bcrypt hash; make one with `htpasswd -nBC 10 \"\"`")
        })?;
        if name.contains(':') {
            // It may be a user with his password, so it isn't shown.
            return Err("basic_auth_users: a name has a colon, which no client can send".to_owned());
        }
        if parts.get_cost() > HIGHEST_COST {
            return Err(format!(
                "basic_auth_users: the hash of {name:?} has cost {}, each login would take seconds; at most {HIGHEST_COST}",
                parts.get_cost()
            ));
        }
    }
    Ok(users)
}

fn header((name, value): (String, String)) -> Result<Header, String> {
    let known = HEADERS.iter().find(|known| known.eq_ignore_ascii_case(&name));
    let known = known.ok_or_else(|| {
        format!(
            "http_server_config.headers: {name:?} can't be set; expected one of {}",
            HEADERS.join(", ")
        )
    })?;
    if value.chars().any(char::is_control) {
        return Err(format!(
            "http_server_config.headers: the value of {name} has control characters"
        ));
    }
    Ok((known, value))
}

impl WrittenTls {
    fn checked(self, folder: &Path, made_of: &mut Vec<(PathBuf, Vec<u8>)>) -> Result<TlsTerms, String> {
        let mut content = |what: &str, inline: Option<String>, file: Option<PathBuf>| match (inline, file) {
            (Some(_), Some(_)) => Err(format!("tls_server_config: {what} and {what}_file can't both be set")),
            (Some(text), None) => Ok(Some(text.into_bytes())),
            (None, Some(file)) => {
                let file = folder.join(file);
                let read = files::read_regular(&file, MOST_BYTES)
                    .map_err(|error| format!("tls_server_config.{what}_file {}: {error}", file.display()))?;
                made_of.push((file, read.clone()));
                Ok(Some(read))
            }
            (None, None) => Ok(None),
        };
        let needed =
            |what: &str| format!("tls_server_config.{what}_file is missing: TLS needs a certificate and its key");
        let certificate = content("cert", self.cert, self.cert_file)?.ok_or_else(|| needed("cert"))?;
        let key = content("key", self.key, self.key_file)?.ok_or_else(|| needed("key"))?;
        let client_authorities = content("client_ca", self.client_ca, self.client_ca_file)?;
        let verifies = matches!(
            self.client_auth_type,
            ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify
        );
        match &client_authorities {
            None if verifies => {
                return Err(
                    "tls_server_config.client_ca_file is missing: client_auth_type asks for verified certificates"
                        .to_owned(),
                );
            }
            Some(_) if !verifies => {
                return Err(
                    "tls_server_config.client_ca_file is set, and client_auth_type verifies nothing by it; expected \
                     RequireAndVerifyClientCert or VerifyClientCertIfGiven"
                        .to_owned(),
                );
            }
            _ => {}
        }
        if !self.client_allowed_sans.is_empty() && !verifies {
            return Err(
                "tls_server_config.client_allowed_sans needs client_auth_type RequireAndVerifyClientCert".to_owned(),
            );
        }
        let (oldest, newest) = (
            self.min_version.unwrap_or(Version::Tls12).max(Version::Tls12),
            self.max_version.unwrap_or(Version::Tls13),
        );
        if newest < oldest {
            return Err("tls_server_config: max_version allows nothing; TLS12 and TLS13 are spoken".to_owned());
        }
        Ok(TlsTerms {
            certificate,
            key,
            client_authorities,
            client_auth: self.client_auth_type,
            allowed_sans: self.client_allowed_sans,
            oldest,
            newest,
            suites: self.cipher_suites,
            curves: self.curve_preferences,
            own_order: self.prefer_server_cipher_suites.unwrap_or(true),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A hash that must not be shown, and pieces of a file around it.
    const HASH: &str = "$2y$10$qX7canary";
    const PIECES: [&str; 22] = [
        "tls_server_config",
        "basic_auth_users",
        "http_server_config",
        "cert_file",
        "client_auth_type",
        "min_version",
        "TLS13",
        "headers",
        "alice",
        HASH,
        ": ",
        "\n",
        "\n  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "!!binary ",
        "&a *a",
        "\t",
    ];

    #[test]
    fn a_name_and_a_hash_that_were_swapped_show_no_hash() {
        for text in [
            format!("basic_auth_users:\n  {HASH}: alice\n"),
            format!("{HASH}: alice\n"),
        ] {
            let checked = parse(&text).and_then(|written| checked_users(written.basic_auth_users.unwrap_or_default()));
            let problem = WebFileError::new(Path::new("web.yml"), checked.expect_err("swapped"));
            assert!(problem.to_string().contains("***"), "{problem}");
            assert!(!problem.to_string().contains("qX7canary"), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_file_says_no_hash_is_shown(pieces in proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 0..16)) {
            let text = pieces.concat();
            let checked = parse(&text).and_then(|written| checked_users(written.basic_auth_users.unwrap_or_default()));
            if let Err(problem) = checked {
                let problem = WebFileError::new(Path::new("web.yml"), problem).to_string();
                prop_assert!(!problem.contains("qX7canary"), "{} is refused with {}", text, problem);
            }
        }

        #[test]
        fn whatever_text_the_file_holds_is_read_without_a_panic(text in any::<String>()) {
            if let Err(problem) = parse(&text) {
                prop_assert!(!problem.is_empty() && problem.lines().count() == 1, "{problem:?}");
            }
        }
    }
}
