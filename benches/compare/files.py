"""The same on SQLite: what a pass costs beside the bare queries, and how long it keeps the file's readers' lock.

A read transaction is seen from outside, by asking the system who holds SQLite's locks: on the bytes of the shared lock of the
file itself (rollback journal), or on those of the readers' marks in its -shm file (write-ahead log, Meltano's choice).
Nothing is opened or delayed in the program that is watched."""

import fcntl
import os
import random
import sqlite3
import struct
import threading
import time

import machine
import queries
from cells import settle, way
from programs import OWN, Program

JOBS = 100
LAYOUT = 1
TABLE = """
CREATE TABLE runs (id INTEGER PRIMARY KEY, job_name VARCHAR, state VARCHAR, started_at DATETIME, ended_at DATETIME,
    payload VARCHAR, payload_flags INTEGER, run_id CHAR(32), "trigger" VARCHAR, last_heartbeat_at DATETIME);
"""
TIME = "%Y-%m-%d %H:%M:%S.000000"
# struct flock: type, whence, start, length, process.
FLOCK = "hhqqi4x"
# Where SQLite puts its locks: https://www.sqlite.org/fileformat.html and https://www.sqlite.org/walformat.html
ROLLBACK_READERS = (0x40000002, 510)
WAL_READERS = (120 + 3, 5)


def sqlite(bench):
    for rows in bench.files:
        for journal in ("wal", "delete"):
            bench.attempt(f"SQLite, {rows} rows, {journal}", look, bench, rows, journal)


def file_with(bench, rows):
    """The database file with so many finished rows, made if it isn't there; its running rows are made again."""
    path = bench.cache / f"runs_{rows}.{LAYOUT}.db"
    fresh = not path.exists()
    made = path.with_suffix(".making") if fresh else path
    with sqlite3.connect(made) as database:
        now = time.time()
        if fresh:
            print(f"making an SQLite file of {rows} rows; it is kept for later runs", flush=True)
            chance, count = random.Random(42), bench.size(rows)
            database.executescript(TABLE)
            database.executemany("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", finished(count, now, chance))
        database.execute("DELETE FROM runs WHERE id > ?", (bench.size(rows),))
        database.executemany(
            "INSERT INTO runs VALUES (?, ?, 'RUNNING', ?, NULL, ?, 0, ?, NULL, ?)", begun(bench.size(rows), now)
        )
    database.close()
    if fresh:
        made.rename(path)
    return path


def stamp(seconds):
    return time.strftime(TIME, time.gmtime(seconds))


def finished(count, now, chance):
    for i in range(1, count + 1):
        start = now - 365 * 86400 * (1 - i / (count + 1))
        end = start + 5 + 600 * chance.random()
        beat = None if i % 100 == 0 else stamp(end - 1)
        state = "FAIL" if i % 20 == 0 else "SUCCESS"
        yield i, f"prod:tap-source{i % 500}-to-target-warehouse", state, stamp(start), stamp(end), payload(i), 1, f"{i:032x}", None, beat


def begun(count, now):
    for i in range(1, JOBS + 1):
        start = stamp(now - 7200 * (1 - i / (JOBS + 1)))
        beat = None if i % 100 == 0 else stamp(now)
        yield count + i, f"prod:tap-source{i}-to-target-warehouse", start, payload(i), f"{count + i:032x}", beat


def payload(i):
    return '{"singer_state": {"bookmarks": {"stream": {"replication_key_value": %d, "cursor": "%064x"}}}}' % (i, i * i)


class Readers(threading.Thread):
    """Watches from outside how long a process holds a readers' lock."""

    def __init__(self, path, place, pid):
        super().__init__()
        self.file, self.place, self.pid = open(path, "rb"), place, pid
        self.stopped, self.held, self.pause = threading.Event(), [], 0.0002

    def is_held(self):
        asked = struct.pack(FLOCK, fcntl.F_WRLCK, 0, *self.place, 0)
        kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(self.file, fcntl.F_GETLK, asked))
        return kind != fcntl.F_UNLCK and pid == self.pid

    def run(self):
        since = None
        while not self.stopped.is_set():
            held, now = self.is_held(), time.monotonic()
            if held and since is None:
                since = now
            elif not held and since is not None:
                self.held.append((now - since) * 1e3)
                since = None
            time.sleep(self.pause)

    def stop(self):
        self.stopped.set()
        self.join()
        self.file.close()


