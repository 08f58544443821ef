//! Transport security towards PostgreSQL: with `verify-full` only the right server is talked to, and nothing is ever sent
//! in plain text instead; client certificates, channel binding, and password files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod clients;
mod every_kind;
mod wire;

use crate::support::certificates::{Identity, authority, identity, intermediate};
use crate::support::{
    Session,
    beatwarden::{Beatwarden, run, words},
    eventually,
    postgres::{self, Cluster},
    written,
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, time::Duration};
use tempfile::TempDir;

const TABLE: &str = "CREATE TABLE runs (id integer PRIMARY KEY, job_name varchar, state varchar, started_at timestamp,
    ended_at timestamp, payload varchar, payload_flags integer, run_id uuid, trigger varchar, last_heartbeat_at timestamp)";

/// A server with one database, and a folder for certificates.
struct Site {
    cluster: Cluster,
    database: String,
    folder: TempDir,
}

impl Site {
    async fn new() -> Self {
        let cluster = Cluster::start_own();
        let database = cluster.database().await;
        database.client().await.run(TABLE).await;
        Self {
            database: database.url.rsplit('/').next().unwrap().to_owned(),
            cluster,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// From here on the server shows this certificate, or none.
    fn shows(&self, identity: Option<&Identity>, more: &str) {
        let data = self.cluster.folder().join("data");
        let settings = data.join("postgresql.auto.conf");
        let text = fs::read_to_string(&settings).unwrap();
        let plain: Vec<&str> = text.lines().filter(|line| !line.starts_with("ssl")).collect();
        let ssl = if identity.is_some() { "ssl = on\n" } else { "" };
        fs::write(&settings, format!("{}\n{ssl}{more}", plain.join("\n"))).unwrap();
        if let Some(identity) = identity {
            for (name, text) in [("server.crt", &identity.certificate), ("server.key", &identity.key)] {
                let path = data.join(name);
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                give_to_server(&path);
            }
        }
        self.cluster.stop();
        self.cluster.start();
    }

    /// `check` through these settings: whether it went well, and all that it said.
    fn check(&self, host: &str, settings: &str) -> (bool, String) {
        let url = format!(
            "postgres://postgres@{host}:{}/{}?{settings}",
            self.cluster.port(),
            self.database
        );
        let (status, said, complaint) = run(&words(&format!(
            "check --database {url} --preset meltano --missed-first observe"
        )));
        (status.success(), format!("{said}{complaint}"))
    }
}

fn give_to_server(path: &Path) {
    // As root the server runs as another user.
    let _ = Command::new("chown").arg("postgres").arg(path).output().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_verify_full_only_the_right_server_is_talked_to() {
    let site = Site::new().await;
    let (ours, other) = (authority("our authority"), authority("another authority"));
    let root = site.file("root.crt", &ours.pem());
    let full = format!("sslmode=verify-full&sslrootcert={root}");
    let plain = |_: &mut CertificateParams| {};

    site.shows(Some(&identity("localhost", Some(&ours), plain)), "");
    let (good, said) = site.check("localhost", &full);
    assert!(good, "{said}");
    let (good, said) = site.check("localhost", &format!("{full}&channel_binding=disable"));
    assert!(good, "{said}");

    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let not_yet = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2091, 1, 1);
    };
    let for_clients = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let wrong: [(&str, Option<Identity>, &str); 9] = [
        ("a plain server", None, "does not support TLS"),
        (
            "another authority",
            Some(identity("localhost", Some(&other), plain)),
            "UnknownIssuer",
        ),
        (
            "another host",
            Some(identity("db.example.com", Some(&ours), plain)),
            "not valid for name",
        ),
        ("expired", Some(identity("localhost", Some(&ours), expired)), "expired"),
        (
            "not yet valid",
            Some(identity("localhost", Some(&ours), not_yet)),
            "not valid",
        ),
        ("self-signed", Some(identity("localhost", None, plain)), "UnknownIssuer"),
        (
            "a certificate of a client",
            Some(identity("localhost", Some(&ours), for_clients)),
            "extended key usage",
        ),
        (
            "a wildcard of another domain",
            Some(identity("*.localhost", Some(&ours), plain)),
            "not valid for name",
        ),
        (
            "the right authority above one that is not shown",
            Some(identity("localhost", Some(&intermediate("between", &ours).0), plain)),
            "UnknownIssuer",
        ),
    ];
    for (name, shown, words) in &wrong {
        site.shows(shown.as_ref(), "");
        let (good, said) = site.check("localhost", &full);
        assert!(!good && said.contains("FAIL connect"), "{name}: {said}");
        assert!(said.contains(words), "{name}: {said}");
    }

    // An address is a name like any other, and the whole chain may be shown.
    let (between, chain) = intermediate("between", &ours);
    let mut shown = identity("localhost", Some(&between), |_| {});
    shown.certificate.push_str(&chain);
    site.shows(Some(&shown), "");
    let (good, said) = site.check("localhost", &full);
    assert!(good, "{said}");
    let (good, said) = site.check("127.0.0.1", &full);
    assert!(!good && said.contains("not valid for name"), "{said}");
    site.shows(Some(&identity("127.0.0.1", Some(&ours), plain)), "");
    let (good, said) = site.check("127.0.0.1", &full);
    assert!(good, "{said}");
    // Of several hosts the first that is the right one is talked to.
    let (good, said) = site.check(&format!("localhost:{},127.0.0.1", site.cluster.port()), &full);
    assert!(good, "{said}");

    site.shows(Some(&identity("db.example.com", Some(&ours), plain)), "");
    let (good, said) = site.check("localhost", &format!("sslmode=verify-ca&sslrootcert={root}"));
    assert!(good, "verify-ca takes any name: {said}");
    let (good, said) = site.check("localhost", &format!("sslmode=require&sslrootcert={root}"));
    assert!(good, "require with authorities verifies them: {said}");
    let stranger = site.file("stranger.crt", &other.pem());
    let empty = site.file("empty.crt", "nothing");
    for (settings, words) in [
        (format!("sslmode=verify-ca&sslrootcert={stranger}"), "UnknownIssuer"),
        (format!("sslmode=require&sslrootcert={stranger}"), "UnknownIssuer"),
        (
            format!("sslmode=verify-full&sslrootcert={empty}"),
            "there is no certificate in it",
        ),
        (
            "sslmode=verify-full&sslrootcert=/nowhere/root.crt".to_owned(),
            "/nowhere/root.crt",
        ),
        ("sslmode=verify-full".to_owned(), "name their file in sslrootcert"),
        ("sslmode=verify-full&sslrootcert=system".to_owned(), "FAIL connect"),
        (format!("{full}&sslcert={root}"), "needs its key"),
        (format!("{full}&sslkey={root}"), "without sslcert"),
    ] {
        let (good, said) = site.check("localhost", &settings);
        assert!(!good && said.contains(words), "{settings}: {said}");
    }
}

/// The wire of a watch whose statement has to be cancelled: every connection, also that of the cancel request, asks for TLS
/// first and says nothing else in plain text.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ever_said_in_plain_text_to_the_right_server() {
    let site = Site::new().await;
    let ours = authority("our authority");
    let root = site.file("root.crt", &ours.pem());
    site.shows(Some(&identity("localhost", Some(&ours), |_| {})), "");
    let (port, heard) = wire::relay(site.cluster.port());
    let configuration = format!(
        "[[watch]]\nname = \"meltano\"\npreset = \"meltano\"\npoll_interval = \"200ms\"\npoll_timeout = \"500ms\"\n\
         database = \"postgres://postgres@localhost:{port}/{}?sslmode=verify-full&sslrootcert={root}\"\n",
        site.database
    );
    let file = site.file("beatwarden.toml", &configuration);
    let dog = Beatwarden::watch(&["--config", &file]).await;
    let soon = Duration::from_secs(20);
    dog.metric_becomes("up{watch=\"meltano\"}", 1.0, soon).await;
    let mut owner = postgres::connect(&site.cluster.url("postgres", &site.database)).await;
    let locked = owner.transaction().await.unwrap();
    let lock = locked.batch_execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE");
    lock.await.unwrap();
    let connections = || heard.lock().unwrap().len();
    let before = connections();
    // The cancel request, and the next connection.
    eventually("two more connections", soon, async || {
        (connections() >= before + 2).then_some(())
    })
    .await;
    locked.rollback().await.unwrap();
    dog.metric_becomes("up{watch=\"meltano\"}", 1.0, soon).await;
    drop(dog);
    for said in heard.lock().unwrap().iter().filter(|said| !said.is_empty()) {
        assert!(wire::is_tls(said), "{:?}", &said[..said.len().min(40)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impostor_hears_no_word_of_the_protocol() {
    let (_folder, root) = written("root.crt", authority("our authority").pem());
    let answers: [&[u8]; 5] = [
        b"N",
        // An error of a server that is older than TLS: libpq of old continued in plain text.
        b"EFATAL: unsupported frontend protocol\0\0",
        b"S",
        // A good answer, and behind it what a man in the middle would like to be taken for the server's word.
        b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I",
        b"R\0\0\0\x08\0\0\0\0",
    ];
    for mode in ["require", "verify-ca", "verify-full"] {
        for answer in answers {
            let (port, heard) = wire::impostor(answer);
            let url = format!(
                "postgres://someone:kennel@localhost:{port}/jobs?connect_timeout=2&sslmode={mode}&sslrootcert={}",
                root.display()
            );
            let (status, said, complaint) = run(&["check", "--database", &url, "--preset", "meltano"]);
            assert!(!status.success() && said.contains("FAIL connect"), "{said}{complaint}");
            let heard = heard.lock().unwrap();
            assert!(!heard.is_empty());
            for said in heard.iter() {
                let word = |word: &[u8]| said.windows(word.len()).any(|bytes| bytes == word);
                assert!(!word(b"someone") && !word(b"kennel"), "{mode} {answer:?}");
                assert!(wire::is_tls(said), "{mode} {answer:?}: {:?}", &said[..8]);
            }
        }
    }
}

/// What is not named is looked for where libpq looks for it.
#[tokio::test(flavor = "multi_thread")]
async fn authorities_in_the_home_are_trusted_and_those_of_the_system_for_the_right_name_only() {
    let site = Site::new().await;
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".postgresql")).unwrap();
    let check = |settings: &str| {
        let url = format!(
            "postgres://postgres@localhost:{}/{}?{settings}",
            site.cluster.port(),
            site.database
        );
        let out = crate::support::beatwarden::command(home.path())
            .args(words(&format!(
                "check --preset meltano --missed-first observe --database {url}"
            )))
            .env("HOME", home.path())
            .output()
            .unwrap();
        let said = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
        (out.status.success(), said)
    };
    // A plain server: the system's authorities alone are a word for verify-full.
    let (good, said) = check("sslrootcert=system");
    assert!(!good && said.contains("does not support TLS"), "{said}");
    let (good, said) = check("sslrootcert=system&sslmode=require");
    assert!(!good && said.contains("use verify-full"), "{said}");

    let (ours, other) = (authority("our authority"), authority("another authority"));
    site.shows(Some(&identity("localhost", Some(&ours), |_| {})), "");
    let (good, said) = check("sslmode=require");
    assert!(good, "without authorities it is encrypted: {said}");
    for (issuer, expected) in [(&ours, true), (&other, false)] {
        fs::write(home.path().join(".postgresql/root.crt"), issuer.pem()).unwrap();
        for mode in ["require", "verify-ca", "verify-full"] {
            let (good, said) = check(&format!("sslmode={mode}"));
            assert_eq!(good, expected, "{mode}: {said}");
            assert!(expected || said.contains("UnknownIssuer"), "{mode}: {said}");
        }
    }
}
