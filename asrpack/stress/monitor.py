"""The service's memory, queue and CPU time, as it tells them; and whether the client keeps up."""

from __future__ import annotations

import asyncio
import math
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from asrpack.runtime.bench.statistics import slope, thinned
from asrpack.stress.target import Target

_MEMORY = "process_resident_memory_bytes"
_CPU = "process_cpu_seconds_total"
_STARTED = "process_start_time_seconds"
_QUEUE = "asrpack_queue_utterances"
_JOBS = "asrpack_jobs"
_TICK = 0.05
_POINTS = 600
# In less time, how memory grows is noise.
_LEAST_SECONDS = 60.0
# Of one core, from which the client rather than the service may be what is measured.
BUSY = 0.8


@dataclass(frozen=True)
class Sample:
    """At one moment; NaN where the service does not tell."""

    second: float
    memory: float
    queue: float
    jobs: float
    cpu: float
    started: float


class Monitor:
    """Watches once a second.

    Args:
        now: seconds since the load began.
    """

    def __init__(self, target: Target, now: Callable[[], float]) -> None:
        self._target, self._now = target, now
        self._http = httpx.AsyncClient(verify=target.tls or False, timeout=5.0, trust_env=False)
        self._samples: list[Sample] = []
        self._own: list[tuple[float, float]] = []
        self._late, self._ticks = array("f"), array("f")

    def start(self) -> Sequence[asyncio.Task[None]]:
        """What goes on until it is cancelled."""
        return [asyncio.create_task(self._watch()), asyncio.create_task(self._tick())]

    async def close(self) -> None:
        await self._http.aclose()

    async def _watch(self) -> None:
        while True:
            began = self._now()
            self._own.append((began, time.process_time()))
            try:
                found = await self._http.get(self._target.metrics, headers=self._target.headers)
            except httpx.HTTPError:
                found = None
            if found is not None and found.status_code == 200:
                told = _told(found.text)
                names = (_MEMORY, _QUEUE, _JOBS, _CPU, _STARTED)
                self._samples.append(Sample(began, *(told.get(name, math.nan) for name in names)))
            await asyncio.sleep(max(0.0, began + 1.0 - self._now()))

    async def _tick(self) -> None:
        """How much later than asked for the event loop wakes: by that much latencies are long."""
        while True:
            began = self._now()
            await asyncio.sleep(_TICK)
            self._ticks.append(began)
            self._late.append(self._now() - began - _TICK)

    def client(self, since: float) -> dict[str, Any]:
        """This process, after so many seconds: its share of a core, and seconds it was late."""
        own = [item for item in self._own if item[0] >= since]
        share = None
        if len(own) > 1:
            share = (own[-1][1] - own[0][1]) / (own[-1][0] - own[0][0])
        late = np.asarray(self._late)[np.asarray(self._ticks) >= since]
        return {
            "cpu": share,
            "busy": share is not None and share > BUSY,
            "late_p99": float(np.percentile(late, 99)) if len(late) else None,
        }

    def server(self, since: float) -> dict[str, Any] | None:
        """The service, after so many seconds; None where it tells nothing.

        ``slope`` is in bytes an hour, after the first quarter; None of less than a minute. Where
        ``processes``, told apart by when they started, are several (one after the other, or behind
        one address), neither growth nor CPU time is that of a process, and both are left out.
        """
        counted = [item for item in self._samples if item.second >= since]
        if not counted:
            return None
        memory = [(item.second, item.memory) for item in counted if not math.isnan(item.memory)]
        starts = {item.started for item in counted if not math.isnan(item.started)}
        found: dict[str, Any] = {
            "seconds": counted[-1].second - counted[0].second,
            "processes": max(1, len(starts)),
        }
        several = found["processes"] > 1
        if memory:
            found["memory"] = {"peak": max(size for _, size in memory)}
        if memory and not several:
            grows = slope(memory) if found["seconds"] >= _LEAST_SECONDS else None
            found["memory"] |= {
                "first": memory[0][1],
                "last": memory[-1][1],
                "slope": None if grows is None else grows * 3600,
            }
        for name in ("queue", "jobs"):
            values = [getattr(item, name) for item in counted]
            if not any(map(math.isnan, values)):
                found[name] = {"mean": sum(values) / len(values), "most": max(values)}
        used = counted[-1].cpu - counted[0].cpu
        if found["seconds"] and not several and not math.isnan(used):
            found["cpu"] = used / found["seconds"]
        found["series"] = {
            "columns": ["second", "memory", "queue", "jobs"],
            "points": [
                [round(item.second, 2), *map(_plain, (item.memory, item.queue, item.jobs))]
                for item in thinned(self._samples, _POINTS)
            ],
        }
        return found


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def _told(text: str) -> dict[str, float]:
    """Of Prometheus's text format, what has no labels."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        try:
            found[name] = float(value)
        except ValueError:  # a comment, or a value with a timestamp
            continue
    return found
