//! PgBouncer before a cluster of the tests.

use super::postgres::{self, Cluster};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// PgBouncer in transaction mode, gone with the test.
pub struct Pooler {
    child: Child,
    file: PathBuf,
    user: String,
    port: u16,
}

impl Pooler {
    /// Starts it before the cluster; the port that it listens on.
    pub fn start(cluster: &Cluster, folder: &Path) -> (Self, u16) {
        let this = Self::before(cluster.port(), "postgres", folder);
        let port = this.port;
        (this, port)
    }

    /// Starts it before the server at that port, where every client becomes this user.
    pub fn before(server: u16, user: &str, folder: &Path) -> Self {
        let (file, port) = (folder.join("pgbouncer.ini"), postgres::free_port());
        std::fs::write(&file, configuration(port, server, user)).expect("our own file");
        Command::new("chmod")
            .args(["-R", "a+rX"])
            .arg(folder)
            .status()
            .expect("our own file");
        let child = Command::new(postgres::pgbouncer())
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("PgBouncer is not installed: run scripts/setup-tests.sh");
        Self {
            child,
            file,
            user: user.to_owned(),
            port,
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Leads to another server from now on; the sessions of the clients stay open, and find themselves there.
    pub fn lead_to(&self, server: u16) {
        std::fs::write(&self.file, configuration(self.port, server, &self.user)).expect("our own file");
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-s", "HUP", &pid]).status();
        assert!(asked.expect("kill").success());
    }
}

/// With `auth_type = any` every client becomes the user of the database line.
fn configuration(port: u16, server: u16, user: &str) -> String {
    format!(
        "[databases]\n* = host=127.0.0.1 user={user} port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nunix_socket_dir =\n\
         user = nobody\n"
    )
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
