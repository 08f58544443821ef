//! Who may ask over HTTP, and how the line is encrypted: the web configuration file that Prometheus exporters share.
//!
//! Owns the file, TLS with client certificates, and passwords. What is asked and answered is none of its business: `http`
//! asks it at each connection and at each request.
//!
//! The format is that of the [exporter toolkit](https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md).

mod encryption;
mod file;
mod login;

pub use encryption::{Encryption, Presented};
pub use file::WebFileError;
pub use login::Login;

use crate::files;
use file::{ClientAuth, Header, MOST_BYTES, WebFile};
use login::Logins;
use parking_lot::RwLock;
use std::{
    fmt::Write,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How often the files are read without a request for it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What the web configuration says, all of it read and checked; by default neither TLS nor passwords.
#[derive(Default)]
pub struct AccessRules {
    encryption: Option<Encryption>,
    logins: Option<Logins>,
    headers: Vec<Header>,
    /// Whether the file asks for a limit of requests, which is not kept.
    rate_limit: bool,
    /// Every file that it was made of, with its contents at that time.
    made_of: Vec<(PathBuf, Vec<u8>)>,
}

impl AccessRules {
    fn read(path: &Path) -> Result<Self, WebFileError> {
        let mut made_of = Vec::new();
        let file = WebFile::read(path, &mut made_of)?;
        let refused = |problem| WebFileError::new(path, problem);
        let encryption = file.tls.map(Encryption::new).transpose().map_err(refused)?;
        Ok(Self {
            encryption,
            logins: Logins::new(file.users).map_err(refused)?,
            headers: file.headers,
            rate_limit: file.rate_limit,
            made_of,
        })
    }

    /// How connections are encrypted; `None` for plain HTTP.
    pub const fn encryption(&self) -> Option<&Encryption> {
        self.encryption.as_ref()
    }

    /// Whether a password is asked for.
    pub const fn asks_for_password(&self) -> bool {
        self.logins.is_some()
    }

    /// Whether a client that showed this certificate may ask for more than the probes.
    pub fn admits(&self, presented: Presented) -> bool {
        let wanted = self.encryption.as_ref().map_or(ClientAuth::None, Encryption::wanted);
        match presented {
            Presented::Good => true,
            Presented::Nothing => matches!(wanted, ClientAuth::None | ClientAuth::VerifyIfGiven),
            Presented::NotAllowed => false,
        }
    }

    /// What is asked of those who ask us, in a few words.
    pub fn sentence(&self) -> String {
        let line = match self.encryption.as_ref().map(Encryption::wanted) {
            None => "plain HTTP",
            Some(ClientAuth::None) => "TLS",
            Some(ClientAuth::VerifyIfGiven) => "TLS, client certificates are verified if given",
            Some(ClientAuth::RequireAny) => "TLS, any client certificate is needed",
            Some(ClientAuth::RequireAndVerify) => "TLS, verified client certificates are needed",
        };
        let mut sentence = match &self.logins {
            None => format!("{line}, no passwords"),
            Some(logins) if self.encryption.is_some() => format!("{line}, users with passwords: {}", logins.users()),
            Some(logins) => format!(
                "{line}, {} users whose passwords anybody on the way can read: add tls_server_config",
                logins.users()
            ),
        };
        if let Some((lowest, highest)) = self.logins.as_ref().and_then(Logins::mixed_costs) {
            let _ = write!(
                sentence,
                "; their hashes cost {lowest} to {highest}, and a wrong password takes the time of {highest} for all"
            );
        }
        if self.rate_limit {
            sentence.push_str("; rate_limit has no effect here");
        }
        sentence
    }

    /// What every user of this host may do to the files with our key or our users' hashes.
    pub fn open_secrets(&self) -> Vec<String> {
        let key = b"PRIVATE KEY-----";
        let is_secret = |path: &Path, content: &[u8]| {
            let is_file_itself = self.made_of.first().is_some_and(|(first, _)| first == path);
            (is_file_itself && self.logins.is_some()) || content.windows(key.len()).any(|part| part == key)
        };
        self.made_of
            .iter()
            .filter(|(path, content)| is_secret(path, content))
            .filter_map(|(path, _)| Some(files::open_to_all(path)?.to_string()))
            .collect()
    }

    /// Checks the password of a request by its `Authorization` header. Takes a place in a bounded queue.
    pub async fn login(&self, authorization: Option<&[u8]>, from: IpAddr) -> Login {
        match &self.logins {
            None => Login::Good,
            Some(logins) => logins.check(authorization, from).await,
        }
    }

    /// Headers that every answer gets.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_str()))
    }

    fn changed(&self) -> bool {
        let now = |path: &Path| files::read_regular(path, MOST_BYTES).unwrap_or_default();
        self.made_of.iter().any(|(path, then)| now(path) != *then)
    }
}

/// The rules in force, which may change while we serve.
pub struct AccessControl {
    path: Option<PathBuf>,
    in_force: RwLock<Arc<AccessRules>>,
}

impl AccessControl {
    /// Reads the file; without one everyone may ask, in plain HTTP.
    ///
    /// # Errors
    /// If the file, or one that it names, can't be read or used.
    pub fn new(path: Option<&Path>) -> Result<Self, WebFileError> {
        let rules = path.map_or_else(|| Ok(AccessRules::default()), AccessRules::read)?;
        Ok(Self {
            path: path.map(Path::to_path_buf),
            in_force: RwLock::new(Arc::new(rules)),
        })
    }

    /// The rules now.
    pub fn rules(&self) -> Arc<AccessRules> {
        self.in_force.read().clone()
    }

    /// Reads the file again; true if something changed.
    ///
    /// # Errors
    /// If it can't be used; then the rules in force stay.
    pub fn reload(&self) -> Result<bool, WebFileError> {
        let Some(path) = &self.path else { return Ok(false) };
        if !self.rules().changed() {
            return Ok(false);
        }
        let rules = Arc::new(AccessRules::read(path)?);
        // A file that is just being written is empty for a moment, and on a full disk for longer: TLS and passwords don't end by that.
        if rules.made_of.first().is_some_and(|(_, content)| content.is_empty()) {
            return Err(WebFileError::new(
                path,
                "it is empty; to serve without TLS and passwords, write a comment into it",
            ));
        }
        *self.in_force.write() = rules;
        Ok(true)
    }

    /// Takes up changed files until `stop`: certificates are renewed by other programs, which send no signal.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        if self.path.is_none() {
            return;
        }
        let mut reported = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let control = self.clone();
            let looked = tokio::task::spawn_blocking(move || control.reload());
            let Ok(looked) = looked.await else { continue };
            match looked {
                Ok(true) => {
                    reported = None;
                    tracing::info!("the web configuration was reloaded");
                }
                Ok(false) => reported = None,
                Err(error) => {
                    let text = error.to_string();
                    if reported.as_ref() != Some(&text) {
                        tracing::error!(
                            error = text,
                            "the new web configuration is refused: the one in force stays"
                        );
                    }
                    reported = Some(text);
                }
            }
        }
    }
}
