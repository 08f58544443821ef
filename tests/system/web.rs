//! The web configuration file with real clients: curl, promtool and Prometheus against the real binary.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::certificates::{Identity, authority, identity};
use crate::support::{
    beatwarden::{Beatwarden, command, run, words},
    eventually,
    http::ask,
    prometheus::Prometheus,
};
use std::{
    fs,
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);
const PASSWORD: &str = "right horse battery";

/// A folder with a job table, certificates and a web configuration.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
}

impl Site {
    /// With `server` as our certificate; `authority.pem` is who signed it.
    pub(crate) fn new() -> Self {
        let this = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let ours = authority("our authority");
        this.file("authority.pem", &ours.pem());
        this.identity("server", &identity("localhost", Some(&ours), |_| {}));
        this.identity("prometheus", &identity("prometheus.internal", Some(&ours), |_| {}));
        this.identity("other", &identity("other.internal", Some(&ours), |_| {}));
        this.identity("stranger", &identity("prometheus.internal", None, |_| {}));
        rusqlite::Connection::open(this.path("jobs.db"))
            .unwrap()
            .execute_batch(include_str!("../../src/demo/schema.sql"))
            .unwrap();
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn identity(&self, name: &str, identity: &Identity) {
        self.file(&format!("{name}.crt"), &identity.certificate);
        self.file(&format!("{name}.key"), &identity.key);
    }

    /// Writes the web configuration; its lines may name files of this folder.
    fn web(&self, text: &str) -> PathBuf {
        self.file("web.yml", text)
    }

    pub(crate) async fn start(&self, text: &str) -> Beatwarden {
        self.web(text);
        Beatwarden::watch(&words(&format!(
            "--database {} --preset meltano --missed-first observe --poll-interval 200ms --web-config-file {}",
            self.text("jobs.db"),
            self.text("web.yml")
        )))
        .await
    }

    /// Status and body, by curl; status 0 where there was no answer.
    pub(crate) fn curl(&self, dog: &Beatwarden, path: &str, arguments: &[&str]) -> (u16, String) {
        let out = Command::new("curl")
            .current_dir(self.folder.path())
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "10",
                "--write-out",
                "\n%{http_code}",
            ])
            .args(["--cacert", "authority.pem"])
            .args(arguments)
            .arg(format!("https://localhost:{}{path}", dog.address.port()))
            .output()
            .unwrap();
        let said = String::from_utf8(out.stdout).unwrap();
        let (body, status) = said.rsplit_once('\n').unwrap();
        (
            status.parse().unwrap(),
            format!("{body}{}", String::from_utf8_lossy(&out.stderr)),
        )
    }
}

/// Ten levels of nine aliases each.
fn bomb() -> String {
    let level = |depth: usize| {
        let below = vec![format!("*l{}", depth - 1); 9].join(", ");
        format!("l{depth}: &l{depth} [{below}]\n")
    };
    std::iter::once("l0: &l0 x\n".to_owned())
        .chain((1..=10).map(level))
        .collect()
}

const TLS: &str = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";

