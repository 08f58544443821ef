//! Three nodes under Patroni with etcd, on loopback and free ports; gone with the test process even if that is killed. And
//! what can happen to them.
#![allow(clippy::print_stdout, reason = "it prints its steps for the one who waits for it")]

use crate::support::{
    eventually,
    postgres::{as_postgres, bin, free_port, is_root},
};
use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

pub const NODES: usize = 3;
/// Patroni's documentation allows no smaller one: so long a leader that says nothing keeps its key, in seconds.
const TTL: u32 = 20;
/// However busy the machine is.
const HEALTHY_WITHIN: Duration = Duration::from_secs(240);

/// Waits on its standard input, which the test process holds: when that ends, however it ends, everything goes.
const SUPERVISOR: &str = r#"
    cat >/dev/null
    for pid in "$2"/*.pid; do kill -s KILL "$(cat "$pid")"; done
    for data in "$2"/*/data; do
        [ ! -e "$data/postmaster.pid" ] || "$1/pg_ctl" -D "$data" -m immediate -t 10 stop
    done
    rm -rf "$2"
"#;

/// One node: a Patroni, and the PostgreSQL that it keeps.
pub struct Node {
    name: String,
    pub port: u16,
    rest: u16,
    patroni: Mutex<Option<Child>>,
}

/// Three of them, with their etcd.
pub struct Patroni {
    folder: PathBuf,
    is_synchronous: bool,
    pub nodes: Vec<Node>,
    _etcd: Child,
    supervisor: (Child, Option<ChildStdin>),
}

/// Which way the leader changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Planned, by Patroni's REST API.
    Switchover,
    /// Every process of the leader's PostgreSQL by SIGKILL.
    PostgresKilled,
    /// The leader's Patroni and PostgreSQL by SIGKILL.
    NodeKilled,
    /// The leader's Patroni by SIGKILL: its PostgreSQL keeps taking writes beside the new leader's.
    PatroniKilled,
}

impl Change {
    /// The `n`th of a run: two of five are planned.
    pub fn of(n: usize) -> Self {
        [
            Self::Switchover,
            Self::PostgresKilled,
            Self::NodeKilled,
            Self::Switchover,
            Self::PatroniKilled,
        ][n % 5]
    }
}

impl Node {
    /// The timeline that it streams. One that is promoted before it has heard of its leader's timeline begins another of the
    /// same number, and then no one can distinguish them by it.
    async fn received(&self) -> Option<i32> {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.ok()?;
        tokio::spawn(connection);
        let streams = "SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming'";
        client.query_opt(streams, &[]).await.ok()??.get(0)
    }
}

