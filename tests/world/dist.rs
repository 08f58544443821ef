//! The archive of `make dist`, unpacked and looked through as an operator would: of an unoptimized build, which is there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

pub(super) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A command without what cargo sets for its tests: crates that look for it would be built again.
pub(super) fn outside(mut command: Command) -> Command {
    let ours = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        let is_of_the_user = ["CARGO_HOME", "CARGO_TARGET_DIR"].contains(&&*name) || name.starts_with("CARGO_PROFILE_");
        is_of_the_user || !name.starts_with("CARGO")
    });
    let ours: Vec<_> = ours.collect();
    command.env_clear().envs(ours);
    command
}

/// The folder in the archive, unpacked into another one.
fn unpacked(into: &Path) -> PathBuf {
    let archive = run(outside(Command::new(root().join("scripts/dist"))).env("PROFILE", "dev"));
    let archive = root().join(archive.trim());
    let folder = archive.parent().unwrap();
    let name = archive.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(
        name.contains("-dev-"),
        "{name}: a build with debug assertions has the name of a release"
    );
    run(Command::new("sha256sum")
        .current_dir(folder)
        .arg("--check")
        .arg(format!("{}.sha256", archive.display())));
    run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(into));
    into.join(name.strip_suffix(".tar.gz").unwrap())
}

#[test]
fn the_archive_has_everything_that_an_operator_needs() {
    let place = tempfile::tempdir().unwrap();
    let folder = unpacked(place.path());
    let in_it = |path: &str| folder.join(path);

    let program = in_it("bin/beatwarden");
    let version = run(Command::new(&program).arg("--version"));
    assert_eq!(version.trim(), format!("beatwarden {}", env!("CARGO_PKG_VERSION")));

    // A page for the program, and one for each of its commands.
    let help = run(Command::new(&program).arg("--help"));
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty())
        .collect();
    assert!(commands.len() > 10, "{commands:?}");
    for page in std::iter::once("beatwarden".to_owned()).chain(commands.iter().map(|name| format!("beatwarden-{name}")))
    {
        let text = run(Command::new("gunzip")
            .arg("-c")
            .arg(in_it(&format!("man/man1/{page}.1.gz"))));
        assert!(text.contains(&format!(".TH {page} 1")), "{text}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let text = read(&in_it(&format!("completions/beatwarden.{shell}")));
        for name in &commands {
            assert!(text.contains(name), "{shell} completes no {name}");
        }
    }
    run(Command::new("bash").arg("-n").arg(in_it("completions/beatwarden.bash")));

    let configuration = in_it("config/beatwarden.toml");
    run(Command::new(&program).arg("config").arg("--config").arg(&configuration));
    for path in [
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "config/prometheus/beatwarden.rules.yml",
        "dashboards/overview.json",
        "deploy/systemd/beatwarden.service",
        "deploy/kubernetes/overlays/one/kustomization.yaml",
        "docs/operations.md",
    ] {
        assert_eq!(read(&in_it(path)), read(&root().join(path)), "{path}");
    }

    let parts = the_bill_of_materials_is_what_is_compiled_in(&read(&in_it("beatwarden.cdx.json")));
    let licences = read(&in_it("THIRD-PARTY-LICENSES.txt"));
    let noticed: BTreeSet<String> = licences
        .lines()
        .filter_map(|line| Some(line.strip_prefix("==== ")?.split_once(" (")?.0.to_owned()))
        .collect();
    assert_eq!(noticed, parts, "a notice for each crate, and for no other");
    every_link_leads_to_a_file_of(&folder);

    // Nothing of the machine that built it.
    for text in [read(&in_it("beatwarden.cdx.json")), licences] {
        assert!(!text.contains(root().to_str().unwrap()));
    }
}

