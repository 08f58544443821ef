//! Transport security towards PostgreSQL: with `verify-full` only the right server is talked to, and nothing is ever sent
//! in plain text instead; client certificates, channel binding, and password files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/mod.rs"]
mod support;

use certificates::{Identity, authority, identity};
use rcgen::{CertificateParams, date_time_ymd};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};
use support::{
    beatwarden::run,
    postgres::{self, Cluster},
};
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
        database.client().await.batch_execute(TABLE).await.unwrap();
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
        let (status, said, complaint) = run(&[
            "check",
            "--database",
            &url,
            "--preset",
            "meltano",
            "--missed-first",
            "observe",
        ]);
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
    let wrong: [(&str, Option<Identity>, &str); 6] = [
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
    ];
    for (name, shown, words) in &wrong {
        site.shows(shown.as_ref(), "");
        let (good, said) = site.check("localhost", &full);
        assert!(!good && said.contains("FAIL connect"), "{name}: {said}");
        assert!(said.contains(words), "{name}: {said}");
    }

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

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_and_channel_binding_work() {
    let site = Site::new().await;
    let ours = authority("our authority");
    let root = site.file("root.crt", &ours.pem());
    let data = site.cluster.folder().join("data");
    let authorities = data.join("clients.crt");
    fs::write(&authorities, ours.pem()).unwrap();
    give_to_server(&authorities);
    let admin = site.cluster.url("postgres", "postgres");
    let client = postgres::connect(&admin).await;
    client
        .batch_execute("SET password_encryption = 'scram-sha-256'; CREATE ROLE dog LOGIN PASSWORD 'kennel'")
        .await
        .unwrap();
    let grants = postgres::connect(&site.cluster.url("postgres", &site.database)).await;
    grants
        .batch_execute("GRANT SELECT ON runs TO dog, postgres")
        .await
        .unwrap();
    let rules =
        "local all all trust\nhost all dog 127.0.0.1/32 scram-sha-256\nhostssl all postgres 127.0.0.1/32 cert\n";
    let hba = data.join("pg_hba.conf");
    fs::write(&hba, rules).unwrap();
    site.shows(
        Some(&identity("localhost", Some(&ours), |_| {})),
        "ssl_ca_file = 'clients.crt'\n",
    );
    let full = format!("sslmode=verify-full&sslrootcert={root}");
    let (good, said) = site.check("localhost", &full);
    assert!(!good && said.contains("certificate"), "{said}");
    let own = identity("postgres", Some(&ours), |_| {});
    let (certificate, key) = (site.file("own.crt", &own.certificate), site.file("own.key", &own.key));
    let (good, said) = site.check("localhost", &format!("{full}&sslcert={certificate}&sslkey={key}"));
    assert!(good, "{said}");

    let as_dog = |password: &str, settings: &str| {
        let url = format!(
            "postgres://dog{password}@localhost:{}/{}?{settings}",
            site.cluster.port(),
            site.database
        );
        let (status, said, complaint) = run(&[
            "check",
            "--database",
            &url,
            "--preset",
            "meltano",
            "--missed-first",
            "observe",
        ]);
        (status.success(), format!("{said}{complaint}"))
    };
    let (good, said) = as_dog(":kennel", &format!("{full}&channel_binding=require"));
    assert!(good, "{said}");
    let (good, said) = as_dog(":kennel", "sslmode=disable&channel_binding=require");
    assert!(!good && said.contains("channel binding"), "{said}");
    let (good, said) = as_dog(":wrong", &full);
    assert!(
        !good && said.contains("FAIL auth") && !said.contains(":wrong"),
        "{said}"
    );

    let line = format!("localhost:{}:*:dog:kennel\n", site.cluster.port());
    let file = site.file("pgpass", &line);
    let (good, said) = as_dog("", &format!("{full}&passfile={file}"));
    assert!(good, "{said}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (good, said) = as_dog("", &format!("{full}&passfile={file}"));
    assert!(!good && said.contains("chmod 600"), "{said}");
    let (good, said) = as_dog("", &format!("{full}&passfile=/nowhere/pgpass"));
    assert!(
        !good && said.contains("/nowhere/pgpass") && !said.contains("kennel"),
        "{said}"
    );
}
