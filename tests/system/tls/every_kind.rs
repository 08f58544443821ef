//! Certificates of every kind that people make, psql beside us for each mode: where psql connects, so do we, or say what is
//! wrong with the certificate; where a certificate is to be verified and psql refuses it, so do we.

use super::Site;
use crate::support::{
    Session,
    beatwarden::words,
    certificates::{Identity, authority, identity},
    postgres,
};
use rcgen::date_time_ymd;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// What is made with OpenSSL: arguments of `openssl req` for the key, and the extensions.
struct Kind {
    name: &'static str,
    key: &'static [&'static str],
    how: How,
    /// Modes that verify, in which we may refuse with a word about the certificate what psql takes.
    may_be_refused: bool,
}

enum How {
    /// `openssl req -x509`, the same file as `sslrootcert`.
    ItsOwnAuthority(&'static [&'static str]),
    /// `openssl x509 -req`, signed by an authority, with these extensions; version 1 without any.
    Signed(&'static str, &'static str),
}

const RSA: &[&str] = &["-newkey", "rsa:2048"];
const P521: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"];
const SAN: &str = "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n";

const fn kind(name: &'static str, key: &'static [&'static str], how: How, may_be_refused: bool) -> Kind {
    Kind {
        name,
        key,
        how,
        may_be_refused,
    }
}

const KINDS: &[Kind] = &[
    kind(
        "version 1, as the manual makes it",
        RSA,
        How::Signed("", "-sha256"),
        false,
    ),
    kind("version 1, a key on P-521", P521, How::Signed("", "-sha256"), true),
    kind("version 1, SHA-1", RSA, How::Signed("", "-sha1"), true),
    kind(
        "its own authority, as the manual makes it",
        RSA,
        How::ItsOwnAuthority(&[]),
        false,
    ),
    kind(
        "its own, with another name",
        RSA,
        How::ItsOwnAuthority(&["-addext", "subjectAltName=DNS:db.example.com"]),
        false,
    ),
    kind(
        "its own, no authority",
        RSA,
        How::ItsOwnAuthority(&["-addext", "basicConstraints=critical,CA:FALSE"]),
        false,
    ),
    kind("its own, P-521", P521, How::ItsOwnAuthority(&[]), true),
    kind(
        "its own, P-384",
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
        How::ItsOwnAuthority(&[]),
        false,
    ),
    kind(
        "its own, Ed25519",
        &["-newkey", "ed25519"],
        How::ItsOwnAuthority(&[]),
        false,
    ),
    kind("its own, Ed448", &["-newkey", "ed448"], How::ItsOwnAuthority(&[]), true),
    kind(
        "its own, RSA of 1024 bits",
        &["-newkey", "rsa:1024"],
        How::ItsOwnAuthority(&[]),
        true,
    ),
    kind(
        "its own, an RSA-PSS key",
        &["-newkey", "rsa-pss"],
        How::ItsOwnAuthority(&[]),
        true,
    ),
    kind(
        "its own, an extension that no one knows",
        RSA,
        How::ItsOwnAuthority(&["-addext", "1.2.3.4=critical,ASN1:UTF8String:whatever"]),
        true,
    ),
    kind(
        "no alternative name",
        RSA,
        How::Signed("basicConstraints=CA:FALSE\n", "-sha256"),
        false,
    ),
    kind(
        "an authority's, for a server",
        RSA,
        How::Signed(
            "basicConstraints=critical,CA:TRUE\nsubjectAltName=DNS:localhost\n",
            "-sha256",
        ),
        false,
    ),
    kind("signed with MD5", RSA, How::Signed(SAN, "-md5"), true),
    kind("P-521 below an authority", P521, How::Signed(SAN, "-sha512"), true),
    kind("a good one", RSA, How::Signed(SAN, "-sha256"), false),
];

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Makes `server.crt`, `server.key` and the authority `root.crt` in the folder.
fn make(folder: &Path, kind: &Kind) -> Identity {
    let subject = ["-nodes", "-subj", "/CN=localhost", "-keyout", "server.key"];
    match kind.how {
        How::ItsOwnAuthority(more) => {
            let request = ["req", "-x509", "-days", "30", "-out", "server.crt"];
            openssl(folder, &[&request[..], kind.key, &subject, more].concat());
            fs::copy(folder.join("server.crt"), folder.join("root.crt")).unwrap();
        }
        How::Signed(extensions, digest) => {
            let root = words("-days 30 -nodes -subj /CN=root.example -keyout root.key -out root.crt");
            openssl(folder, &[&["req", "-x509", "-newkey", "rsa:2048"][..], &root].concat());
            openssl(
                folder,
                &[&["req", "-new", "-out", "server.csr"][..], kind.key, &subject].concat(),
            );
            let sign = words("x509 -req -in server.csr -days 30 -CA root.crt -CAkey root.key");
            let mut sign = [&sign[..], &["-CAcreateserial", "-out", "server.crt", digest]].concat();
            if !extensions.is_empty() {
                fs::write(folder.join("extensions"), extensions).unwrap();
                sign.extend(["-extfile", "extensions"]);
            }
            openssl(folder, &sign);
        }
    }
    let read = |name| fs::read_to_string(folder.join(name)).unwrap();
    Identity {
        certificate: read("server.crt"),
        key: read("server.key"),
    }
}

/// psql through these settings.
fn psql(site: &Site, host: &str, settings: &str) -> Output {
    let url = format!(
        "postgres://postgres@{host}:{}/{}?{settings}",
        site.cluster.port(),
        site.database
    );
    let program = postgres::bin().join("psql");
    let mut command = Command::new(program);
    command.args([
        "-X",
        "-At",
        "-c",
        "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    ]);
    command.arg(url).env("HOME", site.folder.path()).output().unwrap()
}

/// A server that takes weak keys and digests, as old ones do.
async fn weak_site() -> Site {
    let site = Site::new().await;
    let text = "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = weak\n[weak]\nCipherString = ALL:@SECLEVEL=0\n";
    fs::write(site.cluster.folder().join("openssl.cnf"), text).unwrap();
    site
}

const WEAK: &str = "ssl_ciphers = 'ALL:@SECLEVEL=0'\n";

fn compare(site: &Site, name: &str, may_be_refused: bool, root: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for mode in ["allow", "prefer", "require", "verify-ca", "verify-full"] {
        let verifies = mode.starts_with("verify");
        let settings = if verifies {
            format!("sslmode={mode}&sslrootcert={root}")
        } else {
            format!("sslmode={mode}")
        };
        let asked = psql(site, "localhost", &settings);
        let theirs = asked.status.success();
        let (ours, said) = site.check("localhost", &settings);
        let refused_in_words = verifies && may_be_refused && said.contains("certificate");
        if ours != theirs && !(theirs && refused_in_words) {
            let their_words = String::from_utf8_lossy(&asked.stderr).into_owned();
            wrong.push(format!(
                "{name}, {mode}: psql {theirs}, we {ours}: {said}\npsql: {their_words}"
            ));
        }
        if !verifies && !ours {
            wrong.push(format!("{name}, {mode}: {said}"));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn where_psql_connects_so_do_we_or_say_what_is_wrong_with_the_certificate() {
    let site = weak_site().await;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.crt");
    let mut wrong = Vec::new();
    for kind in KINDS {
        site.shows(Some(&make(folder.path(), kind)), WEAK);
        wrong.extend(compare(&site, kind.name, kind.may_be_refused, root.to_str().unwrap()));
    }
    // The very certificate is named, and its time is over.
    let expired = identity("localhost", None, |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    fs::write(&root, &expired.certificate).unwrap();
    site.shows(Some(&expired), WEAK);
    wrong.extend(compare(&site, "expired", false, root.to_str().unwrap()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The words for what we don't verify.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_t_be_verified_is_refused_with_what_to_make_instead() {
    let site = weak_site().await;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.crt");
    let other = site.file("other.crt", &authority("another authority").pem());
    let find = |name: &str| KINDS.iter().find(|kind| kind.name == name).unwrap();
    for (name, root, words) in [
        ("version 1, as the manual makes it", other.as_str(), "is of version 1"),
        (
            "an authority's, for a server",
            &other,
            "is that of an authority (CA:TRUE)",
        ),
        (
            "P-521 below an authority",
            root.to_str().unwrap(),
            "P-256, P-384 or Ed25519",
        ),
        (
            "signed with MD5",
            root.to_str().unwrap(),
            "have it signed with SHA-256 or better",
        ),
    ] {
        site.shows(Some(&make(folder.path(), find(name))), WEAK);
        let (good, said) = site.check("localhost", &format!("sslmode=verify-ca&sslrootcert={root}"));
        assert!(!good && said.contains(words), "{name}: {said}");
        assert!(said.contains("compare sslmode and sslrootcert"), "{name}: {said}");
    }
}

/// A name may be one that no certificate has a place for, and a server that speaks another way is asked another way.
#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_tried_as_libpq_tries_it() {
    let site = Site::new().await;
    site.shows(Some(&identity("localhost", None, |_| {})), "");
    let hba = site.cluster.folder().join("data/pg_hba.conf");
    let rules = fs::read_to_string(&hba).unwrap();
    let admin = site.cluster.folder().display().to_string();
    for (rule, modes) in [
        (
            "hostnossl all all 127.0.0.1/32 trust",
            [("allow", true), ("prefer", true), ("require", false)],
        ),
        (
            "hostssl all all 127.0.0.1/32 trust",
            [("allow", true), ("prefer", true), ("require", true)],
        ),
    ] {
        fs::write(&hba, format!("local all all trust\n{rule}\n")).unwrap();
        site.cluster.stop();
        site.cluster.start();
        for (mode, expected) in modes {
            let asked = psql(&site, "127.0.0.1", &format!("sslmode={mode}"));
            assert_eq!(asked.status.success(), expected, "psql: {rule} {mode}");
            let (good, said) = site.check("127.0.0.1", &format!("sslmode={mode}"));
            assert_eq!(good, expected, "{rule} {mode}: {said}");
            assert!(good || said.contains("no pg_hba.conf entry"), "{said}");
        }
        let (good, said) = site.check("127.0.0.1", "sslmode=disable");
        assert_eq!(good, rule.starts_with("hostnossl"), "{said}");
    }
    // A socket is never encrypted, whatever is asked.
    let socket = format!("host={admin}&sslmode=require");
    assert!(psql(&site, "", &socket).status.success());
    let (good, said) = site.check("", &socket);
    assert!(good, "{said}");
    fs::write(&hba, rules).unwrap();
    site.cluster.stop();
    site.cluster.start();
    // An address without a name.
    for mode in ["prefer", "require"] {
        let settings = format!("hostaddr=127.0.0.1&sslmode={mode}");
        assert!(psql(&site, "", &settings).status.success());
        let (good, said) = site.check("", &settings);
        assert!(good, "{mode}: {said}");
    }
}

/// The handshake's signature is another one in TLS 1.2, and a password is bound to the channel by a hash of the certificate,
/// where it has one.
#[tokio::test(flavor = "multi_thread")]
async fn the_older_protocol_and_bound_passwords_take_every_kind_as_well() {
    let site = weak_site().await;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.crt");
    let client = postgres::connect(&site.cluster.url("postgres", "postgres")).await;
    client
        .run("SET password_encryption = 'scram-sha-256'; ALTER ROLE postgres PASSWORD 'kennel'")
        .await;
    let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(site.cluster.folder().join("data/pg_hba.conf"), rules).unwrap();
    for kind in KINDS
        .iter()
        .filter(|kind| !kind.name.contains("name") && !kind.name.contains("good"))
    {
        // In TLS 1.2 the curve of a key has to be one of the client's for the key exchange, and rustls knows neither P-521
        // nor the signatures of these keys.
        let newer_only = ["P-521", "Ed448", "RSA-PSS"]
            .iter()
            .any(|word| kind.name.contains(word));
        let older = (!newer_only).then_some("ssl_max_protocol_version = 'TLSv1.2'\n");
        for protocol in [""].into_iter().chain(older) {
            site.shows(Some(&make(folder.path(), kind)), &format!("{WEAK}{protocol}"));
            let (good, said) = site.check("localhost", "sslmode=require&password=kennel");
            assert!(good, "{} {protocol}: {said}", kind.name);
            let settings = format!("sslmode=verify-full&password=kennel&sslrootcert={}", root.display());
            let (good, said) = site.check("localhost", &settings);
            assert!(
                good || (kind.may_be_refused && said.contains("certificate")),
                "{} {protocol}: {said}",
                kind.name
            );
        }
    }
}
