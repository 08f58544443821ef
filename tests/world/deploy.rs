//! What is shipped for running it: the compose file and the Kubernetes manifests, judged by the published schemas, and run as
//! far as that goes without a container engine: the same user, a folder that can't be written to, the same environment.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod compose;
mod kubernetes;

use serde_json::Value;
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A program of the Python environment that judges manifests.
fn judge(program: &str) -> Command {
    let path = crate::support::cache().join("manifests/bin").join(program);
    assert!(path.exists(), "{program} is missing: run scripts/setup-tests.sh");
    Command::new(path)
}

/// The documents of a YAML file.
fn documents(path: &Path) -> Vec<Value> {
    let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let output = judge("python").args(["-c", script]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}: {}", path.display(), said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The documents of a YAML text.
fn parsed(text: &str) -> Vec<Value> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    documents(file.path())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// The binary as an image has it: alone in a folder that its user can't write to, and started by a user that owns nothing.
struct Contained {
    folder: tempfile::TempDir,
}

impl Contained {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Copied, since another user may not be able to reach the folder of the build.
        std::fs::copy(env!("CARGO_BIN_EXE_beatwarden"), folder.path().join("beatwarden")).unwrap();
        Self { folder }
    }

    /// A further file that it may read.
    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
        path
    }

    /// Only root can become another user; any other user who runs the tests stays who he is.
    fn command(&self, user: u32) -> Command {
        std::fs::set_permissions(self.folder.path(), PermissionsExt::from_mode(0o555)).unwrap();
        let program = self.folder.path().join("beatwarden");
        let id = Command::new("id").arg("-u").output().unwrap();
        let mut command = if id.stdout == b"0\n" {
            let mut command = Command::new("setpriv");
            command
                .args([format!("--reuid={user}"), format!("--regid={user}")])
                .args([
                    "--clear-groups",
                    "--no-new-privs",
                    "--bounding-set=-all",
                    "--inh-caps=-all",
                ])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        // A user who is not root could not remove it otherwise.
        let _ = std::fs::set_permissions(self.folder.path(), PermissionsExt::from_mode(0o755));
    }
}
