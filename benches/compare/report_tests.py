"""The report's verdicts, tables and plots, from figures that the tests write. Nothing is measured here; `make bench` runs it first."""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest
import xml.dom.minidom

import report

HERE = pathlib.Path(__file__).resolve()
PAGES = ["benchmarks.md", "benchmarks-raw.md"]


def section(name, records):
    """One run of one section, of which an earlier and much slower run is there too."""
    lines = []
    for day, worse in ((1, 1e6), (2, 1.0)):
        run = {"run": f"{name} 2027-01-0{day}T00:00:00", "section": name}
        lines.append({**run, "event": "begin", "machine": "2 cores", "postgresql": "15", "command": "make bench",
                      "postgres_exporter": "0.11.1", "sql_exporter": "0.4.5", "beatwarden": "beatwarden 0.1.0"})
        lines += [{**record, **run, "db_ms": record.get("db_ms", 0) * worse} for record in records]
        lines.append({**run, "event": "end", "took_s": 60.0, "failed": ["10m: sql_exporter: it fell\nover"] if day == 2 else []})
    return lines


def cell(program, history, running, database, **more):
    return {"program": program, "history": history, "running": running, "db_ms": database, "db_plan_ms": 0.1, "blocks": 300, "calls": 5,
            "wall_ms": database, "refreshes": 10, "cpu_ms": 0.5, "scrape_cpu_ms": 0.1, "peak_bytes": 9e6, "way": "key_tail", "indexed": False,
            "full_look": True, "full_look_ms": 3000.0, **more}


def bare(history, running, database):
    return cell("bare by range of the key", history, running, database)


