"""Cases that cost more than they should at some time: the first look at a long table, keys with gaps, a busy day's ledger, many
watches of a distant database; and a process that has nothing to do."""

import asyncio
import re
import subprocess
import threading
import time

import cells
import load
import machine
from programs import OWN, TITLES, WITH_INDEX, Program

CONFIGURATION = """[[watch]]
name = "{name}"
database = "{url}"
preset = "meltano"
poll_interval = "{interval}"
{more}
"""


# ---------------------------------------------------------------------------------------------- first look
def first(bench):
    """The first full look at a long table, at the default interval: how long it lasts, and what it costs."""
    database = bench.cluster.history(bench.first)
    bench.table(database, bench.first, bench.running[0])
    bench.attempt(f"the first look at {bench.first}", first_look, bench, database)


def first_look(bench, database):
    bench.patience.wait(bench.cluster.postmaster)
    bench.cluster.forget(OWN)
    with Program(bench, OWN, database, interval="5s") as program:
        span = machine.Span(bench.cluster.postmaster, program.pid)
        cells.settle(program, bench.settle)
        lasted = time.monotonic() - program.began
        if program.value("beatwarden_last_full_look_timestamp_seconds") is None:
            raise RuntimeError(f"it is not over after {lasted:.0f} s")
        used = span.end()
    pages = [statement for statement in bench.cluster.cost(OWN) if statement["name"].startswith(cells.FULL_LOOK)]
    cost = cells.summed(pages, 1)["db_ms"]
    record = {"section": "first", "history": bench.first, "running": bench.running[0], "program": OWN}
    bench.emit({**record, "lasted_s": lasted, "full_look_ms": cost, **used})


# ---------------------------------------------------------------------------------------------- gaps, ledger
# Rows enough for a watch that goes by the key, and few enough that its first full look is soon over.
LONG = "500k"
# A hundred rows a second, as jobs of a second leave them.
ARRIVED = """INSERT INTO runs (job_name, state, started_at, ended_at, payload, payload_flags, run_id, last_heartbeat_at)
SELECT 'orders', 'SUCCESS', at, at + interval '1 s', '{{}}', 1, gen_random_uuid(), at + interval '1 s'
  FROM (SELECT timezone('utc', now()) AS at FROM generate_series(1, {rows})) AS arrived;"""
REPAIRS = 5_000
# Every running job beats, so that no ledger begins beside the ones that are compared.
ALL_BEAT = "UPDATE runs SET last_heartbeat_at = timezone('utc', now()) WHERE state = 'RUNNING' AND last_heartbeat_at IS NULL"
# A day's repairs of jobs that never beat, as their entries would be: every hundredth job of the history is one of them.
REPAIRED = f"""INSERT INTO beatwarden_repairs (repair_id, watch, table_name, job_id, job_name, reason, action, instance, started_at,
                                repaired_at, before, after, version)
SELECT gen_random_uuid(), 'meltano', 'runs', id, job_name, 'missed_first', 'fail', 'bench/1', started_at AT TIME ZONE 'UTC',
       now() - interval '1 h' - row_number() OVER (ORDER BY id DESC) * interval '15 s', '{{"state": "RUNNING", "ended_at": null}}',
       jsonb_build_object('state', state, 'ended_at', ended_at), 2
  FROM runs WHERE id % 100 = 0 AND state = 'FAIL' AND last_heartbeat_at IS NULL ORDER BY id DESC LIMIT {REPAIRS}"""


def upkeep(bench):
    """What passes cost while rows come whose keys have gaps, and after a day with many repairs: each in a process and a table
    of its own, since what came before stays in the range of keys that a pass reads."""
    database = bench.cluster.history(LONG)
    for case, step, lost in (("rows come", 1, 0), ("keys step by 10", 10, 0), ("3 % rolled back", 1, 3)):
        quiet_table(bench, database, step)
        bench.attempt(f"passes while {case}", passes, bench, database, case, arriving(bench, database, lost))
    quiet_table(bench, database)
    bench.attempt("an empty ledger", passes, bench, database, "an empty ledger")
    bench.attempt(f"{REPAIRS} repairs", busy_day, bench, database)


def quiet_table(bench, database, step=1):
    bench.table(database, LONG, bench.running[0])
    bench.cluster.psql(database, "-c", ALL_BEAT, "-c", f"ALTER SEQUENCE job_id_seq INCREMENT {step}")


