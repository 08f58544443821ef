//! Checks docker-compose.yml, the Dockerfile and the scripts of the demo against each other and
//! against the scrape configuration. Owns no fact of its own; reads the files as their users do.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{files_below, list, root, string, text, yaml};

/// The services of docker-compose.yml by name.
fn services() -> BTreeMap<String, Value> {
    let compose = yaml("docker-compose.yml");
    let services = compose["services"]
        .as_object()
        .expect("docker-compose.yml has services");
    services
        .iter()
        .map(|(name, service)| (name.clone(), service.clone()))
        .collect()
}

/// The value of a Dockerfile instruction, the last one if there are several.
fn instruction(dockerfile: &str, name: &str) -> String {
    let line = dockerfile.lines().rev().find(|line| line.starts_with(name));
    line.and_then(|line| line.strip_prefix(name))
        .unwrap_or_else(|| panic!("Dockerfile has no {name}"))
        .trim()
        .to_owned()
}

#[test]
fn everything_that_compose_mounts_exists() {
    let compose = yaml("docker-compose.yml");
    let volumes = compose["volumes"].as_object().expect("compose has volumes");
    let secrets = compose["secrets"].as_object().expect("compose has secrets");
    for (name, secret) in secrets {
        let file = string(secret, "file");
        assert!(root().join(file).is_file(), "secret {name}: {file} does not exist");
        assert!(
            file.contains("/demo-"),
            "secret {name}: {file} does not say that it is a demo's"
        );
    }
    for (name, service) in services() {
        for mount in list(&service, "volumes").iter().filter_map(Value::as_str) {
            let source = mount.split(':').next().unwrap_or_default();
            if source.starts_with('.') {
                assert!(root().join(source).exists(), "{name}: {source} does not exist");
                assert!(mount.ends_with(":ro"), "{name}: {mount} is writable");
            } else {
                assert!(volumes.contains_key(source), "{name}: volume {source} is not declared");
            }
        }
        for secret in list(&service, "secrets").iter().filter_map(Value::as_str) {
            assert!(secrets.contains_key(secret), "{name}: secret {secret} is not declared");
        }
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            if let Some(secret) = value.as_str().and_then(|path| path.strip_prefix("/run/secrets/")) {
                let granted = list(&service, "secrets").iter().any(|name| name == secret);
                assert!(
                    granted,
                    "{name}: {variable} reads the secret {secret}, which is not granted"
                );
            }
        }
    }
}

#[test]
fn compose_publishes_on_loopback_only_and_hardens_every_service() {
    let services = services();
    for (name, service) in &services {
        for port in list(service, "ports") {
            let port = port.as_str().expect("ports are written as host:port:port");
            assert!(
                port.starts_with("127.0.0.1:"),
                "{name}: {port} is published to everybody"
            );
        }
        assert!(service["healthcheck"].is_object(), "{name} has no healthcheck");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        let options = serde_json::json!(["no-new-privileges:true"]);
        assert_eq!(service["security_opt"], options, "{name}");
        if let Some(image) = service["image"].as_str() {
            let tag = image.rsplit_once(':').map_or("latest", |(_, tag)| tag);
            let parts = tag.split(['.', '-']).count();
            assert!(parts >= 3, "{name}: {image} is not pinned to a version");
        }
        for (other, condition) in service["depends_on"].as_object().into_iter().flatten() {
            assert!(
                services.contains_key(other),
                "{name} depends on {other}, which is not there"
            );
            assert_ne!(string(condition, "condition"), "", "{name}: {other}");
        }
    }
}

#[test]
fn image_compose_and_scrape_configuration_agree_on_the_address() {
    let dockerfile = text("Dockerfile");
    let listen = instruction(&dockerfile, "ENV BEATWARDEN__LISTEN=");
    let port = instruction(&dockerfile, "EXPOSE ");
    assert_eq!(listen, format!("0.0.0.0:{port}"));

    let services = services();
    let beatwarden = &services["beatwarden"];
    assert_eq!(string(&beatwarden["environment"], "BEATWARDEN__LISTEN"), listen);
    assert_eq!(list(beatwarden, "ports"), [format!("127.0.0.1:{port}:{port}")]);

    let prometheus = yaml("config/prometheus/prometheus.yml");
    let scraped = list(&prometheus, "scrape_configs")
        .iter()
        .find(|job| string(job, "job_name") == "beatwarden")
        .expect("the alerts expect a scrape job called beatwarden");
    let target = format!("beatwarden:{port}");
    assert_eq!(list(&scraped["static_configs"][0], "targets"), [target]);
}

