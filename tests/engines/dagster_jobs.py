"""Dagster's runs, for tests/world/engines.rs: python dagster_jobs.py HOME COMMAND...; HOME holds the dagster.yaml.

`crash` dies before the first event that follows its start, `crash_after` after it, `live` works until its standard input ends,
and says so once a second.
"""

import json
import os
import select
import signal
import sys

os.environ["DAGSTER_HOME"], *commands = sys.argv[1:]

from dagster import DagsterInstance, DagsterEventType, job, op  # noqa: E402


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@op
def step(context):
    if command == "crash_after":
        die()
    if command == "live":
        print("lives", flush=True)
        while not select.select([sys.stdin], [], [], 1)[0]:
            context.log.info("works")


@job
def work():
    step()


def run():
    with DagsterInstance.get() as instance:
        if command == "crash":
            handle = instance.handle_new_event

            def last(event, **more):
                handle(event, **more)
                if event.is_dagster_event and event.dagster_event.event_type == DagsterEventType.PIPELINE_START:
                    die()

            instance.handle_new_event = last
        work.execute_in_process(instance=instance)


def view():
    with DagsterInstance.get() as instance:
        runs = sorted(instance.get_run_records(), key=lambda record: record.storage_id)
        print(json.dumps([record.dagster_run.status.value for record in runs]))


for command in commands:
    if command == "view":
        view()
    elif command != "setup":
        run()
