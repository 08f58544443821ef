"""Verdicts, plots and tables, from the figures of the last run of each section. The verdicts go into the page that people
read; the tables beside it, for those who doubt a verdict."""

import pathlib
import statistics

import plot
from figures import DISTURBED, MEGABYTE, Figures, is_own, marked, ms, ratio, size_in_words, title
from postgres import count
from programs import OWN
from targets import Targets

BEGIN, END = "<!-- made by `make bench`: begin -->", "<!-- made by `make bench`: end -->"
PLOTS = {
    "bench-history.svg": "What a refresh costs, against history",
    "bench-running.svg": "What a pass costs, against running jobs",
}


def write(results, docs):
    """Prints the verdicts; puts them and the plots between the marks of docs/benchmarks.md, and the tables between those of
    docs/benchmarks-raw.md."""
    figures = Figures(results)
    verdicts = "\n\n".join([*summary(figures), *(f"![{words}]({file})" for file, words in PLOTS.items())])
    print("\n" + verdicts)
    if docs == "-":
        return
    docs = pathlib.Path(docs)
    for page, text in (("benchmarks.md", verdicts), ("benchmarks-raw.md", "\n\n".join(tables(figures)))):
        between_marks(docs / page, text)
    plots(figures, docs)


def between_marks(page, text):
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{page} lacks the marks {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def summary(figures):
    begun = figures.begun.values()
    if not begun:
        yield "Nothing has been measured yet."
        return
    last = max(begun, key=lambda record: record["run"].split()[1])
    builds = sorted({record["beatwarden"] for record in begun})
    commands = sorted({record["command"] for record in begun})
    days = sorted({record["run"].split()[1].partition("T")[0] for record in begun})
    disturbed = any(r.get("foreign_cores", 0) > DISTURBED for section in figures.sections.values() for r in section)
    minutes = sum(record["took_s"] for record in figures.ended.values()) / 60
    yield (
        f"{', '.join(builds)}, {' and '.join(days)}: {last['machine']}; PostgreSQL {last['postgresql']} with fsync on, "
        f"postgres_exporter {last['postgres_exporter']}, sql_exporter {last['sql_exporter']}. By "
        + ", ".join(f"`{command}`" for command in commands)
        + f", {minutes:.0f} minutes."
        + f" A star: others used more than {DISTURBED} cores meanwhile." * disturbed
    )
    yield table(["target", "measured", "met"], Targets(figures).all())
    missing = [what.splitlines()[0] for record in figures.ended.values() for what in record["failed"]]
    if missing:
        yield "Not measured: " + "; ".join(missing) + "."


def tables(figures):
    for heading, section, render in (
        ("What a refresh costs", "refresh", cells),
        ("What a pass consists of", "refresh", statements),
        ("The first look at a long table", "first", rows("history", "lasted_s", "full_look_ms", "foreign_cores")),
        ("Gaps in the keys, and a busy day", "upkeep", rows("case", "wall_ms", "db_ms", "blocks", "calls", "cpu_ms")),
        ("Many scrapes, while refreshes continue", "scrape",
         rows("running", "program", "per_s", "p50_ms", "p99_ms", "errors", "requests", "asked", "cpu_ms_per_request", "wrk_cores")),
        ("What a poll each second costs the writers' heartbeats", "heartbeats", heartbeats),
        ("SQLite", "sqlite",
         rows("history", "journal", "program", "wall_ms", "cpu_ms", "longest_read_ms", "longest_ordinary_read_ms", "peak_bytes")),
        ("200 watches", "many",
         rows("case", "per_s", "p99_ms", "passes_per_s", "ready_ms", "longest_interval_s", "failed", "peak_bytes")),
        ("The process", "process",
         rows("case", "program", "binary_bytes", "version_ms", "true_ms", "seconds", "cpu_ms", "peak_bytes")),
        ("By cargo's benchmarks", "rust", said),
    ):
        if figures.sections.get(section):
            yield f"## {heading}"
            yield render(figures, section)


def table(head, lines):
    text = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(text + ["| " + " | ".join(map(str, line)) + " |" for line in lines])


def rows(*columns):
    """A table with one row for each record, as it was measured."""
    return lambda figures, section: table(list(map(words, columns)), [[shown(r, key) for key in columns] for r in figures.sections[section]])


def words(key):
    return {"history": "finished rows", "running": "running jobs", "peak_bytes": "peak MB", "binary_bytes": "binary MB",
            "per_s": "scrapes a second", "full_look_ms": "database ms", "foreign_cores": "others' cores"}.get(key) or key.replace("_", " ")


def shown(record, key):
    value = record.get(key)
    if value is None:
        return "-"
    if key == "program":
        return f"**{title(value)}**" if is_own(record) else title(value)
    if key == "history":
        return size_in_words(value)
    if key.endswith("_bytes"):
        return f"{value / MEGABYTE:.1f}"
    return ms(value) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def against(value, own):
    """How many times the figure that it is compared with."""
    value = ratio(value, own)
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def cells(figures, section):
    found = []
    for size in figures.values(section, "history"):
        for jobs in figures.values(section, "running"):
            records = figures.all(section, history=size, running=jobs)
            if records:
                found.append(f"{size_in_words(size)} finished rows, {jobs:,} running jobs:\n\n{cell_table(records)}")
    return "\n\n".join(found)


def cell_table(records):
    lines = []
    own = next((record["db_ms"] for record in records if is_own(record)), None)
    for record in records:
        name = title(record["program"])
        if record.get("page_ms"):
            name += f" ({ms(record['page_ms'])} ms more for pages of the full look)"
        elif record.get("full_look_ms") and record.get("full_look"):
            name += f" (a full look, in pieces: {ms(record['full_look_ms'])} ms)"
        times = [marked(ms(record["db_ms"]), record), against(record["db_ms"], own), ms(record["db_plan_ms"])]
        times += [f"{record['blocks']:,.0f}", f"{record['calls']:.0f}"]
        times += [ms(record.get(key)) for key in ("wall_ms", "cpu_ms", "scrape_p50_ms", "scrape_cpu_ms", "start_p50_ms")]
        lines.append([f"**{name}**" if is_own(record) else name, *times, shown(record, "peak_bytes")])
    head = ["per refresh", "database ms", "times ours", "of it planning", "blocks", "statements", "wall ms", "program's CPU ms"]
    return table([*head, "scrape p50 ms", "CPU ms", "start ms", "peak MB"], lines)


def statements(figures, section):
    """Beatwarden's passes by their statements, in the order of what they cost."""
    found = []
    for record in figures.all(section, program=OWN, history=figures.middle):
        if not record.get("statements"):
            continue
        passes = record["refreshes"]
        lines = [
            [statement["name"], f"{statement['calls'] / passes:.2f}", *(ms(value / passes) for value in (spent(statement), statement["plan_ms"])),
             f"{(statement['hit'] + statement['read']) / passes:,.0f}"]
            for statement in sorted(record["statements"], key=spent, reverse=True)
        ]  # fmt: skip
        head = ["per pass", "statements", "database ms", "of it planning", "blocks"]
        found.append(f"{record['running']:,} running jobs beside {size_in_words(figures.middle)} finished rows:\n\n{table(head, lines)}")
    return "\n\n".join(found)


def spent(statement):
    return statement["exec_ms"] + statement["plan_ms"]


def heartbeats(figures, section):
    found = []
    for rate, how in ((0, "Eight writers, each as fast as it can"), (1000, "1,000 beats a second; waiting for a turn counts")):
        records = figures.all(section, rate=rate)
        medians = {}
        for program in dict.fromkeys(record["program"] for record in records):
            mine = [record for record in records if record["program"] == program]
            medians[program] = {key: statistics.median(r[key] for r in mine) for key in ("per_s", "p50_ms", "p99_ms", "hot_share", "foreign_cores")}
            medians[program]["runs"] = len(mine)
        none = medians.get("none", {})
        lines = [
            [
                title(program) if program != OWN else f"**{title(program)}**",
                marked(f"{median['per_s']:,.0f}", median),
                against(median["per_s"], none.get("per_s")),
                ms(median["p50_ms"]),
                ms(median["p99_ms"]),
                against(median["p99_ms"], none.get("p99_ms")),
                f"{median['hot_share']:.1%}",
                median["runs"],
            ]
            for program, median in medians.items()
        ]
        head = ["who polls", "beats a second", "times no one's", "p50 ms", "p99 ms", "times no one's", "HOT", "runs"]
        found.append(f"{how}:\n\n{table(head, lines)}")
    return "\n\n".join(found)


def said(figures, section):
    return "\n\n".join(f"`cargo bench --bench {r['program']}`:\n\n```text\n{r['said'].strip()}\n```" for r in figures.sections[section])


def plots(figures, docs):
    records = figures.sections.get("refresh", [])
    if not records:
        return
    fewest, middle = figures.fewest, figures.middle

    def history(program):
        return [(count(r["history"]), r["db_ms"]) for r in figures.all("refresh", program=program, running=fewest)]

    def running(program):
        return [(r["running"], r["db_ms"]) for r in figures.all("refresh", program=program, history=middle)]

    def lines(of):
        return [
            ("Beatwarden, no index", of(OWN)),
            # The same colour in both plots, also where one lacks it.
            ("six queries, no index", of("pe_naive")),
            ("best query, no index", of("pe_best")),
            ("best query, two indexes", of("pe_index")),
            ("bare rows by range of the key", of("bare by range of the key")),
        ]

    words = "What a refresh costs the database, against history"
    axis = f"finished rows in the table, beside {fewest:,} running jobs"
    plot.chart(docs / "bench-history.svg", words, axis, "database time of a refresh, ms", lines(history))
    if len(figures.values("refresh", "running")) > 1:
        words = "What a pass costs the database, against running jobs"
        axis = f"running jobs, beside {size_in_words(middle)} finished rows"
        without = [(name, [] if name.startswith("six") else line) for name, line in lines(running)]
        plot.chart(docs / "bench-running.svg", words, axis, "database time of a pass, ms", without)
