"""The machine that numbers were taken on."""

import datetime
import os
import pathlib
import platform

CPUS = 2
"""CPUs that both sides of every comparison get."""


def two_cpus() -> list[int]:
    """The first two CPUs that this process may use, where the system tells them."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(min(CPUS, os.cpu_count() or 1)))
    return sorted(os.sched_getaffinity(0))[:CPUS]


def describe() -> dict:
    """Plain JSON values: processor, its number of CPUs, memory, system, Python, date, load average."""
    return {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def _processor() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
