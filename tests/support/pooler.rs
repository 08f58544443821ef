//! PgBouncer before a cluster of the tests.

use super::postgres::{self, Cluster};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

/// PgBouncer in transaction mode, gone with the test.
pub struct Pooler(Child);

impl Pooler {
    /// Starts it before the cluster; the port that it listens on.
    pub fn start(cluster: &Cluster, folder: &Path) -> (Self, u16) {
        let port = postgres::free_port();
        let configuration = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nunix_socket_dir =\nuser = nobody\n",
            cluster.port()
        );
        let file = folder.join("pgbouncer.ini");
        // With auth_type = any every client becomes the user of the database line.
        std::fs::write(&file, configuration.replace("port=", "user=postgres port=")).expect("our own file");
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
        (Self(child), port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
