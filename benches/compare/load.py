"""What is measured under load: many scrapes at once, and what polling costs the writers' heartbeats."""

import re
import resource
import threading
import time

import cells
import machine
from programs import OWN, WITH_INDEX, Program


# ---------------------------------------------------------------------------------------------- scrapes
def scrape(bench):
    """As many scrapes as eight connections can ask for, compressed as Prometheus asks, while refreshes continue."""
    database = bench.cluster.history(bench.middle)
    many = max((jobs for jobs in bench.running if jobs < 500_000), default=bench.running[0])
    turns = [(bench.running[0], name) for name in [OWN, *WITH_INDEX]] + [(many, OWN)]
    made = None
    for jobs, name in dict.fromkeys(turns):
        if jobs != made:
            bench.table(database, bench.middle, jobs)
            made = jobs
        bench.cluster.index(database, name in WITH_INDEX)
        record = {"section": "scrape", "history": bench.middle, "running": jobs, "program": name}
        bench.attempt(f"scrapes of {name} at {jobs}", wrk, bench, name, database, {**record, "indexed": name in WITH_INDEX})
    bench.cluster.index(database, False)


UNITS = {"us": 1e-3, "ms": 1, "s": 1e3, "m": 60e3}


def run_wrk(bench, port):
    """What it said, and how much of a core it took itself: it has one thread."""
    command = ["wrk", "-t1", "-c8", f"-d{int(bench.seconds)}s", "--timeout", "60s", "--latency", "-H", "Accept-Encoding: gzip"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    said = machine.output([*command, f"http://127.0.0.1:{port}/metrics"])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return said, took / (time.monotonic() - began)


def latency(said, share):
    number, unit = re.search(rf"\n\s+{share}%\s+([\d.]+)(\w+)", said).groups()
    return float(number) * UNITS[unit]


def per_second(said):
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def asked_for(said):
    """What wrk says of its requests: how many, how fast, how many failed."""
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return {
        "requests": int(re.search(r"(\d+) requests in", said)[1]),
        "per_s": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),
        "p50_ms": latency(said, 50),
        "p99_ms": latency(said, 99),
        "errors": (int(errors[1]) if errors else 0) + ("Socket errors" in said),
    }


def wrk(bench, name, database, record):
    bench.patience.wait(bench.cluster.postmaster)
    with Program(bench, name, database) as program:
        if name == OWN:
            cells.settle(program, bench.settle)
        program.get()
        passes = program.value("beatwarden_polls_total")
        bench.cluster.forget(program.role)
        span = machine.Span(bench.cluster.postmaster, program.pid)
        said, cores = run_wrk(bench, program.port)
        used, statements = span.end(), bench.cluster.cost(program.role)
        program.get()
        if name == OWN:
            passes = program.value("beatwarden_polls_total") - passes
        memory = machine.peak_memory(program.pid)
    asked = asked_for(said)
    # The statement that is asked most shows how often the database was asked: with each scrape, or once a second.
    most = max((statement["calls"] for statement in statements if not statement["name"].startswith(cells.FULL_LOOK)), default=0)
    each = used["process_cpu_s"] * 1e3 / max(1, asked["requests"])
    beside = {"asked": most, "passes": passes, "wrk_cores": cores, "cpu_ms_per_request": each, "peak_bytes": memory}
    bench.emit({**record, **asked, **beside, **used})


# ---------------------------------------------------------------------------------------------- heartbeats
BEAT = """\\set id random({first}, {last})
UPDATE runs SET last_heartbeat_at = timezone('utc', clock_timestamp()) WHERE id = :id;
"""
WRITERS = 1000


class Scraper:
    """Prometheus's part: a scrape each second, never two at once."""

    def __init__(self, program):
        self.program, self.stopped = program, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopped.is_set():
            began = time.monotonic()
            try:
                self.program.get()
            except Exception:  # a scrape that failed is Prometheus's problem, and the next one comes
                pass
            self.stopped.wait(max(0, 1 - (time.monotonic() - began)))

    def stop(self):
        self.stopped.set()
        self.thread.join()


def heartbeats(bench):
    """What a poll each second costs those who beat: as fast as eight connections can, and at 1,000 beats a second."""
    database = bench.cluster.history(bench.middle)
    bench.table(database, bench.middle, WRITERS)
    first = bench.size(bench.middle) + 1
    script = bench.out / "beat.sql"
    script.write_text(BEAT.format(first=first, last=first + WRITERS - 1))
    # No one and ours alternate, so that a slow minute of the machine hits both.
    turns = ["none", OWN] * bench.repeats
    for rate, peers in ((0, ["pe_best", *WITH_INDEX]), (1000, ["se_index"])):
        for name in turns + peers:
            record = {"section": "heartbeats", "history": bench.middle, "running": WRITERS, "program": name, "rate": rate}
            bench.cluster.index(database, name in WITH_INDEX)
            bench.attempt(f"heartbeats beside {name}", beats, bench, name, database, record, script)
    bench.cluster.index(database, False)


def beats(bench, name, database, record, script):
    bench.cluster.psql(database, "-c", "VACUUM runs", "-c", "CHECKPOINT")
    bench.patience.wait(bench.cluster.postmaster)
    program = scraper = None
    bench.jobs = WRITERS
    try:
        if name != "none":
            program = Program(bench, name, database)
            if name == OWN:
                cells.settle(program, bench.settle)
            scraper = Scraper(program)
        before = updates(bench, database)
        span = machine.Span(bench.cluster.postmaster, program and program.pid)
        reported = pgbench(bench, database, record["rate"], script)
        used = span.end()
        after = updates(bench, database)
    finally:
        if scraper:
            scraper.stop()
        if program:
            program.stop()
        bench.cluster.wait_until_idle(name[:2])
    hot = (after[1] - before[1]) / max(1, after[0] - before[0])
    bench.emit({**record, **reported, "hot_share": hot, **used})


def updates(bench, database):
    """Updates of the table so far, and how many of them were HOT."""
    time.sleep(1.1)  # sessions report to the statistics once a second
    question = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'runs'"
    return [int(field) for field in bench.cluster.psql(database, "-c", question)[0]]


def pgbench(bench, database, rate, script):
    for old in bench.out.glob("beats.*"):
        old.unlink()
    command = [
        *[str(bench.cluster.bin / "pgbench"), "-n", "-M", "prepared", "-c", "8", "-j", "2", "-T", str(int(bench.seconds))],
        *["-f", str(script), "-h", "127.0.0.1", "-p", str(bench.cluster.port), "-U", "beats"],
        *["-l", "--log-prefix", str(bench.out / "beats")],
    ]
    command += ["-R", str(rate)] if rate else []
    said = machine.output([*command, database])
    took = []
    for log in bench.out.glob("beats.*"):
        if log.suffix != ".sql":
            took += [int(line.split()[2]) / 1e3 for line in log.read_text().splitlines() if "skipped" not in line]
            log.unlink()
    return {
        "beats": len(took),
        "per_s": float(re.search(r"tps = ([\d.]+)", said)[1]),
        "p50_ms": machine.percentile(took, 0.5),
        "p99_ms": machine.percentile(took, 0.99),
        "worst_ms": max(took),
    }
