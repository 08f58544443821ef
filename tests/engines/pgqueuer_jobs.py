"""PgQueuer's jobs, for tests/world/engines.rs: python pgqueuer_jobs.py URL COMMAND...

A picked job beats about once a second. `crash` dies before its first beat, `crash_after` after it, `late` sends that beat when
its standard input says so, `live` works until its standard input ends. `pgq run pgqueuer_jobs:serve` is a worker that ends well
with the job of the crash.
"""

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.queries import Queries

go, beaten = asyncio.Event(), asyncio.Event()
update = Queries.update_heartbeat


async def beat(self, *args, **kwargs):
    if "late" in sys.argv:
        await go.wait()
    await update(self, *args, **kwargs)
    beaten.set()


Queries.update_heartbeat = beat


def die():
    os.kill(os.getpid(), signal.SIGKILL)


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


async def worker(url, entrypoint, do):
    """Serves one job of an entrypoint."""
    queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(url)))

    @queue.entrypoint(entrypoint)
    async def serve(job):
        await do(job.payload.decode())
        queue.shutdown.set()

    return queue


@asynccontextmanager
async def serve():
    yield await worker(os.environ["PGDSN"], "crash", lambda _: asyncio.sleep(0))


async def main(url, *commands):
    queries = Queries(AsyncpgDriver(await asyncpg.connect(url)))
    for command in commands:
        if command == "setup":
            await queries.install()
        elif command == "view":
            print(json.dumps([[job.entrypoint, job.status] for job in await queries.queue_log()]))
        else:
            await queries.enqueue(command, command.encode())
            queue = await worker(url, command, work)
            await queue.run(dequeue_timeout=timedelta(seconds=1), heartbeat_timeout=timedelta(seconds=2))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
