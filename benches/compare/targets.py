"""What was promised of the cost, and whether this run keeps it: ratios within one run where there is a peer, since absolute times
belong to one machine. A target whose cells were not measured is left open."""

import re
import statistics

from figures import MEGABYTE, ms, ratio, size_in_words
from postgres import count
from programs import OWN, WITH_INDEX, WITHOUT_INDEX
from queries import REOPENED, SCAN

# Up to so many running jobs a pass costs at most so many times the bare fetch: the few statements more weigh less and less.
BARE = ((100, 1.5), (10_000, 1.25), (100_000, 1.15))
MILLION = 1_000_000


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
        """In the order of a reader's questions: what a pass costs, then what is rare, then who else feels it."""
        for judge in (self.running, self.history, self.peers, self.memory, self.million, self.first, self.upkeep, self.repair,
                      self.elsewhere, self.heartbeats, self.scrapes, self.many, self.start, self.idle, self.sqlite):
            judge()
        return self.lines

    # ------------------------------------------------------------------------------------------
    def cell(self, section, program=OWN, **place):
        return self.figures.one(section, program=program, **place)

    def own_of(self, **place):
        """Our cells of the refresh, with the fewest running jobs or with the middle history: the axes."""
        return self.figures.all("refresh", program=OWN, **place)

    def running(self):
        for own in sorted(self.own_of(), key=lambda record: record["running"]):
            limit = next((limit for jobs, limit in BARE if own["running"] <= jobs), None)
            if limit is None or own["history"] != self.figures.middle:
                continue
            self.figures.disturbed = False
            own = self.cell("refresh", history=own["history"], running=own["running"])
            bare = self.figures.bare_beside(own)
            wall = ratio(own["wall_ms"], bare and bare["wall_ms"])
            total = ratio(work(own), bare and work(bare))
            shown = f"{wall:.2f} and {total:.2f} times ({bare['program']})" if bare else "-"
            met = None if not bare else max(wall, total) <= limit
            self.add(f"a pass at {own['running']:,} running jobs, in time and in work: at most {limit:g} times the bare prepared fetch", shown, met)
        self.figures.disturbed = False

    def history(self):
        sizes, fewest = self.figures.values("refresh", "history"), self.figures.fewest
        last, middle = (self.cell("refresh", history=size, running=fewest) for size in (sizes[-1:] + [self.figures.middle])[:2]) if sizes else (None, None)
        if last and middle and last is not middle:
            self.compare(
                f"a pass at {size_in_words(last['history'])} rows of history: at most 1.1 times the database time at {size_in_words(middle['history'])}",
                ratio(last["db_ms"], middle["db_ms"]), 1.1, lambda v: f"{v:.2f} times ({ms(last['db_ms'])} against {ms(middle['db_ms'])} ms)")

    def peers(self):
        sizes = self.figures.values("refresh", "history")
        if not sizes:
            return
        size, fewest = sizes[-1], self.figures.fewest
        words = f"at {size_in_words(size)} rows"

        def beside(field, programs):
            """Ours and the least of theirs, looked up for each line, so that each is marked by its own figures."""
            own = self.cell("refresh", history=size, running=fewest)
            return own and own.get(field), self.figures.least(field, "refresh", programs, history=size, running=fewest)

        own, naive = beside("db_ms", ["pe_naive"])
        value = ratio(naive, own)
        promised = "database time at 10 million rows: at least 10,000 times less than a query for each number"
        if count(size) < 10_000_000:
            self.add(promised, f"{value:,.0f} times {words}" if value else "-", None)
        else:
            self.compare(promised, value, 10_000, lambda v: f"{v:,.0f} times", at_least=True)
        own, indexed = beside("db_ms", WITH_INDEX)
        self.compare(
            f"database time {words}: at most 0.6 times the better exporter's with two indexes, though ours has none",
            ratio(own, indexed),
            0.6,
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

    def memory(self):
        """What each running job takes of the whole process at its peak, from the fewest and from a hundred thousand or so."""
        own = sorted(self.own_of(history=self.figures.middle), key=lambda record: record["running"])
        own = [record for record in own if record["running"] < MILLION]
        if own:
            self.compare(f"peak memory at {own[0]['running']:,} running jobs: below 10 MB", own[0]["peak_bytes"] / MEGABYTE, 10, lambda v: f"{v:.1f} MB")
        if len(own) > 1:
            few, many = own[0], own[-1]
            each = (many["peak_bytes"] - few["peak_bytes"]) / (many["running"] - few["running"])
            self.compare("memory for each running job at the peak, the pass in progress included: at most 300 bytes", each, 300,
                         lambda v: f"{v:,.0f} bytes ({many['peak_bytes'] / MEGABYTE:.1f} MB at {many['running']:,})")

    def million(self):
        own = self.cell("refresh", running=MILLION)
        met = own and own["wall_ms"] < 1500 and own["peak_bytes"] <= 350 * MEGABYTE
        self.add("a million running jobs: a pass under 1.5 s, and at most 350 MB",
                 f"{own['wall_ms'] / 1e3:.2f} s, {own['peak_bytes'] / MEGABYTE:.0f} MB" if own else "-", met)

    def first(self):
        sizes, fewest = self.figures.values("refresh", "history"), self.figures.fewest
        own = sizes and self.cell("refresh", history=sizes[-1], running=fewest)
        promised = "the first full look at 10 million rows: at most 3.45 s of the database's time"
        if own and own["full_look"] and count(sizes[-1]) >= 10_000_000:
            scan = self.cell("refresh", SCAN, history=sizes[-1], running=fewest)
            times = f", {own['full_look_ms'] / scan['db_ms']:.2f} sequential scans by one process" if scan else ""
            self.compare(promised, own["full_look_ms"] / 1e3, 3.45, lambda v: f"{v:.2f} s{times}")
        else:
            self.add(promised, "-", None)
        first = self.cell("first")
        self.compare("the first full look at 5 million rows, at the default interval: under two minutes", first and first["lasted_s"], 120,
                     lambda v: f"{v:.0f} s at {size_in_words(first['history'])}")

    def upkeep(self):
        def judge(promised, case, than, *keys):
            own, plain = self.cell("upkeep", case=case), self.cell("upkeep", case=than)
            ratios = [ratio(own[key], plain[key]) for key in keys] if own and plain else []
            shown = ", ".join(f"{value:.2f}" for value in ratios)
            self.compare(promised, max(ratios, default=None), 1.2, lambda _: f"{shown} times")

        judge("a pass after 5,000 repairs in a day: at most 1.2 times one with an empty ledger, in database time and wall time",
              "5,000 repairs of the last day", "an empty ledger", "db_ms", "wall_ms")
        for words, case in (("whose keys step by 10", "keys step by 10"), ("of which 3 % are rolled back", "3 % rolled back")):
            judge(f"passes while 600 rows come {words}: at most 1.2 times dense keys, in blocks, database time and wall time",
                  case, "rows come", "blocks", "db_ms", "wall_ms")

    def repair(self):
        said = (self.cell("rust", "repair_cost") or {}).get("said", "")
        for database, limits in (("PostgreSQL", (2, 4)), ("SQLite", (2, 4))):
            part = re.search(rf"^{database}.*?(?=\n\n|\Z)", said, re.M | re.S)
            found = re.findall(r"^(\w.*?)\s{2,}([\d.]+)\s+[\d.]+\s+[\d.]+\s+\d+$", part[0], re.M) if part else []
            times = {what.split()[0]: float(p50) for what, p50 in found}
            values = [ratio(times.get("repair"), times.get(peer)) for peer in ("guarded", "bare")]
            met = None if None in values else all(value <= limit for value, limit in zip(values, limits))
            shown = f"{values[0]:.2f} and {values[1]:.2f} times ({times['repair']:.2f} ms)" if met is not None else "-"
            if met is not None and "the" in times:
                shown += f"; {times['repair'] / times['the']:.2f} times the first where it opens and closes the file, too"
            self.add(f"a repair on {database}: at most 2 times a prepared transaction with guard and entry, and 4 times the bare update",
                     shown, met)

    def elsewhere(self):
        said = (self.cell("rust", "elsewhere_cost") or {}).get("said", "")
        for database in ("PostgreSQL", "SQLite"):
            found = re.findall(rf"^{database}\b.*?([\d.]+)$", said, re.M)
            self.compare(f"heartbeats in another table on {database}: at most 2 times a column", max(map(float, found), default=None), 2,
                         lambda v: f"{v:.2f} times")

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
            own = self.cell("scrape", running=number)
            self.compare(f"p99 of scrapes during passes at {number:,} running jobs: under {limit} ms", own and own["p99_ms"], limit,
                         lambda v: f"{ms(v)} ms")
        own = jobs and self.cell("scrape", running=jobs[0])
        if not own:
            return
        others = [r["per_s"] for r in self.figures.all("scrape", running=jobs[0]) if r["program"] != OWN]
        self.compare("scrapes a second, compressed as Prometheus asks: at least 10 times the better exporter's", ratio(own["per_s"], max(others, default=None)), 10,
                     lambda v: f"{v:.1f} times ({own['per_s']:,.0f} against {max(others):,.0f})", at_least=True)
        beyond = own["asked"] - own["passes"]
        self.add("no query on a scrape", f"asked {own['asked']:.0f} times in {own['passes']:.0f} passes and {own['requests']:,} scrapes",
                 beyond <= 2)

    def many(self):
        scraped, distant = self.cell("many", case="scraped"), self.cell("many", case="distant")
        self.compare("200 watches at a pass a second: more than 2,000 scrapes a second", scraped and scraped["per_s"], 2000,
                     lambda v: f"{v:,.0f} beside {scraped['passes_per_s']:.0f} passes a second", at_least=True)
        self.compare("200 watches, 10 ms to the database and back: every interval stays at 5 s", distant and distant["longest_interval_s"], 5,
                     lambda v: f"at most {v:g} s; {distant['passes_per_s'] * 5:.0f} passes in 5 s, {distant['failed']:.0f} failed")

    def start(self):
        sizes = self.figures.values("refresh", "history")
        for size, limit in zip([sizes[0], sizes[-1]] if len(sizes) > 1 else sizes, (20, 100)):
            own = self.cell("refresh", history=size, running=self.figures.fewest)
            self.compare(f"start to the first good scrape at {size_in_words(size)} rows: under {limit} ms", own and own.get("start_p50_ms"), limit,
                         lambda v: f"{ms(v)} ms")

    def idle(self):
        own = self.cell("process", case="idle")
        others = [self.cell("process", program, case="idle") for program in WITH_INDEX]
        least = min((record["cpu_ms"] for record in others if record), default=None)
        self.compare("processor time of a quiet minute, numbers every 5 s: below both exporters'", ratio(own and own["cpu_ms"], least), 1,
                     lambda v: f"{v:.2f} times ({ms(own['cpu_ms'])} against {ms(least)} ms in {own['seconds']:.0f} s)")

    def sqlite(self):
        sizes = self.figures.values("sqlite", "history")
        if not sizes:
            return
        few, many = (self.cell("sqlite", history=size, journal="wal") for size in (sizes[0], sizes[-1]))
        if few and many and sizes[0] != sizes[-1]:
            self.compare(f"SQLite: a pass at {size_in_words(sizes[-1])} rows against {size_in_words(sizes[0])}: at most 1.2 times",
                         ratio(many["wall_ms"], few["wall_ms"]), 1.2, lambda v: f"{v:.2f} times")
        bare, reopened = (self.cell("sqlite", name, history=sizes[-1]) for name in ("bare by key", REOPENED))
        self.compare("SQLite: opening and closing the file for each pass: under 1 ms",
                     reopened["wall_ms"] - bare["wall_ms"] if bare and reopened else None, 1,
                     lambda v: f"{ms(v)} ms ({ms(reopened['wall_ms'])} against {ms(bare['wall_ms'])} ms for the bare fetch)"
                     + (f"; a pass {ms(many['wall_ms'])} ms" if many else ""))
        longest = max((r["longest_read_ms"] for r in self.figures.all("sqlite", program=OWN)), default=None)
        self.compare("SQLite: no read transaction longer than 50 ms, the start included", longest, 50, lambda v: f"{ms(v)} ms")


def work(record):
    """The database's time and the program's together: what a machine that runs both has to do."""
    return record["db_ms"] + record["cpu_ms"]