/// The names and versions in it: those that the compiler is given for the binary.
fn the_bill_of_materials_is_what_is_compiled_in(text: &str) -> BTreeSet<String> {
    let bill: Value = serde_json::from_str(text).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(bill["metadata"]["component"]["name"], "beatwarden");
    let name = |part: &Value| {
        format!(
            "{} {}",
            part["name"].as_str().unwrap(),
            part["version"].as_str().unwrap()
        )
    };
    let parts: BTreeSet<String> = bill["components"].as_array().unwrap().iter().map(name).collect();
    // The units of the build itself, not the tree that the bill was made of.
    let mut build = outside(Command::new(env!("CARGO")));
    build
        .current_dir(root())
        .args(["build", "--locked", "--bin", "beatwarden", "--message-format", "json"]);
    let built: BTreeSet<String> = run(&mut build)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|message| {
            message["reason"] == "compiler-artifact" && message["target"]["kind"] != json!(["custom-build"])
        })
        .map(|message| {
            message["package_id"]
                .as_str()
                .unwrap()
                .rsplit('#')
                .next()
                .unwrap()
                .replace('@', " ")
        })
        .filter(|crate_| !crate_.starts_with("beatwarden ") && crate_.contains(' '))
        .collect();
    assert!(built.len() > 50, "{built:?}");
    // Crates of build scripts and procedural macros are compiled, too, and are not in the binary.
    assert_eq!(parts.difference(&built).collect::<Vec<_>>(), Vec::<&String>::new());
    for crate_ in [
        "hyper",
        "ring",
        "rusqlite",
        "libsqlite3-sys",
        "tokio-postgres",
        "rustls",
    ] {
        assert!(
            parts.iter().any(|part| part.starts_with(&format!("{crate_} "))),
            "no {crate_}"
        );
    }
    // Each part that another one needs is on the bill.
    let references: BTreeSet<&str> = bill["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["bom-ref"].as_str().unwrap())
        .collect();
    for need in bill["dependencies"].as_array().unwrap() {
        for on in need["dependsOn"].as_array().into_iter().flatten() {
            assert!(references.contains(on.as_str().unwrap()), "{on} is not on the bill");
        }
    }
    parts
}

/// Documents of the archive name each other, and what else is in it.
fn every_link_leads_to_a_file_of(folder: &Path) {
    let mut documents = vec![
        folder.join("README.md"),
        folder.join("CHANGELOG.md"),
        folder.join("CONTRIBUTING.md"),
    ];
    for below in ["docs", "docs/adr"] {
        let entries = fs::read_dir(folder.join(below))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        documents.extend(entries.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    let mut links = 0;
    for document in documents {
        for link in read(&document).split("](").skip(1) {
            let link = link.split([')', '#', ' ']).next().unwrap();
            if !link.is_empty() && !link.contains("://") {
                links += 1;
                let meant = document.parent().unwrap().join(link);
                assert!(meant.exists(), "{}: {link} is not in the archive", document.display());
            }
        }
    }
    assert!(links > 20, "{links} links");
}

/// What stands in deny.toml is what is checked: a licence that is not allowed is noticed.
#[test]
fn the_supply_chain_is_checked_and_a_forbidden_licence_is_noticed() {
    let check = root().join("scripts/check-supply-chain");
    run(&mut Command::new(&check));
    // A release is made only where known vulnerabilities can be looked up.
    let mut release = Command::new(&check);
    let output = release
        .arg("--release")
        .env("ADVISORY_DB", root().join("no-such-database"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("no release without it"), "{}", said(&output));
    let program = crate::support::cache().join("cargo-tools/bin/cargo-deny");
    assert!(program.exists(), "cargo-deny is missing: run scripts/setup-tests.sh");
    let folder = tempfile::tempdir().unwrap();
    let strict = folder.path().join("deny.toml");
    fs::write(&strict, read(&root().join("deny.toml")).replace("    \"ISC\",\n", "")).unwrap();
    let output = Command::new(program)
        .current_dir(root())
        .args(["--locked", "--config"])
        .arg(&strict)
        .args(["check", "licenses"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("ISC"), "{}", said(&output));
}