class Report(unittest.TestCase):
    def setUp(self):
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.folder = pathlib.Path(made.name)

    def write(self, *lines):
        """The report about these figures: the page that people read."""
        (self.folder / "results.jsonl").write_text("\n".join(json.dumps(line) for part in lines for line in part))
        for page in PAGES:
            (self.folder / page).write_text(f"before\n{report.BEGIN}\nold figures\n{report.END}\nafter\n")
        with contextlib.redirect_stdout(io.StringIO()):
            report.write(self.folder / "results.jsonl", self.folder)
        texts = [(self.folder / page).read_text() for page in PAGES]
        for text in texts:
            self.assertTrue(text.startswith("before\n") and text.endswith("\nafter\n"), text)
            self.assertNotIn("old figures", text)
        return texts[0]

    def verdict(self, page, words):
        """The last cell of the line of the table of targets that has these words, and the line."""
        found = [line for line in page.splitlines() if line.startswith("| ") and words in line]
        self.assertEqual(len(found), 1, f"targets `{words}` in {page}")
        return found[0].split(" | ")[-1].removesuffix(" |"), found[0]

    def test_each_target_is_judged_by_the_last_run_of_its_section(self):
        page = self.write(
            section("refresh", [
                cell("own", "10k", 100, 1.0, start_p50_ms=12.0), cell("own", "1m", 100, 1.0), bare("1m", 100, 0.9),
                cell("own", "1m", 10_000, 13.0, statements=[{"name": "moment", "calls": 20, "exec_ms": 3.0, "plan_ms": 1.0, "hit": 20, "read": 0}]),
                bare("1m", 10_000, 10.0),
                cell("own", "1m", 100_000, 200.0, peak_bytes=44e6), bare("1m", 100_000, 100.0),
                cell("own", "1m", 1_000_000, 1400.0, peak_bytes=351e6),
                cell("own", "10m", 100, 1.3, start_p50_ms=120.0), cell("pe_naive", "10m", 100, 9_000.0),
                cell("pe_best", "10m", 100, 1000.0), cell("bare scan by one process", "10m", 100, 1500.0), cell("pe_index", "10m", 100, 2.4),
            ]),
            section("upkeep", [
                cell("own", "1m", 100, 1.0, case="an empty ledger"),
                cell("own", "1m", 100, 1.3, case="5,000 repairs of the last day"),
            ]),
            section("many", [{"program": "own", "case": "distant", "longest_interval_s": 5.0, "passes_per_s": 40.0, "failed": 0}]),
            section("rust", [
                {"program": "repair_cost", "said": "1000 repairs of each kind\n\nPostgreSQL, fsync on\n   p50 ms   p99 ms   x bare   WAL bytes\n"
                 "bare update      0.300     0.469      1.00          374\nguarded UPDATE and INSERT, prepared     0.500     0.929      2.12          546\n"
                 "repair      0.900     1.916      3.97         1255\n\n"
                 "SQLite, WAL\nbare update      0.300     0.469      1.00          374\nguarded UPDATE and INSERT, prepared     0.400     0.929      1.33          546\n"
                 "the same, the file opened and closed      0.800     1.0      2.67         546\nrepair      1.000     1.916      3.33         1255\n"},
                {"program": "elsewhere_cost", "said": "PostgreSQL  4.7  14.5  3.11\nSQLite  9.0  12.0  1.34"},
            ]),
        )  # fmt: skip
        for words, met, figure in (
            ("at 100 running jobs, in time", "yes", "1.11 and 1.07 times"),
            ("at 10,000 running jobs, in time", "**no**", "1.30 and 1.29 times"),
            ("at 100,000 running jobs, in time", "**no**", "2.00"),
            ("at 10 million rows of history", "**no**", "1.30 times (1.30 against 1.00 ms)"),
            ("a query for each number", "**no**", "6,923 times"),
            ("though ours has none", "yes", "0.54 times"),
            ("peak memory at 100 running jobs", "yes", "9.0 MB"),
            ("memory for each running job", "**no**", "350 bytes"),
            ("a million running jobs", "**no**", "1.40 s, 351 MB"),
            ("the first full look at 10 million rows", "yes", "3.00 s, 2.00 sequential scans by one process"),
            ("the first full look at 5 million rows", "not measured", "| - |"),
            ("after 5,000 repairs in a day", "**no**", "1.30, 1.30 times"),
            ("a repair on PostgreSQL", "yes", "1.80 and 3.00 times (0.90 ms)"),
            ("a repair on SQLite", "**no**", "2.50 and 3.33 times (1.00 ms); 1.25 times the first where it opens"),
            ("another table on PostgreSQL", "**no**", "3.11 times"),
            ("another table on SQLite", "yes", "1.34 times"),
            ("every interval stays at 5 s", "yes", "at most 5 s; 200 passes in 5 s, 0 failed"),
            ("good scrape at 10 thousand rows", "yes", "12.0 ms"),
            ("good scrape at 10 million rows", "**no**", "120 ms"),
        ):
            verdict, line = self.verdict(page, words)
            self.assertEqual(verdict, met, line)
            self.assertIn(figure, line)
        self.assertIn("beatwarden 0.1.0, 2027-01-02: 2 cores", page)
        self.assertIn("4 minutes", page)
        self.assertIn("Not measured: 10m: sql_exporter: it fell; ", page)
        raw = (self.folder / PAGES[1]).read_text()
        self.assertIn("repair      0.900", raw)
        self.assertIn("| moment | 2.00 | 0.40 | 0.10 | 2 |", raw)

    def test_a_verdict_from_a_disturbed_figure_is_marked(self):
        disturbed = {**bare("1m", 100, 0.9), "foreign_cores": 0.5}
        page = self.write(section("refresh", [cell("own", "1m", 100, 1.0), disturbed]))
        self.assertEqual(self.verdict(page, "at 100 running jobs, in time")[0], "yes*")
        self.assertEqual(self.verdict(page, "peak memory at 100 running jobs")[0], "yes")

    def test_the_plots_are_small_and_follow_the_reader_s_colour_scheme(self):
        axes = [("10k", 100), ("1m", 100), ("10m", 100), ("1m", 10_000), ("1m", 100_000)]
        times = (("own", 1.0), ("pe_best", 1_500.0), ("pe_index", 0.7))
        self.write(section("refresh", [cell(program, *place, time) for place in axes for program, time in times]))
        for name in report.PLOTS:
            plot = (self.folder / name).read_text()
            self.assertLess(len(plot), 10_000)
            for words in ("prefers-color-scheme:dark", "aria-label", "Beatwarden, no index", "best query, two indexes"):
                self.assertIn(words, plot)
            self.assertEqual(plot.count("<polyline"), 3)
            xml.dom.minidom.parseString(plot)

    def test_nothing_measured_is_no_error(self):
        self.assertIn("Nothing has been measured yet", self.write([]))

    def test_the_pages_have_the_marks_between_which_the_report_goes(self):
        for page in PAGES:
            text = (HERE.parents[2] / "docs" / page).read_text()
            self.assertLess(text.index(report.BEGIN), text.index(report.END))


if __name__ == "__main__":
    unittest.main()
