//! A certificate as we read it ourselves, for what webpki refuses to read: dates, purpose, names, and one signature.
//!
//! Stricter than a library for chains has to be: whatever is not understood is refused.

use rustls::{
    CertificateError, DigitallySignedStruct,
    client::danger::HandshakeSignatureValid,
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{IpAddr, ServerName, UnixTime},
};
use x509_cert::{
    Certificate, Version,
    der::{
        Encode,
        asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef},
        oid::{
            ObjectIdentifier,
            db::{rfc4519::CN, rfc5280},
        },
    },
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints, SubjectAltName, name::GeneralName},
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
};

/// Extensions that may be marked critical, because they are looked at here.
const UNDERSTOOD: [ObjectIdentifier; 4] = [
    rfc5280::ID_CE_BASIC_CONSTRAINTS,
    rfc5280::ID_CE_KEY_USAGE,
    rfc5280::ID_CE_EXT_KEY_USAGE,
    rfc5280::ID_CE_SUBJECT_ALT_NAME,
];

/// Whether the dates hold.
///
/// # Errors
/// As webpki's.
pub(super) fn is_of_its_time(certificate: &Certificate, now: UnixTime) -> Result<(), CertificateError> {
    let validity = certificate.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet);
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired);
    }
    Ok(())
}

/// Whether it may be shown by a server, and demands nothing that isn't understood.
pub(super) fn is_for_servers(certificate: &Certificate) -> bool {
    let tbs = &certificate.tbs_certificate;
    let uses = tbs.get::<ExtendedKeyUsage>();
    let allowed = match uses {
        Ok(Some((_, ExtendedKeyUsage(uses)))) => uses
            .iter()
            .any(|one| *one == rfc5280::ID_KP_SERVER_AUTH || *one == rfc5280::ANY_EXTENDED_KEY_USAGE),
        Ok(None) => true,
        Err(_) => false,
    };
    allowed && is_understood(certificate)
}

fn is_understood(certificate: &Certificate) -> bool {
    let mut extensions = certificate.tbs_certificate.extensions.iter().flatten();
    extensions.all(|extension| !extension.critical || UNDERSTOOD.contains(&extension.extn_id))
}

/// Whether an authority that is trusted has itself signed the certificate, and may.
pub(super) fn has_signed(
    authority: &Certificate,
    certificate: &Certificate,
    now: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    may_sign(authority)
        && is_of_its_time(authority, now).is_ok()
        && authority.tbs_certificate.subject == certificate.tbs_certificate.issuer
        && certificate.tbs_certificate.signature == certificate.signature_algorithm
        && is_signed_by(
            certificate,
            &authority.tbs_certificate.subject_public_key_info,
            algorithms,
        )
}

/// Whether it is an authority without limits of its own. One of version 1 can't say so; it is one because it is named.
fn may_sign(authority: &Certificate) -> bool {
    let tbs = &authority.tbs_certificate;
    let is_authority = match tbs.get::<BasicConstraints>() {
        Ok(Some((_, constraints))) => constraints.ca,
        Ok(None) => tbs.version == Version::V1,
        Err(_) => false,
    };
    let may_sign = match tbs.get::<KeyUsage>() {
        Ok(Some((_, usage))) => usage.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    let is_limited = !matches!(tbs.get::<NameConstraints>(), Ok(None));
    is_authority && may_sign && !is_limited && is_understood(authority)
}

fn is_signed_by(
    certificate: &Certificate,
    key: &SubjectPublicKeyInfoOwned,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let (Some(key_kind), Some(signature_kind), Ok(signed)) = (
        content(&key.algorithm),
        content(&certificate.signature_algorithm),
        certificate.tbs_certificate.to_der(),
    ) else {
        return false;
    };
    let signature = certificate.signature.raw_bytes();
    let fits = algorithms.all.iter().filter(|algorithm| {
        algorithm.public_key_alg_id().as_ref() == key_kind && algorithm.signature_alg_id().as_ref() == signature_kind
    });
    fits.into_iter().any(|algorithm| {
        algorithm
            .verify_signature(key.subject_public_key.raw_bytes(), &signed, signature)
            .is_ok()
    })
}

/// The identifier of an algorithm without its outer sequence, as rustls has them.
fn content(algorithm: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    let mut content = algorithm.oid.to_der().ok()?;
    if let Some(parameters) = &algorithm.parameters {
        content.extend(parameters.to_der().ok()?);
    }
    Some(content)
}

/// Checks the signature of a TLS 1.2 handshake by the certificate's key; `None` if it is wrong, or of an unknown kind.
pub(super) fn verify_handshake(
    certificate: &Certificate,
    message: &[u8],
    signature: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Option<HandshakeSignatureValid> {
    let key = &certificate.tbs_certificate.subject_public_key_info;
    let kind = content(&key.algorithm)?;
    let (_, of_scheme) = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signature.scheme)?;
    let mut fits = of_scheme
        .iter()
        .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == kind);
    let key = key.subject_public_key.raw_bytes();
    fits.any(|algorithm| algorithm.verify_signature(key, message, signature.signature()).is_ok())
        .then(HandshakeSignatureValid::assertion)
}

