"""How many threads one operator of a graph gets where nobody says."""

from __future__ import annotations

import os
from pathlib import Path


def default_threads() -> int:
    """Physical cores that this process may use, and no more than its container is granted."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if allowed is None:
        return os.cpu_count() or 1
    cores = {_siblings(cpu) for cpu in allowed}
    return max(1, min(len(cores), _cgroup_quota()))


def _siblings(cpu: int) -> str:
    """The hardware threads of a CPU's core, as Linux lists them."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text()
    except OSError:
        return str(cpu)


def _cgroup_quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """CPUs that a container's limit comes to, rounded up; many where there is no limit."""
    try:
        quota, period = path.read_text().split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return 1 << 16
