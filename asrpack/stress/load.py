"""Many clients at once, until the time is over or somebody stops it."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

from asrpack.stress.answers import FailedError, RefusedError
from asrpack.stress.http_client import HttpClient
from asrpack.stress.monitor import Monitor
from asrpack.stress.plan import Plan
from asrpack.stress.protocols import Protocol
from asrpack.stress.recordings import Sound
from asrpack.stress.stream_client import StreamClient
from asrpack.stress.tally import Tally
from asrpack.stress.target import Target

# A client that was refused, or failed, waits before it tries again.
_PAUSE, _LONGEST_PAUSE = 1.0, 10.0


async def run_load(
    plan: Plan,
    protocol: Protocol,
    target: Target,
    sounds: Sequence[Sound],
    tell: Callable[[Tally, float], None],
) -> tuple[Tally, Monitor]:
    """Sends recordings in turn; SIGINT ends it early.

    Args:
        tell: told about every second how far it is, in seconds.

    Returns:
        What became of all requests, and what was seen of service and client meanwhile.
    """
    load = _Load(plan, protocol, target, sounds)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def interrupt() -> None:
        loop.remove_signal_handler(signal.SIGINT)  # a second one kills
        stop.set()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    clients = asyncio.gather(*(load.client(number) for number in range(plan.concurrency)))
    telling = asyncio.create_task(load.tell(tell))
    stopping = asyncio.create_task(stop.wait())
    waited: list[asyncio.Future[Any]] = [clients, stopping]
    others = [telling, *load.monitor.start()]
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        load.tally.close(min(load.now(), plan.end), interrupted=stop.is_set())
        if not stop.is_set():
            await clients
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        for task in (*waited, *others):
            task.cancel()
        await asyncio.gather(*waited, *others, return_exceptions=True)
        await load.monitor.close()
    return load.tally, load.monitor


class _Load:
    def __init__(
        self, plan: Plan, protocol: Protocol, target: Target, sounds: Sequence[Sound]
    ) -> None:
        self._plan, self._protocol, self._target = plan, protocol, target
        self._began = time.perf_counter()
        self._sounds = cycle(enumerate(sounds))
        self._arrivals = None if plan.rate is None else _poisson(plan.rate, plan.end)
        self.tally = Tally(sounds, plan.warm_up)
        self.monitor = Monitor(target, self.now)

    def now(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self._began

    async def client(self, number: int) -> None:
        plan, client = self._plan, self._protocol.client(self._target)
        try:
            if self._arrivals is not None:
                for due in self._arrivals:  # one line before all clients
                    if self.now() > plan.end + plan.timeout:
                        self.tally.unsent += 1
                        continue
                    await self._until(due)
                    await self._request(client, due)
                # Also when nothing more is due: the rate is of all of the time.
                await self._until(plan.end)
                return
            await self._until(plan.warm_up / 2 * number / plan.concurrency)
            while (sent := self.now()) < plan.end:
                if pause := await self._request(client, sent):
                    await self._until(min(self.now() + pause, plan.end))
        finally:
            await client.close()

    async def _request(self, client: HttpClient | StreamClient, due: float) -> float:
        """One of them; returns how long to wait before the next.

        Args:
            due: when it was to be sent. All is measured from then: who measures from when a free
                client comes by leaves out the time that requests waited for one.
        """
        index, sound = next(self._sounds)
        self.tally.sent(due)
        try:
            answer = await client.recognise(sound)
        except RefusedError as error:
            self.tally.refused(due, self.now(), error.code)
            return min(error.retry_after or _PAUSE, _LONGEST_PAUSE)
        except FailedError as error:
            self.tally.failed(due, self.now(), error)
            return _PAUSE
        self.tally.answered(due, self.now(), index, answer)
        return 0.0

    async def tell(self, tell: Callable[[Tally, float], None]) -> None:
        while True:
            await asyncio.sleep(1.0)
            tell(self.tally, self.now())

    async def _until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self.now()))


def _poisson(rate: float, end: float) -> Iterator[float]:
    moment = random.expovariate(rate)
    while moment < end:
        yield moment
        moment += random.expovariate(rate)
