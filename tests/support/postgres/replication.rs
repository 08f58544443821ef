//! Streaming replication between throwaway clusters: a standby by pg_basebackup, promotion, and a former primary that comes
//! back behind the new one.

use super::{Cluster, SETTINGS, as_postgres, connect, is_root, run};
use crate::support::eventually;
use std::{fs, path::Path, process::Command, time::Duration};

/// What a cluster needs that is to be rewound one day.
pub const REWINDABLE: &str = "full_page_writes = on\nwal_log_hints = on\nwal_keep_size = 256MB\n";

impl Cluster {
    /// A standby that follows this cluster.
    pub fn streaming_standby(&self) -> Self {
        let bin = self.bin.clone();
        let standby = Self::start_from(|_| bin, REWINDABLE);
        standby.stop();
        let data = standby.folder.join("data");
        run(Command::new("rm").arg("-rf").arg(&data));
        run(as_postgres(&self.bin.join("pg_basebackup"))
            .arg("-D")
            .arg(&data)
            .args(["--checkpoint=fast", "--no-sync", "-X", "stream", "-d"])
            .arg(self.url("postgres", "postgres")));
        standby.follow(self);
        standby
    }

    /// Starts this stopped cluster as a standby of another one; its data has to be a beginning of the other's.
    pub fn follow(&self, primary: &Self) {
        let place = format!(
            "unix_socket_directories = '{}'\nport = {}\n",
            self.folder.display(),
            self.port
        );
        let conninfo = format!("primary_conninfo = '{}'\n", primary.url("postgres", "postgres"));
        let data = self.folder.join("data");
        let write = |name: &str, text: &str| {
            let file = data.join(name);
            fs::write(&file, text).expect("our own folder");
            own(&file);
        };
        write(
            "postgresql.auto.conf",
            &format!("{SETTINGS}{place}{REWINDABLE}{conninfo}"),
        );
        write("standby.signal", "");
        self.start();
    }

    /// Takes back what this stopped cluster committed beyond the other's history.
    pub async fn rewind(&self, to: &Self) {
        // Before its first checkpoint a promoted server passes for one on the old timeline.
        to.execute("CHECKPOINT").await;
        run(as_postgres(&self.bin.join("pg_rewind"))
            .arg("--no-sync")
            .arg("--target-pgdata")
            .arg(self.folder.join("data"))
            .arg("--source-server")
            .arg(to.url("postgres", "postgres")));
    }

    /// As the superuser, in the database `postgres`.
    pub async fn execute(&self, statement: &str) {
        let admin = connect(&self.url("postgres", "postgres")).await;
        admin.batch_execute(statement).await.expect(statement);
    }

    /// From here on nothing reaches this standby.
    pub async fn cut_off(&self) {
        self.execute("ALTER SYSTEM SET primary_conninfo = ''").await;
        self.execute("SELECT pg_reload_conf()").await;
        let admin = connect(&self.url("postgres", "postgres")).await;
        eventually("no receiver", Duration::from_secs(20), async || {
            let count = "SELECT count(*) FROM pg_stat_wal_receiver";
            (admin.query_one(count, &[]).await.ok()?.get::<_, i64>(0) == 0).then_some(())
        })
        .await;
    }

    /// Waits until the standby has replayed all that is committed here by now.
    pub async fn replayed_by(&self, standby: &Self) {
        let here = connect(&self.url("postgres", "postgres")).await;
        let there = connect(&standby.url("postgres", "postgres")).await;
        let end: String = here
            .query_one("SELECT pg_current_wal_flush_lsn()::text", &[])
            .await
            .expect("a primary")
            .get(0);
        let replayed = format!("SELECT coalesce(pg_last_wal_replay_lsn() >= '{end}', false)");
        eventually("the standby follows", Duration::from_secs(30), async || {
            there
                .query_one(&replayed, &[])
                .await
                .ok()?
                .get::<_, bool>(0)
                .then_some(())
        })
        .await;
    }

    /// Makes a primary of this standby; returns only when it is one.
    pub async fn promote(&self) {
        self.execute("SELECT pg_promote()").await;
    }
}

/// Files that we write ourselves belong to the server's user, too.
fn own(file: &Path) {
    if is_root() {
        run(Command::new("chown").arg("postgres").arg(file));
    }
}