/// Whether it is a certificate of this host, as libpq decides: any alternative name that fits, or the common name where
/// there is no alternative name of the host's kind.
pub(super) fn is_named(certificate: &Certificate, host: &ServerName<'_>) -> bool {
    let Ok(alternatives) = certificate.tbs_certificate.get::<SubjectAltName>() else {
        return false;
    };
    let mut of_its_kind = false;
    for name in alternatives.iter().flat_map(|(_, names)| &names.0) {
        let fits = match (name, host) {
            (GeneralName::DnsName(name), host) => {
                of_its_kind |= matches!(host, ServerName::DnsName(_));
                fits(name.as_str(), host)
            }
            (GeneralName::IpAddress(octets), ServerName::IpAddress(address)) => {
                of_its_kind = true;
                match address {
                    IpAddr::V4(address) => octets.as_bytes() == address.as_ref(),
                    IpAddr::V6(address) => octets.as_bytes() == address.as_ref(),
                }
            }
            _ => false,
        };
        if fits {
            return true;
        }
    }
    !of_its_kind && common_name(certificate).is_some_and(|name| fits(&name, host))
}

/// Its names, to be shown.
pub(super) fn names(certificate: &Certificate) -> Vec<String> {
    let alternatives = certificate.tbs_certificate.get::<SubjectAltName>().ok().flatten();
    let dns = alternatives
        .iter()
        .flat_map(|(_, names)| &names.0)
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            _ => None,
        });
    dns.chain(common_name(certificate)).collect()
}

/// The first common name of the subject.
fn common_name(certificate: &Certificate) -> Option<String> {
    let subject = &certificate.tbs_certificate.subject;
    let mut parts = subject.0.iter().flat_map(|relative| relative.0.iter());
    let value = &parts.find(|part| part.oid == CN)?.value;
    let text = Utf8StringRef::try_from(value)
        .map(|text| text.as_str().to_owned())
        .or_else(|_| PrintableStringRef::try_from(value).map(|text| text.as_str().to_owned()))
        .or_else(|_| Ia5StringRef::try_from(value).map(|text| text.as_str().to_owned()))
        .or_else(|_| TeletexStringRef::try_from(value).map(|text| text.as_str().to_owned()));
    text.ok()
}

/// Whether a name of the certificate stands for the host: as it is, or with `*` for its first label.
fn fits(name: &str, host: &ServerName<'_>) -> bool {
    let host = match host {
        ServerName::DnsName(host) => host.as_ref().to_owned(),
        ServerName::IpAddress(address) => return name == std::net::IpAddr::from(*address).to_string(),
        _ => return false,
    };
    let rest = name.strip_prefix("*.").zip(host.split_once('.'));
    name.eq_ignore_ascii_case(&host)
        || rest.is_some_and(|(below, (first, host))| !first.is_empty() && below.eq_ignore_ascii_case(host))
}
