"""The decision without a database: `cargo bench --bench plan`, its figures taken from the table that it prints."""

import re
import subprocess

UNITS = {"ns": 1e-6, "µs": 1e-3, "ms": 1, "s": 1e3}
BYTES = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}


def core(bench):
    bench.attempt("the decision alone", run, bench)


def run(bench):
    command = ["cargo", "bench", "--locked", "--quiet", "--bench", "plan"]
    # Built before it waits for quiet: the compiler is the loudest of all.
    subprocess.run([*command, "--no-run"], cwd=bench.root, check=True)
    bench.patience.wait()
    said = subprocess.run(command, cwd=bench.root, capture_output=True, text=True, check=True).stdout
    print(said, flush=True)
    records = list(parse(said))
    if not records:
        raise RuntimeError("nothing of its output was understood")
    for record in records:
        bench.emit({"section": "core", "program": record["what"], **record})


def parse(said):
    """One record for each benchmark and number of jobs: its median, and the most bytes that it held at once."""
    what, record, of = "", None, ""
    for line in said.splitlines():
        # The tree is drawn by the same bars that part the columns.
        cells = re.sub(r"^[│├╰─ ]+", "", line).split("│")
        first, median = cells[0].split(), cells[2].strip() if len(cells) > 2 else ""
        if re.match(r"[│ ]*[├╰]─", line):
            if record:
                yield record
            record, of = None, ""
            if first[0].isdigit():
                record = {"what": what, "running": int(first[0]), "median_ms": quantity(median, UNITS)}
            else:
                what = first[0].replace("_", " ")
        elif first and first[-1] == "alloc:" or first[:1] in (["grow:"], ["shrink:"], ["dealloc:"]):
            of = " ".join(first)
        elif record and of == "max alloc:" and median.split()[-1:] and median.split()[-1] in BYTES:
            record["bytes"] = quantity(median, BYTES)
    if record:
        yield record


def quantity(text, units):
    number, unit = text.split()
    return float(number) * units[unit]
