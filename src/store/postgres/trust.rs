//! Whether a server's certificate is trusted, by libpq's rules: what webpki can verify, the very certificate that is named as
//! trusted, and what an authority that is named has itself signed though webpki can't read it. Owns the words for the rest.

use super::certificate;
use crate::tls;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
        verify_tls13_signature_with_raw_key,
    },
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
};
use std::sync::Arc;
use x509_cert::{
    Certificate,
    der::{Decode, Encode},
};

/// Why a certificate can't be verified here, and what to make instead.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error(
        "the server's certificate is of version 1, and no authority in sslrootcert has signed it directly; make one with \
         extensions (openssl x509 -req -extfile, with subjectAltName in it)"
    )]
    Version,
    #[error(
        "the server's certificate is that of an authority (CA:TRUE), and no authority in sslrootcert has signed it directly; \
         make one with CA:FALSE, or name this very certificate in sslrootcert"
    )]
    Authority,
    #[error(
        "the key of the server's certificate is of a kind that can't be verified here; make one with a key of RSA (2048 bits or \
         more), P-256, P-384 or Ed25519"
    )]
    Key,
    #[error(
        "the signature of the server's certificate, or of one above it, is of a kind that can't be verified here; have it \
         signed with SHA-256 or better by a key of RSA (2048 bits or more), P-256, P-384 or Ed25519"
    )]
    Signature,
    #[error("the server's certificate can't be read; make a new one")]
    Unreadable,
    #[error("the server's certificate is not meant for servers, or demands something that is not understood here")]
    Purpose,
}

// rustls shows other errors by their Debug.
impl std::fmt::Debug for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl From<Flaw> for Error {
    fn from(flaw: Flaw) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(flaw))))
    }
}

impl Flaw {
    /// The flaw that an error of a handshake stands for.
    pub(super) fn of(error: &Error) -> Option<Self> {
        let Error::InvalidCertificate(error) = error else {
            return None;
        };
        match error {
            CertificateError::BadEncoding => Some(Self::Unreadable),
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Some(Self::Signature),
            CertificateError::Other(OtherError(other)) => match other.downcast_ref::<webpki::Error>() {
                Some(webpki::Error::UnsupportedCertVersion) => Some(Self::Version),
                Some(webpki::Error::CaUsedAsEndEntity) => Some(Self::Authority),
                Some(_) => None,
                None => other.downcast_ref::<Self>().copied(),
            },
            _ => None,
        }
    }
}

/// Which names the certificate may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Any,
    OfHost,
}

/// Trusts what the authorities vouch for.
#[derive(Debug)]
pub(super) struct Trusted {
    /// None where webpki can use no authority.
    webpki: Option<Arc<WebPkiServerVerifier>>,
    authorities: Vec<CertificateDer<'static>>,
    name: Name,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trusted {
    pub(super) fn new(authorities: Vec<CertificateDer<'static>>, name: Name, provider: &Arc<CryptoProvider>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().cloned());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        Self {
            webpki: webpki.build().ok(),
            authorities,
            name,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    /// What webpki refuses, verified by our own reading: the very certificate that is named, or one that an authority that is
    /// named has itself signed.
    fn vouched_for(
        &self,
        shown: &CertificateDer<'_>,
        host: &ServerName<'_>,
        now: UnixTime,
        why: Error,
    ) -> Result<(), Error> {
        let flaw = Flaw::of(&why);
        let is_named = self.authorities.iter().any(|named| named.as_ref() == shown.as_ref());
        if !is_named && !matches!(flaw, Some(Flaw::Version | Flaw::Authority)) {
            return Err(flaw.map_or(why, Error::from));
        }
        let leaf = Certificate::from_der(shown).map_err(|_| Error::from(Flaw::Unreadable))?;
        let has_signed = |authority: &CertificateDer<'_>| {
            let authority = Certificate::from_der(authority).ok();
            authority.is_some_and(|authority| certificate::has_signed(&authority, &leaf, now, &self.algorithms))
        };
        if !is_named && !self.authorities.iter().any(has_signed) {
            return Err(flaw.map_or(why, Error::from));
        }
        certificate::is_of_its_time(&leaf, now)?;
        if !certificate::is_for_servers(&leaf) {
            return Err(Flaw::Purpose.into());
        }
        if self.name == Name::OfHost && !certificate::is_named(&leaf, host) {
            return Err(CertificateError::NotValidForNameContext {
                expected: host.to_owned(),
                presented: certificate::names(&leaf),
            }
            .into());
        }
        Ok(())
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let verified = match &self.webpki {
            Some(webpki) => webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        match verified {
            Ok(verified) => Ok(verified),
            // The name is compared last, when the signatures and the dates were found good.
            Err(error @ Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                // libpq goes by the common name where there is no other name of the host's kind; webpki never does.
                let is_named =
                    || Certificate::from_der(end_entity).is_ok_and(|leaf| certificate::is_named(&leaf, server_name));
                if self.name == Name::Any || is_named() {
                    Ok(ServerCertVerified::assertion())
                } else {
                    Err(error)
                }
            }
            Err(error) => {
                self.vouched_for(end_entity, server_name, now, error)?;
                Ok(ServerCertVerified::assertion())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = verify_tls12_signature(message, cert, signature, &self.algorithms);
        verified.or_else(|error| {
            let leaf = unread(cert, error)?;
            certificate::verify_handshake(&leaf, message, signature, &self.algorithms).ok_or_else(|| Flaw::Key.into())
        })
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = verify_tls13_signature(message, cert, signature, &self.algorithms);
        verified.or_else(|error| {
            let leaf = unread(cert, error)?;
            let key = leaf.tbs_certificate.subject_public_key_info.to_der();
            let key = SubjectPublicKeyInfoDer::from(key.map_err(|_| Error::from(Flaw::Unreadable))?);
            let verified = verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms);
            verified.map_err(|error| key_flaw(&error))
        })
    }

    // All, so that a key that can't be verified is called by its name.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::every_scheme()
    }
}

/// The certificate, where webpki could not read it and nothing else is wrong. What was vouched for needn't be readable to it.
fn unread(cert: &CertificateDer<'_>, error: Error) -> Result<Certificate, Error> {
    match Flaw::of(&error) {
        Some(Flaw::Version | Flaw::Unreadable) => Certificate::from_der(cert).map_err(|_| Flaw::Unreadable.into()),
        _ => Err(key_flaw(&error)),
    }
}

/// An error about the handshake's signature: all but a wrong one are about the kind of key.
fn key_flaw(error: &Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => error.clone(),
        _ => Flaw::Key.into(),
    }
}
