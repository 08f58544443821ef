"""Procrastinate's jobs, for tests/world/engines.rs: python procrastinate_jobs.py URL COMMAND...

A job lives as long as its worker beats, once a second here. `crash` dies before the first beat after the job's start,
`crash_after` after it, `late` sends that beat when its standard input says so, `live` works until its standard input ends.
All jobs of one lock run one after the other: a dead one keeps all later ones waiting.
"""

import asyncio
import json
import os
import signal
import sys

from procrastinate import App, PsycopgConnector
from procrastinate.manager import JobManager

url, *commands = sys.argv[1:]
app = App(connector=PsycopgConnector(conninfo=url))
go, beaten = asyncio.Event(), asyncio.Event()
update = JobManager.update_heartbeat


async def beat(self, worker_id):
    if "late" in commands:
        await go.wait()
    await update(self, worker_id)
    beaten.set()


JobManager.update_heartbeat = beat


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="work")
async def work(kind):
    if kind == "crash":
        die()
    if kind == "late":
        print("waits", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        go.set()
    if kind in ("crash_after", "late", "live"):
        await beaten.wait()
    if kind == "crash_after":
        die()
    if kind in ("late", "live"):
        print("beats" if kind == "late" else "lives", flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def run(kind, lock):
    await work.configure(lock=lock, queue=kind).defer_async(kind=kind)
    # A worker that starts removes those that have not beaten for long, and leaves their jobs as they are.
    await app.run_worker_async(
        queues=[kind], wait=False, listen_notify=False, update_heartbeat_interval=1, stalled_worker_timeout=5
    )


async def view():
    """What Procrastinate itself says: a new job behind the lock of the crashed one ends well, and the states of all."""
    await run("new", "crash")
    jobs = await app.job_manager.list_jobs_async()
    print(json.dumps([[job.queue, job.status] for job in sorted(jobs, key=lambda job: job.id)]))


async def main():
    async with app.open_async():
        for command in commands:
            if command == "setup":
                await app.schema_manager.apply_schema_async()
            elif command == "view":
                await view()
            else:
                await run(command, command)


asyncio.run(main())
