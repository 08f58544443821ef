"""Optuna's trials, for tests/world/engines.rs: python optuna_jobs.py URL COMMAND...

A worker beats once a second from a thread. On SQLite a heartbeat has whole seconds, so that the first one may lie before the
start; the second one never does, and counts here. `crash` dies before its first heartbeat, `crash_after` after the second, `late`
beats when its standard input says so, `live` works until its standard input ends.
"""

import json
import os
import signal
import sys
import threading

import optuna
from optuna.storages import RDBStorage

BEATEN = threading.Event()
beats = 0
record = RDBStorage.record_heartbeat


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def note(self, trial):
    global beats
    record(self, trial)
    beats += 1
    if beats == 2:
        BEATEN.set()


def setup():
    study()


def study():
    storage = RDBStorage(url, heartbeat_interval=1, grace_period=3600)
    return optuna.create_study(storage=storage, study_name="study", load_if_exists=True)


def crash():
    RDBStorage.record_heartbeat = die
    study().optimize(lambda _: BEATEN.wait(), n_trials=1)


def crash_after():
    study().optimize(lambda _: BEATEN.wait() and die(), n_trials=1)


def live():
    def works(_):
        BEATEN.wait()
        print("lives", flush=True)
        sys.stdin.read()
        return 1.0

    study().optimize(works, n_trials=1)


def late():
    go = threading.Event()

    def record_late(self, trial):
        go.wait()
        note(self, trial)

    def works(_):
        print("waits", flush=True)
        sys.stdin.readline()
        go.set()
        BEATEN.wait()
        print("beats", flush=True)
        sys.stdin.read()
        return 1.0

    RDBStorage.record_heartbeat = record_late
    study().optimize(works, n_trials=1)


def good():
    study().optimize(lambda _: 1.0, n_trials=1)


def view():
    """What Optuna itself says: a new trial of the study ends well, and the states of all."""
    good()
    print(json.dumps([trial.state.name for trial in study().trials]))


url, *commands = sys.argv[1:]
optuna.logging.set_verbosity(optuna.logging.WARNING)
RDBStorage.record_heartbeat = note
for command in commands:
    globals()[command]()
