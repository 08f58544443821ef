"""What libpq and SQLAlchemy make of database URLs, asked of the ones in Meltano's own environment.

Reads a JSON array of [url, {variable: value}] from standard input; prints a JSON array of {"libpq": ..., "sqlalchemy": ...},
each an object of libpq's keywords with its defaults filled in, or null where the URL is refused. Connects to nothing.
"""

import ctypes
import glob
import json
import os
import sys

import psycopg2
import psycopg2.extensions
import sqlalchemy
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2


class Option(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val", "label", "dispchar")
    ] + [("dispsize", ctypes.c_int)]


def libpq():
    """The libpq that psycopg2 brings with it, so that its own defaults are asked for."""
    libraries = glob.glob(os.path.join(os.path.dirname(psycopg2.__file__), "..", "psycopg2_binary.libs", "libpq*"))
    library = ctypes.CDLL(libraries[0])
    library.PQconndefaults.restype = ctypes.POINTER(Option)
    return library


LIBPQ = libpq()


def completed(said):
    """As libpq does: variables, then what was compiled in; then its rules for host and database."""
    options = LIBPQ.PQconndefaults()
    index, whole = 0, {}
    while options[index].keyword:
        name = options[index].keyword.decode()
        value = said.get(name, options[index].val.decode() if options[index].val is not None else None)
        if value is not None:
            whole[name] = value
        index += 1
    whole["dbname"] = whole.get("dbname") or whole["user"]
    count = max(len(whole.get("host", "").split(",")), len(whole.get("hostaddr", "").split(",")))
    hosts = whole["host"].split(",") if whole.get("host") else [""] * count
    addresses = whole["hostaddr"].split(",") if whole.get("hostaddr") else [""] * count
    ports = whole.get("port", "").split(",")
    if len(hosts) != count or len(addresses) != count or len(ports) not in (1, count):
        return None
    ports = [(ports[0] if len(ports) == 1 else port) or "5432" for port in (ports * count)[:count]]
    if not all(port.isdigit() and 0 < int(port) < 65536 for port in ports):
        return None
    hosts = [host or address or "/var/run/postgresql" for host, address in zip(hosts, addresses)]
    # libpq refuses these when it looks them up.
    names = [host for host in hosts if host[0] != "/"]
    if any(sign in host for host in hosts for sign in "%@") or any(host.count(":") == 1 for host in names):
        return None
    if any(sign in host for host in names for sign in "[]"):
        return None
    return {
        "host": ",".join(hosts),
        "hostaddr": whole.get("hostaddr", ""),
        "port": ",".join(ports),
        **{name: whole.get(name) or "" for name in ("user", "dbname", "password", "passfile", "options")},
        "sslmode": whole.get("sslmode") or "prefer",
        "target_session_attrs": whole.get("target_session_attrs") or "any",
    }


def by_libpq(url):
    try:
        return completed(psycopg2.extensions.parse_dsn(url))
    except Exception:
        return None


def by_sqlalchemy(url):
    try:
        parsed = sqlalchemy.make_url(url)
        # SQLAlchemy 2.1 takes another driver for postgresql:// alone, which reads the URL with the same code.
        if parsed.drivername not in ("postgresql", "postgresql+psycopg2", "postgresql+psycopg"):
            return None
        arguments, options = PGDialect_psycopg2().create_connect_args(parsed)
        return completed(psycopg2.extensions.parse_dsn(psycopg2.extensions.make_dsn(*arguments, **options)))
    except Exception:
        return None


def ask(url, variables):
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    os.environ.update(variables)
    return {"libpq": by_libpq(url), "sqlalchemy": by_sqlalchemy(url)}


json.dump([ask(url, variables) for url, variables in json.load(sys.stdin)], sys.stdout)