fn users() -> String {
    let hash = bcrypt::hash(PASSWORD, 5).unwrap();
    format!("basic_auth_users:\n  prom.User: {hash}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_passwords_guard_everything_but_the_probes() {
    let site = Site::new();
    let dog = site.start(&format!("{TLS}{}", users())).await;
    let right = format!("prom.User:{PASSWORD}");
    for path in [
        "/metrics",
        "/",
        "/api/v1/status",
        "/api/v1/repairs",
        "/style.css",
        "/nowhere",
    ] {
        for (arguments, expected) in [
            (vec![], 401),
            (vec!["--user", "prom.User:wrong"], 401),
            (vec!["--user", "prom.user:right horse battery"], 401),
            (vec!["--user", &right], if path == "/nowhere" { 404 } else { 200 }),
            (vec!["--user", &right, "--request", "POST"], 405),
        ] {
            let (status, said) = site.curl(&dog, path, &arguments);
            assert_eq!(status, expected, "{path} {arguments:?}: {said}");
        }
    }
    for path in ["/-/healthy", "/healthz", "/-/ready", "/readyz"] {
        eventually(path, SOON, async || (site.curl(&dog, path, &[]).0 == 200).then_some(())).await;
    }
    let (_, answer) = site.curl(&dog, "/metrics", &["--include"]);
    assert!(
        answer.contains("www-authenticate: Basic realm=\"beatwarden\""),
        "{answer}"
    );
    assert!(!answer.contains("beatwarden_up"), "{answer}");
    // Another authority, an old version, and plain HTTP get nothing.
    let (status, said) = site.curl(&dog, "/-/healthy", &["--cacert", "stranger.crt"]);
    assert_eq!(status, 0, "{said}");
    let (status, said) = site.curl(&dog, "/-/healthy", &["--tls-max", "1.1"]);
    assert_eq!(status, 0, "{said}");
    let plain = ask(dog.address, "GET", "/metrics", "");
    assert_eq!(plain.status, 400);
    assert_eq!(plain.text(), "this port speaks HTTPS, not HTTP.\n");
    // The binary's own way in.
    let healthcheck = |listen: &str| {
        let asked = command(site.folder.path())
            .args(words(&format!(
                "healthcheck --database jobs.db --preset meltano --listen {listen}"
            )))
            .output()
            .unwrap();
        (asked.status.code(), String::from_utf8(asked.stderr).unwrap())
    };
    let (code, said) = healthcheck(&dog.address.to_string());
    assert_eq!(code, Some(0), "{said}");
    assert!(!dog.log().contains(PASSWORD), "{}", dog.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_are_verified_and_the_probes_need_none() {
    let site = Site::new();
    let required = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  client_ca_file: authority.pem\n  \
                    client_auth_type: RequireAndVerifyClientCert\n";
    let dog = site
        .start(&format!("{required}  client_allowed_sans: [prometheus.internal]\n"))
        .await;
    let shown = |name: &str| {
        vec![
            "--cert".to_owned(),
            format!("{name}.crt"),
            "--key".to_owned(),
            format!("{name}.key"),
        ]
    };
    let get = |dog: &Beatwarden, path: &str, name: Option<&str>| {
        let arguments = name.map(shown).unwrap_or_default();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        site.curl(dog, path, &arguments)
    };
    for (name, expected) in [
        (Some("prometheus"), 200),
        (Some("other"), 403),
        (None, 403),
        (Some("stranger"), 0),
    ] {
        let (status, said) = get(&dog, "/metrics", name);
        assert_eq!(status, expected, "{name:?}: {said}");
    }
    for (name, expected) in [(None, 200), (Some("other"), 200), (Some("stranger"), 0)] {
        assert_eq!(get(&dog, "/-/healthy", name).0, expected, "{name:?}");
    }
    drop(dog);
    let dog = site
        .start(
            &required
                .replace("RequireAndVerify", "RequireAny")
                .replace("client_ca_file: authority.pem\n  ", ""),
        )
        .await;
    for (name, expected) in [(Some("prometheus"), 200), (None, 403), (Some("stranger"), 200)] {
        assert_eq!(get(&dog, "/metrics", name).0, expected, "{name:?}");
    }
    drop(dog);
    let dog = site
        .start(&required.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"))
        .await;
    for (name, expected) in [(Some("prometheus"), 200), (None, 200), (Some("stranger"), 0)] {
        assert_eq!(get(&dog, "/metrics", name).0, expected, "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_files_are_taken_up_without_a_restart_and_bad_ones_change_nothing() {
    let site = Site::new();
    let dog = site.start(&format!("{TLS}{}", users())).await;
    let right = format!("prom.User:{PASSWORD}");
    let metrics = |user: &str| site.curl(&dog, "/metrics", &["--user", user]).0;
    assert_eq!(metrics(&right), 200);
    // A password is replaced, and taken up by the signal.
    let hash = bcrypt::hash("another", 5).unwrap();
    site.web(&format!("{TLS}basic_auth_users: {{prom.User: {hash}}}\n"));
    dog.signal("HUP");
    eventually("the new password", SOON, async || {
        (metrics("prom.User:another") == 200).then_some(())
    })
    .await;
    assert_eq!(
        metrics(&right),
        401,
        "the old one was remembered, and must count no more"
    );
    // A bad file changes nothing, and says so once on its own.
    site.web(&format!("{TLS}basic_auth_user: {{}}\n"));
    dog.says("the new web configuration is refused", SOON).await;
    assert!(dog.log().contains("unknown field `basic_auth_user`"), "{}", dog.log());
    assert_eq!(
        dog.log().matches("the new web configuration is refused").count(),
        1,
        "once"
    );
    dog.signal("HUP");
    dog.says("the new configuration is refused", SOON).await;
    assert_eq!(metrics("prom.User:another"), 200);
    // Neither do 400 bytes that stand for nine to the tenth copies, or a file without an end.
    let complaints = || dog.log().matches("the new web configuration is refused").count();
    let (before, memory) = (complaints(), dog.most_memory());
    site.web(&bomb());
    eventually("its complaint", SOON, async || (complaints() > before).then_some(())).await;
    fs::remove_file(site.path("web.yml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", site.path("web.yml")).unwrap();
    eventually("its complaint", SOON, async || {
        (complaints() > before + 1).then_some(())
    })
    .await;
    fs::remove_file(site.path("web.yml")).unwrap();
    assert!(
        dog.most_memory() < memory + 64,
        "{} MiB, {memory} before",
        dog.most_memory()
    );
    assert_eq!(metrics("prom.User:another"), 200);
    let refused_before = complaints();
    // A renewed certificate of another authority is taken up without any signal.
    site.web(TLS);
    let other = authority("another authority");
    site.file("authority.pem", &other.pem());
    site.identity("server", &identity("localhost", Some(&other), |_| {}));
    eventually("the renewed certificate", SOON, async || {
        (site.curl(&dog, "/metrics", &[]).0 == 200).then_some(())
    })
    .await;
    assert_eq!(complaints(), refused_before, "{}", dog.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_through_tls_certificates_and_a_password() {
    let site = Site::new();
    let dog = site
        .start(&format!(
            "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  client_ca_file: authority.pem\n  \
             client_auth_type: RequireAndVerifyClientCert\n  min_version: TLS13\n{}",
            users()
        ))
        .await;
    let target = format!("localhost:{}", dog.address.port());
    let file = |name: &str| site.text(name);
    let configuration = format!(
        "global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}\nscrape_configs:\n- job_name: beatwarden\n  scheme: https\n  \
         basic_auth: {{username: prom.User, password: {PASSWORD}}}\n  tls_config:\n    ca_file: {}\n    cert_file: {}\n    \
         key_file: {}\n  static_configs: [{{targets: ['{target}']}}]\n- job_name: without\n  scheme: https\n  tls_config:\n    \
         ca_file: {}\n    cert_file: {}\n    key_file: {}\n  static_configs: [{{targets: ['{target}']}}]\n",
        file("authority.pem"),
        file("prometheus.crt"),
        file("prometheus.key"),
        file("authority.pem"),
        file("prometheus.crt"),
        file("prometheus.key"),
    );
    let prometheus = Prometheus::start(&configuration, "groups: []\n").await;
    let value = |expression: &str| {
        let series = prometheus.query(expression);
        series.first().map(|one| one["value"][1].as_str().unwrap().to_owned())
    };
    eventually("a scrape", SOON, async || {
        (value("beatwarden_up").as_deref() == Some("1")).then_some(())
    })
    .await;
    assert_eq!(value("up{job=\"beatwarden\"}").as_deref(), Some("1"));
    eventually("the scrape without a password", SOON, async || {
        (value("up{job=\"without\"}").as_deref() == Some("0")).then_some(())
    })
    .await;
}

#[test]
fn promtool_and_we_agree_on_what_is_a_web_configuration() {
    let site = Site::new();
    let hash = bcrypt::hash("x", 5).unwrap();
    let cases = [
        (String::new(), true),
        (TLS.to_owned(), true),
        (format!("basic_auth_users: {{ann: {hash}}}\n"), true),
        ("basic_auth_users:\n".to_owned(), true),
        (format!("{TLS}http_server_config: {{http2: false, headers: {{X-Frame-Options: deny}}}}\n"), true),
        (
            "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  min_version: TLS12\n  max_version: TLS13\n  \
             prefer_server_cipher_suites: true\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, \
             TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n  curve_preferences: [CurveP256, X25519]\n"
                .to_owned(),
            true,
        ),
        ("tls_server_config: {cert_file: server.crt}\n".to_owned(), false),
        ("tls_server_config: {cert_file: nowhere.crt, key_file: server.key}\n".to_owned(), false),
        ("tls_server_config: {cert_file: server.crt, key_file: other.key}\n".to_owned(), false),
        ("tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: authority.pem}\n".to_owned(), false),
        ("tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: Sometimes}\n".to_owned(), false),
        ("tls_server_config: {cert_file: server.crt, key_file: server.key, min_version: SSL3}\n".to_owned(), false),
        ("tls_server_config: {cert_file: server.crt, key_file: server.key, cipher_suites: [ROT13]}\n".to_owned(), false),
        ("tls_server: {}\n".to_owned(), false),
        (format!("{TLS}http_server_config: {{headers: {{Server: us}}}}\n"), false),
        ("a: [\n".to_owned(), false),
    ];
    for (text, accepted) in cases {
        let path = site.web(&text);
        let theirs = Command::new("promtool")
            .args(["check", "web-config"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&theirs.stderr).into_owned();
        assert_eq!(theirs.status.success(), accepted, "promtool on {text}: {said}");
        let (good, said) = check(&site, &path);
        assert_eq!(good, accepted, "we on {text}: {said}");
        assert!(accepted || said.contains("web configuration"), "{said}");
    }
    // Keys of others are taken, and it is said that they do nothing.
    let (good, said) = check(
        &site,
        &site.web(&format!("{TLS}rate_limit: {{interval: 1s, burst: 20}}\n")),
    );
    assert!(good && said.contains("rate_limit has no effect here"), "{said}");
    let (good, said) = check(&site, &site.web(&bomb()));
    assert!(!good && said.contains("an alias (`*name`)"), "{said}");
    let costs = format!(
        "basic_auth_users: {{ann: {hash}, zoe: {}}}\n",
        bcrypt::hash("x", 6).unwrap()
    );
    let (good, said) = check(&site, &site.web(&costs));
    assert!(good && said.contains("their hashes cost 5 to 6"), "{said}");
    // promtool sees no mistake in these; whom the system trusts is no one whom we know, and a password is no hash.
    let (good, said) = check(
        &site,
        &site.web("tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert}"),
    );
    assert!(!good && said.contains("client_ca_file is missing"), "{said}");
    let (good, said) = check(&site, &site.web("basic_auth_users: {ann: secret}\n"));
    assert!(
        !good && said.contains("the value of \"ann\" is no bcrypt hash") && !said.contains("secret"),
        "{said}"
    );
    let (good, said) = check(&site, Path::new("nowhere.yml"));
    assert!(!good && said.contains("nowhere.yml"), "{said}");
}

/// Whether `check` takes the file, and what it says; 2 is the exit code of a mistake.
fn check(site: &Site, web: &Path) -> (bool, String) {
    let (status, said, complaint) = run(&words(&format!(
        "check --database {} --preset meltano --missed-first observe --web-config-file {}",
        site.text("jobs.db"),
        web.to_str().unwrap()
    )));
    let said = format!("{said}{complaint}");
    assert_ne!(status.code(), Some(1), "{said}");
    (status.success(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_the_file_are_in_every_answer() {
    let site = Site::new();
    let dog = site
        .start(&format!(
            "{TLS}http_server_config: {{headers: {{Strict-Transport-Security: max-age=31536000, x-frame-options: DENY}}}}\n"
        ))
        .await;
    for path in ["/", "/-/healthy", "/nowhere"] {
        let (_, answer) = site.curl(&dog, path, &["--include"]);
        assert!(
            answer.contains("strict-transport-security: max-age=31536000\r\n"),
            "{answer}"
        );
        assert!(answer.contains("x-frame-options: DENY\r\n"), "{answer}");
    }
}

/// Half a handshake costs nothing; a client that makes a whole one is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_half_handshakes_keep_no_one_waiting() {
    let site = Site::new();
    let dog = site.start(TLS).await;
    let slowest_scrape = || {
        let scrape = |_| {
            let began = Instant::now();
            let (status, said) = site.curl(&dog, "/metrics", &[]);
            assert_eq!(status, 200, "{said}");
            began.elapsed()
        };
        (0..10).map(scrape).max().unwrap()
    };
    let calm = slowest_scrape();
    let opened: Vec<TcpStream> = (0..1000)
        .map(|number| {
            let mut stream = TcpStream::connect(dog.address).unwrap();
            // Nothing, the first byte of a record, and the beginning of a greeting.
            let said: [&[u8]; 3] = [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"];
            let _ = stream.write_all(said[number % 3]);
            stream
        })
        .collect();
    // As long as ten times what it took before, on a machine that is busy with other things.
    let limit = Duration::from_secs(1).max(calm * 10);
    let slowest = slowest_scrape();
    assert!(slowest < limit, "{slowest:?}, more than {limit:?}");
    drop(opened);
    assert!(!dog.log().contains("panicked"), "{}", dog.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_every_user_may_read_are_named_at_the_start_and_by_check() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let rights = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    rights(site.folder.path(), 0o755);
    let url = site.file("url", &site.text("jobs.db"));
    let web = site.web(&format!("{TLS}{}", users()));
    for (path, mode) in [(&url, 0o666), (&web, 0o644), (&site.path("server.key"), 0o600)] {
        rights(path, mode);
    }
    let arguments = format!(
        "--database-file {} --preset meltano --missed-first observe --web-config-file {}",
        url.to_str().unwrap(),
        web.to_str().unwrap()
    );
    let arguments = words(&arguments);
    let (_, said, _) = run(&[&["check"][..], &arguments].concat());
    let named = |text: &str, file: &Path| {
        text.lines()
            .filter(|line| line.contains(&format!("{} may be", file.display())))
            .count()
    };
    let found = |text: &str| {
        [
            named(text, &url),
            named(text, &web),
            named(text, &site.path("server.key")),
        ]
    };
    assert_eq!(found(&said), [1, 1, 0], "{said}");
    assert!(
        said.contains("may be read and written by every user of this host (mode 666)"),
        "{said}"
    );
    rights(&site.path("server.key"), 0o644);
    let dog = Beatwarden::watch(&arguments).await;
    eventually("the words of the log", SOON, async || {
        (found(&dog.log()) == [1, 1, 1]).then_some(())
    })
    .await;
    // A password in the configuration itself, and a configuration that others may write.
    let toml = |database: &str| format!("[[watch]]\npreset = \"meltano\"\ndatabase = \"{database}\"\n");
    let configuration = site.file("beatwarden.toml", &toml("postgres://u:secret@127.0.0.1:1/d"));
    let of_configuration = |mode| {
        rights(&configuration, mode);
        let (_, said, _) = run(&["check", "--config", configuration.to_str().unwrap()]);
        (named(&said, &configuration), said)
    };
    assert_eq!(of_configuration(0o644).0, 1, "{}", of_configuration(0o644).1);
    assert_eq!(of_configuration(0o600).0, 0);
    fs::write(&configuration, toml(&site.text("jobs.db"))).unwrap();
    assert_eq!(of_configuration(0o644).0, 0, "nothing secret is in it");
    assert_eq!(of_configuration(0o646).0, 1, "others may say what is done");
    // Where others don't reach the folder, they don't reach its files.
    rights(site.folder.path(), 0o700);
    let (_, said, _) = run(&[&["check"][..], &arguments].concat());
    assert_eq!(found(&said), [0, 0, 0], "{said}");
}
