"""What is measured besides refreshes: the start, many scrapes at once, and what polling costs the writers' heartbeats."""

import re
import resource
import subprocess
import threading
import time

import cells
import machine
import queries
from programs import OWN, WITH_INDEX, WITHOUT_INDEX, Program


# ---------------------------------------------------------------------------------------------- start
def start(bench):
    """From exec to the first scrape that holds everything, beside the smallest and the longest history."""
    for size in dict.fromkeys([bench.history[0], bench.history[-1]]):
        database = bench.cluster.history(size)
        bench.table(database, size, bench.running[0])
        for with_index in (False, True):
            bench.cluster.index(database, with_index)
            for name in WITH_INDEX if with_index else [OWN, *WITHOUT_INDEX]:
                if bench.slow(name, size):
                    continue
                record = {"section": "start", "history": size, "running": bench.running[0], "program": name}
                bench.attempt(f"{size}: start of {name}", starts, bench, name, database, {**record, "indexed": with_index})
        bench.cluster.index(database, False)


def starts(bench, name, database, record):
    bench.patience.wait(bench.cluster.postmaster)
    took, began, span = [], time.monotonic(), machine.Span(bench.cluster.postmaster)
    # A start of ten seconds shows all that it has to show in two.
    while len(took) < bench.starts and (len(took) < 2 or time.monotonic() - began < 8):
        with Program(bench, name, database) as program:
            took.append(program.ready_s * 1e3)
        bench.cluster.wait_until_idle(program.role)
    bench.emit(
        {
            **record,
            "starts": len(took),
            "p50_ms": machine.percentile(took, 0.5),
            "best_ms": min(took),
            "worst_ms": max(took),
            **span.end(),
        }
    )


# ---------------------------------------------------------------------------------------------- scrapes
def scrape(bench):
    """As many scrapes as eight connections can ask for, while refreshes continue; compressed, as Prometheus asks, and plain."""
    database = bench.cluster.history(bench.middle)
    turns = [(bench.running[0], name) for name in [OWN, "pe_best", "se_best", *WITH_INDEX]] + [(bench.running[-1], OWN)]
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


def run_wrk(bench, program, headers):
    """What it said, and how much of a core it took itself: it has one thread."""
    command = ["wrk", "-t1", "-c8", f"-d{int(bench.seconds)}s", "--timeout", "60s", "--latency", *headers]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    said = subprocess.run(
        [*command, f"http://127.0.0.1:{program.port}/metrics"], capture_output=True, text=True, check=True
    ).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return said, took / (time.monotonic() - began)


def latency(said, share):
    number, unit = re.search(rf"\n\s+{share}%\s+([\d.]+)(\w+)", said).groups()
    return float(number) * UNITS[unit]


def per_second(said):
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def wrk(bench, name, database, record):
    bench.patience.wait(bench.cluster.postmaster)
    with Program(bench, name, database) as program:
        program.get()
        if name == OWN:
            cells.settle(program, bench.settle)
        passes = program.value("beatwarden_polls_total")
        bench.cluster.forget(program.role)
        span = machine.Span(bench.cluster.postmaster, program.pid)
        said, asking = run_wrk(bench, program, ["-H", "Accept-Encoding: gzip"])
        used, statements = span.end(), bench.cluster.cost(program.role)
        program.get()
        if name == OWN:
            passes = program.value("beatwarden_polls_total") - passes
        plain, asking_plain = run_wrk(bench, program, [])
        memory = machine.peak_memory(program.pid)

    requests = int(re.search(r"(\d+) requests in", said)[1])
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    bench.emit(
        {
            **record,
            "requests": requests,
            "per_s": per_second(said),
            "p50_ms": latency(said, 50),
            "p99_ms": latency(said, 99),
            "wrk_cores": asking,
            "plain_per_s": per_second(plain),
            "plain_p99_ms": latency(plain, 99),
            "plain_wrk_cores": asking_plain,
            "errors": (int(errors[1]) if errors else 0) + ("Socket errors" in said),
            # The statement that is asked most shows how often the database was asked: with each scrape, or once a second.
            "asked": max(
                (statement["calls"] for statement in statements if not statement["name"].startswith(cells.FULL_LOOK)), default=0
            ),
            "passes": passes,
            "cpu_ms_per_request": used["process_cpu_s"] * 1e3 / max(1, requests),
            "peak_bytes": memory,
            **used,
        }
    )


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
    # No one, ours and the floor alternate, so that a slow minute of the machine hits all three.
    turns = ["none", OWN, "floor"] * bench.repeats
    some = [*WITHOUT_INDEX, "none", *WITH_INDEX]
    for rate in (0, 1000):
        for name in turns + (some if bench.full or not rate else ["pe_naive", "none", "se_index"]):
            record = {"section": "heartbeats", "history": bench.middle, "running": WRITERS, "program": name, "rate": rate}
            bench.cluster.index(database, name in WITH_INDEX)
            bench.attempt(f"heartbeats beside {name}", beats, bench, name, database, record, script)
    bench.cluster.index(database, False)


def beats(bench, name, database, record, script):
    bench.cluster.psql(database, "-c", "VACUUM runs", "-c", "CHECKPOINT")
    bench.patience.wait(bench.cluster.postmaster)
    program = scraper = bare = None
    bench.jobs = WRITERS
    try:
        if name == "floor":
            bare = bare_poller(bench, database)
        elif name != "none":
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
        if bare:
            bare.kill()
            bare.communicate()
        bench.cluster.wait_until_idle(name[:2])
    hot = (after[1] - before[1]) / max(1, after[0] - before[0])
    bench.emit({**record, **reported, "hot_share": hot, **used})


def bare_poller(bench, database):
    """The bare fetch by key each second: the least that a watchdog can do."""
    conninfo = f"host=127.0.0.1 port={bench.cluster.port} dbname={database} user=floor"
    command = [bench.floor, conninfo, queries.BARE["by key"], "1000", "600", "1000"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    child.stdin.write("\n")
    child.stdin.flush()
    return child


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
    said = subprocess.run([*command, database], capture_output=True, text=True, check=True).stdout
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