#[test]
fn the_image_runs_watch_without_root_and_asks_the_binary_for_its_health() {
    let dockerfile = text("Dockerfile");
    assert_eq!(instruction(&dockerfile, "ENTRYPOINT "), r#"["beatwarden"]"#);
    assert_eq!(instruction(&dockerfile, "CMD "), r#"["watch"]"#);
    // What Kubernetes can check under `runAsNonRoot` without looking into the image: numbers, and not that of root.
    let user = dockerfile.lines().rev().find_map(|line| line.strip_prefix("USER "));
    let ids: Vec<u32> = user
        .expect("the image names its user")
        .split(':')
        .map(|id| id.parse().expect("user and group are numbers"))
        .collect();
    assert!(ids.len() == 2 && !ids.contains(&0), "{ids:?}");
    let health = instruction(&dockerfile, "HEALTHCHECK ");
    assert!(health.ends_with(r#"CMD ["beatwarden", "healthcheck"]"#), "{health}");
    let asked = services()["beatwarden"]["healthcheck"]["test"].clone();
    assert_eq!(asked, serde_json::json!(["CMD", "beatwarden", "healthcheck"]));
}

#[test]
fn the_demo_scripts_are_executable_and_valid_shell() {
    let mut scripts = files_below("deploy/compose");
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "sh"));
    assert!(!scripts.is_empty(), "deploy/compose has no scripts");
    for script in scripts {
        let parsed = Command::new("bash").arg("-n").arg(&script).output();
        let parsed = parsed.expect("bash is installed");
        let message = String::from_utf8_lossy(&parsed.stderr);
        assert!(parsed.status.success(), "{}: {message}", script.display());
        let mode = fs::metadata(&script).map(|found| std::os::unix::fs::PermissionsExt::mode(&found.permissions()));
        let mode = mode.expect("the script's mode can be read");
        assert_eq!(mode & 0o111, 0o111, "{} is not executable", script.display());
    }
}

/// Of the build's folder the image's builder sees only what .dockerignore lets pass: all that cargo and the sources ask for.
#[test]
fn the_context_of_the_image_has_what_its_build_needs() {
    let ignore = text(".dockerignore");
    let lines = ignore.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (passed, hidden): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with('!'));
    assert_eq!(hidden, ["*"]);
    let context = tempfile::tempdir().expect("a folder");
    for name in passed {
        let copied = Command::new("cp")
            .arg("-R")
            .arg(root().join(&name[1..]))
            .arg(context.path())
            .status();
        assert!(copied.expect("cp is there").success(), "{name}");
    }
    // Every target that the manifest names has to be there.
    let manifest = Command::new(env!("CARGO"))
        .current_dir(context.path())
        .args([
            "metadata",
            "--no-deps",
            "--locked",
            "--offline",
            "--format-version",
            "1",
        ])
        .output()
        .expect("cargo is there");
    let message = String::from_utf8_lossy(&manifest.stderr);
    assert!(manifest.status.success(), "{message}");
    let mut included = 0;
    for source in files_below("src") {
        let content = fs::read_to_string(&source).expect("a source can be read");
        for file in content.split("include_str!(\"").skip(1) {
            let file = file.split('"').next().unwrap_or_default();
            let place = source
                .strip_prefix(root())
                .expect("a source of ours")
                .with_file_name(file);
            assert!(
                context.path().join(&place).exists(),
                "{} is not in the context",
                place.display()
            );
            included += 1;
        }
    }
    assert!(included > 20, "{included} included files");
    // What the build copies out of its folder, too.
    for line in text("Dockerfile").lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let source = line.split(' ').next().unwrap_or_default();
        assert!(
            line.starts_with("--from=") || context.path().join(source).exists(),
            "COPY {line}"
        );
    }
}
