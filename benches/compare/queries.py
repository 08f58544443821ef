"""What people ask such a table, and the configurations of the two exporters that ask it.

`NAIVE` is one query for each number, as one writes it. `best` gives the same numbers in one statement; with the indexes of
sql/index.sql in two parts, each by its index. `BARE` is the fetch of the same rows without anything around it, through
libpq: the floor. Both exporters run the very same text."""

# What the floors are called beside the bare fetch in the database's two ways.
SCAN = "bare scan by one process"
REOPENED = "bare by key, the file opened and closed"

BUCKETS = [1, 2, 5, 10, 30, 60, 120, 300, 900, 3600]
NOW = "timezone('utc', now())"
RUNNING = "FROM runs WHERE state = 'RUNNING'"
BEGAN = f"started_at > {NOW} - interval '1 hour' AND state IN ('RUNNING', 'SUCCESS', 'FAIL')"

NAIVE = {
    "running": f"SELECT count(*)::float8 AS value {RUNNING}",
    "missed_first": f"SELECT count(*)::float8 AS value {RUNNING} AND last_heartbeat_at IS NULL"
    f" AND started_at < {NOW} - interval '60 s'",
    "lost": f"SELECT count(*)::float8 AS value {RUNNING} AND last_heartbeat_at < {NOW} - interval '5 min'",
    "oldest": f"SELECT coalesce(extract(epoch FROM max({NOW} - last_heartbeat_at)), 0)::float8 AS value {RUNNING}",
    "init_ratio": f"SELECT count(last_heartbeat_at)::float8 / nullif(count(*), 0) AS value FROM runs WHERE {BEGAN}",
}
AGES = f"(SELECT extract(epoch FROM {NOW} - last_heartbeat_at)::float8 AS age {RUNNING} AND last_heartbeat_at IS NOT NULL) AS ages"


def filtered(condition, alias):
    return f"count(*) FILTER (WHERE {condition})::float8 AS {alias}"


def best(indexed):
    """Every number at once. Limits are sub-selects, so that they are computed once and not for each row."""
    ago = lambda interval: f"(SELECT {NOW} - interval '{interval}')"
    # With an index the running rows are all that the first part reads; without one, one scan serves both.
    only = "" if indexed else "state = 'RUNNING' AND "
    where = "" if indexed else " FILTER (WHERE state = 'RUNNING')"
    parts = [
        "count(*)" + where + "::float8 AS running",
        filtered(f"{only}last_heartbeat_at IS NULL AND started_at < {ago('60 s')}", "missed_first"),
        filtered(f"{only}last_heartbeat_at < {ago('5 min')}", "lost"),
        f"coalesce(extract(epoch FROM {NOW} - min(last_heartbeat_at){where}), 0)::float8 AS oldest",
        *[filtered(f"{only}last_heartbeat_at >= {ago(f'{edge} s')}", f"le_{edge}") for edge in BUCKETS],
        f"count(last_heartbeat_at){where}::float8 AS age_count",
        f"coalesce(sum(extract(epoch FROM (SELECT {NOW}) - last_heartbeat_at)){where}, 0)::float8 AS age_sum",
    ]
    columns = ",\n  ".join(parts)
    if indexed:
        ratio = f"(SELECT count(last_heartbeat_at)::float8 / nullif(count(*), 0) FROM runs WHERE {BEGAN})"
        return f"SELECT {columns},\n  {ratio} AS init_ratio\n{RUNNING}"
    recent = f"started_at > {ago('1 h')}"
    ratio = f"count(last_heartbeat_at) FILTER (WHERE {recent})::float8 / nullif(count(*) FILTER (WHERE {recent}), 0)"
    return (
        f"SELECT {columns},\n  {ratio} AS init_ratio\nFROM runs\n"
        f"WHERE state = 'RUNNING' OR ({recent} AND state IN ('SUCCESS', 'FAIL'))"
    )


# What a pass reads of each job; $1 are the keys of the running rows.
COLUMNS = "id, job_name, state, started_at, last_heartbeat_at, ended_at"
BARE = {
    "by key": f"SELECT {COLUMNS} FROM runs WHERE id = ANY ($1)",
    "by range of the key": f"SELECT {COLUMNS} FROM runs WHERE id >= ($1::int[])[1] AND state = 'RUNNING'",
    "by state": f"SELECT {COLUMNS} {RUNNING}",
}


# ---------------------------------------------------------------------------------------------- configurations
def indent(text, by):
    return "|\n" + "\n".join(" " * by + line for line in text.splitlines())


def histogram(source_is_ages):
    """The columns from which postgres_exporter makes a histogram."""
    edges = ", ".join(map(str, BUCKETS))
    if source_is_ages:
        counts = ", ".join(f"count(*) FILTER (WHERE age <= {edge})" for edge in BUCKETS)
        return f"ARRAY[{edges}]::float8[] AS seconds, ARRAY[{counts}] AS seconds_bucket, coalesce(sum(age), 0) AS seconds_sum, count(*) AS seconds_count"
    counts = ", ".join(f"le_{edge}" for edge in BUCKETS)
    return f"ARRAY[{edges}]::float8[] AS seconds, ARRAY[{counts}]::bigint[] AS seconds_bucket, age_sum AS seconds_sum, age_count::bigint AS seconds_count"


def postgres_exporter(way):
    """A file of custom queries for postgres_exporter, which runs them at each scrape."""

    def query(name, sql, metrics):
        lines = [f"{name}:", f"  query: {indent(sql, 4)}", "  metrics:"]
        lines += [f'    - {metric}: {{usage: "{usage}", description: "{metric}"}}' for metric, usage in metrics]
        return "\n".join(lines) + "\n"

    if way == "naive":
        text = "".join(query(f"runs_{name}", sql, [("value", "GAUGE")]) for name, sql in NAIVE.items())
        return text + query("runs_age", f"SELECT {histogram(True)} FROM {AGES}", [("seconds", "HISTOGRAM")])
    gauges = list(NAIVE)
    sql = f"SELECT {', '.join(gauges)}, {histogram(False)} FROM (\n{best(way == 'index')}\n) AS numbers"
    return query("runs", sql, [(name, "GAUGE") for name in gauges] + [("seconds", "HISTOGRAM")])


def sql_exporter(way, url, interval="1s"):
    """A configuration for sql_exporter, which runs its queries in the background."""
    head = f"jobs:\n- name: runs\n  interval: '{interval}'\n  connections: ['{url}']\n  queries:\n"
    values = [*NAIVE, *[f"le_{edge}" for edge in BUCKETS], "age_count", "age_sum"]
    return head + f"  - name: runs\n    help: runs\n    values: [{', '.join(values)}]\n    query: {indent(best(way == 'index'), 6)}\n"
