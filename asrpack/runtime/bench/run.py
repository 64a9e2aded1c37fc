"""All measurements of a bundle, one process after the other."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asrpack.runtime.bench.cold_start import PHASES
from asrpack.runtime.bench.job import Job, run_job


@dataclass(frozen=True)
class Plan:
    """How much to measure.

    Attributes:
        starts: processes for the cold start.
        rounds: of all recordings, after one of warm-up.
        minutes: of the long recording; 0 for none.
        clients: at a time, level by level; empty for no load.
        seconds: for each level.
    """

    starts: int = 5
    rounds: int = 5
    minutes: float = 60.0
    clients: tuple[int, ...] = (1, 2, 4, 8)
    seconds: float = 10.0


def measure_bundle(job: Job, plan: Plan, tell: Callable[[str], None]) -> dict[str, Any]:
    """Runs the plan.

    Args:
        job: what to open and hear.
        tell: told what is measured next.

    Returns:
        ``bundle``, ``host`` with its ``load_average`` before, ``files``, ``cold_start``, ``long``
        and ``load``, the latter where the plan has them.

    Raises:
        AsrpackError: the bundle cannot be opened, or the audio cannot be read.
    """
    load_average = list(os.getloadavg())
    tell("recordings one by one")
    # First, and with its warnings: what is wrong shows here.
    files = run_job(replace(job, kind="files", rounds=plan.rounds), quiet=False)
    found: dict[str, Any] = {
        "bundle": files.pop("bundle"),
        "host": files.pop("host") | {"load_average": load_average},
        "files": files,
    }
    tell("cold start")
    found["cold_start"] = _cold_start(job, plan.starts)
    if plan.minutes:
        tell(f"{plan.minutes:g} minutes of audio")
        long = replace(job, kind="long", seconds=60 * plan.minutes)
        found["long"] = run_job(long, quiet=True)
    if plan.clients:
        tell("many at a time")
        load = replace(job, kind="load", seconds=plan.seconds, clients=plan.clients)
        found["load"] = run_job(load, quiet=True)
    return found


def _cold_start(job: Job, starts: int) -> dict[str, Any]:
    """All files are in the page cache: the bundle was read before."""
    runs, verifications = [], []
    for _ in range(starts):
        runs.append(run_job(replace(job, kind="start"), quiet=True))
        verifications.append(run_job(replace(job, kind="verify"), quiet=True)["seconds"])
    return {
        "processes": starts,
        "seconds": _spread([run["seconds"] for run in runs]),
        "phases": {name: _spread([run["phases"][name] for run in runs]) for name in PHASES},
        "verify_alone": _spread(verifications),
    }


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "range": [min(values), max(values)]}
