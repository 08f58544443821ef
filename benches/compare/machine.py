"""The machine: processor time of processes, memory, quiet, and what it is called in a report.

Foreign processor time is what neither the harness, nor the program under test, nor the cluster used. Other work on the
machine spoils a measurement, so each waits for quiet, for a bounded time in all, and says how quiet it was."""

import os
import pathlib
import platform
import re
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
# Cores that others may use while a measurement counts as quiet.
QUIET = 0.15


def cpu_seconds(pid):
    """Processor time of a whole process to the nanosecond, threads that ended included: /proc has only ticks of 10 ms."""
    return time.clock_gettime(~pid << 3 | 2)


def ticks_below(pid):
    """Processor time of a process and of its children, ended ones included."""
    total = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = pathlib.Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(entry) == pid or int(fields[1]) == pid:
                total += sum(map(int, fields[11:15]))
    return total / TICKS


def all_seconds():
    """Processor time of everything on the machine: all but idle and waiting for disks; stolen time counts."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def own_seconds():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def peak_memory(pid):
    """The most memory that the process ever held, in bytes."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024


class Span:
    """What was used between its making and its end."""

    def __init__(self, postmaster=None, pid=None):
        self.postmaster, self.pid = postmaster, pid
        self.start = self.read()

    def read(self):
        return (
            time.monotonic(),
            ticks_below(self.postmaster) if self.postmaster else 0,
            cpu_seconds(self.pid) if self.pid else 0,
            all_seconds() - own_seconds(),
        )

    def end(self):
        wall, database, process, rest = (after - before for before, after in zip(self.start, self.read()))
        foreign = max(0.0, rest - database - process) / wall
        return {"wall_s": wall, "db_cpu_s": database, "process_cpu_s": process, "foreign_cores": round(foreign, 3)}


class Patience:
    """Waits for quiet, `seconds` in all and not longer."""

    def __init__(self, seconds):
        self.left = seconds

    def wait(self, postmaster=None):
        while self.left > 0:
            began, span = time.monotonic(), Span(postmaster)
            time.sleep(0.5)
            if span.end()["foreign_cores"] < QUIET:
                return
            self.left -= time.monotonic() - began


def percentile(values, share):
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]


def describe():
    """One line that says what was measured on."""
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) / 2**20
    virtual = "hypervisor" in pathlib.Path("/proc/cpuinfo").read_text()
    system = re.search(r'PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text())
    return ", ".join(
        [
            f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}{', virtual' if virtual else ''})",
            f"{memory:.0f} GiB",
            system[1] if system else platform.system(),
        ]
    )


def package_version(package):
    """The version of one of the system's packages, without its packaging's own number."""
    try:
        asked = ["dpkg-query", "--show", "--showformat=${Version}", package]
        said = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False).stdout
    except OSError:
        return "of unknown version"
    return said.partition("-")[0] or "of unknown version"


def said_by(command):
    """What a program says on its standard output, or nothing if it can't be run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except OSError:
        return ""


def output(command, seconds=120, **more):
    """What a program says on its standard output; an error with its last words if it fails, or doesn't end in time."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, **more)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout
