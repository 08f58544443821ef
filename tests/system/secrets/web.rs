//! The secrets of HTTP: hashes of passwords, and private keys.

use super::{CANARY, SOON, SOUGHT};
use crate::support::{
    beatwarden::{Beatwarden, command, words},
    certificates, eventually, http, written,
};
use std::fs;

/// Passwords of our own HTTP server, as hashes.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_web_configuration_is_shown() {
    let hash = bcrypt::hash(CANARY, 4).unwrap();
    let (folder, web) = written("web.yml", format!("basic_auth_users:\n  someone: {hash}\n"));
    let configuration = folder.path().join("beatwarden.toml");
    let text = format!(
        "web_config_file = {:?}\n[[watch]]\ndatabase = \"jobs.db\"\npreset = \"meltano\"\n",
        web.display().to_string()
    );
    fs::write(&configuration, text).unwrap();
    let dog = Beatwarden::watch(&["--config", configuration.to_str().unwrap(), "--log-level", "trace"]).await;
    let seen = |dog: &Beatwarden| {
        let credentials = format!("someone:{CANARY}");
        let header = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, credentials);
        let mut text = dog.log();
        for path in ["/metrics", "/", "/api/v1/status", "/api/v1/repairs"] {
            let refused = http::ask(dog.address, "GET", path, "");
            assert_eq!(refused.status, 401);
            let answer = http::ask(dog.address, "GET", path, &format!("Authorization: Basic {header}\r\n"));
            assert_eq!(answer.status, 200);
            text.push_str(&refused.headers);
            text.push_str(&answer.headers);
            text.push_str(&String::from_utf8_lossy(&answer.body));
        }
        text.push_str(&dog.log());
        assert!(!text.contains(&header), "{text}");
        text
    };
    let first = seen(&dog);
    assert!(!first.contains(&hash[7..]) && !first.contains(SOUGHT), "{first}");
    let read = |name: &str| {
        let arguments = [name, "--config", configuration.to_str().unwrap()];
        let output = command(folder.path()).args(arguments).output().unwrap();
        [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8(bytes).unwrap())
            .concat()
    };
    for bad in [
        format!("basic_auth_users:\n  someone: {hash}x\n"),
        format!("basic_auth_users:\n  someone: {CANARY:?}\n"),
        format!("basic_auth_user:\n  someone: {hash}\n"),
        format!("basic_auth_users: {hash}\n"),
        format!("basic_auth_users:\n  someone: {hash}\n someone: {hash}\n"),
    ] {
        // The binary looks at the file on its own too, and may have said it before it is asked to.
        let before = dog.log().len();
        fs::write(&web, bad).unwrap();
        dog.signal("HUP");
        eventually(
            format_args!("a word on the bad file: {}", dog.whole_log()),
            SOON,
            async || dog.log()[before..].contains("web configuration").then_some(()),
        )
        .await;
        let said = format!("{}{}{}", seen(&dog), read("check"), read("config"));
        assert!(!said.contains(&hash[7..]) && !said.contains(SOUGHT), "{said}");
    }
}

/// Private keys: of our own certificate over HTTP, and of the one that we show to a server.
#[tokio::test(flavor = "multi_thread")]
async fn no_private_key_is_ever_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let identity = certificates::identity("localhost", None, |_| {});
    let certificate = file("server.crt", &identity.certificate);
    let secret = identity.key.lines().nth(1).unwrap();
    let indented = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let inline = |key: &str| {
        format!(
            "tls_server_config:\n  cert_file: server.crt\n  key: |\n{}",
            indented(key)
        )
    };
    let web = file("web.yml", &inline(&identity.key));
    let database = file("jobs.db", "");
    let common = format!("--database {database} --preset meltano --web-config-file {web}");
    let common = words(&common);
    let dog = Beatwarden::watch(&[&common[..], &["--log-level", "trace"]].concat()).await;
    let broken = [
        identity.key.replace("-----END", "--END"),
        identity.key.replacen(secret, &format!("{secret}!"), 1),
        identity.key.replace("PRIVATE KEY", "CERTIFICATE"),
        identity.key.replace("-----BEGIN PRIVATE KEY-----\n", ""),
    ];
    let says = |arguments: &[&str]| {
        let output = command(folder.path()).args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    for key in &broken {
        let named = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n".to_owned();
        for text in [
            inline(key),
            named,
            inline(key).replace("key: |", "key: [|"),
            inline(key).replace("key:", "kee:"),
        ] {
            // The binary looks at the files on its own too, and may have said it before it is asked to.
            let before = dog.log().len();
            file("server.key", key);
            file("web.yml", &text);
            dog.signal("HUP");
            eventually(
                format_args!("a word on the bad key: {}", dog.whole_log()),
                SOON,
                async || dog.log()[before..].contains("web configuration").then_some(()),
            )
            .await;
            let said = says(&[&["check"], &common[..]].concat());
            assert!(said.contains("web configuration"), "{said}");
            assert!(
                !said.contains(secret) && !dog.log().contains(secret),
                "{said}{}",
                dog.log()
            );
        }
        let url = format!("postgres://dog@127.0.0.1:1/jobs?sslmode=require&sslcert={certificate}&sslkey=server.key");
        let said = says(&["check", "--preset", "meltano", "--database", &url]);
        assert!(said.contains("sslkey server.key") && !said.contains(secret), "{said}");
    }
}
