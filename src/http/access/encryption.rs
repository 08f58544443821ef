//! TLS towards those who ask us: our certificate, and what clients have to show.
//!
//! A client that shows nothing is let in as far as the probes, also where certificates are required: a kubelet has none.

use super::file::{ClientAuth, TlsTerms, Version};
use crate::tls;
use rustls::{
    CipherSuite, DigitallySignedStruct, DistinguishedName, NamedGroup, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// What a client showed in the handshake. A certificate that doesn't hold ends the handshake, and is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// No certificate.
    Nothing,
    /// One that was verified, as far as it is asked for.
    Good,
    /// A good one, with none of the names that are allowed.
    NotAllowed,
}

/// How connections are encrypted.
pub struct Encryption {
    acceptor: TlsAcceptor,
    wanted: ClientAuth,
    allowed_sans: Vec<String>,
}

impl Encryption {
    pub(super) fn new(terms: TlsTerms) -> Result<Self, String> {
        let provider = Arc::new(provider(&terms)?);
        let versions: Vec<_> = [
            (Version::Tls12, &rustls::version::TLS12),
            (Version::Tls13, &rustls::version::TLS13),
        ]
        .into_iter()
        .filter(|(version, _)| (terms.oldest..=terms.newest).contains(version))
        .map(|(_, spoken)| spoken)
        .collect();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|error| format!("tls_server_config: {error}"))?;
        let builder = match verifier(&terms, &provider)? {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let chain =
            tls::certificates(&terms.certificate).map_err(|error| format!("tls_server_config.cert_file: {error}"))?;
        let key = tls::private_key(&terms.key).map_err(|error| format!("tls_server_config.key_file: {error}"))?;
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| format!("tls_server_config: certificate and key don't fit: {error}"))?;
        config.ignore_client_order = terms.own_order;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            wanted: terms.client_auth,
            allowed_sans: terms.allowed_sans,
        })
    }

    /// What makes an encrypted stream of a plain one.
    pub const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    pub(super) const fn wanted(&self) -> ClientAuth {
        self.wanted
    }

    /// What the chain that a client showed is worth.
    pub fn judge(&self, chain: Option<&[CertificateDer<'_>]>) -> Presented {
        match chain.and_then(<[_]>::first) {
            None => Presented::Nothing,
            Some(_) if self.allowed_sans.is_empty() => Presented::Good,
            Some(certificate) if self.allowed_sans.iter().any(|name| has_name(certificate, name)) => Presented::Good,
            Some(_) => Presented::NotAllowed,
        }
    }
}

/// Whether a certificate is for a host name, an address or a URI.
fn has_name(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(entity) = webpki::EndEntityCert::try_from(certificate) else {
        return false;
    };
    if name.contains("://") {
        return entity.valid_uri_names().any(|uri| uri == name);
    }
    ServerName::try_from(name).is_ok_and(|name| entity.verify_is_valid_for_subject_name(&name).is_ok())
}

/// The algorithms that the file allows.
fn provider(terms: &TlsTerms) -> Result<CryptoProvider, String> {
    let mut provider = tls::provider();
    if !terms.suites.is_empty() {
        let known: Vec<String> = provider
            .cipher_suites
            .iter()
            .map(|suite| spelled(suite.suite()))
            .collect();
        provider.cipher_suites.retain(|suite| {
            let name = spelled(suite.suite());
            // As in Go: those of TLS 1.3 can't be chosen.
            matches!(suite, rustls::SupportedCipherSuite::Tls13(_)) || terms.suites.contains(&name)
        });
        if !terms.suites.iter().any(|name| known.contains(name)) {
            return Err(format!(
                "tls_server_config.cipher_suites: none of them is spoken here; expected some of {}",
                known.join(", ")
            ));
        }
    }
    if !terms.curves.is_empty() {
        provider
            .kx_groups
            .retain(|group| terms.curves.iter().any(|name| named(name) == Some(group.name())));
        if provider.kx_groups.is_empty() {
            return Err(
                "tls_server_config.curve_preferences: none of them is spoken here; expected some of X25519, CurveP256, \
                 CurveP384"
                    .to_owned(),
            );
        }
    }
    Ok(provider)
}

/// A suite as Go spells it.
fn spelled(suite: CipherSuite) -> String {
    format!("{suite:?}").replace("TLS13_", "TLS_")
}

fn named(curve: &str) -> Option<NamedGroup> {
    match curve {
        "X25519" => Some(NamedGroup::X25519),
        "CurveP256" => Some(NamedGroup::secp256r1),
        "CurveP384" => Some(NamedGroup::secp384r1),
        _ => None,
    }
}

fn verifier(terms: &TlsTerms, provider: &Arc<CryptoProvider>) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let authorities = match (terms.client_auth, &terms.client_authorities) {
        (ClientAuth::None, _) => return Ok(None),
        (ClientAuth::RequireAny, _) => return Ok(Some(Arc::new(AnyCertificate(provider.clone())))),
        (ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify, authorities) => authorities,
    };
    let in_words = |error: &dyn std::fmt::Display| format!("tls_server_config.client_ca_file: {error}");
    let mut roots = RootCertStore::empty();
    for certificate in
        tls::certificates(authorities.as_deref().unwrap_or_default()).map_err(|error| in_words(&error))?
    {
        roots.add(certificate).map_err(|error| in_words(&error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build();
    Ok(Some(verifier.map_err(|error| in_words(&error))?))
}

/// Accepts every certificate of a client, as `RequireAnyClientCert` asks for; that its key is there is checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
