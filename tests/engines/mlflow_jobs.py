"""MLflow's runs, for tests/world/engines.rs: python mlflow_jobs.py URL COMMAND...

A run has no heartbeat; its metrics are its signs of life. `crash` dies before its first metric, `crash_after` after it, `late`
logs its first one when its standard input says so, `live` works until its standard input ends,
and logs one a second.
"""

import json
import os
import select
import signal
import sys

import mlflow


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def setup():
    mlflow.search_experiments()


def crash():
    mlflow.start_run(run_name="crash")
    die()


def crash_after():
    mlflow.start_run(run_name="crash_after")
    mlflow.log_metric("loss", 1.0)
    die()


def live():
    with mlflow.start_run(run_name="live"):
        mlflow.log_metric("loss", 1.0)
        print("lives", flush=True)
        while not select.select([sys.stdin], [], [], 1)[0]:
            mlflow.log_metric("loss", 1.0)


def late():
    with mlflow.start_run(run_name="late"):
        print("waits", flush=True)
        sys.stdin.readline()
        mlflow.log_metric("loss", 1.0)
        print("beats", flush=True)
        sys.stdin.read()


def good():
    with mlflow.start_run(run_name="good"):
        mlflow.log_metric("loss", 1.0)


def view():
    """What MLflow itself says: a new run ends well, and the states of all."""
    good()
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    runs.sort(key=lambda run: run.info.start_time)
    print(json.dumps([run.info.status for run in runs]))


url, *commands = sys.argv[1:]
mlflow.set_tracking_uri(url)
for command in commands:
    globals()[command]()
