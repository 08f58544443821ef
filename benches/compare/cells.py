"""One cell: a program beside a table with so much history and so many running jobs. What a refresh costs the database and
the program, how long a scrape takes, how much memory is held. And the bare fetch of the same rows as the floor."""

import json
import subprocess
import time

import machine
import queries
from programs import OWN, TITLES, WITH_INDEX, WITHOUT_INDEX, Program

# The pages of a full look continue beside the ordinary passes for a while after the start: they are kept apart.
FULL_LOOK = ("observe page", "observe below", "observe unknown")
SCRAPES = 200


def cell(bench, name, database, record):
    bench.patience.wait(bench.cluster.postmaster)
    if record["history"] in bench.ends and record["running"] == bench.running[0]:
        record |= starts(bench, name, database)
    if name == OWN:
        bench.cluster.forget(OWN)
    with Program(bench, name, database) as program:
        span = machine.Span(bench.cluster.postmaster, program.pid)
        measure = own_refreshes if name == OWN else scrape_refreshes if program.at_scrape else background_refreshes
        record |= {"program": name, "ready_ms": program.ready_s * 1e3, **measure(bench, program)}
        record |= scrapes(program, record)
        record |= {"peak_bytes": machine.peak_memory(program.pid), "foreign_cores": span.end()["foreign_cores"]}
    bench.cluster.wait_until_idle(program.role)
    bench.emit(record)


def starts(bench, name, database):
    """From exec to the first scrape that holds everything, some times; a start of seconds shows all that it has to show in one."""
    took = []
    while len(took) < bench.starts and (not took or took[-1] < 2000):
        with Program(bench, name, database) as program:
            took.append(program.ready_s * 1e3)
        bench.cluster.wait_until_idle(program.role)
    return {"starts": len(took), "start_p50_ms": machine.percentile(took, 0.5), "start_worst_ms": max(took)}


def summed(statements, refreshes):
    """The cost of one refresh, from the totals of its statements."""
    total = {key: sum(statement[key] for statement in statements) for key in ("calls", "exec_ms", "plan_ms", "hit", "read")}
    return {
        "db_ms": (total["exec_ms"] + total["plan_ms"]) / refreshes,
        "db_exec_ms": total["exec_ms"] / refreshes,
        "db_plan_ms": total["plan_ms"] / refreshes,
        "blocks": (total["hit"] + total["read"]) / refreshes,
        "calls": total["calls"] / refreshes,
    }


def own_refreshes(bench, program, meanwhile=time.sleep):
    """A whole number of passes, with no scrape meanwhile; `meanwhile` is given the seconds that it has to fill."""
    settle(program, bench.settle)
    program.wait_for_pass()
    since_start = [statement for statement in bench.cluster.cost(OWN) if statement["name"].startswith(FULL_LOOK)]
    bench.cluster.forget(OWN)
    before = [program.value(metric) for metric in POLLS]
    started = machine.cpu_seconds(program.pid)
    # Between two passes, so that none is cut in two.
    meanwhile(bench.passes + 0.45)
    cpu = machine.cpu_seconds(program.pid) - started
    program.get()
    if program.value(POLLS[0]) - before[0] < 3:
        # Slow ones: three at the least. What asking for their end costs is nothing beside them.
        while program.value(POLLS[0]) - before[0] < 3:
            program.wait_for_pass()
        cpu = machine.cpu_seconds(program.pid) - started
    statements = bench.cluster.cost(OWN)
    passes, took, looks = (program.value(metric) - earlier for metric, earlier in zip(POLLS, before))
    ordinary = [statement for statement in statements if not statement["name"].startswith(FULL_LOOK)]
    pages = [statement for statement in statements if statement["name"].startswith(FULL_LOOK)]
    return {
        **summed(ordinary, passes),
        "page_ms": summed(pages, passes)["db_ms"],
        "full_look_ms": summed(since_start, 1)["db_ms"],
        "refreshes": passes,
        # Without the pages, where they continued beside the passes.
        "wall_ms": max(0.001, took / looks * 1e3 - summed(pages, passes)["db_ms"]),
        "cpu_ms": cpu / passes * 1e3,
        "full_look": program.value("beatwarden_last_full_look_timestamp_seconds") is not None,
        "way": way(program),
        "statements": statements,
    }


POLLS = ["beatwarden_polls_total", "beatwarden_poll_duration_seconds_sum", "beatwarden_poll_duration_seconds_count"]


