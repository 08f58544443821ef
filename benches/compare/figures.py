"""The figures of the last run of each section, out of the lines that the harness wrote; and how a figure is written."""

import json

from programs import OWN, TITLES

MEGABYTE = 1e6
# Foreign cores from which on a figure is marked: it may say more of the others than of what was measured.
DISTURBED = 0.3


class Figures:
    def __init__(self, path):
        self.sections, self.begun, self.ended = {}, {}, {}
        # Whether something that was looked up since this was last set to false is marked.
        self.disturbed = False
        last = {}
        records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        for record in records:
            if record.get("event") == "begin":
                last[record["section"]] = record["run"]
        for record in records:
            section = record["section"]
            if record["run"] != last.get(section):
                continue
            if record.get("event") == "begin":
                self.begun[section] = record
            elif record.get("event") == "end":
                self.ended[section] = record
            else:
                self.sections.setdefault(section, []).append(record)
        # The axes of the refreshes: against history with the fewest running jobs, against running jobs with one history.
        refreshes = self.sections.get("refresh", [])
        self.fewest = min((record["running"] for record in refreshes), default=None)
        sizes = self.values("refresh", "history")
        self.middle = sizes[len(sizes) // 2] if sizes else None

    def all(self, section, **place):
        found = self.sections.get(section, [])
        found = [record for record in found if all(record.get(key) == value for key, value in place.items())]
        self.disturbed |= any(record.get("foreign_cores", 0) > DISTURBED for record in found)
        return found

    def one(self, section, **place):
        """The last record of the place."""
        found = self.all(section, **place)
        return found[-1] if found else None

    def values(self, section, key):
        """What was measured along an axis, in the order of measuring."""
        return list(dict.fromkeys(record[key] for record in self.sections.get(section, [])))

    def least(self, field, section, programs, **place):
        found = [self.one(section, program=program, **place) for program in programs]
        return min((record[field] for record in found if record and record.get(field) is not None), default=None)

    def bare_beside(self, own):
        """The bare fetch that reads the same rows in the same way, at the same pace."""
        way = "by state" if own["way"] == "state" else "by range of the key"
        return self.one("refresh", history=own["history"], running=own["running"], program=f"bare {way}")


def ratio(above, below):
    return above / below if above is not None and below else None


def ms(value):
    """A time with three figures that mean something."""
    if value is None:
        return "-"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:,.{digits}f}"


def size_in_words(size):
    """`10m` as people say it."""
    unit = {"k": " thousand", "m": " million"}.get(size[-1].lower())
    return f"{size[:-1]}{unit}" if unit else f"{int(size):,}"


def marked(text, record):
    return f"{text}*" if record.get("foreign_cores", 0) > DISTURBED else text


def title(program):
    return TITLES.get(program) or {"none": "no one"}.get(program) or program


def is_own(record):
    return record["program"] == OWN
