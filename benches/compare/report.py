"""Tables, plots and the verdict on each target, from the figures of the last run of each section."""

import pathlib
import statistics

import plot
from figures import DISTURBED, MEGABYTE, Figures, is_own, marked, ms, ratio, size_in_words, title
from postgres import count
from programs import OWN
from targets import Targets

BEGIN, END = "<!-- made by `make bench`: begin -->", "<!-- made by `make bench`: end -->"


def write(results, docs):
    """Prints the report; and puts it between the marks of docs/benchmarks.md, with the plots beside it."""
    figures = Figures(results)
    text = "\n\n".join(part for part in parts(figures) if part)
    print("\n" + text)
    if docs == "-":
        return
    docs = pathlib.Path(docs)
    page = docs / "benchmarks.md"
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{page} lacks the marks {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    plots(figures, docs)


def parts(figures):
    yield surroundings(figures)
    lines = Targets(figures).all()
    if lines:
        yield table(["target", "measured", "met"], lines)
    for heading, section, render in (
        ("What a refresh costs, against history", "history", lambda f: cells(f, "history")),
        ("What a pass costs, against running jobs", "running", lambda f: memory(f) + cells(f, "running")),
        ("From the start to the first good scrape", "start", starts),
        ("Many scrapes, while refreshes continue", "scrape", scrapes),
        ("What a poll each second costs the writers' heartbeats", "heartbeats", heartbeats),
        ("SQLite", "sqlite", sqlite),
        ("The decision alone", "core", core),
    ):
        if figures.sections.get(section):
            image = {"history": "bench-history.svg", "running": "bench-running.svg"}.get(section)
            yield f"### {heading}"
            yield f"![{heading}]({image})" if image else ""
            yield render(figures)


def surroundings(figures):
    begun = figures.begun.values()
    if not begun:
        return "Nothing has been measured yet."
    last = max(begun, key=lambda record: record["run"].split()[1])
    builds = sorted({record["beatwarden"] for record in begun})
    commands = sorted({record["command"] for record in begun})
    disturbed = any(r.get("foreign_cores", 0) > DISTURBED for section in figures.sections.values() for r in section)
    text = (
        f"{last['machine']}; PostgreSQL {last['postgresql']} with fsync on, postgres_exporter {last['postgres_exporter']}, "
        f"sql_exporter {last['sql_exporter']}; {', '.join(builds)}. By "
        + ", ".join(f"`{command}`" for command in commands)
        + "."
    )
    if disturbed:
        text += f" A star: others used more than {DISTURBED} cores meanwhile."
    return text


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def cells(figures, section):
    found = []
    for size in figures.values(section, "history"):
        for jobs in figures.values(section, "running"):
            records = figures.all(section, history=size, running=jobs)
            if records:
                found.append(f"{size_in_words(size)} finished rows, {jobs:,} running jobs:\n\n{cell_table(records)}")
    return "\n\n".join(found)


def memory(figures):
    """What each running job more takes of the whole process, from the fewest and the most."""
    own = sorted(figures.all("running", program=OWN), key=lambda record: record["running"])
    if len(own) < 2:
        return ""
    few, many = own[0], own[-1]
    bytes_each = (many["peak_bytes"] - few["peak_bytes"]) / (many["running"] - few["running"])
    return f"At its peak, Beatwarden holds {bytes_each:,.0f} bytes for each running job, the pass in progress included.\n\n"


def against(value, own):
    """How many times the figure that it is compared with."""
    value = ratio(value, own)
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def cell_table(records):
    rows = []
    own = next((record["db_ms"] for record in records if is_own(record)), None)
    for record in records:
        name = title(record["program"])
        if record["program"].startswith("bare"):
            name += " with the index" if record["indexed"] else ""
            name += " each second" if record["paced"] else ", one after the other"
        if record.get("page_ms"):
            name += f" ({ms(record['page_ms'])} ms more for pages of the full look)"
        elif record.get("full_look_ms") and record.get("full_look"):
            name += f" (a full look, in pieces: {ms(record['full_look_ms'])} ms)"
        megabytes = record["peak_bytes"] / MEGABYTE if "peak_bytes" in record else None
        rows.append(
            [
                f"**{name}**" if is_own(record) else name,
                marked(ms(record["db_ms"]), record),
                against(record["db_ms"], own),
                ms(record["db_plan_ms"]),
                f"{record['blocks']:,.0f}",
                f"{record['calls']:.0f}",
                ms(record.get("wall_ms")),
                ms(record["cpu_ms"]),
                ms(record.get("scrape_p50_ms")),
                ms(record.get("scrape_p99_ms")),
                ms(record.get("scrape_cpu_ms")),
                f"{megabytes:.1f}" if megabytes else "-",
            ]
        )
    head = ["per refresh", "database ms", "times ours", "of it planning", "blocks", "statements", "wall ms", "program's CPU ms"]
    return table([*head, "scrape p50 ms", "p99 ms", "CPU ms", "peak MB"], rows)


def starts(figures):
    rows = []
    for record in figures.sections["start"]:
        own = figures.one("start", program=OWN, history=record["history"])
        times = [marked(ms(record["p50_ms"]), record), against(record["p50_ms"], own and own["p50_ms"])]
        times += [ms(record["best_ms"]), ms(record["worst_ms"]), record["starts"]]
        rows.append([size_in_words(record["history"]), title(record["program"]), *times])
    return table(["finished rows", "program", "p50 ms", "times ours", "best", "worst", "starts"], rows)


def scrapes(figures):
    rows = []
    own = figures.one("scrape", program=OWN, running=figures.values("scrape", "running")[0])
    for record in figures.sections["scrape"]:
        rows.append(
            [
                f"{record['running']:,}",
                title(record["program"]),
                marked(f"{record['per_s']:,.0f}", record),
                against(record["per_s"], own and own["per_s"]),
                ms(record["p50_ms"]),
                ms(record["p99_ms"]),
                record["errors"],
                f"{record['asked'] / record['wall_s']:,.1f}",
                ms(record["cpu_ms_per_request"]),
                f"{record['wrk_cores']:.2f}",
                f"{record['plain_per_s']:,.0f}",
                ms(record["plain_p99_ms"]),
                f"{record['plain_wrk_cores']:.2f}",
                f"{record['peak_bytes'] / MEGABYTE:.1f}",
            ]
        )
    text = (
        "`wrk -t1 -c8 --latency -H 'Accept-Encoding: gzip'`, as Prometheus asks; and without compression. \"Asked a second\": how "
        "often the statement that is asked most reached the database. wrk has one thread: at one core it is the limit."
    )
    head = ["running jobs", "program", "scrapes a second", "times ours", "p50 ms", "p99 ms", "errors", "asked a second"]
    head += ["CPU ms each", "wrk's cores", "plain: a second", "p99 ms", "wrk's cores", "peak MB"]
    return f"{text}\n\n{table(head, rows)}"


def heartbeats(figures):
    found = []
    for rate, words in ((0, "Eight writers, each as fast as it can"), (1000, "1,000 beats a second; waiting for a turn counts")):
        records = figures.all("heartbeats", rate=rate)
        medians = {}
        for program in dict.fromkeys(record["program"] for record in records):
            mine = [record for record in records if record["program"] == program]
            medians[program] = {key: statistics.median(r[key] for r in mine) for key in ("per_s", "p50_ms", "p99_ms", "hot_share", "foreign_cores")}
            medians[program]["runs"] = len(mine)
        none = medians.get("none", {})
        rows = [
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
        if rows:
            found.append(f"{words}:\n\n{table(head, rows)}")
    text = (
        "A thousand rows, each beat a prepared UPDATE and a commit of its own. Each program that polls is scraped each second. The "
        "exporters have just begun; Beatwarden's first full look is over."
    )
    return "\n\n".join([text, *found])


def sqlite(figures):
    rows = []
    for record in figures.sections["sqlite"]:
        own = is_own(record)
        rows.append(
            [
                size_in_words(record["history"]),
                {"wal": "write-ahead", "delete": "rollback"}[record["journal"]],
                f"**{title(record['program'])}**" if own else record["program"],
                marked(ms(record["wall_ms"]), record),
                ms(record.get("cpu_ms")),
                ms(record.get("longest_read_ms")),
                ms(record.get("longest_ordinary_read_ms")),
                f"{record['peak_bytes'] / MEGABYTE:.1f}" if own else "-",
            ]
        )
    text = "100 running jobs. A read transaction is seen from outside, by who holds SQLite's locks; the longest of all, and the longest after the start."
    head = ["finished rows", "journal", "", "wall ms", "CPU ms", "longest read ms", "after the start", "peak MB"]
    return f"{text}\n\n{table(head, rows)}"


def core(figures):
    rows = [
        [record["what"], f"{record['running']:,}", ms(record["median_ms"]), f"{record['median_ms'] * 1e6 / record['running']:,.0f}",
         f"{record['bytes'] / record['running']:,.0f}" if record.get("bytes") else "-"]
        for record in figures.sections["core"]
    ]
    return table(["`cargo bench --bench plan`", "running jobs", "median ms", "ns for each job", "bytes for each job, at most"], rows)


def plots(figures, docs):
    def line(section, axis, place, program, field="db_ms", paced=None):
        records = [r for r in figures.all(section, program=program) if paced is None or r.get("paced") == paced]
        return [(place(record[axis]), record[field]) for record in records]

    def history(program, **more):
        return line("history", "history", count, program, **more)

    def running(program, **more):
        return line("running", "running", int, program, **more)

    def beside(section, axis, words):
        return next(map(words, figures.values(section, axis)), "")

    plot.chart(
        docs / "bench-history.svg",
        "What a refresh costs the database, against history",
        f"finished rows in the table, beside {beside('history', 'running', '{:,}'.format)} running jobs",
        "database time of a refresh, ms",
        [
            ("Beatwarden, no index", history(OWN)),
            ("six queries, no index", history("pe_naive")),
            ("best query, no index", history("pe_best")),
            ("best query, two indexes", history("pe_index")),
            ("bare rows by key", history("bare by key", paced=True)),
        ],
    )
    plot.chart(
        docs / "bench-running.svg",
        "What a pass costs the database, against running jobs",
        f"running jobs, beside {beside('running', 'history', size_in_words)} finished rows",
        "database time of a pass, ms",
        [
            ("Beatwarden, no index", running(OWN)),
            # The colour of what the other plot has here, and this one doesn't.
            ("", []),
            ("best query, no index", running("pe_best")),
            ("best query, two indexes", running("pe_index")),
            ("bare rows by key", running("bare by key", paced=True)),
            ("bare rows by range of the key", running("bare by range of the key", paced=True)),
        ],
    )
