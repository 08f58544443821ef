"""The programs under test: how each is started, when it holds data, and what it costs.

`own` is Beatwarden; `pe` is postgres_exporter, which asks the database at each scrape; `se` is sql_exporter, which asks in
the background as Beatwarden does. Each with the best single query, without and with the two indexes of sql/index.sql; and
postgres_exporter with the queries that one writes first, too: sql_exporter would ask the same."""

import http.client
import os
import re
import signal
import socket
import subprocess
import time

import queries

OWN = "own"
WITHOUT_INDEX = ["pe_naive", "pe_best", "se_best"]
WITH_INDEX = ["pe_index", "se_index"]
TITLES = {
    OWN: "Beatwarden",
    "pe_naive": "postgres_exporter, a query for each number",
    "pe_best": "postgres_exporter, best single query",
    "pe_index": "postgres_exporter, best query and indexes",
    "se_best": "sql_exporter, best single query",
    "se_index": "sql_exporter, best query and indexes",
}
# Only what the queries give: postgres_exporter's own collectors would ask for more.
PE_LEAN = ["--disable-default-metrics", "--disable-settings-metrics", "--no-collector.database", "--no-collector.bgwriter"]
EVERYTHING = {"pe_naive": "\nruns_age_seconds_count"}
TOTAL = {
    OWN: r"^beatwarden_running_jobs\{.*\} (\S+)$",
    "pe_naive": r"^runs_running_value(?:\{.*\})? (\S+)$",
    "pe_best": r"^runs_running(?:\{.*\})? (\S+)$",
    "se_best": r'^sql_runs\{.*col="running".*\} (\S+)$',
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A running program under test; ends with its `with` block."""

    def __init__(self, bench, name, database, url=None, wait=True, interval="1s", config=None):
        self.name, self.kind, self.way = name, name[:2], name.partition("_")[2]
        self.role = OWN if name == OWN else self.kind
        self.at_scrape = self.kind == "pe"
        self.total = re.compile(TOTAL[name.replace("index", "best")], re.M)
        self.port, self.connection, self.body = free_port(), None, ""
        folder = bench.out
        # Without an index the best query gains from doing without the compiler.
        jit = "&options=-c%20jit%3Doff" if self.way == "best" else ""
        url = url or bench.cluster.url(database, self.role, jit)
        environment = dict(os.environ)
        listen = f"127.0.0.1:{self.port}"
        if name == OWN:
            what = ["--config", str(config)] if config else ["--database", url, "--preset", "meltano", "--poll-interval", interval]
            command = [bench.beatwarden, "watch", *what, "--listen", listen]
        elif self.kind == "pe":
            file = folder / f"{name}.yml"
            file.write_text(queries.postgres_exporter(self.way))
            command = ["prometheus-postgres-exporter", *PE_LEAN, f"--extend.query-path={file}", f"--web.listen-address={listen}"]
            environment["DATA_SOURCE_NAME"] = url
        else:
            file = folder / f"{name}.yml"
            file.write_text(queries.sql_exporter(self.way, url.replace("postgresql:", "postgres:"), interval))
            command = ["prometheus-sql-exporter", "-web.listen-address", listen]
            environment |= {"CONFIG": str(file), "LOGLEVEL": "WARN"}
        self.log = open(folder / f"{name}.log", "ab")
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            command, env=environment, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, cwd=folder
        )
        self.pid = self.process.pid
        self.ready_s = None
        if wait:
            try:
                self.wait_until_ready(bench.jobs)
            except BaseException:
                self.stop()
                raise

    def get(self):
        """One scrape on a kept connection: its seconds. The text is in `body`."""
        if self.connection:
            try:
                return self.ask()
            except (ConnectionError, http.client.RemoteDisconnected):
                # The program may close a connection that was silent for long; any client asks again then.
                self.connection.close()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            return self.ask()
        except (OSError, http.client.HTTPException):
            self.connection = None
            raise

    def ask(self):
        began = time.perf_counter()
        self.connection.request("GET", "/metrics", headers={"Accept": "text/plain;version=0.0.4"})
        answer = self.connection.getresponse()
        body = answer.read()
        took = time.perf_counter() - began
        if answer.status != 200:
            raise RuntimeError(f"{self.name} answered {answer.status}")
        self.body = "\n" + body.decode()
        return took

    def holds(self, jobs):
        """Whether the last scrape holds everything, and the right number of running jobs."""
        counted = [float(value) for value in self.total.findall(self.body)]
        return bool(counted) and sum(counted) == jobs and EVERYTHING.get(self.name, "") in self.body

    def wait_until_ready(self, jobs, seconds=300):
        while time.monotonic() - self.began < seconds:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: see {self.log.name}")
            try:
                self.get()
                if self.holds(jobs):
                    self.ready_s = time.monotonic() - self.began
                    return self.ready_s
            except (OSError, http.client.HTTPException, RuntimeError):
                pass
            # Asked often while milliseconds count, and rarely while a slow first look needs the processor itself.
            up = time.monotonic() - self.began
            time.sleep(0.0005 if up < 0.5 else 0.01 if up < 3 else 0.1)
        raise RuntimeError(f"{self.name} doesn't show {jobs} running jobs after {seconds} s: see {self.log.name}")

    def value(self, metric):
        """A metric's value in the last scrape, all label sets added up; none where it isn't there."""
        found = re.findall(rf"^{metric}(?:\{{[^}}]*\}})? (\S+)$", self.body, re.M)
        return sum(map(float, found)) if found else None

    def wait_for_pass(self, seconds=60):
        """Until a pass has just ended: what is read now and an interval later covers whole passes."""
        self.get()
        before, until = self.value("beatwarden_polls_total"), time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.01)
            self.get()
            if self.value("beatwarden_polls_total") != before:
                return
        raise RuntimeError("no pass ended")

    def stop(self):
        if self.connection:
            self.connection.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
