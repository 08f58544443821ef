//! The wheel of `make wheel` as a user of Python meets it: installed into a new environment, and as a plugin of real Meltanos.
//! Of an unoptimized build, which is there.

use super::support::{
    cache,
    meltano::{Meltano, Place, Run, Version},
    postgres,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::dist::{outside, root, run, said};

/// The wheel of this build.
fn wheel() -> PathBuf {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let build = || {
        let printed = run(outside(Command::new(root().join("scripts/wheel"))).env("PROFILE", "dev"));
        root().join(printed.trim())
    };
    BUILT.get_or_init(build).clone()
}

#[test]
fn a_new_environment_gets_the_program_its_manual_and_its_completions() {
    let wheel = wheel();
    let name = wheel.file_name().unwrap().to_str().unwrap();
    assert!(name.contains("-py3-none-manylinux_2_"), "{name}");
    let place = tempfile::tempdir().unwrap();
    let python = cache().join("meltano-4/bin/python");
    run(Command::new(python).args(["-m", "venv"]).arg(place.path()));
    run(Command::new(place.path().join("bin/pip"))
        .args(["install", "--quiet", "--no-index"])
        .arg(&wheel));
    let program = place.path().join("bin/beatwarden");
    let version = run(Command::new(&program).arg("--version"));
    assert_eq!(version.trim(), format!("beatwarden {}", env!("CARGO_PKG_VERSION")));
    let demo = run(Command::new(&program).args(["demo", "--once", "--listen", "127.0.0.1:0"]));
    assert!(demo.contains("REPAIRED by Beatwarden"), "{demo}");
    for path in [
        "share/man/man1/beatwarden.1.gz",
        "share/man/man1/beatwarden-explain.1.gz",
        "share/bash-completion/completions/beatwarden",
        "share/zsh/site-functions/_beatwarden",
        "share/fish/vendor_completions.d/beatwarden.fish",
        "share/doc/beatwarden/THIRD-PARTY-LICENSES.txt",
    ] {
        assert!(place.path().join(path).exists(), "{path}");
    }
    let definition = place.path().join("share/beatwarden/beatwarden.yml");
    let ours = root().join("deploy/meltano/beatwarden.yml");
    assert_eq!(fs::read(definition).unwrap(), fs::read(ours).unwrap());
}

/// `meltano add` of the definition, then a command of the plugin.
fn added(project: &Meltano, version: Version) {
    let definition = root().join("deploy/meltano/beatwarden.yml");
    let add: &[&str] = match version {
        Version::V3_6 => &["add", "utility", "beatwarden", "--from-ref"],
        Version::V4 => &["add", "beatwarden", "--plugin-type", "utility", "--from-ref"],
    };
    let mut command = with_wheel(project.meltano());
    let output = command.args(add).arg(definition).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

fn with_wheel(mut command: Command) -> Command {
    let wheel = wheel();
    let folder: &Path = wheel.parent().unwrap();
    command.env("PIP_FIND_LINKS", folder).env("UV_FIND_LINKS", folder);
    command
}

async fn watches_its_own_database(version: Version, place: Place) {
    let project = Meltano::new(version, place);
    let (is_good, printed) = project.run(Run::Works(0.0)).await;
    assert!(is_good, "{printed}");
    added(&project, version);
    let invoke = |what: &str| {
        let output = project.meltano().args(["invoke", what]).output().unwrap();
        (output.status.code(), said(&output))
    };
    let (code, printed) = invoke("beatwarden:check");
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("table `runs`: it is there"), "{printed}");
    let (installed, effect) = match version {
        Version::V3_6 => ("Meltano 3.6.0", "then frees the pipeline five minutes after the start"),
        Version::V4 => ("Meltano 4.", "action backfill has nothing to do here"),
    };
    assert!(printed.contains(installed) && printed.contains(effect), "{printed}");
    let (code, printed) = invoke("beatwarden:status");
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("No job is running"), "{printed}");
    // A setting of the plugin reaches it.
    let set: &[&str] = match version {
        Version::V3_6 => &["config", "beatwarden", "set"],
        Version::V4 => &["config", "set", "beatwarden"],
    };
    let mut command = project.meltano();
    let output = command.args(set).args(["missed_first", "observe"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let (_, printed) = invoke("beatwarden:check");
    assert!(printed.contains("action observe"), "{printed}");
    assert!(!printed.contains("is not read"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_of_meltano_3_6_watches_the_projects_file() {
    watches_its_own_database(Version::V3_6, Place::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_of_meltano_4_watches_the_projects_server() {
    watches_its_own_database(Version::V4, Place::Postgres(postgres::shared().database().await)).await;
}
