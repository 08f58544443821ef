//! What we show to the server: certificates, passwords bound to the channel, and what is read again when it was changed.

use super::{Site, give_to_server};
use crate::support::{
    Session,
    beatwarden::{Beatwarden, run, words},
    certificates::{authority, identity},
    eventually, postgres,
};
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

/// Another authority for both sides, and files of the same names: the next connect reads them.
#[tokio::test(flavor = "multi_thread")]
async fn rotated_certificates_and_keys_are_taken_up_without_a_restart() {
    let site = Site::new().await;
    let data = site.cluster.folder().join("data");
    fs::write(
        data.join("pg_hba.conf"),
        "local all all trust\nhostssl all postgres 127.0.0.1/32 cert\n",
    )
    .unwrap();
    let rotate = || {
        let authority = authority("the authority of today");
        let own = identity("postgres", Some(&authority), |_| {});
        site.file("root.crt", &authority.pem());
        site.file("own.crt", &own.certificate);
        site.file("own.key", &own.key);
        fs::write(data.join("clients.crt"), authority.pem()).unwrap();
        give_to_server(&data.join("clients.crt"));
        site.shows(
            Some(&identity("localhost", Some(&authority), |_| {})),
            "ssl_ca_file = 'clients.crt'\n",
        );
    };
    rotate();
    let folder = site.folder.path().display();
    let url = format!(
        "postgres://postgres@localhost:{}/{}?sslmode=verify-full&sslrootcert={folder}/root.crt&sslcert={folder}/own.crt\
         &sslkey={folder}/own.key",
        site.cluster.port(),
        site.database
    );
    let arguments = words("--preset meltano --missed-first observe --poll-interval 200ms");
    let dog = Beatwarden::watch(&[&["--database", &url][..], &arguments].concat()).await;
    dog.metric_becomes("up{watch=\"meltano\"}", 1.0, Duration::from_secs(20))
        .await;
    rotate();
    // The server was away meanwhile: a good pass from here on is one over another connection.
    let last = || dog.metric("last_successful_poll_timestamp_seconds{watch=\"meltano\"}");
    let before = last();
    eventually(
        format_args!("a good pass: {}", dog.whole_log()),
        Duration::from_secs(60),
        async || (last() > before).then_some(()),
    )
    .await;
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
        .run("SET password_encryption = 'scram-sha-256'; CREATE ROLE dog LOGIN PASSWORD 'kennel'")
        .await;
    let grants = postgres::connect(&site.cluster.url("postgres", &site.database)).await;
    grants.run("GRANT SELECT ON runs TO dog, postgres").await;
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
        let (status, said, complaint) = run(&words(&format!(
            "check --database {url} --preset meltano --missed-first observe"
        )));
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
