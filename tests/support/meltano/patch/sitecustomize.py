"""Makes the real Meltano fail where a test wants it to, from outside: its code on disk is untouched.

CRASH_AT_START=1  the process kills itself right after the first commit of a RUNNING row
BLOCK_SECONDS=n   the job blocks its event loop for n seconds, after its start and before its first true heartbeat
"""
import importlib.abc
import importlib.machinery
import os
import sys

MODULE = "meltano.core.job.job"


def patch(module):
    job = module.Job
    if os.environ.get("CRASH_AT_START"):
        import signal

        save = job.save

        def save_and_die(self, session):
            saved = save(self, session)
            if self.is_running():
                os.kill(os.getpid(), signal.SIGKILL)
            return saved

        job.save = save_and_die
    if os.environ.get("BLOCK_SECONDS"):
        import time
        from contextlib import asynccontextmanager

        heartbeating = job._heartbeating

        @asynccontextmanager
        async def block_first(self, session):
            async with heartbeating(self, session):
                # The heartbeater is scheduled, and does not get its turn.
                time.sleep(float(os.environ["BLOCK_SECONDS"]))
                yield

        job._heartbeating = block_first


class Loader(importlib.abc.Loader):
    def __init__(self, inner):
        self.inner = inner

    def create_module(self, spec):
        return self.inner.create_module(spec)

    def exec_module(self, module):
        self.inner.exec_module(module)
        patch(module)


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None:
            spec.loader = Loader(spec.loader)
        return spec


if os.environ.get("CRASH_AT_START") or os.environ.get("BLOCK_SECONDS"):
    sys.meta_path.insert(0, Finder())
