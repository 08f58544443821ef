//! `make observe`, run to its end: the alert fires, the repair comes, the alert resolves, and nothing is left behind.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

/// The script, with a folder of its own for everything that it makes.
fn observe(folder: &Path) -> Command {
    // The server of the script may run as another user.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/observe"));
    command
        .env("BEATWARDEN", env!("CARGO_BIN_EXE_beatwarden"))
        .env("TMPDIR", folder);
    command
}

/// The processes whose command line names the folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let found = Command::new("pgrep").args(["-af", folder.to_str().unwrap()]).output();
    let found = String::from_utf8(found.unwrap().stdout).unwrap();
    found.lines().map(str::to_owned).collect()
}

fn assert_nothing_left(folder: &Path) {
    assert_eq!(processes_of(folder), Vec::<String>::new());
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "files are left");
}

#[test]
fn an_alert_fires_and_resolves_after_the_repair() {
    let folder = tempfile::tempdir().unwrap();
    let output = observe(folder.path()).arg("--once").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}{errors}");
    let mut rest = said.as_str();
    for step in [
        "healthy: four pipelines beat",
        "is killed between its start and its first heartbeat",
        "Beatwarden reports it as stuck",
        "FIRING    BeatwardenJobsBlocking",
        "the action becomes fail",
        "as FAIL, with an entry in its ledger",
        "orders-to-warehouse runs again",
        "RESOLVED  BeatwardenJobsBlocking",
        "healthy again",
    ] {
        rest = rest
            .split_once(step)
            .unwrap_or_else(|| panic!("no `{step}` in its place: {said}"))
            .1;
    }
    assert_nothing_left(folder.path());
}

#[test]
fn an_interrupted_observation_takes_everything_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = observe(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let running = lines.map_while(Result::ok).any(|line| line.starts_with("Alertmanager"));
    assert!(running, "it does not start");
    assert!(!processes_of(folder.path()).is_empty());
    // Not SIGINT: a shell that runs the tests in the background has it ignored, and a shell can't trap what it found ignored.
    let killed = Command::new("kill")
        .args(["-s", "TERM", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_nothing_left(folder.path());
}

#[test]
fn an_unknown_argument_is_answered_with_the_usage() {
    let folder = tempfile::tempdir().unwrap();
    let output = observe(folder.path()).arg("--twice").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), said.contains("scripts/observe --once")),
        (Some(2), true),
        "{said}"
    );
}