def passes(bench, database, case, meanwhile=time.sleep):
    bench.patience.wait(bench.cluster.postmaster)
    with Program(bench, OWN, database) as program:
        cells.settle(program, bench.settle)
        span = machine.Span(bench.cluster.postmaster, program.pid)
        cost = cells.own_refreshes(bench, program, meanwhile)
        record = {"section": "upkeep", "history": LONG, "running": bench.running[0], "program": OWN, "case": case}
        bench.emit({**record, **cost, **span.end()})


def arriving(bench, database, lost):
    """So many of a hundred keys are taken and rolled back between the others."""
    committed = ARRIVED.format(rows=(100 - lost) // 2)
    taken = ["-c", f"BEGIN; {ARRIVED.format(rows=lost)} ROLLBACK"] if lost else []
    script = ["-c", committed, *taken, "-c", committed]

    def meanwhile(seconds):
        began = time.monotonic()
        for second in range(1, int(seconds) - 1):
            bench.cluster.psql(database, *script)
            time.sleep(max(0, began + second - time.monotonic()))
        time.sleep(max(0, began + seconds - time.monotonic()))

    return meanwhile


def busy_day(bench, database):
    bench.cluster.psql(database, "-c", REPAIRED, "-c", "VACUUM ANALYZE beatwarden_repairs")
    if bench.cluster.psql(database, "-c", "SELECT count(*) FROM beatwarden_repairs") != [[str(REPAIRS)]]:
        raise RuntimeError("the history has fewer jobs that could have been repaired")
    passes(bench, database, f"{REPAIRS:,} repairs of the last day")


# ---------------------------------------------------------------------------------------------- many watches
WATCHES = 200
# Five running jobs in each of so many tables.
TABLES = """SELECT format('CREATE TABLE t%s (id integer PRIMARY KEY, job_name varchar, state varchar, started_at timestamp,
    ended_at timestamp, payload varchar, payload_flags integer, run_id uuid, trigger varchar, last_heartbeat_at timestamp);', i)
  FROM generate_series(1, {watches}) AS i \\gexec
SELECT format('INSERT INTO t%s SELECT j, ''orders'', ''RUNNING'', timezone(''utc'', now()), NULL, NULL, 0, NULL, NULL,
    timezone(''utc'', now()) FROM generate_series(1, 5) AS j', i) FROM generate_series(1, {watches}) AS i \\gexec
GRANT SELECT ON ALL TABLES IN SCHEMA public TO own;"""


class Distant(threading.Thread):
    """A way to a port of this machine that takes so many seconds, there and back."""

    def __init__(self, port, seconds):
        super().__init__(daemon=True)
        self.to, self.half, self.loop = port, seconds / 2, asyncio.new_event_loop()
        server = self.loop.run_until_complete(asyncio.start_server(self.accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]

    def run(self):
        self.loop.run_forever()

    async def accept(self, reader, writer):
        from_there, to_there = await asyncio.open_connection("127.0.0.1", self.to)
        await asyncio.gather(self.carry(reader, to_there), self.carry(from_there, writer))

    async def carry(self, reader, writer):
        try:
            while chunk := await reader.read(65536):
                self.loop.call_later(self.half, writer.write, chunk)
        except OSError:
            pass  # the one side is gone: so is the other
        self.loop.call_later(self.half, writer.close)

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join()


def many(bench):
    """Many watches in one process: their scrapes at a pass a second; and their intervals, where the database is distant."""
    bench.cluster.psql("postgres", "-c", "DROP DATABASE IF EXISTS many", "-c", "CREATE DATABASE many")
    bench.cluster.psql("many", text=TABLES.format(watches=WATCHES))
    bench.jobs = 5 * WATCHES
    bench.attempt(f"scrapes of {WATCHES} watches", many_scraped, bench)
    distant = Distant(bench.cluster.port, 0.010)
    distant.start()
    try:
        bench.attempt(f"{WATCHES} watches of a distant database", many_distant, bench, distant)
    finally:
        distant.stop()
        bench.cluster.psql("postgres", "-c", "DROP DATABASE many WITH (FORCE)")


def watches(bench, port, interval):
    """The configuration of all of them, which only observe."""
    url = f"postgresql://{OWN}@127.0.0.1:{port}/many?sslmode=disable"
    more = '[watch.table]\nname = "t{0}"\n[watch.repair]\nmissed_first = "observe"'
    parts = [CONFIGURATION.format(name=f"w{i}", url=url, interval=interval, more=more.format(i)) for i in range(1, WATCHES + 1)]
    config = bench.out / "many.toml"
    config.write_text("\n".join(parts))
    return config


def many_scraped(bench):
    bench.patience.wait(bench.cluster.postmaster)
    with Program(bench, OWN, "many", config=watches(bench, bench.cluster.port, "1s")) as program:
        time.sleep(2)
        span, before = machine.Span(bench.cluster.postmaster, program.pid), passes_of(program)
        said, cores = load.run_wrk(bench, program.port)
        used = span.end()
        passed = (passes_of(program) - before) / used["wall_s"]
        memory = machine.peak_memory(program.pid)
    record = {"section": "many", "program": OWN, "case": "scraped", "passes_per_s": passed, "peak_bytes": memory, "wrk_cores": cores}
    bench.emit({**record, **load.asked_for(said), **used})


def many_distant(bench, distant):
    bench.patience.wait(bench.cluster.postmaster)
    with Program(bench, OWN, "many", config=watches(bench, distant.port, "5s")) as program:
        ready = program.ready_s
        # All of them have found their pace by then: what stretches an interval is the scans of the last five passes.
        time.sleep(25)
        before, span = passes_of(program), machine.Span(bench.cluster.postmaster, program.pid)
        time.sleep(10)
        passed, used = passes_of(program) - before, span.end()
        found = re.findall(r"^beatwarden_poll_interval_seconds\{.*\} (\S+)$", program.body, re.M)
        failed = program.value("beatwarden_poll_errors_total") or 0
    if len(found) != WATCHES:
        raise RuntimeError(f"{len(found)} watches show their interval")
    record = {"section": "many", "program": OWN, "case": "distant", "ready_ms": ready * 1e3, "passes_per_s": passed / used["wall_s"]}
    bench.emit({**record, "longest_interval_s": max(map(float, found)), "failed": failed, **used})


def passes_of(program):
    program.get()
    return program.value("beatwarden_polls_total")


# ---------------------------------------------------------------------------------------------- process
def process(bench):
    """What the program is before it does anything, and while it has little to do."""
    bench.attempt("the start of the process", begun, bench)
    database = bench.cluster.history(bench.history[0])
    bench.table(database, bench.history[0], bench.running[0])
    bench.cluster.index(database, True)
    bench.attempt("idling", idle, bench, database)
    bench.cluster.index(database, False)


def begun(bench):
    def start(command):
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        return (time.perf_counter() - began) * 1e3

    took = {name: [] for name in ("version_ms", "true_ms")}
    for _ in range(30):
        took["version_ms"].append(start([bench.beatwarden, "--version"]))
        took["true_ms"].append(start(["true"]))
    medians = {name: machine.percentile(values, 0.5) for name, values in took.items()}
    size = (bench.root / bench.beatwarden).stat().st_size
    bench.emit({"section": "process", "case": "start", "program": OWN, "binary_bytes": size, **medians})


def idle(bench, database):
    """All of them at the same time, each brings its numbers up to date every five seconds; postgres_exporter when it is scraped."""
    names, seconds, started = [OWN, *WITH_INDEX], 15 * bench.seconds, []
    try:
        started += [Program(bench, name, database, interval="5s") for name in names]
        cells.settle(started[0], bench.settle)
        bench.patience.wait(bench.cluster.postmaster)
        before = [machine.cpu_seconds(program.pid) for program in started]
        until, scraped = time.monotonic() + seconds, [program for program in started if program.at_scrape]
        while (left := until - time.monotonic()) > 0:
            for program in scraped:
                program.get()
            time.sleep(min(5, left))
        for program, cpu in zip(started, before):
            used = machine.cpu_seconds(program.pid) - cpu
            record = {"section": "process", "case": "idle", "program": program.name, "seconds": seconds, "title": TITLES[program.name]}
            bench.emit({**record, "cpu_ms": used * 1e3, "peak_bytes": machine.peak_memory(program.pid)})
    finally:
        for program in started:
            program.stop()
