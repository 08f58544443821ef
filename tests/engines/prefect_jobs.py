"""Prefect's flow runs, for tests/world/engines.rs: python prefect_jobs.py API COMMAND...

`crash` dies without a heartbeat, `crash_after` after its first one, `live` works until its standard input ends. The frequency of 30 s
is the shortest that Prefect takes; the first heartbeat comes with the start.
"""

import json
import os
import signal
import sys
import time

api, *commands = sys.argv[1:]
os.environ["PREFECT_API_URL"] = api
if "crash" not in commands:
    os.environ["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] = "30"

from prefect import flow, get_client  # noqa: E402
from prefect.client.schemas.sorting import FlowRunSort  # noqa: E402


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@flow
def work(kind):
    if kind == "crash":
        die()
    if kind == "crash_after":
        # The event is sent from a thread; nothing says that it has arrived.
        time.sleep(3)
        die()
    if kind == "live":
        print("lives", flush=True)
        sys.stdin.read()


def view():
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_ASC)
    print(json.dumps([[run.state_type.value, run.state.type.value] for run in runs]))


for command in commands:
    if command == "view":
        view()
    else:
        work(command)