def settle(program, seconds):
    """Waits until the first full look is over, for so long at the most: it is no part of an ordinary pass."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        program.get()
        if program.value("beatwarden_last_full_look_timestamp_seconds") is not None:
            return
        time.sleep(0.2)


def way(program):
    """How Beatwarden says that it finds the running jobs."""
    program.connection.request("GET", "/api/v1/status")
    status = json.loads(program.connection.getresponse().read())
    return status["watches"][0].get("discovery")


def scrape_refreshes(bench, program):
    """postgres_exporter asks at each scrape: one a second, as Prometheus might, and three at the least."""
    bench.cluster.forget(program.role)
    cpu, began, took = machine.cpu_seconds(program.pid), time.monotonic(), []
    while len(took) < 3 or time.monotonic() - began < bench.seconds:
        turn = time.monotonic()
        took.append(program.get() * 1e3)
        time.sleep(max(0, 1 - (time.monotonic() - turn)))
    cpu = machine.cpu_seconds(program.pid) - cpu
    cost = summed(bench.cluster.cost(program.role), len(took))
    return {**cost, "refreshes": len(took), "wall_ms": sum(took) / len(took), "cpu_ms": cpu / len(took) * 1e3}


def background_refreshes(bench, program):
    """sql_exporter asks on its own; the number of refreshes is that of its most frequent statement."""
    bench.cluster.forget(program.role)
    cpu, began = machine.cpu_seconds(program.pid), time.monotonic()
    # Three at the least, however slow they are; the start has shown how slow.
    time.sleep(max(bench.seconds, 3.3 * program.ready_s))
    cpu, wall = machine.cpu_seconds(program.pid) - cpu, time.monotonic() - began
    statements = bench.cluster.cost(program.role)
    refreshes = max((statement["calls"] for statement in statements), default=0)
    if not refreshes:
        raise RuntimeError(f"no refresh in {wall:.0f} s")
    # Each statement at its own mean: the last refresh may be cut in two.
    means = [{key: s[key] if key == "name" else s[key] / s["calls"] for key in s} for s in statements]
    return {**summed(means, 1), "refreshes": refreshes, "cpu_ms": cpu / refreshes * 1e3}


def scrapes(program, record):
    """Scrapes one after the other: their latency, and what one costs the program beyond its refreshes. Those of Beatwarden
    begin when a pass has ended, and are over before the next one; what passes do to scrapes is measured by many of them."""
    if program.at_scrape and record["wall_ms"] > 300:
        return {"scrape_p50_ms": record["wall_ms"], "scrape_cpu_ms": record["cpu_ms"]}
    is_own = program.name == OWN
    if is_own:
        program.wait_for_pass()
    passes = program.value(POLLS[0])
    began, cpu, took = time.monotonic(), machine.cpu_seconds(program.pid), []
    while len(took) < SCRAPES and time.monotonic() - began < (0.5 if is_own else 5):
        took.append(program.get() * 1e3)
    cpu, wall = machine.cpu_seconds(program.pid) - cpu, time.monotonic() - began
    # sql_exporter refreshes once a second meanwhile, which is no part of its scrapes.
    beside = 0 if program.at_scrape else program.value(POLLS[0]) - passes if is_own else wall
    return {
        "scrape_p50_ms": machine.percentile(took, 0.5),
        "scrape_p99_ms": machine.percentile(took, 0.99),
        "scrape_cpu_ms": max(0, cpu * 1e3 - beside * record["cpu_ms"]) / len(took),
        "scrape_bytes": len(program.body) - 1,
    }


def floor(bench, database, way, record):
    """The bare fetch, at the pace of a pass."""
    bench.patience.wait(bench.cluster.postmaster)
    conninfo = f"host=127.0.0.1 port={bench.cluster.port} dbname={database} user=floor"
    command = [bench.floor, conninfo, queries.BARE[way], str(bench.passes), "60", "1000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        if child.stdout.readline() != "ready\n":
            raise RuntimeError(f"the bare fetch {way} failed")
        bench.cluster.forget("floor")
        span = machine.Span(bench.cluster.postmaster)
        reported = json.loads(child.communicate("\n")[0])
    cost = summed(bench.cluster.cost("floor"), reported["times"])
    bench.emit({**record, "program": f"bare {way}", **cost, **reported, "foreign_cores": span.end()["foreign_cores"]})


def scan(bench, database, record):
    """The whole table from its beginning to its end: what a full look reads, without the index and without other workers. The
    second of two times: the first may have waited for the disk."""
    bench.patience.wait(bench.cluster.postmaster)
    for _ in range(2):
        bench.cluster.forget("floor")
        span = machine.Span(bench.cluster.postmaster)
        bench.cluster.psql(database, text=f"SET ROLE floor; SET max_parallel_workers_per_gather = 0; {queries.NAIVE['running']};")
    emitted = summed([statement for statement in bench.cluster.cost("floor") if statement["name"].startswith("SELECT")], 1)
    bench.emit({**record, "program": queries.SCAN, **emitted, "foreign_cores": span.end()["foreign_cores"]})


def row(bench, size, jobs, peers):
    """All programs beside one table, and the floor: first ours and what it is compared with, without an index."""
    database = bench.cluster.history(size)
    bench.table(database, size, jobs)
    record = {"section": "refresh", "history": size, "running": jobs}
    # First what brings the longest table into the system's cache: a full look reads all of it, too.
    steps = [(scan, "once")] if size == bench.history[-1] else []
    steps += [(cell, OWN), (floor, "by range of the key")]
    # The bare fetch by state is what a pass does on a table that is small, or has an index.
    if bench.size(size) <= 100_000 and jobs == bench.running[0]:
        steps += [(floor, "by state")]
    steps += [(cell, name) for name in WITHOUT_INDEX if name in peers]
    indexed = [(cell, name) for name in WITH_INDEX if name in peers]
    for group, with_index in ((steps, False), (indexed, True)):
        if group:
            bench.cluster.index(database, with_index)
        for step, what in group:
            label = dict(record, indexed=with_index)
            if step is cell:
                bench.attempt(f"{size}/{jobs}: {TITLES[what]}", cell, bench, what, database, label)
            elif step is scan:
                bench.attempt(f"{size}/{jobs}: {queries.SCAN}", scan, bench, database, label)
            else:
                bench.attempt(f"{size}/{jobs}: bare {what}", floor, bench, database, what, label)
    bench.cluster.index(database, False)


def refresh(bench):
    """Cost against history, with the fewest running jobs; and against running jobs, beside one history."""
    for size in bench.history:
        row(bench, size, bench.running[0], [*WITHOUT_INDEX, *WITH_INDEX])
    for jobs in bench.running[1:]:
        if jobs < 500_000:
            row(bench, bench.middle, jobs, ["pe_best", *WITH_INDEX])
        else:
            # Where a refresh takes a second it is only shown that ours holds. The first look at so many takes its time.
            row(bench, bench.history[0], jobs, [])