impl Patroni {
    /// Starts all of it, and waits until there is a leader and the others follow.
    pub async fn start(is_synchronous: bool) -> Self {
        let (client, peer) = (free_port(), free_port());
        // Several of them may be in one process.
        let folder = std::env::temp_dir().join(format!("bw-patroni-{}-{client}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        if is_root() {
            // So that the supervisor can remove it, and Patroni make its folders in it.
            assert!(
                Command::new("chown")
                    .arg("postgres")
                    .arg(&folder)
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let mut shell = as_postgres(Path::new("/bin/sh"));
        shell.arg("-c").arg(SUPERVISOR).arg("sh").arg(bin()).arg(&folder);
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let quiet = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut shell = quiet.spawn().unwrap();
        let supervisor = (shell.stdin.take(), shell);
        let etcd = etcd(&folder, client, peer);
        let nodes = (1..=NODES).map(|number| Node {
            name: format!("node{number}"),
            port: free_port(),
            rest: free_port(),
            patroni: Mutex::new(None),
        });
        let this = Self {
            nodes: nodes.collect(),
            folder,
            is_synchronous,
            _etcd: etcd,
            supervisor: (supervisor.1, supervisor.0),
        };
        for node in &this.nodes {
            let file = this.folder.join(format!("{}.yml", node.name));
            fs::write(file, this.configuration(node, client)).unwrap();
            this.launch(node);
        }
        this.healthy().await;
        this
    }

    fn configuration(&self, node: &Node, etcd: u16) -> String {
        let folder = self.folder.display();
        let Node { name, port, rest, .. } = node;
        let synchronous = self.is_synchronous;
        format!(
            "scope: jobs
name: {name}
restapi: {{listen: '127.0.0.1:{rest}', connect_address: '127.0.0.1:{rest}'}}
etcd3: {{host: '127.0.0.1:{etcd}'}}
bootstrap:
  dcs:
    ttl: {TTL}
    loop_wait: 1
    retry_timeout: 3
    primary_start_timeout: 0
    synchronous_mode: {synchronous}
    postgresql:
      use_pg_rewind: true
      parameters: {{wal_log_hints: 'on', max_connections: 100, wal_keep_size: 256MB}}
  initdb: [encoding: UTF8, locale: C, no-sync]
  pg_hba: ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
postgresql:
  listen: '127.0.0.1:{port}'
  connect_address: '127.0.0.1:{port}'
  data_dir: '{folder}/{name}/data'
  bin_dir: '{bin}'
  pgpass: '{folder}/{name}.pgpass'
  remove_data_directory_on_rewind_failure: true
  remove_data_directory_on_diverged_timelines: true
  authentication: {{superuser: {{username: postgres}}, replication: {{username: postgres}}}}
  parameters: {{unix_socket_directories: '{folder}', fsync: 'off', shared_buffers: 16MB}}
",
            bin = bin().display(),
        )
    }

    /// Starts a node's Patroni.
    pub fn launch(&self, node: &Node) {
        let mut command = as_postgres(Path::new("patroni"));
        command.arg(self.folder.join(format!("{}.yml", node.name)));
        let child = background(command, &self.folder, &node.name);
        *node.patroni.lock().unwrap() = Some(child);
    }

    /// What a node's Patroni knows of the cluster.
    fn members(&self) -> Option<Vec<serde_json::Value>> {
        self.nodes.iter().find_map(|node| {
            let url = format!("http://127.0.0.1:{}/cluster", node.rest);
            let said = Command::new("curl").args(["-sf", "-m", "5", &url]).output().unwrap();
            let cluster: serde_json::Value = serde_json::from_slice(&said.stdout).ok()?;
            Some(cluster["members"].as_array()?.clone())
        })
    }

    /// Waits until all nodes run, one leads, and the others follow it on its timeline; where replication is synchronous one of
    /// them is who is waited for, since Patroni promotes no other.
    pub async fn healthy(&self) {
        eventually(
            &format!("a healthy cluster, see {}", self.folder.display()),
            HEALTHY_WITHIN,
            async || {
                let members = self.members()?;
                let leader = members.iter().find(|member| member["role"] == "leader")?;
                let runs = |member: &&serde_json::Value| {
                    (member["state"] == "running" || member["state"] == "streaming")
                        && member["timeline"] == leader["timeline"]
                };
                let is_waited_for = |member: &serde_json::Value| member["role"] == "sync_standby";
                if members.iter().filter(runs).count() < NODES
                    || self.is_synchronous && !members.iter().any(is_waited_for)
                {
                    return None;
                }
                let leads = leader["name"].as_str()?;
                let timeline = i32::try_from(leader["timeline"].as_i64()?).ok()?;
                for node in self.nodes.iter().filter(|node| node.name != leads) {
                    if node.received().await? < timeline {
                        return None;
                    }
                }
                Some(())
            },
        )
        .await;
    }

    /// How many commits were cancelled while they waited for a standby: PostgreSQL keeps them, on that server alone.
    pub fn cancelled_waits(&self) -> usize {
        let log = |node: &Node| fs::read_to_string(self.folder.join(format!("{}.log", node.name))).unwrap();
        let cancelled = "canceling wait for synchronous replication due to user request";
        self.nodes.iter().map(|node| log(node).matches(cancelled).count()).sum()
    }

    /// Changes the leader; returns as soon as it is no longer what it was, with the beginning of that.
    pub async fn change(&self, leader: usize, change: Change) -> Instant {
        let node = &self.nodes[leader];
        let mut began = Instant::now();
        match change {
            // On a busy machine a standby may just lag too far, or not answer in time.
            Change::Switchover => {
                let until = began + HEALTHY_WITHIN;
                while !switch_over(node) {
                    assert!(
                        Instant::now() < until,
                        "no planned change, see {}",
                        self.folder.display()
                    );
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    began = Instant::now();
                }
            }
            Change::PostgresKilled => self.kill_postgres(node),
            Change::NodeKilled => {
                kill_patroni(node);
                self.kill_postgres(node);
            }
            Change::PatroniKilled => kill_patroni(node),
        }
        began
    }

    /// The postmaster first, so that it starts nothing again.
    fn kill_postgres(&self, node: &Node) {
        let file = self.folder.join(&node.name).join("data/postmaster.pid");
        let text = fs::read_to_string(file).expect("the server runs");
        let postmaster = text.lines().next().unwrap();
        let children = Command::new("pgrep").args(["-P", postmaster]).output().unwrap();
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        for pid in std::iter::once(postmaster).chain(children.split_whitespace()) {
            // Those that end by themselves meanwhile are gone, too.
            let _ = Command::new("kill")
                .args(["-s", "KILL", pid])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// Asks for a planned change; whether this leader is none any more.
fn switch_over(leader: &Node) -> bool {
    let url = format!("http://127.0.0.1:{}/switchover", leader.rest);
    let wanted = format!("{{\"leader\": \"{}\"}}", leader.name);
    let asked = Command::new("curl")
        .args(["-s", "-m", "60", "-d", &wanted, &url])
        .output();
    let answer = String::from_utf8_lossy(&asked.unwrap().stdout).into_owned();
    println!("  {}", answer.trim());
    // An earlier request may have been carried out after its answer.
    answer.contains("Successfully switched over") || answer.contains("leader name does not match")
}

fn kill_patroni(node: &Node) {
    let mut child = node.patroni.lock().unwrap().take().expect("it runs");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Starts a program with its log and its pid in the folder.
fn background(mut command: Command, folder: &Path, name: &str) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join(format!("{name}.log")))
        .unwrap();
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin");
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{name} is missing ({error}): make failover installs it"));
    let pid = folder.join(format!("{name}.pid"));
    fs::write(&pid, child.id().to_string()).unwrap();
    fs::set_permissions(&pid, fs::Permissions::from_mode(0o644)).unwrap();
    child
}

fn etcd(folder: &Path, client: u16, peer: u16) -> Child {
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let mut command = as_postgres(Path::new("etcd"));
    command
        .args(["--name", "etcd", "--log-level", "error", "--data-dir"])
        .arg(folder.join("etcd"));
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("etcd={peer}")]);
    background(command, folder, "etcd")
}

impl Drop for Patroni {
    fn drop(&mut self) {
        drop(self.supervisor.1.take());
        let _ = self.supervisor.0.wait();
    }
}