def look(bench, rows, journal):
    path = file_with(bench, rows)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(f"PRAGMA journal_mode = {journal}")
    # As the last writer leaves it: the program under test finds the file in this mode.
    record = {"section": "sqlite", "history": rows, "running": JOBS, "journal": journal}
    if journal == "wal":
        bare(bench, database, record)
    # A process that opens and closes the file beside SQLite drops the locks that its own process holds: none, from here on.
    database.close()
    bench.patience.wait()
    bench.jobs = JOBS
    place = WAL_READERS if journal == "wal" else ROLLBACK_READERS
    locked = f"{path}-shm" if journal == "wal" else path
    with Program(bench, OWN, None, url=str(path), wait=False) as program:
        wait_for_file(program, locked)
        readers = Readers(locked, place, program.pid)
        readers.start()
        try:
            ready = program.wait_until_ready(JOBS)
            # The pages of a full look can't be kept apart here.
            settle(program, max(bench.settle, 75) if journal == "wal" else bench.settle)
            program.wait_for_pass()
            metrics = [f"beatwarden_poll_duration_seconds_{part}" for part in ("sum", "count")]
            before, cpu, first = [program.value(metric) for metric in metrics], machine.cpu_seconds(program.pid), len(readers.held)
            span = machine.Span(None, program.pid)
            time.sleep(bench.passes + 0.45)
            cpu = machine.cpu_seconds(program.pid) - cpu
            program.get()
            took, passes = (program.value(metric) - earlier for metric, earlier in zip(metrics, before))
            used = span.end()
        finally:
            readers.stop()
        result = {
            "program": OWN,
            "ready_ms": ready * 1e3,
            "passes": passes,
            "wall_ms": took / passes * 1e3,
            "cpu_ms": cpu / passes * 1e3,
            "way": way(program),
            "peak_bytes": machine.peak_memory(program.pid),
            "reads": len(readers.held),
            "longest_read_ms": max(readers.held, default=0),
            "longest_ordinary_read_ms": max(readers.held[first:], default=0),
        }
    if not readers.held:
        raise RuntimeError("no read transaction was seen: the locks are not where they are looked for")
    bench.emit({**record, **result, "foreign_cores": used["foreign_cores"]})


def wait_for_file(program, path):
    """The -shm file is there as soon as the program has opened the database."""
    until = time.monotonic() + 20
    while not os.path.exists(path):
        if time.monotonic() > until or program.process.poll() is not None:
            raise RuntimeError(f"{path} never appeared: see {program.log.name}")
        time.sleep(0.001)


def bare(bench, database, record):
    """The bare queries on the same file, at the pace of a pass: the rows by their keys, also where the file is opened and closed
    for it, as it is for a pass, and by their state, which scans."""
    keys = [row[0] for row in database.execute("SELECT id FROM runs WHERE state = 'RUNNING'")]
    marks = ", ".join("?" * len(keys))
    by_key = f"SELECT {queries.COLUMNS} FROM runs WHERE id IN ({marks})"
    path = database.execute("PRAGMA database_list").fetchone()[2]

    def in_new_session():
        session = sqlite3.connect(path, isolation_level=None)
        session.execute(by_key, keys).fetchall()
        session.close()

    for name, fetch in (
        ("bare by key", lambda: database.execute(by_key, keys).fetchall()),
        (queries.REOPENED, in_new_session),
        ("bare by state", lambda: database.execute(f"SELECT {queries.COLUMNS} FROM runs WHERE state = 'RUNNING'").fetchall()),
    ):
        took = []
        for _ in range(bench.passes):
            time.sleep(1)
            turn = time.perf_counter()
            fetch()
            took.append((time.perf_counter() - turn) * 1e3)
        bench.emit({**record, "program": name, "wall_ms": sum(took) / len(took)})
