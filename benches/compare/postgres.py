"""The ephemeral PostgreSQL cluster: made by initdb in the cache, on a free port, fsync on; its tables; what they cost.

A history of millions of rows takes minutes to make, so the cluster stays in the cache and is only started again. It listens
on the loopback interface alone, without passwords."""

import os
import pathlib
import shutil
import socket
import subprocess
import time

import machine

HERE = pathlib.Path(__file__).resolve().parent
SQL = HERE / "sql"
# Of what sql/table.sql makes: a history of another version is made again.
LAYOUT = 1
# One role for each program under test, so that pg_stat_statements keeps them apart.
ROLES = ["own", "pe", "se", "floor", "beats"]
SETTINGS = """listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = {buffers}MB
max_wal_size = 4GB
max_connections = 100
timezone = 'UTC'
# Every table is vacuumed before it is measured, and never while it is.
autovacuum = off
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track_planning = on
"""


def count(size):
    """`10k` and `1m` as numbers."""
    factor = {"k": 1_000, "m": 1_000_000}.get(size[-1].lower())
    return int(size[:-1]) * factor if factor else int(size)


def programs():
    """The folder with the newest server's programs."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    initdb = found[-1] if found else pathlib.Path(shutil.which("initdb") or "initdb")
    return initdb.parent


class Cluster:
    def __init__(self, cache):
        self.cache, self.data, self.bin = cache, cache / "cluster", programs()
        self.port = self.postmaster = None

    # ------------------------------------------------------------------------------------------ life
    def as_server(self, program, *arguments):
        """Runs one of the server's programs; as root they refuse to work, so there it is the user postgres."""
        command = [str(self.bin / program), *arguments]
        if os.getuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]
        with open(self.cache / "server.log", "ab") as log:
            subprocess.run(command, check=True, cwd="/", stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def start(self):
        if not (self.data / "made").exists():
            self.make()
        self.stop()
        for _ in range(5):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            try:
                self.as_server("pg_ctl", "-D", str(self.data), "-w", "-t", "120", "-o", f"-p {self.port}", "start")
                break
            except subprocess.CalledProcessError:
                continue  # another process took the port meanwhile
        else:
            raise SystemExit(f"PostgreSQL does not start: see {self.cache}/server.log")
        self.postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        return self

    def make(self):
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        if os.getuid() == 0:
            shutil.chown(self.data, "postgres", "postgres")
        self.as_server("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(SETTINGS.format(buffers=min(2048, memory // 8)))
        (self.data / "made").touch()

    def stop(self):
        if (self.data / "postmaster.pid").exists():
            try:
                self.as_server("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "-t", "60", "stop")
            except subprocess.CalledProcessError:
                pass  # the file of a server that was killed

    # ------------------------------------------------------------------------------------------ statements
    def psql(self, database, *arguments, text=None):
        command = [
            *[str(self.bin / "psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"],
            *["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database, *arguments],
        ]
        # The longest is the making of a history of ten million rows, on a slow disk.
        return [line.split("\t") for line in machine.output(command, 1800, input=text).splitlines()]

    def url(self, database, role, options=""):
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}?sslmode=disable{options}"

    # ------------------------------------------------------------------------------------------ tables
    def history(self, size):
        """The database with so many finished rows, made if it isn't there; its name."""
        name = f"runs_{size}"
        roles = "".join(
            f"SELECT 'CREATE ROLE {role} LOGIN' WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{role}') \\gexec\n"
            for role in ROLES
        )
        self.psql("postgres", text=roles + "GRANT pg_monitor TO pe;\nCREATE EXTENSION IF NOT EXISTS pg_stat_statements;")
        if self.psql("postgres", "-c", f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            try:
                if self.psql(name, "-c", "SELECT rows, version FROM made") == [[str(count(size)), str(LAYOUT)]]:
                    return name
            except RuntimeError:
                pass  # an earlier run was interrupted
        print(f"making a history of {size} rows; it is kept for later runs", flush=True)
        self.psql("postgres", "-c", f"DROP DATABASE IF EXISTS {name}", "-c", f"CREATE DATABASE {name}")
        self.psql(name, "-v", f"rows={count(size)}", "-v", f"version={LAYOUT}", "-f", str(SQL / "table.sql"))
        return name

    def running(self, database, jobs):
        """So many running jobs, and no index but the primary key."""
        self.index(database, False)
        self.psql(database, "-v", f"running={jobs}", "-f", str(SQL / "running.sql"))

    def index(self, database, wanted):
        there = bool(self.psql(database, "-c", "SELECT 1 FROM pg_class WHERE relname = 'runs_running'"))
        if wanted and not there:
            self.psql(database, "-f", str(SQL / "index.sql"))
        elif there and not wanted:
            self.psql(database, "-c", "DROP INDEX runs_running, runs_started_at")

    def grant(self, database, beatwarden):
        """The rights of Beatwarden's role: what `beatwarden grants` prints, and nothing else."""
        command = [beatwarden, "grants", "--database", self.url(database, "own"), "--preset", "meltano"]
        sql = machine.output(command)
        self.psql(database, text="DROP TABLE IF EXISTS beatwarden_repairs;\n" + sql)

    # ------------------------------------------------------------------------------------------ cost
    def forget(self, role):
        self.psql("postgres", "-c", f"SELECT pg_stat_statements_reset('{role}'::regrole::oid, 0, 0)")

    def cost(self, role):
        """What the role's statements cost since `forget`: one dict for each, with what it is called."""
        rows = self.psql(
            "postgres",
            "-c",
            "SELECT coalesce(substring(query from 'beatwarden: ([a-z ]+)'), left(regexp_replace(query, '\\s+', ' ', 'g'), 40)),"
            " calls, total_exec_time, total_plan_time, shared_blks_hit, shared_blks_read"
            f" FROM pg_stat_statements WHERE userid = '{role}'::regrole AND calls > 0",
        )
        keys = ["calls", "exec_ms", "plan_ms", "hit", "read"]
        return [{"name": row[0].strip(), **dict(zip(keys, map(float, row[1:])))} for row in rows]

    def wait_until_idle(self, role, seconds=30):
        """Until no statement of the role runs: a scan that no one waits for any more would burden what comes next."""
        until = time.monotonic() + seconds
        question = f"SELECT 1 FROM pg_stat_activity WHERE usename = '{role}' AND state <> 'idle'"
        while time.monotonic() < until and self.psql("postgres", "-c", question):
            time.sleep(0.2)
