"""Measures Beatwarden, two exporters and the bare queries beside each other, in one run on one machine.

usage: python3 -B benches/compare        (`make bench` installs what it needs and builds Beatwarden first)

All by the environment:
  BENCH           sections, in their order: refresh first upkeep scrape heartbeats sqlite many process rust; `report` only
                  writes the report again. All of them if empty. A section that is measured again replaces what was measured
                  of it before, so that an interrupted run continues with the sections that are missing.
  BENCH_FULL=1    longer and more often, and the longest two of cargo's benchmarks: about an hour. Otherwise less than 25
                  minutes, with the histories made beforehand
  BENCH_HISTORY   finished rows, "10k 1m 10m"; the middle one serves the sections that vary something else
  BENCH_RUNNING   running jobs, "100 10k 100k 1m"
  BENCH_FIRST     finished rows of the first look at the default interval, "5m"
  BENCH_FILES     finished rows of the SQLite files, "10k 1m"
  BENCH_SECONDS   of each measurement, 4 or 15
  BENCH_MINUTES   after which nothing further is begun; no limit if empty. Sections that were cut short are measured by
                  another run: BENCH="scrape heartbeats"
  BENCH_SETTLE    seconds that Beatwarden's first full look may take before it is measured, 300 or 900: what runs of it
                  then is kept apart from its passes; with 0 all of it is
  BENCH_PATIENCE  seconds that are waited for a quiet machine, in all: 45 or 600
  BENCH_CACHE     where the cluster with its histories is kept
  BENCH_RESULTS   the file of the figures: target/bench/results.jsonl
  BENCH_DOCS      where the report goes: docs; `-` for the terminal only
  BEATWARDEN      the program to measure; built if empty

The figures are JSON lines. The verdicts go between the marks in docs/benchmarks.md, the plots beside it, and the tables into
docs/benchmarks-raw.md. Everything listens on the loopback interface; the cluster is stopped at the end. What fails is said, in the report as well, and costs nothing else;
the exit code is 1 then."""

import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import cases
import cells
import files
import load
import machine
import postgres
import report
import rust

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECTIONS = {
    "refresh": cells.refresh,
    "first": cases.first,
    "upkeep": cases.upkeep,
    "scrape": load.scrape,
    "heartbeats": load.heartbeats,
    "sqlite": files.sqlite,
    "many": cases.many,
    "process": cases.process,
    "rust": rust.rust,
}
WITHOUT_CLUSTER = {"sqlite", "rust"}


def default_cache():
    """The server runs as another user where we are root, and may not look into root's home."""
    if os.getuid() == 0:
        return "/var/cache/beatwarden-bench"
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "beatwarden-bench")


def results_file():
    return pathlib.Path(os.environ.get("BENCH_RESULTS") or ROOT / "target" / "bench" / "results.jsonl")


