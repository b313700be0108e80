"""The machine that numbers were taken on."""

import contextlib
import datetime
import os
import pathlib
import platform
from collections.abc import Iterator

CPUS = 2
"""CPUs that both sides of every comparison get."""


@contextlib.contextmanager
def pinned(cpus: int = CPUS) -> Iterator[int]:
    """Processes started inside may use the first `cpus` CPUs that this one may (Linux); yields how many those are."""
    if not hasattr(os, "sched_setaffinity"):
        yield min(cpus, os.cpu_count() or 1)
        return
    allowed = os.sched_getaffinity(0)
    chosen = sorted(allowed)[:cpus]
    os.sched_setaffinity(0, chosen)
    try:
        yield len(chosen)
    finally:
        os.sched_setaffinity(0, allowed)


def describe() -> dict:
    """Plain JSON values: processor, its number of CPUs, memory, system, Python, date, load average."""
    info, processor = pathlib.Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    if info.exists():
        names = (line for line in info.read_text().splitlines() if line.startswith("model name"))
        processor = next(names, f":{processor}").partition(":")[2].strip()
    return {
        "processor": processor,
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }
