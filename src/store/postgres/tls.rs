//! Transport security as libpq means it: which certificate of the server is accepted, and which one we show.
//!
//! Certificates and keys are read at each connect, so that a rotated one is taken up without a restart.

use super::{
    BoxError,
    trust::{Name, Trusted},
};
use crate::{connection::SslMode, files, tls};
use rustls::{
    ClientConfig,
    client::danger::ServerCertVerifier,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// How much of the server's certificate is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: the connection is encrypted, if at all.
    Nothing,
    /// That an authority that is trusted has signed it.
    Authority,
    /// That, and that it is the certificate of the host that was asked for.
    Full,
}

/// The transport security of a target.
#[derive(Clone, Debug)]
pub struct Security {
    /// How much is verified.
    pub verify: Verify,
    /// File with the authorities to trust, or `system`.
    pub root: Option<PathBuf>,
    /// File with our own certificate.
    pub certificate: Option<PathBuf>,
    /// File with its key.
    pub key: Option<PathBuf>,
}

/// Where systems keep the authorities that they trust.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl Security {
    /// What libpq does for a mode: `require` with authorities to trust, named or in libpq's usual place, verifies them, as
    /// `verify-ca` does.
    pub fn new(sslmode: SslMode, root: Option<PathBuf>, certificate: Option<PathBuf>, key: Option<PathBuf>) -> Self {
        let verify = match sslmode {
            SslMode::VerifyFull => Verify::Full,
            SslMode::VerifyCa => Verify::Authority,
            SslMode::Require if root.is_some() || usual_roots().is_some() => Verify::Authority,
            _ => Verify::Nothing,
        };
        Self {
            verify,
            root,
            certificate,
            key,
        }
    }

    /// Reads the files and puts the client's side together.
    ///
    /// # Errors
    /// If a file can't be read, or holds no certificate or key; the file is named.
    pub(super) fn client_config(&self) -> Result<ClientConfig, BoxError> {
        let provider = Arc::new(tls::provider());
        let verifier: Arc<dyn ServerCertVerifier> = match self.verify {
            Verify::Nothing => Arc::new(tls::Unverified),
            Verify::Authority => Arc::new(Trusted::new(self.authorities()?, Name::Any, &provider)),
            Verify::Full => Arc::new(Trusted::new(self.authorities()?, Name::OfHost, &provider)),
        };
        let client = tls::client(verifier);
        match self.own()? {
            Some((chain, key)) => Ok(client.with_client_auth_cert(chain, key)?),
            None => Ok(client.with_no_client_auth()),
        }
    }

    fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, BoxError> {
        certificates(&self.roots_file()?)
    }

    fn roots_file(&self) -> Result<PathBuf, BoxError> {
        match &self.root {
            Some(system) if system == Path::new("system") => {
                let found = SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.exists());
                found.map(Path::to_path_buf).ok_or_else(|| {
                    format!(
                        "sslrootcert=system: none of {} is there; name a file",
                        SYSTEM_ROOTS.join(", ")
                    )
                    .into()
                })
            }
            Some(file) => Ok(file.clone()),
            None => usual_roots().ok_or_else(|| {
                "sslmode=verify-ca and verify-full need the authorities to trust: name their file in sslrootcert, or \
                 sslrootcert=system (~/.postgresql/root.crt is not there)"
                    .into()
            }),
        }
    }

    /// Our own certificate and its key: those that are named, else libpq's usual ones if they are there.
    fn own(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, BoxError> {
        let usual = |name: &str| in_home(name).filter(|path| path.exists());
        let certificate = self.certificate.clone().or_else(|| usual(".postgresql/postgresql.crt"));
        let Some(certificate) = certificate else {
            return match &self.key {
                Some(key) => Err(format!("sslkey {} is of no use without sslcert", key.display()).into()),
                None => Ok(None),
            };
        };
        let key = self.key.clone().or_else(|| usual(".postgresql/postgresql.key"));
        let key = key.ok_or_else(|| format!("sslcert {} needs its key: name it in sslkey", certificate.display()))?;
        let chain = certificates(&certificate)?;
        let pem = files::read(&key, files::MOST_BYTES).map_err(|error| error.to_string());
        let read = pem.and_then(|pem| tls::private_key(&pem));
        let read = read.map_err(|error| format!("sslkey {}: {error}", key.display()))?;
        Ok(Some((chain, read)))
    }
}

/// The authorities that libpq trusts without being configured to, if they are there.
fn usual_roots() -> Option<PathBuf> {
    in_home(".postgresql/root.crt").filter(|path| path.exists())
}

/// A file in the home of the user that runs us, where libpq looks for its files.
pub(super) fn in_home(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(PathBuf::from(home).join(name))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let read = files::read(file, files::MOST_BYTES).map_err(|error| error.to_string());
    let found = read.and_then(|pem| tls::certificates(&pem));
    found.map_err(|error| format!("certificate file {}: {error}", file.display()).into())
}