class Bench:
    """What every section needs: the sizes, the cluster, the place for the figures."""

    def __init__(self):
        env = os.environ.get
        full = env("BENCH_FULL") == "1"
        self.root, self.full = ROOT, full
        self.history = (env("BENCH_HISTORY") or "10k 1m 10m").split()
        self.running = [postgres.count(jobs) for jobs in (env("BENCH_RUNNING") or "100 10k 100k 1m").split()]
        self.first = env("BENCH_FIRST") or "5m"
        self.files = (env("BENCH_FILES") or "10k 1m").split()
        self.middle, self.ends = self.history[len(self.history) // 2], {self.history[0], self.history[-1]}
        self.seconds = float(env("BENCH_SECONDS") or (15 if full else 4))
        # Ours, and the bare fetch that it is compared with, are what the verdicts rest on: four times as long.
        self.passes = int(4 * self.seconds)
        self.starts, self.repeats = (20, 5) if full else (8, 3)
        self.settle = float(env("BENCH_SETTLE") or (900 if full else 300))
        self.patience = machine.Patience(float(env("BENCH_PATIENCE") or (600 if full else 45)))
        self.out = ROOT / "target" / "bench"
        self.out.mkdir(parents=True, exist_ok=True)
        self.results = results_file()
        self.cache = pathlib.Path(env("BENCH_CACHE") or default_cache())
        self.cache.mkdir(parents=True, exist_ok=True)
        self.given = env("BEATWARDEN")
        self.beatwarden = self.program(self.given)
        # From here on: what was built before is no measurement.
        self.until = time.monotonic() + 60 * float(env("BENCH_MINUTES") or "inf")
        self.floor = str(self.out / "floor")
        self.cluster = postgres.Cluster(self.cache)
        self.jobs, self.failed, self.section, self.run = 0, [], "", ""
        # What was built; another commit may be checked out meanwhile.
        self.commit = machine.said_by(["git", "-C", str(ROOT), "describe", "--always", "--dirty"])

    @staticmethod
    def program(given):
        if given:
            return str(pathlib.Path(given).resolve())
        subprocess.run(["cargo", "build", "--profile", "dist", "--locked", "--quiet"], cwd=ROOT, check=True)
        return str(ROOT / "target" / "dist" / "beatwarden")

    @staticmethod
    def size(text):
        return postgres.count(text)

    def table(self, database, size, jobs):
        """The table with so many running jobs, and our role's rights on it."""
        print(f"{size} finished rows, {jobs} running jobs", flush=True)
        self.cluster.running(database, jobs)
        self.cluster.grant(database, self.beatwarden)
        self.jobs = jobs

    def emit(self, record):
        record = {"run": self.run, **record}
        with open(self.results, "a") as results:
            results.write(json.dumps(record) + "\n")
        shown = ("program", "case", "ready_ms", "refreshes", "db_ms", "blocks", "wall_ms", "cpu_ms", "p50_ms", "p99_ms", "per_s",
                 "lasted_s", "longest_interval_s", "full_look_ms", "foreign_cores")
        figures = [f"{key} {record[key]:.4g}" if isinstance(record[key], float) else f"{record[key]}" for key in shown if key in record]
        if figures:
            print("   ", *figures, flush=True)

    def attempt(self, what, measure, *arguments):
        """One measurement; what fails is said, and doesn't cost the others."""
        if time.monotonic() > self.until:
            self.failed.append(f"{what}: no time left")
            return
        try:
            measure(*arguments)
        except Exception as error:
            self.failed.append(f"{what}: {error}")
            print(f"FAILED {what}: {error}", file=sys.stderr, flush=True)

    def measure(self, section):
        if time.monotonic() > self.until:
            # Not even begun: what an earlier run measured of it stays.
            self.failed.append(f"{section}: no time left")
            return
        self.section, self.run = section, f"{section} {time.strftime('%Y-%m-%dT%H:%M:%S')}"
        began, failed = time.monotonic(), len(self.failed)
        print(f"\n=== {section}", flush=True)
        self.emit({"section": section, "event": "begin", **self.surroundings()})
        # A section whose beginning fails is no more than a section that fails.
        self.attempt(section, SECTIONS[section], self)
        took = time.monotonic() - began
        self.emit({"section": section, "event": "end", "took_s": took, "failed": self.failed[failed:]})
        print(f"=== {section} took {took:.0f} s", flush=True)

    def surroundings(self):
        postgres_says = machine.said_by([str(self.cluster.bin / "postgres"), "--version"])
        return {
            "machine": machine.describe(),
            "postgresql": postgres_says.split()[2] if postgres_says else "of unknown version",
            "postgres_exporter": machine.package_version("prometheus-postgres-exporter"),
            "sql_exporter": machine.package_version("prometheus-sql-exporter"),
            # A build that was given says for itself what it is; ours is what is checked out.
            "beatwarden": machine.said_by([self.beatwarden, "--version"]) + ("" if self.given else f" ({self.commit})"),
            "command": " ".join(
                [*(f'{key}="{value}"' for key, value in sorted(os.environ.items()) if key in REPEATED), "make bench"]
            ),
            "seconds": self.seconds,
        }


# What of the environment belongs to the command that reproduces the figures.
REPEATED = {"BENCH", "BENCH_FULL", "BENCH_HISTORY", "BENCH_RUNNING", "BENCH_FIRST", "BENCH_FILES", "BENCH_SECONDS", "BENCH_SETTLE"}


def main():
    wanted = (os.environ.get("BENCH") or " ".join(SECTIONS)).split()
    unknown = [section for section in wanted if section not in {*SECTIONS, "report"}]
    if unknown:
        raise SystemExit(f"BENCH: no section `{unknown[0]}`; there are {' '.join(SECTIONS)} and report")
    sections = [section for section in SECTIONS if section in wanted]
    docs = os.environ.get("BENCH_DOCS") or str(ROOT / "docs")
    if not sections:
        report.write(results_file(), docs)
        return
    # Ended by a signal, it still stops the cluster and the program under test.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench()
    lock = open(bench.cache / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit(f"another benchmark uses {bench.cache}") from None
    compile_floor(bench)
    try:
        if not WITHOUT_CLUSTER.issuperset(sections):
            bench.cluster.start()
            for size in [*bench.history, *[bench.first] * ("first" in sections)]:
                bench.cluster.history(size)
        for section in sections:
            bench.measure(section)
    finally:
        bench.cluster.stop()
    report.write(bench.results, docs)
    if bench.failed:
        print("\nnot measured:", *bench.failed, sep="\n  ", file=sys.stderr)
        raise SystemExit(1)


def compile_floor(bench):
    source = pathlib.Path(__file__).resolve().parent / "floor.c"
    headers = subprocess.run(["pg_config", "--includedir"], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["gcc", "-O2", "-o", bench.floor, str(source), f"-I{headers}", "-lpq"], check=True)


if __name__ == "__main__":
    main()
