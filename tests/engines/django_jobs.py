"""Tasks of django-tasks-db, for tests/world/engines.rs: python django_jobs.py URL COMMAND...

A task has no sign of life at all: `crash` dies with its worker, `live` works until its standard input ends.
"""

import json
import os
import signal
import sys
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import call_command

url, *commands = sys.argv[1:]
place = urlsplit(url)
database = (
    {"ENGINE": "django.db.backends.sqlite3", "NAME": place.path[1:]}
    if place.scheme == "sqlite"
    else {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": place.hostname,
        "PORT": place.port,
        "USER": place.username,
        "NAME": place.path[1:],
    }
)
settings.configure(
    DATABASES={"default": database},
    INSTALLED_APPS=["django_tasks", "django_tasks_db"],
    TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
    USE_TZ=True,
)
django.setup()

from django_tasks import task  # noqa: E402
from django_tasks_db.models import DBTaskResult  # noqa: E402


@task()
def work(kind):
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "live":
        print("lives", flush=True)
        sys.stdin.read()
    return kind


def run(kind):
    work.enqueue(kind)
    call_command("db_worker", batch=True, startup_delay=False, verbosity=0)


def view():
    """What the system itself says: a new task ends well, and the states of all."""
    run("good")
    results = DBTaskResult.objects.order_by("enqueued_at")
    shown = [work.get_result(str(result.id)) for result in results]
    print(json.dumps([[result.status, [error.exception_class.__name__ for error in result.errors]] for result in shown]))


for command in commands:
    if command == "setup":
        call_command("migrate", verbosity=0)
    elif command == "view":
        view()
    else:
        run(command)
