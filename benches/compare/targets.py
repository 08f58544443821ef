"""What was promised of the cost, and whether this run keeps it: ratios within one run, since absolute times belong to one
machine. A target whose cells were not measured is left open."""

import statistics

from figures import MEGABYTE, ms, ratio, size_in_words
from postgres import count
from programs import OWN, WITH_INDEX, WITHOUT_INDEX


class Targets:
    def __init__(self, figures):
        self.figures, self.lines = figures, []

    def add(self, promised, measured, met):
        """One line; `met` is None where something is missing."""
        verdict = {True: "yes", False: "**no**", None: "not measured"}[met]
        # A verdict is as good as the worst figure that was looked up for it.
        disturbed = self.figures.disturbed and met is not None
        self.figures.disturbed = False
        self.lines.append((promised, measured, verdict + "*" * disturbed))

    def compare(self, promised, value, limit, shown, at_least=False):
        met = None if value is None else (value >= limit if at_least else value <= limit)
        self.add(promised, "-" if value is None else shown(value), met)

    def all(self):
        self.history()
        self.running()
        self.peers()
        self.heartbeats()
        self.scrapes()
        self.memory()
        self.start()
        self.sqlite()
        return self.lines

    # ------------------------------------------------------------------------------------------
    def cell(self, section, program, **place):
        return self.figures.one(section, program=program, **place)

    def history(self):
        sizes = self.figures.values("history", "history")
        cells = {size: self.cell("history", OWN, history=size) for size in sizes}
        if len(sizes) < 2:
            return
        # Beside a small table it may look in another way, which is more expensive: every shorter history has to hold.
        last = cells[sizes[-1]]
        ratios = {size: ratio(last and last["db_ms"], cells[size] and cells[size]["db_ms"]) for size in sizes[:-1]}
        shown = ", ".join(
            f"{value:.2f} times ({size_in_words(size)}, by {cells[size]['way']})" for size, value in ratios.items() if value
        )
        met = None if None in ratios.values() else max(ratios.values()) <= 1.2
        self.add(
            f"database time of a pass at {size_in_words(sizes[-1])} rows of history against shorter ones: at most 1.2 times",
            f"{shown}; {size_in_words(sizes[-1])} by {last['way']}" if met is not None else "-",
            met,
        )

    def running(self):
        for jobs in self.figures.values("running", "running"):
            own = self.cell("running", OWN, running=jobs)
            if not own:
                continue
            bare = self.figures.bare_beside(own)
            wall = ratio(own["wall_ms"], bare and bare["wall_ms"])
            total = ratio(work(own), bare and work(bare))
            name = bare["program"] if bare else "bare fetch"
            shown = f"{wall:.2f} and {total:.2f} times ({name})" if bare else "-"
            met = None if not bare else wall <= 1.5 and total <= 1.5
            self.add(f"a pass at {jobs:,} running jobs, in time and in work: at most 1.5 times the bare fetch", shown, met)

    def peers(self):
        sizes = self.figures.values("history", "history")
        if not sizes:
            return
        size = sizes[-1]
        words = f"at {size_in_words(size)} rows"

        def beside(field, programs):
            """Ours and the least of theirs, looked up for each line, so that each is marked by its own figures."""
            own = self.cell("history", OWN, history=size)
            return own and own.get(field), self.figures.least(field, "history", programs, history=size)

        own, naive = beside("db_ms", ["pe_naive", "se_naive"])
        value = ratio(naive, own)
        promised = "database time at 10 million rows: at least 5,000 times less than a query for each number"
        if count(size) < 10_000_000:
            self.add(promised, f"{value:,.0f} times {words}" if value else "-", None)
        else:
            self.compare(promised, value, 5000, lambda v: f"{v:,.0f} times", at_least=True)
        own, indexed = beside("db_ms", WITH_INDEX)
        self.compare(
            f"database time {words}: no more than the exporters' with the indexes, though ours has none",
            ratio(own, indexed),
            1,
            lambda v: f"{v:.2f} times ({ms(own)} against {ms(indexed)} ms)",
        )
        for field, what in (("cpu_ms", "each refresh"), ("scrape_cpu_ms", "each scrape")):
            own, least = beside(field, [*WITHOUT_INDEX, *WITH_INDEX])
            self.compare(
                f"processor time of {what}: below both exporters'",
                ratio(own, least),
                1,
                lambda v, own=own, least=least: f"{v:.2f} times ({ms(own)} against {ms(least)} ms)",
            )

    def heartbeats(self):
        for rate, words in ((0, "as fast as they can"), (1000, "at 1,000 a second")):
            medians = {}
            for program in ("none", OWN):
                records = self.figures.all("heartbeats", program=program, rate=rate)
                if records:
                    medians[program] = {key: statistics.median(r[key] for r in records) for key in ("p99_ms", "per_s")}
            if len(medians) < 2:
                return
            p99 = medians[OWN]["p99_ms"] / medians["none"]["p99_ms"]
            rest = medians[OWN]["per_s"] / medians["none"]["per_s"]
            self.add(f"heartbeats {words}, polled each second: p99 at most 1.3 times, throughput at least 95 %",
                     f"{p99:.2f} times, {rest:.1%}", p99 <= 1.3 and rest >= 0.95)

    def scrapes(self):
        jobs = self.figures.values("scrape", "running")
        for number, limit in zip([jobs[0], jobs[-1]] if len(jobs) > 1 else jobs, (1, 5)):
            own = self.cell("scrape", OWN, running=number)
            self.compare(f"p99 of scrapes during passes at {number:,} running jobs: under {limit} ms", own and own["p99_ms"], limit,
                         lambda v: f"{ms(v)} ms")
        own = jobs and self.cell("scrape", OWN, running=jobs[0])
        if not own:
            return
        others = [r["per_s"] for r in self.figures.all("scrape", running=jobs[0]) if r["program"] != OWN]
        self.compare("scrapes a second, compressed as Prometheus asks: at least 10 times the better exporter's", ratio(own["per_s"], max(others, default=None)), 10,
                     lambda v: f"{v:.1f} times ({own['per_s']:,.0f} against {max(others):,.0f})", at_least=True)
        beyond = own["asked"] - own["passes"]
        self.add("no query on a scrape", f"asked {own['asked']:.0f} times in {own['passes']:.0f} passes and {own['requests']:,} scrapes",
                 beyond <= 2)

    def memory(self):
        jobs = self.figures.values("running", "running")
        for number, limit in ((jobs[:1], 10), (jobs[-1:], 64)):
            for count in number:
                own = self.cell("running", OWN, running=count)
                if own:
                    value = own["peak_bytes"] / MEGABYTE
                    self.compare(f"peak memory at {count:,} running jobs: below {limit} MB", value, limit, lambda v: f"{v:.1f} MB")

    def start(self):
        sizes = self.figures.values("start", "history")
        for size, limit in zip([sizes[0], sizes[-1]] if len(sizes) > 1 else sizes, (20, 100)):
            own = self.cell("start", OWN, history=size)
            self.compare(f"start to the first good scrape at {size_in_words(size)} rows: under {limit} ms", own and own["p50_ms"], limit,
                         lambda v: f"{ms(v)} ms")

    def sqlite(self):
        sizes = self.figures.values("sqlite", "history")
        if not sizes:
            return
        few, many = (self.cell("sqlite", OWN, history=size, journal="wal") for size in (sizes[0], sizes[-1]))
        if few and many and sizes[0] != sizes[-1]:
            self.compare(f"SQLite: a pass at {size_in_words(sizes[-1])} rows against {size_in_words(sizes[0])}: at most 1.2 times",
                         ratio(many["wall_ms"], few["wall_ms"]), 1.2, lambda v: f"{v:.2f} times")
        longest = max((r["longest_read_ms"] for r in self.figures.all("sqlite", program=OWN)), default=None)
        self.compare("SQLite: no read transaction longer than 50 ms, the start included", longest, 50, lambda v: f"{ms(v)} ms")


def work(record):
    """The database's time and the program's together: what a machine that runs both has to do."""
    return record["db_ms"] + record["cpu_ms"]
