//! The tour of docker-compose.yml: its schema, and its services one beside the other without containers.

use super::{Contained, documents, judge, root, said, text};
use crate::support::{
    Session, eventually, http,
    postgres::{self, Cluster},
    written,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    net::TcpStream,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

const SOON: Duration = Duration::from_secs(30);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The writer's runs are processes of its own: a word from us, and it ends them.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn compose() -> Value {
    documents(&root().join("docker-compose.yml")).remove(0)
}

fn environment(service: &Value) -> BTreeMap<String, String> {
    let variables = service["environment"].as_object().unwrap();
    variables
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn the_compose_file_fits_the_compose_specification() {
    let check = |path: &Path| {
        judge("check-jsonschema")
            .args(["--builtin-schema", "vendor.compose-spec"])
            .arg(path)
            .output()
            .unwrap()
    };
    let right = check(&root().join("docker-compose.yml"));
    assert!(right.status.success(), "{}", said(&right));
    let (_folder, path) = written(
        "docker-compose.yml",
        text("docker-compose.yml").replacen("read_only:", "readonly:", 1),
    );
    assert!(!check(&path).status.success(), "a misspelt key is not noticed");
}

/// PostgreSQL with the script that makes the role, the writer with a crash, and Beatwarden with the compose file's own
/// environment, user and secrets: only addresses and folders are others.
#[tokio::test(flavor = "multi_thread")]
async fn the_tour_of_compose_works_without_containers() {
    let services = compose()["services"].take();
    let cluster = Cluster::start_own();
    let database = cluster.database().await;
    database.client().await.run("CREATE ROLE meltano SUPERUSER LOGIN").await;
    let name = database.url.rsplit('/').next().unwrap().to_owned();
    let contained = Contained::new();
    let place = format!("127.0.0.1:{}/{name}", cluster.port());
    let url = text("deploy/compose/secrets/demo-beatwarden-database-url.txt").replace("postgres:5432/meltano", &place);
    let secret = contained.file("beatwarden_database_url", &url);
    let password = contained.file(
        "postgres_password",
        &text("deploy/compose/secrets/demo-postgres-password.txt"),
    );

    let role = text("deploy/compose/postgres/10-beatwarden-role.sh")
        .replace("/run/secrets/beatwarden_database_url", secret.to_str().unwrap());
    let made = Command::new("bash")
        .args(["-c", &role])
        .envs(environment(&services["postgres"]))
        .env("POSTGRES_DB", &name)
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", cluster.port().to_string())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));

    let state = tempfile::tempdir().unwrap();
    let script = root().join("deploy/compose/writer/writer.sh");
    let writer = |arguments: &[&str]| {
        let mut command = Command::new(&script);
        command
            .args(arguments)
            .envs(environment(&services["writer"]))
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", cluster.port().to_string())
            .env("PGDATABASE", &name)
            .env("PGPASSWORD_FILE", &password)
            .env("WRITER_STATE_DIR", state.path())
            .env("WRITER_CRASH_ONE_IN", "0")
            // In a container it is alone; here its last word to its group must not reach the test.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(File::create(state.path().join("log")).unwrap());
        command
    };
    let ordered = writer(&["crash", "events-to-lake"]).status().unwrap();
    assert!(ordered.success());
    let _writer = Running(writer(&[]).spawn().unwrap());

    let listen = format!("127.0.0.1:{}", postgres::free_port());
    let beatwarden = |arguments: &[&str]| {
        let mut variables = environment(&services["beatwarden"]);
        assert_eq!(
            variables.insert("BEATWARDEN__LISTEN".into(), listen.clone()).unwrap(),
            "0.0.0.0:12328"
        );
        let file = variables.insert("BEATWARDEN__DATABASE_FILE".into(), secret.display().to_string());
        assert_eq!(file.unwrap(), "/run/secrets/beatwarden_database_url");
        let mut command = contained.command(65532);
        command.args(arguments).envs(variables);
        command
    };
    // The tour without its waiting: the one thing that is not as in compose.
    let log = state.path().join("beatwarden.log");
    let quick = ["watch", "--init-deadline", "2s", "--poll-interval", "200ms"];
    let _beatwarden = Running(
        beatwarden(&quick)
            .stderr(File::create(&log).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let address = listen.parse().unwrap();
    eventually("the heartbeat that was missed is written", SOON, async || {
        TcpStream::connect(address).ok()?;
        let metrics = http::get(address, "/metrics").text();
        metrics
            .contains("beatwarden_repairs_total{action=\"backfill\",reason=\"missed_first\",watch=\"meltano\"} 1\n")
            .then_some(())
    })
    .await;
    let health = beatwarden(&["healthcheck"]).output().unwrap();
    assert!(health.status.success(), "{}", said(&health));
    let alive = writer(&["healthy"]).status().unwrap();
    assert!(alive.success());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.contains("demo-only-beatwarden"), "{log}");
}

/// Prometheus and Alertmanager take the flags and files that the compose file gives them.
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_and_alertmanager_accept_what_compose_gives_them() {
    let services = compose()["services"].take();
    for (service, programs) in [
        ("prometheus", &["prometheus"][..]),
        ("alertmanager", &["prometheus-alertmanager", "alertmanager"][..]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let port = postgres::free_port();
        let arguments = services[service]["command"].as_array().unwrap().iter().map(|argument| {
            let argument = argument.as_str().unwrap();
            let argument = argument.replace("/etc/prometheus/", &format!("{}/config/prometheus/", root().display()));
            let argument = argument.replace(
                "/etc/alertmanager/",
                &format!("{}/config/prometheus/", root().display()),
            );
            match argument.split_once("storage.") {
                Some((dashes, rest)) if rest.contains("path=") => {
                    let key = rest.split('=').next().unwrap();
                    format!("{dashes}storage.{key}={}", folder.path().join("data").display())
                }
                _ => argument,
            }
        });
        let arguments: Vec<String> = arguments.collect();
        let log = folder.path().join("log");
        let start = |program: &str| {
            Command::new(program)
                .args(&arguments)
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::create(&log).unwrap())
                .spawn()
                .ok()
        };
        let child = programs.iter().find_map(|program| start(program));
        let _running = Running(child.unwrap_or_else(|| panic!("{service} is missing: run scripts/setup-tests.sh")));
        let address = ([127, 0, 0, 1], port).into();
        eventually(&format!("{service} is ready"), SOON, async || {
            TcpStream::connect(address).ok()?;
            (http::get(address, "/-/ready").status == 200).then_some(())
        })
        .await;
        // The path that the health check of compose asks.
        let check = services[service]["healthcheck"]["test"].as_array().unwrap();
        let path = check.last().unwrap().as_str().unwrap().splitn(4, '/').nth(3).unwrap();
        assert_eq!(http::get(address, &format!("/{path}")).status, 200);
    }
}
