"""DBOS' workflows, for tests/world/engines.rs: python dbos_jobs.py URL COMMAND...

A workflow has no heartbeat; the steps that it has done are its signs of life. `crash` dies before its first step is done,
`crash_after` after it, `late` ends its first step when its standard input says so, `live` works until its standard input ends,
a step a second.
Each process is an executor of its own, as Pods are.
"""

import json
import os
import select
import signal
import sys

from dbos import DBOS, SetWorkflowID

url, *commands = sys.argv[1:]
os.environ["DBOS__APPVERSION"] = "1"
DBOS(
    config={
        "name": "jobs",
        "system_database_url": url,
        "executor_id": f"pod-{os.getpid()}",
        "run_admin_server": False,
        "log_level": "ERROR",
    }
)


# A workflow that is resumed runs the steps that it has not done: by then the command is another, and they end well.
@DBOS.step()
def first(kind):
    if kind == "crash" and command == kind:
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "late" and command == kind:
        print("waits", flush=True)
        sys.stdin.readline()
    return kind


@DBOS.step()
def second(kind):
    if kind == "crash_after" and command == kind:
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "late" and command == kind:
        print("beats", flush=True)
        sys.stdin.read()
    return kind


@DBOS.step()
def works():
    return not select.select([sys.stdin], [], [], 1)[0]


@DBOS.workflow()
def work(kind):
    first(kind)
    if kind == "live" and command == kind:
        print("lives", flush=True)
        while works():
            pass
    return second(kind)


def run(kind):
    with SetWorkflowID(kind):
        work(kind)


def view():
    """What DBOS itself says: a new workflow ends well, a cancelled one is resumed to its end, and the states of all."""
    run("new")
    before = {status.workflow_id: status.status for status in DBOS.list_workflows()}
    for workflow, status in before.items():
        if status == "CANCELLED":
            DBOS.resume_workflow(workflow).get_result()
    after = {status.workflow_id: status.status for status in DBOS.list_workflows()}
    print(json.dumps([before, after]))


DBOS.launch()
for command in commands:
    if command == "view":
        view()
    elif command != "setup":
        run(command)
DBOS.destroy()
